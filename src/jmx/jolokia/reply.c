#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "jmx/jolokia/jolokia_priv.h"

static void copy_text(const struct fm_jscan *s, char *out, size_t size)
{
    struct fm_buf text;
    fm_buf_init(&text, 0);
    fm_jscan_string(s, &text);
    (void)snprintf(out, size, "%s", fm_buf_str(&text));
    fm_utf8_cut(out);
    fm_buf_clear(&text);
}

/* Where the value that begins with the token just read begins in the text. */
static const char *begin_of(const struct fm_jscan *s, enum fm_jtoken token)
{
    switch (token) {
    case FM_J_STRING:
        return s->text - 1;
    case FM_J_NUMBER:
        return s->text;
    case FM_J_TRUE:
    case FM_J_NULL:
        return s->data + s->at - 4;
    case FM_J_FALSE:
        return s->data + s->at - 5;
    default:
        return s->data + s->at - 1;
    }
}

/* Step over a value and give its text. */
static bool take_json(struct fm_jscan *s, const char **out, size_t *len)
{
    enum fm_jtoken token = fm_jscan_next(s);
    *out = begin_of(s, token);
    if (!fm_jscan_skip(s, token))
        return false;
    *len = (size_t)(s->data + s->at - *out);
    return true;
}

bool fm_jolokia_reply_read(struct fm_jolokia_reply *out, struct fm_jscan *s, enum fm_jtoken token)
{
    *out = (struct fm_jolokia_reply){0};
    if (token != FM_J_OBJECT)
        return false;
    while ((token = fm_jscan_next(s)) == FM_J_KEY) {
        if (fm_jscan_is(s, "value")) {
            if (!take_json(s, &out->value, &out->value_len))
                return false;
            continue;
        }
        bool status = fm_jscan_is(s, "status"), error = fm_jscan_is(s, "error");
        bool type = fm_jscan_is(s, "error_type");
        token = fm_jscan_next(s);
        if (status && token == FM_J_NUMBER && !fm_jscan_i64(s, &out->status))
            return false;
        if (error && token == FM_J_STRING)
            copy_text(s, out->error, sizeof out->error);
        if (type && token == FM_J_STRING)
            copy_text(s, out->error_type, sizeof out->error_type);
        if (!fm_jscan_skip(s, token))
            return false;
    }
    return token == FM_J_OBJECT_END;
}

enum fm_code fm_jolokia_reply_error(const struct fm_jolokia_reply *reply, struct fm_err *err)
{
    const char *text = reply->error[0] != '\0' ? reply->error : "no reason given";
    enum fm_code code = FM_EREMOTE;
    if (reply->status == 403)
        return fm_err_set(err, FM_EPERM, "the agent's policy does not allow it: %.150s", text);
    if (strstr(reply->error_type, "NotFoundException") != NULL || reply->status == 404)
        code = FM_ENOTFOUND;
    if (reply->status == 0)
        code = FM_EPROTO;
    return fm_err_set(err, code, "%s", text);
}

/* ---- names ---- */

static int compare_values(const void *a, const void *b)
{
    return strcmp(((const struct fm_value *)a)->text.ptr, ((const struct fm_value *)b)->text.ptr);
}

static enum fm_code no_room(const struct fm_arena *arena, struct fm_err *err)
{
    if (arena->over_limit)
        return fm_err_set(err, FM_ELIMIT, "the answer needs more memory than allowed");
    return fm_err_nomem(err);
}

/* Names in canonical form, sorted; what is no name is left out. */
static enum fm_code take_names(struct fm_value *out, struct fm_arena *arena, struct fm_err *err)
{
    struct fm_arena scratch;
    size_t n = 0;
    if (out->kind != FM_V_ARRAY)
        return fm_err_set(err, FM_EPROTO, "the agent's answer to search is no array");
    fm_arena_init(&scratch, 0);
    enum fm_code code = FM_OK;
    for (size_t i = 0; i < out->array.n && code == FM_OK; i++) {
        struct fm_value *item = &out->array.items[i];
        struct fm_name name;
        fm_arena_reset(&scratch);
        if (item->kind != FM_V_STRING || strlen(item->text.ptr) != item->text.len ||
            fm_name_parse(&name, &scratch, item->text.ptr, NULL) != FM_OK)
            continue;
        if (!fm_value_set_text(&out->array.items[n++], arena, FM_V_STRING, name.canonical,
                               strlen(name.canonical)))
            code = no_room(arena, err);
    }
    fm_arena_clear(&scratch);
    out->array.n = n;
    if (n > 1)
        qsort(out->array.items, n, sizeof *out->array.items, compare_values);
    return code;
}

/* ---- list of one bean ---- */

static struct fm_member text_member(const char *key, const struct fm_value *text)
{
    struct fm_member m = {.key = {key, strlen(key)}, .value = {.kind = FM_V_STRING}};
    m.value.text = (struct fm_text){"", 0};
    if (text != NULL && text->kind == FM_V_STRING)
        m.value = *text;
    return m;
}

static bool put_attribute(struct fm_value *out, const struct fm_member *attr,
                          struct fm_arena *arena)
{
    const struct fm_value *rw = fm_value_member(&attr->value, "rw", 2);
    bool writable = rw != NULL && rw->kind == FM_V_BOOL && rw->b;
    struct fm_member *m = fm_arena_array(arena, 4, sizeof *m);
    if (m == NULL)
        return false;
    m[0] = text_member("name", NULL);
    m[0].value.text = attr->key;
    m[1] = text_member("type", fm_value_member(&attr->value, "type", 4));
    m[2] = (struct fm_member){{"readable", 8}, {.kind = FM_V_BOOL, .b = true}};
    m[3] = (struct fm_member){{"writable", 8}, {.kind = FM_V_BOOL, .b = writable}};
    *out = (struct fm_value){.kind = FM_V_OBJECT, .object = {m, 4}};
    return true;
}

enum fm_code fm_jolokia_info(struct fm_value *out, const struct fm_jolokia_reply *reply,
                             struct fm_arena *arena, struct fm_err *err)
{
    struct fm_value raw;
    FM_TRY(fm_jolokia_value(&raw, arena, reply->value, reply->value_len, FM_MEND_NONE, err));
    if (raw.kind != FM_V_OBJECT)
        return fm_err_set(err, FM_EPROTO, "the agent's answer to list is no object");
    const struct fm_value *attrs = fm_value_member(&raw, "attr", 4);
    size_t n = attrs != NULL && attrs->kind == FM_V_OBJECT ? attrs->object.n : 0;
    struct fm_value *items = fm_arena_array(arena, n + 1, sizeof *items);
    struct fm_member *top = fm_arena_array(arena, 2, sizeof *top);
    bool ok = items != NULL && top != NULL;
    for (size_t i = 0; ok && i < n; i++)
        ok = put_attribute(&items[i], &attrs->object.members[i], arena);
    if (!ok)
        return no_room(arena, err);
    top[0] = text_member("class", fm_value_member(&raw, "class", 5));
    top[1] = (struct fm_member){{"attributes", 10}, {.kind = FM_V_ARRAY, .array = {items, n}}};
    *out = (struct fm_value){.kind = FM_V_OBJECT, .object = {top, 2}};
    return FM_OK;
}

/* ---- read ---- */

static const char *asked_as(const struct fm_jmx_call *call, const struct fm_jscan *s, size_t *hint)
{
    for (size_t i = 0; i < call->n_attributes; i++) {
        size_t at = (*hint + i) % call->n_attributes;
        if (fm_jscan_is(s, call->attributes[at])) {
            *hint = at + 1;
            return call->attributes[at];
        }
    }
    return NULL;
}

/* Attribute -> value. An attribute whose value cannot be taken is absent. */
static enum fm_code take_read(struct fm_jmx_call *call, const struct fm_jolokia_reply *reply,
                              const struct fm_jolokia_bean *bean, struct fm_arena *arena,
                              size_t max_value)
{
    struct fm_jscan s;
    size_t hint = 0, n = 0;
    fm_jscan_init(&s, reply->value, reply->value_len);
    struct fm_member *members = fm_arena_array(arena, call->n_attributes + 1, sizeof *members);
    if (members == NULL)
        return no_room(arena, &call->err);
    if (fm_jscan_next(&s) != FM_J_OBJECT)
        return fm_err_set(&call->err, FM_EPROTO, "the agent's answer to read is no object");
    while (fm_jscan_next(&s) == FM_J_KEY) {
        const char *name = asked_as(call, &s, &hint);
        const char *json = NULL;
        size_t len = 0;
        struct fm_value value;
        struct fm_err why = {0};
        if (!take_json(&s, &json, &len))
            return fm_err_set(&call->err, FM_EPROTO, "the agent's answer is not valid JSON");
        bool again = false;
        for (size_t i = 0; name != NULL && i < n && !again; i++)
            again = strcmp(members[i].key.ptr, name) == 0;
        if (name == NULL || again || len > max_value)
            continue;
        enum fm_code code =
            fm_jolokia_value(&value, arena, json, len, fm_jolokia_types_mend(bean, name), &why);
        if (code == FM_ELIMIT || code == FM_ENOMEM) {
            call->err = why;
            return code;
        }
        if (code != FM_OK || n == call->n_attributes)
            continue;
        const char *key = fm_arena_strndup(arena, name, strlen(name)); /* outlives the call */
        if (key == NULL)
            return no_room(arena, &call->err);
        members[n++] = (struct fm_member){{key, strlen(key)}, value};
    }
    call->value = (struct fm_value){.kind = FM_V_OBJECT, .object = {members, n}};
    return FM_OK;
}

static enum fm_code take_reason(struct fm_jmx_call *call, const struct fm_jolokia_reply *reply,
                                const struct fm_jolokia_bean *bean, struct fm_arena *arena,
                                size_t max_value)
{
    if (reply->value_len > max_value)
        return fm_err_set(&call->err, FM_ELIMIT, "the value is larger than %zu bytes", max_value);
    return fm_jolokia_value(&call->value, arena, reply->value, reply->value_len,
                            fm_jolokia_types_mend(bean, call->attributes[0]), &call->err);
}

/* One attribute that fails is absent, as it is among others. */
static bool only_the_attribute_failed(const struct fm_jmx_call *call,
                                      const struct fm_jolokia_reply *reply)
{
    return call->op == FM_JMX_READ && call->n_attributes == 1 && reply->status != 403 &&
           reply->status != 0 && strstr(reply->error_type, "InstanceNotFound") == NULL;
}

void fm_jolokia_reply_take(struct fm_jmx_call *call, const struct fm_jolokia_reply *reply,
                           const struct fm_jolokia_bean *bean, struct fm_arena *arena,
                           size_t max_value)
{
    if (max_value == 0)
        max_value = FM_JOLOKIA_MAX_VALUE;
    call->bytes = reply->value_len;
    if (reply->status != 200 || reply->value == NULL) {
        call->code = fm_jolokia_reply_error(reply, &call->err);
        if (only_the_attribute_failed(call, reply)) {
            call->code = FM_OK;
            fm_err_clear(&call->err);
            call->value = (struct fm_value){.kind = FM_V_OBJECT};
        }
        return;
    }
    switch (call->op) {
    case FM_JMX_NAMES:
        call->code = fm_jolokia_value(&call->value, arena, reply->value, reply->value_len,
                                      FM_MEND_NONE, &call->err);
        if (call->code == FM_OK)
            call->code = take_names(&call->value, arena, &call->err);
        break;
    case FM_JMX_INFO:
        call->code = fm_jolokia_info(&call->value, reply, arena, &call->err);
        break;
    case FM_JMX_READ:
        call->code = take_read(call, reply, bean, arena, max_value);
        break;
    case FM_JMX_REASON:
        call->code = take_reason(call, reply, bean, arena, max_value);
        break;
    }
    if (call->code != FM_OK)
        call->value = (struct fm_value){.kind = FM_V_NULL};
}
