#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "certs.h"
#include "net/conn_priv.h"
#include "net/server.h"
#include "peer.h"

static struct fm_client *client;
static struct fm_server *server;

static void start(void)
{
    struct fm_err err = {0};
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_assert_eq(fm_client_new(&client, NULL, &err), FM_OK);
}

static void stop(void)
{
    fm_client_free(client);
    fm_server_stop(server);
}

TestSuite(conn, .init = start, .fini = stop);

/* What the callback did and saw. */
struct life {
    struct fm_conn *conn;
    unsigned opened, failed;
    struct fm_err err; /* of FAILED or of the end */
    enum fm_code end; /* FM_OK while open */
    const char *to_send; /* sent when open */
    size_t send_len, sent;
    size_t got; /* bytes received */
    char head[64]; /* the first of them */
    size_t step; /* bytes asked for in one receive; 0: 4096 */
    bool one_receive; /* only one receive each time */
    bool close_when_read;
};

static void push(struct life *l)
{
    while (l->sent < l->send_len && l->end == FM_OK) {
        size_t n = 0;
        enum fm_code code =
            fm_conn_send(l->conn, l->to_send + l->sent, l->send_len - l->sent, &n, &l->err);
        if (code != FM_OK)
            l->end = code;
        l->sent += n;
        if (n == 0)
            break;
    }
    fm_conn_want_write(l->conn, l->sent < l->send_len && l->end == FM_OK);
}

static void pull(struct life *l)
{
    static char part[4096];
    for (;;) {
        size_t n = 0;
        enum fm_code code =
            fm_conn_recv(l->conn, part, l->step != 0 ? l->step : sizeof part, &n, &l->err);
        if (code == FM_EAGAIN)
            return;
        if (code != FM_OK) {
            l->end = code;
            fm_conn_close(l->conn);
            l->conn = NULL;
            return;
        }
        for (size_t i = 0; i < n && l->got + i + 1 < sizeof l->head; i++)
            l->head[l->got + i] = part[i];
        l->got += n;
        if (l->close_when_read) {
            fm_conn_close(l->conn);
            l->conn = NULL;
            return;
        }
        if (l->one_receive)
            return;
    }
}

static void on_event(struct fm_conn *conn, enum fm_conn_event event, const struct fm_err *err,
                     void *arg)
{
    struct life *l = arg;
    l->conn = conn;
    switch (event) {
    case FM_CONN_OPENED:
        l->opened++;
        push(l);
        break;
    case FM_CONN_FAILED:
        l->failed++;
        l->err = *err;
        break;
    case FM_CONN_WRITABLE:
        push(l);
        break;
    case FM_CONN_READABLE:
        pull(l);
        break;
    }
}

static void open_to(struct life *l, struct fm_conn_opts opts)
{
    struct fm_err err = {0};
    opts.host = opts.host != NULL ? opts.host : "127.0.0.1";
    cr_assert_eq(fm_conn_open(&l->conn, client, &opts, on_event, l, &err), FM_OK, "%s", err.text);
}

/* Poll until the condition holds or 20 s have passed. */
#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        struct fm_err err_ = {0};                                                                  \
        int64_t until_ = fm_clock_ms() + 20000;                                                    \
        while (!(condition) && fm_clock_ms() < until_)                                             \
            cr_assert_eq(fm_client_poll(client, 200, &err_), FM_OK);                               \
        cr_assert(condition, #condition);                                                          \
    } while (0)

static void echo_bytes(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    (void)arg;
    char part[65536];
    for (size_t n; (n = peer_read_some(conn, part, sizeof part)) > 0;)
        if (!peer_send_bytes(conn, part, n))
            return;
}

Test(conn, sends_and_receives)
{
    struct peer *peer = peer_start(echo_bytes, NULL);
    struct life l = {.to_send = "hello", .send_len = 5};
    open_to(&l, (struct fm_conn_opts){.port = peer_port(peer)});
    UNTIL(l.got == 5);
    cr_expect_str_eq(l.head, "hello");
    cr_expect_eq(l.opened, 1u);
    fm_conn_close(l.conn);
    peer_stop(peer);
}

Test(conn, moves_more_than_the_buffers_hold)
{
    struct peer *peer = peer_start(echo_bytes, NULL);
    size_t len = 24u << 20;
    char *large = calloc(1, len);
    struct life l = {.to_send = large, .send_len = len};
    open_to(&l, (struct fm_conn_opts){.port = peer_port(peer)});
    UNTIL(l.got == len);
    fm_conn_close(l.conn);
    free(large);
    peer_stop(peer);
}

/* ---- expecting ---- */

/* Sends so many bytes; then waits, or ends the connection. */
struct shower {
    size_t bytes;
    bool ends;
};

static void shower(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    const struct shower *s = arg;
    char *bytes = calloc(1, s->bytes);
    (void)peer_send_bytes(conn, bytes, s->bytes);
    free(bytes);
    if (!s->ends)
        peer_stall(conn, 0);
}

/* Opens, and expects so many bytes from the beginning. */
static struct peer *expect_of(struct life *l, struct shower *what, size_t bytes)
{
    struct peer *peer = peer_start(shower, what);
    open_to(l, (struct fm_conn_opts){.port = peer_port(peer)});
    UNTIL(l->opened == 1);
    fm_conn_expect(l->conn, bytes, true);
    return peer;
}

Test(conn, gives_up_waiting_for_bytes_that_do_not_come)
{
    struct life l = {0};
    struct peer *peer = expect_of(&l, &(struct shower){.bytes = 3000}, 50000);
    UNTIL(l.got == 3000);
    fm_conn_expect(l.conn, 47000, true);
    cr_assert_eq(client->n_low_water, 1);
    fm_conn_close(l.conn);
    cr_assert_eq(client->n_low_water, 0, "a closed one waits no more");
    peer_stop(peer);
}

Test(conn, waits_longer_for_a_peer_that_was_slow_until_its_list_ends)
{
    struct life l = {0};
    struct peer *peer = expect_of(&l, &(struct shower){.bytes = 0}, 50000);
    for (unsigned i = 1; i <= 5; i++) {
        UNTIL(l.conn->low_given_up); /* what comes now is not gathered on top of that */
        cr_assert_eq(l.conn->low_missed, i < 3 ? i : 3, "never more than 40 ms");
        fm_conn_expect(l.conn, 50000, true);
        cr_assert_not(l.conn->low_given_up);
    }
    fm_conn_expect(l.conn, 0, false);
    cr_assert_eq(l.conn->low_missed, 0);
    fm_conn_close(l.conn);
    peer_stop(peer);
}

Test(conn, tells_the_end_though_more_is_expected)
{
    struct life l = {0};
    struct peer *peer = expect_of(&l, &(struct shower){.bytes = 3000, .ends = true}, 50000);
    UNTIL(l.end != FM_OK);
    cr_expect_eq(l.end, FM_ECLOSED);
    cr_expect_eq(l.got, 3000);
    cr_expect_eq(client->n_low_water, 0);
    peer_stop(peer);
}

Test(conn, reads_more_than_was_expected)
{
    struct life l = {.one_receive = true, .step = 100};
    struct peer *peer = expect_of(&l, &(struct shower){.bytes = 500000}, 2000);
    UNTIL(l.got == 500000);
    fm_conn_close(l.conn);
    peer_stop(peer);
}

Test(conn, expects_no_more_than_the_buffers_hold_and_forgets_it)
{
    struct life l = {0};
    struct peer *peer = expect_of(&l, &(struct shower){.bytes = 0}, SIZE_MAX);
    int water = 0;
    socklen_t len = sizeof water;
    cr_assert_eq(getsockopt(l.conn->fd, SOL_SOCKET, SO_RCVLOWAT, &water, &len), 0);
    cr_assert_eq(water, 64 * 1024);
    fm_conn_expect(l.conn, 10, true);
    cr_assert_eq(getsockopt(l.conn->fd, SOL_SOCKET, SO_RCVLOWAT, &water, &len), 0);
    cr_assert_eq(water, 1, "not worth waiting");
    fm_conn_expect(l.conn, 5000, false);
    cr_assert_eq(client->n_low_water, 0, "a single answer is not waited for");
    fm_conn_close(l.conn);
    peer_stop(peer);
}

/* In place of libcurl's: what another thread does before it, once. */
static void (*meanwhile)(void);

CURLMcode curl_multi_wakeup(CURLM *multi)
{
    void (*first)(void) = meanwhile;
    meanwhile = NULL;
    if (first != NULL)
        first();
    CURLMcode (*real)(CURLM *);
    *(void **)&real = dlsym(RTLD_NEXT, "curl_multi_wakeup");
    return real(multi);
}

static struct peer *echo;
static struct life echoed;

static void open_first(void)
{
    open_to(&echoed, (struct fm_conn_opts){.port = peer_port(echo)});
    UNTIL(echoed.opened == 1);
}

/* From its first connection on the client waits for another descriptor. */
Test(conn, loses_no_wakeup_that_began_before_the_first_was_open)
{
    struct fm_err err = {0};
    echo = peer_start(echo_bytes, NULL);
    meanwhile = open_first;
    fm_client_wakeup(client);
    cr_assert_eq(echoed.opened, 1);
    int64_t before = fm_clock_ms();
    cr_assert_eq(fm_client_poll(client, 60000, &err), FM_OK);
    cr_expect_lt(fm_clock_ms() - before, 30000, "the wait goes on");
    fm_conn_close(echoed.conn);
    peer_stop(echo);
}

static char greeting[] = "hello there", letter[] = "x";

static void greet(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    (void)peer_send(conn, arg);
    peer_stall(conn, 0);
}

/* Bytes that wait on a connection must not make libcurl take it for dead: it looks at its idle
 * connections when another is opened, at most once a second. */
Test(conn, survives_others_opened_while_bytes_wait)
{
    struct peer *peer = peer_start(greet, greeting);
    struct life l = {.step = 1, .one_receive = true};
    open_to(&l, (struct fm_conn_opts){.port = peer_port(peer)});
    UNTIL(l.opened == 1);
    (void)poll(NULL, 0, 1100);
    struct life others[3] = {0};
    for (int i = 0; i < 3; i++)
        open_to(&others[i], (struct fm_conn_opts){.port = peer_port(peer)});
    UNTIL(others[0].got > 0 && others[1].got > 0 && others[2].got > 0);
    UNTIL(l.got == 11);
    cr_expect_str_eq(l.head, "hello there");
    cr_expect_eq(l.end, FM_OK);
    for (int i = 0; i < 3; i++)
        fm_conn_close(others[i].conn);
    fm_conn_close(l.conn);
    peer_stop(peer);
}

static void close_now(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    if (arg != NULL)
        peer_reset(conn);
}

Test(conn, tells_the_end_and_a_reset)
{
    for (int reset = 0; reset < 2; reset++) {
        struct peer *peer = peer_start(close_now, reset ? letter : NULL);
        struct life l = {0};
        open_to(&l, (struct fm_conn_opts){.port = peer_port(peer)});
        UNTIL(l.end != FM_OK || l.failed > 0);
        if (l.failed == 0) /* the reset may come before the connection is looked at */
            cr_expect_eq(l.end, FM_ECLOSED, "%s", l.err.text);
        else
            fm_conn_close(l.conn);
        peer_stop(peer);
    }
}

Test(conn, may_be_closed_inside_its_callback)
{
    struct peer *peer = peer_start(greet, letter);
    struct life l[10] = {0};
    for (int i = 0; i < 10; i++) {
        l[i].close_when_read = true;
        open_to(&l[i], (struct fm_conn_opts){.port = peer_port(peer)});
    }
    for (int i = 0; i < 10; i++)
        UNTIL(l[i].got == 1 && l[i].conn == NULL);
    peer_stop(peer);
}

struct pair {
    struct life a, b;
};

static void close_both(struct fm_conn *conn, enum fm_conn_event event, const struct fm_err *err,
                       void *arg)
{
    (void)conn;
    (void)err;
    struct pair *p = arg;
    if (event != FM_CONN_READABLE)
        return;
    p->a.got++;
    fm_conn_close(p->a.conn);
    fm_conn_close(p->b.conn);
    p->a.conn = p->b.conn = NULL;
}

Test(conn, may_be_closed_by_the_callback_of_another)
{
    struct peer *peer = peer_start(greet, letter);
    struct pair p = {0};
    struct fm_err err = {0};
    struct fm_conn_opts opts = {.host = "127.0.0.1", .port = peer_port(peer)};
    cr_assert_eq(fm_conn_open(&p.a.conn, client, &opts, close_both, &p, &err), FM_OK);
    cr_assert_eq(fm_conn_open(&p.b.conn, client, &opts, close_both, &p, &err), FM_OK);
    UNTIL(p.a.conn == NULL);
    cr_expect_eq(p.a.got, 1u);
    peer_stop(peer);
}

Test(conn, tells_why_it_cannot_connect)
{
    struct life l = {0};
    open_to(&l, (struct fm_conn_opts){.port = peer_closed_port()});
    UNTIL(l.failed == 1);
    cr_expect(strstr(l.err.text, "refused") != NULL, "%s", l.err.text);
    cr_expect_eq(l.err.code, FM_ECONNECT);
    fm_conn_close(l.conn);
    l = (struct life){0};
    open_to(&l, (struct fm_conn_opts){.host = "no-such-host.invalid", .port = 1});
    UNTIL(l.failed == 1);
    cr_expect_eq(l.err.code, FM_ENAME, "%s", l.err.text);
    fm_conn_close(l.conn);
    struct fm_err err = {0};
    struct fm_conn_opts bad = {.host = "evil/path", .port = 1};
    cr_expect_eq(fm_conn_open(&l.conn, client, &bad, on_event, &l, &err), FM_ECONF);
    bad = (struct fm_conn_opts){.host = "user@host", .port = 1};
    cr_expect_eq(fm_conn_open(&l.conn, client, &bad, on_event, &l, &err), FM_ECONF);
    bad = (struct fm_conn_opts){.host = "host"};
    cr_expect_eq(fm_conn_open(&l.conn, client, &bad, on_event, &l, &err), FM_ECONF);
}

static void stall(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    (void)arg;
    peer_stall(conn, 0);
}

Test(conn, ends_a_silent_handshake_at_its_deadline)
{
    struct peer *peer = peer_start(stall, NULL);
    struct life l = {0};
    int64_t before = fm_clock_ms();
    open_to(&l, (struct fm_conn_opts){
                    .port = peer_port(peer), .use_tls = true, .connect_timeout_ms = 200});
    UNTIL(l.failed == 1);
    cr_expect_lt(fm_clock_ms() - before, 2000);
    cr_expect(strstr(l.err.text, "TLS handshake") != NULL, "%s", l.err.text);
    fm_conn_close(l.conn);
    peer_stop(peer);
}

Test(conn, ignores_the_proxy_of_the_environment)
{
    struct peer *proxy = peer_start(stall, NULL), *peer = peer_start(echo_bytes, NULL);
    char text[64];
    (void)snprintf(text, sizeof text, "http://127.0.0.1:%u", (unsigned)peer_port(proxy));
    (void)setenv("http_proxy", text, 1);
    (void)setenv("all_proxy", text, 1);
    struct life l = {.to_send = "hi", .send_len = 2};
    open_to(&l, (struct fm_conn_opts){.port = peer_port(peer)});
    UNTIL(l.got == 2);
    cr_expect_eq(peer_accepted(proxy), 0u);
    fm_conn_close(l.conn);
    peer_stop(peer);
    peer_stop(proxy);
}

static void answer_get(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    (void)arg;
    struct peer_request r;
    while (peer_read_request(conn, &r)) {
        peer_request_clear(&r);
        peer_answer(conn, 200, "{}");
    }
}

Test(conn, shares_its_client_with_requests)
{
    struct peer *web = peer_start(answer_get, NULL), *peer = peer_start(echo_bytes, NULL);
    struct life l[20] = {0};
    for (int i = 0; i < 20; i++) {
        l[i].to_send = "abc";
        l[i].send_len = 3;
        open_to(&l[i], (struct fm_conn_opts){.port = peer_port(peer)});
    }
    char url[64];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", (unsigned)peer_port(web));
    struct fm_http_request r = {.method = "GET", .url = url};
    struct fm_http_answer answer;
    struct fm_err err = {0};
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(fm_client_call(client, &r, &answer, NULL, &err), FM_OK);
        cr_assert_eq(answer.failure, FM_HTTP_OK, "%s", answer.err.text);
    }
    cr_expect_eq(peer_accepted(web), 1u, "connections do not push the kept one out");
    for (int i = 0; i < 20; i++)
        UNTIL(l[i].got == 3);
    for (int i = 0; i < 20; i++)
        fm_conn_close(l[i].conn);
    peer_stop(peer);
    peer_stop(web);
}

/* ---- TLS: the HTTP server is the peer, by hand-written requests ---- */

static void handle(struct fm_server_call *call, void *arg)
{
    struct fm_server_reply reply;
    fm_server_reply_init(&reply);
    reply.body_len = *(size_t *)arg;
    char *large = calloc(1, reply.body_len + 1);
    reply.body = large;
    fm_server_answer(call, &reply);
    free(large);
}

static size_t reply_len;

static void serve(const char *client_ca)
{
    char pem[100], key[100], ca[100];
    struct fm_err err = {0};
    struct fm_server_opts opts = {.listen = "127.0.0.1:0",
                                  .handler = handle,
                                  .arg = &reply_len,
                                  .cert_file = certs_path(pem, sizeof pem, "server.pem"),
                                  .key_file = certs_path(key, sizeof key, "server.key")};
    if (client_ca != NULL)
        opts.client_ca_file = certs_path(ca, sizeof ca, client_ca);
    cr_assert_eq(fm_server_start(&server, &opts, &err), FM_OK, "%s", err.text);
}

static const char get_text[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

Test(conn, reads_what_tls_holds_back)
{
    char ca[100];
    struct fm_tls tls = {.ca_file = certs_path(ca, sizeof ca, "ca.pem")};
    reply_len = 100000;
    serve(NULL);
    /* One small receive for each event: a record of 16 KiB lies decrypted while the socket is dry.
     */
    struct life l = {
        .to_send = get_text, .send_len = sizeof get_text - 1, .step = 100, .one_receive = true};
    open_to(&l,
            (struct fm_conn_opts){.port = fm_server_port(server), .use_tls = true, .tls = &tls});
    UNTIL(l.got > reply_len);
    cr_expect_eq(strncmp(l.head, "HTTP/1.1 200", 12), 0);
    fm_conn_close(l.conn);
}

Test(conn, verifies_the_certificate)
{
    char ca[100];
    struct fm_tls tls = {.ca_file = certs_path(ca, sizeof ca, "other.pem")};
    reply_len = 1;
    serve(NULL);
    struct life l = {0};
    open_to(&l,
            (struct fm_conn_opts){.port = fm_server_port(server), .use_tls = true, .tls = &tls});
    UNTIL(l.failed == 1);
    cr_expect_eq(l.err.code, FM_ETLS, "%s", l.err.text);
    fm_conn_close(l.conn);
    tls.ca_file = certs_path(ca, sizeof ca, "ca.pem");
    tls.verify_name = "elsewhere.test";
    l = (struct life){0};
    open_to(&l,
            (struct fm_conn_opts){.port = fm_server_port(server), .use_tls = true, .tls = &tls});
    UNTIL(l.failed == 1);
    cr_expect(strstr(l.err.text, "another name") != NULL, "%s", l.err.text);
    fm_conn_close(l.conn);
    tls.verify_name = "good.test";
    l = (struct life){0};
    open_to(&l,
            (struct fm_conn_opts){.port = fm_server_port(server), .use_tls = true, .tls = &tls});
    UNTIL(l.opened == 1);
    fm_conn_close(l.conn);
    tls.verify_name = "elsewhere.test";
    tls.verify_chain_only = true;
    l = (struct life){0};
    open_to(&l,
            (struct fm_conn_opts){.port = fm_server_port(server), .use_tls = true, .tls = &tls});
    UNTIL(l.opened == 1);
    fm_conn_close(l.conn);
}

Test(conn, hints_at_a_missing_client_certificate)
{
    char ca[100], pem[100], key[100];
    struct fm_tls tls = {.ca_file = certs_path(ca, sizeof ca, "ca.pem")};
    reply_len = 1;
    serve("ca.pem");
    struct life l = {.to_send = get_text, .send_len = sizeof get_text - 1};
    open_to(&l,
            (struct fm_conn_opts){.port = fm_server_port(server), .use_tls = true, .tls = &tls});
    UNTIL(l.end != FM_OK || l.failed > 0);
    cr_expect(strstr(l.err.text, "client certificate missing?") != NULL, "%s", l.err.text);
    cr_expect(l.err.code == FM_ETLS || l.err.code == FM_ECLOSED, "%s", l.err.text);
    fm_conn_close(l.conn);
    tls.cert_file = certs_path(pem, sizeof pem, "client.pem");
    tls.key_file = certs_path(key, sizeof key, "client.key");
    l = (struct life){.to_send = get_text, .send_len = sizeof get_text - 1};
    open_to(&l,
            (struct fm_conn_opts){.port = fm_server_port(server), .use_tls = true, .tls = &tls});
    UNTIL(l.got > 0);
    fm_conn_close(l.conn);
}

/* ---- another network namespace ---- */

Test(conn, tells_a_namespace_that_is_not_there)
{
    struct life l = {0};
    open_to(&l, (struct fm_conn_opts){.port = 9, .netns_pid = 0x3fffffff});
    UNTIL(l.failed == 1);
    cr_expect(strstr(l.err.text, "network namespace") != NULL, "%s", l.err.text);
    fm_conn_close(l.conn);
}

Test(conn, connects_in_the_namespace_of_a_process)
{
    struct peer *peer = peer_start(echo_bytes, NULL);
    struct life l = {.to_send = "hi", .send_len = 2};
    open_to(&l, (struct fm_conn_opts){.port = peer_port(peer), .netns_pid = (int)getpid()});
    UNTIL(l.got == 2 || l.failed == 1);
    if (l.failed == 1) /* without the privilege the reason must be told */
        cr_expect(strstr(l.err.text, "CAP_SYS_ADMIN") != NULL, "%s", l.err.text);
    fm_conn_close(l.conn);
    /* Nobody listens in a namespace of its own: its loopback is even down. */
    int ready[2];
    cr_assert_eq(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char ok = unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 || unshare(CLONE_NEWNET) == 0;
        (void)!write(ready[1], &ok, 1);
        (void)poll(NULL, 0, 10000);
        _exit(0);
    }
    char ok = 0;
    cr_assert_eq(read(ready[0], &ok, 1), 1);
    if (ok) {
        l = (struct life){0};
        open_to(&l, (struct fm_conn_opts){.port = peer_port(peer), .netns_pid = (int)pid});
        UNTIL(l.failed == 1 || l.opened == 1);
        cr_expect_eq(l.opened, 0u, "the peer is in our namespace, not in that one");
        fm_conn_close(l.conn);
    }
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    peer_stop(peer);
}
