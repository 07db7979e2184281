/* Samples to records: the shapes bean and metric, and what all shapes share. */
#include <stdlib.h>
#include <string.h>

#include "record/record_priv.h"

/* ---- topics and chunks ---- */

static enum fm_code flush(struct fm_build_state *b, struct fm_build_topic *topic)
{
    if (topic->chunk == NULL)
        return FM_OK;
    enum fm_code code = b->sink(b->arg, &topic->chunk, b->err);
    if (code != FM_OK) {
        fm_chunk_free(topic->chunk);
        topic->chunk = NULL;
    }
    return code;
}

static enum fm_code find_topic(struct fm_build_state *b, const char *name, bool valid, size_t *out)
{
    for (*out = 0; *out < b->n_topics; (*out)++)
        if (strcmp(b->topics[*out].name, name) == 0)
            return FM_OK;
    struct fm_build_topic *topics = realloc(b->topics, (b->n_topics + 1) * sizeof *topics);
    if (topics == NULL)
        return fm_err_nomem(b->err);
    b->topics = topics;
    const char *kept = fm_arena_strndup(&b->arena, name, strlen(name));
    if (kept == NULL)
        return fm_err_nomem(b->err);
    topics[b->n_topics++] = (struct fm_build_topic){.name = kept, .valid = valid};
    return FM_OK;
}

enum fm_code fm_rule_prepare(struct fm_rule *rule, struct fm_build_state *b)
{
    if (rule->prepared)
        return FM_OK;
    struct fm_buf topic;
    fm_buf_init(&topic, 0);
    enum fm_code code = fm_rule_topic(rule, b->sample->target, b->sample->host, &topic, b->err);
    bool valid = code == FM_OK;
    if (valid || code == FM_ECONF)
        code = find_topic(b, fm_buf_str(&topic), valid, &rule->topic_index);
    fm_buf_clear(&topic);
    FM_TRY(code);
    fm_buf_reset(&rule->head);
    fm_buf_puts(&rule->head, "\"timestamp\":");
    fm_buf_i64(&rule->head, b->sample->timestamp_ms);
    fm_buf_puts(&rule->head, ",\"host\":");
    fm_json_cstr(&rule->head, b->sample->host);
    fm_buf_puts(&rule->head, ",\"target\":");
    fm_json_cstr(&rule->head, b->sample->target);
    fm_buf_putc(&rule->head, ',');
    rule->tags_done = rule->key_done = rule->headers_done = false;
    rule->prepared = true;
    return fm_buf_code(&rule->head, b->err);
}

/* ---- one record ---- */

static void lose(struct fm_build_state *b, struct fm_build_topic *topic)
{
    topic->lost++;
    b->count.omitted++;
}

static bool side_too_large(const struct fm_rule *rule)
{
    size_t sum = 0;
    for (size_t i = 0; i < rule->n_headers; i++)
        sum += rule->header_list[i].name_len + rule->header_list[i].value_len;
    return sum > FM_HEADER_MAX || (rule->key != NULL && rule->key_text.len > FM_KEY_MAX);
}

static enum fm_code add(struct fm_build_state *b, struct fm_build_topic *topic,
                        const struct fm_record *rec, const struct fm_rule *rule)
{
    if (topic->chunk != NULL &&
        fm_chunk_bytes(topic->chunk) + rec->value_len + rec->key_len > FM_CHUNK_BYTES)
        FM_TRY(flush(b, topic));
    if (topic->chunk == NULL)
        FM_TRY(fm_chunk_new(&topic->chunk, topic->name, b->err));
    const struct fm_header *headers = rule->n_headers == 0 ? NULL : rule->header_list;
    FM_TRY(fm_chunk_add(topic->chunk, rec, headers, rule->n_headers, b->err));
    b->count.records++;
    b->count.bytes += rec->value_len + rec->key_len;
    return FM_OK;
}

enum fm_code fm_build_put(struct fm_build_state *b, struct fm_rule *rule)
{
    struct fm_build_topic *topic = &b->topics[rule->topic_index];
    const struct fm_buf *value = &b->value;
    if (value->failed && !value->over_limit)
        return fm_err_nomem(b->err);
    if ((rule->key != NULL && rule->key_text.failed) || rule->tag_json.failed)
        return fm_err_nomem(b->err);
    if (!topic->valid || value->over_limit || side_too_large(rule)) {
        lose(b, topic);
        return FM_OK;
    }
    struct fm_record rec = {
        .kind = FM_RECORD_DATA,
        .time_ms = b->sample->timestamp_ms,
        .partition = rule->partition,
        .key = rule->key == NULL ? NULL : fm_buf_str(&rule->key_text),
        .key_len = rule->key == NULL ? 0 : rule->key_text.len,
        .value = value->data,
        .value_len = value->len,
        .id_at = (uint32_t)rule->prefix.len,
    };
    return add(b, topic, &rec, rule);
}

/* ---- bean and metric ---- */

static void start_value(struct fm_build_state *b, const struct fm_rule *rule)
{
    size_t max = rule->max_bytes > FM_ID_BYTES ? rule->max_bytes - FM_ID_BYTES : 1;
    fm_buf_reset(&b->value);
    b->value.max = max;
    fm_buf_put(&b->value, rule->prefix.data, rule->prefix.len);
    fm_buf_put(&b->value, rule->head.data, rule->head.len);
}

/* "bean":...,"domain":...,"properties":{...}, */
static void put_name(struct fm_build_state *b, const struct fm_name *name)
{
    struct fm_buf *out = &b->value;
    fm_buf_puts(out, "\"bean\":");
    fm_json_cstr(out, name->canonical);
    fm_buf_puts(out, ",\"domain\":");
    fm_json_cstr(out, name->domain);
    fm_buf_puts(out, ",\"properties\":{");
    for (size_t i = 0; i < name->n; i++) {
        const struct fm_name_prop *prop = &name->props[i];
        const char *text = prop->value;
        if (text[0] == '"')
            text = fm_name_value(name, &b->scratch, prop->key);
        if (i > 0)
            fm_buf_putc(out, ',');
        fm_json_key(out, prop->key);
        fm_json_cstr(out, text);
    }
    fm_buf_puts(out, "},");
}

static enum fm_code put_bean(struct fm_build_state *b, const struct fm_sample_bean *bean)
{
    start_value(b, bean->rule);
    put_name(b, bean->name);
    fm_buf_puts(&b->value, "\"attributes\":");
    fm_value_print(&b->value, bean->attributes, bean->rule->nonfinite);
    fm_buf_putc(&b->value, ',');
    fm_buf_put(&b->value, bean->rule->tag_json.data, bean->rule->tag_json.len);
    fm_buf_putc(&b->value, '}');
    return fm_build_put(b, bean->rule);
}

/* The walk over the numbers of one bean. */
struct walk {
    struct fm_build_state *b;
    struct fm_rule *rule;
    size_t base; /* length of the value up to the name */
    bool base_failed;
    struct fm_buf path;
};

static enum fm_code put_number(struct walk *w, const struct fm_value *value)
{
    struct fm_buf *out = &w->b->value;
    if (!w->base_failed) {
        out->failed = out->over_limit = false;
        fm_buf_truncate(out, w->base);
    }
    fm_buf_puts(out, "\"name\":");
    fm_json_str(out, fm_buf_str(&w->path), w->path.len);
    fm_buf_puts(out, ",\"value\":");
    fm_value_print(out, value, w->rule->nonfinite);
    fm_buf_putc(out, ',');
    fm_buf_put(out, w->rule->tag_json.data, w->rule->tag_json.len);
    fm_buf_putc(out, '}');
    return fm_build_put(w->b, w->rule);
}

static enum fm_code walk_numbers(struct walk *w, const struct fm_value *value, unsigned depth)
{
    size_t len = w->path.len;
    switch (value->kind) {
    case FM_V_INT:
    case FM_V_FLOAT:
    case FM_V_DOUBLE:
    case FM_V_NUMBER:
        return w->path.failed ? fm_err_nomem(w->b->err) : put_number(w, value);
    case FM_V_OBJECT:
        for (size_t i = 0; depth < FM_VALUE_DEPTH && i < value->object.n; i++) {
            const struct fm_member *m = &value->object.members[i];
            fm_value_put_step(&w->path, m->key.ptr, m->key.len);
            FM_TRY(walk_numbers(w, &m->value, depth + 1));
            fm_buf_truncate(&w->path, len);
        }
        return FM_OK;
    case FM_V_ARRAY:
        for (size_t i = 0; depth < FM_VALUE_DEPTH && i < value->array.n; i++) {
            fm_buf_putc(&w->path, '/');
            fm_buf_u64(&w->path, i);
            FM_TRY(walk_numbers(w, &value->array.items[i], depth + 1));
            fm_buf_truncate(&w->path, len);
        }
        return FM_OK;
    case FM_V_NULL:
    case FM_V_BOOL:
    case FM_V_STRING:
    case FM_V_BYTES:
        break;
    }
    return FM_OK;
}

static enum fm_code put_metrics(struct fm_build_state *b, const struct fm_sample_bean *bean)
{
    start_value(b, bean->rule);
    put_name(b, bean->name);
    struct walk w = {.b = b, .rule = bean->rule, .base = b->value.len};
    w.base_failed = b->value.failed;
    enum fm_code code = walk_numbers(&w, bean->attributes, 0);
    fm_buf_clear(&w.path);
    return code;
}

/* ---- the whole sample ---- */

static enum fm_code build(struct fm_build_state *b)
{
    const struct fm_sample *sample = b->sample;
    bool snapshots = false;
    for (size_t i = 0; i < sample->n; i++) {
        const struct fm_sample_bean *bean = &sample->beans[i];
        FM_TRY(fm_rule_prepare(bean->rule, b));
        if (bean->rule->shape == FM_SHAPE_SNAPSHOT) {
            snapshots = true;
            continue;
        }
        fm_arena_reset(&b->scratch);
        fm_rule_render(bean->rule, b, bean->name);
        FM_TRY(bean->rule->shape == FM_SHAPE_METRIC ? put_metrics(b, bean) : put_bean(b, bean));
    }
    if (snapshots)
        FM_TRY(fm_build_snapshots(b));
    for (size_t i = 0; i < b->n_topics; i++)
        FM_TRY(flush(b, &b->topics[i]));
    return FM_OK;
}

enum fm_code fm_record_build(const struct fm_sample *sample, fm_chunk_sink *sink,
                             fm_record_lost *lost, void *arg, struct fm_record_count *count,
                             struct fm_err *err)
{
    struct fm_build_state b = {
        .sample = sample, .sink = sink, .lost = lost, .arg = arg, .err = err};
    fm_arena_init(&b.arena, 0);
    fm_arena_init(&b.scratch, 0);
    fm_buf_init(&b.value, 0);
    for (size_t i = 0; i < sample->n; i++)
        sample->beans[i].rule->prepared = false;
    enum fm_code code = build(&b);
    for (size_t i = 0; i < b.n_topics; i++) {
        fm_chunk_free(b.topics[i].chunk);
        if (b.topics[i].lost > 0 && lost != NULL)
            lost(arg, b.topics[i].name, b.topics[i].lost, sample->timestamp_ms);
    }
    if (count != NULL)
        *count = b.count;
    free(b.topics);
    fm_buf_clear(&b.value);
    fm_arena_clear(&b.scratch);
    fm_arena_clear(&b.arena);
    return code;
}
