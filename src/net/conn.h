/* net/conn.h - plain or TLS byte streams for RMI: libcurl's connect-only mode inside a client.
 *
 * Belongs to the client's thread. A connection in state OPEN is waited for by fm_client_poll();
 * when bytes can be read (or written, while wanted) its callback runs. */
#ifndef FM_NET_CONN_H
#define FM_NET_CONN_H

#include "net/client.h"

enum fm_conn_event {
    FM_CONN_OPENED, /* connected (and TLS done): send and receive may be used */
    FM_CONN_FAILED, /* connecting failed or its deadline passed; see err; close it */
    FM_CONN_READABLE,
    FM_CONN_WRITABLE /* only while wanted: fm_conn_want_write() */
};

struct fm_conn; /* opaque: net/conn.c */

typedef void fm_conn_fn(struct fm_conn *conn, enum fm_conn_event event, const struct fm_err *err,
                        void *arg);

struct fm_conn_opts {
    const char *host; /* name, IPv4, or IPv6 without brackets */
    uint16_t port;
    bool use_tls;
    const struct fm_tls *tls; /* borrowed while the connection lives; NULL: defaults */
    unsigned connect_timeout_ms; /* 0: 10 s */
    int netns_pid; /* open the socket in this process's network namespace; 0: our own */
};

/** Begin to connect; never blocks. */
FM_MUST_USE enum fm_code fm_conn_open(struct fm_conn **out, struct fm_client *client,
                                      const struct fm_conn_opts *opts, fm_conn_fn *fn, void *arg,
                                      struct fm_err *err);

/** Close and free; no callback any more. May be called inside the callback. NULL is allowed. */
void fm_conn_close(struct fm_conn *conn);

/** Send what can be sent without waiting. @return FM_OK (*sent may be less than len, 0 = wait for
 * WRITABLE), FM_ECLOSED or FM_ETLS */
FM_MUST_USE enum fm_code fm_conn_send(struct fm_conn *conn, const void *data, size_t len,
                                      size_t *sent, struct fm_err *err);

/** Receive what is there. Call again until FM_EAGAIN: TLS may hold bytes back.
 * @return FM_OK with *got > 0, FM_EAGAIN, FM_ECLOSED (end of stream or reset), FM_ETLS (an alert;
 *         with TLS 1.3 a missing client certificate shows here) */
FM_MUST_USE enum fm_code fm_conn_recv(struct fm_conn *conn, void *data, size_t len, size_t *got,
                                      struct fm_err *err);

void fm_conn_want_write(struct fm_conn *conn, bool want);

/** many: several answers are under way. A JVM sends each by itself, and waking up for one costs
 * more than reading it; so READABLE comes up to half a millisecond later, for all that has come by
 * then.
 * @param bytes  of them, of which so many are still to come: READABLE waits for these, at most 5
 * ms, and 10, 20, 40 ms when a slow JVM kept us waiting before (until many is false). 0: not known.
 * To be told anew after each READABLE. */
void fm_conn_expect(struct fm_conn *conn, size_t bytes, bool many);

#endif
