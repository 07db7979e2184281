/* Records into a real Kafka, and what became of each.
 *
 * Before a produce the topic's metadata must be fresh, so that a dead Kafka blocks each record for
 * the metadata timeout and then looks like a missing topic, as behind the Confluent proxy. */
#ifdef FM_HAVE_RDKAFKA

#include <stdlib.h>

#include "base/clock.h"
#include "sandbox/headers_priv.h"
#include "sandbox/log_kafka_priv.h"

bool fm_tlog_kafka_is_passing(rd_kafka_resp_err_t code)
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
    fm_tlog_refuse(v, fm_tlog_kafka_is_passing(code) ? 50003 : 50002, "%s", k->lib.err2str(code));
}

void fm_tlog_kafka_on_report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
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
    fm_tlog_kafka_one_less(k, slot->work);
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
    int32_t partitions = fm_tlog_kafka_await(k, job->topic, partition);
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

void fm_tlog_kafka_produce(struct fm_tlog_kafka *k, struct fm_tlog_work *work)
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

#endif
