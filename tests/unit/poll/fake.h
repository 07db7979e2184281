/* Sessions without a network: a small JVM whose beans and faults the test sets. */
#ifndef FAKE_H
#define FAKE_H

#include <stdatomic.h>

#include "poll/poll_priv.h"

enum { FAKE_BEANS = 64 };

struct fake_jvm { /* found by the url of the session */
    const char *url;
    atomic_int start_time; /* Runtime StartTime */
    atomic_int refuse; /* an fm_code: every list fails with it; 0: works */
    atomic_int hang; /* lists do not come back: cancel ends them */
    atomic_int hang_names; /* the same for lists that ask for names */
    const char *hang_bean; /* READ of this one hangs */
    atomic_int hangs_on; /* ... while this is set */
    const char *beans[FAKE_BEANS]; /* canonical names, sorted; NULL ends */
    atomic_int n_beans; /* how many of them exist */
    int many; /* instead: so many, with other names each time they are listed */
    atomic_int lists, opens, closes, infos, reads, names, reasons, cancels;
    atomic_int asked; /* bytes of the names in lists that were given up */
    atomic_int in_flight;
    atomic_int max_in_flight;
};

extern const struct fm_sessions fake_sessions;

/** The JVMs there are; set before the poll starts. */
extern struct fake_jvm *fake_jvms[8];

#endif
