/* The request's body (a v3 record: see v3.c), written straight from the spool's records into one
 * reused buffer. */
#include <string.h>

#include "base/base64.h"
#include "base/json.h"
#include "rest/rest_priv.h"

static size_t headers_size(const struct fm_record *rec)
{
    size_t sum = 0;
    struct fm_header h;
    for (size_t i = 0; i < rec->n_headers && fm_record_header(rec, i, &h); i++)
        sum += h.name_len + h.value_len + 10;
    return sum;
}

/* Characters above U+FFFF begin with F0..F4; a proxy writes them as two \uXXXX. */
static size_t high_chars(const char *text, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += (unsigned char)text[i] >= 0xf0;
    return n;
}

size_t fm_batch_stored_size(enum fm_rest_format format, const struct fm_spool_item *item)
{
    const struct fm_record *rec = &item->rec;
    size_t size =
        rec->key_len + fm_record_value_len(rec, item->id.stream, item->id.seq) + FM_RECORD_EXTRA;
    if (rec->n_headers > 0)
        size += headers_size(rec);
    if (fm_typed_is(format))
        size += FM_TYPED_EXTRA;
    if (format != FM_REST_BINARY) {
        if (rec->key != NULL)
            size += 2 + 8 * high_chars(rec->key, rec->key_len);
        size += 8 * high_chars(rec->value, rec->value_len);
    }
    return size;
}

enum fm_rest_format fm_batch_format(enum fm_rest_format format, const struct fm_spool_item *item)
{
    return item->rec.kind == FM_RECORD_RAW ? FM_REST_BINARY : format;
}

/* The same, but without looking at each byte when that cannot matter. */
static bool over_limit(const struct fm_batch_limits *limits, const struct fm_spool_item *item,
                       size_t *size)
{
    *size = item->rec.key_len + item->rec.value_len + FM_RECORD_EXTRA + 64;
    bool exact = limits->dialect == FM_DIALECT_KARAPACE || item->rec.n_headers > 0 ||
                 *size * 3 >= limits->size_limit;
    if (!exact || limits->size_limit == 0)
        return false;
    *size = fm_batch_stored_size(fm_batch_format(limits->format, item), item);
    if (limits->agent != NULL)
        *size += FM_IDENTITY_EXTRA + strlen(limits->agent);
    return limits->size_limit > 0 && *size > limits->size_limit;
}

static void put_base64(struct fm_buf *body, const char *data, size_t len)
{
    fm_buf_putc(body, '"');
    fm_base64_put(body, data, len);
    fm_buf_putc(body, '"');
}

const char *fm_batch_content_type(enum fm_rest_dialect dialect, enum fm_rest_format format)
{
    static const char *const types[] = {
        [FM_REST_JSON] = "Content-Type: application/vnd.kafka.json.v2+json",
        [FM_REST_BINARY] = "Content-Type: application/vnd.kafka.binary.v2+json",
        [FM_REST_AVRO] = "Content-Type: application/vnd.kafka.avro.v2+json",
        [FM_REST_JSONSCHEMA] = "Content-Type: application/vnd.kafka.jsonschema.v2+json"};
    return fm_rest_is_v3(dialect) ? "Content-Type: application/json" : types[format];
}

static void put_value(struct fm_buf *body, const struct fm_batch_limits *limits,
                      enum fm_rest_format format, const struct fm_spool_item *item)
{
    const struct fm_record *rec = &item->rec;
    if (fm_typed_is(format)) {
        fm_typed_value(body, limits->use, limits->o, item);
    } else if (format == FM_REST_JSON) {
        fm_record_value(body, rec, item->id.stream, item->id.seq);
    } else if (rec->id_at == FM_NO_ID) {
        put_base64(body, rec->value, rec->value_len);
    } else {
        struct fm_buf plain;
        fm_buf_init(&plain, 0);
        fm_record_value(&plain, rec, item->id.stream, item->id.seq);
        put_base64(body, plain.data != NULL ? plain.data : "", plain.len);
        if (plain.failed)
            body->failed = true;
        fm_buf_clear(&plain);
    }
}

/* What stands before a record's value, in a body already: the next record's is mostly the same. */
struct opening {
    size_t at, len; /* len 0: none yet */
    enum fm_rest_format format;
    const char *key;
    size_t key_len;
};

static bool opens_alike(const struct opening *o, enum fm_rest_format format,
                        const struct fm_record *rec)
{
    return o->len > 0 && o->format == format && o->key_len == rec->key_len &&
           (o->key == NULL) == (rec->key == NULL) &&
           (rec->key_len == 0 || memcmp(o->key, rec->key, rec->key_len) == 0);
}

static void put_opening(struct fm_buf *body, struct opening *o, enum fm_rest_format format,
                        const struct fm_record *rec)
{
    *o = (struct opening){
        .at = body->len, .format = format, .key = rec->key, .key_len = rec->key_len};
    fm_buf_putc(body, '{');
    if (rec->key != NULL) {
        fm_buf_puts(body, "\"key\":");
        if (format != FM_REST_BINARY)
            fm_json_str(body, rec->key, rec->key_len);
        else
            put_base64(body, rec->key, rec->key_len);
        fm_buf_putc(body, ',');
    }
    fm_buf_puts(body, "\"value\":");
    o->len = body->failed ? 0 : body->len - o->at;
}

/* The most frequent record at once: it differs from the one before only in its value. */
static void put_alike(struct fm_buf *body, const struct opening *o,
                      const struct fm_spool_item *item)
{
    if (!fm_buf_reserve(body, o->len + item->rec.value_len + FM_ID_BYTES + 1))
        return;
    char *to = body->data + body->len;
    memcpy(to, body->data + o->at, o->len);
    to = fm_record_write(to + o->len, &item->rec, item->id.stream, item->id.seq);
    *to++ = '}';
    body->len = (size_t)(to - body->data);
}

static void put_record(struct fm_buf *body, const struct fm_batch_limits *limits,
                       const struct fm_spool_item *item, struct opening *o)
{
    const struct fm_record *rec = &item->rec;
    enum fm_rest_format format = fm_batch_format(limits->format, item);
    bool alike = opens_alike(o, format, rec);
    if (alike && format == FM_REST_JSON && rec->partition == FM_NO_PARTITION) {
        put_alike(body, o, item);
        return;
    }
    if (!alike)
        put_opening(body, o, format, rec);
    else if (fm_buf_reserve(body, o->len))
        fm_buf_put(body, body->data + o->at, o->len);
    put_value(body, limits, format, item);
    if (rec->partition != FM_NO_PARTITION) {
        fm_buf_puts(body, ",\"partition\":");
        fm_buf_i64(body, rec->partition);
    }
    fm_buf_putc(body, '}');
}

/* Whether the record fits behind the first one of the request. */
static bool same_format(const struct fm_batch_limits *limits, const struct fm_spool_batch *batch,
                        size_t n)
{
    const struct fm_spool_item *first = &batch->items[0], *item = &batch->items[n];
    enum fm_rest_format format = fm_batch_format(limits->format, item);
    if (!fm_rest_is_v3(limits->dialect) && format != fm_batch_format(limits->format, first))
        return false;
    return !fm_typed_is(format) || fm_typed_fits(limits->use, limits->o, first, item);
}

/* The records one after the other, without a document around them. */
static bool is_stream(const struct fm_batch_limits *limits)
{
    return limits->dialect == FM_DIALECT_CONFLUENT_V3;
}

/* What stands before the records. @return how many records there may be */
static size_t begin(struct fm_buf *body, const struct fm_batch_limits *limits,
                    const struct fm_spool_batch *batch)
{
    bool v3 = fm_rest_is_v3(limits->dialect);
    bool typed = batch->n > 0 && fm_typed_is(fm_batch_format(limits->format, &batch->items[0]));
    size_t max = batch->n < limits->max_records ? batch->n : limits->max_records;
    if (fm_typed_is(limits->format))
        fm_typed_begin(limits->typed, limits->use, limits->o, batch->items, max);
    fm_buf_reset(body);
    fm_buf_puts(body, !is_stream(limits) ? "{" : "");
    if (typed && !v3)
        fm_typed_head(body, limits->use, limits->o);
    if (!is_stream(limits))
        fm_buf_puts(body, v3 ? "\"entries\":[" : "\"records\":[");
    return typed && max > 1 && fm_typed_alone(limits->typed, limits->use, limits->o) ? 1 : max;
}

enum fm_code fm_batch_build(struct fm_buf *body, const struct fm_batch_limits *limits,
                            const struct fm_spool_batch *batch, size_t *used, struct fm_err *err)
{
    size_t max_body = limits->max_body, sum = 0, n = 0;
    if (limits->dialect == FM_DIALECT_KARAPACE && max_body >= FM_KAFKA_MAX)
        max_body = FM_KAFKA_MAX - 1;
    size_t max = begin(body, limits, batch);
    struct opening opening = {0};
    while (n < max) {
        const struct fm_spool_item *item = &batch->items[n];
        size_t size, before = body->len;
        bool over = over_limit(limits, item, &size);
        /* Karapace's producer batches a request: the limit holds for the sum. */
        bool sum_over = limits->dialect == FM_DIALECT_KARAPACE && limits->size_limit > 0 &&
                        sum + size >= limits->size_limit;
        if (n > 0 && (over || sum_over || !same_format(limits, batch, n)))
            break;
        if (n > 0)
            fm_buf_putc(body, is_stream(limits) ? '\n' : ',');
        if (fm_rest_is_v3(limits->dialect))
            fm_v3_put_record(body, limits, item, n + 1);
        else
            put_record(body, limits, item, &opening);
        if (n > 0 && body->len + 2 > max_body && !body->failed) {
            fm_buf_truncate(body, before);
            break;
        }
        sum += size;
        n++;
        if (over)
            break;
    }
    fm_buf_puts(body, is_stream(limits) ? "" : "]}");
    *used = n;
    return fm_buf_code(body, err);
}
