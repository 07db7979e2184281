/* rest/topic_priv.h - a topic of the sender: its state, the requests under way for it, the records
 * that are in doubt. All of it belongs to the sender's thread. */
#ifndef FM_REST_TOPIC_PRIV_H
#define FM_REST_TOPIC_PRIV_H

#include "rest/rest_priv.h"

/* ---- a request under way: send.c starts it, verdict.c takes its answer ---- */

enum fm_flight {
    FM_FLIGHT_NONE,
    FM_FLIGHT_PRODUCE,
    FM_FLIGHT_PROBE,
    FM_FLIGHT_PARTITIONS,
    FM_FLIGHT_CLUSTER, /* v3: asking for the cluster's id */
    FM_FLIGHT_LIMIT /* v3: asking for the topic's size limit */
};
enum fm_mode { FM_MODE_LINE, FM_MODE_PART, FM_MODE_SUSPECT };

struct fm_lane;

struct fm_request {
    struct fm_topic *topic;
    struct fm_lane *lane; /* NULL: the one that every state uses */
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
    struct fm_typed_use typed; /* avro, jsonschema */
    struct fm_verdict *verdicts;
    struct fm_settlement *settle;
    size_t cap; /* of both */
};

/* ---- several requests at a time: lanes.c ---- */

/* The records of some keys, in order; at most one request of a lane is under way. */
struct fm_lane {
    struct fm_request req;
    struct fm_spool_batch view; /* what req.batch points to */
    struct fm_spool_item *items; /* the first req.n are in the request, if there is one */
    struct fm_lane_origin {
        unsigned source; /* the batch of the spool that the item is borrowed from */
        unsigned spot; /* of its key or partition; FM_LANE_SPOTS: it has neither */
    } * origin; /* of each item */
    size_t n, cap;
};

enum { FM_LANE_SPOTS = 4096 };

struct fm_lanes {
    struct fm_lane *lane; /* NULL until needed */
    unsigned n;
    bool serial; /* something was refused: one request at a time until a batch is accepted */
    bool more; /* the last read left records in the line */
    size_t bytes; /* of all sources: keys and values in memory */
    struct fm_lane_source {
        struct fm_spool_batch *batch; /* NULL: free slot */
        size_t bytes;
        size_t open; /* of its items still in a lane */
    } * source;
    size_t n_sources;
    /* Keys and partitions, by hash. Those of a spot stay together in one lane for as long as any of
     * their records is held; then the spot may move to a lane that has less to do. */
    struct fm_lane_spot {
        unsigned lane;
        unsigned open; /* records held */
    } * spot; /* FM_LANE_SPOTS of them, NULL until needed */
};

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

struct fm_strike {
    struct fm_spool_id id;
    unsigned n;
};

struct fm_isolation {
    struct fm_part *parts;
    size_t head, n, cap;
    struct fm_suspect *suspects;
    size_t n_suspects, cap_suspects;
    struct fm_suspect lined; /* one that went back into the line; id.seq 0: none */
    int64_t gate, no_p_gate; /* no suspect before; none without a P answer before */
    size_t turn;
    struct fm_strike *strikes;
    size_t n_strikes;
};

/* ---- HOLD ---- */

enum { FM_HOLD_REFUSED = 64, FM_STRIKES = 1024 };

struct fm_held {
    bool endpoint; /* for a reason that concerns the endpoint */
    struct fm_spool_id refused[FM_HOLD_REFUSED];
    bool control[FM_HOLD_REFUSED];
    size_t n;
    long status;
    int64_t code;
    bool turn;
    /* afterwards: for a while this ALERT is ISOLATE */
    long soft_status;
    int64_t soft_code, soft_until;
    struct fm_spool_id s_first, s_last; /* the ends of S while soft */
    bool s_first_refused;
};

/* ---- after a PROBE answer: what a 200 of the probe leads to ---- */

struct fm_after {
    bool isolate, p, from_one, alone;
    struct fm_spool_id id;
    bool control;
    size_t stored;
    char text[240];
};

/* What the log was told of the way. */
struct fm_trouble {
    int64_t since; /* the first failure since all was accepted; 0: all is well */
    int64_t told_at; /* 0: nothing was told of it yet */
    uint64_t hash; /* of what was told */
    uint64_t gathered; /* records that waited at its end; 0: they were sent */
    int64_t sent_from;
};

struct fm_topic {
    struct fm_rest *rest;
    char name[256];
    struct fm_trouble trouble;

    /* state and what is said about it */
    enum fm_rest_state state;
    enum fm_rest_state health;
    int64_t since_wall, probing_since;
    bool failed;
    enum fm_rest_hop hop;
    char reason[FM_REST_TEXT];

    /* when to go on, and how */
    int64_t next_at; /* nothing before */
    unsigned step; /* of the back-off */
    unsigned doubt; /* PROBE answers in ONE whose probe was good, in a row */
    unsigned transport_row;
    const struct fm_row *row; /* the last row that counts ... */
    unsigned row_n; /* ... and how often in a row */
    bool auth_retried;
    bool fresh; /* the next request on a new connection */
    bool plain; /* the next request is not compressed */
    bool waits_token; /* held back for want of a token */
    bool renews_token; /* what comes next waits for another one, while the old one serves others */
    bool backlog; /* records have gathered while none could be sent: [rest] drain_rate holds */

    struct fm_request req;
    struct fm_lanes lanes;
    struct {
        struct fm_offsets seen;
        size_t endpoint; /* where they were seen */
        unsigned told; /* FM_ODD_: the log knows */
    } offsets;
    struct {
        bool limit_only; /* it reads the size limit; the state does not change */
        bool cluster_fresh; /* v3: it looked the cluster's id up itself */
        unsigned portal;
        unsigned busy; /* 429s in a row to what is asked behind the topic itself */
    } probe;
    struct fm_after after;
    struct fm_typed typed;
    struct fm_isolation iso;
    struct fm_held held;
    struct {
        uint64_t limit; /* of a stored record; 0: not yet asked for */
        bool known; /* configured or read; else it is a guess, and no reason to doubt an answer */
        int64_t read_at; /* 0: to be read */
        bool warned;
        size_t body; /* learnt in this run; 0: none */
        size_t narrow; /* what the line takes, as far as is known; 0: no limit */
        size_t stalled; /* the last body that did not get through */
        unsigned stalls; /* since one of half its size did */
        int64_t grow_at; /* narrow may grow then */
    } size;
    struct {
        uint64_t pending; /* as the spool last said */
        int64_t idle_since; /* nothing pending after a failure; 0: not so */
        int64_t waiting_since; /* linger; 0: nothing waits */
        int64_t dry_until;
        double avg_bytes; /* of a record's key and value */
    } line;
};

/* tell.c */
/** The log hears of a change of state; before it is made. */
void fm_topic_tell(struct fm_topic *t, enum fm_rest_state state);
/** A request failed that is tried again without a change to a bad state; lasts: worth a line. */
void fm_topic_tell_failure(struct fm_topic *t, bool lasts, int64_t now);
/** All of a request was accepted. */
void fm_topic_tell_end(struct fm_topic *t);
/** What had gathered in a trouble has been sent. */
void fm_topic_caught_up(struct fm_topic *t);

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
/** Any of least to most, each as likely. */
int64_t fm_rest_between(struct fm_rest *rest, uint64_t least, uint64_t most);
int64_t fm_rest_backoff(struct fm_rest *rest, unsigned step);
/** The same, but never longer than the trouble has lasted: after a short one nobody waits for a
 * minute, and those who lost a proxy together still come back spread over as long as it was away.
 */
int64_t fm_rest_backoff_after(struct fm_rest *rest, unsigned step, int64_t lasted_ms);
/** ... for a topic, and its next step. */
int64_t fm_topic_backoff(struct fm_topic *t, int64_t now);
/** Do what is due; lowers *due to the next time something is. */
void fm_topic_step(struct fm_topic *t, int64_t now, int64_t *due);

/* verdict.c */
/** The answer to a produce request is here. */
void fm_request_answered(struct fm_request *r, const struct fm_http_answer *http);

/* offsets.c: around the reading of an answer */
void fm_offsets_begin(struct fm_offset_watch *w, struct fm_request *r);
void fm_offsets_end(const struct fm_offset_watch *w, struct fm_request *r);

/* act.c */

/** Too many requests: the whole sender waits, but for backoff at least, and keeps a distance. */
void fm_topic_slow(struct fm_topic *t, int64_t wait_ms, int64_t now);

/* What is left of a request. */
struct fm_left {
    struct fm_spool_id *ids; /* unaccepted, in order */
    bool *p; /* P */
    size_t n;
    size_t first; /* index in the batch of the first one */
};
/** @return false: no memory */
bool fm_left_collect(const struct fm_request *r, struct fm_left *left);
void fm_left_clear(struct fm_left *left);
void fm_act(struct fm_request *r, const struct fm_http_answer *http, struct fm_judgement *j,
            int64_t now);

/* request.c */
/** Whether requests carry a token. */
bool fm_rest_bearer(const struct fm_rest_opts *o);
/** @param format  of the records for a POST; NULL: no POST */
enum fm_code fm_send_request(struct fm_rest *rest, struct fm_http_request *req, const char *path,
                             size_t endpoint, const enum fm_rest_format *format, bool gzip,
                             fm_http_done *done, void *arg, struct fm_call **out,
                             struct fm_err *err);
/** Since when the other side is waited for; 0: it is not. A body on its way is no such wait. */
int64_t fm_request_quiet_since(const struct fm_request *r);
void fm_request_init(struct fm_request *r, struct fm_topic *t, struct fm_lane *lane);
void fm_request_clear(struct fm_request *r);
/** Render the first records of r->batch, as many as fit, and post them. */
FM_MUST_USE enum fm_code fm_request_produce(struct fm_request *r, size_t max_records, int64_t now,
                                            struct fm_err *err);

/* size.c: how large a body may be */
/** @return the smaller of bytes and what was learnt */
size_t fm_size_body(const struct fm_topic *t, size_t bytes);
/** A body did not get through: halves from the second time on, after the third 1 KiB. */
void fm_size_stalled(struct fm_topic *t, size_t body, int64_t now);
/** One did: in time larger ones are tried. */
void fm_size_passed(struct fm_topic *t, size_t body, int64_t now);
/** One was too large for the proxy. */
void fm_size_refused(struct fm_topic *t, size_t body);
void fm_size_forget(struct fm_topic *t);

/* send.c */
enum { FM_READ_WAIT_MS = 1000, FM_DRY_MS = 25, FM_SKIP_MAX = 1024 };

void fm_send_due(struct fm_topic *t, int64_t now, int64_t *due);
/** What a read of the line leaves out: suspects, and what a HOLD saw refused. @return how many */
size_t fm_line_skip(const struct fm_topic *t, struct fm_spool_id skip[FM_SKIP_MAX]);
/** Records for one request. */
size_t fm_line_records(const struct fm_topic *t);
/** Bytes of keys and values for one request. */
size_t fm_line_bytes(const struct fm_topic *t);
/** Whether a batch should be read now, aside of so many that are already in requests. */
bool fm_line_ready(struct fm_topic *t, uint64_t aside, int64_t now, int64_t *due);
void fm_line_read(struct fm_topic *t, const struct fm_spool_batch *batch); /* one was, not empty */
/** How many of want records drain_rate lets go now; with 0 it lowers *due. */
size_t fm_line_allowed(struct fm_topic *t, size_t want, int64_t now, int64_t *due);
void fm_line_sent(struct fm_topic *t, size_t n);

/* lanes.c */
bool fm_lanes_wanted(const struct fm_topic *t);
/** Requests under way in lanes, and their records. */
size_t fm_lanes_flying(const struct fm_topic *t);
size_t fm_lanes_records(const struct fm_topic *t);
size_t fm_lanes_bytes(const struct fm_topic *t); /* held in memory: under way or waiting */
int64_t fm_lanes_since(const struct fm_topic *t); /* the earliest fm_request_quiet_since(); or 0 */
void fm_lanes_send(struct fm_topic *t, int64_t now, int64_t *due);
/** Something was refused: what waits in lanes goes back into the line, nothing new is sent in them
 * until fm_lanes_go_on(). What is under way comes back. */
void fm_lanes_stop(struct fm_topic *t);
void fm_lanes_go_on(struct fm_topic *t);
/** A lane's request is answered: its first n records leave it. */
void fm_lane_release(struct fm_lane *lane, size_t n);
void fm_lanes_cancel(struct fm_topic *t);
void fm_lanes_clear(struct fm_topic *t); /* no request is under way */

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

#endif
