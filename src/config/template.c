#include "config/template.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "config/option_priv.h"

struct part {
    unsigned var; /* 0: a constant */
    const char *text; /* the constant, or the NAME of prop and tag */
    size_t len;
};

struct fm_template {
    struct fm_arena arena;
    struct part *parts;
    size_t n;
    unsigned vars;
};

static const struct {
    const char *name;
    unsigned var;
} variables[] = {
    {"agent", FM_VAR_AGENT},    {"host", FM_VAR_HOST},     {"target", FM_VAR_TARGET},
    {"topic", FM_VAR_TOPIC},    {"domain", FM_VAR_DOMAIN}, {"bean", FM_VAR_BEAN},
    {"prop.NAME", FM_VAR_PROP}, {"tag.NAME", FM_VAR_TAG},
};
enum { N_VARIABLES = sizeof variables / sizeof variables[0] };

/* The variable that stands between the braces; its NAME, if it has one, begins at *name. */
static unsigned find_variable(const char *text, size_t len, size_t *name)
{
    *name = len;
    for (size_t i = 0; i < N_VARIABLES; i++) {
        const char *known = variables[i].name;
        size_t prefix = strcspn(known, "N");
        if (len > prefix && known[prefix] == 'N' && strncmp(text, known, prefix) == 0) {
            *name = prefix;
            return variables[i].var;
        }
        if (strlen(known) == len && strncmp(text, known, len) == 0)
            return variables[i].var;
    }
    return 0;
}

static enum fm_code unknown_variable(const char *text, size_t len, unsigned allowed, bool forbidden,
                                     struct fm_err *err)
{
    char word[40] = "";
    char list[120] = "";
    memcpy(word, text, len < sizeof word ? len : sizeof word - 1);
    struct fm_nearest near = {.word = word};
    size_t used = 0;
    for (size_t i = 0; i < N_VARIABLES; i++) {
        if ((variables[i].var & allowed) == 0)
            continue;
        fm_nearest_offer(&near, variables[i].name);
        const char *parts[] = {"${", variables[i].name, "} "};
        for (size_t k = 0; k < 3; k++) {
            size_t n = strlen(parts[k]);
            memcpy(list + used, parts[k], n); /* all names together fit, a test says so */
            used += n;
        }
    }
    list[used == 0 ? 0 : used - 1] = '\0';
    const char *best = forbidden ? NULL : fm_nearest_word(&near);
    if (best != NULL)
        return fm_err_set(err, FM_ECONF, "there is no ${%s}; did you mean ${%s}?", word, best);
    return fm_err_set(err, FM_ECONF, "${%s} cannot stand here; there are %s", word,
                      used == 0 ? "no variables" : list);
}

static void add_part(struct fm_template *tpl, unsigned var, const char *text, size_t len)
{
    struct part *last = tpl->n == 0 ? NULL : &tpl->parts[tpl->n - 1];
    if (var == 0 && last != NULL && last->var == 0) { /* constants lie one behind the other */
        last->len += len;
        return;
    }
    tpl->parts[tpl->n++] = (struct part){.var = var, .text = text, .len = len};
    tpl->vars |= var;
}

/* Constants are copied to *to as they come, so that neighbours become one part. */
static void add_constant(struct fm_template *tpl, char **to, const char *text, size_t len)
{
    if (len == 0)
        return;
    memcpy(*to, text, len);
    add_part(tpl, 0, *to, len);
    *to += len;
}

static enum fm_code compile(struct fm_template *tpl, const char *text, char *to, unsigned allowed,
                            const char *agent, struct fm_err *err)
{
    while (*text != '\0') {
        size_t plain = strcspn(text, "$");
        add_constant(tpl, &to, text, plain);
        text += plain;
        if (text[0] == '$' && text[1] == '{') {
            const char *end = strchr(text, '}');
            if (end == NULL)
                return fm_err_set(err, FM_ECONF, "${ has no closing brace");
            text += 2;
            size_t len = (size_t)(end - text), name = 0;
            unsigned var = find_variable(text, len, &name);
            if ((var & allowed) == 0)
                return unknown_variable(text, len, allowed, var != 0, err);
            if (var == FM_VAR_AGENT)
                add_constant(tpl, &to, agent, strlen(agent));
            else {
                char *kept = fm_arena_strndup(&tpl->arena, text + name, len - name);
                if (kept == NULL)
                    return fm_err_nomem(err);
                add_part(tpl, var, kept, len - name);
            }
            text = end + 1;
        } else if (text[0] == '$') {
            add_constant(tpl, &to, text, 1);
            text += text[1] == '$' ? 2 : 1;
        }
    }
    return FM_OK;
}

static size_t count_char(const char *text, char c)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += *text == c;
    return n;
}

enum fm_code fm_template_new(struct fm_template **out, const char *text, unsigned allowed,
                             const char *agent, struct fm_err *err)
{
    struct fm_template *tpl = calloc(1, sizeof *tpl);
    if (tpl == NULL)
        return fm_err_nomem(err);
    fm_arena_init(&tpl->arena, 0);
    if (agent == NULL)
        agent = "";
    size_t dollars = count_char(text, '$');
    tpl->parts = fm_arena_array(&tpl->arena, 2 * dollars + 1, sizeof *tpl->parts);
    char *to = fm_arena_alloc(&tpl->arena, strlen(text) + dollars * strlen(agent) + 1);
    enum fm_code code = tpl->parts == NULL || to == NULL
                            ? fm_err_nomem(err)
                            : compile(tpl, text, to, allowed, agent, err);
    if (code != FM_OK) {
        fm_template_free(tpl);
        return code;
    }
    *out = tpl;
    return FM_OK;
}

void fm_template_free(struct fm_template *tpl)
{
    if (tpl == NULL)
        return;
    fm_arena_clear(&tpl->arena);
    free(tpl);
}

unsigned fm_template_vars(const struct fm_template *tpl)
{
    return tpl->vars;
}

const char *fm_template_tag(const struct fm_template *tpl, size_t i)
{
    for (size_t k = 0; k < tpl->n; k++)
        if (tpl->parts[k].var == FM_VAR_TAG && i-- == 0)
            return tpl->parts[k].text;
    return NULL;
}

static const char *value_of(const struct part *part, const struct fm_template_values *values)
{
    switch (part->var) {
    case FM_VAR_HOST:
        return values->host;
    case FM_VAR_TARGET:
        return values->target;
    case FM_VAR_TOPIC:
        return values->topic;
    case FM_VAR_DOMAIN:
        return values->domain;
    case FM_VAR_BEAN:
        return values->bean;
    case FM_VAR_PROP:
        return values->prop == NULL ? NULL : values->prop(values->arg, part->text);
    case FM_VAR_TAG:
        return values->tag == NULL ? NULL : values->tag(values->arg, part->text);
    default:
        return NULL;
    }
}

void fm_template_put(const struct fm_template *tpl, const struct fm_template_values *values,
                     struct fm_buf *out)
{
    for (size_t i = 0; i < tpl->n; i++) {
        const struct part *part = &tpl->parts[i];
        if (part->var == 0) {
            fm_buf_put(out, part->text, part->len);
            continue;
        }
        const char *text = value_of(part, values);
        if (text != NULL)
            fm_buf_puts(out, text);
    }
}

bool fm_topic_valid(const char *text, size_t len)
{
    if (len == 0 || len > 249 || (len <= 2 && strncmp(text, "..", len) == 0))
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '.' || c == '_' || c == '-';
        if (!good)
            return false;
    }
    return true;
}
