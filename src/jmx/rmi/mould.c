/* Filling moulds, and the table they lie in. */
#include <stdlib.h>
#include <string.h>

#include "jmx/rmi/mould_priv.h"

enum {
    FIRST_HANDLE = 0x7e0000,
    PLACES = 256, /* of the table of moulds */
    WATCHED = 256, /* keys that miss, */
    WAYS = 4, /* so many with the same place */
    MAX_PER_KEY = 6, /* answers of several forms to one question */
    MAX_WAIT = 512, /* misses of a key between two moulds */
    MIN_VALUE = 128 * 1024 /* no value of a mould is larger as JSON */
};

/* ---- one answer and one mould ---- */

/* What a slot was given. */
struct hole {
    struct fm_value value; /* a text lies in the answer */
    uint32_t handle;
};

struct filling {
    const struct fm_mould *mould;
    struct fm_cursor *cur;
    uint32_t next; /* number of the next object in the answer */
    size_t n_numbered; /* ... in the mould */
    size_t n_holes;
    size_t texts; /* bytes of them, with their ends */
    uint32_t handle_of[FM_MOULD_MAX_HANDLES]; /* by number in the mould */
    struct hole holes[FM_MOULD_MAX_SLOTS];
};

/* The next len bytes are the mould's. */
static enum fm_mould_fit same_bytes(struct filling *f, const struct fm_mould_step *step)
{
    const size_t left = fm_cursor_left(f->cur);
    const size_t n = step->len < left ? step->len : left;
    const unsigned char *bytes;
    if (!fm_cursor_take(f->cur, n, &bytes) || memcmp(bytes, f->mould->bytes + step->at, n) != 0)
        return FM_MOULD_NONE;
    if (n < step->len)
        return FM_MOULD_MORE;
    for (size_t i = 0; i < step->handles; i++)
        f->handle_of[f->n_numbered++] = f->next++;
    return FM_MOULD_FITS;
}

static enum fm_mould_fit take_reference(struct filling *f, uint32_t handle)
{
    uint32_t found;
    if (!fm_cursor_u32(f->cur, &found))
        return FM_MOULD_MORE;
    return found == FIRST_HANDLE + handle ? FM_MOULD_FITS : FM_MOULD_NONE;
}

static bool take_box(struct fm_cursor *cur, char type, struct fm_value *out)
{
    struct fm_ser_node box = {.array = {.type = type, .n = 1}};
    if (!fm_cursor_take(cur, fm_ser_width(type), &box.array.raw))
        return false;
    const struct fm_ser_value v = fm_ser_element(&box, 0);
    if (type == 'Z')
        *out = (struct fm_value){.kind = FM_V_BOOL, .b = v.i != 0};
    else if (type == 'F')
        *out = (struct fm_value){.kind = FM_V_FLOAT, .f = v.f};
    else if (type == 'D')
        *out = (struct fm_value){.kind = FM_V_DOUBLE, .d = v.d};
    else
        *out = (struct fm_value){.kind = FM_V_INT, .i = v.i};
    return true;
}

/* A text of ASCII, which is the same in UTF-8; others are the parser's. */
static enum fm_mould_fit take_text(struct filling *f, struct fm_value *out)
{
    const unsigned char *bytes;
    uint16_t len;
    if (!fm_cursor_u16(f->cur, &len) || !fm_cursor_take(f->cur, len, &bytes))
        return FM_MOULD_MORE;
    if (fm_mutf8_ascii(bytes, len) != len)
        return FM_MOULD_NONE;
    *out = (struct fm_value){.kind = FM_V_STRING, .text = {.ptr = (const char *)bytes, .len = len}};
    return FM_MOULD_FITS;
}

/* The value of an earlier slot of the same class. */
static enum fm_mould_fit take_again(struct filling *f, const struct fm_mould_slot *slot,
                                    struct hole *hole)
{
    uint32_t found;
    if (!fm_cursor_u32(f->cur, &found))
        return FM_MOULD_MORE;
    for (size_t i = f->n_holes; i-- > 0;) {
        const struct hole *other = &f->holes[i];
        const struct fm_mould_slot *its = &f->mould->slots[i];
        if (found != FIRST_HANDLE + other->handle || other->value.kind == FM_V_NULL)
            continue;
        if (its->type != slot->type || its->desc != slot->desc)
            return FM_MOULD_NONE;
        *hole = *other;
        return FM_MOULD_FITS;
    }
    return FM_MOULD_NONE;
}

static enum fm_mould_fit take_new_box(struct filling *f, const struct fm_mould_slot *slot,
                                      struct hole *hole)
{
    uint8_t tag;
    if (!fm_cursor_u8(f->cur, &tag))
        return FM_MOULD_MORE;
    if (tag != 0x71)
        return FM_MOULD_NONE;
    const enum fm_mould_fit fit = take_reference(f, f->handle_of[slot->desc]);
    if (fit != FM_MOULD_FITS)
        return fit;
    hole->handle = f->next++;
    return take_box(f->cur, slot->type, &hole->value) ? FM_MOULD_FITS : FM_MOULD_MORE;
}

/* Whatever may stand where a slot is. */
static enum fm_mould_fit take_slot(struct filling *f, const struct fm_mould_slot *slot,
                                   struct hole *hole)
{
    const bool text = slot->type == 'L';
    uint8_t tag;
    if (!fm_cursor_u8(f->cur, &tag))
        return FM_MOULD_MORE;
    if (tag == 0x71)
        return take_again(f, slot, hole);
    if (tag == 0x73 && !text)
        return take_new_box(f, slot, hole);
    if (tag == 0x70 && text) {
        *hole = (struct hole){.value = {.kind = FM_V_NULL}, .handle = UINT32_MAX};
        return FM_MOULD_FITS;
    }
    if (tag != 0x74 || !text)
        return FM_MOULD_NONE;
    hole->handle = f->next++;
    return take_text(f, &hole->value);
}

static enum fm_mould_fit fill_slot(struct filling *f, const struct fm_mould_step *step)
{
    const struct fm_mould_slot *slot = &f->mould->slots[step->arg];
    struct hole *hole = &f->holes[f->n_holes];
    if (step->kind == FM_MOULD_FIRST) {
        hole->handle = f->next - 1; /* it was the last one of the bytes before */
        if (!take_box(f->cur, slot->type, &hole->value))
            return FM_MOULD_MORE;
    } else {
        const enum fm_mould_fit fit = take_slot(f, slot, hole);
        if (fit != FM_MOULD_FITS)
            return fit;
        if (slot->numbered)
            f->handle_of[f->n_numbered++] = hole->handle;
    }
    if (hole->value.kind == FM_V_STRING)
        f->texts += hole->value.text.len + 1;
    f->n_holes++;
    return f->texts <= FM_MOULD_MAX_ANSWER ? FM_MOULD_FITS : FM_MOULD_NONE;
}

static enum fm_mould_fit compare(struct filling *f)
{
    const unsigned char *ignored;
    for (const struct fm_mould_step *step = f->mould->steps;; step++) {
        enum fm_mould_fit fit = same_bytes(f, step);
        if (fit != FM_MOULD_FITS || step->kind == FM_MOULD_END)
            return fit;
        if (step->kind == FM_MOULD_REFERENCE)
            fit = take_reference(f, f->handle_of[step->arg]);
        else if (step->kind == FM_MOULD_ANY)
            fit = fm_cursor_take(f->cur, step->arg, &ignored) ? FM_MOULD_FITS : FM_MOULD_MORE;
        else
            fit = fill_slot(f, step);
        if (fit != FM_MOULD_FITS)
            return fit;
    }
}

/* The block in the arena, its pointers right, the slots filled. */
static bool cast(const struct filling *f, struct fm_arena *arena, struct fm_value *out)
{
    const struct fm_mould *m = f->mould;
    char *block = fm_arena_alloc(arena, m->block_len + f->texts);
    if (block == NULL)
        return false;
    memcpy(block, m->block, m->block_len);
    for (size_t i = 0; i < m->n_pointers; i++) {
        uintptr_t distance;
        char *at = block + (size_t)m->pointers[i] * FM_MOULD_UNIT;
        memcpy(&distance, at, sizeof distance);
        const char *pointer = block + distance;
        memcpy(at, &pointer, sizeof pointer);
    }
    char *text = block + m->block_len;
    for (size_t i = 0; i < m->n_slots; i++) {
        struct fm_value value = f->holes[i].value;
        if (value.kind == FM_V_STRING) {
            memcpy(text, value.text.ptr, value.text.len);
            value.text.ptr = text; /* the end is there: the arena gives zeros */
            text += value.text.len + 1;
        }
        memcpy(block + m->slots[i].at, &value, sizeof value);
    }
    memcpy(out, block, sizeof *out);
    return true;
}

enum fm_mould_fit fm_mould_fill(const struct fm_mould *mould, struct fm_cursor *cur,
                                struct fm_arena *arena, struct fm_value *out)
{
    struct filling f; /* only what has been written is read */
    f.mould = mould;
    f.cur = cur;
    f.next = 0;
    f.n_numbered = f.n_holes = f.texts = 0;
    const enum fm_mould_fit fit = compare(&f);
    if (fit != FM_MOULD_FITS)
        return fit;
    return cast(&f, arena, out) ? FM_MOULD_FITS : FM_MOULD_NONE;
}

/* ---- the table ---- */

/* How a key did that found no mould. */
struct watched {
    uint64_t seen; /* when */
    uint32_t key;
    uint16_t misses; /* since the last mould */
    uint16_t wait; /* so many before the next one */
};

struct fm_moulds {
    struct fm_mould *places[PLACES];
    struct watched watched[WATCHED];
    struct fm_ser_trace trace;
    size_t size;
    size_t max_bytes;
    uint64_t now; /* counts answers */
};

struct fm_moulds *fm_jmx_moulds_new(size_t max_bytes)
{
    struct fm_moulds *m = calloc(1, sizeof *m);
    if (m != NULL)
        m->max_bytes = max_bytes;
    return m;
}

static void drop(struct fm_moulds *m, struct fm_mould **link)
{
    struct fm_mould *mould = *link;
    *link = mould->next;
    m->size -= mould->size;
    free(mould);
}

void fm_jmx_moulds_free(struct fm_moulds *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < PLACES; i++)
        while (m->places[i] != NULL)
            drop(m, &m->places[i]);
    free(m->trace.events);
    free(m);
}

static bool small_values(const struct fm_jmx_convert *opts)
{
    return opts->max_value_bytes != 0 && opts->max_value_bytes < MIN_VALUE;
}

enum fm_mould_fit fm_moulds_take(struct fm_moulds *m, uint32_t key,
                                 const struct fm_jmx_convert *opts, struct fm_cursor *data,
                                 size_t max_bytes, struct fm_arena *arena, struct fm_value *out)
{
    enum fm_mould_fit best = FM_MOULD_NONE;
    const size_t at = data->at;
    if (small_values(opts))
        return FM_MOULD_NONE;
    for (struct fm_mould *mould = m->places[key % PLACES]; mould != NULL; mould = mould->next) {
        if (mould->key != key || mould->object_fields != opts->object_fields)
            continue;
        const enum fm_mould_fit fit = fm_mould_fill(mould, data, arena, out);
        if (fit == FM_MOULD_FITS && data->at - at <= max_bytes) {
            mould->used = ++m->now;
            return fit;
        }
        data->at = at;
        if (fit == FM_MOULD_MORE && fm_cursor_left(data) < FM_MOULD_MAX_ANSWER)
            best = fit;
    }
    return best;
}

/* A new one takes the place of the one that was not seen for the longest time. */
static struct watched *watch(struct fm_moulds *m, uint32_t key)
{
    struct watched *set = &m->watched[(key >> 8) % (WATCHED / WAYS) * WAYS], *w = set;
    for (size_t i = 0; i < WAYS && w->key != key; i++)
        if (set[i].key == key || set[i].seen < w->seen)
            w = &set[i];
    if (w->key != key)
        *w = (struct watched){.key = key, .wait = 1};
    w->seen = ++m->now;
    return w;
}

struct fm_ser_trace *fm_moulds_wants(struct fm_moulds *m, uint32_t key)
{
    struct watched *w = watch(m, key);
    if (w->misses++ < w->wait)
        return NULL;
    w->misses = 0;
    w->wait = (uint16_t)(w->wait < MAX_WAIT ? w->wait * 2 : MAX_WAIT);
    m->trace.n = 0;
    m->trace.spoilt = false;
    return &m->trace;
}

/* Where the mould is linked that was not used for the longest time, of this key or of all. */
static struct fm_mould **oldest(struct fm_moulds *m, const uint32_t *key, size_t *n)
{
    struct fm_mould **found = NULL;
    *n = 0;
    for (size_t i = 0; i < PLACES; i++)
        for (struct fm_mould **link = &m->places[i]; *link != NULL; link = &(*link)->next) {
            if (key != NULL && (*link)->key != *key)
                continue;
            ++*n;
            if (found == NULL || (*link)->used < (*found)->used)
                found = link;
        }
    return found;
}

void fm_moulds_learn(struct fm_moulds *m, uint32_t key, const struct fm_jmx_convert *opts,
                     const struct fm_ser *ser, const void *data, size_t len,
                     const struct fm_value *value)
{
    size_t n;
    if (small_values(opts))
        return;
    struct fm_mould *mould = fm_mould_new(opts, ser, data, len, value);
    if (mould == NULL)
        return;
    struct fm_mould **old = oldest(m, &key, &n);
    if (n >= MAX_PER_KEY)
        drop(m, old);
    mould->key = key;
    mould->used = ++m->now;
    mould->next = m->places[key % PLACES];
    m->places[key % PLACES] = mould;
    m->size += mould->size;
    while (m->size > m->max_bytes && (old = oldest(m, NULL, &n)) != NULL)
        drop(m, old); /* the new one last */
}
