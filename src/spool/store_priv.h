/* spool/store_priv.h - the database connection, for store.c and load.c only. */
#ifndef FM_SPOOL_STORE_PRIV_H
#define FM_SPOOL_STORE_PRIV_H

#include <sqlite3.h>

#include "spool/rows_priv.h"

enum statement {
    ST_BEGIN,
    ST_COMMIT,
    ST_ROLLBACK,
    ST_PUT_ROW,
    ST_PUT_BODY,
    ST_MARK_ROW,
    ST_DROP_ROW,
    ST_DROP_BODY,
    ST_PUT_STREAM,
    ST_PUT_DEAD,
    ST_PUT_DEAD_BODY,
    ST_DROP_DEAD,
    ST_DROP_DEAD_BODY,
    ST_BODY,
    ST_DEAD_BODY,
    ST_COUNT
};

struct store {
    sqlite3 *db;
    char *path; /* of the database */
    sqlite3_stmt *st[ST_COUNT];
    int format; /* that the database says */
    int wal_pages;
    uint64_t wal_most; /* its ceiling in bytes */
    int64_t page_size; /* 0: not asked yet */
    bool was_full, was_io; /* of the last error since the transaction began */
};

/* Turn SQLite's answer into ours. what: at which work; NULL: no need to say */
enum fm_code store_fail(struct store *st, int rc, const char *what, struct fm_err *err);
FM_MUST_USE enum fm_code store_exec(struct store *st, const char *text, struct fm_err *err);
/* Say that from here on the database holds what FORMAT 2 brought; before the first transaction. */
FM_MUST_USE enum fm_code store_raise_format(struct store *st, struct fm_err *err);
/* The first column of the first row, 0 if there is none. */
int64_t store_ask(struct store *st, const char *text);

#endif
