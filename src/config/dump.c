/* The configuration as text: the effective one, and the sample file. */
#include <stdio.h>
#include <string.h>

#include "config/build_priv.h"

/* ---- dump ---- */

static void put_list(struct fm_buf *out, const struct fm_strlist *list)
{
    for (size_t i = 0; i < list->n; i++) {
        fm_buf_puts(out, i == 0 ? "" : ", ");
        for (const char *p = list->items[i]; *p != '\0'; p++) {
            if (*p == ',')
                fm_buf_putc(out, '\\');
            fm_buf_putc(out, *p);
        }
    }
}

/* As it was written, else the default; of texts without a default what was worked out. */
static void put_value(struct fm_buf *out, const struct fm_option *opt,
                      const struct fm_section *section, const struct fm_place *place)
{
    const void *at = (const char *)section + opt->offset;
    if (place->file != NULL)
        fm_buf_puts(out, place->text);
    else if (opt->def != NULL)
        fm_buf_puts(out, opt->def);
    else if (opt->type == FM_OPT_LIST)
        put_list(out, at);
    else if (opt->type == FM_OPT_STR && *(const char *const *)at != NULL)
        fm_buf_puts(out, *(const char *const *)at);
}

static void dump_key(struct fm_buf *out, const struct fm_option *opt,
                     const struct fm_section *section, const struct fm_place *place)
{
    if (opt->type == FM_OPT_WHERE) {
        const struct fm_cfg_query *query = (const struct fm_cfg_query *)(const void *)section;
        for (size_t i = 0; i < query->n_where; i++)
            fm_buf_printf(out, "where.%s = %s\n", query->where[i].property, query->where[i].regex);
        return;
    }
    if (opt->type == FM_OPT_SECRET) {
        struct fm_secret *secret =
            *(struct fm_secret *const *)(const void *)((const char *)section + opt->offset);
        const char *file = fm_secret_file(secret);
        if (file != NULL)
            fm_buf_printf(out, "%s_file = %s\n", opt->key, file);
        else
            fm_buf_printf(out, "%s =%s\n", opt->key, secret == NULL ? "" : " ***");
        return;
    }
    fm_buf_printf(out, "%s = ", opt->key);
    put_value(out, opt, section, place);
    if (out->len > 0 && out->data != NULL && out->data[out->len - 1] == ' ')
        fm_buf_truncate(out, out->len - 1);
    fm_buf_putc(out, '\n');
}

static void dump_section(struct fm_buf *out, const struct fm_section *section, bool all)
{
    const struct fm_option *first = NULL;
    size_t n = fm_option_rows(section->kind, &first);
    size_t begin = out->len;
    fm_buf_printf(out, "[%s%s%s]\n", section->kind, section->name[0] == '\0' ? "" : ":",
                  section->name);
    bool any = section->name[0] != '\0';
    for (size_t i = 0; i < n; i++) {
        const struct fm_place *place = &section->places[i];
        const struct fm_option *opt = &first[i];
        bool differs =
            place->file != NULL && (opt->def == NULL || strcmp(opt->def, place->text) != 0 ||
                                    (opt->flags & FM_OPT_INHERIT) != 0);
        if (!differs && !all)
            continue;
        if (!differs && (opt->flags & FM_OPT_INHERIT) != 0)
            continue; /* what holds stands in another section */
        any = true;
        dump_key(out, opt, section, place);
    }
    if (any)
        fm_buf_putc(out, '\n');
    else
        fm_buf_truncate(out, begin);
}

void fm_config_dump(const struct fm_config *cfg, struct fm_buf *out, bool all)
{
    for (size_t i = 0; i < fm_n_kinds; i++)
        if (!fm_kinds[i].named)
            dump_section(
                out,
                (const struct fm_section *)(const void *)((const char *)cfg + fm_kinds[i].offset),
                all);
    for (size_t i = 0; i < cfg->n_targets; i++)
        dump_section(out, &cfg->targets[i].section, all);
    for (size_t i = 0; i < cfg->n_queries; i++)
        dump_section(out, &cfg->queries[i].section, all);
}

/* ---- sample ---- */

static const char head[] =
    "# The configuration of firstmile.\n"
    "#\n"
    "# It runs as it is: it polls the JVMs of this host and sends to a stand-in for a REST proxy\n"
    "# inside the process. Put the URL of your proxy at [rest] url, and records leave the host.\n"
    "#\n"
    "# Every key stands here with its default, commented out. A comment begins in the first "
    "column; a\n"
    "# value is the rest of the line. Durations: 500ms 10s 5m 2h 7d. Sizes: 64KiB 1MiB 2GiB. "
    "Switches:\n"
    "# on off. Lists: separated by commas, \\, is a comma within an item. ${NAME} and "
    "${NAME:-default}\n"
    "# are read from the environment; ${host} and other lower-case names are templates, filled for "
    "each\n"
    "# record: ${agent} ${host} ${target} ${topic} ${domain} ${bean} ${prop.NAME} ${tag.NAME}. $$ "
    "is a\n"
    "# dollar.\n"
    "#\n"
    "# Each secret can also lie in a file of its own: KEY_file = PATH (mode 0600, read again when "
    "it\n"
    "# changes). Any key can be given on the command line: -o section.key=value. What this file "
    "says is\n"
    "# checked by: firstmile check\n"
    "\n"
    "# More files, before the first section: include = conf.d/*.ini\n";

/* The live lines of a first run. */
static const struct {
    const char *section, *key, *value;
} live[] = {
    {"rest", "url", "sandbox"},
    {"target", "url", "local:*"},
    {"target", "preset", "jvm"},
    {"target", "attach", "on"},
};

static const char *live_value(const struct fm_option *opt)
{
    for (size_t i = 0; i < sizeof live / sizeof live[0]; i++)
        if (strcmp(opt->section, live[i].section) == 0 && strcmp(opt->key, live[i].key) == 0)
            return live[i].value;
    return NULL;
}

void fm_config_comment(struct fm_buf *out, const char *text)
{
    enum { WIDTH = 98 };
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");
        if (len > WIDTH) {
            len = WIDTH;
            while (len > 1 && text[len] != ' ')
                len--;
        }
        fm_buf_puts(out, "# ");
        fm_buf_put(out, text, len);
        fm_buf_putc(out, '\n');
        text += len;
        text += *text == '\n' || *text == ' ';
    }
}

static void put_choices(struct fm_buf *out, const struct fm_option *opt)
{
    struct fm_buf text;
    fm_buf_init(&text, 0);
    fm_buf_puts(&text, opt->help);
    if (opt->type == FM_OPT_ENUM)
        fm_buf_printf(&text, " One of: %s.",
                      opt->choices[0] == '-' ? opt->choices + 2 : opt->choices);
    if (opt->later != NULL && opt->def != NULL)
        fm_buf_printf(&text, " So far only %s%s%s.", opt->def, opt->live == NULL ? "" : " ",
                      opt->live == NULL ? "" : opt->live);
    else if (opt->later != NULL)
        fm_buf_puts(&text, " Not available yet.");
    fm_config_comment(out, fm_buf_str(&text));
    fm_buf_clear(&text);
}

static void sample_key(struct fm_buf *out, const struct fm_option *opt)
{
    put_choices(out, opt);
    const char *value = live_value(opt);
    const char *def = opt->def == NULL ? "" : opt->def;
    fm_buf_printf(out, "#%s =%s%s\n", opt->key, *def == '\0' ? "" : " ", def);
    if (opt->type == FM_OPT_SECRET)
        fm_buf_printf(out, "#%s_file =\n", opt->key);
    if (value != NULL)
        fm_buf_printf(out, "%s = %s\n", opt->key, value);
    fm_buf_putc(out, '\n');
}

void fm_config_sample(struct fm_buf *out)
{
    fm_buf_puts(out, head);
    for (size_t i = 0; i < fm_n_kinds; i++) {
        const struct fm_kind *kind = &fm_kinds[i];
        const struct fm_option *first = NULL;
        size_t n = fm_option_rows(kind->name, &first);
        fm_buf_puts(out, "\n");
        fm_config_comment(out, kind->about);
        if (strcmp(kind->name, "target") == 0)
            fm_buf_puts(out, "[target:local]\n\n");
        else if (kind->named)
            fm_buf_printf(out, "#[%s:NAME]\n\n", kind->name);
        else
            fm_buf_printf(out, "[%s]\n\n", kind->name);
        for (size_t k = 0; k < n; k++)
            sample_key(out, &first[k]);
        fm_buf_truncate(out, out->len - 1); /* one blank line between sections, none at the end */
    }
}
