/* What a stop without room on the disk leaves undone: records that were taken into the queue, and
 * losses that were to be declared. Their numbers stand in the small file "owed", whose block is
 * filled while there is room, and the next start declares them lost.
 *
 * A line names the newest stream of its topic in the database ("-": none), its last number there,
 * how many records are owed, the times of the first and the last of them, and the topic: if the
 * number has grown, or there is a stream now, the line was declared before a kill. */
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

struct debt {
    uint64_t n;
    int64_t first_ms, last_ms;
};

static void owe(struct debt *debt, uint64_t n, int64_t first_ms, int64_t last_ms)
{
    if (n == 0)
        return;
    debt->first_ms = debt->n == 0 || first_ms < debt->first_ms ? first_ms : debt->first_ms;
    debt->last_ms = last_ms > debt->last_ms ? last_ms : debt->last_ms;
    debt->n += n;
}

static struct debt owed_of(const struct fm_spool *sp, const struct topic *t)
{
    struct debt debt = {.n = 0};
    for (size_t i = 0; i < sp->n_streams; i++) {
        const struct stream *s = sp->streams[i];
        if (s->topic == t)
            owe(&debt, s->unborn, s->unborn_first_ms, s->unborn_last_ms);
    }
    for (const struct op *op = sp->appends.head; op != NULL; op = op->next) {
        size_t at = 0;
        struct fm_record rec = {0};
        if (op->waited || op->tagged || strcmp(fm_chunk_topic(op->chunk), t->name) != 0)
            continue; /* who waits, or is told by on_stored, has them still */
        (void)!fm_chunk_next(op->chunk, &at, &rec, NULL);
        owe(&debt, fm_chunk_count(op->chunk), rec.time_ms, rec.time_ms);
    }
    return debt;
}

static void put_line(const struct fm_spool *sp, const struct topic *t, const struct debt *debt,
                     struct fm_buf *out)
{
    const struct stream *newest = NULL;
    for (size_t i = 0; i < sp->n_streams; i++)
        if (sp->streams[i]->topic == t && sp->streams[i]->stored)
            newest = sp->streams[i];
    fm_buf_printf(out, "%s %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 " %s\n",
                  newest != NULL ? newest->name : "-", newest != NULL ? newest->stored_assigned : 0,
                  debt->n, debt->first_ms, debt->last_ms, t->name);
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
        struct debt debt = owed_of(sp, sp->topic_list[i]);
        all += debt.n;
        if (debt.n == 0 || text.len + LINE_MAX_BYTES > OWED_SIZE)
            continue;
        put_line(sp, sp->topic_list[i], &debt, &text);
        *told += debt.n;
    }
    fm_buf_printf(&text, "sum %08" PRIx32 "\n", fm_crc32c(0, text.data, text.len));
    FM_AUTO(fm_auto_close) int fd = all > 0 ? open_owed(sp, O_RDWR) : -1;
    if (all > 0 && (fd < 0 || text.failed || !fill(fd, text.data, text.len) || fsync(fd) != 0))
        *told = 0;
    fm_buf_clear(&text);
    return all;
}

/* ---- at a start ---- */

static bool read_line(const char *line, char name[FM_STREAM_LEN + 1], char topic[TOPIC_SIZE],
                      uint64_t *assigned, struct debt *debt)
{
    return sscanf(line, "%16s %" SCNu64 " %" SCNu64 " %" SCNd64 " %" SCNd64 " %255[^\n]", name,
                  assigned, &debt->n, &debt->first_ms, &debt->last_ms, topic) == 6;
}

static enum fm_code take_line(struct fm_spool *sp, const char *line, uint64_t *n,
                              struct fm_err *err)
{
    char name[FM_STREAM_LEN + 1], topic[TOPIC_SIZE];
    uint64_t assigned;
    struct debt debt;
    if (!read_line(line, name, topic, &assigned, &debt) || debt.n == 0)
        return FM_OK;
    const struct stream *s = stream_find(sp, name);
    const struct topic *t = topic_find(sp, topic);
    bool still = strcmp(name, "-") == 0 ? t == NULL || t->current == NULL
                                        : s != NULL && s->assigned == assigned;
    if (!still)
        return FM_OK;
    *n += debt.n;
    if (debt.n > 1) /* two losses that follow one another become one, of both times */
        FM_TRY(spool_lose_unborn(sp, topic, debt.n - 1, FM_GAP_FULL, debt.first_ms, err));
    return spool_lose_unborn(sp, topic, 1, FM_GAP_FULL, debt.last_ms, err);
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
