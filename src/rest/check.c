/* `check`: each endpoint is asked for the topic; the answer says how far the way goes. */
#include <stdio.h>
#include <string.h>

#include "rest/ask_priv.h"
#include "rest/topic_priv.h"

struct check {
    const struct fm_rest_opts *o;
    const char *topic;
    const char *endpoint;
    fm_rest_report_fn *report;
    void *arg;
    const char *token; /* Bearer, or fetched */
    struct fm_client *client;
    struct fm_buf *body; /* of the last answer */
    bool failed;
};

static void say(struct check *c, const char *step, enum fm_rest_check verdict, const char *sentence)
{
    struct fm_rest_step s = {
        .endpoint = c->endpoint, .step = step, .verdict = verdict, .sentence = sentence};
    c->failed = c->failed || verdict == FM_REST_CHECK_FAIL;
    c->report(c->arg, &s);
}

/* The steps of the way up to the one that failed. @return whether all of them stand */
static bool say_way(struct check *c, const struct fm_http_answer *http)
{
    static const struct {
        enum fm_hop hop;
        const char *step, *good;
    } way[] = {{FM_HOP_NAME, "name", "the host name resolves"},
               {FM_HOP_TCP, "TCP", "connected"},
               {FM_HOP_PROXY, "HTTP proxy", "the HTTP proxy leads to the REST proxy"},
               {FM_HOP_TLS, "TLS", "the certificate is verified"}};
    bool tls = strncmp(c->endpoint, "https", 5) == 0, via = c->o->proxy.url != NULL;
    bool ok = http->failure == FM_HTTP_OK;
    for (size_t i = 0; i < sizeof way / sizeof *way; i++) {
        if ((way[i].hop == FM_HOP_PROXY && !via) || (way[i].hop == FM_HOP_TLS && !tls))
            continue;
        if (!ok && (http->hop == way[i].hop || http->hop < way[i].hop)) {
            say(c, way[i].step, FM_REST_CHECK_FAIL, fm_err_text(&http->err));
            return false;
        }
        char text[120];
        if (way[i].hop == FM_HOP_TLS && http->cert_days >= 0) {
            snprintf(text, sizeof text, "%s, valid for %d day%s", way[i].good, http->cert_days,
                     http->cert_days == 1 ? "" : "s");
            say(c, "TLS", http->cert_days < 14 ? FM_REST_CHECK_WARN : FM_REST_CHECK_OK, text);
        } else {
            say(c, way[i].step, FM_REST_CHECK_OK, way[i].good);
        }
    }
    if (!ok)
        say(c, "answer", FM_REST_CHECK_FAIL, fm_err_text(&http->err));
    return ok;
}

static void say_limit(struct check *c, const struct fm_http_answer *http)
{
    char text[160];
    bool v3 = fm_rest_is_v3(c->o->dialect);
    uint64_t n = c->o->size_limit != 0 ? c->o->size_limit
                 : http == NULL        ? 0
                 : v3                  ? fm_v3_limit(http->body, http->body_len)
                                       : fm_probe_limit(http->body, http->body_len);
    if (n == 0) {
        snprintf(text, sizeof text,
                 "max.message.bytes cannot be read; %d is assumed: set [rest] "
                 "size_limit to be exact",
                 FM_LIMIT_UNREADABLE);
        say(c, "size limit", FM_REST_CHECK_WARN, text);
        return;
    }
    if (c->o->size_limit == 0 && n > FM_KAFKA_MAX)
        n = FM_KAFKA_MAX; /* more does not pass the proxy's own client (7.6) */
    snprintf(text, sizeof text, "records up to %llu bytes", (unsigned long long)n);
    say(c, "size limit", FM_REST_CHECK_OK, text);
}

/* @return whether the topic is there; its size limit is then still to be told */
static bool say_answer(struct check *c, const struct fm_http_answer *http)
{
    char text[FM_REST_TEXT], detail[240];
    const struct fm_row *row = fm_probe_row(c->o->dialect, http);
    enum fm_probe_result result =
        c->topic != NULL ? fm_probe_judge(c->o->dialect, c->topic, http)
        : http->status >= 200 && http->status < 500 && http->status != 401 && http->status != 403
            ? FM_PROBE_GOOD
            : FM_PROBE_OTHER;
    fm_answer_text(c->o->dialect, http, detail, sizeof detail);
    snprintf(text, sizeof text, "%s (%s)%s%s", row->what, detail, row->remedy != NULL ? "; " : "",
             row->remedy != NULL ? row->remedy : "");
    if (http->status == 401) {
        say(c, "auth", FM_REST_CHECK_FAIL, text);
        return false;
    }
    if (http->status == 403) {
        say(c, "auth", FM_REST_CHECK_WARN,
            "the topic may not be asked for its configuration; "
            "producing may be allowed all the same");
        return false;
    }
    say(c, "auth", FM_REST_CHECK_OK, c->o->auth == FM_REST_AUTH_NONE ? "none wanted" : "accepted");
    if (result == FM_PROBE_MISSING) {
        snprintf(text, sizeof text, "the topic %s does not exist; create it, or grant DESCRIBE",
                 c->topic);
        bool made = c->o->topic_auto_created;
        say(c, "topic", made ? FM_REST_CHECK_WARN : FM_REST_CHECK_FAIL, text);
    } else if (result != FM_PROBE_GOOD) {
        say(c, "topic", FM_REST_CHECK_FAIL, text);
    } else if (c->topic != NULL) {
        say(c, "topic", FM_REST_CHECK_OK, "exists");
        return true;
    }
    return false;
}

/* @param body  to POST; NULL: a GET */
static enum fm_code ask(const struct check *c, const char *path, const char *body,
                        struct fm_http_answer *http, struct fm_err *err)
{
    const struct fm_asker asker = {.client = c->client, .way = c->o, .token = c->token};
    const struct fm_question question = {
        .method = body != NULL ? "POST" : "GET",
        .body = body,
        .body_len = body != NULL ? strlen(body) : 0,
        .content_type = body != NULL ? "application/json" : NULL,
        .base = c->endpoint,
        .path = path,
        .accept = fm_rest_is_v3(c->o->dialect)
                      ? "application/json"
                      : "application/vnd.kafka.v2+json, application/json;q=0.5",
        .timeout_ms = c->o->probe_timeout_ms};
    return fm_ask(&asker, &question, http, c->body, err);
}

/* v3: the cluster's id, configured or asked for. @return whether it is known now */
static enum fm_code check_cluster(struct check *c, char id[FM_CLUSTER_ID], bool *way_told,
                                  struct fm_err *err)
{
    if (c->o->cluster_id != NULL) {
        snprintf(id, FM_CLUSTER_ID, "%s", c->o->cluster_id);
        return FM_OK;
    }
    struct fm_http_answer http;
    FM_TRY(ask(c, "/clusters", NULL, &http, err));
    *way_told = true;
    if (!say_way(c, &http))
        return FM_OK;
    char text[FM_REST_TEXT], detail[240];
    fm_answer_text(c->o->dialect, &http, detail, sizeof detail);
    const struct fm_row *row = fm_probe_row(c->o->dialect, &http);
    if (http.status == 200 && fm_v3_cluster(http.body, http.body_len, id)) {
        snprintf(text, sizeof text, "found: %s", id);
        say(c, "cluster", FM_REST_CHECK_OK, text);
    } else {
        snprintf(text, sizeof text,
                 "the cluster's id cannot be looked up: %s (%s); %s, or set [rest] "
                 "cluster_id",
                 row->what, detail, row->remedy != NULL ? row->remedy : "check [rest] url and api");
        say(c, http.status == 401 || http.status == 403 ? "auth" : "cluster", FM_REST_CHECK_FAIL,
            text);
    }
    return FM_OK;
}

/* v3: the size limit has an address of its own. */
static enum fm_code check_limit(struct check *c, const char *cluster, struct fm_err *err)
{
    char path[FM_V3_PATH];
    struct fm_http_answer http;
    fm_v3_path(cluster, c->topic, "/configs/max.message.bytes", path, sizeof path);
    enum fm_code code = ask(c, path, NULL, &http, err);
    if (code == FM_OK)
        say_limit(c, http.failure == FM_HTTP_OK && http.status == 200 ? &http : NULL);
    return code;
}

/* records:batch: an empty batch is refused where it is offered, and is not found where it is not.
 */
static enum fm_code check_batch(struct check *c, const char *cluster, struct fm_err *err)
{
    char path[FM_V3_PATH], text[FM_REST_TEXT], detail[240];
    struct fm_http_answer http;
    fm_v3_path(cluster, c->topic, fm_v3_tail(c->o->dialect), path, sizeof path);
    FM_TRY(ask(c, path, "{\"entries\":[]}", &http, err));
    bool answered = http.failure == FM_HTTP_OK;
    if (answered && (http.status == 422 || http.status == 207)) {
        say(c, "batch", FM_REST_CHECK_OK, "records:batch is offered");
        return FM_OK;
    }
    if (answered)
        fm_answer_text(c->o->dialect, &http, detail, sizeof detail);
    if (answered && (http.status == 404 || http.status == 405)) {
        snprintf(text, sizeof text,
                 "the proxy, or a gateway before it, does not offer records:batch (%s); set "
                 "[rest] api = v3",
                 detail);
        say(c, "batch", FM_REST_CHECK_FAIL, text);
        return FM_OK;
    }
    snprintf(text, sizeof text, "whether records:batch is offered cannot be told: %s",
             answered ? detail : fm_err_text(&http.err));
    say(c, "batch", FM_REST_CHECK_WARN, text);
    return FM_OK;
}

static enum fm_code check_one(struct check *c, struct fm_err *err)
{
    bool v3 = fm_rest_is_v3(c->o->dialect), way_told = false;
    char path[FM_V3_PATH], cluster[FM_CLUSTER_ID] = "";
    if (v3) {
        FM_TRY(check_cluster(c, cluster, &way_told, err));
        if (cluster[0] == '\0' || (way_told && c->topic == NULL))
            return FM_OK; /* all is told */
    }
    if (c->topic != NULL)
        fm_probe_path(c->o->dialect, cluster, c->topic, path, sizeof path);
    else if (v3)
        snprintf(path, sizeof path, "/clusters/%s", cluster);
    else
        snprintf(path, sizeof path, "/topics");
    struct fm_http_answer http;
    bool topic = false;
    enum fm_code code = ask(c, path, NULL, &http, err);
    if (code == FM_OK && way_told && http.failure != FM_HTTP_OK)
        say(c, "answer", FM_REST_CHECK_FAIL, fm_err_text(&http.err));
    else if (code == FM_OK && (way_told || say_way(c, &http)))
        topic = say_answer(c, &http);
    if (topic && v3 && c->o->size_limit == 0)
        code = check_limit(c, cluster, err);
    else if (topic)
        say_limit(c, &http);
    if (topic && code == FM_OK && c->o->dialect == FM_DIALECT_CONFLUENT_V3_BATCH)
        code = check_batch(c, cluster, err);
    return code;
}

/* auth = oauth2: without a token nothing else can be asked. @return whether there is one */
static enum fm_code check_token(struct check *c, struct fm_oauth_token *token, struct fm_err *err)
{
    char text[FM_REST_TEXT];
    c->endpoint = c->o->oauth2_url;
    const struct fm_asker asker = {.client = c->client, .way = c->o};
    FM_TRY(fm_oauth_fetch(&asker, INT64_MAX, token, err));
    if (!token->got)
        snprintf(text, sizeof text, "OAuth2 server: no token can be had (%s)%s%s", token->what,
                 token->remedy != NULL ? "; " : "", token->remedy != NULL ? token->remedy : "");
    else if (token->life_ms > 0)
        snprintf(text, sizeof text, "a token was given, valid for %lld s",
                 (long long)token->life_ms / 1000);
    else
        snprintf(text, sizeof text, "a token was given; its server does not say for how long");
    say(c, "OAuth2", token->got ? FM_REST_CHECK_OK : FM_REST_CHECK_FAIL, text);
    c->token = token->got ? fm_buf_str(&token->text) : NULL;
    return FM_OK;
}

enum fm_code fm_rest_check(const struct fm_rest_opts *opts, const char *topic,
                           fm_rest_report_fn *report, void *arg, struct fm_err *err)
{
    struct fm_rest_conf *conf = NULL;
    struct fm_oauth_token token = {0};
    struct fm_buf body;
    FM_TRY(fm_rest_conf_new(&conf, opts, err));
    fm_buf_init(&body, 0);
    const struct fm_client_opts copts = {.log = opts->log};
    struct check c = {.o = &conf->o,
                      .topic = topic,
                      .report = report,
                      .arg = arg,
                      .token = conf->o.token,
                      .body = &body};
    enum fm_code code = fm_client_new(&c.client, &copts, err);
    if (code == FM_OK && c.o->auth == FM_REST_AUTH_OAUTH2)
        code = check_token(&c, &token, err);
    bool no_token = c.failed;
    for (size_t i = 0; code == FM_OK && !no_token && i < conf->o.n_urls; i++) {
        c.endpoint = conf->o.urls[i];
        code = check_one(&c, err);
    }
    fm_oauth_token_clear(&token);
    fm_client_free(c.client);
    fm_buf_clear(&body);
    fm_rest_conf_free(conf);
    if (code == FM_OK && c.failed)
        return fm_err_set(err, FM_EREMOTE, "an endpoint failed a check");
    return code;
}
