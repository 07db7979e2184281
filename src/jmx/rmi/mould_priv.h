/* jmx/rmi/mould_priv.h - answers seen before, with holes where their values stand.
 *
 * A poll asks the same attributes of the same MBeans again and again, and the answers differ only
 * in numbers and texts. So an answer that comes a second time is kept as a mould: its bytes, what
 * of them may differ, and the value it became. From the third time on an answer is only compared
 * with the mould, the holes are read and the value is copied, with exactly the outcome that parsing
 * and converting it has; whatever does not fit is parsed as ever.
 *
 * One thread at a time. The moulds of all sessions of a thread lie together, since many JVMs give
 * the same answers; their memory is bounded, and what was not used for the longest time goes. */
#ifndef FM_JMX_RMI_MOULD_PRIV_H
#define FM_JMX_RMI_MOULD_PRIV_H

#include "jmx/rmi/convert_priv.h"

enum {
    FM_MOULD_MAX_ANSWER = 16 * 1024, /* bytes of an answer */
    FM_MOULD_MAX_BLOCK = 32 * 1024, /* ... of the value it becomes */
    FM_MOULD_MAX_HANDLES = 1024,
    FM_MOULD_MAX_SLOTS = 512,
    FM_MOULD_UNIT = 8 /* where pointers may lie in the block */
};

enum fm_mould_fit { FM_MOULD_NONE, FM_MOULD_MORE /* bytes are missing yet */, FM_MOULD_FITS };

/* What stands behind the bytes of a step that must be the same. */
enum fm_mould_kind {
    FM_MOULD_ANY, /* arg bytes that nobody reads */
    FM_MOULD_REFERENCE, /* to what had the number arg in the mould */
    FM_MOULD_FIRST, /* the value of a box whose class came with it: slot arg */
    FM_MOULD_BOX, /* a box of a class that came before, or a reference to such a box: slot arg */
    FM_MOULD_TEXT, /* a String, a reference to one of the other slots, or null: slot arg */
    FM_MOULD_END
};

struct fm_mould_step {
    uint32_t at; /* in the bytes: len of them come first, unchanged */
    uint16_t len;
    uint16_t handles; /* that these bytes give numbers to */
    uint16_t kind;
    uint16_t arg;
};

/* A place for a value. */
struct fm_mould_slot {
    uint32_t at; /* of a struct fm_value in the block */
    uint16_t desc; /* number of its class descriptor */
    char type; /* of a box; 'L' for a text */
    bool numbered; /* it had a number of its own: it was no reference */
};

struct fm_mould {
    struct fm_mould *next; /* with the same place in the table */
    uint64_t used; /* when */
    uint32_t key;
    size_t size; /* of all this */
    bool object_fields; /* as it was converted */
    const unsigned char *bytes;
    struct fm_mould_step *steps; /* the last one is FM_MOULD_END */
    struct fm_mould_slot *slots;
    unsigned char *block; /* the value; pointers in it are distances from its beginning */
    uint16_t *pointers; /* where they are, in units */
    size_t n_steps, n_slots, n_pointers, block_len;
};

/** Read the answer at the beginning of data if one of the moulds with this key fits.
 * @param data  stands behind the answer on FM_MOULD_FITS, else where it stood
 * @param max_bytes  limit of an answer
 * @param out  the value, in the arena */
enum fm_mould_fit fm_moulds_take(struct fm_moulds *m, uint32_t key,
                                 const struct fm_jmx_convert *opts, struct fm_cursor *data,
                                 size_t max_bytes, struct fm_arena *arena, struct fm_value *out);

/** An answer with this key fits no mould. @return what the parser is to write down of it, so that
 * it can be learned; NULL: not this time */
struct fm_ser_trace *fm_moulds_wants(struct fm_moulds *m, uint32_t key);

/** Make a mould of an answer that was just read as a whole.
 * @param data  its bytes, len of them
 * @param value  what it became; OBJECT */
void fm_moulds_learn(struct fm_moulds *m, uint32_t key, const struct fm_jmx_convert *opts,
                     const struct fm_ser *ser, const void *data, size_t len,
                     const struct fm_value *value);

/* mould_learn.c: one block of memory; NULL if no mould can be made of it. */
struct fm_mould *fm_mould_new(const struct fm_jmx_convert *opts, const struct fm_ser *ser,
                              const unsigned char *data, size_t len, const struct fm_value *value);

/* mould.c: one mould. @return as fm_moulds_take() */
enum fm_mould_fit fm_mould_fill(const struct fm_mould *mould, struct fm_cursor *cur,
                                struct fm_arena *arena, struct fm_value *out);

#endif
