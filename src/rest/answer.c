#include "rest/answer_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/jscan.h"
#include "base/utf8.h"

enum { MAX_REPORTS = 100000, TEXT_KEPT = 512 };

static bool add_report(struct fm_answer *a, const struct fm_report *report)
{
    if (a->n == a->cap) {
        size_t cap = a->cap > 0 ? a->cap * 2 : 64;
        struct fm_report *more = realloc(a->reports, cap * sizeof *more);
        if (more == NULL)
            return false;
        a->reports = more;
        a->cap = cap;
    }
    a->reports[a->n++] = *report;
    return true;
}

/* An entry of offsets, a v3 report, or an entry of a 207. The scanner stands behind its token. */
static bool read_report(struct fm_jscan *s, enum fm_jtoken token, struct fm_report *out,
                        bool *offsets_seen)
{
    *out = (struct fm_report){.partition = -1};
    bool offset_ok = false, code_seen = false;
    if (token != FM_J_OBJECT)
        return fm_jscan_skip(s, token);
    for (;;) {
        token = fm_jscan_next(s);
        if (token == FM_J_OBJECT_END)
            break;
        if (token != FM_J_KEY)
            return false;
        enum {
            K_OTHER,
            K_OFFSET,
            K_PARTITION,
            K_CODE,
            K_TEXT,
            K_ID,
            K_OFFSETS,
            K_CLUSTER
        } key = K_OTHER;
        if (fm_jscan_is(s, "offset"))
            key = K_OFFSET;
        else if (fm_jscan_is(s, "partition") || fm_jscan_is(s, "partition_id"))
            key = K_PARTITION;
        else if (fm_jscan_is(s, "error_code"))
            key = K_CODE;
        else if (fm_jscan_is(s, "error") || fm_jscan_is(s, "message"))
            key = K_TEXT;
        else if (fm_jscan_is(s, "id"))
            key = K_ID;
        else if (fm_jscan_is(s, "offsets"))
            key = K_OFFSETS;
        else if (fm_jscan_is(s, "cluster_id"))
            key = K_CLUSTER;
        token = fm_jscan_next(s);
        int64_t number;
        bool is_int = token == FM_J_NUMBER && fm_jscan_i64(s, &number);
        if (key == K_OFFSET)
            offset_ok = is_int && number >= -1 && (out->id = number, true);
        else if (key == K_PARTITION && is_int)
            out->partition = number;
        else if (key == K_CODE && token != FM_J_NULL) {
            code_seen = true;
            out->has_code = is_int;
            out->code = is_int ? number : 0;
        } else if (key == K_TEXT && token == FM_J_STRING) {
            out->text = s->text;
            out->text_len = s->text_len;
        } else if (key == K_CLUSTER && token == FM_J_STRING) {
            out->cluster = s->text;
            out->cluster_len = s->text_len;
        } else if (key == K_OFFSETS && token == FM_J_ARRAY && offsets_seen != NULL) {
            *offsets_seen = true;
        }
        if (!fm_jscan_skip(s, token))
            return false;
    }
    /* ok for now says: the shape of a success; the code is judged by the caller's dialect. */
    out->ok = offset_ok && (!code_seen || out->has_code);
    if (code_seen && !out->has_code)
        out->ok = false;
    return true;
}

/* Whether the shape of success is one in this dialect. out->id holds the offset until here. */
static void decide_ok(struct fm_report *r, enum fm_rest_dialect dialect)
{
    int64_t good = dialect == FM_DIALECT_CONFLUENT_V3 ? 200 : 0;
    bool code_ok =
        !r->has_code ||
        (r->code == good && (dialect == FM_DIALECT_CONFLUENT_V3 || dialect == FM_DIALECT_REDPANDA));
    bool offset_ok = r->id >= 0 || dialect == FM_DIALECT_KARAPACE;
    r->ok = r->ok && code_ok && offset_ok;
    r->offset = r->ok ? r->id : -1;
    r->id = 0;
}

/* The nth report, after decide_ok(). */
static void look_at(const struct fm_answer *a, const struct fm_report *r)
{
    if (a->watch == NULL || !r->ok)
        return;
    fm_offset_see(a->watch, a->n, r->partition, r->offset);
    if (r->cluster != NULL)
        fm_offset_cluster(a->watch, r->cluster, r->cluster_len);
}

static bool take_digits(const char **p, const char *end, int64_t *out)
{
    enum { MOST = 18 };
    const char *start = *p, *at = start;
    int64_t n = 0;
    if (end - start > MOST)
        end = start + MOST;
    for (; at < end && (unsigned char)(*at - '0') <= 9; at++)
        n = n * 10 + (*at - '0');
    *out = n;
    *p = at;
    return at > start && (*start != '0' || at == start + 1);
}

/* Step over a literal; its length is known, so this is a load and a comparison or two. */
#define TAKE(p, end, text)                                                                         \
    ((size_t)((end) - *(p)) >= sizeof(text) - 1 && memcmp(*(p), text, sizeof(text) - 1) == 0 &&    \
     (*(p) += sizeof(text) - 1, true))

/* A plain success, in the spelling of Confluent or Strimzi. */
static bool take_plain(const char **p, const char *end, int64_t *partition, int64_t *offset)
{
    if (!TAKE(p, end, "{\"partition\":") || !take_digits(p, end, partition) ||
        !TAKE(p, end, ",\"offset\":") || !take_digits(p, end, offset))
        return false;
    /* In two parts: up to 16 bytes are compared without a call. */
    if (TAKE(p, end, ",\"error_code\":n") && !TAKE(p, end, "ull,\"error\":null"))
        return false;
    return TAKE(p, end, "}");
}

/* The common case, many times faster than the scanner: an array of nothing but plain successes.
 * Anything else is left to the scanner, from the array's beginning. @return whether the scanner now
 * stands before the closing bracket */
static bool read_plain_successes(struct fm_answer *a, struct fm_jscan *s, bool partitions)
{
    const char *p = s->data + s->at, *end = s->data + s->len;
    size_t before = a->n, n = before;
    struct fm_report report = {.ok = true};
    struct fm_offset_watch watch;
    if (a->watch != NULL)
        watch = *a->watch; /* the scanner may begin anew */
    while (n < MAX_REPORTS && take_plain(&p, end, &report.partition, &report.offset) && p < end) {
        if (a->watch != NULL)
            fm_offset_see(&watch, n, report.partition, report.offset);
        if (partitions && !add_report(a, &report))
            break;
        n++;
        if (*p == ']') {
            s->at = (size_t)(p - s->data);
            a->n = n;
            a->plain = !partitions;
            if (a->watch != NULL)
                *a->watch = watch;
            return true;
        }
        if (*p++ != ',')
            break;
    }
    a->n = before;
    return false;
}

/* More follows, which nobody expects: the list as it would have been read one by one. */
static bool spell_out(struct fm_answer *a)
{
    static const struct fm_report success = {.ok = true};
    size_t n = a->plain ? a->n : 0;
    if (n == 0)
        return true;
    a->n = 0;
    a->plain = false;
    while (a->n < n)
        if (!add_report(a, &success))
            return false;
    return true;
}

static bool read_array(struct fm_answer *a, struct fm_jscan *s, enum fm_rest_dialect dialect,
                       bool *nomem)
{
    bool partitions = a->n > 0 || dialect == FM_DIALECT_REDPANDA;
    if (read_plain_successes(a, s, partitions))
        return fm_jscan_next(s) == FM_J_ARRAY_END;
    for (;;) {
        enum fm_jtoken token = fm_jscan_next(s);
        if (token == FM_J_ARRAY_END)
            return true;
        struct fm_report report;
        if (token == FM_J_ERROR || token == FM_J_END || a->n >= MAX_REPORTS ||
            !read_report(s, token, &report, NULL))
            return false;
        decide_ok(&report, dialect);
        look_at(a, &report);
        if (!add_report(a, &report)) {
            *nomem = true;
            return false;
        }
    }
}

/* The number that a 207 entry carries as its id, which is text: in the one spelling that is sent.
 */
static int64_t multi_id(const char *text, size_t len)
{
    int64_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || n > 1000000)
            return -1;
        n = n * 10 + (text[i] - '0');
    }
    return len > 0 && text[0] != '0' ? n : -1;
}

static bool read_multi_entry(struct fm_jscan *s, bool success, struct fm_report *r)
{
    struct fm_jscan copy = *s;
    if (!read_report(s, FM_J_OBJECT, r, NULL))
        return false;
    decide_ok(r, FM_DIALECT_CONFLUENT_V3);
    r->ok = r->ok && success;
    r->id = -1;
    bool again = false;
    for (enum fm_jtoken t = fm_jscan_next(&copy); t == FM_J_KEY; t = fm_jscan_next(&copy)) {
        bool id = fm_jscan_is(&copy, "id");
        t = fm_jscan_next(&copy);
        if (id) { /* two names are none */
            r->id = t == FM_J_STRING && !again ? multi_id(copy.text, copy.text_len) : -1;
            again = true;
        }
        if (!fm_jscan_skip(&copy, t))
            return false;
    }
    return true;
}

static bool read_multi_list(struct fm_answer *a, struct fm_jscan *s, bool success, bool *nomem)
{
    for (;;) {
        enum fm_jtoken token = fm_jscan_next(s);
        if (token == FM_J_ARRAY_END)
            return true;
        struct fm_report report;
        if (token != FM_J_OBJECT || a->n >= MAX_REPORTS || !read_multi_entry(s, success, &report))
            return false;
        if (!add_report(a, &report)) {
            *nomem = true;
            return false;
        }
    }
}

/* The first value is an object: offsets, a 207, or an error. @return false when it broke off */
static bool read_object(struct fm_answer *a, struct fm_jscan *s, enum fm_rest_dialect dialect,
                        bool *nomem)
{
    for (;;) {
        enum fm_jtoken token = fm_jscan_next(s);
        if (token == FM_J_OBJECT_END)
            return true;
        if (token != FM_J_KEY)
            return false;
        bool offsets = fm_jscan_is(s, "offsets"), good = fm_jscan_is(s, "successes");
        bool bad = fm_jscan_is(s, "failures"), text = fm_jscan_is(s, "message");
        bool code = fm_jscan_is(s, "error_code"), alt = fm_jscan_is(s, "code");
        token = fm_jscan_next(s);
        int64_t number;
        if (token == FM_J_ARRAY && (offsets || good || bad)) {
            a->shape = offsets ? FM_SHAPE_OFFSETS : FM_SHAPE_MULTI;
            if (!spell_out(a)) {
                *nomem = true;
                return false;
            }
            if (!(offsets ? read_array(a, s, dialect, nomem) : read_multi_list(a, s, good, nomem)))
                return false;
            continue;
        }
        if (token == FM_J_NUMBER && (code || (alt && !a->has_code)) && fm_jscan_i64(s, &number)) {
            a->has_code = true;
            a->code = number;
        } else if (token == FM_J_STRING && text) {
            a->text = s->text;
            a->text_len = s->text_len;
        }
        if (!fm_jscan_skip(s, token))
            return false;
    }
}

/* v3, status 200: a sequence of reports. */
static enum fm_code read_stream(struct fm_answer *a, const char *body, size_t len,
                                struct fm_err *err)
{
    struct fm_jscan s;
    fm_jscan_init(&s, body, len);
    a->shape = FM_SHAPE_STREAM;
    for (;;) {
        enum fm_jtoken token = fm_jscan_next(&s);
        if (token == FM_J_END)
            break;
        struct fm_report report;
        bool offsets = false;
        if (token == FM_J_ERROR || a->n >= MAX_REPORTS ||
            !read_report(&s, token, &report, &offsets)) {
            a->cut = true;
            break;
        }
        if (offsets && a->n == 0) { /* a v2 answer: dialect wrong, or a balancer in between */
            a->shape = FM_SHAPE_OFFSETS;
            bool nomem = false;
            fm_jscan_init(&s, body, len);
            if (fm_jscan_next(&s) == FM_J_OBJECT)
                a->cut = !read_object(a, &s, FM_DIALECT_CONFLUENT_V2, &nomem);
            return nomem ? fm_err_nomem(err) : FM_OK;
        }
        decide_ok(&report, FM_DIALECT_CONFLUENT_V3);
        look_at(a, &report);
        if (!add_report(a, &report))
            return fm_err_nomem(err);
    }
    if (a->n == 0 && a->cut)
        a->shape = FM_SHAPE_OTHER;
    return FM_OK;
}

enum fm_code fm_answer_read(struct fm_answer *out, enum fm_rest_dialect dialect, long status,
                            const char *body, size_t len, struct fm_offset_watch *watch,
                            struct fm_err *err)
{
    *out = (struct fm_answer){
        .text = body, .text_len = len < TEXT_KEPT ? len : TEXT_KEPT, .watch = watch};
    size_t blank = 0;
    while (blank < len && body[blank] != '\0' && strchr(" \t\r\n", body[blank]) != NULL)
        blank++;
    if (blank == len)
        return FM_OK;
    if (dialect == FM_DIALECT_CONFLUENT_V3 && status == 200)
        return read_stream(out, body, len, err);
    struct fm_jscan s;
    fm_jscan_init(&s, body, len);
    out->shape = FM_SHAPE_OTHER;
    if (fm_jscan_next(&s) != FM_J_OBJECT)
        return FM_OK;
    out->shape = FM_SHAPE_ERROR;
    bool nomem = false;
    out->cut = !read_object(out, &s, dialect, &nomem);
    if (nomem)
        return fm_err_nomem(err);
    if (out->cut && out->shape == FM_SHAPE_ERROR)
        out->shape = FM_SHAPE_OTHER;
    return FM_OK;
}

void fm_answer_clear(struct fm_answer *answer)
{
    free(answer->reports);
    *answer = (struct fm_answer){0};
}

/* Undo the escapes that matter to a reader and keep it on one printable line. */
static void put_plain(char *out, size_t size, const char *text, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len && n + 1 < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\\' && i + 1 < len && (text[i + 1] == '"' || text[i + 1] == '\\'))
            c = (unsigned char)text[++i];
        else if (c == '\\' && i + 1 < len && strchr("nrt", text[i + 1]) != NULL)
            c = ' ', i++;
        if (c < 0x20 || c == 0x7f)
            c = ' ';
        if (c == ' ' && (n == 0 || out[n - 1] == ' '))
            continue;
        out[n++] = (char)c;
    }
    out[n] = '\0';
    fm_utf8_cut(out);
}

void fm_verdict_text(const struct fm_verdict *v, long status, char *out, size_t size)
{
    enum { SHOWN = 200 };
    char text[SHOWN + 1];
    put_plain(text, sizeof text, v->text != NULL ? v->text : "", v->text != NULL ? v->text_len : 0);
    int n = status > 0 ? snprintf(out, size, "HTTP %ld", status) : snprintf(out, size, "no answer");
    if (v->code != FM_CODE_NONE && n > 0 && (size_t)n < size)
        n += snprintf(out + n, size - (size_t)n, " code %lld", (long long)v->code);
    if (text[0] != '\0' && n > 0 && (size_t)n < size)
        snprintf(out + n, size - (size_t)n, ": %s", text);
    fm_utf8_cut(out);
}

void fm_answer_text(enum fm_rest_dialect dialect, const struct fm_http_answer *http, char *out,
                    size_t size)
{
    struct fm_answer a;
    struct fm_verdict v = {.code = FM_CODE_NONE, .text = http->body, .text_len = http->body_len};
    if (fm_answer_read(&a, dialect, http->status, http->body, http->body_len, NULL, NULL) ==
        FM_OK) {
        v.code = a.has_code ? a.code : FM_CODE_NONE;
        v.text = a.text;
        v.text_len = a.text_len;
    }
    fm_verdict_text(&v, http->status, out, size);
    fm_answer_clear(&a);
}
