#include "frame/frame.h"

#include <string.h>

static const char stream_open[] = "\"stream\":\"";
static const char seq_open[] = "\",\"seq\":";

void fm_record_value(struct fm_buf *buf, const struct fm_record *rec, const char *stream,
                     uint64_t seq)
{
    if (rec->id_at == FM_NO_ID) {
        fm_buf_put(buf, rec->value, rec->value_len);
        return;
    }
    /* One reservation, so that a value is never half there. */
    if (!fm_buf_reserve(buf, fm_record_value_len(rec, stream, seq)))
        return;
    fm_buf_put(buf, rec->value, rec->id_at);
    fm_buf_put(buf, stream_open, sizeof stream_open - 1);
    fm_buf_puts(buf, stream);
    fm_buf_put(buf, seq_open, sizeof seq_open - 1);
    fm_buf_u64(buf, seq);
    fm_buf_putc(buf, ',');
    fm_buf_put(buf, rec->value + rec->id_at, rec->value_len - rec->id_at);
}

size_t fm_record_value_len(const struct fm_record *rec, const char *stream, uint64_t seq)
{
    if (rec->id_at == FM_NO_ID)
        return rec->value_len;
    size_t digits = 1;
    for (uint64_t v = seq; v >= 10; v /= 10)
        digits++;
    return rec->value_len + sizeof stream_open - 1 + strlen(stream) + sizeof seq_open - 1 + digits +
           1;
}
