/* The sender's thread: asks the spool, lets each topic do what is due, waits. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "rest/topic_priv.h"

enum { TOPICS_ASKED_MAX = 10000, LONGEST_WAIT_MS = 5000 };

void fm_rest_take_secret(struct fm_rest *rest)
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
    fm_files_init(rest);
    fm_buf_puts(&rest->secret, secret != NULL ? secret : "");
}

enum fm_code fm_rest_client_new(const struct fm_rest_conf *conf, struct fm_log *log,
                                struct fm_client **out, struct fm_err *err)
{
    struct fm_client_opts opts = {.log = log,
                                  .idle_age_ms = conf->o.idle_age_ms,
                                  .connection_life_ms = conf->o.connection_life_ms,
                                  .max_connections = conf->o.max_in_flight + 8};
    return fm_client_new(out, &opts, err);
}

/* Requests under way; only those that carry records, when stopping. */
static size_t flights(const struct fm_rest *rest, bool produce_only)
{
    size_t n = 0;
    for (size_t i = 0; i < rest->n_topics; i++) {
        enum fm_flight flight = rest->topics[i]->req.flight;
        n += produce_only ? flight == FM_FLIGHT_PRODUCE : flight != FM_FLIGHT_NONE;
        n += fm_lanes_flying(rest->topics[i]);
    }
    return n;
}

/* Into an array that grows to as many as there are. */
void fm_topics_ask(struct fm_spool *spool, struct fm_topics_asked *asked)
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
        if (t->line.pending > 0)
            t->line.idle_since = 0;
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
    uint64_t made = rest->now.records + rest->now.dead;
    fm_topics_ask(rest->spool, asked);
    for (size_t i = 0; i < rest->n_topics; i++)
        rest->topics[i]->line.pending = 0;
    for (size_t i = 0; i < asked->n; i++) {
        const struct fm_spool_topic *said = &asked->list[i];
        struct fm_topic *t = said->pending > 0 ? fm_topic_get(rest, said->topic) : NULL;
        if (t != NULL)
            t->line.pending = said->pending;
        made += said->pending;
    }
    rest->made = made;
    if (asked->all)
        forget_idle(rest, now);
}

static void cancel_flights(struct fm_rest *rest, bool produce)
{
    for (size_t i = 0; i < rest->n_topics; i++) {
        enum fm_flight flight = rest->topics[i]->req.flight;
        if (flight != FM_FLIGHT_NONE && (produce || flight != FM_FLIGHT_PRODUCE))
            fm_client_cancel(rest->client, rest->topics[i]->req.call);
        if (produce)
            fm_lanes_cancel(rest->topics[i]);
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
    if (fm_rest_client_new(next, rest->log, &client, &err) != FM_OK) {
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
    for (size_t i = 0; i < rest->n_topics; i++)
        fm_lanes_clear(rest->topics[i]);
    fm_endpoints_init(rest);
    fm_rest_conf_free(old_conf);
    fm_rest_take_secret(rest);
    if (next->renewed)
        (void)fm_rest_secret_again(rest); /* the options may be older than the secret's file */
    rest->not_before = 0;
    rest->pace_ms = 0;
    for (size_t i = 0; i < rest->n_topics; i++) {
        struct fm_topic *t = rest->topics[i];
        fm_isolate_clear(t);
        fm_suspect_release(t);
        t->iso.n_strikes = 0;
        t->after.isolate = t->after.from_one = t->auth_retried = false;
        t->waits_token = t->renews_token = t->plain = false;
        t->held.soft_until = 0;
        t->doubt = t->step = t->row_n = t->transport_row = t->probe.portal = 0;
        fm_size_forget(t);
        t->size.read_at = 0;
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
        held = held || (rest->topics[i]->state == FM_REST_HOLD && rest->topics[i]->held.endpoint);
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
        if (rest->topics[i]->state == FM_REST_HOLD && rest->topics[i]->held.endpoint) {
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
    fm_files_step(rest, now, &due);
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

/* Whether a topic has something that the proxy may take before the time is over. */
static bool can_send(const struct fm_topic *t, int64_t until)
{
    if (t->req.flight == FM_FLIGHT_PRODUCE || fm_lanes_flying(t) > 0)
        return true;
    bool goes = t->state == FM_REST_RUN || t->state == FM_REST_ONE ||
                (t->state == FM_REST_PROBING && t->health == FM_REST_PROBING);
    return goes && t->line.pending > t->iso.n_suspects + t->held.n && t->next_at < until &&
           t->rest->not_before < until;
}

/* Stop was asked: whether new requests are over, too. */
static bool is_leaving(struct fm_rest *rest, int64_t now, int64_t until)
{
    if (rest->leaving || now >= until)
        return true;
    ask_spool(rest, now);
    for (size_t i = 0; i < rest->n_topics; i++)
        if (can_send(rest->topics[i], until))
            return false;
    return true;
}

void *fm_rest_loop(void *arg)
{
    struct fm_rest *rest = arg;
    for (;;) {
        int64_t now = fm_clock_ms();
        pthread_mutex_lock(&rest->lock);
        rest->finishing = rest->stopping;
        int64_t stop_at = rest->stop_at, send_until = rest->send_until;
        pthread_mutex_unlock(&rest->lock);
        rest->leaving = rest->finishing && is_leaving(rest, now, send_until);
        if (rest->leaving && (flights(rest, true) == 0 || now >= stop_at))
            break;
        bool waits_conf = look_at_conf(rest);
        int64_t due = work(rest, now, waits_conf);
        int64_t end = rest->leaving ? stop_at : send_until;
        if (rest->finishing && end < due)
            due = end;
        fm_rest_publish(rest, false);
        int64_t wait = due - fm_clock_ms();
        atomic_store(&rest->asleep, true);
        if (atomic_load(&rest->woken))
            wait = 0;
        struct fm_err err;
        if (fm_client_poll(rest->client, wait > 0 ? (int)wait : 0, &err) != FM_OK) {
            fm_log_limited(rest->log, FM_LOG_ERROR, "rest poll", "the sender cannot wait: %s",
                           fm_err_text(&err));
            fm_sleep_ms(10);
        }
        atomic_store(&rest->asleep, false);
    }
    cancel_flights(rest, true);
    fm_rest_publish(rest, true);
    return NULL;
}
