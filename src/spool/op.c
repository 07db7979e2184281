/* Operations: what callers put into the queue of the spool's thread, and their answers. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/thread.h"
#include "spool/spool_priv.h"

enum fm_code op_new(struct op **out, enum op_type type, struct fm_err *err)
{
    struct op *op = calloc(1, sizeof *op);
    if (op == NULL)
        return fm_err_nomem(err);
    op->type = type;
    atomic_init(&op->refs, 1);
    *out = op;
    return FM_OK;
}

static void op_free(struct op *op)
{
    for (size_t i = 0; i < op->n_runs; i++)
        free(op->runs[i].reason);
    free(op->runs);
    free(op->want.skip);
    free(op->want.only);
    fm_chunk_free(op->chunk);
    page_free(op->page);
    free(op);
}

void op_unref(struct op *op)
{
    if (op != NULL && atomic_fetch_sub(&op->refs, 1) == 1)
        op_free(op);
}

void op_push(struct op_list *list, struct op *op)
{
    op->next = NULL;
    *list->tail = op;
    list->tail = &op->next;
}

struct op *op_pop(struct op_list *list)
{
    struct op *op = list->head;
    if (op == NULL)
        return NULL;
    list->head = op->next;
    if (list->head == NULL)
        list->tail = &list->head;
    op->next = NULL;
    return op;
}

void op_done(struct fm_spool *sp, struct op *op, enum fm_code code, const struct fm_err *err)
{
    (void)pthread_mutex_lock(&sp->lock);
    op->code = code;
    if (code != FM_OK && err != NULL && err != &op->err)
        op->err = *err;
    op->done = true;
    const struct fm_spool_stored stored = {.tag = op->tag,
                                           .code = code,
                                           .stream = code == FM_OK ? op->stream : "",
                                           .first_seq = op->first,
                                           .n = op->n_records};
    struct fm_spool_batch *orphan = op->left ? op->batch : NULL;
    if (op->left)
        op->batch = NULL;
    (void)pthread_cond_broadcast(&sp->done);
    (void)pthread_mutex_unlock(&sp->lock);
    if (op->tagged && sp->opts.on_stored != NULL)
        sp->opts.on_stored(sp->opts.on_stored_arg, &stored);
    fm_spool_batch_free(sp, orphan);
    op_unref(op);
}

void op_enqueue(struct fm_spool *sp, struct op *op)
{
    atomic_fetch_add(&op->refs, 1);
    op_push(&sp->queue, op);
    sp->n_queued++;
    bool can_wait = op->type == OP_APPEND && !op->waited && sp->planned;
    if (sp->dir == NULL)
        spool_help(sp);
    else if (!can_wait || sp->queue_bytes >= sp->opts.group_bytes)
        (void)pthread_cond_signal(&sp->wake);
}

bool op_await(struct fm_spool *sp, struct op *op, int64_t deadline_ms)
{
    while (!op->done) {
        if (!fm_cond_wait(&sp->done, &sp->lock, deadline_ms) && fm_clock_ms() >= deadline_ms)
            return op->done;
    }
    return true;
}

enum fm_code op_call(struct fm_spool *sp, struct op *op, int64_t timeout_ms, struct fm_err *err)
{
    enum fm_code code;
    op->waited = true;
    (void)pthread_mutex_lock(&sp->lock);
    if (sp->closing) {
        code = fm_err_set(err, FM_ESTOP, "the spool is closed");
    } else {
        op_enqueue(sp, op);
        if (op_await(sp, op, fm_clock_ms() + timeout_ms)) {
            code = op->code;
            if (code != FM_OK && err != NULL)
                *err = op->err;
        } else {
            op->left = true;
            code = fm_err_set(err, FM_ETIMEOUT, "the spool did not answer within %lld ms",
                              (long long)timeout_ms);
        }
    }
    (void)pthread_mutex_unlock(&sp->lock);
    return code;
}
