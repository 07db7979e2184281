/* The fate of records: delivered, or dead letters and back. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "spool/rows_priv.h"

void dead_link(struct fm_spool *sp, struct dead *dead)
{
    if (dead->id == 0)
        dead->id = sp->next_dead;
    if (dead->id >= sp->next_dead)
        sp->next_dead = dead->id + 1;
    dead->prev = sp->dead_tail;
    *(sp->dead_tail != NULL ? &sp->dead_tail->next : &sp->dead_head) = dead;
    sp->dead_tail = dead;
    sp->dead_bytes += dead->bytes;
    sp->n_dead++;
}

void dead_unlink(struct fm_spool *sp, struct dead *dead)
{
    *(dead->prev != NULL ? &dead->prev->next : &sp->dead_head) = dead->next;
    *(dead->next != NULL ? &dead->next->prev : &sp->dead_tail) = dead->prev;
    sp->dead_bytes -= dead->bytes;
    sp->n_dead--;
    dead->out = true;
    dead_dirty(sp, dead);
}

void dead_free(struct fm_spool *sp, struct dead *dead)
{
    (void)sp;
    loaded_unref(dead->loaded);
    free(dead->reason);
    free(dead);
}

void dead_dirty(struct fm_spool *sp, struct dead *dead)
{
    sp->changed = true;
    dead->stream->dirty = true;
    if (dead->dirty)
        return;
    dead->dirty = true;
    dead->dirty_next = sp->dead_dirty;
    sp->dead_dirty = dead;
}

enum fm_code dead_load(struct fm_spool *sp, struct dead *dead, struct loaded **out, char **reason,
                       struct fm_err *err)
{
    *reason = NULL;
    if (dead->loaded != NULL) {
        *reason = strdup(dead->reason != NULL ? dead->reason : "");
        if (*reason == NULL)
            return fm_err_nomem(err);
        *out = loaded_ref(dead->loaded);
        return FM_OK;
    }
    if (sp->store == NULL)
        return fm_err_set(err, FM_ESYS, "the spool's database is not open");
    struct fm_chunk *chunk = NULL;
    FM_TRY(store_dead_body(sp->store, dead->id, &chunk, reason, err));
    *out = loaded_new(chunk);
    if (*out == NULL) {
        fm_chunk_free(chunk);
        free(*reason);
        *reason = NULL; /* the caller frees what is there */
        return fm_err_nomem(err);
    }
    return FM_OK;
}

/* Record i of a chunk; those before it are passed over. */
static enum fm_code record_at(const struct fm_chunk *chunk, uint32_t i, struct fm_record *rec,
                              struct fm_err *err)
{
    size_t at = 0;
    for (uint32_t k = 0; k < i; k++) {
        if (fm_chunk_next(chunk, &at, rec, err) == FM_ENOTFOUND)
            return FM_EDAMAGE;
    }
    enum fm_code code = fm_chunk_next(chunk, &at, rec, err);
    return code == FM_ENOTFOUND ? FM_EDAMAGE : code;
}

/* A chunk of this one record. */
static enum fm_code copy_record(const char *topic, const struct fm_record *rec, struct loaded **out,
                                struct fm_err *err)
{
    struct fm_chunk *chunk;
    FM_TRY(fm_chunk_new(&chunk, topic, err));
    enum fm_code code = fm_chunk_add(chunk, rec, NULL, 0, err);
    *out = code == FM_OK ? loaded_new(chunk) : NULL;
    if (*out == NULL) {
        fm_chunk_free(chunk);
        return code != FM_OK ? code : fm_err_nomem(err);
    }
    return FM_OK;
}

void dead_trim(struct fm_spool *sp)
{
    while (sp->dead_bytes > sp->opts.dead_max_size && sp->dead_head != NULL) {
        struct dead *oldest = sp->dead_head;
        oldest->stream->dead--;
        oldest->stream->lost++; /* declared already, when it was buried */
        dead_unlink(sp, oldest);
    }
}

static enum fm_code bury(struct fm_spool *sp, struct row *row, uint32_t i, const char *reason,
                         struct fm_err *err)
{
    struct dead *dead = calloc(1, sizeof *dead);
    if (dead == NULL)
        return fm_err_nomem(err);
    struct loaded *loaded = NULL;
    struct fm_record rec = {0};
    dead->reason = strdup(reason != NULL ? reason : "");
    enum fm_code code = dead->reason == NULL ? fm_err_nomem(err) : FM_OK;
    if (code == FM_OK)
        code = row_load(sp, row, &loaded, err);
    if (code == FM_OK)
        code = record_at(loaded->chunk, i, &rec, err);
    if (code == FM_OK && rec.kind == FM_RECORD_CONTROL)
        code = fm_err_set(err, FM_EUSAGE, "a control record is never a dead letter");
    if (code == FM_OK)
        code = copy_record(row->stream->topic->name, &rec, &dead->loaded, err);
    if (code == FM_OK && row->kind != ROW_RETRIED) {
        int64_t seq = (int64_t)(row->first + i);
        code = loss_add(sp, row->stream, seq, seq, 1, FM_GAP_DEAD, rec.time_ms, err);
    }
    loaded_unref(loaded);
    if (code != FM_OK) {
        dead_free(sp, dead);
        return code;
    }
    dead->stream = row->stream;
    dead->seq = row->first + i;
    dead->dead_ms = fm_wall_ms();
    dead->bytes = fm_chunk_bytes(dead->loaded->chunk) + strlen(dead->reason);
    dead->stream->dead++;
    row_take(sp, row, i, 1);
    dead_link(sp, dead);
    dead_dirty(sp, dead);
    sp->last_dead_ms = fm_clock_ms();
    dead_trim(sp);
    return FM_OK;
}

/* Dead letters that are in the line again stand in rows of their own. @return how many */
static uint32_t take_retried(struct fm_spool *sp, struct stream *s, uint64_t from, uint32_t n)
{
    uint32_t taken = 0;
    for (uint64_t seq = from; seq < from + n; seq++) {
        struct row *row = row_find(s, seq, false);
        if (row != NULL && row->kind == ROW_RETRIED && row->first == seq)
            taken += row_take(sp, row, 0, 1);
    }
    return taken;
}

static void settle_delivered(struct fm_spool *sp, struct stream *s, const struct run *run)
{
    for (uint64_t k = 0; k < run->n;) {
        uint64_t seq = run->from + k;
        struct row *row = row_find(s, seq, false);
        if (row == NULL || seq < row->first) {
            k++;
            continue;
        }
        uint32_t i = (uint32_t)(seq - row->first), n = row->n - i;
        if (n > run->n - k)
            n = (uint32_t)(run->n - k);
        k += n;
        uint32_t taken = row_take(sp, row, i, n);
        s->delivered += taken;
        if (taken < n)
            s->delivered += take_retried(sp, s, seq, n);
    }
}

static void settle_dead(struct fm_spool *sp, struct stream *s, const struct run *run)
{
    struct fm_err err;
    struct row *row = row_find(s, run->from, false);
    if (row == NULL || run->from < row->first)
        return;
    uint32_t i = (uint32_t)(run->from - row->first);
    if (row_is_gone(row, i) || bury(sp, row, i, run->reason, &err) != FM_EDAMAGE)
        return;
    if (row_lose(sp, row, i, 1, FM_GAP_DAMAGE, &err) != FM_OK)
        fm_log(sp->opts.log, FM_LOG_ERROR, "spool: %s", fm_err_text(&err));
}

void settle_apply(struct fm_spool *sp, const struct op *op)
{
    for (size_t i = 0; i < op->n_runs; i++) {
        struct stream *s = stream_find(sp, op->runs[i].stream);
        if (s != NULL && op->runs[i].how == FM_SETTLE_DELIVERED)
            settle_delivered(sp, s, &op->runs[i]);
        else if (s != NULL)
            settle_dead(sp, s, &op->runs[i]);
    }
}

/* ---- back into the line ---- */

static enum fm_code revive(struct fm_spool *sp, struct dead *dead, struct fm_err *err)
{
    struct loaded *loaded;
    FM_AUTO(fm_auto_free) char *reason = NULL;
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): FM_AUTO frees it, unseen by LLVM 14 */
    FM_TRY(dead_load(sp, dead, &loaded, &reason, err));
    struct row *row;
    struct fm_record rec;
    enum fm_code code = record_at(loaded->chunk, 0, &rec, err);
    if (code == FM_OK)
        code = row_new(&row, dead->stream, dead->seq, 1, err);
    if (code != FM_OK) {
        loaded_unref(loaded);
        return code;
    }
    row->loaded = loaded;
    row->bytes = (uint32_t)fm_chunk_bytes(loaded->chunk);
    row->cost = row_cost(sp, row->bytes);
    row->time_ms = rec.time_ms;
    row->born_ms = spool_line_ms(sp);
    row->kind = ROW_RETRIED;
    code = row_link(sp, row, err);
    if (code != FM_OK) {
        row_free(sp, row);
        return code;
    }
    row_dirty(sp, row);
    dead->stream->dead--;
    dead_unlink(sp, dead);
    return FM_OK;
}

static bool selected(const struct select *sel, const struct dead *dead)
{
    if (sel->one)
        return dead->seq == sel->after.seq && strcmp(dead->stream->name, sel->after.stream) == 0;
    return (sel->topic[0] == '\0' || strcmp(dead->stream->topic->name, sel->topic) == 0) &&
           (sel->before_ms == 0 || dead->dead_ms < sel->before_ms) && dead->id > sel->after_row;
}

enum fm_code retry_apply(struct fm_spool *sp, struct op *op)
{
    struct select *sel = &op->select;
    struct fm_err err;
    bool passed = !sel->has_after || sel->one || sel->after_row != 0;
    op->n = 0;
    for (struct dead *d = sp->dead_head, *next; d != NULL && op->n < sel->limit; d = next) {
        next = d->next;
        if (!passed) {
            passed = d->seq == sel->after.seq && strcmp(d->stream->name, sel->after.stream) == 0;
            if (passed)
                sel->after_row = d->id;
            continue;
        }
        if (!selected(sel, d))
            continue;
        sel->after_row = d->id;
        enum fm_code code = revive(sp, d, &err);
        if (code == FM_OK)
            op->n++;
        else if (code != FM_EDAMAGE) /* a damaged one stays where it is */
            return fm_err_set(&op->err, code, "%s", fm_err_text(&err));
    }
    return FM_OK;
}
