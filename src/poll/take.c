/* Taking over the answers of a round: identity, values, attributes, names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "poll/poll_priv.h"

enum { REASONS_PER_POLL = 16, HANG_MS = 60000, HANG_MAX_MS = 3600000 };

/* A query did not get what it wants: told to who listens, and an error unless it is silent. */
static void query_error(struct fm_target *t, const struct fm_bean *bean, const char *attribute,
                        const char *why, bool silent)
{
    const struct fm_poll_hooks *hooks = &t->poll->hooks;
    for (size_t i = 0; i < bean->n_queries; i++) {
        const struct fm_bean_query *bq = &bean->queries[i];
        struct fm_query_state *s = &t->queries[bq->query];
        if (!s->due || (attribute != NULL && !fm_has_text(bq->attributes, bq->n, attribute)))
            continue;
        if (hooks->refused != NULL && !atomic_load(&t->poll->stop))
            hooks->refused(hooks->arg,
                           &(struct fm_poll_refusal){t->name, t->opts->queries[bq->query].query,
                                                     bean->name.canonical, attribute, why, silent});
        if (silent)
            continue;
        s->now_errors++;
        if (s->now_error[0] == '\0') {
            (void)snprintf(s->now_error, sizeof s->now_error, "%.90s%s%.40s: %.60s",
                           bean->name.canonical, attribute != NULL ? " " : "",
                           attribute != NULL ? attribute : "", why);
            fm_utf8_cut(s->now_error);
        }
    }
}

static bool same_identity(const struct fm_target *t, const char *name, int64_t began)
{
    return t->jvm_name[0] == '\0' || (strcmp(t->jvm_name, name) == 0 && t->jvm_began_ms == began);
}

/* Runtime Name (pid@host) and StartTime: another JVM behind the same address must not be taken for
 * the one before. */
static void take_identity(struct fm_target *t, const struct fm_jmx_call *call)
{
    t->identity_read = true;
    const struct fm_value *name = fm_value_member(&call->value, "Name", 4);
    const struct fm_value *began = fm_value_member(&call->value, "StartTime", 9);
    if (call->code != FM_OK || name == NULL || name->kind != FM_V_STRING)
        return; /* not allowed, or no such bean: poll without */
    char text[sizeof t->jvm_name];
    (void)snprintf(text, sizeof text, "%s", name->text.ptr);
    fm_utf8_cut(text);
    int64_t began_ms = began != NULL && began->kind == FM_V_INT ? began->i : 0;
    if (!same_identity(t, text, began_ms)) {
        t->restarted = t->untold = true;
        fm_cache_clear(&t->cache);
        for (size_t q = 0; q < t->opts->n_queries; q++) {
            t->queries[q].names_ms = 0;
            t->queries[q].names_asked = false;
        }
        t->n_results = t->n_missing = 0;
    }
    (void)snprintf(t->jvm_name, sizeof t->jvm_name, "%s", text);
    t->jvm_began_ms = began_ms;
}

/* The member of that name; answers mostly come in the order asked, so look behind the last hit. */
static bool came(const struct fm_value *value, const char *name, size_t *hint)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < value->object.n; i++) {
        size_t at = (*hint + i) % value->object.n;
        const struct fm_text *key = &value->object.members[at].key;
        if (key->len == len && memcmp(key->ptr, name, len) == 0) {
            *hint = at + 1;
            return true;
        }
    }
    return false;
}

static void attribute_missing(struct fm_target *t, size_t index, const char *attribute)
{
    struct fm_bean *bean = &t->cache.beans[index];
    const struct fm_bad *bad = fm_cache_find_bad(bean, attribute);
    if (bad != NULL) {
        query_error(t, bean, attribute, bad->why, bad->silent);
        return;
    }
    if (t->n_missing >= sizeof t->missing / sizeof t->missing[0] ||
        t->reasons + t->n_missing >= REASONS_PER_POLL)
        return;
    char *copy = fm_arena_strndup(&t->arena, attribute, strlen(attribute));
    if (copy != NULL)
        t->missing[t->n_missing++] = (struct fm_missing){index, copy};
}

static bool add_result(struct fm_target *t, size_t bean, const struct fm_value *value)
{
    if (t->n_results == t->cap_results) {
        size_t cap = t->cap_results == 0 ? 32 : t->cap_results * 2;
        struct fm_result *results = realloc(t->results, cap * sizeof *results);
        if (results == NULL)
            return false;
        t->results = results;
        t->cap_results = cap;
    }
    struct fm_value *copy = fm_arena_alloc(&t->arena, sizeof *copy);
    if (copy == NULL)
        return false;
    *copy = *value; /* calls are used again; what the value points to stays in the arena */
    t->results[t->n_results++] = (struct fm_result){bean, copy};
    return true;
}

static void limit_reached(struct fm_target *t, const struct fm_bean *bean)
{
    fm_target_note(t, "max_bytes is reached: %.100s was left out, and maybe others",
                   bean->name.canonical);
    t->over_bytes = true;
}

/* What an answer about a bean cost, shared out to the queries that wanted it. */
static void take_cost(struct fm_target *t, const struct fm_bean *bean,
                      const struct fm_jmx_call *call)
{
    size_t sum = 0;
    for (size_t i = 0; i < bean->n_queries; i++)
        sum += t->queries[bean->queries[i].query].due ? bean->queries[i].n + 1 : 0;
    for (size_t i = 0; i < bean->n_queries; i++) {
        struct fm_query_state *s = &t->queries[bean->queries[i].query];
        double share = s->due ? (double)(bean->queries[i].n + 1) / (double)sum : 0;
        s->now_bytes += share * (double)call->bytes;
        s->now_ms += share * call->took_ms;
    }
}

static void take_read(struct fm_target *t, size_t index, const struct fm_jmx_call *call)
{
    struct fm_bean *bean = &t->cache.beans[index];
    if (call->code == FM_ENOTFOUND) {
        bean->vanished = true; /* until the next discovery, which comes at once */
        for (size_t i = 0; i < bean->n_queries; i++)
            t->queries[bean->queries[i].query].names_ms = 0;
        return;
    }
    if (call->code != FM_OK || call->value.kind != FM_V_OBJECT) {
        query_error(t, bean, NULL, fm_err_text(&call->err), false);
        if (call->code == FM_ELIMIT)
            limit_reached(t, bean);
        return;
    }
    bean->hangs = 0;
    bean->hang_until_ms = 0;
    if (!add_result(t, index, &call->value)) {
        query_error(t, bean, NULL, "max_bytes of the target is reached", false);
        limit_reached(t, bean);
        return;
    }
    size_t hint = 0;
    if (call->value.object.n < call->n_attributes)
        for (size_t i = 0; i < call->n_attributes; i++)
            if (!came(&call->value, call->attributes[i], &hint))
                attribute_missing(t, index, call->attributes[i]);
    for (size_t i = 0; i < bean->n_queries; i++) {
        const struct fm_bean_query *bq = &bean->queries[i];
        struct fm_query_state *s = &t->queries[bq->query];
        if (!s->due)
            continue;
        hint = 0;
        s->now_asked += bq->n;
        for (size_t k = 0; k < bq->n; k++)
            s->now_attributes += came(&call->value, bq->attributes[k], &hint);
    }
}

static void take_reason(struct fm_target *t, const struct fm_asked_what *asked,
                        const struct fm_jmx_call *call)
{
    struct fm_bean *bean = &t->cache.beans[asked->bean];
    if (call->code == FM_OK)
        return; /* it could be read this time */
    const char *why = fm_err_text(&call->err);
    bool silent =
        call->code == FM_ENOTFOUND || strstr(why, "UnsupportedOperationException") != NULL;
    fm_cache_bad(&t->cache, bean, asked->attribute, why, silent);
    query_error(t, bean, asked->attribute, why, silent);
}

static enum fm_code take_info(struct fm_target *t, size_t index, const struct fm_jmx_call *call,
                              struct fm_err *err)
{
    struct fm_bean *bean = &t->cache.beans[index];
    if (call->code == FM_OK) {
        bean->info_ms = t->start_ms;
        return fm_cache_info(&t->cache, bean, t->opts, &call->value, err);
    }
    if (call->code == FM_ENOTFOUND)
        bean->vanished = true;
    else
        query_error(t, bean, NULL, fm_err_text(&call->err), false);
    return FM_OK;
}

/* ---- names ---- */

static const struct fm_jmx_call *names_call(const struct fm_target *t, const char *pattern)
{
    for (size_t i = 0; i < t->n_calls; i++)
        if (t->asked[i].kind == FM_ASKED_NAMES && strcmp(t->calls[i].name, pattern) == 0)
            return &t->calls[i];
    return NULL;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of one answer that belong to the query. */
static enum fm_code filter_names(struct fm_target *t, size_t q, const struct fm_value *list,
                                 struct fm_err *err)
{
    struct fm_query_state *s = &t->queries[q];
    struct fm_arena parsed;
    fm_arena_init(&parsed, 0);
    enum fm_code code = FM_OK;
    const char **names = fm_arena_array(&t->scratch, s->n_names + list->array.n + 1, sizeof *names);
    if (names == NULL)
        return fm_err_set(err, FM_ELIMIT, "too many MBeans for max_bytes: narrow the patterns");
    if (s->n_names > 0)
        memcpy(names, s->names, s->n_names * sizeof *names);
    s->names = names;
    for (size_t i = 0; i < list->array.n; i++) {
        const struct fm_value *item = &list->array.items[i];
        struct fm_name name;
        fm_arena_reset(&parsed);
        if (item->kind == FM_V_STRING && strlen(item->text.ptr) == item->text.len &&
            fm_name_parse(&name, &parsed, item->text.ptr, NULL) == FM_OK &&
            fm_query_matches(t->opts->queries[q].query, &name, &parsed))
            s->names[s->n_names++] = item->text.ptr;
    }
    fm_arena_clear(&parsed);
    return code;
}

static enum fm_code take_query_names(struct fm_target *t, size_t q, struct fm_err *err)
{
    struct fm_query_state *s = &t->queries[q];
    const char *const *patterns = NULL;
    size_t n = fm_query_patterns(t->opts->queries[q].query, &patterns);
    s->names = NULL;
    s->n_names = 0;
    for (size_t i = 0; i < n; i++) {
        const struct fm_jmx_call *call = names_call(t, patterns[i]);
        if (call == NULL)
            return FM_OK; /* asked in an earlier round */
        s->now_bytes += (double)call->bytes;
        s->now_ms += call->took_ms;
        if (call->code != FM_OK || call->value.kind != FM_V_ARRAY) {
            s->now_errors++;
            (void)snprintf(s->now_error, sizeof s->now_error, "list of %.80s: %.100s", patterns[i],
                           fm_err_text(&call->err));
            fm_utf8_cut(s->now_error);
            return FM_OK; /* the old list stays */
        }
        FM_TRY(filter_names(t, q, &call->value, err));
    }
    s->refreshed = true;
    s->names_ms = t->start_ms;
    if (s->n_names > 1)
        qsort(s->names, s->n_names, sizeof *s->names, compare_texts);
    size_t unique = 0;
    for (size_t i = 0; i < s->n_names; i++)
        if (i == 0 || strcmp(s->names[i], s->names[i - 1]) != 0)
            s->names[unique++] = s->names[i];
    unsigned max = fm_query_max_beans(t->opts->queries[q].query);
    s->n_names = unique;
    s->now_matched = unique;
    if (unique > max) { /* sorted: the same ones every time */
        s->now_cut = true;
        s->n_names = max;
    }
    return FM_OK;
}

/* The results already read point into the old cache. */
static void remap(struct fm_target *t, const struct fm_cache *old)
{
    size_t kept = 0;
    for (size_t i = 0; i < t->n_results; i++) {
        size_t at = fm_cache_find(&t->cache, old->beans[t->results[i].bean].name.canonical);
        if (at != SIZE_MAX)
            t->results[kept++] = (struct fm_result){at, t->results[i].value};
    }
    t->n_results = kept;
    kept = 0;
    for (size_t i = 0; i < t->n_missing; i++) {
        size_t at = fm_cache_find(&t->cache, old->beans[t->missing[i].bean].name.canonical);
        if (at != SIZE_MAX)
            t->missing[kept++] = (struct fm_missing){at, t->missing[i].attribute};
    }
    t->n_missing = kept;
}

static enum fm_code take_names(struct fm_target *t, struct fm_err *err)
{
    bool any = false;
    for (size_t i = 0; !any && i < t->n_calls; i++)
        any = t->asked[i].kind == FM_ASKED_NAMES;
    if (!any)
        return FM_OK;
    any = false;
    for (size_t q = 0; q < t->opts->n_queries; q++) {
        t->queries[q].refreshed = false;
        if (t->queries[q].names_asked)
            FM_TRY(take_query_names(t, q, err));
        any = any || t->queries[q].refreshed;
    }
    if (!any)
        return FM_OK;
    struct fm_cache old = {0};
    FM_TRY(fm_cache_rebuild(&t->cache, &old, t->queries, t->opts, err));
    remap(t, &old);
    fm_cache_clear(&old);
    return FM_OK;
}

/* ---- a list that did not come to its end ---- */

/* One getter that hangs costs its own bean only: it is left out for a while, and whoever was read
 * before it counts. @return whether the poll is good without it */
static bool only_a_suspect_hangs(struct fm_target *t)
{
    if (t->list_code != FM_ETIMEOUT)
        return false;
    for (size_t i = 0; i < t->n_calls; i++) {
        if (t->calls[i].code == FM_OK || t->calls[i].code != FM_ETIMEOUT)
            continue;
        if (t->asked[i].kind == FM_ASKED_IDENTITY && i == 0)
            return false; /* the whole JVM hangs */
        if (t->asked[i].kind != FM_ASKED_READ && t->asked[i].kind != FM_ASKED_REASON)
            return false;
        struct fm_bean *bean = &t->cache.beans[t->asked[i].bean];
        bool known = bean->hangs > 0 || t->asked[i].kind == FM_ASKED_REASON;
        /* The first time it may have been the JVM's fault (a long collection): it is only asked
         * last from now on, so that the others are safe. */
        int64_t wait = bean->hangs == 0 ? 0 : HANG_MS;
        for (unsigned k = 1; k < bean->hangs && wait < HANG_MAX_MS; k++)
            wait *= 2;
        bean->hangs++;
        bean->hang_until_ms = fm_clock_ms() + (wait < HANG_MAX_MS ? wait : HANG_MAX_MS);
        query_error(t, bean, NULL, "did not answer in time", false);
        fm_target_note(t, "%.120s did not answer in time%s", bean->name.canonical,
                       wait > 0 ? "; it is left out for a while" : "");
        /* What is behind it is only suspects, which come last. */
        return known;
    }
    return false;
}

enum fm_code fm_round_take(struct fm_target *t, struct fm_err *err)
{
    bool partial = t->list_code != FM_OK && only_a_suspect_hangs(t);
    if (t->list_code != FM_OK && !partial)
        return fm_err_set(err, t->list_code, "%s", fm_err_text(&t->list_err));
    for (size_t i = 0; i < t->n_calls; i++)
        if (t->asked[i].kind == FM_ASKED_IDENTITY)
            take_identity(t, &t->calls[i]);
    if (t->restarted && t->rounds == 1) { /* this round was meant for another JVM: ask anew */
        for (size_t q = 0; q < t->opts->n_queries; q++)
            t->queries[q].now_asked = t->queries[q].now_errors = t->queries[q].now_attributes = 0;
        return FM_OK; /* what that cost stays with the target */
    }
    for (size_t i = 0; i < t->n_calls; i++) {
        const struct fm_jmx_call *call = &t->calls[i];
        if (partial && call->code == FM_ETIMEOUT)
            continue;
        switch (t->asked[i].kind) {
        case FM_ASKED_READ:
            take_cost(t, &t->cache.beans[t->asked[i].bean], call);
            take_read(t, t->asked[i].bean, call);
            break;
        case FM_ASKED_INFO:
            take_cost(t, &t->cache.beans[t->asked[i].bean], call);
            FM_TRY(take_info(t, t->asked[i].bean, call, err));
            break;
        case FM_ASKED_REASON:
            take_cost(t, &t->cache.beans[t->asked[i].bean], call);
            take_reason(t, &t->asked[i], call);
            break;
        case FM_ASKED_IDENTITY:
        case FM_ASKED_NAMES:
            break;
        }
    }
    return take_names(t, err);
}
