/* SIGHUP: a second configuration is loaded beside the first and taken over where it differs. */
#include <stdio.h>
#include <string.h>

#include "agent/agent_priv.h"

/* What a reload is about to take over; built whole before anything changes. */
struct change {
    struct fm_config *config;
    struct fm_plan *plan;
    struct fm_arena arena;
    struct fm_rest_opts rest;
    bool rest_changed;
    bool listen_waits; /* the file names another [http] listen than the one in force */
    char restart_keys[sizeof((struct fm_agent *)NULL)->restart_keys];
};

/* What it was started with: a second reload is no restart, and a setting that was put back needs
 * none. */
static const struct fm_config *boot_of(const struct fm_agent *agent)
{
    return agent->boot != NULL ? agent->boot : agent->config;
}

/* Before anything is made of the fresh configuration: its keys that need a restart are noted, and
 * the values in force take their place. A second name in one stream would break the proof; records
 * of a real way out that went to a sandbox begun meanwhile would be gone. */
static enum fm_code keep_running(const struct fm_agent *agent, struct change *c, struct fm_err *err)
{
    const struct fm_config *boot = boot_of(agent);
    struct fm_buf keys;
    fm_buf_init(&keys, 1024);
    (void)fm_config_restart_keys(boot, c->config, &keys);
    bool sandbox = c->config->rest.sandbox && agent->sandbox == NULL;
    if (sandbox)
        fm_buf_printf(&keys, "%srest.url (sandbox)", keys.len > 0 ? ", " : "");
    (void)snprintf(c->restart_keys, sizeof c->restart_keys, "%s", fm_buf_str(&keys));
    fm_buf_clear(&keys);
    c->listen_waits = !fm_plan_same_text(boot->http.listen, c->config->http.listen);
    fm_config_keep_running(c->config, boot);
    return sandbox ? fm_config_keep_url(c->config, agent->config, err) : FM_OK;
}

static void note_restart(struct fm_agent *agent, const struct change *c)
{
    if (c->restart_keys[0] != '\0')
        fm_log(agent->log, FM_LOG_WARN, "reload: %s changed and needs a restart", c->restart_keys);
    memcpy(agent->restart_keys, c->restart_keys, sizeof agent->restart_keys);
}

/* Secrets are compared by value: their files may say something else under the same name. */
static bool same_way_out(const struct fm_agent *agent, const struct fm_config *fresh,
                         const struct fm_rest_opts *opts)
{
    const struct fm_config *now = agent->config;
    const struct fm_rest_opts *old = &agent->rest_opts;
    return fm_config_same_section(&now->rest.section, &fresh->rest.section) &&
           fm_config_same_section(&now->batch.section, &fresh->batch.section) &&
           fm_config_same_section(&now->retry.section, &fresh->retry.section) &&
           fm_plan_same_text(old->password, opts->password) &&
           fm_plan_same_text(old->token, opts->token) &&
           fm_plan_same_text(old->oauth2_secret, opts->oauth2_secret) &&
           fm_plan_same_text(old->proxy.password, opts->proxy.password) &&
           fm_plan_same_text(old->tls.key_password, opts->tls.key_password);
}

static enum fm_code prepare(struct fm_agent *agent, struct change *c, struct fm_err *err)
{
    FM_TRY(fm_agent_needs(c->config, err));
    FM_TRY(keep_running(agent, c, err));
    FM_TRY(fm_plan_new(&c->plan, c->config, agent->plan, err));
    FM_TRY(fm_agent_rest_opts(agent, c->config, &c->arena, &c->rest, err));
    c->rest_changed = !same_way_out(agent, c->config, &c->rest);
    struct fm_rest *trial = NULL; /* starts nothing; refuses what the sender would refuse */
    FM_TRY(fm_rest_new(&trial, &c->rest, err));
    fm_rest_free(trial);
    return FM_OK;
}

/* Its password or certificate goes only together with the address that had it. */
static bool opens_up(const struct fm_agent *agent, const struct change *c)
{
    const struct fm_cfg_http *boot = &boot_of(agent)->http, *fresh = &c->config->http;
    return c->listen_waits && ((boot->username != NULL && fresh->username == NULL) ||
                               (boot->cert_file != NULL && fresh->cert_file == NULL));
}

/* The local server begins anew under other settings; if it cannot, it goes on under the old ones.
 */
static void take_http(struct fm_agent *agent, const struct change *c)
{
    const struct fm_config *fresh = c->config;
    if (fm_config_same_section(&agent->config->http.section, &fresh->http.section))
        return;
    if (opens_up(agent, c)) {
        fm_log(agent->log, FM_LOG_WARN,
               "reload: [http] stays as it is until the restart: without its password or "
               "certificate the address in force would be open");
        return;
    }
    struct fm_err err = {0};
    fm_http_stop(agent->http);
    agent->http = NULL;
    if (fm_agent_start_http(agent, fresh, &err) == FM_OK)
        return;
    fm_log(agent->log, FM_LOG_ERROR, "reload: the local server keeps its settings: %s",
           fm_err_text(&err));
    (void)snprintf(agent->reload_error, sizeof agent->reload_error, "%s", fm_err_text(&err));
    if (fm_agent_start_http(agent, agent->config, &err) != FM_OK)
        fm_log(agent->log, FM_LOG_ERROR, "reload: no local server: %s", fm_err_text(&err));
}

void fm_agent_refresh_http(struct fm_agent *agent)
{
    const struct fm_cfg_http *cfg = &agent->config->http;
    if (agent->http == NULL || cfg->username == NULL || fm_secret_file(cfg->password) == NULL)
        return;
    struct fm_err err = {0};
    struct fm_buf password;
    fm_buf_init(&password, FM_SECRET_MAX);
    enum fm_code code = fm_secret_get(cfg->password, &password, &err);
    if (code == FM_OK)
        code = fm_http_set_auth(agent->http, cfg->username, fm_buf_str(&password), &err);
    fm_secret_wipe(&password);
    if (code != FM_OK)
        fm_log_limited(agent->log, FM_LOG_ERROR, "http secret",
                       "the local server keeps its password: %s", fm_err_text(&err));
}

/* What signs on is read by the sender itself; these two are options of its connections. */
static void refresh_way_out(struct fm_agent *agent)
{
    if (agent->rest == NULL || !fm_plan_way_out_changed(agent->config, &agent->rest_opts))
        return;
    struct fm_err err = {0};
    struct fm_arena arena;
    struct fm_rest_opts opts;
    fm_arena_init(&arena, 0);
    enum fm_code code = fm_agent_rest_opts(agent, agent->config, &arena, &opts, &err);
    if (code == FM_OK)
        code = fm_rest_reconfigure(agent->rest, &opts, &err);
    if (code != FM_OK) {
        fm_log_limited(agent->log, FM_LOG_ERROR, "way out", "changed secrets of [rest]: %s",
                       fm_err_text(&err));
        fm_arena_wipe(&arena);
        return;
    }
    fm_arena_wipe(&agent->rest_arena);
    agent->rest_arena = arena;
    agent->rest_opts = opts;
    fm_log(agent->log, FM_LOG_INFO, "secrets of [rest] changed and were taken over");
}

void fm_agent_refresh_secrets(struct fm_agent *agent)
{
    fm_agent_refresh_http(agent);
    refresh_way_out(agent);
    if (!fm_plan_secrets_changed(agent->plan))
        return;
    struct fm_err err = {0};
    struct fm_plan *plan = NULL;
    enum fm_code code = fm_plan_new(&plan, agent->config, agent->plan, &err);
    if (code == FM_OK)
        code = fm_poll_replace(agent->poll, plan->targets, plan->n_targets, &err);
    if (code != FM_OK) {
        fm_log_limited(agent->log, FM_LOG_ERROR, "secrets", "changed secrets of targets: %s",
                       fm_err_text(&err));
        fm_plan_free(plan);
        return;
    }
    fm_plan_free(agent->plan);
    agent->plan = plan;
    fm_log(agent->log, FM_LOG_INFO, "secrets of targets changed and were taken over");
}

static void take_spool(struct fm_agent *agent, const struct fm_config *fresh)
{
    if (fm_config_same_section(&agent->config->spool.section, &fresh->spool.section))
        return;
    struct fm_err err = {0};
    struct fm_spool_opts opts;
    fm_agent_spool_opts(agent, fresh, &opts);
    if (fm_spool_reconfigure(agent->spool, &opts, &err) == FM_OK)
        return;
    fm_log(agent->log, FM_LOG_ERROR, "reload: [spool] is not taken over: %s", fm_err_text(&err));
    (void)snprintf(agent->reload_error, sizeof agent->reload_error, "%s", fm_err_text(&err));
}

/* Targets first: only they can still refuse. */
static enum fm_code take_over(struct fm_agent *agent, struct change *c, struct fm_err *err)
{
    FM_TRY(fm_poll_replace(agent->poll, c->plan->targets, c->plan->n_targets, err));
    fm_plan_free(agent->plan);
    agent->plan = c->plan;
    c->plan = NULL;
    if (c->rest_changed) {
        struct fm_err rest_err = {0};
        if (fm_rest_reconfigure(agent->rest, &c->rest, &rest_err) != FM_OK) {
            fm_log(agent->log, FM_LOG_ERROR, "reload: the way out stays as it was: %s",
                   fm_err_text(&rest_err));
            (void)snprintf(agent->reload_error, sizeof agent->reload_error, "%s",
                           fm_err_text(&rest_err));
        }
    }
    fm_arena_wipe(&agent->rest_arena);
    agent->rest_arena = c->arena;
    agent->rest_opts = c->rest;
    fm_arena_init(&c->arena, 0);
    take_spool(agent, c->config);
    take_http(agent, c);
    note_restart(agent, c);
    if (agent->opts->log_level < 0)
        fm_log_set(agent->log, c->config->log.level, c->config->log.format);
    struct fm_config *old = agent->config;
    (void)pthread_mutex_lock(&agent->secret_lock);
    agent->config = c->config;
    (void)pthread_mutex_unlock(&agent->secret_lock);
    c->config = NULL;
    if (agent->boot == NULL)
        agent->boot = old;
    else
        fm_config_free(old);
    fm_poll_retry(agent->poll);
    return FM_OK;
}

void fm_agent_reload(struct fm_agent *agent)
{
    const struct fm_config_opts opts = {
        .overrides = agent->opts->overrides,
        .n_overrides = agent->opts->n_overrides,
    };
    struct change change = {.config = NULL};
    fm_arena_init(&change.arena, 0);
    struct fm_err err = {0};
    agent->reload_error[0] = '\0';
    enum fm_code code = fm_config_load(&change.config, agent->opts->config_path, &opts, &err);
    if (code == FM_OK)
        code = prepare(agent, &change, &err);
    if (code == FM_OK)
        code = take_over(agent, &change, &err);
    if (code == FM_OK) {
        fm_log(agent->log, FM_LOG_INFO, "reload: done, %zu target section%s",
               agent->plan->n_targets, agent->plan->n_targets == 1 ? "" : "s");
    } else {
        fm_log(agent->log, FM_LOG_ERROR, "reload: nothing changed: %s", fm_err_text(&err));
        (void)snprintf(agent->reload_error, sizeof agent->reload_error, "%s", fm_err_text(&err));
    }
    fm_plan_free(change.plan);
    fm_arena_wipe(&change.arena);
    fm_config_free(change.config);
}
