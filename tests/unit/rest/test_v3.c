#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "peer.h"
#include "rest/rest_priv.h"
#include "rig.h"

/* ---- the body ---- */

static void build(struct fm_buf *body, struct fm_spool_item *items, size_t n, const char *agent,
                  enum fm_rest_format format)
{
    struct fm_batch_limits limits = {.dialect = FM_DIALECT_CONFLUENT_V3,
                                     .format = format,
                                     .agent = agent,
                                     .max_records = 500,
                                     .max_body = 350 * 1024,
                                     .size_limit = 1048576};
    struct fm_spool_batch batch = {.items = items, .n = n};
    size_t used;
    fm_buf_init(body, 0);
    cr_assert_eq(fm_batch_build(body, &limits, &batch, &used, NULL), FM_OK);
    cr_assert_eq(used, n);
}

Test(v3_body, is_one_object_after_the_other_with_identity_time_and_types)
{
    struct fm_buf body;
    struct fm_spool_item items[] = {rig_item(7, "h\"1", "{\"x\":1}"), rig_item(8, NULL, "2")};
    items[0].rec.time_ms = 1763812800123;
    items[0].rec.partition = 3;
    items[0].rec.id_at = 1;
    build(&body, items, 2, "edge-7", FM_REST_JSON);
    cr_assert_str_eq(
        fm_buf_str(&body),
        "{\"partition_id\":3,\"headers\":[{\"name\":\"firstmile-agent\",\"value\":\"ZWRnZS03\"},"
        "{\"name\":\"firstmile-stream\",\"value\":\"M2Y5YzJhNzFkMDRiZTgxMQ==\"},"
        "{\"name\":\"firstmile-seq\",\"value\":\"Nw==\"}],"
        "\"key\":{\"type\":\"STRING\",\"data\":\"h\\\"1\"},"
        "\"value\":{\"type\":\"JSON\",\"data\":{\"stream\":\"3f9c2a71d04be811\",\"seq\":7,\"x\":1}}"
        ","
        "\"timestamp\":\"2025-11-22T12:00:00.123Z\"}\n"
        "{\"headers\":[{\"name\":\"firstmile-agent\",\"value\":\"ZWRnZS03\"},"
        "{\"name\":\"firstmile-stream\",\"value\":\"M2Y5YzJhNzFkMDRiZTgxMQ==\"},"
        "{\"name\":\"firstmile-seq\",\"value\":\"OA==\"}],"
        "\"value\":{\"type\":\"JSON\",\"data\":2}}");
    fm_buf_clear(&body);
}

Test(v3_body, keeps_the_bytes_of_raw_records_and_of_keys_that_are_no_text)
{
    struct fm_buf body;
    struct fm_spool_item items[] = {rig_item(1, "\xff", "a\x80"), rig_item(2, NULL, "{}")};
    items[0].rec.kind = FM_RECORD_RAW;
    build(&body, items, 2, NULL, FM_REST_JSON);
    cr_assert_str_eq(fm_buf_str(&body), "{\"key\":{\"type\":\"BINARY\",\"data\":\"/w==\"},"
                                        "\"value\":{\"type\":\"BINARY\",\"data\":\"YYA=\"}}\n"
                                        "{\"value\":{\"type\":\"JSON\",\"data\":{}}}");
    fm_buf_clear(&body);
    build(&body, items + 1, 1, NULL, FM_REST_BINARY);
    cr_assert_str_eq(fm_buf_str(&body), "{\"value\":{\"type\":\"BINARY\",\"data\":\"e30=\"}}");
    fm_buf_clear(&body);
}

Test(v3_body, own_headers_come_before_the_identity)
{
    struct fm_chunk *chunk;
    struct fm_buf body;
    cr_assert_eq(fm_chunk_new(&chunk, "t", NULL), FM_OK);
    struct fm_record rec = {
        .partition = FM_NO_PARTITION, .value = "1", .value_len = 1, .id_at = FM_NO_ID};
    struct fm_header h[] = {{"env", 3, "prod", 4}, {"env", 3, "", 0}};
    cr_assert_eq(fm_chunk_add(chunk, &rec, h, 2, NULL), FM_OK);
    struct fm_spool_item it = {.id = {.stream = "s", .seq = 1}};
    size_t at = 0;
    cr_assert_eq(fm_chunk_next(chunk, &at, &it.rec, NULL), FM_OK);
    build(&body, &it, 1, NULL, FM_REST_JSON);
    cr_assert_str_eq(fm_buf_str(&body),
                     "{\"headers\":[{\"name\":\"env\",\"value\":\"cHJvZA==\"},{\"name\":\"env\","
                     "\"value\":\"\"}],\"value\":{\"type\":\"JSON\",\"data\":1}}");
    fm_buf_clear(&body);
    fm_chunk_free(chunk);
}

Test(v3_body, v2_parts_a_request_where_the_format_changes)
{
    struct fm_buf body;
    fm_buf_init(&body, 0);
    struct fm_batch_limits limits = {
        .format = FM_REST_JSON, .max_records = 500, .max_body = 350 * 1024, .size_limit = 1048576};
    struct fm_spool_item items[] = {rig_item(1, NULL, "{}"), rig_item(2, NULL, "x"),
                                    rig_item(3, NULL, "{}")};
    items[1].rec.kind = FM_RECORD_RAW;
    struct fm_spool_batch batch = {.items = items, .n = 3};
    size_t used;
    cr_assert_eq(fm_batch_build(&body, &limits, &batch, &used, NULL), FM_OK);
    cr_assert_eq(used, 1);
    batch = (struct fm_spool_batch){.items = items + 1, .n = 2};
    cr_assert_eq(fm_batch_build(&body, &limits, &batch, &used, NULL), FM_OK);
    cr_assert_eq(used, 1);
    cr_assert_str_eq(fm_buf_str(&body), "{\"records\":[{\"value\":\"eA==\"}]}");
    fm_buf_clear(&body);
}

/* ---- what the proxy says ---- */

Test(v3_answer, cluster_id_is_the_first_one_that_may_stand_in_a_path)
{
    static const struct {
        const char *body, *id;
    } cases[] = {
        {"{\"kind\":\"x\",\"metadata\":{\"next\":null},\"data\":[{\"kind\":\"y\",\"cluster_id\":"
         "\"3qy3_-.x\",\"z\":1}]}",
         "3qy3_-.x"},
        {"{\"data\":[]}", NULL},
        {"{\"data\":[{\"cluster_id\":\"\"}]}", NULL},
        {"{\"data\":[{\"cluster_id\":\"a/b\"}]}", NULL},
        {"{\"data\":[{\"cluster_id\":7}]}", NULL},
        {"{\"data\":{\"cluster_id\":\"a\"}}", NULL},
        {"<html>", NULL},
        {"", NULL},
        {"{\"data\":[{\"cluster_id\":\"a", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char id[FM_CLUSTER_ID] = "";
        bool found = fm_v3_cluster(cases[i].body, strlen(cases[i].body), id);
        cr_assert_eq(found, cases[i].id != NULL, "%s", cases[i].body);
        cr_assert(!found || strcmp(id, cases[i].id) == 0);
    }
}

Test(v3_answer, limit_is_the_value_and_nothing_else)
{
    static const struct {
        const char *body;
        uint64_t limit;
    } cases[] = {{"{\"name\":\"max.message.bytes\",\"value\":\"1048588\"}", 1048588},
                 {"{\"value\":2097164,\"x\":1}", 2097164},
                 {"{\"value\":\"-1\"}", 0},
                 {"{\"value\":null}", 0},
                 {"{\"value\":\"\"}", 0},
                 {"{\"value\":\"123456789012345678901\"}", 0},
                 {"{\"name\":\"x\"}", 0},
                 {"[]", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_assert_eq(fm_v3_limit(cases[i].body, strlen(cases[i].body)), cases[i].limit, "%s",
                     cases[i].body);
}

/* ---- the sender ---- */

struct v3 {
    struct fm_spool *spool;
    struct mock *mock;
    struct fm_rest *rest;
    struct fm_rest_opts opts;
    char url[80];
    const char *urls[1];
    pthread_mutex_t lock;
    char seen[40][160]; /* request lines */
    size_t n_seen;
    char content_type[80], body[4000];
    unsigned lookups;
    const char *cluster; /* what the proxy says now */
    uint64_t bad;
};

static bool get_of(const struct mock_request *req, const char *end)
{
    char path[200] = "";
    sscanf(req->head, "GET %199s", path);
    size_t len = strlen(path), n = strlen(end);
    return !req->post && len >= n && strcmp(path + len - n, end) == 0;
}

/* Takes notes, and knows but the cluster that it has. */
static void proxy(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                  void *arg)
{
    struct v3 *v = arg;
    char text[160];
    (void)m;
    pthread_mutex_lock(&v->lock);
    if (v->n_seen < 40)
        sscanf(req->head, "%159[^\r]", v->seen[v->n_seen++]);
    const char *type = strcasestr(req->head, "content-type: ");
    if (req->post && type != NULL)
        sscanf(type + 14, "%79[^\r]", v->content_type);
    if (req->post && req->nth == 1)
        snprintf(v->body, sizeof v->body, "%.*s", (int)req->body_len, req->body);
    bool list = get_of(req, "/clusters");
    v->lookups += list;
    snprintf(text, sizeof text, "/clusters/%s/", v->cluster);
    if (list) {
        snprintf(text, sizeof text, "{\"data\":[{\"cluster_id\":\"%s\"}]}", v->cluster);
        mock_body(reply, 200, text);
    } else if (strstr(req->head, text) == NULL) {
        mock_body(reply, 404, "{\"error_code\":404,\"message\":\"Cluster X cannot be found.\"}");
        for (size_t i = 0; i < req->n; i++)
            reply->stored[i] = false;
    }
    for (size_t i = 0; i < req->n && v->bad != 0; i++)
        if (req->seq[i] == v->bad) {
            reply->error[i] = "400,Bad Request: not a record";
            reply->stored[i] = false;
        }
    pthread_mutex_unlock(&v->lock);
}

static void setup(struct v3 *v, mock_fn *fn)
{
    *v = (struct v3){.spool = spool_new(), .cluster = "lkc-1", .lock = PTHREAD_MUTEX_INITIALIZER};
    v->mock = mock_new(fn, v);
    snprintf(v->url, sizeof v->url, "%s/kafka/v3/", mock_url(v->mock));
    v->urls[0] = v->url;
    v->opts = rig_opts(v->spool, v->urls, 1);
    v->opts.dialect = FM_DIALECT_CONFLUENT_V3;
    v->opts.agent = "edge-7";
}

static void teardown(struct v3 *v)
{
    rig_check(v->rest, v->spool, v->mock);
    fm_rest_stop(v->rest, 0);
    cr_assert(fm_rest_join(v->rest, 3000));
    fm_rest_free(v->rest);
    mock_free(v->mock);
    spool_free(v->spool);
}

Test(v3_sender, looks_up_the_cluster_and_the_topic_and_its_limit_then_sends)
{
    struct v3 v;
    setup(&v, proxy);
    spool_add(v.spool, "t", 120, 300, FM_RECORD_DATA);
    v.rest = rig_start(&v.opts);
    rig_drain(v.rest, 5000);
    cr_assert_eq(mock_stored(v.mock), 120);
    cr_assert(mock_in_order(v.mock));
    cr_assert_str_eq(v.seen[0], "GET /kafka/v3/clusters HTTP/1.1");
    cr_assert_str_eq(v.seen[1], "GET /kafka/v3/clusters/lkc-1/topics/t HTTP/1.1");
    cr_assert_str_eq(v.seen[2],
                     "GET /kafka/v3/clusters/lkc-1/topics/t/configs/max.message.bytes HTTP/1.1");
    cr_assert_str_eq(v.seen[3], "POST /kafka/v3/clusters/lkc-1/topics/t/records HTTP/1.1");
    cr_assert_eq(mock_posts(v.mock), 4); /* 1, 50, 50, 19 */
    cr_assert_eq(mock_gets(v.mock), 3);
    cr_assert_str_eq(v.content_type, "application/json");
    cr_assert_neq(strstr(v.body, "\"firstmile-agent\",\"value\":\"ZWRnZS03\""), NULL, "%s", v.body);
    cr_assert_eq(rig_stats(v.rest).topics[0].size_limit, 70000);
    cr_assert_eq(rig_stats(v.rest).possible_duplicates, 0);
    teardown(&v);
}

Test(v3_sender, a_configured_cluster_is_not_asked_for)
{
    struct v3 v;
    setup(&v, proxy);
    v.opts.cluster_id = "lkc-1";
    v.opts.size_limit = 500000;
    spool_add(v.spool, "t", 3, 100, FM_RECORD_DATA);
    v.rest = rig_start(&v.opts);
    rig_drain(v.rest, 5000);
    cr_assert_eq(v.lookups, 0);
    cr_assert_eq(mock_gets(v.mock), 1);
    cr_assert_eq(rig_stats(v.rest).topics[0].size_limit, 500000);
    teardown(&v);
}

Test(v3_sender, a_cluster_that_changed_is_looked_up_again)
{
    struct v3 v;
    setup(&v, proxy);
    v.opts.hold_interval_ms = 60000; /* so that a HOLD would be seen */
    spool_add(v.spool, "t", 60, 100, FM_RECORD_DATA);
    v.rest = rig_start(&v.opts);
    rig_drain(v.rest, 5000);
    pthread_mutex_lock(&v.lock);
    v.cluster = "lkc-2";
    pthread_mutex_unlock(&v.lock);
    spool_add(v.spool, "t", 60, 100, FM_RECORD_DATA);
    rig_drain(v.rest, 5000);
    cr_assert_eq(v.lookups, 2);
    cr_assert_eq(mock_stored(v.mock), 120);
    teardown(&v);
}

Test(v3_sender, a_wrong_configured_cluster_is_held_with_its_remedy)
{
    struct v3 v;
    setup(&v, proxy);
    v.opts.cluster_id = "lkc-9";
    spool_add(v.spool, "t", 3, 100, FM_RECORD_DATA);
    v.rest = rig_start(&v.opts);
    rig_wait_state(v.rest, FM_REST_HOLD, 3000);
    struct fm_rest_stats s = rig_stats(v.rest);
    cr_assert_neq(strstr(s.topics[0].reason, "cluster_id"), NULL, "%s", s.topics[0].reason);
    cr_assert_eq(spool_count(v.spool, FATE_PENDING), 3);
    cr_assert_eq(v.lookups, 0);
    teardown(&v);
}

/* The cluster cannot be found out: nothing is produced, and one request each hold interval. */
static void no_clusters(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                        void *arg)
{
    (void)m, (void)req, (void)arg;
    mock_body(reply, 404, "{\"error_code\":404,\"message\":\"HTTP 404 Not Found\"}");
}

Test(v3_sender, a_base_without_clusters_is_held_and_nothing_is_posted)
{
    struct v3 v;
    setup(&v, no_clusters);
    spool_add(v.spool, "t", 3, 100, FM_RECORD_DATA);
    v.rest = rig_start(&v.opts);
    rig_wait_state(v.rest, FM_REST_HOLD, 3000);
    int64_t limit = fm_clock_ms() + 3000;
    while (mock_gets(v.mock) < 3 && fm_clock_ms() < limit)
        usleep(2000);
    cr_assert_geq(mock_gets(v.mock), 3); /* it goes on asking */
    cr_assert_eq(mock_posts(v.mock), 0);
    teardown(&v);
}

static void missing(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                    void *arg)
{
    struct v3 *v = arg;
    proxy(m, req, reply, arg);
    if (v->bad == 99 && get_of(req, "/topics/t"))
        mock_body(reply, 404,
                  "{\"error_code\":40403,\"message\":\"This server does not host this "
                  "topic-partition.\"}");
}

Test(v3_sender, a_missing_topic_is_missing_until_it_is_made)
{
    struct v3 v;
    setup(&v, missing);
    v.bad = 99;
    spool_add(v.spool, "t", 3, 100, FM_RECORD_DATA);
    v.rest = rig_start(&v.opts);
    rig_wait_state(v.rest, FM_REST_MISSING, 3000);
    cr_assert_eq(mock_posts(v.mock), 0);
    pthread_mutex_lock(&v.lock);
    v.bad = 0;
    pthread_mutex_unlock(&v.lock);
    rig_drain(v.rest, 5000);
    teardown(&v);
}

Test(v3_sender, one_bad_record_among_good_ones_dies_alone)
{
    struct v3 v;
    setup(&v, proxy);
    v.bad = 30;
    spool_add(v.spool, "t", 100, 100, FM_RECORD_DATA);
    v.rest = rig_start(&v.opts);
    rig_drain(v.rest, 8000);
    cr_assert_eq(spool_fate(v.spool, 30), FATE_DEAD);
    cr_assert_eq(mock_stored(v.mock), 99);
    cr_assert_eq(mock_repeats(v.mock), 0);
    char reason[600];
    spool_reason(v.spool, 30, reason);
    cr_assert_neq(strstr(reason, "not a record"), NULL, "%s", reason);
    teardown(&v);
}

/* Fewer reports than records: the second POST tells of its first three only. */
static void few(struct mock *m, const struct mock_request *req, struct mock_reply *reply, void *arg)
{
    proxy(m, req, reply, arg);
    if (req->post && req->nth == 2)
        mock_body(reply, 200,
                  "{\"error_code\":200,\"partition_id\":0,\"offset\":1}\r\n"
                  "{\"error_code\":200,\"partition_id\":0,\"offset\":2}\r\n"
                  "{\"error_code\":200,\"partition_id\":0,\"offset\":3}\r\n");
}

Test(v3_sender, what_was_not_reported_is_unknown_and_sent_again)
{
    struct v3 v;
    setup(&v, few);
    spool_add(v.spool, "t", 21, 100, FM_RECORD_DATA);
    v.rest = rig_start(&v.opts);
    rig_drain(v.rest, 5000);
    cr_assert_eq(mock_repeats(v.mock), 17); /* 20 in the request but 3 */
    cr_assert_eq(rig_stats(v.rest).possible_duplicates, 17);
    cr_assert_eq(spool_count(v.spool, FATE_DELIVERED), 21);
    fm_rest_stop(v.rest, 0);
    cr_assert(fm_rest_join(v.rest, 3000));
    fm_rest_free(v.rest);
    mock_free(v.mock);
    spool_free(v.spool);
}

Test(v3_sender, a_cluster_id_that_cannot_stand_in_a_path_is_refused)
{
    struct v3 v;
    struct fm_err err = {0};
    setup(&v, proxy);
    v.opts.cluster_id = "a/../b";
    cr_assert_eq(fm_rest_new(&v.rest, &v.opts, &err), FM_ECONF);
    cr_assert_neq(strstr(err.text, "cluster_id"), NULL, "%s", err.text);
    mock_free(v.mock);
    spool_free(v.spool);
}

/* ---- check ---- */

static void add_step(void *arg, const struct fm_rest_step *step)
{
    static const char *const names[] = {"ok", "warn", "FAIL", "skip"};
    struct fm_buf *b = arg;
    fm_buf_printf(b, "%s %s (%s)\n", step->step, names[step->verdict], step->sentence);
}

Test(v3_check, names_cluster_topic_and_limit)
{
    struct v3 v;
    struct fm_buf said;
    struct fm_err err = {0};
    fm_buf_init(&said, 0);
    setup(&v, proxy);
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_assert_eq(fm_rest_check(&v.opts, "t", add_step, &said, &err), FM_OK, "%s",
                 fm_buf_str(&said));
    cr_assert_neq(strstr(fm_buf_str(&said), "cluster ok (found: lkc-1)\n"), NULL, "%s",
                  fm_buf_str(&said));
    cr_assert_neq(strstr(fm_buf_str(&said), "topic ok"), NULL);
    cr_assert_neq(strstr(fm_buf_str(&said), "size limit ok (records up to 70000 bytes)"), NULL);
    fm_buf_reset(&said);
    v.opts.cluster_id = "lkc-9";
    cr_assert_eq(fm_rest_check(&v.opts, "t", add_step, &said, &err), FM_EREMOTE);
    cr_assert_neq(strstr(fm_buf_str(&said), "topic FAIL"), NULL, "%s", fm_buf_str(&said));
    fm_buf_clear(&said);
    mock_free(v.mock);
    spool_free(v.spool);
}
