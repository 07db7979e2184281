/* The beans of a target: which there are, which query wants which of their attributes. */
#include <stdlib.h>
#include <string.h>

#include "poll/poll_priv.h"

enum { DEFAULT_MAX_BEANS = 20000 };

struct entry { /* a bean that a query wants */
    const char *name;
    size_t query;
};

struct builder {
    const struct fm_cache *old;
    struct fm_cache *made;
    const struct fm_poll_target_opts *opts;
    struct entry *entries;
    size_t n;
    struct fm_bean_query *literal; /* per query: its literal attributes, copied once */
};

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    if (order != 0)
        return order;
    return (x->query > y->query) - (x->query < y->query);
}

static int compare_bean(const void *key, const void *bean)
{
    return strcmp(key, ((const struct fm_bean *)bean)->name.canonical);
}

static enum fm_code no_room(const struct fm_arena *arena, struct fm_err *err)
{
    if (arena->over_limit)
        return fm_err_set(err, FM_ELIMIT, "too many beans for max_bytes: narrow the patterns");
    return fm_err_nomem(err);
}

static const char *const *copy_texts(struct fm_arena *arena, const char *const *from, size_t n)
{
    const char **to = fm_arena_array(arena, n + 1, sizeof *to);
    for (size_t i = 0; to != NULL && i < n; i++) {
        to[i] = fm_arena_strndup(arena, from[i], strlen(from[i]));
        if (to[i] == NULL)
            return NULL;
    }
    return to;
}

/* All (bean, query) pairs, sorted. */
static enum fm_code collect(struct builder *b, const struct fm_query_state *states,
                            struct fm_err *err)
{
    size_t max = 0;
    for (size_t q = 0; q < b->opts->n_queries; q++)
        max += states[q].refreshed ? states[q].n_names : 0;
    for (size_t i = 0; i < b->old->n; i++)
        max += b->old->beans[i].n_queries;
    b->entries = calloc(max + 1, sizeof *b->entries);
    if (b->entries == NULL)
        return fm_err_nomem(err);
    for (size_t q = 0; q < b->opts->n_queries; q++)
        for (size_t i = 0; states[q].refreshed && i < states[q].n_names; i++)
            b->entries[b->n++] = (struct entry){states[q].names[i], q};
    for (size_t i = 0; i < b->old->n; i++)
        for (size_t k = 0; k < b->old->beans[i].n_queries; k++) {
            size_t q = b->old->beans[i].queries[k].query;
            if (!states[q].refreshed)
                b->entries[b->n++] = (struct entry){b->old->beans[i].name.canonical, q};
        }
    qsort(b->entries, b->n, sizeof *b->entries, compare_entries);
    return FM_OK;
}

static enum fm_code copy_literals(struct builder *b, struct fm_err *err)
{
    struct fm_arena *arena = &b->made->arena;
    b->literal = fm_arena_array(arena, b->opts->n_queries + 1, sizeof *b->literal);
    if (b->literal == NULL)
        return no_room(arena, err);
    for (size_t q = 0; q < b->opts->n_queries; q++) {
        struct fm_bean_query *to = &b->literal[q];
        const char *const *names = NULL;
        to->query = q;
        to->known = fm_query_literal(b->opts->queries[q].query, &names, &to->n);
        if (to->known && (to->attributes = copy_texts(arena, names, to->n)) == NULL)
            return no_room(arena, err);
    }
    return FM_OK;
}

static const struct fm_bean_query *find_query(const struct fm_bean *bean, size_t query)
{
    for (size_t i = 0; bean != NULL && i < bean->n_queries; i++)
        if (bean->queries[i].query == query)
            return &bean->queries[i];
    return NULL;
}

static enum fm_code keep_old(struct fm_bean *bean, const struct fm_bean *old, struct fm_cache *made,
                             struct fm_err *err)
{
    bean->info_ms = old->info_ms;
    bean->hang_until_ms = old->hang_until_ms;
    bean->hangs = old->hangs;
    bean->read_asked = old->read_asked;
    bean->info_asked = old->info_asked;
    bean->info_round = old->info_round;
    for (const struct fm_bad *bad = old->bad; bad != NULL; bad = bad->next)
        fm_cache_bad(made, bean, bad->attribute, bad->why, bad->silent);
    for (size_t i = 0; i < bean->n_queries; i++) {
        struct fm_bean_query *to = &bean->queries[i];
        const struct fm_bean_query *from = find_query(old, to->query);
        if (to->known || from == NULL || !from->known)
            continue;
        to->n = from->n;
        to->attributes = copy_texts(&made->arena, from->attributes, from->n);
        if (to->attributes == NULL)
            return no_room(&made->arena, err);
        to->known = true;
    }
    return FM_OK;
}

/* One bean from its n entries. */
static enum fm_code add_bean(struct builder *b, const struct entry *entries, size_t n,
                             struct fm_err *err)
{
    struct fm_cache *made = b->made;
    struct fm_bean *bean = &made->beans[made->n];
    *bean = (struct fm_bean){0};
    if (fm_name_parse(&bean->name, &made->arena, entries[0].name, NULL) != FM_OK)
        return made->arena.over_limit ? no_room(&made->arena, err) : FM_OK; /* a name of nonsense */
    bean->queries = fm_arena_array(&made->arena, n, sizeof *bean->queries);
    if (bean->queries == NULL)
        return no_room(&made->arena, err);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || entries[i].query != entries[i - 1].query)
            bean->queries[bean->n_queries++] = b->literal[entries[i].query];
    made->n++;
    size_t at = fm_cache_find(b->old, bean->name.canonical);
    return at == SIZE_MAX ? FM_OK : keep_old(bean, &b->old->beans[at], made, err);
}

static enum fm_code build(struct builder *b, struct fm_err *err)
{
    FM_TRY(copy_literals(b, err));
    size_t groups = 0, max = b->opts->max_beans != 0 ? b->opts->max_beans : DEFAULT_MAX_BEANS;
    for (size_t i = 0; i < b->n; i++)
        groups += i == 0 || strcmp(b->entries[i].name, b->entries[i - 1].name) != 0;
    b->made->cut = groups > max;
    if (groups > max)
        groups = max;
    b->made->beans = fm_arena_array(&b->made->arena, groups + 1, sizeof *b->made->beans);
    if (b->made->beans == NULL)
        return no_room(&b->made->arena, err);
    for (size_t i = 0, n = 0; i < b->n && groups > 0; i += n, groups--) {
        for (n = 1; i + n < b->n && strcmp(b->entries[i].name, b->entries[i + n].name) == 0;)
            n++;
        FM_TRY(add_bean(b, &b->entries[i], n, err));
    }
    return FM_OK;
}

size_t fm_cache_find(const struct fm_cache *cache, const char *canonical)
{
    const struct fm_bean *bean = cache->n == 0 ? NULL
                                               : bsearch(canonical, cache->beans, cache->n,
                                                         sizeof *cache->beans, compare_bean);
    return bean == NULL ? SIZE_MAX : (size_t)(bean - cache->beans);
}

enum fm_code fm_cache_rebuild(struct fm_cache *cache, struct fm_cache *old,
                              const struct fm_query_state *states,
                              const struct fm_poll_target_opts *opts, struct fm_err *err)
{
    struct fm_cache made = {0};
    fm_arena_init(&made.arena, cache->arena.max);
    struct builder b = {.old = cache, .made = &made, .opts = opts};
    enum fm_code code = collect(&b, states, err);
    if (code == FM_OK)
        code = build(&b, err);
    free(b.entries);
    if (code != FM_OK) {
        fm_arena_clear(&made.arena);
        return code;
    }
    *old = *cache;
    *cache = made;
    return FM_OK;
}

void fm_cache_clear(struct fm_cache *cache)
{
    fm_arena_clear(&cache->arena);
    cache->beans = NULL;
    cache->n = 0;
    cache->cut = false;
}

enum fm_code fm_cache_info(struct fm_cache *cache, struct fm_bean *bean,
                           const struct fm_poll_target_opts *opts, const struct fm_value *info,
                           struct fm_err *err)
{
    for (size_t i = 0; i < bean->n_queries; i++) {
        struct fm_bean_query *to = &bean->queries[i];
        const char *const *names = NULL;
        size_t n = 0;
        if (fm_query_literal(opts->queries[to->query].query, &names, &n))
            continue;
        FM_TRY(
            fm_query_select(opts->queries[to->query].query, info, &names, &n, &cache->arena, err));
        to->attributes = copy_texts(&cache->arena, names, n);
        if (to->attributes == NULL)
            return no_room(&cache->arena, err);
        to->n = n;
        to->known = true;
    }
    return FM_OK;
}

const struct fm_bad *fm_cache_find_bad(const struct fm_bean *bean, const char *attribute)
{
    for (const struct fm_bad *bad = bean->bad; bad != NULL; bad = bad->next)
        if (strcmp(bad->attribute, attribute) == 0)
            return bad;
    return NULL;
}

void fm_cache_bad(struct fm_cache *cache, struct fm_bean *bean, const char *attribute,
                  const char *why, bool silent)
{
    struct fm_bad *bad = fm_arena_alloc(&cache->arena, sizeof *bad);
    if (bad == NULL || fm_cache_find_bad(bean, attribute) != NULL)
        return; /* without memory it is asked again: no harm */
    size_t len = strlen(why);
    bad->attribute = fm_arena_strndup(&cache->arena, attribute, strlen(attribute));
    bad->why = fm_arena_strndup(&cache->arena, why, len < 200 ? len : 200);
    bad->silent = silent;
    if (bad->attribute == NULL || bad->why == NULL)
        return;
    bad->next = bean->bad;
    bean->bad = bad;
}
