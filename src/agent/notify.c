#include "agent/notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

void fm_notify_open(struct fm_notify *notify)
{
    *notify = (struct fm_notify){.fd = -1};
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || path[0] == '\0' || strlen(path) >= sizeof address.sun_path)
        return;
    size_t len = strlen(path);
    memcpy(address.sun_path, path, len + 1);
    if (path[0] == '@') /* an abstract socket */
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (connect(fd, (const struct sockaddr *)&address, size) != 0) {
        (void)close(fd);
        return;
    }
    notify->fd = fd;
    const char *usec = getenv("WATCHDOG_USEC");
    if (usec != NULL)
        notify->watchdog_ms = (int64_t)(strtoull(usec, NULL, 10) / 2000);
}

void fm_notify_send(struct fm_notify *notify, const char *state)
{
    if (notify->fd >= 0)
        (void)send(notify->fd, state, strlen(state), MSG_NOSIGNAL);
}

void fm_notify_alive(struct fm_notify *notify)
{
    if (notify->watchdog_ms == 0 || fm_clock_ms() < notify->next_ms)
        return;
    notify->next_ms = fm_clock_ms() + notify->watchdog_ms;
    fm_notify_send(notify, "WATCHDOG=1");
}

int64_t fm_notify_due(const struct fm_notify *notify)
{
    return notify->watchdog_ms != 0 ? notify->next_ms : INT64_MAX;
}

void fm_notify_close(struct fm_notify *notify)
{
    if (notify->fd >= 0)
        (void)close(notify->fd);
    notify->fd = -1;
}
