/* Who a record is: identity and control fields, from headers and JSON that a stranger wrote. */
#include <string.h>

#include "base/jscan.h"
#include "record/audit_priv.h"

static const char *const reasons[FM_AUDIT_REASONS] = {
    [FM_AUDIT_DEAD] = "dead",         [FM_AUDIT_FULL] = "full",
    [FM_AUDIT_AGE] = "age",           [FM_AUDIT_DAMAGE] = "damage",
    [FM_AUDIT_OPERATOR] = "operator", [FM_AUDIT_TOO_LARGE] = "too_large",
    [FM_AUDIT_OTHER] = "other",
};

const char *fm_audit_reason_name(enum fm_audit_reason reason)
{
    return reasons[reason];
}

bool fm_audit_put_stream(char out[FM_STREAM_LEN + 1], const char *text, size_t len)
{
    out[0] = '\0';
    if (len != FM_STREAM_LEN)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((text[i] < '0' || text[i] > '9') && (text[i] < 'a' || text[i] > 'f'))
            return false;
    memcpy(out, text, len);
    out[len] = '\0';
    return true;
}

bool fm_audit_put_agent(char out[FM_AUDIT_AGENT_MAX], const char *text, size_t len)
{
    out[0] = '\0';
    if (len == 0 || len >= FM_AUDIT_AGENT_MAX || memchr(text, '\0', len) != NULL)
        return false;
    memcpy(out, text, len);
    out[len] = '\0';
    return true;
}

/* Decimal digits, 1 to 2^63 - 1. */
static bool put_seq(uint64_t *out, const char *text, size_t len)
{
    uint64_t seq = 0;
    if (len == 0 || len > 19)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        seq = seq * 10 + (uint64_t)(text[i] - '0'); /* 19 digits fit */
    }
    *out = seq;
    return seq > 0 && seq <= INT64_MAX;
}

static bool header_is(const struct fm_header *h, const char *name)
{
    return h->name_len == strlen(name) && memcmp(h->name, name, h->name_len) == 0 &&
           h->value != NULL;
}

static bool read_headers(const struct fm_audit_record *rec, struct fm_audit_facts *out)
{
    bool agent = false, stream = false, seq = false;
    for (size_t i = 0; i < rec->n_headers; i++) {
        const struct fm_header *h = &rec->headers[i];
        if (header_is(h, "firstmile-agent"))
            agent = fm_audit_put_agent(out->agent, h->value, h->value_len);
        else if (header_is(h, "firstmile-stream"))
            stream = fm_audit_put_stream(out->stream, h->value, h->value_len);
        else if (header_is(h, "firstmile-seq"))
            seq = put_seq(&out->seq, h->value, h->value_len);
    }
    return agent && stream && seq;
}

/* A proxy may respell a number: 4711 may come as 4711.0 or 4.711e3. */
static bool whole_number(const struct fm_jscan *s, int64_t *out)
{
    if (fm_jscan_i64(s, out))
        return true;
    double v = fm_jscan_double(s);
    if (!(v >= 0 && v < 9007199254740992.0) || (double)(int64_t)v != v)
        return false;
    *out = (int64_t)v;
    return true;
}

/* null becomes -1. @return false for anything but null and a number that can be one */
static bool read_number(const struct fm_jscan *s, enum fm_jtoken token, int64_t *out)
{
    *out = -1;
    return token == FM_J_NULL || (token == FM_J_NUMBER && whole_number(s, out) && *out >= 0);
}

struct value_facts {
    struct fm_audit_facts *out;
    bool version, agent, stream, seq;
};

static bool is(const char *text, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(text, word, len) == 0;
}

enum fm_audit_reason fm_audit_reason_of(const char *text, size_t len)
{
    for (int i = 0; i < FM_AUDIT_OTHER; i++)
        if (is(text, len, reasons[i]))
            return (enum fm_audit_reason)i;
    return FM_AUDIT_OTHER;
}

enum fm_audit_type fm_audit_type(const char *text, size_t len)
{
    return is(text, len, "gap")     ? FM_FACT_GAP
           : is(text, len, "start") ? FM_FACT_START
                                    : FM_FACT_DATA;
}

static void read_agent(const struct fm_jscan *s, struct value_facts *v)
{
    struct fm_buf text;
    fm_buf_init(&text, FM_AUDIT_AGENT_MAX);
    fm_jscan_string(s, &text);
    v->agent = !text.failed && fm_audit_put_agent(v->out->agent, text.data, text.len);
    fm_buf_clear(&text);
}

static void read_text(const struct fm_jscan *key, const struct fm_jscan *s, struct value_facts *v)
{
    struct fm_audit_facts *out = v->out;
    if (fm_jscan_is(key, "agent"))
        read_agent(s, v);
    else if (fm_jscan_is(key, "stream"))
        v->stream = fm_audit_put_stream(out->stream, s->text, s->text_len);
    else if (fm_jscan_is(key, "type"))
        out->type = fm_audit_type(s->text, s->text_len);
    else if (fm_jscan_is(key, "reason"))
        out->reason = fm_audit_reason_of(s->text, s->text_len);
}

/* null says nothing: with a schema both members are always there. */
static bool read_stream(const struct fm_jscan *s, enum fm_jtoken token, char out[])
{
    return token == FM_J_NULL ||
           (token == FM_J_STRING && fm_audit_put_stream(out, s->text, s->text_len));
}

static void read_member(const struct fm_jscan *key, const struct fm_jscan *s, enum fm_jtoken token,
                        struct value_facts *v)
{
    struct fm_audit_facts *out = v->out;
    int64_t number;
    if (fm_jscan_is(key, "lost_stream") || fm_jscan_is(key, "prev_stream")) {
        out->odd |= !read_stream(s, token, out->other);
    } else if (fm_jscan_is(key, "from_seq")) {
        out->odd |= !read_number(s, token, &out->from_seq);
    } else if (fm_jscan_is(key, "to_seq")) {
        out->odd |= !read_number(s, token, &out->to_seq);
    } else if (fm_jscan_is(key, "count")) {
        out->odd |= !read_number(s, token, &out->count);
    } else if (fm_jscan_is(key, "prev_last_seq")) {
        out->odd |= !read_number(s, token, &out->prev_last_seq);
    } else if (token == FM_J_STRING) {
        read_text(key, s, v);
    } else if (token == FM_J_NUMBER && fm_jscan_is(key, "v")) {
        v->version = whole_number(s, &number) && number >= 1;
    } else if (token == FM_J_NUMBER && fm_jscan_is(key, "seq")) {
        v->seq = whole_number(s, &number) && number >= 1;
        out->seq = v->seq ? (uint64_t)number : 0;
    }
}

bool fm_audit_read_json(const char *value, size_t len, struct fm_audit_facts *out)
{
    struct value_facts v = {.out = out};
    struct fm_jscan s;
    enum fm_jtoken token;
    fm_jscan_init(&s, value, len);
    if (value == NULL || fm_jscan_next(&s) != FM_J_OBJECT)
        return false;
    while ((token = fm_jscan_next(&s)) == FM_J_KEY) {
        struct fm_jscan key = s;
        token = fm_jscan_next(&s);
        read_member(&key, &s, token, &v);
        if (!fm_jscan_skip(&s, token))
            return false;
    }
    return token == FM_J_OBJECT_END && fm_jscan_next(&s) == FM_J_END && v.version && v.agent &&
           v.stream && v.seq;
}

static void blank(struct fm_audit_facts *out)
{
    *out = (struct fm_audit_facts){.from_seq = FM_FACT_ABSENT,
                                   .to_seq = FM_FACT_ABSENT,
                                   .count = FM_FACT_ABSENT,
                                   .prev_last_seq = -1,
                                   .reason = FM_AUDIT_OTHER};
}

bool fm_audit_read(const struct fm_audit_record *rec, struct fm_audit_facts *out)
{
    struct fm_audit_facts head;
    blank(&head);
    blank(out);
    bool by_head = read_headers(rec, &head);
    bool by_value = fm_audit_read_json(rec->value, rec->value_len, out);
    if (!by_value) {
        blank(out);
        by_value = fm_audit_read_prefixed(rec->value, rec->value_len, out);
    }
    /* With both, the value may speak (start, gap) only if it is of this very record: produce sends
     * values of any kind, and may send our own records again. */
    if (by_head && by_value && head.seq == out->seq && strcmp(head.stream, out->stream) == 0 &&
        strcmp(head.agent, out->agent) == 0)
        return true;
    if (by_head)
        *out = head;
    return by_head || by_value;
}
