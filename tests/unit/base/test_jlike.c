/* A text that is compared with one seen before gets the judgement that it gets alone. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/jlike.h"

static const char *const lines[] = {
    "{\"a\":1}",
    "{\"v\":1,\"at\":1763812800000,\"name\":\"G1 Young Generation\",\"b\":{\"n\":12,\"x\":null}}",
    " [ 1 , -2.5 , true , false , null , \"\" ] \r",
    "[\"gr\xc3\xbc\xc3\x9f\",{\"k\xc3\xa4\":\"\\\"\\u00e4\\\\\"},[[1],[]],1e5]",
};
enum { LINES = sizeof lines / sizeof *lines };

/* In memory that ends with the text, so that a look beyond it is found. */
static bool like(struct fm_jlike *seen, const char *text, size_t len)
{
    char *copy = malloc(len + 1);
    memcpy(copy + 1, text, len);
    bool is = fm_jlike_is_plain(seen, copy + 1, len, NULL, NULL);
    free(copy);
    return is;
}

/* After text alone, whatever other says must be what it says with nothing before it. */
static void compare(const char *text, const char *other, size_t len)
{
    struct fm_jlike *seen = fm_jlike_new();
    cr_assert(like(seen, text, strlen(text)), "%s", text);
    cr_assert_eq(like(seen, other, len), fm_jscan_is_plain(other, len, NULL, NULL),
                 "after %s: %.*s", text, (int)len, other);
    fm_jlike_free(seen);
}

Test(jlike, judges_each_change_of_one_byte_as_if_nothing_came_before)
{
    static const char bytes[] = "\"\\ ,:{}[]019-+.eEtnu\x01\x1f\x7f\x80\xc3\xff";
    char text[200];
    for (size_t l = 0; l < LINES; l++)
        for (size_t at = 0, len = strlen(lines[l]); at <= len; at++)
            for (size_t k = 0; k < sizeof bytes - 1; k++) {
                memcpy(text, lines[l], at);
                text[at] = bytes[k]; /* put in */
                memcpy(text + at + 1, lines[l] + at, len - at);
                compare(lines[l], text, len + 1);
                if (at == len)
                    continue;
                memcpy(text + at + 1, lines[l] + at + 1, len - at - 1); /* put in its place */
                compare(lines[l], text, len);
            }
}

Test(jlike, judges_each_part_left_out_as_if_nothing_came_before)
{
    char text[200];
    for (size_t l = 0; l < LINES; l++)
        for (size_t from = 0, len = strlen(lines[l]); from < len; from++)
            for (size_t to = from + 1; to <= len; to++) {
                memcpy(text, lines[l], from);
                memcpy(text + from, lines[l] + to, len - to);
                compare(lines[l], text, len - (to - from));
            }
}

Test(jlike, takes_other_values_in_the_place_of_a_value)
{
    static const char *const values[] = {"0",     "-12.75e3", "\"\"",  "\"a longer text\"", "true",
                                         "false", "null",     "[[1]]", "{\"a\":2}",         "x"};
    char text[100];
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        for (size_t k = 0; k < sizeof values / sizeof *values - 1; k++) {
            char first[100];
            (void)snprintf(first, sizeof first, "{\"a\":%s,\"b\":[%s]}", values[k], values[k]);
            (void)snprintf(text, sizeof text, "{\"a\":%s,\"b\":[%s]}", values[i], values[i]);
            compare(first, text, strlen(text));
            (void)snprintf(text, sizeof text, "{%s:1,\"b\":[%s]}", values[i], values[k]);
            compare(first, text, strlen(text));
        }
}

/* Where names differ from those of the line before, one may be there already. */
Test(jlike, sees_a_name_that_comes_twice)
{
    static const char *const others[] = {
        "{\"a\":1,\"b\":{\"c\":1,\"d\":[{\"e\":1}]},\"f\":2}", /* the same */
        "{\"a\":1,\"b\":{\"c\":1,\"d\":[{\"e\":1}]},\"a\":2}",
        "{\"f\":1,\"b\":{\"c\":1,\"d\":[{\"e\":1}]},\"f\":2}",
        "{\"a\":1,\"b\":{\"d\":1,\"d\":[{\"e\":1}]},\"f\":2}",
        "{\"x\":1,\"b\":{\"c\":1,\"d\":[{\"e\":1}]},\"x\":2}", /* both are new */
        "{\"f\":1,\"b\":{\"c\":1,\"d\":[{\"e\":1}]},\"a\":2}", /* once each, as are these: */
        "{\"a\":1,\"b\":{\"a\":1,\"d\":[{\"a\":1}]},\"f\":2}",
        "{\"x\":1,\"b\":{\"x\":1,\"y\":[{\"x\":1}]},\"y\":2}",
        "{\"x\":1,\"b\":{\"\\u0063\":1,\"c\":[{\"e\":1}]},\"y\":2}",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct fm_jlike *seen = fm_jlike_new();
        cr_assert(like(seen, others[0], strlen(others[0])));
        cr_assert_eq(like(seen, others[i], strlen(others[i])), i == 0 || (i >= 5 && i <= 7), "%s",
                     others[i]);
        compare(others[0], others[i], strlen(others[i]));
        fm_jlike_free(seen);
    }
}

/* More new names than are kept: the line is read as a whole, and kept. */
Test(jlike, takes_many_other_names)
{
    char text[2][1000];
    struct fm_jlike *seen = fm_jlike_new();
    for (int k = 0; k < 2; k++)
        for (int i = 0, at = 0; i < 40; i++)
            at += snprintf(text[k] + at, sizeof text[k] - (size_t)at, "%s\"%c%02d\":1%s",
                           i == 0 ? "{" : ",", 'a' + k, i, i == 39 ? "}" : "");
    cr_assert(like(seen, text[0], strlen(text[0])));
    cr_assert(like(seen, text[1], strlen(text[1])));
    memcpy(strstr(text[1], "b39"), "b00", 3);
    cr_assert_not(like(seen, text[1], strlen(text[1])));
    fm_jlike_free(seen);
}

struct asked {
    unsigned n;
    bool answer;
};

static bool on_number(void *arg, const char *text, size_t len)
{
    struct asked *asked = arg;
    (void)text;
    (void)len;
    asked->n++;
    return asked->answer;
}

static bool ask(struct fm_jlike *seen, struct asked *asked, const char *text)
{
    return fm_jlike_is_plain(seen, text, strlen(text), on_number, asked);
}

Test(jlike, reads_only_what_differs)
{
    struct fm_jlike *seen = fm_jlike_new();
    struct asked asked = {.answer = true};
    cr_assert(ask(seen, &asked, "{\"a\":1e5,\"b\":7,\"c\":2e5}"));
    cr_assert_eq(asked.n, 2);
    cr_assert(ask(seen, &asked, "{\"a\":1e5,\"b\":\"eight\",\"c\":2e5}"));
    cr_assert_eq(asked.n, 2, "both numbers are those of the line before");
    cr_assert(ask(seen, &asked, "{\"a\":1e5,\"b\":7,\"c\":3e5}"));
    cr_assert_eq(asked.n, 3);
    asked.answer = false;
    cr_assert_not(ask(seen, &asked, "{\"a\":1e5,\"b\":7,\"c\":4e5}"),
                  "an unfit number is asked for");
    fm_jlike_free(seen);
}

Test(jlike, keeps_nothing_that_was_refused)
{
    struct fm_jlike *seen = fm_jlike_new();
    struct asked asked = {.answer = false};
    cr_assert_not(ask(seen, &asked, "[1e5,1]"));
    cr_assert_not(ask(seen, &asked, "[1e5,2]"));
    cr_assert_not(ask(seen, &asked, "[1,2"));
    cr_assert_not(ask(seen, &asked, "[1,2"));
    fm_jlike_free(seen);
}

Test(jlike, keeps_several_kinds_and_bears_texts_that_are_never_alike)
{
    struct fm_jlike *seen = fm_jlike_new();
    struct asked asked = {.answer = true};
    static const char *const kinds[] = {"[1e5]", "{\"a\":1e5}", "[[1e5]]", "{\"b\":[1e5]}"};
    for (unsigned i = 0; i < 8; i++)
        cr_assert(ask(seen, &asked, kinds[i % 4]));
    cr_assert_eq(asked.n, 4, "the second time none is read");
    char text[64];
    for (unsigned i = 0; i < 2000; i++) {
        (void)snprintf(text, sizeof text, "{\"name-%u\":[%u,1e5,{\"x%u\":true}]}", i, i, i * 7);
        cr_assert(ask(seen, &asked, text));
    }
    asked.n = 0;
    for (unsigned i = 0; i < 600; i++)
        cr_assert(ask(seen, &asked, "[2e5]"));
    cr_assert_lt(asked.n, 400, "after a pause it compares again");
    fm_jlike_free(seen);
}

Test(jlike, leaves_long_texts_and_those_of_many_parts_to_the_quick_look)
{
    struct fm_jlike *seen = fm_jlike_new();
    char *text = malloc(20000);
    memset(text, 'x', 20000);
    memcpy(text, "[\"", 2);
    memcpy(text + 19998, "\"]", 2);
    cr_assert(like(seen, text, 20000) && like(seen, text, 20000));
    text[500] = '\n';
    cr_assert_not(like(seen, text, 20000));
    for (size_t i = 0; i < 1000; i++)
        memcpy(text + 2 * i, i == 0 ? "[1" : ",1", 2);
    text[2000] = ']';
    cr_assert(like(seen, text, 2001) && like(seen, text, 2001));
    text[1001] = 'x';
    cr_assert_not(like(seen, text, 2001));
    cr_assert(fm_jlike_is_plain(NULL, "[1]", 3, NULL, NULL));
    free(text);
    fm_jlike_free(seen);
}
