/* Byte streams: connect-only handles that stay in the client's multi handle.
 *
 * Once connected, libcurl no longer watches the socket: it goes into the extra descriptors of
 * curl_multi_poll(). libcurl takes such a connection for idle, and prunes it as dead when bytes
 * wait on it, until the first send or receive ties it to its handle; so one byte is read at once
 * and kept for the first receive. */
#include "net/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/thread.h"
#include "net/conn_priv.h"

/* ---- the socket of another network namespace ----------------------------------------------- */

struct netns_job {
    const struct curl_sockaddr *address;
    int pid;
    int fd;
    struct fm_err *err;
};

/* Runs on a thread of its own, since the namespace belongs to the thread. */
static void *open_in_netns(void *arg)
{
    struct netns_job *job = arg;
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/ns/net", job->pid);
    FM_AUTO(fm_auto_close) int ns = open(path, O_RDONLY | O_CLOEXEC);
    if (ns < 0) {
        (void)fm_err_sys(job->err, errno, "cannot open the network namespace of process %d",
                         job->pid);
        return NULL;
    }
    if (setns(ns, CLONE_NEWNET) != 0) {
        (void)fm_err_sys(job->err, errno,
                         "cannot enter the network namespace of process %d (CAP_SYS_ADMIN is "
                         "needed)",
                         job->pid);
        return NULL;
    }
    job->fd =
        socket(job->address->family, job->address->socktype | SOCK_CLOEXEC, job->address->protocol);
    if (job->fd < 0)
        (void)fm_err_sys(job->err, errno, "cannot open a socket for process %d", job->pid);
    return NULL;
}

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    struct fm_conn *conn = arg;
    struct netns_job job = {
        .address = address, .pid = conn->netns_pid, .fd = -1, .err = &conn->open_err};
    pthread_t thread;
    if (fm_thread_start(&thread, "fm-netns", open_in_netns, &job, &conn->open_err) != FM_OK)
        return CURL_SOCKET_BAD;
    (void)pthread_join(thread, NULL); /* three system calls, none of which waits */
    return job.fd;
}

/* ---- open and close ------------------------------------------------------------------------ */

#define SET(option, value) ok = ok && curl_easy_setopt(conn->easy, option, value) == CURLE_OK

/* NOLINTNEXTLINE(readability-non-const-parameter): libcurl wrote the signature */
static int on_trace(CURL *easy, curl_infotype type, char *data, size_t size, void *arg)
{
    (void)easy;
    struct fm_conn *conn = arg;
    if (type == CURLINFO_SSL_DATA_IN)
        (void)fm_net_met_read(&conn->met, data, size);
    return 0;
}

static bool set_options(struct fm_conn *conn, const struct fm_conn_opts *opts, const char *url)
{
    bool ok = fm_net_setup_common(conn->client, conn->easy, conn->detail) &&
              fm_net_setup_proxy(conn->easy, NULL, &conn->target);
    if (opts->use_tls) {
        ok = ok && fm_net_setup_tls(conn->easy, opts->tls) &&
             fm_net_setup_cas(conn->client, conn->easy,
                              opts->tls != NULL ? opts->tls->ca_file : NULL, NULL);
        SET(CURLOPT_VERBOSE, 1L); /* until it stands */
        SET(CURLOPT_DEBUGFUNCTION, on_trace);
        SET(CURLOPT_DEBUGDATA, conn);
    }
    SET(CURLOPT_URL, url);
    SET(CURLOPT_PRIVATE, conn);
    SET(CURLOPT_CONNECT_ONLY, 1L);
    SET(CURLOPT_FRESH_CONNECT, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)conn->target.connect_ms);
    if (conn->connect_to != NULL)
        SET(CURLOPT_CONNECT_TO, conn->connect_to);
    if (conn->netns_pid != 0) {
        SET(CURLOPT_OPENSOCKETFUNCTION, on_open);
        SET(CURLOPT_OPENSOCKETDATA, conn);
    }
    return ok && fm_net_watch(&conn->watch, conn->client, conn->easy, NULL);
}

static enum fm_code prepare(struct fm_conn *conn, const struct fm_conn_opts *opts,
                            struct fm_err *err)
{
    struct fm_net_target *t = &conn->target;
    const struct fm_tls *tls = opts->use_tls ? opts->tls : NULL;
    const char *name = tls != NULL && tls->verify_name != NULL ? tls->verify_name : opts->host;
    char host[300], shown[300], url[400];
    fm_net_bracket(host, sizeof host, opts->host);
    fm_net_bracket(shown, sizeof shown, name);
    (void)snprintf(url, sizeof url, "%s://%s:%u/", opts->use_tls ? "https" : "http", shown,
                   (unsigned)opts->port);
    /* A host with a slash or an @ in it would name another place than it says. */
    FM_TRY(fm_net_parse_url(t, url, err));
    if (strcasecmp(t->host, name) != 0 || opts->port == 0)
        return fm_err_set(err, FM_ECONF, "%s:%u is not an address", opts->host,
                          (unsigned)opts->port);
    (void)snprintf(t->host, sizeof t->host, "%s", opts->host);
    t->connect_ms = opts->connect_timeout_ms != 0 ? opts->connect_timeout_ms : FM_NET_CONNECT_MS;
    t->total_ms = t->connect_ms;
    t->is_conn = true;
    if (tls != NULL) {
        t->has_client_cert = tls->cert_file != NULL;
        (void)snprintf(t->ca_file, sizeof t->ca_file, "%s",
                       tls->ca_file != NULL ? tls->ca_file : "");
    }
    if (name != opts->host) {
        char line[700];
        (void)snprintf(line, sizeof line, "%s:%u:%s:%u", shown, (unsigned)opts->port, host,
                       (unsigned)opts->port);
        conn->connect_to = curl_slist_append(NULL, line);
        if (conn->connect_to == NULL)
            return fm_err_nomem(err);
    }
    return set_options(conn, opts, url) ? FM_OK : fm_err_nomem(err);
}

static void free_conn(struct fm_conn *conn)
{
    fm_net_unwatch(&conn->watch, CURL_SOCKET_BAD);
    if (conn->easy != NULL)
        curl_easy_cleanup(conn->easy);
    curl_slist_free_all(conn->connect_to);
    free(conn);
}

/* The descriptor that watches open connections, and what wakes the wait for it. */
static enum fm_code make_epoll(struct fm_client *client, struct fm_err *err)
{
    if (client->epoll >= 0)
        return FM_OK;
    FM_AUTO(fm_auto_close) int epoll = epoll_create1(EPOLL_CLOEXEC);
    FM_AUTO(fm_auto_close) int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll < 0 || wake < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, wake, &event) != 0)
        return fm_err_sys(err, errno, "cannot watch connections");
    client->epoll = epoll;
    atomic_store(&client->wake, wake);
    epoll = wake = -1;
    return FM_OK;
}

enum fm_code fm_conn_open(struct fm_conn **out, struct fm_client *client,
                          const struct fm_conn_opts *opts, fm_conn_fn *fn, void *arg,
                          struct fm_err *err)
{
    FM_TRY(make_epoll(client, err));
    struct fm_conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL)
        return fm_err_nomem(err);
    conn->kind = FM_NET_CONN;
    conn->client = client;
    conn->fn = fn;
    conn->arg = arg;
    conn->fd = CURL_SOCKET_BAD;
    conn->netns_pid = opts->netns_pid;
    conn->easy = curl_easy_init();
    enum fm_code code = conn->easy != NULL ? prepare(conn, opts, err) : fm_err_nomem(err);
    if (code == FM_OK && curl_multi_add_handle(client->multi, conn->easy) != CURLM_OK)
        code = fm_err_nomem(err);
    if (code != FM_OK) {
        free_conn(conn);
        return code;
    }
    conn->next = client->conns;
    if (conn->next != NULL)
        conn->next->prev = conn;
    client->conns = conn;
    client->n_conns++;
    client->n_connecting++;
    fm_net_set_cache(client);
    *out = conn;
    return FM_OK;
}

void fm_conn_close(struct fm_conn *conn)
{
    if (conn == NULL)
        return;
    struct fm_client *client = conn->client;
    if (client->next_conn == conn)
        client->next_conn = conn->next;
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        client->conns = conn->next;
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    client->n_conns--;
    client->n_connecting -= conn->state == CONNECTING;
    client->n_low_water -= conn->low_water > 1;
    fm_net_set_more(conn, false);
    if (conn->state == OPEN) /* the socket outlives the handle where libcurl keeps it */
        (void)epoll_ctl(client->epoll, EPOLL_CTL_DEL, conn->fd, NULL);
    for (int i = 0; i < client->n_events; i++)
        if (client->events[i].data.ptr == conn)
            client->events[i].data.ptr = NULL;
    (void)curl_multi_remove_handle(client->multi, conn->easy);
    fm_net_set_cache(client);
    free_conn(conn);
}

/* ---- events -------------------------------------------------------------------------------- */

static void fail_open(struct fm_conn *conn, CURLcode result)
{
    struct fm_err err = {0};
    struct fm_net_end end = {.result = result,
                             .connected = conn->watch.connected,
                             .met = &conn->met,
                             .detail = conn->detail[0] != '\0' ? conn->detail
                                                               : curl_easy_strerror(result)};
    (void)fm_net_explain(conn->easy, &conn->target, &end, &err);
    if (conn->open_err.code != FM_OK)
        err = conn->open_err;
    conn->client->n_connecting -= conn->state == CONNECTING;
    conn->state = FAILED;
    conn->fn(conn, FM_CONN_FAILED, &err, conn->arg);
}

void fm_net_conn_done(struct fm_conn *conn, CURLcode result)
{
    (void)curl_easy_setopt(conn->easy, CURLOPT_DEBUGFUNCTION, NULL);
    (void)curl_easy_setopt(conn->easy, CURLOPT_VERBOSE, 0L);
    if (result == CURLE_OK)
        result = curl_easy_getinfo(conn->easy, CURLINFO_ACTIVESOCKET, &conn->fd);
    if (result == CURLE_OK && conn->fd == CURL_SOCKET_BAD)
        result = CURLE_COULDNT_CONNECT;
    if (result != CURLE_OK) {
        fail_open(conn, result);
        return;
    }
    size_t got = 0;
    CURLcode first = curl_easy_recv(conn->easy, &conn->first, 1, &got);
    if (first == CURLE_OK && got == 1) {
        conn->has_first = true;
        fm_net_set_more(conn, true);
    } else if (first != CURLE_AGAIN) { /* told by the first receive */
        conn->first_end = true;
        fm_net_set_more(conn, true);
        conn->first_result = first;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    if (conn->want_write)
        event.events |= EPOLLOUT;
    if (epoll_ctl(conn->client->epoll, EPOLL_CTL_ADD, conn->fd, &event) != 0) {
        fail_open(conn, CURLE_OUT_OF_MEMORY);
        return;
    }
    conn->client->n_connecting--;
    conn->state = OPEN;
    conn->fn(conn, FM_CONN_OPENED, NULL, conn->arg);
}

/* One event a round: the callback may have closed it. The other one comes again. */
static void hand_out(struct fm_conn *conn, uint32_t ready)
{
    conn->drained = false;
    if (conn->want_write && (ready & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0)
        conn->fn(conn, FM_CONN_WRITABLE, NULL, conn->arg);
    else if (conn->more || (ready & ~(uint32_t)EPOLLOUT) != 0)
        conn->fn(conn, FM_CONN_READABLE, NULL, conn->arg);
}

void fm_net_conns_dispatch(struct fm_client *client)
{
    for (int i = 0; i < client->n_events; i++)
        if (client->events[i].data.ptr != NULL) /* not closed by one of those before */
            hand_out(client->events[i].data.ptr, client->events[i].events);
    client->n_events = 0;
    if (client->n_more == 0)
        return;
    for (struct fm_conn *conn = client->conns; conn != NULL; conn = client->next_conn) {
        client->next_conn = conn->next;
        if (conn->state == OPEN && conn->more)
            hand_out(conn, 0);
    }
    client->next_conn = NULL;
}

void fm_conn_want_write(struct fm_conn *conn, bool want)
{
    struct epoll_event event = {.events = want ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = conn};
    if (want == conn->want_write)
        return;
    conn->want_write = want;
    if (conn->state == OPEN) /* it is watched: to change that needs no memory */
        (void)epoll_ctl(conn->client->epoll, EPOLL_CTL_MOD, conn->fd, &event);
}
