#include "jmx/query.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "jmx/query_priv.h"

enum {
    DEFAULT_MAX_BEANS = 2000,
    MAX_ALTERNATIVES = 256,
    MAX_SELECTORS = 1024,
    MAX_PARTS = 32,
    MAX_TEXT = 64 * 1024
};

struct where {
    const char *property;
    regex_t regex;
    bool compiled;
};

struct fm_query {
    struct fm_arena arena; /* owns all but the regular expressions */
    const char *name;
    struct fm_name *beans, *excludes;
    size_t n_beans, n_excludes;
    struct where *where;
    size_t n_where;
    const char **patterns;
    size_t n_patterns;
    struct fm_query_path *paths;
    size_t n_paths;
    const char **literal; /* NULL: globs */
    size_t n_literal;
    unsigned max_beans;
};

/* ---- beans ---- */

/* Length of the first alternative; a bar inside quotes belongs to a value. */
static size_t alternative_len(const char *text)
{
    bool quoted = false;
    for (size_t i = 0; text[i] != '\0'; i++) {
        if (quoted && text[i] == '\\' && text[i + 1] != '\0')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted && i > 0 && strncmp(text + i, " | ", 3) == 0)
            return i;
    }
    return strlen(text);
}

static enum fm_code parse_beans(struct fm_query *q, const char *text, struct fm_name **out,
                                size_t *n, struct fm_err *err)
{
    struct fm_name *names = fm_arena_array(&q->arena, MAX_ALTERNATIVES, sizeof *names);
    if (names == NULL)
        return fm_err_nomem(err);
    for (;;) {
        text += strspn(text, " \t");
        size_t len = alternative_len(text), used = len;
        while (used > 0 && (text[used - 1] == ' ' || text[used - 1] == '\t'))
            used--;
        if (used == 0)
            return fm_err_set(err, FM_ECONF, "query %s: an empty bean pattern", q->name);
        if (*n == MAX_ALTERNATIVES)
            return fm_err_set(err, FM_ECONF, "query %s: more than %d alternatives", q->name,
                              MAX_ALTERNATIVES);
        char *one = fm_arena_strndup(&q->arena, text, used);
        if (one == NULL)
            return fm_err_nomem(err);
        if (fm_name_parse(&names[*n], &q->arena, one, err) != FM_OK)
            return fm_err_context(err, "query %s", q->name);
        ++*n;
        if (text[len] == '\0')
            break;
        text += len + 3;
    }
    *out = names;
    return FM_OK;
}

static const struct fm_name_prop *find_prop(const struct fm_name *name, const char *key)
{
    for (size_t i = 0; i < name->n; i++)
        if (strcmp(name->props[i].key, key) == 0)
            return &name->props[i];
    return NULL;
}

/* Whether whatever b matches is matched by a too. May say no where yes were right. */
static bool covers(const struct fm_name *a, const struct fm_name *b)
{
    if (strcmp(a->domain, "*") != 0 && strcmp(a->domain, b->domain) != 0 &&
        (b->domain_pattern || !fm_glob(a->domain, b->domain)))
        return false;
    if (!a->more && (b->more || a->n != b->n))
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const struct fm_name_prop *prop = find_prop(b, a->props[i].key);
        if (prop == NULL ||
            (strcmp(a->props[i].value, prop->value) != 0 && strcmp(a->props[i].value, "*") != 0))
            return false;
    }
    return true;
}

static enum fm_code make_patterns(struct fm_query *q, struct fm_err *err)
{
    q->patterns = fm_arena_array(&q->arena, q->n_beans, sizeof *q->patterns);
    if (q->patterns == NULL)
        return fm_err_nomem(err);
    for (size_t i = 0; i < q->n_beans; i++) {
        bool needed = true;
        for (size_t k = 0; needed && k < q->n_beans; k++)
            if (k != i && covers(&q->beans[k], &q->beans[i]))
                needed = k > i && covers(&q->beans[i], &q->beans[k]); /* equal: keep the first */
        if (needed)
            q->patterns[q->n_patterns++] = q->beans[i].canonical;
    }
    return FM_OK;
}

static enum fm_code compile_where(struct fm_query *q, const struct fm_query_opts *opts,
                                  struct fm_err *err)
{
    q->where = fm_arena_array(&q->arena, opts->n_where + 1, sizeof *q->where);
    if (q->where == NULL)
        return fm_err_nomem(err);
    for (size_t i = 0; i < opts->n_where; i++) {
        struct where *w = &q->where[i];
        w->property =
            fm_arena_strndup(&q->arena, opts->where[i].property, strlen(opts->where[i].property));
        if (w->property == NULL)
            return fm_err_nomem(err);
        int rc = regcomp(&w->regex, opts->where[i].regex, REG_EXTENDED | REG_NOSUB);
        if (rc != 0) {
            char why[128];
            (void)regerror(rc, &w->regex, why, sizeof why);
            return fm_err_set(err, FM_ECONF, "query %s: where.%s: \"%.80s\": %s", q->name,
                              w->property, opts->where[i].regex, why);
        }
        w->compiled = true;
        q->n_where++;
    }
    return FM_OK;
}

bool fm_query_matches(const struct fm_query *query, const struct fm_name *name,
                      struct fm_arena *scratch)
{
    bool match = false;
    for (size_t i = 0; !match && i < query->n_beans; i++)
        match = fm_name_match(&query->beans[i], name);
    for (size_t i = 0; match && i < query->n_excludes; i++)
        match = !fm_name_match(&query->excludes[i], name);
    for (size_t i = 0; match && i < query->n_where; i++) {
        const char *value = fm_name_value(name, scratch, query->where[i].property);
        match = value != NULL && regexec(&query->where[i].regex, value, 0, NULL, 0) == 0;
    }
    return match;
}

/* ---- attributes ---- */

/* One component of a path: escapes undone, * and ? as marks that no attribute's name holds. */
static size_t parse_part(const char *text, struct fm_query_part *part, char *to, bool *bad)
{
    size_t at = 0, len = 0;
    for (; text[at] != '\0' && text[at] != '/'; at++) {
        char c = text[at];
        if (c == '*' || c == '?') {
            part->wild = true;
            c = c == '*' ? FM_QUERY_STAR : FM_QUERY_ANY;
        } else if (c == '\\' && text[at + 1] != '\0') {
            c = text[++at];
        }
        *bad = *bad || (text[at] == FM_QUERY_STAR || text[at] == FM_QUERY_ANY);
        to[len++] = c;
    }
    to[len] = '\0';
    part->text = to;
    *bad = *bad || len == 0;
    return at;
}

static enum fm_code parse_path(struct fm_query *q, const char *text, struct fm_query_path *path,
                               struct fm_err *err)
{
    const char *whole = text;
    path->exclude = text[0] == '!';
    text += path->exclude;
    size_t max = strlen(text) < MAX_PARTS ? strlen(text) + 1 : MAX_PARTS;
    path->parts = fm_arena_array(&q->arena, max, sizeof *path->parts);
    if (path->parts == NULL)
        return fm_err_nomem(err);
    for (;;) {
        char *to = fm_arena_alloc(&q->arena, strlen(text) + 1);
        if (to == NULL)
            return fm_err_nomem(err);
        bool bad = path->n == max;
        if (!bad)
            text += parse_part(text, &path->parts[path->n++], to, &bad);
        if (bad)
            return fm_err_set(err, FM_ECONF,
                              "query %s: attribute \"%.80s\": an empty or malformed part", q->name,
                              whole);
        if (*text == '\0')
            return FM_OK;
        text++;
    }
}

/* The attributes' names when no glob stands in the first parts. */
static enum fm_code make_literal(struct fm_query *q, struct fm_err *err)
{
    const char **names = fm_arena_array(&q->arena, q->n_paths + 1, sizeof *names);
    if (names == NULL)
        return fm_err_nomem(err);
    size_t n = 0;
    for (size_t i = 0; i < q->n_paths; i++) {
        const struct fm_query_path *path = &q->paths[i];
        if (path->exclude)
            continue;
        if (path->parts[0].wild)
            return FM_OK;
        const char *name = path->parts[0].text;
        bool drop = fm_query_excluded(q->paths, q->n_paths, name);
        for (size_t k = 0; !drop && k < n; k++)
            drop = strcmp(names[k], name) == 0;
        if (!drop)
            names[n++] = name;
    }
    q->literal = names;
    q->n_literal = n;
    return FM_OK;
}

static enum fm_code compile_attributes(struct fm_query *q, const struct fm_query_opts *opts,
                                       struct fm_err *err)
{
    if (opts->n_attributes > MAX_SELECTORS)
        return fm_err_set(err, FM_ECONF, "query %s: more than %d attributes", q->name,
                          MAX_SELECTORS);
    q->paths = fm_arena_array(&q->arena, opts->n_attributes + 1, sizeof *q->paths);
    if (q->paths == NULL)
        return fm_err_nomem(err);
    bool includes = false;
    for (size_t i = 0; i < opts->n_attributes; i++) {
        FM_TRY(parse_path(q, opts->attributes[i], &q->paths[i], err));
        includes = includes || !q->paths[i].exclude;
        q->n_paths++;
    }
    if (!includes)
        FM_TRY(parse_path(q, "*", &q->paths[q->n_paths++], err));
    return make_literal(q, err);
}

/* ---- life ---- */

static enum fm_code compile(struct fm_query *q, const struct fm_query_opts *opts,
                            struct fm_err *err)
{
    if (opts->bean == NULL || opts->bean[0] == '\0')
        return fm_err_set(err, FM_ECONF, "query %s names no bean",
                          opts->name != NULL ? opts->name : "without a name");
    if (strlen(opts->bean) > MAX_TEXT)
        return fm_err_set(err, FM_ECONF, "query: a bean pattern above 64 KiB");
    const char *name = opts->name != NULL ? opts->name : opts->bean;
    q->name = fm_arena_strndup(&q->arena, name, strlen(name));
    if (q->name == NULL)
        return fm_err_nomem(err);
    q->max_beans = opts->max_beans != 0 ? opts->max_beans : DEFAULT_MAX_BEANS;
    FM_TRY(parse_beans(q, opts->bean, &q->beans, &q->n_beans, err));
    if (opts->exclude != NULL && opts->exclude[0] != '\0')
        FM_TRY(parse_beans(q, opts->exclude, &q->excludes, &q->n_excludes, err));
    FM_TRY(make_patterns(q, err));
    FM_TRY(compile_where(q, opts, err));
    return compile_attributes(q, opts, err);
}

enum fm_code fm_query_new(struct fm_query **out, const struct fm_query_opts *opts,
                          struct fm_err *err)
{
    struct fm_query *q = calloc(1, sizeof *q);
    if (q == NULL)
        return fm_err_nomem(err);
    fm_arena_init(&q->arena, 0);
    enum fm_code code = compile(q, opts, err);
    if (code != FM_OK) {
        fm_query_free(q);
        return code;
    }
    *out = q;
    return FM_OK;
}

void fm_query_free(struct fm_query *query)
{
    if (query == NULL)
        return;
    for (size_t i = 0; i < query->n_where; i++)
        if (query->where[i].compiled)
            regfree(&query->where[i].regex);
    fm_arena_clear(&query->arena);
    free(query);
}

const char *fm_query_name(const struct fm_query *query)
{
    return query->name;
}

unsigned fm_query_max_beans(const struct fm_query *query)
{
    return query->max_beans;
}

size_t fm_query_patterns(const struct fm_query *query, const char *const **out)
{
    *out = query->patterns;
    return query->n_patterns;
}

bool fm_query_literal(const struct fm_query *query, const char *const **names, size_t *n)
{
    *names = query->literal;
    *n = query->n_literal;
    return query->literal != NULL;
}

const struct fm_query_path *fm_query_paths(const struct fm_query *query, size_t *n)
{
    *n = query->n_paths;
    return query->paths;
}
