/* From an answer to the fate of each record: reference rest-proxy.md, section 7.2. */
#include <string.h>

#include "rest/answer_priv.h"

static bool in_text(const struct fm_report *r, const char *what)
{
    return r->text != NULL && memmem(r->text, r->text_len, what, strlen(what)) != NULL;
}

/* 7.2 point 4: the proxy lost the boundaries between records. */
static bool is_structural(const struct fm_report *r)
{
    if (!r->has_code || r->code != 400 || r->text == NULL)
        return false;
    bool starts = r->text_len >= 11 && memcmp(r->text, "Unexpected ", 11) == 0;
    if (!starts && !in_text(r, "Error processing message"))
        return false;
    return !in_text(r, "allowed threshold") && !in_text(r, "Idle timeout") &&
           !in_text(r, "CTRL-CHAR, code 31");
}

static struct fm_verdict of_row(const struct fm_row *row, const struct fm_answer *a)
{
    return (struct fm_verdict){.cls = row->cls,
                               .flags = row->flags,
                               .row = row,
                               .code = a->has_code ? a->code : FM_CODE_NONE,
                               .text = a->text,
                               .text_len = a->text_len};
}

static struct fm_verdict of_report(const struct fm_sent *sent, const struct fm_report *r)
{
    if (r->ok)
        return (struct fm_verdict){
            .cls = FM_CLS_OK, .row = fm_table_shape(FM_ROW_OK), .code = FM_CODE_NONE};
    const struct fm_row *row = fm_table_record(sent->dialect, r);
    struct fm_verdict v = {.cls = row->cls,
                           .flags = row->flags,
                           .row = row,
                           .code = r->has_code ? r->code : FM_CODE_NONE,
                           .text = r->text,
                           .text_len = r->text_len};
    if (sent->bearer && (v.flags & FM_V_TOKEN) != 0)
        v.cls = FM_CLS_AUTH;
    return v;
}

static void fill(struct fm_verdict *verdicts, size_t from, size_t n, struct fm_verdict v)
{
    for (size_t i = from; i < n; i++)
        verdicts[i] = v;
}

static void judge_offsets(struct fm_verdict *verdicts, const struct fm_sent *sent,
                          const struct fm_answer *a)
{
    static const struct fm_report success = {.ok = true};
    size_t n = sent->n_records;
    if (a->n > n) {
        fill(verdicts, 0, n, of_row(fm_table_shape(FM_ROW_TOO_MANY), a));
        return;
    }
    if (a->plain)
        fill(verdicts, 0, a->n, of_report(sent, &success));
    for (size_t i = 0; i < a->n && !a->plain; i++)
        verdicts[i] = of_report(sent, &a->reports[i]);
    fill(verdicts, a->n, n, of_row(fm_table_shape(FM_ROW_UNREPORTED), a));
}

/* 4.4: one entry per partition touched, in no order. */
static void judge_redpanda(struct fm_verdict *verdicts, const struct fm_sent *sent,
                           const struct fm_answer *a)
{
    size_t n = sent->n_records;
    const struct fm_report *bad = NULL;
    for (size_t i = 0; i < a->n && bad == NULL; i++)
        if (!a->reports[i].ok)
            bad = &a->reports[i];
    if (a->n == 0 || (!sent->all_partitions && a->n > n)) {
        fill(verdicts, 0, n, of_row(fm_table_shape(FM_ROW_UNREPORTED), a));
    } else if (!sent->all_partitions) {
        struct fm_report good = {.ok = true};
        struct fm_verdict v = of_report(sent, bad != NULL ? bad : &good);
        if (bad != NULL && n > 1)
            v.flags |= FM_V_UNKNOWN; /* records of other partitions may have been written */
        fill(verdicts, 0, n, v);
    } else {
        for (size_t i = 0; i < n; i++) {
            verdicts[i] = of_row(fm_table_shape(FM_ROW_UNREPORTED), a);
            for (size_t k = 0; k < a->n; k++)
                if (a->reports[k].partition == sent->partitions[i]) {
                    verdicts[i] = of_report(sent, &a->reports[k]);
                    if (!a->reports[k].ok)
                        break;
                }
        }
    }
}

static void judge_stream(struct fm_verdict *verdicts, const struct fm_sent *sent,
                         const struct fm_answer *a, const struct fm_row *missing)
{
    size_t n = sent->n_records, doubt = a->n;
    for (size_t i = 0; i < a->n && doubt == a->n; i++)
        if (is_structural(&a->reports[i]))
            doubt = i;
    if (doubt == a->n && a->n > n)
        for (size_t i = 0; i < a->n && doubt == a->n; i++)
            if (!a->reports[i].ok)
                doubt = i;
    if (doubt == a->n && a->n > n) { /* more successes than records */
        fill(verdicts, 0, n, of_row(fm_table_shape(FM_ROW_TOO_MANY), a));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (i < doubt && i < a->n) {
            verdicts[i] = of_report(sent, &a->reports[i]);
        } else if (doubt < a->n) {
            verdicts[i] = of_row(fm_table_shape(FM_ROW_STRUCTURAL), a);
            verdicts[i].code = a->reports[doubt].code;
            verdicts[i].text = a->reports[doubt].text;
            verdicts[i].text_len = a->reports[doubt].text_len;
            if (n == 1) {
                verdicts[i].flags |= FM_V_P;
                verdicts[i].flags &= ~(unsigned)FM_V_UNKNOWN;
            }
        } else {
            verdicts[i] = of_row(missing, a);
        }
    }
}

/* Entries by id, the number of the record from 1; in both lists or in none: not proven. */
static void judge_multi(struct fm_verdict *verdicts, const struct fm_sent *sent,
                        const struct fm_answer *a)
{
    for (size_t i = 0; i < sent->n_records; i++) {
        const struct fm_report *found = NULL;
        size_t hits = 0;
        for (size_t k = 0; k < a->n; k++)
            if (a->reports[k].id == (int64_t)i + 1) {
                found = &a->reports[k];
                hits++;
            }
        verdicts[i] =
            hits == 1 ? of_report(sent, found) : of_row(fm_table_shape(FM_ROW_UNREPORTED), a);
    }
}

static void judge_complete(struct fm_judgement *out, struct fm_verdict *verdicts,
                           const struct fm_sent *sent, const struct fm_http_answer *http,
                           const struct fm_answer *a)
{
    size_t n = sent->n_records;
    struct fm_http_answer broken = {.failure = FM_HTTP_BROKEN, .status = http->status};
    out->by_record = true;
    /* JSON that breaks off in an answer that did not is no foreign page: its end was lost. */
    bool lost = a->cut && (a->shape == FM_SHAPE_OFFSETS ||
                           (a->shape == FM_SHAPE_MULTI && http->status == 207));
    if (lost) {
        fill(verdicts, 0, n, of_row(fm_table_transport(&broken, false), a));
        out->by_record = false;
    } else if (a->shape == FM_SHAPE_OFFSETS) {
        if (sent->dialect == FM_DIALECT_REDPANDA)
            judge_redpanda(verdicts, sent, a);
        else
            judge_offsets(verdicts, sent, a);
    } else if (a->shape == FM_SHAPE_STREAM) {
        judge_stream(verdicts, sent, a,
                     a->cut ? fm_table_transport(&broken, false)
                            : fm_table_shape(FM_ROW_UNREPORTED));
    } else if (a->shape == FM_SHAPE_MULTI && http->status == 207) {
        judge_multi(verdicts, sent, a);
    } else {
        out->by_record = false;
        const struct fm_row *row;
        if (http->status >= 200 && http->status < 300)
            row = fm_table_shape(a->shape == FM_SHAPE_EMPTY ? FM_ROW_EMPTY : FM_ROW_PORTAL);
        else
            row = fm_table_status(sent->dialect, http->status, sent->gzip, a->has_code, a->code,
                                  a->text, a->text_len);
        fill(verdicts, 0, n, of_row(row, a));
    }
}

static void judge_transport(struct fm_judgement *out, struct fm_verdict *verdicts,
                            const struct fm_sent *sent, const struct fm_http_answer *http,
                            const struct fm_answer *a)
{
    const struct fm_row *row = fm_table_transport(http, sent->fresh_first);
    struct fm_answer none = {0};
    if (a->shape == FM_SHAPE_STREAM && http->status == 200)
        judge_stream(verdicts, sent, a, row);
    else
        fill(verdicts, 0, sent->n_records, of_row(row, &none));
    out->by_record = a->shape == FM_SHAPE_STREAM && a->n > 0;
    if (!http->body_sent)
        for (size_t i = 0; i < sent->n_records; i++)
            verdicts[i].flags &= ~(unsigned)FM_V_UNKNOWN;
}

static void sum_up(struct fm_judgement *out, const struct fm_verdict *verdicts, size_t n)
{
    enum { OF_ANY = FM_V_UNKNOWN | FM_V_SIZE | FM_V_SLOW | FM_V_ALONE };
    for (size_t i = 0; i < n; i++) {
        const struct fm_verdict *v = &verdicts[i];
        if (v->cls == FM_CLS_OK) {
            out->accepted++;
            continue;
        }
        out->unknown += (v->flags & FM_V_UNKNOWN) != 0;
        if (v->cls > out->cls) {
            out->cls = v->cls;
            out->top = *v;
            out->flags = (out->flags & OF_ANY) | v->flags;
        } else {
            out->flags |= v->flags & (v->cls == out->cls ? ~0U : (unsigned)OF_ANY);
        }
    }
}

enum fm_code fm_judge(struct fm_judgement *out, struct fm_verdict *verdicts,
                      const struct fm_sent *sent, const struct fm_http_answer *http,
                      struct fm_err *err)
{
    *out = (struct fm_judgement){.cls = FM_CLS_OK};
    struct fm_answer a;
    FM_TRY(fm_answer_read(&a, sent->dialect, http->status, http->body != NULL ? http->body : "",
                          http->body_len, sent->watch, err));
    out->shape = a.shape;
    if (http->failure != FM_HTTP_OK)
        judge_transport(out, verdicts, sent, http, &a);
    else
        judge_complete(out, verdicts, sent, http, &a);
    sum_up(out, verdicts, sent->n_records);
    out->retry_after_s = fm_retry_after(http->retry_after);
    fm_answer_clear(&a);
    return FM_OK;
}
