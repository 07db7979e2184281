#include <stdlib.h>
#include <string.h>

#include "jmx/rmi/rmi_priv.h"

enum { CHUNK = 64 * 1024, MAX_ROUND = 256 * 1024, MAX_HANDSHAKE_HOST = 512 };

void fm_link_init(struct fm_link *link, size_t max_answer_bytes)
{
    *link = (struct fm_link){0};
    size_t max = max_answer_bytes == 0 ? 8 * 1024 * 1024 : max_answer_bytes;
    fm_buf_init(&link->out, 0); /* bounded by the window of calls */
    fm_buf_init(&link->in, max + 2 * MAX_ROUND);
    fm_ser_init(&link->ser, max);
    link->max_answer = max;
}

void fm_link_clear(struct fm_link *link)
{
    fm_link_close(link);
    fm_buf_clear(&link->out);
    fm_buf_clear(&link->in);
    fm_ser_clear(&link->ser);
}

enum fm_code fm_link_open(struct fm_link *link, struct fm_client *client,
                          const struct fm_conn_opts *opts, fm_conn_fn *fn, void *arg,
                          struct fm_err *err)
{
    fm_link_close(link);
    link->use_tls = opts->use_tls;
    link->port = opts->port;
    strncpy(link->host, opts->host, sizeof link->host - 1);
    FM_TRY(fm_conn_open(&link->conn, client, opts, fn, arg, err));
    fm_call_handshake(&link->out);
    return FM_OK;
}

void fm_link_close(struct fm_link *link)
{
    fm_conn_close(link->conn);
    link->conn = NULL;
    link->open = link->acked = link->begun = link->got_any = false;
    link->sent = link->at = 0;
    link->trace = NULL;
    fm_buf_reset(&link->out);
    fm_buf_reset(&link->in);
}

void fm_link_rest(struct fm_link *link)
{
    if (link->begun || link->at < link->in.len || link->out.len > 0)
        return;
    link->at = link->sent = 0;
    fm_buf_clear(&link->in);
    fm_buf_clear(&link->out);
    fm_ser_clear(&link->ser);
    fm_ser_init(&link->ser, link->max_answer);
}

enum fm_code fm_link_send(struct fm_link *link, struct fm_err *err)
{
    if (!link->open)
        return FM_OK;
    FM_TRY(fm_buf_code(&link->out, err));
    while (link->sent < link->out.len) {
        size_t sent;
        FM_TRY(fm_conn_send(link->conn, link->out.data + link->sent, link->out.len - link->sent,
                            &sent, err));
        if (sent == 0)
            break;
        link->sent += sent;
        link->bytes_out += sent;
    }
    bool done = link->sent == link->out.len;
    fm_conn_want_write(link->conn, !done);
    if (done) {
        fm_buf_reset(&link->out);
        link->sent = 0;
    }
    return FM_OK;
}

/* Forget what has been parsed; what is left is the beginning of one answer. */
static void compact(struct fm_link *link)
{
    fm_buf_consume(&link->in, link->at);
    link->at = 0;
}

enum fm_code fm_link_receive(struct fm_link *link, struct fm_err *err)
{
    compact(link); /* what moulds took, or the last answer of a window */
    for (size_t round = 0; round < MAX_ROUND;) {
        size_t got;
        if (!fm_buf_reserve(&link->in, CHUNK))
            return fm_buf_code(&link->in, err);
        FM_TRY(fm_conn_recv(link->conn, link->in.data + link->in.len, CHUNK, &got, err));
        link->in.len += got;
        link->bytes_in += got;
        link->got_any = true;
        round += got;
    }
    return FM_OK;
}

/* What else may be listening on a port. */
static enum fm_code not_rmi(const struct fm_link *link, const unsigned char *data, size_t len,
                            struct fm_err *err)
{
    unsigned port = link->port;
    if (data[0] == 0x15)
        return fm_err_set(err, FM_ETLS,
                          "%s:%u speaks TLS; set tls = on (or tls = registry if this is the "
                          "registry's port)",
                          link->host, port);
    if (data[0] == 0x4f)
        return fm_err_set(err, FM_EPROTO, "%s:%u refused the JRMP stream protocol", link->host,
                          port);
    const char *what = "something else";
    if (len >= 4 && (memcmp(data, "HTTP", 4) == 0 || data[0] == '<'))
        what = "an HTTP server; for Jolokia write an http:// URL";
    else if (len >= 4 && memcmp(data, "SSH-", 4) == 0)
        what = "an SSH server";
    else if (len >= 4 && memcmp(data, "JRMI", 4) == 0)
        what = "an echo service";
    return fm_err_set(err, FM_EPROTO, "%s:%u does not speak RMI: it is %s (first byte %02x)",
                      link->host, port, what, data[0]);
}

/* The peer's acknowledge: 4E, our host as it sees us, our port. */
static enum fm_code take_ack(struct fm_link *link, struct fm_err *err)
{
    struct fm_cursor cur;
    uint8_t tag;
    uint16_t len;
    if (link->in.len == link->at)
        return FM_EAGAIN; /* the buffer may not exist yet */
    fm_cursor_init(&cur, link->in.data + link->at, link->in.len - link->at);
    if (!fm_cursor_u8(&cur, &tag))
        return FM_EAGAIN;
    if (tag != 0x4e) {
        const unsigned char *data = (const unsigned char *)link->in.data + link->at;
        return not_rmi(link, data, link->in.len - link->at, err);
    }
    if (!fm_cursor_u16(&cur, &len))
        return FM_EAGAIN;
    if (len > MAX_HANDSHAKE_HOST)
        return fm_err_set(err, FM_EPROTO, "%s:%u does not speak RMI: its greeting is not legal",
                          link->host, (unsigned)link->port);
    if (!fm_cursor_skip(&cur, (size_t)len + 4))
        return FM_EAGAIN;
    link->at += cur.at;
    link->acked = true;
    return FM_OK;
}

enum fm_code fm_link_next(struct fm_link *link, enum fm_ser_expect expect, struct fm_err *err)
{
    enum fm_code code = link->acked ? FM_OK : take_ack(link, err);
    if (code == FM_OK && !link->begun && link->at == link->in.len)
        return FM_EAGAIN; /* whether to parse what comes is decided when it has come */
    if (code == FM_OK) {
        if (!link->begun) {
            fm_ser_begin_return(&link->ser, expect);
            link->ser.trace = link->trace;
            link->trace = NULL;
        }
        link->begun = true;
        size_t used = 0;
        code =
            fm_ser_feed(&link->ser, link->in.data + link->at, link->in.len - link->at, &used, err);
        link->at += used;
    }
    if (code != FM_EAGAIN)
        link->begun = false;
    return code;
}

struct fm_cursor fm_link_rest_bytes(const struct fm_link *link)
{
    struct fm_cursor cur;
    fm_cursor_init(&cur, link->in.len == link->at ? NULL : link->in.data + link->at,
                   link->in.len - link->at);
    return cur;
}

void fm_link_skip(struct fm_link *link, size_t bytes)
{
    link->at += bytes;
}

bool fm_link_has_rest(const struct fm_link *link)
{
    return link->acked && link->at < link->in.len;
}
