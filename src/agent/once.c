/* The command once: one poll of every target, from memory to the proxy or to stdout. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent_priv.h"
#include "agent/signals.h"
#include "base/clock.h"

struct once {
    struct fm_agent agent; /* only what a single round needs of it */
    const struct fm_once_opts *opts;
    struct fm_buf line;
    uint64_t records;
    uint64_t too_large;
    int signal_fd; /* -1: signals end the process, as they end any filter */
    int signal; /* which came; 0: none */
    int stdout_sys; /* why stdout takes no more; 0: it does */
    int64_t end_ms;
};

static unsigned left_ms(const struct once *once)
{
    int64_t left = once->end_ms - fm_clock_ms();
    return left > 0 ? (unsigned)left : 1;
}

/* Ctrl-C or a supervisor's SIGTERM: what is under way is given up, and told. */
static bool is_stopped(void *arg)
{
    struct once *once = arg;
    if (once->signal == 0 && once->signal_fd >= 0)
        once->signal = fm_signals_next(once->signal_fd);
    return once->signal != 0;
}

/* ---- --stdout ---- */

static enum fm_code print_chunk(void *arg, struct fm_chunk **chunk, struct fm_err *err)
{
    struct once *once = arg;
    size_t at = 0;
    struct fm_record rec;
    while (fm_chunk_next(*chunk, &at, &rec, NULL) == FM_OK) {
        fm_buf_reset(&once->line);
        fm_record_value(&once->line, &rec, "", 0);
        fm_buf_putc(&once->line, '\n');
        FM_TRY(fm_buf_code(&once->line, err));
        if (once->stdout_sys == 0 &&
            fwrite(once->line.data, 1, once->line.len, stdout) != once->line.len)
            once->stdout_sys = errno != 0 ? errno : EIO; /* told at the end, no target's fault */
        once->records++;
    }
    fm_chunk_free(*chunk);
    *chunk = NULL;
    return FM_OK;
}

static void count_lost(void *arg, const char *topic, uint64_t n, int64_t time_ms)
{
    struct once *once = arg;
    (void)topic;
    (void)time_ms;
    once->too_large += n;
}

static void print_sample(void *arg, const struct fm_sample *sample)
{
    struct once *once = arg;
    struct fm_err err = {0};
    if (fm_record_build(sample, print_chunk, count_lost, once, NULL, &err) != FM_OK)
        fm_log(once->agent.log, FM_LOG_ERROR, "target %s: %s", sample->target, fm_err_text(&err));
}

/* ---- sending ---- */

static enum fm_code store_chunk(void *arg, struct fm_chunk **chunk, struct fm_err *err)
{
    struct once *once = arg;
    uint64_t n = fm_chunk_count(*chunk);
    FM_TRY(fm_spool_store(once->agent.spool, chunk, left_ms(once), NULL, NULL, NULL, err));
    once->records += n;
    return FM_OK;
}

static void declare_lost(void *arg, const char *topic, uint64_t n, int64_t time_ms)
{
    struct once *once = arg;
    once->too_large += n;
    struct fm_err err = {0};
    if (fm_spool_declare(once->agent.spool, topic, n, FM_GAP_TOO_LARGE, time_ms, &err) != FM_OK)
        fm_log(once->agent.log, FM_LOG_WARN, "topic %s: %s", topic, fm_err_text(&err));
}

static void store_sample(void *arg, const struct fm_sample *sample)
{
    struct once *once = arg;
    struct fm_err err = {0};
    if (fm_record_build(sample, store_chunk, declare_lost, once, NULL, &err) != FM_OK)
        fm_log(once->agent.log, FM_LOG_ERROR, "target %s: %s", sample->target, fm_err_text(&err));
}

/* once has a stream of its own that ends with it: gaps are declared, a start is not. */
static enum fm_code control(void *arg, const struct fm_spool_control *what, struct fm_chunk **out,
                            struct fm_err *err)
{
    if (what->type == FM_CONTROL_START) {
        *out = NULL;
        return FM_OK;
    }
    return fm_agent_control(arg, what, out, err);
}

static unsigned cap(unsigned value, unsigned most)
{
    return value == 0 || value > most ? most : value;
}

static enum fm_code open_way_out(struct once *once, struct fm_err *err)
{
    struct fm_agent *agent = &once->agent;
    const struct fm_spool_opts opts = {
        .agent = agent->name,
        .max_size = UINT64_C(256) << 20,
        .on_full = FM_SPOOL_BLOCK,
        .control = control,
        .control_arg = agent->name,
        .log = agent->log,
    };
    FM_TRY(fm_agent_needs(agent->config, err));
    FM_TRY(fm_spool_open(&agent->spool, &opts, err));
    if (agent->config->rest.sandbox)
        return fm_err_set(err, FM_ECONF,
                          "[rest] url = sandbox lives inside `run`: for once use --stdout, or set "
                          "the URL of a REST proxy with -o rest.url=https://...");
    struct fm_rest_opts rest;
    FM_TRY(fm_agent_rest_opts(agent, agent->config, &agent->rest_arena, &rest, err));
    unsigned most = once->opts->timeout_ms;
    rest.timeout_ms = cap(rest.timeout_ms, most);
    rest.timeout_single_ms = cap(rest.timeout_single_ms, most);
    rest.probe_timeout_ms = cap(rest.probe_timeout_ms, most);
    rest.connect_timeout_ms = cap(rest.connect_timeout_ms, most);
    /* A refused record is to be asked for a second time before the time is over. */
    rest.isolate_backoff_ms = cap(rest.isolate_backoff_ms, most / 4);
    rest.isolate_max_backoff_ms = cap(rest.isolate_max_backoff_ms, most / 4);
    rest.suspect_interval_ms = cap(rest.suspect_interval_ms, most / 4);
    rest.linger_ms = 0;
    FM_TRY(fm_rest_new(&agent->rest, &rest, err));
    return fm_rest_start(agent->rest, err);
}

/* Why a topic does not go on, as much as fits, ended at a word. */
static void why_not(const struct fm_rest_stats *rest, char *out, size_t size)
{
    out[0] = '\0';
    for (size_t i = 0; i < rest->n_topics && out[0] == '\0'; i++)
        (void)snprintf(out, size, "%s",
                       rest->topics[i].reason[0] != '\0' ? rest->topics[i].reason
                                                         : rest->topics[i].suspect_reason);
    if (strlen(out) + 1 < size)
        return;
    char *space = strrchr(out, ' ');
    if (space != NULL && space + 4 < out + size)
        memcpy(space, " ...", 5);
}

/* What is left when the time is over: a record that never left this process has no doubtful fate.
 */
static enum fm_code tell_undelivered(const struct once *once, enum fm_code code, struct fm_err *err)
{
    const struct fm_rest_stats *rest = once->agent.rest_stats;
    uint64_t left = once->agent.spool_stats->records;
    uint64_t unknown = rest->possible_duplicates + rest->in_flight_records;
    char reason[190];
    why_not(rest, reason, sizeof reason);
    if (reason[0] == '\0')
        (void)snprintf(reason, sizeof reason, "%.180s", fm_err_text(err));
    const uint64_t all = left + rest->records;
    if (unknown == 0)
        return fm_err_set(err, code, "%llu of %llu records were not %s: %s",
                          (unsigned long long)left, (unsigned long long)all,
                          rest->batches == 0 ? "sent" : "accepted", reason);
    return fm_err_set(err, code, "%llu of %llu records not acknowledged, fate of %llu unknown: %s",
                      (unsigned long long)left, (unsigned long long)all,
                      (unsigned long long)(unknown < left ? unknown : left), reason);
}

/* What waits was refused twice, each record alone, and nothing is left whose acceptance could show
 * that the fault is theirs: no dead letters, but not to be waited for. */
static bool all_refused(struct once *once)
{
    struct fm_agent *agent = &once->agent;
    uint64_t refused = 0;
    fm_spool_stats_get(agent->spool, agent->spool_stats);
    fm_rest_stats_get(agent->rest, agent->rest_stats);
    for (size_t i = 0; i < agent->rest_stats->n_topics; i++)
        refused += agent->rest_stats->topics[i].refused;
    return refused > 0 && refused == agent->spool_stats->records &&
           agent->rest_stats->in_flight_records == 0;
}

/* Until all is acknowledged or refused, the time is over, or a signal comes. */
static enum fm_code drain(struct once *once, struct fm_err *err)
{
    enum { LOOK_MS = 100 };
    enum fm_code code = FM_ETIMEOUT;
    while (code == FM_ETIMEOUT && !is_stopped(once)) {
        unsigned left = left_ms(once);
        code = fm_rest_drain(once->agent.rest, left < LOOK_MS ? left : LOOK_MS, err);
        if (left <= LOOK_MS || (code == FM_ETIMEOUT && all_refused(once)))
            break;
    }
    return code;
}

/* They end with this process, so the topic is told that they will not come. */
static enum fm_code give_up(struct once *once, struct fm_err *err)
{
    struct fm_agent *agent = &once->agent;
    const struct fm_spool_select all = {.timeout_ms = left_ms(once)};
    char reason[190];
    uint64_t n = 0, dead = agent->spool_stats->dead_records;
    why_not(agent->rest_stats, reason, sizeof reason);
    FM_TRY(fm_spool_drop(agent->spool, &all, &n, err));
    fm_rest_wakeup(agent->rest);
    const char *declared = drain(once, NULL) == FM_OK ? "declared lost" : "not declared";
    if (dead > 0)
        return fm_err_set(
            err, FM_EREMOTE, "%llu records were refused, %llu of them for good, the others %s: %s",
            (unsigned long long)(n + dead), (unsigned long long)dead, declared, reason);
    return fm_err_set(err, FM_EREMOTE, "%llu record%s refused twice (%s): %s",
                      (unsigned long long)n, n == 1 ? " was" : "s were", declared, reason);
}

/* The request in flight may still be answered, but nobody waits long for that. */
static enum fm_code interrupted(struct once *once, struct fm_err *err)
{
    enum { GRACE_MS = 1000 };
    struct fm_agent *agent = &once->agent;
    fm_rest_stop(agent->rest, GRACE_MS);
    (void)fm_rest_join(agent->rest, GRACE_MS + 1000);
    fm_spool_stats_get(agent->spool, agent->spool_stats);
    fm_rest_stats_get(agent->rest, agent->rest_stats);
    uint64_t done = agent->rest_stats->records, left = agent->spool_stats->records;
    uint64_t unknown =
        agent->rest_stats->possible_duplicates + agent->rest_stats->in_flight_records;
    return fm_err_set(
        err, FM_ESTOP, "interrupted: %llu of %llu record%s acknowledged, fate of %llu unknown",
        (unsigned long long)done, (unsigned long long)(done + left), fm_plural(done + left),
        (unsigned long long)(unknown < left ? unknown : left));
}

static bool take_reason(const struct fm_spool_entry *entry, void *arg)
{
    struct fm_err *first = arg;
    (void)fm_err_set(first, FM_EREMOTE, "%.180s", entry->reason != NULL ? entry->reason : "");
    return false;
}

/* With the reason of the first of them. */
static enum fm_code tell_refused(const struct once *once, uint64_t n, struct fm_err *err)
{
    const struct fm_spool_select first = {.limit = 1, .timeout_ms = left_ms(once)};
    struct fm_err why = {0}, failed;
    if (fm_spool_walk(once->agent.spool, true, &first, take_reason, &why, &failed) != FM_OK)
        fm_err_clear(&why);
    return fm_err_set(err, FM_EREMOTE, "%llu record%s refused for good%s%s", (unsigned long long)n,
                      n == 1 ? " was" : "s were", why.text[0] != '\0' ? ": " : "", why.text);
}

static enum fm_code send_all(struct once *once, struct fm_err *err)
{
    struct fm_agent *agent = &once->agent;
    FM_TRY(fm_spool_flush(agent->spool, left_ms(once), err));
    fm_rest_end_of_input(agent->rest);
    fm_rest_wakeup(agent->rest);
    enum fm_code code = drain(once, err);
    if (code != FM_OK && once->signal != 0)
        return interrupted(once, err);
    if (code == FM_ETIMEOUT && all_refused(once))
        return give_up(once, err);
    fm_spool_stats_get(agent->spool, agent->spool_stats);
    fm_rest_stats_get(agent->rest, agent->rest_stats);
    const struct fm_spool_stats *spool = agent->spool_stats;
    if (code != FM_OK)
        return tell_undelivered(once, code, err);
    if (spool->dead_records > 0)
        return tell_refused(once, spool->dead_records, err);
    fm_log(agent->log, FM_LOG_INFO, "%llu record%s acknowledged by %s",
           (unsigned long long)agent->rest_stats->records, fm_plural(agent->rest_stats->records),
           agent->rest_stats->last_send.endpoint);
    return FM_OK;
}

/* ---- the round ---- */

static enum fm_code poll_all(struct once *once, struct fm_err *err)
{
    struct fm_agent *agent = &once->agent;
    bool print = once->opts->to_stdout;
    const struct fm_poll_opts opts = {
        .log = NULL, /* told below, once */
        .hooks = {.sample = print ? print_sample : store_sample,
                  .stopped = is_stopped,
                  .arg = once},
        .targets = agent->plan->targets,
        .n_targets = agent->plan->n_targets,
        .host_name = agent->plan->host_name,
    };
    struct fm_poll_snapshot status = {0};
    enum fm_code code = fm_poll_once(&opts, left_ms(once), &status, err);
    /* The first failure is the command's error; the log has the others. */
    bool first = true;
    for (size_t i = 0; i < status.n; i++) {
        if (status.targets[i].state != FM_POLL_DOWN)
            continue;
        if (!first)
            fm_log(agent->log, FM_LOG_ERROR, "target %s: %s", status.targets[i].name,
                   status.targets[i].error != NULL ? status.targets[i].error : "not read");
        first = false;
    }
    fm_poll_snapshot_clear(&status);
    return code;
}

static enum fm_code round_trip(struct once *once, struct fm_err *err)
{
    struct fm_agent *agent = &once->agent;
    FM_TRY(fm_net_init(err));
    FM_TRY(fm_plan_new(&agent->plan, agent->config, NULL, err));
    if (!once->opts->to_stdout)
        FM_TRY(open_way_out(once, err));
    struct fm_err poll_err = {0};
    enum fm_code polled = poll_all(once, &poll_err);
    if (once->signal != 0)
        return fm_err_set(err, FM_ESTOP,
                          "interrupted while the targets were read: nothing was sent");
    /* What could be read is sent, whatever happened to the other targets. */
    if (!once->opts->to_stdout && once->records > 0)
        FM_TRY(send_all(once, err));
    if (once->opts->to_stdout && once->stdout_sys == 0 && fflush(stdout) != 0)
        once->stdout_sys = errno;
    if (once->stdout_sys == EPIPE)
        return FM_OK; /* who read has enough; main() ends as any filter does */
    if (once->stdout_sys != 0)
        return fm_err_sys(err, once->stdout_sys, "cannot write to stdout");
    if (polled != FM_OK) {
        if (err != NULL)
            *err = poll_err;
        return polled;
    }
    if (once->too_large > 0)
        return fm_err_set(err, FM_ELIMIT, "%llu record%s larger than [record] max_bytes",
                          (unsigned long long)once->too_large,
                          once->too_large == 1 ? " was" : "s were");
    if (once->records == 0)
        return fm_err_set(err, FM_ENOTFOUND,
                          "no record: no target matched, or no query matched a bean (firstmile "
                          "check says which)");
    return FM_OK;
}

enum fm_code fm_agent_once(const struct fm_once_opts *opts, struct fm_err *err)
{
    struct once *once = calloc(1, sizeof *once);
    if (once == NULL)
        return fm_err_nomem(err);
    once->opts = opts;
    once->signal_fd = -1;
    once->end_ms = fm_clock_ms() + opts->timeout_ms;
    fm_buf_init(&once->line, 0);
    fm_agent_init(&once->agent, &opts->agent);
    enum fm_code code = fm_agent_load(&once->agent, err);
    if (code == FM_OK && !opts->to_stdout)
        code = fm_signals_open(&once->signal_fd, err);
    if (code == FM_OK)
        code = round_trip(once, err);
    fm_agent_release(&once->agent);
    if (once->signal_fd >= 0)
        fm_signals_close(once->signal_fd);
    fm_buf_clear(&once->line);
    free(once);
    return code;
}
