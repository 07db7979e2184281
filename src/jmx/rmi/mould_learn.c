/* Making a mould of an answer: which of its bytes may differ, and where their values go.
 *
 * A hole is a box or a String that is the value of an attribute, or of an item of a CompositeData,
 * and nothing else: wherever the stream mentions it there must be such a value. Containers on the
 * way to it must be mentioned once. So the holes come in the stream in the order of the values. */
#include <stdlib.h>
#include <string.h>

#include "jmx/rmi/mould_priv.h"
#include "jmx/rmi/ser_parse_priv.h"

enum { MAX_DEPTH = 8, HEAD = 8 /* bytes before the id of a return */, ID = 14 };

/* A value that may come from a hole. */
struct visit {
    uint16_t handle;
    uint32_t at; /* in the block */
};

/* What is known of an object of the stream. */
struct object {
    const struct fm_ser_node *node;
    uint16_t mentions; /* in the stream: itself and references */
    uint16_t visits;
};

struct learner {
    const struct fm_ser *ser;
    const unsigned char *data;
    size_t len;
    struct fm_arena arena; /* all below */
    struct fm_convert convert; /* to look into maps */
    unsigned char *block;
    size_t used;
    uint16_t *pointers;
    size_t n_pointers;
    struct object *objects;
    struct visit *visits;
    size_t n_visits;
    size_t next_visit;
    struct fm_mould_step *steps;
    size_t n_steps;
    struct fm_mould_slot *slots;
    size_t n_slots;
    size_t at; /* of data: what is before stands in steps */
    size_t handles; /* met since the last step */
    bool failed;
};

static const struct {
    const char *class_name;
    char type;
} boxes[] = {
    {"java.lang.Long", 'J'},    {"java.lang.Integer", 'I'}, {"java.lang.Double", 'D'},
    {"java.lang.Boolean", 'Z'}, {"java.lang.Float", 'F'},   {"java.lang.Short", 'S'},
    {"java.lang.Byte", 'B'},
};

/* The type of a box whose only bytes are its value; 0: none. */
static char box_type(const struct fm_ser_node *node)
{
    if (node->kind != FM_SER_OBJECT || node->object.n == 0)
        return 0;
    for (size_t i = 0; i < node->object.n; i++) {
        const struct fm_ser_desc *desc = node->object.classes[i].desc;
        if (desc->n_fields != (i + 1 == node->object.n) || desc->flags != FM_SER_SERIALIZABLE)
            return 0;
    }
    const struct fm_ser_field *field = &node->desc->fields[0];
    for (size_t i = 0; i < sizeof boxes / sizeof boxes[0]; i++)
        if (strcmp(boxes[i].class_name, node->desc->name) == 0)
            return strcmp(field->name, "value") == 0 && field->type == boxes[i].type ? field->type
                                                                                     : 0;
    return 0;
}

/* A String that is the same on the wire. */
static bool is_ascii(const struct fm_ser_node *node)
{
    return node->kind == FM_SER_STRING &&
           fm_mutf8_ascii((const unsigned char *)node->text.ptr, node->text.len) == node->text.len;
}

static size_t number_of(const struct learner *l, const struct fm_ser_node *node)
{
    size_t i = 0;
    while (i < l->ser->n_handles && l->objects[i].node != node)
        i++;
    return i;
}

/* Whether the stream mentions it here only. */
static bool only_here(const struct learner *l, const struct fm_ser_node *node)
{
    const size_t i = number_of(l, node);
    return i < l->ser->n_handles && l->objects[i].mentions == 1;
}

/* ---- the block ---- */

static size_t round_up(size_t size)
{
    return (size + FM_MOULD_UNIT - 1) / FM_MOULD_UNIT * FM_MOULD_UNIT;
}

static size_t room(struct learner *l, size_t size)
{
    const size_t at = l->used;
    size = round_up(size);
    if (size > FM_MOULD_MAX_BLOCK - at) {
        l->failed = true;
        return 0;
    }
    l->used += size;
    return at;
}

/* The pointer at this place of the block shall show to that place. */
static void point(struct learner *l, size_t place, size_t to)
{
    const uintptr_t distance = to;
    memcpy(l->block + place, &distance, sizeof distance);
    l->pointers[l->n_pointers++] =
        (uint16_t)(place / FM_MOULD_UNIT); /* there are as many as places */
}

static void put_text(struct learner *l, size_t place, const struct fm_text *text)
{
    const size_t at = room(l, text->len + 1);
    if (l->failed)
        return;
    memcpy(l->block + at, text->ptr, text->len);
    point(l, place + offsetof(struct fm_text, ptr), at);
}

static void visit(struct learner *l, size_t at, const struct fm_value *value,
                  const struct fm_ser_node *node)
{
    const bool hole = value->kind == FM_V_STRING ? is_ascii(node) : box_type(node) != 0;
    const size_t i = hole ? number_of(l, node) : l->ser->n_handles;
    if (i >= l->ser->n_handles || l->n_visits == FM_MOULD_MAX_SLOTS)
        return;
    l->objects[i].visits++;
    l->visits[l->n_visits++] = (struct visit){.handle = (uint16_t)i, .at = (uint32_t)at};
}

static void put_value(struct learner *l, size_t at, const struct fm_value *value,
                      const struct fm_ser_node *node, unsigned depth);

static void put_items(struct learner *l, size_t at, const struct fm_value *value, unsigned depth)
{
    const size_t items = room(l, value->array.n * sizeof *value);
    if (l->failed)
        return;
    point(l, at + offsetof(struct fm_value, array.items), items);
    for (size_t i = 0; i < value->array.n && !l->failed; i++)
        put_value(l, items + i * sizeof *value, &value->array.items[i], NULL, depth);
}

/* nodes: of the values, step apart, or NULL. */
static void put_members(struct learner *l, size_t at, const struct fm_value *value,
                        const struct fm_ser_node *const *nodes, size_t step, unsigned depth)
{
    const struct fm_member *members = value->object.members;
    const size_t place = room(l, value->object.n * sizeof *members);
    if (l->failed)
        return;
    point(l, at + offsetof(struct fm_value, object.members), place);
    for (size_t i = 0; i < value->object.n && !l->failed; i++) {
        const size_t member = place + i * sizeof *members;
        memcpy(l->block + member, &members[i], sizeof *members);
        put_text(l, member + offsetof(struct fm_member, key), &members[i].key);
        put_value(l, member + offsetof(struct fm_member, value), &members[i].value,
                  nodes == NULL ? NULL : nodes[i * step], depth);
    }
}

static void put_object(struct learner *l, size_t at, const struct fm_value *value,
                       const struct fm_ser_node *node, unsigned depth)
{
    struct fm_ser_list pairs;
    const struct fm_ser_node *contents = fm_ser_child(node, "contents");
    const bool looked_into =
        node != NULL && only_here(l, node) && contents != NULL && only_here(l, contents) &&
        fm_convert_composite_pairs(&l->convert, node, &pairs) && pairs.n / 2 == value->object.n;
    put_members(l, at, value, looked_into ? pairs.items + 1 : NULL, 2, depth);
}

/* Copy a value to its place; node: what it came from, if it may have holes. */
static void put_value(struct learner *l, size_t at, const struct fm_value *value,
                      const struct fm_ser_node *node, unsigned depth)
{
    l->failed = l->failed || depth == MAX_DEPTH;
    if (l->failed)
        return;
    memcpy(l->block + at, value, sizeof *value);
    switch (value->kind) {
    case FM_V_STRING:
    case FM_V_BYTES:
    case FM_V_NUMBER:
        put_text(l, at + offsetof(struct fm_value, text), &value->text);
        break;
    case FM_V_ARRAY:
        put_items(l, at, value, depth + 1);
        return;
    case FM_V_OBJECT:
        put_object(l, at, value, node, depth + 1);
        return;
    default:
        break;
    }
    if (node != NULL)
        visit(l, at, value, node);
}

/* The value of a whole answer: an AttributeList, all of which was taken. */
static void put_answer(struct learner *l, const struct fm_value *value)
{
    struct fm_ser_list list;
    const struct fm_ser_node *root = l->ser->root;
    l->failed = !fm_ser_is_a(root, "javax.management.AttributeList") || !only_here(l, root) ||
                !fm_convert_elements(&l->convert, root, &list) || list.n != value->object.n;
    if (l->failed)
        return;
    const struct fm_ser_node **nodes = fm_arena_array(&l->arena, list.n, sizeof *nodes);
    l->failed = nodes == NULL;
    for (size_t i = 0; i < list.n && !l->failed; i++) {
        nodes[i] = fm_ser_child(list.items[i], "value");
        l->failed = nodes[i] == NULL || !only_here(l, list.items[i]);
    }
    const size_t at = room(l, sizeof *value);
    if (l->failed)
        return;
    memcpy(l->block + at, value, sizeof *value);
    put_members(l, at, value, nodes, 1, 0);
}

/* ---- the steps ---- */

static bool is_hole(const struct learner *l, size_t handle)
{
    return l->objects[handle].visits == l->objects[handle].mentions;
}

/* The bytes up to here stay as they are; behind them, up to "after", stands what kind says. */
static void put_step(struct learner *l, size_t until, size_t after, enum fm_mould_kind kind,
                     size_t arg)
{
    if (until < l->at || after < until || after > l->len) {
        l->failed = true;
        return;
    }
    l->steps[l->n_steps++] = (struct fm_mould_step){.at = (uint32_t)l->at,
                                                    .len = (uint16_t)(until - l->at),
                                                    .handles = (uint16_t)l->handles,
                                                    .kind = (uint16_t)kind,
                                                    .arg = (uint16_t)arg};
    l->handles = 0;
    l->at = after;
}

/* The next slot: it is the place of the next visit, which must be of this object. */
static size_t put_slot(struct learner *l, size_t handle, bool numbered)
{
    const struct fm_ser_node *node = l->objects[handle].node;
    struct visit *v = &l->visits[l->next_visit];
    while (l->next_visit < l->n_visits && !is_hole(l, v->handle))
        v = &l->visits[++l->next_visit];
    l->failed = l->failed || l->next_visit == l->n_visits || v->handle != handle;
    if (l->failed)
        return 0;
    l->next_visit++;
    struct fm_mould_slot *slot = &l->slots[l->n_slots];
    slot->at = v->at;
    slot->type = node->kind == FM_SER_STRING ? 'L' : box_type(node);
    slot->numbered = numbered;
    if (node->kind == FM_SER_OBJECT)
        for (size_t i = 0; i < handle; i++)
            if (l->objects[i].node->kind == FM_SER_DESC && l->objects[i].node->desc == node->desc)
                slot->desc = (uint16_t)i;
    return l->n_slots++;
}

/* A String that may differ; "at" is behind it. */
static void put_text_slot(struct learner *l, size_t at, size_t handle)
{
    const struct fm_text *text = &l->objects[handle].node->text;
    const size_t len = text->len + 3;
    const unsigned char *bytes = l->data + at - (len < at ? len : at);
    l->failed = l->failed || len > at || bytes[0] != 0x74 ||
                (size_t)(bytes[1] << 8 | bytes[2]) != text->len ||
                memcmp(bytes + 3, text->ptr, text->len) != 0;
    if (!l->failed)
        put_step(l, at - len, at, FM_MOULD_TEXT, put_slot(l, handle, true));
}

static bool is_class_reference(const struct learner *l, const struct fm_ser_event *e, size_t at)
{
    return e->reference && e->at + 4 == at && e->at >= 2 && l->data[e->at - 2] == 0x73 &&
           l->objects[e->handle].node->kind == FM_SER_DESC;
}

/* A box that may differ; "at" is where its value stands. */
static void put_box_slot(struct learner *l, const struct fm_ser_event *event, size_t handle)
{
    const size_t at = event->at;
    const size_t after = at + fm_ser_width(box_type(l->objects[handle].node));
    if (is_class_reference(l, event - 1, at)) {
        put_step(l, at - 6, after, FM_MOULD_BOX, put_slot(l, handle, true));
        return;
    }
    l->handles++; /* its class stands in the bytes before, and so does its own beginning */
    put_step(l, at, after, FM_MOULD_FIRST, put_slot(l, handle, true));
}

static void put_new(struct learner *l, const struct fm_ser_event *event)
{
    if (!is_hole(l, event->handle))
        l->handles++;
    else if (l->objects[event->handle].node->kind == FM_SER_STRING)
        put_text_slot(l, event->at, event->handle);
    else
        put_box_slot(l, event, event->handle);
}

static void put_reference(struct learner *l, const struct fm_ser_event *event, bool is_last)
{
    const size_t at = event->at;
    if (is_hole(l, event->handle)) {
        put_step(l, at - 1, at + 4,
                 l->objects[event->handle].node->kind == FM_SER_STRING ? FM_MOULD_TEXT
                                                                       : FM_MOULD_BOX,
                 put_slot(l, event->handle, false));
        return;
    }
    const struct fm_ser_event *next = event + 1;
    if (!is_last && !next->reference && is_hole(l, next->handle) &&
        l->objects[next->handle].node->kind == FM_SER_OBJECT &&
        is_class_reference(l, event, next->at))
        return; /* part of that box */
    put_step(l, at, at + 4, FM_MOULD_REFERENCE, event->handle);
}

static void put_steps(struct learner *l)
{
    const struct fm_ser_trace *trace = l->ser->trace;
    put_step(l, HEAD, HEAD + ID, FM_MOULD_ANY, ID);
    for (size_t i = 0; i < trace->n && !l->failed; i++) {
        if (trace->events[i].reference)
            put_reference(l, &trace->events[i], i + 1 == trace->n);
        else
            put_new(l, &trace->events[i]);
    }
    put_step(l, l->len, l->len, FM_MOULD_END, 0);
}

/* ---- all of it ---- */

static bool acceptable(const struct fm_ser *ser, const unsigned char *data, size_t len)
{
    static const unsigned char head[HEAD] = {0x51, 0xac, 0xed, 0x00, 0x05, 0x77, 0x0f, 0x01};
    return ser->trace != NULL && !ser->trace->spoilt && !ser->exception && ser->start == 0 &&
           ser->bytes == len && len > HEAD + ID && len <= FM_MOULD_MAX_ANSWER &&
           memcmp(data, head, HEAD) == 0 && ser->n_handles > 0 &&
           ser->n_handles <= FM_MOULD_MAX_HANDLES;
}

static bool begin(struct learner *l)
{
    const struct fm_ser_trace *trace = l->ser->trace;
    struct fm_arena *arena = &l->arena;
    l->block = fm_arena_alloc(arena, FM_MOULD_MAX_BLOCK);
    l->pointers = fm_arena_array(arena, FM_MOULD_MAX_BLOCK / FM_MOULD_UNIT, sizeof *l->pointers);
    l->objects = fm_arena_array(arena, l->ser->n_handles, sizeof *l->objects);
    l->visits = fm_arena_array(arena, FM_MOULD_MAX_SLOTS, sizeof *l->visits);
    l->steps = fm_arena_array(arena, trace->n + 2, sizeof *l->steps);
    l->slots = fm_arena_array(arena, FM_MOULD_MAX_SLOTS, sizeof *l->slots);
    if (l->block == NULL || l->pointers == NULL || l->objects == NULL || l->visits == NULL ||
        l->steps == NULL || l->slots == NULL)
        return false;
    for (size_t i = 0; i < l->ser->n_handles; i++)
        l->objects[i].node = l->ser->handles[i];
    for (size_t i = 0; i < trace->n; i++)
        l->objects[trace->events[i].handle].mentions++;
    return true;
}

static void *append(unsigned char *to, size_t *used, const void *from, size_t size)
{
    void *at = to + *used;
    memcpy(at, from, size);
    *used += round_up(size);
    return at;
}

static struct fm_mould *finish(const struct learner *l)
{
    struct fm_mould m = {.n_steps = l->n_steps,
                         .n_slots = l->n_slots,
                         .n_pointers = l->n_pointers,
                         .block_len = l->used};
    const size_t steps = l->n_steps * sizeof *l->steps, slots = l->n_slots * sizeof *l->slots;
    const size_t pointers = l->n_pointers * sizeof *l->pointers;
    m.size = sizeof m + steps + slots + pointers + l->used + l->len + (size_t)5 * FM_MOULD_UNIT;
    unsigned char *memory = calloc(1, m.size);
    if (memory == NULL)
        return NULL;
    size_t used = sizeof m;
    m.block = append(memory, &used, l->block, l->used);
    m.steps = append(memory, &used, l->steps, steps);
    m.slots = append(memory, &used, l->slots, slots);
    m.pointers = append(memory, &used, l->pointers, pointers);
    m.bytes = append(memory, &used, l->data, l->len);
    memcpy(memory, &m, sizeof m);
    return (struct fm_mould *)(void *)memory;
}

struct fm_mould *fm_mould_new(const struct fm_jmx_convert *opts, const struct fm_ser *ser,
                              const unsigned char *data, size_t len, const struct fm_value *value)
{
    struct learner l = {.ser = ser, .data = data, .len = len};
    struct fm_mould *mould = NULL;
    if (!acceptable(ser, data, len) || value->kind != FM_V_OBJECT)
        return NULL;
    fm_arena_init(&l.arena, 0);
    fm_convert_init(&l.convert, opts, &l.arena, NULL);
    if (begin(&l)) {
        put_answer(&l, value);
        if (!l.failed)
            put_steps(&l);
        if (!l.failed)
            mould = finish(&l);
    }
    if (mould != NULL)
        mould->object_fields = opts->object_fields;
    fm_arena_clear(&l.arena);
    return mould;
}
