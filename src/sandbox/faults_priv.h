/* sandbox/faults_priv.h - a script that makes the sandbox misbehave, for tests.
 *
 * One rule a line, `#` begins a comment line:
 *
 *     [probe] WHICH [if "TEXT"] CLAUSE...
 *
 * WHICH counts produce requests (with `probe`: GET /topics/T...) from 1: `3`, `3-5`, `3+`, `*`.
 * `if` asks that the body holds TEXT. All rules that fit are applied in order. Clauses:
 *
 *     delay 200ms            the answer comes later
 *     status 503             this status; nothing is stored (but with `store`), an error as body
 *     retry-after TEXT       that header line
 *     body "TEXT"            this body instead
 *     type TEXT              its Content-Type ("" = none)
 *     html                   a page as of a gateway or a captive portal; nothing is stored
 *     empty                  no body
 *     reset                  connection reset instead of an answer; nothing is stored
 *     hang                   no answer at all; nothing is stored
 *     cut N                  close after N bytes of the body
 *     short N                the body ends after N bytes, politely
 *     drip 100ms             one byte of the body each so long
 *     chunked                without Content-Length
 *     wrong-length           announce a byte more than is sent
 *     close                  Connection: close
 *     store / lose           store the records all the same / answer as if stored, but do not
 *     take N                 store only the first N records (of a request that is stored or not)
 *     entries N              give only the first N verdicts
 *     both N                 records:batch: the verdict of record N stands in both lists
 *     rename N TEXT          records:batch: the verdict of record N comes under that id
 *     record WHICH error CODE "TEXT"       these records (1... in the request) are refused
 *     record if "TEXT" error CODE "TEXT"   those whose value holds TEXT are refused
 *
 * Text in quotes knows \" \\ \n \r \t \xHH. */
#ifndef FM_SANDBOX_FAULTS_PRIV_H
#define FM_SANDBOX_FAULTS_PRIV_H

#include "base/buf.h"
#include "sandbox/topic_log_priv.h"

/* What is to happen to one request; owned by it, so that a new script does no harm. */
struct fm_fault {
    bool any;
    int64_t delay_ms;
    unsigned status; /* 0: the true one */
    char retry_after[64]; /* "" none */
    struct fm_buf body; /* with has_body */
    bool has_body;
    char type[96]; /* with has_type; "": none */
    bool has_type;
    bool unstored; /* do not run the job */
    bool silent; /* lose: but answer as if it had been run */
    size_t take; /* SIZE_MAX: all */
    size_t entries; /* SIZE_MAX: all */
    size_t both, renamed; /* from 1; 0: none */
    char new_name[84];
    size_t cut_at; /* SIZE_MAX: never */
    size_t short_at; /* SIZE_MAX: never */
    unsigned drip_ms;
    bool reset, hang, chunked, wrong_length, close;
};

struct fm_faults; /* a parsed script */

/** @return FM_OK, FM_ECONF (the sentence names the line) or FM_ENOMEM */
FM_MUST_USE enum fm_code fm_faults_parse(struct fm_faults **out, const char *script,
                                         struct fm_err *err);
void fm_faults_free(struct fm_faults *faults);

void fm_fault_init(struct fm_fault *fault);
void fm_fault_clear(struct fm_fault *fault);

/** Collect what the script has for request number n.
 * @param job  a parsed produce request, whose records may be refused here; NULL: not yet */
void fm_faults_apply(const struct fm_faults *faults, bool probe, uint64_t n, const char *body,
                     size_t body_len, struct fm_tlog_job *job, struct fm_fault *fault);

#endif
