/* cli/audit_priv.h - what the files of `audit` share. Main thread. */
#ifndef FM_CLI_AUDIT_PRIV_H
#define FM_CLI_AUDIT_PRIV_H

#include "cli/cmd.h"
#include "config/config.h"
#include "record/audit.h"

struct fm_audit_opts {
    const char *from;
    const char *spool;
    const char *group;
    int64_t timeout_ms;
    int64_t settle_ms;
    bool follow;
};

struct fm_audit_job {
    struct fm_cli *cli;
    const struct fm_audit_opts *opts;
    const char *topic; /* NULL: all in the file */
    struct fm_config *config;
    struct fm_audit *audit;
    const char *name; /* of the file or topic, for messages */
    uint64_t line;
    uint64_t unreadable, first_unreadable; /* lines */
    uint64_t other_topics; /* records passed over */
    bool headers; /* a record came with some */
    bool progress; /* a line on the terminal */
    int64_t progress_at;
    struct fm_buf topic_text, key_text, value_text,
        header_text; /* of the present line, unescaped */
};

/** audit_spool.c: tell the audit what the spool holds. */
FM_MUST_USE enum fm_code fm_audit_read_spool(struct fm_audit_job *job, struct fm_err *err);

/** audit_file.c: feed it what kcat -J wrote. */
FM_MUST_USE enum fm_code fm_audit_read_file(struct fm_audit_job *job, struct fm_err *err);

/** audit_topic.c: feed it the topic, up to its end; with --follow until a signal. The audit is
 * finished after this. */
FM_MUST_USE enum fm_code fm_audit_read_topic(struct fm_audit_job *job, struct fm_err *err);

/** audit_follow.c: what is new since it was called last. */
struct fm_audit_news;
FM_MUST_USE enum fm_code fm_audit_news_new(struct fm_audit_news **out, struct fm_err *err);
void fm_audit_news_free(struct fm_audit_news *news);
FM_MUST_USE enum fm_code fm_audit_news_tell(struct fm_audit_news *news,
                                            const struct fm_audit_job *job, struct fm_err *err);

/** audit_report.c: print it, after fm_audit_finish(). */
FM_MUST_USE enum fm_code fm_audit_print(struct fm_audit_job *job, struct fm_err *err);
/** @return FM_OK; FM_EDAMAGE: numbers are missing, or there is nothing to audit */
FM_MUST_USE enum fm_code fm_audit_verdict(struct fm_audit_job *job, struct fm_err *err);

#endif
