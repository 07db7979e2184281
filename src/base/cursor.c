#include "base/cursor.h"

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
