/* rest/producer_priv.h - the producer for users of the library: public.c is what they call,
 * pump.c its thread, which brings records into the spool and calls back.
 *
 * A record lies first in an intake (one chunk of one topic), then in the spool, where its intake
 * knows it by stream and seq until the sender's reports have told what became of it. */
#ifndef FM_REST_PRODUCER_PRIV_H
#define FM_REST_PRODUCER_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "rest/rest.h"

enum { FM_INTAKE_RECORDS = 1000, FM_INTAKE_BUCKETS = 1024 };

struct fm_intake {
    struct fm_intake *next, *prev; /* prev only while stored */
    struct fm_intake *same; /* stored: the next of its bucket */
    uint64_t order; /* ascending from 1 */
    char topic[256];
    struct fm_chunk *chunk; /* NULL once the spool has it */
    char stream[FM_STREAM_LEN + 1];
    uint64_t first; /* seq of the first record; 0: not stored yet */
    size_t n, cap;
    size_t left; /* not reported yet */
    size_t bytes; /* of the chunk, while it waits */
    void **users;
    bool *told; /* NULL while none was; allocated with users */
};

/* What the sender said, in its order. */
struct fm_said {
    struct fm_said *next;
    char stream[FM_STREAM_LEN + 1];
    uint64_t from, n;
    char *reason; /* NULL: delivered */
};

struct fm_intakes {
    struct fm_intake *head, *tail;
};

struct fm_producer {
    struct fm_producer_opts o; /* numbers only; what they point to is not ours */
    struct fm_spool *spool;
    bool durable; /* in a folder */
    char agent[256];

    pthread_mutex_t wake_lock; /* leaf; protects rest against its end */
    struct fm_rest *rest;

    pthread_mutex_t lock; /* leaf; protects what follows */
    pthread_cond_t work; /* for the pump */
    pthread_cond_t moved; /* for those who wait for room or for reports */
    bool pump_sleeps, pump_known, closing, stopping;
    pthread_t pump_self; /* if pump_known */
    struct fm_intakes taken; /* not in the spool yet */
    size_t taken_bytes;
    uint64_t next_order;
    uint64_t storing; /* order of the intake between the two lists; 0: none */
    uint64_t pending, delivered, failed;
    struct fm_said *said, **said_tail;
    struct fm_intakes stored; /* ascending; changed by the pump alone, which reads it unlocked */
    size_t n_stored;

    struct fm_intake
        *buckets[FM_INTAKE_BUCKETS]; /* the pump's: what is stored, by stream and seq */
    uint64_t left; /* the pump's until it is joined: reported with FM_ESTOP, */
    uint64_t unstored; /* ... and of these, in no spool */

    struct fm_intake *holding; /* the pump's: between the two lists */
    pthread_t pump;
    bool pumping; /* of the thread that opens and closes */
};

/** The pump's thread. At its end it reports all that is left with FM_ESTOP and sets left. */
void *fm_pump_run(void *arg);

/** For struct fm_rest_opts: what the sender says. arg is the producer. */
void fm_pump_delivered(void *arg, const struct fm_settlement *list, size_t n);
void fm_pump_dead(void *arg, const struct fm_spool_id *id, const char *reason);

/** Whether the calling thread is the pump's, so inside the callback. Under the lock. */
bool fm_pump_is(const struct fm_producer *p);

void fm_intake_free(struct fm_intake *intake);

#endif
