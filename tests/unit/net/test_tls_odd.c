/* Catalogue D45 to D50: odd certificates, versions, client keys, and faults inside TLS. Servers
 * that the library would not start are openssl s_server. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "certs.h"
#include "child.h"
#include "net/call_priv.h"
#include "net/server.h"
#include "peer.h"

static struct fm_client *client;
static struct fm_http_answer answer;
static char *text; /* its body */
static struct child openssl;
static char url[128], ca[100], cert_path[100], key_path[100];
static struct fm_tls tls;
static struct fm_http_request request;

static void start(void)
{
    struct fm_err err = {0};
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_assert_eq(fm_client_new(&client, NULL, &err), FM_OK);
    certs_odd();
    tls = (struct fm_tls){.ca_file = certs_path(ca, sizeof ca, "ca.pem")};
    request = (struct fm_http_request){.method = "POST",
                                       .url = url,
                                       .body = "[1]",
                                       .body_len = 3,
                                       .username = "api",
                                       .password = "k3y",
                                       .tls = &tls,
                                       .fresh = true,
                                       .timeout_ms = 5000};
}

static void stop(void)
{
    free(text);
    fm_client_free(client);
}

TestSuite(tls_odd, .init = start, .fini = stop);

/* openssl s_server with a certificate and up to four more words. */
static void serve(const char *name, const char *a, const char *b, const char *c, const char *d)
{
    char file[40];
    (void)snprintf(file, sizeof file, "%s.pem", name);
    (void)certs_path(cert_path, sizeof cert_path, file);
    (void)snprintf(file, sizeof file, "%s.key", name);
    (void)certs_path(key_path, sizeof key_path, file);
    const char *const argv[] = {"openssl",
                                "s_server",
                                "-accept",
                                "127.0.0.1:0",
                                "-cert",
                                cert_path,
                                "-cert_chain",
                                cert_path,
                                "-key",
                                key_path,
                                "-CAfile",
                                ca,
                                "-verify_return_error",
                                a,
                                b,
                                c,
                                d,
                                NULL};
    unsigned port = child_start(&openssl, argv, "ACCEPT 127.0.0.1:");
    (void)snprintf(url, sizeof url, "https://localhost:%u/", port);
}

static enum fm_http_failure call(void)
{
    struct fm_err err = {0};
    free(text);
    text = NULL;
    cr_assert_eq(fm_client_call(client, &request, &answer, &text, &err), FM_OK, "%s", err.text);
    return answer.failure;
}

static void says(const char *part)
{
    cr_expect(strstr(answer.err.text, part) != NULL, "\"%s\" lacks \"%s\"", answer.err.text, part);
}

/* Not one byte of the request may have gone out. */
static void fails(const char *what, enum fm_http_failure failure, const char *part)
{
    cr_expect_eq(call(), failure, "%s: %d: %s", what, (int)answer.failure, answer.err.text);
    cr_expect_eq(answer.hop, FM_HOP_TLS, "%s", what);
    cr_expect_not(answer.body_sent, "%s", what);
    says("localhost:");
    says(part);
}

Test(tls_odd, certificates_that_nobody_should_trust_are_told_apart)
{
    static const char *const bad[][2] = {
        {"below", "an intermediate one is missing"},
        {"purpose", "not meant for servers"},
        {"stars", "another name"},
        {"ca", "not meant for servers"}, /* a CA in a server's place */
        {"weak", "too weak"},
        {"sha1", "too weak"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        serve(bad[i][0], "-www", "-cipher", "ALL:@SECLEVEL=0", NULL);
        fails(bad[i][0], FM_HTTP_TLS_VERIFY, bad[i][1]);
        child_end(&openssl);
    }
    serve("constrained", "-www", NULL, NULL, NULL);
    request.connect_to = "good.test::127.0.0.1:";
    memcpy(url + 8, "good.test", 9); /* as long as localhost */
    cr_expect_eq(call(), FM_HTTP_TLS_VERIFY, "%s", answer.err.text);
    says("permitted");
    child_end(&openssl);
}

Test(tls_odd, a_chain_that_is_whole_is_trusted)
{
    serve("chain", "-www", NULL, NULL, NULL);
    request.method = "GET";
    request.body = NULL;
    cr_expect_eq(call(), FM_HTTP_OK, "%s", answer.err.text);
    child_end(&openssl);
}

Test(tls_odd, an_empty_ca_file_trusts_nobody_and_is_named)
{
    char empty[100];
    serve("server", "-www", NULL, NULL, NULL);
    tls.ca_file = certs_path(empty, sizeof empty, "empty.pem");
    FILE *f = fopen(empty, "w");
    cr_assert_not_null(f);
    (void)fclose(f);
    cr_expect_eq(call(), FM_HTTP_TLS_VERIFY, "%s", answer.err.text);
    says("empty.pem");
    child_end(&openssl);
}

/* D46 */
Test(tls_odd, versions_below_1_2_are_refused_and_1_3_alone_will_do)
{
    serve("server", "-www", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0");
    fails("1.1", FM_HTTP_TLS_FAILED, "1.2 or later");
    child_end(&openssl);
    serve("server", "-www", "-tls1_2", "-cipher", "NULL:aNULL:@SECLEVEL=0");
    fails("no encryption", FM_HTTP_TLS_FAILED, "TLS handshake");
    child_end(&openssl);
    request.method = "GET";
    request.body = NULL;
    serve("server", "-www", "-tls1_3", NULL, NULL);
    cr_expect_eq(call(), FM_HTTP_OK, "%s", answer.err.text);
    child_end(&openssl);
    serve("server", "-www", "-tls1_2", NULL, NULL);
    cr_expect_eq(call(), FM_HTTP_OK, "%s", answer.err.text);
    child_end(&openssl);
}

/* ---- D47: client certificates ---- */

static void show(const char *cert, const char *key, const char *password)
{
    static char pem[100], secret[100];
    tls.cert_file = certs_path(pem, sizeof pem, cert);
    tls.key_file = certs_path(secret, sizeof secret, key);
    tls.key_password = password;
}

Test(tls_odd, a_client_certificate_that_is_refused_is_told_from_a_missing_one)
{
    static const char *const wrong[][2] = {{"stranger.pem", "stranger.key"},
                                           {"late.pem", "late.key"}};
    request.method = "GET";
    request.body = NULL;
    serve("server", "-www", "-Verify", "2", NULL);
    for (size_t i = 0; i < 2; i++) {
        show(wrong[i][0], wrong[i][1], NULL);
        cr_expect_neq(call(), FM_HTTP_OK, "%s", wrong[i][0]);
        says("it may not accept our client certificate");
        cr_expect(strstr(answer.err.text, "missing") == NULL, "%s", answer.err.text);
    }
    show("client.pem", "client.key", NULL);
    cr_expect_eq(call(), FM_HTTP_OK, "%s", answer.err.text);
    child_end(&openssl);
}

Test(tls_odd, an_encrypted_key_wants_its_password)
{
    request.method = "GET";
    request.body = NULL;
    serve("server", "-www", "-Verify", "2", NULL);
    static const char *const passwords[] = {NULL, "", "wrong"};
    for (size_t i = 0; i < 3; i++) {
        show("client.pem", "locked.key", passwords[i]);
        cr_expect_eq(call(), FM_HTTP_TLS_VERIFY, "%zu: %s", i, answer.err.text);
        says("key_password");
        cr_expect(strstr(answer.err.text, "wrong") == NULL, "%s", answer.err.text);
    }
    show("client.pem", "locked.key", "open-sesame");
    cr_expect_eq(call(), FM_HTTP_OK, "%s", answer.err.text);
    child_end(&openssl);
}

/* ---- faults inside TLS ---- */

/* D48, D49: the other end of a talk with s_server without -www, which prints what it gets and sends
 * what it is given; a line of one letter is a command. */
struct talk {
    const char *command; /* while the body is under way; NULL: none */
    const char *text; /* the answer */
    bool dies; /* behind the answer, without saying good-bye */
};

static void *other_end(void *arg)
{
    const struct talk *t = arg;
    char line[4096];
    if (t->command != NULL) {
        cr_expect(child_says(&openssl, "xxxxxxxx", line, sizeof line));
        child_write(&openssl, t->command);
    }
    cr_expect(child_says(&openssl, "end-of-body", line, sizeof line));
    child_write(&openssl, t->text);
    while (fgets(line, sizeof line, openssl.out) != NULL)
        ;
    return NULL;
}

static void keep(const struct fm_http_answer *a, void *arg)
{
    (void)arg;
    answer = *a;
    free(text);
    text = strndup(a->body, a->body_len);
}

/* The other end is killed once its answer's first bytes are here. */
static enum fm_http_failure call_and_kill(void)
{
    struct fm_err err = {0};
    struct fm_call *call = NULL;
    cr_assert_eq(fm_client_start(client, &request, keep, NULL, &call, &err), FM_OK);
    for (bool dead = false; fm_client_active(client) > 0;) {
        cr_assert_eq(fm_client_poll(client, 1000, &err), FM_OK, "%s", err.text);
        if (dead || fm_client_active(client) == 0 || call->head_bytes == 0)
            continue;
        cr_expect_eq(kill(openssl.pid, SIGKILL), 0);
        dead = true;
    }
    return answer.failure;
}

static enum fm_http_failure talk(const char *version, const struct talk *t)
{
    enum { LINES = 20000, WIDTH = 100 };
    static char body[LINES * WIDTH + 20];
    pthread_t thread;
    for (size_t i = 0; i < LINES; i++) {
        memset(body + i * WIDTH, 'x', WIDTH - 1);
        body[i * WIDTH + WIDTH - 1] = '\n';
    }
    memcpy(body + (size_t)LINES * WIDTH, "end-of-body\n", 12);
    request.body = body;
    request.body_len = (size_t)LINES * WIDTH + 12;
    serve("server", version, NULL, NULL, NULL);
    cr_assert_eq(pthread_create(&thread, NULL, other_end, (void *)(uintptr_t)t), 0);
    enum fm_http_failure failure = t->dies ? call_and_kill() : call();
    (void)kill(openssl.pid, SIGKILL);
    (void)pthread_join(thread, NULL);
    child_end(&openssl);
    return failure;
}

#define HEAD "HTTP/1.1 200 X\r\n"

Test(tls_odd, new_keys_in_the_middle_of_a_body_change_nothing)
{
    struct talk t = {.command = "K\n", .text = HEAD "Content-Length: 2\r\n\r\n{}"};
    cr_expect_eq(talk("-tls1_3", &t), FM_HTTP_OK, "%s", answer.err.text);
    t.command = "r\n"; /* negotiate again */
    cr_expect_eq(talk("-tls1_2", &t), FM_HTTP_OK, "%s", answer.err.text);
    cr_expect_eq(answer.status, 200);
}

Test(tls_odd, an_end_without_good_bye_adds_nothing_and_takes_nothing_away)
{
    struct talk t = {.text = HEAD "Content-Length: 2\r\n\r\n{}", .dies = true};
    cr_expect_eq(talk("-tls1_3", &t), FM_HTTP_OK, "%s", answer.err.text);
    cr_expect_eq(answer.body_len, 2);
    /* Without a length nobody but the reader can tell (rest: a_cut_answer_proves_nothing). */
    t.text = HEAD "\r\n{\"offsets\":[{\"partition\":0,";
    (void)talk("-tls1_3", &t);
    cr_assert_not_null(text);
    cr_expect_str_eq(text, "{\"offsets\":[{\"partition\":0,");
    cr_expect(answer.body_sent);
}

/* ---- D03, D50: the server's bytes stop, end or change on the way ---- */

enum { POINTS = 48, STEP = 41 };

static struct fm_server *server;
static enum peer_how fault_how;

static void handle(struct fm_server_call *c, void *arg)
{
    (void)arg;
    struct fm_server_reply reply;
    fm_server_reply_init(&reply);
    reply.body = "{}";
    reply.body_len = 2;
    fm_server_answer(c, &reply);
}

static void spoil(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)arg;
    const struct peer_fault fault = {.after = (nth - 1) * STEP, .how = fault_how};
    (void)peer_connect_fault(conn, fm_server_port(server), &fault);
}

static struct tally {
    unsigned done, good, tls, http;
    double slowest_ms;
} tally;

static void count(const struct fm_http_answer *a, void *arg)
{
    (void)arg;
    tally.done++;
    if (a->failure == FM_HTTP_OK) { /* a byte that nobody looks at was changed */
        cr_expect(a->status == 200 && a->body_len == 2 && memcmp(a->body, "{}", 2) == 0);
        tally.good++;
        return;
    }
    tally.tls += a->hop == FM_HOP_TLS;
    tally.http += a->hop == FM_HOP_HTTP;
    cr_expect(a->hop == FM_HOP_TLS || a->hop == FM_HOP_HTTP, "%s", a->err.text);
    cr_expect(a->hop == FM_HOP_HTTP || !a->body_sent, "%s", a->err.text);
    cr_expect(strstr(a->err.text, "127.0.0.1:") != NULL, "%s", a->err.text);
    if (a->hop == FM_HOP_TLS && a->duration_ms > tally.slowest_ms)
        tally.slowest_ms = a->duration_ms;
}

static void sweep(enum peer_how how)
{
    struct fm_err err = {0};
    struct fm_server_opts opts = {.listen = "127.0.0.1:0",
                                  .handler = handle,
                                  .cert_file =
                                      certs_path(cert_path, sizeof cert_path, "server.pem"),
                                  .key_file = certs_path(key_path, sizeof key_path, "server.key")};
    cr_assert_eq(fm_server_start(&server, &opts, &err), FM_OK, "%s", err.text);
    fault_how = how;
    tally = (struct tally){0};
    struct peer *peer = peer_start(spoil, NULL);
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%u/", (unsigned)peer_port(peer));
    request.connect_timeout_ms = 1500;
    request.timeout_ms = 2500;
    for (int i = 0; i < POINTS; i++)
        cr_assert_eq(fm_client_start(client, &request, count, NULL, NULL, &err), FM_OK);
    int64_t limit = fm_clock_ms() + 20000;
    while (tally.done < POINTS && fm_clock_ms() < limit)
        cr_assert_eq(fm_client_poll(client, 100, &err), FM_OK);
    cr_assert_eq(tally.done, POINTS);
    peer_stop(peer);
    fm_server_stop(server);
}

Test(tls_odd, a_handshake_that_stops_anywhere_ends_at_the_connect_deadline)
{
    sweep(PEER_STALL);
    cr_expect_geq(tally.tls, 10u, "%u", tally.tls);
    cr_expect_lt(tally.slowest_ms, 2400, "not at the total deadline: %.0f ms", tally.slowest_ms);
}

Test(tls_odd, a_connection_that_is_cut_anywhere_is_no_answer)
{
    sweep(PEER_CUT);
    cr_expect_geq(tally.tls, 10u, "%u", tally.tls);
    cr_expect_geq(tally.tls + tally.http, 20u, "%u, %u good", tally.tls + tally.http, tally.good);
}

Test(tls_odd, a_byte_that_was_changed_is_noticed)
{
    sweep(PEER_FLIP);
    cr_expect_geq(tally.tls, 10u, "%u", tally.tls);
    cr_expect_leq(tally.good, POINTS - 20u, "%u good", tally.good);
}
