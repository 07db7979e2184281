/* net/call_priv.h - one request under way. */
#ifndef FM_NET_CALL_PRIV_H
#define FM_NET_CALL_PRIV_H

#include "net/client_priv.h"

struct fm_call {
    enum fm_net_kind kind; /* first: see enum fm_net_kind */
    struct fm_client *client;
    struct fm_call *prev, *next;
    CURL *easy;
    fm_http_done *done;
    void *arg;
    struct fm_net_target target;
    struct curl_slist *headers;
    struct curl_slist *connect_to;
    const char *body; /* borrowed; NULL: none */
    size_t body_len;
    size_t body_read; /* handed to libcurl */
    struct fm_buf answer;
    size_t head_bytes;
    char *content_type, *retry_after, *location; /* owned; of the last head seen */
    int64_t started_ns;
    int64_t deadline_ms; /* moves on while the upload does */
    int64_t window_ms; /* when the current window of the upload began */
    uint64_t window_acked; /* what the peer's TCP had acknowledged then */
    int64_t looked_ms; /* flow.c looked at it; 0: not yet */
    int64_t moved_ms; /* something arrived, or nothing was left to */
    uint64_t acked; /* ... and at the last look */
    bool uploaded; /* as of the last look */
    bool lost; /* ... and what was sent last got no answer from TCP */
    unsigned segment; /* ... which sends so many bytes at most */
    bool dead; /* the connection is: nothing gets through */
    unsigned slow_ms;
    curl_socket_t fd; /* for options of TCP; CURL_SOCKET_BAD: unknown */
    bool corked; /* until all of the body is with the system */
    struct fm_net_watch watch;
    bool head_done; /* the empty line of a final answer was seen */
    bool interim; /* the head now read is a 1xx */
    bool ready; /* the connection stands, the request goes out */
    unsigned alert; /* the TLS alert by which we refused the host inside a proxy's TLS; 0: none */
    struct fm_net_met met;
    bool too_large;
    bool slow;
    bool cancelled;
    bool rewind; /* libcurl wanted to send the body once more */
    char detail[CURL_ERROR_SIZE];
};

/** Give back what a call holds; it is in no list any more. call.c */
void fm_net_call_free(struct fm_call *call);

/* ---- call_end.c ---- */

/** The handle has ended: tell the caller, free the call. */
void fm_net_call_done(struct fm_call *call, CURLcode result);

/** End a call without telling anybody. */
void fm_net_call_drop(struct fm_call *call);

/** Once all of a large body is with the kernel, nothing of it is held back any more. */
void fm_net_call_let_go(struct fm_call *call);

/** Bytes of the body that libcurl gave to the kernel. */
size_t fm_net_on_wire(const struct fm_call *call);

/* ---- flow.c ---- */

/** Give up calls whose time is over, whose upload hardly moves, or whose connection is dead.
 * @return how many ended */
unsigned fm_net_calls_check(struct fm_client *client);

/** How long to wait so that the next such check is not late. */
int fm_net_calls_wait(const struct fm_client *client, int timeout_ms);

/** What its end teaches about the way. */
void fm_net_flow_ended(struct fm_call *call, const struct fm_http_answer *answer);

#endif
