/* The end of the write-ahead log: what a kill leaves is not damage, what is damage is declared. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "fault_vfs.h"
#include "spool_kit.h"

enum { WAL_HEAD = 32, FRAME = 24 + 16384 };

static unsigned damaged_folders(const struct kit *kit)
{
    unsigned n = 0;
    DIR *dir = opendir(kit->dir);
    cr_assert_not_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        n += strncmp(e->d_name, "damaged-", 8) == 0;
    (void)closedir(dir);
    return n;
}

static int open_in(const struct kit *kit, const char *name, off_t *size)
{
    char path[200];
    struct stat info;
    (void)snprintf(path, sizeof path, "%s/%s", kit->dir, name);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(fstat(fd, &info), 0);
    *size = info.st_size;
    return fd;
}

static void await_end(pid_t child)
{
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A run of three commits that ends without being closed. */
static void leave_log(struct kit *kit)
{
    pid_t child = fork();
    if (child == 0) {
        kit_open(kit);
        for (unsigned i = 1; i <= 3; i++)
            kit_store(kit, "t", i, 1);
        _exit(0);
    }
    await_end(child);
}

static off_t log_size(const struct kit *kit)
{
    off_t size;
    (void)close(open_in(kit, "spool.db-wal", &size));
    return size;
}

/* Emptying it costs three synchronisations more for each poll. */
Test(wal, keeps_a_short_log_at_rest_unless_nothing_else_makes_it_last)
{
    struct kit kits[2];
    for (int i = 0; i < 2; i++) {
        kit_init(&kits[i], false);
        kits[i].opts.sync_full = i == 0;
        kit_open(&kits[i]);
        kit_store(&kits[i], "t", 1, 1);
        kit_deliver(&kits[i], kit_read(&kits[i], "t", 10));
    }
    cr_assert_gt(log_size(&kits[0]), 0);
    for (int64_t until = fm_clock_ms() + 10000; log_size(&kits[1]) > 0; fm_sleep_ms(5))
        cr_assert_lt(fm_clock_ms(), until, "sync = normal");
    cr_expect_gt(log_size(&kits[0]), 0, "sync = full: it was at rest before the other");
    for (int i = 0; i < 2; i++)
        kit_done(&kits[i]);
}

/* A transaction above the page cache that writes its first pages again, never committed. */
static void spill(struct kit *kit)
{
    pid_t child = fork();
    if (child == 0) {
        char path[200];
        sqlite3 *db;
        (void)snprintf(path, sizeof path, "%s/spool.db", kit->dir);
        bool good =
            sqlite3_open(path, &db) == SQLITE_OK &&
            sqlite3_exec(db,
                         "PRAGMA wal_autocheckpoint=0;PRAGMA cache_size=20;BEGIN IMMEDIATE;"
                         "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i+1 FROM n LIMIT 300)"
                         " INSERT INTO body SELECT i,randomblob(3000) FROM n;"
                         "UPDATE body SET data=randomblob(3000) WHERE id BETWEEN 100 AND 200;"
                         "WITH RECURSIVE n(i) AS (SELECT 500 UNION ALL SELECT i+1 FROM n LIMIT 100)"
                         " INSERT INTO body SELECT i,randomblob(3000) FROM n",
                         NULL, NULL, NULL) == SQLITE_OK;
        _exit(good ? 0 : 1);
    }
    await_end(child);
}

/* All is there, under the same stream. */
static void expect_whole(struct kit *kit)
{
    kit_open(kit);
    cr_assert_eq(damaged_folders(kit), 0);
    kit_store(kit, "t", 4, 1);
    cr_assert_str_eq(kit_drain(kit, "t"), "1:S 2:r1 3:r2 4:r3 5:S 6:r4");
    kit_done(kit);
}

static void expect_damage(struct kit *kit)
{
    kit_open(kit);
    cr_assert_eq(damaged_folders(kit), 1);
    cr_assert_not_null(strstr(kit_drain(kit, "t"), "(-1--1,-1,damage,"));
    kit_done(kit);
}

static bool zero_salt_somewhere(const struct kit *kit)
{
    off_t size;
    static const unsigned char none[8] = {0};
    unsigned char head[24];
    bool found = false;
    int fd = open_in(kit, "spool.db-wal", &size);
    for (off_t at = WAL_HEAD; at + FRAME <= size && !found; at += FRAME)
        found = pread(fd, head, sizeof head, at) == (ssize_t)sizeof head &&
                memcmp(head + 8, none, sizeof none) == 0;
    (void)close(fd);
    return found;
}

Test(wal, takes_a_spilled_transaction_that_was_killed_for_uncommitted)
{
    struct kit kit;
    kit_init(&kit, false);
    leave_log(&kit);
    spill(&kit);
    cr_assert(zero_salt_somewhere(&kit), "the log has frames that were never finished");
    expect_whole(&kit);
}

Test(wal, takes_blocks_that_a_power_cut_left_empty_for_uncommitted)
{
    struct kit kit;
    kit_init(&kit, false);
    leave_log(&kit);
    off_t size;
    int fd = open_in(&kit, "spool.db-wal", &size);
    cr_assert_eq(ftruncate(fd, size + (off_t)10 * FRAME + 7), 0);
    (void)close(fd);
    expect_whole(&kit);
}

Test(wal, takes_a_log_of_zeros_for_empty)
{
    struct kit kit;
    kit_init(&kit, false);
    kit_open(&kit);
    for (unsigned i = 1; i <= 3; i++)
        kit_store(&kit, "t", i, 1);
    kit_close(&kit);
    char path[200];
    (void)snprintf(path, sizeof path, "%s/spool.db-wal", kit.dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_eq(ftruncate(fd, 9000), 0);
    (void)close(fd);
    expect_whole(&kit);
}

/* Turn one bit of the page in frame n (negative: from the end). */
static void hit_frame(const struct kit *kit, off_t n)
{
    off_t size;
    unsigned char byte;
    int fd = open_in(kit, "spool.db-wal", &size);
    off_t frames = (size - WAL_HEAD) / FRAME, at = WAL_HEAD + (n < 0 ? frames + n : n) * FRAME + 99;
    cr_assert_eq(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    cr_assert_eq(pwrite(fd, &byte, 1, at), 1);
    (void)close(fd);
}

Test(wal, takes_a_bad_frame_before_a_commit_for_damage)
{
    struct kit kit;
    kit_init(&kit, false);
    leave_log(&kit);
    hit_frame(&kit, 1);
    expect_damage(&kit);
}

Test(wal, takes_a_bad_last_commit_for_damage)
{
    struct kit kit;
    kit_init(&kit, false);
    leave_log(&kit);
    hit_frame(&kit, -1);
    expect_damage(&kit);
}

/* A small transaction that is acknowledged, then 8 MiB in as few as the log takes. */
static void large_life(struct kit *kit)
{
    struct fm_err err;
    kit->opts.commit_ms = 60000;
    if (fm_spool_open(&kit->spool, &kit->opts, &err) != FM_OK)
        _exit(1);
    kit_store(kit, "t", 1, 1);
    for (unsigned i = 0; i < 8; i++) {
        struct fm_chunk *chunk = kit_chunk("t", 2 + 16 * i, 16, 64 * 1024);
        if (fm_spool_append(kit->spool, &chunk, NULL) != FM_OK)
            _exit(1);
    }
    (void)!fm_spool_flush(kit->spool, 20000, NULL);
}

static void large_kill(enum fault_kind kind, unsigned n)
{
    struct kit kit;
    kit_init(&kit, false);
    pid_t child = fork();
    if (child == 0) {
        fault_plan(kind, n, 1);
        large_life(&kit);
        _exit(9);
    }
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 9);
    kit_open(&kit);
    cr_assert_eq(damaged_folders(&kit), 0, "killed at %u", n);
    uint64_t there = kit_stats(&kit).records;
    cr_assert(there >= 2 && there <= 2 + 8 * 16 && (there - 2) % 16 == 0,
              "killed at %u: %llu records", n, (unsigned long long)there);
    kit_done(&kit);
}

Test(wal, loses_nothing_when_killed_within_a_large_transaction)
{
    const char *all = getenv("FM_SWEEP");
    unsigned step = all != NULL && strcmp(all, "all") == 0 ? 7 : 701;
    fault_install();
    for (unsigned n = 60; n < 5000; n += step)
        large_kill(n % 2 == 0 ? FAULT_EXIT_HALF : FAULT_EXIT_AFTER, n);
}

static bool set_aside(const struct kit *kit, ino_t inode)
{
    char pattern[128];
    glob_t found = {0};
    struct stat info;
    bool is = false;
    (void)snprintf(pattern, sizeof pattern, "%s/damaged-*/spool.db", kit->dir);
    (void)glob(pattern, 0, NULL, &found);
    for (size_t i = 0; i < found.gl_pathc; i++)
        is = is || (stat(found.gl_pathv[i], &info) == 0 && info.st_ino == inode);
    globfree(&found);
    return is;
}

static void damage_once(struct kit *kit)
{
    off_t size;
    struct stat info;
    int fd = open_in(kit, "spool.db", &size);
    cr_assert_eq(pwrite(fd, "rubbish", 7, 0), 7);
    cr_assert_eq(fstat(fd, &info), 0);
    kit_open(kit);
    kit_close(kit);
    cr_assert(set_aside(kit, info.st_ino), "what was damaged last is kept");
    (void)close(fd);
}

Test(wal, keeps_few_folders_of_damage)
{
    struct kit kit;
    kit_init(&kit, false);
    kit_open(&kit);
    kit_close(&kit);
    for (int i = 0; i < 9; i++) /* several in one second: their names have numbers */
        damage_once(&kit);
    cr_assert_eq(damaged_folders(&kit), 3);
    kit.opts.max_size = 1;
    damage_once(&kit);
    cr_assert_eq(damaged_folders(&kit), 1, "their bytes are bounded too");
    kit_done(&kit);
}
