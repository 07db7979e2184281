#include <criterion/criterion.h>
#include <string.h>

#include "base/utf8.h"

Test(utf8, knows_the_length_of_each_sequence)
{
    cr_expect_eq(fm_utf8_step("a", 1), 1);
    cr_expect_eq(fm_utf8_step("\xc2\x80", 2), 2);
    cr_expect_eq(fm_utf8_step("\xe0\xa0\x80", 3), 3);
    cr_expect_eq(fm_utf8_step("\xef\xbf\xbf", 3), 3);
    cr_expect_eq(fm_utf8_step("\xf0\x90\x80\x80", 4), 4);
    cr_expect_eq(fm_utf8_step("\xf4\x8f\xbf\xbf", 4), 4);
    cr_expect_eq(fm_utf8_step("", 0), 0);
}

Test(utf8, refuses_malformed_sequences)
{
    static const char *const bad[] = {
        "\x80",
        "\xc0\x80",
        "\xc1\xbf",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
        "\xc2",
        "\xe2\x82",
        "\xf0\x9f\x98",
        "\xc2\x41",
        "\xe2\x82\x41",
        "\xf0\x9f\x98\x41",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect_eq(fm_utf8_step(bad[i], strlen(bad[i])), 0, "row %zu", i);
        cr_expect_not(fm_utf8_valid(bad[i], strlen(bad[i])), "row %zu", i);
    }
}

Test(utf8, never_reads_behind_the_length)
{
    cr_expect_eq(fm_utf8_step("\xe2\x82\xac", 2), 0);
    cr_expect(fm_utf8_valid("abc\xff", 3));
}

Test(utf8, put_and_step_agree_for_every_code_point)
{
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
        if (cp >= 0xd800 && cp <= 0xdfff)
            continue;
        char text[4];
        size_t n = fm_utf8_put(text, cp);
        cr_assert_eq(fm_utf8_step(text, n), n, "U+%04X", cp);
    }
}

Test(utf8, surrogates_and_beyond_become_the_replacement)
{
    static const uint32_t bad[] = {0xd800, 0xdfff, 0x110000, UINT32_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[4];
        cr_expect_eq(fm_utf8_put(text, bad[i]), 3);
        cr_expect_eq(memcmp(text, "\xef\xbf\xbd", 3), 0);
    }
}

Test(utf8, cuts_an_incomplete_end_only)
{
    static const char *const rows[][2] = {
        {"ab\xc3", "ab"},
        {"ab\xe2\x82", "ab"},
        {"ab\xf0\x9f\x98", "ab"},
        {"ab\xc3\xa4", "ab\xc3\xa4"},
        {"ab", "ab"},
        {"", ""},
        {"\xf0", ""},
        {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[16] = "";
        memcpy(text, rows[i][0], strlen(rows[i][0]) + 1);
        fm_utf8_cut(text);
        cr_expect_str_eq(text, rows[i][1]);
    }
}

Test(utf8, finds_the_first_bad_byte_wherever_it_lies)
{
    char text[64];
    for (size_t len = 0; len < sizeof text; len++) {
        memset(text, 'a', sizeof text);
        cr_assert_eq(fm_utf8_until(text, len), len);
        for (size_t bad = 0; bad < len; bad++) {
            memset(text, 'a', sizeof text);
            text[bad] = '\xff';
            cr_assert_eq(fm_utf8_until(text, len), bad, "%zu of %zu", bad, len);
            text[bad] = '\xc3'; /* begins a character of two bytes */
            if (bad + 1 < len)
                text[bad + 1] = '\xa9';
            cr_assert_eq(fm_utf8_until(text, len), bad + 1 < len ? len : bad);
        }
    }
}
