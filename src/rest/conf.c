#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rest/rest_priv.h"

static void set_default(unsigned *value, unsigned def)
{
    if (*value == 0)
        *value = def;
}

static void fill_defaults(struct fm_rest_opts *o)
{
    if (o->dialect == FM_DIALECT_CONFLUENT_V3_BATCH && o->batch_records > FM_REST_ENTRIES_MAX)
        o->batch_records = 0;
    set_default(&o->batch_records,
                o->dialect == FM_DIALECT_CONFLUENT_V3_BATCH ? FM_REST_ENTRIES : 500);
    set_default(&o->backoff_ms, 1000);
    set_default(&o->max_backoff_ms, 60000);
    set_default(&o->isolate_backoff_ms, 30000);
    set_default(&o->isolate_max_backoff_ms, 600000);
    set_default(&o->suspect_interval_ms, 30000);
    set_default(&o->max_suspects, 100);
    set_default(&o->hold_interval_ms, 30000);
    set_default(&o->stuck_interval_ms, 60000);
    set_default(&o->connect_timeout_ms, 10000);
    set_default(&o->timeout_ms, 130000);
    set_default(&o->timeout_single_ms, 190000);
    set_default(&o->probe_timeout_ms, 65000);
    set_default(&o->idle_age_ms, 25000);
    set_default(&o->connection_life_ms, 600000);
    set_default(&o->limit_age_ms, 3600000);
    set_default(&o->max_in_flight, 1);
    if (o->batch_bytes == 0)
        o->batch_bytes = 350 * 1024;
}

static bool copy(struct fm_arena *arena, const char **text)
{
    if (*text == NULL)
        return true;
    *text = fm_arena_strndup(arena, *text, strlen(*text));
    return *text != NULL;
}

static bool copy_all(struct fm_rest_conf *c)
{
    struct fm_rest_opts *o = &c->o;
    const char **texts[] = {
        &o->username,       &o->password,        &o->token,         &o->oauth2_url,
        &o->oauth2_client,  &o->oauth2_secret,   &o->oauth2_scope,  &o->identity_pool,
        &o->connect_to,     &o->cluster_id,      &o->agent,         &o->schema,
        &o->tls.ca_file,    &o->tls.cert_file,   &o->tls.key_file,  &o->tls.key_password,
        &o->tls.pinned_key, &o->tls.verify_name, &o->proxy.url,     &o->proxy.username,
        &o->proxy.password, &o->proxy.ca_file,   &o->proxy.no_proxy};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!copy(&c->arena, texts[i]))
            return false;
    return true;
}

static enum fm_code check_url(const char *url, struct fm_err *err)
{
    size_t scheme = strncmp(url, "http://", 7) == 0 ? 7 : strncmp(url, "https://", 8) == 0 ? 8 : 0;
    if (scheme == 0 || url[scheme] == '\0' || url[scheme] == '/')
        return fm_err_set(err, FM_ECONF, "%s is no http:// or https:// URL: check [rest] url", url);
    size_t host = strcspn(url + scheme, "/?#");
    if (memchr(url + scheme, '@', host) != NULL)
        return fm_err_set(err, FM_ECONF,
                          "credentials do not belong into [rest] url: "
                          "use username and password");
    if (strpbrk(url + scheme, "?# \t\r\n") != NULL || strlen(url) > 255)
        return fm_err_set(err, FM_ECONF, "%.100s cannot be a base URL: check [rest] url", url);
    return FM_OK;
}

/* Without slashes at its end. v3 begins at /v3 below the host at every self-managed proxy, so a URL
 * without any path means that; one with a path is taken as it is written. */
static const char *base_url(struct fm_rest_conf *c, const char *url)
{
    size_t len = strlen(url);
    while (len > 0 && url[len - 1] == '/')
        len--;
    const char *host = strstr(url, "://") + 3;
    bool bare = memchr(host, '/', (size_t)(url + len - host)) == NULL;
    bool v3 = bare && fm_rest_is_v3(c->o.dialect);
    char *copy = fm_arena_alloc(&c->arena, len + sizeof "/v3");
    if (copy != NULL)
        (void)snprintf(copy, len + sizeof "/v3", "%.*s%s", (int)len, url, v3 ? "/v3" : "");
    return copy;
}

static enum fm_code copy_urls(struct fm_rest_conf *c, struct fm_err *err)
{
    const char **urls = fm_arena_array(&c->arena, c->o.n_urls, sizeof *urls);
    if (urls == NULL)
        return fm_err_nomem(err);
    for (size_t i = 0; i < c->o.n_urls; i++) {
        FM_TRY(check_url(c->o.urls[i], err));
        if ((urls[i] = base_url(c, c->o.urls[i])) == NULL)
            return fm_err_nomem(err);
    }
    c->o.urls = urls;
    return FM_OK;
}

enum fm_code fm_rest_conf_new(struct fm_rest_conf **out, const struct fm_rest_opts *o,
                              struct fm_err *err)
{
    *out = NULL;
    if (o->n_urls == 0 || o->n_urls > FM_REST_ENDPOINTS)
        return fm_err_set(err, FM_ECONF, "[rest] url wants 1 to %d URLs", FM_REST_ENDPOINTS);
    if (o->auth == FM_REST_AUTH_BASIC && o->username == NULL)
        return fm_err_set(err, FM_ECONF, "[rest] auth = basic wants a username");
    if (o->auth == FM_REST_AUTH_OAUTH2 &&
        (o->oauth2_url == NULL || o->oauth2_client == NULL || o->oauth2_secret == NULL))
        return fm_err_set(err, FM_ECONF,
                          "[rest] auth = oauth2 wants oauth2_url, oauth2_client and oauth2_secret");
    if (o->cluster_id != NULL && !fm_v3_cluster_valid(o->cluster_id, strlen(o->cluster_id)))
        return fm_err_set(err, FM_ECONF, "%.100s cannot be a cluster's id: check [rest] cluster_id",
                          o->cluster_id);
    struct fm_rest_conf *c = calloc(1, sizeof *c);
    if (c == NULL)
        return fm_err_nomem(err);
    c->o = *o;
    fm_arena_init(&c->arena, 0);
    fill_defaults(&c->o);
    enum fm_code code = copy_urls(c, err);
    if (code == FM_OK && !copy_all(c))
        code = fm_err_nomem(err);
    if (code != FM_OK) {
        fm_rest_conf_free(c);
        return code;
    }
    fm_net_proxy_for(&c->o.proxy, c->o.urls[0], c->proxy, sizeof c->proxy);
    *out = c;
    return FM_OK;
}

void fm_rest_conf_free(struct fm_rest_conf *conf)
{
    if (conf == NULL)
        return;
    fm_arena_wipe(&conf->arena);
    free(conf);
}

bool fm_rest_topic_valid(const char *topic)
{
    size_t len = strlen(topic);
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    return len >= 1 && len <= 249 && strspn(topic, allowed) == len && strcmp(topic, ".") != 0 &&
           strcmp(topic, "..") != 0;
}
