/* `audit TOPIC`, run as a shell would run it, against a sandbox in this process. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/client.h"
#include "peer.h"
#include "sandbox/sandbox.h"

enum { TEXT = 64 * 1024, LIMIT_MS = 40000 };

static char program[4096];
static char folder[64];
static struct fm_sandbox *sandbox;
static char url[80]; /* rest.url=... */
static char out[TEXT], errors[TEXT];

static void begin(size_t max_bytes)
{
    static const char *const topics[] = {"t:2"};
    struct fm_sandbox_opts o = {.topics = topics, .n_topics = 1, .max_bytes = max_bytes};
    struct fm_err err = {0};
    cr_assert_eq(fm_sandbox_start(&sandbox, &o, &err), FM_OK, "%s", err.text);
    (void)snprintf(url, sizeof url, "rest.url=http://127.0.0.1:%u", fm_sandbox_port(sandbox));
}

static void set_up(void)
{
    const char *build = getenv("B");
    char cwd[2048];
    cr_assert_not_null(getcwd(cwd, sizeof cwd));
    (void)snprintf(program, sizeof program, "%s/%s/firstmile", cwd,
                   build != NULL ? build : "build/asan");
    (void)snprintf(folder, sizeof folder, "/tmp/firstmile-audit-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(fm_net_init(NULL), FM_OK);
}

static void tear_down(void)
{
    static const char *const files[] = {"/out", "/err"};
    char path[128];
    fm_sandbox_stop(sandbox);
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "%s%s", folder, files[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}

TestSuite(audit_topic, .init = set_up, .fini = tear_down, .timeout = 90);

/* A record of stream "00000000000000ff". */
static void produce(int partition, int seq, const char *rest)
{
    struct fm_client *client = NULL;
    struct fm_http_answer http;
    char to[160], body[600];
    static const char *const headers[] = {"Content-Type: application/vnd.kafka.json.v2+json"};
    (void)snprintf(to, sizeof to, "%s/topics/t/partitions/%d", url + 9, partition);
    (void)snprintf(body, sizeof body,
                   "{\"records\":[{\"key\":\"k\",\"value\":{\"v\":1,\"agent\":\"a\",\"stream\":"
                   "\"00000000000000ff\",\"seq\":%d%s}}]}",
                   seq, rest);
    const struct fm_http_request request = {.method = "POST",
                                            .url = to,
                                            .headers = headers,
                                            .n_headers = 1,
                                            .body = body,
                                            .body_len = strlen(body)};
    cr_assert_eq(fm_client_new(&client, &(struct fm_client_opts){0}, NULL), FM_OK);
    cr_assert_eq(fm_client_call(client, &request, &http, NULL, NULL), FM_OK);
    cr_assert_eq(http.status, 200);
    fm_client_free(client);
}

static int open_in(const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

static void load(const char *name, char *to)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "re");
    cr_assert_not_null(f);
    to[fread(to, 1, TEXT - 1, f)] = '\0';
    (void)fclose(f);
}

static pid_t start(const char *const *args)
{
    int to = open_in("out"), err = open_in("err");
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        char *argv[32] = {program, (char *)(uintptr_t) "audit"};
        for (size_t i = 0; i < 28 && args[i] != NULL; i++)
            argv[i + 2] = strdup(args[i]);
        if (chdir(folder) != 0 || dup2(to, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
            _exit(126);
        (void)execv(program, argv);
        _exit(127);
    }
    (void)close(to);
    (void)close(err);
    return pid;
}

/* @return its exit code; what it wrote is in out and errors */
static int finish(pid_t pid)
{
    int status = 0;
    int64_t end = fm_clock_ms() + LIMIT_MS;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        cr_assert_lt(fm_clock_ms(), end, "audit does not end");
        (void)usleep(2000);
    }
    load("out", out);
    load("err", errors);
    cr_assert(WIFEXITED(status), "ended by a signal: %s", errors);
    return WEXITSTATUS(status);
}

static void wait_for(const char *name, const char *text)
{
    int64_t end = fm_clock_ms() + LIMIT_MS;
    for (load(name, out); strstr(out, text) == NULL; load(name, out)) {
        cr_assert_lt(fm_clock_ms(), end, "%s does not come: %s", text, out);
        (void)usleep(5000);
    }
}

#define START(...) start((const char *const[]){__VA_ARGS__, NULL})
#define AUDIT(...) finish(START(__VA_ARGS__))
#define GAP(from, to, count)                                                                       \
    ",\"type\":\"gap\",\"from_seq\":" from ",\"to_seq\":" to ",\"count\":" count                   \
    ",\"reason\":\"full\""

Test(audit_topic, is_content_when_each_number_was_seen_or_declared)
{
    begin(0);
    produce(0, 1, "");
    produce(1, 2, "");
    produce(0, 6, GAP("3", "5", "3"));
    cr_expect_eq(AUDIT("t", "-o", url), 0, "%s", errors);
    cr_expect_not_null(strstr(out, "declared lost: 3 full"), "%s", out);
    cr_expect_not_null(strstr(out, "3 records in 2 partitions"), "%s", out);
    cr_expect_str_eq(errors, "");
    cr_expect_eq(AUDIT("-o", url, "-o", "rest.topic=t", "--json", "--group", "my-group"), 0);
    cr_expect_not_null(strstr(out, "\"seen\":3,"), "%s", out);
}

Test(audit_topic, names_the_numbers_that_nobody_declared)
{
    begin(0);
    produce(0, 1, "");
    produce(1, 4, "");
    produce(1, 7, "");
    cr_expect_eq(AUDIT("t", "-o", url, "--settle", "50ms"), 1);
    cr_expect_not_null(strstr(out, "missing 2 to 3 (2)"), "%s", out);
    cr_expect_not_null(strstr(out, "missing 5 to 6 (2)"), "%s", out);
    cr_expect_not_null(strstr(errors, "4 numbers are missing: neither seen"), "%s", errors);
}

Test(audit_topic, waits_for_numbers_under_way_and_for_these_only)
{
    begin(0);
    produce(0, 1, "");
    produce(0, 3, "");
    pid_t pid = START("t", "-o", url, "--settle", "3s", "--json");
    wait_for("err", "may be under way");
    produce(1, 2, "");
    produce(0, 9, ""); /* 4 to 8 came into being behind the end that counts */
    cr_expect_eq(finish(pid), 0, "%s", errors);
    cr_expect_not_null(strstr(out, "\"highest\":3,\"seen\":3,"), "%s", out);
}

Test(audit_topic, reads_until_nothing_comes_where_no_ends_are_told)
{
    begin(0);
    produce(0, 1, "");
    produce(1, 2, "");
    cr_expect_eq(AUDIT("t", "-o", url, "-o", "rest.dialect=redpanda", "--settle", "600ms"), 0, "%s",
                 errors);
    produce(1, 4, "");
    cr_expect_eq(AUDIT("t", "-o", url, "-o", "rest.dialect=redpanda", "--settle", "600ms"), 1);
    cr_expect_not_null(strstr(out, "missing 3 to 3 (1)"), "%s", out);
}

Test(audit_topic, takes_what_retention_cut_for_no_loss)
{
    begin(2500);
    for (int seq = 1; seq <= 40; seq++)
        produce(0, seq, ",\"pad\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"");
    cr_expect_eq(AUDIT("t", "-o", url, "--json"), 0, "%s", errors);
    cr_expect_null(strstr(out, "\"cut\":0,"), "%s", out);
}

Test(audit_topic, follows_and_tells_what_is_new_until_a_signal_ends_it)
{
    begin(0);
    produce(0, 1, "");
    pid_t pid = START("t", "-o", url, "--follow", "--settle", "300ms");
    wait_for("out", "1 record (+1), 1 stream, ");
    produce(0, 5, "");
    wait_for("out", "00000000000000ff: missing 2 to 4 (3)\n");
    produce(1, 3, "");
    wait_for("out", "00000000000000ff: not missing any more: 3 to 3 (1)\n");
    produce(1, 6, GAP("2", "2", "1"));
    wait_for("out", "00000000000000ff: 1 declared lost (full)\n");
    cr_assert_eq(kill(pid, SIGINT), 0);
    cr_expect_eq(finish(pid), 1, "%s", errors);
    cr_expect_not_null(strstr(out, "00000000000000ff: missing 4 to 4 (1)\n"), "%s", out);
    pid = START("t", "-o", url, "--follow", "--settle", "300ms", "--json");
    wait_for("out", "\"records\":4,\"new_records\":4,\"streams\":1,\"missing\":0");
    produce(1, 4, "");
    wait_for("out", "\"records\":5,\"new_records\":1");
    cr_assert_eq(kill(pid, SIGTERM), 0);
    cr_expect_eq(finish(pid), 0, "%s", errors);
}

Test(audit_topic, proves_nothing_when_it_is_interrupted)
{
    begin(0);
    produce(0, 1, "");
    produce(0, 3, "");
    pid_t pid = START("t", "-o", url, "--settle", "1m");
    wait_for("err", "may be under way");
    cr_assert_eq(kill(pid, SIGINT), 0);
    cr_expect_eq(finish(pid), 1);
    cr_expect_not_null(strstr(errors, "interrupted"), "%s", errors);
}

Test(audit_topic, says_what_it_needs)
{
    begin(0);
    cr_expect_eq(AUDIT("t", "--from", "x", "--follow"), 2);
    cr_expect_not_null(strstr(errors, "not for --from"), "%s", errors);
    cr_expect_eq(AUDIT("t", "-o", "rest.url=sandbox"), 2);
    cr_expect_not_null(strstr(errors, "lives inside `run`"), "%s", errors);
    cr_expect_eq(AUDIT("a b", "-o", url), 2);
    cr_expect_eq(AUDIT("empty", "-o", url), 1);
    cr_expect_not_null(strstr(errors, "nothing to audit: topic empty is empty"), "%s", errors);
    char dead[80];
    (void)snprintf(dead, sizeof dead, "rest.url=http://127.0.0.1:%u", peer_closed_port());
    cr_expect_eq(AUDIT("t", "-o", dead, "--timeout", "3s"), 1);
    const char *told = strstr(errors, "trying again for up to ");
    cr_assert_not_null(told, "%s", errors);
    cr_expect_null(strstr(told + 1, "trying again"), "more than once: %s", errors);
    char base[100]; /* a path where nothing is, as at a cloud */
    (void)snprintf(base, sizeof base, "%s/kafka/v3", url);
    cr_expect_eq(AUDIT("t", "-o", base, "-o", "rest.api=v3"), 2);
    cr_expect_not_null(strstr(errors, "audit --from"), "%s", errors);
}
