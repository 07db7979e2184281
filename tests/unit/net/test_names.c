/* D55: what a name may lead to. The resolver is this file's for the names below; the search domains
 * of a host are the C library's own business, and not tried. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/client_priv.h"
#include "peer.h"

enum { ADDRESSES = 200, OURS = 0x4f555253 };

static const char name[] = "proxy.first-mile.test";

static struct {
    pthread_mutex_t lock;
    int code; /* what the lookup ends with */
    size_t n;
    char list[ADDRESSES][46];
    unsigned asked;
} dns = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- in place of the C library's ---- */

static struct addrinfo *make_address(const char *text, uint16_t port)
{
    bool six = strchr(text, ':') != NULL;
    struct addrinfo *a = calloc(1, sizeof *a + sizeof(struct sockaddr_in6));
    cr_assert_not_null(a);
    *a = (struct addrinfo){.ai_flags = OURS, /* freeaddrinfo() knows it by that */
                           .ai_family = six ? AF_INET6 : AF_INET,
                           .ai_socktype = SOCK_STREAM,
                           .ai_protocol = IPPROTO_TCP,
                           .ai_addr = (struct sockaddr *)(a + 1)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 all = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    cr_assert_eq(
        inet_pton(a->ai_family, text, six ? (void *)&all.sin6_addr : (void *)&four.sin_addr), 1);
    a->ai_addrlen = six ? sizeof all : sizeof four;
    memcpy(a->ai_addr, six ? (void *)&all : (void *)&four, a->ai_addrlen);
    return a;
}

static int answer_name(const char *service, struct addrinfo **out)
{
    uint16_t port = (uint16_t)strtoul(service != NULL ? service : "0", NULL, 10);
    pthread_mutex_lock(&dns.lock);
    dns.asked++;
    int code = dns.code;
    for (size_t i = 0; i < dns.n && code == 0; i++) {
        *out = make_address(dns.list[i], port);
        out = &(*out)->ai_next;
    }
    pthread_mutex_unlock(&dns.lock);
    return code;
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (host != NULL && strcmp(host, name) == 0)
        return answer_name(service, out);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    return real(host, service, hints, out);
}

void freeaddrinfo(struct addrinfo *list)
{
    void (*real)(struct addrinfo *);
    if (list == NULL || list->ai_flags != OURS) {
        *(void **)&real = dlsym(RTLD_NEXT, "freeaddrinfo");
        real(list);
        return;
    }
    for (struct addrinfo *next; list != NULL; list = next) {
        next = list->ai_next;
        free(list);
    }
}

static void say(int code)
{
    pthread_mutex_lock(&dns.lock);
    dns.code = code;
    dns.n = 0;
    pthread_mutex_unlock(&dns.lock);
}

static void say_address(const char *text)
{
    pthread_mutex_lock(&dns.lock);
    dns.code = 0;
    (void)snprintf(dns.list[dns.n++], sizeof dns.list[0], "%s", text);
    pthread_mutex_unlock(&dns.lock);
}

/* Of 127/8, where nobody listens but on the first one. */
static void say_others(size_t n)
{
    char text[46];
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(text, sizeof text, "127.77.0.%zu", i + 1);
        say_address(text);
    }
}

/* ---- calls ---- */

static struct fm_client *client;
static struct fm_http_answer answer;
static char *body;
static bool fresh; /* a new connection for each */

static void start(void)
{
    struct fm_err err = {0};
    struct fm_client_opts opts = {.connection_life_ms = 1000};
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_assert_eq(fm_client_new(&client, &opts, &err), FM_OK);
}

static void stop(void)
{
    fm_client_free(client);
    free(body);
}

TestSuite(names, .init = start, .fini = stop);

static enum fm_http_failure call(uint16_t port, unsigned connect_ms)
{
    struct fm_err err = {0};
    char url[80];
    (void)snprintf(url, sizeof url, "http://%s:%u/x", name, (unsigned)port);
    struct fm_http_request r = {.method = "POST",
                                .url = url,
                                .body = "[1]",
                                .body_len = 3,
                                .connect_timeout_ms = connect_ms,
                                .timeout_ms = 45000,
                                .fresh = fresh};
    free(body);
    memset(&answer, 0, sizeof answer);
    cr_assert_eq(fm_client_call(client, &r, &answer, &body, &err), FM_OK, "%s", err.text);
    return answer.failure;
}

static void good(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth, (void)arg;
    for (struct peer_request r; peer_read_request(conn, &r);) {
        peer_request_clear(&r);
        peer_answer(conn, 200, "{}");
    }
}

/* A port that takes no connection and refuses none: its queue is full. */
struct hole {
    int fd[6];
    uint16_t port;
};

/* @return false: there is no such address here */
static bool hole_open(struct hole *h, const char *address, uint16_t port)
{
    struct addrinfo *a = make_address(address, port);
    struct sockaddr_in6 bound;
    socklen_t len = sizeof bound;
    int on = 1;
    *h = (struct hole){.fd = {-1, -1, -1, -1, -1, -1}};
    h->fd[0] = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (a->ai_family == AF_INET6 && h->fd[0] >= 0)
        (void)setsockopt(h->fd[0], IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    bool ok = h->fd[0] >= 0 && bind(h->fd[0], a->ai_addr, a->ai_addrlen) == 0 &&
              listen(h->fd[0], 0) == 0 &&
              getsockname(h->fd[0], (struct sockaddr *)&bound, &len) == 0;
    h->port = ok ? ntohs(bound.sin6_port) : 0; /* at the same place for both families */
    for (size_t i = 1; ok && i < 6; i++) {
        ((struct sockaddr_in6 *)a->ai_addr)->sin6_port = htons(h->port);
        h->fd[i] = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(h->fd[i], a->ai_addr, a->ai_addrlen);
    }
    freeaddrinfo(a);
    return ok;
}

static void hole_close(struct hole *h)
{
    for (size_t i = 0; i < 6; i++)
        if (h->fd[i] >= 0)
            close(h->fd[i]);
}

/* ---- the cases ---- */

Test(names, that_lead_nowhere_are_told_and_nothing_is_sent)
{
    static const int codes[] = {EAI_NONAME, EAI_AGAIN, EAI_FAIL, EAI_NODATA};
    struct peer *peer = peer_start(good, NULL);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        say(codes[i]);
        cr_expect_eq(call(peer_port(peer), 1000), FM_HTTP_RESOLVE, "%s: %s", gai_strerror(codes[i]),
                     answer.err.text);
        cr_expect_eq(answer.hop, FM_HOP_NAME);
        cr_expect_not(answer.body_sent);
        cr_expect_not_null(strstr(answer.err.text, name), "%s", answer.err.text);
    }
    say_address("127.0.0.1"); /* nothing of that is remembered */
    cr_expect_eq(call(peer_port(peer), 1000), FM_HTTP_OK, "%s", answer.err.text);
    cr_expect_eq(dns.asked, 5);
    peer_stop(peer);
}

/* In life the deadline is 10 s. */
Test(names, with_two_hundred_silent_addresses_end_at_the_connect_deadline)
{
    struct hole hole;
    cr_assert(hole_open(&hole, "0.0.0.0", 0));
    say_others(ADDRESSES);
    int64_t before = fm_clock_ms();
    cr_assert_eq(call(hole.port, 500), FM_HTTP_CONNECT, "%s", answer.err.text);
    cr_expect_lt(fm_clock_ms() - before, 20000, "only at the total deadline");
    cr_expect_eq(answer.hop, FM_HOP_TCP);
    cr_expect_not(answer.body_sent);
    hole_close(&hole);
}

/* The second try knows it, and has no other one. */
Test(names, with_one_silent_address_are_told_so_each_time)
{
    struct hole hole;
    cr_assert(hole_open(&hole, "127.77.0.1", 0));
    say_address("127.77.0.1");
    for (unsigned i = 0; i < 3; i++) {
        cr_expect_eq(call(hole.port, 600), FM_HTTP_CONNECT, "%s", answer.err.text);
        cr_expect_eq(answer.hop, FM_HOP_TCP);
        cr_expect_not_null(strstr(answer.err.text, "does not answer to connecting"), "%s",
                           answer.err.text);
        cr_expect_geq(answer.duration_ms, 590, "the time is used");
    }
    cr_expect_eq(client->n_socks, 0, "nothing is kept of sockets that libcurl closed");
    hole_close(&hole);
}

Test(names, whose_first_address_is_silent_leave_time_for_the_next)
{
    struct hole hole;
    struct peer *peer = peer_start(good, NULL);
    cr_assert(hole_open(&hole, "127.77.0.1", peer_port(peer)));
    say_address("127.77.0.1");
    say_address("127.0.0.1");
    cr_assert_eq(call(peer_port(peer), 3000), FM_HTTP_OK, "%s", answer.err.text);
    cr_expect_eq(peer_requests(peer), 1);
    hole_close(&hole);
    peer_stop(peer);
}

Test(names, whose_ipv6_address_is_first_and_dead_work_all_the_same)
{
    struct hole hole;
    struct peer *peer = peer_start(good, NULL);
    if (!hole_open(&hole, "::1", peer_port(peer))) {
        hole_close(&hole);
        peer_stop(peer);
        cr_skip_test("there is no IPv6 on this host");
    }
    say_address("::1");
    say_address("127.0.0.1");
    cr_expect_eq(call(peer_port(peer), 5000), FM_HTTP_OK, "silent: %s", answer.err.text);
    fresh = true;
    hole_close(&hole); /* refused from now on */
    cr_expect_eq(call(peer_port(peer), 5000), FM_HTTP_OK, "refused: %s", answer.err.text);
    cr_expect_eq(peer_requests(peer), 2);
    peer_stop(peer);
}

Test(names, whose_good_address_stands_behind_many_that_refuse_work_at_the_first_try)
{
    struct peer *peer = peer_start(good, NULL);
    say_others(21);
    say_address("127.0.0.1");
    fresh = true;
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(call(peer_port(peer), 3000), FM_HTTP_OK, "%s", answer.err.text);
    cr_expect_eq(peer_requests(peer), 3);
    cr_expect_eq(dns.asked, 3, "once for each connection");
    peer_stop(peer);
}

Test(names, all_of_whose_addresses_refuse_are_told_so_each_time)
{
    uint16_t port = peer_closed_port();
    say_others(ADDRESSES);
    for (unsigned i = 0; i < 3; i++) {
        cr_expect_eq(call(port, 5000), FM_HTTP_CONNECT, "%s", answer.err.text);
        cr_expect_not_null(strstr(answer.err.text, "refused"), "%s", answer.err.text);
        cr_expect_not(answer.body_sent);
    }
    cr_expect_eq(dns.asked, 3);
}

enum { SILENT = 12 };

/* 127.77.0.1 and so on, all silent at this port. */
static void holes_open(struct hole *holes, uint16_t port)
{
    char text[46];
    for (unsigned i = 0; i < SILENT; i++) {
        (void)snprintf(text, sizeof text, "127.77.0.%u", i + 1);
        cr_assert(hole_open(&holes[i], text, port));
    }
}

static void holes_close(struct hole *holes)
{
    for (unsigned i = 0; i < SILENT; i++)
        hole_close(&holes[i]);
}

/* Calls until one gets there. @return how many that took */
static unsigned calls_until_ok(uint16_t port)
{
    for (unsigned n = 1;; n++) {
        if (call(port, 1600) == FM_HTTP_OK)
            return n;
        cr_expect_not(answer.body_sent);
        cr_assert_leq(n, SILENT + 2, "%s", answer.err.text);
    }
}

/* A try goes on behind the addresses of the one before, and what was found stays found: among these
 * no try of its own has the time to come to the good one. */
Test(names, whose_good_address_stands_behind_many_silent_ones_find_it_and_keep_to_it)
{
    struct hole holes[SILENT];
    struct peer *peer = peer_start(good, NULL);
    holes_open(holes, peer_port(peer));
    say_others(SILENT);
    say_address("127.88.0.1"); /* refuses */
    say_address("127.0.0.1");
    fresh = true;
    (void)calls_until_ok(peer_port(peer));
    unsigned tries = 0;
    for (unsigned i = 0; i < 4; i++)
        tries += calls_until_ok(peer_port(peer));
    cr_expect_leq(tries, 5, "%u tries; one more for a busy machine", tries);
    holes_close(holes);
    peer_stop(peer);
}

Test(names, whose_good_address_moves_among_silent_ones_find_it_again)
{
    struct hole holes[SILENT];
    struct peer *peer = peer_start(good, NULL);
    uint16_t port = peer_port(peer);
    holes_open(holes, port);
    say_others(SILENT + 1);
    say_address("127.0.0.1");
    fresh = true;
    (void)calls_until_ok(port);
    peer_stop(peer);
    peer = peer_start_at(0x7f4d0000 + SILENT + 1, port, good, NULL); /* the last of the others */
    (void)calls_until_ok(port);
    cr_expect_leq(calls_until_ok(port), 2);
    cr_expect_eq(peer_requests(peer), 2);
    holes_close(holes);
    peer_stop(peer);
}

static void silent(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth, (void)arg;
    peer_stall(conn, 0);
}

static void wait_accepted(const struct peer *one, const struct peer *two, unsigned n)
{
    int64_t limit = fm_clock_ms() + 10000;
    while (peer_accepted(one) + peer_accepted(two) < n) {
        cr_assert_lt(fm_clock_ms(), limit, "not %u connections", n);
        usleep(1000);
    }
}

/* It takes connections, so libcurl asks no other one. */
Test(names, whose_first_address_hangs_in_the_handshake_try_the_next_one_next_time)
{
    struct peer *hangs = peer_start(silent, NULL);
    struct peer *other = peer_start_at(0x7f4d0001, peer_port(hangs), silent, NULL);
    struct fm_err err = {0};
    char url[80];
    (void)snprintf(url, sizeof url, "https://%s:%u/", name, (unsigned)peer_port(hangs));
    struct fm_http_request r = {.method = "GET", .url = url, .connect_timeout_ms = 1000};
    say_address("127.0.0.1");
    say_address("127.77.0.1");
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(fm_client_call(client, &r, &answer, NULL, &err), FM_OK, "%s", err.text);
        cr_expect_eq(answer.failure, FM_HTTP_TLS_FAILED, "%s", answer.err.text);
        wait_accepted(hangs, other, i + 1);
        cr_expect_eq(peer_accepted(hangs), 1 + (i > 1), "try %u", i);
        cr_expect_eq(peer_accepted(other), (unsigned)(i > 0), "try %u", i);
    }
    peer_stop(hangs);
    peer_stop(other);
}

Test(names, of_an_http_proxy_that_lead_to_many_addresses_work_too)
{
    struct peer *peer = peer_start(good, NULL);
    struct fm_err err = {0};
    char url[80];
    (void)snprintf(url, sizeof url, "http://%s:%u", name, (unsigned)peer_port(peer));
    struct fm_http_proxy proxy = {.url = url};
    struct fm_http_request r = {.method = "GET", .url = "http://far.test/", .proxy = &proxy};
    say_others(21);
    say_address("127.0.0.1");
    r.fresh = true;
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(fm_client_call(client, &r, &answer, NULL, &err), FM_OK, "%s", err.text);
        cr_expect_eq(answer.failure, FM_HTTP_OK, "%s", answer.err.text);
    }
    peer_stop(peer);
}

/* The old address still answers; the new one, where nobody listens, is told by the refusal. */
Test(names, whose_address_changes_are_asked_for_again_within_the_connections_life)
{
    struct peer *peer = peer_start(good, NULL);
    say_address("127.0.0.1");
    cr_assert_eq(call(peer_port(peer), 1000), FM_HTTP_OK, "%s", answer.err.text);
    say(0);
    say_address("127.77.0.9");
    int64_t limit = fm_clock_ms() + 10000; /* the connection lives for 1 s */
    while (call(peer_port(peer), 1000) == FM_HTTP_OK) {
        cr_assert_lt(fm_clock_ms(), limit, "still at the old address");
        usleep(20000);
    }
    cr_expect_eq(answer.failure, FM_HTTP_CONNECT, "%s", answer.err.text);
    say(0);
    say_address("127.0.0.1");
    cr_expect_eq(call(peer_port(peer), 1000), FM_HTTP_OK, "%s", answer.err.text);
    peer_stop(peer);
}
