/* sandbox/faults_rule_priv.h - a fault script as parsed, between the file that reads it
 * (faults_parse.c) and the one that applies it (faults.c). */
#ifndef FM_SANDBOX_FAULTS_RULE_PRIV_H
#define FM_SANDBOX_FAULTS_RULE_PRIV_H

#include <stddef.h>
#include <stdint.h>

#include "sandbox/faults_priv.h"

enum fm_fault_kind {
    FM_FAULT_DELAY,
    FM_FAULT_STATUS,
    FM_FAULT_RETRY_AFTER,
    FM_FAULT_BODY,
    FM_FAULT_TYPE,
    FM_FAULT_HTML,
    FM_FAULT_EMPTY,
    FM_FAULT_RESET,
    FM_FAULT_HANG,
    FM_FAULT_CUT,
    FM_FAULT_SHORT,
    FM_FAULT_DRIP,
    FM_FAULT_CHUNKED,
    FM_FAULT_WRONG_LENGTH,
    FM_FAULT_CLOSE,
    FM_FAULT_STORE,
    FM_FAULT_LOSE,
    FM_FAULT_TAKE,
    FM_FAULT_ENTRIES,
    FM_FAULT_BOTH,
    FM_FAULT_RENAME,
    FM_FAULT_RECORD
};

struct fm_fault_range {
    uint64_t from, to;
};

struct fm_fault_clause {
    enum fm_fault_kind kind;
    uint64_t number;
    char *text; /* owned, with its length: it may hold any byte */
    size_t text_len;
    struct fm_fault_range records; /* RECORD */
    char *match; /* RECORD if; owned */
    size_t match_len;
};

struct fm_fault_rule {
    bool probe;
    struct fm_fault_range which;
    char *match; /* owned; NULL: any body */
    size_t match_len;
    struct fm_fault_clause *clauses;
    size_t n;
};

struct fm_faults {
    struct fm_fault_rule *rules;
    size_t n;
};

#endif
