/* spool/rows_priv.h - the spool's rows in SQLite, and their checksums. The spool's thread only. */
#ifndef FM_SPOOL_ROWS_PRIV_H
#define FM_SPOOL_ROWS_PRIV_H

#include "spool/spool_priv.h"

/* ---- store.c: SQLite ---- */
/* @return FM_OK, FM_ENEWER, FM_EDAMAGE, FM_ESYS. *fresh: it holds nothing yet */
FM_MUST_USE enum fm_code store_open(struct store **out, const char *dir, bool sync_full,
                                    bool *fresh, struct fm_err *err);
void store_close(struct store *st, bool checkpoint);
FM_MUST_USE enum fm_code store_sync(struct store *st, bool full, struct fm_err *err);
/* Whether a transaction may write to the log before its end: only one that queues do not bound. */
FM_MUST_USE enum fm_code store_spill(struct store *st, bool on, struct fm_err *err);
/* Fill the index. With salvage what cannot be read is left out, else it is FM_EDAMAGE. */
FM_MUST_USE enum fm_code store_load(struct store *st, struct fm_spool *sp, bool salvage,
                                    bool *complete, struct fm_err *err);
FM_MUST_USE enum fm_code store_begin(struct store *st, struct fm_err *err);
FM_MUST_USE enum fm_code store_commit(struct store *st, struct fm_err *err);
void store_rollback(struct store *st);
FM_MUST_USE enum fm_code store_resync(struct store *st, uint64_t next_row, struct fm_err *err);
FM_MUST_USE enum fm_code store_put_row(struct store *st, const struct row *row,
                                       struct fm_chunk *chunk, struct fm_err *err);
FM_MUST_USE enum fm_code store_mark_row(struct store *st, const struct row *row,
                                        struct fm_err *err);
FM_MUST_USE enum fm_code store_drop_row(struct store *st, uint64_t id, struct fm_err *err);
FM_MUST_USE enum fm_code store_put_stream(struct store *st, const struct stream *s, int64_t line_ms,
                                          struct fm_err *err);
FM_MUST_USE enum fm_code store_put_dead(struct store *st, const struct dead *dead,
                                        struct fm_err *err);
FM_MUST_USE enum fm_code store_drop_dead(struct store *st, uint64_t id, struct fm_err *err);
FM_MUST_USE enum fm_code store_row_body(struct store *st, uint64_t id, struct fm_chunk **out,
                                        struct fm_err *err);
FM_MUST_USE enum fm_code store_dead_body(struct store *st, uint64_t id, struct fm_chunk **out,
                                         char **reason, struct fm_err *err);
enum checkpoint {
    CHECKPOINT_DUE, /* if the log is half full */
    CHECKPOINT_NOW, /* the log's blocks stay */
    CHECKPOINT_CUT /* ... and go */
};
/* Explicit checkpoint; its result is looked at. */
FM_MUST_USE enum fm_code store_checkpoint(struct store *st, enum checkpoint how,
                                          struct fm_err *err);
/* The ceiling of the log. */
FM_MUST_USE enum fm_code store_set_wal(struct store *st, uint64_t bytes, struct fm_err *err);
/* Have room on the disk for the database as the transaction under way leaves it. */
FM_MUST_USE enum fm_code store_claim(struct store *st, struct fm_err *err);
/* Give free pages back, but for some, by a transaction that fits into the log. @return whether more
 * are left */
bool store_vacuum(struct store *st);
void store_sizes(struct store *st, struct store_sizes *out);
bool store_was_full(
    const struct store *st); /* the last error since store_begin() was for lack of space */
/* Whether its path leads elsewhere or nowhere: somebody removed or replaced it. */
bool store_was_removed(struct store *st);
bool store_was_io(const struct store *st); /* ... a read, write or sync that failed */
FM_MUST_USE enum fm_code store_check(struct store *st, struct fm_err *err);

/* ---- folder.c ---- */
/* Notice whether somebody removed or replaced the spool, and say so. */
void folder_look(struct fm_spool *sp);

/* ---- write.c ---- */
/* Write what is dirty and the first n_new of the queued chunks, in one transaction; nothing of it
 * on an error. Nothing to do for the memory variant. */
FM_MUST_USE enum fm_code spool_write(struct fm_spool *sp, size_t n_new, struct fm_err *err);

/* ---- sums.c: checksums of metadata ---- */
enum { GAP_BYTES = FM_STREAM_LEN + 6 * 8 };
size_t put_gap(const struct gap *gap, unsigned char out[GAP_BYTES]);
bool take_gap(const void *data, size_t len, struct gap *out);
size_t gone_bytes(const struct row *row);
int64_t row_sum(const struct row *row, const unsigned char *gap, size_t gap_len);
int64_t stream_sum(const struct stream *s, int64_t line_ms);
int64_t dead_sum(const struct dead *d);

#endif
