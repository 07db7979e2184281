/* records.h - samples written down briefly, and the records that come of them as text. */
#ifndef RECORDS_H
#define RECORDS_H

#include "record/record.h"

enum { MAX_BEANS = 64, MAX_RECORDS = 256 };

struct fixture {
    struct fm_arena arena;
    struct fm_name names[MAX_BEANS];
    struct fm_sample_bean beans[MAX_BEANS];
    struct fm_sample sample;
    /* what came out */
    char *values[MAX_RECORDS]; /* with stream 0123456789abcdef and seq 1, 2, ... */
    char *keys[MAX_RECORDS]; /* NULL: none */
    char *topics[MAX_RECORDS];
    char *headers[MAX_RECORDS]; /* "name=value;..." */
    int32_t partitions[MAX_RECORDS];
    size_t n;
    size_t chunks;
    size_t largest_chunk;
    struct fm_record_count count;
    uint64_t lost;
    char lost_topic[300];
    unsigned lost_calls;
    size_t sink_fails_at; /* 0: never */
};

void fixture_init(struct fixture *f);
void fixture_clear(struct fixture *f);
/** Add a bean whose attributes stand in JSON (numbers with . or e are doubles). */
void fixture_bean(struct fixture *f, struct fm_rule *rule, const char *name, const char *json);
void fixture_value(struct fixture *f, struct fm_rule *rule, const char *name,
                   const struct fm_value *attributes);
enum fm_code fixture_build(struct fixture *f);
struct fm_rule *make_rule(enum fm_shape shape, const char *key, const char *const *tags,
                          size_t n_tags, size_t max_bytes);

#endif
