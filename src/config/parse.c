/* Texts to typed values. */
#include "config/build_priv.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(enum fm_cfg_shape) == sizeof(int), "enums are stored as int");

/* ---- ${ENVIRONMENT} ---- */

static bool is_upper(char c)
{
    return (c >= 'A' && c <= 'Z') || c == '_';
}

static size_t upper_len(const char *text)
{
    size_t n = is_upper(text[0]) ? 1 : 0;
    while (n > 0 && (is_upper(text[n]) || (text[n] >= '0' && text[n] <= '9')))
        n++;
    return n;
}

/* The environment's text is data: a dollar in it is never looked at again. */
static void put_data(struct fm_buf *out, const char *text, size_t len, bool is_template)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '$' && is_template)
            fm_buf_putc(out, '$');
        fm_buf_putc(out, text[i]);
    }
}

/* text stands behind "${", end at its brace. */
static enum fm_code put_variable(struct fm_buf *out, const char *text, const char *end,
                                 bool is_template, struct fm_err *err)
{
    size_t n = upper_len(text);
    const char *tail = text + n;
    bool has_default = end - tail >= 2 && tail[0] == ':' && tail[1] == '-';
    if (n == 0 || (tail != end && !has_default)) {
        if (is_template && n == 0) {
            fm_buf_put(out, text - 2, (size_t)(end - text) + 3);
            return FM_OK;
        }
        return fm_err_set(err, FM_ECONF,
                          n == 0 ? "${%.*s} cannot stand here; the environment's names are "
                                   "${UPPER_CASE}, and $$ is a dollar"
                                 : "${%.*s} is none of ${NAME} and ${NAME:-default}",
                          (int)(end - text > 60 ? 60 : end - text), text);
    }
    char name[128];
    if (n >= sizeof name)
        return fm_err_set(err, FM_ECONF, "the name of an environment variable is too long");
    memcpy(name, text, n);
    name[n] = '\0';
    const char *value = getenv(name);
    if (has_default && (value == NULL || *value == '\0'))
        put_data(out, tail + 2, (size_t)(end - tail) - 2, is_template);
    else if (value != NULL)
        put_data(out, value, strlen(value), is_template);
    else
        return fm_err_set(err, FM_ECONF,
                          "the environment variable %s is not set; set it, or write ${%s:-default}",
                          name, name);
    return FM_OK;
}

enum fm_code fm_value_expand(struct fm_buf *out, const char *text, bool is_template,
                             struct fm_err *err)
{
    while (*text != '\0') {
        size_t plain = strcspn(text, "$");
        fm_buf_put(out, text, plain);
        text += plain;
        if (text[0] == '$' && text[1] == '$') {
            fm_buf_puts(out, is_template ? "$$" : "$");
            text += 2;
        } else if (text[0] == '$' && text[1] == '{') {
            const char *end = strchr(text, '}');
            if (end == NULL)
                return fm_err_set(err, FM_ECONF, "${ has no closing brace");
            FM_TRY(put_variable(out, text + 2, end, is_template, err));
            text = end + 1;
        } else if (text[0] == '$') {
            fm_buf_putc(out, '$');
            text++;
        }
    }
    return fm_buf_code(out, err);
}

/* ---- numbers with units ---- */

struct unit {
    const char *name;
    uint64_t factor;
};

/* Digits and a unit. @return false if it is neither; a value that does not fit is UINT64_MAX */
static bool parse_number(const char *text, const struct unit *units, size_t n_units, uint64_t *out)
{
    if (!isdigit((unsigned char)text[0]))
        return false;
    uint64_t value = 0;
    bool over = false;
    for (; isdigit((unsigned char)*text); text++) {
        uint64_t digit = (uint64_t)(*text - '0');
        over = over || value > (UINT64_MAX - digit) / 10;
        value = over ? UINT64_MAX : value * 10 + digit;
    }
    for (size_t i = 0; i < n_units; i++) {
        if (strcmp(text, units[i].name) != 0)
            continue;
        over = over || value > UINT64_MAX / units[i].factor;
        *out = over ? UINT64_MAX : value * units[i].factor;
        return true;
    }
    return false;
}

static bool parse_msec(const char *text, uint64_t *out)
{
    static const struct unit units[] = {
        {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    if (strcmp(text, "0") == 0) {
        *out = 0;
        return true;
    }
    return parse_number(text, units, sizeof units / sizeof units[0], out);
}

static bool parse_size(const char *text, uint64_t *out)
{
    static const struct unit units[] = {
        {"", 1}, {"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
    return parse_number(text, units, sizeof units / sizeof units[0], out);
}

bool fm_config_parse_duration(const char *text, int64_t *out_ms)
{
    uint64_t value = 0;
    if (!parse_msec(text, &value) || value > INT64_MAX)
        return false;
    *out_ms = (int64_t)value;
    return true;
}

bool fm_config_parse_size(const char *text, uint64_t *out_bytes)
{
    uint64_t value = 0;
    if (!parse_size(text, &value) || value == UINT64_MAX)
        return false;
    *out_bytes = value;
    return true;
}

/* ---- typed values ---- */

static void bound_text(const struct fm_option *opt, int64_t v, struct fm_buf *out)
{
    static const struct unit sizes[] = {{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}};
    static const struct unit times[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}};
    const struct unit *units = opt->type == FM_OPT_MSEC ? times : sizes;
    size_t n = opt->type == FM_OPT_MSEC ? 4 : opt->type == FM_OPT_SIZE ? 3 : 0;
    for (size_t i = 0; i < n; i++) {
        if (v == 0 || (uint64_t)v % units[i].factor != 0)
            continue;
        fm_buf_printf(out, "%lld%s", (long long)((uint64_t)v / units[i].factor), units[i].name);
        return;
    }
    fm_buf_printf(out, "%lld%s", (long long)v, opt->type == FM_OPT_MSEC && v != 0 ? "ms" : "");
}

static enum fm_code set_number(const struct fm_option *opt, void *at, const char *text,
                               struct fm_err *err)
{
    static const struct unit none[] = {{"", 1}};
    uint64_t v = 0;
    if (opt->type == FM_OPT_MSEC && !parse_msec(text, &v))
        return fm_err_set(err, FM_ECONF, "\"%.40s\" is no duration; write 500ms, 10s, 5m, 2h or 7d",
                          text);
    if (opt->type == FM_OPT_SIZE && !parse_size(text, &v))
        return fm_err_set(err, FM_ECONF, "\"%.40s\" is no size; write 64KiB, 1MiB or 2GiB", text);
    if (opt->type == FM_OPT_COUNT && !parse_number(text, none, 1, &v))
        return fm_err_set(err, FM_ECONF, "\"%.40s\" is no number", text);
    if (v < (uint64_t)opt->min || v > (uint64_t)opt->max) {
        struct fm_buf lo, hi;
        fm_buf_init(&lo, 0);
        fm_buf_init(&hi, 0);
        bound_text(opt, opt->min, &lo);
        bound_text(opt, opt->max, &hi);
        (void)fm_err_set(err, FM_ECONF, "%.40s is out of bounds: %s to %s", text, fm_buf_str(&lo),
                         fm_buf_str(&hi));
        fm_buf_clear(&lo);
        fm_buf_clear(&hi);
        return FM_ECONF;
    }
    if (opt->type == FM_OPT_SIZE)
        *(uint64_t *)at = v;
    else
        *(int64_t *)at = (int64_t)v;
    return FM_OK;
}

static enum fm_code set_enum(const struct fm_option *opt, void *at, const char *text,
                             struct fm_err *err)
{
    const char *word = NULL;
    size_t len = 0;
    char words[8][24];
    struct fm_nearest near = {.word = text};
    for (size_t i = 0; (len = fm_choice_at(opt->choices, i, &word)) != 0; i++) {
        if (len == 1 && word[0] == '-')
            continue;
        if (strlen(text) == len && memcmp(text, word, len) == 0) {
            int value = (int)i;
            memcpy(at, &value, sizeof value);
            return FM_OK;
        }
        if (i < 8 && len < sizeof words[0]) {
            memcpy(words[i], word, len);
            words[i][len] = '\0';
            fm_nearest_offer(&near, words[i]);
        }
    }
    const char *choices = opt->choices[0] == '-' ? opt->choices + 2 : opt->choices;
    const char *best = fm_nearest_word(&near);
    return fm_err_set(err, FM_ECONF, "\"%.40s\" is none of: %s%s%s%s", text, choices,
                      best == NULL ? "" : "; did you mean ", best == NULL ? "" : best,
                      best == NULL ? "" : "?");
}

static enum fm_code set_switch(void *at, const char *text, struct fm_err *err)
{
    if (strcmp(text, "on") != 0 && strcmp(text, "off") != 0)
        return fm_err_set(err, FM_ECONF, "\"%.40s\" is neither on nor off", text);
    *(bool *)at = text[1] == 'n';
    return FM_OK;
}

static size_t count_items(const char *text)
{
    size_t n = 1;
    for (; *text != '\0'; text++) {
        if (text[0] == '\\' && text[1] == ',')
            text++;
        else if (*text == ',')
            n++;
    }
    return n;
}

/* One item in place: "\," becomes a comma, blanks around go. @return what follows, or NULL */
static char *cut_item(char *text, const char **item)
{
    char *start = text + strspn(text, " \t");
    char *to = start;
    char *at = start;
    while (*at != '\0' && *at != ',') {
        if (at[0] == '\\' && at[1] == ',')
            at++;
        *to++ = *at++;
    }
    char *next = *at == ',' ? at + 1 : NULL;
    while (to > start && (to[-1] == ' ' || to[-1] == '\t'))
        to--;
    *to = '\0';
    *item = start;
    return next;
}

static enum fm_code set_list(struct fm_build *b, void *at, const char *text, struct fm_err *err)
{
    struct fm_strlist *list = at;
    *list = (struct fm_strlist){0};
    if (*text == '\0')
        return FM_OK;
    char *copy = fm_build_strdup(b, text);
    const char **items = fm_arena_array(&b->cfg->arena, count_items(text), sizeof *items);
    if (copy == NULL || items == NULL) {
        b->nomem = true;
        return FM_OK;
    }
    size_t n = 0;
    while (copy != NULL) {
        copy = cut_item(copy, &items[n]);
        if (items[n][0] == '\0')
            return fm_err_set(err, FM_ECONF, "the list has an empty item; write \\, for a comma");
        n++;
    }
    list->items = items;
    list->n = n;
    return FM_OK;
}

static enum fm_code check_later(const struct fm_option *opt, const char *text, struct fm_err *err)
{
    if (opt->later == NULL || strcmp(text, opt->def == NULL ? "" : opt->def) == 0)
        return FM_OK;
    const char *word = NULL;
    size_t len = 0;
    for (size_t i = 0; opt->live != NULL && (len = fm_choice_at(opt->live, i, &word)) != 0; i++)
        if (strlen(text) == len && memcmp(text, word, len) == 0)
            return FM_OK;
    if (opt->type == FM_OPT_SECRET)
        return fm_err_set(err, FM_ECONF,
                          "this version does not have it (planned: %s); leave the key out",
                          opt->later);
    return fm_err_set(err, FM_ECONF,
                      "this version does not have %.40s (planned: %s); leave the key out", text,
                      opt->later);
}

enum fm_code fm_value_set(struct fm_build *b, const struct fm_option *opt,
                          struct fm_section *section, const char *text, struct fm_err *err)
{
    void *at = fm_option_at(opt, section);
    enum fm_code code = FM_OK;
    switch (opt->type) {
    case FM_OPT_STR:
        *(const char **)at =
            *text == '\0' && (opt->flags & FM_OPT_EMPTY) == 0 ? NULL : fm_build_strdup(b, text);
        break;
    case FM_OPT_MSEC:
    case FM_OPT_SIZE:
    case FM_OPT_COUNT:
        code = set_number(opt, at, text, err);
        break;
    case FM_OPT_BOOL:
        code = set_switch(at, text, err);
        break;
    case FM_OPT_ENUM:
        code = set_enum(opt, at, text, err);
        break;
    case FM_OPT_LIST:
        code = set_list(b, at, text, err);
        break;
    case FM_OPT_SECRET:
    case FM_OPT_WHERE:
        return fm_err_set(err, FM_EBUG, "this key is not set by its text alone");
    }
    /* A word that is none at all is a mistake first, and only then "not yet". */
    return code != FM_OK ? code : check_later(opt, text, err);
}
