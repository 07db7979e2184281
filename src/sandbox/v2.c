/* The requests of the v2 interface: paths, media types, and the job that is to be run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "sandbox/consumer_priv.h"
#include "sandbox/v2_priv.h"
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
    job->emit_name = fm_v2_emit_name;
    job->emit_record = fm_v2_emit_record;
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
