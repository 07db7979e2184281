/* Java classes that hold one value: boxes, numbers, dates, names and texts. */
#include <string.h>

#include "jmx/rmi/convert_priv.h"
#include "value/name.h"

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
    return fm_convert_field(c, &(struct fm_ser_value){.type = 'J', .i = ms}, out);
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
        unsigned char form[3];
        fm_mutf8_unit(form, fm_ser_element(array, i).i);
        fm_buf_put(&utf, (const char *)form, sizeof form);
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

fm_convert_fn *fm_convert_scalar(const char *class_name)
{
    for (size_t i = 0; i < sizeof scalars / sizeof scalars[0]; i++)
        if (strcmp(scalars[i].class_name, class_name) == 0)
            return scalars[i].fn;
    return NULL;
}
