/* Choosing the records of the next request. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "rest/topic_priv.h"

static void drop_batch(struct fm_topic *t)
{
    fm_spool_batch_free(t->rest->spool, t->req.batch);
    t->req.batch = NULL;
}

/* Read exactly these records. */
static enum fm_code read_only(struct fm_topic *t, const struct fm_spool_id *ids, size_t n,
                              struct fm_err *err)
{
    struct fm_spool_want want = {
        .topic = t->name, .max_records = n, .max_bytes = SIZE_MAX / 2, .only = ids, .n_only = n};
    return fm_spool_read(t->rest->spool, &want, &t->req.batch, FM_READ_WAIT_MS, err);
}

size_t fm_line_skip(const struct fm_topic *t, struct fm_spool_id skip[FM_SKIP_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < t->iso.n_suspects && n < FM_SKIP_MAX; i++)
        skip[n++] = t->iso.suspects[i].id;
    for (size_t i = 0; i < t->held.n && n < FM_SKIP_MAX; i++)
        skip[n++] = t->held.refused[i];
    return n;
}

size_t fm_line_records(const struct fm_topic *t)
{
    const struct fm_rest *rest = t->rest;
    size_t wanted = rest->conf->o.batch_records, most = rest->endpoints[rest->cur].max_entries;
    return most > 0 && most < wanted ? most : wanted;
}

size_t fm_line_bytes(const struct fm_topic *t)
{
    const struct fm_rest_opts *o = &t->rest->conf->o;
    size_t bytes = o->format == FM_REST_BINARY ? o->batch_bytes / 4 * 3 : o->batch_bytes;
    return fm_size_body(t, bytes);
}

/* Read from the front of the line, without suspects and what a HOLD saw refused. */
static enum fm_code read_line(struct fm_topic *t, size_t max_records, struct fm_err *err)
{
    struct fm_spool_id skip[FM_SKIP_MAX];
    size_t n = fm_line_skip(t, skip);
    size_t bytes = fm_line_bytes(t);
    struct fm_spool_want want = {.topic = t->name,
                                 .max_records = max_records,
                                 .max_bytes = bytes,
                                 .skip = skip,
                                 .n_skip = n};
    return fm_spool_read(t->rest->spool, &want, &t->req.batch, FM_READ_WAIT_MS, err);
}

static void read_failed(struct fm_topic *t, int64_t now, int64_t *due, struct fm_err *err)
{
    fm_log_limited(t->rest->log, FM_LOG_WARN, "rest read",
                   "topic %s: the next records cannot be "
                   "sent: %s",
                   t->name, fm_err_text(err));
    drop_batch(t);
    t->next_at = now + t->rest->conf->o.backoff_ms;
    *due = t->next_at < *due ? t->next_at : *due;
}

/* @return true if a request was started */
static bool send_batch(struct fm_topic *t, enum fm_code read, size_t max_records, int64_t now,
                       int64_t *due, struct fm_err *err)
{
    if (read == FM_OK && t->req.batch != NULL && t->req.batch->n == 0) {
        drop_batch(t);
        return false;
    }
    if (read == FM_OK)
        read = fm_request_produce(&t->req, max_records, now, err);
    if (read != FM_OK)
        read_failed(t, now, due, err);
    return read == FM_OK;
}

/* Parts under isolation come before the line. */
static bool send_part(struct fm_topic *t, bool one, int64_t now, int64_t *due)
{
    const size_t max = fm_line_records(t);
    struct fm_spool_id *ids = calloc(one ? 1 : max, sizeof *ids);
    struct fm_err err;
    bool started = false;
    while (ids != NULL && !started && fm_isolate_any(t) && t->next_at <= now) {
        size_t n = fm_isolate_take(t, ids, one ? 1 : max, one);
        t->req.mode = FM_MODE_PART;
        enum fm_code code = read_only(t, ids, n, &err);
        size_t got = code == FM_OK && t->req.batch != NULL ? t->req.batch->n : 0;
        started = send_batch(t, code, got, now, due, &err);
        if (started && t->req.n < got) /* what did not fit follows as the next part */
            started = fm_isolate_push(t, ids + t->req.n, got - t->req.n, false) || started;
    }
    free(ids);
    return started;
}

static bool send_suspect(struct fm_topic *t, const struct fm_suspect *s, int64_t now, int64_t *due)
{
    struct fm_err err;
    struct fm_spool_id id = s->id;
    if (!s->last_p)
        t->iso.no_p_gate = now + t->rest->conf->o.suspect_interval_ms;
    t->req.mode = FM_MODE_SUSPECT;
    enum fm_code code = read_only(t, &id, 1, &err);
    if (code == FM_OK && t->req.batch != NULL && t->req.batch->n == 0) { /* dropped meanwhile */
        struct fm_suspect *gone = fm_suspect_find(t, &id);
        if (gone != NULL)
            fm_suspect_forget(t, gone);
    }
    return send_batch(t, code, 1, now, due, &err);
}

bool fm_line_ready(struct fm_topic *t, uint64_t aside, int64_t now, int64_t *due)
{
    const struct fm_rest_opts *o = &t->rest->conf->o;
    aside += t->iso.n_suspects + t->held.n;
    if (t->line.pending <= aside) {
        t->line.waiting_since = 0;
        return false;
    }
    if (now < t->line.dry_until) {
        *due = t->line.dry_until < *due ? t->line.dry_until : *due;
        return false;
    }
    if (t->line.waiting_since == 0)
        t->line.waiting_since = now;
    uint64_t n = t->line.pending - aside;
    const size_t batch = fm_line_records(t);
    if (n <= batch) { /* what came meanwhile has been caught up with */
        t->backlog = false;
        fm_topic_caught_up(t);
    }
    bool full = n >= batch || (double)n * t->line.avg_bytes >= (double)o->batch_bytes ||
                t->rest->finishing || atomic_load(&t->rest->end_of_input);
    if (full || t->state != FM_REST_RUN || now - t->line.waiting_since >= (int64_t)o->linger_ms)
        return true;
    int64_t at = t->line.waiting_since + o->linger_ms;
    *due = at < *due ? at : *due;
    return false;
}

void fm_line_read(struct fm_topic *t, const struct fm_spool_batch *batch)
{
    double bytes = (double)batch->bytes / (double)batch->n;
    t->line.avg_bytes = t->line.avg_bytes > 0 ? t->line.avg_bytes * 0.8 + bytes * 0.2 : bytes;
    t->line.waiting_since = 0;
}

size_t fm_line_allowed(struct fm_topic *t, size_t want, int64_t now, int64_t *due)
{
    unsigned rate = t->rest->conf->o.drain_rate;
    if (rate == 0 || !t->backlog || t->state != FM_REST_RUN)
        return want;
    int64_t again = now;
    size_t n = fm_drain_allow(&t->rest->drain, rate, want, t->rest->made, now, &again);
    if (n == 0)
        *due = again < *due ? again : *due;
    return n;
}

static bool send_line(struct fm_topic *t, size_t max_records, int64_t now, int64_t *due)
{
    struct fm_err err;
    if (!fm_line_ready(t, 0, now, due))
        return false;
    max_records = fm_line_allowed(t, max_records, now, due);
    if (max_records == 0)
        return false;
    t->req.mode = FM_MODE_LINE;
    bool started = send_batch(t, read_line(t, max_records, &err), max_records, now, due, &err);
    if (started) {
        fm_line_read(t, t->req.batch);
        fm_line_sent(t, t->req.n);
    } else if (t->next_at <= now) { /* the spool's count is ahead of what it gives */
        t->line.dry_until = now + FM_DRY_MS;
        *due = t->line.dry_until < *due ? t->line.dry_until : *due;
    }
    return started;
}

void fm_line_sent(struct fm_topic *t, size_t n)
{
    if (t->backlog && t->state == FM_REST_RUN)
        fm_drain_sent(&t->rest->drain, n);
}

static void send_held(struct fm_topic *t, int64_t now, int64_t *due)
{
    int64_t none = INT64_MAX;
    t->held.turn = !t->held.turn;
    bool suspects_first = t->iso.n_suspects > 0 && t->held.turn;
    if (!suspects_first && send_line(t, 1, now, due))
        return;
    if (t->iso.n_suspects > 0) {
        t->iso.turn = (t->iso.turn + 1) % t->iso.n_suspects;
        if (send_suspect(t, &t->iso.suspects[t->iso.turn], now, &none))
            return;
    }
    if (suspects_first && send_line(t, 1, now, due))
        return;
    t->held.n = 0; /* all were tried: from the beginning */
    t->next_at = now + t->rest->conf->o.hold_interval_ms;
    *due = t->next_at < *due ? t->next_at : *due;
}

void fm_send_due(struct fm_topic *t, int64_t now, int64_t *due)
{
    bool one = t->state != FM_REST_RUN;
    if (t->line.pending == 0 && !fm_isolate_any(t)) {
        fm_topic_caught_up(t);
        t->line.waiting_since = 0;
        return;
    }
    if (atomic_load(&t->rest->end_of_input))
        fm_suspect_bury_due(t);
    if (t->state == FM_REST_HOLD) {
        send_held(t, now, due);
        return;
    }
    bool busy = fm_lanes_flying(t) > 0; /* doubts are for one request at a time */
    if (fm_isolate_any(t) && (busy || send_part(t, one, now, due)))
        return;
    struct fm_suspect *s = fm_suspect_due(t, now, due);
    if (s != NULL && (!one || t->line.pending <= t->iso.n_suspects) &&
        (busy || send_suspect(t, s, now, due)))
        return;
    if (t->next_at > now)
        return;
    if (fm_lanes_wanted(t))
        fm_lanes_send(t, now, due);
    else
        send_line(t, one ? 1 : fm_line_records(t), now, due);
}
