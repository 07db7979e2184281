/* The consumer interface: what an instance reads, from where on, and what keeps it in bounds. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ask.h"
#include "base/clock.h"

#define JSON "application/vnd.kafka.json.v2+json"
#define BINARY "application/vnd.kafka.binary.v2+json"
#define INST "/consumers/g/instances/c"

static const char *const topics[] = {"t:2", "u:1"};

static void open_core(struct fm_core *core)
{
    struct fm_sandbox_opts opts = {.topics = topics, .n_topics = 2, .no_create = true};
    ask_open(core, &opts);
}

/* One request; the answer's status, and its body in out (NULL: not wanted). */
static unsigned send(struct fm_core *core, const char *method, const char *path, const char *body,
                     char *out, size_t size)
{
    struct answer a;
    struct fm_v2_request request = {.method = method,
                                    .path = path,
                                    .accept = FM_V2_TYPE,
                                    .content_type = body != NULL ? FM_V2_TYPE : NULL,
                                    .body = body,
                                    .body_len = body != NULL ? strlen(body) : 0};
    ask(core, &request, NULL, &a);
    if (out != NULL)
        (void)snprintf(out, size, "%s", a.body);
    unsigned status = a.status;
    ask_clear(&a);
    return status;
}

static unsigned post(struct fm_core *core, const char *path, const char *body)
{
    return send(core, "POST", path, body, NULL, 0);
}

static unsigned fetch(struct fm_core *core, const char *path, const char *accept,
                      const char *max_bytes, char *out, size_t size)
{
    struct answer a;
    struct fm_v2_request request = {
        .method = "GET", .path = path, .accept = accept, .timeout = "10", .max_bytes = max_bytes};
    ask(core, &request, NULL, &a);
    (void)snprintf(out, size, "%s", a.body);
    unsigned status = a.status;
    if (status == 200)
        cr_assert_str_eq(a.type, accept);
    ask_clear(&a);
    return status;
}

static void produce(struct fm_core *core, const char *path, const char *records)
{
    char body[2000];
    (void)snprintf(body, sizeof body, "{\"records\":[%s]}", records);
    struct answer a;
    ask_produce(core, path, body, &a);
    cr_assert_eq(a.status, 200);
    ask_clear(&a);
}

static void expect_read(struct fm_core *core, const char *accept, const char *wanted)
{
    char got[4000];
    cr_assert_eq(fetch(core, INST "/records", accept, NULL, got, sizeof got), 200, "%s", got);
    cr_assert_str_eq(got, wanted);
}

static void create(struct fm_core *core, const char *format)
{
    char body[200];
    (void)snprintf(body, sizeof body,
                   "{\"name\":\"c\",\"format\":\"%s\",\"auto.offset.reset\":\"earliest\","
                   "\"auto.commit.enable\":\"false\"}",
                   format);
    cr_assert_eq(post(core, "/consumers/g", body), 200);
}

Test(consumer, reads_assigned_partitions_from_where_it_is_told)
{
    struct fm_core core;
    open_core(&core);
    produce(&core, "/topics/t/partitions/0", "{\"key\":\"k\",\"value\":1},{\"value\":2}");
    produce(&core, "/topics/t/partitions/1", "{\"value\":{\"a\":[3]}}");
    create(&core, "json");
    cr_assert_eq(post(&core, INST "/assignments",
                      "{\"partitions\":[{\"topic\":\"t\",\"partition\":0},"
                      "{\"topic\":\"t\",\"partition\":1}]}"),
                 204);
    expect_read(
        &core, JSON,
        "[{\"topic\":\"t\",\"key\":\"k\",\"value\":1,\"partition\":0,\"offset\":0},"
        "{\"topic\":\"t\",\"key\":null,\"value\":2,\"partition\":0,\"offset\":1},"
        "{\"topic\":\"t\",\"key\":null,\"value\":{\"a\":[3]},\"partition\":1,\"offset\":0}]");
    expect_read(&core, JSON, "[]");
    cr_assert_eq(post(&core, INST "/positions",
                      "{\"offsets\":[{\"topic\":\"t\",\"partition\":0,\"offset\":1}]}"),
                 204);
    expect_read(&core, JSON,
                "[{\"topic\":\"t\",\"key\":null,\"value\":2,\"partition\":0,\"offset\":1}]");
    cr_assert_eq(post(&core, INST "/positions/beginning",
                      "{\"partitions\":[{\"topic\":\"t\",\"partition\":1}]}"),
                 204);
    expect_read(&core, JSON,
                "[{\"topic\":\"t\",\"key\":null,\"value\":{\"a\":[3]},\"partition\":1,"
                "\"offset\":0}]");
    ask_close(&core);
}

Test(consumer, begins_at_the_end_when_it_is_told_so)
{
    struct fm_core core;
    open_core(&core);
    produce(&core, "/topics/u", "{\"value\":1}");
    create(&core, "json");
    cr_assert_eq(
        post(&core, INST "/assignments", "{\"partitions\":[{\"topic\":\"u\",\"partition\":0}]}"),
        204);
    cr_assert_eq(
        post(&core, INST "/positions/end", "{\"partitions\":[{\"topic\":\"u\",\"partition\":0}]}"),
        204);
    expect_read(&core, JSON, "[]");
    produce(&core, "/topics/u", "{\"value\":2}");
    expect_read(&core, JSON,
                "[{\"topic\":\"u\",\"key\":null,\"value\":2,\"partition\":0,\"offset\":1}]");
    ask_close(&core);
}

/* A read that answers whole batches only would skip or repeat here. */
static void read_in_small_pieces(struct fm_core *core)
{
    char got[4000];
    produce(core, "/topics/t/partitions/0",
            "{\"value\":\"aaaaaaaa\"},{\"value\":\"bbbbbbbb\"},{\"value\":\"cccccccc\"}");
    produce(core, "/topics/t/partitions/1", "{\"value\":\"dddddddd\"}");
    create(core, "json");
    cr_assert_eq(post(core, INST "/subscription", "{\"topics\":[\"t\",\"u\"]}"), 204);
    size_t n = 0;
    char seen[5] = "";
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(fetch(core, INST "/records", JSON, "12", got, sizeof got), 200);
        const char *at = strstr(got, "\"value\":\"");
        if (at == NULL)
            continue;
        cr_assert_null(strstr(at + 1, "\"value\":\""), "more than max_bytes: %s", got);
        cr_assert_lt(n, 4, "a record came twice: %s", got);
        seen[n++] = at[9];
    }
    cr_assert_eq(n, 4);
    for (const char *c = "abcd"; *c != '\0'; c++)
        cr_assert_not_null(strchr(seen, *c), "%c is missing in %s", *c, seen);
    cr_assert_eq(fetch(core, INST "/records", JSON, "9", got, sizeof got), 200);
}

Test(consumer, keeps_to_max_bytes_and_loses_nothing)
{
    struct fm_core core;
    open_core(&core);
    read_in_small_pieces(&core);
    ask_close(&core);
}

Test(consumer, keeps_to_max_bytes_in_the_store_on_disk)
{
    char folder[64];
    struct fm_core core;
    ask_mkdir(folder);
    struct fm_sandbox_opts opts = {.topics = topics, .n_topics = 2, .data_dir = folder};
    ask_open(&core, &opts);
    read_in_small_pieces(&core);
    ask_close(&core);
    ask_rmdir(folder);
}

Test(consumer, of_json_stands_before_bytes_that_are_none_and_binary_reads_them)
{
    struct fm_core core;
    struct answer a;
    char got[2000];
    open_core(&core);
    struct fm_v2_request request = {.method = "POST",
                                    .path = "/topics/u",
                                    .content_type = BINARY,
                                    .body = "{\"records\":[{\"value\":\"AAE=\"}]}",
                                    .body_len = 30};
    ask(&core, &request, NULL, &a);
    cr_assert_eq(a.status, 200, "%s", a.body);
    ask_clear(&a);
    create(&core, "json");
    cr_assert_eq(post(&core, INST "/subscription", "{\"topics\":[\"u\"]}"), 204);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(fetch(&core, INST "/records", JSON, NULL, got, sizeof got), 408);
        cr_assert_not_null(strstr(got, "\"error_code\":40801"), "%s", got);
    }
    cr_assert_eq(send(&core, "DELETE", INST, NULL, NULL, 0), 204);
    create(&core, "binary");
    cr_assert_eq(post(&core, INST "/subscription", "{\"topics\":[\"u\"]}"), 204);
    expect_read(&core, BINARY,
                "[{\"topic\":\"u\",\"key\":null,\"value\":\"AAE=\",\"partition\":0,\"offset\":0}]");
    ask_close(&core);
}

Test(consumer, goes_on_where_its_group_committed)
{
    struct fm_core core;
    char got[400];
    open_core(&core);
    produce(&core, "/topics/u", "{\"value\":1},{\"value\":2},{\"value\":3}");
    create(&core, "json");
    cr_assert_eq(post(&core, INST "/subscription", "{\"topics\":[\"u\"]}"), 204);
    cr_assert_eq(fetch(&core, INST "/records", JSON, "2", got, sizeof got), 200);
    cr_assert_eq(post(&core, INST "/offsets", NULL), 200);
    cr_assert_eq(send(&core, "DELETE", INST, NULL, NULL, 0), 204);
    create(&core, "json");
    cr_assert_eq(post(&core, INST "/subscription", "{\"topics\":[\"u\"]}"), 204);
    expect_read(&core, JSON,
                "[{\"topic\":\"u\",\"key\":null,\"value\":3,\"partition\":0,\"offset\":2}]");
    /* the offset of a record read, so the next one follows */
    cr_assert_eq(post(&core, INST "/offsets",
                      "{\"offsets\":[{\"topic\":\"u\",\"partition\":0,\"offset\":0}]}"),
                 200);
    cr_assert_eq(send(&core, "GET", INST "/offsets",
                      "{\"partitions\":[{\"topic\":\"u\",\"partition\":0}]}", got, sizeof got),
                 200);
    cr_assert_str_eq(got, "{\"offsets\":[{\"topic\":\"u\",\"partition\":0,\"offset\":1,"
                          "\"metadata\":\"\"}]}");
    ask_close(&core);
}

Test(consumer, refuses_what_makes_no_sense)
{
    static const struct {
        const char *method, *path, *body;
        unsigned status;
    } cases[] = {
        {"POST", "/consumers/g", "{\"name\":\"x\",\"format\":\"avro\"}", 422},
        {"POST", "/consumers/g", "{\"name\":\"x\",\"auto.offset.reset\":\"middle\"}", 422},
        {"POST", "/consumers/g", "{\"name\":\"x\",\"colour\":\"red\"}", 422},
        {"POST", "/consumers/g", "{\"name\":\"a/b\"}", 422},
        {"POST", "/consumers/g", "{\"name\":[]}", 400},
        {"POST", "/consumers/g", "{\"name\":", 400},
        {"POST", "/consumers/g", "[]", 400},
        {"POST", "/consumers/g", "{\"name\":\"c\"}", 409},
        {"PUT", "/consumers/g", "{}", 405},
        {"GET", INST "/nothing", NULL, 404},
        {"POST", INST "/records", "{}", 405},
        {"GET", "/consumers/g/instances/d/assignments", NULL, 404},
        {"POST", INST "/subscription", NULL, 422},
        {"POST", INST "/subscription", "{\"topics\":[\"a b\"]}", 422},
        {"POST", INST "/subscription", "{\"topics\":\"t\"}", 422},
        {"POST", INST "/subscription", "{\"topic_pattern\":\"t.*\"}", 422},
        {"POST", INST "/positions", "{\"offsets\":[{\"topic\":\"t\",\"partition\":0}]}", 422},
        {"POST", INST "/positions",
         "{\"offsets\":[{\"topic\":\"t\",\"partition\":0,\"offset\":0}]}", 409},
        {"POST", INST "/assignments", "{\"partitions\":[{\"topic\":\"t\",\"partition\":-1}]}", 422},
        {"POST", INST "/assignments", "{\"partitions\":[{\"topic\":\"t\",\"partition\":0}]}", 204},
        {"POST", INST "/subscription", "{\"topics\":[\"t\"]}", 409},
        {"DELETE", INST "/subscription", NULL, 204},
        {"POST", INST "/subscription", "{\"topics\":[\"t\"]}", 204},
        {"POST", INST "/assignments", "{\"partitions\":[{\"topic\":\"t\",\"partition\":0}]}", 409},
        {"POST", "/consumers/g/x/c", "{}", 404},
    };
    struct fm_core core;
    char got[600];
    open_core(&core);
    create(&core, "json");
    cr_assert_eq(fetch(&core, INST "/records", JSON, NULL, got, sizeof got), 409, "%s", got);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_assert_eq(send(&core, cases[i].method, cases[i].path, cases[i].body, got, sizeof got),
                     cases[i].status, "%zu: %s", i, got);
    cr_assert_eq(fetch(&core, INST "/records", "text/html", NULL, got, sizeof got), 406);
    cr_assert_eq(fetch(&core, INST "/records", JSON, "many", got, sizeof got), 404);
    ask_close(&core);
}

Test(consumer, tells_what_it_is_assigned_and_subscribed_to)
{
    struct fm_core core;
    char got[400];
    open_core(&core);
    create(&core, "json");
    cr_assert_eq(post(&core, INST "/subscription", "{\"topics\":[\"t\",\"u\"]}"), 204);
    cr_assert_eq(send(&core, "GET", INST "/subscription", NULL, got, sizeof got), 200);
    cr_assert_str_eq(got, "{\"topics\":[\"t\",\"u\"]}");
    cr_assert_eq(fetch(&core, INST "/records", JSON, NULL, got, sizeof got), 200);
    cr_assert_eq(send(&core, "GET", INST "/assignments", NULL, got, sizeof got), 200);
    cr_assert_str_eq(got, "{\"partitions\":[{\"topic\":\"t\",\"partition\":0},{\"topic\":\"t\","
                          "\"partition\":1},{\"topic\":\"u\",\"partition\":0}]}");
    ask_close(&core);
}

Test(consumer, is_forgotten_when_nobody_uses_it)
{
    struct fm_core core;
    struct fm_sandbox_opts opts = {
        .topics = topics, .n_topics = 2, .no_create = true, .consumer_idle_ms = 20};
    ask_open(&core, &opts);
    create(&core, "json");
    int64_t until = fm_clock_ms() + 10000;
    while (post(&core, "/consumers/g", "{\"name\":\"c\"}") == 409 && fm_clock_ms() < until)
        (void)usleep(5000);
    cr_assert_lt(fm_clock_ms(), until);
    ask_close(&core);
}

Test(consumer, instances_are_bounded)
{
    struct fm_core core;
    open_core(&core);
    for (int i = 0; i < FM_CONSUMERS; i++)
        cr_assert_eq(post(&core, "/consumers/g", "{}"), 200);
    cr_assert_eq(post(&core, "/consumers/g", "{}"), 503);
    cr_assert_eq(send(&core, "DELETE", "/consumers/g/instances/rest-consumer-1", NULL, NULL, 0),
                 204);
    cr_assert_eq(post(&core, "/consumers/g", "{}"), 200);
    ask_close(&core);
}

Test(consumer, tells_the_address_that_it_was_asked_at)
{
    struct fm_core core;
    struct answer a;
    open_core(&core);
    struct fm_v2_request request = {.method = "POST",
                                    .path = "/consumers/g",
                                    .host = "proxy:8082",
                                    .body = "{\"name\":\"c\"}",
                                    .body_len = 12};
    ask(&core, &request, NULL, &a);
    cr_assert_str_eq(a.body, "{\"instance_id\":\"c\",\"base_uri\":\"http://proxy:8082" INST "\"}");
    ask_clear(&a);
    cr_assert_eq(send(&core, "DELETE", INST, NULL, NULL, 0), 204);
    request.host = "evil\"<x>"; /* does not get into the answer */
    ask(&core, &request, NULL, &a);
    cr_assert_str_eq(a.body, "{\"instance_id\":\"c\",\"base_uri\":\"http://127.0.0.1" INST "\"}");
    ask_clear(&a);
    ask_close(&core);
}
