#include "cli/series.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/table.h"

enum { FORGET_AFTER = 3 /* samples */ };

static void series_free(struct fm_series *s)
{
    if (s == NULL)
        return;
    free(s->target);
    free(s->bean);
    free(s->path);
    free(s->label);
    fm_buf_clear(&s->text);
    fm_buf_clear(&s->json);
    free(s);
}

void fm_series_clear(struct fm_series_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        series_free(set->items[i]);
    free(set->items);
    *set = (struct fm_series_set){.nonfinite = set->nonfinite};
}

/* ---- names ---- */

/* The values of a name's properties say more than the whole name, type first: of java.lang, which
 * everybody knows, without the domain. */
static char *make_label(const struct fm_name *name, const char *path)
{
    struct fm_buf label;
    fm_buf_init(&label, 0);
    if (strcmp(name->domain, "java.lang") != 0)
        fm_buf_printf(&label, "%s ", name->domain);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < name->n; i++)
            if ((strcmp(name->props[i].key, "type") == 0) == (round == 0))
                fm_buf_printf(&label, "%s ", name->props[i].value);
    fm_buf_puts(&label, path);
    return fm_buf_take(&label);
}

/* ---- finding ---- */

struct taking {
    struct fm_series_set *set;
    const struct fm_sample *sample;
    const struct fm_name *name; /* of the bean at hand */
    int64_t now_ns;
    struct fm_buf path;
};

static bool is_it(const struct fm_series *s, const struct taking *t, const char *path)
{
    return strcmp(s->path, path) == 0 && strcmp(s->bean, t->name->canonical) == 0 &&
           strcmp(s->target, t->sample->target) == 0;
}

static struct fm_series *insert(const struct taking *t, const char *path)
{
    struct fm_series_set *set = t->set;
    if (set->n == set->room) {
        size_t room = set->room == 0 ? 64 : 2 * set->room;
        struct fm_series **items = realloc(set->items, room * sizeof(*items));
        if (items == NULL)
            return NULL;
        set->items = items;
        set->room = room;
    }
    struct fm_series *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->target = strdup(t->sample->target);
    s->bean = strdup(t->name->canonical);
    s->path = strdup(path);
    s->label = make_label(t->name, path);
    s->counts = fm_series_counts(t->name->domain, path);
    if (s->target == NULL || s->bean == NULL || s->path == NULL || s->label == NULL) {
        series_free(s);
        return NULL;
    }
    memmove(&set->items[set->at + 1], &set->items[set->at],
            (set->n - set->at) * sizeof(*set->items));
    set->items[set->at] = s;
    set->n++;
    return s;
}

/* The series of the path at hand. Samples repeat themselves, so it is nearly always the next. */
static struct fm_series *find(struct taking *t)
{
    struct fm_series_set *set = t->set;
    const char *path = fm_buf_str(&t->path);
    for (size_t k = 0; k < set->n; k++) {
        size_t i = (set->at + k) % set->n;
        if (is_it(set->items[i], t, path)) {
            set->at = i + 1;
            return set->items[i];
        }
    }
    if (set->n == FM_SERIES_MAX) {
        set->left_out++;
        return NULL;
    }
    struct fm_series *s = insert(t, path);
    set->at += s != NULL;
    set->failed = set->failed || s == NULL;
    return s;
}

/* ---- values ---- */

static bool to_number(const struct fm_value *v, struct fm_series *s)
{
    s->whole = v->kind == FM_V_INT;
    switch (v->kind) {
    case FM_V_INT:
        s->integer = v->i;
        s->number = (double)v->i;
        return true;
    case FM_V_FLOAT:
        s->number = (double)v->f;
        return isfinite(s->number);
    case FM_V_DOUBLE:
        s->number = v->d;
        return isfinite(s->number);
    case FM_V_NUMBER:
        s->number = strtod(v->text.ptr, NULL);
        return isfinite(s->number);
    default:
        return false;
    }
}

static void put_history(struct fm_series *s, double point)
{
    s->history[s->n_history++ % FM_SERIES_HISTORY] = point;
}

/* The difference of large integers is exact, even where double is not. */
static double difference(const struct fm_series *now, const struct fm_series *old)
{
    int64_t exact = 0;
    if (now->whole && old->whole && !__builtin_sub_overflow(now->integer, old->integer, &exact))
        return (double)exact;
    return now->number - old->number;
}

static void follow(struct fm_series *s, const struct fm_series *old, int64_t now_ns)
{
    s->has_rate = false;
    if (old->time_ns != 0 && old->is_number && now_ns > old->time_ns) {
        double more = difference(s, old);
        /* What stays within 1 and has a fraction is a share or a load, not a count. */
        bool share = !s->whole && fabs(s->number) <= 1;
        s->fell = s->fell || more < 0;
        s->has_rate = s->counts && !s->fell && !share;
        if (s->has_rate)
            s->rate = more * 1e9 / (double)(now_ns - old->time_ns);
    } else if (s->of_rates) {
        return; /* the next sample has a rate again */
    }
    if (s->has_rate != s->of_rates)
        s->n_history = 0; /* its past is of another kind */
    s->of_rates = s->has_rate;
    put_history(s, s->has_rate ? s->rate : s->number);
}

static void put_value(struct taking *t, const struct fm_value *v)
{
    struct fm_series *s = find(t);
    if (s == NULL)
        return;
    struct fm_series old = *s; /* its numbers only */
    fm_buf_reset(&s->text);
    fm_buf_reset(&s->json);
    fm_text_value(&s->text, v, true, t->set->nonfinite);
    fm_value_print(&s->json, v, t->set->nonfinite);
    s->is_number = to_number(v, s);
    s->here = true;
    s->absent = 0;
    if (s->is_number)
        follow(s, &old, t->now_ns);
    else
        s->has_rate = false;
    s->time_ns = t->now_ns;
}

static void walk(struct taking *t, const struct fm_value *v, unsigned depth)
{
    if (v->kind != FM_V_OBJECT || v->object.n == 0 || depth == FM_SERIES_DEPTH) {
        put_value(t, v);
        return;
    }
    size_t len = t->path.len;
    for (size_t i = 0; i < v->object.n; i++) {
        const struct fm_member *m = &v->object.members[i];
        fm_value_put_step(&t->path, m->key.ptr, m->key.len);
        walk(t, &m->value, depth + 1);
        fm_buf_truncate(&t->path, len);
    }
}

/* ---- a sample ---- */

static size_t first_of(const struct fm_series_set *set, const char *target)
{
    for (size_t i = 0; i < set->n; i++)
        if (strcmp(set->items[i]->target, target) == 0)
            return i;
    return set->n;
}

static void forget(struct fm_series_set *set, const char *target)
{
    size_t kept = 0;
    for (size_t i = 0; i < set->n; i++) {
        struct fm_series *s = set->items[i];
        if (!s->here && strcmp(s->target, target) == 0) {
            s->absent++;
            s->time_ns = 0;
            s->has_rate = false;
        }
        if (s->absent >= FORGET_AFTER)
            series_free(s);
        else
            set->items[kept++] = s;
    }
    set->n = kept;
}

void fm_series_take(struct fm_series_set *set, const struct fm_sample *sample, int64_t now_ns)
{
    struct taking t = {.set = set, .sample = sample, .now_ns = now_ns};
    fm_buf_init(&t.path, 0);
    for (size_t i = 0; i < set->n; i++)
        if (strcmp(set->items[i]->target, sample->target) == 0)
            set->items[i]->here = false;
    set->at = first_of(set, sample->target);
    set->left_out = 0;
    set->failed = false;
    for (size_t i = 0; i < sample->n; i++) {
        const struct fm_value *attributes = sample->beans[i].attributes;
        t.name = sample->beans[i].name;
        if (attributes->object.n > 0)
            walk(&t, attributes, 0);
    }
    set->failed = set->failed || t.path.failed;
    fm_buf_clear(&t.path);
    forget(set, sample->target);
}

void fm_series_restart(struct fm_series_set *set, const char *target)
{
    for (size_t i = 0; i < set->n; i++) {
        struct fm_series *s = set->items[i];
        if (strcmp(s->target, target) != 0)
            continue;
        s->time_ns = 0;
        s->n_history = 0;
        s->has_rate = s->of_rates = s->fell = false;
    }
}

size_t fm_series_points(const struct fm_series *series, double *out, size_t max)
{
    size_t n = series->n_history < FM_SERIES_HISTORY ? series->n_history : FM_SERIES_HISTORY;
    n = n < max ? n : max;
    for (size_t i = 0; i < n; i++)
        out[i] = series->history[(series->n_history - n + i) % FM_SERIES_HISTORY];
    return n;
}
