#include "certs.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];

static void clean_up(void)
{
    DIR *d = opendir(dir);
    char path[400];
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        (void)unlink(path);
    }
    if (d != NULL)
        closedir(d);
    (void)rmdir(dir);
}

static void run(const char *which)
{
    pid_t pid = fork();
    if (pid == 0) {
        execl("tests/harness/certs.sh", "certs.sh", dir, which, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        (void)fprintf(stderr, "certs.sh failed\n");
        abort();
    }
}

const char *certs_dir(void)
{
    if (dir[0] != '\0')
        return dir;
    (void)snprintf(dir, sizeof dir, "/tmp/fm-certs-XXXXXX");
    if (mkdtemp(dir) == NULL)
        abort();
    (void)atexit(clean_up);
    run("good");
    return dir;
}

void certs_odd(void)
{
    (void)certs_dir();
    run("odd");
}

const char *certs_path(char *out, size_t size, const char *name)
{
    (void)snprintf(out, size, "%s/%s", certs_dir(), name);
    return out;
}
