#include "cli/term.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"

enum { LEAVE_MS = 500 /* for a terminal that does not read */ };

static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
static const int watched[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH};

/* Alternate screen, cursor off, no wrapping at the right edge. */
static const char enter_text[] = "\033[?1049h\033[?25l\033[?7l\033[0m\033[2J";
static const char leave_text[] = "\033[0m\033[?7h\033[?25h\033[?1049l";

bool fm_term_usable(void)
{
    const char *term = getenv("TERM");
    return isatty(STDOUT_FILENO) != 0 && term != NULL && term[0] != '\0' &&
           strcmp(term, "dumb") != 0;
}

/* As setlocale() would choose, without needing the locale installed. */
static bool speaks_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    static const char *const poor[] = {"linux", "vt100", "vt220", "ansi"};
    const char *term = getenv("TERM");
    for (size_t i = 0; term != NULL && i < sizeof poor / sizeof poor[0]; i++)
        if (strcmp(term, poor[i]) == 0)
            return false;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && value[0] != '\0')
            return strcasestr(value, "utf-8") != NULL || strcasestr(value, "utf8") != NULL;
    }
    return false;
}

/* O_NONBLOCK belongs to the open description, which stdout shares with the shell: take one of our
 * own. */
static int open_own(int fd, int flags)
{
    char path[256];
    if (ttyname_r(fd, path, sizeof path) != 0)
        return -1;
    return open(path, flags | O_NOCTTY | O_CLOEXEC);
}

/* A fault of ours, or somebody's kill -ABRT: the terminal is given back before the end. Nothing may
 * be kept at file scope for this, so it undoes what fm_term_enter() always does. */
static void on_fault(int sig)
{
    struct termios modes;
    ssize_t n = write(STDOUT_FILENO, leave_text, sizeof leave_text - 1);
    (void)n;
    if (tcgetattr(STDOUT_FILENO, &modes) == 0) {
        modes.c_lflag |= (tcflag_t)(ICANON | ECHO);
        modes.c_cc[VMIN] = 1;
        (void)tcsetattr(STDOUT_FILENO, TCSANOW, &modes);
    }
    (void)raise(sig); /* by default now: SA_RESETHAND */
}

/* Where nobody else (a sanitizer) wants to hear of them. */
static void catch_faults(bool on)
{
    const struct sigaction ours = {.sa_handler = on_fault,
                                   .sa_flags = (int)(SA_RESETHAND | SA_NODEFER)};
    struct sigaction now;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        if (sigaction(faults[i], NULL, &now) == 0 && now.sa_handler == (on ? SIG_DFL : on_fault)) {
            if (on)
                (void)sigaction(faults[i], &ours, NULL);
            else
                (void)signal(faults[i], SIG_DFL);
        }
}

enum fm_code fm_term_open(struct fm_term *term, struct fm_err *err)
{
    sigset_t set;
    catch_faults(true);
    *term = (struct fm_term){.out = -1, .in = -1, .signals = -1, .ascii = !speaks_utf8()};
    (void)sigemptyset(&set);
    for (size_t i = 0; i < sizeof watched / sizeof watched[0]; i++)
        (void)sigaddset(&set, watched[i]);
    (void)pthread_sigmask(SIG_BLOCK, &set, &term->mask);
    term->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (term->signals < 0)
        return fm_err_sys(err, errno, "cannot make a signal descriptor");
    term->out = open_own(STDOUT_FILENO, O_WRONLY | O_NONBLOCK);
    if (term->out < 0)
        term->out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (term->out < 0)
        return fm_err_sys(err, errno, "cannot open the terminal");
    if (isatty(STDIN_FILENO) != 0) {
        term->in = STDIN_FILENO;
    } else {
        term->in = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
        term->own_in = term->in >= 0;
    }
    return FM_OK;
}

void fm_term_resize(struct fm_term *term)
{
    struct winsize size;
    term->rows = 24;
    term->cols = 80;
    if (ioctl(term->out, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
        term->rows = size.ws_row;
        term->cols = size.ws_col;
    }
}

static void set_modes(int fd, const struct termios *modes)
{
    while (tcsetattr(fd, TCSANOW, modes) != 0 && errno == EINTR)
        continue;
}

/* Write with a deadline; signals may wait. */
static void write_for(struct fm_term *term, const char *text, size_t len, int limit_ms)
{
    int64_t end = fm_clock_ms() + limit_ms;
    while (len > 0) {
        ssize_t n = write(term->out, text, len);
        if (n > 0) {
            text += n;
            len -= (size_t)n;
            continue;
        }
        struct pollfd fd = {.fd = term->out, .events = POLLOUT};
        int64_t left = end - fm_clock_ms();
        if ((errno != EAGAIN && errno != EINTR) || left <= 0 || poll(&fd, 1, (int)left) == 0)
            return;
    }
}

void fm_term_enter(struct fm_term *term)
{
    fm_term_resize(term);
    if (!term->entered)
        term->have_modes = term->in >= 0 && tcgetattr(term->in, &term->modes) == 0;
    term->entered = true;
    if (term->have_modes) {
        struct termios raw = term->modes;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* Ctrl-C and Ctrl-Z stay signals */
        raw.c_cc[VMIN] = 0;
        raw.c_cc[VTIME] = 0;
        set_modes(term->in, &raw);
    }
    write_for(term, enter_text, sizeof enter_text - 1, LEAVE_MS);
}

void fm_term_leave(struct fm_term *term)
{
    if (!term->entered)
        return;
    term->entered = false;
    write_for(term, leave_text, sizeof leave_text - 1, LEAVE_MS);
    if (term->have_modes)
        set_modes(term->in, &term->modes);
}

enum fm_code fm_term_write(struct fm_term *term, const struct fm_buf *frame)
{
    size_t done = 0;
    while (done < frame->len) {
        ssize_t n = write(term->out, frame->data + done, frame->len - done);
        if (n > 0) {
            done += (size_t)n;
            continue;
        }
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return FM_ESYS;
        struct pollfd fds[2] = {{.fd = term->out, .events = POLLOUT},
                                {.fd = term->signals, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return FM_ESYS;
        if (fds[1].revents != 0)
            return FM_ESTOP;
    }
    return FM_OK;
}

int fm_term_signal(struct fm_term *term)
{
    struct signalfd_siginfo info;
    ssize_t n = read(term->signals, &info, sizeof info);
    return n == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

static void raise_now(int sig)
{
    sigset_t set;
    (void)signal(sig, SIG_DFL);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, sig);
    (void)raise(sig); /* waits, blocked, for this: */
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void fm_term_suspend(struct fm_term *term)
{
    sigset_t set;
    fm_term_leave(term);
    raise_now(SIGTSTP);
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTSTP);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    fm_term_enter(term);
}

void fm_term_close(struct fm_term *term)
{
    fm_term_leave(term);
    catch_faults(false);
    if (term->signals >= 0)
        (void)close(term->signals);
    if (term->out >= 0)
        (void)close(term->out);
    if (term->own_in)
        (void)close(term->in);
    term->signals = term->out = term->in = -1;
    (void)pthread_sigmask(SIG_SETMASK, &term->mask, NULL);
}

void fm_term_die(int sig)
{
    raise_now(sig);
}
