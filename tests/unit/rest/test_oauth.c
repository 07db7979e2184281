/* Tokens by OAuth2 client credentials, from a scripted token server, in front of the scripted
 * proxy. */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "peer.h"
#include "rest/answer_priv.h"
#include "rest/oauth_priv.h"
#include "rig.h"

enum how { GIVE, SAME, DENY, BODY_ONLY, GARBAGE, HANG, BUSY };

struct idp {
    struct peer *peer;
    char url[80];
    atomic_int how;
    atomic_uint asked, given;
    unsigned life_s; /* 0: not said */
    char head[2000], body[500]; /* of the last request; read when nothing is asked any more */
};

static void idp_answer(struct idp *idp, struct peer_conn *conn, const struct peer_request *in)
{
    char text[300], life[40] = "";
    unsigned n = idp->how == SAME ? 1 : atomic_fetch_add(&idp->given, 1) + 1;
    (void)in;
    if (idp->life_s > 0)
        snprintf(life, sizeof life, ",\"expires_in\":%u", idp->life_s);
    snprintf(text, sizeof text, "{\"access_token\":\"tok-%u\",\"token_type\":\"bearer\"%s}", n,
             life);
    peer_answer(conn, 200, text);
}

static void idp_script(struct peer_conn *conn, unsigned nth, void *arg)
{
    struct idp *idp = arg;
    struct peer_request in;
    (void)nth;
    while (peer_read_request(conn, &in)) {
        idp->asked++;
        snprintf(idp->head, sizeof idp->head, "%.1999s", in.head);
        snprintf(idp->body, sizeof idp->body, "%.499s", in.body != NULL ? in.body : "");
        bool in_body = strstr(idp->body, "client_secret=") != NULL;
        bool go_on = true;
        if (idp->how == DENY || (idp->how == BODY_ONLY && !in_body))
            peer_answer(conn, 401,
                        "{\"error\":\"invalid_client\",\"error_description\":\"unknown client\"}");
        else if (idp->how == GARBAGE)
            peer_answer(conn, 200, "<html>captive canary</html>");
        else if (idp->how == BUSY)
            peer_answer(conn, 503, "");
        else if (idp->how == HANG)
            peer_stall(conn, 0), go_on = false;
        else
            idp_answer(idp, conn, &in);
        peer_request_clear(&in);
        if (!go_on)
            return;
    }
}

struct sign_on {
    struct fm_spool *spool;
    struct mock *mock;
    struct fm_rest *rest;
    struct fm_rest_opts opts;
    const char *urls[1];
    struct idp idp;
    atomic_uint good_from; /* tokens from this number on are taken */
    atomic_uint refused;
    atomic_int new_secret;
};

static void want_token(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                       void *arg)
{
    (void)m;
    struct sign_on *s = arg;
    const char *at = strstr(req->head, "Authorization: Bearer tok-");
    unsigned n = at != NULL ? (unsigned)strtoul(at + 26, NULL, 10) : 0;
    if (n >= s->good_from && n > 0)
        return;
    s->refused++;
    mock_refuse(req, reply, "0,");
    mock_body(reply, 401, "{\"error_code\":401,\"message\":\"Unauthorized\"}");
}

static bool give_secret(void *arg, struct fm_buf *out)
{
    struct sign_on *s = arg;
    fm_buf_puts(out, s->new_secret ? "fresh" : "canary+/ 1");
    return true;
}

static void setup(struct sign_on *s)
{
    *s = (struct sign_on){.spool = spool_new(), .good_from = 1, .idp = {.life_s = 3600}};
    s->idp.peer = peer_start(idp_script, &s->idp);
    snprintf(s->idp.url, sizeof s->idp.url, "http://127.0.0.1:%u/oauth/token",
             peer_port(s->idp.peer));
    s->mock = mock_new(want_token, s);
    s->urls[0] = mock_url(s->mock);
    s->opts = rig_opts(s->spool, s->urls, 1);
    s->opts.auth = FM_REST_AUTH_OAUTH2;
    s->opts.oauth2_url = s->idp.url;
    s->opts.oauth2_client = "agent:7";
    s->opts.oauth2_secret = "canary+/ 1";
    s->opts.oauth2_scope = "kafka produce";
    s->opts.secret = give_secret;
    s->opts.secret_arg = s;
}

static void teardown(struct sign_on *s)
{
    rig_check(s->rest, s->spool, s->mock);
    fm_rest_stop(s->rest, 0);
    cr_assert(fm_rest_join(s->rest, 2000), "a token server holds the sender's end");
    fm_rest_free(s->rest);
    mock_free(s->mock);
    peer_stop(s->idp.peer);
    spool_free(s->spool);
}

Test(oauth, one_token_serves_many_requests)
{
    struct sign_on s;
    setup(&s);
    s.opts.identity_pool = "pool-x";
    spool_add(s.spool, "t", 200, 100, FM_RECORD_DATA);
    s.rest = rig_start(&s.opts);
    rig_drain(s.rest, 3000);
    cr_assert_eq(s.idp.asked, 1);
    cr_assert_eq(s.refused, 0);
    cr_assert_str_eq(s.idp.body, "grant_type=client_credentials&scope=kafka%20produce");
    /* base64 of agent%3A7:canary%2B%2F%201 */
    cr_assert(strstr(s.idp.head, "Authorization: Basic YWdlbnQlM0E3OmNhbmFyeSUyQiUyRiUyMDE=\r\n") !=
                  NULL,
              "%s", s.idp.head);
    struct fm_rest_stats st = rig_stats(s.rest);
    cr_assert(st.token.used && st.token.fetched == 1 && st.token.failures == 0);
    cr_assert(st.token.expires_ms > fm_wall_ms() + 3500000);
    teardown(&s);
}

Test(oauth, a_token_is_renewed_before_it_ends)
{
    struct sign_on s;
    setup(&s);
    s.idp.life_s = 1;
    s.rest = rig_start(&s.opts);
    /* A token is good for a second; the proxy takes only the last two, as a real one would. */
    for (int i = 0; i < 100 && s.idp.given < 4; i++) {
        spool_add(s.spool, "t", 2, 100, FM_RECORD_DATA);
        fm_rest_wakeup(s.rest);
        s.good_from = s.idp.given > 1 ? s.idp.given - 1 : 1;
        usleep(40000);
    }
    rig_drain(s.rest, 3000);
    cr_assert_geq(s.idp.given, 4);
    cr_assert_eq(s.refused, 0);
    teardown(&s);
}

Test(oauth, a_401_fetches_another_token_and_sends_again)
{
    struct sign_on s;
    setup(&s);
    s.opts.hold_interval_ms = 5000;
    spool_add(s.spool, "t", 5, 100, FM_RECORD_DATA);
    s.rest = rig_start(&s.opts);
    rig_drain(s.rest, 3000);
    s.good_from = 2; /* revoked */
    spool_add(s.spool, "t", 5, 100, FM_RECORD_DATA);
    rig_drain(s.rest, 3000);
    cr_assert_eq(s.idp.asked, 2);
    cr_assert_eq(s.refused, 1);
    cr_assert_eq(rig_stats(s.rest).possible_duplicates, 0);
    teardown(&s);
}

/* Kafka's answer to the token that the proxy hands on. */
static void want_right(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                       void *arg)
{
    (void)m;
    struct sign_on *s = arg;
    const char *at = strstr(req->head, "Authorization: Bearer tok-");
    if (req->post && at != NULL && (unsigned)strtoul(at + 26, NULL, 10) < s->good_from) {
        s->refused++;
        mock_refuse(req, reply, "40301,Not authorized to access topics: [t]");
    }
}

static void setup_with(struct sign_on *s, mock_fn *fn)
{
    setup(s);
    mock_free(s->mock);
    s->mock = mock_new(fn, s);
    s->urls[0] = mock_url(s->mock);
}

Test(oauth, rights_that_kafka_denies_fetch_another_token_once)
{
    struct sign_on s;
    setup_with(&s, want_right);
    s.opts.hold_interval_ms = 60000; /* so that a HOLD would be seen */
    s.good_from = 2;
    spool_add(s.spool, "t", 5, 100, FM_RECORD_DATA);
    s.rest = rig_start(&s.opts);
    rig_drain(s.rest, 3000);
    cr_expect_eq(s.idp.asked, 2);
    cr_expect_eq(s.refused, 1);
    s.good_from = 100; /* and now no token has the right */
    spool_add(s.spool, "t", 5, 100, FM_RECORD_DATA);
    fm_rest_wakeup(s.rest);
    rig_wait_state(s.rest, FM_REST_HOLD, 3000);
    struct fm_rest_stats st = rig_stats(s.rest);
    cr_expect_eq(st.topics[0].hop, FM_REST_HOP_KAFKA, "%s", st.topics[0].reason);
    cr_expect_not_null(strstr(st.topics[0].reason, "grant WRITE"), "%s", st.topics[0].reason);
    cr_expect_leq(s.idp.asked, 3);
    cr_expect_leq(s.refused, 3);
    cr_expect_eq(spool_count(s.spool, FATE_PENDING), 5);
    teardown(&s);
}

/* Kafka denies topic u, whatever the token. */
static void forbid_u(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                     void *arg)
{
    (void)m;
    struct sign_on *s = arg;
    if (req->post && strcmp(req->topic, "u") == 0) {
        s->refused++;
        mock_refuse(req, reply, "40301,Not authorized to access topics: [u]");
    }
}

static bool asked_twice_and_refused(void *arg)
{
    const struct sign_on *s = arg;
    return s->refused > 0 && s->idp.asked >= 2;
}

static bool six_delivered(void *arg)
{
    fm_rest_wakeup(((struct sign_on *)arg)->rest);
    return spool_count(((struct sign_on *)arg)->spool, FATE_DELIVERED) == 6;
}

/* It is still good for them. */
Test(oauth, a_topic_that_kafka_denies_takes_no_token_from_the_others)
{
    struct sign_on s;
    setup_with(&s, forbid_u);
    s.opts.hold_interval_ms = 60000;
    s.opts.probe_timeout_ms = 60000; /* so the second fetch hangs for 30 s */
    spool_add(s.spool, "t", 3, 100, FM_RECORD_DATA);
    s.rest = rig_start(&s.opts);
    rig_drain(s.rest, 3000);
    s.idp.how = HANG;
    spool_add(s.spool, "u", 1, 100, FM_RECORD_DATA);
    fm_rest_wakeup(s.rest);
    rig_wait(asked_twice_and_refused, &s, 5000, "a second token asked for");
    spool_add(s.spool, "t", 3, 100, FM_RECORD_DATA);
    rig_wait(six_delivered, &s, 5000, "topic t");
    cr_expect_eq(s.refused, 1, "u waits for the token");
    teardown(&s);
}

static bool asked_twice(void *arg)
{
    return ((struct sign_on *)arg)->idp.asked >= 2;
}

/* D37 */
Test(oauth, a_server_that_gives_the_same_token_is_not_hammered)
{
    struct sign_on s;
    setup(&s);
    s.opts.hold_interval_ms = 300;
    s.idp.how = SAME;
    s.good_from = 2;
    spool_add(s.spool, "t", 5, 100, FM_RECORD_DATA);
    int64_t began = fm_clock_ms();
    s.rest = rig_start(&s.opts);
    rig_wait_state(s.rest, FM_REST_HOLD, 3000);
    rig_wait(asked_twice, &s, 3000, "a second token");
    unsigned asked = s.idp.asked;
    int64_t windows = (fm_clock_ms() - began) / 300 + 1;
    cr_assert_leq(asked, 2 * windows);
    struct fm_rest_stats st = rig_stats(s.rest);
    cr_assert_eq(st.topics[0].hop, FM_REST_HOP_REST_PROXY, "%s", st.topics[0].reason);
    s.idp.given = 1;
    s.idp.how = GIVE;
    rig_drain(s.rest, 5000);
    teardown(&s);
}

static void wait_reason(struct sign_on *s, enum fm_rest_state state, const char *text)
{
    rig_wait_state(s->rest, state, 3000);
    struct fm_rest_stats st = rig_stats(s->rest);
    cr_assert_eq(st.topics[0].hop, FM_REST_HOP_OAUTH2);
    cr_assert(st.topics[0].failed);
    cr_assert(strstr(st.topics[0].reason, "OAuth2 server") != NULL, "%s", st.topics[0].reason);
    cr_assert(strstr(st.topics[0].reason, text) != NULL, "%s", st.topics[0].reason);
    cr_assert(strstr(st.topics[0].reason, "canary") == NULL, "%s", st.topics[0].reason);
    cr_assert_neq(st.token.failures, 0);
    cr_assert_eq(mock_posts(s->mock), 0);
}

Test(oauth, a_refused_client_is_held_until_its_secret_changes)
{
    struct sign_on s;
    setup(&s);
    s.idp.how = DENY;
    s.opts.hold_interval_ms = 60000;
    spool_add(s.spool, "t", 5, 100, FM_RECORD_DATA);
    s.rest = rig_start(&s.opts);
    wait_reason(&s, FM_REST_HOLD, "invalid_client: unknown client");
    cr_assert(strstr(rig_stats(s.rest).topics[0].reason, "oauth2_secret") != NULL);
    cr_assert_eq(s.idp.asked, 2); /* by header, then in the body; then never again */
    s.idp.how = GIVE;
    s.new_secret = 1;
    fm_rest_wakeup(s.rest);
    rig_drain(s.rest, 4000);
    cr_assert(strstr(s.idp.head, "Basic YWdlbnQlM0E3OmZyZXNo\r\n") != NULL, "%s", s.idp.head);
    teardown(&s);
}

Test(oauth, a_server_that_wants_credentials_in_the_body_gets_them_there)
{
    struct sign_on s;
    setup(&s);
    s.idp.how = BODY_ONLY;
    spool_add(s.spool, "t", 5, 100, FM_RECORD_DATA);
    s.rest = rig_start(&s.opts);
    rig_drain(s.rest, 3000);
    cr_assert_eq(s.idp.asked, 2);
    cr_assert(strstr(s.idp.body, "&client_id=agent%3A7&client_secret=canary%2B%2F%201") != NULL,
              "%s", s.idp.body);
    cr_assert(strstr(s.idp.head, "Authorization:") == NULL);
    teardown(&s);
}

Test(oauth, garbage_is_no_token)
{
    struct sign_on s;
    setup(&s);
    s.idp.how = GARBAGE;
    spool_add(s.spool, "t", 5, 100, FM_RECORD_DATA);
    s.rest = rig_start(&s.opts);
    wait_reason(&s, FM_REST_HOLD, "not a JSON object");
    s.idp.how = GIVE;
    rig_drain(s.rest, 3000);
    teardown(&s);
}

Test(oauth, a_server_that_is_busy_is_an_outage_and_ends)
{
    struct sign_on s;
    setup(&s);
    s.idp.how = BUSY;
    spool_add(s.spool, "t", 5, 100, FM_RECORD_DATA);
    s.rest = rig_start(&s.opts);
    wait_reason(&s, FM_REST_OUTAGE, "HTTP 503");
    s.idp.how = GIVE;
    rig_drain(s.rest, 3000);
    cr_assert_eq(rig_stats(s.rest).topics[0].health, FM_REST_RUN);
    teardown(&s);
}

Test(oauth, a_server_that_is_down_is_named)
{
    struct sign_on s;
    setup(&s);
    char url[80];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", peer_closed_port());
    s.opts.oauth2_url = url;
    spool_add(s.spool, "t", 5, 100, FM_RECORD_DATA);
    s.rest = rig_start(&s.opts);
    wait_reason(&s, FM_REST_OUTAGE, "127.0.0.1");
    cr_assert_eq(mock_gets(s.mock), 0);
    teardown(&s);
}

/* Two endpoints, the first of which refuses connections. */
struct two {
    struct sign_on s;
    char dead[64];
    const char *urls[2];
};

static void setup_two(struct two *f)
{
    setup(&f->s);
    snprintf(f->dead, sizeof f->dead, "http://127.0.0.1:%u", peer_closed_port());
    f->urls[0] = f->dead;
    f->urls[1] = f->s.urls[0];
    f->s.opts.urls = f->urls;
    f->s.opts.n_urls = 2;
}

/* Without a token nothing is asked of an endpoint, so none is to blame. */
Test(oauth, a_server_that_is_down_leaves_the_endpoints_alone_and_then_they_fail_over)
{
    struct two f;
    setup_two(&f);
    f.s.idp.how = BUSY;
    spool_add(f.s.spool, "t", 5, 100, FM_RECORD_DATA);
    f.s.rest = rig_start(&f.s.opts);
    wait_reason(&f.s, FM_REST_OUTAGE, "HTTP 503");
    struct fm_rest_stats st = rig_stats(f.s.rest);
    cr_expect(st.endpoints[0].current);
    cr_expect_str_empty(st.endpoints[1].reason);
    cr_expect_eq(mock_gets(f.s.mock), 0);
    f.s.idp.how = GIVE;
    rig_drain(f.s.rest, 5000);
    st = rig_stats(f.s.rest);
    cr_expect(st.endpoints[1].current);
    cr_expect_eq(st.topics[0].health, FM_REST_RUN);
    cr_expect_eq(f.s.refused, 0);
    teardown(&f.s);
}

/* The token ends there while no other one can be had; and when one can, the work goes on there. */
Test(oauth, a_token_that_ends_behind_a_fail_over_is_waited_for_there)
{
    struct two f;
    setup_two(&f);
    f.s.idp.life_s = 1;
    spool_add(f.s.spool, "t", 5, 100, FM_RECORD_DATA);
    f.s.rest = rig_start(&f.s.opts);
    rig_drain(f.s.rest, 5000);
    f.s.idp.how = BUSY;
    int64_t limit = fm_clock_ms() + 10000;
    struct fm_rest_stats st;
    do { /* it needs a record to wait for */
        cr_assert_lt(fm_clock_ms(), limit, "the token did not end");
        spool_add(f.s.spool, "t", 1, 100, FM_RECORD_DATA);
        fm_rest_wakeup(f.s.rest);
        usleep(50000);
        st = rig_stats(f.s.rest);
    } while (st.topics[0].state != FM_REST_OUTAGE);
    cr_expect_eq(st.topics[0].hop, FM_REST_HOP_OAUTH2, "%s", st.topics[0].reason);
    cr_expect(st.endpoints[1].current);
    unsigned posts = mock_posts(f.s.mock);
    fm_rest_wakeup(f.s.rest);
    usleep(100000); /* some rounds of the sender */
    cr_expect_eq(mock_posts(f.s.mock), posts, "nothing goes out without a token");
    f.s.idp.life_s = 3600;
    f.s.idp.how = GIVE;
    rig_drain(f.s.rest, 5000);
    cr_expect(rig_stats(f.s.rest).endpoints[1].current);
    cr_expect_eq(f.s.refused, 0);
    teardown(&f.s);
}

/* Neither the end of the sender nor new options wait for it. */
Test(oauth, a_server_that_hangs_stops_nothing_but_the_sending)
{
    struct sign_on s;
    setup(&s);
    s.idp.how = HANG;
    s.opts.probe_timeout_ms = 60000; /* so the request hangs for 30 s */
    spool_add(s.spool, "t", 5, 100, FM_RECORD_DATA);
    s.rest = rig_start(&s.opts);
    int64_t limit = fm_clock_ms() + 3000;
    while (s.idp.asked == 0)
        cr_assert_lt(fm_clock_ms(), limit);
    spool_add(s.spool, "t", 5, 100, FM_RECORD_DATA);
    struct fm_err err = {0};
    s.good_from = 0;
    struct fm_rest_opts other = s.opts;
    other.auth = FM_REST_AUTH_BEARER;
    other.token = "tok-5";
    other.secret = NULL;
    int64_t began = fm_clock_ms();
    cr_assert_eq(fm_rest_reconfigure(s.rest, &other, &err), FM_OK, "%s", err.text);
    rig_drain(s.rest, 3000);
    cr_assert_lt(fm_clock_ms() - began, 3000);
    cr_assert_eq(fm_rest_reconfigure(s.rest, &s.opts, &err), FM_OK, "%s", err.text);
    while (s.idp.asked < 2)
        cr_assert_lt(fm_clock_ms(), limit + 3000);
    teardown(&s); /* joins within 2 s */
}

Test(oauth, the_token_is_fetched_through_the_http_proxy)
{
    struct sign_on s;
    setup(&s);
    char proxy[80];
    snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", peer_port(s.idp.peer));
    s.opts.oauth2_url = "http://idp.invalid/token";
    s.opts.proxy = (struct fm_http_proxy){.url = proxy, .no_proxy = "127.0.0.1"};
    spool_add(s.spool, "t", 5, 100, FM_RECORD_DATA);
    s.rest = rig_start(&s.opts);
    rig_drain(s.rest, 3000);
    cr_assert(strncmp(s.idp.head, "POST http://idp.invalid/token HTTP/1.1\r\n", 40) == 0, "%s",
              s.idp.head);
    teardown(&s);
}

/* ---- check ---- */

struct told {
    char text[300], oauth[400];
};

static void tell(void *arg, const struct fm_rest_step *step)
{
    struct told *t = arg;
    size_t len = strlen(t->text);
    snprintf(t->text + len, sizeof t->text - len, "%s=%d;", step->step, (int)step->verdict);
    if (strcmp(step->step, "OAuth2") == 0)
        snprintf(t->oauth, sizeof t->oauth, "%s", step->sentence);
}

Test(oauth, check_fetches_a_token_and_says_so)
{
    struct sign_on s;
    struct fm_err err = {0};
    struct told told = {.text = ""};
    setup(&s);
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_assert_eq(fm_rest_check(&s.opts, "t", tell, &told, &err), FM_OK);
    cr_assert_str_eq(told.text, "OAuth2=0;name=0;TCP=0;auth=0;topic=0;size limit=0;");
    cr_assert_str_eq(told.oauth, "a token was given, valid for 3600 s");
    s.idp.how = DENY;
    told = (struct told){.text = ""};
    cr_assert_eq(fm_rest_check(&s.opts, "t", tell, &told, &err), FM_EREMOTE);
    cr_assert_str_eq(told.text, "OAuth2=2;");
    cr_assert(strstr(told.oauth, "check [rest] oauth2_client and oauth2_secret") != NULL, "%s",
              told.oauth);
    s.rest = rig_start(&s.opts);
    teardown(&s);
}

/* ---- reading answers ---- */

Test(oauth, reads_each_answer_of_a_token_server)
{
    static const struct {
        long status;
        const char *body;
        bool got, denied, other_way;
        int64_t life_ms;
        const char *what;
    } cases[] = {
        {200, "{\"access_token\":\"a.b-c\",\"token_type\":\"Bearer\",\"expires_in\":3600}", true,
         false, false, 3600000, ""},
        {200, "{\"access_token\":\"a\"}", true, false, false, 0, ""},
        {200, "{\"access_token\":\"a\",\"expires_in\":\"90\"}", true, false, false, 90000, ""},
        {200, "{\"access_token\":\"a\",\"expires_in\":-5}", true, false, false, 0, ""},
        {200, "{\"access_token\":\"a\",\"expires_in\":1e300}", true, false, false, 31622400000, ""},
        {200, "{\"access_token\":\"a\",\"expires_in\":[1]}", true, false, false, 0, ""},
        {200, "{\"access_token\":\"a\",\"token_type\":\"mac\"}", false, true, false, 0, "Bearer"},
        {200, "{\"access_token\":\"a\",\"token_type\":7}", false, true, false, 0, "Bearer"},
        {200, "{\"access_token\":\"\"}", false, true, false, 0, "no usable"},
        {200, "{\"access_token\":\"a b\"}", false, true, false, 0, "no usable"},
        {200, "{\"access_token\":\"a\\r\\nX: y\"}", false, true, false, 0, "no usable"},
        {200, "{\"access_token\":\"a\xc3\xa9\"}", false, true, false, 0, "no usable"},
        {200, "{\"access_token\":\"a~!\"}", true, false, false, 0, ""},
        {200, "{\"access_token\":\"a\x7f\"}", false, true, false, 0, "no usable"},
        {200, "{\"access_token\":\"a\",\"access_token\":\"b\"}", false, true, false, 0, "JSON"},
        {200, "{\"access_token\":5}", false, true, false, 0, "no usable"},
        {200, "[\"access_token\"]", false, true, false, 0, "JSON object"},
        {200, "{\"access_token\":\"a\"", false, true, false, 0, "JSON object"},
        {200, "", false, true, false, 0, "JSON object"},
        {200, "{\"error\":\"invalid_client\"}", false, true, true, 0, "invalid_client"},
        {400, "{\"error\":\"invalid_scope\"}", false, true, false, 0, "invalid_scope"},
        {400, "{\"error\":\"unauthorized_client\"}", false, true, false, 0, "unauthorized_client"},
        {401, "<html>", false, true, true, 0, "HTTP 401"},
        {403, "", false, true, false, 0, "HTTP 403"},
        {404, "{\"error\":7}", false, true, false, 0, "HTTP 404"},
        {302, "", false, true, false, 0, "HTTP 302"},
        {429, "", false, false, false, 0, "HTTP 429"},
        {500, "{\"error\":\"server_error\",\"error_description\":\"a\\nb\"}", false, false, false,
         0, "HTTP 500: server_error: a b"},
        {503, "", false, false, false, 0, "HTTP 503"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct fm_http_answer http = {
            .status = cases[i].status, .body = cases[i].body, .body_len = strlen(cases[i].body)};
        struct fm_oauth_token t;
        cr_assert_eq(fm_oauth_read(&t, &http, NULL), FM_OK);
        cr_expect_eq(t.got, cases[i].got, "%zu", i);
        cr_expect_eq(t.denied, cases[i].denied, "%zu: %s", i, t.what);
        cr_expect_eq(t.other_way, cases[i].other_way, "%zu", i);
        cr_expect_eq(t.life_ms, cases[i].life_ms, "%zu: %lld", i, (long long)t.life_ms);
        cr_expect(strstr(t.what, cases[i].what) != NULL, "%zu: %s", i, t.what);
        cr_expect_eq(t.text.len > 0, cases[i].got, "%zu", i);
        cr_expect(t.got || t.remedy != NULL, "%zu", i);
        fm_oauth_token_clear(&t);
    }
}

Test(oauth, options_without_a_client_are_refused)
{
    const char *url = "http://127.0.0.1:1";
    struct fm_spool *spool = spool_new();
    struct fm_rest_opts o = rig_opts(spool, &url, 1);
    struct fm_rest *rest = NULL;
    struct fm_err err = {0};
    o.auth = FM_REST_AUTH_OAUTH2;
    o.oauth2_url = url;
    o.oauth2_secret = "s";
    cr_assert_eq(fm_rest_new(&rest, &o, &err), FM_ECONF);
    cr_assert(strstr(err.text, "oauth2_client") != NULL);
    spool_free(spool);
}
