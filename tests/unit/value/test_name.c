#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "value/name.h"

static struct fm_arena arena;

static void open_arena(void)
{
    fm_arena_init(&arena, 1024 * 1024);
}

static void close_arena(void)
{
    fm_arena_clear(&arena);
}

TestSuite(name, .init = open_arena, .fini = close_arena);

static struct fm_name parse(const char *text)
{
    struct fm_name name;
    struct fm_err err = {0};
    cr_assert_eq(fm_name_parse(&name, &arena, text, &err), FM_OK, "%s", err.text);
    return name;
}

static bool matches(const char *pattern, const char *text)
{
    struct fm_name p = parse(pattern);
    struct fm_name n = parse(text);
    return fm_name_match(&p, &n);
}

Test(name, sorts_keys_into_the_canonical_form)
{
    cr_assert_str_eq(parse("java.lang:type=GarbageCollector,name=G1 Young").canonical,
                     "java.lang:name=G1 Young,type=GarbageCollector");
    cr_assert_str_eq(parse(":z=,a=1").canonical, ":a=1,z=");
    cr_assert_str_eq(parse("d:*,b=2,a=1").canonical, "d:a=1,b=2,*");
    cr_assert_str_eq(parse("d:*").canonical, "d:*");
    cr_assert_str_eq(parse("").canonical, "*:*");
    cr_assert_str_eq(parse("d:b=\"x,=:\\\"*\",a=\"\"").canonical, "d:a=\"\",b=\"x,=:\\\"*\"");
    cr_assert_str_eq(parse("d:k=a//b c").canonical, "d:k=a//b c");
}

Test(name, keeps_quotes_and_undoes_them_on_demand)
{
    struct fm_name n = parse("d:a=plain,b=\"q\\\"\\\\\\n\\*\\?,=\"");
    cr_assert_str_eq(fm_name_value(&n, &arena, "a"), "plain");
    cr_assert_str_eq(fm_name_value(&n, &arena, "b"), "q\"\\\n*?,=");
    cr_assert_null(fm_name_value(&n, &arena, "c"));
    cr_assert_not(fm_name_is_pattern(&n));
    n = parse("d:*");
    cr_assert_null(fm_name_value(&n, &arena, "a"));
}

Test(name, knows_patterns)
{
    static const char *const yes[] = {"*:a=b", "d?:a=b", "d:a=b*", "d:a=?", "d:a=\"*\"", "d:a=b,*"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        struct fm_name n = parse(yes[i]);
        cr_assert(fm_name_is_pattern(&n), "%s", yes[i]);
    }
    struct fm_name n = parse("d:a=\"\\*\\?\"");
    cr_assert_not(fm_name_is_pattern(&n));
}

Test(name, matches_as_ObjectName_apply_does)
{
    cr_assert(
        matches("java.lang:type=GarbageCollector,*", "java.lang:name=G1,type=GarbageCollector"));
    cr_assert(matches("*:*", "d:a=b"));
    cr_assert(matches("*:a=b", "d:a=b"));
    cr_assert(matches("java.*:type=M?mory", "java.lang:type=Memory"));
    cr_assert(matches("d:a=*,b=2", "d:b=2,a=\"x,y\""));
    cr_assert(matches("d:a=\"*,y\"", "d:a=\"x,y\""));
    cr_assert(matches("d:a=b", "d:a=b"));
    cr_assert_not(matches("d:a=b", "d:a=b,c=d"));
    cr_assert_not(matches("d:a=b,*", "d:c=d"));
    cr_assert_not(matches("d:a=\"x\"", "d:a=x"));
    cr_assert_not(matches("java.lang:type=Memory", "java.lang:type=memory"));
    cr_assert_not(matches("d:a=*", "d:a=*"), "a pattern is matched by nothing");
    cr_assert_not(matches("d:a=b,c=d,*", "d:a=b"));
}

Test(name, takes_escaped_stars_in_quotes_literally)
{
    cr_assert(matches("d:a=\"\\**\"", "d:a=\"\\*x\""));
    cr_assert_not(matches("d:a=\"\\**\"", "d:a=\"yx\""));
    cr_assert(matches("d:a=\"*\\?\"", "d:a=\"what\\?\""));
    cr_assert_not(matches("d:a=\"*\\?\"", "d:a=\"what!\""));
}

struct bad {
    char text[48];
    char part[40];
};

ParameterizedTestParameters(name, refuses_with_the_place)
{
    static struct bad bad[] = {
        {"nocolon", "':'"},
        {"d:", "a key is missing"},
        {"d:a", "'='"},
        {"d:=b", "a key is missing"},
        {"d:a=b,", "a key is missing"},
        {"d:a=b,,c=d", "a key is missing"},
        {"d:a=b,a=c", "occurs twice"},
        {"d:a=\"x", "closing quote"},
        {"d:a=\"x\"y", "closing quote"},
        {"d:a=\"\\x\"", "backslash"},
        {"d:a=\"\\", "backslash"},
        {"d:a=b=c", "not allowed"},
        {"d:a=b:c", "not allowed"},
        {"d:a=b\"c", "not allowed"},
        {"d:a=b\nc", "not allowed"},
        {"d\n:a=b", "line break"},
        {"d:a=\"b\nc\"", "line break"},
        {"d:*,*", "second '*'"},
        {"d:**", "a key is missing"},
        {"d:k*=v", "'='"},
    };
    return cr_make_param_array(struct bad, bad, sizeof bad / sizeof bad[0]);
}

ParameterizedTest(struct bad *bad, name, refuses_with_the_place)
{
    struct fm_name name;
    struct fm_err err = {0};
    cr_assert_eq(fm_name_parse(&name, &arena, bad->text, &err), FM_ECONF, "%s", bad->text);
    cr_assert_not_null(strstr(err.text, bad->part), "%s: %s", bad->text, err.text);
}

Test(name, refuses_names_beyond_its_limits)
{
    struct fm_name name;
    char *text = malloc(100 * 1024);
    memset(text, 'x', 100 * 1024 - 1);
    text[100 * 1024 - 1] = '\0';
    cr_assert_eq(fm_name_parse(&name, &arena, text, NULL), FM_ELIMIT);
    char *at = text + snprintf(text, 8, "d:k=0");
    for (int i = 0; i < 1100; i++)
        at += snprintf(at, 16, ",k%d=0", i);
    cr_assert_eq(fm_name_parse(&name, &arena, text, NULL), FM_ELIMIT);
    free(text);
    struct fm_arena tiny;
    fm_arena_init(&tiny, 128);
    cr_assert_eq(fm_name_parse(&name, &tiny, "d:a=1,b=2,c=3,d=4,e=5,f=6,g=7", NULL), FM_ENOMEM);
    fm_arena_clear(&tiny);
}

Test(name, globs_over_the_whole_text)
{
    cr_assert(fm_glob("*", ""));
    cr_assert(fm_glob("", ""));
    cr_assert_not(fm_glob("?", ""));
    cr_assert(fm_glob("a*b*c", "axxbyyc"));
    cr_assert_not(fm_glob("a*b*c", "axxbyy"));
    cr_assert(fm_glob("?", "\xe2\x82\xac"), "one character, not one byte");
    cr_assert(fm_glob("*.jar", "app.jar"));
    cr_assert_not(fm_glob("abc", "ab"));
    cr_assert_not(fm_glob("ab", "abc"));
    cr_assert(fm_glob("**a", "bba"));
}

Test(name, globs_in_bounded_time)
{
    char text[4001];
    memset(text, 'a', 4000);
    text[4000] = '\0';
    cr_assert_not(fm_glob("*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
}
