/* Choosing the records of the next request, and making requests. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "rest/rest_priv.h"

enum { READ_WAIT_MS = 1000, DRY_MS = 25, MAX_SKIP = 1024 };

static void on_produced(const struct fm_http_answer *http, void *arg)
{
    fm_topic_produced(arg, http);
}

bool fm_rest_bearer(const struct fm_rest_opts *o)
{
    return o->auth == FM_REST_AUTH_BEARER || o->auth == FM_REST_AUTH_OAUTH2;
}

enum fm_code fm_send_request(struct fm_rest *rest, struct fm_http_request *req, const char *path,
                             size_t endpoint, const enum fm_rest_format *format, bool gzip,
                             fm_http_done *done, void *arg, struct fm_call **out,
                             struct fm_err *err)
{
    const struct fm_rest_opts *o = &rest->conf->o;
    const char *headers[7];
    size_t n = 0;
    bool v3 = o->dialect == FM_DIALECT_CONFLUENT_V3;
    headers[n++] = v3 ? "Accept: application/json"
                      : "Accept: application/vnd.kafka.v2+json, application/json;q=0.5";
    headers[n++] = "User-Agent: firstmile/" FM_VERSION;
    if (format != NULL)
        headers[n++] = fm_batch_content_type(o->dialect, *format);
    if (gzip)
        headers[n++] = "Content-Encoding: gzip";
    struct fm_buf url, bearer, pool;
    fm_buf_init(&url, 0);
    fm_buf_init(&bearer, 0);
    fm_buf_init(&pool, 0);
    fm_buf_printf(&url, "%s%s", rest->endpoints[endpoint].url, path);
    if (fm_rest_bearer(o)) {
        fm_buf_printf(&bearer, "Authorization: Bearer %s", fm_buf_str(&rest->secret));
        headers[n++] = fm_buf_str(&bearer);
        if (o->identity_pool != NULL) {
            fm_buf_printf(&pool, "Confluent-Identity-Pool-Id: %s", o->identity_pool);
            headers[n++] = fm_buf_str(&pool);
        }
    } else if (o->auth == FM_REST_AUTH_BASIC) {
        req->username = o->username;
        req->password = fm_buf_str(&rest->secret);
    }
    req->url = fm_buf_str(&url);
    req->headers = headers;
    req->n_headers = n;
    req->tls = &o->tls;
    req->proxy = o->proxy.url != NULL ? &o->proxy : NULL;
    req->connect_to = o->connect_to;
    req->connect_timeout_ms = o->connect_timeout_ms;
    enum fm_code code = fm_buf_code(&url, err);
    if (code == FM_OK)
        code = fm_buf_code(&bearer, err);
    if (code == FM_OK)
        code = fm_buf_code(&pool, err);
    if (code == FM_OK)
        code = fm_client_start(rest->client, req, done, arg, out, err);
    if (bearer.data != NULL)
        explicit_bzero(bearer.data, bearer.cap);
    req->url = NULL; /* they end here */
    req->headers = NULL;
    req->n_headers = 0;
    fm_buf_clear(&url);
    fm_buf_clear(&bearer);
    fm_buf_clear(&pool);
    return code;
}

static unsigned total_ms(const struct fm_topic *t)
{
    const struct fm_rest_opts *o = &t->rest->conf->o;
    bool long_single = o->dialect != FM_DIALECT_KARAPACE && o->dialect != FM_DIALECT_REDPANDA;
    return t->n == 1 && long_single ? o->timeout_single_ms : o->timeout_ms;
}

static bool room_for(struct fm_topic *t, size_t n)
{
    if (n <= t->verdicts_cap)
        return true;
    struct fm_verdict *v = realloc(t->verdicts, n * sizeof *v);
    if (v != NULL)
        t->verdicts = v;
    struct fm_settlement *s = realloc(t->settle, n * sizeof *s);
    if (s != NULL)
        t->settle = s;
    if (v == NULL || s == NULL)
        return false;
    t->verdicts_cap = n;
    return true;
}

static void drop_batch(struct fm_topic *t)
{
    fm_spool_batch_free(t->rest->spool, t->batch);
    t->batch = NULL;
}

/* @return whether packed holds the body now */
static bool compress(struct fm_topic *t)
{
    struct fm_rest *rest = t->rest;
    if (!rest->conf->o.gzip || t->plain || rest->endpoints[rest->cur].no_gzip)
        return false;
    if (rest->gzip == NULL)
        rest->gzip = fm_gzip_new();
    return rest->gzip != NULL && fm_gzip_body(rest->gzip, &t->body, &t->packed);
}

/* The batch is read: build the body and start the request. */
static enum fm_code start_produce(struct fm_topic *t, size_t max_records, int64_t now,
                                  struct fm_err *err)
{
    struct fm_rest *rest = t->rest;
    const struct fm_rest_opts *o = &rest->conf->o;
    size_t max_body = o->batch_bytes;
    if (t->body_limit > 0 && t->body_limit < max_body)
        max_body = t->body_limit;
    struct fm_batch_limits limits = {.dialect = o->dialect,
                                     .format = o->format,
                                     .max_records = max_records,
                                     .max_body = max_body,
                                     .size_limit = t->size_limit,
                                     .typed = &t->typed,
                                     .o = o};
    bool v3 = o->dialect == FM_DIALECT_CONFLUENT_V3;
    limits.agent = v3 ? o->agent : NULL;
    FM_TRY(fm_batch_build(&t->body, &limits, t->batch, &t->n, err));
    if (!room_for(t, t->n))
        return fm_err_nomem(err);
    t->gzip = compress(t);
    const struct fm_buf *sent = t->gzip ? &t->packed : &t->body;
    struct fm_http_request req = {.method = "POST",
                                  .body = sent->data,
                                  .body_len = sent->len,
                                  .timeout_ms = total_ms(t),
                                  .fresh = t->fresh};
    char path[FM_V3_PATH];
    if (v3)
        fm_v3_path(rest->endpoints[rest->cur].cluster, t->name, "/records", path, sizeof path);
    else
        snprintf(path, sizeof path, "/topics/%s", t->name);
    enum fm_rest_format format = fm_batch_format(o->format, &t->batch->items[0]);
    t->endpoint = rest->cur;
    t->sent_at = now;
    t->secret_gen = rest->secret_gen;
    t->flight = FM_FLIGHT_PRODUCE;
    enum fm_code code = fm_send_request(rest, &req, path, rest->cur, &format, t->gzip, on_produced,
                                        t, &t->call, err);
    if (code != FM_OK)
        t->flight = FM_FLIGHT_NONE;
    else
        t->fresh = false;
    return code;
}

/* Read exactly these records. */
static enum fm_code read_only(struct fm_topic *t, const struct fm_spool_id *ids, size_t n,
                              struct fm_err *err)
{
    struct fm_spool_want want = {
        .topic = t->name, .max_records = n, .max_bytes = SIZE_MAX / 2, .only = ids, .n_only = n};
    return fm_spool_read(t->rest->spool, &want, &t->batch, READ_WAIT_MS, err);
}

/* Read from the front of the line, without suspects and what a HOLD saw refused. */
static enum fm_code read_line(struct fm_topic *t, size_t max_records, struct fm_err *err)
{
    struct fm_spool_id skip[MAX_SKIP];
    size_t n = 0;
    for (size_t i = 0; i < t->n_suspects && n < MAX_SKIP; i++)
        skip[n++] = t->suspects[i].id;
    for (size_t i = 0; i < t->n_refused && n < MAX_SKIP; i++)
        skip[n++] = t->refused[i];
    const struct fm_rest_opts *o = &t->rest->conf->o;
    size_t bytes = o->format == FM_REST_BINARY ? o->batch_bytes / 4 * 3 : o->batch_bytes;
    if (t->body_limit > 0 && t->body_limit < bytes)
        bytes = t->body_limit;
    struct fm_spool_want want = {.topic = t->name,
                                 .max_records = max_records,
                                 .max_bytes = bytes,
                                 .skip = skip,
                                 .n_skip = n};
    return fm_spool_read(t->rest->spool, &want, &t->batch, READ_WAIT_MS, err);
}

static void read_failed(struct fm_topic *t, int64_t now, int64_t *due, struct fm_err *err)
{
    fm_log_limited(t->rest->log, FM_LOG_WARN, "rest read",
                   "topic %s: the next records cannot be "
                   "sent: %s",
                   t->name, fm_err_text(err));
    drop_batch(t);
    t->next_at = now + t->rest->conf->o.backoff_ms;
    *due = t->next_at < *due ? t->next_at : *due;
}

/* @return true if a request was started */
static bool send_batch(struct fm_topic *t, enum fm_code read, size_t max_records, int64_t now,
                       int64_t *due, struct fm_err *err)
{
    if (read == FM_OK && t->batch != NULL && t->batch->n == 0) {
        drop_batch(t);
        return false;
    }
    if (read == FM_OK)
        read = start_produce(t, max_records, now, err);
    if (read != FM_OK)
        read_failed(t, now, due, err);
    return read == FM_OK;
}

/* Parts under isolation come before the line. */
static bool send_part(struct fm_topic *t, bool one, int64_t now, int64_t *due)
{
    const size_t max = t->rest->conf->o.batch_records;
    struct fm_spool_id *ids = calloc(one ? 1 : max, sizeof *ids);
    struct fm_err err;
    bool started = false;
    while (ids != NULL && !started && fm_isolate_any(t) && t->next_at <= now) {
        size_t n = fm_isolate_take(t, ids, one ? 1 : max, one);
        t->mode = FM_MODE_PART;
        enum fm_code code = read_only(t, ids, n, &err);
        size_t got = code == FM_OK && t->batch != NULL ? t->batch->n : 0;
        started = send_batch(t, code, got, now, due, &err);
        if (started && t->n < got) /* what did not fit follows as the next part */
            started = fm_isolate_push(t, ids + t->n, got - t->n, false) || started;
    }
    free(ids);
    return started;
}

static bool send_suspect(struct fm_topic *t, const struct fm_suspect *s, int64_t now, int64_t *due)
{
    struct fm_err err;
    struct fm_spool_id id = s->id;
    if (!s->last_p)
        t->no_p_gate = now + t->rest->conf->o.suspect_interval_ms;
    t->mode = FM_MODE_SUSPECT;
    enum fm_code code = read_only(t, &id, 1, &err);
    if (code == FM_OK && t->batch != NULL && t->batch->n == 0) { /* dropped meanwhile */
        struct fm_suspect *gone = fm_suspect_find(t, &id);
        if (gone != NULL)
            fm_suspect_forget(t, gone);
    }
    return send_batch(t, code, 1, now, due, &err);
}

static bool line_ready(struct fm_topic *t, int64_t now, int64_t *due)
{
    const struct fm_rest_opts *o = &t->rest->conf->o;
    uint64_t aside = t->n_suspects + t->n_refused;
    if (t->pending <= aside) {
        t->waiting_since = 0;
        return false;
    }
    if (now < t->dry_until) {
        *due = t->dry_until < *due ? t->dry_until : *due;
        return false;
    }
    if (t->waiting_since == 0)
        t->waiting_since = now;
    uint64_t n = t->pending - aside;
    bool full = n >= o->batch_records || (double)n * t->avg_bytes >= (double)o->batch_bytes ||
                atomic_load(&t->rest->end_of_input);
    if (full || t->state != FM_REST_RUN || now - t->waiting_since >= (int64_t)o->linger_ms)
        return true;
    int64_t at = t->waiting_since + o->linger_ms;
    *due = at < *due ? at : *due;
    return false;
}

static bool send_line(struct fm_topic *t, size_t max_records, int64_t now, int64_t *due)
{
    struct fm_err err;
    if (!line_ready(t, now, due))
        return false;
    t->mode = FM_MODE_LINE;
    bool started = send_batch(t, read_line(t, max_records, &err), max_records, now, due, &err);
    if (started) {
        double bytes = (double)t->batch->bytes / (double)t->batch->n;
        t->avg_bytes = t->avg_bytes > 0 ? t->avg_bytes * 0.8 + bytes * 0.2 : bytes;
        t->waiting_since = 0;
    } else if (t->next_at <= now) { /* the spool's count is ahead of what it gives */
        t->dry_until = now + DRY_MS;
        *due = t->dry_until < *due ? t->dry_until : *due;
    }
    return started;
}

static void send_held(struct fm_topic *t, int64_t now, int64_t *due)
{
    int64_t none = INT64_MAX;
    t->hold_turn = !t->hold_turn;
    bool suspects_first = t->n_suspects > 0 && t->hold_turn;
    if (!suspects_first && send_line(t, 1, now, due))
        return;
    if (t->n_suspects > 0) {
        t->turn = (t->turn + 1) % t->n_suspects;
        if (send_suspect(t, &t->suspects[t->turn], now, &none))
            return;
    }
    if (suspects_first && send_line(t, 1, now, due))
        return;
    t->n_refused = 0; /* all were tried: from the beginning */
    t->next_at = now + t->rest->conf->o.hold_interval_ms;
    *due = t->next_at < *due ? t->next_at : *due;
}

void fm_send_due(struct fm_topic *t, int64_t now, int64_t *due)
{
    bool one = t->state != FM_REST_RUN;
    if (t->pending == 0 && !fm_isolate_any(t)) {
        t->waiting_since = 0;
        return;
    }
    if (atomic_load(&t->rest->end_of_input))
        fm_suspect_bury_due(t);
    if (t->state == FM_REST_HOLD) {
        send_held(t, now, due);
        return;
    }
    if (fm_isolate_any(t) && send_part(t, one, now, due))
        return;
    struct fm_suspect *s = fm_suspect_due(t, now, due);
    if (s != NULL && (!one || t->pending <= t->n_suspects) && send_suspect(t, s, now, due))
        return;
    if (t->next_at <= now)
        send_line(t, one ? 1 : t->rest->conf->o.batch_records, now, due);
}
