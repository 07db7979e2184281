/* The answers of the v2 interface: errors, the records of a read, what became of a job. */
#include <stdio.h>
#include <string.h>

#include "base/jscan.h"
#include "base/json.h"
#include "base/utf8.h"
#include "sandbox/headers_priv.h"
#include "sandbox/v2_priv.h"
#include "sandbox/v3_priv.h"

/* --- errors --- */

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

/* --- results of the job --- */

void fm_v2_emit_name(struct fm_tlog_job *job, const char *name)
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

void fm_v2_emit_record(struct fm_tlog_job *job, const struct fm_tlog_stored *stored)
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
