/* agent/signals.h - signals as something the main thread can poll. Main thread only. */
#ifndef FM_AGENT_SIGNALS_H
#define FM_AGENT_SIGNALS_H

#include "firstmile/err.h"

/** Block SIGINT, SIGTERM and SIGHUP (before the first thread is started), ignore SIGPIPE and
 * SIGXFSZ, and give a descriptor that is readable when one of the three arrives. */
FM_MUST_USE enum fm_code fm_signals_open(int *fd, struct fm_err *err);

/** The next signal without waiting; 0 if there is none. */
int fm_signals_next(int fd);

/** Close and unblock. */
void fm_signals_close(int fd);

#endif
