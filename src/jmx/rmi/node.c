/* Looking at parsed nodes; field values need not have the declared type, so every kind is checked.
 */
#include <string.h>

#include "jmx/rmi/ser_priv.h"

const struct fm_ser_class *fm_ser_class_of(const struct fm_ser_node *node, const char *class_name)
{
    if (node == NULL || node->kind != FM_SER_OBJECT)
        return NULL;
    for (size_t i = node->object.n; i > 0; i--)
        if (strcmp(node->object.classes[i - 1].desc->name, class_name) == 0)
            return &node->object.classes[i - 1];
    return NULL;
}

bool fm_ser_list_add(struct fm_ser_list *list, const struct fm_ser_node *node,
                     struct fm_arena *arena)
{
    if (list->n == list->cap) {
        size_t cap = list->cap == 0 ? 4 : list->cap * 2;
        const struct fm_ser_node **items = fm_arena_array(arena, cap, sizeof *items);
        if (items == NULL)
            return false;
        if (list->n > 0)
            memcpy(items, list->items, list->n * sizeof *items);
        list->items = items;
        list->cap = cap;
    }
    list->items[list->n++] = node;
    return true;
}

bool fm_ser_is_a(const struct fm_ser_node *node, const char *class_name)
{
    return fm_ser_class_of(node, class_name) != NULL;
}

const char *fm_ser_class_name(const struct fm_ser_node *node)
{
    if (node == NULL || node->kind == FM_SER_NULL)
        return "null";
    if (node->kind == FM_SER_STRING)
        return "java.lang.String";
    if (node->kind == FM_SER_TIME)
        return "java.time";
    if (node->desc == NULL)
        return "?";
    return node->desc->proxied != NULL ? node->desc->proxied : node->desc->name;
}

const struct fm_ser_value *fm_ser_field(const struct fm_ser_node *node, const char *field)
{
    if (node == NULL || node->kind != FM_SER_OBJECT)
        return NULL;
    for (size_t i = node->object.n; i > 0; i--) {
        const struct fm_ser_class *c = &node->object.classes[i - 1];
        if (c->values == NULL)
            continue;
        for (size_t k = 0; k < c->desc->n_fields; k++)
            if (strcmp(c->desc->fields[k].name, field) == 0)
                return &c->values[k];
    }
    return NULL;
}

const struct fm_ser_node *fm_ser_child(const struct fm_ser_node *node, const char *field)
{
    const struct fm_ser_value *v = fm_ser_field(node, field);
    return v != NULL && (v->type == 'L' || v->type == '[') ? v->node : NULL;
}

const char *fm_ser_string(const struct fm_ser_node *node)
{
    return node != NULL && node->kind == FM_SER_STRING ? node->text.ptr : NULL;
}

size_t fm_ser_width(char type)
{
    switch (type) {
    case 'B':
    case 'Z':
        return 1;
    case 'C':
    case 'S':
        return 2;
    case 'I':
    case 'F':
        return 4;
    case 'J':
    case 'D':
        return 8;
    default:
        return 0;
    }
}

struct fm_ser_value fm_ser_element(const struct fm_ser_node *array, size_t i)
{
    struct fm_ser_value v = {.type = array->array.type};
    size_t width = fm_ser_width(v.type);
    const unsigned char *p = array->array.raw + i * width;
    uint64_t bits = 0;
    for (size_t k = 0; k < width; k++)
        bits = bits << 8 | p[k];
    uint32_t half = (uint32_t)bits;
    if (v.type == 'D')
        memcpy(&v.d, &bits, sizeof v.d);
    else if (v.type == 'F')
        memcpy(&v.f, &half, sizeof v.f);
    else if (v.type == 'B')
        /* NOLINTNEXTLINE(bugprone-signed-char-misuse,cert-str34-c): a Java byte is signed */
        v.i = (int8_t)bits;
    else if (v.type == 'S')
        v.i = (int16_t)bits;
    else if (v.type == 'I')
        v.i = (int32_t)bits;
    else
        v.i = (int64_t)bits;
    return v;
}

void fm_ser_reader_init(struct fm_ser_reader *r, const struct fm_ser_list *list)
{
    *r = (struct fm_ser_reader){.list = list};
}

/* Step over blocks that are used up. */
static const struct fm_ser_node *current(struct fm_ser_reader *r)
{
    while (r->item < r->list->n) {
        const struct fm_ser_node *node = r->list->items[r->item];
        if (node->kind != FM_SER_BLOCK || r->at < node->text.len)
            return node;
        r->item++;
        r->at = 0;
    }
    return NULL;
}

bool fm_ser_reader_more_bytes(struct fm_ser_reader *r)
{
    const struct fm_ser_node *node = current(r);
    return node != NULL && node->kind == FM_SER_BLOCK;
}

bool fm_ser_reader_bytes(struct fm_ser_reader *r, void *out, size_t n)
{
    unsigned char *to = out;
    while (n > 0) {
        const struct fm_ser_node *node = current(r);
        if (node == NULL || node->kind != FM_SER_BLOCK)
            return false;
        size_t part = node->text.len - r->at < n ? node->text.len - r->at : n;
        memcpy(to, node->text.ptr + r->at, part);
        r->at += part;
        to += part;
        n -= part;
    }
    return true;
}

bool fm_ser_reader_i64(struct fm_ser_reader *r, int64_t *out)
{
    unsigned char bytes[8] = {0};
    struct fm_cursor cur;
    fm_cursor_init(&cur, bytes, sizeof bytes);
    return fm_ser_reader_bytes(r, bytes, sizeof bytes) && fm_cursor_i64(&cur, out);
}

bool fm_ser_reader_i32(struct fm_ser_reader *r, int32_t *out)
{
    unsigned char bytes[4] = {0};
    struct fm_cursor cur;
    fm_cursor_init(&cur, bytes, sizeof bytes);
    return fm_ser_reader_bytes(r, bytes, sizeof bytes) && fm_cursor_i32(&cur, out);
}

const struct fm_ser_node *fm_ser_reader_next(struct fm_ser_reader *r)
{
    const struct fm_ser_node *node = current(r);
    while (node != NULL && node->kind == FM_SER_BLOCK) {
        r->at = node->text.len;
        node = current(r);
    }
    if (node != NULL)
        r->item++;
    return node;
}

bool fm_ser_reader_done(struct fm_ser_reader *r)
{
    return current(r) == NULL;
}
