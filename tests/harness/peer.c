#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_CONNS = 256, TICK_MS = 20 };

struct peer_conn {
    struct peer *peer;
    int fd;
    unsigned nth;
    pthread_t thread;
    atomic_bool ended;
};

struct peer {
    int fd;
    uint16_t port;
    peer_fn *fn;
    void *arg;
    pthread_t thread;
    atomic_bool stop;
    atomic_uint accepted;
    atomic_uint requests;
    unsigned used; /* places that were ever taken; the listening thread's */
    struct peer_conn conns[MAX_CONNS];
};

static void die(const char *what)
{
    perror(what);
    abort();
}

/* *port 0: any. */
static int bind_at(uint32_t address, uint16_t *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), known = *port != 0;
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(address), .sin_port = htons(*port)};
    socklen_t len = sizeof at;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &known, sizeof known) != 0 ||
        bind(fd, (struct sockaddr *)&at, sizeof at) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        die("peer: bind");
    *port = ntohs(at.sin_port);
    return fd;
}

/* Wait for events on fd, but not beyond the peer's stop. @return false when stopped or timed out */
static bool wait_fd(struct peer *peer, int fd, short events, int ms)
{
    for (int waited = 0; !peer->stop && (ms == 0 || waited < ms); waited += TICK_MS) {
        struct pollfd p = {.fd = fd, .events = events};
        if (poll(&p, 1, TICK_MS) > 0)
            return true;
    }
    return false;
}

static void *run_conn(void *arg)
{
    struct peer_conn *conn = arg;
    conn->peer->fn(conn, conn->nth, conn->peer->arg);
    if (conn->fd >= 0)
        close(conn->fd);
    conn->fd = -1;
    conn->ended = true;
    return NULL;
}

/* A place for one more connection, or NULL when so many are open at a time. */
static struct peer_conn *free_place(struct peer *peer)
{
    for (unsigned i = 0; i < peer->used; i++)
        if (peer->conns[i].ended) {
            pthread_join(peer->conns[i].thread, NULL);
            return &peer->conns[i];
        }
    return peer->used < MAX_CONNS ? &peer->conns[peer->used++] : NULL;
}

static void *run_peer(void *arg)
{
    struct peer *peer = arg;
    while (wait_fd(peer, peer->fd, POLLIN, 0)) {
        int fd = accept4(peer->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        struct peer_conn *conn = free_place(peer);
        if (conn == NULL) {
            close(fd);
            continue;
        }
        int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        /* Counted before its script can answer anybody who then looks. */
        *conn = (struct peer_conn){.peer = peer, .fd = fd, .nth = ++peer->accepted};
        if (pthread_create(&conn->thread, NULL, run_conn, conn) != 0)
            die("peer: thread");
    }
    return NULL;
}

struct peer *peer_start_at(uint32_t address, uint16_t port, peer_fn *fn, void *arg)
{
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        die("peer");
    peer->fn = fn;
    peer->arg = arg;
    peer->port = port;
    peer->fd = bind_at(address, &peer->port);
    if (listen(peer->fd, 64) != 0)
        die("peer: listen");
    if (pthread_create(&peer->thread, NULL, run_peer, peer) != 0)
        die("peer: thread");
    return peer;
}

struct peer *peer_start(peer_fn *fn, void *arg)
{
    return peer_start_at(INADDR_LOOPBACK, 0, fn, arg);
}

void peer_stop(struct peer *peer)
{
    peer->stop = true;
    pthread_join(peer->thread, NULL);
    for (unsigned i = 0; i < peer->used; i++)
        pthread_join(peer->conns[i].thread, NULL);
    close(peer->fd);
    free(peer);
}

void peer_narrow(struct peer *peer)
{
    int bytes = 64 << 10;
    if (setsockopt(peer->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes) != 0)
        die("peer: narrow");
}

uint16_t peer_port(const struct peer *peer)
{
    return peer->port;
}

unsigned peer_accepted(const struct peer *peer)
{
    return peer->accepted;
}

unsigned peer_requests(const struct peer *peer)
{
    return peer->requests;
}

uint16_t peer_closed_port(void)
{
    uint16_t port = 0;
    (void)bind_at(INADDR_LOOPBACK, &port); /* kept open, so that nobody else gets it */
    return port;
}

size_t peer_read_some(struct peer_conn *conn, void *to, size_t len)
{
    if (!wait_fd(conn->peer, conn->fd, POLLIN, 0))
        return 0;
    ssize_t n = recv(conn->fd, to, len, 0);
    return n > 0 ? (size_t)n : 0;
}

bool peer_read_exact(struct peer_conn *conn, void *to, size_t len)
{
    for (size_t got = 0; got < len;) {
        size_t n = peer_read_some(conn, (char *)to + got, len - got);
        if (n == 0)
            return false;
        got += n;
    }
    return true;
}

static size_t content_length(const char *head)
{
    for (const char *line = head; line != NULL && *line != '\0';) {
        if (strncasecmp(line, "Content-Length:", 15) == 0)
            return strtoul(line + 15, NULL, 10);
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    return 0;
}

bool peer_read_request(struct peer_conn *conn, struct peer_request *out)
{
    memset(out, 0, sizeof *out);
    for (size_t n = 0; n + 1 < sizeof out->head; n++) {
        if (!peer_read_exact(conn, out->head + n, 1))
            return false;
        if (n >= 3 && memcmp(out->head + n - 3, "\r\n\r\n", 4) == 0) {
            out->body_len = content_length(out->head);
            out->body = calloc(1, out->body_len + 1);
            if (out->body == NULL || !peer_read_exact(conn, out->body, out->body_len)) {
                peer_request_clear(out);
                return false;
            }
            conn->peer->requests++;
            return true;
        }
    }
    return false;
}

void peer_request_clear(struct peer_request *request)
{
    free(request->body);
    request->body = NULL;
}

bool peer_send_bytes(struct peer_conn *conn, const void *data, size_t len)
{
    for (size_t sent = 0; sent < len;) {
        if (!wait_fd(conn->peer, conn->fd, POLLOUT, 0))
            return false;
        ssize_t n =
            send(conn->fd, (const char *)data + sent, len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN)
            return false;
        sent += n > 0 ? (size_t)n : 0;
    }
    return true;
}

bool peer_send(struct peer_conn *conn, const char *text)
{
    return peer_send_bytes(conn, text, strlen(text));
}

bool peer_answer(struct peer_conn *conn, unsigned status, const char *body)
{
    char head[160];
    (void)snprintf(head, sizeof head,
                   "HTTP/1.1 %u X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                   status, strlen(body));
    return peer_send(conn, head) && peer_send(conn, body);
}

static bool pass_on(struct peer_conn *conn, int from, int to)
{
    char part[16384];
    ssize_t n = recv(from, part, sizeof part, MSG_DONTWAIT);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    for (ssize_t sent = 0; sent < n;) {
        if (!wait_fd(conn->peer, to, POLLOUT, 0))
            return false;
        ssize_t m = send(to, part + sent, (size_t)(n - sent), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (m < 0 && errno != EAGAIN)
            return false;
        sent += m > 0 ? m : 0;
    }
    return true;
}

/* From the server: as it is up to the fault's byte, and then the fault. */
static bool pass_back(struct peer_conn *conn, int from, const struct peer_fault *fault,
                      size_t *passed)
{
    unsigned char bytes[4096];
    ssize_t n = recv(from, bytes, sizeof bytes, 0);
    if (n <= 0)
        return false;
    size_t len = (size_t)n;
    bool here = *passed + len > fault->after && *passed <= fault->after;
    size_t at = here ? fault->after - *passed : len;
    if (here && fault->how == PEER_FLIP)
        bytes[at] ^= 0x10;
    if (here && fault->how != PEER_FLIP)
        len = at;
    *passed += len;
    bool ok = len == 0 || peer_send_bytes(conn, bytes, len);
    if (here && fault->how == PEER_STALL)
        peer_stall(conn, 0);
    return ok && (!here || fault->how == PEER_FLIP);
}

bool peer_connect_through(struct peer_conn *conn, uint16_t port)
{
    static const struct peer_fault none = {.after = SIZE_MAX};
    return peer_connect_fault(conn, port, &none);
}

bool peer_connect_fault(struct peer_conn *conn, uint16_t port, const struct peer_fault *fault)
{
    size_t passed = 0;
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0;
    for (bool going = ok; going && !conn->peer->stop;) {
        struct pollfd p[2] = {{.fd = conn->fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
        if (poll(p, 2, TICK_MS) <= 0)
            continue;
        if (p[0].revents != 0)
            going = pass_on(conn, conn->fd, fd);
        if (p[1].revents != 0)
            going = going && pass_back(conn, fd, fault, &passed);
    }
    if (fd >= 0)
        close(fd);
    return ok;
}

void peer_reset(struct peer_conn *conn)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(conn->fd);
    conn->fd = -1;
}

void peer_shut(struct peer_conn *conn)
{
    (void)shutdown(conn->fd, SHUT_WR);
}

void peer_stall(struct peer_conn *conn, int ms)
{
    char bin[4096];
    for (int waited = 0; !conn->peer->stop && (ms == 0 || waited < ms); waited += TICK_MS) {
        struct pollfd p = {.fd = conn->fd, .events = POLLIN};
        int tick = ms != 0 && ms - waited < TICK_MS ? ms - waited : TICK_MS;
        if (poll(&p, 1, tick) > 0 && recv(conn->fd, bin, sizeof bin, MSG_DONTWAIT) == 0)
            return;
    }
}

unsigned peer_segment(const struct peer_conn *conn)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    return getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 ? info.tcpi_snd_mss : 0;
}

void peer_sleep(struct peer_conn *conn, int ms)
{
    for (int waited = 0; !conn->peer->stop && (ms == 0 || waited < ms); waited += TICK_MS)
        (void)poll(NULL, 0, TICK_MS);
}
