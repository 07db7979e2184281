/* The scripted peer: what the script says happens, and the ledger tells the truth about it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "base/clock.h"

static const char three[] = "{\"records\":[{\"value\":{\"seq\":1}},{\"value\":{\"seq\":2}},"
                            "{\"value\":{\"seq\":3,\"poison\":true}}]}";

static void open_script(struct fm_core *core, const char *script)
{
    struct fm_sandbox_opts opts = {.faults = script};
    ask_open(core, &opts);
}

static int64_t stored(struct fm_core *core)
{
    struct answer a;
    long long end = -1;
    ask_get(core, "/topics/t/partitions/0/offsets", &a);
    const char *at = strstr(a.body, "\"end_offset\":");
    if (at != NULL)
        end = atoll(at + 13);
    ask_clear(&a);
    return end;
}

Test(faults, are_counted_per_produce_request)
{
    struct fm_core core;
    struct answer a;
    open_script(&core, "# a comment\n\n"
                       "2 status 503 retry-after 2\n"
                       "3-4 status 429\n"
                       "6+ html\n");
    static const unsigned status[] = {200, 503, 429, 429, 200, 200, 200};
    for (size_t i = 0; i < 7; i++) {
        ask_produce(&core, "/topics/t", three, &a);
        cr_assert_eq(a.status, status[i], "request %zu", i + 1);
        cr_assert_str_eq(a.header, i == 1 ? "Retry-After: 2" : "");
        cr_assert_eq(strstr(a.body, "<html>") != NULL, i >= 5);
        ask_clear(&a);
    }
    cr_assert_eq(stored(&core), 6, "only the first and the fifth were stored");
    struct fm_err err;
    cr_assert_eq(fm_core_faults(&core, "1 status 500", &err), FM_OK);
    ask_produce(&core, "/topics/t", three, &a);
    cr_assert_eq(a.status, 500, "a new script counts from 1");
    ask_clear(&a);
    ask_close(&core);
}

Test(faults, refuse_single_records_by_number_and_by_content)
{
    struct fm_core core;
    struct answer a;
    open_script(&core, "1 record 2 error 50002 \"say \\\"no\\\"\"\n"
                       "2 record if poison error 50003 later\n"
                       "3 record 1-2 error 40301 denied\n"
                       "4 if \"\\\"poison\\\"\" status 422 store\n");
    ask_produce(&core, "/topics/t", three, &a);
    cr_assert_not_null(strstr(a.body, "\"offset\":0,\"error_code\":null,\"error\":null},"
                                      "{\"partition\":null,\"offset\":null,\"error_code\":50002,"
                                      "\"error\":\"say \\\"no\\\"\"},"
                                      "{\"partition\":0,\"offset\":1,"));
    ask_clear(&a);
    ask_produce(&core, "/topics/t", three, &a);
    cr_assert_not_null(strstr(a.body, "50003,\"error\":\"later\"}]"));
    ask_clear(&a);
    ask_produce(&core, "/topics/t", three, &a);
    cr_assert_eq(a.status, 403);
    ask_clear(&a);
    ask_produce(&core, "/topics/t", three, &a);
    cr_assert_eq(a.status, 422);
    cr_assert_not_null(strstr(a.body, "\"offsets\":[{\"partition\":0,\"offset\":5,"), "%s", a.body);
    ask_clear(&a);
    cr_assert_eq(stored(&core), 2 + 2 + 1 + 3);
    ask_close(&core);
}

Test(faults, shape_the_answer)
{
    struct fm_core core;
    struct answer a;
    open_script(&core, "1 cut 40\n"
                       "2 reset\n"
                       "3 reset store\n"
                       "4 hang\n"
                       "5 short 10 chunked\n"
                       "6 body \"\\x00\\xff{}\" type \"text/x y\" wrong-length close\n"
                       "7 empty drip 5ms\n"
                       "8 entries 1\n"
                       "9 take 1 status 500\n"
                       "10 lose\n");
    struct fm_server_reply r[11];
    char *body[11];
    size_t len[11];
    for (int i = 1; i <= 10; i++) {
        ask_produce(&core, "/topics/t", three, &a);
        r[i] = a.reply;
        body[i] = a.body;
        len[i] = a.len;
        a.body = NULL;
        if (i == 6)
            cr_assert_str_eq(a.type, "text/x y");
        ask_clear(&a);
    }
    cr_assert_eq(r[1].cut_at, 40);
    cr_assert(r[2].reset && r[3].reset && r[4].hang);
    cr_assert(r[5].chunked && len[5] == 10);
    cr_assert(r[6].wrong_length && r[6].close && len[6] == 4);
    cr_assert_arr_eq(body[6], "\0\xff{}", 4);
    cr_assert(r[7].drip_ms == 5 && len[7] == 0);
    cr_assert_null(strstr(body[8], "},{"), "one verdict for three records: %s", body[8]);
    cr_assert(r[9].status == 500 && strstr(body[9], "\"error_code\":500") != NULL);
    cr_assert_not_null(strstr(body[10], "\"error_code\":null"), "%s", body[10]);
    for (int i = 1; i <= 10; i++)
        free(body[i]);
    /* 1, 3, 5 to 8 whole, one record of 9. */
    cr_assert_eq(stored(&core), 6 * 3 + 1);
    ask_close(&core);
}

/* D68: the words for records:batch. */
Test(faults, bend_the_verdicts_of_a_batch)
{
    static const char body[] =
        "{\"entries\":[{\"id\":\"1\",\"value\":{\"type\":\"JSON\",\"data\":1}},{\"id\":\"2\","
        "\"value\":{\"type\":\"JSON\",\"data\":2}}]}";
    static const struct fm_v2_request request = {.method = "POST",
                                                 .path = "/v3/clusters/c/topics/t/records:batch",
                                                 .accept = "application/json",
                                                 .content_type = "application/json",
                                                 .body = body,
                                                 .body_len = sizeof body - 1};
    struct fm_core core;
    struct answer a;
    open_script(&core, "1 both 2\n"
                       "2 rename 2 \"1\"\n"
                       "3 rename 1 other\n"
                       "4 entries 1\n"
                       "5 record 1 error 50002 no both 1\n");
    static const char *const has[] = {
        "\"failures\":[{\"id\":\"2\",\"error_code\":500,",
        "\"id\":\"1\",\"cluster_id\":\"c\",\"topic_name\":\"t\",\"partition_id\":0,\"offset\":3,",
        "{\"successes\":[{\"id\":\"other\",", "\"failures\":[]}",
        "{\"successes\":[{\"id\":\"1\",\"partition_id\":0,\"offset\":0},{\"id\":\"2\","};
    static const size_t successes[] = {2, 2, 2, 1, 2};
    for (size_t i = 0; i < 5; i++) {
        ask(&core, &request, NULL, &a);
        cr_assert_eq(a.status, 207);
        cr_assert_not_null(strstr(a.body, has[i]), "%zu: %s", i + 1, a.body);
        size_t n = 0;
        for (const char *p = a.body; (p = strstr(p, "\"offset\":")) != NULL; p++)
            n++;
        cr_assert_eq(n, successes[i], "%zu: %s", i + 1, a.body);
        ask_clear(&a);
    }
    cr_assert_eq(stored(&core), 9);
    ask_close(&core);
}

Test(faults, delay_answers_without_holding_others)
{
    struct fm_core core;
    struct answer a;
    open_script(&core, "1 delay 150ms\nprobe 1 delay 100ms status 500\n");
    int64_t start = fm_clock_ms();
    ask_produce(&core, "/topics/t", three, &a);
    cr_assert(a.deferred && fm_clock_ms() - start >= 150);
    ask_clear(&a);
    start = fm_clock_ms();
    ask_get(&core, "/topics/t", &a);
    cr_assert(a.status == 500 && fm_clock_ms() - start >= 100);
    ask_clear(&a);
    ask_get(&core, "/topics/t", &a);
    cr_assert(a.status == 200 && !a.deferred);
    ask_clear(&a);
    ask_close(&core);
}

Test(faults, a_stop_answers_what_is_delayed)
{
    struct fm_core core;
    open_script(&core, "* delay 1m\n");
    struct answer a = {.core = &core};
    (void)pthread_mutex_init(&a.lock, NULL);
    (void)pthread_cond_init(&a.done_cond, NULL);
    struct fm_v2_request request = {
        .method = "POST", .path = "/topics/t", .body = "{}", .body_len = 2};
    cr_assert(fm_core_run(&core, &request, NULL, &a));
    cr_assert(!a.done);
    fm_core_stop(&core);
    cr_assert(a.done);
    ask_clear(&a);
    ask_get(&core, "/topics", &a);
    cr_assert_eq(a.status, 503, "after the stop nobody is served");
    ask_clear(&a);
    fm_core_close(&core);
}

Test(faults, a_bad_script_is_refused_with_its_line)
{
    static const char *const scripts[] = {"x status 500",
                                          "1",
                                          "0 reset",
                                          "1 status",
                                          "1 status x",
                                          "1 delay 5",
                                          "1 body \"open",
                                          "1 nonsense",
                                          "1 record 1 error",
                                          "3-2 reset",
                                          "1 body \"\\q\"",
                                          "probe",
                                          "1 if",
                                          "1 delay 48m5",
                                          "1 record 1 error 0 \"x\""};
    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        char text[128];
        struct fm_faults *faults;
        struct fm_err err;
        (void)snprintf(text, sizeof text, "1 reset\n%s\n", scripts[i]);
        cr_assert_eq(fm_faults_parse(&faults, text, &err), FM_ECONF, "%s", scripts[i]);
        cr_assert_not_null(strstr(fm_err_text(&err), "line 2"), "%s: %s", scripts[i],
                           fm_err_text(&err));
    }
}

Test(faults, the_ledger_holds_each_record_and_its_verdict)
{
    char folder[64], path[128], text[4096];
    ask_mkdir(folder);
    (void)snprintf(path, sizeof path, "%s/ledger", folder);
    struct fm_core core;
    struct fm_sandbox_opts opts = {.ledger_file = path,
                                   .faults = "1 record 2 error 50002 no\n2 reset\n"};
    ask_open(&core, &opts);
    struct answer a;
    for (int i = 0; i < 2; i++) {
        ask_produce(&core, "/topics/t",
                    "{\"records\":[{\"key\":\"h\",\"value\":{\"stream\":\"s1\",\"seq\":7,\"x\":{"
                    "\"seq\":9}}},{\"value\":2}]}",
                    &a);
        ask_clear(&a);
    }
    ask_close(&core);
    FILE *f = fopen(path, "r");
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    (void)fclose(f);
    cr_assert_str_eq(
        text,
        "{\"n\":1,\"request\":1,\"record\":1,\"topic\":\"t\",\"answer\":\"200\",\"stored\":true,"
        "\"code\":0,\"partition\":0,\"offset\":0,\"key\":\"h\",\"stream\":\"s1\",\"seq\":7}\n"
        "{\"n\":2,\"request\":1,\"record\":2,\"topic\":\"t\",\"answer\":\"200\",\"stored\":false,"
        "\"code\":50002}\n"
        "{\"n\":3,\"request\":2,\"record\":1,\"topic\":\"t\",\"answer\":\"reset\",\"stored\":false,"
        "\"code\":0,\"key\":\"h\",\"stream\":\"s1\",\"seq\":7}\n"
        "{\"n\":4,\"request\":2,\"record\":2,\"topic\":\"t\",\"answer\":\"reset\",\"stored\":false,"
        "\"code\":0}\n");
    ask_rmdir(folder);
}
