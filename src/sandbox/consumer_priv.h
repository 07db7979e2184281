/* sandbox/consumer_priv.h - the consumer interface of v2: instances that hold positions, and
 * reading by them, on the same exchange as the rest of v2.
 *
 * Wire facts: rest-proxy.md section 5 and the golden files of confluent-8.3.1. Differences on
 * purpose: a read answers as soon as it has something; each instance of a group gets all
 * partitions; a committed position lasts as long as the process; topic_pattern and schemas are
 * refused. What is kept is bounded: FM_CONSUMERS instances of at most FM_CONSUMER_SPOTS partitions;
 * one that is idle for idle_ms is forgotten. */
#ifndef FM_SANDBOX_CONSUMER_PRIV_H
#define FM_SANDBOX_CONSUMER_PRIV_H

#include "sandbox/v2_priv.h"

enum {
    FM_CONSUMERS = 64,
    FM_CONSUMER_SPOTS = 256, /* partitions of an instance */
    FM_CONSUMER_TOPICS = 32, /* subscribed */
    FM_CONSUMER_NAME = 255, /* of a group, an instance */
    FM_CONSUMER_COMMITS = 4096, /* committed positions, of all groups */
    FM_CONSUMER_WAIT_MS = 1000, /* consumer.request.timeout.ms */
    FM_CONSUMER_BODY = 256 * 1024 /* of a request */
};

#define FM_CONSUMER_BYTES ((size_t)16 << 20) /* of one answer, at most */

struct fm_consumers; /* opaque; any thread */

/** @param idle_ms  0: 300 s @param https  for the base_uri told */
struct fm_consumers *fm_consumers_new(int64_t idle_ms, bool https);
void fm_consumers_free(struct fm_consumers *all);

/** Whether a path is of this interface. */
bool fm_consumer_is(const char *path);

/** As fm_v2_parse(). After each of its jobs fm_consumer_next() is to be called. */
bool fm_consumer_parse(struct fm_consumers *all, struct fm_v2 *v2,
                       const struct fm_v2_request *request);

/** @return true: v2->job is the next one to be run; false: v2->reply is the answer */
bool fm_consumer_next(struct fm_consumers *all, struct fm_v2 *v2);

/* ---- between consumer.c and consumer_read.c ---- */

enum { FM_SPOT_END = -1 }; /* the end of the partition when it is read first */

struct fm_spot {
    char topic[FM_TLOG_NAME_MAX + 1];
    int32_t partition;
    int64_t next; /* offset of the next record, or FM_SPOT_END */
};

/** A read under way; it works on a copy, so that nothing is locked meanwhile. */
struct fm_consume {
    uint64_t serial, version; /* of the instance and its positions */
    char (*topics)[FM_TLOG_NAME_MAX + 1]; /* subscribed, their partitions not known yet */
    size_t n_topics, at_topic;
    struct fm_spot *spots; /* room for FM_CONSUMER_SPOTS */
    size_t n_spots, at_spot, left_spots;
    size_t bytes, max_bytes; /* of keys and values */
    bool any, full, unfit; /* unfit: a record that is no JSON stands in the way */
    bool refused; /* the reply is an error already */
    int64_t wait_ms;
};

void fm_consume_free(struct fm_consume *read);

/** Set v2->job to the first one of v2->consume. @return as fm_consumer_next() */
bool fm_consume_start(struct fm_v2 *v2);

/** Take the results of a job and set the next one. @return false: all is read */
bool fm_consume_next(struct fm_consumers *all, struct fm_v2 *v2);

/** Where a group goes on in a partition: what it committed, else what its instance wants. */
int64_t fm_consumers_origin(struct fm_consumers *all, uint64_t serial, const char *topic,
                            int32_t partition);

/** Write the positions back, unless the instance has moved or gone meanwhile. */
void fm_consumers_moved(struct fm_consumers *all, const struct fm_consume *read);

#endif
