/* rest/consumer_priv.h - reading a consumer's answers, judging them, and asking: what its files
 * share. */
#ifndef FM_REST_CONSUMER_PRIV_H
#define FM_REST_CONSUMER_PRIV_H

#include "rest/ask_priv.h"
#include "rest/consumer.h"
#include "rest/oauth_priv.h"

/** What differs between proxies (rest-proxy.md section 5). */
struct fm_consume_dialect {
    const char *settings; /* beside name and format, as JSON members */
    bool assign; /* assignments, positions and ends of partitions are offered */
    size_t max_bytes; /* asked for in a read; 0: not sent */
    size_t most_bytes; /* after empty answers: one record may be larger than max_bytes */
    size_t max_answer;
};
const struct fm_consume_dialect *fm_consume_dialect(enum fm_rest_dialect dialect);

/** What is asked; one bit each. */
enum fm_consume_step {
    FM_CONSUME_TOPIC = 1 << 0, /* its partitions */
    FM_CONSUME_ENDS = 1 << 1,
    FM_CONSUME_CREATE = 1 << 2,
    FM_CONSUME_PLACE = 1 << 3, /* assignments, positions, subscription */
    FM_CONSUME_READ = 1 << 4,
    FM_CONSUME_DELETE = 1 << 5
};

enum fm_consume_class {
    FM_CONSUME_OK,
    FM_CONSUME_AGAIN, /* passing: back off, say again where to go on */
    FM_CONSUME_SOON, /* the proxy is not yet ready for it: the same request once more */
    FM_CONSUME_GONE, /* the instance is no more: make another */
    FM_CONSUME_TAKEN, /* its name is in use */
    FM_CONSUME_NO_API,
    FM_CONSUME_NO_TOPIC,
    FM_CONSUME_DENIED,
    FM_CONSUME_REFUSED
};

struct fm_consume_row { /* conditions that are 0 or NULL match anything; the first row wins */
    unsigned steps;
    int status; /* -2, -4, -5: any 2xx, 4xx, 5xx */
    int64_t code; /* error_code */
    const char *text; /* in the message */
    enum fm_consume_class cls;
    const char *what, *remedy;
};

/** The row of an answer that came (failure FM_HTTP_OK). Never NULL. */
const struct fm_consume_row *fm_consume_judge(enum fm_consume_step step,
                                              const struct fm_http_answer *http);

/** "message" of an error's body, or its beginning, as one line. */
void fm_consume_text(const struct fm_http_answer *http, char *out, size_t size);

/** Buffers for what is decoded from records. */
struct fm_consume_scratch {
    struct fm_buf topic, key, value, headers, text;
};
void fm_consume_scratch_init(struct fm_consume_scratch *s);
void fm_consume_scratch_clear(struct fm_consume_scratch *s);

/** The records in an answer; those of other topics are left out.
 * @param binary  key and value are base64; else JSON as it stands
 * @return FM_OK, FM_EPROTO (no list of records), FM_ENOMEM, or what fn gave */
FM_MUST_USE enum fm_code fm_consume_records(const char *body, size_t len, bool binary,
                                            const char *topic, struct fm_consume_scratch *scratch,
                                            fm_rest_consumed_fn *fn, void *arg, struct fm_err *err);

/** beginning_offset and end_offset. @return false: they are not there */
bool fm_consume_ends(const char *body, size_t len, int64_t *begin, int64_t *end);

enum { FM_CONSUME_PARTITIONS = 10000 };

/** The numbers in an answer to GET /topics/T/partitions, ascending; *out is the caller's.
 * @return FM_OK, FM_EPROTO, FM_ELIMIT, FM_ENOMEM */
FM_MUST_USE enum fm_code fm_consume_partitions(const char *body, size_t len, int32_t **out,
                                               size_t *n, struct fm_err *err);

/** The name of the instance that was made. @return false: there is none that fits a path */
bool fm_consume_created(const char *body, size_t len, char *out, size_t size);

/* ---- the consumer itself (consumer.c, consumer_ask.c) ---- */

#define FM_CONSUME_TYPE "application/vnd.kafka.v2+json"

enum { FM_CONSUME_NAME = 64, FM_CONSUME_GROUP = 255, FM_CONSUME_PATH = 800 };

struct fm_rest_consumer {
    struct fm_rest_conf *conf; /* owned */
    const struct fm_consume_dialect *dialect;
    struct fm_client *client;
    struct fm_asker asker;
    struct fm_oauth_token token; /* auth = oauth2 */
    int64_t token_until; /* then it is fetched anew; 0: there is none */
    bool token_tried; /* another one, after a 401 */
    const char *urls[FM_REST_ENDPOINTS];
    char *base; /* owned: the only one, or NULL */
    size_t n_urls, cur;
    char topic[256], group[FM_CONSUME_GROUP + 1], wanted[FM_CONSUME_NAME],
        name[FM_CONSUME_NAME]; /* name: as the proxy has it */
    bool own_group;
    unsigned wait_ms, timeout_ms;
    bool (*stop)(void *arg);
    void *stop_arg;
    bool created, maybe, placed; /* maybe: made, but the answer was not seen */
    bool assigned; /* and only the positions are left to be told */
    struct fm_rest_place *places; /* ascending */
    size_t n_places;
    unsigned renewed, lost, empty;
    struct fm_buf request, answer;
    struct fm_consume_scratch scratch;
    /* of the step that is tried now */
    int64_t deadline;
    unsigned backoff_ms;
};

struct fm_consume_asked {
    enum fm_consume_step step;
    const char *method, *path, *accept;
    size_t max_answer;
    unsigned timeout_ms;
    bool body; /* c->request */
};

/** A step begins: it may take timeout_ms. */
void fm_consume_begin(struct fm_rest_consumer *c);

/** Wait before the next try. @return FM_OK, FM_ESTOP, or FM_ETIMEOUT with why as its reason */
FM_MUST_USE enum fm_code fm_consume_pause(struct fm_rest_consumer *c, const struct fm_err *why,
                                          struct fm_err *err);

/** One try. @return FM_OK: *cls says how it went (OK, AGAIN, SOON, GONE, TAKEN; why has the
 * sentence); else it is in vain */
FM_MUST_USE enum fm_code fm_consume_try(struct fm_rest_consumer *c,
                                        const struct fm_consume_asked *asked,
                                        enum fm_consume_class *cls, struct fm_err *why,
                                        struct fm_err *err);

/** Try until it is answered well. */
FM_MUST_USE enum fm_code fm_consume_insist(struct fm_rest_consumer *c,
                                           const struct fm_consume_asked *asked,
                                           struct fm_err *err);

#endif
