#include "config/config.h"

#include <assert.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/thread.h"
#include "config/build_priv.h"

/* ---- -o section.key=value ---- */

/* The dot between section and key: the last one before the equal sign, but "where.PROPERTY" is one
 * key. */
static const char *split_dot(const char *text, const char *equal)
{
    const char *dot = NULL;
    for (const char *p = text; p < equal; p++)
        if (*p == '.')
            dot = p;
    if (dot == NULL || strncmp(text, "query:", 6) != 0)
        return dot;
    char key[32] = "";
    size_t len = (size_t)(equal - dot) - 1;
    memcpy(key, dot + 1, len < sizeof key ? len : sizeof key - 1);
    if (len < sizeof key && fm_option_find("query", key, NULL) != NULL)
        return dot;
    for (const char *p = dot; p-- > text + 6;)
        if (strncmp(p, ".where.", 7) == 0)
            return p;
    return dot;
}

static void add_override(struct fm_build *b, const char *text)
{
    const char *equal = strchr(text, '=');
    const char *dot = equal == NULL ? NULL : split_dot(text, equal);
    if (dot == NULL || dot == text || dot + 1 == equal) {
        /* What stands there may be a secret that was not meant for the screen. */
        fm_build_error(b, "-o", 0, "\"%.*s\": write -o section.key=value", (int)strcspn(text, "="),
                       text);
        return;
    }
    const char *value = equal + 1;
    value += strspn(value, " \t");
    struct fm_entry entry = {
        .file = "-o",
        .section = fm_build_strndup(b, text, (size_t)(dot - text)),
        .key = fm_build_strndup(b, dot + 1, (size_t)(equal - dot) - 1),
        .value = fm_build_strdup(b, value),
    };
    if (!b->nomem)
        (void)fm_entries_add(b, &entry);
}

/* ---- loading ---- */

static void load(struct fm_build *b, const char *path, const struct fm_config_opts *opts)
{
    if (path != NULL)
        fm_ini_read(b, path);
    for (size_t i = 0; i < opts->n_overrides; i++)
        add_override(b, opts->overrides[i]);
    if (b->nomem)
        return;
    fm_sections_build(b);
    if (!b->nomem)
        fm_config_check(b);
}

static enum fm_code finish(struct fm_build *b, struct fm_config **out,
                           const struct fm_config_opts *opts, struct fm_err *err)
{
    free(b->entries.items);
    if (opts->errors != NULL) {
        memcpy(opts->errors, b->errors, b->n_errors * sizeof *b->errors);
        *opts->n_errors = b->n_errors;
    }
    if (b->nomem || b->n_errors > 0) {
        if (!b->nomem && opts->faulty)
            *out = b->cfg;
        else
            fm_config_free(b->cfg);
        if (b->nomem)
            return fm_err_nomem(err);
        const char *first = b->errors[0].text;
        char more[64] = "";
        if (opts->errors == NULL &&
            b->n_errors > 1) /* who has room for one is told of the others */
            (void)snprintf(more, sizeof more, " (and %zu more: firstmile check)", b->n_errors - 1);
        bool fits = strlen(first) + strlen(more) < sizeof err->text;
        return fm_err_set(err, FM_ECONF, "%s%s", first, fits ? more : "");
    }
    *out = b->cfg;
    return FM_OK;
}

enum fm_code fm_config_load(struct fm_config **out, const char *path,
                            const struct fm_config_opts *opts, struct fm_err *err)
{
    static const struct fm_config_opts none = {0};
    if (opts == NULL)
        opts = &none;
    if (opts->errors != NULL)
        *opts->n_errors = 0;
    FM_AUTO(fm_auto_free)
    struct fm_config_error *errors = calloc(FM_CONFIG_ERRORS, sizeof *errors);
    struct fm_build b = {.cfg = calloc(1, sizeof *b.cfg), .errors = errors};
    if (b.cfg == NULL || errors == NULL) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): FM_AUTO frees it, unseen by LLVM 14 */
        free(b.cfg);
        return fm_err_nomem(err);
    }
    fm_arena_init(&b.cfg->arena, 0);
    load(&b, path, opts);
    return finish(&b, out, opts, err);
}

void fm_config_free(struct fm_config *cfg)
{
    if (cfg == NULL)
        return;
    fm_secrets_free(cfg->secrets);
    fm_arena_clear(&cfg->arena);
    free(cfg);
}

const char *fm_config_find(const char *given)
{
    static const char *const places[] = {"config.ini", "/etc/firstmile/config.ini"};
    if (given != NULL)
        return given;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (access(places[i], F_OK) == 0)
            return places[i];
    return NULL;
}

const struct fm_cfg_target *fm_config_target(const struct fm_config *cfg, const char *name)
{
    for (size_t i = 0; i < cfg->n_targets; i++)
        if (strcmp(cfg->targets[i].section.name, name) == 0)
            return &cfg->targets[i];
    return NULL;
}

/* ---- comparing, for reload ---- */

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_list(const struct fm_strlist *a, const struct fm_strlist *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    return true;
}

static bool same_where(const struct fm_cfg_query *a, const struct fm_cfg_query *b)
{
    if (a->n_where != b->n_where)
        return false;
    for (size_t i = 0; i < a->n_where; i++)
        if (strcmp(a->where[i].property, b->where[i].property) != 0 ||
            strcmp(a->where[i].regex, b->where[i].regex) != 0)
            return false;
    return true;
}

static bool same_value(const struct fm_option *opt, const struct fm_section *a,
                       const struct fm_section *b)
{
    const void *x = (const char *)a + opt->offset;
    const void *y = (const char *)b + opt->offset;
    switch (opt->type) {
    case FM_OPT_STR:
        return same_text(*(const char *const *)x, *(const char *const *)y);
    case FM_OPT_MSEC:
    case FM_OPT_SIZE:
    case FM_OPT_COUNT:
        return memcmp(x, y, sizeof(int64_t)) == 0;
    case FM_OPT_BOOL:
        return *(const bool *)x == *(const bool *)y;
    case FM_OPT_ENUM:
        return memcmp(x, y, sizeof(int)) == 0;
    case FM_OPT_LIST:
        return same_list(x, y);
    case FM_OPT_SECRET:
        return fm_secret_same(*(struct fm_secret *const *)x, *(struct fm_secret *const *)y);
    case FM_OPT_WHERE:
        return same_where((const struct fm_cfg_query *)(const void *)a,
                          (const struct fm_cfg_query *)(const void *)b);
    }
    return false;
}

bool fm_config_same_section(const struct fm_section *a, const struct fm_section *b)
{
    const struct fm_option *first = NULL;
    size_t n = fm_option_rows(a->kind, &first);
    if (strcmp(a->kind, b->kind) != 0 || strcmp(a->name, b->name) != 0)
        return false;
    for (size_t i = 0; i < n; i++)
        if (!same_value(&first[i], a, b))
            return false;
    return true;
}

bool fm_config_same_target(const struct fm_cfg_target *a, const struct fm_cfg_target *b)
{
    if (!fm_config_same_section(&a->section, &b->section) || a->n_queries != b->n_queries ||
        !same_list(&a->all_tags, &b->all_tags))
        return false;
    for (size_t i = 0; i < a->n_queries; i++)
        if (!fm_config_same_section(&a->queries[i]->section, &b->queries[i]->section))
            return false;
    return true;
}

size_t fm_config_restart_keys(const struct fm_config *old, const struct fm_config *new_,
                              struct fm_buf *out)
{
    size_t n = 0;
    for (size_t i = 0; i < fm_n_options; i++) {
        const struct fm_option *opt = &fm_options[i];
        const struct fm_kind *kind = fm_kind_find(opt->section);
        if ((opt->flags & FM_OPT_RESTART) == 0 || kind->named)
            continue;
        const void *a = (const char *)old + kind->offset;
        const void *b = (const char *)new_ + kind->offset;
        /* What nobody wrote follows from another key, which is named (spool.path, state_dir). */
        if (same_value(opt, a, b) ||
            (fm_section_place(a, opt->key) == NULL && fm_section_place(b, opt->key) == NULL))
            continue;
        fm_buf_printf(out, "%s%s.%s", n++ == 0 ? "" : ", ", opt->section, opt->key);
    }
    return n;
}

void fm_config_keep_running(struct fm_config *fresh, const struct fm_config *boot)
{
    for (size_t i = 0; i < fm_n_options; i++) {
        const struct fm_option *opt = &fm_options[i];
        const struct fm_kind *kind = fm_kind_find(opt->section);
        if ((opt->flags & FM_OPT_RESTART) == 0 || kind->named)
            continue;
        assert(opt->type == FM_OPT_STR);
        size_t at = kind->offset + opt->offset;
        void *to = (char *)fresh + at;
        const void *from = (const char *)boot + at;
        memcpy(to, from, sizeof(char *));
    }
    fresh->spool.memory = boot->spool.memory; /* part of its path */
}

enum fm_code fm_config_keep_url(struct fm_config *fresh, const struct fm_config *running,
                                struct fm_err *err)
{
    const struct fm_strlist *from = &running->rest.url;
    const char **items = fm_arena_array(&fresh->arena, from->n, sizeof *items);
    if (items == NULL)
        return fm_err_nomem(err);
    for (size_t i = 0; i < from->n; i++) {
        items[i] = fm_arena_strndup(&fresh->arena, from->items[i], strlen(from->items[i]));
        if (items[i] == NULL)
            return fm_err_nomem(err);
    }
    fresh->rest.url = (struct fm_strlist){.items = items, .n = from->n};
    fresh->rest.sandbox = running->rest.sandbox;
    return FM_OK;
}
