/* Several producers, a sender that reads and settles, and an onlooker, for TSan. Ends with the
 * equation: assigned = delivered + lost + dead when all is drained. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "spool/spool.h"

enum { PRODUCERS = 4, CHUNKS = 150, RECORDS = 10 };

struct stress {
    struct fm_spool *spool;
    _Atomic int producing;
    _Atomic unsigned wakes;
};

static struct fm_chunk *make_chunk(void)
{
    struct fm_chunk *chunk = NULL;
    if (fm_chunk_new(&chunk, "t", NULL) != FM_OK)
        abort();
    for (int i = 0; i < RECORDS; i++) {
        struct fm_record rec = {
            .time_ms = 1, .partition = -1, .value = "{}", .value_len = 2, .id_at = 1};
        if (fm_chunk_add(chunk, &rec, NULL, 0, NULL) != FM_OK)
            abort();
    }
    return chunk;
}

static void *produce(void *arg)
{
    struct stress *st = arg;
    for (int i = 0; i < CHUNKS; i++) {
        struct fm_chunk *chunk = make_chunk();
        enum fm_code code = i % 10 == 0
                                ? fm_spool_store(st->spool, &chunk, 10000, NULL, NULL, NULL, NULL)
                                : fm_spool_append(st->spool, &chunk, NULL);
        if (code != FM_OK)
            fm_chunk_free(chunk);
        if (i % 40 == 0 && fm_spool_declare(st->spool, "t", 1, FM_GAP_TOO_LARGE, 1, NULL) != FM_OK)
            abort();
        (void)fm_spool_ready(st->spool);
    }
    st->producing--;
    return NULL;
}

static void *look(void *arg)
{
    struct stress *st = arg;
    struct fm_spool_stats *stats = malloc(sizeof *stats);
    while (stats != NULL && st->producing > 0) {
        fm_spool_stats_get(st->spool, stats);
        for (size_t i = 0; i < stats->n_streams; i++) {
            const struct fm_spool_stream *s = &stats->streams[i];
            if (s->assigned != s->delivered + s->pending + s->lost + s->dead)
                abort();
        }
        (void)usleep(1000);
    }
    free(stats);
    return NULL;
}

static void wake(void *arg)
{
    ((struct stress *)arg)->wakes++;
}

static size_t send_once(struct stress *st)
{
    struct fm_settlement list[64];
    struct fm_spool_want want = {.topic = "t", .max_records = 64};
    struct fm_spool_batch *batch = NULL;
    if (fm_spool_read(st->spool, &want, &batch, 10000, NULL) != FM_OK)
        abort();
    size_t n = batch->n;
    for (size_t i = 0; i < n; i++)
        list[i] = (struct fm_settlement){
            .id = batch->items[i].id,
            .how = batch->items[i].id.seq % 97 == 5 ? FM_SETTLE_DEAD : FM_SETTLE_DELIVERED,
            .reason = "422"};
    if (fm_spool_settle(st->spool, list, n, NULL) != FM_OK)
        abort();
    fm_spool_batch_free(st->spool, batch);
    return n;
}

static int run(const char *path, const char *name)
{
    struct stress st = {.producing = PRODUCERS};
    struct fm_spool_opts opts = {.path = path,
                                 .agent = "a",
                                 .max_size = 4000000,
                                 .commit_ms = 5,
                                 .on_commit = wake,
                                 .on_commit_arg = &st};
    struct fm_err err = {0};
    if (fm_spool_open(&st.spool, &opts, &err) != FM_OK) {
        (void)fprintf(stderr, "stress_spool: %s\n", fm_err_text(&err));
        return 1;
    }
    pthread_t threads[PRODUCERS + 1];
    for (int i = 0; i < PRODUCERS; i++)
        if (fm_thread_start(&threads[i], "producer", produce, &st, NULL) != FM_OK)
            abort();
    if (fm_thread_start(&threads[PRODUCERS], "onlooker", look, &st, NULL) != FM_OK)
        abort();
    size_t sent = 0, n;
    do {
        n = send_once(&st);
        sent += n;
        if (n == 0 && st.producing > 0)
            (void)usleep(500);
    } while (n > 0 || st.producing > 0);
    for (int i = 0; i <= PRODUCERS; i++)
        (void)pthread_join(threads[i], NULL);
    if (fm_spool_flush(st.spool, 10000, NULL) != FM_OK)
        abort();
    while (send_once(&st) > 0)
        continue;
    if (fm_spool_flush(st.spool, 10000, NULL) != FM_OK)
        abort();
    struct fm_spool_stats stats;
    fm_spool_stats_get(st.spool, &stats);
    const struct fm_spool_stream *s = &stats.streams[0];
    bool good = s->pending == 0 && s->assigned == s->delivered + s->lost + s->dead &&
                s->assigned >= (uint64_t)sent && st.wakes > 0;
    (void)printf("stress_spool %s: assigned %llu delivered %llu lost %llu dead %llu%s\n", name,
                 (unsigned long long)s->assigned, (unsigned long long)s->delivered,
                 (unsigned long long)s->lost, (unsigned long long)s->dead, good ? "" : " WRONG");
    fm_spool_stop(st.spool);
    fm_spool_free(st.spool, 10000);
    return good ? 0 : 1;
}

int main(void)
{
    char base[] = "/tmp/fm-stress-XXXXXX", path[64];
    if (mkdtemp(base) == NULL)
        return 1;
    (void)snprintf(path, sizeof path, "%s/spool", base);
    int bad = run(NULL, "memory") + run(path, "disk");
    static const char *const files[] = {"spool.db", "spool.db-wal", "spool.db-shm", "identity",
                                        "lock"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char file[96];
        (void)snprintf(file, sizeof file, "%s/%s", path, files[i]);
        (void)unlink(file);
    }
    (void)rmdir(path);
    (void)rmdir(base);
    return bad == 0 ? 0 : 1;
}
