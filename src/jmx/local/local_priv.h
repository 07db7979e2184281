/* jmx/local/local_priv.h - pieces of the local source: hsperfdata, /proc, the attach protocol.
 *
 * Facts: HotSpot's PerfMemory prologue (perfMemory.hpp) and attach listener (attachListener_posix),
 * proc(5). Everything here may block on files; nothing keeps state. */
#ifndef FM_JMX_LOCAL_PRIV_H
#define FM_JMX_LOCAL_PRIV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/buf.h"
#include "jmx/local.h"

/* ---- hsperf.c: the file format ---- */

enum { FM_HSPERF_MAX = 4 * 1024 * 1024 }; /* bytes of a file that we are willing to read */

struct fm_hsperf {
    const unsigned char *data; /* borrowed */
    size_t len; /* bytes in use, never more than there are */
    bool little;
    bool accessible; /* the JVM has finished writing the head */
    uint32_t overflow;
    uint32_t first; /* offset of the first entry */
    uint32_t count;
};

struct fm_hsperf_entry {
    const char *name; /* terminated inside the data */
    char type; /* 'J' number, 'B' text */
    uint8_t units, variability, flags;
    uint32_t vector_len;
    int64_t number; /* type J, scalar */
    const char *text; /* type B with a length: text_len bytes, cut at the first NUL; else NULL */
    size_t text_len;
};

/** Check the head. @return FM_OK (also when not accessible yet) or FM_EPROTO */
FM_MUST_USE enum fm_code fm_hsperf_init(struct fm_hsperf *out, const void *data, size_t len,
                                        struct fm_err *err);

/** Walk; start with *at = 0 and *index = 0. @return false behind the last readable entry */
bool fm_hsperf_next(const struct fm_hsperf *hs, size_t *at, uint32_t *index,
                    struct fm_hsperf_entry *out);

/* ---- proc.c: what /proc says ---- */

struct fm_proc {
    pid_t pid, ns_pid;
    uid_t uid; /* effective */
    gid_t gid;
    char state; /* R, S, T, Z, ... */
    long threads;
    int64_t start_ms; /* wall clock, from the boot clock: 10 ms grain */
    uint64_t caught, ignored; /* signal masks, bit 0 = signal 1 */
    char comm[32];
};

/** @return FM_OK, FM_ENOTFOUND (no such process) or FM_EPERM */
FM_MUST_USE enum fm_code fm_proc_read(struct fm_proc *out, pid_t pid, struct fm_err *err);

/** Whether a process lives in another namespace ("mnt", "net", "pid") than we do; false when that
 * cannot be seen. */
bool fm_proc_other_ns(pid_t pid, const char *kind);

/** Whether a mapping's line holds this text. Reads at most 4 MiB. */
bool fm_proc_maps(pid_t pid, const char *text);

/** Command line, NULs replaced by blanks, in the arena; NULL if there is none. */
char *fm_proc_cmdline(pid_t pid, struct fm_arena *arena);

/** The directory tmp of a process, whatever links its owner made; -1 with errno. */
int fm_proc_tmp(pid_t pid);

/** Open a path below a directory as a container sees it: links never lead out of dir. */
int fm_open_inside(int dir, const char *path, int flags);

/** A directory entry's number: digits only, 1 .. 2^22. @return 0: it is none */
pid_t fm_proc_number(const char *name);

/** Read at most max bytes of a small file; terminated. @return length or -1 with errno */
ssize_t fm_read_small(int dir, const char *path, char *out, size_t max);

/* ---- jvms.c ---- */

/** The last component of main class or jar of a command, control characters replaced. */
char *fm_jvm_short_name(const char *command, struct fm_arena *arena);

/** fm_jvm_find() with another folder for hsperfdata. */
FM_MUST_USE enum fm_code fm_jvm_find_in(struct fm_jvm *out, pid_t pid, struct fm_arena *arena,
                                        const char *tmp_dir, struct fm_err *err);

/* ---- attach.c ---- */

/** Split an answer: decimal code, newline, text. @return false if it is none */
bool fm_attach_answer(const char *data, size_t len, int *code, const char **text, size_t *text_len);

/** Look a key up in the text form of java.util.Properties (ISO 8859-1, escapes); the last one wins.
 * @return false if it is absent */
bool fm_properties_get(const char *data, size_t len, const char *key, struct fm_buf *out);

/** Whether an address that a JVM published is one we connect to: the stub form of a service URL,
 * loopback host, standard base64, at most 8 KiB. */
bool fm_local_address_ok(const char *address, size_t len);

#endif
