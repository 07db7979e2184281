#include "tty.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "cli/table.h"

/* ---- the screen ---- */

static void blank(struct tty *tty, unsigned row, unsigned from)
{
    for (unsigned i = from; i < TTY_COLS; i++)
        tty->cells[row][i] = ' ';
}

static void blank_all(struct tty *tty)
{
    for (unsigned i = 0; i < TTY_ROWS; i++)
        blank(tty, i, 0);
}

static void new_line(struct tty *tty)
{
    tty->col = 0;
    if (tty->row + 1 < tty->rows) {
        tty->row++;
        return;
    }
    memmove(tty->cells[0], tty->cells[1], (TTY_ROWS - 1) * sizeof tty->cells[0]);
    blank(tty, TTY_ROWS - 1, 0);
    blank(tty, tty->rows - 1, 0);
}

static void put_char(struct tty *tty, const char *bytes, size_t n)
{
    unsigned width = (unsigned)fm_text_width(bytes, n);
    uint32_t cp = (unsigned char)bytes[0];
    if (n > 1) {
        cp &= 0xffU >> (n + 1);
        for (size_t i = 1; i < n; i++)
            cp = cp << 6 | ((unsigned char)bytes[i] & 0x3f);
    }
    if (width == 0)
        return;
    if (tty->col + width > tty->cols && tty->no_wrap) {
        tty->strange++; /* a row is longer than the terminal is wide */
        return;
    }
    if (tty->col + width > tty->cols)
        new_line(tty);
    tty->cells[tty->row][tty->col++] = cp;
    if (width == 2)
        tty->cells[tty->row][tty->col++] = 0;
}

static void set_mode(struct tty *tty, unsigned mode, bool on)
{
    if (mode == 1049)
        tty->alternate = on;
    else if (mode == 25)
        tty->hidden = !on;
    else if (mode == 7)
        tty->no_wrap = !on;
    else
        tty->strange++;
}

/* "\033[...X" */
static void obey(struct tty *tty, const char *sequence, char last)
{
    unsigned a = 1, b = 1;
    bool private = sequence[2] == '?';
    (void)sscanf(sequence + 2 + private, "%u;%u", &a, &b);
    if (private && (last == 'h' || last == 'l')) {
        set_mode(tty, a, last == 'h');
    } else if (last == 'H' && a >= 1 && a <= tty->rows && b >= 1 && b <= tty->cols) {
        tty->row = a - 1;
        tty->col = b - 1;
    } else if (last == 'G' && a >= 1 && a <= tty->cols) {
        tty->col = a - 1;
    } else if (last == 'K') {
        blank(tty, tty->row, tty->col);
    } else if (last == 'J') {
        blank_all(tty);
    } else if (last != 'm') {
        tty->strange++;
    }
}

/* One byte more. What is not complete stays in pending. */
static void feed(struct tty *tty, char c)
{
    if (tty->n_pending + 1 >= sizeof tty->pending) {
        tty->strange++;
        tty->n_pending = 0;
    }
    tty->pending[tty->n_pending++] = c;
    const char *p = tty->pending;
    size_t n = tty->n_pending;
    p = memcpy(tty->pending, p, n);
    tty->pending[n] = '\0';
    if (p[0] == '\033') {
        if (n == 2 && c != '[') {
            tty->strange++;
            tty->n_pending = 0;
        } else if (n > 2 && (unsigned char)c >= 0x40 && (unsigned char)c <= 0x7e) {
            obey(tty, p, c);
            tty->n_pending = 0;
        }
        return;
    }
    size_t step = fm_utf8_step(p, n);
    bool lead = (unsigned char)p[0] >= 0xc2 && n < 4;
    if (step == 0 && lead)
        return; /* more to come */
    tty->n_pending = 0;
    if (c == '\r')
        tty->col = 0;
    else if (c == '\n')
        new_line(tty);
    else if (c == '\t' && !tty->alternate)
        put_char(tty, " ", 1);
    else if (step == 0 || (unsigned char)p[0] < 0x20 || (unsigned char)p[0] == 0x7f ||
             (n == 2 && (unsigned char)p[0] == 0xc2 && (unsigned char)p[1] < 0xa0))
        tty->strange++;
    else
        put_char(tty, p, n);
}

const char *tty_row(const struct tty *tty, unsigned i)
{
    static char rows[8][TTY_COLS * 4 + 1];
    static unsigned at;
    char *out = rows[at++ % 8];
    size_t len = 0, end = 0;
    for (unsigned k = 0; k < tty->cols; k++) {
        if (tty->cells[i][k] == 0)
            continue;
        len += fm_utf8_put(out + len, tty->cells[i][k]);
        end = tty->cells[i][k] != ' ' ? len : end;
    }
    out[end] = '\0';
    return out;
}

const char *tty_text(const struct tty *tty)
{
    static char text[TTY_ROWS * (TTY_COLS * 4 + 2)];
    size_t len = 0;
    for (unsigned i = 0; i < tty->rows; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s\n", tty_row(tty, i));
    return text;
}

/* ---- the program ---- */

static void set_size(int fd, unsigned rows, unsigned cols)
{
    const struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols};
    cr_assert_eq(ioctl(fd, TIOCSWINSZ, &size), 0);
}

static void run(const struct tty *tty, const char *const *argv, const char *const *env)
{
    char *words[32] = {NULL};
    (void)setsid();
    (void)ioctl(tty->slave, TIOCSCTTY, 0);
    for (int fd = 0; fd <= 2; fd++)
        (void)dup2(tty->slave, fd);
    (void)setenv("TERM", "xterm-256color", 1);
    (void)setenv("LC_ALL", "C.UTF-8", 1);
    for (; env != NULL && *env != NULL; env++)
        (void)putenv(strdup(*env));
    for (size_t i = 0; i < 31 && argv[i] != NULL; i++)
        words[i] = strdup(argv[i]);
    (void)execv(words[0], words);
    _exit(127);
}

void tty_start(struct tty *tty, unsigned rows, unsigned cols, const char *const *argv,
               const char *const *env)
{
    memset(tty, 0, sizeof *tty);
    cr_assert(rows <= TTY_ROWS && cols <= TTY_COLS);
    tty->rows = rows;
    tty->cols = cols;
    blank_all(tty);
    tty->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    cr_assert_geq(tty->master, 0);
    cr_assert_eq(grantpt(tty->master), 0);
    cr_assert_eq(unlockpt(tty->master), 0);
    tty->slave = open(ptsname(tty->master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    cr_assert_geq(tty->slave, 0);
    set_size(tty->master, rows, cols);
    cr_assert_eq(tcgetattr(tty->slave, &tty->before), 0);
    tty->pid = fork();
    cr_assert_geq(tty->pid, 0);
    if (tty->pid == 0)
        run(tty, argv, env);
}

void tty_send(struct tty *tty, const char *keys)
{
    cr_assert_eq(write(tty->master, keys, strlen(keys)), (ssize_t)strlen(keys));
}

void tty_resize(struct tty *tty, unsigned rows, unsigned cols)
{
    tty->rows = rows;
    tty->cols = cols;
    blank_all(tty);
    set_size(tty->master, rows, cols); /* the kernel sends SIGWINCH */
}

/* Feed what comes within ms. */
static void pump(struct tty *tty, int ms)
{
    char bytes[4096];
    struct pollfd fd = {.fd = tty->master, .events = POLLIN};
    if (poll(&fd, 1, ms) <= 0)
        return;
    ssize_t n = read(tty->master, bytes, sizeof bytes);
    for (ssize_t i = 0; i < n; i++)
        feed(tty, bytes[i]);
}

static bool on_screen(const struct tty *tty, const char *text)
{
    for (unsigned i = 0; i < tty->rows; i++)
        if (strstr(tty_row(tty, i), text) != NULL)
            return true;
    return false;
}

static bool wait_for(struct tty *tty, const char *text, bool shown, int limit_ms)
{
    int64_t end = fm_clock_ms() + limit_ms;
    while (on_screen(tty, text) != shown && fm_clock_ms() < end)
        pump(tty, 50);
    return on_screen(tty, text) == shown;
}

bool tty_shows(struct tty *tty, const char *text, int limit_ms)
{
    return wait_for(tty, text, true, limit_ms);
}

bool tty_hides(struct tty *tty, const char *text, int limit_ms)
{
    return wait_for(tty, text, false, limit_ms);
}

int tty_end(struct tty *tty, int limit_ms)
{
    int64_t end = fm_clock_ms() + limit_ms;
    while (!tty->ended && fm_clock_ms() < end) {
        pump(tty, 10);
        tty->ended = waitpid(tty->pid, &tty->status, WNOHANG) == tty->pid;
    }
    for (int i = 0; i < 20; i++)
        pump(tty, 0);
    if (!tty->ended)
        return 1000;
    return WIFSIGNALED(tty->status) ? -WTERMSIG(tty->status) : WEXITSTATUS(tty->status);
}

bool tty_restored(struct tty *tty)
{
    struct termios now;
    cr_assert_eq(tcgetattr(tty->slave, &now), 0);
    return now.c_lflag == tty->before.c_lflag && now.c_iflag == tty->before.c_iflag &&
           now.c_cc[VMIN] == tty->before.c_cc[VMIN] && !tty->alternate && !tty->hidden &&
           !tty->no_wrap;
}

void tty_close(struct tty *tty)
{
    if (tty->pid > 0 && !tty->ended) {
        (void)kill(tty->pid, SIGKILL);
        (void)waitpid(tty->pid, &tty->status, 0);
    }
    (void)close(tty->master);
    (void)close(tty->slave);
}
