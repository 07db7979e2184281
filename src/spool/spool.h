/* spool/spool.h - records rest here, on disk or in memory, until the proxy has taken them.
 *
 * A stream is one sequence of records: one spool and one topic. The spool gives seq inside the
 * transaction that stores the record and keeps, in the same transactions,
 *     assigned = delivered + pending + lost + dead        (per stream, exact at any moment).
 * One thread of its own does all disk work; the functions may be called from any thread. Functions
 * marked "waits" wait for that thread; the others only queue. In memory, where nothing takes long,
 * the caller mostly does its work itself, on_commit and control with it. Nothing that the folder
 * contains keeps fm_spool_open() from succeeding, save a newer format or another holder of the
 * lock. */
#ifndef FM_SPOOL_SPOOL_H
#define FM_SPOOL_SPOOL_H

#include <stdint.h>

#include "base/log.h"
#include "frame/frame.h"

enum fm_spool_full { FM_SPOOL_DROP_OLDEST, FM_SPOOL_DROP_NEWEST, FM_SPOOL_BLOCK };

/** Whose records a folder holds. An agent's show their numbers themselves; those of a program may
 * not, and in a stream of both audit would miss them. */
enum fm_spool_use { FM_SPOOL_ANY, FM_SPOOL_AGENT, FM_SPOOL_PROGRAM };

enum fm_gap_reason {
    FM_GAP_DEAD,
    FM_GAP_FULL,
    FM_GAP_AGE,
    FM_GAP_DAMAGE,
    FM_GAP_OPERATOR,
    FM_GAP_TOO_LARGE
};
const char *fm_gap_reason_name(enum fm_gap_reason reason); /* "dead", ... as in gap records */

/** A control record that the spool needs written (design, section 5). */
struct fm_spool_control {
    enum { FM_CONTROL_START, FM_CONTROL_GAP } type;
    const char *topic;
    bool has_prev; /* START: prev_stream and prev_last_seq are to be written */
    const char *prev_stream; /* may be "" when unknown but has_prev */
    int64_t prev_last_seq; /* -1: null */
    int64_t from_seq, to_seq; /* GAP; -1: null */
    int64_t count; /* numbers lost; -1: null */
    enum fm_gap_reason reason;
    int64_t first_ms, last_ms; /* times of the first and last lost record; 0: unknown */
    const char *lost_stream; /* NULL: its own stream */
};

/** Render a control record into a fresh chunk (one record, kind FM_RECORD_CONTROL). *out left NULL
 * with FM_OK: there is no such record, the spool goes on without it.
 * Called inside a transaction, on one thread at a time: pure rendering, no locks, no calls back. */
typedef enum fm_code fm_spool_control_fn(void *arg, const struct fm_spool_control *what,
                                         struct fm_chunk **out, struct fm_err *err);

/** What became of a chunk that was given to fm_spool_submit(). */
struct fm_spool_stored {
    uint64_t tag;
    enum fm_code code; /* FM_OK: committed; FM_EFULL: dropped and declared; FM_ESTOP: not stored */
    const char *stream; /* of the records; "" unless FM_OK; borrowed */
    uint64_t first_seq, n;
};

struct fm_spool_opts {
    const char *path; /* folder, created with mode 0700; NULL: in memory */
    enum fm_spool_use use; /* a folder of the other is refused; ANY: only to look */
    const char *agent; /* another agent name begins new streams */
    const char *machine_id; /* NULL: /etc/machine-id; a copied spool begins new streams */
    const char *boot_id; /* NULL: the kernel's; another one than that of an unclean end with
                          * sync = normal begins new streams */
    const char *control_socket; /* written into the lock file; NULL: none */
    uint64_t max_size; /* bytes on the disk: records kept, write-ahead log (an eighth, 8 MiB at
                        * most) and reserve; dead letters and damage set aside come on top. In
                        * memory: of records kept. 0: 1 GiB */
    int64_t max_age_ms; /* 0: none */
    enum fm_spool_full on_full;
    bool sync_full; /* PRAGMA synchronous=FULL: nothing acknowledged is lost, save by a disk that
                     * lies about syncs; else NORMAL: a power cut may take the last commits back,
                     * which is noticed and declared */
    unsigned commit_ms; /* longest wait for the group commit; 0: each request at once */
    size_t group_bytes; /* chunks of so many are committed without waiting longer; 0: 1 MiB */
    uint64_t dead_max_size; /* 0: 64 MiB */
    uint64_t reserve; /* reserve file in bytes, at most half of max_size; 0: none */
    size_t queue_max; /* bytes queued for commit, their packed form beside them; 0: 16 MiB */
    fm_spool_control_fn *control;
    void *control_arg;
    /** Something was committed for sending. Any thread; must only set a flag and wake. */
    void (*on_commit)(void *arg);
    void *on_commit_arg;
    /** Once for each submitted chunk, in their order, on any thread, also within fm_spool_submit():
     * must not wait nor call the spool. Not called for what a hanging disk kept at fm_spool_free().
     */
    void (*on_stored)(void *arg, const struct fm_spool_stored *what);
    void *on_stored_arg;
    /** Only to look, or to do what an operator asked for: damage is not set aside but reported as
     * FM_EDAMAGE and left as it is. */
    bool keep_damage;
    struct fm_log *log;
};

struct fm_spool; /* opaque: spool/spool.c */

/** Open or create, take the lock, set damage aside, start the thread.
 * @return FM_OK, FM_EDAMAGE (only with keep_damage), FM_ELOCKED (the sentence names the holder),
 * FM_ECONF (the folder is of another use),
 * FM_ENEWER (left untouched), FM_EPERM (folder writable by others, a link, not ours), FM_ESYS */
FM_MUST_USE enum fm_code fm_spool_open(struct fm_spool **out, const struct fm_spool_opts *opts,
                                       struct fm_err *err);

/** Take over max_size, max_age_ms, on_full, sync_full, commit_ms, dead_max_size and reserve from
 * opts while running; 0 means the default, as at open; everything else in opts is ignored. What a
 * lower limit no longer allows is dropped with the next commit, which comes at once. Waits, 2 s at
 * most; after FM_ETIMEOUT it is still taken over as soon as the disk answers.
 * @return FM_OK, FM_ETIMEOUT, FM_ESTOP, FM_ESYS (sync could not be changed; nothing was) */
FM_MUST_USE enum fm_code fm_spool_reconfigure(struct fm_spool *spool,
                                              const struct fm_spool_opts *opts, struct fm_err *err);

/** Whether a poll may be started: the queue has room and on_full = block does not hold. */
bool fm_spool_ready(const struct fm_spool *spool);

/** Queue one chunk; never waits. Its records are committed together.
 * @param chunk  taken over on success: *chunk becomes NULL
 * @return FM_OK, FM_EFULL (queue full) or FM_ESTOP */
FM_MUST_USE enum fm_code fm_spool_append(struct fm_spool *spool, struct fm_chunk **chunk,
                                         struct fm_err *err);

/** As fm_spool_append(); opts.on_stored is told what became of it, with this tag. What is not
 * stored at the end (FM_ESTOP) stays the caller's: it is neither counted as unstored nor declared
 * lost. */
FM_MUST_USE enum fm_code fm_spool_submit(struct fm_spool *spool, struct fm_chunk **chunk,
                                         uint64_t tag, struct fm_err *err);

/** Queue a declaration: n records of this topic were dropped before they were stored. They take
 * seqs without rows; their gap follows in the same transaction. */
FM_MUST_USE enum fm_code fm_spool_declare(struct fm_spool *spool, const char *topic, uint64_t n,
                                          enum fm_gap_reason reason, int64_t time_ms,
                                          struct fm_err *err);

/** As fm_spool_append(), but waits for room and for the commit, up to timeout_ms.
 * On failure a *chunk that is not NULL is the caller's again, to be freed or stored once more. If
 * it is NULL after FM_ETIMEOUT or FM_EFULL, the chunk is still queued and may yet be committed.
 * @param first_seq, last_seq, stream  of the stored records; each may be NULL
 * @return FM_OK (it is durable), FM_ETIMEOUT, FM_EFULL (drop_newest or block), FM_ESTOP, FM_ESYS */
FM_MUST_USE enum fm_code fm_spool_store(struct fm_spool *spool, struct fm_chunk **chunk,
                                        unsigned timeout_ms, char stream[FM_STREAM_LEN + 1],
                                        uint64_t *first_seq, uint64_t *last_seq,
                                        struct fm_err *err);

/** Wait until everything queued so far is committed (or given up). Waits. */
FM_MUST_USE enum fm_code fm_spool_flush(struct fm_spool *spool, unsigned timeout_ms,
                                        struct fm_err *err);

/* ---- reading: the sender ---- */

struct fm_spool_id {
    char stream[FM_STREAM_LEN + 1];
    uint64_t seq;
};

struct fm_spool_item {
    struct fm_spool_id id;
    struct fm_record rec; /* borrowed from the batch */
};

/** Records read together, in order, of one topic. They are held (never dropped) until the batch is
 * freed. */
struct fm_spool_batch {
    struct fm_spool_item *items;
    size_t n;
    size_t bytes; /* of keys and values */
    bool more; /* further records were ready */
    void *priv; /* the spool's */
};

struct fm_spool_want {
    const char *topic;
    size_t max_records;
    size_t max_bytes; /* of keys and values; the first record always fits */
    const struct fm_spool_id *skip; /* records to leave out (suspects, in flight), any order */
    size_t n_skip;
    const struct fm_spool_id *only; /* read exactly these (in this order) instead; NULL */
    size_t n_only;
};

/** Its items were copied: their array goes, what they point to stays until the batch is freed. */
void fm_spool_batch_dealt(struct fm_spool_batch *batch);

/** Read the oldest pending records of a topic. Waits, up to timeout_ms.
 * @return FM_OK (n may be 0), FM_ETIMEOUT, FM_ESTOP, FM_ESYS */
FM_MUST_USE enum fm_code fm_spool_read(struct fm_spool *spool, const struct fm_spool_want *want,
                                       struct fm_spool_batch **out, unsigned timeout_ms,
                                       struct fm_err *err);

void fm_spool_batch_free(struct fm_spool *spool, struct fm_spool_batch *batch);

enum fm_settle { FM_SETTLE_DELIVERED, FM_SETTLE_DEAD };

struct fm_settlement {
    struct fm_spool_id id;
    uint64_t n; /* DELIVERED: so many from id on, by seq; 0: one */
    enum fm_settle how;
    const char *reason; /* DEAD: status, code and text of the answers; copied */
};

/** Queue the fate of records, committed with the next group; read after this call no longer gives
 * them. DEAD copies the record to the dead letters and declares a gap with reason dead, in the same
 * transaction. Control records are refused for DEAD. Settling a record twice counts once. */
FM_MUST_USE enum fm_code fm_spool_settle(struct fm_spool *spool, const struct fm_settlement *list,
                                         size_t n, struct fm_err *err);

struct fm_spool_topic {
    char topic[256];
    uint64_t pending;
    int64_t oldest_ms; /* wall clock of the oldest pending record; 0: none */
};

/** Topics with pending records, the one whose oldest record was stored first in front, so that a
 * caller with a bound leaves none out for ever; into an array of max. *n is how many there are,
 * which may be more than max: then ask again with a larger array. Does not wait. */
void fm_spool_topics(struct fm_spool *spool, struct fm_spool_topic *out, size_t max, size_t *n);

/* ---- looking inside ---- */

struct fm_spool_stream {
    char stream[FM_STREAM_LEN + 1];
    char topic[256];
    bool current; /* has no successor */
    bool unknown; /* damage: how many numbers it gave is not known, assigned is the least */
    uint64_t assigned, delivered, pending, lost, dead;
};

struct fm_spool_stats {
    uint64_t records; /* pending */
    uint64_t bytes; /* of chunk rows kept, packed */
    uint64_t disk_bytes; /* of database, write-ahead log and reserve */
    int64_t oldest_ms;
    bool durable; /* on disk, sync full, not tmpfs */
    const char *undurable; /* why it is not: a sentence without its end; NULL */
    bool removed; /* its folder, under this process: what waits is lost with it */
    uint64_t dead_records, dead_bytes;
    uint64_t lost_total;
    int64_t last_drop_ms; /* fm_clock_ms() of the last refusal or drop; 0: never */
    int64_t last_dead_ms; /* ... of the last dead letter */
    int64_t last_damage_ms; /* ... of the last damage found, which is declared lost */
    char damage[256]; /* the newest folder of damage set aside; "": there is none */
    uint64_t queue_bytes, queue_records; /* accepted, not yet on the disk */
    bool disk_full; /* only room that delivered records leave is written to */
    uint64_t disk_free, disk_needed; /* then: bytes free, and how many must be until it is over */
    uint64_t commits, commit_failures;
    char error[200]; /* why the last commit failed; "" when it did not */
    size_t n_streams; /* in streams */
    size_t n_streams_total; /* that the spool knows; may be more than fit */
    struct fm_spool_stream streams[64]; /* current ones with pending records first, then the other
                                         * current ones, then old ones with pending, then the rest;
                                         * the youngest first in each group */
};

/** A consistent snapshot, published at each commit. Does not wait. */
void fm_spool_stats_get(struct fm_spool *spool, struct fm_spool_stats *out);

struct fm_spool_entry { /* for list, export and dead letters; borrowed in the callback */
    struct fm_spool_id id;
    const char *topic;
    struct fm_record rec;
    const char *reason; /* dead letters only */
    int64_t dead_ms; /* wall clock when it was buried */
};

/** @return false to stop */
typedef bool fm_spool_visit(const struct fm_spool_entry *entry, void *arg);

struct fm_spool_select {
    const char *topic; /* NULL: all */
    const struct fm_spool_id *after; /* continue behind this one; NULL: from the first */
    uint64_t limit; /* 0: no limit */
    int64_t before_ms; /* only records older than this wall time; 0: all */
    unsigned timeout_ms; /* of the whole call; 0: 60 s for each request to the thread */
};

/** Walk over pending records (dead = false) or dead letters, in order, in pages so that commits go
 * on meanwhile. Waits; the callback runs on the caller's thread.
 * @return FM_OK, FM_ETIMEOUT, FM_ESTOP, FM_ESYS */
FM_MUST_USE enum fm_code fm_spool_walk(struct fm_spool *spool, bool dead,
                                       const struct fm_spool_select *select, fm_spool_visit *visit,
                                       void *arg, struct fm_err *err);

/** Drop pending records by hand; declared with reason operator. Waits. *n = dropped.
 * Declarations themselves (gaps, a start record that names a predecessor) stay, save when
 * select names a topic, and nothing else, in which only declarations are left: so a second drop
 * empties a topic that can never be sent to. They are lost without a gap then, and the stream ends;
 * should the topic get a record after all, its next stream declares, for each of the topic's
 * streams, everything that was lost in it (reason operator).
 * @return FM_OK, FM_ETIMEOUT (it may still be dropped later), FM_ESTOP, FM_ENOMEM */
FM_MUST_USE enum fm_code fm_spool_drop(struct fm_spool *spool, const struct fm_spool_select *select,
                                       uint64_t *n, struct fm_err *err);

/** Put dead letters back into the line under their own seqs (id NULL: all of the selection).
 * Waits. *n = how many. */
FM_MUST_USE enum fm_code fm_spool_dead_retry(struct fm_spool *spool,
                                             const struct fm_spool_select *select,
                                             const struct fm_spool_id *id, uint64_t *n,
                                             struct fm_err *err);

/** Refuse new records and wake every waiter; reading and settling still work. Idempotent. */
void fm_spool_stop(struct fm_spool *spool);

/** Commit what is queued, checkpoint, close, give the lock back. What the disk has no room for is
 * counted in a file that was filled before, and declared lost at the next start. NULL is allowed.
 * No other thread may be inside. Waits up to timeout_ms (0: 2 s) for a hanging disk, then leaves
 * it. */
void fm_spool_free(struct fm_spool *spool, unsigned timeout_ms);

/** How a spool ended. */
struct fm_spool_end {
    uint64_t pending; /* records that stay in it; in memory they are lost */
    bool memory;
    bool removed; /* its folder was: they are lost, too */
    uint64_t unstored; /* records accepted that could not be stored, */
    uint64_t owed; /* ... of which so many are declared lost at the next start */
    bool hung; /* the disk did not answer: nothing else is known */
    char error[200]; /* why not all could be stored; "" */
};

/** As fm_spool_free(), which logs what it left undone; here the caller is told and says it. */
void fm_spool_close(struct fm_spool *spool, unsigned timeout_ms, struct fm_spool_end *end);

/** Who holds the lock of a spool folder: the path of its control socket in out ("" if it has none).
 * @return FM_ELOCKED with the holder, FM_OK when nobody holds it, FM_ENOTFOUND: no such spool */
FM_MUST_USE enum fm_code fm_spool_holder(const char *path, char *out, size_t size, int *pid,
                                         struct fm_err *err);

const char *fm_spool_version(void); /* of the SQLite loaded: "3.40.1" */

#endif
