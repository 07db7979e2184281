#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jmx/rmi/ser_priv.h"
#include "vectors.h"

static void begin(struct fm_ser *ser, const struct vector *v)
{
    if (strcmp(v->kind, "stub-url") == 0)
        fm_ser_begin_stream(ser);
    else
        fm_ser_begin_return(ser, vector_expect(v));
}

static bool has_answer(const struct vector *v)
{
    static const char *const kinds[] = {"return", "exception", "stream-exception", "unparseable",
                                        "stub-url"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(v->kind, kinds[i]) == 0)
            return v->s2c_len > 0 && strstr(v->file, "pipelined") == NULL;
    return false;
}

static void check_whole(const struct vector *v, void *arg)
{
    size_t *n = arg;
    if (!has_answer(v))
        return;
    struct fm_ser ser;
    struct fm_err err = {0};
    size_t used = 0;
    size_t at = vector_return_at(v);
    fm_ser_init(&ser, 0);
    begin(&ser, v);
    enum fm_code code = fm_ser_feed(&ser, v->s2c + at, v->s2c_len - at, &used, &err);
    if (strcmp(v->kind, "unparseable") == 0) {
        cr_expect_eq(code, FM_EPROTO, "%s: %s", v->file, fm_code_name(code));
    } else {
        cr_expect_eq(code, FM_OK, "%s: %s %s", v->file, fm_code_name(code), err.text);
        cr_expect_eq(used, v->s2c_len - at, "%s: %zu of %zu bytes", v->file, used, v->s2c_len);
        cr_expect_eq(ser.stream_exception, strcmp(v->kind, "stream-exception") == 0, "%s", v->file);
        if (strstr(v->file, "jdk17-variants/10-") ==
            NULL) /* named after its outcome, not its form */
            cr_expect_eq(ser.exception, strstr(v->kind, "exception") != NULL, "%s", v->file);
    }
    fm_ser_clear(&ser);
    ++*n;
}

Test(rmi_ser, reads_every_recorded_answer_to_its_exact_end)
{
    size_t n = 0;
    cr_assert_gt(vectors_walk("", check_whole, &n), 400);
    cr_assert_gt(n, 350);
}

/* Feed in pieces of one byte, keeping what was not used, as a connection does. */
static void check_bytewise(const struct vector *v, void *arg)
{
    (void)arg;
    if (!has_answer(v) || strcmp(v->kind, "unparseable") == 0 || v->s2c_len > 20000)
        return;
    struct fm_ser ser;
    size_t used = 0;
    size_t from = vector_return_at(v);
    fm_ser_init(&ser, 0);
    begin(&ser, v);
    for (size_t to = from; to <= v->s2c_len; to++) {
        /* A copy of the exact length, so that the sanitizer sees any step beyond it. */
        unsigned char *part = malloc(to - from + 1);
        memcpy(part, v->s2c + from, to - from);
        part = realloc(part, to - from == 0 ? 1 : to - from);
        enum fm_code code = fm_ser_feed(&ser, part, to - from, &used, NULL);
        free(part);
        cr_assert_eq(code, to == v->s2c_len ? FM_OK : FM_EAGAIN, "%s at %zu: %s", v->file, to,
                     fm_code_name(code));
        from += used;
    }
    cr_assert_eq(from, v->s2c_len);
    fm_ser_clear(&ser);
}

Test(rmi_ser, goes_on_after_each_byte)
{
    vectors_walk("", check_bytewise, NULL);
}

/* ---- descriptors that are known from before ---- */

enum { DEEP = 40 }; /* graphs may be cyclic */

static void same_tree(const struct fm_ser_node *a, const struct fm_ser_node *b, int depth);

static void same_desc(const struct fm_ser_desc *a, const struct fm_ser_desc *b)
{
    cr_assert_str_eq(a->name, b->name);
    cr_assert_eq(a->n_fields, b->n_fields);
    cr_assert_eq(a->flags, b->flags);
    cr_assert_eq(a->chain, b->chain);
    for (size_t i = 0; i < a->n_fields; i++) {
        cr_assert_eq(a->fields[i].type, b->fields[i].type);
        cr_assert_str_eq(a->fields[i].name, b->fields[i].name);
    }
    cr_assert_eq(a->super == NULL, b->super == NULL);
    if (a->super != NULL)
        same_desc(a->super->desc, b->super->desc);
}

static void same_value(const struct fm_ser_value *a, const struct fm_ser_value *b, int depth)
{
    cr_assert_eq(a->type, b->type);
    if (a->type == 'L' || a->type == '[')
        same_tree(a->node, b->node, depth);
    else
        cr_assert_eq(a->i, b->i);
}

static void same_list(const struct fm_ser_list *a, const struct fm_ser_list *b, int depth)
{
    cr_assert_eq(a->n, b->n);
    for (size_t i = 0; i < a->n; i++)
        same_tree(a->items[i], b->items[i], depth);
}

static void same_object(const struct fm_ser_node *a, const struct fm_ser_node *b, int depth)
{
    cr_assert_eq(a->object.n, b->object.n);
    for (size_t i = 0; i < a->object.n; i++) {
        const struct fm_ser_class *x = &a->object.classes[i], *y = &b->object.classes[i];
        for (size_t k = 0; x->values != NULL && k < x->desc->n_fields; k++)
            same_value(&x->values[k], &y->values[k], depth);
        same_list(&x->notes, &y->notes, depth);
    }
}

static void same_tree(const struct fm_ser_node *a, const struct fm_ser_node *b, int depth)
{
    cr_assert_eq(a->kind, b->kind);
    if (depth == DEEP)
        return;
    if (a->desc != NULL)
        same_desc(a->desc, b->desc);
    if (a->kind == FM_SER_STRING || a->kind == FM_SER_TIME || a->kind == FM_SER_BLOCK) {
        cr_assert_eq(a->text.len, b->text.len);
        cr_assert_eq(memcmp(a->text.ptr, b->text.ptr, a->text.len), 0);
    } else if (a->kind == FM_SER_OBJECT) {
        same_object(a, b, depth + 1);
    } else if (a->kind == FM_SER_ENUM) {
        same_tree(a->name, b->name, depth + 1);
    } else if (a->kind == FM_SER_ARRAY) {
        cr_assert_eq(a->array.n, b->array.n);
        same_list(&a->array.list, &b->array.list, depth + 1);
    }
}

static enum fm_code feed(struct fm_ser *ser, const struct vector *v)
{
    size_t used, at = vector_return_at(v);
    begin(ser, v);
    return fm_ser_feed(ser, v->s2c + at, v->s2c_len - at, &used, NULL);
}

static void check_known(const struct vector *v, void *arg)
{
    struct fm_ser *known = arg;
    if (!has_answer(v))
        return;
    struct fm_ser fresh;
    fm_ser_init(&fresh, 0);
    enum fm_code code = feed(&fresh, v);
    for (int round = 0; round < 4; round++) {
        cr_assert_eq(feed(known, v), code, "%s, round %d", v->file, round);
        cr_assert_eq(known->bytes, fresh.bytes, "%s", v->file);
        cr_assert_eq(known->n_handles, fresh.n_handles, "%s", v->file);
        cr_assert_eq(known->elements, fresh.elements, "%s", v->file);
        if (code == FM_OK && fresh.root != NULL && v->s2c_len < 20000)
            same_tree(known->root, fresh.root, 0);
    }
    fm_ser_clear(&fresh);
}

Test(rmi_ser, reads_the_same_where_it_knows_the_classes)
{
    struct fm_ser known;
    fm_ser_init(&known, 0);
    cr_assert_gt(vectors_walk("", check_known, &known), 400);
    cr_assert_gt(vectors_walk("hostile/", check_known, &known), 70);
    cr_assert_gt(known.memo.arena.used, 0);
    cr_assert_leq(known.memo.arena.used, 300 * 1024);
    fm_ser_clear(&known);
}

static void check_cut(const struct vector *v, void *arg)
{
    (void)arg;
    if (!has_answer(v) || strcmp(v->kind, "unparseable") == 0)
        return;
    size_t at = vector_return_at(v);
    size_t step = v->s2c_len < 2048 ? 1 : v->s2c_len / 50;
    struct fm_ser ser;
    fm_ser_init(&ser, 0);
    for (size_t len = 0; at + len < v->s2c_len; len += step) {
        size_t used;
        begin(&ser, v);
        enum fm_code code = fm_ser_feed(&ser, v->s2c + at, len, &used, NULL);
        cr_assert_eq(code, FM_EAGAIN, "%s cut at %zu: %s", v->file, len, fm_code_name(code));
    }
    fm_ser_clear(&ser);
}

Test(rmi_ser, asks_for_more_wherever_an_answer_is_cut)
{
    vectors_walk("", check_cut, NULL);
}

static void check_hostile(const struct vector *v, void *arg)
{
    size_t *n = arg;
    struct fm_ser ser;
    struct fm_err err = {0};
    size_t used = 0;
    fm_ser_init(&ser, 0);
    fm_ser_begin_return(&ser, FM_SER_VALUE);
    enum fm_code code = fm_ser_feed(&ser, v->s2c, v->s2c_len, &used, &err);
    bool is_stub = strstr(v->file, "-stub-") != NULL; /* judged by who reads stubs */
    if (strcmp(v->kind, "reject") == 0 && !is_stub)
        cr_expect_eq(code, FM_EPROTO, "%s: %s", v->file, fm_code_name(code));
    else if (strcmp(v->kind, "reject-by-limit") == 0 && strstr(v->file, "13-annotation") == NULL)
        cr_expect_eq(code, FM_ELIMIT, "%s: %s %s", v->file, fm_code_name(code), err.text);
    else if (strcmp(v->kind, "need-more") == 0)
        cr_expect_eq(code, FM_EAGAIN, "%s: %s", v->file, fm_code_name(code));
    else if (strncmp(v->kind, "accept", 6) == 0)
        cr_expect_eq(code, FM_OK, "%s: %s %s", v->file, fm_code_name(code), err.text);
    else if (strcmp(v->kind, "stream-exception") == 0)
        cr_expect(code == FM_OK && ser.stream_exception, "%s", v->file);
    if (strcmp(v->kind, "accept-then-close") == 0)
        cr_expect_lt(used, v->s2c_len);
    else if (code == FM_OK)
        cr_expect_eq(used, v->s2c_len, "%s", v->file);
    cr_expect_lt(ser.arena.used, v->s2c_len + 1024 * 1024, "%s: %zu", v->file, ser.arena.used);
    fm_ser_clear(&ser);
    ++*n;
}

Test(rmi_ser, judges_every_hostile_answer_as_expected)
{
    size_t n = 0;
    vectors_walk("hostile/", check_hostile, &n);
    cr_assert_eq(n, 75);
}

Test(rmi_ser, refuses_an_answer_above_its_limit)
{
    size_t len;
    size_t used;
    unsigned char *data = vector_load("jdk17-types/17-LongStr.s2c.bin", &len);
    struct fm_ser ser;
    fm_ser_init(&ser, 2000);
    fm_ser_begin_return(&ser, FM_SER_VALUE);
    cr_assert_eq(fm_ser_feed(&ser, data, len, &used, NULL), FM_ELIMIT);
    fm_ser_clear(&ser);
    free(data);
}
