/* The end of the work: what a stop still sends, how long it waits; and what the log hears of an
 * outage and of a dead letter. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "rig.h"

/* The rest of the line is sent, however long it might linger, and then it is over. */
Test(finish, sends_what_waits_and_ends_when_nothing_is_left)
{
    struct sender r;
    sender_setup(&r, NULL);
    r.opts.linger_ms = 60000;
    spool_add(r.spool, "t", 512, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    fm_rest_finish(r.rest, 60000);
    cr_assert(fm_rest_join(r.rest, 20000));
    cr_assert_eq(mock_stored(r.mock), 512);
    cr_assert_eq(spool_count(r.spool, FATE_PENDING), 0);
    cr_assert_eq(rig_stats(r.rest).possible_duplicates, 0);
    sender_teardown(&r);
}

Test(finish, does_not_wait_for_a_proxy_that_is_away)
{
    struct sender r;
    sender_setup(&r, NULL);
    r.urls[0] = "http://127.0.0.1:1";
    spool_add(r.spool, "t", 10, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    rig_wait_state(r.rest, FM_REST_OUTAGE, 5000);
    fm_rest_finish(r.rest, 60000);
    cr_assert(fm_rest_join(r.rest, 20000));
    cr_assert_eq(spool_count(r.spool, FATE_PENDING), 10);
    sender_teardown(&r);
}

static void take_time(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                      void *arg)
{
    (void)m;
    (void)arg;
    if (req->post)
        reply->delay_ms = 20;
}

/* What would be heard late: a signal, while all goes well. */
Test(finish, a_slice_of_draining_ends_in_time_while_records_are_settled)
{
    struct sender r;
    struct fm_err err;
    sender_setup(&r, take_time);
    r.opts.batch_records = 1;
    spool_add(r.spool, "t", 1000, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    mock_wait_posts(r.mock, 2);
    cr_assert_eq(fm_rest_drain(r.rest, 100, &err), FM_ETIMEOUT);
    cr_assert_leq(mock_stored(r.mock), 500);
    fm_rest_stop(r.rest, 1000);
    cr_assert(fm_rest_join(r.rest, 5000));
    sender_teardown(&r);
}

Test(finish, begins_no_request_that_it_could_not_wait_for)
{
    struct sender r;
    sender_setup(&r, take_time);
    r.opts.batch_records = 1;
    spool_add(r.spool, "t", 1000, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    mock_wait_posts(r.mock, 2);
    fm_rest_finish(r.rest, 1500);
    cr_assert(fm_rest_join(r.rest, 10000));
    cr_assert_gt(mock_stored(r.mock), 5);
    cr_assert_gt(spool_count(r.spool, FATE_PENDING), 0);
    cr_assert_eq(rig_stats(r.rest).possible_duplicates, 0);
    sender_teardown(&r);
}

/* ---- what the log hears ---- */

static void away(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                 void *arg)
{
    (void)m, (void)req;
    struct sender *r = arg;
    if (r->phase == 0)
        mock_body(reply, 503, "{\"error_code\":503,\"message\":\"away\"}");
}

static unsigned lines_with(const char *text, const char *part)
{
    unsigned n = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
        n++;
    return n;
}

Test(finish, tells_an_outage_once_and_its_end_and_when_what_waited_was_sent)
{
    struct sender r;
    int fds[2];
    char text[8192] = "";
    sender_setup(&r, away);
    cr_assert_eq(pipe2(fds, O_NONBLOCK), 0);
    cr_assert_eq(fm_log_new(&r.opts.log, fds[1], FM_LOG_INFO, FM_LOG_TEXT, NULL), FM_OK);
    spool_add(r.spool, "t", 500, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    while (mock_gets(r.mock) < 8)
        usleep(1000);
    r.phase = 1;
    rig_drain(r.rest, 5000);
    struct fm_log *log = r.opts.log;
    sender_teardown(&r);
    fm_log_free(log);
    cr_assert_gt(read(fds[0], text, sizeof text - 1), 0);
    cr_expect_eq(lines_with(text, "; next try in "), 1, "%s", text);
    cr_expect_eq(lines_with(text, "topic t: outage: "), 1, "%s", text);
    cr_expect_eq(lines_with(text, "topic t: records are accepted again after "), 1, "%s", text);
    cr_expect_eq(lines_with(text, "records that waited were sent in "), 1, "%s", text);
    cr_expect_eq(lines_with(text, "\n"), 3, "%s", text);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void on_dead(void *arg, const struct fm_spool_id *id, const char *reason)
{
    (void)id, (void)reason;
    ++*(unsigned *)arg;
}

/* A program that hears of each need not say so to people; only who does says it itself. */
Test(finish, a_dead_letter_is_a_warning_in_the_log_unless_it_is_told_elsewhere)
{
    for (int told = 0; told <= 1; told++) {
        struct sender r;
        int fds[2];
        unsigned dead = 0;
        char text[8192] = "";
        sender_setup(&r, sender_poison);
        r.bad = 3;
        r.opts.on_dead = on_dead;
        r.opts.on_dead_arg = &dead;
        r.opts.tells_dead = told != 0;
        cr_assert_eq(pipe2(fds, O_NONBLOCK), 0);
        cr_assert_eq(fm_log_new(&r.opts.log, fds[1], FM_LOG_INFO, FM_LOG_TEXT, NULL), FM_OK);
        spool_add(r.spool, "t", 10, 100, FM_RECORD_DATA);
        r.rest = rig_start(&r.opts);
        rig_drain(r.rest, 3000);
        struct fm_log *log = r.opts.log;
        sender_teardown(&r);
        fm_log_free(log);
        cr_assert_gt(read(fds[0], text, sizeof text - 1), 0);
        cr_expect_eq(dead, 1);
        const char *line = strstr(text, told ? " info  record " : " warn  record ");
        cr_assert_not_null(line, "%d: %s", told, text);
        cr_expect_not_null(strstr(line, "/3 of topic t became a dead letter: "), "%s", text);
        (void)close(fds[0]);
        (void)close(fds[1]);
    }
}

/* How the proxy is away, in the middle of a run. */
static void away_again(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                       void *arg)
{
    (void)m;
    struct sender *r = arg;
    for (size_t i = 0; r->phase != 0 && i < req->n; i++)
        reply->stored[i] = false;
    if (r->phase == 1)
        reply->how = MOCK_RESET;
    else if (r->phase == 2)
        reply->how = MOCK_CLOSE;
    else if (r->phase == 3)
        reply->how = MOCK_HANG;
    else if (r->phase == 4)
        mock_body(reply, 503, "{\"error_code\":503,\"message\":\"away\"}");
    else if (r->phase == 5 && req->post)
        mock_refuse(req, reply, "50003,no leader");
}

static void run_with_outage(unsigned phase)
{
    struct sender r;
    int fds[2];
    char text[8192] = "";
    sender_setup(&r, away_again);
    cr_assert_eq(pipe2(fds, O_NONBLOCK), 0);
    cr_assert_eq(fm_log_new(&r.opts.log, fds[1], FM_LOG_INFO, FM_LOG_TEXT, NULL), FM_OK);
    if (phase == 3)
        rig_hurry(&r.opts);
    spool_add(r.spool, "t", 500, 100, FM_RECORD_DATA);
    r.rest = rig_start(&r.opts);
    rig_drain(r.rest, 5000);
    r.phase = phase;
    unsigned seen = mock_gets(r.mock) + mock_posts(r.mock);
    spool_add(r.spool, "t", 500, 100, FM_RECORD_DATA);
    fm_rest_wakeup(r.rest);
    while (mock_gets(r.mock) + mock_posts(r.mock) < seen + 8)
        usleep(1000);
    r.phase = 0;
    rig_drain(r.rest, 10000);
    struct fm_log *log = r.opts.log;
    sender_teardown(&r);
    fm_log_free(log);
    cr_assert_gt(read(fds[0], text, sizeof text - 1), 0, "nothing told in way %u", phase);
    cr_expect_eq(lines_with(text, "topic t: outage: "), 1, "%u: %s", phase, text);
    cr_expect_eq(lines_with(text, "records are accepted again after "), 1, "%u: %s", phase, text);
    cr_expect_eq(lines_with(text, "records that waited were sent in "), 1, "%u: %s", phase, text);
    cr_expect_eq(lines_with(text, " warn "), 1, "%u: %s", phase, text);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

Test(finish, tells_an_outage_of_resets_in_the_middle_of_a_run)
{
    run_with_outage(1);
}

Test(finish, tells_an_outage_of_closed_connections_in_the_middle_of_a_run)
{
    run_with_outage(2);
}

Test(finish, tells_an_outage_of_hanging_answers_in_the_middle_of_a_run)
{
    run_with_outage(3);
}

Test(finish, tells_an_outage_of_503_in_the_middle_of_a_run)
{
    run_with_outage(4);
}

Test(finish, tells_an_outage_of_requests_to_be_tried_again_in_the_middle_of_a_run)
{
    run_with_outage(5);
}
