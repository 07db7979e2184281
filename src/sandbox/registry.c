#include "sandbox/registry_priv.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "frame/frame.h"

enum { SCHEMAS_MAX = 1000, TEXT_MAX = 1024 * 1024, DEPTH = 32 };

struct schema {
    uint32_t id;
    enum fm_registry_kind kind;
    json_t *tree;
};

struct fm_registry {
    pthread_mutex_t lock; /* protects all; a leaf */
    struct schema list[SCHEMAS_MAX];
    size_t n;
};

enum fm_code fm_registry_new(struct fm_registry **out, struct fm_err *err)
{
    struct fm_registry *r = calloc(1, sizeof *r);
    if (r == NULL)
        return fm_err_nomem(err);
    (void)pthread_mutex_init(&r->lock, NULL);
    *out = r;
    return FM_OK;
}

void fm_registry_free(struct fm_registry *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->n; i++)
        json_decref(r->list[i].tree);
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

static const struct schema *find(const struct fm_registry *r, uint32_t id)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->list[i].id == id)
            return &r->list[i];
    return NULL;
}

static enum fm_code add_locked(struct fm_registry *r, enum fm_registry_kind kind, json_t *tree,
                               uint32_t id, struct fm_err *err)
{
    if (find(r, id) != NULL)
        return FM_OK;
    if (r->n == SCHEMAS_MAX)
        return fm_err_set(err, FM_ELIMIT, "the registry is full");
    r->list[r->n++] = (struct schema){.id = id, .kind = kind, .tree = json_incref(tree)};
    return FM_OK;
}

enum fm_code fm_registry_add(struct fm_registry *r, enum fm_registry_kind kind, const char *text,
                             size_t len, uint32_t *id, struct fm_err *err)
{
    json_t *tree = len <= TEXT_MAX ? json_loadb(text, len, JSON_DECODE_ANY, NULL) : NULL;
    enum fm_code code = FM_OK;
    if (tree == NULL)
        return fm_err_set(err, FM_ECONF, "the schema is no JSON");
    if (kind == FM_REGISTRY_AVRO)
        code = fm_avro_check(tree, 0, err);
    else if (!json_is_object(tree) && !json_is_boolean(tree))
        code = fm_err_set(err, FM_ECONF, "a JSON Schema is an object");
    *id = (fm_crc32c((uint32_t)kind, text, len) & 0x3fffffff) | 1;
    (void)pthread_mutex_lock(&r->lock);
    if (code == FM_OK)
        code = add_locked(r, kind, tree, *id, err);
    (void)pthread_mutex_unlock(&r->lock);
    json_decref(tree);
    return code;
}

bool fm_registry_kind(struct fm_registry *r, uint32_t id, enum fm_registry_kind *out)
{
    (void)pthread_mutex_lock(&r->lock);
    const struct schema *s = find(r, id);
    if (s != NULL)
        *out = s->kind;
    (void)pthread_mutex_unlock(&r->lock);
    return s != NULL;
}

/* ---- JSON Schema: type, properties, required, additionalProperties, items, enum ---- */

static bool has_type(const char *type, const json_t *value)
{
    return (strcmp(type, "null") == 0 && json_is_null(value)) ||
           (strcmp(type, "boolean") == 0 && json_is_boolean(value)) ||
           (strcmp(type, "integer") == 0 && json_is_integer(value)) ||
           (strcmp(type, "number") == 0 && json_is_number(value)) ||
           (strcmp(type, "string") == 0 && json_is_string(value)) ||
           (strcmp(type, "array") == 0 && json_is_array(value)) ||
           (strcmp(type, "object") == 0 && json_is_object(value));
}

static bool fits_type(const json_t *type, const json_t *value)
{
    size_t i;
    const json_t *item;
    if (json_is_string(type))
        return has_type(json_string_value(type), value);
    json_array_foreach (type, i, item)
        if (json_is_string(item) && has_type(json_string_value(item), value))
            return true;
    return type == NULL;
}

static enum fm_code fits(const json_t *schema, const json_t *value, unsigned depth,
                         struct fm_err *err);

static enum fm_code fits_object(const json_t *schema, const json_t *value, unsigned depth,
                                struct fm_err *err)
{
    const json_t *properties = json_object_get(schema, "properties"), *item;
    const json_t *rest = json_object_get(schema, "additionalProperties");
    size_t i;
    json_array_foreach (json_object_get(schema, "required"), i, item)
        if (json_object_get(value, json_string_value(item)) == NULL)
            return fm_err_set(err, FM_EPROTO, "required key [%.60s] not found",
                              json_string_value(item));
    /* jansson's iterator wants its object without const */
    json_t *object = (json_t *)(uintptr_t)value;
    for (void *it = json_object_iter(object); it != NULL; it = json_object_iter_next(object, it)) {
        const char *key = json_object_iter_key(it);
        const json_t *own = json_object_get(properties, key);
        if (own == NULL && json_is_false(rest))
            return fm_err_set(err, FM_EPROTO, "extraneous key [%.60s] is not permitted", key);
        enum fm_code code =
            fits(own != NULL ? own : rest, json_object_iter_value(it), depth + 1, err);
        if (code != FM_OK) {
            (void)fm_err_context(err, "%.60s", key);
            return code;
        }
    }
    return FM_OK;
}

static enum fm_code fits(const json_t *schema, const json_t *value, unsigned depth,
                         struct fm_err *err)
{
    size_t i;
    const json_t *item;
    if (depth > DEPTH)
        return fm_err_set(err, FM_EPROTO, "nested too deeply");
    if (!json_is_object(schema))
        return json_is_false(schema) ? fm_err_set(err, FM_EPROTO, "nothing fits here") : FM_OK;
    if (!fits_type(json_object_get(schema, "type"), value))
        return fm_err_set(err, FM_EPROTO, "expected another type");
    if (json_is_object(value))
        return fits_object(schema, value, depth, err);
    json_array_foreach (value, i, item)
        FM_TRY(fits(json_object_get(schema, "items"), item, depth + 1, err));
    return FM_OK;
}

/* ---- values ---- */

static enum fm_code encode(const struct schema *s, const json_t *value, const char *json,
                           size_t len, struct fm_buf *out, struct fm_err *err)
{
    const unsigned char prefix[] = {0, (unsigned char)(s->id >> 24), (unsigned char)(s->id >> 16),
                                    (unsigned char)(s->id >> 8), (unsigned char)s->id};
    fm_buf_put(out, prefix, sizeof prefix);
    if (s->kind == FM_REGISTRY_AVRO)
        return fm_avro_put(s->tree, value, out, 0, err);
    FM_TRY(fits(s->tree, value, 0, err));
    fm_buf_put(out, json, len);
    return FM_OK;
}

enum fm_code fm_registry_encode(struct fm_registry *r, uint32_t id, const char *json, size_t len,
                                struct fm_buf *out, struct fm_err *err)
{
    size_t before = out->len;
    json_t *value = json_loadb(json, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (value == NULL)
        return fm_err_set(err, FM_EPROTO, "the value cannot be read");
    (void)pthread_mutex_lock(&r->lock);
    const struct schema *s = find(r, id);
    enum fm_code code = s == NULL ? fm_err_set(err, FM_ENOTFOUND, "Schema %u not found", id)
                                  : encode(s, value, json, len, out, err);
    (void)pthread_mutex_unlock(&r->lock);
    json_decref(value);
    if (code == FM_OK)
        code = fm_buf_code(out, err);
    if (code != FM_OK)
        fm_buf_truncate(out, before);
    return code;
}
