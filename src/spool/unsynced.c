/* sync = normal, and the power fails: what was committed last may be gone although it was sent
 * already, and its numbers would be given again, to other records. So the file "unsynced" stands
 * beside the database while commits are not synced, and names the boot in which that is so. Found
 * at the next start, in another boot, it means that the streams' last numbers are not known: they
 * get successors, as after damage. With sync = full every commit is synced before anybody is told
 * or anything is sent, and only a disk that lies about a sync can take it back. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/thread.h"
#include "spool/rows_priv.h"

static const char name[] = "unsynced", name_new[] = "unsynced.new";

static ssize_t read_text(int dir, const char *path, char out[BOOT_SIZE])
{
    FM_AUTO(fm_auto_close) int fd = openat(dir, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    memset(out, 0, BOOT_SIZE);
    ssize_t n = fd >= 0 ? read(fd, out, BOOT_SIZE - 1) : -1;
    out[strcspn(out, "\n")] = '\0';
    return n;
}

void boot_id(char out[BOOT_SIZE], const char *given)
{
    if (given == NULL) {
        (void)read_text(AT_FDCWD, "/proc/sys/kernel/random/boot_id", out);
        return;
    }
    memset(out, 0, BOOT_SIZE);
    memcpy(out, given, strnlen(given, BOOT_SIZE - 1));
}

bool unsynced_lost(const struct fm_spool *sp)
{
    char boot[BOOT_SIZE];
    if (read_text(sp->dir_fd, name, boot) < 0 && errno == ENOENT)
        return false;
    return boot[0] == '\0' || strcmp(boot, sp->boot) != 0; /* unknown: not this one */
}

enum fm_code unsynced_note(const struct fm_spool *sp, struct fm_err *err)
{
    char boot[BOOT_SIZE];
    if (sp->boot[0] != '\0' && read_text(sp->dir_fd, name, boot) > 0 && strcmp(boot, sp->boot) == 0)
        return FM_OK;
    size_t len = strlen(sp->boot);
    FM_AUTO(fm_auto_close)
    int fd =
        openat(sp->dir_fd, name_new, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool good = fd >= 0 && fchmod(fd, 0600) == 0 && write(fd, sp->boot, len) == (ssize_t)len &&
                fsync(fd) == 0 && renameat(sp->dir_fd, name_new, sp->dir_fd, name) == 0 &&
                fsync(sp->dir_fd) == 0;
    return good ? FM_OK : fm_err_sys(err, errno, "cannot write %s/%s", sp->dir, name);
}

void unsynced_clear(const struct fm_spool *sp, bool synced)
{
    struct stat info;
    /* The database has no log any more if all of it was synced. */
    if (synced || fstatat(sp->dir_fd, "spool.db-wal", &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        info.st_size == 0)
        if (unlinkat(sp->dir_fd, name, 0) == 0)
            (void)fsync(sp->dir_fd); /* it must not come back with a power cut */
}

void unsynced_settle(const struct fm_spool *sp)
{
    struct fm_err err = {0};
    if (faccessat(sp->dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    if (store_checkpoint(sp->store, CHECKPOINT_CUT, &err) == FM_OK)
        unsynced_clear(sp, false);
    else /* the note stays until the spool is closed: rather a stream more than a number again */
        fm_log(sp->opts.log, FM_LOG_WARN, "spool: %s", fm_err_text(&err));
}
