#include "cli/opt.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/nearest.h"

struct parser {
    const struct fm_flags *sets;
    size_t n_sets;
    const char *const *args;
    size_t n_args;
    size_t at; /* the next argument */
    struct fm_arena *arena;
    struct fm_err *err;
};

/* How an option was written: "-o" or "--option", for messages. */
struct spelling {
    const char *dashes;
    const char *name;
    int len;
};

static const struct fm_flag *find(const struct parser *p, char letter, const char *name, size_t len,
                                  void **values)
{
    for (size_t i = 0; i < p->n_sets; i++) {
        for (const struct fm_flag *f = p->sets[i].table; f->name != NULL; f++) {
            bool same = name == NULL ? f->letter == letter
                                     : strncmp(f->name, name, len) == 0 && f->name[len] == '\0';
            if (same) {
                *values = p->sets[i].values;
                return f;
            }
        }
    }
    return NULL;
}

static enum fm_code unknown_name(const struct parser *p, const char *name, size_t len)
{
    char word[64];
    size_t n = len < sizeof word - 1 ? len : sizeof word - 1;
    memcpy(word, name, n);
    word[n] = '\0';
    struct fm_nearest near = {.word = word};
    for (size_t i = 0; i < p->n_sets; i++)
        for (const struct fm_flag *f = p->sets[i].table; f->name != NULL; f++)
            fm_nearest_offer(&near, f->name);
    const char *best = fm_nearest_word(&near);
    if (best == NULL)
        return fm_err_set(p->err, FM_EUSAGE, "unknown option --%s", word);
    return fm_err_set(p->err, FM_EUSAGE, "unknown option --%s; did you mean --%s?", word, best);
}

static enum fm_code append(struct fm_words *list, const char *word, struct fm_arena *arena,
                           struct fm_err *err)
{
    /* Room for 8, 16, 32 ... items; the old array stays in the arena. */
    if (list->n == 0 || (list->n >= 8 && (list->n & (list->n - 1)) == 0)) {
        size_t room = list->n == 0 ? 8 : 2 * list->n;
        const char **items = fm_arena_array(arena, room, sizeof *items);
        if (items == NULL)
            return fm_err_nomem(err);
        if (list->n > 0)
            memcpy(items, list->items, list->n * sizeof *items);
        list->items = items;
    }
    list->items[list->n++] = word;
    return FM_OK;
}

static enum fm_code set_number(struct parser *p, const struct spelling *how, const char *value,
                               uint64_t *out)
{
    char *end = NULL;
    assert(value != NULL); /* a row of this kind has an arg, so that take_value() was passed */
    errno = 0;
    unsigned long long v = strtoull(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0)
        return fm_err_set(p->err, FM_EUSAGE, "%s%.*s: \"%.60s\" is not a number", how->dashes,
                          how->len, how->name, value);
    *out = v;
    return FM_OK;
}

static enum fm_code set_value(struct parser *p, const struct fm_flag *f, void *values,
                              const struct spelling *how, const char *value)
{
    void *place = (char *)values + f->offset;
    switch (f->kind) {
    case FM_FLAG_SWITCH:
        *(bool *)place = true;
        return FM_OK;
    case FM_FLAG_COUNT:
        ++*(int *)place;
        return FM_OK;
    case FM_FLAG_TEXT:
        *(const char **)place = value;
        return FM_OK;
    case FM_FLAG_LIST:
        return append(place, value, p->arena, p->err);
    case FM_FLAG_NUMBER:
        return set_number(p, how, value, place);
    case FM_FLAG_MSEC:
        if (fm_config_parse_duration(value, place))
            return FM_OK;
        return fm_err_set(p->err, FM_EUSAGE,
                          "%s%.*s: \"%.60s\" is not a duration; write 500ms, 10s, 5m, 2h or 7d",
                          how->dashes, how->len, how->name, value);
    case FM_FLAG_SIZE:
        if (fm_config_parse_size(value, place))
            return FM_OK;
        return fm_err_set(p->err, FM_EUSAGE,
                          "%s%.*s: \"%.60s\" is not a size; write 64KiB, 1MiB or 2GiB", how->dashes,
                          how->len, how->name, value);
    }
    return fm_err_set(p->err, FM_EBUG, "option table: unknown kind of --%s", f->name);
}

/* Give an option its value: the rest of the argument, or the next argument. */
static enum fm_code take_value(struct parser *p, const struct fm_flag *f, void *values,
                               const struct spelling *how, const char *rest)
{
    if (rest == NULL && p->at < p->n_args)
        rest = p->args[p->at++];
    if (rest == NULL)
        return fm_err_set(p->err, FM_EUSAGE, "%s%.*s needs a value: %s", how->dashes, how->len,
                          how->name, f->arg);
    return set_value(p, f, values, how, rest);
}

static enum fm_code parse_long(struct parser *p, const char *name)
{
    const char *equals = strchr(name, '=');
    size_t len = equals != NULL ? (size_t)(equals - name) : strlen(name);
    const struct spelling how = {"--", name, (int)(len < 64 ? len : 64)};
    void *values = NULL;
    const struct fm_flag *f = find(p, 0, name, len, &values);
    if (f == NULL)
        return unknown_name(p, name, len);
    if (f->arg != NULL)
        return take_value(p, f, values, &how, equals != NULL ? equals + 1 : NULL);
    if (equals != NULL)
        return fm_err_set(p->err, FM_EUSAGE, "--%s takes no value", f->name);
    return set_value(p, f, values, &how, NULL);
}

static enum fm_code parse_short(struct parser *p, const char *letters)
{
    for (; *letters != '\0'; letters++) {
        const struct spelling how = {"-", letters, 1};
        void *values = NULL;
        const struct fm_flag *f = find(p, *letters, NULL, 0, &values);
        if (f == NULL)
            return fm_err_set(p->err, FM_EUSAGE, "unknown option -%.1s", letters);
        if (f->arg != NULL)
            return take_value(p, f, values, &how, letters[1] != '\0' ? letters + 1 : NULL);
        FM_TRY(set_value(p, f, values, &how, NULL));
    }
    return FM_OK;
}

enum fm_code fm_flags_parse(const struct fm_flags *sets, size_t n_sets, const char *const *args,
                            size_t n_args, bool first_word_ends, struct fm_words *words,
                            struct fm_arena *arena, struct fm_err *err)
{
    struct parser p = {
        .sets = sets, .n_sets = n_sets, .args = args, .n_args = n_args, .arena = arena, .err = err};
    bool only_words = false;
    *words = (struct fm_words){.n = 0};
    while (p.at < n_args) {
        const char *arg = args[p.at];
        bool is_word = only_words || arg[0] != '-' || arg[1] == '\0';
        if (is_word && first_word_ends)
            only_words = true;
        p.at++;
        if (is_word)
            FM_TRY(append(words, arg, arena, err));
        else if (strcmp(arg, "--") == 0)
            only_words = true;
        else if (arg[1] == '-')
            FM_TRY(parse_long(&p, arg + 2));
        else
            FM_TRY(parse_short(&p, arg + 1));
    }
    return FM_OK;
}
