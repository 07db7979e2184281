/* The sockets of a client: where they lead, whether one was ever connected, and acknowledging at
 * once.
 *
 * libcurl keeps none of it: its connect time is set only when TLS is done too, and it has no option
 * for TCP_QUICKACK. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/client_priv.h"
#include "net/sock_priv.h"

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static int tcp_state(curl_socket_t fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 ? info.tcpi_state : TCP_CLOSE;
}

static struct fm_net_ip ip_of(const struct curl_sockaddr *from)
{
    struct fm_net_ip ip = {.family = (sa_family_t)from->family};
    union address a = {0};
    memcpy(&a, &from->addr, from->addrlen < sizeof a ? from->addrlen : sizeof a);
    if (from->family == AF_INET6) {
        ip.scope = a.v6.sin6_scope_id;
        memcpy(ip.bytes, &a.v6.sin6_addr, sizeof a.v6.sin6_addr);
    } else {
        memcpy(ip.bytes, &a.v4.sin_addr, sizeof a.v4.sin_addr);
    }
    return ip;
}

/* A silent address counts as one that failed. One given up while it was still fresh lost a race
 * against another one, or had hardly any time. */
static void judge_silence(struct fm_net_sock *sock)
{
    struct fm_net_watch *watch = sock->watch;
    if (sock->judged || fm_clock_ms() - sock->opened_ms < (int64_t)watch->walk.patience_ms)
        return;
    sock->judged = true;
    fm_net_way_failed(watch->client, &watch->walk, &sock->ip);
}

void fm_net_judge_silence(struct fm_net_watch *watch, int family)
{
    struct fm_client *client = watch->client;
    for (size_t i = 0; i < client->n_socks; i++)
        if (client->socks[i].watch == watch &&
            (family == AF_UNSPEC || client->socks[i].ip.family == family))
            judge_silence(&client->socks[i]);
}

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    struct fm_net_watch *watch = arg;
    watch->walk.peer = fm_net_peer_of(watch->target);
    watch->walk.patience_ms = watch->target->connect_ms / FM_NET_WAY_PART;
    /* libcurl goes on in this family: it tells nobody that it closed what was silent. */
    fm_net_judge_silence(watch, address->family);
    watch->ip = ip_of(address);
    if (!fm_net_way_allows(watch->client, &watch->walk, &watch->ip)) {
        watch->client->nudge = true;
        /* For one more pass through the same answer; else it is dropped with this one. */
        (void)curl_easy_setopt(watch->easy, CURLOPT_DNS_CACHE_TIMEOUT, 60L);
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static void forget(struct fm_client *client, size_t nth)
{
    client->socks[nth] = client->socks[--client->n_socks];
}

static int on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    (void)purpose;
    struct fm_net_watch *watch = arg;
    struct fm_client *client = watch->client;
    for (size_t i = 0; i < client->n_socks; i++)
        if (client->socks[i].fd == fd) {
            forget(client, i); /* one that was closed without a word */
            break;
        }
    if (client->n_socks == client->socks_cap) {
        size_t cap = client->socks_cap != 0 ? 2 * client->socks_cap : 16;
        struct fm_net_sock *grown = realloc(client->socks, cap * sizeof *grown);
        if (grown == NULL)
            return CURL_SOCKOPT_OK; /* works without, only slower and with a vaguer sentence */
        client->socks = grown;
        client->socks_cap = cap;
    }
    int segment = fm_net_segment(client, watch->walk.peer);
    if (segment != 0)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
    watch->opened = true;
    client->socks[client->n_socks++] =
        (struct fm_net_sock){.fd = fd, .ip = watch->ip, .opened_ms = fm_clock_ms(), .watch = watch};
    return CURL_SOCKOPT_OK;
}

/* What its end says of the address that it led to. */
static void judge(struct fm_net_sock *sock)
{
    struct fm_net_watch *watch = sock->watch;
    int state = tcp_state(sock->fd);
    if (state != TCP_SYN_SENT && state != TCP_CLOSE) {
        watch->connected = true;
        watch->met = sock->ip;
    } else if (!watch->settled) {
        watch->client->nudge = true;
        if (state == TCP_CLOSE)
            fm_net_way_failed(watch->client, &watch->walk, &sock->ip);
        else
            judge_silence(sock);
    }
}

static int on_close(void *arg, curl_socket_t fd)
{
    struct fm_client *client = arg;
    for (size_t i = 0; i < client->n_socks; i++) {
        struct fm_net_sock *sock = &client->socks[i];
        if (sock->fd != fd)
            continue;
        if (sock->watch != NULL)
            judge(sock);
        forget(client, i);
        break;
    }
    return close(fd);
}

uint64_t fm_net_peer_of(const struct fm_net_target *target)
{
    return target->via_proxy ? fm_net_peer(target->proxy, NULL)
                             : fm_net_peer(target->host, target->port);
}

bool fm_net_watch(struct fm_net_watch *watch, struct fm_client *client, CURL *easy,
                  const struct fm_net_target *target)
{
    *watch = (struct fm_net_watch){.client = client, .easy = easy, .target = target};
    if (target != NULL &&
        (curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open) != CURLE_OK ||
         curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, watch) != CURLE_OK))
        return false;
    return curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SOCKOPTDATA, watch) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, client) == CURLE_OK;
}

void fm_net_settle(struct fm_net_watch *watch, curl_socket_t fd)
{
    struct fm_client *client = watch->client;
    watch->settled = true;
    for (size_t i = 0; watch->opened && i < client->n_socks; i++)
        if (client->socks[i].fd == fd && client->socks[i].watch == watch)
            fm_net_way_worked(client, &watch->walk, &client->socks[i].ip);
}

void fm_net_unwatch(struct fm_net_watch *watch, curl_socket_t kept)
{
    struct fm_client *client = watch->client;
    for (size_t i = 0; client != NULL && i < client->n_socks;) {
        struct fm_net_sock *sock = &client->socks[i];
        if (sock->watch == watch && sock->fd != kept) {
            forget(client, i);
            continue;
        }
        if (sock->watch == watch)
            sock->watch = NULL;
        i++;
    }
}

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

static bool leads_to(curl_socket_t fd, const char *remote, int remote_port)
{
    union address name = {0};
    socklen_t len = sizeof name;
    char text[INET6_ADDRSTRLEN];
    if (getpeername(fd, &name.any, &len) != 0)
        return false;
    bool v6 = name.any.sa_family == AF_INET6;
    const void *ip = v6 ? (const void *)&name.v6.sin6_addr : (const void *)&name.v4.sin_addr;
    return ntohs(v6 ? name.v6.sin6_port : name.v4.sin_port) == remote_port &&
           inet_ntop(name.any.sa_family, ip, text, sizeof text) != NULL &&
           strcmp(text, remote) == 0;
}

/* Connections to different peers may have the same port at our end. */
curl_socket_t fm_net_socket_of(struct fm_client *client, int local_port, const char *remote,
                               int remote_port)
{
    curl_socket_t found = CURL_SOCKET_BAD;
    for (size_t i = 0; i < client->n_socks; i++) {
        struct fm_net_sock *sock = &client->socks[i];
        if (sock->port == 0)
            sock->port = fm_net_local_port(sock->fd);
        if (sock->port != local_port)
            continue;
        if (found == CURL_SOCKET_BAD || !leads_to(found, remote, remote_port))
            found = sock->fd;
    }
    return found;
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
