/* The sockets of a client: whether one was ever connected, and acknowledging at once.
 *
 * libcurl keeps neither: its connect time is set only when TLS is done too, and it has no option
 * for TCP_QUICKACK. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/client_priv.h"
#include "net/sock_priv.h"

static bool is_connected(curl_socket_t fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
           info.tcpi_state != TCP_SYN_SENT && info.tcpi_state != TCP_CLOSE;
}

static int on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    (void)purpose;
    struct fm_net_watch *watch = arg;
    struct fm_client *client = watch->client;
    if (client->n_socks == client->socks_cap) {
        size_t cap = client->socks_cap != 0 ? 2 * client->socks_cap : 16;
        struct fm_net_sock *grown = realloc(client->socks, cap * sizeof *grown);
        if (grown == NULL)
            return CURL_SOCKOPT_OK; /* works without, only slower and with a vaguer sentence */
        client->socks = grown;
        client->socks_cap = cap;
    }
    int segment = fm_net_segment(client);
    if (segment != 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
    client->socks[client->n_socks++] = (struct fm_net_sock){.fd = fd, .watch = watch};
    return CURL_SOCKOPT_OK;
}

static int on_close(void *arg, curl_socket_t fd)
{
    struct fm_client *client = arg;
    for (size_t i = 0; i < client->n_socks; i++) {
        struct fm_net_sock *sock = &client->socks[i];
        if (sock->fd != fd)
            continue;
        if (sock->watch != NULL && is_connected(fd))
            sock->watch->connected = true;
        *sock = client->socks[--client->n_socks];
        break;
    }
    return close(fd);
}

bool fm_net_watch(struct fm_net_watch *watch, struct fm_client *client, CURL *easy)
{
    *watch = (struct fm_net_watch){.client = client};
    return curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, watch) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, client) == CURLE_OK;
}

void fm_net_unwatch(struct fm_net_watch *watch)
{
    struct fm_client *client = watch->client;
    for (size_t i = 0; client != NULL && i < client->n_socks; i++)
        if (client->socks[i].watch == watch)
            client->socks[i].watch = NULL;
}

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

uint16_t fm_net_local_port(int fd)
{
    union address name = {0};
    socklen_t len = sizeof name;
    if (getsockname(fd, &name.any, &len) != 0)
        return 0;
    return ntohs(name.any.sa_family == AF_INET6 ? name.v6.sin6_port : name.v4.sin_port);
}

bool fm_net_is_homeless(int fd)
{
    union address name = {0};
    socklen_t len = sizeof name;
    if (getsockname(fd, &name.any, &len) != 0)
        return false;
    bool v6 = name.any.sa_family == AF_INET6;
    if (!v6 && name.any.sa_family != AF_INET)
        return false;
    *(v6 ? &name.v6.sin6_port : &name.v4.sin_port) = 0;
    int try = socket(name.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (try < 0)
        return false;
    bool gone = bind(try, &name.any, len) != 0 && errno == EADDRNOTAVAIL;
    (void)close(try);
    return gone;
}

curl_socket_t fm_net_socket_by_port(struct fm_client *client, int local_port)
{
    for (size_t i = 0; i < client->n_socks; i++) {
        struct fm_net_sock *sock = &client->socks[i];
        if (sock->port == 0)
            sock->port = fm_net_local_port(sock->fd);
        if (sock->port == local_port)
            return sock->fd;
    }
    return CURL_SOCKET_BAD;
}

void fm_net_cork(struct fm_client *client, curl_socket_t fd, bool on)
{
    int value = on;
    for (size_t i = 0; i < client->n_socks; i++) {
        struct fm_net_sock *sock = &client->socks[i];
        if (sock->fd != fd || sock->corked == on)
            continue;
        if (setsockopt(fd, IPPROTO_TCP, TCP_CORK, &value, sizeof value) == 0)
            sock->corked = on;
    }
}

void fm_net_quick_ack(curl_socket_t fd)
{
    int on = 1;
    if (fd != CURL_SOCKET_BAD)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}
