/* sandbox/core_priv.h - the sandbox without sockets: an exchange goes from a request through the
 * fault script, the store and the ledger to its answer.
 *
 * The owner gives two hooks. fm_core_run() may call them before it returns, or other threads (the
 * store's, the timer's) later; defer always comes from inside fm_core_run(). */
#ifndef FM_SANDBOX_CORE_PRIV_H
#define FM_SANDBOX_CORE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "net/server.h"
#include "sandbox/consumer_priv.h"
#include "sandbox/faults_priv.h"
#include "sandbox/sandbox.h"
#include "sandbox/v2_priv.h"

struct fm_core;

struct fm_exchange {
    struct fm_v2 v2; /* the first member: the job's done comes back from it */
    struct fm_core *core;
    void *call; /* the owner's */
    struct fm_fault fault;
    uint64_t number; /* of the produce request or probe; 0: neither */
    bool produce;
    bool deferred;
    size_t asked; /* records of the request, of which the store may see fewer */
    int64_t due_ms; /* timer */
    struct fm_exchange *next;
};

struct fm_core_hooks {
    void (*defer)(struct fm_exchange *x);
    /* The exchange is freed after this. */
    void (*answer)(struct fm_exchange *x, const struct fm_server_reply *reply);
};

/* Answers exchanges at their time, with a thread that starts when first needed (timer.c). */
struct fm_timer {
    pthread_mutex_t lock; /* protects all below; a leaf */
    pthread_cond_t wake;
    pthread_t thread;
    struct fm_exchange *first; /* by due_ms */
    bool running, stopping;
    void (*fire)(struct fm_exchange *x);
};

void fm_timer_init(struct fm_timer *timer, void (*fire)(struct fm_exchange *x));
/* Fires at once when the timer is stopped or has no thread. */
void fm_timer_add(struct fm_timer *timer, struct fm_exchange *x, int64_t due_ms);
/* Fire what waits, join. A second call is harmless. */
void fm_timer_stop(struct fm_timer *timer);
void fm_timer_clear(struct fm_timer *timer);

/* What became of each record, written before the answer (ledger.c). */
struct fm_ledger {
    int fd; /* -1: none */
    pthread_mutex_t lock; /* protects arrivals and the order of lines */
    uint64_t arrivals;
};

FM_MUST_USE enum fm_code fm_ledger_open(struct fm_ledger *ledger, const char *path,
                                        struct fm_err *err);
void fm_ledger_close(struct fm_ledger *ledger);
/* One line per record. answer: "200", "reset", "hang" ... */
void fm_ledger_write(struct fm_ledger *ledger, const struct fm_exchange *x, const char *answer);

struct fm_core {
    const struct fm_core_hooks *hooks;
    struct fm_tlog *tlog;
    struct fm_consumers *consumers;
    struct fm_registry *registry;
    bool async; /* jobs end on threads of the store */
    pthread_mutex_t lock; /* protects faults and the two numbers; a leaf */
    struct fm_faults *faults;
    uint64_t produces, probes;
    struct fm_timer timer;
    struct fm_ledger ledger;
    char *authorization; /* the header expected; NULL: nobody is asked */
    struct fm_log *log;
    _Atomic bool stopping;
    _Atomic uint64_t n_requests, n_produced, n_records, n_bytes, n_refused;
};

/** Open the store and all but the server. On failure nothing is left. */
FM_MUST_USE enum fm_code fm_core_open(struct fm_core *core, const struct fm_sandbox_opts *opts,
                                      const struct fm_core_hooks *hooks, struct fm_err *err);

/** End what is under way; from now on requests get 503. Idempotent. */
void fm_core_stop(struct fm_core *core);

/** After fm_core_stop(), nobody inside. */
void fm_core_close(struct fm_core *core);

/** Run one request. Its body must live until the answer.
 * @return false: no memory, no hook was called */
FM_MUST_USE bool fm_core_run(struct fm_core *core, const struct fm_v2_request *request,
                             const char *authorization, void *call);

FM_MUST_USE enum fm_code fm_core_faults(struct fm_core *core, const char *script,
                                        struct fm_err *err);
void fm_core_stats(struct fm_core *core, struct fm_sandbox_stats *out);

#endif
