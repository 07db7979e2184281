/* cli/cmd_watch_priv.h - what the files of `watch` share.
 *
 * The poll thread reads and hands samples over under the lock; the main thread draws, and listens
 * to keys and signals. */
#ifndef FM_CLI_CMD_WATCH_PRIV_H
#define FM_CLI_CMD_WATCH_PRIV_H

#include <pthread.h>

#include "cli/screen.h"
#include "cli/session.h"
#include "cli/term.h"

struct fm_watch_opts {
    int64_t interval_ms;
    uint64_t count;
    struct fm_words presets;
    bool lines;
    bool wait;
};

enum { FM_WATCH_QUERIES = 64 };

/** How often a target was printed. */
struct fm_watch_printed {
    char *target;
    uint64_t times;
};

struct fm_watch {
    struct fm_cli *cli;
    const struct fm_watch_opts *opts;
    const struct fm_words *words; /* TARGET and what is asked of it */
    struct fm_config *config;
    struct fm_poll_target_opts target;
    const char *only; /* NAME/PART; NULL: all that the TARGET stands for */
    struct fm_query *queries[FM_WATCH_QUERIES];
    struct fm_poll_query rows[FM_WATCH_QUERIES];
    size_t n_queries;
    struct fm_poll *poll;
    int wake; /* eventfd: a sample came */
    unsigned interval_ms;
    bool live;
    bool was_up; /* once at least */
    char told[320]; /* what was noted last */
    bool looked; /* for what was asked and did not come */
    char absent[240]; /* what that was; "": all came */
    struct fm_term term;
    struct fm_screen screen;

    pthread_mutex_t lock; /* leaf; guards what follows */
    struct fm_series_set set;
    bool paused;
    bool broken; /* stdout takes no more */
    uint64_t samples;
    struct fm_watch_printed *printed;
    size_t n_printed;
};

/** What is asked for, of which target and how often: checks options and words, fills in w->config,
 * target, queries and interval (watch_ask.c). */
FM_MUST_USE enum fm_code fm_watch_prepare(struct fm_watch *w, const struct fm_words *words,
                                          struct fm_err *err);

/** Print a target's values, each on a line, on stdout; under the lock (watch_lines.c). */
void fm_watch_print(struct fm_watch *w, const struct fm_sample *sample);

/** Look at the targets and tell how they are, on the screen or on stderr (watch_state.c).
 * @param done  gets whether enough was polled, or stdout takes no more
 * @return FM_OK, or why it makes no sense to go on */
FM_MUST_USE enum fm_code fm_watch_check(struct fm_watch *w, bool *done, struct fm_err *err);

/** What of the words is not there, and what was probably meant (watch_hint.c; asks the target).
 * @param err  gets the sentence; unchanged where nothing was named */
void fm_watch_hint(struct fm_watch *w, struct fm_err *err);

/** Once, after a sample: an attribute that did not come although others did; goes to w->absent, and
 * off the live screen to stderr at once. */
void fm_watch_tell_absent(struct fm_watch *w);

#endif
