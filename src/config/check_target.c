/* Targets: their own keys, and what is worked out for them: queries, rules, tags. */
#include "config/check_priv.h"

#include <stdlib.h>
#include <string.h>

#include "config/presets.h"
#include "config/template.h"
#include "value/address.h"

enum { PID_MOST = 1 << 22 /* of Linux, PID_MAX_LIMIT */ };

static bool local_form(const char *url)
{
    if (fm_check_starts(url, "local:"))
        return url[6] != '\0';
    if (fm_check_starts(url, "pid:"))
        return url[4] != '\0' && strlen(url + 4) <= 7 &&
               url[4 + strspn(url + 4, "0123456789")] == '\0' &&
               strtoul(url + 4, NULL, 10) - 1 < PID_MOST /* and not 0 */;
    return false;
}

static void check_target_url(struct fm_build *b, const struct fm_section *section, const char *url)
{
    struct fm_err err;
    if (local_form(url))
        return;
    if (fm_check_has_credentials(url))
        fm_build_key_error(b, section, "url",
                           "a URL may not hold a user or a password; there are keys for them");
    else if (fm_check_starts(url, "pid:"))
        fm_build_key_error(b, section, "url", "\"%.40s\": a process number is 1 to %d", url,
                           PID_MOST);
    else if (fm_check_starts(url, "http://") || fm_check_starts(url, "https://"))
        (void)fm_check_http(b, section, "url", url);
    else if (!fm_check_starts(url, "service:jmx:") && fm_check_bad_port(url))
        fm_build_key_error(b, section, "url", "\"%.80s\": a port is a number from 1 to 65535", url);
    else if (!fm_check_starts(url, "service:jmx:") &&
             (!fm_check_host_port(url) || strpbrk(url, "%\t\r\n") != NULL))
        fm_build_key_error(b, section, "url",
                           "\"%.60s\" is none of local:GLOB, pid:NUMBER, HOST:PORT, "
                           "service:jmx:... and http(s)://...",
                           url);
    else if (fm_rmi_address_check(url, &err) != FM_OK)
        fm_build_key_error(b, section, "url", "%s", fm_err_text(&err));
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

/* A misspelt name behind -o makes a section of its own. */
static void no_url(struct fm_build *b, const struct fm_section *section)
{
    struct fm_nearest near = {.word = section->name};
    bool override = section->file != NULL && strcmp(section->file, "-o") == 0;
    for (size_t i = 0; override && i < b->cfg->n_targets; i++)
        if (&b->cfg->targets[i].section != section)
            fm_nearest_offer(&near, b->cfg->targets[i].section.name);
    const char *best = fm_nearest_word(&near);
    if (best != NULL)
        fm_build_key_error(b, section, "url",
                           "there is no [target:%s] in the file; did you mean target:%s?",
                           section->name, best);
    else
        fm_build_key_error(b, section, "url",
                           "a target needs one, such as local:* or web-1:9010 (or targets_file)");
}

/* What it says is read, and read again, by who polls. */
static void check_targets_file(struct fm_build *b, const struct fm_cfg_target *target)
{
    const struct fm_section *section = &target->section;
    if (target->url != NULL || target->hosts.n > 0)
        fm_build_key_error(b, section, "targets_file",
                           "it names the targets itself: take %s away, or make two sections",
                           target->url != NULL ? "url" : "hosts");
    if (section->name[0] == '\0')
        fm_build_key_error(b, section, "targets_file", "only a section with a name can have one");
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
    fm_build_key_error(b, section, "preset", "there is no preset %.64s%s%s; see firstmile presets",
                       name, best == NULL ? "" : "; did you mean ", best == NULL ? "" : best);
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
    /* Nothing polls the unnamed target: reading a preset for it would be a tenth of what `get`
     * does. */
    if (target != &cfg->unnamed && target->preset.n == 0 && cfg->n_queries == 0 &&
        target->query_names.n == 0)
        fm_check_set(b, &target->section, "preset", "jvm");
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

void fm_check_target(struct fm_build *b, struct fm_cfg_target *target)
{
    struct fm_config *cfg = b->cfg;
    const struct fm_section *section = &target->section;
    if (target->interval_ms == 0)
        target->interval_ms = cfg->agent.interval_ms;
    if (target->shape == FM_CFG_SHAPE_INHERIT)
        target->shape = cfg->record.shape;
    fm_check_topic(b, section, target->topic);
    if (target->topic == NULL)
        target->topic = cfg->rest.topic;
    fm_check_template(b, section, "key", target->key, FM_VARS_ALL);
    if (target->key == NULL)
        target->key = cfg->record.key;
    else if (target->key[0] == '\0')
        target->key = NULL;
    fm_check_pairs(b, section, "tags", &target->tags, FM_VARS_TAG);
    fm_check_proxy(b, section, &target->http_proxy);
    if (target->targets_file != NULL)
        check_targets_file(b, target);
    else if (target->url != NULL)
        check_hosts(b, target);
    else if (section->name[0] != '\0')
        no_url(b, section);
    resolve_queries(b, target);
    if (!b->nomem)
        resolve_rules(b, target);
    if (!b->nomem)
        merge_tags(b, target);
    if (!b->nomem && b->n_errors == 0)
        check_rules(b, target);
}
