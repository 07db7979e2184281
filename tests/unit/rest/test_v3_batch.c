/* api = v3-batch: one JSON document a request, verdicts by the entries' ids (records:batch). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "rest/rest_priv.h"
#include "rest/topic_priv.h"
#include "rig.h"

#define TOO_MANY "{\"error_code\":42208,\"message\":\"Too many entries in batch.\"}"
#define NOT_FOUND "{\"error_code\":404,\"message\":\"HTTP 404 Not Found\"}"

/* ---- the body ---- */

static const struct fm_batch_limits limits = {.dialect = FM_DIALECT_CONFLUENT_V3_BATCH,
                                              .agent = "edge-7",
                                              .max_records = 10,
                                              .max_body = 350 * 1024,
                                              .size_limit = 1048576};

Test(v3_batch_body, is_one_document_whose_entries_are_numbered)
{
    struct fm_buf body;
    struct fm_spool_item items[] = {rig_item(7, "h\"1", "{\"x\":1}"), rig_item(8, NULL, "a\x80")};
    items[0].rec.time_ms = 1763812800123;
    items[0].rec.partition = 3;
    items[1].rec.kind = FM_RECORD_RAW;
    const struct fm_spool_batch batch = {.items = items, .n = 2};
    size_t used;
    fm_buf_init(&body, 0);
    cr_assert_eq(fm_batch_build(&body, &limits, &batch, &used, NULL), FM_OK);
    cr_assert_eq(used, 2);
    cr_assert_str_eq(
        fm_buf_str(&body),
        "{\"entries\":[{\"id\":\"1\",\"partition_id\":3,\"headers\":[{\"name\":\"firstmile-agent\","
        "\"value\":\"ZWRnZS03\"},{\"name\":\"firstmile-stream\",\"value\":"
        "\"M2Y5YzJhNzFkMDRiZTgxMQ==\"},{\"name\":\"firstmile-seq\",\"value\":\"Nw==\"}],"
        "\"key\":{\"type\":\"STRING\",\"data\":\"h\\\"1\"},"
        "\"value\":{\"type\":\"JSON\",\"data\":{\"x\":1}},"
        "\"timestamp\":\"2025-11-22T12:00:00.123Z\"},"
        "{\"id\":\"2\",\"headers\":[{\"name\":\"firstmile-agent\",\"value\":\"ZWRnZS03\"},"
        "{\"name\":\"firstmile-stream\",\"value\":\"M2Y5YzJhNzFkMDRiZTgxMQ==\"},"
        "{\"name\":\"firstmile-seq\",\"value\":\"OA==\"}],"
        "\"value\":{\"type\":\"BINARY\",\"data\":\"YYA=\"}}]}");
    fm_buf_clear(&body);
}

Test(v3_batch_body, ends_whole_where_the_limit_of_bytes_is)
{
    struct fm_buf body;
    struct fm_spool_item items[] = {rig_item(1, NULL, "1"), rig_item(2, NULL, "2"),
                                    rig_item(3, NULL, "3")};
    const struct fm_spool_batch batch = {.items = items, .n = 3};
    struct fm_batch_limits tight = limits;
    size_t used;
    tight.agent = NULL;
    fm_buf_init(&body, 0);
    for (size_t max = 1; max < 200; max++) {
        tight.max_body = max;
        cr_assert_eq(fm_batch_build(&body, &tight, &batch, &used, NULL), FM_OK);
        cr_assert(used == 1 || body.len <= max, "%zu of at most %zu bytes", body.len, max);
        cr_assert_str_eq(fm_buf_str(&body) + body.len - 3, "}]}");
    }
    cr_assert_eq(used, 3);
    fm_buf_clear(&body);
}

/* ---- the sender ---- */

static void begin(struct sender *s, mock_fn *fn)
{
    sender_setup(s, fn);
    s->opts.dialect = FM_DIALECT_CONFLUENT_V3_BATCH;
    s->opts.batch_records = 0;
}

/* Everything is sent, nothing twice, and the state never said that anything was wrong. */
static void ends_well(struct sender *s, size_t n)
{
    rig_drain(s->rest, 5000);
    cr_assert_eq(mock_stored(s->mock), n);
    cr_assert_eq(mock_repeats(s->mock), 0);
    cr_assert_eq(rig_stats(s->rest).possible_duplicates, 0);
    sender_teardown(s);
}

static void look(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                 void *arg)
{
    struct sender *s = arg;
    (void)m, (void)reply;
    if (req->post && strncmp(req->head, "POST /v3/clusters/C/topics/t/records:batch ", 43) != 0)
        atomic_store(&s->phase, 1);
    if (req->post && strstr(req->head, "\r\nContent-Type: application/json\r\n") == NULL)
        atomic_store(&s->phase, 2);
}

Test(v3_batch, goes_to_its_path_and_takes_verdicts_in_any_order)
{
    struct sender s;
    begin(&s, look);
    spool_add(s.spool, "t", 35, 100, FM_RECORD_DATA);
    s.rest = rig_start(&s.opts);
    rig_drain(s.rest, 5000);
    cr_assert_eq(atomic_load(&s.phase), 0);
    cr_assert(mock_in_order(s.mock));
    cr_assert_eq(mock_max_post(s.mock), 10);
    cr_assert_eq(mock_posts(s.mock), 5); /* 1, 10, 10, 10, 4 */
    ends_well(&s, 35);
}

/* What [batch] records asks for, and what becomes of it. */
Test(v3_batch, sends_as_many_as_asked_up_to_fifty_and_else_ten)
{
    static const unsigned asked[] = {0, 1, 30, 50, 51, 500}, sent[] = {10, 1, 30, 50, 10, 10};
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        struct sender s;
        begin(&s, NULL);
        s.opts.batch_records = asked[i];
        spool_add(s.spool, "t", 120, 20, FM_RECORD_DATA);
        s.rest = rig_start(&s.opts);
        rig_drain(s.rest, 5000);
        cr_assert_eq(mock_max_post(s.mock), sent[i], "asked for %u", asked[i]);
        ends_well(&s, 120);
    }
}

/* Takes as many entries as s->bad says. */
static void takes_few(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                      void *arg)
{
    const struct sender *s = arg;
    (void)m;
    if (!req->post || req->n <= s->bad)
        return;
    mock_refuse(req, reply, "42208,x");
    mock_body(reply, 422, TOO_MANY);
}

Test(v3_batch, learns_how_many_records_a_request_may_have)
{
    static const struct {
        unsigned asked, in_flight;
        uint64_t taken;
        size_t most;
        unsigned posts; /* at most: none is tried again after it was refused once */
    } cases[] = {{50, 1, 49, 10, 14}, {50, 1, 10, 10, 14}, {50, 1, 9, 5, 27},
                 {0, 1, 4, 2, 65},    {7, 1, 1, 1, 125},   {50, 4, 3, 2, 80}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sender s;
        begin(&s, takes_few);
        s.bad = cases[i].taken;
        s.opts.batch_records = cases[i].asked;
        s.opts.max_in_flight = cases[i].in_flight;
        s.opts.hold_interval_ms = 60000; /* so that a HOLD would be seen */
        s.opts.backoff_ms = 20000; /* ... and a back-off */
        spool_add(s.spool, "t", 120, 20, FM_RECORD_DATA);
        s.rest = rig_start(&s.opts);
        rig_drain(s.rest, 5000);
        cr_assert_leq(mock_posts(s.mock), cases[i].posts, "case %zu: %u", i, mock_posts(s.mock));
        (void)mock_max_post(s.mock);
        spool_add(s.spool, "t", 120, 20, FM_RECORD_DATA);
        rig_drain(s.rest, 5000);
        cr_assert_eq(mock_max_post(s.mock), cases[i].most, "case %zu", i);
        cr_assert_eq(rig_stats(s.rest).topics[0].suspects, 0);
        ends_well(&s, 240);
    }
}

Test(v3_batch, a_proxy_that_takes_not_even_one_is_held_with_the_remedy)
{
    struct sender s;
    begin(&s, takes_few);
    spool_add(s.spool, "t", 5, 100, FM_RECORD_DATA);
    s.rest = rig_start(&s.opts);
    rig_wait_state(s.rest, FM_REST_HOLD, 3000);
    struct fm_rest_stats stats = rig_stats(s.rest);
    cr_assert_neq(strstr(stats.topics[0].reason, "set [rest] api = v3"), NULL, "%s",
                  stats.topics[0].reason);
    cr_assert_eq(spool_count(s.spool, FATE_PENDING), 5);
    sender_teardown(&s);
}

/* Offered from phase 1 on. */
static void not_offered(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                        void *arg)
{
    struct sender *s = arg;
    (void)m;
    if (!req->post || atomic_load(&s->phase) != 0)
        return;
    mock_refuse(req, reply, "404,x");
    if (s->bad == 404)
        mock_body(reply, 404, NOT_FOUND);
    else if (s->bad == 405)
        mock_body(reply, 405, "<html>405 Not Allowed</html>");
    else
        mock_body(reply, 404, "{\"message\":\"no Route matched with those values\"}");
}

Test(v3_batch, where_it_is_not_offered_is_told_from_a_missing_topic_and_nothing_is_lost)
{
    static const uint64_t kinds[] = {404, 405, 1};
    for (size_t i = 0; i < 3; i++) {
        struct sender s;
        begin(&s, not_offered);
        s.bad = kinds[i];
        spool_add(s.spool, "t", 25, 100, FM_RECORD_DATA);
        s.rest = rig_start(&s.opts);
        rig_wait_state(s.rest, FM_REST_HOLD, 3000);
        struct fm_rest_stats stats = rig_stats(s.rest);
        const char *reason = stats.topics[0].reason;
        cr_assert_neq(strstr(reason, "does not offer records:batch"), NULL, "%s", reason);
        cr_assert_neq(strstr(reason, "set [rest] api = v3"), NULL, "%s", reason);
        unsigned posts = mock_posts(s.mock);
        mock_wait_posts(s.mock, posts + 2); /* it goes on trying */
        cr_assert_eq(spool_count(s.spool, FATE_PENDING), 25);
        atomic_store(&s.phase, 1);
        ends_well(&s, 25);
    }
}

static void no_topic(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                     void *arg)
{
    struct sender *s = arg;
    (void)m;
    if (atomic_load(&s->phase) == 0 && strstr(req->head, "/topics/t ") != NULL)
        mock_body(reply, 404,
                  "{\"error_code\":40403,\"message\":\"This server does not host this "
                  "topic-partition.\"}");
}

Test(v3_batch, a_missing_topic_is_missing_and_not_a_batch_that_is_not_offered)
{
    struct sender s;
    begin(&s, no_topic);
    spool_add(s.spool, "t", 3, 100, FM_RECORD_DATA);
    s.rest = rig_start(&s.opts);
    rig_wait_state(s.rest, FM_REST_MISSING, 3000);
    struct fm_rest_stats stats = rig_stats(s.rest);
    cr_assert_eq(strstr(stats.topics[0].reason, "records:batch"), NULL, "%s",
                 stats.topics[0].reason);
    cr_assert_eq(mock_posts(s.mock), 0);
    atomic_store(&s.phase, 1);
    ends_well(&s, 3);
}

/* ---- D68 ---- */

/* The second POST stores all of its ten records, and its answer names them as s->bad says. */
static void oddly(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                  void *arg)
{
    const struct sender *s = arg;
    (void)m;
    if (!req->post || req->nth != 2)
        return;
    cr_assert_eq(req->n, 10);
    struct fm_buf b;
    fm_buf_init(&b, 0);
    fm_buf_puts(&b, "{\"successes\":[");
    for (size_t i = 1; i <= 10; i++) {
        static const char *const names[] = {"4", "5", "11", "05", "five", ""};
        char plain[8];
        snprintf(plain, sizeof plain, "%zu", i);
        const char *name = i == 5 && s->bad < 6 ? names[s->bad] : plain;
        if (i != 5 || s->bad != 6) /* 6: in none */
            fm_buf_printf(&b, "%s{\"id\":\"%s\",\"offset\":%zu}", i > 1 ? "," : "", name, i);
    }
    fm_buf_puts(&b, "],\"failures\":[");
    if (s->bad == 7) /* in both */
        fm_buf_puts(&b, "{\"id\":\"5\",\"error_code\":400,\"message\":\"x\"}");
    fm_buf_puts(&b, "]}");
    mock_body(reply, 207, fm_buf_str(&b));
    reply->proves = true;
    for (size_t i = 0; i < 10; i++)
        if ((i == 4 && s->bad != 1) || (i == 3 && s->bad == 0))
            reply->error[i] = "0,"; /* proven is all but these */
    fm_buf_clear(&b);
}

Test(v3_batch, what_an_answer_names_twice_or_not_is_unproven_and_goes_again)
{
    static const size_t again[] = {2, 0, 1, 1, 1, 1, 1, 1};
    for (uint64_t kind = 0; kind < 8; kind++) {
        struct sender s;
        begin(&s, oddly);
        s.bad = kind;
        spool_add(s.spool, "t", 30, 100, FM_RECORD_DATA);
        s.rest = rig_start(&s.opts);
        rig_drain(s.rest, 5000);
        cr_assert_eq(mock_repeats(s.mock), again[kind], "kind %zu: %zu", (size_t)kind,
                     mock_repeats(s.mock));
        cr_assert_eq(rig_stats(s.rest).possible_duplicates, again[kind]);
        cr_assert_eq(spool_count(s.spool, FATE_DELIVERED), 30);
        sender_teardown(&s);
    }
}

static void one_bad(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                    void *arg)
{
    const struct sender *s = arg;
    (void)m;
    for (size_t i = 0; i < req->n; i++)
        if (req->seq[i] == 17 && s->bad == 1) {
            reply->error[i] = "400,Bad Request: not a record";
            reply->stored[i] = false;
        } else if (req->seq[i] == 17) { /* the whole document is refused */
            mock_refuse(req, reply, "400,x");
            mock_body(reply, 400, "{\"error_code\":400,\"message\":\"Bad Request: not a record\"}");
        }
}

Test(v3_batch, one_bad_record_dies_alone_whether_it_or_all_is_blamed)
{
    for (uint64_t kind = 1; kind <= 2; kind++) {
        struct sender s;
        begin(&s, one_bad);
        s.bad = kind;
        spool_add(s.spool, "t", 40, 100, FM_RECORD_DATA);
        s.rest = rig_start(&s.opts);
        rig_drain(s.rest, 8000);
        cr_assert_eq(spool_fate(s.spool, 17), FATE_DEAD);
        char reason[600];
        spool_reason(s.spool, 17, reason);
        cr_assert_neq(strstr(reason, "not a record"), NULL, "%s", reason);
        ends_well(&s, 39);
    }
}

/* Cut anywhere, an answer that would have proven all proves nothing. */
Test(v3_batch, a_cut_answer_proves_nothing_at_any_byte)
{
    static const char body[] =
        "{\"successes\":[{\"id\":\"1\",\"offset\":1},{\"id\":\"2\",\"offset\":2}],\"failures\":[]}";
    const struct fm_sent sent = {.dialect = FM_DIALECT_CONFLUENT_V3_BATCH, .n_records = 2};
    for (size_t len = 0; len <= sizeof body - 1; len++)
        for (int end = 0; end < 2; end++) {
            struct fm_http_answer http = {.failure = end == 0 ? FM_HTTP_OK : FM_HTTP_BROKEN,
                                          .status = 207,
                                          .body = body,
                                          .body_len = len,
                                          .body_sent = true};
            struct fm_verdict v[2];
            struct fm_judgement j;
            cr_assert_eq(fm_judge(&j, v, &sent, &http, NULL), FM_OK);
            bool whole = end == 0 && len == sizeof body - 1;
            cr_expect_eq(j.accepted, whole ? 2 : 0, "%zu bytes, end %d", len, end);
            cr_expect_eq(j.unknown, whole ? 0 : 2, "%zu bytes, end %d", len, end);
        }
}

/* ---- schemas ---- */

Test(v3_batch, learns_the_id_of_a_schema_from_what_was_accepted)
{
    static const struct {
        const char *answer;
        uint32_t id;
    } cases[] = {
        {"{\"successes\":[{\"id\":\"1\",\"offset\":1,\"key\":{\"schema_id\":4},\"value\":{\"type\":"
         "\"AVRO\",\"schema_id\":12,\"size\":3}}],\"failures\":[]}",
         12},
        {"{\"failures\":[{\"id\":\"2\",\"error_code\":1}],\"successes\":[{\"value\":{\"schema_id\":"
         "9}}]}",
         9},
        {"{\"successes\":[],\"failures\":[]}", 0},
        {"{\"value\":{\"schema_id\":9}}", 0},
        {"", 0}};
    const struct fm_rest_opts o = {.dialect = FM_DIALECT_CONFLUENT_V3_BATCH,
                                   .format = FM_REST_AVRO};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fm_typed typed;
        const struct fm_spool_item it = rig_item(1, "k", "{}");
        struct fm_typed_use use;
        fm_typed_reset(&typed, &o);
        fm_typed_begin(&typed, &use, &o, &it, 1);
        cr_assert(fm_typed_alone(&typed, &use, &o));
        fm_typed_learn(&typed, &use, &o, cases[i].answer, strlen(cases[i].answer));
        fm_typed_begin(&typed, &use, &o, &it, 1);
        cr_assert_eq(use.value_id, cases[i].id, "%s: %u", cases[i].answer, (unsigned)use.value_id);
        cr_assert(!fm_typed_alone(&typed, &use, &o));
    }
}

/* ---- check ---- */

static void add_step(void *arg, const struct fm_rest_step *step)
{
    static const char *const names[] = {"ok", "warn", "FAIL", "skip"};
    struct fm_buf *b = arg;
    fm_buf_printf(b, "%s %s (%s)\n", step->step, names[step->verdict], step->sentence);
}

static void empty_batch(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                        void *arg)
{
    const struct sender *s = arg;
    (void)m;
    if (!req->post)
        return;
    cr_assert_str_eq(req->body, "{\"entries\":[]}");
    cr_assert_neq(strstr(req->head, "/topics/t/records:batch "), NULL);
    if (s->bad == 422)
        mock_body(reply, 422, "{\"error_code\":42208,\"message\":\"Empty batch.\"}");
    else if (s->bad == 404)
        mock_body(reply, 404, NOT_FOUND);
    else
        mock_body(reply, 403, "<html>Forbidden</html>");
}

Test(v3_batch, check_says_whether_it_is_offered_without_a_record)
{
    static const struct {
        uint64_t status;
        enum fm_code code;
        const char *said;
    } cases[] = {{422, FM_OK, "batch ok (records:batch is offered)"},
                 {404, FM_EREMOTE, "batch FAIL (the proxy, or a gateway before it, does not offer"},
                 {403, FM_OK, "batch warn (whether records:batch is offered cannot be told"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sender s;
        struct fm_buf said;
        struct fm_err err = {0};
        fm_buf_init(&said, 0);
        begin(&s, empty_batch);
        s.bad = cases[i].status;
        cr_assert_eq(fm_net_init(&err), FM_OK);
        enum fm_code code = fm_rest_check(&s.opts, "t", add_step, &said, &err);
        cr_assert_eq(code, cases[i].code, "%s", fm_buf_str(&said));
        cr_assert_neq(strstr(fm_buf_str(&said), cases[i].said), NULL, "%s", fm_buf_str(&said));
        cr_assert_eq(mock_stored(s.mock), 0);
        fm_buf_clear(&said);
        mock_free(s.mock);
        spool_free(s.spool);
    }
}
