/* base/log.h - one event is one line on stderr; never blocks, never floods.
 *
 * Any thread. When nobody reads stderr lines are dropped and counted, and the count is logged once
 * there is room again. A message is logged once, by whoever stops the error. */
#ifndef FM_BASE_LOG_H
#define FM_BASE_LOG_H

#include <stdint.h>

#include "firstmile/err.h"

enum fm_log_level { FM_LOG_ERROR, FM_LOG_WARN, FM_LOG_INFO, FM_LOG_DEBUG };
enum fm_log_format { FM_LOG_TEXT, FM_LOG_JSON };

struct fm_log; /* opaque: base/log.c */

/** @param fd  where lines go; stays the caller's */
FM_MUST_USE enum fm_code fm_log_new(struct fm_log **out, int fd, enum fm_log_level level,
                                    enum fm_log_format format, struct fm_err *err);

/** NULL is allowed. No other thread may use it any more. */
void fm_log_free(struct fm_log *log);

/** Change level and format (reload). */
void fm_log_set(struct fm_log *log, enum fm_log_level level, enum fm_log_format format);

/** Whether a line of this level would be written; to spare costly arguments. */
bool fm_log_on(const struct fm_log *log, enum fm_log_level level);

/** Write a line. log may be NULL: nothing happens. Never logs a secret: the caller's duty. */
void fm_log(struct fm_log *log, enum fm_log_level level, const char *fmt, ...) FM_PRINTF(3, 4);

/** As fm_log(), but at most one line a minute for each cause; the next one says how many were
 * left out. @param cause  short and stable, such as "target orders" */
void fm_log_limited(struct fm_log *log, enum fm_log_level level, const char *cause, const char *fmt,
                    ...) FM_PRINTF(4, 5);

/** Lines that could not be written so far. */
uint64_t fm_log_dropped(const struct fm_log *log);

#endif
