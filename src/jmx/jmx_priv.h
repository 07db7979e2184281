/* jmx/jmx_priv.h - what a transport of jmx/ must do, and what it may call. */
#ifndef FM_JMX_JMX_PRIV_H
#define FM_JMX_JMX_PRIV_H

#include "jmx/jmx.h"

/* The list under way. */
struct fm_jmx_list {
    struct fm_jmx_call *calls;
    size_t n;
    struct fm_arena *arena;
    int64_t deadline_ms; /* fm_clock_ms() */
};

/* A transport. All functions run on the client's thread and never block. */
struct fm_jmx_driver {
    const char *name;
    /** Whether this transport is meant by the URL. */
    bool (*accepts)(const char *url);
    /** @param jmx  to be given to fm_jmx_finish() */
    enum fm_code (*open)(void **out, struct fm_jmx *jmx, const struct fm_jmx_opts *opts,
                         struct fm_err *err);
    void (*free)(void *impl);
    /** Begin with a list; every call has code FM_EAGAIN until the driver sets its outcome. An
     * error here means that the list is not under way. */
    enum fm_code (*start)(void *impl, const struct fm_jmx_list *list, struct fm_err *err);
    /** Give the list up; fm_jmx_finish() is called by the caller afterwards. */
    void (*cancel)(void *impl, struct fm_err *err);
    const struct fm_jmx_cost *(*cost)(void *impl);
};

extern const struct fm_jmx_driver fm_jmx_rmi;
extern const struct fm_jmx_driver fm_jmx_jolokia;

/** Copies into a session's arena (wiped when it ends) of what its options point to; NULL stays
 * NULL. Without memory *ok becomes false; it is never set to true. */
const char *fm_jmx_keep(struct fm_arena *arena, const char *text, bool *ok);
struct fm_tls fm_jmx_keep_tls(struct fm_arena *arena, const struct fm_tls *tls, bool *ok);

/** The list has ended. Calls without an outcome get code and err. Runs done, which may free the
 * session: the driver must return at once afterwards and touch nothing. */
void fm_jmx_finish(struct fm_jmx *jmx, enum fm_code code, const struct fm_err *err);

#endif
