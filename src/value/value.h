/* value/value.h - the value tree: what every transport fills and record prints.
 *
 * The kinds are those of the JSON mapping (design, section 5), chosen by the Java type and never by
 * the value. All memory lies in the arena of the poll; nothing is freed alone. A tree is built by
 * one thread and may then be read by any. */
#ifndef FM_VALUE_VALUE_H
#define FM_VALUE_VALUE_H

#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"

enum fm_value_kind {
    FM_V_NULL,
    FM_V_BOOL,
    FM_V_INT, /* exact to 64 bits */
    FM_V_FLOAT, /* Java float */
    FM_V_DOUBLE, /* Java double */
    FM_V_NUMBER, /* a JSON number beyond 64 bits, as text (only from Jolokia) */
    FM_V_STRING, /* valid UTF-8 */
    FM_V_BYTES, /* printed as base64 */
    FM_V_ARRAY,
    FM_V_OBJECT /* members keep their order; keys are unique */
};

struct fm_text {
    const char *ptr; /* terminated too, but may hold NUL bytes */
    size_t len;
};

struct fm_value {
    enum fm_value_kind kind;
    union {
        bool b;
        int64_t i;
        float f;
        double d;
        struct fm_text text; /* STRING, BYTES, NUMBER */
        struct {
            struct fm_value *items;
            size_t n;
        } array;
        struct {
            struct fm_member *members;
            size_t n;
        } object;
    };
};

struct fm_member {
    struct fm_text key;
    struct fm_value value;
};

/** Print as JSON, appended to buf. Iterates within FM_VALUE_DEPTH; deeper values become null. */
enum { FM_VALUE_DEPTH = 256 };
void fm_value_print(struct fm_buf *buf, const struct fm_value *value,
                    enum fm_json_nonfinite nonfinite);

/** The member of an object. @return NULL if value is no object or has none of that name */
const struct fm_value *fm_value_member(const struct fm_value *value, const char *key, size_t len);

/** Follow a path such as "HeapMemoryUsage/used": '/' separates, '\' escapes the next character;
 * digits index arrays. @return NULL if the path leads nowhere; value itself for "" */
const struct fm_value *fm_value_path(const struct fm_value *value, const char *path);

/** Append a step to a path as fm_value_path() reads it: '/' before all but the first, escapes. */
void fm_value_put_step(struct fm_buf *path, const char *key, size_t len);

/** Set *out to a string in the arena. @return false without memory */
bool fm_value_set_text(struct fm_value *out, struct fm_arena *arena, enum fm_value_kind kind,
                       const char *text, size_t len);

#endif
