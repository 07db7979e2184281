/* The targets of a check: what every query matched, what was taken of it, what was refused and why,
 * and what that will make of records in an hour. */
#include <string.h>
#include <unistd.h>

#include "cli/check_priv.h"

enum {
    HOUR_MS = 3600000,
    DEFAULT_INTERVAL_MS = 10000,
    ID_BYTES = 55, /* stream and seq, put into every record when it is sent */
    MOST_REFUSALS = 10 /* rows of one query */
};

/** One reason, however many beans it concerns. */
struct refusal {
    struct refusal *next;
    const char *target;
    const struct fm_query *query;
    const char *bean; /* the first */
    const char *attribute; /* NULL: the whole bean */
    const char *why;
    bool silent;
    size_t beans;
};

/** What a target makes in an hour. */
struct volume {
    struct volume *next;
    const char *target;
    double records, bytes;
};

/** What the hooks gather; the poll runs on this thread. */
struct gathered {
    struct fm_check_run *run;
    struct refusal *refusals; /* the newest first */
    struct volume *volumes;
};

static const char *copy(struct gathered *g, const char *text)
{
    return fm_arena_strndup(&g->run->cli->arena, text, strlen(text));
}

/* ---- what was refused ---- */

static void on_refused(void *arg, const struct fm_poll_refusal *r)
{
    struct gathered *g = arg;
    const char *attribute = r->attribute != NULL ? r->attribute : "";
    for (struct refusal *old = g->refusals; old != NULL; old = old->next)
        if (old->query == r->query && strcmp(old->target, r->target) == 0 &&
            fm_plan_same_text(old->attribute, attribute) && strcmp(old->why, r->why) == 0) {
            old->beans++;
            return;
        }
    struct refusal *one = fm_arena_alloc(&g->run->cli->arena, sizeof *one);
    if (one == NULL)
        return;
    *one = (struct refusal){g->refusals,
                            copy(g, r->target),
                            r->query,
                            copy(g, r->bean),
                            r->attribute != NULL ? copy(g, r->attribute) : NULL,
                            copy(g, r->why),
                            r->silent,
                            1};
    if (one->target != NULL && one->bean != NULL && one->why != NULL)
        g->refusals = one;
}

static void add_refusals(struct gathered *g, const struct fm_poll_status *t, const char *query,
                         const char *step)
{
    size_t shown = 0, more = 0;
    char detail[500];
    for (const struct refusal *r = g->refusals; r != NULL; r = r->next) {
        if (strcmp(r->target, t->name) != 0 || strcmp(fm_query_name(r->query), query) != 0 ||
            (r->silent && g->run->cli->global.verbose == 0))
            continue;
        if (shown++ >= MOST_REFUSALS) {
            more++;
            continue;
        }
        char others[48] = "";
        if (r->beans > 1)
            (void)snprintf(others, sizeof others, " and %zu more beans", r->beans - 1);
        (void)snprintf(detail, sizeof detail, "refused: %.80s%s%.160s%s: %.200s",
                       r->attribute != NULL ? r->attribute : "", r->attribute != NULL ? " of " : "",
                       r->bean, others, r->why);
        fm_check_run_add(g->run, "target", t->name, step, r->silent ? SKIP : WARN, detail);
    }
    if (more > 0) {
        (void)snprintf(detail, sizeof detail, "refused: %zu more", more);
        fm_check_run_add(g->run, "target", t->name, step, WARN, detail);
    }
}

/* ---- records and bytes an hour ---- */

static enum fm_code drop_chunk(void *arg, struct fm_chunk **chunk, struct fm_err *err)
{
    (void)arg;
    (void)err;
    fm_chunk_free(*chunk);
    *chunk = NULL;
    return FM_OK;
}

static const struct fm_poll_target_opts *target_of(const struct fm_plan *plan,
                                                   const struct fm_rule *rule)
{
    for (size_t i = 0; i < plan->n_targets; i++)
        for (size_t k = 0; k < plan->targets[i].n_queries; k++)
            if (plan->targets[i].queries[k].rule == rule)
                return &plan->targets[i];
    return NULL;
}

/* How often a bean is recorded: as often as the most frequent of its queries is read. */
static unsigned bean_interval(const struct fm_poll_target_opts *target,
                              const struct fm_sample_bean *bean, struct fm_arena *scratch)
{
    unsigned base = target->interval_ms != 0 ? target->interval_ms : DEFAULT_INTERVAL_MS;
    unsigned least = 0;
    for (size_t i = 0; i < target->n_queries; i++) {
        const struct fm_poll_query *q = &target->queries[i];
        if (q->rule != bean->rule || !fm_query_matches(q->query, bean->name, scratch))
            continue;
        unsigned own = q->interval_ms > base ? (q->interval_ms + base - 1) / base * base : base;
        least = least == 0 || own < least ? own : least;
    }
    return least != 0 ? least : base;
}

/* The records of the beans with one interval; such intervals are few. */
static void add_volume(struct volume *v, const struct fm_sample *sample,
                       struct fm_sample_bean *beans, size_t n, unsigned interval_ms)
{
    struct fm_sample part = *sample;
    struct fm_record_count count = {0};
    struct fm_err err = {0};
    part.beans = beans;
    part.n = n;
    if (fm_record_build(&part, drop_chunk, NULL, NULL, &count, &err) != FM_OK)
        return;
    double polls = (double)HOUR_MS / interval_ms;
    v->records += polls * (double)count.records;
    v->bytes += polls * (double)(count.bytes + count.records * ID_BYTES);
}

static void on_sample(void *arg, const struct fm_sample *sample)
{
    struct gathered *g = arg;
    struct fm_arena scratch;
    fm_arena_init(&scratch, 0);
    const struct fm_poll_target_opts *target =
        sample->n > 0 ? target_of(g->run->plan, sample->beans[0].rule) : NULL;
    struct volume *v = fm_arena_alloc(&g->run->cli->arena, sizeof *v);
    unsigned *intervals = fm_arena_array(&scratch, sample->n + 1, sizeof *intervals);
    struct fm_sample_bean *beans = fm_arena_array(&scratch, sample->n + 1, sizeof *beans);
    if (target != NULL && v != NULL && intervals != NULL && beans != NULL) {
        *v = (struct volume){.next = g->volumes, .target = copy(g, sample->target)};
        for (size_t i = 0; i < sample->n; i++)
            intervals[i] = bean_interval(target, &sample->beans[i], &scratch);
        for (size_t i = 0; i < sample->n; i++) {
            size_t n = 0;
            unsigned interval = intervals[i];
            for (size_t k = i; interval != 0 && k < sample->n; k++)
                if (intervals[k] == interval) {
                    beans[n++] = sample->beans[k];
                    intervals[k] = 0; /* done */
                }
            if (n > 0)
                add_volume(v, sample, beans, n, interval);
        }
        if (v->target != NULL)
            g->volumes = v;
    }
    fm_arena_clear(&scratch);
}

static void add_volume_row(struct fm_check_run *w, const char *name, double records, double bytes)
{
    char detail[120], size[24];
    struct fm_check_facts facts = FM_CHECK_NO_FACTS;
    facts.n[FM_FACT_RECORDS_PER_HOUR] = (int64_t)(records + 0.5);
    facts.n[FM_FACT_BYTES_PER_HOUR] = (int64_t)(bytes + 0.5);
    fm_text_size(size, sizeof size, (uint64_t)bytes);
    (void)snprintf(detail, sizeof detail, "about %.0f records and %s an hour, uncompressed",
                   records, size);
    fm_check_run_add_facts(w, "target", name, "volume", OK, detail, &facts);
}

/* ---- rows ---- */

static const struct fm_cfg_query *query_named(const struct fm_check_run *w, const char *name)
{
    for (size_t i = 0; i < w->config->n_queries; i++)
        if (strcmp(w->config->queries[i].section.name, name) == 0)
            return &w->config->queries[i];
    return NULL;
}

/* What a query of one's own that finds nothing has probably got wrong. */
static void hint(const struct fm_check_run *w, const struct fm_poll_status *t,
                 const struct fm_poll_query_status *q, char *out, size_t size)
{
    const struct fm_cfg_query *query = query_named(w, q->name);
    char words[100] = "";
    size_t at = 0;
    if (q->beans == 0) {
        (void)snprintf(out, size, "no bean matches; firstmile beans %.100s lists them", t->name);
        return;
    }
    for (size_t i = 0; query != NULL && i < query->attributes.n && at < sizeof words; i++)
        at += (size_t)snprintf(words + at, sizeof words - at, "%s%s", i > 0 ? ", " : "",
                               query->attributes.items[i]);
    (void)snprintf(out, size,
                   "no attribute of these beans is called %s: firstmile beans %.100s '%.150s' -l "
                   "lists them",
                   words, t->name, query != NULL ? query->bean : "*:*");
}

/* "beans: 3 of 5, attributes: 12 of 14, 3.2 KiB, 1.4 ms" */
static size_t describe(const struct fm_poll_query_status *q, char *out, size_t size)
{
    char bytes[24];
    size_t at = (size_t)snprintf(out, size, "beans: %zu", q->beans);
    if (q->cut)
        at += (size_t)snprintf(out + at, size - at, " of %zu that match (max_beans)", q->matched);
    at += (size_t)snprintf(out + at, size - at, ", attributes: %zu", q->attributes);
    if (q->asked > q->attributes)
        at += (size_t)snprintf(out + at, size - at, " of %zu", q->asked);
    fm_text_size(bytes, sizeof bytes, q->bytes);
    at += (size_t)snprintf(out + at, size - at, ", %s, %.1f ms", bytes, q->duration_ms);
    if (q->errors > 0)
        at += (size_t)snprintf(out + at, size - at, "; %zu cannot be read", q->errors);
    return at;
}

static void add_query(struct gathered *g, const struct fm_poll_status *t,
                      const struct fm_poll_query_status *q)
{
    struct fm_check_run *w = g->run;
    char detail[500];
    char step[100];
    struct fm_check_facts facts = FM_CHECK_NO_FACTS;
    (void)describe(q, detail, sizeof detail);
    (void)snprintf(step, sizeof step, "query %.80s", q->name);
    facts.n[FM_FACT_MATCHED] = (int64_t)q->matched;
    facts.n[FM_FACT_BEANS] = (int64_t)q->beans;
    facts.n[FM_FACT_ASKED] = (int64_t)q->asked;
    facts.n[FM_FACT_ATTRIBUTES] = (int64_t)q->attributes;
    facts.n[FM_FACT_BYTES] = (int64_t)q->bytes;
    facts.n[FM_FACT_DURATION_US] = (int64_t)(q->duration_ms * 1000);
    /* A preset asks for what only some JVMs have; a query of one's own that finds nothing is odd.
     */
    bool nothing = (q->beans == 0 || q->attributes == 0) && q->errors == 0 && q->error == NULL;
    bool fine = !nothing && !q->cut && q->error == NULL;
    bool preset = nothing && strchr(q->name, '/') != NULL;
    if (nothing && !preset)
        hint(w, t, q, detail, sizeof detail);
    else if (nothing)
        (void)snprintf(detail, sizeof detail, "%s",
                       q->beans == 0 ? "this JVM has no such beans"
                                     : "these beans have none of the attributes");
    fm_check_run_add_facts(w, "target", t->name, step,
                           fine     ? OK
                           : preset ? SKIP
                                    : WARN,
                           detail, &facts);
    add_refusals(g, t, q->name, step);
}

static void add_up(struct gathered *g, const struct fm_poll_status *t)
{
    char detail[400], bytes[24];
    struct fm_check_facts facts = FM_CHECK_NO_FACTS;
    fm_text_size(bytes, sizeof bytes, t->bytes);
    facts.n[FM_FACT_BEANS] = (int64_t)t->beans;
    facts.n[FM_FACT_ATTRIBUTES] = (int64_t)t->attributes;
    facts.n[FM_FACT_BYTES] = (int64_t)t->bytes;
    facts.n[FM_FACT_DURATION_US] = (int64_t)(t->duration_ms * 1000);
    (void)snprintf(detail, sizeof detail, "beans: %zu, attributes: %zu, %s in %.1f ms%s%.80s",
                   t->beans, t->attributes, bytes, t->duration_ms, t->jvm != NULL ? ", " : "",
                   t->jvm != NULL ? t->jvm : "");
    fm_check_run_add_facts(g->run, "target", t->name, "connect", OK, detail, &facts);
    if (t->error != NULL)
        fm_check_run_add(g->run, "target", t->name, "poll", WARN, t->error);
    for (size_t i = 0; i < t->n_queries; i++)
        add_query(g, t, &t->queries[i]);
    for (const struct volume *v = g->volumes; v != NULL; v = v->next)
        if (strcmp(v->target, t->name) == 0)
            add_volume_row(g->run, t->name, v->records, v->bytes);
}

/* A section whose list of targets gave none: that was said with its file. */
static bool is_list(const struct fm_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->n_targets; i++)
        if (plan->targets[i].targets_file != NULL && strcmp(plan->targets[i].name, name) == 0)
            return true;
    return false;
}

static void add_target(struct gathered *g, const struct fm_poll_status *t)
{
    if (t->state == FM_POLL_UP)
        add_up(g, t);
    else if (is_list(g->run->plan, t->name))
        return;
    else if (t->state == FM_POLL_EMPTY)
        fm_check_run_add(g->run, "target", t->name, "connect", t->absent ? HEED : WARN,
                         t->error != NULL
                             ? t->error
                             : "no JVM of this host matches now; firstmile jvms lists them");
    else
        fm_check_run_add(g->run, "target", t->name, "connect", FAIL,
                         t->error != NULL ? t->error : fm_code_text(t->code));
}

static void add_total(struct gathered *g)
{
    double records = 0, bytes = 0;
    size_t n = 0;
    for (const struct volume *v = g->volumes; v != NULL; v = v->next) {
        records += v->records;
        bytes += v->bytes;
        n++;
    }
    if (n > 1)
        add_volume_row(g->run, "(all)", records, bytes);
}

enum fm_code fm_check_run_files(struct fm_check_run *w, struct fm_err *err)
{
    for (size_t i = 0; i < w->plan->n_targets; i++) {
        const struct fm_poll_target_opts *target = &w->plan->targets[i];
        struct fm_poll_files files;
        char detail[1024];
        if (target->targets_file == NULL)
            continue;
        FM_TRY(fm_target_files(&files, target, &w->cli->arena, err));
        (void)snprintf(detail, sizeof detail, "targets: %zu, files: %zu%s%.900s", files.targets,
                       files.files, files.error != NULL ? "; " : "",
                       files.error != NULL ? files.error : "");
        fm_check_run_add(w, "target", target->name, "targets_file",
                         files.error != NULL  ? FAIL
                         : files.targets == 0 ? WARN
                                              : OK,
                         detail);
    }
    return FM_OK;
}

enum fm_code fm_check_run_targets(struct fm_check_run *w, struct fm_err *err)
{
    enum { MARGIN_MS = 5000 };
    struct gathered g = {.run = w};
    char host[256] = "localhost";
    unsigned timeout_ms = 0;
    (void)gethostname(host, sizeof host - 1);
    for (size_t i = 0; i < w->plan->n_targets; i++)
        if (w->plan->targets[i].timeout_ms > timeout_ms)
            timeout_ms = w->plan->targets[i].timeout_ms;
    const struct fm_poll_opts opts = {
        .log = NULL, /* what it would say stands in the table */
        .hooks = {.sample = on_sample, .refused = on_refused, .arg = &g},
        .targets = w->plan->targets,
        .n_targets = w->plan->n_targets,
        .host_name = host,
    };
    if (w->plan->n_targets == 0)
        return FM_OK;
    struct fm_poll_snapshot snapshot = {.n = 0};
    fm_check_run_progress(w, "asking the targets ...");
    enum fm_code code = fm_poll_once(&opts, timeout_ms + MARGIN_MS, &snapshot, err);
    for (size_t i = 0; i < snapshot.n; i++)
        add_target(&g, &snapshot.targets[i]);
    if (code != FM_OK && snapshot.n == 0)
        fm_check_run_add(w, "target", "(all)", "connect", FAIL, fm_err_text(err));
    add_total(&g);
    fm_poll_snapshot_clear(&snapshot);
    fm_err_clear(err);
    return FM_OK;
}
