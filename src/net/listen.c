/* The listening socket: TCP or Unix. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/server_priv.h"
#include "net/sock_priv.h"

enum { BACKLOG = 256 };

/* "HOST:PORT" or "[v6]:PORT" into two strings. */
static bool split(const char *listen, char *host, size_t host_size, char *port, size_t port_size)
{
    const char *colon = strrchr(listen, ':');
    if (colon == NULL || colon == listen || colon[1] == '\0')
        return false;
    const char *from = listen, *to = colon;
    if (*from == '[') {
        if (to[-1] != ']')
            return false;
        from++;
        to--;
    } else if (memchr(from, ':', (size_t)(to - from)) != NULL) {
        return false;
    }
    size_t len = (size_t)(to - from);
    if (len == 0 || len >= host_size || strlen(colon + 1) >= port_size ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
        strtoul(colon + 1, NULL, 10) > 65535)
        return false;
    memcpy(host, from, len);
    host[len] = '\0';
    (void)snprintf(port, port_size, "%s", colon + 1);
    return true;
}

static int try_address(const struct addrinfo *at)
{
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int sys = errno;
    (void)close(fd);
    errno = sys;
    return -1;
}

static enum fm_code listen_tcp(struct fm_server *server, const char *where, struct fm_err *err)
{
    char host[256], port[8];
    if (!split(where, host, sizeof host, port, sizeof port))
        return fm_err_set(err, FM_ECONF,
                          "listen address \"%s\" is not HOST:PORT, [IPv6]:PORT or unix:PATH",
                          where);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *list = NULL;
    int rc = getaddrinfo(host, port, &hints, &list);
    if (rc != 0)
        return fm_err_set(err, FM_ECONF, "listen address %s: %s", where, gai_strerror(rc));
    int sys = 0;
    for (const struct addrinfo *at = list; at != NULL && server->listen_fd < 0; at = at->ai_next) {
        server->listen_fd = try_address(at);
        sys = errno;
    }
    freeaddrinfo(list);
    if (server->listen_fd < 0 && sys == EADDRINUSE)
        return fm_err_set(
            err, FM_ESYS,
            "cannot listen on %s: the address is in use; is another firstmile running, "
            "or choose another port",
            where);
    if (server->listen_fd < 0 && (sys == EADDRNOTAVAIL || sys == EACCES))
        return fm_err_set(err, FM_ECONF, "cannot listen on %s: %s", where,
                          sys == EACCES ? "ports below 1024 need a privilege"
                                        : "this host has no such address");
    if (server->listen_fd < 0)
        return fm_err_sys(err, sys, "cannot listen on %s", where);
    server->port = fm_net_local_port(server->listen_fd);
    return FM_OK;
}

/* A socket file on which nobody answers is what a killed process left behind. */
static bool is_stale(const struct sockaddr_un *at)
{
    struct stat st;
    if (lstat(at->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool refused = fd >= 0 && connect(fd, (const struct sockaddr *)at, sizeof *at) != 0 &&
                   errno == ECONNREFUSED;
    if (fd >= 0)
        (void)close(fd);
    return refused;
}

static enum fm_code listen_unix(struct fm_server *server, const char *path, struct fm_err *err)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (*path == '\0' || strlen(path) >= sizeof at.sun_path)
        return fm_err_set(err, FM_ECONF, "the path of a Unix socket has 1 to %zu bytes: %s",
                          sizeof at.sun_path - 1, path);
    (void)snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
    if (is_stale(&at))
        (void)unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fm_err_sys(err, errno, "cannot open a Unix socket");
    server->listen_fd = fd;
    if (bind(fd, (const struct sockaddr *)&at, sizeof at) != 0)
        return errno == EADDRINUSE
                   ? fm_err_set(err, FM_ESYS,
                                "%s is in use by another process; is another firstmile running, "
                                "or choose another path",
                                path)
                   : fm_err_sys(err, errno, "cannot listen on unix:%s", path);
    server->is_unix = true;
    (void)snprintf(server->unix_path, sizeof server->unix_path, "%s", path);
    if (chmod(path, 0660) != 0 || listen(fd, BACKLOG) != 0)
        return fm_err_sys(err, errno, "cannot listen on unix:%s", path);
    return FM_OK;
}

enum fm_code fm_server_listen(struct fm_server *server, const char *where, struct fm_err *err)
{
    if (strncmp(where, "unix:", 5) == 0)
        return listen_unix(server, where + 5, err);
    return listen_tcp(server, where, err);
}
