/* Chunks that lie packed on the disk. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spool_kit.h"

enum { KIB = 1024, MIB = 1024 * KIB };

static int open_in(const struct kit *kit, const char *name)
{
    char path[160];
    (void)snprintf(path, sizeof path, "%s/%s", kit->dir, name);
    int fd = open(path, O_RDWR);
    cr_assert_geq(fd, 0, "%s", path);
    return fd;
}

static int value_of(unsigned i, char value[400])
{
    return snprintf(value, 400,
                    "{r%u}{\"mbean\":\"java.lang:type=MemoryPool,name=G1 Old Gen\","
                    "\"attributes\":{\"Usage.committed\":%u,\"Usage.used\":%u,"
                    "\"CollectionUsage.used\":%u}}",
                    i, i * 2654435761u, i * 40503u, i * 2246822519u);
}

/* Records as polls make them. @return bytes they take unpacked */
static size_t store_alike(struct kit *kit, unsigned from, unsigned n)
{
    struct fm_chunk *chunk = NULL;
    cr_assert_eq(fm_chunk_new(&chunk, "t", NULL), FM_OK);
    for (unsigned i = from; i < from + n; i++) {
        char value[400];
        int len = value_of(i, value);
        struct fm_record rec = {.time_ms = i,
                                .partition = FM_NO_PARTITION,
                                .key = "web-1",
                                .key_len = 5,
                                .value = value,
                                .value_len = (size_t)len,
                                .id_at = 1};
        cr_assert_eq(fm_chunk_add(chunk, &rec, NULL, 0, NULL), FM_OK);
    }
    size_t bytes = fm_chunk_bytes(chunk);
    cr_assert_eq(fm_spool_store(kit->spool, &chunk, 10000, NULL, NULL, NULL, NULL), FM_OK);
    return bytes;
}

Test(packed, keeps_three_times_max_size_of_records_that_are_alike)
{
    struct kit kit;
    kit_init(&kit, false);
    kit.opts.max_size = 4 * MIB;
    kit_open(&kit);
    size_t stored = 0;
    for (unsigned i = 0; kit_stats(&kit).lost_total == 0; i += 200)
        stored += store_alike(&kit, i, 200);
    cr_assert_gt(stored, 12 * MIB, "%zu bytes", stored);
    cr_assert_leq(kit_stats(&kit).disk_bytes, 4 * MIB);
    kit_done(&kit);
}

/* Read from the disk, not from what is kept in memory of it. */
Test(packed, gives_all_records_back_after_a_restart)
{
    struct kit kit;
    kit_init(&kit, false);
    kit_open(&kit);
    (void)store_alike(&kit, 2, 100);
    kit_reopen(&kit);
    struct fm_spool_batch *batch = kit_read(&kit, "t", 1000);
    cr_assert_eq(batch->n, 101);
    for (size_t i = 1; i < batch->n; i++) {
        char want[32];
        (void)snprintf(want, sizeof want, "{r%zu}", i + 1);
        cr_assert_eq(batch->items[i].id.seq, i + 1);
        cr_assert_eq(memcmp(batch->items[i].rec.value, want, strlen(want)), 0);
    }
    kit_deliver(&kit, batch);
    cr_assert_eq(kit_stats(&kit).records, 0);
    kit_done(&kit);
}

/* Where the packed form of the only chunk begins in the database. */
static off_t packed_at(int fd)
{
    static char all[MIB];
    ssize_t n = pread(fd, all, sizeof all, 0);
    const char *at = n > 0 ? memmem(all, (size_t)n, "FMZ1", 4) : NULL;
    cr_assert_not_null(at);
    return at - all;
}

Test(packed, loses_what_lies_behind_a_hit_byte_and_says_how_much)
{
    struct kit kit;
    kit_init(&kit, false);
    kit_open(&kit);
    (void)store_alike(&kit, 2, 100);
    kit_close(&kit);
    int fd = open_in(&kit, "spool.db");
    cr_assert_eq(pwrite(fd, "\xff\xff\xff\xff", 4, packed_at(fd) + 400), 4);
    (void)close(fd);
    kit_open(&kit);
    (void)kit_drain(&kit, "t");
    struct fm_spool_stats stats = kit_stats(&kit);
    cr_assert_eq(stats.records, 0);
    cr_assert_gt(stats.lost_total, 0);
    cr_assert_lt(stats.lost_total, 100, "what lies before it was sent: %llu lost",
                 (unsigned long long)stats.lost_total);
    cr_assert_neq(stats.last_damage_ms, 0);
    kit_done(&kit);
}

/* Deliver all: what comes is what was stored, byte for byte; each other number lies in a gap of the
 * size that is lost. @return how many came before the first that is lost */
static unsigned expect_rest(struct kit *kit, unsigned last)
{
    static bool seen[200], declared[200];
    unsigned lost = 0, front = 0;
    memset(seen, 0, sizeof seen);
    memset(declared, 0, sizeof declared);
    struct fm_spool_batch *batch = kit_read(kit, "t", 1000);
    for (; batch->n > 0; batch = kit_read(kit, "t", 1000)) {
        for (size_t i = 0; i < batch->n; i++) {
            const struct fm_spool_item *item = &batch->items[i];
            char text[300], want[400];
            unsigned from, to, n, seq = (unsigned)item->id.seq;
            kit_text(&item->rec, text, sizeof text);
            if (sscanf(text, "G(%u-%u,%u,damage", &from, &to, &n) == 3) {
                cr_assert(from <= to && to <= last);
                cr_assert_eq(n, to - from + 1, "%s", text);
                for (lost += n; from <= to; from++)
                    declared[from] = true;
                continue;
            }
            if (seq < 2 || seq > last)
                continue; /* the records of starts */
            int len = value_of(seq, want);
            cr_assert_eq(item->rec.value_len, (size_t)len, "%u", seq);
            cr_assert_eq(memcmp(item->rec.value, want, (size_t)len), 0, "%u", seq);
            seen[seq] = true;
        }
        kit_deliver(kit, batch);
    }
    fm_spool_batch_free(kit->spool, batch);
    for (unsigned seq = 2; seq <= last; seq++)
        cr_assert(seen[seq] != declared[seq], "%u: %s", seq, seen[seq] ? "both" : "neither");
    while (front + 2 <= last && seen[front + 2])
        front++;
    cr_assert_eq(kit_stats(kit).lost_total, lost);
    kit_check_equation(kit);
    return front;
}

/* Wherever a byte flips: nothing wrong is sent, what is lost is declared to the last record, and
 * what lies in front of it comes. */
Test(packed, declares_exactly_what_a_flipped_byte_costs)
{
    enum { RECORDS = 100, STEP = 293 };
    unsigned front = 0, hits = 0, costly = 0;
    for (off_t at = 8;; at += STEP) {
        struct kit kit;
        struct stat info;
        kit_init(&kit, false);
        kit_open(&kit);
        (void)store_alike(&kit, 2, RECORDS);
        kit_close(&kit);
        int fd = open_in(&kit, "spool.db");
        unsigned char byte = 0;
        off_t place = packed_at(fd) + at;
        cr_assert_eq(fstat(fd, &info), 0);
        bool inside = place + 4096 < info.st_size && at < 3500;
        cr_assert_eq(pread(fd, &byte, 1, place), 1);
        byte ^= 0x10;
        cr_assert_eq(pwrite(fd, &byte, 1, place), 1);
        (void)close(fd);
        kit_open(&kit);
        unsigned whole = expect_rest(&kit, RECORDS + 1);
        cr_assert_geq(whole, front, "at %d: what lies before it was lost", (int)at);
        kit_done(&kit);
        if (!inside)
            break;
        hits++;
        costly += whole < RECORDS;
        front = whole > 0 ? whole / 2 : 0;
    }
    cr_assert(hits > 5 && costly > 2, "%u of %u", costly, hits);
}

enum { VERSION_AT = 63 /* user_version in the file's head, last byte */ };

static int version_of(const struct kit *kit)
{
    unsigned char v = 0;
    int fd = open_in(kit, "spool.db");
    cr_assert_eq(pread(fd, &v, 1, VERSION_AT), 1);
    (void)close(fd);
    return v;
}

/* As a version before packed chunks left it. */
static void make_older(const struct kit *kit)
{
    int fd = open_in(kit, "spool.db");
    cr_assert_eq(pwrite(fd, "\x01", 1, VERSION_AT), 1);
    (void)close(fd);
}

Test(packed, raises_the_format_of_an_older_database_with_the_first_record)
{
    struct kit kit;
    kit_init(&kit, false);
    kit_open(&kit);
    kit_store(&kit, "t", 1, 1);
    kit_close(&kit);
    cr_assert_eq(version_of(&kit), 2);
    make_older(&kit);
    kit_reopen(&kit);
    kit_close(&kit);
    cr_assert_eq(version_of(&kit), 1, "who only looks changes nothing");
    kit_open(&kit);
    (void)store_alike(&kit, 2, 100);
    kit_close(&kit);
    cr_assert_eq(version_of(&kit), 2);
    kit_open(&kit);
    cr_assert_eq(kit_stats(&kit).records, 103);
    kit_done(&kit);
}

/* Killed, it leaves the log to the next version; an older one looks at the file's head alone. */
Test(packed, says_its_format_in_the_file_before_the_log_holds_a_packed_chunk)
{
    struct kit kit;
    kit_init(&kit, false);
    kit_open(&kit);
    kit_store(&kit, "t", 1, 1);
    kit_close(&kit);
    make_older(&kit);
    kit_open(&kit);
    cr_assert_eq(version_of(&kit), 1);
    (void)store_alike(&kit, 2, 100);
    cr_assert_eq(version_of(&kit), 2);
    kit_done(&kit);
}

/* A dead letter of a spool without control records: no row is written. */
Test(packed, says_its_format_for_a_dead_letter_alone)
{
    struct kit kit;
    kit_init(&kit, false);
    kit.opts.control = NULL;
    kit_open(&kit);
    kit_store(&kit, "t", 1, 2);
    kit_close(&kit);
    make_older(&kit);
    kit_open(&kit);
    struct fm_spool_batch *batch = kit_read(&kit, "t", 1);
    struct fm_settlement dead = {
        .id = batch->items[0].id, .n = 1, .how = FM_SETTLE_DEAD, .reason = "refused"};
    cr_assert_eq(fm_spool_settle(kit.spool, &dead, 1, NULL), FM_OK);
    fm_spool_batch_free(kit.spool, batch);
    kit_flush(&kit);
    cr_assert_eq(kit_stats(&kit).dead_records, 1);
    kit_close(&kit);
    cr_assert_eq(version_of(&kit), 2);
    kit_done(&kit);
}

Test(packed, refuses_a_newer_format_that_only_the_log_says)
{
    struct kit kit;
    char path[160];
    sqlite3 *db = NULL;
    struct fm_err err = {0};
    kit_init(&kit, false);
    kit_open(&kit);
    kit_store(&kit, "t", 1, 1);
    kit_close(&kit);
    (void)snprintf(path, sizeof path, "%s/spool.db", kit.dir);
    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, "PRAGMA user_version=3", NULL, NULL, NULL), SQLITE_OK);
    cr_assert_eq(sqlite3_close(db), SQLITE_OK);
    cr_assert_eq(version_of(&kit), 2);
    cr_assert_eq(fm_spool_open(&kit.spool, &kit.opts, &err), FM_ENEWER, "%s", fm_err_text(&err));
    kit.spool = NULL;
    kit_done(&kit);
}
