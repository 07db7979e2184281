/* The transaction: everything that is dirty, and the chunks that got numbers. */
#include "spool/rows_priv.h"

static enum fm_code write_row(struct fm_spool *sp, const struct row *row, struct fm_err *err)
{
    if (row->out)
        return store_drop_row(sp->store, row->id, err);
    if (row->stored)
        return store_mark_row(sp->store, row, err);
    if (row->loaded != NULL)
        return store_put_row(sp->store, row, row->loaded->chunk, err);
    struct fm_chunk *chunk = NULL;
    if (sp->old_store == NULL)
        return fm_err_set(err, FM_EBUG, "a row has no bytes to be stored");
    FM_TRY(store_row_body(sp->old_store, row->id, &chunk, err));
    enum fm_code code = store_put_row(sp->store, row, chunk, err);
    fm_chunk_free(chunk);
    return code;
}

static enum fm_code write_all(struct fm_spool *sp, size_t n_new, struct fm_err *err)
{
    if (sp->resync)
        FM_TRY(store_resync(sp->store, sp->resync_row, err));
    for (const struct row *row = sp->dirty; row != NULL; row = row->dirty_next)
        FM_TRY(write_row(sp, row, err));
    for (const struct op *op = sp->appends.head; op != NULL && n_new > 0; op = op->next, n_new--)
        FM_TRY(write_row(sp, op->row, err));
    for (const struct dead *d = sp->dead_dirty; d != NULL; d = d->dirty_next)
        FM_TRY(d->out ? store_drop_dead(sp->store, d->id, err) : store_put_dead(sp->store, d, err));
    for (size_t i = 0; i < sp->n_streams; i++) {
        if (sp->streams[i]->dirty)
            FM_TRY(store_put_stream(sp->store, sp->streams[i], spool_line_ms(sp), err));
    }
    return FM_OK;
}

enum fm_code spool_write(struct fm_spool *sp, size_t n_new, struct fm_err *err)
{
    if (sp->dir == NULL)
        return FM_OK;
    if (sp->identity_dirty && identity_write(sp, NULL) == FM_OK)
        sp->identity_dirty = false; /* if not: it only helps after damage, and is tried again */
    FM_TRY(store_begin(sp->store, err));
    enum fm_code code = write_all(sp, n_new, err);
    if (code == FM_OK && sp->tight)
        code = store_claim(sp->store, err);
    if (code == FM_OK)
        code = store_commit(sp->store, err);
    if (code != FM_OK)
        store_rollback(sp->store);
    return code;
}
