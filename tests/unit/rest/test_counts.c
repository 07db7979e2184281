/* What moves the sender's counters: each against the proxy's own count. */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hist.h"
#include "rig.h"

static atomic_size_t body_bytes;

static void script(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                   void *arg)
{
    (void)m, (void)arg;
    if (!req->post)
        return;
    body_bytes += req->body_len;
    cr_expect(strncmp(req->head, "POST http://rest.test:1/topics/t ", 33) == 0, "%s", req->head);
    if (req->nth == 2) { /* all of it again, later */
        mock_refuse(req, reply, "0,");
        mock_body(reply, 429, "{\"error_code\":429,\"message\":\"slow\"}");
    } else if (req->nth == 3) { /* three of it again */
        for (size_t i = 0; i < 3 && i < req->n; i++) {
            reply->error[i] = "50003,busy";
            reply->stored[i] = false;
        }
    }
}

Test(counts, agree_with_those_of_the_proxy)
{
    struct fm_spool *spool = spool_new();
    struct mock *mock = mock_new(script, NULL);
    const char *const urls[] = {"http://rest.test:1"};
    char proxy[100];
    struct fm_spool_stats *stored = calloc(1, sizeof *stored);
    (void)snprintf(proxy, sizeof proxy, "http://me:s3cret@%s", mock_url(mock) + 7);
    struct fm_rest_opts opts = rig_opts(spool, urls, 1);
    opts.proxy.url = proxy;
    spool_add(spool, "t", 21, 100, FM_RECORD_DATA);
    fm_spool_stats_get(spool, stored);
    cr_expect_eq(stored->oldest_ms, 1, "of the oldest record: %lld", (long long)stored->oldest_ms);
    cr_expect_gt(stored->bytes, 21 * 100);
    struct fm_rest *rest = rig_start(&opts);
    rig_drain(rest, 5000);
    struct fm_rest_stats s = rig_stats(rest);
    cr_expect_eq(s.records, 21);
    cr_expect_eq(s.retries, 20 + 3, "%d", (int)s.retries);
    cr_expect_eq(s.batches, mock_posts(mock));
    cr_expect_eq(s.bytes, body_bytes);
    cr_expect_eq(s.possible_duplicates, 3, "Kafka may have what it calls a passing failure");
    cr_expect_eq(s.dead + s.suspects, 0);
    const struct fm_hist *hist = fm_rest_latency(rest);
    cr_expect_eq(hist->total, mock_posts(mock));
    cr_expect_gt(hist->sum_us, 0);
    cr_expect_gt(s.last_send.time_ms, 0);
    cr_expect(s.last_send.records > 0 && s.last_send.records <= 3);
    cr_expect(s.last_send.bytes > 0 && s.last_send.duration_ms > 0);
    cr_expect_str_empty(s.last_send.error);
    cr_expect_str_eq(s.effective_proxy, mock_url(mock), "without the password");
    fm_spool_stats_get(spool, stored);
    cr_expect_eq(stored->oldest_ms, 0, "nothing waits: %lld", (long long)stored->oldest_ms);
    rig_check(rest, spool, mock);
    fm_rest_stop(rest, 0);
    cr_assert(fm_rest_join(rest, 3000));
    fm_rest_free(rest);
    mock_free(mock);
    spool_free(spool);
    free(stored);
}

Test(counts, show_the_proxy_that_is_really_used)
{
    struct fm_spool *spool = spool_new();
    const char *const urls[] = {"http://rest.test:1"};
    struct fm_rest_opts opts = rig_opts(spool, urls, 1);
    (void)setenv("http_proxy", "http://me:s3cret@proxy.test:3128", 1);
    (void)unsetenv("no_proxy");
    (void)unsetenv("NO_PROXY");
    static const struct {
        const char *url, *no_proxy, *shown;
    } rows[] = {{NULL, NULL, ""},
                {"environment", NULL, "http://proxy.test:3128"},
                {"environment", "rest.test", ""},
                {"https://other.test", NULL, "https://other.test:443"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fm_rest *rest;
        struct fm_err err = {0};
        opts.proxy.url = rows[i].url;
        opts.proxy.no_proxy = rows[i].no_proxy;
        cr_assert_eq(fm_net_init(&err), FM_OK);
        cr_assert_eq(fm_rest_new(&rest, &opts, &err), FM_OK, "%s", err.text);
        cr_assert_eq(fm_rest_start(rest, &err), FM_OK, "%s", err.text);
        struct fm_rest_stats s = rig_stats(rest);
        for (int64_t limit = fm_clock_ms() + 3000; s.n_endpoints == 0 && fm_clock_ms() < limit;)
            s = rig_stats(rest);
        cr_expect_str_eq(s.effective_proxy, rows[i].shown, "%zu: %s", i, s.effective_proxy);
        fm_rest_stop(rest, 0);
        cr_assert(fm_rest_join(rest, 3000));
        fm_rest_free(rest);
    }
    spool_free(spool);
}
