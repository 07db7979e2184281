#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "jmx/local/local_priv.h"

enum { MAPS_MAX = 4 * 1024 * 1024, CMDLINE_MAX = 64 * 1024, PID_LIMIT = 1 << 22 };

ssize_t fm_read_small(int dir, const char *path, char *out, size_t max)
{
    FM_AUTO(fm_auto_close) int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -1;
    size_t len = 0;
    while (len + 1 < max) {
        ssize_t n = read(fd, out + len, max - 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    out[len] = '\0';
    return (ssize_t)len;
}

pid_t fm_proc_number(const char *name)
{
    long pid = 0;
    for (const char *p = name; *p != '\0'; p++) {
        if (*p < '0' || *p > '9' || p - name >= 7)
            return 0;
        pid = pid * 10 + (*p - '0');
    }
    return pid > 0 && pid <= PID_LIMIT && name[0] != '0' ? (pid_t)pid : 0;
}

/* The wall clock of a start given in ticks since boot. */
static int64_t start_wall(unsigned long long ticks)
{
    struct timespec boot = {0};
    (void)clock_gettime(CLOCK_BOOTTIME, &boot);
    int64_t up_ms = (int64_t)boot.tv_sec * 1000 + boot.tv_nsec / 1000000;
    long hz = sysconf(_SC_CLK_TCK);
    if (hz <= 0)
        hz = 100;
    return fm_wall_ms() - up_ms + (int64_t)(ticks * 1000 / (unsigned long long)hz);
}

/* stat: pid (comm) state ppid ... field 20 threads, field 22 start; comm may hold anything. */
static bool parse_stat(struct fm_proc *out, const char *text)
{
    const char *open = strchr(text, '('), *close = strrchr(text, ')');
    if (open == NULL || close == NULL || close < open)
        return false;
    (void)snprintf(out->comm, sizeof out->comm, "%.*s", (int)(close - open - 1), open + 1);
    unsigned long long start = 0;
    int n =
        sscanf(close + 1,
               " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld %*d %llu",
               &out->state, &out->threads, &start);
    if (n != 3)
        return false;
    out->start_ms = start_wall(start);
    return true;
}

static bool status_line(const char *text, const char *name, const char **out)
{
    size_t len = strlen(name);
    for (const char *line = text; line != NULL && *line != '\0';) {
        if (strncmp(line, name, len) == 0 && line[len] == ':') {
            *out = line + len + 1;
            return true;
        }
        line = strchr(line, '\n');
        if (line != NULL)
            line++;
    }
    return false;
}

static bool parse_status(struct fm_proc *out, const char *text)
{
    const char *at = NULL;
    unsigned real = 0, effective = 0;
    if (!status_line(text, "Uid", &at) || sscanf(at, "%u %u", &real, &effective) != 2)
        return false;
    out->uid = effective;
    if (!status_line(text, "Gid", &at) || sscanf(at, "%u %u", &real, &effective) != 2)
        return false;
    out->gid = effective;
    out->ns_pid = out->pid;
    if (status_line(text, "NSpid", &at)) { /* outermost first; absent before Linux 4.1 */
        for (char *end = NULL; *at != '\n' && *at != '\0'; at = end) {
            long pid = strtol(at, &end, 10);
            if (end == at)
                break;
            if (pid > 0 && pid <= PID_LIMIT)
                out->ns_pid = (pid_t)pid;
        }
    }
    if (status_line(text, "SigCgt", &at))
        out->caught = strtoull(at, NULL, 16);
    if (status_line(text, "SigIgn", &at))
        out->ignored = strtoull(at, NULL, 16);
    return true;
}

enum fm_code fm_proc_read(struct fm_proc *out, pid_t pid, struct fm_err *err)
{
    *out = (struct fm_proc){.pid = pid};
    char path[64], text[8192];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (fm_read_small(AT_FDCWD, path, text, sizeof text) <= 0) {
        if (errno == EACCES || errno == EPERM)
            return fm_err_set(err, FM_EPERM, "/proc/%d may not be read", (int)pid);
        return fm_err_set(err, FM_ENOTFOUND, "there is no process %d", (int)pid);
    }
    if (!parse_stat(out, text))
        return fm_err_set(err, FM_ENOTFOUND, "/proc/%d/stat cannot be understood", (int)pid);
    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    if (fm_read_small(AT_FDCWD, path, text, sizeof text) <= 0 || !parse_status(out, text))
        return fm_err_set(err, FM_ENOTFOUND, "process %d has ended", (int)pid);
    if (out->state == 'Z' || out->state == 'X')
        return fm_err_set(err, FM_ENOTFOUND, "process %d has ended", (int)pid);
    return FM_OK;
}

bool fm_proc_other_ns(pid_t pid, const char *kind)
{
    char path[64], own[64], other[64];
    (void)snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, kind);
    ssize_t n = readlink(path, other, sizeof other);
    (void)snprintf(path, sizeof path, "/proc/self/ns/%s", kind);
    ssize_t m = readlink(path, own, sizeof own);
    return n > 0 && m > 0 && (n != m || memcmp(own, other, (size_t)n) != 0);
}

bool fm_proc_maps(pid_t pid, const char *text)
{
    char path[64], block[16384 + 1];
    (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FM_AUTO(fm_auto_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t kept = 0, overlap = strlen(text);
    for (size_t total = 0; total < MAPS_MAX;) {
        ssize_t n = read(fd, block + kept, sizeof block - 1 - kept);
        if (n <= 0)
            return false;
        total += (size_t)n;
        size_t len = kept + (size_t)n;
        if (memmem(block, len, text, overlap) != NULL)
            return true;
        kept = len < overlap ? len : overlap;
        memmove(block, block + len - kept, kept);
    }
    return false;
}

char *fm_proc_cmdline(pid_t pid, struct fm_arena *arena)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
    FM_AUTO(fm_auto_free) char *text = malloc(CMDLINE_MAX);
    if (text == NULL)
        return NULL;
    ssize_t len = fm_read_small(AT_FDCWD, path, text, CMDLINE_MAX);
    while (len > 0 && text[len - 1] == '\0')
        len--;
    if (len <= 0)
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): FM_AUTO frees it, unseen by LLVM 14 */
        return NULL;
    for (ssize_t i = 0; i < len; i++)
        if (text[i] == '\0')
            text[i] = ' ';
    return fm_arena_strndup(arena, text, (size_t)len);
}

int fm_open_inside(int dir, const char *path, int flags)
{
    struct open_how how = {.flags = (unsigned long long)(flags | O_CLOEXEC),
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    long fd = syscall(SYS_openat2, dir, path, &how, sizeof how);
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
        return (int)fd;
    /* Before Linux 5.6, or where a filter hides the call: one component, no link at all. */
    return openat(dir, path, flags | O_NOFOLLOW | O_CLOEXEC);
}

int fm_proc_tmp(pid_t pid)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/root", (int)pid);
    FM_AUTO(fm_auto_close) int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -1;
    int fd = fm_open_inside(root, "tmp", O_RDONLY | O_DIRECTORY);
    return fd;
}
