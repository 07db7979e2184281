/* Each allocation of a short life fails once: an error is returned or the thing is tried again, the
 * numbers stay right, nothing that was acknowledged is lost, and nothing is leaked. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "spool_kit.h"

enum { CHUNKS = 4, PER_CHUNK = 3, RECORDS = CHUNKS * PER_CHUNK };

/* What was acknowledged. */
struct told {
    bool stored[RECORDS + 1], sent[RECORDS + 1];
};

static bool count_it(const struct fm_spool_entry *entry, void *arg)
{
    unsigned *n = arg;
    (void)entry;
    (*n)++;
    return true;
}

static void settle_some(struct kit *kit, struct told *told)
{
    struct fm_spool_batch *batch = NULL;
    struct fm_spool_want want = {.topic = "t", .max_records = 4};
    struct fm_settlement list[4];
    if (fm_spool_read(kit->spool, &want, &batch, 5000, NULL) != FM_OK)
        return;
    for (size_t i = 0; i < batch->n; i++) {
        char text[64];
        kit_text(&batch->items[i].rec, text, sizeof text);
        list[i] = (struct fm_settlement){.id = batch->items[i].id,
                                         .how = i == 1 && text[0] == 'r' ? FM_SETTLE_DEAD
                                                                         : FM_SETTLE_DELIVERED,
                                         .reason = "refused"};
        if (text[0] == 'r')
            told->sent[strtoul(text + 1, NULL, 10)] = true;
    }
    (void)!fm_spool_settle(kit->spool, list, batch->n, NULL);
    fm_spool_batch_free(kit->spool, batch);
}

static void live(struct kit *kit, struct fm_chunk **chunks, struct told *told)
{
    struct fm_err err = {0};
    unsigned seen = 0;
    uint64_t n;
    if (fm_spool_open(&kit->spool, &kit->opts, &err) != FM_OK) {
        cr_assert_gt(strlen(fm_err_text(&err)), 5);
        kit->spool = NULL;
        return;
    }
    for (unsigned i = 0; i < CHUNKS; i++) {
        if (fm_spool_store(kit->spool, &chunks[i], 5000, NULL, NULL, NULL, &err) == FM_OK)
            for (unsigned k = 0; k < PER_CHUNK; k++)
                told->stored[1 + i * PER_CHUNK + k] = true;
        if (i % 2 == 1)
            settle_some(kit, told);
    }
    (void)!fm_spool_declare(kit->spool, "t", 2, FM_GAP_TOO_LARGE, 5, NULL);
    (void)!fm_spool_walk(kit->spool, false, NULL, count_it, &seen, NULL);
    (void)!fm_spool_walk(kit->spool, true, NULL, count_it, &seen, NULL);
    (void)!fm_spool_dead_retry(kit->spool, NULL, NULL, &n, NULL);
    (void)!fm_spool_flush(kit->spool, 5000, NULL);
}

static bool note(const struct fm_spool_entry *entry, void *arg)
{
    unsigned *found = arg;
    char text[64];
    kit_text(&entry->rec, text, sizeof text);
    if (text[0] == 'r')
        found[strtoul(text + 1, NULL, 10)]++;
    return true;
}

static void check(struct kit *kit, const struct told *told, unsigned n)
{
    unsigned found[RECORDS + 2] = {0};
    kit_check_equation(kit);
    cr_assert_eq(fm_spool_walk(kit->spool, false, NULL, note, found, NULL), FM_OK);
    cr_assert_eq(fm_spool_walk(kit->spool, true, NULL, note, found, NULL), FM_OK);
    for (unsigned r = 1; r <= RECORDS; r++) {
        cr_assert(found[r] == 1 || !told->stored[r] || told->sent[r], "%u: record %u is lost", n,
                  r);
        cr_assert(found[r] <= 1, "%u: record %u is there twice", n, r);
    }
    cr_assert_eq(fm_spool_flush(kit->spool, 5000, NULL), FM_OK, "%u", n);
    struct fm_chunk *chunk = kit_chunk("t", 100, 1, 0);
    cr_assert_eq(fm_spool_store(kit->spool, &chunk, 5000, NULL, NULL, NULL, NULL), FM_OK, "%u", n);
    kit_check_equation(kit);
}

static void sweep(bool memory)
{
    bool failed = true;
    unsigned n = 1;
    for (; failed; n++) {
        struct kit kit;
        struct told told = {.stored = {false}};
        struct fm_chunk *chunks[CHUNKS];
        kit_init(&kit, memory);
        for (unsigned i = 0; i < CHUNKS; i++)
            chunks[i] = kit_chunk("t", 1 + i * PER_CHUNK, PER_CHUNK, 500);
        alloc_fail_at(n);
        live(&kit, chunks, &told);
        failed = alloc_failed();
        alloc_fail_at(0);
        for (unsigned i = 0; i < CHUNKS; i++)
            fm_chunk_free(chunks[i]);
        if (kit.spool != NULL)
            check(&kit, &told, n);
        if (!memory && kit.spool != NULL) {
            kit_reopen(&kit);
            kit_check_equation(&kit);
        }
        kit_done(&kit);
    }
    cr_assert_gt(n, 60, "the sweep had something to do: %u", n);
}

Test(memory, each_allocation_may_fail_once_on_disk)
{
    sweep(false);
}

Test(memory, each_allocation_may_fail_once_in_memory)
{
    sweep(true);
}
