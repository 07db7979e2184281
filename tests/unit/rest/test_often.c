/* What must not go wrong once in a thousand times. Several senders side by side, each with a proxy
 * of its own, so that a thousand times take seconds. */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "rig.h"

enum { SENDERS = 20, TIMES = 1000 };

static struct sender senders[SENDERS];
static atomic_uint happened; /* at all proxies */
static atomic_uint noise = 1; /* for the random moments */

static unsigned up_to(unsigned most)
{
    unsigned x = atomic_fetch_add(&noise, 1) * 2654435761u;
    return (x >> 8) % (most + 1);
}

/* ---- D11: the answer comes after the request was given up ---- */

/* It says that all was accepted, which is not so. */
static void late(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                 void *arg)
{
    (void)m, (void)arg;
    if (!req->post || req->nth % 2 != 0 || happened >= TIMES)
        return;
    happened++;
    reply->delay_ms = 1500; /* of 100: also a sender that got no processor for long has given up */
    for (size_t i = 0; i < req->n; i++)
        reply->stored[i] = false;
}

Test(often, a_thousand_late_answers_are_taken_for_no_other_request)
{
    enum { RECORDS = 400 };
    for (size_t i = 0; i < SENDERS; i++) {
        struct sender *s = &senders[i];
        sender_setup(s, late);
        s->opts.timeout_ms = s->opts.timeout_single_ms = 100;
        s->opts.backoff_ms = s->opts.max_backoff_ms = 2;
        spool_add(s->spool, "t", RECORDS, 40, FM_RECORD_DATA);
        s->rest = rig_start(&s->opts);
    }
    for (size_t i = 0; i < SENDERS; i++)
        rig_drain(senders[i].rest, 20000);
    cr_assert_geq(happened, TIMES);
    for (size_t i = 0; i < SENDERS; i++) {
        /* Not one on the word of a late answer. */
        cr_assert_eq(mock_stored(senders[i].mock), RECORDS);
        cr_assert_gt(rig_stats(senders[i].rest).possible_duplicates, 0);
        sender_teardown(&senders[i]);
    }
}

/* ---- D12: the proxy ends a kept connection about when it is used again ---- */

/* Behind an answer to POST it reads nothing more, and closes soon, or when it is used again. */
static void closes_soon(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                        void *arg)
{
    (void)m, (void)arg;
    if (!req->post)
        return;
    happened++;
    if (happened % 4 == 0)
        reply->until_asked = true;
    else
        reply->deaf_ms = 1 + (int)up_to(49);
}

static void await_all(size_t n)
{
    int64_t limit = fm_clock_ms() + 10000;
    for (size_t i = 0; i < SENDERS;) {
        struct fm_rest_stats s = rig_stats(senders[i].rest);
        cr_assert(s.n_topics_failing == 0, "health changed: %s", s.topics[0].reason);
        cr_assert_lt(fm_clock_ms(), limit, "a back-off where there should be none");
        if (s.records == n)
            i++;
        else
            usleep(500);
    }
}

/* A back-off lasts a minute here: with a single one the records would not arrive in time. */
Test(often, a_thousand_connections_closed_at_their_reuse_are_no_outage)
{
    for (size_t i = 0; i < SENDERS; i++) {
        struct sender *s = &senders[i];
        sender_setup(s, closes_soon);
        s->opts.backoff_ms = s->opts.max_backoff_ms = 60000;
        s->opts.timeout_ms = s->opts.timeout_single_ms = 20000;
        s->rest = rig_start(&s->opts);
    }
    for (size_t n = 1; n <= TIMES / SENDERS; n++) {
        for (size_t i = 0; i < SENDERS; i++) {
            spool_add(senders[i].spool, "t", 1, 40, FM_RECORD_DATA);
            fm_rest_wakeup(senders[i].rest);
        }
        await_all(n);
        usleep(up_to(50) * 1000); /* the time in which nothing is sent is what is tried here */
    }
    uint64_t in_doubt = 0;
    cr_assert_geq(happened, TIMES);
    for (size_t i = 0; i < SENDERS; i++) {
        in_doubt += rig_stats(senders[i].rest).possible_duplicates;
        cr_assert_eq(mock_repeats(senders[i].mock), 0);
        sender_teardown(&senders[i]);
    }
    cr_assert_gt(in_doubt, TIMES / 10, "only %d met a closing connection", (int)in_doubt);
}
