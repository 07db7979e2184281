/* What an answer to a produce request does to its records and to the topic: reference 7.2 point 8,
 * 7.7 and 7.8. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "rest/topic_priv.h"

static void note_send(struct fm_request *r, const struct fm_http_answer *http,
                      const struct fm_judgement *j, int64_t now)
{
    struct fm_topic *t = r->topic;
    struct fm_rest *rest = t->rest;
    struct fm_rest_last_send *last = &rest->now.last_send;
    rest->now.batches++;
    size_t bytes = r->gzip ? r->packed.len : r->body.len;
    rest->now.bytes += bytes;
    rest->now.records += j->accepted;
    rest->now.possible_duplicates += j->unknown;
    rest->now.retries += r->n - j->accepted;
    last->time_ms = fm_wall_ms();
    last->http_status = http->status;
    last->records = r->n;
    last->bytes = bytes;
    last->duration_ms = http->duration_ms;
    snprintf(last->endpoint, sizeof last->endpoint, "%s", rest->endpoints[r->endpoint].url);
    snprintf(last->topic, sizeof last->topic, "%s", t->name);
    last->error[0] = '\0';
    if (http->failure == FM_HTTP_OK)
        fm_hist_add(&rest->hist, (uint64_t)((now - r->sent_at) * 1000));
    if (http->cert_days >= 0)
        rest->endpoints[r->endpoint].cert_days = http->cert_days;
}

/* The next record of a run, or the first of a new one. @return how many runs there are */
static size_t add_delivered(struct fm_settlement *list, size_t n, const struct fm_spool_id *id)
{
    struct fm_settlement *last = n > 0 ? &list[n - 1] : NULL;
    if (last != NULL && id->seq == last->id.seq + last->n &&
        memcmp(id->stream, last->id.stream, FM_STREAM_LEN) == 0) {
        last->n++;
        return n;
    }
    list[n] = (struct fm_settlement){.id = *id, .n = 1, .how = FM_SETTLE_DELIVERED};
    return n + 1;
}

/* The accepted leave at once. @return whether one of them is evidence (7.7 rule 4 c) */
static bool settle_accepted(struct fm_request *r, size_t accepted, bool *suspect_accepted)
{
    struct fm_topic *t = r->topic;
    size_t n = 0;
    bool evidence = false;
    for (size_t i = 0; i < r->n; i++) {
        if (r->verdicts[i].cls != FM_CLS_OK)
            continue;
        const struct fm_spool_item *item = &r->batch->items[i];
        n = add_delivered(r->settle, n, &item->id);
        evidence = evidence || item->rec.kind != FM_RECORD_CONTROL;
        if (t->iso.n_strikes > 0)
            fm_strike_clear(t, &item->id);
    }
    struct fm_err err;
    const struct fm_rest_opts *o = &t->rest->conf->o;
    if (n > 0 && fm_spool_settle(t->rest->spool, r->settle, n, &err) == FM_OK) {
        if (o->on_delivered != NULL)
            o->on_delivered(o->on_delivered_arg, r->settle, n);
    } else if (n > 0) {
        /* They stay in the spool and will be sent again: duplicates, never loss. */
        fm_log_limited(t->rest->log, FM_LOG_WARN, "settle",
                       "topic %s: %zu accepted records cannot "
                       "be taken out of the spool: %s",
                       t->name, accepted, fm_err_text(&err));
        t->rest->now.possible_duplicates += accepted;
    }
    *suspect_accepted = n > 0 && r->mode == FM_MODE_SUSPECT;
    if (n > 0 && t->iso.lined.id.seq != 0 && r->n == 1 &&
        fm_id_same(&t->iso.lined.id, &r->batch->items[0].id)) {
        t->iso.lined.id.seq = 0;
        *suspect_accepted = true;
    }
    return evidence;
}

/* "Third time for the same record": the verdict of its row becomes the row's second class. */
static void apply_strikes(struct fm_request *r, struct fm_judgement *j)
{
    struct fm_topic *t = r->topic;
    bool isolating = r->mode == FM_MODE_PART || r->mode == FM_MODE_SUSPECT;
    bool changed = false;
    for (size_t i = 0; i < r->n; i++) {
        struct fm_verdict *v = &r->verdicts[i];
        if (v->row == NULL || v->row->nth == 0 || (v->flags & FM_V_RECORD) == 0)
            continue;
        unsigned n = fm_strike(t, &r->batch->items[i].id);
        if (n >= v->row->nth || (isolating && v->row->then == FM_CLS_ISOLATE)) {
            v->cls = v->row->then;
            fm_strike_clear(t, &r->batch->items[i].id);
            changed = true;
        }
    }
    for (size_t i = 0; changed && i < r->n; i++)
        if (r->verdicts[i].cls > j->cls || (r->verdicts[i].cls == j->cls && i == 0)) {
            j->cls = r->verdicts[i].cls;
            j->top = r->verdicts[i];
            j->flags = (j->flags & (FM_V_UNKNOWN | FM_V_SIZE | FM_V_SLOW | FM_V_ALONE)) |
                       r->verdicts[i].flags;
        }
}

/* "Second, third time in a row" of a whole answer. */
static void apply_row(struct fm_request *r, struct fm_judgement *j)
{
    struct fm_topic *t = r->topic;
    const struct fm_row *row = j->top.row;
    if (j->cls == FM_CLS_OK || row == NULL) {
        t->row = NULL;
        t->row_n = 0;
        return;
    }
    t->row_n = row == t->row ? t->row_n + 1 : 1;
    t->row = row;
    if (row->nth == 0 || (j->flags & FM_V_RECORD) != 0)
        return;
    bool isolating = fm_isolate_any(t) || r->mode != FM_MODE_LINE;
    if (t->row_n >= row->nth || (isolating && row->then == FM_CLS_ISOLATE))
        j->cls = row->then;
}

/* For a while after a record was accepted in HOLD, the same refusal is about a record. */
static void apply_soft(struct fm_request *r, const struct fm_http_answer *http,
                       struct fm_judgement *j, int64_t now)
{
    struct fm_topic *t = r->topic;
    if (j->cls != FM_CLS_ALERT || now >= t->held.soft_until || http->failure != FM_HTTP_OK ||
        http->status == 401 || (http->status >= 300 && http->status < 400))
        return;
    if (http->status != t->held.soft_status || j->top.code != t->held.soft_code)
        return;
    j->cls = FM_CLS_ISOLATE;
    j->flags &= ~(unsigned)(FM_V_P | FM_V_ENDS);
    for (size_t i = 0; i < r->n; i++)
        if (r->verdicts[i].cls == FM_CLS_ALERT) {
            r->verdicts[i].cls = FM_CLS_ISOLATE;
            r->verdicts[i].flags &= ~(unsigned)FM_V_P;
        }
}

static void sentence(struct fm_topic *t, const struct fm_http_answer *http,
                     const struct fm_judgement *j)
{
    char detail[260];
    const struct fm_row *row = j->top.row;
    if (http->failure != FM_HTTP_OK)
        snprintf(detail, sizeof detail, "%s", fm_err_text(&http->err));
    else
        fm_verdict_text(&j->top, http->status, detail, sizeof detail);
    if (http->location != NULL &&
        http->status / 100 == 3) { /* only its host: no secrets in paths */
        const char *host = strstr(http->location, "://");
        host = host != NULL ? host + 3 : http->location;
        snprintf(detail, sizeof detail, "HTTP %ld to host %.*s", http->status,
                 (int)strcspn(host, "/?#"), host);
    }
    fm_topic_reason(t, row != NULL ? row->hop : FM_REST_HOP_NONE, row != NULL ? row->what : NULL,
                    detail, fm_topic_remedy(row, http));
    snprintf(t->rest->now.last_send.error, sizeof t->rest->now.last_send.error, "%s", t->reason);
}

/* The partitions that were asked for, to be freed; NULL: none was. @param all  whether each was */
static int32_t *partitions_of(const struct fm_request *r, bool *all)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++)
        n += r->batch->items[i].rec.partition != FM_NO_PARTITION;
    int32_t *list = n > 0 ? calloc(r->n, sizeof *list) : NULL;
    for (size_t i = 0; list != NULL && i < r->n; i++)
        list[i] = r->batch->items[i].rec.partition;
    *all = list != NULL && n == r->n;
    return list;
}

/* @return whether it may be the compression that was refused */
static bool judge(struct fm_request *r, const struct fm_http_answer *http, struct fm_judgement *j)
{
    struct fm_topic *t = r->topic;
    const struct fm_rest_opts *o = &t->rest->conf->o;
    struct fm_sent sent = {.dialect = o->dialect,
                           .n_records = r->n,
                           .gzip = r->gzip,
                           .bearer = fm_rest_bearer(o),
                           .fresh_first = !http->reused && o->urls[r->endpoint][4] == 's'};
    struct fm_offset_watch watch;
    bool all;
    int32_t *partitions = partitions_of(r, &all);
    if (r->lane == NULL) { /* several at a time come back in any order */
        fm_offsets_begin(&watch, r);
        watch.asked = o->dialect != FM_DIALECT_REDPANDA ? partitions : NULL;
        sent.watch = &watch;
    }
    if (o->dialect == FM_DIALECT_REDPANDA) {
        sent.all_partitions = all;
        sent.partitions = partitions;
    }
    if (fm_judge(j, r->verdicts, &sent, http, NULL) != FM_OK) { /* no memory: nothing is proven */
        struct fm_verdict v = {.cls = FM_CLS_RETRY,
                               .flags = FM_V_UNKNOWN,
                               .code = FM_CODE_NONE,
                               .row = fm_table_shape(FM_ROW_UNREPORTED)};
        for (size_t i = 0; i < r->n; i++)
            r->verdicts[i] = v;
        *j =
            (struct fm_judgement){.cls = FM_CLS_RETRY, .flags = v.flags, .top = v, .unknown = r->n};
    }
    if (sent.watch != NULL)
        fm_offsets_end(&watch, r);
    free(partitions);
    return fm_gzip_doubted(&sent, http, j);
}

/* What the state shows of this answer. */
static void tell(struct fm_request *r, const struct fm_http_answer *http,
                 const struct fm_judgement *j)
{
    struct fm_topic *t = r->topic;
    bool first_reused = http->failure == FM_HTTP_REUSED_DIED && !t->failed;
    if (j->accepted > 0) {
        t->failed = false;
        t->health = t->state;
        t->reason[0] = '\0';
    }
    if (j->cls == FM_CLS_OK || first_reused)
        return;
    sentence(t, http, j);
    if (j->accepted == 0 && (j->flags & FM_V_SLOW) == 0 && r->mode != FM_MODE_SUSPECT)
        t->failed = true;
    if (j->flags & FM_V_CLOCK)
        fm_log_limited(t->rest->log, FM_LOG_WARN, "rest clock",
                       "topic %s: Kafka refuses the time of a record: this host's clock may be "
                       "wrong",
                       t->name);
}

/* Schemas: ids are learnt from what was accepted, and forgotten when an answer doubts them. Another
 * endpoint may have another registry: what was sent there before the change teaches nothing. */
static void schemas(struct fm_request *r, const struct fm_http_answer *http, struct fm_judgement *j)
{
    struct fm_typed *typed = &r->topic->typed;
    const struct fm_rest_opts *o = &r->topic->rest->conf->o;
    if (!fm_typed_is(fm_batch_format(o->format, &r->batch->items[0])))
        return;
    if (j->accepted > 0 && http->failure == FM_HTTP_OK && r->endpoint == r->topic->rest->cur)
        fm_typed_learn(typed, &r->typed, o, http->body, http->body_len);
    if (j->cls == FM_CLS_OK || (j->flags & FM_V_SCHEMA) == 0 || !fm_typed_forget(typed, &r->typed))
        return;
    j->cls = FM_CLS_RETRY; /* with the text, at once; only what is said then counts */
    j->flags = (j->flags & FM_V_UNKNOWN) | FM_V_NOW;
    for (size_t i = 0; i < r->n; i++)
        if (r->verdicts[i].cls != FM_CLS_OK)
            r->verdicts[i].cls = FM_CLS_RETRY;
}

static void clean_up(struct fm_request *r)
{
    struct fm_rest *rest = r->topic->rest;
    if (r->lane != NULL)
        fm_lane_release(r->lane, r->n);
    else
        fm_spool_batch_free(rest->spool, r->batch);
    r->batch = NULL;
    r->n = 0;
    if (rest->n_topics > 4 || r->body.cap > 2 * rest->conf->o.batch_bytes) {
        fm_buf_clear(&r->body); /* memory stays bounded whatever came */
        fm_buf_clear(&r->packed);
    }
}

/* The same records once more, in another form; only then does an answer count. */
static void send_again(struct fm_request *r, int64_t now, const char *why)
{
    struct fm_topic *t = r->topic;
    struct fm_left left;
    fm_lanes_stop(t);
    t->next_at = now;
    if (r->mode == FM_MODE_PART && fm_left_collect(r, &left)) {
        (void)!fm_isolate_push(t, left.ids, left.n, false);
        fm_left_clear(&left);
    }
    snprintf(t->rest->now.last_send.error, sizeof t->rest->now.last_send.error, "%s", why);
}

/* records:batch takes fewer records than were sent: how many is not said, so it is tried: what is
 * usual, then halves. @return whether it is that, and the same records can go in smaller requests
 */
static bool fewer_entries(struct fm_request *r, const struct fm_judgement *j)
{
    struct fm_rest *rest = r->topic->rest;
    struct fm_endpoint *e = &rest->endpoints[r->endpoint];
    if ((j->flags & FM_V_ENTRIES) == 0 || r->n <= 1)
        return false;
    size_t n = r->n > FM_REST_ENTRIES ? FM_REST_ENTRIES : r->n / 2;
    if (e->max_entries != 0 && e->max_entries <= n)
        return true;
    e->max_entries = n;
    fm_log(rest->log, FM_LOG_INFO,
           "%s refuses %zu records in a request of records:batch: from now on at most %zu", e->url,
           r->n, n);
    return true;
}

/* What was refused compressed has been sent plain. */
static void plain_answered(struct fm_request *r, const struct fm_http_answer *http,
                           const struct fm_judgement *j)
{
    struct fm_topic *t = r->topic;
    struct fm_endpoint *e = &t->rest->endpoints[r->endpoint];
    if (!t->plain || r->gzip || http->failure != FM_HTTP_OK)
        return;
    t->plain = false;
    if (j->accepted == 0 || e->no_gzip)
        return;
    e->no_gzip = true;
    fm_log(t->rest->log, FM_LOG_WARN,
           "%s refuses compressed requests and takes plain ones: compression is off for it until "
           "the next start; set [rest] compression = none",
           e->url);
}

/* Of several requests under way the first that is refused decides what the topic does. The others
 * come back after it: what they brought is settled, what they did not stays in the line, and what
 * may be about a record is taken apart with the rest (7.7 rule 3: never again in company). */
static bool decides(const struct fm_request *r)
{
    const struct fm_topic *t = r->topic;
    return r->lane == NULL || (t->state == FM_REST_RUN && !t->lanes.serial);
}

static void answered(struct fm_request *r, const struct fm_http_answer *http,
                     struct fm_judgement *j, int64_t now)
{
    struct fm_topic *t = r->topic;
    bool lead = decides(r), suspect_accepted;
    bool evidence = settle_accepted(r, j->accepted, &suspect_accepted);
    schemas(r, http, j);
    if (lead) {
        plain_answered(r, http, j);
        apply_strikes(r, j);
        apply_row(r, j);
        apply_soft(r, http, j, now);
        t->fresh = (j->flags & FM_V_FRESH) != 0;
    }
    if (r->mode == FM_MODE_SUSPECT)
        t->iso.gate = now + 3 * (now - r->sent_at);
    if (suspect_accepted)
        fm_suspect_release(t);
    if (evidence)
        fm_suspect_evidence(t);
    if (j->cls != FM_CLS_OK)
        fm_lanes_stop(t);
    if (lead)
        tell(r, http, j);
    if (lead || (j->cls == FM_CLS_ISOLATE && t->state == FM_REST_RUN))
        fm_act(r, http, j, now);
}

void fm_request_answered(struct fm_request *r, const struct fm_http_answer *http)
{
    int64_t now = fm_clock_ms();
    struct fm_judgement j;
    atomic_store(&r->topic->rest->asleep, false); /* an answer ends the wait: no need to wake it */
    if (r->lane != NULL) /* it may have grown, and moved, meanwhile */
        r->lane->view.items = r->lane->items;
    r->flight = FM_FLIGHT_NONE;
    r->call = NULL;
    bool doubt = judge(r, http, &j);
    if (doubt)
        j.unknown = 0; /* what cannot be read is not written */
    note_send(r, http, &j, now);
    if (doubt) {
        r->topic->plain = true;
        send_again(r, now, "the compressed request was refused; it is sent again uncompressed");
    } else if (fewer_entries(r, &j)) {
        send_again(r, now,
                   "too many records for records:batch; they are sent again in smaller "
                   "requests");
    } else {
        answered(r, http, &j, now);
    }
    clean_up(r);
}
