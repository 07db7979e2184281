/* agent/service.h - start in order, stop in reverse order, each step with a deadline and a log
 * line. Main thread only. */
#ifndef FM_AGENT_SERVICE_H
#define FM_AGENT_SERVICE_H

#include <stddef.h>
#include <stdint.h>

#include "base/log.h"

/** One part of the agent. stop asks and does not wait; join waits at most timeout_ms. Both may be
 * NULL and must be harmless when called twice. */
struct fm_service {
    const char *name;
    enum fm_code (*start)(void *self, struct fm_err *err);
    void (*stop)(void *self);
    void (*join)(void *self, int64_t timeout_ms);
};

/** Start all n, in order. When one fails, those before it are stopped again in reverse. */
FM_MUST_USE enum fm_code fm_services_start(const struct fm_service *services, size_t n, void *self,
                                           struct fm_log *log, struct fm_err *err);

/** Stop and join in reverse order, all within total_ms. */
void fm_services_stop(const struct fm_service *services, size_t n, void *self, int64_t total_ms,
                      struct fm_log *log);

#endif
