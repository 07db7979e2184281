/* Whether the end of the write-ahead log is damage, or only what a kill or a power cut leaves. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/thread.h"
#include "spool/spool_priv.h"

/* SQLite's file format, "WAL Header" and "WAL Frame Header". */
enum { HEAD = 32, FRAME_HEAD = 24, PAGE_MAX = 65536 };

static uint32_t word(const unsigned char *p, bool big)
{
    return big ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]
               : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static void wal_sum(const unsigned char *p, size_t len, bool big, uint32_t sum[2])
{
    for (size_t i = 0; i + 8 <= len; i += 8) {
        sum[0] += word(p + i, big) + sum[1];
        sum[1] += word(p + i + 4, big) + sum[0];
    }
}

/* Whether a frame ends a transaction of the log's own generation: the last page of a commit lies
 * inside the database, whose size after it stands in the frame. */
static bool is_commit(const unsigned char *frame, const unsigned char *head)
{
    uint32_t page = word(frame, true), size = word(frame + 4, true);
    return memcmp(frame + 8, head + 16, 8) == 0 && page > 0 && page <= size;
}

/* Room that was made for a file, but not filled before the power failed. */
static bool only_zeros(int fd)
{
    unsigned char buf[4096];
    ssize_t n;
    for (off_t at = 0; (n = pread(fd, buf, sizeof buf, at)) > 0; at += n) {
        for (ssize_t i = 0; i < n; i++) {
            if (buf[i] != 0)
                return false;
        }
    }
    return true;
}

/* The first frame that is not valid, where SQLite ends its recovery without a word.
 * @return its offset; -1: every whole frame is valid */
static off_t first_bad(int fd, const unsigned char *head, size_t page, uint32_t sum[2])
{
    bool big = (head[3] & 1) != 0;
    FM_AUTO(fm_auto_free) unsigned char *frame = malloc(FRAME_HEAD + page);
    for (off_t at = HEAD; frame != NULL; at += FRAME_HEAD + (off_t)page) {
        if (pread(fd, frame, FRAME_HEAD + page, at) != FRAME_HEAD + (ssize_t)page)
            return -1;
        wal_sum(frame, 8, big, sum);
        wal_sum(frame + FRAME_HEAD, page, big, sum);
        if (memcmp(frame + 8, head + 16, 8) != 0 || sum[0] != word(frame + 16, true) ||
            sum[1] != word(frame + 20, true))
            return at;
    }
    return -1;
}

/* Damage is a frame that is not valid before the end of a transaction: numbers given in what SQLite
 * then passes over would be given again. Frames that are not valid, with no commit behind them,
 * belong to a transaction that was never finished: one that outgrew the page cache and was killed
 * (frames written twice get salt and sum only at the commit, from the front), or blocks that a
 * power cut left empty. A frame cut by the end of the file is what a kill leaves, too. */
bool wal_is_damaged(struct fm_spool *sp)
{
    FM_AUTO(fm_auto_close)
    int fd = openat(sp->dir_fd, "spool.db-wal", O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    unsigned char head[HEAD];
    if (fd < 0 || pread(fd, head, sizeof head, 0) < HEAD)
        return false;
    uint32_t magic = word(head, true), page = word(head + 8, true), sum[2] = {0, 0};
    if ((magic & ~1u) != 0x377f0682 || page < 512 || page > PAGE_MAX || (page & (page - 1)) != 0)
        return !only_zeros(fd);
    wal_sum(head, 24, (magic & 1) != 0, sum);
    if (sum[0] != word(head + 24, true) || sum[1] != word(head + 28, true))
        return true;
    off_t step = FRAME_HEAD + (off_t)page, at = first_bad(fd, head, page, sum);
    if (at == -1)
        return false;
    off_t end = lseek(fd, 0, SEEK_END);
    unsigned char frame[FRAME_HEAD];
    for (; at + step <= end; at += step) {
        if (pread(fd, frame, sizeof frame, at) == FRAME_HEAD && is_commit(frame, head))
            return true;
    }
    return false;
}
