/* base/buf.h - a growing byte buffer with a limit and a sticky failure.
 *
 * The put functions return nothing: a failed allocation or an exceeded limit is remembered and all
 * later puts do nothing, so that a writer checks once, at its end, with fm_buf_code(). One thread
 * at a time. */
#ifndef FM_BASE_BUF_H
#define FM_BASE_BUF_H

#include <stdarg.h>
#include <stdint.h>

#include "firstmile/err.h"

struct fm_buf {
    char *data; /* owned; NULL while empty; not terminated, see fm_buf_str() */
    size_t len; /* bytes written */
    size_t cap; /* bytes allocated */
    size_t max; /* limit of len; 0: none */
    bool failed; /* a put could not be done */
    bool over_limit; /* ... because of max, not of memory */
};

/** An empty buffer. @param max  limit in bytes, 0 for none */
void fm_buf_init(struct fm_buf *buf, size_t max);

/** Free the memory; the buffer is empty and usable again, with the same limit. */
void fm_buf_clear(struct fm_buf *buf);

/** Forget content and failure, keep the memory. */
void fm_buf_reset(struct fm_buf *buf);

/** Make room for n more bytes. @return false and sticky failure if that cannot be had */
bool fm_buf_reserve(struct fm_buf *buf, size_t n);

void fm_buf_put(struct fm_buf *buf, const void *data, size_t len);
void fm_buf_putc(struct fm_buf *buf, char c);
void fm_buf_puts(struct fm_buf *buf, const char *text);
void fm_buf_printf(struct fm_buf *buf, const char *fmt, ...) FM_PRINTF(2, 3);
void fm_buf_vprintf(struct fm_buf *buf, const char *fmt, va_list args) FM_PRINTF(2, 0);

/** Big-endian integers, as JRMP and Java serialization want them. */
void fm_buf_be16(struct fm_buf *buf, uint16_t v);
void fm_buf_be32(struct fm_buf *buf, uint32_t v);
void fm_buf_be64(struct fm_buf *buf, uint64_t v);

/** Decimal numbers without locale. */
void fm_buf_i64(struct fm_buf *buf, int64_t v);
void fm_buf_u64(struct fm_buf *buf, uint64_t v);

/** Remove n bytes from the front (n <= len). */
void fm_buf_consume(struct fm_buf *buf, size_t n);

/** Cut back to len bytes (len <= current length). */
void fm_buf_truncate(struct fm_buf *buf, size_t len);

/** Give back memory beyond the content, for what is kept as it is. */
void fm_buf_fit(struct fm_buf *buf);

/** The content as a terminated string, borrowed until the next put; "" if empty or failed. */
const char *fm_buf_str(struct fm_buf *buf);

/** Hand the content over as a terminated string; the caller frees it. NULL if failed. */
char *fm_buf_take(struct fm_buf *buf);

/** @return FM_OK, FM_ENOMEM or FM_ELIMIT */
FM_MUST_USE enum fm_code fm_buf_code(const struct fm_buf *buf, struct fm_err *err);

/** For "%llu record%s": the s of more than one. */
static inline const char *fm_plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

#endif
