/* agent/agent_priv.h - the agent's own state; shared by the files of this module. */
#ifndef FM_AGENT_AGENT_PRIV_H
#define FM_AGENT_AGENT_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "agent/agent.h"
#include "agent/certs.h"
#include "agent/control.h"
#include "agent/document.h"
#include "agent/notify.h"
#include "agent/plan.h"
#include "http/http.h"
#include "sandbox/sandbox.h"

struct fm_agent {
    const struct fm_agent_opts *opts;
    struct fm_config *config; /* replaced by the main thread, under secret_lock */
    char *name; /* the agent's; the same until the end */
    struct fm_plan *plan;
    struct fm_log *log;
    struct fm_spool *spool;
    struct fm_sandbox *sandbox;
    char sandbox_url[64];
    struct fm_http *http;
    struct fm_rest *rest;
    struct fm_rest *sender; /* rest, while the spool's thread may wake it; under sender_lock */
    pthread_mutex_t sender_lock; /* leaf: sender, between the spool's thread and the end */
    struct fm_rest_opts rest_opts; /* what rest was made with, in rest_arena */
    struct fm_arena rest_arena; /* what rest was made with */
    pthread_mutex_t secret_lock; /* config, between a reload and the sender's re-reading of its
                                    secret; the one lock under which a (small) file is read */
    struct fm_poll *poll;
    struct fm_control *control;
    struct fm_notify notify;
    int signal_fd;
    int news_fd; /* wakes the main thread; -1: nobody waits */
    atomic_bool news; /* it was woken and has not rendered since */
    unsigned quiet; /* so many renderings in a row showed nothing that is under way */
    int64_t started_ms;
    bool stopping;
    bool ran; /* until a signal: the end is told */
    struct fm_spool_end end;
    bool hung; /* a thread did not end in time: nothing that it uses may be freed */
    char reload_error[240];
    struct fm_config *boot; /* what it was started with, kept by the first reload; NULL: none yet */
    char restart_keys[160]; /* settings that wait for a restart; "": none */
    /* documents: reused from second to second */
    struct fm_spool_stats *spool_stats;
    struct fm_rest_stats *rest_stats;
    struct fm_buf health, stats, metrics;
    struct fm_certs certs;
    /* what damage cost: written by the spool's thread, which may declare a gap again after a failed
     * commit */
    atomic_uint_fast64_t damaged;
    atomic_bool damage_unknown;
    uint64_t declared[8]; /* the gaps declared last, by hash; the spool's thread only */
    unsigned n_declared;
    struct fm_reasons reasons; /* of health, as the log knows them */
    struct fm_way way; /* what the sender said and the log does not know yet */
    enum fm_health last_health;
    bool health_known;
};

/** All empty; nothing is opened. Core files are forbidden from here on. */
void fm_agent_init(struct fm_agent *agent, const struct fm_agent_opts *opts);

/** Load the configuration, make the log. */
FM_MUST_USE enum fm_code fm_agent_load(struct fm_agent *agent, struct fm_err *err);

/** Start the local server with the settings of config (which may not be the agent's yet). */
FM_MUST_USE enum fm_code fm_agent_start_http(struct fm_agent *agent, const struct fm_config *config,
                                             struct fm_err *err);

/** Options of the spool, but for its control socket. */
void fm_agent_spool_opts(struct fm_agent *agent, const struct fm_config *config,
                         struct fm_spool_opts *out);

/** The local server takes over its password file as it is now. */
void fm_agent_refresh_http(struct fm_agent *agent);

/** The same, and targets whose password file changed get a new session. Reads files; call it
 * seldom. */
void fm_agent_refresh_secrets(struct fm_agent *agent);

/** Free everything, in whatever state; the spool last. */
void fm_agent_release(struct fm_agent *agent);

/** A thread hangs in the kernel or a library: what is queued is committed, and the process ends
 * (0; 1 if that failed) without freeing what that thread may still touch. */
void fm_agent_leave(struct fm_agent *agent);

/** After fm_agent_release(). @return FM_OK, or FM_ESYS with what the disk did not take */
FM_MUST_USE enum fm_code fm_agent_judge_end(const struct fm_agent *agent, struct fm_err *err);

/** Render the documents and hand them to the local server. */
void fm_agent_publish(struct fm_agent *agent);

enum { FM_AGENT_GRACE_MS = 3000 /* for the sender, at a stop */ };

/** Open what fm_agent_news() wakes. @return FM_OK or FM_ESYS */
FM_MUST_USE enum fm_code fm_agent_listen(struct fm_agent *agent, struct fm_err *err);

/** How many renderings in a row showed nothing under way, with this one. Pure. */
unsigned fm_agent_still_quiet(unsigned before, enum fm_health health,
                              const struct fm_spool_stats *spool);

/** Something that the documents show has changed: they are rendered within a second. While nothing
 * is under way that is seldom done otherwise. Any thread; does not block. */
void fm_agent_news(struct fm_agent *agent);

/** The main thread's loop, until SIGTERM or SIGINT. */
void fm_agent_serve(struct fm_agent *agent);

/** SIGHUP: read the configuration again and take over what changed; a faulty one changes nothing.
 */
void fm_agent_reload(struct fm_agent *agent);

/** Options of the sender from a configuration, strings in arena, callbacks set. */
FM_MUST_USE enum fm_code fm_agent_rest_opts(struct fm_agent *agent, const struct fm_config *config,
                                            struct fm_arena *arena, struct fm_rest_opts *out,
                                            struct fm_err *err);

/** fm_agent_control() for the agent (arg): counts what damage cost. */
enum fm_code fm_agent_declare(void *arg, const struct fm_spool_control *what, struct fm_chunk **out,
                              struct fm_err *err);

/** The hooks of the poll thread, arg = the agent. */
bool fm_agent_ready(void *arg);
void fm_agent_sample(void *arg, const struct fm_sample *sample);
void fm_agent_state(void *arg, const struct fm_poll_event *event);

#endif
