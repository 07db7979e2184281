/* `produce`, run as a shell would run it, against a sandbox in this process. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/client.h"
#include "peer.h"
#include "sandbox/sandbox.h"

enum { TEXT = 256 * 1024, LIMIT_MS = 40000 };

static char program[4096];
static char folder[64];
static char ledger[96];
static char errors[TEXT];
static struct fm_sandbox *sandbox;
static char url[80]; /* rest.url=... */

static void set_up(void)
{
    const char *build = getenv("B");
    char cwd[2048];
    cr_assert_not_null(getcwd(cwd, sizeof cwd));
    snprintf(program, sizeof program, "%s/%s/firstmile", cwd, build != NULL ? build : "build/asan");
    snprintf(folder, sizeof folder, "/tmp/firstmile-produce-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(ledger, sizeof ledger, "%s/ledger", folder);
    static const char *const topics[] = {"t:1", "small:1:400"};
    struct fm_sandbox_opts o = {.topics = topics, .n_topics = 2, .ledger_file = ledger};
    struct fm_err err = {0};
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_assert_eq(fm_sandbox_start(&sandbox, &o, &err), FM_OK, "%s", err.text);
    snprintf(url, sizeof url, "rest.url=http://127.0.0.1:%u", fm_sandbox_port(sandbox));
}

static void tear_down(void)
{
    char line[128];
    fm_sandbox_stop(sandbox);
    snprintf(line, sizeof line, "%s", folder);
    char *argv[] = {(char *)(uintptr_t) "rm", (char *)(uintptr_t) "-rf", line, NULL};
    pid_t pid = fork();
    if (pid == 0) {
        execvp("rm", argv);
        _exit(127);
    }
    waitpid(pid, NULL, 0);
}

TestSuite(produce, .init = set_up, .fini = tear_down, .timeout = 90);

/* Write a file of the folder. @return its path, to be used before the next call but three */
static const char *put_file(const char *name, const char *text, size_t len)
{
    static char paths[4][128];
    static unsigned at;
    char *path = paths[at++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    FILE *f = fopen(path, "we");
    cr_assert_not_null(f);
    cr_assert_eq(fwrite(text, 1, len, f), len);
    cr_assert_eq(fclose(f), 0);
    return path;
}

static pid_t start(const char *const *args, int in)
{
    char path[128];
    snprintf(path, sizeof path, "%s/stderr", folder);
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid > 0)
        return pid;
    char *argv[32] = {program, (char *)(uintptr_t) "produce"};
    for (size_t i = 0; i < 28 && args[i] != NULL; i++)
        argv[i + 2] = strdup(args[i]);
    int err = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (chdir(folder) != 0 || dup2(in, STDIN_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
        _exit(126);
    execv(program, argv);
    _exit(127);
}

/* @return its exit code; what it wrote on stderr is in errors */
static int finish(pid_t pid)
{
    int status = 0;
    int64_t end = fm_clock_ms() + LIMIT_MS;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        cr_assert_lt(fm_clock_ms(), end, "produce does not end");
        usleep(2000);
    }
    char path[128];
    snprintf(path, sizeof path, "%s/stderr", folder);
    FILE *f = fopen(path, "re");
    cr_assert_not_null(f);
    errors[fread(errors, 1, sizeof errors - 1, f)] = '\0';
    fclose(f);
    cr_assert(WIFEXITED(status), "ended by a signal: %s", errors);
    return WEXITSTATUS(status);
}

#define PRODUCE(in, ...) finish(start((const char *const[]){__VA_ARGS__, NULL}, in))

static int nothing(void)
{
    static int fd = -1;
    if (fd < 0)
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd;
}

static struct fm_sandbox_stats stored(void)
{
    struct fm_sandbox_stats s;
    fm_sandbox_stats(sandbox, &s);
    return s;
}

static bool says(const char *text)
{
    return strstr(errors, text) != NULL;
}

/* The numbers seq of what was stored ascend from first without a hole. */
static uint64_t in_order(uint64_t first)
{
    FILE *f = fopen(ledger, "re");
    char line[1024];
    uint64_t next = first;
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        const char *seq = strstr(line, "\"seq\":");
        if (strstr(line, "\"stored\":true") == NULL || seq == NULL)
            continue;
        cr_assert_eq(strtoull(seq + 6, NULL, 10), next, "%s", line);
        next++;
    }
    if (f != NULL)
        fclose(f);
    return next - first;
}

Test(produce, sends_a_hundred_thousand_lines_in_their_order)
{
    char *text = malloc(100000 * 32), *p = text;
    for (int i = 0; i < 100000; i++)
        p += sprintf(p, "{\"seq\":%d}\n", i);
    const char *file = put_file("big", text, (size_t)(p - text));
    free(text);
    cr_assert_eq(PRODUCE(nothing(), "t", file, "-o", url), 0, "%s", errors);
    cr_assert_eq(stored().records, 100000);
    cr_assert_eq(in_order(0), 100000);
    cr_assert(says("100000 lines acknowledged"), "%s", errors);
}

/* More than its memory holds, from a reader that is faster than any sender. */
Test(produce, waits_for_the_sender_while_its_memory_is_full)
{
    enum { LINES = 40000, LONG = 520 };
    char *text = malloc(LINES * (LONG + 1)), *p = text;
    for (int i = 0; i < LINES; i++)
        p += sprintf(p, "{\"seq\":%d,\"pad\":\"%0490d\"}\n", i, i);
    const char *file = put_file("much", text, (size_t)(p - text));
    free(text);
    cr_assert_eq(PRODUCE(nothing(), "t", file, "-o", url), 0, "%s", errors);
    cr_assert_eq(stored().records, LINES);
    cr_assert_eq(in_order(0), LINES);
}

Test(produce, reads_files_and_stdin_in_turn_with_or_without_a_last_newline)
{
    const char *one = put_file("one", "{\"seq\":0}\n{\"seq\":1}", 19);
    const char *two = put_file("two", "{\"seq\":3}\n", 10);
    const char *empty = put_file("empty", "", 0);
    int in = open(put_file("in", " {\"seq\":2}\r\n", 12), O_RDONLY | O_CLOEXEC);
    cr_assert_eq(PRODUCE(in, "t", one, empty, "-", two, "-o", url), 0, "%s", errors);
    cr_assert_eq(in_order(0), 4);
    close(in);
}

Test(produce, names_file_line_and_reason_of_what_is_no_json_and_sends_the_others)
{
    static const char text[] = "{\"seq\":0}\n{\"a\":\n1 2\n\n[1e400]\n\"\\ud800\"\n{\"seq\":1}\n"
                               "\"\xff\"\n[1.00000000000000000001]\n{\"a\":1,\"a\":2}\n";
    const char *file = put_file("bad", text, sizeof text - 1);
    cr_assert_eq(PRODUCE(nothing(), "t", file, "-o", url), 1);
    cr_assert_eq(in_order(0), 2);
    static const char *const wanted[] = {
        "/bad:2: no valid JSON",         "/bad:3: more than one",
        "/bad:4: the line is empty",     "/bad:5: the proxy cannot",
        "/bad:6: a string holds half",   "/bad:8: this is not UTF-8",
        "/bad:9: the proxy would round", "/bad:10: the name \"a\" comes twice",
        "8 lines were refused"};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        cr_assert(says(wanted[i]), "no \"%s\" in: %s", wanted[i], errors);
}

Test(produce, names_the_line_that_the_proxy_refuses_and_sends_the_others)
{
    char text[3000] = "", fill[600];
    memset(fill, 'x', sizeof fill - 1);
    fill[sizeof fill - 1] = '\0';
    for (int i = 0; i < 20; i++) {
        char line[800];
        if (i == 7)
            snprintf(line, sizeof line, "{\"poison\":\"%s\"}\n", fill);
        else
            snprintf(line, sizeof line, "{\"seq\":%d}\n", i < 7 ? i : i - 1);
        strcat(text, line);
    }
    const char *file = put_file("poison", text, strlen(text));
    cr_assert_eq(PRODUCE(nothing(), "small", file, "-o", url, "--timeout", "20s"), 1);
    cr_assert_eq(stored().records, 19);
    cr_assert_eq(in_order(0), 19);
    cr_assert(says("/poison:8: refused: "), "%s", errors);
    cr_assert(says("larger than"), "%s", errors);
    cr_assert(says("19 lines acknowledged"), "%s", errors);
    cr_assert(!says("dead letter"), "told twice: %s", errors);
}

Test(produce, takes_a_file_with_a_byte_order_mark)
{
    const char *file = put_file("mark", "\xEF\xBB\xBF{\"seq\":0}\n{\"seq\":1}\n", 23);
    cr_assert_eq(PRODUCE(nothing(), "t", file, "-o", url), 0, "%s", errors);
    cr_assert_eq(in_order(0), 2);
    file = put_file("later", "{\"seq\":2}\n\xEF\xBB\xBF{\"seq\":3}\n", 23);
    cr_assert_eq(PRODUCE(nothing(), "t", file, "-o", url), 1);
    cr_assert(says("/later:2: no valid JSON"), "only the first one is none of the text: %s",
              errors);
}

Test(produce, a_poisoned_last_line_does_not_hang_it)
{
    char text[700];
    memset(text, 'x', sizeof text);
    memcpy(text, "{\"seq\":0}\n\"", 11);
    text[sizeof text - 1] = '"';
    const char *file = put_file("last", text, sizeof text);
    int64_t from = fm_clock_ms();
    cr_assert_eq(PRODUCE(nothing(), "small", file, "-o", url), 1);
    cr_assert_lt(fm_clock_ms() - from, 20000);
    cr_assert(says("/last:2: refused: "), "%s", errors);
    cr_assert_eq(in_order(0), 1);
}

Test(produce, text_keeps_its_bytes_and_takes_keys_from_the_lines)
{
    static const char text[] = "k1:v1\nnone\n\xff:\xfe\x00z\n:empty key\n";
    const char *file = put_file("text", text, sizeof text - 1);
    cr_assert_eq(PRODUCE(nothing(), "t", file, "--format", "text", "-K", ":", "-o", url), 1);
    cr_assert(says("/text:2: there is no separator"), "%s", errors);
    cr_assert_eq(stored().records, 3);
    cr_assert_eq(stored().bytes, 4 + 4 + 9);
}

Test(produce, json_that_is_no_utf8_is_refused_with_the_remedy)
{
    static const char text[] = "\"a\xff\"\n{}\n";
    const char *file = put_file("latin", text, sizeof text - 1);
    cr_assert_eq(PRODUCE(nothing(), "t", file, "-o", url), 1);
    cr_assert(says("/latin:1: this is not UTF-8: use --format text"), "%s", errors);
    cr_assert(says("1 line was refused"), "%s", errors);
    cr_assert_eq(stored().records, 1);
}

Test(produce, says_that_nothing_came)
{
    const char *file = put_file("empty", "", 0);
    cr_assert_eq(PRODUCE(nothing(), "t", "-o", url), 0);
    cr_assert(says("no line came: the input was empty"), "%s", errors);
    cr_assert_eq(PRODUCE(nothing(), "t", file, "-o", url), 0);
    cr_assert(says("no line came: the file is empty"), "%s", errors);
    cr_assert_eq(PRODUCE(nothing(), "t", file, file, "-o", url, "-q"), 0);
    cr_assert_str_eq(errors, "");
}

Test(produce, gives_up_when_nothing_is_acknowledged_in_time)
{
    char dead[80];
    snprintf(dead, sizeof dead, "rest.url=http://127.0.0.1:%u", peer_closed_port());
    const char *file = put_file("f", "1\n2\n", 4);
    int64_t from = fm_clock_ms();
    cr_assert_eq(PRODUCE(nothing(), "t", file, "--timeout", "300ms", "-o", dead), 1);
    cr_assert_lt(fm_clock_ms() - from, 20000);
    cr_assert(says("2 lines are not acknowledged: "), "%s", errors);
    cr_assert(says("refused the connection"), "%s", errors);
}

Test(produce, a_spool_keeps_lines_until_a_later_run)
{
    char dead[80], spool[96];
    snprintf(dead, sizeof dead, "rest.url=http://127.0.0.1:%u", peer_closed_port());
    snprintf(spool, sizeof spool, "%s/spool", folder);
    const char *file = put_file("f", "{\"seq\":0}\n{\"seq\":1}\n", 20);
    cr_assert_eq(PRODUCE(nothing(), "t", file, "--timeout", "300ms", "--spool", spool, "-o", dead),
                 1);
    cr_assert(says("nothing was acknowledged in time; 2 lines are kept in the spool: "), "%s",
              errors);
    cr_assert(says("sends what is kept first (an empty input suffices"), "%s", errors);
    cr_assert(says("all of the input was taken; give none of it again"), "%s", errors);
    cr_assert(!says("go on with line"), "%s", errors);
    const char *more = put_file("g", "{\"seq\":2}\n", 10);
    cr_assert_eq(PRODUCE(nothing(), "t", more, "--spool", spool, "-o", url), 0, "%s", errors);
    cr_assert_eq(in_order(0), 3);
    cr_assert_eq(PRODUCE(nothing(), "t", "--spool", spool, "-o", url), 0, "%s", errors);
    cr_assert_eq(stored().records, 3);
    /* An agent would count on in the stream of lines that show no numbers. */
    char state[128];
    snprintf(state, sizeof state, "agent.state_dir=%s", folder);
    pid_t pid = fork();
    if (pid == 0) {
        char path[128];
        snprintf(path, sizeof path, "%s/stderr", folder);
        int err = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        char *argv[] = {program,
                        (char *)(uintptr_t) "run",
                        (char *)(uintptr_t) "-o",
                        url,
                        (char *)(uintptr_t) "-o",
                        state,
                        (char *)(uintptr_t) "-o",
                        (char *)(uintptr_t) "http.listen=off",
                        NULL};
        if (chdir(folder) != 0 || dup2(err, STDERR_FILENO) < 0)
            _exit(126);
        execv(program, argv);
    }
    cr_assert_eq(finish(pid), 2, "%s", errors);
    cr_assert(says("belongs to produce or another program"), "%s", errors);
}

Test(produce, what_is_no_json_is_met_with_the_remedy_and_what_is_packed_too)
{
    const char *fine = put_file("fine", "{}\n", 3);
    const char *packed = put_file("x.gz", "\x1f\x8b\x08\0\0\n\n", 7);
    const char *text = put_file("text", "a\nb\n", 4);
    cr_assert_eq(PRODUCE(nothing(), "t", text, "-o", url), 1);
    cr_assert(says("2 lines were refused; if they are no JSON, --format text"), "%s", errors);
    cr_assert_eq(PRODUCE(nothing(), "t", fine, packed, "--format", "text", "-o", url), 2);
    cr_assert(says("x.gz is compressed (gzip); unpack it on the way: zcat FILE |"), "%s", errors);
    int in = open(packed, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(PRODUCE(in, "t", "-o", url), 2);
    cr_assert(says("stdin is compressed (gzip)"), "%s", errors);
    (void)close(in);
    cr_assert_eq(stored().records, 0);
}

/* Until its files have grown and then stay as they are for a while. Whenever that is, the sums that
 * follow must be right. */
static void wait_full(const char *spool)
{
    static const char *const names[] = {"spool.db", "spool.db-wal"};
    int64_t limit = fm_clock_ms() + 20000, since = 0;
    off_t before = 0;
    while (since == 0 || fm_clock_ms() - since < 300) {
        cr_assert_lt(fm_clock_ms(), limit, "%s does not fill", spool);
        off_t size = 0;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            char path[160];
            struct stat st;
            snprintf(path, sizeof path, "%s/%s", spool, names[i]);
            size += stat(path, &st) == 0 ? st.st_size : 0;
        }
        if (size != before || size < 400 * 1024)
            since = 0;
        else if (since == 0)
            since = fm_clock_ms();
        before = size;
        usleep(2000);
    }
}

/* Stop it at a full spool: what it says it kept is what a later run sends, and no number is owed.
 */
static void stopped_at_a_full_spool(bool by_signal)
{
    enum { LINES = 12000 };
    char dead[80], spool[96], from[80];
    snprintf(dead, sizeof dead, "rest.url=http://127.0.0.1:%u", peer_closed_port());
    snprintf(spool, sizeof spool, "%s/q", folder);
    char *text = malloc(LINES * 210), *p = text;
    uint32_t noise = 1; /* else it is packed, and fills nothing */
    for (int i = 0; i < LINES; i++) {
        p += sprintf(p, "{\"seq\":%d,\"pad\":\"", i);
        for (int k = 0; k < 170; k++) {
            noise = noise * 1664525 + 1013904223;
            *p++ = (char)('0' + (noise >> 16) % 10);
        }
        p += sprintf(p, "\"}\n");
    }
    const char *file = put_file("much", text, (size_t)(p - text));
    free(text);
    const char *args[] = {"t",         file,
                          "--spool",   spool,
                          "-o",        dead,
                          "-o",        "spool.max_size=2MiB",
                          "-o",        "spool.reserve=1MiB",
                          "--timeout", by_signal ? "60s" : "1500ms",
                          NULL};
    pid_t pid = start(args, nothing());
    if (by_signal) {
        wait_full(spool);
        kill(pid, SIGTERM);
    }
    cr_assert_eq(finish(pid), 1);
    cr_assert(!says("declared lost"), "%s", errors);
    unsigned kept = 0, lost = 0;
    const char *at = strstr(errors, " lines are kept in the spool, ");
    cr_assert_not_null(at, "%s", errors);
    while (at > errors && at[-1] >= '0' && at[-1] <= '9')
        at--;
    cr_assert_eq(sscanf(at, "%u lines are kept in the spool, %u were read", &kept, &lost), 2, "%s",
                 errors);
    cr_assert(kept > 1000 && kept < LINES && lost > 0 && lost < 3000, "%s", errors);
    cr_assert(says("they must be given again (from "), "%s", errors);
    snprintf(from, sizeof from, "/much:%u on)", kept + 1);
    cr_assert(says(from), "no \"%s\" in: %s", from, errors);
    cr_assert_eq(PRODUCE(nothing(), "t", "--spool", spool, "-o", url), 0, "%s", errors);
    cr_assert(!says("lost"), "%s", errors);
    cr_assert_eq(stored().records, kept);
    cr_assert_eq(in_order(0), kept);
}

Test(produce, tells_at_its_time_limit_what_a_full_spool_did_not_take)
{
    stopped_at_a_full_spool(false);
}

Test(produce, tells_at_a_signal_what_a_full_spool_did_not_take)
{
    stopped_at_a_full_spool(true);
}

/* Give two lines to a proxy that fails from this request on, take the folder away, and end it. */
static void spool_removed(const char *faults, uint64_t taken)
{
    char spool[96], gone[96], failing[80];
    snprintf(spool, sizeof spool, "%s/q", folder);
    snprintf(gone, sizeof gone, "%s/gone", folder);
    static const char *const topics[] = {"t:1"};
    struct fm_sandbox_opts o = {.topics = topics, .n_topics = 1, .faults = faults};
    struct fm_sandbox *proxy = NULL;
    struct fm_sandbox_stats s = {0};
    struct fm_err err = {0};
    cr_assert_eq(fm_sandbox_start(&proxy, &o, &err), FM_OK, "%s", err.text);
    snprintf(failing, sizeof failing, "rest.url=http://127.0.0.1:%u", fm_sandbox_port(proxy));
    const char *args[] = {"t", "--spool", spool, "-o", failing, "-o", "batch.linger=0ms", NULL};
    int in[2];
    cr_assert_eq(pipe2(in, O_CLOEXEC), 0);
    pid_t pid = start(args, in[0]);
    close(in[0]);
    for (uint64_t i = 0; i <= taken; i++) {
        cr_assert_eq(write(in[1], "1\n2\n", i < taken ? 2 : 4), i < taken ? 2 : 4);
        int unread = 1;
        for (int64_t end = fm_clock_ms() + 20000; s.produced <= i || unread > 0;) {
            fm_sandbox_stats(proxy, &s);
            cr_assert_eq(ioctl(in[1], FIONREAD, &unread), 0);
            cr_assert_lt(fm_clock_ms(), end, "request %u does not come", (unsigned)i + 1);
            usleep(2000);
        }
    }
    cr_assert_eq(rename(spool, gone), 0);
    kill(pid, SIGTERM);
    cr_assert_eq(finish(pid), 1);
    close(in[1]);
    fm_sandbox_stop(proxy);
}

Test(produce, says_which_lines_are_lost_with_a_folder_that_was_removed)
{
    spool_removed("2+ status 503\n", 1);
    cr_assert(says("1 line acknowledged; the folder of --spool was removed or replaced meanwhile, "
                   "and 2 lines are lost with it: give the input again from stdin:2 on"),
              "%s", errors);
    cr_assert(!says("kept") && !says("sends what is") && !says("earlier run"), "%s", errors);
}

Test(produce, says_that_lines_of_an_earlier_run_are_lost_with_their_folder)
{
    char dead[80], spool[96];
    snprintf(dead, sizeof dead, "rest.url=http://127.0.0.1:%u", peer_closed_port());
    snprintf(spool, sizeof spool, "%s/q", folder);
    const char *file = put_file("f", "1\n", 2);
    cr_assert_eq(PRODUCE(nothing(), "t", file, "--timeout", "300ms", "--spool", spool, "-o", dead),
                 1);
    cr_assert(says("1 line is kept in the spool"), "%s", errors);
    spool_removed("1+ status 503\n", 0);
    cr_assert(says("held lines of an earlier run, which are lost with it"), "%s", errors);
    cr_assert(says("3 lines are lost with it: give the input again from stdin:1 on"), "%s", errors);
}

Test(produce, sends_as_lines_come_and_ends_on_sigint)
{
    int in[2];
    cr_assert_eq(pipe2(in, O_CLOEXEC), 0);
    const char *args[] = {"t", "-o", url, "-o", "batch.linger=0ms", NULL};
    pid_t pid = start(args, in[0]);
    close(in[0]);
    for (int i = 0; i < 3; i++) {
        int64_t end = fm_clock_ms() + 4000; /* the sender looks by itself after 5 s */
        char line[32];
        int n = snprintf(line, sizeof line, "{\"seq\":%d}\n", i);
        cr_assert_eq(write(in[1], line, (size_t)n), n);
        while (stored().records < (uint64_t)i + 1) {
            cr_assert_lt(fm_clock_ms(), end, "line %d does not arrive", i);
            usleep(2000);
        }
    }
    kill(pid, SIGINT);
    cr_assert_eq(finish(pid), 1);
    cr_assert(says("interrupted: 3 lines acknowledged, 0 read but not"), "%s", errors);
    close(in[1]);
}

Test(produce, refuses_a_line_beyond_max_bytes_wherever_it_ends)
{
    size_t len = 200000;
    char *text = malloc(len + 40);
    memset(text, 'x', len);
    memcpy(text + len, "\n{\"seq\":0}\n", 11);
    memset(text + len + 11, 'y', 20);
    const char *file = put_file("long", text, len + 31);
    cr_assert_eq(PRODUCE(nothing(), "t", file, "-o", url, "-o", "record.max_bytes=1KiB"), 1);
    cr_assert(says("/long:1: longer than 1024 bytes"), "%s", errors);
    cr_assert(says("/long:3: no valid JSON"), "%s", errors);
    cr_assert_eq(in_order(0), 1);
    free(text);
}

Test(produce, says_what_is_wrong_with_its_arguments_and_sends_nothing)
{
    cr_assert_eq(PRODUCE(nothing(), "a b", "-o", url), 2);
    cr_assert(says("a b is no name of a topic"), "%s", errors);
    cr_assert_eq(PRODUCE(nothing(), "t"), 2);
    cr_assert(says("rest.url="), "%s", errors);
    cr_assert_eq(PRODUCE(nothing(), "t", "-o", "rest.url=sandbox"), 2);
    cr_assert_eq(PRODUCE(nothing(), "t", "--format", "xml", "-o", url), 2);
    cr_assert_eq(PRODUCE(nothing(), "t", "-k", "a", "-K", ":", "-o", url), 2);
    const char *file = put_file("f", "1\n", 2);
    cr_assert_eq(PRODUCE(nothing(), "t", file, "/nowhere/at/all", "-o", url), 1);
    cr_assert(says("nothing was sent: cannot read /nowhere/at/all"), "%s", errors);
    cr_assert_eq(PRODUCE(nothing(), "t", folder, "-o", url), 1);
    cr_assert(says("is a folder"), "%s", errors);
    cr_assert_eq(stored().records, 0);
}

Test(produce, goes_on_behind_any_number_of_unfit_lines)
{
    char *text = calloc(1, 8000), *p = text;
    for (int i = 0; i < 1500; i++, p += 4)
        memcpy(p, i % 100 == 50 ? "{}\n\n" : "x\ny\n", 4);
    const char *file = put_file("mixed", text, 6000);
    free(text);
    cr_assert_eq(PRODUCE(nothing(), "t", file, "-o", url), 1);
    cr_assert(says("only counted"), "%s", errors);
    cr_assert_eq(stored().records, 15, "%s", errors);
}

Test(produce, stops_when_no_line_is_fit)
{
    char *text = calloc(1, 4000), *p = text;
    for (int i = 0; i < 1500; i++, p += 2)
        memcpy(p, "x\n", 2);
    const char *file = put_file("junk", text, 3000);
    free(text);
    cr_assert_eq(PRODUCE(nothing(), "t", file, "-o", url), 2);
    cr_assert(says("/junk:1000: "), "%s", errors);
    cr_assert(!says("/junk:1001: "), "%s", errors);
    cr_assert_eq(stored().records, 0);
}

Test(produce, speaks_v3_to_the_sandbox)
{
    static const char text[] = "h1|{\"seq\":0}\nh2|{\"seq\":1}\nh1|{\"seq\":2}\n";
    char v3[100];
    snprintf(v3, sizeof v3, "%s/v3", url);
    const char *file = put_file("f", text, sizeof text - 1);
    cr_assert_eq(PRODUCE(nothing(), "t", file, "-K", "|", "-o", v3, "-o", "rest.api=v3"), 0, "%s",
                 errors);
    cr_assert_eq(in_order(0), 3);
    cr_assert_eq(stored().bytes, 3 * (2 + 9)); /* bare keys, values as written */
    cr_assert_eq(PRODUCE(nothing(), "t", file, "--format", "text", "-o", v3, "-o", "rest.api=v3"),
                 0, "%s", errors);
    cr_assert_eq(stored().records, 6);
    char fill[700];
    memset(fill, 'x', sizeof fill);
    fill[0] = fill[sizeof fill - 1] = '"';
    file = put_file("big", fill, sizeof fill);
    cr_assert_eq(PRODUCE(nothing(), "small", file, "-o", v3, "-o", "rest.api=v3"), 1);
    cr_assert(says("/big:1: refused: "), "%s", errors);
}
