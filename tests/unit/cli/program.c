#include "program.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

enum { LIMIT_MS = 20000 };

char program[4096];
char folder[64];
struct result result;

void program_set_up(void)
{
    const char *build = getenv("B");
    char cwd[2048];
    cr_assert_not_null(getcwd(cwd, sizeof cwd));
    (void)snprintf(program, sizeof program, "%s/%s/firstmile", cwd,
                   build != NULL ? build : "build/asan");
    cr_assert_eq(access(program, X_OK), 0, "no program at %s", program);
    (void)snprintf(folder, sizeof folder, "/tmp/firstmile-cli-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

void program_tear_down(void)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir != NULL)
        (void)closedir(dir);
    (void)rmdir(folder);
}

pid_t program_start(const char *const *args, int out, int err)
{
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid > 0)
        return pid;
    char *argv[32] = {program};
    for (size_t i = 0; i < 30 && args[i] != NULL; i++)
        argv[i + 1] = strdup(args[i]); /* execv() wants them writable */
    char home[80];
    (void)snprintf(home, sizeof home, "%s/state", folder);
    (void)setenv("XDG_STATE_HOME", home, 1);
    (void)unsetenv("NO_COLOR");
    if (chdir(folder) != 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
        _exit(126);
    (void)execv(program, argv);
    _exit(127);
}

void program_read(int out, int err)
{
    struct pollfd fds[2] = {{.fd = out, .events = POLLIN}, {.fd = err, .events = POLLIN}};
    char *texts[2] = {result.out, result.err};
    size_t used[2] = {0, 0};
    int64_t end = fm_clock_ms() + LIMIT_MS;
    while ((fds[0].fd >= 0 || fds[1].fd >= 0) && fm_clock_ms() < end) {
        if (poll(fds, 2, 1000) <= 0)
            continue;
        for (int i = 0; i < 2; i++) {
            if (fds[i].fd < 0 || fds[i].revents == 0)
                continue;
            ssize_t n = read(fds[i].fd, texts[i] + used[i], PROGRAM_TEXT - 1 - used[i]);
            if (n <= 0)
                fds[i].fd = -1;
            else
                used[i] += (size_t)n;
        }
    }
    result.out[used[0]] = '\0';
    result.err[used[1]] = '\0';
}

void program_reap(pid_t pid)
{
    int status = 0;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    result.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

int program_run(const char *const *args)
{
    int out[2], err[2];
    cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(err, O_CLOEXEC), 0);
    pid_t pid = program_start(args, out[1], err[1]);
    (void)close(out[1]);
    (void)close(err[1]);
    program_read(out[0], err[0]);
    (void)close(out[0]);
    (void)close(err[0]);
    program_reap(pid);
    return result.code;
}

const char *program_sandbox(pid_t *pid, const char *const *more)
{
    static char line[128];
    int out[2];
    const char *args[12] = {"sandbox", "--listen", "127.0.0.1:0", "-q"};
    for (size_t i = 0; more != NULL && i < 6 && more[i] != NULL; i++)
        args[4 + i] = more[i];
    cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
    *pid = program_start(args, out[1], STDERR_FILENO);
    (void)close(out[1]);
    FILE *lines = fdopen(out[0], "r");
    cr_assert_not_null(fgets(line, sizeof line, lines));
    (void)fclose(lines);
    line[strcspn(line, " \n")] = '\0';
    return line;
}

void program_file(const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

void expect_out(const char *what)
{
    cr_expect(strstr(result.out, what) != NULL, "no \"%s\" on stdout: %s", what, result.out);
}

void expect_err(const char *what)
{
    cr_expect(strstr(result.err, what) != NULL, "no \"%s\" on stderr: %s", what, result.err);
}

void expect_sentence(const char *what)
{
    expect_err(what);
    cr_expect_eq(strncmp(result.err, "firstmile: ", 11), 0, "%s", result.err);
    const char *newline = strchr(result.err, '\n');
    cr_expect(newline != NULL && newline[1] == '\0', "more than one line: %s", result.err);
}
