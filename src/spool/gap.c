/* Losses and the control records that declare them (design, section 5). */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "spool/spool_priv.h"

const char *fm_gap_reason_name(enum fm_gap_reason reason)
{
    static const char *const names[] = {"dead", "full", "age", "damage", "operator", "too_large"};
    return (size_t)reason < sizeof names / sizeof *names ? names[reason] : "unknown";
}

/* Random enough at any moment of the boot: start must not hang for it. */
static void random_name(char out[FM_STREAM_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";
    uint64_t v = 0;
    if (getrandom(&v, sizeof v, GRND_NONBLOCK) != (ssize_t)sizeof v)
        v = (uint64_t)fm_clock_ns() * 0x9e3779b97f4a7c15u ^ (uint64_t)fm_wall_ms() << 20 ^
            (uint64_t)getpid();
    for (size_t i = 0; i < FM_STREAM_LEN; i++)
        out[i] = digits[v >> (60 - 4 * i) & 15];
    out[FM_STREAM_LEN] = '\0';
}

/* Render a control record and put it at the end of its stream. */
static enum fm_code control_put(struct fm_spool *sp, struct stream *s,
                                const struct fm_spool_control *what, enum row_kind kind,
                                struct row **out, struct fm_err *err)
{
    *out = NULL;
    struct fm_chunk *chunk = NULL;
    if (sp->opts.control != NULL)
        FM_TRY(sp->opts.control(sp->opts.control_arg, what, &chunk, err));
    if (chunk == NULL)
        return FM_OK; /* this spool writes no records of this type */
    struct row *row = NULL;
    struct loaded *loaded = loaded_new(chunk);
    if (loaded == NULL || fm_chunk_count(chunk) != 1 ||
        row_new(&row, s, s->assigned + 1, 1, err) != FM_OK) {
        if (loaded != NULL)
            loaded_unref(loaded);
        else
            fm_chunk_free(chunk);
        return loaded == NULL ? fm_err_nomem(err)
                              : fm_err_set(err, FM_EBUG, "a control record is one record");
    }
    row->loaded = loaded;
    row->bytes = (uint32_t)fm_chunk_bytes(chunk);
    row->cost = row_cost(sp, row->bytes);
    row->time_ms = fm_wall_ms();
    row->born_ms = spool_line_ms(sp);
    row->kind = kind;
    enum fm_code code = row_link(sp, row, err);
    if (code != FM_OK) {
        row_free(sp, row);
        return code;
    }
    s->assigned++;
    row_dirty(sp, row);
    *out = row;
    return FM_OK;
}

static enum fm_code start_put(struct fm_spool *sp, struct stream *s, bool first, struct fm_err *err)
{
    bool has_prev = first && s->prev[0] != '\0';
    struct fm_spool_control what = {.type = FM_CONTROL_START,
                                    .topic = s->topic->name,
                                    .has_prev = has_prev,
                                    .prev_stream = s->prev,
                                    .prev_last_seq = has_prev ? s->prev_last : -1};
    struct row *row;
    FM_TRY(control_put(sp, s, &what, has_prev ? ROW_FIRST : ROW_DATA, &row, err));
    s->started = true;
    return FM_OK;
}

static bool is_ours(const struct fm_spool *sp, const struct stream *s)
{
    return !s->ended && strcmp(s->agent, sp->agent) == 0 && strcmp(s->machine, sp->machine) == 0;
}

/* The declarations of this topic were dropped by hand, and its stream ended with that: say again
 * what was lost in each of its streams, those numbers that were declared before included. */
static enum fm_code declare_anew(struct fm_spool *sp, const struct topic *t, struct fm_err *err)
{
    for (size_t i = 0; i < sp->n_streams; i++) {
        struct stream *s = sp->streams[i];
        if (s->topic != t || s->lost + s->dead == 0)
            continue;
        if (s->unknown)
            FM_TRY(loss_add(sp, s, -1, -1, -1, FM_GAP_DAMAGE, 0, err));
        else
            FM_TRY(loss_add(sp, s, 1, (int64_t)s->assigned, (int64_t)(s->lost + s->dead),
                            FM_GAP_OPERATOR, 0, err));
    }
    return FM_OK;
}

static enum fm_code stream_begin(struct fm_spool *sp, const char *topic, struct stream *before,
                                 struct stream **out, struct fm_err *err)
{
    char name[FM_STREAM_LEN + 1];
    do
        random_name(name);
    while (stream_find(sp, name) != NULL);
    struct stream *s;
    if (before != NULL && before->ended && !before->unknown)
        FM_TRY(declare_anew(sp, before->topic, err));
    FM_TRY(stream_add(sp, &s, name, topic, err));
    s->id = sp->next_stream++;
    memcpy(s->agent, sp->agent, sizeof s->agent);
    memcpy(s->machine, sp->machine, sizeof s->machine);
    if (before != NULL) {
        memcpy(s->prev, before->name, sizeof s->prev);
        /* A spool that was copied may have gone on elsewhere: its last number is not known. */
        bool copied = strcmp(before->machine, sp->machine) != 0;
        s->prev_last = before->unknown || copied ? -1 : (int64_t)before->assigned;
        before->ended = true;
        before->dirty = true;
    }
    s->dirty = true;
    s->topic->current = s;
    sp->changed = true;
    sp->identity_dirty = true;
    *out = s;
    return FM_OK;
}

enum fm_code stream_current(struct fm_spool *sp, const char *topic, struct stream **out,
                            struct fm_err *err)
{
    struct topic *t;
    FM_TRY(topic_get(sp, topic, &t, err));
    struct stream *s = t->current;
    if (s == NULL || !is_ours(sp, s))
        FM_TRY(stream_begin(sp, topic, s, &s, err));
    if (!s->started)
        FM_TRY(start_put(sp, s, s->assigned == 0, err));
    *out = s;
    return FM_OK;
}

static void widen_times(struct gap *gap, int64_t first_ms, int64_t last_ms)
{
    if (first_ms != 0 && (gap->first_ms == 0 || first_ms < gap->first_ms))
        gap->first_ms = first_ms;
    if (last_ms > gap->last_ms)
        gap->last_ms = last_ms;
}

enum fm_code loss_add(struct fm_spool *sp, struct stream *stream, int64_t from, int64_t to,
                      int64_t count, enum fm_gap_reason reason, int64_t time_ms, struct fm_err *err)
{
    sp->changed = true;
    stream->dirty = true;
    struct loss **end = &sp->losses, *last = NULL;
    for (; *end != NULL; end = &(*end)->next)
        last = *end;
    if (last != NULL && last->stream == stream && last->gap.reason == reason && from != -1 &&
        last->gap.to + 1 == from && last->gap.from != -1) {
        last->gap.to = to;
        last->gap.count += count;
        widen_times(&last->gap, time_ms, time_ms);
        return FM_OK;
    }
    struct loss *loss = calloc(1, sizeof *loss);
    if (loss == NULL)
        return fm_err_nomem(err);
    loss->stream = stream;
    loss->gap = (struct gap){.from = from,
                             .to = to,
                             .count = count,
                             .first_ms = time_ms,
                             .last_ms = time_ms,
                             .reason = reason};
    *end = loss;
    return FM_OK;
}

enum fm_code row_lose(struct fm_spool *sp, struct row *row, uint32_t i, uint32_t n,
                      enum fm_gap_reason reason, struct fm_err *err)
{
    int64_t from = -1, to = -1, count = 0;
    for (uint32_t k = i; k < i + n; k++) {
        if (row_is_gone(row, k))
            continue;
        int64_t seq = (int64_t)(row->first + k);
        from = from == -1 ? seq : from;
        to = seq;
        count++;
    }
    if (count == 0)
        return FM_OK;
    FM_TRY(loss_add(sp, row->stream, from, to, count, reason, row->time_ms, err));
    row->stream->lost += (uint64_t)count;
    if (reason == FM_GAP_FULL || reason == FM_GAP_AGE)
        sp->last_drop_ms = fm_clock_ms();
    if (reason == FM_GAP_DAMAGE)
        sp->last_damage_ms = fm_clock_ms();
    row_take(sp, row, i, n);
    return FM_OK;
}

/* ---- wider gaps ---- */

enum { MAX_PIECES = 129 };

struct piece {
    int64_t from, to;
    struct row *row; /* whose gap it is; NULL: the new loss */
};

static int piece_order(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    return x->from < y->from ? -1 : x->from > y->from;
}

/* Gap records of s that may be replaced: not yet given to the sender, declaring nothing but lost
 * numbers of s itself for this reason. Each gives two pieces: its range, and its own number. */
static size_t collect(struct stream *s, const struct gap *gap, struct piece *out, size_t max)
{
    size_t n = 0;
    for (struct row *row = s->topic->tail; row != NULL && n + 2 <= max; row = row->topic_prev) {
        const struct gap *g = row->gap;
        if (row->kind != ROW_GAP || g == NULL || row->stream != s || row->was_read ||
            row->held > 0 || g->reason != gap->reason || g->lost_stream[0] != '\0' ||
            g->from == -1 || g->count != g->to - g->from + 1)
            continue;
        int64_t seq = (int64_t)row->first;
        out[n++] = (struct piece){.from = g->from, .to = g->to, .row = row};
        out[n++] = (struct piece){.from = seq, .to = seq, .row = row};
    }
    return n;
}

/* The unbroken run of sorted pieces around the new loss. */
static void run_around_loss(const struct piece *pieces, size_t n, int64_t *from, int64_t *to)
{
    bool has_loss = false;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || pieces[i].from > *to + 1) {
            if (has_loss)
                return;
            *from = pieces[i].from;
            *to = pieces[i].to;
        }
        *to = pieces[i].to > *to ? pieces[i].to : *to;
        has_loss = has_loss || pieces[i].row == NULL;
    }
}

static bool row_inside(const struct piece *pieces, size_t n, const struct row *row, int64_t from,
                       int64_t to)
{
    for (size_t i = 0; i < n; i++) {
        if (pieces[i].row == row && (pieces[i].from < from || pieces[i].to > to))
            return false;
    }
    return true;
}

/* Keep in pieces[0..n) those that lie in one unbroken run with the new loss, and whose gap's other
 * piece does too. @return how many are left, the run in *gap */
static size_t unbroken(struct piece *pieces, size_t n, struct gap *gap)
{
    for (;;) {
        size_t kept = 0;
        struct piece rest[MAX_PIECES];
        run_around_loss(pieces, n, &gap->from, &gap->to);
        for (size_t i = 0; i < n; i++) {
            if (pieces[i].row == NULL || row_inside(pieces, n, pieces[i].row, gap->from, gap->to))
                rest[kept++] = pieces[i];
        }
        if (kept == n)
            return n;
        memcpy(pieces, rest, kept * sizeof *rest);
        n = kept;
    }
}

/* Replace unsent gaps by this one, widened, where every number of the wider range is lost. */
static void widen(struct fm_spool *sp, struct stream *s, struct gap *gap)
{
    struct piece pieces[MAX_PIECES];
    if (gap->from == -1 || gap->count != gap->to - gap->from + 1 || gap->reason == FM_GAP_DEAD)
        return;
    size_t n = collect(s, gap, pieces, MAX_PIECES - 1);
    if (n == 0)
        return;
    pieces[n++] = (struct piece){.from = gap->from, .to = gap->to};
    qsort(pieces, n, sizeof *pieces, piece_order);
    struct gap wide = *gap;
    n = unbroken(pieces, n, &wide);
    if (n <= 1)
        return;
    for (size_t i = 0; i < n; i++) {
        struct row *row = pieces[i].row;
        if (row == NULL || row->out)
            continue;
        widen_times(&wide, row->gap->first_ms, row->gap->last_ms);
        s->lost++; /* its own number lies inside the wider range */
        row_take(sp, row, 0, 1);
    }
    wide.count = wide.to - wide.from + 1;
    *gap = wide;
}

static enum fm_code declare(struct fm_spool *sp, struct stream *lossy, struct gap *loss,
                            struct fm_err *err)
{
    if (sp->opts.control == NULL)
        return FM_OK;
    struct stream *s;
    FM_TRY(stream_current(sp, lossy->topic->name, &s, err));
    struct gap *gap = malloc(sizeof *gap);
    if (gap == NULL)
        return fm_err_nomem(err);
    if (s != lossy)
        memcpy(loss->lost_stream, lossy->name, sizeof loss->lost_stream);
    else
        widen(sp, s, loss); /* kept in loss: the gaps it replaces are gone, whatever fails now */
    *gap = *loss;
    struct fm_spool_control what = {.type = FM_CONTROL_GAP,
                                    .topic = s->topic->name,
                                    .from_seq = gap->from,
                                    .to_seq = gap->to,
                                    .count = gap->count,
                                    .reason = gap->reason,
                                    .first_ms = gap->first_ms,
                                    .last_ms = gap->last_ms,
                                    .lost_stream = s != lossy ? gap->lost_stream : NULL};
    struct row *row;
    enum fm_code code = control_put(sp, s, &what, ROW_GAP, &row, err);
    if (code != FM_OK || row == NULL)
        free(gap);
    else
        row->gap = gap;
    return code;
}

enum fm_code losses_declare(struct fm_spool *sp, struct fm_err *err)
{
    while (sp->losses != NULL) {
        struct loss *loss = sp->losses;
        FM_TRY(declare(sp, loss->stream, &loss->gap, err));
        sp->losses = loss->next;
        free(loss);
    }
    return FM_OK;
}
