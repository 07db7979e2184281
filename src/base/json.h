/* base/json.h - writing JSON straight into a buffer; no tree. Pure, any thread.
 *
 * Nothing checks the structure: the caller writes commas and brackets. Values are always valid. */
#ifndef FM_BASE_JSON_H
#define FM_BASE_JSON_H

#include "base/buf.h"

/** A string in quotes. Invalid UTF-8 becomes U+FFFD, controls and " \ are escaped; U+2028 and
 * U+2029 too, so that the text may stand in a script. */
void fm_json_str(struct fm_buf *buf, const char *text, size_t len);

/** fm_json_str() of a terminated string; NULL becomes null. */
void fm_json_cstr(struct fm_buf *buf, const char *text);

/** "name": with the colon. */
void fm_json_key(struct fm_buf *buf, const char *name);

/** What becomes of NaN and the infinities, which JSON cannot say. */
enum fm_json_nonfinite {
    FM_JSON_NONFINITE_NULL, /* null */
    FM_JSON_NONFINITE_STRING /* "NaN", "Infinity", "-Infinity" */
};

/** The shortest text that reads back as the same double, always with a fraction or an exponent. */
void fm_json_double(struct fm_buf *buf, double v, enum fm_json_nonfinite nonfinite);

/** As fm_json_double(), shortest for a float. */
void fm_json_float(struct fm_buf *buf, float v, enum fm_json_nonfinite nonfinite);

void fm_json_bool(struct fm_buf *buf, bool v);

/** Standard base64 with padding, in quotes. */
void fm_json_base64(struct fm_buf *buf, const void *data, size_t len);

#endif
