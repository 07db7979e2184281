#include "agent/agent.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent_priv.h"
#include "agent/service.h"
#include "agent/signals.h"
#include "base/clock.h"
#include "base/trim.h"

enum {
    STOP_MS = 5000, /* the whole stop */
    LAST_COMMIT_MS = 1000, /* before it, for what was polled last */
    STALE_MS = 30000, /* documents this old: /livez says that the main thread hangs */
    SANDBOX_BYTES = 64 << 20
};

/* ---- the sender's options ---- */

static bool fresh_secret(void *arg, struct fm_buf *out)
{
    struct fm_agent *agent = arg;
    (void)pthread_mutex_lock(&agent->secret_lock);
    const struct fm_cfg_rest *rest = &agent->config->rest;
    struct fm_secret *secret = rest->auth == FM_CFG_AUTH_BEARER   ? rest->token
                               : rest->auth == FM_CFG_AUTH_OAUTH2 ? rest->oauth2_secret
                                                                  : rest->password;
    bool got = secret != NULL && fm_secret_get(secret, out, NULL) == FM_OK;
    (void)pthread_mutex_unlock(&agent->secret_lock);
    return got;
}

static void on_way(void *arg, const struct fm_rest_way *what)
{
    struct fm_agent *agent = arg;
    fm_way_say(&agent->way, what);
    fm_agent_news(agent);
}

enum fm_code fm_agent_rest_opts(struct fm_agent *agent, const struct fm_config *config,
                                struct fm_arena *arena, struct fm_rest_opts *out,
                                struct fm_err *err)
{
    FM_TRY(
        fm_plan_rest(out, config, agent->sandbox != NULL ? agent->sandbox_url : NULL, arena, err));
    const char *bare = fm_plan_bare_secret(config);
    if (bare != NULL)
        fm_log(agent->log, FM_LOG_WARN,
               "the secret of [rest] auth goes to %s unencrypted; use https://", bare);
    out->spool = agent->spool;
    out->log = agent->log;
    out->agent = agent->name;
    out->secret = fresh_secret;
    out->secret_arg = agent;
    if (agent->news_fd >= 0) { /* who renders documents */
        out->on_way = on_way;
        out->on_way_arg = agent;
    }
    return FM_OK;
}

/* ---- services ---- */

static void on_commit(void *arg)
{
    struct fm_agent *agent = arg;
    (void)pthread_mutex_lock(&agent->sender_lock);
    if (agent->sender != NULL)
        fm_rest_wakeup(agent->sender);
    (void)pthread_mutex_unlock(&agent->sender_lock);
    fm_agent_news(agent);
}

static void set_sender(struct fm_agent *agent, struct fm_rest *rest)
{
    (void)pthread_mutex_lock(&agent->sender_lock);
    agent->sender = rest;
    (void)pthread_mutex_unlock(&agent->sender_lock);
}

static void control_path(const struct fm_agent *agent, char *out, size_t size)
{
    (void)snprintf(out, size, "%s/control.sock", agent->config->agent.state_dir);
}

/* The state folder and, above it, what is missing; mode 0700. */
static enum fm_code make_state_dir(const char *path, struct fm_err *err)
{
    char part[4096];
    if (strlen(path) >= sizeof part)
        return fm_err_set(err, FM_ECONF, "[agent] state_dir is longer than %zu bytes",
                          sizeof part - 1);
    for (size_t i = 1;; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
            return fm_err_sys(err, errno, "cannot create [agent] state_dir %s", part);
        if (path[i] == '\0')
            break;
    }
    struct stat st;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return fm_err_set(err, FM_ECONF,
                          "[agent] state_dir %s is not a folder and cannot be made one: choose "
                          "another with -o agent.state_dir=DIR",
                          path);
    return FM_OK;
}

void fm_agent_spool_opts(struct fm_agent *agent, const struct fm_config *config,
                         struct fm_spool_opts *out)
{
    const struct fm_cfg_spool *cfg = &config->spool;
    *out = (struct fm_spool_opts){
        .path = cfg->memory ? NULL : cfg->path,
        .use = FM_SPOOL_AGENT,
        .agent = agent->name,
        .max_size = cfg->max_size_bytes,
        .max_age_ms = cfg->max_age_ms,
        .on_full = cfg->on_full == FM_CFG_FULL_DROP_NEWEST ? FM_SPOOL_DROP_NEWEST
                   : cfg->on_full == FM_CFG_FULL_BLOCK     ? FM_SPOOL_BLOCK
                                                           : FM_SPOOL_DROP_OLDEST,
        .sync_full = cfg->sync == FM_CFG_SYNC_FULL,
        .commit_ms = (unsigned)cfg->commit_ms,
        .dead_max_size = cfg->dead_max_size_bytes,
        .reserve = cfg->reserve_bytes,
        .control = fm_agent_declare,
        .control_arg = agent,
        .on_commit = on_commit,
        .on_commit_arg = agent,
        .log = agent->log,
    };
}

static enum fm_code start_spool(void *self, struct fm_err *err)
{
    struct fm_agent *agent = self;
    FM_TRY(make_state_dir(agent->config->agent.state_dir, err));
    char socket_path[4096];
    control_path(agent, socket_path, sizeof socket_path);
    struct fm_spool_opts opts;
    fm_agent_spool_opts(agent, agent->config, &opts);
    opts.control_socket = socket_path;
    enum fm_code code = fm_spool_open(&agent->spool, &opts, err);
    size_t len = strlen(err->text);
    if (code != FM_OK && err->sys == EACCES)
        (void)snprintf(err->text + len, sizeof err->text - len,
                       "; run as the user it belongs to, or set [spool] path");
    return code;
}

static void stop_spool(void *self)
{
    struct fm_agent *agent = self;
    if (agent->spool != NULL)
        fm_spool_stop(agent->spool);
}

static enum fm_code start_control(void *self, struct fm_err *err)
{
    struct fm_agent *agent = self;
    char path[4096];
    control_path(agent, path, sizeof path);
    const struct fm_control_opts opts = {.path = path, .spool = agent->spool, .log = agent->log};
    return fm_control_open(&agent->control, &opts, err);
}

static void stop_control(void *self)
{
    struct fm_agent *agent = self;
    fm_control_close(agent->control);
    agent->control = NULL;
}

enum fm_code fm_agent_start_http(struct fm_agent *agent, const struct fm_config *config,
                                 struct fm_err *err)
{
    const struct fm_cfg_http *cfg = &config->http;
    if (cfg->listen == NULL)
        return FM_OK;
    struct fm_buf password;
    fm_buf_init(&password, FM_SECRET_MAX);
    enum fm_code code = fm_secret_get(cfg->password, &password, err);
    if (code == FM_OK) {
        const struct fm_http_opts opts = {
            .listen = cfg->listen,
            .username = cfg->username,
            .password = cfg->password != NULL ? fm_buf_str(&password) : NULL,
            .cert_file = cfg->cert_file,
            .key_file = cfg->key_file,
            .max_connections = (unsigned)cfg->max_connections,
            .stale_ms = STALE_MS,
            .log = agent->log,
        };
        code = fm_http_start(&agent->http, &opts, err);
    }
    fm_secret_wipe(&password);
    if (code != FM_OK)
        (void)fm_err_context(err, "[http]");
    return code;
}

static enum fm_code start_http(void *self, struct fm_err *err)
{
    struct fm_agent *agent = self;
    return fm_agent_start_http(agent, agent->config, err);
}

static void join_http(void *self, int64_t timeout_ms)
{
    struct fm_agent *agent = self;
    (void)timeout_ms; /* the server's own stop is bounded */
    fm_http_stop(agent->http);
    agent->http = NULL;
}

static enum fm_code start_sandbox(void *self, struct fm_err *err)
{
    struct fm_agent *agent = self;
    if (!agent->config->rest.sandbox)
        return FM_OK;
    const struct fm_sandbox_opts opts = {.max_bytes = SANDBOX_BYTES, .log = agent->log};
    FM_TRY(fm_sandbox_start(&agent->sandbox, &opts, err));
    (void)snprintf(agent->sandbox_url, sizeof agent->sandbox_url, "http://127.0.0.1:%u",
                   (unsigned)fm_sandbox_port(agent->sandbox));
    fm_log(
        agent->log, FM_LOG_WARN,
        "[rest] url = sandbox: records go to the sandbox inside this process, nothing leaves the "
        "host (read them at %s)",
        agent->sandbox_url);
    return FM_OK;
}

static void join_sandbox(void *self, int64_t timeout_ms)
{
    struct fm_agent *agent = self;
    (void)timeout_ms;
    fm_sandbox_stop(agent->sandbox);
    agent->sandbox = NULL;
}

static enum fm_code start_rest(void *self, struct fm_err *err)
{
    struct fm_agent *agent = self;
    FM_TRY(fm_agent_rest_opts(agent, agent->config, &agent->rest_arena, &agent->rest_opts, err));
    FM_TRY(fm_rest_new(&agent->rest, &agent->rest_opts, err));
    FM_TRY(fm_rest_start(agent->rest, err));
    set_sender(agent, agent->rest);
    return FM_OK;
}

static void stop_rest(void *self)
{
    struct fm_agent *agent = self;
    if (agent->rest == NULL)
        return;
    /* Nothing is polled any more: what came last goes with the rest. On a full disk it cannot. */
    if (agent->spool != NULL && agent->ran)
        (void)!fm_spool_flush(agent->spool, LAST_COMMIT_MS, NULL);
    fm_rest_finish(agent->rest, FM_AGENT_GRACE_MS);
}

static void join_rest(void *self, int64_t timeout_ms)
{
    struct fm_agent *agent = self;
    set_sender(agent, NULL);
    if (agent->rest != NULL && !fm_rest_join(agent->rest, (unsigned)timeout_ms)) {
        fm_log(agent->log, FM_LOG_WARN, "the sender did not end in time");
        agent->hung = true;
    }
    fm_way_flush(&agent->way);
}

static enum fm_code start_poll(void *self, struct fm_err *err)
{
    struct fm_agent *agent = self;
    FM_TRY(fm_plan_new(&agent->plan, agent->config, NULL, err));
    const struct fm_poll_opts opts = {
        .log = agent->log,
        .hooks = {.ready = fm_agent_ready,
                  .sample = fm_agent_sample,
                  .state = fm_agent_state,
                  .arg = agent},
        .targets = agent->plan->targets,
        .n_targets = agent->plan->n_targets,
        .host_name = agent->plan->host_name,
    };
    FM_TRY(fm_poll_new(&agent->poll, &opts, err));
    return fm_poll_start(agent->poll, err);
}

static void stop_poll(void *self)
{
    struct fm_agent *agent = self;
    if (agent->poll != NULL)
        fm_poll_stop(agent->poll);
}

static void join_poll(void *self, int64_t timeout_ms)
{
    struct fm_agent *agent = self;
    if (agent->poll != NULL && !fm_poll_join(agent->poll, (unsigned)timeout_ms)) {
        fm_log(agent->log, FM_LOG_WARN, "the poll thread did not end in time");
        agent->hung = true;
    }
}

/* Order of start; stopped in reverse: poll (from then on nobody makes records), the sender, then
 * the local server, which says "stopping" to the last. */
static const struct fm_service services[] = {
    {"spool", start_spool, stop_spool, NULL},
    {"control socket", start_control, stop_control, NULL},
    {"local server", start_http, NULL, join_http},
    {"sandbox", start_sandbox, NULL, join_sandbox},
    {"sender", start_rest, stop_rest, join_rest},
    {"poll", start_poll, stop_poll, join_poll},
};
enum { N_SERVICES = sizeof services / sizeof services[0] };

/* ---- life ---- */

/* Nothing of ours belongs into a core file: it would hold secrets. */
static void forbid_cores(void)
{
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
}

void fm_agent_init(struct fm_agent *agent, const struct fm_agent_opts *opts)
{
    *agent =
        (struct fm_agent){.opts = opts, .signal_fd = -1, .news_fd = -1, .started_ms = fm_wall_ms()};
    agent->notify.fd = -1;
    (void)pthread_mutex_init(&agent->secret_lock, NULL);
    (void)pthread_mutex_init(&agent->sender_lock, NULL);
    fm_arena_init(&agent->rest_arena, 0);
    fm_buf_init(&agent->health, 0);
    fm_buf_init(&agent->stats, 0);
    fm_buf_init(&agent->metrics, 0);
    fm_buf_init(&agent->reasons.joined, 0);
    fm_buf_init(&agent->reasons.gone, 0);
    fm_buf_init(&agent->reasons.ends, 0);
    fm_way_init(&agent->way);
    agent->reasons.way = &agent->way;
    forbid_cores();
    /* Its few allocations need no heap for each thread; one is 0.1 MB smaller than seven. */
    (void)mallopt(M_ARENA_MAX, 1);
}

enum fm_code fm_agent_needs(const struct fm_config *config, struct fm_err *err)
{
    if (!config->rest.sandbox && config->rest.url.n == 0)
        return fm_err_set(err, FM_ECONF,
                          "[rest] url is not set: write the base URL of the REST proxy into "
                          "%.100s, or give -o rest.url=https://HOST:PORT (rest.url=sandbox to "
                          "try it without one)",
                          config->files.n > 0 ? config->files.items[0]
                                              : "config.ini (firstmile init makes one)");
    return FM_OK;
}

enum fm_code fm_agent_load(struct fm_agent *agent, struct fm_err *err)
{
    const struct fm_config_opts opts = {
        .overrides = agent->opts->overrides,
        .n_overrides = agent->opts->n_overrides,
    };
    FM_TRY(fm_config_load(&agent->config, agent->opts->config_path, &opts, err));
    agent->name = strdup(agent->config->agent.name);
    agent->spool_stats = calloc(1, sizeof *agent->spool_stats);
    agent->rest_stats = calloc(1, sizeof *agent->rest_stats);
    if (agent->name == NULL || agent->spool_stats == NULL || agent->rest_stats == NULL)
        return fm_err_nomem(err);
    const struct fm_cfg_log *log = &agent->config->log;
    enum fm_log_level level =
        agent->opts->log_level >= 0 ? (enum fm_log_level)agent->opts->log_level : log->level;
    FM_TRY(fm_log_new(&agent->log, STDERR_FILENO, level, log->format, err));
    agent->way.log = agent->log;
    return FM_OK;
}

/* From now on a second signal ends the process at once: nobody waits for a stop that hangs. */
static void arm_second_signal(struct fm_agent *agent)
{
    fm_signals_close(agent->signal_fd);
    agent->signal_fd = -1;
    (void)signal(SIGTERM, SIG_DFL);
    (void)signal(SIGINT, SIG_DFL);
}

static void say_start(struct fm_agent *agent)
{
    char waits[64] = "";
    fm_spool_stats_get(agent->spool, agent->spool_stats);
    uint64_t n = agent->spool_stats->records;
    if (n > 0)
        (void)snprintf(waits, sizeof waits, ", %llu record%s of before in it",
                       (unsigned long long)n, fm_plural(n));
    fm_log(agent->log, FM_LOG_INFO, "firstmile %s runs: agent %s, %zu target section%s, spool %s%s",
           FM_VERSION, agent->name, agent->plan->n_targets, fm_plural(agent->plan->n_targets),
           agent->config->spool.memory ? "in memory" : agent->config->spool.path, waits);
}

static void run_until_signal(struct fm_agent *agent)
{
    say_start(agent);
    if (agent->http != NULL)
        fm_log(agent->log, FM_LOG_INFO, "status page and /health at %s",
               agent->config->http.listen);
    fm_notify_send(&agent->notify, "READY=1");
    fm_agent_serve(agent);
    fm_notify_send(&agent->notify, "STOPPING=1");
    agent->stopping = true;
    fm_agent_publish(agent);
    arm_second_signal(agent);
}

enum fm_code fm_agent_run(const struct fm_agent_opts *opts, struct fm_err *err)
{
    struct fm_agent agent;
    fm_agent_init(&agent, opts);
    enum fm_code code = fm_agent_load(&agent, err);
    if (code == FM_OK)
        code = fm_agent_needs(agent.config, err);
    if (code == FM_OK)
        code = fm_net_init(err);
    if (code == FM_OK)
        code = fm_signals_open(&agent.signal_fd, err);
    if (code == FM_OK)
        code = fm_agent_listen(&agent, err);
    if (code == FM_OK) {
        fm_trim(); /* what the loader touched: else it and the first polls together are the peak */
        fm_notify_open(&agent.notify);
        code = fm_services_start(services, N_SERVICES, &agent, agent.log, err);
    }
    if (code == FM_OK) {
        run_until_signal(&agent);
        agent.ran = true;
        fm_services_stop(services, N_SERVICES, &agent, STOP_MS, agent.log);
        if (agent.hung)
            fm_agent_leave(&agent);
    }
    fm_agent_release(&agent);
    return code == FM_OK ? fm_agent_judge_end(&agent, err) : code;
}
