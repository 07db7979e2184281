#include "jmx/rmi/convert_priv.h"

#include <stdlib.h>
#include <string.h>

#include "value/name.h"

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

static enum fm_code convert_buf(struct fm_convert *c, struct fm_buf *buf, enum fm_code code,
                                struct fm_value *out, bool *known)
{
    if (code == FM_EPROTO)
        *known = false;
    else if (code == FM_OK && (code = fm_buf_code(buf, c->err)) == FM_OK)
        code = fm_convert_text(c, out, buf->data, buf->len);
    fm_buf_clear(buf);
    return code == FM_EPROTO ? FM_OK : code;
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
    const unsigned char utf[3] = {(unsigned char)(0xe0 | (unit >> 12 & 15)),
                                  (unsigned char)(0x80 | (unit >> 6 & 63)),
                                  (unsigned char)(0x80 | (unit & 63))};
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

/* ---- classes with one value ---- */

/* Boxes: the field "value" of the class itself, of this type. */
static enum fm_code box(struct fm_convert *c, const struct fm_ser_class *part, const char *types,
                        struct fm_value *out, bool *known)
{
    for (size_t i = 0; part->values != NULL && i < part->desc->n_fields; i++)
        if (strcmp(part->desc->fields[i].name, "value") == 0 &&
            strchr(types, part->desc->fields[i].type) != NULL)
            return fm_convert_field(c, &part->values[i], out);
    *known = false;
    return FM_OK;
}

static enum fm_code convert_integer(struct fm_convert *c, const struct fm_ser_node *node,
                                    const struct fm_ser_class *part, struct fm_value *out,
                                    bool *known)
{
    (void)node;
    return box(c, part, "BSIJ", out, known);
}

static enum fm_code convert_float(struct fm_convert *c, const struct fm_ser_node *node,
                                  const struct fm_ser_class *part, struct fm_value *out,
                                  bool *known)
{
    (void)node;
    return box(c, part, "FD", out, known);
}

static enum fm_code convert_bool(struct fm_convert *c, const struct fm_ser_node *node,
                                 const struct fm_ser_class *part, struct fm_value *out, bool *known)
{
    (void)node;
    FM_TRY(box(c, part, "ZI", out, known));
    if (*known && out->kind == FM_V_INT)
        *out = (struct fm_value){.kind = FM_V_BOOL, .b = out->i != 0};
    return FM_OK;
}

static enum fm_code convert_character(struct fm_convert *c, const struct fm_ser_node *node,
                                      const struct fm_ser_class *part, struct fm_value *out,
                                      bool *known)
{
    (void)node;
    return box(c, part, "C", out, known);
}

static enum fm_code convert_big_integer(struct fm_convert *c, const struct fm_ser_node *node,
                                        const struct fm_ser_class *part, struct fm_value *out,
                                        bool *known)
{
    (void)part;
    struct fm_buf buf;
    fm_buf_init(&buf, FM_CONVERT_MAX_VALUE);
    enum fm_code code = fm_big_integer(&buf, node);
    if (code == FM_ELIMIT)
        (void)fm_err_set(c->err, code, "a BigInteger of more than %d bytes", FM_CONVERT_MAX_BIG);
    return convert_buf(c, &buf, code, out, known);
}

static enum fm_code convert_big_decimal(struct fm_convert *c, const struct fm_ser_node *node,
                                        const struct fm_ser_class *part, struct fm_value *out,
                                        bool *known)
{
    (void)part;
    struct fm_buf buf;
    fm_buf_init(&buf, FM_CONVERT_MAX_VALUE);
    enum fm_code code = fm_big_decimal(&buf, node);
    if (code == FM_ELIMIT)
        (void)fm_err_set(c->err, code, "a BigDecimal of more than %d bytes", FM_CONVERT_MAX_BIG);
    return convert_buf(c, &buf, code, out, known);
}

/* Date: milliseconds in its annotation; Timestamp holds the fraction of the second apart. */
static enum fm_code convert_date(struct fm_convert *c, const struct fm_ser_node *node,
                                 const struct fm_ser_class *part, struct fm_value *out, bool *known)
{
    struct fm_ser_reader r;
    int64_t ms;
    fm_ser_reader_init(&r, &part->notes);
    if (!fm_ser_reader_i64(&r, &ms)) {
        *known = false;
        return FM_OK;
    }
    const struct fm_ser_value *nanos = fm_ser_field(node, "nanos");
    if (fm_ser_is_a(node, "java.sql.Timestamp") && nanos != NULL && nanos->type == 'I' &&
        nanos->i >= 0 && nanos->i < 1000000000 && ms < INT64_MAX - 1000)
        ms += nanos->i / 1000000;
    *out = (struct fm_value){.kind = FM_V_INT, .i = ms};
    return fm_convert_charge(c, digits(ms) + 1);
}

static enum fm_code string_field(struct fm_convert *c, const struct fm_ser_node *node,
                                 const char *field, struct fm_value *out, bool *known)
{
    const struct fm_ser_node *text = fm_ser_child(node, field);
    if (fm_ser_string(text) != NULL)
        return fm_convert_text(c, out, text->text.ptr, text->text.len);
    *known = false;
    return FM_OK;
}

static enum fm_code convert_uri(struct fm_convert *c, const struct fm_ser_node *node,
                                const struct fm_ser_class *part, struct fm_value *out, bool *known)
{
    (void)part;
    return string_field(c, node, "string", out, known);
}

static enum fm_code convert_file(struct fm_convert *c, const struct fm_ser_node *node,
                                 const struct fm_ser_class *part, struct fm_value *out, bool *known)
{
    (void)part;
    return string_field(c, node, "path", out, known);
}

static enum fm_code convert_url(struct fm_convert *c, const struct fm_ser_node *node,
                                const struct fm_ser_class *part, struct fm_value *out, bool *known)
{
    (void)part;
    const char *protocol = fm_ser_string(fm_ser_child(node, "protocol"));
    const char *authority = fm_ser_string(fm_ser_child(node, "authority"));
    const char *file = fm_ser_string(fm_ser_child(node, "file"));
    const char *ref = fm_ser_string(fm_ser_child(node, "ref"));
    struct fm_buf buf;
    fm_buf_init(&buf, FM_CONVERT_MAX_VALUE);
    fm_buf_printf(&buf, "%s:", protocol == NULL ? "" : protocol);
    if (authority != NULL && *authority != '\0')
        fm_buf_printf(&buf, "//%s", authority);
    fm_buf_puts(&buf, file == NULL ? "" : file);
    if (ref != NULL)
        fm_buf_printf(&buf, "#%s", ref);
    return convert_buf(c, &buf, protocol == NULL ? FM_EPROTO : FM_OK, out, known);
}

static enum fm_code convert_uuid(struct fm_convert *c, const struct fm_ser_node *node,
                                 const struct fm_ser_class *part, struct fm_value *out, bool *known)
{
    (void)part;
    const struct fm_ser_value *high = fm_ser_field(node, "mostSigBits");
    const struct fm_ser_value *low = fm_ser_field(node, "leastSigBits");
    if (high == NULL || low == NULL || high->type != 'J' || low->type != 'J') {
        *known = false;
        return FM_OK;
    }
    uint64_t h = (uint64_t)high->i;
    uint64_t l = (uint64_t)low->i;
    struct fm_buf buf;
    fm_buf_init(&buf, 64);
    fm_buf_printf(&buf, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(h >> 32),
                  (unsigned)(h >> 16 & 0xffff), (unsigned)(h & 0xffff), (unsigned)(l >> 48),
                  (unsigned long long)(l & 0xffffffffffff));
    return convert_buf(c, &buf, FM_OK, out, known);
}

/* A char[] with a count: the inside of StringBuilder and StringBuffer. */
static enum fm_code convert_chars(struct fm_convert *c, const struct fm_ser_node *array,
                                  int64_t count, struct fm_value *out, bool *known)
{
    if (array == NULL || array->kind != FM_SER_ARRAY || array->array.type != 'C' || count < 0) {
        *known = false;
        return FM_OK;
    }
    size_t n = (uint64_t)count < array->array.n ? (size_t)count : array->array.n;
    struct fm_buf utf;
    struct fm_buf buf;
    fm_buf_init(&utf, FM_CONVERT_MAX_VALUE);
    fm_buf_init(&buf, FM_CONVERT_MAX_VALUE);
    for (size_t i = 0; i < n; i++) { /* as three-byte forms, which are then joined and checked */
        int64_t unit = fm_ser_element(array, i).i;
        fm_buf_putc(&utf, (char)(0xe0 | (unit >> 12 & 15)));
        fm_buf_putc(&utf, (char)(0x80 | (unit >> 6 & 63)));
        fm_buf_putc(&utf, (char)(0x80 | (unit & 63)));
    }
    enum fm_code code = fm_buf_code(&utf, c->err);
    if (code == FM_OK && fm_buf_reserve(&buf, utf.len))
        buf.len = fm_mutf8_decode((const unsigned char *)utf.data, utf.len, buf.data);
    fm_buf_clear(&utf);
    return convert_buf(c, &buf, code, out, known);
}

static enum fm_code convert_builder(struct fm_convert *c, const struct fm_ser_node *node,
                                    const struct fm_ser_class *part, struct fm_value *out,
                                    bool *known)
{
    (void)node;
    struct fm_ser_reader r;
    int32_t count = -1;
    fm_ser_reader_init(&r, &part->notes);
    if (!fm_ser_reader_i32(&r, &count))
        count = -1;
    return convert_chars(c, fm_ser_reader_next(&r), count, out, known);
}

static enum fm_code convert_buffer(struct fm_convert *c, const struct fm_ser_node *node,
                                   const struct fm_ser_class *part, struct fm_value *out,
                                   bool *known)
{
    (void)part;
    const struct fm_ser_value *count = fm_ser_field(node, "count");
    return convert_chars(c, fm_ser_child(node, "value"),
                         count != NULL && count->type == 'I' ? count->i : -1, out, known);
}

/* ObjectName: its text in creation order; the canonical form is the identity. */
static enum fm_code convert_object_name(struct fm_convert *c, const struct fm_ser_node *node,
                                        const struct fm_ser_class *part, struct fm_value *out,
                                        bool *known)
{
    (void)node;
    struct fm_ser_reader r;
    fm_ser_reader_init(&r, &part->notes);
    const struct fm_ser_node *text = fm_ser_reader_next(&r);
    if (fm_ser_string(text) == NULL) {
        *known = false;
        return FM_OK;
    }
    struct fm_name name;
    if (memchr(text->text.ptr, '\0', text->text.len) != NULL ||
        fm_name_parse(&name, c->arena, text->text.ptr, NULL) != FM_OK)
        return fm_convert_text(c, out, text->text.ptr, text->text.len);
    size_t len = strlen(name.canonical);
    *out = (struct fm_value){.kind = FM_V_STRING, .text = {.ptr = name.canonical, .len = len}};
    return fm_convert_charge(c, len + 3);
}

static const struct {
    const char *class_name;
    fm_convert_fn *fn;
} scalars[] = {
    {"java.lang.Boolean", convert_bool},
    {"java.util.concurrent.atomic.AtomicBoolean", convert_bool},
    {"java.lang.Byte", convert_integer},
    {"java.lang.Short", convert_integer},
    {"java.lang.Integer", convert_integer},
    {"java.lang.Long", convert_integer},
    {"java.util.concurrent.atomic.AtomicInteger", convert_integer},
    {"java.util.concurrent.atomic.AtomicLong", convert_integer},
    {"java.util.concurrent.atomic.LongAdder$SerializationProxy", convert_integer},
    {"java.util.concurrent.atomic.LongAccumulator$SerializationProxy", convert_integer},
    {"java.util.concurrent.atomic.DoubleAdder$SerializationProxy", convert_float},
    {"java.util.concurrent.atomic.DoubleAccumulator$SerializationProxy", convert_float},
    {"java.lang.Float", convert_float},
    {"java.lang.Double", convert_float},
    {"java.lang.Character", convert_character},
    {"java.math.BigInteger", convert_big_integer},
    {"java.math.BigDecimal", convert_big_decimal},
    {"java.util.Date", convert_date},
    {"java.util.UUID", convert_uuid},
    {"java.net.URI", convert_uri},
    {"java.net.URL", convert_url},
    {"java.io.File", convert_file},
    {"java.lang.StringBuilder", convert_builder},
    {"java.lang.StringBuffer", convert_buffer},
    {"javax.management.ObjectName", convert_object_name},
};

static fm_convert_fn *find(const char *class_name)
{
    for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++)
        if (strcmp(scalars[i].class_name, class_name) == 0)
            return scalars[i].fn;
    return fm_convert_collection(class_name);
}

/* ---- nodes ---- */

static enum fm_code convert_object(struct fm_convert *c, const struct fm_ser_node *node,
                                   struct fm_value *out)
{
    for (size_t i = node->object.n; i > 0; i--) {
        fm_convert_fn *fn = find(node->object.classes[i - 1].desc->name);
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
