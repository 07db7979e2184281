/* rest/rest.h - the REST-proxy producer: one thread that takes records from the spool and brings
 * them into topics, by the decision table of table.c (reference: rest-proxy.md, section 7).
 *
 * A record leaves the spool as delivered only when the answer named it as accepted, and as a dead
 * letter only after it failed alone, twice, for a permanent reason, while the topic took another
 * record in between. No answer drops anything by itself. All waits are monotonic milliseconds. */
#ifndef FM_REST_REST_H
#define FM_REST_REST_H

#include <stdint.h>

#include "base/hist.h"
#include "base/log.h"
#include "firstmile/rest.h"
#include "net/client.h"
#include "record/schema.h"
#include "spool/spool.h"

enum fm_rest_format { FM_REST_JSON, FM_REST_BINARY, FM_REST_AVRO, FM_REST_JSONSCHEMA };
enum fm_rest_auth {
    FM_REST_AUTH_NONE,
    FM_REST_AUTH_BASIC,
    FM_REST_AUTH_BEARER,
    FM_REST_AUTH_OAUTH2 /* client credentials; the token is fetched and kept fresh */
};

/** Read the password (Basic), token (Bearer) or client secret (OAuth2) again, from its file,
 * appended to out. On the sender's thread, seldom (after a 401, before a token is fetched).
 * @return false if there is none to be had */
typedef bool fm_rest_secret_fn(void *arg, struct fm_buf *out);

/** Whether it is spoken under /v3, be it as a stream of records or as a batch. */
static inline bool fm_rest_is_v3(enum fm_rest_dialect dialect)
{
    return dialect == FM_DIALECT_CONFLUENT_V3 || dialect == FM_DIALECT_CONFLUENT_V3_BATCH;
}

/** Everything is copied by fm_rest_new(), but for spool, log and the callbacks' arguments, which
 * must outlive the sender. A 0 means the default in brackets, unless said otherwise. */
/** For on_way; borrowed. */
struct fm_rest_way {
    const char *topic;
    const char *text; /* the line: a warning, or of the end information */
    const char *reason; /* of a trouble, as struct fm_rest_topic has it; of the end "" */
    bool over;
};

struct fm_rest_opts {
    struct fm_spool *spool;
    struct fm_log *log;
    const char *const *urls; /* base URLs, the preferred first; http:// or https:// */
    size_t n_urls; /* 1..FM_REST_ENDPOINTS */
    enum fm_rest_dialect dialect;
    enum fm_rest_format format;
    /* avro and jsonschema; by default the record's own schema is registered */
    enum fm_schema shape; /* what control records follow before there was data */
    const char *schema; /* text to register instead; NULL */
    uint32_t schema_id; /* registered already; 0 */
    enum fm_rest_auth auth;
    const char *username;
    const char *password;
    const char *token;
    const char *oauth2_url; /* token endpoint; it is reached through proxy, verified by ca_file */
    const char *oauth2_client;
    const char *oauth2_secret;
    const char *oauth2_scope; /* NULL: none */
    const char *identity_pool; /* Confluent Cloud, with Bearer or OAuth2; NULL: no such header */
    fm_rest_secret_fn *secret; /* NULL: the secret cannot change */
    void *secret_arg;
    struct fm_tls tls;
    struct fm_http_proxy proxy;
    const char *connect_to; /* see struct fm_http_request; NULL */
    const char *cluster_id; /* v3; NULL: ask the proxy */
    const char *agent; /* v3: the header firstmile-agent; NULL: no identity headers */
    unsigned batch_records; /* [500; V3_BATCH: 10, and 10 for more than FM_REST_ENTRIES_MAX] */
    size_t batch_bytes; /* of the encoded body [350 KiB] */
    unsigned linger_ms; /* 0: none */
    unsigned backoff_ms; /* [1 s] */
    unsigned max_backoff_ms; /* [60 s] */
    unsigned isolate_backoff_ms; /* [30 s] */
    unsigned isolate_max_backoff_ms; /* [10 min] */
    unsigned suspect_interval_ms; /* [30 s] */
    unsigned max_suspects; /* of each topic [100] */
    unsigned hold_interval_ms; /* [30 s] */
    unsigned stuck_interval_ms; /* [60 s] */
    unsigned connect_timeout_ms; /* [10 s] */
    unsigned timeout_ms; /* [130 s] */
    unsigned timeout_single_ms; /* one record, Confluent and Strimzi [190 s] */
    unsigned probe_timeout_ms; /* [65 s] */
    unsigned idle_age_ms; /* [25 s] */
    unsigned connection_life_ms; /* [10 min] */
    unsigned limit_age_ms; /* the size limit is read again after this [1 h] */
    unsigned max_in_flight; /* requests for one topic while all goes well; split by key [1] */
    bool gzip; /* compress requests, until an endpoint does not take them */
    unsigned drain_rate; /* records a second while a backlog is sent; 0: no limit */
    uint64_t size_limit; /* of one stored record; 0: ask the topic */
    bool topic_auto_created; /* the first produce creates a missing topic */
    /** A record became a dead letter. On the sender's thread; must not call back. NULL allowed. */
    void (*on_dead)(void *arg, const struct fm_spool_id *id, const char *reason);
    void *on_dead_arg;
    /** From fm_rest_end_of_input() on one permanent answer to a record alone makes it a dead
     * letter, without a second and without other records as evidence. */
    bool bury_at_end;
    /** What the log would say of a topic's trouble and its end; what it says now and then of one
     * that lasts stays its own. On the sender's thread; must not call back. NULL: the log. */
    void (*on_way)(void *arg, const struct fm_rest_way *what);
    void *on_way_arg;
    bool tells_dead; /* on_dead tells people of each: the log need not warn of it, too */
    /** The spool was told that these are delivered, n runs of them. As on_dead. */
    void (*on_delivered)(void *arg, const struct fm_settlement *list, size_t n);
    void *on_delivered_arg;
};

struct fm_rest; /* opaque: rest/rest.c */

/** @return FM_OK, FM_ECONF (bad URL, no URL) or FM_ENOMEM */
FM_MUST_USE enum fm_code fm_rest_new(struct fm_rest **out, const struct fm_rest_opts *opts,
                                     struct fm_err *err);

/** Start the sender's thread. */
FM_MUST_USE enum fm_code fm_rest_start(struct fm_rest *rest, struct fm_err *err);

/** Send nothing new; a request in flight gets at most grace_ms more. Does not wait; any thread. */
void fm_rest_stop(struct fm_rest *rest, unsigned grace_ms);

/** The same, but first send what waits in the spool, in the first two thirds of the grace and for
 * as long as it is accepted; over when nothing is left, or what is left cannot be sent now. */
void fm_rest_finish(struct fm_rest *rest, unsigned grace_ms);

/** Wait for the thread's end. @return false if it still runs after timeout_ms */
bool fm_rest_join(struct fm_rest *rest, unsigned timeout_ms);

/** Free after a successful join; else stop (without grace) and, unless a join already was in vain,
 * wait 2 s for the thread first. NULL is allowed. @return false: the thread still runs; nothing is
 * freed, and spool, log and the callbacks' arguments must stay: leave the process without freeing
 * them */
bool fm_rest_free(struct fm_rest *rest);

/** There may be something to send: for the spool's on_commit. Any thread, cheap, also before
 * fm_rest_start(). */
void fm_rest_wakeup(struct fm_rest *rest);

/** Take over new options (reload): a produce request in flight ends under the old
 * ones, all others are given up; then every topic is probed again; suspects become ordinary
 * records. spool and log stay those of fm_rest_new(). */
FM_MUST_USE enum fm_code fm_rest_reconfigure(struct fm_rest *rest, const struct fm_rest_opts *opts,
                                             struct fm_err *err);

/** No more records will come (produce, once): nothing lingers, and opts.bury_at_end holds. Any
 * thread. */
void fm_rest_end_of_input(struct fm_rest *rest);

/** Wait until the spool holds nothing more to send and no request is in flight, for so long at
 * most, whatever is settled meanwhile: the caller has signals and a progress line to look at, too.
 * @return FM_OK, FM_ETIMEOUT (with the reason that the state gives) or FM_ESTOP */
FM_MUST_USE enum fm_code fm_rest_drain(struct fm_rest *rest, unsigned wait_ms, struct fm_err *err);

/* ---- what it says about itself ---- */

/** States of a topic (reference 7.8). */
enum fm_rest_state {
    FM_REST_PROBING, /* asking whether the topic exists */
    FM_REST_OUTAGE, /* proxy or Kafka unreachable; back-off */
    FM_REST_MISSING, /* the topic does not exist */
    FM_REST_ONE, /* one record at a time */
    FM_REST_STUCK, /* the proxy answers probes but produces nothing */
    FM_REST_HOLD, /* the configuration must change */
    FM_REST_RUN
};
const char *fm_rest_state_name(enum fm_rest_state state); /* "run", ... */

/** Where on the way it failed. */
enum fm_rest_hop {
    FM_REST_HOP_NONE,
    FM_REST_HOP_NAME,
    FM_REST_HOP_TCP,
    FM_REST_HOP_HTTP_PROXY,
    FM_REST_HOP_TLS,
    FM_REST_HOP_OAUTH2,
    FM_REST_HOP_REST_PROXY,
    FM_REST_HOP_KAFKA
};
const char *fm_rest_hop_name(enum fm_rest_hop hop); /* "name", "TCP", "HTTP proxy", ... */

enum { FM_REST_ENTRIES = 10, FM_REST_ENTRIES_MAX = 50 }; /* of records:batch */
enum { FM_REST_ENDPOINTS = 8, FM_REST_TOPICS = 32, FM_REST_TEXT = 400 };

struct fm_rest_topic {
    char topic[256];
    enum fm_rest_state state;
    enum fm_rest_state health; /* the state whose health holds: design.md section 7 */
    bool failed; /* the last produce or probe failed and no record was accepted since */
    int64_t since_ms; /* wall clock: in this state */
    int64_t probing_ms; /* fm_clock_ms() of entering PROBING without an answer yet; 0: not so */
    int64_t
        next_try_ms; /* wall clock: nothing is sent before; 0: it may be now, or nothing waits */
    enum fm_rest_hop hop;
    char reason[FM_REST_TEXT]; /* sentence: what failed and the remedy; "" while all is well */
    size_t suspects;
    size_t refused; /* ... of them alone, for a permanent reason, twice; they wait for evidence */
    char suspect_reason[240]; /* what was answered to the oldest of them; "" if there is none */
    uint64_t size_limit; /* 0: not known yet */
};

enum fm_rest_gzip {
    FM_REST_GZIP_NONE, /* not configured */
    FM_REST_GZIP_ON,
    FM_REST_GZIP_REFUSED /* refused compressed what it took plain: no more of it */
};

struct fm_rest_endpoint {
    char url[256]; /* without credentials */
    bool current;
    enum fm_rest_state state; /* the worst of its topics; OUTAGE for one that was left */
    int64_t since_ms; /* wall clock */
    int cert_days; /* -1: unknown */
    enum fm_rest_gzip gzip;
    char reason[FM_REST_TEXT];
};

struct fm_rest_last_send {
    int64_t time_ms; /* wall clock; 0: nothing sent yet */
    char endpoint[256];
    char topic[256];
    long http_status; /* 0: no answer */
    size_t records; /* in the request */
    size_t bytes;
    double duration_ms;
    char error[FM_REST_TEXT]; /* "": every record was accepted */
};

struct fm_rest_token { /* auth = oauth2 */
    bool used;
    uint64_t fetched, failures;
    int64_t expires_ms; /* wall clock; 0: there is none, or its server does not say */
    char error[FM_REST_TEXT]; /* of the last fetch; "": none */
};

struct fm_rest_stats {
    uint64_t records; /* accepted */
    uint64_t batches; /* produce requests answered or given up */
    uint64_t bytes; /* of bodies */
    uint64_t retries; /* records sent again */
    uint64_t possible_duplicates; /* records sent whose fate is unknown; at least the true number */
    uint64_t dead;
    struct fm_rest_last_send last_send;
    size_t n_endpoints;
    struct fm_rest_endpoint endpoints[FM_REST_ENDPOINTS];
    size_t n_topics; /* in the array */
    struct fm_rest_topic topics[FM_REST_TOPICS]; /* the worst first */
    size_t n_topics_total;
    size_t n_topics_failing; /* of all: in HOLD, STUCK, MISSING or OUTAGE, or failed */
    size_t suspects;
    size_t in_flight_records;
    size_t held_bytes; /* keys and values in memory for several requests at a time */
    int64_t in_flight_since; /* fm_clock_ms(): the longest wait for an answer began; 0: none */
    struct fm_rest_token token;
    int client_cert_days; /* left of our own certificate; -1: none, or unreadable */
    char effective_proxy[256]; /* HTTP proxy without password; "" none */
};

/** A consistent snapshot. Any thread; never waits for the network. */
void fm_rest_stats_get(struct fm_rest *rest, struct fm_rest_stats *out);

/** Time from request to answer, of produce requests. Borrowed. */
const struct fm_hist *fm_rest_latency(const struct fm_rest *rest);

/* ---- check ---- */

enum fm_rest_check { FM_REST_CHECK_OK, FM_REST_CHECK_WARN, FM_REST_CHECK_FAIL, FM_REST_CHECK_SKIP };

struct fm_rest_step { /* borrowed in the callback */
    const char *endpoint; /* without credentials */
    const char *step; /* "name", "TCP", "TLS", "OAuth2", "auth", "topic", "size limit" */
    enum fm_rest_check verdict;
    const char *sentence; /* what was found and the remedy */
};
typedef void fm_rest_report_fn(void *arg, const struct fm_rest_step *step);

/** Ask each endpoint for a topic (NULL: only whether the proxy answers), without sending a record.
 * Blocks up to probe_timeout_ms for each. opts->spool may be NULL.
 * @return FM_OK: no step failed; FM_EREMOTE: one did (already reported); FM_ECONF, FM_ENOMEM */
FM_MUST_USE enum fm_code fm_rest_check(const struct fm_rest_opts *opts, const char *topic,
                                       fm_rest_report_fn *report, void *arg, struct fm_err *err);

struct fm_jlike; /* base/jlike.h */

/** Whether a text is one JSON value that a proxy of this dialect stores as what it says.
 * @param seen  texts of this dialect that were checked before, for speed; NULL: none. One thread at
 *              a time
 * @return FM_OK or FM_EUSAGE with what is wrong. Pure, but for what was seen */
FM_MUST_USE enum fm_code fm_rest_check_json(enum fm_rest_dialect dialect, struct fm_jlike *seen,
                                            const char *text, size_t len, struct fm_err *err);

/** Whether this is a legal topic name for Kafka. */
bool fm_rest_topic_valid(const char *topic);

#endif
