#include "records.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/jscan.h"

void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    fm_arena_init(&f->arena, 0);
    f->sample = (struct fm_sample){
        .target = "orders", .host = "web-1", .timestamp_ms = 1763812800000, .beans = f->beans};
}

static void forget_records(struct fixture *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free(f->values[i]);
        free(f->keys[i]);
        free(f->topics[i]);
        free(f->headers[i]);
    }
    f->n = f->chunks = f->largest_chunk = 0;
    f->lost = f->lost_calls = 0;
}

void fixture_clear(struct fixture *f)
{
    forget_records(f);
    fm_arena_clear(&f->arena);
}

static struct fm_text take_text(struct fm_arena *arena, struct fm_jscan *s)
{
    struct fm_buf buf;
    fm_buf_init(&buf, 0);
    fm_jscan_string(s, &buf);
    struct fm_text text = {.ptr = fm_arena_strndup(arena, fm_buf_str(&buf), buf.len),
                           .len = buf.len};
    fm_buf_clear(&buf);
    return text;
}

static void take_value(struct fm_arena *arena, struct fm_jscan *s, enum fm_jtoken token,
                       struct fm_value *out)
{
    enum { WIDE = 64 };
    memset(out, 0, sizeof *out);
    switch (token) {
    case FM_J_OBJECT:
        out->kind = FM_V_OBJECT;
        out->object.members = fm_arena_array(arena, WIDE, sizeof *out->object.members);
        while ((token = fm_jscan_next(s)) == FM_J_KEY) {
            cr_assert_lt(out->object.n, WIDE);
            struct fm_member *m = &out->object.members[out->object.n++];
            m->key = take_text(arena, s);
            take_value(arena, s, fm_jscan_next(s), &m->value);
        }
        break;
    case FM_J_ARRAY:
        out->kind = FM_V_ARRAY;
        out->array.items = fm_arena_array(arena, WIDE, sizeof *out->array.items);
        while ((token = fm_jscan_next(s)) != FM_J_ARRAY_END)
            take_value(arena, s, token, &out->array.items[out->array.n++]);
        break;
    case FM_J_STRING:
        out->kind = FM_V_STRING;
        out->text = take_text(arena, s);
        break;
    case FM_J_NUMBER:
        out->kind = fm_jscan_i64(s, &out->i) ? FM_V_INT : FM_V_DOUBLE;
        if (out->kind == FM_V_DOUBLE)
            out->d = fm_jscan_double(s);
        break;
    case FM_J_TRUE:
    case FM_J_FALSE:
        out->kind = FM_V_BOOL;
        out->b = token == FM_J_TRUE;
        break;
    default:
        cr_assert_eq(token, FM_J_NULL);
        out->kind = FM_V_NULL;
    }
}

void fixture_value(struct fixture *f, struct fm_rule *rule, const char *name,
                   const struct fm_value *attributes)
{
    size_t i = f->sample.n++;
    struct fm_err err = {0};
    cr_assert_lt(i, MAX_BEANS);
    cr_assert_eq(fm_name_parse(&f->names[i], &f->arena, name, &err), FM_OK, "%s", err.text);
    f->beans[i] =
        (struct fm_sample_bean){.name = &f->names[i], .attributes = attributes, .rule = rule};
}

void fixture_bean(struct fixture *f, struct fm_rule *rule, const char *name, const char *json)
{
    struct fm_jscan s;
    fm_jscan_init(&s, json, strlen(json));
    struct fm_value *value = fm_arena_alloc(&f->arena, sizeof *value);
    take_value(&f->arena, &s, fm_jscan_next(&s), value);
    fixture_value(f, rule, name, value);
}

static enum fm_code sink(void *arg, struct fm_chunk **chunk, struct fm_err *err)
{
    struct fixture *f = arg;
    if (++f->chunks == f->sink_fails_at)
        return fm_err_set(err, FM_EFULL, "full");
    struct fm_record rec;
    size_t at = 0;
    if (fm_chunk_bytes(*chunk) > f->largest_chunk)
        f->largest_chunk = fm_chunk_bytes(*chunk);
    while (fm_chunk_next(*chunk, &at, &rec, err) == FM_OK) {
        cr_assert_lt(f->n, MAX_RECORDS);
        cr_assert_eq(rec.kind, FM_RECORD_DATA);
        cr_assert_eq(rec.time_ms, f->sample.timestamp_ms);
        struct fm_buf buf;
        fm_buf_init(&buf, 0);
        fm_record_value(&buf, &rec, "0123456789abcdef", f->n + 1);
        f->values[f->n] = fm_buf_take(&buf);
        f->keys[f->n] = rec.key == NULL ? NULL : strndup(rec.key, rec.key_len);
        f->topics[f->n] = strdup(fm_chunk_topic(*chunk));
        f->partitions[f->n] = rec.partition;
        struct fm_header header;
        for (size_t i = 0; fm_record_header(&rec, i, &header); i++)
            fm_buf_printf(&buf, "%.*s=%.*s;", (int)header.name_len, header.name,
                          (int)header.value_len, header.value);
        f->headers[f->n++] = fm_buf_take(&buf);
    }
    fm_chunk_free(*chunk);
    *chunk = NULL;
    return FM_OK;
}

static void lost(void *arg, const char *topic, uint64_t n, int64_t time_ms)
{
    struct fixture *f = arg;
    f->lost += n;
    f->lost_calls++;
    cr_assert_eq(time_ms, f->sample.timestamp_ms);
    strncpy(f->lost_topic, topic, sizeof f->lost_topic - 1);
}

enum fm_code fixture_build(struct fixture *f)
{
    struct fm_err err = {0};
    forget_records(f);
    enum fm_code code = fm_record_build(&f->sample, sink, lost, f, &f->count, &err);
    cr_assert_eq(code, code == FM_OK ? FM_OK : err.code);
    return code;
}

struct fm_rule *make_rule(enum fm_shape shape, const char *key, const char *const *tags,
                          size_t n_tags, size_t max_bytes)
{
    struct fm_rule *rule = NULL;
    struct fm_err err = {0};
    struct fm_rule_opts opts = {.agent = "edge-7",
                                .shape = shape,
                                .topic = "jmx",
                                .key = key,
                                .tags = tags,
                                .n_tags = n_tags,
                                .max_bytes = max_bytes};
    cr_assert_eq(fm_rule_new(&rule, &opts, &err), FM_OK, "%s", err.text);
    return rule;
}
