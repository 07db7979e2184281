/* SIGHUP: a second configuration is loaded beside the first and taken over where it differs. */
#include <string.h>

#include "agent/agent_priv.h"

static void warn_restart(struct fm_agent *agent, const struct fm_config *fresh)
{
    struct fm_buf keys;
    fm_buf_init(&keys, 1024);
    if (fm_config_restart_keys(agent->config, fresh, &keys) > 0)
        fm_log(agent->log, FM_LOG_WARN, "reload: %s changed and needs a restart",
               fm_buf_str(&keys));
    fm_buf_clear(&keys);
}

static bool same_way_out(const struct fm_config *a, const struct fm_config *b)
{
    return fm_config_same_section(&a->rest.section, &b->rest.section) &&
           fm_config_same_section(&a->batch.section, &b->batch.section) &&
           fm_config_same_section(&a->retry.section, &b->retry.section);
}

static enum fm_code take_way_out(struct fm_agent *agent, const struct fm_config *fresh,
                                 struct fm_err *err)
{
    if (same_way_out(agent->config, fresh))
        return FM_OK;
    if (fresh->rest.sandbox && agent->sandbox == NULL)
        return fm_err_set(err, FM_ECONF, "[rest] url = sandbox needs a restart");
    struct fm_arena arena;
    fm_arena_init(&arena, 0);
    struct fm_rest_opts opts;
    enum fm_code code = fm_agent_rest_opts(agent, fresh, &arena, &opts, err);
    if (code == FM_OK)
        code = fm_rest_reconfigure(agent->rest, &opts, err);
    fm_arena_clear(&arena);
    return code;
}

/* The local server asks for other credentials from now on. */
static enum fm_code take_http(struct fm_agent *agent, const struct fm_config *fresh,
                              struct fm_err *err)
{
    if (agent->http == NULL ||
        fm_config_same_section(&agent->config->http.section, &fresh->http.section))
        return FM_OK;
    struct fm_buf password;
    fm_buf_init(&password, FM_SECRET_MAX);
    enum fm_code code = fm_secret_get(fresh->http.password, &password, err);
    if (code == FM_OK)
        code = fm_http_set_auth(agent->http, fresh->http.username,
                                fresh->http.password != NULL ? fm_buf_str(&password) : NULL, err);
    fm_secret_wipe(&password);
    return code;
}

void fm_agent_refresh_secrets(struct fm_agent *agent)
{
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

static enum fm_code take_over(struct fm_agent *agent, struct fm_config *fresh, struct fm_err *err)
{
    struct fm_plan *plan = NULL;
    FM_TRY(fm_plan_new(&plan, fresh, agent->plan, err));
    enum fm_code code = fm_agent_needs(fresh, err);
    if (code == FM_OK)
        code = take_way_out(agent, fresh, err);
    if (code == FM_OK)
        code = take_http(agent, fresh, err);
    if (code == FM_OK)
        code = fm_poll_replace(agent->poll, plan->targets, plan->n_targets, err);
    if (code != FM_OK) {
        fm_plan_free(plan);
        return code;
    }
    warn_restart(agent, fresh);
    fm_plan_free(agent->plan);
    agent->plan = plan;
    return FM_OK;
}

void fm_agent_reload(struct fm_agent *agent)
{
    struct fm_config *fresh = NULL;
    const struct fm_config_opts opts = {
        .overrides = agent->opts->overrides,
        .n_overrides = agent->opts->n_overrides,
    };
    struct fm_err err = {0};
    enum fm_code code = fm_config_load(&fresh, agent->opts->config_path, &opts, &err);
    if (code == FM_OK)
        code = take_over(agent, fresh, &err);
    if (code != FM_OK) {
        fm_log(agent->log, FM_LOG_ERROR, "reload: nothing changed: %s", fm_err_text(&err));
        memcpy(agent->reload_error, err.text, sizeof agent->reload_error);
        fm_config_free(fresh);
        return;
    }
    agent->reload_error[0] = '\0';
    if (agent->opts->log_level < 0)
        fm_log_set(agent->log, fresh->log.level, fresh->log.format);
    struct fm_config *old = agent->config;
    (void)pthread_mutex_lock(&agent->secret_lock);
    agent->config = fresh;
    (void)pthread_mutex_unlock(&agent->secret_lock);
    fm_config_free(old);
    fm_log(agent->log, FM_LOG_INFO, "reload: done, %zu target sections", agent->plan->n_targets);
}
