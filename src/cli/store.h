/* cli/store.h - a way to the spool: the control socket of who holds it, or the store itself.
 *
 * Both answer the same requests (agent/control.h), so that a command does not care. Main thread. */
#ifndef FM_CLI_STORE_H
#define FM_CLI_STORE_H

#include "cli/cmd.h"
#include "config/config.h"
#include "spool/spool.h"

struct fm_store {
    struct fm_config *config; /* borrowed */
    struct fm_cli *cli; /* borrowed */
    const char *path; /* of the spool; NULL: it is in the agent's memory */
    struct fm_spool *spool; /* opened here; NULL: ask the socket */
    char socket[256];
    int pid; /* of the holder; 0: nobody, or unknown */
};

/** Find the way. Opens the store only when nobody holds its lock.
 * @param dir  --spool; NULL: as configured
 * @return FM_OK; FM_ELOCKED (who holds it has no socket; the sentence names it); FM_ENOTFOUND (no
 *         spool there); FM_ESYS */
FM_MUST_USE enum fm_code fm_store_open(struct fm_store *store, struct fm_cli *cli,
                                       struct fm_config *config, const char *dir,
                                       struct fm_err *err);
void fm_store_close(struct fm_store *store);

/** One request (a JSON object), one answer. An error that the other side reports becomes the
 * result. @param answer  appended */
FM_MUST_USE enum fm_code fm_store_ask(struct fm_store *store, const char *request,
                                      struct fm_buf *answer, struct fm_err *err);

#endif
