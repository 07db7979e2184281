#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "fake.h"

/* What the hooks saw. */
struct seen {
    pthread_mutex_t lock;
    char events[4096]; /* "name state;" */
    char last[4096]; /* the last sample as text */
    int samples;
    int64_t at[512]; /* when */
    atomic_bool full;
};

static struct seen seen;

static bool ready(void *arg)
{
    return !((struct seen *)arg)->full;
}

static void on_sample(void *arg, const struct fm_sample *sample)
{
    struct seen *s = arg;
    struct fm_buf buf;
    fm_buf_init(&buf, 0);
    fm_buf_printf(&buf, "%s@%s", sample->target, sample->host);
    for (size_t i = 0; i < sample->n; i++) {
        fm_buf_printf(&buf, " %s", sample->beans[i].name->canonical);
        fm_value_print(&buf, sample->beans[i].attributes, FM_JSON_NONFINITE_NULL);
    }
    (void)pthread_mutex_lock(&s->lock);
    (void)snprintf(s->last, sizeof s->last, "%s", fm_buf_str(&buf));
    s->at[s->samples++ % 512] = fm_clock_ms();
    (void)pthread_mutex_unlock(&s->lock);
    fm_buf_clear(&buf);
}

static void on_state(void *arg, const struct fm_poll_event *event)
{
    struct seen *s = arg;
    (void)pthread_mutex_lock(&s->lock);
    size_t len = strlen(s->events);
    (void)snprintf(s->events + len, sizeof s->events - len, "%s %s;", event->target, event->state);
    (void)pthread_mutex_unlock(&s->lock);
}

static struct fake_jvm one = {.url = "one:1",
                              .start_time = 100,
                              .beans = {"d:type=a", "d:type=b", "d:type=c", "e:type=x"},
                              .n_beans = 4};
static struct fake_jvm two = {
    .url = "two:2", .start_time = 200, .beans = {"d:type=a"}, .n_beans = 1};

static struct fm_query *query(const char *bean, const char *attribute)
{
    struct fm_query *q = NULL;
    struct fm_query_opts o = {
        .name = bean, .bean = bean, .attributes = &attribute, .n_attributes = attribute != NULL};
    cr_assert_eq(fm_query_new(&q, &o, NULL), FM_OK);
    return q;
}

static struct fm_poll *open_poll(const struct fm_poll_target_opts *targets, size_t n)
{
    struct fm_poll *poll = NULL;
    struct fm_err err = {0};
    (void)pthread_mutex_init(&seen.lock, NULL);
    fake_jvms[0] = &one;
    fake_jvms[1] = &two;
    cr_assert_eq(fm_net_init(&err), FM_OK);
    struct fm_poll_opts o = {
        .hooks = {.ready = ready, .sample = on_sample, .state = on_state, .arg = &seen},
        .targets = targets,
        .n_targets = n,
        .host_name = "here"};
    cr_assert_eq(fm_poll_new_with(&poll, &o, &fake_sessions, &err), FM_OK, "%s", err.text);
    return poll;
}

static void close_poll(struct fm_poll *poll)
{
    fm_poll_stop(poll);
    fm_poll_stop(poll);
    cr_assert(fm_poll_join(poll, 3000));
    fm_poll_free(poll);
    cr_expect_eq(one.opens, one.closes, "a session was left open");
    cr_expect_eq(one.in_flight, 0);
}

static bool wait_until(bool (*test)(void), int ms)
{
    int64_t until = fm_clock_ms() + ms;
    while (!test()) {
        if (fm_clock_ms() > until)
            return false;
        (void)usleep(2000);
    }
    return true;
}

static bool has_event(const char *event)
{
    (void)pthread_mutex_lock(&seen.lock);
    bool has = strstr(seen.events, event) != NULL;
    (void)pthread_mutex_unlock(&seen.lock);
    return has;
}

static int samples(void)
{
    (void)pthread_mutex_lock(&seen.lock);
    int n = seen.samples;
    (void)pthread_mutex_unlock(&seen.lock);
    return n;
}

static bool three_samples(void)
{
    return samples() >= 3;
}

Test(poll, reads_in_one_round_once_all_is_known)
{
    struct fm_query *all = query("d:*", NULL), *x = query("e:type=x", "Usage/used");
    struct fm_poll_query queries[] = {{.query = all}, {.query = x}};
    struct fm_poll_target_opts t = {
        .name = "t", .url = "one:1", .interval_ms = 30, .queries = queries, .n_queries = 2};
    struct fm_poll *poll = open_poll(&t, 1);
    cr_assert_eq(fm_poll_start(poll, NULL), FM_OK);
    cr_assert(wait_until(three_samples, 5000));
    close_poll(poll);
    cr_expect_str_eq(seen.last, "t@one d:type=a{\"A\":1,\"Usage\":{\"used\":2,\"max\":3}} "
                                "d:type=b{\"A\":1,\"Usage\":{\"used\":2,\"max\":3}} "
                                "d:type=c{\"A\":1,\"Usage\":{\"used\":2,\"max\":3}} "
                                "e:type=x{\"Usage\":{\"used\":2}}");
    cr_expect_eq(one.opens, 1);
    cr_expect_eq(one.names, 2, "names are asked once per discovery");
    cr_expect_eq(one.infos, 3, "only of beans of the query with a glob");
    cr_expect_eq(one.reasons, 3, "why Gone cannot be read is asked once");
    /* first poll: names, info, values, reasons; then one list each */
    cr_expect_leq(one.lists, 4 + seen.samples);
    cr_expect_str_eq(seen.events, "t up;");
    fm_query_free(all);
    fm_query_free(x);
}

Test(poll, tells_status_of_targets_and_queries)
{
    struct fm_query *all = query("d:*", NULL), *none = query("zz:*", "A");
    struct fm_poll_query queries[] = {{.query = all}, {.query = none}};
    const char *const hosts[] = {"one", "nowhere"};
    struct fm_poll_target_opts t = {.name = "t",
                                    .url = "${host}:1",
                                    .hosts = hosts,
                                    .n_hosts = 2,
                                    .queries = queries,
                                    .n_queries = 2,
                                    .interval_ms = 1000};
    struct fm_poll *poll = NULL;
    struct fm_poll_snapshot snap;
    struct fm_err err = {0};
    poll = open_poll(&t, 1);
    fm_poll_free(poll);
    struct fm_poll_opts o = {.hooks = {.sample = on_sample, .state = on_state, .arg = &seen},
                             .targets = &t,
                             .n_targets = 1};
    cr_assert_eq(fm_poll_once_with(&o, &fake_sessions, 2000, &snap, &err), FM_ECONF);
    cr_expect(strstr(err.text, "target t/nowhere") != NULL, "%s", err.text);
    cr_assert_eq(snap.n, 2);
    const struct fm_poll_status *s = &snap.targets[0];
    cr_expect_str_eq(s->name, "t/one");
    cr_expect_str_eq(s->host, "one");
    cr_expect_str_eq(s->url, "one:1");
    cr_expect_eq(s->state, FM_POLL_UP);
    cr_expect_eq(s->beans, 3);
    cr_expect_eq(s->attributes, 6);
    cr_expect_eq(s->errors, 3);
    cr_expect_str_eq(s->jvm, "7@fake");
    cr_expect_eq(s->start_ms, 100);
    cr_expect_gt(s->bytes, 0);
    cr_assert_eq(s->n_queries, 2);
    cr_expect_eq(s->queries[0].beans, 3);
    cr_expect_eq(s->queries[0].errors, 3);
    cr_expect(strstr(s->queries[0].error, "Gone: getter failed") != NULL, "%s",
              s->queries[0].error);
    cr_expect_eq(s->queries[1].beans, 0);
    cr_expect(s->queries[1].error == NULL);
    cr_expect_eq(snap.targets[1].state, FM_POLL_DOWN);
    cr_expect_eq(snap.targets[1].code, FM_ECONF);
    fm_poll_snapshot_clear(&snap);
    fm_query_free(all);
    fm_query_free(none);
}

static bool two_is_down(void)
{
    return has_event("two down;");
}

static bool two_is_up_again(void)
{
    return has_event("two up;");
}

Test(poll, a_target_that_hangs_costs_nobody_but_itself)
{
    struct fm_query *all = query("d:*", "A");
    struct fm_poll_query queries[] = {{.query = all}};
    struct fm_poll_target_opts t[] = {
        {.name = "one", .url = "one:1", .interval_ms = 40, .queries = queries, .n_queries = 1},
        {.name = "two",
         .url = "two:2",
         .interval_ms = 40,
         .timeout_ms = 200,
         .queries = queries,
         .n_queries = 1}};
    two.hang = 1;
    struct fm_poll *poll = open_poll(t, 2);
    cr_assert_eq(fm_poll_start(poll, NULL), FM_OK);
    cr_assert(wait_until(two_is_down, 3000));
    int n = samples();
    cr_expect_geq(n, 3, "the other was held up: %d", n);
    cr_expect_eq(two.max_in_flight, 1, "one poll in flight at most");
    two.hang = 0;
    cr_assert(wait_until(two_is_up_again, 5000));
    struct fm_poll_snapshot snap;
    cr_assert_eq(fm_poll_status_get(poll, &snap, NULL), FM_OK);
    cr_expect_geq(snap.targets[1].missed, 3, "polls that could not start are counted");
    cr_expect_eq(snap.targets[0].failed, 0);
    fm_poll_snapshot_clear(&snap);
    close_poll(poll);
    cr_expect_eq(two.opens, two.closes);
    fm_query_free(all);
}

static bool restarted(void)
{
    return has_event("restarted;");
}

Test(poll, announces_another_jvm_and_keeps_numbers_apart)
{
    struct fm_query *all = query("d:*", "A");
    struct fm_poll_query queries[] = {{.query = all}};
    struct fm_poll_target_opts t = {
        .name = "t", .url = "one:1", .interval_ms = 30, .queries = queries, .n_queries = 1};
    struct fm_poll *poll = open_poll(&t, 1);
    cr_assert_eq(fm_poll_start(poll, NULL), FM_OK);
    cr_assert(wait_until(three_samples, 5000));
    int before = one.names;
    one.start_time = 101;
    cr_assert(wait_until(restarted, 3000));
    close_poll(poll);
    cr_expect_str_eq(seen.events, "t up;t restarted;");
    cr_expect_eq(one.names, before + 1, "what was known of the old one is forgotten");
    fm_query_free(all);
}

static bool down(void)
{
    return has_event("t down;");
}

/* It has only just started, and is slow: who it is came in time, the rest did not. */
Test(poll, announces_another_jvm_although_its_first_poll_fails)
{
    struct fm_query *all = query("d:*", "A");
    struct fm_poll_query queries[] = {{.query = all}};
    struct fm_poll_target_opts t = {.name = "t",
                                    .url = "one:1",
                                    .interval_ms = 30,
                                    .timeout_ms = 500,
                                    .queries = queries,
                                    .n_queries = 1};
    struct fm_poll *poll = open_poll(&t, 1);
    cr_assert_eq(fm_poll_start(poll, NULL), FM_OK);
    cr_assert(wait_until(three_samples, 5000));
    one.hang_names = 1; /* they are asked for anew */
    one.start_time = 101;
    cr_assert(wait_until(down, 5000), "%s", seen.events);
    one.hang_names = 0;
    fm_poll_retry(poll);
    cr_assert(wait_until(restarted, 5000), "%s", seen.events);
    int n = samples();
    while (samples() < n + 3)
        (void)usleep(2000);
    close_poll(poll);
    const char *told = strstr(seen.events, "restarted;");
    cr_expect_str_eq(told, "restarted;t up;", "once: %s", seen.events);
    fm_query_free(all);
}

static bool two_lists_refused(void)
{
    return one.lists >= 2;
}

Test(poll, backs_off_from_a_target_that_refuses)
{
    struct fm_query *all = query("d:*", "A");
    struct fm_poll_query queries[] = {{.query = all}};
    struct fm_poll_target_opts t = {
        .name = "t", .url = "one:1", .interval_ms = 20, .queries = queries, .n_queries = 1};
    one.refuse = FM_EAUTH;
    struct fm_poll *poll = open_poll(&t, 1);
    int64_t start = fm_clock_ms();
    cr_assert_eq(fm_poll_start(poll, NULL), FM_OK);
    cr_assert(wait_until(two_lists_refused, 3000));
    while (fm_clock_ms() - start < 600)
        (void)usleep(10000);
    cr_expect_leq(one.lists, 7, "%d tries in 600 ms at 20 ms: no doubling", one.lists);
    cr_expect_str_eq(seen.events, "t down;", "down is said once");
    one.refuse = 0;
    fm_poll_retry(poll);
    cr_assert(wait_until(three_samples, 3000));
    close_poll(poll);
    cr_expect_str_eq(seen.events, "t down;t up;");
    fm_query_free(all);
}

Test(poll, reads_all_again_in_a_poll_that_comes_early)
{
    struct fm_query *all = query("d:*", "A"), *slow = query("e:*", "A");
    struct fm_poll_query queries[] = {{.query = all}, {.query = slow, .interval_ms = 120000}};
    struct fm_poll_target_opts t = {
        .name = "t", .url = "one:1", .interval_ms = 60000, .queries = queries, .n_queries = 2};
    struct fm_poll *poll = open_poll(&t, 1);
    cr_assert_eq(fm_sections_expand(poll, NULL), FM_OK);
    struct fm_target *target = poll->targets[0];
    target->start_ms = 1000000;
    target->queries[0].read_ms = target->queries[1].read_ms = target->start_ms - 1000;
    fm_round_begin(target);
    cr_expect(target->queries[0].due, "read a second ago, but due at each poll");
    cr_expect_not(target->queries[1].due);
    fm_poll_free(poll);
    fm_query_free(all);
    fm_query_free(slow);
}

/* Until so many polls of the only target were missed. @return how many were */
static uint64_t await_missed(struct fm_poll *poll, uint64_t n, enum fm_poll_state *state)
{
    uint64_t missed = 0;
    int64_t until = fm_clock_ms() + 5000;
    do {
        struct fm_poll_snapshot now;
        (void)usleep(5000);
        cr_assert_eq(fm_poll_status_get(poll, &now, NULL), FM_OK);
        missed = now.targets[0].missed;
        *state = now.targets[0].state;
        fm_poll_snapshot_clear(&now);
    } while (missed < n && fm_clock_ms() < until);
    cr_assert_geq(missed, n);
    return missed;
}

Test(poll, starts_no_poll_while_there_is_no_room)
{
    struct fm_query *all = query("d:*", "A");
    struct fm_poll_query queries[] = {{.query = all}};
    struct fm_poll_target_opts t = {
        .name = "t", .url = "one:1", .interval_ms = 20, .queries = queries, .n_queries = 1};
    struct fm_poll *poll = open_poll(&t, 1);
    cr_assert_eq(fm_poll_start(poll, NULL), FM_OK);
    cr_assert(wait_until(three_samples, 3000));
    enum fm_poll_state state = FM_POLL_DOWN;
    uint64_t before = await_missed(poll, 0, &state);
    seen.full = true;
    before = await_missed(poll, before + 1, &state); /* one that was under way has ended */
    int lists = one.lists;
    (void)await_missed(poll, before + 5, &state);
    cr_expect_eq(one.lists, lists);
    cr_expect_eq(state, FM_POLL_UP);
    close_poll(poll);
    fm_query_free(all);
}

static bool hung_bean_left_out(void)
{
    (void)pthread_mutex_lock(&seen.lock);
    bool is = seen.samples >= 2 && strstr(seen.last, "d:type=a") != NULL &&
              strstr(seen.last, "d:type=c") != NULL && strstr(seen.last, "d:type=b") == NULL;
    (void)pthread_mutex_unlock(&seen.lock);
    return is;
}

Test(poll, a_getter_that_hangs_costs_its_bean_only)
{
    struct fm_query *all = query("d:*", "A");
    struct fm_poll_query queries[] = {{.query = all}};
    struct fm_poll_target_opts t = {.name = "t",
                                    .url = "one:1",
                                    .interval_ms = 30,
                                    .timeout_ms = 100,
                                    .queries = queries,
                                    .n_queries = 1};
    one.hang_bean = "d:type=b";
    one.hangs_on = 1;
    struct fm_poll *poll = open_poll(&t, 1);
    cr_assert_eq(fm_poll_start(poll, NULL), FM_OK);
    cr_assert(wait_until(hung_bean_left_out, 5000), "%s", seen.last);
    int n = samples(), cancels = one.cancels;
    int64_t until = fm_clock_ms() + 2000;
    while (samples() < n + 5 && fm_clock_ms() < until)
        (void)usleep(5000);
    cr_expect_geq(samples(), n + 5, "the others go on");
    cr_expect_leq(one.cancels, cancels + 1, "it is not asked at every poll");
    close_poll(poll);
    fm_query_free(all);
}

static bool new_bean_seen(void)
{
    (void)pthread_mutex_lock(&seen.lock);
    bool is = strstr(seen.last, "d:type=c") != NULL;
    (void)pthread_mutex_unlock(&seen.lock);
    return is;
}

static bool bean_gone(void)
{
    (void)pthread_mutex_lock(&seen.lock);
    bool is = seen.samples > 0 && strstr(seen.last, "d:type=c") == NULL;
    (void)pthread_mutex_unlock(&seen.lock);
    return is;
}

Test(poll, follows_beans_that_come_and_go)
{
    struct fm_query *all = query("d:*", NULL);
    struct fm_poll_query queries[] = {{.query = all, .discovery_ms = 60}};
    struct fm_poll_target_opts t = {
        .name = "t", .url = "one:1", .interval_ms = 20, .queries = queries, .n_queries = 1};
    one.n_beans = 2;
    struct fm_poll *poll = open_poll(&t, 1);
    cr_assert_eq(fm_poll_start(poll, NULL), FM_OK);
    cr_assert(wait_until(bean_gone, 3000));
    one.n_beans = 3;
    cr_assert(wait_until(new_bean_seen, 3000));
    int infos = one.infos;
    one.n_beans = 2;
    cr_assert(wait_until(bean_gone, 3000));
    cr_expect_eq(one.infos, infos, "what is known is not asked again");
    close_poll(poll);
    fm_query_free(all);
}

Test(poll, cuts_at_max_beans_and_says_so)
{
    struct fm_query *q = NULL;
    struct fm_query_opts o = {.name = "q", .bean = "d:*", .max_beans = 2};
    cr_assert_eq(fm_query_new(&q, &o, NULL), FM_OK);
    struct fm_poll_query queries[] = {{.query = q}};
    struct fm_poll_target_opts t = {
        .name = "t", .url = "one:1", .queries = queries, .n_queries = 1};
    struct fm_poll_target_opts small = t;
    small.max_beans = 1;
    struct fm_poll_snapshot snap;
    fm_poll_free(open_poll(&t, 1));
    struct fm_poll_opts p = {
        .hooks = {.sample = on_sample, .arg = &seen}, .targets = &t, .n_targets = 1};
    cr_assert_eq(fm_poll_once_with(&p, &fake_sessions, 2000, &snap, NULL), FM_OK);
    cr_expect_eq(snap.targets[0].beans, 2);
    cr_expect(snap.targets[0].queries[0].cut);
    cr_expect(strstr(snap.targets[0].error, "max_beans = 2") != NULL, "%s", snap.targets[0].error);
    cr_expect(strstr(seen.last, "d:type=a") != NULL && strstr(seen.last, "d:type=b") != NULL);
    fm_poll_snapshot_clear(&snap);
    p.targets = &small;
    cr_assert_eq(fm_poll_once_with(&p, &fake_sessions, 2000, &snap, NULL), FM_OK);
    cr_expect_eq(snap.targets[0].beans, 1);
    fm_poll_snapshot_clear(&snap);
    fm_query_free(q);
}

Test(poll, a_bean_of_two_queries_is_one_record_per_rule)
{
    struct fm_query *a = query("d:type=a", "A"), *u = query("d:*", "Usage/used"),
                    *m = query("d:type=a", "Usage/max");
    struct fm_rule *rule = (struct fm_rule *)&seen, *other = (struct fm_rule *)&one;
    struct fm_poll_query queries[] = {
        {.query = a, .rule = rule}, {.query = u, .rule = rule}, {.query = m, .rule = other}};
    struct fm_poll_target_opts t = {
        .name = "t", .url = "two:2", .queries = queries, .n_queries = 3};
    struct fm_poll_snapshot snap;
    fm_poll_free(open_poll(&t, 1));
    struct fm_poll_opts p = {
        .hooks = {.sample = on_sample, .arg = &seen}, .targets = &t, .n_targets = 1};
    cr_assert_eq(fm_poll_once_with(&p, &fake_sessions, 2000, &snap, NULL), FM_OK);
    cr_expect_str_eq(seen.last, "t@two d:type=a{\"A\":1,\"Usage\":{\"used\":2}} "
                                "d:type=a{\"Usage\":{\"max\":3}}");
    cr_expect_eq(two.reads, 2, "identity and one READ for all");
    fm_poll_snapshot_clear(&snap);
    fm_query_free(a);
    fm_query_free(u);
    fm_query_free(m);
}

static bool both_up(void)
{
    return has_event("one up;") && has_event("two up;");
}

static bool two_reopened(void)
{
    return two.opens >= 2;
}

static uint64_t polls_of(struct fm_poll *poll, const char *name)
{
    struct fm_poll_snapshot snap = {0};
    uint64_t polls = 0;
    cr_assert_eq(fm_poll_status_get(poll, &snap, NULL), FM_OK);
    for (size_t i = 0; i < snap.n; i++)
        polls += strcmp(snap.targets[i].name, name) == 0 ? snap.targets[i].polls : 0;
    fm_poll_snapshot_clear(&snap);
    return polls;
}

Test(poll, a_reload_reopens_only_what_changed)
{
    struct fm_query *all = query("d:*", "A"), *again = query("d:*", "A");
    struct fm_poll_query queries[] = {{.query = all}}, fresh[] = {{.query = again}};
    struct fm_poll_target_opts t[] = {{.name = "one",
                                       .url = "one:1",
                                       .interval_ms = 20,
                                       .queries = queries,
                                       .n_queries = 1,
                                       .fingerprint = "a"},
                                      {.name = "two",
                                       .url = "two:2",
                                       .interval_ms = 20,
                                       .queries = queries,
                                       .n_queries = 1,
                                       .fingerprint = "b"}};
    struct fm_poll *poll = open_poll(t, 2);
    struct fm_err err = {0};
    cr_assert_eq(fm_poll_start(poll, NULL), FM_OK);
    cr_assert(wait_until(both_up, 3000));
    struct fm_poll_target_opts bad[] = {{.name = "x", .url = "what is this"}};
    cr_expect_eq(fm_poll_replace(poll, bad, 1, &err), FM_ECONF);
    int64_t until = fm_clock_ms() + 3000;
    while (polls_of(poll, "two") < 3 && fm_clock_ms() < until)
        (void)usleep(2000);
    uint64_t before = polls_of(poll, "two");
    cr_assert_geq(before, 3);
    struct fm_poll_target_opts next[] = {t[1], t[0]};
    next[0].fingerprint = "changed";
    next[0].queries = next[1].queries = fresh;
    cr_assert_eq(fm_poll_replace(poll, next, 2, &err), FM_OK, "%s", err.text);
    fm_query_free(all); /* nothing may use the old ones any more */
    memset(queries, 0x5a, sizeof queries);
    memset(t, 0x5a, sizeof t);
    cr_assert(wait_until(two_reopened, 3000));
    cr_expect_geq(polls_of(poll, "two"), before, "its counters go on");
    int n = samples();
    until = fm_clock_ms() + 3000;
    while (samples() < n + 4 && fm_clock_ms() < until)
        (void)usleep(2000);
    cr_expect_geq(samples(), n + 4);
    cr_expect_eq(one.opens, 1, "the unchanged one keeps its session");
    close_poll(poll);
    fm_query_free(again);
}

/* A reload while a JVM that was stopped is asked for names; then it goes on. */
Test(poll, forgets_old_queries_although_a_list_of_names_is_in_flight)
{
    struct fm_query *all = query("d:type=*", "A"), *again = query("d:type=*", "A");
    struct fm_poll_query queries[] = {{.query = all}}, fresh[] = {{.query = again}};
    struct fm_poll_target_opts t = {.name = "t",
                                    .url = "one:1",
                                    .interval_ms = 20,
                                    .timeout_ms = 1500, /* the reload comes sooner */
                                    .queries = queries,
                                    .n_queries = 1,
                                    .fingerprint = "a"};
    struct fm_poll_target_opts next = t;
    struct fm_err err = {0};
    next.queries = fresh;
    one.hang = 1;
    struct fm_poll *poll = open_poll(&t, 1);
    cr_assert_eq(fm_poll_start(poll, NULL), FM_OK);
    int64_t until = fm_clock_ms() + 3000;
    while (one.lists == 0 && fm_clock_ms() < until)
        (void)usleep(1000);
    cr_assert_eq(fm_poll_replace(poll, &next, 1, &err), FM_OK, "%s", err.text);
    cr_assert_eq(one.cancels, 0, "the list was still in flight");
    fm_query_free(all); /* its pattern with it */
    memset(queries, 0x5a, sizeof queries);
    memset(&t, 0x5a, sizeof t);
    until = fm_clock_ms() + 3000;
    while (one.cancels == 0 && fm_clock_ms() < until)
        (void)usleep(1000);
    cr_assert_gt(one.asked, 8, "the names were still there when it was given up");
    one.hang = 0;
    fm_poll_retry(poll);
    cr_assert(wait_until(three_samples, 3000));
    close_poll(poll);
    cr_expect_not_null(strstr(seen.last, "d:type=c"));
    fm_query_free(again);
}

Test(poll, stops_while_a_target_hangs)
{
    struct fm_query *all = query("d:*", "A");
    struct fm_poll_query queries[] = {{.query = all}};
    struct fm_poll_target_opts t = {
        .name = "t", .url = "one:1", .queries = queries, .n_queries = 1};
    one.hang = 1;
    struct fm_poll *poll = open_poll(&t, 1);
    cr_assert_eq(fm_poll_start(poll, NULL), FM_OK);
    int64_t until = fm_clock_ms() + 3000;
    while (one.lists == 0 && fm_clock_ms() < until)
        (void)usleep(1000);
    int64_t start = fm_clock_ms();
    close_poll(poll);
    cr_expect_lt(fm_clock_ms() - start, 1000);
    cr_expect_eq(seen.samples, 0);
    fm_query_free(all);
}

Test(poll, refuses_targets_it_cannot_mean)
{
    static const char *const bad[] = {"",       "x",     "pid:",    "pid:0",    "pid:1x",
                                      "local:", "a:0",   "a:70000", "a:b",      "a/b:1",
                                      "u@h:1",  "::1:5", "[::1]",   "NAME/PART"};
    static const char *const good[] = {
        "pid:1",   "local:*",          "a:1",
        "[::1]:5", "http://x/jolokia", "service:jmx:rmi:///jndi/rmi://h:1/jmxrmi"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_eq(fm_target_check(bad[i], NULL), FM_ECONF, "%s", bad[i]);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_expect_eq(fm_target_check(good[i], NULL), FM_OK, "%s", good[i]);
}

Test(poll, shows_hosts_and_urls_without_secrets)
{
    static const struct {
        const char *url, *host, *shown;
    } cases[] = {
        {"web-1:9010", "web-1", "web-1:9010"},
        {"[::1]:9010", "::1", "[::1]:9010"},
        {"service:jmx:rmi:///jndi/rmi://h1:1099/jmxrmi", "h1",
         "service:jmx:rmi:///jndi/rmi://h1:1099/jmxrmi"},
        {"service:jmx:rmi://h2:5/jndi/rmi://h1:1099/jmxrmi", "h1",
         "service:jmx:rmi://h2:5/jndi/rmi://h1:1099/jmxrmi"},
        {"service:jmx:rmi://127.0.0.1/stub/rO0AB", "127.0.0.1",
         "service:jmx:rmi://127.0.0.1/stub/..."},
        {"https://u:p@x@h:8443/jolokia?token=1", "h", "https://h:8443/jolokia"},
        {"http://h/jolokia", "h", "http://h/jolokia"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[256];
        fm_target_host(cases[i].url, out, sizeof out);
        cr_expect_str_eq(out, cases[i].host, "%s: %s", cases[i].url, out);
        fm_target_shown(cases[i].url, out, sizeof out);
        cr_expect_str_eq(out, cases[i].shown, "%s: %s", cases[i].url, out);
    }
}
