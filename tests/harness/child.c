#include "child.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

unsigned child_start(struct child *child, const char *const argv[], const char *text)
{
    int in[2], out[2];
    cr_assert(pipe(in) == 0 && pipe(out) == 0);
    child->pid = fork();
    cr_assert_geq(child->pid, 0);
    if (child->pid == 0) {
        (void)dup2(in[0], 0);
        (void)dup2(out[1], 1);
        (void)dup2(out[1], 2);
        for (int i = 3; i < 64; i++)
            (void)close(i);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    child->in = in[1];
    child->out = fdopen(out[0], "r");
    char line[600];
    while (fgets(line, sizeof line, child->out) != NULL)
        if (strncmp(line, text, strlen(text)) == 0)
            return (unsigned)strtoul(line + strlen(text), NULL, 10);
    cr_assert_fail("%s ended without \"%s\"", argv[0], text);
    return 0;
}

int child_says(struct child *child, const char *text, char *line, size_t size)
{
    while (fgets(line, (int)size, child->out) != NULL)
        if (strstr(line, text) != NULL)
            return 1;
    return 0;
}

void child_write(struct child *child, const char *text)
{
    cr_assert_eq(write(child->in, text, strlen(text)), (ssize_t)strlen(text));
}

void child_end(struct child *child)
{
    (void)kill(child->pid, SIGKILL);
    (void)waitpid(child->pid, NULL, 0);
    (void)fclose(child->out);
    (void)close(child->in);
}
