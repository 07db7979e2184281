#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "records.h"

#define ID "\"stream\":\"0123456789abcdef\",\"seq\":"
#define HEAD(seq)                                                                                  \
    "{\"v\":1,\"agent\":\"edge-7\"," ID seq                                                        \
    ",\"timestamp\":1763812800000,\"host\":\"web-1\",\"target\":\"orders\","

static const char *const prod[] = {"env=prod"};

Test(bean, has_the_bytes_of_the_design)
{
    struct fixture f;
    fixture_init(&f);
    struct fm_rule *rule = make_rule(FM_SHAPE_BEAN, "${host}", prod, 1, 1 << 20);
    fixture_bean(&f, rule, "java.lang:type=GarbageCollector,name=G1 Young Generation",
                 "{\"CollectionCount\":12,\"CollectionTime\":340}");
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_assert_eq(f.n, 1);
    cr_assert_str_eq(
        f.values[0],
        HEAD("1") "\"bean\":\"java.lang:name=G1 Young Generation,type=GarbageCollector\","
                  "\"domain\":\"java.lang\","
                  "\"properties\":{\"name\":\"G1 Young Generation\",\"type\":\"GarbageCollector\"},"
                  "\"attributes\":{\"CollectionCount\":12,\"CollectionTime\":340},"
                  "\"tags\":{\"env\":\"prod\"}}");
    cr_assert_str_eq(f.keys[0], "web-1");
    cr_assert_str_eq(f.topics[0], "jmx");
    cr_assert_eq(f.partitions[0], FM_NO_PARTITION);
    cr_assert_eq(f.count.records, 1);
    cr_assert_eq(f.count.bytes, strlen(f.values[0]) - strlen(ID "1,") + strlen("web-1"));
    fixture_clear(&f);
    fm_rule_free(rule);
}

Test(bean, unquotes_properties_but_not_the_name)
{
    struct fixture f;
    fixture_init(&f);
    struct fm_rule *rule = make_rule(FM_SHAPE_BEAN, "${prop.name}", NULL, 0, 1 << 20);
    fixture_bean(&f, rule, "Catalina:type=ThreadPool,name=\"http\\\"nio,8080\"", "{}");
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_assert_str_eq(f.values[0],
                     HEAD("1") "\"bean\":\"Catalina:name=\\\"http\\\\\\\"nio,8080\\\","
                               "type=ThreadPool\",\"domain\":\"Catalina\","
                               "\"properties\":{\"name\":\"http\\\"nio,8080\","
                               "\"type\":\"ThreadPool\"},\"attributes\":{},\"tags\":{}}");
    cr_assert_str_eq(f.keys[0], "http\"nio,8080");
    fixture_clear(&f);
    fm_rule_free(rule);
}

Test(bean, keeps_json_valid_whatever_the_names_hold)
{
    static const char *const tags[] = {"b=${bean}"};
    struct fixture f;
    fixture_init(&f);
    struct fm_rule *rule = make_rule(FM_SHAPE_BEAN, "${bean}", tags, 1, 1 << 20);
    struct fm_member member = {.key = {.ptr = "x\xff\x01\0y", .len = 5},
                               .value = {.kind = FM_V_DOUBLE, .d = NAN}};
    struct fm_value attributes = {.kind = FM_V_OBJECT, .object = {.members = &member, .n = 1}};
    fixture_value(&f, rule, "d:k=a\xc3(\xe2\x80\xa8", &attributes);
    f.sample.host = "h\xfe\"\n";
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_assert_str_eq(f.values[0],
                     "{\"v\":1,\"agent\":\"edge-7\"," ID "1,\"timestamp\":1763812800000,"
                     "\"host\":\"h\xef\xbf\xbd\\\"\\n\",\"target\":\"orders\","
                     "\"bean\":\"d:k=a\xef\xbf\xbd(\\u2028\",\"domain\":\"d\","
                     "\"properties\":{\"k\":\"a\xef\xbf\xbd(\\u2028\"},"
                     "\"attributes\":{\"x\xef\xbf\xbd\\u0001\\u0000y\":null},"
                     "\"tags\":{\"b\":\"d:k=a\xef\xbf\xbd(\\u2028\"}}");
    cr_assert_str_eq(f.keys[0], "d:k=a\xef\xbf\xbd(\xe2\x80\xa8", "a key is valid UTF-8 too");
    fixture_clear(&f);
    fm_rule_free(rule);
}

Test(bean, writes_nonfinite_numbers_as_asked)
{
    struct fm_rule_opts opts = {
        .agent = "a", .topic = "t", .max_bytes = 4096, .nonfinite = FM_JSON_NONFINITE_STRING};
    struct fm_rule *rule = NULL;
    cr_assert_eq(fm_rule_new(&rule, &opts, NULL), FM_OK);
    struct fixture f;
    fixture_init(&f);
    struct fm_member members[] = {
        {.key = {"a", 1}, .value = {.kind = FM_V_DOUBLE, .d = -INFINITY}},
        {.key = {"b", 1}, .value = {.kind = FM_V_FLOAT, .f = NAN}},
        {.key = {"c", 1}, .value = {.kind = FM_V_DOUBLE, .d = 3}},
    };
    struct fm_value attributes = {.kind = FM_V_OBJECT, .object = {.members = members, .n = 3}};
    fixture_value(&f, rule, "d:k=v", &attributes);
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_assert_not_null(
        strstr(f.values[0], "\"attributes\":{\"a\":\"-Infinity\",\"b\":\"NaN\",\"c\":3.0}"), "%s",
        f.values[0]);
    cr_assert_null(f.keys[0]);
    fixture_clear(&f);
    fm_rule_free(rule);
}

/* The limit counts the id with the widest seq. */
Test(bean, is_dropped_one_byte_above_the_limit)
{
    static const char json[] = "{\"A\":\"0123456789\"}";
    struct fm_rule *rule = make_rule(FM_SHAPE_BEAN, NULL, NULL, 0, 1 << 20);
    struct fixture f;
    fixture_init(&f);
    fixture_bean(&f, rule, "d:k=v", json);
    cr_assert_eq(fixture_build(&f), FM_OK);
    size_t need = strlen(f.values[0]) - strlen("1") + strlen("18446744073709551615");
    fm_rule_free(rule);

    for (size_t less = 0; less < 2; less++) {
        rule = make_rule(FM_SHAPE_BEAN, NULL, NULL, 0, need - less);
        f.beans[0].rule = rule;
        cr_assert_eq(fixture_build(&f), FM_OK);
        cr_assert_eq(f.n, 1 - less);
        cr_assert_eq(f.lost, less);
        cr_assert_eq(f.count.omitted, less);
        fm_rule_free(rule);
    }
    cr_assert_str_eq(f.lost_topic, "jmx");
    fixture_clear(&f);
}

Test(bean, that_is_too_large_does_not_cost_its_neighbours)
{
    struct fm_rule *rule = make_rule(FM_SHAPE_BEAN, NULL, NULL, 0, 300);
    struct fixture f;
    fixture_init(&f);
    char big[512] = "{\"A\":\"";
    memset(big + 6, 'x', 400);
    strncpy(big + 406, "\"}", 3);
    fixture_bean(&f, rule, "d:k=1", "{\"A\":1}");
    fixture_bean(&f, rule, "d:k=2", big);
    fixture_bean(&f, rule, "d:k=3", "{\"A\":3}");
    fixture_bean(&f, rule, "d:k=4", big);
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_assert_eq(f.n, 2);
    cr_assert_not_null(strstr(f.values[1], "d:k=3"));
    cr_assert_eq(f.lost, 2);
    cr_assert_eq(f.lost_calls, 1, "told once for a topic");
    fixture_clear(&f);
    fm_rule_free(rule);
}

Test(bean, with_a_key_beyond_all_bounds_is_lost)
{
    struct fm_rule *rule = make_rule(FM_SHAPE_BEAN, "${bean}", NULL, 0, 1 << 20);
    struct fixture f;
    fixture_init(&f);
    char *name = malloc(20000);
    memset(name, 'x', 19999);
    memcpy(name, "d:k=", 4);
    name[19999] = '\0';
    fixture_bean(&f, rule, name, "{}");
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_assert_eq(f.n, 0);
    cr_assert_eq(f.lost, 1);
    free(name);
    fixture_clear(&f);
    fm_rule_free(rule);
}

Test(metric, makes_a_record_for_each_number)
{
    struct fm_rule *rule = make_rule(FM_SHAPE_METRIC, "${domain}", prod, 1, 1 << 20);
    struct fixture f;
    fixture_init(&f);
    fixture_bean(&f, rule, "java.lang:type=Memory",
                 "{\"Verbose\":false,\"HeapMemoryUsage\":{\"max\":null,\"used\":7,\"sub\":"
                 "{\"a/b\\\\c\":1.5}},\"Name\":\"x\",\"Load\":[0.25,\"x\",2]}");
    cr_assert_eq(fixture_build(&f), FM_OK);
#define MEMORY                                                                                     \
    "\"bean\":\"java.lang:type=Memory\",\"domain\":\"java.lang\","                                 \
    "\"properties\":{\"type\":\"Memory\"},"
#define TAIL ",\"tags\":{\"env\":\"prod\"}}"
    static const char *const want[] = {
        HEAD("1") MEMORY "\"name\":\"HeapMemoryUsage/used\",\"value\":7" TAIL,
        HEAD("2") MEMORY "\"name\":\"HeapMemoryUsage/sub/a\\\\/b\\\\\\\\c\",\"value\":1.5" TAIL,
        HEAD("3") MEMORY "\"name\":\"Load/0\",\"value\":0.25" TAIL,
        HEAD("4") MEMORY "\"name\":\"Load/2\",\"value\":2" TAIL,
    };
    cr_assert_eq(f.n, 4);
    for (size_t i = 0; i < 4; i++) {
        cr_expect_str_eq(f.values[i], want[i]);
        cr_expect_str_eq(f.keys[i], "java.lang");
    }
    fixture_clear(&f);
    fm_rule_free(rule);
}

Test(metric, drops_only_the_number_whose_name_is_too_long)
{
    struct fm_rule *rule = make_rule(FM_SHAPE_METRIC, NULL, NULL, 0, 320);
    struct fixture f;
    fixture_init(&f);
    char json[400] = "{\"a\":1,\"";
    memset(json + 8, 'n', 200);
    strncpy(json + 208, "\":2,\"c\":3}", 20);
    fixture_bean(&f, rule, "d:k=v", json);
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_assert_eq(f.n, 2);
    cr_assert_not_null(strstr(f.values[1], "\"name\":\"c\",\"value\":3"));
    cr_assert_eq(f.lost, 1);
    fixture_clear(&f);
    fm_rule_free(rule);
}

Test(chunks, hold_one_topic_each_in_the_order_of_the_beans)
{
    struct fm_rule_opts opts = {
        .agent = "a", .topic = "other.${target}", .max_bytes = 1 << 20, .partition = "3"};
    struct fm_rule *a = make_rule(FM_SHAPE_BEAN, NULL, NULL, 0, 1 << 20), *b = NULL;
    cr_assert_eq(fm_rule_new(&b, &opts, NULL), FM_OK);
    struct fixture f;
    fixture_init(&f);
    fixture_bean(&f, a, "d:k=1", "{}");
    fixture_bean(&f, b, "d:k=2", "{}");
    fixture_bean(&f, a, "d:k=3", "{}");
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_assert_eq(f.chunks, 2);
    cr_assert_not_null(strstr(f.values[0], "d:k=1"));
    cr_assert_not_null(strstr(f.values[1], "d:k=3"));
    cr_assert_str_eq(f.topics[2], "other.orders");
    cr_assert_eq(f.partitions[2], 3);
    fixture_clear(&f);
    fm_rule_free(a);
    fm_rule_free(b);
}

Test(chunks, stay_below_their_size_unless_a_record_is_larger)
{
    struct fm_rule *rule = make_rule(FM_SHAPE_BEAN, NULL, NULL, 0, 1 << 20);
    struct fixture f;
    fixture_init(&f);
    char *big = malloc(100100);
    memcpy(big, "{\"A\":\"", 6);
    memset(big + 6, 'x', 100000);
    memcpy(big + 100006, "\"}", 3);
    char name[32];
    for (int i = 0; i < 60; i++) {
        (void)snprintf(name, sizeof name, "d:k=%d", i);
        big[6 + (i == 30 ? 100000 : 3000)] = '"';
        big[7 + (i == 30 ? 100000 : 3000)] = '}';
        fixture_bean(&f, rule, name, big);
        big[6 + (i == 30 ? 100000 : 3000)] = 'x';
        big[7 + (i == 30 ? 100000 : 3000)] = 'x';
        big[100006] = '"';
        big[100007] = '}';
    }
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_assert_eq(f.n, 60);
    cr_assert_gt(f.chunks, 3);
    cr_assert_gt(f.largest_chunk, 100000);
    cr_assert_lt(f.largest_chunk, 101000, "the large record is alone");
    free(big);
    fixture_clear(&f);
    fm_rule_free(rule);
}

Test(chunks, end_with_the_first_error_of_the_sink)
{
    struct fm_rule *rule = make_rule(FM_SHAPE_BEAN, NULL, NULL, 0, 1 << 20);
    struct fixture f;
    fixture_init(&f);
    fixture_bean(&f, rule, "d:k=1", "{}");
    f.sink_fails_at = 1;
    cr_assert_eq(fixture_build(&f), FM_EFULL);
    cr_assert_eq(f.n, 0);
    f.sink_fails_at = 0;
    f.chunks = 0;
    cr_assert_eq(fixture_build(&f), FM_OK, "the rule is as good as new");
    cr_assert_eq(f.n, 1);
    fixture_clear(&f);
    fm_rule_free(rule);
}

Test(rule, lets_tags_of_the_target_win_and_templates_see_them)
{
    static const char *const tags[] = {"env=none", "site=${host}"};
    static const struct fm_sample_tag own[] = {{"env", "pr\"od"}, {"rack", "7"}};
    struct fm_rule *rule = make_rule(FM_SHAPE_BEAN, "${tag.env}/${tag.site}", tags, 2, 1 << 20);
    struct fixture f;
    fixture_init(&f);
    fixture_bean(&f, rule, "d:k=v", "{\"A\":1}");
    f.sample.tags = own;
    f.sample.n_tags = 2;
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_expect_not_null(
        strstr(f.values[0], "\"tags\":{\"site\":\"web-1\",\"env\":\"pr\\\"od\",\"rack\":\"7\"}}"),
        "%s", f.values[0]);
    cr_expect_str_eq(f.keys[0], "pr\"od/web-1");
    f.sample.n_tags = 0; /* the next target of the section has none */
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_expect_not_null(strstr(f.values[0], "\"tags\":{\"env\":\"none\",\"site\":\"web-1\"}}"));
    cr_expect_str_eq(f.keys[0], "none/web-1");
    fixture_clear(&f);
    fm_rule_free(rule);
}

Test(rule, renders_templates_of_tags_keys_and_headers)
{
    static const char *const tags[] = {"site=${host}/${target}", "kind=${prop.type}",
                                       "none=${prop.zz}"};
    static const char *const headers[] = {"x=${tag.site}", "y=${topic}.${agent}"};
    struct fm_rule_opts opts = {.agent = "a",
                                .topic = "t",
                                .key = "${tag.kind}-${domain}$$",
                                .tags = tags,
                                .n_tags = 3,
                                .headers = headers,
                                .n_headers = 2,
                                .max_bytes = 4096};
    struct fm_rule *rule = NULL;
    cr_assert_eq(fm_rule_new(&rule, &opts, NULL), FM_OK);
    struct fixture f;
    fixture_init(&f);
    fixture_bean(&f, rule, "d:type=A", "{}");
    fixture_bean(&f, rule, "d:type=B", "{}");
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_assert_not_null(
        strstr(f.values[1], "\"tags\":{\"site\":\"web-1/orders\",\"kind\":\"B\",\"none\":\"\"}}"));
    cr_assert_str_eq(f.keys[0], "A-d$");
    cr_assert_str_eq(f.keys[1], "B-d$");
    cr_assert_str_eq(f.headers[1], "x=web-1/orders;y=t.a;");
    f.sample.host = "web-2"; /* the same rule for another target */
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_assert_str_eq(f.headers[1], "x=web-2/orders;y=t.a;");
    fixture_clear(&f);
    fm_rule_free(rule);
}

Test(rule, says_what_is_wrong)
{
    static const char *const bad_tag[] = {"a=${tag.b}"};
    static const char *const no_name[] = {"=x"};
    static const struct {
        struct fm_rule_opts opts;
        const char *text;
    } cases[] = {
        {{.agent = "a", .topic = "a b"}, "\"a b\" is no topic name"},
        {{.agent = "a b", .topic = "${agent}"}, "is no topic name"},
        {{.agent = "a", .topic = ""}, "is no topic name"},
        {{.agent = "a", .topic = NULL}, "is no topic name"},
        {{.agent = "a", .topic = "${bean}"}, "topic: ${bean} cannot stand here"},
        {{.agent = "a", .topic = "t", .key = "${hots}"},
         "key: there is no ${hots}; did you mean ${host}?"},
        {{.agent = "a", .topic = "t", .key = "${tag.x}"}, "there is no tag x"},
        {{.agent = "a", .topic = "t", .key = "${host"}, "closing brace"},
        {{.agent = "a", .topic = "t", .partition = "-1"}, "no partition number"},
        {{.agent = "a", .topic = "t", .partition = "99999999999"}, "no partition number"},
        {{.agent = "a", .topic = "t", .tags = bad_tag, .n_tags = 1}, "tags: ${tag.b} cannot stand"},
        {{.agent = "a", .topic = "t", .headers = no_name, .n_headers = 1}, "not name=value"},
        {{.agent = "a", .topic = "t", .key = "${bean}", .shape = FM_SHAPE_SNAPSHOT},
         "${bean} cannot stand here"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fm_rule *rule = NULL;
        struct fm_err err = {0};
        cr_expect_eq(fm_rule_new(&rule, &cases[i].opts, &err), FM_ECONF, "case %zu", i);
        cr_expect_not_null(strstr(err.text, cases[i].text), "case %zu: %s", i, err.text);
    }
}

Test(rule, loses_records_whose_topic_turns_out_wrong)
{
    struct fm_rule_opts opts = {.agent = "a", .topic = "t.${host}", .max_bytes = 4096};
    struct fm_rule *rule = NULL;
    cr_assert_eq(fm_rule_new(&rule, &opts, NULL), FM_OK);
    struct fixture f;
    fixture_init(&f);
    f.sample.host = "[::1]";
    fixture_bean(&f, rule, "d:k=1", "{}");
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_assert_eq(f.n, 0);
    cr_assert_eq(f.lost, 1);
    cr_assert_str_eq(f.lost_topic, "t.[::1]");
    struct fm_buf topic;
    fm_buf_init(&topic, 0);
    cr_assert_eq(fm_rule_topic(rule, "x", "web-1", &topic, NULL), FM_OK);
    cr_assert_str_eq(fm_buf_str(&topic), "t.web-1");
    fm_buf_clear(&topic);
    fixture_clear(&f);
    fm_rule_free(rule);
}
