/* Room on the disk: how max_size is shared out, the reserve file, and how the spool goes on where
 * the disk is full.
 *
 * There SQLite can write into blocks that its files have, and into nothing else. So the log is
 * never cut, is given what the reserve leaves free, and is written over from its beginning after
 * each commit; the database grows only by room that was had before the commit, else a checkpoint
 * could fail and the log not be written over. Deleting then needs no room at all, and what it frees
 * takes new records. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "spool/rows_priv.h"

enum {
    WAL_MOST = 8 * 1024 * 1024,
    FIXED_MOST = 192 * 1024, /* tables without rows, and the small files */
    LOG_LEAST = 64 * 1024,
    LOOK_MS = 1000,
    MIB = 1024 * 1024
};

/* ---- shares of max_size ---- */

uint64_t room_wal(const struct fm_spool *sp)
{
    uint64_t share = sp->opts.max_size / 8;
    return share < WAL_MOST ? share : WAL_MOST;
}

uint64_t room_reserve(const struct fm_spool *sp, uint64_t wanted)
{
    return wanted < sp->opts.max_size / 2 ? wanted : sp->opts.max_size / 2;
}

/* The log is written over once it is half full. */
uint64_t room_batch(const struct fm_spool *sp)
{
    return sp->dir != NULL ? room_wal(sp) * 3 / 8 : UINT64_MAX;
}

uint64_t room_rows(const struct fm_spool *sp)
{
    uint64_t max = sp->opts.max_size, wal = room_wal(sp);
    if (sp->dir == NULL)
        return max;
    /* A log that cannot be emptied, because somebody reads the database, counts as it is. */
    uint64_t fixed = max / 5 < FIXED_MOST ? max / 5 : FIXED_MOST;
    uint64_t taken = sp->opts.reserve + fixed;
    taken += sp->sizes.wal_bytes > wal ? sp->sizes.wal_bytes : wal;
    return max > taken ? max - taken : 0;
}

uint64_t room_taken(const struct fm_spool *sp)
{
    struct stat wal = {0};
    (void)!fstatat(sp->dir_fd, "spool.db-wal", &wal, AT_SYMLINK_NOFOLLOW);
    return sp->sizes.pages * sp->sizes.page_size + (uint64_t)wal.st_size +
           (sp->reserve_given ? 0 : sp->opts.reserve);
}

uint64_t room_free(const struct fm_spool *sp)
{
    struct statvfs fs;
    return sp->dir_fd < 0 || fstatvfs(sp->dir_fd, &fs) != 0 ? UINT64_MAX
                                                            : (uint64_t)fs.f_bavail * fs.f_frsize;
}

enum fm_code room_none(const struct fm_spool *sp, struct fm_err *err)
{
    uint64_t left = room_free(sp);
    return fm_err_set(err, FM_ESYS,
                      "the disk that holds %s is full (%llu KiB are free); make room there",
                      sp->dir, (unsigned long long)(left == UINT64_MAX ? 0 : left / 1024));
}

/* What must be free before writing is as ever: the reserve, and so much beside it that the log may
 * grow. It is more than the spool gives away when the disk is full, so giving up the reserve does
 * not look like room. Without a reserve it is what room_is_short() asks for at a start. */
uint64_t room_needed(const struct fm_spool *sp)
{
    uint64_t wal = room_wal(sp), log = sp->opts.reserve / 4;
    if (sp->opts.reserve == 0)
        return 2 * LOG_LEAST + wal;
    if (log > wal)
        log = wal;
    return sp->opts.reserve + (log > 2 * LOG_LEAST ? log : 2 * LOG_LEAST);
}

/* ---- the reserve ---- */

static bool reserve_is_there(const struct fm_spool *sp)
{
    struct stat info;
    return fstatat(sp->dir_fd, "reserve", &info, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(info.st_mode) && (uint64_t)info.st_size == sp->opts.reserve;
}

void reserve_give_up(struct fm_spool *sp)
{
    if (sp->opts.reserve == 0 || sp->reserve_given)
        return;
    sp->reserve_given = true;
    if (unlinkat(sp->dir_fd, "reserve", 0) == 0)
        fm_log(sp->opts.log, FM_LOG_WARN,
               "spool: the disk that holds %s is full; gave up the reserve of %llu KiB so that "
               "sending can go on",
               sp->dir, (unsigned long long)(sp->opts.reserve / 1024));
    sp->look_ms = fm_clock_ms() + LOOK_MS;
}

void reserve_rebuild(struct fm_spool *sp)
{
    if (sp->opts.reserve == 0 || sp->dir_fd < 0)
        return;
    if (reserve_is_there(sp)) {
        sp->reserve_given = false;
        return;
    }
    sp->reserve_given = true;
    sp->look_ms = fm_clock_ms() + LOOK_MS;
    if (room_free(sp) < room_needed(sp))
        return;
    FM_AUTO(fm_auto_close)
    int fd =
        openat(sp->dir_fd, "reserve", O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    if (fchmod(fd, 0600) == 0 && posix_fallocate(fd, 0, (off_t)sp->opts.reserve) == 0)
        sp->reserve_given = false;
    else
        (void)unlinkat(sp->dir_fd, "reserve", 0);
}

void reserve_change(struct fm_spool *sp, uint64_t bytes)
{
    if (bytes == sp->opts.reserve)
        return;
    sp->opts.reserve = bytes;
    sp->reserve_given = false;
    if (sp->dir_fd >= 0)
        (void)unlinkat(sp->dir_fd, "reserve", 0);
    reserve_rebuild(sp);
}

/* ---- the full disk ---- */

/* Blocks for the log, as many as there are. SQLite takes no lock on this file that closing it could
 * end, and passes over what lies behind the log's last frame. */
static void claim_log(const struct fm_spool *sp)
{
    FM_AUTO(fm_auto_close)
    int fd = openat(sp->dir_fd, "spool.db-wal", O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    uint64_t want = sp->opts.reserve / 2 > LOG_LEAST ? sp->opts.reserve / 2 : LOG_LEAST;
    if (want > room_wal(sp))
        want = room_wal(sp);
    while (fd >= 0 && want >= LOG_LEAST && posix_fallocate(fd, 0, (off_t)want) != 0)
        want /= 2;
}

void room_run_out(struct fm_spool *sp)
{
    reserve_give_up(sp);
    if (sp->tight)
        return;
    sp->tight = true;
    sp->tight_take = 1;
    sp->look_ms = fm_clock_ms() + LOOK_MS;
    claim_log(sp);
    if (sp->store != NULL)
        (void)!store_checkpoint(sp->store, CHECKPOINT_NOW, NULL);
}

bool room_is_short(const struct fm_spool *sp)
{
    return !reserve_is_there(sp) && room_free(sp) < 2 * LOG_LEAST + room_wal(sp);
}

bool room_look(struct fm_spool *sp)
{
    if (!sp->tight && !sp->reserve_given)
        return false;
    reserve_rebuild(sp);
    sp->look_ms = fm_clock_ms() + LOOK_MS;
    if (!sp->tight)
        return false;
    uint64_t left = room_free(sp), needed = room_needed(sp);
    if (sp->opts.reserve > 0 ? sp->reserve_given : left < needed) {
        fm_log_limited(sp->opts.log, FM_LOG_WARN, "spool room",
                       "spool: the disk that holds %s is full: %.1f MiB must be free there, %.1f "
                       "MiB are; until then new records take the room that delivered ones leave",
                       sp->dir, (double)needed / MIB, (double)left / MIB);
        sp->seen = true; /* what is free now is told */
        return false;
    }
    sp->tight = false;
    fm_log(sp->opts.log, FM_LOG_INFO, "spool: there is room again on the disk that holds %s",
           sp->dir);
    return true;
}
