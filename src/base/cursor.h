/* base/cursor.h - the only way to read foreign bytes: every reader passes one bounds check.
 *
 * A read past the end returns false and moves nothing, so that a caller with more bytes to come can
 * go on later. Big-endian unless named otherwise. One thread at a time. */
#ifndef FM_BASE_CURSOR_H
#define FM_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fm_cursor {
    const unsigned char *data; /* borrowed */
    size_t len;
    size_t at; /* at <= len, always */
};

void fm_cursor_init(struct fm_cursor *cur, const void *data, size_t len);

/** Bytes not yet read. */
size_t fm_cursor_left(const struct fm_cursor *cur);

/** The next n bytes, borrowed, and step over them. All other readers go through this one. */
bool fm_cursor_take(struct fm_cursor *cur, size_t n, const unsigned char **out);

bool fm_cursor_skip(struct fm_cursor *cur, size_t n);
bool fm_cursor_u8(struct fm_cursor *cur, uint8_t *out);
bool fm_cursor_u16(struct fm_cursor *cur, uint16_t *out);
bool fm_cursor_u32(struct fm_cursor *cur, uint32_t *out);
bool fm_cursor_u64(struct fm_cursor *cur, uint64_t *out);
bool fm_cursor_i32(struct fm_cursor *cur, int32_t *out);
bool fm_cursor_i64(struct fm_cursor *cur, int64_t *out);
bool fm_cursor_le32(struct fm_cursor *cur, uint32_t *out);
bool fm_cursor_le64(struct fm_cursor *cur, uint64_t *out);

#endif
