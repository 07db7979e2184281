/* base/jplain_priv.h - the pieces of the quick look at JSON: jplain.c has them, jlike.c uses them.
 */
#ifndef FM_BASE_JPLAIN_PRIV_H
#define FM_BASE_JPLAIN_PRIV_H

#include "base/jscan.h"

struct fm_jplain {
    const char *p, *end;
    uint64_t objects; /* a bit for each open level, the innermost lowest: it is an object */
    unsigned depth;
    fm_jscan_number *number;
    void *arg;
};

/* Where a member's name or a scalar stands in a text, quotes and all. */
struct fm_jplain_mark {
    uint32_t start, end;
    uint32_t hash; /* of a name */
    bool name;
};

/** A string, number or word; p stands on its first byte, and then behind it. */
bool fm_jplain_scalar(struct fm_jplain *s);

/** A member's name, the same way. @return false also where it is written with escapes, so that its
 * hash could not tell it from another one */
bool fm_jplain_name(struct fm_jplain *s, uint32_t *hash);

/** fm_jscan_is_plain(), with the places of names and scalars in order.
 * @param max  room in marks  @param n  how many there are: more than max were not all noted */
bool fm_jplain_marked(const char *text, size_t len, fm_jscan_number *number, void *arg,
                      struct fm_jplain_mark *marks, size_t max, size_t *n);

#endif
