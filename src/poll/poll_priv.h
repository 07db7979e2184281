/* poll/poll_priv.h - the inside of poll: sections, targets, their caches, helper threads.
 *
 * Everything belongs to the poll thread, but for what is marked "lock" (struct fm_poll.lock). */
#ifndef FM_POLL_POLL_PRIV_H
#define FM_POLL_POLL_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "jmx/local.h"
#include "poll/poll.h"

/* ---- url.c ---- */

enum fm_target_kind {
    FM_TARGET_NET, /* host:port, service:..., http(s)://... */
    FM_TARGET_PID, /* pid:N */
    FM_TARGET_LOCAL, /* local:GLOB */
    FM_TARGET_LISTED /* of a section: targets_file; its targets are FM_TARGET_NET */
};

FM_MUST_USE enum fm_code fm_target_parse(const char *url, enum fm_target_kind *kind, pid_t *pid,
                                         const char **glob, struct fm_err *err);

/** The host of a network TARGET into out ("" if there is none). */
void fm_target_host(const char *url, char *out, size_t size);

/** host:port of a network TARGET as it is written there: the PART of a targets_file's targets. */
void fm_target_place(const char *url, char *out, size_t size);

/** The TARGET without credentials and without a stub's base64. */
void fm_target_shown(const char *url, char *out, size_t size);

/** Whether a JVM is one that local:GLOB means: by PART or by the whole main class or jar. */
bool fm_target_local_match(const char *glob, const struct fm_jvm *jvm);

/** Whether a JVM can be polled (now, or after it has finished starting). */
bool fm_target_pollable(const struct fm_jvm *jvm, bool attach);

/* ---- file.c: what a targets_file says ---- */

struct fm_file_entry {
    const char *url;
    const char *part; /* host:port */
    const struct fm_sample_tag *labels;
    size_t n_labels;
    bool known; /* a target of it is there already; or it is a repetition */
};

struct fm_file {
    const char *path;
    struct fm_file_entry *entries;
    size_t n;
    const char *fault; /* the first, with its place; what has none is among the entries. NULL */
};

enum { FM_FILES_BYTES = 32 * 1024 * 1024 /* of memory for what the files of a section say */ };

/** What the files of a section say. */
struct fm_file_list {
    struct fm_arena arena; /* owns everything below */
    struct fm_file *files; /* sorted by path */
    size_t n;
    uint64_t mark; /* of files, their times and sizes; 0: look into them again */
    const char *fault; /* the first of all; NULL */
    size_t n_targets;
    int64_t wall_ms; /* when it was read */
};

bool fm_file_is_pattern(const char *path);

/** Why the list's arena gave NULL. @return FM_ELIMIT (FM_FILES_BYTES are used up), FM_ENOMEM */
enum fm_code fm_file_no_room(const struct fm_arena *arena, struct fm_err *err);

/** Read the files that a path or a glob pattern means. Blocks on files.
 * @param out   its arena is ready to use, with the limit FM_FILES_BYTES
 * @param mark  of the last reading; 0: none
 * @param changed  false: all is as at the mark, and nothing was read
 * @return FM_OK (also when a file has a fault); FM_ENOTFOUND (nothing matches), FM_ELIMIT,
 *         FM_ENOMEM */
FM_MUST_USE enum fm_code fm_files_read(struct fm_file_list *out, const char *pattern, uint64_t mark,
                                       bool *changed, struct fm_err *err);

/** Take the text of a file (its path is set) apart. @param n_all  counts the targets of a section
 */
FM_MUST_USE enum fm_code fm_file_parse(struct fm_file *file, size_t *n_all, const char *text,
                                       size_t len, struct fm_arena *arena, struct fm_err *err);

/* ---- helper.c ---- */

enum { FM_HELPERS = 8, FM_HELPERS_WAITING = 7 /* so that one is left to look for JVMs */ };

enum fm_job_kind { FM_JOB_SCAN, FM_JOB_RESOLVE, FM_JOB_FILES };

struct fm_job {
    struct fm_job *next;
    enum fm_job_kind kind;
    uint64_t target; /* RESOLVE: id of the target, which may be gone when it is done; FILES: of the
                        reading */
    pid_t pid;
    bool attach;
    unsigned timeout_ms;
    char *tmp_dir; /* owned; NULL: /tmp */
    char *pattern; /* FILES: owned */
    uint64_t mark; /* FILES: of the last reading */
    /* result, all in arena */
    struct fm_arena arena;
    enum fm_code code;
    struct fm_err err;
    struct fm_jvm *jvms; /* SCAN: n of them; RESOLVE: one */
    size_t n;
    const char *address;
    struct fm_file_list list; /* FILES, in an arena of its own */
    bool changed; /* FILES */
};

struct fm_helpers;

/** @param wake  called by helper threads when a job is done; must stay valid until join is true */
FM_MUST_USE enum fm_code fm_helpers_new(struct fm_helpers **out, void (*wake)(void *arg), void *arg,
                                        struct fm_err *err);
/** Queue a job; a thread is started if all are busy. Takes *job over on success. */
FM_MUST_USE enum fm_code fm_helpers_submit(struct fm_helpers *helpers, struct fm_job **job,
                                           struct fm_err *err);
/** The finished jobs, a list for the caller to free. */
struct fm_job *fm_helpers_take(struct fm_helpers *helpers);
/** Refuse new jobs, forget waiting ones. Idempotent. No wake is called once this has returned. */
void fm_helpers_stop(struct fm_helpers *helpers);
bool fm_helpers_join(struct fm_helpers *helpers, unsigned timeout_ms);
/** A helper that still hangs keeps what it needs. */
void fm_helpers_free(struct fm_helpers *helpers);
void fm_job_free(struct fm_job *job);

/* ---- cache.c: the beans of a target ---- */

struct fm_bad { /* an attribute that could not be read */
    struct fm_bad *next;
    const char *attribute;
    const char *why;
    bool silent; /* does not exist or is not supported: no error, not asked again */
};

struct fm_bean_query {
    size_t query; /* index into opts->queries */
    const char *const *attributes;
    size_t n;
    bool known; /* attributes are known; else INFO is needed */
};

struct fm_bean {
    struct fm_name name;
    struct fm_bean_query *queries;
    size_t n_queries;
    struct fm_bad *bad;
    int64_t info_ms; /* fm_clock_ms() of the last INFO; 0: never */
    int64_t hang_until_ms; /* it hung a poll: not asked before then; 0: never did */
    unsigned hangs;
    bool info_asked; /* in this poll, in round info_round */
    unsigned info_round;
    bool read_asked;
    bool vanished; /* the server says it is gone */
};

struct fm_query_state {
    int64_t names_ms; /* fm_clock_ms() of the last NAMES; 0: never */
    int64_t read_ms; /* ... of the start of the last poll that read it */
    bool due; /* in this poll */
    bool names_asked; /* in this poll */
    bool refreshed; /* in this round: its names arrived */
    const char **names; /* of the round, in the scratch arena */
    size_t n_names;
    size_t now_asked, now_attributes, now_errors; /* of the poll in flight */
    double now_bytes, now_ms;
    bool now_cut;
    size_t now_matched;
    char now_error[200];
    /* lock: of the last finished poll that read it */
    size_t matched, beans, asked, attributes, errors;
    double bytes, took_ms;
    bool cut;
    char error[200];
};

struct fm_cache {
    struct fm_arena arena; /* beans and all they point to */
    struct fm_bean *beans; /* sorted by canonical name */
    size_t n;
    bool cut; /* max_beans of the target was reached */
};

/** Build the cache anew: queries marked refreshed from their names, the others from the old cache.
 * What is known of a bean (attributes, errors, hangs) is kept.
 * @param old  gets what was there before; the caller clears it */
FM_MUST_USE enum fm_code fm_cache_rebuild(struct fm_cache *cache, struct fm_cache *old,
                                          const struct fm_query_state *states,
                                          const struct fm_poll_target_opts *opts,
                                          struct fm_err *err);
/** The index of a bean by its canonical name; SIZE_MAX: none. */
size_t fm_cache_find(const struct fm_cache *cache, const char *canonical);
void fm_cache_clear(struct fm_cache *cache);

/** Take over a bean's INFO. */
FM_MUST_USE enum fm_code fm_cache_info(struct fm_cache *cache, struct fm_bean *bean,
                                       const struct fm_poll_target_opts *opts,
                                       const struct fm_value *info, struct fm_err *err);

/** Remember why an attribute cannot be read. */
void fm_cache_bad(struct fm_cache *cache, struct fm_bean *bean, const char *attribute,
                  const char *why, bool silent);
const struct fm_bad *fm_cache_find_bad(const struct fm_bean *bean, const char *attribute);

/* ---- target.c, round.c, take.c, finish.c: one target ---- */

/* The sessions' functions; the tests put others in their place. */
struct fm_sessions {
    enum fm_code (*open)(struct fm_jmx **out, const struct fm_jmx_opts *opts, struct fm_err *err);
    void (*close)(struct fm_jmx *jmx);
    enum fm_code (*start)(struct fm_jmx *jmx, struct fm_jmx_call *calls, size_t n,
                          struct fm_arena *arena, fm_jmx_done *done, void *arg, struct fm_err *err);
    void (*cancel)(struct fm_jmx *jmx);
};

enum fm_phase { FM_PHASE_IDLE, FM_PHASE_RESOLVING, FM_PHASE_LISTING };

enum fm_asked { FM_ASKED_IDENTITY, FM_ASKED_NAMES, FM_ASKED_INFO, FM_ASKED_READ, FM_ASKED_REASON };

struct fm_asked_what { /* beside each call of a round */
    enum fm_asked kind;
    size_t bean;
    const char *attribute; /* REASON */
};

struct fm_result { /* a bean that was read in this poll */
    size_t bean;
    const struct fm_value *value;
};

struct fm_target {
    struct fm_poll *poll;
    uint64_t id;
    size_t section;
    const struct fm_poll_target_opts *opts;
    char *name, *part, *host, *url; /* owned; url of local JVMs: NULL until resolved */
    char shown[256];
    enum fm_target_kind kind;
    pid_t pid;
    int64_t jvm_start_ms; /* of the scan; identity of local JVMs together with pid */
    int64_t gone_ms; /* fm_clock_ms() when its JVM was missed; 0: it is there */
    int netns_pid;
    struct fm_arena strings; /* copies for the session's options */
    const struct fm_sample_tag *tags; /* of its own; they lie in the section's list */
    size_t n_tags;
    bool listed; /* the list that is being taken over names it */
    struct fm_jmx *jmx;

    /* schedule, fm_clock_ms() */
    unsigned interval_ms;
    int64_t due_ms;
    int64_t not_before_ms;
    unsigned fails;
    bool begun; /* a poll was started ever */
    bool polled; /* a poll was finished ever */

    /* the poll in flight */
    enum fm_phase phase;
    int64_t deadline_ms;
    int64_t start_ns;
    int64_t start_ms; /* monotonic */
    int64_t start_wall_ms;
    struct fm_arena arena; /* values */
    struct fm_arena scratch; /* names and INFO of a round */
    struct fm_jmx_call *calls;
    struct fm_asked_what *asked;
    size_t n_calls, cap_calls;
    struct fm_result *results;
    size_t n_results, cap_results;
    struct fm_missing {
        size_t bean;
        const char *attribute; /* in arena */
    } missing[16]; /* attributes to be asked alone, why they did not come */
    size_t n_missing;
    bool identity_read, restarted;
    bool untold; /* that another JVM answers: told once a poll of it succeeds */
    unsigned rounds, reasons;
    bool values_round; /* the round reads values: its answers go to arena, else to scratch */
    bool job_pending; /* a helper still looks for the address */
    bool stale_session; /* close it before the next poll */
    bool list_done; /* set by the session's callback, looked at by the loop */
    enum fm_code list_code;
    struct fm_err list_err;
    struct fm_jmx_cost cost; /* of the poll */
    int64_t late_now_ms; /* it began so long after its place in the grid */
    bool over_bytes; /* max_bytes was reached in this poll */
    char left_out[200]; /* what was cut or failed in this poll; "" */

    struct fm_cache cache;
    struct fm_query_state *queries; /* opts->n_queries */
    char jvm_name[256];
    int64_t jvm_began_ms; /* Runtime StartTime */

    /* lock: what others see; besides name, host, shown, queries' counts */
    enum fm_poll_state state;
    int64_t state_wall_ms, last_wall_ms;
    double duration_ms;
    uint64_t bytes, bytes_out, errors, polls, failed, missed;
    unsigned round_trips, late_ms;
    bool cut;
    size_t beans, attributes;
    enum fm_code code;
    char error[240];
    char seen_jvm[256]; /* jvm_name and jvm_began_ms as published */
    int64_t seen_began_ms;
};

struct fm_section {
    const struct fm_poll_target_opts *opts;
    enum fm_target_kind kind;
    pid_t pid;
    const char *glob;
    bool expanded; /* at least once */
    bool empty; /* lock: stands for no target */
    char why[240]; /* lock: why it is empty */
    bool lacking; /* lock: empty, and its pattern names something that should be there */
    bool told_absent; /* the log was told that it is absent */
    char skipped[160]; /* what was logged last about JVMs that are left out */
    /* targets_file */
    uint64_t reading; /* of the job under way; 0: none */
    struct fm_file_list list; /* lock: as last read */
    char fault[240]; /* lock: why it cannot be read, or the list's fault; "": none */
};

struct fm_past; /* past.c */

struct fm_poll {
    struct fm_log *log;
    struct fm_poll_hooks hooks;
    const struct fm_sessions *sessions;
    struct fm_client *client;
    struct fm_moulds *moulds; /* of all sessions */
    struct fm_helpers *helpers;
    char *host_name, *tmp_dir;
    unsigned scan_ms, max_backoff_ms, max_backoff_denied_ms;
    bool once;
    uint64_t random, next_id;
    int64_t timer_ms; /* nothing is due before */
    int64_t next_scan_ms; /* 0: now */
    bool scanning, have_local;
    unsigned files_ms;
    int64_t next_files_ms; /* 0: now */
    bool have_files;
    size_t n_done; /* targets with list_done */
    struct fm_past *past; /* counters of targets that are gone */
    size_t n_past, cap_past;

    pthread_t thread;
    bool started;
    atomic_bool stop;

    pthread_mutex_t lock; /* leaf; guards the lists below and the "lock" fields */
    pthread_cond_t taken; /* next was taken over */
    struct fm_section *sections;
    size_t n_sections;
    struct fm_target **targets;
    size_t n_targets, cap_targets;
    const struct fm_poll_target_opts *next; /* handed over by fm_poll_replace() */
    size_t n_next;
    bool has_next;
    bool taking; /* the thread has picked next up and is at it */
    enum fm_code next_code;
    bool retry; /* fm_poll_retry() */
};

/* past.c: counters by name, for the poll thread. */
void fm_past_keep(struct fm_poll *poll, const struct fm_target *t); /* it goes */
void fm_past_take(struct fm_poll *poll, struct fm_target *t); /* it comes; under the lock */
void fm_past_free(struct fm_poll *poll);

/** @param part  NULL: the section stands for one target @param url  NULL: that of the section */
FM_MUST_USE enum fm_code fm_target_new(struct fm_target **out, struct fm_poll *poll, size_t section,
                                       const char *part, const char *url, struct fm_err *err);
void fm_target_free(struct fm_target *t);
/** Close the session and forget what was learnt over it. */
void fm_target_close(struct fm_target *t);
/** What is due: begin a poll, end one at its deadline. @return when to come back */
int64_t fm_target_tick(struct fm_target *t, int64_t now_ms);
/** The list in flight is done, or the address was found. */
void fm_target_step(struct fm_target *t);
void fm_target_resolved(struct fm_target *t, const struct fm_job *job);
/** What only a poll needs: a thousand targets are idle most of the time. */
void fm_target_forget_poll(struct fm_target *t);

/** finish.c: the end of a poll; err is looked at if it failed. */
void fm_target_finish(struct fm_target *t, enum fm_code code, const struct fm_err *err);
/** Its targets_file does not name it any more: close and announce. */
void fm_target_retire(struct fm_target *t);
/** Announce and remember a change of state. */
void fm_target_set_state(struct fm_target *t, enum fm_poll_state state, const char *error);
/** What this poll leaves out; the first note is kept. */
void fm_target_note(struct fm_target *t, const char *fmt, ...) FM_PRINTF(2, 3);

/** round.c: collect the calls of the next round. @return false: nothing is left to ask */
FM_MUST_USE enum fm_code fm_round_build(struct fm_target *t, bool *more, struct fm_err *err);
/** Whether a text is in a list. */
bool fm_has_text(const char *const *list, size_t n, const char *text);
/** take.c: take over the answers. @return FM_OK: the poll goes on; else it failed */
FM_MUST_USE enum fm_code fm_round_take(struct fm_target *t, struct fm_err *err);
void fm_round_begin(struct fm_target *t);
/** sample.c: hand out what was read. */
FM_MUST_USE enum fm_code fm_target_sample(struct fm_target *t, struct fm_err *err);

/* ---- expand.c: sections to targets ---- */

FM_MUST_USE enum fm_code fm_sections_new(struct fm_section **out, size_t *n,
                                         const struct fm_poll_target_opts *opts, size_t n_opts,
                                         struct fm_err *err);
/** Create the targets that need no look around. */
FM_MUST_USE enum fm_code fm_sections_expand(struct fm_poll *poll, struct fm_err *err);
/** Warn when there are more targets than files may be open. */
void fm_poll_check_files(const struct fm_poll *poll);
/** Take over a scan. */
void fm_sections_scanned(struct fm_poll *poll, const struct fm_job *job);
/** What a reload keeps of a section: the list of its targets_file. */
void fm_section_inherit(struct fm_section *s, struct fm_section *old);
/** Whether a section lacks the JVM it names, and no target is left that says so itself. Under the
 * lock, or on the thread of the poll. */
bool fm_section_absent(const struct fm_poll *poll, size_t section);
/** Why local:GLOB is no JVM, and which there are. @param part  may be NULL */
void fm_local_explain(char *out, size_t size, const char *glob, const char *part,
                      const struct fm_jvm *jvms, size_t n);
void fm_sections_free(struct fm_section *sections, size_t n);

/* ---- listed.c: targets_file to targets ---- */

/** Have the files looked at, where that is not under way. */
void fm_listed_look(struct fm_poll *poll);
/** Take over what they say. */
void fm_listed_read(struct fm_poll *poll, struct fm_job *job);
/** Targets of the section's list that are not there yet, and away with those it does not name. */
FM_MUST_USE enum fm_code fm_listed_expand(struct fm_poll *poll, size_t section, struct fm_err *err);
/** The url of one target of a list, by its PART (NULL: the only one). Blocks on files. */
FM_MUST_USE enum fm_code fm_listed_url(char *out, size_t size,
                                       const struct fm_poll_target_opts *opts, const char *part,
                                       struct fm_err *err);
/** PART, PART~2, ...: the i-th of its kind. */
void fm_part_name(char *out, size_t size, const char *part, unsigned i);

FM_MUST_USE enum fm_code fm_poll_add(struct fm_poll *poll, struct fm_target *t, struct fm_err *err);
void fm_poll_drop(struct fm_poll *poll, size_t index);

FM_MUST_USE enum fm_code fm_poll_new_with(struct fm_poll **out, const struct fm_poll_opts *opts,
                                          const struct fm_sessions *sessions, struct fm_err *err);
FM_MUST_USE enum fm_code fm_poll_once_with(const struct fm_poll_opts *opts,
                                           const struct fm_sessions *sessions, unsigned timeout_ms,
                                           struct fm_poll_snapshot *out, struct fm_err *err);

#endif
