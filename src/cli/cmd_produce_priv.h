/* cli/cmd_produce_priv.h - what the files of `produce` share.
 *
 * Everything belongs to the main thread, save what stands under lock. Lines wait in a chunk, then
 * in the spool (in memory, or --spool); which line a record was is kept as runs. */
#ifndef FM_CLI_CMD_PRODUCE_PRIV_H
#define FM_CLI_CMD_PRODUCE_PRIV_H

#include <pthread.h>

#include "cli/cmd.h"
#include "cli/lines.h"
#include "cli/session.h"

enum {
    FM_PRODUCE_SLICE_MS = 50, /* between two looks at signals, refusals and the time */
    FM_PRODUCE_REFUSALS = 64,
    FM_PRODUCE_LINE_BITS = 40 /* of the number of a line in a tag; the rest is the file */
};

struct produce_opts {
    const char *format;
    const char *key;
    const char *separator;
    const char *spool;
    int64_t timeout_ms;
};

/* Lines that follow one another in a file and in the stream. */
struct fm_produce_run {
    char stream[FM_STREAM_LEN + 1];
    uint64_t seq, line, n;
    size_t file;
};

struct fm_produce_refusal {
    struct fm_spool_id id;
    char reason[240];
};

struct fm_produce {
    struct fm_cli *cli;
    const struct produce_opts *o;
    struct fm_config *config;
    const char *topic;
    bool text;
    struct fm_rest_opts way;
    struct fm_lines lines;
    struct fm_jlike *seen; /* lines checked before; NULL: no memory, which costs only time */
    struct fm_spool *spool;
    struct fm_rest *rest;
    struct fm_rest_stats *stats;
    int signals;
    bool interrupted, timed_out;

    struct fm_chunk *chunk; /* not stored yet; its lines follow one another */
    size_t chunk_file;
    uint64_t chunk_line;
    size_t key_len;
    uint64_t given, bad; /* lines: to the spool; unfit */
    uint64_t in_hand; /* lines read last, in no chunk */
    int64_t ticked_ms;
    uint64_t seen_stored; /* stored as it was at stored_ms */
    int64_t stored_ms;
    uint64_t before; /* records that an earlier run left in the spool */

    uint64_t settled;
    int64_t timeout_ms, moved_ms, started_ms, shown_ms;
    bool show, shown;

    pthread_mutex_t lock; /* protects what other threads write: to the end */
    struct fm_produce_run *runs; /* few: a new one only where lines were left out */
    size_t n_runs, cap_runs;
    uint64_t stored; /* lines whose chunk is in the spool */
    enum fm_code store_code; /* why a chunk was not stored, */
    uint64_t store_tag; /* ... the first of them */
    struct fm_produce_refusal refusals[FM_PRODUCE_REFUSALS];
    size_t n_refusals;
    uint64_t untold;

    pthread_mutex_t wake_lock; /* protects waked, and the sender's life while it is woken */
    struct fm_rest *waked; /* by commits of the spool; NULL: not yet, or no more */
};

/* ---- produce_lines.c ---- */

/** What became of a chunk. On any thread. */
void fm_produce_on_stored(void *produce, const struct fm_spool_stored *what);

/** Read all input into the spool, with a tick now and then.
 * @return FM_OK at its end; FM_EUSAGE (too many unfit lines), or why storing or the tick ended it
 */
FM_MUST_USE enum fm_code fm_produce_read(struct fm_produce *p, struct fm_err *err);

/* ---- produce_end.c ---- */

/** Stop the sender, then close the folder of --spool: from here on it is known what it kept.
 * @param err  why the work ended; it gets told which lines are in the spool and which are not
 * @return code */
FM_MUST_USE enum fm_code fm_produce_end(struct fm_produce *p, enum fm_code code,
                                        struct fm_err *err);

/* ---- produce_tell.c ---- */

/** Take the progress line off the terminal. */
void fm_produce_clear(struct fm_produce *p);

/** One line of trouble: FILE:LINE: why. */
void fm_produce_say(struct fm_produce *p, size_t file, uint64_t line, const char *why);

/** A record was refused for good. On the sender's thread. */
void fm_produce_on_dead(void *produce, const struct fm_spool_id *id, const char *reason);

/** Which line a record was. On any thread.
 * @return false: no line of this run; *file and *line are as before */
bool fm_produce_find(struct fm_produce *p, const struct fm_spool_id *id, size_t *file,
                     uint64_t *line);

/** Say which lines were refused since the last time. */
void fm_produce_tell(struct fm_produce *p);

/** Lines acknowledged or refused. */
uint64_t fm_produce_settled(struct fm_produce *p);

/** Lines read, and not yet settled as of the last tick. */
uint64_t fm_produce_left(const struct fm_produce *p);

/** Why the proxy takes nothing, as of the last look. */
const char *fm_produce_trouble(const struct fm_produce *p);

/** On any thread, until NULL: whom the spool's commits wake. */
void fm_produce_wake(struct fm_produce *p, struct fm_rest *rest);

/** Tell, show progress, look at signals and the time.
 * @return FM_OK, FM_ESTOP after a signal, FM_ETIMEOUT without progress */
FM_MUST_USE enum fm_code fm_produce_tick(struct fm_produce *p, struct fm_err *err);

#endif
