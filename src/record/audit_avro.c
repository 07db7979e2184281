/* Identity behind a schema registry's prefix: a zero byte and four bytes of schema id, then Avro
 * binary or JSON. The first fields of schema.c's schemas are read without knowing the schema;
 * whatever does not begin like them is foreign. */
#include <string.h>

#include "base/cursor.h"
#include "record/audit_priv.h"

/* Zigzag in groups of seven bits. */
static bool get_long(struct fm_cursor *c, int64_t *out)
{
    uint64_t raw = 0;
    uint8_t byte = 0x80;
    for (unsigned shift = 0; (byte & 0x80) != 0; shift += 7) {
        if (shift > 63 || !fm_cursor_u8(c, &byte) || (shift == 63 && byte > 1))
            return false;
        raw |= (uint64_t)(byte & 0x7f) << shift;
    }
    *out = (int64_t)(raw >> 1) ^ -(int64_t)(raw & 1);
    return true;
}

static bool get_text(struct fm_cursor *c, const char **text, size_t *len)
{
    int64_t n;
    const unsigned char *data;
    if (!get_long(c, &n) || n < 0 || (uint64_t)n > fm_cursor_left(c) ||
        !fm_cursor_take(c, (size_t)n, &data))
        return false;
    *text = (const char *)data;
    *len = (size_t)n;
    return true;
}

/* The branch of a union of null and something. */
static bool get_branch(struct fm_cursor *c, bool *some)
{
    int64_t branch;
    if (!get_long(c, &branch) || branch < 0 || branch > 1)
        return false;
    *some = branch == 1;
    return true;
}

static bool get_number(struct fm_cursor *c, struct fm_audit_facts *facts, int64_t *out)
{
    bool some;
    *out = -1;
    if (!get_branch(c, &some) || (some && !get_long(c, out)))
        return false;
    facts->odd |= some && *out < 0;
    return true;
}

static bool get_maybe_text(struct fm_cursor *c, const char **text, size_t *len)
{
    bool some;
    *text = NULL;
    *len = 0;
    return get_branch(c, &some) && (!some || get_text(c, text, len));
}

static bool get_other(struct fm_cursor *c, struct fm_audit_facts *out)
{
    const char *text;
    size_t len;
    if (!get_maybe_text(c, &text, &len))
        return false;
    if (text != NULL)
        out->odd |= !fm_audit_put_stream(out->other, text, len);
    return true;
}

static bool read_control(struct fm_cursor *c, struct fm_audit_facts *out)
{
    const char *text;
    size_t len;
    if (!get_text(c, &text, &len))
        return false;
    out->type = fm_audit_type(text, len);
    if (!get_number(c, out, &out->from_seq) || !get_number(c, out, &out->to_seq) ||
        !get_number(c, out, &out->count) || !get_maybe_text(c, &text, &len))
        return false;
    out->reason = fm_audit_reason_of(text != NULL ? text : "", len);
    return get_other(c, out) && get_other(c, out) && get_number(c, out, &out->prev_last_seq);
}

static bool read_avro(const char *data, size_t size, struct fm_audit_facts *out)
{
    struct fm_cursor c;
    const char *text;
    size_t len;
    int64_t seq, version;
    fm_cursor_init(&c, data, size);
    if (!get_text(&c, &text, &len) || !fm_audit_put_agent(out->agent, text, len) ||
        !get_text(&c, &text, &len) || !fm_audit_put_stream(out->stream, text, len) ||
        !get_long(&c, &seq) || seq < 1)
        return false;
    out->seq = (uint64_t)seq;
    return read_control(&c, out) && get_long(&c, &version) && version >= 1;
}

bool fm_audit_read_prefixed(const char *value, size_t len, struct fm_audit_facts *out)
{
    enum { PREFIX = 5 };
    if (value == NULL || len <= PREFIX || value[0] != '\0')
        return false;
    /* An agent's name of Avro cannot begin with this byte: it would be a negative length. */
    if (value[PREFIX] == '{')
        return fm_audit_read_json(value + PREFIX, len - PREFIX, out);
    return read_avro(value + PREFIX, len - PREFIX, out);
}
