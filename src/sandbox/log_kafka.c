/* Records in a real Kafka, through librdkafka: with it the sandbox is a small REST proxy.
 *
 * Jobs wait for metadata on a few worker threads (the request thread of a real proxy does that);
 * delivery reports come on the poller, and the last one of a request ends its job. Before a produce
 * the topic's metadata must be fresh, so that a dead Kafka blocks each record for the metadata
 * timeout and then looks like a missing topic, as behind the Confluent proxy. */
#include "sandbox/sandbox.h"
#include "sandbox/topic_log_priv.h"

#include <stdio.h>

#ifndef FM_HAVE_RDKAFKA

void fm_sandbox_kafka_version(char *out, size_t size)
{
    (void)snprintf(out, size, "none");
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

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "sandbox/headers_priv.h"
#include "sandbox/log_kafka_priv.h"

void fm_sandbox_kafka_version(char *out, size_t size)
{
    unsigned v = RD_KAFKA_VERSION; /* 0xMMmmrrxx */
    (void)snprintf(out, size, "%u.%u.%u", v >> 24, v >> 16 & 0xff, v >> 8 & 0xff);
}

bool fm_tlog_kafka_stopping(struct fm_tlog_kafka *k)
{
    (void)pthread_mutex_lock(&k->lock);
    bool stopping = k->stopping;
    (void)pthread_mutex_unlock(&k->lock);
    return stopping;
}

void fm_tlog_kafka_pause(struct fm_tlog_kafka *k, int64_t ms)
{
    int64_t until = fm_clock_ms() + ms;
    (void)pthread_mutex_lock(&k->lock);
    while (!k->stopping && fm_cond_wait(&k->wake, &k->lock, until))
        continue;
    (void)pthread_mutex_unlock(&k->lock);
}

/* --- metadata --- */

static int32_t cached_partitions(struct fm_tlog_kafka *k, const char *topic, int64_t max_age_ms)
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

static void remember(struct fm_tlog_kafka *k, const char *topic, int32_t partitions)
{
    (void)pthread_mutex_lock(&k->lock);
    size_t at = CACHE;
    for (size_t i = 0; i < CACHE; i++)
        if (strcmp(k->known[i].name, topic) == 0)
            at = i;
    if (at == CACHE)
        at = k->next_known++ % CACHE;
    struct fm_tlog_known *known = &k->known[at];
    (void)snprintf(known->name, sizeof known->name, "%s", topic);
    known->partitions = partitions;
    known->checked_ms = partitions > 0 ? fm_clock_ms() : 0;
    (void)pthread_mutex_unlock(&k->lock);
}

enum fm_tlog_result fm_tlog_kafka_ask(struct fm_tlog_kafka *k, const char *topic, int64_t wait_ms,
                                      int32_t *partitions)
{
    rd_kafka_topic_t *handle = k->lib.topic_new(k->rk, topic, NULL);
    if (handle == NULL)
        return FM_TLOG_NO_TOPIC;
    const struct rd_kafka_metadata *md = NULL;
    int slice = wait_ms < 1 ? 1 : wait_ms > SLICE_MS ? SLICE_MS : (int)wait_ms;
    enum fm_tlog_result result = FM_TLOG_DOWN;
    if (k->lib.metadata(k->rk, 0, handle, &md, slice) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        result = FM_TLOG_NO_TOPIC;
        if (md->topic_cnt == 1 && md->topics[0].err == RD_KAFKA_RESP_ERR_NO_ERROR &&
            md->topics[0].partition_cnt > 0) {
            result = FM_TLOG_OK;
            *partitions = md->topics[0].partition_cnt;
        } else if (md->topic_cnt == 1 &&
                   md->topics[0].err == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) {
            result = FM_TLOG_DOWN;
        }
        k->lib.metadata_destroy(md);
    }
    k->lib.topic_destroy(handle);
    remember(k, topic, result == FM_TLOG_OK ? *partitions : 0);
    return result;
}

/* Wait as the producer of a real proxy does until the topic, and the partition if one is asked
 * for, is known. @return the number of partitions, 0 if the topic stayed unknown */
static int32_t await_topic(struct fm_tlog_kafka *k, const char *topic, int32_t partition)
{
    int32_t partitions = cached_partitions(k, topic, FRESH_MS);
    int64_t until = fm_clock_ms() + k->metadata_timeout_ms;
    while (partitions == 0 || partition >= partitions) {
        int64_t left = until - fm_clock_ms();
        if (left <= 0 || fm_tlog_kafka_stopping(k))
            break;
        enum fm_tlog_result result = fm_tlog_kafka_ask(k, topic, left, &partitions);
        if (result != FM_TLOG_OK)
            partitions = 0;
        if (partitions == 0 || partition >= partitions)
            fm_tlog_kafka_pause(k, RETRY_MS);
    }
    return partitions;
}

/* --- ends of jobs --- */

static void end_work(struct fm_tlog_kafka *k, struct fm_tlog_work *work)
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

static void one_less(struct fm_tlog_kafka *k, struct fm_tlog_work *work)
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
static void refuse(struct fm_tlog_kafka *k, struct fm_tlog_job *job, size_t i,
                   rd_kafka_resp_err_t code, int32_t partition)
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
                       job->topic, (int)partition, 2 * (long long)k->metadata_timeout_ms);
        return;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        fm_tlog_refuse(v, 40301, "Not authorized to access topics: [%s]", job->topic);
        return;
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
        fm_tlog_refuse(v, 40101, "%s", k->lib.err2str(code));
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
    fm_tlog_refuse(v, is_passing(code) ? 50003 : 50002, "%s", k->lib.err2str(code));
}

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    (void)rk;
    struct fm_tlog_kafka *k = opaque;
    const struct fm_tlog_slot *slot = message->_private;
    struct fm_tlog_verdict *v = &slot->work->job->verdicts[slot->i];
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        v->partition = message->partition;
        v->offset = message->offset;
    } else {
        refuse(k, slot->work->job, slot->i, message->err, message->partition);
    }
    one_less(k, slot->work);
}

/* NULL without headers, or without memory. */
static rd_kafka_headers_t *headers_of(struct fm_tlog_kafka *k, const struct fm_tlog_record *r)
{
    const char *at = r->headers;
    size_t left = r->headers_len;
    struct fm_header h;
    rd_kafka_headers_t *headers = left > 0 ? k->lib.headers_new(8) : NULL;
    while (headers != NULL && fm_headers_next(&at, &left, &h))
        (void)k->lib.header_add(headers, h.name, (ssize_t)h.name_len, h.value,
                                (ssize_t)h.value_len);
    return headers;
}

static rd_kafka_resp_err_t enqueue(struct fm_tlog_kafka *k, struct fm_tlog_work *work, size_t i)
{
    const struct fm_tlog_record *r = &work->job->records[i];
    /* librdkafka takes a pointer with length 0 for empty, NULL for null. */
    rd_kafka_vu_t args[] = {{.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = work->job->topic},
                            {.vtype = RD_KAFKA_VTYPE_PARTITION,
                             .u.i32 = r->partition >= 0 ? r->partition : RD_KAFKA_PARTITION_UA},
                            {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
                            {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = &work->slots[i]},
                            {.vtype = RD_KAFKA_VTYPE_KEY},
                            {.vtype = RD_KAFKA_VTYPE_VALUE},
                            {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = r->time_ms},
                            {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers_of(k, r)}};
    /* The last one is given away if the call succeeds. */
    const size_t n = sizeof args / sizeof *args - (args[7].u.headers == NULL);
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
    rd_kafka_error_t *error = k->lib.produceva(k->rk, args, n);
    if (error == NULL)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    if (args[7].u.headers != NULL)
        k->lib.headers_destroy(args[7].u.headers);
    rd_kafka_resp_err_t code = k->lib.error_code(error);
    k->lib.error_destroy(error);
    return code;
}

static void send_record(struct fm_tlog_kafka *k, struct fm_tlog_work *work, size_t i)
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
    work->slots[i] = (struct fm_tlog_slot){work, i};
    atomic_fetch_add(&work->left, 1);
    rd_kafka_resp_err_t code;
    int64_t until = fm_clock_ms() + k->metadata_timeout_ms;
    while ((code = enqueue(k, work, i)) == RD_KAFKA_RESP_ERR__QUEUE_FULL && fm_clock_ms() < until &&
           !fm_tlog_kafka_stopping(k))
        fm_tlog_kafka_pause(k, 10);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        refuse(k, job, i, code, partition);
        (void)atomic_fetch_sub(&work->left, 1); /* not the last: the worker holds one itself */
    }
}

static void produce(struct fm_tlog_kafka *k, struct fm_tlog_work *work)
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

/* --- threads --- */

static void *poll_reports(void *arg)
{
    struct fm_tlog_kafka *k = arg;
    while (!atomic_load(&k->closing))
        (void)k->lib.poll(k->rk, RETRY_MS);
    return NULL;
}

static void run_job(struct fm_tlog_kafka *k, struct fm_tlog_work *work)
{
    switch (work->job->op) {
    case FM_TLOG_PRODUCE:
        produce(k, work);
        break;
    case FM_TLOG_TOPICS:
        fm_tlog_kafka_list(k, work->job);
        break;
    case FM_TLOG_TOPIC:
        fm_tlog_kafka_describe(k, work->job);
        break;
    case FM_TLOG_READ:
        fm_tlog_kafka_read(k, work->job);
        break;
    }
    one_less(k, work);
}

static void *work_loop(void *arg)
{
    struct fm_tlog_kafka *k = arg;
    (void)pthread_mutex_lock(&k->lock);
    for (;;) {
        struct fm_tlog_work *work = k->first;
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

static enum fm_tlog_result queue_work(struct fm_tlog_kafka *k, struct fm_tlog_work *work)
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
    struct fm_tlog_kafka *k = (struct fm_tlog_kafka *)tlog;
    struct fm_tlog_work *work = calloc(1, sizeof *work);
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
static bool await_idle(struct fm_tlog_kafka *k, int64_t wait_ms)
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
    struct fm_tlog_kafka *k = (struct fm_tlog_kafka *)tlog;
    (void)pthread_mutex_lock(&k->lock);
    bool again = k->stopping;
    k->stopping = true;
    (void)pthread_cond_broadcast(&k->wake);
    (void)pthread_mutex_unlock(&k->lock);
    if (again)
        return;
    if (!await_idle(k, STOP_MS)) {
        (void)k->lib.purge(k->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        while (!await_idle(k, STOP_MS))
            fm_log(k->log, FM_LOG_WARN, "sandbox: still waiting for librdkafka");
    }
}

static void close_kafka(struct fm_tlog *tlog)
{
    struct fm_tlog_kafka *k = (struct fm_tlog_kafka *)tlog;
    for (unsigned i = 0; i < k->n_workers; i++)
        (void)pthread_join(k->workers[i], NULL);
    atomic_store(&k->closing, true);
    if (k->has_poller)
        (void)pthread_join(k->poller, NULL);
    if (k->rk != NULL)
        k->lib.destroy(k->rk);
    fm_kafka_lib_close(&k->lib);
    (void)pthread_cond_destroy(&k->wake);
    (void)pthread_mutex_destroy(&k->lock);
    free(k->bootstrap);
    free(k);
}

static const struct fm_tlog_ops kafka_ops = {submit, stop, close_kafka, NULL};

/* --- opening --- */

/* What librdkafka logs beside these errors says nothing more, and its callback cannot be told where
 * to log to. */
static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    (void)rk;
    const struct fm_tlog_kafka *k = opaque;
    fm_log_limited(k->log, FM_LOG_WARN, "kafka", "kafka: %s: %s",
                   k->lib.err2name((rd_kafka_resp_err_t)code), reason);
}

static enum fm_code new_producer(struct fm_tlog_kafka *k, struct fm_err *err)
{
    char delivery[32], text[200];
    (void)snprintf(delivery, sizeof delivery, "%lld", 2 * (long long)k->metadata_timeout_ms);
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
    rd_kafka_conf_t *conf = k->lib.conf_new();
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (k->lib.conf_set(conf, settings[i][0], settings[i][1], text, sizeof text) !=
            RD_KAFKA_CONF_OK) {
            k->lib.conf_destroy(conf);
            return fm_err_set(err, FM_ECONF, "--kafka %s: %s", k->bootstrap, text);
        }
    }
    k->lib.conf_set_opaque(conf, k);
    k->lib.conf_set_dr_msg_cb(conf, on_report);
    k->lib.conf_set_log_cb(conf, NULL);
    k->lib.conf_set_error_cb(conf, on_error);
    k->rk = k->lib.new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (k->rk == NULL) {
        k->lib.conf_destroy(conf);
        return fm_err_set(err, FM_ECONF, "--kafka %s: %s", k->bootstrap, text);
    }
    return FM_OK;
}

static enum fm_code created(struct fm_tlog_kafka *k, rd_kafka_event_t *event, const char *name,
                            struct fm_err *err)
{
    if (event == NULL)
        return fm_err_set(err, FM_ETIMEOUT, "Kafka did not answer within %d s; is it running?",
                          CREATE_MS / 1000);
    size_t n = 0;
    const rd_kafka_CreateTopics_result_t *result = k->lib.event_CreateTopics_result(event);
    const rd_kafka_topic_result_t **topics =
        result == NULL ? NULL : k->lib.CreateTopics_result_topics(result, &n);
    rd_kafka_resp_err_t code = k->lib.event_error(event);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && n > 0)
        code = k->lib.topic_result_error(topics[0]);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
        return FM_OK;
    return fm_err_set(err, is_passing(code) ? FM_ETIMEOUT : FM_EREMOTE,
                      "Kafka did not create topic %s: %s", name, k->lib.err2str(code));
}

static enum fm_code create_topic(struct fm_tlog_kafka *k, const struct fm_tlog_topic *topic,
                                 struct fm_err *err)
{
    char text[200], limit[32];
    rd_kafka_NewTopic_t *fresh =
        k->lib.NewTopic_new(topic->name, topic->partitions, -1, text, sizeof text);
    if (fresh == NULL)
        return fm_err_set(err, FM_ECONF, "topic %s: %s", topic->name, text);
    (void)snprintf(limit, sizeof limit, "%lld", (long long)topic->max_message_bytes);
    if (topic->max_message_bytes != FM_TLOG_MESSAGE_BYTES)
        (void)k->lib.NewTopic_set_config(fresh, "max.message.bytes", limit);
    rd_kafka_AdminOptions_t *options =
        k->lib.AdminOptions_new(k->rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    (void)k->lib.AdminOptions_set_request_timeout(options, CREATE_MS, text, sizeof text);
    (void)k->lib.AdminOptions_set_operation_timeout(options, CREATE_MS, text, sizeof text);
    rd_kafka_queue_t *queue = k->lib.queue_new(k->rk);
    k->lib.CreateTopics(k->rk, &fresh, 1, options, queue);
    rd_kafka_event_t *event = k->lib.queue_poll(queue, CREATE_MS + SLICE_MS);
    enum fm_code code = created(k, event, topic->name, err);
    if (event != NULL)
        k->lib.event_destroy(event);
    k->lib.queue_destroy(queue);
    k->lib.AdminOptions_destroy(options);
    k->lib.NewTopic_destroy(fresh);
    return code;
}

static enum fm_code start(struct fm_tlog_kafka *k, const struct fm_tlog_opts *opts,
                          struct fm_err *err)
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
    struct fm_tlog_kafka *k = calloc(1, sizeof *k);
    if (k == NULL)
        return fm_err_nomem(err);
    enum fm_code code = fm_kafka_lib_open(&k->lib, err);
    if (code != FM_OK) {
        free(k);
        return code;
    }
    k->base.ops = &kafka_ops;
    k->last = &k->first;
    k->log = opts->log;
    k->metadata_timeout_ms = opts->metadata_timeout_ms;
    k->bootstrap = strdup(opts->kafka);
    (void)pthread_mutex_init(&k->lock, NULL);
    fm_cond_init(&k->wake);
    code = start(k, opts, err);
    if (code != FM_OK) {
        stop(&k->base);
        close_kafka(&k->base);
        return code;
    }
    *out = &k->base;
    return FM_OK;
}

#endif
