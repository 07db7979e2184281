#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "localjvm.h"
#include "poll/poll_priv.h"

struct live {
    pthread_mutex_t lock;
    char events[2048];
    char last[64 * 1024];
    int samples;
};

static void on_sample(void *arg, const struct fm_sample *sample)
{
    struct live *s = arg;
    struct fm_buf buf;
    fm_buf_init(&buf, 0);
    fm_buf_puts(&buf, sample->target);
    for (size_t i = 0; i < sample->n; i++) {
        fm_buf_printf(&buf, "\n%s", sample->beans[i].name->canonical);
        fm_value_print(&buf, sample->beans[i].attributes, FM_JSON_NONFINITE_NULL);
    }
    (void)pthread_mutex_lock(&s->lock);
    (void)snprintf(s->last, sizeof s->last, "%s", fm_buf_str(&buf));
    s->samples++;
    (void)pthread_mutex_unlock(&s->lock);
    fm_buf_clear(&buf);
}

static void on_state(void *arg, const struct fm_poll_event *event)
{
    struct live *s = arg;
    (void)pthread_mutex_lock(&s->lock);
    size_t len = strlen(s->events);
    (void)snprintf(s->events + len, sizeof s->events - len, "%s %s;", event->target, event->state);
    (void)pthread_mutex_unlock(&s->lock);
}

static struct live live;

static bool wait_event(const char *text, int ms)
{
    int64_t until = fm_clock_ms() + ms;
    for (;;) {
        (void)pthread_mutex_lock(&live.lock);
        bool there = strstr(live.events, text) != NULL;
        (void)pthread_mutex_unlock(&live.lock);
        if (there || fm_clock_ms() > until)
            return there;
        (void)usleep(5000);
    }
}

static struct fm_query *query(const char *bean, const char *attribute)
{
    struct fm_query *q = NULL;
    struct fm_query_opts o = {
        .name = bean, .bean = bean, .attributes = &attribute, .n_attributes = attribute != NULL};
    cr_assert_eq(fm_query_new(&q, &o, NULL), FM_OK);
    return q;
}

/* The glob names the class of these tests' JVM; others may run on this machine too, so each test
 * polls its own by pid where it can. */
Test(live, reads_a_jvm_through_attach_and_opens_it_for_commands, .timeout = 60)
{
    (void)pthread_mutex_init(&live.lock, NULL);
    struct localjvm jvm = localjvm_start(NULL, NULL);
    struct fm_query *counter = query("first.mile:type=Counter,*", NULL),
                    *heap = query("java.lang:type=Memory", "HeapMemoryUsage/used");
    struct fm_poll_query queries[] = {{.query = counter}, {.query = heap}};
    char url[32];
    (void)snprintf(url, sizeof url, "pid:%d", (int)jvm.pid);
    struct fm_poll_target_opts t = {.name = "app", .url = url, .queries = queries, .n_queries = 2};
    struct fm_poll_opts o = {.hooks = {.sample = on_sample, .state = on_state, .arg = &live},
                             .targets = &t,
                             .n_targets = 1,
                             .host_name = "here"};
    struct fm_poll_snapshot snap;
    struct fm_err err = {0};
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_assert_eq(fm_poll_once(&o, 10000, &snap, &err), FM_EPERM, "%s", err.text);
    cr_expect(strstr(err.text, "attach = on") != NULL, "%s", err.text);
    fm_poll_snapshot_clear(&snap);

    t.attach = true;
    cr_assert_eq(fm_poll_once(&o, 20000, &snap, &err), FM_OK, "%s", err.text);
    cr_expect_eq(snap.targets[0].beans, 4);
    cr_expect_str_eq(snap.targets[0].host, "here");
    cr_expect(snap.targets[0].jvm != NULL && atoi(snap.targets[0].jvm) == jvm.pid);
    cr_expect(strncmp(live.last, "app\nfirst.mile:name=", 20) == 0, "%s", live.last);
    cr_expect(strstr(live.last, "java.lang:type=Memory{\"HeapMemoryUsage\":{\"used\":") != NULL,
              "%s", live.last);
    fm_poll_snapshot_clear(&snap);

    /* Open now: no attach needed any more, and it is quick. */
    t.attach = false;
    cr_assert_eq(fm_poll_once(&o, 20000, &snap, &err), FM_OK, "%s", err.text);
    fm_poll_snapshot_clear(&snap);

    struct fm_client *client = NULL;
    struct fm_client_opts co = {0};
    struct fm_jmx *jmx = NULL;
    struct fm_target_info info;
    cr_assert_eq(fm_client_new(&client, &co, &err), FM_OK);
    cr_assert_eq(fm_target_open(&jmx, &t, NULL, client, NULL, &info, &err), FM_OK, "%s", err.text);
    cr_expect_str_eq(info.name, "Fixture");
    cr_expect_eq(info.pid, jvm.pid);
    struct fm_arena arena;
    fm_arena_init(&arena, 0);
    struct fm_jmx_call call = {.op = FM_JMX_NAMES, .name = "first.mile:*"};
    cr_assert_eq(fm_jmx_run(jmx, &call, 1, &arena, NULL, &err), FM_OK, "%s", err.text);
    cr_expect_geq(call.value.array.n, 3);
    fm_arena_clear(&arena);
    fm_jmx_free(jmx);
    t.url = "local:no such class";
    cr_expect_eq(fm_target_open(&jmx, &t, NULL, client, NULL, &info, &err), FM_ENOTFOUND);
    cr_expect(strstr(err.text, "(pid ") != NULL, "it lists what there is: %s", err.text);
    fm_client_free(client);
    localjvm_kill(&jvm);
    fm_query_free(counter);
    fm_query_free(heap);
}

static int count_samples(void)
{
    (void)pthread_mutex_lock(&live.lock);
    int n = live.samples;
    (void)pthread_mutex_unlock(&live.lock);
    return n;
}

static int lines_of(const char *events, const char *what)
{
    int n = 0;
    for (const char *p = strstr(events, what); p != NULL; p = strstr(p + 1, what))
        n++;
    return n;
}

Test(live, follows_a_jvm_that_stops_dies_and_comes_back, .timeout = 90)
{
    (void)pthread_mutex_init(&live.lock, NULL);
    char jar[64], url[64], name[64], want[256];
    (void)snprintf(jar, sizeof jar, "jar=poll-%d.jar", (int)getpid());
    (void)snprintf(url, sizeof url, "local:poll-%d*", (int)getpid());
    (void)snprintf(name, sizeof name, "my/poll-%d.jar", (int)getpid());
    const char *const options[] = {jar, NULL};
    struct localjvm jvm = localjvm_start(options, NULL);
    struct fm_query *counter = query("first.mile:type=Counter,name=1", NULL);
    struct fm_poll_query queries[] = {{.query = counter}};
    struct fm_poll_target_opts t = {.name = "my",
                                    .url = url,
                                    .queries = queries,
                                    .n_queries = 1,
                                    .attach = true,
                                    .interval_ms = 100,
                                    .timeout_ms = 1500};
    struct fm_poll_opts o = {.hooks = {.sample = on_sample, .state = on_state, .arg = &live},
                             .targets = &t,
                             .n_targets = 1,
                             .host_name = "here",
                             .scan_ms = 200};
    struct fm_poll *poll = NULL;
    struct fm_err err = {0};
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_assert_eq(fm_poll_new(&poll, &o, &err), FM_OK, "%s", err.text);
    cr_assert_eq(fm_poll_start(poll, &err), FM_OK);
    (void)snprintf(want, sizeof want, "%s up;", name);
    cr_assert(wait_event(want, 10000), "%s", live.events);

    cr_assert_eq(kill(jvm.pid, SIGSTOP), 0);
    int64_t start = fm_clock_ms();
    (void)snprintf(want, sizeof want, "%s down;", name);
    cr_assert(wait_event(want, 5000), "a stopped JVM is down: %s", live.events);
    cr_expect_lt(fm_clock_ms() - start, 3000);
    cr_assert_eq(kill(jvm.pid, SIGCONT), 0);
    (void)snprintf(want, sizeof want, "%s down;%s up;", name, name);
    cr_assert(wait_event(want, 10000), "and up again: %s", live.events);
    cr_expect(strstr(live.events, "restarted") == NULL, "it is the same JVM");

    localjvm_kill(&jvm);
    jvm = localjvm_start(options, NULL);
    (void)snprintf(want, sizeof want, "%s down;%s restarted;%s up;", name, name, name);
    cr_assert(wait_event(want, 10000), "%s", live.events);
    int n = count_samples();
    int64_t until = fm_clock_ms() + 5000;
    while (count_samples() < n + 3 && fm_clock_ms() < until)
        (void)usleep(5000);
    cr_expect_geq(count_samples(), n + 3);
    cr_expect_eq(lines_of(live.events, "~"), 0, "it has its old name: %s", live.events);

    /* A second one of the same name, and the first ends. */
    struct localjvm second = localjvm_start(options, NULL);
    (void)snprintf(want, sizeof want, "%s~2 up;", name);
    cr_assert(wait_event(want, 10000), "%s", live.events);
    localjvm_kill(&jvm);
    struct fm_poll_snapshot snap;
    until = fm_clock_ms() + 5000;
    bool ended = false;
    while (!ended && fm_clock_ms() < until) {
        cr_assert_eq(fm_poll_status_get(poll, &snap, &err), FM_OK);
        cr_assert_eq(snap.n, 2);
        ended = snap.targets[0].state == FM_POLL_DOWN && snap.targets[1].state == FM_POLL_UP &&
                snap.targets[0].error != NULL && strstr(snap.targets[0].error, "has ended") != NULL;
        fm_poll_snapshot_clear(&snap);
        (void)usleep(20000);
    }
    cr_expect(ended);
    fm_poll_stop(poll);
    cr_assert(fm_poll_join(poll, 5000));
    fm_poll_free(poll);
    localjvm_kill(&second);
    fm_query_free(counter);
    (void)snprintf(want, sizeof want, "build/fixture/%s", jar + 4);
    (void)unlink(want);
}
