/* Damaged databases: set aside into dated folders, of which the newest are kept. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "spool/aside_priv.h"

enum { KEPT = 3, LISTED_MAX = 1024, NAME_SIZE = 64 };

static const char prefix[] = "damaged-", unfinished[] = "mending-";
static const char *const database_files[] = {"spool.db", "spool.db-wal", "spool.db-shm",
                                             "spool.db-journal"};
enum { N_FILES = sizeof database_files / sizeof *database_files };

struct folder {
    char name[NAME_SIZE];
};

static int newest_first(const void *a, const void *b)
{
    return strverscmp(((const struct folder *)b)->name, ((const struct folder *)a)->name);
}

/* The folders whose names begin so, newest first. */
static size_t list_folders(const struct fm_spool *sp, const char *begin, struct folder *out,
                           size_t max)
{
    int fd = openat(sp->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    size_t n = 0;
    if (dir == NULL && fd >= 0)
        (void)close(fd);
    for (struct dirent *e; dir != NULL && n < max && (e = readdir(dir)) != NULL;) {
        if (strncmp(e->d_name, begin, strlen(begin)) == 0 && strlen(e->d_name) < NAME_SIZE)
            memcpy(out[n++].name, e->d_name, strlen(e->d_name) + 1);
    }
    if (dir != NULL)
        (void)closedir(dir);
    qsort(out, n, sizeof *out, newest_first);
    return n;
}

uint64_t folder_bytes(int fd)
{
    uint64_t bytes = 0;
    struct stat info;
    for (size_t i = 0; i < N_FILES; i++) {
        if (fstatat(fd, database_files[i], &info, AT_SYMLINK_NOFOLLOW) == 0)
            bytes += (uint64_t)info.st_size;
    }
    return bytes;
}

/* Only what was put there: what somebody added stays, and the folder with it. */
static bool remove_folder(struct fm_spool *sp, int fd, const char *name)
{
    for (size_t i = 0; i < N_FILES; i++)
        (void)unlinkat(fd, database_files[i], 0);
    return unlinkat(sp->dir_fd, name, AT_REMOVEDIR) == 0;
}

static int open_folder(const struct fm_spool *sp, const char *name)
{
    return openat(sp->dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* The one just made stays whatever its size, and even if the clock went back and its name says that
 * it is old: it is being read. */
static void prune(struct fm_spool *sp, const char *made)
{
    FM_AUTO(fm_auto_free) struct folder *list = calloc(LISTED_MAX, sizeof *list);
    size_t n = list != NULL ? list_folders(sp, prefix, list, LISTED_MAX) : 0, kept = 1;
    FM_AUTO(fm_auto_close) int made_fd = open_folder(sp, made);
    uint64_t bytes = made_fd >= 0 ? folder_bytes(made_fd) : 0;
    bool over = false;
    for (size_t i = 0; i < n; i++) {
        FM_AUTO(fm_auto_close) int fd = open_folder(sp, list[i].name);
        if (fd < 0 || strcmp(list[i].name, made) == 0)
            continue;
        bytes += folder_bytes(fd);
        over = over || kept == KEPT || bytes > sp->opts.max_size;
        kept++;
        if (over && remove_folder(sp, fd, list[i].name))
            fm_log(sp->opts.log, FM_LOG_WARN, "spool: removed %s/%s, the newest %d are kept",
                   sp->dir, list[i].name, KEPT);
    }
}

void aside_look(struct fm_spool *sp)
{
    FM_AUTO(fm_auto_free) struct folder *list = calloc(LISTED_MAX, sizeof *list);
    if (list != NULL && list_folders(sp, prefix, list, LISTED_MAX) > 0)
        (void)snprintf(sp->damage, sizeof sp->damage, "%s/%s", sp->dir, list[0].name);
}

/* As it will be called. */
static void name_damage(struct fm_spool *sp)
{
    (void)snprintf(sp->damage, sizeof sp->damage, "%s/%s%s", sp->dir, prefix,
                   sp->mending + sizeof unfinished - 1);
}

enum fm_code aside_path(const struct fm_spool *sp, char *out, size_t size, struct fm_err *err)
{
    if (snprintf(out, size, "%s/%s", sp->dir, sp->mending) >= (int)size)
        return fm_err_set(err, FM_ELIMIT, "the path of the spool is too long");
    return FM_OK;
}

enum fm_code set_aside(struct fm_spool *sp, char *out, size_t size, struct fm_err *err)
{
    time_t now = (time_t)(fm_wall_ms() / 1000);
    struct tm tm = {0};
    char stamp[32] = "", name[NAME_SIZE], final[NAME_SIZE];
    if (gmtime_r(&now, &tm) != NULL)
        (void)strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
    int made = -1;
    for (int i = 0; i < 1000 && made != 0; i++) {
        char again[8] = "";
        if (i > 0)
            (void)snprintf(again, sizeof again, "-%d", i);
        (void)snprintf(final, sizeof final, "%s%s%s", prefix, stamp, again);
        (void)snprintf(name, sizeof name, "%s%s%s", unfinished, stamp, again);
        if (faccessat(sp->dir_fd, final, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            continue;
        made = mkdirat(sp->dir_fd, name, 0700);
        if (made != 0 && errno != EEXIST)
            break;
    }
    if (made != 0)
        return fm_err_sys(err, errno, "cannot set the damaged spool %s aside", sp->dir);
    (void)!fchmodat(sp->dir_fd, name, 0700, 0);
    for (size_t i = 0; i < N_FILES; i++) {
        char to[128];
        (void)snprintf(to, sizeof to, "%s/%s", name, database_files[i]);
        if (renameat(sp->dir_fd, database_files[i], sp->dir_fd, to) != 0 && errno != ENOENT)
            return fm_err_sys(err, errno, "cannot set %s/%s aside", sp->dir, database_files[i]);
    }
    (void)fsync(sp->dir_fd);
    prune(sp, name);
    memcpy(sp->mending, name, sizeof name);
    name_damage(sp);
    sp->last_damage_ms = fm_clock_ms();
    return aside_path(sp, out, size, err);
}

bool aside_unfinished(struct fm_spool *sp)
{
    FM_AUTO(fm_auto_free) struct folder *list = calloc(LISTED_MAX, sizeof *list);
    size_t n = list != NULL ? list_folders(sp, unfinished, list, LISTED_MAX) : 0;
    for (size_t i = 0; i < n; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", list[i].name, database_files[0]);
        if (faccessat(sp->dir_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
            continue; /* nothing was moved there */
        memcpy(sp->mending, list[i].name, sizeof sp->mending);
        name_damage(sp);
        return true;
    }
    return false;
}

void aside_gather(const struct fm_spool *sp)
{
    for (size_t i = 1; i < N_FILES; i++) {
        char to[128];
        (void)snprintf(to, sizeof to, "%s/%s", sp->mending, database_files[i]);
        if (faccessat(sp->dir_fd, to, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
            (void)renameat(sp->dir_fd, database_files[i], sp->dir_fd, to);
    }
    (void)fsync(sp->dir_fd);
}

uint64_t aside_bytes(const struct fm_spool *sp)
{
    FM_AUTO(fm_auto_close) int fd = open_folder(sp, sp->mending);
    return fd >= 0 ? folder_bytes(fd) : 0;
}

void aside_done(struct fm_spool *sp)
{
    char final[NAME_SIZE];
    if (sp->mending[0] == '\0')
        return;
    (void)snprintf(final, sizeof final, "%s%s", prefix, sp->mending + sizeof unfinished - 1);
    if (renameat(sp->dir_fd, sp->mending, sp->dir_fd, final) != 0) {
        struct fm_err err = {0};
        (void)fm_err_sys(&err, errno, "cannot rename %s/%s to %s", sp->dir, sp->mending, final);
        fm_log(sp->opts.log, FM_LOG_WARN, "spool: %s", fm_err_text(&err));
    }
    (void)fsync(sp->dir_fd);
    sp->mending[0] = '\0';
}

void aside_drop_new(const struct fm_spool *sp)
{
    for (size_t i = 0; i < N_FILES; i++)
        (void)unlinkat(sp->dir_fd, database_files[i], 0);
    (void)fsync(sp->dir_fd);
}
