/* Sessions with a real JVM (skipped where there is no java). */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "jmx/jmx.h"
#include "localjvm.h"

enum { COUNTERS = 300 };

struct live {
    struct localjvm jvm;
    struct fm_client *client;
    struct fm_jmx *jmx;
    struct fm_arena arena;
    struct fm_jmx_cost cost;
    struct fm_err err;
    char url[64];
};

static struct live l;

static void start_jvm(const char *const *more, const char *const *arguments)
{
    static char port[80];
    static char rmi_port[80];
    const char *options[8] = {port, rmi_port, "-Dcom.sun.management.jmxremote.ssl=false"};
    unsigned number = localjvm_port();
    size_t n = 3;
    snprintf(port, sizeof port, "-Dcom.sun.management.jmxremote.port=%u", number);
    snprintf(rmi_port, sizeof rmi_port, "-Dcom.sun.management.jmxremote.rmi.port=%u", number);
    for (; *more != NULL; more++)
        options[n++] = *more;
    options[n] = NULL;
    l.jvm = localjvm_start(options, arguments);
    snprintf(l.url, sizeof l.url, "localhost:%u", number);
}

static void open_live(void)
{
    if (access("/usr/bin/javac", X_OK) != 0)
        cr_skip_test("no JDK");
    struct fm_client_opts opts = {0};
    fm_arena_init(&l.arena, 0);
    cr_assert_eq(fm_net_init(&l.err), FM_OK);
    cr_assert_eq(fm_client_new(&l.client, &opts, &l.err), FM_OK);
}

static void close_live(void)
{
    fm_jmx_free(l.jmx);
    fm_client_free(l.client);
    fm_arena_clear(&l.arena);
    if (l.jvm.pid > 0)
        localjvm_kill(&l.jvm);
}

TestSuite(rmi_live, .init = open_live, .fini = close_live, .timeout = 60);

static void open_session(const char *user, const char *password, unsigned timeout_ms)
{
    struct fm_jmx_opts opts = {.client = l.client,
                               .url = l.url,
                               .username = user,
                               .password = password,
                               .timeout_ms = timeout_ms};
    fm_jmx_free(l.jmx);
    cr_assert_eq(fm_jmx_new(&l.jmx, &opts, &l.err), FM_OK, "%s", l.err.text);
}

static enum fm_code run(struct fm_jmx_call *calls, size_t n)
{
    return fm_jmx_run(l.jmx, calls, n, &l.arena, &l.cost, &l.err);
}

static int64_t number(const struct fm_jmx_call *call, const char *attribute)
{
    const struct fm_value *v = fm_value_path(&call->value, attribute);
    cr_assert_not_null(v, "%s %s", call->name, attribute);
    cr_assert_eq(v->kind, FM_V_INT);
    return v->i;
}

static const char *const open_door[] = {"-Dcom.sun.management.jmxremote.authenticate=false", NULL};

static size_t open_descriptors(void)
{
    size_t n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* The short form of tests/e2e/leases.py, which counts the objects in the JVM too. */
Test(rmi_live, connects_again_and_again_and_leaves_no_thread_behind)
{
    enum { TIMES = 100, WARM = 10, SLACK = 12 };
    static const char *const count[] = {"ThreadCount"};
    struct fm_jmx_call call = {.op = FM_JMX_READ,
                               .name = "java.lang:type=Threading",
                               .attributes = count,
                               .n_attributes = 1};
    int64_t threads = 0;
    size_t descriptors = 0;
    start_jvm(open_door, NULL);
    for (int i = 0; i < TIMES; i++) {
        open_session(NULL, NULL, 10000); /* ends the one before */
        fm_arena_reset(&l.arena);
        cr_assert_eq(run(&call, 1), FM_OK, "%s", l.err.text);
        cr_assert_eq(call.code, FM_OK, "%s", call.err.text);
        if (i == WARM) {
            threads = number(&call, "ThreadCount");
            descriptors = open_descriptors();
        }
    }
    cr_assert_leq(number(&call, "ThreadCount"), threads + SLACK);
    cr_assert_leq(open_descriptors(), descriptors + 1);
}

Test(rmi_live, polls_hundreds_of_beans_in_one_round_trip)
{
    static const char *const attributes[] = {"Count", "Twice", "Text"};
    static const char *const arguments[] = {"counters=300", NULL};
    static struct fm_jmx_call reads[COUNTERS];
    static char names[COUNTERS][64];
    start_jvm(open_door, arguments);
    open_session(NULL, NULL, 20000);
    struct fm_jmx_call list = {.op = FM_JMX_NAMES, .name = "first.mile:type=Counter,*"};
    cr_assert_eq(run(&list, 1), FM_OK, "%s", l.err.text);
    cr_assert_eq(list.value.array.n, COUNTERS);
    cr_assert_str_eq(list.value.array.items[0].text.ptr, "first.mile:name=0,type=Counter");
    for (int i = 0; i < COUNTERS; i++) {
        snprintf(names[i], sizeof names[i], "first.mile:type=Counter,name=%d", i);
        reads[i] = (struct fm_jmx_call){
            .op = FM_JMX_READ, .name = names[i], .attributes = attributes, .n_attributes = 3};
    }
    for (int round = 1; round <= 3; round++) {
        cr_assert_eq(run(reads, COUNTERS), FM_OK, "%s", l.err.text);
        cr_assert_eq(l.cost.connects, 0);
        for (int i = 0; i < COUNTERS; i++) {
            cr_assert_eq(number(&reads[i], "Count"), round);
            cr_assert_eq(number(&reads[i], "Twice"), 2 * round);
        }
    }
}

Test(rmi_live, tells_missing_failing_and_unreadable_apart)
{
    static const char *const arguments[] = {"failing", "unreadable", NULL};
    static const char *const all[] = {"Good", "Foreign", "NotSerializable", "Better"};
    static const char *const failing[] = {"Good", "Runtime", "Unsupported", "Checked"};
    static const char *const foreign[] = {"Foreign"};
    static const char *const runtime[] = {"Runtime"};
    static const char *const nosuch[] = {"NoSuch"};
    start_jvm(open_door, arguments);
    open_session(NULL, NULL, 20000);
    struct fm_jmx_call calls[] = {
        {.op = FM_JMX_READ,
         .name = "first.mile:type=Unreadable",
         .attributes = all,
         .n_attributes = 4},
        {.op = FM_JMX_READ,
         .name = "first.mile:type=Failing",
         .attributes = failing,
         .n_attributes = 4},
        {.op = FM_JMX_READ,
         .name = "first.mile:type=NoSuch",
         .attributes = failing,
         .n_attributes = 1},
        {.op = FM_JMX_REASON,
         .name = "first.mile:type=Failing",
         .attributes = runtime,
         .n_attributes = 1},
        {.op = FM_JMX_REASON,
         .name = "first.mile:type=Failing",
         .attributes = nosuch,
         .n_attributes = 1},
        {.op = FM_JMX_INFO, .name = "first.mile:type=Kinds"},
    };
    cr_assert_eq(run(calls, 6), FM_OK, "%s", l.err.text);
    cr_assert_eq(calls[0].code, FM_OK, "%s", calls[0].err.text);
    cr_assert_eq(calls[0].value.object.n, 2, "only the readable ones");
    cr_assert_gt(number(&calls[0], "Better"), 0);
    cr_assert_eq(calls[1].value.object.n, 1);
    cr_assert_eq(calls[2].code, FM_ENOTFOUND, "%s", calls[2].err.text);
    cr_assert_eq(calls[3].code, FM_EREMOTE);
    cr_assert_not_null(strstr(calls[3].err.text, "broken getter"), "%s", calls[3].err.text);
    cr_assert_eq(calls[4].code, FM_ENOTFOUND, "%s", calls[4].err.text);
    cr_assert_str_eq(fm_value_path(&calls[5].value, "attributes/0/name")->text.ptr, "Count");
    cr_assert_str_eq(fm_value_path(&calls[5].value, "attributes/0/type")->text.ptr, "long");

    struct fm_jmx_call again[] = {calls[0],
                                  {.op = FM_JMX_REASON,
                                   .name = "first.mile:type=Unreadable",
                                   .attributes = foreign,
                                   .n_attributes = 1}};
    cr_assert_eq(run(again, 2), FM_OK, "%s", l.err.text);
    cr_assert_eq(l.cost.connects, 0, "what cannot be read is not asked again");
    cr_assert_eq(again[0].value.object.n, 2);
    cr_assert_eq(again[1].code, FM_EPROTO);
    cr_assert_not_null(strstr(again[1].err.text, "Fixture$Foreign"), "%s", again[1].err.text);
}

Test(rmi_live, a_getter_that_hangs_costs_only_its_own_bean)
{
    static const char *const arguments[] = {"slow=60000", NULL};
    static const char *const sleep_[] = {"Sleep"};
    static const char *const count[] = {"Count"};
    start_jvm(open_door, arguments);
    open_session(NULL, NULL, 10000);
    struct fm_jmx_call probe = {.op = FM_JMX_NAMES, .name = "first.mile:type=Slow"};
    cr_assert_eq(run(&probe, 1), FM_OK, "%s", l.err.text);
    open_session(NULL, NULL, 1500);
    struct fm_jmx_call calls[] = {{.op = FM_JMX_READ,
                                   .name = "first.mile:type=Slow",
                                   .attributes = sleep_,
                                   .n_attributes = 1},
                                  {.op = FM_JMX_READ,
                                   .name = "first.mile:type=Kinds",
                                   .attributes = count,
                                   .n_attributes = 1}};
    cr_assert_eq(run(calls, 2), FM_ETIMEOUT);
    cr_assert_eq(calls[1].code, FM_ETIMEOUT, "it waited behind the slow one");
    cr_assert_eq(run(calls, 2), FM_ETIMEOUT);
    cr_assert_eq(calls[1].code, FM_OK, "the slow one is asked last now: %s", calls[1].err.text);
    cr_assert_eq(run(calls, 2), FM_OK, "%s", l.err.text);
    cr_assert_eq(calls[0].code, FM_ETIMEOUT);
    cr_assert_not_null(strstr(calls[0].err.text, "left out"), "%s", calls[0].err.text);
    cr_assert_eq(calls[1].code, FM_OK);
}

static void write_secret(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
    cr_assert_eq(chmod(path, 0600), 0);
}

Test(rmi_live, logs_in_with_the_password_only)
{
    char dir[] = "build/rmi-live-XXXXXX";
    char path[100];
    static char password_file[200];
    static char access_file[200];
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/password", dir);
    write_secret(path, "reader s3cret\n");
    snprintf(password_file, sizeof password_file, "-Dcom.sun.management.jmxremote.password.file=%s",
             path);
    snprintf(path, sizeof path, "%s/access", dir);
    write_secret(path, "reader readonly\n");
    snprintf(access_file, sizeof access_file, "-Dcom.sun.management.jmxremote.access.file=%s",
             path);
    const char *const options[] = {password_file, access_file, NULL};
    static const char *const none[] = {NULL};
    start_jvm(options, none);

    struct fm_jmx_call call = {.op = FM_JMX_NAMES, .name = "first.mile:*"};
    open_session(NULL, NULL, 20000);
    cr_expect_eq(run(&call, 1), FM_EAUTH, "%s", l.err.text);
    cr_expect_not_null(strstr(l.err.text, "username"), "%s", l.err.text);
    open_session("reader", "wr0ng", 20000);
    cr_expect_eq(run(&call, 1), FM_EAUTH, "%s", l.err.text);
    cr_expect_null(strstr(l.err.text, "wr0ng"));
    open_session("reader", "s3cret", 20000);
    cr_expect_eq(run(&call, 1), FM_OK, "%s", l.err.text);
    cr_expect_gt(call.value.array.n, 3);
    snprintf(path, sizeof path, "%s/password", dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/access", dir);
    unlink(path);
    rmdir(dir);
}

Test(rmi_live, finds_the_jvm_again_after_its_death)
{
    static const char *const none[] = {NULL};
    start_jvm(open_door, none);
    open_session(NULL, NULL, 3000);
    struct fm_jmx_call call = {.op = FM_JMX_NAMES, .name = "first.mile:type=Kinds"};
    cr_assert_eq(run(&call, 1), FM_OK, "%s", l.err.text);
    localjvm_kill(&l.jvm);
    cr_assert_eq(run(&call, 1), FM_ECONNECT, "%s", l.err.text);
    cr_assert_eq(call.code, FM_ECONNECT);
    cr_assert_not_null(strstr(l.err.text, "RMI registry"), "%s", l.err.text);
}

/* What a JVM may refuse to read of us: the classes of calls, and arrays above a size. */
Test(rmi_live, reads_through_the_strictest_serial_filters)
{
    static const char *const filters[] = {
        "-Dcom.sun.management.jmxremote.authenticate=false",
        "-Dcom.sun.management.jmxremote.serial.filter.pattern=java.lang.*;java.util.*;"
        "javax.management.ObjectName;!*",
        "-Djdk.serialFilter=maxarray=10", NULL};
    static const char *const arguments[] = {"attributes=20", NULL};
    static char names[20][16];
    static const char *wide[20];
    for (int i = 0; i < 20; i++) {
        snprintf(names[i], sizeof names[i], "A%d", i);
        wide[i] = names[i];
    }
    static const char *const heap[] = {"HeapMemoryUsage"};
    start_jvm(filters, arguments);
    open_session(NULL, NULL, 10000);
    struct fm_jmx_call calls[] = {
        {.op = FM_JMX_NAMES, .name = "java.lang:type=Memory"},
        {.op = FM_JMX_INFO, .name = "java.lang:type=Memory"},
        {.op = FM_JMX_READ, .name = "first.mile:type=Wide", .attributes = wide, .n_attributes = 20},
        {.op = FM_JMX_READ, .name = "java.lang:type=Memory", .attributes = heap, .n_attributes = 1},
    };
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(run(calls, 4), FM_OK, "%s", l.err.text);
        for (size_t k = 0; k < 4; k++)
            cr_expect_eq(calls[k].code, FM_OK, "%zu: %s", k, calls[k].err.text);
        cr_expect_eq(calls[2].value.object.n, 20, "%zu of 20 came", calls[2].value.object.n);
    }
}

Test(rmi_live, names_the_filter_that_lets_nothing_through)
{
    static const char *const filters[] = {"-Dcom.sun.management.jmxremote.authenticate=false",
                                          "-Dcom.sun.management.jmxremote.serial.filter.pattern=!*",
                                          NULL};
    static const char *const no_arguments[] = {NULL};
    static const char *const heap[] = {"HeapMemoryUsage"};
    start_jvm(filters, no_arguments);
    open_session(NULL, NULL, 5000);
    struct fm_jmx_call call = {
        .op = FM_JMX_READ, .name = "java.lang:type=Memory", .attributes = heap, .n_attributes = 1};
    enum fm_code code = run(&call, 1);
    const char *text = code != FM_OK ? l.err.text : call.err.text;
    cr_expect(code != FM_OK || call.code != FM_OK);
    cr_expect(strstr(text, "filter") != NULL || strstr(text, "REJECTED") != NULL, "%s", text);
}
