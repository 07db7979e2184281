/* What an answer to a produce request does to its records and to the topic: reference 7.2 point 8,
 * 7.7 and 7.8. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "rest/rest_priv.h"

/* What is left of the request. */
struct rest_of {
    struct fm_spool_id *ids; /* unaccepted, in order */
    bool *p; /* P */
    size_t n;
    size_t first; /* index in the batch of the first one */
};

static void note_send(struct fm_topic *t, const struct fm_http_answer *http,
                      const struct fm_judgement *j, int64_t now)
{
    struct fm_rest *rest = t->rest;
    struct fm_rest_last_send *last = &rest->now.last_send;
    rest->now.batches++;
    size_t bytes = t->gzip ? t->packed.len : t->body.len;
    rest->now.bytes += bytes;
    rest->now.records += j->accepted;
    rest->now.possible_duplicates += j->unknown;
    rest->now.retries += t->n - j->accepted;
    last->time_ms = fm_wall_ms();
    last->http_status = http->status;
    last->records = t->n;
    last->bytes = bytes;
    last->duration_ms = http->duration_ms;
    snprintf(last->endpoint, sizeof last->endpoint, "%s", rest->endpoints[t->endpoint].url);
    snprintf(last->topic, sizeof last->topic, "%s", t->name);
    last->error[0] = '\0';
    if (http->failure == FM_HTTP_OK)
        fm_hist_add(&rest->hist, (uint64_t)((now - t->sent_at) * 1000));
    if (http->cert_days >= 0)
        rest->endpoints[t->endpoint].cert_days = http->cert_days;
}

/* The accepted leave at once. @return whether one of them is evidence (7.7 rule 4 c) */
static bool settle_accepted(struct fm_topic *t, bool *suspect_accepted)
{
    size_t n = 0;
    bool evidence = false;
    for (size_t i = 0; i < t->n; i++) {
        if (t->verdicts[i].cls != FM_CLS_OK)
            continue;
        const struct fm_spool_item *item = &t->batch->items[i];
        t->settle[n++] = (struct fm_settlement){.id = item->id, .how = FM_SETTLE_DELIVERED};
        evidence = evidence || item->rec.kind != FM_RECORD_CONTROL;
        if (t->n_strikes > 0)
            fm_strike_clear(t, &item->id);
    }
    struct fm_err err;
    const struct fm_rest_opts *o = &t->rest->conf->o;
    if (n > 0 && fm_spool_settle(t->rest->spool, t->settle, n, &err) == FM_OK) {
        if (o->on_delivered != NULL)
            o->on_delivered(o->on_delivered_arg, t->settle, n);
    } else if (n > 0) {
        /* They stay in the spool and will be sent again: duplicates, never loss. */
        fm_log_limited(t->rest->log, FM_LOG_WARN, "settle",
                       "topic %s: %zu accepted records cannot "
                       "be taken out of the spool: %s",
                       t->name, n, fm_err_text(&err));
        t->rest->now.possible_duplicates += n;
    }
    *suspect_accepted = n > 0 && t->mode == FM_MODE_SUSPECT;
    if (n > 0 && t->lined.id.seq != 0 && t->n == 1 &&
        fm_id_same(&t->lined.id, &t->batch->items[0].id)) {
        t->lined.id.seq = 0;
        *suspect_accepted = true;
    }
    return evidence;
}

/* "Third time for the same record": the verdict of its row becomes the row's second class. */
static void apply_strikes(struct fm_topic *t, struct fm_judgement *j)
{
    bool isolating = t->mode == FM_MODE_PART || t->mode == FM_MODE_SUSPECT;
    bool changed = false;
    for (size_t i = 0; i < t->n; i++) {
        struct fm_verdict *v = &t->verdicts[i];
        if (v->row == NULL || v->row->nth == 0 || (v->flags & FM_V_RECORD) == 0)
            continue;
        unsigned n = fm_strike(t, &t->batch->items[i].id);
        if (n >= v->row->nth || (isolating && v->row->then == FM_CLS_ISOLATE)) {
            v->cls = v->row->then;
            fm_strike_clear(t, &t->batch->items[i].id);
            changed = true;
        }
    }
    for (size_t i = 0; changed && i < t->n; i++)
        if (t->verdicts[i].cls > j->cls || (t->verdicts[i].cls == j->cls && i == 0)) {
            j->cls = t->verdicts[i].cls;
            j->top = t->verdicts[i];
            j->flags = (j->flags & (FM_V_UNKNOWN | FM_V_SIZE | FM_V_SLOW | FM_V_ALONE)) |
                       t->verdicts[i].flags;
        }
}

/* "Second, third time in a row" of a whole answer. */
static void apply_row(struct fm_topic *t, struct fm_judgement *j)
{
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
    bool isolating = fm_isolate_any(t) || t->mode != FM_MODE_LINE;
    if (t->row_n >= row->nth || (isolating && row->then == FM_CLS_ISOLATE))
        j->cls = row->then;
}

/* For a while after a record was accepted in HOLD, the same refusal is about a record. */
static void apply_soft(struct fm_topic *t, const struct fm_http_answer *http,
                       struct fm_judgement *j, int64_t now)
{
    if (j->cls != FM_CLS_ALERT || now >= t->soft_until || http->failure != FM_HTTP_OK ||
        http->status == 401 || (http->status >= 300 && http->status < 400))
        return;
    if (http->status != t->soft_status || j->top.code != t->soft_code)
        return;
    j->cls = FM_CLS_ISOLATE;
    j->flags &= ~(unsigned)(FM_V_P | FM_V_ENDS);
    for (size_t i = 0; i < t->n; i++)
        if (t->verdicts[i].cls == FM_CLS_ALERT) {
            t->verdicts[i].cls = FM_CLS_ISOLATE;
            t->verdicts[i].flags &= ~(unsigned)FM_V_P;
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

static void back_off(struct fm_topic *t, const struct fm_judgement *j, int64_t now)
{
    struct fm_rest *rest = t->rest;
    const struct fm_rest_opts *o = &rest->conf->o;
    int64_t wait = (j->flags & FM_V_LONG)  ? (int64_t)o->hold_interval_ms
                   : (j->flags & FM_V_NOW) ? 0
                                           : fm_rest_backoff(rest, t->step++);
    if (j->retry_after_s > 0)
        wait = (int64_t)j->retry_after_s * 1000;
    t->next_at = now + wait;
    if (j->flags & FM_V_SLOW) { /* the whole sender, with a floor */
        if (wait < (int64_t)o->backoff_ms)
            wait = o->backoff_ms;
        rest->pace_ms = rest->pace_ms == 0 ? o->backoff_ms / 20 + 1 : rest->pace_ms * 2;
        if (rest->pace_ms > o->backoff_ms)
            rest->pace_ms = o->backoff_ms;
        rest->not_before = now + wait > rest->not_before ? now + wait : rest->not_before;
        t->next_at = rest->not_before;
    }
}

/* HOLD with a remedy; the record refused alone is remembered. */
static void hold(struct fm_topic *t, const struct fm_http_answer *http,
                 const struct fm_judgement *j, const struct rest_of *left, int64_t now)
{
    struct fm_rest *rest = t->rest;
    const struct fm_rest_opts *o = &rest->conf->o;
    bool endpoint = (j->flags & FM_V_ENDPOINT) != 0;
    fm_isolate_clear(t);
    t->hold_status = http->status;
    t->hold_code = j->top.code;
    /* What says nothing about a record leaves it first in line. */
    bool of_record = http->failure == FM_HTTP_OK && http->status != 401 && http->status / 100 != 3;
    if (t->state == FM_REST_HOLD && t->n == 1 && t->mode == FM_MODE_LINE && of_record &&
        t->n_refused < FM_HOLD_REFUSED) {
        const struct fm_spool_item *item = &t->batch->items[left->first];
        t->refused_control[t->n_refused] = item->rec.kind == FM_RECORD_CONTROL;
        t->refused[t->n_refused++] = left->ids[0];
    }
    fm_topic_state(t, FM_REST_HOLD);
    t->endpoint_hold = endpoint;
    t->next_at = now + o->hold_interval_ms;
    if (endpoint) {
        rest->endpoints[t->endpoint].hold_next = t->next_at;
        rest->secret_at = 0;
    }
    if (j->flags & FM_V_OTHER)
        fm_endpoint_failed(rest, t->endpoint, t->reason);
}

static void on_auth(struct fm_topic *t, const struct fm_http_answer *http,
                    const struct fm_judgement *j, const struct rest_of *left, int64_t now)
{
    bool oauth2 = t->rest->conf->o.auth == FM_REST_AUTH_OAUTH2;
    bool changed = oauth2 ? fm_oauth_refused(t->rest, t->secret_gen, now)
                          : t->secret_gen != t->rest->secret_gen || fm_rest_secret_again(t->rest);
    if (!t->auth_retried && changed) {
        t->auth_retried = true;
        t->next_at = now;
        fm_isolate_clear(t);
        if (t->state == FM_REST_HOLD)
            fm_topic_state(t, FM_REST_ONE);
        return;
    }
    hold(t, http, j, left, now);
}

static size_t stored_size(const struct fm_rest_opts *o, const struct fm_spool_item *item)
{
    bool identity = o->dialect == FM_DIALECT_CONFLUENT_V3 && o->agent != NULL;
    return fm_batch_stored_size(fm_batch_format(o->format, item), item) +
           (identity ? FM_IDENTITY_EXTRA + strlen(o->agent) : 0);
}

/* The verdict about one record that was sent alone. */
static void refused_alone(struct fm_topic *t, const struct fm_http_answer *http,
                          const struct fm_judgement *j, const struct rest_of *left, int64_t now)
{
    const struct fm_rest_opts *o = &t->rest->conf->o;
    const struct fm_spool_item *item = &t->batch->items[left->first];
    char answer[240];
    fm_verdict_text(&j->top, http->status, answer, sizeof answer);
    size_t stored = stored_size(o, item);
    bool fits = fm_suspect_add(t, &item->id, item->rec.kind == FM_RECORD_CONTROL, stored,
                               left->p[0], j->flags, answer, now);
    if (!fits) {
        fm_topic_reason(t, FM_REST_HOP_REST_PROXY, "every record is refused and none is accepted",
                        answer, "check [rest] topic, format and dialect, and the topic's settings");
        hold(t, http, j, left, now);
        return;
    }
    if (now < t->soft_until && t->mode == FM_MODE_PART) { /* both ends of S refused: HOLD again */
        t->s_first_refused = t->s_first_refused || fm_id_same(&item->id, &t->s_first);
        if (t->s_first_refused && fm_id_same(&item->id, &t->s_last) &&
            !fm_id_same(&t->s_first, &t->s_last)) {
            t->soft_until = 0;
            hold(t, http, j, left, now);
            return;
        }
    }
    if (t->state == FM_REST_ONE) {
        t->doubt = 0;
        t->next_at =
            now + (t->step == 0 ? (int64_t)o->backoff_ms : fm_rest_backoff(t->rest, t->step));
        t->step++;
    } else if (t->state == FM_REST_HOLD) {
        t->next_at = now + o->hold_interval_ms;
    } else if (t->state == FM_REST_STUCK) {
        fm_topic_state(t, FM_REST_ONE);
    }
}

/* The request had several records: rules 1 to 3. */
static bool split(struct fm_topic *t, const struct fm_judgement *j, const struct rest_of *left)
{
    const struct fm_rest_opts *o = &t->rest->conf->o;
    bool halves_cure = o->dialect == FM_DIALECT_KARAPACE;
    if ((j->flags & (FM_V_SIZE | FM_V_ALONE)) != 0 && !halves_cure)
        return fm_isolate_push(t, left->ids, left->n, true);
    size_t named = 0;
    for (size_t i = 0; i < left->n; i++)
        named += left->p[i];
    if (named == 0 || named == left->n || halves_cure)
        return fm_isolate_halves(t, left->ids, left->n);
    /* Only some carry P: the innocent together, then these alone; pushed in reverse. */
    bool ok = true;
    struct fm_spool_id *rest = calloc(left->n, sizeof *rest);
    size_t n = 0;
    for (size_t i = left->n; rest != NULL && i-- > 0;)
        if (left->p[i])
            ok = ok && fm_isolate_push(t, &left->ids[i], 1, true);
    for (size_t i = 0; rest != NULL && i < left->n; i++)
        if (!left->p[i])
            rest[n++] = left->ids[i];
    ok = ok && rest != NULL && fm_isolate_push(t, rest, n, false);
    free(rest);
    return ok;
}

static void on_isolate(struct fm_topic *t, const struct fm_http_answer *http,
                       const struct fm_judgement *j, const struct rest_of *left, int64_t now)
{
    if ((j->flags & FM_V_BODY) != 0 && t->n > 1)
        t->body_limit = t->body.len / 2 > 1024 ? t->body.len / 2 : 1024;
    if (t->n == 1) {
        refused_alone(t, http, j, left, now);
        return;
    }
    if (now < t->soft_until && !fm_isolate_any(t)) {
        t->s_first = left->ids[0];
        t->s_last = left->ids[left->n - 1];
        t->s_first_refused = false;
    }
    if (!split(t, j, left))
        back_off(t, j, now);
}

/* The topic leaves RUN until a probe has answered. */
static void on_probe(struct fm_topic *t, const struct fm_http_answer *http,
                     const struct fm_judgement *j, const struct rest_of *left, int64_t now)
{
    const struct fm_rest_opts *o = &t->rest->conf->o;
    bool isolate = (j->flags & (FM_V_200_ISOLATE | FM_V_200_ISOLATE_P)) != 0;
    bool gateway = http->failure == FM_HTTP_OK && http->status >= 502 && http->status <= 504;
    if (gateway && fm_endpoint_failed(t->rest, t->endpoint, t->reason))
        return; /* and begins there with a probe */
    if (t->state == FM_REST_STUCK) {
        t->next_at = now + o->stuck_interval_ms;
        return;
    }
    t->after_from_one = t->state == FM_REST_ONE;
    t->after_isolate = isolate;
    t->after_p = (j->flags & FM_V_200_ISOLATE_P) != 0;
    t->after_alone = t->n == 1;
    if (isolate && t->n == 1) {
        const struct fm_spool_item *item = &t->batch->items[left->first];
        t->after_id = item->id;
        t->after_control = item->rec.kind == FM_RECORD_CONTROL;
        t->after_stored = stored_size(o, item);
        fm_verdict_text(&j->top, http->status, t->after_text, sizeof t->after_text);
    } else if (isolate) {
        split(t, j, left);
    } else if (t->mode == FM_MODE_PART) {
        (void)!fm_isolate_push(t, left->ids, left->n, false);
    }
    t->next_at = t->state == FM_REST_ONE ? now + fm_rest_backoff(t->rest, t->step++) : now;
    fm_topic_state(t, FM_REST_PROBING);
}

static void on_retry(struct fm_topic *t, const struct fm_http_answer *http,
                     const struct fm_judgement *j, const struct rest_of *left, int64_t now)
{
    if (j->flags & FM_V_ENDS)
        fm_isolate_clear(t);
    else if (t->mode == FM_MODE_PART)
        (void)!fm_isolate_push(t, left->ids, left->n, false);
    if ((j->flags & FM_V_HALVE) != 0 && ++t->slow_uploads >= 2) {
        size_t now_limit = t->body_limit > 0 ? t->body_limit : t->body.len;
        t->body_limit = now_limit / 2 > 1024 ? now_limit / 2 : 1024;
    }
    back_off(t, j, now);
    bool transport = http->failure != FM_HTTP_OK;
    t->transport_row = transport ? t->transport_row + 1 : 0;
    if (t->state == FM_REST_RUN && (j->unknown > 0 || t->transport_row >= 2))
        fm_topic_state(t, FM_REST_ONE);
    else if (t->state == FM_REST_HOLD)
        t->next_at = now + t->rest->conf->o.hold_interval_ms;
    else if (t->state == FM_REST_STUCK && !transport)
        fm_topic_state(t, FM_REST_ONE);
    else if (t->state == FM_REST_STUCK)
        t->next_at = now + t->rest->conf->o.stuck_interval_ms;
    if ((j->flags & FM_V_OTHER) && fm_endpoint_failed(t->rest, t->endpoint, t->reason))
        t->next_at = now;
}

/* HOLD ends by an accepted record: those refused before it were about themselves. */
static void hold_accepted(struct fm_topic *t, int64_t now)
{
    struct fm_spool_id ids[FM_HOLD_REFUSED];
    size_t n = t->n_refused;
    memcpy(ids, t->refused, n * sizeof *ids);
    t->n_refused = 0;
    for (size_t i = 0; i < n; i++) {
        char answer[240];
        snprintf(answer, sizeof answer, "HTTP %ld while others are accepted", t->hold_status);
        (void)!fm_suspect_add(t, &ids[i], t->refused_control[i], 0, false, 0, answer, now);
    }
    t->soft_status = t->hold_status;
    t->soft_code = t->hold_code;
    t->soft_until = now + 20 * (int64_t)t->rest->conf->o.hold_interval_ms;
}

static void accepted_all(struct fm_topic *t, int64_t now)
{
    struct fm_rest *rest = t->rest;
    t->step = 0;
    t->transport_row = 0;
    t->doubt = 0;
    t->auth_retried = false;
    t->slow_uploads = 0;
    if (rest->pace_ms > 0)
        rest->pace_ms = rest->pace_ms > 4 ? rest->pace_ms / 2 : 0;
    fm_endpoint_good(rest, t->endpoint);
    t->next_at = now + rest->pace_ms;
    if (t->state == FM_REST_HOLD) {
        hold_accepted(t, now);
        bool endpoint = t->endpoint_hold;
        fm_topic_state(t, FM_REST_RUN);
        for (size_t i = 0; endpoint && i < rest->n_topics; i++)
            if (rest->topics[i]->endpoint_hold && rest->topics[i]->state == FM_REST_HOLD) {
                fm_topic_state(rest->topics[i], FM_REST_ONE);
                rest->topics[i]->next_at = now;
            }
    } else {
        fm_topic_state(t, t->state == FM_REST_STUCK ? FM_REST_ONE : FM_REST_RUN);
    }
}

/* A suspect's attempt that said nothing about it: later again, and seldom (7.7 rule 5). */
static void suspect_undecided(struct fm_topic *t, int64_t now)
{
    struct fm_suspect *s = fm_suspect_find(t, &t->batch->items[0].id);
    unsigned top = t->rest->conf->o.isolate_max_backoff_ms;
    if (s == NULL)
        return;
    s->last_p = false;
    s->wait_ms = s->wait_ms * 2 < top ? s->wait_ms * 2 : top;
    s->next_at = now + s->wait_ms;
}

static void act(struct fm_topic *t, const struct fm_http_answer *http, const struct fm_judgement *j,
                const struct rest_of *left, int64_t now)
{
    if (t->endpoint != t->rest->cur && j->cls != FM_CLS_OK && j->cls != FM_CLS_ISOLATE) {
        fm_isolate_clear(t); /* another endpoint by now: begin there */
        fm_topic_state(t, FM_REST_PROBING);
        t->next_at = now;
        return;
    }
    switch (j->cls) {
    case FM_CLS_OK:
        accepted_all(t, now);
        break;
    case FM_CLS_RETRY:
        on_retry(t, http, j, left, now);
        break;
    case FM_CLS_ISOLATE:
        on_isolate(t, http, j, left, now);
        break;
    case FM_CLS_PROBE:
        on_probe(t, http, j, left, now);
        break;
    case FM_CLS_ALERT:
        hold(t, http, j, left, now);
        break;
    case FM_CLS_AUTH:
        on_auth(t, http, j, left, now);
        break;
    }
}

static void collect_left(struct fm_topic *t, struct rest_of *left)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct fm_verdict *v = &t->verdicts[i];
        if (v->cls == FM_CLS_OK)
            continue;
        if (left->n == 0)
            left->first = i;
        left->ids[left->n] = t->batch->items[i].id;
        left->p[left->n++] = (v->flags & FM_V_P) != 0 && v->cls == FM_CLS_ISOLATE;
    }
}

/* @return whether it may be the compression that was refused */
static bool judge(struct fm_topic *t, const struct fm_http_answer *http, struct fm_judgement *j)
{
    const struct fm_rest_opts *o = &t->rest->conf->o;
    struct fm_sent sent = {.dialect = o->dialect,
                           .n_records = t->n,
                           .gzip = t->gzip,
                           .bearer = fm_rest_bearer(o),
                           .fresh_first = !http->reused && o->urls[t->endpoint][4] == 's'};
    int32_t *partitions = NULL;
    if (o->dialect == FM_DIALECT_REDPANDA) {
        partitions = calloc(t->n, sizeof *partitions);
        sent.all_partitions = partitions != NULL;
        for (size_t i = 0; partitions != NULL && i < t->n; i++) {
            partitions[i] = t->batch->items[i].rec.partition;
            sent.all_partitions = sent.all_partitions && partitions[i] != FM_NO_PARTITION;
        }
        sent.partitions = partitions;
    }
    if (fm_judge(j, t->verdicts, &sent, http, NULL) != FM_OK) { /* no memory: nothing is proven */
        struct fm_verdict v = {.cls = FM_CLS_RETRY,
                               .flags = FM_V_UNKNOWN,
                               .code = FM_CODE_NONE,
                               .row = fm_table_shape(FM_ROW_UNREPORTED)};
        for (size_t i = 0; i < t->n; i++)
            t->verdicts[i] = v;
        *j =
            (struct fm_judgement){.cls = FM_CLS_RETRY, .flags = v.flags, .top = v, .unknown = t->n};
    }
    free(partitions);
    return fm_gzip_doubted(&sent, http, j);
}

/* v3, a 404: the cluster that was found once may be gone; look it up again, but only once before
 * the answer counts. @return whether that is what happens next */
static bool lost_cluster(struct fm_topic *t, const struct fm_http_answer *http, int64_t now)
{
    if (http->failure != FM_HTTP_OK || http->status != 404 ||
        !fm_endpoint_forget_cluster(t->rest, t->endpoint) || t->cluster_fresh)
        return false;
    fm_isolate_clear(t);
    fm_topic_state(t, FM_REST_PROBING);
    t->next_at = now;
    return true;
}

/* What the state shows of this answer. */
static void tell(struct fm_topic *t, const struct fm_http_answer *http,
                 const struct fm_judgement *j)
{
    bool first_reused = http->failure == FM_HTTP_REUSED_DIED && !t->failed;
    if (j->accepted > 0) {
        t->failed = false;
        t->health = t->state;
        t->reason[0] = '\0';
    }
    if (j->cls == FM_CLS_OK || first_reused)
        return;
    sentence(t, http, j);
    if (j->accepted == 0 && (j->flags & FM_V_SLOW) == 0 && t->mode != FM_MODE_SUSPECT)
        t->failed = true;
    if (j->flags & FM_V_CLOCK)
        fm_log_limited(t->rest->log, FM_LOG_WARN, "rest clock",
                       "topic %s: Kafka refuses the time of a record: this host's clock may be "
                       "wrong",
                       t->name);
}

/* What is left goes its way. */
static void go_on(struct fm_topic *t, const struct fm_http_answer *http, struct fm_judgement *j,
                  int64_t now)
{
    struct rest_of left = {0};
    if (j->cls != FM_CLS_OK) {
        left.ids = calloc(t->n, sizeof *left.ids);
        left.p = calloc(t->n, sizeof *left.p);
        if (left.ids == NULL || left.p == NULL)
            j->cls = FM_CLS_RETRY;
        else
            collect_left(t, &left);
    }
    if (t->mode == FM_MODE_SUSPECT && j->cls != FM_CLS_OK && j->cls != FM_CLS_ISOLATE)
        suspect_undecided(t, now);
    if (j->accepted > 0)
        t->cluster_fresh = false;
    if (!t->rest->leaving && !lost_cluster(t, http, now))
        act(t, http, j, &left, now);
    free(left.ids);
    free(left.p);
}

/* Schemas: ids are learnt from what was accepted, and forgotten when an answer doubts them. */
static void schemas(struct fm_topic *t, const struct fm_http_answer *http, struct fm_judgement *j)
{
    const struct fm_rest_opts *o = &t->rest->conf->o;
    if (!fm_typed_is(fm_batch_format(o->format, &t->batch->items[0])))
        return;
    if (j->accepted > 0 && http->failure == FM_HTTP_OK)
        fm_typed_learn(&t->typed, o, http->body, http->body_len);
    if (j->cls == FM_CLS_OK || (j->flags & FM_V_SCHEMA) == 0 || !fm_typed_forget(&t->typed))
        return;
    j->cls = FM_CLS_RETRY; /* with the text, at once; only what is said then counts */
    j->flags = (j->flags & FM_V_UNKNOWN) | FM_V_NOW;
    for (size_t i = 0; i < t->n; i++)
        if (t->verdicts[i].cls != FM_CLS_OK)
            t->verdicts[i].cls = FM_CLS_RETRY;
}

static void clean_up(struct fm_topic *t, int64_t now)
{
    struct fm_rest *rest = t->rest;
    if (rest->conf->o.drain_rate > 0) {
        int64_t at = now + (int64_t)(t->n * 1000 / rest->conf->o.drain_rate);
        rest->not_before = at > rest->not_before ? at : rest->not_before;
    }
    fm_spool_batch_free(rest->spool, t->batch);
    t->batch = NULL;
    t->n = 0;
    if (rest->n_topics > 4 || t->body.cap > 2 * rest->conf->o.batch_bytes) {
        fm_buf_clear(&t->body); /* memory stays bounded whatever came */
        fm_buf_clear(&t->packed);
    }
}

/* The same records once more, plain; only then does an answer count. */
static void send_plain(struct fm_topic *t, int64_t now)
{
    struct rest_of left = {.ids = calloc(t->n, sizeof *left.ids), .p = calloc(t->n, 1)};
    t->plain = true;
    t->next_at = now;
    if (t->mode == FM_MODE_PART && left.ids != NULL && left.p != NULL) {
        collect_left(t, &left);
        (void)!fm_isolate_push(t, left.ids, left.n, false);
    }
    free(left.ids);
    free(left.p);
    snprintf(t->rest->now.last_send.error, sizeof t->rest->now.last_send.error,
             "the compressed request was refused; it is sent again uncompressed");
}

/* What was refused compressed has been sent plain. */
static void plain_answered(struct fm_topic *t, const struct fm_http_answer *http,
                           const struct fm_judgement *j)
{
    struct fm_endpoint *e = &t->rest->endpoints[t->endpoint];
    if (!t->plain || t->gzip || http->failure != FM_HTTP_OK)
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

void fm_topic_produced(struct fm_topic *t, const struct fm_http_answer *http)
{
    int64_t now = fm_clock_ms();
    struct fm_judgement j;
    t->flight = FM_FLIGHT_NONE;
    t->call = NULL;
    bool doubt = judge(t, http, &j);
    if (doubt)
        j.unknown = 0; /* what cannot be read is not written */
    note_send(t, http, &j, now);
    if (doubt) {
        send_plain(t, now);
        clean_up(t, now);
        return;
    }
    plain_answered(t, http, &j);
    bool suspect_accepted;
    bool evidence = settle_accepted(t, &suspect_accepted);
    schemas(t, http, &j);
    apply_strikes(t, &j);
    apply_row(t, &j);
    apply_soft(t, http, &j, now);
    t->fresh = (j.flags & FM_V_FRESH) != 0;
    if (t->mode == FM_MODE_SUSPECT)
        t->suspect_gate = now + 3 * (now - t->sent_at);
    if (suspect_accepted)
        fm_suspect_release(t);
    if (evidence)
        fm_suspect_evidence(t);
    tell(t, http, &j);
    go_on(t, http, &j, now);
    clean_up(t, now);
}
