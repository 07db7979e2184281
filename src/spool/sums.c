/* Checksums of the metadata and the stored form of a gap. The database has no checksums: without
 * these a flipped bit could send a record under the identity of another. */
#include <string.h>

#include "base/cursor.h"
#include "spool/rows_priv.h"

static uint32_t sum_i64(uint32_t crc, int64_t v)
{
    unsigned char b[8];
    for (size_t i = 0; i < sizeof b; i++)
        b[i] = (unsigned char)((uint64_t)v >> (8 * i));
    return fm_crc32c(crc, b, sizeof b);
}

static uint32_t sum_text(uint32_t crc, const char *text)
{
    return fm_crc32c(crc, text, strlen(text) + 1);
}

size_t put_gap(const struct gap *gap, unsigned char out[GAP_BYTES])
{
    if (gap == NULL)
        return 0;
    memcpy(out, gap->lost_stream, FM_STREAM_LEN);
    const int64_t v[] = {gap->from,     gap->to,      gap->count,
                         gap->first_ms, gap->last_ms, (int64_t)gap->reason};
    for (size_t i = 0; i < 6; i++)
        for (size_t k = 0; k < 8; k++)
            out[FM_STREAM_LEN + i * 8 + k] = (unsigned char)((uint64_t)v[i] >> (8 * k));
    return GAP_BYTES;
}

bool take_gap(const void *data, size_t len, struct gap *out)
{
    struct fm_cursor cur;
    fm_cursor_init(&cur, data, len);
    const unsigned char *name;
    uint64_t v[6];
    if (len != GAP_BYTES || !fm_cursor_take(&cur, FM_STREAM_LEN, &name))
        return false;
    for (size_t i = 0; i < 6; i++) {
        if (!fm_cursor_le64(&cur, &v[i]))
            return false;
    }
    *out = (struct gap){.from = (int64_t)v[0],
                        .to = (int64_t)v[1],
                        .count = (int64_t)v[2],
                        .first_ms = (int64_t)v[3],
                        .last_ms = (int64_t)v[4],
                        .reason = (enum fm_gap_reason)v[5]};
    memcpy(out->lost_stream, name, FM_STREAM_LEN);
    return v[5] <= FM_GAP_TOO_LARGE;
}

size_t gone_bytes(const struct row *row)
{
    return row->n_gone == 0 ? 0 : (row->n + 63) / 64 * 8;
}

int64_t row_sum(const struct row *row, const unsigned char *gap, size_t gap_len)
{
    uint32_t crc = sum_i64(0, (int64_t)row->id);
    crc = sum_i64(crc, row->stream->id);
    crc = sum_i64(crc, (int64_t)row->first);
    crc = sum_i64(crc, row->n);
    crc = sum_i64(crc, row->time_ms);
    crc = sum_i64(crc, row->born_ms);
    crc = sum_i64(crc, row->bytes);
    crc = sum_i64(crc, (int64_t)row->kind);
    crc = fm_crc32c(crc, row->gone, gone_bytes(row));
    return fm_crc32c(crc, gap, gap_len);
}

int64_t stream_sum(const struct stream *s, int64_t line_ms)
{
    uint32_t crc = sum_i64(0, s->id);
    crc = sum_text(crc, s->name);
    crc = sum_text(crc, s->topic->name);
    crc = sum_text(crc, s->agent);
    crc = sum_text(crc, s->machine);
    crc = sum_i64(crc, (int64_t)s->assigned);
    crc = sum_i64(crc, (int64_t)s->delivered);
    crc = sum_i64(crc, (int64_t)s->lost);
    crc = sum_i64(crc, (int64_t)s->dead);
    crc = sum_i64(crc, s->ended);
    crc = sum_i64(crc, s->unknown);
    crc = sum_text(crc, s->prev);
    crc = sum_i64(crc, s->prev_last);
    return sum_i64(crc, line_ms);
}

int64_t dead_sum(const struct dead *d)
{
    uint32_t crc = sum_i64(0, (int64_t)d->id);
    crc = sum_i64(crc, d->stream->id);
    crc = sum_i64(crc, (int64_t)d->seq);
    crc = sum_i64(crc, d->dead_ms);
    return sum_i64(crc, (int64_t)d->bytes);
}
