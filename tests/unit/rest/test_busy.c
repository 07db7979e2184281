/* 429 to the questions that come before a produce: none is the sign of an outage, each is asked
 * again after the pause, and no record leaves before. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "rig.h"

/* The first `times` requests whose path ends so are answered with 429. */
struct busy {
    struct sender s;
    char url[80];
    const char *path;
    bool forbid_topic; /* 403 to the topic itself */
    atomic_uint times;
    atomic_uint refused, posts_then; /* requests that carried records before it was over */
    atomic_llong at, next; /* the first refusal; the first request behind it */
};

static bool asks(const struct mock_request *req, const char *end)
{
    char path[256] = "";
    (void)sscanf(req->head, "GET %255s", path);
    size_t len = strlen(path), n = strlen(end);
    return !req->post && len >= n && strcmp(path + len - n, end) == 0;
}

static void proxy(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                  void *arg)
{
    (void)m;
    struct busy *b = arg; /* its first member is the sender */
    if (b->refused > 0 && b->next == 0)
        b->next = fm_clock_ms();
    if (asks(req, b->path) && b->refused < b->times) {
        mock_body(reply, 429, "{\"error_code\":429,\"message\":\"too many\"}");
        reply->headers = "Retry-After: 1\r\n";
        if (b->refused++ == 0)
            b->at = fm_clock_ms();
    } else if (b->forbid_topic && asks(req, "/topics/t")) {
        mock_body(reply, 403, "{\"error_code\":403,\"message\":\"Forbidden\"}");
    }
    if (req->post && b->refused < b->times)
        b->posts_then++;
}

static bool was_refused(void *arg)
{
    struct busy *b = arg;
    return b->refused > 0 && rig_stats(b->s.rest).n_topics == 1 &&
           rig_stats(b->s.rest).topics[0].next_try_ms != 0;
}

static struct fm_rest_stats run(struct busy *b, enum fm_rest_dialect dialect, const char *path)
{
    sender_setup(&b->s, proxy);
    b->path = path;
    (void)snprintf(b->url, sizeof b->url, "%s%s", mock_url(b->s.mock),
                   dialect == FM_DIALECT_CONFLUENT_V3 ? "/v3" : "");
    b->s.urls[0] = b->url;
    b->s.opts.dialect = dialect;
    b->s.opts.agent = "edge-7";
    spool_add(b->s.spool, "t", 3, 100, FM_RECORD_DATA);
    b->s.rest = rig_start(&b->s.opts);
    rig_wait(was_refused, b, 5000, "a refusal");
    struct fm_rest_stats s = rig_stats(b->s.rest);
    cr_expect_not(s.topics[0].failed, "%s", s.topics[0].reason);
    cr_expect_eq(s.n_topics_failing, 0);
    rig_drain(b->s.rest, 8000);
    cr_expect_eq(b->posts_then, 0, "no record leaves before it is answered");
    cr_expect_geq(b->next - b->at, 990, "after %d ms", (int)(b->next - b->at));
    cr_expect_eq(b->refused, b->times);
    s = rig_stats(b->s.rest);
    cr_expect_eq(s.possible_duplicates, 0);
    cr_expect_eq(s.topics[0].health, FM_REST_RUN);
    return s;
}

Test(busy, a_429_to_the_partitions_is_waited_out)
{
    struct busy b = {.times = 1, .forbid_topic = true};
    (void)run(&b, FM_DIALECT_CONFLUENT_V2, "/topics/t/partitions");
    sender_teardown(&b.s);
}

Test(busy, a_429_to_the_cluster_id_is_waited_out)
{
    struct busy b = {.times = 1};
    (void)run(&b, FM_DIALECT_CONFLUENT_V3, "/clusters");
    sender_teardown(&b.s);
}

Test(busy, a_429_to_the_topic_of_v3_is_waited_out)
{
    struct busy b = {.times = 1};
    (void)run(&b, FM_DIALECT_CONFLUENT_V3, "/topics/t");
    sender_teardown(&b.s);
}

/* A limit that is only guessed could wedge the proxy: section 1.8 of the reference. */
Test(busy, a_429_to_the_size_limit_is_waited_out_and_the_limit_read)
{
    struct busy b = {.times = 2};
    struct fm_rest_stats s =
        run(&b, FM_DIALECT_CONFLUENT_V3, "/topics/t/configs/max.message.bytes");
    cr_expect_eq(s.topics[0].size_limit, 70000);
    sender_teardown(&b.s);
}

static bool limit_is_read(void *arg)
{
    struct busy *b = arg;
    spool_add(b->s.spool, "t", 1, 100, FM_RECORD_DATA); /* it is read when there is work */
    fm_rest_wakeup(b->s.rest);
    return rig_stats(b->s.rest).topics[0].size_limit == 70000;
}

/* Only this question is always refused: records go all the same, and it is asked again soon. */
Test(busy, a_size_limit_that_is_refused_thrice_holds_nothing_up_and_is_read_later)
{
    struct busy b = {.times = UINT32_MAX};
    sender_setup(&b.s, proxy);
    b.path = "/topics/t/configs/max.message.bytes";
    (void)snprintf(b.url, sizeof b.url, "%s/v3", mock_url(b.s.mock));
    b.s.urls[0] = b.url;
    b.s.opts.dialect = FM_DIALECT_CONFLUENT_V3;
    b.s.opts.agent = "edge-7";
    spool_add(b.s.spool, "t", 3, 100, FM_RECORD_DATA);
    b.s.rest = rig_start(&b.s.opts);
    rig_drain(b.s.rest, 10000);
    cr_expect_geq(b.refused, 3);
    cr_expect_eq(rig_stats(b.s.rest).topics[0].size_limit, 1000000, "until it is known");
    b.times = 0;
    rig_wait(limit_is_read, &b, 5000, "the limit");
    rig_drain(b.s.rest, 3000);
    sender_teardown(&b.s);
}
