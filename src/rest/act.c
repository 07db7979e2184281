/* What follows from an answer: the rest of the request goes its way, the topic into its next state.
 * Reference 7.2 point 8, 7.7 and 7.8. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "rest/topic_priv.h"

bool fm_left_collect(const struct fm_request *r, struct fm_left *left)
{
    *left = (struct fm_left){.ids = calloc(r->n, sizeof *left->ids),
                             .p = calloc(r->n, sizeof *left->p)};
    if (left->ids == NULL || left->p == NULL) {
        fm_left_clear(left);
        return false;
    }
    for (size_t i = 0; i < r->n; i++) {
        const struct fm_verdict *v = &r->verdicts[i];
        if (v->cls == FM_CLS_OK)
            continue;
        if (left->n == 0)
            left->first = i;
        left->ids[left->n] = r->batch->items[i].id;
        left->p[left->n++] = (v->flags & FM_V_P) != 0 && v->cls == FM_CLS_ISOLATE;
    }
    return true;
}

void fm_left_clear(struct fm_left *left)
{
    free(left->ids);
    free(left->p);
    left->ids = NULL;
    left->p = NULL;
    left->n = 0;
}

void fm_topic_slow(struct fm_topic *t, int64_t wait_ms, int64_t now)
{
    struct fm_rest *rest = t->rest;
    unsigned least = rest->conf->o.backoff_ms;
    if (wait_ms < (int64_t)least)
        wait_ms = least;
    rest->pace_ms = rest->pace_ms == 0 ? least / 20 + 1 : rest->pace_ms * 2;
    if (rest->pace_ms > least)
        rest->pace_ms = least;
    rest->not_before = now + wait_ms > rest->not_before ? now + wait_ms : rest->not_before;
    t->next_at = rest->not_before;
}

static void back_off(struct fm_topic *t, const struct fm_judgement *j, int64_t now)
{
    const struct fm_rest_opts *o = &t->rest->conf->o;
    int64_t wait = (j->flags & FM_V_LONG)  ? (int64_t)o->hold_interval_ms
                   : (j->flags & FM_V_NOW) ? 0
                                           : fm_topic_backoff(t, now);
    if (j->retry_after_s > 0)
        wait = (int64_t)j->retry_after_s * 1000;
    t->next_at = now + wait;
    if (j->flags & FM_V_SLOW)
        fm_topic_slow(t, wait, now);
}

/* HOLD with a remedy; the record refused alone is remembered. */
static void hold(struct fm_request *r, const struct fm_http_answer *http,
                 const struct fm_judgement *j, const struct fm_left *left, int64_t now)
{
    struct fm_topic *t = r->topic;
    struct fm_rest *rest = t->rest;
    const struct fm_rest_opts *o = &rest->conf->o;
    bool endpoint = (j->flags & FM_V_ENDPOINT) != 0;
    fm_isolate_clear(t);
    t->held.status = http->status;
    t->held.code = j->top.code;
    /* What says nothing about a record leaves it first in line. */
    bool of_record = http->failure == FM_HTTP_OK && http->status != 401 && http->status / 100 != 3;
    if (t->state == FM_REST_HOLD && r->n == 1 && r->mode == FM_MODE_LINE && of_record &&
        t->held.n < FM_HOLD_REFUSED) {
        const struct fm_spool_item *item = &r->batch->items[left->first];
        t->held.control[t->held.n] = item->rec.kind == FM_RECORD_CONTROL;
        t->held.refused[t->held.n++] = left->ids[0];
    }
    t->next_at = now + o->hold_interval_ms; /* before it is told */
    fm_topic_state(t, FM_REST_HOLD);
    t->held.endpoint = endpoint;
    if (endpoint) {
        rest->endpoints[r->endpoint].hold_next = t->next_at;
        rest->secret_at = 0;
    }
    if (j->flags & FM_V_OTHER)
        fm_endpoint_failed(rest, r->endpoint, t->reason);
}

static void on_auth(struct fm_request *r, const struct fm_http_answer *http,
                    const struct fm_judgement *j, const struct fm_left *left, int64_t now)
{
    struct fm_topic *t = r->topic;
    const struct fm_rest_opts *o = &t->rest->conf->o;
    bool oauth2 = o->auth == FM_REST_AUTH_OAUTH2, by_kafka = (j->flags & FM_V_TOKEN) != 0;
    bool changed;
    if (!oauth2)
        changed = r->secret_gen != t->rest->secret_gen || fm_rest_secret_again(t->rest);
    else
        changed = by_kafka ? fm_oauth_denied(t->rest, r->secret_gen, now)
                           : fm_oauth_refused(t->rest, r->secret_gen, now);
    if (t->auth_retried || !changed) {
        hold(r, http, j, left, now);
        return;
    }
    t->auth_retried = true;
    t->next_at = now;
    if (oauth2 && by_kafka && r->secret_gen == t->rest->secret_gen) {
        t->renews_token = true; /* until the fetch ends, which has its own limit */
        t->next_at = now + o->timeout_ms;
    }
    fm_isolate_clear(t);
    if (t->state == FM_REST_HOLD)
        fm_topic_state(t, FM_REST_ONE);
}

static size_t stored_size(const struct fm_rest_opts *o, const struct fm_spool_item *item)
{
    bool identity = fm_rest_is_v3(o->dialect) && o->agent != NULL;
    return fm_batch_stored_size(fm_batch_format(o->format, item), item) +
           (identity ? FM_IDENTITY_EXTRA + strlen(o->agent) : 0);
}

/* The verdict about one record that was sent alone. */
static void refused_alone(struct fm_request *r, const struct fm_http_answer *http,
                          const struct fm_judgement *j, const struct fm_left *left, int64_t now)
{
    struct fm_topic *t = r->topic;
    const struct fm_rest_opts *o = &t->rest->conf->o;
    const struct fm_spool_item *item = &r->batch->items[left->first];
    char answer[240];
    fm_verdict_text(&j->top, http->status, answer, sizeof answer);
    size_t stored = stored_size(o, item);
    bool fits = fm_suspect_add(t, &item->id, item->rec.kind == FM_RECORD_CONTROL, stored,
                               left->p[0], j->flags, answer, now);
    if (!fits) {
        fm_topic_reason(t, FM_REST_HOP_REST_PROXY, "every record is refused and none is accepted",
                        answer, "check [rest] topic, format and dialect, and the topic's settings");
        hold(r, http, j, left, now);
        return;
    }
    if (now < t->held.soft_until &&
        r->mode == FM_MODE_PART) { /* both ends of S refused: HOLD again */
        t->held.s_first_refused =
            t->held.s_first_refused || fm_id_same(&item->id, &t->held.s_first);
        if (t->held.s_first_refused && fm_id_same(&item->id, &t->held.s_last) &&
            !fm_id_same(&t->held.s_first, &t->held.s_last)) {
            t->held.soft_until = 0;
            hold(r, http, j, left, now);
            return;
        }
    }
    if (t->state == FM_REST_ONE) {
        t->doubt = 0;
        int64_t wait = fm_topic_backoff(t, now);
        t->next_at = now + (t->step == 1 ? (int64_t)o->backoff_ms : wait);
    } else if (t->state == FM_REST_HOLD) {
        t->next_at = now + o->hold_interval_ms;
    } else if (t->state == FM_REST_STUCK) {
        fm_topic_state(t, FM_REST_ONE);
    }
}

/* The request had several records: rules 1 to 3. */
static bool split(struct fm_topic *t, const struct fm_judgement *j, const struct fm_left *left)
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

static void on_isolate(struct fm_request *r, const struct fm_http_answer *http,
                       const struct fm_judgement *j, const struct fm_left *left, int64_t now)
{
    struct fm_topic *t = r->topic;
    if ((j->flags & FM_V_BODY) != 0 && r->n > 1)
        fm_size_refused(t, r->body.len);
    if (r->n == 1) {
        refused_alone(r, http, j, left, now);
        return;
    }
    if (now < t->held.soft_until && !fm_isolate_any(t)) {
        t->held.s_first = left->ids[0];
        t->held.s_last = left->ids[left->n - 1];
        t->held.s_first_refused = false;
    }
    if (!split(t, j, left))
        back_off(t, j, now);
}

/* The topic leaves RUN until a probe has answered. */
static void on_probe(struct fm_request *r, const struct fm_http_answer *http,
                     const struct fm_judgement *j, const struct fm_left *left, int64_t now)
{
    struct fm_topic *t = r->topic;
    const struct fm_rest_opts *o = &t->rest->conf->o;
    bool isolate = (j->flags & (FM_V_200_ISOLATE | FM_V_200_ISOLATE_P)) != 0;
    bool gateway = http->failure == FM_HTTP_OK && http->status >= 502 && http->status <= 504;
    if (gateway && fm_endpoint_failed(t->rest, r->endpoint, t->reason))
        return; /* and begins there with a probe */
    if (t->state == FM_REST_STUCK) {
        t->next_at = now + o->stuck_interval_ms;
        return;
    }
    t->after.from_one = t->state == FM_REST_ONE;
    t->after.isolate = isolate;
    t->after.p = (j->flags & FM_V_200_ISOLATE_P) != 0;
    t->after.alone = r->n == 1;
    if (isolate && r->n == 1) {
        const struct fm_spool_item *item = &r->batch->items[left->first];
        t->after.id = item->id;
        t->after.control = item->rec.kind == FM_RECORD_CONTROL;
        t->after.stored = stored_size(o, item);
        fm_verdict_text(&j->top, http->status, t->after.text, sizeof t->after.text);
    } else if (isolate) {
        split(t, j, left);
    } else if (r->mode == FM_MODE_PART) {
        (void)!fm_isolate_push(t, left->ids, left->n, false);
    }
    t->next_at = t->state == FM_REST_ONE ? now + fm_topic_backoff(t, now) : now;
    fm_topic_state(t, FM_REST_PROBING);
}

static void on_retry(struct fm_request *r, const struct fm_http_answer *http,
                     const struct fm_judgement *j, const struct fm_left *left, int64_t now)
{
    struct fm_topic *t = r->topic;
    if (j->flags & FM_V_ENDS)
        fm_isolate_clear(t);
    else if (r->mode == FM_MODE_PART)
        (void)!fm_isolate_push(t, left->ids, left->n, false);
    if ((j->flags & FM_V_HALVE) != 0)
        fm_size_stalled(t, r->body.len, now);
    back_off(t, j, now);
    if (t->failed && r->mode != FM_MODE_SUSPECT) /* once may be a restart between two requests */
        fm_topic_tell_failure(
            t, t->step >= 2 || (j->flags & FM_V_LONG) || http->failure == FM_HTTP_TIMEOUT, now);
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
    if ((j->flags & FM_V_OTHER) && fm_endpoint_failed(t->rest, r->endpoint, t->reason))
        t->next_at = now;
}

/* HOLD ends by an accepted record: those refused before it were about themselves. */
static void hold_accepted(struct fm_topic *t, int64_t now)
{
    struct fm_spool_id ids[FM_HOLD_REFUSED];
    size_t n = t->held.n;
    memcpy(ids, t->held.refused, n * sizeof *ids);
    t->held.n = 0;
    for (size_t i = 0; i < n; i++) {
        char answer[240];
        snprintf(answer, sizeof answer, "HTTP %ld while others are accepted", t->held.status);
        (void)!fm_suspect_add(t, &ids[i], t->held.control[i], 0, false, 0, answer, now);
    }
    t->held.soft_status = t->held.status;
    t->held.soft_code = t->held.code;
    t->held.soft_until = now + 20 * (int64_t)t->rest->conf->o.hold_interval_ms;
}

static void accepted_all(struct fm_request *r, int64_t now)
{
    struct fm_topic *t = r->topic;
    struct fm_rest *rest = t->rest;
    t->step = 0;
    t->transport_row = 0;
    t->doubt = 0;
    t->auth_retried = false;
    fm_size_passed(t, r->body.len, now);
    if (t->state == FM_REST_RUN && r->lane == NULL && r->mode == FM_MODE_LINE)
        fm_lanes_go_on(t);
    if (rest->pace_ms > 0)
        rest->pace_ms = rest->pace_ms > 4 ? rest->pace_ms / 2 : 0;
    fm_endpoint_good(rest, r->endpoint);
    t->next_at = now + rest->pace_ms;
    if (t->state == FM_REST_HOLD) {
        hold_accepted(t, now);
        bool endpoint = t->held.endpoint;
        fm_topic_state(t, FM_REST_RUN);
        for (size_t i = 0; endpoint && i < rest->n_topics; i++)
            if (rest->topics[i]->held.endpoint && rest->topics[i]->state == FM_REST_HOLD) {
                fm_topic_state(rest->topics[i], FM_REST_ONE);
                rest->topics[i]->next_at = now;
            }
    } else {
        fm_topic_state(t, t->state == FM_REST_STUCK ? FM_REST_ONE : FM_REST_RUN);
    }
}

/* A suspect's attempt that said nothing about it: later again, and seldom (7.7 rule 5). */
static void suspect_undecided(struct fm_request *r, int64_t now)
{
    struct fm_topic *t = r->topic;
    struct fm_suspect *s = fm_suspect_find(t, &r->batch->items[0].id);
    unsigned top = t->rest->conf->o.isolate_max_backoff_ms;
    if (s == NULL)
        return;
    s->last_p = false;
    s->wait_ms = s->wait_ms * 2 < top ? s->wait_ms * 2 : top;
    s->next_at = now + s->wait_ms;
}

static void act(struct fm_request *r, const struct fm_http_answer *http,
                const struct fm_judgement *j, const struct fm_left *left, int64_t now)
{
    struct fm_topic *t = r->topic;
    if (r->endpoint != t->rest->cur && j->cls != FM_CLS_OK && j->cls != FM_CLS_ISOLATE) {
        fm_isolate_clear(t); /* another endpoint by now: begin there */
        fm_topic_state(t, FM_REST_PROBING);
        t->next_at = now;
        return;
    }
    switch (j->cls) {
    case FM_CLS_OK:
        accepted_all(r, now);
        break;
    case FM_CLS_RETRY:
        on_retry(r, http, j, left, now);
        break;
    case FM_CLS_ISOLATE:
        on_isolate(r, http, j, left, now);
        break;
    case FM_CLS_PROBE:
        on_probe(r, http, j, left, now);
        break;
    case FM_CLS_ALERT:
        hold(r, http, j, left, now);
        break;
    case FM_CLS_AUTH:
        on_auth(r, http, j, left, now);
        break;
    }
}

/* v3, a 404: the cluster that was found once may be gone; look it up again, but only once before
 * the answer counts. @return whether that is what happens next */
static bool lost_cluster(struct fm_request *r, const struct fm_http_answer *http, int64_t now)
{
    struct fm_topic *t = r->topic;
    if (http->failure != FM_HTTP_OK || http->status != 404 ||
        !fm_endpoint_forget_cluster(t->rest, r->endpoint) || t->probe.cluster_fresh)
        return false;
    fm_isolate_clear(t);
    fm_topic_state(t, FM_REST_PROBING);
    t->next_at = now;
    return true;
}

void fm_act(struct fm_request *r, const struct fm_http_answer *http, struct fm_judgement *j,
            int64_t now)
{
    struct fm_topic *t = r->topic;
    struct fm_left left = {0};
    if (j->cls != FM_CLS_OK && !fm_left_collect(r, &left))
        j->cls = FM_CLS_RETRY;
    if (r->mode == FM_MODE_SUSPECT && j->cls != FM_CLS_OK && j->cls != FM_CLS_ISOLATE)
        suspect_undecided(r, now);
    if (j->accepted > 0)
        t->probe.cluster_fresh = false;
    if (!t->rest->leaving && !lost_cluster(r, http, now))
        act(r, http, j, &left, now);
    fm_left_clear(&left);
}
