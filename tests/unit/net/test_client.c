#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/client.h"
#include "peer.h"

static struct fm_client *client;
static char url[128];
static struct fm_http_answer answer;
static char *body;

static void start(void)
{
    struct fm_err err = {0};
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_assert_eq(fm_client_new(&client, NULL, &err), FM_OK);
}

static void stop(void)
{
    fm_client_free(client);
    free(body);
}

TestSuite(client, .init = start, .fini = stop);

static struct fm_http_request get(uint16_t port)
{
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/x", (unsigned)port);
    return (struct fm_http_request){.method = "GET", .url = url, .timeout_ms = 5000};
}

static struct fm_http_request post(uint16_t port, const char *text)
{
    struct fm_http_request r = get(port);
    r.method = "POST";
    r.body = text;
    r.body_len = strlen(text);
    return r;
}

static enum fm_http_failure call(const struct fm_http_request *r)
{
    struct fm_err err = {0};
    free(body);
    memset(&answer, 0, sizeof answer);
    cr_assert_eq(fm_client_call(client, r, &answer, &body, &err), FM_OK, "%s", err.text);
    return answer.failure;
}

static void says(const char *part)
{
    cr_assert(strstr(answer.err.text, part) != NULL, "\"%s\" lacks \"%s\"", answer.err.text, part);
}

/* The wanted head lines, and what was read of the body. */
struct seen {
    char head[16384];
    char body[4096];
};

static void echo(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    struct seen *seen = arg;
    for (struct peer_request r; peer_read_request(conn, &r);) {
        if (seen != NULL) {
            memcpy(seen->head, r.head, sizeof seen->head);
            (void)snprintf(seen->body, sizeof seen->body, "%s", r.body);
        }
        peer_answer(conn, 200, r.body_len > 0 ? r.body : "{}");
        peer_request_clear(&r);
    }
}

Test(client, posts_a_body_with_its_length_and_no_expect)
{
    struct seen seen = {0};
    struct peer *peer = peer_start(echo, &seen);
    const char *lines[] = {"Content-Type: application/json", "X-A: b"};
    struct fm_http_request r = post(peer_port(peer), "[1,2]");
    r.headers = lines;
    r.n_headers = 2;
    r.username = "u";
    r.password = "p:@%";
    cr_assert_eq(call(&r), FM_HTTP_OK, "%s", answer.err.text);
    cr_expect_eq(answer.status, 200);
    cr_expect_str_eq(body, "[1,2]");
    cr_expect(answer.body_sent);
    cr_expect_not(answer.reused);
    peer_stop(peer);
    cr_expect_str_eq(seen.body, "[1,2]");
    cr_expect(strstr(seen.head, "POST /x HTTP/1.1\r\n") == seen.head);
    cr_expect(strstr(seen.head, "Content-Length: 5\r\n") != NULL);
    cr_expect(strstr(seen.head, "Content-Type: application/json\r\n") != NULL);
    cr_expect(strstr(seen.head, "X-A: b\r\n") != NULL);
    cr_expect(strstr(seen.head, "Authorization: Basic dTpwOkAl\r\n") != NULL);
    cr_expect(strstr(seen.head, "Expect") == NULL);
    cr_expect(strstr(seen.head, "Transfer-Encoding") == NULL);
    cr_expect(strstr(seen.head, "Upgrade") == NULL);
}

Test(client, names_a_refused_connection)
{
    struct fm_http_request r = post(peer_closed_port(), "x");
    cr_assert_eq(call(&r), FM_HTTP_CONNECT);
    cr_expect_eq(answer.hop, FM_HOP_TCP);
    cr_expect_not(answer.body_sent);
    cr_expect_eq(answer.status, 0);
    says("refused");
}

/* ---- failures of each hop ---- */

Test(client, names_an_unknown_host)
{
    struct fm_http_request r = get(80);
    r.url = "http://no-such-host.invalid:8082/";
    cr_assert_eq(call(&r), FM_HTTP_RESOLVE, "%s", answer.err.text);
    cr_expect_eq(answer.hop, FM_HOP_NAME);
    says("no-such-host.invalid");
}

static void stall(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    (void)arg;
    peer_stall(conn, 0);
}

Test(client, ends_a_silent_answer_at_the_total_deadline)
{
    struct peer *peer = peer_start(stall, NULL);
    struct fm_http_request r = post(peer_port(peer), "x");
    r.timeout_ms = 200;
    int64_t before = fm_clock_ms();
    cr_assert_eq(call(&r), FM_HTTP_TIMEOUT, "%s", answer.err.text);
    cr_expect_lt(fm_clock_ms() - before, 1500);
    cr_expect_eq(answer.hop, FM_HOP_HTTP);
    cr_expect(answer.body_sent);
    says("200 ms");
    peer_stop(peer);
}

Test(client, ends_a_silent_tls_handshake_at_the_connect_deadline)
{
    struct peer *peer = peer_start(stall, NULL);
    struct fm_http_request r = get(peer_port(peer));
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%u/", (unsigned)peer_port(peer));
    r.connect_timeout_ms = 200;
    cr_assert_eq(call(&r), FM_HTTP_TLS_FAILED, "%s", answer.err.text);
    cr_expect_eq(answer.hop, FM_HOP_TLS);
    peer_stop(peer);
}

static void refused_url(const char *bad, const char *part)
{
    struct fm_err err = {0};
    struct fm_http_request r = {.method = "GET", .url = bad};
    cr_expect_eq(fm_client_call(client, &r, &answer, NULL, &err), FM_ECONF, "%s", bad);
    cr_expect(strstr(err.text, part) != NULL, "%s", err.text);
    cr_expect(strstr(err.text, "hunter2") == NULL, "%s", err.text);
}

Test(client, takes_only_http_urls_without_credentials)
{
    refused_url("file:///etc/passwd", "http://");
    refused_url("ftp://host/x", "http://");
    refused_url("gopher://host/x", "http://");
    refused_url("http://user:hunter2@host/", "refused");
    refused_url("http://host:hunter2/", "URL");
    refused_url("", "URL");
    refused_url("https://", "URL");
}

Test(client, refuses_a_header_with_a_line_break)
{
    const char *lines[] = {"X-A: b\r\nX-Evil: c"};
    struct fm_err err = {0};
    struct fm_http_request r = get(80);
    r.headers = lines;
    r.n_headers = 1;
    cr_expect_eq(fm_client_call(client, &r, &answer, NULL, &err), FM_EUSAGE);
}

/* ---- kept connections ---- */

Test(client, keeps_its_connection)
{
    struct peer *peer = peer_start(echo, NULL);
    struct fm_http_request r = post(peer_port(peer), "[1]");
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(call(&r), FM_HTTP_OK);
        cr_expect_eq(answer.reused, i > 0);
    }
    cr_expect_eq(peer_accepted(peer), 1u);
    r.fresh = true;
    cr_assert_eq(call(&r), FM_HTTP_OK);
    cr_expect_not(answer.reused);
    cr_expect_eq(peer_accepted(peer), 2u);
    peer_stop(peer);
}

enum ending { ENDS_BY_FIN, ENDS_BY_RST };

/* Answers the first request, takes the second whole and ends the connection without an answer. */
static void take_then_close(struct peer_conn *conn, unsigned nth, void *arg)
{
    struct peer_request r;
    for (int i = 0; peer_read_request(conn, &r); i++) {
        peer_request_clear(&r);
        if (nth == 1 && i == 1) {
            if (*(enum ending *)arg == ENDS_BY_RST)
                peer_reset(conn);
            return;
        }
        peer_answer(conn, 200, "{}");
    }
}

static void sent_once(enum ending ending)
{
    struct peer *peer = peer_start(take_then_close, &ending);
    struct fm_http_request r = post(peer_port(peer), "[1]");
    cr_assert_eq(call(&r), FM_HTTP_OK);
    cr_expect_eq(call(&r), FM_HTTP_REUSED_DIED, "%d %s", answer.failure, answer.err.text);
    cr_expect(answer.body_sent);
    cr_expect(answer.reused);
    cr_expect_eq(answer.status, 0);
    cr_expect_eq(peer_requests(peer), 2u, "libcurl sent it again by itself");
    cr_expect_eq(call(&r), FM_HTTP_OK, "%s", answer.err.text);
    cr_expect_not(answer.reused);
    cr_expect_eq(peer_requests(peer), 3u);
    peer_stop(peer);
}

Test(client, never_repeats_a_post_when_a_reused_connection_ends)
{
    sent_once(ENDS_BY_FIN);
}

Test(client, never_repeats_a_post_when_a_reused_connection_is_reset)
{
    sent_once(ENDS_BY_RST);
}

/* Answers one request on each connection and closes it. */
static void one_each(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    (void)arg;
    struct peer_request r;
    if (peer_read_request(conn, &r)) {
        peer_request_clear(&r);
        peer_answer(conn, 200, "{}");
    }
}

Test(client, notices_a_kept_connection_that_was_closed_while_idle)
{
    struct peer *peer = peer_start(one_each, NULL);
    struct fm_http_request r = post(peer_port(peer), "[1]");
    for (unsigned i = 1; i <= 20; i++) {
        enum fm_http_failure failure = call(&r);
        /* When the end arrives just while we send, the outcome must be told, not hidden. */
        cr_assert(failure == FM_HTTP_OK || failure == FM_HTTP_REUSED_DIED, "%s", answer.err.text);
        cr_expect_leq(peer_requests(peer), i);
    }
    peer_stop(peer);
}

/* ---- what a server may do to an answer ---- */

struct script {
    const char *answer;
    const char *part; /* sent repeat times after the answer */
    size_t repeat;
    bool reset;
};

static void scripted(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    const struct script *s = arg;
    struct peer_request r;
    if (!peer_read_request(conn, &r))
        return;
    peer_request_clear(&r);
    peer_send(conn, s->answer);
    for (size_t i = 0; i < s->repeat; i++)
        if (!peer_send(conn, s->part))
            return;
    if (s->reset)
        peer_reset(conn);
}

static enum fm_http_failure play(struct script s)
{
    struct peer *peer = peer_start(scripted, &s);
    struct fm_http_request r = post(peer_port(peer), "[1]");
    enum fm_http_failure failure = call(&r);
    peer_stop(peer);
    return failure;
}

Test(client, tells_a_truncated_answer)
{
    cr_expect_eq(
        play((struct script){.answer = "HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n{\"a\""}),
        FM_HTTP_BROKEN);
    cr_expect_eq(answer.status, 200);
    cr_expect_str_eq(body, "{\"a\"", "what came is shown");
    says("cut its answer short");
    cr_expect_eq(play((struct script){
                     .answer = "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"}),
                 FM_HTTP_BROKEN);
    cr_expect_eq(play((struct script){.answer = "HTTP/1.1 200 X\r\nContent-"}), FM_HTTP_BROKEN);
    cr_expect_eq(play((struct script){.answer = ""}), FM_HTTP_BROKEN);
    cr_expect_eq(answer.status, 0);
    cr_expect(answer.body_sent);
    says("without an answer");
    cr_expect_eq(play((struct script){.answer = "", .reset = true}), FM_HTTP_BROKEN);
}

Test(client, takes_an_answer_that_only_the_close_ends)
{
    cr_expect_eq(play((struct script){.answer = "HTTP/1.1 200 X\r\n\r\n{\"a"}), FM_HTTP_OK);
    cr_expect_str_eq(body, "{\"a");
}

Test(client, stops_at_the_cap_of_the_body)
{
    static char part[16 << 10];
    memset(part, 'x', sizeof part - 1);
    struct script s = {.answer = "HTTP/1.1 200 X\r\n\r\n", .repeat = 4096, .part = part};
    cr_expect_eq(play(s), FM_HTTP_TOO_LARGE, "%s", answer.err.text);
    cr_expect_leq(answer.body_len, 4u << 20);
}

Test(client, stops_at_the_cap_of_the_head)
{
    struct script s = {.answer = "HTTP/1.1 200 X\r\n",
                       .repeat = 100000,
                       .part = "X-Y: 0123456789012345678901234567890\r\n"};
    cr_expect_eq(play(s), FM_HTTP_TOO_LARGE, "%s", answer.err.text);
    says("64 KiB of headers");
    s = (struct script){.answer = "", .repeat = 100000, .part = "HTTP/1.1 102 Processing\r\n\r\n"};
    cr_expect_eq(play(s), FM_HTTP_TOO_LARGE, "endless interim answers: %s", answer.err.text);
}

Test(client, does_not_inflate)
{
    cr_expect_eq(
        play((struct script){
            .answer = "HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"}),
        FM_HTTP_OK);
    cr_expect_str_eq(body, "abcd");
}

Test(client, does_not_follow_a_redirect)
{
    char text[200];
    struct peer *other = peer_start(echo, NULL);
    (void)snprintf(text, sizeof text,
                   "HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:%u/\r\nContent-Length: 0\r\n\r\n",
                   (unsigned)peer_port(other));
    cr_expect_eq(play((struct script){.answer = text}), FM_HTTP_OK);
    cr_expect_eq(answer.status, 307);
    cr_expect_eq(peer_accepted(other), 0u);
    peer_stop(other);
}

struct taken {
    long retry_after;
    char type[64];
    char location[64];
};

static void take_values(const struct fm_http_answer *a, void *arg)
{
    struct taken *t = arg;
    t->retry_after = a->retry_after != NULL ? strtol(a->retry_after, NULL, 10) : -1;
    (void)snprintf(t->type, sizeof t->type, "%s", a->content_type);
    (void)snprintf(t->location, sizeof t->location, "%s", a->location != NULL ? a->location : "-");
}

Test(client, shows_the_headers_of_the_final_answer_only)
{
    struct script s = {.answer = "HTTP/1.1 103 X\r\nRetry-After: 7\r\nContent-Type: a/b\r\n\r\n"
                                 "HTTP/1.1 429 X\r\nretry-after:  5 \r\nContent-Type: "
                                 "text/html\r\nContent-Length: 0\r\n\r\n"};
    struct peer *peer = peer_start(scripted, &s);
    struct fm_http_request r = post(peer_port(peer), "[1]");
    struct taken t = {.retry_after = -2};
    struct fm_err err = {0};
    cr_assert_eq(fm_client_start(client, &r, take_values, &t, NULL, &err), FM_OK);
    while (fm_client_active(client) > 0)
        cr_assert_eq(fm_client_poll(client, 1000, &err), FM_OK);
    peer_stop(peer);
    cr_expect_eq(t.retry_after, 5);
    cr_expect_str_eq(t.type, "text/html");
    cr_expect_str_eq(t.location, "-");
}

/* ---- uploads ---- */

static void never_reads(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    (void)arg;
    peer_sleep(conn, 0);
}

/* Takes a MiB of the body now and then; what the kernel holds for it is more than that. */
static void reads_slowly(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    size_t left = *(const size_t *)arg, part = 1u << 20;
    char *data = malloc(part), c, end[4] = "";
    cr_assert_not_null(data);
    while (memcmp(end, "\r\n\r\n", 4) != 0 && peer_read_exact(conn, &c, 1)) {
        memmove(end, end + 1, 3);
        end[3] = c;
    }
    for (; left > 0 && peer_read_exact(conn, data, part); left -= part)
        peer_sleep(conn, 120);
    free(data);
    (void)peer_answer(conn, 200, "{}");
}

/* Catalogue D15: the limit is for silence, not for size. */
Test(client, gives_a_body_that_moves_as_long_as_it_needs)
{
    size_t len = 32u << 20;
    struct peer *peer = peer_start(reads_slowly, &len);
    peer_narrow(peer); /* else the kernel may take all of it at once, and then nothing moves */
    char *large = calloc(1, len);
    cr_assert_not_null(large);
    struct fm_http_request r = post(peer_port(peer), "");
    r.body = large;
    r.body_len = len;
    r.timeout_ms = 2500;
    r.slow_upload_ms = 5000;
    int64_t before = fm_clock_ms();
    cr_expect_eq(call(&r), FM_HTTP_OK, "%s", answer.err.text);
    cr_expect_gt(fm_clock_ms() - before, 2500);
    free(large);
    peer_stop(peer);
}

/* As a proxy whose Kafka makes it wait: nothing is read, but TCP says that somebody is there. */
static void reads_late(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    (void)arg;
    struct peer_request in;
    peer_sleep(conn, 8000);
    if (!peer_read_request(conn, &in))
        return;
    peer_request_clear(&in);
    (void)peer_answer(conn, 200, "{}");
}

Test(client, takes_a_peer_that_reads_late_for_no_dead_connection)
{
    struct peer *peer = peer_start(reads_late, NULL);
    size_t len = 16u << 20;
    char *large = calloc(1, len);
    cr_assert_not_null(large);
    struct fm_http_request r = post(peer_port(peer), "");
    r.body = large;
    r.body_len = len;
    r.timeout_ms = 20000;
    cr_expect_eq(call(&r), FM_HTTP_OK, "%s", answer.err.text);
    free(large);
    peer_stop(peer);
}

static void hangs_thrice(struct peer_conn *conn, unsigned nth, void *arg)
{
    if (nth <= 3)
        never_reads(conn, nth, NULL);
    struct peer_request in;
    *(unsigned *)arg = peer_segment(conn);
    if (!peer_read_request(conn, &in))
        return;
    peer_request_clear(&in);
    (void)peer_answer(conn, 200, "{}");
}

/* Perhaps its certificate is too large for the way; and perhaps it just hangs, for ever. */
Test(client, a_handshake_that_hangs_makes_segments_small_but_never_tiny)
{
    unsigned segment = 0;
    struct peer *peer = peer_start(hangs_thrice, &segment);
    struct fm_http_request r = get(peer_port(peer));
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%u/x", (unsigned)peer_port(peer));
    r.connect_timeout_ms = 200;
    for (int i = 0; i < 3; i++)
        cr_expect_eq(call(&r), FM_HTTP_TLS_FAILED, "%s", answer.err.text);
    r = get(peer_port(peer));
    cr_expect_eq(call(&r), FM_HTTP_OK, "%s", answer.err.text);
    cr_expect_leq(segment, 1200);
    cr_expect_gt(segment, 1000);
    peer_stop(peer);
}

static void takes_all_and_is_silent(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    (void)arg;
    struct peer_request in;
    if (peer_read_request(conn, &in))
        peer_request_clear(&in);
    peer_stall(conn, 0);
}

Test(client, waits_for_an_answer_no_longer_than_it_was_told)
{
    struct peer *peer = peer_start(takes_all_and_is_silent, NULL);
    struct fm_http_request r = post(peer_port(peer), "{}");
    r.timeout_ms = 700;
    r.slow_upload_ms = 100; /* so that it is looked at many times */
    int64_t before = fm_clock_ms();
    cr_expect_eq(call(&r), FM_HTTP_TIMEOUT, "%s", answer.err.text);
    cr_expect_geq(fm_clock_ms() - before, 700);
    peer_stop(peer);
}

/* Catalogue D05: a byte now and then, for ever; of the head, or of the body behind it. */
static void drips(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    struct peer_request in;
    if (!peer_read_request(conn, &in))
        return;
    peer_request_clear(&in);
    bool late = *(const bool *)arg;
    (void)peer_send(conn, late ? "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
                               : "HTTP/1.1 200 OK\r\nX: ");
    while (peer_send_bytes(conn, "x", 1))
        peer_sleep(conn, 20);
}

Test(client, ends_an_answer_that_drips_at_the_total_deadline)
{
    for (int i = 0; i < 4; i++) {
        bool late = i % 2 == 1;
        struct peer *peer = peer_start(drips, &late);
        struct fm_http_request r = post(peer_port(peer), "{}");
        if (i >= 2) {
            r.method = "GET";
            r.body = NULL;
        }
        r.timeout_ms = 500;
        r.slow_upload_ms = 100;
        int64_t before = fm_clock_ms();
        cr_expect_eq(call(&r), FM_HTTP_TIMEOUT, "%d: %s", i, answer.err.text);
        cr_expect_geq(fm_clock_ms() - before, 500, "%d", i);
        peer_stop(peer);
    }
}

/* ---- cancel, wake up, free ---- */

static void count_end(const struct fm_http_answer *a, void *arg)
{
    unsigned *n = arg;
    n[0]++;
    n[1] = (unsigned)a->failure;
}

Test(client, cancels_a_call_and_closes_its_connection)
{
    struct peer *peer = peer_start(stall, NULL);
    struct fm_http_request r = post(peer_port(peer), "x");
    struct fm_call *c = NULL;
    struct fm_err err = {0};
    unsigned n[2] = {0};
    cr_assert_eq(fm_client_start(client, &r, count_end, n, &c, &err), FM_OK);
    for (int64_t until = fm_clock_ms() + 2000; peer_accepted(peer) == 0 && fm_clock_ms() < until;)
        cr_assert_eq(fm_client_poll(client, 10, &err), FM_OK);
    fm_client_cancel(client, c);
    cr_expect_eq(n[0], 1u);
    cr_expect_eq(n[1], (unsigned)FM_HTTP_CANCELLED);
    cr_expect_eq(fm_client_active(client), 0u);
    cr_assert_eq(fm_client_poll(client, 0, &err), FM_OK);
    cr_expect_eq(n[0], 1u, "told once");
    peer_stop(peer);
}

static struct fm_call *other_call;

static void cancel_other(const struct fm_http_answer *a, void *arg)
{
    count_end(a, arg);
    if (other_call != NULL)
        fm_client_cancel(client, other_call);
    other_call = NULL;
}

Test(client, lets_a_callback_cancel_and_start_calls)
{
    struct fm_http_request r = get(peer_closed_port());
    struct peer *peer = peer_start(stall, NULL);
    struct fm_err err = {0};
    unsigned first[2] = {0}, second[2] = {0};
    cr_assert_eq(fm_client_start(client, &r, cancel_other, first, NULL, &err), FM_OK);
    struct fm_http_request slow = get(peer_port(peer));
    cr_assert_eq(fm_client_start(client, &slow, count_end, second, &other_call, &err), FM_OK);
    while (fm_client_active(client) > 0)
        cr_assert_eq(fm_client_poll(client, 1000, &err), FM_OK);
    cr_expect_eq(first[0], 1u);
    cr_expect_eq(second[0], 1u);
    cr_expect_eq(second[1], (unsigned)FM_HTTP_CANCELLED);
    peer_stop(peer);
}

Test(client, frees_calls_under_way_without_a_word)
{
    struct peer *peer = peer_start(stall, NULL);
    struct fm_http_request r = get(peer_port(peer));
    struct fm_err err = {0};
    unsigned n[2] = {0};
    for (int i = 0; i < 3; i++)
        cr_assert_eq(fm_client_start(client, &r, count_end, n, NULL, &err), FM_OK);
    cr_assert_eq(fm_client_poll(client, 10, &err), FM_OK);
    fm_client_free(client);
    client = NULL;
    cr_expect_eq(n[0], 0u);
    peer_stop(peer);
}

static void *wake(void *arg)
{
    (void)arg;
    usleep(20000);
    fm_client_wakeup(client);
    return NULL;
}

Test(client, wakes_up_from_another_thread)
{
    struct fm_err err = {0};
    int64_t before = fm_clock_ms();
    fm_client_wakeup(client); /* before the wait */
    cr_assert_eq(fm_client_poll(client, 10000, &err), FM_OK);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, wake, NULL), 0);
    cr_assert_eq(fm_client_poll(client, 10000, &err), FM_OK);
    pthread_join(thread, NULL);
    cr_expect_lt(fm_clock_ms() - before, 5000);
}

/* ---- the HTTP proxy ---- */

struct connect_script {
    const char *answer;
    char head[16384];
    unsigned n;
};

static void connect_proxy(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    struct connect_script *s = arg;
    struct peer_request r;
    while (peer_read_request(conn, &r)) {
        memcpy(s->head, r.head, sizeof s->head);
        s->n++;
        peer_request_clear(&r);
        if (!peer_send(conn, s->answer))
            return;
    }
}

static enum fm_http_failure through(struct connect_script *s, const char *target,
                                    const char *username)
{
    char proxy_url[64];
    struct peer *peer = peer_start(connect_proxy, s);
    (void)snprintf(proxy_url, sizeof proxy_url, "http://127.0.0.1:%u", (unsigned)peer_port(peer));
    struct fm_http_proxy proxy = {.url = proxy_url, .username = username, .password = "p:@%s3cret"};
    struct fm_http_request r = post(1, "[1]");
    r.url = target;
    r.proxy = &proxy;
    r.timeout_ms = 2000;
    r.username = "api";
    r.password = "k3y";
    enum fm_http_failure failure = call(&r);
    peer_stop(peer);
    cr_expect(strstr(answer.err.text, "s3cret") == NULL);
    return failure;
}

Test(client, tells_what_the_http_proxy_answered_to_connect)
{
    static const struct {
        const char *answer;
        enum fm_http_failure failure;
        long code;
        const char *part;
    } cases[] = {
        {"HTTP/1.1 407 X\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n",
         FM_HTTP_PROXY_DENIED, 407, "credentials"},
        {"HTTP/1.1 403 X\r\nContent-Length: 0\r\n\r\n", FM_HTTP_PROXY_DENIED, 403,
         "does not allow"},
        {"HTTP/1.1 502 X\r\nContent-Length: 0\r\n\r\n", FM_HTTP_PROXY_FAILED, 502, "cannot reach"},
        {"HTTP/1.1 503 X\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n", FM_HTTP_PROXY_FAILED, 503,
         "cannot reach"},
        {"HTTP/1.1 302 X\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n", FM_HTTP_PROXY_FAILED,
         302, "302"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct connect_script s = {.answer = cases[i].answer};
        cr_expect_eq(through(&s, "https://rest.test:8082/topics/t", NULL), cases[i].failure, "%s",
                     answer.err.text);
        cr_expect_eq(answer.connect_status, cases[i].code);
        cr_expect_eq(answer.status, 0);
        cr_expect_eq(answer.hop, FM_HOP_PROXY);
        cr_expect_not(answer.body_sent);
        says(cases[i].part);
        says("rest.test");
        cr_expect(strstr(s.head, "CONNECT rest.test:8082 HTTP/1.1\r\n") == s.head);
        cr_expect(strstr(s.head, "Authorization: Basic YXBp") == NULL, "not for the proxy");
    }
}

Test(client, tells_a_silent_a_closed_and_an_absent_http_proxy)
{
    struct connect_script s = {.answer = ""};
    cr_expect_eq(through(&s, "https://rest.test:8082/", NULL), FM_HTTP_PROXY_FAILED, "%s",
                 answer.err.text);
    cr_expect_eq(answer.hop, FM_HOP_PROXY);
    char proxy_url[64];
    (void)snprintf(proxy_url, sizeof proxy_url, "127.0.0.1:%u", (unsigned)peer_closed_port());
    struct fm_http_proxy proxy = {.url = proxy_url};
    struct fm_http_request r = post(1, "x");
    r.url = "https://rest.test/";
    r.proxy = &proxy;
    cr_expect_eq(call(&r), FM_HTTP_PROXY_FAILED, "%s", answer.err.text);
    cr_expect_eq(answer.hop, FM_HOP_PROXY);
    says("HTTP proxy");
    says("refused");
    proxy.url = "http://no-such-host.invalid:3128";
    cr_expect_eq(call(&r), FM_HTTP_PROXY_FAILED, "%s", answer.err.text);
    says("name of the HTTP proxy");
}

Test(client, tells_a_407_of_a_proxy_that_is_asked_directly)
{
    struct connect_script s = {.answer =
                                   "HTTP/1.1 407 X\r\nProxy-Authenticate: Basic realm=\"x\"\r\n"
                                   "Content-Length: 0\r\n\r\n"};
    cr_expect_eq(through(&s, "http://rest.test:8082/x", NULL), FM_HTTP_PROXY_DENIED, "%s",
                 answer.err.text);
    cr_expect_eq(answer.connect_status, 407);
    s = (struct connect_script){.answer = "HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\n{}"};
    cr_expect_eq(through(&s, "http://rest.test:8082/x", "me"), FM_HTTP_OK, "%s", answer.err.text);
    cr_expect(strstr(s.head, "POST http://rest.test:8082/x HTTP/1.1\r\n") == s.head);
    cr_expect(strstr(s.head, "Proxy-Authorization: Basic bWU6cDpAJXMzY3JldA==\r\n") != NULL);
}

Test(client, obeys_the_environment_only_when_told_to)
{
    struct connect_script s = {.answer = "HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\n{}"};
    struct peer *peer = peer_start(connect_proxy, &s);
    char proxy_url[64];
    (void)snprintf(proxy_url, sizeof proxy_url, "http://u:s3cret@127.0.0.1:%u",
                   (unsigned)peer_port(peer));
    (void)setenv("http_proxy", proxy_url, 1);
    (void)setenv("https_proxy", proxy_url, 1);
    (void)setenv("ALL_PROXY", proxy_url, 1);
    (void)unsetenv("no_proxy");
    (void)unsetenv("NO_PROXY");
    struct fm_http_request r = get(peer_closed_port());
    cr_expect_eq(call(&r), FM_HTTP_CONNECT);
    cr_expect_eq(peer_accepted(peer), 0u);
    struct fm_http_proxy proxy = {.url = "environment"};
    r.proxy = &proxy;
    r.url = "http://rest.test/";
    cr_expect_eq(call(&r), FM_HTTP_OK, "%s", answer.err.text);
    cr_expect_eq(peer_accepted(peer), 1u);
    proxy.no_proxy = "other.test, .test";
    cr_expect_eq(call(&r), FM_HTTP_RESOLVE, "goes directly: %s", answer.err.text);
    (void)setenv("no_proxy", "rest.test", 1);
    proxy.no_proxy = NULL;
    cr_expect_eq(call(&r), FM_HTTP_RESOLVE, "goes directly: %s", answer.err.text);
    peer_stop(peer);
}
