/* A process that ends while it takes over what a damaged database holds: the next one does it
 * again. Nothing of it is lost, and nothing comes twice. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault_vfs.h"
#include "spool_kit.h"

enum { RECORDS = 60, DEAD_TABLE = 5 * 4096 /* where its page is: only dead letters are hit */ };

static void in_folder(const struct kit *kit, const char *name, char path[400])
{
    (void)snprintf(path, 400, "%s/%s", kit->dir, name);
}

/* A spool whose load fails, and whose records can all be read. */
static void damaged(struct kit *kit)
{
    char path[400];
    kit_init(kit, false);
    kit_open(kit);
    for (unsigned i = 1; i <= RECORDS; i += 6) {
        struct fm_chunk *chunk = kit_chunk("t", i, 6, 1500);
        cr_assert_eq(fm_spool_store(kit->spool, &chunk, 5000, NULL, NULL, NULL, NULL), FM_OK);
    }
    kit_close(kit);
    in_folder(kit, "spool.db", path);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    cr_assert_eq(pwrite(fd, "\x77", 1, DEAD_TABLE), 1);
    (void)close(fd);
}

static unsigned folders(const struct kit *kit, const char *prefix, char *name)
{
    DIR *d = opendir(kit->dir);
    unsigned n = 0;
    cr_assert_not_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (strncmp(e->d_name, prefix, strlen(prefix)) == 0) {
            n++;
            if (name != NULL)
                memcpy(name, e->d_name, strlen(e->d_name) + 1);
        }
    (void)closedir(d);
    return n;
}

/* A damaged spool of which somebody began to set the files aside. */
static void half_aside(struct kit *kit, bool moved)
{
    char from[400], to[400];
    damaged(kit);
    in_folder(kit, "mending-20200101T000000Z", to);
    cr_assert_eq(mkdir(to, 0700), 0);
    in_folder(kit, "spool.db", from);
    in_folder(kit, "mending-20200101T000000Z/spool.db", to);
    if (moved)
        cr_assert_eq(rename(from, to), 0);
}

static bool count(const struct fm_spool_entry *entry, void *arg)
{
    unsigned *found = arg;
    char text[200];
    kit_text(&entry->rec, text, sizeof text);
    if (text[0] == 'r')
        found[strtoul(text + 1, NULL, 10)]++;
    return true;
}

/* Open, and find every record once and the loss declared. */
static void all_there(struct kit *kit, const char *when, unsigned n)
{
    unsigned found[RECORDS + 2] = {0};
    kit_open(kit);
    kit_check_equation(kit);
    cr_assert_eq(fm_spool_walk(kit->spool, false, NULL, count, found, NULL), FM_OK);
    for (unsigned r = 1; r <= RECORDS; r++)
        cr_assert_eq(found[r], 1, "%s %u: record %u is there %u times", when, n, r, found[r]);
    cr_assert_eq(folders(kit, "mending-", NULL), 0, "%s %u", when, n);
    cr_assert_eq(folders(kit, "damaged-", NULL), 1, "%s %u", when, n);
    struct fm_spool_stats stats = kit_stats(kit);
    cr_assert_eq(access(stats.damage, F_OK), 0, "%s", stats.damage);
    cr_assert_not_null(strstr(kit_drain(kit, "t"), "(-1--1,-1,damage,"), "%s %u", when, n);
    kit_reopen(kit);
    cr_assert_eq(kit_stats(kit).records, 0, "%s %u", when, n);
    kit_done(kit);
}

static void sweep(enum fault_kind kind, const char *when, unsigned step)
{
    fault_install();
    for (unsigned n = 1;; n += step) {
        struct kit kit;
        damaged(&kit);
        pid_t child = fork();
        if (child == 0) {
            fault_plan(kind, n, 1);
            if (fm_spool_open(&kit.spool, &kit.opts, NULL) == FM_OK)
                fm_spool_free(kit.spool, 5000);
            _exit(0);
        }
        int status = 0;
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 9));
        all_there(&kit, when, n);
        if (WEXITSTATUS(status) == 0) {
            cr_assert_gt(n, 10, "the sweep had something to do");
            return;
        }
    }
}

Test(mending, loses_nothing_when_killed_before_a_changing_call)
{
    sweep(FAULT_EXIT_BEFORE, "before", 5);
}

Test(mending, loses_nothing_when_killed_in_the_middle_of_a_write)
{
    sweep(FAULT_EXIT_HALF, "half-way", 9);
}

Test(mending, goes_on_wherever_the_files_were_left)
{
    static const char *const left[] = {"the folder was made", "the database was moved",
                                       "the log was not moved", "all was moved"};
    for (unsigned i = 0; i < sizeof left / sizeof *left; i++) {
        struct kit kit;
        char left_there[400];
        half_aside(&kit, i > 0);
        if (i == 2) {
            in_folder(&kit, "spool.db-wal", left_there);
            int fd = open(left_there, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
            cr_assert_geq(fd, 0);
            (void)close(fd);
        }
        if (i == 3) { /* and a new one begun, with nothing in it */
            struct kit other;
            char path[400];
            kit_init(&other, false);
            kit_open(&other);
            kit_close(&other);
            in_folder(&other, "spool.db", path);
            in_folder(&kit, "spool.db", left_there);
            cr_assert_eq(rename(path, left_there), 0);
            kit_done(&other);
        }
        if (i == 0) { /* an empty folder is nothing to go on with, and stays */
            kit_open(&kit);
            cr_assert_eq(folders(&kit, "damaged-", NULL), 1);
            cr_assert_eq(kit_stats(&kit).records, RECORDS + 3);
            kit_done(&kit);
            continue;
        }
        all_there(&kit, left[i], i);
    }
}

/* Killed between the commit and the folder's last name: what was sent since does not come back. */
Test(mending, takes_nothing_over_twice)
{
    struct kit kit;
    char name[256], from[400], to[400], half[280];
    damaged(&kit);
    kit_open(&kit);
    (void)kit_drain(&kit, "t");
    kit_close(&kit);
    cr_assert_eq(folders(&kit, "damaged-", name), 1);
    (void)snprintf(half, sizeof half, "mending-%s", name + strlen("damaged-"));
    in_folder(&kit, name, from);
    in_folder(&kit, half, to);
    cr_assert_eq(rename(from, to), 0);
    kit_open(&kit);
    cr_assert_eq(kit_stats(&kit).records, 0);
    cr_assert_eq(folders(&kit, "mending-", NULL), 0);
    cr_assert_eq(folders(&kit, "damaged-", NULL), 1);
    kit_done(&kit);
}

/* Who only looks says so and changes nothing. */
Test(mending, is_left_to_who_may_write)
{
    struct kit kit;
    struct fm_err err = {0};
    half_aside(&kit, true);
    kit.opts.keep_damage = true;
    cr_assert_eq(fm_spool_open(&kit.spool, &kit.opts, &err), FM_EDAMAGE);
    cr_assert_not_null(strstr(err.text, "when it starts"), "%s", err.text);
    cr_assert_eq(folders(&kit, "mending-", NULL), 1);
    kit.opts.keep_damage = false;
    all_there(&kit, "looked at", 0);
}
