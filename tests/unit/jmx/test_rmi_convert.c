#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jmx/rmi/convert_priv.h"
#include "vectors.h"

/* A parsed and converted answer. */
struct converted {
    struct fm_ser ser;
    struct fm_arena arena;
    struct fm_value value;
    struct fm_buf text;
    struct fm_err err;
    enum fm_code code;
};

static void convert_bytes(struct converted *v, const unsigned char *data, size_t len,
                          const struct fm_jmx_convert *opts)
{
    size_t used;
    struct fm_convert c;
    memset(v, 0, sizeof *v);
    fm_ser_init(&v->ser, 0);
    fm_arena_init(&v->arena, 16 * 1024 * 1024);
    fm_buf_init(&v->text, 0);
    fm_ser_begin_return(&v->ser, FM_SER_VALUE);
    v->code = fm_ser_feed(&v->ser, data, len, &used, &v->err);
    if (v->code != FM_OK)
        return;
    fm_convert_init(&c, opts, &v->arena, &v->err);
    v->code = fm_convert_node(&c, v->ser.root, &v->value);
    if (v->code == FM_OK)
        fm_value_print(&v->text, &v->value, FM_JSON_NONFINITE_NULL);
}

static void convert_file(struct converted *v, const char *name, const struct fm_jmx_convert *opts)
{
    size_t len;
    unsigned char *data = vector_load(name, &len);
    convert_bytes(v, data, len, opts);
    free(data);
}

static void done(struct converted *v)
{
    fm_ser_clear(&v->ser);
    fm_arena_clear(&v->arena);
    fm_buf_clear(&v->text);
}

/* ---- expected-types.tsv ---- */

/* "jdk17-types/NN-NAME.s2c.bin" for a NAME; false if the JDK has none. */
static bool find_type(const char *folder, const char *name, char *out, size_t size)
{
    char path[200];
    char ending[100];
    snprintf(path, sizeof path, "tests/data/jmx-vectors/%s", folder);
    snprintf(ending, sizeof ending, "-%s.s2c.bin", name);
    DIR *dir = opendir(path);
    cr_assert_not_null(dir);
    bool found = false;
    for (struct dirent *e = readdir(dir); e != NULL && !found; e = readdir(dir)) {
        const char *dash = strchr(e->d_name, '-');
        found = dash != NULL && strcmp(dash, ending) == 0;
        if (found)
            snprintf(out, size, "%s/%s", folder, e->d_name);
    }
    closedir(dir);
    return found;
}

static bool same_set(json_t *a, json_t *b)
{
    size_t n = json_array_size(a);
    if (n != json_array_size(b))
        return false;
    for (size_t i = 0; i < n; i++) {
        bool found = false;
        for (size_t k = 0; k < n; k++)
            found = found || json_equal(json_array_get(a, i), json_array_get(b, k));
        if (!found)
            return false;
    }
    return true;
}

static void check_type(const char *file, const char *name, const char *expected)
{
    struct converted v;
    convert_file(&v, file, NULL);
    cr_expect_eq(v.code, FM_OK, "%s: %s", file, v.err.text);
    json_t *want = json_loads(expected, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    json_t *got = json_loads(fm_buf_str(&v.text), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    bool is_set = strcmp(name, "HashSet") == 0 || strcmp(name, "SetOf") == 0;
    bool is_proxy = strcmp(name, "Proxy") == 0;
    bool same = is_set ? same_set(want, got) : json_equal(want, got);
    cr_expect(same || (is_proxy && json_object_size(got) == 1), "%s: expected %s, is %s", file,
              expected, fm_buf_str(&v.text));
    json_decref(want);
    json_decref(got);
    done(&v);
}

/* Legal values that only Java can read: classes that break the rules of their own stream. */
static bool only_java_reads(const char *name)
{
    return strncmp(name, "NoDefault", 9) == 0 || strcmp(name, "Ext") == 0;
}

static size_t check_types(const char *folder)
{
    char line[4000];
    char file[300];
    size_t n = 0;
    FILE *f = fopen("tests/data/jmx-vectors/expected-types.tsv", "r");
    cr_assert_not_null(f);
    while (fgets(line, sizeof line, f) != NULL) {
        char *tab = strchr(line, '\t');
        if (line[0] == '#' || tab == NULL)
            continue;
        *tab = '\0';
        tab[1 + strcspn(tab + 1, "\n")] = '\0';
        if (tab[1] == '!' || only_java_reads(line) || !find_type(folder, line, file, sizeof file))
            continue;
        check_type(file, line, tab + 1);
        n++;
    }
    fclose(f);
    return n;
}

Test(rmi_convert, maps_every_kind_of_value_of_jdk_17)
{
    cr_assert_gt(check_types("jdk17-types"), 95);
}

Test(rmi_convert, maps_the_kinds_recorded_from_jdk_8)
{
    cr_assert_gt(check_types("jdk8-types"), 3);
}

/* ---- all other answers ---- */

static void convert_any(const struct vector *v, void *arg)
{
    size_t *n = arg;
    if (strcmp(v->kind, "return") != 0 || v->s2c_len == 0 || vector_expect(v) != FM_SER_VALUE ||
        vector_return_at(v) != 0 || strstr(v->file, "types/") != NULL)
        return;
    struct converted c;
    convert_bytes(&c, v->s2c, v->s2c_len, NULL);
    cr_expect_eq(c.code, FM_OK, "%s: %s", v->file, c.err.text);
    json_t *got = json_loads(fm_buf_str(&c.text), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    cr_expect_not_null(got, "%s: %s", v->file, fm_buf_str(&c.text));
    /* Where the prototype wrote nothing of its own (markers begin with # or <), it must agree. */
    char *theirs = v->value == NULL ? NULL : json_dumps(v->value, JSON_ENCODE_ANY);
    if (theirs != NULL && strchr(theirs, '#') == NULL && strstr(theirs, "e+") == NULL &&
        json_is_string(v->value))
        cr_expect(json_equal(got, v->value), "%s: %s is not %s", v->file, fm_buf_str(&c.text),
                  theirs);
    free(theirs);
    json_decref(got);
    done(&c);
    ++*n;
}

Test(rmi_convert, writes_json_for_every_recorded_return)
{
    size_t n = 0;
    vectors_walk("", convert_any, &n);
    cr_assert_gt(n, 150);
}

static void convert_hostile(const struct vector *v, void *arg)
{
    (void)arg;
    struct converted c;
    convert_bytes(&c, v->s2c, v->s2c_len, NULL);
    if (c.code == FM_OK) {
        json_t *got = json_loads(fm_buf_str(&c.text), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        cr_expect_not_null(got, "%s: %s", v->file, fm_buf_str(&c.text));
        json_decref(got);
    }
    done(&c);
}

Test(rmi_convert, survives_the_hostile_answers)
{
    cr_assert_eq(vectors_walk("hostile/", convert_hostile, NULL), 75);
}

static void expect_text(const char *name, const char *text)
{
    struct converted v;
    convert_file(&v, name, NULL);
    cr_expect_eq(v.code, FM_OK, "%s: %s", name, v.err.text);
    cr_expect_str_eq(fm_buf_str(&v.text), text, "%s: %s", name, fm_buf_str(&v.text));
    done(&v);
}

Test(rmi_convert, gives_the_expected_values_of_legal_oddities)
{
    expect_text("hostile/14-map-size-lie.s2c.bin", "{\"k\":\"v\"}");
    expect_text("hostile/24-self-list.s2c.bin", "[null]");
    expect_text("hostile/43-reset-top.s2c.bin", "\"after reset\"");
    expect_text("hostile/56-longstring-short.s2c.bin", "\"ok\"");
    expect_text("hostile/59-utf-nul.s2c.bin", "\"a\\u0000b\"");
    expect_text("hostile/63-utf-pair.s2c.bin", "\"\xf0\x9f\x98\x80\"");
    expect_text("hostile/73-bigdecimal-scale.s2c.bin", "\"7E+2147483647\"");
}

Test(rmi_convert, refuses_what_grows_beyond_the_budget)
{
    struct converted v;
    convert_file(&v, "hostile/25-billion-laughs.s2c.bin", NULL);
    cr_assert_eq(v.code, FM_ELIMIT);
    cr_assert_lt(v.arena.used, 16u * 1024 * 1024);
    done(&v);
    const struct fm_jmx_convert small = {.max_value_bytes = 1000};
    convert_file(&v, "jdk17-types/17-LongStr.s2c.bin", &small);
    cr_assert_eq(v.code, FM_ELIMIT);
    done(&v);
}

Test(rmi_convert, shows_fields_of_unknown_objects_on_demand)
{
    const struct fm_jmx_convert fields = {.object_fields = true};
    char file[300];
    struct converted v;
    cr_assert(find_type("jdk17-types", "Point3", file, sizeof file));
    convert_file(&v, file, &fields);
    json_t *got = json_loads(fm_buf_str(&v.text), 0, NULL);
    cr_assert_str_eq(json_string_value(json_object_get(got, "class")), "TestApp$Point3");
    cr_assert_gt(json_object_size(got), 3, "%s", fm_buf_str(&v.text));
    json_decref(got);
    done(&v);
}

/* ---- exceptions ---- */

static struct fm_throwable judge(const char *name, bool login, struct fm_err *err)
{
    size_t len;
    size_t used;
    struct fm_ser ser;
    unsigned char *data = vector_load(name, &len);
    fm_ser_init(&ser, 0);
    fm_ser_begin_return(&ser, FM_SER_VALUE);
    cr_assert_eq(fm_ser_feed(&ser, data, len, &used, NULL), FM_OK, "%s", name);
    cr_assert(ser.exception, "%s", name);
    struct fm_throwable out = fm_throwable_judge(ser.root, login, err);
    fm_ser_clear(&ser);
    free(data);
    return out;
}

static void judge_any(const struct vector *v, void *arg)
{
    size_t *n = arg;
    if (strstr(v->kind, "exception") == NULL || vector_return_at(v) != 0 ||
        strstr(v->file, "10-notif") != NULL)
        return;
    struct fm_err err = {0};
    char name[300];
    snprintf(name, sizeof name, "%s.s2c.bin", v->file);
    struct fm_throwable t = judge(name, strstr(v->file, "newClient") != NULL, &err);
    cr_expect_neq(t.code, FM_OK, "%s", v->file);
    cr_expect_gt(strlen(err.text), 10);
    const char *value = json_string_value(v->value);
    if (value != NULL && strstr(value, "NoSuchObject") != NULL)
        cr_expect(t.closes && t.gone && t.code == FM_EGONE, "%s", v->file);
    if (value != NULL && strncmp(value, "java.rmi.Server", 15) == 0)
        cr_expect(t.closes && !t.gone, "%s: %s", v->file, err.text);
    if (value != NULL && strncmp(value, "javax.management.InstanceNotFound", 33) == 0)
        cr_expect_eq(t.code, FM_ENOTFOUND, "%s", v->file);
    ++*n;
}

Test(rmi_convert, judges_every_recorded_exception)
{
    size_t n = 0;
    vectors_walk("", judge_any, &n);
    cr_assert_gt(n, 50);
}

static void list_auth(const struct vector *v, void *arg)
{
    struct fm_err err = {0};
    char name[300];
    size_t *n = arg;
    if (strstr(v->file, "auth/") == NULL || strcmp(v->kind, "exception") != 0)
        return;
    snprintf(name, sizeof name, "%s.s2c.bin", v->file);
    bool login = v->c2s_len > 41 && v->c2s[33] == 0xf0 && v->c2s[34] == 0xe0 && v->c2s[35] == 0x74;
    struct fm_throwable t = judge(name, login, &err);
    if (login && strstr(v->file, "objectarray") == NULL) /* not credentials at all */
        cr_expect(t.code == FM_EAUTH || t.closes, "%s: %s", v->file, err.text);
    ++*n;
}

Test(rmi_convert, knows_refused_logins)
{
    size_t n = 0;
    vectors_walk("", list_auth, &n);
    cr_assert_gt(n, 5);
}
