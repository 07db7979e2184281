/* The group commit. First, in memory and never undone: what is too old or too much is dropped, and
 * all losses are declared. Then the queued chunks get their numbers; that is undone when the
 * transaction fails. After a failure the first part is written alone, so that deleting and sending
 * go on where there is no room for new records. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "spool/aside_priv.h"
#include "spool/rows_priv.h"

enum {
    APPEND_CACHE = 2 * 1024 * 1024,
    BACKOFF_MS = 50,
    BACKOFF_MAX_MS = 5000,
    IDLE_SOON_MS = 250,
    IDLE_LATE_MS = 30000,
    IDLE_LOG = 1024 * 1024
};

int64_t spool_line_ms(const struct fm_spool *sp)
{
    return sp->line_base_ms + (fm_clock_ms() - sp->line_from_ms);
}

/* ---- room ---- */

static bool may_drop(const struct row *row)
{
    return row->stored && row->held == 0 && row->kind != ROW_GAP && row->kind != ROW_FIRST;
}

static enum fm_code drop_old(struct fm_spool *sp, struct fm_err *err)
{
    if (sp->opts.max_age_ms <= 0)
        return FM_OK;
    int64_t before = spool_line_ms(sp) - sp->opts.max_age_ms;
    struct row *next;
    for (struct row *row = sp->head; row != NULL && row->born_ms < before; row = next) {
        next = row->next;
        if (may_drop(row))
            FM_TRY(row_lose(sp, row, 0, row->n, FM_GAP_AGE, err));
    }
    return FM_OK;
}

static enum fm_code drop_oldest(struct fm_spool *sp, uint64_t incoming, uint64_t limit,
                                struct fm_err *err)
{
    struct row *next;
    for (struct row *row = sp->head; row != NULL && sp->cost + incoming > limit; row = next) {
        next = row->next;
        if (may_drop(row))
            FM_TRY(row_lose(sp, row, 0, row->n, FM_GAP_FULL, err));
    }
    return FM_OK;
}

static void leave_queue(struct fm_spool *sp, const struct op *op)
{
    (void)pthread_mutex_lock(&sp->lock);
    sp->queue_bytes -= op->bytes;
    sp->queue_records -= op->n_records;
    (void)pthread_mutex_unlock(&sp->lock);
}

enum fm_code spool_lose_unborn(struct fm_spool *sp, const char *topic, uint64_t n,
                               enum fm_gap_reason reason, int64_t time_ms, struct fm_err *err)
{
    struct stream *s;
    FM_TRY(stream_current(sp, topic, &s, err));
    FM_TRY(loss_add(sp, s, (int64_t)s->assigned + 1, (int64_t)(s->assigned + n), (int64_t)n, reason,
                    time_ms, err));
    s->assigned += n;
    s->lost += n;
    if (s->unborn == 0 || time_ms < s->unborn_first_ms)
        s->unborn_first_ms = time_ms;
    if (s->unborn == 0 || time_ms > s->unborn_last_ms)
        s->unborn_last_ms = time_ms;
    s->unborn += n;
    return FM_OK;
}

/* Drop a chunk that was never stored. */
static enum fm_code refuse(struct fm_spool *sp, struct op *op, struct fm_err *err)
{
    size_t at = 0, n = fm_chunk_count(op->chunk);
    struct fm_record rec = {0};
    (void)!fm_chunk_next(op->chunk, &at, &rec, NULL);
    FM_TRY(spool_lose_unborn(sp, fm_chunk_topic(op->chunk), n, FM_GAP_FULL, rec.time_ms, err));
    sp->last_drop_ms = fm_clock_ms();
    return FM_OK;
}

/* Decide which of the queued chunks go into this commit: *take of them, from the front. */
static enum fm_code make_room(struct fm_spool *sp, size_t *take, struct fm_err *err)
{
    struct op_list keep = {.head = NULL};
    keep.tail = &keep.head;
    uint64_t incoming = 0, limit = room_rows(sp), batch = room_batch(sp);
    bool blocked = false, later = false;
    enum fm_code code = FM_OK;
    struct op *op;
    *take = 0;
    if (sp->opts.on_full == FM_SPOOL_DROP_OLDEST)
        FM_TRY(drop_oldest(sp, 0, limit, err)); /* a limit that was lowered */
    while ((op = op_pop(&sp->appends)) != NULL) {
        uint64_t cost = row_cost(sp, fm_chunk_stored_bytes(op->chunk));
        later = later || (*take > 0 && incoming + cost > batch);
        if (later) {
            op_push(&keep, op);
            continue;
        }
        if (code == FM_OK && sp->opts.on_full == FM_SPOOL_DROP_OLDEST && cost <= limit)
            code = drop_oldest(sp, incoming + cost, limit, err);
        bool fits = sp->cost + incoming + cost <= limit;
        blocked = blocked || (!fits && cost <= limit && sp->opts.on_full == FM_SPOOL_BLOCK);
        if (fits || blocked || code != FM_OK) {
            *take += fits && !blocked;
            incoming += fits && !blocked ? cost : 0;
            op_push(&keep, op);
            continue;
        }
        code = refuse(sp, op, err);
        if (code != FM_OK) {
            op_push(&keep, op);
            continue;
        }
        struct fm_err why;
        leave_queue(sp, op);
        op_done(sp, op, fm_err_set(&why, FM_EFULL, "the spool is full"), &why);
    }
    sp->appends = keep;
    if (keep.head == NULL)
        sp->appends.tail = &sp->appends.head;
    (void)pthread_mutex_lock(&sp->lock);
    sp->blocked = blocked;
    (void)pthread_mutex_unlock(&sp->lock);
    return code;
}

/* Everything that is decided in memory before numbers are given. */
static enum fm_code prepare(struct fm_spool *sp, size_t *take, struct fm_err *err)
{
    batches_release(sp);
    FM_TRY(drop_old(sp, err));
    FM_TRY(make_room(sp, take, err));
    size_t i = 0;
    for (struct op *op = sp->appends.head; op != NULL && i < *take; op = op->next, i++) {
        struct stream *s;
        FM_TRY(stream_current(sp, fm_chunk_topic(op->chunk), &s, err));
    }
    return losses_declare(sp, err);
}

/* ---- numbers ---- */

static enum fm_code number(struct fm_spool *sp, struct op *op, struct fm_err *err)
{
    struct stream *s;
    struct row *row;
    FM_TRY(stream_current(sp, fm_chunk_topic(op->chunk), &s, err));
    size_t n = fm_chunk_count(op->chunk), at = 0;
    FM_TRY(row_new(&row, s, s->assigned + 1, (uint32_t)n, err));
    struct fm_record rec = {0};
    (void)!fm_chunk_next(op->chunk, &at, &rec, NULL);
    row->time_ms = rec.time_ms;
    row->born_ms = spool_line_ms(sp);
    row->bytes = (uint32_t)fm_chunk_stored_bytes(op->chunk);
    row->cost = row_cost(sp, row->bytes);
    row->loaded = loaded_new(op->chunk);
    enum fm_code code = row->loaded != NULL ? row_link(sp, row, err) : fm_err_nomem(err);
    if (code != FM_OK) {
        free(row->loaded);
        row->loaded = NULL;
        row_free(sp, row);
        return code;
    }
    s->assigned += n;
    s->dirty = true;
    op->row = row;
    return FM_OK;
}

/* Undo the numbers of the first n queued chunks, the last one first. */
static void unnumber(struct fm_spool *sp, size_t n)
{
    for (; n > 0; n--) {
        struct op *op = sp->appends.head;
        for (size_t i = 1; i < n; i++)
            op = op->next;
        struct row *row = op->row;
        row->stream->assigned -= row->n;
        row->stream->dirty = true;
        free(row->loaded); /* the chunk stays with the operation */
        row->loaded = NULL;
        sp->next_row = row->id;
        row_unlink(sp, row);
        row_free(sp, row);
        op->row = NULL;
    }
}

/* ---- what a transaction leaves ---- */

static void row_is_stored(struct fm_spool *sp, struct row *row)
{
    row->stored = true;
    if (sp->dir == NULL || row->loaded == NULL)
        return;
    fm_chunk_forget_packed(row->loaded->chunk);
    if (sp->cached + fm_chunk_bytes(row->loaded->chunk) <= APPEND_CACHE) {
        sp->cached += fm_chunk_bytes(row->loaded->chunk);
        return;
    }
    loaded_unref(row->loaded);
    row->loaded = NULL;
}

static void clean(struct fm_spool *sp)
{
    sp->resync = false;
    while (sp->dirty != NULL) {
        struct row *row = sp->dirty;
        sp->dirty = row->dirty_next;
        row->dirty = false;
        if (row->out)
            row_free(sp, row);
        else if (!row->stored)
            row_is_stored(sp, row);
    }
    while (sp->dead_dirty != NULL) {
        struct dead *d = sp->dead_dirty;
        sp->dead_dirty = d->dirty_next;
        d->dirty = false;
        d->stored = true;
        if (d->out) {
            dead_free(sp, d);
        } else if (sp->dir != NULL) {
            loaded_unref(d->loaded);
            free(d->reason);
            d->loaded = NULL;
            d->reason = NULL;
        }
    }
    for (size_t i = 0; i < sp->n_streams; i++) {
        struct stream *s = sp->streams[i];
        assert(stream_balanced(s));
        s->dirty = false;
        s->stored = true;
        s->stored_assigned = s->assigned;
        s->unborn = 0;
    }
    sp->changed = false;
}

static void finish(struct fm_spool *sp, size_t n_new)
{
    for (; n_new > 0; n_new--) {
        struct op *op = op_pop(&sp->appends);
        struct row *row = op->row;
        row_is_stored(sp, row);
        op->chunk = NULL;
        op->row = NULL;
        memcpy(op->stream, row->stream->name, sizeof op->stream);
        op->first = row->first;
        op->last = row->first + row->n - 1;
        leave_queue(sp, op);
        op_push(&sp->committed, op);
    }
    sp->seen = true;
}

/* Callers are told after the snapshot was published: then it agrees with what they know. */
static void tell(struct fm_spool *sp)
{
    struct op *op;
    if (sp->seen)
        spool_publish(sp);
    while ((op = op_pop(&sp->committed)) != NULL)
        op_done(sp, op, FM_OK, NULL);
}

/* ---- the whole ---- */

static enum fm_code commit_new(struct fm_spool *sp, size_t take, struct fm_err *err)
{
    size_t n = 0;
    enum fm_code code = FM_OK;
    for (struct op *op = sp->appends.head; op != NULL && n < take && code == FM_OK; op = op->next) {
        code = number(sp, op, err);
        n += code == FM_OK;
    }
    if (n == 0 && code != FM_OK)
        return code;
    if (n == 0 && !sp->changed)
        return FM_OK;
    code = spool_write(sp, n, err);
    if (code != FM_OK) {
        unnumber(sp, n);
        sp->resync_row =
            sp->resync && sp->resync_row < sp->next_row ? sp->resync_row : sp->next_row;
        sp->resync = true;
        return code;
    }
    clean(sp);
    finish(sp, n);
    return FM_OK;
}

static int64_t backoff_ms(unsigned failures)
{
    int64_t wait = (int64_t)BACKOFF_MS << (failures < 7 ? failures : 7);
    return wait < BACKOFF_MAX_MS ? wait : BACKOFF_MAX_MS;
}

static void note_failure(struct fm_spool *sp, const struct fm_err *why)
{
    sp->commit_failures++;
    (void)snprintf(sp->error, sizeof sp->error, "%s", fm_err_text(why));
    fm_log_limited(sp->opts.log, FM_LOG_ERROR, "spool commit", "spool: cannot commit: %s",
                   sp->error);
    sp->seen = true;
}

/* What a failure asks for, before the next try. */
static void recover(struct fm_spool *sp, enum fm_code code, const struct fm_err *why)
{
    struct fm_err err = *why;
    bool full = sp->store != NULL && code != FM_ENOMEM && store_was_full(sp->store);
    bool io = sp->store != NULL && code == FM_ESYS && store_was_io(sp->store);
    bool at_once = full && !sp->tight;
    if (full)
        (void)room_none(sp, &err);
    note_failure(sp, &err);
    if (full)
        room_run_out(sp);
    if (code == FM_EDAMAGE || io) {
        if (spool_reopen_store(sp, code == FM_EDAMAGE, &err) != FM_OK)
            fm_log_limited(sp->opts.log, FM_LOG_ERROR, "spool reopen", "spool: %s",
                           fm_err_text(&err));
    }
    sp->retry_ms = at_once ? 0 : fm_clock_ms() + backoff_ms(sp->failures);
    sp->failures++;
    if (sp->due_ms == 0) /* a checkpoint after the commit: nothing else would bring the next try */
        sp->due_ms = fm_clock_ms();
}

/* Not even one chunk finds room: the chunks wait, and nothing else does. */
static void wait_for_room(struct fm_spool *sp)
{
    struct fm_err why;
    (void)room_none(sp, &why);
    note_failure(sp, &why);
    sp->take_ms = fm_clock_ms() + backoff_ms(sp->tight_waits++);
}

/* On a full disk: into what is free in the file, and into what the disk still gives; ever more at a
 * time while that goes well. */
static enum fm_code commit_tight(struct fm_spool *sp, size_t take, struct fm_err *err)
{
    FM_TRY(store_checkpoint(sp->store, CHECKPOINT_NOW, err));
    while (take > 0 && fm_clock_ms() >= sp->take_ms) {
        size_t n = take < sp->tight_take ? take : sp->tight_take;
        enum fm_code code = commit_new(sp, n, err);
        if (code == FM_OK) {
            FM_TRY(store_checkpoint(sp->store, CHECKPOINT_NOW, err));
            take -= n;
            sp->tight_take = n * 2;
            sp->tight_waits = 0;
        } else if (code == FM_ENOMEM || !store_was_full(sp->store)) {
            return code;
        } else if (n == 1) {
            wait_for_room(sp);
        } else {
            sp->tight_take = n / 2;
        }
    }
    return FM_OK;
}

static enum fm_code commit_once(struct fm_spool *sp, struct fm_err *err)
{
    size_t take = 0;
    if (sp->dir != NULL && sp->store == NULL)
        FM_TRY(spool_reopen_store(sp, false, err));
    FM_TRY(prepare(sp, &take, err));
    if ((sp->failures > 0 || sp->tight) && sp->changed) {
        FM_TRY(commit_new(sp, 0, err)); /* deleting first: it must not depend on free space */
        sp->take_ms = 0;
    }
    return sp->tight ? commit_tight(sp, take, err) : commit_new(sp, take, err);
}

/* When what the commit left in the queue is to be looked at again; 0: something must happen first.
 */
static int64_t next_look(const struct fm_spool *sp)
{
    if (sp->appends.head == NULL || sp->blocked)
        return 0;
    return sp->tight && sp->take_ms > 0 ? sp->take_ms : fm_clock_ms();
}

/* At rest each poll makes two small commits. To empty the log after each would cost three more
 * synchronisations a poll and wake-ups, so it may hold a few minutes of them. With sync = normal
 * nothing else makes them last, so there it is emptied at once. */
static unsigned idle_after_ms(const struct fm_spool *sp)
{
    bool soon = sp->sizes.spare > 0 || !sp->opts.sync_full || sp->sizes.wal_bytes > IDLE_LOG;
    return soon ? IDLE_SOON_MS : IDLE_LATE_MS;
}

enum fm_code spool_commit(struct fm_spool *sp, struct fm_err *err)
{
    struct fm_err why = {0};
    enum fm_code code = commit_once(sp, &why);
    if (code != FM_OK) {
        recover(sp, code, &why);
        tell(sp);
        if (err != NULL)
            *err = why;
        return code;
    }
    sp->failures = 0;
    sp->retry_ms = 0;
    sp->due_ms = next_look(sp);
    if (sp->take_ms == 0 || sp->appends.head == NULL)
        sp->error[0] = '\0';
    sp->commits++;
    if (sp->store != NULL)
        folder_look(sp); /* before anybody hears that it is stored */
    tell(sp);
    if (sp->owed)
        owed_clear(sp);
    if (sp->old_store != NULL && sp->store != NULL)
        (void)!store_spill(sp->store, false, NULL);
    store_close(sp->old_store, false);
    sp->old_store = NULL;
    aside_done(sp);
    if (sp->store != NULL && store_checkpoint(sp->store, CHECKPOINT_DUE, &why) != FM_OK)
        recover(sp, FM_ESYS, &why);
    if (sp->store != NULL)
        store_sizes(sp->store, &sp->sizes);
    sp->idle_ms = sp->store != NULL ? fm_clock_ms() + idle_after_ms(sp) : 0;
    return FM_OK;
}

void spool_housekeeping(struct fm_spool *sp)
{
    int64_t now = fm_clock_ms();
    if (sp->failures == 0 && now >= sp->look_ms && room_look(sp)) {
        sp->take_ms = 0;
        sp->due_ms = sp->appends.head != NULL ? now : sp->due_ms;
        sp->seen = true;
    }
    if (sp->idle_ms == 0 || now < sp->idle_ms)
        return;
    sp->idle_ms = 0;
    if (sp->store == NULL || sp->failures > 0)
        return;
    /* Space goes back to the system in small steps, while nobody waits; not where others would take
     * it, and new records find none. */
    if (!sp->tight && store_vacuum(sp->store))
        sp->idle_ms = now + 1;
    else if (!sp->tight)
        (void)!store_checkpoint(sp->store, sp->n_pending == 0 ? CHECKPOINT_CUT : CHECKPOINT_DUE,
                                NULL);
    store_sizes(sp->store, &sp->sizes);
    sp->seen = true;
}
