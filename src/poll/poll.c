#include "poll/poll.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "poll/poll_priv.h"

enum {
    DEFAULT_SCAN_MS = 10000,
    DEFAULT_FILES_MS = 5000,
    DEFAULT_BACKOFF_MS = 60000,
    DEFAULT_BACKOFF_DENIED_MS = 300000,
    MAX_WAIT_MS = 60000,
    REPLACE_MS = 5000,
    HELPERS_JOIN_MS = 200,
    MOULD_BYTES = 1024 * 1024
};

static const struct fm_sessions jmx_sessions = {fm_jmx_new, fm_jmx_free, fm_jmx_start,
                                                fm_jmx_cancel};

static void wake(void *arg)
{
    fm_client_wakeup(arg);
}

static unsigned or_default(unsigned value, unsigned fallback)
{
    return value != 0 ? value : fallback;
}

/* The name given, else this machine's. */
static char *own_name(const char *given)
{
    char name[256] = "";
    if (given != NULL)
        return strdup(given);
    (void)gethostname(name, sizeof name - 1);
    return strdup(name[0] != '\0' ? name : "localhost");
}

static enum fm_code fill(struct fm_poll *poll, const struct fm_poll_opts *opts, struct fm_err *err)
{
    poll->log = opts->log;
    poll->hooks = opts->hooks;
    poll->scan_ms = or_default(opts->scan_ms, DEFAULT_SCAN_MS);
    poll->files_ms = or_default(opts->files_ms, DEFAULT_FILES_MS);
    poll->max_backoff_ms = or_default(opts->max_backoff_ms, DEFAULT_BACKOFF_MS);
    poll->max_backoff_denied_ms =
        or_default(opts->max_backoff_denied_ms, DEFAULT_BACKOFF_DENIED_MS);
    poll->random = (uint64_t)fm_clock_ns() | 1;
    poll->host_name = own_name(opts->host_name);
    poll->tmp_dir = opts->tmp_dir != NULL ? strdup(opts->tmp_dir) : NULL;
    if (poll->host_name == NULL || (opts->tmp_dir != NULL && poll->tmp_dir == NULL))
        return fm_err_nomem(err);
    struct fm_client_opts client = {.log = opts->log,
                                    .max_connections = (unsigned)opts->n_targets + 8};
    FM_TRY(fm_client_new(&poll->client, &client, err));
    poll->moulds = fm_jmx_moulds_new(MOULD_BYTES);
    FM_TRY(fm_helpers_new(&poll->helpers, wake, poll->client, err));
    return fm_sections_new(&poll->sections, &poll->n_sections, opts->targets, opts->n_targets, err);
}

enum fm_code fm_poll_new_with(struct fm_poll **out, const struct fm_poll_opts *opts,
                              const struct fm_sessions *sessions, struct fm_err *err)
{
    struct fm_poll *poll = calloc(1, sizeof *poll);
    if (poll == NULL)
        return fm_err_nomem(err);
    (void)pthread_mutex_init(&poll->lock, NULL);
    fm_cond_init(&poll->taken);
    poll->sessions = sessions;
    enum fm_code code = fill(poll, opts, err);
    if (code != FM_OK) {
        fm_poll_free(poll);
        return code;
    }
    *out = poll;
    return FM_OK;
}

enum fm_code fm_poll_new(struct fm_poll **out, const struct fm_poll_opts *opts, struct fm_err *err)
{
    return fm_poll_new_with(out, opts, &jmx_sessions, err);
}

/* ---- the loop ---- */

static bool same_target(const struct fm_poll_target_opts *a, const struct fm_poll_target_opts *b)
{
    return a->fingerprint != NULL && b->fingerprint != NULL && strcmp(a->name, b->name) == 0 &&
           strcmp(a->fingerprint, b->fingerprint) == 0 && a->n_queries == b->n_queries;
}

/* Targets of unchanged sections move over with their sessions, the others are closed. */
static enum fm_code take_next(struct fm_poll *poll, const struct fm_poll_target_opts *next,
                              size_t n_next, struct fm_err *err)
{
    struct fm_section *sections = NULL;
    size_t n = 0;
    FM_TRY(fm_sections_new(&sections, &n, next, n_next, err));
    (void)pthread_mutex_lock(&poll->lock);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < poll->n_sections; k++)
            fm_section_inherit(&sections[i], &poll->sections[k]);
    (void)pthread_mutex_unlock(&poll->lock);
    for (size_t i = poll->n_targets; i-- > 0;) {
        struct fm_target *t = poll->targets[i];
        size_t to = 0;
        while (to < n && !same_target(t->opts, sections[to].opts))
            to++;
        if (to == n) {
            fm_poll_drop(poll, i);
            continue;
        }
        (void)pthread_mutex_lock(&poll->lock);
        t->section = to;
        t->opts = sections[to].opts;
        (void)pthread_mutex_unlock(&poll->lock);
        sections[to].expanded = true;
    }
    (void)pthread_mutex_lock(&poll->lock);
    struct fm_section *old = poll->sections;
    size_t n_old = poll->n_sections;
    poll->sections = sections;
    poll->n_sections = n;
    (void)pthread_mutex_unlock(&poll->lock);
    fm_sections_free(old, n_old);
    poll->have_local = poll->have_files = false;
    poll->next_scan_ms = poll->next_files_ms = 0;
    poll->timer_ms = 0;
    /* The new sections are in force; what could not be expanded now is tried again at the next
     * look. */
    struct fm_err expand_err = {0};
    if (fm_sections_expand(poll, &expand_err) != FM_OK)
        fm_log(poll->log, FM_LOG_ERROR, "targets: %s", fm_err_text(&expand_err));
    return FM_OK;
}

static void handle_requests(struct fm_poll *poll)
{
    (void)pthread_mutex_lock(&poll->lock);
    bool has_next = poll->has_next;
    poll->taking = has_next;
    const struct fm_poll_target_opts *next = poll->next;
    size_t n_next = poll->n_next;
    bool retry = poll->retry;
    poll->retry = false;
    (void)pthread_mutex_unlock(&poll->lock);
    if (has_next) {
        struct fm_err err = {0};
        enum fm_code code = take_next(poll, next, n_next, &err);
        if (code != FM_OK)
            fm_log(poll->log, FM_LOG_ERROR, "targets: %s", fm_err_text(&err));
        (void)pthread_mutex_lock(&poll->lock);
        poll->has_next = false;
        poll->taking = false;
        poll->next_code = code;
        (void)pthread_cond_broadcast(&poll->taken);
        (void)pthread_mutex_unlock(&poll->lock);
    }
    for (size_t i = 0; retry && i < poll->n_targets; i++)
        if (poll->targets[i]->state == FM_POLL_DOWN) {
            poll->targets[i]->due_ms = fm_clock_ms();
            poll->targets[i]->begun = false;
            poll->targets[i]->not_before_ms = 0;
            poll->timer_ms = 0;
        }
}

static void handle_jobs(struct fm_poll *poll)
{
    for (struct fm_job *job = fm_helpers_take(poll->helpers), *next = NULL; job != NULL;
         job = next) {
        next = job->next;
        if (job->kind == FM_JOB_SCAN)
            fm_sections_scanned(poll, job);
        if (job->kind == FM_JOB_FILES)
            fm_listed_read(poll, job);
        for (size_t i = 0; job->kind == FM_JOB_RESOLVE && i < poll->n_targets; i++)
            if (poll->targets[i]->id == job->target)
                fm_target_resolved(poll->targets[i], job);
        fm_job_free(job);
    }
}

static void start_scan(struct fm_poll *poll)
{
    struct fm_err err = {0};
    struct fm_job *job = calloc(1, sizeof *job);
    if (job == NULL)
        return;
    job->kind = FM_JOB_SCAN;
    fm_arena_init(&job->arena, 64 * 1024 * 1024);
    job->tmp_dir = poll->tmp_dir != NULL ? strdup(poll->tmp_dir) : NULL;
    if (fm_helpers_submit(poll->helpers, &job, &err) == FM_OK) {
        poll->scanning = true;
    } else {
        fm_log_limited(poll->log, FM_LOG_WARN, "scan", "cannot look for JVMs: %s",
                       fm_err_text(&err));
        poll->next_scan_ms = fm_clock_ms() + poll->scan_ms;
    }
    fm_job_free(job);
}

/* Start and end what is due. Looks at all targets, but only when the earliest time has come. */
static void handle_timers(struct fm_poll *poll, int64_t now)
{
    if (poll->have_local && !poll->scanning && now >= poll->next_scan_ms)
        start_scan(poll);
    if (poll->have_files && now >= poll->next_files_ms)
        fm_listed_look(poll);
    if (now < poll->timer_ms)
        return;
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < poll->n_targets && !atomic_load(&poll->stop); i++) {
        int64_t at = fm_target_tick(poll->targets[i], now);
        if (at < first)
            first = at;
    }
    poll->timer_ms = first;
}

static void handle_lists(struct fm_poll *poll)
{
    for (size_t i = 0; poll->n_done > 0 && i < poll->n_targets; i++)
        if (poll->targets[i]->list_done)
            fm_target_step(poll->targets[i]);
}

static int wait_ms(const struct fm_poll *poll, int64_t until)
{
    int64_t now = fm_clock_ms(), at = poll->timer_ms;
    if (poll->n_done > 0)
        return 0;
    if (poll->have_local && !poll->scanning && poll->next_scan_ms < at)
        at = poll->next_scan_ms;
    if (poll->have_files && poll->next_files_ms < at)
        at = poll->next_files_ms;
    if (until < at)
        at = until;
    if (at <= now)
        return 0;
    return at - now < MAX_WAIT_MS ? (int)(at - now) : MAX_WAIT_MS;
}

static bool all_polled(const struct fm_poll *poll)
{
    for (size_t i = 0; i < poll->n_sections; i++)
        if (!poll->sections[i].expanded)
            return false;
    for (size_t i = 0; i < poll->n_targets; i++)
        if (!poll->targets[i]->polled)
            return false;
    return true;
}

static void turn(struct fm_poll *poll, int64_t until)
{
    struct fm_err err = {0};
    handle_requests(poll);
    handle_jobs(poll);
    handle_lists(poll);
    handle_timers(poll, fm_clock_ms());
    if (poll->once && all_polled(poll))
        return; /* nothing would end the wait */
    if (fm_client_poll(poll->client, wait_ms(poll, until), &err) != FM_OK)
        fm_log_limited(poll->log, FM_LOG_ERROR, "poll", "poll thread: %s", fm_err_text(&err));
}

static void *poll_main(void *arg)
{
    struct fm_poll *poll = arg;
    struct fm_err err = {0};
    if (fm_sections_expand(poll, &err) != FM_OK)
        fm_log(poll->log, FM_LOG_ERROR, "targets: %s", fm_err_text(&err));
    while (!atomic_load(&poll->stop))
        turn(poll, INT64_MAX);
    fm_helpers_stop(poll->helpers);
    for (size_t i = 0; i < poll->n_targets; i++)
        fm_target_close(poll->targets[i]);
    (void)pthread_mutex_lock(&poll->lock);
    (void)pthread_cond_broadcast(&poll->taken);
    (void)pthread_mutex_unlock(&poll->lock);
    return NULL;
}

enum fm_code fm_poll_start(struct fm_poll *poll, struct fm_err *err)
{
    FM_TRY(fm_thread_start(&poll->thread, "fm-poll", poll_main, poll, err));
    poll->started = true;
    return FM_OK;
}

void fm_poll_stop(struct fm_poll *poll)
{
    atomic_store(&poll->stop, true);
    fm_client_wakeup(poll->client);
}

bool fm_poll_join(struct fm_poll *poll, unsigned timeout_ms)
{
    if (!poll->started)
        return true;
    if (!fm_thread_join(poll->thread, timeout_ms))
        return false;
    poll->started = false;
    /* A helper may hang in an attach; it touches nothing of ours any more. */
    (void)fm_helpers_join(poll->helpers,
                          timeout_ms < HELPERS_JOIN_MS ? timeout_ms : HELPERS_JOIN_MS);
    return true;
}

void fm_poll_free(struct fm_poll *poll)
{
    if (poll == NULL)
        return;
    fm_helpers_free(poll->helpers);
    while (poll->n_targets > 0)
        fm_poll_drop(poll, poll->n_targets - 1);
    fm_past_free(poll);
    fm_client_free(poll->client);
    fm_jmx_moulds_free(poll->moulds);
    (void)pthread_mutex_destroy(&poll->lock);
    (void)pthread_cond_destroy(&poll->taken);
    free(poll->targets);
    fm_sections_free(poll->sections, poll->n_sections);
    free(poll->host_name);
    free(poll->tmp_dir);
    free(poll);
}

enum fm_code fm_poll_replace(struct fm_poll *poll, const struct fm_poll_target_opts *targets,
                             size_t n_targets, struct fm_err *err)
{
    struct fm_section *checked = NULL;
    size_t n = 0;
    FM_TRY(fm_sections_new(&checked, &n, targets, n_targets, err));
    fm_sections_free(checked, n);
    if (!poll->started)
        return take_next(poll, targets, n_targets, err);
    int64_t until = fm_clock_ms() + REPLACE_MS;
    (void)pthread_mutex_lock(&poll->lock);
    poll->next = targets;
    poll->n_next = n_targets;
    poll->has_next = true;
    (void)pthread_mutex_unlock(&poll->lock);
    fm_client_wakeup(poll->client);
    (void)pthread_mutex_lock(&poll->lock);
    /* Once the thread has picked the targets up it must be waited for: it does not block there. */
    while (poll->has_next && (poll->taking || (!atomic_load(&poll->stop) && fm_clock_ms() < until)))
        (void)fm_cond_wait(&poll->taken, &poll->lock, poll->taking ? 0 : until);
    bool taken = !poll->has_next;
    poll->has_next = false;
    enum fm_code code = taken ? poll->next_code : FM_ETIMEOUT;
    (void)pthread_mutex_unlock(&poll->lock);
    if (code == FM_OK)
        return FM_OK;
    return fm_err_set(err, code, "the poll thread did not take over the new targets");
}

void fm_poll_retry(struct fm_poll *poll)
{
    (void)pthread_mutex_lock(&poll->lock);
    poll->retry = true;
    (void)pthread_mutex_unlock(&poll->lock);
    fm_client_wakeup(poll->client);
}

/* ---- once ---- */

static enum fm_code first_failure(const struct fm_poll *poll, struct fm_err *err)
{
    for (size_t i = 0; i < poll->n_targets; i++) {
        const struct fm_target *t = poll->targets[i];
        if (t->code != FM_OK)
            return fm_err_set(err, t->code, "target %s: %s", t->name, t->error);
    }
    for (size_t i = 0; i < poll->n_sections; i++)
        if (poll->sections[i].empty)
            return fm_err_set(err, FM_ENOTFOUND, "target %s: %s", poll->sections[i].opts->name,
                              poll->sections[i].why);
    for (size_t i = 0; i < poll->n_sections; i++)
        if (poll->sections[i].fault[0] != '\0')
            return fm_err_set(err, FM_ECONF, "target %s: %s", poll->sections[i].opts->name,
                              poll->sections[i].fault);
    return FM_OK;
}

enum { LOOK_MS = 100 /* how late an interruption may be heard */ };

enum fm_code fm_poll_once_with(const struct fm_poll_opts *opts, const struct fm_sessions *sessions,
                               unsigned timeout_ms, struct fm_poll_snapshot *out,
                               struct fm_err *err)
{
    struct fm_poll *poll = NULL;
    *out = (struct fm_poll_snapshot){0};
    FM_TRY(fm_poll_new_with(&poll, opts, sessions, err));
    poll->once = true;
    int64_t until = fm_clock_ms() + timeout_ms;
    enum fm_code code = fm_sections_expand(poll, err);
    bool stopped = false;
    while (code == FM_OK && !stopped && !all_polled(poll) && fm_clock_ms() < until) {
        int64_t look = fm_clock_ms() + LOOK_MS;
        turn(poll, opts->hooks.stopped != NULL && look < until ? look : until);
        stopped = opts->hooks.stopped != NULL && opts->hooks.stopped(opts->hooks.arg);
    }
    struct fm_err late = {0};
    if (stopped)
        (void)fm_err_set(&late, FM_ESTOP, "interrupted");
    else
        (void)fm_err_set(&late, FM_ETIMEOUT, "no answer within %u ms", timeout_ms);
    for (size_t i = 0; code == FM_OK && i < poll->n_targets; i++)
        if (!poll->targets[i]->polled) {
            fm_target_close(poll->targets[i]);
            fm_target_finish(poll->targets[i], late.code, &late);
        }
    if (code == FM_OK)
        code = fm_poll_status_get(poll, out, err);
    if (code == FM_OK)
        code = first_failure(poll, err);
    fm_poll_free(poll);
    return code;
}

enum fm_code fm_poll_once(const struct fm_poll_opts *opts, unsigned timeout_ms,
                          struct fm_poll_snapshot *out, struct fm_err *err)
{
    return fm_poll_once_with(opts, &jmx_sessions, timeout_ms, out, err);
}
