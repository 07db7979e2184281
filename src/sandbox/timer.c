#include "base/clock.h"
#include "base/thread.h"
#include "sandbox/core_priv.h"

void fm_timer_init(struct fm_timer *timer, void (*fire)(struct fm_exchange *x))
{
    *timer = (struct fm_timer){.fire = fire};
    (void)pthread_mutex_init(&timer->lock, NULL);
    fm_cond_init(&timer->wake);
}

static void *run(void *arg)
{
    struct fm_timer *timer = arg;
    (void)pthread_mutex_lock(&timer->lock);
    while (!timer->stopping || timer->first != NULL) {
        struct fm_exchange *x = timer->first;
        if (x == NULL) {
            (void)fm_cond_wait(&timer->wake, &timer->lock, 0);
        } else if (timer->stopping || x->due_ms <= fm_clock_ms()) {
            timer->first = x->next;
            (void)pthread_mutex_unlock(&timer->lock);
            timer->fire(x);
            (void)pthread_mutex_lock(&timer->lock);
        } else {
            (void)fm_cond_wait(&timer->wake, &timer->lock, x->due_ms);
        }
    }
    (void)pthread_mutex_unlock(&timer->lock);
    return NULL;
}

static bool insert(struct fm_timer *timer, struct fm_exchange *x)
{
    if (timer->stopping)
        return false;
    if (!timer->running &&
        fm_thread_start(&timer->thread, "sandbox-timer", run, timer, NULL) != FM_OK)
        return false;
    timer->running = true;
    struct fm_exchange **at = &timer->first;
    while (*at != NULL && (*at)->due_ms <= x->due_ms)
        at = &(*at)->next;
    x->next = *at;
    *at = x;
    (void)pthread_cond_signal(&timer->wake);
    return true;
}

void fm_timer_add(struct fm_timer *timer, struct fm_exchange *x, int64_t due_ms)
{
    x->due_ms = due_ms;
    (void)pthread_mutex_lock(&timer->lock);
    bool waits = insert(timer, x);
    (void)pthread_mutex_unlock(&timer->lock);
    if (!waits)
        timer->fire(x);
}

void fm_timer_stop(struct fm_timer *timer)
{
    (void)pthread_mutex_lock(&timer->lock);
    bool join = timer->running;
    timer->stopping = true;
    timer->running = false;
    (void)pthread_cond_signal(&timer->wake);
    (void)pthread_mutex_unlock(&timer->lock);
    if (join)
        (void)pthread_join(timer->thread, NULL);
}

void fm_timer_clear(struct fm_timer *timer)
{
    (void)pthread_cond_destroy(&timer->wake);
    (void)pthread_mutex_destroy(&timer->lock);
}
