/* Power cuts behind every change of the disk (fault catalogue S06, S10). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault_vfs.h"
#include "power.h"
#include "spool_kit.h"

enum { CHUNKS = 8, PER_CHUNK = 3, RECORDS = CHUNKS * PER_CHUNK };

/* What had been acknowledged after how many changes. */
struct ledger {
    size_t stored_at[RECORDS + 1], settled_at[RECORDS + 1], sent_at[RECORDS + 1];
    struct fm_spool_id ids[RECORDS + 1];
    bool failed; /* the change that was to fail came */
};

static unsigned number_of(const struct fm_record *rec)
{
    char text[200];
    kit_text(rec, text, sizeof text);
    return text[0] == 'r' ? (unsigned)strtoul(text + 1, NULL, 10) : 0;
}

static void settle_some(struct kit *kit, struct power *power, struct ledger *ledger)
{
    struct fm_spool_batch *batch = kit_read(kit, "t", 4);
    struct fm_settlement list[4];
    unsigned numbers[4] = {0};
    for (size_t i = 0; i < batch->n; i++) {
        numbers[i] = number_of(&batch->items[i].rec);
        ledger->sent_at[numbers[i]] = power_count(power);
        bool dies = numbers[i] > 0 && numbers[i] % 5 == 4;
        list[i] = (struct fm_settlement){.id = batch->items[i].id,
                                         .how = dies ? FM_SETTLE_DEAD : FM_SETTLE_DELIVERED};
    }
    size_t n = batch->n;
    cr_assert_eq(fm_spool_settle(kit->spool, list, n, NULL), FM_OK);
    fm_spool_batch_free(kit->spool, batch);
    kit_flush(kit);
    for (size_t i = 0; i < n; i++)
        ledger->settled_at[numbers[i]] = power_count(power);
}

/* Creation, two runs, stores, settlements, dead letters, a checkpoint at the end of each run. */
static void live(struct kit *kit, struct power *power, struct ledger *ledger, unsigned failing)
{
    memset(ledger, 0xff, sizeof *ledger); /* SIZE_MAX: never */
    for (unsigned i = 0; i < CHUNKS; i++) {
        if (i % (CHUNKS / 2) == 0) {
            ledger->failed = i > 0 && fault_fired();
            fault_plan(FAULT_NONE, 0, 0);
            kit_reopen(kit);
            power_folder_synced(power); /* by the spool, when it opens */
            fault_plan(i == 0 && failing > 0 ? FAULT_EIO : FAULT_NONE, failing, 1);
        }
        struct fm_chunk *chunk = kit_chunk("t", 1 + i * PER_CHUNK, PER_CHUNK, 1500);
        struct fm_spool_id id = {.seq = 0};
        cr_assert_eq(fm_spool_store(kit->spool, &chunk, 10000, id.stream, &id.seq, NULL, NULL),
                     FM_OK);
        for (unsigned k = 0; k < PER_CHUNK; k++, id.seq++) {
            ledger->stored_at[1 + i * PER_CHUNK + k] = power_count(power);
            ledger->ids[1 + i * PER_CHUNK + k] = id;
        }
        if (i % 2 == 1)
            settle_some(kit, power, ledger);
    }
    kit_close(kit);
}

static bool note_number(const struct fm_spool_entry *entry, void *arg)
{
    ((unsigned *)arg)[number_of(&entry->rec)]++;
    return true;
}

struct sum {
    bool failed;
    unsigned cuts, lost, back, again;
};

/* Open what the cut left, and compare it with what had been acknowledged by then. */
static void compare(struct kit *kit, const struct ledger *ledger, size_t at, struct sum *sum)
{
    unsigned found[RECORDS + 102] = {0};
    sum->cuts++;
    kit_open(kit);
    kit_check_equation(kit);
    cr_assert_eq(fm_spool_walk(kit->spool, false, NULL, note_number, found, NULL), FM_OK);
    struct fm_chunk *chunk = kit_chunk("t", RECORDS + 100, 1, 0);
    struct fm_spool_id fresh = {.seq = 0};
    cr_assert_eq(fm_spool_store(kit->spool, &chunk, 10000, fresh.stream, &fresh.seq, NULL, NULL),
                 FM_OK);
    for (unsigned r = 1; r <= RECORDS; r++) {
        cr_assert_leq(found[r], 1, "record %u is there twice", r);
        sum->lost += ledger->stored_at[r] <= at && ledger->sent_at[r] > at && found[r] == 0;
        sum->back += ledger->settled_at[r] <= at && found[r] != 0;
        sum->again += ledger->stored_at[r] <= at && fresh.seq <= ledger->ids[r].seq &&
                      strcmp(fresh.stream, ledger->ids[r].stream) == 0;
    }
    for (unsigned r = 1; r < RECORDS; r += PER_CHUNK)
        if (ledger->sent_at[r] > at && ledger->sent_at[r + 1] > at && ledger->sent_at[r + 2] > at)
            cr_assert(found[r] == found[r + 1] && found[r] == found[r + 2], "half a chunk");
    kit_close(kit);
}

/* Cuts behind every step-th change (FM_SWEEP=all: every one), in each of their kinds.
 * @param failing  the change of the first run that fails once; 0: none */
static struct sum sweep(bool full, size_t step, unsigned failing)
{
    static struct ledger ledger;
    struct sum sum = {0};
    struct kit kit;
    const char *all = getenv("FM_SWEEP");
    step = all != NULL && strcmp(all, "all") == 0 ? 1 : step;
    fault_install();
    kit_init(&kit, false);
    kit.opts.sync_full = full;
    kit.opts.boot_id = "before";
    struct power *power = power_record(kit.dir);
    live(&kit, power, &ledger, failing);
    sum.failed = ledger.failed;
    power_stop(power);
    size_t n = power_count(power);
    cr_assert_gt(n, 60, "too few changes: %zu", n);
    for (size_t at = 0; at <= n; at += step) {
        for (unsigned kind = 0; kind < POWER_KINDS; kind++) {
            struct sum before = sum;
            power_cut(power, at, (enum power_kind)kind, (unsigned)at);
            kit.opts.boot_id = "after";
            compare(&kit, &ledger, at, &sum);
            if (full)
                cr_assert(
                    sum.lost == before.lost && sum.back == before.back && sum.again == before.again,
                    "cut behind change %zu of %zu, kind %u: %u lost, %u came back, %u again", at, n,
                    kind, sum.lost - before.lost, sum.back - before.back, sum.again - before.again);
        }
    }
    power_free(power);
    kit_done(&kit);
    return sum;
}

Test(power, loses_nothing_acknowledged_at_any_cut)
{
    struct sum sum = sweep(true, 3, 0);
    cr_assert_gt(sum.cuts, 80);
    cr_assert_eq(sum.lost + sum.back + sum.again, 0);
}

/* S06: what was written before a sync that failed is not on the disk, whatever comes later. */
Test(power, loses_nothing_acknowledged_when_a_change_failed_before)
{
    const char *all = getenv("FM_SWEEP");
    unsigned step = all != NULL && strcmp(all, "all") == 0 ? 1 : 11;
    bool failed = true; /* how many changes the first run makes depends on how its commits fall */
    for (unsigned failing = 1; failed; failing += step) {
        struct sum sum = sweep(true, 13, failing);
        cr_assert_eq(sum.lost + sum.back + sum.again, 0);
        failed = sum.failed;
        cr_assert(failed || failing > 30, "only %u changes", failing);
    }
}

/* Without syncs it must lose something, else the test above shows nothing; but that is noticed, and
 * no number is given again. */
Test(power, gives_no_number_again_without_full_sync)
{
    struct sum sum = sweep(false, 3, 0);
    cr_assert_gt(sum.lost, 0);
    cr_assert_eq(sum.again, 0, "%u numbers were given again", sum.again);
}

static bool has_note(const struct kit *kit)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/unsynced", kit->dir);
    return access(path, F_OK) == 0;
}

/* A child that ends without closing: as kill -9 does. */
static void store_and_die(struct kit *kit, const char *boot)
{
    pid_t child = fork();
    if (child == 0) {
        kit->opts.boot_id = boot;
        kit_open(kit);
        kit_store(kit, "t", 1, 2);
        _exit(0);
    }
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

Test(power, ends_streams_only_after_another_boot)
{
    struct kit kit;
    kit_init(&kit, false);
    kit.opts.sync_full = false;
    store_and_die(&kit, "one");
    cr_assert(has_note(&kit));
    store_and_die(&kit, "one");
    kit.opts.boot_id = "one";
    kit_open(&kit);
    cr_assert_eq(kit_stats(&kit).n_streams, 1, "a kill takes nothing back");
    kit_close(&kit);
    cr_assert_not(has_note(&kit), "a clean end leaves nothing open");
    store_and_die(&kit, "two");
    kit.opts.boot_id = "three";
    kit_open(&kit);
    cr_assert(has_note(&kit));
    cr_assert_eq(kit_stats(&kit).n_streams, 2);
    kit_store(&kit, "t", 9, 1);
    struct fm_spool_batch *batch = kit_read(&kit, "t", 100);
    char text[300];
    kit_text(&batch->items[batch->n - 2].rec, text, sizeof text);
    cr_expect_eq(strncmp(text, "G(-1--1,-1,damage,", 18), 0, "%s", text);
    kit_deliver(&kit, batch);
    struct fm_spool_opts opts = kit.opts;
    opts.sync_full = true;
    cr_assert_eq(fm_spool_reconfigure(kit.spool, &opts, NULL), FM_OK);
    kit_close(&kit);
    cr_assert_not(has_note(&kit));
    kit.opts.boot_id = "four";
    kit.opts.sync_full = true;
    kit_open(&kit);
    cr_assert_not(has_note(&kit));
    cr_assert_eq(kit_stats(&kit).n_streams, 2);
    opts.sync_full = false;
    cr_assert_eq(fm_spool_reconfigure(kit.spool, &opts, NULL), FM_OK);
    cr_assert(has_note(&kit), "before the first commit that is not synced");
    kit_done(&kit);
}

/* Whether a power cut now would end streams. */
static void check_settled(struct kit *kit, const char *boot)
{
    kit->opts.boot_id = boot;
    kit_open(kit);
    cr_expect_eq(kit_stats(kit).n_streams, 1, "%s", boot);
    kit_close(kit);
}

Test(power, a_change_to_full_sync_settles_what_was_not_synced)
{
    struct kit kit;
    kit_init(&kit, false);
    kit.opts.sync_full = false;
    store_and_die(&kit, "one");
    cr_assert(has_note(&kit));
    kit.opts.sync_full = true;
    store_and_die(&kit, "one");
    cr_assert_not(has_note(&kit), "a restart with full sync");
    check_settled(&kit, "two");
    kit.opts.sync_full = false;
    kit_open(&kit);
    kit_store(&kit, "t", 5, 2);
    cr_assert(has_note(&kit));
    struct fm_spool_opts opts = kit.opts;
    opts.sync_full = true;
    cr_assert_eq(fm_spool_reconfigure(kit.spool, &opts, NULL), FM_OK);
    cr_assert_not(has_note(&kit), "a reload");
    kit_store(&kit, "t", 7, 2);
    cr_assert_not(has_note(&kit));
    kit_close(&kit);
    check_settled(&kit, "three");
    kit_done(&kit);
}
