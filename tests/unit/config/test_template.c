#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "config/template.h"

static const char *prop(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "a.b") == 0 ? "P" : NULL;
}

static const char *fill(const char *text)
{
    static char out[200];
    struct fm_template *tpl = NULL;
    struct fm_err err = {0};
    cr_assert_eq(fm_template_new(&tpl, text, FM_VARS_ALL, "A", &err), FM_OK, "%s", err.text);
    struct fm_template_values values = {
        .host = "H", .target = "T", .topic = "O", .domain = "D", .bean = "B", .prop = prop};
    struct fm_buf buf;
    fm_buf_init(&buf, 0);
    fm_template_put(tpl, &values, &buf);
    cr_assert_lt(buf.len, sizeof out);
    memcpy(out, fm_buf_str(&buf), buf.len + 1);
    fm_buf_clear(&buf);
    fm_template_free(tpl);
    return out;
}

Test(template, fills_in_all_variables)
{
    cr_assert_str_eq(fill("${agent}${host}${target}${topic}${domain}${bean}${prop.a.b}"),
                     "AHTODBP");
    cr_assert_str_eq(fill("x${prop.none}y${tag.none}z"), "xyz");
    cr_assert_str_eq(fill(""), "");
    cr_assert_str_eq(fill("$$${host}$$$$"), "$H$$");
    cr_assert_str_eq(fill("a$b $ {host} $"), "a$b $ {host} $");
    cr_assert_str_eq(fill("$${host}"), "${host}");
}

Test(template, knows_what_it_needs)
{
    struct fm_template *tpl = NULL;
    cr_assert_eq(fm_template_new(&tpl, "a$$${agent}", FM_VARS_ALL, "x", NULL), FM_OK);
    cr_assert_eq(fm_template_vars(tpl), 0, "a constant");
    fm_template_free(tpl);
    cr_assert_eq(fm_template_new(&tpl, "${tag.a}-${host}-${tag.b}", FM_VARS_ALL, NULL, NULL),
                 FM_OK);
    cr_assert_eq(fm_template_vars(tpl), FM_VAR_TAG | FM_VAR_HOST);
    cr_assert_str_eq(fm_template_tag(tpl, 1), "b");
    cr_assert_null(fm_template_tag(tpl, 2));
    fm_template_free(tpl);
}

Test(template, refuses_what_is_not_allowed)
{
    static const struct {
        const char *text;
        unsigned allowed;
        const char *said;
    } cases[] = {
        {"${hots}", FM_VARS_ALL, "there is no ${hots}; did you mean ${host}?"},
        {"${bean}", FM_VARS_TOPIC,
         "${bean} cannot stand here; there are ${agent} ${host} ${target}"},
        {"${prop.}", FM_VARS_ALL, "${prop.}"},
        {"${}", FM_VARS_ALL, "${}"},
        {"x${host", FM_VARS_ALL, "${ has no closing brace"},
        {"${host}", 0, "there are no variables"},
        {"${a very long name that is not a variable at all and never will be}", FM_VARS_ALL,
         "cannot stand here; there are ${agent} ${host} ${target} ${topic} ${domain} ${bean} "
         "${prop.NAME} ${tag.NAME}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fm_template *tpl = NULL;
        struct fm_err err = {0};
        cr_expect_eq(fm_template_new(&tpl, cases[i].text, cases[i].allowed, NULL, &err), FM_ECONF);
        cr_expect_not_null(strstr(err.text, cases[i].said), "%s: %s", cases[i].text, err.text);
    }
}

Test(template, knows_the_grammar_of_topics)
{
    static const char *const good[] = {"a", "A.b_c-9", "...", "-"};
    static const char *const bad[] = {"", ".", "..", "a b", "a/b", "a:b", "\xc3\xa4"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_expect(fm_topic_valid(good[i], strlen(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_not(fm_topic_valid(bad[i], strlen(bad[i])), "%s", bad[i]);
    char longest[251];
    memset(longest, 'x', sizeof longest);
    cr_expect(fm_topic_valid(longest, 249));
    cr_expect_not(fm_topic_valid(longest, 250));
}
