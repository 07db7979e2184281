/* What templates make: tags, keys, headers. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "record/record_priv.h"

enum fm_code fm_pairs_new(struct fm_pair **out, struct fm_rule *rule, const char *what,
                          const char *const *items, size_t n, unsigned allowed, struct fm_err *err)
{
    enum { OF_BEAN = FM_VAR_DOMAIN | FM_VAR_BEAN | FM_VAR_PROP };
    struct fm_pair *pairs = calloc(n + 1, sizeof *pairs);
    if (pairs == NULL)
        return fm_err_nomem(err);
    for (size_t i = 0; i < n; i++) {
        const char *equal = strchr(items[i], '=');
        size_t len = equal == NULL ? 0 : (size_t)(equal - items[i]);
        enum fm_code code = FM_OK;
        if (len == 0)
            code = fm_err_set(err, FM_ECONF, "\"%.80s\" is not name=value", items[i]);
        else
            code = fm_template_new(&pairs[i].tpl, equal + 1, allowed, rule->agent, err);
        if (code == FM_OK) {
            pairs[i].name = fm_arena_strndup(&rule->arena, items[i], len);
            code = pairs[i].name == NULL ? fm_err_nomem(err) : FM_OK;
        }
        if (code != FM_OK) {
            fm_pairs_free(pairs, n);
            return fm_err_context(err, "%s", what);
        }
        pairs[i].constant = (fm_template_vars(pairs[i].tpl) & (OF_BEAN | FM_VAR_TAG)) == 0;
    }
    *out = pairs;
    return FM_OK;
}

void fm_pairs_free(struct fm_pair *pairs, size_t n)
{
    for (size_t i = 0; pairs != NULL && i < n; i++) {
        fm_template_free(pairs[i].tpl);
        fm_buf_clear(&pairs[i].text);
    }
    free(pairs);
}

/* ---- rendering ---- */

struct lookup {
    struct fm_rule *rule;
    const struct fm_sample *sample;
    const struct fm_name *name;
    struct fm_arena *scratch;
};

static const char *find_prop(void *arg, const char *key)
{
    const struct lookup *at = arg;
    return at->name == NULL ? NULL : fm_name_value(at->name, at->scratch, key);
}

static const char *own_tag(const struct fm_sample *sample, const char *name)
{
    for (size_t i = 0; i < sample->n_tags; i++)
        if (strcmp(sample->tags[i].name, name) == 0)
            return sample->tags[i].value;
    return NULL;
}

static const char *find_tag(void *arg, const char *name)
{
    const struct lookup *at = arg;
    const char *own = own_tag(at->sample, name);
    if (own != NULL)
        return own;
    for (size_t i = 0; i < at->rule->n_tags; i++)
        if (strcmp(at->rule->tags[i].name, name) == 0)
            return fm_buf_str(&at->rule->tags[i].text);
    return NULL;
}

/* Keys and headers end as text within JSON: bytes that are no UTF-8 become U+FFFD. */
static void put_clean(struct fm_buf *buf)
{
    if (buf->failed || buf->len == 0 || fm_utf8_valid(buf->data, buf->len))
        return;
    struct fm_buf clean;
    fm_buf_init(&clean, 0);
    for (size_t at = 0; at < buf->len;) {
        size_t step = fm_utf8_step(buf->data + at, buf->len - at);
        if (step == 0)
            fm_buf_puts(&clean, "\xef\xbf\xbd");
        else
            fm_buf_put(&clean, buf->data + at, step);
        at += step == 0 ? 1 : step;
    }
    fm_buf_reset(buf);
    fm_buf_put(buf, clean.data, clean.len);
    buf->failed = buf->failed || clean.failed;
    fm_buf_clear(&clean);
}

static void render_text(const struct fm_template *tpl, const struct fm_template_values *values,
                        struct fm_buf *out)
{
    fm_buf_reset(out);
    fm_template_put(tpl, values, out);
    put_clean(out);
}

static void put_tag(struct fm_buf *out, bool *first, const char *name, const char *text, size_t len)
{
    if (!*first)
        fm_buf_putc(out, ',');
    *first = false;
    fm_json_key(out, name);
    fm_json_str(out, text, len);
}

static void render_tags(struct fm_rule *rule, const struct fm_sample *sample,
                        const struct fm_template_values *values)
{
    struct fm_buf *out = &rule->tag_json;
    if (rule->tags_done)
        return;
    bool constant = true, first = true;
    fm_buf_reset(out);
    fm_buf_puts(out, "\"tags\":{");
    for (size_t i = 0; i < rule->n_tags; i++) {
        struct fm_pair *tag = &rule->tags[i];
        if (own_tag(sample, tag->name) != NULL)
            continue;
        render_text(tag->tpl, values, &tag->text);
        constant = constant && tag->constant;
        put_tag(out, &first, tag->name, fm_buf_str(&tag->text), tag->text.len);
    }
    for (size_t i = 0; i < sample->n_tags; i++)
        put_tag(out, &first, sample->tags[i].name, sample->tags[i].value,
                strlen(sample->tags[i].value));
    fm_buf_putc(out, '}');
    rule->tags_done = constant;
}

static void render_headers(struct fm_rule *rule, const struct fm_template_values *values)
{
    if (rule->headers_done)
        return;
    bool constant = true;
    for (size_t i = 0; i < rule->n_headers; i++) {
        struct fm_pair *header = &rule->headers[i];
        render_text(header->tpl, values, &header->text);
        constant = constant && header->constant;
        rule->header_list[i] = (struct fm_header){.name = header->name,
                                                  .name_len = strlen(header->name),
                                                  .value = fm_buf_str(&header->text),
                                                  .value_len = header->text.len};
    }
    rule->headers_done = constant;
}

void fm_rule_render(struct fm_rule *rule, struct fm_build_state *b, const struct fm_name *name)
{
    enum { OF_RECORD = FM_VAR_DOMAIN | FM_VAR_BEAN | FM_VAR_PROP | FM_VAR_TAG };
    struct lookup at = {.rule = rule, .sample = b->sample, .name = name, .scratch = &b->scratch};
    struct fm_template_values values = {
        .host = b->sample->host,
        .target = b->sample->target,
        .topic = b->topics[rule->topic_index].name,
        .domain = name == NULL ? NULL : name->domain,
        .bean = name == NULL ? NULL : name->canonical,
        .prop = find_prop,
        .tag = find_tag,
        .arg = &at,
    };
    render_tags(rule, b->sample, &values);
    if (rule->key != NULL && !rule->key_done) {
        render_text(rule->key, &values, &rule->key_text);
        rule->key_done = (fm_template_vars(rule->key) & OF_RECORD) == 0;
    }
    render_headers(rule, &values);
}
