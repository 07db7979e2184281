#include "agent/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void watched(sigset_t *set)
{
    (void)sigemptyset(set);
    (void)sigaddset(set, SIGINT);
    (void)sigaddset(set, SIGTERM);
    (void)sigaddset(set, SIGHUP);
}

enum fm_code fm_signals_open(int *fd, struct fm_err *err)
{
    sigset_t set;
    watched(&set);
    int rc = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (rc != 0)
        return fm_err_sys(err, rc, "cannot block signals");
    /* A broken pipe and a file at its size limit are errors of one call, not the end of us. */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    *fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (*fd < 0)
        return fm_err_sys(err, errno, "cannot make a signal descriptor");
    return FM_OK;
}

int fm_signals_next(int fd)
{
    struct signalfd_siginfo info;
    ssize_t n = read(fd, &info, sizeof info);
    return n == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

void fm_signals_close(int fd)
{
    if (fd >= 0)
        (void)close(fd);
    sigset_t set;
    watched(&set);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
