/* Moulds: what they take is what parsing gives, whatever of an answer differs. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jmx/rmi/mould_priv.h"
#include "vectors.h"

#define CORPUS "tests/fuzz/corpus/mould/"

enum { KEY = 4711 };

static const struct fm_jmx_convert plain;

/* ---- what both ways give ---- */

struct parsed {
    struct fm_ser ser;
    struct fm_arena arena;
    struct fm_value value;
    enum fm_code code;
};

static void parse(struct parsed *p, const unsigned char *data, size_t len,
                  struct fm_ser_trace *trace)
{
    struct fm_convert c;
    size_t used;
    fm_ser_init(&p->ser, 0);
    fm_arena_init(&p->arena, 16 * 1024 * 1024);
    fm_ser_begin_return(&p->ser, FM_SER_VALUE);
    p->ser.trace = trace;
    p->code = fm_ser_feed(&p->ser, data, len, &used, NULL);
    fm_convert_init(&c, &plain, &p->arena, NULL);
    if (p->code == FM_OK && p->ser.exception)
        p->code = FM_EREMOTE;
    if (p->code == FM_OK)
        p->code = fm_convert_attributes(&c, p->ser.root, &p->value);
}

static void forget(struct parsed *p)
{
    fm_ser_clear(&p->ser);
    fm_arena_clear(&p->arena);
}

static struct fm_mould *learned(const unsigned char *data, size_t len)
{
    struct fm_ser_trace trace = {0};
    struct parsed p;
    parse(&p, data, len, &trace);
    cr_assert_eq(p.code, FM_OK);
    struct fm_mould *mould = fm_mould_new(&plain, &p.ser, data, len, &p.value);
    forget(&p);
    free(trace.events);
    return mould;
}

/* Fill the mould; if it fits, parsing must give the same. */
static enum fm_mould_fit fill(const struct fm_mould *mould, const unsigned char *data, size_t len)
{
    struct fm_arena arena;
    struct fm_value value;
    struct fm_cursor cur;
    fm_arena_init(&arena, 0);
    unsigned char *exact = malloc(len == 0 ? 1 : len);
    memcpy(exact, data, len);
    fm_cursor_init(&cur, exact, len);
    enum fm_mould_fit fit = fm_mould_fill(mould, &cur, &arena, &value);
    memset(exact, 0xee, len); /* nothing of the answer is borrowed */
    free(exact);
    if (fit == FM_MOULD_FITS) {
        struct parsed p;
        struct fm_buf a, b;
        fm_buf_init(&a, 0);
        fm_buf_init(&b, 0);
        parse(&p, data, cur.at, NULL);
        cr_assert_eq(p.code, FM_OK, "a mould takes what the parser refuses");
        cr_assert_eq(p.ser.bytes, cur.at);
        fm_value_print(&a, &p.value, FM_JSON_NONFINITE_STRING);
        fm_value_print(&b, &value, FM_JSON_NONFINITE_STRING);
        cr_assert_str_eq(fm_buf_str(&a), fm_buf_str(&b));
        fm_buf_clear(&a);
        fm_buf_clear(&b);
        forget(&p);
    }
    fm_arena_clear(&arena);
    return fit;
}

/* ---- recorded answers ---- */

typedef void pair_fn(const unsigned char *a, size_t a_len, const unsigned char *b, size_t b_len);

/* The pairs of answers of the fuzz corpus. */
static void each_pair(pair_fn *fn)
{
    size_t n = 0;
    DIR *dir = opendir(CORPUS);
    cr_assert_not_null(dir);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        char path[400];
        size_t len;
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "../../fuzz/corpus/mould/%s", e->d_name);
        unsigned char *data = vector_load(path, &len);
        const size_t first = (size_t)data[0] << 8 | data[1];
        fn(data + 2, first, data + 2 + first, len - 2 - first);
        free(data);
        n++;
    }
    closedir(dir);
    cr_assert_geq(n, 8);
}

static void same_again(const unsigned char *a, size_t a_len, const unsigned char *b, size_t b_len)
{
    struct fm_mould *mould = learned(a, a_len);
    cr_assert_not_null(mould);
    cr_assert_eq(fill(mould, a, a_len), FM_MOULD_FITS);
    cr_assert_eq(fill(mould, b, b_len), FM_MOULD_FITS, "other numbers");
    free(mould);
}

Test(rmi_mould, takes_the_next_answers_of_real_jvms)
{
    each_pair(same_again);
}

static void cut(const unsigned char *a, size_t a_len, const unsigned char *b, size_t b_len)
{
    struct fm_mould *mould = learned(a, a_len);
    for (size_t len = 0; len < b_len; len++)
        cr_assert_eq(fill(mould, b, len), FM_MOULD_MORE, "%zu bytes", len);
    free(mould);
}

Test(rmi_mould, waits_for_the_end_of_an_answer_cut_anywhere)
{
    each_pair(cut);
}

static void change(const unsigned char *a, size_t a_len, const unsigned char *b, size_t b_len)
{
    static const unsigned char changes[] = {0x01, 0x02, 0x03, 0x04, 0x80, 0xff};
    struct fm_mould *mould = learned(a, a_len);
    unsigned char *copy = malloc(b_len);
    size_t fits = 0;
    for (size_t i = 0; i < b_len; i++)
        for (size_t k = 0; k < sizeof changes; k++) {
            memcpy(copy, b, b_len);
            copy[i] ^= changes[k];
            fits += fill(mould, copy, b_len) == FM_MOULD_FITS;
        }
    cr_assert_geq(fits, 14 * 6, "the id of the return and the numbers may differ");
    cr_assert_lt(fits, b_len * 2, "most of an answer may not");
    free(copy);
    free(mould);
}

Test(rmi_mould, agrees_with_the_parser_on_every_changed_byte)
{
    each_pair(change);
}

/* ---- answers made here ---- */

/* Writes an AttributeList as Java does. */
struct writer {
    struct fm_buf buf;
    uint32_t next; /* handle */
    uint32_t attribute; /* its class; 0: not written yet */
    uint32_t number; /* java.lang.Number */
    uint32_t box[128]; /* classes by their type */
};

static void put_utf(struct writer *w, const char *text)
{
    fm_buf_be16(&w->buf, (uint16_t)strlen(text));
    fm_buf_puts(&w->buf, text);
}

static void put_reference(struct writer *w, uint32_t handle)
{
    fm_buf_putc(&w->buf, 0x71);
    fm_buf_be32(&w->buf, 0x7e0000 + handle);
}

static uint32_t put_text(struct writer *w, const char *text)
{
    fm_buf_putc(&w->buf, 0x74);
    put_utf(w, text);
    return w->next++;
}

static uint32_t put_class(struct writer *w, const char *name, unsigned char flags, uint16_t fields)
{
    fm_buf_putc(&w->buf, 0x72);
    put_utf(w, name);
    fm_buf_be64(&w->buf, 42);
    fm_buf_putc(&w->buf, (char)flags);
    fm_buf_be16(&w->buf, fields);
    return w->next++;
}

static void put_field(struct writer *w, char type, const char *name, const char *class_name)
{
    fm_buf_putc(&w->buf, type);
    put_utf(w, name);
    if (class_name != NULL)
        (void)put_text(w, class_name);
}

static void begin(struct writer *w, uint32_t n)
{
    memset(w, 0, sizeof *w);
    fm_buf_put(&w->buf, "\x51\xac\xed\x00\x05\x77\x0f\x01returnidreturn\x73", 23);
    put_class(w, "javax.management.AttributeList", 2, 0);
    fm_buf_put(&w->buf, "\x78", 1);
    put_class(w, "java.util.ArrayList", 3, 1);
    put_field(w, 'I', "size", NULL);
    fm_buf_put(&w->buf, "\x78\x70", 2);
    w->next++;
    fm_buf_be32(&w->buf, n);
    fm_buf_put(&w->buf, "\x77\x04\x00\x00\x00\x10", 6);
}

static void put_attribute(struct writer *w, const char *name)
{
    fm_buf_putc(&w->buf, 0x73);
    if (w->attribute != 0) {
        put_reference(w, w->attribute);
    } else {
        w->attribute = put_class(w, "javax.management.Attribute", 2, 2);
        put_field(w, 'L', "name", "Ljava/lang/String;");
        put_field(w, 'L', "value", "Ljava/lang/Object;");
        fm_buf_put(&w->buf, "\x78\x70", 2);
    }
    w->next++;
    (void)put_text(w, name);
}

static uint32_t put_box(struct writer *w, char type, const char *class_name, int64_t value)
{
    fm_buf_putc(&w->buf, 0x73);
    if (w->box[(int)type] != 0) {
        put_reference(w, w->box[(int)type]);
    } else {
        w->box[(int)type] = put_class(w, class_name, 2, 1);
        put_field(w, type, "value", NULL);
        fm_buf_put(&w->buf, "\x78", 1);
        if (w->number != 0) {
            put_reference(w, w->number);
        } else {
            w->number = put_class(w, "java.lang.Number", 2, 0);
            fm_buf_put(&w->buf, "\x78\x70", 2);
        }
    }
    if (type == 'J')
        fm_buf_be64(&w->buf, (uint64_t)value);
    else
        fm_buf_be32(&w->buf, (uint32_t)value);
    return w->next++;
}

static uint32_t put_long(struct writer *w, int64_t value)
{
    return put_box(w, 'J', "java.lang.Long", value);
}

static uint32_t put_int(struct writer *w, int64_t value)
{
    return put_box(w, 'I', "java.lang.Integer", value);
}

/* An answer from a few letters: L and I new boxes, T a new text, 0 null, a digit the value of the
 * attribute with that number (from 1) again. */
static const unsigned char *answer(struct writer *w, const char *what, int64_t from)
{
    uint32_t handles[16] = {0};
    begin(w, (uint32_t)strlen(what));
    for (size_t i = 0; what[i] != '\0'; i++) {
        char name[24], text[40];
        snprintf(name, sizeof name, "A%zu", i + 1);
        put_attribute(w, name);
        if (what[i] == 'L')
            handles[i] = put_long(w, from++);
        else if (what[i] == 'I')
            handles[i] = put_int(w, from++);
        else if (what[i] == 'T') {
            snprintf(text, sizeof text, "text %lld", (long long)from++);
            handles[i] = put_text(w, text);
        } else if (what[i] == '0')
            fm_buf_putc(&w->buf, 0x70);
        else
            put_reference(w, handles[what[i] - '1']);
    }
    fm_buf_putc(&w->buf, 0x78);
    return (const unsigned char *)w->buf.data;
}

static enum fm_mould_fit learn_and_fill(const char *first, const char *then)
{
    struct writer a, b;
    answer(&a, first, 1);
    answer(&b, then, -1000000);
    struct fm_mould *mould = learned((unsigned char *)a.buf.data, a.buf.len);
    cr_assert_not_null(mould);
    enum fm_mould_fit fit = fill(mould, (unsigned char *)b.buf.data, b.buf.len);
    free(mould);
    fm_buf_clear(&a.buf);
    fm_buf_clear(&b.buf);
    return fit;
}

Test(rmi_mould, knows_values_that_java_writes_once_and_then_refers_to)
{
    static const char *const pairs[][2] = {
        {"LLL", "L11"},   {"L11", "LLL"},   {"L1L", "LL1"},      {"LIL", "LI1"}, {"LI1", "LIL"},
        {"TTT", "T1T"},   {"T1T", "TTT"},   {"TTT", "T0T"},      {"TTT", "0TT"}, {"T1T", "TT2"},
        {"LTIT", "LTI2"}, {"LTI2", "LTIT"}, {"LLIITT", "L1I3T5"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        cr_assert_eq(learn_and_fill(pairs[i][0], pairs[i][1]), FM_MOULD_FITS, "%s then %s",
                     pairs[i][0], pairs[i][1]);
}

Test(rmi_mould, leaves_other_forms_to_the_parser)
{
    static const char *const pairs[][2] = {{"LL", "LI"}, {"LI", "LL"}, {"LL", "L0"}, {"LT", "LL"},
                                           {"TL", "TT"}, {"L0", "LL"}, {"LI", "L1"}, {"LT", "L1"},
                                           {"TL", "T1"}, {"LL", "L"},  {"L", "LL"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        cr_assert_eq(learn_and_fill(pairs[i][0], pairs[i][1]), FM_MOULD_NONE, "%s then %s",
                     pairs[i][0], pairs[i][1]);
}

Test(rmi_mould, a_text_that_is_a_name_too_stays_as_it_is)
{
    struct writer a, b;
    for (int i = 0; i < 2; i++) {
        struct writer *w = i == 0 ? &a : &b;
        begin(w, 2);
        put_attribute(w, "A1");
        const uint32_t text = put_text(w, i == 0 ? "one" : "two");
        fm_buf_putc(&w->buf, 0x73);
        put_reference(w, w->attribute);
        w->next++;
        put_reference(w, text); /* the name of the second attribute */
        put_long(w, i);
        fm_buf_putc(&w->buf, 0x78);
    }
    struct fm_mould *mould = learned((unsigned char *)a.buf.data, a.buf.len);
    cr_assert_not_null(mould);
    cr_assert_eq(fill(mould, (unsigned char *)a.buf.data, a.buf.len), FM_MOULD_FITS);
    cr_assert_eq(fill(mould, (unsigned char *)b.buf.data, b.buf.len), FM_MOULD_NONE);
    free(mould);
    fm_buf_clear(&a.buf);
    fm_buf_clear(&b.buf);
}

Test(rmi_mould, texts_that_are_not_ascii_are_left_to_the_parser)
{
    struct writer a, b;
    begin(&a, 1);
    put_attribute(&a, "A1");
    put_text(&a, "caf\xc3\xa9");
    fm_buf_putc(&a.buf, 0x78);
    struct fm_mould *mould = learned((unsigned char *)a.buf.data, a.buf.len);
    cr_assert_not_null(mould);
    cr_assert_eq(fill(mould, (unsigned char *)a.buf.data, a.buf.len), FM_MOULD_FITS, "unchanged");
    answer(&b, "T", 1);
    cr_assert_eq(fill(mould, (unsigned char *)b.buf.data, b.buf.len), FM_MOULD_NONE);
    free(mould);
    mould = learned((unsigned char *)b.buf.data, b.buf.len);
    cr_assert_eq(fill(mould, (unsigned char *)a.buf.data, a.buf.len), FM_MOULD_NONE);
    free(mould);
    fm_buf_clear(&a.buf);
    fm_buf_clear(&b.buf);
}

Test(rmi_mould, makes_none_of_what_is_too_large_or_came_in_pieces)
{
    struct fm_ser_trace trace = {0};
    struct writer w;
    struct parsed p;
    begin(&w, 1);
    put_attribute(&w, "A1");
    char *text = calloc(1, FM_MOULD_MAX_ANSWER + 1);
    memset(text, 'x', FM_MOULD_MAX_ANSWER);
    put_text(&w, text);
    fm_buf_putc(&w.buf, 0x78);
    cr_assert_null(learned((unsigned char *)w.buf.data, w.buf.len));
    free(text);
    fm_buf_clear(&w.buf);

    size_t used, rest;
    struct fm_convert c;
    answer(&w, "LL", 1);
    parse(&p, (unsigned char *)w.buf.data, w.buf.len, NULL);
    cr_assert_null(fm_mould_new(&plain, &p.ser, (unsigned char *)w.buf.data, w.buf.len, &p.value),
                   "without a trace");
    fm_ser_begin_return(&p.ser, FM_SER_VALUE);
    p.ser.trace = &trace;
    cr_assert_eq(fm_ser_feed(&p.ser, w.buf.data, w.buf.len - 5, &used, NULL), FM_EAGAIN);
    cr_assert_eq(fm_ser_feed(&p.ser, w.buf.data + used, w.buf.len - used, &rest, NULL), FM_OK);
    fm_convert_init(&c, &plain, &p.arena, NULL);
    cr_assert_eq(fm_convert_attributes(&c, p.ser.root, &p.value), FM_OK);
    cr_assert_null(fm_mould_new(&plain, &p.ser, (unsigned char *)w.buf.data, w.buf.len, &p.value));
    forget(&p);
    free(trace.events);
    fm_buf_clear(&w.buf);
}

/* ---- the table ---- */

static enum fm_mould_fit take(struct fm_moulds *m, uint32_t key, const struct writer *w,
                              const struct fm_jmx_convert *opts, size_t max_bytes)
{
    struct fm_arena arena;
    struct fm_value value;
    struct fm_cursor cur;
    fm_arena_init(&arena, 0);
    fm_cursor_init(&cur, w->buf.data, w->buf.len);
    enum fm_mould_fit fit = fm_moulds_take(m, key, opts, &cur, max_bytes, &arena, &value);
    cr_assert_eq(cur.at, fit == FM_MOULD_FITS ? w->buf.len : 0);
    fm_arena_clear(&arena);
    return fit;
}

static void learn(struct fm_moulds *m, uint32_t key, const struct writer *w)
{
    struct fm_ser_trace trace = {0};
    struct parsed p;
    parse(&p, (unsigned char *)w->buf.data, w->buf.len, &trace);
    fm_moulds_learn(m, key, &plain, &p.ser, w->buf.data, w->buf.len, &p.value);
    forget(&p);
    free(trace.events);
}

Test(rmi_mould, learns_what_comes_again_and_ever_more_rarely_what_never_fits)
{
    struct fm_moulds *m = fm_jmx_moulds_new(1 << 20);
    size_t wanted = 0;
    cr_assert_null(fm_moulds_wants(m, KEY), "the first time");
    cr_assert_not_null(fm_moulds_wants(m, KEY));
    for (int i = 0; i < 10000; i++)
        wanted += fm_moulds_wants(m, KEY) != NULL;
    cr_assert_geq(wanted, 8);
    cr_assert_leq(wanted, 40);
    cr_assert_null(fm_moulds_wants(m, KEY + 1), "another key");
    fm_jmx_moulds_free(m);
}

Test(rmi_mould, learns_of_keys_that_come_in_turn_with_the_same_place)
{
    enum { KEYS = 4, APART = 1 << 16 };
    struct fm_moulds *m = fm_jmx_moulds_new(1 << 20);
    for (uint32_t i = 0; i < KEYS; i++)
        cr_assert_null(fm_moulds_wants(m, KEY + i * APART), "the first time");
    for (uint32_t i = 0; i < KEYS; i++)
        cr_assert_not_null(fm_moulds_wants(m, KEY + i * APART), "key %u", i);
    fm_jmx_moulds_free(m);
}

Test(rmi_mould, keeps_several_forms_of_a_key_and_tells_keys_and_options_apart)
{
    static const char *const forms[] = {"LL", "LI", "TL", "TT", "II", "L0", "I0", "T0"};
    enum { N = sizeof forms / sizeof forms[0] };
    const struct fm_jmx_convert fields = {.object_fields = true};
    const struct fm_jmx_convert small = {.max_value_bytes = 1000};
    struct fm_moulds *m = fm_jmx_moulds_new(1 << 20);
    struct writer w[N];
    for (size_t i = 0; i < N; i++) {
        answer(&w[i], forms[i], 1);
        learn(m, KEY, &w[i]);
    }
    cr_assert_eq(take(m, KEY, &w[0], &plain, 1 << 20), FM_MOULD_NONE, "the oldest went");
    for (size_t i = 2; i < N; i++)
        cr_assert_eq(take(m, KEY, &w[i], &plain, 1 << 20), FM_MOULD_FITS, "%s", forms[i]);
    cr_assert_eq(take(m, KEY + 1, &w[N - 1], &plain, 1 << 20), FM_MOULD_NONE);
    cr_assert_eq(take(m, KEY + 256, &w[N - 1], &plain, 1 << 20), FM_MOULD_NONE, "the same place");
    cr_assert_eq(take(m, KEY, &w[N - 1], &fields, 1 << 20), FM_MOULD_NONE);
    cr_assert_eq(take(m, KEY, &w[N - 1], &small, 1 << 20), FM_MOULD_NONE);
    cr_assert_eq(take(m, KEY, &w[N - 1], &plain, w[N - 1].buf.len - 1), FM_MOULD_NONE);
    for (size_t i = 0; i < N; i++)
        fm_buf_clear(&w[i].buf);
    fm_jmx_moulds_free(m);
}

Test(rmi_mould, forgets_what_was_not_used_for_the_longest_time)
{
    struct fm_moulds *m = fm_jmx_moulds_new(16 * 1024);
    struct writer w;
    answer(&w, "LILT", 1);
    for (uint32_t key = 1; key < 100; key++) {
        learn(m, key, &w);
        cr_assert_eq(take(m, 1, &w, &plain, 1 << 20), FM_MOULD_FITS, "in use, at %u", key);
    }
    cr_assert_eq(take(m, 2, &w, &plain, 1 << 20), FM_MOULD_NONE);
    cr_assert_eq(take(m, 99, &w, &plain, 1 << 20), FM_MOULD_FITS);
    fm_jmx_moulds_free(m);
    fm_buf_clear(&w.buf);
    m = fm_jmx_moulds_new(10); /* too small for any */
    answer(&w, "L", 1);
    learn(m, KEY, &w);
    cr_assert_eq(take(m, KEY, &w, &plain, 1 << 20), FM_MOULD_NONE);
    fm_buf_clear(&w.buf);
    fm_jmx_moulds_free(m);
    fm_jmx_moulds_free(NULL);
}
