/* Several requests at a time for one topic: the line is split by key into lanes, and a lane has one
 * request under way, so that the order of each key's records stays. A key goes to the lane that has
 * the least, and stays there while any of its records is held: so lanes are evenly filled, also
 * with few keys or when their share changes. Only while all goes well: in state RUN, until anything
 * but a full acceptance comes back (reference 7.6, "in flight").
 *
 * Records are read ahead for all lanes together. The spool holds what was read until it is given
 * back, so nothing of it is dropped; what is given back unaccepted is still the oldest in the line.
 *
 * What is held is bounded in records and in bytes. A batch of the spool lies in memory until the
 * last of its records has left its lane, so whole batches are counted; and they are read in pieces,
 * so that not all the rest waits for a slow lane. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "rest/topic_priv.h"

enum {
    AHEAD = 2, /* batches for each lane: one under way, one that waits */
    PIECES = 8, /* reads that fill what may be held */
    HELD_MAX = 16 << 20 /* bytes of all lanes, or two batches if that is more */
};

static size_t most_bytes(const struct fm_topic *t)
{
    size_t batch = fm_line_bytes(t), all = AHEAD * (size_t)t->lanes.n * batch;
    size_t cap = AHEAD * batch > HELD_MAX ? AHEAD * batch : HELD_MAX;
    return all < cap ? all : cap;
}

static size_t piece_bytes(const struct fm_topic *t)
{
    size_t batch = fm_line_bytes(t), piece = most_bytes(t) / PIECES;
    return piece > batch ? piece : batch;
}

/* A piece is never more than what is left, save one record that is larger than a piece. */
static bool room_for_piece(const struct fm_topic *t)
{
    return t->lanes.bytes == 0 || t->lanes.bytes + piece_bytes(t) <= most_bytes(t);
}

static size_t held(const struct fm_topic *t)
{
    size_t n = 0;
    for (unsigned i = 0; i < t->lanes.n; i++)
        n += t->lanes.lane[i].n;
    return n;
}

bool fm_lanes_wanted(const struct fm_topic *t)
{
    const struct fm_rest_opts *o = &t->rest->conf->o;
    if (t->state != FM_REST_RUN || o->max_in_flight <= 1 || t->lanes.serial)
        return false;
    /* What fits into one request needs no more of them. */
    return held(t) > 0 || t->line.pending > fm_line_records(t) + t->iso.n_suspects + t->held.n;
}

size_t fm_lanes_flying(const struct fm_topic *t)
{
    size_t n = 0;
    for (unsigned i = 0; i < t->lanes.n; i++)
        n += t->lanes.lane[i].req.flight != FM_FLIGHT_NONE;
    return n;
}

size_t fm_lanes_records(const struct fm_topic *t)
{
    size_t n = 0;
    for (unsigned i = 0; i < t->lanes.n; i++)
        n += t->lanes.lane[i].req.n;
    return n;
}

int64_t fm_lanes_since(const struct fm_topic *t)
{
    int64_t since = 0;
    for (unsigned i = 0; i < t->lanes.n; i++) {
        const struct fm_request *r = &t->lanes.lane[i].req;
        int64_t quiet = fm_request_quiet_since(r);
        if (quiet != 0 && (since == 0 || quiet < since))
            since = quiet;
    }
    return since;
}

/* ---- what lanes hold ---- */

static void let_go(struct fm_topic *t, unsigned source)
{
    struct fm_lane_source *s = &t->lanes.source[source];
    if (--s->open > 0)
        return;
    t->lanes.bytes -= s->bytes;
    fm_spool_batch_free(t->rest->spool, s->batch);
    s->batch = NULL;
}

size_t fm_lanes_bytes(const struct fm_topic *t)
{
    return t->lanes.bytes;
}

/* An item leaves its lane. */
static void leave(struct fm_topic *t, const struct fm_lane_origin *origin)
{
    if (origin->spot < FM_LANE_SPOTS)
        t->lanes.spot[origin->spot].open--;
    let_go(t, origin->source);
}

void fm_lane_release(struct fm_lane *lane, size_t n)
{
    for (size_t i = 0; i < n; i++)
        leave(lane->req.topic, &lane->origin[i]);
    lane->n -= n;
    if (n == 0 || lane->n == 0)
        return;
    memmove(lane->items, lane->items + n, lane->n * sizeof *lane->items);
    memmove(lane->origin, lane->origin + n, lane->n * sizeof *lane->origin);
}

void fm_lanes_stop(struct fm_topic *t)
{
    t->lanes.serial = true;
    for (unsigned i = 0; i < t->lanes.n; i++) {
        struct fm_lane *lane = &t->lanes.lane[i];
        for (; lane->n > lane->req.n; lane->n--)
            leave(t, &lane->origin[lane->n - 1]);
    }
}

void fm_lanes_go_on(struct fm_topic *t)
{
    t->lanes.serial = false;
}

void fm_lanes_cancel(struct fm_topic *t)
{
    for (unsigned i = 0; i < t->lanes.n; i++)
        if (t->lanes.lane[i].req.flight != FM_FLIGHT_NONE)
            fm_client_cancel(t->rest->client, t->lanes.lane[i].req.call);
}

void fm_lanes_clear(struct fm_topic *t)
{
    for (unsigned i = 0; i < t->lanes.n; i++) {
        struct fm_lane *lane = &t->lanes.lane[i];
        fm_lane_release(lane, lane->n);
        fm_request_clear(&lane->req);
        free(lane->items);
        free(lane->origin);
    }
    free(t->lanes.lane);
    free(t->lanes.spot);
    free(t->lanes.source);
    t->lanes = (struct fm_lanes){0};
}

static bool make_lanes(struct fm_topic *t)
{
    if (t->lanes.lane != NULL)
        return true;
    unsigned n = t->rest->conf->o.max_in_flight;
    if (t->lanes.spot == NULL)
        t->lanes.spot = calloc(FM_LANE_SPOTS, sizeof *t->lanes.spot);
    t->lanes.lane = t->lanes.spot != NULL ? calloc(n, sizeof *t->lanes.lane) : NULL;
    if (t->lanes.lane == NULL)
        return false;
    t->lanes.n = n;
    for (unsigned i = 0; i < n; i++) {
        struct fm_lane *lane = &t->lanes.lane[i];
        fm_request_init(&lane->req, t, lane);
        lane->req.mode = FM_MODE_LINE;
    }
    return true;
}

/* ---- reading ---- */

/* Records that must stay in order share a lane: those of a key, or of a partition that was chosen.
 * Without either there is no order to keep: the lane that has the least. */
static unsigned spot_of(const struct fm_record *rec)
{
    if (rec->partition != FM_NO_PARTITION)
        return (uint32_t)rec->partition % FM_LANE_SPOTS;
    if (rec->key == NULL)
        return FM_LANE_SPOTS;
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < rec->key_len; i++)
        hash = (hash ^ (unsigned char)rec->key[i]) * 16777619u;
    return (hash ^ hash >> 16) % FM_LANE_SPOTS;
}

static unsigned least_lane(const struct fm_lanes *l)
{
    unsigned least = 0;
    for (unsigned i = 1; i < l->n; i++)
        if (l->lane[i].n < l->lane[least].n)
            least = i;
    return least;
}

static struct fm_lane *lane_for(struct fm_lanes *l, unsigned spot)
{
    if (spot == FM_LANE_SPOTS)
        return &l->lane[least_lane(l)];
    struct fm_lane_spot *s = &l->spot[spot];
    if (s->open == 0)
        s->lane = least_lane(l);
    return &l->lane[s->lane];
}

static bool push(struct fm_lanes *l, const struct fm_spool_item *item, unsigned source)
{
    const unsigned spot = spot_of(&item->rec);
    struct fm_lane *lane = lane_for(l, spot);
    if (lane->n == lane->cap) {
        size_t cap = lane->cap > 0 ? lane->cap + lane->cap / 2 : 64;
        struct fm_spool_item *items = realloc(lane->items, cap * sizeof *items);
        if (items != NULL)
            lane->items = items;
        struct fm_lane_origin *origins = realloc(lane->origin, cap * sizeof *origins);
        if (origins != NULL)
            lane->origin = origins;
        if (items == NULL || origins == NULL)
            return false;
        lane->cap = cap;
    }
    if (spot < FM_LANE_SPOTS)
        l->spot[spot].open++;
    lane->origin[lane->n] = (struct fm_lane_origin){.source = source, .spot = spot};
    lane->items[lane->n++] = *item;
    return true;
}

/* @return the slot, or -1: no memory */
static int free_slot(struct fm_lanes *l)
{
    for (size_t i = 0; i < l->n_sources; i++)
        if (l->source[i].batch == NULL)
            return (int)i;
    size_t n = l->n_sources > 0 ? l->n_sources * 2 : 8;
    struct fm_lane_source *more = realloc(l->source, n * sizeof *more);
    if (more == NULL)
        return -1;
    memset(more + l->n_sources, 0, (n - l->n_sources) * sizeof *more);
    int slot = (int)l->n_sources;
    l->source = more;
    l->n_sources = n;
    return slot;
}

/* The batch is taken over. What finds no memory goes back into the line, and so does all that
 * follows it: no record overtakes another. */
static void deal(struct fm_topic *t, struct fm_spool_batch *batch)
{
    struct fm_lanes *l = &t->lanes;
    int slot = batch->n > 0 ? free_slot(l) : -1;
    if (slot < 0) {
        fm_spool_batch_free(t->rest->spool, batch);
        return;
    }
    struct fm_lane_source *s = &l->source[slot];
    *s = (struct fm_lane_source){.batch = batch, .bytes = batch->bytes, .open = 1};
    l->bytes += s->bytes;
    for (size_t i = 0; i < batch->n; i++) {
        if (!push(l, &batch->items[i], (unsigned)slot))
            break;
        s->open++;
    }
    fm_spool_batch_dealt(batch);
    let_go(t, (unsigned)slot);
}

static enum fm_code read_ahead(struct fm_topic *t, size_t max, size_t have, struct fm_err *err)
{
    struct fm_spool_id *skip = malloc((FM_SKIP_MAX + have) * sizeof *skip);
    if (skip == NULL)
        return fm_err_nomem(err);
    size_t n = fm_line_skip(t, skip);
    for (unsigned i = 0; i < t->lanes.n; i++)
        for (size_t k = 0; k < t->lanes.lane[i].n; k++)
            skip[n++] = t->lanes.lane[i].items[k].id;
    struct fm_spool_want want = {.topic = t->name,
                                 .max_records = max,
                                 .max_bytes = piece_bytes(t),
                                 .skip = skip,
                                 .n_skip = n};
    struct fm_spool_batch *batch = NULL;
    enum fm_code code = fm_spool_read(t->rest->spool, &want, &batch, FM_READ_WAIT_MS, err);
    free(skip);
    if (code != FM_OK)
        return code;
    t->lanes.more = batch->more;
    if (batch->n > 0)
        fm_line_read(t, batch);
    else
        t->line.dry_until = fm_clock_ms() + FM_DRY_MS; /* its count is ahead of what it gives */
    fm_line_sent(t, batch->n);
    deal(t, batch);
    return FM_OK;
}

/* ---- sending ---- */

/* A batch that is not full waits for the next read, if that may bring more for it, and if an answer
 * will come to begin that read. */
static bool worth_sending(const struct fm_topic *t, const struct fm_lane *lane, bool stocked)
{
    if (lane->req.flight != FM_FLIGHT_NONE || lane->n == 0)
        return false;
    return lane->n >= fm_line_records(t) || !t->lanes.more || stocked || fm_lanes_flying(t) == 0;
}

static bool start(struct fm_lane *lane, int64_t now, struct fm_err *err)
{
    struct fm_request *r = &lane->req;
    size_t max = fm_line_records(r->topic);
    lane->view = (struct fm_spool_batch){.items = lane->items, .n = lane->n};
    r->batch = &lane->view;
    if (fm_request_produce(r, max, now, err) == FM_OK)
        return true;
    r->batch = NULL;
    r->n = 0;
    return false;
}

/* Fill up once a quarter of the records has gone; in bytes, whenever there is room for a piece. */
static enum fm_code fill_up(struct fm_topic *t, size_t window, int64_t now, int64_t *due,
                            struct fm_err *err)
{
    size_t have = held(t);
    bool go_on = have < window / 4 * 3;
    while (go_on && have < window && room_for_piece(t) && fm_line_ready(t, have, now, due)) {
        size_t max = fm_line_allowed(t, window - have, now, due);
        if (max == 0)
            break;
        FM_TRY(read_ahead(t, max, have, err));
        size_t before = have;
        have = held(t);
        go_on = t->lanes.more && have > before;
    }
    return FM_OK;
}

void fm_lanes_send(struct fm_topic *t, int64_t now, int64_t *due)
{
    struct fm_err err;
    if (!make_lanes(t)) {
        t->lanes.serial = true; /* no memory: one at a time will do */
        return;
    }
    const size_t window = AHEAD * (size_t)t->lanes.n * fm_line_records(t);
    bool failed = fill_up(t, window, now, due, &err) != FM_OK;
    bool stocked = held(t) >= window / 2 || !room_for_piece(t);
    for (unsigned i = 0; i < t->lanes.n && !failed; i++)
        if (worth_sending(t, &t->lanes.lane[i], stocked))
            failed = !start(&t->lanes.lane[i], now, &err);
    if (!failed)
        return;
    fm_log_limited(t->rest->log, FM_LOG_WARN, "rest read",
                   "topic %s: the next records cannot be sent: %s", t->name, fm_err_text(&err));
    fm_lanes_stop(t);
    t->next_at = now + t->rest->conf->o.backoff_ms;
    *due = t->next_at < *due ? t->next_at : *due;
}
