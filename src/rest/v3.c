/* What is different in v3: paths, the cluster's id, and the body: one JSON object after the other,
 * or the entries of one document (records:batch). Reference rest-proxy.md, section 2. */
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/jscan.h"
#include "base/json.h"
#include "base/utf8.h"
#include "rest/rest_priv.h"

void fm_v3_path(const char *cluster, const char *topic, const char *tail, char *out, size_t size)
{
    snprintf(out, size, "/clusters/%s/topics/%s%s", cluster, topic, tail);
}

const char *fm_v3_tail(enum fm_rest_dialect dialect)
{
    return dialect == FM_DIALECT_CONFLUENT_V3_BATCH ? "/records:batch" : "/records";
}

enum fm_jtoken fm_v3_enter(struct fm_jscan *s, const char *name)
{
    for (;;) {
        if (fm_jscan_next(s) != FM_J_KEY)
            return FM_J_END;
        bool hit = fm_jscan_is(s, name);
        enum fm_jtoken t = fm_jscan_next(s);
        if (hit)
            return t;
        if (!fm_jscan_skip(s, t))
            return FM_J_END;
    }
}

/* An id goes into a path: nothing that would have to be escaped there. */
bool fm_v3_cluster_valid(const char *id, size_t len)
{
    if (len == 0 || len >= FM_CLUSTER_ID)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = id[i];
        if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' &&
            c != '_' && c != '.')
            return false;
    }
    return true;
}

bool fm_v3_cluster(const char *body, size_t len, char out[FM_CLUSTER_ID])
{
    struct fm_jscan s;
    fm_jscan_init(&s, body, len);
    if (fm_jscan_next(&s) != FM_J_OBJECT || fm_v3_enter(&s, "data") != FM_J_ARRAY ||
        fm_jscan_next(&s) != FM_J_OBJECT || fm_v3_enter(&s, "cluster_id") != FM_J_STRING ||
        !fm_v3_cluster_valid(s.text, s.text_len))
        return false;
    memcpy(out, s.text, s.text_len);
    out[s.text_len] = '\0';
    return true;
}

uint64_t fm_v3_limit(const char *body, size_t len)
{
    struct fm_jscan s;
    fm_jscan_init(&s, body, len);
    if (fm_jscan_next(&s) != FM_J_OBJECT)
        return 0;
    enum fm_jtoken t = fm_v3_enter(&s, "value");
    if ((t != FM_J_STRING && t != FM_J_NUMBER) || s.text_len == 0 || s.text_len > 10)
        return 0;
    uint64_t n = 0;
    for (size_t i = 0; i < s.text_len; i++) {
        if (s.text[i] < '0' || s.text[i] > '9')
            return 0;
        n = n * 10 + (uint64_t)(s.text[i] - '0');
    }
    return n;
}

static void put_header(struct fm_buf *body, bool *first, const char *name, size_t name_len,
                       const char *value, size_t len)
{
    fm_buf_puts(body, *first ? "\"headers\":[{\"name\":" : ",{\"name\":");
    *first = false;
    fm_json_str(body, name, name_len);
    fm_buf_puts(body, ",\"value\":\"");
    fm_base64_put(body, value, len);
    fm_buf_puts(body, "\"}");
}

static void put_headers(struct fm_buf *body, const char *agent, const struct fm_spool_item *item)
{
    bool first = true;
    struct fm_header h;
    for (size_t i = 0; i < item->rec.n_headers && fm_record_header(&item->rec, i, &h); i++)
        put_header(body, &first, h.name, h.name_len, h.value, h.value_len);
    if (agent != NULL) {
        char seq[24];
        int n = snprintf(seq, sizeof seq, "%llu", (unsigned long long)item->id.seq);
        put_header(body, &first, "firstmile-agent", 15, agent, strlen(agent));
        put_header(body, &first, "firstmile-stream", 16, item->id.stream, strlen(item->id.stream));
        put_header(body, &first, "firstmile-seq", 13, seq, (size_t)n);
    }
    if (!first)
        fm_buf_puts(body, "],");
}

static void put_binary(struct fm_buf *body, const char *data, size_t len)
{
    fm_buf_puts(body, "{\"type\":\"BINARY\",\"data\":\"");
    fm_base64_put(body, data, len);
    fm_buf_puts(body, "\"}");
}

/* A STRING is text; bytes that are none stay as they are. */
static void put_key(struct fm_buf *body, const struct fm_record *rec)
{
    fm_buf_puts(body, "\"key\":");
    if (!fm_utf8_valid(rec->key, rec->key_len)) {
        put_binary(body, rec->key, rec->key_len);
    } else {
        fm_buf_puts(body, "{\"type\":\"STRING\",\"data\":");
        fm_json_str(body, rec->key, rec->key_len);
        fm_buf_putc(body, '}');
    }
    fm_buf_putc(body, ',');
}

static void put_value(struct fm_buf *body, const struct fm_batch_limits *limits,
                      enum fm_rest_format format, const struct fm_spool_item *item)
{
    const struct fm_record *rec = &item->rec;
    fm_buf_puts(body, "\"value\":");
    if (fm_typed_is(format)) {
        fm_typed_side(body, limits->use, limits->o, item);
    } else if (format == FM_REST_JSON) {
        fm_buf_puts(body, "{\"type\":\"JSON\",\"data\":");
        fm_record_value(body, rec, item->id.stream, item->id.seq);
        fm_buf_putc(body, '}');
    } else if (rec->id_at == FM_NO_ID) {
        put_binary(body, rec->value, rec->value_len);
    } else {
        struct fm_buf plain;
        fm_buf_init(&plain, 0);
        fm_record_value(&plain, rec, item->id.stream, item->id.seq);
        put_binary(body, plain.data != NULL ? plain.data : "", plain.len);
        body->failed = body->failed || plain.failed;
        fm_buf_clear(&plain);
    }
}

void fm_v3_put_record(struct fm_buf *body, const struct fm_batch_limits *limits,
                      const struct fm_spool_item *item, size_t nth)
{
    const struct fm_record *rec = &item->rec;
    fm_buf_putc(body, '{');
    if (limits->dialect == FM_DIALECT_CONFLUENT_V3_BATCH) {
        fm_buf_puts(body, "\"id\":\"");
        fm_buf_u64(body, nth);
        fm_buf_puts(body, "\",");
    }
    if (rec->partition != FM_NO_PARTITION) {
        fm_buf_puts(body, "\"partition_id\":");
        fm_buf_i64(body, rec->partition);
        fm_buf_putc(body, ',');
    }
    put_headers(body, limits->agent, item);
    if (rec->key != NULL)
        put_key(body, rec);
    put_value(body, limits, fm_batch_format(limits->format, item), item);
    if (rec->time_ms > 0) { /* as text: a number would be read as seconds */
        char when[32];
        fm_wall_text(rec->time_ms, when);
        fm_buf_puts(body, ",\"timestamp\":\"");
        fm_buf_puts(body, when);
        fm_buf_putc(body, '"');
    }
    fm_buf_putc(body, '}');
}
