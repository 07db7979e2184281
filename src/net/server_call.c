/* One request on the server: collecting it, the handler, the answer with or without faults. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "net/server_priv.h"

/* A body that is not simply sent: in chunks, in drips, cut, or with a wrong length. */
struct paced {
    struct fm_slot *slot;
    size_t len; /* bytes of data */
    size_t cut_at; /* end the connection there; SIZE_MAX: never */
    unsigned drip_ms;
    int64_t next_ms; /* when the next byte of a drip is due */
    char data[];
};

/* ---- what a handler asks ------------------------------------------------------------------- */

const char *fm_server_method(const struct fm_server_call *call)
{
    return call->method;
}

const char *fm_server_path(const struct fm_server_call *call)
{
    return call->path;
}

const char *fm_server_query(struct fm_server_call *call, const char *name)
{
    return MHD_lookup_connection_value(call->conn, MHD_GET_ARGUMENT_KIND, name);
}

const char *fm_server_header(struct fm_server_call *call, const char *name)
{
    return MHD_lookup_connection_value(call->conn, MHD_HEADER_KIND, name);
}

struct counting {
    const char *name;
    unsigned n;
};

static enum MHD_Result count_one(void *cls, enum MHD_ValueKind kind, const char *key,
                                 const char *value)
{
    struct counting *c = cls;
    (void)kind;
    (void)value;
    if (strcasecmp(key, c->name) == 0)
        c->n++;
    return MHD_YES;
}

static unsigned count_header(struct MHD_Connection *conn, const char *name)
{
    struct counting c = {.name = name};
    (void)MHD_get_connection_values(conn, MHD_HEADER_KIND, count_one, &c);
    return c.n;
}

unsigned fm_server_header_count(struct fm_server_call *call, const char *name)
{
    return count_header(call->conn, name);
}

const char *fm_server_body(const struct fm_server_call *call, size_t *len)
{
    *len = call->body.len;
    return call->body.len > 0 ? call->body.data : "";
}

bool fm_server_body_too_large(const struct fm_server_call *call)
{
    return call->too_large;
}

unsigned fm_server_nth(const struct fm_server_call *call)
{
    return call->slot->nth;
}

/* ---- answers ------------------------------------------------------------------------------- */

void fm_server_reply_init(struct fm_server_reply *reply)
{
    *reply = (struct fm_server_reply){.status = 200, .cut_at = SIZE_MAX};
}

static ssize_t paced_read(void *cls, uint64_t pos, char *to, size_t max)
{
    struct paced *p = cls;
    if (pos >= p->cut_at)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (pos >= p->len)
        return MHD_CONTENT_READER_END_OF_STREAM;
    size_t give = p->len - (size_t)pos;
    if (p->drip_ms > 0) {
        int64_t now = fm_clock_ms();
        if (now < p->next_ms)
            return fm_slot_suspend(p->slot, p->next_ms) ? 0 : MHD_CONTENT_READER_END_WITH_ERROR;
        p->next_ms = now + p->drip_ms;
        give = 1;
    }
    if (give > p->cut_at - (size_t)pos)
        give = p->cut_at - (size_t)pos;
    if (give > max)
        give = max;
    memcpy(to, p->data + pos, give);
    return (ssize_t)give;
}

static struct MHD_Response *paced_response(struct fm_server_call *call,
                                           const struct fm_server_reply *reply)
{
    struct paced *p = malloc(sizeof *p + reply->body_len + 1);
    if (p == NULL)
        return NULL;
    *p = (struct paced){.slot = call->slot,
                        .len = reply->body_len,
                        .cut_at = reply->cut_at,
                        .drip_ms = reply->drip_ms};
    if (reply->body_len > 0)
        memcpy(p->data, reply->body, reply->body_len);
    uint64_t announced = reply->body_len;
    if (reply->chunked)
        announced = MHD_SIZE_UNKNOWN;
    if (reply->wrong_length) {
        announced = (uint64_t)reply->body_len + 1;
        p->cut_at = reply->body_len;
    }
    struct MHD_Response *r = MHD_create_response_from_callback(
        announced, reply->drip_ms > 0 ? 64 : 4096, paced_read, p, free);
    if (r == NULL)
        free(p);
    return r;
}

static bool add_line(struct MHD_Response *response, const char *line)
{
    const char *colon = strchr(line, ':');
    char name[128];
    if (colon == NULL || (size_t)(colon - line) >= sizeof name)
        return false;
    memcpy(name, line, (size_t)(colon - line));
    name[colon - line] = '\0';
    colon++;
    while (*colon == ' ')
        colon++;
    return MHD_add_response_header(response, name, colon) == MHD_YES;
}

static struct MHD_Response *plain_response(const struct fm_server_reply *reply)
{
    struct fm_buf copy = {0}; /* the library wants a writable pointer, though it only copies */
    fm_buf_put(&copy, reply->body, reply->body_len);
    if (copy.failed)
        return NULL;
    struct MHD_Response *r =
        MHD_create_response_from_buffer(copy.len, copy.data, MHD_RESPMEM_MUST_FREE);
    if (r == NULL)
        fm_buf_clear(&copy);
    return r;
}

/* @param call  NULL: no faults */
static struct MHD_Response *make_response(struct fm_server_call *call,
                                          const struct fm_server_reply *reply)
{
    bool paced =
        reply->chunked || reply->cut_at != SIZE_MAX || reply->drip_ms > 0 || reply->wrong_length;
    struct MHD_Response *r =
        paced && call != NULL ? paced_response(call, reply) : plain_response(reply);
    if (r == NULL)
        return NULL;
    bool ok = true;
    if (reply->content_type != NULL)
        ok = MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, reply->content_type) ==
             MHD_YES;
    for (size_t i = 0; i < reply->n_headers && ok; i++)
        ok = add_line(r, reply->headers[i]);
    if (reply->close)
        ok = ok && MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close") == MHD_YES;
    if (ok)
        return r;
    MHD_destroy_response(r);
    return NULL;
}

/* Disconnecting a TCP socket sends RST at once; a mere close would send FIN before. */
static void send_reset(const struct fm_slot *slot)
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    struct linger now = {.l_onoff = 1};
    (void)setsockopt(slot->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    if (slot->is_tcp)
        (void)connect(slot->fd, &none, sizeof none);
}

static enum MHD_Result queue(struct fm_server_call *call)
{
    struct MHD_Response *response = call->response;
    call->response = NULL;
    if (call->drop || response == NULL)
        return call->queued ? MHD_YES : MHD_NO;
    call->slot->slow = call->slow;
    fm_slot_phase_set(call->slot, FM_SLOT_SENDING);
    enum MHD_Result rc = MHD_queue_response(call->conn, call->status, response);
    MHD_destroy_response(response);
    return rc;
}

/* ---- answers made once ---- */

struct fm_server_ready {
    struct MHD_Response *response; /* counted by the library: a call has its own share */
    unsigned status;
};

enum fm_code fm_server_ready_new(struct fm_server_ready **out, const struct fm_server_reply *reply,
                                 struct fm_err *err)
{
    struct fm_server_ready *ready = malloc(sizeof *ready);
    struct MHD_Response *response = ready != NULL ? make_response(NULL, reply) : NULL;
    if (response == NULL) {
        free(ready);
        return fm_err_nomem(err);
    }
    *ready = (struct fm_server_ready){.response = response, .status = reply->status};
    *out = ready;
    return FM_OK;
}

void fm_server_ready_free(struct fm_server_ready *ready)
{
    if (ready == NULL)
        return;
    MHD_destroy_response(ready->response);
    free(ready);
}

void fm_server_answer_ready(struct fm_server_call *call, const struct fm_server_ready *ready)
{
    call->answered = true;
    call->status = ready->status;
    fm_slot_phase_set(call->slot, FM_SLOT_SENDING);
    call->queued = MHD_queue_response(call->conn, ready->status, ready->response) == MHD_YES;
}

void fm_server_answer(struct fm_server_call *call, const struct fm_server_reply *reply)
{
    struct fm_slot *slot = call->slot;
    call->answered = true;
    call->status = reply->status;
    call->slow = reply->drip_ms > 0;
    call->drop = reply->reset;
    if (reply->reset) {
        send_reset(slot);
    } else if (reply->hang) {
        if (!call->deferred && !fm_slot_suspend(slot, 0)) {
            call->drop = true;
            return;
        }
        call->deferred = true;
        fm_slot_hang(slot);
        return;
    } else {
        call->response = make_response(call, reply);
        call->drop = call->response == NULL;
    }
    if (call->deferred)
        fm_slot_resume(slot); /* the library calls on_request again */
}

void fm_server_defer(struct fm_server_call *call)
{
    call->deferred = fm_slot_suspend(call->slot, 0);
    call->drop = !call->deferred;
}

/* ---- callbacks ----------------------------------------------------------------------------- */

/* Decode %XX in place, but not to NUL: "/health%00x" is not "/health". */
size_t fm_server_unescape(void *cls, struct MHD_Connection *conn, char *text)
{
    (void)cls;
    (void)conn;
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        const char *high = from[0] == '%' && from[1] != '\0' ? strchr(digits, from[1]) : NULL;
        const char *low = high != NULL && from[2] != '\0' ? strchr(digits, from[2]) : NULL;
        int value = low != NULL ? (int)(((high - digits) & 15) * 16 + ((low - digits) & 15)) : 0;
        if (value != 0) {
            *to++ = (char)(unsigned char)value;
            from += 2;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
    return (size_t)(to - text);
}

void *fm_server_on_line(void *cls, const char *uri, struct MHD_Connection *conn)
{
    (void)cls;
    (void)uri;
    struct fm_slot *slot = fm_server_slot(conn);
    /* A new connection's time runs from its accept. */
    if (slot != NULL && slot->phase == FM_SLOT_IDLE)
        fm_slot_phase_set(slot, FM_SLOT_READING);
    return NULL;
}

static enum MHD_Result refuse(struct MHD_Connection *conn, struct fm_slot *slot, unsigned status)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (r == NULL)
        return MHD_NO;
    (void)MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close");
    fm_slot_phase_set(slot, FM_SLOT_SENDING);
    enum MHD_Result rc = MHD_queue_response(conn, status, r);
    MHD_destroy_response(r);
    return rc;
}

/* Two lengths, or a length and chunks: a gateway before us may read another message than we do. */
static bool is_smuggling(struct MHD_Connection *conn)
{
    unsigned lengths = count_header(conn, MHD_HTTP_HEADER_CONTENT_LENGTH);
    unsigned codings = count_header(conn, MHD_HTTP_HEADER_TRANSFER_ENCODING);
    return lengths > 1 || codings > 1 || (lengths > 0 && codings > 0);
}

static struct fm_server_call *begin(struct fm_server *server, struct MHD_Connection *conn,
                                    struct fm_slot *slot, const char *url, const char *method)
{
    struct fm_server_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return NULL;
    call->server = server;
    call->slot = slot;
    call->conn = conn;
    call->method = method;
    call->path = url;
    fm_buf_init(&call->body, server->opts.max_body);
    (void)pthread_mutex_lock(&server->lock);
    slot->call = call;
    slot->nth++;
    (void)pthread_mutex_unlock(&server->lock);
    const char *length = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Content-Length");
    if (length != NULL && strtoull(length, NULL, 10) > server->opts.max_body)
        call->too_large = true;
    return call;
}

static enum MHD_Result run_handler(struct fm_server_call *call)
{
    call->handled = true;
    fm_slot_phase_set(call->slot, FM_SLOT_HANDLED);
    call->server->opts.handler(call, call->server->opts.arg);
    if (call->deferred)
        return MHD_YES; /* if answered by now, the library comes back once we have returned */
    if (!call->answered && !call->drop) {
        call->status = 500;
        struct fm_server_reply none;
        fm_server_reply_init(&none);
        none.status = 500;
        fm_server_answer(call, &none);
    }
    return queue(call);
}

enum MHD_Result fm_server_on_request(void *cls, struct MHD_Connection *conn, const char *url,
                                     const char *method, const char *version, const char *data,
                                     size_t *data_len, void **state)
{
    (void)version;
    struct fm_server *server = cls;
    struct fm_server_call *call = *state;
    if (call == NULL) {
        struct fm_slot *slot = fm_server_slot(conn);
        if (slot == NULL)
            return MHD_NO;
        if (is_smuggling(conn))
            return refuse(conn, slot, 400);
        call = begin(server, conn, slot, url, method);
        if (call == NULL)
            return MHD_NO;
        *state = call;
        return call->too_large ? run_handler(call) : MHD_YES;
    }
    if (call->handled)
        return queue(call); /* resumed */
    if (*data_len > 0) {
        if (!call->too_large) {
            fm_buf_put(&call->body, data, *data_len);
            call->too_large = call->body.over_limit;
            if (call->body.failed && !call->too_large)
                return MHD_NO;
        }
        *data_len = 0;
        return MHD_YES;
    }
    return run_handler(call);
}

void fm_server_on_completed(void *cls, struct MHD_Connection *conn, void **state,
                            enum MHD_RequestTerminationCode code)
{
    (void)conn;
    (void)code;
    struct fm_server *server = cls;
    struct fm_server_call *call = *state;
    if (call == NULL)
        return;
    *state = NULL;
    (void)pthread_mutex_lock(&server->lock);
    call->slot->call = NULL;
    call->slot->slow = false;
    call->slot->phase = FM_SLOT_IDLE;
    call->slot->since_ms = fm_clock_ms();
    (void)pthread_mutex_unlock(&server->lock);
    if (call->response != NULL)
        MHD_destroy_response(call->response);
    fm_buf_clear(&call->body);
    free(call);
}
