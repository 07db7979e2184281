/* net/server_priv.h - what the files of the server share. */
#ifndef FM_NET_SERVER_PRIV_H
#define FM_NET_SERVER_PRIV_H

#include <microhttpd.h>
#include <pthread.h>

#include "base/buf.h"
#include "net/server.h"

enum fm_slot_phase {
    FM_SLOT_NEW, /* accepted, not yet taken over by the library's thread */
    FM_SLOT_READING, /* within a request: a deadline runs */
    FM_SLOT_HANDLED, /* the request is whole, its answer is awaited */
    FM_SLOT_SENDING, /* the answer is on its way */
    FM_SLOT_IDLE /* kept alive between two requests */
};

/* One connection. Guarded by the server's lock; fd stays valid as long as the slot exists. */
struct fm_slot {
    struct fm_server *server;
    struct fm_slot *prev, *next;
    struct MHD_Connection *conn;
    struct fm_server_call *call; /* the request now in work; NULL */
    int fd;
    bool is_tcp;
    bool dying; /* shut down by us; the library will notice */
    bool suspended; /* the library does not look at it */
    bool hanging; /* suspended for good, until the client goes away */
    bool slow; /* a fault that takes its time: no deadline for the answer */
    enum fm_slot_phase phase;
    int64_t since_ms; /* when the phase began */
    int64_t resume_ms; /* suspended until then; 0: until somebody resumes */
    unsigned nth;
};

struct fm_server {
    struct MHD_Daemon *daemon;
    struct fm_server_opts opts; /* defaults filled in; strings not kept */
    pthread_mutex_t lock; /* slots, counters, stopping; taken before the library's locks */
    struct fm_slot *slots; /* doubly linked */
    unsigned n_slots; /* all */
    unsigned n_open; /* without the dying ones */
    uint64_t evicted;
    bool stopping;
    int listen_fd;
    int wake_fd;
    int spare_fd; /* given up for a moment when descriptors run out */
    bool is_unix;
    uint16_t port;
    char unix_path[108];
    pthread_t thread; /* accepts, and watches the deadlines */
    bool thread_runs;
};

struct fm_server_call {
    struct fm_server *server;
    struct fm_slot *slot;
    struct MHD_Connection *conn;
    const char *method;
    const char *path;
    struct fm_buf body;
    bool too_large;
    bool seen; /* the head was looked at */
    bool handled; /* the handler has run */
    bool deferred;
    bool answered;
    bool drop; /* end the connection without an answer */
    struct MHD_Response *response; /* of a deferred call, owned until queued */
    unsigned status;
    bool slow;
};

/* listen.c */
enum fm_code fm_server_listen(struct fm_server *server, const char *listen, struct fm_err *err);

/* server_call.c: the library's callbacks */
enum MHD_Result fm_server_on_request(void *cls, struct MHD_Connection *conn, const char *url,
                                     const char *method, const char *version, const char *data,
                                     size_t *data_len, void **state);
void fm_server_on_completed(void *cls, struct MHD_Connection *conn, void **state,
                            enum MHD_RequestTerminationCode code);
void *fm_server_on_line(void *cls, const char *uri, struct MHD_Connection *conn);
size_t fm_server_unescape(void *cls, struct MHD_Connection *conn, char *text);

/* server.c */
void fm_server_wake(struct fm_server *server);
struct fm_slot *fm_server_slot(struct MHD_Connection *conn);
void fm_slot_phase_set(struct fm_slot *slot, enum fm_slot_phase phase);
/* Have the library ignore the connection until resumed. @return false when the server stops */
bool fm_slot_suspend(struct fm_slot *slot, int64_t resume_ms);
void fm_slot_resume(struct fm_slot *slot);
/* Keep a suspended connection so until the client goes away or the server stops. */
void fm_slot_hang(struct fm_slot *slot);

#endif
