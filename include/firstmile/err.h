/* firstmile/err.h - error codes, their classes, and the sentence that goes with them.
 *
 * A function that can fail returns enum fm_code and takes a struct fm_err *err as its last
 * parameter (NULL is allowed everywhere). The layer that knows writes the sentence; a layer above
 * may put a context in front of it once. Nothing here is shared between threads. */
#ifndef FIRSTMILE_ERR_H
#define FIRSTMILE_ERR_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__GNUC__)
#define FM_API __attribute__((visibility("default")))
#define FM_MUST_USE __attribute__((warn_unused_result))
#define FM_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define FM_API
#define FM_MUST_USE
#define FM_PRINTF(fmt, args)
#endif

/** What a caller does about an error; callers branch on the class, seldom on the code. */
enum fm_err_class {
    FM_CLASS_NONE, /* no error */
    FM_CLASS_AGAIN, /* passing: back off and retry */
    FM_CLASS_DATA, /* the peer sent nonsense: count, skip, keep the schedule */
    FM_CLASS_DENIED, /* credentials or trust: long back-off, a person must act */
    FM_CLASS_CONF, /* the user's input is wrong: exit code 2 */
    FM_CLASS_STOP, /* shutting down */
    FM_CLASS_SYS, /* the operating system or memory failed */
    FM_CLASS_BUG /* can only be a programming error */
};

/* code, class, text */
#define FM_CODE_LIST(X)                                                                            \
    X(FM_OK, FM_CLASS_NONE, "success")                                                             \
    X(FM_EAGAIN, FM_CLASS_AGAIN, "not ready yet")                                                  \
    X(FM_ETIMEOUT, FM_CLASS_AGAIN, "time limit reached")                                           \
    X(FM_ENAME, FM_CLASS_AGAIN, "host name cannot be resolved")                                    \
    X(FM_ECONNECT, FM_CLASS_AGAIN, "cannot connect")                                               \
    X(FM_ECLOSED, FM_CLASS_AGAIN, "connection closed by the peer")                                 \
    X(FM_EFULL, FM_CLASS_AGAIN, "queue is full")                                                   \
    X(FM_EGONE, FM_CLASS_AGAIN, "the remote object is gone")                                       \
    X(FM_EPROTO, FM_CLASS_DATA, "the peer broke the protocol")                                     \
    X(FM_EREMOTE, FM_CLASS_DATA, "the peer reported an error")                                     \
    X(FM_ELIMIT, FM_CLASS_DATA, "a limit was exceeded")                                            \
    X(FM_EDAMAGE, FM_CLASS_DATA, "stored data is damaged")                                         \
    X(FM_EAUTH, FM_CLASS_DENIED, "credentials refused")                                            \
    X(FM_ETLS, FM_CLASS_DENIED, "TLS verification failed")                                         \
    X(FM_EPROXY, FM_CLASS_DENIED, "the HTTP proxy refused")                                        \
    X(FM_EPERM, FM_CLASS_DENIED, "not permitted")                                                  \
    X(FM_ECONF, FM_CLASS_CONF, "configuration error")                                              \
    X(FM_EUSAGE, FM_CLASS_CONF, "wrong usage")                                                     \
    X(FM_ENOTFOUND, FM_CLASS_CONF, "not found")                                                    \
    X(FM_EEXIST, FM_CLASS_CONF, "exists already")                                                  \
    X(FM_ESTOP, FM_CLASS_STOP, "stopping")                                                         \
    X(FM_ESYS, FM_CLASS_SYS, "system call failed")                                                 \
    X(FM_ENOMEM, FM_CLASS_SYS, "out of memory")                                                    \
    X(FM_ELOCKED, FM_CLASS_SYS, "in use by another process")                                       \
    X(FM_ENEWER, FM_CLASS_SYS, "written by a newer version")                                       \
    X(FM_EBUG, FM_CLASS_BUG, "internal error")

#define FM_CODE_ENUM(code, class, text) code,
enum fm_code { FM_CODE_LIST(FM_CODE_ENUM) };
#undef FM_CODE_ENUM

struct fm_err {
    enum fm_code code;
    int sys; /* errno, or 0 */
    char text[240]; /* one sentence without a final full stop; always terminated */
};

/** The class of a code. */
FM_API enum fm_err_class fm_code_class(enum fm_code code);

/** "FM_ETIMEOUT"; static. */
FM_API const char *fm_code_name(enum fm_code code);

/** "time limit reached"; static. */
FM_API const char *fm_code_text(enum fm_code code);

/** Forget an earlier error. */
FM_API void fm_err_clear(struct fm_err *err);

/** Write code and sentence, cutting it at the buffer's end on a whole UTF-8 character.
 * Control characters are replaced, so that the sentence is one line whatever a peer sent.
 * @return code, so that a function can end with return fm_err_set(...) */
FM_API enum fm_code fm_err_set(struct fm_err *err, enum fm_code code, const char *fmt, ...)
    FM_PRINTF(3, 4);

/** As fm_err_set() with FM_ESYS, errno's text appended (": No space left on device"). */
FM_API enum fm_code fm_err_sys(struct fm_err *err, int sys, const char *fmt, ...) FM_PRINTF(3, 4);

/** Out of memory, in one call. @return FM_ENOMEM */
FM_API enum fm_code fm_err_nomem(struct fm_err *err);

/** Put "context: " in front of the sentence. @return err's code (FM_EBUG if err is NULL) */
FM_API enum fm_code fm_err_context(struct fm_err *err, const char *fmt, ...) FM_PRINTF(2, 3);

/** The sentence, or the code's text if none was written. Borrowed from err. */
FM_API const char *fm_err_text(const struct fm_err *err);

/** Return at once if call fails. Safe with FM_AUTO resources. The only control-flow macro. */
#define FM_TRY(call)                                                                               \
    do {                                                                                           \
        enum fm_code fm_try_code_ = (call);                                                        \
        if (fm_try_code_ != FM_OK)                                                                 \
            return fm_try_code_;                                                                   \
    } while (0)

#endif
