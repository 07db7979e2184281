#include "value/value.h"

#include <string.h>

/* One open array or object while printing. */
struct level {
    const struct fm_value *value;
    size_t next;
};

static void print_scalar(struct fm_buf *buf, const struct fm_value *v,
                         enum fm_json_nonfinite nonfinite)
{
    switch (v->kind) {
    case FM_V_BOOL:
        fm_json_bool(buf, v->b);
        return;
    case FM_V_INT:
        fm_buf_i64(buf, v->i);
        return;
    case FM_V_FLOAT:
        fm_json_float(buf, v->f, nonfinite);
        return;
    case FM_V_DOUBLE:
        fm_json_double(buf, v->d, nonfinite);
        return;
    case FM_V_NUMBER:
        fm_buf_put(buf, v->text.ptr, v->text.len);
        return;
    case FM_V_STRING:
        fm_json_str(buf, v->text.ptr, v->text.len);
        return;
    case FM_V_BYTES:
        fm_json_base64(buf, v->text.ptr, v->text.len);
        return;
    case FM_V_NULL:
    case FM_V_ARRAY: /* too deep to be printed */
    case FM_V_OBJECT:
        break;
    }
    fm_buf_put(buf, "null", 4);
}

static bool is_container(const struct fm_value *v)
{
    return v->kind == FM_V_ARRAY || v->kind == FM_V_OBJECT;
}

/* Print the comma, key and so on of the next element; NULL when the level is done. */
static const struct fm_value *next_element(struct fm_buf *buf, struct level *level)
{
    const struct fm_value *v = level->value;
    size_t n = v->kind == FM_V_ARRAY ? v->array.n : v->object.n;
    if (level->next == n) {
        fm_buf_putc(buf, v->kind == FM_V_ARRAY ? ']' : '}');
        return NULL;
    }
    size_t i = level->next++;
    if (i > 0)
        fm_buf_putc(buf, ',');
    if (v->kind == FM_V_ARRAY)
        return &v->array.items[i];
    const struct fm_member *m = &v->object.members[i];
    fm_json_str(buf, m->key.ptr, m->key.len);
    fm_buf_putc(buf, ':');
    return &m->value;
}

void fm_value_print(struct fm_buf *buf, const struct fm_value *value,
                    enum fm_json_nonfinite nonfinite)
{
    struct level stack[FM_VALUE_DEPTH];
    size_t depth = 0;
    const struct fm_value *v = value;
    for (;;) {
        if (is_container(v) && depth < FM_VALUE_DEPTH) {
            fm_buf_putc(buf, v->kind == FM_V_ARRAY ? '[' : '{');
            stack[depth++] = (struct level){.value = v, .next = 0};
        } else {
            print_scalar(buf, v, nonfinite);
        }
        for (v = NULL; depth > 0 && v == NULL; depth -= v == NULL)
            v = next_element(buf, &stack[depth - 1]);
        if (v == NULL || buf->failed)
            return;
    }
}

const struct fm_value *fm_value_member(const struct fm_value *value, const char *key, size_t len)
{
    if (value->kind != FM_V_OBJECT)
        return NULL;
    for (size_t i = 0; i < value->object.n; i++) {
        const struct fm_member *m = &value->object.members[i];
        if (m->key.len == len && (len == 0 || memcmp(m->key.ptr, key, len) == 0))
            return &m->value;
    }
    return NULL;
}

/* The length of the first component of a path, as written. */
static size_t component_length(const char *path)
{
    size_t n = 0;
    while (path[n] != '\0' && path[n] != '/')
        n += path[n] == '\\' && path[n + 1] != '\0' ? 2 : 1;
    return n;
}

/* Whether the component, its escapes undone, is this key. */
static bool component_is(const char *component, size_t n, const struct fm_text *key)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (component[i] == '\\' && i + 1 < n)
            i++;
        if (at == key->len || key->ptr[at++] != component[i])
            return false;
    }
    return at == key->len;
}

static const struct fm_value *array_step(const struct fm_value *v, const char *component, size_t n)
{
    size_t index = 0;
    if (n == 0 || n > 9)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (component[i] < '0' || component[i] > '9')
            return NULL;
        index = index * 10 + (size_t)(component[i] - '0');
    }
    return index < v->array.n ? &v->array.items[index] : NULL;
}

static const struct fm_value *object_step(const struct fm_value *v, const char *component, size_t n)
{
    for (size_t i = 0; i < v->object.n; i++)
        if (component_is(component, n, &v->object.members[i].key))
            return &v->object.members[i].value;
    return NULL;
}

const struct fm_value *fm_value_path(const struct fm_value *value, const char *path)
{
    const struct fm_value *v = value;
    if (*path == '\0')
        return v;
    for (;;) {
        size_t n = component_length(path);
        if (v->kind == FM_V_OBJECT)
            v = object_step(v, path, n);
        else if (v->kind == FM_V_ARRAY)
            v = array_step(v, path, n);
        else
            v = NULL;
        if (v == NULL || path[n] == '\0')
            return v;
        path += n + 1;
    }
}

void fm_value_put_step(struct fm_buf *path, const char *key, size_t len)
{
    if (path->len > 0)
        fm_buf_putc(path, '/');
    for (size_t i = 0; i < len; i++) {
        if (key[i] == '/' || key[i] == '\\')
            fm_buf_putc(path, '\\');
        fm_buf_putc(path, key[i]);
    }
}

bool fm_value_set_text(struct fm_value *out, struct fm_arena *arena, enum fm_value_kind kind,
                       const char *text, size_t len)
{
    char *copy = fm_arena_strndup(arena, text, len);
    if (copy == NULL)
        return false;
    *out = (struct fm_value){.kind = kind, .text = {.ptr = copy, .len = len}};
    return true;
}
