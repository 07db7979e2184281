/* What `watch` remembers and shows: series and frames. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "cli/screen.h"

enum { SECOND = 1000000000 };

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

Test(series, rates_are_for_what_counts_and_never_falls)
{
    take(0, "Count", number(100));
    cr_expect(!set.items[0]->has_rate);
    take(1, "Count", number(100));
    cr_expect(set.items[0]->has_rate, "a counter that stands still");
    cr_expect_float_eq(set.items[0]->rate, 0, 1e-9);
    take(3, "Count", number(150));
    cr_expect(set.items[0]->has_rate);
    cr_expect_float_eq(set.items[0]->rate, 25, 1e-9);
    take(4, "Count", number(150));
    cr_expect(set.items[0]->has_rate, "a counter may rest");
    cr_expect_float_eq(set.items[0]->rate, 0, 1e-9);
    take(5, "Count", number(149));
    cr_expect(!set.items[0]->has_rate, "it fell: no counter");
    take(6, "Count", number(200));
    cr_expect(!set.items[0]->has_rate, "and never again one");
    cr_expect_eq(set.n, 1);
}

Test(series, rates_of_the_largest_numbers_are_exact)
{
    take(0, "Count", number(INT64_MAX - 3));
    take(1, "Count", number(INT64_MAX));
    cr_expect_float_eq(set.items[0]->rate, 3, 1e-9);
    take(0, "Total", number(INT64_MIN));
    take(1, "Total", number(INT64_MAX));
    for (size_t i = 0; i < set.n; i++)
        cr_expect(set.items[i]->rate >= 0);
}

Test(series, shares_are_no_counters)
{
    take(0, "Hits", real(0.25));
    take(1, "Hits", real(0.5));
    cr_expect(!set.items[0]->has_rate);
    take(0, "SumTotal", real(10));
    take(1, "SumTotal", real(12.5));
    cr_expect(set.items[1]->has_rate || set.items[0]->has_rate);
}

Test(series, another_jvm_begins_anew)
{
    double points[FM_SERIES_HISTORY];
    take(0, "Count", number(100));
    take(1, "Count", number(200));
    cr_expect(set.items[0]->has_rate);
    fm_series_restart(&set, "other");
    take(2, "Count", number(300));
    cr_expect(set.items[0]->has_rate);
    fm_series_restart(&set, "t");
    take(3, "Count", number(1));
    cr_expect(!set.items[0]->has_rate);
    cr_expect(!set.items[0]->fell, "it did not fall, it is another");
    cr_expect_eq(fm_series_points(set.items[0], points, FM_SERIES_HISTORY), 1);
    take(4, "Count", number(5));
    cr_expect_float_eq(set.items[0]->rate, 4, 1e-9);
}

static void expect_kind(bool counts, const char *domain, const char *const *paths)
{
    for (size_t i = 0; paths[i] != NULL; i++)
        cr_expect_eq(fm_series_counts(domain, paths[i]), counts, "%s", paths[i]);
}

/* As they are called in a JDK, Tomcat, Kafka, ActiveMQ, Cassandra and HikariCP. */
Test(series, names_tell_what_counts)
{
    static const char *const counters[] = {"CollectionCount",
                                           "CollectionTime",
                                           "TotalStartedThreadCount",
                                           "TotalLoadedClassCount",
                                           "UnloadedClassCount",
                                           "ProcessCpuTime",
                                           "Uptime",
                                           "TotalCompilationTime",
                                           "Count",
                                           "requestCount",
                                           "errorCount",
                                           "bytesSent",
                                           "bytesReceived",
                                           "processingTime",
                                           "sessionCounter",
                                           "rejectedSessions",
                                           "records-consumed-total",
                                           "request_total",
                                           "EnqueueCount",
                                           "TotalMessageCount",
                                           "CompletedTasks",
                                           "Stats/hits",
                                           "Requests/web-1",
                                           "DroppedMessages",
                                           NULL};
    static const char *const others[] = {"HeapMemoryUsage/used",
                                         "HeapMemoryUsage/committed",
                                         "NonHeapMemoryUsage/max",
                                         "ThreadCount",
                                         "DaemonThreadCount",
                                         "PeakThreadCount",
                                         "LoadedClassCount",
                                         "OpenFileDescriptorCount",
                                         "ProcessCpuLoad",
                                         "SystemLoadAverage",
                                         "FreePhysicalMemorySize",
                                         "TotalPhysicalMemorySize",
                                         "CommittedVirtualMemorySize",
                                         "StartTime",
                                         "currentThreadsBusy",
                                         "activeSessions",
                                         "maxTime",
                                         "connectionCount",
                                         "QueueSize",
                                         "ConsumerCount",
                                         "OneMinuteRate",
                                         "Mean",
                                         "99thPercentile",
                                         "PartitionCount",
                                         "UnderReplicatedPartitions",
                                         "TotalConnections",
                                         "ThreadsAwaitingConnection",
                                         "PendingTasks",
                                         "request-latency-avg",
                                         "records-lag-max",
                                         "Value",
                                         "Foo",
                                         "",
                                         "LastGcInfo/duration",
                                         "x/",
                                         NULL};
    static const char *const buffers[] = {"Count", "MemoryUsed", "TotalCapacity", NULL};
    expect_kind(true, "d", counters);
    expect_kind(false, "d", others);
    expect_kind(false, "java.nio", buffers);
}

Test(series, what_only_measures_shows_its_values_however_it_rises)
{
    double points[FM_SERIES_HISTORY];
    for (int i = 0; i < 5; i++)
        take(i, "ThreadCount", number(100 + i));
    cr_expect(!set.items[0]->has_rate);
    cr_expect_eq(fm_series_points(set.items[0], points, FM_SERIES_HISTORY), 5);
    cr_expect_float_eq(points[4], 104, 1e-9);
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
    const char *name = "Count";
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

static void expect_apart(const char *const *labels, size_t n, size_t width)
{
    struct fm_screen_name names[8] = {0};
    for (size_t i = 0; i < n; i++)
        names[i].label = labels[i];
    fm_screen_cut(names, n, width);
    for (size_t i = 0; i < n; i++) {
        const char *shown = names[i].cut != NULL ? names[i].cut : labels[i];
        cr_expect_leq(fm_text_width(shown, strlen(shown)), width, "%zu: %s", width, shown);
        cr_expect(fm_utf8_valid(shown, strlen(shown)));
        for (size_t k = 0; k < i; k++)
            cr_expect_str_neq(shown, names[k].cut != NULL ? names[k].cut : labels[k], "%zu", width);
    }
    for (size_t i = 0; i < n; i++)
        free(names[i].cut);
}

Test(screen, names_that_differ_look_different_at_any_width)
{
    static const char *const ends[] = {
        "GarbageCollector G1 Young Generation CollectionCount",
        "GarbageCollector G1 Young Generation CollectionTime",
        "GarbageCollector G1 Old Generation CollectionCount",
        "GarbageCollector G1 Old Generation CollectionTime",
        "Memory HeapMemoryUsage/used",
        "Memory NonHeapMemoryUsage/used",
    };
    static const char *const middles[] = {
        "com.example.shop type=OrderService name=orders-of-the-first-region processedOrdersCount",
        "com.example.shop type=OrderService name=orders-of-the-other-region processedOrdersCount",
        "com.example.shop type=OrderService name=orders-of-a-third-region processedOrdersCount",
    };
    static const char *const wide[] = {
        "\xe4\xb8\xad\xe6\x96\x87\xe5\xad\x97\xe4\xb8\xad\xe6\x96\x87\xe5\xad\x97 one name here",
        "\xe4\xb8\xad\xe6\x96\x87\xe5\xad\x97\xe4\xb8\xad\xe6\x96\x87\xe5\xad\x97 two name here",
    };
    for (size_t width = 18; width < 60; width++) {
        expect_apart(ends, 6, width);
        expect_apart(middles, 3, width);
        expect_apart(wide, 2, width);
    }
    for (size_t width = 1; width < 18; width++) { /* nothing breaks */
        struct fm_screen_name names[] = {
            {.label = ends[0]}, {.label = wide[0]}, {.label = wide[1]}};
        fm_screen_cut(names, 3, width);
        for (size_t i = 0; i < 3; i++)
            free(names[i].cut);
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
