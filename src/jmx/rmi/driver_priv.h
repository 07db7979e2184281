/* jmx/rmi/driver_priv.h - one RMI session: its connection, its login, the list under way.
 *
 * driver.c connects and logs in, task.c sends the calls of a list and takes their answers. A TCP
 * connection that is out of step is closed and opened again; the JMX connection (an object id)
 * outlives it. */
#ifndef FM_JMX_RMI_DRIVER_PRIV_H
#define FM_JMX_RMI_DRIVER_PRIV_H

#include "jmx/jmx_priv.h"
#include "jmx/rmi/mould_priv.h"
#include "jmx/rmi/rmi_priv.h"

enum {
    FM_RMI_WINDOW = 64, /* calls outstanding */
    FM_RMI_WINDOW_BYTES = 32 * 1024, /* ... and their bytes: both sides must never fill up */
    FM_RMI_MAX_SPLITS = 24, /* halvings of unreadable answers in one list */
    FM_RMI_MAX_REOPENS = 64, /* new TCP connections in one list */
    FM_RMI_MAX_UNREADABLE = 1024, /* attributes remembered */
    FM_RMI_IDLE_MS = 110 * 1000, /* the server forgets a JMX connection idle for 120 s */
    FM_RMI_OWN_MOULDS = 256 * 1024, /* bytes, where none are shared */
    FM_RMI_MAX_SLOW = 16, /* MBeans that let a deadline pass */
    FM_RMI_MAX_LATE = 64 /* their calls in one list */
};

enum fm_rmi_step { FM_RMI_IDLE, FM_RMI_LOOKUP, FM_RMI_LOGIN, FM_RMI_READY };

/* A call on the wire: a whole call of the list, or some of the attributes of one. */
struct fm_rmi_task {
    size_t call; /* SIZE_MAX: a call only to see whether the session works */
    size_t low; /* attributes from low to high - 1 */
    size_t high;
    size_t bytes;
    uint32_t key; /* of the attributes asked; 0: none are */
};

/* An attribute whose value cannot be read, found once and not asked again. */
struct fm_rmi_unreadable {
    char *name;
    char *attribute;
    struct fm_err err;
};

/* An MBean that was being asked when a deadline passed. It is asked last from then on, so that it
 * delays nobody; if it lets a second deadline pass it is left out for a while, so that no calls
 * pile up in the JVM. */
struct fm_rmi_slow {
    char *name;
    int64_t until_ms; /* left out until then; 0: not left out */
    int64_t backoff_ms;
};

struct fm_rmi {
    struct fm_jmx *jmx;
    struct fm_client *client;
    struct fm_log *log;
    struct fm_arena strings;
    const char *url;
    const char *username;
    const char *password; /* in strings, which is wiped when freed */
    struct fm_tls tls_opts;
    struct fm_jmx_convert convert;
    struct fm_moulds *moulds; /* NULL: none could be had */
    bool own_moulds;
    bool tls;
    bool tls_registry;
    bool follow_stub_host;
    int netns_pid;
    unsigned timeout_ms;
    struct fm_rmi_address address;

    struct fm_link link;
    enum fm_rmi_step step;
    bool has_server; /* server is known */
    bool has_id; /* logged in: id */
    struct fm_stub server;
    unsigned char id[FM_OBJID_LEN];
    unsigned char last_server[FM_OBJID_LEN]; /* whose unreadable attributes are remembered */
    int64_t last_answer_ms;
    int64_t mark_ns; /* of the last answer, the login, or the start of the list */
    struct fm_jmx_cost cost; /* since the session began */

    bool busy;
    struct fm_jmx_list list;
    size_t list_bytes; /* cost.bytes_in when the list began */
    size_t last_n; /* calls of the last list that came to its end ... */
    size_t last_bytes; /* ... and the bytes that came */
    size_t next; /* calls from here on have not been sent */
    struct fm_rmi_task window[FM_RMI_WINDOW];
    size_t first; /* of the window, a ring */
    size_t n_window;
    size_t window_bytes;
    struct fm_rmi_task *again; /* to be sent (again) before the next ones; the last one first */
    size_t n_again;
    size_t cap_again;
    unsigned splits;
    unsigned reopens;
    unsigned stalls; /* connections closed in a row without an answer */
    bool fresh; /* looked up or logged in during this list */
    bool sent_any;

    struct fm_rmi_unreadable *unreadable;
    size_t n_unreadable;
    struct fm_rmi_slow slow[FM_RMI_MAX_SLOW];
    size_t n_slow;
    size_t late[FM_RMI_MAX_LATE]; /* calls of the list that are sent last */
    size_t n_late;
    size_t next_late;
};

/* ---- driver.c ---- */

/** Connect (again) as far as needed, then go on with the list. */
enum fm_code fm_rmi_begin(struct fm_rmi *d, struct fm_err *err);

/** Close the TCP connection, put what is outstanding back, and begin again. */
enum fm_code fm_rmi_reopen(struct fm_rmi *d, struct fm_err *err);

/** The JMX connection is gone: forget it and log in again, once in a list. err says why. */
enum fm_code fm_rmi_relogin(struct fm_rmi *d, struct fm_err *err);

/* ---- task.c ---- */

/** Write as many calls as the window allows. */
enum fm_code fm_rmi_pump(struct fm_rmi *d, struct fm_err *err);

/** Take the next answer by a mould. *taken is false if it must be parsed.
 * @return FM_OK, or FM_EAGAIN: more bytes are needed to tell */
enum fm_code fm_rmi_take_known(struct fm_rmi *d, bool *taken);

/** The answer in link.ser belongs to the oldest task. */
enum fm_code fm_rmi_take(struct fm_rmi *d, struct fm_err *err);

/** The oldest task's answer cannot be read: find the culprit, and go on with a new connection.
 * why is the reason; err the session's failure, if it comes to that. */
enum fm_code fm_rmi_take_broken(struct fm_rmi *d, const struct fm_err *why, struct fm_err *err);

/** Put the window back into the line, in order. @return false without memory */
bool fm_rmi_requeue(struct fm_rmi *d);

/** Whether every call of the list has its outcome. */
bool fm_rmi_done(const struct fm_rmi *d);

/** The list ends early: calls that are not finished get this outcome. */
void fm_rmi_abandon(struct fm_rmi *d, enum fm_code code, const struct fm_err *err);

void fm_rmi_forget_unreadable(struct fm_rmi *d);

/* ---- slow.c ---- */

/** What a registry that says nothing may be; "" elsewhere. */
const char *fm_rmi_silence(const struct fm_rmi *d);

/** The MBean of this name let the deadline of a list pass. */
void fm_rmi_slow_note(struct fm_rmi *d, const char *name);

/** It answered. */
void fm_rmi_slow_answered(struct fm_rmi *d, const char *name);

/** NULL if it is not slow. */
const struct fm_rmi_slow *fm_rmi_slow_find(const struct fm_rmi *d, const char *name);
void fm_rmi_slow_clear(struct fm_rmi *d);

#endif
