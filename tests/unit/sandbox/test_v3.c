#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "sandbox/headers_priv.h"
#include "sandbox/v3_priv.h"

#define RECORDS "/v3/clusters/c/topics/t/records"

static void post(struct fm_core *core, const char *path, const char *body, struct answer *answer)
{
    char *copy = strdup(body); /* exactly as long, for the sanitizer */
    struct fm_v2_request request = {.method = "POST",
                                    .path = path,
                                    .accept = "application/json",
                                    .content_type = "application/json; charset=utf-8",
                                    .body = copy,
                                    .body_len = strlen(body)};
    ask(core, &request, NULL, answer);
    free(copy);
}

static void get(struct fm_core *core, const char *path, struct answer *answer)
{
    struct fm_v2_request request = {.method = "GET", .path = path};
    ask(core, &request, NULL, answer);
}

static struct fm_core core;

static void set_up(void)
{
    struct fm_sandbox_opts opts = {.metadata_timeout_ms = 10};
    ask_open(&core, &opts);
}

static void tear_down(void)
{
    ask_close(&core);
}

TestSuite(v3, .init = set_up, .fini = tear_down);

Test(v3, leads_a_client_from_the_clusters_to_the_limit)
{
    static const char *const paths[] = {"/v3/clusters/" FM_V3_CLUSTER "/topics/t/configs/"
                                        "max.message.bytes",
                                        "/kafka/v3/clusters/" FM_V3_CLUSTER "/topics/t",
                                        "/v3/clusters/" FM_V3_CLUSTER, "/v3/clusters"};
    static const char *const has[] = {"\"value\":\"1048588\"", "\"partitions_count\":1",
                                      "\"cluster_id\":\"" FM_V3_CLUSTER "\"", "\"data\":[{"};
    for (size_t i = 0; i < 4; i++) {
        struct answer a;
        get(&core, paths[i], &a);
        cr_assert_eq(a.status, 200, "%s: %s", paths[i], a.body);
        cr_assert_not_null(strstr(a.body, has[i]), "%s", a.body);
        ask_clear(&a);
    }
    static const char *const wrong[] = {"/v3/clusters/x/topics/t", "/v3/nothing", "/v3/",
                                        "/v3/clusters/x/topics/t/configs/other"};
    for (size_t i = 0; i < 4; i++) {
        struct answer a;
        get(&core, wrong[i], &a);
        cr_assert_eq(a.status, 404, "%s: %s", wrong[i], a.body);
        ask_clear(&a);
    }
}

/* A body and what begins each report. */
static void reports(const char *body, const char *const *wanted)
{
    struct answer a;
    post(&core, RECORDS, body, &a);
    cr_assert_eq(a.status, 200, "%s", a.body);
    const char *at = a.body;
    for (; *wanted != NULL; wanted++) {
        char start[64];
        (void)snprintf(start, sizeof start, "{\"error_code\":%s,", *wanted);
        cr_assert_eq(strncmp(at, start, strlen(start)), 0, "%s: not %s at: %s", body, start, at);
        at = strstr(at, "\r\n");
        cr_assert_not_null(at, "%s", a.body);
        at += 2;
    }
    cr_assert_eq(*at, '\0', "%s: one more: %s", body, at);
    ask_clear(&a);
}

#define REPORTS(body, ...) reports(body, (const char *const[]){__VA_ARGS__, NULL})
#define GOOD "{\"value\":{\"type\":\"JSON\",\"data\":1}}"

Test(v3, gives_each_record_a_report_and_goes_on_behind_a_bad_one)
{
    REPORTS(GOOD "{\"value\":{\"data\":1}}" GOOD, "200", "422", "200");
    REPORTS(GOOD "{\"x\":1}" GOOD, "200", "400", "200");
    REPORTS(GOOD "{\"partition_id\":-1}" GOOD, "200", "40402", "200");
    REPORTS(GOOD "{\"partition_id\":7}\n" GOOD, "200", "40401", "200");
    REPORTS("{\"value\":{\"type\":\"JSON\",\"data\":NaN}}" GOOD, "400", "200");
    REPORTS("{\"value\":{\"type\":\"STRING\",\"data\":1}}" GOOD, "400", "200");
    REPORTS("{\"timestamp\":\"yesterday\"}" GOOD, "400", "200");
    REPORTS("{\"headers\":[{\"name\":\"a\",\"value\":\"*\"}]}" GOOD, "400", "200");
    REPORTS("{\"headers\":[1,2]}" GOOD, "400", "200");
    REPORTS("{\"value\":{\"type\":\"AVRO\",\"data\":1}}" GOOD, "400", "200");
    REPORTS("{\"value\":{\"type\":\"PROTOBUF\",\"data\":1}}" GOOD, "422", "200");
    REPORTS("null", "500");
    REPORTS(GOOD "," GOOD, "200", "400");
    REPORTS(GOOD "{\"value\":", "200", "400", "400");
    cr_assert_eq(atomic_load(&core.n_records), 17);
}

Test(v3, stores_string_keys_bare_and_binary_values_as_bytes)
{
    struct answer a;
    post(&core, RECORDS,
         "{\"value\":{\"data\": {\"a\" : 1} ,\"type\":\"JSON\"},\"key\":{\"type\":\"STRING\","
         "\"data\":\"h\\u00e9\"}}{\"key\":{\"type\":\"BINARY\",\"data\":\"/w==\"}}"
         "{\"value\":{\"type\":\"BINARY\",\"data\":\"\"}}",
         &a);
    cr_assert_not_null(strstr(a.body, "\"key\":{\"type\":\"STRING\",\"size\":3}"), "%s", a.body);
    cr_assert_not_null(strstr(a.body, "\"value\":{\"type\":\"BINARY\",\"size\":0}"), "%s", a.body);
    ask_clear(&a);
    ask_get(&core, "/topics/t/partitions/0/records", &a);
    cr_assert_not_null(strstr(a.body, "\"key\":\"h\xc3\xa9\",\"value\":{\"a\" : 1},"), "%s",
                       a.body);
    ask_clear(&a);
}

Test(v3, batch_tells_successes_and_failures_by_id_and_takes_ten)
{
    struct answer a;
    post(&core, RECORDS ":batch",
         "{\"entries\":[{\"id\":\"a\",\"value\":{\"type\":\"JSON\",\"data\":1}},{\"id\":\"b\","
         "\"value\":{\"type\":\"BINARY\",\"data\":\"*\"}}]}",
         &a);
    cr_assert_eq(a.status, 207);
    cr_assert_eq(strncmp(a.body, "{\"successes\":[{\"id\":\"a\",\"cluster_id\"", 36), 0, "%s",
                 a.body);
    cr_assert_not_null(strstr(a.body, "\"failures\":[{\"id\":\"b\",\"error_code\":400,"), "%s",
                       a.body);
    ask_clear(&a);
    /* What is no entry at all ends the request, as seen at a real one; nothing is stored. */
    static const struct {
        const char *member;
        unsigned status;
    } unmapped[] = {{"\"value\":{\"type\":\"NOPE\",\"data\":1}", 400},
                    {"\"timestamp\":\"yesterday\"", 400},
                    {"\"x\":1", 422},
                    {"\"value\":{\"type\":\"JSON\",\"data\":NaN}", 400}};
    uint64_t stored = atomic_load(&core.n_records);
    for (size_t i = 0; i < sizeof unmapped / sizeof *unmapped; i++) {
        char text[200];
        (void)snprintf(text, sizeof text, "{\"entries\":[{\"id\":\"1\"},{\"id\":\"2\",%s}]}",
                       unmapped[i].member);
        post(&core, RECORDS ":batch", text, &a);
        cr_assert_eq(a.status, unmapped[i].status, "%s: %s", text, a.body);
        ask_clear(&a);
    }
    cr_assert_eq(atomic_load(&core.n_records), stored);
    char body[800] = "{\"entries\":[";
    for (int i = 0; i < 11; i++)
        (void)sprintf(body + strlen(body), "%s{\"id\":\"%d\"}", i > 0 ? "," : "", i);
    strcat(body, "]}");
    post(&core, RECORDS ":batch", body, &a);
    cr_assert_eq(a.status, 422);
    cr_assert_not_null(strstr(a.body, "42208"), "%s", a.body);
    ask_clear(&a);
    static const struct {
        const char *body, *why;
    } faults[] = {
        {"{\"entries\":[]}", "Empty batch."},
        {"{\"entries\":[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"a\"}]}", "not distinct"},
        {"{\"entries\":[{\"id\":\"a.b\"}]}", "not a valid string"},
        {"{\"entries\":[{\"id\":\"\"}]}", "not a valid string"},
        {"{\"entries\":[{\"id\":7}]}", "not a valid string"},
        {"{\"entries\":[{\"value\":null}]}", "not a valid string"},
        {"{\"entries\":[{\"id\":"
         "\"123456789012345678901234567890123456789012345678901234567890123456789012345678901\"}]}",
         "not a valid string"}};
    uint64_t before = atomic_load(&core.n_records);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        post(&core, RECORDS ":batch", faults[i].body, &a);
        cr_assert_eq(a.status, 422, "%s: %s", faults[i].body, a.body);
        cr_assert_not_null(strstr(a.body, "42208"), "%s", a.body);
        cr_assert_not_null(strstr(a.body, faults[i].why), "%s", a.body);
        ask_clear(&a);
    }
    cr_assert_eq(atomic_load(&core.n_records), before);
    post(&core, RECORDS ":batch", "{\"entries\":[{\"id\":\"a\"", &a);
    cr_assert_eq(a.status, 400);
    ask_clear(&a);
}

#define WITH_HEADERS                                                                               \
    "{\"value\":{\"type\":\"JSON\",\"data\":1},\"timestamp\":\"2023-11-14T23:13:20.1239+01:"       \
    "00\","                                                                                        \
    "\"headers\":[{\"name\":\"a\\u00e9\",\"value\":\"eHk=\"},{\"value\":null,\"name\":\"\"},"      \
    "{\"name\":\"e\",\"value\":\"\"}]}"

static void expect_headers(struct fm_core *where, const char *topic)
{
    char path[200];
    struct answer a;
    (void)snprintf(path, sizeof path, "/v3/clusters/c/topics/%s/records", topic);
    post(where, path, WITH_HEADERS GOOD, &a);
    cr_assert_null(strstr(a.body, "\"error_code\":4"), "%s", a.body);
    cr_assert_eq(a.status, 200, "%s", a.body);
    ask_clear(&a);
    (void)snprintf(path, sizeof path, "/topics/%s/partitions/0/records", topic);
    ask_get(where, path, &a);
    cr_assert_not_null(strstr(a.body, "\"headers\":[{\"name\":\"a\xc3\xa9\",\"value\":\"eHk=\"},"
                                      "{\"name\":\"\",\"value\":null},"
                                      "{\"name\":\"e\",\"value\":\"\"}],\"partition\":0,"
                                      "\"offset\":0,\"timestamp\":1700000000123}"),
                       "%s", a.body);
    cr_assert_not_null(strstr(a.body, "\"value\":1,\"partition\":0,\"offset\":1,"), "%s", a.body);
    ask_clear(&a);
}

Test(v3, keeps_headers_and_the_time_of_a_record)
{
    expect_headers(&core, "t");
    REPORTS("{\"headers\":[{\"value\":\"eHk=\"}]}" GOOD, "400", "200");
    REPORTS("{\"headers\":[{\"name\":1}]}" GOOD, "400", "200");
    REPORTS("{\"headers\":[]}" GOOD, "200", "200");
}

Test(v3, keeps_headers_on_disk)
{
    char folder[64];
    ask_mkdir(folder);
    struct fm_sandbox_opts opts = {.data_dir = folder};
    static const char *const topics[] = {"t", "u"};
    for (size_t i = 0; i < 2; i++) { /* the second time in a folder that is there */
        struct fm_core disk;
        ask_open(&disk, &opts);
        expect_headers(&disk, topics[i]);
        ask_close(&disk);
    }
    ask_rmdir(folder);
}

Test(headers, stop_at_the_first_that_is_not_whole)
{
    struct fm_buf packed;
    fm_buf_init(&packed, 0);
    fm_headers_put(&packed, &(struct fm_header){"name", 4, "value", 5});
    fm_headers_put(&packed, &(struct fm_header){"n", 1, NULL, 0});
    for (size_t len = 0; len <= packed.len; len++) {
        char *copy = malloc(len + 1); /* as long as it says, for the sanitizer */
        memcpy(copy, packed.data, len);
        copy = realloc(copy, len > 0 ? len : 1);
        const char *at = copy;
        size_t left = len, n = 0;
        struct fm_header h;
        while (fm_headers_next(&at, &left, &h))
            n++;
        cr_assert_eq(n, (len >= 18) + (len >= 28), "%zu of %zu", n, len);
        free(copy);
    }
    packed.data[12] = 'x'; /* the zero behind the name */
    const char *at = packed.data;
    size_t left = packed.len;
    struct fm_header h;
    cr_assert(!fm_headers_next(&at, &left, &h));
    fm_buf_clear(&packed);
}

Test(headers, read_instants)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"1970-01-01T00:00:00Z", 0},
                {"2023-11-14T22:13:20Z", 1700000000000},
                {"2023-11-14T22:13:20.1Z", 1700000000100},
                {"2023-11-14T22:13:20.123456789Z", 1700000000123},
                {"2024-02-29T23:59:59.999-00:30", 1709252999999},
                {"0001-01-01T00:00:00Z", -62135596800000}};
    static const char *const bad[] = {"",
                                      "2023-11-14T22:13:20",
                                      "2023-11-14 22:13:20Z",
                                      "2023-13-14T22:13:20Z",
                                      "2023-11-14T24:13:20Z",
                                      "2023-11-14T22:13:20.Z",
                                      "2023-11-14T22:13:20.0123456789Z",
                                      "2023-11-14T22:13:20+0100",
                                      "2023-11-14T22:13:20ZZ",
                                      "2o23-11-14T22:13:20Z"};
    int64_t ms;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        cr_assert(fm_instant_parse(good[i].text, strlen(good[i].text), &ms), "%s", good[i].text);
        cr_assert_eq(ms, good[i].ms, "%s is %lld", good[i].text, (long long)ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert(!fm_instant_parse(bad[i], strlen(bad[i]), &ms), "%s", bad[i]);
}
