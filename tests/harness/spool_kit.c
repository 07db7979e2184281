#include "spool_kit.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct fm_chunk *one_record(const char *topic, enum fm_record_kind kind, const char *value,
                                   size_t len)
{
    struct fm_chunk *chunk = NULL;
    struct fm_record rec = {.kind = kind,
                            .time_ms = 1000,
                            .partition = FM_NO_PARTITION,
                            .key = "k",
                            .key_len = 1,
                            .value = value,
                            .value_len = len,
                            .id_at = 1};
    if (fm_chunk_new(&chunk, topic, NULL) != FM_OK)
        return NULL;
    if (fm_chunk_add(chunk, &rec, NULL, 0, NULL) != FM_OK) {
        fm_chunk_free(chunk);
        return NULL;
    }
    return chunk;
}

enum fm_code kit_control(void *arg, const struct fm_spool_control *what, struct fm_chunk **out,
                         struct fm_err *err)
{
    char text[300];
    if (what->type == FM_CONTROL_START) {
        (void)snprintf(text, sizeof text, "{S%s%s%s}", what->has_prev ? "<" : "",
                       what->has_prev ? what->prev_stream : "",
                       what->has_prev && what->prev_last_seq == -1 ? "?" : "");
        if (what->has_prev && what->prev_last_seq != -1)
            (void)snprintf(text, sizeof text, "{S<%s:%lld}", what->prev_stream,
                           (long long)what->prev_last_seq);
    } else {
        struct kit *kit = arg;
        if (kit != NULL) {
            kit->gap_first_ms = what->first_ms;
            kit->gap_last_ms = what->last_ms;
        }
        (void)snprintf(text, sizeof text, "{G(%lld-%lld,%lld,%s%s%s)}", (long long)what->from_seq,
                       (long long)what->to_seq, (long long)what->count,
                       fm_gap_reason_name(what->reason), what->lost_stream != NULL ? "," : "",
                       what->lost_stream != NULL ? what->lost_stream : "");
    }
    *out = one_record(what->topic, FM_RECORD_CONTROL, text, strlen(text));
    return *out != NULL ? FM_OK : fm_err_nomem(err);
}

void kit_init(struct kit *kit, bool memory)
{
    /* In memory where that can be had: these tests are not about the speed of a disk. */
    *kit = (struct kit){.base = "/dev/shm/fm-spool-XXXXXX"};
    if (mkdtemp(kit->base) == NULL) {
        memcpy(kit->base, "/tmp/fm-spool-XXXXXX", sizeof "/tmp/fm-spool-XXXXXX");
        cr_assert_not_null(mkdtemp(kit->base));
    }
    (void)snprintf(kit->dir, sizeof kit->dir, "%s/spool", kit->base);
    kit->opts = (struct fm_spool_opts){.path = memory ? NULL : kit->dir,
                                       .agent = "agent",
                                       .machine_id = "machine",
                                       .on_full = FM_SPOOL_DROP_OLDEST,
                                       .control = kit_control};
}

void kit_open(struct kit *kit)
{
    struct fm_err err = {0};
    enum fm_code code = fm_spool_open(&kit->spool, &kit->opts, &err);
    cr_assert_eq(code, FM_OK, "open: %s", fm_err_text(&err));
}

void kit_close(struct kit *kit)
{
    if (kit->spool == NULL)
        return;
    kit_check_equation(kit);
    fm_spool_free(kit->spool, 10000);
    kit->spool = NULL;
}

void kit_reopen(struct kit *kit)
{
    kit_close(kit);
    kit_open(kit);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return remove(path);
}

void kit_done(struct kit *kit)
{
    kit_close(kit);
    (void)nftw(kit->base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Text that does not get smaller when it is packed. */
static void noise(char *to, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525 + 1013904223;
        to[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-"[seed >> 26];
    }
}

struct fm_chunk *kit_chunk(const char *topic, unsigned from, unsigned n, size_t size)
{
    struct fm_chunk *chunk = NULL;
    char *value = malloc(size + 32);
    cr_assert_not_null(value);
    cr_assert_eq(fm_chunk_new(&chunk, topic, NULL), FM_OK);
    for (unsigned i = 0; i < n; i++) {
        size_t len = (size_t)snprintf(value, 32, "{r%u}", from + i);
        if (len < size)
            noise(value + len, size - len, from + i);
        len = len < size ? size : len;
        struct fm_record rec = {.kind = FM_RECORD_DATA,
                                .time_ms = 1000 + from + i,
                                .partition = FM_NO_PARTITION,
                                .key = "key",
                                .key_len = 3,
                                .value = value,
                                .value_len = len,
                                .id_at = 1};
        cr_assert_eq(fm_chunk_add(chunk, &rec, NULL, 0, NULL), FM_OK);
    }
    free(value);
    return chunk;
}

void kit_store(struct kit *kit, const char *topic, unsigned from, unsigned n)
{
    struct fm_err err = {0};
    struct fm_chunk *chunk = kit_chunk(topic, from, n, 0);
    enum fm_code code = fm_spool_store(kit->spool, &chunk, 10000, NULL, NULL, NULL, &err);
    cr_assert_eq(code, FM_OK, "store: %s", fm_err_text(&err));
    cr_assert_null(chunk);
}

struct fm_spool_batch *kit_read(struct kit *kit, const char *topic, size_t max)
{
    struct fm_err err = {0};
    struct fm_spool_batch *batch = NULL;
    struct fm_spool_want want = {.topic = topic, .max_records = max};
    enum fm_code code = fm_spool_read(kit->spool, &want, &batch, 10000, &err);
    cr_assert_eq(code, FM_OK, "read: %s", fm_err_text(&err));
    return batch;
}

void kit_flush(struct kit *kit)
{
    struct fm_err err = {0};
    cr_assert_eq(fm_spool_flush(kit->spool, 10000, &err), FM_OK, "flush: %s", fm_err_text(&err));
}

void kit_deliver(struct kit *kit, struct fm_spool_batch *batch)
{
    struct fm_settlement *list = calloc(batch->n + 1, sizeof *list);
    cr_assert_not_null(list);
    for (size_t i = 0; i < batch->n; i++)
        list[i] = (struct fm_settlement){.id = batch->items[i].id, .how = FM_SETTLE_DELIVERED};
    cr_assert_eq(fm_spool_settle(kit->spool, list, batch->n, NULL), FM_OK);
    fm_spool_batch_free(kit->spool, batch);
    free(list);
    kit_flush(kit);
}

struct fm_spool_stats kit_stats(struct kit *kit)
{
    struct fm_spool_stats stats;
    fm_spool_stats_get(kit->spool, &stats);
    return stats;
}

void kit_check_equation(struct kit *kit)
{
    struct fm_spool_stats *stats = malloc(sizeof *stats);
    cr_assert_not_null(stats);
    fm_spool_stats_get(kit->spool, stats);
    uint64_t pending = 0;
    for (size_t i = 0; i < stats->n_streams; i++) {
        const struct fm_spool_stream *s = &stats->streams[i];
        cr_assert_eq(s->assigned, s->delivered + s->pending + s->lost + s->dead,
                     "%s: %llu != %llu + %llu + %llu + %llu", s->stream,
                     (unsigned long long)s->assigned, (unsigned long long)s->delivered,
                     (unsigned long long)s->pending, (unsigned long long)s->lost,
                     (unsigned long long)s->dead);
        pending += s->pending;
    }
    if (stats->n_streams < 64)
        cr_assert_eq(pending, stats->records);
    free(stats);
}

void kit_text(const struct fm_record *rec, char *out, size_t size)
{
    size_t len = 0;
    for (size_t i = 1; i < rec->value_len && rec->value[i] != '}' && len + 1 < size; i++)
        out[len++] = rec->value[i];
    out[len] = '\0';
}

const char *kit_drain(struct kit *kit, const char *topic)
{
    static char text[65536];
    size_t len = 0;
    text[0] = '\0';
    for (;;) {
        struct fm_spool_batch *batch = kit_read(kit, topic, 100);
        size_t n = batch->n;
        for (size_t i = 0; i < n && len + 400 < sizeof text; i++) {
            char one[300];
            kit_text(&batch->items[i].rec, one, sizeof one);
            len += (size_t)snprintf(text + len, sizeof text - len, "%s%llu:%s", len > 0 ? " " : "",
                                    (unsigned long long)batch->items[i].id.seq, one);
        }
        kit_deliver(kit, batch);
        if (n == 0)
            return text;
    }
}
