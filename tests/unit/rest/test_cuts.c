/* Catalogue D07, D09, D10, D16, D39, D40, D65: requests and answers that end at any byte, a proxy
 * that dies a hundred times, many agents that come back, answers of every dialect in turn. */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "peer.h"
#include "rest/topic_priv.h"
#include "rig.h"
#include "vectors.h"

/* ---- D07: the request is cut at every byte, in turn ---- */

enum { PAIR_TOP = 4000 };

static struct {
    atomic_size_t next; /* where the next request of several records is cut; 0: nowhere any more */
    size_t step;
    atomic_uint cuts, whole; /* incidents; those in which everything had arrived */
    unsigned char stored[PAIR_TOP];
    uint64_t last; /* highest number stored */
    atomic_uint repeats;
    atomic_bool disordered;
} cut;

static size_t take(const char *body, bool store)
{
    size_t n = 0;
    for (const char *p = body; (p = strstr(p, "\"seq\":")) != NULL; p += 6, n++) {
        uint64_t seq = strtoull(p + 6, NULL, 10);
        if (!store)
            continue;
        cr_assert_lt(seq, PAIR_TOP);
        if (cut.stored[seq]++ > 0)
            cut.repeats++;
        else if (seq < cut.last)
            cut.disordered = true;
        cut.last = seq > cut.last ? seq : cut.last;
    }
    return n;
}

static bool answer_all(struct peer_conn *conn, size_t n)
{
    char body[400] = "{\"offsets\":[";
    for (size_t i = 0; i < n; i++)
        (void)snprintf(body + strlen(body), sizeof body - strlen(body),
                       "%s{\"partition\":0,\"offset\":%zu}", i > 0 ? "," : "", i);
    (void)strcat(body, "]}");
    return peer_answer(conn, 200, body);
}

/* Reads byte by byte, so that the cut is where it should be. */
static bool serve_one(struct peer_conn *conn)
{
    char text[4096];
    size_t len = 0, end = 0, body_len = 0;
    while (end == 0 || len < end + body_len) {
        if (len + 1 >= sizeof text || !peer_read_exact(conn, text + len, 1))
            return false;
        text[++len] = '\0';
        const char *stop = end == 0 && len >= 4 ? strstr(text + len - 4, "\r\n\r\n") : NULL;
        if (stop != NULL) {
            const char *at = strstr(text, "Content-Length: ");
            end = len;
            body_len = at != NULL ? strtoul(at + 16, NULL, 10) : 0;
        }
        bool post = strncmp(text, "POST", len < 4 ? len : 4) == 0;
        if (post && cut.next > 0 && len == cut.next && cut.cuts % 2 == 0) {
            cut.cuts++; /* the next request passes, so that it comes to this again */
            bool all = end > 0 && len == end + body_len;
            if (all) {
                (void)take(text + end, true);
                cut.whole++;
            }
            cut.next = all ? 0 : cut.next + cut.step;
            if (len % 3 == 0)
                return false; /* FIN */
            peer_reset(conn);
            return false;
        }
    }
    if (strncmp(text, "POST", 4) != 0)
        return peer_answer(conn, 200, "{\"name\":\"t\",\"partitions\":[]}");
    size_t n = take(text + end, true);
    cut.cuts += cut.cuts % 2;
    if (cut.next > len) /* this request was shorter than the place */
        cut.next = 0;
    return answer_all(conn, n);
}

static void serve_cut(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth, (void)arg;
    while (serve_one(conn))
        ;
}

Test(cuts, a_request_cut_at_any_byte_is_sent_again_and_repeats_only_what_had_arrived)
{
    const char *all = getenv("FM_SWEEP");
    cut.step = all != NULL && strcmp(all, "all") == 0 ? 1 : 7;
    cut.next = 1;
    struct fm_spool *spool = spool_new();
    struct peer *peer = peer_start(serve_cut, NULL);
    char url[64];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)peer_port(peer));
    const char *const urls[] = {url};
    struct fm_rest_opts opts = rig_opts(spool, urls, 1);
    opts.batch_records = 2;
    opts.backoff_ms = 1;
    opts.max_backoff_ms = 2;
    spool_add(spool, "t", 3000, 40, FM_RECORD_DATA);
    struct fm_rest *rest = rig_start(&opts);
    rig_drain(rest, 40000);
    cr_expect_eq(cut.next, 0u, "not every byte was reached: %zu", (size_t)cut.next);
    cr_expect_geq((unsigned)cut.cuts, 2 * 300u / (unsigned)cut.step, "%u", (unsigned)cut.cuts);
    struct fm_rest_stats s = rig_stats(rest);
    cr_expect_eq(spool_count(spool, FATE_DELIVERED), 3000);
    for (uint64_t seq = 1; seq <= 3000; seq++)
        cr_expect_geq(cut.stored[seq], 1, "record %d is lost", (int)seq);
    cr_expect_leq(cut.repeats, 2 * cut.whole, "repeats of what had not arrived");
    cr_expect_leq(cut.repeats, s.possible_duplicates);
    cr_expect_not(cut.disordered);
    rig_check(rest, spool, NULL);
    fm_rest_stop(rest, 0);
    cr_assert(fm_rest_join(rest, 3000));
    fm_rest_free(rest);
    peer_stop(peer);
    spool_free(spool);
}

/* ---- D09: stored and not answered, a hundred times ---- */

static void die_often(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                      void *arg)
{
    (void)m;
    unsigned *incidents = arg;
    if (!req->post || req->n == 1 || *incidents == 100)
        return;
    ++*incidents;
    reply->how = *incidents % 2 == 0 ? MOCK_RESET : MOCK_CLOSE;
}

Test(cuts, a_hundred_incidents_repeat_at_most_their_own_batches)
{
    unsigned incidents = 0;
    struct fm_spool *spool = spool_new();
    struct mock *mock = mock_new(die_often, &incidents);
    const char *const urls[] = {mock_url(mock)};
    struct fm_rest_opts opts = rig_opts(spool, urls, 1);
    opts.batch_records = 5;
    opts.backoff_ms = 1;
    opts.max_backoff_ms = 2;
    spool_add(spool, "t", 2000, 40, FM_RECORD_DATA);
    struct fm_rest *rest = rig_start(&opts);
    rig_drain(rest, 30000);
    cr_expect_eq(incidents, 100u, "%u", incidents);
    cr_expect_eq(mock_stored(mock), 2000);
    cr_expect_geq(mock_repeats(mock), 100u);
    cr_expect_leq(mock_repeats(mock), 100u * 5);
    cr_expect_eq(rig_stats(rest).possible_duplicates, mock_repeats(mock));
    cr_expect(mock_in_order(mock));
    rig_check(rest, spool, mock);
    fm_rest_stop(rest, 0);
    cr_assert(fm_rest_join(rest, 3000));
    fm_rest_free(rest);
    mock_free(mock);
    spool_free(spool);
}

/* ---- D10, D65: the answer is cut at every byte ---- */

static size_t accepted(enum fm_rest_dialect dialect, size_t n, const char *body, size_t len,
                       enum fm_http_failure failure, size_t *unknown)
{
    struct fm_http_answer http = {
        .failure = failure, .status = 200, .body = body, .body_len = len, .body_sent = true};
    struct fm_sent sent = {.dialect = dialect, .n_records = n};
    struct fm_verdict v[8];
    struct fm_judgement j;
    cr_assert_eq(fm_judge(&j, v, &sent, &http, NULL), FM_OK);
    size_t ok = 0;
    for (size_t i = 0; i < n; i++) {
        cr_expect_eq(v[i].cls == FM_CLS_OK, i < j.accepted, "out of order at %zu bytes", len);
        ok += v[i].cls == FM_CLS_OK;
    }
    cr_expect_eq(ok, j.accepted);
    *unknown = j.unknown;
    return ok;
}

Test(cuts, whole_receipts_of_a_cut_stream_count_and_nothing_else)
{
    static const char body[] =
        "{\"error_code\":200,\"partition_id\":0,\"offset\":11}\r\n"
        "{\"error_code\":200,\"partition_id\":0,\"offset\":12,\"key\":{\"type\":\"STRING\"}}\r\n"
        "{\"error_code\":200,\"partition_id\":0,\"offset\":13}\r\n";
    static const enum fm_http_failure ends[] = {FM_HTTP_BROKEN, FM_HTTP_OK, FM_HTTP_TIMEOUT};
    for (size_t e = 0; e < 3; e++)
        for (size_t len = 0; len < sizeof body; len++) {
            size_t whole = 0, unknown;
            for (size_t i = 0; i + 1 < len; i++)
                whole += body[i] == '}' && body[i + 1] == '\r';
            whole += len > 0 && body[len - 1] == '}' && (len < 2 || body[len - 2] != '}') &&
                     body[len] == '\r';
            whole += len > 1 && body[len - 1] == '}' && body[len - 2] == '}';
            size_t ok = accepted(FM_DIALECT_CONFLUENT_V3, 3, body, len, ends[e], &unknown);
            cr_expect_eq(ok, whole, "%zu bytes, end %zu: %zu accepted, %zu whole", len, e, ok,
                         whole);
            cr_expect_eq(ok + unknown, 3, "%zu bytes: %zu unknown", len, unknown);
        }
}

Test(cuts, a_cut_list_of_offsets_proves_nothing_at_any_byte)
{
    static const char body[] = "{\"offsets\":[{\"partition\":0,\"offset\":1},{\"partition\":0,"
                               "\"offset\":2}],\"key_schema_id\":null}";
    for (size_t len = 0; len < sizeof body - 1; len++) {
        size_t unknown;
        cr_expect_eq(accepted(FM_DIALECT_CONFLUENT_V2, 2, body, len, FM_HTTP_OK, &unknown), 0,
                     "%zu bytes", len);
        cr_expect_eq(accepted(FM_DIALECT_CONFLUENT_V2, 2, body, len, FM_HTTP_BROKEN, &unknown), 0,
                     "%zu bytes", len);
        cr_expect_eq(unknown, 2);
    }
}

/* ---- D16: five hundred agents in back-off; the proxy returns ---- */

Test(cuts, many_agents_come_back_one_by_one)
{
    enum { AGENTS = 500, OUTAGE_MS = 600000, BIN_MS = 5000, BINS = 12 };
    const char *const urls[] = {"http://127.0.0.1:1"};
    struct fm_spool *spool = spool_new();
    struct fm_rest_opts opts = {.spool = spool, .urls = urls, .n_urls = 1};
    unsigned bins[BINS] = {0}, met = 0, top = 0;
    int64_t meanwhile = 0;
    for (int i = 0; i < AGENTS; i++) {
        struct fm_rest *rest;
        struct fm_err err = {0};
        int64_t at = 0;
        cr_assert_eq(fm_rest_new(&rest, &opts, &err), FM_OK, "%s", err.text);
        for (unsigned step = 0; at < OUTAGE_MS; step++, meanwhile++)
            at += fm_rest_backoff(rest, step);
        int64_t bin = (at - OUTAGE_MS) / BIN_MS;
        cr_assert_lt(bin, BINS, "later than max_backoff");
        bins[bin]++;
        met++;
        fm_rest_free(rest);
    }
    for (size_t i = 0; i < BINS; i++)
        top = bins[i] > top ? bins[i] : top;
    cr_expect_eq(met, (unsigned)AGENTS);
    cr_expect_leq(top, 3u * AGENTS / BINS, "%u of %d in 5 s", top, (int)AGENTS);
    /* The goal for requests to a dead proxy: 150 an hour. */
    cr_expect_leq(meanwhile / AGENTS, 150 / 6 + 7, "%d in 10 minutes", (int)(meanwhile / AGENTS));
    spool_free(spool);
}

/* After a short outage nobody waits longer than it lasted. Requests of the first minute: the tries,
 * and a batch every 10 s from each that is back. */
Test(cuts, many_agents_come_back_soon_after_a_short_outage)
{
    enum { AGENTS = 500, OUTAGE_MS = 30000, BIN_MS = 5000, BINS = 12, BATCH_MS = 10000 };
    const char *const urls[] = {"http://127.0.0.1:1"};
    struct fm_spool *spool = spool_new();
    struct fm_rest_opts opts = {.spool = spool, .urls = urls, .n_urls = 1};
    unsigned bins[BINS] = {0}, sum = 0, top = 0;
    int64_t latest = 0;
    for (int i = 0; i < AGENTS; i++) {
        struct fm_rest *rest;
        struct fm_err err = {0};
        int64_t at = 0;
        cr_assert_eq(fm_rest_new(&rest, &opts, &err), FM_OK, "%s", err.text);
        for (unsigned step = 0; at < OUTAGE_MS; step++)
            at += fm_rest_backoff_after(rest, step, at);
        latest = at - OUTAGE_MS > latest ? at - OUTAGE_MS : latest;
        for (int64_t t = at - OUTAGE_MS; t < (int64_t)BIN_MS * BINS; t += BATCH_MS, sum++)
            bins[t / BIN_MS]++;
        fm_rest_free(rest);
    }
    for (size_t i = 0; i < BINS; i++)
        top = bins[i] > top ? bins[i] : top;
    cr_expect_leq(latest, OUTAGE_MS, "one came back after %lld ms", (long long)latest);
    cr_expect_leq(top, 3u * sum / BINS, "%u of %u in 5 s", top, sum);
    spool_free(spool);
}

Test(cuts, no_wait_is_longer_than_the_trouble_so_far_nor_shorter_than_the_least)
{
    const char *const urls[] = {"http://127.0.0.1:1"};
    struct fm_spool *spool = spool_new();
    struct fm_rest_opts opts = {.spool = spool, .urls = urls, .n_urls = 1};
    struct fm_rest *rest;
    struct fm_err err = {0};
    cr_assert_eq(fm_rest_new(&rest, &opts, &err), FM_OK, "%s", err.text);
    for (int i = 0; i < 2000; i++) {
        int64_t lasted = i * 50;
        int64_t wait = fm_rest_backoff_after(rest, 20, lasted);
        cr_assert_geq(wait, 500); /* half of backoff */
        cr_assert_leq(wait, lasted < 1000 ? 1000 : lasted < 60000 ? lasted : 60000);
    }
    fm_rest_free(rest);
    spool_free(spool);
}

/* ---- D39, D40: a balancer mixes proxies of every kind; offsets make no sense ---- */

static void any_dialect(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                        void *arg)
{
    (void)m;
    atomic_uint *phase = arg;
    if (!req->post || *phase != 0)
        return;
    struct fm_buf b;
    fm_buf_init(&b, 0);
    bool refused = false;
    switch (req->nth % 9) {
    case 0: /* as configured, but the offsets sink and repeat */
        for (size_t i = 0; i < req->n; i++)
            fm_buf_printf(&b, "%s{\"partition\":%zu,\"offset\":%zu}",
                          i > 0 ? "," : "{\"offsets\":[", i % 7, (req->n - i) / 2);
        fm_buf_puts(&b, "],\"value_schema_id\":9}");
        reply->proves = true;
        break;
    case 1:
        reply->member = "error"; /* Karapace */
        break;
    case 2:
        reply->member = "message"; /* Strimzi */
        break;
    case 3: /* v3: no offsets array, so nothing that v2 could read */
        for (size_t i = 0; i < req->n; i++)
            fm_buf_printf(&b, "{\"error_code\":200,\"offset\":%zu}\r\n", i);
        break;
    case 4: /* one for a partition, as Redpanda; nothing was written, and it says so */
        fm_buf_puts(&b, "{\"offsets\":[{\"partition\":0,\"error_code\":6,\"offset\":-1}]}");
        refused = true;
        break;
    case 5:
        fm_buf_puts(&b, "{\"offsets\":[]}");
        refused = true;
        break;
    case 6: /* Karapace's 422 */
        reply->member = "error";
        reply->status = 422;
        for (size_t i = 0; i < req->n; i++) {
            reply->stored[i] = i % 2 == 0;
            reply->error[i] = i % 2 == 0 ? NULL : "2,Local: leader not available";
        }
        break;
    case 7: /* records:batch */
        reply->status = 207;
        fm_buf_puts(&b, "{\"successes\":[],\"failures\":[]}");
        refused = true;
        break;
    default:
        fm_buf_puts(&b, "<html>welcome</html>");
        refused = true;
        break;
    }
    unsigned status = reply->status;
    for (size_t i = 0; refused && i < req->n; i++)
        reply->stored[i] = false;
    if (b.len > 0)
        mock_body(reply, status, fm_buf_str(&b));
    fm_buf_clear(&b);
}

Test(cuts, a_balancer_that_mixes_dialects_never_makes_a_success)
{
    atomic_uint phase = 0;
    struct fm_spool *spool = spool_new();
    struct mock *mock = mock_new(any_dialect, &phase);
    const char *const urls[] = {mock_url(mock)};
    struct fm_rest_opts opts = rig_opts(spool, urls, 1);
    opts.batch_records = 7;
    spool_add(spool, "t", 300, 60, FM_RECORD_DATA);
    struct fm_rest *rest = rig_start(&opts);
    bool unreadable = false;
    int64_t limit = fm_clock_ms() + 8000;
    while (mock_posts(mock) < 60 && fm_clock_ms() < limit) {
        struct fm_rest_stats s = rig_stats(rest);
        unreadable = unreadable || (s.n_topics > 0 && s.topics[0].failed &&
                                    strstr(s.topics[0].reason, "dialect") != NULL);
        (void)usleep(500);
    }
    cr_expect(unreadable, "the state never said that verdicts cannot be read");
    rig_check(rest, spool, mock); /* delivered only what a verdict named */
    phase = 1;
    rig_drain(rest, 8000);
    cr_expect_eq(rig_stats(rest).dead, 0);
    cr_expect_eq(spool_count(spool, FATE_DELIVERED), 300);
    cr_expect_eq(mock_stored(mock), 300);
    rig_check(rest, spool, mock);
    fm_rest_stop(rest, 0);
    cr_assert(fm_rest_join(rest, 3000));
    fm_rest_free(rest);
    mock_free(mock);
    spool_free(spool);
}
