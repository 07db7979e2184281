/* The native side of tests/bench/jmx.py: polls the beans of JmxBench.java.
 *
 * usage: bench_jmx HOST:PORT BEANS WARM POLLS GAP_MS
 * Without a gap the session alone, one list of reads after another; with one the whole scheduler,
 * polling at that interval, up to the sample it hands out. After WARM polls it prints "ready",
 * waits for a line, and then prints what POLLS polls took: CPU in the cheapest of five rows, time
 * in the middle. */
#include <math.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "poll/poll.h"

enum {
    MAX_BEANS = 256,
    MAX_POLLS = 100000,
    N_ATTRIBUTES = 5,
    ROWS = 5 /* of polls; the cheapest counts, since the machine has other work */
};

static const char *const plain[N_ATTRIBUTES] = {"Busy", "Count", "Ratio", "Title", "TotalTime"};
static const char *const pool[N_ATTRIBUTES] = {"CollectionUsage", "PeakUsage", "Title", "Type",
                                               "Usage"};

struct bench {
    const char *url;
    size_t beans, warm, polls;
    unsigned gap_ms;
    double took_ms[MAX_POLLS];
    unsigned round_trips;
    double start_ms, best_ms; /* CPU: at the beginning of the row, of the best row */
};

static struct bench b;

static void fail(const char *what, const struct fm_err *err)
{
    (void)fprintf(stderr, "bench_jmx: %s: %s\n", what, err->text);
    exit(1);
}

static double cpu_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* The beginning of what counts: the other side has looked at its own counters. */
static void begin(void)
{
    char line[16];
    (void)puts("ready");
    (void)fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        exit(1);
    b.best_ms = HUGE_VAL;
    b.start_ms = cpu_ms();
}

/* Poll i is done. */
static void count(size_t i)
{
    if ((i + 1) % (b.polls / ROWS) != 0)
        return;
    const double now = cpu_ms();
    if (now - b.start_ms < b.best_ms)
        b.best_ms = now - b.start_ms;
    b.start_ms = now;
}

static int by_size(const void *a, const void *c)
{
    double x = *(const double *)a, y = *(const double *)c;
    return x < y ? -1 : x > y;
}

static void report(void)
{
    qsort(b.took_ms, b.polls, sizeof b.took_ms[0], by_size);
    printf("{\"polls\":%zu,\"cpu_ms\":%.4f,\"p50_ms\":%.4f,\"round_trips\":%u}\n", b.polls,
           b.best_ms * ROWS / (double)b.polls, b.took_ms[b.polls / 2], b.round_trips);
    (void)fflush(stdout);
    (void)getchar(); /* the end of stdin: the goodbye is not to be counted */
}

/* ---- the session alone ---- */

static void read_all(struct fm_jmx *jmx, struct fm_jmx_call *calls, struct fm_arena *arena)
{
    struct fm_err err = {0};
    struct fm_jmx_cost cost;
    fm_arena_reset(arena);
    if (fm_jmx_run(jmx, calls, b.beans, arena, &cost, &err) != FM_OK)
        fail("poll", &err);
    for (size_t i = 0; i < b.beans; i++)
        if (calls[i].code != FM_OK || calls[i].value.object.n != N_ATTRIBUTES)
            fail(calls[i].name, &calls[i].err);
    b.round_trips = cost.round_trips;
}

static void run_session(void)
{
    static struct fm_jmx_call calls[MAX_BEANS];
    static char names[MAX_BEANS][64];
    struct fm_client *client = NULL;
    struct fm_client_opts client_opts = {0};
    struct fm_jmx *jmx = NULL;
    struct fm_arena arena;
    struct fm_err err = {0};
    fm_arena_init(&arena, 0);
    if (fm_client_new(&client, &client_opts, &err) != FM_OK)
        fail("client", &err);
    struct fm_jmx_opts opts = {.client = client, .url = b.url};
    if (fm_jmx_new(&jmx, &opts, &err) != FM_OK)
        fail("session", &err);
    for (size_t i = 0; i < b.beans; i++) {
        (void)snprintf(names[i], sizeof names[i], "bench%zu:type=Bench,name=%zu", b.beans, i);
        calls[i] = (struct fm_jmx_call){.op = FM_JMX_READ,
                                        .name = names[i],
                                        .attributes = i % 5 == 4 ? pool : plain,
                                        .n_attributes = N_ATTRIBUTES};
    }
    for (size_t i = 0; i < b.warm; i++)
        read_all(jmx, calls, &arena);
    begin();
    for (size_t i = 0; i < b.polls; i++) {
        int64_t start = fm_clock_ns();
        read_all(jmx, calls, &arena);
        b.took_ms[i] = (double)(fm_clock_ns() - start) / 1e6;
        count(i);
    }
    report();
    fm_jmx_free(jmx);
    fm_client_free(client);
    fm_arena_clear(&arena);
}

/* ---- the scheduler ---- */

static void on_sample(void *arg, const struct fm_sample *sample)
{
    if (sample->n == b.beans)
        (void)sem_post(arg);
}

static void wait_samples(sem_t *samples, size_t n)
{
    while (n > 0)
        if (sem_wait(samples) == 0)
            n--;
}

static void run_scheduler(void)
{
    sem_t samples;
    struct fm_poll *poll = NULL;
    struct fm_query *query = NULL;
    struct fm_err err = {0};
    (void)sem_init(&samples, 0, 0);
    char pattern[64];
    (void)snprintf(pattern, sizeof pattern, "bench%zu:type=Bench,*", b.beans);
    struct fm_query_opts query_opts = {.bean = pattern};
    if (fm_query_new(&query, &query_opts, &err) != FM_OK)
        fail("query", &err);
    struct fm_poll_query of_target = {.query = query};
    struct fm_poll_target_opts target = {.name = "bench",
                                         .url = b.url,
                                         .interval_ms = b.gap_ms,
                                         .queries = &of_target,
                                         .n_queries = 1};
    struct fm_poll_opts opts = {
        .hooks = {.sample = on_sample, .arg = &samples}, .targets = &target, .n_targets = 1};
    if (fm_poll_new(&poll, &opts, &err) != FM_OK || fm_poll_start(poll, &err) != FM_OK)
        fail("scheduler", &err);
    wait_samples(&samples, b.warm);
    begin();
    for (size_t i = 0; i < b.polls; i++) {
        struct fm_poll_snapshot snap;
        wait_samples(&samples, 1);
        count(i);
        if (fm_poll_status_get(poll, &snap, &err) != FM_OK)
            fail("status", &err);
        b.took_ms[i] = snap.targets[0].duration_ms;
        b.round_trips = snap.targets[0].round_trips;
        fm_poll_snapshot_clear(&snap);
    }
    report();
    fm_poll_stop(poll);
    (void)fm_poll_join(poll, 5000);
    fm_poll_free(poll);
    fm_query_free(query);
    (void)sem_destroy(&samples);
}

int main(int argc, char **argv)
{
    struct fm_err err = {0};
    if (argc != 6) {
        (void)fprintf(stderr, "usage: bench_jmx HOST:PORT BEANS WARM POLLS GAP_MS\n");
        return 2;
    }
    b.url = argv[1];
    b.beans = strtoul(argv[2], NULL, 10);
    b.warm = strtoul(argv[3], NULL, 10);
    b.polls = strtoul(argv[4], NULL, 10);
    b.gap_ms = (unsigned)strtoul(argv[5], NULL, 10);
    if (b.beans == 0 || b.beans > MAX_BEANS || b.polls < ROWS || b.polls > MAX_POLLS)
        return 2;
    if (fm_net_init(&err) != FM_OK)
        fail("net", &err);
    if (b.gap_ms == 0)
        run_session();
    else
        run_scheduler();
    return 0;
}
