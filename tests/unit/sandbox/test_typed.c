/* The formats with a schema, from the sender's bytes to what the audit reads out of the topic. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "base/base64.h"
#include "base/jscan.h"
#include "record/audit.h"
#include "rest/rest_priv.h"
#include "sandbox/v3_priv.h"

#define S "00000000000000aa"

static struct fm_core core;
static struct fm_typed typed;
static struct fm_typed_use use; /* of the request last built */
static struct fm_rest_opts opts;

static void start(void)
{
    const struct fm_sandbox_opts o = {.listen = NULL};
    ask_open(&core, &o);
}

static void stop(void)
{
    ask_close(&core);
}

TestSuite(typed, .init = start, .fini = stop);

static struct fm_spool_item item(uint64_t seq, enum fm_record_kind kind, const char *key,
                                 const char *value)
{
    struct fm_spool_item it = {.id = {.stream = S, .seq = seq},
                               .rec = {.kind = kind,
                                       .time_ms = 1,
                                       .partition = FM_NO_PARTITION,
                                       .key = key,
                                       .key_len = key != NULL ? strlen(key) : 0,
                                       .value = value,
                                       .value_len = strlen(value),
                                       .id_at = 19}};
    return it;
}

/* What a poll of bean and metric rules and the spool bring, in this order. */
static size_t make_items(struct fm_spool_item items[5])
{
    items[0] =
        item(1, FM_RECORD_CONTROL, "edge",
             "{\"v\":1,\"agent\":\"e\",\"timestamp\":5,\"type\":\"start\",\"version\":\"1\"}");
    items[1] =
        item(2, FM_RECORD_DATA, "web-1",
             "{\"v\":1,\"agent\":\"e\",\"timestamp\":5,\"host\":\"web-1\",\"target\":\"t\","
             "\"bean\":\"a:b=c\",\"domain\":\"a\",\"properties\":{\"b\":\"c\"},"
             "\"attributes\":{\"n\":12,\"d\":0.5,\"s\":\"\\u00e9\",\"x\":null,\"o\":{\"y\":[1]}},"
             "\"tags\":{}}");
    items[2] = item(3, FM_RECORD_DATA, NULL,
                    "{\"v\":1,\"agent\":\"e\",\"timestamp\":5,\"host\":\"h\",\"target\":\"t\","
                    "\"bean\":\"a:b=c\",\"domain\":\"a\",\"properties\":{},\"attributes\":{},"
                    "\"tags\":{\"k\":\"v\"}}");
    items[3] = item(4, FM_RECORD_DATA, "web-1",
                    "{\"v\":1,\"agent\":\"e\",\"timestamp\":5,\"host\":\"h\",\"target\":\"t\","
                    "\"bean\":\"a:b=c\",\"domain\":\"a\",\"properties\":{},\"name\":\"n\","
                    "\"value\":12,\"tags\":{}}");
    items[4] = item(8, FM_RECORD_CONTROL, "edge",
                    "{\"v\":1,\"agent\":\"e\",\"timestamp\":5,\"type\":\"gap\",\"from_seq\":5,"
                    "\"to_seq\":7,\"count\":3,\"reason\":\"full\",\"first_timestamp\":1,"
                    "\"last_timestamp\":2}");
    return 5;
}

/* Build, post, learn. @return records taken */
static size_t post(const struct fm_spool_item *items, size_t n, unsigned status,
                   struct answer *answer)
{
    struct fm_buf body;
    size_t used = 0;
    bool v3 = fm_rest_is_v3(opts.dialect);
    char path[100] = "/topics/t";
    if (v3)
        (void)snprintf(path, sizeof path, "/v3/clusters/" FM_V3_CLUSTER "/topics/t%s",
                       fm_v3_tail(opts.dialect));
    struct fm_spool_batch batch = {.items = (struct fm_spool_item *)(uintptr_t)items, .n = n};
    const struct fm_batch_limits limits = {.dialect = opts.dialect,
                                           .format = opts.format,
                                           .max_records = 500,
                                           .max_body = 350 * 1024,
                                           .typed = &typed,
                                           .use = &use,
                                           .o = &opts};
    fm_buf_init(&body, 0);
    cr_assert_eq(fm_batch_build(&body, &limits, &batch, &used, NULL), FM_OK);
    const char *type = strchr(fm_batch_content_type(opts.dialect, opts.format), ' ') + 1;
    const struct fm_v2_request request = {.method = "POST",
                                          .path = path,
                                          .content_type = type,
                                          .body = fm_buf_str(&body),
                                          .body_len = body.len};
    ask(&core, &request, NULL, answer);
    cr_assert_eq(answer->status, status, "%s\n%s", answer->body, fm_buf_str(&body));
    if (status / 100 == 2)
        fm_typed_learn(&typed, &use, &opts, answer->body, answer->len);
    fm_buf_clear(&body);
    return used;
}

/* All records as stored, into an audit that must find 1-4, 8 seen and 5-7 declared. */
static void check_stored(size_t n)
{
    struct answer a;
    struct fm_jscan s;
    struct fm_audit *audit;
    size_t values = 0;
    cr_assert_eq(fm_audit_new(&audit, 0, NULL), FM_OK);
    const struct fm_v2_request get = {.method = "GET",
                                      .path = "/topics/t/partitions/0/records",
                                      .accept = "application/vnd.kafka.binary.v2+json"};
    ask(&core, &get, NULL, &a);
    cr_assert_eq(a.status, 200, "%s", a.body);
    fm_jscan_init(&s, a.body, a.len);
    for (enum fm_jtoken t; (t = fm_jscan_next(&s)) != FM_J_END;) {
        cr_assert_neq(t, FM_J_ERROR);
        if (t != FM_J_KEY || !fm_jscan_is(&s, "value"))
            continue;
        (void)fm_jscan_next(&s);
        struct fm_buf value;
        fm_buf_init(&value, 0);
        cr_assert(fm_base64_get(&value, s.text, s.text_len));
        const struct fm_audit_record rec = {
            .topic = "t", .offset = (int64_t)values++, .value = value.data, .value_len = value.len};
        cr_assert_eq(fm_audit_add(audit, &rec, NULL), FM_OK);
        fm_buf_clear(&value);
    }
    cr_expect_eq(values, n);
    cr_assert_eq(fm_audit_finish(audit, NULL), FM_OK);
    const struct fm_audit_stream *stream = fm_audit_stream(audit, 0);
    cr_assert_not_null(stream);
    cr_expect_str_eq(stream->agent, "e");
    cr_expect_str_eq(stream->stream, S);
    cr_expect_eq(stream->seen, 5);
    cr_expect_eq(stream->lost, 3);
    cr_expect_eq(stream->missing, 0);
    cr_expect_eq(fm_audit_totals(audit)->foreign, 0);
    fm_audit_free(audit);
    ask_clear(&a);
}

static void deliver(enum fm_rest_dialect dialect, enum fm_rest_format format, size_t requests)
{
    struct fm_spool_item items[5];
    size_t n = make_items(items), sent = 0, posts = 0;
    opts = (struct fm_rest_opts){.dialect = dialect, .format = format};
    fm_typed_reset(&typed, &opts);
    while (sent < n) {
        struct answer a;
        sent +=
            post(items + sent, n - sent, dialect == FM_DIALECT_CONFLUENT_V3_BATCH ? 207 : 200, &a);
        cr_expect_null(strstr(a.body, "\"error_code\":4"), "%s", a.body);
        ask_clear(&a);
        posts++;
    }
    cr_expect_eq(posts, requests, "%zu", posts);
    check_stored(n);
    cr_expect_neq(typed.value_id[FM_SCHEMA_BEAN], 0);
    cr_expect_neq(typed.value_id[FM_SCHEMA_METRIC], 0);
}

/* v2: 1 and 2; 3, which has no key; 4 and 5, of another shape. */
Test(typed, avro_over_v2)
{
    deliver(FM_DIALECT_CONFLUENT_V2, FM_REST_AVRO, 3);
}
Test(typed, jsonschema_over_v2)
{
    deliver(FM_DIALECT_CONFLUENT_V2, FM_REST_JSONSCHEMA, 3);
}
/* v3: one alone until the id of its schema is known; then 2 and 3; 4 alone; 5. */
Test(typed, avro_over_v3)
{
    deliver(FM_DIALECT_CONFLUENT_V3, FM_REST_AVRO, 4);
}
Test(typed, jsonschema_over_v3)
{
    deliver(FM_DIALECT_CONFLUENT_V3, FM_REST_JSONSCHEMA, 4);
}

Test(typed, avro_in_a_batch)
{
    deliver(FM_DIALECT_CONFLUENT_V3_BATCH, FM_REST_AVRO, 4);
}
Test(typed, jsonschema_in_a_batch)
{
    deliver(FM_DIALECT_CONFLUENT_V3_BATCH, FM_REST_JSONSCHEMA, 4);
}

Test(typed, stores_the_bytes_of_avro)
{
    static const char schema[] =
        "{\"type\":\"record\",\"name\":\"r\",\"fields\":[{\"name\":\"a\","
        "\"type\":[\"null\",\"long\",\"string\"]},{\"name\":\"b\",\"type\":"
        "{\"type\":\"map\",\"values\":\"double\"}},{\"name\":\"c\","
        "\"type\":{\"type\":\"array\",\"items\":\"int\"}},{\"name\":\"d\","
        "\"type\":\"boolean\"},{\"name\":\"e\",\"type\":{\"type\":\"enum\","
        "\"name\":\"E\",\"symbols\":[\"X\",\"Y\"]}}]}";
    static const char value[] =
        "{\"e\":\"Y\",\"d\":true,\"a\":{\"long\":-65},\"b\":{\"k\":1.5},\"c\":[1,300]}";
    static const unsigned char want[] = {2, 0x81, 1,    2, 2, 'k', 0,    0, 0, 0, 0,
                                         0, 0xf8, 0x3f, 0, 4, 2,   0xd8, 4, 0, 1, 2};
    uint32_t id;
    struct fm_buf out;
    struct fm_err err = {0};
    fm_buf_init(&out, 0);
    cr_assert_eq(
        fm_registry_add(core.registry, FM_REGISTRY_AVRO, schema, sizeof schema - 1, &id, &err),
        FM_OK, "%s", err.text);
    cr_assert_eq(fm_registry_encode(core.registry, id, value, sizeof value - 1, &out, &err), FM_OK,
                 "%s", err.text);
    cr_assert_eq(out.len, 5 + sizeof want);
    cr_expect_arr_eq(out.data + 5, want, sizeof want);
    cr_expect_eq((unsigned char)out.data[0], 0);
    cr_expect_eq((unsigned char)out.data[4], id & 0xff);
    fm_buf_clear(&out);
}

Test(typed, refuses_what_does_not_fit)
{
    static const struct {
        const char *members; /* of the request */
        const char *records;
        const char *type; /* avro or jsonschema */
        unsigned status;
        const char *code;
    } cases[] = {
        {"", "{\"value\":1}", "avro", 422, "42202"},
        {"\"value_schema\":\"\\\"long\\\"\",", "{\"key\":1,\"value\":1}", "avro", 422, "42201"},
        {"\"value_schema\":\"\\\"long\\\"\",", "{\"value\":\"x\"}", "avro", 400, "400"},
        {"\"value_schema\":\"\\\"long\\\"\",", "{\"value\":1}", "avro", 200, "null"},
        {"\"value_schema\":\"\\\"lung\\\"\",", "{\"value\":1}", "avro", 422, "42205"},
        {"\"value_schema\":\"{\",", "{\"value\":1}", "avro", 422, "42205"},
        {"\"value_schema_id\":7,", "{\"value\":1}", "avro", 422, "42207"},
        {"\"value_schema_id\":7,\"value_schema\":\"\\\"long\\\"\",", "{\"value\":1}", "avro", 500,
         "500"},
        {"\"value_schema\":\"{\\\"type\\\":\\\"integer\\\"}\",", "{\"value\":1.5}", "jsonschema",
         400, "400"},
        {"\"value_schema\":\"{\\\"required\\\":[\\\"a\\\"]}\",", "{\"value\":{}}", "jsonschema",
         400, "400"},
        {"\"value_schema\":\"{\\\"additionalProperties\\\":false}\",", "{\"value\":{\"a\":1}}",
         "jsonschema", 400, "400"},
        {"\"value_schema\":\"{\\\"items\\\":{\\\"type\\\":\\\"null\\\"}}\",", "{\"value\":[1]}",
         "jsonschema", 400, "400"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char body[512], type[80], want[40];
        struct answer a;
        (void)snprintf(body, sizeof body, "{%s\"records\":[%s]}", cases[i].members,
                       cases[i].records);
        (void)snprintf(type, sizeof type, "application/vnd.kafka.%s.v2+json", cases[i].type);
        (void)snprintf(want, sizeof want, "\"error_code\":%s", cases[i].code);
        const struct fm_v2_request request = {.method = "POST",
                                              .path = "/topics/t",
                                              .content_type = type,
                                              .body = body,
                                              .body_len = strlen(body)};
        ask(&core, &request, NULL, &a);
        cr_expect_eq(a.status, cases[i].status, "case %zu: %s", i, a.body);
        cr_expect_not_null(strstr(a.body, want), "case %zu: %s", i, a.body);
        ask_clear(&a);
    }
}

Test(typed, a_schema_that_was_given_never_takes_records_of_another_shape)
{
    struct fm_spool_item items[5];
    struct fm_spool_batch batch = {.items = items, .n = make_items(items)};
    struct fm_buf body;
    opts = (struct fm_rest_opts){
        .dialect = FM_DIALECT_CONFLUENT_V3, .format = FM_REST_AVRO, .schema_id = 5};
    fm_typed_reset(&typed, &opts);
    const struct fm_batch_limits limits = {.dialect = opts.dialect,
                                           .format = opts.format,
                                           .max_records = 500,
                                           .max_body = 350 * 1024,
                                           .typed = &typed,
                                           .use = &use,
                                           .o = &opts};
    size_t used = 0;
    fm_buf_init(&body, 0);
    cr_assert_eq(fm_batch_build(&body, &limits, &batch, &used, NULL), FM_OK);
    cr_expect_eq(used, 3, "the metric would be written without its name and value");
    fm_buf_clear(&body);
}

Test(typed, an_id_of_another_run_is_not_known)
{
    struct fm_spool_item items[5];
    struct answer a;
    (void)make_items(items);
    opts = (struct fm_rest_opts){.dialect = FM_DIALECT_CONFLUENT_V2, .format = FM_REST_AVRO};
    fm_typed_reset(&typed, &opts);
    cr_expect_eq(post(items, 2, 200, &a), 2);
    ask_clear(&a);
    uint32_t id = typed.value_id[FM_SCHEMA_BEAN];
    stop();
    start();
    cr_expect_eq(post(items, 2, 422, &a), 2);
    cr_expect_not_null(strstr(a.body, "error code: 40403"), "%s", a.body);
    ask_clear(&a);
    cr_expect(fm_typed_forget(&typed, &use));
    cr_expect_eq(post(items, 2, 200, &a), 2);
    ask_clear(&a);
    cr_expect_neq(id, 0);
    cr_expect_eq(typed.value_id[FM_SCHEMA_BEAN], 0, "the id that was refused is told again");
    fm_typed_begin(&typed, &use, &opts, items, 2);
    cr_expect_not(fm_typed_forget(&typed, &use), "the text is sent: nothing to forget");
}
