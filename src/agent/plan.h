/* agent/plan.h - the configuration translated into the options of the modules.
 *
 * A plan owns the compiled queries and rules, copies of secrets, and every option struct that
 * points at them. It is built by the main thread and then only read; it must outlive what uses it.
 */
#ifndef FM_AGENT_PLAN_H
#define FM_AGENT_PLAN_H

#include "base/arena.h"
#include "config/config.h"
#include "poll/poll.h"
#include "rest/rest.h"

struct fm_plan {
    const struct fm_config *config; /* borrowed */
    struct fm_poll_target_opts *targets;
    size_t n_targets;
    uint64_t generation; /* 1 for the first, counts reloads */
    const char *host_name; /* this host, ${host} of local JVMs */
    struct fm_arena arena; /* strings, arrays, and secrets (wiped) */
    struct fm_query **queries; /* one for each query section used; owned */
    const struct fm_cfg_query **query_sources;
    size_t n_queries;
    struct fm_rule **rules; /* owned */
    size_t n_rules;
};

/** Compile the targets of a configuration.
 * @param old  the plan in force, so that unchanged targets keep their sessions; NULL: none
 * @return FM_OK or FM_ECONF (the sentence names section and fault) */
FM_MUST_USE enum fm_code fm_plan_new(struct fm_plan **out, const struct fm_config *config,
                                     const struct fm_plan *old, struct fm_err *err);

/** Whether two texts say the same; NULL and "" do. */
bool fm_plan_same_text(const char *a, const char *b);

/** Whether a secret file of a target now says something else than the plan's copy. Reads files. */
bool fm_plan_secrets_changed(const struct fm_plan *plan);

/** The same of the key's passphrase and the HTTP proxy's password in [rest]. */
bool fm_plan_way_out_changed(const struct fm_config *config, const struct fm_rest_opts *opts);

/** NULL is allowed. */
void fm_plan_free(struct fm_plan *plan);

/** Compile one query of the configuration; the caller frees it with fm_query_free(). */
FM_MUST_USE enum fm_code fm_plan_query(struct fm_query **out, const struct fm_cfg_query *source,
                                       struct fm_arena *scratch, struct fm_err *err);

/** Options of a session with the target of a section, for commands. Strings in the arena. */
FM_MUST_USE enum fm_code fm_plan_target(struct fm_poll_target_opts *out,
                                        const struct fm_cfg_target *target,
                                        const struct fm_config *config, struct fm_arena *arena,
                                        struct fm_err *err);

/** Options of the sender. Strings in the arena; spool, log and callbacks are left to the caller.
 * @param sandbox_url  what stands for "url = sandbox"; NULL if there is none
 * @return FM_OK or FM_ECONF (a secret cannot be read) */
FM_MUST_USE enum fm_code fm_plan_rest(struct fm_rest_opts *out, const struct fm_config *config,
                                      const char *sandbox_url, struct fm_arena *arena,
                                      struct fm_err *err);

/** @return the first address that a secret of [rest] auth goes to unencrypted (http://), whatever
 * host it names; NULL: there is none */
const char *fm_plan_bare_secret(const struct fm_config *config);

/** Whether the format has a schema (avro, jsonschema). */
bool fm_plan_typed(const struct fm_config *config);

/** Part of fm_plan_rest(): shape, schema_id, and what schema_file holds.
 * @return FM_OK, FM_ECONF (the file is no schema or cannot be read) or FM_ENOMEM */
FM_MUST_USE enum fm_code fm_plan_schema(struct fm_rest_opts *out, const struct fm_config *config,
                                        struct fm_arena *arena, struct fm_err *err);

/** The topics that the configuration can name without a poll: [rest] topic and those of targets and
 * queries, templates filled with what is known. For check. NULL-terminated, in the arena. */
FM_MUST_USE enum fm_code fm_plan_topics(const char *const **out, const struct fm_plan *plan,
                                        struct fm_arena *arena, struct fm_err *err);

#endif
