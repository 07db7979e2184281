/* The documents of the local server, rendered by the main thread at most once a second (serve.c).
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent_priv.h"
#include "base/clock.h"
#include "base/thread.h"

enum { UNTRIED_MS = 30000 };

static uint64_t rss_bytes(void)
{
    FM_AUTO(fm_auto_close) int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    char text[128];
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (n <= 0)
        return 0;
    text[n] = '\0';
    unsigned long long size = 0, resident = 0;
    if (sscanf(text, "%llu %llu", &size, &resident) != 2)
        return 0;
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* A change of health is an event, and so is a reason that joins or ends while it stays: each is
 * told once. What another part has put into the log with all it knows is only named; what the
 * sender says of a topic's way it leaves to this (agent/way.h). All is not well from the beginning,
 * but once a record was accepted; or there was none to send for a while. */
static void log_health(struct fm_agent *agent, enum fm_health health)
{
    struct fm_reasons *r = &agent->reasons;
    const char *name = fm_health_name(health);
    bool tried = agent->rest_stats->records > 0 || fm_wall_ms() - agent->started_ms > UNTRIED_MS;
    bool changed = !agent->health_known || health != agent->last_health;
    if (!agent->health_known && health == FM_HEALTH_OK && !tried)
        return;
    if (changed && health == FM_HEALTH_OK)
        fm_log(agent->log, FM_LOG_INFO, "health is ok%s%s", r->ends.len > 0 ? ": " : "",
               fm_buf_str(&r->ends));
    else if (changed)
        fm_log(agent->log, FM_LOG_WARN, "health is %s%s%s%s%s", name, r->joined.len > 0 ? ": " : "",
               fm_buf_str(&r->joined), r->gone.len > 0 ? "; over: " : "", fm_buf_str(&r->gone));
    else if (r->news > 0)
        fm_log(agent->log, FM_LOG_WARN, "health stays %s, now also: %s", name,
               fm_buf_str(&r->joined));
    if (!changed && r->gone.len > 0)
        fm_log(agent->log, FM_LOG_INFO, "health stays %s; over: %s", name, fm_buf_str(&r->gone));
    agent->health_known = true;
    agent->last_health = health;
}

/* A reason of health may end by itself, as time passes. */
unsigned fm_agent_still_quiet(unsigned before, enum fm_health health,
                              const struct fm_spool_stats *spool)
{
    bool idle = health == FM_HEALTH_OK && spool->records == 0 && spool->queue_bytes == 0;
    return idle ? before + 1 : 0;
}

void fm_agent_publish(struct fm_agent *agent)
{
    struct fm_poll_snapshot targets = {0};
    struct fm_err err = {0};
    if (fm_poll_status_get(agent->poll, &targets, &err) != FM_OK) {
        fm_log_limited(agent->log, FM_LOG_WARN, "publish", "cannot render the documents: %s",
                       fm_err_text(&err));
        return;
    }
    fm_spool_stats_get(agent->spool, agent->spool_stats);
    fm_rest_stats_get(agent->rest, agent->rest_stats);
    struct fm_facts facts = {
        .name = agent->name,
        .started_ms = agent->started_ms,
        .wall_ms = fm_wall_ms(),
        .clock_ms = fm_clock_ms(),
        .rss_bytes = rss_bytes(),
        .sandbox = agent->config->rest.sandbox,
        .stopping = agent->stopping,
        .rest = agent->rest_stats,
        .cert_file = agent->config->rest.cert_file,
        .latency = fm_rest_latency(agent->rest),
        .spool = agent->spool_stats,
        .damaged = atomic_load(&agent->damaged),
        .damage_unknown = atomic_load(&agent->damage_unknown),
        .targets = targets.targets,
        .n_targets = targets.n,
        .files = targets.files,
        .n_files = targets.n_files,
        .log_dropped = fm_log_dropped(agent->log),
        .restart_keys = agent->restart_keys[0] != '\0' ? agent->restart_keys : NULL,
        .reload_error = agent->reload_error[0] != '\0' ? agent->reload_error : NULL,
    };
    if (agent->http != NULL)
        fm_http_load(agent->http, &facts.http_open, &facts.http_evicted);
    fm_buf_reset(&agent->health);
    fm_buf_reset(&agent->stats);
    fm_buf_reset(&agent->metrics);
    fm_way_take(&agent->way);
    enum fm_health health = fm_document_health(&facts, &agent->health, &agent->reasons);
    fm_document_stats(&facts, &agent->stats);
    fm_document_metrics(&facts, &agent->metrics);
    agent->quiet = fm_agent_still_quiet(agent->quiet, health, agent->spool_stats);
    log_health(agent, health);
    if (fm_way_settle(&agent->way, &agent->reasons, facts.clock_ms))
        agent->quiet = 0;
    fm_certs_tell(&agent->certs, agent->rest_stats, facts.cert_file, agent->log);
    if (agent->http != NULL) {
        const struct fm_http_docs docs = {
            .health = fm_buf_str(&agent->health),
            .health_len = agent->health.len,
            .failing = health == FM_HEALTH_FAILING,
            .stats = fm_buf_str(&agent->stats),
            .stats_len = agent->stats.len,
            .metrics = fm_buf_str(&agent->metrics),
            .metrics_len = agent->metrics.len,
            .ready = !agent->stopping,
            .stopping = agent->stopping,
        };
        if (fm_http_publish(agent->http, &docs, &err) != FM_OK)
            fm_log_limited(agent->log, FM_LOG_WARN, "publish", "the documents stay old: %s",
                           fm_err_text(&err));
    }
    fm_poll_snapshot_clear(&targets);
}
