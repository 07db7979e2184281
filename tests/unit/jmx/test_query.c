#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "jmx/query.h"

static struct fm_arena arena;

static struct fm_query *query(const struct fm_query_opts *opts)
{
    struct fm_query *q = NULL;
    struct fm_err err = {0};
    cr_assert_eq(fm_query_new(&q, opts, &err), FM_OK, "%s", err.text);
    return q;
}

static bool matches(const struct fm_query_opts *opts, const char *text)
{
    struct fm_query *q = query(opts);
    struct fm_name name;
    cr_assert_eq(fm_name_parse(&name, &arena, text, NULL), FM_OK);
    bool match = fm_query_matches(q, &name, &arena);
    fm_query_free(q);
    return match;
}

static void open_arena(void)
{
    fm_arena_init(&arena, 0);
}

static void close_arena(void)
{
    fm_arena_clear(&arena);
}

TestSuite(query, .init = open_arena, .fini = close_arena);

Test(query, takes_alternatives_and_leaves_excludes)
{
    struct fm_query_opts o = {.bean = "Catalina:type=GlobalRequestProcessor,* | "
                                      "Tomcat:type=GlobalRequestProcessor,name=\"a | b\"",
                              .exclude = "*:name=\"ajp*\",* | x:y=z"};
    cr_expect(matches(&o, "Catalina:type=GlobalRequestProcessor,name=\"http\""));
    cr_expect(matches(&o, "Tomcat:name=\"a | b\",type=GlobalRequestProcessor"));
    cr_expect_not(matches(&o, "Tomcat:name=b,type=GlobalRequestProcessor"));
    cr_expect_not(matches(&o, "Catalina:type=GlobalRequestProcessor,name=\"ajp-1\""));
}

Test(query, wants_property_values_that_match_the_expression)
{
    const struct fm_query_where where[] = {{"client-id", "^(a|connect-.*:8083)$"}};
    struct fm_query_opts o = {.bean = "k:*", .where = where, .n_where = 1};
    cr_expect(matches(&o, "k:client-id=\"connect-127.0.0.1:8083\""), "quotes are no part of it");
    cr_expect(matches(&o, "k:client-id=a,x=1"));
    cr_expect_not(matches(&o, "k:client-id=ab"));
    cr_expect_not(matches(&o, "k:x=a"), "without the property");
}

Test(query, asks_the_server_for_as_few_patterns_as_will_do)
{
    static const struct {
        const char *bean, *patterns;
    } cases[] = {{"a:type=x", "a:type=x"},
                 {"a:type=x | a:type=x", "a:type=x"},
                 {"a:* | a:type=x | a:type=y,*", "a:*"},
                 {"a:type=y,* | a:type=y,name=* | b:*", "a:type=y,* b:*"},
                 {"*:type=x | a:type=x", "*:type=x"},
                 {"k*:type=x,* | kafka:type=x,name=1", "k*:type=x,*"},
                 {"a:type=* | a:type=x,*", "a:type=* a:type=x,*"},
                 {"a:name=?,t=1 | a:name=*,t=1", "a:name=*,t=1"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fm_query_opts o = {.bean = cases[i].bean};
        struct fm_query *q = query(&o);
        const char *const *list = NULL;
        size_t n = fm_query_patterns(q, &list);
        char text[256] = "";
        for (size_t k = 0; k < n; k++)
            (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s",
                           k > 0 ? " " : "", list[k]);
        cr_expect_str_eq(text, cases[i].patterns, "%s gives %s", cases[i].bean, text);
        fm_query_free(q);
    }
}

Test(query, refuses_what_it_cannot_mean)
{
    const struct fm_query_where bad_regex[] = {{"a", "("}};
    const char *const empty[] = {""}, *const bang[] = {"!"}, *const slash[] = {"a//b"},
                      *const trail[] = {"a/"};
    const struct fm_query_opts bad[] = {
        {.name = "q", .bean = NULL},
        {.name = "q", .bean = "no-colon"},
        {.name = "q", .bean = "a:* | "},
        {.name = "q", .bean = "a:*", .exclude = "x"},
        {.name = "q", .bean = "a:*", .where = bad_regex, .n_where = 1},
        {.name = "q", .bean = "a:*", .attributes = empty, .n_attributes = 1},
        {.name = "q", .bean = "a:*", .attributes = bang, .n_attributes = 1},
        {.name = "q", .bean = "a:*", .attributes = slash, .n_attributes = 1},
        {.name = "q", .bean = "a:*", .attributes = trail, .n_attributes = 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct fm_query *q = NULL;
        struct fm_err err = {0};
        cr_expect_eq(fm_query_new(&q, &bad[i], &err), FM_ECONF, "case %zu", i);
        cr_expect(strstr(err.text, "query q") != NULL, "case %zu: %s", i, err.text);
        cr_expect(q == NULL);
    }
}

/* ---- values by a small notation: name, or name{...} for an object, x is the number 1 ---- */

static struct fm_value object(const char **text)
{
    struct fm_value v = {.kind = FM_V_OBJECT};
    v.object.members = fm_arena_array(&arena, 32, sizeof *v.object.members);
    while (**text != '}' && **text != '\0') {
        size_t len = strcspn(*text, " {}");
        struct fm_member *m = &v.object.members[v.object.n++];
        m->key = (struct fm_text){fm_arena_strndup(&arena, *text, len), len};
        m->value = (struct fm_value){.kind = FM_V_INT, .i = 1};
        *text += len;
        if (**text == '{') {
            ++*text;
            m->value = object(text);
        }
        *text += **text == ' ';
    }
    *text += **text == '}';
    return v;
}

static void show(const struct fm_value *v, struct fm_buf *buf)
{
    for (size_t i = 0; i < v->object.n; i++) {
        const struct fm_member *m = &v->object.members[i];
        if (i > 0)
            fm_buf_putc(buf, ' ');
        fm_buf_puts(buf, m->key.ptr);
        if (m->value.kind == FM_V_OBJECT) {
            fm_buf_putc(buf, '{');
            show(&m->value, buf);
            fm_buf_putc(buf, '}');
        }
    }
}

struct shape_case {
    const char *attributes[5];
    const char *in, *out;
};

static struct fm_query *of(const char *const *attributes)
{
    size_t n = 0;
    while (n < 5 && attributes[n] != NULL)
        n++;
    struct fm_query_opts o = {.bean = "a:*", .attributes = attributes, .n_attributes = n};
    return query(&o);
}

Test(query, shapes_values_as_the_paths_say)
{
    static const struct shape_case cases[] = {
        {{NULL}, "A B{c d}", "A B{c d}"},
        {{"*"}, "A SystemProperties{x} ClassPath B", "A B"},
        {{"*"}, "A KeyPassword TokenCount mySECRET B{user Password{x} z}", "A B{user z}"},
        {{"B"}, "A B{user Password}", "B{user Password}"},
        {{"SystemProperties"}, "SystemProperties{x secret}", "SystemProperties{x secret}"},
        {{"S*"}, "SystemProperties{x} Su", "Su"},
        {{"*", "KeyPassword"}, "A KeyPassword ClassPath", "A KeyPassword"},
        {{"Usage/used"}, "Usage{init used max} A", "Usage{used}"},
        {{"Usage/used", "Usage/max"}, "Usage{init used max} A", "Usage{used max}"},
        {{"*", "!Usage/init"}, "Usage{init used max} A", "Usage{used max} A"},
        {{"Usage", "!Usage/i*"}, "Usage{init used max} A", "Usage{used max}"},
        {{"!A*"}, "A Ab B", "B"},
        {{"*/used"}, "Usage{init used} Peak{used} A", "Usage{used} Peak{used}"},
        {{"Last/mem/*/used"},
         "Last{mem{Eden{used max} Old{used}} id}",
         "Last{mem{Eden{used} Old{used}}}"},
        {{"Usage/used"}, "Usage", ""},
        {{"Usage/none"}, "Usage{used}", ""},
        {{"tag.Hostname", "9?th"}, "tag.Hostname tagxHostname 99th 9th", "tag.Hostname 99th"},
        {{"a\\/b", "c\\*"}, "a/b a{b} c* cd", "a/b c*"},
        {{"\\!x"}, "!x x", "!x"},
        {{"Map/password"}, "Map{password user}", "Map{password}"},
        {{"Map/*"}, "Map{password user}", "Map{user}"},
        {{"Usage", "Usage/used"}, "Usage{init used}", "Usage{init used}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fm_query *q = of(cases[i].attributes);
        const char *text = cases[i].in;
        struct fm_value in = object(&text), out;
        cr_assert_eq(fm_query_shape(&out, (const struct fm_query *const *)&q, 1, &in, &arena, NULL),
                     FM_OK);
        struct fm_buf buf;
        fm_buf_init(&buf, 0);
        show(&out, &buf);
        cr_expect_str_eq(fm_buf_str(&buf), cases[i].out, "case %zu (%s): %s", i,
                         cases[i].attributes[0], fm_buf_str(&buf));
        fm_buf_clear(&buf);
        fm_query_free(q);
    }
}

Test(query, merges_what_several_queries_take_of_a_bean)
{
    const char *const first[] = {"Usage/used", "A", NULL}, *const second[] = {"Usage/max", "B",
                                                                              NULL};
    struct fm_query *q[] = {of(first), of(second)};
    const char *text = "A B C Usage{init used max}";
    struct fm_value in = object(&text), out;
    cr_assert_eq(fm_query_shape(&out, (const struct fm_query *const *)q, 2, &in, &arena, NULL),
                 FM_OK);
    struct fm_buf buf;
    fm_buf_init(&buf, 0);
    show(&out, &buf);
    cr_expect_str_eq(fm_buf_str(&buf), "A Usage{used max} B");
    fm_buf_clear(&buf);
    fm_query_free(q[0]);
    fm_query_free(q[1]);
}

Test(query, keeps_the_index_of_a_path_into_an_array)
{
    const char *const attributes[] = {"List/1", NULL};
    struct fm_query *q = of(attributes);
    struct fm_value items[] = {{.kind = FM_V_INT, .i = 7}, {.kind = FM_V_INT, .i = 8}};
    struct fm_member member = {{"List", 4}, {.kind = FM_V_ARRAY, .array = {items, 2}}};
    struct fm_value in = {.kind = FM_V_OBJECT, .object = {&member, 1}}, out;
    cr_assert_eq(fm_query_shape(&out, (const struct fm_query *const *)&q, 1, &in, &arena, NULL),
                 FM_OK);
    struct fm_buf buf;
    fm_buf_init(&buf, 0);
    fm_value_print(&buf, &out, FM_JSON_NONFINITE_NULL);
    cr_expect_str_eq(fm_buf_str(&buf), "{\"List\":{\"1\":8}}");
    fm_buf_clear(&buf);
    fm_query_free(q);
}

Test(query, knows_its_attributes_without_asking_when_no_glob_is_there)
{
    const char *const plain[] = {"A", "B/used", "B/max", "C", "!C", NULL};
    const char *const globs[] = {"A", "B*", NULL};
    struct fm_query *q = of(plain), *g = of(globs);
    const char *const *names = NULL;
    size_t n = 0;
    cr_assert(fm_query_literal(q, &names, &n));
    cr_assert_eq(n, 2);
    cr_expect_str_eq(names[0], "A");
    cr_expect_str_eq(names[1], "B");
    cr_expect_not(fm_query_literal(g, &names, &n));
    fm_query_free(q);
    fm_query_free(g);
}

Test(query, selects_readable_attributes_and_no_secrets)
{
    static const struct {
        const char *name;
        bool readable;
    } list[] = {
        {"A", true}, {"WriteOnly", false}, {"ClassPath", true}, {"authToken", true}, {"B", true}};
    struct fm_value items[5];
    struct fm_member members[5][2];
    for (size_t i = 0; i < 5; i++) {
        members[i][0] = (struct fm_member){
            {"name", 4}, {.kind = FM_V_STRING, .text = {list[i].name, strlen(list[i].name)}}};
        members[i][1] =
            (struct fm_member){{"readable", 8}, {.kind = FM_V_BOOL, .b = list[i].readable}};
        items[i] = (struct fm_value){.kind = FM_V_OBJECT, .object = {members[i], 2}};
    }
    struct fm_member top = {{"attributes", 10}, {.kind = FM_V_ARRAY, .array = {items, 5}}};
    struct fm_value info = {.kind = FM_V_OBJECT, .object = {&top, 1}};
    const char *const all[] = {"*", "!B", "authToken", NULL};
    struct fm_query *q = of(all);
    const char *const *names = NULL;
    size_t n = 0;
    cr_assert_eq(fm_query_select(q, &info, &names, &n, &arena, NULL), FM_OK);
    cr_assert_eq(n, 2);
    cr_expect_str_eq(names[0], "A");
    cr_expect_str_eq(names[1], "authToken");
    fm_query_free(q);
}
