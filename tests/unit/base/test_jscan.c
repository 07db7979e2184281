#include <criterion/criterion.h>
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
