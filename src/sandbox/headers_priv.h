/* sandbox/headers_priv.h - headers of records as one run of bytes, as all stores keep them, and the
 * instants that v3 writes as text. Pure, any thread.
 *
 * A header is the length of its name and of its value (32 bits each, big end first; NO_VALUE:
 * null), the name with a zero behind it, and the value. */
#ifndef FM_SANDBOX_HEADERS_PRIV_H
#define FM_SANDBOX_HEADERS_PRIV_H

#include "base/buf.h"
#include "base/jscan.h"

struct fm_header {
    const char *name; /* terminated */
    size_t name_len;
    const char *value; /* NULL: null */
    size_t value_len;
};

void fm_headers_put(struct fm_buf *out, const struct fm_header *header);

/** The next one; *at and *left move behind it. @return false: there is none (or no whole one) */
bool fm_headers_next(const char **at, size_t *left, struct fm_header *out);

/** "headers":[{"name":...,"value":base64 or null}], with a comma behind; nothing if there is none
 */
void fm_headers_json(struct fm_buf *out, const char *packed, size_t len);

/** One header of a v3 request, behind its brace, to out. Takes no more room than it has in the
 * text.
 * @param bad  "" or what is wrong with it, in the real proxy's words
 * @return false: the text itself is broken */
bool fm_headers_scan(struct fm_jscan *s, struct fm_buf *out, char bad[300]);

/** "2026-01-31T12:00:00.123Z", the fraction free, or an offset in place of Z; to milliseconds since
 * 1970. @return false: it is something else */
bool fm_instant_parse(const char *text, size_t len, int64_t *ms);

#endif
