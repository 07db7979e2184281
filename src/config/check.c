/* What concerns several keys, and what is derived from them. */
#include "config/check_priv.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/thread.h"
#include "config/template.h"
#include "value/address.h"
#include "value/name.h"

bool fm_check_starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* What an empty value of this key means. */
void fm_check_set(struct fm_build *b, struct fm_section *section, const char *key, const char *text)
{
    struct fm_err err = {0};
    if (fm_value_set(b, fm_option_find(section->kind, key, NULL), section, text, &err) != FM_OK)
        fm_build_key_error(b, section, key, "%s", fm_err_text(&err));
}

/* ---- URLs ---- */

/* user:password@ in front of a host, with a scheme or without. */
bool fm_check_has_credentials(const char *url)
{
    const char *host = strstr(url, "//");
    if (host == NULL)
        host = url;
    for (; host != NULL; host = strstr(host + 2, "//")) {
        if (host != url || fm_check_starts(url, "//"))
            host += 2;
        size_t len = strcspn(host, "/?#");
        if (memchr(host, '@', len) != NULL)
            return true;
        if (strlen(host) < 2)
            return false;
    }
    return false;
}

static bool in_range(const char *port, size_t digits)
{
    return digits <= 5 && strtol(port, NULL, 10) <= 65535;
}

bool fm_check_host_port(const char *text)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || strpbrk(text, "/ ?#@") != NULL)
        return false;
    size_t digits = strspn(colon + 1, "0123456789");
    if (digits == 0 || colon[1 + digits] != '\0' || !in_range(colon + 1, digits))
        return false;
    /* An IPv6 address needs its brackets. */
    return memchr(text, ':', (size_t)(colon - text)) == NULL ||
           (text[0] == '[' && colon[-1] == ']');
}

/* host:DIGITS or a URL with them, only that no port has this number: for a sentence that says so.
 */
bool fm_check_bad_port(const char *text)
{
    const char *scheme = strstr(text, "://");
    const char *host = scheme != NULL ? scheme + 3 : text;
    size_t len = strcspn(host, "/?#");
    const char *colon = memrchr(host, ':', len);
    size_t digits = colon != NULL ? strspn(colon + 1, "0123456789") : 0;
    return digits > 0 && colon + 1 + digits == host + len &&
           (!in_range(colon + 1, digits) || strspn(colon + 1, "0") == digits) &&
           (host[0] == '[' || memchr(host, ':', len) == colon);
}

/* @return what stands behind http(s)://; "" where that is not, or a blank or a quote is */
static const char *http_host(const char *text)
{
    const char *host = fm_check_starts(text, "https://")  ? text + 8
                       : fm_check_starts(text, "http://") ? text + 7
                                                          : "";
    return strpbrk(text, " \t\"<>") == NULL ? host : "";
}

bool fm_check_http(struct fm_build *b, const struct fm_section *section, const char *key,
                   const char *url)
{
    if (url == NULL)
        return true;
    const char *host = http_host(url);
    size_t len = strcspn(host, "/?#");
    const char *fault = fm_authority_fault(host, len);
    if (fm_check_has_credentials(url))
        fm_build_key_error(b, section, key,
                           "a URL may not hold a user or a password; there are keys for them");
    else if (len == 0)
        fm_build_key_error(b, section, key, "\"%.60s\" is neither https://HOST nor http://HOST",
                           url);
    else if (fm_check_bad_port(url))
        fm_build_key_error(b, section, key, "\"%.80s\": a port is a number from 1 to 65535", url);
    else if (fault != NULL)
        fm_build_key_error(b, section, key, "\"%.80s\": %s", url, fault);
    else
        return true;
    return false;
}

void fm_check_proxy(struct fm_build *b, const struct fm_section *section, const char **proxy)
{
    if (*proxy == NULL || strcmp(*proxy, "none") == 0)
        *proxy = NULL;
    else if (strcmp(*proxy, "environment") != 0)
        (void)fm_check_http(b, section, "http_proxy", *proxy);
}

static const char *without_slashes(struct fm_build *b, const char *url)
{
    size_t len = strlen(url);
    while (len > 0 && url[len - 1] == '/')
        len--;
    return url[len] == '\0' ? url : fm_build_strndup(b, url, len);
}

/* ---- templates ---- */

void fm_check_template(struct fm_build *b, const struct fm_section *section, const char *key,
                       const char *text, unsigned allowed)
{
    struct fm_template *tpl = NULL;
    struct fm_err err = {0};
    if (text != NULL && fm_template_new(&tpl, text, allowed, NULL, &err) != FM_OK)
        fm_build_key_error(b, section, key, "%s", fm_err_text(&err));
    fm_template_free(tpl);
}

/* The agent's name is known; host and target, if they are in it, are checked with each record. */
void fm_check_topic(struct fm_build *b, const struct fm_section *section, const char *text)
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
void fm_check_pairs(struct fm_build *b, const struct fm_section *section, const char *key,
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
        fm_check_template(b, section, key, item + len + 1, allowed);
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

/* Not even written: what was written and is no good was complained about already. */
static bool absent(const struct fm_section *section, const char *key, const void *value)
{
    return value == NULL && fm_section_place(section, key) == NULL;
}

static void check_auth(struct fm_build *b)
{
    struct fm_cfg_rest *rest = &b->cfg->rest;
    const struct fm_section *section = &rest->section;
    if (rest->auth == FM_CFG_AUTH_BASIC &&
        (rest->username == NULL || absent(section, "password", rest->password)))
        fm_build_key_error(b, &rest->section, "auth",
                           "basic needs username and password (or password_file)");
    if (rest->auth == FM_CFG_AUTH_BEARER && absent(section, "token", rest->token))
        fm_build_key_error(b, &rest->section, "auth", "bearer needs token (or token_file)");
    if (rest->auth == FM_CFG_AUTH_OAUTH2 &&
        (rest->oauth2_url == NULL || rest->oauth2_client == NULL ||
         absent(section, "oauth2_secret", rest->oauth2_secret)))
        fm_build_key_error(b, &rest->section, "auth",
                           "oauth2 needs oauth2_url, oauth2_client and oauth2_secret (or "
                           "oauth2_secret_file)");
    if (rest->username != NULL && strchr(rest->username, ':') != NULL)
        fm_build_key_error(b, &rest->section, "username",
                           "a colon cannot be part of it (RFC 7617)");
}

static void check_schema(struct fm_build *b)
{
    struct fm_cfg_rest *rest = &b->cfg->rest;
    const char *id = rest->schema_id;
    bool typed = rest->format == FM_CFG_FORMAT_AVRO || rest->format == FM_CFG_FORMAT_JSONSCHEMA;
    bool cloud = rest->cluster_id != NULL && strncmp(rest->cluster_id, "lkc-", 4) == 0;
    if (typed && (rest->dialect == FM_CFG_DIALECT_STRIMZI ||
                  rest->dialect == FM_CFG_DIALECT_REDPANDA || cloud))
        fm_build_key_error(b, &rest->section, "format",
                           "this proxy has no formats with a schema: set json or binary");
    if (!typed && (id != NULL || rest->schema_file != NULL))
        fm_build_key_error(b, &rest->section, id != NULL ? "schema_id" : "schema_file",
                           "only format = avro and jsonschema have a schema");
    if (id != NULL && rest->schema_file != NULL)
        fm_build_key_error(b, &rest->section, "schema_id", "schema_file is set, too: choose one");
    size_t len = id != NULL ? strlen(id) : 1;
    if (id != NULL && (strspn(id, "0123456789") != len || len > 9 || id[0] == '0'))
        fm_build_key_error(b, &rest->section, "schema_id", "\"%.40s\" is no id of a schema", id);
}

/* A schema that was given holds one shape; records of another would lose what it has no field for.
 */
static void check_one_shape(struct fm_build *b)
{
    const struct fm_config *cfg = b->cfg;
    bool given = cfg->rest.schema_id != NULL || cfg->rest.schema_file != NULL;
    const struct fm_cfg_rule *first = NULL;
    for (size_t i = 0; i < cfg->n_targets && given; i++)
        for (size_t k = 0; k < cfg->targets[i].n_rules; k++) {
            const struct fm_cfg_rule *rule = &cfg->targets[i].rules[k];
            if (first == NULL)
                first = rule;
            if (rule->shape == first->shape)
                continue;
            fm_build_key_error(b, &cfg->targets[i].section, "shape",
                               "[rest] %s is one schema for records of one shape, and the targets "
                               "make several; set one shape everywhere",
                               cfg->rest.schema_id != NULL ? "schema_id" : "schema_file");
            return;
        }
}

/* sha256//BASE64 of 32 bytes, several joined by ;. libcurl would take anything else for a file. */
static bool is_pin(const char *text)
{
    enum { DIGITS = 43 };
    for (;;) {
        if (!fm_check_starts(text, "sha256//"))
            return false;
        text += 8;
        size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
        if (n != DIGITS || text[n] != '=')
            return false;
        text += n + 1;
        if (*text == '\0')
            return true;
        if (*text++ != ';')
            return false;
    }
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
        (void)fm_check_http(b, &rest->section, "url", url->items[i]);
        url->items[i] = without_slashes(b, url->items[i]);
    }
    if (rest->sandbox && url->n > 1)
        fm_build_key_error(b, &rest->section, "url", "sandbox stands alone, not in a list");
    if (rest->sandbox)
        *url = (struct fm_strlist){0};
    if (fm_check_http(b, &rest->section, "consumer_url", rest->consumer_url) &&
        rest->consumer_url != NULL)
        rest->consumer_url = without_slashes(b, rest->consumer_url);
    (void)fm_check_http(b, &rest->section, "oauth2_url", rest->oauth2_url);
    fm_check_proxy(b, &rest->section, &rest->http_proxy);
    fm_check_topic(b, &rest->section, rest->topic);
    if (rest->topic == NULL)
        fm_build_key_error(b, &rest->section, "topic", "a topic is needed");
    if (rest->api != FM_CFG_API_V2 && rest->dialect != FM_CFG_DIALECT_CONFLUENT)
        fm_build_key_error(b, &rest->section, "api",
                           "only Confluent's proxies speak v3: leave dialect at confluent, or set "
                           "api = v2");
    if (rest->pinned_key != NULL && !is_pin(rest->pinned_key))
        fm_build_key_error(b, &rest->section, "pinned_key",
                           "write sha256//BASE64 of the public key's hash (44 characters end in "
                           "=), several joined by ;");
    check_schema(b);
    check_auth(b);
}

static void check_order(struct fm_build *b, const char *low_key, int64_t low, const char *high_key,
                        int64_t high)
{
    if (low > high)
        fm_build_key_error(b, &b->cfg->retry.section, low_key, "longer than %s", high_key);
}

/* At least half of it is for what is not reserved. */
static void check_spool_size(struct fm_build *b)
{
    enum { KIB = 1024, MIB = 1024 * KIB };
    const struct fm_cfg_spool *spool = &b->cfg->spool;
    uint64_t least = 2 * spool->reserve_bytes, most = spool->max_size_bytes / 2;
    if (least <= spool->max_size_bytes)
        return;
    bool mib = least % MIB == 0 && most % MIB == 0;
    unsigned unit = mib ? MIB : KIB;
    fm_build_key_error(b, &spool->section, "max_size",
                       "too little beside the reserve, which lies within it: raise it to "
                       "%llu%s or more, or set reserve = %llu%s or less",
                       (unsigned long long)((least + unit - 1) / unit), mib ? "MiB" : "KiB",
                       (unsigned long long)(most / unit), mib ? "MiB" : "KiB");
}

static void check_spool(struct fm_build *b)
{
    struct fm_cfg_spool *spool = &b->cfg->spool;
    spool->memory = spool->path != NULL && strcmp(spool->path, "memory") == 0;
    if (!spool->memory)
        check_spool_size(b);
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
    fm_check_template(b, &record->section, "key", record->key, FM_VARS_ALL);
    fm_check_pairs(b, &record->section, "tags", &record->tags, FM_VARS_TAG);
    fm_check_pairs(b, &record->section, "headers", &record->headers, FM_VARS_ALL);
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
    else if (!fm_check_host_port(http->listen) &&
             !(fm_check_starts(http->listen, "unix:") && http->listen[5] != '\0'))
        fm_build_key_error(b, &http->section, "listen",
                           fm_check_bad_port(http->listen)
                               ? "\"%.60s\": a port is a number from 1 to 65535"
                               : "\"%.60s\" is none of HOST:PORT, unix:PATH and off",
                           http->listen);
    if ((http->username == NULL) != absent(&http->section, "password", http->password))
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
        fm_build_key_error(b, section, "bean",
                           "a pattern is needed, such as java.lang:type=Memory");
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
    fm_check_topic(b, section, query->topic);
    fm_check_template(b, section, "key", query->key, FM_VARS_ALL);
    if (query->attributes.n == 0)
        fm_check_set(b, &query->section, "attributes", "*");
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
        fm_check_target(b, &cfg->targets[i]);
    if (!b->nomem)
        check_one_shape(b);
    if (!b->nomem)
        fm_check_target(b, &cfg->unnamed);
}
