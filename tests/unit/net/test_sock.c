/* The client's list of its sockets. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/client_priv.h"
#include "peer.h"

static void stalls(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth, (void)arg;
    peer_stall(conn, 0);
}

/* From this port of ours; 0: any. */
static int connected_from(uint16_t local_port, uint16_t to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_geq(fd, 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    at.sin_port = htons(local_port);
    cr_assert_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    at.sin_port = htons(to);
    cr_assert_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in at;
    socklen_t len = sizeof at;
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    return ntohs(at.sin_port);
}

/* The kernel gives one local port to connections that lead to different peers. */
Test(sock, of_two_with_the_same_port_the_one_that_leads_to_the_peer_is_found)
{
    struct peer *one = peer_start(stalls, NULL), *two = peer_start(stalls, NULL);
    int first = connected_from(0, peer_port(one));
    uint16_t ours = port_of(first);
    int second = connected_from(ours, peer_port(two));
    struct fm_net_sock socks[] = {{.fd = first}, {.fd = second}};
    struct fm_client client = {.socks = socks, .n_socks = 2};
    for (int turn = 0; turn < 2; turn++) {
        cr_expect_eq(fm_net_socket_of(&client, ours, "127.0.0.1", peer_port(one)), first);
        cr_expect_eq(fm_net_socket_of(&client, ours, "127.0.0.1", peer_port(two)), second);
        struct fm_net_sock other = socks[0];
        socks[0] = socks[1];
        socks[1] = other;
    }
    cr_expect_eq(fm_net_socket_of(&client, port_of(first) ^ 1, "127.0.0.1", peer_port(one)),
                 CURL_SOCKET_BAD);
    close(first);
    close(second);
    peer_stop(one);
    peer_stop(two);
}

static void good(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth, (void)arg;
    for (struct peer_request r; peer_read_request(conn, &r);) {
        peer_request_clear(&r);
        peer_answer(conn, 200, "{}");
    }
}

/* libcurl closes some of them without a word: they must not gather. */
Test(sock, the_list_of_sockets_does_not_grow_with_calls_that_fail)
{
    struct peer *peer = peer_start(good, NULL), *silent = peer_start(stalls, NULL);
    struct fm_err err = {0};
    struct fm_client *client = NULL;
    char url[2][64], closed[64];
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_assert_eq(fm_client_new(&client, NULL, &err), FM_OK);
    (void)snprintf(url[0], sizeof url[0], "http://127.0.0.1:%u/", (unsigned)peer_port(peer));
    (void)snprintf(url[1], sizeof url[1], "https://127.0.0.1:%u/", (unsigned)peer_port(silent));
    (void)snprintf(closed, sizeof closed, "http://127.0.0.1:%u/", (unsigned)peer_closed_port());
    const char *const urls[] = {url[0], url[1], closed};
    for (unsigned i = 0; i < 30; i++) {
        struct fm_http_answer answer;
        struct fm_http_request r = {.method = "GET",
                                    .url = urls[i % 3],
                                    .connect_timeout_ms = i % 3 == 1 ? 50 : 5000,
                                    .fresh = true};
        cr_assert_eq(fm_client_call(client, &r, &answer, NULL, &err), FM_OK, "%s", err.text);
        cr_expect_eq(answer.failure == FM_HTTP_OK, i % 3 == 0, "%s", answer.err.text);
    }
    cr_expect_leq(client->n_socks, 8, "%zu, where 8 connections are kept", client->n_socks);
    cr_expect_leq(client->n_ways, 2);
    fm_client_free(client);
    peer_stop(peer);
    peer_stop(silent);
}
