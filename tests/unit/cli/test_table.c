#include <criterion/criterion.h>
#include <jansson.h>
#include <string.h>

#include "cli/table.h"

static const struct fm_column columns[] = {{.name = "pid", .right = true},
                                           {.name = "name", .flex = true},
                                           {.name = "heap_size", .right = true},
                                           {.name = "up"}};

static struct fm_arena arena;
static struct fm_table table;
static char printed[8192];

static void fresh(void)
{
    fm_arena_init(&arena, 0);
    fm_table_init(&table, columns, 4, &arena);
}

static void done(void)
{
    fm_table_clear(&table);
    fm_arena_clear(&arena);
}

TestSuite(table, .init = fresh, .fini = done);

static void row(int64_t pid, const char *name, int64_t heap, bool up)
{
    fm_table_int(&table, pid);
    fm_table_text(&table, name);
    fm_table_int(&table, heap);
    fm_table_bool(&table, up);
}

static const char *print(bool json, bool colour, unsigned width)
{
    const struct fm_table_style style = {.json = json, .colour = colour, .width = width};
    memset(printed, 0, sizeof printed);
    FILE *out = fmemopen(printed, sizeof printed - 1, "w");
    cr_assert_not_null(out);
    cr_assert_eq(fm_table_print(&table, out, &style, NULL), FM_OK);
    (void)fclose(out);
    return printed;
}

Test(table, aligns_by_the_width_on_the_screen)
{
    row(7, "\xe6\x97\xa5\xe6\x9c\xac", 512, true); /* two wide characters: four columns */
    row(12345, "a\xcc\x88z", 2048, false); /* an umlaut of two code points: one column */
    cr_assert_str_eq(print(false, false, 0), "  PID  NAME  HEAP SIZE  UP\n"
                                             "    7  \xe6\x97\xa5\xe6\x9c\xac        512  yes\n"
                                             "12345  a\xcc\x88z         2048  no\n");
}

Test(table, is_never_cut_where_nobody_looks)
{
    char name[300];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    row(1, name, 1, true);
    cr_assert_not_null(strstr(print(false, false, 0), name));
}

Test(table, is_cut_to_the_terminal)
{
    row(1,
        "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
        "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4",
        1, true);
    for (unsigned width = 30; width < 50; width++) {
        const char *text = print(false, false, width);
        size_t longest = 0;
        for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
            size_t used = fm_text_width(line, strcspn(line, "\n"));
            longest = used > longest ? used : longest;
        }
        cr_expect_leq(longest, width);
        cr_expect_eq(strstr(text, "\xe2\x80\xa6") != NULL, width < 41, "width %u", width);
    }
}

Test(table, a_last_column_may_go_on_below)
{
    static const struct fm_column wrapping[] = {{.name = "name"}, {.name = "note", .wrap = true}};
    fm_table_init(&table, wrapping, 2, &arena);
    fm_table_text(&table, "a");
    fm_table_text(&table, "one two three four five six seven eight nine ten eleven twelve");
    fm_table_text(&table, "b");
    fm_table_text(&table, "");
    fm_table_text(&table, "c");
    fm_table_text(&table, "wordthatislongerthananylinethatthistablecouldeverhave and more");
    cr_assert_str_eq(print(false, false, 42),
                     "NAME  NOTE\n"
                     "a     one two three four five six seven\n"
                     "      eight nine ten eleven twelve\n"
                     "b     \n"
                     "c     wordthatislongerthananylinethatthistablecouldeverhave\n"
                     "      and more\n" +
                         0);
}

Test(table, a_column_that_folds_loses_nothing_on_a_narrow_terminal)
{
    static const struct fm_column folding[] = {
        {.name = "step", .fold = true}, {.name = "ok"}, {.name = "detail", .wrap = true}};
    fm_table_init(&table, folding, 3, &arena);
    fm_table_text(&table, "query jvm/collectors");
    fm_table_text(&table, "yes");
    fm_table_text(&table, "beans: 8, attributes: 32, 10.9 KiB in 73 ms");
    fm_table_text(&table, "abcdefghijklmno\xc3\xa4z");
    fm_table_text(&table, "no");
    fm_table_text(&table, "");
    cr_assert_str_eq(print(false, false, 54),
                     "STEP         OK   DETAIL\n"
                     "query jvm/   yes  beans: 8, attributes: 32, 10.9 KiB\n"
                     "collectors        in 73 ms\n"
                     "abcdefghijk  no   \n"
                     "lmno\xc3\xa4z\n");
    cr_assert_not_null(strstr(print(false, false, 0), "query jvm/collectors"));
}

Test(table, json_has_the_same_fields_and_types)
{
    row(7, "say \"hi\"\n", 512, true);
    row(8, NULL, 0, false);
    json_t *json = json_loads(print(true, true, 20), 0, NULL);
    cr_assert(json_is_array(json));
    cr_assert_eq(json_array_size(json), 2);
    const json_t *first = json_array_get(json, 0), *second = json_array_get(json, 1);
    cr_assert_eq(json_integer_value(json_object_get(first, "pid")), 7);
    cr_assert_str_eq(json_string_value(json_object_get(first, "name")), "say \"hi\"\n");
    cr_assert_eq(json_integer_value(json_object_get(first, "heap_size")), 512);
    cr_assert(json_is_true(json_object_get(first, "up")));
    cr_assert(json_is_null(json_object_get(second, "name")));
    json_decref(json);
}

Test(table, no_rows_are_an_empty_array_or_nothing)
{
    cr_assert_str_eq(print(true, false, 0), "[]\n");
    cr_assert_str_eq(print(false, false, 0), "");
}

Test(table, colours_do_not_shift_columns)
{
    row(1, "a", 1, true);
    fm_table_colour(&table, FM_GREEN);
    cr_assert_null(strchr(print(false, false, 0), '\033'));
    const char *text = print(false, true, 0);
    cr_assert_not_null(strstr(text, "\033[32myes\033[0m\n"));
    cr_assert_not_null(strstr(text, "  a     "));
}

Test(table, lines_are_for_cut_and_grep)
{
    row(1, "a b", 1, true);
    row(2, NULL, 0, false);
    memset(printed, 0, sizeof printed);
    FILE *out = fmemopen(printed, sizeof printed - 1, "w");
    cr_assert_eq(fm_table_lines(&table, out, false, NULL), FM_OK);
    (void)fclose(out);
    cr_assert_str_eq(printed, "1\ta b\t1\tyes\n2\t-\t0\tno\n");
}

Test(table, holds_many_rows)
{
    for (int i = 0; i < 1000; i++)
        row(i, "x", i, true);
    cr_assert_eq(table.n_cells, 4000);
    cr_assert_not(table.failed);
}

static const char *safe(const char *text, bool keep_lines, size_t max)
{
    static char out[256];
    struct fm_buf buf;
    fm_buf_init(&buf, 0);
    fm_text_safe(&buf, text, strlen(text), keep_lines, max);
    (void)snprintf(out, sizeof out, "%s", fm_buf_str(&buf));
    fm_buf_clear(&buf);
    return out;
}

#define REPLACED "\xef\xbf\xbd"

Test(text, cannot_fool_a_terminal)
{
    cr_expect_str_eq(safe("a\033[2Jb", false, 0), "a" REPLACED "[2Jb");
    cr_expect_str_eq(safe("a\xc2\x9b"
                          "31mb",
                          false, 0),
                     "a" REPLACED "31mb"); /* C1 CSI */
    cr_expect_str_eq(safe("a\xe2\x80\xaeqwe", false, 0), "a" REPLACED "qwe"); /* right to left */
    cr_expect_str_eq(safe("a\nb\tc\r", true, 0), "a\nb\tc" REPLACED);
    cr_expect_str_eq(safe("a\nb\tc", false, 0), "a" REPLACED "b" REPLACED "c");
    cr_expect_str_eq(safe("\xff\xc3", false, 0), REPLACED REPLACED);
    cr_expect_str_eq(safe("\x7f", true, 0), REPLACED);
}

Test(text, is_cut_at_a_whole_character)
{
    cr_expect_str_eq(safe("abcdef", false, 6), "abcdef");
    cr_expect_str_eq(safe("abcdefg", false, 6), "abcde\xe2\x80\xa6");
    cr_expect_str_eq(safe("\xe6\x97\xa5\xe6\x9c\xac", false, 3), "\xe6\x97\xa5\xe2\x80\xa6");
    cr_expect_str_eq(safe("\xe6\x97\xa5\xe6\x9c\xac", false, 2), "\xe2\x80\xa6");
}

Test(text, sizes_and_ages_are_short)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } sizes[] = {{0, "0 B"},        {1023, "1023 B"},       {1024, "1.0 KiB"},
                 {3500, "3.4 KiB"}, {123456789, "118 MiB"}, {UINT64_MAX, "16777216 TiB"}};
    static const struct {
        int64_t ms;
        const char *text;
    } ages[] = {{-5, "now"},       {999, "now"},     {1000, "1 s"},     {119999, "119 s"},
                {120000, "2 min"}, {7200000, "2 h"}, {172800000, "2 d"}};
    char text[32];
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fm_text_size(text, sizeof text, sizes[i].bytes);
        cr_expect_str_eq(text, sizes[i].text);
    }
    for (size_t i = 0; i < sizeof ages / sizeof ages[0]; i++) {
        fm_text_age(text, sizeof text, ages[i].ms);
        cr_expect_str_eq(text, ages[i].text);
    }
}
