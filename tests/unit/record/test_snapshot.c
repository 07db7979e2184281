#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "records.h"

#define HEAD(seq)                                                                                  \
    "{\"v\":1,\"agent\":\"edge-7\",\"stream\":\"0123456789abcdef\",\"seq\":" seq                   \
    ",\"timestamp\":1763812800000,\"host\":\"web-1\",\"target\":\"orders\","

static struct fm_rule *snapshot_rule(size_t max_bytes)
{
    return make_rule(FM_SHAPE_SNAPSHOT, "${host}", NULL, 0, max_bytes);
}

Test(snapshot, holds_all_beans_of_a_poll)
{
    struct fm_rule *a = snapshot_rule(1 << 20), *b = snapshot_rule(1 << 20);
    struct fixture f;
    fixture_init(&f);
    fixture_bean(&f, a, "d:k=1", "{\"x\":1}");
    fixture_bean(&f, b, "d:k=2", "{\"y\":{\"z\":2}}");
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_assert_eq(f.n, 1);
    cr_assert_str_eq(f.values[0], HEAD("1") "\"beans\":{\"d:k=1\":{\"x\":1},"
                                            "\"d:k=2\":{\"y\":{\"z\":2}}},\"tags\":{}}");
    cr_assert_str_eq(f.keys[0], "web-1");
    fixture_clear(&f);
    fm_rule_free(a);
    fm_rule_free(b);
}

Test(snapshot, names_a_bean_of_two_queries_once)
{
    struct fm_rule *a = snapshot_rule(1 << 20), *b = snapshot_rule(1 << 20);
    struct fixture f;
    fixture_init(&f);
    fixture_bean(&f, a, "d:k=1", "{\"x\":1}");
    fixture_bean(&f, a, "d:k=2", "{\"q\":1}");
    fixture_bean(&f, b, "d:k=1", "{\"x\":9,\"y\":2}");
    fixture_bean(&f, b, "d:k=1", "{\"y\":9,\"z\":3}");
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_assert_str_eq(f.values[0], HEAD("1") "\"beans\":{\"d:k=1\":{\"x\":1,\"y\":2,\"z\":3},"
                                            "\"d:k=2\":{\"q\":1}},\"tags\":{}}");
    fixture_clear(&f);
    fm_rule_free(a);
    fm_rule_free(b);
}

Test(snapshot, keeps_rules_apart_that_differ)
{
    static const char *const tag[] = {"a=b"};
    struct fm_rule *a = snapshot_rule(1 << 20);
    struct fm_rule *b = make_rule(FM_SHAPE_SNAPSHOT, "${host}", tag, 1, 1 << 20);
    struct fm_rule *c = make_rule(FM_SHAPE_BEAN, "${host}", NULL, 0, 1 << 20);
    struct fixture f;
    fixture_init(&f);
    fixture_bean(&f, a, "d:k=1", "{\"x\":1}");
    fixture_bean(&f, b, "d:k=1", "{\"x\":2}");
    fixture_bean(&f, c, "d:k=1", "{\"x\":3}");
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_assert_eq(f.n, 3);
    cr_assert_not_null(strstr(f.values[0], "\"attributes\":{\"x\":3}"));
    cr_assert_not_null(strstr(f.values[1], "\"beans\":{\"d:k=1\":{\"x\":1}},\"tags\":{}}"));
    cr_assert_not_null(
        strstr(f.values[2], "\"beans\":{\"d:k=1\":{\"x\":2}},\"tags\":{\"a\":\"b\"}}"));
    fixture_clear(&f);
    fm_rule_free(a);
    fm_rule_free(b);
    fm_rule_free(c);
}

Test(snapshot, of_nothing_is_no_record)
{
    struct fixture f;
    fixture_init(&f);
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_assert_eq(f.n, 0);
    fixture_clear(&f);
}

static void add_beans(struct fixture *f, struct fm_rule *rule, int n, size_t size)
{
    char json[600], name[32];
    for (int i = 0; i < n; i++) {
        (void)snprintf(name, sizeof name, "d:k=%02d", i);
        (void)snprintf(json, sizeof json, "{\"A\":\"%0*d\"}", (int)size, i);
        fixture_bean(f, rule, name, json);
    }
}

/* Each part is within the limit, each bean is in exactly one part, in order. */
static void check_parts(const struct fixture *f, size_t max, int beans)
{
    int bean = 0;
    for (size_t i = 0; i < f->n; i++) {
        char want[80];
        (void)snprintf(want, sizeof want, "\"part\":%zu,\"parts\":%zu,\"beans\":{", i + 1, f->n);
        cr_assert_not_null(strstr(f->values[i], want), "%s", f->values[i]);
        cr_assert_leq(strlen(f->values[i]), max);
        for (const char *at = f->values[i]; (at = strstr(at, "\"d:k=")) != NULL; at++) {
            (void)snprintf(want, sizeof want, "\"d:k=%02d\":", bean++);
            cr_assert_eq(strncmp(at, want, strlen(want)), 0, "%s", at);
        }
    }
    cr_assert_eq(bean, beans);
}

Test(snapshot, is_split_at_bean_boundaries)
{
    enum { MAX = 700 };
    struct fm_rule *rule = snapshot_rule(MAX);
    struct fixture f;
    fixture_init(&f);
    add_beans(&f, rule, 40, 50);
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_assert_gt(f.n, 3);
    check_parts(&f, MAX, 40);
    cr_assert_eq(f.lost, 0);
    cr_assert_eq(f.count.omitted, 0);
    fixture_clear(&f);
    fm_rule_free(rule);
}

Test(snapshot, is_whole_at_the_limit_and_split_one_byte_below)
{
    struct fm_rule *rule = snapshot_rule(1 << 20);
    struct fixture f;
    fixture_init(&f);
    add_beans(&f, rule, 10, 50);
    cr_assert_eq(fixture_build(&f), FM_OK);
    size_t need = strlen(f.values[0]) + strlen("18446744073709551615") - 1;
    for (size_t less = 0; less < 2; less++) {
        fm_rule_free(rule);
        rule = snapshot_rule(need - less);
        for (size_t i = 0; i < f.sample.n; i++)
            f.beans[i].rule = rule;
        cr_assert_eq(fixture_build(&f), FM_OK);
        cr_assert_eq(f.n, 1 + less);
        if (less == 1)
            check_parts(&f, need, 10);
        else
            cr_assert_null(strstr(f.values[0], "part"));
    }
    fixture_clear(&f);
    fm_rule_free(rule);
}

Test(snapshot, names_beans_that_were_left_out)
{
    struct fm_rule *rule = snapshot_rule(500);
    struct fixture f;
    fixture_init(&f);
    add_beans(&f, rule, 2, 20);
    char json[600];
    (void)snprintf(json, sizeof json, "{\"A\":\"%0550d\"}", 1);
    fixture_bean(&f, rule, "d:big=1", json);
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_assert_eq(f.n, 1);
    cr_assert_str_eq(f.values[0], HEAD("1") "\"part\":1,\"parts\":1,\"beans\":{"
                                            "\"d:k=00\":{\"A\":\"00000000000000000000\"},"
                                            "\"d:k=01\":{\"A\":\"00000000000000000001\"}},"
                                            "\"omitted\":[\"d:big=1\"],\"tags\":{}}");
    cr_assert_eq(f.lost, 0, "an omitted bean costs no seq");
    cr_assert_eq(f.count.omitted, 1);
    fixture_clear(&f);
    fm_rule_free(rule);
}

Test(snapshot, declares_a_bean_whose_very_name_is_too_long)
{
    struct fm_rule *rule = snapshot_rule(500);
    struct fixture f;
    fixture_init(&f);
    char name[600];
    (void)snprintf(name, sizeof name, "d:k=%0550d", 1);
    fixture_bean(&f, rule, name, "{}");
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_assert_eq(f.n, 0);
    cr_assert_eq(f.lost, 1);
    fixture_bean(&f, rule, "d:k=0", "{}");
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_assert_eq(f.n, 1);
    cr_assert_eq(f.lost, 1);
    fixture_clear(&f);
    fm_rule_free(rule);
}

Test(snapshot, with_no_room_at_all_is_lost_and_not_endless)
{
    struct fm_rule *rule = snapshot_rule(60);
    struct fixture f;
    fixture_init(&f);
    add_beans(&f, rule, 3, 5);
    cr_assert_eq(fixture_build(&f), FM_OK);
    cr_assert_eq(f.n, 0);
    cr_assert_gt(f.lost, 0);
    fixture_clear(&f);
    fm_rule_free(rule);
}
