/* The server's connections: their phases, their deadlines, and who is given up when room runs out.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "net/server_priv.h"

enum {
    SEND_MS = 30000, /* for a client that reads slowly */
    NEW_MS = 10000, /* a slot that the library never took over */
    FRESH_MS = 1000, /* an incomplete request younger than this is spared for an idle one */
    TICK_MS = 1000
};

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

struct fm_slot *fm_slot_add(struct fm_server *server, int fd)
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

void fm_slot_remove(struct fm_slot *slot)
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

/* The library must not be stopped while connections are suspended. */
void fm_slots_resume(struct fm_server *server)
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

int fm_slots_check(struct fm_server *server)
{
    int64_t now = fm_clock_ms();
    int64_t tick = server->opts.request_ms / 4 < TICK_MS ? server->opts.request_ms / 4 : TICK_MS;
    int64_t next = now + (tick > 5 ? tick : 5);
    (void)pthread_mutex_lock(&server->lock);
    for (struct fm_slot *slot = server->slots, *after; slot != NULL; slot = after) {
        after = slot->next;
        if (slot->phase == FM_SLOT_NEW && now - slot->since_ms > NEW_MS) {
            fm_slot_remove(slot); /* the library failed to take it, and has closed its socket */
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

bool fm_slots_evict(struct fm_server *server)
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
