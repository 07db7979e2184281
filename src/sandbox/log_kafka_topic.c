/* Topics of a real Kafka: what is known of them and for how long, waiting for one, making one. */
#ifdef FM_HAVE_RDKAFKA

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "sandbox/log_kafka_priv.h"

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

int32_t fm_tlog_kafka_await(struct fm_tlog_kafka *k, const char *topic, int32_t partition)
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

/* --- creating --- */

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
    return fm_err_set(err, fm_tlog_kafka_is_passing(code) ? FM_ETIMEOUT : FM_EREMOTE,
                      "Kafka did not create topic %s: %s", name, k->lib.err2str(code));
}

enum fm_code fm_tlog_kafka_create(struct fm_tlog_kafka *k, const struct fm_tlog_topic *topic,
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

#endif
