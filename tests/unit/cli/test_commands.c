/* Every command of the table, met the same way: help, JSON, mistakes, a closed pipe. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "jolokia_fake.h"
#include "localjvm.h"
#include "program.h"
#include "spool_kit.h"

static const char *const beans[] = {"a:n=1,type=A", "a:n=2,type=A", NULL};
static char url[64];

static void set_up(void)
{
    program_set_up();
    jolokia_start(beans);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)jolokia_port());
    char text[256];
    (void)snprintf(text, sizeof text,
                   "[rest]\nurl = sandbox\n[http]\nlisten = off\n[spool]\npath = memory\n"
                   "[target:fake]\nurl = %s\n",
                   url);
    program_file("config.ini", text);
    program_file("from.json", "");
}

static void tear_down(void)
{
    jolokia_stop();
    program_tear_down();
}

TestSuite(commands, .init = set_up, .fini = tear_down, .timeout = 60);

enum { WORDS = 8 };

/* URL stands for the address of the agent. */
static const struct {
    const char *name;
    const char *args[WORDS]; /* of a call that prints with --json; none: it prints no table */
    int code; /* of that call */
    bool lines; /* an object on each line */
} rows[] = {
    {.name = "init"},
    {.name = "run"},
    {.name = "check", .args = {"--offline"}},
    {.name = "once"},
    {.name = "jvms", .args = {"-q"}},
    {.name = "beans", .args = {"URL", "-l"}},
    {.name = "get", .args = {"URL", "a:n=1,type=A", "Count"}},
    {.name = "watch", .args = {"URL", "a:*", "-n", "1", "-i", "100ms"}, .lines = true},
    {.name = "produce"},
    {.name = "spool", .args = {"status", "--spool", "absent"}, .code = 1},
    {.name = "audit", .args = {"t", "--from", "from.json"}, .code = 1},
    {.name = "sandbox"},
    {.name = "presets", .args = {"jvm"}},
    {.name = "health", .args = {"-q"}, .code = 2},
    {.name = "completion"},
    {.name = "help"},
    {.name = "version", .args = {"-q"}},
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

Test(commands, are_all_in_this_table)
{
    size_t listed = 0;
    cr_assert_eq(RUN("--help"), 0);
    const char *at = strstr(result.out, "commands:\n");
    cr_assert_not_null(at, "%s", result.out);
    for (at = strchr(at, '\n') + 1; strncmp(at, "  ", 2) == 0; at = strchr(at, '\n') + 1) {
        char name[32];
        if (at[2] == ' ' || sscanf(at, " %31s", name) != 1)
            continue; /* an about goes on */
        size_t i = 0;
        while (i < N_ROWS && strcmp(rows[i].name, name) != 0)
            i++;
        cr_expect_lt(i, N_ROWS, "%s is new: give it a row", name);
        listed++;
    }
    cr_expect_eq(listed, N_ROWS);
}

Test(commands, have_help_on_stdout_and_refuse_what_they_do_not_know)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        char said[120];
        cr_expect_eq(RUN(rows[i].name, "--help"), 0, "%s", rows[i].name);
        (void)snprintf(said, sizeof said, "usage: firstmile %s", rows[i].name);
        cr_expect_eq(strncmp(result.out, said, strlen(said)), 0, "%s", result.out);
        cr_expect_str_eq(result.err, "");
        for (const char *line = result.out; *line != '\0'; line += strcspn(line, "\n") + 1)
            cr_expect_leq(strcspn(line, "\n"), 110, "%s: a long line: %s", rows[i].name, line);
        cr_expect_eq(RUN(rows[i].name, "--no-such-option"), 2, "%s", rows[i].name);
        cr_expect_str_eq(result.out, "");
        (void)snprintf(said, sizeof said, "%s: unknown option --no-such-option", rows[i].name);
        expect_sentence(said);
        cr_expect_eq(RUN(rows[i].name, "-Z"), 2, "%s", rows[i].name);
        expect_sentence("unknown option -Z");
    }
}

static void expect_json(const char *name, bool lines)
{
    const char *at = result.out;
    cr_expect(*at != '\0' || result.code != 0, "%s prints nothing", name);
    while (*at != '\0') {
        json_error_t error;
        size_t len = lines ? strcspn(at, "\n") + 1 : strlen(at);
        json_t *json = json_loadb(at, len, JSON_REJECT_DUPLICATES, &error);
        cr_assert_not_null(json, "%s: %s in %s", name, error.text, at);
        json_decref(json);
        at += len;
    }
}

Test(commands, print_valid_json_or_say_that_they_have_none)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        const char *args[WORDS + 3] = {rows[i].name, "--json"};
        for (size_t k = 0; k < WORDS && rows[i].args[k] != NULL; k++)
            args[2 + k] = strcmp(rows[i].args[k], "URL") == 0 ? url : rows[i].args[k];
        int code = program_run(args);
        if (rows[i].args[0] == NULL) {
            cr_expect_eq(code, 2, "%s", rows[i].name);
            expect_sentence("--json: this command prints no table");
            continue;
        }
        cr_expect_eq(code, rows[i].code, "%s: %d, %s", rows[i].name, code, result.err);
        expect_json(rows[i].name, rows[i].lines);
    }
}

/* The names of the columns, in small letters, are the fields. */
Test(commands, show_the_same_fields_in_tables_and_json)
{
    static const char *const tables[][3] = {
        {"presets", NULL, NULL}, {"check", "--offline", NULL}, {"jvms", NULL, NULL}};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        char heading[512];
        const char *args[] = {tables[i][0], tables[i][1], NULL};
        cr_assert_eq(program_run(args), 0);
        if (result.out[0] == '\0')
            continue; /* no JVM runs here */
        (void)snprintf(heading, sizeof heading, "%.*s", (int)strcspn(result.out, "\n"), result.out);
        const char *as_json[] = {tables[i][0], "--json", tables[i][1], NULL};
        cr_assert_eq(program_run(as_json), 0);
        json_t *json = json_loads(result.out, 0, NULL);
        const json_t *first = json_array_get(json, 0);
        char *rest = heading;
        for (char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " ")) {
            if (*word == '\0' || first == NULL)
                continue;
            for (char *p = word; *p != '\0'; p++)
                *p = *p >= 'A' && *p <= 'Z' ? (char)(*p + 32) : *p;
            cr_expect_not_null(json_object_get(first, word), "%s: no field %s", tables[i][0], word);
        }
        json_decref(json);
    }
}

Test(commands, end_quietly_when_their_reader_has_gone)
{
    static const char *const calls[][4] = {{"presets", NULL},
                                           {"init", "--stdout", NULL},
                                           {"check", "--offline", NULL},
                                           {"get", "URL", "a:n=1,type=A", NULL},
                                           {"beans", "URL", "-l", NULL},
                                           {"help", "--man", NULL}};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        int out[2], err[2];
        const char *args[5] = {NULL};
        for (size_t k = 0; k < 4 && calls[i][k] != NULL; k++)
            args[k] = strcmp(calls[i][k], "URL") == 0 ? url : calls[i][k];
        cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
        cr_assert_eq(pipe2(err, O_CLOEXEC), 0);
        (void)close(out[0]);
        pid_t pid = program_start(args, out[1], err[1]);
        (void)close(out[1]);
        (void)close(err[1]);
        int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
        program_read(nothing, err[0]);
        (void)close(nothing);
        (void)close(err[0]);
        program_reap(pid);
        cr_expect_eq(result.signal, SIGPIPE, "%s: exit %d, %s", calls[i][0], result.code,
                     result.err);
    }
}

Test(commands, name_the_attribute_that_was_meant)
{
    struct localjvm jvm = localjvm_start(NULL, NULL);
    char pid[32];
    (void)snprintf(pid, sizeof pid, "pid:%d", (int)jvm.pid);
    cr_expect_eq(
        RUN("get", pid, "java.lang:type=Memory", "HeapMemroyUsage", "-o", "target.attach=on"), 1);
    expect_sentence("java.lang:type=Memory has no attribute HeapMemroyUsage; did you mean "
                    "HeapMemoryUsage?");
    cr_expect_eq(RUN("get", pid, "java.lang:type=Memory", "Quite", "-o", "target.attach=on"), 1);
    expect_sentence("has no attribute Quite; \"firstmile beans -l\" lists them");
    localjvm_kill(&jvm);
}

Test(commands, get_tells_what_it_reads_only_by_name)
{
    cr_expect_eq(RUN("get", url, "a:n=1,type=A"), 0, "%s", result.err);
    expect_out("Count\t");
    cr_expect_null(strstr(result.out, "AdminToken"), "%s", result.out);
    expect_sentence("left out, as secret or very large: AdminToken; name it to read it");
    cr_expect_eq(RUN("get", url, "a:n=1,type=A", "-q"), 0);
    cr_expect_str_eq(result.err, "");
    cr_expect_eq(RUN("get", url, "a:n=1,type=A", "Count"), 0);
    cr_expect_str_eq(result.err, "");
}

/* Read stderr of a program until it holds the text. */
static void await_text(int fd, char *text, size_t size, const char *wanted)
{
    size_t used = strlen(text);
    int64_t end = fm_clock_ms() + 20000;
    while (strstr(text, wanted) == NULL && used + 1 < size && fm_clock_ms() < end) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n = poll(&p, 1, 1000) == 1 ? read(fd, text + used, size - 1 - used) : 0;
        used += n > 0 ? (size_t)n : 0;
        text[used] = '\0';
    }
    cr_assert_not_null(strstr(text, wanted), "no \"%s\" in %s", wanted, text);
}

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *at)
{
    (void)st;
    (void)what;
    (void)at;
    return remove(path);
}

/* An agent that goes on while its stderr is read. */
struct running {
    pid_t pid;
    int out, err;
};

static struct running start_running(const char *const *args)
{
    int out[2], err[2];
    cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(err, O_CLOEXEC), 0);
    struct running run = {program_start(args, out[1], err[1]), out[0], err[0]};
    (void)close(out[1]);
    (void)close(err[1]);
    return run;
}

static void stop_running(const struct running *run)
{
    cr_assert_eq(kill(run->pid, SIGTERM), 0);
    program_read(run->out, run->err);
    program_reap(run->pid);
    (void)close(run->out);
    (void)close(run->err);
}

static void remove_spool(void)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/st", folder);
    (void)nftw(path, remove_one, 4, FTW_DEPTH | FTW_PHYS);
}

Test(commands, run_tells_how_many_records_wait_from_before)
{
    char path[256], text[8192] = "";
    const char *const args[] = {
        "run", "-o", "agent.state_dir=st", "-o", path, "-o", "target:fake.url=http://127.0.0.1:1",
        NULL};
    struct kit kit;
    kit_init(&kit, false);
    kit.opts.use = FM_SPOOL_AGENT;
    kit_open(&kit);
    kit_store(&kit, "t", 1, 3);
    kit_close(&kit);
    (void)snprintf(path, sizeof path, "spool.path=%s", kit.opts.path);
    struct running run = start_running(args);
    await_text(run.err, text, sizeof text, ", 4 records of before in it\n"); /* one is a start */
    stop_running(&run);
    kit_done(&kit);
    remove_spool();
}

Test(commands, run_tells_a_target_that_is_down_once)
{
    static const char *const args[] = {"run",
                                       "-o",
                                       "target:fake.url=http://127.0.0.1:1",
                                       "-o",
                                       "agent.interval=100ms",
                                       "-o",
                                       "agent.state_dir=st",
                                       "-o",
                                       "spool.path=st",
                                       NULL};
    char text[8192] = "";
    struct running run = start_running(args);
    await_text(run.err, text, sizeof text, "target fake is down\n"); /* said by health */
    await_text(run.err, text, sizeof text, "refused the connection"); /* by the poll, maybe later */
    stop_running(&run);
    const char *first = strstr(text, "refused the connection");
    cr_assert_not_null(first, "%s", text);
    cr_expect_null(strstr(first + 1, "refused the connection"), "told twice: %s", text);
    remove_spool();
}

/* The proxy takes all but n=2, one record a request; the topic then accounts for every number. */
static void once_refused(const char *sentence)
{
    pid_t pid;
    char rest[160], target[100];
    (void)snprintf(target, sizeof target, "target:fake.url=%s", url);
    program_file("faults", "* record if \"n=2\" error 50002 \"Kafka dislikes it\"\n");
    const char *const more[] = {"--faults", "faults", NULL};
    (void)snprintf(rest, sizeof rest, "rest.url=%s", program_sandbox(&pid, more));
    cr_expect_eq(RUN("once", "-q", "-q", "-o", rest, "-o", target, "-o", "query:a.bean=a:*", "-o",
                     "batch.records=1", "-o", "retry.isolate_backoff=20ms"),
                 1);
    expect_sentence(sentence);
    cr_expect_eq(RUN("audit", "firstmile", "-o", rest), 0, "%s%s", result.out, result.err);
    cr_assert_eq(kill(pid, SIGTERM), 0);
    program_reap(pid);
    cr_expect_eq(result.code, 0);
}

Test(commands, once_buries_what_was_refused_twice_while_another_was_accepted)
{
    static const char *const three[] = {"a:n=1,type=A", "a:n=2,type=A", "a:n=3,type=A", NULL};
    jolokia_stop();
    jolokia_start(three);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)jolokia_port());
    once_refused(
        "1 record was refused for good: HTTP 200 code 50002: Kafka dislikes it; then HTTP");
}

Test(commands, once_gives_up_what_was_refused_twice_and_makes_no_dead_letter_of_it)
{
    once_refused(
        "1 record was refused twice (declared lost): Kafka: Kafka refuses the record (HTTP 200 "
        "code 50002: Kafka dislikes it)");
}

/* More than stdio keeps at a time: the last flush has nothing left that could fail, and a reader
 * that left must not be blamed. */
Test(commands, a_full_disk_is_told_by_watch)
{
    enum { BEANS = 150 };
    static char names[BEANS][40];
    static const char *many[BEANS + 1];
    for (size_t i = 0; i < BEANS; i++) {
        (void)snprintf(names[i], sizeof names[i], "a:n=%zu,type=ABeanOfALongerName", i);
        many[i] = names[i];
    }
    jolokia_stop();
    jolokia_start(many);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)jolokia_port());
    const char *const args[] = {"watch", url, "a:*", "-n", "1", NULL};
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    int err[2];
    char text[1024] = "";
    if (full < 0)
        cr_skip_test("there is no /dev/full");
    cr_assert_eq(pipe2(err, O_CLOEXEC), 0);
    pid_t pid = program_start(args, full, err[1]);
    (void)close(full);
    (void)close(err[1]);
    program_reap(pid);
    cr_expect_eq(result.signal, 0, "signal %d", result.signal);
    cr_expect_eq(result.code, 1, "exit %d", result.code);
    ssize_t n = read(err[0], text, sizeof text - 1);
    cr_expect(n > 0 && strstr(text, "stdout") != NULL, "%s", text);
    (void)close(err[0]);
}
