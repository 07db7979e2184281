/* A topic's state: reference rest-proxy.md 7.8. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "rest/topic_priv.h"

struct fm_topic *fm_topic_get(struct fm_rest *rest, const char *name)
{
    for (size_t i = 1; i <= rest->n_topics; i++) {
        size_t at = (rest->found + i) % rest->n_topics;
        if (strcmp(rest->topics[at]->name, name) == 0) {
            rest->found = at;
            return rest->topics[at];
        }
    }
    struct fm_topic **more = realloc(rest->topics, (rest->n_topics + 1) * sizeof(*more));
    if (more == NULL)
        return NULL;
    rest->topics = more;
    struct fm_topic *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->rest = rest;
    snprintf(t->name, sizeof t->name, "%s", name);
    fm_request_init(&t->req, t, NULL);
    fm_typed_reset(&t->typed, &rest->conf->o);
    t->state = FM_REST_RUN;
    t->health = FM_REST_RUN;
    rest->topics[rest->n_topics++] = t;
    fm_topic_state(t, FM_REST_PROBING);
    return t;
}

void fm_topic_free(struct fm_topic *t)
{
    if (t == NULL)
        return;
    fm_request_clear(&t->req);
    fm_lanes_clear(t);
    free(t->iso.parts);
    free(t->iso.suspects);
    free(t->iso.strikes);
    free(t);
}

bool fm_topic_bad(enum fm_rest_state state)
{
    return state == FM_REST_HOLD || state == FM_REST_STUCK || state == FM_REST_MISSING ||
           state == FM_REST_OUTAGE;
}

void fm_topic_state(struct fm_topic *t, enum fm_rest_state state)
{
    bool keeps = (state == FM_REST_PROBING || state == FM_REST_ONE) && fm_topic_bad(t->health);
    if (!keeps)
        t->health = state;
    t->probing_since = state != FM_REST_PROBING ? 0
                       : t->probing_since != 0  ? t->probing_since
                                                : fm_clock_ms();
    if (state == FM_REST_RUN) /* a failure need not have left it */
        fm_topic_tell_end(t);
    if (t->state == state)
        return;
    fm_topic_tell(t, state);
    if (state == FM_REST_RUN) { /* what has gathered is sent at its own pace */
        t->backlog = t->line.pending > t->rest->conf->o.batch_records;
        t->rest->drain.on = false;
    } else {
        fm_lanes_stop(t);
    }
    t->state = state;
    t->since_wall = fm_wall_ms();
    if (state != FM_REST_HOLD) {
        t->held.endpoint = false;
        t->held.n = 0;
    }
}

bool fm_topic_idle(struct fm_topic *t, int64_t now)
{
    enum { FORGET_HOLDS = 20 }; /* 10 minutes by default */
    if (t->req.flight != FM_FLIGHT_NONE || fm_lanes_flying(t) > 0)
        return false;
    bool neutral = t->state == FM_REST_PROBING && t->line.idle_since != 0;
    if (neutral)
        return now - t->line.idle_since > FORGET_HOLDS * (int64_t)t->rest->conf->o.hold_interval_ms;
    if (!t->failed && t->iso.n_suspects == 0 && t->state == FM_REST_RUN)
        return false;
    fm_isolate_clear(t);
    t->iso.n_suspects = 0;
    t->iso.lined.id.seq = 0;
    t->after.isolate = t->after.from_one = t->failed = t->waits_token = false;
    t->doubt = t->step = 0;
    t->next_at = 0;
    t->hop = FM_REST_HOP_NONE;
    t->reason[0] = '\0';
    t->health = FM_REST_RUN; /* nothing of the failure stays */
    t->trouble = (struct fm_trouble){.since = 0};
    fm_topic_state(t, FM_REST_PROBING);
    t->probing_since = 0;
    t->line.idle_since = now;
    return false;
}

/* A failure of the way is told by src/net with its own advice behind a semicolon: then the row's,
 * which knows less, would be a second one. */
const char *fm_topic_remedy(const struct fm_row *row, const struct fm_http_answer *http)
{
    if (row == NULL ||
        (http->failure != FM_HTTP_OK && strchr(fm_err_text(&http->err), ';') != NULL))
        return NULL;
    return row->remedy;
}

/* What another server says may be long: the remedy behind it stays whole. */
void fm_topic_reason(struct fm_topic *t, enum fm_rest_hop hop, const char *what, const char *detail,
                     const char *remedy)
{
    const char *name = hop != FM_REST_HOP_NONE ? fm_rest_hop_name(hop) : "";
    const char *cure = remedy != NULL ? remedy : "";
    int len = snprintf(t->reason, sizeof t->reason, "%s%s%s", name, name[0] != '\0' ? ": " : "",
                       what != NULL ? what : "");
    size_t taken = (size_t)len + strlen(" (...); ") + strlen(cure) + 1;
    if (detail != NULL && detail[0] != '\0' && taken < sizeof t->reason) {
        char part[FM_REST_TEXT];
        snprintf(part, sizeof part, "%.*s", (int)(sizeof t->reason - taken), detail);
        fm_utf8_cut(part);
        len += snprintf(t->reason + len, sizeof t->reason - (size_t)len, " (%s%s)", part,
                        strlen(part) < strlen(detail) ? "..." : "");
    }
    if (cure[0] != '\0' && (size_t)len < sizeof t->reason)
        snprintf(t->reason + len, sizeof t->reason - (size_t)len, "; %s", cure);
    fm_utf8_cut(t->reason);
    t->hop = hop;
}

static uint64_t next_random(struct fm_rest *rest)
{
    uint64_t x = rest->rng;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return rest->rng = x;
}

static uint64_t backoff_top(const struct fm_rest_opts *o, unsigned step)
{
    uint64_t top = o->backoff_ms;
    for (unsigned i = 0; i < step && top < o->max_backoff_ms; i++)
        top *= 2;
    return top < o->max_backoff_ms ? top : o->max_backoff_ms;
}

int64_t fm_rest_between(struct fm_rest *rest, uint64_t least, uint64_t most)
{
    return (int64_t)(least + next_random(rest) % (most - least + 1));
}

/* Full jitter above half of the first step: a dead proxy sees at most one request in that time. */
static int64_t wait_up_to(struct fm_rest *rest, uint64_t top)
{
    const struct fm_rest_opts *o = &rest->conf->o;
    uint64_t floor_ms = o->backoff_ms / 2 < top ? o->backoff_ms / 2 : top;
    return fm_rest_between(rest, floor_ms, top);
}

int64_t fm_rest_backoff(struct fm_rest *rest, unsigned step)
{
    return wait_up_to(rest, backoff_top(&rest->conf->o, step));
}

int64_t fm_rest_backoff_after(struct fm_rest *rest, unsigned step, int64_t lasted_ms)
{
    uint64_t top = backoff_top(&rest->conf->o, step),
             lasted = lasted_ms > 0 ? (uint64_t)lasted_ms : 0;
    uint64_t least = rest->conf->o.backoff_ms;
    lasted = lasted > least ? lasted : least;
    return wait_up_to(rest, lasted < top ? lasted : top);
}

int64_t fm_topic_backoff(struct fm_topic *t, int64_t now)
{
    unsigned step = t->step++;
    if (t->trouble.since == 0)
        return fm_rest_backoff(t->rest, step);
    return fm_rest_backoff_after(t->rest, step, now - t->trouble.since);
}

/* Topics of an endpoint that is down share one probe. */
static bool other_is_probing(const struct fm_topic *t)
{
    for (size_t i = 0; i < t->rest->n_topics; i++) {
        const struct fm_topic *o = t->rest->topics[i];
        bool probes = o->req.flight == FM_FLIGHT_PROBE || o->req.flight == FM_FLIGHT_CLUSTER;
        if (o != t && probes && o->health == FM_REST_OUTAGE)
            return true;
    }
    return false;
}

static void step_probe(struct fm_topic *t, int64_t now, int64_t *due)
{
    if (t->health == FM_REST_OUTAGE && other_is_probing(t)) {
        t->next_at = now + t->rest->conf->o.backoff_ms / 2 + 1;
        *due = t->next_at < *due ? t->next_at : *due;
        return;
    }
    fm_topic_state(t, FM_REST_PROBING);
    fm_probe_start(t, false);
}

/* In an endpoint's HOLD one topic tries at a time. */
static bool endpoint_gate(struct fm_topic *t, int64_t now, int64_t *due)
{
    struct fm_endpoint *e = &t->rest->endpoints[t->rest->cur];
    if (!t->held.endpoint)
        return true;
    if (now < e->hold_next) {
        *due = e->hold_next < *due ? e->hold_next : *due;
        return false;
    }
    e->hold_next = now + t->rest->conf->o.hold_interval_ms;
    return true;
}

static bool limit_due(const struct fm_topic *t, int64_t now)
{
    const struct fm_rest_opts *o = &t->rest->conf->o;
    if (o->size_limit != 0 || o->dialect == FM_DIALECT_REDPANDA)
        return false;
    return t->size.read_at == 0 || now - t->size.read_at > (int64_t)o->limit_age_ms;
}

/* v3: without the cluster's id there is no path to produce to. */
static bool cluster_wanted(const struct fm_topic *t)
{
    return fm_rest_is_v3(t->rest->conf->o.dialect) &&
           t->rest->endpoints[t->rest->cur].cluster[0] == '\0';
}

void fm_topic_step(struct fm_topic *t, int64_t now, int64_t *due)
{
    if (t->req.flight != FM_FLIGHT_NONE || t->rest->leaving || !fm_oauth_ready(t->rest, now))
        return;
    if ((t->state != FM_REST_RUN || t->lanes.serial) && fm_lanes_flying(t) > 0)
        return; /* first they come back */
    int64_t at = t->next_at > t->rest->not_before ? t->next_at : t->rest->not_before;
    if (at > now) {
        *due = at < *due ? at : *due;
        return;
    }
    switch (t->state) {
    case FM_REST_PROBING:
    case FM_REST_OUTAGE:
    case FM_REST_MISSING:
        if (t->line.pending > 0)
            step_probe(t, now, due);
        break;
    case FM_REST_HOLD:
        if (t->line.pending > 0 && endpoint_gate(t, now, due)) {
            if (cluster_wanted(t))
                fm_probe_start(t, false);
            else
                fm_send_due(t, now, due);
        }
        break;
    case FM_REST_ONE:
    case FM_REST_STUCK:
    case FM_REST_RUN:
        if (t->line.pending > 0 && cluster_wanted(t))
            fm_probe_start(t, false);
        else if (t->line.pending > 0 && limit_due(t, now))
            fm_probe_start(t, true);
        else
            fm_send_due(t, now, due);
        break;
    }
}
