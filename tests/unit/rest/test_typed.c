/* The formats avro and jsonschema: bodies byte for byte, ids learnt, forgotten and configured, and
 * what the sender does when the registry fails. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rest/rest_priv.h"
#include "rig.h"
#include "sandbox/sandbox.h"

#define LINE "{\"n\":1}"
#define OWN "{\"type\":\"record\"}"

static struct fm_typed typed;
static struct fm_typed_use use; /* of the request last built */
static struct fm_rest_opts opts;
static struct fm_buf body;

/* Records of produce: their schema is the user's. */
static const struct fm_spool_item lines[] = {
    {.id = {.stream = "00000000000000aa", .seq = 1},
     .rec = {.kind = FM_RECORD_DATA,
             .partition = FM_NO_PARTITION,
             .key = "k",
             .key_len = 1,
             .value = LINE,
             .value_len = sizeof LINE - 1,
             .id_at = FM_NO_ID}},
    {.id = {.stream = "00000000000000aa", .seq = 2},
     .rec = {.kind = FM_RECORD_DATA,
             .partition = 3,
             .value = LINE,
             .value_len = sizeof LINE - 1,
             .id_at = FM_NO_ID}},
    {.id = {.stream = "00000000000000aa", .seq = 3},
     .rec = {.kind = FM_RECORD_RAW,
             .partition = FM_NO_PARTITION,
             .value = "raw",
             .value_len = 3,
             .id_at = FM_NO_ID}},
};

static void begin(enum fm_rest_dialect dialect, enum fm_rest_format format, uint32_t id)
{
    opts = (struct fm_rest_opts){
        .dialect = dialect, .format = format, .schema_id = id, .schema = id == 0 ? OWN : NULL};
    fm_typed_reset(&typed, &opts);
    fm_buf_clear(&body);
}

static void end(void)
{
    fm_buf_clear(&body);
}

TestSuite(typed, .fini = end);

static size_t build(size_t from)
{
    struct fm_spool_item items[3];
    size_t used = 0, n = 3 - from;
    memcpy(items, lines + from, n * sizeof *items);
    struct fm_spool_batch batch = {.items = items, .n = n};
    const struct fm_batch_limits limits = {.dialect = opts.dialect,
                                           .format = opts.format,
                                           .max_records = 500,
                                           .max_body = 350 * 1024,
                                           .typed = &typed,
                                           .use = &use,
                                           .o = &opts};
    cr_assert_eq(fm_batch_build(&body, &limits, &batch, &used, NULL), FM_OK);
    return used;
}

static void learn(const char *answer)
{
    fm_typed_learn(&typed, &use, &opts, answer, strlen(answer));
}

Test(typed, v2_sends_the_text_then_the_id)
{
    begin(FM_DIALECT_CONFLUENT_V2, FM_REST_AVRO, 0);
    cr_expect_eq(build(0), 1, "the next one has no key");
    cr_expect_str_eq(fm_buf_str(&body),
                     "{\"key_schema\":\"\\\"string\\\"\",\"value_schema\":\"{\\\"type\\\":"
                     "\\\"record\\\"}\",\"records\":[{\"key\":\"k\",\"value\":" LINE "}]}");
    learn(
        "{\"offsets\":[{\"partition\":0,\"offset\":1}],\"key_schema_id\":4,\"value_schema_id\":5}");
    cr_expect_eq(build(0), 1);
    cr_expect_str_eq(fm_buf_str(&body), "{\"key_schema_id\":4,\"value_schema_id\":5,\"records\":[{"
                                        "\"key\":\"k\",\"value\":" LINE "}]}");
    cr_expect_eq(build(1), 1, "the next one is of another format");
    cr_expect_str_eq(fm_buf_str(&body),
                     "{\"value_schema_id\":5,\"records\":[{\"value\":" LINE ",\"partition\":3}]}");
    cr_expect_eq(build(2), 1);
    cr_expect_str_eq(fm_buf_str(&body), "{\"records\":[{\"value\":\"cmF3\"}]}");
}

Test(typed, an_id_that_was_refused_and_comes_back_is_not_sent_again)
{
    static const char first[] = "{\"key_schema_id\":4,\"value_schema_id\":5}";
    begin(FM_DIALECT_KARAPACE, FM_REST_AVRO, 0);
    build(0);
    learn(first);
    build(0);
    cr_expect(fm_typed_forget(&typed, &use));
    build(0);
    cr_expect(strstr(fm_buf_str(&body), "\"value_schema\":") != NULL, "%s", fm_buf_str(&body));
    learn(first); /* accepted as text, and the same ids once more */
    build(0);
    cr_expect(strstr(fm_buf_str(&body), "\"key_schema\":") != NULL, "%s", fm_buf_str(&body));
    cr_expect(strstr(fm_buf_str(&body), "\"value_schema\":") != NULL, "%s", fm_buf_str(&body));
    cr_expect_not(fm_typed_forget(&typed, &use), "nothing learnt was sent");
    learn("{\"key_schema_id\":6,\"value_schema_id\":7}"); /* others are good */
    build(0);
    cr_expect(strstr(fm_buf_str(&body), "\"value_schema_id\":7") != NULL, "%s", fm_buf_str(&body));
}

Test(typed, requests_under_way_together_teach_each_its_own_schema)
{
    opts = (struct fm_rest_opts){.dialect = FM_DIALECT_CONFLUENT_V2, .format = FM_REST_AVRO};
    fm_typed_reset(&typed, &opts);
    const struct fm_typed_use bean = {.slot = FM_SCHEMA_BEAN}, metric = {.slot = FM_SCHEMA_METRIC};
    static const char first[] = "{\"value_schema_id\":5}", second[] = "{\"value_schema_id\":6}";
    fm_typed_learn(&typed, &metric, &opts, second, strlen(second));
    fm_typed_learn(&typed, &bean, &opts, first, strlen(first));
    cr_expect_eq(typed.value_id[FM_SCHEMA_BEAN], 5);
    cr_expect_eq(typed.value_id[FM_SCHEMA_METRIC], 6);
    cr_expect_not(fm_typed_forget(&typed, &bean), "it was sent with the text");
    cr_expect_eq(typed.value_id[FM_SCHEMA_METRIC], 6);
}

Test(typed, v2_jsonschema_has_another_schema_for_keys)
{
    begin(FM_DIALECT_KARAPACE, FM_REST_JSONSCHEMA, 0);
    (void)build(0);
    cr_expect_not_null(strstr(
        fm_buf_str(&body), "\"key_schema\":\"{\\\"type\\\":\\\"string\\\"}\",\"value_schema\":"));
    cr_expect_str_eq(fm_batch_content_type(opts.dialect, opts.format),
                     "Content-Type: application/vnd.kafka.jsonschema.v2+json");
}

Test(typed, v3_sends_the_text_alone_then_the_id)
{
    begin(FM_DIALECT_CONFLUENT_V3, FM_REST_AVRO, 0);
    cr_expect_eq(build(0), 1, "alone until the id is known");
    cr_expect_str_eq(fm_buf_str(&body), "{\"key\":{\"type\":\"STRING\",\"data\":\"k\"},\"value\":{"
                                        "\"type\":\"AVRO\",\"schema\":\"{\\\"type\\\":\\\"record"
                                        "\\\"}\",\"data\":" LINE "}}");
    learn(
        "{\"error_code\":200,\"key\":{\"type\":\"STRING\",\"size\":1},\"value\":{\"type\":\"AVRO\""
        ",\"subject\":\"t-value\",\"schema_id\":7,\"schema_version\":1,\"size\":9}}\r\n");
    cr_expect_eq(build(0), 3);
    cr_expect_str_eq(fm_buf_str(&body),
                     "{\"key\":{\"type\":\"STRING\",\"data\":\"k\"},\"value\":{\"schema_id\":7,"
                     "\"data\":" LINE
                     "}}\n{\"partition_id\":3,\"value\":{\"schema_id\":7,\"data\":" LINE
                     "}}\n{\"value\":{\"type\":\"BINARY\",\"data\":\"cmF3\"}}");
}

Test(typed, a_proxy_that_tells_no_id_gets_the_text_each_time)
{
    begin(FM_DIALECT_CONFLUENT_V3, FM_REST_JSONSCHEMA, 0);
    cr_expect_eq(build(0), 1);
    learn("{\"error_code\":200,\"value\":{\"type\":\"JSONSCHEMA\",\"size\":9}}");
    cr_expect_eq(build(0), 3, "no longer alone");
    cr_expect_not_null(strstr(fm_buf_str(&body), "\"type\":\"JSONSCHEMA\",\"schema\":"));
    cr_expect_not(fm_typed_forget(&typed, &use));
}

Test(typed, a_configured_id_is_used_at_once_and_never_forgotten)
{
    begin(FM_DIALECT_CONFLUENT_V3, FM_REST_AVRO, 12);
    cr_expect_eq(build(0), 3);
    cr_expect_not_null(strstr(fm_buf_str(&body), "{\"schema_id\":12,\"data\":" LINE "}"));
    cr_expect_not(fm_typed_forget(&typed, &use));
    begin(FM_DIALECT_CONFLUENT_V2, FM_REST_AVRO, 12);
    (void)build(1);
    cr_expect_str_eq(fm_buf_str(&body),
                     "{\"value_schema_id\":12,\"records\":[{\"value\":" LINE ",\"partition\":3}]}");
}

Test(typed, odd_answers_teach_nothing)
{
    static const char *const odd[] = {"",
                                      "[]",
                                      "{\"value_schema_id\":\"5\"}",
                                      "{\"value_schema_id\":0}",
                                      "{\"value_schema_id\":-1}",
                                      "{\"value_schema_id\":4294967296}",
                                      "{\"value_schema_id\":",
                                      "{\"a\":{\"value_schema_id\":5}}"};
    begin(FM_DIALECT_CONFLUENT_V2, FM_REST_AVRO, 0);
    (void)build(0);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        learn(odd[i]);
        cr_expect_eq(typed.value_id[FM_TYPED_OWN], 0, "%s", odd[i]);
    }
}

/* ---- the sender ---- */

static struct fm_sandbox *sandbox;
static struct fm_spool *spool;
static struct fm_rest *rest;
static char url[64];

static void set_up(const char *script)
{
    struct fm_err err = {0};
    static const char *const urls[] = {url};
    const struct fm_sandbox_opts o = {.faults = script};
    cr_assert_eq(fm_sandbox_start(&sandbox, &o, &err), FM_OK, "%s", err.text);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)fm_sandbox_port(sandbox));
    spool = spool_new();
    spool_add(spool, "t", 300, 60, FM_RECORD_DATA);
    struct fm_rest_opts r = rig_opts(spool, urls, 1);
    r.format = FM_REST_AVRO;
    rest = rig_start(&r);
}

static void tear_down(void)
{
    fm_rest_stop(rest, 0);
    cr_assert(fm_rest_join(rest, 5000));
    (void)fm_rest_free(rest);
    spool_free(spool);
    fm_sandbox_stop(sandbox);
}

static uint64_t stored(void)
{
    struct fm_sandbox_stats stats;
    fm_sandbox_stats(sandbox, &stats);
    return stats.records;
}

#define BODY42207(text)                                                                            \
    "status 422 body \"{\\\"error_code\\\":42207,\\\"message\\\":\\\"" text "\\\"}\""

Test(sender_typed, delivers_after_the_registry_came_back)
{
    set_up("1-2 " BODY42207("Error serializing message. Connection refused") "\n");
    rig_drain(rest, 20000);
    cr_expect_eq(stored(), 300);
    tear_down();
}

/* Only the requests that carry the learnt id are refused: the text registers it again. */
Test(sender_typed, registers_again_when_the_id_is_lost)
{
    set_up("3 if \"value_schema_id\" " BODY42207("Schema 7 not found; error code: 40403") "\n");
    rig_drain(rest, 20000);
    cr_expect_eq(stored(), 300);
    struct fm_sandbox_stats stats;
    fm_sandbox_stats(sandbox, &stats);
    cr_expect_eq(spool_count(spool, FATE_DEAD), 0);
    tear_down();
}

Test(sender_typed, holds_the_topic_when_the_schema_is_refused)
{
    set_up("* " BODY42207("Schema being registered is incompatible; error code: 409") "\n");
    rig_wait_state(rest, FM_REST_HOLD, 10000);
    struct fm_rest_stats s = rig_stats(rest);
    cr_expect_not_null(strstr(s.topics[0].reason, "schema_id or schema_file"), "%s",
                       s.topics[0].reason);
    cr_expect_eq(spool_count(spool, FATE_DEAD), 0);
    cr_expect_eq(spool_count(spool, FATE_PENDING), 300);
    tear_down();
}
