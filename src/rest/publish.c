/* What the sender says about itself: a snapshot for other threads. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "rest/topic_priv.h"

static const char *const state_names[] = {
    [FM_REST_PROBING] = "probing", [FM_REST_OUTAGE] = "outage", [FM_REST_MISSING] = "missing",
    [FM_REST_ONE] = "one",         [FM_REST_STUCK] = "stuck",   [FM_REST_HOLD] = "hold",
    [FM_REST_RUN] = "run"};

const char *fm_rest_state_name(enum fm_rest_state state)
{
    return state_names[state];
}

const char *fm_rest_hop_name(enum fm_rest_hop hop)
{
    static const char *const names[] = {[FM_REST_HOP_NONE] = "",
                                        [FM_REST_HOP_NAME] = "name",
                                        [FM_REST_HOP_TCP] = "TCP",
                                        [FM_REST_HOP_HTTP_PROXY] = "HTTP proxy",
                                        [FM_REST_HOP_TLS] = "TLS",
                                        [FM_REST_HOP_OAUTH2] = "OAuth2 server",
                                        [FM_REST_HOP_REST_PROXY] = "REST proxy",
                                        [FM_REST_HOP_KAFKA] = "Kafka"};
    return names[hop];
}

static void copy_topic(struct fm_rest_topic *out, const struct fm_topic *t)
{
    memcpy(out->topic, t->name, sizeof out->topic);
    out->state = t->state;
    out->health = t->health;
    out->failed = t->failed;
    out->since_ms = t->since_wall;
    out->probing_ms = t->probing_since;
    int64_t next = t->next_at > t->rest->not_before ? t->next_at : t->rest->not_before;
    int64_t left = next - fm_clock_ms();
    bool waits = left > 0 && t->line.pending > 0 && t->req.flight == FM_FLIGHT_NONE;
    out->next_try_ms = waits ? fm_wall_ms() + left : 0;
    out->hop = t->hop;
    memcpy(out->reason, t->reason, sizeof out->reason);
    out->suspects = t->iso.n_suspects;
    out->refused = 0;
    for (size_t i = 0; i < t->iso.n_suspects; i++)
        out->refused += t->iso.suspects[i].p_count >= 2 && t->iso.suspects[i].last_p;
    snprintf(out->suspect_reason, sizeof out->suspect_reason, "%s",
             t->iso.n_suspects > 0 ? t->iso.suspects[0].answers[0] : "");
    out->size_limit = t->size.limit;
}

/* The worst state comes first in this order. */
static int badness(enum fm_rest_state state)
{
    static const int rank[] = {
        [FM_REST_RUN] = 0,     [FM_REST_ONE] = 1,   [FM_REST_PROBING] = 2, [FM_REST_OUTAGE] = 3,
        [FM_REST_MISSING] = 4, [FM_REST_STUCK] = 5, [FM_REST_HOLD] = 6};
    return rank[state];
}

static unsigned rank(const struct fm_topic *t)
{
    int state = badness(t->state), health = badness(t->health);
    return (unsigned)(state > health ? state : health) * 4 + 2 * t->failed +
           (t->iso.n_suspects > 0);
}

/* With more topics than the array holds, the worst are told; equal ones in the order met. */
static void publish_topics(struct fm_rest_stats *s, const struct fm_rest *rest)
{
    const struct fm_topic *best[FM_REST_TOPICS] = {NULL};
    s->n_topics = 0;
    s->n_topics_total = rest->n_topics;
    s->n_topics_failing = 0;
    for (size_t i = 0; i < rest->n_topics; i++) {
        const struct fm_topic *t = rest->topics[i];
        s->n_topics_failing += t->failed || fm_topic_bad(t->state) || fm_topic_bad(t->health);
        size_t at = s->n_topics;
        while (at > 0 && rank(t) > rank(best[at - 1]))
            at--;
        if (at == FM_REST_TOPICS)
            continue;
        if (s->n_topics < FM_REST_TOPICS)
            s->n_topics++;
        memmove(best + at + 1, best + at, (s->n_topics - 1 - at) * sizeof(*best));
        best[at] = t;
    }
    for (size_t i = 0; i < s->n_topics; i++) {
        assert(best[i] != NULL);
        copy_topic(&s->topics[i], best[i]);
    }
}

static bool asks_nothing(const struct fm_topic *t)
{
    return t->line.pending == 0 && t->state == FM_REST_PROBING && t->req.flight == FM_FLIGHT_NONE;
}

static void copy_endpoints(struct fm_rest_stats *out, const struct fm_rest *rest)
{
    out->n_endpoints = rest->n_endpoints;
    for (size_t i = 0; i < rest->n_endpoints; i++) {
        const struct fm_endpoint *e = &rest->endpoints[i];
        struct fm_rest_endpoint *o = &out->endpoints[i];
        snprintf(o->url, sizeof o->url, "%s", e->url);
        o->current = i == rest->cur;
        o->state = e->left ? FM_REST_OUTAGE : FM_REST_RUN;
        o->since_ms = e->since_wall;
        o->cert_days = e->cert_days;
        o->gzip = !rest->conf->o.gzip ? FM_REST_GZIP_NONE
                  : e->no_gzip        ? FM_REST_GZIP_REFUSED
                                      : FM_REST_GZIP_ON;
        snprintf(o->reason, sizeof o->reason, "%s", e->reason);
        for (size_t k = 0; i == rest->cur && k < rest->n_topics; k++) {
            const struct fm_topic *t = rest->topics[k];
            if (asks_nothing(t) ||
                (badness(t->state) <= badness(o->state) && (k > 0 || o->state != FM_REST_RUN)))
                continue;
            o->state = t->state;
            o->since_ms = t->since_wall;
            snprintf(o->reason, sizeof o->reason, "%s", t->reason);
        }
    }
}

static void copy_token(struct fm_rest_token *out, const struct fm_rest *rest)
{
    const struct fm_oauth *oauth = &rest->oauth;
    out->used = rest->conf->o.auth == FM_REST_AUTH_OAUTH2;
    out->fetched = oauth->fetched;
    out->failures = oauth->failures_total;
    out->expires_ms = oauth->expires_wall;
    memcpy(out->error, oauth->what, sizeof out->error);
}

void fm_rest_publish(struct fm_rest *rest, bool ended)
{
    pthread_mutex_lock(&rest->lock);
    struct fm_rest_stats *s = &rest->stats;
    struct fm_rest_stats *n = &rest->now;
    s->records = n->records;
    s->batches = n->batches;
    s->bytes = n->bytes;
    s->retries = n->retries;
    s->possible_duplicates = n->possible_duplicates;
    s->dead = n->dead;
    s->last_send = n->last_send;
    publish_topics(s, rest);
    s->suspects = s->in_flight_records = s->held_bytes = 0;
    s->in_flight_since = 0;
    for (size_t i = 0; i < rest->n_topics; i++) {
        const struct fm_topic *t = rest->topics[i];
        s->suspects += t->iso.n_suspects;
        if (t->req.flight == FM_FLIGHT_PRODUCE)
            s->in_flight_records += t->req.n;
        int64_t since = fm_request_quiet_since(&t->req);
        if (since != 0 && (s->in_flight_since == 0 || since < s->in_flight_since))
            s->in_flight_since = since;
        since = fm_lanes_since(t);
        s->in_flight_records += fm_lanes_records(t);
        s->held_bytes += fm_lanes_bytes(t);
        if (since != 0 && (s->in_flight_since == 0 || since < s->in_flight_since))
            s->in_flight_since = since;
    }
    copy_endpoints(s, rest);
    copy_token(&s->token, rest);
    s->client_cert_days = fm_files_cert_days(rest);
    snprintf(s->effective_proxy, sizeof s->effective_proxy, "%s", rest->conf->proxy);
    rest->ended = ended;
    /* Who waits for the end looks by itself from time to time, and is woken only for it. */
    if (ended || (s->in_flight_records == 0 && rest->made == n->records + n->dead))
        pthread_cond_broadcast(&rest->changed);
    pthread_mutex_unlock(&rest->lock);
}

void fm_rest_stats_get(struct fm_rest *rest, struct fm_rest_stats *out)
{
    pthread_mutex_lock(&rest->lock);
    *out = rest->stats;
    pthread_mutex_unlock(&rest->lock);
}

const struct fm_hist *fm_rest_latency(const struct fm_rest *rest)
{
    return &rest->hist;
}
