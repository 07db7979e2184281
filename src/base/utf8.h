/* base/utf8.h - UTF-8 checks for text that comes from outside. Pure functions, any thread. */
#ifndef FM_BASE_UTF8_H
#define FM_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Length in bytes (1..4) of the valid sequence at s (at most len bytes), 0 if none starts there.
 * Overlong forms, surrogates and values above U+10FFFF are invalid (RFC 3629). */
size_t fm_utf8_step(const char *s, size_t len);

/** Bytes up to the first that does not belong to valid UTF-8; len if all do. */
size_t fm_utf8_until(const char *s, size_t len);

/** Whether all len bytes are valid UTF-8. */
bool fm_utf8_valid(const char *s, size_t len);

/** Write code point cp (a surrogate or a value above U+10FFFF becomes U+FFFD).
 * @param out  room for 4 bytes @return bytes written */
size_t fm_utf8_put(char *out, uint32_t cp);

/** Drop an incomplete sequence from the end of a terminated string that was cut by length. */
void fm_utf8_cut(char *text);

#endif
