/* cli/main.c - where the program begins and its exit code is made. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/cmd.h"

enum { EXIT_USAGE = 2, NARROWEST = 20 };

static int exit_code(enum fm_code code)
{
    if (code == FM_OK)
        return EXIT_SUCCESS;
    return code == FM_EUSAGE || code == FM_ECONF ? EXIT_USAGE : EXIT_FAILURE;
}

/* A file descriptor 0, 1 or 2 that is closed would be taken by the next file that is opened. What
 * stands in for stdout takes nothing: who printed something learns that it went nowhere. */
static void open_standard_streams(void)
{
    for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++)
        if (fcntl(i, F_GETFD) < 0)
            (void)open("/dev/null", i == STDOUT_FILENO ? O_RDONLY : O_RDWR); /* the lowest free */
}

/* Each target holds a connection; the soft limit is usually 1,024 where far more are allowed. */
static void raise_file_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == files.rlim_max)
        return;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

static void look_at_terminal(struct fm_cli *cli)
{
    struct winsize size;
    if (isatty(STDOUT_FILENO) == 0)
        return;
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    cli->colour =
        (no_color == NULL || no_color[0] == '\0') && (term == NULL || strcmp(term, "dumb") != 0);
    cli->width = 80;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= NARROWEST)
        cli->width = size.ws_col;
}

/* Who closed the pipe has read enough: end as any filter does, by SIGPIPE, without a word. SIGPIPE
 * itself is ignored while the program works, since libraries write to sockets. */
static void die_by_sigpipe(void)
{
    (void)signal(SIGPIPE, SIG_DFL);
    (void)raise(SIGPIPE);
}

/* Whether nobody reads stdout any more: asked where the write that failed kept no reason. */
static bool reader_gone(void)
{
    struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP)) != 0;
}

static enum fm_code flush_stdout(enum fm_code code, struct fm_err *err)
{
    bool bad = ferror(stdout) != 0;
    errno = 0;
    if (fflush(stdout) == 0 && !bad)
        return code;
    int sys = errno;
    if (sys == EPIPE || (sys == 0 && reader_gone()))
        die_by_sigpipe();
    if (code != FM_OK)
        return code;
    if (sys != 0)
        return fm_err_sys(err, sys, "cannot write to stdout");
    return fm_err_set(err, FM_ESYS, "stdout did not take all that was printed; is its disk full?");
}

int main(int argc, char **argv)
{
    struct fm_cli cli = {.width = 0};
    struct fm_err err = {0};
    open_standard_streams();
    raise_file_limit();
    (void)signal(SIGPIPE, SIG_IGN);
    fm_arena_init(&cli.arena, 0);
    look_at_terminal(&cli);
    enum fm_code code = fm_log_new(&cli.log, STDERR_FILENO, FM_LOG_WARN, FM_LOG_TEXT, &err);
    if (code == FM_OK)
        code =
            fm_cmd_main(&cli, (const char *const *)argv + 1, argc > 0 ? (size_t)argc - 1 : 0, &err);
    code = flush_stdout(code, &err);
    if (code != FM_OK && err.text[0] != '\0')
        (void)fprintf(stderr, "firstmile: %s\n", err.text);
    fm_log_free(cli.log);
    fm_arena_wipe(&cli.arena);
    return exit_code(code);
}
