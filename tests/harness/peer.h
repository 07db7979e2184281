/* harness/peer.h - a scripted TCP peer on 127.0.0.1: plain sockets, one thread per connection.
 *
 * The script is a function that reads and sends as it likes; when it returns the connection is
 * closed. Everything a script waits for ends when the peer is stopped. */
#ifndef FM_HARNESS_PEER_H
#define FM_HARNESS_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct peer;
struct peer_conn;

/** @param nth  which connection this is, from 1 */
typedef void peer_fn(struct peer_conn *conn, unsigned nth, void *arg);

/** Listen on any free port of 127.0.0.1 and run the script for every connection. */
struct peer *peer_start(peer_fn *fn, void *arg);
/** The same at another address of 127/8 (host order), and at this port; 0: any. */
struct peer *peer_start_at(uint32_t address, uint16_t port, peer_fn *fn, void *arg);
void peer_stop(struct peer *peer); /* ends every script, joins, frees */

/** Before anybody connects: what its scripts do not read stays with the sender, but for some tens
 * of KiB (by itself the kernel may take more than 100 MiB). */
void peer_narrow(struct peer *peer);

uint16_t peer_port(const struct peer *peer);
unsigned peer_accepted(const struct peer *peer); /* connections so far */
unsigned peer_requests(const struct peer *peer); /* whole HTTP requests read so far */

/** A port of 127.0.0.1 on which nobody listens, nor will while this process lives. */
uint16_t peer_closed_port(void);

struct peer_request {
    char head[16384]; /* terminated, with its empty line */
    char *body; /* allocated, terminated; freed by peer_request_clear() */
    size_t body_len;
};

/** Read one HTTP request with Content-Length or without a body. @return false at the end */
bool peer_read_request(struct peer_conn *conn, struct peer_request *out);
void peer_request_clear(struct peer_request *request);

/** Read exactly len bytes; at most len bytes. @return bytes, 0 at the end */
bool peer_read_exact(struct peer_conn *conn, void *to, size_t len);
size_t peer_read_some(struct peer_conn *conn, void *to, size_t len);

bool peer_send(struct peer_conn *conn, const char *text);
bool peer_send_bytes(struct peer_conn *conn, const void *data, size_t len);

/** "HTTP/1.1 STATUS X" with Content-Length and this body. */
bool peer_answer(struct peer_conn *conn, unsigned status, const char *body);

/** Connect to this port of 127.0.0.1 and pass bytes both ways until one side ends. */
bool peer_connect_through(struct peer_conn *conn, uint16_t port);

/** The same with a fault in what the server sends: behind so many bytes one of them is changed, or
 * nothing comes any more, or the connection is closed. */
enum peer_how { PEER_FLIP, PEER_STALL, PEER_CUT };
struct peer_fault {
    size_t after;
    enum peer_how how;
};
bool peer_connect_fault(struct peer_conn *conn, uint16_t port, const struct peer_fault *fault);

/** Close with RST; the script should return then. */
void peer_reset(struct peer_conn *conn);

/** Send FIN, keep reading. */
void peer_shut(struct peer_conn *conn);

/** The largest TCP segment that may be sent to the other side. */
unsigned peer_segment(const struct peer_conn *conn);

/** Say nothing, read and forget until the other side closes, or the peer is stopped, or ms have
 * passed (0: no limit). */
void peer_stall(struct peer_conn *conn, int ms);

/** The same without a look at the socket: received bytes fill its window. */
void peer_sleep(struct peer_conn *conn, int ms);

#endif
