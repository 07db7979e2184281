/* JSON into values. Children gather on a stack and move into the arena when their parent closes, so
 * that the text is read once whatever its nesting. */
#include <stdlib.h>
#include <string.h>

#include "jmx/jolokia/jolokia_priv.h"

struct reader {
    struct fm_jscan scan;
    struct fm_arena *arena;
    struct fm_err *err;
    struct fm_buf text; /* scratch */
    struct fm_member *stack;
    size_t n;
    size_t cap;
    enum fm_jolokia_mend mend;
};

static enum fm_code no_room(struct reader *r)
{
    if (r->arena->over_limit)
        return fm_err_set(r->err, FM_ELIMIT, "the values need more memory than allowed");
    return fm_err_nomem(r->err);
}

static enum fm_code bad_json(struct reader *r)
{
    return fm_err_set(r->err, FM_EPROTO, "the agent's answer is not valid JSON");
}

static bool push(struct reader *r, const struct fm_member *member)
{
    if (r->n == r->cap) {
        size_t cap = r->cap == 0 ? 16 : r->cap * 2;
        struct fm_member *stack = realloc(r->stack, cap * sizeof *stack);
        if (stack == NULL)
            return false;
        r->stack = stack;
        r->cap = cap;
    }
    r->stack[r->n++] = *member;
    return true;
}

/* What agents put in the place of a value they could not give (1.x and 2.x to 2.4). */
static bool is_marker(const char *text, size_t len)
{
    static const char *const whole[] = {"Unsupported", "[Object limit exceeded]", "[this]"};
    static const char *const begins[] = {"[Depth limit ", "[Reference "};
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        if (len == strlen(whole[i]) && memcmp(text, whole[i], len) == 0)
            return true;
    for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++)
        if (len > strlen(begins[i]) && memcmp(text, begins[i], strlen(begins[i])) == 0 &&
            text[len - 1] == ']')
            return true;
    return len > 7 && memcmp(text, "ERROR: ", 7) == 0 && text[len - 1] == ')' &&
           memmem(text, len, " (class ", 8) != NULL;
}

static enum fm_code refuse_marker(struct reader *r, const char *text, size_t len)
{
    if (len == 11 && memcmp(text, "Unsupported", 11) == 0)
        return fm_err_set(r->err, FM_EREMOTE, "java.lang.UnsupportedOperationException");
    return fm_err_set(r->err, FM_EREMOTE, "the agent gave no value: %.*s",
                      (int)(len < 150 ? len : 150), text);
}

/* ---- mending ---- */

static int two(const char *s)
{
    bool digits = s[0] >= '0' && s[0] <= '9' && s[1] >= '0' && s[1] <= '9';
    return digits ? (s[0] - '0') * 10 + (s[1] - '0') : -1;
}

/* Days from 1970-01-01 in the Gregorian calendar. */
static int64_t days(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* "2026-11-23T02:03:04[.567]Z" or with "+01:00", "+0100" in the place of the Z. */
static bool parse_date(const char *s, size_t len, int64_t *out)
{
    if (len < 20 || len > 40 || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' ||
        s[16] != ':')
        return false;
    int high = two(s), low = two(s + 2), month = two(s + 5), day = two(s + 8);
    int hour = two(s + 11), minute = two(s + 14), second = two(s + 17);
    if (high < 0 || low < 0 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 ||
        hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return false;
    int64_t ms = ((days(high * 100 + low, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    ms *= 1000;
    const char *end = s + len;
    s += 19;
    if (*s == '.') {
        int unit = 100;
        for (s++; s < end && *s >= '0' && *s <= '9'; s++, unit /= 10)
            ms += (*s - '0') * unit;
    }
    if (end - s == 1 && *s == 'Z') {
        *out = ms;
        return true;
    }
    bool colon = end - s == 6 && s[3] == ':';
    if (!(colon || end - s == 5) || (*s != '+' && *s != '-'))
        return false;
    int hours = two(s + 1), minutes = two(s + (colon ? 4 : 3));
    if (hours < 0 || minutes < 0)
        return false;
    int64_t offset = (hours * 60 + minutes) * (int64_t)60000;
    *out = *s == '+' ? ms - offset : ms + offset;
    return true;
}

/* {"key": "text"} and nothing else. */
static bool wraps_text(const struct fm_value *v, const char *key)
{
    return v->kind == FM_V_OBJECT && v->object.n == 1 &&
           strcmp(v->object.members[0].key.ptr, key) == 0 &&
           v->object.members[0].value.kind == FM_V_STRING;
}

static enum fm_code mend_bytes(struct reader *r, struct fm_value *v)
{
    for (size_t i = 0; i < v->array.n; i++)
        if (v->array.items[i].kind != FM_V_INT || v->array.items[i].i < -128 ||
            v->array.items[i].i > 127)
            return FM_OK;
    fm_buf_reset(&r->text);
    for (size_t i = 0; i < v->array.n; i++)
        fm_buf_putc(&r->text, (char)v->array.items[i].i);
    FM_TRY(fm_buf_code(&r->text, r->err));
    return fm_value_set_text(v, r->arena, FM_V_BYTES, fm_buf_str(&r->text), r->text.len)
               ? FM_OK
               : no_room(r);
}

static enum fm_code mend(struct reader *r, struct fm_value *v)
{
    int64_t ms;
    switch (r->mend) {
    case FM_MEND_BIG: /* how agents of both lines show a BigInteger by its getters */
        if (wraps_text(v, "bigint"))
            *v = v->object.members[0].value;
        return FM_OK;
    case FM_MEND_DATE:
        if (v->kind == FM_V_STRING && parse_date(v->text.ptr, v->text.len, &ms))
            *v = (struct fm_value){.kind = FM_V_INT, .i = ms};
        return FM_OK;
    case FM_MEND_BYTES:
        return v->kind == FM_V_ARRAY ? mend_bytes(r, v) : FM_OK;
    case FM_MEND_OBJECT_NAME:
        if (wraps_text(v, "objectName"))
            *v = v->object.members[0].value;
        for (size_t i = 0; v->kind == FM_V_ARRAY && i < v->array.n; i++)
            if (wraps_text(&v->array.items[i], "objectName"))
                v->array.items[i] = v->array.items[i].object.members[0].value;
        return FM_OK;
    default: /* numbers are mended while their text is at hand */
        return FM_OK;
    }
}

/* ---- reading ---- */

static enum fm_code read_number(struct reader *r, struct fm_value *out, bool top)
{
    const struct fm_jscan *s = &r->scan;
    const enum fm_jolokia_mend how = top ? r->mend : FM_MEND_NONE;
    enum fm_value_kind kind = how == FM_MEND_BIG ? FM_V_STRING : FM_V_NUMBER;
    bool integer = true;
    for (size_t i = 0; i < s->text_len; i++)
        integer = integer && strchr(".eE", s->text[i]) == NULL;
    if (how == FM_MEND_FLOAT)
        *out = (struct fm_value){.kind = FM_V_FLOAT, .f = (float)fm_jscan_double(s)};
    else if (how == FM_MEND_DOUBLE || (!integer && how != FM_MEND_BIG))
        *out = (struct fm_value){.kind = FM_V_DOUBLE, .d = fm_jscan_double(s)};
    else if (how == FM_MEND_BIG || !fm_jscan_i64(s, &out->i))
        return fm_value_set_text(out, r->arena, kind, s->text, s->text_len) ? FM_OK : no_room(r);
    else
        out->kind = FM_V_INT;
    return FM_OK;
}

static enum fm_code read_string(struct reader *r, struct fm_value *out)
{
    fm_buf_reset(&r->text);
    fm_jscan_string(&r->scan, &r->text);
    FM_TRY(fm_buf_code(&r->text, r->err));
    const char *text = fm_buf_str(&r->text);
    if (is_marker(text, r->text.len))
        return refuse_marker(r, text, r->text.len);
    return fm_value_set_text(out, r->arena, FM_V_STRING, text, r->text.len) ? FM_OK : no_room(r);
}

static enum fm_code read_value(struct reader *r, enum fm_jtoken token, bool top,
                               struct fm_value *out);

static int compare_keys(const void *a, const void *b)
{
    const struct fm_text *x = &(*(const struct fm_member *const *)a)->key;
    const struct fm_text *y = &(*(const struct fm_member *const *)b)->key;
    int order = memcmp(x->ptr, y->ptr, x->len < y->len ? x->len : y->len);
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

static enum fm_code check_unique(struct reader *r, const struct fm_member *members, size_t n)
{
    if (n < 2)
        return FM_OK;
    const struct fm_member **order = malloc(n * sizeof(const struct fm_member *));
    if (order == NULL)
        return fm_err_nomem(r->err);
    for (size_t i = 0; i < n; i++)
        order[i] = &members[i];
    qsort(order, n, sizeof(const struct fm_member *), compare_keys);
    bool twice = false;
    for (size_t i = 1; i < n && !twice; i++)
        twice = compare_keys(&order[i - 1], &order[i]) == 0;
    free(order);
    return twice ? fm_err_set(r->err, FM_EPROTO, "the agent's answer has a key twice") : FM_OK;
}

/* 2.5 and newer: {".error":true,"error_type":...,"error":...} in the place of a value. */
static enum fm_code check_error(struct reader *r, const struct fm_value *v)
{
    const struct fm_value *flag = fm_value_member(v, ".error", 6);
    if (flag == NULL || flag->kind != FM_V_BOOL || !flag->b)
        return FM_OK;
    const struct fm_value *type = fm_value_member(v, "error_type", 10);
    const struct fm_value *text = fm_value_member(v, "error", 5);
    return fm_err_set(r->err, FM_EREMOTE, "%.90s: %.120s",
                      type != NULL && type->kind == FM_V_STRING ? type->text.ptr : "error",
                      text != NULL && text->kind == FM_V_STRING ? text->text.ptr : "");
}

static enum fm_code read_children(struct reader *r, bool object, size_t base)
{
    const enum fm_jtoken end = object ? FM_J_OBJECT_END : FM_J_ARRAY_END;
    for (;;) {
        struct fm_member m = {.key = {"", 0}};
        enum fm_jtoken token = fm_jscan_next(&r->scan);
        if (token == end)
            return FM_OK;
        if (object && token == FM_J_KEY) {
            struct fm_value key;
            fm_buf_reset(&r->text);
            fm_jscan_string(&r->scan, &r->text);
            FM_TRY(fm_buf_code(&r->text, r->err));
            if (!fm_value_set_text(&key, r->arena, FM_V_STRING, fm_buf_str(&r->text), r->text.len))
                return no_room(r);
            m.key = key.text;
            token = fm_jscan_next(&r->scan);
        }
        enum fm_code code = read_value(r, token, false, &m.value);
        if (code == FM_EREMOTE && object && r->n >= base)
            continue; /* a marker: no value */
        if (code == FM_EREMOTE)
            m.value = (struct fm_value){.kind = FM_V_NULL};
        else
            FM_TRY(code);
        if (!push(r, &m))
            return fm_err_nomem(r->err);
    }
}

static enum fm_code close_object(struct reader *r, size_t base, struct fm_value *out)
{
    size_t n = r->n - base;
    struct fm_member *members = fm_arena_array(r->arena, n + 1, sizeof *members);
    if (members == NULL)
        return no_room(r);
    if (n > 0)
        memcpy(members, r->stack + base, n * sizeof *members);
    *out = (struct fm_value){.kind = FM_V_OBJECT, .object = {members, n}};
    r->n = base;
    FM_TRY(check_unique(r, members, n));
    return check_error(r, out);
}

static enum fm_code close_array(struct reader *r, size_t base, struct fm_value *out)
{
    size_t n = r->n - base;
    struct fm_value *items = fm_arena_array(r->arena, n + 1, sizeof *items);
    if (items == NULL)
        return no_room(r);
    for (size_t i = 0; i < n; i++)
        items[i] = r->stack[base + i].value;
    *out = (struct fm_value){.kind = FM_V_ARRAY, .array = {items, n}};
    r->n = base;
    return FM_OK;
}

/* Recursion is bounded by the scanner: FM_JSCAN_DEPTH. */
static enum fm_code read_value(struct reader *r, enum fm_jtoken token, bool top,
                               struct fm_value *out)
{
    size_t base = r->n;
    *out = (struct fm_value){.kind = FM_V_NULL};
    switch (token) {
    case FM_J_OBJECT:
        FM_TRY(read_children(r, true, base));
        return close_object(r, base, out);
    case FM_J_ARRAY:
        FM_TRY(read_children(r, false, base));
        return close_array(r, base, out);
    case FM_J_STRING:
        return read_string(r, out);
    case FM_J_NUMBER:
        return read_number(r, out, top);
    case FM_J_TRUE:
    case FM_J_FALSE:
        *out = (struct fm_value){.kind = FM_V_BOOL, .b = token == FM_J_TRUE};
        return FM_OK;
    case FM_J_NULL:
        return FM_OK;
    default:
        return bad_json(r);
    }
}

enum fm_code fm_jolokia_value(struct fm_value *out, struct fm_arena *arena, const char *json,
                              size_t len, enum fm_jolokia_mend how, struct fm_err *err)
{
    struct reader r = {.arena = arena, .err = err, .mend = how};
    fm_jscan_init(&r.scan, json, len);
    fm_buf_init(&r.text, 0);
    enum fm_code code = read_value(&r, fm_jscan_next(&r.scan), true, out);
    if (code == FM_OK)
        code = mend(&r, out);
    free(r.stack);
    fm_buf_clear(&r.text);
    return code;
}
