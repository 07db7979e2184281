#include "rest/typed_priv.h"

#include <string.h>

#include "base/jscan.h"
#include "base/json.h"
#include "rest/rest_priv.h"

bool fm_typed_is(enum fm_rest_format format)
{
    return format == FM_REST_AVRO || format == FM_REST_JSONSCHEMA;
}

static enum fm_schema_lang lang_of(const struct fm_rest_opts *o)
{
    return o->format == FM_REST_AVRO ? FM_SCHEMA_AVRO : FM_SCHEMA_JSON;
}

void fm_typed_reset(struct fm_typed *typed, const struct fm_rest_opts *o)
{
    *typed = (struct fm_typed){.shape = o->shape};
}

/* ---- which schema ---- */

/* Data that we rendered; what produce and the library send is a value of the user's own schema. */
static bool has_shape(const struct fm_spool_item *item, enum fm_schema *out)
{
    const struct fm_record *rec = &item->rec;
    return rec->kind == FM_RECORD_DATA && rec->id_at != FM_NO_ID &&
           fm_schema_of(rec->value, rec->value_len, out);
}

void fm_typed_begin(struct fm_typed *typed, struct fm_typed_use *use, const struct fm_rest_opts *o,
                    const struct fm_spool_item *items, size_t n)
{
    for (size_t i = 0; i < n && !has_shape(&items[i], &typed->shape); i++)
        ;
    *use = (struct fm_typed_use){.shape = typed->shape,
                                 .slot = o->schema != NULL ? FM_TYPED_OWN : (unsigned)typed->shape,
                                 .has_key = n > 0 && items[0].rec.key != NULL};
    use->value_id = o->schema_id != 0 ? o->schema_id : typed->value_id[use->slot];
    use->key_id = use->has_key ? typed->key_id : 0;
    use->by_id = (o->schema_id == 0 && use->value_id != 0) || use->key_id != 0;
}

bool fm_typed_fits(const struct fm_typed_use *use, const struct fm_rest_opts *o,
                   const struct fm_spool_item *first, const struct fm_spool_item *item)
{
    enum fm_schema shape = use->shape;
    bool v3 = fm_rest_is_v3(o->dialect);
    if (!v3 && (first->rec.key == NULL) != (item->rec.key == NULL))
        return false; /* a null key would go through the key's schema */
    return !has_shape(item, &shape) || shape == use->shape;
}

bool fm_typed_alone(const struct fm_typed *typed, const struct fm_typed_use *use,
                    const struct fm_rest_opts *o)
{
    return fm_rest_is_v3(o->dialect) && !typed->silent && use->value_id == 0;
}

/* ---- writing ---- */

static void put_schema_text(struct fm_buf *body, const struct fm_rest_opts *o,
                            const struct fm_typed_use *use)
{
    if (o->schema != NULL) {
        fm_json_cstr(body, o->schema);
        return;
    }
    struct fm_buf text;
    fm_buf_init(&text, 0);
    fm_schema_text(&text, lang_of(o), use->shape);
    fm_json_str(body, fm_buf_str(&text), text.len);
    body->failed = body->failed || text.failed;
    fm_buf_clear(&text);
}

void fm_typed_head(struct fm_buf *body, const struct fm_typed_use *use,
                   const struct fm_rest_opts *o)
{
    if (use->key_id != 0)
        fm_buf_printf(body, "\"key_schema_id\":%u,", (unsigned)use->key_id);
    else if (use->has_key)
        fm_buf_puts(body, o->format == FM_REST_AVRO
                              ? "\"key_schema\":\"\\\"string\\\"\","
                              : "\"key_schema\":\"{\\\"type\\\":\\\"string\\\"}\",");
    if (use->value_id != 0) {
        fm_buf_printf(body, "\"value_schema_id\":%u,", (unsigned)use->value_id);
    } else {
        fm_buf_puts(body, "\"value_schema\":");
        put_schema_text(body, o, use);
        fm_buf_putc(body, ',');
    }
}

void fm_typed_value(struct fm_buf *body, const struct fm_typed_use *use,
                    const struct fm_rest_opts *o, const struct fm_spool_item *item)
{
    const struct fm_record *rec = &item->rec;
    struct fm_buf plain;
    if (rec->id_at == FM_NO_ID) {
        fm_buf_put(body, rec->value, rec->value_len);
        return;
    }
    fm_buf_init(&plain, 0);
    fm_record_value(&plain, rec, item->id.stream, item->id.seq);
    enum fm_code code = fm_buf_code(&plain, NULL);
    if (code == FM_OK)
        code = fm_schema_put(body, lang_of(o), use->shape, plain.data, plain.len, NULL);
    if (code == FM_EDAMAGE) /* cannot be ours; no schema of a record takes a list */
        fm_buf_puts(body, "[]");
    body->failed = body->failed || (code != FM_OK && code != FM_EDAMAGE);
    fm_buf_clear(&plain);
}

void fm_typed_side(struct fm_buf *body, const struct fm_typed_use *use,
                   const struct fm_rest_opts *o, const struct fm_spool_item *item)
{
    if (use->value_id != 0) {
        fm_buf_printf(body, "{\"schema_id\":%u,\"data\":", (unsigned)use->value_id);
    } else {
        fm_buf_puts(body, o->format == FM_REST_AVRO ? "{\"type\":\"AVRO\",\"schema\":"
                                                    : "{\"type\":\"JSONSCHEMA\",\"schema\":");
        put_schema_text(body, o, use);
        fm_buf_puts(body, ",\"data\":");
    }
    fm_typed_value(body, use, o, item);
    fm_buf_putc(body, '}');
}

/* ---- what an answer says ---- */

/* The ids in one JSON object: of v2's answer, or of the side "value" in v3's report. */
static void find_ids(struct fm_jscan *s, bool v3, uint32_t *key, uint32_t *value)
{
    enum fm_jtoken token;
    const size_t members = s->depth;
    while (fm_jscan_next(s) == FM_J_KEY) {
        int64_t id;
        bool side = v3 && s->depth == members && fm_jscan_is(s, "value");
        uint32_t *to = fm_jscan_is(s, v3 ? "schema_id" : "value_schema_id") ? value
                       : !v3 && fm_jscan_is(s, "key_schema_id")             ? key
                                                                            : NULL;
        token = fm_jscan_next(s);
        if (side && token == FM_J_OBJECT) {
            find_ids(s, true, key, value);
            return;
        }
        if (to != NULL && token == FM_J_NUMBER && fm_jscan_i64(s, &id) && id > 0 && id <= INT32_MAX)
            *to = (uint32_t)id;
        if (!fm_jscan_skip(s, token))
            return;
    }
}

void fm_typed_learn(struct fm_typed *typed, const struct fm_typed_use *use,
                    const struct fm_rest_opts *o, const char *answer, size_t len)
{
    uint32_t *value = &typed->value_id[use->slot];
    bool v3 = fm_rest_is_v3(o->dialect);
    if ((o->schema_id != 0 || *value != 0) && (v3 || !use->has_key || typed->key_id != 0))
        return;
    struct fm_jscan s;
    fm_jscan_init(&s, answer, len);
    bool open = fm_jscan_next(&s) == FM_J_OBJECT;
    if (o->dialect == FM_DIALECT_CONFLUENT_V3_BATCH) /* any one of those that were accepted */
        open =
            open && fm_v3_enter(&s, "successes") == FM_J_ARRAY && fm_jscan_next(&s) == FM_J_OBJECT;
    if (open)
        find_ids(&s, v3, &typed->key_id, value);
    if (*value == typed->refused_value[use->slot])
        *value = 0;
    if (typed->key_id == typed->refused_key)
        typed->key_id = 0;
    typed->silent = o->schema_id == 0 && *value == 0;
}

bool fm_typed_forget(struct fm_typed *typed, const struct fm_typed_use *use)
{
    if (!use->by_id)
        return false;
    typed->refused_value[use->slot] = use->value_id;
    typed->refused_key = use->key_id;
    memset(typed->value_id, 0, sizeof typed->value_id);
    typed->key_id = 0;
    return true;
}
