/* The calls of a poll. A poll is one round when the beans and their attributes are known: identity
 * and all values in one list. What is not known is asked in rounds before: names, then attributes.
 */
#include <stdlib.h>
#include <string.h>

#include "poll/poll_priv.h"

enum {
    INFO_PER_ROUND = 512,
    INFO_REFRESH = 50, /* per poll, of beans whose INFO is old */
    INFO_REFRESH_TIMES = 10, /* as many discovery times as an INFO is trusted */
    MAX_ROUNDS = 256,
    DEFAULT_DISCOVERY_MS = 60000
};

static const char runtime_bean[] = "java.lang:type=Runtime";
static const char *const identity_attributes[] = {"Name", "StartTime"};

static unsigned query_interval(const struct fm_target *t, size_t q)
{
    unsigned own = t->opts->queries[q].interval_ms;
    return own > t->interval_ms ? own : t->interval_ms;
}

void fm_round_begin(struct fm_target *t)
{
    fm_arena_reset(&t->arena);
    fm_arena_reset(&t->scratch);
    t->n_results = t->n_missing = t->n_calls = 0;
    t->identity_read = t->restarted = t->list_done = false;
    t->rounds = t->reasons = 0;
    t->cost = (struct fm_jmx_cost){0};
    t->left_out[0] = '\0';
    t->over_bytes = false;
    for (size_t q = 0; q < t->opts->n_queries; q++) {
        struct fm_query_state *s = &t->queries[q];
        s->due = s->read_ms == 0 || query_interval(t, q) <= t->interval_ms ||
                 t->start_ms - s->read_ms + t->interval_ms / 2 >= query_interval(t, q);
        s->names_asked = s->refreshed = s->now_cut = false;
        s->now_asked = s->now_attributes = s->now_errors = 0;
        s->now_bytes = s->now_ms = 0;
        s->now_error[0] = '\0';
    }
    for (size_t i = 0; i < t->cache.n; i++)
        t->cache.beans[i].read_asked = t->cache.beans[i].info_asked = false;
}

/* ---- building ---- */

static bool add_call(struct fm_target *t, const struct fm_jmx_call *call,
                     const struct fm_asked_what *what)
{
    if (t->n_calls == t->cap_calls) {
        size_t cap = t->cap_calls == 0 ? 32 : t->cap_calls * 2;
        struct fm_jmx_call *calls = realloc(t->calls, cap * sizeof *calls);
        if (calls != NULL)
            t->calls = calls;
        struct fm_asked_what *asked = realloc(t->asked, cap * sizeof *asked);
        if (asked != NULL)
            t->asked = asked;
        if (calls == NULL || asked == NULL)
            return false;
        t->cap_calls = cap;
    }
    t->calls[t->n_calls] = *call;
    t->asked[t->n_calls++] = *what;
    return true;
}

static bool names_due(const struct fm_target *t, size_t q)
{
    const struct fm_query_state *s = &t->queries[q];
    unsigned discovery = t->opts->queries[q].discovery_ms;
    if (discovery == 0)
        discovery = DEFAULT_DISCOVERY_MS;
    return s->due && !s->names_asked &&
           (s->names_ms == 0 || t->start_ms - s->names_ms + t->interval_ms / 2 >= discovery);
}

static bool add_names(struct fm_target *t)
{
    size_t first = t->n_calls;
    for (size_t q = 0; q < t->opts->n_queries; q++) {
        if (!names_due(t, q))
            continue;
        t->queries[q].names_asked = true;
        const char *const *patterns = NULL;
        size_t n = fm_query_patterns(t->opts->queries[q].query, &patterns);
        for (size_t i = 0; i < n; i++) {
            bool there = false; /* several queries may ask for the same */
            for (size_t k = first; !there && k < t->n_calls; k++)
                there = strcmp(t->calls[k].name, patterns[i]) == 0;
            if (there)
                continue;
            /* A copy: the query may be replaced (reload) while the answer is on its way. */
            const char *pattern = fm_arena_strndup(&t->scratch, patterns[i], strlen(patterns[i]));
            struct fm_jmx_call call = {.op = FM_JMX_NAMES, .name = pattern};
            if (pattern == NULL ||
                !add_call(t, &call, &(struct fm_asked_what){FM_ASKED_NAMES, 0, NULL}))
                return false;
        }
    }
    return true;
}

static bool needs_info(const struct fm_target *t, const struct fm_bean *bean)
{
    for (size_t i = 0; i < bean->n_queries; i++)
        if (!bean->queries[i].known && t->queries[bean->queries[i].query].due)
            return true;
    return false;
}

static bool info_is_old(const struct fm_target *t, const struct fm_bean *bean)
{
    return bean->info_ms != 0 &&
           t->start_ms - bean->info_ms > (int64_t)INFO_REFRESH_TIMES * DEFAULT_DISCOVERY_MS;
}

static bool add_infos(struct fm_target *t)
{
    unsigned wanted = 0, refreshed = t->rounds == 0 ? 0 : INFO_REFRESH;
    for (size_t i = 0; i < t->cache.n && wanted < INFO_PER_ROUND; i++) {
        struct fm_bean *bean = &t->cache.beans[i];
        if (bean->info_asked || bean->vanished || bean->hang_until_ms > t->start_ms)
            continue;
        if (!needs_info(t, bean) && (refreshed >= INFO_REFRESH || !info_is_old(t, bean)))
            continue;
        refreshed += !needs_info(t, bean);
        bean->info_asked = true;
        bean->info_round = t->rounds;
        wanted++;
        struct fm_jmx_call call = {.op = FM_JMX_INFO, .name = bean->name.canonical};
        if (!add_call(t, &call, &(struct fm_asked_what){FM_ASKED_INFO, i, NULL}))
            return false;
    }
    return true;
}

bool fm_has_text(const char *const *list, size_t n, const char *text)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == text || strcmp(list[i], text) == 0)
            return true;
    return false;
}

/* What the due queries of a bean want, without what is known not to be there. */
static bool wanted_attributes(struct fm_target *t, const struct fm_bean *bean,
                              const char *const **out, size_t *n)
{
    size_t max = 0, sources = 0;
    *n = 0;
    for (size_t i = 0; i < bean->n_queries; i++)
        if (t->queries[bean->queries[i].query].due && bean->queries[i].known) {
            max += bean->queries[i].n;
            *out = bean->queries[i].attributes;
            sources++;
        }
    if (sources == 1 && bean->bad == NULL) {
        *n = max;
        return true;
    }
    const char **list = fm_arena_array(&t->arena, max + 1, sizeof *list);
    if (list == NULL)
        return false;
    for (size_t i = 0; i < bean->n_queries; i++) {
        const struct fm_bean_query *bq = &bean->queries[i];
        for (size_t k = 0; t->queries[bq->query].due && bq->known && k < bq->n; k++) {
            const struct fm_bad *bad = fm_cache_find_bad(bean, bq->attributes[k]);
            if ((bad == NULL || !bad->silent) &&
                (sources == 1 || !fm_has_text(list, *n, bq->attributes[k])))
                list[(*n)++] = bq->attributes[k];
        }
    }
    *out = list;
    return true;
}

/* @param suspects  only beans that hung a poll before: they come last */
static bool add_reads(struct fm_target *t, bool suspects)
{
    for (size_t i = 0; i < t->cache.n; i++) {
        struct fm_bean *bean = &t->cache.beans[i];
        if (bean->read_asked || bean->vanished || (bean->hangs > 0) != suspects ||
            bean->hang_until_ms > t->start_ms)
            continue;
        /* Wait for its INFO, but not for ever: without it the other queries are read. */
        if (needs_info(t, bean) && (!bean->info_asked || bean->info_round == t->rounds))
            continue;
        const char *const *attributes = NULL;
        size_t n = 0;
        if (!wanted_attributes(t, bean, &attributes, &n))
            return false;
        bean->read_asked = true;
        if (n == 0)
            continue;
        t->values_round = true;
        struct fm_jmx_call call = {.op = FM_JMX_READ,
                                   .name = bean->name.canonical,
                                   .attributes = attributes,
                                   .n_attributes = n};
        if (!add_call(t, &call, &(struct fm_asked_what){FM_ASKED_READ, i, NULL}))
            return false;
    }
    return true;
}

static bool add_reasons(struct fm_target *t)
{
    for (size_t i = 0; i < t->n_missing; i++) {
        const struct fm_missing *m = &t->missing[i];
        t->reasons++;
        struct fm_jmx_call call = {.op = FM_JMX_REASON,
                                   .name = t->cache.beans[m->bean].name.canonical,
                                   .attributes = &t->missing[i].attribute,
                                   .n_attributes = 1};
        if (!add_call(t, &call, &(struct fm_asked_what){FM_ASKED_REASON, m->bean, m->attribute}))
            return false;
    }
    t->n_missing = 0;
    return true;
}

static bool add_identity(struct fm_target *t)
{
    if (t->identity_read)
        return true;
    t->values_round = true;
    struct fm_jmx_call call = {.op = FM_JMX_READ,
                               .name = runtime_bean,
                               .attributes = identity_attributes,
                               .n_attributes = 2};
    return add_call(t, &call, &(struct fm_asked_what){FM_ASKED_IDENTITY, 0, NULL});
}

enum fm_code fm_round_build(struct fm_target *t, bool *more, struct fm_err *err)
{
    t->n_calls = 0;
    t->values_round = false;
    *more = false;
    if (t->rounds > 0)
        fm_arena_reset(&t->scratch);
    if (t->rounds >= MAX_ROUNDS)
        return FM_OK;
    if (!add_identity(t) || !add_names(t) || !add_infos(t) || !add_reasons(t) ||
        !add_reads(t, false) || !add_reads(t, true)) {
        if (t->arena.over_limit)
            return fm_err_set(err, FM_ELIMIT, "the poll needs more memory than max_bytes allows");
        return fm_err_nomem(err);
    }
    t->rounds++;
    *more = t->n_calls > 0;
    return FM_OK;
}
