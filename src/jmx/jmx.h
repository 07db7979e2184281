/* jmx/jmx.h - a JMX session with one target, whatever the transport: RMI, local, Jolokia.
 *
 * A session lives on the thread of its fm_client and never blocks. Work is given as a list of calls
 * that go out together, pipelined over one connection where the transport can; the session
 * connects, logs in and reconnects by itself. One list at a time. */
#ifndef FM_JMX_JMX_H
#define FM_JMX_JMX_H

#include "base/arena.h"
#include "base/log.h"
#include "net/client.h"
#include "value/name.h"
#include "value/value.h"

enum fm_jmx_op {
    FM_JMX_NAMES, /* names that match a pattern: ARRAY of STRING, canonical, sorted */
    FM_JMX_INFO, /* a bean's attributes: OBJECT {"class":S,"attributes":[{"name":S,"type":S,
                    "readable":B,"writable":B},...]} */
    FM_JMX_READ, /* attribute values: OBJECT attribute -> value; unreadable ones are absent */
    FM_JMX_REASON /* why one attribute cannot be read: asks it alone; value or code and err */
};

/** One call and its outcome. name, attributes and path belong to the caller until done. */
struct fm_jmx_call {
    enum fm_jmx_op op;
    const char *name; /* ObjectName or pattern; NULL (NAMES): all */
    const char *const *attributes; /* READ: n names; REASON: one */
    size_t n_attributes;
    /* outcome */
    enum fm_code code; /* FM_OK; FM_ENOTFOUND: bean or attribute missing; FM_EREMOTE: its getter
                          failed; FM_EPROTO/FM_ELIMIT: this answer cannot be read; else the
                          session's failure */
    struct fm_err err;
    struct fm_value value; /* in the list's arena */
    size_t bytes; /* of the answer on the wire */
    double took_ms; /* RMI: from the answer before it (the first: from the request) to its own;
                       Jolokia: its share, by bytes, of the time of its POST */
};

/** What a list cost; for /stats and check. */
struct fm_jmx_cost {
    unsigned round_trips;
    unsigned connects;
    size_t bytes_in;
    size_t bytes_out;
};

/** How values are converted. */
struct fm_jmx_convert {
    bool object_fields; /* objects = fields: unknown objects with their fields */
    size_t max_value_bytes; /* converted output per value; 0: 256 KiB */
};

struct fm_moulds; /* opaque: what sessions learn of their answers (jmx/rmi/mould_priv.h) */

/** Moulds for all sessions of one thread. @return NULL without memory: each has its own then */
struct fm_moulds *fm_jmx_moulds_new(size_t max_bytes);

/** After the sessions. NULL is allowed. */
void fm_jmx_moulds_free(struct fm_moulds *moulds);

struct fm_jmx_opts {
    struct fm_client *client; /* borrowed; outlives the session */
    struct fm_log *log;
    struct fm_moulds *moulds; /* borrowed; outlive the session; NULL: it makes its own */
    const char *url; /* service:jmx:rmi:..., host:port, or http(s)://... (Jolokia) */
    const char *username; /* NULL: none */
    const char *password;
    bool tls; /* the connector speaks TLS */
    bool tls_registry; /* the registry too */
    struct fm_tls tls_opts;
    struct fm_http_proxy http_proxy; /* Jolokia only */
    const char *jolokia_target; /* proxy mode: service URL of the real target; NULL */
    const char *jolokia_username;
    const char *jolokia_password;
    bool follow_stub_host;
    int netns_pid; /* see net/conn.h; 0: none */
    unsigned timeout_ms; /* each list, from connect to last byte; 0: 10 s */
    size_t max_answer_bytes; /* 0: 8 MiB */
    struct fm_jmx_convert convert;
};

struct fm_jmx; /* opaque: jmx/jmx.c; the transport is a const vtable, chosen by the URL */

/** Parse the URL and make a session; connects with the first list.
 * @return FM_OK or FM_ECONF (the sentence names what is wrong in the URL) */
FM_MUST_USE enum fm_code fm_jmx_new(struct fm_jmx **out, const struct fm_jmx_opts *opts,
                                    struct fm_err *err);

/** Close the JMX connection politely if that needs no waiting, and free. A list under way ends
 * without its callback. NULL is allowed. */
void fm_jmx_free(struct fm_jmx *jmx);

/** Called once for a list, on the client's thread: every call has its outcome.
 * @param code  FM_OK if the session works (calls may have failed each by itself); else the
 *              session's failure, with err's sentence (place and remedy) */
typedef void fm_jmx_done(struct fm_jmx *jmx, enum fm_code code, const struct fm_err *err,
                         const struct fm_jmx_cost *cost, void *arg);

/** Send a list. calls and arena stay the caller's and must live until done (or fm_jmx_free()).
 * @return FM_OK, or an error without done being called */
FM_MUST_USE enum fm_code fm_jmx_start(struct fm_jmx *jmx, struct fm_jmx_call *calls, size_t n,
                                      struct fm_arena *arena, fm_jmx_done *done, void *arg,
                                      struct fm_err *err);

/** Start and poll the client until done: for commands and tests. Blocks up to timeout_ms.
 * @return the session's code */
FM_MUST_USE enum fm_code fm_jmx_run(struct fm_jmx *jmx, struct fm_jmx_call *calls, size_t n,
                                    struct fm_arena *arena, struct fm_jmx_cost *cost,
                                    struct fm_err *err);

/** End the list under way now (its deadline passed): done is called with FM_ETIMEOUT. */
void fm_jmx_cancel(struct fm_jmx *jmx);

#endif
