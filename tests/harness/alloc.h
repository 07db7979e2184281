/* alloc.h - allocations that fail, of our own code and the tests' (not of libraries).
 *
 * The test programs are linked with --wrap for malloc, calloc, realloc and strdup. One plan for the
 * whole process, any thread. */
#ifndef FM_TEST_ALLOC_H
#define FM_TEST_ALLOC_H

#include <stdbool.h>

/** Fail the n-th allocation from now (1 = the next); 0: none any more. */
void alloc_fail_at(unsigned n);
/** Whether the planned failure happened. */
bool alloc_failed(void);

#endif
