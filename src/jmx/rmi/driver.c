#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "jmx/rmi/driver_priv.h"

/* ---- connecting ---- */

static const char *place(const struct fm_rmi *d)
{
    return d->step == FM_RMI_LOOKUP ? "RMI registry" : "JMX connector";
}

static void on_event(struct fm_conn *conn, enum fm_conn_event event, const struct fm_err *err,
                     void *arg);

static enum fm_code open_link(struct fm_rmi *d, const char *host, uint16_t port, bool use_tls,
                              struct fm_err *err)
{
    int64_t left = d->list.deadline_ms - fm_clock_ms();
    const struct fm_conn_opts opts = {.host = host,
                                      .port = port,
                                      .use_tls = use_tls,
                                      .tls = &d->tls_opts,
                                      .connect_timeout_ms = left < 1 ? 1 : (unsigned)left,
                                      .netns_pid = d->netns_pid};
    d->cost.connects++;
    return fm_link_open(&d->link, d->client, &opts, on_event, d, err);
}

/* The host to connect to: the configured one. The stub names what the JVM believes, which behind
 * NAT is wrong and from a hostile peer could be anything. */
static const char *connector_host(const struct fm_rmi *d)
{
    bool follow = d->follow_stub_host || d->address.host[0] == '\0';
    return follow && d->server.host[0] != '\0' ? d->server.host : d->address.host;
}

static enum fm_code check_tls(const struct fm_rmi *d, struct fm_err *err)
{
    unsigned port = d->server.port;
    if (d->server.tls == FM_STUB_TLS && !d->tls)
        return fm_err_set(err, FM_ETLS, "the JMX connector %s:%u speaks TLS; set tls = on",
                          connector_host(d), port);
    if (d->server.tls == FM_STUB_PLAIN && d->tls)
        return fm_err_set(
            err, FM_ETLS,
            "the JMX connector %s:%u does not speak TLS although tls = on (nothing was "
            "sent in plain); set tls = off, or start the JVM with "
            "-Dcom.sun.management.jmxremote.ssl=true",
            connector_host(d), port);
    return FM_OK;
}

static enum fm_code open_connector(struct fm_rmi *d, struct fm_err *err)
{
    if (*connector_host(d) == '\0')
        return fm_err_set(err, FM_ECONF, "neither the URL nor the stub in it names a host");
    return open_link(d, connector_host(d), d->server.port, d->tls, err);
}

static enum fm_code send_login(struct fm_rmi *d, struct fm_err *err)
{
    d->step = FM_RMI_LOGIN;
    fm_call_new_client(&d->link.out, d->server.id, d->username, d->password);
    d->cost.round_trips++;
    return fm_link_send(&d->link, err);
}

static enum fm_code use_server(struct fm_rmi *d, const struct fm_ser_node *stub, struct fm_err *err)
{
    FM_TRY(fm_stub_parse(&d->server, stub, err));
    d->has_server = true;
    if (memcmp(d->last_server, d->server.id, sizeof d->last_server) != 0) {
        fm_rmi_forget_unreadable(d); /* another JVM, or the same one started again */
        memcpy(d->last_server, d->server.id, sizeof d->last_server);
    }
    if (strcmp(d->server.host, connector_host(d)) != 0)
        fm_log_limited(d->log, FM_LOG_DEBUG, d->url,
                       "%s: the JVM calls itself %s; %s is used as configured", d->url,
                       d->server.host, connector_host(d));
    return check_tls(d, err);
}

/* The stub that a /stub/ URL carries. */
static enum fm_code use_address_stub(struct fm_rmi *d, struct fm_err *err)
{
    struct fm_ser ser;
    size_t used;
    fm_ser_init(&ser, 0);
    fm_ser_begin_stream(&ser);
    enum fm_code code = fm_ser_feed(&ser, d->address.stub.data, d->address.stub.len, &used, err);
    if (code == FM_EAGAIN)
        code = fm_err_set(err, FM_ECONF, "the stub in the URL is cut off");
    if (code == FM_OK)
        code = use_server(d, ser.root, err);
    fm_ser_clear(&ser);
    return code == FM_OK ? code : fm_err_context(err, "url \"%.40s...\"", d->url);
}

enum fm_code fm_rmi_begin(struct fm_rmi *d, struct fm_err *err)
{
    if (d->has_id) {
        FM_TRY(open_connector(d, err));
        d->step = FM_RMI_READY;
        return fm_rmi_pump(d, err);
    }
    if (!d->has_server && d->address.stub.len > 0)
        FM_TRY(use_address_stub(d, err));
    if (d->has_server) {
        FM_TRY(open_connector(d, err));
        return send_login(d, err);
    }
    d->step = FM_RMI_LOOKUP;
    d->fresh = true;
    FM_TRY(open_link(d, d->address.host, d->address.port, d->tls_registry, err));
    fm_call_lookup(&d->link.out, d->address.name);
    d->cost.round_trips++;
    return FM_OK;
}

enum fm_code fm_rmi_reopen(struct fm_rmi *d, struct fm_err *err)
{
    fm_link_close(&d->link);
    if (!fm_rmi_requeue(d))
        return fm_err_nomem(err);
    if (++d->reopens > FM_RMI_MAX_REOPENS)
        return fm_err_set(err, FM_EPROTO, "more than %d answers of %s:%u could not be read",
                          FM_RMI_MAX_REOPENS, connector_host(d), (unsigned)d->server.port);
    return fm_rmi_done(d) ? FM_OK : fm_rmi_begin(d, err);
}

enum fm_code fm_rmi_relogin(struct fm_rmi *d, struct fm_err *err)
{
    fm_link_close(&d->link);
    d->has_id = false;
    d->has_server = false;
    if (d->fresh)
        return err->code == FM_OK ? FM_EGONE : err->code;
    d->fresh = true;
    if (!fm_rmi_requeue(d))
        return fm_err_nomem(err);
    return fm_rmi_begin(d, err);
}

/* ---- registry and login ---- */

static enum fm_code refused(struct fm_rmi *d, bool login, struct fm_err *err)
{
    struct fm_throwable t = fm_throwable_judge(d->link.ser.root, login, err);
    (void)fm_err_context(err, "%s %s:%u", place(d), d->link.host, (unsigned)d->link.port);
    if (t.gone && login && !d->fresh)
        return fm_rmi_relogin(d, err); /* a stub from before the JVM's restart */
    return t.code;
}

static enum fm_code take_lookup(struct fm_rmi *d, struct fm_err *err)
{
    if (d->link.ser.exception)
        return refused(d, false, err);
    enum fm_code code = use_server(d, d->link.ser.root, err);
    if (code != FM_OK)
        return fm_err_context(err, "RMI registry %s:%u", d->link.host, (unsigned)d->link.port);
    bool same = d->server.port == d->link.port && strcmp(connector_host(d), d->link.host) == 0 &&
                d->tls == d->link.use_tls;
    if (!same)
        FM_TRY(open_connector(d, err));
    return send_login(d, err);
}

static enum fm_code take_login(struct fm_rmi *d, struct fm_err *err)
{
    struct fm_stub stub;
    if (d->link.ser.exception)
        return refused(d, true, err);
    FM_TRY(fm_stub_parse(&stub, d->link.ser.root, err));
    memcpy(d->id, stub.id, sizeof d->id); /* host and port are those of this connection */
    d->has_id = true;
    d->fresh = true;
    d->step = FM_RMI_READY;
    d->last_answer_ms = fm_clock_ms();
    d->mark_ns = fm_clock_ns();
    return fm_rmi_pump(d, err);
}

static enum fm_code take_answer(struct fm_rmi *d, struct fm_err *err)
{
    switch (d->step) {
    case FM_RMI_LOOKUP:
        return take_lookup(d, err);
    case FM_RMI_LOGIN:
        return take_login(d, err);
    default:
        return fm_rmi_take(d, err);
    }
}

/* ---- events ---- */

static bool expects_answer(const struct fm_rmi *d)
{
    return d->busy && (d->step != FM_RMI_READY || d->n_window > 0);
}

/* The answer under way is none, or cannot be understood. */
static enum fm_code take_broken(struct fm_rmi *d, const struct fm_err *why, struct fm_err *err)
{
    bool of_value = d->link.acked && d->step == FM_RMI_READY && d->n_window > 0 &&
                    (why->code == FM_EPROTO || why->code == FM_ELIMIT);
    if (of_value)
        return fm_rmi_take_broken(d, why, err);
    if (err != why)
        *err = *why;
    return why->code;
}

/* The peer closed the connection, or it broke. */
static enum fm_code lost(struct fm_rmi *d, const struct fm_err *why, struct fm_err *err)
{
    const struct fm_link *link = &d->link;
    bool in_answer = (link->begun && link->ser.bytes > 0) || fm_link_has_rest(link);
    if (!d->busy || (d->step == FM_RMI_READY && fm_rmi_done(d))) {
        fm_link_close(&d->link);
        return FM_OK;
    }
    if (!link->got_any && d->step != FM_RMI_READY && why->code == FM_ECLOSED)
        return fm_err_set(err, why->code,
                          "%s %s:%u closed the connection without a word: it is no RMI port, it "
                          "speaks TLS, or its connection limit is reached (%.80s)",
                          place(d), link->host, (unsigned)link->port, why->text);
    if (why->code == FM_ECLOSED && d->step == FM_RMI_READY && in_answer) {
        struct fm_err cut = {0};
        (void)fm_err_set(&cut, FM_EPROTO,
                         "the JVM closed the connection in the middle of the answer");
        return fm_rmi_take_broken(d, &cut, err);
    }
    if (why->code == FM_ECLOSED && d->step == FM_RMI_READY && d->stalls++ == 0)
        return fm_rmi_reopen(d, err); /* it was idle for long, or the JVM restarts */
    *err = *why;
    return why->code;
}

/* What became of sending: a connection that is lost there is as one that is lost in reading. */
static enum fm_code send_more(struct fm_rmi *d, enum fm_code code, const struct fm_err *why,
                              struct fm_err *err)
{
    if (code == FM_ECLOSED && d->link.open)
        return lost(d, why, err);
    if (code != FM_OK)
        *err = *why;
    return code;
}

static enum fm_code read_answers(struct fm_rmi *d, struct fm_err *err)
{
    struct fm_err why = {0};
    enum fm_code received = fm_link_receive(&d->link, &why);
    while (d->link.open && expects_answer(d)) {
        struct fm_err broken = {0};
        bool known = false;
        enum fm_code code = d->step == FM_RMI_READY ? fm_rmi_take_known(d, &known) : FM_OK;
        if (code == FM_OK && !known)
            code = fm_link_next(&d->link, FM_SER_VALUE, &broken);
        if (code == FM_EAGAIN)
            break;
        if (!known)
            FM_TRY(code == FM_OK ? take_answer(d, err) : take_broken(d, &broken, err));
    }
    if (!d->link.open)
        return FM_OK;
    if (!expects_answer(d) && fm_link_has_rest(&d->link)) {
        fm_link_close(&d->link); /* nobody asked for these bytes: out of step */
        return !d->busy || fm_rmi_done(d) ? FM_OK : fm_rmi_reopen(d, err);
    }
    if (received != FM_OK && received != FM_EAGAIN)
        return lost(d, &why, err);
    if (d->busy && d->step == FM_RMI_READY) /* once for all that came */
        return send_more(d, fm_rmi_pump(d, &why), &why, err);
    return FM_OK;
}

/* Connecting failed. A connector known from before may have moved: ask the registry again. */
static enum fm_code open_failed(struct fm_rmi *d, const struct fm_err *why, struct fm_err *err)
{
    *err = *why;
    (void)fm_err_context(err, "%s", place(d));
    if (d->step == FM_RMI_LOOKUP && d->tls_registry && why->code == FM_ECLOSED)
        return fm_err_set(err, FM_ETLS,
                          "RMI registry %s:%u closed the connection in the TLS handshake; if it "
                          "speaks no TLS, set tls = on (the connector alone)",
                          d->link.host, (unsigned)d->link.port);
    if (d->step != FM_RMI_LOOKUP && !d->fresh && d->address.stub.len == 0)
        return fm_rmi_relogin(d, err);
    return why->code;
}

static enum fm_code handle(struct fm_rmi *d, enum fm_conn_event event, const struct fm_err *why,
                           struct fm_err *err)
{
    struct fm_err sent = {0};
    switch (event) {
    case FM_CONN_OPENED:
        d->link.open = true;
        return fm_link_send(&d->link, err);
    case FM_CONN_FAILED:
        return open_failed(d, why, err);
    case FM_CONN_WRITABLE:
        return send_more(d, fm_link_send(&d->link, &sent), &sent, err);
    case FM_CONN_READABLE:
        return read_answers(d, err);
    }
    return FM_EBUG;
}

static void count_bytes(struct fm_rmi *d)
{
    d->cost.bytes_in += d->link.bytes_in;
    d->cost.bytes_out += d->link.bytes_out;
    d->link.bytes_in = d->link.bytes_out = 0;
}

static void end_list(struct fm_rmi *d, enum fm_code code, const struct fm_err *err)
{
    d->busy = false;
    d->last_n = d->list.n;
    d->last_bytes = code == FM_OK ? d->cost.bytes_in - d->list_bytes : 0;
    if (code != FM_OK) {
        fm_rmi_abandon(d, code, err);
        fm_link_close(&d->link); /* late answers must never be taken for the next ones */
        if (d->step != FM_RMI_READY)
            d->has_server = d->has_id = false;
        d->step = FM_RMI_IDLE;
    }
    fm_link_rest(&d->link);
}

static void on_event(struct fm_conn *conn, enum fm_conn_event event, const struct fm_err *why,
                     void *arg)
{
    (void)conn;
    struct fm_rmi *d = arg;
    struct fm_err err = {0};
    enum fm_code code = handle(d, event, why, &err);
    count_bytes(d);
    if (!d->busy) {
        if (code != FM_OK)
            fm_link_close(&d->link);
        return;
    }
    bool done = code == FM_OK && d->step == FM_RMI_READY && fm_rmi_done(d);
    if (code == FM_OK && !done && fm_clock_ms() >= d->list.deadline_ms)
        code = fm_err_set(&err, FM_ETIMEOUT, "%s %s:%u did not answer in full within %u ms",
                          place(d), d->link.host, (unsigned)d->link.port, d->timeout_ms);
    if (code == FM_OK && !done)
        return;
    end_list(d, code, &err);
    fm_jmx_finish(d->jmx, code, &err); /* last: the session may be freed in there */
}

/* ---- the driver ---- */

static bool accepts(const char *url)
{
    return strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0;
}

static bool copy_opts(struct fm_rmi *d, const struct fm_jmx_opts *opts)
{
    bool ok = true;
    d->url = fm_jmx_keep(&d->strings, opts->url, &ok);
    d->username = fm_jmx_keep(&d->strings, opts->username, &ok);
    d->password = fm_jmx_keep(&d->strings, opts->password, &ok);
    d->tls_opts = fm_jmx_keep_tls(&d->strings, &opts->tls_opts, &ok);
    d->tls = opts->tls || opts->tls_registry;
    d->tls_registry = opts->tls_registry;
    d->follow_stub_host = opts->follow_stub_host;
    d->netns_pid = opts->netns_pid;
    d->timeout_ms = opts->timeout_ms == 0 ? 10000 : opts->timeout_ms;
    d->convert = opts->convert;
    d->own_moulds = opts->moulds == NULL;
    d->moulds = opts->moulds != NULL ? opts->moulds : fm_jmx_moulds_new(FM_RMI_OWN_MOULDS);
    return ok;
}

/* Say goodbye if that needs no waiting: else the JVM keeps the connection for two minutes. */
static void say_close(struct fm_rmi *d)
{
    if (!d->has_id || !d->link.open || d->step != FM_RMI_READY)
        return;
    fm_call_close(&d->link.out, d->id);
    struct fm_err ignored; /* nothing can be done about it any more */
    if (fm_link_send(&d->link, &ignored) != FM_OK)
        fm_log(d->log, FM_LOG_DEBUG, "%s: %s", d->url, fm_err_text(&ignored));
}

static void free_driver(void *impl)
{
    struct fm_rmi *d = impl;
    if (d == NULL)
        return;
    say_close(d);
    fm_link_clear(&d->link);
    fm_rmi_forget_unreadable(d);
    fm_rmi_slow_clear(d);
    fm_rmi_address_clear(&d->address);
    if (d->own_moulds)
        fm_jmx_moulds_free(d->moulds);
    free(d->again);
    fm_arena_wipe(&d->strings);
    free(d);
}

static enum fm_code open_driver(void **out, struct fm_jmx *jmx, const struct fm_jmx_opts *opts,
                                struct fm_err *err)
{
    struct fm_rmi *d = calloc(1, sizeof *d);
    if (d == NULL)
        return fm_err_nomem(err);
    d->jmx = jmx;
    d->client = opts->client;
    d->log = opts->log;
    fm_arena_init(&d->strings, 0);
    fm_link_init(&d->link, opts->max_answer_bytes);
    enum fm_code code = fm_rmi_address_parse(&d->address, opts->url, err);
    if (code == FM_OK && !copy_opts(d, opts))
        code = fm_err_nomem(err);
    if (code != FM_OK) {
        free_driver(d);
        return code;
    }
    *out = d;
    return FM_OK;
}

static enum fm_code start(void *impl, const struct fm_jmx_list *list, struct fm_err *err)
{
    struct fm_rmi *d = impl;
    d->list = *list;
    d->list_bytes = d->cost.bytes_in;
    d->mark_ns = fm_clock_ns();
    d->next = d->first = d->n_window = d->window_bytes = d->n_again = 0;
    d->splits = d->reopens = d->stalls = 0;
    d->fresh = d->sent_any = false;
    d->n_late = d->next_late = 0;
    if (d->has_id && fm_clock_ms() - d->last_answer_ms > FM_RMI_IDLE_MS) {
        d->has_id = false; /* the server has forgotten it, or is about to */
        fm_link_close(&d->link);
    }
    d->busy = true;
    enum fm_code code;
    if (d->link.open && d->has_id) {
        code = fm_rmi_pump(d, err);
        if (code != FM_OK)
            code = fm_rmi_reopen(d, err);
    } else {
        code = fm_rmi_begin(d, err);
    }
    if (code != FM_OK)
        end_list(d, code, err);
    return code;
}

static void cancel(void *impl, struct fm_err *err)
{
    struct fm_rmi *d = impl;
    const char *host = d->link.host[0] != '\0' ? d->link.host : d->address.host;
    const struct fm_jmx_call *slow =
        d->step == FM_RMI_READY && d->n_window > 0 && d->window[d->first].call != SIZE_MAX
            ? &d->list.calls[d->window[d->first].call]
            : NULL;
    (void)fm_err_set(err, FM_ETIMEOUT, "%s %s:%u did not answer within %u ms%s%s%.100s", place(d),
                     host, (unsigned)d->link.port, d->timeout_ms, fm_rmi_silence(d),
                     slow == NULL || slow->name == NULL ? "" : "; it was being asked for ",
                     slow == NULL || slow->name == NULL ? "" : slow->name);
    if (slow != NULL && slow->name != NULL)
        fm_rmi_slow_note(d, slow->name);
    count_bytes(d);
    end_list(d, FM_ETIMEOUT, err);
}

static const struct fm_jmx_cost *cost(void *impl)
{
    struct fm_rmi *d = impl;
    count_bytes(d);
    return &d->cost;
}

const struct fm_jmx_driver fm_jmx_rmi = {.name = "rmi",
                                         .accepts = accepts,
                                         .open = open_driver,
                                         .free = free_driver,
                                         .start = start,
                                         .cancel = cancel,
                                         .cost = cost};
