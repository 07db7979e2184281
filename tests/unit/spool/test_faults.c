/* Kill, full disk and failing disk at every changing call (fault catalogue S01, S03, S05, S09). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "fault_vfs.h"
#include "spool_kit.h"

enum { CHUNKS = 6, PER_CHUNK = 3, RECORDS = CHUNKS * PER_CHUNK };

/* What the child was told, in memory that survives it. */
struct ledger {
    unsigned stored; /* records acknowledged as durable */
    unsigned offered; /* records handed over */
    bool sent[RECORDS + 1]; /* a settlement was handed over */
    bool settled[RECORDS + 1]; /* ... and acknowledged */
};

static bool settle_batch(struct kit *kit, struct ledger *ledger)
{
    struct fm_spool_batch *batch = NULL;
    struct fm_spool_want want = {.topic = "t", .max_records = 4};
    if (fm_spool_read(kit->spool, &want, &batch, 3000, NULL) != FM_OK)
        return false;
    struct fm_settlement list[4];
    unsigned numbers[4] = {0};
    for (size_t i = 0; i < batch->n; i++) {
        char text[200];
        kit_text(&batch->items[i].rec, text, sizeof text);
        numbers[i] = text[0] == 'r' ? (unsigned)strtoul(text + 1, NULL, 10) : 0;
        ledger->sent[numbers[i]] = true;
        list[i] = (struct fm_settlement){.id = batch->items[i].id,
                                         .how = numbers[i] % 5 == 4 ? FM_SETTLE_DEAD
                                                                    : FM_SETTLE_DELIVERED};
    }
    bool good = fm_spool_settle(kit->spool, list, batch->n, NULL) == FM_OK;
    size_t n = batch->n;
    fm_spool_batch_free(kit->spool, batch);
    good = good && fm_spool_flush(kit->spool, 3000, NULL) == FM_OK;
    for (size_t i = 0; good && i < n; i++)
        ledger->settled[numbers[i]] = true;
    return good;
}

/* A short life: store, settle some, close. */
static void live(struct kit *kit, struct ledger *ledger)
{
    struct fm_err err;
    if (fm_spool_open(&kit->spool, &kit->opts, &err) != FM_OK)
        return;
    for (unsigned i = 0; i < CHUNKS; i++) {
        struct fm_chunk *chunk = kit_chunk("t", 1 + i * PER_CHUNK, PER_CHUNK, 1500);
        ledger->offered += PER_CHUNK;
        enum fm_code code = fm_spool_store(kit->spool, &chunk, 3000, NULL, NULL, NULL, NULL);
        fm_chunk_free(chunk);
        if (code != FM_OK)
            break;
        ledger->stored += PER_CHUNK;
        if (i % 2 == 1 && !settle_batch(kit, ledger))
            break;
    }
    fm_spool_free(kit->spool, 5000);
    kit->spool = NULL;
}

static bool note_number(const struct fm_spool_entry *entry, void *arg)
{
    unsigned *found = arg;
    char text[200];
    kit_text(&entry->rec, text, sizeof text);
    if (text[0] == 'r')
        found[strtoul(text + 1, NULL, 10)]++;
    return true;
}

/* Open what the child left and compare it with what it was told. */
static void compare(struct kit *kit, const struct ledger *ledger, const char *what, unsigned n)
{
    unsigned found[RECORDS + 2] = {0};
    kit_open(kit);
    kit_check_equation(kit);
    cr_assert_eq(fm_spool_walk(kit->spool, false, NULL, note_number, found, NULL), FM_OK);
    for (unsigned r = 1; r <= ledger->stored; r++)
        cr_assert(found[r] == 1 || ledger->sent[r], "%s %u: record %u is lost", what, n, r);
    for (unsigned r = 1; r <= RECORDS; r++) {
        cr_assert(found[r] <= 1, "%s %u: record %u is there twice", what, n, r);
        cr_assert(found[r] == 0 || !ledger->settled[r], "%s %u: record %u came back", what, n, r);
        cr_assert(found[r] == 0 || r <= ledger->offered);
    }
    for (unsigned r = ledger->stored + 1; r + 2 <= ledger->offered; r += PER_CHUNK)
        cr_assert(found[r] == found[r + 1] && found[r] == found[r + 2],
                  "%s %u: half a chunk is there", what, n);
    kit_store(kit, "t", 100, 1);
    kit_check_equation(kit);
    (void)kit_drain(kit, "t");
    cr_assert_eq(kit_stats(kit).records, 0);
    kit_close(kit);
}

/* Run the life in a child that dies at changing call n. @return false: it lived */
static bool die_at(struct kit *kit, enum fault_kind kind, unsigned n, struct ledger *ledger)
{
    pid_t child = fork();
    if (child == 0) {
        fault_plan(kind, n, 1);
        live(kit, ledger);
        _exit(0);
    }
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 9),
              "the child crashed");
    return WEXITSTATUS(status) == 9;
}

static struct ledger *shared_ledger(void)
{
    struct ledger *ledger =
        mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(ledger, MAP_FAILED);
    return ledger;
}

/* Every call with FM_SWEEP=all; else each step-th, so that a commit does not wait for it. */
static unsigned step_of(unsigned step)
{
    const char *all = getenv("FM_SWEEP");
    return all != NULL && strcmp(all, "all") == 0 ? 1 : step;
}

static void sweep_kills(enum fault_kind kind, const char *what, unsigned step)
{
    struct ledger *ledger = shared_ledger();
    fault_install();
    for (unsigned n = 1;; n += step_of(step)) {
        struct kit kit;
        kit_init(&kit, false);
        *ledger = (struct ledger){.stored = 0};
        bool died = die_at(&kit, kind, n, ledger);
        if (!died)
            cr_assert_gt(n, 50, "the sweep had something to do");
        compare(&kit, ledger, what, n);
        kit_done(&kit);
        if (!died)
            return;
    }
}

Test(faults, loses_nothing_when_killed_before_any_changing_call)
{
    sweep_kills(FAULT_EXIT_BEFORE, "before", 3);
}

Test(faults, loses_nothing_when_killed_after_any_changing_call)
{
    sweep_kills(FAULT_EXIT_AFTER, "after", 5);
}

Test(faults, loses_nothing_when_killed_in_the_middle_of_a_write)
{
    sweep_kills(FAULT_EXIT_HALF, "half-way", 5);
}

/* The same life with calls that fail; it goes on in the same process. */
static void sweep_failures(enum fault_kind kind, unsigned times, unsigned step, const char *what)
{
    struct ledger *ledger = shared_ledger();
    fault_install();
    bool fired = true;
    unsigned n = 1;
    for (; fired; n += step_of(step)) {
        struct kit kit;
        kit_init(&kit, false);
        *ledger = (struct ledger){.stored = 0};
        fault_plan(kind, n, times);
        live(&kit, ledger);
        fired = fault_calls() >= n;
        fault_plan(FAULT_NONE, 0, 0);
        compare(&kit, ledger, what, n);
        kit_done(&kit);
    }
    cr_assert_gt(n, 50, "the sweep had something to do");
}

Test(faults, stays_right_when_the_disk_is_full_once)
{
    sweep_failures(FAULT_FULL, 1, 7, "full");
}

Test(faults, stays_right_when_the_disk_is_full_for_a_while)
{
    sweep_failures(FAULT_FULL, 12, 43, "full 12");
}

Test(faults, stays_right_when_a_write_or_a_sync_fails_once)
{
    sweep_failures(FAULT_EIO, 1, 7, "EIO");
}

Test(faults, stays_right_when_writes_and_syncs_fail_for_a_while)
{
    sweep_failures(FAULT_EIO, 8, 43, "EIO 8");
}

Test(faults, reports_nothing_durable_on_a_full_disk_and_recovers_by_itself)
{
    struct kit kit;
    struct stat info;
    char reserve[100];
    kit_init(&kit, false);
    fault_install();
    kit.opts.reserve = 65536;
    kit_open(&kit);
    (void)snprintf(reserve, sizeof reserve, "%s/reserve", kit.dir);
    cr_assert_eq(stat(reserve, &info), 0);
    kit_store(&kit, "t", 1, 3);
    fault_plan(FAULT_FULL, 1, 1000000);
    struct fm_chunk *chunk = kit_chunk("t", 4, 3, 0);
    cr_assert_neq(fm_spool_store(kit.spool, &chunk, 300, NULL, NULL, NULL, NULL), FM_OK);
    fm_chunk_free(chunk);
    struct fm_spool_stats stats = kit_stats(&kit);
    int64_t until = fm_clock_ms() + 10000; /* the spool's thread may not have tried yet */
    for (; (stats.commit_failures == 0 || stat(reserve, &info) == 0) && fm_clock_ms() < until;
         stats = kit_stats(&kit))
        (void)usleep(2000);
    cr_assert(fault_fired());
    cr_assert_eq(stats.records, 4);
    cr_assert_gt(stats.commit_failures, 0);
    cr_assert_gt(strlen(stats.error), 10);
    cr_assert_neq(stat(reserve, &info), 0, "the reserve was given up");
    fault_plan(FAULT_NONE, 0, 0);
    kit_store(&kit, "t", 7, 1);
    cr_assert_eq(strlen(kit_stats(&kit).error), 0);
    until = fm_clock_ms() + 10000;
    while (stat(reserve, &info) != 0 && fm_clock_ms() < until)
        (void)usleep(20000);
    cr_assert_eq(stat(reserve, &info), 0, "the reserve was rebuilt");
    cr_assert_eq(strncmp(kit_drain(&kit, "t"), "1:S 2:r1 3:r2 4:r3 5:r", 22), 0);
    kit_done(&kit);
}

static void append(struct kit *kit, const char *topic, unsigned from, unsigned n)
{
    struct fm_chunk *chunk = kit_chunk(topic, from, n, 0);
    cr_assert_eq(fm_spool_append(kit->spool, &chunk, NULL), FM_OK);
}

static uint64_t lost_in(struct kit *kit, const char *topic)
{
    struct fm_spool_stats stats = kit_stats(kit);
    uint64_t lost = 0;
    for (size_t i = 0; i < stats.n_streams; i++)
        lost += strcmp(stats.streams[i].topic, topic) == 0 ? stats.streams[i].lost : 0;
    return lost;
}

/* Stopped without room, twice: the numbers of what was queued are declared, once. */
Test(faults, declares_at_the_next_start_what_a_stop_on_a_full_disk_could_not_store)
{
    struct kit kit;
    kit_init(&kit, false);
    fault_install();
    kit_open(&kit);
    kit_store(&kit, "t", 1, 2);
    fault_plan(FAULT_FULL, 1, 1000000);
    append(&kit, "t", 3, 4);
    append(&kit, "new", 1, 5);
    cr_assert_eq(fm_spool_declare(kit.spool, "t", 3, FM_GAP_TOO_LARGE, 1000, NULL), FM_OK);
    struct fm_chunk *waited = kit_chunk("t", 50, 1, 0);
    cr_assert_neq(fm_spool_store(kit.spool, &waited, 200, NULL, NULL, NULL, NULL), FM_OK);
    fm_chunk_free(waited);
    kit_close(&kit);
    kit_open(&kit);
    append(&kit, "t", 7, 1);
    kit_close(&kit);
    fault_plan(FAULT_NONE, 0, 0);
    kit_open(&kit);
    kit_flush(&kit);
    cr_expect_eq(lost_in(&kit, "t"), 4 + 3 + 1);
    cr_expect_eq(lost_in(&kit, "new"), 5);
    kit_store(&kit, "t", 8, 1);
    const char *sent = kit_drain(&kit, "t");
    cr_expect_not_null(strstr(sent, "G(5-12,8,full)"), "%s", sent);
    cr_expect_not_null(strstr(kit_drain(&kit, "new"), ",5,full)"));
    kit_reopen(&kit);
    kit_flush(&kit);
    cr_expect_eq(lost_in(&kit, "t"), 8, "once");
    cr_expect_eq(lost_in(&kit, "new"), 5);
    kit_done(&kit);
}

/* The gap has the times of what was lost, not that of the stop; and the end is told. */
Test(faults, tells_how_it_ended_and_keeps_the_times_of_what_it_lost)
{
    struct kit kit;
    struct fm_spool_end end;
    kit_init(&kit, false);
    kit.opts.control_arg = &kit;
    fault_install();
    kit_open(&kit);
    kit_store(&kit, "t", 1, 2);
    fault_plan(FAULT_FULL, 1, 1000000);
    append(&kit, "t", 30, 4); /* polled at 1030 */
    append(&kit, "t", 34, 4);
    cr_assert_eq(fm_spool_declare(kit.spool, "t", 3, FM_GAP_TOO_LARGE, 1500, NULL), FM_OK);
    fm_spool_close(kit.spool, 10000, &end);
    kit.spool = NULL;
    cr_expect_eq(end.unstored, 11);
    cr_expect_eq(end.owed, 11);
    cr_expect_eq(end.pending, 3);
    cr_expect_not(end.memory || end.hung);
    cr_expect(strstr(end.error, kit.dir) != NULL, "%s", end.error);
    fault_plan(FAULT_NONE, 0, 0);
    kit_open(&kit);
    kit_flush(&kit);
    cr_expect_eq(lost_in(&kit, "t"), 11);
    cr_expect_eq(kit.gap_first_ms, 1030);
    cr_expect_eq(kit.gap_last_ms, 1500);
    fm_spool_close(kit.spool, 10000, &end);
    kit.spool = NULL;
    cr_expect_eq(end.unstored, 0);
    cr_expect_eq(end.pending, 5, "two start records and the gap beside the two");
    kit_done(&kit);
}

static void write_owed(const struct kit *kit, const char *text)
{
    char path[96], block[4096] = "";
    (void)snprintf(path, sizeof path, "%s/owed", kit->dir);
    (void)snprintf(block, sizeof block, "%s", text);
    FILE *out = fopen(path, "w");
    cr_assert_not_null(out);
    cr_assert_eq(fwrite(block, 1, sizeof block, out), sizeof block);
    (void)fclose(out);
}

Test(faults, declares_what_the_last_stop_could_not_store_with_its_times)
{
    static const char text[] = "- 0 5 1000 2000 77\n"; /* a topic may be a number */
    char whole[100];
    struct kit kit;
    kit_init(&kit, false);
    kit.opts.control_arg = &kit;
    kit_open(&kit);
    kit_close(&kit);
    (void)snprintf(whole, sizeof whole, "%ssum %08x\n", text,
                   (unsigned)fm_crc32c(0, text, sizeof text - 1));
    write_owed(&kit, whole);
    kit_open(&kit);
    kit_flush(&kit);
    cr_expect_eq(lost_in(&kit, "77"), 5);
    cr_expect(kit.gap_first_ms == 1000 && kit.gap_last_ms == 2000);
    kit_done(&kit);
}

Test(faults, believes_no_damaged_word_about_what_a_stop_could_not_store)
{
    static const char *const texts[] = {"- 0 5 1000 2000 t\nsum 00000000\n", "sum ",
                                        "sum 00000000\n", "- 0 5 1000 2000 t\n", "\xff\xff"};
    struct kit kit;
    kit_init(&kit, false);
    kit_open(&kit);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        kit_close(&kit);
        write_owed(&kit, texts[i]);
        kit_open(&kit);
        kit_flush(&kit);
        cr_expect_eq(lost_in(&kit, "t"), 0, "%zu", i);
    }
    kit_done(&kit);
}

Test(faults, bounds_its_queue_while_the_disk_fails)
{
    struct kit kit;
    kit_init(&kit, false);
    fault_install();
    kit.opts.queue_max = 100000;
    kit_open(&kit);
    fault_plan(FAULT_FULL, 1, 1000000);
    unsigned taken = 0;
    enum fm_code code = FM_OK;
    while (code == FM_OK && taken < 1000) {
        struct fm_chunk *chunk = kit_chunk("t", taken, 1, 1000);
        code = fm_spool_append(kit.spool, &chunk, NULL);
        fm_chunk_free(chunk);
        taken += code == FM_OK;
    }
    cr_assert_eq(code, FM_EFULL);
    cr_assert_leq(taken, 100);
    cr_assert_not(fm_spool_ready(kit.spool));
    cr_assert_neq(kit_stats(&kit).last_drop_ms, 0);
    fault_plan(FAULT_NONE, 0, 0);
    kit_flush(&kit);
    cr_assert_eq(kit_stats(&kit).records, taken + 1, "what was taken is there in the end");
    kit_done(&kit);
}

Test(faults, uses_one_connection)
{
    struct kit kit;
    kit_init(&kit, false);
    fault_install();
    unsigned before = fault_opens();
    kit_open(&kit);
    kit_store(&kit, "t", 1, 3);
    (void)kit_drain(&kit, "t");
    cr_assert_eq(fault_opens() - before, 1);
    kit_done(&kit);
}

Test(faults, survives_failing_reads)
{
    struct kit kit;
    kit_init(&kit, false);
    fault_install();
    kit_open(&kit);
    for (unsigned i = 0; i < 20; i++)
        kit_store(&kit, "t", 2 + i * 10, 10);
    kit_close(&kit);
    for (unsigned n = 1; n < 40; n += 3) {
        fault_plan_read(n, 1);
        struct fm_err err;
        enum fm_code code = fm_spool_open(&kit.spool, &kit.opts, &err);
        if (code == FM_OK) {
            struct fm_spool_batch *batch = NULL;
            struct fm_spool_want want = {.topic = "t", .max_records = 100};
            if (fm_spool_read(kit.spool, &want, &batch, 3000, NULL) == FM_OK)
                fm_spool_batch_free(kit.spool, batch);
            kit_check_equation(&kit);
            fm_spool_free(kit.spool, 5000);
            kit.spool = NULL;
        }
    }
    fault_plan_read(0, 0);
    kit_open(&kit);
    cr_assert_eq(kit_stats(&kit).streams[0].pending, 201);
    cr_assert_eq(kit_stats(&kit).streams[0].lost, 0);
    kit_done(&kit);
}
