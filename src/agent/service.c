#include "agent/service.h"

#include "base/clock.h"

void fm_services_stop(const struct fm_service *services, size_t n, void *self, int64_t total_ms,
                      struct fm_log *log)
{
    int64_t end = fm_clock_ms() + total_ms;
    for (size_t i = n; i-- > 0;) {
        const struct fm_service *s = &services[i];
        int64_t begin = fm_clock_ms();
        if (s->stop != NULL)
            s->stop(self);
        int64_t left = end - begin;
        if (s->join != NULL)
            s->join(self, left > 0 ? left : 0);
        fm_log(log, FM_LOG_DEBUG, "%s stopped in %lld ms", s->name,
               (long long)(fm_clock_ms() - begin));
    }
}

enum fm_code fm_services_start(const struct fm_service *services, size_t n, void *self,
                               struct fm_log *log, struct fm_err *err)
{
    for (size_t i = 0; i < n; i++) {
        enum fm_code code = services[i].start(self, err);
        if (code != FM_OK) {
            enum { UNDO_MS = 5000 };
            fm_services_stop(services, i, self, UNDO_MS, log);
            return code;
        }
        fm_log(log, FM_LOG_DEBUG, "%s started", services[i].name);
    }
    return FM_OK;
}
