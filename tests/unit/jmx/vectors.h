/* The recorded exchanges of tests/data/jmx-vectors: bytes from JVMs 8 to 28. */
#ifndef FM_TEST_VECTORS_H
#define FM_TEST_VECTORS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "jmx/rmi/ser_priv.h"

struct vector {
    const char *file; /* without .c2s.bin */
    const char *kind;
    const char *what;
    json_t *value;
    unsigned char *c2s;
    size_t c2s_len;
    unsigned char *s2c;
    size_t s2c_len;
};

typedef void vector_fn(const struct vector *v, void *arg);

/** Each entry of an index ("" or "hostile/"); returns how many there were. */
size_t vectors_walk(const char *folder, vector_fn *fn, void *arg);

/** One file of the vectors, terminated; the test fails if it is not there. */
unsigned char *vector_load(const char *name, size_t *len);

/** Where the return message begins in s2c (behind a handshake). */
size_t vector_return_at(const struct vector *v);

/** What the call's method returns, by its hash. */
enum fm_ser_expect vector_expect(const struct vector *v);

#endif
