#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "rest/rest_priv.h"
#include "rig.h"

static size_t build(struct fm_buf *body, const struct fm_batch_limits *limits,
                    struct fm_spool_item *items, size_t n)
{
    struct fm_spool_batch batch = {.items = items, .n = n};
    size_t used;
    cr_assert_eq(fm_batch_build(body, limits, &batch, &used, NULL), FM_OK);
    return used;
}

static const struct fm_batch_limits plain = {.dialect = FM_DIALECT_CONFLUENT_V2,
                                             .format = FM_REST_JSON,
                                             .max_records = 500,
                                             .max_body = 350 * 1024,
                                             .size_limit = 1048576};

Test(batch, json_puts_identity_key_and_partition)
{
    struct fm_buf body;
    fm_buf_init(&body, 0);
    struct fm_spool_item items[] = {rig_item(7, "web \"1\"", "{\"v\":1,\"x\":2}"),
                                    rig_item(8, NULL, "{}")};
    items[0].rec.id_at = 7;
    items[0].rec.partition = 3;
    cr_assert_eq(build(&body, &plain, items, 2), 2);
    cr_assert_str_eq(fm_buf_str(&body),
                     "{\"records\":[{\"key\":\"web \\\"1\\\"\",\"value\":{\"v\":1,\"stream\":"
                     "\"3f9c2a71d04be811\",\"seq\":7,\"x\":2},\"partition\":3},{\"value\":{}}]}");
    fm_buf_clear(&body);
}

Test(batch, binary_puts_base64)
{
    struct fm_buf body;
    fm_buf_init(&body, 0);
    struct fm_batch_limits limits = plain;
    limits.format = FM_REST_BINARY;
    struct fm_spool_item items[] = {rig_item(1, "k", "hello"), rig_item(2, NULL, "\xff")};
    cr_assert_eq(build(&body, &limits, items, 2), 2);
    cr_assert_str_eq(
        fm_buf_str(&body),
        "{\"records\":[{\"key\":\"aw==\",\"value\":\"aGVsbG8=\"},{\"value\":\"/w==\"}]}");
    fm_buf_clear(&body);
}

Test(batch, stops_at_records_and_at_bytes_but_takes_one_always)
{
    struct fm_buf body;
    fm_buf_init(&body, 0);
    struct fm_spool_item items[10];
    for (size_t i = 0; i < 10; i++)
        items[i] = rig_item(i + 1, NULL, "{\"n\":1234567890}");
    struct fm_batch_limits limits = plain;
    limits.max_records = 4;
    cr_assert_eq(build(&body, &limits, items, 10), 4);
    size_t len = body.len;
    limits.max_records = 10;
    limits.max_body = len;
    cr_assert_eq(build(&body, &limits, items, 10), 4);
    cr_assert_eq(body.len, len);
    limits.max_body = len - 1;
    cr_assert_eq(build(&body, &limits, items, 10), 3);
    limits.max_body = 5;
    cr_assert_eq(build(&body, &limits, items, 10), 1);
    fm_buf_clear(&body);
}

Test(batch, a_record_over_the_limit_goes_alone)
{
    struct fm_buf body;
    fm_buf_init(&body, 0);
    char big[400];
    memset(big, 'x', sizeof big);
    memcpy(big, "{\"s\":\"", 6);
    memcpy(big + sizeof big - 3, "\"}", 3);
    struct fm_spool_item items[] = {rig_item(1, NULL, "{}"), rig_item(2, NULL, big),
                                    rig_item(3, NULL, "{}")};
    struct fm_batch_limits limits = plain;
    limits.size_limit = FM_RECORD_EXTRA + 399;
    cr_assert_eq(build(&body, &limits, items, 3), 3); /* exactly at the limit */
    limits.size_limit--;
    cr_assert_eq(build(&body, &limits, items, 3), 1);
    cr_assert_eq(build(&body, &limits, items + 1, 2), 1);
    fm_buf_clear(&body);
}

Test(batch, counts_12_bytes_for_a_character_above_ffff_in_json)
{
    struct fm_spool_item it = rig_item(1, "k", "\"\xf0\x9f\x98\x80\"");
    cr_assert_eq(fm_batch_stored_size(FM_REST_JSON, &it), 3 + 14 + FM_RECORD_EXTRA);
    cr_assert_eq(fm_batch_stored_size(FM_REST_BINARY, &it), 1 + 6 + FM_RECORD_EXTRA);
}

Test(batch, karapace_keeps_the_sum_below_the_limit_and_the_body_below_1_mib)
{
    struct fm_buf body;
    fm_buf_init(&body, 0);
    struct fm_spool_item items[10];
    for (size_t i = 0; i < 10; i++)
        items[i] = rig_item(i + 1, NULL, "{\"n\":1234567890}"); /* 16 + 100 */
    struct fm_batch_limits limits = plain;
    limits.dialect = FM_DIALECT_KARAPACE;
    limits.size_limit = 3 * 116 + 1;
    cr_assert_eq(build(&body, &limits, items, 10), 3);
    limits.size_limit = 3 * 116;
    cr_assert_eq(build(&body, &limits, items, 10), 2);
    char *big = malloc(600000);
    memset(big, 'x', 599999);
    big[599999] = '\0';
    big[0] = big[599998] = '"';
    items[0] = rig_item(1, NULL, big);
    items[1] = rig_item(2, NULL, big);
    limits.size_limit = 10000000;
    limits.max_body = 10000000;
    cr_assert_eq(build(&body, &limits, items, 2), 1);
    free(big);
    fm_buf_clear(&body);
}

Test(conf, takes_a_bare_host_as_the_root_of_v3)
{
    static const char *const urls[][2] = {{"https://host:8082", "https://host:8082/v3"},
                                          {"https://host:8082//", "https://host:8082/v3"},
                                          {"https://host/v3/", "https://host/v3"},
                                          {"https://host/kafka/v3", "https://host/kafka/v3"},
                                          {"http://host/prefix", "http://host/prefix"}};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct fm_rest_conf *conf;
        struct fm_rest_opts o = {
            .urls = &urls[i][0], .n_urls = 1, .dialect = FM_DIALECT_CONFLUENT_V3};
        cr_assert_eq(fm_rest_conf_new(&conf, &o, NULL), FM_OK);
        cr_assert_str_eq(conf->o.urls[0], urls[i][1]);
        fm_rest_conf_free(conf);
        o.dialect = FM_DIALECT_CONFLUENT_V2;
        cr_assert_eq(fm_rest_conf_new(&conf, &o, NULL), FM_OK);
        cr_assert_eq(i < 2, strcmp(conf->o.urls[0], urls[i][1]) != 0);
        fm_rest_conf_free(conf);
    }
}

Test(conf, refuses_what_cannot_be_a_base_url)
{
    static const char *const bad[] = {"ftp://x",    "http://", "http:///x", "https://u:p@host",
                                      "http://x?q", "x",       "http://a b"};
    struct fm_rest_conf *conf;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct fm_rest_opts o = {.urls = &bad[i], .n_urls = 1};
        cr_assert_eq(fm_rest_conf_new(&conf, &o, NULL), FM_ECONF, "%s", bad[i]);
    }
    const char *good = "https://host/prefix//";
    struct fm_rest_opts o = {.urls = &good, .n_urls = 1};
    cr_assert_eq(fm_rest_conf_new(&conf, &o, NULL), FM_OK);
    cr_assert_str_eq(conf->o.urls[0], "https://host/prefix");
    fm_rest_conf_free(conf);
    cr_assert(fm_rest_topic_valid("a.b_c-9"));
    cr_assert(!fm_rest_topic_valid("in valid*") && !fm_rest_topic_valid("..") &&
              !fm_rest_topic_valid(""));
}
