#include "sandbox/headers_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/json.h"

#define NO_VALUE UINT32_MAX

void fm_headers_put(struct fm_buf *out, const struct fm_header *header)
{
    fm_buf_be32(out, (uint32_t)header->name_len);
    fm_buf_be32(out, header->value != NULL ? (uint32_t)header->value_len : NO_VALUE);
    fm_buf_put(out, header->name, header->name_len);
    fm_buf_putc(out, '\0');
    if (header->value != NULL)
        fm_buf_put(out, header->value, header->value_len);
}

static uint32_t be32(const char *at)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++)
        v = v << 8 | (unsigned char)at[i];
    return v;
}

bool fm_headers_next(const char **at, size_t *left, struct fm_header *out)
{
    if (*left < 9)
        return false;
    uint64_t name = be32(*at), value = be32(*at + 4);
    bool has = value != NO_VALUE;
    uint64_t size = 9 + name + (has ? value : 0);
    if (size > *left || (*at)[8 + name] != '\0')
        return false;
    *out = (struct fm_header){.name = *at + 8,
                              .name_len = (size_t)name,
                              .value = has ? *at + 9 + name : NULL,
                              .value_len = has ? (size_t)value : 0};
    *at += size;
    *left -= (size_t)size;
    return true;
}

void fm_headers_json(struct fm_buf *out, const char *packed, size_t len)
{
    struct fm_header header;
    for (bool first = true; fm_headers_next(&packed, &len, &header); first = false) {
        fm_buf_puts(out, first ? "\"headers\":[{\"name\":" : ",{\"name\":");
        fm_json_str(out, header.name, header.name_len);
        fm_buf_puts(out, ",\"value\":");
        if (header.value != NULL)
            fm_json_base64(out, header.value, header.value_len);
        else
            fm_buf_puts(out, "null");
        fm_buf_puts(out, len < 9 ? "}]," : "}");
    }
}

struct scan {
    struct fm_buf name, text, value;
    bool has_name, has_value;
};

/* One member. @return false: the text is broken */
static bool scan_member(struct fm_jscan *s, struct scan *h, char bad[300])
{
    bool value = fm_jscan_is(s, "value"), name = fm_jscan_is(s, "name");
    enum fm_jtoken token = fm_jscan_next(s);
    if (name && token == FM_J_STRING) {
        fm_buf_reset(&h->name);
        fm_jscan_string(s, &h->name);
        h->has_name = true;
    } else if (value && token == FM_J_STRING) {
        fm_buf_reset(&h->text);
        fm_buf_reset(&h->value);
        fm_jscan_string(s, &h->text);
        h->has_value = true;
        if (!fm_base64_get(&h->value, fm_buf_str(&h->text), h->text.len))
            (void)snprintf(bad, 300, "Bad Request: data=\"%.200s\" is not a valid base64 string.",
                           fm_buf_str(&h->text));
    } else if (!value || token != FM_J_NULL) {
        (void)snprintf(bad, 300, "Cannot deserialize a header");
    }
    return fm_jscan_skip(s, token);
}

bool fm_headers_scan(struct fm_jscan *s, struct fm_buf *out, char bad[300])
{
    struct scan h = {.has_name = false};
    enum fm_jtoken token;
    bool whole = true;
    bad[0] = '\0';
    fm_buf_init(&h.name, 0);
    fm_buf_init(&h.text, 0);
    fm_buf_init(&h.value, 0);
    while (whole && (token = fm_jscan_next(s)) == FM_J_KEY)
        whole = scan_member(s, &h, bad);
    whole = whole && token == FM_J_OBJECT_END;
    if (whole && bad[0] == '\0' && !h.has_name)
        (void)snprintf(bad, 300, "Null header name");
    if (whole && bad[0] == '\0')
        fm_headers_put(out, &(struct fm_header){.name = fm_buf_str(&h.name),
                                                .name_len = h.name.len,
                                                .value = h.has_value ? fm_buf_str(&h.value) : NULL,
                                                .value_len = h.value.len});
    fm_buf_clear(&h.name);
    fm_buf_clear(&h.text);
    fm_buf_clear(&h.value);
    return whole;
}

/* ---- instants ---- */

/* Days since 1970-01-01 of the proleptic Gregorian calendar; years begin in March here, so that a
 * leap day is the last of its year. */
static int64_t days_since_epoch(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = year / 400, in_era = year % 400;
    int64_t in_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
}

static bool digits(const char *text, size_t n, int64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *out = *out * 10 + (text[i] - '0');
    }
    return true;
}

/* "Z" or "+hh:mm", to minutes. */
static bool offset_minutes(const char *text, size_t len, int64_t *out)
{
    int64_t hours, minutes;
    *out = 0;
    if (len == 1)
        return text[0] == 'Z';
    if (len != 6 || (text[0] != '+' && text[0] != '-') || text[3] != ':' ||
        !digits(text + 1, 2, &hours) || !digits(text + 4, 2, &minutes) || hours > 18 ||
        minutes > 59)
        return false;
    *out = (hours * 60 + minutes) * (text[0] == '-' ? -1 : 1);
    return true;
}

bool fm_instant_parse(const char *text, size_t len, int64_t *ms)
{
    static const char form[] = "0000-00-00T00:00:00";
    static const struct {
        size_t at, n;
        int64_t min, max;
    } parts[] = {{0, 4, 0, 9999}, {5, 2, 1, 12},  {8, 2, 1, 31},
                 {11, 2, 0, 23},  {14, 2, 0, 59}, {17, 2, 0, 59}};
    int64_t v[6], fraction = 0, minutes;
    if (len < sizeof form)
        return false;
    for (size_t i = 0; i < sizeof form - 1; i++)
        if (form[i] != '0' && form[i] != text[i])
            return false;
    for (size_t i = 0; i < 6; i++)
        if (!digits(text + parts[i].at, parts[i].n, &v[i]) || v[i] < parts[i].min ||
            v[i] > parts[i].max)
            return false;
    size_t at = sizeof form - 1;
    if (text[at] == '.') {
        int64_t unit = 100, digit;
        size_t start = ++at;
        for (; at < len && digits(text + at, 1, &digit); at++, unit /= 10)
            fraction += digit * unit;
        if (at == start || at - start > 9)
            return false;
    }
    if (!offset_minutes(text + at, len - at, &minutes))
        return false;
    int64_t days = days_since_epoch(v[0], v[1], v[2]);
    *ms = (((days * 24 + v[3]) * 60 + v[4] - minutes) * 60 + v[5]) * 1000 + fraction;
    return true;
}
