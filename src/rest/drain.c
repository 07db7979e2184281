/* The pace at which a backlog is sent after an outage ([rest] drain_rate). */
#include "rest/rest_priv.h"

enum { REQUESTS_A_SECOND = 4 };

size_t fm_drain_allow(struct fm_drain *d, unsigned rate, size_t want, uint64_t made, int64_t now,
                      int64_t *again)
{
    if (!d->on || made < d->made || now < d->since)
        *d = (struct fm_drain){.on = true, .since = now, .made = made};
    size_t chunk = (rate + REQUESTS_A_SECOND - 1) / REQUESTS_A_SECOND; /* not one a record */
    if (chunk > want)
        chunk = want;
    uint64_t fresh = (made - d->made) + (made - d->made) / 10;
    uint64_t timed = (uint64_t)(now - d->since) * rate / 1000;
    if (timed > d->sent + 2 * chunk) { /* what was not used meanwhile is no credit for a burst */
        d->since = now - (int64_t)((d->sent + 2 * chunk) * 1000 / rate);
        timed = d->sent + 2 * chunk;
    }
    uint64_t limit = timed > fresh ? timed : fresh;
    uint64_t left = limit > d->sent ? limit - d->sent : 0;
    if (left >= chunk)
        return left < want ? (size_t)left : want;
    *again = d->since + (int64_t)(((d->sent + chunk) * 1000 + rate - 1) / rate);
    if (*again <= now)
        *again = now + 1;
    return 0;
}

void fm_drain_sent(struct fm_drain *d, size_t n)
{
    d->sent += n;
}
