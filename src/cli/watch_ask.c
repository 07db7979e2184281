/* What `watch` asks: the beans and attributes named, a preset, or what one looks at first. */
#include <limits.h>
#include <string.h>

#include "cli/cmd_watch_priv.h"

enum { LEAST_INTERVAL_MS = 100 };

/* What one looks at first in any JVM. */
static const struct {
    const char *bean;
    const char *attributes[8];
} defaults[] = {
    {"java.lang:type=Memory",
     {"HeapMemoryUsage/used", "HeapMemoryUsage/committed", "HeapMemoryUsage/max",
      "NonHeapMemoryUsage/used"}},
    {"java.lang:type=GarbageCollector,name=*", {"CollectionCount", "CollectionTime"}},
    {"java.lang:type=Threading", {"ThreadCount", "DaemonThreadCount", "TotalStartedThreadCount"}},
    {"java.lang:type=OperatingSystem",
     {"ProcessCpuLoad", "ProcessCpuTime", "SystemLoadAverage", "OpenFileDescriptorCount"}},
    {"java.lang:type=ClassLoading", {"LoadedClassCount", "UnloadedClassCount"}},
    {"java.lang:type=Runtime", {"Uptime"}},
};

static enum fm_code add_query(struct fm_watch *w, const struct fm_query_opts *opts,
                              struct fm_err *err)
{
    if (w->n_queries == FM_WATCH_QUERIES)
        return fm_err_set(err, FM_EUSAGE, "watch: more than %d beans; a pattern stands for many",
                          FM_WATCH_QUERIES);
    FM_TRY(fm_query_new(&w->queries[w->n_queries], opts, err));
    w->rows[w->n_queries].query = w->queries[w->n_queries];
    w->n_queries++;
    return FM_OK;
}

static enum fm_code add_defaults(struct fm_watch *w, struct fm_err *err)
{
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++) {
        size_t n = 0;
        while (n < 8 && defaults[i].attributes[n] != NULL)
            n++;
        const struct fm_query_opts opts = {
            .bean = defaults[i].bean, .attributes = defaults[i].attributes, .n_attributes = n};
        FM_TRY(add_query(w, &opts, err));
    }
    return FM_OK;
}

/* BEAN ATTRIBUTE... BEAN ATTRIBUTE...: what holds a colon is the next bean. */
static enum fm_code add_words(struct fm_watch *w, const struct fm_words *words, struct fm_err *err)
{
    for (size_t i = 1; i < words->n;) {
        size_t end = i + 1;
        while (end < words->n && strchr(words->items[end], ':') == NULL)
            end++;
        const struct fm_query_opts opts = {.bean = words->items[i],
                                           .attributes = words->items + i + 1,
                                           .n_attributes = end - i - 1};
        FM_TRY(add_query(w, &opts, err));
        i = end;
    }
    return FM_OK;
}

static enum fm_code add_presets(struct fm_watch *w, struct fm_err *err)
{
    const struct fm_cfg_target *unnamed = &w->config->unnamed;
    for (size_t i = 0; i < unnamed->n_queries; i++) {
        const struct fm_cfg_query *query = unnamed->queries[i];
        if (strchr(query->section.name, '/') == NULL)
            continue; /* of the file, not of the preset */
        if (w->n_queries == FM_WATCH_QUERIES)
            return fm_err_set(err, FM_EUSAGE, "watch: --preset: more than %d queries",
                              FM_WATCH_QUERIES);
        FM_TRY(fm_plan_query(&w->queries[w->n_queries], query, &w->cli->arena, err));
        w->rows[w->n_queries].query = w->queries[w->n_queries];
        w->n_queries++;
    }
    return FM_OK;
}

/* --preset NAME becomes -o target.preset=NAME,NAME: the configuration knows where presets lie. */
static enum fm_code override_presets(struct fm_watch *w, struct fm_err *err)
{
    struct fm_words *old = &w->cli->global.overrides;
    const struct fm_words *presets = &w->opts->presets;
    struct fm_buf text;
    if (presets->n == 0)
        return FM_OK;
    fm_buf_init(&text, 0);
    for (size_t i = 0; i < presets->n; i++)
        fm_buf_printf(&text, "%s%s", i == 0 ? "target.preset=" : ",", presets->items[i]);
    const char **items = fm_arena_array(&w->cli->arena, old->n + 1, sizeof *items);
    if (items != NULL) {
        if (old->n > 0)
            memcpy(items, old->items, old->n * sizeof *items);
        items[old->n] = fm_arena_strndup(&w->cli->arena, fm_buf_str(&text), text.len);
    }
    bool ok = items != NULL && items[old->n] != NULL && !text.failed;
    fm_buf_clear(&text);
    if (!ok)
        return fm_err_nomem(err);
    *old = (struct fm_words){items, old->n + 1};
    return FM_OK;
}

enum fm_code fm_watch_prepare(struct fm_watch *w, const struct fm_words *words, struct fm_err *err)
{
    const char *part = NULL;
    w->words = words;
    w->interval_ms = w->opts->interval_ms > 0 && w->opts->interval_ms < INT_MAX
                         ? (unsigned)w->opts->interval_ms
                         : 1000;
    if (w->interval_ms < LEAST_INTERVAL_MS)
        return fm_err_set(err, FM_EUSAGE, "watch: --interval: at least %d ms", LEAST_INTERVAL_MS);
    if (words->n > 1 && w->opts->presets.n > 0)
        return fm_err_set(err, FM_EUSAGE, "watch: either BEAN or --preset, not both");
    if (words->n > 1 && strchr(words->items[1], ':') == NULL)
        return fm_err_set(err, FM_EUSAGE,
                          "watch: \"%.80s\" is no MBean name: it needs a colon, as in "
                          "java.lang:type=Memory",
                          words->items[1]);
    FM_TRY(override_presets(w, err));
    FM_TRY(fm_cmd_target(w->cli, words->items[0], &w->config, &w->target, &part, err));
    if (part != NULL)
        w->only = words->items[0];
    if (words->n > 1)
        FM_TRY(add_words(w, words, err));
    else if (w->opts->presets.n > 0)
        FM_TRY(add_presets(w, err));
    else
        FM_TRY(add_defaults(w, err));
    w->set.nonfinite = w->config->record.nonfinite;
    w->target.interval_ms = w->interval_ms;
    w->target.queries = w->rows;
    w->target.n_queries = w->n_queries;
    return FM_OK;
}
