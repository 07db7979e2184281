/* What sets Karapace, Strimzi and Redpanda apart (reference rest-proxy.md, section 4): each
 * difference as the real one answers it, played to the sender, with the books compared after.
 * Confluent's own answers are those of the other tests here. */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "rig.h"

struct play {
    struct fm_spool *spool;
    struct mock *mock;
    struct fm_rest *rest;
    struct fm_rest_opts opts;
    const char *urls[1];
    atomic_uint phase;
    atomic_uint conns; /* the connection that the last POST came over */
    uint64_t bad;
    const char *text; /* of an error, for scripts */
};

static void open_play(struct play *p, enum fm_rest_dialect dialect, mock_fn *fn)
{
    *p = (struct play){.spool = spool_new()};
    p->mock = mock_new(fn, p);
    p->urls[0] = mock_url(p->mock);
    p->opts = rig_opts(p->spool, p->urls, 1);
    p->opts.dialect = dialect;
}

static void close_play(struct play *p)
{
    rig_check(p->rest, p->spool, p->mock);
    fm_rest_stop(p->rest, 0);
    cr_assert(fm_rest_join(p->rest, 3000));
    fm_rest_free(p->rest);
    mock_free(p->mock);
    spool_free(p->spool);
}

static void begin(struct play *p, size_t records)
{
    spool_add(p->spool, "t", records, 100, FM_RECORD_DATA);
    p->rest = rig_start(&p->opts);
}

static void all_delivered(struct play *p, size_t n)
{
    rig_drain(p->rest, 5000);
    cr_expect_eq(spool_count(p->spool, FATE_DELIVERED), n);
    cr_expect_eq(rig_stats(p->rest).dead, 0);
    close_play(p);
}

static size_t wanted;

static bool enough(void *arg)
{
    return spool_count(((struct play *)arg)->spool, FATE_DELIVERED) >= wanted;
}

/* Of n records one is refused for good: the others arrive, then it is buried, as another record was
 * accepted after its first failure. */
static void buries(struct play *p, size_t n, uint64_t seq)
{
    wanted = n - 1;
    rig_wait(enough, p, 5000, "the others");
    spool_add(p->spool, "t", 1, 100, FM_RECORD_DATA); /* the evidence */
    rig_drain(p->rest, 5000);
    cr_expect_eq(spool_fate(p->spool, seq), FATE_DEAD);
    cr_expect_eq(spool_count(p->spool, FATE_DELIVERED), n);
    cr_expect_eq(mock_repeats(p->mock), 0);
}

static bool holds(const struct mock_request *req, uint64_t seq)
{
    for (size_t i = 0; i < req->n; i++)
        if (req->seq[i] == seq)
            return true;
    return false;
}

/* Record 20 of 40 is larger than the topic's limit, which sank after it was read: 300 bytes. */
static void begin_with_a_large_one(struct play *p)
{
    spool_add(p->spool, "t", 19, 100, FM_RECORD_DATA);
    spool_add(p->spool, "t", 1, 400, FM_RECORD_DATA);
    spool_add(p->spool, "t", 20, 100, FM_RECORD_DATA);
    p->rest = rig_start(&p->opts);
}

static void sunk_limit(const struct mock_request *req, struct mock_reply *reply)
{
    if (!req->post && req->nth > 1)
        mock_body(reply, 200, "{\"name\":\"t\",\"configs\":{\"max.message.bytes\":\"300\"}}");
}

/* ---- what is asked, and how ---- */

static void look_at_request(struct mock *m, const struct mock_request *req,
                            struct mock_reply *reply, void *arg)
{
    (void)m;
    struct play *p = arg;
    reply->member = p->opts.dialect == FM_DIALECT_STRIMZI ? "message" : "error";
    cr_expect(strstr(req->head, "\r\nExpect:") == NULL);
    if (!req->post) {
        bool list = p->opts.dialect == FM_DIALECT_REDPANDA;
        cr_expect(strstr(req->head, list ? "GET /topics HTTP" : "GET /topics/t HTTP") != NULL);
        cr_expect(strstr(req->head, "\r\nAccept: application/vnd.kafka.v2+json") != NULL);
        if (list)
            mock_body(reply, 200, "[\"a\",\"t\"]");
        return;
    }
    const char *type = p->opts.format == FM_REST_BINARY ? "binary" : "json";
    char line[100];
    (void)snprintf(line, sizeof line, "\r\nContent-Type: application/vnd.kafka.%s.v2+json\r\n",
                   type);
    cr_expect(strstr(req->head, line) != NULL, "no parameter, lower case: %s", req->head);
    cr_expect(strstr(req->head, "POST /topics/t HTTP/1.1\r\n") == req->head);
    cr_expect(strstr(req->head, "\r\nContent-Length: ") != NULL);
    cr_expect(strstr(req->head, "chunked") == NULL);
    cr_expect(strstr(req->body, "null") == NULL, "no key, no partition: no member: %s", req->body);
    cr_expect(strstr(req->body, "headers") == NULL);
    cr_expect(strstr(req->body, "timestamp\":1") == NULL);
}

Test(dialects, all_of_v2_get_requests_that_the_strictest_takes)
{
    static const enum fm_rest_dialect all[] = {FM_DIALECT_CONFLUENT_V2, FM_DIALECT_KARAPACE,
                                               FM_DIALECT_STRIMZI, FM_DIALECT_REDPANDA};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct play p;
        open_play(&p, all[i], look_at_request);
        begin(&p, 40);
        rig_drain(p.rest, 5000);
        cr_expect_eq(mock_gets(p.mock), 1u);
        cr_expect_eq(rig_stats(p.rest).topics[0].size_limit,
                     all[i] == FM_DIALECT_REDPANDA ? 1000000u : 1048576u);
        all_delivered(&p, 40);
    }
}

/* ---- the time a lone record gets: Karapace and Redpanda never need 190 s for it ---- */

static void first_hangs(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                        void *arg)
{
    (void)m;
    struct play *p = arg;
    if (!req->post && p->opts.dialect == FM_DIALECT_REDPANDA)
        mock_body(reply, 200, "[\"t\"]");
    if (!req->post)
        return;
    if (req->nth == 1) {
        p->conns = req->conn;
        reply->how = MOCK_HANG;
    } else if (req->nth == 2) {
        cr_expect_neq(req->conn, p->conns, "the connection that hung is used again");
    }
}

static void lone_record_times_out(enum fm_rest_dialect dialect, unsigned total, unsigned single)
{
    struct play p;
    open_play(&p, dialect, first_hangs);
    p.opts.timeout_ms = total;
    p.opts.timeout_single_ms = single;
    begin(&p, 1);
    rig_drain(p.rest, 10000); /* in vain if the other time counted */
    cr_expect_eq(mock_gets(p.mock), 2u, "a probe at once");
    cr_expect_eq(rig_stats(p.rest).possible_duplicates, 1);
    all_delivered(&p, 1);
}

Test(dialects, a_lone_record_gets_the_long_time_only_where_it_may_need_it)
{
    lone_record_times_out(FM_DIALECT_KARAPACE, 700, 60000);
    lone_record_times_out(FM_DIALECT_REDPANDA, 700, 60000);
    lone_record_times_out(FM_DIALECT_STRIMZI, 60000, 700);
    lone_record_times_out(FM_DIALECT_CONFLUENT_V2, 60000, 700);
}

/* ---- Karapace ---- */

static void karapace(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                     void *arg)
{
    (void)m;
    struct play *p = arg;
    reply->member = "error";
    if (p->phase == 1) { /* the broker is away */
        if (req->post)
            mock_refuse(req, reply, "1,An unexpected server error.");
        else
            reply->how = MOCK_HANG;
        reply->status = 422;
    } else if (p->phase == 2 && req->post && req->nth == 2) { /* some of a batch fail: 422 */
        reply->status = 422;
        for (size_t i = 0; i < req->n; i += 3) {
            reply->error[i] = i % 2 == 0 ? "2,Local: leader not available" : "1,Local: timed out";
            reply->stored[i] = false;
        }
    } else if (p->phase == 3) { /* the topic is missing */
        mock_body(reply, 404,
                  req->post ? "{\"error_code\":40401,\"message\":\"Topic t not found\"}"
                            : "{\"error_code\":40403,\"message\":\"Topic t not found\"}");
        mock_refuse(req, reply, "0,");
    }
}

Test(dialects, karapace_tells_a_dead_broker_by_code_1_and_a_probe_without_answer)
{
    struct play p;
    open_play(&p, FM_DIALECT_KARAPACE, karapace);
    rig_hurry(&p.opts);
    begin(&p, 10);
    rig_drain(p.rest, 3000);
    p.phase = 1;
    spool_add(p.spool, "t", 30, 100, FM_RECORD_DATA);
    fm_rest_wakeup(p.rest);
    rig_wait_state(p.rest, FM_REST_OUTAGE, 4000);
    unsigned posts = mock_posts(p.mock), gets = mock_gets(p.mock);
    struct fm_rest_stats s = rig_stats(p.rest);
    cr_expect_eq(s.dead + s.suspects, 0);
    int64_t limit = fm_clock_ms() + 5000;
    while (mock_gets(p.mock) < gets + 2 && fm_clock_ms() < limit)
        (void)usleep(1000);
    cr_expect_eq(mock_posts(p.mock), posts, "produced during an outage");
    p.phase = 0;
    all_delivered(&p, 40);
}

Test(dialects, karapace_accepts_some_records_of_a_422)
{
    struct play p;
    open_play(&p, FM_DIALECT_KARAPACE, karapace);
    p.phase = 2;
    begin(&p, 41);
    rig_drain(p.rest, 5000);
    cr_expect_eq(mock_repeats(p.mock), 0, "what was accepted inside the 422 is not sent again");
    all_delivered(&p, 41);
}

Test(dialects, karapace_names_a_missing_topic_at_once_and_never_creates_it)
{
    struct play p;
    open_play(&p, FM_DIALECT_KARAPACE, karapace);
    p.opts.topic_auto_created = true; /* counts for others only */
    begin(&p, 3);
    rig_drain(p.rest, 3000);
    p.phase = 3;
    spool_add(p.spool, "t", 7, 100, FM_RECORD_DATA);
    fm_rest_wakeup(p.rest);
    rig_wait_state(p.rest, FM_REST_MISSING, 4000);
    unsigned posts = mock_posts(p.mock), gets = mock_gets(p.mock);
    int64_t limit = fm_clock_ms() + 5000;
    while (mock_gets(p.mock) < gets + 2 && fm_clock_ms() < limit)
        (void)usleep(1000);
    cr_expect_eq(mock_posts(p.mock), posts, "produced to a missing topic");
    p.phase = 0;
    all_delivered(&p, 10);
}

/* "larger than this maximum" for all, also when only the sum of the request is too large. */
static void karapace_sum(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                         void *arg)
{
    (void)m, (void)arg;
    reply->member = "error";
    sunk_limit(req, reply);
    if (req->post && (req->n > 4 || holds(req, 20))) {
        mock_refuse(req, reply, "1,Broker: the message is larger than this maximum.");
        reply->status = 422;
    }
}

Test(dialects, karapace_blames_all_for_the_sum_and_halves_cure_it)
{
    struct play p;
    open_play(&p, FM_DIALECT_KARAPACE, karapace_sum);
    begin_with_a_large_one(&p);
    buries(&p, 40, 20);
    cr_expect_geq(mock_max_post(p.mock), 5u);
    close_play(&p);
}

/* Code 2 stands for what passes, but for one text. */
static void karapace_partition(struct mock *m, const struct mock_request *req,
                               struct mock_reply *reply, void *arg)
{
    (void)m, (void)arg;
    reply->member = "error";
    if (holds(req, 5)) {
        reply->status = 422;
        for (size_t i = 0; i < req->n; i++)
            if (req->seq[i] == 5) {
                reply->error[i] = "2,This request is for a topic or partition that does not exist "
                                  "on this broker.";
                reply->stored[i] = false;
            }
    }
}

Test(dialects, karapace_says_2_for_a_partition_that_will_never_be)
{
    struct play p;
    open_play(&p, FM_DIALECT_KARAPACE, karapace_partition);
    begin(&p, 20);
    buries(&p, 20, 5);
    close_play(&p);
}

/* Errors without an error_code, and parse errors as plain text. */
static void karapace_texts(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                           void *arg)
{
    (void)m;
    struct play *p = arg;
    reply->member = "error";
    if (!req->post || (p->bad != 0 && !holds(req, p->bad)) || p->phase == 1)
        return;
    mock_refuse(req, reply, "0,");
    mock_body(reply, p->text[0] == '4' ? 401 : p->text[0] == '3' ? 403 : 400, p->text + 1);
}

static void karapace_holds(const char *text, enum fm_rest_hop hop)
{
    struct play p;
    open_play(&p, FM_DIALECT_KARAPACE, karapace_texts);
    p.text = text;
    begin(&p, 5);
    rig_wait_state(p.rest, FM_REST_HOLD, 4000);
    struct fm_rest_stats s = rig_stats(p.rest);
    cr_expect_eq(s.topics[0].hop, hop, "%s", s.topics[0].reason);
    cr_expect_eq(spool_count(p.spool, FATE_PENDING), 5);
    p.phase = 1;
    all_delivered(&p, 5);
}

Test(dialects, karapace_refuses_without_a_code)
{
    karapace_holds("4{\"message\": \"Unauthorized\"}", FM_REST_HOP_REST_PROXY);
    karapace_holds("3{\"message\": \"Forbidden\"}", FM_REST_HOP_REST_PROXY);
    karapace_holds("0Got more than 8190 bytes (8200) when reading Header value is too long.",
                   FM_REST_HOP_REST_PROXY);
}

Test(dialects, karapace_tells_a_bad_record_as_plain_text)
{
    static const char *const texts[] = {"0Invalid request JSON body",
                                        "0Request body is not valid utf-8"};
    for (size_t i = 0; i < 2; i++) {
        struct play p;
        open_play(&p, FM_DIALECT_KARAPACE, karapace_texts);
        p.text = texts[i];
        p.bad = 9;
        begin(&p, 20);
        buries(&p, 20, 9);
        close_play(&p);
    }
}

/* ---- Strimzi ---- */

static void strimzi(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                    void *arg)
{
    (void)m;
    struct play *p = arg;
    reply->member = "message";
    if (p->phase == 4)
        sunk_limit(req, reply);
    if (p->phase == 1 || p->phase == 2) { /* Kafka is away; the topic is missing */
        if (req->post)
            mock_refuse(req, reply, "404,Topic t not present in metadata after 60000 ms.");
        else if (p->phase == 1)
            mock_body(reply, 500,
                      "{\"error_code\":500,\"message\":\"org.apache.kafka.common.errors."
                      "TimeoutException: Timed out waiting for a node assignment.\"}");
        else
            mock_body(reply, 404,
                      "{\"error_code\":404,\"message\":\"org.apache.kafka.common.errors."
                      "UnknownTopicOrPartitionException: ...\"}");
    } else if (p->phase == 3 && !req->post && mock_stored(m) == 0) { /* made by the first record */
        mock_body(reply, 404, "{\"error_code\":404,\"message\":\"UnknownTopicOrPartition\"}");
    } else if (p->phase == 4 && holds(req, 20)) { /* one code for everything */
        for (size_t i = 0; i < req->n; i++)
            if (req->seq[i] == 20) {
                reply->error[i] = p->text;
                reply->stored[i] = false;
            }
    } else if (p->phase == 5 && req->post) {
        mock_refuse(req, reply, "0,");
        mock_body(reply, 400, p->text);
    }
}

Test(dialects, strimzi_tells_a_dead_kafka_and_a_missing_topic_by_the_probe_alone)
{
    for (unsigned phase = 1; phase <= 2; phase++) {
        struct play p;
        open_play(&p, FM_DIALECT_STRIMZI, strimzi);
        begin(&p, 10);
        rig_drain(p.rest, 3000);
        p.phase = phase;
        spool_add(p.spool, "t", 30, 100, FM_RECORD_DATA);
        fm_rest_wakeup(p.rest);
        rig_wait_state(p.rest, phase == 1 ? FM_REST_OUTAGE : FM_REST_MISSING, 4000);
        cr_expect_eq(rig_stats(p.rest).topics[0].hop, FM_REST_HOP_KAFKA);
        p.phase = 0;
        rig_drain(p.rest, 5000);
        cr_expect_eq(mock_repeats(p.mock), 0);
        all_delivered(&p, 40);
    }
}

Test(dialects, strimzi_makes_a_topic_at_the_first_record_where_told_so)
{
    struct play p;
    open_play(&p, FM_DIALECT_STRIMZI, strimzi);
    p.phase = 3;
    p.opts.topic_auto_created = true;
    begin(&p, 20);
    all_delivered(&p, 20);
}

Test(dialects, strimzi_says_500_for_all_and_the_third_time_alone_it_is_the_record)
{
    struct play p;
    open_play(&p, FM_DIALECT_STRIMZI, strimzi);
    p.phase = 4;
    p.text = "500,org.apache.kafka.common.errors.UnknownServerException";
    begin(&p, 30);
    int64_t limit = fm_clock_ms() + 5000;
    struct fm_rest_stats s;
    do {
        (void)usleep(1000);
        s = rig_stats(p.rest);
    } while (s.suspects == 0 && fm_clock_ms() < limit);
    cr_expect_eq(s.suspects, 1, "it does not tell what is permanent: parked, never buried");
    p.phase = 0;
    all_delivered(&p, 30);
}

Test(dialects, strimzi_says_500_with_a_text_for_what_is_permanent)
{
    static const char *const texts[] = {
        "500,The request included a message larger than the max message size the server will "
        "accept.",
        "500,Compacted topic cannot accept message without key in topic partition t-0"};
    for (size_t i = 0; i < 2; i++) {
        struct play p;
        open_play(&p, FM_DIALECT_STRIMZI, strimzi);
        p.phase = 4;
        p.text = texts[i];
        begin_with_a_large_one(&p);
        buries(&p, 40, 20);
        close_play(&p);
    }
}

Test(dialects, strimzi_holds_for_a_format_that_it_does_not_know)
{
    struct play p;
    open_play(&p, FM_DIALECT_STRIMZI, strimzi);
    p.phase = 5;
    p.text = "{\"error_code\":400,\"message\":\"Validation error on: The format of the request "
             "body is not supported\"}";
    begin(&p, 5);
    rig_wait_state(p.rest, FM_REST_HOLD, 4000);
    p.phase = 0;
    all_delivered(&p, 5);
}

Test(dialects, strimzi_names_what_it_dislikes_in_a_list)
{
    struct play p;
    open_play(&p, FM_DIALECT_STRIMZI, strimzi);
    p.phase = 5;
    p.text = "{\"error_code\":400,\"message\":\"Validation error on: Schema validation error\","
             "\"validation_errors\":[\"Data does not match any schema\"]}";
    p.opts.max_suspects = 3;
    begin(&p, 10);
    rig_wait_state(p.rest, FM_REST_HOLD, 5000); /* all refused: the settings, not the records */
    cr_expect_eq(spool_count(p.spool, FATE_PENDING), 10);
    p.phase = 0;
    all_delivered(&p, 10);
}

/* An old bridge: "Expiring" for an oversize record and its good neighbour. No halves. */
static void strimzi_expiring(struct mock *m, const struct mock_request *req,
                             struct mock_reply *reply, void *arg)
{
    (void)m;
    struct play *p = arg;
    reply->member = "message";
    sunk_limit(req, reply);
    if (!holds(req, 20))
        return;
    if (req->n == 1) {
        mock_refuse(req, reply, "500,a message larger than the max message size");
        return;
    }
    cr_expect_eq(p->phase++, 0u, "the culprit was in company again, of %zu", req->n);
    mock_refuse(req, reply, "500,Expiring 3 record(s) for t-0:120002 ms has passed");
}

Test(dialects, strimzi_lets_the_neighbours_of_a_large_record_expire)
{
    struct play p;
    open_play(&p, FM_DIALECT_STRIMZI, strimzi_expiring);
    begin_with_a_large_one(&p);
    buries(&p, 40, 20);
    close_play(&p);
}

/* D79: its few workers serve all clients. */
static void one_at_a_time(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                          void *arg)
{
    (void)m, (void)req;
    struct play *p = arg;
    reply->member = "message";
    reply->how = MOCK_HANG;
    p->conns++;
}

Test(dialects, strimzi_has_at_most_one_request_of_ours_while_it_hangs)
{
    struct play p;
    open_play(&p, FM_DIALECT_STRIMZI, one_at_a_time);
    p.opts.max_in_flight = 4;
    p.opts.probe_timeout_ms = 60000;
    begin(&p, 40);
    spool_add(p.spool, "u", 40, 100, FM_RECORD_DATA);
    fm_rest_wakeup(p.rest);
    int64_t limit = fm_clock_ms() + 3000;
    while (p.conns < 1 && fm_clock_ms() < limit)
        (void)usleep(1000);
    fm_rest_wakeup(p.rest);
    struct fm_rest_stats s = rig_stats(p.rest);
    cr_expect_leq(p.conns, s.n_topics, "one probe for each topic, no produce beside it");
    cr_expect_eq(mock_posts(p.mock), 0u);
    close_play(&p);
}

/* ---- Redpanda ---- */

static void redpanda(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                     void *arg)
{
    (void)m;
    struct play *p = arg;
    if (!req->post) {
        mock_body(reply, 200, p->phase == 3 ? "[\"a\"]" : "[\"a\",\"t\"]");
        return;
    }
    /* One entry for each partition touched, in no order. */
    mock_body(
        reply, 200,
        req->n == 1
            ? "{\"offsets\":[{\"partition\":0,\"offset\":3}]}"
            : "{\"offsets\":[{\"partition\":2,\"offset\":7},{\"partition\":0,\"offset\":3}]}");
    reply->proves = true;
    if (req->nth != 2 && p->phase != 4)
        return;
    switch (p->phase) {
    case 1: /* a leader moves: part of it was written, nobody knows which */
        for (size_t i = 0; i < req->n; i++) {
            reply->stored[i] = i % 2 == 0;
            reply->error[i] = "6,";
        }
        mock_body(reply, 200,
                  "{\"offsets\":[{\"partition\":2,\"offset\":7},"
                  "{\"partition\":0,\"error_code\":6,\"offset\":-1}]}");
        break;
    case 2: /* overload, with a Retry-After that says nothing */
        mock_refuse(req, reply, "0,");
        mock_body(reply, (unsigned)p->bad, "{\"error_code\":429,\"message\":\"\"}");
        reply->headers = "Retry-After: 0\r\n";
        break;
    case 4: /* the topic or a record */
        if (p->bad != 0 && !holds(req, p->bad))
            break;
        mock_refuse(req, reply, "0,");
        mock_body(reply, 200, p->text);
        break;
    default:
        break;
    }
}

Test(dialects, redpanda_answers_for_partitions_and_not_for_records)
{
    struct play p;
    open_play(&p, FM_DIALECT_REDPANDA, redpanda);
    begin(&p, 31);
    rig_drain(p.rest, 3000);
    cr_expect_eq(mock_repeats(p.mock), 0);
    cr_expect_eq(rig_stats(p.rest).possible_duplicates, 0);
    all_delivered(&p, 31);
}

Test(dialects, redpanda_leaves_all_in_doubt_when_one_partition_fails)
{
    struct play p;
    open_play(&p, FM_DIALECT_REDPANDA, redpanda);
    p.phase = 1;
    begin(&p, 31);
    rig_drain(p.rest, 3000);
    cr_expect_eq(mock_repeats(p.mock), 15);
    cr_expect_eq(rig_stats(p.rest).possible_duplicates, 30);
    all_delivered(&p, 31);
}

Test(dialects, redpanda_asks_to_come_back_after_no_time_and_gets_a_floor)
{
    static const unsigned statuses[] = {429, 503};
    for (size_t i = 0; i < 2; i++) {
        struct play p;
        open_play(&p, FM_DIALECT_REDPANDA, redpanda);
        p.phase = 2;
        p.bad = statuses[i];
        begin(&p, 10);
        rig_drain(p.rest, 5000);
        cr_expect_eq(mock_posts(p.mock), 3u, "the records once more, and no storm");
        all_delivered(&p, 10);
    }
}

Test(dialects, redpanda_lists_its_topics)
{
    struct play p;
    open_play(&p, FM_DIALECT_REDPANDA, redpanda);
    p.phase = 3;
    begin(&p, 10);
    rig_wait_state(p.rest, FM_REST_MISSING, 3000);
    cr_expect_eq(mock_posts(p.mock), 0u);
    p.phase = 0;
    all_delivered(&p, 10);
}

static void redpanda_state(const char *text, enum fm_rest_state state)
{
    struct play p;
    open_play(&p, FM_DIALECT_REDPANDA, redpanda);
    p.phase = 4;
    p.text = text;
    begin(&p, 10);
    rig_wait_state(p.rest, state, 5000);
    cr_expect_eq(spool_count(p.spool, FATE_DEAD), 0);
    p.phase = 0;
    all_delivered(&p, 10);
}

#define KAFKA(code) "{\"offsets\":[{\"partition\":0,\"error_code\":" code ",\"offset\":-1}]}"

Test(dialects, redpanda_gives_kafkas_own_numbers)
{
    redpanda_state(KAFKA("3"), FM_REST_STUCK); /* no such topic, though it is listed */
    redpanda_state(KAFKA("29"), FM_REST_HOLD); /* no rights */
    struct play p;
    open_play(&p, FM_DIALECT_REDPANDA, redpanda);
    p.phase = 4;
    p.bad = 9;
    p.text = KAFKA("10"); /* too large */
    begin(&p, 20);
    buries(&p, 20, 9);
    close_play(&p);
}
