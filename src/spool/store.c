/* The spool's database. One connection, used by one thread (before 3.51.3 SQLite could damage a WAL
 * that two connections write); explicit checkpoints, whose result is looked at, because an
 * automatic one hides a failed sync. Metadata of rows carry a checksum of their own: SQLite has
 * none. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/thread.h"
#include "spool/store_priv.h"

enum {
    APPLICATION = 0x464d5331, /* "FMS1" */
    HEADER_BYTES = 100, /* of the file; SQLite's file format, "The Database Header" */
    VERSION_AT = 60,
    APPLICATION_AT = 68,
    WAL_MOST = 8 * 1024 * 1024 /* until it is set */
};

static const char *const sql[ST_COUNT] = {
    [ST_BEGIN] = "BEGIN IMMEDIATE",
    [ST_COMMIT] = "COMMIT",
    [ST_ROLLBACK] = "ROLLBACK",
    /* NOLINTNEXTLINE(bugprone-suspicious-missing-comma): one statement in two lines */
    [ST_PUT_ROW] = "INSERT OR REPLACE INTO row(id,stream,first,n,time,born,bytes,kind,gone,gap,crc)"
                   " VALUES(?,?,?,?,?,?,?,?,?,?,?)",
    [ST_PUT_BODY] = "INSERT OR REPLACE INTO body(id,data) VALUES(?,?)",
    [ST_MARK_ROW] = "UPDATE row SET gone=?,crc=? WHERE id=?",
    [ST_DROP_ROW] = "DELETE FROM row WHERE id=?",
    [ST_DROP_BODY] = "DELETE FROM body WHERE id=?",
    [ST_PUT_STREAM] =
        ("INSERT OR REPLACE INTO stream(id,name,topic,agent,machine,assigned,delivered,"
         "lost,dead,ended,unknown,prev,prev_last,line,crc)"
         " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"),
    [ST_PUT_DEAD] = "INSERT OR REPLACE INTO dead(id,stream,seq,time,bytes,crc)"
                    " VALUES(?,?,?,?,?,?)",
    [ST_PUT_DEAD_BODY] = "INSERT OR REPLACE INTO dead_body(id,reason,data) VALUES(?,?,?)",
    [ST_DROP_DEAD] = "DELETE FROM dead WHERE id=?",
    [ST_DROP_DEAD_BODY] = "DELETE FROM dead_body WHERE id=?",
    [ST_BODY] = "SELECT data FROM body WHERE id=?",
    [ST_DEAD_BODY] = "SELECT data,reason FROM dead_body WHERE id=?",
};

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS stream(id INTEGER PRIMARY KEY,name TEXT,topic TEXT,agent TEXT,"
    "machine TEXT,assigned INTEGER,delivered INTEGER,lost INTEGER,dead INTEGER,ended INTEGER,"
    "unknown INTEGER,prev TEXT,prev_last INTEGER,line INTEGER,crc INTEGER);"
    "CREATE TABLE IF NOT EXISTS row(id INTEGER PRIMARY KEY,stream INTEGER,first INTEGER,n INTEGER,"
    "time INTEGER,born INTEGER,bytes INTEGER,kind INTEGER,gone BLOB,gap BLOB,crc INTEGER);"
    "CREATE TABLE IF NOT EXISTS body(id INTEGER PRIMARY KEY,data BLOB);"
    "CREATE TABLE IF NOT EXISTS dead(id INTEGER PRIMARY KEY,stream INTEGER,seq INTEGER,"
    "time INTEGER,bytes INTEGER,crc INTEGER);"
    "CREATE TABLE IF NOT EXISTS dead_body(id INTEGER PRIMARY KEY,reason TEXT,data BLOB);";

const char *fm_spool_version(void)
{
    return sqlite3_libversion();
}

enum fm_code store_fail(struct store *st, int rc, const char *what, struct fm_err *err)
{
    char reason[96];
    const char *comma = what != NULL ? ", " : "";
    int sys = sqlite3_system_errno(st->db);
    what = what != NULL ? what : "";
    st->was_full = rc == SQLITE_FULL || ((rc & 0xff) == SQLITE_IOERR &&
                                         (sys == ENOSPC || sys == EDQUOT || sys == EFBIG));
    st->was_io = (rc & 0xff) == SQLITE_IOERR && !st->was_full;
    switch (rc & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return fm_err_set(err, FM_EDAMAGE, "%s is damaged%s%s: %s", st->path, comma, what,
                          sqlite3_errstr(rc));
    case SQLITE_NOMEM:
        return fm_err_nomem(err);
    case SQLITE_FULL:
        return fm_err_set(err, FM_ESYS, "no space is left for %s%s%s; make room on its disk",
                          st->path, comma, what);
    default:
        return fm_err_set(err, FM_ESYS, "%s%s%s: %s%s%s", st->path, comma, what, sqlite3_errstr(rc),
                          sys != 0 ? ": " : "",
                          sys != 0 ? strerror_r(sys, reason, sizeof reason) : "");
    }
}

enum fm_code store_exec(struct store *st, const char *text, struct fm_err *err)
{
    int rc = sqlite3_exec(st->db, text, NULL, NULL, NULL);
    return rc == SQLITE_OK ? FM_OK : store_fail(st, rc, NULL, err);
}

/* The first column of the first row, 0 if there is none. */
int64_t store_ask(struct store *st, const char *text)
{
    sqlite3_stmt *q = NULL;
    int64_t v = 0;
    if (sqlite3_prepare_v2(st->db, text, -1, &q, NULL) == SQLITE_OK &&
        sqlite3_step(q) == SQLITE_ROW)
        v = sqlite3_column_int64(q, 0);
    (void)sqlite3_finalize(q);
    return v;
}

static int on_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    ((struct store *)arg)->wal_pages = pages;
    return SQLITE_OK;
}

static enum fm_code prepare(struct store *st, enum statement which, sqlite3_stmt **out,
                            struct fm_err *err)
{
    if (st->st[which] == NULL) {
        int rc = sqlite3_prepare_v3(st->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT,
                                    &st->st[which], NULL);
        if (rc != SQLITE_OK) /* a table that is not there, or not as it was made */
            return store_fail(st, (rc & 0xff) == SQLITE_ERROR ? SQLITE_CORRUPT : rc, NULL, err);
    }
    *out = st->st[which];
    return FM_OK;
}

static enum fm_code run(struct store *st, sqlite3_stmt *q, struct fm_err *err)
{
    int rc = sqlite3_step(q);
    enum fm_code code =
        rc == SQLITE_DONE || rc == SQLITE_ROW ? FM_OK : store_fail(st, rc, NULL, err);
    (void)sqlite3_reset(q);
    (void)sqlite3_clear_bindings(q);
    return code;
}

/* ---- open ---- */

static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static enum fm_code too_new(const char *path, uint32_t version, struct fm_err *err)
{
    return fm_err_set(err, FM_ENEWER,
                      "the spool %s was written by a newer version (format %u, this one knows %d); "
                      "run that version, or set spool.path to another folder",
                      path, version, FORMAT);
}

/* Look at the file's head without SQLite, which would change what belongs to a newer version. */
static enum fm_code look_at_head(const char *path, struct fm_err *err)
{
    FM_AUTO(fm_auto_close) int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fm_err_sys(err, errno, "cannot open %s", path);
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_nlink != 1)
        return fm_err_set(err, FM_EPERM, "%s is not an ordinary file; remove it", path);
    if (fchmod(fd, 0600) != 0)
        return fm_err_sys(err, errno, "cannot set the mode of %s", path);
    unsigned char head[HEADER_BYTES];
    ssize_t n = pread(fd, head, sizeof head, 0);
    if (n == 0)
        return FM_OK;
    if (n != (ssize_t)sizeof head || memcmp(head, "SQLite format 3", 16) != 0)
        return fm_err_set(err, FM_EDAMAGE, "%s is not a spool's database", path);
    uint32_t application = be32(head + APPLICATION_AT), version = be32(head + VERSION_AT);
    if (application == APPLICATION && version > FORMAT)
        return too_new(path, version, err);
    if (application != 0 && application != APPLICATION)
        return fm_err_set(err, FM_EDAMAGE, "%s belongs to another program", path);
    return FM_OK;
}

static bool is_wal(struct store *st)
{
    sqlite3_stmt *q = NULL;
    bool wal = false;
    if (sqlite3_prepare_v2(st->db, "PRAGMA journal_mode=WAL", -1, &q, NULL) == SQLITE_OK &&
        sqlite3_step(q) == SQLITE_ROW) {
        const char *mode = (const char *)sqlite3_column_text(q, 0);
        wal = mode != NULL && strcmp(mode, "wal") == 0;
    }
    (void)sqlite3_finalize(q);
    return wal;
}

enum fm_code store_sync(struct store *st, bool full, struct fm_err *err)
{
    return store_exec(st, full ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL", err);
}

static enum fm_code set_up(struct store *st, bool sync_full, bool *fresh, struct fm_err *err)
{
    /* Before anything touches the file: one connection by design, so no -shm file. It would need
     * room on a disk that may be full, and shared memory that not every file system has. */
    FM_TRY(store_exec(st, "PRAGMA locking_mode=EXCLUSIVE", err));
    FM_TRY(
        store_exec(st,
                   "PRAGMA page_size=4096;" /* FRESH_PAGE */
                   "PRAGMA trusted_schema=OFF;PRAGMA cell_size_check=ON;PRAGMA temp_store=MEMORY;"
                   "PRAGMA cache_size=-1024;PRAGMA mmap_size=0;PRAGMA secure_delete=OFF;",
                   err));
    /* A transaction is bounded by the queue. Spilled, it would leave frames in the log whose sums
     * are mended only at its end, and write pages twice. */
    FM_TRY(store_exec(st, "PRAGMA cache_spill=OFF", err));
    /* Asked first: setting it writes a page even where nothing changes, and a full disk has none.
     */
    if (store_ask(st, "PRAGMA auto_vacuum") != 2)
        FM_TRY(store_exec(st, "PRAGMA auto_vacuum=INCREMENTAL", err));
    if (!is_wal(st))
        return fm_err_set(err, FM_ESYS, "SQLite cannot keep a write-ahead log here");
    FM_TRY(store_sync(st, sync_full, err));
    FM_TRY(store_exec(st, "PRAGMA wal_autocheckpoint=0", err));
    FM_TRY(store_set_wal(st, WAL_MOST, err));
    /* A file that grows has its new blocks before anything is written there: no page without one.
     */
    int chunk = FRESH_PAGE;
    (void)sqlite3_file_control(st->db, NULL, SQLITE_FCNTL_CHUNK_SIZE, &chunk);
    (void)sqlite3_wal_hook(st->db, on_wal, st);
    FM_TRY(store_exec(st, "SELECT count(*) FROM sqlite_schema", err));
    *fresh = store_ask(st, "SELECT count(*) FROM sqlite_schema") == 0;
    st->format = *fresh ? FORMAT : (int)store_ask(st, "PRAGMA user_version");
    if (st->format > FORMAT) /* the log says it, the file's head not yet */
        return too_new(st->path, (uint32_t)st->format, err);
    if (!*fresh)
        return FM_OK;
    FM_TRY(store_exec(st, "BEGIN IMMEDIATE", err));
    enum fm_code code = store_exec(st, schema, err);
    if (code == FM_OK) {
        char text[96];
        (void)sqlite3_snprintf(sizeof text, text,
                               "PRAGMA application_id=%d;PRAGMA user_version=%d;COMMIT",
                               APPLICATION, FORMAT);
        code = store_exec(st, text, err);
    }
    if (code != FM_OK) {
        store_rollback(st);
        return code;
    }
    return store_checkpoint(st, CHECKPOINT_CUT, err);
}

enum fm_code store_open(struct store **out, const char *dir, bool sync_full, bool *fresh,
                        struct fm_err *err)
{
    if (sqlite3_threadsafe() == 0)
        return fm_err_set(err, FM_ESYS, "the SQLite library was built without thread safety");
    struct fm_buf buf;
    fm_buf_init(&buf, 0);
    fm_buf_printf(&buf, "%s/spool.db", dir);
    struct store *st = calloc(1, sizeof *st);
    char *path = fm_buf_take(&buf);
    if (path == NULL || st == NULL) {
        free(path);
        free(st);
        return fm_err_nomem(err);
    }
    st->path = path;
    enum fm_code code = look_at_head(path, err);
    if (code == FM_OK) {
        int rc = sqlite3_open_v2(
            path, &st->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
            NULL);
        if (rc != SQLITE_OK)
            code = store_fail(st, rc, "when opened", err);
    }
    if (code == FM_OK) {
        (void)sqlite3_extended_result_codes(st->db, 1);
        (void)sqlite3_busy_timeout(st->db, 100);
        code = set_up(st, sync_full, fresh, err);
    }
    if (code != FM_OK) {
        store_close(st, false);
        return code;
    }
    *out = st;
    return FM_OK;
}

void store_close(struct store *st, bool checkpoint)
{
    if (st == NULL)
        return;
    if (st->db != NULL && checkpoint)
        (void)!store_checkpoint(st, CHECKPOINT_CUT, NULL); /* if not, the next start does it */
    for (size_t i = 0; i < ST_COUNT; i++)
        (void)sqlite3_finalize(st->st[i]);
    if (!checkpoint && st->db != NULL)
        (void)sqlite3_db_config(st->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    (void)sqlite3_close_v2(st->db);
    free(st->path);
    free(st);
}

/* ---- writing ---- */

enum fm_code store_begin(struct store *st, struct fm_err *err)
{
    sqlite3_stmt *q = NULL;
    st->was_full = st->was_io = false;
    if (st->format < FORMAT)
        FM_TRY(store_raise_format(st, err));
    FM_TRY(prepare(st, ST_BEGIN, &q, err));
    return run(st, q, err);
}

enum fm_code store_commit(struct store *st, struct fm_err *err)
{
    sqlite3_stmt *q = NULL;
    FM_TRY(prepare(st, ST_COMMIT, &q, err));
    return run(st, q, err);
}

void store_rollback(struct store *st)
{
    sqlite3_stmt *q = NULL;
    if (!sqlite3_get_autocommit(st->db) && prepare(st, ST_ROLLBACK, &q, NULL) == FM_OK)
        (void)run(st, q, NULL);
}

enum fm_code store_resync(struct store *st, uint64_t next_row, struct fm_err *err)
{
    char text[128];
    (void)sqlite3_snprintf(sizeof text, text,
                           "DELETE FROM row WHERE id>=%llu;DELETE FROM body WHERE id>=%llu",
                           (sqlite3_uint64)next_row, (sqlite3_uint64)next_row);
    return store_exec(st, text, err);
}

enum fm_code store_put_row(struct store *st, const struct row *row, struct fm_chunk *chunk,
                           struct fm_err *err)
{
    sqlite3_stmt *q = NULL;
    unsigned char gap[GAP_BYTES];
    size_t gap_len = put_gap(row->gap, gap);
    FM_TRY(prepare(st, ST_PUT_ROW, &q, err));
    const int64_t v[] = {(int64_t)row->id, row->stream->id,   (int64_t)row->first,
                         row->n,           row->time_ms,      row->born_ms,
                         row->bytes,       (int64_t)row->kind};
    for (int i = 0; i < 8; i++)
        (void)sqlite3_bind_int64(q, i + 1, v[i]);
    if (row->n_gone > 0)
        (void)sqlite3_bind_blob(q, 9, row->gone, (int)gone_bytes(row), SQLITE_STATIC);
    if (gap_len > 0)
        (void)sqlite3_bind_blob(q, 10, gap, (int)gap_len, SQLITE_STATIC);
    (void)sqlite3_bind_int64(q, 11, row_sum(row, gap, gap_len));
    FM_TRY(run(st, q, err));
    FM_TRY(prepare(st, ST_PUT_BODY, &q, err));
    (void)sqlite3_bind_int64(q, 1, (int64_t)row->id);
    size_t len;
    fm_chunk_pack(chunk);
    const void *body = fm_chunk_stored(chunk, &len);
    int rc = sqlite3_bind_blob64(q, 2, body, len, SQLITE_STATIC);
    if (rc != SQLITE_OK) {
        (void)sqlite3_reset(q);
        return store_fail(st, rc, NULL, err);
    }
    return run(st, q, err);
}

enum fm_code store_mark_row(struct store *st, const struct row *row, struct fm_err *err)
{
    sqlite3_stmt *q = NULL;
    unsigned char gap[GAP_BYTES];
    size_t gap_len = put_gap(row->gap, gap);
    FM_TRY(prepare(st, ST_MARK_ROW, &q, err));
    (void)sqlite3_bind_blob(q, 1, row->gone, (int)gone_bytes(row), SQLITE_STATIC);
    (void)sqlite3_bind_int64(q, 2, row_sum(row, gap, gap_len));
    (void)sqlite3_bind_int64(q, 3, (int64_t)row->id);
    return run(st, q, err);
}

static enum fm_code drop(struct store *st, enum statement which, uint64_t id, struct fm_err *err)
{
    sqlite3_stmt *q = NULL;
    FM_TRY(prepare(st, which, &q, err));
    (void)sqlite3_bind_int64(q, 1, (int64_t)id);
    return run(st, q, err);
}

enum fm_code store_drop_row(struct store *st, uint64_t id, struct fm_err *err)
{
    FM_TRY(drop(st, ST_DROP_ROW, id, err));
    return drop(st, ST_DROP_BODY, id, err);
}

enum fm_code store_put_stream(struct store *st, const struct stream *s, int64_t line_ms,
                              struct fm_err *err)
{
    sqlite3_stmt *q = NULL;
    FM_TRY(prepare(st, ST_PUT_STREAM, &q, err));
    const char *const texts[] = {s->name, s->topic->name, s->agent, s->machine};
    const int64_t v[] = {(int64_t)s->assigned,
                         (int64_t)s->delivered,
                         (int64_t)s->lost,
                         (int64_t)s->dead,
                         s->ended,
                         s->unknown};
    (void)sqlite3_bind_int64(q, 1, s->id);
    for (int i = 0; i < 4; i++)
        (void)sqlite3_bind_text(q, i + 2, texts[i], -1, SQLITE_STATIC);
    for (int i = 0; i < 6; i++)
        (void)sqlite3_bind_int64(q, i + 6, v[i]);
    (void)sqlite3_bind_text(q, 12, s->prev, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(q, 13, s->prev_last);
    (void)sqlite3_bind_int64(q, 14, line_ms);
    (void)sqlite3_bind_int64(q, 15, stream_sum(s, line_ms));
    return run(st, q, err);
}

enum fm_code store_put_dead(struct store *st, const struct dead *d, struct fm_err *err)
{
    sqlite3_stmt *q = NULL;
    FM_TRY(prepare(st, ST_PUT_DEAD, &q, err));
    const int64_t v[] = {(int64_t)d->id, d->stream->id,     (int64_t)d->seq,
                         d->dead_ms,     (int64_t)d->bytes, dead_sum(d)};
    for (int i = 0; i < 6; i++)
        (void)sqlite3_bind_int64(q, i + 1, v[i]);
    FM_TRY(run(st, q, err));
    FM_TRY(prepare(st, ST_PUT_DEAD_BODY, &q, err));
    (void)sqlite3_bind_int64(q, 1, (int64_t)d->id);
    (void)sqlite3_bind_text(q, 2, d->reason, -1, SQLITE_STATIC);
    size_t len;
    const void *body = fm_chunk_stored(d->loaded->chunk, &len);
    (void)sqlite3_bind_blob64(q, 3, body, len, SQLITE_STATIC);
    return run(st, q, err);
}

enum fm_code store_drop_dead(struct store *st, uint64_t id, struct fm_err *err)
{
    FM_TRY(drop(st, ST_DROP_DEAD, id, err));
    return drop(st, ST_DROP_DEAD_BODY, id, err);
}

/* ---- reading ---- */

static enum fm_code take_chunk(struct store *st, sqlite3_stmt *q, struct fm_chunk **out,
                               struct fm_err *err)
{
    const void *data = sqlite3_column_blob(q, 0);
    int len = sqlite3_column_bytes(q, 0);
    if (data == NULL || len <= 0) {
        int rc = sqlite3_errcode(st->db);
        if (rc == SQLITE_NOMEM)
            return fm_err_nomem(err);
        return fm_err_set(err, FM_EDAMAGE, "a stored chunk is empty");
    }
    return fm_chunk_load(out, data, (size_t)len, err);
}

enum fm_code store_row_body(struct store *st, uint64_t id, struct fm_chunk **out,
                            struct fm_err *err)
{
    sqlite3_stmt *q = NULL;
    FM_TRY(prepare(st, ST_BODY, &q, err));
    (void)sqlite3_bind_int64(q, 1, (int64_t)id);
    int rc = sqlite3_step(q);
    enum fm_code code;
    if (rc == SQLITE_ROW)
        code = take_chunk(st, q, out, err);
    else if (rc == SQLITE_DONE)
        code = fm_err_set(err, FM_EDAMAGE, "a stored chunk is missing");
    else
        code = store_fail(st, rc, "when read", err);
    (void)sqlite3_reset(q);
    return code;
}

enum fm_code store_dead_body(struct store *st, uint64_t id, struct fm_chunk **out, char **reason,
                             struct fm_err *err)
{
    sqlite3_stmt *q = NULL;
    FM_TRY(prepare(st, ST_DEAD_BODY, &q, err));
    (void)sqlite3_bind_int64(q, 1, (int64_t)id);
    int rc = sqlite3_step(q);
    enum fm_code code;
    if (rc != SQLITE_ROW) {
        code = rc == SQLITE_DONE ? fm_err_set(err, FM_EDAMAGE, "a dead letter is missing")
                                 : store_fail(st, rc, "when its dead letters were read", err);
    } else {
        code = take_chunk(st, q, out, err);
        const char *text = (const char *)sqlite3_column_text(q, 1);
        *reason = code == FM_OK ? strdup(text != NULL ? text : "") : NULL;
        if (code == FM_OK && *reason == NULL) {
            fm_chunk_free(*out);
            *out = NULL;
            code = fm_err_nomem(err);
        }
    }
    (void)sqlite3_reset(q);
    return code;
}
