/* rest/rest_priv.h - what the sender's files share. Everything but the marked fields of struct
 * fm_rest belongs to the sender's thread alone. Times are fm_clock_ms(). */
#ifndef FM_REST_REST_PRIV_H
#define FM_REST_REST_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "rest/answer_priv.h"
#include "rest/oauth_priv.h"
#include "rest/rest.h"
#include "rest/typed_priv.h"

/* ---- conf.c: a private, complete copy of the options ---- */

struct fm_rest_conf {
    struct fm_rest_opts o; /* strings and arrays lie in the arena; defaults are filled in */
    struct fm_arena arena;
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
    const struct fm_rest_opts *o; /* the same */
};

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

/* ---- v3.c ---- */

enum { FM_CLUSTER_ID = 128, FM_V3_PATH = 600 };

/** "/clusters/ID/topics/TOPIC" and tail. */
void fm_v3_path(const char *cluster, const char *topic, const char *tail, char *out, size_t size);
bool fm_v3_cluster_valid(const char *id, size_t len);
/** The first cluster's id in the answer to GET /clusters. @return false: none there */
bool fm_v3_cluster(const char *body, size_t len, char out[FM_CLUSTER_ID]);
/** The value of a config's answer; 0: not there. */
uint64_t fm_v3_limit(const char *body, size_t len);
void fm_v3_put_record(struct fm_buf *body, const struct fm_batch_limits *limits,
                      const struct fm_spool_item *item);

/* ---- the line of records to isolate, and suspects: isolate.c ---- */

struct fm_part {
    struct fm_spool_id id;
    bool start; /* a request begins here */
};

struct fm_suspect {
    struct fm_spool_id id;
    bool control;
    bool evidence; /* another record was accepted after its first failure */
    bool last_p; /* the last answer was a P */
    bool size_doubt; /* a size answer, but below the limit as it was known */
    unsigned failures, p_count;
    int64_t first_at, counted_at, next_at;
    unsigned wait_ms;
    size_t stored;
    char answers[2][240]; /* of the first and the latest P answer; before one: the latest */
};

enum fm_flight {
    FM_FLIGHT_NONE,
    FM_FLIGHT_PRODUCE,
    FM_FLIGHT_PROBE,
    FM_FLIGHT_PARTITIONS,
    FM_FLIGHT_CLUSTER, /* v3: asking for the cluster's id */
    FM_FLIGHT_LIMIT /* v3: asking for the topic's size limit */
};
enum fm_mode { FM_MODE_LINE, FM_MODE_PART, FM_MODE_SUSPECT };

enum { FM_HOLD_REFUSED = 64, FM_STRIKES = 1024 };

struct fm_strike {
    struct fm_spool_id id;
    unsigned n;
};

struct fm_topic {
    struct fm_rest *rest;
    char name[256];
    enum fm_rest_state state;
    enum fm_rest_state health;
    int64_t since_wall, probing_since;
    bool failed;
    enum fm_rest_hop hop;
    char reason[FM_REST_TEXT];

    int64_t next_at; /* nothing before */
    unsigned step; /* of the back-off */
    unsigned doubt; /* PROBE answers in ONE whose probe was good, in a row */
    unsigned transport_row;
    const struct fm_row *row; /* the last row that counts ... */
    unsigned row_n; /* ... and how often in a row */
    bool auth_retried;
    bool fresh;
    bool waits_token; /* held back for want of a token */
    bool endpoint_hold; /* HOLD for a reason that concerns the endpoint */
    unsigned probe_portal;

    /* the request in flight */
    enum fm_flight flight;
    enum fm_mode mode;
    struct fm_call *call;
    size_t endpoint;
    int64_t sent_at;
    unsigned secret_gen; /* rest->secret_gen then */
    struct fm_spool_batch *batch;
    size_t n; /* records of the batch in the request */
    struct fm_buf body;
    struct fm_buf packed; /* the body, compressed */
    bool gzip; /* packed is what was sent */
    bool plain; /* the next request is not compressed */
    struct fm_typed typed;
    struct fm_verdict *verdicts;
    size_t verdicts_cap;
    struct fm_settlement *settle;
    bool limit_only; /* the probe reads the size limit; the state does not change */
    bool cluster_fresh; /* v3: this probe looked the cluster's id up itself */

    /* after a PROBE answer: what a 200 of the probe leads to */
    bool after_isolate, after_p, after_from_one;
    bool after_alone;
    struct fm_spool_id after_id;
    bool after_control;
    size_t after_stored;
    char after_text[240];

    /* isolation */
    struct fm_part *parts;
    size_t parts_head, parts_n, parts_cap;
    struct fm_suspect *suspects;
    size_t n_suspects, cap_suspects;
    struct fm_suspect lined; /* one that went back into the line; id.seq 0: none */
    int64_t suspect_gate, no_p_gate;
    size_t turn;
    struct fm_strike *strikes;
    size_t n_strikes;

    /* HOLD */
    struct fm_spool_id refused[FM_HOLD_REFUSED];
    bool refused_control[FM_HOLD_REFUSED];
    size_t n_refused;
    long hold_status;
    int64_t hold_code;
    long soft_status; /* for a while this ALERT is ISOLATE */
    int64_t soft_code, soft_until;
    bool hold_turn;
    struct fm_spool_id s_first, s_last; /* the ends of S while soft */
    bool s_first_refused;

    /* sizes */
    uint64_t size_limit; /* 0: not known */
    int64_t limit_at; /* read at; 0: to be read */
    bool limit_warned;
    size_t body_limit; /* learnt in this run; 0: none */
    unsigned slow_uploads;

    /* the line */
    uint64_t pending; /* as the spool last said */
    int64_t idle_since; /* nothing pending after a failure; 0: not so */
    int64_t waiting_since; /* linger; 0: nothing waits */
    int64_t dry_until;
    double avg_bytes; /* of a record's key and value */
};

struct fm_endpoint {
    const char *url; /* without a slash at its end; in the conf */
    int64_t retry_at;
    unsigned step;
    bool left; /* failed over from */
    int64_t since_wall;
    int cert_days;
    char reason[FM_REST_TEXT];
    struct fm_call *check; /* asking whether it is back */
    int64_t hold_next; /* one topic at a time tries in an endpoint's HOLD */
    bool no_gzip; /* it does not take compressed requests */
    char cluster[FM_CLUSTER_ID]; /* v3; "": not known (again) */
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
    int64_t not_before; /* 429, drain rate */
    unsigned pace_ms, slow_step;
    uint64_t rng;
    bool leaving; /* stop was asked */
    bool conf_told; /* that new options wait for a request */
    struct fm_rest_stats now; /* totals and last_send */

    struct fm_spool *spool;
    struct fm_log *log;
    struct fm_hist hist;
    atomic_bool end_of_input;
    atomic_bool woken;

    pthread_mutex_t lock; /* leaf; protects what follows */
    pthread_cond_t changed;
    bool started, ended, stopping;
    int64_t stop_at;
    struct fm_rest_conf *next_conf;
    struct fm_rest_stats stats;
    pthread_t thread;
    bool joined, overdue; /* of the thread that joins */
};

/* topic.c */
struct fm_topic *fm_topic_get(struct fm_rest *rest, const char *name);
bool fm_topic_bad(enum fm_rest_state state); /* HOLD, STUCK, MISSING, OUTAGE */
/** Nothing is pending: a topic takes no part in health then. @return true: forget it */
bool fm_topic_idle(struct fm_topic *t, int64_t now);
void fm_topic_free(struct fm_topic *t);
void fm_topic_state(struct fm_topic *t, enum fm_rest_state state);
/** Note a failure: sentence and hop. */
void fm_topic_reason(struct fm_topic *t, enum fm_rest_hop hop, const char *what, const char *detail,
                     const char *remedy);
/** The row's remedy, unless the failure's own sentence has one; may be NULL. */
const char *fm_topic_remedy(const struct fm_row *row, const struct fm_http_answer *http);
int64_t fm_rest_backoff(struct fm_rest *rest, unsigned step);
/** Do what is due; lowers *due to the next time something is. */
void fm_topic_step(struct fm_topic *t, int64_t now, int64_t *due);

/* verdict.c */
void fm_topic_produced(struct fm_topic *t, const struct fm_http_answer *http);

/* send.c */
/** Whether requests carry a token. */
bool fm_rest_bearer(const struct fm_rest_opts *o);
void fm_send_due(struct fm_topic *t, int64_t now, int64_t *due);
/** @param format  of the records for a POST; NULL: no POST */
enum fm_code fm_send_request(struct fm_rest *rest, struct fm_http_request *req, const char *path,
                             size_t endpoint, const enum fm_rest_format *format, bool gzip,
                             fm_http_done *done, void *arg, struct fm_call **out,
                             struct fm_err *err);

/* probe.c */
void fm_probe_start(struct fm_topic *t, bool limit_only);
/** The topic's max.message.bytes in a probe's answer; 0: not there. */
uint64_t fm_probe_limit(const char *body, size_t len);
bool fm_probe_is_json(const char *body, size_t len);
bool fm_probe_lists(const char *body, size_t len, const char *topic);
enum fm_probe_result { FM_PROBE_GOOD, FM_PROBE_MISSING, FM_PROBE_DENIED, FM_PROBE_OTHER };
enum fm_probe_result fm_probe_judge(enum fm_rest_dialect dialect, const char *topic,
                                    const struct fm_http_answer *http);
const struct fm_row *fm_probe_row(enum fm_rest_dialect dialect, const struct fm_http_answer *http);
/** @param cluster  v3: "" asks for the clusters instead of the topic; else not looked at */
void fm_probe_path(enum fm_rest_dialect dialect, const char *cluster, const char *topic, char *out,
                   size_t size);

/* isolate.c */
bool fm_isolate_any(const struct fm_topic *t);
void fm_isolate_clear(struct fm_topic *t);
/** Put ids in front of the line of parts; alone: each a request of its own. */
bool fm_isolate_push(struct fm_topic *t, const struct fm_spool_id *ids, size_t n, bool alone);
/** As fm_isolate_push(), cut in halves (one request each). */
bool fm_isolate_halves(struct fm_topic *t, const struct fm_spool_id *ids, size_t n);
/** The ids of the next request (one: only its first record), taken out. @return how many */
size_t fm_isolate_take(struct fm_topic *t, struct fm_spool_id *ids, size_t max, bool one);
void fm_suspect_forget(struct fm_topic *t, struct fm_suspect *s);
struct fm_suspect *fm_suspect_find(struct fm_topic *t, const struct fm_spool_id *id);
/** A record failed alone. @return false if the topic must be held instead (rule 5) */
bool fm_suspect_add(struct fm_topic *t, const struct fm_spool_id *id, bool control, size_t stored,
                    bool p, unsigned flags, const char *answer, int64_t now);
void fm_suspect_evidence(struct fm_topic *t);
void fm_suspect_release(struct fm_topic *t); /* all go back to the line */
void fm_suspect_limit(struct fm_topic *t); /* the size limit was read again */
void fm_suspect_bury_due(struct fm_topic *t); /* those that may be buried are */
struct fm_suspect *fm_suspect_due(struct fm_topic *t, int64_t now, int64_t *due);
void fm_strike_clear(struct fm_topic *t, const struct fm_spool_id *id);
unsigned fm_strike(struct fm_topic *t, const struct fm_spool_id *id);

/* endpoint.c */
void fm_endpoints_init(struct fm_rest *rest);
/** This endpoint failed: leave it for another one if there is. @return true if changed */
bool fm_endpoint_failed(struct fm_rest *rest, size_t i, const char *reason);
void fm_endpoint_good(struct fm_rest *rest, size_t i);
/** v3: forget a cluster's id that was looked up, after a 404. @return false: it is configured */
bool fm_endpoint_forget_cluster(struct fm_rest *rest, size_t i);
void fm_endpoints_step(struct fm_rest *rest, int64_t now, int64_t *due);
bool fm_rest_secret_again(struct fm_rest *rest);

bool fm_id_same(const struct fm_spool_id *a, const struct fm_spool_id *b);

#endif
