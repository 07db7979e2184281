#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "peer.h"
#include "rig.h"

Test(sender, delivers_everything_in_order_after_a_probe_and_one_record)
{
    struct sender r;
    sender_setup(&r, NULL);
    spool_add(r.spool, "t", 500, 300, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    rig_drain(r.rest, 3000);
    cr_assert_eq(mock_stored(r.mock), 500);
    cr_assert_eq(mock_gets(r.mock), 1);
    cr_assert_eq(mock_posts(r.mock), 11); /* 1 alone, then 50 each */
    cr_assert(mock_in_order(r.mock));
    struct fm_rest_stats s = rig_stats(r.rest);
    cr_assert_eq(s.possible_duplicates, 0);
    cr_assert_str_eq(s.last_send.topic, "t");
    cr_assert_eq(s.last_send.http_status, 200);
    cr_assert_eq(s.topics[0].state, FM_REST_RUN);
    cr_assert_eq(s.topics[0].size_limit, 1048576);
    sender_teardown(&r);
}

/* D01 */
Test(sender, refused_connection_loses_and_repeats_nothing)
{
    struct sender r = {.spool = spool_new()};
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u", peer_closed_port());
    r.urls[0] = url;
    r.opts = rig_opts(r.spool, r.urls, 1);
    spool_add(r.spool, "t", 10, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    rig_wait_state(r.rest, FM_REST_OUTAGE, 2000);
    struct fm_rest_stats s = rig_stats(r.rest);
    cr_assert_eq(s.topics[0].hop, FM_REST_HOP_TCP, "%s", s.topics[0].reason);
    cr_assert_eq(s.possible_duplicates, 0);
    cr_assert(s.topics[0].failed);
    cr_assert_eq(spool_count(r.spool, FATE_PENDING), 10);
    rig_check(r.rest, r.spool, NULL);
    fm_rest_free(r.rest);
    spool_free(r.spool);
}

/* D06 */
static void slow(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                 void *arg)
{
    (void)m, (void)arg;
    if (req->post)
        reply->delay_ms = 900; /* of 3000 */
}

Test(sender, a_slow_but_right_answer_is_no_retry)
{
    struct sender r;
    sender_setup(&r, slow);
    r.opts.timeout_ms = r.opts.timeout_single_ms = 3000;
    spool_add(r.spool, "t", 20, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    rig_drain(r.rest, 3000);
    cr_assert_eq(mock_repeats(r.mock), 0);
    cr_assert_eq(rig_stats(r.rest).possible_duplicates, 0);
    sender_teardown(&r);
}

/* D08: the second POST is stored, then the connection dies. */
static void die_after_store(struct mock *m, const struct mock_request *req,
                            struct mock_reply *reply, void *arg)
{
    (void)m;
    struct sender *r = arg;
    if (req->post && req->nth == 2)
        reply->how = r->phase == 0 ? MOCK_RESET : MOCK_CLOSE;
}

static void unknown_outcome(unsigned phase)
{
    struct sender r;
    sender_setup(&r, die_after_store);
    r.phase = phase;
    spool_add(r.spool, "t", 31, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    rig_drain(r.rest, 3000);
    cr_assert_eq(mock_repeats(r.mock), 30);
    cr_assert_eq(rig_stats(r.rest).possible_duplicates, 30, "%d",
                 (int)rig_stats(r.rest).possible_duplicates);
    cr_assert(mock_in_order(r.mock));
    sender_teardown(&r);
}

Test(sender, a_reset_after_the_body_is_counted_as_possible_duplicates)
{
    unknown_outcome(0);
}

Test(sender, a_close_after_the_body_is_counted_as_possible_duplicates)
{
    unknown_outcome(1);
}

/* D10, D32: the answer is cut. */
static void cut_once(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                     void *arg)
{
    (void)m;
    struct sender *r = arg;
    if (!req->post || req->nth != 2)
        return;
    reply->cut = 60 + (size_t)r->bad * 40;
    reply->no_length = (r->bad & 1) != 0;
}

Test(sender, a_cut_answer_proves_nothing)
{
    for (unsigned i = 0; i < 8; i++) {
        struct sender r;
        sender_setup(&r, cut_once);
        r.bad = i;
        spool_add(r.spool, "t", 6, 100, FM_RECORD_DATA);
        r.rest = rig_start(&r.opts);
        rig_drain(r.rest, 3000);
        cr_assert_eq(mock_repeats(r.mock), 5, "cut %u", i);
        sender_teardown(&r);
    }
}

/* D11, D72: given up, but written later. */
static void hang_second(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                        void *arg)
{
    (void)m, (void)arg;
    if (req->post && req->nth == 2)
        reply->how = MOCK_HANG;
}

Test(sender, a_hanging_answer_ends_in_a_probe_and_one_record)
{
    struct sender r;
    sender_setup(&r, hang_second);
    rig_hurry(&r.opts);
    spool_add(r.spool, "t", 41, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    rig_drain(r.rest, 3000);
    cr_assert_eq(mock_gets(r.mock), 2);
    cr_assert_eq(mock_repeats(r.mock), 40);
    cr_assert_eq(rig_stats(r.rest).possible_duplicates, 40);
    sender_teardown(&r);
}

/* D11: the answer to a request that was given up comes while the next ones are under way. It says
 * that all was accepted, which is not so. */
static void late(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                 void *arg)
{
    (void)m, (void)arg;
    if (!req->post || req->nth % 3 != 2)
        return;
    reply->delay_ms = 1500; /* of 150: also a sender that got no processor for long has given up */
    for (size_t i = 0; i < req->n; i++)
        reply->stored[i] = false;
}

Test(sender, a_late_answer_is_never_taken_for_another_request)
{
    struct sender r;
    sender_setup(&r, late);
    r.opts.timeout_ms = r.opts.timeout_single_ms = 150;
    spool_add(r.spool, "t", 200, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    rig_drain(r.rest, 5000);
    cr_assert_eq(mock_stored(r.mock), 200); /* not one on the word of a late answer */
    cr_assert_gt(rig_stats(r.rest).possible_duplicates, 0);
    sender_teardown(&r);
}

/* D18 */
Test(sender, stop_gives_the_request_in_flight_its_grace_and_no_more)
{
    struct sender r;
    sender_setup(&r, hang_second);
    r.opts.timeout_ms = 5000;
    spool_add(r.spool, "t", 41, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    mock_wait_posts(r.mock, 2);
    int64_t start = fm_clock_ms();
    fm_rest_stop(r.rest, 80);
    cr_assert(fm_rest_join(r.rest, 2000));
    int64_t took = fm_clock_ms() - start;
    cr_assert(took >= 70 && took < 1500, "%lld ms", (long long)took);
    cr_assert_eq(rig_stats(r.rest).possible_duplicates, 40);
    cr_assert_eq(spool_count(r.spool, FATE_PENDING), 40);
    sender_teardown(&r);
}

/* D20, D21 */
static void busy_first(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                       void *arg)
{
    (void)m;
    struct sender *r = arg;
    if (!req->post || req->nth > 2)
        return;
    mock_refuse(req, reply, "0,");
    mock_body(reply, (unsigned)r->bad, "{\"error_code\":429,\"message\":\"slow\"}");
    if (req->nth == 2)
        reply->headers = "Retry-After: 1\r\n";
}

static void retry_after(unsigned status)
{
    struct sender r;
    sender_setup(&r, busy_first);
    r.bad = status;
    spool_add(r.spool, "t", 5, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    mock_wait_posts(r.mock, 2);
    int64_t second = fm_clock_ms();
    rig_drain(r.rest, 4000);
    int64_t took = fm_clock_ms() - second;
    cr_assert(took >= 950 && took < 2500, "%lld ms", (long long)took);
    cr_assert_eq(rig_stats(r.rest).possible_duplicates, 0);
    sender_teardown(&r);
}

Test(sender, a_429_with_retry_after_waits_that_long)
{
    retry_after(429);
}

Test(sender, a_503_with_retry_after_waits_that_long)
{
    retry_after(503);
}

/* D22: half was written, the whole request fails. */
static void half_500(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                     void *arg)
{
    (void)m, (void)arg;
    if (!req->post || req->nth != 2)
        return;
    for (size_t i = req->n / 2; i < req->n; i++)
        reply->stored[i] = false;
    mock_body(reply, 500, "{\"error_code\":500,\"message\":\"Internal Server Error\"}");
}

Test(sender, a_500_that_wrote_half_repeats_at_most_that_half)
{
    struct sender r;
    sender_setup(&r, half_500);
    spool_add(r.spool, "t", 41, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    rig_drain(r.rest, 3000);
    cr_assert_eq(mock_repeats(r.mock), 20);
    cr_assert_eq(mock_stored(r.mock), 41);
    sender_teardown(&r);
}

/* D23 */
static void gateway(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                    void *arg)
{
    (void)m, (void)arg;
    if (req->post && req->nth >= 2 && req->nth <= 3)
        mock_body(reply, 504, "<html><h1>504 Gateway Time-out</h1></html>");
}

Test(sender, a_gateway_timeout_is_unknown_and_retried)
{
    struct sender r;
    sender_setup(&r, gateway);
    spool_add(r.spool, "t", 11, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    rig_drain(r.rest, 3000);
    struct fm_rest_stats s = rig_stats(r.rest);
    cr_assert_geq(s.possible_duplicates, 11); /* 10, then 1 */
    cr_assert_eq(mock_repeats(r.mock), 11);
    sender_teardown(&r);
}

/* D24, D25: verdicts differ within one answer. */
static void mixed(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                  void *arg)
{
    (void)m, (void)arg;
    if (!req->post || req->nth != 2)
        return;
    for (size_t i = 0; i < req->n; i += 2) {
        reply->error[i] = i % 4 == 0 ? "50003,Kafka is busy" : "999,never seen";
        reply->stored[i] = false;
    }
}

Test(sender, each_record_goes_by_its_own_verdict)
{
    struct sender r;
    sender_setup(&r, mixed);
    spool_add(r.spool, "t", 41, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    rig_drain(r.rest, 3000);
    cr_assert_eq(mock_stored(r.mock), 41);
    cr_assert_eq(mock_repeats(r.mock), 0);
    cr_assert_eq(rig_stats(r.rest).dead, 0);
    sender_teardown(&r);
}

static void denied_with_offsets(struct mock *m, const struct mock_request *req,
                                struct mock_reply *reply, void *arg)
{
    (void)m;
    struct sender *r = arg;
    if (!req->post || req->nth != 2)
        return;
    reply->status = (unsigned)r->bad;
    reply->error[3] = r->bad == 401 ? "40101,x" : r->bad == 403 ? "40301,x" : "50003,x";
    reply->stored[3] = false;
}

Test(sender, successes_inside_a_401_403_422_are_kept)
{
    static const unsigned statuses[] = {401, 403, 422};
    for (size_t i = 0; i < 3; i++) {
        struct sender r;
        sender_setup(&r, denied_with_offsets);
        r.bad = statuses[i];
        spool_add(r.spool, "t", 11, 100, FM_RECORD_DATA);
        r.rest = rig_start(&r.opts);
        rig_drain(r.rest, 3000);
        cr_assert_eq(mock_repeats(r.mock), 0);
        cr_assert_eq(mock_stored(r.mock), 11);
        sender_teardown(&r);
    }
}

/* D26: one record makes the whole request fail. */
Test(sender, one_poison_record_is_isolated_and_buried)
{
    struct sender r;
    sender_setup(&r, sender_poison);
    r.bad = 300;
    r.opts.batch_records = 500;
    spool_add(r.spool, "t", 501, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    rig_drain(r.rest, 3000);
    cr_assert_eq(spool_count(r.spool, FATE_DELIVERED), 500);
    cr_assert_eq(spool_fate(r.spool, 300), FATE_DEAD);
    char reason[600];
    spool_reason(r.spool, 300, reason);
    cr_assert(strstr(reason, "422") != NULL, "%s", reason);
    cr_assert_leq(mock_posts(r.mock), 1 + 2 * 9 + 4 + 2);
    cr_assert_eq(mock_repeats(r.mock), 0);
    sender_teardown(&r);
}

Test(sender, a_control_record_is_never_buried)
{
    struct sender r;
    sender_setup(&r, sender_poison);
    r.bad = 2;
    spool_add(r.spool, "t", 1, 100, FM_RECORD_DATA);
    spool_add(r.spool, "t", 1, 100, FM_RECORD_CONTROL);
    spool_add(r.spool, "t", 40, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    while (spool_count(r.spool, FATE_DELIVERED) < 41 || mock_posts(r.mock) < 16)
        usleep(1000);
    cr_assert_eq(spool_fate(r.spool, 2), FATE_PENDING);
    struct fm_rest_stats s = rig_stats(r.rest);
    cr_assert_eq(s.dead, 0);
    cr_assert_eq(s.suspects, 1);
    sender_teardown(&r);
}

/* D27: all are refused. */
static void refuse_all(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                       void *arg)
{
    (void)m;
    struct sender *r = arg;
    if (req->post && r->phase == 0) {
        mock_refuse(req, reply, "0,");
        mock_body(reply, 422, "{\"error_code\":422,\"message\":\"Unrecognized field: x\"}");
    }
}

Test(sender, when_everything_is_refused_nothing_is_buried_and_the_topic_held)
{
    struct sender r;
    sender_setup(&r, refuse_all);
    r.opts.max_suspects = 3;
    spool_add(r.spool, "t", 60, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    rig_wait_state(r.rest, FM_REST_HOLD, 4000);
    cr_assert_eq(spool_count(r.spool, FATE_PENDING), 60);
    struct fm_rest_stats s = rig_stats(r.rest);
    cr_assert_eq(s.topics[0].health, FM_REST_HOLD);
    cr_assert(strstr(s.topics[0].reason, "check") != NULL, "%s", s.topics[0].reason);
    r.phase = 1; /* repaired */
    rig_drain(r.rest, 4000);
    cr_assert_eq(spool_count(r.spool, FATE_DELIVERED), 60);
    sender_teardown(&r);
}

/* D29, D31, D77 */
static const char *const worthless[] = {
    "<html><script>login()</script></html>",
    "",
    "{}",
    "{\"offsets\":[]}",
    "[]",
    "\"ok\"",
    "\xef\xbb\xbf{\"offsets\":[{\"partition\":0,\"offset\":1}]}",
    "{\"offsets\":[{\"partition\":0,\"offset\":\"1\"}]}",
    "{\"offsets\":[{\"partition\":0,\"offset\":1e0}]}",
    "{\"offsets\":[{\"partition\":0,\"offset\":1.0}]}",
    "{\"offsets\":[{\"partition\":0,\"offset\":1e300}]}",
    "{\"offsets\":[{\"partition\":0,\"offset\":1,\"error_code\":\"50003\"}]}",
    "{\"offsets\":[{\"partition\":0,\"offset\":1,\"error_code\":0}]}",
    "{\"offsets\":[{\"partition\":0,\"offset\":-2}]}",
    "{\"offsets\":[[0,1]]}",
    "{\"offsets\":[{\"partition\":0,\"offset\":1},{\"partition\":0,\"offset\":1}]}",
    "{\"offsets\":[{\"partition\":0,\"offset\":1}"};

static void worthless_answer(struct mock *m, const struct mock_request *req,
                             struct mock_reply *reply, void *arg)
{
    (void)m;
    struct sender *r = arg;
    if (req->post && req->nth <= 2)
        mock_body(reply, 200, worthless[r->bad]);
}

Test(sender, a_200_that_proves_nothing_delivers_nothing)
{
    for (size_t i = 0; i < sizeof worthless / sizeof *worthless; i++) {
        struct sender r;
        sender_setup(&r, worthless_answer);
        r.bad = i;
        spool_add(r.spool, "t", 1, 100, FM_RECORD_DATA);
        r.rest = rig_start(&r.opts);
        rig_drain(r.rest, 4000);
        cr_assert_eq(mock_posts(r.mock), 3, "answer %zu", i);
        cr_assert_geq(rig_stats(r.rest).possible_duplicates, 2, "answer %zu", i);
        sender_teardown(&r);
    }
}

/* D30 */
static void redirect(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                     void *arg)
{
    (void)m;
    struct sender *r = arg;
    if (!req->post || r->phase != 0)
        return;
    mock_refuse(req, reply, "0,");
    mock_body(reply, 307, "");
    reply->headers = "Location: http://evil.example/secret/path\r\n";
}

Test(sender, a_redirect_is_not_followed_and_names_the_host)
{
    struct sender r;
    sender_setup(&r, redirect);
    spool_add(r.spool, "t", 5, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    rig_wait_state(r.rest, FM_REST_HOLD, 3000);
    struct fm_rest_stats s = rig_stats(r.rest);
    cr_assert(strstr(s.topics[0].reason, "evil.example") != NULL, "%s", s.topics[0].reason);
    cr_assert(strstr(s.topics[0].reason, "secret") == NULL, "%s", s.topics[0].reason);
    r.phase = 1;
    rig_drain(r.rest, 3000);
    sender_teardown(&r);
}

/* D35: a gateway's body limit, and one record above the topic's limit. */
static void body_limit(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                       void *arg)
{
    (void)m, (void)arg;
    if (req->body_len > 2500) {
        mock_refuse(req, reply, "0,");
        mock_body(reply, 413, "<html>413 Request Entity Too Large</html>");
    }
}

Test(sender, a_413_teaches_the_body_limit_of_this_run)
{
    struct sender r;
    sender_setup(&r, body_limit);
    spool_add(r.spool, "t", 101, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    rig_drain(r.rest, 3000);
    cr_assert_eq(spool_count(r.spool, FATE_DELIVERED), 101);
    cr_assert_eq(mock_repeats(r.mock), 0);
    sender_teardown(&r);
}

/* D74: the limit is read from the topic, and an oversize record goes alone. */
static void small_topic(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                        void *arg)
{
    (void)m, (void)arg;
    if (!req->post) {
        mock_body(reply, 200, "{\"name\":\"t\",\"configs\":{\"max.message.bytes\":\"1000\"}}");
        return;
    }
    for (size_t i = 0; i < req->n; i++)
        if (req->seq[i] == 7) {
            cr_assert_eq(req->n, 1, "an oversize record in company");
            mock_refuse(req, reply,
                        "50002,The request included a message larger than the max "
                        "message size the server will accept.");
        }
}

Test(sender, an_oversize_record_never_shares_a_request)
{
    struct sender r;
    sender_setup(&r, small_topic);
    spool_add(r.spool, "t", 6, 100, FM_RECORD_DATA);
    spool_add(r.spool, "t", 1, 3000, FM_RECORD_DATA);
    spool_add(r.spool, "t", 20, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    rig_drain(r.rest, 3000);
    cr_assert_eq(spool_fate(r.spool, 7), FATE_DEAD);
    cr_assert_eq(spool_count(r.spool, FATE_DELIVERED), 26);
    sender_teardown(&r);
}

/* D36, D71 */
static void missing(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                    void *arg)
{
    (void)m;
    struct sender *r = arg;
    if (strcmp(req->topic, "t") != 0 || r->phase != 0)
        return;
    cr_assert(!req->post, "produced to a missing topic");
    mock_body(reply, 404, "{\"error_code\":40403,\"message\":\"no such topic\"}");
}

Test(sender, a_missing_topic_is_held_and_others_flow)
{
    struct sender r;
    sender_setup(&r, missing);
    spool_add(r.spool, "t", 5, 100, FM_RECORD_DATA);
    spool_add(r.spool, "other", 5, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    rig_wait_state(r.rest, FM_REST_MISSING, 3000);
    while (spool_count(r.spool, FATE_DELIVERED) < 5)
        usleep(1000);
    struct fm_rest_stats s = rig_stats(r.rest);
    cr_assert(strstr(s.topics[0].reason, "create it") != NULL, "%s", s.topics[0].reason);
    r.phase = 1;
    rig_drain(r.rest, 3000);
    sender_teardown(&r);
}

static void config_status(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                          void *arg)
{
    (void)m;
    struct sender *r = arg;
    if (!req->post || r->phase != 0)
        return;
    mock_refuse(req, reply, "0,");
    mock_body(reply, (unsigned)r->bad, "<html>no</html>");
}

/* D36, D76 */
Test(sender, configuration_faults_hold_and_drop_nothing)
{
    static const unsigned statuses[] = {400, 404, 405, 406, 411, 414, 415,
                                        421, 426, 431, 501, 505, 403};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        struct sender r;
        sender_setup(&r, config_status);
        r.bad = statuses[i];
        spool_add(r.spool, "t", 3, 100, FM_RECORD_DATA);
        r.rest = rig_start(&r.opts);
        rig_wait_state(r.rest, FM_REST_HOLD, 3000);
        cr_assert_eq(spool_count(r.spool, FATE_PENDING), 3, "%u", statuses[i]);
        r.phase = 1;
        rig_drain(r.rest, 3000);
        cr_assert_eq(rig_stats(r.rest).dead, 0);
        sender_teardown(&r);
    }
}

/* D70: Kafka dead behind a live proxy looks like a missing topic. */
static void kafka_dead(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                       void *arg)
{
    (void)m;
    struct sender *r = arg;
    if (r->phase != 1)
        return;
    if (req->post)
        mock_refuse(req, reply, "50003,Topic t not present in metadata after 60000 ms.");
    else
        mock_body(reply, 500,
                  "{\"error_code\":50003,\"message\":\"Timed out waiting for a node\"}");
}

Test(sender, a_dead_kafka_is_an_outage_not_a_missing_topic)
{
    struct sender r;
    sender_setup(&r, kafka_dead);
    spool_add(r.spool, "t", 10, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    rig_drain(r.rest, 3000);
    r.phase = 1;
    spool_add(r.spool, "t", 40, 100, FM_RECORD_DATA);
    fm_rest_wakeup(r.rest);
    rig_wait_state(r.rest, FM_REST_OUTAGE, 3000);
    unsigned posts = mock_posts(r.mock);
    struct fm_rest_stats s = rig_stats(r.rest);
    cr_assert_eq(s.topics[0].hop, FM_REST_HOP_KAFKA, "%s", s.topics[0].reason);
    while (mock_gets(r.mock) < 4)
        usleep(1000);
    cr_assert_eq(mock_posts(r.mock), posts, "produced during an outage");
    mock_max_post(r.mock);
    r.phase = 2;
    rig_drain(r.rest, 3000);
    cr_assert_eq(mock_repeats(r.mock), 0);
    cr_assert_eq(rig_stats(r.rest).dead, 0);
    sender_teardown(&r);
}

/* D73: collective blame. */
static void blame(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                  void *arg)
{
    (void)m;
    struct sender *r = arg;
    static const char *const texts[] = {
        "50002,Failed to append record because it was part of a batch which had one more more "
        "invalid records",
        "50002,The request included a message larger than the max message size the server will "
        "accept.",
        "50003,Expiring 3 record(s) for t-0:120002 ms has passed since batch creation"};
    size_t bad = SIZE_MAX;
    for (size_t i = 0; i < req->n; i++)
        if (req->seq[i] == 20)
            bad = i;
    if (bad == SIZE_MAX)
        return;
    mock_refuse(req, reply, texts[r->bad]);
    reply->error[bad] = r->bad == 1 || req->n == 1 ? "50002,The record is refused" : texts[r->bad];
    if (r->bad == 0)
        reply->error[bad] = "50002,Compacted topic cannot accept message without key";
}

static bool forty_delivered(void *arg)
{
    struct sender *r = arg;
    return spool_count(r->spool, FATE_DELIVERED) >= 40;
}

Test(sender, only_the_culprit_of_a_collective_blame_is_buried)
{
    for (unsigned i = 0; i < 3; i++) {
        struct sender r;
        sender_setup(&r, blame);
        r.bad = i;
        spool_add(r.spool, "t", 41, 100, FM_RECORD_DATA);
        r.rest = rig_start(&r.opts);
        rig_wait(forty_delivered, &r, 4000, "the innocent");
        spool_add(r.spool, "t", 1, 100, FM_RECORD_DATA); /* the evidence */
        rig_drain(r.rest, 4000);
        cr_assert_eq(spool_fate(r.spool, 20), FATE_DEAD, "blame %u", i);
        cr_assert_eq(spool_count(r.spool, FATE_DELIVERED), 41, "blame %u", i);
        sender_teardown(&r);
    }
}

/* D74: the proxy answers probes but produces nothing. */
static void wedge(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                  void *arg)
{
    (void)m;
    struct sender *r = arg;
    if (!req->post || r->phase != 0)
        return;
    mock_refuse(req, reply, "0,");
    reply->how = MOCK_HANG;
}

Test(sender, a_wedged_proxy_is_named_and_recovers)
{
    struct sender r;
    sender_setup(&r, wedge);
    r.opts.timeout_single_ms = 60;
    spool_add(r.spool, "t", 30, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    rig_wait_state(r.rest, FM_REST_STUCK, 5000);
    struct fm_rest_stats s = rig_stats(r.rest);
    cr_assert(strstr(s.topics[0].reason, "restart") != NULL, "%s", s.topics[0].reason);
    cr_assert_eq(mock_max_post(r.mock), 1);
    r.phase = 1;
    rig_drain(r.rest, 3000);
    sender_teardown(&r);
}

/* D75 */
static void stalled(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                    void *arg)
{
    (void)m, (void)arg;
    if (!req->post || req->nth != 2)
        return;
    mock_refuse(req, reply, "0,");
    mock_body(reply, 400,
              "{\"error_code\":400,\"message\":\"Idle timeout expired: 30001/30000 ms\"}");
}

Test(sender, a_stalled_body_is_retried_whole)
{
    struct sender r;
    sender_setup(&r, stalled);
    spool_add(r.spool, "t", 31, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    rig_drain(r.rest, 3000);
    cr_assert_eq(mock_posts(r.mock), 3);
    cr_assert_eq(rig_stats(r.rest).dead, 0);
    sender_teardown(&r);
}

/* produce: a dead last line does not hang it. */
Test(sender, at_the_end_of_input_one_permanent_answer_is_enough)
{
    struct sender r;
    sender_setup(&r, sender_poison);
    r.bad = 1;
    spool_add(r.spool, "t", 1, 100, FM_RECORD_DATA);
    r.opts.bury_at_end = true;
    r.rest = rig_start(&r.opts);
    fm_rest_end_of_input(r.rest);
    rig_drain(r.rest, 3000);
    cr_assert_eq(spool_fate(r.spool, 1), FATE_DEAD);
    sender_teardown(&r);
}

/* once: the rule holds to the end; who waits may see that nothing will change. */
Test(sender, at_the_end_of_input_a_record_stays_a_suspect_where_the_rule_is_to_hold)
{
    struct sender r;
    struct fm_rest_stats s;
    int64_t end = fm_clock_ms() + 20000;
    sender_setup(&r, sender_poison);
    r.bad = 1;
    spool_add(r.spool, "t", 1, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    fm_rest_end_of_input(r.rest);
    do {
        cr_assert_lt(fm_clock_ms(), end);
        usleep(1000);
        s = rig_stats(r.rest);
    } while (s.n_topics == 0 || s.topics[0].refused == 0);
    cr_assert_geq(mock_posts(r.mock), 2);
    cr_assert_eq(s.topics[0].suspects, 1);
    cr_assert_eq(spool_fate(r.spool, 1), FATE_PENDING);
    sender_teardown(&r);
}
