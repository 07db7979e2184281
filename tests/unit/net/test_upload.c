/* Large bodies leave in full segments, and their end is never held back. */
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "net/call_priv.h"
#include "peer.h"

/* LARGE: more than a kernel takes for a narrow peer that reads nothing, and for its sender. */
enum { LARGE = 64 << 20, ODD = 100001 };

static struct fm_client *client;
static char url[64];
static char *large;
static struct fm_http_answer last;

static void start(void)
{
    struct fm_err err = {0};
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_assert_eq(fm_client_new(&client, NULL, &err), FM_OK);
    large = calloc(1, LARGE);
    cr_assert_not_null(large);
    memset(large, 'x', ODD);
}

static void stop(void)
{
    fm_client_free(client);
    free(large);
}

TestSuite(upload, .init = start, .fini = stop);

static void on_end(const struct fm_http_answer *a, void *arg)
{
    (void)arg;
    last = *a;
}

static unsigned slow_ms; /* 0: as by default */

static struct fm_call *post(struct peer *peer, size_t len)
{
    struct fm_err err = {0};
    struct fm_call *call = NULL;
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/x", (unsigned)peer_port(peer));
    const struct fm_http_request r = {.method = "POST",
                                      .url = url,
                                      .body = large,
                                      .body_len = len,
                                      .timeout_ms = 20000,
                                      .slow_upload_ms = slow_ms};
    cr_assert_eq(fm_client_start(client, &r, on_end, NULL, &call, &err), FM_OK);
    return call;
}

static void poll_once(void)
{
    struct fm_err err = {0};
    cr_assert_eq(fm_client_poll(client, 20, &err), FM_OK);
}

static int corked(void)
{
    int value = -1;
    socklen_t len = sizeof value;
    if (client->n_socks == 1)
        (void)getsockopt(client->socks[0].fd, IPPROTO_TCP, TCP_CORK, &value, &len);
    return value;
}

static void poll_until_corked_is(int wanted)
{
    for (int64_t until = fm_clock_ms() + 10000; corked() != wanted && fm_clock_ms() < until;)
        poll_once();
    cr_assert_eq(corked(), wanted);
}

static void reads_nothing(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    (void)arg;
    peer_sleep(conn, 0);
}

Test(upload, holds_segments_back_while_a_large_body_goes_out)
{
    struct peer *peer = peer_start(reads_nothing, NULL);
    peer_narrow(peer);
    struct fm_call *call = post(peer, LARGE);
    poll_until_corked_is(1);
    fm_client_cancel(client, call);
    peer_stop(peer);
}

static void reads_all_and_is_silent(struct peer_conn *conn, unsigned nth, void *arg)
{
    struct peer_request r;
    if (peer_read_request(conn, &r))
        peer_request_clear(&r);
    reads_nothing(conn, nth, arg);
}

Test(upload, lets_the_end_go_before_an_answer_comes)
{
    struct peer *peer = peer_start(reads_all_and_is_silent, NULL);
    struct fm_call *call = post(peer, ODD);
    while (call->body_read < ODD)
        poll_once();
    poll_until_corked_is(0);
    fm_client_cancel(client, call);
    peer_stop(peer);
}

static void answers_all(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    (void)arg;
    for (struct peer_request r; peer_read_request(conn, &r);) {
        peer_answer(conn, 200, r.body_len == ODD ? "all" : "x");
        peer_request_clear(&r);
    }
}

Test(upload, leaves_a_kept_connection_as_it_was)
{
    struct peer *peer = peer_start(answers_all, NULL);
    for (int i = 0; i < 3; i++) {
        (void)post(peer, i == 1 ? 10 : ODD);
        while (fm_client_active(client) > 0)
            poll_once();
        cr_expect_eq(last.failure, FM_HTTP_OK);
        cr_expect_eq(last.body_len, i == 1 ? 1u : 3u);
        cr_expect_eq(last.reused, i > 0);
        cr_expect_eq(corked(), 0);
    }
    peer_stop(peer);
}

static void reset_at_once(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    (void)arg;
    char one[1];
    (void)peer_read_exact(conn, one, 1);
    peer_reset(conn);
}

Test(upload, breaks_when_the_connection_is_reset_in_the_request)
{
    struct peer *peer = peer_start(reset_at_once, NULL);
    (void)post(peer, 8 << 20);
    while (fm_client_active(client) > 0)
        poll_once();
    cr_expect_eq(last.failure, FM_HTTP_BROKEN);
    peer_stop(peer);
}

Test(upload, gives_up_a_body_that_does_not_move)
{
    struct peer *peer = peer_start(reads_nothing, NULL);
    peer_narrow(peer);
    int64_t before = fm_clock_ms();
    slow_ms = 200;
    (void)post(peer, LARGE);
    while (fm_client_active(client) > 0)
        poll_once();
    cr_expect_eq(last.failure, FM_HTTP_SLOW_UPLOAD, "%s", last.err.text);
    cr_expect_lt(fm_clock_ms() - before, 5000);
    cr_expect(last.body_sent);
    peer_stop(peer);
}
