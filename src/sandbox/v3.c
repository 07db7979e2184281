#include "sandbox/v3_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"

#define BASE "http://127.0.0.1/v3/clusters/"

const char *fm_v3_under(const char *path)
{
    if (strncmp(path, "/kafka/v3/", 10) == 0)
        return path + 9;
    return strncmp(path, "/v3/", 4) == 0 ? path + 3 : NULL;
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), n = strlen(end);
    return len >= n && strcmp(text + len - n, end) == 0;
}

bool fm_v3_is_produce(const char *path)
{
    const char *v3 = fm_v3_under(path);
    return v3 != NULL && strstr(v3, "/topics/") != NULL &&
           (ends_with(v3, "/records") || ends_with(v3, "/records:batch"));
}

bool fm_v3_is_probe(const char *path)
{
    const char *v3 = fm_v3_under(path);
    const char *topic = v3 != NULL ? strstr(v3, "/topics/") : NULL;
    return topic != NULL && strchr(topic + 8, '/') == NULL;
}

void fm_v3_error(struct fm_v2_reply *reply, unsigned status, int error_code, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    fm_utf8_cut(text);
    reply->status = status;
    reply->content_type = "application/json";
    fm_buf_reset(&reply->body);
    fm_buf_printf(&reply->body, "{\"error_code\":%d,\"message\":", error_code);
    fm_json_cstr(&reply->body, text);
    fm_buf_putc(&reply->body, '}');
}

/* ---- what is asked for ---- */

static bool take_topic(struct fm_v2 *v2, const char *name)
{
    (void)snprintf(v2->job.topic, sizeof v2->job.topic, "%s", name);
    v2->job.op = FM_TLOG_TOPIC;
    v2->job.illegal = !fm_tlog_name_ok(v2->job.topic);
    v2->what = FM_V3_TOPIC;
    return true;
}

/* @return false: no such path */
static bool route(struct fm_v2 *v2, const char *path)
{
    char copy[2048];
    const char *part[FM_V2_SEGMENTS];
    int n = fm_v2_split(path, copy, sizeof copy, part);
    if (n < 1 || strcmp(part[0], "clusters") != 0)
        return false;
    v2->what = FM_V3_CLUSTERS;
    if (n > 1) {
        (void)snprintf(v2->cluster, sizeof v2->cluster, "%s", part[1]);
        v2->what = FM_V3_CLUSTER_ONE;
    }
    if (n <= 2)
        return true;
    if (n == 3 || strcmp(part[2], "topics") != 0)
        return false;
    (void)take_topic(v2, part[3]);
    if (n == 4)
        return true;
    v2->batch = n == 5 && strcmp(part[4], "records:batch") == 0;
    if (v2->batch || (n == 5 && strcmp(part[4], "records") == 0)) {
        v2->what = FM_V3_PRODUCE;
        v2->job.op = FM_TLOG_PRODUCE;
        return true;
    }
    v2->what = FM_V3_LIMIT;
    v2->job.want_limit = true;
    return n == 6 && strcmp(part[4], "configs") == 0 && strcmp(part[5], "max.message.bytes") == 0;
}

static bool negotiate(struct fm_v2 *v2, const struct fm_v2_request *req)
{
    bool produce = v2->what == FM_V3_PRODUCE;
    if (strcmp(req->method, produce ? "POST" : "GET") != 0)
        fm_v3_error(&v2->reply, 405, 405, "HTTP 405 Method Not Allowed");
    else if (produce &&
             (req->content_type == NULL || !fm_v2_is_type(req->content_type, "application/json")))
        fm_v3_error(&v2->reply, 415, 415, "HTTP 415 Unsupported Media Type");
    else if (!fm_v2_accepts(req->accept, "application/json"))
        fm_v3_error(&v2->reply, 406, 406, "HTTP 406 Not Acceptable");
    else
        return true;
    return false;
}

static void put_cluster(struct fm_buf *out)
{
    static const char *const links[] = {
        "acls",   "brokers",         "broker-configs",
        "topics", "consumer-groups", "topics/-/partitions/-/reassignment"};
    static const char *const names[] = {"acls",   "brokers",         "broker_configs",
                                        "topics", "consumer_groups", "partition_reassignments"};
    fm_buf_puts(out, "{\"kind\":\"KafkaCluster\",\"metadata\":{\"self\":\"" BASE FM_V3_CLUSTER
                     "\",\"resource_name\":\"crn:///kafka=" FM_V3_CLUSTER
                     "\"},\"cluster_id\":\"" FM_V3_CLUSTER
                     "\",\"controller\":{\"related\":\"" BASE FM_V3_CLUSTER "/brokers/1\"}");
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        fm_buf_printf(out, ",\"%s\":{\"related\":\"" BASE FM_V3_CLUSTER "/%s\"}", names[i],
                      links[i]);
    fm_buf_putc(out, '}');
}

/* What needs no store. */
static void answer_cluster(struct fm_v2 *v2)
{
    struct fm_buf *out = &v2->reply.body;
    v2->reply.status = 200;
    v2->reply.content_type = "application/json";
    if (v2->what == FM_V3_CLUSTER_ONE) {
        put_cluster(out);
        return;
    }
    fm_buf_puts(out, "{\"kind\":\"KafkaClusterList\",\"metadata\":{\"self\":"
                     "\"http://127.0.0.1/v3/clusters\",\"next\":null},\"data\":[");
    put_cluster(out);
    fm_buf_puts(out, "]}");
}

bool fm_v3_parse(struct fm_v2 *v2, const struct fm_v2_request *req, const char *path)
{
    if (!route(v2, path)) {
        fm_v3_error(&v2->reply, 404, 404, "HTTP 404 Not Found");
        return false;
    }
    if (req->too_large) {
        fm_v3_error(&v2->reply, 413, 413, "HTTP 413 Payload Too Large");
        return false;
    }
    if (!negotiate(v2, req))
        return false;
    if (v2->what == FM_V3_PRODUCE)
        return fm_v3_parse_body(v2, req->body, req->body_len);
    if (v2->what != FM_V3_CLUSTERS && strcmp(v2->cluster, FM_V3_CLUSTER) != 0) {
        fm_v3_error(&v2->reply, 404, 404, "Cluster %s cannot be found.", v2->cluster);
        return false;
    }
    if (v2->what == FM_V3_TOPIC || v2->what == FM_V3_LIMIT)
        return true;
    answer_cluster(v2);
    return false;
}

/* ---- replies ---- */

static void put_topic(struct fm_v2 *v2)
{
    struct fm_buf *out = &v2->reply.body;
    const char *t = v2->job.topic; /* a legal name: nothing to escape */
    fm_buf_printf(out,
                  "{\"kind\":\"KafkaTopic\",\"metadata\":{\"self\":\"" BASE FM_V3_CLUSTER
                  "/topics/%s\",\"resource_name\":\"crn:///kafka=" FM_V3_CLUSTER
                  "/topic=%s\"},\"cluster_id\":\"" FM_V3_CLUSTER
                  "\",\"topic_name\":\"%s\",\"is_internal\":false,\"replication_factor\":1,"
                  "\"partitions_count\":%d",
                  t, t, t, (int)v2->job.partitions);
    fm_buf_printf(
        out,
        ",\"partitions\":{\"related\":\"" BASE FM_V3_CLUSTER
        "/topics/%s/partitions\"},\"configs\":{\"related\":\"" BASE FM_V3_CLUSTER
        "/topics/%s/configs\"},\"partition_reassignments\":{\"related\":\"" BASE FM_V3_CLUSTER
        "/topics/%s/partitions/-/reassignment\"},"
        "\"authorized_operations\":[]}",
        t, t, t);
}

static void put_limit(struct fm_v2 *v2)
{
    const char *t = v2->job.topic;
    fm_buf_printf(
        &v2->reply.body,
        "{\"kind\":\"KafkaTopicConfig\",\"metadata\":{\"self\":\"" BASE FM_V3_CLUSTER
        "/topics/%s/configs/max.message.bytes\",\"resource_name\":\"crn:///kafka=" FM_V3_CLUSTER
        "/topic=%s/config=max.message.bytes\"},\"cluster_id\":\"" FM_V3_CLUSTER
        "\",\"topic_name\":\"%s\",\"name\":\"max.message.bytes\","
        "\"value\":\"%lld\",\"is_read_only\":false,\"is_sensitive\":false,"
        "\"source\":\"DEFAULT_CONFIG\",\"synonyms\":[],\"is_default\":true}",
        t, t, t, (long long)v2->job.max_message_bytes);
}

/* The same refusal has another code than in v2. */
static int code_of(const struct fm_tlog_verdict *v)
{
    const char *text = v->error != NULL ? v->error : "";
    if (v->error_code == 50003 && strstr(text, "not present in metadata") != NULL)
        return 40401;
    if (v->error_code == 50002 && strstr(text, "larger than") != NULL)
        return 413;
    return v->error_code == 50002 && strncmp(text, "Invalid topics", 14) == 0 ? 40002
                                                                              : v->error_code;
}

static void put_side(struct fm_buf *out, const struct fm_v2 *v2, const char *name, const char *type,
                     uint32_t schema, bool has, size_t size)
{
    if (!has || type == NULL)
        return;
    fm_buf_printf(out, ",\"%s\":{\"type\":\"%s\",", name, type);
    if (schema != 0)
        fm_buf_printf(out, "\"subject\":\"%s-%s\",\"schema_id\":%u,\"schema_version\":1,",
                      v2->job.topic, name, (unsigned)schema);
    fm_buf_printf(out, "\"size\":%zu}", size);
}

/* One report, without its opening brace and first member. */
static void put_report(struct fm_v2 *v2, size_t i)
{
    struct fm_buf *out = &v2->reply.body;
    const struct fm_tlog_verdict *v = &v2->job.verdicts[i];
    const struct fm_tlog_record *r = &v2->job.records[i];
    const struct fm_v3_note *note = &v2->notes[i];
    if (v->error_code != 0) {
        fm_buf_printf(out, "\"error_code\":%d,\"message\":", code_of(v));
        fm_json_cstr(out, v->error != NULL ? v->error : "");
        fm_buf_putc(out, '}');
        return;
    }
    fm_buf_puts(out, v2->batch ? "\"cluster_id\":" : "\"error_code\":200,\"cluster_id\":");
    fm_json_cstr(out, v2->cluster);
    fm_buf_printf(out,
                  ",\"topic_name\":\"%s\",\"partition_id\":%d,\"offset\":%lld,\"timestamp\":\"%s\"",
                  v2->job.topic, (int)v->partition, (long long)v->offset, note->time);
    put_side(out, v2, "key", note->key_type, note->key_schema, r->has_key, r->key_len);
    put_side(out, v2, "value", note->value_type, note->value_schema, r->has_value, r->value_len);
    fm_buf_putc(out, '}');
}

static void put_stream(struct fm_v2 *v2)
{
    for (size_t i = 0; i < v2->job.n; i++) {
        fm_buf_putc(&v2->reply.body, '{');
        put_report(v2, i);
        fm_buf_puts(&v2->reply.body, "\r\n");
    }
}

static void put_list(struct fm_v2 *v2, const char *name, bool failures)
{
    struct fm_buf *out = &v2->reply.body;
    bool first = true;
    fm_buf_printf(out, "\"%s\":[", name);
    for (size_t i = 0; i < v2->job.n; i++) {
        bool here = (v2->job.verdicts[i].error_code != 0) == failures;
        if (!here && v2->odd.both != i + 1)
            continue;
        fm_buf_puts(out, first ? "{\"id\":\"" : ",{\"id\":\"");
        first = false;
        if (v2->odd.renamed == i + 1)
            fm_buf_puts(out, v2->odd.new_name);
        else
            fm_buf_put(out, v2->notes[i].id, v2->notes[i].id_len);
        fm_buf_puts(out, "\",");
        if (here)
            put_report(v2, i);
        else if (failures)
            fm_buf_puts(out, "\"error_code\":500,\"message\":\"The fault script says so.\"}");
        else
            fm_buf_puts(out, "\"partition_id\":0,\"offset\":0}");
    }
    fm_buf_putc(out, ']');
}

static bool failed(struct fm_v2 *v2)
{
    struct fm_v2_reply *reply = &v2->reply;
    switch (v2->job.result) {
    case FM_TLOG_OK:
        return false;
    case FM_TLOG_NO_TOPIC:
    case FM_TLOG_NO_PARTITION:
        fm_v3_error(reply, 404, 40403, "This server does not host this topic-partition.");
        return true;
    case FM_TLOG_DOWN:
        fm_v3_error(reply, 500, 50003, "%s", v2->job.error);
        return true;
    case FM_TLOG_BUSY:
    case FM_TLOG_STOPPING:
        fm_v3_error(reply, 503, 503, "The sandbox is busy or stopping.");
        return true;
    case FM_TLOG_FAILED:
        break;
    }
    fm_v3_error(reply, 500, 500, "%s", v2->job.error);
    return true;
}

void fm_v3_render(struct fm_v2 *v2)
{
    if (failed(v2))
        return;
    v2->reply.status = v2->batch ? 207 : 200;
    v2->reply.content_type = "application/json";
    if (v2->what == FM_V3_TOPIC) {
        put_topic(v2);
    } else if (v2->what == FM_V3_LIMIT) {
        put_limit(v2);
    } else if (v2->batch) {
        fm_buf_putc(&v2->reply.body, '{');
        put_list(v2, "successes", false);
        fm_buf_putc(&v2->reply.body, ',');
        put_list(v2, "failures", true);
        fm_buf_putc(&v2->reply.body, '}');
    } else {
        put_stream(v2);
    }
}
