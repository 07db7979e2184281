/* What the JMX calls return: names, MBeanInfo, attribute lists. */
#include <stdlib.h>
#include <string.h>

#include "jmx/rmi/convert_priv.h"

static enum fm_code wrong(struct fm_convert *c, const char *wanted, const struct fm_ser_node *root)
{
    return fm_err_set(c->err, FM_EPROTO, "the peer answered with %.100s instead of %s",
                      fm_ser_class_name(root), wanted);
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(((const struct fm_value *)a)->text.ptr, ((const struct fm_value *)b)->text.ptr);
}

enum fm_code fm_convert_names(struct fm_convert *c, const struct fm_ser_node *root,
                              struct fm_value *out)
{
    struct fm_ser_list list;
    if (!fm_convert_elements(c, root, &list))
        return c->arena->over_limit ? fm_convert_no_memory(c) : wrong(c, "a set of names", root);
    struct fm_value *items = fm_arena_array(c->arena, list.n, sizeof *items);
    if (items == NULL)
        return fm_convert_no_memory(c);
    size_t n = 0;
    for (size_t i = 0; i < list.n; i++) {
        if (!fm_ser_is_a(list.items[i], "javax.management.ObjectName"))
            return wrong(c, "a name", list.items[i]);
        c->budget = FM_CONVERT_MAX_VALUE; /* the list as a whole is bounded by its bytes */
        FM_TRY(fm_convert_node(c, list.items[i], &items[n]));
        if (items[n].kind == FM_V_STRING)
            n++;
    }
    if (n > 1)
        qsort(items, n, sizeof *items, compare_text);
    *out = (struct fm_value){.kind = FM_V_ARRAY, .array = {.items = items, .n = n}};
    return FM_OK;
}

static struct fm_member member(const char *key, struct fm_value value)
{
    return (struct fm_member){.key = {.ptr = key, .len = strlen(key)}, .value = value};
}

static enum fm_code text_or_empty(struct fm_convert *c, const struct fm_ser_node *node,
                                  struct fm_value *out)
{
    if (fm_ser_string(node) == NULL)
        return fm_convert_text(c, out, "", 0);
    return fm_convert_text(c, out, node->text.ptr, node->text.len);
}

static struct fm_value flag(const struct fm_ser_node *node, const char *field)
{
    const struct fm_ser_value *v = fm_ser_field(node, field);
    return (struct fm_value){.kind = FM_V_BOOL, .b = v != NULL && v->type == 'Z' && v->i != 0};
}

static enum fm_code attribute_info(struct fm_convert *c, const struct fm_ser_node *node,
                                   struct fm_value *out)
{
    struct fm_value name;
    struct fm_value type;
    struct fm_member *members = fm_arena_array(c->arena, 4, sizeof *members);
    if (members == NULL)
        return fm_convert_no_memory(c);
    FM_TRY(text_or_empty(c, fm_ser_child(node, "name"), &name));
    FM_TRY(text_or_empty(c, fm_ser_child(node, "attributeType"), &type));
    members[0] = member("name", name);
    members[1] = member("type", type);
    members[2] = member("readable", flag(node, "isRead"));
    members[3] = member("writable", flag(node, "isWrite"));
    *out = (struct fm_value){.kind = FM_V_OBJECT, .object = {.members = members, .n = 4}};
    return FM_OK;
}

enum fm_code fm_convert_info(struct fm_convert *c, const struct fm_ser_node *root,
                             struct fm_value *out)
{
    struct fm_ser_list list = {0};
    struct fm_value class_name;
    if (!fm_ser_is_a(root, "javax.management.MBeanInfo"))
        return wrong(c, "an MBeanInfo", root);
    (void)fm_convert_elements(c, fm_ser_child(root, "attributes"), &list); /* null: none */
    FM_TRY(text_or_empty(c, fm_ser_child(root, "className"), &class_name));
    struct fm_value *items = fm_arena_array(c->arena, list.n, sizeof *items);
    struct fm_member *members = fm_arena_array(c->arena, 2, sizeof *members);
    if (items == NULL || members == NULL)
        return fm_convert_no_memory(c);
    size_t n = 0;
    for (size_t i = 0; i < list.n; i++) {
        c->budget = FM_CONVERT_MAX_VALUE;
        if (fm_ser_is_a(list.items[i], "javax.management.MBeanAttributeInfo"))
            FM_TRY(attribute_info(c, list.items[i], &items[n++]));
    }
    members[0] = member("class", class_name);
    members[1] = member("attributes",
                        (struct fm_value){.kind = FM_V_ARRAY, .array = {.items = items, .n = n}});
    *out = (struct fm_value){.kind = FM_V_OBJECT, .object = {.members = members, .n = 2}};
    return FM_OK;
}

/* One Attribute {name, value}. *taken is false if it is none or its value is too large. */
static enum fm_code attribute(struct fm_convert *c, const struct fm_ser_node *node,
                              struct fm_member *out, bool *taken)
{
    const struct fm_ser_node *name = fm_ser_child(node, "name");
    const struct fm_ser_node *value = fm_ser_child(node, "value");
    struct fm_value key;
    *taken = fm_ser_is_a(node, "javax.management.Attribute") && fm_ser_string(name) != NULL &&
             value != NULL;
    if (!*taken)
        return FM_OK;
    enum fm_code code = fm_convert_text(c, &key, name->text.ptr, name->text.len);
    if (code == FM_OK)
        code = fm_convert_node(c, value, &out->value);
    c->depth = 0;
    c->unknown = 0;
    if (code == FM_ELIMIT && !c->arena->over_limit) {
        *taken = false;
        return FM_OK;
    }
    if (code == FM_OK)
        out->key = key.text;
    return code;
}

enum fm_code fm_convert_attributes(struct fm_convert *c, const struct fm_ser_node *root,
                                   struct fm_value *out)
{
    struct fm_ser_list list;
    const size_t per_value = c->budget;
    size_t left = per_value * 4; /* for all values of the bean */
    if (!fm_convert_elements(c, root, &list))
        return c->arena->over_limit ? fm_convert_no_memory(c)
                                    : wrong(c, "a list of attributes", root);
    struct fm_member *members = fm_arena_array(c->arena, list.n, sizeof *members);
    if (members == NULL)
        return fm_convert_no_memory(c);
    size_t n = 0;
    for (size_t i = 0; i < list.n; i++) {
        bool taken;
        const size_t budget = left < per_value ? left : per_value;
        c->budget = budget;
        FM_TRY(attribute(c, list.items[i], &members[n], &taken));
        left -= budget - c->budget;
        n += taken;
    }
    c->budget = per_value;
    FM_TRY(fm_convert_unique(c, members, n));
    *out = (struct fm_value){.kind = FM_V_OBJECT, .object = {.members = members, .n = n}};
    return FM_OK;
}
