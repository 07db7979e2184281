/* The fixed table of paths, and what each shows. */
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/thread.h"
#include "http/http_priv.h"

enum route { PAGE, HEALTH, LIVEZ, READYZ, STATS, METRICS };

static const struct {
    const char *path;
    enum route route;
    bool open; /* without credentials: it says nothing but yes or no */
} routes[] = {
    {"/", PAGE, false},        {"/health", HEALTH, false}, {"/livez", LIVEZ, true},
    {"/readyz", READYZ, true}, {"/stats", STATS, false},   {"/metrics", METRICS, false},
};

static const char json[] = "application/json";
static const char text[] = "text/plain; charset=utf-8";
static const char starting[] = "{\"status\":\"failing\",\"reasons\":[\"the agent is starting; "
                               "nothing was polled or sent yet\"]}\n";
static const char stalled[] = "{\"status\":\"failing\",\"reasons\":[\"the agent itself has stopped "
                              "reporting; restart it\"]}\n";

/* Nothing of ours may be framed, sniffed, stored, or read by another site; no script but the
 * page's own. */
static const char *const common[] = {
    "X-Content-Type-Options: nosniff",
    "Cache-Control: no-store",
    "Cross-Origin-Resource-Policy: same-origin",
    "Cross-Origin-Opener-Policy: same-origin",
    "X-Frame-Options: DENY",
    "Referrer-Policy: no-referrer",
};
enum { N_COMMON = sizeof common / sizeof *common };
static const char closed_policy[] =
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'";

struct lines {
    const char *line[N_COMMON + 2];
};

/* lines: of the reply, which refers to them. */
static void fill(struct fm_server_reply *reply, struct lines *lines, unsigned status,
                 const char *type, const void *body, size_t len, const char *policy,
                 const char *extra)
{
    fm_server_reply_init(reply);
    memcpy(lines->line, common, sizeof common);
    reply->status = status;
    reply->content_type = type;
    reply->body = body;
    reply->body_len = len;
    reply->headers = lines->line;
    reply->n_headers = N_COMMON;
    lines->line[reply->n_headers++] = policy;
    if (extra != NULL)
        lines->line[reply->n_headers++] = extra;
    reply->close = status == 400 || status == 405 || status == 413;
}

static void send_text(struct fm_server_call *call, unsigned status, const char *type,
                      const void *body, size_t len, const char *policy, const char *extra)
{
    struct lines lines;
    struct fm_server_reply reply;
    fill(&reply, &lines, status, type, body, len, policy, extra);
    fm_server_answer(call, &reply);
}

static enum fm_code ready(struct fm_server_ready **out, unsigned status, const char *type,
                          const char *body, size_t len, struct fm_err *err)
{
    struct lines lines;
    struct fm_server_reply reply;
    fill(&reply, &lines, status, type, body, len, closed_policy, NULL);
    return fm_server_ready_new(out, &reply, err);
}

enum fm_code fm_http_make_ready(struct fm_http_set *set, const struct fm_http_docs *docs,
                                struct fm_err *err)
{
    FM_TRY(
        ready(&set->health, docs->failing ? 503 : 200, json, docs->health, docs->health_len, err));
    FM_TRY(ready(&set->stats, 200, json, docs->stats, docs->stats_len, err));
    return ready(&set->metrics, 200, "text/plain; version=0.0.4; charset=utf-8", docs->metrics,
                 docs->metrics_len, err);
}

static void send_plain(struct fm_server_call *call, unsigned status, const char *line,
                       const char *extra)
{
    send_text(call, status, text, line, strlen(line), closed_policy, extra);
}

static void send_page(struct fm_server_call *call)
{
    unsigned char random[18];
    struct fm_buf nonce, page, policy;
    fm_buf_init(&nonce, 64);
    fm_buf_init(&page, 256 << 10);
    fm_buf_init(&policy, 1024);
    bool ok = getrandom(random, sizeof random, 0) == (ssize_t)sizeof random;
    fm_base64_put(&nonce, random, sizeof random);
    fm_http_page(&page, fm_buf_str(&nonce));
    fm_buf_printf(&policy,
                  "Content-Security-Policy: default-src 'none'; script-src 'nonce-%s'; style-src "
                  "'nonce-%s'; connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri "
                  "'none'; form-action 'none'",
                  fm_buf_str(&nonce), fm_buf_str(&nonce));
    if (ok && !page.failed && !policy.failed)
        send_text(call, 200, "text/html; charset=utf-8", page.data, page.len, fm_buf_str(&policy),
                  NULL);
    else
        send_plain(call, 500, "no memory for the page\n", NULL);
    fm_buf_clear(&nonce);
    fm_buf_clear(&page);
    fm_buf_clear(&policy);
}

static bool is_stale(const struct fm_http *http, const struct fm_http_set *set)
{
    return http->stale_ms != 0 && fm_clock_ms() - set->published_ms > (int64_t)http->stale_ms;
}

static void send_health(struct fm_server_call *call, const struct fm_http_set *set, bool stale)
{
    if (set == NULL)
        send_text(call, 503, json, starting, sizeof starting - 1, closed_policy, NULL);
    else if (stale)
        send_text(call, 503, json, stalled, sizeof stalled - 1, closed_policy, NULL);
    else
        fm_server_answer_ready(call, set->health);
}

static void show(struct fm_server_call *call, enum route route, struct fm_http *http)
{
    struct fm_http_set *set = fm_http_set_get(http);
    bool stale = set != NULL && is_stale(http, set);
    switch (route) {
    case PAGE:
        send_page(call);
        break;
    case LIVEZ:
        if (stale)
            send_plain(call, 503, "stalled\n", NULL);
        else
            send_plain(call, 200, "ok\n", NULL);
        break;
    case READYZ:
        if (set != NULL && set->ready && !stale)
            send_plain(call, 200, "ok\n", NULL);
        else
            send_plain(call, 503, set == NULL ? "starting\n" : "not ready\n", NULL);
        break;
    case HEALTH:
        send_health(call, set, stale);
        break;
    case STATS:
        if (set != NULL)
            fm_server_answer_ready(call, set->stats);
        else
            send_text(call, 503, json, "{}\n", 3, closed_policy, NULL);
        break;
    case METRICS:
        if (set != NULL)
            fm_server_answer_ready(call, set->metrics);
        else
            send_plain(call, 503, "", NULL);
        break;
    }
    fm_http_set_put(set);
}

static bool may_read(struct fm_http *http, struct fm_server_call *call)
{
    (void)pthread_mutex_lock(&http->lock);
    bool ok = http->token == NULL ||
              fm_http_auth_ok(fm_server_header(call, "Authorization"), http->token);
    (void)pthread_mutex_unlock(&http->lock);
    return ok;
}

void fm_http_handle(struct fm_server_call *call, void *arg)
{
    struct fm_http *http = arg;
    const char *method = fm_server_method(call);
    unsigned refused = fm_http_guard(http, call);
    if (refused == 421) {
        send_plain(call, 421, "this server does not answer to that name; use its address\n", NULL);
        return;
    }
    if (refused != 0) {
        send_plain(call, refused, "refused: the request comes from another site\n", NULL);
        return;
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        send_plain(call, 405, "only GET and HEAD\n", "Allow: GET, HEAD");
        return;
    }
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (strcmp(fm_server_path(call), routes[i].path) != 0)
            continue;
        if (routes[i].open || may_read(http, call))
            show(call, routes[i].route, http);
        else
            send_plain(call, 401, "user name and password, please\n",
                       "WWW-Authenticate: Basic realm=\"firstmile\", charset=\"UTF-8\"");
        return;
    }
    send_plain(call, 404, "not here; see / /health /livez /readyz /stats /metrics\n", NULL);
}
