/* One request of a consumer, tried until it succeeds, is in vain, or takes too long. */
#include <time.h>

#include "base/clock.h"
#include "rest/consumer_priv.h"
#include "rest/rest_priv.h"

enum { SMALL_ANSWER = 4 << 20, BACKOFF_MS = 250, MAX_BACKOFF_MS = 5000, SLICE_MS = 100 };

void fm_consume_begin(struct fm_rest_consumer *c)
{
    c->deadline = fm_clock_ms() + c->timeout_ms;
    c->backoff_ms = BACKOFF_MS;
}

static enum fm_code stopped(struct fm_err *err)
{
    return fm_err_set(err, FM_ESTOP, "interrupted");
}

enum fm_code fm_consume_pause(struct fm_rest_consumer *c, const struct fm_err *why,
                              struct fm_err *err)
{
    int64_t until = fm_clock_ms() + c->backoff_ms;
    if (until >= c->deadline) {
        if (err != NULL)
            *err = *why;
        return err != NULL ? (err->code = FM_ETIMEOUT) : FM_ETIMEOUT;
    }
    if (c->backoff_ms == 2 * BACKOFF_MS) /* once is a hiccup */
        fm_log(c->conf->o.log, FM_LOG_WARN, "consumer: %s; trying again for up to %lld s",
               fm_err_text(why), (long long)(c->deadline - fm_clock_ms() + 999) / 1000);
    else
        fm_log(c->conf->o.log, FM_LOG_INFO, "consumer: %s; trying again", fm_err_text(why));
    for (int64_t now; (now = fm_clock_ms()) < until;) {
        if (c->stop != NULL && c->stop(c->stop_arg))
            return stopped(err);
        int64_t ms = until - now < SLICE_MS ? until - now : SLICE_MS;
        const struct timespec slice = {.tv_nsec = (long)ms * 1000000L};
        (void)nanosleep(&slice, NULL);
    }
    c->backoff_ms = c->backoff_ms * 2 < MAX_BACKOFF_MS ? c->backoff_ms * 2 : MAX_BACKOFF_MS;
    return FM_OK;
}

/* What an answer that is no success means for the way on. why is its sentence. */
static enum fm_code sentence(const struct fm_rest_consumer *c, const struct fm_consume_row *row,
                             const struct fm_http_answer *http, struct fm_err *why)
{
    char detail[200];
    fm_consume_text(http, detail, sizeof detail);
    switch (row->cls) {
    case FM_CONSUME_NO_API:
        return fm_err_set(why, FM_ECONF,
                          "%s has no v2 consumer interface (HTTP %ld): set [rest] consumer_url, or "
                          "read the topic with kcat -J and use audit --from",
                          c->urls[c->cur], http->status);
    case FM_CONSUME_NO_TOPIC:
        return fm_err_set(why, FM_EREMOTE, "%s: %s", c->topic, row->what);
    case FM_CONSUME_DENIED:
        return fm_err_set(why, FM_EAUTH, "%s (%.80s); %s", row->what, detail, row->remedy);
    default:
        return fm_err_set(why, FM_EREMOTE, "%s (%.100s)%s%s", row->what, detail,
                          row->remedy != NULL ? "; " : "", row->remedy != NULL ? row->remedy : "");
    }
}

/* A failure on the way: which of them no waiting mends. */
static bool final_failure(const struct fm_http_answer *http, enum fm_code *code)
{
    *code = http->failure == FM_HTTP_TLS_VERIFY     ? FM_ETLS
            : http->failure == FM_HTTP_PROXY_DENIED ? FM_EPROXY
            : http->failure == FM_HTTP_TOO_LARGE    ? FM_ELIMIT
            : http->failure == FM_HTTP_INTERNAL     ? FM_ECONF
                                                    : FM_OK;
    return *code != FM_OK;
}

static void next_endpoint(struct fm_rest_consumer *c)
{
    if (c->n_urls < 2)
        return;
    c->created = c->maybe = c->placed = false; /* it lives in one process */
    c->cur = (c->cur + 1) % c->n_urls;
}

/* auth = oauth2: a token that still holds. @return as fm_consume_try() */
static enum fm_code hold_token(struct fm_rest_consumer *c, enum fm_consume_class *cls,
                               struct fm_err *why, struct fm_err *err)
{
    int64_t now = fm_clock_ms();
    *cls = FM_CONSUME_OK;
    if (c->conf->o.auth != FM_REST_AUTH_OAUTH2 || (c->token_until > 0 && now < c->token_until))
        return FM_OK;
    fm_oauth_token_clear(&c->token);
    c->asker.token = NULL;
    c->token_until = 0;
    FM_TRY(fm_oauth_fetch(&c->asker, c->deadline, &c->token, err));
    if (c->token.got) {
        c->asker.token = fm_buf_str(&c->token.text);
        c->token_until = c->token.life_ms > 0 ? now + c->token.life_ms * 8 / 10 : INT64_MAX;
        return FM_OK;
    }
    *cls = FM_CONSUME_AGAIN;
    (void)fm_err_set(why, FM_EAUTH, "OAuth2 server: no token can be had (%s)", c->token.what);
    return c->token.denied ? fm_err_set(err, FM_EAUTH, "%s", fm_err_text(why)) : FM_OK;
}

enum fm_code fm_consume_try(struct fm_rest_consumer *c, const struct fm_consume_asked *asked,
                            enum fm_consume_class *cls, struct fm_err *why, struct fm_err *err)
{
    struct fm_http_answer http;
    enum fm_code code;
    int64_t left = c->deadline - fm_clock_ms();
    unsigned limit = asked->timeout_ms > 0 ? asked->timeout_ms : c->conf->o.probe_timeout_ms;
    const struct fm_question question = {
        .method = asked->method,
        .base = c->urls[c->cur],
        .path = asked->path,
        .accept = asked->accept != NULL ? asked->accept : FM_CONSUME_TYPE,
        .content_type = asked->body ? FM_CONSUME_TYPE : NULL,
        .body = asked->body ? fm_buf_str(&c->request) : NULL,
        .body_len = asked->body ? c->request.len : 0,
        .timeout_ms = left < (int64_t)limit ? (unsigned)(left > 1000 ? left : 1000) : limit,
        .max_answer = asked->max_answer > 0 ? asked->max_answer : SMALL_ANSWER};
    if (c->stop != NULL && c->stop(c->stop_arg))
        return stopped(err);
    FM_TRY(fm_buf_code(&c->request, err));
    FM_TRY(hold_token(c, cls, why, err));
    if (*cls != FM_CONSUME_OK)
        return FM_OK;
    FM_TRY(fm_ask(&c->asker, &question, &http, &c->answer, err));
    if (http.failure == FM_HTTP_CANCELLED)
        return stopped(err);
    if (http.failure != FM_HTTP_OK) {
        if (final_failure(&http, &code))
            return fm_err_set(err, code, "%s", fm_err_text(&http.err));
        *cls = FM_CONSUME_AGAIN;
        (void)fm_err_set(why, FM_ETIMEOUT, "%s", fm_err_text(&http.err));
        if (http.failure == FM_HTTP_CONNECT || http.failure == FM_HTTP_RESOLVE)
            next_endpoint(c);
        return FM_OK;
    }
    const struct fm_consume_row *row = fm_consume_judge(asked->step, &http);
    *cls = row->cls;
    if (row->cls == FM_CONSUME_OK) {
        c->token_tried = false;
        return FM_OK;
    }
    code = sentence(c, row, &http, why);
    if (http.status == 401 && c->token_until > 0 && !c->token_tried) {
        c->token_tried = true;
        c->token_until = 0; /* it may have been called back */
        *cls = FM_CONSUME_AGAIN;
        return FM_OK;
    }
    if (row->cls <= FM_CONSUME_TAKEN)
        return FM_OK;
    return fm_err_set(err, code, "%s", fm_err_text(why));
}

enum fm_code fm_consume_insist(struct fm_rest_consumer *c, const struct fm_consume_asked *asked,
                               struct fm_err *err)
{
    enum fm_consume_class cls;
    struct fm_err why = {0};
    for (;;) {
        FM_TRY(fm_consume_try(c, asked, &cls, &why, err));
        if (cls == FM_CONSUME_OK)
            return FM_OK;
        FM_TRY(fm_consume_pause(c, &why, err));
    }
}
