/* What a proxy answers to a consumer, taken apart. The members of an object come in any order. */
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/jscan.h"
#include "rest/consumer_priv.h"

enum { HEADERS = 64 }; /* kept of a record; ours are three */

void fm_consume_scratch_init(struct fm_consume_scratch *s)
{
    fm_buf_init(&s->topic, 0);
    fm_buf_init(&s->key, 0);
    fm_buf_init(&s->value, 0);
    fm_buf_init(&s->headers, 0);
    fm_buf_init(&s->text, 0);
}

void fm_consume_scratch_clear(struct fm_consume_scratch *s)
{
    fm_buf_clear(&s->topic);
    fm_buf_clear(&s->key);
    fm_buf_clear(&s->value);
    fm_buf_clear(&s->headers);
    fm_buf_clear(&s->text);
}

/* ---- records ---- */

struct text {
    const char *data; /* NULL: none */
    size_t len;
};

struct record {
    struct text key, value;
    int64_t partition, offset; /* -1: not given */
    bool has_topic;
    size_t n_headers;
    size_t ends[2 * HEADERS]; /* in scratch->headers: of name and value */
    bool null[HEADERS];
};

/* The current string, from base64. @return false: it is none */
static bool decode(const struct fm_jscan *s, struct fm_consume_scratch *scratch, struct fm_buf *out)
{
    fm_buf_reset(&scratch->text);
    fm_jscan_string(s, &scratch->text);
    return fm_base64_get(out, fm_buf_str(&scratch->text), scratch->text.len);
}

/* A key or value. */
static bool read_bytes(struct fm_jscan *s, enum fm_jtoken token, bool binary,
                       struct fm_consume_scratch *scratch, struct fm_buf *buf, struct text *out)
{
    if (binary && token == FM_J_STRING) {
        fm_buf_reset(buf);
        if (!decode(s, scratch, buf))
            return false;
        *out = (struct text){fm_buf_str(buf), buf->len};
        return true;
    }
    if (binary || token == FM_J_NULL)
        return token == FM_J_NULL;
    size_t start = token == FM_J_STRING   ? (size_t)(s->text - s->data) - 1
                   : token == FM_J_NUMBER ? (size_t)(s->text - s->data)
                   : token == FM_J_TRUE   ? s->at - 4
                   : token == FM_J_FALSE  ? s->at - 5
                                          : s->at - 1;
    if (!fm_jscan_skip(s, token))
        return false;
    *out = (struct text){s->data + start, s->at - start};
    return true;
}

/* {"key":"name","value":"base64"}, into the next place of the record. */
static bool read_header(struct fm_jscan *s, struct fm_consume_scratch *scratch, struct record *r)
{
    struct fm_buf *out = &scratch->headers;
    size_t start = out->len, i = r->n_headers;
    enum fm_jtoken token;
    struct fm_jscan name = {.data = NULL}, value = {.data = NULL};
    while ((token = fm_jscan_next(s)) == FM_J_KEY) {
        bool is_name = fm_jscan_is(s, "key"), is_value = fm_jscan_is(s, "value");
        token = fm_jscan_next(s);
        if (token == FM_J_STRING && is_name)
            name = *s;
        else if (token == FM_J_STRING && is_value)
            value = *s;
        if (!fm_jscan_skip(s, token))
            return false;
    }
    if (token != FM_J_OBJECT_END)
        return false;
    if (i == HEADERS || name.data == NULL)
        return true; /* another's */
    fm_jscan_string(&name, out);
    r->ends[2 * i] = out->len;
    r->null[i] = value.data == NULL;
    if (value.data != NULL && !decode(&value, scratch, out)) {
        fm_buf_truncate(out, start);
        return true;
    }
    r->ends[2 * i + 1] = out->len;
    r->n_headers++;
    return true;
}

static bool read_headers(struct fm_jscan *s, struct fm_consume_scratch *scratch, struct record *r)
{
    enum fm_jtoken token;
    while ((token = fm_jscan_next(s)) != FM_J_ARRAY_END)
        if (token == FM_J_ERROR ||
            (token == FM_J_OBJECT ? !read_header(s, scratch, r) : !fm_jscan_skip(s, token)))
            return false;
    return true;
}

static bool read_member(struct fm_jscan *s, bool binary, struct fm_consume_scratch *scratch,
                        struct record *r)
{
    const struct fm_jscan key = *s;
    enum fm_jtoken token = fm_jscan_next(s);
    if (fm_jscan_is(&key, "key"))
        return read_bytes(s, token, binary, scratch, &scratch->key, &r->key);
    if (fm_jscan_is(&key, "value"))
        return read_bytes(s, token, binary, scratch, &scratch->value, &r->value);
    if (fm_jscan_is(&key, "headers") && token == FM_J_ARRAY)
        return read_headers(s, scratch, r);
    if (fm_jscan_is(&key, "topic") && token == FM_J_STRING) {
        fm_buf_reset(&scratch->topic);
        fm_jscan_string(s, &scratch->topic);
        r->has_topic = true;
    } else if (fm_jscan_is(&key, "partition")) {
        if (token != FM_J_NUMBER || !fm_jscan_i64(s, &r->partition) || r->partition < 0 ||
            r->partition > INT32_MAX)
            return false;
    } else if (fm_jscan_is(&key, "offset")) {
        if (token != FM_J_NUMBER || !fm_jscan_i64(s, &r->offset) || r->offset < 0)
            return false;
    }
    return fm_jscan_skip(s, token);
}

/* The scanner stands behind the brace. @return false: this is no record */
static bool read_record(struct fm_jscan *s, bool binary, struct fm_consume_scratch *scratch,
                        struct record *r)
{
    enum fm_jtoken token;
    r->key = r->value = (struct text){NULL, 0};
    r->partition = r->offset = -1;
    r->n_headers = 0;
    r->has_topic = false;
    fm_buf_reset(&scratch->headers);
    while ((token = fm_jscan_next(s)) == FM_J_KEY)
        if (!read_member(s, binary, scratch, r))
            return false;
    return token == FM_J_OBJECT_END && r->partition >= 0 && r->offset >= 0 && r->has_topic;
}

static enum fm_code give(const struct record *r, struct fm_consume_scratch *scratch,
                         fm_rest_consumed_fn *fn, void *arg, struct fm_err *err)
{
    struct fm_header headers[HEADERS];
    const char *text = fm_buf_str(&scratch->headers);
    for (size_t i = 0, start = 0; i < r->n_headers; i++) {
        size_t middle = r->ends[2 * i], end = r->ends[2 * i + 1];
        headers[i] = (struct fm_header){text + start, middle - start,
                                        r->null[i] ? NULL : text + middle, end - middle};
        start = end;
    }
    const struct fm_rest_consumed out = {.partition = (int32_t)r->partition,
                                         .offset = r->offset,
                                         .key = r->key.data,
                                         .key_len = r->key.len,
                                         .value = r->value.data,
                                         .value_len = r->value.len,
                                         .headers = headers,
                                         .n_headers = r->n_headers};
    return fn(arg, &out, err);
}

static enum fm_code scratch_code(const struct fm_consume_scratch *s, struct fm_err *err)
{
    FM_TRY(fm_buf_code(&s->topic, err));
    FM_TRY(fm_buf_code(&s->key, err));
    FM_TRY(fm_buf_code(&s->value, err));
    FM_TRY(fm_buf_code(&s->headers, err));
    return fm_buf_code(&s->text, err);
}

enum fm_code fm_consume_records(const char *body, size_t len, bool binary, const char *topic,
                                struct fm_consume_scratch *scratch, fm_rest_consumed_fn *fn,
                                void *arg, struct fm_err *err)
{
    struct fm_jscan s;
    struct record r;
    enum fm_jtoken token = FM_J_ERROR;
    fm_jscan_init(&s, body, len);
    bool good = fm_jscan_next(&s) == FM_J_ARRAY;
    while (good && (token = fm_jscan_next(&s)) == FM_J_OBJECT) {
        good = read_record(&s, binary, scratch, &r);
        FM_TRY(scratch_code(scratch, err));
        if (good && strcmp(fm_buf_str(&scratch->topic), topic) == 0)
            FM_TRY(give(&r, scratch, fn, arg, err));
    }
    if (!good || token != FM_J_ARRAY_END || fm_jscan_next(&s) != FM_J_END)
        return fm_err_set(err, FM_EPROTO, "the proxy's answer is no list of records");
    return FM_OK;
}

/* ---- partitions and offsets ---- */

bool fm_consume_ends(const char *body, size_t len, int64_t *begin, int64_t *end)
{
    struct fm_jscan s;
    enum fm_jtoken token;
    *begin = *end = -1;
    fm_jscan_init(&s, body, len);
    if (fm_jscan_next(&s) != FM_J_OBJECT)
        return false;
    while ((token = fm_jscan_next(&s)) == FM_J_KEY) {
        int64_t *to = fm_jscan_is(&s, "beginning_offset") ? begin
                      : fm_jscan_is(&s, "end_offset")     ? end
                                                          : NULL;
        token = fm_jscan_next(&s);
        if (to != NULL && (token != FM_J_NUMBER || !fm_jscan_i64(&s, to)))
            return false;
        if (!fm_jscan_skip(&s, token))
            return false;
    }
    return token == FM_J_OBJECT_END && *begin >= 0 && *end >= *begin;
}

/* {"partition":N,...} */
static bool read_partition(struct fm_jscan *s, int64_t *number)
{
    enum fm_jtoken token;
    *number = -1;
    while ((token = fm_jscan_next(s)) == FM_J_KEY) {
        bool mine = fm_jscan_is(s, "partition");
        token = fm_jscan_next(s);
        if (mine && (token != FM_J_NUMBER || !fm_jscan_i64(s, number)))
            return false;
        if (!fm_jscan_skip(s, token))
            return false;
    }
    return token == FM_J_OBJECT_END && *number >= 0 && *number <= INT32_MAX;
}

static int by_number(const void *a, const void *b)
{
    const int32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static enum fm_code add_number(int32_t **list, size_t *n, int64_t number, struct fm_err *err)
{
    if (*n == FM_CONSUME_PARTITIONS)
        return fm_err_set(err, FM_ELIMIT, "the topic has more than %d partitions",
                          FM_CONSUME_PARTITIONS);
    if ((*n & (*n - 1)) == 0) { /* a power of two: full */
        int32_t *more = realloc(*list, (*n > 0 ? *n * 2 : 1) * sizeof *more);
        if (more == NULL)
            return fm_err_nomem(err);
        *list = more;
    }
    (*list)[(*n)++] = (int32_t)number;
    return FM_OK;
}

enum fm_code fm_consume_partitions(const char *body, size_t len, int32_t **out, size_t *n,
                                   struct fm_err *err)
{
    struct fm_jscan s;
    enum fm_jtoken token = FM_J_ERROR;
    enum fm_code code = FM_OK;
    int64_t number;
    *out = NULL;
    *n = 0;
    fm_jscan_init(&s, body, len);
    bool good = fm_jscan_next(&s) == FM_J_ARRAY;
    while (good && code == FM_OK && (token = fm_jscan_next(&s)) == FM_J_OBJECT) {
        good = read_partition(&s, &number);
        if (good)
            code = add_number(out, n, number, err);
    }
    if (code == FM_OK && (!good || token != FM_J_ARRAY_END || *n == 0))
        code = fm_err_set(err, FM_EPROTO, "the proxy's answer is no list of partitions");
    if (code != FM_OK) {
        free(*out);
        *out = NULL;
        *n = 0;
        return code;
    }
    qsort(*out, *n, sizeof **out, by_number);
    size_t kept = 1;
    for (size_t i = 1; i < *n; i++) /* each once */
        if ((*out)[i] != (*out)[kept - 1])
            (*out)[kept++] = (*out)[i];
    *n = kept;
    return FM_OK;
}

bool fm_consume_created(const char *body, size_t len, char *out, size_t size)
{
    static const char legal[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    struct fm_jscan s;
    enum fm_jtoken token;
    struct fm_buf text;
    out[0] = '\0';
    fm_jscan_init(&s, body, len);
    if (fm_jscan_next(&s) != FM_J_OBJECT)
        return false;
    fm_buf_init(&text, size);
    while ((token = fm_jscan_next(&s)) == FM_J_KEY) {
        bool mine = fm_jscan_is(&s, "instance_id");
        token = fm_jscan_next(&s);
        if (mine && token == FM_J_STRING) {
            fm_buf_reset(&text);
            fm_jscan_string(&s, &text);
        }
        if (!fm_jscan_skip(&s, token))
            break;
    }
    const char *name = fm_buf_str(&text);
    size_t n = strlen(name);
    bool good =
        token == FM_J_OBJECT_END && n > 0 && n < size && n == text.len && strspn(name, legal) == n;
    if (good)
        memcpy(out, name, n + 1);
    fm_buf_clear(&text);
    return good;
}
