/* The producer's thread: it brings what was taken into the spool, and is the only one that calls
 * back. So a report can never overtake the seqs that it is about. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "rest/producer_priv.h"

enum { STORE_MS = 10000, FULL_MS = 20 };

bool fm_pump_is(const struct fm_producer *p)
{
    return p->pump_known && pthread_equal(p->pump_self, pthread_self());
}

void fm_intake_free(struct fm_intake *intake)
{
    if (intake == NULL)
        return;
    fm_chunk_free(intake->chunk);
    free(intake->users);
    free(intake->told);
    free(intake);
}

/* ---- what the sender says: on its thread ---- */

static void wake_pump(struct fm_producer *p)
{
    if (p->pump_sleeps)
        (void)pthread_cond_signal(&p->work);
}

/* Under the lock. Without memory the records stay unreported until the end. */
static void note(struct fm_producer *p, const struct fm_spool_id *id, uint64_t n,
                 const char *reason)
{
    struct fm_said *said = calloc(1, sizeof *said);
    char *text = reason != NULL && said != NULL ? strdup(reason) : NULL;
    if (said == NULL || (reason != NULL && text == NULL)) {
        free(said);
        return;
    }
    memcpy(said->stream, id->stream, sizeof said->stream);
    said->from = id->seq;
    said->n = n;
    said->reason = text;
    *p->said_tail = said;
    p->said_tail = &said->next;
}

void fm_pump_delivered(void *arg, const struct fm_settlement *list, size_t n)
{
    struct fm_producer *p = arg;
    (void)pthread_mutex_lock(&p->lock);
    for (size_t i = 0; i < n; i++)
        note(p, &list[i].id, list[i].n, NULL);
    wake_pump(p);
    (void)pthread_mutex_unlock(&p->lock);
}

void fm_pump_dead(void *arg, const struct fm_spool_id *id, const char *reason)
{
    struct fm_producer *p = arg;
    (void)pthread_mutex_lock(&p->lock);
    note(p, id, 1, reason);
    wake_pump(p);
    (void)pthread_mutex_unlock(&p->lock);
}

/* ---- reports ---- */

static void report(struct fm_producer *p, struct fm_intake *in, size_t i, enum fm_code code,
                   const char *reason)
{
    if (in->told[i])
        return;
    in->told[i] = true;
    in->left--;
    const struct fm_producer_report r = {.code = code,
                                         .reason = reason,
                                         .stream = in->first > 0 ? in->stream : "",
                                         .seq = in->first > 0 ? in->first + i : 0,
                                         .user = in->users[i]};
    if (p->o.done != NULL)
        p->o.done(p->o.done_arg, &r);
}

/* Under the lock. */
static void unlink_stored(struct fm_producer *p, struct fm_intake *in)
{
    *(in->prev != NULL ? &in->prev->next : &p->stored.head) = in->next;
    *(in->next != NULL ? &in->next->prev : &p->stored.tail) = in->prev;
    p->n_stored--;
}

/* After the calls of report(), so that a flush that returns has seen its callbacks end.
 * ended: those that are stored and wholly reported now, out of their buckets, linked by same */
static void count(struct fm_producer *p, size_t n, enum fm_code code, struct fm_intake *ended)
{
    (void)pthread_mutex_lock(&p->lock);
    p->pending -= n;
    if (code == FM_OK)
        p->delivered += n;
    else
        p->failed += n;
    for (struct fm_intake *in; (in = ended) != NULL;) {
        ended = in->same;
        unlink_stored(p, in);
        fm_intake_free(in);
    }
    (void)pthread_cond_broadcast(&p->moved);
    (void)pthread_mutex_unlock(&p->lock);
}

static void report_all(struct fm_producer *p, struct fm_intake *in, enum fm_code code,
                       const char *reason)
{
    size_t n = in->left;
    for (size_t i = 0; i < in->n; i++)
        report(p, in, i, code, reason);
    count(p, n, code, NULL);
}

/* An intake lies in the bucket of its first seq's block. No intake is longer than a block, so a
 * seq is in an intake of its own block or of the one before. */
static struct fm_intake **bucket(struct fm_producer *p, const char *stream, uint64_t block)
{
    uint64_t h = block;
    for (; *stream != '\0'; stream++)
        h = h * 31 + (unsigned char)*stream;
    return &p->buckets[h % FM_INTAKE_BUCKETS];
}

static size_t report_said(struct fm_producer *p, struct fm_intake *in, const struct fm_said *said)
{
    uint64_t end = said->from + said->n;
    if (in->first >= end || in->first + in->n <= said->from ||
        strcmp(in->stream, said->stream) != 0)
        return 0;
    size_t before = in->left;
    uint64_t seq = in->first > said->from ? in->first : said->from;
    for (; seq < end && seq < in->first + in->n; seq++)
        report(p, in, (size_t)(seq - in->first), said->reason == NULL ? FM_OK : FM_EREMOTE,
               said->reason == NULL ? "" : said->reason);
    return before - in->left;
}

static void apply(struct fm_producer *p, const struct fm_said *said)
{
    uint64_t block = said->from / FM_INTAKE_RECORDS;
    uint64_t last = (said->from + said->n - 1) / FM_INTAKE_RECORDS;
    struct fm_intake *ended = NULL;
    size_t n = 0;
    for (block -= block > 0; block <= last; block++) {
        struct fm_intake **link = bucket(p, said->stream, block);
        for (struct fm_intake *in; (in = *link) != NULL;) {
            n += report_said(p, in, said);
            if (in->left > 0) {
                link = &in->same;
                continue;
            }
            *link = in->same;
            in->same = ended;
            ended = in;
        }
    }
    count(p, n, said->reason == NULL ? FM_OK : FM_EREMOTE, ended);
}

static void apply_said(struct fm_producer *p)
{
    (void)pthread_mutex_lock(&p->lock);
    struct fm_said *list = p->said;
    p->said = NULL;
    p->said_tail = &p->said;
    (void)pthread_mutex_unlock(&p->lock);
    while (list != NULL) {
        struct fm_said *said = list;
        list = said->next;
        apply(p, said);
        free(said->reason);
        free(said);
    }
}

/* ---- into the spool ---- */

static void keep(struct fm_producer *p, struct fm_intake *in)
{
    struct fm_intake **link = bucket(p, in->stream, in->first / FM_INTAKE_RECORDS);
    in->same = *link;
    *link = in;
    (void)pthread_mutex_lock(&p->lock);
    in->prev = p->stored.tail;
    p->n_stored++;
    if (p->stored.tail != NULL)
        p->stored.tail->next = in;
    else
        p->stored.head = in;
    p->stored.tail = in;
    p->storing = 0;
    (void)pthread_cond_broadcast(&p->moved);
    (void)pthread_mutex_unlock(&p->lock);
}

static void give_up(struct fm_producer *p, struct fm_intake *in, enum fm_code code,
                    const char *reason)
{
    report_all(p, in, code, reason);
    (void)pthread_mutex_lock(&p->lock);
    p->storing = 0;
    (void)pthread_cond_broadcast(&p->moved);
    (void)pthread_mutex_unlock(&p->lock);
    fm_intake_free(in);
}

/* @return false: the spool is full; again later */
static bool store(struct fm_producer *p, struct fm_intake *in)
{
    struct fm_err err = {0};
    uint64_t first = 0;
    if (!fm_spool_ready(p->spool))
        return false;
    enum fm_code code =
        fm_spool_store(p->spool, &in->chunk, STORE_MS, in->stream, &first, NULL, &err);
    in->first = first;
    if (code == FM_OK) {
        keep(p, in);
        return true;
    }
    if (in->chunk != NULL && (code == FM_EFULL || code == FM_ETIMEOUT))
        return false;
    give_up(p, in, code == FM_EFULL ? FM_ETIMEOUT : code, fm_err_text(&err));
    return true;
}

static struct fm_intake *take(struct fm_producer *p)
{
    struct fm_intake *in = p->taken.head;
    p->taken.head = in->next;
    if (in->next == NULL)
        p->taken.tail = NULL;
    in->next = NULL;
    p->taken_bytes -= in->bytes;
    p->storing = in->order;
    (void)pthread_cond_broadcast(&p->moved);
    return in;
}

/* Under the lock, until there is something to do. @return false: the end */
static bool await_work(struct fm_producer *p, bool full)
{
    while (p->said == NULL && !p->stopping && (p->holding == NULL ? p->taken.head == NULL : full)) {
        p->pump_sleeps = true;
        bool woken = fm_cond_wait(&p->work, &p->lock, full ? fm_clock_ms() + FULL_MS : 0);
        p->pump_sleeps = false;
        full = full && woken;
    }
    if (p->holding == NULL && p->taken.head != NULL)
        p->holding = take(p);
    return !p->stopping || p->said != NULL || (p->holding != NULL && !full);
}

static uint64_t leave(struct fm_producer *p, struct fm_intake *in, const char *reason)
{
    uint64_t n = 0;
    for (struct fm_intake *next; in != NULL; in = next) {
        next = in->next;
        n += in->left;
        report_all(p, in, FM_ESTOP, reason);
        fm_intake_free(in);
    }
    return n;
}

/* Here and not by who closes: callbacks know one thread. */
static uint64_t leave_all(struct fm_producer *p)
{
    static const char unstored[] = "closed before it was stored: the spool is full";
    apply_said(p);
    (void)pthread_mutex_lock(&p->lock);
    struct fm_intake *stored = p->stored.head, *taken = p->taken.head;
    p->stored = p->taken = (struct fm_intakes){0};
    p->n_stored = 0;
    (void)pthread_mutex_unlock(&p->lock);
    uint64_t n = leave(p, stored,
                       p->durable ? "closed before the proxy accepted it; it stays in the spool"
                                  : "closed before the proxy accepted it");
    p->unstored = leave(p, p->holding, unstored) + leave(p, taken, unstored);
    p->holding = NULL;
    return n + p->unstored;
}

void *fm_pump_run(void *arg)
{
    struct fm_producer *p = arg;
    bool full = false;
    (void)pthread_mutex_lock(&p->lock);
    p->pump_self = pthread_self();
    p->pump_known = true;
    while (await_work(p, full)) {
        (void)pthread_mutex_unlock(&p->lock);
        apply_said(p);
        if (p->holding != NULL) {
            full = !store(p, p->holding);
            p->holding = full ? p->holding : NULL;
        }
        (void)pthread_mutex_lock(&p->lock);
    }
    (void)pthread_mutex_unlock(&p->lock);
    p->left = leave_all(p);
    return NULL;
}
