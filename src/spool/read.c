/* Batches for the sender. */
#include <stdlib.h>
#include <string.h>

#include "spool/spool_priv.h"

/* Records to be left out: with many requests in flight they are thousands, and each record that is
 * passed is looked up. Open addressing, at most half full. */
struct left_out {
    const struct fm_spool_id *ids;
    uint32_t *slots; /* index + 1; 0: empty */
    size_t mask;
};

/* What is being gathered for one read. */
struct gather {
    struct fm_spool *sp;
    const struct want *want;
    struct left_out left_out;
    struct fm_spool_batch *batch;
    struct batch_priv *priv;
    size_t cap;
    bool full;
};

static bool more_room(void *array, size_t *cap, size_t n, size_t size)
{
    if (n < *cap)
        return true;
    size_t want = *cap == 0 ? 32 : *cap * 2;
    void **at = array;
    void *p = realloc(*at, want * size);
    if (p == NULL)
        return false;
    *at = p;
    *cap = want;
    return true;
}

void batch_drop(struct fm_spool_batch *batch)
{
    if (batch == NULL)
        return;
    struct batch_priv *priv = batch->priv;
    for (size_t i = 0; priv != NULL && i < priv->n_loaded; i++)
        loaded_unref(priv->loaded[i]);
    if (priv != NULL) {
        free(priv->loaded);
        priv->loaded = NULL;
        priv->n_loaded = 0;
    }
    free(batch->items);
    free(batch);
}

/* Callers hand freed batches in under the lock; what they held may be dropped from now on. */
void batches_release(struct fm_spool *sp)
{
    (void)pthread_mutex_lock(&sp->lock);
    struct batch_priv *list = sp->freed;
    sp->freed = NULL;
    (void)pthread_mutex_unlock(&sp->lock);
    while (list != NULL) {
        struct batch_priv *priv = list;
        list = priv->next;
        for (size_t i = 0; i < priv->n_holds; i++) {
            const struct hold *hold = &priv->holds[i];
            struct row *row = row_by_id(hold->stream, hold->first, hold->row);
            if (row != NULL && row->held > 0)
                row->held--;
        }
        free(priv->holds);
        free(priv);
    }
}

static size_t slot_of(const struct left_out *set, const char *stream, uint64_t seq)
{
    uint64_t name;
    memcpy(&name, stream, sizeof name);
    return (size_t)((seq ^ name) * 0x9e3779b97f4a7c15u >> 32) & set->mask;
}

static bool left_out_make(struct left_out *set, const struct want *want)
{
    size_t slots = 8;
    if (want->n_skip == 0)
        return true;
    while (slots < 2 * want->n_skip)
        slots *= 2;
    *set = (struct left_out){
        .ids = want->skip, .slots = calloc(slots, sizeof *set->slots), .mask = slots - 1};
    for (size_t i = 0; set->slots != NULL && i < want->n_skip; i++) {
        size_t at = slot_of(set, want->skip[i].stream, want->skip[i].seq);
        while (set->slots[at] != 0)
            at = (at + 1) & set->mask;
        set->slots[at] = (uint32_t)i + 1;
    }
    return set->slots != NULL;
}

static bool is_left_out(const struct left_out *set, const struct stream *s, uint64_t seq)
{
    if (set->slots == NULL)
        return false;
    for (size_t at = slot_of(set, s->name, seq); set->slots[at] != 0; at = (at + 1) & set->mask) {
        const struct fm_spool_id *id = &set->ids[set->slots[at] - 1];
        if (id->seq == seq && memcmp(id->stream, s->name, FM_STREAM_LEN) == 0)
            return true;
    }
    return false;
}

static bool hold_row(struct gather *g, struct row *row, struct loaded *loaded)
{
    struct batch_priv *p = g->priv;
    if (!more_room(&p->loaded, &p->cap_loaded, p->n_loaded, sizeof *p->loaded) ||
        !more_room(&p->holds, &p->cap_holds, p->n_holds, sizeof *p->holds))
        return false;
    p->loaded[p->n_loaded++] = loaded_ref(loaded);
    p->holds[p->n_holds++] =
        (struct hold){.stream = row->stream, .first = row->first, .row = row->id};
    row->held++;
    row->was_read = true;
    return true;
}

static bool add_item(struct gather *g, const struct row *row, uint64_t seq,
                     const struct fm_record *rec)
{
    struct fm_spool_batch *b = g->batch;
    size_t bytes = rec->key_len + fm_record_value_len(rec, row->stream->name, seq);
    if (b->n >= g->want->max_records || (b->n > 0 && b->bytes + bytes > g->want->max_bytes)) {
        g->full = true;
        b->more = true;
        return true;
    }
    if (!more_room(&b->items, &g->cap, b->n, sizeof *b->items))
        return false;
    struct fm_spool_item *item = &b->items[b->n++];
    item->id.seq = seq;
    memcpy(item->id.stream, row->stream->name, sizeof item->id.stream);
    item->rec = *rec;
    b->bytes += bytes;
    return true;
}

/* Records [i, i+n) of a row that are pending and wanted. @return FM_EDAMAGE with *bad */
static enum fm_code add_records(struct gather *g, struct row *row, uint32_t from, uint32_t n,
                                const struct loaded *loaded, uint32_t *bad, struct fm_err *err)
{
    size_t at = 0;
    struct fm_record rec;
    for (uint32_t i = 0; i < from + n && !g->full; i++) {
        enum fm_code code = fm_chunk_next(loaded->chunk, &at, &rec, err);
        if (i < from || row_is_gone(row, i) ||
            is_left_out(&g->left_out, row->stream, row->first + i))
            continue;
        if (code != FM_OK) {
            *bad = i;
            return FM_EDAMAGE;
        }
        if (!add_item(g, row, row->first + i, &rec))
            return fm_err_nomem(err);
    }
    return FM_OK;
}

/* Wanted records of a row. A damaged one is lost, declared at the next commit, and passed over. */
static enum fm_code add_row(struct gather *g, struct row *row, uint32_t from, uint32_t n,
                            struct fm_err *err)
{
    for (;;) {
        struct loaded *loaded = NULL;
        size_t items = g->batch->n, bytes = g->batch->bytes;
        uint32_t bad = 0;
        enum fm_code code = row_load(g->sp, row, &loaded, err);
        if (code == FM_EDAMAGE) {
            fm_log(g->sp->opts.log, FM_LOG_ERROR, "spool: %s; its records are declared lost",
                   fm_err_text(err));
            return row_lose(g->sp, row, 0, row->n, FM_GAP_DAMAGE, err);
        }
        if (code != FM_OK)
            return code;
        code = add_records(g, row, from, n, loaded, &bad, err);
        if (code == FM_OK && g->batch->n > items && !hold_row(g, row, loaded))
            code = fm_err_nomem(err);
        loaded_unref(loaded);
        if (code == FM_OK)
            return FM_OK;
        g->batch->n = items;
        g->batch->bytes = bytes;
        g->full = false;
        if (code != FM_EDAMAGE)
            return code;
        fm_log_limited(g->sp->opts.log, FM_LOG_ERROR, "spool damage",
                       "spool: a stored record is damaged; it is declared lost");
        FM_TRY(row_lose(g->sp, row, bad, 1, FM_GAP_DAMAGE, err));
        if (row->out)
            return FM_OK;
    }
}

/* Room for what will be read, at once. Growing does as well where there is none. */
static void make_room(struct gather *g, uint64_t pending)
{
    enum { MOST = 2048 };
    uint64_t n = pending < g->want->max_records ? pending : g->want->max_records;
    g->cap = n < MOST ? (size_t)n : MOST;
    g->batch->items = malloc(g->cap * sizeof *g->batch->items);
    if (g->batch->items == NULL)
        g->cap = 0;
}

static enum fm_code gather_oldest(struct gather *g, struct fm_err *err)
{
    struct topic *t = topic_find(g->sp, g->want->topic);
    struct row *next;
    if (t != NULL)
        make_room(g, t->pending);
    for (struct row *row = t != NULL ? t->head : NULL; row != NULL && !g->full; row = next) {
        next = row->topic_next;
        if (row->stored)
            FM_TRY(add_row(g, row, 0, row->n, err));
    }
    return FM_OK;
}

static enum fm_code gather_only(struct gather *g, struct fm_err *err)
{
    for (size_t i = 0; i < g->want->n_only && !g->full; i++) {
        const struct fm_spool_id *id = &g->want->only[i];
        struct stream *s = stream_find(g->sp, id->stream);
        struct row *row = s != NULL ? row_find(s, id->seq, false) : NULL;
        if (row == NULL || !row->stored || id->seq < row->first ||
            row_is_gone(row, (uint32_t)(id->seq - row->first)))
            continue;
        FM_TRY(add_row(g, row, (uint32_t)(id->seq - row->first), 1, err));
    }
    return FM_OK;
}

enum fm_code read_apply(struct fm_spool *sp, struct op *op)
{
    struct gather g = {.sp = sp, .want = &op->want};
    g.batch = calloc(1, sizeof *g.batch);
    g.priv = calloc(1, sizeof *g.priv);
    if (g.batch == NULL || g.priv == NULL || !left_out_make(&g.left_out, &op->want)) {
        free(g.batch);
        free(g.priv);
        return fm_err_nomem(&op->err);
    }
    g.batch->priv = g.priv;
    enum fm_code code =
        op->want.only != NULL ? gather_only(&g, &op->err) : gather_oldest(&g, &op->err);
    free(g.left_out.slots);
    /* What was gathered before an error is of use: the error comes back with the next read. */
    if (code != FM_OK && g.batch->n == 0) {
        fm_spool_batch_free(sp, g.batch);
        return code;
    }
    op->batch = g.batch;
    return FM_OK;
}

void fm_spool_batch_dealt(struct fm_spool_batch *batch)
{
    free(batch->items);
    batch->items = NULL;
    batch->n = 0;
}

void fm_spool_batch_free(struct fm_spool *sp, struct fm_spool_batch *batch)
{
    if (batch == NULL)
        return;
    struct batch_priv *priv = batch->priv;
    batch_drop(batch);
    (void)pthread_mutex_lock(&sp->lock);
    priv->next = sp->freed;
    sp->freed = priv;
    (void)pthread_mutex_unlock(&sp->lock);
}

static enum fm_code want_copy(struct want *out, const struct fm_spool_want *in, struct fm_err *err)
{
    size_t len = in->topic != NULL ? strlen(in->topic) : 0;
    if (len >= TOPIC_SIZE)
        return fm_err_set(err, FM_ELIMIT, "a topic has at most 255 bytes");
    if (len > 0)
        memcpy(out->topic, in->topic, len);
    out->max_records = in->max_records == 0 ? SIZE_MAX : in->max_records;
    out->max_bytes = in->max_bytes == 0 ? SIZE_MAX : in->max_bytes;
    if (in->n_skip > 0 && in->skip != NULL) {
        out->skip = malloc(in->n_skip * sizeof *in->skip);
        if (out->skip == NULL)
            return fm_err_nomem(err);
        memcpy(out->skip, in->skip, in->n_skip * sizeof *in->skip);
        out->n_skip = in->n_skip;
    }
    if (in->only != NULL) {
        out->only = malloc((in->n_only > 0 ? in->n_only : 1) * sizeof *in->only);
        if (out->only == NULL)
            return fm_err_nomem(err);
        memcpy(out->only, in->only, in->n_only * sizeof *in->only);
        out->n_only = in->n_only;
    }
    return FM_OK;
}

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
