/* base/thread.h - threads and waiting with the monotonic clock; scope cleanup. */
#ifndef FM_BASE_THREAD_H
#define FM_BASE_THREAD_H

#include <pthread.h>
#include <stdint.h>

#include "firstmile/err.h"

/** Run fn(arg) in a new thread with all signals blocked and this name (15 bytes, for ps and gdb).
 */
FM_MUST_USE enum fm_code fm_thread_start(pthread_t *out, const char *name, void *(*fn)(void *),
                                         void *arg, struct fm_err *err);

/** Join, but not for ever. @return false if the thread still runs after timeout_ms */
bool fm_thread_join(pthread_t thread, int64_t timeout_ms);

/** A condition variable whose timed wait uses the monotonic clock. */
void fm_cond_init(pthread_cond_t *cond);

/** Wait until signalled or until fm_clock_ms() reaches deadline_ms (0: no deadline).
 * @return false at the deadline */
bool fm_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t deadline_ms);

/** Call fn(&variable) when the variable goes out of scope. */
#define FM_AUTO(fn) __attribute__((cleanup(fn)))

/** Ready-made cleanups. */
void fm_auto_free(void *pointer_to_pointer);
void fm_auto_close(int *fd);

#endif
