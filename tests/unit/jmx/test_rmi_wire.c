/* What we write, what stubs and URLs say: compared with recorded bytes. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jmx/rmi/rmi_priv.h"
#include "vectors.h"

enum { ID_AT = 7, HANDSHAKE = 13 };

/* The object id inside a recorded call. */
static const unsigned char *id_of(const unsigned char *call)
{
    return call + ID_AT;
}

static void expect_same(struct fm_buf *out, const unsigned char *want, size_t len, const char *name)
{
    cr_expect_not(out->failed);
    cr_expect_eq(out->len, len, "%s: %zu bytes, not %zu", name, out->len, len);
    cr_expect(out->len == len && memcmp(out->data, want, len) == 0, "%s: bytes differ", name);
    fm_buf_clear(out);
}

static unsigned char *load_call(const char *name, size_t *len)
{
    char file[200];
    snprintf(file, sizeof file, "%s.c2s.bin", name);
    return vector_load(file, len);
}

TestSuite(rmi_wire);

Test(rmi_wire, writes_handshake_and_lookup_as_recorded)
{
    size_t len;
    struct fm_buf out;
    fm_buf_init(&out, 0);
    unsigned char *want = load_call("jdk17-variants/03-eager-handshake", &len);
    fm_call_handshake(&out);
    cr_assert_eq(out.len, HANDSHAKE);
    fm_call_lookup(&out, "jmxrmi");
    expect_same(&out, want, len, "handshake and lookup");
    free(want);
}

Test(rmi_wire, writes_logins_as_recorded)
{
    static const struct {
        const char *file;
        bool credentials;
    } logins[] = {{"jdk17-plain/08-newClient", false},
                  {"jdk8-plain/08-newClient", false},
                  {"jdk25-plain/08-newClient", false},
                  {"jdk17-auth/06-good", true},
                  {"jdk17-auth/02-badpassword", true}};
    for (size_t i = 0; i < sizeof logins / sizeof logins[0]; i++) {
        size_t len;
        char user[64] = "";
        char password[64] = "";
        struct fm_buf out;
        fm_buf_init(&out, 0);
        unsigned char *want = load_call(logins[i].file, &len);
        if (logins[i].credentials) { /* the last two strings of the recorded call */
            const unsigned char *s = want + 41 + 37 + 4;
            snprintf(user, sizeof user, "%.*s", s[2], s + 3);
            s += 3 + s[2];
            snprintf(password, sizeof password, "%.*s", s[2], s + 3);
        }
        fm_call_new_client(&out, id_of(want), logins[i].credentials ? user : NULL, password);
        expect_same(&out, want, len, logins[i].file);
        free(want);
    }
}

static void check_call(const char *file, const char *name, const char *attribute)
{
    size_t len;
    struct fm_buf out;
    fm_buf_init(&out, 0);
    unsigned char *want = load_call(file, &len);
    if (attribute != NULL)
        fm_call_attribute(&out, id_of(want), name, attribute);
    else if (strstr(file, "MBeanInfo") != NULL)
        fm_call_info(&out, id_of(want), name);
    else if (strstr(file, "close") != NULL)
        fm_call_close(&out, id_of(want));
    else
        fm_call_query_names(&out, id_of(want), name);
    expect_same(&out, want, len, file);
    free(want);
}

Test(rmi_wire, writes_the_calls_of_a_poll_as_recorded)
{
    static const char *const jdks[] = {"jdk17-plain", "jdk8-plain", "jdk25-plain"};
    for (size_t i = 0; i < 3; i++) {
        char file[100];
        snprintf(file, sizeof file, "%s/15-queryNames-all", jdks[i]);
        check_call(file, NULL, NULL);
        snprintf(file, sizeof file, "%s/16-queryNames-none", jdks[i]);
        check_call(file, "nosuch:*", NULL);
        snprintf(file, sizeof file, "%s/22-getMBeanInfo-memory", jdks[i]);
        check_call(file, "java.lang:type=Memory", NULL);
        snprintf(file, sizeof file, "%s/24-heap", jdks[i]);
        check_call(file, "java.lang:type=Memory", "HeapMemoryUsage");
    }
    check_call("jdk17-plain/55-close", NULL, NULL);
}

/* The texts of a recorded getAttributes call, so that it can be written again. */
Test(rmi_wire, writes_getAttributes_as_recorded)
{
    size_t len;
    unsigned char *want = load_call("jdk17-plain/38-getAttributes", &len);
    struct fm_cursor cur;
    uint16_t n;
    uint32_t count;
    const unsigned char *bytes;
    char name[100];
    char texts[8][60];
    const char *names[8];
    fm_cursor_init(&cur, want, len);
    cr_assert(fm_cursor_skip(&cur, 41 + 45 + 1) && fm_cursor_u16(&cur, &n) &&
              fm_cursor_take(&cur, n, &bytes));
    snprintf(name, sizeof name, "%.*s", n, (const char *)bytes);
    cr_assert(fm_cursor_skip(&cur, 1 + 37) && fm_cursor_u32(&cur, &count));
    cr_assert_eq(count, 3);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert(fm_cursor_skip(&cur, 1) && fm_cursor_u16(&cur, &n) &&
                  fm_cursor_take(&cur, n, &bytes));
        snprintf(texts[i], sizeof texts[i], "%.*s", n, (const char *)bytes);
        names[i] = texts[i];
    }
    struct fm_buf out;
    fm_buf_init(&out, 0);
    fm_call_attributes(&out, id_of(want), name, names, count);
    expect_same(&out, want, len, name);
    free(want);
}

Test(rmi_wire, writes_characters_beyond_the_base_plane_as_surrogates)
{
    struct fm_buf out;
    fm_buf_init(&out, 0);
    fm_call_lookup(&out, "\xf0\x9f\x98\x80\xff");
    static const char want[] = "\x74\x00\x09\xed\xa0\xbd\xed\xb8\x80\xef\xbf\xbd";
    cr_assert_eq(memcmp(out.data + 41, want, sizeof want - 1), 0);
    fm_buf_clear(&out);
    char *text = calloc(70000, 1);
    memset(text, 'a', 69999);
    fm_call_lookup(&out, text);
    cr_assert_eq(memcmp(out.data + 41, "\x7c\x00\x00\x00\x00\x00\x01\x11\x6f", 9), 0);
    fm_buf_clear(&out);
    free(text);
}

/* ---- stubs ---- */

static enum fm_code read_stub(const char *file, bool bare, struct fm_stub *stub, struct fm_err *err)
{
    size_t len;
    size_t used;
    struct fm_ser ser;
    unsigned char *data = vector_load(file, &len);
    fm_ser_init(&ser, 0);
    if (bare)
        fm_ser_begin_stream(&ser);
    else
        fm_ser_begin_return(&ser, FM_SER_VALUE);
    enum fm_code code = fm_ser_feed(&ser, data, len, &used, err);
    if (code == FM_OK)
        code = fm_stub_parse(stub, ser.root, err);
    fm_ser_clear(&ser);
    free(data);
    return code;
}

Test(rmi_wire, reads_stubs_in_both_shapes)
{
    static const struct {
        const char *file;
        bool bare;
        enum fm_stub_tls tls;
    } stubs[] = {{"jdk17-plain/04-registry-lookup-hash.s2c.bin", false, FM_STUB_PLAIN},
                 {"jdk17-plain/08-newClient.s2c.bin", false, FM_STUB_PLAIN},
                 {"jdk8-plain/04-registry-lookup-hash.s2c.bin", false, FM_STUB_PLAIN},
                 {"jdk17-variants/12-ignorestubs-lookup-hash.s2c.bin", false, FM_STUB_PLAIN},
                 {"jdk17-variants/13-ignorestubs-newClient.s2c.bin", false, FM_STUB_PLAIN},
                 {"jdk17-tls/02-registry-lookup-op2.s2c.bin", false, FM_STUB_TLS},
                 {"jdk8-tls/02-registry-lookup-op2.s2c.bin", false, FM_STUB_TLS},
                 {"jdk8-attach/08-stub-url.s2c.bin", true, FM_STUB_PLAIN},
                 {"jdk17-attach/09-stub-url.s2c.bin", true, FM_STUB_PLAIN},
                 {"jdk25-attach/09-stub-url.s2c.bin", true, FM_STUB_PLAIN}};
    for (size_t i = 0; i < sizeof stubs / sizeof stubs[0]; i++) {
        struct fm_stub stub;
        struct fm_err err = {0};
        cr_expect_eq(read_stub(stubs[i].file, stubs[i].bare, &stub, &err), FM_OK, "%s: %s",
                     stubs[i].file, err.text);
        cr_expect_eq(stub.tls, stubs[i].tls, "%s", stubs[i].file);
        cr_expect_gt(stub.port, 1024, "%s", stubs[i].file);
    }
}

static void check_hostile_stub(const struct vector *v, void *arg)
{
    size_t *n = arg;
    if (strstr(v->file, "-stub-") == NULL)
        return;
    char file[200];
    struct fm_stub stub;
    struct fm_err err = {0};
    snprintf(file, sizeof file, "%s.s2c.bin", v->file);
    enum fm_code code = read_stub(file, false, &stub, &err);
    enum fm_code want = strncmp(v->kind, "accept", 6) == 0  ? FM_OK
                        : strcmp(v->kind, "need-more") == 0 ? FM_EAGAIN
                                                            : FM_EPROTO;
    cr_expect_eq(code, want, "%s: %s %s", v->file, fm_code_name(code), err.text);
    ++*n;
}

Test(rmi_wire, refuses_hostile_stubs)
{
    size_t n = 0;
    vectors_walk("hostile/", check_hostile_stub, &n);
    cr_assert_eq(n, 9);
}

Test(rmi_wire, says_what_was_found_instead_of_a_stub)
{
    struct fm_stub stub;
    struct fm_err err = {0};
    cr_assert_eq(read_stub("jdk17-plain/28-vmname.s2c.bin", false, &stub, &err), FM_EPROTO);
    cr_assert_not_null(strstr(err.text, "java.lang.String"), "%s", err.text);
}

/* ---- addresses ---- */

Test(rmi_wire, reads_the_recorded_stub_urls)
{
    static const char *const files[] = {"jdk8-attach/08-stub-url", "jdk17-attach/09-stub-url",
                                        "jdk25-attach/09-stub-url"};
    for (size_t i = 0; i < 3; i++) {
        char file[100];
        size_t len;
        size_t stub_len;
        struct fm_rmi_address a;
        struct fm_err err = {0};
        unsigned char *url = load_call(files[i], &len);
        snprintf(file, sizeof file, "%s.s2c.bin", files[i]);
        unsigned char *stub = vector_load(file, &stub_len);
        cr_assert_eq(fm_rmi_address_parse(&a, (const char *)url, &err), FM_OK, "%s", err.text);
        cr_assert_eq(a.stub.len, stub_len);
        cr_assert_eq(memcmp(a.stub.data, stub, stub_len), 0);
        fm_rmi_address_clear(&a);
        free(url);
        free(stub);
    }
}
