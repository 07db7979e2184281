/* The body of a v3 produce request: records one after the other, each with a fate of its own. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/jscan.h"
#include "base/utf8.h"
#include "sandbox/headers_priv.h"
#include "sandbox/v3_priv.h"

enum { RECORDS_MAX = 200000, BATCH_MAX = 10 };

struct parse {
    struct fm_v2 *v2;
    struct fm_jscan s;
    size_t cap;
    struct fm_tlog_record *r; /* the record being read, and its note */
    struct fm_v3_note *note;
};

/* The first reason stays. */
static void refuse(struct parse *p, int code, const char *fmt, ...) FM_PRINTF(3, 4);
static void refuse(struct parse *p, int code, const char *fmt, ...)
{
    if (p->note->code != 0)
        return;
    char text[400];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fm_utf8_cut(text);
    p->note->code = code;
    p->note->text = strdup(text);
}

static bool add(struct parse *p)
{
    struct fm_tlog_job *job = &p->v2->job;
    if (job->n == p->cap) {
        size_t cap = p->cap == 0 ? 64 : p->cap * 2;
        struct fm_tlog_record *records = realloc(job->records, cap * sizeof *records);
        if (records != NULL)
            job->records = records;
        struct fm_v3_note *notes = realloc(p->v2->notes, cap * sizeof *notes);
        if (notes != NULL)
            p->v2->notes = notes;
        if (records == NULL || notes == NULL || job->n >= RECORDS_MAX) {
            fm_v3_error(&p->v2->reply, 413, 413, "Too many records in one request.");
            return false;
        }
        p->cap = cap;
    }
    p->r = &job->records[job->n];
    p->note = &p->v2->notes[job->n];
    *p->r = (struct fm_tlog_record){.partition = -1};
    *p->note = (struct fm_v3_note){.code = 0};
    fm_wall_text(fm_wall_ms(), p->note->time);
    job->n++;
    p->v2->n_notes = job->n;
    return true;
}

/* A string unescaped, behind what was decoded before; nothing moves, see fm_v3_parse_body(). */
static void take_string(struct parse *p, const char **text, size_t *len)
{
    struct fm_buf *out = &p->v2->decoded;
    size_t start = out->len;
    fm_jscan_string(&p->s, out);
    *text = out->data == NULL ? "" : out->data + start;
    *len = out->len - start;
}

static bool take_base64(struct parse *p, const char **text, size_t *len)
{
    struct fm_buf *out = &p->v2->decoded;
    struct fm_buf plain;
    fm_buf_init(&plain, 0);
    fm_jscan_string(&p->s, &plain);
    size_t start = out->len;
    bool ok = fm_base64_get(out, fm_buf_str(&plain), plain.len);
    if (!ok) {
        fm_buf_truncate(out, start);
        refuse(p, 400, "Bad Request: data=\"%.200s\" is not a valid base64 string.",
               fm_buf_str(&plain));
    }
    fm_buf_clear(&plain);
    *text = out->data == NULL ? "" : out->data + start;
    *len = out->len - start;
    return ok;
}

static const char *type_of(struct parse *p)
{
    static const char *const types[] = {"BINARY", "STRING", "JSON"};
    static const char *const schemas[] = {"AVRO", "JSONSCHEMA", "PROTOBUF"};
    for (size_t i = 0; i < 3; i++)
        if (fm_jscan_is(&p->s, types[i]))
            return types[i];
    for (size_t i = 0; i < 2 && p->v2->registry != NULL; i++)
        if (fm_jscan_is(&p->s, schemas[i]))
            return schemas[i];
    for (size_t i = 0; i < 3; i++)
        if (fm_jscan_is(&p->s, schemas[i])) {
            refuse(p, 422,
                   "Error: 42207 : Error serializing message. The sandbox has no Schema "
                   "Registry");
            return NULL;
        }
    refuse(p, 400,
           "Cannot deserialize value of type `io.confluent.kafkarest.entities.EmbeddedFormat` from "
           "String \"%.*s\": not one of the values accepted for Enum class: [BINARY, AVRO, JSON, "
           "JSONSCHEMA, PROTOBUF, STRING]",
           p->s.text_len < 80 ? (int)p->s.text_len : 80, p->s.text);
    return NULL;
}

struct side { /* "data" may stand before "type" */
    struct fm_jscan at; /* the scanner behind the token of data */
    enum fm_jtoken token;
    const char *raw;
    size_t raw_len;
    const char *type;
    struct fm_schema_ref schema;
};

static void take_schema(struct parse *p, enum fm_jtoken token, struct fm_schema_ref *ref)
{
    int64_t id;
    if (token == FM_J_STRING) {
        ref->text = p->s.text;
        ref->text_len = p->s.text_len;
    } else if (token == FM_J_NUMBER && fm_jscan_i64(&p->s, &id) && id > 0 && id <= INT32_MAX) {
        ref->id = (uint32_t)id;
    } else {
        refuse(p, 400, "Cannot deserialize a schema");
    }
}

static bool read_side(struct parse *p, struct side *side)
{
    enum fm_jtoken token;
    while ((token = fm_jscan_next(&p->s)) == FM_J_KEY) {
        bool type = fm_jscan_is(&p->s, "type"), data = fm_jscan_is(&p->s, "data");
        bool schema = fm_jscan_is(&p->s, "schema"), id = fm_jscan_is(&p->s, "schema_id");
        struct fm_buf name;
        fm_buf_init(&name, 100);
        fm_jscan_string(&p->s, &name);
        if (!type && !data && !schema && !id)
            refuse(p, 400, "Unrecognized field: %s", fm_buf_str(&name));
        fm_buf_clear(&name);
        size_t before = p->s.at;
        token = fm_jscan_next(&p->s);
        if (type && token == FM_J_STRING)
            side->type = type_of(p);
        else if (type)
            refuse(p, 400, "Cannot deserialize value of type `EmbeddedFormat`");
        if (schema || id)
            take_schema(p, token, &side->schema);
        if (data) {
            side->at = p->s;
            side->token = token;
        }
        if (!fm_jscan_skip(&p->s, token))
            return false;
        if (data) { /* as it is written, without the colon and the white space before it */
            side->raw = p->s.data + before;
            side->raw_len = p->s.at - before;
            while (side->raw_len > 0 && (*side->raw == ':' || isspace((unsigned char)*side->raw))) {
                side->raw++;
                side->raw_len--;
            }
        }
    }
    return token == FM_J_OBJECT_END;
}

/* AVRO and JSONSCHEMA: by the schema's text with its type, or by its id without. */
static void take_typed(struct parse *p, const struct side *side, bool value, const char **text,
                       size_t *len)
{
    static const char *const names[] = {"AVRO", "JSONSCHEMA"};
    struct fm_err why = {0};
    uint32_t id = 0;
    enum fm_registry_kind kind =
        side->type != NULL && strcmp(side->type, "AVRO") == 0 ? FM_REGISTRY_AVRO : FM_REGISTRY_JSON;
    bool text_with_type = side->schema.text != NULL && side->type != NULL;
    if (text_with_type == (side->schema.id != 0)) {
        refuse(p, 400,
               "Cannot construct instance of `ProduceRequestData`: 'schema_id' cannot be used with "
               "'serializer', and 'schema' not without");
        return;
    }
    int code = fm_typed_resolve(p->v2->registry, kind, &side->schema, &id, &why);
    if (code == 0) {
        *text = side->raw;
        *len = side->raw_len;
        if (value) {
            p->r->json = *text;
            p->r->json_len = *len;
        }
        code = fm_typed_encode(p->v2, id, text, len, &why);
    }
    if (code == 42207 || code == 42205)
        refuse(p, 422, "Error: %d : %s", code, fm_err_text(&why));
    else if (code != 0)
        refuse(p, 400, "%s", fm_err_text(&why));
    (void)fm_registry_kind(p->v2->registry, id, &kind);
    if (value)
        p->note->value_type = names[kind];
    else
        p->note->key_type = names[kind];
    *(value ? &p->note->value_schema : &p->note->key_schema) = id;
}

static bool take_side(struct parse *p, const char **text, size_t *len, bool *has, const char **type)
{
    enum fm_jtoken token = fm_jscan_next(&p->s);
    struct side side = {.token = FM_J_NULL};
    if (token == FM_J_NULL)
        return true;
    if (token != FM_J_OBJECT) {
        refuse(p, 400, "Cannot construct instance of `ProduceRequestData`: no object");
        return fm_jscan_skip(&p->s, token);
    }
    if (!read_side(p, &side))
        return false;
    if (side.token == FM_J_NULL)
        return true;
    bool typed = side.type != NULL &&
                 (strcmp(side.type, "AVRO") == 0 || strcmp(side.type, "JSONSCHEMA") == 0);
    if (p->v2->registry != NULL && (typed || side.schema.id != 0 || side.schema.text != NULL)) {
        *has = true;
        take_typed(p, &side, text == &p->r->value, text, len);
        return true;
    }
    if (side.type == NULL) {
        refuse(p, 422,
               "Error: 42207 : Error serializing message. The sandbox has no Schema "
               "Registry");
        return true;
    }
    struct fm_jscan here = p->s;
    bool json = strcmp(side.type, "JSON") == 0, binary = strcmp(side.type, "BINARY") == 0;
    p->s = side.at;
    *type = side.type;
    *has = true;
    if (json) {
        *text = side.raw;
        *len = side.raw_len;
    } else if (side.token != FM_J_STRING) {
        refuse(p, 400, "Bad Request: data of type %s is no string.", side.type);
    } else if (binary) {
        (void)take_base64(p, text, len);
    } else {
        take_string(p, text, len);
    }
    p->s = here;
    return true;
}

static bool take_headers(struct parse *p)
{
    enum fm_jtoken token = fm_jscan_next(&p->s);
    if (token != FM_J_ARRAY) {
        refuse(p, 400, "Cannot deserialize headers: no array");
        return fm_jscan_skip(&p->s, token);
    }
    size_t start = p->v2->decoded.len;
    while ((token = fm_jscan_next(&p->s)) == FM_J_OBJECT) {
        char bad[300];
        if (!fm_headers_scan(&p->s, &p->v2->decoded, bad))
            return false;
        if (bad[0] != '\0')
            refuse(p, 400, "%s", bad);
    }
    p->r->headers_len = p->v2->decoded.len - start;
    p->r->headers = p->r->headers_len > 0 ? p->v2->decoded.data + start : NULL;
    if (token == FM_J_ARRAY_END)
        return true;
    refuse(p, 400, "Cannot deserialize headers: an entry is no object");
    while (token != FM_J_ARRAY_END) { /* to the array's end */
        if (!fm_jscan_skip(&p->s, token))
            return false;
        token = fm_jscan_next(&p->s);
    }
    return true;
}

static bool take_time(struct parse *p)
{
    enum fm_jtoken token = fm_jscan_next(&p->s);
    bool ok = token == FM_J_NULL;
    int64_t seconds;
    if (token == FM_J_NUMBER) { /* seconds; a fraction is not kept */
        ok = true;
        if (fm_jscan_i64(&p->s, &seconds) && seconds > 0 && seconds < 253402300800)
            p->r->time_ms = seconds * 1000;
    } else if (token == FM_J_STRING) {
        ok = p->s.text_len < sizeof p->note->time &&
             fm_instant_parse(p->s.text, p->s.text_len, &p->r->time_ms);
        if (ok)
            (void)snprintf(p->note->time, sizeof p->note->time, "%.*s", (int)p->s.text_len,
                           p->s.text);
    }
    if (!ok)
        refuse(p, 400, "Cannot deserialize value of type `java.time.Instant`");
    return fm_jscan_skip(&p->s, token);
}

static bool take_partition(struct parse *p)
{
    enum fm_jtoken token = fm_jscan_next(&p->s);
    int64_t v = -1;
    if (token == FM_J_NUMBER && fm_jscan_i64(&p->s, &v) && v >= 0 && v <= INT32_MAX)
        p->r->partition = (int32_t)v;
    else if (token == FM_J_NUMBER && v < 0)
        refuse(p, 40402, "Partition not found.");
    else if (token != FM_J_NULL)
        refuse(p, 400, "Cannot deserialize value of type `java.lang.Integer`");
    return fm_jscan_skip(&p->s, token);
}

static bool take_id(struct parse *p)
{
    enum fm_jtoken token = fm_jscan_next(&p->s);
    if (token == FM_J_STRING) {
        p->note->id = p->s.text;
        p->note->id_len = p->s.text_len;
    }
    return fm_jscan_skip(&p->s, token);
}

/* The members of a record whose brace was read. @return false: the text itself is broken */
static bool read_record(struct parse *p)
{
    enum fm_jtoken token;
    struct fm_tlog_record *r = p->r;
    while ((token = fm_jscan_next(&p->s)) == FM_J_KEY) {
        bool ok;
        if (fm_jscan_is(&p->s, "key")) {
            ok = take_side(p, &r->key, &r->key_len, &r->has_key, &p->note->key_type);
        } else if (fm_jscan_is(&p->s, "value")) {
            ok = take_side(p, &r->value, &r->value_len, &r->has_value, &p->note->value_type);
        } else if (fm_jscan_is(&p->s, "headers")) {
            ok = take_headers(p);
        } else if (fm_jscan_is(&p->s, "timestamp")) {
            ok = take_time(p);
        } else if (fm_jscan_is(&p->s, "partition_id")) {
            ok = take_partition(p);
        } else if (p->v2->batch && fm_jscan_is(&p->s, "id")) {
            ok = take_id(p);
        } else {
            refuse(p, 400, "Unrecognized field: %.*s", p->s.text_len < 80 ? (int)p->s.text_len : 80,
                   p->s.text);
            ok = fm_jscan_skip(&p->s, fm_jscan_next(&p->s));
        }
        if (!ok)
            return false;
    }
    return token == FM_J_OBJECT_END;
}

/* Behind the brace that closes the one at start, whatever stands between; 0: there is none. */
static size_t object_end(const char *data, size_t len, size_t start)
{
    size_t depth = 0;
    bool text = false;
    for (size_t i = start; i < len; i++) {
        if (text && data[i] == '\\')
            i++;
        else if (data[i] == '"')
            text = !text;
        else if (!text && data[i] == '{')
            depth++;
        else if (!text && data[i] == '}' && --depth == 0)
            return i + 1;
    }
    return 0;
}

/* The text is broken inside a record: a report for it if its end can be found, else two of them, as
 * the real proxy gives, and no more. @return whether the stream goes on */
static bool broken(struct parse *p, const char *body, size_t len, size_t start)
{
    size_t end = object_end(body, len, start);
    p->note->code = 0; /* this reason comes first */
    free(p->note->text);
    p->note->text = NULL;
    if (end != 0) {
        refuse(p, 400, "Bad Request: a token in this record is no JSON");
        fm_jscan_init(&p->s, body, len);
        p->s.at = end;
        return true;
    }
    refuse(p, 400, "Unexpected end-of-input within/between Object entries");
    if (add(p))
        refuse(p, 400,
               "Bad Request: Error processing message: Unexpected end-of-input: expected close "
               "marker for Object (start marker at [Source: REDACTED "
               "(`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: %zu])",
               start + 10);
    return false;
}

static bool parse_stream(struct parse *p, const char *body, size_t len)
{
    fm_jscan_init(&p->s, body, len);
    for (;;) {
        enum fm_jtoken token = fm_jscan_next(&p->s);
        if (token == FM_J_END)
            return true;
        size_t start = p->s.at > 0 ? p->s.at - 1 : 0;
        if (!add(p))
            return false;
        if (token == FM_J_OBJECT) {
            if (!read_record(p) && !broken(p, body, len, start))
                return true;
            continue;
        }
        if (token == FM_J_NULL)
            refuse(p, 500, "Internal Server Error");
        else if (token == FM_J_ARRAY)
            refuse(p, 400,
                   "Cannot deserialize value of type `io.confluent.kafkarest.entities.v3."
                   "ProduceRequest$Builder` from Array value (token `JsonToken.START_ARRAY`)");
        else
            refuse(p, 400, "Unexpected character or value between records");
        return true;
    }
}

static bool bad_batch(struct parse *p)
{
    fm_v3_error(&p->v2->reply, 400, 400, "The batch cannot be read.");
    return false;
}

static bool parse_batch(struct parse *p, const char *body, size_t len)
{
    enum fm_jtoken token;
    fm_jscan_init(&p->s, body, len);
    if (fm_jscan_next(&p->s) != FM_J_OBJECT || fm_jscan_next(&p->s) != FM_J_KEY ||
        !fm_jscan_is(&p->s, "entries") || fm_jscan_next(&p->s) != FM_J_ARRAY)
        return bad_batch(p);
    while ((token = fm_jscan_next(&p->s)) == FM_J_OBJECT) {
        if (!add(p))
            return false;
        if (!read_record(p))
            return bad_batch(p);
        if (fm_v3_batch_unmapped(p->v2, p->note))
            return false;
        if (!fm_v3_batch_id(p->note)) {
            fm_v3_error(&p->v2->reply, 422, 42208, "Batch entry identifier is not a valid string.");
            return false;
        }
    }
    if (token != FM_J_ARRAY_END)
        return bad_batch(p);
    const char *why = fm_v3_batch_fault(p->v2, BATCH_MAX);
    if (why != NULL)
        fm_v3_error(&p->v2->reply, 422, 42208, "%s", why);
    return why == NULL;
}

bool fm_v3_parse_body(struct fm_v2 *v2, const char *body, size_t len)
{
    struct parse p = {.v2 = v2};
    /* Decoded text is no longer than the body, so that nothing moves while records point there. */
    bool ok = fm_buf_reserve(&v2->decoded, v2->registry != NULL ? 4 * len + 256 : len + 16);
    if (!ok) {
        fm_v3_error(&v2->reply, 503, 503, "The sandbox is out of memory.");
        return false;
    }
    const char *text = body != NULL ? body : "";
    ok = v2->batch ? parse_batch(&p, text, len) : parse_stream(&p, text, len);
    if (!ok)
        return false;
    v2->job.verdicts = calloc(v2->job.n + 1, sizeof *v2->job.verdicts);
    if (v2->job.verdicts == NULL) {
        fm_v3_error(&v2->reply, 503, 503, "The sandbox is out of memory.");
        return false;
    }
    for (size_t i = 0; i < v2->job.n; i++) {
        v2->job.verdicts[i].error_code = v2->notes[i].code;
        v2->job.verdicts[i].error = v2->notes[i].text;
        v2->notes[i].text = NULL;
    }
    return true;
}
