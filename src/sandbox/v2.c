#include "sandbox/v2_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/jscan.h"
#include "base/json.h"
#include "base/utf8.h"
#include "sandbox/consumer_priv.h"
#include "sandbox/headers_priv.h"
#include "sandbox/v3_priv.h"

enum { READ_MAX = 1000, READ_MAX_LIMIT = 100000 };

void fm_v2_init(struct fm_v2 *v2)
{
    *v2 = (struct fm_v2){.job = {.partition = -1}};
    fm_buf_init(&v2->decoded, 0);
    fm_buf_init(&v2->reply.body, 0);
}

void fm_v2_clear(struct fm_v2 *v2)
{
    for (size_t i = 0; v2->job.verdicts != NULL && i < v2->job.n; i++)
        free(v2->job.verdicts[i].error);
    for (size_t i = 0; i < v2->n_notes; i++)
        free(v2->notes[i].text);
    free(v2->notes);
    fm_consume_free(v2->consume);
    free(v2->job.verdicts);
    free(v2->job.records);
    fm_buf_clear(&v2->decoded);
    fm_buf_clear(&v2->reply.body);
}

void fm_v2_error(struct fm_v2_reply *reply, unsigned status, int error_code, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fm_utf8_cut(text);
    reply->status = status;
    /* Jersey's own refusals carry no Content-Type. */
    reply->content_type = status == 404 && error_code == 404 ? NULL
                          : status == 405 || status == 406   ? NULL
                                                             : FM_V2_TYPE;
    fm_buf_reset(&reply->body);
    fm_buf_printf(&reply->body, "{\"error_code\":%d,\"message\":", error_code);
    fm_json_cstr(&reply->body, text);
    fm_buf_putc(&reply->body, '}');
}

void fm_v2_jetty_error(struct fm_v2_reply *reply, const struct fm_v2_request *request,
                       unsigned status, const char *message)
{
    reply->status = status;
    reply->content_type = NULL;
    fm_buf_reset(&reply->body);
    if (request->accept != NULL && strstr(request->accept, "application/json") != NULL) {
        reply->content_type = "application/json";
        fm_buf_puts(&reply->body, "{\"message\":");
        fm_json_cstr(&reply->body, message);
        fm_buf_puts(&reply->body, ",\"url\":");
        fm_json_cstr(&reply->body, request->path);
        fm_buf_printf(&reply->body, ",\"status\":\"%u\"}", status);
    } else if (request->accept == NULL || strstr(request->accept, "*/*") != NULL ||
               strstr(request->accept, "text/html") != NULL) {
        reply->content_type = "text/html;charset=iso-8859-1";
        fm_buf_printf(&reply->body,
                      "<html><head><title>Error %u %s</title></head>"
                      "<body><h2>HTTP ERROR %u %s</h2></body></html>\n",
                      status, message, status, message);
    }
}

/* --- what is asked for --- */

static size_t trim(const char **text, size_t len)
{
    while (len > 0 && (**text == ' ' || **text == '\t')) {
        (*text)++;
        len--;
    }
    while (len > 0 && ((*text)[len - 1] == ' ' || (*text)[len - 1] == '\t'))
        len--;
    return len;
}

/* Whether a media range (no parameters) covers the type. */
static bool covers(const char *range, size_t len, const char *type)
{
    if (len == 3 && strncmp(range, "*/*", 3) == 0)
        return true;
    if (len == 13 && strncasecmp(range, "application/*", 13) == 0)
        return true;
    return len == strlen(type) && strncasecmp(range, type, len) == 0;
}

bool fm_v2_accepts(const char *accept, const char *type)
{
    if (accept == NULL)
        return true;
    for (const char *at = accept;;) {
        size_t item = strcspn(at, ",");
        const char *range = at;
        size_t len = trim(&range, strcspn(at, ",;"));
        const char *q = memmem(at, item, "q=0", 3);
        bool refused = q != NULL && (q + 3 == at + item || q[3] == ',' || q[3] == ';');
        if (!refused && covers(range, len, type))
            return true;
        at += item;
        if (*at == '\0')
            return false;
        at++;
    }
}

bool fm_v2_is_type(const char *content_type, const char *type)
{
    size_t len = trim(&content_type, strcspn(content_type, ";"));
    return len == strlen(type) && strncasecmp(content_type, type, len) == 0;
}

static bool parse_partition(const char *text, int32_t *out)
{
    size_t len = strlen(text);
    if (len == 0 || len > 9 || strspn(text, "0123456789") != len)
        return false;
    *out = (int32_t)strtol(text, NULL, 10);
    return true;
}

int fm_v2_split(const char *path, char *copy, size_t size, const char *part[FM_V2_SEGMENTS])
{
    if (path[0] != '/' || strlen(path) >= size)
        return -1;
    (void)snprintf(copy, size, "%s", path + 1);
    size_t len = strlen(copy);
    if (len > 0 && copy[len - 1] == '/')
        copy[len - 1] = '\0';
    if (copy[0] == '\0')
        return 0;
    int n = 0;
    char *rest = copy;
    while (rest != NULL) {
        char *word = strsep(&rest, "/");
        if (n == FM_V2_SEGMENTS || *word == '\0')
            return -1;
        part[n++] = word;
    }
    return n;
}

/* @return false: no such path */
static bool route(struct fm_v2 *v2, const char *path, int32_t *partition, bool *may_post)
{
    char copy[2048];
    const char *part[FM_V2_SEGMENTS];
    int n = fm_v2_split(path, copy, sizeof copy, part);
    *may_post = n == 2 || n == 4;
    if (n == 0) {
        v2->what = FM_V2_ROOT;
        return true;
    }
    if (n < 0 || strcmp(part[0], "topics") != 0)
        return false;
    if (n > 1)
        (void)snprintf(v2->job.topic, sizeof v2->job.topic, "%s", part[1]);
    if (n > 2 && strcmp(part[2], "partitions") != 0)
        return false;
    if (n > 3 && !parse_partition(part[3], partition))
        return false;
    static const enum fm_v2_what by_length[] = {FM_V2_ROOT, FM_V2_TOPICS, FM_V2_TOPIC,
                                                FM_V2_PARTITIONS, FM_V2_PARTITION};
    if (n <= 4)
        v2->what = by_length[n];
    else if (n == 5 && strcmp(part[4], "records") == 0)
        v2->what = FM_V2_RECORDS;
    else if (n == 5 && strcmp(part[4], "offsets") == 0)
        v2->what = FM_V2_OFFSETS;
    else
        return false;
    return true;
}

/* 405, 415, 406 in this order, as JAX-RS asks. */
static bool negotiate(struct fm_v2 *v2, const struct fm_v2_request *req, bool may_post)
{
    bool post = strcmp(req->method, "POST") == 0;
    if (!(post && may_post) && strcmp(req->method, "GET") != 0) {
        fm_v2_error(&v2->reply, 405, 405, "HTTP 405 Method Not Allowed");
        return false;
    }
    if (post)
        v2->what = FM_V2_PRODUCE;
    bool known = true, schema = false;
    if (post && req->content_type != NULL) {
        v2->binary = fm_v2_is_type(req->content_type, FM_V2_BINARY);
        bool avro = fm_v2_is_type(req->content_type, "application/vnd.kafka.avro.v2+json");
        v2->typed =
            avro || fm_v2_is_type(req->content_type, "application/vnd.kafka.jsonschema.v2+json");
        v2->kind = avro ? FM_REGISTRY_AVRO : FM_REGISTRY_JSON;
        schema = fm_v2_is_type(req->content_type, "application/vnd.kafka.protobuf.v2+json") ||
                 (v2->typed && v2->registry == NULL);
        known = v2->binary || v2->typed || schema || fm_v2_is_type(req->content_type, FM_V2_JSON);
    } else if (post) {
        v2->binary = true;
    }
    if (!known) {
        fm_v2_error(&v2->reply, 415, 415, "HTTP 415 Unsupported Media Type");
        return false;
    }
    bool ok = fm_v2_accepts(req->accept, FM_V2_TYPE);
    if (v2->what == FM_V2_RECORDS) {
        bool json = fm_v2_accepts(req->accept, FM_V2_JSON) ||
                    fm_v2_accepts(req->accept, "application/json");
        v2->binary = !json && fm_v2_accepts(req->accept, FM_V2_BINARY);
        ok = json || v2->binary;
    }
    if (!ok)
        fm_v2_error(&v2->reply, 406, 406, "HTTP 406 Not Acceptable");
    else if (schema)
        fm_v2_error(&v2->reply, 422, 42207,
                    "Error serializing message. The sandbox has no Schema Registry: Connection "
                    "refused");
    return ok && !schema;
}

/* --- results of the job --- */

static void emit_name(struct fm_tlog_job *job, const char *name)
{
    struct fm_buf *out = &((struct fm_v2 *)job)->reply.body;
    fm_buf_putc(out, out->len == 0 ? '[' : ',');
    fm_json_cstr(out, name);
}

bool fm_v2_fits_json(bool has, const char *data, size_t len)
{
    struct fm_jscan s;
    if (!has)
        return true;
    fm_jscan_init(&s, data, len);
    return fm_utf8_valid(data, len) && fm_jscan_skip(&s, fm_jscan_next(&s)) &&
           fm_jscan_next(&s) == FM_J_END;
}

void fm_v2_put_bytes(struct fm_v2 *v2, const char *name, bool has, const char *data, size_t len)
{
    struct fm_buf *out = &v2->reply.body;
    fm_json_key(out, name);
    if (!has)
        fm_buf_puts(out, "null");
    else if (v2->binary)
        fm_json_base64(out, data, len);
    else if (fm_v2_fits_json(true, data, len))
        fm_buf_put(out, data, len);
    else
        fm_json_str(out, data, len);
    fm_buf_putc(out, ',');
}

static void emit_record(struct fm_tlog_job *job, const struct fm_tlog_stored *stored)
{
    struct fm_v2 *v2 = (struct fm_v2 *)job;
    struct fm_buf *out = &v2->reply.body;
    fm_buf_puts(out, out->len == 0 ? "[{\"topic\":" : ",{\"topic\":");
    fm_json_cstr(out, job->topic);
    fm_buf_putc(out, ',');
    fm_v2_put_bytes(v2, "key", stored->has_key, stored->key, stored->key_len);
    fm_v2_put_bytes(v2, "value", stored->has_value, stored->value, stored->value_len);
    fm_headers_json(out, stored->headers, stored->headers_len);
    fm_buf_printf(out, "\"partition\":%d,\"offset\":%lld,\"timestamp\":%lld}", (int)job->partition,
                  (long long)stored->offset, (long long)stored->time_ms);
}

bool fm_v2_number(const char *text, long long fallback, long long max, long long *out)
{
    if (text == NULL) {
        *out = fallback;
        return true;
    }
    size_t len = strlen(text);
    if (len == 0 || len > 18 || strspn(text, "0123456789") != len)
        return false;
    *out = strtoll(text, NULL, 10);
    if (*out > max)
        *out = max;
    return true;
}

static bool prepare(struct fm_v2 *v2, const struct fm_v2_request *req, int32_t partition)
{
    struct fm_tlog_job *job = &v2->job;
    static const enum fm_tlog_op ops[] = {
        [FM_V2_TOPICS] = FM_TLOG_TOPICS,    [FM_V2_TOPIC] = FM_TLOG_TOPIC,
        [FM_V2_PARTITIONS] = FM_TLOG_TOPIC, [FM_V2_PARTITION] = FM_TLOG_TOPIC,
        [FM_V2_OFFSETS] = FM_TLOG_READ,     [FM_V2_RECORDS] = FM_TLOG_READ,
        [FM_V2_PRODUCE] = FM_TLOG_PRODUCE};
    job->op = ops[v2->what];
    job->partition = partition;
    job->illegal = !fm_tlog_name_ok(job->topic);
    job->want_limit = v2->what == FM_V2_TOPIC;
    job->emit_name = emit_name;
    job->emit_record = emit_record;
    if (v2->what == FM_V2_PRODUCE)
        return fm_v2_parse_body(v2, req->body, req->body_len, partition);
    long long offset = 0, max = 0;
    if (v2->what == FM_V2_RECORDS && (!fm_v2_number(req->offset, 0, INT64_MAX, &offset) ||
                                      !fm_v2_number(req->max, READ_MAX, READ_MAX_LIMIT, &max))) {
        fm_v2_error(&v2->reply, 400, 400, "offset and max must be numbers");
        return false;
    }
    job->offset = offset;
    job->max = (size_t)max;
    return true;
}

bool fm_v2_parse(struct fm_v2 *v2, const struct fm_v2_request *req)
{
    int32_t partition = -1;
    bool may_post;
    const char *v3 = fm_v3_under(req->path);
    if (strstr(req->path, "//") != NULL) {
        fm_v2_jetty_error(&v2->reply, req, 400, "Ambiguous URI empty segment");
        return false;
    }
    if (v3 != NULL) {
        v2->v3 = true;
        return fm_v3_parse(v2, req, v3);
    }
    if (!route(v2, req->path, &partition, &may_post)) {
        fm_v2_error(&v2->reply, 404, 404, "HTTP 404 Not Found");
        return false;
    }
    if (req->too_large) {
        fm_v2_error(&v2->reply, 413, 413, "HTTP 413 Payload Too Large");
        return false;
    }
    if (!negotiate(v2, req, may_post))
        return false;
    if (v2->what == FM_V2_ROOT) {
        v2->reply.status = 200;
        v2->reply.content_type = FM_V2_TYPE;
        fm_buf_puts(&v2->reply.body, "{}");
        return false;
    }
    return prepare(v2, req, partition);
}

/* --- replies --- */

static void put_partition(struct fm_buf *out, int32_t number)
{
    fm_buf_printf(out,
                  "{\"partition\":%d,\"leader\":1,\"replicas\":[{\"broker\":1,\"leader\":true,"
                  "\"in_sync\":true}]}",
                  (int)number);
}

static void put_partitions(struct fm_buf *out, int32_t count)
{
    fm_buf_putc(out, '[');
    for (int32_t i = 0; i < count; i++) {
        if (i > 0)
            fm_buf_putc(out, ',');
        put_partition(out, i);
    }
    fm_buf_putc(out, ']');
}

static void put_topic(struct fm_buf *out, const struct fm_tlog_job *job)
{
    fm_buf_puts(out, "{\"name\":");
    fm_json_cstr(out, job->topic);
    fm_buf_printf(out,
                  ",\"configs\":{\"cleanup.policy\":\"delete\",\"compression.type\":\"producer\","
                  "\"max.message.bytes\":\"%lld\",\"message.timestamp.type\":\"CreateTime\","
                  "\"min.insync.replicas\":\"1\"},\"partitions\":",
                  (long long)job->max_message_bytes);
    put_partitions(out, job->partitions);
    fm_buf_putc(out, '}');
}

static void put_id(struct fm_buf *out, const char *before, uint32_t id)
{
    fm_buf_puts(out, before);
    if (id == 0)
        fm_buf_puts(out, "null");
    else
        fm_buf_u64(out, id);
}

static void put_verdicts(struct fm_v2 *v2)
{
    struct fm_v2_reply *reply = &v2->reply;
    const struct fm_tlog_job *job = &v2->job;
    struct fm_buf *out = &reply->body;
    fm_buf_puts(out, "{\"offsets\":[");
    for (size_t i = 0; i < job->n; i++) {
        const struct fm_tlog_verdict *v = &job->verdicts[i];
        if (i > 0)
            fm_buf_putc(out, ',');
        if (v->error_code == 0) {
            fm_buf_puts(out, "{\"partition\":");
            fm_buf_i64(out, v->partition);
            fm_buf_puts(out, ",\"offset\":");
            fm_buf_i64(out, v->offset);
            fm_buf_puts(out, ",\"error_code\":null,\"error\":null}");
        } else {
            fm_buf_printf(out, "{\"partition\":null,\"offset\":null,\"error_code\":%d,\"error\":",
                          v->error_code);
            fm_json_cstr(out, v->error);
            fm_buf_putc(out, '}');
            if (reply->status == 200 && (v->error_code == 40101 || v->error_code == 40301))
                reply->status = v->error_code == 40101 ? 401 : 403;
        }
    }
    put_id(out, "],\"key_schema_id\":", v2->key_id);
    put_id(out, ",\"value_schema_id\":", v2->value_id);
    fm_buf_putc(out, '}');
}

static bool job_failed(struct fm_v2 *v2)
{
    const struct fm_tlog_job *job = &v2->job;
    struct fm_v2_reply *reply = &v2->reply;
    switch (job->result) {
    case FM_TLOG_OK:
        return false;
    case FM_TLOG_NO_TOPIC:
        fm_v2_error(reply, 404, 40403, "This server does not host this topic-partition.");
        return true;
    case FM_TLOG_NO_PARTITION:
        fm_v2_error(reply, 404, 40402, "Partition not found.");
        return true;
    case FM_TLOG_DOWN:
        fm_v2_error(reply, 500, 50003, "%s", job->error);
        return true;
    case FM_TLOG_BUSY:
        fm_v2_error(reply, 503, 503, "The sandbox is busy.");
        return true;
    case FM_TLOG_STOPPING:
        fm_v2_error(reply, 503, 503, "The sandbox is stopping.");
        return true;
    case FM_TLOG_FAILED:
        break;
    }
    fm_v2_error(reply, 500, 500, "%s", job->error);
    return true;
}

void fm_v2_render(struct fm_v2 *v2)
{
    const struct fm_tlog_job *job = &v2->job;
    struct fm_v2_reply *reply = &v2->reply;
    struct fm_buf *out = &reply->body;
    if (v2->v3) {
        fm_v3_render(v2);
        return;
    }
    if (job_failed(v2))
        return;
    reply->status = 200;
    reply->content_type = FM_V2_TYPE;
    switch (v2->what) {
    case FM_V2_ROOT:
        break;
    case FM_V2_TOPICS:
        fm_buf_puts(out, out->len == 0 ? "[]" : "]");
        break;
    case FM_V2_TOPIC:
        put_topic(out, job);
        break;
    case FM_V2_PARTITIONS:
        put_partitions(out, job->partitions);
        break;
    case FM_V2_PARTITION:
        if (job->partition < job->partitions)
            put_partition(out, job->partition);
        else
            fm_v2_error(reply, 404, 40402, "Partition not found.");
        break;
    case FM_V2_OFFSETS:
        fm_buf_printf(out, "{\"beginning_offset\":%lld,\"end_offset\":%lld}",
                      (long long)job->beginning, (long long)job->end);
        break;
    case FM_V2_RECORDS:
        reply->content_type = v2->binary ? FM_V2_BINARY : FM_V2_JSON;
        fm_buf_puts(out, out->len == 0 ? "[]" : "]");
        break;
    case FM_V2_PRODUCE:
        put_verdicts(v2);
        break;
    default: /* v3 has its own */
        break;
    }
}
