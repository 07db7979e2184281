/* config/secret.h - a password or token, written in the configuration or in a file of its own.
 *
 * A file is opened once without following links, checked on the descriptor (a regular file, owned
 * by us or root, closed to group and others), and read again when it changes. Any thread. */
#ifndef FM_CONFIG_SECRET_H
#define FM_CONFIG_SECRET_H

#include "base/buf.h"

enum { FM_SECRET_MAX = 64 * 1024 };

struct fm_secret; /* opaque: config/secret.c */

/** The secret's present value, replacing out's content (terminated by fm_buf_str()).
 * NULL secret: empty. Reads the file again if it changed; may block on the disk.
 * Wipe out with fm_secret_wipe() after use.
 * @return FM_OK; also when a changed file cannot be read (now): the last good value is given, and
 *         err holds the sentence. FM_ECONF if it was never readable; FM_ENOMEM */
FM_MUST_USE enum fm_code fm_secret_get(struct fm_secret *secret, struct fm_buf *out,
                                       struct fm_err *err);

/** The file it comes from; NULL if it stands in the configuration. Borrowed. */
const char *fm_secret_file(const struct fm_secret *secret);

/** The content of a password file, under the same rules, for commands. Wipe out after use. */
FM_MUST_USE enum fm_code fm_secret_read_file(const char *path, struct fm_buf *out,
                                             struct fm_err *err);

/** Overwrite and free the buffer. */
void fm_secret_wipe(struct fm_buf *buf);

#endif
