/* A terminal for tests: a pty with a program behind it, and a screen that obeys the few sequences
 * that we may send - any other is counted as strange. */
#ifndef TTY_H
#define TTY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <termios.h>

enum { TTY_ROWS = 60, TTY_COLS = 200 };

struct tty {
    int master, slave;
    pid_t pid;
    unsigned rows, cols, row, col;
    uint32_t cells[TTY_ROWS][TTY_COLS]; /* code points; 0: the right half of a wide one */
    bool alternate, hidden, no_wrap;
    unsigned strange; /* sequences and controls that a frame must not hold */
    unsigned bells;
    char pending[24]; /* of a character or sequence that is not yet complete */
    size_t n_pending;
    bool ended;
    int status; /* of waitpid() */
    struct termios before;
};

/** Start a program on a terminal of this size. env: NULL-terminated list of NAME=VALUE, added to
 * ours. */
void tty_start(struct tty *tty, unsigned rows, unsigned cols, const char *const *argv,
               const char *const *env);

void tty_send(struct tty *tty, const char *keys);
void tty_resize(struct tty *tty, unsigned rows, unsigned cols);

/** Feed output to the screen until a row holds the text. @return false after limit_ms */
bool tty_shows(struct tty *tty, const char *text, int limit_ms);

/** The same, until no row holds it. */
bool tty_hides(struct tty *tty, const char *text, int limit_ms);

/** Wait for the end. @return the exit code; -SIGNAL if one ended it; 1000: it still runs */
int tty_end(struct tty *tty, int limit_ms);

/** Whether the modes of the line are those from before. */
bool tty_restored(struct tty *tty);

/** Row i as UTF-8, without blanks at its end; good until the next call but seven. */
const char *tty_row(const struct tty *tty, unsigned i);

/** The whole screen, for messages. */
const char *tty_text(const struct tty *tty);

void tty_close(struct tty *tty);

#endif
