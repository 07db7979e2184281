/* The Kafka store's jobs that only look: topics, partitions, the size limit, reading back. */
#ifdef FM_HAVE_RDKAFKA

#include "sandbox/headers_priv.h"
#include "sandbox/log_kafka_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static void set_down(struct fm_tlog_job *job)
{
    job->result = FM_TLOG_DOWN;
    (void)snprintf(job->error, sizeof job->error,
                   "Timed out waiting for a node assignment. Call: listNodes");
}

/* The value of max.message.bytes, or Kafka's default where it cannot be had. */
static int64_t read_limit(struct fm_tlog_kafka *k, rd_kafka_event_t *event)
{
    int64_t limit = FM_TLOG_MESSAGE_BYTES;
    const rd_kafka_DescribeConfigs_result_t *result =
        event == NULL ? NULL : k->lib.event_DescribeConfigs_result(event);
    size_t n = 0;
    const rd_kafka_ConfigResource_t **resources =
        result == NULL ? NULL : k->lib.DescribeConfigs_result_resources(result, &n);
    if (n == 0)
        return limit;
    size_t entries = 0;
    const rd_kafka_ConfigEntry_t **configs = k->lib.ConfigResource_configs(resources[0], &entries);
    for (size_t i = 0; i < entries; i++)
        if (strcmp(k->lib.ConfigEntry_name(configs[i]), "max.message.bytes") == 0 &&
            k->lib.ConfigEntry_value(configs[i]) != NULL)
            limit = strtoll(k->lib.ConfigEntry_value(configs[i]), NULL, 10);
    return limit > 0 ? limit : FM_TLOG_MESSAGE_BYTES;
}

static int64_t message_limit(struct fm_tlog_kafka *k, const char *topic, int timeout_ms)
{
    rd_kafka_ConfigResource_t *resource = k->lib.ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_queue_t *queue = k->lib.queue_new(k->rk);
    rd_kafka_AdminOptions_t *options =
        k->lib.AdminOptions_new(k->rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    char text[128];
    (void)k->lib.AdminOptions_set_request_timeout(options, timeout_ms, text, sizeof text);
    k->lib.DescribeConfigs(k->rk, &resource, 1, options, queue);
    rd_kafka_event_t *event = k->lib.queue_poll(queue, timeout_ms + SLICE_MS);
    int64_t limit = read_limit(k, event);
    if (event != NULL)
        k->lib.event_destroy(event);
    k->lib.AdminOptions_destroy(options);
    k->lib.queue_destroy(queue);
    k->lib.ConfigResource_destroy(resource);
    return limit;
}

static void find(struct fm_tlog_kafka *k, struct fm_tlog_job *job)
{
    if (!fm_tlog_name_ok(job->topic)) {
        job->result = FM_TLOG_NO_TOPIC;
        return;
    }
    int64_t until = fm_clock_ms() + k->metadata_timeout_ms;
    for (;;) {
        int64_t left = until - fm_clock_ms();
        if (left <= 0 || fm_tlog_kafka_stopping(k)) {
            set_down(job);
            return;
        }
        job->result = fm_tlog_kafka_ask(k, job->topic, left, &job->partitions);
        if (job->result != FM_TLOG_DOWN)
            break;
        fm_tlog_kafka_pause(k, RETRY_MS);
    }
}

void fm_tlog_kafka_describe(struct fm_tlog_kafka *k, struct fm_tlog_job *job)
{
    find(k, job);
    if (job->result == FM_TLOG_OK && job->want_limit)
        job->max_message_bytes = message_limit(
            k, job->topic,
            k->metadata_timeout_ms < LIMIT_MS ? (int)k->metadata_timeout_ms : LIMIT_MS);
}

void fm_tlog_kafka_list(struct fm_tlog_kafka *k, struct fm_tlog_job *job)
{
    const struct rd_kafka_metadata *md = NULL;
    int64_t until = fm_clock_ms() + k->metadata_timeout_ms;
    rd_kafka_resp_err_t code;
    do
        code = k->lib.metadata(k->rk, 1, NULL, &md, SLICE_MS);
    while (code != RD_KAFKA_RESP_ERR_NO_ERROR && fm_clock_ms() < until &&
           !fm_tlog_kafka_stopping(k));
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        set_down(job);
        return;
    }
    for (int i = 0; i < md->topic_cnt; i++)
        if (strncmp(md->topics[i].topic, "__", 2) != 0)
            job->emit_name(job, md->topics[i].topic);
    k->lib.metadata_destroy(md);
}

static rd_kafka_t *new_consumer(struct fm_tlog_kafka *k)
{
    static const char *const settings[][2] = {{"group.id", "firstmile-sandbox"},
                                              {"enable.auto.commit", "false"},
                                              {"enable.partition.eof", "true"},
                                              {"allow.auto.create.topics", "false"}};
    char text[256];
    rd_kafka_conf_t *conf = k->lib.conf_new();
    (void)k->lib.conf_set(conf, "bootstrap.servers", k->bootstrap, text, sizeof text);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        (void)k->lib.conf_set(conf, settings[i][0], settings[i][1], text, sizeof text);
    rd_kafka_t *consumer = k->lib.new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
    if (consumer == NULL)
        k->lib.conf_destroy(conf);
    return consumer;
}

static void pack_headers(struct fm_tlog_kafka *k, const rd_kafka_message_t *m, struct fm_buf *out)
{
    rd_kafka_headers_t *headers;
    struct fm_header h;
    const void *value;
    if (k->lib.message_headers(m, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    for (size_t i = 0; k->lib.header_get_all(headers, i, &h.name, &value, &h.value_len) ==
                       RD_KAFKA_RESP_ERR_NO_ERROR;
         i++) {
        h.name_len = strlen(h.name);
        h.value = value;
        fm_headers_put(out, &h);
    }
}

static void emit_message(struct fm_tlog_kafka *k, struct fm_tlog_job *job,
                         const rd_kafka_message_t *m)
{
    struct fm_buf headers;
    fm_buf_init(&headers, 0);
    pack_headers(k, m, &headers);
    struct fm_tlog_stored stored = {.offset = m->offset,
                                    .time_ms = k->lib.message_timestamp(m, NULL),
                                    .key = m->key,
                                    .key_len = m->key_len,
                                    .value = m->payload,
                                    .value_len = m->len,
                                    .has_key = m->key != NULL,
                                    .has_value = m->payload != NULL,
                                    .headers = headers.data,
                                    .headers_len = headers.len};
    job->emit_record(job, &stored);
    fm_buf_clear(&headers);
}

static void consume(struct fm_tlog_kafka *k, rd_kafka_t *consumer, struct fm_tlog_job *job)
{
    int64_t start = job->offset > job->beginning ? job->offset : job->beginning;
    rd_kafka_topic_partition_list_t *list_of_one = k->lib.topic_partition_list_new(1);
    k->lib.topic_partition_list_add(list_of_one, job->topic, job->partition)->offset = start;
    (void)k->lib.assign(consumer, list_of_one);
    k->lib.topic_partition_list_destroy(list_of_one);
    int64_t until = fm_clock_ms() + READ_MS;
    int64_t next = start;
    for (size_t n = 0;
         n < job->max && next < job->end && fm_clock_ms() < until && !fm_tlog_kafka_stopping(k);) {
        rd_kafka_message_t *m = k->lib.consumer_poll(consumer, RETRY_MS);
        if (m == NULL)
            continue;
        if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            next = job->end;
        } else if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            emit_message(k, job, m);
            next = m->offset + 1;
            n++;
        }
        k->lib.message_destroy(m);
    }
}

void fm_tlog_kafka_read(struct fm_tlog_kafka *k, struct fm_tlog_job *job)
{
    find(k, job);
    if (job->result == FM_TLOG_OK && (job->partition < 0 || job->partition >= job->partitions))
        job->result = FM_TLOG_NO_PARTITION;
    if (job->result != FM_TLOG_OK)
        return;
    if (k->lib.query_watermark_offsets(k->rk, job->topic, job->partition, &job->beginning,
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
    (void)k->lib.consumer_close(consumer);
    k->lib.destroy(consumer);
}

#else
/* ISO C wants a declaration in every file. */
extern const int fm_tlog_kafka_read_is_empty;
#endif
