/* base/jscan.h - a bounded pull scanner for JSON that a stranger sent (RFC 8259).
 *
 * For answers of REST proxies and Jolokia replies: builds no tree, refuses no legal number, reads a
 * sequence of values (the v3 produce stream) as well as one. Iterative; depth at most
 * FM_JSCAN_DEPTH. Borrows the text; one thread at a time. */
#ifndef FM_BASE_JSCAN_H
#define FM_BASE_JSCAN_H

#include "base/buf.h"

enum { FM_JSCAN_DEPTH = 128 };

enum fm_jtoken {
    FM_J_END, /* nothing but white space is left, at top level */
    FM_J_ERROR,
    FM_J_OBJECT, /* { */
    FM_J_OBJECT_END, /* } */
    FM_J_ARRAY, /* [ */
    FM_J_ARRAY_END, /* ] */
    FM_J_KEY, /* member name; its value is the next token */
    FM_J_STRING,
    FM_J_NUMBER,
    FM_J_TRUE,
    FM_J_FALSE,
    FM_J_NULL
};

struct fm_jscan {
    const char *data;
    size_t len;
    size_t at;
    const char *text; /* of KEY, STRING: between the quotes, still escaped; of NUMBER: as written */
    size_t text_len;
    unsigned depth;
    unsigned char expect; /* private: what may come next */
    bool cut; /* an ERROR because the text ended too early */
    unsigned char kinds[FM_JSCAN_DEPTH]; /* private: '{' or '[' of each open level */
};

void fm_jscan_init(struct fm_jscan *s, const char *data, size_t len);

/** The next token. After FM_J_ERROR every call gives FM_J_ERROR. */
enum fm_jtoken fm_jscan_next(struct fm_jscan *s);

/** After a token that opens a value (or a scalar): step over the rest of that value.
 * @param token  what fm_jscan_next() gave @return false on an error in it */
bool fm_jscan_skip(struct fm_jscan *s, enum fm_jtoken token);

/** Whether the current KEY or STRING is, unescaped, this text. */
bool fm_jscan_is(const struct fm_jscan *s, const char *text);

/** The current KEY or STRING unescaped, appended to out; lone surrogates become U+FFFD. */
void fm_jscan_string(const struct fm_jscan *s, struct fm_buf *out);

/** The current NUMBER as an integer. @return false for a fraction, an exponent or beyond 64 bits */
bool fm_jscan_i64(const struct fm_jscan *s, int64_t *out);

/** The current NUMBER as a double. */
double fm_jscan_double(const struct fm_jscan *s);

/** A number that a double may not keep: with an exponent or longer than 17 characters.
 * @return whether it is fit */
typedef bool fm_jscan_number(void *arg, const char *text, size_t len);

/** A quick look at a text that is nearly always right, several times as fast as the tokens.
 * @param number  asked for each such number; NULL: all are fit
 * @return true: this is one JSON object or array, not empty, in UTF-8, at most 64 levels deep, and
 *         no string holds half a character, and no object a name twice. false: it may be that all
 * the same; look properly */
bool fm_jscan_is_plain(const char *text, size_t len, fm_jscan_number *number, void *arg);

#endif
