/* Streams, topics and rows in memory. A row is found by seq through its stream's sorted slots, and
 * by order through two lists; a slot whose row is gone is left until enough of them have gathered,
 * so that the head is found without passing what is gone. */
#include <stdlib.h>
#include <string.h>

#include "spool/rows_priv.h"

enum { META = 96 };

/* Bytes that a chunk takes in SQLite's file: b-tree cells up to a largest size, the rest of a
 * longer one in pages of its own (SQLite's file format, "Cell Payload Overflow Pages"). */
uint64_t row_cost(const struct fm_spool *sp, size_t bytes)
{
    if (sp->dir == NULL)
        return bytes + sizeof(struct row);
    uint64_t page = sp->sizes.page_size > 0 ? sp->sizes.page_size : FRESH_PAGE;
    uint64_t most = page - 35, least = (page - 12) * 32 / 255 - 23, next = page - 4;
    uint64_t payload = bytes + 8, overflow = 0, local = payload;
    if (payload > most) {
        local = least + (payload - least) % next;
        if (local > most)
            local = least;
        overflow = (payload - local + next - 1) / next;
    }
    uint64_t per_page = (page - 8) / (local + 14);
    return overflow * page + page / (per_page > 0 ? per_page : 1) + META;
}

static bool grow(void *array, size_t *cap, size_t n, size_t size)
{
    if (n < *cap)
        return true;
    size_t want = *cap == 0 ? 8 : *cap * 2;
    void **at = array;
    void *p = realloc(*at, want * size);
    if (p == NULL)
        return false;
    *at = p;
    *cap = want;
    return true;
}

struct topic *topic_find(struct fm_spool *sp, const char *name)
{
    for (size_t i = 0; i < sp->n_topics; i++) {
        if (strcmp(sp->topic_list[i]->name, name) == 0)
            return sp->topic_list[i];
    }
    return NULL;
}

enum fm_code topic_get(struct fm_spool *sp, const char *name, struct topic **out,
                       struct fm_err *err)
{
    *out = topic_find(sp, name);
    if (*out != NULL)
        return FM_OK;
    size_t len = strlen(name);
    if (len == 0 || len >= TOPIC_SIZE)
        return fm_err_set(err, FM_ELIMIT, "a topic has 1 to 255 bytes, this one %zu", len);
    struct topic *topic = calloc(1, sizeof *topic);
    if (topic == NULL || !grow(&sp->topic_list, &sp->cap_topics, sp->n_topics, sizeof topic)) {
        free(topic);
        return fm_err_nomem(err);
    }
    memcpy(topic->name, name, len);
    sp->topic_list[sp->n_topics++] = topic;
    *out = topic;
    return FM_OK;
}

struct stream *stream_find(struct fm_spool *sp, const char *name)
{
    if (sp->last_stream != NULL && strcmp(sp->last_stream->name, name) == 0)
        return sp->last_stream;
    for (size_t i = 0; i < sp->n_streams; i++) {
        if (strcmp(sp->streams[i]->name, name) == 0)
            return sp->last_stream = sp->streams[i];
    }
    return NULL;
}

enum fm_code stream_add(struct fm_spool *sp, struct stream **out, const char *name,
                        const char *topic, struct fm_err *err)
{
    struct topic *t;
    FM_TRY(topic_get(sp, topic, &t, err));
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL || !grow(&sp->streams, &sp->cap_streams, sp->n_streams, sizeof s)) {
        free(s);
        return fm_err_nomem(err);
    }
    memcpy(s->name, name, strnlen(name, FM_STREAM_LEN));
    s->topic = t;
    s->prev_last = -1;
    sp->streams[sp->n_streams++] = s;
    *out = s;
    return FM_OK;
}

bool stream_balanced(const struct stream *s)
{
    return s->assigned == s->delivered + s->pending + s->lost + s->dead;
}

struct loaded *loaded_new(struct fm_chunk *chunk)
{
    struct loaded *loaded = malloc(sizeof *loaded);
    if (loaded == NULL)
        return NULL;
    loaded->chunk = chunk;
    atomic_init(&loaded->refs, 1);
    return loaded;
}

struct loaded *loaded_ref(struct loaded *loaded)
{
    atomic_fetch_add_explicit(&loaded->refs, 1, memory_order_relaxed);
    return loaded;
}

void loaded_unref(struct loaded *loaded)
{
    if (loaded == NULL || atomic_fetch_sub(&loaded->refs, 1) != 1)
        return;
    fm_chunk_free(loaded->chunk);
    free(loaded);
}

enum fm_code row_new(struct row **out, struct stream *stream, uint64_t first, uint32_t n,
                     struct fm_err *err)
{
    struct row *row = calloc(1, sizeof *row);
    if (row == NULL)
        return fm_err_nomem(err);
    row->stream = stream;
    row->first = first;
    row->n = n;
    row->gone = &row->one;
    if (n > 64) {
        row->gone = calloc((n + 63) / 64, sizeof *row->gone);
        if (row->gone == NULL) {
            free(row);
            return fm_err_nomem(err);
        }
    }
    *out = row;
    return FM_OK;
}

static void uncache(struct fm_spool *sp, struct row *row)
{
    if (row->loaded == NULL)
        return;
    if (row->stored && sp->dir != NULL)
        sp->cached -= fm_chunk_bytes(row->loaded->chunk);
    loaded_unref(row->loaded);
    row->loaded = NULL;
}

void row_free(struct fm_spool *sp, struct row *row)
{
    if (row == NULL)
        return;
    uncache(sp, row);
    if (row->gone != &row->one)
        free(row->gone);
    free(row->gap);
    free(row);
}

/* Where a first seq is or belongs in the slots. */
static size_t slot_at(const struct stream *s, uint64_t first)
{
    size_t low = s->first_slot, high = s->n_slots;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (s->slots[mid].first < first)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Close the holes, once they are as many as the rest. */
static void compact(struct stream *s)
{
    size_t to = 0;
    for (size_t i = s->first_slot; i < s->n_slots; i++) {
        if (s->slots[i].row != NULL)
            s->slots[to++] = s->slots[i];
    }
    s->first_slot = 0;
    s->n_slots = to;
    s->holes = 0;
}

static bool slot_put(struct stream *s, struct row *row)
{
    if (s->n_slots == s->cap_slots && s->first_slot + s->holes > s->n_slots / 4)
        compact(s);
    if (!grow(&s->slots, &s->cap_slots, s->n_slots, sizeof *s->slots))
        return false;
    size_t at = slot_at(s, row->first);
    memmove(s->slots + at + 1, s->slots + at, (s->n_slots - at) * sizeof *s->slots);
    s->slots[at] = (struct slot){.first = row->first, .row = row};
    s->n_slots++;
    return true;
}

static void slot_clear(struct stream *s, struct row *row)
{
    for (size_t at = slot_at(s, row->first); at < s->n_slots && s->slots[at].first == row->first;
         at++) {
        if (s->slots[at].row == row) {
            s->slots[at].row = NULL;
            s->holes++;
            break;
        }
    }
    while (s->first_slot < s->n_slots && s->slots[s->first_slot].row == NULL) {
        s->first_slot++;
        s->holes--;
    }
    if (s->holes > 64 && s->holes > (s->n_slots - s->first_slot) / 2)
        compact(s);
}

enum fm_code row_link(struct fm_spool *sp, struct row *row, struct fm_err *err)
{
    struct stream *s = row->stream;
    if (!slot_put(s, row))
        return fm_err_nomem(err);
    if (row->id == 0)
        row->id = sp->next_row;
    if (row->id >= sp->next_row)
        sp->next_row = row->id + 1;
    row->prev = sp->tail;
    *(sp->tail != NULL ? &sp->tail->next : &sp->head) = row;
    sp->tail = row;
    struct topic *t = s->topic;
    row->topic_prev = t->tail;
    *(t->tail != NULL ? &t->tail->topic_next : &t->head) = row;
    t->tail = row;
    uint32_t left = row->n - row->n_gone;
    s->pending += left;
    t->pending += left;
    sp->n_pending += left;
    sp->cost += row->cost;
    sp->bytes += row->bytes;
    return FM_OK;
}

void row_unlink(struct fm_spool *sp, struct row *row)
{
    struct stream *s = row->stream;
    struct topic *t = s->topic;
    slot_clear(s, row);
    *(row->prev != NULL ? &row->prev->next : &sp->head) = row->next;
    *(row->next != NULL ? &row->next->prev : &sp->tail) = row->prev;
    *(row->topic_prev != NULL ? &row->topic_prev->topic_next : &t->head) = row->topic_next;
    *(row->topic_next != NULL ? &row->topic_next->topic_prev : &t->tail) = row->topic_prev;
    uint32_t left = row->n - row->n_gone;
    s->pending -= left;
    t->pending -= left;
    sp->n_pending -= left;
    sp->cost -= row->cost;
    sp->bytes -= row->bytes;
    row->out = true;
    uncache(sp, row);
}

void row_dirty(struct fm_spool *sp, struct row *row)
{
    sp->changed = true;
    row->stream->dirty = true;
    if (row->dirty)
        return;
    row->dirty = true;
    row->dirty_next = sp->dirty;
    sp->dirty = row;
}

bool row_is_gone(const struct row *row, uint32_t i)
{
    return (row->gone[i / 64] >> (i % 64) & 1) != 0;
}

uint32_t row_take(struct fm_spool *sp, struct row *row, uint32_t i, uint32_t n)
{
    uint32_t taken = 0;
    for (uint32_t end = i + n, step; i < end; i += step) {
        step = 64 - i % 64 < end - i ? 64 - i % 64 : end - i;
        uint64_t bits = (step == 64 ? UINT64_MAX : ((uint64_t)1 << step) - 1) << (i % 64);
        uint64_t fresh = bits & ~row->gone[i / 64];
        row->gone[i / 64] |= fresh;
        taken += (uint32_t)__builtin_popcountll(fresh);
    }
    if (taken == 0)
        return 0;
    row->n_gone += taken;
    row->stream->pending -= taken;
    row->stream->topic->pending -= taken;
    sp->n_pending -= taken;
    row_dirty(sp, row);
    sp->seen = true;
    if (row->n_gone == row->n)
        row_unlink(sp, row);
    return taken;
}

struct row *row_find(struct stream *s, uint64_t seq, bool after)
{
    size_t at = slot_at(s, seq);
    /* The row that begins at seq, else the last one that begins before it. A retried record may
     * stand between a row's first seq and its other records, so go back over those. */
    for (size_t i = at; i < s->n_slots && s->slots[i].first == seq; i++) {
        if (s->slots[i].row != NULL && !row_is_gone(s->slots[i].row, 0))
            return s->slots[i].row;
    }
    struct row *found = NULL;
    for (size_t i = at; i > s->first_slot && found == NULL; i--) {
        struct row *row = s->slots[i - 1].row;
        if (row == NULL || row->kind == ROW_RETRIED)
            continue;
        if (seq >= row->first + row->n)
            break;
        found = row;
    }
    if (found != NULL || !after)
        return found;
    for (size_t i = at; i < s->n_slots; i++) {
        if (s->slots[i].row != NULL)
            return s->slots[i].row;
    }
    return NULL;
}

struct row *row_by_id(struct stream *s, uint64_t first, uint64_t id)
{
    for (size_t i = slot_at(s, first); i < s->n_slots && s->slots[i].first == first; i++) {
        if (s->slots[i].row != NULL && s->slots[i].row->id == id)
            return s->slots[i].row;
    }
    return NULL;
}

enum fm_code row_load(struct fm_spool *sp, struct row *row, struct loaded **out, struct fm_err *err)
{
    enum { CACHE_MAX = 4 * 1024 * 1024 };
    if (row->loaded != NULL) {
        *out = loaded_ref(row->loaded);
        return FM_OK;
    }
    if (sp->store == NULL)
        return fm_err_set(err, FM_ESYS, "the spool's database is not open");
    struct fm_chunk *chunk = NULL;
    FM_TRY(store_row_body(sp->store, row->id, &chunk, err));
    if (fm_chunk_count(chunk) != row->n ||
        strcmp(fm_chunk_topic(chunk), row->stream->topic->name) != 0) {
        fm_chunk_free(chunk);
        return fm_err_set(err, FM_EDAMAGE, "a stored chunk is not the one that was put there");
    }
    struct loaded *loaded = loaded_new(chunk);
    if (loaded == NULL) {
        fm_chunk_free(chunk);
        return fm_err_nomem(err);
    }
    if (!row->out && sp->cached + fm_chunk_bytes(chunk) <= CACHE_MAX) {
        row->loaded = loaded_ref(loaded);
        sp->cached += fm_chunk_bytes(chunk);
    }
    *out = loaded;
    return FM_OK;
}

void index_clear(struct fm_spool *sp)
{
    while (sp->dirty != NULL) {
        struct row *row = sp->dirty;
        sp->dirty = row->dirty_next;
        if (row->out)
            row_free(sp, row);
    }
    while (sp->head != NULL) {
        struct row *row = sp->head;
        sp->head = row->next;
        row_free(sp, row);
    }
    while (sp->dead_dirty != NULL) {
        struct dead *dead = sp->dead_dirty;
        sp->dead_dirty = dead->dirty_next;
        if (dead->out)
            dead_free(sp, dead);
    }
    while (sp->dead_head != NULL) {
        struct dead *dead = sp->dead_head;
        sp->dead_head = dead->next;
        dead_free(sp, dead);
    }
    while (sp->losses != NULL) {
        struct loss *loss = sp->losses;
        sp->losses = loss->next;
        free(loss);
    }
    for (size_t i = 0; i < sp->n_streams; i++) {
        free(sp->streams[i]->slots);
        free(sp->streams[i]);
    }
    for (size_t i = 0; i < sp->n_topics; i++)
        free(sp->topic_list[i]);
    free(sp->streams);
    free(sp->topic_list);
    sp->streams = NULL;
    sp->topic_list = NULL;
    sp->tail = NULL;
    sp->dead_tail = NULL;
    sp->last_stream = NULL;
    sp->n_streams = sp->cap_streams = sp->n_topics = sp->cap_topics = 0;
    sp->cost = sp->bytes = sp->n_pending = sp->dead_bytes = sp->n_dead = sp->cached = 0;
}
