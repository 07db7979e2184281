/* rest/consumer.h - reading a topic back through the proxy's v2 consumer interface: for audit.
 *
 * One instance in a group of its own, all partitions assigned, positions held here: after any
 * failure the instance is told again where to go on, and a record that comes twice is given once.
 * Wire facts: rest-proxy.md section 5. One thread; every call blocks, at most timeout_ms without a
 * good answer, and ends soon when stop says so. */
#ifndef FM_REST_CONSUMER_H
#define FM_REST_CONSUMER_H

#include "frame/frame.h"
#include "rest/rest.h"

struct fm_rest_consumer; /* opaque: rest/consumer.c */

struct fm_rest_consumer_opts {
    const struct fm_rest_opts *way; /* dialect, credentials, TLS, HTTP proxy; borrowed */
    const char *url; /* base of the consumer interface; NULL: way->urls, the first that answers */
    const char *topic;
    const char *group; /* NULL: a fresh one, "firstmile-audit-..." */
    unsigned wait_ms; /* how long a read waits for records [500] */
    unsigned timeout_ms; /* give up after so long without a good answer [60 s] */
    bool (*stop)(void *arg); /* true: end with FM_ESTOP. NULL: never */
    void *arg;
};

/** A partition of the topic. Without fm_rest_consumer_has_ends() begin and end stay -1. */
struct fm_rest_place {
    int32_t partition;
    int64_t begin, end; /* as fm_rest_consumer_ends() found them */
    int64_t next; /* offset of the next record to be given */
    int64_t jump; /* the consumer's own: a hole before this offset was seen; 0: none */
};

struct fm_rest_consumed { /* borrowed in the callback */
    int32_t partition;
    int64_t offset;
    const char *key; /* NULL: none */
    size_t key_len;
    const char *value; /* NULL: none */
    size_t value_len;
    const struct fm_header *headers; /* where the proxy gives them */
    size_t n_headers;
};
/** @return anything but FM_OK ends the read with it */
typedef enum fm_code fm_rest_consumed_fn(void *arg, const struct fm_rest_consumed *record,
                                         struct fm_err *err);

/** Prepare; nothing is asked yet. @return FM_OK, FM_ECONF (a bad URL, topic or group), FM_ENOMEM */
FM_MUST_USE enum fm_code fm_rest_consumer_new(struct fm_rest_consumer **out,
                                              const struct fm_rest_consumer_opts *opts,
                                              struct fm_err *err);

/** Delete the instance (at most 3 s, also after a stop) and free. NULL is allowed. */
void fm_rest_consumer_free(struct fm_rest_consumer *c);

/** Whether this proxy tells the ends of partitions. */
bool fm_rest_consumer_has_ends(const struct fm_rest_consumer *c);

/** Ask for the partitions of the topic and their first and last offsets. May be called again:
 * next stays, but for partitions whose beginning has passed it.
 * @return FM_OK; FM_ECONF (no consumer interface there); FM_EREMOTE (no such topic, or refused);
 *         FM_EAUTH, FM_ETLS, FM_EPROXY; FM_ETIMEOUT (with the last reason); FM_ESTOP; FM_ENOMEM */
FM_MUST_USE enum fm_code fm_rest_consumer_ends(struct fm_rest_consumer *c, struct fm_err *err);

/** The partitions known; borrowed until the next call. */
const struct fm_rest_place *fm_rest_consumer_places(const struct fm_rest_consumer *c, size_t *n);

/** Go on from this offset of each partition: next is read from the array given (as from
 * fm_rest_consumer_places()). Only where there are ends. */
void fm_rest_consumer_seek(struct fm_rest_consumer *c, const struct fm_rest_place *places,
                           size_t n);

/** Read once; waits wait_ms when there is nothing.
 * @param bytes  size of the answer; may be NULL
 * @return as fm_rest_consumer_ends() */
FM_MUST_USE enum fm_code fm_rest_consumer_read(struct fm_rest_consumer *c, fm_rest_consumed_fn *fn,
                                               void *arg, size_t *bytes, struct fm_err *err);

/** How often an instance was lost and made again. */
unsigned fm_rest_consumer_renewed(const struct fm_rest_consumer *c);

#endif
