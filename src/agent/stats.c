/* /stats: the JSON of design section 7. */
#include <unistd.h>

#include "agent/document.h"

static void put_int(struct fm_buf *out, const char *key, int64_t v)
{
    fm_buf_putc(out, ',');
    fm_json_key(out, key);
    fm_buf_i64(out, v);
}

static void put_uint(struct fm_buf *out, const char *key, uint64_t v)
{
    fm_buf_putc(out, ',');
    fm_json_key(out, key);
    fm_buf_u64(out, v);
}

static void put_text(struct fm_buf *out, const char *key, const char *text)
{
    fm_buf_putc(out, ',');
    fm_json_key(out, key);
    fm_json_cstr(out, text);
}

static void put_bool(struct fm_buf *out, const char *key, bool v)
{
    fm_buf_putc(out, ',');
    fm_json_key(out, key);
    fm_json_bool(out, v);
}

static void put_real(struct fm_buf *out, const char *key, double v)
{
    fm_buf_putc(out, ',');
    fm_json_key(out, key);
    fm_json_double(out, v, FM_JSON_NONFINITE_NULL);
}

/* Milliseconds, to the microsecond: more digits only look exact. */
static void put_ms(struct fm_buf *out, const char *key, double ms)
{
    put_real(out, key, (double)(int64_t)(ms * 1000 + 0.5) / 1000);
}

static const char *or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

static void put_agent(struct fm_buf *out, const struct fm_facts *facts)
{
    fm_buf_puts(out, "\"agent\":{\"name\":");
    fm_json_cstr(out, facts->name);
    put_text(out, "version", FM_VERSION);
    put_int(out, "started_ms", facts->started_ms);
    put_int(out, "pid", getpid());
    put_uint(out, "rss_bytes", facts->rss_bytes);
    put_bool(out, "sandbox", facts->sandbox);
    put_uint(out, "log_dropped", facts->log_dropped);
    put_uint(out, "http_connections", facts->http_open);
    put_uint(out, "http_evicted", facts->http_evicted);
    put_int(out, "time_ms", facts->wall_ms);
    fm_buf_putc(out, '}');
}

static void put_last_send(struct fm_buf *out, const struct fm_rest_stats *rest)
{
    const struct fm_rest_last_send *last = &rest->last_send;
    if (last->time_ms == 0) {
        fm_buf_puts(out, ",\"last_send\":null");
        return;
    }
    fm_buf_printf(out, ",\"last_send\":{\"time_ms\":%lld", (long long)last->time_ms);
    put_text(out, "endpoint", last->endpoint);
    put_text(out, "topic", last->topic);
    put_int(out, "http_status", last->http_status);
    put_uint(out, "records", last->records);
    put_uint(out, "bytes", last->bytes);
    put_ms(out, "duration_ms", last->duration_ms);
    put_text(out, "error", or_null(last->error));
    fm_buf_putc(out, '}');
}

static void put_totals(struct fm_buf *out, const struct fm_rest_stats *rest,
                       const struct fm_spool_stats *spool)
{
    fm_buf_puts(out, ",\"totals\":{\"records\":");
    fm_buf_u64(out, rest->records);
    put_uint(out, "batches", rest->batches);
    put_uint(out, "bytes", rest->bytes);
    put_uint(out, "retries", rest->retries);
    put_uint(out, "possible_duplicates", rest->possible_duplicates);
    put_uint(out, "lost", spool->lost_total);
    put_uint(out, "dead", rest->dead);
    fm_buf_putc(out, '}');
}

static void put_accounting(struct fm_buf *out, const struct fm_spool_stats *spool)
{
    fm_buf_puts(out, ",\"accounting\":{");
    for (size_t i = 0; i < spool->n_streams; i++) {
        const struct fm_spool_stream *s = &spool->streams[i];
        if (i > 0)
            fm_buf_putc(out, ',');
        fm_json_key(out, s->stream);
        fm_buf_puts(out, "{\"topic\":");
        fm_json_cstr(out, s->topic);
        put_uint(out, "assigned", s->assigned);
        put_uint(out, "delivered", s->delivered);
        put_uint(out, "pending", s->pending);
        put_uint(out, "lost", s->lost);
        put_uint(out, "dead", s->dead);
        fm_buf_putc(out, '}');
    }
    fm_buf_putc(out, '}');
}

static void put_spool(struct fm_buf *out, const struct fm_facts *facts)
{
    const struct fm_spool_stats *spool = facts->spool;
    fm_buf_puts(out, ",\"spool\":{\"records\":");
    fm_buf_u64(out, spool->records);
    put_uint(out, "bytes", spool->bytes);
    put_uint(out, "disk_bytes", spool->disk_bytes);
    put_int(out, "oldest_ms", spool->oldest_ms);
    put_bool(out, "durable", spool->durable);
    put_uint(out, "suspects", facts->rest->suspects);
    put_uint(out, "dead_records", spool->dead_records);
    put_uint(out, "dead_bytes", spool->dead_bytes);
    put_uint(out, "queue_bytes", spool->queue_bytes);
    put_uint(out, "queue_records", spool->queue_records);
    put_bool(out, "disk_full", spool->disk_full);
    put_text(out, "damage", or_null(spool->damage));
    put_uint(out, "commits", spool->commits);
    put_uint(out, "commit_failures", spool->commit_failures);
    put_text(out, "error", or_null(spool->error));
    fm_buf_putc(out, '}');
}

static void put_endpoint(struct fm_buf *out, const struct fm_rest_stats *rest,
                         const struct fm_rest_endpoint *e)
{
    fm_buf_puts(out, "{\"url\":");
    fm_json_cstr(out, e->url);
    put_text(out, "state", fm_rest_state_name(e->state));
    put_int(out, "since_ms", e->since_ms);
    put_bool(out, "current", e->current);
    fm_buf_puts(out, ",\"topics\":{");
    for (size_t i = 0; e->current && i < rest->n_topics; i++) {
        if (i > 0)
            fm_buf_putc(out, ',');
        fm_json_key(out, rest->topics[i].topic);
        fm_json_cstr(out, fm_rest_state_name(rest->topics[i].state));
    }
    fm_buf_putc(out, '}');
    int64_t next = 0;
    for (size_t i = 0; e->current && i < rest->n_topics; i++) {
        int64_t one = rest->topics[i].next_try_ms;
        next = one != 0 && (next == 0 || one < next) ? one : next;
    }
    if (next != 0)
        put_int(out, "next_try_ms", next);
    else
        fm_buf_puts(out, ",\"next_try_ms\":null");
    if (e->cert_days >= 0)
        put_int(out, "cert_days", e->cert_days);
    else
        fm_buf_puts(out, ",\"cert_days\":null");
    static const char *const gzip[] = {[FM_REST_GZIP_NONE] = "none",
                                       [FM_REST_GZIP_ON] = "gzip",
                                       [FM_REST_GZIP_REFUSED] = "refused"};
    put_text(out, "compression", gzip[e->gzip]);
    put_text(out, "reason", or_null(e->reason));
    fm_buf_putc(out, '}');
}

static void put_endpoints(struct fm_buf *out, const struct fm_rest_stats *rest)
{
    fm_buf_puts(out, ",\"endpoints\":[");
    for (size_t i = 0; i < rest->n_endpoints; i++) {
        if (i > 0)
            fm_buf_putc(out, ',');
        put_endpoint(out, rest, &rest->endpoints[i]);
    }
    fm_buf_putc(out, ']');
    put_text(out, "http_proxy", or_null(rest->effective_proxy));
    if (rest->client_cert_days >= 0)
        put_int(out, "client_cert_days", rest->client_cert_days);
    else
        fm_buf_puts(out, ",\"client_cert_days\":null");
    if (!rest->token.used)
        return;
    fm_buf_puts(out, ",\"oauth2\":{\"fetched\":");
    fm_buf_u64(out, rest->token.fetched);
    put_uint(out, "failures", rest->token.failures);
    put_int(out, "expires_ms", rest->token.expires_ms);
    put_text(out, "error", or_null(rest->token.error));
    fm_buf_putc(out, '}');
}

static void put_queries(struct fm_buf *out, const struct fm_poll_status *t)
{
    fm_buf_puts(out, ",\"queries\":[");
    for (size_t i = 0; i < t->n_queries; i++) {
        const struct fm_poll_query_status *q = &t->queries[i];
        fm_buf_puts(out, i > 0 ? ",{\"name\":" : "{\"name\":");
        fm_json_cstr(out, q->name);
        put_uint(out, "matched", q->matched);
        put_uint(out, "beans", q->beans);
        put_uint(out, "asked", q->asked);
        put_uint(out, "attributes", q->attributes);
        put_uint(out, "errors", q->errors);
        put_uint(out, "bytes", q->bytes);
        put_ms(out, "duration_ms", q->duration_ms);
        put_bool(out, "cut", q->cut);
        put_text(out, "error", q->error);
        fm_buf_putc(out, '}');
    }
    fm_buf_putc(out, ']');
}

static void put_target(struct fm_buf *out, const struct fm_poll_status *t)
{
    fm_buf_puts(out, "{\"name\":");
    fm_json_cstr(out, t->name);
    put_text(out, "url", t->url);
    put_text(out, "state", t->state_name);
    put_int(out, "since_ms", t->state_ms);
    fm_buf_printf(out, ",\"last_poll\":{\"time_ms\":%lld", (long long)t->time_ms);
    put_ms(out, "duration_ms", t->duration_ms);
    put_uint(out, "late_ms", t->late_ms);
    put_uint(out, "bytes", t->bytes);
    put_uint(out, "bytes_out", t->bytes_out);
    put_uint(out, "round_trips", t->round_trips);
    fm_buf_putc(out, '}');
    put_uint(out, "beans", t->beans);
    put_uint(out, "attributes", t->attributes);
    put_uint(out, "errors", t->errors);
    put_uint(out, "polls", t->polls);
    put_uint(out, "failed", t->failed);
    put_uint(out, "missed", t->missed);
    put_bool(out, "cut", t->cut);
    put_text(out, "jvm", t->jvm);
    put_text(out, "error", t->error);
    put_queries(out, t);
    fm_buf_putc(out, '}');
}

static void put_files(struct fm_buf *out, const struct fm_poll_files *f, bool first)
{
    fm_buf_puts(out, first ? "{\"section\":" : ",{\"section\":");
    fm_json_cstr(out, f->section);
    put_text(out, "path", f->path);
    put_uint(out, "files", f->files);
    put_uint(out, "targets", f->targets);
    put_int(out, "read_ms", f->read_ms);
    put_text(out, "error", f->error);
    fm_buf_putc(out, '}');
}

void fm_document_stats(const struct fm_facts *facts, struct fm_buf *out)
{
    fm_buf_putc(out, '{');
    put_agent(out, facts);
    put_last_send(out, facts->rest);
    put_totals(out, facts->rest, facts->spool);
    put_accounting(out, facts->spool);
    put_spool(out, facts);
    put_endpoints(out, facts->rest);
    fm_buf_puts(out, ",\"targets\":[");
    for (size_t i = 0; i < facts->n_targets; i++) {
        if (i > 0)
            fm_buf_putc(out, ',');
        put_target(out, &facts->targets[i]);
    }
    fm_buf_puts(out, "],\"targets_files\":[");
    for (size_t i = 0; i < facts->n_files; i++)
        put_files(out, &facts->files[i], i == 0);
    fm_buf_puts(out, "]}");
}
