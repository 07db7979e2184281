/* Avro: from the JSON encoding of a value to its binary encoding, led by the schema. Named types
 * can be used only where they are defined. */
#include <jansson.h>
#include <string.h>

#include "sandbox/registry_priv.h"

enum { DEPTH = 32 };

static const char *const primitives[] = {"null",  "boolean", "int",   "long",
                                         "float", "double",  "bytes", "string"};

static const char *type_name(const json_t *schema)
{
    if (json_is_array(schema))
        return "union";
    const json_t *type = json_is_object(schema) ? json_object_get(schema, "type") : schema;
    return json_is_string(type) ? json_string_value(type) : "";
}

/* {"type":{"type":...}} and {"type":[...]} stand for what lies inside. */
static const json_t *inner(const json_t *schema)
{
    const json_t *type = json_object_get(schema, "type");
    return json_is_object(type) || json_is_array(type) ? type : schema;
}

static bool is_primitive(const char *name)
{
    for (size_t i = 0; i < sizeof primitives / sizeof *primitives; i++)
        if (strcmp(name, primitives[i]) == 0)
            return true;
    return false;
}

static enum fm_code check_list(const json_t *list, const char *member, unsigned depth,
                               struct fm_err *err)
{
    size_t i;
    const json_t *item;
    if (!json_is_array(list) || json_array_size(list) == 0)
        return fm_err_set(err, FM_ECONF, "a list of types or fields is missing or empty");
    json_array_foreach (list, i, item) {
        if (member != NULL && !json_is_string(json_object_get(item, "name")))
            return fm_err_set(err, FM_ECONF, "a field has no name");
        FM_TRY(fm_avro_check(member != NULL ? json_object_get(item, member) : item, depth, err));
    }
    return FM_OK;
}

enum fm_code fm_avro_check(const void *tree, unsigned depth, struct fm_err *err)
{
    const json_t *schema = tree;
    if (schema == NULL || depth > DEPTH)
        return fm_err_set(err, FM_ECONF, "a type is missing or nested too deeply");
    schema = inner(schema);
    const char *name = type_name(schema);
    if (strcmp(name, "union") == 0)
        return check_list(schema, NULL, depth + 1, err);
    if (strcmp(name, "record") == 0)
        return check_list(json_object_get(schema, "fields"), "type", depth + 1, err);
    if (strcmp(name, "map") == 0)
        return fm_avro_check(json_object_get(schema, "values"), depth + 1, err);
    if (strcmp(name, "array") == 0)
        return fm_avro_check(json_object_get(schema, "items"), depth + 1, err);
    if (strcmp(name, "enum") == 0)
        return json_is_array(json_object_get(schema, "symbols"))
                   ? FM_OK
                   : fm_err_set(err, FM_ECONF, "an enum has no symbols");
    return is_primitive(name) ? FM_OK
                              : fm_err_set(err, FM_ECONF, "the type %.60s is not known", name);
}

static void put_long(struct fm_buf *out, int64_t v)
{
    uint64_t raw = ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
    while (raw > 0x7f) {
        fm_buf_putc(out, (char)(raw | 0x80));
        raw >>= 7;
    }
    fm_buf_putc(out, (char)raw);
}

static void put_bytes(struct fm_buf *out, const char *data, size_t len)
{
    put_long(out, (int64_t)len);
    fm_buf_put(out, data, len);
}

static enum fm_code misfit(const char *wanted, struct fm_err *err)
{
    return fm_err_set(err, FM_EPROTO, "Expected %.60s. Got another value", wanted);
}

static enum fm_code put_primitive(const char *name, const json_t *value, struct fm_buf *out,
                                  struct fm_err *err)
{
    bool whole = strcmp(name, "long") == 0 || strcmp(name, "int") == 0;
    if (strcmp(name, "null") == 0 && json_is_null(value))
        return FM_OK;
    if (strcmp(name, "boolean") == 0 && json_is_boolean(value)) {
        fm_buf_putc(out, json_is_true(value) ? 1 : 0);
    } else if (whole && json_is_integer(value)) {
        if (name[0] == 'i' && json_integer_value(value) != (int32_t)json_integer_value(value))
            return misfit(name, err);
        put_long(out, json_integer_value(value));
    } else if (strcmp(name, "double") == 0 && json_is_number(value)) {
        double v = json_number_value(value);
        fm_buf_put(out, &v, sizeof v); /* little-endian, as this machine is */
    } else if (strcmp(name, "float") == 0 && json_is_number(value)) {
        float v = (float)json_number_value(value);
        fm_buf_put(out, &v, sizeof v);
    } else if ((strcmp(name, "string") == 0 || strcmp(name, "bytes") == 0) &&
               json_is_string(value)) {
        put_bytes(out, json_string_value(value), json_string_length(value));
    } else {
        return misfit(name, err);
    }
    return FM_OK;
}

static enum fm_code put_record(const json_t *schema, const json_t *value, struct fm_buf *out,
                               unsigned depth, struct fm_err *err)
{
    const json_t *fields = json_object_get(schema, "fields"), *field;
    size_t i;
    if (!json_is_object(value))
        return misfit("record-start", err);
    json_array_foreach (fields, i, field) {
        const char *name = json_string_value(json_object_get(field, "name"));
        const json_t *member = json_object_get(value, name);
        if (member == NULL)
            return fm_err_set(err, FM_EPROTO, "Expected field name not found: %.80s", name);
        enum fm_code code =
            fm_avro_put(json_object_get(field, "type"), member, out, depth + 1, err);
        if (code != FM_OK) {
            (void)fm_err_context(err, "%.60s", name);
            return code;
        }
    }
    return FM_OK;
}

static enum fm_code put_map(const json_t *schema, const json_t *value, struct fm_buf *out,
                            unsigned depth, struct fm_err *err)
{
    const char *key;
    size_t len;
    json_t *member;
    if (!json_is_object(value))
        return misfit("map-start", err);
    if (json_object_size(value) > 0)
        put_long(out, (int64_t)json_object_size(value));
    /* jansson's loop wants its object without const */
    for (void *i = json_object_iter((json_t *)(uintptr_t)value); i != NULL;
         i = json_object_iter_next((json_t *)(uintptr_t)value, i)) {
        key = json_object_iter_key(i);
        len = strlen(key);
        member = json_object_iter_value(i);
        put_bytes(out, key, len);
        FM_TRY(fm_avro_put(json_object_get(schema, "values"), member, out, depth + 1, err));
    }
    put_long(out, 0);
    return FM_OK;
}

static enum fm_code put_array(const json_t *schema, const json_t *value, struct fm_buf *out,
                              unsigned depth, struct fm_err *err)
{
    size_t i;
    const json_t *item;
    if (!json_is_array(value))
        return misfit("array-start", err);
    if (json_array_size(value) > 0)
        put_long(out, (int64_t)json_array_size(value));
    json_array_foreach (value, i, item)
        FM_TRY(fm_avro_put(json_object_get(schema, "items"), item, out, depth + 1, err));
    put_long(out, 0);
    return FM_OK;
}

/* null stands alone, everything else is wrapped in an object of its type's name. */
static enum fm_code put_union(const json_t *schema, const json_t *value, struct fm_buf *out,
                              unsigned depth, struct fm_err *err)
{
    size_t i;
    const json_t *branch;
    json_array_foreach (schema, i, branch) {
        const char *name = type_name(inner(branch));
        const json_t *own = json_object_get(branch, "name");
        if (json_is_string(own))
            name = json_string_value(own);
        bool null = strcmp(name, "null") == 0;
        const json_t *member = null ? value : json_object_get(value, name);
        if (member == NULL || null != json_is_null(value) ||
            (!null && json_object_size(value) != 1))
            continue;
        put_long(out, (int64_t)i);
        return fm_avro_put(branch, member, out, depth + 1, err);
    }
    return fm_err_set(err, FM_EPROTO, "Unknown union branch");
}

static enum fm_code put_enum(const json_t *schema, const json_t *value, struct fm_buf *out,
                             struct fm_err *err)
{
    size_t i;
    const json_t *symbol;
    json_array_foreach (json_object_get(schema, "symbols"), i, symbol)
        if (json_equal(symbol, value)) {
            put_long(out, (int64_t)i);
            return FM_OK;
        }
    return misfit("a symbol of the enum", err);
}

enum fm_code fm_avro_put(const void *schema_tree, const void *value_tree, struct fm_buf *out,
                         unsigned depth, struct fm_err *err)
{
    const json_t *schema = inner(schema_tree), *value = value_tree;
    const char *name = type_name(schema);
    if (depth > DEPTH)
        return fm_err_set(err, FM_EPROTO, "nested too deeply");
    if (strcmp(name, "union") == 0)
        return put_union(schema, value, out, depth, err);
    if (strcmp(name, "record") == 0)
        return put_record(schema, value, out, depth, err);
    if (strcmp(name, "map") == 0)
        return put_map(schema, value, out, depth, err);
    if (strcmp(name, "array") == 0)
        return put_array(schema, value, out, depth, err);
    if (strcmp(name, "enum") == 0)
        return put_enum(schema, value, out, err);
    return put_primitive(name, value, out, err);
}
