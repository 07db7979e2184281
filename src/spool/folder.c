/* The spool's folder: who may use it, its lock, and the two small files beside the database. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "spool/rows_priv.h"

enum { TMPFS = 0x01021994, RAMFS = (int)0x858458f6, LOCK_TRIES = 5, HOLDER_SIZE = 512 };

static enum fm_code check_folder(const char *path, struct fm_err *err)
{
    struct stat info;
    if (lstat(path, &info) != 0) {
        if (errno != ENOENT)
            return fm_err_sys(err, errno, "cannot look at the spool folder %s", path);
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return fm_err_sys(err, errno, "cannot create the spool folder %s", path);
        if (lstat(path, &info) != 0)
            return fm_err_sys(err, errno, "cannot look at the spool folder %s", path);
        if (S_ISDIR(info.st_mode) && chmod(path, 0700) != 0) /* the umask may have taken bits */
            return fm_err_sys(err, errno, "cannot set the mode of the spool folder %s", path);
        info.st_mode = S_IFDIR | 0700;
    }
    if (S_ISLNK(info.st_mode))
        return fm_err_set(err, FM_EPERM, "the spool folder %s is a link; name its target", path);
    if (!S_ISDIR(info.st_mode))
        return fm_err_set(err, FM_EPERM, "the spool %s is not a folder; set [spool] path to one",
                          path);
    if (info.st_uid != geteuid())
        return fm_err_set(
            err, FM_EPERM,
            "the spool folder %s belongs to user %u, not to us (%u); run as that user "
            "or change its owner",
            path, info.st_uid, geteuid());
    if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return fm_err_set(err, FM_EPERM,
                          "the spool folder %s is writable by others (mode %04o); chmod 0700 it",
                          path, info.st_mode & 07777);
    return FM_OK;
}

/* ---- lock ---- */

static void read_holder(int fd, char *socket, size_t size, int *pid)
{
    char text[HOLDER_SIZE] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    *pid = n > 0 ? (int)strtol(text, NULL, 10) : 0;
    char *line = n > 0 ? strchr(text, '\n') : NULL;
    if (size == 0)
        return;
    socket[0] = '\0';
    if (line == NULL)
        return;
    line++;
    line[strcspn(line, "\n")] = '\0';
    if (strlen(line) < size)
        memcpy(socket, line, strlen(line) + 1);
}

static enum fm_code write_holder(int fd, const char *socket, struct fm_err *err)
{
    char text[HOLDER_SIZE];
    int n = snprintf(text, sizeof text, "%ld\n%s\n", (long)getpid(), socket != NULL ? socket : "");
    if (n < 0 || n >= (int)sizeof text)
        return fm_err_set(err, FM_ELIMIT, "the path of the control socket is too long");
    /* Written over the old text before it is cut: a full disk has no new block to give. */
    if (pwrite(fd, text, (size_t)n, 0) != n || ftruncate(fd, n) != 0)
        return errno == ENOSPC ? FM_OK : fm_err_sys(err, errno, "cannot write the spool's lock");
    return FM_OK;
}

/* The lock is the kernel's, on the open file: it ends with its holder, whatever the file says. */
static enum fm_code take_lock(struct fm_spool *sp, struct fm_err *err)
{
    int fd = openat(sp->dir_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EROFS) /* even a look keeps its lock and SQLite's files there */
        return fm_err_set(err, FM_ESYS,
                          "the spool %.120s lies on a read-only file system; mount it writable, or "
                          "copy the folder elsewhere (cp -a) and use the copy",
                          sp->dir);
    if (fd < 0)
        return fm_err_sys(err, errno, "cannot open the lock of the spool %s", sp->dir);
    for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
        int sys = errno;
        if (sys == EWOULDBLOCK && i < LOCK_TRIES) { /* fm_spool_holder() has it for a moment */
            fm_sleep_ms(10);
            continue;
        }
        char socket[HOLDER_SIZE];
        int pid;
        read_holder(fd, socket, sizeof socket, &pid);
        (void)close(fd);
        if (sys != EWOULDBLOCK)
            return fm_err_sys(err, sys, "cannot lock the spool %s", sp->dir);
        return fm_err_set(err, FM_ELOCKED, "the spool %s is in use by process %d; stop it first",
                          sp->dir, pid);
    }
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || fchmod(fd, 0600) != 0) {
        (void)close(fd);
        return fm_err_set(err, FM_EPERM, "the lock of the spool %s is not an ordinary file",
                          sp->dir);
    }
    sp->lock_fd = fd;
    return write_holder(fd, sp->control_socket, err);
}

enum fm_code fm_spool_holder(const char *path, char *out, size_t size, int *pid, struct fm_err *err)
{
    char name[PATH_MAX];
    int ignored = 0;
    pid = pid != NULL ? pid : &ignored;
    *pid = 0;
    if (size > 0)
        out[0] = '\0';
    if (snprintf(name, sizeof name, "%s/lock", path) >= (int)sizeof name)
        return fm_err_set(err, FM_ELIMIT, "the path of the spool is too long");
    FM_AUTO(fm_auto_close) int fd = open(name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        if (errno == ENOENT)
            return fm_err_set(err, FM_ENOTFOUND, "there is no spool in %s", path);
        return fm_err_sys(err, errno, "cannot open %s", name);
    }
    if (flock(fd, LOCK_SH | LOCK_NB) == 0)
        return FM_OK;
    if (errno != EWOULDBLOCK)
        return fm_err_sys(err, errno, "cannot look at the lock %s", name);
    read_holder(fd, out, size, pid);
    return fm_err_set(err, FM_ELOCKED, "the spool %s is in use by process %d", path, *pid);
}

/* ---- use: the first line of the identity file ---- */

static const char *const uses[] = {
    [FM_SPOOL_AGENT] = "use agent\n", [FM_SPOOL_PROGRAM] = "use program\n"};

/* Asked before the lock: whoever may not use the folder needs no word about its holder. */
static enum fm_code check_use(struct fm_spool *sp, struct fm_err *err)
{
    char line[32] = "";
    enum fm_spool_use wanted = sp->opts.use, found = FM_SPOOL_ANY;
    FM_AUTO(fm_auto_close)
    int fd = openat(sp->dir_fd, "identity", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && read(fd, line, sizeof line - 1) > 0) {
        for (size_t i = FM_SPOOL_AGENT; i < sizeof uses / sizeof uses[0]; i++)
            if (strncmp(line, uses[i], strlen(uses[i])) == 0)
                found = (enum fm_spool_use)i;
    }
    if (found ==
        FM_SPOOL_ANY) { /* new, of an earlier build, or damaged: said with the next commit */
        sp->identity_dirty = wanted != FM_SPOOL_ANY;
        return FM_OK;
    }
    sp->opts.use = found;
    if (wanted == FM_SPOOL_ANY || wanted == found)
        return FM_OK;
    if (found == FM_SPOOL_AGENT)
        return fm_err_set(err, FM_ECONF,
                          "the spool %.120s is an agent's, whose count other records would break; "
                          "name a folder of your own",
                          sp->dir);
    return fm_err_set(err, FM_ECONF,
                      "the spool %.120s belongs to produce or another program, whose records the "
                      "agent cannot account for; set [spool] path to another folder",
                      sp->dir);
}

enum fm_code folder_open(struct fm_spool *sp, struct fm_err *err)
{
    FM_TRY(check_folder(sp->dir, err));
    sp->dir_fd = open(sp->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (sp->dir_fd < 0)
        return fm_err_sys(err, errno, "cannot open the spool folder %s", sp->dir);
    struct statfs fs;
    if (fstatfs(sp->dir_fd, &fs) == 0)
        sp->on_tmpfs = (unsigned long)fs.f_type == TMPFS || (unsigned)fs.f_type == (unsigned)RAMFS;
    FM_TRY(check_use(sp, err));
    FM_TRY(take_lock(sp, err));
    if (fchmod(sp->dir_fd, 0700) != 0) /* only now: a loser of the lock changes nothing */
        return fm_err_sys(err, errno, "cannot set the mode of the spool folder %s", sp->dir);
    return FM_OK;
}

void folder_close(struct fm_spool *sp)
{
    if (sp->lock_fd >= 0) {
        (void)!ftruncate(sp->lock_fd, 0); /* the file stays: removing it would race */
        (void)close(sp->lock_fd);
    }
    if (sp->dir_fd >= 0)
        (void)close(sp->dir_fd);
    sp->lock_fd = sp->dir_fd = -1;
}

void machine_id(char out[MACHINE_SIZE], const char *given)
{
    memset(out, 0, MACHINE_SIZE);
    if (given != NULL) {
        memcpy(out, given, strnlen(given, MACHINE_SIZE - 1));
        return;
    }
    FM_AUTO(fm_auto_close) int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, MACHINE_SIZE - 1) : -1;
    out[n > 0 ? strcspn(out, "\n") : 0] = '\0';
}

/* ---- identity ---- */

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

enum fm_code identity_write(struct fm_spool *sp, struct fm_err *err)
{
    struct fm_buf buf;
    fm_buf_init(&buf, 0);
    if (sp->opts.use != FM_SPOOL_ANY)
        fm_buf_puts(&buf, uses[sp->opts.use]);
    for (size_t i = 0; i < sp->n_topics; i++) {
        if (sp->topic_list[i]->current != NULL)
            fm_buf_printf(&buf, "stream %s %s\n", sp->topic_list[i]->current->name,
                          sp->topic_list[i]->name);
    }
    FM_AUTO(fm_auto_close)
    int fd = openat(sp->dir_fd, "identity.new",
                    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool good = fd >= 0 && !buf.failed && fchmod(fd, 0600) == 0 &&
                write_all(fd, fm_buf_str(&buf), buf.len) && fsync(fd) == 0 &&
                renameat(sp->dir_fd, "identity.new", sp->dir_fd, "identity") == 0 &&
                fsync(sp->dir_fd) == 0;
    int sys = errno;
    fm_buf_clear(&buf);
    return good ? FM_OK : fm_err_sys(err, sys, "cannot write %s/identity", sp->dir);
}

static enum fm_code identity_line(struct fm_spool *sp, char *line, bool *found, struct fm_err *err)
{
    static const char word[] = "stream ";
    size_t head = sizeof word - 1 + FM_STREAM_LEN;
    if (strncmp(line, word, sizeof word - 1) != 0 || strlen(line) < head + 2 || line[head] != ' ' ||
        strlen(line + head + 1) >= TOPIC_SIZE)
        return FM_OK; /* damaged too: nothing is known of it */
    line[head] = '\0';
    const char *name = line + sizeof word - 1, *topic = line + head + 1;
    if (strspn(name, "0123456789abcdef") != FM_STREAM_LEN || stream_find(sp, name) != NULL)
        return FM_OK;
    struct stream *s;
    FM_TRY(stream_add(sp, &s, name, topic, err));
    s->id = sp->next_stream++;
    s->unknown = s->ended = s->dirty = true;
    memcpy(s->agent, sp->agent, sizeof s->agent);
    memcpy(s->machine, sp->machine, sizeof s->machine);
    if (s->topic->current == NULL)
        s->topic->current = s;
    *found = true;
    return FM_OK;
}

enum fm_code identity_read(struct fm_spool *sp, bool *found, struct fm_err *err)
{
    enum { MAX_BYTES = 1024 * 1024 };
    *found = false;
    FM_AUTO(fm_auto_close)
    int fd = openat(sp->dir_fd, "identity", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size > MAX_BYTES)
        return FM_OK;
    FM_AUTO(fm_auto_free) char *text = calloc(1, (size_t)info.st_size + 1);
    if (text == NULL)
        return fm_err_nomem(err);
    ssize_t n = read(fd, text, (size_t)info.st_size);
    char *save = NULL;
    for (char *line = n > 0 ? strtok_r(text, "\n", &save) : NULL; line != NULL;
         line = strtok_r(NULL, "\n", &save))
        FM_TRY(identity_line(sp, line, found, err));
    return FM_OK;
}

/* Files without a name take records as ever, and nobody will find them there. */
void folder_look(struct fm_spool *sp)
{
    bool removed = store_was_removed(sp->store);
    if (removed == sp->removed)
        return;
    sp->removed = removed;
    sp->seen = true;
    if (removed)
        fm_log(sp->opts.log, FM_LOG_ERROR,
               "spool: %s was removed or replaced under this process: the records that wait are "
               "lost with it; let them be sent, then restart",
               sp->dir);
    else
        fm_log(sp->opts.log, FM_LOG_INFO, "spool: %s is back in its place", sp->dir);
}
