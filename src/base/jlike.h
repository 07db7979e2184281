/* base/jlike.h - a quick look at JSON texts that are like those seen before.
 *
 * Lines of a file or records of a program mostly differ only in some numbers and strings. So a text
 * that was found plain is kept, with the places of its names and scalars; another one is compared
 * with it, and only the names and scalars where the two differ are read. What does not fit is
 * looked at as ever, so the outcome is always that of fm_jscan_is_plain().
 *
 * One thread at a time. Memory: 41 KiB, whatever comes. Nothing blocks. */
#ifndef FM_BASE_JLIKE_H
#define FM_BASE_JLIKE_H

#include "base/jscan.h"

struct fm_jlike; /* opaque */

struct fm_jlike *fm_jlike_new(void); /* NULL: no memory */
void fm_jlike_free(struct fm_jlike *seen); /* NULL is allowed */

/** fm_jscan_is_plain().
 * @param seen    what came before; NULL: nothing is compared nor kept
 * @param number  the same function at each call, which says the same of the same number */
bool fm_jlike_is_plain(struct fm_jlike *seen, const char *text, size_t len, fm_jscan_number *number,
                       void *arg);

#endif
