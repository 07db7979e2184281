#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "certs.h"
#include "net/client.h"
#include "net/server.h"

/* What the handler does with the next request, and what it saw of the last. */
struct world {
    struct fm_server_reply reply;
    char path[256], method[16], host[64], query[64], body[256];
    size_t body_len;
    bool too_large;
    unsigned nth, calls;
    struct fm_server_call *_Atomic deferred; /* the call that waits */
    bool defer;
    struct fm_server_ready *ready; /* the answer instead of reply */
    bool last; /* free it in the handler, before its answer has left */
};

static struct world w;
static struct fm_server *server;
static struct fm_client *client;
static struct fm_http_answer answer;
static char *body;

static void handle(struct fm_server_call *call, void *arg)
{
    struct world *world = arg;
    const char *text;
    world->calls++;
    world->nth = fm_server_nth(call);
    (void)snprintf(world->path, sizeof world->path, "%s", fm_server_path(call));
    (void)snprintf(world->method, sizeof world->method, "%s", fm_server_method(call));
    text = fm_server_header(call, "host");
    (void)snprintf(world->host, sizeof world->host, "%s", text != NULL ? text : "-");
    text = fm_server_query(call, "q");
    (void)snprintf(world->query, sizeof world->query, "%s", text != NULL ? text : "-");
    text = fm_server_body(call, &world->body_len);
    (void)snprintf(world->body, sizeof world->body, "%.*s", (int)world->body_len, text);
    world->too_large = fm_server_body_too_large(call);
    if (world->defer) {
        fm_server_defer(call);
        world->deferred = call;
        return;
    }
    if (world->ready == NULL) {
        fm_server_answer(call, &world->reply);
        return;
    }
    fm_server_answer_ready(call, world->ready);
    if (world->last) {
        fm_server_ready_free(world->ready);
        world->ready = NULL;
    }
}

static void serve(struct fm_server_opts opts)
{
    struct fm_err err = {0};
    opts.listen = opts.listen != NULL ? opts.listen : "127.0.0.1:0";
    opts.handler = handle;
    opts.arg = &w;
    cr_assert_eq(fm_server_start(&server, &opts, &err), FM_OK, "%s", err.text);
}

static void start(void)
{
    struct fm_err err = {0};
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_assert_eq(fm_client_new(&client, NULL, &err), FM_OK);
    fm_server_reply_init(&w.reply);
    w.reply.body = "{\"a\":1}";
    w.reply.body_len = 7;
    w.reply.content_type = "application/json";
}

static void stop(void)
{
    fm_client_free(client);
    fm_server_stop(server);
    free(body);
}

TestSuite(server, .init = start, .fini = stop);

static enum fm_http_failure ask(const char *method, const char *path, const char *send,
                                unsigned timeout_ms)
{
    char url[300];
    struct fm_err err = {0};
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", (unsigned)fm_server_port(server),
                   path);
    struct fm_http_request r = {.method = method, .url = url, .timeout_ms = timeout_ms};
    r.body = send;
    r.body_len = send != NULL ? strlen(send) : 0;
    free(body);
    cr_assert_eq(fm_client_call(client, &r, &answer, &body, &err), FM_OK, "%s", err.text);
    return answer.failure;
}

static int dial(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(fm_server_port(server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

/* Read until the end or the deadline. @return bytes, or -1 when it did not end in time */
static ssize_t read_all(int fd, char *to, size_t size, int ms)
{
    size_t got = 0;
    int64_t until = fm_clock_ms() + ms;
    while (got + 1 < size) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = until - fm_clock_ms();
        if (left <= 0 || poll(&p, 1, (int)left) <= 0)
            return -1;
        ssize_t n = recv(fd, to + got, size - 1 - got, 0);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    to[got] = '\0';
    return (ssize_t)got;
}

Test(server, hands_method_path_query_header_and_body_to_the_handler)
{
    serve((struct fm_server_opts){0});
    cr_assert_eq(ask("POST", "/a%20b/c?q=x%26y", "hello", 3000), FM_HTTP_OK, "%s", answer.err.text);
    cr_expect_eq(answer.status, 200);
    cr_expect_str_eq(body, "{\"a\":1}");
    cr_expect_str_eq(answer.content_type, "");
    cr_expect_str_eq(w.path, "/a b/c");
    cr_expect_str_eq(w.method, "POST");
    cr_expect_str_eq(w.query, "x&y");
    cr_expect_str_eq(w.body, "hello");
    cr_expect_eq(w.nth, 1u);
    cr_assert_eq(ask("GET", "/2", NULL, 3000), FM_HTTP_OK);
    cr_expect_eq(w.nth, 2u, "kept connection");
    cr_expect(answer.reused);
}

Test(server, does_not_cut_a_path_at_an_encoded_nul)
{
    serve((struct fm_server_opts){0});
    cr_assert_eq(ask("GET", "/health%00x", NULL, 3000), FM_HTTP_OK);
    cr_expect_str_eq(w.path, "/health%00x");
}

Test(server, answers_head_without_a_body)
{
    serve((struct fm_server_opts){0});
    cr_assert_eq(ask("HEAD", "/", NULL, 3000), FM_HTTP_OK);
    cr_expect_eq(answer.status, 200);
    cr_expect_eq(answer.body_len, 0u);
}

Test(server, cuts_a_body_at_the_limit_and_says_so)
{
    serve((struct fm_server_opts){.max_body = 4});
    cr_assert_eq(ask("POST", "/", "12345", 3000), FM_HTTP_OK, "%s", answer.err.text);
    cr_expect(w.too_large);
    cr_assert_eq(ask("POST", "/", "1234", 3000), FM_HTTP_OK);
    cr_expect_not(w.too_large);
    cr_expect_eq(w.body_len, 4u);
}

static void *answer_later(void *arg)
{
    struct world *world = arg;
    while (world->deferred == NULL)
        (void)poll(NULL, 0, 1);
    fm_server_answer(world->deferred, &world->reply);
    return NULL;
}

Test(server, lets_another_thread_answer_a_deferred_call)
{
    w.defer = true;
    serve((struct fm_server_opts){.request_ms = 300});
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        w.deferred = NULL;
        cr_assert_eq(pthread_create(&thread, NULL, answer_later, &w), 0);
        cr_expect_eq(ask("POST", "/", "x", 3000), FM_HTTP_OK, "%s", answer.err.text);
        cr_expect_str_eq(body, "{\"a\":1}");
        pthread_join(thread, NULL);
    }
}

Test(server, keeps_a_deferred_call_beyond_the_request_deadline)
{
    w.defer = true;
    serve((struct fm_server_opts){.request_ms = 50});
    int fd = dial();
    const char *get = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    cr_assert_eq(send(fd, get, strlen(get), MSG_NOSIGNAL), (ssize_t)strlen(get));
    while (w.deferred == NULL)
        (void)poll(NULL, 0, 1);
    char got[1000];
    cr_expect_eq(read_all(fd, got, sizeof got, 250), -1, "still open");
    fm_server_answer(w.deferred, &w.reply);
    cr_expect_gt(read_all(fd, got, sizeof got, 2000), 0);
    cr_expect(strstr(got, "200 OK") != NULL);
    close(fd);
}

Test(server, stops_with_a_call_still_deferred)
{
    w.defer = true;
    serve((struct fm_server_opts){0});
    int fd = dial();
    const char *get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    cr_assert_eq(send(fd, get, strlen(get), MSG_NOSIGNAL), (ssize_t)strlen(get));
    while (w.deferred == NULL)
        (void)poll(NULL, 0, 1);
    fm_server_stop(server);
    server = NULL;
    char got[100];
    cr_expect_eq(read_all(fd, got, sizeof got, 2000), 0);
    close(fd);
}

/* ---- deadlines and slots ---- */

static void *drip_header(void *arg)
{
    int fd = *(int *)arg;
    static const char head[] = "GET / HTTP/1.1\r\nHost: x\r\nX: ";
    if (send(fd, head, sizeof head - 1, MSG_NOSIGNAL) < 0)
        return NULL;
    while (send(fd, "a", 1, MSG_NOSIGNAL) == 1)
        (void)poll(NULL, 0, 20);
    return NULL;
}

Test(server, closes_a_client_that_drips_its_header)
{
    serve((struct fm_server_opts){.request_ms = 300});
    int fd = dial();
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, drip_header, &fd), 0);
    char got[400];
    int64_t before = fm_clock_ms();
    cr_expect_geq(read_all(fd, got, sizeof got, 3000), 0, "was not closed");
    cr_expect_lt(fm_clock_ms() - before, 1500);
    pthread_join(thread, NULL);
    close(fd);
    unsigned open_now;
    uint64_t evicted;
    fm_server_stats(server, &open_now, &evicted);
    cr_expect_eq(evicted, 1u);
}

Test(server, closes_a_kept_connection_that_drips_its_second_request)
{
    serve((struct fm_server_opts){.request_ms = 300, .idle_ms = 60000});
    int fd = dial();
    const char *get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    cr_assert_eq(send(fd, get, strlen(get), MSG_NOSIGNAL), (ssize_t)strlen(get));
    char got[400];
    cr_assert_gt(recv(fd, got, sizeof got, MSG_PEEK), 0);
    cr_assert_eq(w.calls, 1u);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, drip_header, &fd), 0);
    cr_expect_geq(read_all(fd, got, sizeof got, 3000), 0, "was not closed");
    pthread_join(thread, NULL);
    close(fd);
}

Test(server, closes_a_client_that_says_nothing_and_an_idle_one)
{
    serve((struct fm_server_opts){.request_ms = 200, .idle_ms = 400});
    int silent = dial(), idle = dial();
    const char *get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    cr_assert_eq(send(idle, get, strlen(get), MSG_NOSIGNAL), (ssize_t)strlen(get));
    char got[400];
    cr_expect_eq(read_all(silent, got, sizeof got, 2000), 0);
    cr_expect_gt(read_all(idle, got, sizeof got, 2000), 0);
    close(silent);
    close(idle);
}

Test(server, gives_up_the_oldest_incomplete_connection_when_slots_run_out)
{
    serve((struct fm_server_opts){.max_connections = 4, .request_ms = 60000});
    int held[12];
    for (int i = 0; i < 12; i++) {
        held[i] = dial();
        cr_assert_eq(send(held[i], "GET / HTT", 9, MSG_NOSIGNAL), 9);
    }
    for (int i = 0; i < 3; i++)
        cr_expect_eq(ask("GET", "/", NULL, 2000), FM_HTTP_OK, "%s", answer.err.text);
    char got[100];
    cr_expect_eq(read_all(held[0], got, sizeof got, 2000), 0, "the oldest is closed");
    unsigned open_now;
    uint64_t evicted;
    fm_server_stats(server, &open_now, &evicted);
    cr_expect_leq(open_now, 4u);
    cr_expect_geq(evicted, 9u);
    for (int i = 0; i < 12; i++)
        close(held[i]);
}

Test(server, does_not_spin_when_descriptors_run_out)
{
    serve((struct fm_server_opts){0});
    int waiting = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct rlimit old, low;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    int probe = dup(waiting);
    close(probe);
    low.rlim_cur = (rlim_t)probe;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(fm_server_port(server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timespec before, after;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    cr_assert_eq(connect(waiting, (struct sockaddr *)&at, sizeof at), 0);
    char got[10];
    ssize_t n = read_all(waiting, got, sizeof got, 1500);
    (void)poll(NULL, 0, 300);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    cr_expect_eq(n, 0, "the connection is refused by closing it");
    double cpu =
        (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;
    cr_expect_lt(cpu, 0.15);
    close(waiting);
    cr_expect_eq(ask("GET", "/", NULL, 2000), FM_HTTP_OK, "and serves again: %s", answer.err.text);
}

/* ---- malformed requests ---- */

static void refused(const char *request, const char *status)
{
    int fd = dial();
    cr_assert_eq(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    char got[2000];
    ssize_t n = read_all(fd, got, sizeof got, 2000);
    cr_expect_geq(n, 0, "not closed: %s", request);
    cr_expect(n == 0 || strstr(got, status) != NULL, "%s -> %s", request, got);
    cr_expect_eq(w.calls, 0u, "reached the handler: %s", request);
    close(fd);
}

Test(server, refuses_what_a_gateway_may_read_in_another_way)
{
    serve((struct fm_server_opts){.request_ms = 500});
    refused("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            " 400 ");
    refused("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: "
            "chunked\r\n\r\n0\r\n\r\n",
            " 400 ");
    refused("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", " 400 ");
    refused("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na", " 400 ");
    refused("GET / HTTP/1.1\r\n\r\n", " 400 ");
    refused("\x16\x03\x01\x02\x01\x01\x01\x01\x01\r\n\r\n", " 400 ");
}

/* ---- faults ---- */

Test(server, cuts_a_body)
{
    serve((struct fm_server_opts){0});
    w.reply.cut_at = 3;
    cr_expect_eq(ask("GET", "/", NULL, 3000), FM_HTTP_BROKEN);
    cr_expect_eq(answer.status, 200);
    cr_expect_str_eq(body, "{\"a");
    w.reply.cut_at = 0;
    cr_expect_eq(ask("GET", "/", NULL, 3000), FM_HTTP_BROKEN);
    cr_expect_eq(answer.status, 200);
}

Test(server, sends_chunks_and_cuts_them)
{
    serve((struct fm_server_opts){0});
    w.reply.chunked = true;
    cr_expect_eq(ask("GET", "/", NULL, 3000), FM_HTTP_OK);
    cr_expect_str_eq(body, "{\"a\":1}");
    w.reply.cut_at = 4;
    cr_expect_eq(ask("GET", "/", NULL, 3000), FM_HTTP_BROKEN);
    cr_expect_str_eq(body, "{\"a\"");
}

Test(server, announces_a_wrong_length)
{
    serve((struct fm_server_opts){0});
    w.reply.wrong_length = true;
    cr_expect_eq(ask("GET", "/", NULL, 3000), FM_HTTP_BROKEN);
    cr_expect_str_eq(body, "{\"a\":1}");
}

Test(server, resets_instead_of_answering)
{
    serve((struct fm_server_opts){0});
    w.reply.reset = true;
    cr_expect_eq(ask("POST", "/", "x", 3000), FM_HTTP_BROKEN);
    cr_expect_eq(answer.status, 0);
    cr_expect(answer.body_sent);
    cr_expect_eq(w.calls, 1u);
    int fd = dial();
    const char *get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    cr_assert_eq(send(fd, get, strlen(get), MSG_NOSIGNAL), (ssize_t)strlen(get));
    char got[10];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    cr_assert_eq(poll(&p, 1, 2000), 1);
    cr_expect_eq(recv(fd, got, sizeof got, 0), -1, "a reset, not an end");
    close(fd);
}

Test(server, hangs_until_the_client_gives_up)
{
    serve((struct fm_server_opts){.request_ms = 100});
    w.reply.hang = true;
    cr_expect_eq(ask("GET", "/", NULL, 300), FM_HTTP_TIMEOUT);
    int64_t until = fm_clock_ms() + 3000;
    unsigned open_now = 1;
    uint64_t evicted;
    while (open_now > 0 && fm_clock_ms() < until) {
        (void)poll(NULL, 0, 10);
        fm_server_stats(server, &open_now, &evicted);
    }
    cr_expect_eq(open_now, 0u, "the slot is free again");
    cr_expect_eq(ask("GET", "/", NULL, 300), FM_HTTP_TIMEOUT);
}

Test(server, drips_a_body)
{
    serve((struct fm_server_opts){0});
    w.reply.drip_ms = 30;
    int64_t before = fm_clock_ms();
    cr_expect_eq(ask("GET", "/", NULL, 3000), FM_HTTP_OK, "%s", answer.err.text);
    cr_expect_str_eq(body, "{\"a\":1}");
    cr_expect_geq(fm_clock_ms() - before, 6 * 30);
    w.reply.drip_ms = 400;
    cr_expect_eq(ask("GET", "/", NULL, 600), FM_HTTP_TIMEOUT);
}

/* ---- listening ---- */

Test(server, serves_a_unix_socket_and_removes_it)
{
    char path[64], listen_at[80];
    (void)snprintf(path, sizeof path, "/tmp/fm-test-%d.sock", (int)getpid());
    (void)snprintf(listen_at, sizeof listen_at, "unix:%s", path);
    serve((struct fm_server_opts){.listen = listen_at});
    struct stat st;
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0660);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    (void)snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    const char *get = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    cr_assert_eq(send(fd, get, strlen(get), MSG_NOSIGNAL), (ssize_t)strlen(get));
    char got[1000];
    cr_expect_gt(read_all(fd, got, sizeof got, 2000), 0);
    cr_expect(strstr(got, "{\"a\":1}") != NULL);
    close(fd);
    struct fm_server *second = NULL;
    struct fm_err err = {0};
    struct fm_server_opts opts = {.listen = listen_at, .handler = handle};
    cr_expect_eq(fm_server_start(&second, &opts, &err), FM_ESYS, "in use: %s", err.text);
    fm_server_stop(server);
    server = NULL;
    cr_expect_neq(stat(path, &st), 0);
    /* What a killed process left behind is no hindrance. */
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    close(fd);
    serve((struct fm_server_opts){.listen = listen_at});
}

Test(server, explains_bad_listen_addresses)
{
    static const char *const bad[] = {
        "",      "9470",  "host",        "127.0.0.1:", ":80", "127.0.0.1:99999", "127.0.0.1:x",
        "1:2:3", "unix:", "192.0.2.1:80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct fm_server_opts opts = {.listen = bad[i], .handler = handle};
        struct fm_err err = {0};
        cr_expect_eq(fm_server_start(&server, &opts, &err), FM_ECONF, "%s", bad[i]);
        cr_expect_neq(err.text[0], '\0');
        server = NULL;
    }
    serve((struct fm_server_opts){0});
    char taken[40];
    (void)snprintf(taken, sizeof taken, "127.0.0.1:%u", (unsigned)fm_server_port(server));
    struct fm_server_opts opts = {.listen = taken, .handler = handle};
    struct fm_err err = {0};
    struct fm_server *second = NULL;
    cr_expect_eq(fm_server_start(&second, &opts, &err), FM_ESYS);
    cr_expect(strstr(err.text, "in use") != NULL, "%s", err.text);
}

/* ---- TLS ---- */

static enum fm_http_failure ask_tls(const char *cert)
{
    char url[64], ca[100], pem[100], key[100], name[40];
    struct fm_err err = {0};
    (void)snprintf(url, sizeof url, "https://localhost:%u/", (unsigned)fm_server_port(server));
    struct fm_tls tls = {.ca_file = certs_path(ca, sizeof ca, "ca.pem")};
    if (cert != NULL) {
        (void)snprintf(name, sizeof name, "%s.pem", cert);
        tls.cert_file = certs_path(pem, sizeof pem, name);
        (void)snprintf(name, sizeof name, "%s.key", cert);
        tls.key_file = certs_path(key, sizeof key, name);
    }
    struct fm_http_request r = {
        .method = "GET", .url = url, .timeout_ms = 3000, .tls = &tls, .fresh = true};
    cr_assert_eq(fm_client_call(client, &r, &answer, NULL, &err), FM_OK, "%s", err.text);
    return answer.failure;
}

Test(server, asks_for_a_client_certificate_of_its_ca)
{
    char pem[100], key[100], ca[100];
    serve((struct fm_server_opts){.cert_file = certs_path(pem, sizeof pem, "server.pem"),
                                  .key_file = certs_path(key, sizeof key, "server.key"),
                                  .client_ca_file = certs_path(ca, sizeof ca, "ca.pem")});
    cr_expect_eq(ask_tls("client"), FM_HTTP_OK, "%s", answer.err.text);
    cr_expect_eq(ask_tls(NULL), FM_HTTP_BROKEN);
    cr_expect(strstr(answer.err.text, "client certificate missing") != NULL, "%s", answer.err.text);
    cr_expect_neq(ask_tls("stranger"), FM_HTTP_OK);
    cr_expect_eq(w.calls, 1u);
}

Test(server, explains_a_key_that_does_not_belong_to_its_certificate)
{
    char pem[100], key[100];
    struct fm_server_opts opts = {.listen = "127.0.0.1:0",
                                  .cert_file = certs_path(pem, sizeof pem, "server.pem"),
                                  .key_file = certs_path(key, sizeof key, "client.key"),
                                  .handler = handle};
    struct fm_err err = {0};
    cr_expect_eq(fm_server_start(&server, &opts, &err), FM_ECONF);
    cr_expect(strstr(err.text, "belong together") != NULL, "%s", err.text);
    opts.key_file = "/nonexistent/key.pem";
    cr_expect_eq(fm_server_start(&server, &opts, &err), FM_ECONF);
    cr_expect(strstr(err.text, "/nonexistent/key.pem") != NULL, "%s", err.text);
    server = NULL;
}

Test(server, sends_what_was_made_once_to_many_and_after_it_is_gone)
{
    const char *const lines[] = {"X-Of: ready"};
    char text[] = "{\"made\":1}";
    struct fm_err err = {0};
    struct fm_server_reply reply = w.reply;
    reply.status = 503;
    reply.body = text;
    reply.body_len = strlen(text);
    reply.headers = lines;
    reply.n_headers = 1;
    cr_assert_eq(fm_server_ready_new(&w.ready, &reply, &err), FM_OK, "%s", err.text);
    text[2] = 'f'; /* it was copied */
    serve((struct fm_server_opts){0});
    for (unsigned i = 1; i <= 3; i++) {
        w.last = i == 3;
        cr_assert_eq(ask("GET", "/x", NULL, 5000), FM_HTTP_OK);
        cr_expect_eq(answer.status, 503);
        cr_expect_str_eq(body, "{\"made\":1}");
        cr_expect_eq(answer.reused, i > 1);
    }
    cr_assert_null(w.ready);
    cr_assert_eq(ask("GET", "/x", NULL, 5000), FM_HTTP_OK);
    cr_expect_str_eq(body, "{\"a\":1}");
}
