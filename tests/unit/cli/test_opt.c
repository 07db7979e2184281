#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/opt.h"

struct values {
    bool json;
    int verbose;
    const char *config;
    struct fm_words set;
    int64_t timeout_ms;
    uint64_t size;
    uint64_t limit;
};

#define AT(field) offsetof(struct values, field)
static const struct fm_flag table[] = {
    {0, "json", FM_FLAG_SWITCH, AT(json), NULL, ""},
    {'v', "verbose", FM_FLAG_COUNT, AT(verbose), NULL, ""},
    {'c', "config", FM_FLAG_TEXT, AT(config), "FILE", ""},
    {'o', "set", FM_FLAG_LIST, AT(set), "K=V", ""},
    {'t', "timeout", FM_FLAG_MSEC, AT(timeout_ms), "DURATION", ""},
    {0, "max-size", FM_FLAG_SIZE, AT(size), "SIZE", ""},
    {'n', "limit", FM_FLAG_NUMBER, AT(limit), "N", ""},
    {.name = NULL},
};

static struct fm_arena arena;
static struct fm_words words;
static struct fm_err err;

static enum fm_code parse_until(struct values *v, bool first_word_ends, const char *const *args,
                                size_t n)
{
    const struct fm_flags sets[] = {{table, v}};
    *v = (struct values){.json = false};
    fm_err_clear(&err);
    return fm_flags_parse(sets, 1, args, n, first_word_ends, &words, &arena, &err);
}

#define PARSE(v, ...)                                                                              \
    parse_until((v), false, (const char *const[]){__VA_ARGS__},                                    \
                sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void fresh(void)
{
    fm_arena_init(&arena, 0);
}

static void done(void)
{
    fm_arena_clear(&arena);
}

TestSuite(opt, .init = fresh, .fini = done);

Test(opt, takes_values_in_every_spelling)
{
    struct values v;
    cr_assert_eq(PARSE(&v, "-ca.ini"), FM_OK);
    cr_assert_str_eq(v.config, "a.ini");
    cr_assert_eq(PARSE(&v, "-c", "b.ini"), FM_OK);
    cr_assert_str_eq(v.config, "b.ini");
    cr_assert_eq(PARSE(&v, "--config=c=d.ini"), FM_OK);
    cr_assert_str_eq(v.config, "c=d.ini");
    cr_assert_eq(PARSE(&v, "--config", "-"), FM_OK);
    cr_assert_str_eq(v.config, "-");
    cr_assert_eq(PARSE(&v, "--config="), FM_OK);
    cr_assert_str_eq(v.config, "");
    cr_assert_eq(PARSE(&v, "-vvcx"), FM_OK);
    cr_assert_eq(v.verbose, 2);
    cr_assert_str_eq(v.config, "x");
}

Test(opt, words_and_options_may_be_mixed)
{
    struct values v;
    cr_assert_eq(PARSE(&v, "one", "-v", "two", "--json", "-", "--", "--three", "-v"), FM_OK);
    cr_assert(v.json);
    cr_assert_eq(v.verbose, 1);
    cr_assert_eq(words.n, 5);
    cr_assert_str_eq(words.items[0], "one");
    cr_assert_str_eq(words.items[1], "two");
    cr_assert_str_eq(words.items[2], "-");
    cr_assert_str_eq(words.items[3], "--three");
    cr_assert_str_eq(words.items[4], "-v");
}

Test(opt, the_first_word_may_end_the_options)
{
    struct values v;
    const char *const args[] = {"-v", "get", "-v", "--unknown"};
    cr_assert_eq(parse_until(&v, true, args, 4), FM_OK);
    cr_assert_eq(v.verbose, 1);
    cr_assert_eq(words.n, 3);
    cr_assert_str_eq(words.items[2], "--unknown");
}

Test(opt, a_list_keeps_order_and_every_item)
{
    struct values v;
    char text[100][8];
    const char *args[100];
    for (size_t i = 0; i < 100; i++) {
        (void)snprintf(text[i], sizeof text[i], "-o%zu", i);
        args[i] = text[i];
    }
    cr_assert_eq(parse_until(&v, false, args, 100), FM_OK);
    cr_assert_eq(v.set.n, 100);
    for (size_t i = 0; i < 100; i++)
        cr_assert_eq(strtoul(v.set.items[i], NULL, 10), i);
}

Test(opt, reads_durations_sizes_and_numbers)
{
    struct values v;
    cr_assert_eq(PARSE(&v, "-t", "5m", "--max-size", "64KiB", "-n", "18446744073709551615"), FM_OK);
    cr_assert_eq(v.timeout_ms, 300000);
    cr_assert_eq(v.size, 65536);
    cr_assert_eq(v.limit, UINT64_MAX);
}

Test(opt, refuses_with_a_sentence_that_helps)
{
    static const char *const rows[][3] = {
        {"--jsn", NULL, "unknown option --jsn; did you mean --json?"},
        {"--confgi=x", NULL, "unknown option --confgi; did you mean --config?"},
        {"--nothing-like-it", NULL, "unknown option --nothing-like-it"},
        {"-x", NULL, "unknown option -x"},
        {"-vx", NULL, "unknown option -x"},
        {"--json=1", NULL, "--json takes no value"},
        {"-c", NULL, "-c needs a value: FILE"},
        {"--config", NULL, "--config needs a value: FILE"},
        {"-t", "5 parsecs", "-t: \"5 parsecs\" is not a duration; write 500ms, 10s, 5m, 2h or 7d"},
        {"--max-size=1XB", NULL, "--max-size: \"1XB\" is not a size; write 64KiB, 1MiB or 2GiB"},
        {"-n", "-1", "-n: \"-1\" is not a number"},
        {"-n", "", "-n: \"\" is not a number"},
        {"-n", "1x", "-n: \"1x\" is not a number"},
        {"-n", "18446744073709551616", "-n: \"18446744073709551616\" is not a number"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct values v;
        cr_expect_eq(parse_until(&v, false, rows[i], rows[i][1] == NULL ? 1 : 2), FM_EUSAGE);
        cr_expect_str_eq(err.text, rows[i][2]);
    }
}

Test(opt, a_name_is_never_guessed_from_its_beginning)
{
    struct values v;
    cr_assert_eq(PARSE(&v, "--js"), FM_EUSAGE);
    cr_assert_not(v.json);
    cr_assert_eq(PARSE(&v, "--jsonx"), FM_EUSAGE);
    cr_assert_not(v.json);
}

Test(opt, two_tables_are_read_together)
{
    struct values v = {.json = false};
    struct other {
        bool all;
    } other = {false};
    static const struct fm_flag second[] = {{'a', "all", FM_FLAG_SWITCH, 0, NULL, ""},
                                            {.name = NULL}};
    const struct fm_flags sets[] = {{table, &v}, {second, &other}};
    const char *const args[] = {"-va", "--json", "--al"};
    cr_assert_eq(fm_flags_parse(sets, 2, args, 2, false, &words, &arena, &err), FM_OK);
    cr_assert(v.json && v.verbose == 1 && other.all);
    cr_assert_eq(fm_flags_parse(sets, 2, args, 3, false, &words, &arena, &err), FM_EUSAGE);
    cr_assert_str_eq(err.text, "unknown option --al; did you mean --all?");
}
