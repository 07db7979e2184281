/* The stores in memory and on disk behave alike. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"

static void expect(struct answer *a, unsigned status, const char *part)
{
    cr_assert_eq(a->status, status, "%u %s", a->status, a->body);
    cr_assert_not_null(strstr(a->body, part), "%s is not in %s", part, a->body);
    ask_clear(a);
}

static void run_tour(struct fm_core *core)
{
    struct answer a;
    ask_get(core, "/topics", &a);
    expect(&a, 200, "[]");
    ask_get(core, "/topics/probed", &a);
    expect(&a, 200, "\"name\":\"probed\"");
    ask_produce(core, "/topics/made",
                "{\"records\":[{\"key\":\"a\",\"value\":{\"s\":\"\\u00e9 \xc3\xa9\"}},{},"
                "{\"key\":null,\"value\":null},{\"value\":\"\"}]}",
                &a);
    expect(&a, 200,
           "{\"partition\":0,\"offset\":3,\"error_code\":null,\"error\":null}],"
           "\"key_schema_id\":null,\"value_schema_id\":null}");
    ask_get(core, "/topics", &a);
    expect(&a, 200, "[\"probed\",\"made\"]");
    ask_get(core, "/topics/made/partitions/0/records", &a);
    cr_assert_not_null(strstr(a.body, "\"key\":\"a\",\"value\":{\"s\":\"\\u00e9 \xc3\xa9\"}"));
    cr_assert_not_null(strstr(a.body, "\"key\":null,\"value\":null,\"partition\":0,\"offset\":2"));
    expect(&a, 200, "\"key\":null,\"value\":\"\",\"partition\":0,\"offset\":3");
    struct fm_v2_request two = {.method = "GET",
                                .path = "/topics/made/partitions/0/records",
                                .accept = "application/vnd.kafka.binary.v2+json",
                                .offset = "1",
                                .max = "1"};
    ask(core, &two, NULL, &a);
    cr_assert_str_eq(a.type, "application/vnd.kafka.binary.v2+json");
    cr_assert_null(strstr(a.body, "\"offset\":2"));
    expect(&a, 200,
           "[{\"topic\":\"made\",\"key\":null,\"value\":null,\"partition\":0,\"offset\":1");
    ask_get(core, "/topics/made/partitions/0/offsets", &a);
    expect(&a, 200, "{\"beginning_offset\":0,\"end_offset\":4}");
    ask_get(core, "/topics/made/partitions/1/records", &a);
    expect(&a, 404, "\"error_code\":40402");
    ask_get(core, "/topics/made/partitions/1", &a);
    expect(&a, 404, "\"error_code\":40402");
    ask_get(core, "/topics/made/partitions/0", &a);
    expect(&a, 200, "{\"partition\":0,\"leader\":1");
    ask_get(core, "/topics/nowhere/partitions/0/records", &a);
    expect(&a, 404, "\"error_code\":40403");
}

Test(store, in_memory_makes_topics_and_reads_back)
{
    struct fm_core core;
    struct fm_sandbox_opts opts = {0};
    ask_open(&core, &opts);
    run_tour(&core);
    struct fm_sandbox_stats stats;
    fm_core_stats(&core, &stats);
    cr_assert_eq(stats.records, 4);
    cr_assert_eq(stats.kept_records, 4);
    cr_assert_eq(stats.produced, 1);
    ask_close(&core);
}

Test(store, on_disk_makes_topics_reads_back_and_remembers)
{
    char folder[64];
    ask_mkdir(folder);
    struct fm_core core;
    struct fm_sandbox_opts opts = {.data_dir = folder};
    ask_open(&core, &opts);
    run_tour(&core);
    ask_close(&core);
    ask_open(&core, &opts);
    struct answer a;
    ask_produce(&core, "/topics/made", "{\"records\":[{\"value\":5}]}", &a);
    expect(&a, 200, "\"offset\":4");
    ask_get(&core, "/topics/made/partitions/0/offsets", &a);
    expect(&a, 200, "{\"beginning_offset\":0,\"end_offset\":5}");
    ask_close(&core);
    ask_rmdir(folder);
}

/* As a version before headers left it: no such column. */
static void take_headers_away(const char *folder)
{
    char file[128];
    sqlite3 *db = NULL;
    (void)snprintf(file, sizeof file, "%s/sandbox.db", folder);
    cr_assert_eq(sqlite3_open(file, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, "ALTER TABLE record DROP COLUMN headers", NULL, NULL, NULL),
                 SQLITE_OK, "%s", sqlite3_errmsg(db));
    (void)sqlite3_close(db);
}

Test(store, goes_on_in_a_folder_of_a_version_without_headers)
{
    char folder[64];
    ask_mkdir(folder);
    struct fm_core core;
    struct fm_sandbox_opts opts = {.data_dir = folder};
    struct answer a;
    ask_open(&core, &opts);
    ask_produce(&core, "/topics/made", "{\"records\":[{\"value\":5}]}", &a);
    expect(&a, 200, "\"offset\":0");
    ask_close(&core);
    take_headers_away(folder);
    for (int run = 0; run < 2; run++) { /* the second one finds the column there */
        ask_open(&core, &opts);
        ask_produce(&core, "/topics/made", "{\"records\":[{\"value\":6}]}", &a);
        expect(&a, 200, run == 0 ? "\"offset\":1" : "\"offset\":2");
        ask_get(&core, "/topics/made/partitions/0/records", &a);
        cr_assert_not_null(strstr(a.body, "\"value\":5,\"partition\":0,\"offset\":0"), "%s",
                           a.body);
        expect(&a, 200, "\"value\":6,\"partition\":0,\"offset\":1");
        ask_close(&core);
    }
    ask_rmdir(folder);
}

Test(store, refuses_a_folder_with_something_else_in_it)
{
    char folder[64], file[128];
    ask_mkdir(folder);
    (void)snprintf(file, sizeof file, "%s/sandbox.db", folder);
    FILE *f = fopen(file, "w");
    (void)fputs("this is not a database, but long enough to be looked at as one ..............."
                "..............................................................................",
                f);
    (void)fclose(f);
    struct fm_core core;
    struct fm_err err;
    struct fm_sandbox_opts opts = {.data_dir = folder};
    static const struct fm_core_hooks hooks = {NULL, NULL};
    cr_assert_eq(fm_core_open(&core, &opts, &hooks, &err), FM_EDAMAGE);
    cr_assert_not_null(strstr(fm_err_text(&err), file), "%s", fm_err_text(&err));
    ask_rmdir(folder);
}

Test(store, in_memory_keeps_to_its_bound_and_drops_the_oldest_of_all_topics)
{
    struct fm_core core;
    struct fm_sandbox_opts opts = {.max_bytes = 100000};
    ask_open(&core, &opts);
    struct answer a;
    char body[256], pad[101];
    memset(pad, 'x', 100);
    pad[100] = '\0';
    ask_produce(&core, "/topics/first", "{\"records\":[{\"value\":1}]}", &a);
    ask_clear(&a);
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(body, sizeof body, "{\"records\":[{\"value\":{\"n\":%d,\"pad\":\"%s\"}}]}",
                       i, pad);
        ask_produce(&core, "/topics/second", body, &a);
        cr_assert_eq(a.status, 200);
        ask_clear(&a);
    }
    struct fm_sandbox_stats stats;
    fm_core_stats(&core, &stats);
    cr_assert(stats.kept_bytes <= 100000 && stats.kept_bytes > 90000);
    cr_assert_eq(stats.records, 3001);
    ask_get(&core, "/topics/first/partitions/0/offsets", &a);
    expect(&a, 200, "{\"beginning_offset\":1,\"end_offset\":1}");
    char wanted[64];
    (void)snprintf(wanted, sizeof wanted, "\"beginning_offset\":%d,\"end_offset\":3000",
                   3000 - (int)stats.kept_records);
    ask_get(&core, "/topics/second/partitions/0/offsets", &a);
    expect(&a, 200, wanted);
    struct fm_v2_request last = {.method = "GET",
                                 .path = "/topics/second/partitions/0/records",
                                 .offset = "2999",
                                 .max = "10"};
    ask(&core, &last, NULL, &a);
    expect(&a, 200, "{\"n\":2999,");
    ask_close(&core);
}

Test(store, sends_a_key_to_one_partition_and_counts_offsets_in_each)
{
    static const char *const topics[] = {"t:4"};
    struct fm_core core;
    struct fm_sandbox_opts opts = {.topics = topics, .n_topics = 1};
    ask_open(&core, &opts);
    struct answer a;
    int partition[2] = {-1, -1};
    for (int i = 0; i < 2; i++) {
        ask_produce(&core, "/topics/t", "{\"records\":[{\"key\":\"host\",\"value\":1}]}", &a);
        cr_assert_eq(sscanf(a.body, "{\"offsets\":[{\"partition\":%d", &partition[i]), 1);
        ask_clear(&a);
    }
    cr_assert_eq(partition[0], partition[1]);
    ask_produce(&core, "/topics/t/partitions/3",
                "{\"records\":[{\"value\":1},{\"partition\":1,\"value\":2}]}", &a);
    cr_assert_not_null(strstr(a.body, "{\"partition\":3,"));
    expect(&a, 200, "{\"partition\":1,");
    ask_close(&core);
}

Test(store, says_what_is_wrong_with_a_topic_option)
{
    static const struct {
        const char *text, *part;
    } rows[] = {{"a b", "not a legal"}, {"", "not a legal"},      {"..", "not a legal"},
                {"t:0", "partitions"},  {"t:x", "partitions"},    {"t:1:5", "size limit"},
                {"t:1:1000:1", "size"}, {"t:99999", "partitions"}};
    struct fm_core core;
    struct fm_err err;
    static const struct fm_core_hooks hooks = {NULL, NULL};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *const topics[] = {rows[i].text};
        struct fm_sandbox_opts opts = {.topics = topics, .n_topics = 1};
        cr_assert_eq(fm_core_open(&core, &opts, &hooks, &err), FM_ECONF, "%s", rows[i].text);
        cr_assert_not_null(strstr(fm_err_text(&err), rows[i].part), "%s", fm_err_text(&err));
    }
    struct fm_sandbox_opts both = {.data_dir = "/tmp", .kafka = "localhost:1"};
    cr_assert_eq(fm_core_open(&core, &both, &hooks, &err), FM_ECONF);
}
