/* What the log says of a topic's way: each trouble once, when it changes, and now and then while it
 * lasts; then its end, and when what had gathered has been sent. */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "rest/topic_priv.h"

enum { REMIND_MS = 600000, CHANGE_MS = 30000, LINE = 256 + FM_REST_TEXT + 120 };

/* "850 ms", "12 s", "5 min" */
static const char *put_time(char *out, size_t size, int64_t ms)
{
    if (ms < 1000)
        (void)snprintf(out, size, "%" PRId64 " ms", ms);
    else if (ms < 120000)
        (void)snprintf(out, size, "%" PRId64 " s", ms / 1000);
    else
        (void)snprintf(out, size, "%" PRId64 " min", ms / 60000);
    return out;
}

static void say(struct fm_topic *t, bool over, const char *text)
{
    const struct fm_rest_opts *o = &t->rest->conf->o;
    const struct fm_rest_way what = {
        .topic = t->name, .text = text, .reason = over ? "" : t->reason, .over = over};
    if (o->on_way != NULL)
        o->on_way(o->on_way_arg, &what);
    else
        fm_log(t->rest->log, over ? FM_LOG_INFO : FM_LOG_WARN, "%s", text);
}

static void tell_trouble(struct fm_topic *t, enum fm_rest_state state, int64_t now)
{
    struct fm_trouble *tr = &t->trouble;
    uint64_t hash = fm_hash_text(t->reason) + (uint64_t)state;
    bool first = tr->told_at == 0, change = tr->hash != hash;
    char time[32] = "", next[32];
    if (tr->since == 0)
        tr->since = now;
    if (!first && now - tr->told_at < (change ? CHANGE_MS : REMIND_MS))
        return;
    tr->hash = hash;
    tr->told_at = now;
    bool waits = t->next_at > now;
    char text[LINE];
    (void)snprintf(
        text, sizeof text, "topic %s: %s%s%s: %s%s%s", t->name, fm_rest_state_name(state),
        first ? "" : ", for ", first ? "" : put_time(time, sizeof time, now - tr->since), t->reason,
        waits ? "; next try in " : "", waits ? put_time(next, sizeof next, t->next_at - now) : "");
    if (change)
        say(t, false, text);
    else
        fm_log(t->rest->log, FM_LOG_WARN, "%s", text);
}

void fm_topic_tell_failure(struct fm_topic *t, bool lasts, int64_t now)
{
    if (t->trouble.since == 0)
        t->trouble.since = now;
    if (lasts)
        tell_trouble(t, FM_REST_OUTAGE, now);
}

void fm_topic_tell_end(struct fm_topic *t)
{
    struct fm_trouble *tr = &t->trouble;
    int64_t now = fm_clock_ms();
    char time[32];
    if (tr->told_at == 0) { /* over before it was worth a line */
        tr->since = 0;
        return;
    }
    char text[LINE];
    (void)snprintf(text, sizeof text,
                   "topic %s: records are accepted again after %s; %" PRIu64 " %s", t->name,
                   put_time(time, sizeof time, now - tr->since), t->line.pending,
                   t->line.pending == 1 ? "waits" : "wait");
    say(t, true, text);
    *tr = (struct fm_trouble){.gathered = t->line.pending, .sent_from = now};
}

void fm_topic_tell(struct fm_topic *t, enum fm_rest_state state)
{
    if (fm_topic_bad(state))
        tell_trouble(t, state, fm_clock_ms());
    fm_log(t->rest->log, FM_LOG_DEBUG, "topic %s: %s", t->name, fm_rest_state_name(state));
}

void fm_topic_caught_up(struct fm_topic *t)
{
    struct fm_trouble *tr = &t->trouble;
    char time[32];
    if (tr->gathered == 0 || t->state != FM_REST_RUN)
        return;
    if (tr->gathered > t->rest->conf->o.batch_records)
        fm_log(t->rest->log, FM_LOG_INFO,
               "topic %s: the %" PRIu64 " records that waited were sent "
               "in %s",
               t->name, tr->gathered, put_time(time, sizeof time, fm_clock_ms() - tr->sent_from));
    tr->gathered = 0;
}
