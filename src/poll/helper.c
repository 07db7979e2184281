#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "poll/poll_priv.h"

enum { IDLE_MS = 30000 }; /* a helper without work ends */

/* Shared with the threads and freed by the last of them: one that hangs in the kernel must not find
 * its memory gone. */
struct fm_helpers {
    pthread_mutex_t lock; /* leaf; guards everything here */
    pthread_cond_t work, ended;
    struct fm_job *first, *last; /* waiting */
    struct fm_job *done;
    unsigned threads, idle, waiting;
    bool stop, abandoned;
    void (*wake)(void *arg);
    void *arg;
};

void fm_job_free(struct fm_job *job)
{
    if (job == NULL)
        return;
    fm_arena_clear(&job->arena);
    fm_arena_clear(&job->list.arena);
    free(job->tmp_dir);
    free(job->pattern);
    free(job);
}

static void free_jobs(struct fm_job *job)
{
    while (job != NULL) {
        struct fm_job *next = job->next;
        fm_job_free(job);
        job = next;
    }
}

static void destroy(struct fm_helpers *h)
{
    free_jobs(h->first);
    free_jobs(h->done);
    (void)pthread_mutex_destroy(&h->lock);
    (void)pthread_cond_destroy(&h->work);
    (void)pthread_cond_destroy(&h->ended);
    free(h);
}

enum fm_code fm_helpers_new(struct fm_helpers **out, void (*wake)(void *arg), void *arg,
                            struct fm_err *err)
{
    struct fm_helpers *h = calloc(1, sizeof *h);
    if (h == NULL)
        return fm_err_nomem(err);
    (void)pthread_mutex_init(&h->lock, NULL);
    fm_cond_init(&h->work);
    fm_cond_init(&h->ended);
    h->wake = wake;
    h->arg = arg;
    *out = h;
    return FM_OK;
}

static void run_scan(struct fm_job *job)
{
    job->code = fm_jvms_find(&job->jvms, &job->n, &job->arena, job->tmp_dir, &job->err);
}

static void run_resolve(struct fm_job *job)
{
    job->jvms = fm_arena_alloc(&job->arena, sizeof *job->jvms);
    if (job->jvms == NULL) {
        job->code = fm_err_nomem(&job->err);
        return;
    }
    job->code = fm_jvm_find(job->jvms, job->pid, &job->arena, &job->err);
    if (job->code == FM_OK) {
        job->n = 1;
        job->code = fm_jvm_address(&job->address, job->jvms, job->attach, job->timeout_ms,
                                   &job->arena, &job->err);
    }
}

/* The first job that may run now; at most FM_HELPERS_WAITING of them may wait for JVMs and files.
 */
static struct fm_job *take(struct fm_helpers *h)
{
    struct fm_job *before = NULL;
    for (struct fm_job *job = h->first; job != NULL; before = job, job = job->next) {
        if (job->kind != FM_JOB_SCAN && h->waiting >= FM_HELPERS_WAITING)
            continue;
        if (before == NULL)
            h->first = job->next;
        else
            before->next = job->next;
        if (h->last == job)
            h->last = before;
        job->next = NULL;
        h->waiting += job->kind != FM_JOB_SCAN;
        return job;
    }
    return NULL;
}

static void run(struct fm_helpers *h, struct fm_job *job)
{
    (void)pthread_mutex_unlock(&h->lock);
    if (job->kind == FM_JOB_SCAN)
        run_scan(job);
    else if (job->kind == FM_JOB_RESOLVE)
        run_resolve(job);
    else
        job->code = fm_files_read(&job->list, job->pattern, job->mark, &job->changed, &job->err);
    (void)pthread_mutex_lock(&h->lock);
    h->waiting -= job->kind != FM_JOB_SCAN;
    if (h->stop) {
        fm_job_free(job);
        return;
    }
    job->next = h->done;
    h->done = job;
    h->wake(h->arg); /* under the lock: stop() then knows that no call is under way */
    (void)pthread_cond_signal(&h->work);
}

static void *helper_main(void *arg)
{
    struct fm_helpers *h = arg;
    (void)pthread_detach(pthread_self());
    (void)pthread_mutex_lock(&h->lock);
    while (!h->stop) {
        struct fm_job *job = take(h);
        if (job != NULL) {
            run(h, job);
            continue;
        }
        h->idle++;
        bool woken = fm_cond_wait(&h->work, &h->lock, fm_clock_ms() + IDLE_MS);
        h->idle--;
        if (!woken && h->first == NULL)
            break;
    }
    bool last = --h->threads == 0 && h->abandoned;
    (void)pthread_cond_broadcast(&h->ended);
    (void)pthread_mutex_unlock(&h->lock);
    if (last)
        destroy(h);
    return NULL;
}

static unsigned queued(const struct fm_helpers *h)
{
    unsigned n = 0;
    for (const struct fm_job *job = h->first; job != NULL; job = job->next)
        n++;
    return n;
}

enum fm_code fm_helpers_submit(struct fm_helpers *h, struct fm_job **job, struct fm_err *err)
{
    enum fm_code code = FM_OK;
    (void)pthread_mutex_lock(&h->lock);
    if (h->stop) {
        code = fm_err_set(err, FM_ESTOP, "stopping");
    } else {
        /* An idle thread that was signalled counts as idle until it wakes. */
        if (queued(h) >= h->idle && h->threads < FM_HELPERS) {
            pthread_t thread;
            code = fm_thread_start(&thread, "fm-helper", helper_main, h, err);
            h->threads += code == FM_OK;
        }
        if (h->threads > 0) { /* the others will come to it */
            code = FM_OK;
            if (h->last != NULL)
                h->last->next = *job;
            else
                h->first = *job;
            h->last = *job;
            *job = NULL;
            (void)pthread_cond_signal(&h->work);
        }
    }
    (void)pthread_mutex_unlock(&h->lock);
    return code;
}

struct fm_job *fm_helpers_take(struct fm_helpers *h)
{
    (void)pthread_mutex_lock(&h->lock);
    struct fm_job *done = h->done;
    h->done = NULL;
    (void)pthread_mutex_unlock(&h->lock);
    return done;
}

void fm_helpers_stop(struct fm_helpers *h)
{
    (void)pthread_mutex_lock(&h->lock);
    h->stop = true;
    free_jobs(h->first);
    h->first = h->last = NULL;
    (void)pthread_cond_broadcast(&h->work);
    (void)pthread_mutex_unlock(&h->lock);
}

bool fm_helpers_join(struct fm_helpers *h, unsigned timeout_ms)
{
    int64_t until = fm_clock_ms() + timeout_ms;
    (void)pthread_mutex_lock(&h->lock);
    while (h->threads > 0 && fm_clock_ms() < until)
        (void)fm_cond_wait(&h->ended, &h->lock, until);
    bool all = h->threads == 0;
    (void)pthread_mutex_unlock(&h->lock);
    return all;
}

void fm_helpers_free(struct fm_helpers *h)
{
    if (h == NULL)
        return;
    fm_helpers_stop(h);
    (void)pthread_mutex_lock(&h->lock);
    h->abandoned = true;
    bool last = h->threads == 0;
    (void)pthread_mutex_unlock(&h->lock);
    if (last)
        destroy(h);
}
