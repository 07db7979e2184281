/* agent/control.h - the control socket: commands of the same user look into a running agent.
 *
 * A Unix socket of mode 0600. A client sends one JSON object on one line and gets one JSON object
 * on one line; an answer that is longer than a page says "more":true and the client asks again
 * behind its last item. Served by the main thread; a request may hold it for at most CONTROL_MS. */
#ifndef FM_AGENT_CONTROL_H
#define FM_AGENT_CONTROL_H

#include "base/buf.h"
#include "base/log.h"
#include "spool/spool.h"

struct fm_control; /* opaque: agent/control.c */

struct fm_control_opts {
    const char *path; /* of the socket; an old one is replaced */
    struct fm_spool *spool; /* borrowed */
    struct fm_log *log;
};

/** Listen. @return FM_OK, FM_ECONF (path too long for a Unix socket) or FM_ESYS */
FM_MUST_USE enum fm_code fm_control_open(struct fm_control **out,
                                         const struct fm_control_opts *opts, struct fm_err *err);

/** The listening descriptor, for poll(). */
int fm_control_fd(const struct fm_control *control);

/** Serve one waiting client, if there is one. */
void fm_control_serve(struct fm_control *control);

/** Close and remove the socket. NULL is allowed. */
void fm_control_close(struct fm_control *control);

/** Answer one request (a JSON text) into out: the part without the socket. */
void fm_control_answer(struct fm_spool *spool, const char *request, size_t len, struct fm_buf *out);

#endif
