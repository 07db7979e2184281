/* The spool's thread: it takes operations from the queue and commits when that is due. */
#include "base/thread.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "spool/rows_priv.h"

enum {
    AWAKE = 1, /* it looks itself before it waits */
    PACE_MS = 20, /* between commits for nothing but what was delivered */
    HELP_ROUNDS = 4 /* a caller works for itself, and for few others */
};

static void want_commit(struct fm_spool *sp, int64_t in_ms)
{
    int64_t due = fm_clock_ms() + (in_ms > 0 ? in_ms : 0);
    if (sp->due_ms == 0 || due < sp->due_ms)
        sp->due_ms = due;
}

static void declare_apply(struct fm_spool *sp, struct op *op)
{
    enum fm_code code = spool_lose_unborn(sp, op->topic, op->n, op->reason, op->time_ms, &op->err);
    if (code == FM_OK) {
        if (op->reason == FM_GAP_FULL || op->reason == FM_GAP_AGE)
            sp->last_drop_ms = fm_clock_ms();
    } else {
        fm_log_limited(sp->opts.log, FM_LOG_ERROR, "spool declare",
                       "spool: cannot declare %llu lost records: %s", (unsigned long long)op->n,
                       fm_err_text(&op->err));
    }
}

static enum fm_code config_apply(struct fm_spool *sp, struct op *op)
{
    if (sp->store != NULL && op->opts.sync_full != sp->opts.sync_full) {
        if (!op->opts.sync_full)
            FM_TRY(unsynced_note(sp, &op->err));
        FM_TRY(store_sync(sp->store, op->opts.sync_full, &op->err));
        if (op->opts.sync_full && sp->dir != NULL)
            unsynced_settle(sp);
    }
    sp->opts.sync_full = op->opts.sync_full;
    spool_set_limits(&sp->opts, &op->opts);
    reserve_change(sp, room_reserve(sp, op->opts.reserve));
    if (sp->store != NULL)
        FM_TRY(store_set_wal(sp->store, room_wal(sp), &op->err));
    dead_trim(sp);
    sp->age_ms = 0;
    sp->seen = true;
    return FM_OK;
}

/* Do one request, or put it where the commit finds it. */
static void apply(struct fm_spool *sp, struct op *op)
{
    enum fm_code code = FM_OK;
    switch (op->type) {
    case OP_APPEND:
        sp->group += op->bytes;
        want_commit(
            sp, op->waited || sp->group >= sp->opts.group_bytes ? 0 : (int64_t)sp->opts.commit_ms);
        op_push(&sp->appends, op);
        return;
    case OP_FLUSH:
        want_commit(sp, 0);
        op_push(&sp->flushes, op);
        return;
    case OP_DECLARE:
        declare_apply(sp, op);
        want_commit(sp, (int64_t)sp->opts.commit_ms);
        break;
    case OP_SETTLE:
        settle_apply(sp, op);
        /* Until it is on disk a kill means sending again: at once, but not many times a second. */
        want_commit(sp, sp->paced_ms - fm_clock_ms());
        break;
    case OP_READ:
        code = read_apply(sp, op);
        break;
    case OP_WALK:
        code = walk_apply(sp, op);
        break;
    case OP_CONFIG:
        code = config_apply(sp, op);
        want_commit(sp, 0);
        break;
    case OP_DROP:
    case OP_RETRY:
        code = op->type == OP_DROP ? drop_apply(sp, op) : retry_apply(sp, op);
        want_commit(sp, 0);
        break;
    }
    if (sp->changed && sp->due_ms == 0)
        want_commit(sp, 0); /* a read found damage */
    op_done(sp, op, code, &op->err);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* When the oldest record that may be dropped reaches the age; 0: never. */
static int64_t too_old_at(const struct fm_spool *sp)
{
    const struct row *row = sp->opts.max_age_ms > 0 ? sp->head : NULL;
    while (row != NULL && (row->kind == ROW_GAP || row->kind == ROW_FIRST))
        row = row->next;
    if (row == NULL)
        return 0;
    return row->born_ms + sp->opts.max_age_ms + 1 - spool_line_ms(sp) + fm_clock_ms();
}

/* When the thread has something to do by itself; 0: never. */
static int64_t next_due(const struct fm_spool *sp)
{
    int64_t due = sp->due_ms;
    if (due != 0 && sp->retry_ms > due)
        due = sp->retry_ms;
    due = earlier(due, sp->idle_ms);
    if ((sp->tight || sp->reserve_given) && sp->failures == 0)
        due = earlier(due, sp->look_ms);
    int64_t old = too_old_at(sp);
    if (old != 0)
        due = earlier(due, old > sp->age_ms ? old : sp->age_ms);
    return due;
}

static void answer_flushes(struct fm_spool *sp, enum fm_code code, const struct fm_err *err)
{
    if (code == FM_OK && sp->appends.head != NULL)
        return; /* something is still waiting for room */
    struct op *op;
    while ((op = op_pop(&sp->flushes)) != NULL)
        op_done(sp, op, code, err);
}

/* Commit if it is time. @return whether something new may be sent */
static void commit_due(struct fm_spool *sp)
{
    int64_t now = fm_clock_ms();
    int64_t old = too_old_at(sp);
    if (old != 0 && old <= now && now >= sp->age_ms) {
        sp->age_ms = now + 100; /* what is held may have to wait */
        want_commit(sp, 0);
    }
    if (sp->due_ms == 0 || now < sp->due_ms || now < sp->retry_ms)
        return;
    struct fm_err err;
    sp->group = 0;
    enum fm_code code = spool_commit(sp, &err);
    sp->paced_ms = fm_clock_ms() + (sp->dir != NULL ? PACE_MS : 0);
    spool_publish(sp);
    if (code != FM_OK)
        return; /* tried again at retry_ms; flushes wait for that */
    answer_flushes(sp, FM_OK, NULL);
    if (sp->opts.on_commit != NULL && sp->n_pending > 0)
        sp->opts.on_commit(sp->opts.on_commit_arg);
}

/* What could not be committed at the end. */
static void leave_owed(struct fm_spool *sp)
{
    if (sp->dir == NULL || sp->opts.keep_damage)
        return;
    sp->end.unstored = owed_write(sp, &sp->end.owed);
    if (sp->error[0] != '\0')
        memcpy(sp->end.error, sp->error, sizeof sp->end.error);
    else
        (void)snprintf(sp->end.error, sizeof sp->end.error, "the spool is full");
}

/* Without the declarations that a full disk did not take. */
static uint64_t stored_pending(const struct fm_spool *sp)
{
    uint64_t n = sp->n_pending;
    for (const struct row *row = sp->dirty; row != NULL; row = row->dirty_next)
        n -= row->stored || row->out ? 0 : row->n - row->n_gone;
    return n;
}

static void close_down(struct fm_spool *sp)
{
    struct fm_err err;
    for (int tries = 0; tries < 3 && (sp->changed || sp->appends.head != NULL);) {
        sp->due_ms = sp->retry_ms = sp->take_ms = 0;
        tries += spool_commit(sp, &err) != FM_OK || sp->blocked || sp->take_ms > 0;
    }
    if (sp->store != NULL)
        folder_look(sp);
    sp->end = (struct fm_spool_end){
        .pending = stored_pending(sp), .memory = sp->dir == NULL, .removed = sp->removed};
    if (sp->appends.head != NULL || sp->changed)
        leave_owed(sp);
    (void)fm_err_set(&err, FM_ESTOP, "the spool is closed");
    struct op *op;
    while ((op = op_pop(&sp->appends)) != NULL)
        op_done(sp, op, FM_ESTOP, &err);
    answer_flushes(sp, FM_ESTOP, &err);
    spool_publish(sp);
    /* Whoever only looked leaves the files as they were, and on a full disk the log keeps its
     * blocks: the next start could not have them anew. */
    store_close(sp->store, !sp->opts.keep_damage && !sp->tight);
    sp->store = NULL;
    if (sp->dir != NULL && !sp->opts.keep_damage && !sp->changed)
        unsynced_clear(sp, false);
}

/* Under the lock, which it lets go meanwhile: do what is queued and what is due; at most so many
 * times if others queue more meanwhile. */
static void work(struct fm_spool *sp, unsigned rounds)
{
    sp->working = true;
    do {
        struct op_list todo = {.head = sp->queue.head, .tail = &todo.head};
        sp->queue.head = NULL;
        sp->queue.tail = &sp->queue.head;
        sp->n_queued = 0;
        bool closing = sp->closing;
        (void)pthread_mutex_unlock(&sp->lock);
        for (struct op *op = todo.head, *next; op != NULL; op = next) {
            next = op->next;
            apply(sp, op);
        }
        if (sp->seen && (closing || sp->dir != NULL)) /* a commit to a disk may take long */
            spool_publish(sp);
        if (!closing) {
            commit_due(sp);
            spool_housekeeping(sp);
            if (sp->seen)
                spool_publish(sp);
        }
        (void)pthread_mutex_lock(&sp->lock);
    } while (sp->queue.head != NULL && --rounds > 0);
    sp->working = false;
}

void spool_help(struct fm_spool *sp)
{
    if (sp->working)
        return;
    work(sp, HELP_ROUNDS);
    int64_t due = next_due(sp);
    bool late = due != 0 && (sp->waits_until == 0 || due < sp->waits_until);
    if (late || sp->closing || sp->queue.head != NULL)
        (void)pthread_cond_signal(&sp->wake);
}

void *spool_main(void *arg)
{
    struct fm_spool *sp = arg;
    bool closing = false;
    (void)pthread_mutex_lock(&sp->lock);
    while (!closing) {
        int64_t due = sp->working ? 0 : next_due(sp);
        bool something =
            sp->queue.head != NULL || sp->closing || (due != 0 && due <= fm_clock_ms());
        if (sp->working || !something) {
            sp->waits_until = due;
            sp->planned = !sp->working && sp->due_ms != 0;
            (void)fm_cond_wait(&sp->wake, &sp->lock, due);
            sp->planned = false;
            sp->waits_until = AWAKE;
            continue;
        }
        closing = sp->closing;
        work(sp, UINT_MAX);
    }
    (void)pthread_mutex_unlock(&sp->lock);
    close_down(sp);
    (void)pthread_mutex_lock(&sp->lock);
    sp->finished = true;
    (void)pthread_cond_broadcast(&sp->done);
    (void)pthread_mutex_unlock(&sp->lock);
    return NULL;
}
