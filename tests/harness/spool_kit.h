/* spool_kit.h - what the tests of the spool share: a folder, chunks, control records, the equation.
 */
#ifndef FM_TEST_SPOOL_KIT_H
#define FM_TEST_SPOOL_KIT_H

#include "spool/spool.h"

struct kit {
    char dir[64]; /* the spool's folder, inside a temporary one */
    char base[48]; /* the temporary one */
    struct fm_spool_opts opts;
    struct fm_spool *spool;
    /* Set opts.control_arg to the kit: times of the last gap that was declared. */
    int64_t gap_first_ms, gap_last_ms;
};

/** A temporary folder and options: drop_oldest, commit at once, control records as small JSON. */
void kit_init(struct kit *kit, bool memory);
/** Open; the test fails if that fails. */
void kit_open(struct kit *kit);
/** Check the equation, then close. */
void kit_close(struct kit *kit);
/** Close and open again. */
void kit_reopen(struct kit *kit);
/** Close what is open and remove the folder. */
void kit_done(struct kit *kit);

/** n records "r<from>", "r<from+1>", ..., each padded to about size bytes. */
struct fm_chunk *kit_chunk(const char *topic, unsigned from, unsigned n, size_t size);
/** Store n records and wait for the commit; the test fails if that fails. */
void kit_store(struct kit *kit, const char *topic, unsigned from, unsigned n);
/** Read up to max records; the test fails if that fails. */
struct fm_spool_batch *kit_read(struct kit *kit, const char *topic, size_t max);
/** Settle the whole batch as delivered, free it, flush. */
void kit_deliver(struct kit *kit, struct fm_spool_batch *batch);
void kit_flush(struct kit *kit);
struct fm_spool_stats kit_stats(struct kit *kit);
/** assigned = delivered + pending + lost + dead for every stream. */
void kit_check_equation(struct kit *kit);
/** Read and deliver everything, into one text: "S1 D r1 r2 G(13-15,3,full) ..." in order. */
const char *kit_drain(struct kit *kit, const char *topic);
/** Fill the text of an item as kit_drain() shows it. */
void kit_text(const struct fm_record *rec, char *out, size_t size);

/** The control function: {"start"...} or {"gap":...}; arg: the kit, or NULL. */
fm_spool_control_fn kit_control;

#endif
