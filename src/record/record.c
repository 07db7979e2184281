#include <stdlib.h>
#include <string.h>

#include "record/record_priv.h"

static enum fm_code compile_topic(struct fm_rule *rule, const char *text, struct fm_err *err)
{
    if (fm_template_new(&rule->topic, text == NULL ? "" : text, FM_VARS_TOPIC, rule->agent, err) !=
        FM_OK)
        return fm_err_context(err, "topic");
    if (fm_template_vars(rule->topic) != 0)
        return FM_OK; /* the result is checked with each target */
    struct fm_buf topic;
    fm_buf_init(&topic, 0);
    enum fm_code code = fm_rule_topic(rule, NULL, NULL, &topic, err);
    fm_buf_clear(&topic);
    return code;
}

/* Tags must be known before a key or header can use them. */
static enum fm_code check_tags(const struct fm_rule *rule, const struct fm_template *tpl,
                               const char *what, struct fm_err *err)
{
    const char *tag = NULL;
    for (size_t i = 0; tpl != NULL && (tag = fm_template_tag(tpl, i)) != NULL; i++) {
        bool known = false;
        for (size_t k = 0; k < rule->n_tags && !known; k++)
            known = strcmp(rule->tags[k].name, tag) == 0;
        if (!known)
            return fm_err_set(err, FM_ECONF, "%s: there is no tag %s for ${tag.%s}", what, tag,
                              tag);
    }
    return FM_OK;
}

static enum fm_code compile_partition(struct fm_rule *rule, const char *text, struct fm_err *err)
{
    rule->partition = FM_NO_PARTITION;
    if (text == NULL || *text == '\0')
        return FM_OK;
    char *end = NULL;
    long v = strspn(text, "0123456789") == strlen(text) ? strtol(text, &end, 10) : -1;
    if (v < 0 || v > INT32_MAX)
        return fm_err_set(err, FM_ECONF, "partition: \"%.40s\" is no partition number", text);
    rule->partition = (int32_t)v;
    return FM_OK;
}

static enum fm_code compile(struct fm_rule *rule, const struct fm_rule_opts *opts,
                            struct fm_err *err)
{
    bool snapshot = opts->shape == FM_SHAPE_SNAPSHOT;
    unsigned in_tags = snapshot ? FM_VARS_SNAPSHOT : FM_VARS_TAG;
    unsigned in_key = in_tags | FM_VAR_TAG;
    rule->agent = fm_arena_strndup(&rule->arena, opts->agent, strlen(opts->agent));
    if (rule->agent == NULL)
        return fm_err_nomem(err);
    FM_TRY(compile_topic(rule, opts->topic, err));
    FM_TRY(compile_partition(rule, opts->partition, err));
    FM_TRY(fm_pairs_new(&rule->tags, rule, "tags", opts->tags, opts->n_tags, in_tags, err));
    rule->n_tags = opts->n_tags;
    FM_TRY(
        fm_pairs_new(&rule->headers, rule, "headers", opts->headers, opts->n_headers, in_key, err));
    rule->n_headers = opts->n_headers;
    rule->header_list = fm_arena_array(&rule->arena, opts->n_headers + 1, sizeof(struct fm_header));
    if (rule->header_list == NULL)
        return fm_err_nomem(err);
    if (opts->key != NULL && opts->key[0] != '\0' &&
        fm_template_new(&rule->key, opts->key, in_key, rule->agent, err) != FM_OK)
        return fm_err_context(err, "key");
    FM_TRY(check_tags(rule, rule->key, "key", err));
    for (size_t i = 0; i < rule->n_headers; i++)
        FM_TRY(check_tags(rule, rule->headers[i].tpl, "headers", err));
    fm_buf_puts(&rule->prefix, "{\"v\":1,\"agent\":");
    fm_json_cstr(&rule->prefix, rule->agent);
    fm_buf_putc(&rule->prefix, ',');
    return fm_buf_code(&rule->prefix, err);
}

enum fm_code fm_rule_new(struct fm_rule **out, const struct fm_rule_opts *opts, struct fm_err *err)
{
    struct fm_rule *rule = calloc(1, sizeof *rule);
    if (rule == NULL)
        return fm_err_nomem(err);
    rule->shape = opts->shape;
    rule->nonfinite = opts->nonfinite;
    rule->max_bytes = opts->max_bytes;
    enum fm_code code = compile(rule, opts, err);
    if (code != FM_OK) {
        fm_rule_free(rule);
        return code;
    }
    *out = rule;
    return FM_OK;
}

void fm_rule_free(struct fm_rule *rule)
{
    if (rule == NULL)
        return;
    fm_template_free(rule->topic);
    fm_template_free(rule->key);
    fm_pairs_free(rule->tags, rule->n_tags);
    fm_pairs_free(rule->headers, rule->n_headers);
    fm_buf_clear(&rule->prefix);
    fm_buf_clear(&rule->head);
    fm_buf_clear(&rule->tag_json);
    fm_buf_clear(&rule->key_text);
    fm_arena_clear(&rule->arena);
    free(rule);
}

enum fm_code fm_rule_topic(struct fm_rule *rule, const char *target, const char *host,
                           struct fm_buf *out, struct fm_err *err)
{
    struct fm_template_values values = {.host = host, .target = target};
    size_t start = out->len;
    fm_template_put(rule->topic, &values, out);
    FM_TRY(fm_buf_code(out, err));
    const char *topic = fm_buf_str(out) + start;
    if (!fm_topic_valid(topic, out->len - start))
        return fm_err_set(err, FM_ECONF,
                          "topic: \"%.80s\" is no topic name: 1 to 249 characters of "
                          "A-Z a-z 0-9 . _ -",
                          topic);
    return FM_OK;
}
