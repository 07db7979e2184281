/* The line of parts under isolation, strikes of single records, and suspects: reference 7.7. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "rest/topic_priv.h"

bool fm_id_same(const struct fm_spool_id *a, const struct fm_spool_id *b)
{
    return a->seq == b->seq && strcmp(a->stream, b->stream) == 0;
}

bool fm_isolate_any(const struct fm_topic *t)
{
    return t->iso.n > 0;
}

void fm_isolate_clear(struct fm_topic *t)
{
    t->iso.head = t->iso.n = 0;
    t->held.s_first_refused = false;
}

static bool room_in_front(struct fm_topic *t, size_t n)
{
    if (t->iso.head >= n)
        return true;
    size_t cap = (t->iso.n + n) * 2;
    struct fm_part *more = calloc(cap, sizeof *more);
    if (more == NULL)
        return false;
    size_t head = cap - t->iso.n;
    if (t->iso.n > 0)
        memcpy(more + head, t->iso.parts + t->iso.head, t->iso.n * sizeof *more);
    free(t->iso.parts);
    t->iso.parts = more;
    t->iso.cap = cap;
    t->iso.head = head;
    return true;
}

bool fm_isolate_push(struct fm_topic *t, const struct fm_spool_id *ids, size_t n, bool alone)
{
    if (!room_in_front(t, n))
        return false;
    if (t->iso.n > 0)
        t->iso.parts[t->iso.head].start = true;
    t->iso.head -= n;
    t->iso.n += n;
    for (size_t i = 0; i < n; i++)
        t->iso.parts[t->iso.head + i] = (struct fm_part){.id = ids[i], .start = alone || i == 0};
    return true;
}

bool fm_isolate_halves(struct fm_topic *t, const struct fm_spool_id *ids, size_t n)
{
    if (!fm_isolate_push(t, ids, n, false))
        return false;
    if (n > 1)
        t->iso.parts[t->iso.head + (n + 1) / 2].start = true;
    return true;
}

size_t fm_isolate_take(struct fm_topic *t, struct fm_spool_id *ids, size_t max, bool one)
{
    size_t n = 0;
    while (n < t->iso.n && n < max && (n == 0 || !t->iso.parts[t->iso.head + n].start)) {
        ids[n] = t->iso.parts[t->iso.head + n].id;
        n++;
        if (one)
            break;
    }
    t->iso.head += n;
    t->iso.n -= n;
    if (t->iso.n > 0)
        t->iso.parts[t->iso.head].start = true;
    return n;
}

/* ---- strikes ---- */

unsigned fm_strike(struct fm_topic *t, const struct fm_spool_id *id)
{
    for (size_t i = 0; i < t->iso.n_strikes; i++)
        if (fm_id_same(&t->iso.strikes[i].id, id))
            return ++t->iso.strikes[i].n;
    if (t->iso.strikes == NULL)
        t->iso.strikes = calloc(FM_STRIKES, sizeof *t->iso.strikes);
    if (t->iso.strikes == NULL)
        return 1;
    if (t->iso.n_strikes == FM_STRIKES)
        memmove(t->iso.strikes, t->iso.strikes + 1, --t->iso.n_strikes * sizeof *t->iso.strikes);
    t->iso.strikes[t->iso.n_strikes++] = (struct fm_strike){.id = *id, .n = 1};
    return 1;
}

void fm_strike_clear(struct fm_topic *t, const struct fm_spool_id *id)
{
    for (size_t i = 0; i < t->iso.n_strikes; i++)
        if (fm_id_same(&t->iso.strikes[i].id, id)) {
            t->iso.strikes[i] = t->iso.strikes[--t->iso.n_strikes];
            return;
        }
}

/* ---- suspects ---- */

struct fm_suspect *fm_suspect_find(struct fm_topic *t, const struct fm_spool_id *id)
{
    for (size_t i = 0; i < t->iso.n_suspects; i++)
        if (fm_id_same(&t->iso.suspects[i].id, id))
            return &t->iso.suspects[i];
    return NULL;
}

void fm_suspect_forget(struct fm_topic *t, struct fm_suspect *s)
{
    size_t i = (size_t)(s - t->iso.suspects);
    memmove(s, s + 1, (t->iso.n_suspects - i - 1) * sizeof *s);
    t->iso.n_suspects--;
}

static bool may_bury(const struct fm_topic *t, const struct fm_suspect *s)
{
    if (s->control || s->p_count == 0)
        return false;
    if (t->rest->conf->o.bury_at_end && atomic_load(&t->rest->end_of_input) && s->last_p)
        return true;
    return s->p_count >= 2 && s->evidence;
}

/* @return false: the spool does not take it now; it stays a suspect */
static bool bury(struct fm_topic *t, struct fm_suspect *s)
{
    struct fm_rest *rest = t->rest;
    char reason[520];
    if (s->p_count > 1)
        snprintf(reason, sizeof reason, "%s; then %s", s->answers[0], s->answers[1]);
    else
        snprintf(reason, sizeof reason, "%s", s->answers[0]);
    struct fm_settlement how = {.id = s->id, .how = FM_SETTLE_DEAD, .reason = reason};
    struct fm_err err;
    if (fm_spool_settle(rest->spool, &how, 1, &err) != FM_OK) {
        fm_log_limited(rest->log, FM_LOG_WARN, "dead letter",
                       "a record of topic %s cannot be put to "
                       "the dead letters: %s",
                       t->name, fm_err_text(&err));
        return false;
    }
    rest->now.dead++;
    /* Who is told of each does not want it a second time from the log. */
    fm_log_limited(rest->log, rest->conf->o.tells_dead ? FM_LOG_INFO : FM_LOG_WARN, t->name,
                   "record %s/%llu of topic %s became a dead letter: "
                   "%s",
                   s->id.stream, (unsigned long long)s->id.seq, t->name, reason);
    if (rest->conf->o.on_dead != NULL)
        rest->conf->o.on_dead(rest->conf->o.on_dead_arg, &s->id, reason);
    fm_suspect_forget(t, s);
    return true;
}

void fm_suspect_bury_due(struct fm_topic *t)
{
    for (size_t i = 0; i < t->iso.n_suspects;) {
        if (may_bury(t, &t->iso.suspects[i]) && bury(t, &t->iso.suspects[i]))
            continue;
        i++;
    }
}

void fm_suspect_evidence(struct fm_topic *t)
{
    for (size_t i = 0; i < t->iso.n_suspects; i++)
        t->iso.suspects[i].evidence = true;
    if (t->iso.lined.id.seq != 0)
        t->iso.lined.evidence = true;
    fm_suspect_bury_due(t);
}

void fm_suspect_release(struct fm_topic *t)
{
    if (t->iso.n_suspects > 0)
        fm_log(t->rest->log, FM_LOG_INFO, "topic %s: %zu suspect records go back into the line",
               t->name, t->iso.n_suspects);
    t->iso.n_suspects = 0;
    t->iso.lined.id.seq = 0;
    t->line.dry_until = 0;
}

void fm_suspect_limit(struct fm_topic *t)
{
    for (size_t i = 0; i < t->iso.n_suspects; i++) {
        struct fm_suspect *s = &t->iso.suspects[i];
        if (s->size_doubt && s->stored >= t->size.limit) {
            s->p_count++;
            s->last_p = true;
        }
        s->size_doubt = false;
    }
    fm_suspect_bury_due(t);
}

/* Room for one more. @return false: hold the topic */
static bool make_room(struct fm_topic *t)
{
    const struct fm_rest_opts *o = &t->rest->conf->o;
    if (t->iso.n_suspects >= o->max_suspects) {
        fm_suspect_bury_due(t);
        if (t->iso.n_suspects >= o->max_suspects) {
            struct fm_suspect oldest = t->iso.suspects[0];
            if (!oldest.evidence || !fm_isolate_push(t, &oldest.id, 1, true))
                return false;
            t->iso.lined = oldest; /* back into the line, to be sent alone there */
            fm_suspect_forget(t, &t->iso.suspects[0]);
        }
    }
    if (t->iso.n_suspects == t->iso.cap_suspects) {
        size_t cap = t->iso.cap_suspects > 0 ? t->iso.cap_suspects * 2 : 8;
        struct fm_suspect *more = realloc(t->iso.suspects, cap * sizeof *more);
        if (more == NULL)
            return false;
        t->iso.suspects = more;
        t->iso.cap_suspects = cap;
    }
    return true;
}

static void count_p(struct fm_suspect *s, const char *answer, int64_t now)
{
    snprintf(s->answers[s->p_count > 0 ? 1 : 0], sizeof s->answers[0], "%s", answer);
    if (s->p_count == 0 || now - s->counted_at >= (int64_t)s->wait_ms) {
        s->p_count++;
        s->counted_at = now;
    }
}

bool fm_suspect_add(struct fm_topic *t, const struct fm_spool_id *id, bool control, size_t stored,
                    bool p, unsigned flags, const char *answer, int64_t now)
{
    const struct fm_rest_opts *o = &t->rest->conf->o;
    struct fm_suspect *s = fm_suspect_find(t, id);
    if (s == NULL) {
        struct fm_suspect fresh = {.id = *id, .control = control, .first_at = now};
        if (t->iso.lined.id.seq != 0 && fm_id_same(&t->iso.lined.id, id)) {
            fresh = t->iso.lined;
            t->iso.lined.id.seq = 0;
        }
        if (!make_room(t))
            return false;
        s = &t->iso.suspects[t->iso.n_suspects++];
        *s = fresh;
    }
    s->control |= control;
    s->failures++;
    s->stored = stored;
    bool doubt = p && (flags & FM_V_SIZE) != 0 && (flags & FM_V_BODY) == 0 && t->size.known &&
                 stored < t->size.limit;
    if (doubt) {
        p = false;
        s->size_doubt = true;
        snprintf(s->answers[s->p_count > 0 ? 1 : 0], sizeof s->answers[0], "%s", answer);
        t->size.read_at = 0;
    }
    if (p)
        count_p(s, answer, now);
    else if (s->p_count == 0 && !doubt)
        snprintf(s->answers[0], sizeof s->answers[0], "%s", answer);
    s->last_p = p;
    unsigned wait = s->wait_ms == 0 ? o->isolate_backoff_ms : s->wait_ms * 2;
    s->wait_ms = wait < o->isolate_max_backoff_ms ? wait : o->isolate_max_backoff_ms;
    s->next_at = now + s->wait_ms;
    if (may_bury(t, s))
        bury(t, s);
    return true;
}

struct fm_suspect *fm_suspect_due(struct fm_topic *t, int64_t now, int64_t *due)
{
    struct fm_suspect *best = NULL;
    for (size_t i = 0; i < t->iso.n_suspects; i++) {
        struct fm_suspect *s = &t->iso.suspects[i];
        int64_t at = s->next_at > t->iso.gate ? s->next_at : t->iso.gate;
        if (!s->last_p && t->iso.no_p_gate > at)
            at = t->iso.no_p_gate;
        if (at > now)
            *due = at < *due ? at : *due;
        else if (best == NULL || s->next_at < best->next_at)
            best = s;
    }
    return best;
}
