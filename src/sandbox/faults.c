/* Applies a fault script to a request. */
#include <stdlib.h>
#include <string.h>

#include "sandbox/faults_rule_priv.h"

void fm_faults_free(struct fm_faults *faults)
{
    if (faults == NULL)
        return;
    for (size_t i = 0; i < faults->n; i++) {
        struct fm_fault_rule *rule = &faults->rules[i];
        for (size_t k = 0; k < rule->n; k++) {
            free(rule->clauses[k].text);
            free(rule->clauses[k].match);
        }
        free(rule->clauses);
        free(rule->match);
    }
    free(faults->rules);
    free(faults);
}

void fm_fault_init(struct fm_fault *fault)
{
    *fault = (struct fm_fault){
        .take = SIZE_MAX, .entries = SIZE_MAX, .cut_at = SIZE_MAX, .short_at = SIZE_MAX};
    fm_buf_init(&fault->body, 0);
}

void fm_fault_clear(struct fm_fault *fault)
{
    fm_buf_clear(&fault->body);
}

static void copy_text(char *out, size_t size, const struct fm_fault_clause *c)
{
    size_t len = c->text_len < size - 1 ? c->text_len : size - 1;
    memcpy(out, c->text, len);
    out[len] = '\0';
}

static void set_body(struct fm_fault *fault, const char *text, size_t len)
{
    fm_buf_reset(&fault->body);
    fm_buf_put(&fault->body, text, len);
    fault->has_body = true;
}

static void set_type(struct fm_fault *fault, const char *type)
{
    size_t len = strlen(type);
    memcpy(fault->type, type, len + 1);
    fault->has_type = true;
}

static bool covers(const struct fm_fault_range *range, uint64_t n)
{
    return n >= range->from && n <= range->to;
}

/* match NULL: any bytes do. */
static bool holds(const char *bytes, size_t len, const char *match, size_t match_len)
{
    return match == NULL || (len > 0 && memmem(bytes, len, match, match_len) != NULL);
}

static void refuse_records(const struct fm_fault_clause *c, struct fm_tlog_job *job)
{
    for (size_t i = 0; job != NULL && i < job->n; i++) {
        const struct fm_tlog_record *r = &job->records[i];
        if (covers(&c->records, i + 1) && holds(r->value, r->value_len, c->match, c->match_len))
            fm_tlog_refuse(&job->verdicts[i], (int)c->number, "%s", c->text);
    }
}

static void apply_answer(const struct fm_fault_clause *c, struct fm_fault *fault)
{
    static const char page[] = "<html><head><title>Sign in</title></head><body>Please sign in to "
                               "use this network.</body></html>\n";
    switch (c->kind) {
    case FM_FAULT_RETRY_AFTER:
        copy_text(fault->retry_after, sizeof fault->retry_after, c);
        break;
    case FM_FAULT_BODY:
        set_body(fault, c->text, c->text_len);
        break;
    case FM_FAULT_TYPE:
        copy_text(fault->type, sizeof fault->type, c);
        fault->has_type = true;
        break;
    case FM_FAULT_HTML:
        set_body(fault, page, sizeof page - 1);
        set_type(fault, "text/html");
        fault->unstored = true;
        break;
    case FM_FAULT_EMPTY:
        set_body(fault, "", 0);
        break;
    case FM_FAULT_CUT:
        fault->cut_at = (size_t)c->number;
        break;
    case FM_FAULT_SHORT:
        fault->short_at = (size_t)c->number;
        break;
    case FM_FAULT_DRIP:
        fault->drip_ms = (unsigned)c->number;
        break;
    case FM_FAULT_CHUNKED:
        fault->chunked = true;
        break;
    case FM_FAULT_WRONG_LENGTH:
        fault->wrong_length = true;
        break;
    case FM_FAULT_CLOSE:
        fault->close = true;
        break;
    default:
        break;
    }
}

static void apply_clause(const struct fm_fault_clause *c, struct fm_fault *fault,
                         struct fm_tlog_job *job)
{
    switch (c->kind) {
    case FM_FAULT_DELAY:
        fault->delay_ms = (int64_t)c->number;
        break;
    case FM_FAULT_STATUS:
        fault->status = (unsigned)c->number;
        fault->unstored = true;
        break;
    case FM_FAULT_RESET:
        fault->reset = fault->unstored = true;
        break;
    case FM_FAULT_HANG:
        fault->hang = fault->unstored = true;
        break;
    case FM_FAULT_STORE:
        fault->unstored = fault->silent = false;
        break;
    case FM_FAULT_LOSE:
        fault->unstored = fault->silent = true;
        break;
    case FM_FAULT_TAKE:
        fault->take = (size_t)c->number;
        break;
    case FM_FAULT_ENTRIES:
        fault->entries = (size_t)c->number;
        break;
    case FM_FAULT_BOTH:
        fault->both = (size_t)c->number;
        break;
    case FM_FAULT_RENAME:
        fault->renamed = (size_t)c->number;
        copy_text(fault->new_name, sizeof fault->new_name, c);
        break;
    case FM_FAULT_RECORD:
        refuse_records(c, job);
        break;
    default:
        apply_answer(c, fault);
        break;
    }
}

void fm_faults_apply(const struct fm_faults *faults, bool probe, uint64_t n, const char *body,
                     size_t body_len, struct fm_tlog_job *job, struct fm_fault *fault)
{
    for (size_t i = 0; faults != NULL && i < faults->n; i++) {
        const struct fm_fault_rule *rule = &faults->rules[i];
        if (rule->probe != probe || !covers(&rule->which, n) ||
            !holds(body, body_len, rule->match, rule->match_len))
            continue;
        fault->any = true;
        for (size_t k = 0; k < rule->n; k++)
            apply_clause(&rule->clauses[k], fault, job);
    }
}
