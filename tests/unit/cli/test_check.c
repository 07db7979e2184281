/* What `check` says of targets and queries, before a scripted agent. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jolokia_fake.h"

static const char *const beans[] = {"a:n=1,type=A", "a:n=2,type=A", "a:n=3,type=A", NULL};
static char program[4096];
static char file[64];
static char output[256 * 1024];

static void set_up(void)
{
    const char *build = getenv("B");
    char cwd[2048];
    cr_assert_not_null(getcwd(cwd, sizeof cwd));
    (void)snprintf(program, sizeof program, "%s/%s/firstmile", cwd,
                   build != NULL ? build : "build/asan");
    jolokia_start(beans);
    (void)snprintf(file, sizeof file, "/tmp/firstmile-check-XXXXXX");
    int fd = mkstemp(file);
    FILE *f = fdopen(fd, "w");
    cr_assert_not_null(f);
    (void)fprintf(f,
                  "[rest]\nurl = sandbox\n[spool]\npath = memory\n"
                  "[target:one]\nurl = http://127.0.0.1:%u\ninterval = 10s\nqueries = cut\n"
                  "[target:two]\nurl = http://127.0.0.1:%u\ninterval = 20s\nqueries = rare\n"
                  "[query:cut]\nbean = a:*\nattributes = Count\nmax_beans = 2\n"
                  "[query:rare]\nbean = a:*\ninterval = 50s\n",
                  (unsigned)jolokia_port(), (unsigned)jolokia_port());
    (void)fclose(f);
}

static void tear_down(void)
{
    (void)unlink(file);
    jolokia_stop();
}

TestSuite(check, .init = set_up, .fini = tear_down, .timeout = 60);

static int run_check(const char *option)
{
    char *argv[] = {program, strdup("check"), strdup("-c"), file, strdup(option), NULL};
    int fds[2], status = 0;
    size_t used = 0;
    cr_assert_eq(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(fds[1], STDOUT_FILENO);
        (void)close(fds[0]);
        (void)execv(program, argv);
        _exit(127);
    }
    (void)close(fds[1]);
    for (ssize_t n; (n = read(fds[0], output + used, sizeof output - 1 - used)) > 0;)
        used += (size_t)n;
    output[used] = '\0';
    (void)close(fds[0]);
    (void)waitpid(pid, &status, 0);
    free(argv[1]);
    free(argv[2]);
    free(argv[4]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const json_t *row(const json_t *rows, const char *name, const char *step, const char *detail)
{
    size_t i;
    const json_t *one;
    json_array_foreach (rows, i, one) {
        const char *text = json_string_value(json_object_get(one, "detail"));
        if (strcmp(json_string_value(json_object_get(one, "name")), name) == 0 &&
            strcmp(json_string_value(json_object_get(one, "step")), step) == 0 &&
            strstr(text, detail) != NULL)
            return one;
    }
    cr_assert_fail("no row %s, %s, %s in %s", name, step, detail, output);
    return NULL;
}

static void expect_fact(const json_t *one, const char *key, json_int_t value)
{
    cr_expect_eq(json_integer_value(json_object_get(one, key)), value, "%s: %lld of %s", key,
                 json_integer_value(json_object_get(one, key)), output);
}

Test(check, says_what_each_query_took_and_what_it_was_refused)
{
    cr_expect_eq(run_check("--json"), 0, "%s", output);
    json_t *rows = json_loads(output, 0, NULL);
    cr_assert(json_is_array(rows), "%s", output);
    const json_t *cut = row(rows, "one", "query cut", "2 of 3 that match (max_beans)");
    cr_expect_str_eq(json_string_value(json_object_get(cut, "result")), "warn");
    expect_fact(cut, "matched", 3);
    expect_fact(cut, "beans", 2);
    expect_fact(cut, "attributes", 2);
    cr_expect_gt(json_integer_value(json_object_get(cut, "bytes")), 0);
    const json_t *rare = row(rows, "two", "query rare", "attributes: 9 of 12");
    expect_fact(rare, "asked", 12);
    const json_t *refused = row(rows, "two", "query rare", "refused: Broken of a:n=1,type=A");
    cr_expect_not_null(
        strstr(json_string_value(json_object_get(refused, "detail")), "out of order"), "%s",
        output);
    json_decref(rows);
}

Test(check, estimates_records_and_bytes_an_hour)
{
    cr_expect_eq(run_check("--json"), 0, "%s", output);
    json_t *rows = json_loads(output, 0, NULL);
    const json_t *one = row(rows, "one", "volume", "");
    const json_t *two = row(rows, "two", "volume", "");
    const json_t *all = row(rows, "(all)", "volume", "");
    expect_fact(one, "records_per_hour", 2 * 360);
    /* 50 s become a multiple of the target's 20 s. */
    expect_fact(two, "records_per_hour", 3 * 60);
    expect_fact(all, "records_per_hour", 900);
    json_int_t bytes = json_integer_value(json_object_get(one, "bytes_per_hour"));
    cr_expect(bytes > 720 * 150 && bytes < 720 * 500, "%lld", bytes);
    json_decref(rows);
}

Test(check, shows_the_same_to_people)
{
    cr_expect_eq(run_check("--set=agent.name=a"), 0, "%s", output);
    cr_expect_not_null(strstr(output, "720 records"), "%s", output);
    cr_expect_null(strstr(output, "RECORDS PER HOUR"), "%s", output);
    cr_expect_not_null(strstr(output, "DETAIL\n"), "%s", output);
}

Test(check, says_nothing_in_quiet_where_nothing_failed)
{
    cr_expect_eq(run_check("-q"), 0, "%s", output);
    cr_expect_str_eq(output, "");
}

Test(check, says_also_in_quiet_that_no_jvm_matches)
{
    FILE *f = fopen(file, "w");
    cr_assert_not_null(f);
    (void)fputs("[rest]\nurl = sandbox\n[spool]\npath = memory\n"
                "[target:app]\nurl = local:no-such-application\n",
                f);
    (void)fclose(f);
    cr_expect_eq(run_check("-q"), 0, "%s", output);
    cr_expect_not_null(strstr(output, "no-such-application"), "%s", output);
    cr_expect_not_null(strstr(output, "warn"), "%s", output);
    cr_expect_null(strstr(output, "sandbox"), "only that: %s", output);
}
