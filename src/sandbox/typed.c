/* Requests in the formats avro and jsonschema: the schemas that they name, and their values as they
 * lie in Kafka. Codes and texts: rest-proxy.md 1.4 and 2.3. */
#include <stdio.h>
#include <string.h>

#include "sandbox/v2_priv.h"

/* One side of a request (v2) or of a record (v3). @return 0, or an error code with its text */
static int resolve(struct fm_registry *registry, enum fm_registry_kind kind,
                   const struct fm_schema_ref *ref, const char *text, size_t len, uint32_t *id,
                   struct fm_err *why)
{
    if (ref->id != 0 && len > 0) {
        (void)fm_err_set(why, FM_EPROTO, "Internal Server Error");
        return 500;
    }
    if (ref->id != 0) {
        enum fm_registry_kind known;
        *id = ref->id;
        if (fm_registry_kind(registry, ref->id, &known))
            return 0;
        (void)fm_err_set(why, FM_ENOTFOUND,
                         "Error serializing message. Error when fetching schema by id. schemaId = "
                         "%u Schema %u not found; error code: 40403",
                         (unsigned)ref->id, (unsigned)ref->id);
        return 42207;
    }
    enum fm_code code = fm_registry_add(registry, kind, text, len, id, why);
    if (code == FM_OK)
        return 0;
    (void)fm_err_context(why, "Invalid schema");
    return code == FM_ECONF ? 42205 : 42207;
}

int fm_typed_resolve(struct fm_registry *registry, enum fm_registry_kind kind,
                     const struct fm_schema_ref *ref, uint32_t *id, struct fm_err *why)
{
    struct fm_buf text;
    fm_buf_init(&text, 0);
    if (ref->text != NULL) { /* still escaped */
        struct fm_jscan s = {.data = ref->text, .text = ref->text, .text_len = ref->text_len};
        fm_jscan_string(&s, &text);
    }
    int code = resolve(registry, kind, ref, fm_buf_str(&text), text.len, id, why);
    fm_buf_clear(&text);
    return code;
}

int fm_typed_encode(struct fm_v2 *v2, uint32_t id, const char **text, size_t *len,
                    struct fm_err *why)
{
    size_t start = v2->decoded.len;
    enum fm_code code = fm_registry_encode(v2->registry, id, *text, *len, &v2->decoded, why);
    if (code != FM_OK) {
        (void)fm_err_context(why, "Bad Request");
        return 400;
    }
    *text = v2->decoded.data + start;
    *len = v2->decoded.len - start;
    return 0;
}

bool fm_typed_reserve(struct fm_v2 *v2, size_t body_len)
{
    return fm_buf_reserve(&v2->decoded, 4 * body_len + 64 * 2 * (v2->job.n + 1));
}

static bool refuse(struct fm_v2 *v2, int code, const struct fm_err *why)
{
    unsigned status = code == 500 ? 500 : code == 400 ? 400 : 422;
    fm_v2_error(&v2->reply, status, code, "%s", fm_err_text(why));
    return false;
}

/* The schema of one side of a v2 request, if any record has that side. */
static bool resolve_side(struct fm_v2 *v2, const char *name, int missing, bool needed,
                         const struct fm_schema_ref *ref, uint32_t *id)
{
    struct fm_err why = {0};
    if (!needed)
        return true;
    if (ref->text == NULL && ref->id == 0) {
        (void)fm_err_set(&why, FM_EPROTO,
                         "Request includes %ss and uses a format that requires schemas but does "
                         "not include the %s_schema or %s_schema_id fields",
                         name, name, name);
        return refuse(v2, missing, &why);
    }
    int code = fm_typed_resolve(v2->registry, v2->kind, ref, id, &why);
    return code == 0 || refuse(v2, code, &why);
}

bool fm_typed_v2(struct fm_v2 *v2, size_t body_len)
{
    bool keys = false, values = false;
    struct fm_err why = {0};
    for (size_t i = 0; i < v2->job.n; i++) {
        keys = keys || v2->job.records[i].has_key;
        values = values || v2->job.records[i].has_value;
    }
    if (!resolve_side(v2, "key", 42201, keys, &v2->key_schema, &v2->key_id) ||
        !resolve_side(v2, "value", 42202, values, &v2->value_schema, &v2->value_id))
        return false;
    if (!fm_typed_reserve(v2, body_len)) {
        fm_v2_error(&v2->reply, 503, 503, "The sandbox is out of memory.");
        return false;
    }
    for (size_t i = 0; i < v2->job.n; i++) {
        struct fm_tlog_record *r = &v2->job.records[i];
        int code = 0;
        r->json = r->value;
        r->json_len = r->value_len;
        if (r->has_key) /* from 8.0 a null key would go through the schema; it is left out here */
            code = fm_typed_encode(v2, v2->key_id, &r->key, &r->key_len, &why);
        if (code == 0 && r->has_value)
            code = fm_typed_encode(v2, v2->value_id, &r->value, &r->value_len, &why);
        if (code != 0)
            return refuse(v2, code, &why);
    }
    return true;
}
