/* The driver of Jolokia sessions: their life, and the list they are at. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "jmx/jolokia/session_priv.h"

/* ---- the POST under way ---- */

static void end_list(struct fm_jolokia *d, enum fm_code code)
{
    d->busy = false;
    d->call = NULL;
    if (d->body.data != NULL)
        explicit_bzero(d->body.data, d->body.cap); /* in proxy mode it holds a password */
    fm_buf_clear(&d->body);
    if (code == FM_OK)
        return;
    d->target_checked = false; /* it may be another agent when it comes back */
    d->n_refused = 0;
    fm_jolokia_types_clear(&d->types);
}

void fm_jolokia_on_answer(const struct fm_http_answer *answer, void *arg)
{
    struct fm_jolokia *d = arg;
    struct fm_err err = {0};
    if (!d->busy)
        return; /* given up */
    d->call = NULL;
    d->cost.connects += !answer->reused;
    d->cost.bytes_in += answer->body_len;
    enum fm_code code = fm_jolokia_take(d, answer, &err);
    if (code == FM_OK)
        code = fm_jolokia_advance(d, &err);
    if (code == FM_EAGAIN)
        return;
    end_list(d, code);
    fm_jmx_finish(d->jmx, code, &err); /* last: the session may be freed in there */
}

/* ---- the driver ---- */

static bool accepts(const char *url)
{
    return strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
}

static bool copy_opts(struct fm_jolokia *d, const struct fm_jmx_opts *opts)
{
    const struct fm_http_proxy *proxy = &opts->http_proxy;
    bool ok = fm_jolokia_url(&d->url, opts->url);
    d->shown = fm_arena_strndup(&d->strings, opts->url, strcspn(opts->url, "?#"));
    ok = ok && d->shown != NULL;
    d->username = fm_jmx_keep(&d->strings, opts->username, &ok);
    d->password = fm_jmx_keep(&d->strings, opts->password, &ok);
    d->target = (struct fm_jolokia_target){
        .url = fm_jmx_keep(&d->strings, opts->jolokia_target, &ok),
        .username = fm_jmx_keep(&d->strings, opts->jolokia_username, &ok),
        .password = fm_jmx_keep(&d->strings, opts->jolokia_password, &ok)};
    d->tls = fm_jmx_keep_tls(&d->strings, &opts->tls_opts, &ok);
    bool none = proxy->url == NULL || strcmp(proxy->url, "none") == 0;
    d->proxy =
        (struct fm_http_proxy){.url = none ? NULL : fm_jmx_keep(&d->strings, proxy->url, &ok),
                               .username = fm_jmx_keep(&d->strings, proxy->username, &ok),
                               .password = fm_jmx_keep(&d->strings, proxy->password, &ok),
                               .ca_file = fm_jmx_keep(&d->strings, proxy->ca_file, &ok),
                               .no_proxy = fm_jmx_keep(&d->strings, proxy->no_proxy, &ok)};
    d->max_answer = opts->max_answer_bytes != 0 ? opts->max_answer_bytes : 8 * 1024 * 1024;
    d->max_value = opts->convert.max_value_bytes;
    return ok;
}

static void give_up(struct fm_jolokia *d)
{
    struct fm_call *call = d->call;
    d->busy = false; /* fm_jolokia_on_answer() looks at it */
    d->call = NULL;
    if (call != NULL)
        fm_client_cancel(d->client, call);
    end_list(d, FM_ETIMEOUT);
}

static void free_driver(void *impl)
{
    struct fm_jolokia *d = impl;
    if (d == NULL)
        return;
    give_up(d);
    fm_buf_clear(&d->url);
    fm_buf_clear(&d->body);
    fm_jolokia_types_clear(&d->types);
    fm_arena_wipe(&d->strings);
    free(d->good);
    free(d);
}

static enum fm_code open_driver(void **out, struct fm_jmx *jmx, const struct fm_jmx_opts *opts,
                                struct fm_err *err)
{
    const char *host = strstr(opts->url, "://") + 3;
    if (strcspn(host, "/?#") == 0 || memchr(host, '@', strcspn(host, "/?#")) != NULL)
        return fm_err_set(err, FM_ECONF,
                          "the url of a Jolokia agent is http(s)://HOST:PORT/PATH, without a user");
    struct fm_jolokia *d = calloc(1, sizeof *d);
    if (d == NULL)
        return fm_err_nomem(err);
    d->jmx = jmx;
    d->client = opts->client;
    d->log = opts->log;
    fm_arena_init(&d->strings, 0);
    fm_buf_init(&d->url, 0);
    fm_buf_init(&d->body, 0); /* bounded by FM_JOLOKIA_BODY and one call */
    fm_jolokia_types_init(&d->types);
    if (!copy_opts(d, opts)) {
        free_driver(d);
        return fm_err_nomem(err);
    }
    *out = d;
    return FM_OK;
}

static enum fm_code start(void *impl, const struct fm_jmx_list *list, struct fm_err *err)
{
    struct fm_jolokia *d = impl;
    d->list = *list;
    d->begun_ms = fm_clock_ms();
    d->lives = d->alone = false;
    d->splits = 0;
    d->n_ranges = 0;
    if (list->n > 0)
        d->ranges[d->n_ranges++] = (struct fm_jolokia_range){0, list->n};
    bool any = list->n == 0 || (d->target.url != NULL && !d->target_checked);
    for (size_t i = 0; i < list->n; i++)
        any = fm_jolokia_sendable(d, &list->calls[i]) || any;
    if (!any) /* nothing can be sent: done must still run later, so ask the version */
        d->list.n = d->n_ranges = 0;
    enum fm_code code = fm_jolokia_advance(d, err);
    if (code != FM_EAGAIN)
        return code == FM_OK ? FM_EBUG : code;
    d->busy = true;
    return FM_OK;
}

static void cancel(void *impl, struct fm_err *err)
{
    struct fm_jolokia *d = impl;
    (void)fm_err_set(err, FM_ETIMEOUT,
                     "Jolokia at %s gave no complete answer in time; a slow request of another "
                     "client may hold its only thread",
                     d->shown);
    if (d->call != NULL)
        (void)fm_jolokia_hangs(d, err);
    give_up(d);
}

static const struct fm_jmx_cost *cost(void *impl)
{
    return &((const struct fm_jolokia *)impl)->cost;
}

const struct fm_jmx_driver fm_jmx_jolokia = {.name = "jolokia",
                                             .accepts = accepts,
                                             .open = open_driver,
                                             .free = free_driver,
                                             .start = start,
                                             .cancel = cancel,
                                             .cost = cost};
