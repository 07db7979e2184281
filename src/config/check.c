/* What concerns several keys, and what is derived from them. */
#include "config/build_priv.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/thread.h"
#include "config/presets.h"
#include "config/template.h"
#include "value/name.h"

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* What an empty value of this key means. */
static void set_value(struct fm_build *b, struct fm_section *section, const char *key,
                      const char *text)
{
    struct fm_err err = {0};
    if (fm_value_set(b, fm_option_find(section->kind, key, NULL), section, text, &err) != FM_OK)
        fm_build_key_error(b, section, key, "%s", fm_err_text(&err));
}

/* ---- URLs ---- */

/* user:password@ in front of a host, with a scheme or without. */
static bool has_credentials(const char *url)
{
    const char *host = strstr(url, "//");
    if (host == NULL)
        host = url;
    for (; host != NULL; host = strstr(host + 2, "//")) {
        if (host != url || starts(url, "//"))
            host += 2;
        size_t len = strcspn(host, "/?#");
        if (memchr(host, '@', len) != NULL)
            return true;
        if (strlen(host) < 2)
            return false;
    }
    return false;
}

static bool host_port(const char *text)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || strpbrk(text, "/ ?#@") != NULL)
        return false;
    size_t digits = strspn(colon + 1, "0123456789");
    if (digits == 0 || digits > 5 || colon[1 + digits] != '\0' || strtol(colon + 1, NULL, 10) > 65535)
        return false;
    /* An IPv6 address needs its brackets. */
    return memchr(text, ':', (size_t)(colon - text)) == NULL ||
           (text[0] == '[' && colon[-1] == ']');
}

static bool http_url(const char *text)
{
    const char *host = starts(text, "https://") ? text + 8 : starts(text, "http://") ? text + 7 : "";
    return strcspn(host, "/?#") > 0 && strpbrk(text, " \t\"<>") == NULL;
}

static bool check_http_url(struct fm_build *b, const struct fm_section *section, const char *key,
                           const char *url)
{
    if (url == NULL)
        return true;
    if (has_credentials(url))
        fm_build_key_error(b, section, key,
                           "a URL may not hold a user or a password; there are keys for them");
    else if (!http_url(url))
        fm_build_key_error(b, section, key, "\"%.60s\" is neither https://HOST nor http://HOST",
                           url);
    else
        return true;
    return false;
}

static void check_proxy(struct fm_build *b, const struct fm_section *section, const char **proxy)
{
    if (*proxy == NULL || strcmp(*proxy, "none") == 0)
        *proxy = NULL;
    else if (strcmp(*proxy, "environment") != 0)
        (void)check_http_url(b, section, "http_proxy", *proxy);
}

static const char *without_slashes(struct fm_build *b, const char *url)
{
    size_t len = strlen(url);
    while (len > 0 && url[len - 1] == '/')
        len--;
    return url[len] == '\0' ? url : fm_build_strndup(b, url, len);
}

/* ---- templates ---- */

static void check_template(struct fm_build *b, const struct fm_section *section, const char *key,
                           const char *text, unsigned allowed)
{
    struct fm_template *tpl = NULL;
    struct fm_err err = {0};
    if (text != NULL && fm_template_new(&tpl, text, allowed, NULL, &err) != FM_OK)
        fm_build_key_error(b, section, key, "%s", fm_err_text(&err));
    fm_template_free(tpl);
}

/* The agent's name is known; host and target, if they are in it, are checked with each record. */
static void check_topic(struct fm_build *b, const struct fm_section *section, const char *text)
{
    struct fm_template *tpl = NULL;
    struct fm_err err = {0};
    struct fm_template_values values = {.host = "h", .target = "t"};
    if (text == NULL)
        return;
    if (fm_template_new(&tpl, text, FM_VARS_TOPIC, b->cfg->agent.name, &err) != FM_OK) {
        fm_build_key_error(b, section, "topic", "%s", fm_err_text(&err));
        return;
    }
    struct fm_buf topic;
    fm_buf_init(&topic, 0);
    fm_template_put(tpl, &values, &topic);
    if (!fm_topic_valid(fm_buf_str(&topic), topic.len))
        fm_build_key_error(b, section, "topic",
                           "\"%.60s\" is no topic name: 1 to 249 characters of A-Z a-z 0-9 . _ -",
                           fm_buf_str(&topic));
    fm_buf_clear(&topic);
    fm_template_free(tpl);
}

/* name=template items of tags and headers */
static void check_pairs(struct fm_build *b, const struct fm_section *section, const char *key,
                        const struct fm_strlist *list, unsigned allowed)
{
    for (size_t i = 0; i < list->n; i++) {
        const char *item = list->items[i];
        size_t len = strcspn(item, "=");
        if (item[len] == '\0' || len == 0) {
            fm_build_key_error(b, section, key, "\"%.60s\" is not name=value", item);
            continue;
        }
        for (size_t k = 0; k < i; k++)
            if (strncmp(list->items[k], item, len + 1) == 0)
                fm_build_key_error(b, section, key, "%.*s is given twice", (int)len, item);
        check_template(b, section, key, item + len + 1, allowed);
    }
}

/* ---- plain sections ---- */

static const char *own_host_name(struct fm_build *b)
{
    char name[256] = "";
    if (gethostname(name, sizeof name - 1) != 0 || name[0] == '\0')
        return "localhost";
    return fm_build_strdup(b, name);
}

static void check_agent(struct fm_build *b)
{
    struct fm_cfg_agent *agent = &b->cfg->agent;
    if (agent->name == NULL)
        agent->name = own_host_name(b);
    else if (strlen(agent->name) > 255)
        fm_build_key_error(b, &agent->section, "name", "longer than 255 bytes");
    if (agent->state_dir != NULL)
        return;
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    struct fm_buf path;
    fm_buf_init(&path, 0);
    if (geteuid() == 0)
        fm_buf_puts(&path, "/var/lib/firstmile");
    else if (state != NULL && state[0] == '/')
        fm_buf_printf(&path, "%s/firstmile", state);
    else if (home != NULL && home[0] == '/')
        fm_buf_printf(&path, "%s/.local/state/firstmile", home);
    else
        fm_build_key_error(b, &agent->section, "state_dir", "HOME is not set; name a folder");
    agent->state_dir = fm_build_strdup(b, fm_buf_str(&path));
    fm_buf_clear(&path);
}

static void check_auth(struct fm_build *b)
{
    struct fm_cfg_rest *rest = &b->cfg->rest;
    if (rest->auth == FM_CFG_AUTH_BASIC && (rest->username == NULL || rest->password == NULL))
        fm_build_key_error(b, &rest->section, "auth",
                           "basic needs username and password (or password_file)");
    if (rest->auth == FM_CFG_AUTH_BEARER && rest->token == NULL)
        fm_build_key_error(b, &rest->section, "auth", "bearer needs token (or token_file)");
    if (rest->username != NULL && strchr(rest->username, ':') != NULL)
        fm_build_key_error(b, &rest->section, "username", "a colon cannot be part of it (RFC 7617)");
}

static void check_rest(struct fm_build *b)
{
    struct fm_cfg_rest *rest = &b->cfg->rest;
    struct fm_strlist *url = &rest->url;
    for (size_t i = 0; i < url->n; i++) {
        if (strcmp(url->items[i], "sandbox") == 0) {
            rest->sandbox = true;
            continue;
        }
        (void)check_http_url(b, &rest->section, "url", url->items[i]);
        url->items[i] = without_slashes(b, url->items[i]);
    }
    if (rest->sandbox && url->n > 1)
        fm_build_key_error(b, &rest->section, "url", "sandbox stands alone, not in a list");
    if (rest->sandbox)
        *url = (struct fm_strlist){0};
    if (check_http_url(b, &rest->section, "consumer_url", rest->consumer_url) &&
        rest->consumer_url != NULL)
        rest->consumer_url = without_slashes(b, rest->consumer_url);
    (void)check_http_url(b, &rest->section, "oauth2_url", rest->oauth2_url);
    check_proxy(b, &rest->section, &rest->http_proxy);
    check_topic(b, &rest->section, rest->topic);
    if (rest->topic == NULL)
        fm_build_key_error(b, &rest->section, "topic", "a topic is needed");
    check_auth(b);
}

static void check_order(struct fm_build *b, const char *low_key, int64_t low, const char *high_key,
                        int64_t high)
{
    if (low > high)
        fm_build_key_error(b, &b->cfg->retry.section, low_key, "longer than %s", high_key);
}

static void check_spool(struct fm_build *b)
{
    struct fm_cfg_spool *spool = &b->cfg->spool;
    spool->memory = spool->path != NULL && strcmp(spool->path, "memory") == 0;
    if (spool->memory) {
        spool->path = NULL;
    } else if (spool->path == NULL) {
        struct fm_buf path;
        fm_buf_init(&path, 0);
        fm_buf_printf(&path, "%s/spool", b->cfg->agent.state_dir);
        spool->path = fm_build_strdup(b, fm_buf_str(&path));
        fm_buf_clear(&path);
    }
}

static void check_record(struct fm_build *b)
{
    struct fm_cfg_record *record = &b->cfg->record;
    check_template(b, &record->section, "key", record->key, FM_VARS_ALL);
    check_pairs(b, &record->section, "tags", &record->tags, FM_VARS_TAG);
    check_pairs(b, &record->section, "headers", &record->headers, FM_VARS_ALL);
    if (record->key != NULL && record->key[0] == '\0')
        record->key = NULL;
    const char *p = record->partition;
    if (p != NULL && (strlen(p) > 9 || p[strspn(p, "0123456789")] != '\0'))
        fm_build_key_error(b, &record->section, "partition", "\"%.40s\" is no partition number", p);
}

static void check_http(struct fm_build *b)
{
    struct fm_cfg_http *http = &b->cfg->http;
    if (http->listen == NULL || strcmp(http->listen, "off") == 0)
        http->listen = NULL;
    else if (!host_port(http->listen) && !(starts(http->listen, "unix:") && http->listen[5] != '\0'))
        fm_build_key_error(b, &http->section, "listen",
                           "\"%.60s\" is none of HOST:PORT, unix:PATH and off", http->listen);
    if ((http->username == NULL) != (http->password == NULL))
        fm_build_key_error(b, &http->section, http->username == NULL ? "password" : "username",
                           "username and password (or password_file) belong together");
    if ((http->cert_file == NULL) != (http->key_file == NULL))
        fm_build_key_error(b, &http->section, http->cert_file == NULL ? "key_file" : "cert_file",
                           "cert_file and key_file belong together");
}

/* ---- queries ---- */

/* "a:b=* | c:d=*" */
static void check_patterns(struct fm_build *b, const struct fm_section *section, const char *key,
                           const char *text)
{
    struct fm_arena arena;
    fm_arena_init(&arena, 0);
    while (text != NULL) {
        const char *bar = strstr(text, " | ");
        size_t len = bar == NULL ? strlen(text) : (size_t)(bar - text);
        while (len > 0 && *text == ' ') {
            text++;
            len--;
        }
        while (len > 0 && text[len - 1] == ' ')
            len--;
        struct fm_name name;
        struct fm_err err = {0};
        const char *one = fm_arena_strndup(&arena, text, len);
        if (one == NULL)
            b->nomem = true;
        else if (fm_name_parse(&name, &arena, one, &err) != FM_OK)
            fm_build_key_error(b, section, key, "%s", fm_err_text(&err));
        text = bar == NULL ? NULL : bar + 3;
    }
    fm_arena_clear(&arena);
}

void fm_config_check_query(struct fm_build *b, struct fm_cfg_query *query)
{
    const struct fm_section *section = &query->section;
    if (query->bean == NULL)
        fm_build_key_error(b, section, "bean", "a pattern is needed, such as java.lang:type=Memory");
    check_patterns(b, section, "bean", query->bean);
    check_patterns(b, section, "exclude", query->exclude);
    for (size_t i = 0; i < query->n_where; i++) {
        regex_t regex;
        char reason[120];
        int code = regcomp(&regex, query->where[i].regex, REG_EXTENDED | REG_NOSUB);
        if (code == 0) {
            regfree(&regex);
            continue;
        }
        (void)regerror(code, &regex, reason, sizeof reason);
        fm_build_key_error(b, section, "where.PROPERTY", "where.%.40s is no regular expression: %s",
                           query->where[i].property, reason);
    }
    check_topic(b, section, query->topic);
    check_template(b, section, "key", query->key, FM_VARS_ALL);
    if (query->attributes.n == 0)
        set_value(b, &query->section, "attributes", "*");
}

/* ---- targets ---- */

static bool local_form(const char *url)
{
    if (starts(url, "local:"))
        return url[6] != '\0';
    if (starts(url, "pid:"))
        return url[4] != '\0' && url[4 + strspn(url + 4, "0123456789")] == '\0';
    return false;
}

static void check_target_url(struct fm_build *b, const struct fm_section *section, const char *url)
{
    if (local_form(url))
        return;
    if (has_credentials(url))
        fm_build_key_error(b, section, "url",
                           "a URL may not hold a user or a password; there are keys for them");
    else if (!starts(url, "service:jmx:") && !http_url(url) && !host_port(url))
        fm_build_key_error(b, section, "url",
                           "\"%.60s\" is none of local:GLOB, pid:NUMBER, HOST:PORT, "
                           "service:jmx:... and http(s)://...",
                           url);
}

static const char *fill_host(struct fm_build *b, const struct fm_template *tpl, const char *host)
{
    struct fm_buf url;
    fm_buf_init(&url, 0);
    struct fm_template_values values = {.host = host};
    fm_template_put(tpl, &values, &url);
    const char *kept = fm_build_strdup(b, fm_buf_str(&url));
    fm_buf_clear(&url);
    return kept;
}

static void check_hosts(struct fm_build *b, struct fm_cfg_target *target)
{
    const struct fm_section *section = &target->section;
    struct fm_template *tpl = NULL;
    struct fm_err err = {0};
    unsigned allowed = target->hosts.n > 0 ? FM_VAR_HOST : 0;
    if (fm_template_new(&tpl, target->url, allowed, NULL, &err) != FM_OK) {
        fm_build_key_error(b, section, "url", "%s",
                           strstr(target->url, "${host}") != NULL && allowed == 0
                               ? "${host} stands for an element of hosts, and hosts is not set"
                               : fm_err_text(&err));
        return;
    }
    if (target->hosts.n == 0) {
        target->url = fill_host(b, tpl, NULL);
        if (target->url != NULL)
            check_target_url(b, section, target->url);
    } else if (fm_template_vars(tpl) == 0) {
        fm_build_key_error(b, section, "hosts", "url does not hold ${host}");
    } else {
        target->host_urls.items =
            fm_arena_array(&b->cfg->arena, target->hosts.n, sizeof(const char *));
        if (target->host_urls.items == NULL)
            b->nomem = true;
        for (size_t i = 0; i < target->hosts.n && !b->nomem; i++) {
            const char *url = fill_host(b, tpl, target->hosts.items[i]);
            target->host_urls.items[target->host_urls.n++] = url;
            if (url != NULL)
                check_target_url(b, section, url);
        }
    }
    fm_template_free(tpl);
}

static struct fm_cfg_query *find_query(const struct fm_config *cfg, const char *name)
{
    for (size_t i = 0; i < cfg->n_queries; i++)
        if (strcmp(cfg->queries[i].section.name, name) == 0)
            return &cfg->queries[i];
    return NULL;
}

static void unknown_query(struct fm_build *b, const struct fm_section *section, const char *name)
{
    struct fm_nearest near = {.word = name};
    for (size_t i = 0; i < b->cfg->n_queries; i++)
        fm_nearest_offer(&near, b->cfg->queries[i].section.name);
    const char *best = fm_nearest_word(&near);
    fm_build_key_error(b, section, "queries", "there is no [query:%.64s]%s%s%s", name,
                       best == NULL ? "" : "; did you mean ", best == NULL ? "" : best,
                       best == NULL ? "" : "?");
}

static void unknown_preset(struct fm_build *b, const struct fm_section *section, const char *name)
{
    struct fm_nearest near = {.word = name};
    struct fm_preset preset;
    for (size_t i = 0; fm_preset_at(i, &preset); i++)
        fm_nearest_offer(&near, preset.name);
    const char *best = fm_nearest_word(&near);
    fm_build_key_error(b, section, "preset",
                       "there is no preset %.64s%s%s; see firstmile presets", name,
                       best == NULL ? "" : "; did you mean ", best == NULL ? "" : best);
}

/* The preset's queries, read once for all targets. @return NULL: the error is noted */
static const struct fm_cfg_preset *get_preset(struct fm_build *b, const struct fm_section *section,
                                              const char *name)
{
    struct fm_config *cfg = b->cfg;
    for (size_t i = 0; i < cfg->n_presets; i++)
        if (strcmp(cfg->presets[i].name, name) == 0)
            return &cfg->presets[i];
    struct fm_cfg_preset *more =
        fm_arena_array(&cfg->arena, cfg->n_presets + 1, sizeof *cfg->presets);
    size_t len = strlen(name);
    if (len > FM_NAME_MAX || strchr(name, '/') != NULL || name[0] == '.') {
        unknown_preset(b, section, name);
        return NULL;
    }
    if (more == NULL) {
        b->nomem = true;
        return NULL;
    }
    if (cfg->n_presets > 0)
        memcpy(more, cfg->presets, cfg->n_presets * sizeof *more);
    struct fm_cfg_preset *preset = &more[cfg->n_presets];
    preset->name = name;
    size_t errors = b->n_errors;
    fm_sections_preset(b, preset);
    if (preset->n == 0) {
        if (b->n_errors == errors)
            unknown_preset(b, section, name);
        return NULL;
    }
    cfg->presets = more;
    cfg->n_presets++;
    return preset;
}

static void add_queries(struct fm_build *b, struct fm_cfg_target *target,
                        struct fm_cfg_query *const *queries, size_t n)
{
    const struct fm_cfg_query **all =
        fm_arena_array(&b->cfg->arena, target->n_queries + n + 1, sizeof *all);
    if (all == NULL) {
        b->nomem = true;
        return;
    }
    for (size_t i = 0; i < target->n_queries; i++)
        all[i] = target->queries[i];
    for (size_t i = 0; i < n; i++)
        all[target->n_queries + i] = queries[i];
    target->queries = all;
    target->n_queries += n;
}

static void resolve_queries(struct fm_build *b, struct fm_cfg_target *target)
{
    struct fm_config *cfg = b->cfg;
    const struct fm_section *section = &target->section;
    if (target->preset.n == 0 && cfg->n_queries == 0 && target->query_names.n == 0)
        set_value(b, &target->section, "preset", "jvm");
    for (size_t i = 0; i < target->preset.n && !b->nomem; i++) {
        const struct fm_cfg_preset *preset = get_preset(b, section, target->preset.items[i]);
        for (size_t k = 0; preset != NULL && k < preset->n; k++) {
            struct fm_cfg_query *query = &preset->queries[k];
            add_queries(b, target, &query, 1);
        }
    }
    for (size_t i = 0; i < cfg->n_queries && target->query_names.n == 0; i++) {
        struct fm_cfg_query *query = &cfg->queries[i];
        add_queries(b, target, &query, 1);
    }
    for (size_t i = 0; i < target->query_names.n; i++) {
        struct fm_cfg_query *query = find_query(cfg, target->query_names.items[i]);
        if (query == NULL)
            unknown_query(b, section, target->query_names.items[i]);
        else
            add_queries(b, target, &query, 1);
    }
}

/* ---- what its records look like ---- */

static bool same_or_null(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* The place of a rule in the target's list, which has room for it. */
static size_t find_rule(struct fm_cfg_target *target, const struct fm_cfg_rule *rule)
{
    size_t i = 0;
    for (; i < target->n_rules; i++)
        if (target->rules[i].shape == rule->shape &&
            same_or_null(target->rules[i].topic, rule->topic) &&
            same_or_null(target->rules[i].key, rule->key))
            return i;
    target->rules[target->n_rules++] = *rule;
    return i;
}

static void resolve_rules(struct fm_build *b, struct fm_cfg_target *target)
{
    struct fm_arena *arena = &b->cfg->arena;
    target->rules = fm_arena_array(arena, target->n_queries + 1, sizeof *target->rules);
    target->query_rules = fm_arena_array(arena, target->n_queries + 1, sizeof(size_t));
    if (target->rules == NULL || target->query_rules == NULL) {
        b->nomem = true;
        return;
    }
    for (size_t i = 0; i < target->n_queries; i++) {
        const struct fm_cfg_query *query = target->queries[i];
        struct fm_cfg_rule rule = {
            .shape = query->shape == FM_CFG_SHAPE_INHERIT ? target->shape : query->shape,
            .topic = query->topic == NULL ? target->topic : query->topic,
            .key = query->key == NULL ? target->key : query->key,
        };
        if (rule.key != NULL && rule.key[0] == '\0')
            rule.key = NULL;
        target->query_rules[i] = find_rule(target, &rule);
    }
}

static bool has_tag(const struct fm_strlist *tags, const char *name, size_t len, size_t *at)
{
    for (*at = 0; *at < tags->n; (*at)++)
        if (strncmp(tags->items[*at], name, len) == 0 && tags->items[*at][len] == '=')
            return true;
    return false;
}

static void merge_tags(struct fm_build *b, struct fm_cfg_target *target)
{
    const struct fm_strlist *lists[] = {&b->cfg->record.tags, &target->tags};
    struct fm_strlist *all = &target->all_tags;
    all->items = fm_arena_array(&b->cfg->arena, lists[0]->n + lists[1]->n + 1, sizeof(char *));
    if (all->items == NULL) {
        b->nomem = true;
        return;
    }
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < lists[k]->n; i++) {
            const char *item = lists[k]->items[i];
            size_t at = 0;
            if (!has_tag(all, item, strcspn(item, "="), &at))
                all->n++;
            all->items[at] = item;
        }
}

/* What a template needs must be there: a bean, unless the shape is snapshot, and the tags. */
static void check_rule_template(struct fm_build *b, const struct fm_cfg_target *target,
                                const char *key, const char *text, unsigned allowed)
{
    struct fm_template *tpl = NULL;
    struct fm_err err = {0};
    if (text == NULL || fm_template_new(&tpl, text, FM_VARS_ALL, NULL, &err) != FM_OK)
        return; /* said already */
    fm_template_free(tpl);
    if (fm_template_new(&tpl, text, allowed, NULL, &err) != FM_OK) {
        fm_build_key_error(b, &target->section, key, "with shape = snapshot %s", fm_err_text(&err));
        return;
    }
    const char *tag = NULL;
    size_t at = 0;
    for (size_t i = 0; (tag = fm_template_tag(tpl, i)) != NULL; i++)
        if (!has_tag(&target->all_tags, tag, strlen(tag), &at))
            fm_build_key_error(b, &target->section, key, "there is no tag %s for ${tag.%s}", tag,
                               tag);
    fm_template_free(tpl);
}

static void check_rules(struct fm_build *b, const struct fm_cfg_target *target)
{
    const struct fm_strlist *headers = &b->cfg->record.headers;
    for (size_t i = 0; i < target->n_rules; i++) {
        bool snapshot = target->rules[i].shape == FM_CFG_SHAPE_SNAPSHOT;
        unsigned allowed = snapshot ? FM_VARS_SNAPSHOT | FM_VAR_TAG : FM_VARS_ALL;
        check_rule_template(b, target, "key", target->rules[i].key, allowed);
        for (size_t k = 0; k < headers->n; k++)
            check_rule_template(b, target, "headers", strchr(headers->items[k], '=') + 1, allowed);
        for (size_t k = 0; snapshot && k < target->all_tags.n; k++)
            check_rule_template(b, target, "tags", strchr(target->all_tags.items[k], '=') + 1,
                                FM_VARS_SNAPSHOT);
    }
}

static void check_target(struct fm_build *b, struct fm_cfg_target *target)
{
    struct fm_config *cfg = b->cfg;
    const struct fm_section *section = &target->section;
    if (target->interval_ms == 0)
        target->interval_ms = cfg->agent.interval_ms;
    if (target->shape == FM_CFG_SHAPE_INHERIT)
        target->shape = cfg->record.shape;
    check_topic(b, section, target->topic);
    if (target->topic == NULL)
        target->topic = cfg->rest.topic;
    check_template(b, section, "key", target->key, FM_VARS_ALL);
    if (target->key == NULL)
        target->key = cfg->record.key;
    else if (target->key[0] == '\0')
        target->key = NULL;
    check_pairs(b, section, "tags", &target->tags, FM_VARS_TAG);
    check_proxy(b, section, &target->http_proxy);
    if (target->url != NULL)
        check_hosts(b, target);
    else if (section->name[0] != '\0')
        fm_build_key_error(b, section, "url", "a target needs one, such as local:* or web-1:9010");
    resolve_queries(b, target);
    if (!b->nomem)
        resolve_rules(b, target);
    if (!b->nomem)
        merge_tags(b, target);
    if (!b->nomem && b->n_errors == 0)
        check_rules(b, target);
}

void fm_config_check(struct fm_build *b)
{
    struct fm_config *cfg = b->cfg;
    const struct fm_cfg_retry *retry = &cfg->retry;
    check_agent(b);
    if (b->nomem)
        return;
    check_rest(b);
    check_order(b, "backoff", retry->backoff_ms, "max_backoff", retry->max_backoff_ms);
    check_order(b, "isolate_backoff", retry->isolate_backoff_ms, "isolate_max_backoff",
                retry->isolate_max_backoff_ms);
    check_spool(b);
    check_record(b);
    check_http(b);
    for (size_t i = 0; i < cfg->n_queries && !b->nomem; i++)
        fm_config_check_query(b, &cfg->queries[i]);
    for (size_t i = 0; i < cfg->n_targets && !b->nomem; i++)
        check_target(b, &cfg->targets[i]);
    if (!b->nomem)
        check_target(b, &cfg->unnamed);
}
