#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "jmx/jolokia/jolokia_priv.h"

enum { FIRST_SLOTS = 64 };

uint64_t fm_jolokia_hash(uint64_t hash, const char *text)
{
    return fm_hash(hash, text, strlen(text));
}

static uint64_t hash_of(const char *bean)
{
    return fm_hash_text(bean);
}

void fm_jolokia_types_init(struct fm_jolokia_types *types)
{
    *types = (struct fm_jolokia_types){0};
    fm_arena_init(&types->arena, FM_JOLOKIA_TYPES_BYTES);
}

void fm_jolokia_types_clear(struct fm_jolokia_types *types)
{
    free(types->slots);
    fm_arena_clear(&types->arena);
    fm_jolokia_types_init(types);
}

static struct fm_jolokia_bean **slot_of(struct fm_jolokia_bean **slots, size_t cap, uint64_t hash,
                                        const char *bean)
{
    size_t at = (size_t)hash & (cap - 1);
    while (slots[at] != NULL && (slots[at]->hash != hash || strcmp(slots[at]->name, bean) != 0))
        at = (at + 1) & (cap - 1);
    return &slots[at];
}

const struct fm_jolokia_bean *fm_jolokia_types_find(const struct fm_jolokia_types *types,
                                                    const char *bean)
{
    if (types->cap == 0)
        return NULL;
    return *slot_of(types->slots, types->cap, hash_of(bean), bean);
}

static bool grow(struct fm_jolokia_types *types)
{
    if (types->cap > 0 && types->n < types->cap / 2)
        return true;
    size_t cap = types->cap == 0 ? FIRST_SLOTS : types->cap * 2;
    struct fm_jolokia_bean **slots = calloc(cap, sizeof(struct fm_jolokia_bean *));
    if (slots == NULL)
        return false;
    for (size_t i = 0; i < types->cap; i++)
        if (types->slots[i] != NULL)
            *slot_of(slots, cap, types->slots[i]->hash, types->slots[i]->name) = types->slots[i];
    free(types->slots);
    types->slots = slots;
    types->cap = cap;
    return true;
}

static enum fm_jolokia_mend mend_of(const char *type)
{
    static const struct {
        const char *type;
        enum fm_jolokia_mend mend;
    } table[] = {{"java.math.BigInteger", FM_MEND_BIG},
                 {"java.math.BigDecimal", FM_MEND_BIG},
                 {"java.util.Date", FM_MEND_DATE},
                 {"java.sql.Timestamp", FM_MEND_DATE},
                 {"[B", FM_MEND_BYTES},
                 {"javax.management.ObjectName", FM_MEND_OBJECT_NAME},
                 {"[Ljavax.management.ObjectName;", FM_MEND_OBJECT_NAME},
                 {"double", FM_MEND_DOUBLE},
                 {"java.lang.Double", FM_MEND_DOUBLE},
                 {"float", FM_MEND_FLOAT},
                 {"java.lang.Float", FM_MEND_FLOAT}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].type, type) == 0)
            return table[i].mend;
    return FM_MEND_NONE;
}

static bool put_attrs(struct fm_jolokia_types *types, struct fm_jolokia_bean *bean,
                      const struct fm_value *info)
{
    const struct fm_value *list = fm_value_member(info, "attributes", 10);
    bean->attrs = NULL;
    for (size_t i = 0; list != NULL && list->kind == FM_V_ARRAY && i < list->array.n; i++) {
        const struct fm_value *name = fm_value_member(&list->array.items[i], "name", 4);
        const struct fm_value *type = fm_value_member(&list->array.items[i], "type", 4);
        enum fm_jolokia_mend mend = name != NULL && type != NULL && type->kind == FM_V_STRING
                                        ? mend_of(type->text.ptr)
                                        : FM_MEND_NONE;
        if (mend == FM_MEND_NONE)
            continue;
        struct fm_jolokia_attr *attr = fm_arena_alloc(&types->arena, sizeof *attr);
        char *copy = fm_arena_strndup(&types->arena, name->text.ptr, name->text.len);
        if (attr == NULL || copy == NULL)
            return false;
        *attr = (struct fm_jolokia_attr){copy, mend, bean->attrs};
        bean->attrs = attr;
    }
    return true;
}

void fm_jolokia_types_put(struct fm_jolokia_types *types, const char *bean,
                          const struct fm_value *info)
{
    if (types->full)
        return;
    types->full = true; /* unless all goes well */
    if (!grow(types))
        return;
    uint64_t hash = hash_of(bean);
    struct fm_jolokia_bean **slot = slot_of(types->slots, types->cap, hash, bean);
    if (*slot == NULL) {
        struct fm_jolokia_bean *made = fm_arena_alloc(&types->arena, sizeof *made);
        char *name = fm_arena_strndup(&types->arena, bean, strlen(bean));
        if (made == NULL || name == NULL)
            return;
        *made = (struct fm_jolokia_bean){.name = name, .hash = hash};
        *slot = made;
        types->n++;
    }
    types->full = info != NULL && !put_attrs(types, *slot, info);
}

enum fm_jolokia_mend fm_jolokia_types_mend(const struct fm_jolokia_bean *bean, const char *attr)
{
    for (const struct fm_jolokia_attr *a = bean == NULL ? NULL : bean->attrs; a != NULL;
         a = a->next)
        if (strcmp(a->name, attr) == 0)
            return a->mend;
    return FM_MEND_NONE;
}
