/* config/ini_priv.h - the text of a file, as it is looked at before and beside the library. */
#ifndef FM_CONFIG_INI_PRIV_H
#define FM_CONFIG_INI_PRIV_H

#include "config/build_priv.h"

struct fm_ini_head {
    const char *name; /* in the arena */
    unsigned line;
    bool torn; /* a line of its section cannot be read: what seems to be missing may stand there */
};

/* A key as it stands in the text; for telling what stands twice. */
struct fm_ini_key {
    const char *key; /* not terminated */
    size_t len;
    size_t head; /* of its section: its place in heads, and one more; 0: before the first */
    unsigned line;
};

struct fm_ini_text {
    const char *file;
    const char *data;
    size_t len;
    bool exposed;
    struct fm_ini_head *heads; /* malloc'ed */
    size_t n_heads;
    size_t at; /* of the section at hand, as fm_ini_key.head */
    struct fm_ini_key *keys; /* malloc'ed */
    size_t n_keys, room;
    unsigned char *bad; /* malloc'ed; by line: it cannot be read, and that was told */
    unsigned n_lines;
};

/** Look at every line; tell what the library would not tell, or not well. @return false: it makes
 * no sense to read on */
bool fm_ini_look(struct fm_build *b, struct fm_ini_text *t);

/** A line cannot be read; its section is torn. */
void fm_ini_mark(struct fm_ini_text *t, unsigned line);

/** Append the text without the lines that cannot be read: empty lines stand for them, heads are
 * mended, so that what follows is not taken for a part of the section before. */
void fm_ini_clean(const struct fm_ini_text *t, struct fm_buf *out);

void fm_ini_text_clear(struct fm_ini_text *t);

#endif
