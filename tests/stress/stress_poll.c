/* The poll thread under TSan: reloads, retries, looks at it and JVMs that come and go, all at once.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../unit/poll/fake.h"
#include "base/clock.h"

enum { TARGETS = 24, RELOADS = 60, LOOKERS = 2, STEP_US = 20000 };

static struct fake_jvm jvms[2] = {
    {.url = "one:1", .start_time = 1, .beans = {"d:type=a", "d:type=b", "d:type=c"}, .n_beans = 3},
    {.url = "two:2", .start_time = 2, .beans = {"d:type=a"}, .n_beans = 1}};

struct world {
    struct fm_poll *poll;
    atomic_uint samples, events, looks, bad;
    atomic_bool done;
};

static bool ready(void *arg)
{
    return !((struct world *)arg)->done;
}

static void on_sample(void *arg, const struct fm_sample *sample)
{
    struct world *w = arg;
    w->samples++;
    w->bad += sample->n == 0;
}

static void on_state(void *arg, const struct fm_poll_event *event)
{
    (void)event;
    ((struct world *)arg)->events++;
}

static void *look(void *arg)
{
    struct world *w = arg;
    while (!w->done) {
        struct fm_poll_snapshot now = {0};
        if (fm_poll_status_get(w->poll, &now, NULL) != FM_OK)
            w->bad++;
        fm_poll_snapshot_clear(&now);
        w->looks++;
        (void)usleep(1000);
    }
    return NULL;
}

/* A JVM that refuses now and then, hangs now and then, and is restarted. */
static void *disturb(void *arg)
{
    struct world *w = arg;
    for (unsigned i = 0; !w->done; i++) {
        jvms[0].refuse = i % 5 == 1 ? FM_EAUTH : 0;
        jvms[0].hang = i % 7 == 3;
        jvms[1].start_time = (int)(i / 10);
        jvms[0].n_beans = 1 + (int)(i % 3);
        fm_poll_retry(w->poll);
        (void)usleep(7000);
    }
    jvms[0].refuse = jvms[0].hang = 0;
    return NULL;
}

/* Queries, names and fingerprints of one configuration; the old one is freed after each reload. */
struct plan {
    struct fm_query *query;
    struct fm_poll_query queries[1];
    char names[TARGETS][16], prints[TARGETS][16];
    struct fm_poll_target_opts targets[TARGETS];
};

static struct plan *make_plan(unsigned turn)
{
    static const char *const all[] = {"A"};
    struct plan *p = calloc(1, sizeof *p);
    const struct fm_query_opts o = {
        .name = "q", .bean = "d:*", .attributes = all, .n_attributes = 1};
    if (p == NULL || fm_query_new(&p->query, &o, NULL) != FM_OK)
        abort();
    p->queries[0] = (struct fm_poll_query){.query = p->query};
    for (unsigned i = 0; i < TARGETS; i++) {
        (void)snprintf(p->names[i], sizeof p->names[i], "t%u", i);
        (void)snprintf(p->prints[i], sizeof p->prints[i], "%u", i % 3 == 0 ? turn : 0);
        p->targets[i] = (struct fm_poll_target_opts){.name = p->names[i],
                                                     .url = jvms[i % 2].url,
                                                     .interval_ms = 5,
                                                     .timeout_ms = 30,
                                                     .queries = p->queries,
                                                     .n_queries = 1,
                                                     .fingerprint = p->prints[i]};
    }
    return p;
}

static void free_plan(struct plan *p)
{
    fm_query_free(p->query);
    free(p);
}

int main(void)
{
    static struct world w;
    struct plan *plan = make_plan(0);
    struct fm_poll_opts o = {
        .hooks = {.ready = ready, .sample = on_sample, .state = on_state, .arg = &w},
        .targets = plan->targets,
        .n_targets = TARGETS,
        .host_name = "here"};
    fake_jvms[0] = &jvms[0];
    fake_jvms[1] = &jvms[1];
    if (fm_net_init(NULL) != FM_OK ||
        fm_poll_new_with(&w.poll, &o, &fake_sessions, NULL) != FM_OK ||
        fm_poll_start(w.poll, NULL) != FM_OK)
        return 1;
    pthread_t threads[LOOKERS + 1];
    for (int i = 0; i < LOOKERS; i++)
        (void)pthread_create(&threads[i], NULL, look, &w);
    (void)pthread_create(&threads[LOOKERS], NULL, disturb, &w);
    for (unsigned turn = 1; turn <= RELOADS; turn++) {
        struct plan *next = make_plan(turn);
        (void)usleep(STEP_US);
        if (fm_poll_replace(w.poll, next->targets, turn % 4 == 0 ? TARGETS / 2 : TARGETS, NULL) !=
            FM_OK)
            return 1;
        free_plan(plan);
        plan = next;
    }
    int64_t limit = fm_clock_ms() + 30000; /* a processor that has other work needs longer */
    while ((w.samples <= RELOADS || w.looks <= RELOADS) && fm_clock_ms() < limit)
        (void)usleep(STEP_US);
    w.done = true;
    for (int i = 0; i <= LOOKERS; i++)
        (void)pthread_join(threads[i], NULL);
    fm_poll_stop(w.poll);
    bool ended = fm_poll_join(w.poll, 5000);
    fm_poll_free(w.poll);
    free_plan(plan);
    bool good = ended && w.bad == 0 && w.samples > RELOADS && w.looks > RELOADS &&
                jvms[0].opens == jvms[0].closes && jvms[1].opens == jvms[1].closes;
    (void)printf("%s: %u samples, %u events, %u looks, %d reloads, %u bad\n", good ? "ok" : "FAIL",
                 w.samples, w.events, w.looks, (int)RELOADS, w.bad);
    return good ? 0 : 1;
}
