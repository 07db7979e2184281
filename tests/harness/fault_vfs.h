/* fault_vfs.h - a file system for SQLite that fails, or ends the process, at the n-th changing
 * call.
 *
 * Changing calls are write, truncate, sync and delete. Installed as SQLite's default, so that the
 * code under test needs no hook. One plan for the whole process. */
#ifndef FM_TEST_FAULT_VFS_H
#define FM_TEST_FAULT_VFS_H

#include <stdbool.h>
#include <stddef.h>

enum fault_kind {
    FAULT_NONE,
    FAULT_EXIT_BEFORE, /* _exit(9) instead of the call */
    FAULT_EXIT_AFTER,
    FAULT_EXIT_HALF, /* after half of a write */
    FAULT_FULL, /* no space left: writes and truncations, not syncs */
    FAULT_EIO
};

/** Make it SQLite's default file system. */
void fault_install(void);
/** At the n-th changing call from now (1 = the next), and the times - 1 after it. */
void fault_plan(enum fault_kind kind, unsigned n, unsigned times);
/** Fail reads too: from now on the n-th read gives FAULT_EIO, times in all. */
void fault_plan_read(unsigned n, unsigned times);
/** Changing calls since the last plan. */
unsigned fault_calls(void);
/** Whether the planned fault happened. */
bool fault_fired(void);
enum fault_call { FAULT_WRITE, FAULT_TRUNCATE, FAULT_SYNC, FAULT_DELETE };

/** A changing call that has succeeded. */
struct fault_op {
    enum fault_call call;
    const char *path;
    const void *data; /* WRITE */
    size_t n; /* ... its bytes */
    long long at; /* WRITE: where; TRUNCATE: the new size */
    bool synced; /* DELETE: the folder was synced too */
};

/** Have each of them told, on the thread that did it; NULL: no more. */
void fault_watch(void (*fn)(const struct fault_op *op, void *arg), void *arg);

/** Connections' main databases opened so far. */
unsigned fault_opens(void);

#endif
