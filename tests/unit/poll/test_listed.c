/* targets_file: what it may say, and how the targets follow it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "fake.h"

/* ---- what a file may say ---- */

static struct fm_arena arena;

static const struct fm_file *parse(const char *text)
{
    static struct fm_file file;
    size_t n_all = 0;
    struct fm_err err = {0};
    fm_arena_clear(&arena);
    fm_arena_init(&arena, 0);
    file = (struct fm_file){.path = "f.json"};
    cr_assert_eq(fm_file_parse(&file, &n_all, text, strlen(text), &arena, &err), FM_OK, "%s",
                 err.text);
    cr_assert_eq(n_all, file.n);
    return &file;
}

Test(file, takes_targets_of_every_form_and_labels)
{
    const struct fm_file *f =
        parse("[{\"targets\": [\"h1:9010\", \"[::1]:5\"],"
              "  \"labels\": {\"env\": \"prod\", \"__meta\": \"x\", \"zone\": \"\"}},"
              " {\"targets\": [\"service:jmx:rmi:///jndi/rmi://h2:1099/jmxrmi\","
              "   \"service:jmx:rmi://h5:7/jndi/rmi://h2:1100/jmxrmi\","
              "   \"https://h3:8778/jolokia\", \"service:jmx:rmi:///stub/rO0ABQ==\"]},"
              " {\"targets\": []}]");
    static const char *const parts[] = {"h1:9010", "[::1]:5", "h2:1099",
                                        "h2:1100", "h3:8778", "stub"};
    cr_assert_null(f->fault, "%s", f->fault);
    cr_assert_eq(f->n, 6);
    for (size_t i = 0; i < 6; i++)
        cr_expect_str_eq(f->entries[i].part, parts[i]);
    cr_assert_eq(f->entries[1].n_labels, 2, "__ labels are left out");
    cr_expect_str_eq(f->entries[0].labels[0].name, "env");
    cr_expect_str_eq(f->entries[1].labels[0].value, "prod");
    cr_expect_str_eq(f->entries[1].labels[1].value, "");
    cr_expect_eq(f->entries[2].n_labels, 0, "labels are those of the group");
    fm_arena_clear(&arena);
}

Test(file, names_the_place_of_every_fault)
{
    static const struct {
        const char *text, *said;
        size_t good; /* targets that it names all the same */
    } cases[] = {
        {"", "f.json:1:0: no JSON", 0},
        {"[{\"targets\": [\"a:1\"]}\n", "f.json:2:", 0},
        {"[] x", "f.json:1:", 0},
        {"{\"targets\": [\"a:1\"]}", "f.json: not an array", 0},
        {"[\"a:1\"]", "f.json: group 1: not an object", 0},
        {"[{\"targets\": \"a:1\"}]", "f.json: group 1: targets is not an array", 0},
        {"[{\"labels\": {}}]", "group 1: targets is not an array", 0},
        {"[{\"targets\": [], \"lables\": {}}]", "there is no \"lables\"", 0},
        {"[{\"targets\": [], \"targets\": []}]", "duplicate", 0},
        {"[{\"targets\": [\"a:1\"]}, {\"targets\": [\"b:1\", \"b\"]}]",
         "f.json: group 2, target 2: \"b\" is no target", 2},
        {"[{\"targets\": [5, \"a:1\"]}]", "group 1, target 1: not a text", 1},
        {"[{\"targets\": [\"a:0\"]}]", "a port is a number from 1 to 65535", 0},
        {"[{\"targets\": [\"local:*\"]}]", "stands for JVMs of this host", 0},
        {"[{\"targets\": [\"http:///jolokia\"]}]", "the host is missing", 0},
        {"[{\"targets\": [\"service:jmx:rmi:///jndi/rmi:///x\"]}]", "names no host", 0},
        {"[{\"targets\": [\"service:jmx:foo\"]}]", "\"foo\" is not supported", 0},
        {"[{\"targets\": [\"pid:7\"]}]", "stands for JVMs of this host", 0},
        {"[{\"targets\": [\"a:1\\nb\"]}]", "control character", 0},
        {"[{\"targets\": [\"http://u:canary@h/jolokia\"]}]", "may not hold a user", 0},
        {"[{\"targets\": [\"service:jmx:rmi:///jndi/rmi://u:canary@h:1/x\"]}]",
         "may not hold a user", 0},
        {"[{\"targets\": [\"user:canary@127.0.0.1:9\"]}]", "may not hold a user", 0},
        {"[{\"targets\": [\"user:canary@h\", \"a:1\"]}]", "may not hold a user", 1},
        {"[{\"targets\": [\"user:canary@ h:1\"]}]", "may not hold a user", 0},
        {"[{\"targets\": [\"local:canary@h\"]}]", "may not hold a user", 0},
        {"[{\"targets\": [\"http://u:can/canary@h/jolokia\"]}]", "may not hold a user", 0},
        {"[{\"targets\": [\"a:1\" \"u:canary@h:1\"]}]", "no JSON: ']' expected", 0},
        {"[{\"targets\": [\"a:1\"], \"labels\": {\"x\": 5}}]", "label \"x\" is not a text", 0},
        {"[{\"targets\": [\"a:1\"], \"labels\": [1]}]", "labels is not an object", 0},
        {"[{\"targets\": [\"a\\u0000:1\"]}]", "f.json:1:", 0},
        {"[{\"targets\": [\"a\xff:1\"]}]", "f.json:1:", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct fm_file *f = parse(cases[i].text);
        cr_assert_not_null(f->fault, "%s", cases[i].text);
        cr_expect_not_null(strstr(f->fault, cases[i].said), "%s: %s", cases[i].text, f->fault);
        cr_expect_null(strstr(f->fault, "canary"), "%s", f->fault);
        cr_expect_eq(f->n, cases[i].good, "%s", cases[i].text);
    }
    fm_arena_clear(&arena);
}

Test(file, tells_several_faults_at_once_but_not_without_end)
{
    const struct fm_file *f =
        parse("[{\"targets\":[\"a:1\",\"b\"],\"labels\":{\"x\":5}},{\"targets\":[\"c\",\"d:1\"]},"
              "{\"targets\":[\"e\"]}]");
    cr_expect_eq(f->n, 1, "a group with a bad label is left out");
    cr_expect_str_eq(f->entries[0].part, "d:1");
    cr_expect_not_null(strstr(f->fault, "group 1: label \"x\" is not a text; f.json: group 1, "
                                        "target 2: \"b\" is no target"),
                       "%s", f->fault);
    cr_expect_not_null(strstr(f->fault, "group 2, target 1: \"c\""), "%s", f->fault);
    cr_expect_null(strstr(f->fault, "group 3"), "%s", f->fault);
    fm_arena_clear(&arena);
}

Test(file, is_bounded)
{
    struct fm_buf text;
    fm_buf_init(&text, 0);
    fm_buf_puts(&text, "[{\"targets\":[\"h:1\"");
    for (int i = 0; i < 10000; i++)
        fm_buf_puts(&text, ",\"h:1\"");
    fm_buf_puts(&text, "]}]");
    const struct fm_file *f = parse(fm_buf_str(&text));
    cr_expect_eq(f->n, 10000);
    cr_expect_not_null(strstr(f->fault, "target 10001: more than 10000"), "%s", f->fault);
    fm_buf_reset(&text);
    fm_buf_puts(&text, "[{\"targets\":[\"h:1\"],\"labels\":{\"x\":\"");
    for (int i = 0; i < 1025; i++)
        fm_buf_putc(&text, 'y');
    fm_buf_puts(&text, "\"}}]");
    f = parse(fm_buf_str(&text));
    cr_expect_not_null(strstr(f->fault, "longer than 1024"), "%s", f->fault);
    fm_buf_reset(&text);
    fm_buf_puts(&text, "[{\"targets\":[\"h:1\"],\"labels\":{\"a\":\"\"");
    for (int i = 0; i < 64; i++)
        fm_buf_printf(&text, ",\"x%d\":\"\"", i);
    fm_buf_puts(&text, "}}]");
    cr_expect_not_null(strstr(parse(fm_buf_str(&text))->fault, "more than 64 labels"));
    fm_buf_reset(&text);
    fm_buf_puts(&text, "[{}");
    for (int i = 0; i < 150000; i++)
        fm_buf_puts(&text, ",{}");
    fm_buf_putc(&text, ']');
    f = parse(fm_buf_str(&text));
    cr_expect_not_null(strstr(f->fault, "f.json: more than 300000 values"), "%s", f->fault);
    fm_buf_clear(&text);
    fm_arena_clear(&arena);
}

/* A group without labels costs nothing, one with labels what they need. */
Test(file, takes_no_more_memory_than_it_says)
{
    struct fm_buf text;
    fm_buf_init(&text, 0);
    fm_buf_puts(&text, "[{\"targets\":[],\"labels\":{}}");
    for (int i = 0; i < 20000; i++)
        fm_buf_puts(&text, ",{\"targets\":[],\"labels\":{}}");
    fm_buf_putc(&text, ']');
    const struct fm_file *f = parse(fm_buf_str(&text));
    cr_expect_null(f->fault, "%s", f->fault);
    cr_expect_lt(arena.used, 100000, "%zu bytes for nothing", arena.used);
    fm_buf_reset(&text);
    fm_buf_puts(&text, "[{\"targets\":[],\"labels\":{\"a\":\"b\"}}");
    for (int i = 0; i < 10000; i++)
        fm_buf_puts(&text, ",{\"targets\":[],\"labels\":{\"a\":\"b\"}}");
    fm_buf_putc(&text, ']');
    f = parse(fm_buf_str(&text));
    cr_expect_null(f->fault, "%s", f->fault);
    cr_expect_lt(arena.used, 1000000, "%zu bytes for 10001 labels", arena.used);
    fm_buf_clear(&text);
    fm_arena_clear(&arena);
}

Test(file, says_that_there_is_no_room_left)
{
    static struct fm_file file;
    struct fm_err err = {0};
    struct fm_buf text;
    size_t n_all = 0;
    fm_buf_init(&text, 0);
    fm_arena_init(&arena, 100000);
    fm_buf_puts(&text, "[{\"targets\":[\"a:1\"]}");
    for (int i = 0; i < 2000; i++)
        fm_buf_printf(&text, ",{\"targets\":[\"h%d:1\"],\"labels\":{\"a\":\"b\"}}", i);
    fm_buf_putc(&text, ']');
    file = (struct fm_file){.path = "f.json"};
    enum fm_code code = fm_file_parse(&file, &n_all, text.data, text.len, &arena, &err);
    const char *said = code == FM_OK ? file.fault : err.text;
    cr_assert(code == FM_OK || code == FM_ELIMIT, "%d: %s", code, err.text);
    cr_assert_not_null(said);
    cr_expect_not_null(strstr(said, "take more than 32 MiB of memory"), "%s", said);
    fm_buf_clear(&text);
    fm_arena_clear(&arena);
}

/* ---- how the targets follow ---- */

static struct fake_jvm jvms[] = {
    {.url = "h1:1", .start_time = 1, .beans = {"d:type=a"}, .n_beans = 1},
    {.url = "h2:2", .start_time = 2, .beans = {"d:type=a"}, .n_beans = 1},
    {.url = "h3:3", .start_time = 3, .beans = {"d:type=a"}, .n_beans = 1},
    {.url = "service:jmx:rmi:///jndi/rmi://h1:1/x",
     .start_time = 4,
     .beans = {"d:type=a"},
     .n_beans = 1},
};

static char folder[64], path[100];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char events[4096];
static char tags[8][200]; /* "target name=value;..." of the last samples */

static void on_state(void *arg, const struct fm_poll_event *event)
{
    (void)arg;
    (void)pthread_mutex_lock(&lock);
    size_t len = strlen(events);
    (void)snprintf(events + len, sizeof events - len, "%s %s;", event->target, event->state);
    (void)pthread_mutex_unlock(&lock);
}

static void on_sample(void *arg, const struct fm_sample *sample)
{
    (void)arg;
    char text[200];
    size_t len = (size_t)snprintf(text, sizeof text, "%s ", sample->target), i = 0;
    for (size_t k = 0; k < sample->n_tags; k++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s=%s;", sample->tags[k].name,
                                sample->tags[k].value);
    (void)pthread_mutex_lock(&lock);
    while (i < 7 && tags[i][0] != '\0' && strncmp(tags[i], text, strcspn(text, " ") + 1) != 0)
        i++;
    memcpy(tags[i], text, sizeof text);
    (void)pthread_mutex_unlock(&lock);
}

/* By rename, as who writes such files should. */
static void write_file(const char *to, const char *text)
{
    char temp[200];
    (void)snprintf(temp, sizeof temp, "%s/.new", folder);
    FILE *f = fopen(temp, "w");
    cr_assert_not_null(f);
    (void)fputs(text, f);
    cr_assert_eq(fclose(f), 0);
    cr_assert_eq(rename(temp, to), 0);
}

static struct fm_query *query;
static struct fm_poll_query queries[1];

static struct fm_poll_target_opts section(const char *file)
{
    return (struct fm_poll_target_opts){.name = "fleet",
                                        .targets_file = file,
                                        .interval_ms = 20,
                                        .queries = queries,
                                        .n_queries = 1,
                                        .fingerprint = "same"};
}

static struct fm_poll *open_poll(const struct fm_poll_target_opts *targets)
{
    struct fm_poll *poll = NULL;
    struct fm_err err = {0};
    for (size_t i = 0; i < sizeof jvms / sizeof jvms[0]; i++)
        fake_jvms[i] = &jvms[i];
    cr_assert_eq(fm_net_init(&err), FM_OK);
    struct fm_poll_opts o = {.hooks = {.sample = on_sample, .state = on_state},
                             .targets = targets,
                             .n_targets = 1,
                             .host_name = "here",
                             .files_ms = 20};
    cr_assert_eq(fm_poll_new_with(&poll, &o, &fake_sessions, &err), FM_OK, "%s", err.text);
    cr_assert_eq(fm_poll_start(poll, NULL), FM_OK);
    return poll;
}

static void close_poll(struct fm_poll *poll)
{
    fm_poll_stop(poll);
    cr_assert(fm_poll_join(poll, 3000));
    fm_poll_free(poll);
    for (size_t i = 0; i < sizeof jvms / sizeof jvms[0]; i++)
        cr_expect_eq(jvms[i].opens, jvms[i].closes, "a session was left open");
}

/* "name state;..." and the fault of the file. */
static void look(struct fm_poll *poll, char *out, size_t size)
{
    struct fm_poll_snapshot s;
    size_t len = 0;
    cr_assert_eq(fm_poll_status_get(poll, &s, NULL), FM_OK);
    out[0] = '\0';
    for (size_t i = 0; i < s.n; i++)
        len += (size_t)snprintf(out + len, size - len, "%s %s;", s.targets[i].name,
                                s.targets[i].state_name);
    cr_assert_eq(s.n_files, 1);
    if (s.files[0].error != NULL)
        (void)snprintf(out + len, size - len, " %s", s.files[0].error);
    fm_poll_snapshot_clear(&s);
}

/* Exactly this; "...text": it holds this; "text...": it begins so and has a fault behind. */
static bool is(const char *text, const char *wanted)
{
    size_t len = strlen(wanted);
    if (strncmp(wanted, "...", 3) == 0)
        return strstr(text, wanted + 3) != NULL;
    if (len > 3 && strcmp(wanted + len - 3, "...") == 0)
        return strncmp(text, wanted, len - 3) == 0 && text[len - 3] == ' ';
    return strcmp(text, wanted) == 0;
}

static void await(struct fm_poll *poll, const char *wanted)
{
    char text[1000];
    int64_t until = fm_clock_ms() + 5000;
    for (look(poll, text, sizeof text); !is(text, wanted); look(poll, text, sizeof text)) {
        cr_assert_lt(fm_clock_ms(), until, "wanted \"%s\", is \"%s\"", wanted, text);
        (void)usleep(2000);
    }
}

static void await_tags(const char *wanted)
{
    int64_t until = fm_clock_ms() + 5000;
    for (bool found = false; !found; (void)usleep(2000)) {
        cr_assert_lt(fm_clock_ms(), until, "no sample with the tags \"%s\"", wanted);
        (void)pthread_mutex_lock(&lock);
        for (size_t i = 0; i < 8; i++)
            found = found || strcmp(tags[i], wanted) == 0;
        (void)pthread_mutex_unlock(&lock);
    }
}

static void set_up(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/fm-listed-%d", (int)getpid());
    cr_assert_eq(mkdir(folder, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/a.json", folder);
    struct fm_query_opts o = {
        .name = "d", .bean = "d:*", .attributes = (const char *[]){"A"}, .n_attributes = 1};
    cr_assert_eq(fm_query_new(&query, &o, NULL), FM_OK);
    queries[0] = (struct fm_poll_query){.query = query};
}

static void tear_down(void)
{
    static const char *const names[] = {"a.json", "b.json", ".new"};
    for (size_t i = 0; i < 3; i++) {
        char file[200];
        (void)snprintf(file, sizeof file, "%s/%s", folder, names[i]);
        (void)unlink(file);
    }
    (void)rmdir(folder);
    fm_query_free(query);
}

TestSuite(listed, .init = set_up, .fini = tear_down);

Test(listed, targets_come_and_go_with_the_file_and_the_others_stay)
{
    struct fm_poll_target_opts t = section(path);
    write_file(path, "[{\"targets\":[\"h1:1\",\"h2:2\",\"h1:1\"],\"labels\":{\"env\":\"a\"}}]");
    struct fm_poll *poll = open_poll(&t);
    await(poll, "fleet/h1:1 up;fleet/h2:2 up;");
    await_tags("fleet/h1:1 env=a;");
    write_file(path, "[{\"targets\":[\"h3:3\"]},{\"targets\":[\"h1:1\"],"
                     "\"labels\":{\"env\":\"b\",\"x\":\"y\"}}]");
    await(poll, "fleet/h1:1 up;fleet/h3:3 up;");
    await_tags("fleet/h1:1 env=b;x=y;");
    cr_expect_eq(jvms[0].opens, 1, "a target that stays keeps its session");
    cr_expect_eq(jvms[1].closes, 1);
    cr_expect_not_null(strstr(events, "fleet/h2:2 up;"));
    cr_expect_not_null(strstr(events, "fleet/h2:2 down;"), "%s", events);
    cr_expect_not_null(strstr(events, "fleet/h3:3 up;"));
    write_file(path, "[]");
    await(poll, "fleet empty;");
    close_poll(poll);
}

Test(listed, a_faulty_or_missing_file_keeps_the_targets_and_is_told_of)
{
    struct fm_poll_target_opts t = section(path);
    struct fm_poll *poll = open_poll(&t);
    await(poll, "...cannot read "); /* not there yet */
    write_file(path, "[{\"targets\":[\"h1:1\",\"h2\"]}]");
    await(poll, "...group 1, target 2");
    await(poll, "fleet/h1:1 up;..."); /* what is good at the start is taken */
    write_file(path, "[{\"targets\":[\"h1:1\",\"h2:2\"]}]");
    await(poll, "fleet/h1:1 up;fleet/h2:2 up;");
    write_file(path, "[{\"targets\":[\"h1:1\"]}");
    await(poll, "...a.json:1:");
    await(poll, "fleet/h1:1 up;fleet/h2:2 up;...");
    write_file(path, "[{\"targets\":[\"h1:1\"]}]");
    await(poll, "fleet/h1:1 up;");
    cr_assert_eq(unlink(path), 0);
    await(poll, "...cannot read ");
    await(poll, "fleet/h1:1 up;...");
    write_file(path, "[{\"targets\":[\"h1:1\"]}]");
    await(poll, "fleet/h1:1 up;");
    cr_expect_eq(jvms[0].opens, 1);
    close_poll(poll);
}

Test(listed, a_pattern_follows_the_files_that_match)
{
    char pattern[100], other[100];
    (void)snprintf(pattern, sizeof pattern, "%s/[a-z]*.json", folder);
    (void)snprintf(other, sizeof other, "%s/b.json", folder);
    struct fm_poll_target_opts t = section(pattern);
    struct fm_poll *poll = open_poll(&t);
    await(poll, "...no file matches");
    write_file(path, "[{\"targets\":[\"h1:1\"]}]");
    await(poll, "fleet/h1:1 up;");
    write_file(other, "[{\"targets\":[\"h2:2\"]}]");
    await(poll, "fleet/h1:1 up;fleet/h2:2 up;");
    write_file(other, "nonsense");
    await(poll, "...b.json:1:");
    write_file(path, "[{\"targets\":[\"h3:3\"]}]"); /* the good file goes on */
    await(poll, "fleet/h2:2 up;fleet/h3:3 up;...");
    cr_assert_eq(unlink(other), 0);
    await(poll, "fleet/h3:3 up;");
    cr_assert_eq(unlink(path), 0);
    await(poll, "...no file matches");
    await(poll, "fleet/h3:3 up;...");
    write_file(path, "[{\"targets\":[\"h3:3\"]}]");
    await(poll, "fleet/h3:3 up;");
    close_poll(poll);
}

Test(listed, two_targets_of_one_place_get_names_of_their_own)
{
    struct fm_poll_target_opts t = section(path);
    write_file(path, "[{\"targets\":[\"h1:1\",\"service:jmx:rmi:///jndi/rmi://h1:1/x\"]}]");
    struct fm_poll *poll = open_poll(&t);
    await(poll, "fleet/h1:1 up;fleet/h1:1~2 up;");
    write_file(path, "[{\"targets\":[\"service:jmx:rmi:///jndi/rmi://h1:1/x\"]}]");
    await(poll, "fleet/h1:1~2 up;"); /* a name stays as long as its target */
    write_file(path, "[{\"targets\":[\"h1:1\",\"service:jmx:rmi:///jndi/rmi://h1:1/x\"]}]");
    await(poll, "fleet/h1:1~2 up;fleet/h1:1 up;");
    cr_expect_eq(jvms[3].opens, 1);
    char url[256];
    struct fm_err err = {0};
    cr_expect_eq(fm_listed_url(url, sizeof url, &t, "h1:1~2", &err), FM_OK, "%s", err.text);
    cr_expect_str_eq(url, jvms[3].url);
    cr_expect_eq(fm_listed_url(url, sizeof url, &t, "h9:9", &err), FM_ENOTFOUND);
    cr_expect_eq(fm_listed_url(url, sizeof url, &t, NULL, &err), FM_ENOTFOUND);
    cr_expect_not_null(strstr(err.text, "stands for 2 targets: say fleet/h1:1~2"), "%s", err.text);
    close_poll(poll);
}

Test(listed, a_reload_keeps_what_was_read)
{
    struct fm_poll_target_opts t = section(path), same = section(path), other = section(path);
    other.fingerprint = "other";
    struct fm_err err = {0};
    write_file(path, "[{\"targets\":[\"h1:1\"],\"labels\":{\"env\":\"a\"}}]");
    struct fm_poll *poll = open_poll(&t);
    await(poll, "fleet/h1:1 up;");
    cr_assert_eq(unlink(path), 0);
    await(poll, "...cannot read ");
    cr_assert_eq(fm_poll_replace(poll, &same, 1, &err), FM_OK, "%s", err.text);
    await(poll, "fleet/h1:1 up;...");
    cr_expect_eq(jvms[0].opens, 1, "nothing changed for it");
    memset(tags, 0, sizeof tags);
    cr_assert_eq(fm_poll_replace(poll, &other, 1, &err), FM_OK, "%s", err.text);
    await_tags("fleet/h1:1 env=a;");
    cr_expect_eq(jvms[0].opens, 2, "another password, say");
    close_poll(poll);
}

Test(listed, once_reads_the_file_first)
{
    struct fm_poll_target_opts t = section(path);
    struct fm_poll_opts o = {.targets = &t, .n_targets = 1, .host_name = "here"};
    struct fm_poll_snapshot s;
    struct fm_err err = {0};
    for (size_t i = 0; i < sizeof jvms / sizeof jvms[0]; i++)
        fake_jvms[i] = &jvms[i];
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_expect_eq(fm_poll_once_with(&o, &fake_sessions, 3000, &s, &err), FM_ENOTFOUND);
    cr_expect_not_null(strstr(err.text, "cannot read"), "%s", err.text);
    fm_poll_snapshot_clear(&s);
    write_file(path, "[{\"targets\":[\"h1:1\",\"h2:2\"]}]");
    cr_expect_eq(fm_poll_once_with(&o, &fake_sessions, 3000, &s, &err), FM_OK, "%s", err.text);
    cr_expect_eq(s.n, 2);
    fm_poll_snapshot_clear(&s);
    write_file(path, "[{\"targets\":[\"h1:1\",\"h2\"]}]");
    cr_expect_eq(fm_poll_once_with(&o, &fake_sessions, 3000, &s, &err), FM_ECONF);
    cr_expect_not_null(strstr(err.text, "group 1, target 2"), "%s", err.text);
    cr_expect_eq(s.n, 1, "the good one was read all the same");
    fm_poll_snapshot_clear(&s);
}

Test(listed, refuses_a_section_with_both)
{
    struct fm_poll_target_opts t = section(path);
    t.url = "h1:1";
    struct fm_poll *poll = NULL;
    struct fm_err err = {0};
    struct fm_poll_opts o = {.targets = &t, .n_targets = 1};
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_expect_eq(fm_poll_new_with(&poll, &o, &fake_sessions, &err), FM_ECONF);
    cr_expect_not_null(strstr(err.text, "either url or targets_file"), "%s", err.text);
}
