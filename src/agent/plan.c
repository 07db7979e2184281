#include "agent/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* ---- texts and secrets in an arena ---- */

static enum fm_code copy_secret(const char **out, struct fm_secret *secret, const char *what,
                                struct fm_arena *arena, struct fm_err *err)
{
    *out = NULL;
    if (secret == NULL)
        return FM_OK;
    struct fm_buf value;
    fm_buf_init(&value, FM_SECRET_MAX);
    enum fm_code code = fm_secret_get(secret, &value, err);
    if (code == FM_OK) {
        *out = fm_arena_strndup(arena, fm_buf_str(&value), value.len);
        if (*out == NULL)
            code = fm_err_nomem(err);
    } else {
        (void)fm_err_context(err, "%s", what);
    }
    fm_secret_wipe(&value);
    return code;
}

/* The machine's name, as ${host} of local JVMs. */
static const char *host_name(struct fm_arena *arena)
{
    char name[256] = "";
    (void)gethostname(name, sizeof name - 1);
    return fm_arena_strndup(arena, name, strlen(name));
}

/* ---- rules ---- */

static enum fm_shape shape_of(enum fm_cfg_shape shape)
{
    return shape == FM_CFG_SHAPE_METRIC     ? FM_SHAPE_METRIC
           : shape == FM_CFG_SHAPE_SNAPSHOT ? FM_SHAPE_SNAPSHOT
                                            : FM_SHAPE_BEAN;
}

/* The rules of a target, appended to the plan's in the target's order. */
static enum fm_code add_rules(struct fm_plan *plan, const struct fm_cfg_target *target,
                              struct fm_err *err)
{
    const struct fm_cfg_record *record = &plan->config->record;
    struct fm_rule **rules =
        realloc(plan->rules, (plan->n_rules + target->n_rules + 1) * sizeof *rules);
    if (rules == NULL)
        return fm_err_nomem(err);
    plan->rules = rules;
    for (size_t i = 0; i < target->n_rules; i++) {
        const struct fm_rule_opts opts = {
            .agent = plan->config->agent.name,
            .shape = shape_of(target->rules[i].shape),
            .topic = target->rules[i].topic,
            .key = target->rules[i].key,
            .partition = record->partition,
            .tags = target->all_tags.items,
            .n_tags = target->all_tags.n,
            .headers = record->headers.items,
            .n_headers = record->headers.n,
            .nonfinite = record->nonfinite,
            .max_bytes = (size_t)record->max_bytes,
        };
        FM_TRY(fm_rule_new(&rules[plan->n_rules], &opts, err));
        plan->n_rules++;
    }
    return FM_OK;
}

/* ---- queries ---- */

enum fm_code fm_plan_query(struct fm_query **out, const struct fm_cfg_query *source,
                           struct fm_arena *scratch, struct fm_err *err)
{
    struct fm_query_where *where = fm_arena_array(scratch, source->n_where + 1, sizeof *where);
    if (where == NULL)
        return fm_err_nomem(err);
    for (size_t i = 0; i < source->n_where; i++)
        where[i] = (struct fm_query_where){source->where[i].property, source->where[i].regex};
    struct fm_query_opts opts = {
        .name = source->section.name,
        .bean = source->bean,
        .exclude = source->exclude,
        .where = where,
        .n_where = source->n_where,
        .attributes = source->attributes.items,
        .n_attributes = source->attributes.n,
        .max_beans = (unsigned)source->max_beans,
    };
    enum fm_code code = fm_query_new(out, &opts, err);
    if (code != FM_OK)
        (void)fm_err_context(err, "[query:%s]", source->section.name);
    return code;
}

static enum fm_code compile_query(struct fm_plan *plan, const struct fm_cfg_query *source,
                                  const struct fm_query **out, struct fm_err *err)
{
    for (size_t i = 0; i < plan->n_queries; i++) {
        if (plan->query_sources[i] == source) {
            *out = plan->queries[i];
            return FM_OK;
        }
    }
    struct fm_query **queries = realloc(plan->queries, (plan->n_queries + 1) * sizeof *queries);
    if (queries == NULL)
        return fm_err_nomem(err);
    plan->queries = queries;
    const struct fm_cfg_query **sources =
        realloc(plan->query_sources, (plan->n_queries + 1) * sizeof *sources);
    if (sources == NULL)
        return fm_err_nomem(err);
    plan->query_sources = sources;
    FM_TRY(fm_plan_query(&queries[plan->n_queries], source, &plan->arena, err));
    sources[plan->n_queries] = source;
    *out = queries[plan->n_queries++];
    return FM_OK;
}

static enum fm_code add_queries(struct fm_plan *plan, const struct fm_cfg_target *target,
                                struct fm_poll_target_opts *opts, struct fm_err *err)
{
    size_t n = target->n_queries, first_rule = plan->n_rules;
    struct fm_poll_query *queries = fm_arena_array(&plan->arena, n + 1, sizeof *queries);
    if (queries == NULL)
        return fm_err_nomem(err);
    FM_TRY(add_rules(plan, target, err));
    for (size_t i = 0; i < n; i++) {
        const struct fm_cfg_query *source = target->queries[i];
        FM_TRY(compile_query(plan, source, &queries[i].query, err));
        queries[i].rule = plan->rules[first_rule + target->query_rules[i]];
        queries[i].interval_ms = (unsigned)source->interval_ms;
        queries[i].discovery_ms = (unsigned)source->discovery_ms;
    }
    opts->queries = queries;
    opts->n_queries = n;
    return FM_OK;
}

/* ---- targets ---- */

static enum fm_code fill_jmx(struct fm_jmx_opts *out, const struct fm_cfg_target *target,
                             const struct fm_config *config, struct fm_arena *arena,
                             struct fm_err *err)
{
    FM_TRY(copy_secret(&out->password, target->password, "password", arena, err));
    FM_TRY(
        copy_secret(&out->tls_opts.key_password, target->key_password, "key_password", arena, err));
    FM_TRY(copy_secret(&out->jolokia_password, target->jolokia_password, "jolokia_password", arena,
                       err));
    out->username = target->username;
    out->tls = target->tls != FM_CFG_TLS_OFF;
    out->tls_registry = target->tls == FM_CFG_TLS_REGISTRY;
    out->tls_opts.ca_file = target->ca_file;
    out->tls_opts.cert_file = target->cert_file;
    out->tls_opts.key_file = target->key_file;
    out->tls_opts.verify_chain_only = target->verify == FM_CFG_VERIFY_CHAIN;
    out->tls_opts.verify_name = target->tls_name;
    out->http_proxy.url = target->http_proxy;
    out->jolokia_target = target->jolokia_target;
    out->jolokia_username = target->jolokia_username;
    out->follow_stub_host = target->follow_stub_host;
    out->convert.object_fields = config->record.objects == FM_CFG_OBJECTS_FIELDS;
    return FM_OK;
}

enum fm_code fm_plan_target(struct fm_poll_target_opts *out, const struct fm_cfg_target *target,
                            const struct fm_config *config, struct fm_arena *arena,
                            struct fm_err *err)
{
    *out = (struct fm_poll_target_opts){
        .name = target->section.name,
        .url = target->url,
        .hosts = target->hosts.items,
        .n_hosts = target->hosts.n,
        .targets_file = target->targets_file,
        .attach = target->attach,
        .interval_ms = (unsigned)target->interval_ms,
        .timeout_ms = (unsigned)target->timeout_ms,
        .max_beans = (size_t)target->max_beans,
        .max_bytes = (size_t)target->max_bytes,
    };
    enum fm_code code = fill_jmx(&out->jmx, target, config, arena, err);
    if (code != FM_OK)
        (void)fm_err_context(err, "[target:%s]", target->section.name);
    return code;
}

bool fm_plan_same_text(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

static bool same_secrets(const struct fm_jmx_opts *a, const struct fm_jmx_opts *b)
{
    return fm_plan_same_text(a->password, b->password) &&
           fm_plan_same_text(a->jolokia_password, b->jolokia_password) &&
           fm_plan_same_text(a->tls_opts.key_password, b->tls_opts.key_password);
}

/* A target that says the same as before, under the same [record] and [agent], keeps its mark. */
static enum fm_code mark_target(struct fm_plan *plan, size_t i, const struct fm_plan *old,
                                struct fm_err *err)
{
    const struct fm_cfg_target *target = &plan->config->targets[i];
    const char *mark = NULL;
    if (old != NULL &&
        fm_config_same_section(&old->config->record.section, &plan->config->record.section)) {
        for (size_t k = 0; k < old->config->n_targets && mark == NULL; k++)
            if (fm_plan_same_text(old->config->targets[k].section.name, target->section.name) &&
                fm_config_same_target(&old->config->targets[k], target) &&
                same_secrets(&old->targets[k].jmx, &plan->targets[i].jmx))
                mark = old->targets[k].fingerprint;
    }
    char fresh[40]; /* unlike any mark given before */
    (void)snprintf(fresh, sizeof fresh, "%llu.%zu", (unsigned long long)plan->generation, i);
    if (mark == NULL)
        mark = fresh;
    plan->targets[i].fingerprint = fm_arena_strndup(&plan->arena, mark, strlen(mark));
    return plan->targets[i].fingerprint != NULL ? FM_OK : fm_err_nomem(err);
}

static enum fm_code add_targets(struct fm_plan *plan, const struct fm_plan *old, struct fm_err *err)
{
    const struct fm_config *config = plan->config;
    plan->targets = fm_arena_array(&plan->arena, config->n_targets + 1, sizeof *plan->targets);
    if (plan->targets == NULL)
        return fm_err_nomem(err);
    plan->n_targets = config->n_targets;
    for (size_t i = 0; i < config->n_targets; i++) {
        const struct fm_cfg_target *target = &config->targets[i];
        FM_TRY(fm_plan_target(&plan->targets[i], target, config, &plan->arena, err));
        enum fm_code code = add_queries(plan, target, &plan->targets[i], err);
        if (code != FM_OK) {
            (void)fm_err_context(err, "[target:%s]", target->section.name);
            return code;
        }
        FM_TRY(mark_target(plan, i, old, err));
    }
    return FM_OK;
}

enum fm_code fm_plan_new(struct fm_plan **out, const struct fm_config *config,
                         const struct fm_plan *old, struct fm_err *err)
{
    struct fm_plan *plan = calloc(1, sizeof *plan);
    if (plan == NULL)
        return fm_err_nomem(err);
    plan->config = config;
    plan->generation = old != NULL ? old->generation + 1 : 1;
    fm_arena_init(&plan->arena, 0);
    plan->host_name = host_name(&plan->arena);
    enum fm_code code = plan->host_name != NULL ? add_targets(plan, old, err) : fm_err_nomem(err);
    if (code != FM_OK) {
        fm_plan_free(plan);
        return code;
    }
    *out = plan;
    return FM_OK;
}

static bool secret_changed(struct fm_secret *secret, const char *copy)
{
    if (fm_secret_file(secret) == NULL)
        return false;
    struct fm_buf value;
    fm_buf_init(&value, FM_SECRET_MAX);
    bool changed = fm_secret_get(secret, &value, NULL) == FM_OK &&
                   !fm_plan_same_text(fm_buf_str(&value), copy);
    fm_secret_wipe(&value);
    return changed;
}

bool fm_plan_secrets_changed(const struct fm_plan *plan)
{
    bool changed = false;
    for (size_t i = 0; i < plan->n_targets && !changed; i++) {
        const struct fm_cfg_target *target = &plan->config->targets[i];
        const struct fm_jmx_opts *jmx = &plan->targets[i].jmx;
        changed = (target->password != NULL && secret_changed(target->password, jmx->password)) ||
                  (target->key_password != NULL &&
                   secret_changed(target->key_password, jmx->tls_opts.key_password)) ||
                  (target->jolokia_password != NULL &&
                   secret_changed(target->jolokia_password, jmx->jolokia_password));
    }
    return changed;
}

bool fm_plan_way_out_changed(const struct fm_config *config, const struct fm_rest_opts *opts)
{
    const struct fm_cfg_rest *rest = &config->rest;
    return (rest->key_password != NULL &&
            secret_changed(rest->key_password, opts->tls.key_password)) ||
           (rest->http_proxy_password != NULL &&
            secret_changed(rest->http_proxy_password, opts->proxy.password));
}

void fm_plan_free(struct fm_plan *plan)
{
    if (plan == NULL)
        return;
    for (size_t i = 0; i < plan->n_queries; i++)
        fm_query_free(plan->queries[i]);
    for (size_t i = 0; i < plan->n_rules; i++)
        fm_rule_free(plan->rules[i]);
    free(plan->queries);
    free(plan->query_sources);
    free(plan->rules);
    fm_arena_wipe(&plan->arena);
    free(plan);
}

/* ---- the sender ---- */

static enum fm_rest_dialect dialect_of(const struct fm_cfg_rest *rest)
{
    switch (rest->dialect) {
    case FM_CFG_DIALECT_KARAPACE:
        return FM_DIALECT_KARAPACE;
    case FM_CFG_DIALECT_STRIMZI:
        return FM_DIALECT_STRIMZI;
    case FM_CFG_DIALECT_REDPANDA:
        return FM_DIALECT_REDPANDA;
    case FM_CFG_DIALECT_CONFLUENT:
        break;
    }
    static const enum fm_rest_dialect apis[] = {[FM_CFG_API_V2] = FM_DIALECT_CONFLUENT_V2,
                                                [FM_CFG_API_V3] = FM_DIALECT_CONFLUENT_V3,
                                                [FM_CFG_API_V3_BATCH] =
                                                    FM_DIALECT_CONFLUENT_V3_BATCH};
    return apis[rest->api];
}

static enum fm_code fill_way_out(struct fm_rest_opts *out, const struct fm_cfg_rest *rest,
                                 struct fm_arena *arena, struct fm_err *err)
{
    FM_TRY(copy_secret(&out->password, rest->password, "password", arena, err));
    FM_TRY(copy_secret(&out->token, rest->token, "token", arena, err));
    FM_TRY(copy_secret(&out->oauth2_secret, rest->oauth2_secret, "oauth2_secret", arena, err));
    FM_TRY(copy_secret(&out->tls.key_password, rest->key_password, "key_password", arena, err));
    FM_TRY(copy_secret(&out->proxy.password, rest->http_proxy_password, "http_proxy_password",
                       arena, err));
    out->auth = rest->auth == FM_CFG_AUTH_BASIC    ? FM_REST_AUTH_BASIC
                : rest->auth == FM_CFG_AUTH_BEARER ? FM_REST_AUTH_BEARER
                : rest->auth == FM_CFG_AUTH_OAUTH2 ? FM_REST_AUTH_OAUTH2
                                                   : FM_REST_AUTH_NONE;
    out->username = rest->username;
    out->oauth2_url = rest->oauth2_url;
    out->oauth2_client = rest->oauth2_client;
    out->oauth2_scope = rest->oauth2_scope;
    out->identity_pool = rest->identity_pool;
    out->tls.ca_file = rest->ca_file;
    out->tls.cert_file = rest->cert_file;
    out->tls.key_file = rest->key_file;
    out->tls.pinned_key = rest->pinned_key;
    out->proxy.url = rest->http_proxy;
    out->proxy.username = rest->http_proxy_username;
    out->proxy.ca_file = rest->http_proxy_ca_file;
    struct fm_buf no_proxy;
    fm_buf_init(&no_proxy, 0);
    for (size_t i = 0; i < rest->no_proxy.n; i++)
        fm_buf_printf(&no_proxy, "%s%s", i > 0 ? "," : "", rest->no_proxy.items[i]);
    if (no_proxy.len > 0)
        out->proxy.no_proxy = fm_arena_strndup(arena, fm_buf_str(&no_proxy), no_proxy.len);
    fm_buf_clear(&no_proxy);
    return FM_OK;
}

static void fill_times(struct fm_rest_opts *out, const struct fm_config *config)
{
    const struct fm_cfg_rest *rest = &config->rest;
    const struct fm_cfg_retry *retry = &config->retry;
    out->batch_records = (unsigned)config->batch.records;
    out->batch_bytes = (size_t)config->batch.bytes;
    out->linger_ms = (unsigned)config->batch.linger_ms;
    out->backoff_ms = (unsigned)retry->backoff_ms;
    out->max_backoff_ms = (unsigned)retry->max_backoff_ms;
    out->isolate_backoff_ms = (unsigned)retry->isolate_backoff_ms;
    out->isolate_max_backoff_ms = (unsigned)retry->isolate_max_backoff_ms;
    out->suspect_interval_ms = (unsigned)retry->suspect_interval_ms;
    out->max_suspects = (unsigned)retry->max_suspects;
    out->hold_interval_ms = (unsigned)retry->hold_interval_ms;
    out->stuck_interval_ms = (unsigned)retry->stuck_interval_ms;
    out->connect_timeout_ms = (unsigned)rest->connect_timeout_ms;
    out->timeout_ms = (unsigned)rest->timeout_ms;
    out->timeout_single_ms = (unsigned)rest->timeout_single_ms;
    out->probe_timeout_ms = (unsigned)rest->probe_timeout_ms;
    out->idle_age_ms = (unsigned)rest->idle_age_ms;
    out->connection_life_ms = (unsigned)rest->connection_life_ms;
    out->max_in_flight = (unsigned)rest->max_in_flight;
    out->drain_rate = (unsigned)rest->drain_rate;
    out->size_limit = rest->size_limit_bytes;
    out->gzip = rest->compression == FM_CFG_COMPRESSION_GZIP;
    out->topic_auto_created = rest->topic_auto_created;
}

const char *fm_plan_bare_secret(const struct fm_config *config)
{
    static const char bare[] = "http://";
    const struct fm_cfg_rest *rest = &config->rest;
    if (rest->sandbox || rest->auth == FM_CFG_AUTH_NONE)
        return NULL;
    if (rest->auth == FM_CFG_AUTH_OAUTH2 && rest->oauth2_url != NULL &&
        strncasecmp(rest->oauth2_url, bare, sizeof bare - 1) == 0)
        return rest->oauth2_url;
    for (size_t i = 0; i < rest->url.n; i++)
        if (strncasecmp(rest->url.items[i], bare, sizeof bare - 1) == 0)
            return rest->url.items[i];
    return NULL;
}

enum fm_code fm_plan_rest(struct fm_rest_opts *out, const struct fm_config *config,
                          const char *sandbox_url, struct fm_arena *arena, struct fm_err *err)
{
    static const enum fm_rest_format formats[] = {[FM_CFG_FORMAT_JSON] = FM_REST_JSON,
                                                  [FM_CFG_FORMAT_BINARY] = FM_REST_BINARY,
                                                  [FM_CFG_FORMAT_AVRO] = FM_REST_AVRO,
                                                  [FM_CFG_FORMAT_PROTOBUF] = FM_REST_JSON,
                                                  [FM_CFG_FORMAT_JSONSCHEMA] = FM_REST_JSONSCHEMA};
    const struct fm_cfg_rest *rest = &config->rest;
    *out = (struct fm_rest_opts){
        .dialect = dialect_of(rest),
        .format = formats[rest->format],
        .urls = rest->url.items,
        .n_urls = rest->url.n,
        .cluster_id = rest->cluster_id,
    };
    fill_times(out, config);
    FM_TRY(fm_plan_schema(out, config, arena, err));
    if (rest->sandbox) {
        const char **urls = fm_arena_array(arena, 1, sizeof *urls);
        struct fm_buf url;
        fm_buf_init(&url, 0);
        fm_buf_printf(&url, "%s%s", sandbox_url != NULL ? sandbox_url : "",
                      fm_rest_is_v3(out->dialect) ? "/v3" : "");
        char *copy = url.failed || sandbox_url == NULL
                         ? NULL
                         : fm_arena_strndup(arena, fm_buf_str(&url), url.len);
        fm_buf_clear(&url);
        if (urls == NULL || copy == NULL)
            return fm_err_nomem(err);
        urls[0] = copy;
        out->urls = urls;
        out->n_urls = 1;
        out->cluster_id = NULL; /* it has its own */
        return FM_OK; /* loopback, inside the process: no credentials, no proxy */
    }
    enum fm_code code = fill_way_out(out, rest, arena, err);
    if (code != FM_OK)
        (void)fm_err_context(err, "[rest]");
    return code;
}

/* ---- topics ---- */

enum fm_code fm_plan_topics(const char *const **out, const struct fm_plan *plan,
                            struct fm_arena *arena, struct fm_err *err)
{
    const char **topics = fm_arena_array(arena, plan->n_rules + 2, sizeof *topics);
    if (topics == NULL)
        return fm_err_nomem(err);
    size_t n = 0;
    for (size_t i = 0; i < plan->n_targets; i++) {
        const struct fm_poll_target_opts *target = &plan->targets[i];
        for (size_t q = 0; q < target->n_queries; q++) {
            struct fm_buf topic;
            fm_buf_init(&topic, 0);
            enum fm_code code =
                fm_rule_topic(target->queries[q].rule, target->name, plan->host_name, &topic, NULL);
            bool known = code != FM_OK;
            for (size_t k = 0; k < n && !known; k++)
                known = strcmp(topics[k], fm_buf_str(&topic)) == 0;
            if (!known && n <= plan->n_rules)
                topics[n++] = fm_arena_strndup(arena, fm_buf_str(&topic), topic.len);
            fm_buf_clear(&topic);
        }
    }
    topics[n] = NULL;
    *out = topics;
    return FM_OK;
}
