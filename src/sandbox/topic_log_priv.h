/* sandbox/topic_log_priv.h - where the sandbox keeps records: one interface, three stores.
 *
 * Work comes as jobs. A store runs a job at once or on threads of its own, fills in the result and
 * calls job->done(job) exactly once, from whatever thread; it never touches the job again. */
#ifndef FM_SANDBOX_TOPIC_LOG_PRIV_H
#define FM_SANDBOX_TOPIC_LOG_PRIV_H

#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "firstmile/err.h"

enum fm_tlog_op {
    FM_TLOG_PRODUCE,
    FM_TLOG_TOPICS, /* the names: emit_name for each */
    FM_TLOG_TOPIC, /* does it exist, how many partitions */
    FM_TLOG_READ /* records of one partition: emit_record for each; and its offsets */
};

enum fm_tlog_result {
    FM_TLOG_OK,
    FM_TLOG_NO_TOPIC,
    FM_TLOG_NO_PARTITION,
    FM_TLOG_DOWN, /* Kafka did not answer in time; job->error has the text */
    FM_TLOG_BUSY, /* too much waits already */
    FM_TLOG_STOPPING,
    FM_TLOG_FAILED /* job->error has the text */
};

/* The record is the job's caller's; the store copies what it keeps. */
struct fm_tlog_record {
    const char *key;
    size_t key_len;
    const char *value;
    size_t value_len;
    bool has_key;
    bool has_value;
    int32_t partition; /* -1: the store chooses, by the key */
    int64_t time_ms; /* 0: now */
    const char *headers; /* as headers_priv.h packs them */
    size_t headers_len;
    const char *json; /* the value as it was sent, where that is not what is stored; NULL */
    size_t json_len;
};

struct fm_tlog_verdict {
    int32_t partition;
    int64_t offset;
    int error_code; /* 0: stored. Preset by the caller: the store leaves the record alone */
    char *error; /* heap; NULL with error_code 0 or without memory */
};

struct fm_tlog_stored {
    int64_t offset;
    int64_t time_ms;
    const char *key;
    size_t key_len;
    const char *value;
    size_t value_len;
    bool has_key;
    bool has_value;
    const char *headers; /* as headers_priv.h packs them */
    size_t headers_len;
};

enum { FM_TLOG_NAME_MAX = 249 }; /* Kafka's limit */

struct fm_tlog_job {
    enum fm_tlog_op op;
    char topic[1024]; /* as asked for, cut; may be no legal name */
    bool illegal; /* Kafka takes no such name */
    int32_t partition; /* READ */
    struct fm_tlog_record *records;
    struct fm_tlog_verdict *verdicts; /* n, zeroed or preset */
    size_t n;
    int64_t offset; /* READ: first wanted; below the beginning: the beginning */
    size_t max; /* READ: records at most; emit_record may set it to 0 to stop */
    bool want_limit; /* TOPIC: max_message_bytes too, which may cost another question */
    void (*emit_name)(struct fm_tlog_job *job, const char *name);
    void (*emit_record)(struct fm_tlog_job *job, const struct fm_tlog_stored *record);
    void (*done)(struct fm_tlog_job *job);
    /* results */
    enum fm_tlog_result result;
    char error[256];
    int64_t block_ms; /* the answer is due only after this, as if the store had waited */
    int32_t partitions;
    int64_t max_message_bytes;
    int64_t beginning, end; /* READ */
};

struct fm_tlog; /* a store; its first member is ops */

struct fm_tlog_ops {
    void (*submit)(struct fm_tlog *tlog, struct fm_tlog_job *job);
    void (*stop)(struct fm_tlog *tlog); /* end all jobs soon; those to come get STOPPING */
    void (*close)(struct fm_tlog *tlog); /* after stop, nobody inside; frees */
    void (*kept)(struct fm_tlog *tlog, uint64_t *records, uint64_t *bytes); /* NULL: not counted */
};

struct fm_tlog {
    const struct fm_tlog_ops *ops;
};

struct fm_tlog_topic {
    char name[FM_TLOG_NAME_MAX + 1];
    int32_t partitions;
    int64_t max_message_bytes;
};

struct fm_tlog_opts {
    const struct fm_tlog_topic *topics; /* borrowed for the call */
    size_t n_topics;
    bool no_create;
    int64_t metadata_timeout_ms;
    size_t max_bytes;
    const char *data_dir;
    const char *kafka;
    struct fm_log *log;
};

FM_MUST_USE enum fm_code fm_tlog_memory_open(struct fm_tlog **out, const struct fm_tlog_opts *opts,
                                             struct fm_err *err);
FM_MUST_USE enum fm_code fm_tlog_sqlite_open(struct fm_tlog **out, const struct fm_tlog_opts *opts,
                                             struct fm_err *err);
/** @return FM_ECONF also when the program was built without librdkafka */
FM_MUST_USE enum fm_code fm_tlog_kafka_open(struct fm_tlog **out, const struct fm_tlog_opts *opts,
                                            struct fm_err *err);

/* What the stores share (topic_log.c). */

/* Kafka's grammar for names. */
bool fm_tlog_name_ok(const char *name);

/* "NAME[:PARTITIONS[:MAX_MESSAGE_BYTES]]" */
FM_MUST_USE enum fm_code fm_tlog_topic_parse(struct fm_tlog_topic *out, const char *text,
                                             struct fm_err *err);

/* Give a record its error. text is a printf format. */
void fm_tlog_refuse(struct fm_tlog_verdict *verdict, int error_code, const char *fmt, ...)
    FM_PRINTF(3, 4);

/* The refusals of a proxy's own producer, for which nothing need be asked: an illegal name, a
 * record above max.request.size. @return false if the record was refused */
bool fm_tlog_precheck(const struct fm_tlog_job *job, size_t i);

/* As fm_tlog_precheck(), and those that a broker would give: partition, size limit of the topic.
 * Adds to job->block_ms what a real proxy would have waited. */
bool fm_tlog_check(struct fm_tlog_job *job, size_t i, const struct fm_tlog_topic *topic,
                   int64_t metadata_timeout_ms);

/* Refuse every record not refused yet: the topic is unknown. Adds to job->block_ms. */
void fm_tlog_refuse_all(struct fm_tlog_job *job, int64_t metadata_timeout_ms);

/* Kafka's "The message is N bytes when serialized": the upper bound of its record batch. */
size_t fm_tlog_serialized(const struct fm_tlog_record *record);

/* The partition of a record that does not name one: the key's hash, or turn without a key. */
int32_t fm_tlog_partition(const struct fm_tlog_record *record, int32_t partitions, uint32_t turn);

/* max.message.bytes of a topic that sets none. */
enum { FM_TLOG_MESSAGE_BYTES = 1048588, FM_TLOG_REQUEST_BYTES = 1048576 };

#endif
