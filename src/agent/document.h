/* agent/document.h - what the local server shows: /health, /stats and /metrics, rendered from
 * facts.
 *
 * Pure functions of the facts given, so that every rule of design section 7 can be tested without a
 * network. Any thread. */
#ifndef FM_AGENT_DOCUMENT_H
#define FM_AGENT_DOCUMENT_H

#include "agent/way.h"
#include "poll/poll.h"
#include "rest/rest.h"
#include "spool/spool.h"

/** Everything that the documents are made of; borrowed. */
struct fm_facts {
    const char *name;
    int64_t started_ms; /* wall clock */
    int64_t wall_ms; /* now */
    int64_t clock_ms; /* now, monotonic */
    uint64_t rss_bytes;
    bool sandbox; /* nothing leaves the host */
    bool stopping;
    const struct fm_rest_stats *rest;
    const char *cert_file; /* the client's certificate; NULL: none */
    const struct fm_hist *latency;
    const struct fm_spool_stats *spool;
    uint64_t damaged; /* records declared lost for damage, since the start */
    bool damage_unknown; /* ... and some whose number nobody knows */
    const struct fm_poll_status *targets;
    size_t n_targets;
    const struct fm_poll_files *files; /* the targets_file of each section that has one */
    size_t n_files;
    uint64_t log_dropped;
    unsigned http_open; /* connections to the local server */
    uint64_t http_evicted; /* ... refused or closed to make room or for being slow */
    const char *reload_error; /* why the last reload changed nothing; NULL */
    const char *restart_keys; /* settings that were changed and wait for a restart; NULL */
};

enum { FM_LABEL = 320 /* the longest name of a topic, and what there is to say of it */ };

enum fm_health { FM_HEALTH_OK, FM_HEALTH_DEGRADED, FM_HEALTH_FAILING };
const char *fm_health_name(enum fm_health health); /* "ok", "degraded", "failing" */

/** What the log knows of the reasons of /health: each is told when it begins and when it ends. A
 * reason is known by its label, which stays the same while its sentence changes. */
struct fm_reasons {
    struct {
        uint64_t id; /* hash of the label */
        char label[FM_LABEL];
        uint64_t topic, said; /* of a topic's trouble: hash of its name, and of what was said */
        bool seen; /* in this round */
    } known[64]; /* more are not told */
    size_t n;
    struct fm_buf joined, gone; /* this round's, between semicolons */
    struct fm_buf ends; /* of gone: the ends of topics' troubles, in the sender's words */
    struct fm_way *way; /* which knows these; NULL: nobody */
    size_t news; /* of joined: those that nobody else puts into the log */
};

/** The verdict and its reasons as JSON. @param reasons  taken over what is new and what has ended;
 * NULL: nobody asks */
enum fm_health fm_document_health(const struct fm_facts *facts, struct fm_buf *out,
                                  struct fm_reasons *reasons);

/** The JSON of design section 7. */
void fm_document_stats(const struct fm_facts *facts, struct fm_buf *out);

/** The same numbers in Prometheus' text format (version 0.0.4). */
void fm_document_metrics(const struct fm_facts *facts, struct fm_buf *out);

#endif
