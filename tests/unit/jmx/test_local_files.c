#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "jmx/local/local_priv.h"

static size_t load(const char *path, char **out)
{
    FILE *f = fopen(path, "rb");
    cr_assert(f != NULL, "%s is missing", path);
    char *data = malloc(1 << 20);
    size_t len = fread(data, 1, (1 << 20) - 1, f);
    data[len] = '\0';
    (void)fclose(f);
    *out = data;
    return len;
}

/* A line of the golden text: name | value | type | vector length | flags | units | ... */
static void check_entry(const char *file, char *line, const struct fm_hsperf_entry *e)
{
    static const char *const units[] = {"", "None", "Bytes", "Ticks", "Events", "String", "Hertz"};
    static const char *const kinds[] = {"", "Constant", "Monotonic", "Variable"};
    char *columns[10] = {0}; /* from the right, as a value may hold the separator */
    for (int i = 10; i-- > 1;) {
        char *last = NULL;
        for (char *p = strstr(line, " | "); p != NULL; p = strstr(p + 1, " | "))
            last = p;
        cr_assert(last != NULL, "%s: bad golden line %s", file, line);
        if (i == 1) /* what is left is name and value: cut at the first */
            last = strstr(line, " | ");
        *last = '\0';
        columns[i] = last + 3;
    }
    char want[64];
    cr_assert_str_eq(e->name, line, "%s", file);
    cr_assert_eq(e->type, columns[2][0], "%s: %s", file, line);
    cr_assert_eq(e->vector_len, strtoul(columns[3], NULL, 10), "%s: %s", file, line);
    cr_assert_eq(e->flags, strtoul(columns[4], NULL, 10), "%s: %s", file, line);
    cr_assert_str_eq(units[e->units], columns[5], "%s: %s", file, line);
    cr_assert_str_eq(kinds[e->variability], columns[6], "%s: %s", file, line);
    if (e->type == 'J') {
        (void)snprintf(want, sizeof want, "%lld", (long long)e->number);
        cr_assert_str_eq(want, columns[1], "%s: %s", file, line);
    } else {
        cr_assert_eq(e->text_len, strlen(columns[1]), "%s: %s", file, line);
        cr_assert_eq(memcmp(e->text, columns[1], e->text_len), 0, "%s: %s", file, line);
    }
}

static void check_golden(const char *name)
{
    char path[128], *data = NULL, *text = NULL;
    (void)snprintf(path, sizeof path, "tests/data/hsperf/%s.bin", name);
    size_t len = load(path, &data);
    (void)snprintf(path, sizeof path, "tests/data/hsperf/%s.txt", name);
    (void)load(path, &text);
    struct fm_hsperf hs;
    cr_assert_eq(fm_hsperf_init(&hs, data, len, NULL), FM_OK, "%s", name);
    cr_assert(hs.accessible);
    char *line = strstr(text, "\nname | ");
    cr_assert(line != NULL);
    line = strchr(line + 1, '\n') + 1;
    size_t at = 0;
    uint32_t index = 0;
    struct fm_hsperf_entry e;
    while (fm_hsperf_next(&hs, &at, &index, &e)) {
        char *end = strchr(line, '\n');
        cr_assert(end != NULL, "%s: more entries than golden lines", name);
        *end = '\0';
        check_entry(name, line, &e);
        line = end + 1;
    }
    cr_assert_eq(index, hs.count, "%s: stopped at %u of %u", name, index, hs.count);
    cr_assert_eq(strlen(line), 0, "%s: %s", name, line);
    free(data);
    free(text);
}

Test(hsperf, reads_every_entry_of_every_jdk)
{
    static const char *const names[] = {"jdk8-parallel", "jdk17-g1", "jdk25-z", "jdk28-g1",
                                        "synthetic-bigendian"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        check_golden(names[i]);
}

/* Walk whatever is there; ASan sees a read outside of the block. */
static unsigned walk(const char *data, size_t len)
{
    struct fm_hsperf hs;
    if (fm_hsperf_init(&hs, data, len, NULL) != FM_OK)
        return 0;
    size_t at = 0;
    uint32_t index = 0;
    struct fm_hsperf_entry e;
    size_t sum = 0;
    while (fm_hsperf_next(&hs, &at, &index, &e))
        sum += strlen(e.name) + (e.text != NULL ? e.text_len : 0);
    return index + (unsigned)(sum & 0);
}

Test(hsperf, survives_a_file_cut_anywhere)
{
    char *data = NULL;
    size_t len = load("tests/data/hsperf/jdk17-g1.bin", &data);
    unsigned before = 0;
    for (size_t cut = 0; cut < len; cut += cut < 200 ? 1 : 97) {
        char *part = malloc(cut + 1); /* a block of its own, so that its end is seen */
        memcpy(part, data, cut);
        unsigned n = walk(part, cut);
        cr_assert(n >= before || n == 0, "fewer entries from more bytes");
        before = n;
        free(part);
    }
    cr_assert_gt(before, 100);
    free(data);
}

Test(hsperf, refuses_entries_that_point_outside)
{
    char *data = NULL;
    size_t len = load("tests/data/hsperf/jdk17-g1.bin", &data);
    unsigned all = walk(data, len);
    static const struct {
        size_t at;
        unsigned char byte;
    } edits[] = {{3 + 32, 0xff}, /* entry length negative */
                 {0 + 32, 0}, /* entry of no length */
                 {7 + 32, 0x7f}, /* name far away */
                 {11 + 32, 0x7f} /* vector longer than the file: type J is then unknown */,
                 {19 + 32, 0xff} /* data far away */};
    for (size_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        unsigned char old = (unsigned char)data[edits[i].at];
        data[edits[i].at] = (char)edits[i].byte;
        cr_assert(walk(data, len) <= all, "edit %zu", i);
        if (i != 3)
            cr_assert_eq(walk(data, len), 0, "edit %zu", i);
        data[edits[i].at] = (char)old;
    }
    data[0] = 0;
    cr_assert_eq(walk(data, len), 0, "wrong magic");
    free(data);
}

/* ---- attach texts ---- */

Test(attach, finds_the_address_in_agent_properties)
{
    static const char *const names[] = {"jdk8", "jdk17", "jdk25"};
    for (size_t i = 0; i < 3; i++) {
        char path[128], *data = NULL;
        (void)snprintf(path, sizeof path, "tests/data/attach/%s-agentProperties.bin", names[i]);
        size_t len = load(path, &data);
        int code = -7;
        const char *text = NULL;
        size_t text_len = 0;
        cr_assert(fm_attach_answer(data, len, &code, &text, &text_len));
        cr_assert_eq(code, 0);
        struct fm_buf value;
        fm_buf_init(&value, 0);
        cr_assert(fm_properties_get(text, text_len,
                                    "com.sun.management.jmxremote.localConnectorAddress", &value));
        cr_assert(fm_local_address_ok(value.data, value.len), "%s", fm_buf_str(&value));
        cr_assert(fm_properties_get(text, text_len, "sun.java.command", &value));
        cr_assert(strncmp(fm_buf_str(&value), "TestApp", 7) == 0, "%s", fm_buf_str(&value));
        cr_assert_not(fm_properties_get(text, text_len, "sun.java", &value));
        fm_buf_clear(&value);
        free(data);
    }
}

Test(attach, reads_codes_of_answers)
{
    int code = 0;
    const char *text = NULL;
    size_t len = 0;
    cr_assert(fm_attach_answer("-1\nno\n", 6, &code, &text, &len));
    cr_assert_eq(code, -1);
    cr_assert_eq(len, 3);
    cr_assert(fm_attach_answer("101\n", 4, &code, &text, &len) && code == 101 && len == 0);
    static const char *const bad[] = {"", "0", "x\n", "-\n", "12345678901\n", " 0\n", "+0\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_not(fm_attach_answer(bad[i], strlen(bad[i]), &code, &text, &len), "'%s'", bad[i]);
}

Test(attach, undoes_every_escape_of_properties)
{
    static const char text[] = "# a=b\n!a=c\n\n  a b\n"
                               "k\\:\\=\\ 1 : x\\ty\\\\z\\u00e9\\uD83D\\uDE00\n"
                               "latin=\xe9\nlong=one \\\n   two\ntwice=1\ntwice=2\nlone=\\uD800x\n"
                               "end=\\";
    static const struct {
        const char *key, *value;
    } cases[] = {{"a", "b"},
                 {"k:= 1", "x\ty\\z\xc3\xa9\xf0\x9f\x98\x80"},
                 {"latin", "\xc3\xa9"},
                 {"long", "one two"},
                 {"twice", "2"},
                 {"lone", "\xef\xbf\xbdx"},
                 {"end", ""}};
    struct fm_buf value;
    fm_buf_init(&value, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert(fm_properties_get(text, sizeof text - 1, cases[i].key, &value), "%s",
                  cases[i].key);
        cr_assert_str_eq(fm_buf_str(&value), cases[i].value, "%s", cases[i].key);
    }
    cr_assert_not(fm_properties_get(text, sizeof text - 1, "none", &value));
    fm_buf_clear(&value);
}

Test(attach, takes_only_loopback_addresses)
{
    static const char *const good[] = {"service:jmx:rmi://127.0.0.1/stub/rO0ABQ==",
                                       "service:jmx:rmi://127.1.2.3:0/stub/rO0A",
                                       "service:jmx:rmi:///stub/rO0A",
                                       "service:jmx:rmi://localhost:99/stub/rO0A",
                                       "service:jmx:rmi://[::1]/stub/rO0A",
                                       "service:jmx:rmi://[::1]:7/stub/rO0A"};
    static const char *const bad[] = {"",
                                      "service:jmx:rmi://",
                                      "service:jmx:rmi://127.0.0.1/stub/",
                                      "service:jmx:rmi://10.0.0.1/stub/rO0A",
                                      "service:jmx:rmi://127.0.0.1.evil.example/stub/rO0A",
                                      "service:jmx:rmi://127.0.0.1@evil/stub/rO0A",
                                      "service:jmx:rmi://evil:127/stub/rO0A",
                                      "service:jmx:rmi://127.0.0.1/jndi/rmi://h/jmxrmi",
                                      "service:jmx:rmi://127.0.0.1/stub/rO0\nA",
                                      "service:jmx:iiop://127.0.0.1/stub/rO0A",
                                      "service:jmx:rmi://127.0.0.256/stub/rO0A",
                                      "service:jmx:rmi://127.0.0/stub/rO0A"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_expect(fm_local_address_ok(good[i], strlen(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_not(fm_local_address_ok(bad[i], strlen(bad[i])), "%s", bad[i]);
}

/* ---- folders that lie ---- */

Test(jvms, names_a_jvm_by_class_or_jar)
{
    static const struct {
        const char *command, *name;
    } cases[] = {
        {"org.apache.catalina.startup.Bootstrap start", "Bootstrap"},
        {"/opt/app/orders.jar --x=1", "orders.jar"},
        {"orders.jar", "orders.jar"},
        {"/opt/my app/orders 2.jar a/b.jar", "orders 2.jar"},
        {"com.foo.app/com.foo.app.Main x", "Main"},
        {"Main", "Main"},
        {"a.B\nC x", "B_C"},
        {"jdk.compiler/com.sun.tools.javac.launcher.Main src/Fixture.java a.b", "Fixture.java"},
        {"/usr/x/app.war", "app.war"},
        {"src/Fixture.java slow=1", "Fixture.java"},
        {"", "unknown"}};
    struct fm_arena arena;
    fm_arena_init(&arena, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_expect_str_eq(fm_jvm_short_name(cases[i].command, &arena), cases[i].name);
    fm_arena_clear(&arena);
}

/* Write a copy of a vector under this process's pid, its JVM begun at a given wall time. */
static void write_perf(const char *path, int64_t begin_ms)
{
    char *data = NULL;
    size_t len = load("tests/data/hsperf/jdk17-g1.bin", &data);
    int64_t old = 1795351002787;
    char *at = memmem(data, len, &old, sizeof old);
    cr_assert(at != NULL);
    memcpy(at, &begin_ms, sizeof begin_ms);
    FILE *f = fopen(path, "wb");
    cr_assert(f != NULL);
    cr_assert_eq(fwrite(data, 1, len, f), len);
    (void)fclose(f);
    free(data);
}

static size_t count_jvms(const char *tmp)
{
    struct fm_arena arena;
    fm_arena_init(&arena, 0);
    struct fm_jvm *list = NULL;
    size_t n = 0;
    cr_assert_eq(fm_jvms_find(&list, &n, &arena, tmp, NULL), FM_OK);
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(list[i].pid, getpid());
    fm_arena_clear(&arena);
    return n;
}

Test(jvms, skips_stale_files_links_fifos_and_foreign_names)
{
    char tmp[] = "/tmp/fm-test-XXXXXX", dir[64], file[128], other[128];
    cr_assert(mkdtemp(tmp) != NULL);
    (void)snprintf(dir, sizeof dir, "%s/hsperfdata_x", tmp);
    (void)snprintf(file, sizeof file, "%s/%d", dir, (int)getpid());
    (void)snprintf(other, sizeof other, "%s/elsewhere", tmp);
    cr_assert_eq(mkdir(dir, 0755), 0);
    cr_assert_eq(count_jvms(tmp), 0);
    write_perf(file, fm_wall_ms());
    cr_assert_eq(count_jvms(tmp), 1, "a live one is found");
    write_perf(file, fm_wall_ms() - 86400000);
    cr_assert_eq(count_jvms(tmp), 0, "older than the process: its pid was given away");
    cr_assert_eq(unlink(file), 0);
    write_perf(other, fm_wall_ms());
    cr_assert_eq(symlink(other, file), 0);
    cr_assert_eq(count_jvms(tmp), 0, "a link");
    cr_assert_eq(unlink(file), 0);
    cr_assert_eq(mkfifo(file, 0600), 0);
    cr_assert_eq(count_jvms(tmp), 0, "a FIFO must neither count nor block");
    cr_assert_eq(unlink(file), 0);
    cr_assert_eq(mkdir(file, 0700), 0);
    cr_assert_eq(count_jvms(tmp), 0, "a folder");
    cr_assert_eq(rmdir(file), 0);
    int fd = open(file, O_CREAT | O_WRONLY, 0600);
    cr_assert_eq(ftruncate(fd, (off_t)1 << 40), 0);
    (void)close(fd);
    cr_assert_eq(count_jvms(tmp), 0, "huge");
    cr_assert_eq(rename(other, file), 0);
    if (geteuid() == 0) {
        cr_assert_eq(chown(file, 12345, 12345), 0);
        cr_assert_eq(count_jvms(tmp), 0, "of another owner than the process");
    }
    for (int i = 0; i < 1000; i++) { /* files of the dead: skipped without being opened */
        (void)snprintf(other, sizeof other, "%s/%d", dir, 4000000 + i);
        write_perf(other, 1);
    }
    cr_assert_eq(count_jvms(tmp), geteuid() == 0 ? 0 : 1);
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(other, sizeof other, "%s/%d", dir, 4000000 + i);
        (void)unlink(other);
    }
    (void)unlink(file);
    (void)rmdir(dir);
    (void)rmdir(tmp);
}

/* A host where many JVMs have ended without tidying up: nobody waits for their files. */
Test(jvms, looks_through_a_thousand_stale_files_quickly)
{
    enum { FILES = 1000, FIRST = 4000000 };
    char tmp[] = "/tmp/fm-test-XXXXXX", dir[64], file[128];
    cr_assert(mkdtemp(tmp) != NULL);
    (void)snprintf(dir, sizeof dir, "%s/hsperfdata_x", tmp);
    cr_assert_eq(mkdir(dir, 0755), 0);
    for (int i = 0; i < FILES; i++) {
        (void)snprintf(file, sizeof file, "%s/%d", dir, FIRST + i); /* no process has this id */
        write_perf(file, fm_wall_ms());
    }
    int64_t best = INT64_MAX; /* of three: the machine has other work */
    for (int i = 0; i < 3; i++) {
        int64_t start = fm_clock_ms();
        cr_assert_eq(count_jvms(tmp), 0);
        int64_t took = fm_clock_ms() - start;
        best = took < best ? took : best;
    }
    cr_expect_leq(best, 200, "%lld ms", (long long)best);
    for (int i = 0; i < FILES; i++) {
        (void)snprintf(file, sizeof file, "%s/%d", dir, FIRST + i);
        (void)unlink(file);
    }
    cr_assert_eq(rmdir(dir), 0);
    cr_assert_eq(rmdir(tmp), 0);
}
