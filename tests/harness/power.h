/* power.h - what a power cut leaves of a spool's folder.
 *
 * Every change that SQLite makes to its files is recorded; afterwards the folder can be put into
 * the state of a cut behind any of them: what was synced is there, and of what was not, nothing,
 * all, some, or half of the last write. */
#ifndef FM_TEST_POWER_H
#define FM_TEST_POWER_H

#include <stddef.h>

enum power_kind { POWER_NOTHING, POWER_ALL, POWER_SOME, POWER_TORN, POWER_KINDS };

struct power;

/** Record what happens to the files in dir from now on. */
struct power *power_record(const char *dir);
/** Changes recorded so far. */
size_t power_count(struct power *p);
/** The folder itself was synced: what was deleted so far does not come back. */
void power_folder_synced(struct power *p);
/** Record no more. */
void power_stop(struct power *p);
/** Put the folder into the state of a cut behind n changes. The database stays the same file: its
 * inode number is a part of a spool's identity. */
void power_cut(struct power *p, size_t n, enum power_kind kind, unsigned seed);
void power_free(struct power *p);

#endif
