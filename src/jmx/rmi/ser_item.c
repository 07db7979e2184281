#include "jmx/rmi/ser_parse_priv.h"

enum { FIRST_HANDLE = 0x7e0000 };

/* Never changed; got is not const because descriptors and objects are filled in place. */
static const struct fm_ser_node null_node = {.kind = FM_SER_NULL};
static const struct fm_ser_node end_node = {.kind = FM_SER_END};

static void give(struct fm_ser *p, const struct fm_ser_node *node)
{
    p->got = (struct fm_ser_node *)(uintptr_t)node;
    p->want = FM_SER_WANT_NONE;
}

static enum fm_code take_string(struct fm_ser *p, bool is_long, struct fm_err *err)
{
    uint64_t len = 0;
    uint16_t short_len = 0;
    const unsigned char *bytes;
    if (is_long ? !fm_cursor_u64(&p->cur, &len) : !fm_cursor_u16(&p->cur, &short_len))
        return FM_EAGAIN;
    if (!is_long)
        len = short_len;
    if (len > INT64_MAX)
        return fm_ser_bad(p, err, "a string of negative length");
    if (len > FM_SER_MAX_TEXT)
        return fm_ser_over(p, err, "bytes in one string", FM_SER_MAX_TEXT);
    if (!fm_cursor_take(&p->cur, (size_t)len, &bytes))
        return FM_EAGAIN;
    struct fm_ser_node *node;
    FM_TRY(fm_ser_new_node(p, FM_SER_STRING, &node, err));
    FM_TRY(fm_ser_copy_text(p, bytes, (size_t)len, &node->text, err));
    FM_TRY(fm_ser_add_handle(p, node, err));
    give(p, node);
    return FM_OK;
}

static enum fm_code take_block(struct fm_ser *p, bool is_long, struct fm_err *err)
{
    int32_t len = 0;
    uint8_t short_len = 0;
    const unsigned char *bytes;
    if (is_long ? !fm_cursor_i32(&p->cur, &len) : !fm_cursor_u8(&p->cur, &short_len))
        return FM_EAGAIN;
    if (!is_long)
        len = short_len;
    if (len < 0)
        return fm_ser_bad(p, err, "a block of negative length");
    if (len > FM_SER_MAX_TEXT)
        return fm_ser_over(p, err, "bytes in one block", FM_SER_MAX_TEXT);
    if (!fm_cursor_take(&p->cur, (size_t)len, &bytes))
        return FM_EAGAIN;
    struct fm_ser_node *node;
    FM_TRY(fm_ser_new_node(p, FM_SER_BLOCK, &node, err));
    char *copy = fm_arena_strndup(&p->arena, (const char *)bytes, (size_t)len);
    if (copy == NULL)
        return fm_ser_no_memory(p, err);
    node->text = (struct fm_text){.ptr = copy, .len = (size_t)len};
    give(p, node);
    return FM_OK;
}

static enum fm_code take_reference(struct fm_ser *p, struct fm_err *err)
{
    uint32_t handle;
    if (!fm_cursor_u32(&p->cur, &handle))
        return FM_EAGAIN;
    if (handle < FIRST_HANDLE || handle - FIRST_HANDLE >= p->n_handles)
        return fm_ser_bad(p, err, "a reference to an object that did not come yet");
    fm_ser_memo_reference(p, handle - FIRST_HANDLE);
    if (p->trace != NULL)
        fm_ser_note(p, fm_ser_position(p) - 4, handle - FIRST_HANDLE, true);
    struct fm_ser_node *node = p->handles[handle - FIRST_HANDLE];
    if (p->want == FM_SER_WANT_DESC && node->kind != FM_SER_DESC)
        return fm_ser_bad(p, err, "a reference to something that is no class descriptor");
    if (node->kind == FM_SER_DESC && !node->complete)
        return fm_ser_bad(p, err, "a reference to a class descriptor that is still being read");
    if (p->want == FM_SER_WANT_STRING && node->kind != FM_SER_STRING)
        return fm_ser_bad(p, err, "a reference to something that is no string");
    give(p, node);
    return FM_OK;
}

static enum fm_code new_desc(struct fm_ser *p, struct fm_ser_node **node, struct fm_ser_desc **desc,
                             struct fm_err *err)
{
    FM_TRY(fm_ser_new_node(p, FM_SER_DESC, node, err));
    *desc = fm_arena_alloc(&p->arena, sizeof **desc);
    if (*desc == NULL)
        return fm_ser_no_memory(p, err);
    (*node)->desc = *desc;
    (*desc)->name = "";
    return fm_ser_add_handle(p, *node, err);
}

static enum fm_code check_flags(struct fm_ser *p, uint8_t flags, uint16_t fields,
                                struct fm_err *err)
{
    const uint8_t both = FM_SER_SERIALIZABLE | FM_SER_EXTERNALIZABLE;
    if ((flags & both) == both)
        return fm_ser_bad(p, err, "a class both serializable and externalizable");
    if ((flags & both) == 0 && fields > 0)
        return fm_ser_bad(p, err, "a class with fields that is not serializable");
    if (fields > FM_SER_MAX_FIELDS)
        return fm_ser_over(p, err, "fields in one class", FM_SER_MAX_FIELDS);
    return FM_OK;
}

static enum fm_code take_desc(struct fm_ser *p, struct fm_err *err)
{
    const unsigned char *name;
    uint16_t len;
    uint64_t suid;
    uint8_t flags;
    uint16_t n_fields;
    const size_t position = fm_ser_position(p);
    enum fm_code code;
    if (fm_ser_memo_take(p, err, &code))
        return code;
    if (!fm_ser_take_utf(&p->cur, &name, &len) || !fm_cursor_u64(&p->cur, &suid) ||
        !fm_cursor_u8(&p->cur, &flags) || !fm_cursor_u16(&p->cur, &n_fields))
        return FM_EAGAIN;
    FM_TRY(check_flags(p, flags, n_fields, err));
    fm_ser_memo_begin(p, position);
    struct fm_ser_node *node;
    struct fm_ser_desc *desc;
    struct fm_text text;
    FM_TRY(new_desc(p, &node, &desc, err));
    FM_TRY(fm_ser_copy_text(p, name, len, &text, err));
    desc->name = text.ptr;
    desc->flags = flags;
    desc->n_fields = n_fields;
    desc->fields = fm_arena_array(&p->arena, n_fields, sizeof *desc->fields);
    if (desc->fields == NULL)
        return fm_ser_no_memory(p, err);
    FM_TRY(fm_ser_push(p, FM_SER_IN_DESC, FM_SER_WANT_NONE, err));
    struct fm_ser_frame *f = &p->frames[p->depth - 1];
    f->node = node;
    f->desc = desc;
    return FM_OK;
}

static enum fm_code take_proxy(struct fm_ser *p, struct fm_err *err)
{
    int32_t n;
    if (!fm_cursor_i32(&p->cur, &n))
        return FM_EAGAIN;
    if (n < 0)
        return fm_ser_bad(p, err, "a proxy with a negative number of interfaces");
    if (n > FM_SER_MAX_INTERFACES)
        return fm_ser_over(p, err, "interfaces of one proxy", FM_SER_MAX_INTERFACES);
    struct fm_ser_node *node;
    struct fm_ser_desc *desc;
    FM_TRY(new_desc(p, &node, &desc, err));
    desc->flags = FM_SER_SERIALIZABLE;
    fm_ser_memo_spoil(p);
    FM_TRY(fm_ser_push(p, FM_SER_IN_PROXY, FM_SER_WANT_NONE, err));
    struct fm_ser_frame *f = &p->frames[p->depth - 1];
    f->node = node;
    f->desc = desc;
    f->n = (size_t)n;
    return FM_OK;
}

/* The server failed while it wrote: what comes is the reason, with handles of its own. */
static enum fm_code take_exception(struct fm_ser *p, struct fm_err *err)
{
    if (p->stream_exception)
        return fm_ser_bad(p, err, "an exception inside the report of an exception");
    fm_ser_memo_spoil(p);
    p->stream_exception = true;
    p->exception = true;
    p->n_handles = 0;
    p->depth = 0;
    p->want = FM_SER_WANT_VALUE;
    return FM_OK;
}

static enum fm_code take_reset(struct fm_ser *p, struct fm_err *err)
{
    if (p->depth > 0)
        return fm_ser_bad(p, err, "a reset inside a value");
    if (p->trace != NULL)
        p->trace->spoilt = true;
    p->n_handles = 0;
    return FM_OK;
}

static bool tag_allowed(int want, uint8_t tag)
{
    switch (want) {
    case FM_SER_WANT_DESC:
        return tag == 0x70 || tag == 0x71 || tag == 0x72 || tag == 0x7d || tag == 0x7b;
    case FM_SER_WANT_STRING:
        return tag == 0x71 || tag == 0x74 || tag == 0x7c || tag == 0x7b;
    case FM_SER_WANT_NOTE:
        return tag >= 0x70 && tag <= 0x7e;
    default:
        return tag >= 0x70 && tag <= 0x7e && tag != 0x77 && tag != 0x78 && tag != 0x7a;
    }
}

static enum fm_code take_tagged(struct fm_ser *p, uint8_t tag, struct fm_err *err)
{
    switch (tag) {
    case 0x70:
        give(p, &null_node);
        return FM_OK;
    case 0x71:
        return take_reference(p, err);
    case 0x72:
        return take_desc(p, err);
    case 0x73:
        return fm_ser_push(p, FM_SER_IN_OBJECT, FM_SER_WANT_DESC, err);
    case 0x74:
    case 0x7c:
        return take_string(p, tag == 0x7c, err);
    case 0x75:
        return fm_ser_push(p, FM_SER_IN_ARRAY, FM_SER_WANT_DESC, err);
    case 0x76:
        return fm_ser_push(p, FM_SER_IN_CLASS, FM_SER_WANT_DESC, err);
    case 0x77:
    case 0x7a:
        return take_block(p, tag == 0x7a, err);
    case 0x78:
        give(p, &end_node);
        return FM_OK;
    case 0x79:
        return take_reset(p, err);
    case 0x7b:
        return take_exception(p, err);
    case 0x7d:
        return take_proxy(p, err);
    default:
        return fm_ser_push(p, FM_SER_IN_ENUM, FM_SER_WANT_DESC, err);
    }
}

enum fm_code fm_ser_take_item(struct fm_ser *p, struct fm_err *err)
{
    size_t at = p->cur.at;
    uint8_t tag;
    if (!fm_cursor_u8(&p->cur, &tag))
        return FM_EAGAIN;
    if (!tag_allowed(p->want, tag))
        return fm_err_set(err, FM_EPROTO,
                          "the answer is not legal Java serialization: tag %02x near byte %zu "
                          "(a class that does not write its fields does this)",
                          tag, fm_ser_position(p));
    enum fm_code code = take_tagged(p, tag, err);
    if (code == FM_EAGAIN)
        p->cur.at = at;
    return code;
}
