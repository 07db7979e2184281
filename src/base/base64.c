#include "base/base64.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void fm_base64_put(struct fm_buf *out, const void *data, size_t len)
{
    const unsigned char *p = data;
    for (; len >= 3; p += 3, len -= 3) {
        const char four[] = {alphabet[p[0] >> 2], alphabet[(p[0] & 3) << 4 | p[1] >> 4],
                             alphabet[(p[1] & 15) << 2 | p[2] >> 6], alphabet[p[2] & 63]};
        fm_buf_put(out, four, sizeof four);
    }
    if (len == 1) {
        const char four[] = {alphabet[p[0] >> 2], alphabet[(p[0] & 3) << 4], '=', '='};
        fm_buf_put(out, four, sizeof four);
    } else if (len == 2) {
        const char four[] = {alphabet[p[0] >> 2], alphabet[(p[0] & 3) << 4 | p[1] >> 4],
                             alphabet[(p[1] & 15) << 2], '='};
        fm_buf_put(out, four, sizeof four);
    }
}

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool fm_base64_get(struct fm_buf *out, const char *text, size_t len)
{
    if (len % 4 != 0)
        return false;
    for (size_t i = 0; i < len; i += 4) {
        bool last = i + 4 == len;
        size_t pad = last && text[i + 3] == '=' ? (text[i + 2] == '=' ? 2u : 1u) : 0u;
        unsigned bits = 0;
        for (size_t k = 0; k < 4; k++) {
            int d = k >= 4 - pad ? 0 : digit(text[i + k]);
            if (d < 0)
                return false;
            bits = bits << 6 | (unsigned)d;
        }
        if ((pad == 1 && (bits & 0xff) != 0) || (pad == 2 && (bits & 0xffff) != 0))
            return false;
        const unsigned char three[] = {(unsigned char)(bits >> 16), (unsigned char)(bits >> 8),
                                       (unsigned char)bits};
        fm_buf_put(out, three, 3 - pad);
    }
    return !out->failed;
}
