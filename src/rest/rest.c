#include "rest/rest.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "rest/rest_priv.h"

enum { TOPICS_ASKED_MAX = 10000, LONGEST_WAIT_MS = 5000 };

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

static void take_secret(struct fm_rest *rest)
{
    const struct fm_rest_opts *o = &rest->conf->o;
    const char *secret = o->auth == FM_REST_AUTH_BEARER  ? o->token
                         : o->auth == FM_REST_AUTH_BASIC ? o->password
                                                         : NULL;
    if (rest->secret.data != NULL)
        explicit_bzero(rest->secret.data, rest->secret.cap);
    fm_buf_reset(&rest->secret);
    rest->secret_gen++;
    fm_oauth_reset(rest);
    fm_buf_puts(&rest->secret, secret != NULL ? secret : "");
}

static enum fm_code new_client(const struct fm_rest_conf *conf, struct fm_log *log,
                               struct fm_client **out, struct fm_err *err)
{
    struct fm_client_opts opts = {.log = log,
                                  .idle_age_ms = conf->o.idle_age_ms,
                                  .connection_life_ms = conf->o.connection_life_ms,
                                  .max_connections = 8};
    return fm_client_new(out, &opts, err);
}

enum fm_code fm_rest_new(struct fm_rest **out, const struct fm_rest_opts *opts, struct fm_err *err)
{
    *out = NULL;
    if (opts->spool == NULL)
        return fm_err_set(err, FM_EBUG, "the sender needs a spool");
    struct fm_rest *rest = calloc(1, sizeof *rest);
    if (rest == NULL)
        return fm_err_nomem(err);
    pthread_mutex_init(&rest->lock, NULL);
    fm_cond_init(&rest->changed);
    fm_buf_init(&rest->secret, 64 * 1024);
    rest->spool = opts->spool;
    rest->log = opts->log;
    rest->rng = ((uint64_t)fm_clock_ns() * 0x9e3779b97f4a7c15U ^ ((uint64_t)getpid() << 32)) | 1;
    enum fm_code code = fm_rest_conf_new(&rest->conf, opts, err);
    if (code == FM_OK)
        code = new_client(rest->conf, rest->log, &rest->client, err);
    if (code != FM_OK) {
        fm_rest_free(rest);
        return code;
    }
    take_secret(rest);
    fm_endpoints_init(rest);
    *out = rest;
    return FM_OK;
}

/* ---- what it says about itself ---- */

static void copy_topic(struct fm_rest_topic *out, const struct fm_topic *t)
{
    memcpy(out->topic, t->name, sizeof out->topic);
    out->state = t->state;
    out->health = t->health;
    out->failed = t->failed;
    out->since_ms = t->since_wall;
    out->probing_ms = t->probing_since;
    out->hop = t->hop;
    memcpy(out->reason, t->reason, sizeof out->reason);
    out->suspects = t->n_suspects;
    snprintf(out->suspect_reason, sizeof out->suspect_reason, "%s",
             t->n_suspects > 0 ? t->suspects[0].answers[0] : "");
    out->size_limit = t->size_limit;
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
    return (unsigned)(state > health ? state : health) * 4 + 2 * t->failed + (t->n_suspects > 0);
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
    return t->pending == 0 && t->state == FM_REST_PROBING && t->flight == FM_FLIGHT_NONE;
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

static void publish(struct fm_rest *rest, bool ended)
{
    const struct fm_http_proxy *proxy = &rest->conf->o.proxy;
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
    s->suspects = s->in_flight_records = 0;
    s->in_flight_since = 0;
    for (size_t i = 0; i < rest->n_topics; i++) {
        const struct fm_topic *t = rest->topics[i];
        s->suspects += t->n_suspects;
        if (t->flight == FM_FLIGHT_PRODUCE)
            s->in_flight_records += t->n;
        if (t->flight != FM_FLIGHT_NONE &&
            (s->in_flight_since == 0 || t->sent_at < s->in_flight_since))
            s->in_flight_since = t->sent_at;
    }
    copy_endpoints(s, rest);
    copy_token(&s->token, rest);
    snprintf(s->effective_proxy, sizeof s->effective_proxy, "%s",
             proxy->url != NULL ? proxy->url : "");
    rest->ended = ended;
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

/* ---- the thread ---- */

/* Requests under way; only those that carry records, when stopping. */
static size_t flights(const struct fm_rest *rest, bool produce_only)
{
    size_t n = 0;
    for (size_t i = 0; i < rest->n_topics; i++) {
        enum fm_flight flight = rest->topics[i]->flight;
        n += produce_only ? flight == FM_FLIGHT_PRODUCE : flight != FM_FLIGHT_NONE;
    }
    return n;
}

/* Into an array that grows to as many as there are. */
static void ask_topics(struct fm_spool *spool, struct fm_topics_asked *asked)
{
    for (;;) {
        size_t n = 0;
        fm_spool_topics(spool, asked->list, asked->cap, &n);
        asked->n = n < asked->cap ? n : asked->cap;
        asked->all = asked->n == n;
        size_t cap = n < TOPICS_ASKED_MAX ? n + n / 4 + 8 : TOPICS_ASKED_MAX;
        struct fm_spool_topic *more =
            cap > asked->cap && !asked->all ? realloc(asked->list, cap * sizeof *more) : NULL;
        if (more == NULL)
            return;
        asked->list = more;
        asked->cap = cap;
    }
}

static void forget_idle(struct fm_rest *rest, int64_t now)
{
    size_t n = 0;
    for (size_t i = 0; i < rest->n_topics; i++) {
        struct fm_topic *t = rest->topics[i];
        if (t->pending > 0)
            t->idle_since = 0;
        else if (fm_topic_idle(t, now)) {
            fm_topic_free(t);
            continue;
        }
        rest->topics[n++] = t;
    }
    rest->n_topics = n;
}

static void ask_spool(struct fm_rest *rest, int64_t now)
{
    struct fm_topics_asked *asked = &rest->asked;
    ask_topics(rest->spool, asked);
    for (size_t i = 0; i < rest->n_topics; i++)
        rest->topics[i]->pending = 0;
    for (size_t i = 0; i < asked->n; i++) {
        const struct fm_spool_topic *said = &asked->list[i];
        struct fm_topic *t = said->pending > 0 ? fm_topic_get(rest, said->topic) : NULL;
        if (t != NULL)
            t->pending = said->pending;
    }
    if (asked->all)
        forget_idle(rest, now);
}

static void cancel_flights(struct fm_rest *rest, bool produce)
{
    for (size_t i = 0; i < rest->n_topics; i++) {
        enum fm_flight flight = rest->topics[i]->flight;
        if (flight != FM_FLIGHT_NONE && (produce || flight != FM_FLIGHT_PRODUCE))
            fm_client_cancel(rest->client, rest->topics[i]->call);
    }
    for (size_t i = 0; i < rest->n_endpoints; i++)
        if (rest->endpoints[i].check != NULL)
            fm_client_cancel(rest->client, rest->endpoints[i].check);
    fm_oauth_cancel(rest);
}

/* New options: begin anew under them. No request is in flight. */
static void take_conf(struct fm_rest *rest, struct fm_rest_conf *next)
{
    struct fm_client *client = NULL;
    struct fm_err err;
    if (new_client(next, rest->log, &client, &err) != FM_OK) {
        fm_log(rest->log, FM_LOG_ERROR, "the new [rest] settings are not taken over: %s",
               fm_err_text(&err));
        fm_rest_conf_free(next);
        return;
    }
    pthread_mutex_lock(&rest->lock);
    struct fm_client *old = rest->client;
    rest->client = client;
    pthread_mutex_unlock(&rest->lock);
    fm_client_free(old);
    struct fm_rest_conf *old_conf = rest->conf;
    rest->conf = next;
    fm_endpoints_init(rest);
    fm_rest_conf_free(old_conf);
    take_secret(rest);
    rest->not_before = 0;
    rest->pace_ms = 0;
    for (size_t i = 0; i < rest->n_topics; i++) {
        struct fm_topic *t = rest->topics[i];
        fm_isolate_clear(t);
        fm_suspect_release(t);
        t->n_strikes = 0;
        t->after_isolate = t->after_from_one = t->auth_retried = false;
        t->waits_token = t->plain = false;
        t->soft_until = 0;
        t->doubt = t->step = t->row_n = t->transport_row = t->probe_portal = 0;
        t->body_limit = 0;
        t->limit_at = 0;
        t->next_at = 0;
        fm_typed_reset(&t->typed, &next->o);
        fm_topic_state(t, FM_REST_PROBING);
    }
}

/* A changed secret ends a HOLD at once. */
static void look_at_secret(struct fm_rest *rest, int64_t now, int64_t *due)
{
    bool held = rest->oauth.denied;
    for (size_t i = 0; i < rest->n_topics; i++)
        held = held || (rest->topics[i]->state == FM_REST_HOLD && rest->topics[i]->endpoint_hold);
    if (!held || rest->conf->o.secret == NULL)
        return;
    if (now < rest->secret_at) {
        *due = rest->secret_at < *due ? rest->secret_at : *due;
        return;
    }
    unsigned every = rest->conf->o.hold_interval_ms < 1000 ? rest->conf->o.hold_interval_ms : 1000;
    rest->secret_at = now + every;
    *due = rest->secret_at < *due ? rest->secret_at : *due;
    fm_oauth_secret_changed(rest, now);
    if (!fm_rest_secret_again(rest))
        return;
    for (size_t i = 0; i < rest->n_topics; i++)
        if (rest->topics[i]->state == FM_REST_HOLD && rest->topics[i]->endpoint_hold) {
            fm_topic_state(rest->topics[i], FM_REST_ONE);
            rest->topics[i]->next_at = 0;
        }
}

static int64_t work(struct fm_rest *rest, int64_t now, bool new_conf)
{
    int64_t due = now + LONGEST_WAIT_MS;
    atomic_store(&rest->woken, false);
    ask_spool(rest, now);
    look_at_secret(rest, now, &due);
    if (!new_conf)
        fm_oauth_step(rest, now, &due);
    for (size_t i = 0; i < rest->n_topics && !new_conf; i++)
        fm_topic_step(rest->topics[i], now, &due);
    if (!new_conf)
        fm_endpoints_step(rest, now, &due);
    return due;
}

/* New options: what carries no record is given up for them, what does is waited for.
 * @return whether they still wait */
static bool look_at_conf(struct fm_rest *rest)
{
    pthread_mutex_lock(&rest->lock);
    bool wanted = rest->next_conf != NULL;
    pthread_mutex_unlock(&rest->lock);
    if (wanted)
        cancel_flights(rest, false);
    bool waits = wanted && flights(rest, false) > 0;
    if (waits && !rest->conf_told)
        fm_log(rest->log, FM_LOG_INFO,
               "the new [rest] settings take effect after the request under way");
    rest->conf_told = waits;
    if (!wanted || waits)
        return waits;
    pthread_mutex_lock(&rest->lock);
    struct fm_rest_conf *next = rest->next_conf;
    rest->next_conf = NULL;
    pthread_mutex_unlock(&rest->lock);
    take_conf(rest, next);
    return false;
}

static void *sender(void *arg)
{
    struct fm_rest *rest = arg;
    for (;;) {
        int64_t now = fm_clock_ms();
        pthread_mutex_lock(&rest->lock);
        rest->leaving = rest->stopping;
        int64_t stop_at = rest->stop_at;
        pthread_mutex_unlock(&rest->lock);
        if (rest->leaving && (flights(rest, true) == 0 || now >= stop_at))
            break;
        bool waits_conf = look_at_conf(rest);
        int64_t due = work(rest, now, waits_conf);
        if (rest->leaving && stop_at < due)
            due = stop_at;
        publish(rest, false);
        int64_t wait = due - fm_clock_ms();
        if (atomic_load(&rest->woken))
            wait = 0;
        struct fm_err err;
        if (fm_client_poll(rest->client, wait > 0 ? (int)wait : 0, &err) != FM_OK) {
            fm_log_limited(rest->log, FM_LOG_ERROR, "rest poll", "the sender cannot wait: %s",
                           fm_err_text(&err));
            usleep(10000);
        }
    }
    cancel_flights(rest, true);
    publish(rest, true);
    return NULL;
}

enum fm_code fm_rest_start(struct fm_rest *rest, struct fm_err *err)
{
    FM_TRY(fm_thread_start(&rest->thread, "fm-sender", sender, rest, err));
    pthread_mutex_lock(&rest->lock);
    rest->started = true;
    pthread_mutex_unlock(&rest->lock);
    return FM_OK;
}

static void wake(struct fm_rest *rest)
{
    atomic_store(&rest->woken, true);
    pthread_mutex_lock(&rest->lock);
    if (rest->client != NULL)
        fm_client_wakeup(rest->client);
    pthread_mutex_unlock(&rest->lock);
}

void fm_rest_wakeup(struct fm_rest *rest)
{
    wake(rest);
}

void fm_rest_stop(struct fm_rest *rest, unsigned grace_ms)
{
    int64_t at = fm_clock_ms() + grace_ms;
    pthread_mutex_lock(&rest->lock);
    if (!rest->stopping || at < rest->stop_at)
        rest->stop_at = at;
    rest->stopping = true;
    pthread_mutex_unlock(&rest->lock);
    wake(rest);
}

bool fm_rest_join(struct fm_rest *rest, unsigned timeout_ms)
{
    pthread_mutex_lock(&rest->lock);
    bool needed = rest->started && !rest->joined;
    pthread_mutex_unlock(&rest->lock);
    if (needed && !fm_thread_join(rest->thread, timeout_ms)) {
        rest->overdue = true;
        return false;
    }
    rest->joined = true;
    return true;
}

bool fm_rest_free(struct fm_rest *rest)
{
    if (rest == NULL)
        return true;
    if (rest->started && !rest->joined) {
        fm_rest_stop(rest, 0);
        if (!fm_rest_join(rest, rest->overdue ? 0 : 2000)) {
            fm_log(rest->log, FM_LOG_ERROR, "the sender does not end; its memory is left behind");
            return false;
        }
    }
    for (size_t i = 0; i < rest->n_topics; i++)
        fm_topic_free(rest->topics[i]);
    free(rest->topics);
    free(rest->asked.list);
    fm_client_free(rest->client);
    fm_oauth_clear(&rest->oauth);
    fm_gzip_free(rest->gzip);
    fm_rest_conf_free(rest->next_conf);
    fm_rest_conf_free(rest->conf);
    if (rest->secret.data != NULL)
        explicit_bzero(rest->secret.data, rest->secret.cap);
    fm_buf_clear(&rest->secret);
    pthread_cond_destroy(&rest->changed);
    pthread_mutex_destroy(&rest->lock);
    free(rest);
    return true;
}

enum fm_code fm_rest_reconfigure(struct fm_rest *rest, const struct fm_rest_opts *opts,
                                 struct fm_err *err)
{
    struct fm_rest_conf *next;
    FM_TRY(fm_rest_conf_new(&next, opts, err));
    pthread_mutex_lock(&rest->lock);
    struct fm_rest_conf *unused = rest->next_conf;
    rest->next_conf = next;
    pthread_mutex_unlock(&rest->lock);
    fm_rest_conf_free(unused);
    wake(rest);
    return FM_OK;
}

void fm_rest_end_of_input(struct fm_rest *rest)
{
    atomic_store(&rest->end_of_input, true);
    wake(rest);
}

static uint64_t pending(struct fm_spool *spool, struct fm_topics_asked *asked)
{
    uint64_t sum = 0;
    ask_topics(spool, asked);
    for (size_t i = 0; i < asked->n; i++)
        sum += asked->list[i].pending;
    return sum;
}

/* A sentence of those published: why records may still wait. */
static void why_waiting(const struct fm_rest_stats *stats, char reason[FM_REST_TEXT])
{
    reason[0] = '\0';
    for (size_t i = 0; i < stats->n_topics && reason[0] == '\0'; i++) {
        const struct fm_rest_topic *t = &stats->topics[i];
        snprintf(reason, FM_REST_TEXT, "%s", t->reason[0] != '\0' ? t->reason : t->suspect_reason);
    }
}

static enum fm_code drain(struct fm_rest *rest, unsigned timeout_ms, struct fm_topics_asked *asked,
                          struct fm_err *err)
{
    enum { LOOK_MS = 20 };
    uint64_t seen = 0;
    int64_t limit = fm_clock_ms() + timeout_ms;
    (void)!fm_spool_flush(rest->spool, timeout_ms, NULL); /* so that its numbers are of now */
    for (;;) {
        uint64_t left = pending(rest->spool, asked);
        pthread_mutex_lock(&rest->lock);
        if (left > 0 && !rest->ended)
            fm_cond_wait(&rest->changed, &rest->lock, fm_clock_ms() + LOOK_MS);
        bool idle = rest->stats.in_flight_records == 0, ended = rest->ended;
        uint64_t settled = rest->stats.records + rest->stats.dead;
        char reason[FM_REST_TEXT];
        why_waiting(&rest->stats, reason);
        pthread_mutex_unlock(&rest->lock);
        if (left == 0 && idle)
            return FM_OK;
        if (ended)
            return fm_err_set(err, FM_ESTOP, "the sender was stopped");
        if (settled != seen)
            limit = fm_clock_ms() + timeout_ms;
        seen = settled;
        if (fm_clock_ms() >= limit)
            return fm_err_set(err, FM_ETIMEOUT, "%llu records were not accepted in time%s%s",
                              (unsigned long long)left, reason[0] != '\0' ? ": " : "", reason);
        if (left == 0)
            usleep(1000);
    }
}

enum fm_code fm_rest_drain(struct fm_rest *rest, unsigned timeout_ms, struct fm_err *err)
{
    struct fm_topics_asked asked = {0};
    enum fm_code code = drain(rest, timeout_ms, &asked, err);
    free(asked.list);
    return code;
}
