/* `spool`, asking an agent that this test plays: the lock names its socket. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "program.h"

enum { LIMIT_MS = 20000 };

TestSuite(spool, .init = program_set_up, .fini = program_tear_down, .timeout = 60);

/* A lock that says that an agent listens. @return it; *fd listens */
static int play_agent(int *fd)
{
    char text[160], path[120];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/c.sock", folder);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(*fd, (const struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(*fd, 4), 0);
    (void)snprintf(path, sizeof path, "%s/sp", folder);
    cr_assert_eq(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/sp/lock", folder);
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int len = snprintf(text, sizeof text, "%ld\n%s\n", (long)getpid(), address.sun_path);
    cr_assert_eq(write(lock, text, (size_t)len), len);
    cr_assert_eq(flock(lock, LOCK_EX | LOCK_NB), 0);
    return lock;
}

/* `spool status` gets this answer. */
static void status_of(const char *answer)
{
    static const char *const args[] = {"spool", "status", "--spool", "sp", NULL};
    char request[512], path[120];
    int out[2], err[2], listener;
    int lock = play_agent(&listener);
    cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(err, O_CLOEXEC), 0);
    pid_t pid = program_start(args, out[1], err[1]);
    (void)close(out[1]);
    (void)close(err[1]);
    struct pollfd p = {.fd = listener, .events = POLLIN};
    cr_assert_eq(poll(&p, 1, LIMIT_MS), 1, "it does not ask");
    int fd = accept(listener, NULL, NULL);
    cr_assert_gt(read(fd, request, sizeof request), 0);
    cr_assert_eq(write(fd, answer, strlen(answer)), (ssize_t)strlen(answer));
    program_read(out[0], err[0]);
    program_reap(pid);
    (void)close(fd);
    (void)close(listener);
    (void)close(lock);
    (void)close(out[0]);
    (void)close(err[0]);
    (void)snprintf(path, sizeof path, "%s/sp/lock", folder);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/sp", folder);
    (void)rmdir(path);
}

Test(spool, status_says_how_much_a_full_disk_has_and_needs)
{
    status_of("{\"records\":3,\"bytes\":900,\"disk_full\":true,\"disk_free\":2621440,"
              "\"disk_needed\":10485760,\"streams\":{}}\n");
    cr_expect_eq(result.code, 0, "%s", result.err);
    expect_out("the disk is full: 10.0 MiB must be free there, 2.5 MiB are; until then new");
}

Test(spool, status_of_an_agent_that_does_not_tell_the_amounts)
{
    status_of("{\"records\":3,\"bytes\":900,\"disk_full\":true,\"streams\":{}}\n");
    cr_expect_eq(result.code, 0, "%s", result.err);
    expect_out("the disk is full: new records take the room");
}
