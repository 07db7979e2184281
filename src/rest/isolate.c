/* The line of parts under isolation, strikes of single records, and suspects: reference 7.7. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "rest/rest_priv.h"

bool fm_id_same(const struct fm_spool_id *a, const struct fm_spool_id *b)
{
    return a->seq == b->seq && strcmp(a->stream, b->stream) == 0;
}

bool fm_isolate_any(const struct fm_topic *t)
{
    return t->parts_n > 0;
}

void fm_isolate_clear(struct fm_topic *t)
{
    t->parts_head = t->parts_n = 0;
    t->s_first_refused = false;
}

static bool room_in_front(struct fm_topic *t, size_t n)
{
    if (t->parts_head >= n)
        return true;
    size_t cap = (t->parts_n + n) * 2;
    struct fm_part *more = calloc(cap, sizeof *more);
    if (more == NULL)
        return false;
    size_t head = cap - t->parts_n;
    if (t->parts_n > 0)
        memcpy(more + head, t->parts + t->parts_head, t->parts_n * sizeof *more);
    free(t->parts);
    t->parts = more;
    t->parts_cap = cap;
    t->parts_head = head;
    return true;
}

bool fm_isolate_push(struct fm_topic *t, const struct fm_spool_id *ids, size_t n, bool alone)
{
    if (!room_in_front(t, n))
        return false;
    if (t->parts_n > 0)
        t->parts[t->parts_head].start = true;
    t->parts_head -= n;
    t->parts_n += n;
    for (size_t i = 0; i < n; i++)
        t->parts[t->parts_head + i] = (struct fm_part){.id = ids[i], .start = alone || i == 0};
    return true;
}

bool fm_isolate_halves(struct fm_topic *t, const struct fm_spool_id *ids, size_t n)
{
    if (!fm_isolate_push(t, ids, n, false))
        return false;
    if (n > 1)
        t->parts[t->parts_head + (n + 1) / 2].start = true;
    return true;
}

size_t fm_isolate_take(struct fm_topic *t, struct fm_spool_id *ids, size_t max, bool one)
{
    size_t n = 0;
    while (n < t->parts_n && n < max && (n == 0 || !t->parts[t->parts_head + n].start)) {
        ids[n] = t->parts[t->parts_head + n].id;
        n++;
        if (one)
            break;
    }
    t->parts_head += n;
    t->parts_n -= n;
    if (t->parts_n > 0)
        t->parts[t->parts_head].start = true;
    return n;
}

/* ---- strikes ---- */

unsigned fm_strike(struct fm_topic *t, const struct fm_spool_id *id)
{
    for (size_t i = 0; i < t->n_strikes; i++)
        if (fm_id_same(&t->strikes[i].id, id))
            return ++t->strikes[i].n;
    if (t->strikes == NULL)
        t->strikes = calloc(FM_STRIKES, sizeof *t->strikes);
    if (t->strikes == NULL)
        return 1;
    if (t->n_strikes == FM_STRIKES)
        memmove(t->strikes, t->strikes + 1, --t->n_strikes * sizeof *t->strikes);
    t->strikes[t->n_strikes++] = (struct fm_strike){.id = *id, .n = 1};
    return 1;
}

void fm_strike_clear(struct fm_topic *t, const struct fm_spool_id *id)
{
    for (size_t i = 0; i < t->n_strikes; i++)
        if (fm_id_same(&t->strikes[i].id, id)) {
            t->strikes[i] = t->strikes[--t->n_strikes];
            return;
        }
}

/* ---- suspects ---- */

struct fm_suspect *fm_suspect_find(struct fm_topic *t, const struct fm_spool_id *id)
{
    for (size_t i = 0; i < t->n_suspects; i++)
        if (fm_id_same(&t->suspects[i].id, id))
            return &t->suspects[i];
    return NULL;
}

void fm_suspect_forget(struct fm_topic *t, struct fm_suspect *s)
{
    size_t i = (size_t)(s - t->suspects);
    memmove(s, s + 1, (t->n_suspects - i - 1) * sizeof *s);
    t->n_suspects--;
}

static bool may_bury(const struct fm_topic *t, const struct fm_suspect *s)
{
    if (s->control || s->p_count == 0)
        return false;
    if (atomic_load(&t->rest->end_of_input) && s->last_p)
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
    fm_log_limited(rest->log, FM_LOG_WARN, t->name,
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
    for (size_t i = 0; i < t->n_suspects;) {
        if (may_bury(t, &t->suspects[i]) && bury(t, &t->suspects[i]))
            continue;
        i++;
    }
}

void fm_suspect_evidence(struct fm_topic *t)
{
    for (size_t i = 0; i < t->n_suspects; i++)
        t->suspects[i].evidence = true;
    if (t->lined.id.seq != 0)
        t->lined.evidence = true;
    fm_suspect_bury_due(t);
}

void fm_suspect_release(struct fm_topic *t)
{
    if (t->n_suspects > 0)
        fm_log(t->rest->log, FM_LOG_INFO, "topic %s: %zu suspect records go back into the line",
               t->name, t->n_suspects);
    t->n_suspects = 0;
    t->lined.id.seq = 0;
    t->dry_until = 0;
}

void fm_suspect_limit(struct fm_topic *t)
{
    for (size_t i = 0; i < t->n_suspects; i++) {
        struct fm_suspect *s = &t->suspects[i];
        if (s->size_doubt && s->stored >= t->size_limit) {
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
    if (t->n_suspects >= o->max_suspects) {
        fm_suspect_bury_due(t);
        if (t->n_suspects >= o->max_suspects) {
            struct fm_suspect oldest = t->suspects[0];
            if (!oldest.evidence || !fm_isolate_push(t, &oldest.id, 1, true))
                return false;
            t->lined = oldest; /* back into the line, to be sent alone there */
            fm_suspect_forget(t, &t->suspects[0]);
        }
    }
    if (t->n_suspects == t->cap_suspects) {
        size_t cap = t->cap_suspects > 0 ? t->cap_suspects * 2 : 8;
        struct fm_suspect *more = realloc(t->suspects, cap * sizeof *more);
        if (more == NULL)
            return false;
        t->suspects = more;
        t->cap_suspects = cap;
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
        if (t->lined.id.seq != 0 && fm_id_same(&t->lined.id, id)) {
            fresh = t->lined;
            t->lined.id.seq = 0;
        }
        if (!make_room(t))
            return false;
        s = &t->suspects[t->n_suspects++];
        *s = fresh;
    }
    s->control |= control;
    s->failures++;
    s->stored = stored;
    bool doubt = p && (flags & FM_V_SIZE) != 0 && (flags & FM_V_BODY) == 0 && t->size_limit > 0 &&
                 stored < t->size_limit;
    if (doubt) {
        p = false;
        s->size_doubt = true;
        snprintf(s->answers[s->p_count > 0 ? 1 : 0], sizeof s->answers[0], "%s", answer);
        t->limit_at = 0;
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
    for (size_t i = 0; i < t->n_suspects; i++) {
        struct fm_suspect *s = &t->suspects[i];
        int64_t at = s->next_at > t->suspect_gate ? s->next_at : t->suspect_gate;
        if (!s->last_p && t->no_p_gate > at)
            at = t->no_p_gate;
        if (at > now)
            *due = at < *due ? at : *due;
        else if (best == NULL || s->next_at < best->next_at)
            best = s;
    }
    return best;
}
