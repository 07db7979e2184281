#include "vectors.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOT "tests/data/jmx-vectors/"

static unsigned char *load(const char *name, size_t *len)
{
    char path[300];
    snprintf(path, sizeof path, ROOT "%s", name);
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return NULL;
    fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    unsigned char *data = malloc(*len + 1);
    cr_assert_eq(fread(data, 1, *len, f), *len);
    data[*len] = '\0';
    fclose(f);
    return data;
}

unsigned char *vector_load(const char *name, size_t *len)
{
    unsigned char *data = load(name, len);
    cr_assert_not_null(data, "%s", name);
    return data;
}

static const char *text_of(json_t *entry, const char *key)
{
    const char *text = json_string_value(json_object_get(entry, key));
    return text == NULL ? "" : text;
}

size_t vectors_walk(const char *folder, vector_fn *fn, void *arg)
{
    char path[300];
    snprintf(path, sizeof path, ROOT "%sindex.json", folder);
    json_t *index = json_load_file(path, JSON_ALLOW_NUL, NULL);
    cr_assert_not_null(index, "%s", path);
    size_t i;
    json_t *entry;
    json_array_foreach (index, i, entry) {
        struct vector v = {.file = text_of(entry, "file"),
                           .kind = text_of(entry, *folder == '\0' ? "kind" : "expect"),
                           .what = text_of(entry, "what"),
                           .value = json_object_get(entry, "value")};
        snprintf(path, sizeof path, "%s.c2s.bin", v.file);
        v.c2s = load(path, &v.c2s_len);
        snprintf(path, sizeof path, "%s.s2c.bin", v.file);
        v.s2c = load(path, &v.s2c_len);
        fn(&v, arg);
        free(v.c2s);
        free(v.s2c);
    }
    size_t n = json_array_size(index);
    json_decref(index);
    return n;
}

size_t vector_return_at(const struct vector *v)
{
    if (v->s2c_len < 3 || v->s2c[0] != 0x4e)
        return 0;
    return 3u + ((size_t)v->s2c[1] << 8 | v->s2c[2]) + 4;
}

enum fm_ser_expect vector_expect(const struct vector *v)
{
    static const struct {
        uint64_t hash;
        enum fm_ser_expect expect;
    } methods[] = {
        {0xbe2e5bc7809d0dcc, FM_SER_VOID}, /* close */
        {0x5d845744730afe0c, FM_SER_VOID}, /* setAttribute */
        {0xfdc958e2c12414d4, FM_SER_VOID}, /* unregisterMBean */
        {0x23604b280b8bbe96, FM_SER_VOID}, /* removeNotificationListeners */
        {0x738ac4e1ccaba014, FM_SER_BOOL}, /* isRegistered */
        {0xe2327cc9422dbcf2, FM_SER_BOOL}, /* isInstanceOf */
    };
    if (v->c2s == NULL || v->c2s_len < 41)
        return FM_SER_VALUE;
    uint64_t hash = 0;
    for (size_t i = 33; i < 41; i++)
        hash = hash << 8 | v->c2s[i];
    if (hash == 0xf6b6898d8bf28643 && v->c2s[32] == 0)
        return FM_SER_VOID; /* DGC clean */
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (methods[i].hash == hash)
            return methods[i].expect;
    return FM_SER_VALUE;
}
