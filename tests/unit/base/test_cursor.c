#include <criterion/criterion.h>
#include <string.h>

#include "base/cursor.h"

static const unsigned char bytes[] = {1, 2, 3, 4, 5, 6, 7, 8};

Test(cursor, reads_both_byte_orders)
{
    struct fm_cursor cur;
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    fm_cursor_init(&cur, bytes, sizeof bytes);
    cr_assert(fm_cursor_u8(&cur, &u8));
    cr_assert_eq(u8, 1);
    cr_assert(fm_cursor_u16(&cur, &u16));
    cr_assert_eq(u16, 0x0203);
    cr_assert(fm_cursor_u32(&cur, &u32));
    cr_assert_eq(u32, 0x04050607);
    cr_assert_eq(fm_cursor_left(&cur), 1);
    fm_cursor_init(&cur, bytes, sizeof bytes);
    cr_assert(fm_cursor_le32(&cur, &u32));
    cr_assert_eq(u32, 0x04030201);
    fm_cursor_init(&cur, bytes, sizeof bytes);
    cr_assert(fm_cursor_u64(&cur, &u64));
    cr_assert_eq(u64, UINT64_C(0x0102030405060708));
    fm_cursor_init(&cur, bytes, sizeof bytes);
    cr_assert(fm_cursor_le64(&cur, &u64));
    cr_assert_eq(u64, UINT64_C(0x0807060504030201));
}

Test(cursor, reads_negative_numbers)
{
    static const unsigned char ff[] = {0xff, 0xff, 0xff, 0xfe, 0xff, 0xff, 0xff, 0xff};
    struct fm_cursor cur;
    int32_t i32;
    int64_t i64;
    fm_cursor_init(&cur, ff, sizeof ff);
    cr_assert(fm_cursor_i32(&cur, &i32));
    cr_assert_eq(i32, -2);
    fm_cursor_init(&cur, ff, sizeof ff);
    cr_assert(fm_cursor_i64(&cur, &i64));
    cr_assert_eq(i64, INT64_C(-4294967297));
}

Test(cursor, refuses_length_past_end)
{
    static const size_t lengths[] = {9, 10, SIZE_MAX, SIZE_MAX - 3};
    struct fm_cursor cur;
    const unsigned char *p = NULL;
    fm_cursor_init(&cur, bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        cr_expect_not(fm_cursor_take(&cur, lengths[i], &p));
    cr_assert(fm_cursor_skip(&cur, 5));
    cr_expect_not(fm_cursor_take(&cur, SIZE_MAX - 2, &p)); /* at + n would wrap */
    cr_expect_not(fm_cursor_skip(&cur, 4));
    cr_assert_eq(cur.at, 5);
}

Test(cursor, a_failed_read_moves_nothing_and_writes_nothing)
{
    struct fm_cursor cur;
    uint8_t u8 = 77;
    uint16_t u16 = 77;
    uint32_t u32 = 77;
    uint64_t u64 = 77;
    int32_t i32 = 77;
    int64_t i64 = 77;
    fm_cursor_init(&cur, bytes, 1);
    cr_expect_not(fm_cursor_u16(&cur, &u16));
    cr_expect_not(fm_cursor_u32(&cur, &u32));
    cr_expect_not(fm_cursor_le32(&cur, &u32));
    cr_expect_not(fm_cursor_u64(&cur, &u64));
    cr_expect_not(fm_cursor_le64(&cur, &u64));
    cr_expect_not(fm_cursor_i32(&cur, &i32));
    cr_expect_not(fm_cursor_i64(&cur, &i64));
    cr_assert_eq(cur.at, 0);
    cr_assert(u16 == 77 && u32 == 77 && u64 == 77 && i32 == 77 && i64 == 77);
    cr_assert(fm_cursor_u8(&cur, &u8));
    cr_assert_eq(u8, 1);
    cr_assert_not(fm_cursor_u8(&cur, &u8));
}

Test(cursor, an_empty_cursor_gives_empty_takes_only)
{
    struct fm_cursor cur;
    const unsigned char *p = NULL;
    fm_cursor_init(&cur, NULL, 0);
    cr_assert(fm_cursor_take(&cur, 0, &p));
    cr_assert_not_null(p);
    cr_assert_not(fm_cursor_take(&cur, 1, &p));
    cr_assert_eq(fm_cursor_left(&cur), 0);
}
