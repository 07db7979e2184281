/* The topic itself, through the proxy's consumer interface: up to the ends that it has now, then
 * once more for numbers that were still under way; or on and on, with --follow. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "agent/plan.h"
#include "agent/signals.h"
#include "base/clock.h"
#include "cli/audit_priv.h"
#include "rest/consumer.h"

enum {
    PROGRESS_MS = 250,
    SETTLE_MS = 10000, /* design.md section 6 */
    TIMEOUT_MS = 60000,
    BUSY_BYTES = 16 * 1024 /* an answer of more says that there is a backlog */
};

struct reader {
    struct fm_audit_job *job;
    struct fm_rest_consumer *consumer;
    int signals;
    bool interrupted;
    struct fm_rest_place *limits; /* as told last; owned */
    size_t n_limits;
    bool limited; /* what lies behind the limits is not taken */
    bool open_end; /* --follow: it is taken always */
    uint64_t taken; /* records */
    int64_t begun, shown, timeout_ms, settle_ms;
};

/* ---- on the terminal ---- */

static void clear_progress(struct reader *r)
{
    if (r->job->progress && r->shown > 0)
        (void)fputs("\r\033[K", stderr);
    r->shown = 0;
}

/* How far the partitions are, of what was to be read when it began. */
static void measure(const struct reader *r, uint64_t *done, uint64_t *all)
{
    size_t n;
    const struct fm_rest_place *places = fm_rest_consumer_places(r->consumer, &n);
    *done = *all = 0;
    for (size_t i = 0; i < n && i < r->n_limits; i++) {
        int64_t end = r->limits[i].end, next = places[i].next < end ? places[i].next : end;
        if (end < 0 || places[i].partition != r->limits[i].partition)
            continue;
        *all += (uint64_t)(end - r->limits[i].begin);
        *done += next > r->limits[i].begin ? (uint64_t)(next - r->limits[i].begin) : 0;
    }
}

/* "12000 of 100000 records, 4321/s, ETA 0:20" */
static void show_progress(struct reader *r)
{
    int64_t now = fm_clock_ms();
    uint64_t done, all;
    if (!r->job->progress || now - r->shown < PROGRESS_MS)
        return;
    r->shown = now;
    double rate = now > r->begun ? (double)r->taken * 1000 / (double)(now - r->begun) : 0;
    (void)fprintf(stderr, "\r\033[K%llu records, %.0f/s", (unsigned long long)r->taken, rate);
    measure(r, &done, &all);
    if (all == 0 || done == all)
        return;
    (void)fprintf(stderr, ", %.0f %%", 100 * (double)done / (double)all);
    if (rate > 0) {
        unsigned left = (unsigned)((double)(all - done) / rate);
        (void)fprintf(stderr, ", ETA %u:%02u", left / 60, left % 60);
    }
}

/* ---- reading ---- */

static bool stop(void *arg)
{
    struct reader *r = arg;
    int number = fm_signals_next(r->signals);
    if (number == SIGINT || number == SIGTERM || number == SIGHUP)
        r->interrupted = true;
    return r->interrupted;
}

static const struct fm_rest_place *limit_of(const struct reader *r, int32_t partition)
{
    size_t low = 0, high = r->n_limits;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (r->limits[middle].partition < partition)
            low = middle + 1;
        else
            high = middle;
    }
    return low < r->n_limits && r->limits[low].partition == partition ? &r->limits[low] : NULL;
}

static enum fm_code take(void *arg, const struct fm_rest_consumed *record, struct fm_err *err)
{
    struct reader *r = arg;
    const struct fm_rest_place *limit = limit_of(r, record->partition);
    if (r->limited && limit != NULL && record->offset >= limit->end)
        return FM_OK;
    r->taken++;
    r->job->headers = r->job->headers || record->n_headers > 0;
    const struct fm_audit_record rec = {.topic = r->job->topic,
                                        .partition = record->partition,
                                        .offset = record->offset,
                                        .key = record->key,
                                        .key_len = record->key_len,
                                        .value = record->value,
                                        .value_len = record->value_len,
                                        .headers = record->headers,
                                        .n_headers = record->n_headers};
    return fm_audit_add(r->job->audit, &rec, err);
}

/* The ends that the partitions have now become the limits. */
static enum fm_code take_limits(struct reader *r, struct fm_err *err)
{
    size_t n;
    FM_TRY(fm_rest_consumer_ends(r->consumer, err));
    if (!fm_rest_consumer_has_ends(r->consumer))
        return FM_OK;
    const struct fm_rest_place *places = fm_rest_consumer_places(r->consumer, &n);
    struct fm_rest_place *limits = malloc((n + 1) * sizeof *limits);
    if (limits == NULL)
        return fm_err_nomem(err);
    memcpy(limits, places, n * sizeof *limits);
    free(r->limits);
    r->limits = limits;
    r->n_limits = n;
    for (size_t i = 0; i < n; i++)
        FM_TRY(fm_audit_partition(r->job->audit, r->job->topic, limits[i].partition,
                                  limits[i].begin, err));
    return FM_OK;
}

/* The first partition that is not read to its limit; NULL: all are. */
static const struct fm_rest_place *behind(const struct reader *r)
{
    size_t n;
    const struct fm_rest_place *places = fm_rest_consumer_places(r->consumer, &n);
    for (size_t i = 0; i < n; i++) {
        const struct fm_rest_place *limit = limit_of(r, places[i].partition);
        if (limit != NULL && places[i].next < limit->end)
            return &places[i];
    }
    return NULL;
}

static uint64_t distance(const struct reader *r)
{
    uint64_t done, all;
    measure(r, &done, &all);
    return all - done;
}

static enum fm_code read_to_limits(struct reader *r, struct fm_err *err)
{
    const struct fm_rest_place *place;
    int64_t moved = fm_clock_ms();
    uint64_t before = distance(r);
    r->limited = !r->open_end;
    while ((place = behind(r)) != NULL) {
        FM_TRY(fm_rest_consumer_read(r->consumer, take, r, NULL, err));
        show_progress(r);
        uint64_t left = distance(r);
        if (left != before)
            moved = fm_clock_ms();
        before = left;
        if (fm_clock_ms() - moved < r->timeout_ms)
            continue;
        const struct fm_rest_place *limit = limit_of(r, place->partition);
        return fm_err_set(err, FM_ETIMEOUT,
                          "the proxy gives nothing of partition %d of %s behind offset %lld, "
                          "though its end is %lld",
                          (int)place->partition, r->job->topic, (long long)place->next - 1,
                          limit != NULL ? (long long)limit->end : -1LL);
    }
    return FM_OK;
}

/* For some time, or where no ends are told: until nothing much comes any more. */
static enum fm_code read_for(struct reader *r, int64_t ms, bool until_quiet, struct fm_err *err)
{
    int64_t until = fm_clock_ms() + ms;
    r->limited = false;
    while (fm_clock_ms() < until) {
        size_t bytes = 0;
        FM_TRY(fm_rest_consumer_read(r->consumer, take, r, &bytes, err));
        show_progress(r);
        if (until_quiet && bytes > BUSY_BYTES)
            until = fm_clock_ms() + ms;
    }
    return FM_OK;
}

static enum fm_code read_all(struct reader *r, struct fm_err *err)
{
    FM_TRY(take_limits(r, err));
    FM_TRY(fm_rest_consumer_has_ends(r->consumer) ? read_to_limits(r, err)
                                                  : read_for(r, r->settle_ms / 2, true, err));
    return fm_audit_finish(r->job->audit, err);
}

/* Without a look at the proxy. */
static enum fm_code sleep_until(struct reader *r, int64_t until, struct fm_err *err)
{
    for (int64_t now; (now = fm_clock_ms()) < until;) {
        if (stop(r))
            return fm_err_set(err, FM_ESTOP, "interrupted");
        fm_sleep_ms((unsigned)(until - now < 50 ? until - now : 50));
    }
    return FM_OK;
}

/* What is missing may be under way: read on, for these numbers only. */
static enum fm_code read_late(struct reader *r, int64_t ends_at, struct fm_err *err)
{
    clear_progress(r);
    fm_cmd_note(r->job->cli, "%llu numbers are missing so far; they may be under way: reading on",
                (unsigned long long)fm_audit_totals(r->job->audit)->missing);
    fm_audit_freeze(r->job->audit);
    if (!fm_rest_consumer_has_ends(r->consumer)) {
        FM_TRY(read_for(r, r->settle_ms, false, err));
        return fm_audit_finish(r->job->audit, err);
    }
    /* What was read behind the limits was not taken: go back to them. */
    struct fm_rest_place *back = r->limits;
    size_t n = r->n_limits;
    for (size_t i = 0; i < n; i++)
        back[i].next = back[i].end;
    fm_rest_consumer_seek(r->consumer, back, n);
    FM_TRY(sleep_until(r, ends_at + r->settle_ms, err));
    return read_all(r, err);
}

static enum fm_code read_once(struct reader *r, struct fm_err *err)
{
    int64_t ends_at = fm_clock_ms();
    FM_TRY(read_all(r, err));
    if (fm_audit_totals(r->job->audit)->missing == 0)
        return FM_OK;
    return read_late(r, ends_at, err);
}

/* ---- --follow ---- */

static enum fm_code follow(struct reader *r, struct fm_audit_news *news, struct fm_err *err)
{
    r->open_end = true;
    enum fm_code code = read_all(r, err);
    while (code == FM_OK) {
        clear_progress(r);
        FM_TRY(fm_audit_news_tell(news, r->job, err));
        code = read_for(r, r->settle_ms, false, err);
        if (code == FM_OK)
            code = take_limits(r, err); /* retention and new partitions */
        if (code == FM_OK)
            FM_TRY(fm_audit_finish(r->job->audit, err));
    }
    clear_progress(r);
    if (code != FM_ESTOP || !r->interrupted)
        return code;
    /* The end: as if it were begun now, with all that is known already. */
    r->interrupted = r->open_end = false;
    fm_audit_forget_pending(r->job->audit);
    if (r->job->opts->spool != NULL)
        FM_TRY(fm_audit_read_spool(r->job, err));
    FM_TRY(fm_audit_finish(r->job->audit, err));
    int64_t ends_at = fm_clock_ms();
    code = read_all(r, err);
    if (code == FM_OK && fm_audit_totals(r->job->audit)->missing > 0)
        code = read_late(r, ends_at, err);
    if (code != FM_ESTOP)
        return code;
    fm_cmd_note(r->job->cli, "interrupted again: numbers under way count as missing");
    return fm_audit_finish(r->job->audit, err);
}

static enum fm_code follow_news(struct reader *r, struct fm_err *err)
{
    struct fm_audit_news *news;
    FM_TRY(fm_audit_news_new(&news, err));
    enum fm_code code = follow(r, news, err);
    fm_audit_news_free(news);
    return code;
}

/* ---- the way there ---- */

static enum fm_code open_consumer(struct reader *r, struct fm_rest_opts *way, struct fm_err *err)
{
    const struct fm_cfg_rest *rest = &r->job->config->rest;
    const struct fm_rest_consumer_opts opts = {.way = way,
                                               .url = rest->consumer_url,
                                               .topic = r->job->topic,
                                               .group = r->job->opts->group,
                                               .timeout_ms = (unsigned)r->timeout_ms,
                                               .stop = stop,
                                               .arg = r};
    if (rest->consumer_url == NULL && (rest->sandbox || rest->url.n == 0))
        return fm_err_set(err, FM_ECONF,
                          "audit: read from where? %s; give the URL of a REST proxy with -o "
                          "rest.url=https://..., or what kcat -J wrote with --from",
                          rest->sandbox ? "[rest] url = sandbox lives inside `run`"
                                        : "[rest] url is not set");
    FM_TRY(fm_plan_rest(way, r->job->config, NULL, &r->job->cli->arena, err));
    way->log = r->job->cli->log;
    FM_TRY(fm_net_init(err));
    return fm_rest_consumer_new(&r->consumer, &opts, err);
}

enum fm_code fm_audit_read_topic(struct fm_audit_job *job, struct fm_err *err)
{
    struct reader r = {.job = job, .begun = fm_clock_ms(), .signals = -1};
    struct fm_rest_opts way;
    r.timeout_ms = job->opts->timeout_ms > 0 ? job->opts->timeout_ms : TIMEOUT_MS;
    r.settle_ms = job->opts->settle_ms > 0 ? job->opts->settle_ms : SETTLE_MS;
    FM_TRY(fm_signals_open(&r.signals, err));
    enum fm_code code = open_consumer(&r, &way, err);
    if (code == FM_OK)
        code = job->opts->follow ? follow_news(&r, err) : read_once(&r, err);
    clear_progress(&r);
    fm_rest_consumer_free(r.consumer);
    fm_signals_close(r.signals);
    free(r.limits);
    return code;
}
