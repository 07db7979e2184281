/* One POST at a time. What a list asks stands as ranges of calls on a small stack; the topmost is
 * sent, as much of it as one POST holds. An agent refuses a bulk as a whole when it cannot parse
 * one item: such a range is halved until the culprit stands alone, which is then not sent again. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "jmx/jolokia/jolokia_priv.h"

enum item_kind { ITEM_CALL, ITEM_TYPES, ITEM_VERSION, ITEM_TARGET_NAME, ITEM_OWN_NAME };

struct item {
    enum item_kind kind;
    size_t call;
};

struct range {
    size_t low;
    size_t high;
};

struct fm_jolokia {
    struct fm_jmx *jmx;
    struct fm_client *client;
    struct fm_arena strings;
    struct fm_buf url;
    const char *shown; /* the URL without what may be secret */
    const char *username;
    char *password; /* wiped when freed, as is the body */
    struct fm_jolokia_target target;
    char *target_password;
    struct fm_tls tls;
    struct fm_http_proxy proxy;
    size_t max_answer;
    size_t max_value;

    struct fm_call *call; /* under way */
    struct fm_buf body;
    struct fm_jolokia_types types;
    struct fm_jmx_cost cost;
    bool target_checked; /* the agent does ask jolokia_target */
    uint64_t refused[FM_JOLOKIA_MAX_REFUSED];
    size_t n_refused;

    bool busy;
    struct fm_jmx_list list;
    struct range ranges[FM_JOLOKIA_RANGES];
    size_t n_ranges;
    struct item items[FM_JOLOKIA_ITEMS];
    size_t n_items;
    struct range sent; /* the calls that stand in this POST */
    unsigned splits;
    char target_name[200]; /* Runtime Name behind jolokia_target, while that is checked */
};

static const struct fm_jmx_call runtime_name = {
    .op = FM_JMX_REASON,
    .name = "java.lang:type=Runtime",
    .attributes = (const char *const[]){"Name"},
    .n_attributes = 1,
};

static void on_answer(const struct fm_http_answer *answer, void *arg);

/* ---- what is sent ---- */

static uint64_t call_hash(const struct fm_jmx_call *call)
{
    uint64_t hash = fm_jolokia_hash((uint64_t)call->op + 1, call->name != NULL ? call->name : "");
    for (size_t i = 0; i < call->n_attributes; i++)
        hash = fm_jolokia_hash(hash * 31 + 1, call->attributes[i]);
    return hash;
}

static bool is_refused(const struct fm_jolokia *d, const struct fm_jmx_call *call)
{
    uint64_t hash = d->n_refused > 0 ? call_hash(call) : 0;
    for (size_t i = 0; i < d->n_refused; i++)
        if (d->refused[i] == hash)
            return true;
    return false;
}

/* Whether the call can be sent at all; a wrong one must not spoil the others. */
static bool sendable(struct fm_jolokia *d, struct fm_jmx_call *call)
{
    bool needs_attribute = call->op == FM_JMX_READ || call->op == FM_JMX_REASON;
    bool complete = (call->name != NULL || call->op == FM_JMX_NAMES) &&
                    (call->op != FM_JMX_REASON || call->n_attributes > 0);
    struct fm_arena scratch;
    struct fm_name name;
    fm_arena_init(&scratch, 0);
    call->code = FM_EAGAIN;
    if (!complete)
        call->code = fm_err_set(&call->err, FM_EUSAGE, "a call without a name or an attribute");
    else if (is_refused(d, call))
        call->code = fm_err_set(&call->err, FM_EREMOTE, "the agent refused this request before");
    else if (call->name != NULL && fm_name_parse(&name, &scratch, call->name, &call->err) != FM_OK)
        call->code = FM_EUSAGE;
    else if (needs_attribute && call->n_attributes == 0) {
        call->code = FM_OK;
        call->value = (struct fm_value){.kind = FM_V_OBJECT};
    }
    fm_arena_clear(&scratch);
    return call->code == FM_EAGAIN;
}

static void begin_item(struct fm_jolokia *d, enum item_kind kind, size_t call)
{
    fm_buf_putc(&d->body, d->n_items == 0 ? '[' : ',');
    d->items[d->n_items++] = (struct item){kind, call};
}

static void put_call(struct fm_jolokia *d, size_t index)
{
    const struct fm_jmx_call *call = &d->list.calls[index];
    bool values = call->op == FM_JMX_READ || call->op == FM_JMX_REASON;
    if (values && !d->types.full && fm_jolokia_types_find(&d->types, call->name) == NULL) {
        begin_item(d, ITEM_TYPES, index);
        fm_jolokia_put_list(&d->body, call->name, &d->target);
    }
    begin_item(d, ITEM_CALL, index);
    fm_jolokia_put_call(&d->body, call, &d->target);
}

/* The topmost range, as far as it fits. */
static void put_range(struct fm_jolokia *d)
{
    struct range *range = &d->ranges[--d->n_ranges];
    const size_t high = range->high;
    size_t at = range->low;
    d->sent.low = at;
    for (; at < high && d->n_items + 2 <= FM_JOLOKIA_ITEMS && d->body.len < FM_JOLOKIA_BODY; at++)
        if (d->list.calls[at].code == FM_EAGAIN && sendable(d, &d->list.calls[at]))
            put_call(d, at);
    d->sent.high = at;
    if (at < high)
        d->ranges[d->n_ranges++] = (struct range){at, high};
}

static enum fm_code post(struct fm_jolokia *d, struct fm_err *err)
{
    static const char *const headers[] = {"Content-Type: application/json",
                                          "Accept: application/json"};
    int64_t left = d->list.deadline_ms - fm_clock_ms();
    if (left <= 0)
        return fm_err_set(err, FM_ETIMEOUT, "Jolokia at %s did not answer everything in time",
                          d->shown);
    fm_buf_putc(&d->body, ']');
    FM_TRY(fm_buf_code(&d->body, err));
    const struct fm_http_request request = {.method = "POST",
                                            .url = fm_buf_str(&d->url),
                                            .headers = headers,
                                            .n_headers = 2,
                                            .body = d->body.data,
                                            .body_len = d->body.len,
                                            .username = d->username,
                                            .password = d->password,
                                            .tls = &d->tls,
                                            .proxy = &d->proxy,
                                            .connect_timeout_ms = (unsigned)left,
                                            .timeout_ms = (unsigned)left,
                                            .max_answer = d->max_answer};
    d->cost.round_trips++;
    d->cost.bytes_out += d->body.len;
    return fm_client_start(d->client, &request, on_answer, d, &d->call, err);
}

/* Send what is next. @return FM_EAGAIN: sent; FM_OK: nothing is left */
static enum fm_code advance(struct fm_jolokia *d, struct fm_err *err)
{
    enum fm_code code = FM_OK;
    fm_buf_reset(&d->body);
    d->n_items = 0;
    if (d->target.url != NULL && !d->target_checked) {
        d->target_name[0] = '\0';
        begin_item(d, ITEM_TARGET_NAME, 0);
        fm_jolokia_put_call(&d->body, &runtime_name, &d->target);
        begin_item(d, ITEM_OWN_NAME, 0);
        fm_jolokia_put_call(&d->body, &runtime_name, NULL);
    } else if (d->list.n == 0 && d->splits++ == 0) {
        begin_item(d, ITEM_VERSION, 0); /* asks nothing, but shows that the agent answers */
        fm_jolokia_put_version(&d->body);
    } else {
        while (d->n_ranges > 0 && d->n_items == 0)
            put_range(d);
    }
    if (d->n_items == 0)
        return FM_OK;
    code = post(d, err);
    return code == FM_OK ? FM_EAGAIN : code;
}

/* ---- what comes back ---- */

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
    const struct item *first = &d->items[0], *last = &d->items[d->n_items - 1];
    struct fm_jmx_call *call = &d->list.calls[first->call];
    if (first->call != last->call) {
        if (++d->splits > FM_JOLOKIA_MAX_SPLITS || d->n_ranges + 2 > FM_JOLOKIA_RANGES) {
            *err = *why;
            return code;
        }
        size_t middle = first->call + (last->call - first->call + 1) / 2;
        d->ranges[d->n_ranges++] = (struct range){middle, d->sent.high};
        d->ranges[d->n_ranges++] = (struct range){first->call, middle};
    } else if (first->kind == ITEM_TYPES) { /* once more, without asking for its types */
        fm_jolokia_types_put(&d->types, call->name, NULL);
        d->ranges[d->n_ranges++] = d->sent;
    } else {
        set_call(call, code, why);
        if (code == FM_EREMOTE && d->n_refused < FM_JOLOKIA_MAX_REFUSED)
            d->refused[d->n_refused++] = call_hash(call);
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

static enum fm_code check_target(struct fm_jolokia *d, const struct item *item,
                                 const struct fm_jolokia_reply *r, struct fm_err *err)
{
    struct fm_arena scratch;
    struct fm_jmx_call call = runtime_name;
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

static enum fm_code take_item(struct fm_jolokia *d, const struct item *item,
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
        if (call->op == FM_JMX_INFO && call->code == FM_OK)
            fm_jolokia_types_put(&d->types, call->name, &call->value);
        return FM_OK;
    case ITEM_VERSION:
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
    return FM_OK;
}

static enum fm_code take_answer(struct fm_jolokia *d, const struct fm_http_answer *answer,
                                struct fm_err *err)
{
    struct fm_err why = {0};
    if (answer->failure == FM_HTTP_TOO_LARGE) {
        (void)fm_err_set(&why, FM_ELIMIT, "the agent's answer is larger than %zu bytes",
                         d->max_answer);
        return blame(d, FM_ELIMIT, &why, err);
    }
    if (answer->failure != FM_HTTP_OK)
        return transport_failed(answer, err);
    if (answer->status == 400) { /* 2.2.3 and newer, with the reason as plain text */
        (void)fm_err_set(&why, FM_EREMOTE, "Jolokia refused the request: %.120s", answer->body);
        return blame(d, FM_EREMOTE, &why, err);
    }
    return answer->status == 200 ? take_body(d, answer, err) : status_failed(d, answer, err);
}

static void end_list(struct fm_jolokia *d, enum fm_code code)
{
    d->busy = false;
    d->call = NULL;
    if (d->body.data != NULL)
        explicit_bzero(d->body.data, d->body.cap); /* in proxy mode it holds a password */
    fm_buf_reset(&d->body);
    if (code == FM_OK)
        return;
    d->target_checked = false; /* it may be another agent when it comes back */
    d->n_refused = 0;
    fm_jolokia_types_clear(&d->types);
}

static void on_answer(const struct fm_http_answer *answer, void *arg)
{
    struct fm_jolokia *d = arg;
    struct fm_err err = {0};
    if (!d->busy)
        return; /* given up */
    d->call = NULL;
    d->cost.connects += !answer->reused;
    d->cost.bytes_in += answer->body_len;
    enum fm_code code = take_answer(d, answer, &err);
    if (code == FM_OK)
        code = advance(d, &err);
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

static const char *copy(struct fm_jolokia *d, const char *text, bool *ok)
{
    if (text == NULL)
        return NULL;
    const char *out = fm_arena_strndup(&d->strings, text, strlen(text));
    *ok = *ok && out != NULL;
    return out;
}

static char *copy_secret(const char *text, bool *ok)
{
    char *out = text != NULL ? strdup(text) : NULL;
    *ok = *ok && (text == NULL || out != NULL);
    return out;
}

static bool copy_opts(struct fm_jolokia *d, const struct fm_jmx_opts *opts)
{
    const struct fm_tls *tls = &opts->tls_opts;
    const struct fm_http_proxy *proxy = &opts->http_proxy;
    bool ok = fm_jolokia_url(&d->url, opts->url);
    d->shown = fm_arena_strndup(&d->strings, opts->url, strcspn(opts->url, "?#"));
    ok = ok && d->shown != NULL;
    d->username = copy(d, opts->username, &ok);
    d->password = copy_secret(opts->password, &ok);
    d->target_password = copy_secret(opts->jolokia_password, &ok);
    d->target = (struct fm_jolokia_target){.url = copy(d, opts->jolokia_target, &ok),
                                           .username = copy(d, opts->jolokia_username, &ok),
                                           .password = d->target_password};
    d->tls = (struct fm_tls){.ca_file = copy(d, tls->ca_file, &ok),
                             .cert_file = copy(d, tls->cert_file, &ok),
                             .key_file = copy(d, tls->key_file, &ok),
                             .key_password = copy(d, tls->key_password, &ok),
                             .pinned_key = copy(d, tls->pinned_key, &ok),
                             .verify_chain_only = tls->verify_chain_only,
                             .verify_name = copy(d, tls->verify_name, &ok)};
    bool none = proxy->url == NULL || strcmp(proxy->url, "none") == 0;
    d->proxy = (struct fm_http_proxy){.url = none ? NULL : copy(d, proxy->url, &ok),
                                      .username = copy(d, proxy->username, &ok),
                                      .password = copy(d, proxy->password, &ok),
                                      .ca_file = copy(d, proxy->ca_file, &ok),
                                      .no_proxy = copy(d, proxy->no_proxy, &ok)};
    d->max_answer = opts->max_answer_bytes != 0 ? opts->max_answer_bytes : 8 * 1024 * 1024;
    d->max_value = opts->convert.max_value_bytes;
    return ok;
}

static void wipe(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

static void give_up(struct fm_jolokia *d)
{
    struct fm_call *call = d->call;
    d->busy = false; /* on_answer() looks at it */
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
    wipe(d->password);
    wipe(d->target_password);
    fm_buf_clear(&d->url);
    fm_buf_clear(&d->body);
    fm_jolokia_types_clear(&d->types);
    fm_arena_clear(&d->strings);
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
    d->splits = 0;
    d->n_ranges = 0;
    if (list->n > 0)
        d->ranges[d->n_ranges++] = (struct range){0, list->n};
    bool any = list->n == 0 || (d->target.url != NULL && !d->target_checked);
    for (size_t i = 0; i < list->n; i++)
        any = sendable(d, &list->calls[i]) || any;
    if (!any) /* nothing can be sent: done must still run later, so ask the version */
        d->list.n = d->n_ranges = 0;
    enum fm_code code = advance(d, err);
    if (code != FM_EAGAIN)
        return code == FM_OK ? FM_EBUG : code;
    d->busy = true;
    return FM_OK;
}

static void cancel(void *impl, struct fm_err *err)
{
    struct fm_jolokia *d = impl;
    give_up(d);
    (void)fm_err_set(err, FM_ETIMEOUT,
                     "Jolokia at %s gave no complete answer in time; a slow request of another "
                     "client may hold its only thread",
                     d->shown);
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
