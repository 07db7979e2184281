/* /metrics: the numbers of /stats in Prometheus' text format 0.0.4. */
#include <stdio.h>
#include <string.h>

#include "agent/document.h"

enum { TARGETS_MAX = 2000 }; /* label sets are bounded */

static void head(struct fm_buf *out, const char *name, const char *type, const char *help)
{
    fm_buf_printf(out, "# HELP firstmile_%s %s\n# TYPE firstmile_%s %s\n", name, help, name, type);
}

/* Label values: backslash, quote and newline escaped, controls and invalid UTF-8 replaced. */
static void put_label(struct fm_buf *out, const char *name, const char *value)
{
    struct fm_buf json;
    fm_buf_init(&json, 0);
    fm_json_cstr(&json, value != NULL ? value : "");
    fm_buf_printf(out, "%s=", name);
    const char *text = fm_buf_str(&json);
    for (size_t i = 0; i < json.len; i++) {
        /* JSON and Prometheus agree on \\ \" \n; a \u or \t escape becomes a blank. */
        if (text[i] == '\\' && strchr("\\\"n", text[i + 1]) == NULL) {
            i += text[i + 1] == 'u' ? 5 : 1;
            fm_buf_putc(out, ' ');
        } else if (text[i] == '\\') {
            fm_buf_put(out, text + i++, 2);
        } else {
            fm_buf_putc(out, text[i]);
        }
    }
    fm_buf_clear(&json);
}

static void one(struct fm_buf *out, const char *name, const char *type, const char *help,
                uint64_t value)
{
    head(out, name, type, help);
    fm_buf_printf(out, "firstmile_%s %llu\n", name, (unsigned long long)value);
}

static void put_hist(struct fm_buf *out, const struct fm_hist *hist)
{
    const char *name = "send_duration_seconds";
    head(out, name, "histogram", "Time from a produce request to its answer.");
    uint64_t sum = 0;
    for (unsigned i = 0; i < FM_HIST_BUCKETS; i++) {
        sum += hist->count[i];
        uint64_t bound = fm_hist_bound_ms(i);
        if (bound != 0)
            fm_buf_printf(out, "firstmile_%s_bucket{le=\"%llu.%03llu\"} %llu\n", name,
                          (unsigned long long)(bound / 1000), (unsigned long long)(bound % 1000),
                          (unsigned long long)sum);
    }
    uint64_t us = hist->sum_us;
    fm_buf_printf(out, "firstmile_%s_bucket{le=\"+Inf\"} %llu\n", name, (unsigned long long)sum);
    fm_buf_printf(out, "firstmile_%s_sum %llu.%06llu\nfirstmile_%s_count %llu\n", name,
                  (unsigned long long)(us / 1000000), (unsigned long long)(us % 1000000), name,
                  (unsigned long long)sum);
}

static void put_rest(struct fm_buf *out, const struct fm_facts *facts)
{
    const struct fm_rest_stats *rest = facts->rest;
    one(out, "records_sent_total", "counter", "Records that the REST proxy accepted.",
        rest->records);
    one(out, "batches_total", "counter", "Produce requests answered or given up.", rest->batches);
    one(out, "sent_bytes_total", "counter", "Bytes of produce bodies.", rest->bytes);
    one(out, "retries_total", "counter", "Records sent again.", rest->retries);
    one(out, "possible_duplicates_total", "counter",
        "Records sent whose fate stayed unknown: at least the true number of duplicates.",
        rest->possible_duplicates);
    one(out, "dead_letters_total", "counter", "Records that became dead letters in this run.",
        rest->dead);
    one(out, "suspects", "gauge", "Records set aside after they were refused alone.",
        rest->suspects);
    head(out, "topic_state", "gauge", "1 for the state in which a topic is.");
    for (size_t i = 0; i < rest->n_topics; i++) {
        fm_buf_puts(out, "firstmile_topic_state{");
        put_label(out, "topic", rest->topics[i].topic);
        fm_buf_printf(out, ",state=\"%s\"} 1\n", fm_rest_state_name(rest->topics[i].state));
    }
    head(out, "endpoint_certificate_days", "gauge", "Days left on the endpoint's certificate.");
    for (size_t i = 0; i < rest->n_endpoints; i++) {
        if (rest->endpoints[i].cert_days < 0)
            continue;
        fm_buf_puts(out, "firstmile_endpoint_certificate_days{");
        put_label(out, "endpoint", rest->endpoints[i].url);
        fm_buf_printf(out, "} %d\n", rest->endpoints[i].cert_days);
    }
    if (facts->latency != NULL)
        put_hist(out, facts->latency);
}

static void put_streams(struct fm_buf *out, const struct fm_spool_stats *spool)
{
    static const struct {
        const char *name, *type, *help;
        size_t offset;
    } rows[] = {
        {"assigned_total", "counter", "Sequence numbers given.",
         offsetof(struct fm_spool_stream, assigned)},
        {"delivered_total", "counter", "Records acknowledged one by one.",
         offsetof(struct fm_spool_stream, delivered)},
        {"pending", "gauge", "Records waiting in the spool.",
         offsetof(struct fm_spool_stream, pending)},
        {"lost_total", "counter", "Records dropped and declared.",
         offsetof(struct fm_spool_stream, lost)},
        {"dead", "gauge", "Records kept as dead letters.", offsetof(struct fm_spool_stream, dead)},
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        char name[64];
        (void)snprintf(name, sizeof name, "stream_%s", rows[r].name);
        head(out, name, rows[r].type, rows[r].help);
        for (size_t i = 0; i < spool->n_streams; i++) {
            const struct fm_spool_stream *s = &spool->streams[i];
            uint64_t value;
            memcpy(&value, (const char *)s + rows[r].offset, sizeof value);
            fm_buf_printf(out, "firstmile_%s{stream=\"%s\",", name, s->stream);
            put_label(out, "topic", s->topic);
            fm_buf_printf(out, "} %llu\n", (unsigned long long)value);
        }
    }
}

static void put_spool(struct fm_buf *out, const struct fm_facts *facts)
{
    const struct fm_spool_stats *spool = facts->spool;
    one(out, "spool_records", "gauge", "Records waiting.", spool->records);
    one(out, "spool_bytes", "gauge", "Bytes of records waiting.", spool->bytes);
    one(out, "spool_disk_bytes", "gauge", "Bytes on disk.", spool->disk_bytes);
    one(out, "spool_durable", "gauge", "1: records survive a power loss.", spool->durable);
    one(out, "spool_unstored_records", "gauge", "Records in memory, not yet on disk.",
        spool->queue_records);
    one(out, "spool_unstored_bytes", "gauge", "Bytes of them.", spool->queue_bytes);
    one(out, "spool_disk_full", "gauge", "1: the disk of the spool is full.", spool->disk_full);
    one(out, "spool_commits_total", "counter", "Transactions.", spool->commits);
    one(out, "spool_commit_failures_total", "counter", "Transactions that failed.",
        spool->commit_failures);
    int64_t age = spool->oldest_ms != 0 ? facts->wall_ms - spool->oldest_ms : 0;
    one(out, "spool_oldest_age_seconds", "gauge", "Age of the oldest record waiting.",
        age > 0 ? (uint64_t)age / 1000 : 0);
    put_streams(out, spool);
}

static void put_targets(struct fm_buf *out, const struct fm_facts *facts)
{
    static const struct {
        const char *name, *type, *help;
    } rows[] = {
        {"target_up", "gauge", "1: the last poll read the target."},
        {"target_polls_total", "counter", "Polls finished, over reloads too."},
        {"target_polls_failed_total", "counter", "Polls that failed."},
        {"target_polls_missed_total", "counter", "Polls that could not start in time."},
        {"target_poll_duration_seconds", "gauge", "Duration of the last poll."},
        {"target_beans", "gauge", "MBeans read in the last poll."},
        {"target_attributes", "gauge", "Values read in the last poll."},
        {"target_attribute_errors_total", "counter", "Attributes that could not be read."},
        {"target_poll_bytes", "gauge", "Bytes received in the last poll."},
        {"target_cut", "gauge", "1: a limit left MBeans out of the last poll."},
    };
    size_t n = facts->n_targets < TARGETS_MAX ? facts->n_targets : TARGETS_MAX;
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        head(out, rows[r].name, rows[r].type, rows[r].help);
        for (size_t i = 0; i < n; i++) {
            const struct fm_poll_status *t = &facts->targets[i];
            const uint64_t values[] = {
                t->state == FM_POLL_UP, t->polls,  t->failed, t->missed, 0, t->beans,
                t->attributes,          t->errors, t->bytes,  t->cut};
            fm_buf_printf(out, "firstmile_%s{", rows[r].name);
            put_label(out, "target", t->name);
            fm_buf_puts(out, "} ");
            if (strstr(rows[r].name, "duration") != NULL)
                fm_json_double(out, t->duration_ms / 1000, FM_JSON_NONFINITE_NULL);
            else
                fm_buf_u64(out, values[r]);
            fm_buf_putc(out, '\n');
        }
    }
}

void fm_document_metrics(const struct fm_facts *facts, struct fm_buf *out)
{
    head(out, "build_info", "gauge", "Version of the agent.");
    fm_buf_printf(out, "firstmile_build_info{version=\"%s\",commit=\"%s\"} 1\n", FM_VERSION,
                  FM_COMMIT);
    head(out, "health", "gauge", "0 ok, 1 degraded, 2 failing.");
    struct fm_buf ignored;
    fm_buf_init(&ignored, 0);
    fm_buf_printf(out, "firstmile_health %d\n", (int)fm_document_health(facts, &ignored, NULL));
    fm_buf_clear(&ignored);
    head(out, "start_time_seconds", "gauge", "Start of the process since 1970.");
    fm_buf_printf(out, "firstmile_start_time_seconds %lld.%03lld\n",
                  (long long)(facts->started_ms / 1000), (long long)(facts->started_ms % 1000));
    one(out, "resident_memory_bytes", "gauge", "Resident memory.", facts->rss_bytes);
    one(out, "log_lines_dropped_total", "counter", "Log lines that nobody read in time.",
        facts->log_dropped);
    one(out, "http_connections", "gauge", "Open connections to the local server.",
        facts->http_open);
    one(out, "http_evicted_total", "counter",
        "Connections the local server refused, or closed to make room or for being slow.",
        facts->http_evicted);
    put_rest(out, facts);
    put_spool(out, facts);
    put_targets(out, facts);
}
