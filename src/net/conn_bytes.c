/* The bytes of connections: send, receive, and how long to wait for more of them.
 *
 * Plain sockets are used directly: libcurl would look through all its connections for each call. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/conn_priv.h"

enum {
    GATHER_NS = 500 * 1000,
    LOW_WATER_NS = 5 * 1000 * 1000, /* the first wait for bytes that were expected */
    LOW_WATER_TWICE = 3, /* ... and so often the next one is twice as long */
    MIN_LOW_WATER = 1024,
    MAX_LOW_WATER = 64 * 1024 /* both sides' buffers hold more */
};

void fm_net_set_more(struct fm_conn *conn, bool more)
{
    conn->client->n_more += (size_t)more - (size_t)conn->more;
    conn->more = more;
}

/* ---- waiting ---- */

/* Whether everything that is ready are bytes of which more are to come. */
static bool may_gather(const struct fm_client *client)
{
    for (int i = 0; i < client->n_events; i++) {
        const struct fm_conn *conn = client->events[i].data.ptr;
        if (conn == NULL || !conn->many || conn->low_water > 1 || conn->low_given_up ||
            client->events[i].events != EPOLLIN)
            return false;
    }
    return client->n_events > 0;
}

static void set_low_water(struct fm_conn *conn, int bytes)
{
    struct fm_client *client = conn->client;
    if (conn->state == OPEN && (bytes > 1 || conn->low_water > 1) && bytes != conn->low_water) {
        if (setsockopt(conn->fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes) != 0)
            bytes = 1; /* it wakes up more often then */
        client->n_low_water += (size_t)(bytes > 1) - (size_t)(conn->low_water > 1);
        conn->low_water = bytes;
    }
    if (conn->low_water <= 1)
        return;
    conn->low_until_ns = fm_clock_ns() + ((int64_t)LOW_WATER_NS << conn->low_missed);
    if (client->n_low_water == 1 || conn->low_until_ns < client->low_until_ns)
        client->low_until_ns = conn->low_until_ns;
}

void fm_conn_expect(struct fm_conn *conn, size_t bytes, bool many)
{
    conn->many = many;
    conn->low_given_up = false;
    if (!many)
        conn->low_missed = 0;
    if (!many || bytes < MIN_LOW_WATER)
        set_low_water(conn, 1);
    else
        set_low_water(conn, bytes < MAX_LOW_WATER ? (int)bytes : MAX_LOW_WATER);
}

int fm_net_conns_limit(const struct fm_client *client, int timeout_ms)
{
    if (client->n_low_water == 0 || timeout_ms <= 0)
        return timeout_ms;
    const int64_t left_ns = client->low_until_ns - fm_clock_ns();
    const int left_ms = left_ns <= 0 ? 0 : (int)(left_ns / 1000000) + 1;
    return left_ms < timeout_ms ? left_ms : timeout_ms;
}

/* Connections that have waited for long enough tell of whatever came: at the next wait. */
static void give_up_waiting(struct fm_client *client)
{
    const int64_t now_ns = fm_clock_ns();
    int64_t first_ns = INT64_MAX;
    if (now_ns < client->low_until_ns)
        return;
    for (struct fm_conn *conn = client->conns; conn != NULL; conn = conn->next) {
        if (conn->low_water > 1 && conn->low_until_ns <= now_ns) {
            set_low_water(conn, 1);
            conn->low_given_up = true;
            conn->low_missed += conn->low_missed < LOW_WATER_TWICE;
        }
        if (conn->low_water > 1 && conn->low_until_ns < first_ns)
            first_ns = conn->low_until_ns;
    }
    client->low_until_ns = first_ns;
}

void fm_net_conns_wait(struct fm_client *client, int timeout_ms)
{
    client->n_events = epoll_wait(client->epoll, client->events, FM_NET_EVENTS, timeout_ms);
    if (may_gather(client)) {
        const struct timespec gather = {.tv_nsec = GATHER_NS};
        (void)nanosleep(&gather, NULL);
        client->n_events = epoll_wait(client->epoll, client->events, FM_NET_EVENTS, 0);
    }
    if (client->n_low_water > 0)
        give_up_waiting(client);
    for (int i = 0; i < client->n_events; i++)
        if (client->events[i].data.ptr == NULL) { /* woken */
            uint64_t times;
            (void)!read(atomic_load(&client->wake), &times, sizeof times);
        }
}

/* ---- failures ---- */

/* With TLS 1.3 the peer checks our certificate after the handshake has ended for us. */
static const char *missing_hint(const struct fm_conn *conn)
{
    return conn->target.use_tls && !conn->received && !conn->target.has_client_cert
               ? "; client certificate missing?"
               : "";
}

static enum fm_code explain_loss(struct fm_conn *conn, CURLcode result, struct fm_err *err)
{
    const struct fm_net_target *t = &conn->target;
    const char *detail = conn->detail[0] != '\0' ? conn->detail : curl_easy_strerror(result);
    bool eof = strstr(detail, "unexpected eof") != NULL ||
               strstr(detail, "reset by peer") != NULL || strstr(detail, "errno") != NULL;
    bool alert = strstr(detail, "alert") != NULL;
    if (!t->use_tls || (eof && !alert))
        return fm_err_set(err, FM_ECLOSED, "%s:%s closed the connection (%s)%s", t->host, t->port,
                          detail, missing_hint(conn));
    if (!alert)
        return fm_err_set(err, FM_ETLS, "the TLS connection to %s:%s broke: %s%s", t->host, t->port,
                          detail, missing_hint(conn));
    return fm_err_set(err, FM_ETLS, "%s:%s ended the connection with a TLS alert; %s (%s)", t->host,
                      t->port,
                      t->has_client_cert ? "it may not accept our client certificate"
                                         : "client certificate missing? (cert_file, key_file)",
                      detail);
}

/* The connection ended with this result of a receive. */
static enum fm_code explain_end(struct fm_conn *conn, CURLcode result, struct fm_err *err)
{
    if (result != CURLE_OK)
        return explain_loss(conn, result, err);
    const char *hint = missing_hint(conn);
    return fm_err_set(err, FM_ECLOSED, "%s:%s closed the connection%s%s", conn->target.host,
                      conn->target.port, *hint != '\0' ? " before any answer" : "", hint);
}

/* ---- bytes ---- */

/* What a system call on the socket gave, as libcurl would tell it. */
static CURLcode result_of(struct fm_conn *conn, ssize_t n, size_t *moved, bool receiving)
{
    if (n >= 0) {
        *moved = (size_t)n;
        return CURLE_OK;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return CURLE_AGAIN;
    char text[128];
    (void)snprintf(conn->detail, sizeof conn->detail, "%s failure: %s", receiving ? "Recv" : "Send",
                   strerror_r(errno, text, sizeof text));
    return receiving ? CURLE_RECV_ERROR : CURLE_SEND_ERROR;
}

static CURLcode send_bytes(struct fm_conn *conn, const void *data, size_t len, size_t *sent)
{
    if (conn->target.use_tls)
        return curl_easy_send(conn->easy, data, len, sent);
    return result_of(conn, send(conn->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT), sent, false);
}

static CURLcode receive_bytes(struct fm_conn *conn, void *data, size_t len, size_t *got)
{
    if (conn->target.use_tls)
        return curl_easy_recv(conn->easy, data, len, got);
    if (conn->drained)
        return CURLE_AGAIN;
    const CURLcode result = result_of(conn, recv(conn->fd, data, len, MSG_DONTWAIT), got, true);
    conn->drained = *got > 0 && *got < len; /* the socket tells when more has come */
    return result;
}

enum fm_code fm_conn_send(struct fm_conn *conn, const void *data, size_t len, size_t *sent,
                          struct fm_err *err)
{
    *sent = 0;
    if (conn->state != OPEN)
        return fm_err_set(err, FM_EBUG, "send on a connection that is not open");
    if (len == 0)
        return FM_OK;
    if (conn->first_end) /* a send would fail too, but without the peer's reason */
        return explain_end(conn, conn->first_result, err);
    conn->detail[0] = '\0';
    CURLcode result = send_bytes(conn, data, len, sent);
    if (result == CURLE_OK || result == CURLE_AGAIN)
        return FM_OK;
    return explain_loss(conn, result, err);
}

enum fm_code fm_conn_recv(struct fm_conn *conn, void *data, size_t len, size_t *got,
                          struct fm_err *err)
{
    *got = 0;
    if (conn->state != OPEN || len == 0)
        return fm_err_set(err, FM_EBUG, "receive on a connection that is not open");
    if (conn->has_first) {
        *(char *)data = conn->first;
        conn->has_first = false;
        conn->received = true;
        *got = 1;
        return FM_OK;
    }
    CURLcode result = conn->first_result;
    if (!conn->first_end) {
        conn->detail[0] = '\0';
        result = receive_bytes(conn, data, len, got);
    }
    fm_net_set_more(conn, result == CURLE_OK && *got > 0 && !conn->drained);
    if (result == CURLE_AGAIN)
        return FM_EAGAIN;
    if (result == CURLE_OK && *got > 0) {
        conn->received = true;
        return FM_OK;
    }
    return explain_end(conn, result, err);
}
