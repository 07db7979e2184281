#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"

Test(buf, an_empty_buffer_is_an_empty_string)
{
    struct fm_buf buf;
    fm_buf_init(&buf, 0);
    cr_assert_str_eq(fm_buf_str(&buf), "");
    char *taken = fm_buf_take(&buf);
    cr_assert_str_eq(taken, "");
    free(taken);
    fm_buf_clear(&buf);
    fm_buf_clear(&buf);
}

Test(buf, keeps_what_was_put_while_it_grows)
{
    struct fm_buf buf;
    fm_buf_init(&buf, 0);
    for (int i = 0; i < 1000; i++)
        fm_buf_printf(&buf, "%03d,", i);
    cr_assert_eq(buf.len, 4000);
    cr_assert_eq(memcmp(buf.data, "000,001,", 8), 0);
    cr_assert_eq(memcmp(buf.data + 3992, "998,999,", 8), 0);
    fm_buf_clear(&buf);
}

Test(buf, takes_exactly_its_limit)
{
    struct fm_buf buf;
    fm_buf_init(&buf, 4);
    fm_buf_put(&buf, "abcd", 4);
    cr_assert_eq(fm_buf_code(&buf, NULL), FM_OK);
    cr_assert_str_eq(fm_buf_str(&buf), "abcd");
    fm_buf_clear(&buf);
}

Test(buf, remembers_that_its_limit_was_exceeded)
{
    struct fm_buf buf;
    struct fm_err err = {0};
    fm_buf_init(&buf, 4);
    fm_buf_put(&buf, "abc", 3);
    fm_buf_put(&buf, "de", 2);
    fm_buf_putc(&buf, 'f'); /* would fit, but a hole in the text is worse than a short one */
    cr_assert_eq(buf.len, 3);
    cr_assert_eq(fm_buf_code(&buf, &err), FM_ELIMIT);
    cr_assert(strstr(err.text, "4 bytes") != NULL, "%s", err.text);
    cr_assert_str_eq(fm_buf_str(&buf), "");
    cr_assert_null(fm_buf_take(&buf));
    fm_buf_reset(&buf);
    fm_buf_puts(&buf, "wxyz");
    cr_assert_str_eq(fm_buf_str(&buf), "wxyz");
    fm_buf_clear(&buf);
}

Test(buf, refuses_sizes_that_would_overflow)
{
    struct fm_buf buf;
    fm_buf_init(&buf, 0);
    cr_assert_not(fm_buf_reserve(&buf, SIZE_MAX));
    cr_assert(buf.failed);
    fm_buf_clear(&buf);
    fm_buf_init(&buf, 0);
    fm_buf_putc(&buf, 'x');
    cr_assert_not(fm_buf_reserve(&buf, SIZE_MAX / 2));
    cr_assert_neq(fm_buf_code(&buf, NULL), FM_OK);
    fm_buf_clear(&buf);
}

Test(buf, writes_integers_at_their_ends)
{
    struct fm_buf buf;
    fm_buf_init(&buf, 0);
    fm_buf_i64(&buf, INT64_MIN);
    fm_buf_putc(&buf, ' ');
    fm_buf_i64(&buf, INT64_MAX);
    fm_buf_putc(&buf, ' ');
    fm_buf_u64(&buf, UINT64_MAX);
    fm_buf_putc(&buf, ' ');
    fm_buf_i64(&buf, 0);
    cr_assert_str_eq(fm_buf_str(&buf),
                     "-9223372036854775808 9223372036854775807 18446744073709551615 0");
    fm_buf_clear(&buf);
}

Test(buf, writes_big_endian)
{
    struct fm_buf buf;
    fm_buf_init(&buf, 0);
    fm_buf_be16(&buf, 0x0102);
    fm_buf_be32(&buf, 0x03040506);
    fm_buf_be64(&buf, UINT64_C(0x0708090a0b0c0d0e));
    cr_assert_eq(buf.len, 14);
    for (size_t i = 0; i < buf.len; i++)
        cr_expect_eq((size_t)buf.data[i], i + 1);
    fm_buf_clear(&buf);
}

Test(buf, consumes_and_truncates_within_bounds)
{
    struct fm_buf buf;
    fm_buf_init(&buf, 0);
    fm_buf_puts(&buf, "abcdef");
    fm_buf_consume(&buf, 2);
    fm_buf_truncate(&buf, 3);
    cr_assert_str_eq(fm_buf_str(&buf), "cde");
    fm_buf_truncate(&buf, 99);
    fm_buf_consume(&buf, 0);
    cr_assert_str_eq(fm_buf_str(&buf), "cde");
    fm_buf_consume(&buf, 99);
    cr_assert_eq(buf.len, 0);
    fm_buf_clear(&buf);
}

Test(buf, hands_its_memory_over)
{
    struct fm_buf buf;
    fm_buf_init(&buf, 0);
    fm_buf_put(&buf, "a\0b", 3);
    char *text = fm_buf_take(&buf);
    cr_assert_eq(memcmp(text, "a\0b", 4), 0);
    cr_assert_null(buf.data);
    fm_buf_puts(&buf, "new");
    cr_assert_str_eq(fm_buf_str(&buf), "new");
    free(text);
    fm_buf_clear(&buf);
}

Test(buf, fits_to_its_content_and_grows_again)
{
    struct fm_buf buf;
    fm_buf_init(&buf, 0);
    fm_buf_fit(&buf);
    cr_assert_null(buf.data, "nothing to fit");
    cr_assert(fm_buf_reserve(&buf, 5000));
    fm_buf_puts(&buf, "abc");
    fm_buf_fit(&buf);
    cr_expect_eq(buf.cap, 4, "a place for the terminator stays");
    cr_expect_str_eq(fm_buf_str(&buf), "abc");
    fm_buf_puts(&buf, "def");
    cr_expect_str_eq(fm_buf_str(&buf), "abcdef");
    fm_buf_clear(&buf);
}
