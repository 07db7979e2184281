/* How large a body may be: catalogue D14, no endless requests of full size on a line that swallows
 * them, and no small ones for ever after it. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "rest/topic_priv.h"

enum { FULL = 350 * 1024, HOLD_MS = 30000 };

static struct fm_topic *t;

static void start(void)
{
    static struct fm_rest_conf conf = {.o = {.batch_bytes = FULL, .hold_interval_ms = HOLD_MS}};
    static struct fm_rest rest = {.conf = &conf};
    t = calloc(1, sizeof *t);
    cr_assert_not_null(t);
    t->rest = &rest;
}

static void stop(void)
{
    free(t);
}

TestSuite(size, .init = start, .fini = stop);

Test(size, is_at_most_a_kib_after_three_bodies_that_did_not_get_through)
{
    cr_expect_eq(fm_size_body(t, FULL), FULL);
    fm_size_stalled(t, FULL, 1000);
    cr_expect_eq(fm_size_body(t, FULL), FULL, "once may be an outage");
    fm_size_passed(t, 700, 1100); /* a record alone says nothing about large ones */
    fm_size_stalled(t, FULL, 2000);
    cr_expect_eq(fm_size_body(t, FULL), FULL / 2);
    fm_size_passed(t, 700, 2100);
    fm_size_stalled(t, FULL / 2, 3000);
    cr_expect_eq(fm_size_body(t, FULL), 1024);
    fm_size_stalled(t, 1000, 4000);
    cr_expect_eq(fm_size_body(t, FULL), 1024, "never less");
}

Test(size, grows_again_in_time_as_far_as_the_line_lets_it)
{
    int64_t now = 1000;
    for (int i = 0; i < 3; i++)
        fm_size_stalled(t, FULL, now);
    fm_size_passed(t, 1000, now + HOLD_MS);
    cr_expect_eq(fm_size_body(t, FULL), 1024, "not at once");
    now += 8 * HOLD_MS;
    fm_size_passed(t, 100, now);
    cr_expect_eq(fm_size_body(t, FULL), 1024, "a small one shows nothing");
    for (size_t size = 1024; size < FULL; size *= 2) {
        cr_expect_eq(fm_size_body(t, FULL), size);
        fm_size_passed(t, size, now);
    }
    cr_expect_eq(fm_size_body(t, FULL), FULL);
    fm_size_stalled(t, FULL, now); /* all is forgotten: once may be an outage */
    cr_expect_eq(fm_size_body(t, FULL), FULL);
}

Test(size, that_stalls_again_while_it_grows_waits_longer_each_time)
{
    int64_t now = 1000;
    for (int i = 0; i < 3; i++)
        fm_size_stalled(t, FULL, now);
    int64_t before = t->size.grow_at - now;
    fm_size_stalled(t, 2048, now);
    cr_expect_gt(t->size.grow_at - now, before);
    for (int i = 0; i < 20; i++)
        fm_size_stalled(t, 2048, now);
    cr_expect_leq(t->size.grow_at - now, 64 * HOLD_MS);
    cr_expect_eq(fm_size_body(t, FULL), 1024);
}

Test(size, that_a_proxy_refused_does_not_grow_in_this_run)
{
    fm_size_refused(t, 100000);
    for (int i = 0; i < 10; i++)
        fm_size_passed(t, 50000, 1000 + (int64_t)i * 100 * HOLD_MS);
    cr_expect_eq(fm_size_body(t, FULL), 50000);
    fm_size_forget(t);
    cr_expect_eq(fm_size_body(t, FULL), FULL);
}
