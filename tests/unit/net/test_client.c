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
