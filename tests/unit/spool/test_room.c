/* max_size and the disk that others fill (fault catalogue S02, S03, S20, S22). */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "spool_kit.h"

enum { KIB = 1024, MIB = 1024 * KIB };

/* What the spool's folder takes on the disk. */
static uint64_t folder_takes(const char *dir)
{
    DIR *d = opendir(dir);
    uint64_t bytes = 0;
    cr_assert_not_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        struct stat info;
        if (e->d_name[0] != '.' && fstatat(dirfd(d), e->d_name, &info, 0) == 0)
            bytes += (uint64_t)info.st_size;
    }
    (void)closedir(d);
    return bytes;
}

static uint64_t file_takes(const struct kit *kit, const char *name)
{
    char path[160];
    struct stat info;
    (void)snprintf(path, sizeof path, "%s/%s", kit->dir, name);
    return stat(path, &info) == 0 ? (uint64_t)info.st_size : 0;
}

/* Pages of the database that are only in the log yet are told as if they were in its file, too. */
static bool tells_what_is_there(struct kit *kit, uint64_t *told, uint64_t *there)
{
    uint64_t log = file_takes(kit, "spool.db-wal");
    *there = folder_takes(kit->dir);
    *told = kit_stats(kit).disk_bytes;
    return *told <= *there + log && *told + 64 * KIB > *there;
}

/* ---- max_size ---- */

static void stay_below(uint64_t max_size, uint64_t reserve, size_t record, unsigned per_chunk)
{
    struct kit kit;
    kit_init(&kit, false);
    kit.opts.max_size = max_size;
    kit.opts.reserve = reserve;
    kit.opts.sync_full = true;
    kit_open(&kit);
    uint64_t most = 0, kept = 0, stored = 0;
    for (unsigned i = 0; stored < 2 * max_size; i++) {
        struct fm_err err = {0};
        struct fm_chunk *chunk = kit_chunk("t", i * per_chunk, per_chunk, record);
        stored += fm_chunk_bytes(chunk);
        enum fm_code code = i % 4 == 3
                                ? fm_spool_store(kit.spool, &chunk, 10000, NULL, NULL, NULL, &err)
                                : fm_spool_append(kit.spool, &chunk, &err);
        cr_assert_eq(code, FM_OK, "%s", fm_err_text(&err));
        if (i % 16 == 15) {
            uint64_t now = folder_takes(kit.dir);
            most = now > most ? now : most;
            kept = kit_stats(&kit).bytes > kept ? kit_stats(&kit).bytes : kept;
        }
        if (i % 64 == 63)
            kit_deliver(&kit, kit_read(&kit, "t", 3));
    }
    kit_flush(&kit);
    uint64_t now = folder_takes(kit.dir);
    most = now > most ? now : most;
    cr_expect_leq(most, max_size, "%llu bytes of %llu, reserve %llu, records of %zu",
                  (unsigned long long)most, (unsigned long long)max_size,
                  (unsigned long long)reserve, record);
    cr_expect_gt(kept, (max_size - reserve) / 4, "%llu bytes kept of %llu, reserve %llu",
                 (unsigned long long)kept, (unsigned long long)max_size,
                 (unsigned long long)reserve);
    uint64_t told, there; /* the log may be emptied between two looks */
    for (int64_t until = fm_clock_ms() + 5000;
         !tells_what_is_there(&kit, &told, &there) && fm_clock_ms() < until;)
        fm_sleep_ms(10);
    cr_expect(tells_what_is_there(&kit, &told, &there), "%llu told, %llu there",
              (unsigned long long)told, (unsigned long long)there);
    kit_reopen(&kit); /* that empties it */
    told = kit_stats(&kit).disk_bytes;
    there = folder_takes(kit.dir);
    cr_expect(told <= there && told + 64 * KIB > there, "%llu told, %llu there when it is opened",
              (unsigned long long)told, (unsigned long long)there);
    kit_done(&kit);
}

Test(room, takes_no_more_of_the_disk_than_max_size)
{
    stay_below(16 * MIB, 8 * MIB, 300, 200);
    stay_below(16 * MIB, 0, 900 * KIB, 1);
    stay_below(1 * MIB, 0, 300, 40);
    stay_below(2 * MIB, 1 * MIB, 1000, 30);
    stay_below(4 * MIB, 0, 64 * KIB, 1);
}

/* A library's user may ask for less than the reserve has: not everything is refused for it. */
Test(room, keeps_records_in_a_max_size_below_the_reserve)
{
    struct kit kit;
    kit_init(&kit, false);
    kit.opts.max_size = 4 * MIB;
    kit.opts.reserve = 8 * MIB;
    kit.opts.on_full = FM_SPOOL_BLOCK;
    kit_open(&kit);
    kit_store(&kit, "t", 1, 10);
    cr_assert_eq(kit_stats(&kit).records, 11);
    cr_assert_eq(file_takes(&kit, "reserve"), 2 * MIB);
    kit.opts.max_size = 2 * MIB;
    cr_assert_eq(fm_spool_reconfigure(kit.spool, &kit.opts, NULL), FM_OK);
    kit_store(&kit, "t", 11, 10);
    cr_assert_eq(kit_stats(&kit).records, 21);
    cr_assert_eq(kit_stats(&kit).lost_total, 0);
    cr_assert_eq(file_takes(&kit, "reserve"), MIB);
    kit_done(&kit);
}

/* A queue that is longer than a transaction may be: in pieces, and all of it. */
Test(room, commits_a_long_queue_in_pieces_that_fit_into_the_log)
{
    struct kit kit;
    kit_init(&kit, false);
    kit.opts.max_size = 16 * MIB;
    kit.opts.commit_ms = 60000;
    kit.opts.group_bytes = SIZE_MAX;
    kit_open(&kit);
    for (unsigned i = 0; i < 150; i++) {
        struct fm_chunk *chunk = kit_chunk("t", i * 50, 50, 1000);
        cr_assert_eq(fm_spool_append(kit.spool, &chunk, NULL), FM_OK);
    }
    cr_assert_eq(kit_stats(&kit).queue_records, 7500);
    kit_flush(&kit);
    struct fm_spool_stats stats = kit_stats(&kit);
    cr_assert_eq(stats.records, 7501);
    cr_assert_eq(stats.queue_records, 0);
    cr_assert_geq(stats.commits, 10);
    cr_assert_leq(folder_takes(kit.dir), 16 * MIB);
    kit_done(&kit);
}

/* ---- a full disk ---- */

/* A disk of its own for the spool; the test is skipped where that is not allowed. */
static void small_disk(struct kit *kit, unsigned mib)
{
    char size[64];
    kit_init(kit, false);
    (void)snprintf(size, sizeof size, "size=%um,mode=0700", mib);
    if ((unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", kit->base, "tmpfs", 0, size) != 0) {
        kit_done(kit);
        cr_skip_test("needs the right to mount a small file system");
    }
}

static void end_disk(struct kit *kit)
{
    kit_done(kit); /* the folder is empty, but stays: something is mounted on it */
    (void)umount2(kit->base, MNT_DETACH);
    (void)rmdir(kit->base);
}

/* Somebody else takes all room that is left. */
static void fill_disk(const struct kit *kit)
{
    char path[100];
    static char block[64 * KIB];
    (void)snprintf(path, sizeof path, "%s/ballast", kit->base);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    cr_assert_geq(fd, 0);
    while (write(fd, block, sizeof block) > 0)
        continue;
    cr_assert_eq(errno, ENOSPC);
    (void)close(fd);
}

static void free_disk(const struct kit *kit)
{
    char path[100];
    (void)snprintf(path, sizeof path, "%s/ballast", kit->base);
    cr_assert_eq(unlink(path), 0);
}

static uint64_t disk_has(const struct kit *kit)
{
    struct statvfs fs;
    cr_assert_eq(statvfs(kit->base, &fs), 0);
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

/* Cut the ballast, so that so much is free. */
static void free_some(const struct kit *kit, uint64_t wanted)
{
    char path[100];
    struct stat info;
    uint64_t has = disk_has(kit);
    cr_assert_leq(has, wanted);
    (void)snprintf(path, sizeof path, "%s/ballast", kit->base);
    cr_assert_eq(stat(path, &info), 0);
    cr_assert_geq((uint64_t)info.st_size, wanted - has);
    cr_assert_eq(truncate(path, info.st_size - (off_t)(wanted - has)), 0);
    cr_assert_eq(disk_has(kit), wanted);
}

static void queue_up(struct kit *kit, unsigned from, unsigned n, size_t size)
{
    struct fm_chunk *chunk = kit_chunk("t", from, n, size);
    cr_assert_eq(fm_spool_append(kit->spool, &chunk, NULL), FM_OK);
}

static bool wait_until_stored(struct kit *kit, unsigned ms)
{
    int64_t until = fm_clock_ms() + ms;
    while (kit_stats(kit).queue_records > 0 && fm_clock_ms() < until)
        fm_sleep_ms(2);
    return kit_stats(kit).queue_records == 0;
}

/* Deliver up to max records; their numbers must go on where *next stands.
 * @return how many */
static size_t deliver_some(struct kit *kit, size_t max, unsigned *next)
{
    struct fm_spool_batch *batch = kit_read(kit, "t", max);
    struct fm_settlement list[200];
    size_t n = batch->n;
    cr_assert_leq(n, 200);
    for (size_t i = 0; i < n; i++) {
        char text[64];
        kit_text(&batch->items[i].rec, text, sizeof text);
        if (text[0] == 'r')
            cr_assert_eq(strtoul(text + 1, NULL, 10), (*next)++);
        list[i] = (struct fm_settlement){.id = batch->items[i].id, .how = FM_SETTLE_DELIVERED};
    }
    cr_assert_eq(fm_spool_settle(kit->spool, list, n, NULL), FM_OK);
    fm_spool_batch_free(kit->spool, batch);
    return n;
}

static bool wait_until_settled(struct kit *kit, uint64_t delivered)
{
    int64_t until = fm_clock_ms() + 5000;
    while (kit_stats(kit).streams[0].delivered < delivered && fm_clock_ms() < until)
        fm_sleep_ms(2);
    return kit_stats(kit).streams[0].delivered == delivered;
}

/* Records go on into the room that delivered ones leave, while somebody else takes every block that
 * gets free; and what was settled is settled. */
Test(room, goes_on_by_itself_while_the_disk_stays_full)
{
    struct kit kit;
    small_disk(&kit, 24);
    kit.opts.reserve = 2 * MIB;
    kit.opts.max_size = 16 * MIB;
    kit.opts.sync_full = true;
    kit_open(&kit);
    unsigned made = 0, next = 0;
    uint64_t delivered = 0;
    for (; made < 2000; made += 50)
        queue_up(&kit, made, 50, 1000);
    cr_assert(wait_until_stored(&kit, 5000));
    fill_disk(&kit);
    for (; !kit_stats(&kit).disk_full && made < 20000; made += 50) {
        queue_up(&kit, made, 50, 1000);
        cr_assert(wait_until_stored(&kit, 5000), "the reserve gives room for the first");
    }
    cr_assert(kit_stats(&kit).disk_full);
    for (int64_t until = fm_clock_ms() + 5000; fm_clock_ms() < until; fm_sleep_ms(2))
        if (kit_stats(&kit).error[0] == '\0')
            break;
    cr_assert_eq(strlen(kit_stats(&kit).error), 0, "%s", kit_stats(&kit).error);
    for (unsigned cycle = 0; cycle < 100; cycle++) {
        fill_disk(&kit);
        queue_up(&kit, made, 50, 1000);
        made += 50;
        delivered += deliver_some(&kit, 60, &next);
        cr_assert(wait_until_settled(&kit, delivered), "cycle %u: settled", cycle);
        if (!wait_until_stored(&kit, 1000)) /* a chunk may not fit into exactly what got free */
            cr_assert_leq(kit_stats(&kit).queue_records, 100, "cycle %u", cycle);
    }
    delivered += deliver_some(&kit, 200, &next);
    cr_assert(wait_until_stored(&kit, 5000));
    kit_close(&kit);
    kit_open(&kit); /* on the full disk, too */
    cr_assert_eq(kit_stats(&kit).records, made + 1 - delivered, "and the start record");
    for (size_t n = 1; n > 0;) {
        n = deliver_some(&kit, 200, &next);
        delivered += n;
        cr_assert(wait_until_settled(&kit, delivered));
    }
    cr_assert_eq(next, made);
    cr_assert_eq(kit_stats(&kit).lost_total, 0);
    free_disk(&kit);
    int64_t until = fm_clock_ms() + 10000;
    while (kit_stats(&kit).disk_full && fm_clock_ms() < until)
        fm_sleep_ms(10);
    cr_assert_not(kit_stats(&kit).disk_full,
                  "it notices that there is room again: %s, %llu failures", kit_stats(&kit).error,
                  (unsigned long long)kit_stats(&kit).commit_failures);
    queue_up(&kit, made, 50, 1000);
    kit_flush(&kit);
    end_disk(&kit);
}

static void run_full(struct kit *kit)
{
    fill_disk(kit);
    for (unsigned made = 0; !kit_stats(kit).disk_full && made < 40000; made += 50) {
        queue_up(kit, made, 50, 1000);
        cr_assert(wait_until_stored(kit, 5000), "the reserve gives room for the first");
        fill_disk(kit);
    }
    cr_assert(kit_stats(kit).disk_full);
}

static bool wait_until_free_is_told(struct kit *kit, uint64_t bytes)
{
    int64_t until = fm_clock_ms() + 10000;
    while (kit_stats(kit).disk_full && kit_stats(kit).disk_free != bytes && fm_clock_ms() < until)
        fm_sleep_ms(5);
    return kit_stats(kit).disk_full && kit_stats(kit).disk_free == bytes;
}

static bool wait_until_over(struct kit *kit)
{
    int64_t until = fm_clock_ms() + 10000;
    while (kit_stats(kit).disk_full && fm_clock_ms() < until)
        fm_sleep_ms(5);
    return !kit_stats(kit).disk_full;
}

/* Room for the reserve and a quarter more ends it, not a page less; how much is said. */
Test(room, is_as_ever_once_the_reserve_and_some_room_for_the_log_are_free)
{
    struct kit kit;
    small_disk(&kit, 20);
    kit.opts.reserve = 8 * MIB;
    kit.opts.max_size = 1024 * (uint64_t)MIB;
    kit_open(&kit);
    run_full(&kit);
    cr_assert_eq(file_takes(&kit, "reserve"), 0);
    cr_assert_eq(kit_stats(&kit).disk_needed, 10 * MIB);
    free_some(&kit, 10 * MIB - 4 * KIB);
    cr_assert(wait_until_free_is_told(&kit, 10 * MIB - 4 * KIB), "%llu told",
              (unsigned long long)kit_stats(&kit).disk_free);
    cr_assert_eq(file_takes(&kit, "reserve"), 0, "the room is left to the log");
    free_some(&kit, 10 * MIB);
    cr_assert(wait_until_over(&kit));
    cr_assert_eq(file_takes(&kit, "reserve"), 8 * MIB);
    cr_assert_eq(kit_stats(&kit).disk_needed, 0);
    queue_up(&kit, 40000, 50, 1000);
    kit_flush(&kit);
    run_full(&kit); /* and once more */
    end_disk(&kit);
}

Test(room, is_as_ever_without_a_reserve_once_there_is_room_for_the_log)
{
    struct kit kit;
    small_disk(&kit, 12);
    kit.opts.reserve = 0;
    kit.opts.max_size = 16 * MIB;
    kit_open(&kit);
    fill_disk(&kit);
    for (unsigned made = 0; !kit_stats(&kit).disk_full && made < 40000; made += 50) {
        queue_up(&kit, made, 50, 1000);
        fm_sleep_ms(1);
    }
    cr_assert(kit_stats(&kit).disk_full);
    uint64_t needed = kit_stats(&kit).disk_needed;
    cr_assert_eq(needed, 2 * MIB + 128 * KIB);
    free_disk(&kit);
    cr_assert(wait_until_over(&kit));
    kit_flush(&kit);
    end_disk(&kit);
}
