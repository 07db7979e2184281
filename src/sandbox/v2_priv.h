/* sandbox/v2_priv.h - the v2 interface as functions from a request to a job, and from a job's
 * results to a reply; no sockets, no threads.
 *
 * Order of the checks, texts and codes: rest-proxy.md section 1 and the golden files of
 * confluent-8.3.1. */
#ifndef FM_SANDBOX_V2_PRIV_H
#define FM_SANDBOX_V2_PRIV_H

#include "base/buf.h"
#include "base/jscan.h"
#include "sandbox/registry_priv.h"
#include "sandbox/topic_log_priv.h"

struct fm_v2_request { /* all borrowed, the body until the job is done; NULL: absent */
    const char *method;
    const char *path; /* decoded, without the query */
    const char *accept;
    const char *content_type;
    const char *offset; /* of the query */
    const char *max;
    const char *timeout;
    const char *max_bytes;
    const char *host; /* the header */
    const char *body;
    size_t body_len;
    bool too_large; /* the body was cut off */
};

struct fm_v2_reply {
    unsigned status;
    const char *content_type; /* static; NULL: none is sent */
    const char *header; /* static; one more line; NULL: none */
    struct fm_buf body;
};

enum fm_v2_what {
    FM_V2_ROOT,
    FM_V2_TOPICS,
    FM_V2_TOPIC,
    FM_V2_PARTITIONS,
    FM_V2_PARTITION,
    FM_V2_OFFSETS,
    FM_V2_RECORDS,
    FM_V2_PRODUCE,
    FM_V2_CONSUMER, /* consumer_priv.h */
    FM_V3_CLUSTERS,
    FM_V3_CLUSTER_ONE,
    FM_V3_TOPIC,
    FM_V3_LIMIT,
    FM_V3_PRODUCE
};

struct fm_v3_note; /* v3_priv.h */
struct fm_consume; /* consumer_priv.h */

/* A schema as a request names it. */
struct fm_schema_ref {
    const char *text; /* of a JSON string, still escaped; NULL: none */
    size_t text_len;
    uint32_t id; /* 0: none */
};

struct fm_v2 {
    struct fm_tlog_job job; /* the first member: the job's callbacks come back from it */
    enum fm_v2_what what;
    bool binary;
    struct fm_registry *registry; /* borrowed; NULL: there is none */
    bool typed; /* v2: avro or jsonschema */
    enum fm_registry_kind kind;
    struct fm_schema_ref key_schema, value_schema;
    uint32_t key_id, value_id; /* 0: none */
    struct fm_buf decoded; /* what base64 gave; records point into it */
    struct fm_v2_reply reply;
    /* v3 */
    bool v3, batch;
    char cluster[128]; /* of the path */
    struct fm_v3_note *notes; /* owned; n_notes, beside job.records */
    size_t n_notes;
    struct { /* what a fault script does to the verdicts of a batch; see faults_priv.h */
        size_t both, renamed;
        const char *new_name;
    } odd;
    struct fm_consume *consume; /* owned; a consumer's read under way */
};

/* typed.c. They return 0 or an error code, *why then says why. Encoded text lies in v2->decoded,
 * which must have room: nothing may move while records point there. */
int fm_typed_resolve(struct fm_registry *registry, enum fm_registry_kind kind,
                     const struct fm_schema_ref *ref, uint32_t *id, struct fm_err *why);
int fm_typed_encode(struct fm_v2 *v2, uint32_t id, const char **text, size_t *len,
                    struct fm_err *why);
bool fm_typed_reserve(struct fm_v2 *v2, size_t body_len);
/** All records of a parsed v2 request. @return false: the reply is the answer */
bool fm_typed_v2(struct fm_v2 *v2, size_t body_len);

void fm_v2_init(struct fm_v2 *v2);
void fm_v2_clear(struct fm_v2 *v2);

/** @return true: v2->job is to be run (its done is the caller's); false: v2->reply is the answer */
bool fm_v2_parse(struct fm_v2 *v2, const struct fm_v2_request *request);

/** The reply from the job's results. */
void fm_v2_render(struct fm_v2 *v2);

/** {"error_code":N,"message":"..."} */
void fm_v2_error(struct fm_v2_reply *reply, unsigned status, int error_code, const char *fmt, ...)
    FM_PRINTF(4, 5);

/** As Jetty says it before the application: JSON, HTML or nothing, as Accept asks. */
void fm_v2_jetty_error(struct fm_v2_reply *reply, const struct fm_v2_request *request,
                       unsigned status, const char *message);

enum { FM_V2_SEGMENTS = 6 };

/** Cut a path at its slashes. @return the number of parts, 0 for "/", -1 if a part is empty or
 * there are too many; copy holds them */
int fm_v2_split(const char *path, char *copy, size_t size, const char *part[FM_V2_SEGMENTS]);
bool fm_v2_accepts(const char *accept, const char *type);
bool fm_v2_is_type(const char *content_type, const char *type);

/** What a job hands out goes into v2->reply (v2_reply.c). */
void fm_v2_emit_name(struct fm_tlog_job *job, const char *name);
void fm_v2_emit_record(struct fm_tlog_job *job, const struct fm_tlog_stored *stored);

/** {"NAME": and the bytes as JSON, base64 (v2->binary) or null, and a comma. */
void fm_v2_put_bytes(struct fm_v2 *v2, const char *name, bool has, const char *data, size_t len);
/** Whether stored bytes are one JSON value, or there are none. */
bool fm_v2_fits_json(bool has, const char *data, size_t len);
/** A decimal number; text NULL: fallback. Cut to max. @return false: it is none */
bool fm_v2_number(const char *text, long long fallback, long long max, long long *out);

/** The body of a produce request into v2->job.records. partition: of the path, -1: none.
 * @return false: v2->reply is the answer (v2_produce.c) */
bool fm_v2_parse_body(struct fm_v2 *v2, const char *body, size_t len, int32_t partition);

#define FM_V2_TYPE "application/vnd.kafka.v2+json"
#define FM_V2_JSON "application/vnd.kafka.json.v2+json"
#define FM_V2_BINARY "application/vnd.kafka.binary.v2+json"

#endif
