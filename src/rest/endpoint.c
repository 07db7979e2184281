/* The list of endpoints: fail-over, memory of what failed, return to the preferred one. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "rest/topic_priv.h"

void fm_endpoints_init(struct fm_rest *rest)
{
    rest->n_endpoints = rest->conf->o.n_urls;
    rest->cur = 0;
    for (size_t i = 0; i < rest->n_endpoints; i++) {
        struct fm_endpoint *e = &rest->endpoints[i];
        *e = (struct fm_endpoint){
            .url = rest->conf->o.urls[i], .cert_days = -1, .since_wall = fm_wall_ms()};
        if (rest->conf->o.cluster_id != NULL)
            snprintf(e->cluster, sizeof e->cluster, "%s", rest->conf->o.cluster_id);
    }
}

bool fm_endpoint_forget_cluster(struct fm_rest *rest, size_t i)
{
    const struct fm_rest_opts *o = &rest->conf->o;
    if (!fm_rest_is_v3(o->dialect) || o->cluster_id != NULL)
        return false;
    rest->endpoints[i].cluster[0] = '\0';
    return true;
}

bool fm_endpoint_learn_cluster(struct fm_rest *rest, size_t i, const struct fm_http_answer *http)
{
    struct fm_endpoint *e = &rest->endpoints[i];
    if (http->failure != FM_HTTP_OK || http->status != 200 ||
        !fm_v3_cluster(http->body, http->body_len, e->cluster))
        return false;
    if (!e->cluster_told && e->had_cluster[0] != '\0' && strcmp(e->had_cluster, e->cluster) != 0) {
        e->cluster_told = true;
        fm_log(rest->log, FM_LOG_WARN,
               "%s: the cluster behind it was %s and is %s now; records go on to that one", e->url,
               e->had_cluster, e->cluster);
    }
    memcpy(e->had_cluster, e->cluster, sizeof e->had_cluster);
    return true;
}

static void change_to(struct fm_rest *rest, size_t i, int64_t at)
{
    fm_log(rest->log, FM_LOG_INFO, "from %s to %s", rest->endpoints[rest->cur].url,
           rest->endpoints[i].url);
    rest->cur = i;
    for (size_t k = 0; k < rest->n_topics; k++) {
        struct fm_topic *t = rest->topics[k];
        if (t->req.flight != FM_FLIGHT_NONE)
            continue; /* told when it ends */
        fm_isolate_clear(t);
        fm_typed_reset(&t->typed, &rest->conf->o); /* it may have another registry */
        t->after.isolate = t->after.from_one = false;
        fm_topic_state(t, FM_REST_PROBING);
        t->next_at = at;
    }
}

bool fm_endpoint_failed(struct fm_rest *rest, size_t i, const char *reason)
{
    struct fm_endpoint *e = &rest->endpoints[i];
    int64_t now = fm_clock_ms();
    e->retry_at = now + fm_rest_backoff(rest, e->step++);
    snprintf(e->reason, sizeof e->reason, "%s", reason);
    if (rest->n_endpoints == 1 || i != rest->cur)
        return false;
    size_t best = i;
    for (size_t k = 0; k < rest->n_endpoints; k++) {
        if (k == i)
            continue;
        if (rest->endpoints[k].retry_at <= now) {
            best = k;
            break;
        }
        if (rest->endpoints[k].retry_at < rest->endpoints[best].retry_at)
            best = k;
    }
    if (best == i)
        return false;
    if (!e->left)
        e->since_wall = fm_wall_ms();
    e->left = true;
    rest->endpoints[best].left = false;
    int64_t at = rest->endpoints[best].retry_at;
    change_to(rest, best, at > now ? at : now);
    return true;
}

void fm_endpoint_good(struct fm_rest *rest, size_t i)
{
    struct fm_endpoint *e = &rest->endpoints[i];
    if (e->step == 0 && !e->left)
        return;
    e->step = 0;
    e->retry_at = 0;
    e->reason[0] = '\0';
    e->left = i == rest->cur ? false : e->left;
}

/* An endpoint that was left is back when all topics that flow elsewhere are good there; if none
 * does, when any is. @return the next to ask for, from the at-th on; NULL: all were asked */
static const struct fm_topic *to_ask(const struct fm_rest *rest, size_t *at)
{
    bool flows = false;
    for (size_t i = 0; i < rest->n_topics; i++)
        flows = flows || rest->topics[i]->state == FM_REST_RUN;
    if (!flows && *at > 0)
        return NULL;
    for (; *at < rest->n_topics; ++*at)
        if (!flows || rest->topics[*at]->state == FM_REST_RUN)
            return rest->topics[*at];
    return NULL;
}

static void on_checked(const struct fm_http_answer *http, void *arg);

static void not_back(struct fm_rest *rest, struct fm_endpoint *e)
{
    e->check_at = 0;
    e->retry_at = fm_clock_ms() + fm_rest_backoff(rest, e->step++);
}

/* Ask for the next topic; when there is none left: go back. */
static void ask_next(struct fm_rest *rest, size_t i)
{
    struct fm_endpoint *e = &rest->endpoints[i];
    const struct fm_topic *t = to_ask(rest, &e->check_at);
    if (t == NULL) {
        e->left = false;
        e->step = 0;
        e->check_at = 0;
        e->reason[0] = '\0';
        e->since_wall = fm_wall_ms();
        change_to(rest, i, 0);
        return;
    }
    char path[FM_V3_PATH];
    struct fm_err err;
    snprintf(e->check_topic, sizeof e->check_topic, "%s", t->name);
    fm_probe_path(rest->conf->o.dialect, e->cluster, t->name, path, sizeof path);
    struct fm_http_request req = {.method = "GET", .timeout_ms = rest->conf->o.probe_timeout_ms};
    if (fm_send_request(rest, &req, path, i, NULL, false, on_checked, rest, &e->check, &err) !=
        FM_OK)
        not_back(rest, e);
}

static void on_checked(const struct fm_http_answer *http, void *arg)
{
    struct fm_rest *rest = arg;
    size_t i = 0;
    while (i < rest->n_endpoints && rest->endpoints[i].check == NULL)
        i++;
    if (i == rest->n_endpoints)
        return;
    struct fm_endpoint *e = &rest->endpoints[i];
    e->check = NULL;
    if (http->failure == FM_HTTP_CANCELLED)
        return;
    enum fm_rest_dialect dialect = rest->conf->o.dialect;
    bool cluster = fm_rest_is_v3(dialect) && e->cluster[0] == '\0';
    bool good = cluster ? fm_endpoint_learn_cluster(rest, i, http)
                        : fm_probe_judge(dialect, e->check_topic, http) == FM_PROBE_GOOD;
    if (!good && http->failure == FM_HTTP_OK && http->status == 404)
        (void)fm_endpoint_forget_cluster(rest, i);
    if (!good || i >= rest->cur || rest->leaving) {
        not_back(rest, e);
        return;
    }
    if (!cluster)
        e->check_at++;
    ask_next(rest, i);
}

/* One better endpoint at a time is asked whether it is back. */
void fm_endpoints_step(struct fm_rest *rest, int64_t now, int64_t *due)
{
    if (rest->cur == 0 || rest->n_topics == 0 || rest->leaving || !fm_oauth_ready(rest, now))
        return;
    for (size_t i = 0; i < rest->n_endpoints; i++)
        if (rest->endpoints[i].check != NULL)
            return;
    for (size_t i = 0; i < rest->cur; i++) {
        struct fm_endpoint *e = &rest->endpoints[i];
        if (e->retry_at <= now) {
            e->check_at = 0;
            ask_next(rest, i);
            return;
        }
        *due = e->retry_at < *due ? e->retry_at : *due;
    }
}

bool fm_rest_secret_again(struct fm_rest *rest)
{
    const struct fm_rest_opts *o = &rest->conf->o;
    if (o->secret == NULL || o->auth == FM_REST_AUTH_OAUTH2)
        return false;
    struct fm_buf fresh;
    fm_buf_init(&fresh, 64 * 1024);
    bool changed =
        o->secret(o->secret_arg, &fresh) && !fresh.failed && fresh.len > 0 &&
        (fresh.len != rest->secret.len || memcmp(fresh.data, rest->secret.data, fresh.len) != 0);
    if (changed) {
        fm_buf_reset(&rest->secret);
        fm_buf_put(&rest->secret, fresh.data, fresh.len);
        rest->secret_gen++;
    }
    if (fresh.data != NULL)
        explicit_bzero(fresh.data, fresh.cap);
    fm_buf_clear(&fresh);
    return changed;
}
