#include <stdlib.h>
#include <string.h>

#include "jmx/rmi/ser_parse_priv.h"

enum { HEAD_LEN = 15, FIRST_FRAMES = 32, FIRST_HANDLES = 64, MAX_EVENTS = 4096 };

size_t fm_ser_position(const struct fm_ser *p)
{
    return p->start + p->cur.at;
}

enum fm_code fm_ser_bad(struct fm_ser *p, struct fm_err *err, const char *what)
{
    return fm_err_set(err, FM_EPROTO,
                      "the answer is not legal Java serialization: %s near byte %zu", what,
                      fm_ser_position(p));
}

enum fm_code fm_ser_over(struct fm_ser *p, struct fm_err *err, const char *what, size_t limit)
{
    return fm_err_set(err, FM_ELIMIT, "the answer has more than %zu %s (near byte %zu)", limit,
                      what, fm_ser_position(p));
}

enum fm_code fm_ser_no_memory(struct fm_ser *p, struct fm_err *err)
{
    if (p->arena.over_limit)
        return fm_err_set(err, FM_ELIMIT, "the answer needs more than %zu bytes of memory",
                          p->arena.max);
    return fm_err_nomem(err);
}

enum fm_code fm_ser_count(struct fm_ser *p, size_t n, struct fm_err *err)
{
    if (n > FM_SER_MAX_ELEMENTS - p->elements)
        return fm_ser_over(p, err, "elements", FM_SER_MAX_ELEMENTS);
    p->elements += n;
    return FM_OK;
}

enum fm_code fm_ser_new_node(struct fm_ser *p, enum fm_ser_kind kind, struct fm_ser_node **out,
                             struct fm_err *err)
{
    *out = fm_arena_alloc(&p->arena, sizeof **out);
    if (*out == NULL)
        return fm_ser_no_memory(p, err);
    (*out)->kind = kind;
    return FM_OK;
}

enum fm_code fm_ser_add_handle(struct fm_ser *p, struct fm_ser_node *node, struct fm_err *err)
{
    if (p->n_handles == FM_SER_MAX_HANDLES)
        return fm_ser_over(p, err, "objects", FM_SER_MAX_HANDLES);
    if (p->n_handles == p->cap_handles) {
        size_t cap = p->cap_handles == 0 ? FIRST_HANDLES : p->cap_handles * 2;
        struct fm_ser_node **handles = realloc(p->handles, cap * sizeof *handles);
        if (handles == NULL)
            return fm_err_nomem(err);
        p->handles = handles;
        p->cap_handles = cap;
    }
    if (p->trace != NULL)
        fm_ser_note(p, fm_ser_position(p), p->n_handles, false);
    p->handles[p->n_handles++] = node;
    return FM_OK;
}

void fm_ser_note(struct fm_ser *p, size_t at, size_t handle, bool reference)
{
    struct fm_ser_trace *trace = p->trace;
    if (trace->n == trace->cap && !trace->spoilt) {
        const size_t cap = trace->cap == 0 ? FIRST_HANDLES : trace->cap * 2;
        struct fm_ser_event *events =
            cap > MAX_EVENTS ? NULL : realloc(trace->events, cap * sizeof *events);
        trace->spoilt = events == NULL;
        if (events != NULL) {
            trace->events = events;
            trace->cap = cap;
        }
    }
    if (trace->spoilt || at > UINT32_MAX)
        return;
    trace->events[trace->n++] = (struct fm_ser_event){
        .at = (uint32_t)at, .handle = (uint32_t)handle, .reference = reference};
}

enum fm_code fm_ser_push(struct fm_ser *p, enum fm_ser_frame_kind kind, enum fm_ser_want want,
                         struct fm_err *err)
{
    if (p->depth == FM_SER_MAX_FRAMES)
        return fm_ser_over(p, err, "values inside one another", FM_SER_MAX_FRAMES);
    if (p->depth == p->cap) {
        size_t cap = p->cap == 0 ? FIRST_FRAMES : p->cap * 2;
        struct fm_ser_frame *frames = realloc(p->frames, cap * sizeof *frames);
        if (frames == NULL)
            return fm_err_nomem(err);
        p->frames = frames;
        p->cap = cap;
    }
    p->frames[p->depth++] = (struct fm_ser_frame){.kind = kind};
    p->want = (unsigned char)want;
    return FM_OK;
}

enum fm_code fm_ser_copy_text(struct fm_ser *p, const unsigned char *bytes, size_t len,
                              struct fm_text *out, struct fm_err *err)
{
    size_t plain = fm_mutf8_ascii(bytes, len);
    size_t n = plain + fm_mutf8_decode(bytes + plain, len - plain, NULL);
    char *text = fm_arena_alloc(&p->arena, n + 1);
    if (text == NULL)
        return fm_ser_no_memory(p, err);
    memcpy(text, bytes, plain);
    fm_mutf8_decode(bytes + plain, len - plain, text + plain);
    *out = (struct fm_text){.ptr = text, .len = n};
    return FM_OK;
}

bool fm_ser_take_utf(struct fm_cursor *cur, const unsigned char **bytes, uint16_t *len)
{
    return fm_cursor_u16(cur, len) && fm_cursor_take(cur, *len, bytes);
}

bool fm_ser_fits(const struct fm_ser *p, uint64_t n)
{
    return n <=
           p->max_bytes - (fm_ser_position(p) < p->max_bytes ? fm_ser_position(p) : p->max_bytes);
}

static enum fm_code take_return_byte(struct fm_ser *p, struct fm_err *err)
{
    uint8_t tag;
    if (!fm_cursor_u8(&p->cur, &tag))
        return FM_EAGAIN;
    if (tag != 0x51)
        return fm_err_set(err, FM_EPROTO, "the peer sent byte %02x where a return begins", tag);
    p->phase = FM_SER_PHASE_MAGIC;
    return FM_OK;
}

static enum fm_code take_magic(struct fm_ser *p, struct fm_err *err)
{
    uint32_t magic;
    if (!fm_cursor_u32(&p->cur, &magic))
        return FM_EAGAIN;
    if (magic != 0xaced0005)
        return fm_ser_bad(p, err, "no stream header AC ED 00 05");
    p->phase = p->head_len == HEAD_LEN ? FM_SER_PHASE_VALUE : FM_SER_PHASE_HEAD;
    return FM_OK;
}

/* A block of the return's head, which may be split anywhere. */
static enum fm_code take_head_block(struct fm_ser *p, struct fm_err *err)
{
    size_t at = p->cur.at;
    size_t room = sizeof p->head - p->head_len;
    uint8_t tag = 0;
    uint8_t len8 = 0;
    uint32_t len = 0;
    const unsigned char *bytes = NULL;
    bool ok = fm_cursor_u8(&p->cur, &tag);
    if (ok && tag != 0x77 && tag != 0x7a)
        return fm_ser_bad(p, err, "no block where the return code and its id must be");
    ok = ok && (tag == 0x77 ? fm_cursor_u8(&p->cur, &len8) : fm_cursor_u32(&p->cur, &len));
    if (ok && tag == 0x77)
        len = len8;
    if (ok && len > room)
        return fm_ser_bad(p, err, "too many bytes in the head of a return");
    if (!ok || !fm_cursor_take(&p->cur, len, &bytes)) {
        p->cur.at = at;
        return FM_EAGAIN;
    }
    memcpy(p->head + p->head_len, bytes, len);
    p->head_len += len;
    return FM_OK;
}

static enum fm_code take_head(struct fm_ser *p, struct fm_err *err)
{
    FM_TRY(take_head_block(p, err));
    if (p->head_len < HEAD_LEN)
        return FM_OK;
    p->exception = p->head[0] == 2;
    if (p->head[0] != 1 && p->head[0] != 2)
        return fm_ser_bad(p, err, "a return code that does not exist");
    memcpy(p->uid, p->head + 1, sizeof p->uid);
    bool wants_bool = !p->exception && p->expect == FM_SER_BOOL;
    if (p->head_len > HEAD_LEN && !wants_bool)
        return fm_ser_bad(p, err, "too many bytes in the head of a return");
    if (wants_bool)
        p->phase = FM_SER_PHASE_BOOL;
    else
        p->phase =
            p->exception || p->expect == FM_SER_VALUE ? FM_SER_PHASE_VALUE : FM_SER_PHASE_DONE;
    return FM_OK;
}

static enum fm_code take_bool(struct fm_ser *p, struct fm_err *err)
{
    if (p->head_len == HEAD_LEN)
        FM_TRY(take_head_block(p, err));
    if (p->head_len == sizeof p->head) {
        p->boolean = p->head[HEAD_LEN] != 0;
        p->phase = FM_SER_PHASE_DONE;
    }
    return FM_OK;
}

/* A class whose superclasses the peer left out is known by its name. */
static bool is_throwable(const struct fm_ser_node *node)
{
    if (fm_ser_is_a(node, "java.lang.Throwable"))
        return true;
    const char *name = node->kind == FM_SER_OBJECT ? node->desc->name : "";
    size_t len = strlen(name);
    return (len > 9 && strcmp(name + len - 9, "Exception") == 0) ||
           (len > 5 && strcmp(name + len - 5, "Error") == 0);
}

static enum fm_code take_value(struct fm_ser *p, struct fm_err *err)
{
    while (p->want != FM_SER_WANT_NONE || p->depth > 0)
        FM_TRY(p->want != FM_SER_WANT_NONE ? fm_ser_take_item(p, err) : fm_ser_run_frames(p, err));
    if (p->exception && !is_throwable(p->got))
        return fm_ser_bad(p, err, "an exception that is no Throwable");
    p->root = p->got;
    p->phase = FM_SER_PHASE_DONE;
    return FM_OK;
}

static enum fm_code advance(struct fm_ser *p, struct fm_err *err)
{
    switch (p->phase) {
    case FM_SER_PHASE_RETURN:
        return take_return_byte(p, err);
    case FM_SER_PHASE_MAGIC:
        return take_magic(p, err);
    case FM_SER_PHASE_HEAD:
        return take_head(p, err);
    case FM_SER_PHASE_BOOL:
        return take_bool(p, err);
    default:
        return take_value(p, err);
    }
}

enum fm_code fm_ser_feed(struct fm_ser *ser, const void *data, size_t len, size_t *used,
                         struct fm_err *err)
{
    enum fm_code code = FM_OK;
    fm_cursor_init(&ser->cur, data, len);
    ser->start = ser->bytes;
    while (code == FM_OK && ser->phase != FM_SER_PHASE_DONE && ser->phase != FM_SER_PHASE_IDLE)
        code = advance(ser, err);
    *used = ser->cur.at;
    ser->bytes += ser->cur.at;
    size_t seen = ser->bytes + (code == FM_EAGAIN ? fm_cursor_left(&ser->cur) : 0);
    if ((code == FM_EAGAIN || code == FM_OK) && seen > ser->max_bytes)
        return fm_err_set(err, FM_ELIMIT, "the answer is larger than %zu bytes", ser->max_bytes);
    return code;
}

static void begin(struct fm_ser *ser, enum fm_ser_phase phase)
{
    fm_arena_reset(&ser->arena);
    if (ser->memo.full)
        fm_ser_memo_clear(ser);
    ser->memo.noting = false;
    ser->trace = NULL;
    ser->root = NULL;
    ser->boolean = ser->exception = ser->stream_exception = false;
    ser->bytes = 0;
    ser->phase = (unsigned char)phase;
    ser->want = FM_SER_WANT_VALUE;
    ser->head_len = 0;
    ser->depth = 0;
    ser->n_handles = 0;
    ser->elements = 0;
    ser->got = NULL;
}

void fm_ser_begin_return(struct fm_ser *ser, enum fm_ser_expect expect)
{
    begin(ser, FM_SER_PHASE_RETURN);
    ser->expect = expect;
}

void fm_ser_begin_stream(struct fm_ser *ser)
{
    begin(ser, FM_SER_PHASE_MAGIC);
    ser->head_len = HEAD_LEN; /* there is none to come */
    ser->expect = FM_SER_VALUE;
}

void fm_ser_init(struct fm_ser *ser, size_t max_bytes)
{
    *ser = (struct fm_ser){.max_bytes = max_bytes == 0 ? 8 * 1024 * 1024 : max_bytes};
    /* A node takes more memory than its bytes on the wire, at most about ten times as much for
     * many small objects; those are counted too. */
    fm_arena_init(&ser->arena, 4 * ser->max_bytes + 1024 * 1024);
    fm_ser_memo_clear(ser);
}

void fm_ser_clear(struct fm_ser *ser)
{
    fm_arena_clear(&ser->arena);
    fm_ser_memo_clear(ser);
    free(ser->frames);
    free(ser->handles);
    *ser = (struct fm_ser){0};
}
