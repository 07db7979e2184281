/* Asking for the topic: does it exist, what is its size limit. Reference 4.3 and 7.8. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/jscan.h"
#include "rest/topic_priv.h"

enum {
    BUSY_MAX = 3, /* then it goes on without an answer: the topic is there */
    LIMIT_HOLDS = 20
};

void fm_probe_path(enum fm_rest_dialect dialect, const char *cluster, const char *topic, char *out,
                   size_t size)
{
    if (fm_rest_is_v3(dialect) && cluster[0] == '\0')
        snprintf(out, size, "/clusters");
    else if (fm_rest_is_v3(dialect))
        fm_v3_path(cluster, topic, "", out, size);
    else if (dialect == FM_DIALECT_REDPANDA)
        snprintf(out, size, "/topics");
    else
        snprintf(out, size, "/topics/%s", topic);
}

bool fm_probe_is_json(const char *body, size_t len)
{
    struct fm_jscan s;
    fm_jscan_init(&s, body, len);
    enum fm_jtoken first = fm_jscan_next(&s);
    return (first == FM_J_OBJECT || first == FM_J_ARRAY) && fm_jscan_skip(&s, first);
}

/* Enter the member of the open object with this name. @return its first token, or FM_J_END */
static enum fm_jtoken member(struct fm_jscan *s, const char *name)
{
    for (;;) {
        enum fm_jtoken t = fm_jscan_next(s);
        if (t != FM_J_KEY)
            return FM_J_END;
        bool hit = fm_jscan_is(s, name);
        t = fm_jscan_next(s);
        if (hit)
            return t;
        if (!fm_jscan_skip(s, t))
            return FM_J_END;
    }
}

uint64_t fm_probe_limit(const char *body, size_t len)
{
    struct fm_jscan s;
    fm_jscan_init(&s, body, len);
    if (fm_jscan_next(&s) != FM_J_OBJECT || member(&s, "configs") != FM_J_OBJECT)
        return 0;
    enum fm_jtoken t = member(&s, "max.message.bytes");
    if (t != FM_J_STRING && t != FM_J_NUMBER)
        return 0;
    uint64_t n = 0;
    for (size_t i = 0; i < s.text_len; i++) {
        if (s.text[i] < '0' || s.text[i] > '9' || n > UINT32_MAX)
            return 0;
        n = n * 10 + (uint64_t)(s.text[i] - '0');
    }
    return n;
}

bool fm_probe_lists(const char *body, size_t len, const char *topic)
{
    struct fm_jscan s;
    fm_jscan_init(&s, body, len);
    if (fm_jscan_next(&s) != FM_J_ARRAY)
        return false;
    for (enum fm_jtoken t = fm_jscan_next(&s); t == FM_J_STRING; t = fm_jscan_next(&s))
        if (fm_jscan_is(&s, topic))
            return true;
    return false;
}

const struct fm_row *fm_probe_row(enum fm_rest_dialect dialect, const struct fm_http_answer *http)
{
    if (http->failure != FM_HTTP_OK)
        return fm_table_transport(http, false);
    if (http->status >= 200 && http->status < 300)
        return fm_table_shape(FM_ROW_PORTAL);
    struct fm_answer a;
    if (fm_answer_read(&a, FM_DIALECT_CONFLUENT_V2, http->status, http->body, http->body_len, NULL,
                       NULL) != FM_OK)
        return fm_table_shape(FM_ROW_PORTAL);
    const struct fm_row *row =
        fm_table_status(dialect, http->status, false, a.has_code, a.code, a.text, a.text_len);
    fm_answer_clear(&a);
    return row;
}

enum fm_probe_result fm_probe_judge(enum fm_rest_dialect dialect, const char *topic,
                                    const struct fm_http_answer *http)
{
    if (http->failure != FM_HTTP_OK)
        return FM_PROBE_OTHER;
    if (http->status == 200 && dialect == FM_DIALECT_REDPANDA)
        return fm_probe_lists(http->body, http->body_len, topic) ? FM_PROBE_GOOD
               : fm_probe_is_json(http->body, http->body_len)    ? FM_PROBE_MISSING
                                                                 : FM_PROBE_OTHER;
    if (http->status == 200)
        return fm_probe_is_json(http->body, http->body_len) ? FM_PROBE_GOOD : FM_PROBE_OTHER;
    if (http->status == 401 || http->status == 403)
        return FM_PROBE_DENIED;
    if (http->status != 404)
        return FM_PROBE_OTHER;
    if (memmem(http->body, http->body_len, "UnknownTopicOrPartition", 23) != NULL)
        return FM_PROBE_MISSING; /* Strimzi: 404/404 */
    return fm_probe_row(dialect, http)->cls == FM_CLS_PROBE ? FM_PROBE_MISSING : FM_PROBE_OTHER;
}

static void read_limit(struct fm_topic *t, const struct fm_http_answer *http)
{
    const struct fm_rest_opts *o = &t->rest->conf->o;
    t->size.read_at = fm_clock_ms();
    if (o->size_limit != 0) {
        t->size.limit = o->size_limit;
        t->size.known = true;
        return;
    }
    bool v3 = fm_rest_is_v3(o->dialect);
    uint64_t n = http == NULL ? 0
                 : v3         ? fm_v3_limit(http->body, http->body_len)
                              : fm_probe_limit(http->body, http->body_len);
    bool refused = http != NULL && http->status == 401; /* the record to come will say why */
    if (n == 0 && !t->size.warned && !refused) {
        fm_log(t->rest->log, FM_LOG_WARN,
               "topic %s: its max.message.bytes cannot be read; records "
               "above %d bytes are sent alone; set [rest] size_limit to be exact",
               t->name, FM_LIMIT_UNREADABLE);
        t->size.warned = true;
    }
    t->size.limit = n == 0 ? FM_LIMIT_UNREADABLE : n < FM_KAFKA_MAX ? n : FM_KAFKA_MAX;
    t->size.known = n != 0;
    fm_suspect_limit(t);
}

/* The topic is there: go on with one record, unless the answer before said more. */
static void probe_good(struct fm_topic *t, int64_t now)
{
    const struct fm_rest_opts *o = &t->rest->conf->o;
    fm_endpoint_good(t->rest, t->req.endpoint);
    t->step = 0;
    t->probe.portal = t->probe.busy = 0;
    t->next_at = 0;
    bool from_one = t->after.from_one;
    t->after.from_one = false;
    if (t->after.isolate) {
        t->after.isolate = false;
        t->doubt = 0;
        bool held =
            t->after.alone && !fm_suspect_add(t, &t->after.id, t->after.control, t->after.stored,
                                              t->after.p, 0, t->after.text, now);
        if (t->after.alone)
            t->next_at = now + o->backoff_ms;
        fm_topic_state(t, held ? FM_REST_HOLD : FM_REST_ONE);
    } else if (from_one && ++t->doubt >= 3) {
        fm_topic_reason(t, FM_REST_HOP_REST_PROXY, "the proxy answers but does not produce", NULL,
                        "restart it");
        fm_topic_state(t, FM_REST_STUCK);
        t->next_at = fm_endpoint_failed(t->rest, t->req.endpoint, t->reason)
                         ? 0
                         : now + o->stuck_interval_ms;
    } else {
        fm_topic_state(t, FM_REST_ONE);
    }
    /* Topics that waited for the same outage's end. */
    for (size_t i = 0; i < t->rest->n_topics; i++)
        if (t->rest->topics[i]->state == FM_REST_OUTAGE)
            t->rest->topics[i]->next_at = 0;
}

static void forget_after(struct fm_topic *t)
{
    t->after.isolate = t->after.from_one = false;
    t->doubt = 0;
    fm_isolate_clear(t);
}

static void probe_missing(struct fm_topic *t, int64_t now)
{
    const struct fm_rest_opts *o = &t->rest->conf->o;
    forget_after(t);
    fm_endpoint_good(t->rest, t->req.endpoint);
    if (o->topic_auto_created && o->dialect != FM_DIALECT_KARAPACE) {
        t->size.limit = o->size_limit != 0 ? o->size_limit : FM_LIMIT_UNREADABLE;
        t->size.known = o->size_limit != 0;
        t->size.read_at = now;
        t->next_at = t->failed ? now + fm_topic_backoff(t, now) : 0;
        fm_topic_state(t, FM_REST_ONE);
        return;
    }
    char what[300];
    snprintf(what, sizeof what, "the topic %s does not exist", t->name);
    t->failed = true;
    fm_topic_reason(t, FM_REST_HOP_KAFKA, what, NULL,
                    "create it, or grant DESCRIBE on it to the proxy's user");
    uint64_t least = o->hold_interval_ms;
    t->next_at = now + fm_rest_between(t->rest, least, 2 * least);
    fm_topic_state(t, FM_REST_MISSING);
}

/* Too busy to tell the limit: it is asked for again after 10 minutes (by default) in which records
 * flow, not after an hour. A question that hung is not: it would hold them up as often. */
static void limit_later(struct fm_topic *t, const struct fm_http_answer *http)
{
    const struct fm_rest_opts *o = &t->rest->conf->o;
    int64_t pause = (int64_t)fm_retry_after(http->retry_after) * 1000, most = o->max_backoff_ms;
    int64_t again = (pause > most ? pause : most) + LIMIT_HOLDS * (int64_t)o->hold_interval_ms;
    if (http->failure == FM_HTTP_OK && (http->status == 429 || http->status >= 500) &&
        again < (int64_t)o->limit_age_ms)
        t->size.read_at += again - (int64_t)o->limit_age_ms;
}

/* Busy is busy, whatever was asked. */
static void slow_down(struct fm_topic *t, const struct fm_http_answer *http, int64_t now)
{
    int64_t wait = (int64_t)fm_retry_after(http->retry_after) * 1000;
    fm_topic_slow(t, wait > 0 ? wait : fm_topic_backoff(t, now), now);
}

static void probe_bad(struct fm_topic *t, const struct fm_http_answer *http, int64_t now)
{
    struct fm_rest *rest = t->rest;
    const struct fm_row *row = fm_probe_row(rest->conf->o.dialect, http);
    char detail[240];
    if (http->failure != FM_HTTP_OK)
        snprintf(detail, sizeof detail, "%s", fm_err_text(&http->err));
    else
        fm_answer_text(rest->conf->o.dialect, http, detail, sizeof detail);
    forget_after(t);
    t->failed = true;
    bool portal = row == fm_table_shape(FM_ROW_PORTAL) && ++t->probe.portal >= 2;
    if (row->flags & FM_V_SLOW) {
        slow_down(t, http, now);
        t->failed = false;
        return;
    }
    bool kafka = http->failure == FM_HTTP_TIMEOUT || http->status == 500;
    fm_topic_reason(t, kafka ? FM_REST_HOP_KAFKA : row->hop,
                    kafka ? "Kafka behind the proxy is down" : row->what, detail,
                    kafka ? "look at the brokers, and at the proxy's log"
                          : fm_topic_remedy(row, http));
    if (row->cls == FM_CLS_ALERT || row->cls == FM_CLS_AUTH || portal) {
        t->next_at = now + rest->conf->o.hold_interval_ms;
        fm_topic_state(t, FM_REST_HOLD);
        t->held.endpoint = (row->flags & FM_V_ENDPOINT) != 0;
    } else {
        t->next_at = now + fm_topic_backoff(t, now);
        fm_topic_state(t, FM_REST_OUTAGE);
    }
    bool gateway = http->failure == FM_HTTP_OK && http->status >= 502 && http->status <= 504;
    if ((row->flags & FM_V_OTHER) || http->failure == FM_HTTP_TIMEOUT || (gateway && t->step >= 3))
        fm_endpoint_failed(rest, t->req.endpoint, t->reason);
    if (t->state == FM_REST_OUTAGE)
        for (size_t i = 0; i < rest->n_topics; i++)
            if (rest->topics[i]->state == FM_REST_OUTAGE)
                rest->topics[i]->next_at = t->next_at;
}

static void start_get(struct fm_topic *t, const char *path, enum fm_flight flight);
static void start_partitions(struct fm_topic *t);

/* A probe beside the work: only its limit counts. */
static bool limit_probe_done(struct fm_topic *t, const struct fm_http_answer *http)
{
    if (!t->probe.limit_only)
        return false;
    t->probe.limit_only = false;
    if (http->failure == FM_HTTP_OK && http->status == 200) {
        read_limit(t, http);
        return true;
    }
    bool v3 = fm_rest_is_v3(t->rest->conf->o.dialect); /* asks for nothing else */
    if (http->failure == FM_HTTP_OK && (http->status == 401 || http->status == 403 ||
                                        (v3 && http->status < 500 && http->status != 429))) {
        read_limit(t, NULL);
        return true;
    }
    t->size.read_at = fm_clock_ms(); /* and judged as any probe */
    limit_later(t, http);
    return false;
}

/* v3: one more question before the topic can be asked for. */
static void cluster_done(struct fm_topic *t, const struct fm_http_answer *http, int64_t now)
{
    if (!fm_endpoint_learn_cluster(t->rest, t->req.endpoint, http)) {
        probe_bad(t, http, now);
        return;
    }
    t->probe.cluster_fresh = true;
    fm_probe_start(t, false);
}

/* v3: a cluster's id that was looked up some time ago may be of a cluster that is gone.
 * @return whether it is being looked up again */
static bool cluster_again(struct fm_topic *t, const struct fm_http_answer *http)
{
    if (http->failure != FM_HTTP_OK || http->status != 404 ||
        !fm_endpoint_forget_cluster(t->rest, t->req.endpoint))
        return false;
    bool again = !t->probe.cluster_fresh;
    t->probe.cluster_fresh = false;
    if (again)
        fm_probe_start(t, false);
    return again;
}

static void start_limit(struct fm_topic *t)
{
    char path[FM_V3_PATH];
    fm_v3_path(t->rest->endpoints[t->rest->cur].cluster, t->name, "/configs/max.message.bytes",
               path, sizeof path);
    start_get(t, path, FM_FLIGHT_LIMIT);
}

/* v3: the topic's answer is here; its size limit stands elsewhere. */
static void v3_done(struct fm_topic *t, const struct fm_http_answer *http, int64_t now)
{
    enum fm_probe_result result = fm_probe_judge(FM_DIALECT_CONFLUENT_V3, t->name, http);
    if (result != FM_PROBE_DENIED && cluster_again(t, http))
        return;
    if (result == FM_PROBE_GOOD && t->rest->conf->o.size_limit == 0) {
        start_limit(t);
    } else if (result == FM_PROBE_GOOD || result == FM_PROBE_DENIED) {
        if (result == FM_PROBE_DENIED) /* write-only rights are legal */
            fm_log(t->rest->log, FM_LOG_WARN,
                   "topic %s: the topic may not be asked for (HTTP %ld); "
                   "its size limit is taken as %d",
                   t->name, http->status, FM_LIMIT_UNREADABLE);
        read_limit(t, NULL);
        probe_good(t, now);
    } else if (result == FM_PROBE_MISSING) {
        probe_missing(t, now);
    } else {
        probe_bad(t, http, now);
    }
}

static void on_probed(const struct fm_http_answer *http, void *arg)
{
    struct fm_topic *t = arg;
    struct fm_rest *rest = t->rest;
    int64_t now = fm_clock_ms();
    enum fm_flight flight = t->req.flight;
    bool partitions = flight == FM_FLIGHT_PARTITIONS;
    t->req.flight = FM_FLIGHT_NONE;
    t->req.call = NULL;
    if (http->cert_days >= 0)
        rest->endpoints[t->req.endpoint].cert_days = http->cert_days;
    bool limit_only = t->probe.limit_only;
    if (http->failure == FM_HTTP_CANCELLED || limit_probe_done(t, http))
        return;
    if (t->req.endpoint != rest->cur) { /* another endpoint by now */
        fm_topic_state(t, FM_REST_PROBING);
        t->next_at = 0;
        return;
    }
    t->probing_since = 0;
    if (flight == FM_FLIGHT_CLUSTER) {
        cluster_done(t, http, now);
        return;
    }
    bool busy = http->failure == FM_HTTP_OK && http->status == 429;
    if (busy && (partitions || (flight == FM_FLIGHT_LIMIT && !limit_only))) {
        slow_down(t, http, now);
        if (++t->probe.busy < BUSY_MAX)
            return;
    }
    if (flight == FM_FLIGHT_LIMIT && !limit_only) { /* whatever it is: the topic is there */
        read_limit(t, http->failure == FM_HTTP_OK && http->status == 200 ? http : NULL);
        limit_later(t, http);
        probe_good(t, now);
        return;
    }
    if (fm_rest_is_v3(rest->conf->o.dialect)) {
        if (limit_only)
            probe_bad(t, http, now);
        else
            v3_done(t, http, now);
        return;
    }
    enum fm_probe_result result = fm_probe_judge(rest->conf->o.dialect, t->name, http);
    if (partitions) { /* write-only rights are legal */
        bool refused = http->status == 401;
        if (!refused)
            fm_log(rest->log, FM_LOG_WARN,
                   "topic %s: the topic cannot be asked for its configuration "
                   "(HTTP %ld); its size limit is taken as %d",
                   t->name, http->status, FM_LIMIT_UNREADABLE);
        read_limit(t, refused ? http : NULL);
        probe_good(t, now);
    } else if (result == FM_PROBE_GOOD) {
        read_limit(t, http);
        probe_good(t, now);
    } else if (result == FM_PROBE_MISSING) {
        probe_missing(t, now);
    } else if (result == FM_PROBE_DENIED) {
        start_partitions(t);
    } else {
        probe_bad(t, http, now);
    }
}

static void start_get(struct fm_topic *t, const char *path, enum fm_flight flight)
{
    struct fm_rest *rest = t->rest;
    struct fm_err err;
    struct fm_http_request req = {
        .method = "GET", .timeout_ms = rest->conf->o.probe_timeout_ms, .fresh = t->fresh};
    t->req.flight = flight;
    t->req.endpoint = rest->cur;
    t->req.sent_at = fm_clock_ms();
    if (fm_send_request(rest, &req, path, rest->cur, NULL, false, on_probed, t, &t->req.call,
                        &err) != FM_OK) {
        t->req.flight = FM_FLIGHT_NONE;
        t->next_at = t->req.sent_at + fm_topic_backoff(t, t->req.sent_at);
        fm_topic_reason(t, FM_REST_HOP_NONE, "the probe cannot be made", fm_err_text(&err), NULL);
    } else {
        t->fresh = false;
    }
}

static void start_partitions(struct fm_topic *t)
{
    char path[300];
    snprintf(path, sizeof path, "/topics/%s/partitions", t->name);
    start_get(t, path, FM_FLIGHT_PARTITIONS);
}

void fm_probe_start(struct fm_topic *t, bool limit_only)
{
    char path[FM_V3_PATH];
    const struct fm_endpoint *e = &t->rest->endpoints[t->rest->cur];
    bool v3 = fm_rest_is_v3(t->rest->conf->o.dialect);
    t->probe.limit_only = limit_only && !(v3 && e->cluster[0] == '\0');
    if (v3 && t->probe.limit_only) {
        start_limit(t);
        return;
    }
    fm_probe_path(t->rest->conf->o.dialect, e->cluster, t->name, path, sizeof path);
    start_get(t, path, v3 && e->cluster[0] == '\0' ? FM_FLIGHT_CLUSTER : FM_FLIGHT_PROBE);
}
