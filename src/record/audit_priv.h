/* record/audit_priv.h - what the files of the audit share. */
#ifndef FM_RECORD_AUDIT_PRIV_H
#define FM_RECORD_AUDIT_PRIV_H

#include "base/arena.h"
#include "record/audit.h"
#include "record/seqset_priv.h"

enum { FM_AUDIT_AGENT_MAX = 256, FM_FACT_ABSENT = -2 };

enum fm_audit_type { FM_FACT_DATA, FM_FACT_START, FM_FACT_GAP };

/** What a record says of itself. Numbers: -1 is null. */
struct fm_audit_facts {
    char agent[FM_AUDIT_AGENT_MAX];
    char stream[FM_STREAM_LEN + 1];
    uint64_t seq;
    enum fm_audit_type type;
    bool odd; /* a field of a control record has a value it cannot have */
    int64_t from_seq, to_seq, count;
    enum fm_audit_reason reason;
    char other[FM_STREAM_LEN + 1]; /* lost_stream or prev_stream; "": none */
    int64_t prev_last_seq;
};

/** Read the identity, from the headers or else the value. @return false: it has none */
bool fm_audit_read(const struct fm_audit_record *rec, struct fm_audit_facts *out);

/** The same from the value alone: JSON, or Avro or JSON behind a registry's prefix. */
bool fm_audit_read_json(const char *value, size_t len, struct fm_audit_facts *out);
bool fm_audit_read_prefixed(const char *value, size_t len, struct fm_audit_facts *out);

/** A stream is FM_STREAM_LEN lower-case hex digits. @return false: out is "" */
bool fm_audit_put_stream(char out[FM_STREAM_LEN + 1], const char *text, size_t len);
bool fm_audit_put_agent(char out[FM_AUDIT_AGENT_MAX], const char *text, size_t len);
enum fm_audit_type fm_audit_type(const char *text, size_t len);
enum fm_audit_reason fm_audit_reason_of(const char *text, size_t len);

/** A gap record's word. */
struct fm_audit_gap {
    uint64_t from, to; /* to UINT64_MAX: open */
    uint64_t left; /* numbers that it may still excuse; UINT64_MAX: any */
};

struct fm_audit_least {
    size_t partition; /* index */
    uint64_t seq; /* the lowest of the stream seen there */
};

struct fm_audit_part {
    const char *topic;
    int32_t number;
    int64_t begin;
    bool told; /* begin was told, not found */
};

/** A stream at work; shown is what the getters give. */
struct fm_audit_item {
    struct fm_audit_stream shown;
    bool owned; /* a record of its own was seen: agent is certain */
    size_t next; /* with the same hash; SIZE_MAX: none */
    struct fm_seqset seen, pending;
    struct fm_seqset heard; /* control records whose word was taken */
    struct fm_seqset late; /* above the highest, after the freeze: only what they declare counts */
    struct fm_audit_gap *gaps;
    size_t n_gaps, gap_room;
    struct fm_audit_least *least;
    size_t n_least, least_room;
    struct fm_audit_range *ranges;
    size_t range_room;
    uint64_t named; /* highest number declared or named */
};

struct fm_audit_key {
    uint64_t hash; /* of stream, partition and key; 0: free */
    uint64_t seq; /* the highest seen */
};

struct fm_audit {
    size_t max_bytes, bytes;
    struct fm_arena arena; /* names */
    struct fm_audit_item *items;
    size_t n_items, item_room;
    size_t *buckets; /* first item of each hash; a power of two of them */
    size_t n_buckets;
    struct fm_audit_part *parts;
    size_t n_parts, part_room, last_part;
    struct fm_audit_key *keys;
    size_t n_keys, key_room;
    size_t *order; /* items as they are shown */
    bool frozen;
    struct fm_audit_totals totals;
};

/** Grow *array to hold one more; its memory is counted. */
FM_MUST_USE enum fm_code fm_audit_room(struct fm_audit *audit, void **array, size_t n, size_t *room,
                                       size_t size, struct fm_err *err);

/** @return FM_OK, or FM_ELIMIT above max_bytes */
FM_MUST_USE enum fm_code fm_audit_limit(const struct fm_audit *audit, struct fm_err *err);

/** FNV-1a, then mixed: only spreads, nothing secret. */
uint64_t fm_audit_hash(uint64_t hash, const void *data, size_t len);

/** Note a number seen for the first time, and whether it came behind a higher one of its key. */
FM_MUST_USE enum fm_code fm_audit_order(struct fm_audit *audit, size_t own, size_t part,
                                        uint64_t seq, const struct fm_audit_record *rec,
                                        struct fm_err *err);

/** Fill in what follows from all that was fed: lost, pending, cut, missing, ranges. */
FM_MUST_USE enum fm_code fm_audit_judge(struct fm_audit *audit, struct fm_audit_item *item,
                                        struct fm_err *err);

#endif
