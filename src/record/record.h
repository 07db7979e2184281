/* record/record.h - values to records: the shapes of design section 5, rendered straight into
 * chunks.
 *
 * A rule says how beans become records (shape, topic, key, tags, ...); it is compiled once, at
 * configuration, and constants are rendered once. A rule may be used by one thread at a time;
 * building is pure CPU work and never blocks. */
#ifndef FM_RECORD_RECORD_H
#define FM_RECORD_RECORD_H

#include "base/json.h"
#include "frame/frame.h"
#include "value/name.h"
#include "value/value.h"

enum fm_shape { FM_SHAPE_BEAN, FM_SHAPE_METRIC, FM_SHAPE_SNAPSHOT };

struct fm_rule_opts {
    const char *agent;
    enum fm_shape shape;
    const char *topic; /* template over ${agent} ${host} ${target} */
    const char *key; /* template, any variable; NULL or "": no key */
    const char *partition; /* number; NULL or "": the proxy chooses */
    const char *const *tags; /* n_tags items "name=template" */
    size_t n_tags;
    const char *const *headers; /* n_headers items "name=template" */
    size_t n_headers;
    enum fm_json_nonfinite nonfinite;
    size_t max_bytes; /* of a record's value; larger ones are split or dropped */
};

struct fm_rule; /* opaque: record/record.c */

/** Compile. @return FM_OK, FM_ECONF (unknown variable, bad topic, ...: the sentence says where) */
FM_MUST_USE enum fm_code fm_rule_new(struct fm_rule **out, const struct fm_rule_opts *opts,
                                     struct fm_err *err);
void fm_rule_free(struct fm_rule *rule);

/** One bean as read. attributes is an OBJECT: attribute (paths nested) -> value. */
struct fm_sample_bean {
    const struct fm_name *name;
    const struct fm_value *attributes;
    struct fm_rule *rule;
};

/** A tag of one target alone (a label of its targets_file); not a template. */
struct fm_sample_tag {
    const char *name;
    const char *value;
};

/** One poll of one target; everything borrowed. */
struct fm_sample {
    const char *target;
    const char *host;
    const struct fm_sample_tag
        *tags; /* added to the rule's; they win over those of the same name */
    size_t n_tags;
    int64_t timestamp_ms; /* wall clock, start of the poll */
    const struct fm_sample_bean *beans;
    size_t n;
};

/** Where finished chunks go; takes *chunk over on success (sets it NULL). */
typedef enum fm_code fm_chunk_sink(void *arg, struct fm_chunk **chunk, struct fm_err *err);

/** n records of topic could not be built (too large alone, or their topic was invalid). */
typedef void fm_record_lost(void *arg, const char *topic, uint64_t n, int64_t time_ms);

struct fm_record_count {
    uint64_t records;
    uint64_t bytes; /* of values and keys */
    uint64_t omitted; /* beans left out of snapshots, records dropped as too large */
};

/** Build the records of a sample: chunks of one topic each, up to about FM_CHUNK_BYTES, in the
 * order of the beans. @param lost  may be NULL @param count  may be NULL
 * @return FM_OK or the first error of the sink (the rest is not built) */
FM_MUST_USE enum fm_code fm_record_build(const struct fm_sample *sample, fm_chunk_sink *sink,
                                         fm_record_lost *lost, void *arg,
                                         struct fm_record_count *count, struct fm_err *err);

/** The topic that a rule makes for a target, without a sample (for target control records). */
FM_MUST_USE enum fm_code fm_rule_topic(struct fm_rule *rule, const char *target, const char *host,
                                       struct fm_buf *out, struct fm_err *err);

/* ---- control records; each a chunk with one record of kind FM_RECORD_CONTROL, key = agent ---- */

struct fm_control_start {
    const char *version;
    bool has_prev;
    const char *prev_stream;
    int64_t prev_last_seq; /* -1: null */
};
FM_MUST_USE enum fm_code fm_record_start(struct fm_chunk **out, const char *agent,
                                         const char *topic, const struct fm_control_start *what,
                                         int64_t now_ms, struct fm_err *err);

struct fm_control_gap {
    int64_t from_seq, to_seq, count; /* -1: null */
    const char *reason;
    int64_t first_ms, last_ms; /* 0: null */
    const char *lost_stream; /* NULL: its own */
};
FM_MUST_USE enum fm_code fm_record_gap(struct fm_chunk **out, const char *agent, const char *topic,
                                       const struct fm_control_gap *what, int64_t now_ms,
                                       struct fm_err *err);

/** state "up", "down" or "restarted"; error NULL: none. */
FM_MUST_USE enum fm_code fm_record_target(struct fm_chunk **out, const char *agent,
                                          const char *topic, const char *target, const char *host,
                                          const char *state, const char *error, int64_t now_ms,
                                          struct fm_err *err);

#endif
