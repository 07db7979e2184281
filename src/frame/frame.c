#include "frame/frame.h"

#include <string.h>

static const char stream_open[] = "\"stream\":\"";
static const char seq_open[] = "\",\"seq\":";

static size_t digits_of(uint64_t v)
{
    static const uint64_t powers[] = {0,
                                      10,
                                      100,
                                      1000,
                                      10000,
                                      100000,
                                      1000000,
                                      10000000,
                                      100000000,
                                      1000000000,
                                      10000000000,
                                      100000000000,
                                      1000000000000,
                                      10000000000000,
                                      100000000000000,
                                      1000000000000000,
                                      10000000000000000,
                                      100000000000000000,
                                      1000000000000000000,
                                      10000000000000000000U};
    /* As many as the bits say (1233 / 4096 is log10(2), about), or one more. */
    size_t n = (size_t)(64 - __builtin_clzll(v | 1)) * 1233 >> 12;
    return n + (v >= powers[n]);
}

static char *put(char *to, const char *data, size_t len)
{
    memcpy(to, data, len);
    return to + len;
}

char *fm_record_write(char *to, const struct fm_record *rec, const char *stream, uint64_t seq)
{
    if (rec->id_at == FM_NO_ID)
        return rec->value_len > 0 ? put(to, rec->value, rec->value_len) : to;
    to = put(to, rec->value, rec->id_at);
    to = put(to, stream_open, sizeof stream_open - 1);
    to = put(to, stream, strnlen(stream, FM_STREAM_LEN));
    to = put(to, seq_open, sizeof seq_open - 1);
    char *end = to + digits_of(seq);
    for (char *p = end; p > to; seq /= 10)
        *--p = (char)('0' + seq % 10);
    *end++ = ',';
    return put(end, rec->value + rec->id_at, rec->value_len - rec->id_at);
}

void fm_record_value(struct fm_buf *buf, const struct fm_record *rec, const char *stream,
                     uint64_t seq)
{
    /* One reservation, so that a value is never half there. */
    if (!fm_buf_reserve(buf, fm_record_value_len(rec, stream, seq)))
        return;
    buf->len = (size_t)(fm_record_write(buf->data + buf->len, rec, stream, seq) - buf->data);
}

size_t fm_record_value_len(const struct fm_record *rec, const char *stream, uint64_t seq)
{
    if (rec->id_at == FM_NO_ID)
        return rec->value_len;
    return rec->value_len + sizeof stream_open - 1 + strnlen(stream, FM_STREAM_LEN) +
           sizeof seq_open - 1 + digits_of(seq) + 1;
}
