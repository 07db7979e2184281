/* net/client.h - HTTP requests through libcurl, with a deadline over the whole call.
 *
 * A client is one curl multi handle and belongs to one thread; only fm_client_wakeup() may be
 * called from another. It also carries the connect-only connections of net/conn.h. Callbacks run
 * inside fm_client_poll(), on the client's thread.
 *
 * Every handle: HTTP/1.1, no Expect, no redirects, QUICK_EXIT, NOSIGNAL, the proxy set explicitly,
 * ALPN off, a total deadline, the body fed by a read callback without a seek callback so that
 * libcurl can never repeat it silently. */
#ifndef FM_NET_CLIENT_H
#define FM_NET_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "firstmile/err.h"

/** Once per process, before any thread. Wraps curl_global_init(); SIGPIPE is ignored from here on
 * (unless a handler is installed), and SSLKEYLOGFILE is taken out of the environment. */
FM_MUST_USE enum fm_code fm_net_init(struct fm_err *err);

/** "libcurl/7.88.1 OpenSSL/3.0.15 ..."; static. */
const char *fm_net_version(void);

/** "libcurl/7.88.1", the version at build time. Costs nothing; fm_net_version() makes libcurl load
 * its LDAP and SASL plug-ins (5 ms). Static. */
const char *fm_net_built_with(void);

/** How TLS is done; all pointers borrowed while the client or connection lives. */
struct fm_tls {
    const char *ca_file; /* PEM; NULL: the system's bundle */
    const char *cert_file; /* PEM client certificate; NULL: none */
    const char *key_file; /* PEM; NULL: in cert_file */
    const char *key_password; /* NULL: none */
    const char *pinned_key; /* libcurl's form "sha256//..."; NULL: none */
    bool verify_chain_only; /* do not compare the certificate's name (verify = chain) */
    const char *verify_name; /* expected name when it is not the host (tls_name); NULL: the host */
};

/** Where requests go through (an HTTP proxy by CONNECT or, for http targets, directly). */
struct fm_http_proxy {
    const char *url; /* NULL: none; "environment": what the environment says */
    const char *username; /* NULL: none */
    const char *password;
    const char *ca_file; /* for a proxy over TLS */
    const char *no_proxy; /* comma-separated; NULL: none */
};

/** Through which HTTP proxy a URL is reached: "http://host:port", without credentials; "": none.
 * Reads the environment where the proxy says so. */
void fm_net_proxy_for(const struct fm_http_proxy *proxy, const char *url, char *out, size_t size);

struct fm_client_opts {
    struct fm_log *log; /* may be NULL */
    unsigned idle_age_ms; /* do not reuse a connection idle for longer; default 25 s */
    unsigned connection_life_ms; /* nor one older than this; default 10 min */
    unsigned max_connections; /* kept open; 0: 8 */
};

/** When the first certificate of a PEM file ends: wall clock in seconds; 0: unreadable. Reads the
 * file; any thread. */
int64_t fm_net_cert_until(const char *path);

struct fm_client; /* opaque: net/client.c */

FM_MUST_USE enum fm_code fm_client_new(struct fm_client **out, const struct fm_client_opts *opts,
                                       struct fm_err *err);

/** Keep other many connections open than max_connections said. */
void fm_client_keep(struct fm_client *client, unsigned max_connections);

/** Cancels what is under way (no callbacks) and closes. Connections (net/conn.h) must be closed
 * before. NULL is allowed. */
void fm_client_free(struct fm_client *client);

/** Run transfers and callbacks, waiting at most timeout_ms for something to happen. */
FM_MUST_USE enum fm_code fm_client_poll(struct fm_client *client, int timeout_ms,
                                        struct fm_err *err);

/** End a wait of fm_client_poll() at once. Any thread, also before the wait. */
void fm_client_wakeup(struct fm_client *client);

/** Which hop a call failed at; the order is that of the way. */
enum fm_hop {
    FM_HOP_NONE, /* it did not fail */
    FM_HOP_NAME, /* host name lookup */
    FM_HOP_TCP, /* connect */
    FM_HOP_PROXY, /* the HTTP proxy: connect to it, or its answer to CONNECT */
    FM_HOP_TLS, /* handshake or verification */
    FM_HOP_HTTP /* after the connection stood: send, wait, receive */
};

enum fm_http_failure {
    FM_HTTP_OK, /* a complete answer: status, head, body */
    FM_HTTP_RESOLVE, /* name unknown or lookup failed */
    FM_HTTP_CONNECT, /* refused, unreachable, connect time-out */
    FM_HTTP_PROXY_DENIED, /* CONNECT answered 407 or 403; see connect_status */
    FM_HTTP_PROXY_FAILED, /* proxy unreachable, or CONNECT answered something else */
    FM_HTTP_TLS_VERIFY, /* certificate, name, pin, CA file, client key */
    FM_HTTP_TLS_FAILED, /* handshake reset or alert */
    FM_HTTP_REUSED_DIED, /* a reused connection died before any byte of the answer */
    FM_HTTP_BROKEN, /* reset, empty or truncated answer on a fresh connection, or later */
    FM_HTTP_TIMEOUT, /* total deadline */
    FM_HTTP_SLOW_UPLOAD, /* low-speed abort while the body was being sent */
    FM_HTTP_TOO_LARGE, /* answer above max_answer */
    FM_HTTP_CANCELLED, /* fm_client_cancel() */
    FM_HTTP_INTERNAL /* out of memory, bad URL */
};

struct fm_http_request {
    const char *method; /* "GET", "POST", "DELETE", ... */
    const char *url; /* http:// or https:// only */
    const char *const *headers; /* n lines "Name: value"; Accept etc. are the caller's business */
    size_t n_headers;
    const void *body; /* borrowed until done; NULL: no body. Content-Length is always sent */
    size_t body_len;
    const char *username; /* Basic, sent pre-emptively; NULL: none */
    const char *password;
    const struct fm_tls *tls; /* NULL: defaults (system CAs, full verification) */
    const struct fm_http_proxy *proxy; /* NULL: none, whatever the environment says */
    const char *connect_to; /* libcurl CONNECT_TO line for tests and pinned addresses; NULL */
    unsigned connect_timeout_ms; /* name, TCP, proxy, TLS; 0: 10 s */
    /* From start to last byte; 0: 130 s. It begins anew while the body moves: a slow line may take
     * as long as it needs. */
    unsigned timeout_ms;
    unsigned slow_upload_ms; /* give up when less than 1 KiB of it arrives in so long; 0: 20 s */
    size_t max_answer; /* body cap in bytes; 0: 4 MiB */
    bool fresh; /* use a new connection */
};

struct fm_http_answer {
    enum fm_http_failure failure;
    enum fm_hop hop;
    long status; /* 0: no status line */
    long connect_status; /* the HTTP proxy's answer to CONNECT; 0: none */
    const char *body; /* received so far even on failure; terminated; borrowed in the callback */
    size_t body_len;
    const char *content_type; /* "" if absent */
    const char *retry_after; /* header value; NULL if absent */
    const char *location; /* of a 3xx; NULL if absent */
    bool body_sent; /* at least one body byte was handed to the network */
    bool reused; /* went over a kept connection */
    int cert_days; /* days left on the server's certificate; -1 unknown */
    double duration_ms;
    struct fm_err err; /* the sentence: hop, host, reason, remedy; set when failure != OK */
};

struct fm_call; /* a request under way */

/** Called once, on the client's thread; the answer is borrowed. May start or cancel other calls. */
typedef void fm_http_done(const struct fm_http_answer *answer, void *arg);

/** Start a request. Strings are copied, the body is not.
 * @param out  may be NULL; the handle is valid until done has been called */
FM_MUST_USE enum fm_code fm_client_start(struct fm_client *client,
                                         const struct fm_http_request *request, fm_http_done *done,
                                         void *arg, struct fm_call **out, struct fm_err *err);

/** Give up a call: done is called at once with FM_HTTP_CANCELLED, the connection is closed. */
void fm_client_cancel(struct fm_client *client, struct fm_call *call);

/** fm_clock_ms() of the last time that a part of its body arrived, else of its start: since then it
 * is the other side that is waited for. */
int64_t fm_call_quiet_since(const struct fm_call *call);

/** Requests under way. */
size_t fm_client_active(const struct fm_client *client);

/** Start a request and poll until it is done: for commands and tests. Blocks up to timeout_ms.
 * The body of *answer is moved to *body (the caller frees it). */
FM_MUST_USE enum fm_code fm_client_call(struct fm_client *client,
                                        const struct fm_http_request *request,
                                        struct fm_http_answer *answer, char **body,
                                        struct fm_err *err);

#endif
