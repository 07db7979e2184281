/* agent/notify.h - tell systemd, when it started us, that we are ready, alive or stopping
 * (sd_notify(3): a datagram to $NOTIFY_SOCKET). Never blocks; without systemd nothing happens. */
#ifndef FM_AGENT_NOTIFY_H
#define FM_AGENT_NOTIFY_H

#include <stdint.h>

struct fm_notify {
    int fd; /* -1: nobody listens */
    int64_t watchdog_ms; /* half of systemd's limit; 0: no watchdog */
    int64_t next_ms; /* monotonic time of the next sign of life */
};

void fm_notify_open(struct fm_notify *notify);

/** "READY=1", "STOPPING=1", "RELOADING=1", "STATUS=..." */
void fm_notify_send(struct fm_notify *notify, const char *state);

/** WATCHDOG=1 when it is due. Call it only while every thread is known to work. */
void fm_notify_alive(struct fm_notify *notify);

/** When fm_notify_alive() is to be called next, monotonic; INT64_MAX: never. */
int64_t fm_notify_due(const struct fm_notify *notify);

void fm_notify_close(struct fm_notify *notify);

#endif
