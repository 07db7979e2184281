/* Requests over TLS: what is trusted, what is refused, and how it is told. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "certs.h"
#include "child.h"
#include "net/client.h"
#include "net/server.h"
#include "peer.h"

static struct fm_client *client;
static struct fm_server *server;
static struct fm_http_answer answer;
static char url[128], ca[100], pem[100], key[100];
static struct fm_tls tls;
static char host_seen[100];

static bool fresh; /* each request on a new connection */

static void handle(struct fm_server_call *call, void *arg)
{
    (void)arg;
    struct fm_server_reply reply;
    fm_server_reply_init(&reply);
    reply.body = "{}";
    reply.body_len = 2;
    const char *host = fm_server_header(call, "Host");
    (void)snprintf(host_seen, sizeof host_seen, "%s", host != NULL ? host : "-");
    fm_server_answer(call, &reply);
}

static void start(void)
{
    struct fm_err err = {0};
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_assert_eq(fm_client_new(&client, NULL, &err), FM_OK);
    tls = (struct fm_tls){.ca_file = certs_path(ca, sizeof ca, "ca.pem")};
}

static void stop(void)
{
    fm_client_free(client);
    fm_server_stop(server);
}

TestSuite(tls, .init = start, .fini = stop);

/* Serve with a certificate of harness/certs.h; NULL: plain HTTP. */
static void serve(const char *cert)
{
    char name[40];
    struct fm_err err = {0};
    struct fm_server_opts opts = {.listen = "127.0.0.1:0", .handler = handle};
    if (cert != NULL) {
        (void)snprintf(name, sizeof name, "%s.pem", cert);
        opts.cert_file = certs_path(pem, sizeof pem, name);
        (void)snprintf(name, sizeof name, "%s.key", cert);
        opts.key_file = certs_path(key, sizeof key, name);
    }
    cr_assert_eq(fm_server_start(&server, &opts, &err), FM_OK, "%s", err.text);
}

static enum fm_http_failure get_at(const char *scheme, const char *host, uint16_t port)
{
    struct fm_err err = {0};
    (void)snprintf(url, sizeof url, "%s://%s:%u/", scheme, host, (unsigned)port);
    struct fm_http_request r = {
        .method = "GET", .url = url, .tls = &tls, .timeout_ms = 5000, .fresh = fresh};
    cr_assert_eq(fm_client_call(client, &r, &answer, NULL, &err), FM_OK, "%s", err.text);
    return answer.failure;
}

static enum fm_http_failure get(const char *host)
{
    return get_at("https", host, fm_server_port(server));
}

static void says(const char *part)
{
    cr_expect(strstr(answer.err.text, part) != NULL, "\"%s\" lacks \"%s\"", answer.err.text, part);
}

static void distrusts(const char *cert, const char *part)
{
    serve(cert);
    cr_expect_eq(get("127.0.0.1"), FM_HTTP_TLS_VERIFY, "%s: %s", cert, answer.err.text);
    cr_expect_eq(answer.hop, FM_HOP_TLS);
    cr_expect_eq(answer.status, 0);
    says("127.0.0.1");
    says(part);
}

Test(tls, trusts_a_certificate_of_the_given_ca)
{
    serve("server");
    cr_expect_eq(get("127.0.0.1"), FM_HTTP_OK, "%s", answer.err.text);
    cr_expect_eq(answer.status, 200);
    cr_expect(answer.cert_days >= 28 && answer.cert_days <= 30, "%d days", answer.cert_days);
    cr_expect_eq(get("127.0.0.1"), FM_HTTP_OK);
    cr_expect(answer.reused);
    cr_expect(answer.cert_days >= 28, "remembered for the kept connection");
    cr_expect_eq(get("localhost"), FM_HTTP_OK, "%s", answer.err.text);
}

Test(tls, tells_an_expired_certificate)
{
    distrusts("expired", "expired");
}

Test(tls, tells_a_certificate_that_is_not_valid_yet)
{
    distrusts("future", "clock");
}

Test(tls, tells_a_certificate_for_another_name)
{
    distrusts("wrong", "another name");
}

Test(tls, tells_a_self_signed_certificate)
{
    distrusts("self", "self-signed");
}

Test(tls, tells_an_unknown_ca)
{
    tls.ca_file = certs_path(ca, sizeof ca, "other.pem");
    distrusts("server", "CA");
    says("ca_file");
}

Test(tls, shows_what_the_certificate_says_that_is_refused)
{
    distrusts("stranger", "(CN=stranger, issued by CN=Test other, "); /* as inspection does */
    says("; put the CA's certificate into ca_file");
    fm_server_stop(server);
    distrusts("expired", "(CN=expired, issued by CN=Test ca, 2020-01-01 to 2020-02-01) ");
    says("renew it");
    fm_server_stop(server);
    distrusts("self", "(CN=self, issued by CN=self, ");
}

Test(tls, shows_a_certificate_that_took_the_place_of_a_trusted_one)
{
    serve("server");
    uint16_t port = fm_server_port(server);
    cr_expect_eq(get("127.0.0.1"), FM_HTTP_OK, "%s", answer.err.text);
    fm_server_stop(server);
    struct fm_err err = {0};
    char at[32];
    (void)snprintf(at, sizeof at, "127.0.0.1:%u", (unsigned)port);
    struct fm_server_opts opts = {.listen = at,
                                  .handler = handle,
                                  .cert_file = certs_path(pem, sizeof pem, "stranger.pem"),
                                  .key_file = certs_path(key, sizeof key, "stranger.key")};
    cr_assert_eq(fm_server_start(&server, &opts, &err), FM_OK, "%s", err.text);
    cr_expect_eq(get("127.0.0.1"), FM_HTTP_TLS_VERIFY, "%s", answer.err.text);
    says("; put the CA's certificate into ca_file");
    cr_expect_eq(get("127.0.0.1"), FM_HTTP_TLS_VERIFY, "%s", answer.err.text);
    says("issued by CN=Test other, ");
}

Test(tls, trusts_the_systems_cas_only_without_a_ca_file)
{
    tls.ca_file = NULL;
    distrusts("server", "CA");
}

Test(tls, compares_no_name_only_when_told_so)
{
    serve("wrong");
    tls.verify_chain_only = true;
    cr_expect_eq(get("127.0.0.1"), FM_HTTP_OK, "%s", answer.err.text);
    tls.ca_file = certs_path(ca, sizeof ca, "other.pem");
    cr_expect_eq(get("127.0.0.1"), FM_HTTP_TLS_VERIFY, "the chain still counts");
    tls.ca_file = certs_path(ca, sizeof ca, "ca.pem");
    tls.verify_chain_only = false;
    cr_expect_eq(get("127.0.0.1"), FM_HTTP_TLS_VERIFY, "the kept connection is not for others");
}

Test(tls, compares_with_the_given_name)
{
    serve("wrong");
    tls.verify_name = "elsewhere.test";
    cr_expect_eq(get("127.0.0.1"), FM_HTTP_OK, "%s", answer.err.text);
    cr_expect_eq(strncmp(host_seen, "127.0.0.1:", 10), 0, "Host is the real one: %s", host_seen);
    tls.verify_name = "good.test";
    cr_expect_eq(get("127.0.0.1"), FM_HTTP_TLS_VERIFY, "%s", answer.err.text);
}

Test(tls, compares_the_pinned_key)
{
    serve("server");
    tls.pinned_key = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    cr_expect_eq(get("127.0.0.1"), FM_HTTP_TLS_VERIFY, "%s", answer.err.text);
    says("pinned_key");
    cr_expect_not(answer.body_sent);
    char command[400], pin[80] = "sha256//";
    (void)snprintf(command, sizeof command,
                   "openssl x509 -in %s -pubkey -noout | openssl pkey -pubin -outform der | "
                   "openssl dgst -sha256 -binary | base64",
                   pem);
    FILE *f = popen(command, "r");
    cr_assert(f != NULL && fgets(pin + 8, sizeof pin - 8, f) != NULL);
    (void)pclose(f);
    pin[strcspn(pin, "\n")] = '\0';
    tls.pinned_key = pin;
    cr_expect_eq(get("127.0.0.1"), FM_HTTP_OK, "%s: %s", pin, answer.err.text);
    tls.ca_file = certs_path(ca, sizeof ca, "other.pem");
    cr_expect_eq(get("localhost"), FM_HTTP_TLS_VERIFY, "the right key does not excuse the chain");
}

Test(tls, names_a_ca_file_that_cannot_be_used)
{
    serve("server");
    tls.ca_file = "/nonexistent/ca.pem";
    cr_expect_eq(get("127.0.0.1"), FM_HTTP_TLS_VERIFY, "%s", answer.err.text);
    says("/nonexistent/ca.pem");
}

Test(tls, tells_a_client_key_that_cannot_be_used)
{
    char client_pem[100], client_key[100];
    serve("server");
    tls.cert_file = certs_path(client_pem, sizeof client_pem, "client.pem");
    tls.key_file = certs_path(client_key, sizeof client_key, "self.key");
    cr_expect_eq(get("127.0.0.1"), FM_HTTP_TLS_VERIFY, "%s", answer.err.text);
    says("key_file");
    tls.key_file = "/nonexistent/key";
    cr_expect_eq(get("127.0.0.1"), FM_HTTP_TLS_VERIFY, "%s", answer.err.text);
    cr_expect_not(answer.body_sent);
}

Test(tls, tells_tls_spoken_to_a_plain_port)
{
    serve(NULL);
    cr_expect_eq(get("127.0.0.1"), FM_HTTP_TLS_FAILED, "%s", answer.err.text);
    cr_expect_eq(answer.hop, FM_HOP_TLS);
    says("http");
}

Test(tls, tells_plain_http_spoken_to_a_tls_port)
{
    serve("server");
    cr_expect_eq(get_at("http", "127.0.0.1", fm_server_port(server)), FM_HTTP_BROKEN, "%s",
                 answer.err.text);
    says("https://");
}

static void reset_handshake(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    char hello[64];
    (void)peer_read_some(conn, hello, sizeof hello);
    if (*(int *)arg == 1)
        peer_reset(conn);
    else if (*(int *)arg == 2) /* alert: handshake failure */
        (void)peer_send_bytes(conn, "\x15\x03\x03\x00\x02\x02\x28", 7);
    else if (*(int *)arg == 3) /* alert: protocol version */
        (void)peer_send_bytes(conn, "\x15\x03\x03\x00\x02\x02\x46", 7);
}

Test(tls, tells_handshakes_that_fail)
{
    static const char *const parts[] = {"client certificate missing?",
                                        "client certificate missing?",
                                        "client certificate missing?", "1.2"};
    for (int how = 0; how < 4; how++) {
        struct peer *peer = peer_start(reset_handshake, &how);
        cr_expect_eq(get_at("https", "127.0.0.1", peer_port(peer)), FM_HTTP_TLS_FAILED, "%d: %s",
                     how, answer.err.text);
        cr_expect_eq(answer.hop, FM_HOP_TLS);
        cr_expect_not(answer.body_sent);
        says(parts[how]);
        peer_stop(peer);
    }
}

/* A tunnel to the server behind it: answers CONNECT, then passes bytes on. */
struct tunnel {
    unsigned connects;
    char head[16384];
};

static void answer_connect(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    struct tunnel *t = arg;
    struct peer_request r;
    if (!peer_read_request(conn, &r))
        return;
    memcpy(t->head, r.head, sizeof t->head);
    peer_request_clear(&r);
    t->connects++;
    (void)peer_send(conn, "HTTP/1.1 200 OK\r\n\r\n");
    (void)peer_connect_through(conn, fm_server_port(server));
}

static enum fm_http_failure tunnelled(struct tunnel *t, const char *host)
{
    char proxy_url[64];
    struct peer *peer = peer_start(answer_connect, t);
    struct fm_err err = {0};
    (void)snprintf(proxy_url, sizeof proxy_url, "http://127.0.0.1:%u", (unsigned)peer_port(peer));
    (void)snprintf(url, sizeof url, "https://%s:8082/x", host);
    struct fm_http_proxy proxy = {.url = proxy_url};
    struct fm_http_request r = {.method = "POST",
                                .url = url,
                                .body = "[1]",
                                .body_len = 3,
                                .tls = &tls,
                                .proxy = &proxy,
                                .timeout_ms = 5000,
                                .fresh = true};
    cr_assert_eq(fm_client_call(client, &r, &answer, NULL, &err), FM_OK, "%s", err.text);
    peer_stop(peer);
    return answer.failure;
}

Test(tls, goes_through_a_connect_tunnel)
{
    struct tunnel t = {0};
    serve("server");
    cr_expect_eq(tunnelled(&t, "good.test"), FM_HTTP_OK, "%s", answer.err.text);
    cr_expect_eq(answer.status, 200);
    cr_expect_eq(answer.connect_status, 200);
    cr_expect_eq(t.connects, 1u);
    cr_expect(strstr(t.head, "CONNECT good.test:8082 HTTP/1.1\r\n") == t.head);
}

Test(tls, blames_the_host_and_not_the_tunnel_for_its_certificate)
{
    struct tunnel t = {0};
    serve("server");
    cr_expect_eq(tunnelled(&t, "other.test"), FM_HTTP_TLS_VERIFY, "%s", answer.err.text);
    cr_expect_eq(answer.hop, FM_HOP_TLS);
    says("other.test");
    fm_server_stop(server);
    serve(NULL);
    cr_expect_eq(tunnelled(&t, "good.test"), FM_HTTP_TLS_FAILED, "%s", answer.err.text);
    cr_expect_eq(answer.hop, FM_HOP_TLS);
    says("good.test");
}

/* openssl s_server -www: its answer tells whether the session was resumed. */
static struct child s_server;

static uint16_t serve_openssl(const char *option, const char *value)
{
    (void)certs_path(pem, sizeof pem, "server.pem");
    (void)certs_path(key, sizeof key, "server.key");
    const char *const argv[] = {
        "openssl", "s_server", "-accept", "127.0.0.1:0", "-www",    "-cert", pem,
        "-key",    key,        option,    value,         "-CAfile", ca,      "-verify_return_error",
        NULL};
    return (uint16_t)child_start(&s_server, argv, "ACCEPT 127.0.0.1:");
}

Test(tls, resumes_its_session)
{
    uint16_t port = serve_openssl("-naccept", "100");
    struct fm_err err = {0};
    char *text = NULL;
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%u/", (unsigned)port);
    struct fm_http_request r = {.method = "GET", .url = url, .tls = &tls, .fresh = true};
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(fm_client_call(client, &r, &answer, &text, &err), FM_OK);
        cr_assert_eq(answer.failure, FM_HTTP_OK, "%s", answer.err.text);
        cr_expect(strstr(text, i == 0 ? "New, TLSv1" : "Reused, TLSv1") != NULL, "%d", i);
        free(text);
    }
    child_end(&s_server);
}

Test(tls, tells_the_alert_for_a_missing_client_certificate)
{
    uint16_t port = serve_openssl("-Verify", "2");
    cr_expect_eq(get_at("https", "127.0.0.1", port), FM_HTTP_BROKEN, "%s", answer.err.text);
    says("client certificate missing?");
    char client_pem[100], client_key[100];
    tls.cert_file = certs_path(client_pem, sizeof client_pem, "client.pem");
    tls.key_file = certs_path(client_key, sizeof client_key, "client.key");
    cr_expect_eq(get_at("https", "127.0.0.1", port), FM_HTTP_OK, "%s", answer.err.text);
    child_end(&s_server);
}

Test(tls, shows_the_certificate_of_a_handshake_of_1_2)
{
    tls.ca_file = certs_path(ca, sizeof ca, "other.pem");
    uint16_t port = serve_openssl("-tls1_2", "-no_ticket");
    cr_expect_eq(get_at("https", "127.0.0.1", port), FM_HTTP_TLS_VERIFY, "%s", answer.err.text);
    says("(CN=server, issued by CN=Test ca, ");
    child_end(&s_server);
}

static void copy_file(const char *from, const char *to)
{
    char text[8192];
    FILE *in = fopen(from, "r"), *out = fopen(to, "w");
    cr_assert(in != NULL && out != NULL);
    size_t n = fread(text, 1, sizeof text, in);
    cr_assert_eq(fwrite(text, 1, n, out), n);
    (void)fclose(in);
    (void)fclose(out);
}

Test(tls, notices_a_ca_file_that_was_replaced)
{
    char from[100], path[100];
    (void)certs_path(path, sizeof path, "replaced.pem");
    copy_file(certs_path(from, sizeof from, "other.pem"), path);
    serve("server");
    tls.ca_file = path;
    cr_expect_eq(get("127.0.0.1"), FM_HTTP_TLS_VERIFY);
    copy_file(certs_path(from, sizeof from, "ca.pem"), path);
    cr_expect_eq(get("127.0.0.1"), FM_HTTP_OK, "%s", answer.err.text);
}

/* The same once what was read before is kept: the file has stayed as it was for a while. */
Test(tls, notices_a_ca_file_that_was_replaced_later)
{
    char from[100], path[100];
    (void)certs_path(path, sizeof path, "later.pem");
    copy_file(certs_path(from, sizeof from, "ca.pem"), path);
    serve("server");
    tls.ca_file = path;
    fresh = true;
    int64_t end = fm_clock_ms() + 1200; /* libcurl counts whole seconds */
    do {
        cr_expect_eq(get("127.0.0.1"), FM_HTTP_OK, "%s", answer.err.text);
    } while (fm_clock_ms() < end);
    copy_file(certs_path(from, sizeof from, "other.pem"), path);
    cr_expect_eq(get("127.0.0.1"), FM_HTTP_TLS_VERIFY);
    copy_file(certs_path(from, sizeof from, "ca.pem"), path);
    cr_expect_eq(get("127.0.0.1"), FM_HTTP_OK, "%s", answer.err.text);
    (void)remove(path);
    cr_expect_neq(get("127.0.0.1"), FM_HTTP_OK);
}
