/* Compressed requests, and their end at an endpoint that does not take them (reference 3.5). */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <string.h>

#include "rig.h"

struct packed {
    struct fm_spool *spool;
    struct mock *mock;
    struct fm_rest *rest;
    struct fm_rest_opts opts;
    const char *urls[1];
    unsigned status; /* of the refusal; 0: compressed ones are taken */
    const char *answer;
    uint64_t bad; /* this record is refused, however it comes */
    atomic_uint compressed, plain;
};

static void script(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                   void *arg)
{
    (void)m;
    struct packed *p = arg;
    if (!req->post)
        return;
    atomic_fetch_add(req->gzip ? &p->compressed : &p->plain, 1);
    for (size_t i = 0; i < req->n; i++)
        if (req->seq[i] == p->bad) {
            mock_refuse(req, reply, "0,");
            mock_body(reply, 400, "{\"error_code\":400,\"message\":\"bad record\"}");
        }
    if (req->gzip && p->status != 0) {
        mock_refuse(req, reply, "0,");
        mock_body(reply, p->status, p->answer);
    }
}

static void setup(struct packed *p, unsigned status, const char *answer)
{
    *p = (struct packed){.spool = spool_new(), .status = status, .answer = answer};
    p->mock = mock_new(script, p);
    p->urls[0] = mock_url(p->mock);
    p->opts = rig_opts(p->spool, p->urls, 1);
    p->opts.gzip = true;
}

static void teardown(struct packed *p)
{
    rig_check(p->rest, p->spool, p->mock);
    fm_rest_free(p->rest);
    mock_free(p->mock);
    spool_free(p->spool);
}

Test(gzip, requests_are_compressed_where_they_are_taken)
{
    struct packed p;
    setup(&p, 0, "");
    spool_add(p.spool, "t", 200, 1000, FM_RECORD_DATA);
    p.rest = rig_start(&p.opts);
    rig_drain(p.rest, 3000);
    struct fm_rest_stats s = rig_stats(p.rest);
    cr_assert_eq(p.plain, 0);
    cr_assert_eq(p.compressed, 5);
    cr_assert_eq(s.endpoints[0].gzip, FM_REST_GZIP_ON);
    cr_assert_lt(s.bytes, 200 * 1000 / 4);
    cr_assert(mock_in_order(p.mock));
    teardown(&p);
}

Test(gzip, without_the_option_nothing_is_compressed)
{
    struct packed p;
    setup(&p, 0, "");
    p.opts.gzip = false;
    spool_add(p.spool, "t", 20, 100, FM_RECORD_DATA);
    p.rest = rig_start(&p.opts);
    rig_drain(p.rest, 3000);
    cr_assert_eq(p.compressed, 0);
    cr_assert_eq(rig_stats(p.rest).endpoints[0].gzip, FM_REST_GZIP_NONE);
    teardown(&p);
}

static void falls_back(unsigned status, const char *answer, enum fm_rest_dialect dialect)
{
    struct packed p;
    setup(&p, status, answer);
    p.opts.dialect = dialect;
    spool_add(p.spool, "t", 100, 100, FM_RECORD_DATA);
    p.rest = rig_start(&p.opts);
    rig_drain(p.rest, 3000);
    struct fm_rest_stats s = rig_stats(p.rest);
    cr_expect_eq(p.compressed, 1, "%u: %u", status, p.compressed);
    cr_expect_eq(s.endpoints[0].gzip, FM_REST_GZIP_REFUSED);
    cr_expect_eq(s.possible_duplicates, 0);
    cr_expect_eq(s.dead + s.suspects, 0);
    cr_expect_eq(s.topics[0].health, FM_REST_RUN);
    cr_expect(!s.topics[0].failed);
    teardown(&p);
}

Test(gzip, falls_back_where_confluent_cannot_read_it)
{
    falls_back(400, "{\"error_code\":400,\"message\":\"Illegal character ((CTRL-CHAR, code 31))\"}",
               FM_DIALECT_CONFLUENT_V2);
}

Test(gzip, falls_back_where_a_v3_report_says_so)
{
    falls_back(200, "{\"error_code\":400,\"message\":\"Illegal character ((CTRL-CHAR, code 31))\"}",
               FM_DIALECT_CONFLUENT_V3);
}

Test(gzip, falls_back_where_strimzi_cannot_decode_it)
{
    falls_back(400,
               "{\"error_code\":400,\"message\":\"Validation error on: The request body can't be "
               "decoded\"}",
               FM_DIALECT_STRIMZI);
}

Test(gzip, falls_back_where_a_gateway_refuses_the_encoding)
{
    falls_back(415, "<html>Unsupported Media Type</html>", FM_DIALECT_CONFLUENT_V2);
}

Test(gzip, a_bad_record_is_no_reason_to_stop_compressing)
{
    struct packed p;
    setup(&p, 0, "");
    p.bad = 30;
    spool_add(p.spool, "t", 100, 100, FM_RECORD_DATA);
    p.rest = rig_start(&p.opts);
    rig_drain(p.rest, 5000);
    cr_assert_eq(spool_fate(p.spool, 30), FATE_DEAD);
    cr_assert_eq(spool_count(p.spool, FATE_DEAD), 1);
    cr_assert_eq(rig_stats(p.rest).endpoints[0].gzip, FM_REST_GZIP_ON);
    teardown(&p);
}
