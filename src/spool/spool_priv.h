/* spool/spool_priv.h - the parts of the spool, for the files of this module only.
 *
 * Memory is what counts: the spool's thread keeps streams, rows (a chunk's whereabouts, not its
 * bytes) and dead letters in memory, changes them there, and writes whatever is dirty in one
 * transaction. All writes are absolute (never "one more"), so that a transaction whose outcome is
 * unknown can be repeated. What was not committed yet is not given to readers.
 *
 * Everything here belongs to the spool's thread unless it says otherwise. In the memory variant,
 * where nothing can block, whoever queues an operation takes the thread's place for it if nobody
 * else has it: a batch is read, settled and committed without a change of threads. */
#ifndef FM_SPOOL_PRIV_H
#define FM_SPOOL_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "spool/spool.h"

enum { TOPIC_SIZE = 256, AGENT_SIZE = 256, MACHINE_SIZE = 96, BOOT_SIZE = 64, FORMAT = 2 };
/* FORMAT 2: chunks may be packed. 1 is read, and becomes 2 before anything is written. */
/* A new database's page. A full chunk is about 10 KiB, packed: larger pages stay half empty. */
enum { FRESH_PAGE = 4096 };

/* What a row is to the spool; stored. */
enum row_kind {
    ROW_DATA = 0,
    ROW_GAP = 1, /* a gap record of ours: never dropped, only replaced by a wider one */
    ROW_FIRST = 2, /* a start record that names a predecessor: never dropped */
    ROW_RETRIED = 3 /* a dead letter sent again: already declared */
};

/* A chunk in memory, shared by rows and batches. */
struct loaded {
    struct fm_chunk *chunk;
    _Atomic int refs;
};

struct stream;
struct topic;

/* The extent of a loss; -1 where unknown. */
struct gap {
    char lost_stream[FM_STREAM_LEN + 1];
    int64_t from, to, count;
    int64_t first_ms, last_ms;
    enum fm_gap_reason reason;
};

struct row {
    uint64_t id; /* order of insertion, over all topics */
    struct stream *stream;
    uint64_t first; /* seq of its first record */
    uint32_t n;
    uint32_t n_gone;
    uint64_t *gone; /* bits; &one for up to 64 records */
    uint64_t one;
    int64_t time_ms; /* wall clock of its first record */
    int64_t born_ms; /* on the agent's own time line */
    uint64_t cost; /* bytes it takes on disk, about */
    uint32_t bytes;
    enum row_kind kind;
    unsigned held; /* batches that hold it */
    bool stored; /* committed: readers may see it */
    bool dirty; /* on the list of what must be written */
    bool out; /* no longer in the line */
    bool was_read; /* given to a reader in this run */
    struct loaded *loaded; /* NULL: on disk only */
    struct gap *gap; /* of a ROW_GAP */
    struct row *prev, *next; /* all rows, by id */
    struct row *topic_prev, *topic_next; /* those of its topic */
    struct row *dirty_next;
};

struct slot {
    uint64_t first;
    struct row *row; /* NULL: gone since */
};

struct stream {
    uint32_t id; /* local number, stored */
    char name[FM_STREAM_LEN + 1];
    struct topic *topic;
    char agent[AGENT_SIZE];
    char machine[MACHINE_SIZE];
    uint64_t assigned, delivered, pending, lost, dead;
    bool ended; /* has a successor, or must get one: no new numbers */
    bool unknown; /* its last number is not known (damage, copy) */
    char prev[FM_STREAM_LEN + 1];
    int64_t prev_last; /* -1: unknown */
    bool started; /* its start record of this run is in the line */
    bool dirty;
    bool stored; /* it is in the database, */
    uint64_t stored_assigned; /* ... with this last number */
    uint64_t unborn; /* numbers lost without a row since the last commit */
    int64_t unborn_first_ms, unborn_last_ms; /* ... and when */
    struct slot *slots; /* by first seq, [first_slot, n_slots) */
    size_t first_slot, n_slots, cap_slots, holes;
};

struct topic {
    char name[TOPIC_SIZE];
    struct stream *current; /* NULL: none yet */
    struct row *head, *tail;
    uint64_t pending; /* stored records only count once committed */
};

struct dead {
    uint64_t id;
    struct stream *stream;
    uint64_t seq;
    int64_t dead_ms;
    uint64_t bytes;
    bool stored, dirty, out;
    char *reason; /* NULL when only on disk */
    struct loaded *loaded; /* NULL when only on disk */
    struct dead *prev, *next, *dirty_next;
};

/* Numbers lost, whose gap record has yet to be put into the line (in the same transaction). */
struct loss {
    struct stream *stream;
    struct gap gap;
    struct loss *next;
};

enum op_type {
    OP_APPEND,
    OP_DECLARE,
    OP_SETTLE,
    OP_READ,
    OP_FLUSH,
    OP_WALK,
    OP_DROP,
    OP_RETRY,
    OP_CONFIG
};

struct run { /* records settled alike, one after the other */
    char stream[FM_STREAM_LEN + 1];
    uint64_t from, n;
    enum fm_settle how;
    char *reason;
};

struct want {
    char topic[TOPIC_SIZE];
    size_t max_records, max_bytes;
    struct fm_spool_id *skip;
    size_t n_skip;
    struct fm_spool_id *only;
    size_t n_only;
};

struct select {
    char topic[TOPIC_SIZE]; /* "": all */
    bool has_after;
    struct fm_spool_id after;
    uint64_t after_row; /* id of the row or dead letter; 0: not known */
    uint64_t limit;
    int64_t before_ms;
    int64_t deadline_ms; /* of the whole call, for the caller; 0: none */
    bool dead;
    bool one; /* only the record "after" names */
};

struct page;

struct op {
    enum op_type type;
    _Atomic int refs; /* caller and thread */
    struct op *next;
    bool waited; /* a caller waits for done */
    bool done; /* under the lock */
    bool left; /* the caller gave up; under the lock */
    enum fm_code code;
    struct fm_err err;
    /* APPEND */
    struct fm_chunk *chunk;
    size_t bytes, n_records;
    struct row *row; /* while its transaction runs */
    char stream[FM_STREAM_LEN + 1];
    uint64_t first, last;
    bool tagged; /* on_stored is to be told */
    uint64_t tag;
    /* CONFIG */
    struct fm_spool_opts opts;
    /* DECLARE */
    char topic[TOPIC_SIZE];
    uint64_t n;
    enum fm_gap_reason reason;
    int64_t time_ms;
    /* SETTLE */
    struct run *runs;
    size_t n_runs;
    /* READ, WALK, DROP, RETRY */
    struct want want;
    struct select select;
    struct fm_spool_batch *batch;
    struct page *page;
};

struct entry {
    struct fm_spool_id id;
    struct topic *topic;
    struct fm_record rec;
    struct loaded *loaded;
    char *reason;
    int64_t dead_ms;
};

struct page {
    struct entry *entries;
    size_t n;
    bool last; /* nothing behind it */
    uint64_t after_row; /* where to go on */
    struct fm_spool_id after;
};

struct hold {
    struct stream *stream;
    uint64_t first; /* where to look for it */
    uint64_t row; /* its id: a retried record may have the same first seq */
};

struct batch_priv {
    struct loaded **loaded;
    size_t n_loaded, cap_loaded;
    struct hold *holds;
    size_t n_holds, cap_holds;
    struct batch_priv *next; /* in the list of freed ones */
};

struct store; /* store.c; none in the memory variant */

struct store_sizes {
    uint64_t pages, page_size, wal_bytes, spare; /* spare: free pages beyond those that are kept */
};

struct op_list {
    struct op *head, **tail;
};

struct fm_spool {
    /* Set once at open. */
    struct fm_spool_opts opts; /* strings are copies */
    char *dir, *control_socket;
    char agent[AGENT_SIZE], machine[MACHINE_SIZE], boot[BOOT_SIZE];
    int lock_fd, dir_fd;
    bool on_tmpfs, removed; /* removed: its path no longer leads to it */
    pthread_t thread;
    bool running;

    /* Under lock. */
    pthread_mutex_t lock;
    pthread_cond_t wake; /* the thread: something was queued */
    pthread_cond_t done; /* callers: an operation ended, or there is room */
    struct op_list queue;
    size_t queue_bytes, queue_records; /* of chunks not yet committed */
    size_t n_queued;
    bool stopped, closing, finished;
    bool working; /* a thread does what is queued: what is "the thread's own" is its */
    bool planned; /* the spool's thread sleeps, and not beyond the next group commit */
    int64_t waits_until; /* the spool's thread; 0: for ever; AWAKE */
    bool blocked; /* on_full = block, and full */
    struct batch_priv *freed;
    struct fm_spool_stats stats;
    struct fm_spool_topic *topics;
    size_t n_topics_out;

    /* The thread's own. */
    struct store *store;
    struct store *old_store; /* damaged: bodies of rows not yet stored are read from it */
    struct stream **streams;
    size_t n_streams, cap_streams;
    struct topic **topic_list;
    size_t n_topics, cap_topics;
    struct stream *last_stream; /* of the last look-up */
    struct row *head, *tail;
    struct row *dirty;
    struct dead *dead_head, *dead_tail, *dead_dirty;
    uint64_t next_row, next_dead;
    uint32_t next_stream;
    struct loss *losses;
    struct op_list appends; /* waiting for the commit */
    struct op_list flushes; /* ... and these for its end */
    struct op_list committed; /* callers to be told */
    uint64_t cost, bytes, n_pending; /* of rows in the line */
    uint64_t dead_bytes, n_dead;
    struct store_sizes sizes; /* as of the last commit */
    uint64_t cached; /* bytes of chunks in memory that are on disk too */
    bool resync; /* a transaction's outcome is unknown: remove what it may have left */
    uint64_t resync_row; /* ... which are rows from this id on */
    bool changed; /* something is dirty */
    bool seen; /* something must be published */
    bool identity_dirty;
    bool owed; /* the file "owed" is to be emptied after the next commit */
    size_t group; /* bytes of chunks since the last commit */
    int64_t due_ms; /* of the group commit; 0: none */
    int64_t paced_ms; /* not before this, if only for what was delivered */
    int64_t retry_ms; /* not before this, after a failure; 0: at once */
    unsigned failures; /* in a row */
    int64_t line_base_ms, line_from_ms; /* own time line: base at a monotonic time */
    int64_t age_ms; /* do not look for old records before this */
    int64_t last_drop_ms, last_dead_ms, last_damage_ms;
    char damage[256]; /* the newest folder of damage; "": none */
    char mending[64]; /* the folder that is being taken over, in dir; "": none */
    struct fm_spool_end end; /* once the thread has finished */
    int64_t idle_ms; /* when to do the housekeeping; 0: nothing to do */
    uint64_t commits, commit_failures;
    char error[200];
    /* room.c */
    bool reserve_given;
    bool tight; /* the disk is full: only room that is had already is written to */
    size_t tight_take; /* then: chunks in one transaction */
    unsigned tight_waits; /* tries in a row in which not even one found room */
    int64_t take_ms; /* not before this the next one; 0: at once */
    int64_t look_ms; /* whether there is room again */
};

/* ---- index.c: streams, topics, rows ---- */
struct stream *stream_find(struct fm_spool *sp, const char *name);
FM_MUST_USE enum fm_code stream_add(struct fm_spool *sp, struct stream **out, const char *name,
                                    const char *topic, struct fm_err *err);
FM_MUST_USE enum fm_code topic_get(struct fm_spool *sp, const char *name, struct topic **out,
                                   struct fm_err *err);
struct topic *topic_find(struct fm_spool *sp, const char *name);
/* A row not yet in the line; gone bits clear. */
FM_MUST_USE enum fm_code row_new(struct row **out, struct stream *stream, uint64_t first,
                                 uint32_t n, struct fm_err *err);
void row_free(struct fm_spool *sp, struct row *row);
/* Put it at the end of the line. @return FM_ENOMEM leaves it outside */
FM_MUST_USE enum fm_code row_link(struct fm_spool *sp, struct row *row, struct fm_err *err);
void row_unlink(struct fm_spool *sp, struct row *row);
void row_dirty(struct fm_spool *sp, struct row *row);
bool row_is_gone(const struct row *row, uint32_t i);
/* Mark n records from i on gone; the caller moves the counters. Unlinks the row with its last one.
 * @return how many were not gone before */
uint32_t row_take(struct fm_spool *sp, struct row *row, uint32_t i, uint32_t n);
/* The row that holds seq, or the first behind it when after. NULL: none */
struct row *row_find(struct stream *stream, uint64_t seq, bool after);
/* The row of this id, which begins at first; NULL: gone */
struct row *row_by_id(struct stream *stream, uint64_t first, uint64_t id);
uint64_t row_cost(const struct fm_spool *sp, size_t bytes);
struct loaded *loaded_new(struct fm_chunk *chunk);
struct loaded *loaded_ref(struct loaded *loaded);
void loaded_unref(struct loaded *loaded);
/* The chunk of a row, from memory or disk; a new reference. @return FM_EDAMAGE if it is not there
 */
FM_MUST_USE enum fm_code row_load(struct fm_spool *sp, struct row *row, struct loaded **out,
                                  struct fm_err *err);
void index_clear(struct fm_spool *sp);
/* assigned = delivered + pending + lost + dead */
bool stream_balanced(const struct stream *s);

/* ---- gap.c: losses and control records ---- */
FM_MUST_USE enum fm_code stream_current(struct fm_spool *sp, const char *topic, struct stream **out,
                                        struct fm_err *err);
/* Remember numbers of a stream as lost; counters are the caller's. Joins on to the last loss. */
FM_MUST_USE enum fm_code loss_add(struct fm_spool *sp, struct stream *stream, int64_t from,
                                  int64_t to, int64_t count, enum fm_gap_reason reason,
                                  int64_t time_ms, struct fm_err *err);
/* Put the gap records of all losses into the line. */
FM_MUST_USE enum fm_code losses_declare(struct fm_spool *sp, struct fm_err *err);
/* Lose the pending records of a row, all or those of [from, to]. */
FM_MUST_USE enum fm_code row_lose(struct fm_spool *sp, struct row *row, uint32_t i, uint32_t n,
                                  enum fm_gap_reason reason, struct fm_err *err);

/* ---- commit.c ---- */
FM_MUST_USE enum fm_code spool_commit(struct fm_spool *sp, struct fm_err *err);
void spool_housekeeping(struct fm_spool *sp);
int64_t spool_line_ms(const struct fm_spool *sp);

/* n numbers without rows, lost: records that were dropped before they were stored. */
FM_MUST_USE enum fm_code spool_lose_unborn(struct fm_spool *sp, const char *topic, uint64_t n,
                                           enum fm_gap_reason reason, int64_t time_ms,
                                           struct fm_err *err);

/* ---- publish.c ---- */
void spool_publish(struct fm_spool *sp);

/* ---- settle.c ---- */
void settle_apply(struct fm_spool *sp, const struct op *op);
void dead_free(struct fm_spool *sp, struct dead *dead);
void dead_trim(struct fm_spool *sp); /* to dead_max_size */
void dead_link(struct fm_spool *sp, struct dead *dead);
void dead_dirty(struct fm_spool *sp, struct dead *dead);
void dead_unlink(struct fm_spool *sp, struct dead *dead);
FM_MUST_USE enum fm_code dead_load(struct fm_spool *sp, struct dead *dead, struct loaded **out,
                                   char **reason, struct fm_err *err);
FM_MUST_USE enum fm_code retry_apply(struct fm_spool *sp, struct op *op);

/* ---- read.c, walk.c ---- */
FM_MUST_USE enum fm_code read_apply(struct fm_spool *sp, struct op *op);
void batch_drop(struct fm_spool_batch *batch);
void batches_release(struct fm_spool *sp);
FM_MUST_USE enum fm_code walk_apply(struct fm_spool *sp, struct op *op);
FM_MUST_USE enum fm_code drop_apply(struct fm_spool *sp, struct op *op);
void page_free(struct page *page);

/* ---- spool.c ---- */
/* The limits that may change while running, with their defaults. */
void spool_set_limits(struct fm_spool_opts *to, const struct fm_spool_opts *from);

/* ---- thread.c ---- */
void *spool_main(void *spool);
/* In memory only, under the lock, which it lets go meanwhile: do what is queued, unless somebody
 * does already, who will come to it. */
void spool_help(struct fm_spool *sp);

/* ---- op.c ---- */
FM_MUST_USE enum fm_code op_new(struct op **out, enum op_type type, struct fm_err *err);
void op_unref(struct op *op);
void op_push(struct op_list *list, struct op *op);
struct op *op_pop(struct op_list *list);
/* Under the lock, which it may let go meanwhile: hand op to the thread, which gets a reference of
 * its own; it wakes for all but a chunk that is to wait for the group commit anyway. In memory the
 * caller may be the one that does it. */
void op_enqueue(struct fm_spool *sp, struct op *op);
/* Wait under the lock for the end of op. @return false at the deadline */
bool op_await(struct fm_spool *sp, struct op *op, int64_t deadline_ms);
/* Queue op and wait for it. The caller's reference stays. */
FM_MUST_USE enum fm_code op_call(struct fm_spool *sp, struct op *op, int64_t timeout_ms,
                                 struct fm_err *err);
/* On the thread: tell whoever waits; the queue's reference ends. */
void op_done(struct fm_spool *sp, struct op *op, enum fm_code code, const struct fm_err *err);

/* ---- folder.c: folder, lock, identity ---- */
FM_MUST_USE enum fm_code folder_open(struct fm_spool *sp, struct fm_err *err);
void folder_close(struct fm_spool *sp);
FM_MUST_USE enum fm_code identity_write(struct fm_spool *sp, struct fm_err *err);
/* Streams that the identity file names, as ended streams of unknown extent. *found: any */
FM_MUST_USE enum fm_code identity_read(struct fm_spool *sp, bool *found, struct fm_err *err);
void machine_id(char out[MACHINE_SIZE], const char *given);

/* ---- room.c ---- */
/* Of max_size: bytes for the log, for what one transaction adds, and for the rows kept. */
uint64_t room_wal(const struct fm_spool *sp);
uint64_t room_reserve(const struct fm_spool *sp, uint64_t wanted); /* half of it at most */
uint64_t room_batch(const struct fm_spool *sp);
uint64_t room_rows(const struct fm_spool *sp);
/* Bytes that database, log and reserve take on the disk. */
uint64_t room_taken(const struct fm_spool *sp);
uint64_t room_free(const struct fm_spool *sp); /* bytes on the disk */
uint64_t room_needed(const struct fm_spool *sp); /* to be free before writing is as ever again */
enum fm_code room_none(const struct fm_spool *sp, struct fm_err *err); /* says that it is full */
void reserve_give_up(struct fm_spool *sp);
void reserve_rebuild(struct fm_spool *sp);
void reserve_change(struct fm_spool *sp, uint64_t bytes);
/* The disk was found full: give up the reserve, for the log and for a database that must grow. */
void room_run_out(struct fm_spool *sp);
/* Whether the reserve is gone and next to nothing else is left. */
bool room_is_short(const struct fm_spool *sp);
/* Whether there is room again: the reserve is back, and writing is as ever. */
bool room_look(struct fm_spool *sp);

/* ---- owed.c: records that a stop could not store ---- */
/* Make the file, while there is room. */
void owed_prepare(const struct fm_spool *sp);
/* Put down what is queued or not declared yet. @return how many records; *told: written down */
uint64_t owed_write(struct fm_spool *sp, uint64_t *told);
/* Declare what an earlier stop put down; it is emptied by owed_clear() after the commit. After a
 * failure (FM_ENOMEM) nothing may be committed: a line half declared could not be told from one
 * that was declared before a kill. */
FM_MUST_USE enum fm_code owed_take(struct fm_spool *sp, struct fm_err *err);
void owed_clear(struct fm_spool *sp);

/* ---- unsynced.c: power cuts with sync = normal ---- */
void boot_id(char out[BOOT_SIZE], const char *given);
/* Whether the power failed while commits were not synced. */
bool unsynced_lost(const struct fm_spool *sp);
/* Before a commit is not synced. */
FM_MUST_USE enum fm_code unsynced_note(const struct fm_spool *sp, struct fm_err *err);
/* No commit comes meanwhile: the note goes if everything is on the disk, which synced says surely.
 */
void unsynced_clear(const struct fm_spool *sp, bool synced);
/* From now on every commit is synced: sync those before too, and take the note away. */
void unsynced_settle(const struct fm_spool *sp);

/* ---- wal.c ---- */
/* Whether the write-ahead log lost what had been committed. */
bool wal_is_damaged(struct fm_spool *sp);

/* ---- salvage.c ---- */
/* Open the store; damage is set aside, what can be read is taken over, the rest declared. */
FM_MUST_USE enum fm_code spool_open_store(struct fm_spool *sp, const char *machine,
                                          struct fm_err *err);
/* Every stream gets a successor, its last number is not known: declared as damage. */
FM_MUST_USE enum fm_code spool_end_streams(struct fm_spool *sp, struct fm_err *err);
/* The store was found damaged, or failed a sync, while running: check it or begin a new one. */
FM_MUST_USE enum fm_code spool_reopen_store(struct fm_spool *sp, bool damaged, struct fm_err *err);

#endif
