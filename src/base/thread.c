#include "base/thread.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

enum fm_code fm_thread_start(pthread_t *out, const char *name, void *(*fn)(void *), void *arg,
                             struct fm_err *err)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(out, NULL, fn, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return fm_err_sys(err, rc, "cannot start thread %s", name);
    (void)pthread_setname_np(*out, name);
    return FM_OK;
}

static struct timespec timespec_at(clockid_t clock, int64_t from_now_ms)
{
    struct timespec ts = {0};
    (void)clock_gettime(clock, &ts);
    ts.tv_sec += from_now_ms / 1000;
    ts.tv_nsec += from_now_ms % 1000 * 1000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_sec++;
        ts.tv_nsec -= 1000000000;
    }
    return ts;
}

bool fm_thread_join(pthread_t thread, int64_t timeout_ms)
{
#ifdef __SANITIZE_THREAD__ /* it knows only this join, and without it takes each free for a race   \
                            */
    struct timespec soon = timespec_at(CLOCK_REALTIME, timeout_ms);
    return pthread_timedjoin_np(thread, NULL, &soon) == 0;
#else
    struct timespec until = timespec_at(CLOCK_MONOTONIC, timeout_ms);
    return pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until) == 0;
#endif
}

void fm_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(cond, &attr);
    (void)pthread_condattr_destroy(&attr);
}

bool fm_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t deadline_ms)
{
    if (deadline_ms == 0) {
        (void)pthread_cond_wait(cond, lock);
        return true;
    }
    int64_t left = deadline_ms - fm_clock_ms();
    struct timespec until = timespec_at(CLOCK_MONOTONIC, left > 0 ? left : 0);
    return pthread_cond_timedwait(cond, lock, &until) == 0;
}

void fm_auto_free(void *pointer_to_pointer)
{
    void **p = pointer_to_pointer;
    free(*p);
    *p = NULL;
}

void fm_auto_close(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}
