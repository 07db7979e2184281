/* base/base64.h - RFC 4648 base64, standard alphabet, padded. Pure, any thread. */
#ifndef FM_BASE_BASE64_H
#define FM_BASE_BASE64_H

#include "base/buf.h"

void fm_base64_put(struct fm_buf *out, const void *data, size_t len);

/** Decode strictly: padding required, no white space. @return false on any other input */
bool fm_base64_get(struct fm_buf *out, const char *text, size_t len);

#endif
