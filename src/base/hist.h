/* base/hist.h - a latency histogram that any thread may add to and read.
 *
 * Bounds double from 1 ms to 131 s, the last bucket is +Inf; fits Prometheus' histogram. */
#ifndef FM_BASE_HIST_H
#define FM_BASE_HIST_H

#include <stdatomic.h>
#include <stdint.h>

enum { FM_HIST_BUCKETS = 19 };

struct fm_hist {
    _Atomic uint64_t count[FM_HIST_BUCKETS]; /* not cumulative */
    _Atomic uint64_t total;
    _Atomic uint64_t sum_us;
};

/** Add one duration in microseconds. */
void fm_hist_add(struct fm_hist *hist, uint64_t us);

/** Upper bound of bucket i in milliseconds; 0 for the last (+Inf). */
uint64_t fm_hist_bound_ms(unsigned bucket);

#endif
