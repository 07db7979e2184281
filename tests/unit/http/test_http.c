#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/http.h"

static struct fm_http *http;

static void stop(void)
{
    fm_http_stop(http);
}

TestSuite(http, .fini = stop);

static void serve(struct fm_http_opts opts)
{
    struct fm_err err = {0};
    opts.listen = opts.listen != NULL ? opts.listen : "127.0.0.1:0";
    cr_assert_eq(fm_http_start(&http, &opts, &err), FM_OK, "%s", err.text);
}

static void publish(const char *health, bool failing)
{
    struct fm_http_docs docs = {.health = health,
                                .health_len = strlen(health),
                                .failing = failing,
                                .stats = "{\"totals\":{}}",
                                .stats_len = 13,
                                .metrics = "firstmile_up 1\n",
                                .metrics_len = 15,
                                .ready = !failing};
    struct fm_err err = {0};
    cr_assert_eq(fm_http_publish(http, &docs, &err), FM_OK);
}

static char got[300000];

/* Send text as it is, read to the end. @return the status, 0 if none */
static int raw(const char *text)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(fm_http_port(http)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    size_t n = 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (n + 1 < sizeof got && poll(&p, 1, 3000) == 1) {
        ssize_t more = recv(fd, got + n, sizeof got - 1 - n, 0);
        if (more <= 0)
            break;
        n += (size_t)more;
    }
    got[n] = '\0';
    close(fd);
    int status = 0;
    return sscanf(got, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}

/* One request with these extra header lines (each ends with \r\n). */
static int ask(const char *method, const char *path, const char *host, const char *extra)
{
    char text[4000];
    (void)snprintf(text, sizeof text, "%s %s HTTP/1.1\r\n%s%s%s%sConnection: close\r\n\r\n", method,
                   path, host != NULL ? "Host: " : "", host != NULL ? host : "",
                   host != NULL ? "\r\n" : "", extra);
    return raw(text);
}

static int get(const char *path)
{
    return ask("GET", path, "127.0.0.1:9470", "");
}

static bool shows(const char *part)
{
    return strstr(got, part) != NULL;
}

Test(http, is_alive_but_not_ready_before_anything_is_published)
{
    serve((struct fm_http_opts){0});
    cr_expect_eq(get("/livez"), 200);
    cr_expect_eq(get("/readyz"), 503);
    cr_expect_eq(get("/health"), 503);
    cr_expect(shows("\"status\":\"failing\""));
    cr_expect_eq(get("/stats"), 503);
    cr_expect_eq(get("/metrics"), 503);
    cr_expect_eq(get("/"), 200);
}

Test(http, shows_what_was_published_last)
{
    serve((struct fm_http_opts){0});
    publish("{\"status\":\"ok\",\"reasons\":[]}", false);
    cr_expect_eq(get("/health"), 200);
    cr_expect(shows("Content-Type: application/json\r\n"));
    cr_expect(shows("\r\n\r\n{\"status\":\"ok\",\"reasons\":[]}"));
    cr_expect_eq(get("/readyz"), 200);
    cr_expect_eq(get("/stats"), 200);
    cr_expect(shows("{\"totals\":{}}"));
    cr_expect_eq(get("/metrics"), 200);
    cr_expect(shows("version=0.0.4"));
    cr_expect(shows("firstmile_up 1\n"));
    publish("{\"status\":\"failing\"}", true);
    cr_expect_eq(get("/health"), 503);
    cr_expect(shows("{\"status\":\"failing\"}"));
    cr_expect_eq(get("/readyz"), 503);
    cr_expect_eq(get("/livez"), 200);
}

Test(http, fails_when_the_agent_stops_reporting)
{
    serve((struct fm_http_opts){.stale_ms = 1500}); /* what is asked at once comes sooner */
    cr_expect_eq(get("/livez"), 200, "starting is no failure");
    publish("{\"status\":\"ok\"}", false);
    cr_expect_eq(get("/livez"), 200);
    int64_t until = fm_clock_ms() + 10000;
    while (get("/livez") == 200 && fm_clock_ms() < until)
        (void)poll(NULL, 0, 10);
    cr_expect_eq(get("/livez"), 503);
    cr_expect_eq(get("/health"), 503);
    cr_expect_eq(get("/readyz"), 503);
    publish("{\"status\":\"ok\"}", false);
    cr_expect_eq(get("/health"), 200);
}

Test(http, knows_only_its_table_of_paths)
{
    serve((struct fm_http_opts){0});
    publish("{}", false);
    static const char *const paths[] = {"/healthz",     "/health/",
                                        "//",           "//health",
                                        "/../health",   "/%2e%2e/etc/passwd",
                                        "/health%00",   "/health%00x",
                                        "/%c0%ae",      "/\\health",
                                        "/etc/passwd",  "/health;x",
                                        "/favicon.ico", "http://127.0.0.1/health"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        cr_expect_eq(get(paths[i]), 404, "%s", paths[i]);
    cr_expect_eq(get("/health?x=1"), 200);
    cr_expect_eq(get("/%68ealth"), 200, "the same path, spelt differently");
    char longer[9000] = "/";
    memset(longer + 1, 'a', 3000);
    cr_expect_eq(get(longer), 404);
}

Test(http, has_only_get_and_head)
{
    serve((struct fm_http_opts){0});
    publish("{\"status\":\"ok\"}", false);
    static const char *const methods[] = {"PUT",   "DELETE", "OPTIONS", "PATCH",
                                          "TRACE", "get",    "BREW"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        cr_expect_eq(ask(methods[i], "/health", "localhost", ""), 405, "%s", methods[i]);
        cr_expect(shows("Allow: GET, HEAD\r\n"));
        cr_expect_not(shows("Access-Control-"));
    }
    cr_expect_eq(ask("POST", "/health", "localhost", "Content-Length: 99999999\r\n"), 405);
    cr_expect_eq(ask("HEAD", "/health", "localhost", ""), 200);
    cr_expect(shows("Content-Length: 15\r\n"));
    cr_expect_not(shows("status\":\"ok"), "no body");
}

Test(http, answers_only_to_its_own_names)
{
    serve((struct fm_http_opts){.hosts = "metrics.internal, web-1"});
    publish("{}", false);
    static const char *const good[] = {
        "localhost",  "LOCALHOST:9470", "127.0.0.1",           "127.0.0.1:1", "[::1]",
        "[::1]:9470", "127.0.0.2",      "metrics.internal:80", "WEB-1"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_expect_eq(ask("GET", "/health", good[i], ""), 200, "%s", good[i]);
    static const char *const bad[] = {"evil.example",
                                      "evil.example:9470",
                                      "localhost.",
                                      "localhost.evil.example",
                                      "127.0.0.1.evil.example",
                                      "10.0.0.1",
                                      "0.0.0.0",
                                      "[::2]",
                                      "127.0.0.1:",
                                      "127.0.0.1:x",
                                      "127.0.0.1:123456",
                                      "user@localhost",
                                      "localhost:9470:1",
                                      "[::1",
                                      "localhost/",
                                      "2130706433",
                                      "0x7f.1",
                                      "evil web-1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_eq(ask("GET", "/health", bad[i], ""), 421, "%s", bad[i]);
    cr_expect_eq(ask("GET", "/health", NULL, ""), 400, "none");
    cr_expect_eq(ask("GET", "/health", "localhost", "Host: evil.example\r\n"), 400, "two");
    cr_expect_eq(ask("GET", "/health", "localhost", "Host: localhost\r\n"), 400, "two alike");
}

Test(http, refuses_what_another_site_asks)
{
    serve((struct fm_http_opts){0});
    publish("{}", false);
    static const struct {
        const char *lines;
        int status;
    } cases[] = {
        {"Origin: https://evil.example\r\n", 403},
        {"Origin: null\r\n", 403},
        {"Origin: http://localhost.evil.example\r\n", 403},
        {"Origin: file://\r\n", 403},
        {"Origin: http://127.0.0.1:9470\r\n", 200},
        {"Origin: http://localhost\r\n", 200},
        {"Sec-Fetch-Site: cross-site\r\n", 403},
        {"Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: no-cors\r\n", 403},
        {"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\n",
         403},
        {"Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n",
         200},
        {"Sec-Fetch-Site: same-origin\r\n", 200},
        {"Sec-Fetch-Site: none\r\n", 200},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect_eq(ask("GET", "/stats", "localhost", cases[i].lines), cases[i].status, "%s",
                     cases[i].lines);
        cr_expect_not(shows("Access-Control-"));
    }
}

Test(http, sends_its_protective_headers_with_every_answer)
{
    serve((struct fm_http_opts){0});
    publish("{}", false);
    static const char *const paths[] = {"/",      "/health",  "/livez", "/readyz",
                                        "/stats", "/metrics", "/no"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        (void)get(paths[i]);
        cr_expect(shows("X-Content-Type-Options: nosniff\r\n"), "%s", paths[i]);
        cr_expect(shows("Cache-Control: no-store\r\n"), "%s", paths[i]);
        cr_expect(shows("Cross-Origin-Resource-Policy: same-origin\r\n"), "%s", paths[i]);
        cr_expect(shows("Content-Security-Policy: default-src 'none';"), "%s", paths[i]);
        cr_expect(shows("frame-ancestors 'none'"), "%s", paths[i]);
    }
}

Test(http, gives_the_page_a_new_nonce_each_time_and_no_outside_asset)
{
    serve((struct fm_http_opts){0});
    cr_assert_eq(get("/"), 200);
    const char *at = strstr(got, "script-src 'nonce-");
    cr_assert_not_null(at);
    char first[25] = "", mark[64];
    memcpy(first, at + 18, 24);
    (void)snprintf(mark, sizeof mark, "<script nonce='%s'>", first);
    cr_expect(shows(mark));
    (void)snprintf(mark, sizeof mark, "<style nonce='%s'>", first);
    cr_expect(shows(mark));
    const char *body = strstr(got, "\r\n\r\n");
    cr_assert_not_null(body);
    cr_expect_null(strstr(body, "innerHTML"));
    cr_expect_null(strstr(body, "src='http"));
    cr_expect_null(strstr(body, "url("));
    cr_expect_null(strstr(body, "@NONCE@"));
    cr_assert_eq(get("/"), 200);
    cr_expect_not(shows(first));
}

Test(http, wants_credentials_for_all_but_the_probes)
{
    serve((struct fm_http_opts){.username = "ops", .password = "s3cret:x"});
    publish("{}", false);
    static const struct {
        const char *line;
        int status;
    } cases[] = {
        {"", 401},
        {"Authorization: Basic b3BzOnMzY3JldDp4\r\n", 200},
        {"authorization: basic   b3BzOnMzY3JldDp4\r\n", 200},
        {"Authorization: Basic b3BzOnMzY3JldDp5\r\n", 401},
        {"Authorization: Basic b3BzOnMzY3JldDo=\r\n", 401}, /* a prefix */
        {"Authorization: Basic b3BzOnMzY3JldDp4eA==\r\n", 401}, /* longer */
        {"Authorization: Basic\r\n", 401},
        {"Authorization: Basic !!!!\r\n", 401},
        {"Authorization: Basic b3BzOnMzY3JldDp4=\r\n", 401},
        {"Authorization: Bearer b3BzOnMzY3JldDp4\r\n", 401},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(ask("GET", "/stats", "localhost", cases[i].line), cases[i].status, "%s",
                     cases[i].line);
    cr_expect_eq(get("/"), 401);
    cr_expect(shows("WWW-Authenticate: Basic realm="));
    cr_expect_eq(get("/livez"), 200);
    cr_expect_eq(get("/readyz"), 200);
    cr_expect_not(shows("s3cret"));
    struct fm_err err = {0};
    cr_assert_eq(fm_http_set_auth(http, "ops", "other", &err), FM_OK);
    cr_expect_eq(ask("GET", "/stats", "localhost", cases[1].line), 401);
    cr_assert_eq(fm_http_set_auth(http, NULL, NULL, &err), FM_OK);
    cr_expect_eq(get("/stats"), 200);
    cr_expect_eq(fm_http_set_auth(http, "a:b", "c", &err), FM_ECONF);
    cr_expect_eq(fm_http_set_auth(http, "a", NULL, &err), FM_ECONF);
}

static void warning_for(struct fm_http_opts opts, const char *wanted)
{
    int ends[2];
    char line[2000] = "";
    struct fm_err err = {0};
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(fm_log_new(&opts.log, ends[1], FM_LOG_INFO, FM_LOG_TEXT, &err), FM_OK);
    serve(opts);
    fm_http_stop(http);
    http = NULL;
    fm_log_free(opts.log);
    close(ends[1]);
    ssize_t n = read(ends[0], line, sizeof line - 1);
    close(ends[0]);
    if (wanted == NULL)
        cr_expect_eq(n, 0, "%s", line);
    else
        cr_expect(strstr(line, wanted) != NULL, "%s", line);
}

Test(http, warns_when_others_can_read)
{
    warning_for((struct fm_http_opts){.listen = "0.0.0.0:0"}, "username and password");
    warning_for((struct fm_http_opts){.listen = "0.0.0.0:0", .username = "u", .password = "p"},
                "clear text");
    warning_for((struct fm_http_opts){.listen = "127.0.0.1:0"}, NULL);
}

static atomic_bool done;

static void *republish(void *arg)
{
    (void)arg;
    while (!done)
        publish("{\"status\":\"ok\"}", false);
    return NULL;
}

Test(http, survives_documents_that_change_while_they_are_read)
{
    serve((struct fm_http_opts){0});
    publish("{\"status\":\"ok\"}", false);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, republish, NULL), 0);
    for (int i = 0; i < 200; i++) {
        cr_assert_eq(get("/health"), 200);
        cr_assert(shows("{\"status\":\"ok\"}"));
    }
    done = true;
    pthread_join(thread, NULL);
}

Test(http, counts_the_connections_it_closes_for_being_slow)
{
    unsigned open_now;
    uint64_t evicted;
    serve((struct fm_http_opts){.request_ms = 100});
    fm_http_load(http, &open_now, &evicted);
    cr_expect_eq(evicted, 0u);
    cr_expect_eq(raw("GET /livez HTT"), 0, "closed without an answer");
    fm_http_load(http, &open_now, &evicted);
    cr_expect_eq(evicted, 1u);
}
