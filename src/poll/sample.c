/* What was read becomes a sample: per bean and rule the attributes that the due queries want. */
#include <stdlib.h>
#include <string.h>

#include "poll/poll_priv.h"

static int compare_results(const void *a, const void *b)
{
    const struct fm_result *x = a, *y = b;
    return (x->bean > y->bean) - (x->bean < y->bean);
}

struct maker {
    struct fm_target *t;
    struct fm_sample_bean *beans;
    size_t n;
    size_t attributes;
};

/* The records of one bean: one for each rule among its queries. */
static enum fm_code make_bean(struct maker *m, const struct fm_result *result, struct fm_err *err)
{
    struct fm_target *t = m->t;
    const struct fm_bean *bean = &t->cache.beans[result->bean];
    const struct fm_query *queries[64];
    for (size_t i = 0; i < bean->n_queries; i++) {
        struct fm_rule *rule = t->opts->queries[bean->queries[i].query].rule;
        bool first = t->queries[bean->queries[i].query].due;
        for (size_t k = 0; first && k < i; k++)
            first = !t->queries[bean->queries[k].query].due ||
                    t->opts->queries[bean->queries[k].query].rule != rule;
        if (!first)
            continue;
        size_t n = 0;
        for (size_t k = i; k < bean->n_queries && n < sizeof queries / sizeof queries[0]; k++)
            if (t->queries[bean->queries[k].query].due &&
                t->opts->queries[bean->queries[k].query].rule == rule)
                queries[n++] = t->opts->queries[bean->queries[k].query].query;
        struct fm_value *value = fm_arena_alloc(&t->arena, sizeof *value);
        if (value == NULL)
            return fm_err_set(err, FM_ELIMIT, "max_bytes is reached");
        FM_TRY(fm_query_shape(value, queries, n, result->value, &t->arena, err));
        if (value->object.n == 0)
            continue;
        m->attributes += value->object.n;
        m->beans[m->n++] = (struct fm_sample_bean){&bean->name, value, rule};
    }
    return FM_OK;
}

enum fm_code fm_target_sample(struct fm_target *t, struct fm_err *err)
{
    if (t->n_results > 1)
        qsort(t->results, t->n_results, sizeof *t->results, compare_results);
    size_t max = 0;
    for (size_t i = 0; i < t->n_results; i++)
        max += t->cache.beans[t->results[i].bean].n_queries;
    struct maker m = {.t = t, .beans = calloc(max + 1, sizeof *m.beans)};
    if (m.beans == NULL)
        return fm_err_nomem(err);
    for (size_t i = 0; i < t->n_results; i++)
        if (make_bean(&m, &t->results[i], err) != FM_OK) {
            fm_target_note(t, "max_bytes is reached: %zu of %zu beans were left out",
                           t->n_results - i, t->n_results);
            t->over_bytes = true;
            break;
        }
    struct fm_sample sample = {.target = t->name,
                               .host = t->host,
                               .tags = t->tags,
                               .n_tags = t->n_tags,
                               .timestamp_ms = t->start_wall_ms,
                               .beans = m.beans,
                               .n = m.n};
    if (m.n > 0 && t->poll->hooks.sample != NULL && !atomic_load(&t->poll->stop))
        t->poll->hooks.sample(t->poll->hooks.arg, &sample);
    free(m.beans);
    (void)pthread_mutex_lock(&t->poll->lock);
    t->beans = t->n_results;
    t->attributes = m.attributes;
    (void)pthread_mutex_unlock(&t->poll->lock);
    return FM_OK;
}
