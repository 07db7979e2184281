/* cli/check_priv.h - the inside of `check`: rows that each say how a step went. Main thread. */
#ifndef FM_CLI_CHECK_PRIV_H
#define FM_CLI_CHECK_PRIV_H

#include "cli/session.h"

struct check_opts {
    bool offline;
    bool dump;
    const char *schema;
};

enum fm_verdict { OK, WARN, HEED /* a warning that -q shows too */, FAIL, SKIP };

/** A check at work: the table that grows, and what went wrong so far. */
struct fm_check_run {
    struct fm_cli *cli;
    const struct check_opts *opts;
    struct fm_config *config;
    struct fm_plan *plan;
    struct fm_table table;
    unsigned failures, heeds;
    unsigned config_errors;
    bool bad_config; /* cannot be used at all; of what else can be looked at, failures are told */
    bool incomplete; /* would not start */
};

/** Numbers of a row, for --json; -1: none. */
enum fm_check_fact {
    FM_FACT_MATCHED,
    FM_FACT_BEANS,
    FM_FACT_ASKED,
    FM_FACT_ATTRIBUTES,
    FM_FACT_BYTES,
    FM_FACT_DURATION_US,
    FM_FACT_RECORDS_PER_HOUR,
    FM_FACT_BYTES_PER_HOUR,
    FM_CHECK_FACTS
};
struct fm_check_facts {
    int64_t n[FM_CHECK_FACTS];
};
#define FM_CHECK_NO_FACTS                                                                          \
    {                                                                                              \
        {                                                                                          \
            -1, -1, -1, -1, -1, -1, -1, -1                                                         \
        }                                                                                          \
    }

void fm_check_run_add(struct fm_check_run *w, const char *what, const char *name, const char *step,
                      enum fm_verdict verdict, const char *detail);
void fm_check_run_add_facts(struct fm_check_run *w, const char *what, const char *name,
                            const char *step, enum fm_verdict verdict, const char *detail,
                            const struct fm_check_facts *facts);

/** On a terminal: what takes so long; "": nothing any more. */
void fm_check_run_progress(const struct fm_check_run *w, const char *what);

/* ---- check_places.c ---- */

/** Files and folders that the configuration names, and where the spool will lie. */
void fm_check_run_places(struct fm_check_run *w);

/* ---- check_targets.c ---- */

/** The lists of targets in files; they are part of the configuration. */
FM_MUST_USE enum fm_code fm_check_run_files(struct fm_check_run *w, struct fm_err *err);

/** Connect to every target, run every query, and say what that gives. */
FM_MUST_USE enum fm_code fm_check_run_targets(struct fm_check_run *w, struct fm_err *err);

#endif
