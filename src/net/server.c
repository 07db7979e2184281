/* The server: one thread of ours accepts and watches the deadlines, one of libmicrohttpd serves. */
#include "net/server.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/thread.h"
#include "net/server_priv.h"

enum {
    DEFAULT_CONNECTIONS = 64,
    DEFAULT_REQUEST_MS = 5000,
    DEFAULT_IDLE_MS = 30000,
    DEFAULT_MAX_BODY = 64 << 10,
    PEM_MAX = 1 << 20
};

const char *fm_server_version(void)
{
    return MHD_get_version();
}

/* ---- the library --------------------------------------------------------------------------- */

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
            fm_slot_remove(*context);
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

static enum fm_code cannot_read(const char *path, struct fm_err *err)
{
    char reason[96];
    const char *text = strerror_r(errno, reason, sizeof reason);
    return fm_err_set(err, FM_ECONF, "cannot read %s: %s", path, text);
}

static enum fm_code read_pem(struct fm_buf *out, const char *path, struct fm_err *err)
{
    fm_buf_init(out, PEM_MAX);
    FM_AUTO(fm_auto_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cannot_read(path, err);
    char part[4096];
    ssize_t n;
    while ((n = read(fd, part, sizeof part)) > 0)
        fm_buf_put(out, part, (size_t)n);
    if (n < 0)
        return cannot_read(path, err);
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
            MHD_OPTION_CONNECTION_LIMIT, opts->max_connections + FM_EXTRA_SLOTS, /* */
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
    if (key.data != NULL)
        explicit_bzero(key.data, key.cap);
    fm_buf_clear(&cert);
    fm_buf_clear(&key);
    fm_buf_clear(&ca);
    return code;
}

/* ---- start and stop ------------------------------------------------------------------------ */

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
        code = fm_thread_start(&server->thread, "fm-accept", fm_server_run, server, err);
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

void fm_server_stop(struct fm_server *server)
{
    if (server == NULL)
        return;
    fm_slots_resume(server);
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
        fm_slot_remove(slot); /* accepted, but never taken over */
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
