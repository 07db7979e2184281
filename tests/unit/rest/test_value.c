#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "rest/rest.h"

enum { C2 = 1, C3 = 2, K = 4, S = 8, R = 16, ALL = 31, NONE = 0 };

/* Which dialects keep a line as what it says. */
static const struct {
    const char *text;
    unsigned good;
} cases[] = {
    {"{\"a\":1}", ALL},
    {" [1] \r", ALL},
    {"\"x\"", ALL},
    {"1", C2 | C3 | K | R},
    {"0", C2 | C3 | R},
    {"0.0", C2 | C3 | R},
    {"false", C2 | C3 | R},
    {"true", C2 | C3 | K | R},
    {"null", C2 | C3},
    {"\"\"", C2 | C3 | S | R},
    {"{ }", C2 | C3 | S | R},
    {"[]", C2 | C3 | S | R},
    {"[[]]", ALL},
    {"[18446744073709551616]", C2 | C3 | S | R},
    {"[-9223372036854775808]", ALL},
    {"[1e400]", NONE},
    {"[-1e400]", NONE},
    {"[1e308]", ALL},
    {"[0.1234567890123456]", ALL},
    {"[123456789.123456789123]", NONE},
    {"[1.50000000000000000000000]", ALL},
    {"[0.000000000000000000000000001]", ALL},
    {"[\"\\ud83d\\ude00\"]", ALL},
    {"[\"\\ud83d\"]", NONE},
    {"[\"\\ude00\"]", NONE},
    {"[\"\\ud83dx\\ude00\"]", NONE},
    {"[\"\\\\ud83d\"]", ALL},
    {"{\"\\ud83d\":1}", NONE},
    {"{\"a\":1", NONE},
    {"{\"a\":1}}", NONE},
    {"{\"a\":1,\"a\":2}", NONE},
    {"{\"a\":1,\"\\u0061\":2}", NONE},
    {"[1e5,{\"x\":{\"a\\/b\":1,\"c\":{},\"a/b\":2}}]", NONE},
    {"{\"a\":{\"\\u0061\":1},\"b\":[{\"a\":1},{\"a\":1}],\"\\u0062b\":{}}", ALL},
    {"{\"a\":1},", NONE},
    {"{} {}", NONE},
    {"NaN", NONE},
    {"[1,]", NONE},
    {"{'a':1}", NONE},
    {"[01]", NONE},
    {"\"\t\"", NONE},
    {"\"\xc3\"", NONE},
    {"", NONE},
    {"  ", NONE},
    {"\xef\xbb\xbf{}", NONE},
};

Test(value, is_taken_where_the_proxy_stores_what_it_says)
{
    static const enum fm_rest_dialect dialects[] = {FM_DIALECT_CONFLUENT_V2,
                                                    FM_DIALECT_CONFLUENT_V3, FM_DIALECT_KARAPACE,
                                                    FM_DIALECT_STRIMZI, FM_DIALECT_REDPANDA};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (unsigned d = 0; d < 5; d++) {
            struct fm_err err = {0};
            bool good = (cases[i].good >> d & 1) != 0;
            enum fm_code code =
                fm_rest_check_json(dialects[d], NULL, cases[i].text, strlen(cases[i].text), &err);
            cr_assert_eq(code, good ? FM_OK : FM_EUSAGE, "%s, dialect %u: %s", cases[i].text, d,
                         err.text);
            cr_assert_eq(err.text[0] == '\0', good);
        }
}

/* More than the quick look keeps; and which one it was is told. */
Test(value, a_name_that_comes_twice_is_named_however_many_there_are)
{
    enum { MANY = 5000 };
    static char text[MANY * 12 + 40];
    struct fm_err err = {0};
    int at = 0;
    for (unsigned i = 0; i < MANY; i++)
        at += snprintf(text + at, sizeof text - (size_t)at, "%s\"n%u\":1", i == 0 ? "{" : ",", i);
    (void)snprintf(text + at, sizeof text - (size_t)at, "}");
    cr_assert_eq(fm_rest_check_json(FM_DIALECT_CONFLUENT_V2, NULL, text, strlen(text), &err), FM_OK,
                 "%s", err.text);
    (void)snprintf(text + at, sizeof text - (size_t)at, ",\"n7\":2}");
    cr_assert_eq(fm_rest_check_json(FM_DIALECT_CONFLUENT_V2, NULL, text, strlen(text), &err),
                 FM_EUSAGE);
    cr_assert_not_null(strstr(err.text, "the name \"n7\" comes twice in one object"), "%s",
                       err.text);
}

Test(value, nested_beyond_the_limit_is_refused)
{
    char text[600];
    memset(text, '[', 300);
    memset(text + 300, ']', 300);
    struct fm_err err = {0};
    cr_assert_eq(fm_rest_check_json(FM_DIALECT_CONFLUENT_V2, NULL, text, 600, &err), FM_EUSAGE);
}
