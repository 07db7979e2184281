/* When a token is asked for, and what happens without one. */
#include "rest/oauth_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "rest/topic_priv.h"

enum {
    ANSWER_MAX = 64 * 1024,
    TIMEOUT_MS = 30000,
    SHORTEST_MS = 1000, /* however near the deadline is */
    SLICE_MS = 100, /* between two looks at the stop */
    UNSAID_MS = 300000, /* refreshed so often when the server does not say how long it lives */
    MARGIN_MS = 10000 /* not used so shortly before its end */
};

static bool wanted(const struct fm_rest *rest)
{
    return rest->conf->o.auth == FM_REST_AUTH_OAUTH2;
}

static void wipe(struct fm_buf *buf)
{
    if (buf->data != NULL)
        explicit_bzero(buf->data, buf->cap);
    fm_buf_clear(buf);
}

/* ---- the request ---- */

static enum fm_code start(const struct fm_rest_opts *o, struct fm_client *client, bool in_body,
                          const char *secret, unsigned timeout_ms, struct fm_buf *form,
                          fm_http_done *done, void *arg, struct fm_call **out, struct fm_err *err)
{
    static const char *const headers[] = {"Accept: application/json",
                                          "Content-Type: application/x-www-form-urlencoded"};
    /* pinned_key and the client's certificate are for the REST proxy, not for this server. */
    const struct fm_tls tls = {.ca_file = o->tls.ca_file};
    struct fm_buf user, word;
    fm_buf_init(&user, 0);
    fm_buf_init(&word, 0);
    fm_buf_reset(form);
    fm_oauth_form(form, o->oauth2_client, in_body ? secret : NULL, o->oauth2_scope);
    fm_oauth_encode(&user, o->oauth2_client);
    fm_oauth_encode(&word, secret);
    struct fm_http_request req = {.method = "POST",
                                  .url = o->oauth2_url,
                                  .headers = headers,
                                  .n_headers = 2,
                                  .body = form->data,
                                  .body_len = form->len,
                                  .username = in_body ? NULL : fm_buf_str(&user),
                                  .password = in_body ? NULL : fm_buf_str(&word),
                                  .tls = &tls,
                                  .proxy = o->proxy.url != NULL ? &o->proxy : NULL,
                                  .connect_timeout_ms = o->connect_timeout_ms,
                                  .timeout_ms = timeout_ms,
                                  .max_answer = ANSWER_MAX};
    enum fm_code code = form->failed || user.failed || word.failed
                            ? fm_err_nomem(err)
                            : fm_client_start(client, &req, done, arg, out, err);
    wipe(&user);
    wipe(&word);
    return code;
}

static unsigned timeout_of(const struct fm_rest_opts *o)
{
    return o->probe_timeout_ms < TIMEOUT_MS ? o->probe_timeout_ms : (unsigned)TIMEOUT_MS;
}

/* ---- the answer ---- */

/* What waited for the end of this fetch, whatever it is. */
static void go_on(struct fm_rest *rest)
{
    for (size_t i = 0; i < rest->n_topics; i++) {
        struct fm_topic *t = rest->topics[i];
        if (t->renews_token)
            t->next_at = 0;
        t->renews_token = false;
    }
}

static void failed(struct fm_rest *rest, const struct fm_oauth_token *token, unsigned retry_after_s,
                   int64_t now)
{
    struct fm_oauth *oauth = &rest->oauth;
    const struct fm_rest_opts *o = &rest->conf->o;
    oauth->failed = true;
    oauth->denied = token->denied;
    oauth->remedy = token->remedy;
    oauth->failures++;
    oauth->failures_total++;
    snprintf(oauth->what, sizeof oauth->what, "%s", token->what);
    /* A passing fault is tried again soon, once; then seldom: nobody is to be hammered. */
    int64_t wait = !token->denied && oauth->failures == 1
                       ? fm_rest_backoff(rest, 0)
                       : (int64_t)o->hold_interval_ms + fm_rest_backoff(rest, 0) / 2;
    if (retry_after_s > 0)
        wait = (int64_t)retry_after_s * 1000;
    oauth->next_at = now + wait;
    go_on(rest);
    fm_log_limited(rest->log, FM_LOG_WARN, "oauth2", "OAuth2 server: no token: %s%s%s", token->what,
                   token->remedy != NULL ? "; " : "", token->remedy != NULL ? token->remedy : "");
}

static void got(struct fm_rest *rest, const struct fm_oauth_token *token, int64_t now)
{
    struct fm_oauth *oauth = &rest->oauth;
    if (oauth->failed)
        fm_log(rest->log, FM_LOG_INFO, "OAuth2 server: tokens are given again");
    oauth->failed = oauth->denied = false;
    oauth->failures = 0;
    oauth->fetched++;
    oauth->what[0] = '\0';
    if (rest->secret.data != NULL)
        explicit_bzero(rest->secret.data, rest->secret.cap);
    fm_buf_reset(&rest->secret);
    fm_buf_put(&rest->secret, token->text.data, token->text.len);
    rest->secret_gen++;
    int64_t life = token->life_ms;
    int64_t margin = life / 10 < MARGIN_MS ? life / 10 : MARGIN_MS;
    oauth->expires_at = life > 0 ? oauth->asked_at + life - margin : INT64_MAX;
    oauth->expires_wall = life > 0 ? fm_wall_ms() + life : 0;
    oauth->refresh_at = oauth->asked_at + (life > 0 ? life / 10 * 8 : (int64_t)UNSAID_MS);
    oauth->next_at = now + rest->conf->o.backoff_ms; /* whatever life a server gives them */
    go_on(rest);
    for (size_t i = 0; i < rest->n_topics; i++) {
        struct fm_topic *t = rest->topics[i];
        if (!t->waits_token)
            continue;
        t->waits_token = false;
        fm_topic_state(t, FM_REST_PROBING);
        t->next_at = 0;
    }
}

static void ask(struct fm_rest *rest, int64_t now);

static void on_token(const struct fm_http_answer *http, void *arg)
{
    struct fm_rest *rest = arg;
    struct fm_oauth *oauth = &rest->oauth;
    int64_t now = fm_clock_ms();
    oauth->call = NULL;
    if (oauth->form.data != NULL)
        explicit_bzero(oauth->form.data, oauth->form.cap);
    if (http->failure == FM_HTTP_CANCELLED)
        return;
    struct fm_oauth_token token;
    if (fm_oauth_read(&token, http, NULL) != FM_OK) {
        oauth->next_at = now + rest->conf->o.backoff_ms;
        return;
    }
    if (token.got) {
        got(rest, &token, now);
    } else if (token.other_way && !oauth->in_body) { /* once; it stays so until the next failure */
        oauth->in_body = true;
        ask(rest, now);
    } else {
        oauth->in_body = false;
        failed(rest, &token, fm_retry_after(http->retry_after), now);
    }
    fm_oauth_token_clear(&token);
}

static void ask(struct fm_rest *rest, int64_t now)
{
    struct fm_oauth *oauth = &rest->oauth;
    const struct fm_rest_opts *o = &rest->conf->o;
    struct fm_err err = {0};
    wipe(&oauth->used);
    if (o->secret == NULL || !o->secret(o->secret_arg, &oauth->used) || oauth->used.len == 0) {
        fm_buf_reset(&oauth->used);
        fm_buf_puts(&oauth->used, o->oauth2_secret);
    }
    oauth->asked_at = now;
    if (start(o, rest->client, oauth->in_body, fm_buf_str(&oauth->used), timeout_of(o),
              &oauth->form, on_token, rest, &oauth->call, &err) == FM_OK)
        return;
    struct fm_oauth_token none = {.remedy = "check [rest] oauth2_url and http_proxy"};
    snprintf(none.what, sizeof none.what, "%.230s", fm_err_text(&err));
    failed(rest, &none, 0, now);
}

/* ---- what the sender calls ---- */

bool fm_oauth_ready(const struct fm_rest *rest, int64_t now)
{
    return !wanted(rest) || now < rest->oauth.expires_at;
}

/* Without a token no topic can do anything: each says why. */
static void hold_topics(struct fm_rest *rest)
{
    const struct fm_oauth *oauth = &rest->oauth;
    enum fm_rest_state state = oauth->denied ? FM_REST_HOLD : FM_REST_OUTAGE;
    for (size_t i = 0; i < rest->n_topics; i++) {
        struct fm_topic *t = rest->topics[i];
        if (t->line.pending == 0 || t->req.flight != FM_FLIGHT_NONE ||
            (t->waits_token && t->state == state))
            continue;
        t->waits_token = t->failed = true;
        fm_isolate_clear(t);
        t->after.isolate = t->after.from_one = false;
        fm_topic_reason(t, FM_REST_HOP_OAUTH2, "no token can be had", oauth->what, oauth->remedy);
        fm_topic_state(t, state);
    }
}

void fm_oauth_step(struct fm_rest *rest, int64_t now, int64_t *due)
{
    struct fm_oauth *oauth = &rest->oauth;
    if (!wanted(rest) || rest->leaving)
        return;
    bool ready = fm_oauth_ready(rest, now);
    int64_t at = ready ? oauth->refresh_at : 0;
    at = at > oauth->next_at ? at : oauth->next_at;
    if (oauth->call == NULL && at <= now)
        ask(rest, now);
    else if (oauth->call == NULL && at < *due)
        *due = at;
    if (ready && oauth->expires_at < *due)
        *due = oauth->expires_at;
    if (!ready && oauth->failed)
        hold_topics(rest);
}

/* Another token, if one was not asked for in this way a moment ago. */
static bool ask_again(struct fm_rest *rest, int64_t now)
{
    struct fm_oauth *oauth = &rest->oauth;
    if (oauth->refused_at != 0 && now - oauth->refused_at < (int64_t)rest->conf->o.hold_interval_ms)
        return false;
    oauth->refused_at = now;
    oauth->refresh_at = oauth->next_at = 0;
    return true;
}

bool fm_oauth_refused(struct fm_rest *rest, unsigned gen, int64_t now)
{
    struct fm_oauth *oauth = &rest->oauth;
    if (gen != rest->secret_gen || now >= oauth->expires_at)
        return true;
    if (!ask_again(rest, now))
        return false;
    oauth->expires_at = 0;
    return true;
}

bool fm_oauth_denied(struct fm_rest *rest, unsigned gen, int64_t now)
{
    return gen != rest->secret_gen || now >= rest->oauth.expires_at || ask_again(rest, now);
}

void fm_oauth_secret_changed(struct fm_rest *rest, int64_t now)
{
    struct fm_oauth *oauth = &rest->oauth;
    const struct fm_rest_opts *o = &rest->conf->o;
    if (!wanted(rest) || !oauth->denied || oauth->call != NULL || o->secret == NULL)
        return;
    struct fm_buf fresh;
    fm_buf_init(&fresh, ANSWER_MAX);
    if (o->secret(o->secret_arg, &fresh) && fresh.len > 0 &&
        (fresh.len != oauth->used.len || memcmp(fresh.data, oauth->used.data, fresh.len) != 0))
        oauth->next_at = now;
    wipe(&fresh);
}

void fm_oauth_cancel(struct fm_rest *rest)
{
    if (rest->oauth.call != NULL)
        fm_client_cancel(rest->client, rest->oauth.call);
}

void fm_oauth_reset(struct fm_rest *rest)
{
    struct fm_oauth *oauth = &rest->oauth;
    struct fm_oauth fresh = {.fetched = oauth->fetched, .failures_total = oauth->failures_total};
    fm_oauth_clear(oauth);
    *oauth = fresh;
    fm_buf_init(&oauth->form, 0);
    fm_buf_init(&oauth->used, 0);
}

void fm_oauth_clear(struct fm_oauth *oauth)
{
    wipe(&oauth->form);
    wipe(&oauth->used);
}

/* ---- check and consumer ---- */

struct one_shot {
    struct fm_oauth_token *out;
    enum fm_code code;
    bool done, cancelled;
};

static void on_one_shot(const struct fm_http_answer *http, void *arg)
{
    struct one_shot *shot = arg;
    shot->cancelled = http->failure == FM_HTTP_CANCELLED;
    shot->code = fm_oauth_read(shot->out, http, NULL);
    shot->done = true;
}

static enum fm_code wait_for(const struct fm_asker *asker, struct fm_call *call,
                             struct one_shot *shot, struct fm_err *err)
{
    while (!shot->done) {
        enum fm_code code =
            fm_client_poll(asker->client, asker->stop != NULL ? SLICE_MS : 1000, err);
        if (!shot->done && (code != FM_OK || (asker->stop != NULL && asker->stop(asker->arg))))
            fm_client_cancel(asker->client, call); /* ends in on_one_shot() */
        FM_TRY(code);
    }
    return shot->cancelled ? fm_err_set(err, FM_ESTOP, "interrupted") : shot->code;
}

enum fm_code fm_oauth_fetch(const struct fm_asker *asker, int64_t deadline,
                            struct fm_oauth_token *out, struct fm_err *err)
{
    const struct fm_rest_opts *o = asker->way;
    struct fm_buf form;
    fm_buf_init(&form, 0);
    enum fm_code code = FM_OK;
    *out = (struct fm_oauth_token){0};
    for (int in_body = 0; in_body < 2 && code == FM_OK; in_body++) {
        int64_t left = deadline - fm_clock_ms();
        unsigned ms = timeout_of(o);
        struct one_shot shot = {.out = out};
        struct fm_call *call = NULL;
        fm_oauth_token_clear(out);
        if (left < (int64_t)ms)
            ms = left > SHORTEST_MS ? (unsigned)left : (unsigned)SHORTEST_MS;
        code = start(o, asker->client, in_body == 1, o->oauth2_secret, ms, &form, on_one_shot,
                     &shot, &call, err);
        if (code == FM_OK)
            code = wait_for(asker, call, &shot, err);
        if (out->got || !out->other_way)
            break;
    }
    wipe(&form);
    return code;
}
