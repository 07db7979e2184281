/* Reading a topic back: the sandbox, a scripted proxy, and each recorded exchange of real ones. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "peer.h"
#include "rest/consumer_priv.h"
#include "sandbox/sandbox.h"
#include "vectors.h"

/* ---- what was read ---- */

struct got {
    size_t n;
    char text[4000]; /* "0/0=value 1/0=value ..." */
};

static enum fm_code note(void *arg, const struct fm_rest_consumed *r, struct fm_err *err)
{
    struct got *got = arg;
    size_t len = strlen(got->text);
    (void)err;
    (void)snprintf(got->text + len, sizeof got->text - len, "%s%d/%lld=%.*s", len > 0 ? " " : "",
                   (int)r->partition, (long long)r->offset,
                   r->value != NULL ? (int)r->value_len : 4, r->value != NULL ? r->value : "null");
    got->n++;
    return FM_OK;
}

static struct fm_rest_consumer *make(const char *url, enum fm_rest_dialect dialect,
                                     unsigned timeout_ms, bool (*stop)(void *arg), void *arg)
{
    static const char *urls[1];
    static struct fm_rest_opts way;
    struct fm_rest_consumer *c = NULL;
    struct fm_err err = {0};
    urls[0] = url;
    way = (struct fm_rest_opts){.urls = urls, .n_urls = 1, .dialect = dialect};
    const struct fm_rest_consumer_opts opts = {.way = &way,
                                               .topic = "t",
                                               .wait_ms = 20,
                                               .timeout_ms = timeout_ms,
                                               .stop = stop,
                                               .arg = arg};
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_assert_eq(fm_rest_consumer_new(&c, &opts, &err), FM_OK, "%s", err.text);
    return c;
}

/* ---- against the sandbox ---- */

static const char *const topics[] = {"t:3"};

static struct fm_sandbox *start_sandbox(int64_t idle_ms, char url[64])
{
    const struct fm_sandbox_opts opts = {
        .topics = topics, .n_topics = 1, .no_create = true, .consumer_idle_ms = idle_ms};
    struct fm_sandbox *sandbox = NULL;
    struct fm_err err = {0};
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_assert_eq(fm_sandbox_start(&sandbox, &opts, &err), FM_OK, "%s", err.text);
    (void)snprintf(url, 64, "http://127.0.0.1:%u", (unsigned)fm_sandbox_port(sandbox));
    return sandbox;
}

static void produce(const char *base, int partition, const char *values)
{
    struct fm_client *client = NULL;
    struct fm_http_answer http;
    char url[128], body[400];
    static const char *const headers[] = {"Content-Type: application/vnd.kafka.json.v2+json"};
    (void)snprintf(url, sizeof url, "%s/topics/t/partitions/%d", base, partition);
    (void)snprintf(body, sizeof body, "{\"records\":[%s]}", values);
    const struct fm_http_request request = {.method = "POST",
                                            .url = url,
                                            .headers = headers,
                                            .n_headers = 1,
                                            .body = body,
                                            .body_len = strlen(body)};
    cr_assert_eq(fm_client_new(&client, &(struct fm_client_opts){0}, NULL), FM_OK);
    cr_assert_eq(fm_client_call(client, &request, &http, NULL, NULL), FM_OK);
    cr_assert_eq(http.status, 200);
    fm_client_free(client);
}

static void read_until(struct fm_rest_consumer *c, struct got *got, size_t n)
{
    struct fm_err err = {0};
    int64_t until = fm_clock_ms() + 10000;
    while (got->n < n && fm_clock_ms() < until)
        cr_assert_eq(fm_rest_consumer_read(c, note, got, NULL, &err), FM_OK, "%s", err.text);
    cr_assert_eq(got->n, n, "%s", got->text);
}

Test(consumer, reads_all_partitions_up_to_their_ends)
{
    char url[64];
    struct got got = {0};
    size_t n;
    struct fm_sandbox *sandbox = start_sandbox(0, url);
    produce(url, 0, "{\"value\":1},{\"value\":2}");
    produce(url, 2, "{\"value\":{\"a\":3}}");
    struct fm_rest_consumer *c = make(url, FM_DIALECT_CONFLUENT_V2, 5000, NULL, NULL);
    cr_assert_eq(fm_rest_consumer_ends(c, NULL), FM_OK);
    const struct fm_rest_place *places = fm_rest_consumer_places(c, &n);
    cr_assert_eq(n, 3);
    cr_assert(places[0].end == 2 && places[1].end == 0 && places[2].end == 1);
    read_until(c, &got, 3);
    cr_assert_str_eq(got.text, "0/0=1 0/1=2 2/0={\"a\":3}");
    places = fm_rest_consumer_places(c, &n);
    cr_assert(places[0].next == 2 && places[1].next == 0 && places[2].next == 1);
    struct fm_rest_place back = {.partition = 0, .next = 1};
    fm_rest_consumer_seek(c, &back, 1);
    got = (struct got){0};
    read_until(c, &got, 1);
    cr_assert_str_eq(got.text, "0/1=2");
    fm_rest_consumer_free(c);
    fm_sandbox_stop(sandbox);
}

Test(consumer, makes_an_expired_instance_anew_and_gives_each_record_once)
{
    char url[64];
    struct got got = {0};
    struct fm_sandbox *sandbox = start_sandbox(30, url);
    struct fm_rest_consumer *c = make(url, FM_DIALECT_KARAPACE, 10000, NULL, NULL);
    cr_assert_eq(fm_rest_consumer_ends(c, NULL), FM_OK);
    produce(url, 1, "{\"value\":\"a\"}");
    read_until(c, &got, 1);
    int64_t until = fm_clock_ms() + 10000;
    for (char value[16] = "{\"value\":\"b\"}";
         fm_rest_consumer_renewed(c) < 2 && value[10] < 'z' && fm_clock_ms() < until; value[10]++) {
        (void)usleep(40000); /* longer than the instance lives */
        produce(url, 1, value);
        read_until(c, &got, (size_t)(value[10] - 'a' + 1));
    }
    cr_assert_geq(fm_rest_consumer_renewed(c), 2);
    cr_assert_eq(strncmp(got.text, "1/0=\"a\" 1/1=\"b\" 1/2=\"c\"", 23), 0, "%s", got.text);
    fm_rest_consumer_free(c);
    fm_sandbox_stop(sandbox);
}

Test(consumer, says_that_the_topic_does_not_exist)
{
    char url[64];
    struct fm_err err = {0};
    const struct fm_sandbox_opts opts = {.no_create = true};
    struct fm_sandbox *sandbox = NULL;
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_assert_eq(fm_sandbox_start(&sandbox, &opts, &err), FM_OK);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)fm_sandbox_port(sandbox));
    struct fm_rest_consumer *c = make(url, FM_DIALECT_CONFLUENT_V2, 5000, NULL, NULL);
    cr_assert_eq(fm_rest_consumer_ends(c, &err), FM_EREMOTE);
    cr_assert_str_eq(err.text, "t: the topic does not exist");
    fm_rest_consumer_free(c);
    fm_sandbox_stop(sandbox);
}

/* ---- against a script ---- */

enum { REQUESTS = 40 };

struct turn {
    const char *wanted; /* beginning of the request line */
    unsigned status; /* 0: reset; 1: stall */
    const char *body;
};

struct script {
    const struct turn *turns; /* ended by one without wanted */
    pthread_mutex_t lock;
    size_t at;
    size_t n;
    char lines[REQUESTS][200]; /* request line and body of what came */
    char wrong[300];
    struct peer *peer;
    char url[64];
};

static void serve(struct peer_conn *conn, unsigned nth, void *arg)
{
    struct script *s = arg;
    struct peer_request request;
    (void)nth;
    while (peer_read_request(conn, &request)) {
        (void)pthread_mutex_lock(&s->lock);
        const struct turn *turn = &s->turns[s->at];
        (void)snprintf(s->lines[s->n < REQUESTS ? s->n++ : REQUESTS - 1], 200, "%.*s %s",
                       (int)strcspn(request.head, "\r"), request.head,
                       request.body != NULL ? request.body : "");
        bool fits =
            turn->wanted != NULL && strncmp(request.head, turn->wanted, strlen(turn->wanted)) == 0;
        if (!fits && s->wrong[0] == '\0')
            (void)snprintf(s->wrong, sizeof s->wrong, "%.100s instead of %s", request.head,
                           turn->wanted != NULL ? turn->wanted : "nothing");
        s->at += turn->wanted != NULL;
        (void)pthread_mutex_unlock(&s->lock);
        peer_request_clear(&request);
        if (!fits || turn->status == 0) {
            peer_reset(conn);
            return;
        }
        if (turn->status == 1) {
            peer_stall(conn, 0);
            return;
        }
        if (!peer_answer(conn, turn->status, turn->body))
            return;
    }
}

static struct fm_rest_consumer *start_script(struct script *s, const struct turn *turns,
                                             enum fm_rest_dialect dialect, unsigned timeout_ms)
{
    *s = (struct script){.turns = turns};
    (void)pthread_mutex_init(&s->lock, NULL);
    s->peer = peer_start(serve, s);
    (void)snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u", (unsigned)peer_port(s->peer));
    return make(s->url, dialect, timeout_ms, NULL, NULL);
}

static void end_script(struct script *s, struct fm_rest_consumer *c)
{
    fm_rest_consumer_free(c);
    peer_stop(s->peer);
    cr_assert_str_eq(s->wrong, "");
    cr_assert_null(s->turns[s->at].wanted, "%s did not come", s->turns[s->at].wanted);
    (void)pthread_mutex_destroy(&s->lock);
}

#define CREATED                                                                                    \
    "{\"instance_id\":\"x\",\"base_uri\":\"http://inside.example:80/consumers/g/instances/x\"}"
#define ONE_RECORD                                                                                 \
    "[{\"topic\":\"t\",\"key\":null,\"value\":\"MQ==\",\"partition\":0,\"offset\":0}]"
#define ONE_PARTITION "[{\"partition\":0,\"leader\":1,\"replicas\":[]}]"
#define AT_X "/instances/x"

Test(consumer, tells_the_instance_again_where_to_go_on_after_an_answer_that_was_cut)
{
    static const struct turn turns[] = {
        {"GET /topics/t/partitions ", 200, ONE_PARTITION},
        {"GET /topics/t/partitions/0/offsets ", 200, "{\"beginning_offset\":5,\"end_offset\":9}"},
        {"POST /consumers/firstmile-audit-", 200, CREATED},
        {"POST /consumers/", 204, ""},
        {"POST /consumers/", 204, ""},
        {"GET /consumers/", 200,
         "[{\"topic\":\"t\",\"key\":null,\"value\":\"MQ==\",\"partition\":0,\"offset\":5}]"},
        {"GET /consumers/", 0, NULL}, /* dies: what it gave is lost */
        {"GET /consumers/", 0, NULL}, /* libcurl asks again by itself */
        {"POST /consumers/", 204, ""},
        {"POST /consumers/", 204, ""},
        {"GET /consumers/", 200, "<html>please log in</html>"},
        {"POST /consumers/", 204, ""},
        {"POST /consumers/", 204, ""},
        {"GET /consumers/", 200,
         "[{\"topic\":\"t\",\"key\":null,\"value\":\"MQ==\",\"partition\":0,\"offset\":5},"
         "{\"topic\":\"t\",\"key\":null,\"value\":\"Mg==\",\"partition\":0,\"offset\":6}]"},
        {"DELETE /consumers/", 204, ""},
        {NULL, 0, NULL}};
    struct script s;
    struct got got = {0};
    struct fm_rest_consumer *c = start_script(&s, turns, FM_DIALECT_CONFLUENT_V2, 20000);
    cr_assert_eq(fm_rest_consumer_ends(c, NULL), FM_OK);
    read_until(c, &got, 2);
    cr_assert_str_eq(got.text, "0/5=1 0/6=2"); /* the one that came twice is given once */
    end_script(&s, c);
    cr_assert_not_null(strstr(s.lines[3], AT_X "/assignments"), "%s", s.lines[3]);
    cr_assert_not_null(strstr(s.lines[4], "\"offset\":5}"), "%s", s.lines[4]);
    cr_assert_not_null(strstr(s.lines[9], AT_X "/positions"), "%s", s.lines[9]);
    cr_assert_not_null(strstr(s.lines[9], "\"offset\":6}"), "%s", s.lines[9]);
}

Test(consumer, goes_back_to_a_hole_that_a_repeated_read_left)
{
    static const struct turn turns[] = {
        {"GET /topics/t/partitions ", 200, ONE_PARTITION},
        {"GET /topics/t/partitions/0/offsets ", 200, "{\"beginning_offset\":0,\"end_offset\":9}"},
        {"POST /consumers/firstmile-audit-", 200, CREATED},
        {"POST /consumers/", 204, ""},
        {"POST /consumers/", 204, ""},
        {"GET /consumers/", 0, NULL}, /* gave 0 to 2, and libcurl asks again by itself */
        {"GET /consumers/", 200,
         "[{\"topic\":\"t\",\"key\":null,\"value\":\"NA==\",\"partition\":0,\"offset\":3}]"},
        {"POST /consumers/", 204, ""},
        {"POST /consumers/", 204, ""},
        {"GET /consumers/", 200, "[]"},
        {"GET /consumers/", 200,
         "[{\"topic\":\"t\",\"key\":null,\"value\":\"MQ==\",\"partition\":0,\"offset\":1},"
         "{\"topic\":\"t\",\"key\":null,\"value\":\"NA==\",\"partition\":0,\"offset\":3}]"},
        {"POST /consumers/", 204, ""},
        {"POST /consumers/", 204, ""},
        {"GET /consumers/", 200, /* offset 0 was compacted away, and 2 too */
         "[{\"topic\":\"t\",\"key\":null,\"value\":\"MQ==\",\"partition\":0,\"offset\":1}]"},
        {"GET /consumers/", 200,
         "[{\"topic\":\"t\",\"key\":null,\"value\":\"NA==\",\"partition\":0,\"offset\":3}]"},
        {"POST /consumers/", 204, ""},
        {"POST /consumers/", 204, ""},
        {"GET /consumers/", 200,
         "[{\"topic\":\"t\",\"key\":null,\"value\":\"NA==\",\"partition\":0,\"offset\":3}]"},
        {"DELETE /consumers/", 204, ""},
        {NULL, 0, NULL}};
    struct script s;
    struct got got = {0};
    struct fm_rest_consumer *c = start_script(&s, turns, FM_DIALECT_CONFLUENT_V2, 20000);
    cr_assert_eq(fm_rest_consumer_ends(c, NULL), FM_OK);
    read_until(c, &got, 2);
    cr_assert_str_eq(got.text, "0/1=1 0/3=4");
    end_script(&s, c);
}

Test(consumer, of_strimzi_sets_what_strimzi_calls_it)
{
    static const struct turn turns[] = {
        {"GET /topics/t/partitions ", 200, ONE_PARTITION},
        {"GET /topics/t/partitions/0/offsets ", 200, "{\"beginning_offset\":0,\"end_offset\":1}"},
        {"POST /consumers/", 200, CREATED},
        {"POST /consumers/", 204, ""},
        {"POST /consumers/", 204, ""},
        {"GET /consumers/", 422,
         "{\"error_code\":422,\"message\":\"Response exceeds the maximum number of bytes the "
         "consumer can receive\"}"},
        {"POST /consumers/", 204, ""}, /* the records are thrown away there: back to them */
        {"POST /consumers/", 204, ""},
        {"GET /consumers/", 200,
         "[{\"topic\":\"t\",\"key\":\"aw==\",\"value\":null,\"partition\":0,\"offset\":0,"
         "\"timestamp\":1,\"headers\":[{\"key\":\"h\",\"value\":\"dg==\"}]}]"},
        {"DELETE /consumers/", 204, ""},
        {NULL, 0, NULL}};
    struct script s;
    struct got got = {0};
    struct fm_rest_consumer *c = start_script(&s, turns, FM_DIALECT_STRIMZI, 20000);
    cr_assert_eq(fm_rest_consumer_ends(c, NULL), FM_OK);
    read_until(c, &got, 1);
    cr_assert_str_eq(got.text, "0/0=null");
    end_script(&s, c);
    cr_assert_not_null(strstr(s.lines[2], "\"enable.auto.commit\":false"), "%s", s.lines[2]);
    cr_assert_null(strstr(s.lines[5], "max_bytes"), "%s", s.lines[5]);
}

Test(consumer, asks_for_more_bytes_when_a_record_may_be_too_large_for_them)
{
    static const struct turn turns[] = {
        {"GET /topics/t/partitions ", 200, ONE_PARTITION},
        {"GET /topics/t/partitions/0/offsets ", 200, "{\"beginning_offset\":0,\"end_offset\":1}"},
        {"POST /consumers/", 200, CREATED},
        {"POST /consumers/", 204, ""},
        {"POST /consumers/", 204, ""},
        {"GET /consumers/", 200, "[]"},
        {"GET /consumers/", 200, "[]"},
        {"GET /consumers/", 200, "[]"},
        {"GET /consumers/", 200, "[]"},
        {"GET /consumers/", 200, ONE_RECORD},
        {"DELETE /consumers/", 204, ""},
        {NULL, 0, NULL}};
    struct script s;
    struct got got = {0};
    struct fm_rest_consumer *c = start_script(&s, turns, FM_DIALECT_CONFLUENT_V2, 20000);
    cr_assert_eq(fm_rest_consumer_ends(c, NULL), FM_OK);
    read_until(c, &got, 1);
    end_script(&s, c);
    cr_assert_not_null(strstr(s.lines[8], "&max_bytes=4194304 "), "%s", s.lines[8]);
    cr_assert_not_null(strstr(s.lines[9], "&max_bytes=67108864 "), "%s", s.lines[9]);
}

Test(consumer, of_karapace_repeats_the_positions_until_the_partitions_are_taken_over)
{
    static const struct turn turns[] = {
        {"GET /topics/t/partitions ", 200, ONE_PARTITION},
        {"GET /topics/t/partitions/0/offsets ", 200, "{\"beginning_offset\":0,\"end_offset\":1}"},
        {"POST /consumers/", 200, CREATED},
        {"POST /consumers/", 204, ""},
        {"POST /consumers/", 409,
         "{\"error_code\":40903,\"message\":\"Partition t is unassigned\"}"},
        {"POST /consumers/", 204, ""},
        {"GET /consumers/", 200, ONE_RECORD},
        {"DELETE /consumers/", 204, ""},
        {NULL, 0, NULL}};
    struct script s;
    struct got got = {0};
    struct fm_rest_consumer *c = start_script(&s, turns, FM_DIALECT_KARAPACE, 20000);
    cr_assert_eq(fm_rest_consumer_ends(c, NULL), FM_OK);
    read_until(c, &got, 1);
    end_script(&s, c);
    cr_assert(strstr(s.lines[4], "/positions ") != NULL &&
              strstr(s.lines[5], "/positions ") != NULL);
}

Test(consumer, of_redpanda_subscribes_and_begins_again_after_a_loss)
{
    static const struct turn turns[] = {
        {"POST /consumers/firstmile-audit-", 200, CREATED},
        {"POST /consumers/", 204, ""},
        {"GET /consumers/", 200,
         "[{\"topic\":\"t\",\"key\":null,\"value\":\"MQ==\",\"partition\":3,\"offset\":0}]"},
        {"GET /consumers/", 0, NULL},
        {"GET /consumers/", 0, NULL},
        {"DELETE /consumers/", 204, ""},
        {"POST /consumers/firstmile-audit-", 200, CREATED},
        {"POST /consumers/", 204, ""},
        {"GET /consumers/", 200,
         "[{\"topic\":\"t\",\"key\":null,\"value\":\"MQ==\",\"partition\":3,\"offset\":0},"
         "{\"topic\":\"t\",\"key\":null,\"value\":\"Mg==\",\"partition\":1,\"offset\":0},"
         "{\"topic\":\"t\",\"key\":null,\"value\":\"Mw==\",\"partition\":3,\"offset\":1}]"},
        {"DELETE /consumers/", 204, ""},
        {NULL, 0, NULL}};
    struct script s;
    struct got got = {0};
    struct fm_rest_consumer *c = start_script(&s, turns, FM_DIALECT_REDPANDA, 20000);
    cr_assert_not(fm_rest_consumer_has_ends(c));
    cr_assert_eq(fm_rest_consumer_ends(c, NULL), FM_OK);
    read_until(c, &got, 3);
    cr_assert_str_eq(got.text, "3/0=1 1/0=2 3/1=3");
    end_script(&s, c);
    cr_assert_not_null(strstr(s.lines[1], AT_X "/subscription"), "%s", s.lines[1]);
    cr_assert_str_neq(s.lines[0], s.lines[6]); /* a group of its own */
}

Test(consumer, takes_an_instance_whose_making_was_not_answered_for_its_own)
{
    static const struct turn turns[] = {
        {"GET /topics/t/partitions ", 200, ONE_PARTITION},
        {"GET /topics/t/partitions/0/offsets ", 503, "busy"},
        {"GET /topics/t/partitions/0/offsets ", 200, "{\"beginning_offset\":0,\"end_offset\":0}"},
        {"POST /consumers/", 0, NULL},
        {"POST /consumers/", 409, "{\"error_code\":40902,\"message\":\"exists\"}"},
        {"POST /consumers/", 204, ""},
        {"POST /consumers/", 204, ""},
        {"GET /consumers/", 200, "[]"},
        {"DELETE /consumers/", 204, ""},
        {NULL, 0, NULL}};
    struct script s;
    struct got got = {0};
    struct fm_rest_consumer *c = start_script(&s, turns, FM_DIALECT_CONFLUENT_V2, 20000);
    cr_assert_eq(fm_rest_consumer_ends(c, NULL), FM_OK);
    cr_assert_eq(fm_rest_consumer_read(c, note, &got, NULL, NULL), FM_OK);
    end_script(&s, c);
}

static void expect_end(const struct turn *turns, enum fm_code code, const char *words)
{
    struct script s;
    struct got got = {0};
    struct fm_err err = {0};
    struct fm_rest_consumer *c = start_script(&s, turns, FM_DIALECT_CONFLUENT_V2, 600);
    enum fm_code is = fm_rest_consumer_ends(c, &err);
    while (is == FM_OK)
        is = fm_rest_consumer_read(c, note, &got, NULL, &err);
    cr_expect_eq(is, code, "%s", err.text);
    cr_expect_not_null(strstr(err.text, words), "%s", err.text);
    end_script(&s, c);
}

#define KNOWN                                                                                      \
    {"GET /topics/t/partitions ", 200, ONE_PARTITION},                                             \
    {                                                                                              \
        "GET /topics/t/partitions/0/offsets ", 200, "{\"beginning_offset\":0,\"end_offset\":0}"    \
    }

Test(consumer, says_how_to_audit_where_there_is_no_consumer_interface)
{
    static const struct turn turns[] = {
        KNOWN,
        {"POST /consumers/", 404, "{\"error_code\":404,\"message\":\"HTTP 404 Not Found\"}"},
        {"DELETE /consumers/", 404, ""},
        {NULL, 0, NULL}};
    expect_end(turns, FM_ECONF, "audit --from");
    static const struct turn at_once[] = {{"GET /topics/t/partitions ", 404, ""}, {NULL, 0, NULL}};
    expect_end(at_once, FM_ECONF, "consumer_url");
}

Test(consumer, does_not_go_on_with_wrong_credentials)
{
    static const struct turn turns[] = {
        {"GET /topics/t/partitions ", 401, "{\"message\":\"Unauthorized\"}"}, {NULL, 0, NULL}};
    expect_end(turns, FM_EAUTH, "check [rest] auth");
    static const struct turn group[] = {
        KNOWN,
        {"POST /consumers/", 200, CREATED},
        {"POST /consumers/", 204, ""},
        {"POST /consumers/", 204, ""},
        {"GET /consumers/", 403, "{\"error_code\":40301,\"message\":\"Not authorized\"}"},
        {"DELETE /consumers/", 204, ""},
        {NULL, 0, NULL}};
    expect_end(group, FM_EAUTH, "--group");
}

Test(consumer, gives_up_after_its_time)
{
    static const struct turn turns[] = {{"GET /topics/t/partitions ", 500, "{}"},
                                        {"GET /topics/t/partitions ", 500, "{}"},
                                        {NULL, 0, NULL}};
    expect_end(turns, FM_ETIMEOUT, "cannot reach Kafka");
}

static bool stop_soon(void *arg)
{
    atomic_int *asked = arg;
    return atomic_fetch_add(asked, 1) >= 3;
}

Test(consumer, stops_in_the_middle_of_a_request_and_deletes_its_instance)
{
    static const struct turn turns[] = {{"POST /consumers/", 200, CREATED},
                                        {"POST /consumers/", 204, ""},
                                        {"GET /consumers/", 1, NULL},
                                        {"DELETE /consumers/", 204, ""},
                                        {NULL, 0, NULL}};
    struct script s = {.turns = turns};
    struct got got = {0};
    atomic_int asked = 0;
    (void)pthread_mutex_init(&s.lock, NULL);
    s.peer = peer_start(serve, &s);
    (void)snprintf(s.url, sizeof s.url, "http://127.0.0.1:%u", (unsigned)peer_port(s.peer));
    struct fm_rest_consumer *c = make(s.url, FM_DIALECT_REDPANDA, 60000, stop_soon, &asked);
    int64_t begun = fm_clock_ms();
    enum fm_code code = FM_OK;
    while (code == FM_OK)
        code = fm_rest_consumer_read(c, note, &got, NULL, NULL);
    cr_assert_eq(code, FM_ESTOP);
    cr_assert_lt(fm_clock_ms() - begun, 10000);
    if (s.at < 3) { /* it came before the read; the instance is deleted all the same */
        s.at = 3;
    }
    end_script(&s, c);
}

static void hang(struct peer_conn *conn, unsigned nth, void *arg)
{
    struct peer_request in;
    (void)nth;
    (void)arg;
    if (!peer_read_request(conn, &in))
        return;
    peer_request_clear(&in);
    peer_stall(conn, 0);
}

/* @return how long fetching a token from a server that hangs took */
static int64_t fetch_from_hanging(unsigned timeout_ms, bool (*stop)(void *arg), void *arg,
                                  enum fm_code *code)
{
    struct peer *idp = peer_start(hang, NULL);
    char token_url[80];
    const char *const urls[] = {"http://127.0.0.1:9"};
    (void)snprintf(token_url, sizeof token_url, "http://127.0.0.1:%u/token",
                   (unsigned)peer_port(idp));
    const struct fm_rest_opts way = {.urls = urls,
                                     .n_urls = 1,
                                     .dialect = FM_DIALECT_REDPANDA,
                                     .auth = FM_REST_AUTH_OAUTH2,
                                     .oauth2_url = token_url,
                                     .oauth2_client = "c",
                                     .oauth2_secret = "s"};
    const struct fm_rest_consumer_opts opts = {
        .way = &way, .topic = "t", .timeout_ms = timeout_ms, .stop = stop, .arg = arg};
    struct fm_rest_consumer *c = NULL;
    struct fm_err err = {0};
    struct got got = {0};
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_assert_eq(fm_rest_consumer_new(&c, &opts, &err), FM_OK, "%s", err.text);
    int64_t begun = fm_clock_ms();
    *code = fm_rest_consumer_read(c, note, &got, NULL, &err);
    int64_t took = fm_clock_ms() - begun;
    fm_rest_consumer_free(c);
    peer_stop(idp);
    return took;
}

Test(consumer, waits_for_no_token_after_a_stop_or_its_time)
{
    atomic_int asked = 0;
    enum fm_code code = FM_OK;
    cr_expect_lt(fetch_from_hanging(60000, stop_soon, &asked, &code), 5000);
    cr_expect_eq(code, FM_ESTOP);
    cr_expect_lt(fetch_from_hanging(1200, NULL, NULL, &code), 5000);
    cr_expect_eq(code, FM_ETIMEOUT);
}

Test(consumer, refuses_options_that_cannot_be)
{
    static const char *const urls[] = {"http://x"};
    const struct fm_rest_opts way = {.urls = urls, .n_urls = 1};
    struct fm_rest_consumer_opts opts = {.way = &way, .topic = "a b"};
    struct fm_rest_consumer *c = NULL;
    cr_assert_eq(fm_rest_consumer_new(&c, &opts, NULL), FM_ECONF);
    opts.topic = "t";
    opts.group = "a/b";
    cr_assert_eq(fm_rest_consumer_new(&c, &opts, NULL), FM_ECONF);
    opts.group = NULL;
    opts.url = "ftp://x";
    cr_assert_eq(fm_rest_consumer_new(&c, &opts, NULL), FM_ECONF);
    cr_assert_null(c);
}

Test(consumer, of_v3_asks_beside_v3)
{
    static const char *const urls[] = {"http://x:8082/v3/"};
    const struct fm_rest_opts way = {.urls = urls, .n_urls = 1, .dialect = FM_DIALECT_CONFLUENT_V3};
    struct fm_rest_consumer_opts opts = {.way = &way, .topic = "t"};
    struct fm_rest_consumer *c = NULL;
    cr_assert_eq(fm_net_init(NULL), FM_OK);
    cr_assert_eq(fm_rest_consumer_new(&c, &opts, NULL), FM_OK);
    cr_assert_str_eq(c->urls[0], "http://x:8082");
    fm_rest_consumer_free(c);
    opts.url = "http://y/v3"; /* as it was given */
    cr_assert_eq(fm_rest_consumer_new(&c, &opts, NULL), FM_OK);
    cr_assert_str_eq(c->urls[0], "http://y/v3");
    fm_rest_consumer_free(c);
}

/* ---- recorded exchanges ---- */

static const struct recorded {
    const char *file;
    enum fm_consume_step step;
    enum fm_consume_class cls;
    const char *values; /* of the records; NULL: not a read that went well */
} recorded[] = {
    {"confluent-8.3.1/04-topic-missing", FM_CONSUME_TOPIC, FM_CONSUME_NO_TOPIC, NULL},
    {"confluent-8.3.1/05-partitions", FM_CONSUME_TOPIC, FM_CONSUME_OK, NULL},
    {"confluent-8.3.1/50-path-unknown", FM_CONSUME_CREATE, FM_CONSUME_NO_API, NULL},
    {"confluent-8.3.1/75-consumer-create", FM_CONSUME_CREATE, FM_CONSUME_OK, NULL},
    {"confluent-8.3.1/76-consumer-create-again", FM_CONSUME_CREATE, FM_CONSUME_TAKEN, NULL},
    {"confluent-8.3.1/77-consumer-subscribe", FM_CONSUME_PLACE, FM_CONSUME_OK, NULL},
    {"confluent-8.3.1/78-consumer-records-0", FM_CONSUME_READ, FM_CONSUME_OK, "01234"},
    {"confluent-8.3.1/79-consumer-records-1", FM_CONSUME_READ, FM_CONSUME_OK, ""},
    {"confluent-8.3.1/80-consumer-records-2", FM_CONSUME_READ, FM_CONSUME_OK, ""},
    {"confluent-8.3.1/81-consumer-records-3", FM_CONSUME_READ, FM_CONSUME_OK, ""},
    {"confluent-8.3.1/82-consumer-records-wrong-format", FM_CONSUME_READ, FM_CONSUME_REFUSED, NULL},
    {"confluent-8.3.1/83-consumer-offsets-commit", FM_CONSUME_PLACE, FM_CONSUME_OK, NULL},
    {"confluent-8.3.1/84-consumer-delete", FM_CONSUME_DELETE, FM_CONSUME_OK, NULL},
    {"confluent-8.3.1/85-consumer-gone", FM_CONSUME_READ, FM_CONSUME_GONE, NULL},
    {"karapace-6.2.0/04-topic-missing", FM_CONSUME_TOPIC, FM_CONSUME_NO_TOPIC, NULL},
    {"karapace-6.2.0/05-partitions", FM_CONSUME_TOPIC, FM_CONSUME_OK, NULL},
    {"karapace-6.2.0/50-path-unknown", FM_CONSUME_CREATE, FM_CONSUME_NO_API, NULL},
    {"karapace-6.2.0/54-consumer-create", FM_CONSUME_CREATE, FM_CONSUME_OK, NULL},
    {"karapace-6.2.0/55-consumer-create-again", FM_CONSUME_CREATE, FM_CONSUME_TAKEN, NULL},
    {"karapace-6.2.0/56-consumer-subscribe", FM_CONSUME_PLACE, FM_CONSUME_OK, NULL},
    {"karapace-6.2.0/57-consumer-records-0", FM_CONSUME_READ, FM_CONSUME_OK,
     "0123401234012340123401234"},
    {"karapace-6.2.0/58-consumer-records-1", FM_CONSUME_READ, FM_CONSUME_OK, ""},
    {"karapace-6.2.0/59-consumer-records-2", FM_CONSUME_READ, FM_CONSUME_OK, ""},
    {"karapace-6.2.0/60-consumer-records-3", FM_CONSUME_READ, FM_CONSUME_OK, ""},
    {"karapace-6.2.0/61-consumer-records-wrong-format", FM_CONSUME_READ, FM_CONSUME_REFUSED, NULL},
    {"karapace-6.2.0/62-consumer-offsets-commit", FM_CONSUME_PLACE, FM_CONSUME_REFUSED, NULL},
    {"karapace-6.2.0/63-consumer-delete", FM_CONSUME_DELETE, FM_CONSUME_OK, NULL},
    {"karapace-6.2.0/64-consumer-gone", FM_CONSUME_READ, FM_CONSUME_GONE, NULL},
    {"strimzi-1.0.0/04-topic-missing", FM_CONSUME_TOPIC, FM_CONSUME_NO_TOPIC, NULL},
    {"strimzi-1.0.0/05-partitions", FM_CONSUME_TOPIC, FM_CONSUME_OK, NULL},
    {"strimzi-1.0.0/50-path-unknown", FM_CONSUME_CREATE, FM_CONSUME_NO_API, NULL},
    {"strimzi-1.0.0/54-consumer-create", FM_CONSUME_CREATE, FM_CONSUME_OK, NULL},
    {"strimzi-1.0.0/55-consumer-create-again", FM_CONSUME_CREATE, FM_CONSUME_TAKEN, NULL},
    {"strimzi-1.0.0/56-consumer-subscribe", FM_CONSUME_PLACE, FM_CONSUME_OK, NULL},
    {"strimzi-1.0.0/57-consumer-records-0", FM_CONSUME_READ, FM_CONSUME_AGAIN, NULL},
    {"strimzi-1.0.0/58-consumer-records-1", FM_CONSUME_READ, FM_CONSUME_OK, ""},
    {"strimzi-1.0.0/59-consumer-records-2", FM_CONSUME_READ, FM_CONSUME_OK, ""},
    {"strimzi-1.0.0/60-consumer-records-3", FM_CONSUME_READ, FM_CONSUME_OK, ""},
    {"strimzi-1.0.0/61-consumer-records-wrong-format", FM_CONSUME_READ, FM_CONSUME_REFUSED, NULL},
    {"strimzi-1.0.0/62-consumer-offsets-commit", FM_CONSUME_PLACE, FM_CONSUME_OK, NULL},
    {"strimzi-1.0.0/63-consumer-delete", FM_CONSUME_DELETE, FM_CONSUME_OK, NULL},
    {"strimzi-1.0.0/64-consumer-gone", FM_CONSUME_READ, FM_CONSUME_GONE, NULL},
};

bool vector_of_consumer(const char *file)
{
    for (size_t i = 0; i < sizeof recorded / sizeof *recorded; i++)
        if (strcmp(recorded[i].file, file) == 0)
            return true;
    return false;
}

static enum fm_code take_value(void *arg, const struct fm_rest_consumed *r, struct fm_err *err)
{
    struct got *got = arg;
    (void)err;
    cr_assert_eq(r->key_len, 8); /* as it is stored: with its quotes */
    cr_assert_eq(memcmp(r->key, "\"host-1\"", 8), 0);
    cr_assert_eq(r->value_len, 9);
    cr_assert_eq(memcmp(r->value, "{\"seq\":", 7), 0);
    got->text[got->n++] = r->value[7];
    return FM_OK;
}

static void check_body(const struct recorded *r, const struct fm_http_answer *http)
{
    char name[64];
    if (r->values != NULL) {
        struct got got = {0};
        struct fm_consume_scratch scratch;
        struct fm_err err = {0};
        fm_consume_scratch_init(&scratch);
        cr_assert_eq(fm_consume_records(http->body, http->body_len, false, "vecread", &scratch,
                                        take_value, &got, &err),
                     FM_OK, "%s: %s", r->file, err.text);
        fm_consume_scratch_clear(&scratch);
        cr_assert_str_eq(got.text, r->values, "%s: %s", r->file, got.text);
    } else if (r->step == FM_CONSUME_TOPIC && r->cls == FM_CONSUME_OK) {
        int32_t *numbers;
        size_t n;
        cr_assert_eq(fm_consume_partitions(http->body, http->body_len, &numbers, &n, NULL), FM_OK);
        cr_assert(n == 3 && numbers[0] == 0 && numbers[1] == 1 && numbers[2] == 2);
        free(numbers);
    } else if (r->step == FM_CONSUME_CREATE && r->cls == FM_CONSUME_OK) {
        cr_assert(fm_consume_created(http->body, http->body_len, name, sizeof name));
        cr_assert_str_eq(name, "c1");
    }
}

Test(consumer, each_recorded_exchange_is_understood)
{
    for (size_t i = 0; i < sizeof recorded / sizeof *recorded; i++) {
        const struct recorded *r = &recorded[i];
        char path[300], *body;
        struct fm_http_answer http;
        (void)snprintf(path, sizeof path, "tests/data/rest-vectors/%s.res", r->file);
        cr_assert(vector_read(path, &http, &body), "%s", path);
        const struct fm_consume_row *row = fm_consume_judge(r->step, &http);
        cr_expect_eq(row->cls, r->cls, "%s: %d (%s)", r->file, (int)row->cls, row->what);
        check_body(r, &http);
        free(body);
    }
}

/* ---- answers that are not what they should be ---- */

static enum fm_code parse(const char *text, bool binary, struct got *got)
{
    struct fm_consume_scratch scratch;
    *got = (struct got){0};
    fm_consume_scratch_init(&scratch);
    enum fm_code code =
        fm_consume_records(text, strlen(text), binary, "t", &scratch, note, got, NULL);
    fm_consume_scratch_clear(&scratch);
    return code;
}

Test(consumer, takes_no_record_that_lacks_its_place)
{
    static const char *const wrong[] = {
        "",
        "{}",
        "[",
        "[1]",
        "[{}]",
        "[{\"topic\":\"t\",\"partition\":0,\"value\":\"MQ==\"}]",
        "[{\"topic\":\"t\",\"offset\":0,\"value\":\"MQ==\"}]",
        "[{\"partition\":0,\"offset\":0,\"value\":\"MQ==\"}]",
        "[{\"topic\":\"t\",\"partition\":-1,\"offset\":0,\"value\":\"MQ==\"}]",
        "[{\"topic\":\"t\",\"partition\":0,\"offset\":1.5,\"value\":\"MQ==\"}]",
        "[{\"topic\":\"t\",\"partition\":0,\"offset\":0,\"value\":\"M\"}]",
        "[{\"topic\":\"t\",\"partition\":0,\"offset\":0,\"value\":7}]",
        "[{\"topic\":\"t\",\"partition\":0,\"offset\":0,\"value\":\"MQ==\"}",
        "[{\"topic\":\"t\",\"partition\":0,\"offset\":0,\"value\":\"MQ==\"}]x"};
    struct got got;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_expect_eq(parse(wrong[i], true, &got), FM_EPROTO, "%s", wrong[i]);
    cr_expect_eq(
        parse("[{\"topic\":\"other\",\"partition\":0,\"offset\":0,\"value\":null}]", true, &got),
        FM_OK);
    cr_expect_eq(got.n, 0);
    cr_expect_eq(parse("[{\"offset\":0,\"value\":\"M\\u0051==\",\"partition\":7,\"new\":{\"a\":[]},"
                       "\"topic\":\"t\"}]",
                       true, &got),
                 FM_OK);
    cr_expect_str_eq(got.text, "7/0=1");
}

Test(consumer, believes_no_impossible_offsets)
{
    int64_t begin, end;
    static const char *const wrong[] = {"[]",
                                        "{}",
                                        "{\"beginning_offset\":1}",
                                        "{\"beginning_offset\":2,\"end_offset\":1}",
                                        "{\"beginning_offset\":-1,\"end_offset\":1}",
                                        "{\"beginning_offset\":null,\"end_offset\":1}",
                                        "{\"beginning_offset\":0,\"end_offset\":\"1\"}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_expect_not(fm_consume_ends(wrong[i], strlen(wrong[i]), &begin, &end), "%s", wrong[i]);
    static const char right[] = "{\"end_offset\":9,\"beginning_offset\":9}";
    cr_expect(fm_consume_ends(right, sizeof right - 1, &begin, &end) && begin == 9 && end == 9);
}

Test(consumer, knows_each_partition_once_in_ascending_order)
{
    int32_t *list;
    size_t n;
    static const char text[] = "[{\"partition\":2},{\"partition\":0,\"l\":1},{\"partition\":2}]";
    cr_assert_eq(fm_consume_partitions(text, sizeof text - 1, &list, &n, NULL), FM_OK);
    cr_assert(n == 2 && list[0] == 0 && list[1] == 2);
    free(list);
    cr_assert_eq(fm_consume_partitions("[]", 2, &list, &n, NULL), FM_EPROTO);
    cr_assert_eq(fm_consume_partitions("[{\"partition\":-3}]", 18, &list, &n, NULL), FM_EPROTO);
    cr_assert_null(list);
}
