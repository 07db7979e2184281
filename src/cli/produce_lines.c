/* cli/produce_lines.c - lines of input become records in the spool of `produce` */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "cli/cmd_produce_priv.h"

enum { CHUNK_BYTES = 48 * 1024, STORE_MS = 10000, BAD_LINES = 1000 };

static enum fm_code note_run(struct fm_produce *p, const char *stream, uint64_t first, uint64_t n,
                             struct fm_err *err)
{
    if (p->n_runs > 0) {
        struct fm_produce_run *last = &p->runs[p->n_runs - 1];
        if (last->file == p->chunk_file && last->line + last->n == p->chunk_line &&
            last->seq + last->n == first && strcmp(last->stream, stream) == 0) {
            last->n += n;
            return FM_OK;
        }
    }
    if (p->n_runs == p->cap_runs) {
        size_t cap = p->cap_runs > 0 ? p->cap_runs * 2 : 16;
        struct fm_produce_run *more = realloc(p->runs, cap * sizeof *more);
        if (more == NULL)
            return fm_err_nomem(err);
        p->runs = more;
        p->cap_runs = cap;
    }
    struct fm_produce_run *run = &p->runs[p->n_runs++];
    *run =
        (struct fm_produce_run){.seq = first, .line = p->chunk_line, .n = n, .file = p->chunk_file};
    memcpy(run->stream, stream, sizeof run->stream);
    return FM_OK;
}

/* Into the spool, when it has room: memory stays bounded however slow the proxy is. */
static enum fm_code store_chunk(struct fm_produce *p, struct fm_err *err)
{
    if (p->chunk == NULL)
        return FM_OK;
    uint64_t n = fm_chunk_count(p->chunk), first = 0;
    char stream[FM_STREAM_LEN + 1] = "";
    enum fm_code code;
    do {
        FM_TRY(fm_produce_tick(p, err));
        if (!fm_spool_ready(p->spool)) {
            fm_sleep_ms(FM_PRODUCE_SLICE_MS / 2);
            code = FM_EFULL;
            continue;
        }
        code = fm_spool_store(p->spool, &p->chunk, STORE_MS, stream, &first, NULL, err);
    } while (code == FM_EFULL && p->chunk != NULL);
    FM_TRY(code);
    p->stored += n;
    return note_run(p, stream, first, n, err);
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
    if (p->stored == 0)
        return fm_err_set(err, FM_EUSAGE, "all of %d lines are unfit: is --format right?",
                          BAD_LINES);
    fm_produce_say(p, line->file, line->number, "further unfit lines are only counted");
    return FM_OK;
}

/* Key and value of a line. @return false: *why says what is wrong with it */
static bool split(const struct fm_produce *p, const struct fm_line *line, struct fm_record *rec,
                  struct fm_err *why)
{
    rec->value = line->text;
    rec->value_len = line->len;
    rec->key = p->o->key;
    rec->key_len = p->o->key != NULL ? strlen(p->o->key) : 0;
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
    if (rec->key != NULL && !fm_utf8_valid(rec->key, rec->key_len))
        return fm_err_set(why, FM_EUSAGE, "the key is not UTF-8") == FM_OK;
    return fm_rest_check_json(p->way.dialect, rec->value, rec->value_len, why) == FM_OK;
}

static enum fm_code add_line(struct fm_produce *p, const struct fm_line *line, struct fm_err *err)
{
    struct fm_err why = {0};
    struct fm_record rec = {.kind = p->text ? FM_RECORD_RAW : FM_RECORD_DATA,
                            .time_ms = fm_wall_ms(),
                            .partition = FM_NO_PARTITION,
                            .id_at = FM_NO_ID};
    if (line->what == FM_LINE_LONG) {
        char text[80];
        (void)snprintf(text, sizeof text, "longer than %zu bytes, [record] max_bytes",
                       p->lines.max);
        return leave_out(p, line, text, err);
    }
    if (!split(p, line, &rec, &why))
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
            return store_chunk(p, err);
        if (line.what != FM_LINE_NONE) {
            FM_TRY(add_line(p, &line, err));
            continue;
        }
        if (p->chunk != NULL)
            FM_TRY(store_chunk(p, err));
        FM_TRY(fm_produce_tick(p, err));
    }
}
