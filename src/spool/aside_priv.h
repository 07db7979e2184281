/* spool/aside_priv.h - damaged databases, set aside into dated folders.
 *
 * While what can be read is taken over, the folder is called mending-...; with the commit of all
 * that it gets its name for good, damaged-... So a start knows that an earlier one was ended in the
 * middle, and takes it over once more. */
#ifndef FM_SPOOL_ASIDE_PRIV_H
#define FM_SPOOL_ASIDE_PRIV_H

#include "spool/spool_priv.h"

/* Bytes of the database's files in a folder. */
uint64_t folder_bytes(int fd);
/* Move the database's files into a new folder (sp->mending), whose path comes back; remove the
 * oldest such folders, so that at most 3 are kept and together at most max_size bytes. */
FM_MUST_USE enum fm_code set_aside(struct fm_spool *sp, char *out, size_t size, struct fm_err *err);
/* Remember where the newest of these folders lies. */
void aside_look(struct fm_spool *sp);
/* Whether an earlier process ended while it took over what a folder holds: sp->mending then.
 * Changes nothing. */
bool aside_unfinished(struct fm_spool *sp);
/* What that process had not moved yet follows; only where there is no database. */
void aside_gather(const struct fm_spool *sp);
/* Bytes in sp->mending; its path. */
uint64_t aside_bytes(const struct fm_spool *sp);
FM_MUST_USE enum fm_code aside_path(const struct fm_spool *sp, char *out, size_t size,
                                    struct fm_err *err);
/* All was taken over, and committed. Nothing happens unless sp->mending is set. */
void aside_done(struct fm_spool *sp);
/* The database that nothing was taken over into yet goes. */
void aside_drop_new(const struct fm_spool *sp);

#endif
