/* Credentials, HOLD and its way out, suspects beyond their bound, check. */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "peer.h"
#include "rig.h"

struct hold {
    struct fm_spool *spool;
    struct mock *mock;
    struct fm_rest *rest;
    struct fm_rest_opts opts;
    const char *urls[1];
    atomic_uint phase, asked;
    const char *token;
};

static void setup(struct hold *h, mock_fn *fn)
{
    *h = (struct hold){.spool = spool_new(), .token = "old"};
    h->mock = mock_new(fn, h);
    h->urls[0] = mock_url(h->mock);
    h->opts = rig_opts(h->spool, h->urls, 1);
}

static void teardown(struct hold *h)
{
    rig_check(h->rest, h->spool, h->mock);
    fm_rest_free(h->rest);
    mock_free(h->mock);
    spool_free(h->spool);
}

static bool give_token(void *arg, struct fm_buf *out)
{
    struct hold *h = arg;
    h->asked++;
    fm_buf_puts(out, h->phase == 0 ? "old" : "new");
    return true;
}

static void want_new_token(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                           void *arg)
{
    (void)m;
    struct hold *h = arg;
    bool good = strstr(req->head, "Authorization: Bearer new\r\n") != NULL;
    if (h->phase < 2 && req->post && req->nth == 1) /* the token ends now */
        h->phase = h->opts.hold_interval_ms == 41 ? 0 : 1;
    if (req->post && !good) {
        mock_refuse(req, reply, "0,");
        mock_body(reply, 401, "{\"error_code\":401,\"message\":\"Unauthorized\"}");
    }
}

static void bearer(struct hold *h)
{
    h->opts.auth = FM_REST_AUTH_BEARER;
    h->opts.token = "old";
    h->opts.secret = give_token;
    h->opts.secret_arg = h;
}

Test(hold, a_401_reads_the_token_again_and_resends_once)
{
    struct hold h;
    setup(&h, want_new_token);
    bearer(&h);
    spool_add(h.spool, "t", 5, 100, FM_RECORD_DATA);
    h.rest = rig_start(&h.opts);
    rig_drain(h.rest, 3000);
    cr_assert_eq(mock_posts(h.mock), 3); /* 401, one alone, the other four */
    cr_assert_eq(h.asked, 1);
    cr_assert_eq(rig_stats(h.rest).possible_duplicates, 0);
    teardown(&h);
}

Test(hold, an_unchanged_token_holds_until_it_changes)
{
    struct hold h;
    setup(&h, want_new_token);
    bearer(&h);
    h.opts.hold_interval_ms = 41;
    spool_add(h.spool, "t", 5, 100, FM_RECORD_DATA);
    h.rest = rig_start(&h.opts);
    rig_wait_state(h.rest, FM_REST_HOLD, 3000);
    struct fm_rest_stats s = rig_stats(h.rest);
    cr_assert(strstr(s.topics[0].reason, "token") != NULL, "%s", s.topics[0].reason);
    cr_assert_eq(s.endpoints[0].state, FM_REST_HOLD);
    h.phase = 2;
    rig_drain(h.rest, 3000);
    teardown(&h);
}

static void want_basic(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                       void *arg)
{
    (void)m, (void)reply, (void)arg;
    cr_assert(strstr(req->head, "Authorization: Basic dXNlcjpwdw==\r\n") != NULL, "%s", req->head);
}

Test(hold, basic_is_sent_with_every_request)
{
    struct hold h;
    setup(&h, want_basic);
    h.opts.auth = FM_REST_AUTH_BASIC;
    h.opts.username = "user";
    h.opts.password = "pw";
    spool_add(h.spool, "t", 5, 100, FM_RECORD_DATA);
    h.rest = rig_start(&h.opts);
    rig_drain(h.rest, 3000);
    teardown(&h);
}

/* 7.8 HOLD: an ALERT that turns out to be about one record. */
static void alert_for_first(struct mock *m, const struct mock_request *req,
                            struct mock_reply *reply, void *arg)
{
    (void)m;
    struct hold *h = arg;
    for (size_t i = 0; i < req->n; i++)
        if (req->seq[i] == 1 && h->phase == 0) {
            mock_refuse(req, reply, "0,");
            mock_body(reply, 415, "{\"error_code\":415,\"message\":\"x\"}");
            return;
        }
}

Test(hold, an_alert_about_one_record_makes_it_a_suspect)
{
    struct hold h;
    setup(&h, alert_for_first);
    spool_add(h.spool, "t", 30, 100, FM_RECORD_DATA);
    h.rest = rig_start(&h.opts);
    while (spool_count(h.spool, FATE_DELIVERED) < 29)
        usleep(1000);
    cr_assert_eq(spool_fate(h.spool, 1), FATE_PENDING);
    while (rig_stats(h.rest).suspects != 1)
        usleep(1000);
    h.phase = 1;
    rig_drain(h.rest, 3000);
    cr_assert_eq(rig_stats(h.rest).dead, 0);
    cr_assert_eq(rig_stats(h.rest).suspects, 0);
    teardown(&h);
}

/* 7.7 rule 5: more suspects than the bound while others are accepted. */
static void refuse_even(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                        void *arg)
{
    (void)m, (void)arg;
    for (size_t i = 0; i < req->n; i++)
        if (req->seq[i] % 2 == 0) {
            reply->error[i] = "50002,The record is refused";
            reply->stored[i] = false;
        }
}

Test(hold, a_storm_of_bad_records_buries_them_and_delivers_the_others)
{
    struct hold h;
    setup(&h, refuse_even);
    h.opts.max_suspects = 5;
    h.opts.isolate_backoff_ms = 15;
    h.opts.isolate_max_backoff_ms = 30;
    spool_add(h.spool, "t", 31, 100, FM_RECORD_DATA);
    h.rest = rig_start(&h.opts);
    while (spool_count(h.spool, FATE_DELIVERED) < 16)
        usleep(1000);
    for (unsigned i = 0; spool_count(h.spool, FATE_DEAD) < 12; i++) { /* evidence, now and then */
        cr_assert_lt(i, 3000, "%zu dead", spool_count(h.spool, FATE_DEAD));
        if (i % 20 == 0)
            spool_add(h.spool, "t", 2, 100, FM_RECORD_DATA);
        fm_rest_wakeup(h.rest);
        usleep(10000);
    }
    cr_assert_leq(rig_stats(h.rest).suspects, 5);
    teardown(&h);
}

/* ---- check ---- */

struct told {
    char text[2000];
};

static void tell(void *arg, const struct fm_rest_step *step)
{
    struct told *told = arg;
    size_t at = strlen(told->text);
    snprintf(told->text + at, sizeof told->text - at, "%s=%d;", step->step, (int)step->verdict);
}

static void no_topic(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                     void *arg)
{
    (void)m, (void)req, (void)arg;
    mock_body(reply, 404, "{\"error_code\":40403,\"message\":\"no\"}");
}

static void deny(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                 void *arg)
{
    (void)m, (void)req, (void)arg;
    mock_body(reply, 401, "");
}

static enum fm_code ask(mock_fn *fn, struct told *told)
{
    struct fm_err err;
    cr_assert_eq(fm_net_init(&err), FM_OK);
    struct mock *mock = mock_new(fn, NULL);
    const char *url = mock_url(mock);
    struct fm_rest_opts o = rig_opts(NULL, &url, 1);
    *told = (struct told){0};
    enum fm_code code = fm_rest_check(&o, "t", tell, told, &err);
    mock_free(mock);
    return code;
}

Test(check, says_how_far_the_way_goes)
{
    struct told told;
    cr_assert_eq(ask(NULL, &told), FM_OK);
    cr_assert_str_eq(told.text, "name=0;TCP=0;auth=0;topic=0;size limit=0;");
    cr_assert_eq(ask(no_topic, &told), FM_EREMOTE);
    cr_assert_str_eq(told.text, "name=0;TCP=0;auth=0;topic=2;");
    cr_assert_eq(ask(deny, &told), FM_EREMOTE);
    cr_assert_str_eq(told.text, "name=0;TCP=0;auth=2;");
}

Test(check, names_a_closed_port)
{
    struct told told = {0};
    struct fm_err err;
    char text[64];
    cr_assert_eq(fm_net_init(&err), FM_OK);
    snprintf(text, sizeof text, "http://127.0.0.1:%u", peer_closed_port());
    const char *url = text;
    struct fm_rest_opts o = rig_opts(NULL, &url, 1);
    cr_assert_eq(fm_rest_check(&o, "t", tell, &told, &err), FM_EREMOTE);
    cr_assert_str_eq(told.text, "name=0;TCP=2;");
}

/* A registry repeats the whole schema when it refuses it, as Confluent's proxy 8.3.1 did live. */
static void refuse_at_length(struct mock *m, const struct mock_request *req,
                             struct mock_reply *reply, void *arg)
{
    (void)m;
    struct hold *h = arg;
    if (!req->post || h->phase != 0)
        return;
    char body[2000];
    int len = snprintf(body, sizeof body,
                       "{\"error_code\":42207,\"message\":\"Error when registering schema. ");
    while (len < 1500)
        len += snprintf(body + len, sizeof body - (size_t)len, "\u00e9\u20ac");
    snprintf(body + len, sizeof body - (size_t)len, "; error code: 409\"}");
    mock_refuse(req, reply, "0,");
    mock_body(reply, 422, body);
}

Test(hold, a_long_complaint_leaves_room_for_the_remedy)
{
    struct hold h;
    setup(&h, refuse_at_length);
    spool_add(h.spool, "t", 5, 100, FM_RECORD_DATA);
    h.rest = rig_start(&h.opts);
    rig_wait_state(h.rest, FM_REST_HOLD, 3000);
    const char remedy[] = "...); give this topic to nobody else, relax the compatibility of its "
                          "subject, or set [rest] schema_id or schema_file";
    struct fm_rest_stats s = rig_stats(h.rest);
    const char *reason = s.topics[0].reason, *found = strstr(reason, "...); give");
    cr_assert(found != NULL, "%s", reason);
    cr_expect_str_eq(found, remedy);
    cr_expect(strstr(reason, "HTTP 422") != NULL, "%s", reason);
    h.phase = 1;
    rig_drain(h.rest, 3000);
    teardown(&h);
}
