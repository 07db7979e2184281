#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/jscan.h"

/* The tokens of a text as letters, '!' for an error: { } [ ] k s # t f n . */
static const char *tokens(const char *text)
{
    static char out[512];
    static const char letters[] = ".!{}[]ks#tfn";
    struct fm_jscan s;
    fm_jscan_init(&s, text, strlen(text));
    size_t n = 0;
    for (;;) {
        enum fm_jtoken token = fm_jscan_next(&s);
        out[n++] = letters[token];
        if (token == FM_J_END || token == FM_J_ERROR || n + 1 == sizeof out)
            break;
    }
    out[n] = '\0';
    return out;
}

Test(jscan, reads_a_sequence_of_values)
{
    cr_assert_str_eq(tokens("{\"a\":[1,true,null]}\r\n{\"b\":{}} \"x\" false"), "{k[#tn]}{k{}}sf.");
}

Test(jscan, refuses_what_json_forbids)
{
    static const char *const bad[] = {
        "[1,]",   "{\"a\":1,}", "{\"a\" 1}", "[1 2]", "01", "1.",      "-",         "NaN",
        "\"\t\"", "{a:1}",      "[}",        "]",     "{]", "\"\\x\"", "\"\\u12\"", "nul",
        "[1",     "\"abc",      "+1",        ".5",    "1e", "{,}",     "[,1]",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect(strchr(tokens(bad[i]), '!') != NULL, "accepted %s", bad[i]);
}

Test(jscan, bounds_the_depth)
{
    char deep[2 * FM_JSCAN_DEPTH + 8];
    memset(deep, '[', sizeof deep);
    struct fm_jscan s;
    fm_jscan_init(&s, deep, sizeof deep);
    for (int i = 0; i < FM_JSCAN_DEPTH; i++)
        cr_assert_eq(fm_jscan_next(&s), FM_J_ARRAY);
    cr_assert_eq(fm_jscan_next(&s), FM_J_ERROR);
    cr_assert_eq(fm_jscan_next(&s), FM_J_ERROR);
}

Test(jscan, tells_a_cut_text_from_a_wrong_one)
{
    struct fm_jscan s;
    fm_jscan_init(&s, "{\"a\":", 5);
    while (fm_jscan_next(&s) != FM_J_ERROR)
        ;
    cr_assert(s.cut);
    fm_jscan_init(&s, "{\"a\":x}", 7);
    while (fm_jscan_next(&s) != FM_J_ERROR)
        ;
    cr_assert(!s.cut);
}

Test(jscan, unescapes_and_repairs_surrogates)
{
    const char *text = "\"a\\n\\u00e9\\ud83d\\ude00\\ud800x\\u0000\"";
    struct fm_jscan s;
    fm_jscan_init(&s, text, strlen(text));
    cr_assert_eq(fm_jscan_next(&s), FM_J_STRING);
    struct fm_buf out;
    fm_buf_init(&out, 0);
    fm_jscan_string(&s, &out);
    const char want[] = "a\n\xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbdx";
    cr_assert_eq(out.len, sizeof want);
    cr_assert_arr_eq(out.data, want, sizeof want);
    fm_buf_clear(&out);
}

Test(jscan, keeps_integers_exact_to_64_bits)
{
    struct fm_jscan s;
    int64_t v;
    const char *text = "9223372036854775807 -9223372036854775808 9223372036854775808 1e3";
    fm_jscan_init(&s, text, strlen(text));
    cr_assert_eq(fm_jscan_next(&s), FM_J_NUMBER);
    cr_assert(fm_jscan_i64(&s, &v) && v == INT64_MAX);
    cr_assert_eq(fm_jscan_next(&s), FM_J_NUMBER);
    cr_assert(fm_jscan_i64(&s, &v) && v == INT64_MIN);
    cr_assert_eq(fm_jscan_next(&s), FM_J_NUMBER);
    cr_assert(!fm_jscan_i64(&s, &v));
    cr_assert_eq(fm_jscan_next(&s), FM_J_NUMBER);
    cr_assert(!fm_jscan_i64(&s, &v));
}

Test(jscan, skips_whole_values)
{
    const char *text = "{\"a\":{\"b\":[1,{\"c\":2}]},\"d\":7}";
    struct fm_jscan s;
    fm_jscan_init(&s, text, strlen(text));
    cr_assert_eq(fm_jscan_next(&s), FM_J_OBJECT);
    cr_assert_eq(fm_jscan_next(&s), FM_J_KEY);
    cr_assert(fm_jscan_is(&s, "a"));
    cr_assert(fm_jscan_skip(&s, fm_jscan_next(&s)));
    cr_assert_eq(fm_jscan_next(&s), FM_J_KEY);
    cr_assert(fm_jscan_is(&s, "d") && !fm_jscan_is(&s, "dd"));
}

static bool plain(const char *text)
{
    /* At the end of its memory, so that a look beyond it is found. */
    size_t len = strlen(text);
    char *copy = malloc(len + 1);
    if (len > 0)
        memcpy(copy + 1, text, len);
    bool is = fm_jscan_is_plain(copy + 1, len, NULL, NULL);
    free(copy);
    return is;
}

Test(plain, knows_ordinary_lines)
{
    static const char *const good[] = {
        "{\"a\":1}",
        " [ 1 , -2.5 , true , false , null , \"\" ] \r",
        "{\"a\":{\"b\":[[],{}]},\"c\":\"\"}",
        "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\"]",
        "[\"exactly sixteen.\",\"seventeen bytes..\",\"eight by\"]",
        "[\"gr\xc3\xbc\xc3\x9f Gott, and then a text of more than sixteen bytes\"]",
        "[1e5,-1E-5,0.5,0,-0,12345678901234567890]",
        "{\"a\":{\"a\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":2}]},\"b\":{\"b\":1}}",
        "{\"\":1,\" \":2,\"A\":3,\"a\":4,\"aa\":5,\"a name of more than sixteen bytes\":6}",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_expect(plain(good[i]), "%s", good[i]);
}

Test(plain, leaves_all_that_is_wrong_or_odd_to_the_tokens)
{
    static const char *const odd[] = {
        "",
        " ",
        "1",
        "\"x\"",
        "{}",
        "[ ]",
        "{\"a\":1",
        "{\"a\":1}}",
        "{\"a\":1},",
        "[1] [2]",
        "[1,]",
        "{\"a\":1,}",
        "[,1]",
        "{\"a\" 1}",
        "{\"a\"}",
        "{1:1}",
        "{a:1}",
        "{\"a\":1,\"a\":1}",
        "[{\"a\":{\"b\":1},\"b\":{\"a\":1},\"a\":2}]",
        "{\"a\":1,\"b\":{\"c\":1,\"d\":[{\"c\":1,\"e\":2,\"c\":3}]}}",
        "{\"\\u0061\":1}",
        "[01]",
        "[1.]",
        "[.5]",
        "[+1]",
        "[1e]",
        "[-]",
        "[nul]",
        "[truex]",
        "[1}",
        "{\"a\":1]",
        "[\"\\x\"]",
        "[\"\\u12\"",
        "[\"\\u12x4\"]",
        "[\"\t\"]",
        "[\"\x1f 16 bytes and more\"]",
        "[\"abc",
        "[\"abc\\",
        "[\"\\\"]",
        "[\"\\ud83d\"]",
        "[\"\\uD83D\\uDE00\"]",
        "[\"\xc3\"]",
        "[\"\xed\xa0\x80\"]",
        "[\"\xff 0123456789abcdef\"]",
        "[\x01",
        "\xef\xbb\xbf[1]",
        "[1\xc2\xa0]",
        "]",
        "}",
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        cr_expect_not(plain(odd[i]), "%s", odd[i]);
}

Test(plain, finds_a_special_byte_wherever_it_stands)
{
    for (size_t len = 1; len < 40; len++)
        for (size_t at = 0; at < len; at++) {
            char text[64] = "[\"";
            memset(text + 2, 'x', len);
            memcpy(text + 2 + len, "\"]", 3);
            cr_assert(plain(text));
            static const char special[] = {'\n', '"', '\\', '\x80', '\xff', '\x1f'};
            for (size_t k = 0; k < sizeof special; k++) {
                text[2 + at] = special[k];
                cr_assert_not(plain(text), "%zu of %zu: %d", at, len, special[k]);
            }
            text[2 + at] = '\x7f';
            cr_assert(plain(text));
        }
}

/* However many there are; from some number on it is left to the tokens. */
Test(plain, finds_a_name_that_comes_twice_wherever_it_stands)
{
    enum { MOST = 256 };
    char text[16 * MOST];
    for (unsigned n = 1; n <= MOST + 1; n++) {
        int at = 0;
        for (unsigned i = 0; i < n; i++)
            at += snprintf(text + at, sizeof text - (size_t)at, "%s\"n%03u\":1%s",
                           i == 0 ? "{" : ",", i, i + 1 == n ? "}" : "");
        cr_assert_eq(plain(text), n <= MOST, "%u", n);
        for (unsigned i = 0; i + 1 < n && n <= MOST; i += 37) {
            char other[8];
            (void)snprintf(other, sizeof other, "n%03u", i);
            char *last = strrchr(text, 'n'), kept[8];
            memcpy(kept, last, 4);
            memcpy(last, other, 4);
            cr_assert_not(plain(text), "%u of %u", i, n);
            memcpy(last, kept, 4);
        }
    }
}

Test(plain, bounds_the_depth)
{
    char text[200];
    memset(text, '[', 64);
    text[64] = '1';
    memset(text + 65, ']', 65);
    cr_assert(fm_jscan_is_plain(text, 129, NULL, NULL));
    memset(text, '[', 65);
    text[65] = '1';
    memset(text + 66, ']', 65);
    cr_assert_not(fm_jscan_is_plain(text, 131, NULL, NULL));
}

struct asked {
    char text[80];
    bool answer;
};

static bool on_number(void *arg, const char *text, size_t len)
{
    struct asked *asked = arg;
    strncat(asked->text, text, len);
    strcat(asked->text, ";");
    return asked->answer;
}

Test(plain, asks_about_numbers_that_a_double_may_not_keep)
{
    static const char text[] = "[1,1e5,12345678901234567,123456789012345678,-1.5,-0.1e-1]";
    struct asked asked = {.answer = true};
    cr_assert(fm_jscan_is_plain(text, sizeof text - 1, on_number, &asked));
    cr_assert_str_eq(asked.text, "1e5;123456789012345678;-0.1e-1;");
    asked.answer = false;
    cr_assert_not(fm_jscan_is_plain(text, sizeof text - 1, on_number, &asked));
}
