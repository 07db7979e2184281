/* net/client_priv.h - what the files of net/ share about clients, calls and connections. */
#ifndef FM_NET_CLIENT_PRIV_H
#define FM_NET_CLIENT_PRIV_H

#include <stdatomic.h>
#include <sys/epoll.h>

#include <curl/curl.h>

#include "base/buf.h"
#include "net/client.h"
#include "net/way_priv.h"

enum {
    FM_NET_CONNECT_MS = 10000,
    FM_NET_TOTAL_MS = 130000,
    FM_NET_SLOW_UPLOAD_MS = 20000,
    FM_NET_MAX_ANSWER = 4 << 20,
    FM_NET_MAX_HEAD = 64 << 10,
    FM_NET_CERTS = 16,
    FM_NET_CAS = 64,
    FM_NET_CA_MOST_S = 86400,
    FM_NET_POOL = 8,
    FM_NET_SPARE = 128 << 10, /* the most that is kept for the next answer */
    FM_NET_EVENTS = 64, /* of connections in a round */
    FM_NET_SLOW_BYTES = 1024, /* an upload that moves less within its window is given up */
    /* TCP segments after a connection on which nothing got through: they fit into IPv6's least MTU,
     * and into the least that anything has. */
    FM_NET_SMALL_SEGMENT = 1200,
    FM_NET_TINY_SEGMENT = 536
};

/* CURLOPT_PRIVATE points to one of these, first in struct fm_call and struct fm_conn. */
enum fm_net_kind { FM_NET_CALL, FM_NET_CONN };

/* Where a handle goes, for sentences and for the decision which hop failed. */
struct fm_net_target {
    char host[256]; /* as in the URL, without brackets */
    char port[8];
    bool use_tls;
    bool is_conn; /* a bare connection (RMI): no URL, and tls = ... decides on TLS */
    bool via_proxy; /* goes through the HTTP proxy below */
    bool proxy_tls; /* ... and spoken to over TLS */
    char proxy[300]; /* host:port of the proxy, without credentials */
    const char *proxy_url; /* borrowed while a handle is set up; may hold a password */
    char ca_file[200]; /* for sentences; "": the system's */
    char proxy_ca_file[200]; /* the same of the proxy */
    bool has_client_cert;
    unsigned connect_ms;
    unsigned total_ms;
};

/* The certificate that a peer showed in its handshake; met.c. */
struct fm_net_met {
    bool seen;
    char subject[64], issuer[64]; /* RFC 4514, cut */
    char from[12], until[12]; /* "2026-01-31" */
};

/* What is known after a handle has ended. */
struct fm_net_end {
    CURLcode result;
    long connect_code; /* the proxy's answer to CONNECT */
    long status;
    bool connected; /* some socket was connected to the first peer */
    bool ready; /* the connection stood: the request could be sent */
    bool reused;
    bool any_answer; /* at least one byte of an answer's head */
    unsigned alert; /* the TLS alert (RFC 8446, 6.2) by which we refused the host; 0: none seen */
    const struct fm_net_met *met; /* NULL or not seen: nothing is known of its certificate */
    const char *detail; /* libcurl's own text */
};

struct fm_net_verdict {
    enum fm_http_failure failure;
    enum fm_hop hop;
};

/* Where a handle learns what became of the sockets that were opened for it. */
struct fm_net_watch {
    struct fm_client *client;
    CURL *easy;
    const struct fm_net_target *target; /* NULL: nothing is learnt of its way */
    struct fm_net_walk walk; /* among the addresses of its peer */
    struct fm_net_ip ip; /* of the last one opened */
    bool opened; /* one was */
    bool connected; /* ... and came to stand */
    struct fm_net_ip met; /* to where the last such one led */
    bool settled; /* the request goes out: what happens now is no matter of addresses */
};

/* An open socket of the client. */
struct fm_net_sock {
    curl_socket_t fd;
    int port; /* local port; 0: not yet asked */
    bool corked;
    struct fm_net_ip ip; /* where it leads to */
    int64_t opened_ms;
    bool judged; /* its silence was */
    struct fm_net_watch *watch; /* of the handle that opened it, while that lives; NULL */
};

struct fm_net_cert {
    char peer[272]; /* host:port */
    int64_t until_s; /* wall seconds */
};

struct fm_client {
    CURLM *multi;
    CURLSH *share; /* TLS sessions */
    struct fm_net_ca *cas; /* files of certificates, as last seen */
    size_t n_cas;
    struct fm_log *log;
    long idle_age_s;
    long connection_life_s;
    unsigned max_connections;
    struct fm_call *calls; /* doubly linked */
    size_t n_calls;
    struct fm_conn *conns; /* doubly linked */
    size_t n_conns;
    size_t n_connecting; /* of them; only these and calls are libcurl's business */
    size_t n_more; /* open ones that hold bytes which the socket does not tell of */
    /* Open connections are watched by an epoll descriptor, made for the first of them: a thousand
     * that are idle cost nothing at each wake-up. */
    int epoll; /* -1: none yet */
    atomic_int wake; /* eventfd in there; -1: none yet */
    size_t n_low_water; /* connections that wait for more than any byte */
    int64_t low_until_ns; /* when the first of them has waited for long enough */
    struct epoll_event events[FM_NET_EVENTS]; /* being handed out */
    int n_events;
    struct fm_conn *next_conn; /* the one to look at next while all are looked at */
    CURL *pool[FM_NET_POOL]; /* handles to be used again */
    size_t n_pool;
    struct fm_buf spare; /* memory of an answer that has been dealt with, for the next one */
    struct fm_net_sock *socks;
    size_t n_socks;
    size_t socks_cap;
    struct fm_net_cert certs[FM_NET_CERTS];
    size_t next_cert;
    struct fm_net_way *ways; /* FM_NET_WAYS, or none yet */
    size_t n_ways;
    uint64_t tick; /* orders what happened to them */
    bool nudge; /* an address was given up: libcurl would take the next one only at a timer */
};

/* setup.c: options of a handle. Each returns false if libcurl refused one (out of memory). */
bool fm_net_setup_common(struct fm_client *client, CURL *easy, char *errbuf);
bool fm_net_setup_tls(CURL *easy, const struct fm_tls *tls);
/* Files of certificates of the host and of the proxy, NULL: the system's: how long what was read
 * counts. */
bool fm_net_setup_cas(struct fm_client *client, CURL *easy, const char *ca_file,
                      const char *proxy_ca_file);
bool fm_net_setup_proxy(CURL *easy, const struct fm_http_proxy *proxy,
                        const struct fm_net_target *target);
/* Name and port of the peer; refuses what is not a plain http(s) URL. */
enum fm_code fm_net_parse_url(struct fm_net_target *out, const char *url, struct fm_err *err);
/* Whether the target is reached through a proxy, and through which. */
enum fm_code fm_net_choose_proxy(struct fm_net_target *out, const struct fm_http_proxy *proxy,
                                 struct fm_err *err);
/* "[::1]" for "::1", else the host itself. */
void fm_net_bracket(char *out, size_t size, const char *host);

/* cafile.c */
/* Seconds for which a file was seen to stay the same; 0: it is another, or there is none. */
long fm_net_ca_age(struct fm_client *client, const char *path);
void fm_net_ca_clear(struct fm_client *client);

/* sock.c */
/* target: borrowed while the watch lives; NULL: nothing is learnt of its way. */
bool fm_net_watch(struct fm_net_watch *watch, struct fm_client *client, CURL *easy,
                  const struct fm_net_target *target);
/* The first hop to a target: see fm_net_peer(). */
uint64_t fm_net_peer_of(const struct fm_net_target *target);
/* The request goes out over this socket. */
void fm_net_settle(struct fm_net_watch *watch, curl_socket_t fd);
/* Those that were opened for it in this family (AF_UNSPEC: in any) and do not answer are given up.
 */
void fm_net_judge_silence(struct fm_net_watch *watch, int family);
/* Before the handle's memory goes. Of its sockets only this one may still be open; CURL_SOCKET_BAD:
 * none. */
void fm_net_unwatch(struct fm_net_watch *watch, curl_socket_t kept);
curl_socket_t fm_net_socket_of(struct fm_client *client, int local_port, const char *remote,
                               int remote_port);
/* An answer whose head and body are two packets: without this the body waits for our delayed
 * acknowledgement of the head, 40 ms (Nagle on the other side). */
void fm_net_quick_ack(curl_socket_t fd);
/* While on, what is sent leaves in full segments: a body in TLS records of 16 KiB needs a quarter
 * of the packets and wake-ups. Off lets go what is held back. */
void fm_net_cork(struct fm_client *client, curl_socket_t fd, bool on);

/* call_end.c: what is remembered of the certificate of a target that was trusted; NULL: nothing */
struct fm_net_cert *fm_net_cert_of(struct fm_client *client, const struct fm_net_target *t);

/* met.c */
/* A message of a TLS handshake: if it is the peer's certificates, what its own one says.
 * @return whether it was */
bool fm_net_met_read(struct fm_net_met *met, const void *message, size_t size);
/* " (SUBJECT, issued by ISSUER, FROM to UNTIL)" in at most width bytes, less where these are few;
 * "" if nothing is known. @return out */
const char *fm_net_met_text(const struct fm_net_met *met, size_t width, char *out, size_t size);

/* explain.c: libcurl's result to failure, hop and a sentence. */
struct fm_net_verdict fm_net_explain(CURL *easy, const struct fm_net_target *target,
                                     const struct fm_net_end *end, struct fm_err *err);

/* client.c */
CURL *fm_net_easy_get(struct fm_client *client);
/* rewind: its last request ended with CURLE_SEND_FAIL_REWIND. */
void fm_net_easy_put(struct fm_client *client, CURL *easy, bool rewind);
void fm_net_set_cache(struct fm_client *client);

/* conn.c, conn_bytes.c: called by fm_client_poll(). */
/* What is ready, waiting at most so long. */
void fm_net_conns_wait(struct fm_client *client, int timeout_ms);
/* timeout_ms, or less if a connection does not wait so long for the bytes it expects. */
int fm_net_conns_limit(const struct fm_client *client, int timeout_ms);
void fm_net_conns_dispatch(struct fm_client *client);
void fm_net_conn_done(struct fm_conn *conn, CURLcode result);

#endif
