/* Records from the memory spool through the sender into an HTTP sink in a child process: rate and
 * CPU of this process, per million records. bench_reference.c is the yardstick. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "rest/rest.h"
#include "sink.h"

static double cpu_s(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void fill(struct fm_spool *spool, size_t n)
{
    static const char value[] =
        "{\"v\":1,\"agent\":\"edge-7\",\"timestamp\":1763812800000,\"host\":\"web-1\",\"target\":"
        "\"orders\","
        "\"bean\":\"java.lang:name=G1 Young "
        "Generation,type=GarbageCollector\",\"domain\":\"java.lang\","
        "\"properties\":{\"name\":\"G1 Young Generation\"},\"attributes\":{\"CollectionCount\":12,"
        "\"CollectionTime\":340},\"tags\":{\"e\":\"prod\"}}";
    struct fm_err err;
    for (size_t i = 0; i < n;) {
        struct fm_chunk *chunk;
        if (fm_chunk_new(&chunk, "t", &err) != FM_OK)
            exit(1);
        for (size_t k = 0; k < 200 && i < n; k++, i++) {
            struct fm_record rec = {.partition = FM_NO_PARTITION,
                                    .key = "web-1",
                                    .key_len = 5,
                                    .value = value,
                                    .value_len = sizeof value - 1,
                                    .id_at = 7};
            if (fm_chunk_add(chunk, &rec, NULL, 0, &err) != FM_OK)
                exit(1);
        }
        if (fm_spool_store(spool, &chunk, 10000, NULL, NULL, NULL, &err) != FM_OK) {
            fprintf(stderr, "%s\n", err.text);
            exit(1);
        }
    }
}

int main(int argc, char **argv)
{
    size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 300000;
    struct fm_err err;
    struct sink sink;
    char url[64];
    const char *urls[] = {url};
    struct fm_spool *spool;
    struct fm_rest *rest;
    sink_start(&sink);
    snprintf(url, sizeof url, "http://127.0.0.1:%u", sink.port);
    struct fm_spool_opts so = {
        .agent = "edge-7", .machine_id = "m", .max_size = 4ULL << 30, .commit_ms = 50};
    struct fm_rest_opts o = {
        .urls = urls, .n_urls = 1, .batch_records = 1000, .batch_bytes = 600 * 1024};
    if (fm_net_init(&err) != FM_OK || fm_spool_open(&spool, &so, &err) != FM_OK)
        return 1;
    o.spool = spool;
    fill(spool, n);
    if (fm_rest_new(&rest, &o, &err) != FM_OK)
        return 1;
    double cpu = cpu_s();
    int64_t start = fm_clock_ns();
    if (fm_rest_start(rest, &err) != FM_OK || fm_rest_drain(rest, 30000, &err) != FM_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    double wall = (double)(fm_clock_ns() - start) / 1e9;
    cpu = cpu_s() - cpu;
    printf("rest: %zu records, %.0f records/s, %.2f CPU s a million\n", n, (double)n / wall,
           cpu * 1e6 / (double)n);
    fm_rest_free(rest);
    fm_spool_stop(spool);
    fm_spool_free(spool, 0);
    sink_stop(&sink);
    return 0;
}
