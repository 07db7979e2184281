#include "record/schema.h"

#include <math.h>
#include <string.h>

#include "base/jscan.h"
#include "base/json.h"

/* How a field is typed. */
enum type {
    TEXT, /* always there */
    LONG,
    MAYBE_TEXT,
    MAYBE_LONG,
    SCALAR, /* null, boolean, long, double or string */
    TEXTS, /* map of strings */
    SCALARS, /* map of SCALAR */
    BEANS, /* map of SCALARS */
    NAMES /* array of strings */
};

enum {
    IN_BEAN = 1 << FM_SCHEMA_BEAN,
    IN_METRIC = 1 << FM_SCHEMA_METRIC,
    IN_SNAPSHOT = 1 << FM_SCHEMA_SNAPSHOT,
    IN_ALL = IN_BEAN | IN_METRIC | IN_SNAPSHOT
};

/* In their order in the schema. The audit reads the first of them without knowing the schema
 * (audit_avro.c): those up to v stay as they are. */
static const struct field {
    const char *name;
    enum type type;
    unsigned in;
    const char *doc;
} fields[] = {
    {"agent", TEXT, IN_ALL, "who wrote the record"},
    {"stream", TEXT, IN_ALL, "the sequence it belongs to"},
    {"seq", LONG, IN_ALL, "its number there, from 1"},
    {"type", TEXT, IN_ALL, "empty: data; start, gap, target: a control record"},
    {"from_seq", MAYBE_LONG, IN_ALL, "gap: first number lost"},
    {"to_seq", MAYBE_LONG, IN_ALL, "gap: last number lost"},
    {"count", MAYBE_LONG, IN_ALL, "gap: how many between them are lost"},
    {"reason", MAYBE_TEXT, IN_ALL, "gap: why"},
    {"lost_stream", MAYBE_TEXT, IN_ALL, "gap: of another stream than its own"},
    {"prev_stream", MAYBE_TEXT, IN_ALL, "start: the stream before this one"},
    {"prev_last_seq", MAYBE_LONG, IN_ALL, "start: its last number"},
    {"v", LONG, IN_ALL, "version of the record's form"},
    {"timestamp", LONG, IN_ALL, "milliseconds since 1970"},
    {"host", MAYBE_TEXT, IN_ALL, "host of the target"},
    {"target", MAYBE_TEXT, IN_ALL, "name of the target"},
    {"version", MAYBE_TEXT, IN_ALL, "start: version of the agent"},
    {"state", MAYBE_TEXT, IN_ALL, "target: up, down or restarted"},
    {"error", MAYBE_TEXT, IN_ALL, "target: what is wrong"},
    {"first_timestamp", MAYBE_LONG, IN_ALL, "gap: time of the first record lost"},
    {"last_timestamp", MAYBE_LONG, IN_ALL, "gap: time of the last one"},
    {"tags", TEXTS, IN_ALL, "as configured"},
    {"bean", MAYBE_TEXT, IN_BEAN | IN_METRIC, "canonical name of the MBean"},
    {"domain", MAYBE_TEXT, IN_BEAN | IN_METRIC, "its domain"},
    {"properties", TEXTS, IN_BEAN | IN_METRIC, "its key properties"},
    {"attributes", SCALARS, IN_BEAN, "nested values as JSON text"},
    {"name", MAYBE_TEXT, IN_METRIC, "path of the attribute"},
    {"value", SCALAR, IN_METRIC, "its value"},
    {"part", MAYBE_LONG, IN_SNAPSHOT, "which part of the poll"},
    {"parts", MAYBE_LONG, IN_SNAPSHOT, "of how many"},
    {"beans", BEANS, IN_SNAPSHOT, "canonical name to attributes; nested values as JSON text"},
    {"omitted", NAMES, IN_SNAPSHOT, "beans left out as too large"},
};
enum { FIELDS = sizeof fields / sizeof *fields };

const char *fm_schema_name(enum fm_schema schema)
{
    static const char *const names[FM_SCHEMAS] = {"bean", "metric", "snapshot"};
    return names[schema];
}

/* ---- the schema's text ---- */

/* Karapace 5.0.3 takes the tags of a union's values off and writes the last branch that could hold
 * them, an integer a double too, a boolean a number too: hence the narrowest last. */
#define AVRO_SCALAR "[\"null\",\"double\",\"long\",\"boolean\",\"string\"]"
#define JSON_SCALAR "{\"type\":[\"null\",\"boolean\",\"integer\",\"number\",\"string\"]}"
#define JSON_MAP(values) "{\"type\":\"object\",\"additionalProperties\":" values "}"

static const struct {
    const char *avro; /* the type, and the default */
    const char *json;
} types[] = {
    [TEXT] = {"\"string\"", "{\"type\":\"string\"}"},
    [LONG] = {"\"long\"", "{\"type\":\"integer\"}"},
    [MAYBE_TEXT] = {"[\"null\",\"string\"],\"default\":null", "{\"type\":[\"null\",\"string\"]}"},
    [MAYBE_LONG] = {"[\"null\",\"long\"],\"default\":null", "{\"type\":[\"null\",\"integer\"]}"},
    [SCALAR] = {AVRO_SCALAR ",\"default\":null", JSON_SCALAR},
    [TEXTS] = {"{\"type\":\"map\",\"values\":\"string\"},\"default\":{}",
               JSON_MAP("{\"type\":\"string\"}")},
    [SCALARS] = {"{\"type\":\"map\",\"values\":" AVRO_SCALAR "},\"default\":{}",
                 JSON_MAP(JSON_SCALAR)},
    [BEANS] = {"{\"type\":\"map\",\"values\":{\"type\":\"map\",\"values\":" AVRO_SCALAR
               "}},\"default\":{}",
               JSON_MAP(JSON_MAP(JSON_SCALAR))},
    [NAMES] = {"{\"type\":\"array\",\"items\":\"string\"},\"default\":[]",
               "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}"},
};

static void put_field_type(struct fm_buf *out, enum fm_schema_lang lang, const struct field *f)
{
    if (lang == FM_SCHEMA_AVRO) {
        fm_buf_puts(out, "{\"name\":");
        fm_json_cstr(out, f->name);
        fm_buf_puts(out, ",\"type\":");
        fm_buf_puts(out, types[f->type].avro);
        fm_buf_puts(out, ",\"doc\":");
        fm_json_cstr(out, f->doc);
        fm_buf_putc(out, '}');
    } else {
        fm_json_key(out, f->name);
        size_t len = strlen(types[f->type].json);
        fm_buf_put(out, types[f->type].json, len - 1);
        fm_buf_puts(out, ",\"description\":");
        fm_json_cstr(out, f->doc);
        fm_buf_putc(out, '}');
    }
}

void fm_schema_text(struct fm_buf *out, enum fm_schema_lang lang, enum fm_schema schema)
{
    bool avro = lang == FM_SCHEMA_AVRO, first = true;
    fm_buf_puts(out, avro ? "{\"type\":\"record\",\"name\":\"Record\",\"namespace\":\"firstmile\","
                            "\"fields\":["
                          : "{\"$schema\":\"http://json-schema.org/draft-07/schema#\",\"title\":"
                            "\"firstmile.Record\",\"type\":\"object\",\"properties\":{");
    for (size_t i = 0; i < FIELDS; i++) {
        if ((fields[i].in & (1U << schema)) == 0)
            continue;
        fm_buf_puts(out, first ? "" : ",");
        first = false;
        put_field_type(out, lang, &fields[i]);
    }
    fm_buf_puts(out, avro ? "]}"
                          : "},\"required\":[\"agent\",\"stream\",\"seq\",\"type\"],"
                            "\"additionalProperties\":false}");
}

/* ---- reading a record ---- */

/* A value as it is written. */
struct slice {
    const char *text; /* NULL: none */
    size_t len;
    enum fm_jtoken token;
};

/* The value behind a key, stepped over. */
static bool take(struct fm_jscan *s, struct slice *out)
{
    *out = (struct slice){.token = fm_jscan_next(s)};
    bool own = out->token == FM_J_STRING || out->token == FM_J_NUMBER;
    size_t before = out->token == FM_J_STRING                            ? 1
                    : out->token == FM_J_FALSE                           ? 5
                    : out->token == FM_J_TRUE || out->token == FM_J_NULL ? 4
                                                                         : 1;
    const char *text = own ? s->text - (out->token == FM_J_STRING) : s->data + s->at - before;
    if (!fm_jscan_skip(s, out->token))
        return false;
    out->text = text;
    out->len = (size_t)(s->data + s->at - text);
    return true;
}

static const struct field *find(const struct fm_jscan *key)
{
    for (size_t i = 0; i < FIELDS; i++)
        if (fm_jscan_is(key, fields[i].name))
            return &fields[i];
    return NULL;
}

static bool read_record(const char *value, size_t len, struct slice found[FIELDS])
{
    struct fm_jscan s;
    enum fm_jtoken token;
    fm_jscan_init(&s, value, len);
    if (fm_jscan_next(&s) != FM_J_OBJECT)
        return false;
    while ((token = fm_jscan_next(&s)) == FM_J_KEY) {
        const struct field *f = find(&s);
        struct slice unused;
        if (!take(&s, f != NULL ? &found[f - fields] : &unused))
            return false;
    }
    return token == FM_J_OBJECT_END && fm_jscan_next(&s) == FM_J_END;
}

bool fm_schema_of(const char *value, size_t len, enum fm_schema *out)
{
    struct fm_jscan s;
    fm_jscan_init(&s, value, len);
    if (fm_jscan_next(&s) != FM_J_OBJECT)
        return false;
    while (fm_jscan_next(&s) == FM_J_KEY) {
        if (fm_jscan_is(&s, "type"))
            return false;
        bool hit = true;
        if (fm_jscan_is(&s, "attributes"))
            *out = FM_SCHEMA_BEAN;
        else if (fm_jscan_is(&s, "value"))
            *out = FM_SCHEMA_METRIC;
        else if (fm_jscan_is(&s, "beans"))
            *out = FM_SCHEMA_SNAPSHOT;
        else
            hit = false;
        if (hit)
            return true;
        if (!fm_jscan_skip(&s, fm_jscan_next(&s)))
            return false;
    }
    return false;
}

/* ---- writing it ---- */

struct writer {
    struct fm_buf *out;
    bool avro;
};

static void put_member(const struct writer *w, const char *branch, const char *text, size_t len)
{
    if (w->avro) {
        fm_buf_puts(w->out, "{\"");
        fm_buf_puts(w->out, branch);
        fm_buf_puts(w->out, "\":");
    }
    fm_buf_put(w->out, text, len);
    if (w->avro)
        fm_buf_putc(w->out, '}');
}

/* As a string: the text of what is none. */
static void put_quoted(const struct writer *w, bool member, const struct slice *v)
{
    struct fm_buf *out = w->out;
    bool wrap = member && w->avro;
    fm_buf_puts(out, wrap ? "{\"string\":" : "");
    if (v->token == FM_J_STRING)
        fm_buf_put(out, v->text, v->len);
    else
        fm_json_str(out, v->text, v->len);
    fm_buf_puts(out, wrap ? "}" : "");
}

/* An integer of 64 bits is a long, a number with a fraction or an exponent a double; what is beyond
 * either keeps its digits as text. */
static const char *number_branch(const struct slice *v)
{
    struct fm_jscan s;
    int64_t exact;
    fm_jscan_init(&s, v->text, v->len);
    (void)fm_jscan_next(&s);
    if (fm_jscan_i64(&s, &exact))
        return "long";
    bool whole = true;
    for (size_t i = 0; i < v->len && whole; i++)
        whole = v->text[i] != '.' && v->text[i] != 'e' && v->text[i] != 'E';
    return whole || !isfinite(fm_jscan_double(&s)) ? NULL : "double";
}

static void put_scalar(const struct writer *w, const struct slice *v)
{
    const char *branch = NULL;
    if (v->text == NULL || v->token == FM_J_NULL) {
        fm_buf_puts(w->out, "null");
        return;
    }
    if (v->token == FM_J_TRUE || v->token == FM_J_FALSE)
        branch = "boolean";
    else if (v->token == FM_J_NUMBER)
        branch = number_branch(v);
    if (branch != NULL)
        put_member(w, branch, v->text, v->len);
    else
        put_quoted(w, true, v);
}

static void put_long(const struct writer *w, bool maybe, const struct slice *v)
{
    bool whole = v->text != NULL && v->token == FM_J_NUMBER && number_branch(v) != NULL &&
                 strcmp(number_branch(v), "long") == 0;
    if (!whole)
        fm_buf_puts(w->out, maybe ? "null" : "0");
    else if (maybe)
        put_member(w, "long", v->text, v->len);
    else
        fm_buf_put(w->out, v->text, v->len);
}

/* A map whose values are written by put. What is no object is an empty map. */
static void put_map(const struct writer *w, const struct slice *v,
                    void (*put)(const struct writer *w, const struct slice *v))
{
    struct fm_jscan s;
    bool first = true;
    fm_buf_putc(w->out, '{');
    fm_jscan_init(&s, v->text != NULL ? v->text : "", v->len);
    if (v->text != NULL && fm_jscan_next(&s) == FM_J_OBJECT)
        while (fm_jscan_next(&s) == FM_J_KEY) {
            struct slice member;
            fm_buf_puts(w->out, first ? "\"" : ",\"");
            first = false;
            fm_buf_put(w->out, s.text, s.text_len);
            fm_buf_puts(w->out, "\":");
            (void)take(&s, &member); /* it was read before */
            put(w, &member);
        }
    fm_buf_putc(w->out, '}');
}

static void put_text(const struct writer *w, const struct slice *v)
{
    put_quoted(w, false, v);
}

static void put_scalars(const struct writer *w, const struct slice *v)
{
    put_map(w, v, put_scalar);
}

static void put_names(const struct writer *w, const struct slice *v)
{
    bool array = v->text != NULL && v->token == FM_J_ARRAY;
    fm_buf_put(w->out, array ? v->text : "[]", array ? v->len : 2); /* of ours: names only */
}

static void put_value(const struct writer *w, enum type type, const struct slice *v)
{
    bool absent = v->text == NULL || v->token == FM_J_NULL;
    switch (type) {
    case TEXT:
        if (absent)
            fm_buf_puts(w->out, "\"\"");
        else
            put_quoted(w, false, v);
        break;
    case MAYBE_TEXT:
        if (absent)
            fm_buf_puts(w->out, "null");
        else
            put_quoted(w, true, v);
        break;
    case LONG:
    case MAYBE_LONG:
        put_long(w, type == MAYBE_LONG, v);
        break;
    case SCALAR:
        put_scalar(w, v);
        break;
    case TEXTS:
        put_map(w, v, put_text);
        break;
    case SCALARS:
        put_scalars(w, v);
        break;
    case BEANS:
        put_map(w, v, put_scalars);
        break;
    case NAMES:
        put_names(w, v);
        break;
    }
}

enum fm_code fm_schema_put(struct fm_buf *out, enum fm_schema_lang lang, enum fm_schema schema,
                           const char *value, size_t len, struct fm_err *err)
{
    struct slice found[FIELDS] = {{0}};
    const struct writer w = {.out = out, .avro = lang == FM_SCHEMA_AVRO};
    if (!read_record(value, len, found))
        return fm_err_set(err, FM_EDAMAGE, "a stored record is no JSON object");
    const char *before = "{\"";
    for (size_t i = 0; i < FIELDS; i++) {
        if ((fields[i].in & (1U << schema)) == 0)
            continue;
        fm_buf_puts(out, before);
        before = ",\"";
        fm_buf_puts(out, fields[i].name);
        fm_buf_puts(out, "\":");
        put_value(&w, fields[i].type, &found[i]);
    }
    fm_buf_putc(out, '}');
    return fm_buf_code(out, err);
}
