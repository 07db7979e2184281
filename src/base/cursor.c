#include "base/cursor.h"

#include <assert.h>

void fm_cursor_init(struct fm_cursor *cur, const void *data, size_t len)
{
    *cur = (struct fm_cursor){.data = data, .len = len, .at = 0};
}

size_t fm_cursor_left(const struct fm_cursor *cur)
{
    assert(cur->at <= cur->len);
    return cur->len - cur->at;
}

bool fm_cursor_take(struct fm_cursor *cur, size_t n, const unsigned char **out)
{
    if (n > fm_cursor_left(cur))
        return false;
    *out = n == 0 && cur->data == NULL ? (const unsigned char *)"" : cur->data + cur->at;
    cur->at += n;
    return true;
}

bool fm_cursor_skip(struct fm_cursor *cur, size_t n)
{
    const unsigned char *ignored;
    return fm_cursor_take(cur, n, &ignored);
}

/* n bytes, most significant first or last. */
static bool take_uint(struct fm_cursor *cur, size_t n, bool little, uint64_t *out)
{
    const unsigned char *p;
    if (!fm_cursor_take(cur, n, &p))
        return false;
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[little ? n - 1 - i : i];
    *out = v;
    return true;
}

bool fm_cursor_u8(struct fm_cursor *cur, uint8_t *out)
{
    const unsigned char *p;
    if (!fm_cursor_take(cur, 1, &p))
        return false;
    *out = p[0];
    return true;
}

bool fm_cursor_u16(struct fm_cursor *cur, uint16_t *out)
{
    uint64_t v;
    if (!take_uint(cur, 2, false, &v))
        return false;
    *out = (uint16_t)v;
    return true;
}

bool fm_cursor_u32(struct fm_cursor *cur, uint32_t *out)
{
    uint64_t v;
    if (!take_uint(cur, 4, false, &v))
        return false;
    *out = (uint32_t)v;
    return true;
}

bool fm_cursor_u64(struct fm_cursor *cur, uint64_t *out)
{
    return take_uint(cur, 8, false, out);
}

bool fm_cursor_i32(struct fm_cursor *cur, int32_t *out)
{
    uint64_t v;
    if (!take_uint(cur, 4, false, &v))
        return false;
    *out = (int32_t)(uint32_t)v;
    return true;
}

bool fm_cursor_i64(struct fm_cursor *cur, int64_t *out)
{
    uint64_t v;
    if (!take_uint(cur, 8, false, &v))
        return false;
    *out = (int64_t)v;
    return true;
}

bool fm_cursor_le32(struct fm_cursor *cur, uint32_t *out)
{
    uint64_t v;
    if (!take_uint(cur, 4, true, &v))
        return false;
    *out = (uint32_t)v;
    return true;
}

bool fm_cursor_le64(struct fm_cursor *cur, uint64_t *out)
{
    return take_uint(cur, 8, true, out);
}
