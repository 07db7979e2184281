/* Any node of the stream to a value: primitives, arrays, and what no class is known for. */
#include <string.h>

#include "jmx/rmi/convert_priv.h"

void fm_convert_init(struct fm_convert *c, const struct fm_jmx_convert *opts,
                     struct fm_arena *arena, struct fm_err *err)
{
    c->arena = arena;
    c->err = err;
    c->budget =
        opts == NULL || opts->max_value_bytes == 0 ? FM_CONVERT_MAX_VALUE : opts->max_value_bytes;
    c->object_fields = opts != NULL && opts->object_fields;
    c->unknown = 0;
    c->depth = 0;
}

enum fm_code fm_convert_no_memory(struct fm_convert *c)
{
    if (c->arena->over_limit)
        return fm_err_set(c->err, FM_ELIMIT, "the values need more memory than max_bytes allows");
    return fm_err_nomem(c->err);
}

enum fm_code fm_convert_charge(struct fm_convert *c, size_t n)
{
    if (n > c->budget)
        return fm_err_set(c->err, FM_ELIMIT, "the value is too large to be written as JSON");
    c->budget -= n;
    return FM_OK;
}

enum fm_code fm_convert_text(struct fm_convert *c, struct fm_value *out, const char *text,
                             size_t len)
{
    FM_TRY(fm_convert_charge(c, len + 3));
    if (!fm_value_set_text(out, c->arena, FM_V_STRING, text, len))
        return fm_convert_no_memory(c);
    return FM_OK;
}

static size_t digits(int64_t v)
{
    size_t n = v < 0 ? 2 : 1;
    for (v /= 10; v != 0; v /= 10)
        n++;
    return n;
}

static enum fm_code convert_char(struct fm_convert *c, int64_t unit, struct fm_value *out)
{
    unsigned char utf[3];
    fm_mutf8_unit(utf, unit);
    char text[4];
    return fm_convert_text(c, out, text, fm_mutf8_decode(utf, sizeof utf, text));
}

enum fm_code fm_convert_field(struct fm_convert *c, const struct fm_ser_value *v,
                              struct fm_value *out)
{
    switch (v->type) {
    case 'L':
    case '[':
        return fm_convert_node(c, v->node, out);
    case 'Z':
        *out = (struct fm_value){.kind = FM_V_BOOL, .b = v->i != 0};
        return fm_convert_charge(c, 6);
    case 'C':
        return convert_char(c, v->i, out);
    case 'F':
        *out = (struct fm_value){.kind = FM_V_FLOAT, .f = v->f};
        return fm_convert_charge(c, 12);
    case 'D':
        *out = (struct fm_value){.kind = FM_V_DOUBLE, .d = v->d};
        return fm_convert_charge(c, 20);
    default:
        *out = (struct fm_value){.kind = FM_V_INT, .i = v->i};
        return fm_convert_charge(c, digits(v->i) + 1);
    }
}

/* ---- nodes ---- */

static enum fm_code convert_object(struct fm_convert *c, const struct fm_ser_node *node,
                                   struct fm_value *out)
{
    for (size_t i = node->object.n; i > 0; i--) {
        const char *name = node->object.classes[i - 1].desc->name;
        fm_convert_fn *fn = fm_convert_scalar(name);
        if (fn == NULL)
            fn = fm_convert_collection(name);
        if (fn == NULL)
            continue;
        bool known = true;
        FM_TRY(fn(c, node, &node->object.classes[i - 1], out, &known));
        if (known)
            return FM_OK;
        break;
    }
    return fm_convert_unknown(c, node, out);
}

static enum fm_code convert_array(struct fm_convert *c, const struct fm_ser_node *node,
                                  struct fm_value *out)
{
    if (node->array.type == 'B') {
        FM_TRY(fm_convert_charge(c, node->array.n / 3 * 4 + 6));
        if (!fm_value_set_text(out, c->arena, FM_V_BYTES, (const char *)node->array.raw,
                               node->array.n))
            return fm_convert_no_memory(c);
        return FM_OK;
    }
    FM_TRY(fm_convert_charge(c, node->array.n + 2));
    struct fm_value *items = fm_arena_array(c->arena, node->array.n, sizeof *items);
    if (items == NULL)
        return fm_convert_no_memory(c);
    for (size_t i = 0; i < node->array.n; i++) {
        if (fm_ser_width(node->array.type) == 0) {
            FM_TRY(fm_convert_node(c, node->array.list.items[i], &items[i]));
            continue;
        }
        struct fm_ser_value v = fm_ser_element(node, i);
        FM_TRY(fm_convert_field(c, &v, &items[i]));
    }
    *out = (struct fm_value){.kind = FM_V_ARRAY, .array = {.items = items, .n = node->array.n}};
    return FM_OK;
}

static bool is_open(const struct fm_convert *c, const struct fm_ser_node *node)
{
    for (unsigned i = c->depth; i > 0; i--)
        if (c->open[i - 1] == node)
            return true;
    return false;
}

static enum fm_code convert_container(struct fm_convert *c, const struct fm_ser_node *node,
                                      struct fm_value *out)
{
    *out = (struct fm_value){.kind = FM_V_NULL};
    if (is_open(c, node))
        return FM_OK; /* a cycle */
    if (c->depth == FM_VALUE_DEPTH)
        return fm_err_set(c->err, FM_ELIMIT, "more than %d values inside one another",
                          FM_VALUE_DEPTH);
    c->open[c->depth++] = node;
    enum fm_code code =
        node->kind == FM_SER_ARRAY ? convert_array(c, node, out) : convert_object(c, node, out);
    c->depth--;
    return code;
}

enum fm_code fm_convert_node(struct fm_convert *c, const struct fm_ser_node *node,
                             struct fm_value *out)
{
    FM_TRY(fm_convert_charge(c, 2));
    switch (node->kind) {
    case FM_SER_STRING:
    case FM_SER_TIME:
        return fm_convert_text(c, out, node->text.ptr, node->text.len);
    case FM_SER_ENUM:
        if (fm_ser_string(node->name) != NULL)
            return fm_convert_text(c, out, node->name->text.ptr, node->name->text.len);
        break;
    case FM_SER_CLASS:
        return fm_convert_text(c, out, node->desc->name, strlen(node->desc->name));
    case FM_SER_OBJECT:
    case FM_SER_ARRAY:
        return convert_container(c, node, out);
    case FM_SER_DESC:
        return fm_convert_unknown(c, node, out);
    case FM_SER_NULL:
    case FM_SER_BLOCK:
    case FM_SER_END:
        break;
    }
    *out = (struct fm_value){.kind = FM_V_NULL};
    return FM_OK;
}

/* ---- objects of classes that nobody knows ---- */

static enum fm_code fields_of(struct fm_convert *c, const struct fm_ser_node *node,
                              struct fm_member *members, size_t *n)
{
    for (size_t i = 0; i < node->object.n; i++) {
        const struct fm_ser_class *part = &node->object.classes[i];
        for (size_t k = 0; part->values != NULL && k < part->desc->n_fields; k++) {
            struct fm_member *m = &members[(*n)++];
            const char *name = part->desc->fields[k].name;
            struct fm_value key;
            FM_TRY(fm_convert_text(c, &key, name, strlen(name)));
            m->key = key.text;
            FM_TRY(fm_convert_field(c, &part->values[k], &m->value));
        }
    }
    return FM_OK;
}

/* An Inet4Address is written as its superclass. */
static const char *shown_class(const struct fm_ser_node *node)
{
    const char *name =
        node->kind == FM_SER_DESC ? "java.io.ObjectStreamClass" : fm_ser_class_name(node);
    return strcmp(name, "java.net.InetAddress") == 0 ? "java.net.Inet4Address" : name;
}

enum fm_code fm_convert_unknown(struct fm_convert *c, const struct fm_ser_node *node,
                                struct fm_value *out)
{
    bool with_fields =
        c->object_fields && node->kind == FM_SER_OBJECT && c->unknown < FM_CONVERT_MAX_UNKNOWN;
    size_t n = 1;
    for (size_t i = 0; with_fields && i < node->object.n; i++)
        n += node->object.classes[i].desc->n_fields;
    const char *name = shown_class(node);
    FM_TRY(fm_convert_charge(c, n * 2 + 10));
    struct fm_member *members = fm_arena_array(c->arena, n, sizeof *members);
    if (members == NULL)
        return fm_convert_no_memory(c);
    members[0].key = (struct fm_text){.ptr = "class", .len = 5};
    FM_TRY(fm_convert_text(c, &members[0].value, name, strlen(name)));
    size_t filled = 1;
    if (with_fields) {
        c->unknown++;
        enum fm_code code = fields_of(c, node, members, &filled);
        c->unknown--;
        FM_TRY(code);
        FM_TRY(fm_convert_unique(c, members, filled));
    }
    *out = (struct fm_value){.kind = FM_V_OBJECT, .object = {.members = members, .n = filled}};
    return FM_OK;
}
