/* net/server_priv.h - what the files of the server share. */
#ifndef FM_NET_SERVER_PRIV_H
#define FM_NET_SERVER_PRIV_H

#include <microhttpd.h>
#include <pthread.h>

#include "base/buf.h"
#include "net/server.h"

/* Slots for connections that are shut down but not yet gone. */
enum { FM_EXTRA_SLOTS = 32 };

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
    bool queued; /* the answer is with the library */
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

/* server_accept.c */
void fm_server_wake(struct fm_server *server);
void *fm_server_run(void *server); /* the thread that accepts */

/* server_slot.c */
struct fm_slot *fm_server_slot(struct MHD_Connection *conn);
void fm_slot_phase_set(struct fm_slot *slot, enum fm_slot_phase phase);
/* Have the library ignore the connection until resumed. @return false when the server stops */
bool fm_slot_suspend(struct fm_slot *slot, int64_t resume_ms);
void fm_slot_resume(struct fm_slot *slot);
/* Keep a suspended connection so until the client goes away or the server stops. */
void fm_slot_hang(struct fm_slot *slot);
/* Under the lock. */
struct fm_slot *fm_slot_add(struct fm_server *server, int fd);
void fm_slot_remove(struct fm_slot *slot);
/* Under the lock: make room for one more. @return false if no slot may be given up */
bool fm_slots_evict(struct fm_server *server);
/* Shut down what is past its deadline.
 * @return how long the thread may sleep, -1: until something happens */
int fm_slots_check(struct fm_server *server);
/* Begin to stop: the library must not be stopped while connections are suspended. */
void fm_slots_resume(struct fm_server *server);

#endif
