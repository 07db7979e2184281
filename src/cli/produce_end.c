/* cli/produce_end.c - how `produce` ends early: what of the input is in the spool, and what is not
 */
#include <inttypes.h>
#include <string.h>

#include "cli/cmd_produce_priv.h"

enum {
    STOP_MS = 3000, /* for the request in flight */
    LOOK_MS = 1000, /* for the spool to name a record */
    TEXT = 300
};

/* @return whether the sender's thread has ended: only then the spool may be closed */
static bool stop_sender(struct fm_produce *p)
{
    unsigned grace = p->interrupted ? STOP_MS : 0;
    fm_rest_stop(p->rest, grace);
    bool ended = fm_rest_join(p->rest, grace + 1000);
    p->settled = fm_produce_settled(p);
    fm_produce_tell(p);
    fm_produce_clear(p);
    return ended;
}

static bool first_one(const struct fm_spool_entry *entry, void *arg)
{
    *(struct fm_spool_id *)arg = entry->id;
    return false;
}

/* What close_spool() found out. */
struct end {
    char why[TEXT]; /* it did not take all */
    bool removed; /* its folder was */
    struct fm_spool_id oldest; /* of what waits; seq 0: nothing, or not known */
};

/* Once it is closed, on_stored has told of every line. */
static void close_spool(struct fm_produce *p, struct end *out)
{
    struct fm_spool_end end;
    uint64_t n = p->chunk != NULL ? fm_chunk_count(p->chunk) : 0;
    uint64_t tag = (uint64_t)p->chunk_file << FM_PRODUCE_LINE_BITS | p->chunk_line;
    if (n > 0 && fm_spool_submit(p->spool, &p->chunk, tag, NULL) == FM_OK)
        p->given += n;
    fm_produce_wake(p, NULL);
    struct fm_rest *rest = p->rest;
    p->rest = NULL;
    if (!fm_rest_free(rest))
        return;
    struct fm_spool_select one = {.limit = 1, .timeout_ms = LOOK_MS};
    if (fm_spool_flush(p->spool, LOOK_MS, NULL) != FM_OK ||
        fm_spool_walk(p->spool, false, &one, first_one, &out->oldest, NULL) != FM_OK)
        out->oldest.seq = 0;
    fm_spool_stop(p->spool);
    fm_spool_close(p->spool, 0, &end);
    p->spool = NULL;
    out->removed = end.removed && end.pending > 0;
    (void)snprintf(out->why, TEXT, "%s", end.hung ? "the disk does not answer" : end.error);
}

/* The folder has gone: what waited has, too. A line of this run can be given again; all behind the
 * oldest that waits is given twice rather than not at all. */
static enum fm_code tell_removed(struct fm_produce *p, const struct end *end, struct fm_err *err)
{
    uint64_t all = p->before + p->given + p->in_hand;
    all += p->chunk != NULL ? fm_chunk_count(p->chunk) : 0;
    uint64_t lost = all > p->settled ? all - p->settled : 0;
    size_t file = 0;
    uint64_t line = 1;
    bool known = end->oldest.seq > 0 && fm_produce_find(p, &end->oldest, &file, &line);
    if (p->before > 0 && !known)
        fm_cmd_note(p->cli, "the folder held lines of an earlier run, which are lost with it");
    return fm_err_set(
        err, FM_ESYS,
        "%" PRIu64 " line%s acknowledged; the folder of --spool was removed or replaced meanwhile, "
        "and %" PRIu64 " line%s lost with it: give the input again from %.70s:%" PRIu64 " on",
        p->stats->records, fm_plural(p->stats->records), lost, lost == 1 ? " is" : "s are",
        fm_lines_name(&p->lines, file), line);
}

/* "7 lines are kept in the spool, 3 were read but not stored: ..." */
static void tell_kept(struct fm_produce *p, struct fm_err *out)
{
    (void)pthread_mutex_lock(&p->lock);
    uint64_t stored = p->stored;
    bool failed = p->store_code != FM_OK;
    uint64_t tag = p->store_tag;
    (void)pthread_mutex_unlock(&p->lock);
    uint64_t all = p->before + stored, kept = all > p->settled ? all - p->settled : 0;
    uint64_t chunk = p->chunk != NULL ? fm_chunk_count(p->chunk) : 0;
    uint64_t lost = p->given - stored + chunk + p->in_hand;
    size_t n = (size_t)snprintf(out->text, sizeof out->text, "%" PRIu64 " line%s kept in the spool",
                                kept, kept == 1 ? " is" : "s are");
    if (lost == 0)
        return;
    bool known = failed || chunk > 0;
    size_t file = failed ? (size_t)(tag >> FM_PRODUCE_LINE_BITS) : p->chunk_file;
    uint64_t line = failed ? tag & ((UINT64_C(1) << FM_PRODUCE_LINE_BITS) - 1) : p->chunk_line;
    n += (size_t)snprintf(out->text + n, sizeof out->text - n,
                          ", %" PRIu64 " %s read but not stored: they must be given again", lost,
                          lost == 1 ? "was" : "were");
    if (known && n < sizeof out->text)
        (void)snprintf(out->text + n, sizeof out->text - n, " (from %.70s:%" PRIu64 " on)",
                       fm_lines_name(&p->lines, file), line);
}

/* What to give next time, so that no line comes twice and none is left out. */
static void tell_next(struct fm_produce *p)
{
    (void)pthread_mutex_lock(&p->lock);
    uint64_t stored = p->stored;
    bool failed = p->store_code != FM_OK;
    (void)pthread_mutex_unlock(&p->lock);
    uint64_t all = p->before + stored;
    const struct fm_lines *l = &p->lines;
    if (all > p->settled)
        fm_cmd_note(p->cli,
                    "the next produce with --spool %.120s sends what is kept first (an empty input "
                    "suffices: </dev/null); a line given again would be stored twice",
                    p->o->spool);
    if (failed || p->given > stored || p->chunk != NULL || p->in_hand > 0)
        return; /* the last sentence says from where on */
    if (l->file == l->n_files)
        fm_cmd_note(p->cli, "all of the input was taken; give none of it again");
    else
        fm_cmd_note(p->cli, "of the input go on with line %" PRIu64 " of %.120s", l->number + 1,
                    fm_lines_name(l, l->file));
}

enum fm_code fm_produce_end(struct fm_produce *p, enum fm_code code, struct fm_err *err)
{
    struct end end = {.removed = false};
    struct fm_err kept = {0}, first = {0};
    bool ended = stop_sender(p);
    if (err != NULL)
        first = *err;
    uint64_t acked = p->stats->records;
    if (p->o->spool == NULL || !ended)
        return p->interrupted ? fm_err_set(err, FM_ESTOP,
                                           "interrupted: %" PRIu64 " line%s acknowledged, %" PRIu64
                                           " read but not",
                                           acked, fm_plural(acked), fm_produce_left(p))
                              : code;
    close_spool(p, &end);
    if (end.removed)
        return tell_removed(p, &end, err);
    tell_kept(p, &kept);
    tell_next(p);
    if (p->interrupted)
        return fm_err_set(err, FM_ESTOP, "interrupted: %" PRIu64 " line%s acknowledged; %s%s%s",
                          acked, fm_plural(acked), kept.text, end.why[0] != '\0' ? ": " : "",
                          end.why);
    if (p->timed_out) /* a full spool is the proxy's doing */
        return fm_err_set(err, code, "nothing was acknowledged in time; %s: %s", kept.text,
                          fm_produce_trouble(p));
    return fm_err_set(err, code, "%.90s; %s", first.text, kept.text);
}
