#include "cli/session.h"

#include <errno.h>
#include <string.h>

#include "base/thread.h"
#include "config/nearest.h"

static enum fm_code load(struct fm_cli *cli, const char *path, struct fm_config **out,
                         struct fm_err *err)
{
    const struct fm_config_opts opts = {.overrides = cli->global.overrides.items,
                                        .n_overrides = cli->global.overrides.n};
    return fm_config_load(out, path, &opts, err);
}

enum fm_code fm_cmd_config(struct fm_cli *cli, struct fm_config **out, const char **path,
                           struct fm_err *err)
{
    const char *found = fm_config_find(cli->global.config);
    if (path != NULL)
        *path = found;
    return load(cli, found, out, err);
}

static enum fm_code unknown_target(const struct fm_config *config, const char *file,
                                   const char *name, struct fm_err *err)
{
    if (file == NULL && config->n_targets == 0)
        return fm_err_set(
            err, FM_EUSAGE,
            "no target \"%.60s\": no config.ini was found to look it up in; name one "
            "with -c FILE, or give the target as pid:N, local:GLOB, host:port or a URL",
            name);
    if (config->n_targets == 0)
        return fm_err_set(err, FM_EUSAGE,
                          "no target \"%.60s\": %.80s has no [target:...]; give pid:N, local:GLOB, "
                          "host:port or a URL",
                          name, file);
    struct fm_nearest near = {.word = name};
    for (size_t i = 0; i < config->n_targets; i++)
        fm_nearest_offer(&near, config->targets[i].section.name);
    const char *best = fm_nearest_word(&near);
    return fm_err_set(err, FM_EUSAGE, "no target \"%.60s\" in %s; %s %s", name,
                      file != NULL ? file : "the configuration",
                      best != NULL ? "did you mean" : "the first one there is",
                      best != NULL ? best : config->targets[0].section.name);
}

/* NAME or NAME/PART of the configuration. */
static enum fm_code find_named(struct fm_cli *cli, const char *target, struct fm_config **config,
                               const struct fm_cfg_target **out, const char **part,
                               struct fm_err *err)
{
    const char *file = NULL;
    FM_TRY(fm_cmd_config(cli, config, &file, err));
    const char *slash = strchr(target, '/');
    size_t len = slash != NULL ? (size_t)(slash - target) : strlen(target);
    const char *name = fm_arena_strndup(&cli->arena, target, len);
    if (name == NULL)
        return fm_err_nomem(err);
    *part = slash != NULL ? slash + 1 : NULL;
    *out = fm_config_target(*config, name);
    return *out != NULL ? FM_OK : unknown_target(*config, file, name, err);
}

/* -o target.KEY=VALUE is for a target without a section. */
static enum fm_code check_unnamed(const struct fm_cli *cli, const struct fm_cfg_target *section,
                                  struct fm_err *err)
{
    for (size_t i = 0; i < cli->global.overrides.n; i++) {
        const char *text = cli->global.overrides.items[i];
        int len = (int)strcspn(text, "=");
        bool preset = strncmp(text, "target.preset=", 14) == 0; /* `watch` says it so itself */
        if (strncmp(text, "target.", 7) == 0 && !preset)
            return fm_err_set(err, FM_EUSAGE,
                              "%s has a section of its own: write -o target:%s.%.*s=",
                              section->section.name, section->section.name, len - 7, text + 7);
    }
    return FM_OK;
}

enum fm_code fm_cmd_target(struct fm_cli *cli, const char *target, struct fm_config **config,
                           struct fm_poll_target_opts *out, const char **part, struct fm_err *err)
{
    const struct fm_cfg_target *section = NULL;
    bool named = target[strcspn(target, ":/")] != ':'; /* NAME, NAME/PART, NAME/host:port */
    *config = NULL;
    *part = NULL;
    if (named) {
        FM_TRY(find_named(cli, target, config, &section, part, err));
        FM_TRY(check_unnamed(cli, section, err));
    } else {
        FM_TRY(fm_target_check(target, err));
        FM_TRY(load(cli, cli->global.config, config, err));
        section = &(*config)->unnamed;
    }
    FM_TRY(fm_plan_target(out, section, *config, &cli->arena, err));
    if (!named) {
        out->name = target;
        out->url = target;
    }
    return FM_OK;
}

static enum fm_code open_client(struct fm_session *s, struct fm_cli *cli, struct fm_err *err)
{
    FM_TRY(fm_net_init(err));
    const struct fm_client_opts opts = {.log = cli->log};
    return fm_client_new(&s->client, &opts, err);
}

enum fm_code fm_session_open(struct fm_session *s, struct fm_cli *cli, const char *target,
                             struct fm_err *err)
{
    const char *part = NULL;
    struct fm_poll_target_opts opts;
    *s = (struct fm_session){.target = target, .unnamed = target[strcspn(target, ":/")] == ':'};
    fm_arena_init(&s->arena, 0);
    FM_TRY(fm_cmd_target(cli, target, &s->config, &opts, &part, err));
    FM_TRY(open_client(s, cli, err));
    return fm_target_open(&s->jmx, &opts, part, s->client, cli->log, &s->info, err);
}

void fm_session_close(struct fm_session *s)
{
    fm_jmx_free(s->jmx);
    fm_client_free(s->client);
    fm_config_free(s->config);
    fm_arena_wipe(&s->arena);
    *s = (struct fm_session){.target = NULL};
}

enum fm_code fm_session_run(struct fm_session *s, struct fm_jmx_call *calls, size_t n,
                            struct fm_err *err)
{
    struct fm_jmx_cost cost = {0};
    enum fm_code code = fm_jmx_run(s->jmx, calls, n, &s->arena, &cost, err);
    size_t len = strlen(err->text);
    if (code == FM_EAUTH && s->unnamed) /* the keys it speaks of have no section here */
        (void)snprintf(err->text + len, sizeof err->text - len,
                       ": -o target.username=NAME -o target.password_file=FILE");
    return code;
}

enum fm_code fm_session_names(struct fm_session *s, const char *pattern, struct fm_value *out,
                              struct fm_err *err)
{
    struct fm_jmx_call call = {.op = FM_JMX_NAMES, .name = pattern};
    FM_TRY(fm_session_run(s, &call, 1, err));
    if (call.code != FM_OK)
        return fm_err_set(err, call.code, "%s: cannot list MBeans: %s", s->target,
                          fm_err_text(&call.err));
    *out = call.value;
    return FM_OK;
}

void fm_cmd_advise(struct fm_err *err)
{
    size_t len = strlen(err->text);
    if (err->sys == EACCES)
        (void)snprintf(err->text + len, sizeof err->text - len,
                       "; run as the agent's user, or as root");
}

/* ---- what was probably meant ---- */

const char *fm_session_text(const struct fm_value *object, const char *key)
{
    const struct fm_value *v = fm_value_member(object, key, strlen(key));
    return v != NULL && v->kind == FM_V_STRING ? v->text.ptr : "";
}

const char *fm_session_near_attribute(struct fm_session *s, const char *bean, const char *wanted)
{
    struct fm_jmx_call call = {.op = FM_JMX_INFO, .name = bean};
    struct fm_nearest near = {.word = wanted};
    struct fm_err err = {0};
    if (fm_session_run(s, &call, 1, &err) != FM_OK || call.code != FM_OK)
        return "";
    const struct fm_value *list = fm_value_member(&call.value, "attributes", 10);
    for (size_t i = 0; list != NULL && list->kind == FM_V_ARRAY && i < list->array.n; i++)
        fm_nearest_offer(&near, fm_session_text(&list->array.items[i], "name"));
    const char *best = fm_nearest_word(&near);
    return best != NULL ? best : "";
}

const char *fm_session_near_bean(struct fm_session *s, const char *wanted)
{
    struct fm_nearest near = {.word = wanted};
    struct fm_value names = {.kind = FM_V_ARRAY};
    struct fm_err err = {0};
    if (fm_session_names(s, "*:*", &names, &err) != FM_OK)
        return "";
    for (size_t i = 0; i < names.array.n; i++)
        fm_nearest_offer(&near, names.array.items[i].text.ptr);
    const char *best = fm_nearest_word(&near);
    return best != NULL ? best : "";
}
