/* Records in an SQLite database in a folder. Jobs run in the caller, one transaction each; a
 * produce is synced before it is answered. */
#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "sandbox/topic_log_priv.h"

struct store {
    struct fm_tlog base;
    pthread_mutex_t lock; /* protects the connection; a leaf but for emit callbacks */
    sqlite3 *db;
    uint32_t turn;
    bool no_create;
    int64_t metadata_timeout_ms;
};

static const char schema[] =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
    "CREATE TABLE IF NOT EXISTS topic(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " partitions INTEGER NOT NULL, max_message_bytes INTEGER NOT NULL) STRICT;"
    "CREATE TABLE IF NOT EXISTS record(topic INTEGER NOT NULL, partition INTEGER NOT NULL,"
    " offset INTEGER NOT NULL, time_ms INTEGER NOT NULL, key BLOB, value BLOB, headers BLOB,"
    " PRIMARY KEY(topic, partition, offset)) STRICT, WITHOUT ROWID;";

static enum fm_code db_error(struct store *s, struct fm_err *err)
{
    int rc = sqlite3_errcode(s->db) & 0xff;
    enum fm_code code = rc == SQLITE_NOTADB || rc == SQLITE_CORRUPT ? FM_EDAMAGE : FM_ESYS;
    return fm_err_set(err, code, "sandbox database: %s", sqlite3_errmsg(s->db));
}

static void job_error(struct store *s, struct fm_tlog_job *job)
{
    job->result = FM_TLOG_FAILED;
    (void)snprintf(job->error, sizeof job->error, "sandbox database: %s", sqlite3_errmsg(s->db));
}

static void finalize(sqlite3_stmt **stmt)
{
    (void)sqlite3_finalize(*stmt);
}

#define AUTO_STMT __attribute__((cleanup(finalize))) sqlite3_stmt *

/* @return SQLITE_ROW and the topic, SQLITE_DONE if there is none, else an error */
static int find_topic(struct store *s, const char *name, int64_t *id, struct fm_tlog_topic *out)
{
    AUTO_STMT stmt = NULL;
    *id = 0;
    *out = (struct fm_tlog_topic){0};
    int rc = sqlite3_prepare_v2(
        s->db, "SELECT id, partitions, max_message_bytes FROM topic WHERE name=?", -1, &stmt, NULL);
    if (rc != SQLITE_OK)
        return rc;
    (void)sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    rc = sqlite3_step(stmt);
    if (rc != SQLITE_ROW)
        return rc;
    *id = sqlite3_column_int64(stmt, 0);
    *out = (struct fm_tlog_topic){.partitions = sqlite3_column_int(stmt, 1),
                                  .max_message_bytes = sqlite3_column_int64(stmt, 2)};
    (void)snprintf(out->name, sizeof out->name, "%s", name);
    return SQLITE_ROW;
}

static int add_topic(struct store *s, const struct fm_tlog_topic *topic)
{
    AUTO_STMT stmt = NULL;
    int rc = sqlite3_prepare_v2(
        s->db, "INSERT OR IGNORE INTO topic(name, partitions, max_message_bytes) VALUES(?,?,?)", -1,
        &stmt, NULL);
    if (rc != SQLITE_OK)
        return rc;
    (void)sqlite3_bind_text(stmt, 1, topic->name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int(stmt, 2, topic->partitions);
    (void)sqlite3_bind_int64(stmt, 3, topic->max_message_bytes);
    return sqlite3_step(stmt);
}

static int find_or_create(struct store *s, const char *name, int64_t *id, struct fm_tlog_topic *out)
{
    int rc = find_topic(s, name, id, out);
    if (rc != SQLITE_DONE || s->no_create || !fm_tlog_name_ok(name))
        return rc;
    struct fm_tlog_topic fresh = {.partitions = 1, .max_message_bytes = FM_TLOG_MESSAGE_BYTES};
    memcpy(fresh.name, name, strlen(name));
    rc = add_topic(s, &fresh);
    return rc == SQLITE_DONE ? find_topic(s, name, id, out) : rc;
}

static int bounds(struct store *s, int64_t topic, int32_t partition, int64_t *first, int64_t *end)
{
    AUTO_STMT stmt = NULL;
    /* Two subqueries: SQLite answers min or max alone from the key, both together by a scan. */
    int rc = sqlite3_prepare_v2(
        s->db,
        "SELECT coalesce((SELECT min(offset) FROM record WHERE topic=?1 AND partition=?2), 0),"
        " coalesce((SELECT max(offset) + 1 FROM record WHERE topic=?1 AND partition=?2), 0)",
        -1, &stmt, NULL);
    if (rc != SQLITE_OK)
        return rc;
    (void)sqlite3_bind_int64(stmt, 1, topic);
    (void)sqlite3_bind_int(stmt, 2, partition);
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
        *first = sqlite3_column_int64(stmt, 0);
        *end = sqlite3_column_int64(stmt, 1);
    }
    return rc;
}

static void bind_bytes(sqlite3_stmt *stmt, int at, bool has, const char *data, size_t len)
{
    if (!has)
        (void)sqlite3_bind_null(stmt, at);
    else if (len == 0)
        (void)sqlite3_bind_zeroblob(stmt, at, 0);
    else
        (void)sqlite3_bind_blob64(stmt, at, data, len, SQLITE_STATIC);
}

static bool insert(struct store *s, sqlite3_stmt *stmt, int64_t topic,
                   const struct fm_tlog_record *record, struct fm_tlog_verdict *verdict)
{
    int64_t first;
    if (bounds(s, topic, verdict->partition, &first, &verdict->offset) != SQLITE_ROW)
        return false;
    (void)sqlite3_reset(stmt);
    (void)sqlite3_bind_int64(stmt, 1, topic);
    (void)sqlite3_bind_int(stmt, 2, verdict->partition);
    (void)sqlite3_bind_int64(stmt, 3, verdict->offset);
    (void)sqlite3_bind_int64(stmt, 4, record->time_ms != 0 ? record->time_ms : fm_wall_ms());
    bind_bytes(stmt, 5, record->has_key, record->key, record->key_len);
    bind_bytes(stmt, 6, record->has_value, record->value, record->value_len);
    bind_bytes(stmt, 7, record->headers_len > 0, record->headers, record->headers_len);
    return sqlite3_step(stmt) == SQLITE_DONE;
}

static bool insert_all(struct store *s, struct fm_tlog_job *job)
{
    int64_t id = 0;
    struct fm_tlog_topic topic = {.partitions = 0};
    int rc = find_or_create(s, job->topic, &id, &topic);
    if (rc == SQLITE_DONE) {
        fm_tlog_refuse_all(job, s->metadata_timeout_ms);
        return true;
    }
    AUTO_STMT stmt = NULL;
    if (rc != SQLITE_ROW || sqlite3_prepare_v2(s->db, "INSERT INTO record VALUES(?,?,?,?,?,?,?)",
                                               -1, &stmt, NULL) != SQLITE_OK)
        return false;
    s->turn++;
    for (size_t i = 0; i < job->n; i++) {
        if (!fm_tlog_check(job, i, &topic, s->metadata_timeout_ms))
            continue;
        struct fm_tlog_verdict *v = &job->verdicts[i];
        v->partition = fm_tlog_partition(&job->records[i], topic.partitions, s->turn);
        if (!insert(s, stmt, id, &job->records[i], v))
            return false;
    }
    return true;
}

static void produce(struct store *s, struct fm_tlog_job *job)
{
    if (sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK &&
        insert_all(s, job) && sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK)
        return;
    job_error(s, job);
    if (sqlite3_get_autocommit(s->db) == 0)
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

static void describe(struct store *s, struct fm_tlog_job *job)
{
    int64_t id = 0;
    struct fm_tlog_topic topic = {.partitions = 0};
    int rc = find_or_create(s, job->topic, &id, &topic);
    if (rc == SQLITE_ROW) {
        job->partitions = topic.partitions;
        job->max_message_bytes = topic.max_message_bytes;
    } else if (rc == SQLITE_DONE) {
        job->result = FM_TLOG_NO_TOPIC;
    } else {
        job_error(s, job);
    }
}

static void emit_rows(struct fm_tlog_job *job, sqlite3_stmt *stmt)
{
    for (size_t n = 0; n < job->max && sqlite3_step(stmt) == SQLITE_ROW; n++) {
        struct fm_tlog_stored stored = {.offset = sqlite3_column_int64(stmt, 0),
                                        .time_ms = sqlite3_column_int64(stmt, 1),
                                        .key = sqlite3_column_blob(stmt, 2),
                                        .key_len = (size_t)sqlite3_column_bytes(stmt, 2),
                                        .value = sqlite3_column_blob(stmt, 3),
                                        .value_len = (size_t)sqlite3_column_bytes(stmt, 3),
                                        .has_key = sqlite3_column_type(stmt, 2) != SQLITE_NULL,
                                        .has_value = sqlite3_column_type(stmt, 3) != SQLITE_NULL,
                                        .headers = sqlite3_column_blob(stmt, 4),
                                        .headers_len = (size_t)sqlite3_column_bytes(stmt, 4)};
        job->emit_record(job, &stored);
    }
}

static void read_back(struct store *s, struct fm_tlog_job *job)
{
    int64_t id = 0;
    struct fm_tlog_topic topic = {.partitions = 0};
    int rc = find_topic(s, job->topic, &id, &topic);
    if (rc == SQLITE_DONE) {
        job->result = FM_TLOG_NO_TOPIC;
        return;
    }
    if (rc == SQLITE_ROW && (job->partition < 0 || job->partition >= topic.partitions)) {
        job->result = FM_TLOG_NO_PARTITION;
        return;
    }
    AUTO_STMT stmt = NULL;
    if (rc != SQLITE_ROW ||
        bounds(s, id, job->partition, &job->beginning, &job->end) != SQLITE_ROW ||
        sqlite3_prepare_v2(
            s->db,
            "SELECT offset, time_ms, key, value, headers FROM record WHERE topic=? AND"
            " partition=? AND offset>=? ORDER BY offset LIMIT ?",
            -1, &stmt, NULL) != SQLITE_OK) {
        job_error(s, job);
        return;
    }
    (void)sqlite3_bind_int64(stmt, 1, id);
    (void)sqlite3_bind_int(stmt, 2, job->partition);
    (void)sqlite3_bind_int64(stmt, 3, job->offset);
    (void)sqlite3_bind_int64(stmt, 4, (int64_t)job->max);
    emit_rows(job, stmt);
}

static void list(struct store *s, struct fm_tlog_job *job)
{
    AUTO_STMT stmt = NULL;
    if (sqlite3_prepare_v2(s->db, "SELECT name FROM topic ORDER BY id", -1, &stmt, NULL) !=
        SQLITE_OK) {
        job_error(s, job);
        return;
    }
    while (sqlite3_step(stmt) == SQLITE_ROW)
        job->emit_name(job, (const char *)sqlite3_column_text(stmt, 0));
}

static void submit(struct fm_tlog *tlog, struct fm_tlog_job *job)
{
    struct store *s = (struct store *)tlog;
    (void)pthread_mutex_lock(&s->lock);
    switch (job->op) {
    case FM_TLOG_PRODUCE:
        produce(s, job);
        break;
    case FM_TLOG_TOPICS:
        list(s, job);
        break;
    case FM_TLOG_TOPIC:
        describe(s, job);
        break;
    case FM_TLOG_READ:
        read_back(s, job);
        break;
    }
    (void)pthread_mutex_unlock(&s->lock);
    job->done(job);
}

static void stop(struct fm_tlog *tlog)
{
    (void)tlog; /* no job waits here */
}

static void close_store(struct fm_tlog *tlog)
{
    struct store *s = (struct store *)tlog;
    (void)sqlite3_close(s->db);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

static const struct fm_tlog_ops sqlite_ops = {submit, stop, close_store, NULL};

static enum fm_code open_database(struct store *s, const struct fm_tlog_opts *opts,
                                  struct fm_err *err)
{
    char path[4096];
    if (mkdir(opts->data_dir, 0700) != 0 && errno != EEXIST)
        return fm_err_sys(err, errno, "cannot create the folder %s", opts->data_dir);
    if ((size_t)snprintf(path, sizeof path, "%s/sandbox.db", opts->data_dir) >= sizeof path)
        return fm_err_set(err, FM_ECONF, "the name of the data folder is too long");
    if (sqlite3_open(path, &s->db) != SQLITE_OK ||
        sqlite3_exec(s->db, schema, NULL, NULL, NULL) != SQLITE_OK) {
        (void)db_error(s, err);
        return fm_err_context(err, "%s", path);
    }
    /* A folder of an earlier version; where the column is there, this fails. */
    (void)sqlite3_exec(s->db, "ALTER TABLE record ADD COLUMN headers BLOB", NULL, NULL, NULL);
    for (size_t i = 0; i < opts->n_topics; i++)
        if (add_topic(s, &opts->topics[i]) != SQLITE_DONE)
            return db_error(s, err);
    return FM_OK;
}

enum fm_code fm_tlog_sqlite_open(struct fm_tlog **out, const struct fm_tlog_opts *opts,
                                 struct fm_err *err)
{
    struct store *s = calloc(1, sizeof *s);
    if (s == NULL)
        return fm_err_nomem(err);
    s->base.ops = &sqlite_ops;
    (void)pthread_mutex_init(&s->lock, NULL);
    s->no_create = opts->no_create;
    s->metadata_timeout_ms = opts->metadata_timeout_ms;
    enum fm_code code = open_database(s, opts, err);
    if (code != FM_OK) {
        close_store(&s->base);
        return code;
    }
    *out = &s->base;
    return FM_OK;
}
