/* sandbox/v3_priv.h - the v3 interface beside v2, on the same exchange: clusters, topics, the size
 * limit, produce (a stream of records, a report for each) and records:batch.
 *
 * Wire facts: rest-proxy.md section 2 and the golden files of confluent-8.3.1. */
#ifndef FM_SANDBOX_V3_PRIV_H
#define FM_SANDBOX_V3_PRIV_H

#include "sandbox/v2_priv.h"

/* Kafka's ids have 22 characters. Produce takes any other id, as the real proxy does. */
#define FM_V3_CLUSTER "firstmile-sandbox-0001"

struct fm_v3_note { /* what a report says of a record beside its verdict */
    const char *key_type; /* static; NULL: no key */
    const char *value_type;
    uint32_t key_schema, value_schema; /* ids; 0: none */
    const char *id; /* of a batch's entry, as written; NULL */
    size_t id_len;
    int code; /* refused before it was stored; 0: not */
    char *text; /* heap */
    char time[32];
};

/** @return the path behind /v3 or /kafka/v3; NULL: another path */
const char *fm_v3_under(const char *path);
bool fm_v3_is_produce(const char *path);
bool fm_v3_is_probe(const char *path);

/** As fm_v2_parse(); path is what fm_v3_under() gave. */
bool fm_v3_parse(struct fm_v2 *v2, const struct fm_v2_request *request, const char *path);

/** As fm_v2_render(). */
void fm_v3_render(struct fm_v2 *v2);

/** The body of a produce request into job.records and notes (v3_produce.c).
 * @return false: v2->reply is the answer */
bool fm_v3_parse_body(struct fm_v2 *v2, const char *body, size_t len);

/** records:batch (v3_batch.c): whether an entry may be called so: 1 to 80 letters, digits, - and _.
 */
bool fm_v3_batch_id(const struct fm_v3_note *note);
/** What cannot be mapped to an entry ends the whole request, where the stream gives one report.
 * @return true: v2->reply says so */
bool fm_v3_batch_unmapped(struct fm_v2 *v2, const struct fm_v3_note *note);
/** @return what is wrong with the entries together, NULL: nothing */
const char *fm_v3_batch_fault(const struct fm_v2 *v2, size_t most);

void fm_v3_error(struct fm_v2_reply *reply, unsigned status, int error_code, const char *fmt, ...)
    FM_PRINTF(4, 5);

#endif
