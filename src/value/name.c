#include "value/name.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

enum {
    MAX_NAME = 64 * 1024, /* bytes of a name; Java's own names end at 65,535 bytes */
    MAX_PROPS = 1024
};

/* The state of one parse. The text is copied once; keys and values are cut out of the copy. */
struct parser {
    struct fm_name *out;
    const char *text; /* as given, for messages */
    char *at; /* in the copy */
    const char *start;
    size_t cap;
    struct fm_err *err;
};

static enum fm_code fail(const struct parser *p, const char *what)
{
    return fm_err_set(p->err, FM_ECONF, "MBean name \"%.80s\": %s at character %zu", p->text, what,
                      (size_t)(p->at - p->start) + 1);
}

static enum fm_code parse_domain(struct parser *p)
{
    struct fm_name *out = p->out;
    out->domain = p->at;
    for (; *p->at != ':'; p->at++) {
        if (*p->at == '\0')
            return fail(p, "a ':' between domain and keys is missing");
        if (*p->at == '\n')
            return fail(p, "a line break is not allowed in the domain");
        if (*p->at == '*' || *p->at == '?')
            out->domain_pattern = true;
    }
    *p->at++ = '\0';
    return FM_OK;
}

static enum fm_code parse_key(struct parser *p, const char **key)
{
    const char *start = p->at;
    size_t n = strcspn(p->at, "=,:*?\n");
    p->at += n;
    if (n == 0)
        return fail(p, "a key is missing");
    if (*p->at != '=')
        return fail(p, "a '=' behind the key is missing");
    *p->at++ = '\0';
    *key = start;
    return FM_OK;
}

/* A quoted value; at stands on its first quote, afterwards behind its last. */
static enum fm_code parse_quoted(struct parser *p, bool *pattern)
{
    for (p->at++; *p->at != '"'; p->at++) {
        if (*p->at == '\0')
            return fail(p, "the closing quote is missing");
        if (*p->at == '\n')
            return fail(p, "a line break is not allowed in a value; write \\n in quotes");
        if (*p->at == '*' || *p->at == '?')
            *pattern = true;
        if (*p->at == '\\') {
            p->at++;
            if (*p->at == '\0' || strchr("\\\"n*?", *p->at) == NULL)
                return fail(p, "a backslash in quotes must precede \\ \" n * or ?");
        }
    }
    p->at++;
    if (*p->at != ',' && *p->at != '\0')
        return fail(p, "a ',' or the end must follow the closing quote");
    return FM_OK;
}

static enum fm_code parse_plain(struct parser *p, bool *pattern)
{
    for (; *p->at != ',' && *p->at != '\0'; p->at++) {
        if (*p->at == '*' || *p->at == '?')
            *pattern = true;
        else if (strchr("=:\"\n", *p->at) != NULL)
            return fail(p, "this character is not allowed in a value without quotes");
    }
    return FM_OK;
}

static enum fm_code add_prop(struct parser *p, struct fm_arena *arena,
                             const struct fm_name_prop *prop)
{
    struct fm_name *out = p->out;
    if (out->n == MAX_PROPS)
        return fm_err_set(p->err, FM_ELIMIT, "MBean name \"%.80s\": more than %d keys", p->text,
                          MAX_PROPS);
    if (out->n == p->cap) {
        size_t cap = p->cap == 0 ? 4 : p->cap * 4;
        struct fm_name_prop *props = fm_arena_array(arena, cap, sizeof *props);
        if (props == NULL)
            return fm_err_nomem(p->err);
        if (out->n > 0)
            memcpy(props, out->props, out->n * sizeof *props);
        out->props = props;
        p->cap = cap;
    }
    out->props[out->n++] = *prop;
    return FM_OK;
}

/* One element of the key list: key=value or *. */
static enum fm_code parse_element(struct parser *p, struct fm_arena *arena)
{
    if (p->at[0] == '*' && (p->at[1] == ',' || p->at[1] == '\0')) {
        if (p->out->more)
            return fail(p, "a second '*' for further keys");
        p->out->more = true;
        p->at++;
        return FM_OK;
    }
    struct fm_name_prop prop = {0};
    FM_TRY(parse_key(p, &prop.key));
    prop.value = p->at;
    FM_TRY(*p->at == '"' ? parse_quoted(p, &prop.pattern) : parse_plain(p, &prop.pattern));
    return add_prop(p, arena, &prop);
}

static enum fm_code parse_props(struct parser *p, struct fm_arena *arena)
{
    if (*p->at == '\0')
        return fail(p, "a key is missing");
    for (;;) {
        FM_TRY(parse_element(p, arena));
        char next = *p->at;
        *p->at++ = '\0'; /* ends the value */
        if (next == '\0')
            return FM_OK;
    }
}

static int compare_props(const void *a, const void *b)
{
    return strcmp(((const struct fm_name_prop *)a)->key, ((const struct fm_name_prop *)b)->key);
}

static char *append(char *at, const char *text)
{
    size_t len = strlen(text);
    memcpy(at, text, len);
    return at + len;
}

static enum fm_code make_canonical(struct parser *p, struct fm_arena *arena, size_t text_len)
{
    struct fm_name *out = p->out;
    /* The same characters in another order, so never longer than the text; "" becomes *:* */
    char *canonical = fm_arena_alloc(arena, text_len + 8);
    if (canonical == NULL)
        return fm_err_nomem(p->err);
    char *at = append(canonical, out->domain);
    *at++ = ':';
    for (size_t i = 0; i < out->n; i++) {
        if (i > 0 && strcmp(out->props[i].key, out->props[i - 1].key) == 0)
            return fm_err_set(p->err, FM_ECONF,
                              "MBean name \"%.80s\": the key \"%.40s\" occurs twice", p->text,
                              out->props[i].key);
        if (i > 0)
            *at++ = ',';
        at = append(at, out->props[i].key);
        *at++ = '=';
        at = append(at, out->props[i].value);
    }
    if (out->more)
        at = append(at, out->n > 0 ? ",*" : "*");
    out->canonical = canonical;
    return FM_OK;
}

enum fm_code fm_name_parse(struct fm_name *out, struct fm_arena *arena, const char *text,
                           struct fm_err *err)
{
    *out = (struct fm_name){0};
    if (*text == '\0')
        text = "*:*"; /* as ObjectName does */
    size_t len = strnlen(text, MAX_NAME + 1);
    if (len > MAX_NAME)
        return fm_err_set(err, FM_ELIMIT, "MBean name \"%.80s...\" is longer than %d bytes", text,
                          MAX_NAME);
    char *copy = fm_arena_strndup(arena, text, len);
    if (copy == NULL)
        return fm_err_nomem(err);
    struct parser p = {.out = out, .text = text, .at = copy, .start = copy, .err = err};
    FM_TRY(parse_domain(&p));
    FM_TRY(parse_props(&p, arena));
    if (out->n > 1)
        qsort(out->props, out->n, sizeof *out->props, compare_props);
    return make_canonical(&p, arena, len);
}

bool fm_name_is_pattern(const struct fm_name *name)
{
    if (name->domain_pattern || name->more)
        return true;
    for (size_t i = 0; i < name->n; i++)
        if (name->props[i].pattern)
            return true;
    return false;
}

/* One character of text, whatever its encoding is worth. */
static size_t step_char(const char *text)
{
    size_t step = fm_utf8_step(text, strlen(text) < 4 ? strlen(text) : 4);
    return step == 0 ? 1 : step;
}

/* Glob with one place to go back to, the last star: O(n*m) in time, nothing in space.
 * escapes: a backslash makes the next character literal, and stands in the text too. */
static bool glob(const char *pattern, const char *text, bool escapes)
{
    const char *star = NULL;
    const char *star_text = NULL;
    while (*text != '\0') {
        if (*pattern == '*') {
            star = ++pattern;
            star_text = text;
            continue;
        }
        if (*pattern == '?') {
            pattern++;
            text += step_char(text);
            continue;
        }
        bool pair = escapes && pattern[0] == '\\' && pattern[1] != '\0';
        if (pair && text[0] == '\\' && text[1] == pattern[1]) {
            pattern += 2;
            text += 2;
        } else if (!pair && *pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star;
            star_text += step_char(star_text);
            text = star_text;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

bool fm_glob(const char *pattern, const char *text)
{
    return glob(pattern, text, false);
}

static const struct fm_name_prop *find_prop(const struct fm_name *name, const char *key)
{
    const struct fm_name_prop wanted = {.key = key};
    if (name->n == 0)
        return NULL;
    return bsearch(&wanted, name->props, name->n, sizeof *name->props, compare_props);
}

static bool prop_matches(const struct fm_name_prop *pattern, const struct fm_name *name)
{
    const struct fm_name_prop *prop = find_prop(name, pattern->key);
    if (prop == NULL)
        return false;
    if (!pattern->pattern)
        return strcmp(pattern->value, prop->value) == 0;
    return glob(pattern->value, prop->value, pattern->value[0] == '"');
}

bool fm_name_match(const struct fm_name *pattern, const struct fm_name *name)
{
    if (fm_name_is_pattern(name))
        return false;
    if (pattern->more ? name->n < pattern->n : name->n != pattern->n)
        return false;
    if (pattern->domain_pattern ? !fm_glob(pattern->domain, name->domain)
                                : strcmp(pattern->domain, name->domain) != 0)
        return false;
    for (size_t i = 0; i < pattern->n; i++)
        if (!prop_matches(&pattern->props[i], name))
            return false;
    return true;
}

const char *fm_name_value(const struct fm_name *name, struct fm_arena *arena, const char *key)
{
    const struct fm_name_prop *prop = find_prop(name, key);
    if (prop == NULL || prop->value[0] != '"')
        return prop == NULL ? NULL : prop->value;
    char *out = fm_arena_alloc(arena, strlen(prop->value));
    if (out == NULL)
        return NULL;
    char *at = out;
    for (const char *s = prop->value + 1; *s != '"' && *s != '\0'; s++) {
        bool escape = *s == '\\' && s[1] != '\0';
        if (escape)
            s++;
        *at++ = escape && *s == 'n' ? '\n' : *s;
    }
    return out;
}
