#include <string.h>

#include "base/cursor.h"
#include "jmx/local/local_priv.h"

enum { HEAD = 32, ENTRY_HEAD = 20, MAX_ENTRIES = 100000 };

static bool read32(struct fm_cursor *cur, bool little, uint32_t *out)
{
    return little ? fm_cursor_le32(cur, out) : fm_cursor_u32(cur, out);
}

static bool read64(struct fm_cursor *cur, bool little, uint64_t *out)
{
    return little ? fm_cursor_le64(cur, out) : fm_cursor_u64(cur, out);
}

enum fm_code fm_hsperf_init(struct fm_hsperf *out, const void *data, size_t len, struct fm_err *err)
{
    struct fm_cursor cur;
    fm_cursor_init(&cur, data, len);
    uint32_t magic = 0, used = 0, overflow = 0, first = 0, count = 0;
    uint64_t changed = 0;
    uint8_t order = 0, major = 0, minor = 0, accessible = 0;
    if (!fm_cursor_u32(&cur, &magic) || magic != 0xCAFEC0C0U)
        return fm_err_set(err, FM_EPROTO, "no hsperfdata file: its magic is wrong");
    if (!fm_cursor_u8(&cur, &order) || order > 1 || !fm_cursor_u8(&cur, &major) ||
        !fm_cursor_u8(&cur, &minor) || !fm_cursor_u8(&cur, &accessible))
        return fm_err_set(err, FM_EPROTO, "hsperfdata is cut in its head");
    if (major != 2)
        return fm_err_set(err, FM_EPROTO, "hsperfdata of version %u.%u is not known", major, minor);
    bool little = order == 1;
    if (!read32(&cur, little, &used) || !read32(&cur, little, &overflow) ||
        !read64(&cur, little, &changed) || !read32(&cur, little, &first) ||
        !read32(&cur, little, &count))
        return fm_err_set(err, FM_EPROTO, "hsperfdata is cut in its head");
    size_t end = used < len && used >= HEAD ? used : len;
    if (accessible != 0 && (first < HEAD || first > end))
        return fm_err_set(err, FM_EPROTO, "hsperfdata: first entry at %u of %zu bytes", first, end);
    *out = (struct fm_hsperf){.data = data,
                              .len = end,
                              .little = little,
                              .accessible = accessible != 0,
                              .overflow = overflow,
                              .first = first,
                              .count = count < MAX_ENTRIES ? count : MAX_ENTRIES};
    return FM_OK;
}

/* A terminated string at an offset of the entry. */
static const char *string_at(const unsigned char *entry, size_t len, uint32_t at, size_t *text_len)
{
    if (at >= len)
        return NULL;
    const char *text = (const char *)entry + at;
    const char *end = memchr(text, 0, len - at);
    if (end == NULL)
        return NULL;
    *text_len = (size_t)(end - text);
    return text;
}

static bool read_value(const struct fm_hsperf *hs, const unsigned char *entry, size_t len,
                       uint32_t at, struct fm_hsperf_entry *out)
{
    if (at > len)
        return false;
    struct fm_cursor cur;
    fm_cursor_init(&cur, entry + at, len - at);
    if (out->type == 'J' && out->vector_len == 0) {
        uint64_t v = 0;
        if (!read64(&cur, hs->little, &v))
            return false;
        out->number = (int64_t)v;
        return true;
    }
    if (out->type != 'B' || out->vector_len == 0)
        return true; /* a kind no JVM was seen to write: the name alone */
    const unsigned char *text = NULL;
    if (!fm_cursor_take(&cur, out->vector_len, &text))
        return false;
    out->text = (const char *)text;
    out->text_len = strnlen(out->text, out->vector_len);
    return true;
}

bool fm_hsperf_next(const struct fm_hsperf *hs, size_t *at, uint32_t *index,
                    struct fm_hsperf_entry *out)
{
    if (*at == 0)
        *at = hs->first;
    if (!hs->accessible || *index >= hs->count || *at > hs->len)
        return false;
    const unsigned char *entry = hs->data + *at;
    struct fm_cursor cur;
    fm_cursor_init(&cur, entry, hs->len - *at);
    uint32_t len = 0, name_at = 0, vector_len = 0, data_at = 0;
    uint8_t type = 0, flags = 0, units = 0, variability = 0;
    if (!read32(&cur, hs->little, &len) || !read32(&cur, hs->little, &name_at) ||
        !read32(&cur, hs->little, &vector_len) || !fm_cursor_u8(&cur, &type) ||
        !fm_cursor_u8(&cur, &flags) || !fm_cursor_u8(&cur, &units) ||
        !fm_cursor_u8(&cur, &variability) || !read32(&cur, hs->little, &data_at))
        return false;
    if (len < ENTRY_HEAD || len > hs->len - *at)
        return false;
    *out = (struct fm_hsperf_entry){.type = (char)type,
                                    .flags = flags,
                                    .units = units,
                                    .variability = variability,
                                    .vector_len = vector_len};
    size_t name_len = 0;
    out->name = string_at(entry, len, name_at, &name_len);
    if (out->name == NULL || !read_value(hs, entry, len, data_at, out))
        return false;
    *at += len;
    ++*index;
    return true;
}
