/* cli/session.h - what commands that look into a JVM or a configuration begin with. Main thread. */
#ifndef FM_CLI_SESSION_H
#define FM_CLI_SESSION_H

#include "agent/plan.h"
#include "cli/cmd.h"

/** The configuration: -c, else ./config.ini or /etc/firstmile/config.ini, with the overrides.
 * @param path  what was read; NULL: there is no file, only defaults. May be NULL
 * @return FM_OK, FM_ECONF or FM_ENOMEM; *out is the caller's */
FM_MUST_USE enum fm_code fm_cmd_config(struct fm_cli *cli, struct fm_config **out,
                                       const char **path, struct fm_err *err);

/** The TARGET of a command line as options; queries are left to the caller. Reads the configuration
 * file only where one is needed: for the name of a target, or when -c says so. Strings lie in the
 * arena of cli and in the configuration.
 * @param config  the caller's, also after a failure (NULL then, if there is none)
 * @param part  of a section for several, the one wanted; NULL: none was named
 * @return FM_OK, FM_EUSAGE, FM_ECONF, ... */
FM_MUST_USE enum fm_code fm_cmd_target(struct fm_cli *cli, const char *target,
                                       struct fm_config **config, struct fm_poll_target_opts *out,
                                       const char **part, struct fm_err *err);

/** A session with the TARGET of a command line. */
struct fm_session {
    const char *target; /* as given */
    bool unnamed; /* no section of the configuration has its keys */
    struct fm_config *config;
    struct fm_client *client;
    struct fm_jmx *jmx;
    struct fm_target_info info;
    struct fm_arena arena; /* answers of calls */
};

/** Find the target (fm_cmd_target()) and make its session; it connects with the first call. Close
 * it also after a failure. May block on files and on attach. */
FM_MUST_USE enum fm_code fm_session_open(struct fm_session *s, struct fm_cli *cli,
                                         const char *target, struct fm_err *err);
void fm_session_close(struct fm_session *s);

/** Run calls and wait. @return the session's failure; the calls have their own codes */
FM_MUST_USE enum fm_code fm_session_run(struct fm_session *s, struct fm_jmx_call *calls, size_t n,
                                        struct fm_err *err);

/** The names that match a pattern (NULL: all): an ARRAY of STRING in the session's arena. */
FM_MUST_USE enum fm_code fm_session_names(struct fm_session *s, const char *pattern,
                                          struct fm_value *out, struct fm_err *err);

/** A file or folder of the agent that this user may not open: say so in the sentence. */
void fm_cmd_advise(struct fm_err *err);

/** A text member of an object; "" if there is none. */
const char *fm_session_text(const struct fm_value *object, const char *key);

/** The attribute of a bean, or the bean of the target, that was probably meant; "": nobody knows.
 * They ask the target. */
const char *fm_session_near_attribute(struct fm_session *s, const char *bean, const char *wanted);
const char *fm_session_near_bean(struct fm_session *s, const char *wanted);

#endif
