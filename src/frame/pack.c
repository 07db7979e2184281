#include <lz4.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "frame/frame.h"
#include "frame/pack_priv.h"

/* Little-endian: magic, bytes of the stored form, one LZ4 block (LZ4 Block Format Description). */
static const char magic[4] = {'F', 'M', 'Z', '1'};

enum {
    HEAD_BYTES = 8,
    MOST_RATIO = 255, /* of that format: a byte of a length stands for so many at most */
    SLACK = 64
};

const char *fm_frame_version(void)
{
    return LZ4_versionString();
}

bool fm_pack_is(const void *data, size_t len)
{
    return len >= sizeof magic && memcmp(data, magic, sizeof magic) == 0;
}

bool fm_pack(struct fm_buf *out, const void *data, size_t len)
{
    if (len > LZ4_MAX_INPUT_SIZE)
        return false;
    /* Less than a tenth is not worth unpacking it. */
    size_t room = len - len / 10;
    if (!fm_buf_reserve(out, HEAD_BYTES + room))
        return false;
    memcpy(out->data, magic, sizeof magic);
    for (size_t i = 0; i < 4; i++)
        out->data[sizeof magic + i] = (char)(unsigned char)(len >> (8 * i));
    int n = LZ4_compress_fast(data, out->data + HEAD_BYTES, (int)len, (int)room, 1);
    if (n <= 0)
        return false;
    out->len = HEAD_BYTES + (size_t)n;
    fm_buf_fit(out); /* it waits in a queue */
    return true;
}

/* Where the block is damaged the library stops; what lies before that place is whole, and behind it
 * are zeros, which no record begins with. */
enum fm_code fm_unpack(struct fm_buf *out, const void *data, size_t len, struct fm_err *err)
{
    struct fm_cursor cur;
    fm_cursor_init(&cur, data, len);
    const unsigned char *block;
    uint32_t plain = 0;
    bool good = fm_cursor_skip(&cur, sizeof magic) && fm_cursor_le32(&cur, &plain);
    size_t left = fm_cursor_left(&cur);
    if (!good || plain > LZ4_MAX_INPUT_SIZE || left > LZ4_MAX_INPUT_SIZE ||
        plain / MOST_RATIO > left + SLACK || !fm_cursor_take(&cur, left, &block))
        return fm_err_set(err, FM_EDAMAGE, "the head of a packed chunk of %zu bytes is damaged",
                          len);
    if (!fm_buf_reserve(out, (size_t)plain + 1))
        return fm_err_nomem(err);
    int n = LZ4_decompress_safe((const char *)block, out->data, (int)left, (int)plain);
    if (n < 0 || (uint32_t)n != plain) {
        memset(out->data, 0, plain);
        (void)LZ4_decompress_safe((const char *)block, out->data, (int)left, (int)plain);
    }
    out->len = plain;
    return FM_OK;
}
