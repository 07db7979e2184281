/* Completion as people meet it: real shells on a pty, whose lines are then run, so that what was
 * completed is seen as the program would get it. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "jolokia_fake.h"
#include "tty.h"

enum { LIMIT_MS = 20000 };

static const char *const beans[] = {
    "evil:type=Values",
    "evil:name=G1 Young,type=GC",
    "evil:name=\"a b,c\\\"d $x 'y'\",type=Odd",
    "evil:name=zz\033[2J,type=Escape",
    "other:type=X",
    NULL,
};

static char program[4096];
static char folder[64];
static char target[64];
static struct tty tty;

static void put_file(const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "we");
    cr_assert_not_null(f);
    (void)fputs(text, f);
    (void)fclose(f);
}

static void set_up(void)
{
    const char *build = getenv("B");
    char cwd[2048], url[256];
    cr_assert_not_null(getcwd(cwd, sizeof cwd));
    (void)snprintf(program, sizeof program, "%s/%s/firstmile", cwd,
                   build != NULL ? build : "build/asan");
    (void)snprintf(folder, sizeof folder, "/tmp/firstmile-complete-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(url, sizeof url, "%s/dir", folder);
    cr_assert_eq(mkdir(url, 0700), 0);
    jolokia_start(beans);
    (void)snprintf(target, sizeof target, "http://127.0.0.1:%u", (unsigned)jolokia_port());
    (void)snprintf(url, sizeof url, "[rest]\nurl = sandbox\n[target:orders.eu]\nurl = %s\n",
                   target);
    put_file("config.ini", url);
    put_file("my file.pem", "");
}

static void tear_down(void)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        (void)unlinkat(dirfd(dir), entry->d_name,
                       strcmp(entry->d_name, "dir") == 0 ? AT_REMOVEDIR : 0);
    if (dir != NULL)
        (void)closedir(dir);
    (void)rmdir(folder);
    jolokia_stop();
}

TestSuite(completion, .init = set_up, .fini = tear_down, .timeout = 120);

/* ---- what the program says ---- */

/* Run with these words and give what it prints. */
static const char *ask(const char *const *words)
{
    static char out[64 * 1024];
    char *argv[40] = {program};
    int fds[2];
    size_t used = 0;
    for (size_t i = 0; i < 38 && words[i] != NULL; i++)
        argv[i + 1] = strdup(words[i]);
    cr_assert_eq(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (chdir(folder) != 0 || dup2(fds[1], STDOUT_FILENO) < 0)
            _exit(126);
        (void)close(fds[0]);
        (void)execv(program, argv);
        _exit(127);
    }
    (void)close(fds[1]);
    for (ssize_t n; (n = read(fds[0], out + used, sizeof out - 1 - used)) > 0;)
        used += (size_t)n;
    out[used] = '\0';
    (void)close(fds[0]);
    (void)waitpid(pid, NULL, 0);
    for (size_t i = 1; argv[i] != NULL; i++)
        free(argv[i]);
    return out;
}

#define BREAKS " \t\n\"'@><=;|&(:"
#define BASH(line) ask((const char *const[]){"__complete", "--", "bash", BREAKS, line, NULL})

Test(completion, offers_what_the_tables_hold)
{
    static const struct {
        const char *line, *answer;
    } table[] = {
        {"firstmile wat", "words\nwatch\n"},
        {"firstmile __", "words\n"},
        {"firstmile nonsense ", "words\n"},
        {"firstmile -v --json pre", "words\npresets\n"},
        {"firstmile presets ka", "words\nkafka-broker\nkafka-clients\nkafka-connect\n"},
        {"firstmile presets kafka-broker ", "words\n"},
        {"firstmile help co", "words\ncompletion\nconfig\n"},
        {"firstmile watch --li", "words\n--lines\n"},
        {"firstmile run --js", "words\n"},
        {"firstmile jvms --js", "words\n--json\n"},
        {"firstmile watch -- --li", "words\n"},
        {"firstmile spool d", "words\ndrop\ndead\n"},
        {"firstmile spool dead re", "words\nretry\n"},
        {"firstmile produce --format=t", "words\ntext\n"},
        {"firstmile produce --format t", "words\ntext\n"},
        {"firstmile completion z", "words\nzsh\n"},
        {"firstmile -c ", "files\n"},
        {"firstmile sandbox --data ", "dirs\n"},
        {"firstmile produce t ", "files\n"},
        {"firstmile produce t a.json ", "files\n"},
        {"firstmile -o rest.pass", "nospace\nrest.password_file=\n"},
        {"firstmile -orest.a", "words\n"},
        {"firstmile -o target:or", "nospace\norders.eu.\n"},
        {"firstmile -o target:orders.eu.att", "nospace\norders.eu.attach=\n"},
        {"firstmile -o target:orders.eu.attach=", "words\non\noff\n"},
        {"firstmile -o target.preset=jv", "words\njvm\n"},
        {"firstmile --set http.lis", "nospace\nhttp.listen=\n"},
        {"firstmile -o rest.ca_file=", "files\n"},
        {"firstmile get ord", "words\norders.eu\n"},
        {"firstmile get htt", "nospace\nhttp://\nhttps://\n"},
        {"firstmile get orders.eu evil:type=V", "words\nValues\n"},
        {"firstmile get orders.eu ", "nospace\nevil:\nother:\n"},
        {"firstmile get orders.eu evil:type=Values W", "words\nWide\n"},
        {"firstmile get nowhere evil:", "words\n"},
        {"firstmile get 127.0.0.1:1 evil:", "words\n"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const char *answer = BASH(table[i].line);
        cr_expect_str_eq(answer, table[i].answer, "%s\n%s", table[i].line, answer);
    }
}

Test(completion, passes_no_control_byte_on)
{
    const char *answer = BASH("firstmile get orders.eu evil:");
    cr_expect_null(strchr(answer, '\033'));
    cr_expect_null(strstr(answer, "Escape"));
    cr_expect_not_null(strstr(answer, "Values"));
}

Test(completion, is_not_held_up_by_a_jvm_that_hangs)
{
    jolokia.down = 2;
    int64_t before = fm_clock_ms();
    cr_expect_str_eq(BASH("firstmile get orders.eu evil:"), "");
    cr_expect_lt(fm_clock_ms() - before, 8000);
}

/* ---- shells ---- */

static const char *result_of(const char *name, int limit_ms)
{
    static char text[4096];
    char path[128];
    int64_t end = fm_clock_ms() + limit_ms;
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    while (access(path, F_OK) != 0 && fm_clock_ms() < end)
        (void)tty_shows(&tty, "never shown", 20);
    FILE *f = fopen(path, "re");
    size_t n = f != NULL ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = '\0';
    if (f != NULL)
        (void)fclose(f);
    (void)unlink(path);
    return text;
}

/* A line that the shell completes and then runs: "firstmile" is a function that asks the program to
 * complete, and otherwise writes down its arguments. */
static void expect_args(const char *keys, const char *args)
{
    char line[512];
    (void)snprintf(line, sizeof line, "firstmile %s\n", keys);
    tty_send(&tty, line);
    const char *got = result_of("result", LIMIT_MS);
    cr_expect_str_eq(got, args, "%s\n%s\n%s", keys, got, tty_text(&tty));
}

static void start_shell(const char *const *argv, const char *prepare)
{
    static char home[80], where[4200];
    char line[512];
    static const char *env[5];
    (void)snprintf(home, sizeof home, "HOME=%s", folder);
    (void)snprintf(where, sizeof where, "FIRSTMILE=%s", program);
    const char *const all[] = {home, where, "TERM=dumb", "INPUTRC=/dev/null", NULL};
    memcpy(env, all, sizeof all);
    put_file("setup", "firstmile() {\n"
                      "    if [ \"$1\" = __complete ]; then \"$FIRSTMILE\" \"$@\"; return; fi\n"
                      "    printf '<%s>' \"$@\" > part; mv part result\n"
                      "}\n");
    tty_start(&tty, 40, 180, argv, env);
    (void)snprintf(line, sizeof line, "cd %s; . ./setup; %s; echo > ready\n", folder, prepare);
    tty_send(&tty, line);
    cr_assert_eq(result_of("ready", LIMIT_MS)[0], '\n', "%s", tty_text(&tty));
}

static void expect_bean_completions(void)
{
    char keys[300], args[300];
    static const struct {
        const char *keys, *bean;
    } table[] = {
        {"oth\t", "other:type=X"},
        {"evil:type=V\t", "evil:type=Values"},
        {"evil:name=G\t", "evil:name=G1 Young,type=GC"},
        {"evil:type=G\t", "evil:type=GC,name=G1 Young"},
        {"'evil:name=G\t", "evil:name=G1 Young,type=GC"},
        {"\"evil:name=G\t", "evil:name=G1 Young,type=GC"},
        {"evil:name=\\\"a\t", "evil:name=\"a b,c\\\"d $x 'y'\",type=Odd"},
        {"'evil:name=\"a\t", "evil:name=\"a b,c\\\"d $x 'y'\",type=Odd"},
        {"\"evil:name=\\\"a\t", "evil:name=\"a b,c\\\"d $x 'y'\",type=Odd"},
        {"evil:name=G1\\ Yo\t", "evil:name=G1 Young,type=GC"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        (void)snprintf(keys, sizeof keys, "get %s %s", target, table[i].keys);
        (void)snprintf(args, sizeof args, "<get><%s><%s>", target, table[i].bean);
        expect_args(keys, args);
    }
    (void)snprintf(keys, sizeof keys, "get %s evil:type=V\tCo\t", target);
    (void)snprintf(args, sizeof args, "<get><%s><evil:type=Values><Count>", target);
    expect_args(keys, args);
}

Test(completion, works_in_bash)
{
    static const char *const argv[] = {"/bin/bash", "--norc", "--noprofile", "-i", NULL};
    if (access(argv[0], X_OK) != 0)
        cr_skip_test("there is no bash");
    start_shell(argv, "bind 'set bell-style none'; . <(\"$FIRSTMILE\" completion bash)");
    expect_args("wat\t", "<watch>");
    expect_args("-o rest.aut\tbas\tversion", "<-o><rest.auth=basic><version>");
    expect_args("-o rest.ca_file=my\tversion", "<-o><rest.ca_file=my file.pem><version>");
    expect_args("-c my\tversion", "<-c><my file.pem><version>");
    expect_args("sandbox --data=d\t", "<sandbox><--data=dir/>");
    expect_args("get ord\tx", "<get><orders.eu><x>");
    expect_bean_completions();
    tty_close(&tty);
}

Test(completion, works_in_zsh)
{
    static const char *const argv[] = {"/bin/zsh", "-f", "-i", NULL};
    if (access(argv[0], X_OK) != 0)
        cr_skip_test("there is no zsh; apt-get install zsh");
    start_shell(argv, "unsetopt beep; autoload -U compinit && compinit -u -D && . <(\"$FIRSTMILE\" "
                      "completion zsh)");
    expect_args("wat\t", "<watch>");
    expect_args("-o rest.aut\tbas\tversion", "<-o><rest.auth=basic><version>");
    expect_args("-o rest.ca_file=my\tversion", "<-o><rest.ca_file=my file.pem><version>");
    expect_args("-c my\tversion", "<-c><my file.pem><version>");
    expect_args("sandbox --data=d\t", "<sandbox><--data=dir>"); /* its slash is provisional */
    expect_args("get ord\tx", "<get><orders.eu><x>");
    expect_bean_completions();
    tty_close(&tty);
}
