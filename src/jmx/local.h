/* jmx/local.h - the JVMs of this host: found through hsperfdata, opened through their published
 * local connector or, where allowed, the HotSpot attach protocol.
 *
 * Functions block on files (and attach on the JVM, within timeout_ms): call them from a helper
 * thread or a command, never from the poll thread. Any thread. */
#ifndef FM_JMX_LOCAL_H
#define FM_JMX_LOCAL_H

#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "firstmile/err.h"

enum fm_jvm_state {
    FM_JVM_OPEN, /* its local connector is published: can be polled now */
    FM_JVM_ATTACHABLE, /* attach would open it */
    FM_JVM_NO_ATTACH, /* started with -XX:+DisableAttachMechanism */
    FM_JVM_DENIED, /* of another user, and we are not root */
    FM_JVM_STARTING /* hsperfdata not yet complete */
};

struct fm_jvm {
    pid_t pid; /* as seen from here */
    pid_t ns_pid; /* inside its pid namespace */
    uid_t uid;
    gid_t gid;
    const char *user; /* name, or the number as text */
    const char *version; /* java.property.java.version (vm version if that is missing) */
    const char *command; /* sun.rt.javaCommand, whole; may hold secrets: not for logs */
    const char *name; /* last component of main class or jar: PART of NAME/PART */
    const char *address; /* service URL of the published local connector; NULL: none */
    int64_t start_ms; /* wall clock of the JVM's start; identity together with pid */
    enum fm_jvm_state state;
    bool other_network; /* lives in another network namespace */
    const char *note; /* why it cannot be polled, and the remedy; NULL: nothing to say */
};

/** All live HotSpot JVMs, by pid. Stale files, foreign files and links are skipped.
 * @param tmp_dir  NULL: /tmp (and each container's) - tests pass their own */
FM_MUST_USE enum fm_code fm_jvms_find(struct fm_jvm **out, size_t *n, struct fm_arena *arena,
                                      const char *tmp_dir, struct fm_err *err);

/** One JVM by pid. @return FM_OK, FM_ENOTFOUND, ... */
FM_MUST_USE enum fm_code fm_jvm_find(struct fm_jvm *out, pid_t pid, struct fm_arena *arena,
                                     struct fm_err *err);

/** The command line of its process, a blank between two words: for looking into, since it may hold
 * secrets. In the arena. @return "" if it cannot be read */
const char *fm_jvm_cmdline(const struct fm_jvm *jvm, struct fm_arena *arena);

/** Service URL of the local connector: the published one, else (attach allowed) by the attach
 * protocol and ManagementAgent.start_local. In the arena.
 * @return FM_OK; FM_EPERM (not published and attach off, or not allowed: the sentence says the
 *         remedy), FM_ETIMEOUT, FM_EGONE (no such process any more), FM_EREMOTE */
FM_MUST_USE enum fm_code fm_jvm_address(const char **out, const struct fm_jvm *jvm, bool attach,
                                        unsigned timeout_ms, struct fm_arena *arena,
                                        struct fm_err *err);

/** "open", "attachable", "no attach", "denied", "starting"; static. */
const char *fm_jvm_state_name(enum fm_jvm_state state);

#endif
