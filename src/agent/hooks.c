/* What the poll thread and the spool call: samples become records, events become control records.
 */
#include <stdio.h>
#include <string.h>

#include "agent/agent_priv.h"
#include "base/clock.h"
#include "base/hash.h"

bool fm_agent_ready(void *arg)
{
    struct fm_agent *agent = arg;
    return fm_spool_ready(agent->spool);
}

/* A poll that fits the queue only in part: what does not fit is declared, chunk by chunk. */
static enum fm_code append(void *arg, struct fm_chunk **chunk, struct fm_err *err)
{
    struct fm_agent *agent = arg;
    enum fm_code code = fm_spool_append(agent->spool, chunk, err);
    if (code != FM_EFULL)
        return code;
    fm_log_limited(agent->log, FM_LOG_WARN, "queue full",
                   "the spool's queue is full: %zu records of this poll are declared as lost",
                   fm_chunk_count(*chunk));
    code = fm_spool_declare(agent->spool, fm_chunk_topic(*chunk), fm_chunk_count(*chunk),
                            FM_GAP_FULL, fm_wall_ms(), err);
    fm_chunk_free(*chunk);
    *chunk = NULL;
    return code;
}

static void lost(void *arg, const char *topic, uint64_t n, int64_t time_ms)
{
    struct fm_agent *agent = arg;
    struct fm_err err = {0};
    if (fm_spool_declare(agent->spool, topic, n, FM_GAP_TOO_LARGE, time_ms, &err) != FM_OK)
        fm_log_limited(agent->log, FM_LOG_WARN, "declare", "topic %s: %s", topic,
                       fm_err_text(&err));
    fm_log_limited(agent->log, FM_LOG_WARN, topic,
                   "topic %s: %llu records were larger than [record] max_bytes and are declared as "
                   "lost",
                   topic, (unsigned long long)n);
}

void fm_agent_sample(void *arg, const struct fm_sample *sample)
{
    struct fm_agent *agent = arg;
    struct fm_err err = {0};
    struct fm_record_count count = {0};
    enum fm_code code = fm_record_build(sample, append, lost, agent, &count, &err);
    if (code != FM_OK && code != FM_ESTOP)
        fm_log_limited(agent->log, FM_LOG_ERROR, sample->target,
                       "target %s: records of this poll were not spooled: %s", sample->target,
                       fm_err_text(&err));
    if (count.omitted > 0)
        fm_log_limited(agent->log, FM_LOG_WARN, "omitted",
                       "target %s: %llu beans were left out: larger than [record] max_bytes",
                       sample->target, (unsigned long long)count.omitted);
    fm_agent_news(agent);
}

static void announce(struct fm_agent *agent, const struct fm_poll_event *event, const char *topic)
{
    struct fm_err err = {0};
    struct fm_chunk *chunk = NULL;
    enum fm_code code = fm_record_target(&chunk, agent->name, topic, event->target, event->host,
                                         event->state, event->error, event->timestamp_ms, &err);
    if (code == FM_OK)
        code = fm_spool_append(agent->spool, &chunk, &err);
    fm_chunk_free(chunk);
    if (code != FM_OK && code != FM_ESTOP)
        fm_log(agent->log, FM_LOG_WARN, "target %s: its state could not be announced: %s",
               event->target, fm_err_text(&err));
}

/* The control record rides in each stream that takes records of this target. */
void fm_agent_state(void *arg, const struct fm_poll_event *event)
{
    struct fm_agent *agent = arg;
    const struct fm_poll_target_opts *opts = event->opts;
    struct fm_buf topics[8];
    size_t n = 0;
    for (size_t i = 0; i < opts->n_queries && n < sizeof topics / sizeof topics[0]; i++) {
        struct fm_buf *topic = &topics[n];
        fm_buf_init(topic, 256);
        enum fm_code code =
            fm_rule_topic(opts->queries[i].rule, event->target, event->host, topic, NULL);
        bool known = code != FM_OK;
        for (size_t k = 0; k < n && !known; k++)
            known = strcmp(fm_buf_str(&topics[k]), fm_buf_str(topic)) == 0;
        if (known)
            fm_buf_clear(topic);
        else
            n++;
    }
    for (size_t i = 0; i < n; i++) {
        announce(agent, event, fm_buf_str(&topics[i]));
        fm_buf_clear(&topics[i]);
    }
    fm_agent_news(agent);
}

enum fm_code fm_agent_control(void *arg, const struct fm_spool_control *what, struct fm_chunk **out,
                              struct fm_err *err)
{
    const char *name = arg;
    int64_t now = fm_wall_ms();
    if (what->type == FM_CONTROL_START) {
        const struct fm_control_start start = {
            .version = FM_VERSION,
            .has_prev = what->has_prev,
            .prev_stream = what->prev_stream,
            .prev_last_seq = what->prev_last_seq,
        };
        return fm_record_start(out, name, what->topic, &start, now, err);
    }
    const struct fm_control_gap gap = {
        .from_seq = what->from_seq,
        .to_seq = what->to_seq,
        .count = what->count,
        .reason = fm_gap_reason_name(what->reason),
        .first_ms = what->first_ms,
        .last_ms = what->last_ms,
        .lost_stream = what->lost_stream,
    };
    return fm_record_gap(out, name, what->topic, &gap, now, err);
}

static bool is_known(struct fm_agent *agent, uint64_t id)
{
    enum { MOST = sizeof agent->declared / sizeof agent->declared[0] };
    for (size_t i = 0; i < MOST; i++)
        if (agent->declared[i] == id)
            return true;
    agent->declared[agent->n_declared++ % MOST] = id;
    return false;
}

enum fm_code fm_agent_declare(void *arg, const struct fm_spool_control *what, struct fm_chunk **out,
                              struct fm_err *err)
{
    struct fm_agent *agent = arg;
    if (what->type == FM_CONTROL_GAP && what->reason == FM_GAP_DAMAGE) {
        char id[400];
        (void)snprintf(id, sizeof id, "%s %s %lld %lld", what->topic,
                       what->lost_stream != NULL ? what->lost_stream : "",
                       (long long)what->from_seq, (long long)what->to_seq);
        bool again = is_known(agent, fm_hash_text(id));
        if (!again && what->count > 0)
            atomic_fetch_add(&agent->damaged, (uint64_t)what->count);
        else if (!again)
            atomic_store(&agent->damage_unknown, true);
    }
    return fm_agent_control(agent->name, what, out, err);
}
