/* The shape snapshot: the beans of a poll in one record, or in as few parts as hold them. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "record/record_priv.h"

/* One bean of a snapshot, rendered as "name":{...}; or its name alone, when it was left out. */
struct item {
    size_t at; /* in text */
    size_t len;
    bool omitted;
    unsigned part;
};

struct snapshot {
    struct fm_build_state *b;
    struct fm_rule *rule; /* the first of those that make this snapshot */
    struct fm_buf text;
    struct item *items;
    size_t n;
    size_t budget; /* bytes of items, commas included, that a part can hold */
    unsigned parts;
};

enum { NONE = -1 };

/* Beans of the same name, from several queries, become one: JSON knows a name once. */
struct beans {
    const struct fm_sample *sample;
    ptrdiff_t *next; /* of the same name and the same snapshot; NONE: no more */
    bool *taken; /* belongs to an earlier bean */
};

static bool same_pairs(const struct fm_pair *a, size_t n, const struct fm_pair *b, size_t m)
{
    if (n != m)
        return false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(a[i].name, b[i].name) != 0 || a[i].text.len != b[i].text.len ||
            (a[i].text.len > 0 && memcmp(a[i].text.data, b[i].text.data, a[i].text.len) != 0))
            return false;
    return true;
}

static bool same_buf(const struct fm_buf *a, const struct fm_buf *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

/* Whether two rules put their beans into the same record. Both are rendered. */
static bool same_snapshot(const struct fm_rule *a, const struct fm_rule *b)
{
    return a == b ||
           (a->topic_index == b->topic_index && a->partition == b->partition &&
            a->nonfinite == b->nonfinite && a->max_bytes == b->max_bytes &&
            (a->key == NULL) == (b->key == NULL) && same_buf(&a->prefix, &b->prefix) &&
            same_buf(&a->key_text, &b->key_text) && same_buf(&a->tag_json, &b->tag_json) &&
            same_pairs(a->headers, a->n_headers, b->headers, b->n_headers));
}

static enum fm_code chain_beans(struct beans *beans, struct fm_build_state *b)
{
    const struct fm_sample *sample = b->sample;
    size_t slots = 16;
    while (slots < 2 * sample->n)
        slots *= 2;
    ptrdiff_t *table = fm_arena_array(&b->arena, slots, sizeof *table);
    ptrdiff_t *last = fm_arena_array(&b->arena, sample->n, sizeof *last);
    beans->sample = sample;
    beans->next = fm_arena_array(&b->arena, sample->n, sizeof *beans->next);
    beans->taken = fm_arena_array(&b->arena, sample->n, sizeof *beans->taken);
    if (table == NULL || last == NULL || beans->next == NULL || beans->taken == NULL)
        return fm_err_nomem(b->err);
    for (size_t i = 0; i < slots; i++)
        table[i] = NONE;
    for (size_t i = 0; i < sample->n; i++) {
        const struct fm_sample_bean *bean = &sample->beans[i];
        beans->next[i] = NONE;
        last[i] = (ptrdiff_t)i;
        if (bean->rule->shape != FM_SHAPE_SNAPSHOT)
            continue;
        size_t slot = fm_hash_text(bean->name->canonical) & (slots - 1);
        for (; table[slot] != NONE; slot = (slot + 1) & (slots - 1)) {
            const struct fm_sample_bean *other = &sample->beans[table[slot]];
            if (strcmp(other->name->canonical, bean->name->canonical) == 0 &&
                same_snapshot(other->rule, bean->rule))
                break;
        }
        if (table[slot] == NONE) {
            table[slot] = (ptrdiff_t)i;
            continue;
        }
        ptrdiff_t first = table[slot];
        beans->taken[i] = true;
        beans->next[last[first]] = (ptrdiff_t)i;
        last[first] = (ptrdiff_t)i;
    }
    return FM_OK;
}

/* An attribute that an earlier bean of the chain has already. */
static bool is_repeated(const struct beans *beans, size_t first, size_t now,
                        const struct fm_text *key)
{
    for (size_t i = first; i != now; i = (size_t)beans->next[i])
        if (fm_value_member(beans->sample->beans[i].attributes, key->ptr, key->len) != NULL)
            return true;
    return false;
}

static void put_attributes(struct fm_buf *out, const struct beans *beans, size_t first,
                           enum fm_json_nonfinite nonfinite)
{
    if (beans->next[first] == NONE) {
        fm_value_print(out, beans->sample->beans[first].attributes, nonfinite);
        return;
    }
    const char *comma = "";
    fm_buf_putc(out, '{');
    for (ptrdiff_t i = (ptrdiff_t)first; i != NONE; i = beans->next[i]) {
        const struct fm_value *object = beans->sample->beans[i].attributes;
        for (size_t k = 0; object->kind == FM_V_OBJECT && k < object->object.n; k++) {
            const struct fm_member *m = &object->object.members[k];
            if (is_repeated(beans, first, (size_t)i, &m->key))
                continue;
            fm_buf_puts(out, comma);
            comma = ",";
            fm_json_str(out, m->key.ptr, m->key.len);
            fm_buf_putc(out, ':');
            fm_value_print(out, &m->value, nonfinite);
        }
    }
    fm_buf_putc(out, '}');
}

/* Render one bean within the budget; when it is larger, keep its name. */
static void add_item(struct snapshot *s, const struct beans *beans, size_t index)
{
    const char *name = beans->sample->beans[index].name->canonical;
    struct item *item = &s->items[s->n];
    *item = (struct item){.at = s->text.len};
    s->text.max = s->text.len + s->budget;
    fm_json_cstr(&s->text, name);
    size_t name_len = s->text.len - item->at;
    bool name_fits = !s->text.failed && name_len < s->budget / 2;
    fm_buf_putc(&s->text, ':');
    put_attributes(&s->text, beans, index, s->rule->nonfinite);
    fm_buf_putc(&s->text, ','); /* stands for the comma or bracket behind it */
    item->omitted = s->text.over_limit;
    if (item->omitted) {
        s->text.failed = s->text.over_limit = false;
        fm_buf_truncate(&s->text, item->at + name_len + 1);
        s->b->count.omitted++;
        if (!name_fits) { /* not even its name can be told: it is declared as a lost record */
            fm_buf_truncate(&s->text, item->at);
            s->b->topics[s->rule->topic_index].lost++;
            return;
        }
    }
    item->len = s->text.len - item->at - 1;
    s->n++;
}

static void put_frame(struct snapshot *s, struct fm_buf *out)
{
    fm_buf_put(out, s->rule->prefix.data, s->rule->prefix.len);
    fm_buf_put(out, s->rule->head.data, s->rule->head.len);
}

/* Whether all fits into one record that is not numbered. */
static bool fits_whole(const struct snapshot *s)
{
    static const char rest[] = "\"beans\":{},}";
    size_t sum = s->rule->prefix.len + s->rule->head.len + s->rule->tag_json.len + sizeof rest - 1 +
                 FM_ID_BYTES - 1;
    for (size_t i = 0; i < s->n; i++) {
        sum += s->items[i].len + 1;
        if (s->items[i].omitted)
            return false;
    }
    return sum <= s->rule->max_bytes;
}

static void assign_parts(struct snapshot *s)
{
    bool whole = fits_whole(s);
    size_t used = 0;
    s->parts = 1;
    for (size_t i = 0; i < s->n; i++) {
        size_t cost = s->items[i].len + 1;
        if (used > 0 && used + cost > s->budget && !whole) {
            s->parts++;
            used = 0;
        }
        used += cost;
        s->items[i].part = s->parts;
    }
}

static bool put_items(const struct snapshot *s, struct fm_buf *out, unsigned part, bool omitted)
{
    bool any = false;
    for (size_t i = 0; i < s->n; i++) {
        const struct item *item = &s->items[i];
        if (item->part != part || item->omitted != omitted)
            continue;
        if (any)
            fm_buf_putc(out, ',');
        else if (omitted)
            fm_buf_puts(out, ",\"omitted\":[");
        any = true;
        fm_buf_put(out, s->text.data + item->at, item->len);
    }
    if (any && omitted)
        fm_buf_putc(out, ']');
    return any;
}

static enum fm_code put_part(struct snapshot *s, unsigned part, bool split)
{
    struct fm_buf *out = &s->b->value;
    fm_buf_reset(out);
    out->max = s->rule->max_bytes > FM_ID_BYTES ? s->rule->max_bytes - FM_ID_BYTES : 1;
    put_frame(s, out);
    if (split)
        fm_buf_printf(out, "\"part\":%u,\"parts\":%u,", part, s->parts);
    fm_buf_puts(out, "\"beans\":{");
    (void)put_items(s, out, part, false);
    fm_buf_putc(out, '}');
    (void)put_items(s, out, part, true);
    fm_buf_putc(out, ',');
    fm_buf_put(out, s->rule->tag_json.data, s->rule->tag_json.len);
    fm_buf_putc(out, '}');
    return fm_build_put(s->b, s->rule);
}

/* What stands in each part besides its items, with the widest numbers. */
static size_t overhead(const struct snapshot *s)
{
    static const char rest[] =
        "\"part\":4294967295,\"parts\":4294967295,\"beans\":{},\"omitted\":[],}";
    return s->rule->prefix.len + s->rule->head.len + s->rule->tag_json.len + sizeof rest - 1 +
           FM_ID_BYTES;
}

static enum fm_code put_snapshot(struct snapshot *s, const struct beans *beans, size_t first)
{
    struct fm_build_state *b = s->b;
    size_t extra = overhead(s);
    s->budget = s->rule->max_bytes > extra + 16 ? s->rule->max_bytes - extra : 16;
    bool omitted = false;
    for (size_t i = first; i < b->sample->n; i++) {
        const struct fm_sample_bean *bean = &b->sample->beans[i];
        if (bean->rule->shape != FM_SHAPE_SNAPSHOT || beans->taken[i] ||
            !same_snapshot(bean->rule, s->rule))
            continue;
        beans->taken[i] = true;
        add_item(s, beans, i);
        omitted = omitted || (s->n > 0 && s->items[s->n - 1].omitted);
        if (s->text.failed)
            return fm_err_nomem(b->err);
    }
    if (s->n == 0)
        return FM_OK;
    assign_parts(s);
    for (unsigned part = 1; part <= s->parts; part++)
        FM_TRY(put_part(s, part, s->parts > 1 || omitted));
    return FM_OK;
}

enum fm_code fm_build_snapshots(struct fm_build_state *b)
{
    const struct fm_sample *sample = b->sample;
    struct beans beans = {0};
    for (size_t i = 0; i < sample->n; i++)
        if (sample->beans[i].rule->shape == FM_SHAPE_SNAPSHOT)
            fm_rule_render(sample->beans[i].rule, b, NULL);
    FM_TRY(chain_beans(&beans, b));
    struct snapshot s = {.b = b};
    s.items = malloc((sample->n + 1) * sizeof *s.items);
    enum fm_code code = s.items == NULL ? fm_err_nomem(b->err) : FM_OK;
    for (size_t i = 0; i < sample->n && code == FM_OK; i++) {
        if (sample->beans[i].rule->shape != FM_SHAPE_SNAPSHOT || beans.taken[i])
            continue;
        s.rule = sample->beans[i].rule;
        s.n = 0;
        s.text.max = 0;
        fm_buf_reset(&s.text);
        code = put_snapshot(&s, &beans, i);
    }
    fm_buf_clear(&s.text);
    free(s.items);
    return code;
}
