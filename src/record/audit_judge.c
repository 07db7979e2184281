/* Which numbers are neither seen nor declared.
 *
 * A gap excuses at most its count of the unseen numbers in its range, and ranges may overlap. To
 * excuse as many as can be, each number takes, of the gaps that cover it, the one that ends first:
 * no other choice excuses more. The numbers above what retention left choose before those below,
 * which need no excuse. */
#include <stdlib.h>
#include <string.h>

#include "record/audit_priv.h"

struct judge {
    struct fm_audit *audit;
    struct fm_audit_item *item;
    size_t *heap; /* gaps that have begun, the one that ends first on top */
    size_t n_heap;
    size_t next_gap; /* gaps lie in the order of their beginnings */
    struct fm_err *err;
};

static int by_from(const void *a, const void *b)
{
    const struct fm_audit_gap *x = a, *y = b;
    return x->from < y->from ? -1 : x->from > y->from;
}

static bool ends_before(const struct judge *j, size_t a, size_t b)
{
    return j->item->gaps[j->heap[a]].to < j->item->gaps[j->heap[b]].to;
}

static void swap(struct judge *j, size_t a, size_t b)
{
    size_t gap = j->heap[a];
    j->heap[a] = j->heap[b];
    j->heap[b] = gap;
}

static void push(struct judge *j, size_t gap)
{
    size_t at = j->n_heap++;
    j->heap[at] = gap;
    while (at > 0 && ends_before(j, at, (at - 1) / 2)) {
        swap(j, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static void pop(struct judge *j)
{
    size_t at = 0;
    j->heap[0] = j->heap[--j->n_heap];
    for (;;) {
        size_t least = at, left = 2 * at + 1;
        if (left < j->n_heap && ends_before(j, left, least))
            least = left;
        if (left + 1 < j->n_heap && ends_before(j, left + 1, least))
            least = left + 1;
        if (least == at)
            return;
        swap(j, at, least);
        at = least;
    }
}

/* The gap that excuses number a, if one does. Numbers come in ascending order. */
static struct fm_audit_gap *gap_for(struct judge *j, uint64_t a)
{
    const struct fm_audit_item *item = j->item;
    while (j->next_gap < item->n_gaps && item->gaps[j->next_gap].from <= a)
        push(j, j->next_gap++);
    while (j->n_heap > 0) {
        struct fm_audit_gap *gap = &item->gaps[j->heap[0]];
        if (gap->to >= a && gap->left > 0)
            return gap;
        pop(j);
    }
    return NULL;
}

static enum fm_code put_missing(struct judge *j, uint64_t from, uint64_t to)
{
    struct fm_audit_item *item = j->item;
    struct fm_audit_stream *shown = &item->shown;
    struct fm_audit_range *last = shown->n_ranges > 0 ? &item->ranges[shown->n_ranges - 1] : NULL;
    shown->missing += to - from + 1;
    if (last != NULL && shown->n_ranges == shown->all_ranges && last->to + 1 == from) {
        last->to = to;
        return FM_OK;
    }
    shown->all_ranges++;
    if (shown->n_ranges == FM_AUDIT_RANGES)
        return FM_OK;
    void *ranges = item->ranges;
    enum fm_code code = fm_audit_room(j->audit, &ranges, shown->n_ranges, &item->range_room,
                                      sizeof *item->ranges, j->err);
    item->ranges = ranges;
    FM_TRY(code);
    item->ranges[shown->n_ranges++] = (struct fm_audit_range){from, to};
    return FM_OK;
}

/* A run of numbers neither seen nor pending. @param cut  what nobody excuses was cut, not missing
 */
static enum fm_code judge_run(struct judge *j, uint64_t from, uint64_t to, bool cut)
{
    const struct fm_audit_item *item = j->item;
    uint64_t n;
    for (uint64_t a = from; a <= to; a += n) {
        struct fm_audit_gap *gap = gap_for(j, a);
        uint64_t end = to;
        if (gap != NULL && gap->to < end)
            end = gap->to;
        if (j->next_gap < item->n_gaps && item->gaps[j->next_gap].from <= end)
            end = item->gaps[j->next_gap].from - 1;
        n = end - a + 1;
        if (gap != NULL) {
            if (gap->left < n)
                n = gap->left;
            if (gap->left != UINT64_MAX)
                gap->left -= n;
            j->item->shown.lost += n;
        } else if (cut) {
            j->item->shown.cut += n;
        } else {
            FM_TRY(put_missing(j, a, a + n - 1));
        }
    }
    return FM_OK;
}

/* The next run in [from, to] that is in neither set. */
static bool next_run(const struct fm_audit_item *item, uint64_t from, uint64_t to, uint64_t *a,
                     uint64_t *b)
{
    uint64_t pending_a, pending_b;
    while (fm_seqset_absent(&item->seen, from, to, a, b)) {
        if (fm_seqset_absent(&item->pending, *a, *b, &pending_a, &pending_b)) {
            *a = pending_a;
            *b = pending_b;
            return true;
        }
        from = *b + 1;
    }
    return false;
}

static enum fm_code judge_part(struct judge *j, uint64_t from, uint64_t to, bool cut)
{
    uint64_t a, b;
    j->n_heap = j->next_gap = 0;
    for (; from <= to && next_run(j->item, from, to, &a, &b); from = b + 1)
        FM_TRY(judge_run(j, a, b, cut));
    return FM_OK;
}

/* The lowest number that retention cannot have cut. In a partition that has lost its beginning the
 * stream may have had every number below the lowest seen there; and if it has none there, every
 * number below its highest. Of a stream that was seen nowhere the highest may be cut as well. */
static uint64_t first_kept(const struct fm_audit *audit, const struct fm_audit_item *item)
{
    uint64_t kept = 1;
    for (size_t p = 0; p < audit->n_parts; p++) {
        const struct fm_audit_part *part = &audit->parts[p];
        uint64_t least = item->shown.highest + (item->seen.count == 0);
        if (part->begin <= 0 || strcmp(part->topic, item->shown.topic) != 0)
            continue;
        for (size_t i = 0; i < item->n_least; i++)
            if (item->least[i].partition == p)
                least = item->least[i].seq;
        if (least > kept)
            kept = least;
    }
    return kept;
}

/* Numbers of the spool above the highest known one. */
static uint64_t count_beyond(const struct fm_audit_item *item)
{
    uint64_t from = item->shown.highest + 1, last = fm_seqset_last(&item->pending), n = 0;
    while (from <= last) {
        uint64_t a = last + 1, b = last;
        bool holes = fm_seqset_absent(&item->pending, from, last, &a, &b);
        n += a - from;
        if (!holes)
            break;
        from = b + 1;
    }
    return n;
}

enum fm_code fm_audit_judge(struct fm_audit *audit, struct fm_audit_item *item, struct fm_err *err)
{
    struct fm_audit_stream *shown = &item->shown;
    struct judge j = {.audit = audit, .item = item, .err = err};
    uint64_t kept = first_kept(audit, item);
    shown->first = fm_seqset_first(&item->seen);
    shown->last = fm_seqset_last(&item->seen);
    shown->seen = item->seen.count;
    shown->lost = shown->pending = shown->cut = shown->missing = shown->all_ranges = 0;
    shown->n_ranges = 0;
    shown->beyond = shown->pending = count_beyond(item);
    if (shown->highest == 0)
        return FM_OK;
    struct fm_audit_gap *gaps = malloc((item->n_gaps + 1) * sizeof *gaps);
    j.heap = malloc((item->n_gaps + 1) * sizeof *j.heap);
    enum fm_code code = gaps != NULL && j.heap != NULL ? FM_OK : fm_err_nomem(err);
    if (code == FM_OK) {
        struct fm_audit_gap *all = item->gaps;
        if (item->n_gaps > 0) {
            qsort(all, item->n_gaps, sizeof *all, by_from);
            for (size_t i = 0; i < item->n_gaps; i++)
                gaps[i] = all[i];
        }
        item->gaps = gaps; /* the counts are used up; the next judgement begins anew */
        code = judge_part(&j, kept, shown->highest, false);
        if (code == FM_OK && kept > 1)
            code = judge_part(&j, 1, kept - 1 < shown->highest ? kept - 1 : shown->highest, true);
        item->gaps = all;
    }
    free(gaps);
    free(j.heap);
    shown->ranges = item->ranges;
    shown->pending += shown->highest - shown->seen - shown->lost - shown->cut - shown->missing;
    return code;
}
