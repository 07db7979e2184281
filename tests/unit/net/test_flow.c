/* What the end of a request teaches about the way to its peer. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "net/call_priv.h"

static struct fm_client client;

static void clear(void)
{
    fm_net_ways_clear(&client);
}

TestSuite(flow, .fini = clear);

static void ends_at(const char *peer, enum fm_http_failure failure, bool lost, unsigned segment)
{
    struct fm_call call = {.client = &client, .lost = lost, .segment = segment};
    const struct fm_http_answer answer = {.failure = failure};
    call.target.via_proxy = true; /* then it is written in one piece */
    (void)snprintf(call.target.proxy, sizeof call.target.proxy, "%s", peer);
    fm_net_flow_ended(&call, &answer);
}

static void ends(enum fm_http_failure failure, bool lost, unsigned segment)
{
    ends_at("proxy.test:8082", failure, lost, segment);
}

static int segment(void)
{
    return fm_net_segment(&client, fm_net_peer("proxy.test:8082", NULL));
}

Test(flow, requests_that_end_in_one_hole_make_segments_small_once)
{
    for (int i = 0; i < 4; i++)
        ends(FM_HTTP_SLOW_UPLOAD, true, 1448);
    cr_assert_eq(segment(), 1200);
    ends(FM_HTTP_SLOW_UPLOAD, true, 1188);
    cr_assert_eq(segment(), 536, "small ones do not get through either");
}

Test(flow, a_peer_that_does_not_read_says_nothing_about_the_way)
{
    ends(FM_HTTP_SLOW_UPLOAD, false, 1448);
    ends(FM_HTTP_TIMEOUT, true, 1448);
    cr_assert_eq(segment(), 0);
}

Test(flow, a_hole_on_the_way_to_one_peer_says_nothing_about_another)
{
    ends_at("other.test:8082", FM_HTTP_SLOW_UPLOAD, true, 1448);
    cr_expect_eq(segment(), 0);
    ends(FM_HTTP_SLOW_UPLOAD, true, 1448);
    ends(FM_HTTP_SLOW_UPLOAD, true, 1188);
    cr_expect_eq(segment(), 536);
    cr_expect_eq(fm_net_segment(&client, fm_net_peer("other.test:8082", NULL)), 1200);
    cr_expect_eq(fm_net_segment(&client, fm_net_peer("proxy.test:8083", NULL)), 0,
                 "the same host, another port");
    cr_expect_eq(fm_net_segment(&client, 0), 0);
}

Test(flow, a_host_and_its_port_are_the_same_peer_however_they_are_written)
{
    const struct fm_net_target direct = {.host = "h.test", .port = "80"},
                               proxied = {.host = "far",
                                          .port = "1",
                                          .via_proxy = true,
                                          .proxy = "h.test:80"};
    cr_expect_eq(fm_net_peer_of(&direct), fm_net_peer_of(&proxied));
    cr_expect_neq(fm_net_peer("h.test", "80"), fm_net_peer("h.test", "81"));
}

Test(flow, what_was_learnt_of_a_peer_is_forgotten_for_sixteen_others)
{
    char peer[32];
    ends(FM_HTTP_SLOW_UPLOAD, true, 1448);
    for (int i = 0; i < FM_NET_WAYS; i++) {
        (void)snprintf(peer, sizeof peer, "h%d.test:1", i);
        ends_at(peer, FM_HTTP_SLOW_UPLOAD, true, 1448);
    }
    cr_expect_eq(client.n_ways, FM_NET_WAYS);
    cr_expect_eq(segment(), 0);
    cr_expect_eq(fm_net_segment(&client, fm_net_peer("h0.test:1", NULL)), 1200);
}

Test(flow, segments_are_full_again_after_their_hour)
{
    fm_net_set_segment(&client, fm_net_peer("proxy.test:8082", NULL), 1200, 60000);
    cr_expect_eq(segment(), 1200);
    fm_net_set_segment(&client, fm_net_peer("proxy.test:8082", NULL), 1200, 0);
    cr_expect_eq(segment(), 0);
}
