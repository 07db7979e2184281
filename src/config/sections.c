/* Entries to sections: which struct a line belongs to, and what it sets there. */
#include "config/build_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/presets.h"

/* ---- errors and memory ---- */

static void note_error(struct fm_build *b, const char *file, unsigned line, const char *fmt,
                       va_list args)
{
    if (b->n_errors == FM_CONFIG_ERRORS)
        return;
    char text[sizeof b->errors[0].text];
    (void)vsnprintf(text, sizeof text, fmt, args);
    struct fm_err err = {0};
    if (file == NULL)
        (void)fm_err_set(&err, FM_ECONF, "%s", text);
    else if (line == 0)
        (void)fm_err_set(&err, FM_ECONF, "%s: %s", file, text);
    else
        (void)fm_err_set(&err, FM_ECONF, "%s:%u: %s", file, line, text);
    memcpy(b->errors[b->n_errors++].text, err.text, sizeof err.text);
}

_Static_assert(sizeof(((struct fm_err *)0)->text) == sizeof(struct fm_config_error),
               "an error is kept as fm_err writes it");

void fm_build_error(struct fm_build *b, const char *file, unsigned line, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    note_error(b, file, line, fmt, args);
    va_end(args);
}

const struct fm_place *fm_section_place(const struct fm_section *section, const char *key)
{
    const struct fm_option *opt = fm_option_find(section->kind, key, NULL);
    if (opt == NULL || section->places == NULL)
        return NULL;
    const struct fm_place *place = &section->places[fm_option_index(opt)];
    return place->file == NULL ? NULL : place;
}

void fm_build_key_error(struct fm_build *b, const struct fm_section *section, const char *key,
                        const char *fmt, ...)
{
    char text[sizeof b->errors[0].text];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    const struct fm_place *place = fm_section_place(section, key);
    if (place == NULL && section->torn)
        return; /* it may stand in a line that was complained about */
    const char *file = place != NULL ? place->file : section->file;
    unsigned line = place != NULL ? place->line : section->line;
    const char *colon = section->name[0] == '\0' ? "" : ":";
    fm_build_error(b, file, line, "[%s%s%s] %s: %s", section->kind, colon, section->name, key,
                   text);
}

char *fm_build_strndup(struct fm_build *b, const char *text, size_t len)
{
    char *copy = fm_arena_strndup(&b->cfg->arena, text, len);
    if (copy == NULL)
        b->nomem = true;
    return copy;
}

char *fm_build_strdup(struct fm_build *b, const char *text)
{
    return fm_build_strndup(b, text, strlen(text));
}

/* ---- sections ---- */

/* Give an empty section its defaults. */
static void init_section(struct fm_build *b, struct fm_section *section, const char *kind,
                         const char *name)
{
    const struct fm_option *first = NULL;
    size_t n = fm_option_rows(kind, &first);
    *section = (struct fm_section){.kind = kind, .name = name};
    section->places = fm_arena_array(&b->cfg->arena, n, sizeof *section->places);
    if (section->places == NULL) {
        b->nomem = true;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct fm_err err = {0};
        const struct fm_option *opt = &first[i];
        if (opt->def == NULL || (opt->flags & FM_OPT_INHERIT) != 0)
            continue;
        if (fm_value_set(b, opt, section, opt->def, &err) != FM_OK)
            fm_build_error(b, NULL, 0, "%s.%s: the default is wrong: %s", kind, opt->key,
                           fm_err_text(&err));
    }
}

/* "target:web" to kind and name. @return NULL if there is no such kind */
static const struct fm_kind *split_section(const char *text, const char **name)
{
    char kind[16] = "";
    size_t len = strcspn(text, ":");
    *name = text[len] == ':' ? text + len + 1 : "";
    if (len >= sizeof kind)
        return NULL;
    memcpy(kind, text, len);
    const struct fm_kind *found = fm_kind_find(kind);
    bool has_name = text[len] == ':';
    return found != NULL && found->named == has_name ? found : NULL;
}

static bool name_valid(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len <= FM_NAME_MAX &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") == len;
}

static void unknown_section(struct fm_build *b, const struct fm_entry *e)
{
    char kind[32] = "";
    size_t len = strcspn(e->section, ":");
    memcpy(kind, e->section, len < sizeof kind ? len : sizeof kind - 1);
    const struct fm_kind *known = fm_kind_find(kind);
    if (known != NULL) {
        fm_build_error(b, e->file, e->line,
                       known->named ? "section [%s] needs a name: [%s:NAME]"
                                    : "section [%s] has no name: write [%s]",
                       e->section, kind);
        return;
    }
    size_t word = strcspn(e->section, " \t./=-");
    const char *name = e->section + word + strspn(e->section + word, " \t./=-");
    memset(kind, 0, sizeof kind);
    memcpy(kind, e->section, word < sizeof kind ? word : sizeof kind - 1);
    known = fm_kind_find(kind);
    if (known != NULL && known->named && name_valid(name)) { /* [target acme] */
        fm_build_error(b, e->file, e->line, "there is no section [%s]; did you mean [%s:%s]?",
                       e->section, kind, name);
        return;
    }
    struct fm_nearest near = {.word = kind};
    for (size_t i = 0; i < fm_n_kinds; i++)
        fm_nearest_offer(&near, fm_kinds[i].name);
    const char *best = fm_nearest_word(&near);
    if (best == NULL)
        fm_build_error(b, e->file, e->line, "there is no section [%s]", e->section);
    else
        fm_build_error(b, e->file, e->line, "there is no section [%s]; did you mean [%s%s]?",
                       e->section, best, fm_kind_find(best)->named ? ":NAME" : "");
}

/* The sections of one kind while they are collected; then moved to the configuration. */
struct family {
    const struct fm_kind *kind;
    char *items; /* in the arena, n of kind->size */
    size_t n;
};

static struct fm_section *family_at(const struct family *f, size_t i)
{
    return (struct fm_section *)(void *)(f->items + i * f->kind->size);
}

static struct fm_section *family_find(const struct family *f, const char *name)
{
    for (size_t i = f->n; i-- > 0;)
        if (strcmp(family_at(f, i)->name, name) == 0)
            return family_at(f, i);
    return NULL;
}

/* Room for every section that the entries could mean. */
static void family_init(struct fm_build *b, struct family *f, const char *kind)
{
    f->kind = fm_kind_find(kind);
    size_t most = 0;
    size_t len = strlen(kind);
    const char *last = "";
    for (size_t i = 0; i < b->entries.n; i++) {
        const char *section = b->entries.items[i].section;
        if (strncmp(section, kind, len) == 0 && strcmp(section, last) != 0)
            most++;
        last = section;
    }
    f->items = fm_arena_array(&b->cfg->arena, most + 1, f->kind->size);
    if (f->items == NULL)
        b->nomem = true;
}

static struct fm_section *family_add(struct fm_build *b, struct family *f, const struct fm_entry *e,
                                     const char *name)
{
    struct fm_section *section = family_at(f, f->n++);
    init_section(b, section, f->kind->name, name);
    section->file = e->file;
    section->line = e->line;
    return section;
}

/* ---- keys ---- */

struct sections {
    struct family targets;
    struct family queries;
    bool only_queries; /* a preset */
};

static bool is_override(const struct fm_entry *e)
{
    return strcmp(e->file, "-o") == 0;
}

static struct fm_section *find_section(struct fm_build *b, struct sections *s,
                                       const struct fm_entry *e)
{
    const char *name = "";
    if (is_override(e) && strcmp(e->section, "target") == 0)
        return &b->cfg->unnamed.section;
    const struct fm_kind *kind = split_section(e->section, &name);
    if (kind == NULL) {
        unknown_section(b, e);
        return NULL;
    }
    if (s->only_queries && strcmp(kind->name, "query") != 0) {
        fm_build_error(b, e->file, e->line, "[%s]: a preset holds [query:NAME] sections only",
                       e->section);
        return NULL;
    }
    if (!kind->named) {
        struct fm_section *section = (struct fm_section *)(void *)((char *)b->cfg + kind->offset);
        if (section->file == NULL) {
            section->file = e->file;
            section->line = e->line;
        }
        return section;
    }
    if (!name_valid(name)) {
        fm_build_error(b, e->file, e->line,
                       "[%s]: a name has 1 to %d characters of A-Z a-z 0-9 _ . -", e->section,
                       FM_NAME_MAX);
        return NULL;
    }
    struct family *f = strcmp(kind->name, "target") == 0 ? &s->targets : &s->queries;
    struct fm_section *section = family_find(f, name);
    if (section != NULL && e->key == NULL)
        fm_build_error(b, e->file, e->line, "section [%s] stands already in %s:%u", e->section,
                       section->file, section->line);
    return section != NULL ? section : family_add(b, f, e, name);
}

static void unknown_key(struct fm_build *b, const struct fm_entry *e, const char *kind)
{
    if (b->n_errors == FM_CONFIG_ERRORS)
        return;
    const struct fm_option *first = NULL;
    size_t n = fm_option_rows(kind, &first);
    struct fm_nearest near = {.word = e->key};
    char twins[16][32];
    size_t n_twins = 0;
    for (size_t i = 0; i < n; i++) {
        fm_nearest_offer(&near, first[i].key);
        if (first[i].type == FM_OPT_SECRET && n_twins < 16) {
            (void)snprintf(twins[n_twins], sizeof twins[0], "%s_file", first[i].key);
            fm_nearest_offer(&near, twins[n_twins++]);
        }
    }
    const char *best = fm_nearest_word(&near);
    fm_build_error(b, e->file, e->line, "[%s] has no key %.60s%s%s%s", e->section, e->key,
                   best == NULL ? "" : "; did you mean ", best == NULL ? "" : best,
                   best == NULL ? "" : "?");
}

static bool has_control(const char *text)
{
    for (; *text != '\0'; text++)
        if (((unsigned char)*text < 0x20 && *text != '\t') || *text == 0x7f)
            return true;
    return false;
}

static enum fm_code set_secret(struct fm_build *b, const struct fm_option *opt,
                               struct fm_section *section, const struct fm_entry *e, bool twin,
                               const char *text, struct fm_err *err)
{
    struct fm_secret **at = fm_option_at(opt, section);
    *at = NULL;
    if (*text == '\0')
        return FM_OK;
    if (opt->later != NULL)
        return fm_err_set(err, FM_ECONF,
                          "this version does not have it (planned: %s); leave the key out",
                          opt->later);
    if (!twin && is_override(e))
        return fm_err_set(err, FM_ECONF,
                          "a secret on the command line can be seen by all; use %s_file", opt->key);
    if (!twin && e->exposed)
        return fm_err_set(err, FM_ECONF,
                          "others can read the secret in this file; chmod 600 %s, or use %s_file",
                          e->file, opt->key);
    return fm_secret_new(&b->cfg->secrets, at, twin ? NULL : text, twin ? text : NULL, err);
}

static enum fm_code set_where(struct fm_build *b, struct fm_section *section, const char *property,
                              const char *text, struct fm_err *err)
{
    struct fm_cfg_query *query = (struct fm_cfg_query *)(void *)section;
    for (size_t i = 0; i < query->n_where; i++) {
        if (strcmp(query->where[i].property, property) != 0)
            continue;
        query->where[i].regex = fm_build_strdup(b, text);
        return FM_OK;
    }
    struct fm_cfg_where *more =
        fm_arena_array(&b->cfg->arena, query->n_where + 1, sizeof *query->where);
    if (more == NULL)
        return fm_err_nomem(err);
    if (query->n_where > 0)
        memcpy(more, query->where, query->n_where * sizeof *more);
    more[query->n_where] =
        (struct fm_cfg_where){.property = property, .regex = fm_build_strdup(b, text)};
    query->where = more;
    query->n_where++;
    return FM_OK;
}

/* Written twice, in two files or as a secret and its twin? The rest was told with its file. */
static bool is_second(struct fm_build *b, const struct fm_entry *e, const struct fm_option *opt,
                      const struct fm_section *section)
{
    const struct fm_place *place = &section->places[fm_option_index(opt)];
    if (is_override(e) || place->file == NULL || opt->type == FM_OPT_WHERE)
        return false;
    fm_build_error(b, e->file, e->line, "[%s] %s is set already in %s:%u", e->section, opt->key,
                   place->file, place->line);
    return true;
}

static void set_key(struct fm_build *b, const struct fm_entry *e, struct fm_section *section)
{
    bool twin = false;
    const struct fm_option *opt = fm_option_find(section->kind, e->key, &twin);
    if (opt == NULL) {
        unknown_key(b, e, section->kind);
        return;
    }
    if (is_second(b, e, opt, section))
        return;
    struct fm_err err = {0};
    struct fm_buf text;
    fm_buf_init(&text, 0);
    enum fm_code code = fm_value_expand(&text, e->value, (opt->flags & FM_OPT_TEMPLATE) != 0, &err);
    const char *value = fm_buf_str(&text);
    if (code == FM_OK && has_control(value))
        code = fm_err_set(&err, FM_ECONF, "the value holds a control character");
    if (code == FM_OK && opt->type == FM_OPT_SECRET)
        code = set_secret(b, opt, section, e, twin, value, &err);
    else if (code == FM_OK && opt->type == FM_OPT_WHERE)
        code = set_where(b, section, e->key + strlen("where."), value, &err);
    else if (code == FM_OK)
        code = fm_value_set(b, opt, section, value, &err);
    if (code != FM_OK)
        fm_build_error(b, e->file, e->line, "[%s] %s: %s", e->section, e->key, fm_err_text(&err));
    bool secret = opt->type == FM_OPT_SECRET;
    if (!secret || *value != '\0') /* an empty secret is none, and its twin may stand beside it */
        section->places[fm_option_index(opt)] =
            (struct fm_place){.file = e->file,
                              .line = e->line,
                              .text = secret && !twin ? "" : fm_build_strdup(b, value)};
    fm_secret_wipe(&text);
}

static void set_all(struct fm_build *b, struct sections *s)
{
    const char *missing = NULL; /* a section that was complained about */
    for (size_t i = 0; i < b->entries.n && !b->nomem; i++) {
        const struct fm_entry *e = &b->entries.items[i];
        if (e->section[0] == '\0') {
            if (s->only_queries || strcmp(e->key, "include") != 0)
                fm_build_error(b, e->file, e->line, "%.60s stands before the first [section]",
                               e->key);
            continue;
        }
        if (missing != NULL && strcmp(missing, e->section) == 0)
            continue;
        struct fm_section *section = find_section(b, s, e);
        missing = section == NULL ? e->section : NULL;
        if (section != NULL)
            section->torn = section->torn || e->torn;
        if (section != NULL && e->key != NULL && section->places != NULL)
            set_key(b, e, section);
    }
}

void fm_sections_build(struct fm_build *b)
{
    struct fm_config *cfg = b->cfg;
    for (size_t i = 0; i < fm_n_kinds; i++)
        if (!fm_kinds[i].named)
            init_section(b, (struct fm_section *)(void *)((char *)cfg + fm_kinds[i].offset),
                         fm_kinds[i].name, "");
    init_section(b, &cfg->unnamed.section, "target", "");
    struct sections s = {0};
    family_init(b, &s.targets, "target");
    family_init(b, &s.queries, "query");
    if (b->nomem)
        return;
    set_all(b, &s);
    cfg->targets = (struct fm_cfg_target *)(void *)s.targets.items;
    cfg->n_targets = s.targets.n;
    cfg->queries = (struct fm_cfg_query *)(void *)s.queries.items;
    cfg->n_queries = s.queries.n;
}

/* ---- presets ---- */

static void read_preset(struct fm_build *b, const char *name)
{
    char place[FM_NAME_MAX + 16];
    struct fm_preset shipped;
    if (b->cfg->agent.presets_dir != NULL) {
        struct fm_buf path;
        fm_buf_init(&path, 0);
        fm_buf_printf(&path, "%s/%s.ini", b->cfg->agent.presets_dir, name);
        FILE *file = fopen(fm_buf_str(&path), "re");
        if (file != NULL) {
            (void)fclose(file);
            fm_ini_read(b, fm_buf_str(&path));
            fm_buf_clear(&path);
            return;
        }
        fm_buf_clear(&path);
    }
    if (!fm_preset_find(name, &shipped))
        return;
    (void)snprintf(place, sizeof place, "preset %s", name);
    const char *kept = fm_build_strdup(b, place);
    if (kept != NULL)
        fm_ini_read_text(b, kept, shipped.text, false);
}

void fm_sections_preset(struct fm_build *b, struct fm_cfg_preset *preset)
{
    b->entries.n = 0;
    struct fm_strlist files = b->cfg->files; /* a preset's file is none of the configuration's */
    read_preset(b, preset->name);
    b->cfg->files = files;
    struct sections s = {.only_queries = true};
    family_init(b, &s.targets, "target");
    family_init(b, &s.queries, "query");
    if (b->nomem)
        return;
    set_all(b, &s);
    preset->queries = (struct fm_cfg_query *)(void *)s.queries.items;
    preset->n = s.queries.n;
    for (size_t i = 0; i < preset->n && !b->nomem; i++) {
        struct fm_section *section = &preset->queries[i].section;
        char full[2 * FM_NAME_MAX + 2];
        (void)snprintf(full, sizeof full, "%s/%s", preset->name, section->name);
        section->name = fm_build_strdup(b, full);
    }
    for (size_t i = 0; i < preset->n && !b->nomem; i++)
        fm_config_check_query(b, &preset->queries[i]);
}
