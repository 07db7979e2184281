#include "localjvm.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

enum { READY_MS = 30000 };

static int run(const char *const *argv)
{
    pid_t pid = fork();
    if (pid == 0) {
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

/* Several test programs may want it at once. */
static void compile(void)
{
    (void)mkdir("build", 0777);
    int lock = open("build/fixture.lock", O_CREAT | O_RDWR | O_CLOEXEC, 0666);
    cr_assert(lock >= 0, "no build folder");
    cr_assert_eq(flock(lock, LOCK_EX), 0);
    struct stat source, made;
    if (stat("build/fixture/any.jar", &made) != 0 ||
        stat("tests/fixture/Fixture.java", &source) != 0 || made.st_mtime < source.st_mtime) {
        const char *const argv[] = {"javac",
                                    "-nowarn",
                                    "-encoding", /* whatever the locale is */
                                    "UTF-8",
                                    "-J-XX:TieredStopAtLevel=1",
                                    "-d",
                                    "build/fixture",
                                    "tests/fixture/Fixture.java",
                                    NULL};
        cr_assert_eq(run(argv), 0, "the fixture does not compile");
        FILE *manifest = fopen("build/fixture/manifest", "w");
        cr_assert(manifest != NULL);
        (void)fputs("Main-Class: Fixture\nClass-Path: ./\n", manifest);
        (void)fclose(manifest);
        const char *const jar[] = {"jar", "cfm", "build/fixture/any.jar", "build/fixture/manifest",
                                   NULL};
        cr_assert_eq(run(jar), 0, "no jar");
    }
    (void)close(lock);
}

/* A further name for the jar, which holds nothing but a manifest. */
static const char *jar_named(const char *name)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "build/fixture/%s", name);
    (void)unlink(path);
    cr_assert_eq(link("build/fixture/any.jar", path), 0);
    return path;
}

struct localjvm localjvm_spawn(const char *const *options, const char *const *arguments)
{
    compile();
    const char *argv[64] = {"java", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xmx32m",
                            "-XX:+UseSerialGC"};
    const char *jar = NULL;
    size_t n = 5;
    for (size_t i = 0; options != NULL && options[i] != NULL && n < 50; i++) {
        if (strncmp(options[i], "jar=", 4) == 0)
            jar = jar_named(options[i] + 4);
        else
            argv[n++] = options[i];
    }
    argv[n++] = jar != NULL ? "-jar" : "-cp";
    argv[n++] = jar != NULL ? jar : "build/fixture";
    if (jar == NULL)
        argv[n++] = "Fixture";
    for (size_t i = 0; arguments != NULL && arguments[i] != NULL && n < 62; i++)
        argv[n++] = arguments[i];
    int in[2], out[2];
    cr_assert_eq(pipe2(in, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
    struct localjvm jvm = {.in = in[1], .out = out[0]};
    jvm.pid = fork();
    if (jvm.pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(in[0], 0);
        (void)dup2(out[1], 1);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    cr_assert(jvm.pid > 0);
    (void)close(in[0]);
    (void)close(out[1]);
    return jvm;
}

static void wait_for(struct localjvm *jvm, const char *word)
{
    char seen[8192] = "";
    size_t len = 0;
    int64_t until = fm_clock_ms() + READY_MS;
    while (strstr(seen, word) == NULL) {
        struct pollfd p = {.fd = jvm->out, .events = POLLIN};
        int64_t left = until - fm_clock_ms();
        cr_assert(left > 0 && len + 1 < sizeof seen && poll(&p, 1, (int)left) == 1,
                  "the JVM did not say %s", word);
        ssize_t n = read(jvm->out, seen + len, sizeof seen - 1 - len);
        cr_assert(n > 0, "the JVM ended: %s", seen);
        len += (size_t)n;
        seen[len] = '\0';
    }
}

void localjvm_wait(struct localjvm *jvm)
{
    wait_for(jvm, "ready");
}

struct localjvm localjvm_start(const char *const *options, const char *const *arguments)
{
    struct localjvm jvm = localjvm_spawn(options, arguments);
    localjvm_wait(&jvm);
    return jvm;
}

void localjvm_say(struct localjvm *jvm, const char *line)
{
    cr_assert_eq(write(jvm->in, line, strlen(line)), (ssize_t)strlen(line));
    cr_assert_eq(write(jvm->in, "\n", 1), 1);
    wait_for(jvm, "ok");
}

unsigned localjvm_port(void)
{
    enum { FIRST = 20000, PORTS = 12000, OF_A_PROCESS = 8 };
    static unsigned next;
    for (unsigned i = 0; i < PORTS; i++) {
        unsigned port = FIRST + ((unsigned)getpid() * OF_A_PROCESS + next++) % PORTS;
        struct sockaddr_in at = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool is_free = fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0;
        (void)close(fd);
        if (is_free)
            return port;
    }
    cr_assert_fail("no port is free");
    return 0;
}

void localjvm_kill(struct localjvm *jvm)
{
    if (jvm->pid <= 0)
        return;
    (void)kill(jvm->pid, SIGKILL);
    while (waitpid(jvm->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    (void)close(jvm->in);
    (void)close(jvm->out);
    jvm->pid = 0;
}
