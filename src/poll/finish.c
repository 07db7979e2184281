/* The end of a poll: what was left out, the target's state, when to try again, what others see. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "poll/poll_priv.h"

void fm_target_note(struct fm_target *t, const char *fmt, ...)
{
    if (t->left_out[0] != '\0')
        return; /* the first says it */
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(t->left_out, sizeof t->left_out, fmt, args);
    va_end(args);
    fm_utf8_cut(t->left_out);
}

static void announce(const struct fm_target *t, const char *state, const char *error)
{
    const struct fm_poll *poll = t->poll;
    if (poll->hooks.state != NULL && !atomic_load(&poll->stop))
        poll->hooks.state(poll->hooks.arg, &(struct fm_poll_event){.opts = t->opts,
                                                                   .target = t->name,
                                                                   .host = t->host,
                                                                   .state = state,
                                                                   .error = error,
                                                                   .timestamp_ms = fm_wall_ms()});
}

void fm_target_set_state(struct fm_target *t, enum fm_poll_state state, const char *error)
{
    struct fm_poll *poll = t->poll;
    if (t->state == state)
        return;
    (void)pthread_mutex_lock(&poll->lock);
    t->state = state;
    t->state_wall_ms = fm_wall_ms();
    (void)pthread_mutex_unlock(&poll->lock);
    if (state == FM_POLL_DOWN)
        fm_log(poll->log, FM_LOG_WARN, "target %s is down: %s", t->name,
               error != NULL ? error : "no reason known");
    else
        fm_log(poll->log, FM_LOG_INFO, "target %s is up (%s)", t->name, t->shown);
    announce(t, state == FM_POLL_UP ? "up" : "down", error);
}

void fm_target_retire(struct fm_target *t)
{
    fm_log(t->poll->log, FM_LOG_INFO, "target %s: targets_file does not name it any more; closed",
           t->name);
    if (t->state == FM_POLL_UP)
        announce(t, "down", "targets_file does not name it any more");
}

static uint64_t next_random(struct fm_poll *poll)
{
    uint64_t x = poll->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    poll->random = x;
    return x;
}

/* Doubling from the second failure on, with up to a quarter of jitter. */
static void back_off(struct fm_target *t, enum fm_code code)
{
    int64_t cap = fm_code_class(code) == FM_CLASS_DENIED ? t->poll->max_backoff_denied_ms
                                                         : t->poll->max_backoff_ms;
    t->fails++;
    t->not_before_ms = 0;
    if (t->fails < 2 && fm_code_class(code) != FM_CLASS_DENIED)
        return;
    int64_t wait = t->interval_ms;
    for (unsigned i = 1; i < t->fails && wait < cap; i++)
        wait *= 2;
    if (wait > cap)
        wait = cap > t->interval_ms ? cap : t->interval_ms;
    wait += (int64_t)(next_random(t->poll) % (uint64_t)(wait / 4 + 1));
    t->not_before_ms = t->start_ms + wait - t->interval_ms / 2; /* the grid does the rest */
}

/* A limit that was reached holds until the next discovery; it is told in every poll until then. */
static bool note_limits(struct fm_target *t)
{
    bool cut = t->cache.cut;
    if (cut)
        fm_target_note(t, "max_beans of the target is reached: the first %zu by name are read",
                       t->cache.n);
    for (size_t q = 0; q < t->opts->n_queries; q++) {
        const struct fm_query *query = t->opts->queries[q].query;
        if (t->queries[q].cut)
            fm_target_note(t, "query %.60s: more beans match than max_beans = %u, which are read",
                           fm_query_name(query), fm_query_max_beans(query));
        cut = cut || t->queries[q].cut;
    }
    return cut;
}

static void publish(struct fm_target *t, enum fm_code code, const char *error)
{
    (void)pthread_mutex_lock(&t->poll->lock);
    t->polls++;
    t->failed += code != FM_OK;
    t->code = code;
    t->last_wall_ms = t->start_wall_ms;
    t->duration_ms = (double)(fm_clock_ns() - t->start_ns) / 1e6;
    t->bytes = t->cost.bytes_in;
    t->bytes_out = t->cost.bytes_out;
    t->round_trips = t->cost.round_trips;
    t->late_ms = (unsigned)t->late_now_ms;
    memcpy(t->seen_jvm, t->jvm_name, sizeof t->seen_jvm);
    t->seen_began_ms = t->jvm_began_ms;
    for (size_t q = 0; q < t->opts->n_queries; q++) {
        struct fm_query_state *s = &t->queries[q];
        if (!s->due || code != FM_OK)
            continue;
        s->asked = s->now_asked;
        s->attributes = s->now_attributes;
        s->errors = s->now_errors;
        s->bytes = s->now_bytes;
        s->took_ms = s->now_ms;
        t->errors += s->now_errors;
        if (s->names_asked) {
            s->cut = s->now_cut;
            s->matched = s->now_matched;
            s->beans = 0;
        }
        memcpy(s->error, s->now_error, sizeof s->error);
    }
    for (size_t i = 0; code == FM_OK && i < t->cache.n; i++)
        for (size_t k = 0; k < t->cache.beans[i].n_queries; k++) {
            struct fm_query_state *s = &t->queries[t->cache.beans[i].queries[k].query];
            s->beans += s->due && s->names_asked;
        }
    if (code == FM_OK)
        t->cut = note_limits(t) || t->over_bytes;
    (void)snprintf(t->error, sizeof t->error, "%s", code == FM_OK ? t->left_out : error);
    (void)pthread_mutex_unlock(&t->poll->lock);
}

void fm_target_finish(struct fm_target *t, enum fm_code code, const struct fm_err *err)
{
    t->phase = FM_PHASE_IDLE;
    if (code == FM_OK) {
        t->fails = 0;
        t->not_before_ms = 0;
        if (t->untold && t->jvm_name[0] != '\0') {
            fm_log(t->poll->log, FM_LOG_INFO, "target %s: another JVM answers now (%s)", t->name,
                   t->jvm_name);
            announce(t, "restarted", NULL);
            t->untold = false;
        }
        fm_target_set_state(t, FM_POLL_UP, NULL);
        struct fm_err failed = {0};
        if (fm_target_sample(t, &failed) != FM_OK)
            fm_target_note(t, "%s", fm_err_text(&failed));
        for (size_t q = 0; q < t->opts->n_queries; q++)
            if (t->queries[q].due)
                t->queries[q].read_ms = t->start_ms;
        publish(t, FM_OK, NULL);
        /* After a time-out the session may still hold the late answer: begin with a new one. */
        t->stale_session = t->list_code == FM_ETIMEOUT;
        t->list_code = FM_OK;
    } else {
        back_off(t, code);
        /* A local JVM may have gone, or come back with another address. */
        t->stale_session = t->kind != FM_TARGET_NET;
        if (t->kind == FM_TARGET_LOCAL && t->fails == 1)
            t->poll->next_scan_ms = 0; /* has it ended? */
        publish(t, code, fm_err_text(err));
        fm_target_set_state(t, FM_POLL_DOWN, fm_err_text(err));
    }
    t->polled = true;
    fm_target_forget_poll(t);
}
