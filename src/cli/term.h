/* cli/term.h - the terminal as a canvas: alternate screen, keys as they are pressed, signals as
 * something to wait for; and everything as it was before, whatever ends the program.
 *
 * Main thread only. Writing never waits for a terminal that does not read while a signal wants to
 * be heard. */
#ifndef FM_CLI_TERM_H
#define FM_CLI_TERM_H

#include <signal.h>
#include <termios.h>

#include "base/buf.h"

struct fm_term {
    int out; /* a description of its own, without waiting; -1: not open */
    int in; /* keys; -1: there are none */
    bool own_in; /* in was opened here */
    int signals; /* readable when one of those below came */
    bool entered;
    bool have_modes;
    struct termios modes; /* before */
    sigset_t mask; /* before */
    unsigned rows, cols;
    bool ascii; /* locale or terminal show nothing but ASCII */
};

/** Whether stdout is a terminal that can be used so (TERM is set, and not to "dumb"). */
bool fm_term_usable(void);

/** From here on SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT and SIGWINCH wait to be taken
 * with fm_term_signal(). Call it before threads are started.
 * @return FM_OK or FM_ESYS; close it also after a failure */
FM_MUST_USE enum fm_code fm_term_open(struct fm_term *term, struct fm_err *err);

/** Alternate screen, no cursor, keys without echo; asks for the size. Entered before: once more,
 * since whoever stopped us has used the terminal. */
void fm_term_enter(struct fm_term *term);

/** All as before. Harmless when it is. */
void fm_term_leave(struct fm_term *term);

/** Ask for the size again. */
void fm_term_resize(struct fm_term *term);

/** Write a frame. What a signal interrupts is dropped: the next frame writes every line anew.
 * @return FM_OK, FM_ESTOP (a signal waits) or FM_ESYS (the terminal is gone) */
FM_MUST_USE enum fm_code fm_term_write(struct fm_term *term, const struct fm_buf *frame);

/** The next signal without waiting; 0: none. */
int fm_term_signal(struct fm_term *term);

/** What Ctrl-Z wants: leave, stop, and enter again once continued. */
void fm_term_suspend(struct fm_term *term);

/** Leave, and give the signals back. */
void fm_term_close(struct fm_term *term);

/** End as the signal would have ended us. After fm_term_close(). */
void fm_term_die(int sig);

#endif
