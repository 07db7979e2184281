/* The server: one thread of ours accepts and watches the deadlines, one of libmicrohttpd serves.
 *
 * We accept ourselves, since libmicrohttpd spins when descriptors run out at its first connection,
 * and since its own timeout counts silence only: a client that sends a byte now and then would
 * keep its slot for ever. */
#include "net/server.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "net/server_priv.h"

enum {
    DEFAULT_CONNECTIONS = 64,
    DEFAULT_REQUEST_MS = 5000,
    DEFAULT_IDLE_MS = 30000,
    DEFAULT_MAX_BODY = 64 << 10,
    EXTRA_SLOTS = 32, /* for connections that are shut down but not yet gone */
    SEND_MS = 30000, /* for a client that reads slowly */
    NEW_MS = 10000, /* a slot that the library never took over */
    FRESH_MS = 1000, /* an incomplete request younger than this is spared for an idle one */
    TICK_MS = 1000,
    STARVED_MS = 100, /* pause after running out of descriptors */
    PEM_MAX = 1 << 20
};

const char *fm_server_version(void)
{
    return MHD_get_version();
}

void fm_server_wake(struct fm_server *server)
{
    uint64_t one = 1;
    ssize_t n = write(server->wake_fd, &one, sizeof one);
    (void)n; /* full means that it will wake anyway */
}

/* ---- slots --------------------------------------------------------------------------------- */

struct fm_slot *fm_server_slot(struct MHD_Connection *conn)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL ? info->socket_context : NULL;
}

void fm_slot_phase_set(struct fm_slot *slot, enum fm_slot_phase phase)
{
    (void)pthread_mutex_lock(&slot->server->lock);
    slot->phase = phase;
    slot->since_ms = fm_clock_ms();
    (void)pthread_mutex_unlock(&slot->server->lock);
}

bool fm_slot_suspend(struct fm_slot *slot, int64_t resume_ms)
{
    struct fm_server *server = slot->server;
    (void)pthread_mutex_lock(&server->lock);
    bool go = !server->stopping;
    if (go) {
        slot->suspended = true;
        slot->resume_ms = resume_ms;
        MHD_suspend_connection(slot->conn);
    }
    (void)pthread_mutex_unlock(&server->lock);
    if (go && resume_ms != 0)
        fm_server_wake(server);
    return go;
}

/* Under the lock. */
static void resume(struct fm_slot *slot)
{
    if (!slot->suspended)
        return;
    slot->suspended = false;
    slot->hanging = false;
    slot->resume_ms = 0;
    MHD_resume_connection(slot->conn);
}

void fm_slot_resume(struct fm_slot *slot)
{
    struct fm_server *server = slot->server;
    (void)pthread_mutex_lock(&server->lock);
    resume(slot);
    (void)pthread_mutex_unlock(&server->lock);
}

void fm_slot_hang(struct fm_slot *slot)
{
    (void)pthread_mutex_lock(&slot->server->lock);
    slot->hanging = slot->suspended;
    (void)pthread_mutex_unlock(&slot->server->lock);
    fm_server_wake(slot->server);
}

/* Under the lock. */
static struct fm_slot *slot_add(struct fm_server *server, int fd)
{
    struct fm_slot *slot = calloc(1, sizeof *slot);
    if (slot == NULL)
        return NULL;
    slot->server = server;
    slot->fd = fd;
    slot->is_tcp = !server->is_unix;
    slot->phase = FM_SLOT_NEW;
    slot->since_ms = fm_clock_ms();
    slot->next = server->slots;
    if (slot->next != NULL)
        slot->next->prev = slot;
    server->slots = slot;
    server->n_slots++;
    server->n_open++;
    return slot;
}

/* Under the lock. */
static void slot_remove(struct fm_slot *slot)
{
    struct fm_server *server = slot->server;
    if (slot->prev != NULL)
        slot->prev->next = slot->next;
    else
        server->slots = slot->next;
    if (slot->next != NULL)
        slot->next->prev = slot->prev;
    server->n_slots--;
    if (!slot->dying)
        server->n_open--;
    free(slot);
}

/* Under the lock. The library sees the end of the stream and closes. */
static void slot_shut(struct fm_slot *slot)
{
    if (slot->dying)
        return;
    slot->dying = true;
    slot->server->n_open--;
    (void)shutdown(slot->fd, SHUT_RDWR);
    if (slot->suspended) {
        if (slot->call != NULL)
            slot->call->drop = true;
        resume(slot);
    }
}

static void require_client_cert(struct MHD_Connection *conn)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (info == NULL || info->tls_session == NULL)
        return;
    gnutls_session_t session = info->tls_session;
    gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
    gnutls_session_set_verify_cert(session, NULL, 0);
}

static void on_connection(void *cls, struct MHD_Connection *conn, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct fm_server *server = cls;
    (void)pthread_mutex_lock(&server->lock);
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (*context != NULL)
            slot_remove(*context);
        *context = NULL;
        (void)pthread_mutex_unlock(&server->lock);
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    for (struct fm_slot *slot = server->slots; slot != NULL && info != NULL; slot = slot->next) {
        if (slot->phase == FM_SLOT_NEW && slot->fd == info->connect_fd) {
            slot->phase = FM_SLOT_READING;
            slot->conn = conn;
            *context = slot;
            break;
        }
    }
    (void)pthread_mutex_unlock(&server->lock);
    if (server->opts.client_ca_file != NULL)
        require_client_cert(conn);
}

/* ---- deadlines ----------------------------------------------------------------------------- */

/* Whether a kept connection has begun another request that the library cannot yet show: then the
 * request's time runs from its first byte. */
static bool has_begun(const struct fm_slot *slot, int64_t now, int64_t *since)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    if (!slot->is_tcp || getsockopt(slot->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return false;
    int64_t last = now - (int64_t)info.tcpi_last_data_recv;
    *since = last;
    return last > slot->since_ms + 50;
}

static bool client_gone(const struct fm_slot *slot)
{
    struct pollfd p = {.fd = slot->fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

/* Under the lock. @return when to look again; 0: only at the next tick */
static int64_t check_slot(struct fm_slot *slot, int64_t now)
{
    const struct fm_server_opts *opts = &slot->server->opts;
    int64_t limit = 0;
    if (slot->dying)
        return 0;
    if (slot->suspended) {
        if (slot->hanging && client_gone(slot))
            slot_shut(slot);
        else if (slot->resume_ms != 0 && now >= slot->resume_ms)
            resume(slot);
        return slot->suspended ? slot->resume_ms : 0;
    }
    if (slot->phase == FM_SLOT_IDLE && has_begun(slot, now, &slot->since_ms))
        slot->phase = FM_SLOT_READING;
    switch (slot->phase) {
    case FM_SLOT_READING:
        limit = opts->request_ms;
        break;
    case FM_SLOT_IDLE:
        limit = opts->idle_ms;
        break;
    case FM_SLOT_SENDING:
        limit = slot->slow ? 0 : SEND_MS;
        break;
    case FM_SLOT_NEW:
    case FM_SLOT_HANDLED:
        break;
    }
    if (limit == 0)
        return 0;
    if (now - slot->since_ms < limit)
        return slot->since_ms + limit;
    if (slot->phase == FM_SLOT_READING)
        slot->server->evicted++;
    slot_shut(slot);
    return 0;
}

/* @return how long the thread may sleep, -1: until something happens */
static int check_slots(struct fm_server *server)
{
    int64_t now = fm_clock_ms();
    int64_t tick = server->opts.request_ms / 4 < TICK_MS ? server->opts.request_ms / 4 : TICK_MS;
    int64_t next = now + (tick > 5 ? tick : 5);
    (void)pthread_mutex_lock(&server->lock);
    for (struct fm_slot *slot = server->slots, *after; slot != NULL; slot = after) {
        after = slot->next;
        if (slot->phase == FM_SLOT_NEW && now - slot->since_ms > NEW_MS) {
            slot_remove(slot); /* the library failed to take it, and has closed its socket */
            continue;
        }
        int64_t at = check_slot(slot, now);
        if (at != 0 && at < next)
            next = at;
    }
    bool none = server->n_slots == 0;
    (void)pthread_mutex_unlock(&server->lock);
    return none ? -1 : next > now ? (int)(next - now) : 0;
}

/* How gladly a slot is given up: 0 not at all. */
static int expendable(const struct fm_slot *slot, int64_t now)
{
    if (slot->dying || slot->suspended)
        return 0;
    switch (slot->phase) {
    case FM_SLOT_READING:
        return now - slot->since_ms >= FRESH_MS ? 4 : 2;
    case FM_SLOT_IDLE:
        return 3;
    case FM_SLOT_SENDING:
        return !slot->slow && now - slot->since_ms >= FRESH_MS ? 1 : 0;
    case FM_SLOT_NEW:
    case FM_SLOT_HANDLED:
        break;
    }
    return 0;
}

/* Under the lock: make room for one more. @return false if no slot may be given up */
static bool evict(struct fm_server *server)
{
    int64_t now = fm_clock_ms();
    struct fm_slot *victim = NULL;
    int best = 0;
    for (struct fm_slot *slot = server->slots; slot != NULL; slot = slot->next) {
        int value = expendable(slot, now);
        if (value == 0 || value < best)
            continue;
        /* Newest first in the list: of equally old ones the last came first. */
        if (value > best || slot->since_ms <= victim->since_ms) {
            best = value;
            victim = slot;
        }
    }
    server->evicted++;
    if (victim == NULL)
        return false;
    slot_shut(victim);
    return true;
}

/* ---- accepting ----------------------------------------------------------------------------- */

/* Connections that the library has not yet taken over cannot be given up; that lasts a moment. */
static void wait_for_takeover(struct fm_server *server)
{
    for (unsigned i = 0; i < 50; i++) {
        bool fresh = false;
        (void)pthread_mutex_lock(&server->lock);
        if (server->n_open >= server->opts.max_connections)
            for (struct fm_slot *slot = server->slots; slot != NULL; slot = slot->next)
                fresh = fresh || slot->phase == FM_SLOT_NEW;
        (void)pthread_mutex_unlock(&server->lock);
        if (!fresh)
            return;
        (void)poll(NULL, 0, 1);
    }
}

static void admit(struct fm_server *server, int fd, const struct sockaddr *peer, socklen_t len)
{
    wait_for_takeover(server);
    (void)pthread_mutex_lock(&server->lock);
    bool room = server->n_slots < server->opts.max_connections + EXTRA_SLOTS &&
                (server->n_open < server->opts.max_connections || evict(server));
    struct fm_slot *slot = room ? slot_add(server, fd) : NULL;
    (void)pthread_mutex_unlock(&server->lock);
    if (slot == NULL) {
        (void)close(fd);
        return;
    }
    int on = 1;
    if (slot->is_tcp)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    /* On failure the library closes fd; the slot is then removed by its age. */
    (void)MHD_add_connection(server->daemon, fd, peer, len);
}

/* No descriptor left: give up the spare one to take a connection and close it, so that the client
 * learns it and the queue does not stay readable. */
static void starved(struct fm_server *server)
{
    fm_log_limited(server->opts.log, FM_LOG_WARN, "server descriptors",
                   "too many open files: a connection was refused; raise the limit of open files");
    if (server->spare_fd >= 0)
        (void)close(server->spare_fd);
    int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        (void)close(fd);
    server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct pollfd stop = {.fd = server->wake_fd, .events = POLLIN};
    (void)poll(&stop, 1, STARVED_MS);
}

static void accept_all(struct fm_server *server)
{
    for (unsigned i = 0; i < 64; i++) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof peer;
        int fd = accept4(server->listen_fd, (struct sockaddr *)&peer, &len,
                         SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
                starved(server);
            return;
        }
        admit(server, fd, (struct sockaddr *)&peer, len);
    }
}

static bool is_stopping(struct fm_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    bool stop = server->stopping;
    (void)pthread_mutex_unlock(&server->lock);
    return stop;
}

static void *run(void *arg)
{
    struct fm_server *server = arg;
    while (!is_stopping(server)) {
        struct pollfd fds[2] = {{.fd = server->listen_fd, .events = POLLIN},
                                {.fd = server->wake_fd, .events = POLLIN}};
        (void)poll(fds, 2, check_slots(server));
        uint64_t count;
        if ((fds[1].revents & POLLIN) != 0 && read(server->wake_fd, &count, sizeof count) < 0)
            continue;
        if (fds[0].revents != 0)
            accept_all(server);
    }
    return NULL;
}

/* ---- start and stop ------------------------------------------------------------------------ */

static enum fm_code read_pem(struct fm_buf *out, const char *path, struct fm_err *err)
{
    fm_buf_init(out, PEM_MAX);
    FM_AUTO(fm_auto_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fm_err_set(err, FM_ECONF, "cannot read %s: %s", path, strerror(errno));
    char part[4096];
    ssize_t n;
    while ((n = read(fd, part, sizeof part)) > 0)
        fm_buf_put(out, part, (size_t)n);
    if (n < 0)
        return fm_err_set(err, FM_ECONF, "cannot read %s: %s", path, strerror(errno));
    return fm_buf_code(out, err);
}

static void log_line(void *cls, const char *fmt, va_list args)
{
    struct fm_server *server = cls;
    if (!fm_log_on(server->opts.log, FM_LOG_DEBUG))
        return;
    char text[400];
    (void)vsnprintf(text, sizeof text, fmt, args);
    fm_log(server->opts.log, FM_LOG_DEBUG, "http server: %s", text);
}

static enum fm_code start_daemon(struct fm_server *server, struct fm_err *err)
{
    struct fm_server_opts *opts = &server->opts;
    bool tls = opts->cert_file != NULL;
    struct fm_buf cert = {0}, key = {0}, ca = {0};
    enum fm_code code = FM_OK;
    if (tls)
        code = read_pem(&cert, opts->cert_file, err);
    if (tls && code == FM_OK)
        code = read_pem(&key, opts->key_file != NULL ? opts->key_file : opts->cert_file, err);
    if (tls && code == FM_OK && opts->client_ca_file != NULL)
        code = read_pem(&ca, opts->client_ca_file, err);
    struct MHD_OptionItem list[8];
    unsigned n = 0;
    if (tls && code == FM_OK) {
        list[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0,
                                            (void *)(intptr_t)fm_buf_str(&cert)};
        list[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0,
                                            (void *)(intptr_t)fm_buf_str(&key)};
        list[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0,
                                            (void *)(intptr_t) "NORMAL:-VERS-TLS1.1:-VERS-TLS1.0"};
        if (ca.len > 0)
            list[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_TRUST, 0,
                                                (void *)(intptr_t)fm_buf_str(&ca)};
    }
    list[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    if (code == FM_OK) {
        unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_INTERNAL_POLLING_THREAD |
                         MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
                         MHD_USE_ERROR_LOG | (tls ? MHD_USE_TLS : 0u);
        server->daemon = MHD_start_daemon(
            flags, 0, NULL, NULL, fm_server_on_request, server, /* */
            MHD_OPTION_EXTERNAL_LOGGER, log_line, server, /* first: errors of the others */
            MHD_OPTION_CONNECTION_LIMIT, opts->max_connections + EXTRA_SLOTS, /* */
            MHD_OPTION_CONNECTION_TIMEOUT, 0u, /* ours */
            MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, /* */
            MHD_OPTION_NOTIFY_COMPLETED, fm_server_on_completed, server, /* */
            MHD_OPTION_URI_LOG_CALLBACK, fm_server_on_line, server, /* */
            MHD_OPTION_UNESCAPE_CALLBACK, fm_server_unescape, server, /* */
            MHD_OPTION_STRICT_FOR_CLIENT, 1, /* */
            MHD_OPTION_ARRAY, list, MHD_OPTION_END);
        if (server->daemon == NULL)
            code = tls ? fm_err_set(err, FM_ECONF,
                                    "the server does not start with certificate %s: are it and its "
                                    "key PEM, and do they belong together?",
                                    opts->cert_file)
                       : fm_err_set(err, FM_ESYS, "the HTTP server does not start");
    }
    explicit_bzero(key.data != NULL ? key.data : (char *)list, key.data != NULL ? key.cap : 0);
    fm_buf_clear(&cert);
    fm_buf_clear(&key);
    fm_buf_clear(&ca);
    return code;
}

enum fm_code fm_server_start(struct fm_server **out, const struct fm_server_opts *opts,
                             struct fm_err *err)
{
    struct fm_server *server = calloc(1, sizeof *server);
    if (server == NULL)
        return fm_err_nomem(err);
    server->opts = *opts;
    struct fm_server_opts *o = &server->opts;
    o->max_connections = o->max_connections != 0 ? o->max_connections : DEFAULT_CONNECTIONS;
    o->request_ms = o->request_ms != 0 ? o->request_ms : DEFAULT_REQUEST_MS;
    o->idle_ms = o->idle_ms != 0 ? o->idle_ms : DEFAULT_IDLE_MS;
    o->max_body = o->max_body != 0 ? o->max_body : DEFAULT_MAX_BODY;
    server->listen_fd = server->wake_fd = server->spare_fd = -1;
    (void)pthread_mutex_init(&server->lock, NULL);
    enum fm_code code = fm_server_listen(server, opts->listen, err);
    if (code == FM_OK) {
        server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (server->wake_fd < 0)
            code = fm_err_sys(err, errno, "cannot start the HTTP server");
    }
    if (code == FM_OK)
        code = start_daemon(server, err);
    if (code == FM_OK)
        code = fm_thread_start(&server->thread, "fm-accept", run, server, err);
    server->thread_runs = code == FM_OK;
    if (code != FM_OK) {
        fm_server_stop(server);
        return code;
    }
    /* Borrowed while starting only. */
    o->listen = o->cert_file = o->key_file = NULL;
    *out = server;
    return FM_OK;
}

/* The library must not be stopped while connections are suspended. */
static void resume_all(struct fm_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    server->stopping = true;
    for (struct fm_slot *slot = server->slots; slot != NULL; slot = slot->next) {
        if (slot->suspended && slot->call != NULL)
            slot->call->drop = true;
        resume(slot);
    }
    (void)pthread_mutex_unlock(&server->lock);
}

void fm_server_stop(struct fm_server *server)
{
    if (server == NULL)
        return;
    resume_all(server);
    if (server->thread_runs) {
        fm_server_wake(server);
        (void)pthread_join(server->thread, NULL);
    }
    if (server->listen_fd >= 0)
        (void)close(server->listen_fd);
    if (server->unix_path[0] != '\0')
        (void)unlink(server->unix_path);
    if (server->daemon != NULL)
        MHD_stop_daemon(server->daemon);
    for (struct fm_slot *slot = server->slots, *next; slot != NULL; slot = next) {
        next = slot->next;
        slot_remove(slot); /* accepted, but never taken over */
    }
    if (server->wake_fd >= 0)
        (void)close(server->wake_fd);
    if (server->spare_fd >= 0)
        (void)close(server->spare_fd);
    (void)pthread_mutex_destroy(&server->lock);
    free(server);
}

uint16_t fm_server_port(const struct fm_server *server)
{
    return server->port;
}

void fm_server_stats(const struct fm_server *server, unsigned *open_now, uint64_t *evicted)
{
    struct fm_server *s = (struct fm_server *)(intptr_t)server;
    (void)pthread_mutex_lock(&s->lock);
    *open_now = s->n_open;
    *evicted = s->evicted;
    (void)pthread_mutex_unlock(&s->lock);
}
