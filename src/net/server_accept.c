/* The server's own thread: it accepts connections, and has their deadlines watched.
 *
 * We accept ourselves, since libmicrohttpd spins when descriptors run out at its first connection,
 * and since its own timeout counts silence only: a client that sends a byte now and then would
 * keep its slot for ever. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/server_priv.h"

enum { STARVED_MS = 100 /* pause after running out of descriptors */ };

void fm_server_wake(struct fm_server *server)
{
    uint64_t one = 1;
    ssize_t n = write(server->wake_fd, &one, sizeof one);
    (void)n; /* full means that it will wake anyway */
}

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
    bool room = server->n_slots < server->opts.max_connections + FM_EXTRA_SLOTS &&
                (server->n_open < server->opts.max_connections || fm_slots_evict(server));
    struct fm_slot *slot = room ? fm_slot_add(server, fd) : NULL;
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

void *fm_server_run(void *arg)
{
    struct fm_server *server = arg;
    while (!is_stopping(server)) {
        struct pollfd fds[2] = {{.fd = server->listen_fd, .events = POLLIN},
                                {.fd = server->wake_fd, .events = POLLIN}};
        (void)poll(fds, 2, fm_slots_check(server));
        uint64_t count;
        if ((fds[1].revents & POLLIN) != 0 && read(server->wake_fd, &count, sizeof count) < 0)
            continue;
        if (fds[0].revents != 0)
            accept_all(server);
    }
    return NULL;
}
