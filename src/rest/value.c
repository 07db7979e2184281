/* Whether a JSON text reaches Kafka as what it says. Reference rest-proxy.md 1.1 and 4.1. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/jlike.h"
#include "base/jscan.h"
#include "base/utf8.h"
#include "rest/rest_priv.h"

enum { DOUBLE_DIGITS = 17 };

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : 0;
}

/* An escape \uXXXX of half a character. The scanner has checked the spelling. */
static bool has_lone_surrogate(const char *text, size_t len)
{
    bool high = false;
    if (memmem(text, len, "\\u", 2) == NULL)
        return false;
    for (size_t i = 0; i < len; i++) {
        int unit = 0;
        if (text[i] == '\\' && i + 5 < len && text[i + 1] == 'u')
            unit = hex(text[i + 2]) << 12 | hex(text[i + 3]) << 8 | hex(text[i + 4]) << 4 |
                   hex(text[i + 5]);
        bool low = unit >= 0xdc00 && unit <= 0xdfff;
        if (low != high)
            return true;
        high = unit >= 0xd800 && unit <= 0xdbff;
        if (text[i] == '\\')
            i += i + 1 < len && text[i + 1] == 'u' ? 5 : 1;
    }
    return high;
}

static enum fm_code check_number(enum fm_rest_dialect dialect, const struct fm_jscan *s,
                                 struct fm_err *err)
{
    /* with at most two digits of exponent: far from what a double can hold */
    enum { SURE_BYTES = 32 };
    int shown = s->text_len < 40 ? (int)s->text_len : 40;
    bool whole = true;
    size_t digits = 0, zeros = 0, i = 0;
    for (; i < s->text_len; i++) {
        char c = s->text[i];
        whole = whole && c != '.' && c != 'e' && c != 'E';
        if (c == 'e' || c == 'E')
            break;
        if (c == '0' && digits > 0)
            zeros++; /* they count only before another digit */
        if (c >= '1' && c <= '9') {
            digits += zeros + 1;
            zeros = 0;
        }
    }
    int64_t exact;
    if (whole && (dialect != FM_DIALECT_KARAPACE || fm_jscan_i64(s, &exact)))
        return FM_OK;
    bool small = s->text_len <= SURE_BYTES && s->text_len - i <= 3;
    if (whole || (!small && !isfinite(fm_jscan_double(s))))
        return fm_err_set(err, FM_EUSAGE, "the proxy cannot keep the number %.*s: send a string",
                          shown, s->text);
    if (digits > DOUBLE_DIGITS)
        return fm_err_set(err, FM_EUSAGE,
                          "the proxy would round the number %.*s to a double: send a string", shown,
                          s->text);
    return FM_OK;
}

/* What stands at the top may be changed by proxies that take it for absent. */
static enum fm_code check_top(enum fm_rest_dialect dialect, const struct fm_jscan *s,
                              enum fm_jtoken token, struct fm_err *err)
{
    bool scalar = token == FM_J_NUMBER || token == FM_J_TRUE || token == FM_J_FALSE;
    bool falsy = token == FM_J_FALSE || token == FM_J_NULL ||
                 (token == FM_J_STRING && s->text_len == 0) ||
                 (token == FM_J_NUMBER && fm_jscan_double(s) == 0);
    if (token == FM_J_OBJECT || token == FM_J_ARRAY) {
        struct fm_jscan copy = *s;
        enum fm_jtoken next = fm_jscan_next(&copy);
        falsy = next == FM_J_OBJECT_END || next == FM_J_ARRAY_END;
    }
    if (dialect == FM_DIALECT_KARAPACE && falsy)
        return fm_err_set(err, FM_EUSAGE,
                          "Karapace would store this value as empty bytes: use --format text");
    if (dialect == FM_DIALECT_STRIMZI && scalar)
        return fm_err_set(err, FM_EUSAGE,
                          "the Strimzi bridge takes no number or boolean as a value: use --format "
                          "text");
    if ((dialect == FM_DIALECT_STRIMZI || dialect == FM_DIALECT_REDPANDA) && token == FM_J_NULL)
        return fm_err_set(err, FM_EUSAGE, "the proxy would store null as the text \"null\"");
    return FM_OK;
}

/* ---- names that come twice in an object ---- */

struct name {
    uint64_t object, hash; /* of the name without its escapes */
    const char *text;
    size_t len;
};

struct names {
    struct name *list;
    size_t n, cap;
    uint64_t objects; /* opened so far */
    uint64_t open[FM_JSCAN_DEPTH + 1]; /* the one of each level */
};

static bool note_name(struct names *names, const struct fm_jscan *s)
{
    if (names->n == names->cap) {
        size_t cap = names->cap > 0 ? names->cap * 2 : 64;
        struct name *more = realloc(names->list, cap * sizeof *more);
        if (more == NULL)
            return false;
        names->list = more;
        names->cap = cap;
    }
    struct name *name = &names->list[names->n++];
    *name = (struct name){.object = names->open[s->depth], .text = s->text, .len = s->text_len};
    if (memchr(s->text, '\\', s->text_len) == NULL) {
        name->hash = fm_hash_wide(FM_HASH_START, s->text, s->text_len);
        return true;
    }
    struct fm_buf bare;
    fm_buf_init(&bare, 0);
    fm_jscan_string(s, &bare);
    name->hash = fm_hash_wide(FM_HASH_START, bare.data, bare.len);
    bool good = !bare.failed;
    fm_buf_clear(&bare);
    return good;
}

static int by_object_and_hash(const void *left, const void *right)
{
    const struct name *a = left, *b = right;
    if (a->object != b->object)
        return a->object < b->object ? -1 : 1;
    return a->hash == b->hash ? 0 : a->hash < b->hash ? -1 : 1;
}

/* A receiver would keep the last of them, silently. That two names have one hash of 64 bits by
 * chance is not to be expected. */
static enum fm_code check_names(struct names *names, struct fm_err *err)
{
    if (names->n > 1)
        qsort(names->list, names->n, sizeof *names->list, by_object_and_hash);
    for (size_t i = 1; i < names->n; i++) {
        const struct name *name = &names->list[i];
        if (by_object_and_hash(name - 1, name) == 0)
            return fm_err_set(err, FM_EUSAGE,
                              "the name \"%.*s\" comes twice in one object: the proxy would keep "
                              "the last and drop the other",
                              name->len < 60 ? (int)name->len : 60, name->text);
    }
    return FM_OK;
}

static bool is_fit(void *dialect, const char *text, size_t len)
{
    const struct fm_jscan s = {.text = text, .text_len = len};
    return check_number(*(const enum fm_rest_dialect *)dialect, &s, NULL) == FM_OK;
}

enum fm_code fm_rest_check_json(enum fm_rest_dialect dialect, struct fm_jlike *seen,
                                const char *text, size_t len, struct fm_err *err)
{
    if (fm_jlike_is_plain(seen, text, len, is_fit, &dialect))
        return FM_OK;
    return fm_rest_judge_json(dialect, text, len, err);
}

static enum fm_code judge(enum fm_rest_dialect dialect, const char *text, size_t len,
                          struct names *names, struct fm_err *err)
{
    struct fm_jscan s;
    size_t values = 0;
    if (!fm_utf8_valid(text, len))
        return fm_err_set(err, FM_EUSAGE,
                          "this is not UTF-8: use --format text to send its exact bytes");
    fm_jscan_init(&s, text, len);
    for (;;) {
        bool top = s.depth == 0;
        enum fm_jtoken token = fm_jscan_next(&s);
        if (token == FM_J_END)
            break;
        if (token == FM_J_ERROR)
            return fm_err_set(err, FM_EUSAGE, "no valid JSON at column %zu%s", s.at + 1,
                              s.cut                           ? ": it ends too early"
                              : s.depth >= FM_JSCAN_DEPTH - 1 ? ": nested too deeply"
                                                              : "");
        if (top && values++ > 0)
            return fm_err_set(err, FM_EUSAGE, "more than one JSON value");
        if (top)
            FM_TRY(check_top(dialect, &s, token, err));
        if (token == FM_J_OBJECT)
            names->open[s.depth] = ++names->objects;
        if (token == FM_J_KEY && !note_name(names, &s))
            return fm_err_nomem(err);
        if (token == FM_J_NUMBER)
            FM_TRY(check_number(dialect, &s, err));
        if ((token == FM_J_STRING || token == FM_J_KEY) && has_lone_surrogate(s.text, s.text_len))
            return fm_err_set(err, FM_EUSAGE, "a string holds half a character (a lone surrogate)");
    }
    if (values == 0)
        return fm_err_set(err, FM_EUSAGE, "the line is empty");
    return check_names(names, err);
}

enum fm_code fm_rest_judge_json(enum fm_rest_dialect dialect, const char *text, size_t len,
                                struct fm_err *err)
{
    struct names names = {.list = NULL};
    enum fm_code code = judge(dialect, text, len, &names, err);
    free(names.list);
    return code;
}
