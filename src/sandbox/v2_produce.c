/* The body of a v2 produce request, checked in one pass and without a tree: records point into
 * it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/jscan.h"
#include "base/utf8.h"
#include "sandbox/v2_priv.h"

/* A request of more records is refused: they would cost more memory than the body. */
enum { RECORDS_MAX = 200000 };

struct parse {
    struct fm_v2 *v2;
    struct fm_jscan s;
    size_t utf8_end; /* the body is valid UTF-8 up to here */
    size_t cap; /* of job.records */
    int32_t partition;
    bool negative;
    bool seen; /* a member "records" */
};

static const char *type_name(const struct fm_v2 *v2)
{
    return v2->binary                     ? "produceBinary"
           : !v2->typed                   ? "produceJson"
           : v2->kind == FM_REGISTRY_AVRO ? "produceAvro"
                                          : "produceJsonSchema";
}

/* Say what is wrong at the place where the scanner stopped, in the words of Jackson. */
static bool refuse_text(struct parse *p)
{
    struct fm_v2_reply *reply = &p->v2->reply;
    const char *data = p->s.data;
    size_t at = p->s.at < p->s.len ? p->s.at : p->s.len;
    if (p->utf8_end < p->s.len && p->utf8_end <= at) {
        fm_v2_error(reply, 400, 400, "Invalid UTF-8 start byte 0x%02x",
                    (unsigned)(unsigned char)data[p->utf8_end]);
        return false;
    }
    if (p->s.cut || at == p->s.len) {
        fm_v2_error(reply, 400, 400, "Unexpected end-of-input within/between Object entries");
        return false;
    }
    unsigned char c = (unsigned char)data[at];
    size_t start = at, end = at; /* the word that the place lies in */
    while (start > 0 && ((data[start - 1] | 0x20) >= 'a' && (data[start - 1] | 0x20) <= 'z'))
        start--;
    while (end < p->s.len && ((data[end] | 0x20) >= 'a' && (data[end] | 0x20) <= 'z'))
        end++;
    int word = end - start > 60 ? 60 : (int)(end - start);
    if (c < 0x20 && start == at && (at == 0 || strchr(" \t\r\n:,[{", data[at - 1]) != NULL))
        fm_v2_error(reply, 400, 400,
                    "Illegal character ((CTRL-CHAR, code %u)): only regular white space (\\r, \\n, "
                    "\\t) is allowed between tokens",
                    (unsigned)c);
    else if (c < 0x20)
        fm_v2_error(reply, 400, 400,
                    "Illegal unquoted character ((CTRL-CHAR, code %u)): has to be escaped using "
                    "backslash to be included in string value",
                    (unsigned)c);
    else if ((word == 3 && memcmp(data + start, "NaN", 3) == 0) ||
             (word == 8 && memcmp(data + start, "Infinity", 8) == 0))
        fm_v2_error(reply, 400, 400,
                    "Non-standard token '%.*s': enable `ALLOW_NON_NUMERIC_NUMBERS` to allow", word,
                    data + start);
    else if (word > 0)
        fm_v2_error(reply, 400, 400,
                    "Unrecognized token '%.*s': was expecting (JSON String, Number, Array, Object "
                    "or token 'null', 'true' or 'false')",
                    word, data + start);
    else
        fm_v2_error(reply, 400, 400, "Unexpected character ('%c' (code %u)) in the request",
                    c < 0x7f ? (int)c : '?', (unsigned)c);
    return false;
}

/* Where the text of a value token begins. */
static size_t token_start(const struct fm_jscan *s, enum fm_jtoken token)
{
    switch (token) {
    case FM_J_STRING:
        return (size_t)(s->text - s->data) - 1;
    case FM_J_NUMBER:
        return (size_t)(s->text - s->data);
    case FM_J_TRUE:
    case FM_J_NULL:
        return s->at - 4;
    case FM_J_FALSE:
        return s->at - 5;
    default:
        return s->at - 1;
    }
}

/* The next value as it is written; null: *has is false. */
static bool take_value(struct parse *p, const char **text, size_t *len, bool *has)
{
    enum fm_jtoken token = fm_jscan_next(&p->s);
    size_t start = token_start(&p->s, token);
    if (!fm_jscan_skip(&p->s, token))
        return refuse_text(p);
    *text = p->s.data + start;
    *len = p->s.at - start;
    *has = token != FM_J_NULL;
    return true;
}

static bool take_partition(struct parse *p, struct fm_tlog_record *record)
{
    enum fm_jtoken token = fm_jscan_next(&p->s);
    int64_t v;
    if (token == FM_J_ERROR)
        return refuse_text(p);
    if (token == FM_J_NULL)
        return true;
    if (token != FM_J_NUMBER || !fm_jscan_i64(&p->s, &v) || v > INT32_MAX || v < INT32_MIN) {
        fm_v2_error(
            &p->v2->reply, 400, 400,
            "Cannot deserialize value of type `java.lang.Integer`: partition is no integer");
        return false;
    }
    if (v < 0)
        p->negative = true;
    record->partition = v < 0 ? -1 : (int32_t)v;
    return true;
}

static bool unknown_field(struct parse *p)
{
    struct fm_buf name;
    fm_buf_init(&name, 300);
    fm_jscan_string(&p->s, &name);
    fm_v2_error(&p->v2->reply, 422, 422, "Unrecognized field: %s", fm_buf_str(&name));
    fm_buf_clear(&name);
    return false;
}

static bool parse_record(struct parse *p, struct fm_tlog_record *record)
{
    for (;;) {
        enum fm_jtoken token = fm_jscan_next(&p->s);
        if (token == FM_J_OBJECT_END)
            return true;
        if (token != FM_J_KEY)
            return refuse_text(p);
        bool ok;
        if (fm_jscan_is(&p->s, "value"))
            ok = take_value(p, &record->value, &record->value_len, &record->has_value);
        else if (fm_jscan_is(&p->s, "key"))
            ok = take_value(p, &record->key, &record->key_len, &record->has_key);
        else if (fm_jscan_is(&p->s, "partition"))
            ok = take_partition(p, record);
        else
            ok = unknown_field(p);
        if (!ok)
            return false;
    }
}

static bool add_record(struct parse *p)
{
    struct fm_tlog_job *job = &p->v2->job;
    if (job->n == p->cap) {
        size_t cap = p->cap == 0 ? 64 : p->cap * 2;
        struct fm_tlog_record *grown = realloc(job->records, cap * sizeof *grown);
        if (grown == NULL || job->n >= RECORDS_MAX) {
            if (grown != NULL)
                job->records = grown;
            fm_v2_error(&p->v2->reply, 413, 413, "Too many records in one request.");
            return false;
        }
        job->records = grown;
        p->cap = cap;
    }
    job->records[job->n] = (struct fm_tlog_record){.partition = p->partition};
    return parse_record(p, &job->records[job->n++]);
}

static bool parse_records(struct parse *p)
{
    p->v2->job.n = 0; /* a repeated member: the last one wins */
    p->seen = false;
    enum fm_jtoken token = fm_jscan_next(&p->s);
    if (token == FM_J_NULL)
        return true;
    if (token == FM_J_ERROR)
        return refuse_text(p);
    if (token != FM_J_ARRAY) {
        fm_v2_error(&p->v2->reply, 400, 400,
                    "Cannot deserialize value of type `java.util.ArrayList`: records is no array");
        return false;
    }
    p->seen = true;
    for (;;) {
        token = fm_jscan_next(&p->s);
        if (token == FM_J_ARRAY_END)
            return true;
        if (token == FM_J_ERROR)
            return refuse_text(p);
        if (token == FM_J_NULL) {
            fm_v2_error(&p->v2->reply, 422, 422, "%s.request.records must not be null (was null)",
                        type_name(p->v2));
            return false;
        }
        if (token != FM_J_OBJECT) {
            fm_v2_error(&p->v2->reply, 400, 400,
                        "Cannot construct instance of `ProduceRecord`: a record is no object");
            return false;
        }
        if (!add_record(p))
            return false;
    }
}

/* Text or id of a schema; without meaning in json and binary. */
static bool take_schema(struct parse *p)
{
    struct fm_schema_ref *ref =
        fm_jscan_is(&p->s, "key_schema") || fm_jscan_is(&p->s, "key_schema_id")
            ? &p->v2->key_schema
            : &p->v2->value_schema;
    int64_t id;
    enum fm_jtoken token = fm_jscan_next(&p->s);
    if (token == FM_J_STRING) {
        ref->text = p->s.text;
        ref->text_len = p->s.text_len;
    } else if (token == FM_J_NUMBER && fm_jscan_i64(&p->s, &id) && id > 0 && id <= INT32_MAX) {
        ref->id = (uint32_t)id;
    }
    return fm_jscan_skip(&p->s, token) || refuse_text(p);
}

static bool parse_member(struct parse *p)
{
    static const char *const schemas[] = {"key_schema", "key_schema_id", "value_schema",
                                          "value_schema_id"};
    if (fm_jscan_is(&p->s, "records"))
        return parse_records(p);
    for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++)
        if (fm_jscan_is(&p->s, schemas[i]))
            return take_schema(p);
    return unknown_field(p);
}

static bool parse_request(struct parse *p)
{
    struct fm_v2_reply *reply = &p->v2->reply;
    enum fm_jtoken token = fm_jscan_next(&p->s);
    switch (token) {
    case FM_J_ERROR:
        return refuse_text(p);
    case FM_J_END:
    case FM_J_NULL:
        fm_v2_error(reply, 422, 422, "%s.request must not be null (was null)", type_name(p->v2));
        return false;
    case FM_J_OBJECT:
        break;
    case FM_J_ARRAY:
        fm_v2_error(reply, 400, 400,
                    "Cannot deserialize value of type `ProduceRequest` from Array value (token "
                    "`JsonToken.START_ARRAY`)");
        return false;
    default:
        fm_v2_error(reply, 400, 400,
                    "Cannot construct instance of `ProduceRequest`: the request is no object");
        return false;
    }
    while ((token = fm_jscan_next(&p->s)) == FM_J_KEY)
        if (!parse_member(p))
            return false;
    if (token != FM_J_OBJECT_END || fm_jscan_next(&p->s) != FM_J_END || p->utf8_end < p->s.len)
        return refuse_text(p);
    if (!p->seen || p->v2->job.n == 0) {
        fm_v2_error(reply, 422, 422, "%s.request.records must not be empty (was [])",
                    type_name(p->v2));
        return false;
    }
    if (p->negative) {
        fm_v2_error(reply, 500, 500, "Internal Server Error");
        return false;
    }
    return true;
}

/* One side of a binary record: a JSON string into bytes. Confluent forgives missing padding. */
static bool decode(struct fm_v2 *v2, const char **text, size_t *len)
{
    int shown = *len > 200 ? 200 : (int)*len;
    if (**text != '"') {
        fm_v2_error(&v2->reply, 400, 400, "Bad Request: data=%.*s is not a base64 string.", shown,
                    *text);
        return false;
    }
    struct fm_jscan s;
    struct fm_buf plain;
    fm_jscan_init(&s, *text, *len);
    (void)fm_jscan_next(&s);
    fm_buf_init(&plain, 0);
    fm_jscan_string(&s, &plain);
    while (plain.len % 4 != 0 && !plain.failed)
        fm_buf_putc(&plain, '=');
    size_t start = v2->decoded.len;
    bool ok = !plain.failed && fm_base64_get(&v2->decoded, fm_buf_str(&plain), plain.len);
    fm_buf_clear(&plain);
    if (!ok) {
        fm_v2_error(&v2->reply, 400, 400, "Bad Request: data=%.*s is not a valid base64 string.",
                    shown, *text);
        return false;
    }
    *text = v2->decoded.data == NULL ? "" : v2->decoded.data + start;
    *len = v2->decoded.len - start;
    return true;
}

static bool decode_all(struct fm_v2 *v2, size_t body_len)
{
    /* Decoded bytes are fewer than the body's, so that nothing moves while records point there. */
    if (!fm_buf_reserve(&v2->decoded, body_len)) {
        fm_v2_error(&v2->reply, 503, 503, "The sandbox is out of memory.");
        return false;
    }
    for (size_t i = 0; i < v2->job.n; i++) {
        struct fm_tlog_record *r = &v2->job.records[i];
        if ((r->has_key && !decode(v2, &r->key, &r->key_len)) ||
            (r->has_value && !decode(v2, &r->value, &r->value_len)))
            return false;
    }
    return true;
}

static void clear_absent(struct fm_tlog_job *job)
{
    for (size_t i = 0; i < job->n; i++) {
        struct fm_tlog_record *r = &job->records[i];
        if (!r->has_key) {
            r->key = NULL;
            r->key_len = 0;
        }
        if (!r->has_value) {
            r->value = NULL;
            r->value_len = 0;
        }
    }
}

bool fm_v2_parse_body(struct fm_v2 *v2, const char *body, size_t len, int32_t partition)
{
    struct parse p = {.v2 = v2, .partition = partition};
    p.utf8_end = fm_utf8_until(body, len);
    fm_jscan_init(&p.s, body, len);
    if (!parse_request(&p))
        return false;
    clear_absent(&v2->job);
    if ((v2->binary && !decode_all(v2, len)) || (v2->typed && !fm_typed_v2(v2, len)))
        return false;
    v2->job.verdicts = calloc(v2->job.n, sizeof *v2->job.verdicts);
    if (v2->job.verdicts == NULL) {
        fm_v2_error(&v2->reply, 503, 503, "The sandbox is out of memory.");
        return false;
    }
    return true;
}
