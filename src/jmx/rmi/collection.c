/* Collections, maps and open types: what each class writes, and what becomes of it. The numbers in
 * their block data are hints of the peer and never used as sizes. */
#include <string.h>

#include "jmx/rmi/convert_priv.h"

/* How a collection class keeps its elements. */
enum layout {
    NOTES, /* in the annotation, as many as there are */
    NOTES_AFTER_ONE, /* the same behind a comparator */
    NOTES_UNTIL_NULL, /* ended by null */
    FIELD_ARRAY, /* an array in a field */
    FIELD_WRAPPED, /* another collection in a field */
    FIELD_RING, /* an array in a field, from an index on, around its end */
    FIELD_ONE, /* the only element is a field; n of it where there is a field n */
    MAP_KEYS, /* the keys of a map in a field */
    EMPTY
};

struct collection {
    const char *class_name;
    enum layout layout;
    const char *field;
};

static const struct collection collections[] = {
    {"java.util.ArrayList", NOTES, NULL},
    {"java.util.LinkedList", NOTES, NULL},
    {"java.util.ArrayDeque", NOTES, NULL},
    {"java.util.PriorityQueue", NOTES, NULL},
    {"java.util.concurrent.CopyOnWriteArrayList", NOTES, NULL},
    {"java.util.HashSet", NOTES, NULL},
    {"java.util.TreeSet", NOTES_AFTER_ONE, NULL},
    {"java.util.CollSer", NOTES, NULL},
    {"java.util.concurrent.ConcurrentLinkedQueue", NOTES_UNTIL_NULL, NULL},
    {"java.util.concurrent.ConcurrentLinkedDeque", NOTES_UNTIL_NULL, NULL},
    {"java.util.concurrent.LinkedBlockingQueue", NOTES_UNTIL_NULL, NULL},
    {"java.util.concurrent.LinkedBlockingDeque", NOTES_UNTIL_NULL, NULL},
    {"java.util.Vector", FIELD_ARRAY, "elementData"},
    {"java.util.Arrays$ArrayList", FIELD_ARRAY, "a"},
    {"java.util.concurrent.ArrayBlockingQueue", FIELD_RING, "items"},
    {"java.util.Collections$CopiesList", FIELD_ONE, "element"},
    {"java.util.EnumSet$SerializationProxy", FIELD_ARRAY, "elements"},
    {"com.google.common.collect.ImmutableList$SerializedForm", FIELD_ARRAY, "elements"},
    {"com.google.common.collect.ImmutableSet$SerializedForm", FIELD_ARRAY, "elements"},
    {"java.util.Collections$UnmodifiableCollection", FIELD_WRAPPED, "c"},
    {"java.util.Collections$SynchronizedCollection", FIELD_WRAPPED, "c"},
    {"java.util.Collections$CheckedCollection", FIELD_WRAPPED, "c"},
    {"java.util.concurrent.CopyOnWriteArraySet", FIELD_WRAPPED, "al"},
    {"java.util.Collections$SingletonList", FIELD_ONE, "element"},
    {"java.util.Collections$SingletonSet", FIELD_ONE, "element"},
    {"java.util.Collections$EmptyList", EMPTY, NULL},
    {"java.util.Collections$EmptySet", EMPTY, NULL},
    {"java.util.Collections$SetFromMap", MAP_KEYS, "m"},
    {"java.util.concurrent.ConcurrentSkipListSet", MAP_KEYS, "m"},
    {"java.util.concurrent.ConcurrentHashMap$CollectionView", MAP_KEYS, "map"},
};

/* How a map class keeps its pairs. */
static const struct collection maps[] = {
    {"java.util.HashMap", NOTES, NULL},
    {"java.util.TreeMap", NOTES, NULL},
    {"java.util.Hashtable", NOTES, NULL},
    {"java.util.IdentityHashMap", NOTES, NULL},
    {"java.util.EnumMap", NOTES, NULL},
    {"java.util.CollSer", NOTES, NULL},
    {"java.util.concurrent.ConcurrentHashMap", NOTES_UNTIL_NULL, NULL},
    {"java.util.concurrent.ConcurrentSkipListMap", NOTES_UNTIL_NULL, NULL},
    {"java.util.Collections$UnmodifiableMap", FIELD_WRAPPED, "m"},
    {"java.util.Collections$SynchronizedMap", FIELD_WRAPPED, "m"},
    {"java.util.Collections$CheckedMap", FIELD_WRAPPED, "m"},
    {"java.util.Collections$SingletonMap", FIELD_ONE, "k"},
    {"java.util.Collections$EmptyMap", EMPTY, NULL},
};

#define COMPOSITE "javax.management.openmbean.CompositeDataSupport"

/* Wrappers inside wrappers end somewhere; those that wrap themselves do not. */
enum { MAX_WRAPPED = 16, COLLSER_MAP = 3, MAX_COPIES = 10000 };

static const struct collection *find(const struct collection *table, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(table[i].class_name, name) == 0)
            return &table[i];
    return NULL;
}

static const struct collection *find_collection(const char *name)
{
    return find(collections, sizeof collections / sizeof collections[0], name);
}

static const struct collection *find_map(const char *name)
{
    return find(maps, sizeof maps / sizeof maps[0], name);
}

/* The row of a node's class or superclass, and the part of the object that class wrote. */
static const struct collection *classify(const struct fm_ser_node *node, bool map,
                                         const struct fm_ser_class **part)
{
    if (node == NULL || node->kind != FM_SER_OBJECT)
        return NULL;
    for (size_t i = node->object.n; i > 0; i--) {
        *part = &node->object.classes[i - 1];
        const char *name = (*part)->desc->name;
        const struct collection *row = map ? find_map(name) : find_collection(name);
        if (row != NULL)
            return row;
    }
    return NULL;
}

static bool is_collser_map(const struct fm_ser_node *node)
{
    const struct fm_ser_value *tag = fm_ser_field(node, "tag");
    return tag != NULL && tag->type == 'I' && tag->i == COLLSER_MAP;
}

static bool add(struct fm_convert *c, struct fm_ser_list *list, const struct fm_ser_node *node)
{
    return fm_ser_list_add(list, node, c->arena);
}

static bool from_notes(struct fm_convert *c, const struct fm_ser_class *part, enum layout layout,
                       size_t step, struct fm_ser_list *out)
{
    struct fm_ser_reader r;
    fm_ser_reader_init(&r, &part->notes);
    if (layout == NOTES_AFTER_ONE)
        (void)fm_ser_reader_next(&r);
    for (size_t i = 0;; i++) {
        const struct fm_ser_node *node = fm_ser_reader_next(&r);
        if (node == NULL)
            return true;
        if (layout == NOTES_UNTIL_NULL && i % step == 0 && node->kind == FM_SER_NULL)
            return true;
        if (!add(c, out, node))
            return false;
    }
}

/* An int field; -1 if there is none or it is negative. */
static int64_t int_field(const struct fm_ser_node *node, const char *field)
{
    const struct fm_ser_value *v = fm_ser_field(node, field);
    return v != NULL && v->type == 'I' && v->i >= 0 ? v->i : -1;
}

static bool from_array(const struct fm_ser_node *node, const char *field, struct fm_ser_list *out)
{
    const struct fm_ser_node *array = fm_ser_child(node, field);
    if (array == NULL || array->kind != FM_SER_ARRAY || fm_ser_width(array->array.type) > 0)
        return false;
    const int64_t count = int_field(node, "elementCount"); /* Vector */
    *out = array->array.list;
    if (count >= 0 && (size_t)count < out->n)
        out->n = (size_t)count;
    return true;
}

static bool from_ring(struct fm_convert *c, const struct fm_ser_node *node, const char *field,
                      struct fm_ser_list *out)
{
    struct fm_ser_list ring;
    const int64_t from = int_field(node, "takeIndex"), n = int_field(node, "count");
    if (!from_array(node, field, &ring) || from < 0 || n < 0 || (size_t)n > ring.n ||
        (size_t)from >= ring.n)
        return false;
    for (size_t i = 0; i < (size_t)n; i++)
        if (!add(c, out, ring.items[((size_t)from + i) % ring.n]))
            return false;
    return true;
}

static bool from_copies(struct fm_convert *c, const struct fm_ser_node *node, const char *field,
                        struct fm_ser_list *out)
{
    const struct fm_ser_node *element = fm_ser_child(node, field);
    const int64_t n = fm_ser_field(node, "n") == NULL ? 1 : int_field(node, "n");
    if (element == NULL || n < 0 || n > MAX_COPIES)
        return false;
    for (int64_t i = 0; i < n; i++)
        if (!add(c, out, element))
            return false;
    return true;
}

/* Keys and values in turn, of whatever kind of map. */
static bool map_pairs(struct fm_convert *c, const struct fm_ser_node *node, struct fm_ser_list *out)
{
    for (int i = 0; i < MAX_WRAPPED; i++) {
        const struct fm_ser_class *part = NULL;
        const struct collection *row = classify(node, true, &part);
        if (row == NULL)
            return false;
        const struct fm_ser_node *value = fm_ser_child(node, "v");
        switch (row->layout) {
        case FIELD_WRAPPED:
            node = fm_ser_child(node, row->field);
            continue;
        case FIELD_ONE:
            if (fm_ser_child(node, row->field) == NULL || value == NULL)
                return false;
            return add(c, out, fm_ser_child(node, row->field)) && add(c, out, value);
        case EMPTY:
            return true;
        default:
            return from_notes(c, part, row->layout, 2, out);
        }
    }
    return false;
}

static bool keys_of(struct fm_convert *c, const struct fm_ser_node *map, struct fm_ser_list *out)
{
    struct fm_ser_list pairs = {0};
    if (!map_pairs(c, map, &pairs))
        return false;
    for (size_t i = 0; i + 1 < pairs.n; i += 2)
        if (!add(c, out, pairs.items[i]))
            return false;
    return true;
}

bool fm_convert_elements(struct fm_convert *c, const struct fm_ser_node *node,
                         struct fm_ser_list *out)
{
    *out = (struct fm_ser_list){0};
    for (int i = 0; i < MAX_WRAPPED; i++) {
        if (node != NULL && node->kind == FM_SER_ARRAY && fm_ser_width(node->array.type) == 0) {
            *out = node->array.list;
            return true;
        }
        const struct fm_ser_class *part = NULL;
        const struct collection *row = classify(node, false, &part);
        if (row == NULL)
            return false;
        switch (row->layout) {
        case FIELD_ARRAY:
            return from_array(node, row->field, out);
        case FIELD_RING:
            return from_ring(c, node, row->field, out);
        case FIELD_WRAPPED:
            node = fm_ser_child(node, row->field);
            continue;
        case FIELD_ONE:
            return from_copies(c, node, row->field, out);
        case MAP_KEYS:
            return keys_of(c, fm_ser_child(node, row->field), out);
        case EMPTY:
            return true;
        default:
            return from_notes(c, part, row->layout, 1, out);
        }
    }
    return false;
}

static enum fm_code convert_list(struct fm_convert *c, const struct fm_ser_list *list,
                                 struct fm_value *out)
{
    FM_TRY(fm_convert_charge(c, list->n + 2));
    struct fm_value *items = fm_arena_array(c->arena, list->n, sizeof *items);
    if (items == NULL)
        return fm_convert_no_memory(c);
    for (size_t i = 0; i < list->n; i++)
        FM_TRY(fm_convert_node(c, list->items[i], &items[i]));
    *out = (struct fm_value){.kind = FM_V_ARRAY, .array = {.items = items, .n = list->n}};
    return FM_OK;
}

/* The key of a map as text: scalars as they are printed, everything else by its class. */
static enum fm_code key_text(struct fm_convert *c, const struct fm_ser_node *node,
                             const struct fm_value *value, struct fm_text *out)
{
    struct fm_value text;
    if (value->kind == FM_V_STRING) {
        *out = value->text;
        return FM_OK;
    }
    struct fm_buf buf;
    fm_buf_init(&buf, 4096);
    if (value->kind == FM_V_ARRAY || value->kind == FM_V_OBJECT || value->kind == FM_V_BYTES)
        fm_buf_puts(&buf, node == NULL ? "?" : fm_ser_class_name(node));
    else if (value->kind == FM_V_DOUBLE || value->kind == FM_V_FLOAT) {
        fm_value_print(&buf, value, FM_JSON_NONFINITE_STRING);
        if (buf.len > 1 && buf.data[0] == '"') { /* "NaN" without its quotes */
            fm_buf_consume(&buf, 1);
            fm_buf_truncate(&buf, buf.len - 1);
        }
    } else
        fm_value_print(&buf, value, FM_JSON_NONFINITE_NULL);
    enum fm_code code = fm_convert_text(c, &text, fm_buf_str(&buf), buf.len);
    fm_buf_clear(&buf);
    if (code == FM_OK)
        *out = text.text;
    return code;
}

static enum fm_code convert_pairs(struct fm_convert *c, const struct fm_ser_list *pairs,
                                  struct fm_value *out)
{
    size_t n = pairs->n / 2; /* a key without a value is left out */
    FM_TRY(fm_convert_charge(c, n * 2 + 2));
    struct fm_member *members = fm_arena_array(c->arena, n, sizeof *members);
    if (members == NULL)
        return fm_convert_no_memory(c);
    for (size_t i = 0; i < n; i++) {
        struct fm_value key;
        FM_TRY(fm_convert_node(c, pairs->items[2 * i], &key));
        FM_TRY(key_text(c, pairs->items[2 * i], &key, &members[i].key));
        FM_TRY(fm_convert_node(c, pairs->items[2 * i + 1], &members[i].value));
    }
    FM_TRY(fm_convert_unique(c, members, n));
    *out = (struct fm_value){.kind = FM_V_OBJECT, .object = {.members = members, .n = n}};
    return FM_OK;
}

static enum fm_code convert_map(struct fm_convert *c, const struct fm_ser_node *node,
                                const struct fm_ser_class *part, struct fm_value *out, bool *known)
{
    (void)part;
    struct fm_ser_list pairs = {0};
    *known = map_pairs(c, node, &pairs);
    if (!*known)
        return c->arena->over_limit ? fm_convert_no_memory(c) : FM_OK;
    return convert_pairs(c, &pairs, out);
}

static enum fm_code convert_collection(struct fm_convert *c, const struct fm_ser_node *node,
                                       const struct fm_ser_class *part, struct fm_value *out,
                                       bool *known)
{
    if (is_collser_map(node))
        return convert_map(c, node, part, out, known);
    struct fm_ser_list list;
    *known = fm_convert_elements(c, node, &list);
    if (!*known)
        return c->arena->over_limit ? fm_convert_no_memory(c) : FM_OK;
    return convert_list(c, &list, out);
}

/* ---- open types ---- */

static enum fm_code convert_composite(struct fm_convert *c, const struct fm_ser_node *node,
                                      const struct fm_ser_class *part, struct fm_value *out,
                                      bool *known)
{
    return convert_map(c, fm_ser_child(node, "contents"), part, out, known);
}

bool fm_convert_composite_pairs(struct fm_convert *c, const struct fm_ser_node *node,
                                struct fm_ser_list *out)
{
    const struct fm_ser_class *part = NULL;
    const struct fm_ser_node *contents = fm_ser_child(node, "contents");
    const struct collection *row = classify(contents, true, &part);
    *out = (struct fm_ser_list){0};
    return strcmp(fm_ser_class_name(node), COMPOSITE) == 0 && row != NULL && row->layout == NOTES &&
           from_notes(c, part, NOTES, 2, out);
}

/* The index column of a table that has only one; NULL: several, or it cannot be told. */
static const struct fm_ser_node *only_index(struct fm_convert *c, const struct fm_ser_node *table)
{
    struct fm_ser_list names;
    const struct fm_ser_node *type = fm_ser_child(table, "tabularType");
    if (!fm_convert_elements(c, fm_ser_child(type, "indexNames"), &names) || names.n != 1)
        return NULL;
    return fm_ser_string(names.items[0]) == NULL ? NULL : names.items[0];
}

/* A row of an indexed table: its key, and what stands for the row. How MXBeans show a Map is a row
 * of just {key, value}: its value then. */
static enum fm_code indexed_row(struct fm_convert *c, const struct fm_text *index,
                                const struct fm_value *row, struct fm_member *out, bool *ok)
{
    const struct fm_value *key = fm_value_member(row, index->ptr, index->len);
    const struct fm_value *value = fm_value_member(row, "value", 5);
    *ok = key != NULL;
    if (key == NULL)
        return FM_OK;
    FM_TRY(key_text(c, NULL, key, &out->key));
    bool is_pair = row->object.n == 2 && value != NULL && strcmp(index->ptr, "key") == 0;
    out->value = is_pair ? *value : *row;
    return FM_OK;
}

static enum fm_code convert_table(struct fm_convert *c, const struct fm_ser_node *node,
                                  const struct fm_ser_class *part, struct fm_value *out,
                                  bool *known)
{
    (void)part;
    struct fm_ser_list pairs = {0};
    struct fm_ser_list rows = {0};
    *known = map_pairs(c, fm_ser_child(node, "dataMap"), &pairs);
    for (size_t i = 1; *known && i < pairs.n; i += 2)
        *known = add(c, &rows, pairs.items[i]);
    if (!*known)
        return c->arena->over_limit ? fm_convert_no_memory(c) : FM_OK;
    FM_TRY(convert_list(c, &rows, out));
    const struct fm_ser_node *index = only_index(c, node);
    if (index == NULL)
        return FM_OK;
    struct fm_member *members = fm_arena_array(c->arena, rows.n, sizeof *members);
    if (members == NULL)
        return fm_convert_no_memory(c);
    for (size_t i = 0; i < rows.n; i++) {
        bool ok;
        FM_TRY(indexed_row(c, &index->text, &out->array.items[i], &members[i], &ok));
        if (!ok)
            return FM_OK; /* stays an array of its rows */
    }
    FM_TRY(fm_convert_unique(c, members, rows.n));
    *out = (struct fm_value){.kind = FM_V_OBJECT, .object = {.members = members, .n = rows.n}};
    return FM_OK;
}

fm_convert_fn *fm_convert_collection(const char *class_name)
{
    if (strcmp(class_name, COMPOSITE) == 0)
        return convert_composite;
    if (strcmp(class_name, "javax.management.openmbean.TabularDataSupport") == 0)
        return convert_table;
    if (find_collection(class_name) != NULL)
        return convert_collection;
    return find_map(class_name) != NULL ? convert_map : NULL;
}
