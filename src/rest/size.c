/* How large a body may be: what the proxy refused as too large counts for this run; what a line did
 * not let through is tried again in time. */
#include "rest/topic_priv.h"

enum { LEAST = 1024, STALLS_TO_LEAST = 3, MOST_WAITS = 6 };

static size_t half(size_t body)
{
    return body / 2 > LEAST ? body / 2 : LEAST;
}

size_t fm_size_body(const struct fm_topic *t, size_t bytes)
{
    if (t->size.body > 0 && t->size.body < bytes)
        bytes = t->size.body;
    if (t->size.narrow > 0 && t->size.narrow < bytes)
        bytes = t->size.narrow;
    return bytes;
}

void fm_size_stalled(struct fm_topic *t, size_t body, int64_t now)
{
    unsigned n = ++t->size.stalls;
    t->size.stalled = body;
    if (n >= STALLS_TO_LEAST)
        t->size.narrow = LEAST;
    else if (n > 1)
        t->size.narrow = half(fm_size_body(t, body));
    unsigned waits = n < MOST_WAITS ? n : MOST_WAITS;
    t->size.grow_at = now + ((int64_t)t->rest->conf->o.hold_interval_ms << waits);
}

void fm_size_passed(struct fm_topic *t, size_t body, int64_t now)
{
    if (body >= t->size.stalled / 2)
        t->size.stalls = 0;
    if (t->size.narrow == 0 || now < t->size.grow_at || body < t->size.narrow / 2)
        return;
    t->size.narrow *= 2;
    if (t->size.narrow >= t->rest->conf->o.batch_bytes)
        t->size.narrow = 0;
}

void fm_size_refused(struct fm_topic *t, size_t body)
{
    t->size.body = half(body);
}

void fm_size_forget(struct fm_topic *t)
{
    t->size.body = t->size.narrow = t->size.stalled = 0;
    t->size.stalls = 0;
}
