/* What the golden files do not show of the v2 interface. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"

static void produce(struct fm_core *core, const char *type, const char *body, size_t len,
                    struct answer *a)
{
    struct fm_v2_request request = {
        .method = "POST", .path = "/topics/t", .content_type = type, .body = body, .body_len = len};
    ask(core, &request, NULL, a);
}

static const char json[] = "application/vnd.kafka.json.v2+json";
static const char binary[] = "application/vnd.kafka.binary.v2+json";

Test(v2, refuses_bodies_with_the_code_that_fits)
{
    static const struct {
        const char *type, *body;
        unsigned status;
        const char *part;
    } rows[] = {
        {json, "{\"records\":[{\"value\":1}]}x", 400, "\"error_code\":400"},
        {json, "{\"records\":[{\"value\":1},]}", 400, "\"error_code\":400"},
        {json, "{\"records\":[{\"value\":01}]}", 400, "\"error_code\":400"},
        {json, "{\"records\":[{\"value\":-Infinity}]}", 400, "'Infinity'"},
        {json, "{\"records\":[{\"value\":nul}]}", 400, "Unrecognized token 'nul'"},
        {json, "{\"records\":{\"value\":1}}", 400, "no array"},
        {json, "{\"records\":[1]}", 400, "no object"},
        {json, "{\"records\":[null]}", 422, "must not be null"},
        {json, "{\"records\":null}", 422, "must not be empty"},
        {json, "{\"records\":[{\"value\":1}],\"records\":[]}", 422, "must not be empty"},
        {json, "{\"records\":[{\"value\":1,\"headers\":[]}]}", 422, "Unrecognized field: headers"},
        {json, "{\"records\":[{\"value\":1,\"timestamp\":5}]}", 422, "field: timestamp"},
        {json, "{\"records\":[{\"value\":1,\"partition\":\"1\"}]}", 400, "no integer"},
        {json, "{\"records\":[{\"value\":1,\"partition\":99999999999}]}", 400, "no integer"},
        {json, "{\"records\":[{\"value\":1,\"partition\":1.5}]}", 400, "no integer"},
        {json, "\"text\"", 400, "no object"},
        {binary, "{\"records\":[{\"value\":\"a_-b\"}]}", 400, "not a valid base64"},
        {binary, "{\"records\":[{\"value\":\"a\"}]}", 400, "not a valid base64"},
        {binary, "{\"records\":[{\"key\":5}]}", 400, "data=5 is not a base64 string."},
        {binary, "{\"records\":[]}", 422, "produceBinary.request.records must not be empty"},
        {"application/vnd.kafka.avro.v2+json", "{\"records\":[{\"value\":1}]}", 422, "42202"},
        {"application/vnd.kafka.protobuf.v2+json", "{\"records\":[{\"value\":1}]}", 422, "42207"},
    };
    struct fm_core core;
    struct fm_sandbox_opts opts = {0};
    ask_open(&core, &opts);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct answer a;
        produce(&core, rows[i].type, rows[i].body, strlen(rows[i].body), &a);
        cr_assert_eq(a.status, rows[i].status, "%s: %u %s", rows[i].body, a.status, a.body);
        cr_assert_not_null(strstr(a.body, rows[i].part), "%s: %s", rows[i].body, a.body);
        ask_clear(&a);
    }
    struct fm_sandbox_stats stats;
    fm_core_stats(&core, &stats);
    cr_assert_eq(stats.records, 0, "a request that is refused stores nothing");
    ask_close(&core);
}

Test(v2, takes_what_confluent_takes)
{
    static const struct {
        const char *type, *body;
    } rows[] = {
        {json, "{\"value_schema\":\"x\",\"key_schema_id\":1,\"records\":[{\"value\":1}]}"},
        {json, " {\"records\" : [ {\"partition\":null,\"value\":[{\"a\":[]}]} ] } \n"},
        {json, "{\"records\":[{\"value\":1e400},{\"value\":123456789012345678901234567890}]}"},
        {json, "{\"records\":[],\"records\":[{\"value\":1}]}"},
        {json, "{\"rec\\u006frds\":[{\"v\\u0061lue\":1}]}"},
        {binary, "{\"records\":[{\"value\":\"eA\"},{\"value\":\"\"},{\"value\":\"eA==\"}]}"},
        {binary, "{\"records\":[{\"value\":\"\\u0065A==\"}]}"},
        {NULL, "{\"records\":[{\"value\":\"eA==\"}]}"},
        {"APPLICATION/vnd.kafka.JSON.v2+json ; charset=utf-8", "{\"records\":[{\"value\":1}]}"},
    };
    struct fm_core core;
    struct fm_sandbox_opts opts = {0};
    ask_open(&core, &opts);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct answer a;
        produce(&core, rows[i].type, rows[i].body, strlen(rows[i].body), &a);
        cr_assert_eq(a.status, 200, "%s: %u %s", rows[i].body, a.status, a.body);
        cr_assert_null(strstr(a.body, "\"offset\":null"), "%s: %s", rows[i].body, a.body);
        ask_clear(&a);
    }
    ask_close(&core);
}

Test(v2, survives_every_cut_and_every_flipped_byte_of_a_request)
{
    static const char body[] =
        "{\"records\":[{\"key\":\"h\xc3\xa9\",\"value\":{\"n\":[1,-2.5e3,null,"
        "true]},\"partition\":0},{\"value\":\"\\ud83d\\ude00\"}]}";
    struct fm_core core;
    struct fm_sandbox_opts opts = {.metadata_timeout_ms = 1};
    ask_open(&core, &opts);
    for (size_t i = 0; i < sizeof body - 1; i++) {
        struct answer a;
        char *copy = malloc(sizeof body - 1); /* so that ASan sees a read beyond the end */
        memcpy(copy, body, sizeof body - 1);
        char *cut = malloc(i + 1);
        memcpy(cut, body, i);
        produce(&core, json, cut, i, &a);
        cr_assert(a.status == 400 || (i == 0 && a.status == 422), "cut at %zu: %u", i, a.status);
        ask_clear(&a);
        for (int bit = 0; bit < 8; bit++) {
            copy[i] = (char)(body[i] ^ 1 << bit);
            produce(&core, bit % 2 == 0 ? json : binary, copy, sizeof body - 1, &a);
            cr_assert(a.status >= 200 && a.status <= 500);
            ask_clear(&a);
        }
        free(copy);
        free(cut);
    }
    ask_close(&core);
}

Test(v2, asks_for_the_password_before_anything_else)
{
    struct fm_core core;
    struct fm_sandbox_opts opts = {.username = "edge", .password = "s3cret:x"};
    ask_open(&core, &opts);
    struct fm_v2_request request = {
        .method = "GET", .path = "/topics/t", .accept = FM_V2_TYPE ", application/json;q=0.5"};
    static const struct {
        const char *header;
        unsigned status;
    } rows[] = {{NULL, 401},
                {"", 401},
                {"Basic", 401},
                {"Basic ZWRnZTp3cm9uZw==", 401},
                {"Bearer ZWRnZTpzM2NyZXQ6eA==", 401},
                {"Basic ZWRnZTpzM2NyZXQ6eA==", 200}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct answer a;
        ask(&core, &request, rows[i].header, &a);
        cr_assert_eq(a.status, rows[i].status, "%s", rows[i].header);
        if (a.status == 401) {
            cr_assert_str_eq(a.header, "WWW-Authenticate: Basic realm=\"sandbox\"");
            cr_assert_not_null(strstr(a.body, "\"message\":\"Unauthorized\""));
        }
        ask_clear(&a);
    }
    ask_close(&core);
}

Test(v2, answers_paths_and_types_as_the_server_below_does)
{
    static const struct {
        const char *method, *path, *accept;
        unsigned status;
        const char *type, *part;
    } rows[] = {
        {"GET", "/", NULL, 200, FM_V2_TYPE, "{}"},
        {"GET", "//topics/t", NULL, 400, "text/html;charset=iso-8859-1", "Ambiguous URI"},
        {"GET", "//topics/t", "application/json", 400, "application/json", "Ambiguous URI"},
        {"GET", "//topics/t", FM_V2_TYPE, 400, "", ""},
        {"GET", "/v3x/clusters", NULL, 404, "", "\"error_code\":404"},
        {"GET", "/topics/t/partitions/x", NULL, 404, "", "\"error_code\":404"},
        {"GET", "/topics/t/partitions/0/x", NULL, 404, "", "\"error_code\":404"},
        {"GET", "/topics/t/x", NULL, 404, "", "\"error_code\":404"},
        {"DELETE", "/topics", NULL, 405, "", "\"error_code\":405"},
        {"POST", "/topics", NULL, 405, "", "\"error_code\":405"},
        {"GET", "/topics", "text/*, application/vnd.kafka.v2+json;q=0", 406, "", "406"},
        {"GET", "/topics", "text/*, application/*;q=0.1", 200, FM_V2_TYPE, "[]"},
        {"GET", "/topics/t/partitions/0/records", "text/plain", 406, "", "406"},
        {"GET", "/topics/sp ace", NULL, 404, FM_V2_TYPE, "\"error_code\":40403"},
    };
    struct fm_core core;
    struct fm_sandbox_opts opts = {0};
    ask_open(&core, &opts);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fm_v2_request request = {
            .method = rows[i].method, .path = rows[i].path, .accept = rows[i].accept};
        struct answer a;
        ask(&core, &request, NULL, &a);
        cr_assert_eq(a.status, rows[i].status, "%s: %u %s", rows[i].path, a.status, a.body);
        cr_assert_str_eq(a.type, rows[i].type, "%s", rows[i].path);
        cr_assert_not_null(strstr(a.body, rows[i].part), "%s: %s", rows[i].path, a.body);
        ask_clear(&a);
    }
    ask_close(&core);
}
