/* The sandbox from several threads at once: requests, delayed answers, a new fault script, numbers
 * read, and a stop in the middle. Run under TSan. */
#include <assert.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "sandbox/core_priv.h"

enum { THREADS = 4, REQUESTS = 2000 };

struct stress {
    struct fm_core core;
    _Atomic unsigned asked, answered;
};

static void on_defer(struct fm_exchange *x)
{
    (void)x;
}

static void on_answer(struct fm_exchange *x, const struct fm_server_reply *reply)
{
    struct stress *s = x->call;
    assert(reply->status == 200 || reply->status == 503 || reply->status == 429);
    atomic_fetch_add(&s->answered, 1);
}

static void *produce(void *arg)
{
    static const char body[] =
        "{\"records\":[{\"key\":\"k\",\"value\":{\"seq\":1}},{\"value\":2}]}";
    struct stress *s = arg;
    const struct fm_v2_request post = {.method = "POST",
                                       .path = "/topics/t",
                                       .content_type = "application/vnd.kafka.json.v2+json",
                                       .body = body,
                                       .body_len = sizeof body - 1};
    const struct fm_v2_request get = {.method = "GET", .path = "/topics/t/partitions/0/records"};
    for (int i = 0; i < REQUESTS; i++) {
        atomic_fetch_add(&s->asked, 1);
        assert(fm_core_run(&s->core, i % 50 == 0 ? &get : &post, NULL, s));
        struct fm_sandbox_stats stats;
        fm_core_stats(&s->core, &stats);
        if (i % 100 == 0) {
            enum fm_code code = fm_core_faults(&s->core, "3+ delay 1ms\n7 status 429\n", NULL);
            assert(code == FM_OK);
        }
    }
    return NULL;
}

int main(void)
{
    static const struct fm_core_hooks hooks = {on_defer, on_answer};
    static struct stress s;
    static const char *const topics[] = {"t"};
    const struct fm_sandbox_opts opts = {.topics = topics, .n_topics = 1, .max_bytes = 20000};
    enum fm_code code = fm_core_open(&s.core, &opts, &hooks, NULL);
    assert(code == FM_OK);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        code = fm_thread_start(&threads[i], "stress", produce, &s, NULL);
        assert(code == FM_OK);
    }
    while (atomic_load(&s.asked) < THREADS * REQUESTS / 2)
        (void)sched_yield();
    fm_core_stop(&s.core); /* the rest gets 503 */
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    assert(s.asked == s.answered);
    fm_core_close(&s.core);
    (void)printf("stress_sandbox: %u requests, each answered once\n", s.asked);
    return 0;
}
