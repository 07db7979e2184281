#include <string.h>

#include "base/base64.h"
#include "base/utf8.h"
#include "jmx/local/local_priv.h"

enum { ADDRESS_MAX = 8192 };

bool fm_attach_answer(const char *data, size_t len, int *code, const char **text, size_t *text_len)
{
    size_t at = 0;
    bool negative = len > 0 && data[0] == '-';
    at += negative;
    int value = 0;
    size_t digits = 0;
    for (; at < len && data[at] >= '0' && data[at] <= '9' && digits < 9; at++, digits++)
        value = value * 10 + (data[at] - '0');
    if (digits == 0 || at >= len || data[at] != '\n')
        return false;
    *code = negative ? -value : value;
    *text = data + at + 1;
    *text_len = len - at - 1;
    return true;
}

/* ---- java.util.Properties ---- */

struct props {
    const char *data;
    size_t len, at;
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void put_code_point(struct fm_buf *out, uint32_t cp)
{
    char bytes[4];
    fm_buf_put(out, bytes, fm_utf8_put(bytes, cp));
}

/* Behind "\u": four hex digits, and the second half of a surrogate pair. */
static uint32_t unicode_escape(struct props *p)
{
    uint32_t cp = 0;
    for (unsigned i = 0; i < 4; i++) {
        int digit = p->at < p->len ? hex_digit(p->data[p->at]) : -1;
        if (digit < 0)
            return 0xFFFD;
        cp = cp * 16 + (uint32_t)digit;
        p->at++;
    }
    return cp;
}

static void put_escape(struct props *p, struct fm_buf *out)
{
    char c = p->data[p->at++];
    if (c == 'n' || c == 't' || c == 'r' || c == 'f') {
        fm_buf_putc(out, c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : '\f');
    } else if (c == '\n' || c == '\r') { /* the line goes on */
        if (c == '\r' && p->at < p->len && p->data[p->at] == '\n')
            p->at++;
        while (p->at < p->len && (p->data[p->at] == ' ' || p->data[p->at] == '\t'))
            p->at++;
    } else if (c != 'u') {
        put_code_point(out, (unsigned char)c);
    } else {
        uint32_t cp = unicode_escape(p);
        if (cp >= 0xD800 && cp < 0xDC00 && p->len - p->at >= 6 && p->data[p->at] == '\\' &&
            p->data[p->at + 1] == 'u') {
            struct props second = {p->data, p->len, p->at + 2};
            uint32_t low = unicode_escape(&second);
            if (low >= 0xDC00 && low < 0xE000) {
                p->at = second.at;
                cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
            }
        }
        put_code_point(out, cp);
    }
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\f';
}

/* One element up to a separator (key) or the end of the line (value), escapes undone. */
static void element(struct props *p, bool key, struct fm_buf *out)
{
    while (p->at < p->len) {
        char c = p->data[p->at];
        if (c == '\n' || c == '\r' || (key && (c == '=' || c == ':' || is_blank(c))))
            return;
        p->at++;
        if (c != '\\')
            put_code_point(out, (unsigned char)c);
        else if (p->at < p->len)
            put_escape(p, out);
    }
}

static void skip_blanks(struct props *p)
{
    while (p->at < p->len && is_blank(p->data[p->at]))
        p->at++;
}

static void skip_line(struct props *p)
{
    while (p->at < p->len && p->data[p->at] != '\n' && p->data[p->at] != '\r')
        p->at++;
}

bool fm_properties_get(const char *data, size_t len, const char *key, struct fm_buf *out)
{
    struct props p = {data, len, 0};
    struct fm_buf name, value;
    fm_buf_init(&name, ADDRESS_MAX);
    fm_buf_init(&value, 0);
    bool found = false;
    while (p.at < p.len) {
        skip_blanks(&p);
        if (p.at < p.len && (p.data[p.at] == '\n' || p.data[p.at] == '\r')) {
            p.at++;
            continue;
        }
        if (p.at < p.len && (p.data[p.at] == '#' || p.data[p.at] == '!')) {
            skip_line(&p);
            continue;
        }
        fm_buf_reset(&name);
        element(&p, true, &name);
        skip_blanks(&p);
        if (p.at < p.len && (p.data[p.at] == '=' || p.data[p.at] == ':')) {
            p.at++;
            skip_blanks(&p);
        }
        fm_buf_reset(&value);
        element(&p, false, &value);
        if (!name.failed && strcmp(fm_buf_str(&name), key) == 0) {
            found = true;
            fm_buf_reset(out);
            fm_buf_put(out, value.data, value.len);
        }
    }
    fm_buf_clear(&name);
    fm_buf_clear(&value);
    return found && !out->failed;
}

/* ---- the published address ---- */

/* 127.a.b.c with nothing else in it. */
static bool loopback_v4(const char *host, size_t len)
{
    if (len < 9 || len > 15 || strncmp(host, "127.", 4) != 0)
        return false;
    unsigned dots = 0, value = 0, digits = 0;
    for (size_t i = 0; i < len; i++) {
        if (host[i] == '.') {
            if (digits == 0)
                return false;
            dots++;
            value = digits = 0;
        } else if (host[i] >= '0' && host[i] <= '9' && digits < 3) {
            value = value * 10 + (unsigned)(host[i] - '0');
            digits++;
            if (value > 255)
                return false;
        } else {
            return false;
        }
    }
    return dots == 3 && digits > 0;
}

static bool loopback(const char *host, size_t len)
{
    return len == 0 || (len == 9 && memcmp(host, "localhost", 9) == 0) ||
           (len == 5 && memcmp(host, "[::1]", 5) == 0) || loopback_v4(host, len);
}

bool fm_local_address_ok(const char *address, size_t len)
{
    static const char scheme[] = "service:jmx:rmi://", stub[] = "/stub/";
    if (len > ADDRESS_MAX || len < sizeof scheme - 1 ||
        memcmp(address, scheme, sizeof scheme - 1) != 0)
        return false;
    const char *host = address + sizeof scheme - 1, *end = address + len;
    const char *slash = memchr(host, '/', (size_t)(end - host));
    if (slash == NULL || (size_t)(end - slash) <= sizeof stub - 1 ||
        memcmp(slash, stub, sizeof stub - 1) != 0)
        return false;
    const char *host_end = slash;
    for (const char *p = slash; p > host && p[-1] != ']';) {
        p--;
        if (*p == ':') { /* a port: digits only */
            for (const char *d = p + 1; d < slash; d++)
                if (*d < '0' || *d > '9')
                    return false;
            host_end = p;
            break;
        }
    }
    struct fm_buf bytes;
    fm_buf_init(&bytes, ADDRESS_MAX);
    const char *text = slash + sizeof stub - 1;
    bool good = loopback(host, (size_t)(host_end - host)) &&
                fm_base64_get(&bytes, text, (size_t)(end - text));
    fm_buf_clear(&bytes);
    return good;
}
