/* net/server.h - a bounded HTTP server on libmicrohttpd: shared by http and sandbox.
 *
 * One internal epoll thread. A request has a deadline from its first byte to its last; when slots
 * run out the oldest incomplete connection is closed. The handler runs on the server's thread and
 * must not block. */
#ifndef FM_NET_SERVER_H
#define FM_NET_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "firstmile/err.h"

const char *fm_server_version(void); /* of libmicrohttpd: "0.9.75" */

struct fm_server_call; /* one request */

const char *fm_server_method(const struct fm_server_call *call);
const char *fm_server_path(const struct fm_server_call *call); /* decoded, without the query */
const char *fm_server_query(struct fm_server_call *call, const char *name); /* NULL: absent */
const char *fm_server_header(struct fm_server_call *call, const char *name); /* NULL: absent */
/** How often the header occurs: two Host headers are a trick. */
unsigned fm_server_header_count(struct fm_server_call *call, const char *name);
const char *fm_server_body(const struct fm_server_call *call, size_t *len); /* borrowed */
bool fm_server_body_too_large(const struct fm_server_call *call); /* above max_body: cut off */
/** Seconds since the first byte of the request, and which request on its connection it is (1...).
 */
unsigned fm_server_nth(const struct fm_server_call *call);

struct fm_server_reply {
    unsigned status;
    const char *content_type; /* NULL: none is sent */
    const char *const *headers; /* n more lines "Name: value" */
    size_t n_headers;
    const void *body; /* copied */
    size_t body_len;
    bool close; /* Connection: close */
    /* Faults, for the scripted peer: */
    bool chunked; /* no Content-Length */
    size_t cut_at; /* close after this many body bytes; SIZE_MAX: never */
    bool reset; /* drop the connection (RST) instead of any answer */
    bool hang; /* never answer; the connection stays until the client or stop ends it */
    unsigned drip_ms; /* one body byte each so many ms; 0: at once */
    bool wrong_length; /* announce one byte more than is sent, then close */
};

/** A 200 with this content and no fault. */
void fm_server_reply_init(struct fm_server_reply *reply);

/** Answer a call. From the handler, or later from any thread if fm_server_defer() was called.
 * The call is gone afterwards. */
void fm_server_answer(struct fm_server_call *call, const struct fm_server_reply *reply);

struct fm_server_ready; /* an answer without faults that was made once, for many calls */

/** Make it; all of reply is copied. Any thread. @return FM_OK or FM_ENOMEM */
FM_MUST_USE enum fm_code fm_server_ready_new(struct fm_server_ready **out,
                                             const struct fm_server_reply *reply,
                                             struct fm_err *err);

/** Any thread; calls that were answered with it are not touched. NULL is allowed. */
void fm_server_ready_free(struct fm_server_ready *ready);

/** Answer a call from the handler, as fm_server_answer() does. */
void fm_server_answer_ready(struct fm_server_call *call, const struct fm_server_ready *ready);

/** Say in the handler that the answer comes later (the connection is suspended). */
void fm_server_defer(struct fm_server_call *call);

typedef void fm_server_fn(struct fm_server_call *call, void *arg);

struct fm_server_opts {
    const char *listen; /* HOST:PORT, [v6]:PORT, port 0 = any free; or unix:PATH (mode 0660) */
    const char *cert_file; /* PEM; NULL: plain HTTP */
    const char *key_file;
    const char *client_ca_file; /* PEM; require client certificates from it; NULL: none */
    unsigned max_connections; /* 0: 64 */
    unsigned request_ms; /* first to last byte of a request; 0: 5 s */
    unsigned idle_ms; /* keep-alive idle; 0: 30 s */
    size_t max_body; /* 0: 64 KiB */
    fm_server_fn *handler;
    void *arg;
    struct fm_log *log;
};

struct fm_server; /* opaque: net/server.c */

/** Listen and serve. @return FM_OK, FM_ECONF (bad listen address, bad certificate), FM_ESYS */
FM_MUST_USE enum fm_code fm_server_start(struct fm_server **out, const struct fm_server_opts *opts,
                                         struct fm_err *err);

/** Stop accepting, end what is under way, join the thread, free. NULL is allowed. Deferred calls
 * are ended; their fm_server_answer() must not come afterwards. */
void fm_server_stop(struct fm_server *server);

/** The port in use (useful with port 0); 0 for a Unix socket. */
uint16_t fm_server_port(const struct fm_server *server);

/** Connections open now; those refused or closed so far to make room or for being slow. */
void fm_server_stats(const struct fm_server *server, unsigned *open, uint64_t *evicted);

#endif
