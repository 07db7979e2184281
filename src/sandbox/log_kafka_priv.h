/* sandbox/log_kafka_priv.h - the Kafka store's own parts, shared by its files. */
#ifndef FM_SANDBOX_LOG_KAFKA_PRIV_H
#define FM_SANDBOX_LOG_KAFKA_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "sandbox/log_kafka_lib_priv.h"
#include "sandbox/topic_log_priv.h"

enum {
    WORKERS = 16,
    QUEUE_MAX = 256, /* jobs that wait for a worker */
    FRESH_MS = 1000, /* age of metadata that a produce trusts */
    SLICE_MS = 500, /* longest wait inside librdkafka, so that stop is quick */
    RETRY_MS = 100, /* between two questions for a topic that is missing */
    CREATE_MS = 30000,
    LIMIT_MS = 3000, /* for the size limit of a topic, which can be done without */
    READ_MS = 5000,
    STOP_MS = 2000,
    CACHE = 64
};

struct fm_tlog_work;

struct fm_tlog_slot { /* one record's way back from its delivery report */
    struct fm_tlog_work *work;
    size_t i;
};

struct fm_tlog_work {
    struct fm_tlog_work *next;
    struct fm_tlog_job *job;
    struct fm_tlog_slot *slots; /* produce */
    _Atomic size_t left; /* reports to come, and one for the worker */
};

struct fm_tlog_known {
    char name[FM_TLOG_NAME_MAX + 1];
    int32_t partitions;
    int64_t checked_ms; /* fm_clock_ms(); 0: never */
};

struct fm_tlog_kafka {
    struct fm_tlog base;
    struct fm_kafka_lib lib;
    rd_kafka_t *rk;
    char *bootstrap;
    struct fm_log *log;
    int64_t metadata_timeout_ms;
    pthread_t poller, workers[WORKERS];
    unsigned n_workers;
    bool has_poller;
    _Atomic bool closing; /* ends the poller */
    pthread_mutex_t lock; /* protects all below; a leaf */
    pthread_cond_t wake; /* a job, the stop, or a job that ended */
    struct fm_tlog_work *first, **last;
    size_t waiting, running;
    bool stopping;
    struct fm_tlog_known known[CACHE];
    unsigned next_known;
};

bool fm_tlog_kafka_stopping(struct fm_tlog_kafka *k);

/* Wait a little, or until the stop. */
void fm_tlog_kafka_pause(struct fm_tlog_kafka *k, int64_t ms);

/* A report came, or the worker is through: the last of them ends the job. */
void fm_tlog_kafka_one_less(struct fm_tlog_kafka *k, struct fm_tlog_work *work);

/* ---- log_kafka_topic.c ---- */

/* Ask a broker for a topic once. @return FM_TLOG_OK, FM_TLOG_NO_TOPIC or FM_TLOG_DOWN (no answer
 * in time) */
enum fm_tlog_result fm_tlog_kafka_ask(struct fm_tlog_kafka *k, const char *topic, int64_t wait_ms,
                                      int32_t *partitions);

/* Wait as the producer of a real proxy does until the topic, and the partition if one is asked
 * for, is known. @return the number of partitions, 0 if the topic stayed unknown */
int32_t fm_tlog_kafka_await(struct fm_tlog_kafka *k, const char *topic, int32_t partition);

/* Make a topic, if there is none of that name. Blocks up to CREATE_MS. */
FM_MUST_USE enum fm_code fm_tlog_kafka_create(struct fm_tlog_kafka *k,
                                              const struct fm_tlog_topic *topic,
                                              struct fm_err *err);

/* ---- log_kafka_produce.c ---- */

/* Hand the job's records to librdkafka; blocks while a topic is waited for. */
void fm_tlog_kafka_produce(struct fm_tlog_kafka *k, struct fm_tlog_work *work);

/* Its delivery reports, on the poller. */
void fm_tlog_kafka_on_report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque);

/* Whether an error may be gone at the next try. */
bool fm_tlog_kafka_is_passing(rd_kafka_resp_err_t code);

/* The jobs that only look (log_kafka_read.c); they block. */
void fm_tlog_kafka_describe(struct fm_tlog_kafka *k, struct fm_tlog_job *job);
void fm_tlog_kafka_list(struct fm_tlog_kafka *k, struct fm_tlog_job *job);
void fm_tlog_kafka_read(struct fm_tlog_kafka *k, struct fm_tlog_job *job);

#endif
