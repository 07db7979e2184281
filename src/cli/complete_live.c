/* Targets, MBeans and attributes that are there now, and the keys of the configuration. */
#include <string.h>

#include "cli/complete.h"
#include "cli/session.h"
#include "config/presets.h"
#include "jmx/local.h"

/* ---- targets ---- */

static void offer_configured(struct fm_complete *c)
{
    struct fm_config *config = NULL;
    struct fm_err err = {0};
    if (fm_cmd_config(c->cli, &config, NULL, &err) != FM_OK)
        return;
    for (size_t i = 0; i < config->n_targets; i++) {
        const struct fm_cfg_target *t = &config->targets[i];
        fm_complete_offer(c, t->section.name, t->url);
        for (size_t k = 0; k < t->hosts.n; k++) {
            struct fm_buf name;
            fm_buf_init(&name, 0);
            fm_buf_printf(&name, "%s/%s", t->section.name, t->hosts.items[k]);
            fm_complete_offer(c, fm_buf_str(&name), "");
            fm_buf_clear(&name);
        }
    }
    fm_config_free(config);
}

static void offer_jvms(struct fm_complete *c)
{
    struct fm_jvm *jvms = NULL;
    size_t n = 0;
    struct fm_err err = {0};
    if (fm_jvms_find(&jvms, &n, &c->cli->arena, NULL, &err) != FM_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        char word[192];
        (void)snprintf(word, sizeof word, "pid:%d", (int)jvms[i].pid);
        fm_complete_offer(c, word, jvms[i].name);
        (void)snprintf(word, sizeof word, "local:%.180s", jvms[i].name);
        fm_complete_offer(c, word, fm_jvm_state_name(jvms[i].state));
    }
}

void fm_complete_targets(struct fm_complete *c)
{
    static const char *const beginnings[] = {"service:jmx:rmi:///jndi/rmi://", "http://",
                                             "https://"};
    offer_configured(c);
    offer_jvms(c);
    if (c->words.n > 0 || c->prefix[0] == '\0')
        return;
    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++)
        fm_complete_offer(c, beginnings[i], "");
    c->no_space = c->words.n > 0;
}

/* ---- beans ---- */

/* A name in its canonical form; or, if the line begins otherwise, with the key that was typed in
 * front: most people begin with type=, which is rarely the first in the alphabet. */
static void offer_name(struct fm_complete *c, const char *canonical)
{
    struct fm_name name;
    struct fm_err err = {0};
    struct fm_buf word;
    size_t size = c->words.n;
    fm_complete_offer(c, canonical, "");
    const char *colon = strchr(c->prefix, ':');
    if (c->words.n > size || colon == NULL || colon[1] == '\0' ||
        strncmp(canonical, c->prefix, (size_t)(colon - c->prefix) + 1) != 0 ||
        fm_name_parse(&name, &c->cli->arena, canonical, &err) != FM_OK)
        return;
    size_t typed = strcspn(colon + 1, "=");
    for (size_t first = 0; first < name.n; first++) {
        if (strncmp(name.props[first].key, colon + 1, typed) != 0)
            continue;
        fm_buf_init(&word, 0);
        fm_buf_printf(&word, "%s:%s=%s", name.domain, name.props[first].key,
                      name.props[first].value);
        for (size_t i = 0; i < name.n; i++)
            if (i != first)
                fm_buf_printf(&word, ",%s=%s", name.props[i].key, name.props[i].value);
        fm_complete_offer(c, fm_buf_str(&word), "");
        fm_buf_clear(&word);
    }
}

/* Domains first, while there are several and the colon was not typed. */
static void offer_names(struct fm_complete *c, const struct fm_value *names)
{
    bool several = false;
    size_t len = strlen(c->prefix), first = 0;
    for (size_t i = 0; i < names->array.n; i++) {
        const char *name = names->array.items[i].text.ptr;
        if (strncmp(name, c->prefix, len) != 0)
            continue;
        const char *other = names->array.items[first].text.ptr;
        size_t domain = strcspn(name, ":") + 1;
        if (strncmp(other, c->prefix, len) != 0)
            first = i;
        else
            several = several || strncmp(name, other, domain) != 0;
    }
    c->no_space = several && strchr(c->prefix, ':') == NULL;
    for (size_t i = 0; i < names->array.n; i++) {
        const char *name = names->array.items[i].text.ptr;
        if (!c->no_space) {
            offer_name(c, name);
            continue;
        }
        size_t domain = strcspn(name, ":") + 1; /* with the colon */
        const char *word = fm_arena_strndup(&c->cli->arena, name, domain);
        if (word != NULL)
            fm_complete_offer(c, word, "");
    }
}

void fm_complete_beans(struct fm_complete *c, const char *target)
{
    struct fm_session s;
    struct fm_value names;
    struct fm_err err = {0};
    if (fm_session_open(&s, c->cli, target, &err) == FM_OK &&
        fm_session_names(&s, NULL, &names, &err) == FM_OK)
        offer_names(c, &names);
    fm_session_close(&s);
}

/* ---- attributes ---- */

static const char *text_of(const struct fm_value *object, const char *key)
{
    const struct fm_value *v = fm_value_member(object, key, strlen(key));
    return v != NULL && v->kind == FM_V_STRING ? v->text.ptr : "";
}

/* "Attribute/key/": what lies inside the value. */
static void offer_keys(struct fm_complete *c, struct fm_session *s, const char *bean)
{
    struct fm_buf name, word;
    struct fm_err err = {0};
    const char *at = c->prefix;
    fm_buf_init(&name, 0);
    fm_buf_init(&word, 0);
    for (; *at != '/' && *at != '\0'; at++) {
        at += *at == '\\' && at[1] != '\0';
        fm_buf_putc(&name, *at);
    }
    const char *attribute = fm_buf_str(&name), *last = strrchr(c->prefix, '/');
    struct fm_jmx_call call = {
        .op = FM_JMX_READ, .name = bean, .attributes = &attribute, .n_attributes = 1};
    if (fm_session_run(s, &call, 1, &err) == FM_OK && call.code == FM_OK) {
        const struct fm_value *v = fm_value_member(&call.value, attribute, strlen(attribute));
        char *path = fm_arena_strndup(&s->arena, at + 1, last > at ? (size_t)(last - at) - 1 : 0);
        if (v != NULL && path != NULL)
            v = fm_value_path(v, path);
        for (size_t i = 0; v != NULL && v->kind == FM_V_OBJECT && i < v->object.n; i++) {
            const struct fm_text *key = &v->object.members[i].key;
            fm_buf_reset(&word);
            fm_buf_put(&word, c->prefix, (size_t)(last - c->prefix));
            fm_value_put_step(&word, key->ptr, key->len);
            fm_complete_offer(c, fm_buf_str(&word), "");
        }
    }
    fm_buf_clear(&word);
    fm_buf_clear(&name);
}

static void offer_attributes(struct fm_complete *c, struct fm_session *s, const char *bean)
{
    struct fm_err err = {0};
    struct fm_jmx_call call = {.op = FM_JMX_INFO, .name = bean};
    if (fm_session_run(s, &call, 1, &err) != FM_OK || call.code != FM_OK)
        return;
    const struct fm_value *list = fm_value_member(&call.value, "attributes", 10);
    for (size_t i = 0; list != NULL && list->kind == FM_V_ARRAY && i < list->array.n; i++) {
        const struct fm_value *one = &list->array.items[i];
        const char *name = text_of(one, "name");
        struct fm_buf word;
        fm_buf_init(&word, 0);
        fm_value_put_step(&word, name, strlen(name));
        fm_complete_offer(c, fm_buf_str(&word), text_of(one, "type"));
        fm_buf_clear(&word);
    }
}

void fm_complete_attributes(struct fm_complete *c, const char *target, const char *bean)
{
    struct fm_session s = {.target = NULL};
    struct fm_err err = {0};
    struct fm_name name;
    struct fm_value names;
    if (fm_name_parse(&name, &c->cli->arena, bean, &err) != FM_OK)
        return;
    bean = name.canonical;
    enum fm_code code = fm_session_open(&s, c->cli, target, &err);
    if (code == FM_OK && fm_name_is_pattern(&name)) { /* any of those it stands for will do */
        code = fm_session_names(&s, bean, &names, &err);
        bean = code == FM_OK && names.array.n > 0 ? names.array.items[0].text.ptr : NULL;
    }
    if (code == FM_OK && bean != NULL && strchr(c->prefix, '/') != NULL)
        offer_keys(c, &s, bean);
    else if (code == FM_OK && bean != NULL)
        offer_attributes(c, &s, bean);
    fm_session_close(&s);
}

/* ---- settings ---- */

/* Behind "=": the words that the key knows. */
static void offer_values(struct fm_complete *c, const struct fm_config_key *key, const char *before)
{
    char word[200];
    struct fm_preset preset;
    size_t key_len = strlen(key->key);
    bool file = key_len > 5 && strcmp(key->key + key_len - 5, "_file") == 0;
    if (strcmp(key->type, "on off") == 0 ||
        (strchr(key->type, ' ') != NULL && strcmp(key->type, "regular expression") != 0)) {
        for (const char *at = key->type; *at != '\0';) {
            size_t len = strcspn(at, " ");
            (void)snprintf(word, sizeof word, "%.120s%.*s", before, (int)len, at);
            fm_complete_offer(c, word, "");
            at += len + (at[len] == ' ');
        }
    } else if (strcmp(key->key, "preset") == 0) {
        for (size_t i = 0; fm_preset_at(i, &preset); i++) {
            (void)snprintf(word, sizeof word, "%.120s%.60s", before, preset.name);
            fm_complete_offer(c, word, preset.about);
        }
    } else if (file || strstr(key->key, "_dir") != NULL || strcmp(key->key, "path") == 0) {
        c->files = file ? FM_COMPLETE_FILES : FM_COMPLETE_DIRS;
        c->files_after = fm_arena_strndup(&c->cli->arena, before, strlen(before));
    }
}

/* Keys of one section, each as SECTION.KEY=; of secrets only the twin that names a file. */
static void offer_keys_of(struct fm_complete *c, const char *kind, const char *section)
{
    struct fm_config_key key;
    const char *equals = strchr(c->prefix, '=');
    for (size_t i = 0; fm_config_key_at(i, &key); i++) {
        char word[200];
        if (strcmp(key.section, kind) != 0)
            continue;
        (void)snprintf(word, sizeof word, "%.100s.%.60s%s=", section, key.key,
                       key.secret ? "_file" : "");
        if (equals == NULL) {
            fm_complete_offer(c, word, key.help);
        } else if (strncmp(word, c->prefix, strlen(word)) == 0) {
            char twin[80];
            (void)snprintf(twin, sizeof twin, "%.60s%s", key.key, key.secret ? "_file" : "");
            key.key = twin;
            offer_values(c, &key, word);
            return;
        }
    }
    c->no_space = equals == NULL;
}

/* A section while its name is typed, its keys once the dot is there. */
static void offer_section(struct fm_complete *c, const char *kind, const char *name)
{
    char section[100];
    size_t dot = strcspn(c->prefix, "=");
    while (dot > 0 && c->prefix[dot - 1] != '.')
        dot--; /* names of targets may hold dots: the last one before = counts */
    (void)snprintf(section, sizeof section, "%s%s%.64s", kind, name[0] != '\0' ? ":" : "", name);
    size_t len = strlen(section);
    if (dot == len + 1 && strncmp(section, c->prefix, len) == 0) {
        offer_keys_of(c, kind, section);
    } else if (dot == 0) {
        section[len] = '.'; /* there is room: 64 and the longest kind */
        section[len + 1] = '\0';
        fm_complete_offer(c, section, "");
        c->no_space = true;
    }
}

void fm_complete_setting(struct fm_complete *c)
{
    struct fm_config_key key;
    struct fm_config *config = NULL;
    struct fm_err err = {0};
    const char *last = "";
    if (fm_cmd_config(c->cli, &config, NULL, &err) != FM_OK)
        config = NULL;
    for (size_t i = 0; fm_config_key_at(i, &key); i++) {
        if (strcmp(last, key.section) != 0 && strcmp(key.section, "query") != 0)
            offer_section(c, key.section, ""); /* a query always has a name */
        last = key.section;
    }
    for (size_t i = 0; config != NULL && i < config->n_targets; i++)
        offer_section(c, "target", config->targets[i].section.name);
    for (size_t i = 0; config != NULL && i < config->n_queries; i++)
        offer_section(c, "query", config->queries[i].section.name);
    fm_config_free(config);
}
