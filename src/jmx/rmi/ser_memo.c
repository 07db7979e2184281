/* Class descriptors seen before.
 *
 * Half of an answer are descriptors, and a poll brings the same ones again for every bean. Which
 * nodes they become follows from their bytes and from the number of the first handle in them alone
 * (references to before that point are only allowed to strings, whose text nobody reads); so one
 * that comes a second time is kept, and from the third time on only compared and stepped over. */
#include <string.h>

#include "jmx/rmi/ser_parse_priv.h"

enum { SLOTS = 64, MEMO_BYTES = 256 * 1024 };

struct fm_ser_slot {
    uint32_t key;
    struct fm_ser_known *known; /* NULL: seen once */
};

struct fm_ser_known {
    const unsigned char *bytes; /* from the byte behind the tag to the end of the superclasses */
    size_t len;
    size_t first; /* handle */
    struct fm_ser_node **nodes; /* of its handles, n of them; the first is the descriptor */
    size_t n;
    size_t elements;
    uint32_t before[FM_SER_MEMO_REFS]; /* handles before first that must be strings */
    size_t n_before;
};

/* Where one with this name and first handle is kept; NULL without memory, or if the name is cut. */
static struct fm_ser_slot *slot_of(struct fm_ser_memo *m, size_t first, const unsigned char *at,
                                   size_t left, uint32_t *key)
{
    struct fm_cursor cur;
    const unsigned char *name;
    uint16_t len;
    fm_cursor_init(&cur, at, left);
    if (!fm_ser_take_utf(&cur, &name, &len))
        return NULL;
    if (m->slots == NULL)
        m->slots = fm_arena_array(&m->arena, SLOTS, sizeof *m->slots);
    uint32_t hash = (uint32_t)first;
    for (size_t i = 0; i < len; i++)
        hash = hash * 31 + name[i];
    *key = hash | 1;
    return m->slots == NULL ? NULL : &m->slots[(hash ^ hash >> 16) % SLOTS];
}

/* What is being noted refers to a string. */
static void note_string(struct fm_ser_memo *m, uint32_t handle)
{
    if (!m->noting || handle >= m->first)
        return;
    if (m->n_before == FM_SER_MEMO_REFS)
        m->noting = false;
    else
        m->before[m->n_before++] = handle;
}

bool fm_ser_memo_take(struct fm_ser *p, struct fm_err *err, enum fm_code *code)
{
    uint32_t key;
    if (p->trace != NULL)
        return false; /* it wants to see every reference */
    const unsigned char *at = p->cur.data + p->cur.at;
    const size_t left = fm_cursor_left(&p->cur);
    const struct fm_ser_slot *slot = slot_of(&p->memo, p->n_handles, at, left, &key);
    const struct fm_ser_known *known = slot == NULL ? NULL : slot->known;
    if (known == NULL || known->first != p->n_handles || known->len > left ||
        memcmp(known->bytes, at, known->len) != 0)
        return false;
    for (size_t i = 0; i < known->n_before; i++)
        if (p->handles[known->before[i]]->kind != FM_SER_STRING)
            return false;
    for (size_t i = 0; i < known->n_before; i++)
        note_string(&p->memo, known->before[i]);
    *code = fm_ser_count(p, known->elements, err);
    for (size_t i = 0; i < known->n && *code == FM_OK; i++)
        *code = fm_ser_add_handle(p, known->nodes[i], err);
    if (*code == FM_OK) {
        (void)fm_cursor_skip(&p->cur, known->len);
        p->got = known->nodes[0];
        p->want = FM_SER_WANT_NONE;
    }
    return true;
}

void fm_ser_memo_begin(struct fm_ser *p, size_t position)
{
    const enum fm_ser_frame_kind below =
        p->depth == 0 ? FM_SER_IN_OBJECT : p->frames[p->depth - 1].kind;
    if (below == FM_SER_IN_DESC || below == FM_SER_IN_PROXY)
        return; /* a superclass: part of what is being noted */
    p->memo.noting = true;
    p->memo.depth = p->depth;
    p->memo.at = position;
    p->memo.first = p->n_handles;
    p->memo.elements = p->elements;
    p->memo.n_before = 0;
}

void fm_ser_memo_reference(struct fm_ser *p, uint32_t handle)
{
    if (p->want == FM_SER_WANT_STRING)
        note_string(&p->memo, handle);
    else if (handle < p->memo.first)
        p->memo.noting = false;
}

void fm_ser_memo_spoil(struct fm_ser *p)
{
    p->memo.noting = false;
}

static const struct fm_ser_node *twin(const struct fm_ser *p, const struct fm_ser_known *known,
                                      const struct fm_ser_node *node)
{
    for (size_t i = 0; i < known->n; i++)
        if (p->handles[known->first + i] == node)
            return known->nodes[i];
    return NULL;
}

static bool copy_desc(struct fm_ser *p, const struct fm_ser_known *known, struct fm_ser_node *to,
                      const struct fm_ser_node *from)
{
    struct fm_arena *arena = &p->memo.arena;
    struct fm_ser_desc *desc = fm_arena_alloc(arena, sizeof *desc);
    if (desc == NULL)
        return false;
    *desc = *from->desc;
    desc->name = fm_arena_strndup(arena, desc->name, strlen(desc->name));
    desc->fields = fm_arena_array(arena, desc->n_fields, sizeof *desc->fields);
    if (desc->name == NULL || desc->fields == NULL)
        return false;
    for (size_t i = 0; i < desc->n_fields; i++) {
        const struct fm_ser_field *field = &from->desc->fields[i];
        desc->fields[i].type = field->type;
        desc->fields[i].name = fm_arena_strndup(arena, field->name, strlen(field->name));
        if (desc->fields[i].name == NULL)
            return false;
    }
    if (desc->super != NULL)
        desc->super = twin(p, known, desc->super);
    to->desc = desc;
    to->complete = true;
    return from->desc->super == NULL || desc->super != NULL;
}

static bool copy_node(struct fm_ser *p, const struct fm_ser_known *known, struct fm_ser_node *to,
                      const struct fm_ser_node *from)
{
    to->kind = from->kind;
    if (from->kind == FM_SER_DESC)
        return copy_desc(p, known, to, from);
    if (from->kind != FM_SER_STRING)
        return false;
    to->text.len = from->text.len;
    to->text.ptr = fm_arena_strndup(&p->memo.arena, from->text.ptr, from->text.len);
    return to->text.ptr != NULL;
}

static struct fm_ser_known *keep(struct fm_ser *p, const unsigned char *bytes, size_t len)
{
    struct fm_arena *arena = &p->memo.arena;
    struct fm_ser_known *known = fm_arena_alloc(arena, sizeof *known);
    if (known == NULL)
        return NULL;
    known->first = p->memo.first;
    known->n = p->n_handles - known->first;
    known->elements = p->elements - p->memo.elements;
    known->len = len;
    known->bytes = (const unsigned char *)fm_arena_strndup(arena, (const char *)bytes, len);
    known->nodes = fm_arena_array(arena, known->n, sizeof(struct fm_ser_node *));
    known->n_before = p->memo.n_before;
    memcpy(known->before, p->memo.before, sizeof known->before);
    if (known->bytes == NULL || known->nodes == NULL)
        return NULL;
    for (size_t i = 0; i < known->n; i++) {
        known->nodes[i] = fm_arena_alloc(arena, sizeof(struct fm_ser_node));
        if (known->nodes[i] == NULL)
            return NULL;
    }
    for (size_t i = 0; i < known->n; i++)
        if (!copy_node(p, known, known->nodes[i], p->handles[known->first + i]))
            return NULL;
    return known;
}

void fm_ser_memo_end(struct fm_ser *p)
{
    struct fm_ser_memo *m = &p->memo;
    if (!m->noting || m->depth != p->depth)
        return;
    m->noting = false;
    if (m->at < p->start || p->n_handles <= m->first)
        return; /* its beginning came with an earlier read */
    const unsigned char *bytes = p->cur.data + (m->at - p->start);
    const size_t len = fm_ser_position(p) - m->at;
    uint32_t key;
    struct fm_ser_slot *slot = slot_of(m, m->first, bytes, len, &key);
    if (slot == NULL)
        return;
    if (slot->key != key) {
        *slot = (struct fm_ser_slot){.key = key}; /* seen once */
        return;
    }
    if (slot->known == NULL && !m->full)
        slot->known = keep(p, bytes, len);
    m->full = m->full || m->arena.over_limit;
}

void fm_ser_memo_clear(struct fm_ser *p)
{
    fm_arena_clear(&p->memo.arena);
    p->memo = (struct fm_ser_memo){0};
    fm_arena_init(&p->memo.arena, MEMO_BYTES);
}
