/* What goes into the spool: chunks, declarations, the fate of records, new limits. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "spool/spool_priv.h"

enum { MAX_OPS = 65536 /* queued requests, whatever their size */ };

/* ---- chunks ---- */

/* Under the lock. A chunk larger than the whole queue goes in alone. */
static bool has_room(const struct fm_spool *sp, size_t bytes)
{
    return !sp->blocked && sp->n_queued < MAX_OPS &&
           (sp->queue_bytes == 0 || sp->queue_bytes + bytes <= sp->opts.queue_max);
}

bool fm_spool_ready(const struct fm_spool *spool)
{
    /* The lock is not part of what const promises. */
    union {
        const struct fm_spool *in;
        struct fm_spool *out;
    } sp = {.in = spool};
    (void)pthread_mutex_lock(&sp.out->lock);
    bool ready = !spool->stopped && has_room(spool, FM_CHUNK_BYTES);
    (void)pthread_mutex_unlock(&sp.out->lock);
    return ready;
}

static enum fm_code append_op(const struct fm_spool *sp, struct op **out, struct fm_chunk *chunk,
                              struct fm_err *err)
{
    FM_TRY(op_new(out, OP_APPEND, err));
    if (sp->dir != NULL)
        fm_chunk_pack(chunk); /* here: several callers share the work, and the commit is short */
    else
        fm_chunk_fit(chunk); /* it waits as it is, and counts by what it holds */
    (*out)->bytes = fm_chunk_bytes(chunk);
    (*out)->n_records = fm_chunk_count(chunk);
    return FM_OK;
}

/* Under the lock: into the queue; the chunk is the queue's from here on. */
static void give_chunk(struct fm_spool *sp, struct op *op, struct fm_chunk **chunk)
{
    op->chunk = *chunk;
    *chunk = NULL;
    sp->queue_bytes += op->bytes;
    sp->queue_records += op->n_records;
    op_enqueue(sp, op);
}

static enum fm_code append(struct fm_spool *sp, struct fm_chunk **chunk, const uint64_t *tag,
                           struct fm_err *err)
{
    if (fm_chunk_count(*chunk) == 0) {
        fm_chunk_free(*chunk);
        *chunk = NULL;
        return FM_OK;
    }
    struct op *op;
    FM_TRY(append_op(sp, &op, *chunk, err));
    op->tagged = tag != NULL;
    op->tag = tag != NULL ? *tag : 0;
    enum fm_code code = FM_OK;
    (void)pthread_mutex_lock(&sp->lock);
    if (sp->stopped) {
        code = fm_err_set(err, FM_ESTOP, "the spool is stopping");
    } else if (!has_room(sp, op->bytes)) {
        sp->stats.last_drop_ms = fm_clock_ms();
        code = fm_err_set(err, FM_EFULL, "the spool takes no more: %s",
                          sp->blocked ? "it is full" : "its queue is full");
    } else {
        give_chunk(sp, op, chunk);
    }
    (void)pthread_mutex_unlock(&sp->lock);
    op_unref(op);
    return code;
}

enum fm_code fm_spool_append(struct fm_spool *sp, struct fm_chunk **chunk, struct fm_err *err)
{
    return append(sp, chunk, NULL, err);
}

enum fm_code fm_spool_submit(struct fm_spool *sp, struct fm_chunk **chunk, uint64_t tag,
                             struct fm_err *err)
{
    if (fm_chunk_count(*chunk) == 0)
        return fm_err_set(err, FM_EUSAGE, "an empty chunk cannot be stored");
    return append(sp, chunk, &tag, err);
}

/* Under the lock: take a chunk back that nobody has begun to commit. */
static bool withdraw(struct fm_spool *sp, struct op *op, struct fm_chunk **chunk)
{
    for (struct op **at = &sp->queue.head; *at != NULL; at = &(*at)->next) {
        if (*at != op)
            continue;
        *at = op->next;
        if (op->next == NULL)
            sp->queue.tail = at;
        sp->n_queued--;
        sp->queue_bytes -= op->bytes;
        sp->queue_records -= op->n_records;
        *chunk = op->chunk;
        op->chunk = NULL;
        op_unref(op); /* the queue's reference; the caller has its own */
        return true;
    }
    return false;
}

static enum fm_code store_locked(struct fm_spool *sp, struct op *op, struct fm_chunk **chunk,
                                 int64_t deadline_ms, struct fm_err *err)
{
    while (!sp->stopped && !has_room(sp, op->bytes)) {
        if (!fm_cond_wait(&sp->done, &sp->lock, deadline_ms) && fm_clock_ms() >= deadline_ms)
            return sp->blocked ? fm_err_set(err, FM_EFULL, "the spool is full")
                               : fm_err_set(err, FM_ETIMEOUT, "the spool's queue stays full");
    }
    if (sp->stopped)
        return fm_err_set(err, FM_ESTOP, "the spool is stopping");
    give_chunk(sp, op, chunk);
    if (!op_await(sp, op, deadline_ms)) {
        op->left = true;
        (void)withdraw(sp, op, chunk);
        return fm_err_set(err, sp->blocked ? FM_EFULL : FM_ETIMEOUT,
                          "the spool did not commit in time%s%s",
                          sp->stats.error[0] != '\0' ? ": " : "", sp->stats.error);
    }
    if (op->code != FM_OK && err != NULL)
        *err = op->err;
    return op->code;
}

enum fm_code fm_spool_store(struct fm_spool *sp, struct fm_chunk **chunk, unsigned timeout_ms,
                            char stream[FM_STREAM_LEN + 1], uint64_t *first_seq, uint64_t *last_seq,
                            struct fm_err *err)
{
    if (fm_chunk_count(*chunk) == 0)
        return fm_err_set(err, FM_EUSAGE, "an empty chunk cannot be stored");
    struct op *op;
    FM_TRY(append_op(sp, &op, *chunk, err));
    op->waited = true;
    (void)pthread_mutex_lock(&sp->lock);
    enum fm_code code = store_locked(sp, op, chunk, fm_clock_ms() + timeout_ms, err);
    (void)pthread_mutex_unlock(&sp->lock);
    if (code == FM_OK && stream != NULL)
        memcpy(stream, op->stream, sizeof op->stream);
    if (code == FM_OK && first_seq != NULL)
        *first_seq = op->first;
    if (code == FM_OK && last_seq != NULL)
        *last_seq = op->last;
    op_unref(op);
    return code;
}

/* ---- requests ---- */

/* Queue a request that nobody waits for. */
static enum fm_code send_op(struct fm_spool *sp, struct op *op, bool also_stopped,
                            struct fm_err *err)
{
    enum fm_code code = FM_OK;
    (void)pthread_mutex_lock(&sp->lock);
    if (sp->closing || (sp->stopped && !also_stopped))
        code = fm_err_set(err, FM_ESTOP, "the spool is stopping");
    else if (sp->n_queued >= MAX_OPS && !also_stopped)
        code = fm_err_set(err, FM_EFULL, "the spool's queue is full");
    else
        op_enqueue(sp, op);
    (void)pthread_mutex_unlock(&sp->lock);
    op_unref(op);
    return code;
}

enum fm_code fm_spool_declare(struct fm_spool *sp, const char *topic, uint64_t n,
                              enum fm_gap_reason reason, int64_t time_ms, struct fm_err *err)
{
    size_t len = strlen(topic);
    if (len == 0 || len >= TOPIC_SIZE)
        return fm_err_set(err, FM_ELIMIT, "a topic has 1 to 255 bytes, this one %zu", len);
    if (n == 0)
        return FM_OK;
    struct op *op;
    FM_TRY(op_new(&op, OP_DECLARE, err));
    memcpy(op->topic, topic, len);
    op->n = n;
    op->reason = reason;
    op->time_ms = time_ms;
    return send_op(sp, op, false, err);
}

enum fm_code fm_spool_reconfigure(struct fm_spool *sp, const struct fm_spool_opts *opts,
                                  struct fm_err *err)
{
    enum { PATIENCE_MS = 2000 };
    struct op *op;
    FM_TRY(op_new(&op, OP_CONFIG, err));
    op->opts = *opts;
    enum fm_code code = op_call(sp, op, PATIENCE_MS, err);
    op_unref(op);
    return code;
}

enum fm_code fm_spool_flush(struct fm_spool *sp, unsigned timeout_ms, struct fm_err *err)
{
    struct op *op;
    FM_TRY(op_new(&op, OP_FLUSH, err));
    enum fm_code code = op_call(sp, op, timeout_ms, err);
    op_unref(op);
    return code;
}

/* ---- settling ---- */

static enum fm_code copy_runs(struct op *op, const struct fm_settlement *list, size_t n,
                              struct fm_err *err)
{
    op->runs = calloc(n, sizeof *op->runs);
    if (op->runs == NULL)
        return fm_err_nomem(err);
    for (size_t i = 0; i < n; i++) {
        bool dead = list[i].how == FM_SETTLE_DEAD;
        struct run *run = &op->runs[op->n_runs];
        *run = (struct run){.from = list[i].id.seq,
                            .n = dead || list[i].n == 0 ? 1 : list[i].n,
                            .how = list[i].how};
        memcpy(run->stream, list[i].id.stream, FM_STREAM_LEN);
        if (dead) {
            run->reason = strdup(list[i].reason != NULL ? list[i].reason : "");
            if (run->reason == NULL)
                return fm_err_nomem(err);
        }
        op->n_runs++;
    }
    return FM_OK;
}

enum fm_code fm_spool_settle(struct fm_spool *sp, const struct fm_settlement *list, size_t n,
                             struct fm_err *err)
{
    if (n == 0)
        return FM_OK;
    struct op *op;
    FM_TRY(op_new(&op, OP_SETTLE, err));
    enum fm_code code = copy_runs(op, list, n, err);
    if (code != FM_OK) {
        op_unref(op);
        return code;
    }
    return send_op(sp, op, true, err);
}
