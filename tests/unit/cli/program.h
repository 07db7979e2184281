/* The program itself, run as a shell would run it, in a folder of the test's own. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <sys/types.h>

enum { PROGRAM_TEXT = 512 * 1024 };

struct result {
    int code; /* exit code; -1: ended by a signal */
    int signal; /* which */
    char out[PROGRAM_TEXT];
    char err[PROGRAM_TEXT];
};

extern char program[4096]; /* absolute */
extern char folder[64]; /* its working directory, and where its state goes */
extern struct result result; /* of the last run */

/** For TestSuite(.init, .fini). */
void program_set_up(void);
void program_tear_down(void);

/** Run with arguments (NULL-terminated) to its end. @return the exit code; all is in result */
int program_run(const char *const *args);
#define RUN(...) program_run((const char *const[]){__VA_ARGS__, NULL})

/** The same in pieces: start on these descriptors, read both pipes to their ends, wait. */
pid_t program_start(const char *const *args, int out, int err);
void program_read(int out, int err);
void program_reap(pid_t pid);

/** Start `sandbox` on a free port with up to 6 more arguments (NULL ends them); it ends with the
 * test at the latest. @return its URL, good until the next call */
const char *program_sandbox(pid_t *pid, const char *const *more);

/** Write a file into the folder. */
void program_file(const char *name, const char *text);

/** Fail the test unless stdout or stderr of the last run holds the text. */
void expect_out(const char *what);
void expect_err(const char *what);

/** Stderr is one sentence on one line, and holds the text. */
void expect_sentence(const char *what);

#endif
