/* jmx/rmi/ser_priv.h - reading Java serialization streams (protocol version 1, as RMI writes them).
 *
 * The bytes are a stranger's. The parser keeps an explicit stack of frames and never recurses by
 * input; when bytes run out it returns FM_EAGAIN and goes on from there with the next ones. It
 * knows by itself where an answer ends. Every limit of the reference (section 15) is checked before
 * anything is allocated for what was announced; memory grows with the bytes received.
 *
 * Sources of the wire facts: Java Object Serialization Specification, chapter 6, and captures of
 * JDK 8 to 28 (tests/data/jmx-vectors). One thread at a time; nothing blocks. */
#ifndef FM_JMX_RMI_SER_PRIV_H
#define FM_JMX_RMI_SER_PRIV_H

#include <stdint.h>

#include "base/arena.h"
#include "base/cursor.h"
#include "firstmile/err.h"
#include "value/value.h"

enum {
    FM_SER_MAX_FRAMES = 320, /* open values and descriptors; 13 were seen */
    FM_SER_MAX_CHAIN = 64, /* classes of an object; 6 were seen */
    FM_SER_MAX_HANDLES = 200000, /* 5,400 were seen */
    FM_SER_MAX_ELEMENTS = 500000, /* array elements, annotation items and fields together */
    FM_SER_MAX_FIELDS = 1024, /* of a class */
    FM_SER_MAX_INTERFACES = 256, /* of a proxy */
    FM_SER_MAX_TEXT = 1024 * 1024 /* a string or a block, in bytes */
};

enum fm_ser_kind {
    FM_SER_NULL,
    FM_SER_STRING,
    FM_SER_OBJECT,
    FM_SER_ARRAY,
    FM_SER_ENUM,
    FM_SER_CLASS, /* a java.lang.Class; its desc tells which */
    FM_SER_DESC, /* a class descriptor; legal as a value */
    FM_SER_TIME, /* a java.time value, already as ISO-8601 text */
    FM_SER_BLOCK, /* raw bytes; only among annotations */
    FM_SER_END /* end of annotations; never seen outside the parser */
};

/* Flags of a class descriptor. */
enum {
    FM_SER_WRITE_METHOD = 0x01,
    FM_SER_SERIALIZABLE = 0x02,
    FM_SER_EXTERNALIZABLE = 0x04,
    FM_SER_BLOCK_DATA = 0x08,
    FM_SER_IS_ENUM = 0x10
};

struct fm_ser_node;

struct fm_ser_field {
    const char *name;
    char type; /* B C D F I J S Z L [ */
};

struct fm_ser_desc {
    const char *name; /* "" for a proxy */
    const char *proxied; /* first interface of a proxy; NULL for other classes */
    struct fm_ser_field *fields;
    const struct fm_ser_node *super; /* a DESC; NULL at the top */
    uint16_t n_fields;
    uint8_t flags;
    uint8_t chain; /* classes from here to the top */
};

struct fm_ser_value {
    char type; /* of the field or element: L and [ hold a node */
    union {
        int64_t i; /* B C I J S Z */
        float f;
        double d;
        const struct fm_ser_node *node; /* never NULL; its kind need not fit the declared type */
    };
};

struct fm_ser_list {
    const struct fm_ser_node **items;
    size_t n;
    size_t cap;
};

/* What one class of the chain wrote. */
struct fm_ser_class {
    const struct fm_ser_desc *desc;
    struct fm_ser_value *values; /* one per field; NULL if cut off */
    struct fm_ser_list notes; /* the annotation: blocks and values */
};

struct fm_ser_node {
    enum fm_ser_kind kind;
    bool complete; /* a descriptor that may be used */
    const struct fm_ser_desc *desc; /* OBJECT, ARRAY, ENUM, CLASS, DESC */
    union {
        struct fm_text text; /* STRING, TIME: UTF-8; BLOCK: bytes */
        const struct fm_ser_node *name; /* ENUM: a STRING */
        struct {
            struct fm_ser_class *classes; /* the topmost first */
            size_t n;
        } object;
        struct {
            struct fm_ser_list list; /* elements that are values */
            const unsigned char *raw; /* primitive elements, big-endian */
            size_t n;
            char type; /* B C D F I J S Z L [ */
        } array;
    };
};

/* What a return carries; only the caller knows, by the method called. */
enum fm_ser_expect { FM_SER_VOID, FM_SER_VALUE, FM_SER_BOOL };

/* Where in an answer objects get their numbers and are referred to: for moulds. */
struct fm_ser_event {
    uint32_t at; /* byte behind what tells a new object, or of a reference's number */
    uint32_t handle;
    bool reference;
};

struct fm_ser_trace {
    struct fm_ser_event *events; /* owned by whoever owns this */
    size_t n;
    size_t cap;
    bool spoilt; /* not all could be written down */
};

struct fm_ser_frame; /* private */
struct fm_ser_slot; /* private: ser_memo.c */

enum { FM_SER_MEMO_REFS = 8 };

/* Class descriptors that came before, and the one that is being read. Private: ser_memo.c. */
struct fm_ser_memo {
    struct fm_arena arena;
    struct fm_ser_slot *slots;
    bool full;
    bool noting;
    size_t depth; /* where the one being read began: frames, byte, handle, elements */
    size_t at;
    size_t first;
    size_t elements;
    uint32_t before[FM_SER_MEMO_REFS];
    size_t n_before;
};

struct fm_ser {
    /* the outcome, valid once fm_ser_feed() gave FM_OK */
    const struct fm_ser_node *root; /* the value or the exception; NULL for void and boolean */
    bool boolean;
    bool exception; /* return code 2, or stream_exception */
    bool stream_exception; /* the server failed while writing (TC_EXCEPTION); it closes now */
    size_t bytes; /* of the answer, so far */
    unsigned char uid[14]; /* of the return */
    /* private */
    size_t max_bytes;
    enum fm_ser_expect expect;
    unsigned char phase;
    unsigned char want;
    unsigned char head[16];
    size_t head_len;
    struct fm_arena arena; /* all nodes */
    struct fm_ser_frame *frames;
    size_t depth;
    size_t cap;
    struct fm_ser_node **handles;
    size_t n_handles;
    size_t cap_handles;
    size_t elements;
    struct fm_ser_node *got;
    struct fm_cursor cur;
    size_t start; /* bytes before cur.data */
    struct fm_ser_memo memo; /* outlives the answer */
    struct fm_ser_trace *trace; /* of this answer; NULL: not wanted */
};

/** @param max_bytes  limit of one answer; 0: 8 MiB */
void fm_ser_init(struct fm_ser *ser, size_t max_bytes);

/** Free everything; call fm_ser_init() before using it again. */
void fm_ser_clear(struct fm_ser *ser);

/** Begin the next return message (from its byte 0x51 on). Nodes of the last one are gone. What
 * trace points to is filled; set it afterwards, if at all. */
void fm_ser_begin_return(struct fm_ser *ser, enum fm_ser_expect expect);

/** Begin a bare stream with one value (a /stub/ URL). */
void fm_ser_begin_stream(struct fm_ser *ser);

/** Read on. Bytes that could not be used yet must come again with the next call.
 * @param used  bytes used of data, also on FM_EAGAIN
 * @return FM_OK (complete), FM_EAGAIN (more is needed), FM_EPROTO, FM_ELIMIT or FM_ENOMEM */
FM_MUST_USE enum fm_code fm_ser_feed(struct fm_ser *ser, const void *data, size_t len, size_t *used,
                                     struct fm_err *err);

/* node.c: looking at nodes. None of these trusts a declared type. */

/** @return false without memory, or at the arena's limit */
bool fm_ser_list_add(struct fm_ser_list *list, const struct fm_ser_node *node,
                     struct fm_arena *arena);

/** Whether this is an OBJECT whose class or one of its superclasses has this name. */
bool fm_ser_is_a(const struct fm_ser_node *node, const char *class_name);

/** The name of an object's class, for people; an interface's name for a proxy. */
const char *fm_ser_class_name(const struct fm_ser_node *node);

/** What the class of this name wrote in an object; NULL if it is not in the chain. */
const struct fm_ser_class *fm_ser_class_of(const struct fm_ser_node *node, const char *class_name);

/** The value of a field, searched from the class itself up; NULL: no such field. */
const struct fm_ser_value *fm_ser_field(const struct fm_ser_node *node, const char *field);

/** The same for a field that holds an object; NULL if it is absent or primitive. */
const struct fm_ser_node *fm_ser_child(const struct fm_ser_node *node, const char *field);

/** The text of a String; NULL for every other node. */
const char *fm_ser_string(const struct fm_ser_node *node);

/** Element i of a primitive array. */
struct fm_ser_value fm_ser_element(const struct fm_ser_node *array, size_t i);

/** Bytes of one element of a primitive type; 0 for L and [ and unknown codes. */
size_t fm_ser_width(char type);

/** Reads an annotation: primitives over blocks however they are split, and objects between. */
struct fm_ser_reader {
    const struct fm_ser_list *list;
    size_t item;
    size_t at; /* in the current block */
};

void fm_ser_reader_init(struct fm_ser_reader *r, const struct fm_ser_list *list);

/** n bytes of block data. @return false if an object or the end comes first */
bool fm_ser_reader_bytes(struct fm_ser_reader *r, void *out, size_t n);
bool fm_ser_reader_i32(struct fm_ser_reader *r, int32_t *out);
bool fm_ser_reader_i64(struct fm_ser_reader *r, int64_t *out);

/** The next object, stepping over what is left of block data; NULL at the end. */
const struct fm_ser_node *fm_ser_reader_next(struct fm_ser_reader *r);

/** Whether block data is left before the next object (or the end). */
bool fm_ser_reader_more_bytes(struct fm_ser_reader *r);

/** Whether everything has been read. */
bool fm_ser_reader_done(struct fm_ser_reader *r);

/* mutf8.c */

/** Modified UTF-8 to UTF-8: surrogate pairs joined, C0 80 a NUL, anything else that is not legal
 * U+FFFD. @param out  NULL: only count @return bytes of the result */
size_t fm_mutf8_decode(const unsigned char *in, size_t len, char *out);

/** How many bytes at the beginning are ASCII, and so the same in UTF-8. */
size_t fm_mutf8_ascii(const unsigned char *in, size_t len);

/** One UTF-16 unit in the form of three bytes, which fm_mutf8_decode() joins and checks. */
void fm_mutf8_unit(unsigned char out[3], int64_t unit);

/* time.c */

/** Read what java.time.Ser wrote (from its kind byte on) as the text of toString().
 * @return FM_OK, FM_EAGAIN (the cursor stands where it stood), FM_EPROTO */
FM_MUST_USE enum fm_code fm_ser_time(struct fm_cursor *cur, struct fm_buf *out);

#endif
