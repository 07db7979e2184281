/* One target: its schedule, its session, the course of a poll. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "poll/poll_priv.h"

enum {
    DEFAULT_INTERVAL_MS = 10000,
    DEFAULT_TIMEOUT_MS = 10000,
    DEFAULT_MAX_BYTES = 8 * 1024 * 1024,
    START_GAP_MS = 5, /* between the first polls of two targets */
    MEMORY_PER_BYTE = 4 /* values in memory against bytes on the wire */
};

static unsigned timeout_of(const struct fm_target *t)
{
    return t->opts->timeout_ms != 0 ? t->opts->timeout_ms : DEFAULT_TIMEOUT_MS;
}

/* ---- life ---- */

static uint64_t hash(const char *text)
{
    uint64_t h = fm_hash_text(text);
    return h ^ h >> 29;
}

/* ${host} in the url of a section with hosts. */
static char *fill_host(const char *url, const char *host)
{
    struct fm_buf buf;
    fm_buf_init(&buf, 0);
    for (const char *at = url; *at != '\0';) {
        const char *var = strstr(at, "${host}");
        if (var == NULL) {
            fm_buf_puts(&buf, at);
            break;
        }
        fm_buf_put(&buf, at, (size_t)(var - at));
        fm_buf_puts(&buf, host);
        at = var + 7;
    }
    char *text = fm_buf_take(&buf);
    fm_buf_clear(&buf);
    return text;
}

static bool set_names(struct fm_target *t, const char *part, const char *url)
{
    const struct fm_poll_target_opts *o = t->opts;
    char name[320], host[256] = "";
    (void)snprintf(name, sizeof name, part != NULL ? "%.150s/%.150s" : "%.150s", o->name, part);
    fm_utf8_cut(name);
    if (t->kind == FM_TARGET_NET) {
        t->url = url != NULL      ? strdup(url)
                 : o->n_hosts > 0 ? fill_host(o->url, part)
                                  : strdup(o->url);
        if (t->url == NULL)
            return false;
        fm_target_host(t->url, host, sizeof host);
        fm_target_shown(t->url, t->shown, sizeof t->shown);
    } else {
        (void)snprintf(t->shown, sizeof t->shown, "pid:%d", (int)t->pid);
    }
    t->name = strdup(name);
    t->part = part != NULL ? strdup(part) : NULL;
    t->host = strdup(o->host != NULL && o->host[0] != '\0' ? o->host
                     : host[0] != '\0'                     ? host
                                                           : t->poll->host_name);
    return t->name != NULL && t->host != NULL && (part == NULL || t->part != NULL);
}

enum fm_code fm_target_new(struct fm_target **out, struct fm_poll *poll, size_t section,
                           const char *part, const char *url, struct fm_err *err)
{
    const struct fm_section *from = &poll->sections[section];
    struct fm_target *t = calloc(1, sizeof *t);
    if (t == NULL)
        return fm_err_nomem(err);
    t->poll = poll;
    t->id = ++poll->next_id;
    t->section = section;
    t->opts = from->opts;
    t->kind = from->kind == FM_TARGET_LISTED ? FM_TARGET_NET : from->kind;
    t->pid = from->pid;
    t->interval_ms = t->opts->interval_ms != 0 ? t->opts->interval_ms : DEFAULT_INTERVAL_MS;
    size_t max_bytes = t->opts->max_bytes != 0 ? t->opts->max_bytes : DEFAULT_MAX_BYTES;
    fm_arena_init(&t->arena, max_bytes * MEMORY_PER_BYTE);
    fm_arena_init(&t->scratch, max_bytes * MEMORY_PER_BYTE);
    fm_arena_init(&t->cache.arena, max_bytes * MEMORY_PER_BYTE);
    fm_arena_init(&t->strings, 0);
    t->queries = calloc(t->opts->n_queries + 1, sizeof *t->queries);
    if (t->queries == NULL || !set_names(t, part, url)) {
        fm_target_free(t);
        return fm_err_nomem(err);
    }
    /* All at once would be a burst at every start. */
    int64_t turn = (int64_t)poll->n_targets * START_GAP_MS % (t->interval_ms / 2 + 1);
    t->due_ms = fm_clock_ms() + (poll->once ? 0 : turn);
    *out = t;
    return FM_OK;
}

void fm_target_close(struct fm_target *t)
{
    if (t->jmx != NULL)
        t->poll->sessions->close(t->jmx);
    t->jmx = NULL;
    fm_arena_wipe(&t->strings);
    t->poll->n_done -= t->list_done;
    t->list_done = false;
    t->stale_session = false;
    if (t->kind != FM_TARGET_NET) {
        free(t->url);
        t->url = NULL;
    }
}

void fm_target_forget_poll(struct fm_target *t)
{
    fm_arena_clear(&t->arena);
    fm_arena_clear(&t->scratch);
    free(t->calls);
    free(t->asked);
    free(t->results);
    t->calls = NULL;
    t->asked = NULL;
    t->results = NULL;
    t->n_calls = t->cap_calls = t->n_results = t->cap_results = t->n_missing = 0;
}

void fm_target_free(struct fm_target *t)
{
    if (t == NULL)
        return;
    fm_target_close(t);
    fm_cache_clear(&t->cache);
    fm_target_forget_poll(t);
    free(t->queries);
    free(t->name);
    free(t->part);
    free(t->host);
    free(t->url);
    free(t);
}

/* ---- session ---- */

static const char *keep(struct fm_target *t, const char *text, bool *ok)
{
    if (text == NULL)
        return NULL;
    const char *copy = fm_arena_strndup(&t->strings, text, strlen(text));
    *ok = *ok && copy != NULL;
    return copy;
}

/* The session's options, all texts copied: a reload may free the configuration they came from. */
static bool session_opts(struct fm_target *t, struct fm_jmx_opts *o)
{
    bool ok = true;
    *o = t->opts->jmx;
    o->client = t->poll->client;
    o->log = t->poll->log;
    o->moulds = t->poll->moulds;
    o->netns_pid = t->netns_pid;
    o->timeout_ms = timeout_of(t);
    o->max_answer_bytes = t->opts->max_bytes != 0 ? t->opts->max_bytes : DEFAULT_MAX_BYTES;
    const char **const texts[] = {&o->username,
                                  &o->password,
                                  &o->tls_opts.ca_file,
                                  &o->tls_opts.cert_file,
                                  &o->tls_opts.key_file,
                                  &o->tls_opts.key_password,
                                  &o->tls_opts.pinned_key,
                                  &o->tls_opts.verify_name,
                                  &o->http_proxy.url,
                                  &o->http_proxy.username,
                                  &o->http_proxy.password,
                                  &o->http_proxy.ca_file,
                                  &o->http_proxy.no_proxy,
                                  &o->jolokia_target,
                                  &o->jolokia_username,
                                  &o->jolokia_password};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        *texts[i] = keep(t, *texts[i], &ok);
    o->url = keep(t, t->url, &ok);
    if (t->kind != FM_TARGET_NET) { /* the local connector wants no credentials and speaks no TLS */
        o->username = o->password = NULL;
        o->tls = o->tls_registry = false;
    }
    return ok;
}

static enum fm_code open_session(struct fm_target *t, struct fm_err *err)
{
    if (t->jmx != NULL)
        return FM_OK;
    fm_arena_wipe(&t->strings);
    struct fm_jmx_opts opts;
    if (!session_opts(t, &opts))
        return fm_err_nomem(err);
    return t->poll->sessions->open(&t->jmx, &opts, err);
}

/* ---- a poll ---- */

static void on_done(struct fm_jmx *jmx, enum fm_code code, const struct fm_err *err,
                    const struct fm_jmx_cost *cost, void *arg)
{
    (void)jmx;
    struct fm_target *t = arg;
    t->poll->n_done += !t->list_done;
    t->list_done = true; /* looked at by the loop: a session is not touched inside its callback */
    t->list_code = code;
    t->list_err = err != NULL ? *err : (struct fm_err){.code = code};
    if (cost != NULL) {
        t->cost.round_trips += cost->round_trips;
        t->cost.connects += cost->connects;
        t->cost.bytes_in += cost->bytes_in;
        t->cost.bytes_out += cost->bytes_out;
    }
}

/* Send the next round, or end the poll. */
static void advance(struct fm_target *t)
{
    struct fm_err err = {0};
    bool more = false;
    enum fm_code code = fm_round_build(t, &more, &err);
    if (code == FM_OK && !more) {
        fm_target_finish(t, FM_OK, NULL);
        return;
    }
    t->phase = FM_PHASE_LISTING;
    if (code == FM_OK)
        code =
            t->poll->sessions->start(t->jmx, t->calls, t->n_calls,
                                     t->values_round ? &t->arena : &t->scratch, on_done, t, &err);
    if (code != FM_OK)
        fm_target_finish(t, code, &err);
}

void fm_target_step(struct fm_target *t)
{
    if (!t->list_done)
        return;
    t->list_done = false;
    t->poll->n_done--;
    if (t->phase != FM_PHASE_LISTING)
        return;
    struct fm_err err = {0};
    enum fm_code code = fm_round_take(t, &err);
    if (code != FM_OK)
        fm_target_finish(t, code, &err);
    else if (t->list_code != FM_OK) /* good without the one that hangs, but the session is gone */
        fm_target_finish(t, FM_OK, NULL);
    else
        advance(t);
}

static void ask(struct fm_target *t)
{
    struct fm_err err = {0};
    enum fm_code code = open_session(t, &err);
    if (code != FM_OK) {
        fm_target_finish(t, code, &err);
        return;
    }
    fm_round_begin(t);
    advance(t);
}

static void resolve(struct fm_target *t)
{
    t->phase = FM_PHASE_RESOLVING;
    if (t->job_pending)
        return; /* one that hangs is waited for; a second would hang too */
    struct fm_err err = {0};
    struct fm_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        fm_target_finish(t, fm_err_nomem(&err), &err);
        return;
    }
    job->kind = FM_JOB_RESOLVE;
    job->target = t->id;
    job->pid = t->pid;
    job->attach = t->opts->attach;
    job->timeout_ms = timeout_of(t);
    fm_arena_init(&job->arena, 1024 * 1024);
    enum fm_code code = fm_helpers_submit(t->poll->helpers, &job, &err);
    fm_job_free(job);
    if (code != FM_OK)
        fm_target_finish(t, code, &err);
    else
        t->job_pending = true;
}

void fm_target_resolved(struct fm_target *t, const struct fm_job *job)
{
    t->job_pending = false;
    if (t->phase != FM_PHASE_RESOLVING)
        return;
    if (job->code != FM_OK) {
        enum fm_code code = job->code == FM_ENOTFOUND ? FM_EGONE : job->code;
        fm_target_finish(t, code, &job->err);
        return;
    }
    t->url = strdup(job->address);
    t->netns_pid = job->jvms[0].other_network ? (int)t->pid : 0;
    if (t->kind == FM_TARGET_PID)
        t->jvm_start_ms = job->jvms[0].start_ms;
    struct fm_err err = {0};
    if (t->url == NULL)
        fm_target_finish(t, fm_err_nomem(&err), &err);
    else
        ask(t);
}

static void begin(struct fm_target *t, int64_t now_ms, int64_t late_ms)
{
    t->begun = true;
    t->late_now_ms = late_ms;
    t->start_ms = now_ms;
    t->start_ns = fm_clock_ns();
    t->start_wall_ms = fm_wall_ms();
    t->deadline_ms = now_ms + timeout_of(t);
    t->restarted = false;
    t->left_out[0] = '\0';
    t->cost = (struct fm_jmx_cost){0};
    if (t->stale_session)
        fm_target_close(t);
    if (t->kind != FM_TARGET_NET && t->url == NULL)
        resolve(t);
    else
        ask(t);
}

/* ---- schedule ---- */

/* The next moment of the grid: multiples of the interval on the wall clock, plus this target's own
 * offset; from then on the monotonic clock alone counts, whatever is done to the wall clock. */
static int64_t next_slot(const struct fm_target *t, int64_t now_ms)
{
    int64_t interval = t->interval_ms;
    int64_t phase = (int64_t)(hash(t->name) % (uint64_t)interval);
    int64_t into = ((fm_wall_ms() - phase) % interval + interval) % interval;
    int64_t wait = interval - into;
    return now_ms + (wait < interval / 4 ? wait + interval : wait);
}

static void missed(struct fm_target *t, uint64_t n)
{
    (void)pthread_mutex_lock(&t->poll->lock);
    t->missed += n;
    (void)pthread_mutex_unlock(&t->poll->lock);
}

static void at_deadline(struct fm_target *t)
{
    if (t->phase == FM_PHASE_LISTING) {
        if (!t->list_done)
            t->poll->sessions->cancel(t->jmx);
        if (t->list_done)
            fm_target_step(t);
        if (t->phase != FM_PHASE_LISTING)
            return;
    }
    struct fm_err err = {0};
    (void)fm_err_set(&err, FM_ETIMEOUT, "no answer within %u ms%s", timeout_of(t),
                     t->phase == FM_PHASE_RESOLVING ? " (attach to the JVM)" : "");
    if (t->phase == FM_PHASE_LISTING)
        fm_target_close(t); /* it must not touch the calls any more */
    fm_target_finish(t, FM_ETIMEOUT, &err);
}

int64_t fm_target_tick(struct fm_target *t, int64_t now_ms)
{
    if (t->gone_ms != 0)
        return INT64_MAX;
    if (t->phase != FM_PHASE_IDLE && now_ms >= t->deadline_ms)
        at_deadline(t);
    if (now_ms >= t->due_ms) {
        bool first = !t->begun;
        int64_t slot = t->due_ms;
        int64_t late = first ? 0 : (now_ms - t->due_ms) / t->interval_ms;
        bool busy = t->phase != FM_PHASE_IDLE;
        if (t->poll->once)
            t->due_ms = INT64_MAX;
        else
            t->due_ms = first ? next_slot(t, now_ms) : t->due_ms + (late + 1) * t->interval_ms;
        bool held = !busy && now_ms < t->not_before_ms;
        bool full = !busy && !held && t->poll->hooks.ready != NULL &&
                    !t->poll->hooks.ready(t->poll->hooks.arg);
        if (!held && (busy || full || late > 0))
            missed(t, (uint64_t)late + (busy || full));
        if (!busy && !held && !full)
            begin(t, now_ms, first ? 0 : (now_ms - slot) % t->interval_ms);
    }
    return t->phase != FM_PHASE_IDLE && t->deadline_ms < t->due_ms ? t->deadline_ms : t->due_ms;
}
