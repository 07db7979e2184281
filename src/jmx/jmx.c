#include "jmx/jmx.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "jmx/jmx_priv.h"

enum { DEFAULT_TIMEOUT_MS = 10000 };

struct fm_jmx {
    const struct fm_jmx_driver *driver;
    void *impl;
    struct fm_client *client;
    unsigned timeout_ms;
    bool busy;
    struct fm_jmx_list list;
    fm_jmx_done *done;
    void *arg;
    struct fm_jmx_cost before; /* the driver's counters when the list began */
};

static const struct fm_jmx_driver *const drivers[] = {&fm_jmx_jolokia, &fm_jmx_rmi};

static const struct fm_jmx_driver *find_driver(const char *url)
{
    for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++)
        if (drivers[i]->accepts(url))
            return drivers[i];
    return NULL;
}

const char *fm_jmx_keep(struct fm_arena *arena, const char *text, bool *ok)
{
    if (text == NULL)
        return NULL;
    const char *out = fm_arena_strndup(arena, text, strlen(text));
    *ok = *ok && out != NULL;
    return out;
}

struct fm_tls fm_jmx_keep_tls(struct fm_arena *arena, const struct fm_tls *tls, bool *ok)
{
    return (struct fm_tls){.ca_file = fm_jmx_keep(arena, tls->ca_file, ok),
                           .cert_file = fm_jmx_keep(arena, tls->cert_file, ok),
                           .key_file = fm_jmx_keep(arena, tls->key_file, ok),
                           .key_password = fm_jmx_keep(arena, tls->key_password, ok),
                           .pinned_key = fm_jmx_keep(arena, tls->pinned_key, ok),
                           .verify_chain_only = tls->verify_chain_only,
                           .verify_name = fm_jmx_keep(arena, tls->verify_name, ok)};
}

enum fm_code fm_jmx_new(struct fm_jmx **out, const struct fm_jmx_opts *opts, struct fm_err *err)
{
    if (opts->url == NULL || *opts->url == '\0')
        return fm_err_set(err, FM_ECONF, "the url of the target is missing");
    const struct fm_jmx_driver *driver = find_driver(opts->url);
    if (driver == NULL)
        return fm_err_set(err, FM_ECONF, "url \"%.90s\" is of no known form", opts->url);
    struct fm_jmx *jmx = calloc(1, sizeof *jmx);
    if (jmx == NULL)
        return fm_err_nomem(err);
    jmx->driver = driver;
    jmx->client = opts->client;
    jmx->timeout_ms = opts->timeout_ms == 0 ? DEFAULT_TIMEOUT_MS : opts->timeout_ms;
    enum fm_code code = driver->open(&jmx->impl, jmx, opts, err);
    if (code != FM_OK) {
        free(jmx);
        return code;
    }
    *out = jmx;
    return FM_OK;
}

void fm_jmx_free(struct fm_jmx *jmx)
{
    if (jmx == NULL)
        return;
    jmx->driver->free(jmx->impl);
    free(jmx);
}

static struct fm_jmx_cost cost_since(const struct fm_jmx_cost *now, const struct fm_jmx_cost *then)
{
    return (struct fm_jmx_cost){.round_trips = now->round_trips - then->round_trips,
                                .connects = now->connects - then->connects,
                                .bytes_in = now->bytes_in - then->bytes_in,
                                .bytes_out = now->bytes_out - then->bytes_out};
}

void fm_jmx_finish(struct fm_jmx *jmx, enum fm_code code, const struct fm_err *err)
{
    struct fm_err none = {.code = code};
    const struct fm_jmx_cost cost = cost_since(jmx->driver->cost(jmx->impl), &jmx->before);
    if (err == NULL)
        err = &none;
    for (size_t i = 0; i < jmx->list.n; i++) {
        struct fm_jmx_call *call = &jmx->list.calls[i];
        if (call->code != FM_EAGAIN)
            continue;
        call->code = code == FM_OK ? FM_EBUG : code;
        call->err = *err;
    }
    fm_jmx_done *done = jmx->done;
    jmx->busy = false;
    done(jmx, code, err, &cost, jmx->arg); /* may free the session */
}

enum fm_code fm_jmx_start(struct fm_jmx *jmx, struct fm_jmx_call *calls, size_t n,
                          struct fm_arena *arena, fm_jmx_done *done, void *arg, struct fm_err *err)
{
    if (jmx->busy)
        return fm_err_set(err, FM_EBUG, "a list of calls is under way");
    for (size_t i = 0; i < n; i++) {
        calls[i].code = FM_EAGAIN;
        fm_err_clear(&calls[i].err);
        calls[i].value = (struct fm_value){.kind = FM_V_NULL};
        calls[i].bytes = 0;
        calls[i].took_ms = 0;
    }
    jmx->list = (struct fm_jmx_list){
        .calls = calls, .n = n, .arena = arena, .deadline_ms = fm_clock_ms() + jmx->timeout_ms};
    jmx->before = *jmx->driver->cost(jmx->impl);
    jmx->done = done;
    jmx->arg = arg;
    FM_TRY(jmx->driver->start(jmx->impl, &jmx->list, err));
    jmx->busy = true;
    return FM_OK;
}

void fm_jmx_cancel(struct fm_jmx *jmx)
{
    struct fm_err err = {0};
    if (!jmx->busy)
        return;
    jmx->driver->cancel(jmx->impl, &err);
    fm_jmx_finish(jmx, FM_ETIMEOUT, &err);
}

struct run {
    bool done;
    enum fm_code code;
    struct fm_err err;
    struct fm_jmx_cost cost;
};

static void run_done(struct fm_jmx *jmx, enum fm_code code, const struct fm_err *err,
                     const struct fm_jmx_cost *cost, void *arg)
{
    (void)jmx;
    struct run *run = arg;
    run->done = true;
    run->code = code;
    run->err = *err;
    run->cost = *cost;
}

enum fm_code fm_jmx_run(struct fm_jmx *jmx, struct fm_jmx_call *calls, size_t n,
                        struct fm_arena *arena, struct fm_jmx_cost *cost, struct fm_err *err)
{
    struct run run = {0};
    FM_TRY(fm_jmx_start(jmx, calls, n, arena, run_done, &run, err));
    while (!run.done) {
        int64_t left = jmx->list.deadline_ms - fm_clock_ms();
        enum fm_code code = FM_OK;
        if (left > 0)
            code = fm_client_poll(jmx->client, (int)left, err);
        if (!run.done && (left <= 0 || code != FM_OK))
            fm_jmx_cancel(jmx);
    }
    if (cost != NULL)
        *cost = run.cost;
    if (run.code != FM_OK && err != NULL)
        *err = run.err;
    return run.code;
}
