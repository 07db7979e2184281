/* What a Jolokia agent answered to a POST, and which call is to blame when it refused it whole. */
#include <assert.h>
#include <string.h>

#include "jmx/jolokia/session_priv.h"

static enum fm_code transport_failed(const struct fm_http_answer *answer, struct fm_err *err)
{
    *err = answer->err;
    if (answer->failure == FM_HTTP_TIMEOUT && err->code == FM_OK)
        err->code = FM_ETIMEOUT;
    if (err->code == FM_OK)
        err->code = FM_ECONNECT;
    return fm_err_context(err, "Jolokia");
}

static enum fm_code status_failed(const struct fm_jolokia *d, const struct fm_http_answer *answer,
                                  struct fm_err *err)
{
    const char *url = d->shown;
    switch (answer->status) {
    case 401:
        return fm_err_set(
            err, FM_EAUTH,
            "Jolokia at %s wants other credentials (401); check username and password", url);
    case 403:
        return fm_err_set(
            err, FM_EPERM,
            "Jolokia at %s does not let us in (403); its policy must allow this host, "
            "POST, read, search and list",
            url);
    case 404:
        return fm_err_set(err, FM_ENOTFOUND,
                          "no Jolokia agent at %s (404); check the path of the url", url);
    case 405:
        return fm_err_set(err, FM_EPERM, "Jolokia at %s does not allow POST (405)", url);
    case 502:
    case 503:
    case 504:
        return fm_err_set(err, FM_ECONNECT, "%s answered %ld; is the application up?", url,
                          answer->status);
    default:
        break;
    }
    if (answer->status / 100 == 3)
        return fm_err_set(err, FM_EPROTO, "%s leads elsewhere (%ld); set url to the place itself",
                          url, answer->status);
    return fm_err_set(err, FM_EPROTO, "%s answered %ld to a Jolokia request", url, answer->status);
}

static void set_call(struct fm_jmx_call *call, enum fm_code code, const struct fm_err *why)
{
    call->code = code;
    call->err = *why;
    call->err.code = code;
}

/* The POST was refused as a whole, or its answer is too large: find out which call is to blame. */
static enum fm_code blame(struct fm_jolokia *d, enum fm_code code, const struct fm_err *why,
                          struct fm_err *err)
{
    if (d->n_items == 0 || d->items[d->n_items - 1].kind != ITEM_CALL) {
        *err = *why;
        return code;
    }
    const struct fm_jolokia_item *first = &d->items[0], *last = &d->items[d->n_items - 1];
    struct fm_jmx_call *call = &d->list.calls[first->call];
    if (first->call != last->call) {
        if (++d->splits > FM_JOLOKIA_MAX_SPLITS || d->n_ranges + 2 > FM_JOLOKIA_RANGES) {
            *err = *why;
            return code;
        }
        size_t middle = first->call + (last->call - first->call + 1) / 2;
        d->ranges[d->n_ranges++] = (struct fm_jolokia_range){middle, d->sent.high};
        d->ranges[d->n_ranges++] = (struct fm_jolokia_range){first->call, middle};
    } else if (first->kind == ITEM_TYPES) { /* once more, without asking for its types */
        fm_jolokia_types_put(&d->types, call->name, NULL);
        d->ranges[d->n_ranges++] = d->sent;
    } else {
        set_call(call, code, why);
        if (code == FM_EREMOTE && d->n_refused < FM_JOLOKIA_MAX_REFUSED)
            d->refused[d->n_refused++] = fm_jolokia_call_hash(call);
    }
    return FM_OK;
}

static void learn_types(struct fm_jolokia *d, const char *bean, const struct fm_jolokia_reply *r)
{
    struct fm_arena scratch;
    struct fm_value info;
    fm_arena_init(&scratch, 4 * d->max_answer);
    bool known =
        r->status == 200 && r->value != NULL && fm_jolokia_info(&info, r, &scratch, NULL) == FM_OK;
    fm_jolokia_types_put(&d->types, bean, known ? &info : NULL);
    fm_arena_clear(&scratch);
}

static enum fm_code check_target(struct fm_jolokia *d, const struct fm_jolokia_item *item,
                                 const struct fm_jolokia_reply *r, struct fm_err *err)
{
    struct fm_arena scratch;
    struct fm_jmx_call call = fm_jolokia_runtime_name;
    bool own = item->kind == ITEM_OWN_NAME;
    enum fm_code code = FM_OK;
    fm_arena_init(&scratch, 64 * 1024);
    fm_jolokia_reply_take(&call, r, NULL, &scratch, 16 * 1024);
    bool is_text = call.code == FM_OK && call.value.kind == FM_V_STRING;
    if (!own && !is_text) {
        const char *why = call.code != FM_OK ? fm_err_text(&call.err) : "it has no name";
        code = fm_err_set(err, FM_ECONNECT, "Jolokia at %s cannot ask jolokia_target: %.140s",
                          d->shown, why);
    } else if (!own) {
        strncpy(d->target_name, call.value.text.ptr, sizeof d->target_name - 1);
    } else if (is_text &&
               strncmp(d->target_name, call.value.text.ptr, sizeof d->target_name - 1) == 0) {
        code = fm_err_set(err, FM_ECONF,
                          "Jolokia at %s ignores jolokia_target and answers for its own JVM; its "
                          "proxy mode (JSR-160 dispatcher) is not enabled",
                          d->shown);
    }
    if (own && code == FM_OK)
        d->target_checked = true;
    fm_arena_clear(&scratch);
    return code;
}

static enum fm_code take_item(struct fm_jolokia *d, const struct fm_jolokia_item *item,
                              const struct fm_jolokia_reply *r, struct fm_err *err)
{
    struct fm_jmx_call *call = d->list.n > 0 ? &d->list.calls[item->call] : NULL;
    assert(call != NULL || (item->kind != ITEM_TYPES && item->kind != ITEM_CALL));
    switch (item->kind) {
    case ITEM_TARGET_NAME:
    case ITEM_OWN_NAME:
        return check_target(d, item, r, err);
    case ITEM_TYPES:
        learn_types(d, call->name, r);
        return FM_OK;
    case ITEM_CALL:
        fm_jolokia_reply_take(
            call, r, call->name == NULL ? NULL : fm_jolokia_types_find(&d->types, call->name),
            d->list.arena, d->max_value);
        fm_jolokia_answered(d, call);
        if (call->op == FM_JMX_INFO && call->code == FM_OK)
            fm_jolokia_types_put(&d->types, call->name, &call->value);
        return FM_OK;
    case ITEM_VERSION:
        d->lives = true;
        return r->status == 200 || r->status == 403 ? FM_OK : fm_jolokia_reply_error(r, err);
    }
    return FM_EBUG;
}

static enum fm_code no_jolokia(const struct fm_jolokia *d, struct fm_err *err)
{
    return fm_err_set(err, FM_EPROTO,
                      "the answer of %s is not Jolokia's; check the path of the url", d->shown);
}

/* One object instead of an array: the whole request was refused. */
static enum fm_code take_object(struct fm_jolokia *d, struct fm_jscan *s, enum fm_jtoken token,
                                struct fm_err *err)
{
    struct fm_jolokia_reply r;
    struct fm_err why = {0};
    if (!fm_jolokia_reply_read(&r, s, token) || r.status == 0)
        return no_jolokia(d, err);
    if (r.status == 401 || r.status == 403) {
        const struct fm_http_answer denied = {.status = (long)r.status};
        return status_failed(d, &denied, err);
    }
    (void)fm_err_set(&why, FM_EREMOTE, "Jolokia refused the request: %s", r.error);
    return blame(d, FM_EREMOTE, &why, err);
}

/* The agent does not say what each request took: each gets its share by the bytes of its answer. */
static void share_time(struct fm_jolokia *d, double duration_ms)
{
    size_t sum = 0;
    for (size_t i = 0; i < d->n_items; i++)
        if (d->items[i].kind == ITEM_CALL)
            sum += d->list.calls[d->items[i].call].bytes;
    for (size_t i = 0; i < d->n_items && sum > 0; i++)
        if (d->items[i].kind == ITEM_CALL) {
            struct fm_jmx_call *call = &d->list.calls[d->items[i].call];
            call->took_ms = duration_ms * (double)call->bytes / (double)sum;
        }
}

static enum fm_code take_body(struct fm_jolokia *d, const struct fm_http_answer *answer,
                              struct fm_err *err)
{
    struct fm_jscan s;
    size_t n = 0;
    fm_jscan_init(&s, answer->body, answer->body_len);
    enum fm_jtoken token = fm_jscan_next(&s);
    if (token == FM_J_OBJECT)
        return take_object(d, &s, token, err);
    if (token != FM_J_ARRAY)
        return no_jolokia(d, err);
    while ((token = fm_jscan_next(&s)) != FM_J_ARRAY_END) {
        struct fm_jolokia_reply r;
        if (n == d->n_items || !fm_jolokia_reply_read(&r, &s, token))
            return no_jolokia(d, err);
        FM_TRY(take_item(d, &d->items[n++], &r, err));
    }
    if (n < d->n_items)
        return fm_err_set(err, FM_EPROTO, "Jolokia at %s answered %zu of %zu requests", d->shown, n,
                          d->n_items);
    share_time(d, answer->duration_ms);
    return FM_OK;
}

enum fm_code fm_jolokia_take(struct fm_jolokia *d, const struct fm_http_answer *answer,
                             struct fm_err *err)
{
    struct fm_err why = {0};
    if (answer->failure == FM_HTTP_TOO_LARGE) {
        (void)fm_err_set(&why, FM_ELIMIT, "the agent's answer is larger than %zu bytes",
                         d->max_answer);
        return blame(d, FM_ELIMIT, &why, err);
    }
    if (answer->failure != FM_HTTP_OK) {
        enum fm_code code = transport_failed(answer, &why);
        if (answer->failure == FM_HTTP_TIMEOUT && fm_jolokia_hangs(d, &why))
            return FM_OK;
        *err = why;
        return code;
    }
    if (answer->status == 400) { /* 2.2.3 and newer, with the reason as plain text */
        (void)fm_err_set(&why, FM_EREMOTE, "Jolokia refused the request: %.120s", answer->body);
        return blame(d, FM_EREMOTE, &why, err);
    }
    return answer->status == 200 ? take_body(d, answer, err) : status_failed(d, answer, err);
}
