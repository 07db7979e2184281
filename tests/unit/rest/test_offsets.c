/* Catalogue D40: offsets that repeat, sink or belong to another partition, and a cluster that
 * changes, are delivered (the verdict is what counts) and noted once per topic and kind. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rest/topic_priv.h"
#include "rig.h"

/* Where the nth request's only record is told to lie. */
struct place {
    int partition, offset;
};
static const struct place *script;
static size_t n_script;
static const char *cluster; /* v3 */

static void tell_place(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                       void *arg)
{
    (void)m;
    (void)arg;
    char body[200];
    if (!req->post)
        return;
    const struct place *p = &script[(req->nth - 1) % n_script];
    if (cluster != NULL)
        (void)snprintf(body, sizeof body,
                       "{\"error_code\":200,\"cluster_id\":\"%s\",\"topic_name\":\"t\","
                       "\"partition_id\":%d,\"offset\":%d}",
                       cluster, p->partition, p->offset);
    else
        (void)snprintf(body, sizeof body, "{\"offsets\":[{\"partition\":%d,\"offset\":%d}]}",
                       p->partition, p->offset);
    mock_body(reply, 200, body);
    reply->proves = true;
}

/* One record a request, each accepted. What the log heard is left in text. */
static void run(const struct place *places, size_t n, int32_t asked, char *text, size_t size)
{
    struct sender r;
    struct fm_err err;
    int fds[2];
    script = places;
    n_script = n;
    sender_setup(&r, tell_place);
    r.opts.batch_records = 1;
    if (cluster != NULL)
        r.opts.dialect = FM_DIALECT_CONFLUENT_V3;
    cr_assert_eq(pipe2(fds, O_NONBLOCK), 0);
    cr_assert_eq(fm_log_new(&r.opts.log, fds[1], FM_LOG_INFO, FM_LOG_TEXT, NULL), FM_OK);
    for (size_t i = 0; i < n; i++) {
        struct fm_chunk *chunk;
        struct fm_record rec = {
            .time_ms = 1, .partition = asked, .value = "{\"n\":1}", .value_len = 7, .id_at = 1};
        cr_assert_eq(fm_chunk_new(&chunk, "t", &err), FM_OK);
        cr_assert_eq(fm_chunk_add(chunk, &rec, NULL, 0, &err), FM_OK);
        cr_assert_eq(fm_spool_store(r.spool, &chunk, 2000, NULL, NULL, NULL, &err), FM_OK);
    }
    cr_assert_eq(fm_spool_flush(r.spool, 2000, &err), FM_OK);
    r.rest = rig_start(&r.opts);
    rig_drain(r.rest, 5000);
    cr_expect_eq(spool_count(r.spool, FATE_DELIVERED), n);
    cr_expect_eq(rig_stats(r.rest).possible_duplicates, 0);
    struct fm_log *log = r.opts.log;
    sender_teardown(&r);
    fm_log_free(log);
    ssize_t got = read(fds[0], text, size - 1);
    text[got > 0 ? got : 0] = '\0';
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static unsigned times(const char *text, const char *part)
{
    unsigned n = 0;
    for (; (text = strstr(text, part)) != NULL; text += strlen(part))
        n++;
    return n;
}

Test(offsets, that_repeat_or_sink_are_noted_once_each)
{
    static const struct place odd[] = {{0, 5}, {1, 5}, {0, 5}, {0, 6}, {0, 6}, {0, 3},
                                       {1, 4}, {0, 2}, {1, 4}, {0, 9}, {0, 8}};
    char text[4096];
    run(odd, sizeof odd / sizeof *odd, FM_NO_PARTITION, text, sizeof text);
    cr_expect_eq(times(text, "two records are told to lie at offset 5 of partition 0"), 1, "%s",
                 text);
    cr_expect_eq(times(text, "offset 3 of partition 0 came after 6"), 1, "%s", text);
    cr_expect_eq(times(text, " warn "), 2, "%s", text);
}

Test(offsets, of_another_partition_than_asked_are_noted_once)
{
    static const struct place odd[] = {{3, 0}, {4, 0}, {5, 0}, {3, 1}};
    char text[4096];
    run(odd, 4, 3, text, sizeof text);
    cr_expect_eq(times(text, "a record for partition 3 is told to lie in partition 4"), 1, "%s",
                 text);
    cr_expect_eq(times(text, " warn "), 1, "%s", text);
}

Test(offsets, that_rise_in_each_partition_are_not_noted)
{
    /* 2 and 18 share a place: the last one seen counts. */
    static const struct place good[] = {{0, 0}, {1, 0}, {2, 7}, {18, 3}, {0, 1}, {2, 8}, {18, 4}};
    char text[4096];
    run(good, sizeof good / sizeof *good, FM_NO_PARTITION, text, sizeof text);
    cr_expect_str_empty(text);
}

Test(offsets, of_another_cluster_than_asked_are_noted_once)
{
    static const struct place good[] = {{0, 0}, {0, 1}, {0, 2}};
    char text[4096];
    cluster = "C"; /* as the mock says when it is asked */
    run(good, 3, FM_NO_PARTITION, text, sizeof text);
    cr_expect_str_empty(text);
    cluster = "D";
    run(good, 3, FM_NO_PARTITION, text, sizeof text);
    cr_expect_eq(times(text, "cluster D answers a request to cluster C"), 1, "%s", text);
    cr_expect_eq(times(text, " warn "), 1, "%s", text);
    cluster = NULL;
}

/* The quick reading of an answer gives way to the scanner: no entry may be seen twice. */
Test(offsets, are_seen_once_however_the_answer_is_written)
{
    static const char *const bodies[] = {
        "{\"offsets\":[{\"partition\":0,\"offset\":1},{\"partition\":0,\"offset\":2}]}",
        "{\"offsets\":[{\"partition\":0,\"offset\":1}, {\"offset\":2,\"partition\":0}]}",
        "{\"offsets\":[{\"partition\":0,\"offset\":1},{\"partition\":0,\"offset\":2},"
        "{\"partition\":null,\"offset\":null,\"error_code\":50003,\"error\":\"x\"}]}"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct fm_offset_watch watch = {.n = 0};
        struct fm_sent sent = {.dialect = FM_DIALECT_CONFLUENT_V2, .n_records = 3, .watch = &watch};
        struct fm_http_answer http = {
            .status = 200, .body = bodies[i], .body_len = strlen(bodies[i])};
        struct fm_verdict v[3];
        struct fm_judgement j;
        cr_assert_eq(fm_judge(&j, v, &sent, &http, NULL), FM_OK);
        cr_expect_eq(j.accepted, 2);
        cr_expect_eq(watch.odd, 0, "%s", bodies[i]);
        cr_expect_eq(watch.seen.last[0].offset, 2, "%s", bodies[i]);
    }
}
