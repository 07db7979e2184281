#include <string.h>

#include "base/utf8.h"
#include "jmx/rmi/ser_priv.h"

static size_t put(char *out, size_t at, uint32_t cp)
{
    char scratch[4];
    return at + fm_utf8_put(out == NULL ? scratch : out + at, cp);
}

static bool is_tail(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

/* One UTF-16 unit at in; its length in bytes, 0 if the bytes are not legal. */
static size_t take_unit(const unsigned char *in, size_t len, uint32_t *unit)
{
    if (in[0] < 0x80) {
        *unit = in[0];
        return 1;
    }
    if ((in[0] & 0xe0) == 0xc0 && len >= 2 && is_tail(in[1])) {
        *unit = (uint32_t)(in[0] & 0x1f) << 6 | (in[1] & 0x3f);
        return 2;
    }
    if ((in[0] & 0xf0) == 0xe0 && len >= 3 && is_tail(in[1]) && is_tail(in[2])) {
        *unit = (uint32_t)(in[0] & 0x0f) << 12 | (uint32_t)(in[1] & 0x3f) << 6 | (in[2] & 0x3f);
        return 3;
    }
    return 0;
}

void fm_mutf8_unit(unsigned char out[3], int64_t unit)
{
    out[0] = (unsigned char)(0xe0 | (unit >> 12 & 15));
    out[1] = (unsigned char)(0x80 | (unit >> 6 & 63));
    out[2] = (unsigned char)(0x80 | (unit & 63));
}

size_t fm_mutf8_ascii(const unsigned char *in, size_t len)
{
    size_t i = 0;
    for (uint64_t word; len - i >= sizeof word; i += sizeof word) {
        memcpy(&word, in + i, sizeof word);
        if ((word & 0x8080808080808080U) != 0)
            break;
    }
    while (i < len && in[i] < 0x80)
        i++;
    return i;
}

size_t fm_mutf8_decode(const unsigned char *in, size_t len, char *out)
{
    size_t at = 0;
    for (size_t i = 0; i < len;) {
        uint32_t unit = 0;
        uint32_t low = 0;
        size_t n = take_unit(in + i, len - i, &unit);
        if (n == 0) {
            at = put(out, at, 0xfffd);
            i++;
            continue;
        }
        i += n;
        if (unit >= 0xd800 && unit < 0xdc00 && i < len) {
            n = take_unit(in + i, len - i, &low);
            if (n == 3 && low >= 0xdc00 && low < 0xe000) {
                unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                i += n;
            }
        }
        at = put(out, at, unit); /* a surrogate that stayed alone becomes U+FFFD there */
    }
    return at;
}
