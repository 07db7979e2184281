/* The end of an agent: what is freed, and what is said about the records. */
#include <stdlib.h>
#include <unistd.h>

#include "agent/agent_priv.h"
#include "agent/signals.h"

enum { FLUSH_MS = 1000 /* for the last commit when a thread hangs */ };

void fm_agent_leave(struct fm_agent *agent)
{
    struct fm_err err = {0};
    enum fm_code code = fm_spool_flush(agent->spool, FLUSH_MS, &err);
    if (code != FM_OK)
        fm_log(agent->log, FM_LOG_ERROR, "the last records may be lost: %s", fm_err_text(&err));
    _exit(code == FM_OK ? 0 : 1);
}

/* What became of the records. */
static void say_end(struct fm_agent *agent)
{
    const struct fm_spool_end *end = &agent->end;
    unsigned long long n = end->pending;
    const char *s = n == 1 ? "" : "s";
    if (!agent->ran)
        return;
    if (n > 0 && end->memory)
        fm_log(agent->log, FM_LOG_WARN,
               "stopped; %llu record%s not sent and lost with this process: [spool] path = memory",
               n, n == 1 ? " was" : "s were");
    else if (n > 0 && end->removed)
        fm_log(agent->log, FM_LOG_ERROR, "stopped; %llu record%s not sent and lost with the spool",
               n, n == 1 ? " was" : "s were");
    else if (n > 0)
        fm_log(agent->log, FM_LOG_INFO, "stopped; %llu record%s stay%s in the spool", n, s,
               n == 1 ? "s" : "");
    else
        fm_log(agent->log, FM_LOG_INFO, "stopped; nothing waits in the spool");
}

enum fm_code fm_agent_judge_end(const struct fm_agent *agent, struct fm_err *err)
{
    const struct fm_spool_end *end = &agent->end;
    if (end->hung)
        return fm_err_set(err, FM_ESYS,
                          "the disk of the spool does not answer: what was not yet on it is lost");
    if (end->removed && end->pending > 0)
        return fm_err_set(err, FM_ESYS,
                          "the spool's folder was removed or replaced while this process ran: %llu "
                          "record%s of it %s lost and cannot be declared",
                          (unsigned long long)end->pending, fm_plural(end->pending),
                          end->pending == 1 ? "is" : "are");
    if (end->unstored == 0)
        return FM_OK;
    return fm_err_set(
        err, FM_ESYS,
        "%llu records waited in memory and could not be stored: %s; %llu of them will "
        "be declared lost at the next start",
        (unsigned long long)end->unstored, end->error, (unsigned long long)end->owed);
}

void fm_agent_release(struct fm_agent *agent)
{
    fm_poll_free(agent->poll);
    fm_plan_free(agent->plan);
    if (!fm_rest_free(agent->rest))
        fm_agent_leave(agent); /* its thread still uses the spool */
    fm_sandbox_stop(agent->sandbox);
    fm_http_stop(agent->http);
    fm_control_close(agent->control);
    fm_spool_close(agent->spool, 0, &agent->end);
    say_end(agent);
    fm_arena_wipe(&agent->rest_arena);
    fm_buf_clear(&agent->health);
    fm_buf_clear(&agent->stats);
    fm_buf_clear(&agent->metrics);
    fm_buf_clear(&agent->reasons.joined);
    fm_buf_clear(&agent->reasons.gone);
    fm_buf_clear(&agent->reasons.ends);
    fm_way_clear(&agent->way);
    free(agent->spool_stats);
    free(agent->rest_stats);
    fm_notify_close(&agent->notify);
    fm_signals_close(agent->signal_fd);
    if (agent->news_fd >= 0)
        (void)close(agent->news_fd);
    fm_config_free(agent->config);
    fm_config_free(agent->boot);
    free(agent->name);
    fm_log_free(agent->log);
    (void)pthread_mutex_destroy(&agent->secret_lock);
    (void)pthread_mutex_destroy(&agent->sender_lock);
}
