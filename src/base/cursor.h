/* base/cursor.h - the only way to read foreign bytes: every reader passes one bounds check.
 *
 * A read past the end returns false and moves nothing, so that a caller with more bytes to come can
 * go on later. Big-endian unless named otherwise. One thread at a time. What the parsers call for
 * every byte is inline. */
#ifndef FM_BASE_CURSOR_H
#define FM_BASE_CURSOR_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fm_cursor {
    const unsigned char *data; /* borrowed */
    size_t len;
    size_t at; /* at <= len, always */
};

static inline void fm_cursor_init(struct fm_cursor *cur, const void *data, size_t len)
{
    *cur = (struct fm_cursor){.data = (const unsigned char *)data, .len = len, .at = 0};
}

/** Bytes not yet read. */
static inline size_t fm_cursor_left(const struct fm_cursor *cur)
{
    assert(cur->at <= cur->len);
    return cur->len - cur->at;
}

/** The next n bytes, borrowed, and step over them. All other readers go through this one. */
static inline bool fm_cursor_take(struct fm_cursor *cur, size_t n, const unsigned char **out)
{
    if (n > fm_cursor_left(cur))
        return false;
    *out = cur->data == NULL ? (const unsigned char *)"" : cur->data + cur->at;
    cur->at += n;
    return true;
}

bool fm_cursor_skip(struct fm_cursor *cur, size_t n);

static inline bool fm_cursor_u8(struct fm_cursor *cur, uint8_t *out)
{
    const unsigned char *p;
    if (!fm_cursor_take(cur, 1, &p))
        return false;
    *out = p[0];
    return true;
}

static inline bool fm_cursor_u16(struct fm_cursor *cur, uint16_t *out)
{
    const unsigned char *p;
    if (!fm_cursor_take(cur, 2, &p))
        return false;
    *out = (uint16_t)(p[0] << 8 | p[1]);
    return true;
}

static inline bool fm_cursor_u32(struct fm_cursor *cur, uint32_t *out)
{
    const unsigned char *p;
    if (!fm_cursor_take(cur, 4, &p))
        return false;
    *out = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    return true;
}

bool fm_cursor_u64(struct fm_cursor *cur, uint64_t *out);
bool fm_cursor_i32(struct fm_cursor *cur, int32_t *out);
bool fm_cursor_i64(struct fm_cursor *cur, int64_t *out);
bool fm_cursor_le32(struct fm_cursor *cur, uint32_t *out);
bool fm_cursor_le64(struct fm_cursor *cur, uint64_t *out);

#endif
