/* base/clock.h - time. Waits and ages use the monotonic clock; only stamps use the wall clock. */
#ifndef FM_BASE_CLOCK_H
#define FM_BASE_CLOCK_H

#include <stdint.h>

/** Monotonic milliseconds; never 0, so that 0 can mean "never". Any thread. */
int64_t fm_clock_ms(void);

/** Monotonic nanoseconds. Any thread. */
int64_t fm_clock_ns(void);

/** Wall clock, milliseconds since 1970 UTC. For stamps only. Any thread. */
int64_t fm_wall_ms(void);

/** Let this thread wait; for places where there is nothing to be woken by. Any thread. */
void fm_sleep_ms(unsigned ms);

/** "2026-01-31T12:00:00.123Z" for wall milliseconds. @param out  at least 32 bytes */
void fm_wall_text(int64_t wall_ms, char out[32]);

#endif
