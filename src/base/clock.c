#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

int64_t fm_clock_ns(void)
{
    struct timespec ts = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail with a valid clock id */
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t fm_clock_ms(void)
{
    return fm_clock_ns() / 1000000 + 1;
}

int64_t fm_wall_ms(void)
{
    struct timespec ts = {0};
    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void fm_sleep_ms(unsigned ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

void fm_wall_text(int64_t wall_ms, char out[32])
{
    int64_t ms = wall_ms % 1000;
    time_t secs = (time_t)(wall_ms / 1000);
    if (ms < 0) {
        ms += 1000;
        secs--;
    }
    struct tm tm = {0};
    char date[24] = "";
    if (gmtime_r(&secs, &tm) != NULL)
        (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(out, 32, "%s.%03dZ", date, (int)ms);
}
