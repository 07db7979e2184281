/* What a stop without room on the disk leaves undone: records that were taken into the queue, and
 * losses that were to be declared. Their numbers stand in the small file "owed", whose block is
 * filled while there is room, and the next start declares them lost.
 *
 * A line names the newest stream of its topic in the database ("-": none) and its last number
 * there: if that has grown, or there is one now, the line was declared before a kill. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "spool/spool_priv.h"

enum { OWED_SIZE = 4096, LINE_MAX_BYTES = 400 };

static int open_owed(const struct fm_spool *sp, int flags)
{
    return openat(sp->dir_fd, "owed", flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
}

static bool fill(int fd, const char *text, size_t len)
{
    char block[OWED_SIZE] = "";
    memcpy(block, text, len);
    return pwrite(fd, block, sizeof block, 0) == OWED_SIZE;
}

void owed_prepare(const struct fm_spool *sp)
{
    struct stat info;
    FM_AUTO(fm_auto_close) int fd = open_owed(sp, O_RDWR | O_CREAT);
    if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size == OWED_SIZE)
        return;
    if (fchmod(fd, 0600) != 0 || !fill(fd, "", 0))
        (void)unlinkat(sp->dir_fd, "owed", 0); /* no room now: tried again at the next start */
}

/* ---- at a stop ---- */

static uint64_t owed_of(const struct fm_spool *sp, const struct topic *t)
{
    uint64_t n = 0;
    for (size_t i = 0; i < sp->n_streams; i++)
        n += sp->streams[i]->topic == t ? sp->streams[i]->unborn : 0;
    for (const struct op *op = sp->appends.head; op != NULL; op = op->next)
        if (!op->waited && strcmp(fm_chunk_topic(op->chunk), t->name) == 0)
            n += fm_chunk_count(op->chunk); /* who waits is told */
    return n;
}

static void put_line(const struct fm_spool *sp, const struct topic *t, uint64_t n,
                     struct fm_buf *out)
{
    const struct stream *newest = NULL;
    for (size_t i = 0; i < sp->n_streams; i++)
        if (sp->streams[i]->topic == t && sp->streams[i]->stored)
            newest = sp->streams[i];
    fm_buf_printf(out, "%s %" PRIu64 " %" PRIu64 " %" PRId64 " %s\n",
                  newest != NULL ? newest->name : "-", newest != NULL ? newest->stored_assigned : 0,
                  n, fm_wall_ms(), t->name);
}

uint64_t owed_write(struct fm_spool *sp, uint64_t *told)
{
    uint64_t all = 0;
    struct fm_buf text;
    struct topic *ignored;
    fm_buf_init(&text, 0);
    *told = 0;
    for (const struct op *op = sp->appends.head; op != NULL; op = op->next)
        (void)!topic_get(sp, fm_chunk_topic(op->chunk), &ignored, NULL);
    for (size_t i = 0; i < sp->n_topics; i++) {
        uint64_t n = owed_of(sp, sp->topic_list[i]);
        all += n;
        if (n == 0 || text.len + LINE_MAX_BYTES > OWED_SIZE)
            continue;
        put_line(sp, sp->topic_list[i], n, &text);
        *told += n;
    }
    fm_buf_printf(&text, "sum %08" PRIx32 "\n", fm_crc32c(0, text.data, text.len));
    FM_AUTO(fm_auto_close) int fd = all > 0 ? open_owed(sp, O_RDWR) : -1;
    if (all > 0 && (fd < 0 || text.failed || !fill(fd, text.data, text.len) || fsync(fd) != 0))
        *told = 0;
    fm_buf_clear(&text);
    return all;
}

/* ---- at a start ---- */

static enum fm_code take_line(struct fm_spool *sp, const char *line, uint64_t *n,
                              struct fm_err *err)
{
    char name[FM_STREAM_LEN + 1], topic[TOPIC_SIZE];
    uint64_t assigned, count;
    int64_t time_ms;
    if (sscanf(line, "%16s %" SCNu64 " %" SCNu64 " %" SCNd64 " %255[^\n]", name, &assigned, &count,
               &time_ms, topic) != 5)
        return FM_OK;
    const struct stream *s = stream_find(sp, name);
    const struct topic *t = topic_find(sp, topic);
    bool still = strcmp(name, "-") == 0 ? t == NULL || t->current == NULL
                                        : s != NULL && s->assigned == assigned;
    if (!still)
        return FM_OK;
    *n += count;
    return spool_lose_unborn(sp, topic, count, FM_GAP_FULL, time_ms, err);
}

/* The lines, if the sum behind them is right. */
static bool check_sum(char *text)
{
    char *sum = strstr(text, "sum ");
    if (sum == NULL || (sum != text && sum[-1] != '\n'))
        return false;
    uint32_t want = (uint32_t)strtoul(sum + 4, NULL, 16);
    *sum = '\0';
    return sum != text && fm_crc32c(0, text, strlen(text)) == want;
}

enum fm_code owed_take(struct fm_spool *sp, struct fm_err *err)
{
    char text[OWED_SIZE + 1] = "", *save = NULL;
    FM_AUTO(fm_auto_close) int fd = open_owed(sp, O_RDONLY);
    if (fd < 0 || read(fd, text, OWED_SIZE) != OWED_SIZE || !check_sum(text))
        return FM_OK;
    uint64_t n = 0;
    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
        FM_TRY(take_line(sp, line, &n, err));
    if (n > 0)
        fm_log(sp->opts.log, FM_LOG_WARN,
               "spool: %" PRIu64 " records that the last stop could not store are declared lost",
               n);
    sp->owed = true;
    sp->due_ms = fm_clock_ms(); /* with a commit at once */
    return FM_OK;
}

void owed_clear(struct fm_spool *sp)
{
    FM_AUTO(fm_auto_close) int fd = open_owed(sp, O_RDWR);
    if (fd < 0 || fill(fd, "", 0))
        sp->owed = false;
}
