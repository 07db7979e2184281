/* Many topics, topics with nothing to send, and the ways round an endpoint that answers badly. */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "rig.h"

struct rig {
    struct fm_spool *spool;
    struct mock *mock, *other;
    struct fm_rest *rest;
    struct fm_rest_opts opts;
    const char *urls[2];
    atomic_uint phase, inside;
};

static void setup(struct rig *r, mock_fn *fn)
{
    *r = (struct rig){.spool = spool_new()};
    r->mock = mock_new(fn, r);
    r->other = mock_new(NULL, r);
    r->urls[0] = mock_url(r->mock);
    r->urls[1] = mock_url(r->other);
    r->opts = rig_opts(r->spool, r->urls, 1);
}

static void teardown(struct rig *r)
{
    fm_rest_stop(r->rest, 0);
    cr_assert(fm_rest_join(r->rest, 3000));
    cr_assert(fm_rest_free(r->rest));
    mock_free(r->mock);
    mock_free(r->other);
    spool_free(r->spool);
}

/* Until the sum over the spool says so. */
static void wait_fate(struct rig *r, enum fate fate, size_t n, int ms)
{
    int64_t limit = fm_clock_ms() + ms;
    while (spool_count(r->spool, fate) < n) {
        cr_assert_lt(fm_clock_ms(), limit, "%zu of %zu", spool_count(r->spool, fate), n);
        fm_rest_wakeup(r->rest);
        usleep(2000);
    }
}

#define WAIT(cond)                                                                                 \
    for (int64_t limit = fm_clock_ms() + 5000; !(cond); usleep(2000))                              \
    cr_assert_lt(fm_clock_ms(), limit, "in vain: " #cond)

static void only_t(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                   void *arg)
{
    (void)m;
    struct rig *r = arg;
    if (strcmp(req->topic, "t") != 0 && r->phase == 0)
        mock_body(reply, 404, "{\"error_code\":40403,\"message\":\"no such topic\"}");
}

enum { MISSING = 72 };

static void add_missing(struct rig *r)
{
    char name[16];
    for (unsigned i = 0; i < MISSING; i++) {
        (void)snprintf(name, sizeof name, "m-%02u", i);
        spool_add(r->spool, name, 1, 100, FM_RECORD_DATA);
    }
}

Test(many, a_good_topic_flows_beside_many_missing_ones)
{
    struct rig r;
    setup(&r, only_t);
    add_missing(&r);
    spool_add(r.spool, "t", 31, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    /* The sender's own count: the spool's statistics show 64 streams, those with records first. */
    WAIT(rig_stats(r.rest).records >= 31);
    WAIT(rig_stats(r.rest).n_topics_failing == MISSING);
    struct fm_rest_stats s = rig_stats(r.rest);
    cr_assert_eq(s.n_topics_total, MISSING + 1);
    cr_assert_eq(s.n_topics, FM_REST_TOPICS);
    for (size_t i = 0; i < s.n_topics; i++)
        cr_assert_neq(s.topics[i].health, FM_REST_RUN, "%s", s.topics[i].topic);
    struct fm_err err;
    cr_assert_eq(fm_rest_drain(r.rest, 50, &err), FM_ETIMEOUT);
    cr_assert(strstr(fm_err_text(&err), "72 records") != NULL, "%s", fm_err_text(&err));
    r.phase = 1;
    rig_drain(r.rest, 5000);
    WAIT(rig_stats(r.rest).n_topics_failing == 0);
    teardown(&r);
}

/* Asked again after one to two hold intervals, each at a time of its own. */
Test(many, missing_topics_are_asked_for_at_different_times)
{
    enum { HOLD = 60000 };
    struct rig r;
    setup(&r, only_t);
    r.opts.hold_interval_ms = HOLD;
    add_missing(&r);
    int64_t before = fm_wall_ms(), first = INT64_MAX, last = 0;
    r.rest = rig_start(&r.opts);
    WAIT(rig_stats(r.rest).n_topics_failing == MISSING);
    int64_t after = fm_wall_ms();
    struct fm_rest_stats s = rig_stats(r.rest);
    for (size_t i = 0; i < s.n_topics; i++) {
        int64_t at = s.topics[i].next_try_ms;
        cr_assert_eq(s.topics[i].state, FM_REST_MISSING);
        cr_assert(at >= before + HOLD - 50 && at <= after + 2 * HOLD + 50, "after %lld ms",
                  (long long)(at - before));
        first = at < first ? at : first;
        last = at > last ? at : last;
    }
    cr_assert_gt(last - first, HOLD / 3, "all within %lld ms", (long long)(last - first));
    teardown(&r);
}

Test(many, a_failing_topic_without_records_leaves_health_and_then_the_stats)
{
    struct rig r;
    setup(&r, only_t);
    spool_add(r.spool, "misspelt", 3, 100, FM_RECORD_DATA);
    spool_add(r.spool, "t", 1, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    WAIT(rig_stats(r.rest).n_topics_failing == 1);
    struct fm_spool_select old = {.topic = "misspelt"};
    struct fm_err err;
    uint64_t n = 0;
    cr_assert_eq(fm_spool_drop(r.spool, &old, &n, &err), FM_OK);
    cr_assert_eq(n, 3);
    fm_rest_wakeup(r.rest);
    WAIT(rig_stats(r.rest).n_topics_failing == 0);
    unsigned gets = mock_gets(r.mock);
    WAIT(rig_stats(r.rest).n_topics_total == 1 || (fm_rest_wakeup(r.rest), false));
    cr_assert_leq(mock_gets(r.mock), gets + 1); /* nobody asks for it any more */
    teardown(&r);
}

static void refuse_first(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                         void *arg)
{
    (void)m;
    struct rig *r = arg;
    for (size_t i = 0; i < req->n; i++) {
        if (req->seq[i] != 1)
            continue;
        if (r->phase == 0) {
            mock_refuse(req, reply, "0,");
            mock_body(reply, 415, "{\"error_code\":415,\"message\":\"x\"}");
            return;
        }
        r->inside++;
        reply->error[i] = "50002,The record is refused";
        reply->stored[i] = false;
    }
}

Test(many, a_control_record_refused_in_hold_is_never_buried)
{
    struct rig r;
    setup(&r, refuse_first);
    spool_add(r.spool, "t", 1, 100, FM_RECORD_CONTROL);
    spool_add(r.spool, "t", 5, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    wait_fate(&r, FATE_DELIVERED, 5, 5000);
    WAIT(rig_stats(r.rest).suspects == 1);
    r.phase = 1; /* from now on permanent answers, and others are accepted in between */
    for (int64_t limit = fm_clock_ms() + 8000; r.inside < 4; usleep(20000)) {
        cr_assert_lt(fm_clock_ms(), limit, "sent alone %u times only", r.inside);
        spool_add(r.spool, "t", 1, 100, FM_RECORD_DATA);
        fm_rest_wakeup(r.rest);
    }
    WAIT(strstr(rig_stats(r.rest).topics[0].suspect_reason, "50002") != NULL);
    cr_assert_eq(rig_stats(r.rest).dead, 0);
    cr_assert_eq(spool_count(r.spool, FATE_DEAD), 0);
    cr_assert_eq(spool_fate(r.spool, 1), FATE_PENDING);
    teardown(&r);
}

static void hang_probe(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                       void *arg)
{
    (void)m, (void)arg;
    if (!req->post)
        reply->how = MOCK_HANG;
}

Test(many, new_options_do_not_wait_for_a_probe)
{
    struct rig r;
    setup(&r, hang_probe);
    r.opts.probe_timeout_ms = 60000;
    spool_add(r.spool, "t", 31, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    WAIT(mock_gets(r.mock) == 1);
    struct fm_rest_opts next = rig_opts(r.spool, r.urls + 1, 1);
    struct fm_err err;
    cr_assert_eq(fm_rest_reconfigure(r.rest, &next, &err), FM_OK);
    rig_drain(r.rest, 3000);
    cr_assert_eq(mock_stored(r.other), 31);
    teardown(&r);
}

static void hang_post(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                      void *arg)
{
    (void)m, (void)arg;
    if (req->post && req->nth == 1)
        reply->delay_ms = 300;
}

Test(many, a_produce_request_ends_under_the_old_options)
{
    struct rig r;
    setup(&r, hang_post);
    spool_add(r.spool, "t", 31, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    WAIT(mock_posts(r.mock) == 1);
    struct fm_rest_opts next = rig_opts(r.spool, r.urls + 1, 1);
    struct fm_err err;
    cr_assert_eq(fm_rest_reconfigure(r.rest, &next, &err), FM_OK);
    rig_drain(r.rest, 3000);
    cr_assert_eq(mock_stored(r.mock), 1);
    cr_assert_eq(mock_stored(r.other), 30);
    cr_assert_eq(rig_stats(r.rest).possible_duplicates, 0);
    teardown(&r);
}

static void empty_429(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                      void *arg)
{
    (void)m, (void)arg;
    if (!req->post || req->nth != 2)
        return;
    mock_refuse(req, reply, "0,");
    mock_body(reply, 429, "");
}

Test(many, a_429_without_a_body_slows_and_is_no_failure)
{
    struct rig r;
    setup(&r, empty_429);
    r.opts.backoff_ms = 150;
    spool_add(r.spool, "t", 31, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    WAIT(mock_posts(r.mock) == 2);
    int64_t refused = fm_clock_ms();
    WAIT(rig_stats(r.rest).batches == 2);
    struct fm_rest_stats s = rig_stats(r.rest);
    cr_assert(!s.topics[0].failed);
    cr_assert_eq(s.topics[0].state, FM_REST_RUN);
    cr_assert_eq(s.last_send.http_status, 429);
    rig_drain(r.rest, 4000);
    cr_assert_geq(fm_clock_ms() - refused, 140);
    cr_assert_eq(mock_posts(r.mock), 3);
    cr_assert_eq(rig_stats(r.rest).possible_duplicates, 0);
    teardown(&r);
}

/* The first probe of topic u; and when the next request came, whatever it asked. */
struct busy_probe {
    struct rig r;
    atomic_llong refused, next;
    bool says_when;
};

static void busy_probe(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                       void *arg)
{
    (void)m;
    struct busy_probe *b = arg;
    if (b->refused == 0 && !req->post && strcmp(req->topic, "u") == 0) {
        mock_body(reply, 429, "{\"error_code\":429,\"message\":\"too many\"}");
        reply->headers = b->says_when ? "Retry-After: 1\r\n" : NULL;
        b->refused = fm_clock_ms();
    } else if (b->refused != 0 && b->next == 0) {
        b->next = fm_clock_ms();
    }
}

static bool one_waits(struct fm_rest *rest)
{
    struct fm_rest_stats s = rig_stats(rest);
    for (size_t i = 0; i < s.n_topics; i++)
        if (s.topics[i].next_try_ms != 0)
            return true;
    return false;
}

static void busy(bool says_when, unsigned backoff_ms, int64_t least_ms)
{
    struct busy_probe b = {.says_when = says_when};
    setup(&b.r, busy_probe);
    b.r.opts.backoff_ms = backoff_ms;
    b.r.opts.max_backoff_ms = 2000;
    spool_add(b.r.spool, "t", 10, 100, FM_RECORD_DATA);
    b.r.rest = rig_start(&b.r.opts);
    rig_drain(b.r.rest, 3000);
    spool_add(b.r.spool, "u", 1, 100, FM_RECORD_DATA);
    fm_rest_wakeup(b.r.rest);
    WAIT(one_waits(b.r.rest));
    spool_add(b.r.spool, "t", 10, 100, FM_RECORD_DATA); /* of a topic that was never refused */
    rig_drain(b.r.rest, 5000);
    cr_assert_geq(b.next - b.refused, least_ms, "after %d ms", (int)(b.next - b.refused));
    cr_assert_eq(rig_stats(b.r.rest).n_topics_failing, 0);
    cr_assert_eq(rig_stats(b.r.rest).possible_duplicates, 0);
    teardown(&b.r);
}

Test(many, a_429_to_a_probe_slows_the_whole_sender)
{
    busy(false, 500, 490);
    busy(true, 20, 990);
}

/* After its first probe this endpoint answers 503, until phase 1. */
static void overloaded(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                       void *arg)
{
    (void)m;
    struct rig *r = arg;
    if (r->phase != 0 || (!req->post && req->nth == 1))
        return;
    mock_refuse(req, reply, "0,");
    mock_body(reply, 503, "<html>overloaded</html>");
}

Test(many, the_third_503_leaves_for_the_next_endpoint_until_the_first_is_back)
{
    struct rig r;
    setup(&r, overloaded);
    r.opts = rig_opts(r.spool, r.urls, 2);
    spool_add(r.spool, "t", 31, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    rig_drain(r.rest, 4000);
    cr_assert_eq(mock_posts(r.mock), 3);
    cr_assert_eq(mock_stored(r.other), 31);
    struct fm_rest_stats s = rig_stats(r.rest);
    cr_assert(s.endpoints[1].current);
    cr_assert_eq(s.endpoints[0].state, FM_REST_OUTAGE);
    cr_assert_eq(s.possible_duplicates, 0);
    r.phase = 1;
    WAIT(rig_stats(r.rest).endpoints[0].current);
    spool_add(r.spool, "t", 10, 100, FM_RECORD_DATA);
    rig_drain(r.rest, 4000);
    cr_assert_eq(mock_stored(r.mock), 10);
    cr_assert_str_eq(rig_stats(r.rest).endpoints[0].reason, "");
    teardown(&r);
}

static void probe_503(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                      void *arg)
{
    (void)m, (void)arg;
    mock_refuse(req, reply, "0,");
    mock_body(reply, 503, "");
}

Test(many, an_endpoint_whose_probe_fails_with_503_is_left_too)
{
    struct rig r;
    setup(&r, probe_503);
    r.opts = rig_opts(r.spool, r.urls, 2);
    spool_add(r.spool, "t", 31, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    rig_drain(r.rest, 4000);
    cr_assert_eq(mock_posts(r.mock), 0);
    cr_assert_eq(mock_stored(r.other), 31);
    teardown(&r);
}

/* A sender that is caught in its caller's callback. */
static void deny(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                 void *arg)
{
    (void)m, (void)arg;
    mock_refuse(req, reply, "0,");
    mock_body(reply, 401, "");
}

static bool stuck_secret(void *arg, struct fm_buf *out)
{
    struct rig *r = arg;
    (void)out;
    r->inside = 1;
    while (r->phase == 0)
        usleep(1000);
    return false;
}

Test(many, a_sender_that_does_not_end_is_not_freed_and_says_so)
{
    struct rig r;
    setup(&r, deny);
    r.opts.auth = FM_REST_AUTH_BEARER;
    r.opts.token = "old";
    r.opts.secret = stuck_secret;
    r.opts.secret_arg = &r;
    spool_add(r.spool, "t", 1, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    WAIT(r.inside == 1);
    fm_rest_stop(r.rest, 0);
    cr_assert(!fm_rest_join(r.rest, 20));
    int64_t at = fm_clock_ms();
    cr_assert(!fm_rest_free(r.rest));
    cr_assert_lt(fm_clock_ms() - at, 1000); /* no second wait */
    r.phase = 1;
    teardown(&r);
}

/* The first endpoint: away, then back; topic a is missing everywhere, b only where half is set. */
static void away_then_back(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                           void *arg)
{
    struct rig *r = arg;
    bool first = m == r->mock;
    if (first && r->phase == 0) {
        mock_refuse(req, reply, "0,");
        mock_body(reply, 503, "");
    } else if (!req->post && strcmp(req->topic, "a") == 0) {
        mock_body(reply, 404, "{\"error_code\":40403,\"message\":\"no such topic\"}");
    } else if (first && r->phase == 1 && strcmp(req->topic, "b") == 0) {
        mock_refuse(req, reply, "0,");
        mock_body(reply, 500, "{\"error_code\":50003,\"message\":\"Timed out\"}");
    }
}

static void two_endpoints(struct rig *r)
{
    setup(r, away_then_back);
    mock_free(r->other);
    r->other = mock_new(away_then_back, r);
    r->urls[1] = mock_url(r->other);
    r->opts = rig_opts(r->spool, r->urls, 2);
}

Test(many, the_first_endpoint_is_back_although_some_topic_is_missing)
{
    struct rig r;
    two_endpoints(&r);
    spool_add(r.spool, "a", 5, 100, FM_RECORD_DATA);
    spool_add(r.spool, "t", 20, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    WAIT(mock_stored(r.other) == 20);
    r.phase = 2;
    WAIT(rig_stats(r.rest).endpoints[0].current);
    spool_add(r.spool, "t", 20, 100, FM_RECORD_DATA);
    fm_rest_wakeup(r.rest);
    WAIT(mock_stored(r.mock) == 20);
    cr_assert_eq(rig_stats(r.rest).possible_duplicates, 0);
    teardown(&r);
}

Test(many, the_first_endpoint_is_not_back_while_a_topic_that_flows_fails_there)
{
    struct rig r;
    two_endpoints(&r);
    spool_add(r.spool, "t", 20, 100, FM_RECORD_DATA);
    spool_add(r.spool, "b", 20, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    wait_fate(&r, FATE_DELIVERED, 40, 4000);
    unsigned gets = mock_gets(r.mock);
    r.phase = 1;
    WAIT(mock_gets(r.mock) > gets + 6); /* asked for both, three times and more */
    cr_assert(rig_stats(r.rest).endpoints[1].current);
    r.phase = 2;
    WAIT(rig_stats(r.rest).endpoints[0].current);
    teardown(&r);
}
