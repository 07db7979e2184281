/* poll/poll.h - reads all targets at their intervals and hands out samples.
 *
 * One poll thread owns one fm_client and every session; what can block (looking for JVMs, attach)
 * runs on at most 8 helper threads. A target that hangs, lies or dies costs nobody but itself: one
 * poll in flight per target, a deadline over the whole poll, its own back-off with jitter; a poll
 * that cannot start in time is counted as missed and never caught up. Schedules follow the
 * monotonic clock; the wall clock is only stamped.
 *
 * Hooks run on the poll thread and must not wait. The getters may be called from any thread. */
#ifndef FM_POLL_POLL_H
#define FM_POLL_POLL_H

#include <sys/types.h>

#include "jmx/jmx.h"
#include "jmx/query.h"
#include "record/record.h"

/** A query of a target. Queries that share a rule give one record per bean together. */
struct fm_poll_query {
    const struct fm_query *query;
    struct fm_rule *rule;
    unsigned interval_ms; /* 0: the target's; else rounded up to a multiple of it */
    unsigned discovery_ms; /* how long a list of beans and attributes is trusted; 0: 1 min */
};

struct fm_poll_target_opts {
    const char *name; /* of the section; JVMs of a section for several become NAME/PART */
    const char
        *url; /* any TARGET form of design section 3; ${host} stands for an element of hosts */
    const char *const *hosts; /* NULL: none */
    size_t n_hosts;
    /* A file, or a glob pattern of files, that names targets (then url is NULL): one target each,
     * NAME/host:port, its labels as tags. Looked at every files_ms. NULL: none */
    const char *targets_file;
    const char *host; /* ${host} of records; NULL: from the URL, host_name for local JVMs */
    bool attach; /* local JVMs: the attach protocol is allowed */
    struct fm_jmx_opts jmx; /* client, log, url, netns_pid, timeout_ms, max_answer_bytes ignored */
    unsigned interval_ms; /* 0: 10 s */
    unsigned timeout_ms; /* of a whole poll; 0: 10 s */
    const struct fm_poll_query *queries;
    size_t n_queries;
    size_t max_beans; /* of a poll; 0: 20000 */
    size_t max_bytes; /* on the wire in a poll; its values may take 4 times that; 0: 8 MiB */
    /* Everything that decides how the target is polled and its records are made, as text; a target
     * whose fingerprint did not change keeps its session through fm_poll_replace(). NULL: always
     * counts as changed. */
    const char *fingerprint;
};

enum fm_poll_state {
    FM_POLL_WAITING, /* not polled yet */
    FM_POLL_UP, /* the last poll read it */
    FM_POLL_DOWN, /* the last poll failed */
    FM_POLL_EMPTY /* a section for several that stands for none now (no JVM matches) */
};

struct fm_poll_event {
    const struct fm_poll_target_opts *opts; /* its rules say which streams are concerned */
    const char *target; /* full name */
    const char *host;
    const char *state; /* "up", "down" or "restarted" */
    const char *error; /* NULL: none */
    int64_t timestamp_ms;
};

/** A bean (attribute NULL) or an attribute that a query wants and that cannot be read. */
struct fm_poll_refusal {
    const char *target; /* full name */
    const struct fm_query *query;
    const char *bean;
    const char *attribute;
    const char *why;
    bool silent; /* the JVM does not have it or does not support it: no error */
};

struct fm_poll_hooks {
    /** Whether there is room for a poll's records. False: it is not started, counted as missed. */
    bool (*ready)(void *arg); /* NULL: always */
    /** A finished poll; everything is borrowed. */
    void (*sample)(void *arg, const struct fm_sample *sample);
    /** A target changed its state (never called for a target that stays as it is). */
    void (*state)(void *arg, const struct fm_poll_event *event); /* may be NULL */
    /** In every poll for each query and refusal; a poll asks for 16 reasons at most. May be NULL.
     */
    void (*refused)(void *arg, const struct fm_poll_refusal *refusal);
    /** fm_poll_once() only, several times a second: whether to give up. May be NULL. */
    bool (*stopped)(void *arg);
    void *arg;
};

struct fm_poll_opts {
    struct fm_log *log; /* may be NULL */
    struct fm_poll_hooks hooks;
    /* Borrowed, with all they point to, until fm_poll_replace() or fm_poll_free() has returned. */
    const struct fm_poll_target_opts *targets;
    size_t n_targets;
    const char *host_name; /* ${host} of local JVMs; NULL: this machine's name */
    const char *tmp_dir; /* where hsperfdata lies; NULL: /tmp. For tests */
    unsigned scan_ms; /* between two looks for local JVMs; 0: 10 s */
    unsigned files_ms; /* between two looks at targets_file; 0: 5 s */
    unsigned max_backoff_ms; /* 0: 1 min */
    unsigned max_backoff_denied_ms; /* credentials refused; 0: 5 min */
};

struct fm_poll; /* opaque: poll/poll.c */

/** Check the targets; starts nothing. @return FM_OK or FM_ECONF (names the target and the fault) */
FM_MUST_USE enum fm_code fm_poll_new(struct fm_poll **out, const struct fm_poll_opts *opts,
                                     struct fm_err *err);

/** Start the thread. */
FM_MUST_USE enum fm_code fm_poll_start(struct fm_poll *poll, struct fm_err *err);

/** Ask to stop; no sample is handed out once the current hook has returned. Idempotent, any thread.
 */
void fm_poll_stop(struct fm_poll *poll);

/** Wait for the thread and the helpers. @return false: one still runs after timeout_ms */
bool fm_poll_join(struct fm_poll *poll, unsigned timeout_ms);

/** NULL is allowed. After a successful join (or without a start). A helper that still hangs in the
 * kernel keeps what it needs and frees it itself. */
void fm_poll_free(struct fm_poll *poll);

/** Take over other targets. Waits (at most a few seconds) until the poll thread no longer uses the
 * old ones. @return FM_OK; FM_ECONF (nothing changed); FM_ETIMEOUT (the old ones must live on) */
FM_MUST_USE enum fm_code fm_poll_replace(struct fm_poll *poll,
                                         const struct fm_poll_target_opts *targets,
                                         size_t n_targets, struct fm_err *err);

/** Poll the targets that are down as soon as possible, however long they were to be left alone:
 * somebody may have mended them. The others keep their schedule. */
void fm_poll_retry(struct fm_poll *poll);

/* ---- looking at it ---- */

struct fm_poll_query_status {
    const char *name;
    size_t matched; /* beans at the last discovery */
    size_t beans; /* of these, those that are read */
    size_t asked; /* attributes in the last poll */
    size_t attributes; /* values that came */
    size_t errors; /* attributes of the last poll that could not be read */
    uint64_t bytes; /* of the answers in the last poll; a bean of several queries counts for each by
                       the attributes they want */
    double duration_ms; /* of the last poll's, in the same way: fm_jmx_call.took_ms */
    bool cut; /* more than max_beans matched: the first by name are read */
    const char *error; /* the first of errors; NULL */
};

struct fm_poll_status {
    const char *name; /* full */
    const char *section;
    const char *host;
    const char *url; /* never holds secrets; of a local JVM: pid:N */
    enum fm_poll_state state;
    const char *state_name; /* "waiting", "up", "down", "empty" */
    int64_t state_ms; /* wall clock of the last change; 0: never */
    int64_t time_ms; /* wall clock, start of the last finished poll; 0: none */
    double duration_ms; /* of that poll */
    unsigned late_ms; /* it began so long after its place in the grid */
    uint64_t bytes; /* received in it */
    uint64_t bytes_out; /* sent */
    unsigned round_trips;
    bool cut; /* a limit was reached, of the target or of a query: error says which */
    size_t beans, attributes;
    uint64_t errors; /* attributes that could not be read, ever */
    uint64_t polls, failed, missed;
    bool absent; /* "empty", and its local:GLOB names something: no JVM of the kind runs. Not of
                    local:*, which takes what there is */
    enum fm_code code; /* of the last poll */
    const char *error; /* why the last poll failed, or what was left out; NULL */
    const char *jvm; /* Runtime Name (pid@host), when known; NULL */
    int64_t start_ms; /* wall clock start of the JVM; 0: unknown */
    const struct fm_poll_query_status *queries;
    size_t n_queries;
};

/** The targets_file of a section. */
struct fm_poll_files {
    const char *section;
    const char *path; /* as configured */
    size_t files; /* that it means */
    size_t targets; /* in force */
    int64_t read_ms; /* wall clock, when they were read; 0: not yet */
    const char *error; /* file, place and fault; the targets read before stay in force; NULL */
};

struct fm_poll_snapshot {
    struct fm_arena arena; /* owns everything below */
    struct fm_poll_status *targets;
    size_t n;
    struct fm_poll_files *files;
    size_t n_files;
};

/** Copy the status of all targets. Clear with fm_poll_snapshot_clear(). */
FM_MUST_USE enum fm_code fm_poll_status_get(struct fm_poll *poll, struct fm_poll_snapshot *out,
                                            struct fm_err *err);
void fm_poll_snapshot_clear(struct fm_poll_snapshot *snapshot);

/* ---- for commands ---- */

/** Poll every target once on the calling thread, then return. Hooks as usual (sample for each that
 * answered). @param out  one status per target; clear it also after an error
 * @return FM_OK when every target was read; else the first failure, its sentence names the target
 */
FM_MUST_USE enum fm_code fm_poll_once(const struct fm_poll_opts *opts, unsigned timeout_ms,
                                      struct fm_poll_snapshot *out, struct fm_err *err);

struct fm_target_info {
    pid_t pid; /* local JVMs; else 0 */
    char name[128]; /* PART of a local JVM; else "" */
    char host[256]; /* of the URL, "" for local JVMs */
    char url[512]; /* what was opened, without a stub's base64 */
};

/** Resolve a TARGET to a session: pid:N, local:GLOB (exactly one match), host:port, service:...,
 * http(s)://.... Blocks on files and attach. interval, queries and limits of opts are not used.
 * @param part  of a section for several, the PART wanted; NULL: it must be the only one
 * @param info  may be NULL
 * @return FM_OK, FM_ENOTFOUND (the sentence lists what there is), FM_EPERM (with the remedy),
 *         FM_ECONF, ... */
FM_MUST_USE enum fm_code fm_target_open(struct fm_jmx **out, const struct fm_poll_target_opts *opts,
                                        const char *part, struct fm_client *client,
                                        struct fm_log *log, struct fm_target_info *info,
                                        struct fm_err *err);

/** Read a targets_file as the poll would. Blocks on files. @param out  texts in the arena */
FM_MUST_USE enum fm_code fm_target_files(struct fm_poll_files *out,
                                         const struct fm_poll_target_opts *opts,
                                         struct fm_arena *arena, struct fm_err *err);

/** Whether a TARGET is well formed; opens nothing. @return FM_OK or FM_ECONF */
FM_MUST_USE enum fm_code fm_target_check(const char *url, struct fm_err *err);

#endif
