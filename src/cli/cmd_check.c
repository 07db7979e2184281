/* cli/cmd_check.c - `check [--offline] [--dump]`: says what is wrong before it matters. */
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "cli/check_priv.h"

static const struct fm_column columns[] = {
    {.name = "what"},
    {.name = "name", .fold = true},
    {.name = "step", .fold = true},
    {.name = "result"},
    {.name = "detail", .wrap = true},
    {.name = "matched", .json_only = true},
    {.name = "beans", .json_only = true},
    {.name = "asked", .json_only = true},
    {.name = "attributes", .json_only = true},
    {.name = "bytes", .json_only = true},
    {.name = "duration_us", .json_only = true},
    {.name = "records_per_hour", .json_only = true},
    {.name = "bytes_per_hour", .json_only = true},
};

void fm_check_run_add_facts(struct fm_check_run *w, const char *what, const char *name,
                            const char *step, enum fm_verdict verdict, const char *detail,
                            const struct fm_check_facts *facts)
{
    w->failures += verdict == FAIL;
    w->heeds += verdict == HEED;
    if (w->bad_config && verdict != FAIL)
        return;
    if (w->cli->global.quiet > 0 && verdict != FAIL && verdict != HEED)
        return;
    static const struct {
        const char *name;
        enum fm_colour colour;
    } verdicts[] = {[OK] = {"ok", FM_GREEN},
                    [WARN] = {"warn", FM_YELLOW},
                    [HEED] = {"warn", FM_YELLOW},
                    [FAIL] = {"FAIL", FM_RED},
                    [SKIP] = {"skip", FM_PLAIN}};
    fm_table_text(&w->table, what);
    fm_table_text(&w->table, name);
    fm_table_text(&w->table, step);
    fm_table_text(&w->table, verdicts[verdict].name);
    fm_table_colour(&w->table, verdicts[verdict].colour);
    fm_table_text(&w->table, detail);
    for (size_t i = 0; i < FM_CHECK_FACTS; i++) {
        if (facts->n[i] >= 0)
            fm_table_int(&w->table, facts->n[i]);
        else
            fm_table_text(&w->table, NULL);
    }
}

void fm_check_run_add(struct fm_check_run *w, const char *what, const char *name, const char *step,
                      enum fm_verdict verdict, const char *detail)
{
    const struct fm_check_facts none = FM_CHECK_NO_FACTS;
    fm_check_run_add_facts(w, what, name, step, verdict, detail, &none);
}

/* On a terminal: what takes so long. */
void fm_check_run_progress(const struct fm_check_run *w, const char *what)
{
    if (w->cli->width > 0 && isatty(STDERR_FILENO) != 0 && w->cli->global.quiet == 0)
        (void)fprintf(stderr, "\r\033[K%.70s", what);
}

/* ---- the configuration ---- */

static enum fm_code check_config(struct fm_check_run *w, struct fm_err *err)
{
    struct fm_config_error errors[FM_CONFIG_ERRORS];
    size_t n = 0;
    const char *path = fm_config_find(w->cli->global.config);
    const struct fm_config_opts opts = {
        .overrides = w->cli->global.overrides.items,
        .n_overrides = w->cli->global.overrides.n,
        .errors = errors,
        .n_errors = &n,
        .faulty = true, /* the files that it names are looked at, too */
    };
    enum fm_code code = fm_config_load(&w->config, path, &opts, err);
    if (code != FM_OK && code != FM_ECONF)
        return code;
    const char *name = path != NULL ? path : "(none)";
    for (size_t i = 0; i < n; i++)
        fm_check_run_add(w, "config", name, "parse", FAIL, errors[i].text);
    if (code != FM_OK && n == 0)
        fm_check_run_add(w, "config", name, "parse", FAIL, err->text);
    if (code == FM_OK)
        code = fm_plan_new(&w->plan, w->config, NULL, err);
    else
        w->bad_config = true;
    if (code == FM_ECONF && !w->bad_config) {
        fm_check_run_add(w, "config", name, "plan", FAIL, err->text);
        w->bad_config = true;
    }
    if (code != FM_OK && code != FM_ECONF)
        return code;
    fm_err_clear(err);
    if (!w->bad_config) {
        char detail[240];
        (void)snprintf(detail, sizeof detail, "targets: %zu, queries: %zu%s%s",
                       w->config->n_targets, w->plan->n_queries,
                       path != NULL ? "" : "; no config.ini was found, the defaults hold",
                       w->config->n_targets > 0
                           ? ""
                           : "; nothing will be polled: add [target:NAME] with a url, such as "
                             "local:*, or let firstmile init write one");
        fm_check_run_add(w, "config", name, "parse", w->config->n_targets > 0 ? OK : WARN, detail);
        for (size_t i = 0; i < w->config->idle_includes.n; i++)
            fm_check_run_add(w, "config", name, "include", WARN, w->config->idle_includes.items[i]);
        const struct fm_cfg_rest *rest = &w->config->rest;
        if (rest->auth == FM_CFG_AUTH_NONE && rest->username != NULL && rest->username[0] != '\0')
            fm_check_run_add(
                w, "config", name, "auth", WARN,
                "[rest] username is set, but auth = none: it is not sent; set auth = basic");
    }
    return FM_OK;
}

/* ---- endpoints ---- */

/* What was said of an endpoint for one topic is not said again for the next. */
struct said {
    const struct said *before;
    const char *endpoint, *step, *sentence;
};

struct reporter {
    struct fm_check_run *work;
    const char *topic;
    const struct said *said;
};

static bool said_already(struct reporter *r, const struct fm_rest_step *step, const char *name)
{
    struct fm_arena *arena = &r->work->cli->arena;
    for (const struct said *s = r->said; s != NULL; s = s->before)
        if (strcmp(s->endpoint, step->endpoint) == 0 && strcmp(s->step, name) == 0 &&
            strcmp(s->sentence, step->sentence) == 0)
            return true;
    struct said *now = fm_arena_alloc(arena, sizeof *now);
    if (now == NULL)
        return false;
    *now = (struct said){r->said, fm_arena_strndup(arena, step->endpoint, strlen(step->endpoint)),
                         fm_arena_strndup(arena, name, strlen(name)),
                         fm_arena_strndup(arena, step->sentence, strlen(step->sentence))};
    if (now->endpoint != NULL && now->step != NULL && now->sentence != NULL)
        r->said = now;
    return false;
}

static void add_step(void *arg, const struct fm_rest_step *step)
{
    static const enum fm_verdict verdicts[] = {[FM_REST_CHECK_OK] = OK,
                                               [FM_REST_CHECK_WARN] = WARN,
                                               [FM_REST_CHECK_FAIL] = FAIL,
                                               [FM_REST_CHECK_SKIP] = SKIP};
    struct reporter *r = arg;
    char name[128];
    bool about_topic = strcmp(step->step, "topic") == 0 || strcmp(step->step, "size limit") == 0;
    if (about_topic && r->topic != NULL)
        (void)snprintf(name, sizeof name, "%s %.100s", step->step, r->topic);
    else
        (void)snprintf(name, sizeof name, "%s", step->step);
    if (!said_already(r, step, name))
        fm_check_run_add(r->work, "endpoint", step->endpoint, name, verdicts[step->verdict],
                         step->sentence);
}

/* What will be registered, or which id is used; the registry itself cannot be asked from here. */
static void tell_schema(struct fm_check_run *w, const struct fm_rest_opts *opts)
{
    char text[400];
    const char *kind = opts->format == FM_REST_AVRO ? "Avro" : "JSON Schema";
    if (!fm_plan_typed(w->config))
        return;
    if (opts->schema_id != 0)
        (void)snprintf(text, sizeof text, "%s, by its id %u: each record must fit it", kind,
                       (unsigned)opts->schema_id);
    else if (opts->schema != NULL)
        (void)snprintf(text, sizeof text,
                       "%s: %.200s is registered as TOPIC-value with the first record, its id used "
                       "from then on",
                       kind, w->config->rest.schema_file);
    else
        (void)snprintf(text, sizeof text,
                       "%s: the records' own is registered as TOPIC-value with the first record, "
                       "its id used from then on; firstmile check --schema %s prints it",
                       kind, fm_schema_name(opts->shape));
    fm_check_run_add(w, "endpoint", "(all)", "schema", OK, text);
}

/* What the chosen interface does to keys and headers, so that nobody is surprised in the topic. */
static void tell_form(struct fm_check_run *w)
{
    const struct fm_config *cfg = w->config;
    if (cfg->rest.api != FM_CFG_API_V2)
        return;
    if (cfg->rest.format == FM_CFG_FORMAT_JSON)
        fm_check_run_add(w, "endpoint", "(all)", "key", OK,
                         "keys are stored with their JSON quotes, as \"web-1\"; without them by "
                         "format = binary or api = v3");
    if (cfg->record.headers.n > 0)
        fm_check_run_add(w, "endpoint", "(all)", "headers", WARN,
                         "[record] headers are not sent: only api = v3 has headers");
}

static enum fm_code check_endpoints(struct fm_check_run *w, struct fm_err *err)
{
    if (fm_agent_needs(w->config, err) != FM_OK) {
        fm_check_run_add(w, "endpoint", "(none)", "url", FAIL, fm_err_text(err));
        w->incomplete = true;
        fm_err_clear(err);
        return FM_OK;
    }
    if (w->config->rest.sandbox) {
        fm_check_run_add(
            w, "endpoint", "sandbox", "place", WARN,
            "records go to the sandbox inside the process, nothing leaves this host; set [rest] "
            "url");
        return FM_OK;
    }
    const char *const *topics = NULL;
    struct fm_rest_opts opts;
    FM_TRY(fm_plan_topics(&topics, w->plan, &w->cli->arena, err));
    enum fm_code code = fm_plan_rest(&opts, w->config, NULL, &w->cli->arena, err);
    if (code == FM_ECONF) {
        fm_check_run_add(w, "endpoint", "(all)", "secrets", FAIL, fm_err_text(err));
        fm_err_clear(err);
        return FM_OK;
    }
    FM_TRY(code);
    const char *bare = fm_plan_bare_secret(w->config);
    if (bare != NULL)
        fm_check_run_add(w, "endpoint", bare, "auth", WARN,
                         "the secret of [rest] auth goes there unencrypted, for everybody on the "
                         "way to read; use https://");
    tell_schema(w, &opts);
    tell_form(w);
    struct reporter r = {.work = w};
    for (size_t i = 0; i == 0 || topics[i] != NULL; i++) {
        r.topic = topics[i];
        char what[200];
        (void)snprintf(what, sizeof what, "asking the endpoints for topic %s ...",
                       topics[i] != NULL ? topics[i] : "");
        fm_check_run_progress(w, what);
        code = fm_rest_check(&opts, topics[i], add_step, &r, err);
        if (code == FM_ECONF)
            fm_check_run_add(w, "endpoint", "(all)", "options", FAIL, fm_err_text(err));
        else if (code != FM_OK && code != FM_EREMOTE)
            return code;
        fm_err_clear(err);
        if (topics[i] == NULL)
            break;
    }
    return FM_OK;
}

/* ---- all of it ---- */

static enum fm_code look(struct fm_check_run *w, struct fm_err *err)
{
    FM_TRY(check_config(w, err));
    if (w->bad_config) {
        w->config_errors = w->failures;
        if (w->config != NULL)
            fm_check_run_places(w);
        return FM_OK;
    }
    if (w->opts->dump) {
        struct fm_buf text;
        fm_buf_init(&text, 0);
        fm_config_dump(w->config, &text, w->cli->global.verbose > 0);
        if (w->cli->global.json)
            fm_check_run_add(w, "config", "(in force)", "dump", OK, fm_buf_str(&text));
        else
            (void)fputs(fm_buf_str(&text), stdout);
        fm_buf_clear(&text);
    }
    if (w->opts->dump && w->opts->offline)
        return FM_OK;
    FM_TRY(fm_check_run_files(w, err));
    fm_check_run_places(w);
    if (w->opts->offline)
        return FM_OK;
    FM_TRY(fm_net_init(err));
    FM_TRY(fm_check_run_targets(w, err));
    FM_TRY(check_endpoints(w, err));
    fm_check_run_progress(w, "");
    return FM_OK;
}

static enum fm_code verdict(const struct fm_check_run *w, struct fm_err *err)
{
    unsigned others = w->failures - w->config_errors;
    char more[48] = "";
    if (others > 0)
        (void)snprintf(more, sizeof more, ", and %u other step%s failed", others,
                       fm_plural(others));
    if (w->bad_config)
        return fm_err_set(err, FM_ECONF, "check: the configuration has %u error%s%s%s",
                          w->config_errors, fm_plural(w->config_errors), more,
                          w->opts->offline ? "" : "; targets and endpoints were not asked");
    if (w->failures > 0)
        return fm_err_set(err, w->incomplete ? FM_ECONF : FM_EREMOTE, "check: %u step%s failed",
                          w->failures, fm_plural(w->failures));
    return FM_OK;
}

/* --schema: the text that format and shape make; avro where the configuration names no format. */
static enum fm_code print_schema(struct fm_check_run *w, struct fm_err *err)
{
    struct fm_buf text;
    enum fm_schema schema = FM_SCHEMA_BEAN;
    while (schema < FM_SCHEMAS && strcmp(w->opts->schema, fm_schema_name(schema)) != 0)
        schema++;
    if (schema == FM_SCHEMAS)
        return fm_err_set(err, FM_EUSAGE, "check: --schema is bean, metric or snapshot, not %.40s",
                          w->opts->schema);
    FM_TRY(fm_cmd_config(w->cli, &w->config, NULL, err));
    bool json = w->config->rest.format == FM_CFG_FORMAT_JSONSCHEMA;
    fm_buf_init(&text, 0);
    fm_schema_text(&text, json ? FM_SCHEMA_JSON : FM_SCHEMA_AVRO, schema);
    enum fm_code code = fm_buf_code(&text, err);
    if (code == FM_OK)
        (void)puts(fm_buf_str(&text));
    fm_buf_clear(&text);
    fm_config_free(w->config);
    return code;
}

static enum fm_code run_check(struct fm_cmd_call *call, struct fm_err *err)
{
    struct fm_check_run w = {.cli = call->cli, .opts = call->opts};
    if (w.opts->schema != NULL)
        return print_schema(&w, err);
    fm_table_init(&w.table, columns, sizeof columns / sizeof columns[0], &call->cli->arena);
    enum fm_code code = look(&w, err);
    const struct fm_table_style style = fm_cmd_style(call->cli);
    /* With --dump the configuration alone is the data, as long as it is a good one. */
    bool silent = w.opts->dump && w.opts->offline && !w.bad_config && !w.cli->global.json;
    silent =
        silent || (w.cli->global.quiet > 0 && w.failures + w.heeds == 0 && !w.cli->global.json);
    if (code == FM_OK && !silent)
        code = fm_table_print(&w.table, stdout, &style, err);
    if (code == FM_OK)
        code = verdict(&w, err);
    fm_table_clear(&w.table);
    fm_plan_free(w.plan);
    fm_config_free(w.config);
    return code;
}

static const struct fm_flag flags[] = {
    {0, "offline", FM_FLAG_SWITCH, offsetof(struct check_opts, offline), NULL,
     "Only parse the configuration and look at the files and folders it names; ask nobody."},
    {0, "dump", FM_FLAG_SWITCH, offsetof(struct check_opts, dump), NULL,
     "Print the settings in force that differ from the defaults (with -v all), secrets as ***; "
     "with --json as the detail of a row."},
    {0, "schema", FM_FLAG_TEXT, offsetof(struct check_opts, schema), "SHAPE",
     "Print the schema of the records of a shape (bean, metric, snapshot), as [rest] format says: "
     "jsonschema, else Avro."},
    {.name = NULL},
};
static const char *const text[] = {
    "Parses the configuration and names every error with its line and the nearest right name; "
    "looks "
    "at the files and folders it names (certificates, keys, spool and the room on its disk); then "
    "connects to each target and runs each query; then asks each endpoint: name, TCP, TLS, auth, "
    "topic, size limit. Sends no record and changes nothing.",
    "Of each query it says how many beans matched and were read (a reached max_beans is a "
    "warning), how many attributes came, their bytes and time, and what was refused and why (with "
    "-v also what the JVM merely does not have); of each target and of all together about how "
    "many records and bytes that makes in an hour. With --json the numbers are fields.",
    "Exit code 0: nothing failed (there may be warnings); 1: a step failed; 2: the configuration "
    "is wrong (then targets and endpoints are not asked). With -q only failures are printed, and "
    "targets that no JVM "
    "of this host matches.",
    NULL,
};
static const char *const examples[] = {
    "firstmile check -c /etc/firstmile/config.ini",
    "as the agent's user, before a start",
    "firstmile check --offline --dump -v",
    "all settings in force, as INI",
    "firstmile check --json | jq '.[] | select(.step == \"volume\")'",
    "records and bytes an hour, for each target",
    NULL};

const struct fm_cmd fm_cmd_check = {
    .name = "check",
    .args = "",
    .about = "say what is wrong with configuration, targets and endpoints",
    .text = text,
    .examples = examples,
    .flags = flags,
    .opts_size = sizeof(struct check_opts),
    .json = true,
    .run = run_check,
};
