/* BigInteger and BigDecimal as decimal text. */
#include <stdlib.h>
#include <string.h>

#include "jmx/rmi/convert_priv.h"

enum { CHUNK = 1000000000 }; /* nine digits at a time */

/* Divide by CHUNK in place, most significant word first. @return the rest */
static uint32_t divide(uint32_t *words, size_t n)
{
    uint64_t rest = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t v = rest << 32 | words[i];
        words[i] = (uint32_t)(v / CHUNK);
        rest = v % CHUNK;
    }
    return (uint32_t)rest;
}

static size_t load_words(uint32_t *words, const unsigned char *bytes, size_t len)
{
    size_t n = (len + 3) / 4;
    memset(words, 0, n * sizeof *words);
    for (size_t i = 0; i < len; i++) {
        size_t from_end = len - 1 - i;
        words[n - 1 - from_end / 4] |= (uint32_t)bytes[i] << (8 * (from_end % 4));
    }
    return n;
}

/* Quadratic, which is why the length is bounded by the caller. */
static enum fm_code put_magnitude(struct fm_buf *out, const unsigned char *bytes, size_t len)
{
    size_t cap = (len + 3) / 4;
    uint32_t *words = calloc(cap * 2 + 2, 2 * sizeof *words);
    if (words == NULL)
        return FM_ENOMEM;
    uint32_t *chunks = words + cap + 1;
    size_t n = load_words(words, bytes, len);
    size_t n_chunks = 0;
    size_t first = 0;
    while (first < n) {
        if (words[first] == 0) {
            first++;
            continue;
        }
        chunks[n_chunks++] = divide(words + first, n - first);
    }
    fm_buf_printf(out, "%u", n_chunks == 0 ? 0 : chunks[n_chunks - 1]);
    for (size_t i = n_chunks; i > 1; i--)
        fm_buf_printf(out, "%09u", chunks[i - 2]);
    free(words);
    return FM_OK;
}

enum fm_code fm_big_integer(struct fm_buf *out, const struct fm_ser_node *node)
{
    const struct fm_ser_value *signum = fm_ser_field(node, "signum");
    const struct fm_ser_node *bytes = fm_ser_child(node, "magnitude");
    if (!fm_ser_is_a(node, "java.math.BigInteger") || signum == NULL || signum->type != 'I' ||
        bytes == NULL || bytes->kind != FM_SER_ARRAY || bytes->array.type != 'B')
        return FM_EPROTO;
    const unsigned char *raw = bytes->array.raw;
    size_t len = bytes->array.n;
    for (; len > 0 && *raw == 0; len--)
        raw++;
    if (len > FM_CONVERT_MAX_BIG)
        return FM_ELIMIT;
    if (signum->i == 0 || len == 0) {
        fm_buf_putc(out, '0');
        return FM_OK;
    }
    if (signum->i < 0)
        fm_buf_putc(out, '-');
    return put_magnitude(out, raw, len);
}

/* Java's rule: plain while the point lies inside or at most six zeros are to be put in front. */
static void put_scaled(struct fm_buf *out, const char *digits, size_t n, int64_t scale)
{
    int64_t exponent = (int64_t)n - 1 - scale;
    if (scale >= 0 && exponent >= -6) {
        int64_t whole = (int64_t)n - scale;
        if (whole <= 0) {
            fm_buf_puts(out, "0.");
            for (; whole < 0; whole++)
                fm_buf_putc(out, '0');
            fm_buf_put(out, digits, n);
            return;
        }
        fm_buf_put(out, digits, (size_t)whole);
        if (scale > 0) {
            fm_buf_putc(out, '.');
            fm_buf_put(out, digits + whole, n - (size_t)whole);
        }
        return;
    }
    fm_buf_putc(out, digits[0]);
    if (n > 1) {
        fm_buf_putc(out, '.');
        fm_buf_put(out, digits + 1, n - 1);
    }
    if (exponent != 0)
        fm_buf_printf(out, "E%+lld", (long long)exponent);
}

enum fm_code fm_big_decimal(struct fm_buf *out, const struct fm_ser_node *node)
{
    const struct fm_ser_value *scale = fm_ser_field(node, "scale");
    struct fm_buf unscaled;
    if (scale == NULL || scale->type != 'I')
        return FM_EPROTO;
    fm_buf_init(&unscaled, 0);
    enum fm_code code = fm_big_integer(&unscaled, fm_ser_child(node, "intVal"));
    if (code == FM_OK && unscaled.failed)
        code = FM_ENOMEM;
    if (code == FM_OK) {
        const char *digits = fm_buf_str(&unscaled);
        size_t n = unscaled.len;
        if (*digits == '-') {
            fm_buf_putc(out, '-');
            digits++;
            n--;
        }
        if (scale->i == 0)
            fm_buf_put(out, digits, n);
        else
            put_scaled(out, digits, n, scale->i);
    }
    fm_buf_clear(&unscaled);
    return code;
}
