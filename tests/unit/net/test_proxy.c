/* HTTP proxies over TLS: two handshakes on one way, and each failure names its own. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "certs.h"
#include "child.h"
#include "net/client.h"
#include "net/server.h"

static struct fm_client *client;
static struct fm_server *server;
static struct fm_http_answer answer;
static struct child proxy;
static char url[128], proxy_url[64];
static char ca[100], other[100];
static struct fm_tls tls;
static struct fm_http_proxy way;

static void handle(struct fm_server_call *call, void *arg)
{
    (void)arg;
    struct fm_server_reply reply;
    fm_server_reply_init(&reply);
    reply.body = "{}";
    reply.body_len = 2;
    fm_server_answer(call, &reply);
}

static void start(void)
{
    struct fm_err err = {0};
    char pem[100], key[100];
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_assert_eq(fm_client_new(&client, NULL, &err), FM_OK);
    struct fm_server_opts opts = {.listen = "127.0.0.1:0",
                                  .handler = handle,
                                  .cert_file = certs_path(pem, sizeof pem, "server.pem"),
                                  .key_file = certs_path(key, sizeof key, "server.key")};
    cr_assert_eq(fm_server_start(&server, &opts, &err), FM_OK, "%s", err.text);
    (void)snprintf(url, sizeof url, "https://good.test:%u/x", (unsigned)fm_server_port(server));
    tls = (struct fm_tls){.ca_file = certs_path(ca, sizeof ca, "ca.pem")};
    way = (struct fm_http_proxy){.url = proxy_url, .ca_file = ca};
    (void)certs_path(other, sizeof other, "other.pem");
}

static void stop(void)
{
    fm_client_free(client);
    fm_server_stop(server);
}

TestSuite(proxy, .init = start, .fini = stop);

/* A proxy over TLS with a certificate of harness/certs.h. */
static void serve(const char *name, const char *how, const char *login)
{
    char pem[100], key[100], file[40];
    (void)snprintf(file, sizeof file, "%s.pem", name);
    (void)certs_path(pem, sizeof pem, file);
    (void)snprintf(file, sizeof file, "%s.key", name);
    (void)certs_path(key, sizeof key, file);
    const char *const argv[] = {"python3", "-B",  "tests/harness/tls_proxy.py", pem, key,
                                how,       login, login != NULL ? ca : NULL,    NULL};
    unsigned port = child_start(&proxy, argv, "port ");
    (void)snprintf(proxy_url, sizeof proxy_url, "https://127.0.0.1:%u", port);
}

static enum fm_http_failure post(void)
{
    struct fm_err err = {0};
    struct fm_http_request r = {.method = "POST",
                                .url = url,
                                .body = "[1]",
                                .body_len = 3,
                                .username = "api",
                                .password = "k3y",
                                .tls = &tls,
                                .proxy = &way,
                                .connect_timeout_ms = 5000,
                                .timeout_ms = 10000,
                                .fresh = true};
    cr_assert_eq(fm_client_call(client, &r, &answer, NULL, &err), FM_OK, "%s", err.text);
    cr_expect(strstr(answer.err.text, "k3y") == NULL, "%s", answer.err.text);
    cr_expect(strstr(answer.err.text, "s3cret") == NULL, "%s", answer.err.text);
    return answer.failure;
}

static void says(const char *part)
{
    cr_expect(strstr(answer.err.text, part) != NULL, "\"%s\" lacks \"%s\"", answer.err.text, part);
}

/* Whoever failed, nothing of the request left the host. */
static void fails(enum fm_http_failure failure, enum fm_hop hop)
{
    cr_expect_eq(post(), failure, "failure %d: %s", (int)answer.failure, answer.err.text);
    cr_expect_eq(answer.hop, hop, "hop %d: %s", (int)answer.hop, answer.err.text);
    cr_expect_not(answer.body_sent);
    cr_expect_eq(answer.status, 0);
}

Test(proxy, over_tls_opens_the_way_with_its_own_ca)
{
    char stranger[100], line[600];
    serve("stranger", "open", NULL); /* of another CA, for client.test */
    way.ca_file = certs_path(stranger, sizeof stranger, "other.pem");
    fails(FM_HTTP_TLS_VERIFY, FM_HOP_PROXY); /* another name */
    child_end(&proxy);
    serve("server", "open", NULL);
    fails(FM_HTTP_TLS_VERIFY, FM_HOP_PROXY); /* the CA of the host is not that of the proxy */
    way.ca_file = ca;
    cr_expect_eq(post(), FM_HTTP_OK, "%s", answer.err.text);
    cr_expect_eq(answer.status, 200);
    cr_expect_eq(answer.connect_status, 200);
    cr_expect_eq(answer.cert_days >= 28, 1, "of the host: %d", answer.cert_days);
    cr_expect(child_says(&proxy, "CONNECT good.test:", line, sizeof line));
    child_end(&proxy);
}

Test(proxy, over_tls_gets_its_own_credentials_and_no_client_certificate)
{
    char line[600], pem[100], key[100];
    serve("server", "open", "me:p:@%s3cret");
    tls.cert_file = certs_path(pem, sizeof pem, "client.pem");
    tls.key_file = certs_path(key, sizeof key, "client.key");
    way.username = "me";
    way.password = "p:@%s3cret";
    cr_expect_eq(post(), FM_HTTP_OK, "%s", answer.err.text);
    cr_expect(child_says(&proxy, " auth ", line, sizeof line));
    cr_expect(strstr(line, " plain") != NULL, "the client certificate is for the host: %s", line);
    child_end(&proxy);
}

Test(proxy, over_tls_with_wrong_credentials_is_named)
{
    serve("server", "open", "me:right");
    way.username = "me";
    way.password = "s3cret";
    fails(FM_HTTP_PROXY_DENIED, FM_HOP_PROXY);
    cr_expect_eq(answer.connect_status, 407);
    says("the HTTP proxy 127.0.0.1:");
    says("wants credentials (407)");
    says("good.test");
    child_end(&proxy);
}

Test(proxy, over_tls_that_refuses_to_connect_is_named)
{
    serve("server", "403", NULL);
    fails(FM_HTTP_PROXY_DENIED, FM_HOP_PROXY);
    says("does not allow good.test:");
    child_end(&proxy);
    serve("server", "503", NULL);
    fails(FM_HTTP_PROXY_FAILED, FM_HOP_PROXY);
    says("cannot reach good.test:");
    child_end(&proxy);
}

/* ---- the proxy's certificate ---- */

static void distrusted(const char *name, const char *part)
{
    serve(name, "open", NULL);
    fails(FM_HTTP_TLS_VERIFY, FM_HOP_PROXY);
    says("the HTTP proxy 127.0.0.1:");
    says(part);
    cr_expect(strstr(answer.err.text, " ca_file") == NULL, "not the host's: %s", answer.err.text);
    child_end(&proxy);
}

Test(proxy, of_an_unknown_ca_is_told_with_its_own_setting)
{
    way.ca_file = other;
    distrusted("server", "http_proxy_ca_file");
}

Test(proxy, of_another_name_is_told)
{
    distrusted("wrong", "into http_proxy");
}

Test(proxy, with_an_expired_certificate_is_told)
{
    distrusted("expired", "expired");
}

Test(proxy, with_a_self_signed_certificate_is_told)
{
    distrusted("self", "http_proxy_ca_file");
}

Test(proxy, whose_ca_file_cannot_be_used_names_that_file)
{
    serve("server", "open", NULL);
    way.ca_file = "/nonexistent/proxy-ca.pem";
    fails(FM_HTTP_TLS_VERIFY, FM_HOP_PROXY);
    says("/nonexistent/proxy-ca.pem");
    says("http_proxy_ca_file");
    child_end(&proxy);
}

/* ---- plain and TLS mistaken ---- */

Test(proxy, that_is_plain_but_set_as_https_is_told)
{
    struct fm_server *plain;
    struct fm_err err = {0};
    struct fm_server_opts opts = {.listen = "127.0.0.1:0", .handler = handle};
    cr_assert_eq(fm_server_start(&plain, &opts, &err), FM_OK);
    (void)snprintf(proxy_url, sizeof proxy_url, "https://127.0.0.1:%u",
                   (unsigned)fm_server_port(plain));
    fails(FM_HTTP_PROXY_FAILED, FM_HOP_PROXY);
    says("the HTTP proxy 127.0.0.1:");
    says("http://");
    fm_server_stop(plain);
}

Test(proxy, over_tls_but_set_as_plain_is_told)
{
    serve("server", "open", NULL);
    memmove(proxy_url + 4, proxy_url + 5, strlen(proxy_url) - 4); /* https -> http */
    fails(FM_HTTP_PROXY_FAILED, FM_HOP_PROXY);
    says("the HTTP proxy 127.0.0.1:");
    says("https://");
    child_end(&proxy);
}

/* ---- and the host behind it ---- */

Test(proxy, over_tls_is_not_blamed_for_the_certificate_of_the_host)
{
    serve("server", "open", NULL);
    tls.ca_file = other;
    fails(FM_HTTP_TLS_VERIFY, FM_HOP_TLS);
    cr_expect_eq(answer.connect_status, 200);
    says("good.test:");
    says(" ca_file");
    cr_expect(strstr(answer.err.text, "HTTP proxy") == NULL, "%s", answer.err.text);
    tls.ca_file = ca;
    (void)snprintf(url, sizeof url, "https://other.test:%u/x", (unsigned)fm_server_port(server));
    fails(FM_HTTP_TLS_VERIFY, FM_HOP_TLS);
    says("other.test:");
    tls.pinned_key = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    (void)snprintf(url, sizeof url, "https://good.test:%u/x", (unsigned)fm_server_port(server));
    fails(FM_HTTP_TLS_VERIFY, FM_HOP_TLS);
    says("pinned_key");
    child_end(&proxy);
}

/* A plain target is asked for at the proxy itself. */
/* libcurl loses the reason of a failed handshake inside another one. */
Test(proxy, over_tls_hides_no_reason_of_the_host)
{
    static const char *const bad[][2] = {
        {"expired", "expired"}, {"future", "clock"}, {"self", " ca_file"}};
    struct fm_err err = {0};
    serve("server", "open", NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char pem[100], key[100], file[40];
        (void)snprintf(file, sizeof file, "%s.pem", bad[i][0]);
        (void)certs_path(pem, sizeof pem, file);
        (void)snprintf(file, sizeof file, "%s.key", bad[i][0]);
        (void)certs_path(key, sizeof key, file);
        struct fm_server *host;
        struct fm_server_opts opts = {
            .listen = "127.0.0.1:0", .handler = handle, .cert_file = pem, .key_file = key};
        cr_assert_eq(fm_server_start(&host, &opts, &err), FM_OK, "%s", err.text);
        (void)snprintf(url, sizeof url, "https://localhost:%u/x", (unsigned)fm_server_port(host));
        fails(FM_HTTP_TLS_VERIFY, FM_HOP_TLS);
        says("localhost:");
        says(bad[i][1]);
        fm_server_stop(host);
    }
    child_end(&proxy);
}

Test(proxy, over_tls_carries_requests_to_plain_hosts)
{
    char line[600];
    serve("server", "open", "me:right");
    way.username = "me";
    way.password = "right";
    (void)snprintf(url, sizeof url, "http://good.test:8082/x");
    cr_expect_eq(post(), FM_HTTP_OK, "%s", answer.err.text);
    cr_expect(child_says(&proxy, "POST http://good.test:8082/x", line, sizeof line));
    way.ca_file = other;
    fails(FM_HTTP_TLS_VERIFY, FM_HOP_PROXY);
    says("the HTTP proxy 127.0.0.1:");
    child_end(&proxy);
}
