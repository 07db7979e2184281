#include "record/audit_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum { MAX_BYTES = 256 * 1024 * 1024, PARTS_MAX = 10000 };

/* ---- memory ---- */

enum fm_code fm_audit_limit(const struct fm_audit *audit, struct fm_err *err)
{
    if (audit->bytes + audit->arena.used <= audit->max_bytes)
        return FM_OK;
    return fm_err_set(err, FM_ELIMIT,
                      "the audit needs more than %zu MiB: audit one topic at a time",
                      audit->max_bytes >> 20);
}

enum fm_code fm_audit_room(struct fm_audit *audit, void **array, size_t n, size_t *room,
                           size_t size, struct fm_err *err)
{
    if (n < *room)
        return FM_OK;
    size_t grown_room = *room > 0 ? *room * 2 : 4;
    void *grown = realloc(*array, grown_room * size);
    if (grown == NULL)
        return fm_err_nomem(err);
    audit->bytes += (grown_room - *room) * size;
    *array = grown;
    *room = grown_room;
    return fm_audit_limit(audit, err);
}

enum fm_code fm_audit_new(struct fm_audit **out, size_t max_bytes, struct fm_err *err)
{
    struct fm_audit *audit = calloc(1, sizeof *audit);
    if (audit == NULL)
        return fm_err_nomem(err);
    audit->max_bytes = max_bytes > 0 ? max_bytes : MAX_BYTES;
    fm_arena_init(&audit->arena, 0);
    *out = audit;
    return FM_OK;
}

void fm_audit_free(struct fm_audit *audit)
{
    if (audit == NULL)
        return;
    for (size_t i = 0; i < audit->n_items; i++) {
        struct fm_audit_item *item = &audit->items[i];
        fm_seqset_clear(&item->seen);
        fm_seqset_clear(&item->pending);
        fm_seqset_clear(&item->late);
        fm_seqset_clear(&item->heard);
        free(item->gaps);
        free(item->least);
        free(item->ranges);
    }
    free(audit->items);
    free(audit->buckets);
    free(audit->parts);
    free(audit->keys);
    free(audit->order);
    fm_arena_clear(&audit->arena);
    free(audit);
}

static enum fm_code keep(struct fm_audit *audit, const char **out, const char *text,
                         struct fm_err *err)
{
    *out = fm_arena_strndup(&audit->arena, text, strlen(text));
    return *out != NULL ? fm_audit_limit(audit, err) : fm_err_nomem(err);
}

/* ---- partitions ---- */

static enum fm_code find_part(struct fm_audit *audit, const char *topic, int32_t number,
                              int64_t offset, size_t *out, struct fm_err *err)
{
    for (size_t n = 0; n < audit->n_parts; n++) {
        size_t i = (audit->last_part + n) % audit->n_parts;
        const struct fm_audit_part *part = &audit->parts[i];
        if (part->number == number && strcmp(part->topic, topic) == 0) {
            *out = audit->last_part = i;
            return FM_OK;
        }
    }
    if (audit->n_parts == PARTS_MAX)
        return fm_err_set(err, FM_ELIMIT, "more than %d partitions: audit one topic at a time",
                          PARTS_MAX);
    const char *kept = audit->n_parts > 0 ? audit->parts[audit->last_part].topic : NULL;
    if (kept == NULL || strcmp(kept, topic) != 0)
        FM_TRY(keep(audit, &kept, topic, err));
    void *parts = audit->parts;
    enum fm_code code =
        fm_audit_room(audit, &parts, audit->n_parts, &audit->part_room, sizeof *audit->parts, err);
    audit->parts = parts;
    FM_TRY(code);
    *out = audit->last_part = audit->n_parts++;
    audit->parts[*out] = (struct fm_audit_part){kept, number, offset, false};
    audit->totals.partitions = audit->n_parts;
    return FM_OK;
}

enum fm_code fm_audit_partition(struct fm_audit *audit, const char *topic, int32_t partition,
                                int64_t begin, struct fm_err *err)
{
    size_t at;
    FM_TRY(find_part(audit, topic, partition, begin, &at, err));
    audit->parts[at].begin = begin;
    audit->parts[at].told = true;
    return FM_OK;
}

/* ---- streams ---- */

static size_t bucket_of(const struct fm_audit *audit, const char *stream)
{
    return (size_t)fm_audit_hash(FM_HASH_START, stream, strlen(stream)) & (audit->n_buckets - 1);
}

static enum fm_code grow_buckets(struct fm_audit *audit, struct fm_err *err)
{
    size_t n = audit->n_buckets > 0 ? audit->n_buckets * 2 : 64;
    size_t *grown = realloc(audit->buckets, n * sizeof *grown);
    if (grown == NULL)
        return fm_err_nomem(err);
    audit->bytes += (n - audit->n_buckets) * sizeof *grown;
    audit->buckets = grown;
    audit->n_buckets = n;
    memset(grown, 0xff, n * sizeof *grown); /* SIZE_MAX: empty */
    for (size_t i = audit->n_items; i-- > 0;) {
        size_t bucket = bucket_of(audit, audit->items[i].shown.stream);
        audit->items[i].next = grown[bucket];
        grown[bucket] = i;
    }
    return fm_audit_limit(audit, err);
}

static enum fm_code add_item(struct fm_audit *audit, const char *agent, const char *stream,
                             const char *topic, bool owned, size_t *out, struct fm_err *err)
{
    struct fm_audit_item item = {.owned = owned, .shown.topic = topic};
    if (audit->n_items >= audit->n_buckets)
        FM_TRY(grow_buckets(audit, err));
    FM_TRY(keep(audit, &item.shown.agent, agent, err));
    FM_TRY(keep(audit, &item.shown.stream, stream, err));
    void *items = audit->items;
    enum fm_code code =
        fm_audit_room(audit, &items, audit->n_items, &audit->item_room, sizeof *audit->items, err);
    audit->items = items;
    FM_TRY(code);
    fm_seqset_init(&item.seen, &audit->bytes);
    fm_seqset_init(&item.pending, &audit->bytes);
    fm_seqset_init(&item.late, &audit->bytes);
    fm_seqset_init(&item.heard, &audit->bytes);
    size_t bucket = bucket_of(audit, stream);
    item.next = audit->buckets[bucket];
    *out = audit->buckets[bucket] = audit->n_items;
    audit->items[audit->n_items++] = item;
    return FM_OK;
}

/* The stream of this agent; else (any_agent) one of that name, whoever wrote it.
 * @return SIZE_MAX: none */
static size_t find_item(const struct fm_audit *audit, const char *agent, const char *stream,
                        bool any_agent)
{
    size_t other = SIZE_MAX;
    if (audit->n_buckets == 0)
        return SIZE_MAX;
    for (size_t i = audit->buckets[bucket_of(audit, stream)]; i != SIZE_MAX;
         i = audit->items[i].next) {
        const struct fm_audit_item *item = &audit->items[i];
        if (strcmp(item->shown.stream, stream) != 0)
            continue;
        if (item->owned && strcmp(item->shown.agent, agent) == 0)
            return i;
        if (any_agent || !item->owned)
            other = i;
    }
    return other;
}

/* A stream only named so far is a record's own as soon as one comes, whatever the agent: a renamed
 * agent names its predecessor's stream. */
static enum fm_code own_item(struct fm_audit *audit, const struct fm_audit_facts *facts,
                             const char *topic, size_t *out, struct fm_err *err)
{
    *out = find_item(audit, facts->agent, facts->stream, false);
    if (*out == SIZE_MAX)
        return audit->frozen ? FM_OK
                             : add_item(audit, facts->agent, facts->stream, topic, true, out, err);
    struct fm_audit_item *item = &audit->items[*out];
    if (item->owned)
        return FM_OK;
    item->owned = true;
    item->shown.topic = topic;
    return keep(audit, &item->shown.agent, facts->agent, err);
}

static enum fm_code named_item(struct fm_audit *audit, const struct fm_audit_facts *facts,
                               const char *topic, size_t *out, struct fm_err *err)
{
    *out = find_item(audit, facts->agent, facts->other, true);
    if (*out != SIZE_MAX || audit->frozen)
        return FM_OK;
    return add_item(audit, facts->agent, facts->other, topic, false, out, err);
}

/* ---- what control records say ---- */

static enum fm_code take_gap(struct fm_audit *audit, size_t at, const struct fm_audit_facts *f,
                             struct fm_err *err)
{
    struct fm_audit_item *item = &audit->items[at];
    struct fm_audit_gap gap = {
        .from = f->from_seq < 1 ? 1 : (uint64_t)f->from_seq,
        .to = f->to_seq < 0 ? UINT64_MAX : (uint64_t)f->to_seq,
        .left = f->count < 0 ? UINT64_MAX : (uint64_t)f->count,
    };
    bool known = f->from_seq >= 0 && f->to_seq >= 0 && f->count >= 0;
    if (known) {
        item->shown.declared[f->reason] += gap.left;
    } else {
        item->shown.extent_unknown = true;
        gap.left = UINT64_MAX;
    }
    if (gap.to != UINT64_MAX && gap.to > item->named && !audit->frozen)
        item->named = gap.to;
    void *gaps = item->gaps;
    enum fm_code code =
        fm_audit_room(audit, &gaps, item->n_gaps, &item->gap_room, sizeof *item->gaps, err);
    item->gaps = gaps;
    FM_TRY(code);
    item->gaps[item->n_gaps++] = gap;
    return FM_OK;
}

/* A count that its range cannot hold, or a range that ends before it begins, proves nothing. */
static bool sensible(const struct fm_audit_facts *f)
{
    if (f->odd)
        return false;
    if (f->type == FM_FACT_START)
        return true;
    if (f->from_seq == FM_FACT_ABSENT || f->to_seq == FM_FACT_ABSENT || f->count == FM_FACT_ABSENT)
        return false;
    if (f->from_seq == 0 || (f->from_seq > 0 && f->to_seq >= 0 && f->to_seq < f->from_seq))
        return false;
    return f->from_seq < 0 || f->to_seq < 0 || f->count - 1 <= f->to_seq - f->from_seq;
}

static enum fm_code add_number(struct fm_audit *audit, struct fm_seqset *set, uint64_t seq,
                               bool *new, struct fm_err *err)
{
    enum fm_seq_add added = fm_seqset_add(set, seq);
    *new = added == FM_SEQ_NEW;
    return added == FM_SEQ_NOMEM ? fm_err_nomem(err) : fm_audit_limit(audit, err);
}

static enum fm_code take_control(struct fm_audit *audit, size_t own, const char *topic,
                                 const struct fm_audit_facts *f, struct fm_err *err)
{
    size_t other = own;
    bool new = true;
    if (f->type == FM_FACT_DATA)
        return FM_OK;
    if (own != SIZE_MAX) /* the spool and the topic may both have it */
        FM_TRY(add_number(audit, &audit->items[own].heard, f->seq, &new, err));
    if (!new)
        return FM_OK;
    if (!sensible(f)) {
        audit->totals.malformed++;
        return FM_OK;
    }
    if (f->other[0] != '\0')
        FM_TRY(named_item(audit, f, topic, &other, err));
    if (other == SIZE_MAX)
        return FM_OK;
    if (f->type == FM_FACT_GAP)
        return take_gap(audit, other, f, err);
    if (other == own || audit->frozen)
        return FM_OK;
    if (f->prev_last_seq > 0) {
        audit->items[own].shown.prev_last_seq = (uint64_t)f->prev_last_seq;
        if ((uint64_t)f->prev_last_seq > audit->items[other].named)
            audit->items[other].named = (uint64_t)f->prev_last_seq;
    }
    audit->items[own].shown.prev_stream = audit->items[other].shown.stream;
    return FM_OK;
}

/* ---- records ---- */

static enum fm_code note_least(struct fm_audit *audit, struct fm_audit_item *item, size_t part,
                               uint64_t seq, struct fm_err *err)
{
    for (size_t i = 0; i < item->n_least; i++)
        if (item->least[i].partition == part) {
            if (seq < item->least[i].seq)
                item->least[i].seq = seq;
            return FM_OK;
        }
    void *least = item->least;
    enum fm_code code =
        fm_audit_room(audit, &least, item->n_least, &item->least_room, sizeof *item->least, err);
    item->least = least;
    FM_TRY(code);
    item->least[item->n_least++] = (struct fm_audit_least){part, seq};
    return FM_OK;
}

static uint64_t highest(const struct fm_audit_item *item)
{
    uint64_t last = fm_seqset_last(&item->seen);
    return last > item->named ? last : item->named;
}

/* After the freeze: a missing number that came after all, or the gap that declares it. */
static enum fm_code add_late(struct fm_audit *audit, const char *topic,
                             const struct fm_audit_facts *f, struct fm_err *err)
{
    size_t own;
    bool new = true;
    FM_TRY(own_item(audit, f, topic, &own, err));
    if (own != SIZE_MAX) {
        struct fm_audit_item *item = &audit->items[own];
        struct fm_seqset *set = f->seq <= item->named ? &item->seen : &item->late;
        FM_TRY(add_number(audit, set, f->seq, &new, err));
    }
    if (!new)
        return FM_OK;
    return take_control(audit, own, topic, f, err);
}

enum fm_code fm_audit_add(struct fm_audit *audit, const struct fm_audit_record *rec,
                          struct fm_err *err)
{
    struct fm_audit_facts facts;
    size_t part, own;
    bool new = false;
    FM_TRY(find_part(audit, rec->topic, rec->partition, rec->offset, &part, err));
    struct fm_audit_part *p = &audit->parts[part];
    if (!p->told && rec->offset < p->begin)
        p->begin = rec->offset;
    bool ours = fm_audit_read(rec, &facts);
    if (audit->frozen)
        return ours ? add_late(audit, p->topic, &facts, err) : FM_OK;
    audit->totals.records++;
    if (!ours) {
        audit->totals.foreign++;
        return FM_OK;
    }
    FM_TRY(own_item(audit, &facts, p->topic, &own, err));
    struct fm_audit_item *item = &audit->items[own];
    FM_TRY(add_number(audit, &item->seen, facts.seq, &new, err));
    FM_TRY(note_least(audit, item, part, facts.seq, err));
    if (!new) {
        item->shown.duplicates++;
        return FM_OK; /* what it declares was heard, its order was judged */
    }
    FM_TRY(fm_audit_order(audit, own, part, facts.seq, rec, err));
    return take_control(audit, own, p->topic, &facts, err);
}

enum fm_code fm_audit_pending(struct fm_audit *audit, const char *topic, const char *stream,
                              uint64_t seq, const char *value, size_t value_len, struct fm_err *err)
{
    struct fm_audit_facts facts;
    const struct fm_audit_record rec = {.value = value, .value_len = value_len};
    const char *kept = NULL;
    size_t at;
    bool new = false;
    bool speaks =
        fm_audit_read(&rec, &facts) && facts.seq == seq && strcmp(facts.stream, stream) == 0;
    at = find_item(audit, speaks ? facts.agent : "", stream, true);
    if (at != SIZE_MAX) {
        kept = audit->items[at].shown.topic;
    } else {
        FM_TRY(keep(audit, &kept, topic, err));
        FM_TRY(add_item(audit, speaks ? facts.agent : "", stream, kept, false, &at, err));
    }
    FM_TRY(add_number(audit, &audit->items[at].pending, seq, &new, err));
    return speaks ? take_control(audit, at, kept, &facts, err) : FM_OK;
}

void fm_audit_forget_pending(struct fm_audit *audit)
{
    for (size_t i = 0; i < audit->n_items; i++)
        fm_seqset_clear(&audit->items[i].pending);
}

void fm_audit_freeze(struct fm_audit *audit)
{
    for (size_t i = 0; i < audit->n_items; i++)
        audit->items[i].named = highest(&audit->items[i]);
    audit->frozen = true;
}

/* ---- the end ---- */

static int by_agent(const void *a, const void *b, void *arg)
{
    const struct fm_audit_item *items = arg;
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    int order = strcmp(items[x].shown.agent, items[y].shown.agent);
    return order != 0 ? order : x < y ? -1 : x > y;
}

static void add_totals(struct fm_audit_totals *t, const struct fm_audit_stream *s)
{
    t->streams++;
    t->seen += s->seen;
    t->duplicates += s->duplicates;
    t->disordered += s->disordered;
    t->lost += s->lost;
    t->pending += s->pending;
    t->cut += s->cut;
    t->missing += s->missing;
    t->extent_unknown |= s->extent_unknown;
}

enum fm_code fm_audit_finish(struct fm_audit *audit, struct fm_err *err)
{
    struct fm_audit_totals *t = &audit->totals;
    *t = (struct fm_audit_totals){.records = t->records,
                                  .foreign = t->foreign,
                                  .malformed = t->malformed,
                                  .partitions = t->partitions,
                                  .order_unchecked = t->order_unchecked};
    free(audit->order);
    audit->order = malloc((audit->n_items + 1) * sizeof *audit->order);
    if (audit->order == NULL)
        return fm_err_nomem(err);
    for (size_t i = 0; i < audit->n_items; i++) {
        struct fm_audit_item *item = &audit->items[i];
        item->shown.highest = highest(item);
        FM_TRY(fm_audit_judge(audit, item, err));
        if (item->shown.highest == 0 && item->shown.pending == 0 && !item->shown.extent_unknown)
            continue; /* only its name is known */
        audit->order[t->streams] = i;
        add_totals(t, &item->shown);
    }
    qsort_r(audit->order, t->streams, sizeof *audit->order, by_agent, audit->items);
    return FM_OK;
}

const struct fm_audit_stream *fm_audit_stream(const struct fm_audit *audit, size_t i)
{
    return i < audit->totals.streams ? &audit->items[audit->order[i]].shown : NULL;
}

const struct fm_audit_totals *fm_audit_totals(const struct fm_audit *audit)
{
    return &audit->totals;
}
