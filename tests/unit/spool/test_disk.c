/* What only the spool on disk has: runs, identity, the folder, the lock, damage. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "spool_kit.h"

static const char *stream_of(struct kit *kit)
{
    static char name[FM_STREAM_LEN + 1];
    struct fm_spool_stats stats = kit_stats(kit);
    memcpy(name, stats.streams[0].stream, sizeof name);
    return name;
}

Test(disk, goes_on_with_the_same_stream_and_a_start_record_per_run)
{
    struct kit kit;
    kit_init(&kit, false);
    kit_open(&kit);
    kit_store(&kit, "t", 1, 2);
    kit_reopen(&kit);
    kit_store(&kit, "t", 3, 1);
    cr_assert_str_eq(kit_drain(&kit, "t"), "1:S 2:r1 3:r2 4:S 5:r3");
    kit_reopen(&kit);
    cr_assert_eq(kit_stats(&kit).records, 0, "a run that adds nothing writes no start record");
    kit_done(&kit);
}

Test(disk, refuses_the_folder_of_another_use_whoever_holds_it)
{
    struct kit kit;
    struct fm_spool *other = NULL;
    struct fm_err err = {0};
    kit_init(&kit, false);
    kit.opts.use = FM_SPOOL_AGENT;
    kit_open(&kit);
    kit_store(&kit, "t", 1, 2);
    struct fm_spool_opts opts = kit.opts;
    opts.use = FM_SPOOL_PROGRAM;
    cr_assert_eq(fm_spool_open(&other, &opts, &err), FM_ECONF, "%s", err.text);
    cr_expect_not_null(strstr(err.text, "is an agent's"), "%s", err.text);
    kit_close(&kit);
    cr_assert_eq(fm_spool_open(&other, &opts, &err), FM_ECONF, "%s", err.text);
    kit.opts.use = FM_SPOOL_ANY; /* to look, and to write for an operator */
    kit_open(&kit);
    kit_store(&kit, "new", 1, 1);
    kit_close(&kit);
    cr_assert_eq(fm_spool_open(&other, &opts, &err), FM_ECONF, "%s", err.text);
    kit.opts.use = FM_SPOOL_AGENT;
    kit_open(&kit);
    cr_assert_str_eq(kit_drain(&kit, "t"), "1:S 2:r1 3:r2");
    kit_done(&kit);
}

Test(disk, of_an_earlier_build_becomes_that_of_its_next_writer)
{
    struct kit kit;
    struct fm_spool *other = NULL;
    struct fm_err err = {0};
    kit_init(&kit, false);
    kit_open(&kit); /* says nothing of its use */
    kit_store(&kit, "t", 1, 1);
    kit_close(&kit);
    kit.opts.use = FM_SPOOL_PROGRAM;
    kit_open(&kit);
    kit_store(&kit, "t", 2, 1);
    kit_close(&kit);
    struct fm_spool_opts opts = kit.opts;
    opts.use = FM_SPOOL_AGENT;
    cr_assert_eq(fm_spool_open(&other, &opts, &err), FM_ECONF, "%s", err.text);
    cr_expect_not_null(strstr(err.text, "set [spool] path to another folder"), "%s", err.text);
    kit_done(&kit);
}

Test(disk, never_gives_a_seq_again_after_draining)
{
    struct kit kit;
    kit_init(&kit, false);
    kit_open(&kit);
    kit_store(&kit, "t", 1, 2);
    (void)kit_drain(&kit, "t");
    kit_reopen(&kit);
    kit_store(&kit, "t", 3, 1);
    cr_assert_str_eq(kit_drain(&kit, "t"), "4:S 5:r3");
    kit_done(&kit);
}

Test(disk, keeps_partly_settled_chunks_and_dead_letters_over_a_restart)
{
    struct kit kit;
    kit_init(&kit, false);
    kit_open(&kit);
    kit_store(&kit, "t", 1, 100);
    char stream[FM_STREAM_LEN + 1];
    memcpy(stream, stream_of(&kit), sizeof stream);
    struct fm_settlement list[98];
    for (size_t i = 0; i < 98; i++) {
        list[i] = (struct fm_settlement){
            .id.seq = i + 1, .how = i == 50 ? FM_SETTLE_DEAD : FM_SETTLE_DELIVERED, .reason = "x"};
        memcpy(list[i].id.stream, stream, sizeof stream);
    }
    cr_assert_eq(fm_spool_settle(kit.spool, list, 98, NULL), FM_OK);
    kit_flush(&kit);
    kit_reopen(&kit);
    cr_assert_eq(kit_stats(&kit).dead_records, 1);
    cr_assert_str_eq(kit_drain(&kit, "t"), "99:r98 100:r99 101:r100 102:G(51-51,1,dead)");
    cr_assert_eq(fm_spool_dead_retry(kit.spool, NULL, NULL, NULL, NULL), FM_OK);
    kit_flush(&kit);
    kit_reopen(&kit);
    cr_assert_str_eq(kit_drain(&kit, "t"), "51:r50");
    kit_done(&kit);
}

Test(disk, widens_a_gap_of_an_earlier_run)
{
    struct kit kit;
    kit_init(&kit, false);
    kit_open(&kit);
    cr_assert_eq(fm_spool_declare(kit.spool, "t", 1, FM_GAP_TOO_LARGE, 5, NULL), FM_OK);
    kit_flush(&kit);
    kit_reopen(&kit);
    cr_assert_eq(fm_spool_declare(kit.spool, "t", 1, FM_GAP_TOO_LARGE, 5, NULL), FM_OK);
    /* 4 is this run's start record: not lost, so the two stay apart. */
    cr_assert_str_eq(kit_drain(&kit, "t"), "1:S 3:G(2-2,1,too_large) 4:S 6:G(5-5,1,too_large)");
    kit_done(&kit);
}

Test(disk, begins_a_new_stream_for_another_agent_name)
{
    struct kit kit;
    char want[200];
    kit_init(&kit, false);
    kit_open(&kit);
    kit_store(&kit, "t", 1, 2);
    (void)snprintf(want, sizeof want, "1:S 2:r1 3:r2 1:S<%s:3 2:r3", stream_of(&kit));
    kit_close(&kit);
    kit.opts.agent = "renamed";
    kit_open(&kit);
    kit_store(&kit, "t", 3, 1);
    cr_assert_str_eq(kit_drain(&kit, "t"), want);
    kit_done(&kit);
}

Test(disk, declares_losses_of_an_old_stream_in_its_successor)
{
    struct kit kit;
    char want[200], old[FM_STREAM_LEN + 1];
    kit_init(&kit, false);
    kit_open(&kit);
    kit_store(&kit, "t", 1, 2);
    memcpy(old, stream_of(&kit), sizeof old);
    kit_close(&kit);
    kit.opts.agent = "renamed";
    kit_open(&kit);
    uint64_t n = 0;
    cr_assert_eq(fm_spool_drop(kit.spool, NULL, &n, NULL), FM_OK);
    cr_assert_eq(n, 3);
    (void)snprintf(want, sizeof want, "1:S<%s:3 2:G(1-3,3,operator,%s)", old, old);
    cr_assert_str_eq(kit_drain(&kit, "t"), want);
    kit_done(&kit);
}

/* cp -a, as a backup would. */
static void copy_file(const char *from, const char *to)
{
    char buf[8192];
    FILE *in = fopen(from, "rb");
    FILE *out = fopen(to, "wb");
    size_t n;
    if (in != NULL && out != NULL)
        while ((n = fread(buf, 1, sizeof buf, in)) > 0)
            (void)fwrite(buf, 1, n, out);
    if (in != NULL)
        (void)fclose(in);
    if (out != NULL)
        (void)fclose(out);
}

static void copy_spool(const char *from, const char *to)
{
    static const char *const names[] = {"spool.db", "spool.db-wal", "identity"};
    (void)mkdir(to, 0700);
    for (size_t i = 0; i < 3; i++) {
        char a[200], b[200];
        (void)snprintf(a, sizeof a, "%s/%s", from, names[i]);
        (void)snprintf(b, sizeof b, "%s/%s", to, names[i]);
        if (access(a, F_OK) == 0)
            copy_file(a, b);
    }
}

Test(disk, begins_new_streams_in_a_copy_of_a_spool)
{
    struct kit kit;
    char copy[100], want[200];
    kit_init(&kit, false);
    kit_open(&kit);
    kit_store(&kit, "t", 1, 1);
    (void)snprintf(want, sizeof want, "1:S 2:r1 1:S<%s? 2:r2", stream_of(&kit));
    kit_close(&kit);
    (void)snprintf(copy, sizeof copy, "%s/copy", kit.base);
    copy_spool(kit.dir, copy);
    kit.opts.path = copy; /* the same machine: the file is another one */
    kit_open(&kit);
    kit_store(&kit, "t", 2, 1);
    cr_assert_str_eq(kit_drain(&kit, "t"), want);
    kit_close(&kit);
    kit.opts.path = kit.dir;
    kit.opts.machine_id = "other"; /* the same file on another machine */
    kit_open(&kit);
    kit_store(&kit, "t", 2, 1);
    cr_assert_str_eq(kit_drain(&kit, "t"), want);
    kit_done(&kit);
}

/* ---- folder ---- */

Test(disk, makes_folder_and_files_private_under_any_umask)
{
    static const mode_t masks[] = {0, 022, 077, 0777};
    for (size_t i = 0; i < 3; i++) {
        struct kit kit;
        kit_init(&kit, false);
        mode_t before = umask(masks[i]);
        kit.opts.reserve = 65536;
        kit_open(&kit);
        kit_store(&kit, "t", 1, 1);
        (void)umask(before);
        struct stat info;
        cr_assert_eq(stat(kit.dir, &info), 0);
        cr_assert_eq(info.st_mode & 0777, 0700);
        DIR *dir = opendir(kit.dir);
        unsigned files = 0;
        for (struct dirent *e; (e = readdir(dir)) != NULL;) {
            if (e->d_name[0] == '.')
                continue;
            cr_assert_eq(fstatat(dirfd(dir), e->d_name, &info, 0), 0);
            cr_assert_eq(info.st_mode & 0777, 0600, "%s has mode %o", e->d_name, info.st_mode);
            files++;
        }
        (void)closedir(dir);
        cr_assert_geq(files, 5, "database, WAL, lock, identity, reserve");
        kit_done(&kit);
    }
}

static enum fm_code try_open(struct kit *kit, const char *path)
{
    struct fm_spool_opts opts = kit->opts;
    struct fm_spool *spool = NULL;
    struct fm_err err = {0};
    opts.path = path;
    enum fm_code code = fm_spool_open(&spool, &opts, &err);
    if (code == FM_OK)
        fm_spool_free(spool, 0);
    else
        cr_assert_gt(strlen(err.text), 10);
    return code;
}

Test(disk, refuses_links_files_fifos_and_folders_of_others)
{
    struct kit kit;
    char path[100], target[100];
    kit_init(&kit, false);
    (void)snprintf(path, sizeof path, "%s/x", kit.base);
    (void)snprintf(target, sizeof target, "%s/target", kit.base);
    cr_assert_eq(mkdir(target, 0700), 0);
    cr_assert_eq(symlink(target, path), 0);
    cr_assert_eq(try_open(&kit, path), FM_EPERM);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_eq(try_open(&kit, path), FM_EPERM);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
    cr_assert_eq(try_open(&kit, path), FM_EPERM);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(chmod(target, 0777), 0);
    cr_assert_eq(try_open(&kit, target), FM_EPERM);
    cr_assert_eq(chmod(target, 0755), 0);
    cr_assert_eq(try_open(&kit, target), FM_OK);
    (void)snprintf(path, sizeof path, "%s/none/spool", kit.base);
    cr_assert_eq(try_open(&kit, path), FM_ESYS);
    cr_assert_neq(access(path, F_OK), 0);
    if (geteuid() == 0) {
        cr_assert_eq(chown(target, 1234, 1234), 0);
        cr_assert_eq(try_open(&kit, target), FM_EPERM);
    }
    kit_done(&kit);
}

Test(disk, refuses_a_second_holder_and_names_the_first)
{
    struct kit kit;
    char socket[100] = "";
    int pid = 0;
    kit_init(&kit, false);
    cr_assert_eq(fm_spool_holder(kit.dir, socket, sizeof socket, &pid, NULL), FM_ENOTFOUND);
    kit.opts.control_socket = "/run/x.sock";
    kit_open(&kit);
    struct fm_err err = {0};
    struct fm_spool *second = NULL;
    cr_assert_eq(fm_spool_open(&second, &kit.opts, &err), FM_ELOCKED);
    char want[20];
    (void)snprintf(want, sizeof want, "process %d", (int)getpid());
    cr_assert_not_null(strstr(err.text, want));
    cr_assert_eq(fm_spool_holder(kit.dir, socket, sizeof socket, &pid, NULL), FM_ELOCKED);
    cr_assert_str_eq(socket, "/run/x.sock");
    cr_assert_eq(pid, (int)getpid());
    kit_close(&kit);
    cr_assert_eq(fm_spool_holder(kit.dir, socket, sizeof socket, &pid, NULL), FM_OK);
    kit_open(&kit);
    kit_done(&kit);
}

/* A file's content, as a number to compare. */
static uint32_t sum_of(const char *dir, const char *name)
{
    char path[200], buf[65536];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    uint32_t crc = 0;
    if (f == NULL)
        return 0;
    for (size_t n; (n = fread(buf, 1, sizeof buf, f)) > 0;)
        crc = fm_crc32c(crc, buf, n);
    (void)fclose(f);
    return crc;
}

static void poke(const char *dir, const char *name, off_t at, const void *data, size_t len)
{
    char path[200];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_RDWR);
    cr_assert_geq(fd, 0);
    cr_assert_eq(pwrite(fd, data, len, at), (ssize_t)len);
    (void)close(fd);
}

Test(disk, leaves_a_newer_format_untouched)
{
    struct kit kit;
    kit_init(&kit, false);
    kit_open(&kit);
    kit_store(&kit, "t", 1, 1);
    kit_close(&kit);
    poke(kit.dir, "spool.db", 63, "\x09", 1); /* user_version, last byte */
    uint32_t before = sum_of(kit.dir, "spool.db");
    cr_assert_eq(try_open(&kit, kit.dir), FM_ENEWER);
    cr_assert_eq(sum_of(kit.dir, "spool.db"), before);
    kit_done(&kit);
}

/* ---- a folder that somebody takes away ---- */

Test(disk, notices_that_its_folder_was_moved_away_and_is_back)
{
    struct kit kit;
    kit_init(&kit, false);
    kit_open(&kit);
    kit_store(&kit, "t", 1, 1);
    cr_assert_not(kit_stats(&kit).removed);
    char away[80];
    (void)snprintf(away, sizeof away, "%s/away", kit.base);
    cr_assert_eq(rename(kit.dir, away), 0);
    kit_store(&kit, "t", 2, 1);
    struct fm_spool_stats stats = kit_stats(&kit);
    cr_assert(stats.removed);
    cr_assert_not(stats.durable);
    cr_assert_eq(rename(away, kit.dir), 0);
    kit_store(&kit, "t", 3, 1);
    cr_assert_not(kit_stats(&kit).removed);
    kit_reopen(&kit);
    cr_assert_str_eq(kit_drain(&kit, "t"), "1:S 2:r1 3:r2 4:r3");
    kit_done(&kit);
}

Test(disk, says_at_the_end_that_what_waits_went_with_its_folder)
{
    struct kit kit;
    struct fm_spool_end end = {0};
    kit_init(&kit, false);
    kit_open(&kit);
    kit_store(&kit, "t", 1, 2);
    char path[120];
    (void)snprintf(path, sizeof path, "%s/spool.db", kit.dir);
    cr_assert_eq(unlink(path), 0);
    fm_spool_close(kit.spool, 10000, &end);
    kit.spool = NULL;
    cr_assert(end.removed);
    cr_assert_eq(end.pending, 3);
    kit_done(&kit);
}

/* ---- damage ---- */

static bool has_folder(const char *dir, const char *prefix)
{
    DIR *d = opendir(dir);
    bool found = false;
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        found = found || strncmp(e->d_name, prefix, strlen(prefix)) == 0;
    if (d != NULL)
        (void)closedir(d);
    return found;
}

Test(disk, sets_rubbish_aside_and_declares_the_old_stream_lost)
{
    struct kit kit;
    char want[200], old[FM_STREAM_LEN + 1], text[300];
    kit_init(&kit, false);
    kit_open(&kit);
    kit_store(&kit, "t", 1, 2);
    memcpy(old, stream_of(&kit), sizeof old);
    kit_close(&kit);
    memset(text, 'x', sizeof text);
    poke(kit.dir, "spool.db", 0, text, sizeof text);
    kit_open(&kit);
    cr_assert(has_folder(kit.dir, "damaged-"));
    struct fm_spool_stats stats = kit_stats(&kit);
    cr_assert_neq(stats.last_damage_ms, 0);
    cr_assert_eq(strncmp(stats.damage, kit.dir, strlen(kit.dir)), 0, "%s", stats.damage);
    cr_assert_eq(access(stats.damage, F_OK), 0);
    cr_assert_eq(stats.n_streams, 2);
    cr_assert_eq(stats.streams[0].unknown, strcmp(stats.streams[0].stream, old) == 0);
    cr_assert_eq(stats.streams[1].unknown, strcmp(stats.streams[1].stream, old) == 0);
    (void)snprintf(want, sizeof want, "1:S<%s? 2:G(-1--1,-1,damage,%s)", old, old);
    kit_store(&kit, "t", 9, 1);
    const char *all = kit_drain(&kit, "t");
    cr_assert_eq(strncmp(all, want, strlen(want)), 0, "%s", all);
    cr_assert_not_null(strstr(all, "3:r9"));
    kit_reopen(&kit);
    cr_assert_eq(kit_stats(&kit).records, 0);
    cr_assert_eq(kit_stats(&kit).last_damage_ms, 0, "not of this run,");
    cr_assert_str_eq(kit_stats(&kit).damage, stats.damage, "but the files are still there");
    kit_done(&kit);
}

Test(disk, declares_a_database_that_was_removed)
{
    struct kit kit;
    char path[200];
    kit_init(&kit, false);
    kit_open(&kit);
    kit_store(&kit, "t", 1, 2);
    kit_close(&kit);
    (void)snprintf(path, sizeof path, "%s/spool.db", kit.dir);
    cr_assert_eq(unlink(path), 0);
    kit_open(&kit);
    cr_assert_not_null(strstr(kit_drain(&kit, "t"), "(-1--1,-1,damage,"));
    kit_done(&kit);
}

/* Where a text lies in a file; -1: nowhere. */
static off_t find_in(const char *dir, const char *name, const char *what)
{
    char path[200];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "rb");
    cr_assert_not_null(f);
    static char all[4 * 1024 * 1024];
    size_t n = fread(all, 1, sizeof all, f);
    (void)fclose(f);
    char *at = memmem(all, n, what, strlen(what));
    return at == NULL ? -1 : at - all;
}

Test(disk, loses_only_the_record_whose_bytes_were_hit)
{
    struct kit kit;
    kit_init(&kit, false);
    kit_open(&kit);
    kit_store(&kit, "t", 1, 5);
    kit_close(&kit);
    off_t at = find_in(kit.dir, "spool.db", "{r3}");
    cr_assert_gt(at, 0);
    poke(kit.dir, "spool.db", at + 1, "q", 1);
    kit_open(&kit);
    cr_assert_str_eq(kit_drain(&kit, "t"), "1:S 2:r1 3:r2 5:r4 6:r5 7:S 8:G(4-4,1,damage)");
    cr_assert_eq(kit_stats(&kit).streams[0].lost, 1);
    cr_assert_neq(kit_stats(&kit).last_damage_ms, 0);
    cr_assert_str_eq(kit_stats(&kit).damage, "", "nothing was set aside for it");
    kit_done(&kit);
}

/* Values that this test stored are "r<digits>" of the number given; anything else is a wrong byte.
 */
static void check_texts(const char *all)
{
    for (const char *at = all; *at != '\0'; at++) {
        const char *colon = strchr(at, ':');
        cr_assert_not_null(colon);
        unsigned long long seq = strtoull(at, NULL, 10);
        if (colon[1] == 'r')
            cr_assert_eq(strtoull(colon + 2, NULL, 10), seq, "%s", all);
        else
            cr_assert(colon[1] == 'S' || colon[1] == 'G', "%s", all);
        at = strchr(colon, ' ');
        if (at == NULL)
            return;
    }
}

/* A spool of 40 chunks whose record texts agree with their seqs; unclean: with a WAL to recover. */
static void fill(struct kit *kit, bool unclean)
{
    pid_t child = fork();
    if (child == 0) {
        kit_open(kit);
        kit_store(kit, "t", 2, 4); /* after the start record */
        for (unsigned i = 0, seq = 6, n; i < 39; i++, seq += n)
            kit_store(kit, "t", seq, n = i % 2 == 0 ? 4 : 40 /* packed */);
        if (!unclean)
            fm_spool_free(kit->spool, 10000);
        _exit(0);
    }
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void mutate(const char *dir, const char *name, unsigned seed)
{
    char path[200];
    struct stat info;
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_RDWR);
    if (fd < 0 || fstat(fd, &info) != 0 || info.st_size < 8192) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    unsigned char page[4096] = {0}, other[4096];
    off_t pages = info.st_size / 4096, a = rand() % pages, b = rand() % pages;
    switch (seed % 5) {
    case 0:
        for (int i = 0; i < 1 + rand() % 20; i++) {
            off_t at = rand() % info.st_size;
            cr_assert_eq(pread(fd, page, 1, at), 1);
            page[0] ^= (unsigned char)(1 << rand() % 8);
            cr_assert_eq(pwrite(fd, page, 1, at), 1);
        }
        break;
    case 1:
        cr_assert_eq(pwrite(fd, page, 4096, a * 4096), 4096);
        break;
    case 2:
        cr_assert_eq(ftruncate(fd, rand() % info.st_size), 0);
        break;
    case 3:
        memset(page, 0xaa, sizeof page);
        cr_assert_gt(pwrite(fd, page, (size_t)(1 + rand() % 4096), info.st_size), 0);
        break;
    default:
        cr_assert_eq(pread(fd, page, 4096, a * 4096), 4096);
        cr_assert_eq(pread(fd, other, 4096, b * 4096), 4096);
        cr_assert_eq(pwrite(fd, page, 4096, b * 4096), 4096);
        cr_assert_eq(pwrite(fd, other, 4096, a * 4096), 4096);
        break;
    }
    (void)close(fd);
}

static void survive_damage(bool unclean, unsigned from, unsigned to)
{
    struct kit kit;
    kit_init(&kit, false);
    fill(&kit, unclean);
    char work[100];
    (void)snprintf(work, sizeof work, "%s/work", kit.base);
    for (unsigned seed = from; seed < to; seed++) {
        srand(seed);
        copy_spool(kit.dir, work);
        mutate(work, "spool.db", seed);
        if (unclean)
            mutate(work, "spool.db-wal", seed / 2);
        kit.opts.path = work;
        int64_t before = fm_clock_ms();
        kit_open(&kit);
        cr_assert_leq(fm_clock_ms() - before, 5000);
        check_texts(kit_drain(&kit, "t"));
        kit_store(&kit, "u", 2, 1);
        cr_assert_str_eq(kit_drain(&kit, "u"), "1:S 2:r2");
        kit_close(&kit);
        char command[200];
        (void)snprintf(command, sizeof command, "%s-%u", work, seed);
        cr_assert_eq(rename(work, command), 0);
    }
    kit_done(&kit);
}

Test(disk, starts_with_any_damage_and_sends_no_wrong_byte)
{
    survive_damage(false, 0, 60);
}

Test(disk, starts_with_any_damage_of_an_unclean_end_too)
{
    survive_damage(true, 1000, 1060);
}
