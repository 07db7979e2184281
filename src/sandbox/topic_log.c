#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/topic_log_priv.h"

bool fm_tlog_name_ok(const char *name)
{
    static const char legal[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t len = strlen(name);
    return len > 0 && len <= FM_TLOG_NAME_MAX && strspn(name, legal) == len &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* A number of its own between colons. */
static bool parse_part(const char **at, long min, long max, long *out)
{
    char *end;
    long v = strtol(*at, &end, 10);
    if (end == *at || (*end != ':' && *end != '\0') || v < min || v > max)
        return false;
    *at = *end == ':' ? end + 1 : end;
    *out = v;
    return true;
}

enum fm_code fm_tlog_topic_parse(struct fm_tlog_topic *out, const char *text, struct fm_err *err)
{
    *out = (struct fm_tlog_topic){.partitions = 1, .max_message_bytes = FM_TLOG_MESSAGE_BYTES};
    size_t len = strcspn(text, ":");
    if (len <= FM_TLOG_NAME_MAX)
        memcpy(out->name, text, len);
    if (!fm_tlog_name_ok(out->name))
        return fm_err_set(err, FM_ECONF, "topic %s: not a legal Kafka topic name", text);
    const char *at = text[len] == ':' ? text + len + 1 : text + len;
    long v;
    if (text[len] == ':') {
        if (!parse_part(&at, 1, 10000, &v))
            return fm_err_set(err, FM_ECONF,
                              "topic %s: the number of partitions must lie between 1 and 10000",
                              text);
        out->partitions = (int32_t)v;
    }
    if (*at != '\0') {
        if (!parse_part(&at, 100, 1L << 30, &v) || *at != '\0')
            return fm_err_set(err, FM_ECONF, "topic %s: bad size limit of a message", text);
        out->max_message_bytes = v;
    }
    return FM_OK;
}

void fm_tlog_refuse(struct fm_tlog_verdict *verdict, int error_code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    free(verdict->error);
    if (vasprintf(&verdict->error, fmt, args) < 0)
        verdict->error = NULL;
    va_end(args);
    verdict->error_code = error_code;
}

static size_t varint_size(size_t v)
{
    size_t n = 1;
    for (v *= 2; v >= 0x80; v >>= 7)
        n++;
    return n;
}

size_t fm_tlog_serialized(const struct fm_tlog_record *record)
{
    size_t size = 61 + 21 + 1; /* batch head, record head at most, no headers */
    size += record->has_key ? varint_size(record->key_len) + record->key_len : 1;
    size += record->has_value ? varint_size(record->value_len) + record->value_len : 1;
    return size;
}

bool fm_tlog_precheck(const struct fm_tlog_job *job, size_t i)
{
    struct fm_tlog_verdict *verdict = &job->verdicts[i];
    if (verdict->error_code != 0)
        return false;
    size_t size = fm_tlog_serialized(&job->records[i]);
    if (job->illegal)
        fm_tlog_refuse(verdict, 50002, "Invalid topics: [%s]", job->topic);
    else if (size > FM_TLOG_REQUEST_BYTES)
        fm_tlog_refuse(verdict, 50002,
                       "The message is %zu bytes when serialized which is larger than %d, which is "
                       "the value of the max.request.size configuration.",
                       size, (int)FM_TLOG_REQUEST_BYTES);
    return verdict->error_code == 0;
}

bool fm_tlog_check(struct fm_tlog_job *job, size_t i, const struct fm_tlog_topic *topic,
                   int64_t metadata_timeout_ms)
{
    if (!fm_tlog_precheck(job, i))
        return false;
    struct fm_tlog_verdict *verdict = &job->verdicts[i];
    if (job->records[i].partition >= topic->partitions) {
        fm_tlog_refuse(verdict, 50003,
                       "Partition %d of topic %s with partition count %d is not present in "
                       "metadata after %lld ms.",
                       (int)job->records[i].partition, topic->name, (int)topic->partitions,
                       (long long)metadata_timeout_ms);
        job->block_ms += metadata_timeout_ms;
    } else if ((int64_t)fm_tlog_serialized(&job->records[i]) - 12 > topic->max_message_bytes) {
        fm_tlog_refuse(verdict, 50002,
                       "The request included a message larger than the max message size the "
                       "server will accept.");
    }
    return verdict->error_code == 0;
}

void fm_tlog_refuse_all(struct fm_tlog_job *job, int64_t metadata_timeout_ms)
{
    for (size_t i = 0; i < job->n; i++) {
        if (!fm_tlog_precheck(job, i))
            continue;
        fm_tlog_refuse(&job->verdicts[i], 50003, "Topic %s not present in metadata after %lld ms.",
                       job->topic, (long long)metadata_timeout_ms);
        job->block_ms += metadata_timeout_ms;
    }
}

int32_t fm_tlog_partition(const struct fm_tlog_record *record, int32_t partitions, uint32_t turn)
{
    if (record->partition >= 0)
        return record->partition;
    if (!record->has_key)
        return (int32_t)(turn % (uint32_t)partitions);
    uint32_t hash = 2166136261U; /* FNV-1a */
    for (size_t i = 0; i < record->key_len; i++)
        hash = (hash ^ (unsigned char)record->key[i]) * 16777619U;
    return (int32_t)(hash % (uint32_t)partitions);
}
