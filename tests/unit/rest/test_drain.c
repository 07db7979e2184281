/* The pace of a backlog: drain_rate. */
#include <criterion/criterion.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "rest/rest_priv.h"
#include "rig.h"

/* Send for a time under a clock of our own; made grows by fresh records a second. */
static uint64_t simulate(struct fm_drain *d, unsigned rate, size_t batch, unsigned fresh,
                         int64_t from, int64_t ms, uint64_t *requests)
{
    uint64_t sent = 0;
    for (int64_t now = from; now < from + ms;) {
        int64_t again = now;
        size_t n = fm_drain_allow(d, rate, batch, 1000 + (uint64_t)now * fresh / 1000, now, &again);
        cr_assert_leq(n, batch);
        if (n == 0) {
            cr_assert_gt(again, now);
            now = fresh > 0 && again > now + 10 ? now + 10 : again; /* news wake it */
            continue;
        }
        fm_drain_sent(d, n);
        sent += n;
        ++*requests;
        now++; /* a request takes a millisecond */
    }
    return sent;
}

Test(drain, sends_so_many_a_second_in_requests_of_some_size)
{
    static const unsigned rates[] = {1, 7, 100, 2000, 100000};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        struct fm_drain d = {.on = false};
        uint64_t requests = 0;
        uint64_t sent = simulate(&d, rates[i], 500, 0, 1000000, 20000, &requests);
        cr_expect_leq(sent, rates[i] * 20u);
        cr_expect_geq(sent, rates[i] * 20u * 9 / 10 - 1, "%u: %lu", rates[i], sent);
        cr_expect_leq(requests, 20 * (rates[i] / 500 + 5));
    }
}

Test(drain, never_holds_fresh_records_below_their_own_pace)
{
    struct fm_drain d = {.on = false};
    uint64_t requests = 0;
    uint64_t sent = simulate(&d, 100, 500, 1000, 0, 30000, &requests);
    cr_assert_geq(sent, 30000 * 105 / 100); /* the backlog shrinks */
    cr_assert_leq(sent, 30000 * 112 / 100);
}

Test(drain, saves_no_credit_while_nothing_can_be_sent)
{
    struct fm_drain d = {.on = false};
    uint64_t requests = 0;
    (void)simulate(&d, 1000, 500, 0, 0, 1000, &requests);
    uint64_t sent = simulate(&d, 1000, 500, 0, 601000, 1000, &requests); /* ten minutes later */
    cr_assert_leq(sent, 1000 + 2 * 250 + 250);
}

Test(drain, a_counter_that_falls_begins_anew)
{
    struct fm_drain d = {.on = false};
    int64_t again = 0;
    (void)fm_drain_allow(&d, 10, 500, 1000, 0, &again);
    cr_assert_eq(fm_drain_allow(&d, 10, 500, 3000, 0, &again), 500);
    cr_assert_eq(fm_drain_allow(&d, 10, 500, 5, 0, &again), 0);
}

struct rig {
    atomic_bool down;
};

static void away(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                 void *arg)
{
    (void)m;
    struct rig *r = arg;
    if (r->down) {
        mock_refuse(req, reply, "0,");
        mock_body(reply, 503, "");
    }
}

/* 1000 records after an outage; @return how long they took. */
static int64_t after_an_outage(unsigned rate, unsigned in_flight)
{
    struct rig r = {.down = true};
    struct fm_spool *spool = spool_new();
    struct mock *mock = mock_new(away, &r);
    const char *urls[] = {mock_url(mock)};
    struct fm_rest_opts o = rig_opts(spool, urls, 1);
    o.drain_rate = rate;
    o.max_in_flight = in_flight;
    spool_add(spool, "t", 1000, 100, FM_RECORD_DATA);
    struct fm_rest *rest = rig_start(&o);
    rig_wait_state(rest, FM_REST_OUTAGE, 3000);
    int64_t began = fm_clock_ms();
    r.down = false;
    rig_drain(rest, 5000);
    int64_t took = fm_clock_ms() - began;
    rig_check(rest, spool, mock);
    /* What comes now is not a backlog. */
    began = fm_clock_ms();
    spool_add(spool, "t", 400, 100, FM_RECORD_DATA);
    rig_drain(rest, 5000);
    if (rate != 0)
        cr_expect_lt(fm_clock_ms() - began, 400 * 1000 / rate);
    fm_rest_free(rest);
    mock_free(mock);
    spool_free(spool);
    return took;
}

Test(drain, a_backlog_is_paced_and_fresh_records_are_not)
{
    int64_t paced = after_an_outage(500, 1);
    cr_assert_geq(paced, 1700);
    cr_assert_leq(paced, 4000);
}

Test(drain, several_requests_at_a_time_keep_the_pace_too)
{
    cr_assert_geq(after_an_outage(500, 4), 1700);
}
