/* net/conn_priv.h - a connection, as conn.c (its life) and conn_bytes.c (its bytes) see it. */
#ifndef FM_NET_CONN_PRIV_H
#define FM_NET_CONN_PRIV_H

#include "net/client_priv.h"
#include "net/conn.h"

enum fm_net_conn_state { CONNECTING, OPEN, FAILED };

struct fm_conn {
    enum fm_net_kind kind; /* first: see enum fm_net_kind */
    struct fm_client *client;
    struct fm_conn *prev, *next;
    CURL *easy;
    fm_conn_fn *fn;
    void *arg;
    struct fm_net_target target;
    struct curl_slist *connect_to;
    struct fm_err open_err; /* why no socket could be had in the other namespace */
    struct fm_net_watch watch;
    struct fm_net_met met;
    curl_socket_t fd;
    enum fm_net_conn_state state;
    int netns_pid;
    bool received; /* at least one byte came */
    bool want_write;
    bool many; /* see fm_conn_expect() */
    bool more; /* the last receive gave bytes: there may be further ones, held by TLS */
    bool drained; /* the last receive took all there was (not with TLS) */
    int low_water; /* READABLE waits for so many bytes; 0 or 1: for any */
    int64_t low_until_ns; /* ... and no longer than until then */
    unsigned low_missed; /* how often they did not come in time since the list began, at most 3 */
    bool low_given_up; /* they did not: what has come waited long enough */
    bool has_first; /* first holds the byte read at opening */
    bool first_end; /* ... or that read ended the connection: first_result */
    CURLcode first_result;
    char first;
    char detail[CURL_ERROR_SIZE];
};

/* Whether the connection may hold bytes of which its socket does not tell. */
void fm_net_set_more(struct fm_conn *conn, bool more);

#endif
