#include "rest/ask_priv.h"

#include <string.h>

#include "rest/topic_priv.h"

enum {
    SLICE_MS = 100, /* between two looks at the stop */
    LINES = 5, /* URL and headers */
    SECRET = 3 /* the one with the token */
};

struct wait {
    struct fm_http_answer *http;
    struct fm_buf *body;
    bool done;
};

static void take(const struct fm_http_answer *answer, void *arg)
{
    struct wait *w = arg;
    w->done = true;
    *w->http = *answer;
    w->http->content_type = "";
    w->http->retry_after = NULL;
    w->http->location = NULL;
    fm_buf_put(w->body, answer->body, answer->body_len);
    w->http->body = fm_buf_str(w->body);
    w->http->body_len = w->body->len;
}

static enum fm_code wait_for(const struct fm_asker *asker, struct fm_call *call, struct wait *w,
                             struct fm_err *err)
{
    while (!w->done) {
        enum fm_code code =
            fm_client_poll(asker->client, asker->stop != NULL ? SLICE_MS : 1000, err);
        if (w->done)
            break;
        if (code != FM_OK || (asker->stop != NULL && asker->stop(asker->arg)))
            fm_client_cancel(asker->client, call); /* ends in take() */
        FM_TRY(code);
    }
    return fm_buf_code(w->body, err);
}

static enum fm_code start(const struct fm_asker *asker, const struct fm_question *q,
                          struct fm_buf *lines, struct wait *w, struct fm_err *err)
{
    const struct fm_rest_opts *o = asker->way;
    const char *headers[LINES - 1];
    struct fm_http_request req = {.method = q->method,
                                  .headers = headers,
                                  .body = q->body,
                                  .body_len = q->body_len,
                                  .tls = &o->tls,
                                  .proxy = o->proxy.url != NULL ? &o->proxy : NULL,
                                  .connect_to = o->connect_to,
                                  .connect_timeout_ms = o->connect_timeout_ms,
                                  .timeout_ms = q->timeout_ms,
                                  .max_answer = q->max_answer};
    fm_buf_printf(&lines[0], "%s%s", q->base, q->path);
    fm_buf_printf(&lines[1], "Accept: %s", q->accept);
    headers[req.n_headers++] = fm_buf_str(&lines[1]);
    if (q->content_type != NULL) {
        fm_buf_printf(&lines[2], "Content-Type: %s", q->content_type);
        headers[req.n_headers++] = fm_buf_str(&lines[2]);
    }
    if (o->auth == FM_REST_AUTH_BASIC) {
        req.username = o->username;
        req.password = o->password;
    } else if (fm_rest_bearer(o)) {
        fm_buf_printf(&lines[SECRET], "Authorization: Bearer %s",
                      asker->token != NULL ? asker->token : "");
        headers[req.n_headers++] = fm_buf_str(&lines[SECRET]);
        if (o->identity_pool != NULL) {
            fm_buf_printf(&lines[4], "Confluent-Identity-Pool-Id: %s", o->identity_pool);
            headers[req.n_headers++] = fm_buf_str(&lines[4]);
        }
    }
    for (int i = 0; i < LINES; i++)
        FM_TRY(fm_buf_code(&lines[i], err));
    req.url = fm_buf_str(&lines[0]);
    struct fm_call *call = NULL;
    FM_TRY(fm_client_start(asker->client, &req, take, w, &call, err));
    return wait_for(asker, call, w, err);
}

enum fm_code fm_ask(const struct fm_asker *asker, const struct fm_question *question,
                    struct fm_http_answer *http, struct fm_buf *body, struct fm_err *err)
{
    struct fm_buf lines[LINES];
    struct wait w = {.http = http, .body = body};
    fm_buf_reset(body);
    *http = (struct fm_http_answer){.body = ""};
    for (int i = 0; i < LINES; i++)
        fm_buf_init(&lines[i], 0);
    enum fm_code code = start(asker, question, lines, &w, err);
    if (lines[SECRET].data != NULL)
        explicit_bzero(lines[SECRET].data, lines[SECRET].cap);
    for (int i = 0; i < LINES; i++)
        fm_buf_clear(&lines[i]);
    return code;
}
