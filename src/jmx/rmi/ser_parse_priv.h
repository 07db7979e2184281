/* jmx/rmi/ser_parse_priv.h - the insides of the parser: its states, its frames, its tools.
 *
 * Only for ser.c (the message around a value), ser_item.c (tags) and ser_frame.c (what is built).
 */
#ifndef FM_JMX_RMI_SER_PARSE_PRIV_H
#define FM_JMX_RMI_SER_PARSE_PRIV_H

#include "jmx/rmi/ser_priv.h"

/* Where the parser stands in a message. */
enum fm_ser_phase {
    FM_SER_PHASE_IDLE,
    FM_SER_PHASE_RETURN, /* byte 0x51 */
    FM_SER_PHASE_MAGIC,
    FM_SER_PHASE_HEAD, /* blocks with return code and UID */
    FM_SER_PHASE_BOOL, /* a block with the boolean */
    FM_SER_PHASE_VALUE,
    FM_SER_PHASE_DONE
};

/* What the frame on top (or the top level) asks for next. */
enum fm_ser_want {
    FM_SER_WANT_NONE, /* nothing: run the frame on top */
    FM_SER_WANT_VALUE,
    FM_SER_WANT_DESC, /* a class descriptor or null */
    FM_SER_WANT_STRING, /* not null */
    FM_SER_WANT_NOTE /* a value, a block, or the end of the annotation */
};

enum fm_ser_frame_kind {
    FM_SER_IN_DESC,
    FM_SER_IN_PROXY,
    FM_SER_IN_OBJECT,
    FM_SER_IN_ARRAY,
    FM_SER_IN_ENUM,
    FM_SER_IN_CLASS
};

struct fm_ser_frame {
    enum fm_ser_frame_kind kind;
    int step;
    struct fm_ser_node *node; /* being built */
    struct fm_ser_desc *desc; /* FM_SER_IN_DESC, FM_SER_IN_PROXY */
    size_t at; /* class of an object */
    size_t i; /* field or element */
    size_t n; /* elements announced */
};

/* ser.c: shared by the files of the parser */
enum fm_code fm_ser_bad(struct fm_ser *p, struct fm_err *err, const char *what);
enum fm_code fm_ser_over(struct fm_ser *p, struct fm_err *err, const char *what, size_t limit);
enum fm_code fm_ser_no_memory(struct fm_ser *p, struct fm_err *err);
enum fm_code fm_ser_count(struct fm_ser *p, size_t n, struct fm_err *err);
enum fm_code fm_ser_new_node(struct fm_ser *p, enum fm_ser_kind kind, struct fm_ser_node **out,
                             struct fm_err *err);
enum fm_code fm_ser_add_handle(struct fm_ser *p, struct fm_ser_node *node, struct fm_err *err);
enum fm_code fm_ser_push(struct fm_ser *p, enum fm_ser_frame_kind kind, enum fm_ser_want want,
                         struct fm_err *err);
enum fm_code fm_ser_copy_text(struct fm_ser *p, const unsigned char *bytes, size_t len,
                              struct fm_text *out, struct fm_err *err);
/** An event for the trace, if one is wanted. */
void fm_ser_note(struct fm_ser *p, size_t at, size_t handle, bool reference);
bool fm_ser_take_utf(struct fm_cursor *cur, const unsigned char **bytes, uint16_t *len);
/** Whether n further bytes can come at all within the limit of the answer. */
bool fm_ser_fits(const struct fm_ser *p, uint64_t n);
size_t fm_ser_position(const struct fm_ser *p);

/* ser_memo.c: class descriptors that came before; see there. */

/** If the descriptor at the cursor (behind its tag) is known: take it. @return whether it was */
bool fm_ser_memo_take(struct fm_ser *p, struct fm_err *err, enum fm_code *code);
/** One begins that is not known; position: of the byte behind its tag. */
void fm_ser_memo_begin(struct fm_ser *p, size_t position);
/** It refers to a handle. */
void fm_ser_memo_reference(struct fm_ser *p, uint32_t handle);
/** It is of a kind that is not kept. */
void fm_ser_memo_spoil(struct fm_ser *p);
/** A descriptor has ended, and its frame is gone. */
void fm_ser_memo_end(struct fm_ser *p);
/** Forget all. */
void fm_ser_memo_clear(struct fm_ser *p);

/* ser_item.c: one tag with what follows it at once; FM_EAGAIN leaves everything as it was. */
enum fm_code fm_ser_take_item(struct fm_ser *p, struct fm_err *err);

/* ser_frame.c: steps of the frames on top, until one wants something or none is left. */
enum fm_code fm_ser_run_frames(struct fm_ser *p, struct fm_err *err);

#endif
