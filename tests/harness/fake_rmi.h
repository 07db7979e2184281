/* A scripted RMI server: each connection plays a script of "wait for so many bytes, then send
 * these". For cuts, stalls and lies that no JVM can be made to tell. */
#ifndef FM_TEST_FAKE_RMI_H
#define FM_TEST_FAKE_RMI_H

#include <stddef.h>
#include <stdint.h>

struct fake_rmi_step {
    size_t await; /* bytes to be received first */
    const void *reply;
    size_t len;
};

struct fake_rmi_script {
    const struct fake_rmi_step *steps;
    size_t n;
    int stays_open; /* after the last step: wait for the client to close, instead of closing */
};

struct fake_rmi;

/** Listen on a free port of 127.0.0.1. Connection i plays script i, further ones the last one.
 * Scripts are borrowed; they may be filled in after this call, until the first connection. */
struct fake_rmi *fake_rmi_start(const struct fake_rmi_script *scripts, size_t n);
uint16_t fake_rmi_port(const struct fake_rmi *fake);

/** Connections accepted so far. */
unsigned fake_rmi_connections(struct fake_rmi *fake);
void fake_rmi_stop(struct fake_rmi *fake);

#endif
