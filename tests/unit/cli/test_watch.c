/* `watch`: the program itself behind a terminal, before a scripted Jolokia agent. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "jolokia_fake.h"
#include "tty.h"

enum { LIMIT_MS = 20000 };

static char program[4096];
static char target[64];
static struct tty tty;

static void start_agent(void)
{
    static const char *const names[] = {"evil:type=Values", NULL}; /* must outlive this */
    const char *build = getenv("B");
    char cwd[2048];
    cr_assert_not_null(getcwd(cwd, sizeof cwd));
    (void)snprintf(program, sizeof program, "%s/%s/firstmile", cwd,
                   build != NULL ? build : "build/asan");
    jolokia_start(names);
    (void)snprintf(target, sizeof target, "http://127.0.0.1:%u", (unsigned)jolokia_port());
}

static void stop_agent(void)
{
    tty_close(&tty);
    jolokia_stop();
}

TestSuite(watch, .init = start_agent, .fini = stop_agent, .timeout = 60);

static void watch_in(unsigned rows, unsigned cols, const char *const *env)
{
    const char *const argv[] = {program, "watch", target, "evil:type=Values", "-i", "200ms", NULL};
    tty_start(&tty, rows, cols, argv, env);
}

static void watch(unsigned rows, unsigned cols)
{
    watch_in(rows, cols, NULL);
    cr_assert(tty_shows(&tty, "q quit", LIMIT_MS), "%s", tty_text(&tty));
    cr_assert(tty_shows(&tty, "evil Values Count", LIMIT_MS), "%s", tty_text(&tty));
}

static void expect_end(int code)
{
    cr_expect_eq(tty_end(&tty, LIMIT_MS), code, "%d\n%s", tty_end(&tty, 0), tty_text(&tty));
    cr_expect(tty_restored(&tty));
    cr_expect_eq(tty.strange, 0);
}

Test(watch, shows_values_rates_and_trends_and_leaves_with_q)
{
    watch(24, 100);
    cr_expect(tty.alternate && tty.hidden);
    cr_expect(tty_shows(&tty, "up, ", LIMIT_MS), "%s", tty_text(&tty));
    cr_expect(tty_shows(&tty, "RATE/S", LIMIT_MS));
    cr_expect(tty_shows(&tty, "\xe2\x96", LIMIT_MS), "no trend:\n%s", tty_text(&tty));
    cr_expect(tty_shows(&tty, "7@fake", LIMIT_MS), "%s", tty_text(&tty));
    cr_expect_eq(strncmp(tty_row(&tty, 0), target, strlen(target)), 0, "%s", tty_row(&tty, 0));
    int64_t before = fm_clock_ms();
    tty_send(&tty, "q");
    expect_end(0);
    cr_expect_lt(fm_clock_ms() - before, 2000);
}

Test(watch, keeps_the_escapes_of_a_hostile_jvm_from_the_terminal)
{
    watch(24, 100);
    cr_expect(tty_shows(&tty, "\xe4\xb8\xad\xe6\x96\x87\xe5\xad\x97", LIMIT_MS), "%s",
              tty_text(&tty));
    cr_expect(tty_shows(&tty, "\xef\xbf\xbd", LIMIT_MS) || tty_shows(&tty, "\\u001b]0;evil", 1000),
              "%s", tty_text(&tty));
    cr_expect_eq(tty.strange, 0);
    tty_send(&tty, "q");
    expect_end(0);
}

/* Look at the terminal while the agent is polled so many times. */
static void frames(int n)
{
    int seen = jolokia.polls;
    int64_t end = fm_clock_ms() + LIMIT_MS;
    while (jolokia.polls < seen + n && fm_clock_ms() < end)
        (void)tty_shows(&tty, "never shown", 20);
}

Test(watch, follows_the_size_of_the_terminal_down_to_nearly_nothing)
{
    static const unsigned sizes[][2] = {{40, 160}, {10, 30}, {5, 12}, {2, 5}, {1, 1}, {24, 80}};
    watch(24, 100);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        tty_resize(&tty, sizes[i][0], sizes[i][1]);
        frames(2);
        tty.strange = 0; /* a frame of the old size was under way */
        frames(2);
        cr_expect_eq(tty.strange, 0, "%ux%u:\n%s", sizes[i][0], sizes[i][1], tty_text(&tty));
    }
    cr_expect(tty_shows(&tty, "arrows scroll", LIMIT_MS), "%s", tty_text(&tty));
    tty_send(&tty, "q");
    expect_end(0);
}

Test(watch, ends_at_once_by_ctrl_c_and_signals)
{
    /* SIGABRT as one fault of several; SIGSEGV belongs to the sanitizer here. */
    static const int signals[] = {0, SIGTERM, SIGHUP, SIGQUIT, SIGABRT, SIGILL};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        watch(24, 100);
        int64_t before = fm_clock_ms();
        if (signals[i] == 0)
            tty_send(&tty, "\003");
        else
            cr_assert_eq(kill(tty.pid, signals[i]), 0);
        expect_end(-signals[i]); /* Ctrl-C: 0, as after q */
        cr_expect_lt(fm_clock_ms() - before, 2000);
        if (i + 1 < sizeof signals / sizeof signals[0])
            tty_close(&tty);
    }
}

Test(watch, ctrl_c_does_not_wait_for_a_jvm_that_hangs)
{
    watch(24, 100);
    jolokia.down = 2; /* connections are taken, nothing is answered */
    int64_t before = fm_clock_ms();
    tty_send(&tty, "\003");
    expect_end(0);
    cr_expect_lt(fm_clock_ms() - before, 2000);
}

Test(watch, stops_and_goes_on_like_any_job)
{
    int status = 0;
    watch(24, 100);
    cr_assert_eq(kill(tty.pid, SIGTSTP), 0);
    int64_t end = fm_clock_ms() + LIMIT_MS;
    /* Its process group is an orphan here: the kernel does not stop it for SIGTSTP. */
    while (waitpid(tty.pid, &status, WUNTRACED | WNOHANG) == 0 && fm_clock_ms() < end &&
           tty.alternate)
        (void)tty_shows(&tty, "never shown", 50);
    cr_assert_eq(kill(tty.pid, SIGSTOP), 0);
    end = fm_clock_ms() + LIMIT_MS;
    while (waitpid(tty.pid, &status, WUNTRACED | WNOHANG) == 0 && fm_clock_ms() < end)
        (void)tty_shows(&tty, "never shown", 20);
    tty.alternate = false; /* as a shell would leave it */
    cr_assert_eq(tcsetattr(tty.slave, TCSANOW, &tty.before), 0);
    cr_assert_eq(kill(tty.pid, SIGCONT), 0);
    end = fm_clock_ms() + LIMIT_MS;
    while (!tty.alternate && fm_clock_ms() < end)
        (void)tty_shows(&tty, "never shown", 50);
    cr_expect(tty.alternate, "it takes the screen again");
    tty_send(&tty, "q");
    expect_end(0);
}

Test(watch, says_that_the_jvm_is_lost_and_finds_it_again)
{
    watch(24, 140);
    jolokia.down = 1;
    cr_assert(tty_shows(&tty, "lost", LIMIT_MS), "%s", tty_text(&tty));
    cr_expect(tty_shows(&tty, "trying again", LIMIT_MS), "%s", tty_text(&tty));
    cr_expect(tty_shows(&tty, "evil Values Count", LIMIT_MS), "the last values stay");
    jolokia.down = 0;
    jolokia.restarts++;
    cr_assert(tty_hides(&tty, "lost", LIMIT_MS), "%s", tty_text(&tty));
    cr_expect(tty_shows(&tty, "up, ", LIMIT_MS), "%s", tty_text(&tty));
    tty_send(&tty, "q");
    expect_end(0);
}

Test(watch, pauses)
{
    watch(24, 100);
    tty_send(&tty, "p");
    cr_assert(tty_shows(&tty, "paused", LIMIT_MS), "%s", tty_text(&tty));
    char before[200];
    (void)snprintf(before, sizeof before, "%s", tty_row(&tty, 2));
    frames(3);
    cr_expect_str_eq(tty_row(&tty, 2), before);
    tty_send(&tty, "p");
    cr_expect(tty_hides(&tty, "paused", LIMIT_MS));
    cr_expect(tty_hides(&tty, before, LIMIT_MS), "%s", tty_text(&tty));
    tty_send(&tty, "q");
    expect_end(0);
}

Test(watch, keeps_to_ascii_where_the_locale_does)
{
    static const char *const env[] = {"LC_ALL=C", NULL};
    watch_in(24, 100, env);
    cr_assert(tty_shows(&tty, "evil Values Wide", LIMIT_MS), "%s", tty_text(&tty));
    cr_expect(tty_shows(&tty, "??????", LIMIT_MS), "%s", tty_text(&tty));
    for (unsigned i = 0; i < 24; i++)
        for (unsigned k = 0; k < 100; k++)
            cr_assert_lt(tty.cells[i][k], 0x7f);
    tty_send(&tty, "q");
    expect_end(0);
}

Test(watch, prints_lines_on_a_terminal_that_can_do_no_more)
{
    static const char *const env[] = {"TERM=dumb", NULL};
    const char *const argv[] = {program, "watch", target, "evil:type=Values", "Count", "-n", "2",
                                "-i",    "100ms", NULL};
    tty_start(&tty, 24, 100, argv, env);
    expect_end(0);
    cr_expect(!tty.alternate);
    cr_expect_not_null(strstr(tty_text(&tty), "evil:type=Values Count"), "%s", tty_text(&tty));
}

Test(watch, fails_at_once_when_nothing_is_there)
{
    const char *const argv[] = {program, "watch", "127.0.0.1:1", NULL};
    tty_start(&tty, 24, 100, argv, NULL);
    expect_end(1);
    cr_expect_not_null(strstr(tty_text(&tty), "127.0.0.1:1"), "%s", tty_text(&tty));
}

/* ---- without a terminal ---- */

static int run_args(char *out, size_t size, const char *const *argv)
{
    int fds[2], status = 0;
    size_t used = 0;
    cr_assert_eq(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char *words[24] = {NULL};
        for (size_t i = 0; argv[i] != NULL && i < 23; i++)
            words[i] = strdup(argv[i]);
        (void)dup2(fds[1], STDOUT_FILENO);
        (void)dup2(fds[1], STDERR_FILENO);
        (void)close(fds[0]);
        (void)execv(program, words);
        _exit(127);
    }
    (void)close(fds[1]);
    for (ssize_t n; (n = read(fds[0], out + used, size - 1 - used)) > 0;)
        used += (size_t)n;
    out[used] = '\0';
    (void)close(fds[0]);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    tty.ended = true;
    tty.master = tty.slave = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int run_plain(char *out, size_t size, const char *const *more)
{
    const char *argv[24] = {program, "watch", target, "evil:type=Values", "-i", "100ms"};
    for (size_t i = 0; more[i] != NULL; i++)
        argv[6 + i] = more[i];
    return run_args(out, size, argv);
}

Test(watch, prints_a_line_for_each_value_and_poll_elsewhere)
{
    static char out[64 * 1024];
    cr_expect_eq(run_plain(out, sizeof out, (const char *const[]){"-n", "3", NULL}), 0, "%s", out);
    unsigned lines = 0, rates = 0;
    for (char *save = NULL, *line = strtok_r(out, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        char *cells[4] = {line, NULL, NULL, NULL};
        for (size_t i = 1; i < 4; i++) {
            cr_assert_not_null(cells[i - 1]);
            cells[i] = strchr(cells[i - 1], '\t');
            cr_assert_not_null(cells[i], "%s", line);
            *cells[i]++ = '\0';
        }
        lines++;
        cr_expect_eq(strlen(cells[0]), 24, "%s", cells[0]);
        cr_expect_eq(strncmp(cells[1], "evil:type=Values ", 17), 0, "%s", cells[1]);
        rates += strcmp(cells[1] + 17, "Count") == 0 && strtod(cells[3], NULL) > 0;
    }
    cr_expect_eq(lines, 9, "%u", lines);
    cr_expect_eq(rates, 2, "%u", rates);
}

Test(watch, prints_an_object_for_each_value_with_json)
{
    static char out[64 * 1024];
    cr_expect_eq(run_plain(out, sizeof out, (const char *const[]){"-n", "2", "--json", NULL}), 0);
    unsigned lines = 0;
    for (char *save = NULL, *line = strtok_r(out, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        json_t *json = json_loads(line, 0, NULL);
        cr_assert_not_null(json, "%s", line);
        cr_expect_str_eq(json_string_value(json_object_get(json, "bean")), "evil:type=Values");
        cr_expect_str_eq(json_string_value(json_object_get(json, "target")), target);
        cr_expect_not_null(json_object_get(json, "value"));
        cr_expect_not_null(json_object_get(json, "rate"));
        json_decref(json);
        lines++;
    }
    cr_expect_eq(lines, 6);
}

Test(watch, options_that_make_no_sense_are_refused)
{
    static char out[4096];
    cr_expect_eq(run_plain(out, sizeof out, (const char *const[]){"--preset", "jvm", NULL}), 2);
    cr_expect_not_null(strstr(out, "not both"), "%s", out);
    cr_expect_eq(run_plain(out, sizeof out, (const char *const[]){"-i", "1ms", NULL}), 2);
    cr_expect_not_null(strstr(out, "100 ms"), "%s", out);
}

static int run_words(char *out, size_t size, const char *bean, const char *attribute,
                     const char *more)
{
    const char *const args[] = {program, "watch", target, bean, attribute, "-n", "1", more, NULL};
    return run_args(out, size, args);
}

Test(watch, names_what_was_probably_meant)
{
    static char out[64 * 1024];
    cr_expect_eq(run_words(out, sizeof out, "evil:type=Values", "Cuont", NULL), 1);
    cr_expect_not_null(strstr(out, "evil:type=Values has no attribute Cuont; did you mean Count?"),
                       "%s", out);
    cr_expect_eq(run_words(out, sizeof out, "evil:type=Values", "Count/x", NULL), 1);
    cr_expect_not_null(strstr(out, "Count has nothing at x; \"firstmile get\" shows"), "%s", out);
    cr_expect_eq(run_words(out, sizeof out, "evil:type=Value", "Count", NULL), 1);
    cr_expect_not_null(
        strstr(out, "no MBean matches evil:type=Value; did you mean evil:type=Values?"), "%s", out);
    cr_expect_eq(run_words(out, sizeof out, "evil:type=Values", "Count", "Evli"), 0, "%s", out);
    cr_expect_not_null(strstr(out, "has no attribute Evli; did you mean Evil?"), "%s", out);
    cr_expect_not_null(strstr(out, "Count\t"), "the others are shown: %s", out);
    cr_expect_eq(run_words(out, sizeof out, "evil:type=Values", "Quite", "Other"), 1);
    cr_expect_not_null(strstr(out, "has no attribute Quite; \"firstmile beans"), "%s", out);
}

Test(watch, says_on_the_screen_what_is_not_there)
{
    const char *const argv[] = {program, "watch", target, "evil:type=Values", "Count", "Evli",
                                "-i",    "200ms", NULL};
    tty_start(&tty, 24, 160, argv, NULL);
    cr_assert(tty_shows(&tty, "did you mean Evil?", LIMIT_MS), "%s", tty_text(&tty));
    tty_send(&tty, "q");
    expect_end(0);
}
