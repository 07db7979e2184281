/* When targets are polled, what a poll cost, and which limits it met. The clock is given to the
 * target, so nothing here waits. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "fake.h"

enum { INTERVAL = 10000 };

static struct fake_jvm jvm = {.url = "one:1",
                              .start_time = 1,
                              .beans = {"d:type=a", "d:type=b", "d:type=c", "e:type=x"},
                              .n_beans = 4};
static struct fm_query *all, *some;
static struct fm_poll_query queries[2];

static struct fm_query *query(const char *name, const char *bean, const char *const *attributes,
                              size_t n, unsigned max_beans)
{
    struct fm_query *q = NULL;
    struct fm_query_opts o = {.name = name,
                              .bean = bean,
                              .attributes = attributes,
                              .n_attributes = n,
                              .max_beans = max_beans};
    cr_assert_eq(fm_query_new(&q, &o, NULL), FM_OK);
    return q;
}

static void set_up(void)
{
    static const char *const two[] = {"A", "Usage"}, *const one[] = {"A"};
    cr_assert_eq(fm_net_init(NULL), FM_OK);
    fake_jvms[0] = &jvm;
    all = query("all", "d:*", two, 2, 2);
    some = query("some", "*:type=a", one, 1, 0);
    queries[0] = (struct fm_poll_query){.query = all};
    queries[1] = (struct fm_poll_query){.query = some};
}

static void tear_down(void)
{
    fm_query_free(all);
    fm_query_free(some);
}

TestSuite(schedule, .init = set_up, .fini = tear_down);

static struct fm_poll *open_poll(const struct fm_poll_target_opts *targets, size_t n)
{
    struct fm_poll *poll = NULL;
    struct fm_err err = {0};
    struct fm_poll_opts o = {.targets = targets,
                             .n_targets = n,
                             .host_name = "here",
                             .max_backoff_ms = 60000,
                             .max_backoff_denied_ms = 300000};
    cr_assert_eq(fm_poll_new_with(&poll, &o, &fake_sessions, &err), FM_OK, "%s", err.text);
    cr_assert_eq(fm_sections_expand(poll, NULL), FM_OK);
    return poll;
}

static struct fm_poll_target_opts opts(const char *name)
{
    return (struct fm_poll_target_opts){.name = name,
                                        .url = "one:1",
                                        .interval_ms = INTERVAL,
                                        .timeout_ms = INTERVAL,
                                        .queries = queries,
                                        .n_queries = 2};
}

/* Where in the grid of the wall clock the next poll stands. */
static int64_t place(const struct fm_target *t)
{
    int64_t at = fm_wall_ms() + t->due_ms - fm_clock_ms();
    return (at % INTERVAL + INTERVAL) % INTERVAL;
}

static int64_t apart(int64_t a, int64_t b)
{
    int64_t d = (a - b + INTERVAL) % INTERVAL;
    return d < INTERVAL / 2 ? d : INTERVAL - d;
}

static void finish_poll(struct fm_target *t)
{
    for (int i = 0; i < 100 && t->phase != FM_PHASE_IDLE; i++)
        fm_target_step(t);
    cr_assert_eq(t->phase, FM_PHASE_IDLE);
}

/* The first poll at its own time; then the target is on the grid. */
static void first_poll(struct fm_target *t)
{
    (void)fm_target_tick(t, t->due_ms);
    finish_poll(t);
}

Test(schedule, a_target_has_its_fixed_place_in_the_grid)
{
    struct fm_poll_target_opts o[] = {opts("orders"), opts("billing")};
    int64_t places[2][2];
    for (int round = 0; round < 2; round++) {
        struct fm_poll *poll = open_poll(o, 2);
        for (int i = 0; i < 2; i++) {
            struct fm_target *t = poll->targets[i];
            first_poll(t);
            places[round][i] = place(t);
            int64_t due = t->due_ms;
            cr_expect_geq(due - fm_clock_ms(), INTERVAL / 4 - 50, "not at once again");
            (void)fm_target_tick(t, due);
            finish_poll(t);
            cr_expect_eq(t->due_ms, due + INTERVAL, "from then on the monotonic clock alone");
            cr_expect_eq(t->late_ms, 0);
        }
        fm_poll_free(poll);
    }
    cr_expect_leq(apart(places[0][0], places[1][0]), 100, "the same after a restart");
    cr_expect_leq(apart(places[0][1], places[1][1]), 100);
    cr_expect_gt(apart(places[0][0], places[0][1]), 100, "names spread over the interval");
}

Test(schedule, the_first_polls_of_many_targets_are_spread)
{
    enum { MANY = 1200 };
    static char names[MANY][16];
    struct fm_poll_target_opts *o = calloc(MANY, sizeof *o);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof names[i], "t%d", i);
        o[i] = opts(names[i]);
    }
    int64_t now = fm_clock_ms(), last = 0;
    struct fm_poll *poll = open_poll(o, MANY);
    unsigned per_100ms[INTERVAL / 100] = {0};
    for (size_t i = 0; i < poll->n_targets; i++) {
        int64_t wait = poll->targets[i]->due_ms - now;
        cr_assert(wait >= 0 && wait < INTERVAL, "%lld", (long long)wait);
        per_100ms[wait / 100]++;
        last = wait > last ? wait : last;
    }
    for (size_t i = 0; i < INTERVAL / 100; i++)
        cr_expect_leq(per_100ms[i], 45, "%u begin within 100 ms", per_100ms[i]);
    cr_expect_leq(last, INTERVAL / 2 + 1000, "all within half an interval");
    fm_poll_free(poll);
    free(o);
}

Test(schedule, what_was_missed_is_counted_and_not_caught_up)
{
    struct fm_poll_target_opts o = opts("t");
    struct fm_poll *poll = open_poll(&o, 1);
    struct fm_target *t = poll->targets[0];
    first_poll(t);
    int64_t due = t->due_ms;
    (void)fm_target_tick(t, due + 3 * INTERVAL + 700);
    cr_expect_eq(t->missed, 3, "%llu", (unsigned long long)t->missed);
    cr_expect_eq(t->due_ms, due + 4 * INTERVAL, "back on the grid");
    finish_poll(t);
    cr_expect_eq(t->late_ms, 700);
    cr_expect_eq(t->polls, 2, "one poll, not four");
    jvm.hang = 1;
    due = t->due_ms;
    (void)fm_target_tick(t, due);
    (void)fm_target_tick(t, due + INTERVAL - 1);
    cr_expect_eq(t->missed, 3);
    t->deadline_ms = due + 2 * INTERVAL; /* still in flight at the next place */
    (void)fm_target_tick(t, due + INTERVAL);
    cr_expect_eq(t->missed, 4, "no second poll beside the one in flight");
    cr_expect_eq(jvm.max_in_flight, 1);
    fm_poll_free(poll);
}

Test(schedule, backs_off_by_doubling_with_jitter_up_to_its_cap)
{
    struct fm_poll_target_opts o = opts("t");
    struct fm_poll *poll = open_poll(&o, 1);
    struct fm_target *t = poll->targets[0];
    struct fm_err err = {0};
    (void)fm_err_set(&err, FM_ECONNECT, "refused");
    static const int64_t waits[] = {0, 20000, 40000, 60000, 60000, 60000};
    bool jitter = false;
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        t->start_ms = 1000000;
        fm_target_finish(t, FM_ECONNECT, &err);
        int64_t wait = t->not_before_ms == 0 ? 0 : t->not_before_ms - t->start_ms + INTERVAL / 2;
        cr_expect(wait >= waits[i] && wait <= waits[i] + waits[i] / 4, "%zu: %lld", i,
                  (long long)wait);
        jitter = jitter || wait > waits[i];
    }
    cr_expect(jitter);
    for (int i = 0; i < 4; i++)
        fm_target_finish(t, FM_EAUTH, &err);
    int64_t wait = t->not_before_ms - t->start_ms + INTERVAL / 2;
    cr_expect(wait >= 300000 && wait <= 375000, "credentials: %lld", (long long)wait);
    int lists = jvm.lists;
    t->due_ms = t->start_ms + INTERVAL;
    t->begun = true;
    (void)fm_target_tick(t, t->start_ms + INTERVAL);
    cr_expect_eq(jvm.lists, lists, "held back");
    cr_expect_eq(t->missed, 0, "... which is not missed");
    fm_poll_free(poll);
}

Test(schedule, tells_what_each_query_cost_and_which_limit_was_met)
{
    struct fm_poll_target_opts o = opts("t");
    struct fm_poll *poll = open_poll(&o, 1);
    struct fm_target *t = poll->targets[0];
    struct fm_poll_snapshot snap;
    first_poll(t);
    t->due_ms = fm_clock_ms();
    for (int round = 0; round < 2; round++) { /* without and with what the first had to learn */
        cr_assert_eq(fm_poll_status_get(poll, &snap, NULL), FM_OK);
        const struct fm_poll_status *s = &snap.targets[0];
        cr_expect(s->cut, "told in every poll, not only at a discovery");
        cr_expect_not_null(strstr(s->error, "query all: more beans match than max_beans = 2"), "%s",
                           s->error);
        cr_expect(s->queries[0].cut);
        cr_expect_not(s->queries[1].cut);
        /* a: shared by 3 to 2; b: the first's alone; the first round listed names too */
        uint64_t names = round == 0 ? 60 : 0;
        cr_expect_eq(s->queries[0].bytes, 36 + 60 + names, "%llu",
                     (unsigned long long)s->queries[0].bytes);
        cr_expect_eq(s->queries[1].bytes, 24 + names, "%llu",
                     (unsigned long long)s->queries[1].bytes);
        cr_expect_float_eq(s->queries[1].duration_ms, 1.2 + (double)names / 20, 0.001);
        cr_expect_eq(s->queries[0].attributes, 4);
        cr_expect_gt(s->bytes_out, 0);
        fm_poll_snapshot_clear(&snap);
        first_poll(t);
    }
    fm_poll_free(poll);
}

/* ---- hundreds of targets, and a target with a hundred thousand beans ---- */

static struct fake_jvm hanging = {.url = "hangs:1", .hang = 1};
static struct fake_jvm refusing = {.url = "refuses:1", .refuse = FM_ECONNECT};

static int compare(const void *a, const void *b)
{
    return (int)(*(const unsigned *)a) - (int)(*(const unsigned *)b);
}

static bool polled_often(struct fm_poll *poll, struct fm_poll_snapshot *snap)
{
    cr_assert_eq(fm_poll_status_get(poll, snap, NULL), FM_OK);
    bool all_did = snap->n > 0; /* the sections have been expanded */
    for (size_t i = 0; i < snap->n && all_did; i++)
        all_did = snap->targets[i].polls >= 2 || strncmp(snap->targets[i].url, "one", 3) != 0;
    if (!all_did)
        fm_poll_snapshot_clear(snap);
    return all_did;
}

Test(schedule, hundreds_that_hang_or_refuse_delay_nobody, .timeout = 30)
{
    enum { TARGETS = 500, TWO_SECONDS = 2000 };
    static char names[TARGETS][16];
    struct fm_poll_target_opts o[TARGETS];
    struct fm_poll_snapshot snap;
    unsigned late[TARGETS];
    size_t n = 0;
    fake_jvms[1] = &hanging;
    fake_jvms[2] = &refusing;
    for (int i = 0; i < TARGETS; i++) {
        (void)snprintf(names[i], sizeof names[i], "t%d", i);
        o[i] = opts(names[i]);
        o[i].interval_ms = TWO_SECONDS;
        o[i].timeout_ms = TWO_SECONDS;
        o[i].url = i % 5 == 3 ? hanging.url : i % 5 == 4 ? refusing.url : jvm.url;
    }
    struct fm_poll *poll = NULL;
    struct fm_poll_opts po = {.targets = o, .n_targets = TARGETS, .host_name = "here"};
    cr_assert_eq(fm_poll_new_with(&poll, &po, &fake_sessions, NULL), FM_OK);
    cr_assert_eq(fm_poll_start(poll, NULL), FM_OK);
    int64_t until = fm_clock_ms() + 20000;
    while (!polled_often(poll, &snap))
        cr_assert_lt(fm_clock_ms(), until);
    for (size_t i = 0; i < snap.n; i++) {
        const struct fm_poll_status *t = &snap.targets[i];
        if (strcmp(t->url, jvm.url) != 0)
            continue;
        cr_expect_eq(t->missed, 0, "%s", t->name);
        cr_expect_eq(t->failed, 0, "%s", t->name);
        late[n++] = t->late_ms;
    }
    fm_poll_snapshot_clear(&snap);
    qsort(late, n, sizeof *late, compare);
    cr_assert_eq(n, 300);
    cr_expect_lt(late[n / 2], TWO_SECONDS / 20, "half begin more than %u ms late", late[n / 2]);
    cr_expect_leq(hanging.max_in_flight, 100, "one poll in flight for each");
    fm_poll_stop(poll);
    cr_assert(fm_poll_join(poll, 3000));
    fm_poll_free(poll);
}

Test(schedule, a_hundred_thousand_beans_with_ever_new_names_are_cut_the_same_way)
{
    enum { BEANS = 100000, TAKEN = 500 };
    struct fake_jvm huge = {.url = "one:1", .start_time = 1, .many = BEANS};
    struct fm_query *q =
        query("every", "d:*", (const char *const[]){"A"}, 1, 0); /* 2000 by default */
    struct fm_poll_query every[] = {{.query = q, .discovery_ms = 1}};
    struct fm_poll_target_opts o = opts("t");
    o.queries = every;
    o.n_queries = 1;
    o.max_beans = TAKEN;
    o.max_bytes = 16 << 20;
    fake_jvms[0] = &huge;
    struct fm_poll *poll = open_poll(&o, 1);
    struct fm_target *t = poll->targets[0];
    for (int i = 0; i < 3; i++) {
        first_poll(t);
        cr_assert_eq(t->code, FM_OK, "%s", t->error);
        cr_expect_eq(t->beans, TAKEN, "%zu", t->beans);
        cr_expect(t->cut);
        cr_expect_lt(strcmp(t->cache.beans[TAKEN - 1].name.canonical, "d:n=00004000"), 0,
                     "the first by name, not any: %s", t->cache.beans[TAKEN - 1].name.canonical);
        cr_expect_lt(t->cache.arena.used, 1 << 20, "%zu", t->cache.arena.used);
        t->due_ms = fm_clock_ms();
    }
    o.max_bytes = 64 * 1024; /* the list alone is too much: an error, no half of it */
    fm_poll_free(poll);
    poll = open_poll(&o, 1);
    t = poll->targets[0];
    first_poll(t);
    cr_expect_eq(t->beans, 0);
    cr_expect_gt(t->queries[0].errors, 0);
    cr_expect_not_null(strstr(t->queries[0].error, "too large"), "%s", t->queries[0].error);
    fm_poll_free(poll);
    fm_query_free(q);
}
