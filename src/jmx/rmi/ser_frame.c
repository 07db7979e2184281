#include <string.h>

#include "jmx/rmi/ser_parse_priv.h"

/* Steps of a frame; each kind begins with 0 = its first one. */
enum {
    FM_SER_DESC_FIELD = 0,
    FM_SER_DESC_FIELD_TYPE,
    FM_SER_DESC_NOTE,
    FM_SER_DESC_SUPER,
    FM_SER_OBJECT_DESC = 0,
    FM_SER_OBJECT_CLASS,
    FM_SER_OBJECT_FIELD,
    FM_SER_OBJECT_FIELD_GOT,
    FM_SER_OBJECT_NOTE,
    FM_SER_OBJECT_FRAMED,
    FM_SER_OBJECT_TIME,
    FM_SER_ARRAY_DESC = 0,
    FM_SER_ARRAY_SIZE,
    FM_SER_ARRAY_RAW,
    FM_SER_ARRAY_ITEM,
    FM_SER_ARRAY_ITEM_GOT,
    FM_SER_ENUM_DESC = 0,
    FM_SER_ENUM_NAME
};

static const struct fm_ser_node null_node = {.kind = FM_SER_NULL};

/* The frame on top is complete: its node is what the frame below asked for. */
static void pop(struct fm_ser *p, struct fm_ser_node *node)
{
    p->depth--;
    p->got = node;
    p->want = FM_SER_WANT_NONE;
}

static enum fm_code append(struct fm_ser *p, struct fm_ser_list *list,
                           const struct fm_ser_node *node, struct fm_err *err)
{
    return fm_ser_list_add(list, node, &p->arena) ? FM_OK : fm_ser_no_memory(p, err);
}

static enum fm_code desc_field(struct fm_ser *p, struct fm_ser_frame *f, struct fm_err *err)
{
    if (f->i == f->desc->n_fields) {
        f->step = FM_SER_DESC_NOTE;
        p->want = FM_SER_WANT_NOTE;
        return FM_OK;
    }
    size_t at = p->cur.at;
    const unsigned char *name;
    uint16_t len;
    uint8_t type;
    if (!fm_cursor_u8(&p->cur, &type) || !fm_ser_take_utf(&p->cur, &name, &len)) {
        p->cur.at = at;
        return FM_EAGAIN;
    }
    bool is_value = type == 'L' || type == '[';
    if (!is_value && fm_ser_width((char)type) == 0)
        return fm_ser_bad(p, err, "a field of an unknown type");
    struct fm_text text;
    FM_TRY(fm_ser_copy_text(p, name, len, &text, err));
    f->desc->fields[f->i] = (struct fm_ser_field){.name = text.ptr, .type = (char)type};
    f->i++;
    if (is_value) {
        f->step = FM_SER_DESC_FIELD_TYPE;
        p->want = FM_SER_WANT_STRING;
    }
    return FM_OK;
}

static enum fm_code desc_super(struct fm_ser *p, struct fm_ser_frame *f, struct fm_err *err)
{
    uint8_t chain = 1;
    if (p->got->kind == FM_SER_DESC) {
        f->desc->super = p->got;
        chain = (uint8_t)(p->got->desc->chain + 1);
    }
    if (chain > FM_SER_MAX_CHAIN)
        return fm_ser_over(p, err, "classes above one another", FM_SER_MAX_CHAIN);
    f->desc->chain = chain;
    f->node->complete = true;
    pop(p, f->node);
    fm_ser_memo_end(p);
    return FM_OK;
}

static enum fm_code run_desc(struct fm_ser *p, struct fm_ser_frame *f, struct fm_err *err)
{
    switch (f->step) {
    case FM_SER_DESC_FIELD:
        return desc_field(p, f, err);
    case FM_SER_DESC_FIELD_TYPE:
        f->step = FM_SER_DESC_FIELD;
        return FM_OK;
    case FM_SER_DESC_NOTE: /* what RMI puts there is a codebase; nobody wants it */
        FM_TRY(fm_ser_count(p, 1, err));
        if (p->got->kind != FM_SER_END && p->got->kind != FM_SER_NULL)
            fm_ser_memo_spoil(p);
        f->step = p->got->kind == FM_SER_END ? FM_SER_DESC_SUPER : FM_SER_DESC_NOTE;
        p->want = p->got->kind == FM_SER_END ? FM_SER_WANT_DESC : FM_SER_WANT_NOTE;
        return FM_OK;
    default:
        return desc_super(p, f, err);
    }
}

static enum fm_code run_proxy(struct fm_ser *p, struct fm_ser_frame *f, struct fm_err *err)
{
    if (f->step != FM_SER_DESC_FIELD)
        return run_desc(p, f, err);
    if (f->i == f->n) {
        f->step = FM_SER_DESC_NOTE;
        p->want = FM_SER_WANT_NOTE;
        return FM_OK;
    }
    size_t at = p->cur.at;
    const unsigned char *name;
    uint16_t len;
    if (!fm_ser_take_utf(&p->cur, &name, &len)) {
        p->cur.at = at;
        return FM_EAGAIN;
    }
    if (f->i == 0) {
        struct fm_text text;
        FM_TRY(fm_ser_copy_text(p, name, len, &text, err));
        f->desc->proxied = text.ptr;
    }
    f->i++;
    return FM_OK;
}

static enum fm_code object_chain(struct fm_ser *p, struct fm_ser_frame *f, struct fm_err *err)
{
    size_t n = f->node->desc->chain;
    struct fm_ser_class *classes = fm_arena_array(&p->arena, n, sizeof *classes);
    if (classes == NULL)
        return fm_ser_no_memory(p, err);
    const struct fm_ser_desc *desc = f->node->desc;
    for (size_t i = n; i > 0 && desc != NULL; i--) {
        classes[i - 1].desc = desc;
        desc = desc->super == NULL ? NULL : desc->super->desc;
    }
    f->node->object.classes = classes;
    f->node->object.n = n;
    return FM_OK;
}

static enum fm_code object_desc(struct fm_ser *p, struct fm_ser_frame *f, struct fm_err *err)
{
    if (p->got->kind != FM_SER_DESC)
        return fm_ser_bad(p, err, "an object without a class");
    const struct fm_ser_desc *desc = p->got->desc;
    const uint8_t flags = desc->flags;
    if ((flags & FM_SER_IS_ENUM) != 0 || desc->name[0] == '[' ||
        (flags & (FM_SER_SERIALIZABLE | FM_SER_EXTERNALIZABLE)) == 0)
        return fm_ser_bad(p, err, "an object of a class that cannot have objects");
    bool is_time = strcmp(desc->name, "java.time.Ser") == 0;
    FM_TRY(fm_ser_new_node(p, FM_SER_OBJECT, &f->node, err));
    f->node->desc = desc;
    FM_TRY(fm_ser_add_handle(p, f->node, err));
    FM_TRY(object_chain(p, f, err));
    if ((flags & FM_SER_SERIALIZABLE) != 0) {
        f->step = FM_SER_OBJECT_CLASS;
    } else if ((flags & FM_SER_BLOCK_DATA) != 0) {
        f->step = FM_SER_OBJECT_FRAMED;
        f->at = f->node->object.n - 1;
        p->want = FM_SER_WANT_NOTE;
    } else if (is_time) {
        f->step = FM_SER_OBJECT_TIME;
    } else {
        return fm_err_set(err, FM_EPROTO,
                          "a value of the Externalizable class %.100s has a form that only Java "
                          "code knows, so the answer cannot be read",
                          desc->name);
    }
    return FM_OK;
}

/* Begin with the data of the class at f->at. */
static enum fm_code object_class(struct fm_ser *p, struct fm_ser_frame *f, struct fm_err *err)
{
    if (f->at == f->node->object.n) {
        pop(p, f->node);
        return FM_OK;
    }
    struct fm_ser_class *c = &f->node->object.classes[f->at];
    FM_TRY(fm_ser_count(p, (size_t)c->desc->n_fields + 1, err));
    if ((c->desc->flags & FM_SER_EXTERNALIZABLE) != 0)
        return fm_ser_bad(p, err, "a serializable class below an externalizable one");
    c->values = fm_arena_array(&p->arena, c->desc->n_fields, sizeof *c->values);
    if (c->values == NULL)
        return fm_ser_no_memory(p, err);
    for (size_t i = 0; i < c->desc->n_fields; i++)
        c->values[i] = (struct fm_ser_value){.type = 'L', .node = &null_node};
    f->i = 0;
    f->step = FM_SER_OBJECT_FIELD;
    return FM_OK;
}

static bool take_primitive(struct fm_cursor *cur, char type, struct fm_ser_value *out)
{
    const unsigned char *raw;
    if (!fm_cursor_take(cur, fm_ser_width(type), &raw))
        return false;
    struct fm_ser_node one = {.array = {.type = type, .raw = raw, .n = 1}};
    *out = fm_ser_element(&one, 0);
    return true;
}

static enum fm_code object_field(struct fm_ser *p, struct fm_ser_frame *f)
{
    struct fm_ser_class *c = &f->node->object.classes[f->at];
    for (; f->i < c->desc->n_fields; f->i++) {
        char type = c->desc->fields[f->i].type;
        if (type == 'L' || type == '[') {
            f->step = FM_SER_OBJECT_FIELD_GOT;
            p->want = FM_SER_WANT_VALUE;
            return FM_OK;
        }
        if (!take_primitive(&p->cur, type, &c->values[f->i]))
            return FM_EAGAIN;
    }
    if ((c->desc->flags & FM_SER_WRITE_METHOD) != 0) {
        f->step = FM_SER_OBJECT_NOTE;
        p->want = FM_SER_WANT_NOTE;
    } else {
        f->step = FM_SER_OBJECT_CLASS;
        f->at++;
    }
    return FM_OK;
}

static enum fm_code object_note(struct fm_ser *p, struct fm_ser_frame *f, struct fm_err *err)
{
    if (p->got->kind == FM_SER_END) {
        f->at++;
        f->step = FM_SER_OBJECT_CLASS;
        if ((f->node->desc->flags & FM_SER_EXTERNALIZABLE) != 0)
            f->at = f->node->object.n;
        return FM_OK;
    }
    FM_TRY(fm_ser_count(p, 1, err));
    FM_TRY(append(p, &f->node->object.classes[f->at].notes, p->got, err));
    p->want = FM_SER_WANT_NOTE;
    return FM_OK;
}

static enum fm_code object_time(struct fm_ser *p, struct fm_ser_frame *f, struct fm_err *err)
{
    struct fm_buf text;
    fm_buf_init(&text, FM_SER_MAX_TEXT);
    enum fm_code code = fm_ser_time(&p->cur, &text);
    if (code == FM_EPROTO)
        code = fm_ser_bad(p, err, "a java.time value of an unknown form");
    else if (code == FM_OK)
        code = fm_buf_code(&text, err);
    if (code == FM_OK) {
        f->node->kind = FM_SER_TIME;
        f->node->text.len = text.len;
        f->node->text.ptr = fm_arena_strndup(&p->arena, text.data, text.len);
        if (f->node->text.ptr == NULL)
            code = fm_ser_no_memory(p, err);
        else
            pop(p, f->node);
    }
    fm_buf_clear(&text);
    return code;
}

static enum fm_code run_object(struct fm_ser *p, struct fm_ser_frame *f, struct fm_err *err)
{
    switch (f->step) {
    case FM_SER_OBJECT_DESC:
        return object_desc(p, f, err);
    case FM_SER_OBJECT_CLASS:
        return object_class(p, f, err);
    case FM_SER_OBJECT_FIELD:
        return object_field(p, f);
    case FM_SER_OBJECT_FIELD_GOT:
        f->node->object.classes[f->at].values[f->i].node = p->got;
        f->i++;
        f->step = FM_SER_OBJECT_FIELD;
        return FM_OK;
    case FM_SER_OBJECT_TIME:
        return object_time(p, f, err);
    default:
        return object_note(p, f, err);
    }
}

static bool array_name_ok(const char *name)
{
    size_t len = strlen(name);
    if (len < 2 || name[0] != '[')
        return false;
    if (name[1] == '[')
        return len > 2;
    if (name[1] == 'L')
        return len > 3 && name[len - 1] == ';';
    return len == 2 && fm_ser_width(name[1]) > 0;
}

static enum fm_code array_desc(struct fm_ser *p, struct fm_ser_frame *f, struct fm_err *err)
{
    if (p->got->kind != FM_SER_DESC || !array_name_ok(p->got->desc->name))
        return fm_ser_bad(p, err, "an array whose class is no array class");
    FM_TRY(fm_ser_new_node(p, FM_SER_ARRAY, &f->node, err));
    f->node->desc = p->got->desc;
    f->node->array.type = p->got->desc->name[1];
    f->step = FM_SER_ARRAY_SIZE;
    return fm_ser_add_handle(p, f->node, err);
}

static enum fm_code array_size(struct fm_ser *p, struct fm_ser_frame *f, struct fm_err *err)
{
    int32_t n;
    if (!fm_cursor_i32(&p->cur, &n))
        return FM_EAGAIN;
    if (n < 0)
        return fm_ser_bad(p, err, "an array of negative size");
    f->n = (size_t)n;
    size_t width = fm_ser_width(f->node->array.type);
    if (!fm_ser_fits(p, (uint64_t)n * (width == 0 ? 1 : width)))
        return fm_ser_over(p, err, "bytes", p->max_bytes);
    if (width == 0)
        FM_TRY(fm_ser_count(p, f->n, err));
    f->step = width == 0 ? FM_SER_ARRAY_ITEM : FM_SER_ARRAY_RAW;
    return FM_OK;
}

static enum fm_code array_raw(struct fm_ser *p, struct fm_ser_frame *f, struct fm_err *err)
{
    size_t len = f->n * fm_ser_width(f->node->array.type);
    const unsigned char *raw;
    if (!fm_cursor_take(&p->cur, len, &raw))
        return FM_EAGAIN;
    char *copy = fm_arena_strndup(&p->arena, (const char *)raw, len);
    if (copy == NULL)
        return fm_ser_no_memory(p, err);
    f->node->array.raw = (const unsigned char *)copy;
    f->node->array.n = f->n;
    pop(p, f->node);
    return FM_OK;
}

static enum fm_code run_array(struct fm_ser *p, struct fm_ser_frame *f, struct fm_err *err)
{
    switch (f->step) {
    case FM_SER_ARRAY_DESC:
        return array_desc(p, f, err);
    case FM_SER_ARRAY_SIZE:
        return array_size(p, f, err);
    case FM_SER_ARRAY_RAW:
        return array_raw(p, f, err);
    case FM_SER_ARRAY_ITEM_GOT:
        FM_TRY(append(p, &f->node->array.list, p->got, err));
        f->node->array.n = f->node->array.list.n;
        f->step = FM_SER_ARRAY_ITEM;
        return FM_OK;
    default:
        if (f->node->array.n == f->n) {
            pop(p, f->node);
            return FM_OK;
        }
        f->step = FM_SER_ARRAY_ITEM_GOT;
        p->want = FM_SER_WANT_VALUE;
        return FM_OK;
    }
}

static enum fm_code run_enum(struct fm_ser *p, struct fm_ser_frame *f, struct fm_err *err)
{
    if (f->step == FM_SER_ENUM_NAME) {
        f->node->name = p->got;
        pop(p, f->node);
        return FM_OK;
    }
    if (p->got->kind != FM_SER_DESC || (p->got->desc->flags & FM_SER_IS_ENUM) == 0)
        return fm_ser_bad(p, err, "an enum constant of a class that is no enum");
    FM_TRY(fm_ser_new_node(p, FM_SER_ENUM, &f->node, err));
    f->node->desc = p->got->desc;
    f->node->name = &null_node;
    f->step = FM_SER_ENUM_NAME;
    p->want = FM_SER_WANT_STRING;
    return fm_ser_add_handle(p, f->node, err);
}

static enum fm_code run_class(struct fm_ser *p, struct fm_ser_frame *f, struct fm_err *err)
{
    if (p->got->kind != FM_SER_DESC)
        return fm_ser_bad(p, err, "a class without a descriptor");
    FM_TRY(fm_ser_new_node(p, FM_SER_CLASS, &f->node, err));
    f->node->desc = p->got->desc;
    FM_TRY(fm_ser_add_handle(p, f->node, err));
    pop(p, f->node);
    return FM_OK;
}

static enum fm_code run_top(struct fm_ser *p, struct fm_err *err)
{
    struct fm_ser_frame *f = &p->frames[p->depth - 1];
    switch (f->kind) {
    case FM_SER_IN_DESC:
        return run_desc(p, f, err);
    case FM_SER_IN_PROXY:
        return run_proxy(p, f, err);
    case FM_SER_IN_OBJECT:
        return run_object(p, f, err);
    case FM_SER_IN_ARRAY:
        return run_array(p, f, err);
    case FM_SER_IN_ENUM:
        return run_enum(p, f, err);
    case FM_SER_IN_CLASS:
        return run_class(p, f, err);
    }
    return FM_EBUG;
}

enum fm_code fm_ser_run_frames(struct fm_ser *p, struct fm_err *err)
{
    enum fm_code code = FM_OK;
    while (code == FM_OK && p->want == FM_SER_WANT_NONE && p->depth > 0)
        code = run_top(p, err);
    return code;
}
