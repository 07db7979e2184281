/* record/audit.h - the proof of design section 6: is every number of every stream seen or declared?
 *
 * Fed with the records of a topic, in the order of each partition, it keeps per stream which
 * numbers came and what was declared lost, and at the end says which are neither. No I/O. Memory is
 * bounded by max_bytes whatever comes: numbers are kept as sets of runs. One thread at a time. */
#ifndef FM_RECORD_AUDIT_H
#define FM_RECORD_AUDIT_H

#include "frame/frame.h"

struct fm_audit; /* opaque: record/audit.c */

/** Why records were declared lost; OTHER is what a newer version may say. */
enum fm_audit_reason {
    FM_AUDIT_DEAD,
    FM_AUDIT_FULL,
    FM_AUDIT_AGE,
    FM_AUDIT_DAMAGE,
    FM_AUDIT_OPERATOR,
    FM_AUDIT_TOO_LARGE,
    FM_AUDIT_OTHER,
    FM_AUDIT_REASONS
};

/** "dead", "too_large", ...: as in gap records; static. */
const char *fm_audit_reason_name(enum fm_audit_reason reason);

/** One record of the topic; everything borrowed. */
struct fm_audit_record {
    const char *topic; /* terminated */
    int32_t partition;
    int64_t offset;
    const char *key; /* NULL: none */
    size_t key_len;
    const char *value; /* NULL: none (a tombstone) */
    size_t value_len;
    const struct fm_header *headers;
    size_t n_headers;
};

enum { FM_AUDIT_RANGES = 1000 }; /* missing ranges kept per stream */

struct fm_audit_range {
    uint64_t from, to;
};

/** What is known of a stream. highest + beyond = seen + lost + pending + cut + missing always
 * holds. */
struct fm_audit_stream {
    const char *agent; /* who wrote it; of an unseen one: who named it */
    const char *stream;
    const char *topic;
    uint64_t first, last; /* lowest and highest number seen; 0: none */
    uint64_t highest; /* that is known of: seen, declared, or named by a successor */
    uint64_t seen; /* different numbers */
    uint64_t duplicates; /* records whose number was seen before */
    uint64_t disordered; /* came behind a higher number of their key in the partition */
    uint64_t declared[FM_AUDIT_REASONS]; /* sums of the counts of its gaps */
    uint64_t lost; /* not seen, and declared */
    uint64_t pending; /* not seen, and still in the spool; */
    uint64_t beyond; /* ... of these, above the highest */
    uint64_t cut; /* not seen, below what retention left */
    uint64_t missing; /* not seen, not declared: the failure */
    bool extent_unknown; /* damage of unknown extent was declared: any of its numbers may be lost */
    const char *prev_stream; /* predecessor that its start record names; NULL: none */
    uint64_t prev_last_seq; /* 0: unknown */
    const struct fm_audit_range *ranges; /* the missing numbers, ascending */
    size_t n_ranges; /* at most FM_AUDIT_RANGES */
    uint64_t all_ranges; /* how many there are */
};

struct fm_audit_totals {
    uint64_t records; /* fed, without those ignored after the freeze */
    uint64_t foreign; /* without our identity */
    uint64_t malformed; /* of us, but a control record that makes no sense */
    uint64_t seen, duplicates, disordered, lost, pending, cut, missing;
    size_t partitions;
    size_t streams;
    bool extent_unknown; /* of at least one stream */
    bool order_unchecked; /* more keys than are kept: order was checked for the first ones only */
};

/** @param max_bytes  0: 256 MiB @return FM_OK or FM_ENOMEM */
FM_MUST_USE enum fm_code fm_audit_new(struct fm_audit **out, size_t max_bytes, struct fm_err *err);
void fm_audit_free(struct fm_audit *audit);

/** Where a partition begins. Without this call the lowest offset fed is taken for it.
 * @return FM_OK, FM_ELIMIT or FM_ENOMEM */
FM_MUST_USE enum fm_code fm_audit_partition(struct fm_audit *audit, const char *topic,
                                            int32_t partition, int64_t begin, struct fm_err *err);

/** A record of the topic. @return FM_OK, FM_ELIMIT (max_bytes) or FM_ENOMEM; then give it up */
FM_MUST_USE enum fm_code fm_audit_add(struct fm_audit *audit, const struct fm_audit_record *rec,
                                      struct fm_err *err);

/** A record that the spool still holds (to be told before the topic is read: what is sent in
 * between is then known twice, never missed). Numbers above the highest known one are pending, but
 * those between it and them are not asked for: they may have been sent since.
 * @param value  its JSON text, or NULL for raw bytes; a gap in it declares
 * @return as fm_audit_add() */
FM_MUST_USE enum fm_code fm_audit_pending(struct fm_audit *audit, const char *topic,
                                          const char *stream, uint64_t seq, const char *value,
                                          size_t value_len, struct fm_err *err);

/** Forget which numbers fm_audit_pending() told, to tell them anew; what its gaps declared stays.
 */
void fm_audit_forget_pending(struct fm_audit *audit);

/** Take the highest numbers known now for the last. What is added after this may only fill in
 * missing numbers or declare them; everything else in it is ignored. */
void fm_audit_freeze(struct fm_audit *audit);

/** Judge. May be called again after more was added. @return as fm_audit_add() */
FM_MUST_USE enum fm_code fm_audit_finish(struct fm_audit *audit, struct fm_err *err);

/** After fm_audit_finish(): the streams by agent, then in the order they appeared. Borrowed, until
 * the next call that is not a getter. */
const struct fm_audit_stream *fm_audit_stream(const struct fm_audit *audit, size_t i);
const struct fm_audit_totals *fm_audit_totals(const struct fm_audit *audit);

#endif
