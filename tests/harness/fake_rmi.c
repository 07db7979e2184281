#include "fake_rmi.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct fake_rmi {
    const struct fake_rmi_script *scripts;
    size_t n;
    int fd;
    uint16_t port;
    pthread_t thread;
    _Atomic int stop;
    _Atomic unsigned connections;
};

/* Whether bytes can be read from fd; false when the server stops. */
static int wait_readable(struct fake_rmi *fake, int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (!atomic_load(&fake->stop))
        if (poll(&p, 1, 20) > 0)
            return 1;
    return 0;
}

/* @return 0 if the peer closed, or the server stops */
static int await_bytes(struct fake_rmi *fake, int fd, size_t n)
{
    char buf[4096];
    while (n > 0) {
        if (!wait_readable(fake, fd))
            return 0;
        ssize_t got = recv(fd, buf, n < sizeof buf ? n : sizeof buf, 0);
        if (got <= 0)
            return 0;
        n -= (size_t)got;
    }
    return 1;
}

static void play(struct fake_rmi *fake, int fd, const struct fake_rmi_script *script)
{
    for (size_t i = 0; i < script->n; i++) {
        const struct fake_rmi_step *step = &script->steps[i];
        if (!await_bytes(fake, fd, step->await))
            return;
        size_t sent = 0;
        while (sent < step->len) {
            ssize_t put =
                send(fd, (const char *)step->reply + sent, step->len - sent, MSG_NOSIGNAL);
            if (put <= 0)
                return;
            sent += (size_t)put;
        }
    }
    if (script->stays_open)
        while (await_bytes(fake, fd, 1))
            ;
}

static void *serve(void *arg)
{
    struct fake_rmi *fake = arg;
    while (wait_readable(fake, fake->fd)) {
        int fd = accept(fake->fd, NULL, NULL);
        if (fd < 0)
            continue;
        unsigned i = atomic_fetch_add(&fake->connections, 1);
        play(fake, fd, &fake->scripts[i < fake->n ? i : fake->n - 1]);
        shutdown(fd, SHUT_WR); /* so that what was sent is read before the end is seen */
        close(fd);
    }
    return NULL;
}

struct fake_rmi *fake_rmi_start(const struct fake_rmi_script *scripts, size_t n)
{
    struct fake_rmi *fake = calloc(1, sizeof *fake);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    fake->scripts = scripts;
    fake->n = n;
    fake->fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(fake->fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(fake->fd, 16), 0);
    cr_assert_eq(getsockname(fake->fd, (struct sockaddr *)&address, &len), 0);
    fake->port = ntohs(address.sin_port);
    cr_assert_eq(pthread_create(&fake->thread, NULL, serve, fake), 0);
    return fake;
}

uint16_t fake_rmi_port(const struct fake_rmi *fake)
{
    return fake->port;
}

unsigned fake_rmi_connections(struct fake_rmi *fake)
{
    return atomic_load(&fake->connections);
}

void fake_rmi_stop(struct fake_rmi *fake)
{
    atomic_store(&fake->stop, 1);
    pthread_join(fake->thread, NULL);
    close(fake->fd);
    free(fake);
}
