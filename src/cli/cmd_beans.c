/* cli/cmd_beans.c - `beans TARGET [PATTERN] [-l]` */
#include <string.h>

#include "cli/session.h"

struct beans_opts {
    bool attributes;
};

static const struct fm_column name_columns[] = {{.name = "bean"}};
static const struct fm_column attribute_columns[] = {
    {.name = "bean"}, {.name = "attribute"}, {.name = "type"}, {.name = "rw"}};

/* How many beans are asked for their attributes in one go. */
enum { PER_LIST = 256 };

static const struct fm_value *member(const struct fm_value *object, const char *key)
{
    return fm_value_member(object, key, strlen(key));
}

static const char *text_of(const struct fm_value *object, const char *key)
{
    const struct fm_value *v = member(object, key);
    return v != NULL && v->kind == FM_V_STRING ? v->text.ptr : "";
}

static bool flag_of(const struct fm_value *object, const char *key)
{
    const struct fm_value *v = member(object, key);
    return v != NULL && v->kind == FM_V_BOOL && v->b;
}

static void add_attributes(struct fm_table *table, const struct fm_jmx_call *call)
{
    const struct fm_value *list = member(&call->value, "attributes");
    for (size_t i = 0; list != NULL && list->kind == FM_V_ARRAY && i < list->array.n; i++) {
        const struct fm_value *one = &list->array.items[i];
        bool r = flag_of(one, "readable"), w = flag_of(one, "writable");
        fm_table_text(table, call->name);
        fm_table_text(table, text_of(one, "name"));
        fm_table_text(table, text_of(one, "type"));
        fm_table_text(table, r && w ? "rw" : r ? "r" : w ? "w" : "-");
    }
}

/* A bean may go away between the list and the question: that is told, and no failure. */
static enum fm_code list_attributes(struct fm_session *s, const struct fm_value *names,
                                    struct fm_table *table, const struct fm_cli *cli,
                                    struct fm_err *err)
{
    struct fm_jmx_call *calls = fm_arena_array(&s->arena, PER_LIST, sizeof *calls);
    if (calls == NULL)
        return fm_err_nomem(err);
    for (size_t at = 0; at < names->array.n; at += PER_LIST) {
        size_t n = names->array.n - at < PER_LIST ? names->array.n - at : PER_LIST;
        for (size_t i = 0; i < n; i++)
            calls[i] = (struct fm_jmx_call){.op = FM_JMX_INFO,
                                            .name = names->array.items[at + i].text.ptr};
        FM_TRY(fm_session_run(s, calls, n, err));
        for (size_t i = 0; i < n; i++) {
            if (calls[i].code == FM_OK)
                add_attributes(table, &calls[i]);
            else
                fm_cmd_note(cli, "%.100s: %s", calls[i].name, fm_err_text(&calls[i].err));
        }
    }
    return FM_OK;
}

/* Lines with tabs, for grep, cut and awk; --json prints the table. */
static enum fm_code print(const struct fm_cli *cli, const struct fm_table *table,
                          struct fm_err *err)
{
    const struct fm_table_style style = fm_cmd_style(cli);
    if (style.json)
        return fm_table_print(table, stdout, &style, err);
    return fm_table_lines(table, stdout, cli->width > 0, err);
}

static enum fm_code beans(struct fm_session *s, struct fm_cmd_call *call, struct fm_table *table,
                          struct fm_err *err)
{
    const struct beans_opts *opts = call->opts;
    const char *pattern = call->words.n > 1 ? call->words.items[1] : NULL;
    struct fm_name name;
    struct fm_value names;
    if (pattern != NULL) {
        FM_TRY(fm_name_parse(&name, &call->cli->arena, pattern, err));
        pattern = name.canonical;
    }
    FM_TRY(fm_session_open(s, call->cli, call->words.items[0], err));
    FM_TRY(fm_session_names(s, pattern, &names, err));
    fm_table_init(table, opts->attributes ? attribute_columns : name_columns,
                  opts->attributes ? 4 : 1, &s->arena);
    if (opts->attributes)
        FM_TRY(list_attributes(s, &names, table, call->cli, err));
    for (size_t i = 0; !opts->attributes && i < names.array.n; i++)
        fm_table_text(table, names.array.items[i].text.ptr);
    FM_TRY(print(call->cli, table, err));
    if (names.array.n == 0)
        return fm_err_set(err, FM_ENOTFOUND, "%s: no MBean matches %.120s", s->target,
                          pattern != NULL ? pattern : "*:*");
    return FM_OK;
}

static enum fm_code run_beans(struct fm_cmd_call *call, struct fm_err *err)
{
    struct fm_session s = {.target = NULL};
    struct fm_table table = {.cells = NULL};
    enum fm_code code = beans(&s, call, &table, err);
    fm_table_clear(&table);
    fm_session_close(&s);
    return code;
}

static const struct fm_flag flags[] = {
    {'l', "long", FM_FLAG_SWITCH, offsetof(struct beans_opts, attributes), NULL,
     "List the attributes of each MBean too: BEAN TAB ATTRIBUTE TAB TYPE TAB rw."},
    {.name = NULL},
};
static const char *const text[] = {
    "A canonical name per line, sorted. PATTERN is an ObjectName pattern (default *:*); exit code "
    "1 "
    "when nothing matches.",
    NULL,
};
static const char *const examples[] = {
    "firstmile beans pid:1234 -o target.attach=on",
    "all MBeans of a JVM that opened no port",
    "firstmile beans app:9010 'java.lang:*' -l",
    "attributes and types of the platform MBeans",
    NULL,
};

const struct fm_cmd fm_cmd_beans = {
    .name = "beans",
    .args = "TARGET [PATTERN]",
    .about = "list MBeans, with -l their attributes and types",
    .text = text,
    .examples = examples,
    .flags = flags,
    .opts_size = sizeof(struct beans_opts),
    .min_words = 1,
    .max_words = 2,
    .target = true,
    .json = true,
    .run = run_beans,
};
