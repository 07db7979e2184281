/* A JVM for tests: starts tests/fixture/Fixture.java, compiled once into build/fixture. */
#ifndef LOCALJVM_H
#define LOCALJVM_H

#include <stdbool.h>
#include <sys/types.h>

struct localjvm {
    pid_t pid;
    int in, out; /* its stdin and stdout */
};

/** Start with JVM options and fixture arguments (NULL-terminated lists, NULL: none) and wait until
 * it says "ready". Fails the test if it does not within 30 s. The option "jar=NAME" starts it from
 * a jar of that name, so that a test can tell its own JVM from others. */
struct localjvm localjvm_start(const char *const *options, const char *const *arguments);

/** The same, but does not wait. */
struct localjvm localjvm_spawn(const char *const *options, const char *const *arguments);
void localjvm_wait(struct localjvm *jvm);

/** A port for one to listen on: none of those that the kernel gives to sockets without a wish, and
 * in another process another one, so that it is free a second later, too. */
unsigned localjvm_port(void);

/** Kill -9 and reap; harmless when it is dead. */
void localjvm_kill(struct localjvm *jvm);

/** Send a line to its stdin and wait for "ok". */
void localjvm_say(struct localjvm *jvm, const char *line);

#endif
