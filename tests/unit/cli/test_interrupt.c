/* Ends that come from outside, while a command works. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "jolokia_fake.h"
#include "program.h"
#include "spool/spool.h"

static const char *const beans[] = {"a:n=1", "a:n=2", NULL};

static void set_up(void)
{
    program_set_up();
    jolokia_start(beans);
}

static void tear_down(void)
{
    jolokia_stop();
    program_tear_down();
}

TestSuite(interrupt, .init = set_up, .fini = tear_down, .timeout = 60);

/* A port on which connections are taken and nothing is ever answered. */
static int silent_port(unsigned *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (const struct sockaddr *)&address, len), 0);
    cr_assert_eq(listen(fd, 8), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void write_config(unsigned rest, unsigned target)
{
    char text[512];
    (void)snprintf(text, sizeof text,
                   "[rest]\nurl = http://127.0.0.1:%u\n[spool]\npath = memory\n"
                   "[target:a]\nurl = http://127.0.0.1:%u\nqueries = all\n"
                   "[query:all]\nbean = a:*\nattributes = Count\n",
                   rest, target);
    program_file("config.ini", text);
}

/* Run until somebody connects to the silent port, then send the signal. */
static void run_and_signal(const char *const *args, int silent, int sig)
{
    int out[2], err[2];
    cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(err, O_CLOEXEC), 0);
    pid_t pid = program_start(args, out[1], err[1]);
    (void)close(out[1]);
    (void)close(err[1]);
    struct pollfd fd = {.fd = silent, .events = POLLIN};
    cr_assert_eq(poll(&fd, 1, 20000), 1, "nobody connects");
    cr_assert_eq(kill(pid, sig), 0);
    int64_t before = fm_clock_ms();
    program_read(out[0], err[0]);
    (void)close(out[0]);
    (void)close(err[0]);
    program_reap(pid);
    cr_expect_lt(fm_clock_ms() - before, 8000, "it took too long to end");
}

Test(interrupt, once_says_how_many_were_acknowledged)
{
    const char *const args[] = {"once", NULL};
    unsigned port;
    int silent = silent_port(&port);
    write_config(port, jolokia_port());
    run_and_signal(args, silent, SIGINT);
    cr_expect_eq(result.code, 1, "signal %d", result.signal);
    expect_err("firstmile: interrupted: 0 of 2 records acknowledged, fate of 0 unknown\n");
    (void)close(silent);
}

Test(interrupt, once_gives_up_a_target_that_is_silent)
{
    const char *const args[] = {"once", NULL};
    unsigned port;
    int silent = silent_port(&port);
    write_config(1, port);
    run_and_signal(args, silent, SIGTERM);
    cr_expect_eq(result.code, 1, "signal %d", result.signal);
    expect_sentence("interrupted while the targets were read: nothing was sent");
    (void)close(silent);
}

Test(interrupt, watch_ends_by_the_signal_but_not_without_a_word)
{
    char url[64];
    unsigned port;
    int silent = silent_port(&port);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", port);
    const char *const args[] = {"watch", url, "a:*", "--wait", NULL};
    run_and_signal(args, silent, SIGINT);
    cr_expect_eq(result.signal, SIGINT, "exit %d", result.code);
    expect_sentence("watch: interrupted");
    (void)close(silent);
}

/* Who dies closes his socket a moment before his lock is free. */
static void die_slowly(int ready)
{
    char socket_path[100], spool_path[128];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(socket_path, sizeof socket_path, "%s/c.sock", folder);
    (void)snprintf(spool_path, sizeof spool_path, "%s/sp", folder);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path);
    const struct fm_spool_opts opts = {
        .path = spool_path, .agent = "a", .max_size = 64 << 20, .control_socket = socket_path};
    struct fm_spool *spool = NULL;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fm_spool_open(&spool, &opts, NULL) != FM_OK ||
        bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 4) != 0 ||
        write(ready, "x", 1) != 1)
        _exit(1);
    for (int i = 0; i < 2; i++)
        (void)close(accept(fd, NULL, NULL)); /* with what was asked unread: a reset */
    (void)close(fd);
    (void)unlink(socket_path);
    fm_spool_stop(spool);
    fm_spool_free(spool, 0);
    _exit(0);
}

static void remove_spool(void)
{
    static const char *const names[] = {"spool.db", "lock", "identity", "reserve"};
    char path[160];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/sp/%s", folder, names[i]);
        (void)unlink(path);
    }
}

Test(interrupt, spool_outlasts_an_agent_that_dies_as_it_is_asked)
{
    int ready[2];
    char byte;
    cr_assert_eq(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0)
        die_slowly(ready[1]);
    (void)close(ready[1]);
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    cr_expect_eq(RUN("spool", "status", "--spool", "sp"), 0, "%s", result.err);
    program_reap(pid);
    cr_expect_eq(result.code, 0);
    (void)close(ready[0]);
    remove_spool();
}

/* A holder that has the lock and stands in it no more, until somebody has looked twice. */
Test(interrupt, spool_waits_for_a_lock_that_names_nobody)
{
    enum { LOOKS = 2, LOOK_MS = 20000 };
    static const char *const args[] = {"spool", "status", "--spool", "sp", NULL};
    char path[128];
    int out[2], err[2];
    struct fm_spool *spool = NULL;
    (void)snprintf(path, sizeof path, "%s/sp", folder);
    const struct fm_spool_opts opts = {.path = path, .agent = "a", .max_size = 64 << 20};
    cr_assert_eq(fm_spool_open(&spool, &opts, NULL), FM_OK);
    fm_spool_stop(spool);
    fm_spool_free(spool, 0);
    (void)snprintf(path, sizeof path, "%s/sp/lock", folder);
    int lock = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_eq(flock(lock, LOCK_EX | LOCK_NB), 0);
    cr_assert_eq(ftruncate(lock, 0), 0);
    int looks = inotify_init1(IN_CLOEXEC);
    cr_assert_geq(inotify_add_watch(looks, path, IN_OPEN), 0);
    cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(err, O_CLOEXEC), 0);
    pid_t pid = program_start(args, out[1], err[1]);
    (void)close(out[1]);
    (void)close(err[1]);
    for (int i = 0; i < LOOKS; i++) {
        struct inotify_event event;
        struct pollfd fd = {.fd = looks, .events = POLLIN};
        cr_assert_eq(poll(&fd, 1, LOOK_MS), 1, "it gave up");
        cr_assert_eq(read(looks, &event, sizeof event), (ssize_t)sizeof event);
    }
    (void)close(lock);
    program_read(out[0], err[0]);
    program_reap(pid);
    cr_expect_eq(result.code, 0, "%s", result.err);
    (void)close(out[0]);
    (void)close(err[0]);
    (void)close(looks);
    remove_spool();
}
