/* Many requests in flight to a proxy that takes its time: the sink answers each POST 50 ms after it
 * has it whole. Ideal is in flight x batch / latency; beside it what bare libcurl reaches with as
 * many ready bodies, in the same run on the same sink. The rate is taken between a tenth and nine
 * tenths of the records, so that start and end do not count.
 *
 * usage: bench_flight [RECORDS] */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "proxy.h"
#include "rest/rest.h"

enum { FLIGHTS = 8, BATCH = 500, LATE_MS = 50, KEYS = 1000 };

static size_t records = 320000;
static const double least = 0.9;
static const double ideal = FLIGHTS * BATCH * 1000.0 / LATE_MS;
static char dir[] = "/tmp/fm-flight-XXXXXX";

static void must(enum fm_code code, const struct fm_err *err)
{
    if (code != FM_OK)
        proxy_fail(fm_err_text(err));
}

static double cpu_s(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* ---- bare libcurl ---- */

static size_t swallow(char *data, size_t size, size_t n, void *arg)
{
    (void)data, (void)arg;
    return size * n;
}

static void start_one(CURLM *multi, CURL *curl)
{
    if (curl_multi_add_handle(multi, curl) != CURLM_OK)
        proxy_fail("curl_multi_add_handle");
}

static double bare(const char *url, const char *ca)
{
    CURLM *multi = curl_multi_init();
    CURL *curls[FLIGHTS];
    struct fm_buf body;
    char target[96];
    struct curl_slist *headers =
        curl_slist_append(NULL, "Content-Type: application/vnd.kafka.json.v2+json");
    headers = curl_slist_append(headers, "Expect:");
    fm_buf_init(&body, 0);
    fm_buf_puts(&body, "{\"records\":[");
    for (int i = 0; i < BATCH; i++)
        fm_buf_printf(&body, "%s{\"key\":\"k\",\"value\":\"%0300d\"}", i > 0 ? "," : "", i);
    fm_buf_puts(&body, "]}");
    (void)snprintf(target, sizeof target, "%s/topics/t", url);
    for (int i = 0; i < FLIGHTS; i++) {
        CURL *c = curls[i] = curl_easy_init();
        curl_easy_setopt(c, CURLOPT_URL, target);
        curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
        curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, swallow);
        curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, body.data);
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.len);
        if (ca[0] != '\0')
            curl_easy_setopt(c, CURLOPT_CAINFO, ca);
        start_one(multi, c);
    }
    size_t wanted = records / BATCH, done = 0;
    int64_t from = 0, to = 0;
    while (done < wanted) {
        int running, left;
        CURLMsg *msg;
        if (curl_multi_perform(multi, &running) != CURLM_OK)
            proxy_fail("curl_multi_perform");
        while ((msg = curl_multi_info_read(multi, &left)) != NULL) {
            CURL *c = msg->easy_handle;
            if (msg->msg != CURLMSG_DONE || msg->data.result != CURLE_OK)
                proxy_fail("a request of libcurl failed");
            done++;
            from = done == wanted / 10 ? fm_clock_ns() : from;
            to = done == wanted / 10 * 9 ? fm_clock_ns() : to;
            (void)curl_multi_remove_handle(multi, c);
            start_one(multi, c);
        }
        (void)curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
    for (int i = 0; i < FLIGHTS; i++) {
        (void)curl_multi_remove_handle(multi, curls[i]);
        curl_easy_cleanup(curls[i]);
    }
    (void)curl_multi_cleanup(multi);
    curl_slist_free_all(headers);
    fm_buf_clear(&body);
    return (double)(wanted / 10 * 9 - wanted / 10) * BATCH * 1e9 / (double)(to - from);
}

/* ---- our own way ---- */

struct pace {
    size_t n;
    int64_t from, to;
};

static void on_delivered(void *arg, const struct fm_settlement *list, size_t n)
{
    struct pace *pace = arg;
    size_t before = pace->n;
    for (size_t i = 0; i < n; i++)
        pace->n += list[i].n;
    if (before < records / 10 && pace->n >= records / 10)
        pace->from = fm_clock_ns();
    if (before < records / 10 * 9 && pace->n >= records / 10 * 9)
        pace->to = fm_clock_ns();
}

static void fill(struct fm_spool *spool, bool keys)
{
    struct fm_err err = {0};
    char value[320], key[16];
    (void)snprintf(value, sizeof value, "{\"v\":1,\"pad\":\"%0270d\"}", 7);
    for (size_t i = 0; i < records;) {
        struct fm_chunk *chunk;
        must(fm_chunk_new(&chunk, "t", &err), &err);
        for (size_t k = 0; k < 200 && i < records; k++, i++) {
            int len = snprintf(key, sizeof key, "web-%zu", i % KEYS);
            const struct fm_record rec = {.partition = FM_NO_PARTITION,
                                          .key = keys ? key : NULL,
                                          .key_len = keys ? (size_t)len : 0,
                                          .value = value,
                                          .value_len = strlen(value),
                                          .id_at = 7};
            must(fm_chunk_add(chunk, &rec, NULL, 0, &err), &err);
        }
        must(fm_spool_store(spool, &chunk, 10000, NULL, NULL, NULL, &err), &err);
    }
}

static double own(const char *url, const char *ca, bool keys, double *cpu, size_t *batch)
{
    struct fm_err err = {0};
    struct fm_spool *spool;
    struct fm_rest *rest;
    struct pace pace = {0};
    const char *const urls[] = {url};
    const struct fm_spool_opts so = {
        .agent = "edge-7", .machine_id = "m", .max_size = 4ULL << 30, .commit_ms = 50};
    struct fm_rest_opts o = {.urls = urls,
                             .n_urls = 1,
                             .batch_records = BATCH,
                             .max_in_flight = FLIGHTS,
                             .on_delivered = on_delivered,
                             .on_delivered_arg = &pace};
    o.tls.ca_file = ca[0] != '\0' ? ca : NULL;
    must(fm_spool_open(&spool, &so, &err), &err);
    o.spool = spool;
    fill(spool, keys);
    must(fm_rest_new(&rest, &o, &err), &err);
    double before = cpu_s();
    must(fm_rest_start(rest, &err), &err);
    must(fm_rest_drain(rest, 60000, &err), &err);
    *cpu = (cpu_s() - before) * 1e6 / (double)records;
    struct fm_rest_stats stats;
    fm_rest_stats_get(rest, &stats);
    *batch = records / (stats.batches > 0 ? stats.batches : 1);
    (void)fm_rest_free(rest);
    fm_spool_stop(spool);
    fm_spool_free(spool, 0);
    return (double)(records / 10 * 9 - records / 10) * 1e9 / (double)(pace.to - pace.from);
}

/* @param beside  what bare libcurl reached; 0: this is it */
static void tell(const char *scheme, const char *name, double rate, double beside)
{
    (void)printf("flight %-5s %-46s %6.0f records/s, %.3f of %.0f", scheme, name, rate,
                 rate / ideal, ideal);
    if (beside > 0)
        (void)printf(" (limit %.1f: %s), %.2f of bare", least,
                     rate / ideal >= least ? "holds" : "MISSED", rate / beside);
    (void)printf("\n");
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    struct fm_err err = {0};
    struct proxy proxy;
    if (argc > 1)
        records = strtoul(argv[1], NULL, 10) / (20 * BATCH) * 20 * BATCH;
    if (records == 0 || mkdtemp(dir) == NULL)
        proxy_fail("cannot start");
    proxy_start(&proxy, dir, LATE_MS);
    must(fm_net_init(&err), &err);
    for (int i = 0; i < 2; i++) {
        const char *scheme = i == 0 ? "http" : "https";
        char url[64], ca[96] = "", name[64];
        double cpu;
        size_t batch;
        (void)snprintf(url, sizeof url, "%s://127.0.0.1:%u", scheme, (unsigned)proxy.port[i]);
        if (i == 1)
            (void)snprintf(ca, sizeof ca, "%s/ca.pem", dir);
        double beside = bare(url, ca);
        tell(scheme, "bare libcurl", beside, 0);
        for (int keys = 0; keys < 2; keys++) {
            double rate = own(url, ca, keys == 1, &cpu, &batch);
            (void)snprintf(name, sizeof name, "own, %s, %zu a request, %.2f CPU s/M",
                           keys == 1 ? "1,000 keys" : "no keys", batch, cpu);
            tell(scheme, name, rate, beside);
        }
    }
    proxy_stop(&proxy);
    (void)fflush(stdout);
    (void)execlp("rm", "rm", "-rf", dir, (char *)NULL);
    return 1;
}
