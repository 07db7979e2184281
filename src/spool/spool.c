/* The spool's thread, its queue, and the calls that go through it. */
#include "spool/spool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "spool/spool_priv.h"

enum {
    QUEUE_MAX = 16 * 1024 * 1024,
    MAX_OPS = 65536, /* queued requests, whatever their size */
    FREE_MS = 2000,
    GIB = 1024 * 1024 * 1024,
    DEAD_MAX = 64 * 1024 * 1024
};

/* ---- operations ---- */

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
    struct fm_spool_batch *orphan = op->left ? op->batch : NULL;
    if (op->left)
        op->batch = NULL;
    (void)pthread_cond_broadcast(&sp->done);
    (void)pthread_mutex_unlock(&sp->lock);
    fm_spool_batch_free(sp, orphan);
    op_unref(op);
}

/* Under the lock: hand op to the thread, which gets a reference of its own. */
static void enqueue(struct fm_spool *sp, struct op *op)
{
    atomic_fetch_add(&op->refs, 1);
    op_push(&sp->queue, op);
    sp->n_queued++;
    (void)pthread_cond_signal(&sp->wake);
}

/* Wait under the lock for the end of op. @return false at the deadline */
static bool await(struct fm_spool *sp, struct op *op, int64_t deadline_ms)
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
        enqueue(sp, op);
        if (await(sp, op, fm_clock_ms() + timeout_ms)) {
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

/* ---- the thread ---- */

static void want_commit(struct fm_spool *sp, int64_t in_ms)
{
    int64_t due = fm_clock_ms() + in_ms;
    if (sp->due_ms == 0 || due < sp->due_ms)
        sp->due_ms = due;
}

static void declare_apply(struct fm_spool *sp, struct op *op)
{
    struct stream *s;
    enum fm_code code = stream_current(sp, op->topic, &s, &op->err);
    if (code == FM_OK)
        code = loss_add(sp, s, (int64_t)s->assigned + 1, (int64_t)(s->assigned + op->n),
                        (int64_t)op->n, op->reason, op->time_ms, &op->err);
    if (code == FM_OK) {
        s->assigned += op->n;
        s->lost += op->n;
        if (op->reason == FM_GAP_FULL || op->reason == FM_GAP_AGE)
            sp->last_drop_ms = fm_clock_ms();
    } else {
        fm_log_limited(sp->opts.log, FM_LOG_ERROR, "spool declare",
                       "spool: cannot declare %llu lost records: %s", (unsigned long long)op->n,
                       fm_err_text(&op->err));
    }
}

static void set_limits(struct fm_spool_opts *to, const struct fm_spool_opts *from)
{
    to->max_size = from->max_size != 0 ? from->max_size : GIB;
    to->dead_max_size = from->dead_max_size != 0 ? from->dead_max_size : DEAD_MAX;
    to->max_age_ms = from->max_age_ms;
    to->on_full = from->on_full;
    to->commit_ms = from->commit_ms;
}

static enum fm_code config_apply(struct fm_spool *sp, struct op *op)
{
    if (sp->store != NULL && op->opts.sync_full != sp->opts.sync_full)
        FM_TRY(store_sync(sp->store, op->opts.sync_full, &op->err));
    sp->opts.sync_full = op->opts.sync_full;
    set_limits(&sp->opts, &op->opts);
    reserve_change(sp, op->opts.reserve);
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
        want_commit(sp, op->waited ? 0 : (int64_t)sp->opts.commit_ms);
        sp->append_bytes += op->bytes;
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
        want_commit(sp, 0); /* until it is on disk a kill means sending again */
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
    if (sp->reserve_given && sp->failures == 0)
        due = earlier(due, sp->reserve_try_ms);
    int64_t old = too_old_at(sp);
    if (old != 0)
        due = earlier(due, old > sp->age_ms ? old : sp->age_ms);
    return due;
}

static void answer_flushes(struct fm_spool *sp, enum fm_code code, const struct fm_err *err)
{
    if (code == FM_OK && sp->blocked)
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
    enum fm_code code = spool_commit(sp, &err);
    spool_publish(sp);
    if (code != FM_OK)
        return; /* tried again at retry_ms; flushes wait for that */
    answer_flushes(sp, FM_OK, NULL);
    if (sp->opts.on_commit != NULL && sp->n_pending > 0)
        sp->opts.on_commit(sp->opts.on_commit_arg);
}

static void close_down(struct fm_spool *sp)
{
    struct fm_err err;
    for (int i = 0; i < 3 && (sp->changed || sp->appends.head != NULL); i++) {
        if (spool_commit(sp, &err) == FM_OK)
            break;
        sp->due_ms = sp->retry_ms = 0;
    }
    if (sp->appends.head != NULL)
        fm_log(sp->opts.log, FM_LOG_ERROR, "spool: %zu bytes could not be stored: %s",
               sp->append_bytes, sp->error);
    (void)fm_err_set(&err, FM_ESTOP, "the spool is closed");
    struct op *op;
    while ((op = op_pop(&sp->appends)) != NULL)
        op_done(sp, op, FM_ESTOP, &err);
    answer_flushes(sp, FM_ESTOP, &err);
    spool_publish(sp);
    /* Whoever only looked leaves the files as they were. */
    store_close(sp->store, !sp->opts.keep_damage);
    sp->store = NULL;
}

static void *spool_main(void *arg)
{
    struct fm_spool *sp = arg;
    bool closing = false;
    while (!closing) {
        (void)pthread_mutex_lock(&sp->lock);
        while (sp->queue.head == NULL && !sp->closing) {
            int64_t due = next_due(sp);
            if (due != 0 && due <= fm_clock_ms())
                break;
            (void)fm_cond_wait(&sp->wake, &sp->lock, due);
        }
        struct op_list todo = {.head = sp->queue.head, .tail = &todo.head};
        sp->queue.head = NULL;
        sp->queue.tail = &sp->queue.head;
        sp->n_queued = 0;
        closing = sp->closing;
        (void)pthread_mutex_unlock(&sp->lock);
        for (struct op *op = todo.head, *next; op != NULL; op = next) {
            next = op->next;
            apply(sp, op);
        }
        if (sp->seen)
            spool_publish(sp);
        if (!closing) {
            commit_due(sp);
            spool_housekeeping(sp);
        }
    }
    close_down(sp);
    (void)pthread_mutex_lock(&sp->lock);
    sp->finished = true;
    (void)pthread_cond_broadcast(&sp->done);
    (void)pthread_mutex_unlock(&sp->lock);
    return NULL;
}

/* ---- life ---- */

static enum fm_code copy_opts(struct fm_spool *sp, const struct fm_spool_opts *opts,
                              struct fm_err *err)
{
    sp->opts = *opts;
    sp->opts.path = sp->opts.agent = sp->opts.machine_id = sp->opts.control_socket = NULL;
    set_limits(&sp->opts, opts);
    if (sp->opts.queue_max == 0)
        sp->opts.queue_max = QUEUE_MAX;
    if (opts->agent != NULL) {
        if (strlen(opts->agent) >= sizeof sp->agent)
            return fm_err_set(err, FM_ELIMIT, "the agent's name is longer than %zu bytes",
                              sizeof sp->agent - 1);
        memcpy(sp->agent, opts->agent, strlen(opts->agent) + 1);
    }
    sp->dir = opts->path != NULL ? strdup(opts->path) : NULL;
    sp->control_socket = opts->control_socket != NULL ? strdup(opts->control_socket) : NULL;
    if ((opts->path != NULL && sp->dir == NULL) ||
        (opts->control_socket != NULL && sp->control_socket == NULL))
        return fm_err_nomem(err);
    size_t len = sp->dir != NULL ? strlen(sp->dir) : 0;
    while (len > 1 && sp->dir[len - 1] == '/')
        sp->dir[--len] = '\0';
    return FM_OK;
}

static void spool_delete(struct fm_spool *sp)
{
    store_close(sp->store, false);
    batches_release(sp);
    index_clear(sp);
    folder_close(sp);
    (void)pthread_mutex_destroy(&sp->lock);
    (void)pthread_cond_destroy(&sp->wake);
    (void)pthread_cond_destroy(&sp->done);
    free(sp->topics);
    free(sp->dir);
    free(sp->control_socket);
    free(sp);
}

static enum fm_code open_disk(struct fm_spool *sp, const char *machine, struct fm_err *err)
{
    FM_TRY(folder_open(sp, err));
    FM_TRY(spool_open_store(sp, machine, err));
    reserve_rebuild(sp);
    if (sp->on_tmpfs)
        fm_log(sp->opts.log, FM_LOG_WARN, "spool: %s lies in memory; a reboot loses it", sp->dir);
    store_sizes(sp->store, &sp->sizes);
    return FM_OK;
}

enum fm_code fm_spool_open(struct fm_spool **out, const struct fm_spool_opts *opts,
                           struct fm_err *err)
{
    struct fm_spool *sp = calloc(1, sizeof *sp);
    if (sp == NULL)
        return fm_err_nomem(err);
    (void)pthread_mutex_init(&sp->lock, NULL);
    fm_cond_init(&sp->wake);
    fm_cond_init(&sp->done);
    sp->lock_fd = sp->dir_fd = -1;
    sp->queue.tail = &sp->queue.head;
    sp->appends.tail = &sp->appends.head;
    sp->flushes.tail = &sp->flushes.head;
    sp->committed.tail = &sp->committed.head;
    sp->next_row = sp->next_dead = sp->next_stream = 1;
    sp->line_from_ms = fm_clock_ms();
    enum fm_code code = copy_opts(sp, opts, err);
    if (code == FM_OK && sp->dir != NULL)
        code = open_disk(sp, opts->machine_id, err);
    if (code == FM_OK) {
        spool_publish(sp);
        code = fm_thread_start(&sp->thread, "spool", spool_main, sp, err);
    }
    if (code != FM_OK) {
        spool_delete(sp);
        return code;
    }
    sp->running = true;
    *out = sp;
    return FM_OK;
}

void fm_spool_stop(struct fm_spool *sp)
{
    (void)pthread_mutex_lock(&sp->lock);
    sp->stopped = true;
    (void)pthread_cond_broadcast(&sp->done);
    (void)pthread_cond_signal(&sp->wake);
    (void)pthread_mutex_unlock(&sp->lock);
}

void fm_spool_free(struct fm_spool *sp, unsigned timeout_ms)
{
    if (sp == NULL)
        return;
    (void)pthread_mutex_lock(&sp->lock);
    sp->stopped = sp->closing = true;
    (void)pthread_cond_broadcast(&sp->done);
    (void)pthread_cond_signal(&sp->wake);
    int64_t until = fm_clock_ms() + (timeout_ms == 0 ? FREE_MS : timeout_ms);
    while (!sp->finished && (fm_cond_wait(&sp->done, &sp->lock, until) || fm_clock_ms() < until))
        continue;
    bool finished = sp->finished;
    (void)pthread_mutex_unlock(&sp->lock);
    if (!finished) {
        fm_log(sp->opts.log, FM_LOG_ERROR, "spool: the disk does not answer; left as it is");
        (void)pthread_detach(sp->thread); /* it still uses the memory, which is given up */
        return;
    }
    (void)pthread_join(sp->thread, NULL);
    spool_delete(sp);
}

/* ---- writing ---- */

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

static enum fm_code append_op(struct op **out, struct fm_chunk *chunk, struct fm_err *err)
{
    FM_TRY(op_new(out, OP_APPEND, err));
    (*out)->bytes = fm_chunk_bytes(chunk);
    return FM_OK;
}

/* Under the lock: into the queue; the chunk is the queue's from here on. */
static void give_chunk(struct fm_spool *sp, struct op *op, struct fm_chunk **chunk)
{
    op->chunk = *chunk;
    *chunk = NULL;
    sp->queue_bytes += op->bytes;
    enqueue(sp, op);
}

enum fm_code fm_spool_append(struct fm_spool *sp, struct fm_chunk **chunk, struct fm_err *err)
{
    if (fm_chunk_count(*chunk) == 0) {
        fm_chunk_free(*chunk);
        *chunk = NULL;
        return FM_OK;
    }
    struct op *op;
    FM_TRY(append_op(&op, *chunk, err));
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
    if (!await(sp, op, deadline_ms)) {
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
    FM_TRY(append_op(&op, *chunk, err));
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
        enqueue(sp, op);
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

/* ---- reading and settling ---- */

enum fm_code fm_spool_read(struct fm_spool *sp, const struct fm_spool_want *want,
                           struct fm_spool_batch **out, unsigned timeout_ms, struct fm_err *err)
{
    struct op *op;
    FM_TRY(op_new(&op, OP_READ, err));
    enum fm_code code = want_copy(&op->want, want, err);
    if (code == FM_OK)
        code = op_call(sp, op, timeout_ms, err);
    if (code == FM_OK) {
        *out = op->batch;
        op->batch = NULL;
    }
    op_unref(op);
    return code;
}

/* Records delivered one after the other become one run. */
static bool joins(const struct run *run, const struct fm_settlement *next)
{
    return run->how == FM_SETTLE_DELIVERED && next->how == FM_SETTLE_DELIVERED &&
           next->id.seq == run->from + run->n &&
           memcmp(run->stream, next->id.stream, FM_STREAM_LEN) == 0;
}

static enum fm_code copy_runs(struct op *op, const struct fm_settlement *list, size_t n,
                              struct fm_err *err)
{
    size_t runs = 0;
    for (size_t i = 0; i < n; i++)
        runs += i == 0 || list[i].how != FM_SETTLE_DELIVERED || list[i - 1].how != list[i].how ||
                list[i].id.seq != list[i - 1].id.seq + 1 ||
                memcmp(list[i].id.stream, list[i - 1].id.stream, FM_STREAM_LEN) != 0;
    op->runs = calloc(runs, sizeof *op->runs);
    if (op->runs == NULL)
        return fm_err_nomem(err);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && joins(&op->runs[op->n_runs - 1], &list[i])) {
            op->runs[op->n_runs - 1].n++;
            continue;
        }
        assert(op->n_runs < runs);
        struct run *run = &op->runs[op->n_runs];
        *run = (struct run){.from = list[i].id.seq, .n = 1, .how = list[i].how};
        memcpy(run->stream, list[i].id.stream, FM_STREAM_LEN);
        if (list[i].how == FM_SETTLE_DEAD) {
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

/* ---- snapshots ---- */

void fm_spool_topics(struct fm_spool *sp, struct fm_spool_topic *out, size_t max, size_t *n)
{
    (void)pthread_mutex_lock(&sp->lock);
    *n = sp->n_topics_out;
    size_t copied = *n < max ? *n : max;
    if (copied > 0)
        memcpy(out, sp->topics, copied * sizeof *out);
    (void)pthread_mutex_unlock(&sp->lock);
}

void fm_spool_stats_get(struct fm_spool *sp, struct fm_spool_stats *out)
{
    (void)pthread_mutex_lock(&sp->lock);
    *out = sp->stats;
    out->queue_bytes = sp->queue_bytes;
    (void)pthread_mutex_unlock(&sp->lock);
}
