/* cli/cmd_get.c - `get TARGET BEAN [ATTRIBUTE[/path]]...` */
#include <string.h>

#include "base/utf8.h"
#include "cli/session.h"
#include "jmx/query.h"

/** What was asked for, and what came. */
struct item {
    const char *label; /* as given: ATTRIBUTE/path */
    const char *attribute; /* without escapes */
    const char *path; /* "" if none */
    const struct fm_value *value;
    struct fm_err err; /* why there is none */
};

/* "A/b/c": the attribute A, in it the path b/c. A backslash keeps a slash in the name. */
static enum fm_code split_item(struct item *item, const char *text, struct fm_arena *arena,
                               struct fm_err *err)
{
    char *name = fm_arena_strndup(arena, text, strlen(text));
    if (name == NULL)
        return fm_err_nomem(err);
    char *to = name;
    const char *from = text;
    for (; *from != '\0' && *from != '/'; from++) {
        if (*from == '\\' && from[1] != '\0')
            from++;
        *to++ = *from;
    }
    *to = '\0';
    *item = (struct item){.label = text, .attribute = name, .path = *from == '/' ? from + 1 : from};
    if (name[0] == '\0')
        return fm_err_set(err, FM_EUSAGE,
                          "get: \"%.60s\" names no attribute; write "
                          "ATTRIBUTE or ATTRIBUTE/key",
                          text);
    return FM_OK;
}

/* A pattern is welcome as long as one bean matches it. */
static enum fm_code find_bean(struct fm_session *s, const struct fm_name *name, const char **bean,
                              struct fm_err *err)
{
    *bean = name->canonical;
    if (!fm_name_is_pattern(name))
        return FM_OK;
    struct fm_value names;
    FM_TRY(fm_session_names(s, name->canonical, &names, err));
    size_t n = names.array.n;
    if (n == 1) {
        *bean = names.array.items[0].text.ptr;
        return FM_OK;
    }
    if (n == 0)
        return fm_err_set(err, FM_ENOTFOUND,
                          "%s: no MBean matches %.100s; \"firstmile beans %s\" lists them",
                          s->target, name->canonical, s->target);
    return fm_err_set(err, FM_EUSAGE, "%s: %zu MBeans match %.80s, such as %.80s; name one",
                      s->target, n, name->canonical, names.array.items[0].text.ptr);
}

static bool flag_of(const struct fm_value *object, const char *key)
{
    const struct fm_value *v = fm_value_member(object, key, strlen(key));
    return v != NULL && v->kind == FM_V_BOOL && v->b;
}

/** Attributes that are read only by name: how many, and the first of them. */
struct left_out {
    size_t n, named;
    char names[100];
};

static void leave_out(struct left_out *out, const char *name)
{
    size_t at = strlen(out->names), room = sizeof out->names - at;
    if (out->n++ == out->named && (at == 0 || strlen(name) + 3 <= room)) {
        (void)snprintf(out->names + at, room, "%s%s", at > 0 ? ", " : "", name);
        fm_utf8_cut(out->names);
        out->named++;
    }
}

static void tell_left_out(const struct fm_cli *cli, const struct left_out *out)
{
    if (out->n > 0)
        fm_cmd_note(cli, "left out, as secret or very large: %s%s; name %s to read it", out->names,
                    out->named < out->n ? ", ..." : "", out->n == 1 ? "it" : "one");
}

static enum fm_code no_bean(struct fm_session *s, const char *bean, struct fm_err *err)
{
    const char *best = fm_session_near_bean(s, bean);
    if (best[0] != '\0')
        return fm_err_set(err, FM_ENOTFOUND, "%s: there is no MBean %.80s; did you mean %.80s?",
                          s->target, bean, best);
    return fm_err_set(err, FM_ENOTFOUND,
                      "%s: there is no MBean %.100s; \"firstmile beans %s\" lists them", s->target,
                      bean, s->target);
}

/* Every attribute that can be read, but for those that hold secrets or whole environments. */
static enum fm_code all_attributes(struct fm_session *s, const char *bean, struct item **items,
                                   size_t *n, struct left_out *out, struct fm_err *err)
{
    struct fm_jmx_call call = {.op = FM_JMX_INFO, .name = bean};
    FM_TRY(fm_session_run(s, &call, 1, err));
    if (call.code == FM_ENOTFOUND)
        return no_bean(s, bean, err);
    if (call.code != FM_OK)
        return fm_err_set(err, call.code, "%s: %.100s: %s", s->target, bean,
                          fm_err_text(&call.err));
    const struct fm_value *list = fm_value_member(&call.value, "attributes", 10);
    size_t most = list != NULL && list->kind == FM_V_ARRAY ? list->array.n : 0;
    *items = fm_arena_array(&s->arena, most + 1, sizeof **items);
    if (*items == NULL)
        return fm_err_nomem(err);
    *n = 0;
    for (size_t i = 0; i < most; i++) {
        const struct fm_value *one = &list->array.items[i];
        const char *name = fm_session_text(one, "name");
        if (!flag_of(one, "readable"))
            continue;
        if (fm_query_sensitive(name))
            leave_out(out, name);
        else
            (*items)[(*n)++] = (struct item){.label = name, .attribute = name, .path = ""};
    }
    return FM_OK;
}

static enum fm_code read_items(struct fm_session *s, const char *bean, struct item *items, size_t n,
                               struct fm_err *err)
{
    const char **names = fm_arena_array(&s->arena, n + 1, sizeof *names);
    if (names == NULL)
        return fm_err_nomem(err);
    size_t n_names = 0;
    for (size_t i = 0; i < n; i++) {
        bool known = false;
        for (size_t k = 0; k < n_names && !known; k++)
            known = strcmp(names[k], items[i].attribute) == 0;
        if (!known)
            names[n_names++] = items[i].attribute;
    }
    struct fm_jmx_call call = {
        .op = FM_JMX_READ, .name = bean, .attributes = names, .n_attributes = n_names};
    FM_TRY(fm_session_run(s, &call, 1, err));
    if (call.code == FM_ENOTFOUND)
        return no_bean(s, bean, err);
    if (call.code != FM_OK)
        return fm_err_set(err, call.code, "%s: %.100s: %s", s->target, bean,
                          fm_err_text(&call.err));
    for (size_t i = 0; i < n; i++)
        items[i].value =
            fm_value_member(&call.value, items[i].attribute, strlen(items[i].attribute));
    return FM_OK;
}

/* An attribute that did not come: ask for it alone, to learn why. */
static enum fm_code ask_reason(struct fm_session *s, const char *bean, struct item *item,
                               struct fm_err *err)
{
    struct fm_jmx_call *call = fm_arena_alloc(&s->arena, sizeof *call);
    if (call == NULL)
        return fm_err_nomem(err);
    *call = (struct fm_jmx_call){
        .op = FM_JMX_REASON, .name = bean, .attributes = &item->attribute, .n_attributes = 1};
    FM_TRY(fm_session_run(s, call, 1, err));
    if (call->code == FM_OK)
        item->value = &call->value; /* it can be read now */
    else if (call->code == FM_ENOTFOUND) {
        const char *best = fm_session_near_attribute(s, bean, item->attribute);
        (void)fm_err_set(&item->err, FM_ENOTFOUND, "%.80s has no attribute %.60s; %s%.60s%s", bean,
                         item->attribute,
                         best[0] != '\0' ? "did you mean " : "\"firstmile beans -l\" lists them",
                         best, best[0] != '\0' ? "?" : "");
    } else
        item->err = call->err;
    return FM_OK;
}

/* A path that leads nowhere: the names there are, as many as the sentence holds. */
static void tell_keys(struct item *item, const struct fm_value *whole)
{
    char keys[120] = "";
    size_t at = 0, n = whole->kind == FM_V_OBJECT ? whole->object.n : 0;
    for (size_t i = 0; i < n; i++) {
        const struct fm_text *key = &whole->object.members[i].key;
        if (at + key->len + 8 > sizeof keys) {
            (void)snprintf(keys + at, sizeof keys - at, ", ...");
            break;
        }
        at += (size_t)snprintf(keys + at, sizeof keys - at, "%s%.*s", i > 0 ? ", " : "",
                               (int)key->len, key->ptr);
    }
    if (n > 0)
        (void)fm_err_set(&item->err, FM_ENOTFOUND, "%.50s has nothing at %.40s; it has: %s",
                         item->attribute, item->path, keys);
    else
        (void)fm_err_set(&item->err, FM_ENOTFOUND, "%.60s has nothing at %.80s: it is %s",
                         item->attribute, item->path,
                         whole->kind == FM_V_ARRAY ? "an array; its elements are 0, 1, ..."
                                                   : "a plain value; leave the path out");
}

static enum fm_code resolve(struct fm_session *s, const char *bean, struct item *items, size_t n,
                            struct fm_err *err)
{
    for (size_t i = 0; i < n; i++) {
        struct item *item = &items[i];
        if (item->value == NULL)
            FM_TRY(ask_reason(s, bean, item, err));
        if (item->value == NULL || item->path[0] == '\0')
            continue;
        const struct fm_value *whole = item->value;
        item->value = fm_value_path(whole, item->path);
        if (item->value == NULL)
            tell_keys(item, whole);
    }
    return FM_OK;
}

static void print_items(const struct fm_cli *cli, const struct item *items, size_t n, bool bare,
                        enum fm_json_nonfinite nonfinite)
{
    struct fm_buf out;
    fm_buf_init(&out, 0);
    bool first = true;
    for (size_t i = 0; i < n; i++) {
        if (items[i].value == NULL)
            continue;
        if (cli->global.json) {
            fm_buf_putc(&out, first ? '{' : ',');
            fm_json_key(&out, items[i].label);
            fm_value_print(&out, items[i].value, nonfinite);
        } else if (bare) {
            fm_text_value(&out, items[i].value, false, nonfinite);
            fm_buf_putc(&out, '\n');
        } else {
            fm_buf_puts(&out, items[i].label);
            fm_buf_putc(&out, '\t');
            fm_text_value(&out, items[i].value, true, nonfinite);
            fm_buf_putc(&out, '\n');
        }
        first = false;
    }
    if (cli->global.json)
        fm_buf_puts(&out, first ? "{}\n" : "}\n");
    if (cli->global.json)
        (void)fwrite(out.data, 1, out.len, stdout);
    else
        fm_cmd_print(cli, fm_buf_str(&out), out.len);
    (void)fflush(stdout); /* before the session is closed: the reader has what it wants */
    fm_buf_clear(&out);
}

/* The first reason goes to err, which main() prints; the others are told here. */
static enum fm_code report(const struct fm_session *s, const struct item *items, size_t n,
                           struct fm_err *err)
{
    enum fm_code code = FM_OK;
    for (size_t i = 0; i < n; i++) {
        if (items[i].value != NULL)
            continue;
        if (code == FM_OK)
            code =
                fm_err_set(err, items[i].err.code, "%s: %s", s->target, fm_err_text(&items[i].err));
        else
            (void)fprintf(stderr, "firstmile: %s: %s\n", s->target, fm_err_text(&items[i].err));
    }
    return code;
}

static enum fm_code get(struct fm_session *s, struct fm_cmd_call *call, struct fm_err *err)
{
    struct fm_name name;
    struct item *items = NULL;
    struct left_out out = {0};
    size_t n = call->words.n - 2;
    const char *bean = NULL;
    FM_TRY(fm_name_parse(&name, &call->cli->arena, call->words.items[1], err));
    items = fm_arena_array(&call->cli->arena, n + 1, sizeof *items);
    if (items == NULL)
        return fm_err_nomem(err);
    for (size_t i = 0; i < n; i++)
        FM_TRY(split_item(&items[i], call->words.items[i + 2], &call->cli->arena, err));
    FM_TRY(fm_session_open(s, call->cli, call->words.items[0], err));
    FM_TRY(find_bean(s, &name, &bean, err));
    if (n == 0)
        FM_TRY(all_attributes(s, bean, &items, &n, &out, err));
    if (n > 0)
        FM_TRY(read_items(s, bean, items, n, err));
    if (call->words.n > 2)
        FM_TRY(resolve(s, bean, items, n, err));
    print_items(call->cli, items, n, call->words.n == 3, s->config->record.nonfinite);
    tell_left_out(call->cli, &out);
    return call->words.n > 2 ? report(s, items, n, err) : FM_OK;
}

static enum fm_code run_get(struct fm_cmd_call *call, struct fm_err *err)
{
    struct fm_session s = {.target = NULL};
    enum fm_code code = get(&s, call, err);
    fm_session_close(&s);
    return code;
}

static const char *const text[] = {
    "One attribute asked for: its bare value. Several, or none (then all that can be read): a line "
    "NAME TAB VALUE for each. Composite values are printed as JSON; ATTRIBUTE/key/key reads inside "
    "them, a backslash keeps a slash that belongs to a name. With --json: one object.",
    "An attribute that cannot be read is told on stderr with its reason; the exit code is then 1.",
    NULL,
};
static const char *const examples[] = {
    "firstmile get pid:1234 java.lang:type=Memory HeapMemoryUsage/used",
    "the bytes of heap in use, as a bare number",
    "firstmile get db1:9010 java.lang:type=Threading ThreadCount PeakThreadCount",
    "two values, a line each",
    NULL,
};

const struct fm_cmd fm_cmd_get = {
    .name = "get",
    .args = "TARGET BEAN [ATTRIBUTE[/path]]...",
    .about = "read values of an MBean",
    .text = text,
    .examples = examples,
    .min_words = 2,
    .max_words = FM_WORDS_MANY,
    .target = true,
    .json = true,
    .run = run_get,
};
