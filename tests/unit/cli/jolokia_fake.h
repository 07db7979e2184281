/* A Jolokia agent of a JVM that is hostile: every MBean has a Count that grows with each read,
 * texts that a terminal had better not see, and an attribute Broken whose getter throws. */
#ifndef JOLOKIA_FAKE_H
#define JOLOKIA_FAKE_H

#include <stdatomic.h>
#include <stdint.h>

struct jolokia {
    atomic_int polls; /* reads of values */
    atomic_int down; /* 1: closes connections; 2: takes requests and never answers */
    atomic_int restarts; /* part of the JVM's start time */
};

extern struct jolokia jolokia;

/** @param names  its MBeans besides Runtime; NULL-terminated, borrowed */
void jolokia_start(const char *const *names);
uint16_t jolokia_port(void);
void jolokia_stop(void);

#endif
