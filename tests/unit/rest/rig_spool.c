#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"

struct fm_spool *spool_new(void)
{
    struct fm_spool *s;
    struct fm_err err = {0};
    struct fm_spool_opts o = {
        .agent = "edge-7", .machine_id = "m", .on_full = FM_SPOOL_DROP_OLDEST};
    cr_assert_eq(fm_spool_open(&s, &o, &err), FM_OK, "%s", err.text);
    return s;
}

void spool_free(struct fm_spool *s)
{
    fm_spool_stop(s);
    fm_spool_free(s, 0);
}

void spool_add(struct fm_spool *s, const char *topic, size_t n, size_t bytes,
               enum fm_record_kind kind)
{
    struct fm_err err = {0};
    char *value = calloc(1, bytes + 40), *fill = calloc(1, bytes + 1);
    memset(fill, 'x', bytes > 20 ? bytes - 20 : 0);
    for (size_t i = 0; i < n;) {
        struct fm_chunk *chunk;
        cr_assert_eq(fm_chunk_new(&chunk, topic, &err), FM_OK);
        for (size_t k = 0; k < 100 && i < n; k++, i++) {
            snprintf(value, bytes + 40, "{\"n\":%zu,\"x\":\"%s\"}", i, fill);
            struct fm_record rec = {.kind = kind,
                                    .time_ms = 1,
                                    .partition = FM_NO_PARTITION,
                                    .key = "host-1",
                                    .key_len = 6,
                                    .value = value,
                                    .value_len = strlen(value),
                                    .id_at = 1};
            cr_assert_eq(fm_chunk_add(chunk, &rec, NULL, 0, &err), FM_OK);
        }
        cr_assert_eq(fm_spool_store(s, &chunk, 2000, NULL, NULL, NULL, &err), FM_OK, "%s",
                     err.text);
    }
    cr_assert_eq(fm_spool_flush(s, 2000, &err), FM_OK); /* fm_spool_topics() knows them now */
    free(value);
    free(fill);
}

struct look {
    uint64_t seq;
    bool found;
    char *reason;
};

static bool visit(const struct fm_spool_entry *entry, void *arg)
{
    struct look *look = arg;
    if (strcmp(entry->topic, "t") != 0 || entry->id.seq != look->seq)
        return true;
    look->found = true;
    if (entry->reason != NULL && look->reason != NULL)
        snprintf(look->reason, 600, "%s", entry->reason);
    return false;
}

static bool lies_in(struct fm_spool *s, bool dead, uint64_t seq, char *reason)
{
    struct look look = {.seq = seq, .reason = reason};
    struct fm_spool_select all = {0};
    cr_assert_eq(fm_spool_walk(s, dead, &all, visit, &look, NULL), FM_OK);
    return look.found;
}

enum fate spool_fate(struct fm_spool *s, uint64_t seq)
{
    cr_assert_eq(fm_spool_flush(s, 2000, NULL), FM_OK);
    return lies_in(s, true, seq, NULL)    ? FATE_DEAD
           : lies_in(s, false, seq, NULL) ? FATE_PENDING
                                          : FATE_DELIVERED;
}

void spool_reason(struct fm_spool *s, uint64_t seq, char reason[600])
{
    reason[0] = '\0';
    cr_assert_eq(fm_spool_flush(s, 2000, NULL), FM_OK);
    cr_assert(lies_in(s, true, seq, reason));
}

static void sums(struct fm_spool *s, size_t out[4])
{
    struct fm_spool_stats *stats = calloc(1, sizeof *stats);
    cr_assert_eq(fm_spool_flush(s, 2000, NULL), FM_OK);
    fm_spool_stats_get(s, stats);
    memset(out, 0, 4 * sizeof *out);
    for (size_t i = 0; i < stats->n_streams; i++) {
        out[FATE_PENDING] += stats->streams[i].pending;
        out[FATE_DELIVERED] += stats->streams[i].delivered;
        out[FATE_DEAD] += stats->streams[i].dead;
        out[3] += stats->streams[i].assigned;
    }
    free(stats);
}

size_t spool_count(struct fm_spool *s, enum fate fate)
{
    size_t n[4];
    sums(s, n);
    return n[fate];
}

size_t spool_assigned(struct fm_spool *s)
{
    size_t n[4];
    sums(s, n);
    return n[3];
}

struct fm_spool_item rig_item(uint64_t seq, const char *key, const char *value)
{
    struct fm_spool_item it = {.id = {.stream = "3f9c2a71d04be811", .seq = seq}};
    it.rec = (struct fm_record){.partition = FM_NO_PARTITION,
                                .key = key,
                                .key_len = key != NULL ? strlen(key) : 0,
                                .value = value,
                                .value_len = strlen(value),
                                .id_at = FM_NO_ID};
    return it;
}
