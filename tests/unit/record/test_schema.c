#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "record/schema.h"

#define ID "\"v\":1,\"agent\":\"e\",\"stream\":\"3f9c2a71d04be811\",\"seq\":7,\"timestamp\":9"
/* What stands before the data in every value of a schema. */
#define HEAD(type, rest)                                                                           \
    "{\"agent\":\"e\",\"stream\":\"3f9c2a71d04be811\",\"seq\":7,\"type\":\"" type "\"," rest
#define NO_GAP                                                                                     \
    "\"from_seq\":null,\"to_seq\":null,\"count\":null,\"reason\":null,\"lost_stream\":null,"       \
    "\"prev_stream\":null,\"prev_last_seq\":null,\"v\":1,\"timestamp\":9,"
#define NO_CONTROL                                                                                 \
    "\"version\":null,\"state\":null,\"error\":null,\"first_timestamp\":null,"                     \
    "\"last_timestamp\":null,"

static char text[4096];

static const char *put(enum fm_schema_lang lang, enum fm_schema schema, const char *value)
{
    struct fm_buf out;
    struct fm_err err = {0};
    fm_buf_init(&out, 0);
    cr_assert_eq(fm_schema_put(&out, lang, schema, value, strlen(value), &err), FM_OK, "%s",
                 err.text);
    (void)snprintf(text, sizeof text, "%s", fm_buf_str(&out));
    fm_buf_clear(&out);
    return text;
}

Test(schema, texts_are_json_and_begin_as_the_audit_reads_them)
{
    static const char *const first[] = {"agent",       "stream",      "seq",           "type",
                                        "from_seq",    "to_seq",      "count",         "reason",
                                        "lost_stream", "prev_stream", "prev_last_seq", "v"};
    for (int i = 0; i < 2 * FM_SCHEMAS; i++) {
        struct fm_buf out;
        fm_buf_init(&out, 0);
        fm_schema_text(&out, (enum fm_schema_lang)(i & 1), (enum fm_schema)(i / 2));
        json_t *tree = json_loadb(fm_buf_str(&out), out.len, JSON_REJECT_DUPLICATES, NULL);
        cr_assert_not_null(tree, "%s", fm_buf_str(&out));
        json_t *fields = json_object_get(tree, "fields");
        for (size_t k = 0; (i & 1) == FM_SCHEMA_AVRO && k < 12; k++)
            cr_expect_str_eq(json_string_value(json_object_get(json_array_get(fields, k), "name")),
                             first[k]);
        if ((i & 1) == FM_SCHEMA_JSON)
            cr_expect_eq(json_object_size(json_object_get(tree, "properties")),
                         i / 2 == FM_SCHEMA_BEAN     ? 25
                         : i / 2 == FM_SCHEMA_METRIC ? 26
                                                     : 25);
        json_decref(tree);
        fm_buf_clear(&out);
    }
}

Test(schema, puts_a_bean)
{
    static const char bean[] =
        "{" ID ",\"host\":\"h\",\"target\":\"t\",\"bean\":\"a:b=\\\"c\\\"\",\"domain\":\"a\","
        "\"properties\":{\"b\":\"c\"},\"attributes\":{\"n\":null,\"t\":true,\"l\":-12,\"d\":1.5,"
        "\"e\":1E3,\"s\":\"x\\ny\",\"o\":{\"u\":[1,\"q\"]},\"a\":[],\"big\":18446744073709551615,"
        "\"inf\":1e999,\"k\\\"ey\":0},\"tags\":{\"env\":\"prod\"}}";
    cr_expect_str_eq(
        put(FM_SCHEMA_AVRO, FM_SCHEMA_BEAN, bean),
        HEAD("", NO_GAP) "\"host\":{\"string\":\"h\"},\"target\":{\"string\":\"t\"}," NO_CONTROL
                         "\"tags\":{\"env\":\"prod\"},\"bean\":{\"string\":\"a:b=\\\"c\\\"\"},"
                         "\"domain\":{\"string\":\"a\"},\"properties\":{\"b\":\"c\"},"
                         "\"attributes\":{\"n\":null,\"t\":{\"boolean\":true},\"l\":{\"long\":-12},"
                         "\"d\":{\"double\":1.5},\"e\":{\"double\":1E3},"
                         "\"s\":{\"string\":\"x\\ny\"},"
                         "\"o\":{\"string\":\"{\\\"u\\\":[1,\\\"q\\\"]}\"},"
                         "\"a\":{\"string\":\"[]\"},\"big\":{\"string\":\"18446744073709551615\"},"
                         "\"inf\":{\"string\":\"1e999\"},\"k\\\"ey\":{\"long\":0}}}");
    cr_expect_str_eq(
        put(FM_SCHEMA_JSON, FM_SCHEMA_BEAN, bean),
        HEAD("", NO_GAP) "\"host\":\"h\",\"target\":\"t\"," NO_CONTROL
                         "\"tags\":{\"env\":\"prod\"},\"bean\":\"a:b=\\\"c\\\"\",\"domain\":\"a\","
                         "\"properties\":{\"b\":\"c\"},\"attributes\":{\"n\":null,\"t\":true,"
                         "\"l\":-12,\"d\":1.5,\"e\":1E3,\"s\":\"x\\ny\","
                         "\"o\":\"{\\\"u\\\":[1,\\\"q\\\"]}\",\"a\":\"[]\","
                         "\"big\":\"18446744073709551615\",\"inf\":\"1e999\",\"k\\\"ey\":0}}");
}

Test(schema, puts_a_metric_and_a_snapshot)
{
    static const char metric[] =
        "{" ID ",\"host\":\"h\",\"target\":\"t\",\"bean\":\"a:b=c\",\"domain\":\"a\","
        "\"properties\":{},\"name\":\"x/y\",\"value\":3.0,\"tags\":{}}";
    cr_expect_str_eq(
        put(FM_SCHEMA_AVRO, FM_SCHEMA_METRIC, metric),
        HEAD("", NO_GAP) "\"host\":{\"string\":\"h\"},\"target\":{\"string\":\"t\"}," NO_CONTROL
                         "\"tags\":{},\"bean\":{\"string\":\"a:b=c\"},"
                         "\"domain\":{\"string\":\"a\"},\"properties\":{},"
                         "\"name\":{\"string\":\"x/y\"},\"value\":{\"double\":3.0}}");
    static const char snapshot[] = "{" ID ",\"host\":\"h\",\"target\":\"t\",\"part\":1,\"parts\":2,"
                                   "\"beans\":{\"a:b=c\":{\"n\":1},\"a:b=d\":{}},\"omitted\":["
                                   "\"a:b=e\"],\"tags\":{}}";
    cr_expect_str_eq(
        put(FM_SCHEMA_AVRO, FM_SCHEMA_SNAPSHOT, snapshot),
        HEAD("", NO_GAP) "\"host\":{\"string\":\"h\"},\"target\":{\"string\":\"t\"}," NO_CONTROL
                         "\"tags\":{},\"part\":{\"long\":1},\"parts\":{\"long\":2},"
                         "\"beans\":{\"a:b=c\":{\"n\":{\"long\":1}},\"a:b=d\":{}},"
                         "\"omitted\":[\"a:b=e\"]}");
}

Test(schema, puts_control_records_into_any_of_them)
{
    static const char gap[] =
        "{" ID ",\"type\":\"gap\",\"lost_stream\":\"0000000000000001\",\"from_seq\":3,\"to_seq\":5,"
        "\"count\":null,\"reason\":\"full\",\"first_timestamp\":1,\"last_timestamp\":null}";
    cr_expect_str_eq(put(FM_SCHEMA_JSON, FM_SCHEMA_METRIC, gap),
                     HEAD("gap", "\"from_seq\":3,\"to_seq\":5,"
                                 "\"count\":null,\"reason\":"
                                 "\"full\",") "\"lost_stream\":"
                                              "\"0000000000000001\","
                                              "\"prev_stream\":null,"
                                              "\"prev_last_seq\":"
                                              "null,\"v\":1,"
                                              "\"timestamp\":9,"
                                              "\"host\":null,"
                                              "\"target\":null,"
                                              "\"version\":null,"
                                              "\"state\":null,"
                                              "\"error\":null,"
                                              "\"first_timestamp\":1,"
                                              "\"last_timestamp\":"
                                              "null,\"tags\":{},"
                                              "\"bean\":null,"
                                              "\"domain\":null,"
                                              "\"properties\":{},"
                                              "\"name\":null,"
                                              "\"value\":null}");
}

Test(schema, knows_which_one_a_record_asks_for)
{
    enum fm_schema schema;
    static const struct {
        const char *value;
        int schema; /* -1: any */
    } cases[] = {
        {"{\"attributes\":{}}", FM_SCHEMA_BEAN},
        {"{\"properties\":{\"type\":\"x\",\"beans\":\"y\"},\"attributes\":{}}", FM_SCHEMA_BEAN},
        {"{\"name\":\"n\",\"value\":1}", FM_SCHEMA_METRIC},
        {"{\"part\":1,\"beans\":{}}", FM_SCHEMA_SNAPSHOT},
        {"{\"type\":\"gap\",\"value\":1}", -1},
        {"{}", -1},
        {"[]", -1},
        {"{\"value", -1},
        {"", -1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool found = fm_schema_of(cases[i].value, strlen(cases[i].value), &schema);
        cr_expect_eq(found, cases[i].schema >= 0, "%s", cases[i].value);
        cr_expect(!found || (int)schema == cases[i].schema, "%s", cases[i].value);
    }
}

Test(schema, refuses_what_is_no_object_and_writes_nothing)
{
    static const char *const bad[] = {"", "1", "[1]", "{\"a\":1", "{\"a\":1}x", "{\"a\":nul}"};
    struct fm_buf out;
    fm_buf_init(&out, 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_eq(
            fm_schema_put(&out, FM_SCHEMA_AVRO, FM_SCHEMA_BEAN, bad[i], strlen(bad[i]), NULL),
            FM_EDAMAGE, "%s", bad[i]);
    cr_expect_eq(out.len, 0);
    fm_buf_clear(&out);
    (void)put(FM_SCHEMA_JSON, FM_SCHEMA_BEAN, "{\"seq\":\"x\",\"tags\":[1],\"attributes\":3}");
    cr_expect_not_null(strstr(text, "\"seq\":0,"));
    cr_expect_not_null(strstr(text, "\"tags\":{},"));
    cr_expect_not_null(strstr(text, "\"attributes\":{}}"));
}

/* Karapace 5.0.3, live, wrote each integer as a double while that stood behind long: its Avro
 * library takes the last branch that could hold the value, and 2^63 - 1 came back as 2^63. */
Test(schema, has_the_narrowest_branch_of_a_value_last)
{
    struct fm_buf schema;
    fm_buf_init(&schema, 0);
    fm_schema_text(&schema, FM_SCHEMA_AVRO, FM_SCHEMA_BEAN);
    cr_expect(strstr(fm_buf_str(&schema),
                     "[\"null\",\"double\",\"long\",\"boolean\",\"string\"]") != NULL,
              "%s", fm_buf_str(&schema));
    fm_buf_clear(&schema);
}
