/* cli/cmd_spool_priv.h - what the files of `spool` share: requests to the store, and its answers.
 *
 * The store is asked in the words of the control socket, whether the agent answers or we ourselves
 * (cli/store.h). Everything belongs to the calling thread and waits for the store. */
#ifndef FM_CLI_CMD_SPOOL_PRIV_H
#define FM_CLI_CMD_SPOOL_PRIV_H

#include "base/jscan.h"
#include "cli/store.h"

struct spool_opts {
    const char *dir;
    const char *topic;
    uint64_t limit;
    int64_t older_ms;
    bool all;
};

/** A command at work: the store and the answer read last. */
struct fm_spool_work {
    struct fm_cmd_call *call;
    const struct spool_opts *opts;
    struct fm_config *config;
    struct fm_store store;
    struct fm_buf answer;
};

/** One record of a page; texts in the answer, still escaped, or in the arena. */
struct fm_spool_row {
    const char *stream, *topic, *key, *reason;
    uint64_t seq;
    int64_t time_ms, dead_ms, bytes;
    bool control;
};

struct fm_spool_pos {
    char stream[FM_STREAM_LEN + 1];
    uint64_t seq;
};

/** Called for each record; raw is the object as it came. */
typedef void fm_spool_row_fn(struct fm_spool_work *w, const struct fm_spool_row *row,
                             const char *raw, size_t len, void *arg);

/* ---- spool_ask.c ---- */

/** Begin a request, with the selection of the options; after: go on behind this record; NULL. */
void fm_spool_put_request(struct fm_buf *out, const struct fm_spool_work *w, const char *cmd,
                          uint64_t limit, const struct fm_spool_pos *after);
void fm_spool_put_id(struct fm_buf *request, const struct fm_spool_pos *id);

/** End the request, send it and clear it; the answer stands in w->answer. */
FM_MUST_USE enum fm_code fm_spool_ask(struct fm_spool_work *w, struct fm_buf *request,
                                      struct fm_err *err);

/** STREAM:SEQ. @return FM_OK or FM_EUSAGE */
FM_MUST_USE enum fm_code fm_spool_parse_id(const char *text, struct fm_spool_pos *out,
                                           struct fm_err *err);

/** Ask page after page, until limit records (0: all). *cut: there are more.
 * @return FM_OK, FM_EPROTO, or what the store says */
FM_MUST_USE enum fm_code fm_spool_pages(struct fm_spool_work *w, const char *cmd, uint64_t limit,
                                        fm_spool_row_fn *fn, void *arg, bool *cut,
                                        struct fm_err *err);

/** Print the only number of the answer: {"dropped":3}. */
FM_MUST_USE enum fm_code fm_spool_tell_count(struct fm_spool_work *w, const char *name,
                                             struct fm_err *err);

/** The text where the scanner stands; "" without memory. */
const char *fm_spool_text(struct fm_arena *arena, const struct fm_jscan *s);

/* ---- spool_status.c ---- */

FM_MUST_USE enum fm_code fm_spool_print_status(struct fm_spool_work *w, struct fm_err *err);

#endif
