#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "value/value.h"

static const char *print(struct fm_buf *buf, const struct fm_value *v)
{
    fm_buf_reset(buf);
    fm_value_print(buf, v, FM_JSON_NONFINITE_NULL);
    return fm_buf_str(buf);
}

static struct fm_text text(const char *s)
{
    return (struct fm_text){.ptr = s, .len = strlen(s)};
}

Test(value, prints_every_kind)
{
    struct fm_value items[] = {
        {.kind = FM_V_NULL},
        {.kind = FM_V_BOOL, .b = true},
        {.kind = FM_V_INT, .i = INT64_MIN},
        {.kind = FM_V_FLOAT, .f = 0.1f},
        {.kind = FM_V_DOUBLE, .d = 3},
        {.kind = FM_V_DOUBLE, .d = NAN},
        {.kind = FM_V_NUMBER, .text = text("18446744073709551616")},
        {.kind = FM_V_STRING, .text = text("a\"b")},
        {.kind = FM_V_BYTES, .text = text("abc")},
        {.kind = FM_V_ARRAY},
        {.kind = FM_V_OBJECT},
    };
    struct fm_value array = {.kind = FM_V_ARRAY,
                             .array = {.items = items, .n = sizeof items / sizeof items[0]}};
    struct fm_buf buf;
    fm_buf_init(&buf, 0);
    cr_assert_str_eq(print(&buf, &array),
                     "[null,true,-9223372036854775808,0.1,3.0,null,18446744073709551616,"
                     "\"a\\\"b\",\"YWJj\",[],{}]");
    fm_buf_clear(&buf);
}

Test(value, prints_nul_bytes_and_members_in_order)
{
    struct fm_member members[] = {
        {.key = text("z"), .value = {.kind = FM_V_STRING, .text = {.ptr = "a\0b", .len = 3}}},
        {.key = text("a/\xe2\x82\xac"), .value = {.kind = FM_V_INT, .i = 1}}};
    struct fm_value v = {.kind = FM_V_OBJECT, .object = {.members = members, .n = 2}};
    struct fm_buf buf;
    fm_buf_init(&buf, 0);
    cr_assert_str_eq(print(&buf, &v), "{\"z\":\"a\\u0000b\",\"a/\xe2\x82\xac\":1}");
    fm_buf_clear(&buf);
}

Test(value, prints_null_below_the_depth_limit)
{
    enum { DEEP = 1000 };
    static struct fm_value nested[DEEP];
    for (int i = 0; i < DEEP - 1; i++) {
        nested[i].kind = FM_V_ARRAY;
        nested[i].array.items = &nested[i + 1];
        nested[i].array.n = 1;
    }
    struct fm_buf buf;
    fm_buf_init(&buf, 0);
    const char *out = print(&buf, nested);
    cr_assert_eq(strlen(out), 2 * FM_VALUE_DEPTH + 4);
    cr_assert_eq(strncmp(out + FM_VALUE_DEPTH, "null]", 5), 0);
    fm_buf_clear(&buf);
}

Test(value, stops_at_the_limit_of_the_buffer)
{
    static struct fm_value many[1000];
    struct fm_value v = {.kind = FM_V_ARRAY, .array = {.items = many, .n = 1000}};
    struct fm_buf buf;
    fm_buf_init(&buf, 100);
    fm_value_print(&buf, &v, FM_JSON_NONFINITE_NULL);
    cr_assert_eq(fm_buf_code(&buf, NULL), FM_ELIMIT);
    fm_buf_clear(&buf);
}

Test(value, follows_paths_with_escapes_and_indexes)
{
    struct fm_value items[] = {{.kind = FM_V_INT, .i = 10}, {.kind = FM_V_INT, .i = 11}};
    struct fm_member inner[] = {
        {.key = text("a/b"), .value = {.kind = FM_V_INT, .i = 1}},
        {.key = text("c\\d"), .value = {.kind = FM_V_INT, .i = 2}},
        {.key = text(""), .value = {.kind = FM_V_INT, .i = 3}},
        {.key = text("list"), .value = {.kind = FM_V_ARRAY, .array = {.items = items, .n = 2}}}};
    struct fm_member outer[] = {
        {.key = text("x.y"), .value = {.kind = FM_V_OBJECT, .object = {.members = inner, .n = 4}}}};
    struct fm_value v = {.kind = FM_V_OBJECT, .object = {.members = outer, .n = 1}};

    cr_assert_eq(fm_value_path(&v, ""), &v);
    cr_assert_eq(fm_value_path(&v, "x.y/a\\/b")->i, 1);
    cr_assert_eq(fm_value_path(&v, "x.y/c\\\\d")->i, 2);
    cr_assert_eq(fm_value_path(&v, "x.y/")->i, 3);
    cr_assert_eq(fm_value_path(&v, "x.y/list/1")->i, 11);
    cr_assert_null(fm_value_path(&v, "x.y/list/2"));
    cr_assert_null(fm_value_path(&v, "x.y/list/-1"));
    cr_assert_null(fm_value_path(&v, "x.y/list/99999999999999999999"));
    cr_assert_null(fm_value_path(&v, "x.y/list/"));
    cr_assert_null(fm_value_path(&v, "x.y/a/b"));
    cr_assert_null(fm_value_path(&v, "x.y/list/1/z"));
    cr_assert_null(fm_value_path(&v, "x"));
    cr_assert_null(fm_value_path(&v, "x.yz"));
}

Test(value, finds_members_by_exact_bytes)
{
    struct fm_member members[] = {
        {.key = {.ptr = "a\0b", .len = 3}, .value = {.kind = FM_V_INT, .i = 1}},
        {.key = text("a"), .value = {.kind = FM_V_INT, .i = 2}}};
    struct fm_value v = {.kind = FM_V_OBJECT, .object = {.members = members, .n = 2}};
    cr_assert_eq(fm_value_member(&v, "a", 1)->i, 2);
    cr_assert_eq(fm_value_member(&v, "a\0b", 3)->i, 1);
    cr_assert_null(fm_value_member(&v, "b", 1));
    cr_assert_null(fm_value_member(&members[1].value, "a", 1));
}

Test(value, set_text_fails_at_the_arena_limit)
{
    struct fm_arena arena;
    fm_arena_init(&arena, 64);
    struct fm_value v;
    char long_text[200] = {0};
    cr_assert_not(fm_value_set_text(&v, &arena, FM_V_STRING, long_text, sizeof long_text));
    fm_arena_clear(&arena);
    fm_arena_init(&arena, 0);
    cr_assert(fm_value_set_text(&v, &arena, FM_V_BYTES, "xyz", 3));
    cr_assert_eq(v.kind, FM_V_BYTES);
    cr_assert_str_eq(v.text.ptr, "xyz");
    fm_arena_clear(&arena);
}
