/* frame/pack_priv.h - the stored form of a chunk made small, for chunk.c only. Any thread.
 *
 * LZ4, because it costs less CPU than the pages that it saves: records of a poll are alike, and a
 * seventh of them goes to the disk. */
#ifndef FM_FRAME_PACK_PRIV_H
#define FM_FRAME_PACK_PRIV_H

#include "base/buf.h"

/** Whether these bytes were made by fm_pack(). */
bool fm_pack_is(const void *data, size_t len);

/** Pack data into out, which is empty. @return false: not worth it, or no memory; out is undefined
 */
bool fm_pack(struct fm_buf *out, const void *data, size_t len);

/** Unpack into out, which is empty. Of a damaged block the beginning is right and zeros follow: the
 * checksums of the records tell which.
 * @return FM_OK, FM_EDAMAGE (no length to go by) or FM_ENOMEM */
FM_MUST_USE enum fm_code fm_unpack(struct fm_buf *out, const void *data, size_t len,
                                   struct fm_err *err);

#endif
