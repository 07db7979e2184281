#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
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
         "\"value\":{\"type\":\"NOPE\",\"data\":1}}]}",
         &a);
    cr_assert_eq(a.status, 207);
    cr_assert_eq(strncmp(a.body, "{\"successes\":[{\"id\":\"a\",\"cluster_id\"", 36), 0, "%s",
                 a.body);
    cr_assert_not_null(strstr(a.body, "\"failures\":[{\"id\":\"b\",\"error_code\":400,"), "%s",
                       a.body);
    ask_clear(&a);
    char body[800] = "{\"entries\":[";
    for (int i = 0; i < 11; i++)
        (void)sprintf(body + strlen(body), "%s{\"id\":\"%d\"}", i > 0 ? "," : "", i);
    strcat(body, "]}");
    post(&core, RECORDS ":batch", body, &a);
    cr_assert_eq(a.status, 422);
    cr_assert_not_null(strstr(a.body, "42208"), "%s", a.body);
    ask_clear(&a);
    post(&core, RECORDS ":batch", "{\"entries\":[{\"id\":\"a\"", &a);
    cr_assert_eq(a.status, 400);
    ask_clear(&a);
}
