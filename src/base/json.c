#include "base/json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/utf8.h"

static void put_escape(struct fm_buf *buf, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char text[] = "\\u0000";
    switch (c) {
    case '"':
        fm_buf_put(buf, "\\\"", 2);
        return;
    case '\\':
        fm_buf_put(buf, "\\\\", 2);
        return;
    case '\n':
        fm_buf_put(buf, "\\n", 2);
        return;
    case '\r':
        fm_buf_put(buf, "\\r", 2);
        return;
    case '\t':
        fm_buf_put(buf, "\\t", 2);
        return;
    default:
        text[4] = hex[c >> 4];
        text[5] = hex[c & 15];
        fm_buf_put(buf, text, 6);
    }
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

void fm_json_str(struct fm_buf *buf, const char *text, size_t len)
{
    fm_buf_putc(buf, '"');
    for (size_t at = 0; at < len;) {
        size_t run = at;
        while (run < len && is_plain((unsigned char)text[run]))
            run++;
        fm_buf_put(buf, text + at, run - at);
        at = run;
        if (at == len)
            break;
        size_t step = fm_utf8_step(text + at, len - at);
        if (step == 0) {
            fm_buf_put(buf, "\xef\xbf\xbd", 3); /* U+FFFD */
            at++;
        } else if (step == 1) {
            put_escape(buf, (unsigned char)text[at++]);
        } else {
            bool separator = step == 3 && memcmp(text + at, "\xe2\x80", 2) == 0 &&
                             (text[at + 2] == '\xa8' || text[at + 2] == '\xa9');
            if (separator)
                fm_buf_puts(buf, text[at + 2] == '\xa8' ? "\\u2028" : "\\u2029");
            else
                fm_buf_put(buf, text + at, step);
            at += step;
        }
    }
    fm_buf_putc(buf, '"');
}

void fm_json_cstr(struct fm_buf *buf, const char *text)
{
    if (text == NULL)
        fm_buf_put(buf, "null", 4);
    else
        fm_json_str(buf, text, strlen(text));
}

void fm_json_key(struct fm_buf *buf, const char *name)
{
    fm_json_cstr(buf, name);
    fm_buf_putc(buf, ':');
}

void fm_json_bool(struct fm_buf *buf, bool v)
{
    fm_buf_puts(buf, v ? "true" : "false");
}

static void put_nonfinite(struct fm_buf *buf, double v, enum fm_json_nonfinite nonfinite)
{
    if (nonfinite == FM_JSON_NONFINITE_NULL)
        fm_buf_puts(buf, "null");
    else
        fm_buf_puts(buf, isnan(v) ? "\"NaN\"" : v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
}

/* A field keeps its JSON type for ever: 3 would be an integer to many readers. */
static void put_real(struct fm_buf *buf, const char *text)
{
    fm_buf_puts(buf, text);
    if (strpbrk(text, ".e") == NULL)
        fm_buf_put(buf, ".0", 2);
}

void fm_json_double(struct fm_buf *buf, double v, enum fm_json_nonfinite nonfinite)
{
    char text[40];
    if (!isfinite(v)) {
        put_nonfinite(buf, v, nonfinite);
        return;
    }
    /* 15 digits always survive a normal double; a subnormal one may need fewer. */
    for (int digits = fabs(v) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    put_real(buf, text);
}

void fm_json_float(struct fm_buf *buf, float v, enum fm_json_nonfinite nonfinite)
{
    char text[32];
    if (!isfinite(v)) {
        put_nonfinite(buf, (double)v, nonfinite);
        return;
    }
    for (int digits = fabsf(v) < FLT_MIN ? 1 : 6; digits <= 9; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, (double)v);
        if (strtof(text, NULL) == v)
            break;
    }
    put_real(buf, text);
}

void fm_json_base64(struct fm_buf *buf, const void *data, size_t len)
{
    fm_buf_putc(buf, '"');
    fm_base64_put(buf, data, len);
    fm_buf_putc(buf, '"');
}
