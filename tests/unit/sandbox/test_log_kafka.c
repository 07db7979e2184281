/* The Kafka store against librdkafka's own mock brokers. */
#ifdef FM_HAVE_RDKAFKA
#include <criterion/criterion.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <string.h>

#include "ask.h"
#include "base/clock.h"

struct cluster {
    rd_kafka_t *rk;
    rd_kafka_mock_cluster_t *mock;
    struct fm_core core;
};

static void silent(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk, (void)level, (void)facility, (void)text;
}

static void open_cluster(struct cluster *c, int64_t metadata_timeout_ms)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, silent);
    c->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    cr_assert_not_null(c->rk, "%s", text);
    c->mock = rd_kafka_mock_cluster_new(c->rk, 1);
    (void)rd_kafka_mock_topic_create(c->mock, "jmx", 2, 1);
    struct fm_sandbox_opts opts = {.kafka = rd_kafka_mock_cluster_bootstraps(c->mock),
                                   .metadata_timeout_ms = metadata_timeout_ms};
    ask_open(&c->core, &opts);
}

static void close_cluster(struct cluster *c)
{
    ask_close(&c->core);
    rd_kafka_mock_cluster_destroy(c->mock);
    rd_kafka_destroy(c->rk);
}

static void expect(struct answer *a, unsigned status, const char *part)
{
    cr_assert_eq(a->status, status, "%u %s", a->status, a->body);
    cr_assert_not_null(strstr(a->body, part), "%s is not in %s", part, a->body);
    ask_clear(a);
}

Test(log_kafka, stores_records_and_reads_them_back)
{
    struct cluster c;
    struct answer a;
    open_cluster(&c, 10000);
    ask_produce(&c.core, "/topics/jmx/partitions/1",
                "{\"records\":[{\"key\":\"k\",\"value\":{\"seq\":1}},{\"value\":2},{\"key\":3}]}",
                &a);
    cr_assert(a.deferred, "the handler must not wait for Kafka");
    expect(&a, 200,
           "{\"offsets\":[{\"partition\":1,\"offset\":0,\"error_code\":null,\"error\":null},"
           "{\"partition\":1,\"offset\":1,\"error_code\":null,\"error\":null},"
           "{\"partition\":1,\"offset\":2,\"error_code\":null,\"error\":null}]");
    struct fm_v2_request request = {
        .method = "GET", .path = "/topics/jmx/partitions/1/records", .offset = "0", .max = "2"};
    ask(&c.core, &request, NULL, &a);
    cr_assert_eq(a.status, 200);
    cr_assert_not_null(strstr(a.body, "\"key\":\"k\",\"value\":{\"seq\":1},\"partition\":1,"
                                      "\"offset\":0"));
    cr_assert_not_null(strstr(a.body, "\"key\":null,\"value\":2"));
    cr_assert_null(strstr(a.body, "\"key\":3"), "max is obeyed");
    ask_clear(&a);
    ask_get(&c.core, "/topics/jmx/partitions/1/offsets", &a);
    expect(&a, 200, "{\"beginning_offset\":0,\"end_offset\":3}");
    close_cluster(&c);
}

Test(log_kafka, stores_headers_and_times_and_reads_them_back)
{
    static const char body[] =
        "{\"partition_id\":1,\"value\":{\"type\":\"JSON\",\"data\":1},\"timestamp\":"
        "\"2023-11-14T22:13:20.123Z\",\"headers\":[{\"name\":\"firstmile-seq\",\"value\":\"Nw==\"},"
        "{\"name\":\"none\",\"value\":null}]}";
    struct cluster c;
    struct answer a;
    open_cluster(&c, 10000);
    struct fm_v2_request request = {.method = "POST",
                                    .path = "/v3/clusters/c/topics/jmx/records",
                                    .accept = "application/json",
                                    .content_type = "application/json",
                                    .body = body,
                                    .body_len = sizeof body - 1};
    ask(&c.core, &request, NULL, &a);
    expect(&a, 200, "\"error_code\":200");
    ask_get(&c.core, "/topics/jmx/partitions/1/records", &a);
    expect(
        &a, 200,
        "\"headers\":[{\"name\":\"firstmile-seq\",\"value\":\"Nw==\"},{\"name\":\"none\",\"value\":"
        "null}],\"partition\":1,\"offset\":0,\"timestamp\":1700000000123}");
    close_cluster(&c);
}

Test(log_kafka, shows_topic_and_partitions_as_metadata_say)
{
    struct cluster c;
    struct answer a;
    open_cluster(&c, 1000); /* the mock knows no configs: that answer takes so long */
    ask_get(&c.core, "/topics", &a);
    expect(&a, 200, "\"jmx\"");
    ask_get(&c.core, "/topics/jmx/partitions", &a);
    expect(&a, 200, "{\"partition\":1,");
    ask_get(&c.core, "/topics/jmx", &a);
    expect(&a, 200, "\"max.message.bytes\":\"1048588\"");
    close_cluster(&c);
}

/* rest-proxy.md rule 3: a dead Kafka looks like a missing topic; only the probe tells. */
Test(log_kafka, blames_the_topic_when_kafka_is_dead_and_the_probe_tells)
{
    struct cluster c;
    struct answer a;
    open_cluster(&c, 700);
    (void)rd_kafka_mock_broker_set_down(c.mock, 1);
    int64_t start = fm_clock_ms();
    ask_produce(&c.core, "/topics/jmx", "{\"records\":[{\"value\":1},{\"value\":2}]}", &a);
    int64_t took = fm_clock_ms() - start;
    cr_assert(took >= 1400, "two records cost twice the time limit, not %lld ms", (long long)took);
    expect(&a, 200,
           "{\"partition\":null,\"offset\":null,\"error_code\":50003,\"error\":\"Topic jmx not "
           "present in metadata after 700 ms.\"}");
    ask_get(&c.core, "/topics/jmx", &a);
    expect(&a, 500, "\"error_code\":50003,\"message\":\"Timed out waiting for a node assignment.");
    (void)rd_kafka_mock_broker_set_up(c.mock, 1);
    int64_t until = fm_clock_ms() + 15000;
    do {
        ask_produce(&c.core, "/topics/jmx", "{\"records\":[{\"value\":3}]}", &a);
        bool ok = strstr(a.body, "\"offset\":0") != NULL;
        ask_clear(&a);
        if (ok)
            break;
    } while (fm_clock_ms() < until);
    cr_assert(fm_clock_ms() < until, "never came back");
    close_cluster(&c);
}

Test(log_kafka, waits_for_a_partition_that_does_not_exist_and_sends_the_others)
{
    struct cluster c;
    struct answer a;
    open_cluster(&c, 1000);
    ask_get(&c.core, "/topics/jmx/partitions", &a); /* the connection stands */
    ask_clear(&a);
    ask_produce(&c.core, "/topics/jmx",
                "{\"records\":[{\"partition\":0,\"value\":1},{\"partition\":9,\"value\":2},"
                "{\"partition\":1,\"value\":3}]}",
                &a);
    cr_assert_not_null(strstr(a.body, "{\"partition\":0,\"offset\":0,\"error_code\":null"));
    cr_assert_not_null(strstr(a.body, "{\"partition\":1,\"offset\":0,\"error_code\":null"));
    expect(&a, 200,
           "Partition 9 of topic jmx with partition count 2 is not present in metadata "
           "after 1000 ms.");
    close_cluster(&c);
}

Test(log_kafka, gives_the_codes_of_kafkas_refusals)
{
    static const struct {
        rd_kafka_resp_err_t code;
        unsigned status;
        const char *text;
    } rows[] = {
        {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 200,
         "\"error_code\":50002,\"error\":\"The request "
         "included a message larger than"},
        {RD_KAFKA_RESP_ERR_INVALID_RECORD, 200, "\"error_code\":50002,\"error\":\"Compacted topic"},
        /* The last: librdkafka remembers it for a while. */
        {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 403, "\"error_code\":40301"},
    };
    struct cluster c;
    struct answer a;
    open_cluster(&c, 10000);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rd_kafka_mock_push_request_errors(c.mock, 0, 1, rows[i].code);
        ask_produce(&c.core, "/topics/jmx", "{\"records\":[{\"value\":1}]}", &a);
        expect(&a, rows[i].status, rows[i].text);
    }
    close_cluster(&c);
}

Test(log_kafka, ends_what_waits_when_it_is_stopped)
{
    struct cluster c;
    struct answer a;
    open_cluster(&c, 60000);
    (void)rd_kafka_mock_broker_set_down(c.mock, 1);
    struct fm_v2_request request = {.method = "GET", .path = "/topics/jmx"};
    a = (struct answer){.core = &c.core};
    (void)pthread_mutex_init(&a.lock, NULL);
    (void)pthread_cond_init(&a.done_cond, NULL);
    cr_assert(fm_core_run(&c.core, &request, NULL, &a));
    int64_t start = fm_clock_ms();
    fm_core_stop(&c.core);
    cr_assert(fm_clock_ms() - start < 4000);
    (void)pthread_mutex_lock(&a.lock);
    cr_assert(a.done, "the stop leaves nobody waiting");
    cr_assert_eq(a.status, 500);
    (void)pthread_mutex_unlock(&a.lock);
    ask_clear(&a);
    close_cluster(&c);
}
#endif
