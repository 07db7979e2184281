#include "base/jscan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

/* What may come next; "value" states also allow white space, of course. */
enum expect {
    EXPECT_TOP, /* a value or the end of the text */
    EXPECT_VALUE, /* a value */
    EXPECT_FIRST_KEY, /* a member name or } */
    EXPECT_KEY, /* a member name */
    EXPECT_FIRST_VALUE, /* a value or ] */
    EXPECT_COMMA, /* a comma or the end of the open object or array */
    EXPECT_NOTHING /* after an error */
};

void fm_jscan_init(struct fm_jscan *s, const char *data, size_t len)
{
    *s = (struct fm_jscan){.data = data, .len = len, .expect = EXPECT_TOP};
}

static enum fm_jtoken fail(struct fm_jscan *s)
{
    s->cut = s->at >= s->len;
    s->expect = EXPECT_NOTHING;
    return FM_J_ERROR;
}

static void skip_space(struct fm_jscan *s)
{
    while (s->at < s->len && (s->data[s->at] == ' ' || s->data[s->at] == '\n' ||
                              s->data[s->at] == '\t' || s->data[s->at] == '\r'))
        s->at++;
}

static void after_value(struct fm_jscan *s)
{
    s->expect = s->depth == 0 ? EXPECT_TOP : EXPECT_COMMA;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Step over an escape; at stands on the character behind the backslash. */
static bool scan_escape(struct fm_jscan *s)
{
    if (s->at >= s->len)
        return false;
    char c = s->data[s->at++];
    if (c != 'u')
        return c != '\0' && strchr("\"\\/bfnrt", c) != NULL;
    for (int i = 0; i < 4; i++, s->at++)
        if (s->at >= s->len || !is_hex(s->data[s->at]))
            return false;
    return true;
}

/* The first byte from at on that ends or changes a string: quote, backslash, control; or len. */
static size_t plain_until(const char *data, size_t at, size_t len)
{
    /* Eight bytes at once: a bit trick finds whether one of them is below 0x20, or equals. */
    const uint64_t ones = 0x0101010101010101U, high = 0x8080808080808080U;
    uint64_t word;
    for (; len - at >= sizeof word; at += sizeof word) {
        memcpy(&word, data + at, sizeof word);
        uint64_t quote = word ^ ones * '"', slash = word ^ ones * '\\';
        uint64_t hit =
            ((word - ones * 0x20) & ~word) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash);
        if ((hit & high) != 0)
            break;
    }
    while (at < len && (unsigned char)data[at] >= 0x20 && data[at] != '"' && data[at] != '\\')
        at++;
    return at;
}

/* at stands behind the opening quote. */
static bool scan_string(struct fm_jscan *s)
{
    size_t start = s->at;
    s->at = plain_until(s->data, s->at, s->len);
    while (s->at < s->len) {
        unsigned char c = (unsigned char)s->data[s->at];
        if (c == '"') {
            s->text = s->data + start;
            s->text_len = s->at - start;
            s->at++;
            return true;
        }
        if (c < 0x20)
            return false;
        s->at++;
        if (c == '\\' && !scan_escape(s))
            return false;
    }
    return false;
}

static size_t scan_digits(struct fm_jscan *s)
{
    size_t n = 0;
    while (s->at < s->len && s->data[s->at] >= '0' && s->data[s->at] <= '9') {
        s->at++;
        n++;
    }
    return n;
}

static bool next_is(const struct fm_jscan *s, const char *set)
{
    if (s->at >= s->len)
        return false;
    while (*set != '\0' && *set != s->data[s->at])
        set++;
    return *set != '\0';
}

static bool scan_number(struct fm_jscan *s)
{
    size_t start = s->at;
    if (next_is(s, "-"))
        s->at++;
    bool zero = next_is(s, "0");
    size_t whole = scan_digits(s);
    if (whole == 0 || (zero && whole > 1))
        return false;
    if (next_is(s, ".")) {
        s->at++;
        if (scan_digits(s) == 0)
            return false;
    }
    if (next_is(s, "eE")) {
        s->at++;
        if (next_is(s, "+-"))
            s->at++;
        if (scan_digits(s) == 0)
            return false;
    }
    s->text = s->data + start;
    s->text_len = s->at - start;
    return true;
}

static enum fm_jtoken scan_word(struct fm_jscan *s, const char *word, enum fm_jtoken token)
{
    for (; *word != '\0'; word++, s->at++)
        if (s->at >= s->len || s->data[s->at] != *word)
            return fail(s);
    after_value(s);
    return token;
}

static enum fm_jtoken open_level(struct fm_jscan *s, char kind)
{
    if (s->depth == FM_JSCAN_DEPTH)
        return fail(s);
    s->at++;
    s->kinds[s->depth++] = (unsigned char)kind;
    s->expect = kind == '{' ? EXPECT_FIRST_KEY : EXPECT_FIRST_VALUE;
    return kind == '{' ? FM_J_OBJECT : FM_J_ARRAY;
}

static enum fm_jtoken close_level(struct fm_jscan *s)
{
    char kind = (char)s->kinds[s->depth - 1];
    if (s->data[s->at] != (kind == '{' ? '}' : ']'))
        return fail(s);
    s->at++;
    s->depth--;
    after_value(s);
    return kind == '{' ? FM_J_OBJECT_END : FM_J_ARRAY_END;
}

static enum fm_jtoken scan_value(struct fm_jscan *s)
{
    char c = s->data[s->at];
    switch (c) {
    case '{':
    case '[':
        return open_level(s, c);
    case '"':
        s->at++;
        if (!scan_string(s))
            return fail(s);
        after_value(s);
        return FM_J_STRING;
    case 't':
        return scan_word(s, "true", FM_J_TRUE);
    case 'f':
        return scan_word(s, "false", FM_J_FALSE);
    case 'n':
        return scan_word(s, "null", FM_J_NULL);
    default:
        if (!scan_number(s))
            return fail(s);
        after_value(s);
        return FM_J_NUMBER;
    }
}

static enum fm_jtoken scan_key(struct fm_jscan *s)
{
    if (s->data[s->at] != '"')
        return fail(s);
    s->at++;
    if (!scan_string(s))
        return fail(s);
    skip_space(s);
    if (!next_is(s, ":"))
        return fail(s);
    s->at++;
    s->expect = EXPECT_VALUE;
    return FM_J_KEY;
}

enum fm_jtoken fm_jscan_next(struct fm_jscan *s)
{
    if (s->expect == EXPECT_NOTHING)
        return FM_J_ERROR;
    skip_space(s);
    if (s->at >= s->len)
        return s->expect == EXPECT_TOP ? FM_J_END : fail(s);
    if (s->expect == EXPECT_COMMA) {
        if (s->data[s->at] != ',')
            return close_level(s);
        s->at++;
        s->expect = s->kinds[s->depth - 1] == '{' ? EXPECT_KEY : EXPECT_VALUE;
        skip_space(s);
        if (s->at >= s->len)
            return fail(s);
    }
    switch (s->expect) {
    case EXPECT_FIRST_KEY:
        return s->data[s->at] == '}' ? close_level(s) : scan_key(s);
    case EXPECT_KEY:
        return scan_key(s);
    case EXPECT_FIRST_VALUE:
        return s->data[s->at] == ']' ? close_level(s) : scan_value(s);
    default:
        return scan_value(s);
    }
}

bool fm_jscan_skip(struct fm_jscan *s, enum fm_jtoken token)
{
    if (token == FM_J_ERROR || token == FM_J_END)
        return false;
    if (token != FM_J_OBJECT && token != FM_J_ARRAY)
        return true;
    unsigned level = s->depth - 1;
    while (s->depth > level)
        if (fm_jscan_next(s) == FM_J_ERROR)
            return false;
    return true;
}

static unsigned hex4(const char *p)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        v = v << 4 | (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return v;
}

/* One character of a scanned string at p; bytes of it written to out, *used bytes consumed. */
static size_t unescape(const char *p, size_t left, char out[4], size_t *used)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (*p != '\\') {
        *used = 1;
        out[0] = *p;
        return 1;
    }
    if (p[1] != 'u') {
        *used = 2;
        out[0] = to[strchr(from, p[1]) - from];
        return 1;
    }
    uint32_t cp = hex4(p + 2);
    *used = 6;
    if (cp >= 0xd800 && cp <= 0xdbff && left >= 12 && p[6] == '\\' && p[7] == 'u') {
        uint32_t low = hex4(p + 8);
        if (low >= 0xdc00 && low <= 0xdfff) {
            cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
            *used = 12;
        }
    }
    return fm_utf8_put(out, cp);
}

bool fm_jscan_is(const struct fm_jscan *s, const char *text)
{
    size_t at = 0;
    while (at < s->text_len) {
        char c[4];
        size_t used;
        size_t n = unescape(s->text + at, s->text_len - at, c, &used);
        if (strncmp(text, c, n) != 0)
            return false;
        text += n;
        at += used;
    }
    return *text == '\0';
}

void fm_jscan_string(const struct fm_jscan *s, struct fm_buf *out)
{
    for (size_t at = 0; at < s->text_len;) {
        char c[4];
        size_t used;
        size_t n = unescape(s->text + at, s->text_len - at, c, &used);
        fm_buf_put(out, c, n);
        at += used;
    }
}

bool fm_jscan_i64(const struct fm_jscan *s, int64_t *out)
{
    char text[24];
    if (s->text_len >= sizeof text || s->text_len == 0)
        return false;
    memcpy(text, s->text, s->text_len);
    text[s->text_len] = '\0';
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (*end != '\0' || errno != 0)
        return false;
    *out = v;
    return true;
}

double fm_jscan_double(const struct fm_jscan *s)
{
    char text[128];
    size_t n = s->text_len < sizeof text ? s->text_len : sizeof text - 1;
    memcpy(text, s->text, n);
    text[n] = '\0';
    return strtod(text, NULL);
}
