/* Getters that hang. A POST is answered whole or not at all, and an agent may have one thread only,
 * so a getter that hangs takes everything with it, and every try costs a thread over there. So
 * after a POST without an answer the next list is careful: first the version, which proves that the
 * agent lives; what is known to answer stays together; the rest goes one by one, each with a short
 * time. Who does not answer then is left out for a while, and the others are not kept waiting. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "jmx/jolokia/session_priv.h"

enum {
    FIRST_BACKOFF_MS = 60 * 1000,
    MAX_BACKOFF_MS = 60 * 60 * 1000,
    STEPS = 8, /* of a list's time: what one call alone may take */
    MIN_STEP_MS = 100
};

static bool runs_getters(const struct fm_jmx_call *call)
{
    return call->op == FM_JMX_READ || call->op == FM_JMX_REASON;
}

static struct fm_jolokia_hung *find(struct fm_jolokia *d, const struct fm_jmx_call *call)
{
    uint64_t hash = d->n_hung > 0 && runs_getters(call) ? fm_jolokia_hash(1, call->name) : 0;
    for (size_t i = 0; hash != 0 && i < d->n_hung; i++)
        if (d->hung[i].bean == hash)
            return &d->hung[i];
    return NULL;
}

bool fm_jolokia_left_out(struct fm_jolokia *d, struct fm_jmx_call *call)
{
    const struct fm_jolokia_hung *hung = find(d, call);
    int64_t left = hung != NULL ? hung->until_ms - fm_clock_ms() : 0;
    if (left <= 0)
        return false;
    call->code = fm_err_set(&call->err, FM_ETIMEOUT,
                            "this MBean did not answer in time and is left out for another %d s",
                            (int)(left / 1000) + 1);
    return true;
}

static bool is_good(const struct fm_jolokia *d, const struct fm_jmx_call *call)
{
    uint64_t hash = d->n_good > 0 ? fm_jolokia_call_hash(call) : 0;
    for (size_t i = 0; i < d->n_good; i++)
        if (d->good[i] == hash)
            return true;
    return false;
}

bool fm_jolokia_goes_now(struct fm_jolokia *d, const struct fm_jmx_call *call)
{
    bool alone = runs_getters(call) && ((d->careful && !is_good(d, call)) || find(d, call) != NULL);
    return alone == d->alone;
}

int64_t fm_jolokia_step_ms(const struct fm_jolokia *d)
{
    int64_t step = (d->list.deadline_ms - d->begun_ms) / STEPS;
    return step > MIN_STEP_MS ? step : MIN_STEP_MS;
}

/* Others that are left have not been asked: they come first in the next list. */
static void give_back_the_rest(struct fm_jolokia *d)
{
    for (size_t i = 0; i < d->list.n; i++)
        if (d->list.calls[i].code == FM_EAGAIN)
            d->list.calls[i].code =
                fm_err_set(&d->list.calls[i].err, FM_ETIMEOUT,
                           "not asked: MBeans that hang have used up the time of this poll");
    d->n_ranges = 0;
}

bool fm_jolokia_go_alone(struct fm_jolokia *d)
{
    if (d->alone || (!d->careful && d->n_hung == 0)) {
        if (d->alone && d->n_ranges == 0)
            d->careful = false; /* all have been asked */
        return false;
    }
    d->alone = true;
    d->ranges[d->n_ranges++] = (struct fm_jolokia_range){0, d->list.n};
    return true;
}

bool fm_jolokia_time_is_up(struct fm_jolokia *d)
{
    if (!d->alone || d->list.deadline_ms - fm_clock_ms() > fm_jolokia_step_ms(d) / 2)
        return false;
    give_back_the_rest(d);
    return true;
}

/* The bean of the call that stood alone in the POST. */
static void note(struct fm_jolokia *d, const struct fm_jmx_call *call)
{
    struct fm_jolokia_hung *hung = find(d, call);
    if (hung == NULL && d->n_hung < FM_JOLOKIA_MAX_HUNG) {
        hung = &d->hung[d->n_hung++];
        *hung = (struct fm_jolokia_hung){.bean = fm_jolokia_hash(1, call->name)};
    }
    if (hung == NULL)
        return;
    hung->backoff_ms = hung->backoff_ms == 0 ? FIRST_BACKOFF_MS : hung->backoff_ms * 2;
    if (hung->backoff_ms > MAX_BACKOFF_MS)
        hung->backoff_ms = MAX_BACKOFF_MS;
    hung->until_ms = fm_clock_ms() + hung->backoff_ms;
    fm_log(d->log, FM_LOG_WARN, "%s: %s does not answer and is left out for %d s", d->shown,
           call->name, (int)(hung->backoff_ms / 1000));
}

bool fm_jolokia_hangs(struct fm_jolokia *d, struct fm_err *err)
{
    size_t getters = 0, last = 0;
    for (size_t i = 0; i < d->n_items; i++)
        if (d->items[i].kind == ITEM_CALL && runs_getters(&d->list.calls[d->items[i].call])) {
            last = d->items[i].call;
            getters++;
        }
    if (d->alone && getters == 1) {
        struct fm_jmx_call *call = &d->list.calls[last];
        note(d, call);
        call->code =
            fm_err_set(&call->err, FM_ETIMEOUT, "did not answer in time: %.120s", fm_err_text(err));
        return true;
    }
    if (getters > 0) {
        d->careful = true;
        d->n_good = 0;
    }
    return false;
}

void fm_jolokia_answered(struct fm_jolokia *d, const struct fm_jmx_call *call)
{
    struct fm_jolokia_hung *hung = find(d, call);
    if (hung != NULL)
        *hung = d->hung[--d->n_hung];
    if (!d->careful || !runs_getters(call) || is_good(d, call))
        return;
    uint64_t *more = realloc(d->good, (d->n_good + 1) * sizeof *more);
    if (more == NULL)
        return; /* it is asked alone once more */
    d->good = more;
    d->good[d->n_good++] = fm_jolokia_call_hash(call);
}
