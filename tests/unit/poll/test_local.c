/* Sections of local:GLOB whose JVM is not there. What a look at the host found is made up. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "fake.h"

static struct fm_query *query;
static struct fm_poll_query queries[1];
static struct fm_log *log_;
static int ends[2];
static char said[4000];
static struct fm_poll *poll;

static struct fm_poll_target_opts section(const char *url)
{
    return (struct fm_poll_target_opts){
        .name = "app", .url = url, .queries = queries, .n_queries = 1, .attach = true};
}

static void open_poll(const struct fm_poll_target_opts *target)
{
    struct fm_err err = {0};
    struct fm_poll_opts o = {.log = log_, .targets = target, .n_targets = 1, .host_name = "here"};
    cr_assert_eq(fm_poll_new_with(&poll, &o, &fake_sessions, &err), FM_OK, "%s", err.text);
    cr_assert_eq(fm_sections_expand(poll, NULL), FM_OK);
}

static void set_up(void)
{
    struct fm_query_opts q = {.name = "all", .bean = "a:*"};
    struct fm_err err = {0};
    cr_assert_eq(fm_query_new(&query, &q, &err), FM_OK);
    queries[0].query = query;
    cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    cr_assert_eq(fm_log_new(&log_, ends[1], FM_LOG_INFO, FM_LOG_TEXT, &err), FM_OK);
}

static void tear_down(void)
{
    fm_poll_free(poll);
    fm_query_free(query);
    fm_log_free(log_);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

TestSuite(local, .init = set_up, .fini = tear_down);

static struct fm_jvm jvm(pid_t pid, const char *name)
{
    return (struct fm_jvm){
        .pid = pid, .name = name, .command = name, .start_ms = fm_wall_ms(), .state = FM_JVM_OPEN};
}

/* @return what was logged, "" if nothing was */
static const char *found(struct fm_jvm *jvms, size_t n)
{
    struct fm_job job = {.kind = FM_JOB_SCAN, .jvms = jvms, .n = n};
    fm_sections_scanned(poll, &job);
    ssize_t len = read(ends[0], said, sizeof said - 1);
    said[len > 0 ? len : 0] = '\0';
    return said;
}

/* Whether the snapshot has an absent target, and what it says. */
static bool absent(const char *sentence)
{
    struct fm_poll_snapshot snapshot;
    bool is = false;
    cr_assert_eq(fm_poll_status_get(poll, &snapshot, NULL), FM_OK);
    for (size_t i = 0; i < snapshot.n; i++) {
        if (!snapshot.targets[i].absent)
            continue;
        is = true;
        cr_expect_str_eq(snapshot.targets[i].name, "app");
        cr_expect_not_null(strstr(snapshot.targets[i].error, sentence), "%s",
                           snapshot.targets[i].error);
    }
    fm_poll_snapshot_clear(&snapshot);
    return is;
}

Test(local, a_misspelt_pattern_is_told_once_with_the_near_name_and_its_end)
{
    const struct fm_poll_target_opts target = section("local:Sleper");
    struct fm_jvm jvms[] = {jvm(11, "Sleeper"), jvm(12, "kafka"), jvm(13, "Sleper")};
    open_poll(&target);
    cr_expect_not(absent(""), "nobody has looked yet");
    cr_expect_not_null(strstr(found(jvms, 2), "warn "), "%s", said);
    cr_expect_not_null(strstr(said, "target app: no JVM here matches local:Sleper"), "%s", said);
    cr_expect_not_null(strstr(said, "did you mean local:Sleeper"), "%s", said);
    cr_expect(absent("kafka (pid 12)"));
    cr_expect_str_eq(found(jvms, 2), "");
    cr_expect_str_eq(found(NULL, 0), "");
    cr_expect(absent("no JVM runs here"));
    cr_expect_not_null(strstr(found(jvms, 3), "runs now"), "%s", said);
    cr_expect_not(absent(""));
    cr_expect_null(strstr(found(jvms, 3), "app"), "%s", said);
}

Test(local, a_jvm_that_stays_dead_is_missed_when_its_name_is_forgotten)
{
    const struct fm_poll_target_opts target = section("local:Sleeper");
    struct fm_jvm one = jvm(11, "Sleeper");
    open_poll(&target);
    (void)found(&one, 1);
    cr_assert_eq(poll->n_targets, 1);
    (void)found(NULL, 0);
    cr_expect_not(absent(""), "the target that is down says so itself");
    cr_expect_eq(poll->targets[0]->state, FM_POLL_DOWN);
    poll->targets[0]->gone_ms -= 301000;
    cr_expect_not_null(strstr(found(NULL, 0), "no JVM here matches local:Sleeper"), "%s", said);
    cr_expect_eq(poll->n_targets, 0);
    cr_expect(absent("no JVM here matches local:Sleeper"));
}

Test(local, what_takes_any_jvm_or_waits_for_one_that_starts_misses_none)
{
    const struct fm_poll_target_opts any = section("local:*"), some = section("local:Sleeper");
    struct fm_jvm starting = jvm(11, "Sleeper");
    starting.state = FM_JVM_STARTING;
    open_poll(&any);
    cr_expect_str_eq(found(NULL, 0), "");
    cr_expect_not(absent(""));
    fm_poll_free(poll);
    open_poll(&some);
    cr_expect_str_eq(found(&starting, 1), "");
    cr_expect_not(absent(""));
    starting.start_ms -= 16000; /* what takes so long has not begun to */
    (void)found(&starting, 1);
    cr_expect_not(absent(""));
}

Test(local, a_reload_tells_nothing_anew_of_jvms_that_are_left_out)
{
    const struct fm_poll_target_opts target = section("local:*");
    struct fm_jvm closed = jvm(11, "Sleeper");
    struct fm_err err = {0};
    closed.state = FM_JVM_NO_ATTACH;
    open_poll(&target);
    cr_expect_not_null(strstr(found(&closed, 1), "cannot be polled"), "%s", said);
    cr_expect_not(absent(""));
    cr_assert_eq(fm_poll_replace(poll, &target, 1, &err), FM_OK, "%s", err.text);
    cr_expect_str_eq(found(&closed, 1), "");
}

Test(local, a_reload_tells_nothing_anew)
{
    const struct fm_poll_target_opts target = section("local:Sleeper"),
                                     other = section("local:Kafka*");
    struct fm_err err = {0};
    open_poll(&target);
    (void)found(NULL, 0);
    cr_assert_eq(fm_poll_replace(poll, &target, 1, &err), FM_OK, "%s", err.text);
    cr_expect(absent("Sleeper"), "until somebody has looked again");
    cr_expect_str_eq(found(NULL, 0), "");
    cr_assert_eq(fm_poll_replace(poll, &other, 1, &err), FM_OK, "%s", err.text);
    cr_expect_not(absent(""));
    cr_expect_not_null(strstr(found(NULL, 0), "local:Kafka*"), "%s", said);
}
