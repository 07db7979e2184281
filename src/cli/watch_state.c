/* How the targets of `watch` are: all at a glance, told on the status line or on stderr. */
#include <string.h>

#include "base/clock.h"
#include "cli/cmd_watch_priv.h"

/** All targets at a glance. */
struct glance {
    size_t n, up, waiting;
    bool done; /* each was polled as often as -n says */
    bool missing; /* NAME/PART is none of those there are */
    const struct fm_poll_status *worst; /* one that is not up; NULL: all are */
    const struct fm_poll_status *first;
};

static struct glance look(const struct fm_watch *w, const struct fm_poll_snapshot *snapshot)
{
    struct glance g = {.done = w->opts->count > 0};
    bool others = snapshot->n > 0; /* were all polled */
    for (size_t i = 0; i < snapshot->n; i++) {
        const struct fm_poll_status *t = &snapshot->targets[i];
        others = others && (t->polls > 0 || t->state == FM_POLL_EMPTY);
        if (w->only != NULL && strcmp(t->name, w->only) != 0 && t->state != FM_POLL_EMPTY)
            continue;
        g.n++;
        g.up += t->state == FM_POLL_UP;
        g.waiting += t->polls == 0 && t->state != FM_POLL_EMPTY;
        g.done = g.done && t->polls >= w->opts->count;
        g.first = g.first == NULL ? t : g.first;
        if (t->state != FM_POLL_UP && t->polls > 0)
            g.worst = t;
        if (t->state == FM_POLL_EMPTY && g.worst == NULL)
            g.worst = t;
    }
    g.done = g.done && g.n > 0;
    g.missing = g.n == 0 && others;
    return g;
}

static const char *reason(const struct fm_poll_status *t)
{
    return t->error != NULL            ? t->error
           : t->state == FM_POLL_EMPTY ? "no JVM of this host matches"
                                       : fm_code_text(t->code);
}

/* Answered, but nothing of what was asked is there. */
static enum fm_code nothing_there(struct fm_watch *w, const struct fm_poll_status *t,
                                  struct fm_err *err)
{
    size_t beans = 0;
    for (size_t i = 0; i < t->n_queries; i++)
        beans += t->queries[i].beans;
    for (size_t i = 0; i < t->n_queries; i++)
        if (t->queries[i].error != NULL)
            return fm_err_set(err, FM_ENOTFOUND, "%s: %.200s", t->name, t->queries[i].error);
    (void)fm_err_set(err, FM_ENOTFOUND,
                     beans == 0 ? "%s: no MBean matches; \"firstmile beans %s\" lists them"
                                : "%s: these MBeans have none of the attributes; \"firstmile beans "
                                  "%s -l\" lists them",
                     t->name, w->target.name);
    fm_watch_hint(w, err);
    return FM_ENOTFOUND;
}

static void tell_status(struct fm_watch *w, const struct glance *g)
{
    struct fm_screen *s = &w->screen;
    s->status_colour = FM_GREEN;
    if (g->missing) {
        s->status_colour = FM_RED;
        (void)snprintf(s->status, sizeof s->status, "there is no such JVM now");
    } else if (g->n == 0 || (g->waiting == g->n && g->worst == NULL)) {
        s->status_colour = FM_YELLOW;
        (void)snprintf(s->status, sizeof s->status, "connecting");
    } else if (g->worst != NULL) {
        char age[24] = "";
        s->status_colour = FM_RED;
        if (w->was_up && g->worst->state_ms > 0)
            fm_text_age(age, sizeof age, fm_wall_ms() - g->worst->state_ms);
        if (g->n > 1)
            (void)snprintf(s->status, sizeof s->status, "%zu of %zu up; %.60s: %.220s", g->up, g->n,
                           g->worst->name, reason(g->worst));
        else
            (void)snprintf(s->status, sizeof s->status, "%s%s%s, trying again: %.240s",
                           w->was_up ? "lost" : "not there",
                           age[0] != '\0' && strcmp(age, "now") != 0 ? " for " : "",
                           strcmp(age, "now") != 0 ? age : "", reason(g->worst));
    } else if (g->n > 1) {
        (void)snprintf(s->status, sizeof s->status, "up: %zu JVMs", g->n);
    } else {
        (void)snprintf(s->status, sizeof s->status, "up, %.1f ms%s%.100s", g->first->duration_ms,
                       g->first->jvm != NULL ? ", " : "",
                       g->first->jvm != NULL ? g->first->jvm : "");
    }
    if (w->absent[0] != '\0' && g->worst == NULL && !g->missing)
        (void)snprintf(s->status, sizeof s->status, "up; %s", w->absent);
}

/* A remark on stderr when a target is lost or back. */
static void tell_lines(struct fm_watch *w, const struct glance *g)
{
    char text[320] = "";
    if (g->worst != NULL)
        (void)snprintf(text, sizeof text, "%.60s: %s, trying again: %.220s", g->worst->name,
                       w->was_up ? "lost" : "not there", reason(g->worst));
    /* Only the state counts: how an attempt failed may change from one to the next. */
    if ((text[0] != '\0') == (w->told[0] != '\0'))
        return;
    if (text[0] != '\0')
        fm_cmd_note(w->cli, "%s", text);
    else
        fm_cmd_note(w->cli, "%s is back", w->target.name);
    memcpy(w->told, text, sizeof text);
}

enum fm_code fm_watch_check(struct fm_watch *w, bool *done, struct fm_err *err)
{
    struct fm_poll_snapshot snapshot;
    FM_TRY(fm_poll_status_get(w->poll, &snapshot, err));
    struct glance g = look(w, &snapshot);
    enum fm_code code = FM_OK;
    (void)pthread_mutex_lock(&w->lock);
    uint64_t samples = w->samples;
    bool broken = w->broken;
    if (g.n > 1)
        w->screen.several = true;
    (void)pthread_mutex_unlock(&w->lock);
    *done = g.done || broken;
    bool first = !w->was_up && !w->opts->wait; /* it was never there, and is not waited for */
    if (g.missing && first)
        code = fm_err_set(err, FM_ENOTFOUND, "%s: there is no such JVM now, but %s", w->only,
                          snapshot.targets[0].name);
    else if (g.worst != NULL && (g.done || (first && g.up == 0 && g.waiting == 0)))
        code = fm_err_set(err, g.worst->code != FM_OK ? g.worst->code : FM_ENOTFOUND, "%s: %s",
                          g.worst->name, reason(g.worst));
    else if (!w->opts->wait && g.up > 0 && g.up == g.n && samples == 0 && g.first->polls > 0)
        code = nothing_there(w, g.first, err);
    else if (samples > 0 && g.waiting == 0)
        fm_watch_tell_absent(w);
    w->was_up = w->was_up || g.up > 0;
    if (code == FM_OK && w->live)
        tell_status(w, &g);
    else if (code == FM_OK)
        tell_lines(w, &g);
    fm_poll_snapshot_clear(&snapshot);
    return code;
}
