#include "base/buf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 256 };

void fm_buf_init(struct fm_buf *buf, size_t max)
{
    *buf = (struct fm_buf){.max = max};
}

void fm_buf_clear(struct fm_buf *buf)
{
    free(buf->data);
    fm_buf_init(buf, buf->max);
}

void fm_buf_reset(struct fm_buf *buf)
{
    buf->len = 0;
    buf->failed = false;
    buf->over_limit = false;
}

/* One byte beyond len is always allocated, for the terminator of fm_buf_str(). */
bool fm_buf_reserve(struct fm_buf *buf, size_t n)
{
    if (buf->failed)
        return false;
    if ((buf->max != 0 && n > buf->max - buf->len) || n > SIZE_MAX / 4 || buf->len > SIZE_MAX / 4) {
        buf->failed = true;
        buf->over_limit = true;
        return false;
    }
    size_t need = buf->len + n + 1;
    if (need <= buf->cap)
        return true;
    size_t cap = buf->cap == 0 ? FIRST_CAP : buf->cap;
    while (cap < need)
        cap *= 2;
    char *data = realloc(buf->data, cap);
    if (data == NULL) {
        buf->failed = true;
        return false;
    }
    buf->data = data;
    buf->cap = cap;
    return true;
}

void fm_buf_fit(struct fm_buf *buf)
{
    char *fit = buf->cap > buf->len + 1 ? realloc(buf->data, buf->len + 1) : NULL;
    if (fit == NULL)
        return;
    buf->data = fit;
    buf->cap = buf->len + 1;
}

void fm_buf_put(struct fm_buf *buf, const void *data, size_t len)
{
    if (len == 0 || !fm_buf_reserve(buf, len))
        return;
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
}

void fm_buf_putc(struct fm_buf *buf, char c)
{
    if (!fm_buf_reserve(buf, 1))
        return;
    buf->data[buf->len++] = c;
}

void fm_buf_puts(struct fm_buf *buf, const char *text)
{
    fm_buf_put(buf, text, strlen(text));
}

void fm_buf_vprintf(struct fm_buf *buf, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (len < 0) {
        buf->failed = true;
        return;
    }
    if (!fm_buf_reserve(buf, (size_t)len))
        return;
    (void)vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, args);
    buf->len += (size_t)len;
}

void fm_buf_printf(struct fm_buf *buf, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fm_buf_vprintf(buf, fmt, args);
    va_end(args);
}

void fm_buf_be16(struct fm_buf *buf, uint16_t v)
{
    const unsigned char b[] = {(unsigned char)(v >> 8), (unsigned char)v};
    fm_buf_put(buf, b, sizeof b);
}

void fm_buf_be32(struct fm_buf *buf, uint32_t v)
{
    fm_buf_be16(buf, (uint16_t)(v >> 16));
    fm_buf_be16(buf, (uint16_t)v);
}

void fm_buf_be64(struct fm_buf *buf, uint64_t v)
{
    fm_buf_be32(buf, (uint32_t)(v >> 32));
    fm_buf_be32(buf, (uint32_t)v);
}

void fm_buf_u64(struct fm_buf *buf, uint64_t v)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    fm_buf_put(buf, digits + at, sizeof digits - at);
}

void fm_buf_i64(struct fm_buf *buf, int64_t v)
{
    if (v < 0)
        fm_buf_putc(buf, '-');
    fm_buf_u64(buf, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void fm_buf_consume(struct fm_buf *buf, size_t n)
{
    if (n >= buf->len) {
        buf->len = 0;
        return;
    }
    memmove(buf->data, buf->data + n, buf->len - n);
    buf->len -= n;
}

void fm_buf_truncate(struct fm_buf *buf, size_t len)
{
    if (len < buf->len)
        buf->len = len;
}

const char *fm_buf_str(struct fm_buf *buf)
{
    if (buf->failed || !fm_buf_reserve(buf, 0))
        return "";
    buf->data[buf->len] = '\0';
    return buf->data;
}

char *fm_buf_take(struct fm_buf *buf)
{
    if (buf->failed || !fm_buf_reserve(buf, 0))
        return NULL;
    buf->data[buf->len] = '\0';
    char *data = buf->data;
    fm_buf_init(buf, buf->max);
    return data;
}

enum fm_code fm_buf_code(const struct fm_buf *buf, struct fm_err *err)
{
    if (!buf->failed)
        return FM_OK;
    if (buf->over_limit)
        return fm_err_set(err, FM_ELIMIT, "more than %zu bytes", buf->max);
    return fm_err_nomem(err);
}
