/* rest/rest_priv.h - what the sender's files share. Everything but the marked fields of struct
 * fm_rest belongs to the sender's thread alone. Times are fm_clock_ms(). */
#ifndef FM_REST_REST_PRIV_H
#define FM_REST_REST_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/jscan.h"
#include "rest/answer_priv.h"
#include "rest/oauth_priv.h"
#include "rest/rest.h"
#include "rest/typed_priv.h"

/* ---- conf.c: a private, complete copy of the options ---- */

struct fm_rest_conf {
    struct fm_rest_opts o; /* strings and arrays lie in the arena; defaults are filled in */
    struct fm_arena arena;
    char proxy[256]; /* the HTTP proxy that is used, to be shown; "": none */
    bool renewed; /* the options as before: only a certificate's file is another */
};
FM_MUST_USE enum fm_code fm_rest_conf_new(struct fm_rest_conf **out, const struct fm_rest_opts *o,
                                          struct fm_err *err);
void fm_rest_conf_free(struct fm_rest_conf *conf);

/* ---- batch.c: the request's body ---- */

enum {
    FM_KAFKA_MAX = 1048576,
    FM_LIMIT_UNREADABLE = 1000000,
    FM_RECORD_EXTRA = 100,
    FM_TYPED_EXTRA = 600, /* the names of all fields, as plain JSON; Avro takes less */
    FM_IDENTITY_EXTRA = 100 /* v3's three headers but for the agent's name */
};

struct fm_batch_limits {
    enum fm_rest_dialect dialect;
    enum fm_rest_format format;
    const char *agent; /* v3: for the identity headers; NULL: none */
    size_t max_records;
    size_t max_body; /* encoded; one record alone may be longer */
    uint64_t size_limit; /* of one stored record; 0: unknown */
    struct fm_typed *typed; /* avro, jsonschema */
    struct fm_typed_use *use; /* the same: written for this request */
    const struct fm_rest_opts *o; /* the same */
};

/** fm_rest_check_json() without its quick look: token by token. */
FM_MUST_USE enum fm_code fm_rest_judge_json(enum fm_rest_dialect dialect, const char *text,
                                            size_t len, struct fm_err *err);

/** Bytes that Kafka will count for a record (7.6); 12 for each character above U+FFFF in json. */
size_t fm_batch_stored_size(enum fm_rest_format format, const struct fm_spool_item *item);

/** The format in which this record travels: exact bytes (RAW) never as JSON. */
enum fm_rest_format fm_batch_format(enum fm_rest_format format, const struct fm_spool_item *item);

/** What a POST of such records is declared as. */
const char *fm_batch_content_type(enum fm_rest_dialect dialect, enum fm_rest_format format);

/** Write the body of the first records of a batch, as many as the limits allow, at least one.
 * A record over size_limit goes alone; v2 has one format for a request, so a record of the other
 * one ends it. @param used  how many */
FM_MUST_USE enum fm_code fm_batch_build(struct fm_buf *body, const struct fm_batch_limits *limits,
                                        const struct fm_spool_batch *batch, size_t *used,
                                        struct fm_err *err);

/* ---- gzip.c ---- */

struct fm_gzip; /* opaque */
struct fm_gzip *fm_gzip_new(void); /* NULL: no memory */
void fm_gzip_free(struct fm_gzip *g); /* NULL is allowed */
/** @return false: no memory; send it plain */
bool fm_gzip_body(struct fm_gzip *g, const struct fm_buf *body, struct fm_buf *out);
/** Whether this answer may come from the compression alone, so that the same records must be sent
 * plain before it counts (reference 3.5). Pure */
bool fm_gzip_doubted(const struct fm_sent *sent, const struct fm_http_answer *http,
                     const struct fm_judgement *j);

/* ---- drain.c: the pace at which a backlog is sent ---- */

/* Since it began, at most the larger of rate a second and a tenth more than was newly made, so
 * that a backlog always shrinks and fresh records are never held below their own pace. */
struct fm_drain {
    bool on;
    int64_t since;
    uint64_t made, sent; /* made: when it began */
};
/** @param made  records made so far, any beginning  @param again  when 0: ask again then
 * @return how many of want may go now. Pure but for *d */
size_t fm_drain_allow(struct fm_drain *d, unsigned rate, size_t want, uint64_t made, int64_t now,
                      int64_t *again);
void fm_drain_sent(struct fm_drain *d, size_t n);

/* ---- v3.c ---- */

enum { FM_CLUSTER_ID = 128, FM_V3_PATH = 600 };

/** "/clusters/ID/topics/TOPIC" and tail. */
void fm_v3_path(const char *cluster, const char *topic, const char *tail, char *out, size_t size);
/** Enter the member of the open object with this name. @return its first token, or FM_J_END */
enum fm_jtoken fm_v3_enter(struct fm_jscan *s, const char *name);
bool fm_v3_cluster_valid(const char *id, size_t len);
/** The first cluster's id in the answer to GET /clusters. @return false: none there */
bool fm_v3_cluster(const char *body, size_t len, char out[FM_CLUSTER_ID]);
/** The value of a config's answer; 0: not there. */
uint64_t fm_v3_limit(const char *body, size_t len);
/** What a POST goes to, behind the topic: as a stream, or as a batch. */
const char *fm_v3_tail(enum fm_rest_dialect dialect);
/** @param nth  from 1: a batch's entry is called that, and its verdict comes under this name */
void fm_v3_put_record(struct fm_buf *body, const struct fm_batch_limits *limits,
                      const struct fm_spool_item *item, size_t nth);

struct fm_topic; /* topic_priv.h */

struct fm_endpoint {
    const char *url; /* without a slash at its end; in the conf */
    int64_t retry_at;
    unsigned step;
    bool left; /* failed over from */
    int64_t since_wall;
    int cert_days;
    char reason[FM_REST_TEXT];
    struct fm_call *check; /* asking whether it is back: for this topic, the check_at-th */
    char check_topic[256];
    size_t check_at;
    int64_t hold_next; /* one topic at a time tries in an endpoint's HOLD */
    bool no_gzip; /* it does not take compressed requests */
    size_t max_entries; /* records:batch: learnt from a refusal; 0: not yet */
    char cluster[FM_CLUSTER_ID]; /* v3; "": not known (again) */
    char had_cluster[FM_CLUSTER_ID]; /* as it was looked up before */
    bool cluster_told; /* the log knows that it changed */
};

/* What the spool says about its topics. */
struct fm_topics_asked {
    struct fm_spool_topic *list;
    size_t n, cap;
    bool all; /* none is left out */
};

struct fm_rest {
    /* sender's thread */
    struct fm_rest_conf *conf;
    struct fm_client *client; /* replaced under lock */
    struct fm_topic **topics;
    size_t n_topics;
    size_t found; /* where the last topic was found: the spool tells them in the same order */
    struct fm_topics_asked asked;
    struct fm_endpoint endpoints[FM_REST_ENDPOINTS];
    size_t n_endpoints, cur;
    struct fm_buf secret; /* token or password now in use */
    unsigned secret_gen; /* counts its changes */
    int64_t secret_at;
    struct fm_oauth oauth;
    struct fm_gzip *gzip; /* NULL until needed */
    uint64_t files_print; /* of the certificate files as they were taken over */
    int64_t files_at; /* looked at again then */
    int64_t cert_until; /* end of our own certificate, wall clock in seconds; 0: unknown */
    int64_t not_before; /* 429 */
    struct fm_drain drain;
    uint64_t made; /* records pending and settled, as last told */
    unsigned pace_ms, slow_step;
    uint64_t rng;
    bool finishing; /* stop was asked; what can be sent now still is */
    bool leaving; /* nothing new is sent any more */
    bool conf_told; /* that new options wait for a request */
    struct fm_rest_stats now; /* totals and last_send */

    struct fm_spool *spool;
    struct fm_log *log;
    struct fm_hist hist;
    atomic_bool end_of_input;
    atomic_bool woken;
    atomic_bool asleep; /* it waits, or is about to: woken alone would not be seen */

    pthread_mutex_t lock; /* leaf; protects what follows */
    pthread_cond_t changed; /* nothing is left, or the thread has ended */
    bool started, ended, stopping;
    int64_t stop_at, send_until; /* once stopping: the end, and that of new requests */
    struct fm_rest_conf *next_conf;
    struct fm_rest_stats stats;
    pthread_t thread;
    bool joined, overdue; /* of the thread that joins */
};

/* loop.c */
void *fm_rest_loop(void *rest); /* the thread */
void fm_rest_take_secret(struct fm_rest *rest);
FM_MUST_USE enum fm_code fm_rest_client_new(const struct fm_rest_conf *conf, struct fm_log *log,
                                            struct fm_client **out, struct fm_err *err);
/** Ask for all topics, in an array that grows to as many as there are. Any thread. */
void fm_topics_ask(struct fm_spool *spool, struct fm_topics_asked *asked);

/* files.c */
void fm_files_init(struct fm_rest *rest); /* with each conf */
void fm_files_step(struct fm_rest *rest, int64_t now, int64_t *due);
int fm_files_cert_days(const struct fm_rest *rest); /* -1: no certificate of our own */

/* publish.c */
void fm_rest_publish(struct fm_rest *rest, bool ended);

/* endpoint.c */
void fm_endpoints_init(struct fm_rest *rest);
/** This endpoint failed: leave it for another one if there is. @return true if changed */
bool fm_endpoint_failed(struct fm_rest *rest, size_t i, const char *reason);
void fm_endpoint_good(struct fm_rest *rest, size_t i);
/** v3: take the cluster's id from the answer to a look-up. @return false: there is none */
bool fm_endpoint_learn_cluster(struct fm_rest *rest, size_t i, const struct fm_http_answer *http);
/** v3: forget a cluster's id that was looked up, after a 404. @return false: it is configured */
bool fm_endpoint_forget_cluster(struct fm_rest *rest, size_t i);
void fm_endpoints_step(struct fm_rest *rest, int64_t now, int64_t *due);
bool fm_rest_secret_again(struct fm_rest *rest);

bool fm_id_same(const struct fm_spool_id *a, const struct fm_spool_id *b);

#endif
