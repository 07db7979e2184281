#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/json.h"

static struct fm_buf out;

static void fresh(void)
{
    fm_buf_init(&out, 0);
}

static void done(void)
{
    fm_buf_clear(&out);
}

TestSuite(json, .init = fresh, .fini = done);

static const char *str(const char *text, size_t len)
{
    fm_buf_reset(&out);
    fm_json_str(&out, text, len);
    return fm_buf_str(&out);
}

static const char *dbl(double v)
{
    fm_buf_reset(&out);
    fm_json_double(&out, v, FM_JSON_NONFINITE_NULL);
    return fm_buf_str(&out);
}

static const char *flt(float v)
{
    fm_buf_reset(&out);
    fm_json_float(&out, v, FM_JSON_NONFINITE_STRING);
    return fm_buf_str(&out);
}

Test(json, escapes_what_json_forbids)
{
    cr_expect_str_eq(str("a\"b\\c", 5), "\"a\\\"b\\\\c\"");
    cr_expect_str_eq(str("\n\r\t\b\x1f\x7f", 6), "\"\\n\\r\\t\\u0008\\u001f\\u007f\"");
    cr_expect_str_eq(str("\0x", 2), "\"\\u0000x\"");
    cr_expect_str_eq(str("", 0), "\"\"");
}

Test(json, keeps_utf8_and_replaces_the_rest)
{
    cr_expect_str_eq(str("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9),
                     "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"");
    cr_expect_str_eq(str("a\xffz", 3), "\"a\xef\xbf\xbdz\"");
    cr_expect_str_eq(str("\xe2\x82", 2), "\"\xef\xbf\xbd\xef\xbf\xbd\""); /* cut */
    cr_expect_str_eq(str("\xed\xa0\x80", 3), /* a surrogate */
                     "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

Test(json, escapes_line_separators_for_scripts)
{
    cr_expect_str_eq(str("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa", 9),
                     "\"\\u2028\\u2029\xe2\x80\xaa\"");
}

Test(json, null_text_is_null)
{
    fm_json_cstr(&out, NULL);
    fm_json_key(&out, "a\"");
    fm_json_bool(&out, true);
    fm_json_bool(&out, false);
    cr_assert_str_eq(fm_buf_str(&out), "null\"a\\\"\":truefalse");
}

Test(json, doubles_are_short_and_read_back)
{
    static const struct {
        double v;
        const char *text;
    } rows[] = {
        {0.1, "0.1"},
        {3.0, "3.0"},
        {-0.0, "-0.0"},
        {1e300, "1e+300"},
        {1.0 / 3, "0.3333333333333333"},
        {5e-324, "5e-324"},
        {DBL_MIN, "2.2250738585072014e-308"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {9007199254740993.0, "9007199254740992.0"},
        {123456789.0, "123456789.0"},
        {0.30000000000000004, "0.30000000000000004"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_expect_str_eq(dbl(rows[i].v), rows[i].text);
        cr_expect_eq(strtod(dbl(rows[i].v), NULL), rows[i].v);
    }
}

Test(json, floats_are_short_as_floats)
{
    cr_expect_str_eq(flt(0.1f), "0.1");
    cr_expect_str_eq(flt(16777216.0f), "16777216.0");
    cr_expect_str_eq(flt(1e-45f), "1e-45");
    cr_expect_str_eq(flt(FLT_MAX), "3.4028235e+38");
    cr_expect_str_eq(flt(3.0f), "3.0");
}

Test(json, numbers_that_json_cannot_say)
{
    cr_expect_str_eq(dbl(NAN), "null");
    cr_expect_str_eq(dbl(-INFINITY), "null");
    cr_expect_str_eq(flt(NAN), "\"NaN\"");
    cr_expect_str_eq(flt(INFINITY), "\"Infinity\"");
    cr_expect_str_eq(flt(-INFINITY), "\"-Infinity\"");
}

Test(json, bytes_become_base64)
{
    fm_json_base64(&out, "\x00\xff", 2);
    cr_assert_str_eq(fm_buf_str(&out), "\"AP8=\"");
}
