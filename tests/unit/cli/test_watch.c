/* `watch`: its series and frames, and the program itself behind a terminal, before a scripted
 * Jolokia agent. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "cli/screen.h"
#include "jolokia_fake.h"
#include "tty.h"

enum { LIMIT_MS = 20000, SECOND = 1000000000 };

/* ---- series ---- */

static struct fm_arena arena;
static struct fm_series_set set;

static void set_up(void)
{
    fm_arena_init(&arena, 0);
    set = (struct fm_series_set){0};
}

static void tear_down(void)
{
    fm_series_clear(&set);
    fm_arena_clear(&arena);
}

TestSuite(series, .init = set_up, .fini = tear_down, .timeout = 20);
TestSuite(screen, .init = set_up, .fini = tear_down, .timeout = 20);

static struct fm_value number(int64_t i)
{
    return (struct fm_value){.kind = FM_V_INT, .i = i};
}

static struct fm_value real(double d)
{
    return (struct fm_value){.kind = FM_V_DOUBLE, .d = d};
}

static struct fm_value text(const char *s)
{
    return (struct fm_value){.kind = FM_V_STRING, .text = {s, strlen(s)}};
}

/* A sample of one bean: NAME VALUE pairs. */
static void take_from(const char *target, const char *bean, int64_t seconds, size_t n,
                      const char *const *names, const struct fm_value *values)
{
    struct fm_name name;
    struct fm_err err = {0};
    cr_assert_eq(fm_name_parse(&name, &arena, bean, &err), FM_OK, "%s", err.text);
    struct fm_member members[8];
    for (size_t i = 0; i < n; i++)
        members[i] = (struct fm_member){{names[i], strlen(names[i])}, values[i]};
    struct fm_value object = {.kind = FM_V_OBJECT};
    object.object.members = members;
    object.object.n = n;
    const struct fm_sample_bean beans[] = {{&name, &object, NULL}};
    const struct fm_sample sample = {.target = target, .host = "h", .beans = beans, .n = 1};
    fm_series_take(&set, &sample, (seconds + 1) * SECOND);
}

static void take(int64_t seconds, const char *attribute, struct fm_value v)
{
    take_from("t", "d:type=T", seconds, 1, &attribute, &v);
}

Test(series, rates_are_for_numbers_that_only_rise)
{
    take(0, "A", number(100));
    cr_expect(!set.items[0]->has_rate);
    take(1, "A", number(100));
    cr_expect(!set.items[0]->has_rate, "what stands still has none");
    take(3, "A", number(150));
    cr_expect(set.items[0]->has_rate);
    cr_expect_float_eq(set.items[0]->rate, 25, 1e-9);
    take(4, "A", number(150));
    cr_expect(set.items[0]->has_rate, "a counter may rest");
    cr_expect_float_eq(set.items[0]->rate, 0, 1e-9);
    take(5, "A", number(149));
    cr_expect(!set.items[0]->has_rate, "it fell: no counter");
    take(6, "A", number(200));
    cr_expect(!set.items[0]->has_rate, "and never again one");
    cr_expect_eq(set.n, 1);
}

Test(series, rates_of_the_largest_numbers_are_exact)
{
    take(0, "A", number(INT64_MAX - 3));
    take(1, "A", number(INT64_MAX));
    cr_expect_float_eq(set.items[0]->rate, 3, 1e-9);
    take(0, "B", number(INT64_MIN));
    take(1, "B", number(INT64_MAX));
    for (size_t i = 0; i < set.n; i++)
        cr_expect(set.items[i]->rate >= 0);
}

Test(series, shares_are_no_counters)
{
    take(0, "Load", real(0.25));
    take(1, "Load", real(0.5));
    cr_expect(!set.items[0]->has_rate);
    take(0, "Total", real(10));
    take(1, "Total", real(12.5));
    cr_expect(set.items[1]->has_rate || set.items[0]->has_rate);
}

Test(series, another_jvm_begins_anew)
{
    double points[FM_SERIES_HISTORY];
    take(0, "A", number(100));
    take(1, "A", number(200));
    cr_expect(set.items[0]->has_rate);
    fm_series_restart(&set, "other");
    take(2, "A", number(300));
    cr_expect(set.items[0]->has_rate);
    fm_series_restart(&set, "t");
    take(3, "A", number(1));
    cr_expect(!set.items[0]->has_rate);
    cr_expect(!set.items[0]->fell, "it did not fall, it is another");
    cr_expect_eq(fm_series_points(set.items[0], points, FM_SERIES_HISTORY), 1);
    take(4, "A", number(5));
    cr_expect_float_eq(set.items[0]->rate, 4, 1e-9);
}

Test(series, composites_are_taken_apart_with_paths_as_get_takes_them)
{
    struct fm_member inner[] = {{{"used", 4}, number(1)}, {{"a/b\\c", 5}, number(2)}};
    struct fm_value object = {.kind = FM_V_OBJECT};
    object.object.members = inner;
    object.object.n = 2;
    take(0, "Heap", object);
    cr_assert_eq(set.n, 2);
    cr_expect_str_eq(set.items[0]->path, "Heap/used");
    cr_expect_str_eq(set.items[1]->path, "Heap/a\\/b\\\\c");
    struct fm_value empty = {.kind = FM_V_OBJECT};
    take(1, "Empty", empty);
    cr_assert_eq(set.n, 3);
    cr_expect_str_eq(fm_buf_str(&set.items[0]->text), "{}", "what is new comes where it was read");
}

Test(series, deep_values_are_shown_as_json_and_end)
{
    struct fm_member chain[40];
    struct fm_value v = number(7);
    for (size_t i = 0; i < 40; i++) {
        chain[i] = (struct fm_member){{"x", 1}, v};
        v = (struct fm_value){.kind = FM_V_OBJECT};
        v.object.members = &chain[i];
        v.object.n = 1;
    }
    take(0, "Deep", v);
    cr_assert_eq(set.n, 1);
    cr_expect_eq(fm_buf_str(&set.items[0]->text)[0], '{');
    cr_expect(!set.items[0]->is_number);
}

Test(series, what_is_gone_is_forgotten_after_a_while)
{
    take(0, "A", number(1));
    for (int i = 1; i <= 2; i++) {
        take(i, "B", number(1));
        cr_expect_eq(set.n, 2);
    }
    take(3, "B", number(1));
    cr_assert_eq(set.n, 1);
    cr_expect_str_eq(set.items[0]->path, "B");
}

Test(series, targets_do_not_mix)
{
    const char *name = "A";
    struct fm_value one = number(1), two = number(2);
    take_from("x", "d:type=T", 0, 1, &name, &one);
    take_from("y", "d:type=T", 0, 1, &name, &two);
    take_from("x", "d:type=T", 1, 1, &name, &two);
    cr_assert_eq(set.n, 2);
    cr_expect(set.items[0]->has_rate != set.items[1]->has_rate);
}

Test(series, more_than_the_limit_is_counted_and_not_kept)
{
    char bean[64];
    const char *names[] = {"A"};
    struct fm_value one = number(1);
    struct fm_name *parsed = calloc(FM_SERIES_MAX + 5, sizeof *parsed);
    struct fm_sample_bean *beans = calloc(FM_SERIES_MAX + 5, sizeof *beans);
    struct fm_member member = {{names[0], 1}, one};
    struct fm_value object = {.kind = FM_V_OBJECT};
    struct fm_err err = {0};
    object.object.members = &member;
    object.object.n = 1;
    for (size_t i = 0; i < FM_SERIES_MAX + 5; i++) {
        (void)snprintf(bean, sizeof bean, "d:type=T,n=%zu", i);
        cr_assert_eq(fm_name_parse(&parsed[i], &arena, bean, &err), FM_OK);
        beans[i] = (struct fm_sample_bean){&parsed[i], &object, NULL};
    }
    const struct fm_sample sample = {.target = "t", .beans = beans, .n = FM_SERIES_MAX + 5};
    fm_series_take(&set, &sample, SECOND);
    cr_expect_eq(set.n, FM_SERIES_MAX);
    cr_expect_eq(set.left_out, 5);
    free(beans);
    free(parsed);
}

/* ---- frames ---- */

static void expect_number(int64_t i, const char *exact, const char *brief)
{
    char out[48];
    struct fm_series s = {.is_number = true, .whole = true, .integer = i, .number = (double)i};
    fm_screen_number(out, sizeof out, &s, false);
    cr_expect_str_eq(out, exact);
    fm_screen_number(out, sizeof out, &s, true);
    cr_expect_str_eq(out, brief);
}

Test(screen, numbers_are_grouped_or_short)
{
    expect_number(0, "0", "0");
    expect_number(999, "999", "999");
    expect_number(-1000, "-1,000", "-1k");
    expect_number(-100, "-100", "-100");
    expect_number(1234567, "1,234,567", "1.23M");
    expect_number(999999, "999,999", "1M");
    expect_number(INT64_MAX, "9,223,372,036,854,775,807", "9.22E");
    expect_number(INT64_MIN, "-9,223,372,036,854,775,808", "-9.22E");
    char out[48];
    struct fm_series s = {.is_number = true, .number = 1234.5};
    fm_screen_number(out, sizeof out, &s, false);
    cr_expect_str_eq(out, "1,234.5");
    s.number = 1e300;
    fm_screen_number(out, sizeof out, &s, false);
    cr_expect_str_eq(out, "1e+300");
    s.number = -1.7976931348623157e308;
    fm_screen_number(out, sizeof out, &s, true);
    cr_expect_lt(strlen(out), 48);
    fm_screen_rate(out, sizeof out, 12345.6, false);
    cr_expect_str_eq(out, "12,346");
}

Test(screen, trends_span_their_range)
{
    static const double rising[] = {0, 1, 2, 3, 4, 5, 6, 7};
    static const double flat[] = {5, 5, 5};
    static const double huge[] = {-1.7e308, 1.7e308};
    struct fm_buf out;
    fm_buf_init(&out, 0);
    fm_screen_spark(&out, rising, 8, true, false);
    cr_expect_str_eq(fm_buf_str(&out), "▁▂▃▄▅▆▇█");
    fm_buf_reset(&out);
    fm_screen_spark(&out, rising, 8, true, true);
    cr_expect_str_eq(fm_buf_str(&out), "_.,-=+*#");
    fm_buf_reset(&out);
    fm_screen_spark(&out, flat, 3, false, false);
    cr_expect_str_eq(fm_buf_str(&out), "▁▁▁");
    fm_buf_reset(&out);
    fm_screen_spark(&out, huge, 2, false, false);
    cr_expect_str_eq(fm_buf_str(&out), "▁█");
    fm_buf_reset(&out);
    fm_screen_spark(&out, NULL, 0, false, false);
    cr_expect_str_eq(fm_buf_str(&out), "");
    fm_buf_clear(&out);
}

/* Every sequence of a frame is one of ours, whatever the JVM says and however small the screen. */
Test(screen, nothing_foreign_reaches_the_terminal_at_any_size)
{
    static const char evil[] = "\033[2J\033]0;title\007\x9b"
                               "31m\r\n\xc2\x9b"
                               "5A\xff\xfe \xe4\xb8\xad\xe6\x96\x87 \xf0\x9f\x98\x80";
    const char *names[] = {"Evil\033[1m", "N", "Wide"};
    struct fm_value values[] = {text(evil), number(-123456789), text("\xe4\xb8\xad\xe6\x96\x87")};
    for (int i = 0; i < 3; i++)
        take_from("evil\033[3m", "d:type=T,name=\033[7mX\xe4\xb8\xad", i, 3, names, values);
    struct fm_screen screen = {.title = "t\033c", .several = true};
    (void)snprintf(screen.status, sizeof screen.status, "lost: \033]52;c;aGk=\007");
    for (unsigned rows = 1; rows < 8; rows++)
        for (unsigned cols = 1; cols < 120; cols += cols < 40 ? 1 : 13)
            for (int variant = 0; variant < 4; variant++) {
                struct fm_buf out;
                fm_buf_init(&out, 0);
                screen.rows = rows;
                screen.cols = cols;
                screen.ascii = (variant & 1) != 0;
                screen.several = (variant & 2) != 0;
                fm_screen_draw(&screen, &set, &out);
                for (size_t k = 0; k < out.len; k++) {
                    unsigned char c = (unsigned char)out.data[k];
                    cr_assert(c >= 0x20 || c == 033, "%ux%u: control %d", rows, cols, c);
                    cr_assert(!screen.ascii || c < 0x7f, "%ux%u: not ASCII", rows, cols);
                    if (c != 033)
                        continue;
                    cr_assert_eq(out.data[++k], '[');
                    while (++k < out.len && strchr("0123456789;", out.data[k]) != NULL)
                        ;
                    cr_assert_not_null(strchr("HGKm", out.data[k]), "%c", out.data[k]);
                }
                cr_expect(fm_utf8_valid(out.data, out.len));
                fm_buf_clear(&out);
            }
}

Test(screen, keys_sort_filter_and_scroll)
{
    struct fm_screen screen = {.title = "t", .rows = 6, .cols = 80};
    const char *names[] = {"B", "A", "C", "D", "E"};
    struct fm_value values[] = {number(1), number(5), number(3), number(2), number(9)};
    struct fm_buf out;
    fm_buf_init(&out, 0);
    take_from("t", "d:type=T", 0, 5, names, values);
    fm_screen_draw(&screen, &set, &out);
    cr_expect_eq(screen.shown, 5);
    cr_expect_eq(screen.lines, 3);
    cr_expect_not_null(strstr(fm_buf_str(&out), "1-3 of 5"));
    cr_expect(fm_screen_keys(&screen, "G", 1));
    fm_screen_draw(&screen, &set, &out);
    cr_expect_eq(screen.top, 2);
    (void)fm_screen_keys(&screen, "\033[A\033[A\033[A\033[A", 12);
    cr_expect_eq(screen.top, 0);
    (void)fm_screen_keys(&screen, "\033[6~", 4);
    cr_expect_eq(screen.top, 2);
    (void)fm_screen_keys(&screen, "/ T c\x7f\x7f\x7f\x7f\x7f\x7f\x7f", 11);
    cr_expect_str_eq(screen.filter, "");
    (void)fm_screen_keys(&screen, "T eq\x7f\r", 6);
    cr_expect(!screen.typing);
    fm_buf_reset(&out);
    fm_screen_draw(&screen, &set, &out);
    cr_expect_eq(screen.shown, 1);
    cr_expect_not_null(strstr(fm_buf_str(&out), "d T E"));
    (void)fm_screen_keys(&screen, "\033", 1);
    cr_expect_str_eq(screen.filter, "");
    (void)fm_screen_keys(&screen, "ss", 2);
    fm_buf_reset(&out);
    fm_screen_draw(&screen, &set, &out);
    const char *e = strstr(fm_buf_str(&out), "d T E"), *a = strstr(fm_buf_str(&out), "d T A");
    cr_expect(e != NULL && a != NULL && e < a, "the largest value first");
    (void)fm_screen_keys(&screen, "\033[99;5~\033OPp", 11);
    cr_expect(screen.paused, "keys that mean nothing are passed over");
    cr_expect(!screen.quit);
    (void)fm_screen_keys(&screen, "q", 1);
    cr_expect(screen.quit);
    fm_buf_clear(&out);
}

Test(screen, a_filter_never_outgrows_its_room)
{
    struct fm_screen screen = {.rows = 5, .cols = 20, .title = "t"};
    (void)fm_screen_keys(&screen, "/", 1);
    for (int i = 0; i < 200; i++)
        (void)fm_screen_keys(&screen, "\xc3\xa9", 2);
    cr_expect_lt(strlen(screen.filter), sizeof screen.filter);
    for (int i = 0; i < 200; i++)
        (void)fm_screen_keys(&screen, "\x7f", 1);
    cr_expect_str_eq(screen.filter, "");
}

/* ---- the program ---- */

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

static int run_plain(char *out, size_t size, const char *const *more)
{
    const char *argv[24] = {program, "watch", target, "evil:type=Values", "-i", "100ms"};
    int fds[2], status = 0;
    size_t used = 0;
    for (size_t i = 0; more[i] != NULL; i++)
        argv[6 + i] = more[i];
    cr_assert_eq(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char *words[24] = {NULL};
        for (size_t i = 0; i < 23 && argv[i] != NULL; i++)
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
