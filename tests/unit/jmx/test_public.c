/* The public JMX client, and the example that uses it (skipped without a JDK). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "firstmile/jmx.h"
#include "localjvm.h"
#include "peer.h"

static struct localjvm jvm;
static struct fm_jmx_session *session;
static char url[40];

static void start_jvm(void)
{
    static char port[80];
    static const char *options[] = {port, "-Dcom.sun.management.jmxremote.ssl=false",
                                    "-Dcom.sun.management.jmxremote.authenticate=false", NULL};
    static const char *arguments[] = {"failing=on", NULL};
    if (access("/usr/bin/javac", X_OK) != 0)
        cr_skip_test("no JDK");
    unsigned number = localjvm_port();
    (void)snprintf(port, sizeof port, "-Dcom.sun.management.jmxremote.port=%u", number);
    (void)snprintf(url, sizeof url, "127.0.0.1:%u", number);
    jvm = localjvm_start(options, arguments);
}

static void stop_jvm(void)
{
    fm_jmx_close(session);
    if (jvm.pid > 0)
        localjvm_kill(&jvm);
}

TestSuite(public_jmx, .fini = stop_jvm, .timeout = 60);

static enum fm_code get(const char *bean, const char *path, const char *expected)
{
    char *text = NULL;
    struct fm_err err = {0};
    enum fm_code code = fm_jmx_get(&text, session, bean, path, &err);
    if (expected != NULL)
        cr_expect(text != NULL && strcmp(text, expected) == 0, "%s: %s %s", path, text, err.text);
    cr_expect_eq(code == FM_OK, text != NULL);
    cr_expect(code == FM_OK || err.text[0] != '\0');
    free(text);
    return code;
}

Test(public_jmx, reads_values_and_says_why_not)
{
    struct fm_err err = {0};
    start_jvm();
    const struct fm_jmx_session_opts opts = {.url = url, .timeout_ms = 20000};
    cr_assert_eq(fm_jmx_open(&session, &opts, &err), FM_OK, "%s", err.text);
    cr_expect_eq(get("first.mile:type=Kinds", "Max", "9223372036854775807"), FM_OK);
    cr_expect_eq(get("first.mile:type=Kinds", "Strings/2", NULL), FM_OK);
    cr_expect_eq(get("java.lang:type=Memory", "HeapMemoryUsage/used", NULL), FM_OK);
    cr_expect_eq(get("java.lang:type=Memory", "HeapMemoryUsage/nosuch", NULL), FM_ENOTFOUND);
    cr_expect_eq(get("java.lang:type=Memory", "NoSuch", NULL), FM_ENOTFOUND);
    cr_expect_eq(get("java.lang:type=NoSuch", "Verbose", NULL), FM_ENOTFOUND);
    cr_expect_eq(get("first.mile:type=Failing", "Runtime", NULL), FM_EREMOTE);
    cr_expect_eq(get("java.lang:*", "Verbose", NULL), FM_EUSAGE);
    cr_expect_eq(get("nonsense", "Verbose", NULL), FM_EUSAGE);
    localjvm_kill(&jvm);
    cr_expect_neq(get("java.lang:type=Memory", "Verbose", NULL), FM_OK);
}

Test(public_jmx, opens_nothing_that_is_not_there)
{
    struct fm_err err = {0};
    (void)snprintf(url, sizeof url, "127.0.0.1:%u", (unsigned)peer_closed_port());
    const struct fm_jmx_session_opts closed = {.url = url};
    const struct fm_jmx_session_opts wrong = {.url = "service:jmx:iiop://x"};
    cr_expect_eq(fm_jmx_open(&session, &closed, &err), FM_ECONNECT, "%s", err.text);
    cr_expect_eq(fm_jmx_open(&session, &wrong, &err), FM_ECONF, "%s", err.text);
    cr_expect_null(session);
    fm_jmx_close(NULL);
}

Test(public_jmx, example_prints_the_heap)
{
    const char *build = getenv("B");
    char command[1200], line[200] = "";
    start_jvm();
    if (build == NULL)
        build = "build/asan";
    (void)snprintf(command, sizeof command,
                   "cc -std=c17 -Wall -Wextra -Wpedantic -Werror -Iinclude "
                   "$(case %s in *asan) echo -fsanitize=address,undefined;; esac) "
                   "tests/examples/jmx_heap.c %s/libfirstmile.a $(pkg-config --libs libcurl "
                   "jansson libmicrohttpd gnutls sqlite3 ini_config zlib liblz4) "
                   "$(pkg-config --libs rdkafka 2>/dev/null) -lpthread -lm -o %s/jmx_heap && "
                   "%s/jmx_heap %s >%s/jmx_heap.out",
                   build, build, build, build, url, build);
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    int status = 1;
    cr_assert(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0, "%s", command);
    (void)snprintf(command, sizeof command, "%s/jmx_heap.out", build);
    FILE *out = fopen(command, "r");
    cr_assert_not_null(out);
    (void)!fgets(line, sizeof line, out);
    (void)fclose(out);
    double used = 0, max = 0;
    cr_expect_eq(sscanf(line, "%lf MiB of %lf MiB", &used, &max), 2, "%s", line);
    cr_expect(used > 0.5 && used <= max && max < 40, "-Xmx32m: %s", line);
}
