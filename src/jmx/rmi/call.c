#include <string.h>

#include "base/utf8.h"
#include "jmx/rmi/rmi_priv.h"

/* Method hashes: SHA-1 over method name and descriptor (reference, 4.2). */
#define HASH_LOOKUP UINT64_C(0x97614f3f477a89c7)
#define HASH_NEW_CLIENT UINT64_C(0xf0e074eaad0caea8)
#define HASH_CLOSE UINT64_C(0xbe2e5bc7809d0dcc)
#define HASH_QUERY_NAMES UINT64_C(0x7f0473acb73677da)
#define HASH_GET_INFO UINT64_C(0x993cd0f9b9817af6)
#define HASH_GET_ATTRIBUTE UINT64_C(0xf0e0500a394d7215)
#define HASH_GET_ATTRIBUTES UINT64_C(0x5739d96a8b235c47)

/* Class descriptors: tags, name, serialVersionUID, flags, no fields, then the annotation of an RMI
 * stream (a null codebase and its end) and no superclass. */
static const char object_name_desc[] = "\x73\x72\x00\x1bjavax.management.ObjectName"
                                       "\x0f\x03\xa7\x1b\xeb\x6d\x15\xcf\x03\x00\x00\x70\x78\x70";
static const char string_array_desc[] = "\x75\x72\x00\x13[Ljava.lang.String;"
                                        "\xad\xd2\x56\xe7\xe9\x1d\x7b\x47\x02\x00\x00\x70\x78\x70";

static const unsigned char registry_id[FM_OBJID_LEN] = {0};

void fm_call_handshake(struct fm_buf *out)
{
    /* Magic, version 2, stream protocol, then our endpoint, which nobody reads: "" and 0. */
    fm_buf_put(out, "JRMI\x00\x02\x4b\x00\x00\x00\x00\x00\x00", 13);
}

static void put_head(struct fm_buf *out, const unsigned char *id, uint64_t hash)
{
    fm_buf_put(out, "\x50\xac\xed\x00\x05\x77\x22", 7);
    fm_buf_put(out, id, FM_OBJID_LEN);
    fm_buf_be32(out, UINT32_MAX); /* operation -1: a method hash follows */
    fm_buf_be64(out, hash);
}

static void put_null(struct fm_buf *out)
{
    fm_buf_putc(out, 0x70);
}

static void put_unit(struct fm_buf *out, uint32_t unit)
{
    const char utf[3] = {(char)(0xe0 | unit >> 12), (char)(0x80 | (unit >> 6 & 63)),
                         (char)(0x80 | (unit & 63))};
    fm_buf_put(out, utf, sizeof utf);
}

/* UTF-8 to the modified form: characters above U+FFFF as two surrogates. */
static void put_mutf8(struct fm_buf *out, const char *text, size_t len)
{
    const unsigned char *u = (const unsigned char *)text;
    const size_t plain = fm_mutf8_ascii(u, len);
    fm_buf_put(out, text, plain);
    for (size_t i = plain; i < len;) {
        size_t step = fm_utf8_step(text + i, len - i);
        if (step == 0) {
            put_unit(out, 0xfffd);
            i++;
            continue;
        }
        if (step < 4) {
            fm_buf_put(out, text + i, step);
        } else {
            uint32_t cp = (uint32_t)(u[i] & 7) << 18 | (uint32_t)(u[i + 1] & 63) << 12 |
                          (uint32_t)(u[i + 2] & 63) << 6 | (u[i + 3] & 63);
            put_unit(out, 0xd800 + ((cp - 0x10000) >> 10));
            put_unit(out, 0xdc00 + ((cp - 0x10000) & 0x3ff));
        }
        i += step;
    }
}

static void put_string(struct fm_buf *out, const char *text)
{
    struct fm_buf utf;
    const size_t len = strlen(text);
    if (len <= UINT16_MAX && fm_mutf8_ascii((const unsigned char *)text, len) == len) {
        fm_buf_putc(out, 0x74);
        fm_buf_be16(out, (uint16_t)len);
        fm_buf_put(out, text, len);
        return;
    }
    fm_buf_init(&utf, 0);
    put_mutf8(&utf, text, len);
    out->failed = out->failed || utf.failed;
    if (utf.len <= UINT16_MAX) {
        fm_buf_putc(out, 0x74);
        fm_buf_be16(out, (uint16_t)utf.len);
    } else {
        fm_buf_putc(out, 0x7c);
        fm_buf_be64(out, utf.len);
    }
    fm_buf_put(out, utf.data, utf.len);
    fm_buf_clear(&utf);
}

static void put_object_name(struct fm_buf *out, const char *name)
{
    fm_buf_put(out, object_name_desc, sizeof object_name_desc - 1);
    put_string(out, name);
    fm_buf_putc(out, 0x78);
}

static void put_strings(struct fm_buf *out, const char *const *texts, size_t n)
{
    fm_buf_put(out, string_array_desc, sizeof string_array_desc - 1);
    fm_buf_be32(out, (uint32_t)n);
    for (size_t i = 0; i < n; i++)
        put_string(out, texts[i]);
}

void fm_call_lookup(struct fm_buf *out, const char *name)
{
    put_head(out, registry_id, HASH_LOOKUP);
    put_string(out, name);
}

void fm_call_new_client(struct fm_buf *out, const unsigned char *id, const char *user,
                        const char *password)
{
    const char *const credentials[] = {user, password == NULL ? "" : password};
    put_head(out, id, HASH_NEW_CLIENT);
    if (user == NULL)
        put_null(out);
    else
        put_strings(out, credentials, 2);
}

void fm_call_query_names(struct fm_buf *out, const unsigned char *id, const char *pattern)
{
    put_head(out, id, HASH_QUERY_NAMES);
    if (pattern == NULL)
        put_null(out);
    else
        put_object_name(out, pattern);
    put_null(out); /* query expression */
    put_null(out); /* subject */
}

void fm_call_info(struct fm_buf *out, const unsigned char *id, const char *name)
{
    put_head(out, id, HASH_GET_INFO);
    put_object_name(out, name);
    put_null(out);
}

void fm_call_attribute(struct fm_buf *out, const unsigned char *id, const char *name,
                       const char *attribute)
{
    put_head(out, id, HASH_GET_ATTRIBUTE);
    put_object_name(out, name);
    put_string(out, attribute);
    put_null(out);
}

void fm_call_attributes(struct fm_buf *out, const unsigned char *id, const char *name,
                        const char *const *attributes, size_t n)
{
    put_head(out, id, HASH_GET_ATTRIBUTES);
    put_object_name(out, name);
    put_strings(out, attributes, n);
    put_null(out);
}

void fm_call_close(struct fm_buf *out, const unsigned char *id)
{
    put_head(out, id, HASH_CLOSE);
}
