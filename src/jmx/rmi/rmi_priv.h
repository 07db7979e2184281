/* jmx/rmi/rmi_priv.h - the RMI driver's own parts: calls, stubs, one connection.
 *
 * Wire facts: JRMP as Java RMI speaks it (protocol 4B), calls by method hash (operation -1),
 * checked against JDK 8 to 28; the tests compare the calls byte by byte with recorded ones. */
#ifndef FM_JMX_RMI_RMI_PRIV_H
#define FM_JMX_RMI_RMI_PRIV_H

#include "base/buf.h"
#include "jmx/jmx.h"
#include "jmx/rmi/ser_priv.h"
#include "net/conn.h"
#include "value/address.h"

enum { FM_OBJID_LEN = 22 };

/* ---- call.c: what we write; fixed templates, no handles ---- */

void fm_call_handshake(struct fm_buf *out);
void fm_call_lookup(struct fm_buf *out, const char *name);

/** @param user  NULL: no credentials */
void fm_call_new_client(struct fm_buf *out, const unsigned char *id, const char *user,
                        const char *password);

/** @param pattern  NULL: all */
void fm_call_query_names(struct fm_buf *out, const unsigned char *id, const char *pattern);
void fm_call_info(struct fm_buf *out, const unsigned char *id, const char *name);
void fm_call_attribute(struct fm_buf *out, const unsigned char *id, const char *name,
                       const char *attribute);
void fm_call_attributes(struct fm_buf *out, const unsigned char *id, const char *name,
                        const char *const *attributes, size_t n);
void fm_call_close(struct fm_buf *out, const unsigned char *id);

/* ---- stub.c ---- */

enum fm_stub_tls { FM_STUB_PLAIN, FM_STUB_TLS, FM_STUB_CUSTOM /* an unknown socket factory */ };

struct fm_stub {
    char host[FM_RMI_HOST]; /* as the JVM sees itself; may be empty */
    uint16_t port;
    enum fm_stub_tls tls;
    unsigned char id[FM_OBJID_LEN];
};

/** Read a remote stub in either of its shapes. @return FM_OK or FM_EPROTO (says what was found) */
FM_MUST_USE enum fm_code fm_stub_parse(struct fm_stub *out, const struct fm_ser_node *node,
                                       struct fm_err *err);

/* ---- transport.c: one TCP or TLS connection that speaks JRMP ---- */

struct fm_link {
    struct fm_conn *conn; /* NULL: closed */
    bool open; /* connected; bytes may be sent */
    bool acked; /* the peer answered the handshake */
    bool use_tls;
    char host[FM_RMI_HOST];
    uint16_t port;
    struct fm_buf out; /* handshake and calls to be sent */
    size_t sent; /* of out */
    struct fm_buf in;
    size_t at; /* of in: parsed so far */
    bool begun; /* the parser is inside an answer */
    bool got_any; /* at least one byte came */
    struct fm_ser ser;
    struct fm_ser_trace *trace; /* for the answer that begins next; NULL */
    size_t max_answer;
    size_t bytes_in;
    size_t bytes_out;
};

void fm_link_init(struct fm_link *link, size_t max_answer_bytes);
void fm_link_clear(struct fm_link *link);

/** Begin to connect; the handshake is the first thing in out. */
FM_MUST_USE enum fm_code fm_link_open(struct fm_link *link, struct fm_client *client,
                                      const struct fm_conn_opts *opts, fm_conn_fn *fn, void *arg,
                                      struct fm_err *err);

/** Close; what was not read is lost. */
void fm_link_close(struct fm_link *link);

/** Nothing is asked for a while: give the buffers back, if they are empty. A thousand links are
 * idle most of the time. */
void fm_link_rest(struct fm_link *link);

/** Send what can be sent. @return FM_OK or the connection's failure */
FM_MUST_USE enum fm_code fm_link_send(struct fm_link *link, struct fm_err *err);

/** Receive what is there, at most some 256 KiB at a time.
 * @return FM_OK, FM_EAGAIN (nothing more now), or the connection's failure; parse first, fail then
 */
FM_MUST_USE enum fm_code fm_link_receive(struct fm_link *link, struct fm_err *err);

/** The next answer, in link->ser until the next call.
 * @return FM_OK, FM_EAGAIN, or FM_EPROTO, FM_ELIMIT, FM_ETLS, ...: close the link */
FM_MUST_USE enum fm_code fm_link_next(struct fm_link *link, enum fm_ser_expect expect,
                                      struct fm_err *err);

/** The bytes that came and are not parsed yet; they may begin in the middle of an answer. */
struct fm_cursor fm_link_rest_bytes(const struct fm_link *link);

/** So many of them were an answer that needs no parsing. */
void fm_link_skip(struct fm_link *link, size_t bytes);

/** Whether bytes came that nobody asked for. */
bool fm_link_has_rest(const struct fm_link *link);

#endif
