/* agent/agent.h - the agent: everything wired together, started in order, stopped in reverse.
 *
 * Called by the commands run and once, on the main thread, before any other thread exists. */
#ifndef FM_AGENT_AGENT_H
#define FM_AGENT_AGENT_H

#include "base/log.h"
#include "config/config.h"
#include "spool/spool.h"

struct fm_agent_opts {
    const char *config_path; /* as fm_config_find() gave it; NULL: no file */
    const char *const *overrides; /* "section.key=value" */
    size_t n_overrides;
    int log_level; /* enum fm_log_level that wins over [log] level; -1: none */
};

/** Poll, spool, send and serve until SIGTERM or SIGINT; SIGHUP reloads. A second signal ends at
 * once. Blocks.
 * @return FM_OK after an orderly stop; FM_ECONF (exit 2) or what kept it from starting */
FM_MUST_USE enum fm_code fm_agent_run(const struct fm_agent_opts *opts, struct fm_err *err);

/** Whether a configuration is enough to send: [rest] url must be there. @return FM_OK or FM_ECONF
 */
FM_MUST_USE enum fm_code fm_agent_needs(const struct fm_config *config, struct fm_err *err);

struct fm_once_opts {
    struct fm_agent_opts agent;
    bool to_stdout; /* print each record's value on a line; send nothing */
    unsigned timeout_ms; /* of the whole; caps the request timeouts */
};

/** Poll every target once and send what was read from memory, or print it. Blocks.
 * @return FM_OK when every target was read and every record acknowledged */
FM_MUST_USE enum fm_code fm_agent_once(const struct fm_once_opts *opts, struct fm_err *err);

/** What a spool asks for: its start and gap records, rendered. fm_spool_control_fn; pure.
 * @param arg  the agent's name, const char * */
enum fm_code fm_agent_control(void *arg, const struct fm_spool_control *what, struct fm_chunk **out,
                              struct fm_err *err);

#endif
