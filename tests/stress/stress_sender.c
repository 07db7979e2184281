/* The sender with several requests at a time: threads that append, read numbers and change the
 * options, a proxy that refuses and delays. All must arrive. Run under TSan. */
#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "rest/rest.h"
#include "sandbox/sandbox.h"

enum { CHUNKS = 120, RECORDS = 50, APPENDERS = 2 };

static struct fm_spool *spool;
static struct fm_rest *rest;
static struct fm_rest_opts opts;
static atomic_uint ended;

static void *append(void *arg)
{
    for (unsigned i = 0; i < CHUNKS; i++) {
        struct fm_chunk *chunk;
        struct fm_err err = {0};
        enum fm_code code = fm_chunk_new(&chunk, "t", &err);
        for (unsigned k = 0; k < RECORDS && code == FM_OK; k++) {
            char key[16];
            (void)snprintf(key, sizeof key, "k%u", k % 13);
            const struct fm_record rec = {.kind = FM_RECORD_DATA,
                                          .time_ms = 1,
                                          .partition = FM_NO_PARTITION,
                                          .key = key,
                                          .key_len = strlen(key),
                                          .value = "{\"a\":1}",
                                          .value_len = 7,
                                          .id_at = 1};
            code = fm_chunk_add(chunk, &rec, NULL, 0, &err);
        }
        assert(code == FM_OK);
        code = fm_spool_store(spool, &chunk, 10000, NULL, NULL, NULL, &err);
        assert(code == FM_OK);
        fm_rest_wakeup(rest);
    }
    atomic_fetch_add(&ended, 1);
    return arg;
}

static void *look(void *arg)
{
    struct fm_rest_stats stats;
    for (unsigned i = 0; atomic_load(&ended) < APPENDERS; i++) {
        fm_rest_stats_get(rest, &stats);
        assert(stats.records <= APPENDERS * CHUNKS * RECORDS);
        if (i % 50 == 49) {
            struct fm_rest_opts other = opts;
            other.max_in_flight = 1 + i / 50 % 5;
            enum fm_code code = fm_rest_reconfigure(rest, &other, NULL);
            assert(code == FM_OK);
        }
        usleep(2000);
    }
    return arg;
}

int main(void)
{
    struct fm_sandbox *sandbox;
    struct fm_err err = {0};
    const struct fm_sandbox_opts proxy = {.faults = "7 status 503\n20-60 delay 5ms\n90 reset\n"};
    const struct fm_spool_opts memory = {.agent = "a", .machine_id = "m"};
    char url[64];
    const char *const urls[] = {url};
    enum fm_code code = fm_net_init(&err);
    if (code == FM_OK)
        code = fm_sandbox_start(&sandbox, &proxy, &err);
    assert(code == FM_OK);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)fm_sandbox_port(sandbox));
    code = fm_spool_open(&spool, &memory, &err);
    assert(code == FM_OK);
    opts = (struct fm_rest_opts){.spool = spool,
                                 .urls = urls,
                                 .n_urls = 1,
                                 .batch_records = 20,
                                 .max_in_flight = 4,
                                 .backoff_ms = 5,
                                 .max_backoff_ms = 20,
                                 .hold_interval_ms = 20};
    code = fm_rest_new(&rest, &opts, &err);
    if (code == FM_OK)
        code = fm_rest_start(rest, &err);
    assert(code == FM_OK);
    pthread_t threads[APPENDERS + 1];
    for (unsigned i = 0; i <= APPENDERS; i++) {
        code = fm_thread_start(&threads[i], "fm-stress", i < APPENDERS ? append : look, NULL, &err);
        assert(code == FM_OK);
    }
    for (unsigned i = 0; i <= APPENDERS; i++)
        (void)pthread_join(threads[i], NULL);
    code = fm_rest_drain(rest, 20000, &err);
    if (code != FM_OK)
        (void)fprintf(stderr, "%s\n", err.text);
    assert(code == FM_OK);
    bool freed = fm_rest_free(rest);
    assert(freed);
    fm_spool_stop(spool);
    fm_spool_free(spool, 0);
    fm_sandbox_stop(sandbox);
    return 0;
}
