/* Reading the database back at start, and its upkeep. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "spool/store_priv.h"

enum {
    KEEP_PAGES = 64, /* free pages that are not given back */
    MOST_ALIKE = 16 /* packed, so many records take more than a byte */
};

/* One table being read; next says what became of a row. */
struct scan {
    struct store *st;
    struct fm_spool *sp;
    bool salvage;
    bool complete;
    int64_t line_ms;
};

typedef enum fm_code take_fn(struct scan *scan, sqlite3_stmt *q, struct fm_err *err);

static bool text_into(sqlite3_stmt *q, int col, char *out, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(q, col);
    size_t len = text != NULL ? strlen(text) : 0;
    if (text == NULL || len >= size)
        return false;
    memcpy(out, text, len + 1);
    return true;
}

static enum fm_code damaged(const struct store *st, const char *what, struct fm_err *err)
{
    return fm_err_set(err, FM_EDAMAGE, "%s is damaged: %s", st->path, what);
}

static enum fm_code take_stream(struct scan *scan, sqlite3_stmt *q, struct fm_err *err)
{
    char name[FM_STREAM_LEN + 1], topic[TOPIC_SIZE];
    struct stream *s;
    struct fm_spool *sp = scan->sp;
    if (!text_into(q, 1, name, sizeof name) || strlen(name) != FM_STREAM_LEN ||
        !text_into(q, 2, topic, sizeof topic) || topic[0] == '\0' || stream_find(sp, name) != NULL)
        return damaged(scan->st, "a stream", err);
    FM_TRY(stream_add(sp, &s, name, topic, err));
    s->id = (uint32_t)sqlite3_column_int64(q, 0);
    bool good = text_into(q, 3, s->agent, sizeof s->agent) &&
                text_into(q, 4, s->machine, sizeof s->machine) &&
                text_into(q, 11, s->prev, sizeof s->prev);
    s->assigned = s->stored_assigned = (uint64_t)sqlite3_column_int64(q, 5);
    s->stored = true;
    s->delivered = (uint64_t)sqlite3_column_int64(q, 6);
    s->lost = (uint64_t)sqlite3_column_int64(q, 7);
    s->dead = (uint64_t)sqlite3_column_int64(q, 8);
    s->ended = sqlite3_column_int64(q, 9) != 0;
    s->unknown = sqlite3_column_int64(q, 10) != 0;
    s->prev_last = sqlite3_column_int64(q, 12);
    int64_t line = sqlite3_column_int64(q, 13);
    if (!good || stream_sum(s, line) != sqlite3_column_int64(q, 14)) {
        sp->n_streams--; /* the last one added */
        sp->last_stream = NULL;
        free(s);
        return damaged(scan->st, "a stream's checksum", err);
    }
    if (line > scan->line_ms)
        scan->line_ms = line;
    if (s->id >= sp->next_stream)
        sp->next_stream = s->id + 1;
    if (!s->ended)
        s->topic->current = s;
    return FM_OK;
}

static struct stream *stream_by_id(struct fm_spool *sp, int64_t id)
{
    if (sp->last_stream != NULL && sp->last_stream->id == id)
        return sp->last_stream;
    for (size_t i = 0; i < sp->n_streams; i++) {
        if (sp->streams[i]->id == id)
            return sp->last_stream = sp->streams[i];
    }
    return NULL;
}

static bool take_gone(struct row *row, sqlite3_stmt *q, int col)
{
    const void *bits = sqlite3_column_blob(q, col);
    size_t len = (size_t)sqlite3_column_bytes(q, col);
    if (len == 0)
        return true;
    if (bits == NULL || len != (row->n + 63) / 64 * 8)
        return false;
    memcpy(row->gone, bits, len);
    if (row->n % 64 != 0 && row->gone[row->n / 64] >> (row->n % 64) != 0)
        return false;
    for (size_t i = 0; i < len / 8; i++)
        row->n_gone += (uint32_t)__builtin_popcountll(row->gone[i]);
    return row->n_gone < row->n;
}

static bool take_row_gap(struct row *row, sqlite3_stmt *q, int col)
{
    const void *data = sqlite3_column_blob(q, col);
    if (data == NULL)
        return row->kind != ROW_GAP;
    row->gap = malloc(sizeof *row->gap);
    return row->gap != NULL && take_gap(data, (size_t)sqlite3_column_bytes(q, col), row->gap);
}

static enum fm_code take_row(struct scan *scan, sqlite3_stmt *q, struct fm_err *err)
{
    struct fm_spool *sp = scan->sp;
    struct stream *s = stream_by_id(sp, sqlite3_column_int64(q, 1));
    int64_t id = sqlite3_column_int64(q, 0), n = sqlite3_column_int64(q, 3);
    int64_t first = sqlite3_column_int64(q, 2), bytes = sqlite3_column_int64(q, 6);
    int64_t kind = sqlite3_column_int64(q, 7);
    if (s == NULL || id <= 0 || n <= 0 || n > INT32_MAX || first <= 0 || bytes <= 0 ||
        bytes < n / MOST_ALIKE || bytes > INT32_MAX || kind < ROW_DATA || kind > ROW_RETRIED)
        return damaged(scan->st, "a row", err);
    struct row *row;
    FM_TRY(row_new(&row, s, (uint64_t)first, (uint32_t)n, err));
    row->id = (uint64_t)id;
    row->time_ms = sqlite3_column_int64(q, 4);
    row->born_ms = sqlite3_column_int64(q, 5);
    row->bytes = (uint32_t)bytes;
    row->kind = (enum row_kind)kind;
    row->cost = row_cost(sp, row->bytes);
    row->stored = true;
    unsigned char gap[GAP_BYTES];
    if (!take_gone(row, q, 8) || !take_row_gap(row, q, 9) ||
        row_sum(row, gap, put_gap(row->gap, gap)) != sqlite3_column_int64(q, 10)) {
        row_free(sp, row);
        return damaged(scan->st, "a row's checksum", err);
    }
    enum fm_code code = row_link(sp, row, err);
    if (code != FM_OK)
        row_free(sp, row);
    return code;
}

static enum fm_code take_dead(struct scan *scan, sqlite3_stmt *q, struct fm_err *err)
{
    struct stream *s = stream_by_id(scan->sp, sqlite3_column_int64(q, 1));
    int64_t id = sqlite3_column_int64(q, 0);
    if (s == NULL || id <= 0)
        return damaged(scan->st, "a dead letter", err);
    struct dead *d = calloc(1, sizeof *d);
    if (d == NULL)
        return fm_err_nomem(err);
    *d = (struct dead){.id = (uint64_t)id,
                       .stream = s,
                       .seq = (uint64_t)sqlite3_column_int64(q, 2),
                       .dead_ms = sqlite3_column_int64(q, 3),
                       .bytes = (uint64_t)sqlite3_column_int64(q, 4),
                       .stored = true};
    if (dead_sum(d) != sqlite3_column_int64(q, 5)) {
        free(d);
        return damaged(scan->st, "a dead letter's checksum", err);
    }
    dead_link(scan->sp, d);
    return FM_OK;
}

/* Walk over a table; in salvage past what cannot be read: behind a damaged page it goes on with
 * the next id that can be found. */
static enum fm_code walk(struct scan *scan, const char *text, take_fn *take, struct fm_err *err)
{
    int64_t after = INT64_MIN, step = 1;
    for (unsigned tries = 0; tries < 200; tries++) {
        sqlite3_stmt *q = NULL;
        int rc = sqlite3_prepare_v2(scan->st->db, text, -1, &q, NULL);
        if (rc == SQLITE_OK)
            (void)sqlite3_bind_int64(q, 1, after);
        while (rc == SQLITE_OK && (rc = sqlite3_step(q)) == SQLITE_ROW) {
            rc = SQLITE_OK;
            after = sqlite3_column_int64(q, 0);
            step = 1;
            enum fm_code code = take(scan, q, err);
            if (code == FM_EDAMAGE && scan->salvage) {
                scan->complete = false;
            } else if (code != FM_OK) {
                (void)sqlite3_finalize(q);
                return code;
            }
        }
        (void)sqlite3_finalize(q);
        if (rc == SQLITE_DONE)
            return FM_OK;
        if (!scan->salvage)
            return store_fail(scan->st, (rc & 0xff) == SQLITE_ERROR ? SQLITE_CORRUPT : rc,
                              "when read", err);
        scan->complete = false;
        after = after < 0 ? 0 : after;
        if (after > INT64_MAX - step)
            return FM_OK;
        after += step;
        step = step > INT64_MAX / 4 ? step : step * 2;
        if (step > 1 << 24)
            return FM_OK;
    }
    return FM_OK;
}

enum fm_code store_load(struct store *st, struct fm_spool *sp, bool salvage, bool *complete,
                        struct fm_err *err)
{
    struct scan scan = {.st = st, .sp = sp, .salvage = salvage, .complete = true};
    FM_TRY(
        walk(&scan,
             "SELECT id,name,topic,agent,machine,assigned,delivered,lost,dead,ended,unknown,prev,"
             "prev_last,line,crc FROM stream WHERE id>? ORDER BY id",
             take_stream, err));
    FM_TRY(walk(&scan,
                "SELECT id,stream,first,n,time,born,bytes,kind,gone,gap,crc FROM row WHERE id>?"
                " ORDER BY id",
                take_row, err));
    FM_TRY(walk(&scan, "SELECT id,stream,seq,time,bytes,crc FROM dead WHERE id>? ORDER BY id",
                take_dead, err));
    /* Where every stream has ended, the last one still waits for its successor. */
    for (size_t i = sp->n_streams; i > 0 && !salvage; i--) {
        struct stream *s = sp->streams[i - 1];
        if (s->topic->current == NULL)
            s->topic->current = s;
    }
    sp->line_base_ms = scan.line_ms;
    sp->line_from_ms = fm_clock_ms();
    if (!salvage) {
        for (size_t i = 0; i < sp->n_streams; i++) {
            if (!stream_balanced(sp->streams[i]))
                return damaged(st, "the numbers of a stream do not add up", err);
        }
    }
    *complete = scan.complete;
    return FM_OK;
}

/* ---- upkeep ---- */

static uint64_t page_size(struct store *st)
{
    if (st->page_size == 0) /* it never changes */
        st->page_size = store_ask(st, "PRAGMA page_size");
    return (uint64_t)st->page_size;
}

enum fm_code store_set_wal(struct store *st, uint64_t bytes, struct fm_err *err)
{
    char text[64];
    st->wal_most = bytes;
    (void)sqlite3_snprintf(sizeof text, text, "PRAGMA journal_size_limit=%lld",
                           (sqlite3_int64)bytes);
    return store_exec(st, text, err);
}

/* While records stream through, the log is written over from its beginning: giving its blocks back
 * and asking for them anew, 4 MiB at a time, costs a third of the CPU. */
enum fm_code store_checkpoint(struct store *st, enum checkpoint how, struct fm_err *err)
{
    if (how == CHECKPOINT_DUE && (uint64_t)st->wal_pages * page_size(st) < st->wal_most / 2)
        return FM_OK;
    int in_wal = 0, done = 0;
    int rc = sqlite3_wal_checkpoint_v2(st->db, NULL,
                                       how == CHECKPOINT_CUT ? SQLITE_CHECKPOINT_TRUNCATE
                                                             : SQLITE_CHECKPOINT_RESTART,
                                       &in_wal, &done);
    if (rc == SQLITE_OK)
        st->wal_pages = 0;
    /* Somebody reads the database: the WAL grows until that ends. */
    if (rc == SQLITE_OK || rc == SQLITE_BUSY)
        return FM_OK;
    return store_fail(st, rc, "at a checkpoint", err);
}

/* Older versions would take a packed chunk for damage: so they are made to refuse it. They look at
 * the file's head alone, so it must say so before the log holds the first such chunk. */
enum fm_code store_raise_format(struct store *st, struct fm_err *err)
{
    char text[48];
    (void)sqlite3_snprintf(sizeof text, text, "PRAGMA user_version=%d", FORMAT);
    FM_TRY(store_exec(st, text, err));
    FM_TRY(store_checkpoint(st, CHECKPOINT_NOW, err));
    st->format = FORMAT;
    return FM_OK;
}

enum fm_code store_claim(struct store *st, struct fm_err *err)
{
    sqlite3_int64 bytes = store_ask(st, "PRAGMA page_count") * (int64_t)page_size(st);
    if (sqlite3_file_control(st->db, NULL, SQLITE_FCNTL_SIZE_HINT, &bytes) == SQLITE_OK)
        return FM_OK;
    return store_fail(st, SQLITE_FULL, "when it grew", err);
}

/* Free pages beyond those that are kept. */
static uint64_t spare_pages(struct store *st)
{
    int64_t n = store_ask(st, "PRAGMA freelist_count");
    return n >= KEEP_PAGES ? (uint64_t)(n - KEEP_PAGES + 1) : 0;
}

bool store_vacuum(struct store *st)
{
    uint64_t most = st->wal_most / 4 / page_size(st);
    if (spare_pages(st) == 0)
        return false;
    char text[64];
    (void)sqlite3_snprintf(sizeof text, text, "PRAGMA incremental_vacuum(%llu)",
                           (sqlite3_uint64)(most < 512 ? most + 1 : 512));
    return store_exec(st, text, NULL) == FM_OK &&
           store_checkpoint(st, CHECKPOINT_DUE, NULL) == FM_OK && spare_pages(st) > 0;
}

void store_sizes(struct store *st, struct store_sizes *out)
{
    *out = (struct store_sizes){.pages = (uint64_t)store_ask(st, "PRAGMA page_count"),
                                .page_size = page_size(st),
                                .spare = spare_pages(st),
                                .wal_bytes = (uint64_t)st->wal_pages * (page_size(st) + 24)};
}

bool store_was_removed(struct store *st)
{
    int moved = 0;
    return sqlite3_file_control(st->db, NULL, SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
           moved != 0;
}

bool store_was_full(const struct store *st)
{
    return st->was_full;
}

bool store_was_io(const struct store *st)
{
    return st->was_io;
}

enum fm_code store_check(struct store *st, struct fm_err *err)
{
    sqlite3_stmt *q = NULL;
    int rc = sqlite3_prepare_v2(st->db, "PRAGMA quick_check(1)", -1, &q, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(q);
    const char *text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(q, 0) : NULL;
    bool good = text != NULL && strcmp(text, "ok") == 0;
    (void)sqlite3_finalize(q);
    if (good)
        return FM_OK;
    return rc == SQLITE_ROW ? damaged(st, "its structure", err)
                            : store_fail(st, rc, "when checked", err);
}

enum fm_code store_spill(struct store *st, bool on, struct fm_err *err)
{
    return store_exec(st, on ? "PRAGMA cache_spill=ON" : "PRAGMA cache_spill=OFF", err);
}
