/* The program itself, run as a shell would run it. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "program.h"

TestSuite(cmd, .init = program_set_up, .fini = program_tear_down, .timeout = 60);

Test(cmd, help_is_data_and_its_absence_an_error)
{
    cr_expect_eq(RUN("--help"), 0);
    expect_out("usage: firstmile");
    cr_expect_str_eq(result.err, "");
    cr_expect_eq(program_run((const char *const[]){NULL}), 2);
    cr_expect_str_eq(result.out, "");
    expect_err("no command given");
}

Test(cmd, every_command_has_help_in_each_spelling)
{
    static const char *const names[] = {"run",     "check",  "once",  "jvms",
                                        "beans",   "get",    "spool", "sandbox",
                                        "presets", "health", "help",  "version"};
    static char list[PROGRAM_TEXT];
    cr_expect_eq(RUN("--help"), 0);
    memcpy(list, result.out, sizeof list);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char usage[64];
        (void)snprintf(usage, sizeof usage, "usage: firstmile %s", names[i]);
        cr_expect(strstr(list, names[i]) != NULL, "%s is not listed", names[i]);
        if (i % 2 == 0)
            cr_expect_eq(RUN(names[i], "--help"), 0);
        else
            cr_expect_eq(RUN("help", names[i]), 0);
        cr_expect_eq(strncmp(result.out, usage, strlen(usage)), 0, "%s", result.out);
    }
}

Test(cmd, misspelt_words_are_met_with_the_right_ones)
{
    cr_expect_eq(RUN("jmvs"), 2);
    expect_sentence("unknown command \"jmvs\"; did you mean jvms?");
    cr_expect_eq(RUN("frobnicate"), 2);
    expect_sentence("firstmile --help lists the commands");
    cr_expect_eq(RUN("sandbox", "--lisen=x"), 2);
    expect_sentence("sandbox: unknown option --lisen; did you mean --listen?");
    cr_expect_eq(RUN("--jsno", "jvms"), 2);
    expect_sentence("unknown option --jsno; did you mean --json?");
    cr_expect_eq(RUN("spool", "stauts"), 2);
    expect_sentence("unknown action \"stauts\"; did you mean status?");
    cr_expect_eq(RUN("spool", "dead"), 2);
    expect_sentence("dead list");
    cr_expect_eq(RUN("presets", "jvn"), 2);
    expect_sentence("did you mean jvm?");
    cr_expect_eq(RUN("help", "gte"), 2);
    expect_sentence("gte");
}

Test(cmd, the_number_of_arguments_is_checked)
{
    cr_expect_eq(RUN("get", "pid:1"), 2);
    expect_sentence("get: too few arguments; usage: firstmile get TARGET BEAN");
    cr_expect_eq(RUN("version", "now"), 2);
    expect_sentence("version: \"now\" is one argument too many");
    cr_expect_eq(RUN("spool", "dead", "show"), 2);
    expect_sentence(
        "spool dead show: too few arguments; usage: firstmile spool dead show STREAM:SEQ");
    cr_expect_eq(RUN("run", "--json"), 2);
    expect_sentence("--json");
}

Test(cmd, version_in_every_spelling)
{
    cr_expect_eq(RUN("version"), 0);
    expect_out("firstmile ");
    expect_out("libcurl/");
    expect_out("SQLite/");
    cr_expect_eq(RUN("--version"), 0);
    expect_out("(commit ");
    cr_expect_eq(RUN("--json", "version"), 0);
    json_t *json = json_loads(result.out, 0, NULL);
    cr_expect(json_is_string(json_object_get(json, "version")), "%s", result.out);
    cr_expect_gt(json_array_size(json_object_get(json, "libraries")), 3);
    json_decref(json);
}

Test(cmd, presets_are_listed_and_printed)
{
    cr_expect_eq(RUN("presets"), 0);
    expect_out("jvm");
    cr_expect_eq(RUN("presets", "--json"), 0);
    json_t *json = json_loads(result.out, 0, NULL);
    cr_expect(json_is_array(json));
    cr_expect_gt(json_array_size(json), 0);
    json_decref(json);
    cr_expect_eq(RUN("presets", "jvm"), 0);
    expect_out("[query:");
    expect_out("java.lang:type=Memory");
}

Test(cmd, no_colour_and_no_cut_away_from_a_terminal)
{
    cr_expect_eq(RUN("presets"), 0);
    cr_expect_null(strchr(result.out, '\033'));
    cr_expect_null(strstr(result.out, "\xe2\x80\xa6"));
}

Test(cmd, check_names_line_and_remedy_of_every_error)
{
    program_file("bad.ini", "[agent]\nname = x\nintervall = 5s\n[rset]\nurl = sandbox\n"
                            "[batch]\nrecords = many\n");
    cr_expect_eq(RUN("check", "--offline", "-c", "bad.ini"), 2);
    expect_out("bad.ini:3");
    expect_out("interval");
    expect_out("bad.ini:4");
    expect_out("rest");
    expect_out("bad.ini:7");
    expect_sentence("check: the configuration has 3 errors");
    cr_expect_eq(RUN("check", "--offline", "--json", "-c", "bad.ini"), 2);
    json_t *json = json_loads(result.out, 0, NULL);
    cr_expect_eq(json_array_size(json), 3, "%s", result.out);
    json_decref(json);
}

Test(cmd, check_tells_the_errors_of_all_stages_at_once)
{
    program_file("bad.ini", "[agent\n"
                            "intervall = 5s\n"
                            "[rest]\n"
                            "url https://proxy:8082\n"
                            "api = v4\n"
                            "ca_file = absent.pem\n"
                            "[target:a]\n"
                            "url = localhost:9010\n"
                            "timeout = soon\n"
                            "[rest]\n"
                            "retries = 3\n"
                            "[target:b]\n"
                            "preset = jvm\n"
                            "nonsense\n"
                            "[batch] x\n"
                            "records = many\n");
    cr_expect_eq(RUN("check", "--offline", "--json", "-c", "bad.ini"), 2);
    static const char *const places[] = {
        "bad.ini:1: the section's name has no closing bracket",
        "bad.ini:2: [agent] has no key intervall; did you mean interval?",
        "bad.ini:4: neither [section] nor key = value",
        "bad.ini:5: [rest] api",
        "bad.ini:9: [target:a] timeout",
        "bad.ini:10: section [rest] stands already in line 3",
        "bad.ini:11: [rest] has no key retries",
        "bad.ini:14: neither [section]",
        "bad.ini:15: the section's name has no closing bracket, or something follows it",
        "bad.ini:16: [batch] records",
        "absent.pem",
    };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        expect_out(places[i]);
    /* what seems to be missing may stand in a line that could not be read: b's url, [rest] url */
    cr_expect_null(strstr(result.out, "[target:b] url"), "%s", result.out);
    json_t *json = json_loads(result.out, 0, NULL);
    cr_expect_eq(json_array_size(json), 11, "%s", result.out);
    json_decref(json);
    expect_sentence("check: the configuration has 10 errors, and 1 other step failed");
}

Test(cmd, check_is_quiet_about_what_is_well)
{
    program_file("good.ini", "[rest]\nurl = sandbox\n[target:a]\nurl = localhost:9010\n");
    cr_expect_eq(RUN("check", "-q", "--offline", "-c", "good.ini"), 0);
    cr_expect_str_eq(result.out, "");
    cr_expect_str_eq(result.err, "");
    cr_expect_eq(RUN("check", "-q", "--offline", "--json", "-c", "good.ini"), 0);
    cr_expect_str_eq(result.out, "[]\n");
    program_file("bad.ini", "[rest]\nurl = sandbox\nca_file = absent.pem\n"
                            "[target:a]\nurl = localhost:9010\n");
    cr_expect_eq(RUN("check", "-q", "--offline", "-c", "bad.ini"), 1);
    expect_out("absent.pem");
    cr_expect_null(strstr(result.out, "warn"), "%s", result.out);
    cr_expect_null(strstr(result.out, " ok"), "%s", result.out);
}

Test(cmd, keys_of_a_target_that_is_not_there_are_refused)
{
    static const char *const commands[] = {"run", "once", "check", "produce", "spool", "audit"};
    program_file("config.ini", "[rest]\nurl = sandbox\n[target:a]\nurl = localhost:9010\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        cr_expect_eq(RUN(commands[i], "-o", "target.attach=on"), 2, "%s", commands[i]);
        expect_sentence("write -o target:NAME.attach=...");
    }
    cr_expect_eq(RUN("get", "a", "x:y=z", "-o", "target.attach=on"), 2);
    expect_sentence("a has a section of its own: write -o target:a.attach=");
}

Test(cmd, run_says_that_there_are_more_errors)
{
    program_file("bad.ini", "[agent]\nintervall = 5s\n[batch]\nrecords = many\nx\n");
    cr_expect_eq(RUN("run", "-c", "bad.ini"), 2);
    expect_sentence("bad.ini:5: neither [section] nor key = value");
    expect_sentence(" (and 2 more: firstmile check)");
    program_file("bad.ini", "[agent]\nintervall = 5s\n");
    cr_expect_eq(RUN("run", "-c", "bad.ini"), 2);
    cr_expect_null(strstr(result.err, "more: firstmile check"), "%s", result.err);
}

Test(cmd, an_action_that_is_misspelt_is_met_with_the_right_one)
{
    cr_expect_eq(RUN("spool", "dead", "shw"), 2);
    expect_sentence("unknown action");
    cr_expect_eq(RUN("spool", "frobnicate"), 2);
    expect_sentence("there are: status, list");
    cr_expect_eq(RUN("run", "extra"), 2);
    expect_sentence("usage: firstmile run\n");
}

Test(cmd, what_is_printed_into_a_closed_stdout_is_told)
{
    char command[4200];
    (void)snprintf(command, sizeof command, "exec '%s' version >&-", program);
    const char *const args[] = {"-c", command, NULL};
    (void)snprintf(program, sizeof program, "/bin/sh");
    cr_expect_eq(program_run(args), 1);
    expect_sentence("cannot write to stdout: Bad file descriptor");
}

Test(cmd, check_and_run_agree_on_what_cannot_start)
{
    program_file("empty.ini", "");
    cr_expect_eq(RUN("check", "-c", "empty.ini"), 2);
    expect_out("[rest] url is not set");
    cr_expect_eq(RUN("run", "-c", "empty.ini"), 2);
    expect_sentence("[rest] url is not set");
    cr_expect_eq(RUN("once", "-c", "empty.ini"), 2);
    expect_sentence("[rest] url is not set");
    cr_expect_eq(RUN("check", "-c", "empty.ini", "-o", "rest.url=sandbox", "-o",
                     "agent.state_dir=/proc/nope"),
                 1);
    expect_out("cannot be made in /proc");
    cr_expect_eq(
        RUN("check", "-c", "empty.ini", "-o", "rest.url=sandbox", "-o", "agent.state_dir=new"), 0);
    expect_out("will be created at the first run");
}

Test(cmd, check_says_why_nothing_is_polled_and_which_name_was_meant)
{
    program_file("bare.ini", "include = nope/*.ini\n[rest]\nurl = sandbox\n");
    cr_expect_eq(RUN("check", "--offline", "--json", "-c", "bare.ini"), 0);
    expect_out("nothing will be polled: add [target:NAME]");
    expect_out("bare.ini:1: include: no file matches");
    program_file("one.ini", "[rest]\nurl = sandbox\n[target:sleeper]\nurl = h:1\n");
    cr_expect_eq(
        RUN("check", "--offline", "--json", "-c", "one.ini", "-o", "target:sleepr.preset=jvm"), 2);
    expect_out("did you mean target:sleeper?");
    cr_expect_eq(
        RUN("check", "--offline", "--json", "-c", "one.ini", "-o", "target:sleeper.preset=jvm"), 0);
    program_file("zero.ini", "[rest]\nurl = sandbox\n[target:a]\nurl = h:0\n");
    cr_expect_eq(RUN("check", "--offline", "--json", "-c", "zero.ini"), 2);
    expect_out("zero.ini:4: [target:a] url");
}

Test(cmd, check_warns_of_a_user_name_that_is_not_sent)
{
    program_file("user.ini", "[rest]\nurl = sandbox\nusername = anna\n");
    cr_expect_eq(RUN("check", "--offline", "-c", "user.ini"), 0);
    expect_out("auth = none");
    expect_out("warn");
}

Test(cmd, check_offline_is_content_with_a_good_file)
{
    program_file("good.ini", "[agent]\nname = edge\ninterval = 7s\n[rest]\nurl = sandbox\n"
                             "[target:a]\nurl = localhost:9010\n");
    cr_expect_eq(RUN("check", "--offline", "-c", "good.ini"), 0);
    expect_out("ok");
    cr_expect_eq(RUN("check", "--offline", "--dump", "-c", "good.ini"), 0);
    expect_out("interval = 7s");
    cr_expect_null(strstr(result.out, "max_backoff"));
    cr_expect_eq(RUN("check", "--offline", "--dump", "-v", "-c", "good.ini"), 0);
    expect_out("max_backoff");
    cr_expect_eq(RUN("check", "--offline", "-c", "absent.ini"), 2);
    cr_expect_eq(RUN("check", "--offline", "-o", "agent.intervall=5s"), 2);
    expect_out("interval");
}

Test(cmd, a_secret_is_refused_on_the_command_line)
{
    cr_expect_eq(RUN("check", "--offline", "-o", "rest.password=hunter2"), 2);
    cr_expect_null(strstr(result.out, "hunter2"), "%s", result.out);
    cr_expect_null(strstr(result.err, "hunter2"), "%s", result.err);
    expect_out("password_file");
}

Test(cmd, unknown_targets_are_usage_errors)
{
    program_file("config.ini", "[rest]\nurl = sandbox\n[target:orders]\nurl = localhost:1\n");
    cr_expect_eq(RUN("beans", "ordres"), 2);
    expect_sentence("no target \"ordres\" in config.ini; did you mean orders");
    cr_expect_eq(RUN("get", "pid:abc", "a:b=c"), 2);
    expect_sentence("pid:abc");
    cr_expect_eq(RUN("get", "localhost:1", "no-colon-here", "A"), 2);
    cr_expect_eq(RUN("get", "localhost:1", "java.lang:type=Memory", "/x"), 2);
    expect_sentence("names no attribute");
}

Test(cmd, a_dead_port_is_a_failure_with_its_place)
{
    cr_expect_eq(RUN("beans", "127.0.0.1:1"), 1);
    expect_sentence("127.0.0.1:1");
    cr_expect_eq(RUN("health", "-o", "http.listen=127.0.0.1:1"), 1);
    expect_sentence("no agent answers at http://127.0.0.1:1/livez");
    cr_expect_eq(RUN("health", "-o", "http.listen=unix:/nonexistent/x.sock"), 1);
    expect_sentence("no agent answers at unix:/nonexistent/x.sock");
    cr_expect_eq(RUN("health", "-o", "http.listen=off"), 2);
    expect_sentence("[http] listen = off");
    cr_expect_eq(RUN("spool", "status"), 1);
    expect_sentence("there is no spool in");
}

Test(cmd, health_asks_the_agent_of_a_broken_config)
{
    program_file("config.ini", "[rest]\nurl = sandbox\nurrl = x\n[http]\nlisten = 127.0.0.1:1\n");
    cr_expect_eq(RUN("health"), 1); /* 2 would be: not asked */
    expect_err("config.ini:3: [rest] has no key urrl");
    expect_err("(the agent is asked all the same)");
    expect_err("no agent answers at http://127.0.0.1:1/livez");
    cr_expect_eq(RUN("health", "-q", "--full"), 1);
    expect_sentence("no agent answers at http://127.0.0.1:1/health");
    program_file("config.ini", "[http]\nlisten = 127.0.0.1:1\nrubbish\n");
    cr_expect_eq(RUN("health"), 2);
    expect_sentence("config.ini:3: ");
    program_file("config.ini", "[http]\nlisten = 127.0.0.1:1\nlitsen = x\n");
    cr_expect_eq(RUN("health"), 2);
    expect_sentence("has no key litsen");
    program_file("config.ini", "[http]\nlisten = 127.0.0.1:1\n");
    cr_expect_eq(RUN("health", "-o", "rest.urrl=x"), 2);
    cr_expect_eq(RUN("health", "-c", "none.ini"), 2);
    expect_sentence("cannot open none.ini");
}

Test(cmd, a_broken_config_does_not_keep_one_from_looking_at_a_jvm)
{
    program_file("config.ini", "[nonsense\n");
    cr_expect_eq(RUN("beans", "127.0.0.1:1"), 1);
    expect_sentence("127.0.0.1:1");
    cr_expect_eq(RUN("beans", "orders"), 2);
    expect_sentence("config.ini:1");
}

Test(cmd, sandbox_options_are_checked_before_it_listens)
{
    cr_expect_eq(RUN("sandbox", "--tls-cert", "x.pem"), 2);
    expect_sentence("--tls-cert and --tls-key belong together");
    cr_expect_eq(RUN("sandbox", "--kafka", "a:1", "--data", "d"), 2);
    expect_sentence("exclude each other");
    cr_expect_eq(RUN("sandbox", "--metadata-timeout", "soon"), 2);
    expect_sentence("not a duration");
    cr_expect_eq(RUN("sandbox", "--listen", "nowhere"), 2);
}

Test(cmd, sandbox_says_where_it_listens_and_ends_at_once_by_a_signal)
{
    static const int signals[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < 2; i++) {
        int out[2];
        cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
        const char *const args[] = {"sandbox", "--listen", "127.0.0.1:0", NULL};
        pid_t pid = program_start(args, out[1], STDERR_FILENO);
        (void)close(out[1]);
        FILE *lines = fdopen(out[0], "r");
        char line[128] = "";
        cr_assert_not_null(fgets(line, sizeof line, lines));
        unsigned port = 0;
        cr_expect_eq(sscanf(line, "http://127.0.0.1:%u", &port), 1, "%s", line);
        cr_expect_gt(port, 0);
        int64_t before = fm_clock_ms();
        cr_assert_eq(kill(pid, signals[i]), 0);
        program_reap(pid);
        cr_expect_eq(result.code, 0);
        cr_expect_lt(fm_clock_ms() - before, 3000);
        (void)fclose(lines);
    }
}

Test(cmd, a_reader_that_leaves_ends_it_quietly)
{
    int out[2], err[2];
    cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(err, O_CLOEXEC), 0);
    (void)close(out[0]);
    const char *const args[] = {"help", "config", NULL};
    pid_t pid = program_start(args, out[1], err[1]);
    (void)close(out[1]);
    (void)close(err[1]);
    program_reap(pid);
    cr_expect_eq(result.signal, SIGPIPE);
    cr_expect_eq(read(err[0], result.err, 1), 0, "it said something");
    (void)close(err[0]);
}

Test(cmd, a_full_disk_is_told)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    int err[2];
    if (full < 0)
        cr_skip_test("there is no /dev/full");
    cr_assert_eq(pipe2(err, O_CLOEXEC), 0);
    const char *const args[] = {"help", "config", NULL};
    pid_t pid = program_start(args, full, err[1]);
    (void)close(full);
    (void)close(err[1]);
    program_reap(pid);
    cr_expect_eq(result.code, 1);
    ssize_t n = read(err[0], result.err, PROGRAM_TEXT - 1);
    result.err[n > 0 ? n : 0] = '\0';
    expect_sentence("cannot write to stdout: No space left on device");
    (void)close(err[0]);
}

static void read_file(const char *path, char *out)
{
    FILE *file = fopen(path, "r");
    size_t n = file != NULL ? fread(out, 1, PROGRAM_TEXT - 1, file) : 0;
    out[n] = '\0';
    if (file != NULL)
        (void)fclose(file);
}

Test(cmd, the_manual_is_what_the_tables_say)
{
    static char man[PROGRAM_TEXT];
    read_file("docker/firstmile.1", man);
    cr_expect_eq(RUN("help", "--man"), 0);
    cr_expect(strcmp(man, result.out) == 0,
              "docker/firstmile.1 is old; build/firstmile help --man > docker/firstmile.1");
    cr_expect_eq(strncmp(result.out, ".\\\"", 3), 0);
}

/* Whether a place lies in a block between two lines of ```. */
static bool in_fence(const char *text, const char *place)
{
    bool inside = false;
    for (const char *at = text; (at = strstr(at, "\n```")) != NULL && at < place; at += 4)
        inside = !inside;
    return inside;
}

Test(cmd, the_readme_names_no_command_that_is_not_there)
{
    static char readme[PROGRAM_TEXT];
    read_file("README.md", readme);
    if (readme[0] == '\0')
        cr_skip_test("no README.md");
    unsigned seen = 0;
    for (const char *at = readme; (at = strstr(at, "firstmile ")) != NULL; at++) {
        char word[32];
        bool in_code = at > readme && (at[-1] == '/' || at[-1] == '`');
        bool begins_line = at > readme && at[-1] == '\n' && in_fence(readme, at);
        if (!(in_code || begins_line) || sscanf(at + 10, "%31[a-z]", word) != 1)
            continue;
        seen++;
        cr_expect_eq(RUN("help", word), 0, "README names firstmile %s", word);
    }
    cr_expect_geq(seen, 5);
}

/* ---- audit ---- */

#define AUDIT_LINE(offset, seq, rest)                                                              \
    "{\"topic\":\"jmx\",\"partition\":0,\"offset\":" offset ",\"tstype\":\"create\",\"ts\":1,"     \
    "\"broker\":1,\"headers\":[],\"key\":\"k\",\"payload\":\"{\\\"v\\\":1,\\\"agent\\\":"          \
    "\\\"a\\\",\\\"stream\\\":\\\"00000000000000ff\\\",\\\"seq\\\":" seq rest "}\"}\n"
#define AUDIT_GAP                                                                                  \
    ",\\\"type\\\":\\\"gap\\\",\\\"from_seq\\\":2,\\\"to_seq\\\":3,\\\"count\\\":2,"               \
    "\\\"reason\\\":\\\"full\\\""

#define AUDIT_DAMAGE                                                                               \
    ",\\\"type\\\":\\\"gap\\\",\\\"from_seq\\\":null,\\\"to_seq\\\":null,\\\"count\\\":null,"      \
    "\\\"reason\\\":\\\"damage\\\""

Test(cmd, audit_tells_by_its_exit_code_whether_all_is_accounted_for)
{
    program_file("good", AUDIT_LINE("0", "1", "") AUDIT_LINE("1", "4", AUDIT_GAP));
    cr_expect_eq(RUN("audit", "--from", "good"), 0);
    expect_out("00000000000000ff: declared lost: 2 full\n");
    expect_out("what came after it cannot be known");
    cr_expect_str_eq(result.err, "");
    program_file("hidden", AUDIT_LINE("0", "1", "") AUDIT_LINE("1", "2", AUDIT_DAMAGE));
    cr_expect_eq(RUN("audit", "--from", "hidden"), 0);
    expect_out("damage of unknown extent was declared");
    expect_out("is missing, save what that damage hid");
    cr_expect_null(strstr(result.out, "accounted for"), "%s", result.out);
    program_file("bad", AUDIT_LINE("0", "1", "") AUDIT_LINE("1", "4", ""));
    cr_expect_eq(RUN("audit", "jmx", "--from", "bad"), 1);
    expect_out("00000000000000ff: missing 2 to 3 (2)\n");
    expect_sentence("2 numbers are missing");
    cr_expect_eq(RUN("audit", "--from", "bad", "--json"), 1);
    json_t *json = json_loads(result.out, 0, NULL);
    cr_assert_not_null(json, "%s", result.out);
    cr_expect_eq(json_integer_value(json_object_get(json, "missing")), 2);
    const json_t *stream = json_array_get(json_object_get(json, "streams"), 0);
    const json_t *range = json_array_get(json_object_get(stream, "ranges"), 0);
    cr_expect_eq(json_integer_value(json_object_get(range, "to")), 3);
    json_decref(json);
}

Test(cmd, audit_says_of_what_it_proves_nothing)
{
    char url[160];
    pid_t pid;
    program_file("foreign",
                 AUDIT_LINE("0", "1", "") "\n{\"topic\":\"jmx\",\"partition\":0,"
                                          "\"offset\":9,\"key\":null,\"payload\":\"{}\"}\n");
    cr_expect_eq(RUN("audit", "--from", "foreign"), 0, "%s", result.err);
    expect_out("1 of them foreign\nnothing is proved of foreign records");
    cr_expect_null(strstr(result.out, "no headers came"), "%s", result.out);
    program_file("lines", "{\"a\":1}\n");
    (void)snprintf(url, sizeof url, "rest.url=%s", program_sandbox(&pid, NULL));
    cr_expect_eq(RUN("produce", "t", "lines", "-o", url), 0, "%s", result.err);
    cr_expect_eq(RUN("audit", "t", "-o", url), 1);
    expect_out("api = v2 does not have; no headers came through this consumer interface");
    expect_sentence("nothing to audit: none of 1 record in t carries an identity; those of produce "
                    "have it as headers, by api = v3 only, and no headers came through this "
                    "consumer interface: read them with kcat -J and --from");
    cr_expect_eq(RUN("audit", "t", "-o", url, "--json"), 1);
    expect_out("\"headers\":false");
    cr_assert_eq(kill(pid, SIGTERM), 0);
    (void)waitpid(pid, NULL, 0);
}

Test(cmd, audit_takes_no_silence_for_a_proof)
{
    cr_expect_eq(RUN("audit"), 2);
    expect_sentence("--from");
    cr_expect_eq(RUN("audit", "--from", "nowhere"), 1);
    expect_sentence("cannot read nowhere");
    program_file("empty", "");
    cr_expect_eq(RUN("audit", "--from", "empty"), 1);
    expect_err("nothing to audit: there is no record in empty");
    program_file("one", AUDIT_LINE("0", "1", ""));
    cr_expect_eq(RUN("audit", "other", "--from", "one"), 1);
    expect_err("1 record of other topics passed over");
    program_file("cut", AUDIT_LINE("0", "1", "") "\n{\"topic\":\"jmx\",\"par");
    cr_expect_eq(RUN("audit", "--from", "cut"), 0);
    expect_sentence("cut:2: no record as kcat -J writes it");
}

static void clear_spool(void)
{
    char path[80];
    (void)snprintf(path, sizeof path, "%s/spool", folder);
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir != NULL)
        (void)closedir(dir);
    (void)rmdir(path);
}

Test(cmd, audit_subtracts_what_the_spool_holds)
{
    char stream[17] = "", lines[1024];
    size_t used = 0;
    program_file("in", "1\n2\n3\n");
    program_file("empty.ini", "");
    cr_expect_eq(RUN("produce", "jmx", "in", "--spool", "spool", "--timeout", "300ms", "-o",
                     "rest.url=http://127.0.0.1:1", "-c", "empty.ini"),
                 1);
    cr_assert_eq(RUN("spool", "list", "--spool", "spool", "--json", "-c", "empty.ini"), 0, "%s",
                 result.err);
    json_t *json = json_loads(result.out, 0, NULL);
    const json_t *first = json_array_get(json, 0);
    const char *name = json_string_value(json_object_get(first, "stream"));
    cr_assert_not_null(name, "%s", result.out);
    (void)snprintf(stream, sizeof stream, "%s", name);
    json_decref(json);
    for (int seq = 1; seq <= 3; seq += 2)
        used += (size_t)snprintf(lines + used, sizeof lines - used,
                                 "{\"topic\":\"jmx\",\"partition\":0,\"offset\":%d,\"headers\":"
                                 "[\"firstmile-agent\",\"a\",\"firstmile-stream\",\"%s\","
                                 "\"firstmile-seq\",\"%d\"],\"key\":null,\"payload\":\"x\"}\n",
                                 seq - 1, stream, seq);
    program_file("dump", lines);
    cr_expect_eq(RUN("audit", "--from", "dump", "-c", "empty.ini"), 1);
    expect_out("missing 2 to 2 (1)");
    cr_expect_eq(RUN("audit", "--from", "dump", "--spool", "spool", "--json", "-c", "empty.ini"), 0,
                 "%s", result.err);
    expect_out("\"pending\":1,");
    clear_spool();
}
