/* Records in a real Kafka, through librdkafka: with it the sandbox is a small REST proxy.
 *
 * Jobs wait for metadata on a few worker threads (the request thread of a real proxy does that);
 * delivery reports come on the poller, and the last one of a request ends its job. Before a produce
 * the topic's metadata must be fresh, so that a dead Kafka blocks each record for the metadata
 * timeout and then looks like a missing topic, as behind the Confluent proxy. */
#include "sandbox/sandbox.h"
#include "sandbox/topic_log_priv.h"

#ifndef FM_HAVE_RDKAFKA

const char *fm_sandbox_kafka_version(void)
{
    return "none";
}

enum fm_code fm_tlog_kafka_open(struct fm_tlog **out, const struct fm_tlog_opts *opts,
                                struct fm_err *err)
{
    (void)out;
    (void)opts;
    return fm_err_set(err, FM_ECONF,
                      "--kafka: this program was built without librdkafka; install librdkafka-dev "
                      "and build again");
}

#else

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"

enum {
    WORKERS = 16,
    QUEUE_MAX = 256,     /* jobs that wait for a worker */
    FRESH_MS = 1000,     /* age of metadata that a produce trusts */
    SLICE_MS = 500,      /* longest wait inside librdkafka, so that stop is quick */
    RETRY_MS = 100,      /* between two questions for a topic that is missing */
    CREATE_MS = 30000,
    READ_MS = 5000,
    STOP_MS = 2000,
    CACHE = 64
};

struct work;

struct slot { /* one record's way back from its delivery report */
    struct work *work;
    size_t i;
};

struct work {
    struct work *next;
    struct fm_tlog_job *job;
    struct slot *slots;       /* produce */
    _Atomic size_t left;      /* reports to come, and one for the worker */
};

struct known {
    char name[FM_TLOG_NAME_MAX + 1];
    int32_t partitions;
    int64_t checked_ms; /* fm_clock_ms(); 0: never */
};

struct kafka {
    struct fm_tlog base;
    rd_kafka_t *rk;
    char *bootstrap;
    struct fm_log *log;
    int64_t metadata_timeout_ms;
    pthread_t poller, workers[WORKERS];
    unsigned n_workers;
    bool has_poller;
    _Atomic bool closing; /* ends the poller */
    pthread_mutex_t lock; /* protects all below; a leaf */
    pthread_cond_t wake;  /* a job, the stop, or a job that ended */
    struct work *first, **last;
    size_t waiting, running;
    bool stopping;
    struct known known[CACHE];
    unsigned next_known;
};

const char *fm_sandbox_kafka_version(void)
{
    return rd_kafka_version_str();
}

static bool is_stopping(struct kafka *k)
{
    (void)pthread_mutex_lock(&k->lock);
    bool stopping = k->stopping;
    (void)pthread_mutex_unlock(&k->lock);
    return stopping;
}

/* Wait a little, or until the stop. */
static void pause_ms(struct kafka *k, int64_t ms)
{
    int64_t until = fm_clock_ms() + ms;
    (void)pthread_mutex_lock(&k->lock);
    while (!k->stopping && fm_cond_wait(&k->wake, &k->lock, until))
        continue;
    (void)pthread_mutex_unlock(&k->lock);
}

/* --- metadata --- */

static int32_t cached_partitions(struct kafka *k, const char *topic, int64_t max_age_ms)
{
    int32_t partitions = 0;
    (void)pthread_mutex_lock(&k->lock);
    for (size_t i = 0; i < CACHE; i++)
        if (k->known[i].checked_ms != 0 && strcmp(k->known[i].name, topic) == 0 &&
            fm_clock_ms() - k->known[i].checked_ms <= max_age_ms)
            partitions = k->known[i].partitions;
    (void)pthread_mutex_unlock(&k->lock);
    return partitions;
}

static void remember(struct kafka *k, const char *topic, int32_t partitions)
{
    (void)pthread_mutex_lock(&k->lock);
    size_t at = CACHE;
    for (size_t i = 0; i < CACHE; i++)
        if (strcmp(k->known[i].name, topic) == 0)
            at = i;
    if (at == CACHE)
        at = k->next_known++ % CACHE;
    struct known *known = &k->known[at];
    (void)snprintf(known->name, sizeof known->name, "%s", topic);
    known->partitions = partitions;
    known->checked_ms = partitions > 0 ? fm_clock_ms() : 0;
    (void)pthread_mutex_unlock(&k->lock);
}

/* Ask a broker once. @return FM_TLOG_OK, FM_TLOG_NO_TOPIC, FM_TLOG_DOWN (no answer in time) */
static enum fm_tlog_result ask_topic(struct kafka *k, const char *topic, int64_t wait_ms,
                                     int32_t *partitions)
{
    rd_kafka_topic_t *handle = rd_kafka_topic_new(k->rk, topic, NULL);
    if (handle == NULL)
        return FM_TLOG_NO_TOPIC;
    const struct rd_kafka_metadata *md = NULL;
    int slice = wait_ms < 1 ? 1 : wait_ms > SLICE_MS ? SLICE_MS : (int)wait_ms;
    enum fm_tlog_result result = FM_TLOG_DOWN;
    if (rd_kafka_metadata(k->rk, 0, handle, &md, slice) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        result = FM_TLOG_NO_TOPIC;
        if (md->topic_cnt == 1 && md->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR &&
            md->topics[0].partition_cnt > 0) {
            result = FM_TLOG_OK;
            *partitions = md->topics[0].partition_cnt;
        } else if (md->topic_cnt == 1 &&
                   md->topics[0].err == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) {
            result = FM_TLOG_DOWN;
        }
        rd_kafka_metadata_destroy(md);
    }
    rd_kafka_topic_destroy(handle);
    remember(k, topic, result == FM_TLOG_OK ? *partitions : 0);
    return result;
}

/* Wait as the producer of a real proxy does until the topic, and the partition if one is asked
 * for, is known. @return the number of partitions, 0 if the topic stayed unknown */
static int32_t await_topic(struct kafka *k, const char *topic, int32_t partition)
{
    int32_t partitions = cached_partitions(k, topic, FRESH_MS);
    int64_t until = fm_clock_ms() + k->metadata_timeout_ms;
    while (partitions == 0 || partition >= partitions) {
        int64_t left = until - fm_clock_ms();
        if (left <= 0 || is_stopping(k))
            break;
        enum fm_tlog_result result = ask_topic(k, topic, left, &partitions);
        if (result != FM_TLOG_OK)
            partitions = 0;
        if (partitions == 0 || partition >= partitions)
            pause_ms(k, RETRY_MS);
    }
    return partitions;
}

/* --- ends of jobs --- */

static void end_work(struct kafka *k, struct work *work)
{
    struct fm_tlog_job *job = work->job;
    free(work->slots);
    free(work);
    job->done(job);
    (void)pthread_mutex_lock(&k->lock);
    k->running--;
    (void)pthread_cond_broadcast(&k->wake);
    (void)pthread_mutex_unlock(&k->lock);
}

static void one_less(struct kafka *k, struct work *work)
{
    if (atomic_fetch_sub(&work->left, 1) == 1)
        end_work(k, work);
}

/* --- produce --- */

static bool is_passing(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
    case RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        return true;
    default:
        return false;
    }
}

/* The code and text that the Confluent proxy gives (rest-proxy.md 1.3). */
static void refuse(struct kafka *k, struct fm_tlog_job *job, size_t i, rd_kafka_resp_err_t code,
                   int32_t partition)
{
    struct fm_tlog_verdict *v = &job->verdicts[i];
    switch (code) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        fm_tlog_refuse(v, 50002,
                       "The request included a message larger than the max message size the "
                       "server will accept.");
        return;
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
        fm_tlog_refuse(v, 50003,
                       "Expiring 1 record(s) for %s-%d:%lld ms has passed since batch creation. "
                       "The request has not been sent, or no server response has been received "
                       "yet.",
                       job->topic, (int)partition, (long long)(2 * k->metadata_timeout_ms));
        return;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        fm_tlog_refuse(v, 40301, "Not authorized to access topics: [%s]", job->topic);
        return;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
        fm_tlog_refuse(v, 40101, "%s", rd_kafka_err2str(code));
        return;
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
        fm_tlog_refuse(v, 50003, "The sandbox is stopping.");
        return;
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
        if (!job->records[i].has_key) {
            fm_tlog_refuse(v, 50002,
                           "Compacted topic cannot accept message without key in topic partition "
                           "%s-%d.",
                           job->topic, (int)partition);
            return;
        }
        break;
    default:
        break;
    }
    fm_tlog_refuse(v, is_passing(code) ? 50003 : 50002, "%s", rd_kafka_err2str(code));
}

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    struct kafka *k = opaque;
    const struct slot *slot = message->_private;
    struct fm_tlog_verdict *v = &slot->work->job->verdicts[slot->i];
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        v->partition = message->partition;
        v->offset = message->offset;
    } else {
        refuse(k, slot->work->job, slot->i, message->err, message->partition);
    }
    one_less(k, slot->work);
}

static rd_kafka_resp_err_t enqueue(struct kafka *k, struct work *work, size_t i)
{
    const struct fm_tlog_record *r = &work->job->records[i];
    /* librdkafka takes a pointer with length 0 for empty, NULL for null. */
    rd_kafka_vu_t args[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = work->job->topic},
        {.vtype = RD_KAFKA_VTYPE_PARTITION,
         .u.i32 = r->partition >= 0 ? r->partition : RD_KAFKA_PARTITION_UA},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = &work->slots[i]},
        {.vtype = RD_KAFKA_VTYPE_KEY}, {.vtype = RD_KAFKA_VTYPE_VALUE}};
    union {
        const char *in;
        void *out;
    } key = {r->key}, value = {r->value};
    if (r->has_key) {
        args[4].u.mem.ptr = key.out;
        args[4].u.mem.size = r->key_len;
    }
    if (r->has_value) {
        args[5].u.mem.ptr = value.out;
        args[5].u.mem.size = r->value_len;
    }
    rd_kafka_error_t *error = rd_kafka_produceva(k->rk, args, sizeof args / sizeof *args);
    if (error == NULL)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    return code;
}

static void send_record(struct kafka *k, struct work *work, size_t i)
{
    struct fm_tlog_job *job = work->job;
    if (!fm_tlog_precheck(job, i))
        return;
    int32_t partition = job->records[i].partition;
    int32_t partitions = await_topic(k, job->topic, partition);
    if (partitions == 0 || partition >= partitions) {
        if (partitions == 0)
            fm_tlog_refuse(&job->verdicts[i], 50003,
                           "Topic %s not present in metadata after %lld ms.", job->topic,
                           (long long)k->metadata_timeout_ms);
        else
            fm_tlog_refuse(&job->verdicts[i], 50003,
                           "Partition %d of topic %s with partition count %d is not present in "
                           "metadata after %lld ms.",
                           (int)partition, job->topic, (int)partitions,
                           (long long)k->metadata_timeout_ms);
        return;
    }
    work->slots[i] = (struct slot){work, i};
    atomic_fetch_add(&work->left, 1);
    rd_kafka_resp_err_t code;
    int64_t until = fm_clock_ms() + k->metadata_timeout_ms;
    while ((code = enqueue(k, work, i)) == RD_KAFKA_RESP_ERR__QUEUE_FULL &&
           fm_clock_ms() < until && !is_stopping(k))
        pause_ms(k, 10);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        refuse(k, job, i, code, partition);
        one_less(k, work);
    }
}

static void produce(struct kafka *k, struct work *work)
{
    struct fm_tlog_job *job = work->job;
    work->slots = calloc(job->n + 1, sizeof *work->slots);
    if (work->slots == NULL) {
        job->result = FM_TLOG_BUSY;
        return;
    }
    for (size_t i = 0; i < job->n; i++)
        send_record(k, work, i);
}

/* --- the other jobs --- */

static void set_down(struct fm_tlog_job *job)
{
    job->result = FM_TLOG_DOWN;
    (void)snprintf(job->error, sizeof job->error,
                   "Timed out waiting for a node assignment. Call: listNodes");
}

/* The value of max.message.bytes, or Kafka's default where it cannot be had. */
static int64_t read_limit(const rd_kafka_event_t *event)
{
    int64_t limit = FM_TLOG_MESSAGE_BYTES;
    const rd_kafka_DescribeConfigs_result_t *result =
        event == NULL ? NULL : rd_kafka_event_DescribeConfigs_result((rd_kafka_event_t *)(uintptr_t)event);
    size_t n = 0;
    const rd_kafka_ConfigResource_t **resources =
        result == NULL ? NULL : rd_kafka_DescribeConfigs_result_resources(result, &n);
    if (n == 0)
        return limit;
    size_t entries = 0;
    const rd_kafka_ConfigEntry_t **configs = rd_kafka_ConfigResource_configs(resources[0], &entries);
    for (size_t i = 0; i < entries; i++)
        if (strcmp(rd_kafka_ConfigEntry_name(configs[i]), "max.message.bytes") == 0 &&
            rd_kafka_ConfigEntry_value(configs[i]) != NULL)
            limit = strtoll(rd_kafka_ConfigEntry_value(configs[i]), NULL, 10);
    return limit > 0 ? limit : FM_TLOG_MESSAGE_BYTES;
}

static int64_t message_limit(struct kafka *k, const char *topic, int timeout_ms)
{
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(k->rk);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(k->rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    char text[128];
    (void)rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text, sizeof text);
    rd_kafka_DescribeConfigs(k->rk, &resource, 1, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms + SLICE_MS);
    int64_t limit = read_limit(event);
    if (event != NULL)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    rd_kafka_ConfigResource_destroy(resource);
    return limit;
}

static void describe(struct kafka *k, struct fm_tlog_job *job)
{
    if (!fm_tlog_name_ok(job->topic)) {
        job->result = FM_TLOG_NO_TOPIC;
        return;
    }
    int64_t until = fm_clock_ms() + k->metadata_timeout_ms;
    for (;;) {
        int64_t left = until - fm_clock_ms();
        if (left <= 0 || is_stopping(k)) {
            set_down(job);
            return;
        }
        job->result = ask_topic(k, job->topic, left, &job->partitions);
        if (job->result != FM_TLOG_DOWN)
            break;
        pause_ms(k, RETRY_MS);
    }
    if (job->result == FM_TLOG_OK)
        job->max_message_bytes = message_limit(k, job->topic, 3000);
}

static void list(struct kafka *k, struct fm_tlog_job *job)
{
    const struct rd_kafka_metadata *md = NULL;
    int64_t until = fm_clock_ms() + k->metadata_timeout_ms;
    rd_kafka_resp_err_t code;
    do
        code = rd_kafka_metadata(k->rk, 1, NULL, &md, SLICE_MS);
    while (code != RD_KAFKA_RESP_ERR_NO_ERROR && fm_clock_ms() < until && !is_stopping(k));
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        set_down(job);
        return;
    }
    for (int i = 0; i < md->topic_cnt; i++)
        if (strncmp(md->topics[i].topic, "__", 2) != 0)
            job->emit_name(job, md->topics[i].topic);
    rd_kafka_metadata_destroy(md);
}

static rd_kafka_t *new_consumer(struct kafka *k)
{
    static const char *const settings[][2] = {{"group.id", "firstmile-sandbox"},
                                              {"enable.auto.commit", "false"},
                                              {"enable.partition.eof", "true"},
                                              {"allow.auto.create.topics", "false"}};
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    (void)rd_kafka_conf_set(conf, "bootstrap.servers", k->bootstrap, text, sizeof text);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        (void)rd_kafka_conf_set(conf, settings[i][0], settings[i][1], text, sizeof text);
    rd_kafka_t *consumer = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
    if (consumer == NULL)
        rd_kafka_conf_destroy(conf);
    return consumer;
}

static void emit_message(struct fm_tlog_job *job, const rd_kafka_message_t *m)
{
    struct fm_tlog_stored stored = {.offset = m->offset,
                                    .time_ms = rd_kafka_message_timestamp(m, NULL),
                                    .key = m->key,
                                    .key_len = m->key_len,
                                    .value = m->payload,
                                    .value_len = m->len,
                                    .has_key = m->key != NULL,
                                    .has_value = m->payload != NULL};
    job->emit_record(job, &stored);
}

static void consume(struct kafka *k, rd_kafka_t *consumer, struct fm_tlog_job *job)
{
    int64_t start = job->offset > job->beginning ? job->offset : job->beginning;
    rd_kafka_topic_partition_list_t *list_of_one = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list_of_one, job->topic, job->partition)->offset = start;
    (void)rd_kafka_assign(consumer, list_of_one);
    rd_kafka_topic_partition_list_destroy(list_of_one);
    int64_t until = fm_clock_ms() + READ_MS;
    int64_t next = start;
    for (size_t n = 0; n < job->max && next < job->end && fm_clock_ms() < until &&
                       !is_stopping(k);) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(consumer, RETRY_MS);
        if (m == NULL)
            continue;
        if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            next = job->end;
        } else if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            emit_message(job, m);
            next = m->offset + 1;
            n++;
        }
        rd_kafka_message_destroy(m);
    }
}

static void read_back(struct kafka *k, struct fm_tlog_job *job)
{
    describe(k, job);
    if (job->result == FM_TLOG_OK && (job->partition < 0 || job->partition >= job->partitions))
        job->result = FM_TLOG_NO_PARTITION;
    if (job->result != FM_TLOG_OK)
        return;
    if (rd_kafka_query_watermark_offsets(k->rk, job->topic, job->partition, &job->beginning,
                                         &job->end, READ_MS) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        set_down(job);
        return;
    }
    if (job->max == 0)
        return;
    rd_kafka_t *consumer = new_consumer(k);
    if (consumer == NULL) {
        set_down(job);
        return;
    }
    consume(k, consumer, job);
    (void)rd_kafka_consumer_close(consumer);
    rd_kafka_destroy(consumer);
}

/* --- threads --- */

static void *poll_reports(void *arg)
{
    struct kafka *k = arg;
    while (!atomic_load(&k->closing))
        (void)rd_kafka_poll(k->rk, RETRY_MS);
    return NULL;
}

static void run_job(struct kafka *k, struct work *work)
{
    switch (work->job->op) {
    case FM_TLOG_PRODUCE:
        produce(k, work);
        break;
    case FM_TLOG_TOPICS:
        list(k, work->job);
        break;
    case FM_TLOG_TOPIC:
        describe(k, work->job);
        break;
    case FM_TLOG_READ:
        read_back(k, work->job);
        break;
    }
    one_less(k, work);
}

static void *work_loop(void *arg)
{
    struct kafka *k = arg;
    (void)pthread_mutex_lock(&k->lock);
    for (;;) {
        struct work *work = k->first;
        if (work == NULL) {
            if (k->stopping)
                break;
            (void)fm_cond_wait(&k->wake, &k->lock, 0);
            continue;
        }
        k->first = work->next;
        if (k->first == NULL)
            k->last = &k->first;
        k->waiting--;
        (void)pthread_mutex_unlock(&k->lock);
        run_job(k, work);
        (void)pthread_mutex_lock(&k->lock);
    }
    (void)pthread_mutex_unlock(&k->lock);
    return NULL;
}

static enum fm_tlog_result queue_work(struct kafka *k, struct work *work)
{
    enum fm_tlog_result result = FM_TLOG_OK;
    (void)pthread_mutex_lock(&k->lock);
    if (k->stopping) {
        result = FM_TLOG_STOPPING;
    } else if (k->waiting >= QUEUE_MAX) {
        result = FM_TLOG_BUSY;
    } else {
        *k->last = work;
        k->last = &work->next;
        k->waiting++;
        k->running++;
        /* Others wait on it too, so that one wake-up could be lost on them. */
        (void)pthread_cond_broadcast(&k->wake);
    }
    (void)pthread_mutex_unlock(&k->lock);
    return result;
}

static void submit(struct fm_tlog *tlog, struct fm_tlog_job *job)
{
    struct kafka *k = (struct kafka *)tlog;
    struct work *work = calloc(1, sizeof *work);
    enum fm_tlog_result result = FM_TLOG_BUSY;
    if (work != NULL) {
        work->job = job;
        atomic_init(&work->left, 1);
        result = queue_work(k, work);
    }
    if (result != FM_TLOG_OK) {
        free(work);
        job->result = result;
        job->done(job);
    }
}

/* @return whether no job is left */
static bool await_idle(struct kafka *k, int64_t wait_ms)
{
    int64_t until = fm_clock_ms() + wait_ms;
    (void)pthread_mutex_lock(&k->lock);
    while (k->running > 0 && fm_cond_wait(&k->wake, &k->lock, until))
        continue;
    bool idle = k->running == 0;
    (void)pthread_mutex_unlock(&k->lock);
    return idle;
}

static void stop(struct fm_tlog *tlog)
{
    struct kafka *k = (struct kafka *)tlog;
    (void)pthread_mutex_lock(&k->lock);
    bool again = k->stopping;
    k->stopping = true;
    (void)pthread_cond_broadcast(&k->wake);
    (void)pthread_mutex_unlock(&k->lock);
    if (again)
        return;
    if (!await_idle(k, STOP_MS)) {
        (void)rd_kafka_purge(k->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        while (!await_idle(k, STOP_MS))
            fm_log(k->log, FM_LOG_WARN, "sandbox: still waiting for librdkafka");
    }
}

static void close_kafka(struct fm_tlog *tlog)
{
    struct kafka *k = (struct kafka *)tlog;
    for (unsigned i = 0; i < k->n_workers; i++)
        (void)pthread_join(k->workers[i], NULL);
    atomic_store(&k->closing, true);
    if (k->has_poller)
        (void)pthread_join(k->poller, NULL);
    if (k->rk != NULL)
        rd_kafka_destroy(k->rk);
    (void)pthread_cond_destroy(&k->wake);
    (void)pthread_mutex_destroy(&k->lock);
    free(k->bootstrap);
    free(k);
}

static const struct fm_tlog_ops kafka_ops = {submit, stop, close_kafka, NULL};

/* --- opening --- */

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    const struct kafka *k = rd_kafka_opaque(rk);
    if (k != NULL)
        fm_log_limited(k->log, level <= 4 ? FM_LOG_WARN : FM_LOG_DEBUG, facility, "kafka: %s",
                       text);
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    (void)rk;
    const struct kafka *k = opaque;
    fm_log_limited(k->log, FM_LOG_WARN, "kafka", "kafka: %s: %s",
                   rd_kafka_err2name((rd_kafka_resp_err_t)code), reason);
}

static enum fm_code new_producer(struct kafka *k, struct fm_err *err)
{
    char delivery[32], text[200];
    (void)snprintf(delivery, sizeof delivery, "%lld", (long long)(2 * k->metadata_timeout_ms));
    /* One request in flight keeps the order; the rest is as the Java producer has it. */
    const char *const settings[][2] = {{"bootstrap.servers", k->bootstrap},
                                       {"client.id", "firstmile-sandbox"},
                                       {"acks", "all"},
                                       {"linger.ms", "5"},
                                       {"batch.size", "16384"},
                                       {"message.max.bytes", "1048576"},
                                       {"message.timeout.ms", delivery},
                                       {"max.in.flight.requests.per.connection", "1"},
                                       {"allow.auto.create.topics", "false"},
                                       {"partitioner", "murmur2_random"},
                                       {"queue.buffering.max.kbytes", "65536"},
                                       {"reconnect.backoff.ms", "50"},
                                       {"reconnect.backoff.max.ms", "1000"},
                                       {"log.connection.close", "false"}};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], text, sizeof text) !=
            RD_KAFKA_CONF_OK) {
            rd_kafka_conf_destroy(conf);
            return fm_err_set(err, FM_ECONF, "--kafka %s: %s", k->bootstrap, text);
        }
    }
    rd_kafka_conf_set_opaque(conf, k);
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
    k->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (k->rk == NULL) {
        rd_kafka_conf_destroy(conf);
        return fm_err_set(err, FM_ECONF, "--kafka %s: %s", k->bootstrap, text);
    }
    return FM_OK;
}

static enum fm_code created(const rd_kafka_event_t *event, const char *name, struct fm_err *err)
{
    if (event == NULL)
        return fm_err_set(err, FM_ETIMEOUT, "Kafka did not answer within %d s; is it running?",
                          CREATE_MS / 1000);
    union {
        const rd_kafka_event_t *in;
        rd_kafka_event_t *out;
    } e = {event};
    size_t n = 0;
    const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(e.out);
    const rd_kafka_topic_result_t **topics =
        result == NULL ? NULL : rd_kafka_CreateTopics_result_topics(result, &n);
    rd_kafka_resp_err_t code = rd_kafka_event_error(e.out);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && n > 0)
        code = rd_kafka_topic_result_error(topics[0]);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
        return FM_OK;
    return fm_err_set(err, is_passing(code) ? FM_ETIMEOUT : FM_EREMOTE,
                      "Kafka did not create topic %s: %s", name, rd_kafka_err2str(code));
}

static enum fm_code create_topic(struct kafka *k, const struct fm_tlog_topic *topic,
                                 struct fm_err *err)
{
    char text[200], limit[32];
    rd_kafka_NewTopic_t *fresh =
        rd_kafka_NewTopic_new(topic->name, topic->partitions, -1, text, sizeof text);
    if (fresh == NULL)
        return fm_err_set(err, FM_ECONF, "topic %s: %s", topic->name, text);
    (void)snprintf(limit, sizeof limit, "%lld", (long long)topic->max_message_bytes);
    if (topic->max_message_bytes != FM_TLOG_MESSAGE_BYTES)
        (void)rd_kafka_NewTopic_set_config(fresh, "max.message.bytes", limit);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(k->rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    (void)rd_kafka_AdminOptions_set_request_timeout(options, CREATE_MS, text, sizeof text);
    (void)rd_kafka_AdminOptions_set_operation_timeout(options, CREATE_MS, text, sizeof text);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(k->rk);
    rd_kafka_CreateTopics(k->rk, &fresh, 1, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, CREATE_MS + SLICE_MS);
    enum fm_code code = created(event, topic->name, err);
    if (event != NULL)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_NewTopic_destroy(fresh);
    return code;
}

static enum fm_code start(struct kafka *k, const struct fm_tlog_opts *opts, struct fm_err *err)
{
    if (k->bootstrap == NULL)
        return fm_err_nomem(err);
    FM_TRY(new_producer(k, err));
    FM_TRY(fm_thread_start(&k->poller, "sandbox-kafka", poll_reports, k, err));
    k->has_poller = true;
    for (size_t i = 0; i < opts->n_topics; i++)
        FM_TRY(create_topic(k, &opts->topics[i], err));
    while (k->n_workers < WORKERS) {
        FM_TRY(fm_thread_start(&k->workers[k->n_workers], "sandbox-work", work_loop, k, err));
        k->n_workers++;
    }
    return FM_OK;
}

enum fm_code fm_tlog_kafka_open(struct fm_tlog **out, const struct fm_tlog_opts *opts,
                                struct fm_err *err)
{
    struct kafka *k = calloc(1, sizeof *k);
    if (k == NULL)
        return fm_err_nomem(err);
    k->base.ops = &kafka_ops;
    k->last = &k->first;
    k->log = opts->log;
    k->metadata_timeout_ms = opts->metadata_timeout_ms;
    k->bootstrap = strdup(opts->kafka);
    (void)pthread_mutex_init(&k->lock, NULL);
    fm_cond_init(&k->wake);
    enum fm_code code = start(k, opts, err);
    if (code != FM_OK) {
        stop(&k->base);
        close_kafka(&k->base);
        return code;
    }
    *out = &k->base;
    return FM_OK;
}

#endif
