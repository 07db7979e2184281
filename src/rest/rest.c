#include "rest/rest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "rest/topic_priv.h"

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
        code = fm_rest_client_new(rest->conf, rest->log, &rest->client, err);
    if (code != FM_OK) {
        fm_rest_free(rest);
        return code;
    }
    fm_rest_take_secret(rest);
    fm_endpoints_init(rest);
    *out = rest;
    return FM_OK;
}

enum fm_code fm_rest_start(struct fm_rest *rest, struct fm_err *err)
{
    FM_TRY(fm_thread_start(&rest->thread, "fm-sender", fm_rest_loop, rest, err));
    pthread_mutex_lock(&rest->lock);
    rest->started = true;
    pthread_mutex_unlock(&rest->lock);
    return FM_OK;
}

static void wake(struct fm_rest *rest)
{
    atomic_store(&rest->woken, true);
    if (!atomic_exchange(&rest->asleep, false))
        return; /* it looks at woken before it waits */
    pthread_mutex_lock(&rest->lock);
    if (rest->client != NULL)
        fm_client_wakeup(rest->client);
    pthread_mutex_unlock(&rest->lock);
}

void fm_rest_wakeup(struct fm_rest *rest)
{
    wake(rest);
}

static void stop(struct fm_rest *rest, unsigned grace_ms, unsigned send_ms)
{
    int64_t now = fm_clock_ms();
    pthread_mutex_lock(&rest->lock);
    if (!rest->stopping || now + grace_ms < rest->stop_at)
        rest->stop_at = now + grace_ms;
    if (!rest->stopping || now + send_ms < rest->send_until)
        rest->send_until = now + send_ms;
    rest->stopping = true;
    pthread_mutex_unlock(&rest->lock);
    wake(rest);
}

void fm_rest_stop(struct fm_rest *rest, unsigned grace_ms)
{
    stop(rest, grace_ms, 0);
}

void fm_rest_finish(struct fm_rest *rest, unsigned grace_ms)
{
    stop(rest, grace_ms, grace_ms / 3 * 2);
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
    fm_topics_ask(spool, asked);
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

static enum fm_code drain(struct fm_rest *rest, unsigned wait_ms, struct fm_topics_asked *asked,
                          struct fm_err *err)
{
    enum { LOOK_MS = 20 };
    int64_t limit = fm_clock_ms() + wait_ms;
    (void)!fm_spool_flush(rest->spool, wait_ms, NULL); /* so that its numbers are of now */
    for (;;) {
        uint64_t left = pending(rest->spool, asked);
        pthread_mutex_lock(&rest->lock);
        if (left > 0 && !rest->ended)
            fm_cond_wait(&rest->changed, &rest->lock, fm_clock_ms() + LOOK_MS);
        bool idle = rest->stats.in_flight_records == 0, ended = rest->ended;
        char reason[FM_REST_TEXT];
        why_waiting(&rest->stats, reason);
        pthread_mutex_unlock(&rest->lock);
        if (left == 0 && idle)
            return FM_OK;
        if (ended)
            return fm_err_set(err, FM_ESTOP, "the sender was stopped");
        if (fm_clock_ms() >= limit)
            return fm_err_set(err, FM_ETIMEOUT, "%llu records were not accepted in time%s%s",
                              (unsigned long long)left, reason[0] != '\0' ? ": " : "", reason);
        if (left == 0)
            fm_sleep_ms(1);
    }
}

enum fm_code fm_rest_drain(struct fm_rest *rest, unsigned wait_ms, struct fm_err *err)
{
    struct fm_topics_asked asked = {0};
    enum fm_code code = drain(rest, wait_ms, &asked, err);
    free(asked.list);
    return code;
}
