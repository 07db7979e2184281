/* Making requests. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rest/topic_priv.h"

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
    bool v3 = fm_rest_is_v3(o->dialect);
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

static void on_produced(const struct fm_http_answer *http, void *arg)
{
    fm_request_answered(arg, http);
}

static unsigned total_ms(const struct fm_request *r)
{
    const struct fm_rest_opts *o = &r->topic->rest->conf->o;
    bool long_single = o->dialect != FM_DIALECT_KARAPACE && o->dialect != FM_DIALECT_REDPANDA;
    return r->n == 1 && long_single ? o->timeout_single_ms : o->timeout_ms;
}

static bool room_for(struct fm_request *r, size_t n)
{
    if (n <= r->cap)
        return true;
    struct fm_verdict *v = realloc(r->verdicts, n * sizeof *v);
    if (v != NULL)
        r->verdicts = v;
    struct fm_settlement *s = realloc(r->settle, n * sizeof *s);
    if (s != NULL)
        r->settle = s;
    if (v == NULL || s == NULL)
        return false;
    r->cap = n;
    return true;
}

/* @return whether packed holds the body now */
static bool compress(struct fm_request *r)
{
    struct fm_rest *rest = r->topic->rest;
    if (!rest->conf->o.gzip || r->topic->plain || rest->endpoints[rest->cur].no_gzip)
        return false;
    if (rest->gzip == NULL)
        rest->gzip = fm_gzip_new();
    return rest->gzip != NULL && fm_gzip_body(rest->gzip, &r->body, &r->packed);
}

enum fm_code fm_request_produce(struct fm_request *r, size_t max_records, int64_t now,
                                struct fm_err *err)
{
    struct fm_topic *t = r->topic;
    struct fm_rest *rest = t->rest;
    const struct fm_rest_opts *o = &rest->conf->o;
    size_t max_body = fm_size_body(t, o->batch_bytes);
    struct fm_batch_limits limits = {.dialect = o->dialect,
                                     .format = o->format,
                                     .max_records = max_records,
                                     .max_body = max_body,
                                     .size_limit = t->size.limit,
                                     .typed = &t->typed,
                                     .use = &r->typed,
                                     .o = o};
    bool v3 = fm_rest_is_v3(o->dialect);
    limits.agent = v3 ? o->agent : NULL;
    FM_TRY(fm_batch_build(&r->body, &limits, r->batch, &r->n, err));
    if (!room_for(r, r->n))
        return fm_err_nomem(err);
    r->gzip = compress(r);
    const struct fm_buf *sent = r->gzip ? &r->packed : &r->body;
    struct fm_http_request req = {.method = "POST",
                                  .body = sent->data,
                                  .body_len = sent->len,
                                  .timeout_ms = total_ms(r),
                                  .fresh = t->fresh};
    char path[FM_V3_PATH];
    if (v3)
        fm_v3_path(rest->endpoints[rest->cur].cluster, t->name, fm_v3_tail(o->dialect), path,
                   sizeof path);
    else
        snprintf(path, sizeof path, "/topics/%s", t->name);
    enum fm_rest_format format = fm_batch_format(o->format, &r->batch->items[0]);
    r->endpoint = rest->cur;
    r->sent_at = now;
    r->secret_gen = rest->secret_gen;
    r->flight = FM_FLIGHT_PRODUCE;
    enum fm_code code = fm_send_request(rest, &req, path, rest->cur, &format, r->gzip, on_produced,
                                        r, &r->call, err);
    if (code != FM_OK)
        r->flight = FM_FLIGHT_NONE;
    else
        t->fresh = false;
    return code;
}

int64_t fm_request_quiet_since(const struct fm_request *r)
{
    return r->flight == FM_FLIGHT_NONE ? 0
           : r->call != NULL           ? fm_call_quiet_since(r->call)
                                       : r->sent_at;
}

void fm_request_init(struct fm_request *r, struct fm_topic *t, struct fm_lane *lane)
{
    *r = (struct fm_request){.topic = t, .lane = lane};
    fm_buf_init(&r->body, 0);
    fm_buf_init(&r->packed, 0);
}

void fm_request_clear(struct fm_request *r)
{
    if (r->lane == NULL)
        fm_spool_batch_free(r->topic->rest->spool, r->batch);
    r->batch = NULL;
    fm_buf_clear(&r->body);
    fm_buf_clear(&r->packed);
    free(r->verdicts);
    free(r->settle);
    r->verdicts = NULL;
    r->settle = NULL;
}
