/* Which attributes a query takes, and the form of a record's attributes. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "jmx/query_priv.h"

enum { MAX_DEPTH = 64 }; /* of values looked into; deeper ones are taken as they are */

bool fm_query_sensitive(const char *name)
{
    static const char *const names[] = {"SystemProperties", "ClassPath", "InputArguments",
                                        "FirstMessageAsJSON"};
    static const char *const words[] = {"password", "secret", "token"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasestr(name, words[i]) != NULL)
            return true;
    return false;
}

static size_t step(const char *text)
{
    size_t n = fm_utf8_step(text, strnlen(text, 4));
    return n > 0 ? n : 1;
}

bool fm_query_part_match(const struct fm_query_part *part, const char *name)
{
    if (!part->wild)
        return strcmp(part->text, name) == 0;
    const char *p = part->text, *star = NULL, *back = NULL;
    while (*name != '\0') {
        if (*p == FM_QUERY_STAR) {
            star = p++;
            back = name;
        } else if (*p == FM_QUERY_ANY) {
            p++;
            name += step(name);
        } else if (*p == *name) {
            p++;
            name++;
        } else if (star != NULL) {
            p = star + 1;
            name = ++back;
        } else {
            return false;
        }
    }
    while (*p == FM_QUERY_STAR)
        p++;
    return *p == '\0';
}

/* An include's part takes a name: sensitive ones only when spelled out. */
static bool takes(const struct fm_query_part *part, const char *name)
{
    return fm_query_part_match(part, name) && (!part->wild || !fm_query_sensitive(name));
}

bool fm_query_excluded(const struct fm_query_path *paths, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (paths[i].exclude && paths[i].n == 1 && fm_query_part_match(&paths[i].parts[0], name))
            return true;
    return false;
}

static bool wanted(const struct fm_query_path *paths, size_t n, const char *name)
{
    bool found = false;
    for (size_t i = 0; !found && i < n; i++)
        found = !paths[i].exclude && takes(&paths[i].parts[0], name);
    return found && !fm_query_excluded(paths, n, name);
}

enum fm_code fm_query_select(const struct fm_query *query, const struct fm_value *info,
                             const char *const **names, size_t *n, struct fm_arena *arena,
                             struct fm_err *err)
{
    size_t n_paths = 0;
    const struct fm_query_path *paths = fm_query_paths(query, &n_paths);
    const struct fm_value *list = fm_value_member(info, "attributes", 10);
    *names = NULL;
    *n = 0;
    if (list == NULL || list->kind != FM_V_ARRAY)
        return FM_OK;
    const char **found = fm_arena_array(arena, list->array.n + 1, sizeof *found);
    if (found == NULL)
        return fm_err_set(err, arena->over_limit ? FM_ELIMIT : FM_ENOMEM,
                          "no room for the names of %zu attributes", list->array.n);
    for (size_t i = 0; i < list->array.n; i++) {
        const struct fm_value *item = &list->array.items[i];
        const struct fm_value *name = fm_value_member(item, "name", 4);
        const struct fm_value *readable = fm_value_member(item, "readable", 8);
        if (name == NULL || name->kind != FM_V_STRING ||
            (readable != NULL && readable->kind == FM_V_BOOL && !readable->b))
            continue;
        if (wanted(paths, n_paths, name->text.ptr))
            found[(*n)++] = name->text.ptr;
    }
    *names = found;
    return FM_OK;
}

/* ---- shaping ---- */

/* The paths that reached an object, at one depth. */
struct reach {
    const struct fm_query_path **paths;
    size_t n;
    size_t depth; /* parts already matched */
    bool whole; /* an include took all of it ... */
    bool spelled; /* ... by its full name, so that sensitive keys in it are wanted too */
};

struct shaper {
    struct fm_arena *arena;
    bool no_memory;
};

static void *get(struct shaper *s, size_t n, size_t size)
{
    void *p = fm_arena_array(s->arena, n, size);
    s->no_memory = s->no_memory || p == NULL;
    return p;
}

static bool shape_value(struct shaper *s, const struct fm_value *in, const struct reach *reach,
                        struct fm_value *out);

/* What of the paths goes on below this key. @return false: the key is excluded */
static bool descend(struct shaper *s, const struct reach *reach, const char *key, struct reach *out)
{
    *out =
        (struct reach){.depth = reach->depth + 1, .whole = reach->whole, .spelled = reach->spelled};
    if (reach->whole && !reach->spelled && fm_query_sensitive(key))
        out->whole = false;
    if (reach->n == 0)
        return true;
    out->paths = get(s, reach->n, sizeof(const struct fm_query_path *));
    for (size_t i = 0; out->paths != NULL && i < reach->n; i++) {
        const struct fm_query_path *path = reach->paths[i];
        const struct fm_query_part *part = &path->parts[reach->depth];
        if (path->exclude ? !fm_query_part_match(part, key) : !takes(part, key))
            continue;
        if (path->n > out->depth) {
            out->paths[out->n++] = path;
        } else if (path->exclude) {
            return false;
        } else {
            out->whole = true;
            out->spelled = out->spelled || !part->wild;
        }
    }
    return true;
}

static bool add_member(struct shaper *s, const struct fm_text key, const struct fm_value *value,
                       const struct reach *reach, struct fm_member *to)
{
    struct reach below;
    if (!descend(s, reach, key.ptr, &below) || (!below.whole && below.n == 0))
        return false;
    to->key = key;
    return shape_value(s, value, &below, &to->value);
}

static bool shape_object(struct shaper *s, const struct fm_value *in, const struct reach *reach,
                         struct fm_value *out)
{
    struct fm_member *members = get(s, in->object.n + 1, sizeof *members);
    if (members == NULL)
        return false;
    size_t n = 0;
    for (size_t i = 0; i < in->object.n; i++)
        n += add_member(s, in->object.members[i].key, &in->object.members[i].value, reach,
                        &members[n]);
    *out = (struct fm_value){.kind = FM_V_OBJECT, .object = {members, n}};
    return n > 0 || reach->whole;
}

/* A path with an index into an array keeps it as a key. */
static bool shape_items(struct shaper *s, const struct fm_value *in, const struct reach *reach,
                        struct fm_value *out)
{
    struct fm_member *members = get(s, in->array.n + 1, sizeof *members);
    if (members == NULL)
        return false;
    size_t n = 0;
    for (size_t i = 0; i < in->array.n; i++) {
        char key[24];
        int len = snprintf(key, sizeof key, "%zu", i);
        char *copy = fm_arena_strndup(s->arena, key, (size_t)len);
        if (copy == NULL) {
            s->no_memory = true;
            return false;
        }
        struct fm_text text = {copy, (size_t)len};
        n += add_member(s, text, &in->array.items[i], reach, &members[n]);
    }
    *out = (struct fm_value){.kind = FM_V_OBJECT, .object = {members, n}};
    return n > 0;
}

static bool shape_whole_array(struct shaper *s, const struct fm_value *in,
                              const struct reach *reach, struct fm_value *out)
{
    struct fm_value *items = get(s, in->array.n + 1, sizeof *items);
    if (items == NULL)
        return false;
    struct reach below = {.depth = reach->depth + 1, .whole = true};
    for (size_t i = 0; i < in->array.n; i++)
        if (!shape_value(s, &in->array.items[i], &below, &items[i]))
            items[i] = (struct fm_value){.kind = FM_V_NULL};
    *out = (struct fm_value){.kind = FM_V_ARRAY, .array = {items, in->array.n}};
    return true;
}

static bool has_sensitive(const struct fm_value *value, unsigned depth)
{
    bool found = false;
    if (depth > MAX_DEPTH)
        return false;
    if (value->kind == FM_V_OBJECT)
        for (size_t i = 0; !found && i < value->object.n; i++)
            found = fm_query_sensitive(value->object.members[i].key.ptr) ||
                    has_sensitive(&value->object.members[i].value, depth + 1);
    if (value->kind == FM_V_ARRAY)
        for (size_t i = 0; !found && i < value->array.n; i++)
            found = has_sensitive(&value->array.items[i], depth + 1);
    return found;
}

/* @return false: nothing of it is wanted (or no memory) */
static bool shape_value(struct shaper *s, const struct fm_value *in, const struct reach *reach,
                        struct fm_value *out)
{
    bool container = in->kind == FM_V_OBJECT || in->kind == FM_V_ARRAY;
    bool deep = reach->depth > MAX_DEPTH;
    if (reach->whole &&
        (!container || deep || (reach->n == 0 && (reach->spelled || !has_sensitive(in, 0))))) {
        *out = *in;
        return true;
    }
    if (!container || deep)
        return false;
    if (in->kind == FM_V_OBJECT)
        return shape_object(s, in, reach, out);
    return reach->whole ? shape_whole_array(s, in, reach, out) : shape_items(s, in, reach, out);
}

/* Add to a what only b has. */
static void merge(struct shaper *s, struct fm_value *a, const struct fm_value *b)
{
    struct fm_member *members = get(s, a->object.n + b->object.n + 1, sizeof *members);
    if (members == NULL)
        return;
    size_t n = a->object.n;
    if (n > 0)
        memcpy(members, a->object.members, n * sizeof *members);
    for (size_t i = 0; i < b->object.n; i++) {
        const struct fm_member *m = &b->object.members[i];
        size_t k = 0;
        while (k < a->object.n && (members[k].key.len != m->key.len ||
                                   memcmp(members[k].key.ptr, m->key.ptr, m->key.len) != 0))
            k++;
        if (k == a->object.n)
            members[n++] = *m;
        else if (members[k].value.kind == FM_V_OBJECT && m->value.kind == FM_V_OBJECT)
            merge(s, &members[k].value, &m->value);
    }
    a->object.members = members;
    a->object.n = n;
}

enum fm_code fm_query_shape(struct fm_value *out, const struct fm_query *const *queries, size_t n,
                            const struct fm_value *read, struct fm_arena *arena, struct fm_err *err)
{
    struct shaper s = {.arena = arena};
    *out = (struct fm_value){.kind = FM_V_OBJECT};
    for (size_t i = 0; read->kind == FM_V_OBJECT && i < n && !s.no_memory; i++) {
        size_t n_paths = 0;
        const struct fm_query_path *paths = fm_query_paths(queries[i], &n_paths);
        struct reach top = {.n = n_paths, .paths = get(&s, n_paths, sizeof *top.paths)};
        for (size_t k = 0; top.paths != NULL && k < n_paths; k++)
            top.paths[k] = &paths[k];
        struct fm_value one = {.kind = FM_V_OBJECT};
        if (top.paths == NULL || !shape_object(&s, read, &top, &one))
            continue;
        if (out->object.n == 0)
            *out = one;
        else
            merge(&s, out, &one);
    }
    if (s.no_memory)
        return fm_err_set(err, arena->over_limit ? FM_ELIMIT : FM_ENOMEM,
                          "no room to shape the attributes");
    return FM_OK;
}
