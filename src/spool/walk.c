/* Looking inside, and dropping by hand. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "spool/spool_priv.h"

enum { PAGE_RECORDS = 256, PAGE_BYTES = 512 * 1024 };

void page_free(struct page *page)
{
    if (page == NULL)
        return;
    for (size_t i = 0; i < page->n; i++) {
        loaded_unref(page->entries[i].loaded);
        free(page->entries[i].reason);
    }
    free(page->entries);
    free(page);
}

/* The row to go on with behind "after", and in *seq the first number wanted in it. */
static struct row *row_after(struct fm_spool *sp, const struct select *sel, uint64_t *seq)
{
    *seq = 0;
    if (!sel->has_after)
        return sp->head;
    struct stream *s = stream_find(sp, sel->after.stream);
    struct row *row = s != NULL ? row_find(s, sel->after.seq, true) : NULL;
    if (row != NULL && (sel->after_row == 0 || row->id == sel->after_row)) {
        *seq = sel->after.seq + 1;
        return row;
    }
    if (sel->after_row == 0)
        return NULL;
    /* It is gone since: by the order of rows, for the next one may be of another stream. */
    for (row = sp->head; row != NULL && row->id <= sel->after_row;)
        row = row->next;
    return row;
}

static bool row_selected(const struct select *sel, const struct row *row)
{
    return row->stored &&
           (sel->topic[0] == '\0' || strcmp(row->stream->topic->name, sel->topic) == 0) &&
           (sel->before_ms == 0 || row->time_ms < sel->before_ms);
}

static void add_entry(struct page *page, struct stream *s, uint64_t seq,
                      const struct fm_record *rec, struct loaded *loaded)
{
    struct entry *e = &page->entries[page->n++];
    *e = (struct entry){.id.seq = seq, .topic = s->topic, .rec = *rec};
    memcpy(e->id.stream, s->name, sizeof e->id.stream);
    e->loaded = loaded_ref(loaded);
    page->after = e->id;
}

static enum fm_code page_of_row(struct fm_spool *sp, struct op *op, struct row *row, uint64_t seq,
                                size_t *bytes)
{
    struct page *page = op->page;
    struct loaded *loaded = NULL;
    enum fm_code code = row_load(sp, row, &loaded, &op->err);
    if (code == FM_EDAMAGE)
        return FM_OK; /* the sender finds it, and declares it */
    if (code != FM_OK)
        return code;
    size_t at = 0;
    struct fm_record rec;
    for (uint32_t i = 0; i < row->n && page->n < PAGE_RECORDS; i++) {
        code = fm_chunk_next(loaded->chunk, &at, &rec, NULL);
        if (code == FM_OK && row->first + i >= seq && !row_is_gone(row, i)) {
            add_entry(page, row->stream, row->first + i, &rec, loaded);
            page->after_row = row->id;
        }
    }
    *bytes += fm_chunk_bytes(loaded->chunk);
    loaded_unref(loaded);
    return FM_OK;
}

static enum fm_code walk_pending(struct fm_spool *sp, struct op *op)
{
    size_t bytes = 0;
    uint64_t seq;
    struct page *page = op->page;
    struct row *row = row_after(sp, &op->select, &seq);
    for (; row != NULL && page->n < PAGE_RECORDS && bytes < PAGE_BYTES; row = row->next) {
        if (row_selected(&op->select, row))
            FM_TRY(page_of_row(sp, op, row, seq, &bytes));
        seq = 0;
    }
    page->last = row == NULL && page->n < PAGE_RECORDS;
    return FM_OK;
}

static enum fm_code walk_dead(struct fm_spool *sp, struct op *op)
{
    const struct select *sel = &op->select;
    struct page *page = op->page;
    size_t bytes = 0;
    bool passed = !sel->has_after || sel->after_row != 0;
    struct dead *d = sp->dead_head;
    for (; d != NULL && page->n < PAGE_RECORDS && bytes < PAGE_BYTES; d = d->next) {
        if (!passed) {
            passed = d->seq == sel->after.seq && strcmp(d->stream->name, sel->after.stream) == 0;
            continue;
        }
        if (d->id <= sel->after_row ||
            (sel->topic[0] != '\0' && strcmp(d->stream->topic->name, sel->topic) != 0) ||
            (sel->before_ms != 0 && d->dead_ms >= sel->before_ms))
            continue;
        struct loaded *loaded;
        char *reason;
        enum fm_code code = dead_load(sp, d, &loaded, &reason, &op->err);
        if (code == FM_EDAMAGE)
            continue;
        if (code != FM_OK)
            return code;
        size_t at = 0;
        struct fm_record rec;
        if (fm_chunk_next(loaded->chunk, &at, &rec, NULL) == FM_OK) {
            add_entry(page, d->stream, d->seq, &rec, loaded);
            page->entries[page->n - 1].reason = reason;
            page->entries[page->n - 1].dead_ms = d->dead_ms;
            page->after_row = d->id;
            reason = NULL;
        }
        bytes += d->bytes;
        free(reason);
        loaded_unref(loaded);
    }
    page->last = d == NULL;
    return FM_OK;
}

enum fm_code walk_apply(struct fm_spool *sp, struct op *op)
{
    struct page *page = calloc(1, sizeof *page);
    if (page != NULL)
        page->entries = calloc(PAGE_RECORDS, sizeof *page->entries);
    if (page == NULL || page->entries == NULL) {
        page_free(page);
        return fm_err_nomem(&op->err);
    }
    op->page = page;
    return op->select.dead ? walk_dead(sp, op) : walk_pending(sp, op);
}

/* Whether nothing but declarations is left in a topic, and all of them were asked for. */
static bool only_declarations(const struct fm_spool *sp, const struct select *sel,
                              const struct topic *t)
{
    if (sel->has_after || sel->before_ms != 0 || t->head == NULL)
        return false;
    uint64_t n = 0;
    for (const struct row *row = t->head; row != NULL; row = row->topic_next) {
        n += row->n - row->n_gone;
        if (!row->stored || row->held > 0 || (row->kind != ROW_GAP && row->kind != ROW_FIRST))
            return false;
    }
    for (const struct loss *loss = sp->losses; loss != NULL; loss = loss->next) {
        if (loss->stream->topic == t)
            return false;
    }
    return n <= sel->limit;
}

/* They are lost with nothing that says so, for that would be one more of them. The current stream
 * ends here; stream_begin() makes good for it if the topic is ever used again. */
static void take_declarations(struct fm_spool *sp, struct op *op, struct topic *t)
{
    struct row *next;
    for (struct row *row = t->head; row != NULL; row = next) {
        next = row->topic_next;
        row->stream->lost++;
        op->n++;
        row_take(sp, row, 0, 1);
    }
    if (t->current != NULL) {
        t->current->ended = t->current->dirty = true;
        sp->changed = true;
    }
}

enum fm_code drop_apply(struct fm_spool *sp, struct op *op)
{
    uint64_t seq;
    struct row *row = row_after(sp, &op->select, &seq), *next;
    batches_release(sp);
    op->n = 0;
    struct topic *t = op->select.topic[0] != '\0' ? topic_find(sp, op->select.topic) : NULL;
    if (t != NULL && only_declarations(sp, &op->select, t)) {
        take_declarations(sp, op, t);
        return FM_OK;
    }
    for (; row != NULL && op->n < op->select.limit; row = next) {
        next = row->next;
        bool kept = row->held > 0 || row->kind == ROW_GAP || row->kind == ROW_FIRST;
        for (uint32_t i = 0; !kept && row_selected(&op->select, row) && i < row->n &&
                             op->n < op->select.limit && !row->out;
             i++) {
            if (row->first + i < seq || row_is_gone(row, i))
                continue;
            FM_TRY(row_lose(sp, row, i, 1, FM_GAP_OPERATOR, &op->err));
            op->n++;
        }
        seq = 0;
    }
    return FM_OK;
}

/* ---- callers ---- */

static enum fm_code select_copy(struct select *out, const struct fm_spool_select *in,
                                struct fm_err *err)
{
    if (in == NULL) {
        out->limit = UINT64_MAX;
        return FM_OK;
    }
    size_t len = in->topic != NULL ? strlen(in->topic) : 0;
    if (len >= TOPIC_SIZE)
        return fm_err_set(err, FM_ELIMIT, "a topic has at most 255 bytes");
    if (len > 0)
        memcpy(out->topic, in->topic, len);
    if (in->after != NULL) {
        out->has_after = true;
        out->after = *in->after;
        out->after.stream[FM_STREAM_LEN] = '\0';
    }
    out->limit = in->limit == 0 ? UINT64_MAX : in->limit;
    out->before_ms = in->before_ms;
    out->deadline_ms = in->timeout_ms != 0 ? fm_clock_ms() + in->timeout_ms : 0;
    return FM_OK;
}

/* One request that waits; the answer is left in *out, whose reference is the caller's. */
static enum fm_code ask(struct fm_spool *sp, enum op_type type, const struct select *sel,
                        struct op **out, struct fm_err *err)
{
    enum { PATIENCE_MS = 60000 };
    int64_t left = sel->deadline_ms != 0 ? sel->deadline_ms - fm_clock_ms() : PATIENCE_MS;
    if (left <= 0)
        return fm_err_set(err, FM_ETIMEOUT,
                          "the spool needs more time than was given; ask for less");
    FM_TRY(op_new(out, type, err));
    (*out)->select = *sel;
    enum fm_code code = op_call(sp, *out, left, err);
    if (code == FM_ETIMEOUT)
        (void)fm_err_set(err, code, "the spool did not answer within %lld ms%s", (long long)left,
                         type != OP_WALK ? "; what was asked may still be done" : "");
    if (code != FM_OK) {
        op_unref(*out);
        *out = NULL;
    }
    return code;
}

/* @return false when the visitor wants no more */
static bool visit_page(struct page *page, struct select *sel, fm_spool_visit *visit, void *arg)
{
    for (size_t i = 0; i < page->n; i++) {
        const struct entry *e = &page->entries[i];
        struct fm_spool_entry out = {.id = e->id,
                                     .topic = e->topic->name,
                                     .rec = e->rec,
                                     .reason = e->reason,
                                     .dead_ms = e->dead_ms};
        if (!visit(&out, arg) || --sel->limit == 0)
            return false;
    }
    return true;
}

enum fm_code fm_spool_walk(struct fm_spool *sp, bool dead, const struct fm_spool_select *select,
                           fm_spool_visit *visit, void *arg, struct fm_err *err)
{
    struct select sel = {.dead = dead};
    FM_TRY(select_copy(&sel, select, err));
    for (;;) {
        struct op *op;
        FM_TRY(ask(sp, OP_WALK, &sel, &op, err));
        bool on = visit_page(op->page, &sel, visit, arg) && !op->page->last;
        if (op->page->n > 0) {
            sel.has_after = true;
            sel.after = op->page->after;
            sel.after_row = op->page->after_row;
        } else if (!op->page->last) {
            on = false; /* only damaged records in a whole page */
        }
        op_unref(op);
        if (!on)
            return FM_OK;
    }
}

enum fm_code fm_spool_drop(struct fm_spool *sp, const struct fm_spool_select *select, uint64_t *n,
                           struct fm_err *err)
{
    struct select sel = {0};
    struct op *op;
    FM_TRY(select_copy(&sel, select, err));
    FM_TRY(ask(sp, OP_DROP, &sel, &op, err));
    if (n != NULL)
        *n = op->n;
    op_unref(op);
    return FM_OK;
}

enum fm_code fm_spool_dead_retry(struct fm_spool *sp, const struct fm_spool_select *select,
                                 const struct fm_spool_id *id, uint64_t *n, struct fm_err *err)
{
    enum { AT_ONCE = 500 };
    struct select sel = {0};
    FM_TRY(select_copy(&sel, select, err));
    if (id != NULL) {
        sel.one = sel.has_after = true;
        sel.after = *id;
    }
    uint64_t left = sel.limit, done = 0;
    for (bool on = true; on;) {
        struct op *op;
        sel.limit = left < AT_ONCE ? left : AT_ONCE;
        FM_TRY(ask(sp, OP_RETRY, &sel, &op, err));
        done += op->n;
        left -= op->n;
        on = op->n == AT_ONCE && left > 0;
        sel.after_row = op->select.after_row;
        op_unref(op);
    }
    if (n != NULL)
        *n = done;
    return FM_OK;
}
