/* harness/child.h - another program under a test: openssl s_server, a Python script. */
#ifndef FM_HARNESS_CHILD_H
#define FM_HARNESS_CHILD_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct child {
    pid_t pid;
    int in; /* its standard input */
    FILE
        *out; /* its standard output and error; open while it runs: it would die of a closed pipe */
};

/** Start argv (ended by NULL) and read lines until one begins with the text and a number, e.g. the
 * port it listens on. Fails the test if it ends before. @return that number */
unsigned child_start(struct child *child, const char *const argv[], const char *text);

/** Read lines until one holds the text; false when it has ended without. */
int child_says(struct child *child, const char *text, char *line, size_t size);

void child_write(struct child *child, const char *text);

/** Kill and reap it. */
void child_end(struct child *child);

#endif
