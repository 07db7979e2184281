/* The spool alone: records appended, read and settled, CPU and wall time; start with 1 M records.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "spool/spool.h"

enum { MILLION = 1000000, BATCH = 1000, PER_CHUNK = 200, VALUE = 300 };

static double cpu_s(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void must(enum fm_code code, const struct fm_err *err)
{
    if (code == FM_OK)
        return;
    (void)fprintf(stderr, "bench_spool: %s\n", fm_err_text(err));
    exit(1);
}

static void append(struct fm_spool *spool, const char *value)
{
    struct fm_err err = {0};
    struct fm_chunk *chunk = NULL;
    must(fm_chunk_new(&chunk, "t", &err), &err);
    for (int i = 0; i < PER_CHUNK; i++) {
        struct fm_record rec = {.time_ms = 1,
                                .partition = -1,
                                .key = "web-1",
                                .key_len = 5,
                                .value = value,
                                .value_len = VALUE,
                                .id_at = 1};
        must(fm_chunk_add(chunk, &rec, NULL, 0, &err), &err);
    }
    while (fm_spool_append(spool, &chunk, &err) == FM_EFULL)
        must(fm_spool_flush(spool, 60000, &err), &err);
}

static size_t send_batch(struct fm_spool *spool)
{
    static struct fm_settlement list[BATCH];
    struct fm_err err = {0};
    struct fm_spool_batch *batch = NULL;
    struct fm_spool_want want = {.topic = "t", .max_records = BATCH};
    must(fm_spool_read(spool, &want, &batch, 60000, &err), &err);
    size_t n = batch->n;
    for (size_t i = 0; i < n; i++)
        list[i] = (struct fm_settlement){.id = batch->items[i].id, .how = FM_SETTLE_DELIVERED};
    must(fm_spool_settle(spool, list, n, &err), &err);
    fm_spool_batch_free(spool, batch);
    return n;
}

static void stream_through(const char *path, bool full, const char *name, const char *value)
{
    struct fm_err err = {0};
    struct fm_spool *spool;
    struct fm_spool_opts opts = {.path = path, .agent = "a", .sync_full = full, .commit_ms = 200};
    must(fm_spool_open(&spool, &opts, &err), &err);
    double cpu = cpu_s();
    int64_t from = fm_clock_ns();
    size_t sent = 0;
    for (int i = 0; i < MILLION / BATCH; i++) {
        for (int k = 0; k < BATCH / PER_CHUNK; k++)
            append(spool, value);
        must(fm_spool_flush(spool, 60000, &err), &err);
        sent += send_batch(spool);
    }
    double wall = (double)(fm_clock_ns() - from) / 1e9;
    (void)printf("spool %-14s %zu records: %.2f CPU s, %.2f s, %.0f records/s\n", name, sent,
                 cpu_s() - cpu, wall, (double)sent / wall);
    fm_spool_free(spool, 10000);
}

static void start_full(const char *path, const char *value)
{
    struct fm_err err = {0};
    struct fm_spool *spool;
    struct fm_spool_opts opts = {.path = path, .agent = "a", .commit_ms = 200};
    must(fm_spool_open(&spool, &opts, &err), &err);
    for (int i = 0; i < MILLION / PER_CHUNK; i++)
        append(spool, value);
    must(fm_spool_flush(spool, 60000, &err), &err);
    fm_spool_free(spool, 60000);
    int64_t from = fm_clock_ns();
    must(fm_spool_open(&spool, &opts, &err), &err);
    size_t n = send_batch(spool);
    double ms = (double)(fm_clock_ns() - from) / 1e6;
    (void)printf("spool start with 1 M records to the first batch of %zu: %.1f ms\n", n, ms);
    fm_spool_free(spool, 60000);
}

static void clear(const char *path)
{
    static const char *const files[] = {"spool.db", "spool.db-wal", "spool.db-shm", "identity",
                                        "lock"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char file[96];
        (void)snprintf(file, sizeof file, "%s/%s", path, files[i]);
        (void)unlink(file);
    }
    (void)rmdir(path);
}

int main(void)
{
    char base[] = "/tmp/fm-bench-XXXXXX", path[64], value[VALUE];
    if (mkdtemp(base) == NULL)
        return 1;
    (void)snprintf(path, sizeof path, "%s/spool", base);
    memset(value, 'x', sizeof value);
    stream_through(NULL, false, "memory", value);
    stream_through(path, false, "disk, normal", value);
    clear(path);
    stream_through(path, true, "disk, full", value);
    clear(path);
    start_full(path, value);
    clear(path);
    (void)rmdir(base);
    return 0;
}
