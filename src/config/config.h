/* config/config.h - the configuration as a plain struct, from config.ini, overrides and presets.
 *
 * Loading reads files (and blocks on them); afterwards a struct fm_config is read-only and may be
 * used by any thread until fm_config_free(), but for the secrets, which re-read their files by
 * themselves (config/secret.h). All strings belong to the struct. A reload loads a second struct
 * and compares.
 *
 * Texts are NULL when not set, and lists empty. What a target may leave to another section is
 * already filled in (interval, topic, key, shape); a query keeps 0 or NULL for "as its target". */
#ifndef FM_CONFIG_CONFIG_H
#define FM_CONFIG_CONFIG_H

#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "config/secret.h"

struct fm_strlist {
    const char **items;
    size_t n;
};

enum fm_cfg_api { FM_CFG_API_V2, FM_CFG_API_V3, FM_CFG_API_V3_BATCH };
enum fm_cfg_dialect {
    FM_CFG_DIALECT_CONFLUENT,
    FM_CFG_DIALECT_KARAPACE,
    FM_CFG_DIALECT_STRIMZI,
    FM_CFG_DIALECT_REDPANDA
};
enum fm_cfg_format {
    FM_CFG_FORMAT_JSON,
    FM_CFG_FORMAT_BINARY,
    FM_CFG_FORMAT_AVRO,
    FM_CFG_FORMAT_PROTOBUF,
    FM_CFG_FORMAT_JSONSCHEMA
};
enum fm_cfg_auth { FM_CFG_AUTH_NONE, FM_CFG_AUTH_BASIC, FM_CFG_AUTH_BEARER, FM_CFG_AUTH_OAUTH2 };
enum fm_cfg_compression { FM_CFG_COMPRESSION_NONE, FM_CFG_COMPRESSION_GZIP };
enum fm_cfg_on_full { FM_CFG_FULL_DROP_OLDEST, FM_CFG_FULL_DROP_NEWEST, FM_CFG_FULL_BLOCK };
enum fm_cfg_sync { FM_CFG_SYNC_FULL, FM_CFG_SYNC_NORMAL };
enum fm_cfg_objects { FM_CFG_OBJECTS_CLASS, FM_CFG_OBJECTS_FIELDS };
enum fm_cfg_tls { FM_CFG_TLS_OFF, FM_CFG_TLS_ON, FM_CFG_TLS_REGISTRY };
enum fm_cfg_verify { FM_CFG_VERIFY_FULL, FM_CFG_VERIFY_CHAIN };
/* INHERIT: as the target; only in queries */
enum fm_cfg_shape {
    FM_CFG_SHAPE_INHERIT,
    FM_CFG_SHAPE_BEAN,
    FM_CFG_SHAPE_METRIC,
    FM_CFG_SHAPE_SNAPSHOT
};

/** Where a value was written. line 0: not written, the default holds. */
struct fm_place {
    const char *file; /* "-o" for an override */
    unsigned line;
    const char *text; /* as written, the environment filled in; of secrets too: never print it */
};

/** What every section begins with. */
struct fm_section {
    const char *kind; /* "target" */
    const char *name; /* of kind:NAME; "" otherwise */
    const char *file; /* where it begins; NULL: nowhere */
    unsigned line;
    struct fm_place *places; /* one for each key of the kind; private to config */
    bool torn; /* lines of it could not be read */
};

struct fm_cfg_agent {
    struct fm_section section;
    const char *name;
    int64_t interval_ms;
    const char *state_dir;
    const char *presets_dir;
};

struct fm_cfg_rest {
    struct fm_section section;
    struct fm_strlist url; /* base URLs without a slash at the end */
    bool sandbox; /* url = sandbox; the list is then empty */
    const char *topic; /* template over agent, host, target */
    enum fm_cfg_api api;
    enum fm_cfg_dialect dialect;
    enum fm_cfg_format format;
    const char *cluster_id;
    const char *consumer_url;
    enum fm_cfg_auth auth;
    const char *username;
    struct fm_secret *password; /* NULL: not set; so are all secrets */
    struct fm_secret *token;
    const char *oauth2_url;
    const char *oauth2_client;
    struct fm_secret *oauth2_secret;
    const char *oauth2_scope;
    const char *identity_pool; /* Confluent Cloud */
    const char *ca_file;
    const char *cert_file;
    const char *key_file;
    struct fm_secret *key_password;
    const char *pinned_key;
    const char *http_proxy; /* NULL: none; "environment"; or a URL */
    const char *http_proxy_username;
    struct fm_secret *http_proxy_password;
    const char *http_proxy_ca_file;
    struct fm_strlist no_proxy;
    enum fm_cfg_compression compression;
    int64_t connect_timeout_ms;
    int64_t timeout_ms;
    int64_t timeout_single_ms;
    int64_t probe_timeout_ms;
    int64_t idle_age_ms;
    int64_t connection_life_ms;
    int64_t max_in_flight;
    int64_t drain_rate; /* records a second; 0: no limit */
    bool topic_auto_created;
    uint64_t size_limit_bytes; /* 0: ask the topic */
    const char *schema_id;
    const char *schema_file;
};

struct fm_cfg_batch {
    struct fm_section section;
    int64_t records;
    uint64_t bytes;
    int64_t linger_ms;
};

struct fm_cfg_retry {
    struct fm_section section;
    int64_t backoff_ms;
    int64_t max_backoff_ms;
    int64_t isolate_backoff_ms;
    int64_t isolate_max_backoff_ms;
    int64_t suspect_interval_ms;
    int64_t max_suspects;
    int64_t hold_interval_ms;
    int64_t stuck_interval_ms;
};

struct fm_cfg_spool {
    struct fm_section section;
    const char *path; /* a folder; NULL when memory */
    bool memory; /* path = memory */
    uint64_t max_size_bytes;
    int64_t max_age_ms; /* 0: none */
    enum fm_cfg_on_full on_full;
    enum fm_cfg_sync sync;
    int64_t commit_ms;
    uint64_t dead_max_size_bytes;
    uint64_t reserve_bytes;
};

struct fm_cfg_record {
    struct fm_section section;
    enum fm_cfg_shape shape;
    const char *key; /* template; NULL: no key */
    const char *partition; /* decimal; NULL: the proxy chooses */
    struct fm_strlist tags; /* "name=template" */
    struct fm_strlist headers;
    enum fm_json_nonfinite nonfinite;
    enum fm_cfg_objects objects;
    uint64_t max_bytes;
};

struct fm_cfg_http {
    struct fm_section section;
    const char *listen; /* HOST:PORT or unix:PATH; NULL: off */
    const char *username;
    struct fm_secret *password;
    const char *cert_file;
    const char *key_file;
    int64_t max_connections;
};

struct fm_cfg_log {
    struct fm_section section;
    enum fm_log_level level;
    enum fm_log_format format;
};

/** where.PROPERTY = extended regular expression */
struct fm_cfg_where {
    const char *property;
    const char *regex;
};

struct fm_cfg_query {
    struct fm_section section; /* name: of the section; for a preset's: PRESET/NAME */
    const char *bean; /* patterns separated by " | " */
    const char *exclude; /* NULL: nothing */
    struct fm_cfg_where *where;
    size_t n_where;
    struct fm_strlist attributes; /* {"*"} unless set */
    int64_t interval_ms; /* 0: as the target */
    int64_t discovery_ms;
    const char *topic; /* NULL: as the target */
    const char *key; /* NULL: as the target; "": no key */
    enum fm_cfg_shape shape;
    int64_t max_beans;
};

/** How some queries of a target become records; what was left open is filled in. */
struct fm_cfg_rule {
    enum fm_cfg_shape shape; /* never INHERIT */
    const char *topic;
    const char *key; /* NULL: no key */
};

struct fm_cfg_target {
    struct fm_section section; /* name "" is the unnamed target of the command line */
    const char *url;
    struct fm_strlist hosts;
    struct fm_strlist host_urls; /* with hosts: url for each of them, in the same order */
    const char *targets_file;
    const char *username;
    struct fm_secret *password;
    enum fm_cfg_tls tls;
    const char *ca_file;
    const char *cert_file;
    const char *key_file;
    struct fm_secret *key_password;
    enum fm_cfg_verify verify;
    const char *tls_name;
    int64_t interval_ms;
    int64_t timeout_ms;
    struct fm_strlist preset;
    struct fm_strlist query_names; /* queries = ...; empty: all */
    struct fm_strlist tags; /* in addition to those of [record]; same names replace them */
    const char *topic;
    const char *key; /* NULL: no key */
    enum fm_cfg_shape shape;
    bool follow_stub_host;
    bool attach;
    const char *http_proxy; /* as [rest]; only for Jolokia */
    const char *jolokia_target;
    const char *jolokia_username;
    struct fm_secret *jolokia_password;
    int64_t max_beans;
    uint64_t max_bytes;
    /* What is asked of it: the presets' queries, then its own. Borrowed from the configuration. */
    const struct fm_cfg_query **queries;
    size_t n_queries;
    size_t *query_rules; /* for each of them its place in rules; queries alike share a rule */
    struct fm_cfg_rule *rules;
    size_t n_rules;
    struct fm_strlist all_tags; /* those of [record], then its own; each name once */
};

struct fm_cfg_preset {
    const char *name;
    struct fm_cfg_query *queries;
    size_t n;
};

/** One thing that is wrong, as `check` prints it. */
struct fm_config_error {
    char text[240];
};
enum { FM_CONFIG_ERRORS = 20 };

struct fm_config {
    struct fm_cfg_agent agent;
    struct fm_cfg_rest rest;
    struct fm_cfg_batch batch;
    struct fm_cfg_retry retry;
    struct fm_cfg_spool spool;
    struct fm_cfg_record record;
    struct fm_cfg_http http;
    struct fm_cfg_log log;
    struct fm_cfg_target *targets; /* in the order of the file */
    size_t n_targets;
    struct fm_cfg_query *queries; /* the [query:NAME] sections */
    size_t n_queries;
    struct fm_cfg_preset *presets; /* those that a target uses */
    size_t n_presets;
    struct fm_cfg_target unnamed; /* -o target.KEY=VALUE; has no url unless one was given */
    struct fm_strlist files; /* read, the main file first */
    struct fm_strlist idle_includes; /* patterns that matched nothing, as sentences with a place */
    struct fm_arena arena; /* private */
    struct fm_secret *secrets; /* private: list of all, wiped at the end */
};

struct fm_config_opts {
    const char *const *overrides; /* "section.key=value", n of them; later ones win */
    size_t n_overrides;
    /* Every error found, up to FM_CONFIG_ERRORS; NULL: only the first is wanted */
    struct fm_config_error *errors;
    size_t *n_errors; /* set if errors is */
    bool faulty; /* hand out also what has errors, to look at the rest of it; with FM_ECONF */
};

/** Read and check a configuration.
 * @param out   set on success only (but for opts->faulty); the caller owns it, see fm_config_free()
 * @param path  NULL: no file, only defaults and overrides
 * @return FM_OK, FM_ECONF (err: the first error, "FILE:LINE: sentence") or FM_ENOMEM */
FM_MUST_USE enum fm_code fm_config_load(struct fm_config **out, const char *path,
                                        const struct fm_config_opts *opts, struct fm_err *err);

/** Wipes the secrets. NULL is allowed. */
void fm_config_free(struct fm_config *cfg);

/** The configuration file: given (-c), or ./config.ini, or /etc/firstmile/config.ini.
 * @return static or given; NULL if nothing was given and neither exists */
const char *fm_config_find(const char *given);

/** A target by the name of its section. @return NULL if there is none */
const struct fm_cfg_target *fm_config_target(const struct fm_config *cfg, const char *name);

/** Whether two sections of the same kind say the same (written values compared, where they stand
 * and in what order does not matter). For reload. */
bool fm_config_same_section(const struct fm_section *a, const struct fm_section *b);

/** Whether a target, all that it inherits, and its queries are the same in both. */
bool fm_config_same_target(const struct fm_cfg_target *a, const struct fm_cfg_target *b);

/** Names of changed keys that need a restart ("agent.name, spool.path"), appended to out.
 * @return how many */
size_t fm_config_restart_keys(const struct fm_config *old, const struct fm_config *new_,
                              struct fm_buf *out);

/** What needs a restart stays as it is: those keys of fresh get the values of boot, defaults that
 * follow from the host or another key included. Their texts stay boot's: it must outlive fresh. */
void fm_config_keep_running(struct fm_config *fresh, const struct fm_config *boot);

/** fresh goes on to the REST proxies of running instead of its own url; copied.
 * @return FM_OK or FM_ENOMEM */
FM_MUST_USE enum fm_code fm_config_keep_url(struct fm_config *fresh,
                                            const struct fm_config *running, struct fm_err *err);

/** The effective configuration as INI text, secrets as ***.
 * @param all  with the defaults; else only what differs from them */
void fm_config_dump(const struct fm_config *cfg, struct fm_buf *out, bool all);

/** The file config.ini of the distribution, from the option table. */
void fm_config_sample(struct fm_buf *out);

/** Text as comment lines of at most 100 columns, broken at blanks and where it breaks itself. */
void fm_config_comment(struct fm_buf *out, const char *text);

/** One key as the help shows it. */
struct fm_config_key {
    const char *section; /* "rest", "target" (for target:NAME) */
    const char *key;
    const char *type; /* "duration", "size", "number", "text", "list", or the words: "on off" */
    const char *def; /* "" if none */
    const char *help;
    bool secret; /* has a twin KEY_file */
    bool restart; /* a reload does not take it over */
    const char *later; /* what it waits for in this version; NULL: works */
};

/** Row i of the option table. @return false behind the last */
bool fm_config_key_at(size_t i, struct fm_config_key *out);

/** Times like "500ms" or "10s" and sizes like "64KiB", as the configuration writes them; for
 * options of commands. @return false if the text is none */
bool fm_config_parse_duration(const char *text, int64_t *out_ms);
bool fm_config_parse_size(const char *text, uint64_t *out_bytes);

#endif
