/* cli/produce_lines.c - lines of input become records in the spool of `produce` */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "cli/cmd_produce_priv.h"

enum {
    CHUNK_BYTES = 48 * 1024,
    BAD_LINES = 1000,
    STORE_MS = 10000, /* a disk that takes nothing for so long is told */
    FULL_MS = 5, /* the queue is full: look again so soon */
    TICK_MS = 25
};

/* ---- which record was which line ---- */

/* Under the lock. */
static bool note_run(struct fm_produce *p, const struct fm_spool_stored *what)
{
    size_t file = (size_t)(what->tag >> FM_PRODUCE_LINE_BITS);
    uint64_t line = what->tag & ((UINT64_C(1) << FM_PRODUCE_LINE_BITS) - 1);
    if (p->n_runs > 0) {
        struct fm_produce_run *last = &p->runs[p->n_runs - 1];
        if (last->file == file && last->line + last->n == line &&
            last->seq + last->n == what->first_seq && strcmp(last->stream, what->stream) == 0) {
            last->n += what->n;
            return true;
        }
    }
    if (p->n_runs == p->cap_runs) {
        size_t cap = p->cap_runs > 0 ? p->cap_runs * 2 : 16;
        struct fm_produce_run *more = realloc(p->runs, cap * sizeof *more);
        if (more == NULL)
            return false;
        p->runs = more;
        p->cap_runs = cap;
    }
    struct fm_produce_run *run = &p->runs[p->n_runs++];
    *run =
        (struct fm_produce_run){.seq = what->first_seq, .line = line, .n = what->n, .file = file};
    memcpy(run->stream, what->stream, sizeof run->stream);
    return true;
}

void fm_produce_on_stored(void *arg, const struct fm_spool_stored *what)
{
    struct fm_produce *p = arg;
    (void)pthread_mutex_lock(&p->lock);
    enum fm_code code = what->code;
    if (code == FM_OK && !note_run(p, what))
        code = FM_ENOMEM;
    if (code == FM_OK) {
        p->stored += what->n;
    } else if (p->store_code == FM_OK) {
        p->store_code = code;
        p->store_tag = what->tag;
    }
    (void)pthread_mutex_unlock(&p->lock);
}

/* ---- into the spool ---- */

/* Now and then; often enough for signals, refusals and the progress line. */
static enum fm_code tick_if_due(struct fm_produce *p, struct fm_err *err)
{
    int64_t now = fm_clock_ms();
    if (now - p->ticked_ms < TICK_MS)
        return FM_OK;
    p->ticked_ms = now;
    return fm_produce_tick(p, err);
}

/* Whether the spool took what it was given; it may wait for the proxy, but not for its disk. */
static enum fm_code check_stored(struct fm_produce *p, uint64_t *stored, struct fm_err *err)
{
    (void)pthread_mutex_lock(&p->lock);
    enum fm_code code = p->store_code;
    *stored = p->stored;
    (void)pthread_mutex_unlock(&p->lock);
    if (code != FM_OK)
        return fm_err_set(err, code, "the spool did not take a line");
    int64_t now = fm_clock_ms();
    if (*stored != p->seen_stored || p->stored_ms == 0)
        p->stored_ms = now;
    p->seen_stored = *stored;
    if (now - p->stored_ms < STORE_MS)
        return FM_OK;
    p->stored_ms = now;
    struct fm_spool_stats *stats = malloc(sizeof *stats);
    if (stats == NULL)
        return fm_err_nomem(err);
    fm_spool_stats_get(p->spool, stats);
    if (stats->error[0] != '\0')
        code = fm_err_set(err, FM_ESYS, "the spool did not commit in time: %s", stats->error);
    free(stats);
    return code;
}

/* Into the spool, when it has room: memory stays bounded however slow the proxy is. */
static enum fm_code store_chunk(struct fm_produce *p, struct fm_err *err)
{
    if (p->chunk == NULL)
        return FM_OK;
    uint64_t n = fm_chunk_count(p->chunk), stored;
    uint64_t tag = (uint64_t)p->chunk_file << FM_PRODUCE_LINE_BITS | p->chunk_line;
    FM_TRY(tick_if_due(p, err));
    for (;;) {
        enum fm_code code = fm_spool_submit(p->spool, &p->chunk, tag, err);
        if (code == FM_OK)
            break;
        if (code != FM_EFULL)
            return code;
        fm_sleep_ms(FULL_MS);
        FM_TRY(tick_if_due(p, err));
        FM_TRY(check_stored(p, &stored, err));
    }
    p->given += n;
    return FM_OK;
}

/* Until the spool has all that it was given. */
static enum fm_code await_stored(struct fm_produce *p, struct fm_err *err)
{
    for (;;) {
        uint64_t stored;
        FM_TRY(check_stored(p, &stored, err));
        if (stored == p->given)
            return FM_OK;
        fm_sleep_ms(1);
        FM_TRY(tick_if_due(p, err));
    }
}

/* A line that is not sent: told, counted, and beyond so many only counted. Where no line was fit
 * before, all of the input is something else. */
static enum fm_code leave_out(struct fm_produce *p, const struct fm_line *line, const char *why,
                              struct fm_err *err)
{
    FM_TRY(store_chunk(p, err));
    if (++p->bad > BAD_LINES)
        return FM_OK;
    fm_produce_say(p, line->file, line->number, why);
    if (p->bad < BAD_LINES)
        return FM_OK;
    if (p->given == 0)
        return fm_err_set(err, FM_EUSAGE, "all of %d lines are unfit: is --format right?",
                          BAD_LINES);
    fm_produce_say(p, line->file, line->number, "further unfit lines are only counted");
    return FM_OK;
}

/* Without the byte order mark that some editors put before the first character of a file. It is no
 * part of a JSON value; --format text sends exact bytes. */
static struct fm_line unmarked(const struct fm_line *line)
{
    static const char mark[] = "\xEF\xBB\xBF";
    const size_t len = sizeof mark - 1;
    struct fm_line out = *line;
    if (line->number == 1 && line->len >= len && memcmp(line->text, mark, len) == 0) {
        out.text += len;
        out.len -= len;
    }
    return out;
}

/* Key and value of a line. @return false: *why says what is wrong with it */
static bool split(const struct fm_produce *p, const struct fm_line *line, struct fm_record *rec,
                  struct fm_err *why)
{
    rec->value = line->text;
    rec->value_len = line->len;
    rec->key = p->o->key;
    rec->key_len = p->key_len;
    if (p->o->separator != NULL) {
        size_t len = strlen(p->o->separator);
        const char *at = memmem(line->text, line->len, p->o->separator, len);
        if (at == NULL)
            return fm_err_set(why, FM_EUSAGE, "there is no separator, so no key") == FM_OK;
        rec->key = line->text;
        rec->key_len = (size_t)(at - line->text);
        rec->value = at + len;
        rec->value_len = line->len - rec->key_len - len;
    }
    if (p->text)
        return true;
    if (p->o->separator != NULL && !fm_utf8_valid(rec->key, rec->key_len))
        return fm_err_set(why, FM_EUSAGE,
                          "the key is not UTF-8: use --format text to send its exact bytes") ==
               FM_OK;
    return fm_rest_check_json(p->way.dialect, p->seen, rec->value, rec->value_len, why) == FM_OK;
}

static enum fm_code add_line(struct fm_produce *p, const struct fm_line *line, struct fm_err *err)
{
    struct fm_err why; /* 250 bytes: not to be cleared for each line */
    struct fm_record rec = {.kind = p->text ? FM_RECORD_RAW : FM_RECORD_DATA,
                            .time_ms = p->lines.read_ms,
                            .partition = FM_NO_PARTITION,
                            .id_at = FM_NO_ID};
    if (line->what == FM_LINE_LONG) {
        char text[80];
        (void)snprintf(text, sizeof text, "longer than %zu bytes, [record] max_bytes",
                       p->lines.max);
        return leave_out(p, line, text, err);
    }
    const struct fm_line bare = p->text ? *line : unmarked(line);
    if (!split(p, &bare, &rec, &why))
        return leave_out(p, line, fm_err_text(&why), err);
    bool follows = p->chunk != NULL && p->chunk_file == line->file &&
                   p->chunk_line + fm_chunk_count(p->chunk) == line->number &&
                   fm_chunk_bytes(p->chunk) + line->len < CHUNK_BYTES;
    if (!follows) {
        FM_TRY(store_chunk(p, err));
        FM_TRY(fm_chunk_new(&p->chunk, p->topic, err));
        p->chunk_file = line->file;
        p->chunk_line = line->number;
    }
    return fm_chunk_add(p->chunk, &rec, NULL, 0, err);
}

enum fm_code fm_produce_read(struct fm_produce *p, struct fm_err *err)
{
    for (;;) {
        struct fm_line line;
        FM_TRY(fm_lines_next(&p->lines, FM_PRODUCE_SLICE_MS, &line, err));
        if (line.what == FM_LINE_END)
            break;
        if (line.what != FM_LINE_NONE) {
            enum fm_code code = add_line(p, &line, err);
            p->in_hand = code != FM_OK && code != FM_EUSAGE;
            FM_TRY(code);
            continue;
        }
        if (p->chunk != NULL)
            FM_TRY(store_chunk(p, err));
        FM_TRY(fm_produce_tick(p, err));
    }
    FM_TRY(store_chunk(p, err));
    return await_stored(p, err);
}
