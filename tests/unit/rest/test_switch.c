/* The proxy changes below a running sender: fail-over, and a reload that names another one. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "peer.h"
#include "rig.h"

struct rig {
    struct fm_spool *spool;
    struct mock *mock;
    struct fm_rest *rest;
    struct fm_rest_opts opts;
    char dead[64]; /* where nobody listens */
    const char *urls[2];
};

static void setup(struct rig *r)
{
    *r = (struct rig){.spool = spool_new()};
    r->mock = mock_new(NULL, r);
    (void)snprintf(r->dead, sizeof r->dead, "http://127.0.0.1:%u", peer_closed_port());
    r->urls[0] = r->dead;
    r->urls[1] = mock_url(r->mock);
    spool_add(r->spool, "t", 31, 100, FM_RECORD_DATA);
}

static void teardown(struct rig *r)
{
    rig_check(r->rest, r->spool, r->mock);
    fm_rest_stop(r->rest, 0);
    cr_assert(fm_rest_join(r->rest, 3000));
    fm_rest_free(r->rest);
    mock_free(r->mock);
    spool_free(r->spool);
}

static bool is_failing(void *arg)
{
    struct rig *r = arg;
    struct fm_rest_stats s = rig_stats(r->rest);
    return s.n_topics > 0 && s.topics[0].reason[0] != '\0';
}

/* D17 */
Test(switch, fails_over_to_the_endpoint_that_answers)
{
    struct rig r;
    setup(&r);
    r.opts = rig_opts(r.spool, r.urls, 2);
    r.rest = rig_start(&r.opts);
    rig_drain(r.rest, 3000);
    struct fm_rest_stats s = rig_stats(r.rest);
    cr_assert(s.endpoints[1].current);
    cr_assert_eq(s.endpoints[0].state, FM_REST_OUTAGE);
    cr_assert_eq(s.possible_duplicates, 0);
    teardown(&r);
}

Test(switch, new_options_are_taken_over_while_held)
{
    struct rig r;
    setup(&r);
    struct fm_rest_opts bad = rig_opts(r.spool, r.urls, 1);
    r.opts = rig_opts(r.spool, r.urls + 1, 1);
    r.rest = rig_start(&bad);
    rig_wait(is_failing, &r, 3000, "a reason");
    struct fm_err err;
    cr_assert_eq(fm_rest_reconfigure(r.rest, &r.opts, &err), FM_OK);
    rig_drain(r.rest, 3000);
    cr_assert_eq(mock_stored(r.mock), 31);
    teardown(&r);
}
