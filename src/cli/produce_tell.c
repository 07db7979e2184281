/* cli/produce_tell.c - what `produce` says while it works: progress, refused lines, being stuck */
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "agent/signals.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "cli/cmd_produce_priv.h"

enum { SHOW_MS = 250 };

void fm_produce_clear(struct fm_produce *p)
{
    if (p->shown)
        (void)fputs("\r\033[K", stderr);
    p->shown = false;
}

void fm_produce_say(struct fm_produce *p, size_t file, uint64_t line, const char *why)
{
    struct fm_err text; /* one printable line, whatever it holds */
    fm_produce_clear(p);
    (void)fm_err_set(&text, FM_OK, "%s:%" PRIu64 ": %s", fm_lines_name(&p->lines, file), line, why);
    (void)fprintf(stderr, "firstmile: %s\n", text.text);
}

void fm_produce_on_dead(void *arg, const struct fm_spool_id *id, const char *reason)
{
    struct fm_produce *p = arg;
    (void)pthread_mutex_lock(&p->lock);
    if (p->n_refusals < FM_PRODUCE_REFUSALS) {
        struct fm_produce_refusal *r = &p->refusals[p->n_refusals++];
        r->id = *id;
        (void)snprintf(r->reason, sizeof r->reason, "%s", reason != NULL ? reason : "");
        fm_utf8_cut(r->reason);
    } else {
        p->untold++;
    }
    (void)pthread_mutex_unlock(&p->lock);
}

bool fm_produce_find(struct fm_produce *p, const struct fm_spool_id *id, size_t *file,
                     uint64_t *line)
{
    bool found = false;
    (void)pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < p->n_runs && !found; i++) {
        const struct fm_produce_run *run = &p->runs[i];
        found = id->seq >= run->seq && id->seq - run->seq < run->n &&
                strcmp(run->stream, id->stream) == 0;
        if (found) {
            *file = run->file;
            *line = run->line + (id->seq - run->seq);
        }
    }
    (void)pthread_mutex_unlock(&p->lock);
    return found;
}

void fm_produce_tell(struct fm_produce *p)
{
    struct fm_produce_refusal told[FM_PRODUCE_REFUSALS];
    (void)pthread_mutex_lock(&p->lock);
    size_t n = p->n_refusals;
    uint64_t untold = p->untold;
    memcpy(told, p->refusals, n * sizeof *told);
    p->n_refusals = 0;
    p->untold = 0;
    (void)pthread_mutex_unlock(&p->lock);
    for (size_t i = 0; i < n; i++) {
        size_t file;
        uint64_t line;
        char why[300];
        (void)snprintf(why, sizeof why, "refused: %s", told[i].reason);
        fm_produce_clear(p);
        if (fm_produce_find(p, &told[i].id, &file, &line))
            fm_produce_say(p, file, line, why);
        else
            fm_cmd_note(p->cli, "a record of an earlier run (stream %s, seq %" PRIu64 ") was %s",
                        told[i].id.stream, told[i].id.seq, why);
    }
    if (untold > 0)
        fm_cmd_note(p->cli, "%" PRIu64 " more line%s refused", untold,
                    untold == 1 ? " was" : "s were");
}

/* "12000 of about 100000 lines, 4321/s, 12 %, ETA 0:20" */
static void show_progress(struct fm_produce *p, int64_t now)
{
    if (!p->show || now - p->shown_ms < SHOW_MS)
        return;
    p->shown_ms = now;
    double seconds = (double)(now - p->started_ms) / 1000;
    double rate = seconds > 0 ? (double)p->settled / seconds : 0;
    (void)fprintf(stderr, "\r\033[K%" PRIu64 " lines, %.0f/s", p->settled, rate);
    p->shown = true;
    const struct fm_lines *l = &p->lines;
    if (l->bytes_total == 0 || l->bytes_read == 0 || p->given == 0)
        return;
    double all = (double)p->given * (double)l->bytes_total / (double)l->bytes_read;
    double part = (double)p->settled < all ? (double)p->settled / all : 1;
    (void)fprintf(stderr, ", %.0f %%", part * 100);
    if (rate > 0) {
        unsigned left =
            (unsigned)((all - (double)p->settled > 0 ? all - (double)p->settled : 0) / rate);
        (void)fprintf(stderr, ", ETA %u:%02u", left / 60, left % 60);
    }
}

/* ---- between the steps ---- */

uint64_t fm_produce_settled(struct fm_produce *p)
{
    fm_rest_stats_get(p->rest, p->stats);
    return p->stats->records + p->stats->dead;
}

const char *fm_produce_trouble(const struct fm_produce *p)
{
    for (size_t i = 0; i < p->stats->n_topics; i++)
        if (p->stats->topics[i].reason[0] != '\0')
            return p->stats->topics[i].reason;
    return "the proxy does not answer";
}

uint64_t fm_produce_left(const struct fm_produce *p)
{
    uint64_t all = p->before + p->given;
    return all > p->settled ? all - p->settled : 0;
}

static enum fm_code no_progress(struct fm_produce *p, struct fm_err *err)
{
    uint64_t left = fm_produce_left(p);
    fm_produce_clear(p);
    p->timed_out = true;
    return fm_err_set(err, FM_ETIMEOUT, "%" PRIu64 " line%s not acknowledged: %s", left,
                      left == 1 ? " is" : "s are", fm_produce_trouble(p));
}

enum fm_code fm_produce_tick(struct fm_produce *p, struct fm_err *err)
{
    int64_t now = fm_clock_ms();
    uint64_t settled = fm_produce_settled(p);
    fm_produce_tell(p);
    bool moved = settled != p->settled;
    p->settled = settled;
    if (moved || fm_produce_left(p) == 0)
        p->moved_ms = now;
    show_progress(p, now);
    int signal_number = fm_signals_next(p->signals);
    if (signal_number == SIGINT || signal_number == SIGTERM || signal_number == SIGHUP) {
        p->interrupted = true;
        return fm_err_set(err, FM_ESTOP, "interrupted");
    }
    return now - p->moved_ms >= p->timeout_ms ? no_progress(p, err) : FM_OK;
}
