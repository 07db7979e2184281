/* Records built a second from a poll such as a JVM gives: 40 beans of 12 numbers. One line. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "record/record.h"

enum { BEANS = 40, ATTRIBUTES = 12, RUN_MS = 1000 };

static enum fm_code drop(void *arg, struct fm_chunk **chunk, struct fm_err *err)
{
    (void)arg;
    (void)err;
    fm_chunk_free(*chunk);
    *chunk = NULL;
    return FM_OK;
}

static void fill(struct fm_value *object, struct fm_arena *arena)
{
    static const char *const names[ATTRIBUTES] = {"CollectionCount",
                                                  "CollectionTime",
                                                  "Uptime",
                                                  "ThreadCount",
                                                  "DaemonThreadCount",
                                                  "LoadedClassCount",
                                                  "ProcessCpuLoad",
                                                  "SystemLoadAverage",
                                                  "used",
                                                  "committed",
                                                  "max",
                                                  "TotalStartedThreadCount"};
    object->kind = FM_V_OBJECT;
    object->object.n = ATTRIBUTES;
    object->object.members = fm_arena_array(arena, ATTRIBUTES, sizeof(struct fm_member));
    if (object->object.members == NULL)
        exit(1);
    for (size_t i = 0; i < ATTRIBUTES; i++) {
        struct fm_member *m = &object->object.members[i];
        m->key = (struct fm_text){.ptr = names[i], .len = __builtin_strlen(names[i])};
        m->value.kind = i % 4 == 3 ? FM_V_DOUBLE : FM_V_INT;
        if (m->value.kind == FM_V_DOUBLE)
            m->value.d = 0.123456789 * (double)(i + 1);
        else
            m->value.i = 123456789 * (int64_t)(i + 1);
    }
}

static void run(const char *label, enum fm_shape shape, struct fm_sample *sample,
                struct fm_sample_bean *beans)
{
    static const char *const tags[] = {"env=prod", "site=${host}"};
    struct fm_rule_opts opts = {.agent = "bench",
                                .shape = shape,
                                .topic = "jmx",
                                .key = "${host}",
                                .tags = tags,
                                .n_tags = 2,
                                .max_bytes = 900 * 1024};
    struct fm_rule *rule = NULL;
    struct fm_err err = {0};
    if (fm_rule_new(&rule, &opts, &err) != FM_OK)
        exit(1);
    for (size_t i = 0; i < BEANS; i++)
        beans[i].rule = rule;
    uint64_t records = 0, bytes = 0;
    int64_t start = fm_clock_ns(), now = start;
    while ((now = fm_clock_ns()) - start < RUN_MS * 1000000LL) {
        struct fm_record_count count = {0};
        if (fm_record_build(sample, drop, NULL, NULL, &count, &err) != FM_OK)
            exit(1);
        records += count.records;
        bytes += count.bytes;
    }
    double seconds = (double)(now - start) / 1e9;
    printf(" %s %.0f records/s %.0f MB/s", label, (double)records / seconds,
           (double)bytes / seconds / 1e6);
    fm_rule_free(rule);
}

int main(void)
{
    struct fm_arena arena;
    static struct fm_name names[BEANS];
    static struct fm_value values[BEANS];
    static struct fm_sample_bean beans[BEANS];
    struct fm_sample sample = {.target = "orders",
                               .host = "web-1",
                               .timestamp_ms = 1763812800000,
                               .beans = beans,
                               .n = BEANS};
    fm_arena_init(&arena, 0);
    for (size_t i = 0; i < BEANS; i++) {
        char text[80];
        (void)snprintf(text, sizeof text, "java.lang:type=GarbageCollector,name=Collector %zu", i);
        if (fm_name_parse(&names[i], &arena, text, NULL) != FM_OK)
            return 1;
        fill(&values[i], &arena);
        beans[i] = (struct fm_sample_bean){.name = &names[i], .attributes = &values[i]};
    }
    printf("record:");
    run("bean", FM_SHAPE_BEAN, &sample, beans);
    run("metric", FM_SHAPE_METRIC, &sample, beans);
    run("snapshot", FM_SHAPE_SNAPSHOT, &sample, beans);
    printf("\n");
    fm_arena_clear(&arena);
    return 0;
}
