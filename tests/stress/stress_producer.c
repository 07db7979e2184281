/* The producer of the library: threads that send to several topics, one that flushes, a callback
 * that sends again, and closes at any moment. Run under TSan. */
#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "firstmile/rest.h"
#include "sandbox/sandbox.h"

enum { THREADS = 4, RECORDS = 2000, ROUNDS = 6 };

static struct fm_producer *producer;
static atomic_uint taken, told;

static void send_one(void *user)
{
    static const char *const topics[] = {"a", "b", "c"};
    unsigned n = atomic_load(&taken);
    const struct fm_producer_record record = {
        .topic = topics[n % 3], .value = "{\"n\":1}", .value_len = 7, .user = user};
    if (fm_producer_send(producer, &record, NULL) == FM_OK)
        atomic_fetch_add(&taken, 1);
}

static void on_done(void *arg, const struct fm_producer_report *report)
{
    (void)arg;
    if (report->user != NULL)
        send_one(NULL);
    atomic_fetch_add(&told, 1);
}

static void *run(void *arg)
{
    struct fm_producer_counts counts;
    for (unsigned i = 0; i < RECORDS; i++) {
        send_one(i % 10 == 0 ? arg : NULL);
        if (i % 500 == 0)
            (void)!fm_producer_flush(producer, FM_PRODUCER_STORED, 50, NULL);
        if (i % 100 == 0)
            fm_producer_counts(producer, &counts);
    }
    return NULL;
}

int main(void)
{
    struct fm_sandbox *sandbox;
    struct fm_err err = {0};
    const struct fm_sandbox_opts proxy = {.faults = "2 status 503\n5-9 delay 20ms\n"};
    enum fm_code code = fm_sandbox_start(&sandbox, &proxy, &err);
    assert(code == FM_OK);
    char url[64];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)fm_sandbox_port(sandbox));
    const char *const urls[] = {url};
    const struct fm_producer_opts opts = {
        .urls = urls, .n_urls = 1, .done = on_done, .max_pending = 3000};
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_t threads[THREADS];
        code = fm_producer_open(&producer, &opts, &err);
        assert(code == FM_OK);
        for (size_t i = 0; i < THREADS; i++) {
            code = fm_thread_start(&threads[i], "sender", run, &threads, &err);
            assert(code == FM_OK);
        }
        for (size_t i = 0; i < THREADS; i++)
            (void)pthread_join(threads[i], NULL);
        code = fm_producer_close(producer, round % 3 * 200, &err); /* some are left */
        assert(code == FM_OK || code == FM_ETIMEOUT);
        assert(atomic_load(&taken) == atomic_load(&told));
    }
    fm_sandbox_stop(sandbox);
    printf("%u records, each told once\n", atomic_load(&told));
    return 0;
}
