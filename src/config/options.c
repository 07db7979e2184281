#include "config/option_priv.h"

#include <string.h>

/* One row for each key, in the order of the sample file. */
#define AT(kind, field) .section = #kind, .offset = offsetof(struct fm_cfg_##kind, field)
#define ROW(kind, field) AT(kind, field), .key = #field
#define DAY_MS (24LL * 3600 * 1000)
#define KIB 1024LL
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define STR .type = FM_OPT_STR
#define LIST .type = FM_OPT_LIST
#define SECRET .type = FM_OPT_SECRET
#define MSEC(lo, hi) .type = FM_OPT_MSEC, .min = (lo), .max = (hi)
#define SIZE(lo, hi) .type = FM_OPT_SIZE, .min = (lo), .max = (hi)
#define COUNT(lo, hi) .type = FM_OPT_COUNT, .min = (lo), .max = (hi)
#define SWITCH .type = FM_OPT_BOOL
#define ENUM(words) .type = FM_OPT_ENUM, .choices = words

#define SHAPES "- bean metric snapshot"
#define PROTOBUF "protobuf"

const struct fm_option fm_options[] = {
    {ROW(agent, name), STR, .flags = FM_OPT_RESTART,
     .help = "How this agent calls itself in every record; empty: the host's name."},
    {AT(agent, interval_ms), .key = "interval", MSEC(1, DAY_MS), .def = "10s",
     .help = "Time between two polls of a target; a late poll is skipped, not queued."},
    {ROW(agent, state_dir), STR, .flags = FM_OPT_RESTART,
     .help = "Folder for spool and control socket; empty: /var/lib/firstmile for root, else "
             "~/.local/state/firstmile."},
    {ROW(agent, presets_dir), STR,
     .help = "Folder with presets of your own, NAME.ini; they go before the shipped ones."},

    {ROW(rest, url), LIST, .flags = FM_OPT_URL,
     .help =
         "Base URL of the REST proxy; several, separated by commas, for fail-over; or sandbox."},
    {ROW(rest, topic), STR, .def = "firstmile", .flags = FM_OPT_TEMPLATE,
     .help = "Topic; may hold ${agent}, ${host} and ${target}."},
    {ROW(rest, api), ENUM("v2 v3 v3-batch"), .def = "v2",
     .help = "Version of the proxy's API; v3 wants a url that ends before /clusters; a bare host "
             "means HOST/v3. v3-batch sends plain JSON documents of few records, for gateways that "
             "check bodies."},
    {ROW(rest, dialect), ENUM("confluent karapace strimzi redpanda"), .def = "confluent",
     .help = "Which proxy it is; their answers differ."},
    {ROW(rest, format), ENUM("json binary avro protobuf jsonschema"), .def = "json",
     .live = "binary avro jsonschema", .later = PROTOBUF,
     .help = "How values travel: json is readable, binary keeps the exact bytes, avro and "
             "jsonschema want a Schema Registry behind the proxy."},
    {ROW(rest, cluster_id), STR, .help = "Kafka cluster for api = v3; empty: looked up."},
    {ROW(rest, consumer_url), STR, .flags = FM_OPT_URL,
     .help = "Where audit reads the topic; empty: url without /v3."},
    {ROW(rest, auth), ENUM("none basic bearer oauth2"), .def = "none",
     .help = "How to sign on at the proxy."},
    {ROW(rest, username), STR, .help = "User for auth = basic."},
    {ROW(rest, password), SECRET, .help = "Password for auth = basic."},
    {ROW(rest, token), SECRET, .help = "Token for auth = bearer."},
    {ROW(rest, oauth2_url), STR, .flags = FM_OPT_URL,
     .help = "Token endpoint for auth = oauth2 (client credentials); ca_file and http_proxy hold "
             "for it too."},
    {ROW(rest, oauth2_client), STR, .help = "Client id for auth = oauth2."},
    {ROW(rest, oauth2_secret), SECRET, .help = "Client secret for auth = oauth2."},
    {ROW(rest, oauth2_scope), STR, .help = "Scope to ask for, if any."},
    {ROW(rest, identity_pool), STR,
     .help = "Confluent Cloud: identity pool (pool-...) to name with a bearer or oauth2 token."},
    {ROW(rest, ca_file), STR,
     .help = "Certificates (PEM) to trust instead of the system's; add a proxy's own CA here."},
    {ROW(rest, cert_file), STR, .help = "Client certificate (PEM) for mutual TLS."},
    {ROW(rest, key_file), STR, .help = "Its private key (PEM)."},
    {ROW(rest, key_password), SECRET, .help = "Passphrase of key_file."},
    {ROW(rest, pinned_key), STR,
     .help = "Public key that the server must have, as sha256//BASE64; several joined by ;."},
    {ROW(rest, http_proxy), STR, .def = "none", .flags = FM_OPT_URL,
     .help = "HTTP proxy on the way out, http://HOST:PORT; environment: what https_proxy says."},
    {ROW(rest, http_proxy_username), STR, .help = "User at the HTTP proxy."},
    {ROW(rest, http_proxy_password), SECRET, .help = "Password at the HTTP proxy."},
    {ROW(rest, http_proxy_ca_file), STR,
     .help = "Certificates (PEM) to trust for an https:// proxy."},
    {ROW(rest, no_proxy), LIST, .help = "Hosts that are reached without the HTTP proxy."},
    {ROW(rest, compression), ENUM("none gzip"), .def = "none",
     .help =
         "gzip: requests are compressed, for Karapace and gateways; switched off for an endpoint "
         "that refuses them."},
    {AT(rest, connect_timeout_ms), .key = "connect_timeout", MSEC(1, 3600000), .def = "10s",
     .help = "Longest wait for a connection, TLS included."},
    {AT(rest, timeout_ms), .key = "timeout", MSEC(1, 3600000), .def = "130s",
     .help =
         "Longest wait for the answer to a batch; proxies take up to 120 s when Kafka is away."},
    {AT(rest, timeout_single_ms), .key = "timeout_single", MSEC(1, 3600000), .def = "190s",
     .help = "Longest wait for the answer to a record sent alone."},
    {AT(rest, probe_timeout_ms), .key = "probe_timeout", MSEC(1, 3600000), .def = "65s",
     .help = "Longest wait for the answer to a probe of the topic."},
    {AT(rest, idle_age_ms), .key = "idle_age", MSEC(1, 3600000), .def = "25s",
     .help =
         "A connection idle for longer is not used again; keep it below the proxy's own limit."},
    {AT(rest, connection_life_ms), .key = "connection_life", MSEC(1, 7 * DAY_MS), .def = "10m",
     .help = "A connection is replaced after this time, so that load balancers can move it."},
    {ROW(rest, max_in_flight), COUNT(1, 64), .def = "1",
     .help = "Requests under way for one topic while all goes well, split by key; order is kept "
             "per key, not across keys. Each may hold two batches in memory, all of them together "
             "16 MiB (or two batches, if that is more)."},
    {ROW(rest, drain_rate), COUNT(0, 10000000), .def = "0",
     .help =
         "Most records a second while a backlog is sent after an outage, but always more than are "
         "newly made; 0: no limit."},
    {ROW(rest, topic_auto_created), SWITCH, .def = "off",
     .help = "on: the cluster creates the topic with the first record, a missing one is no fault."},
    {AT(rest, size_limit_bytes), .key = "size_limit", SIZE(0, 1 * GIB), .def = "0",
     .help = "Largest record the topic takes; 0: ask the topic."},
    {ROW(rest, schema_id), STR,
     .help = "Id of the values' schema in the registry; empty: the records' own is registered."},
    {ROW(rest, schema_file), STR,
     .help = "File with the schema to register instead of the records' own."},

    {ROW(batch, records), COUNT(1, 100000), .def = "500",
     .help = "Most records in one request; with api = v3-batch at most 50, and 10 for more."},
    {ROW(batch, bytes), SIZE(1, 64 * MIB), .def = "350KiB",
     .help = "Largest body of a request; a record longer than that travels alone."},
    {AT(batch, linger_ms), .key = "linger", MSEC(0, 3600000), .def = "1s",
     .help = "How long a batch that is not full waits for more records."},

    {AT(retry, backoff_ms), .key = "backoff", MSEC(1, 3600000), .def = "1s",
     .help = "First pause after a failure; it doubles, with jitter."},
    {AT(retry, max_backoff_ms), .key = "max_backoff", MSEC(1, DAY_MS), .def = "60s",
     .help = "Longest pause after failures; none is longer than they have lasted."},
    {AT(retry, isolate_backoff_ms), .key = "isolate_backoff", MSEC(1, DAY_MS), .def = "30s",
     .help = "First pause before a record under suspicion is tried alone again."},
    {AT(retry, isolate_max_backoff_ms), .key = "isolate_max_backoff", MSEC(1, DAY_MS), .def = "10m",
     .help = "Longest pause between its tries."},
    {AT(retry, suspect_interval_ms), .key = "suspect_interval", MSEC(1, DAY_MS), .def = "30s",
     .help = "At most one record under suspicion is tried in this time, for each topic."},
    {ROW(retry, max_suspects), COUNT(1, 900), .def = "100",
     .help = "Records under suspicion that may wait aside."},
    {AT(retry, hold_interval_ms), .key = "hold_interval", MSEC(1, DAY_MS), .def = "30s",
     .help = "Pause between tries while everything is refused (credentials, rights)."},
    {AT(retry, stuck_interval_ms), .key = "stuck_interval", MSEC(1, DAY_MS), .def = "60s",
     .help = "Pause between tries while the proxy answers but does not produce."},

    {ROW(spool, path), STR, .flags = FM_OPT_RESTART,
     .help = "Folder of the spool; empty: state_dir/spool; memory: nothing survives a restart."},
    {AT(spool, max_size_bytes), .key = "max_size", SIZE(1 * MIB, 1024 * GIB), .def = "1GiB",
     .help = "Largest size of the spool on disk: database, write-ahead log and reserve. Dead "
             "letters (dead_max_size) and damage set aside (as much again at most) are beside it. "
             "Records are packed: those of JMX to about a fifth."},
    {AT(spool, max_age_ms), .key = "max_age", MSEC(0, 3650 * DAY_MS), .def = "0",
     .help = "Records older than this are dropped and declared; 0: none are."},
    {ROW(spool, on_full), ENUM("drop_oldest drop_newest block"), .def = "drop_oldest",
     .help = "What happens when it is full; what is dropped is declared in the topic."},
    {ROW(spool, sync), ENUM("full normal"), .def = "full",
     .help = "full: a record survives a power loss once accepted; normal spares the disk: a power "
             "loss may take the last records, and new streams then begin and declare it."},
    {AT(spool, commit_ms), .key = "commit", MSEC(1, 60000), .def = "200ms",
     .help = "Longest wait until records are written to disk together."},
    {AT(spool, dead_max_size_bytes), .key = "dead_max_size", SIZE(0, 1024 * GIB), .def = "64MiB",
     .help = "Space for records that the proxy refused for good."},
    {AT(spool, reserve_bytes), .key = "reserve", SIZE(0, 1 * GIB), .def = "8MiB",
     .help = "Space held back, within max_size, so that a spool on a full disk goes on."},

    {ROW(record, shape), ENUM(SHAPES), .def = "bean",
     .help = "bean: a record for each MBean; metric: for each number; snapshot: for each poll."},
    {ROW(record, key), STR, .def = "${host}", .flags = FM_OPT_TEMPLATE | FM_OPT_EMPTY,
     .help = "Key of the Kafka record, a template; empty: no key."},
    {ROW(record, partition), STR, .help = "Partition number; empty: the proxy chooses by the key."},
    {ROW(record, tags), LIST, .flags = FM_OPT_TEMPLATE,
     .help = "Put into each record: env=prod, site=${host}."},
    {ROW(record, headers), LIST, .flags = FM_OPT_TEMPLATE,
     .help = "Headers of the Kafka record, name=template; only api = v3 can send them."},
    {ROW(record, nonfinite), ENUM("null string"), .def = "null",
     .help = "What NaN and infinities become."},
    {ROW(record, objects), ENUM("class fields"), .def = "class",
     .help = "Of Java objects without a JSON form: the class name alone, or its fields too."},
    {ROW(record, max_bytes), SIZE(1 * KIB, 64 * MIB), .def = "900KiB",
     .help = "Largest value of a record; a snapshot is split, anything else dropped and declared."},

    {ROW(http, listen), STR, .def = "127.0.0.1:9470", .flags = FM_OPT_RESTART,
     .help = "Where health, statistics and the status page are served; unix:PATH; off."},
    {ROW(http, username), STR, .help = "User that must be given, but for /livez and /readyz."},
    {ROW(http, password), SECRET, .help = "Its password."},
    {ROW(http, cert_file), STR, .help = "Certificate (PEM); with it the server speaks HTTPS."},
    {ROW(http, key_file), STR, .help = "Its private key (PEM)."},
    {ROW(http, max_connections), COUNT(1, 1000), .def = "64", .help = "Connections at a time."},

    {ROW(log, level), ENUM("error warn info debug"), .def = "info", .help = "What is logged."},
    {ROW(log, format), ENUM("text json"), .def = "text", .help = "One line for each event."},

    {ROW(target, url), STR, .flags = FM_OPT_URL | FM_OPT_TEMPLATE,
     .help = "local:GLOB, pid:1234, HOST:PORT, service:jmx:..., or http(s)://... for Jolokia."},
    {ROW(target, hosts), LIST,
     .help = "Hosts to put in the place of ${host} in url, one target each."},
    {ROW(target, targets_file), STR,
     .help = "Instead of url: a file (or a glob, fleet/*.json) that lists targets as Prometheus' "
             "file_sd does, one target each. It is followed as it changes; labels become tags."},
    {ROW(target, username), STR, .help = "JMX user."},
    {ROW(target, password), SECRET, .help = "JMX password."},
    {ROW(target, tls), ENUM("off on registry"), .def = "off",
     .help = "on: the connector speaks TLS; registry: the RMI registry too."},
    {ROW(target, ca_file), STR, .help = "Certificates (PEM) to trust instead of the system's."},
    {ROW(target, cert_file), STR, .help = "Client certificate (PEM)."},
    {ROW(target, key_file), STR, .help = "Its private key (PEM)."},
    {ROW(target, key_password), SECRET, .help = "Passphrase of key_file."},
    {ROW(target, verify), ENUM("full chain"), .def = "full",
     .help = "chain: the certificate must be trusted, but may bear another name."},
    {ROW(target, tls_name), STR,
     .help = "Name that the certificate must bear instead of the host."},
    {AT(target, interval_ms), .key = "interval", MSEC(1, DAY_MS), .def = "10s",
     .flags = FM_OPT_INHERIT, .help = "Time between two polls; else that of [agent]."},
    {AT(target, timeout_ms), .key = "timeout", MSEC(1, 3600000), .def = "10s",
     .help = "Longest time of a poll, from connecting to the last byte."},
    {ROW(target, preset), LIST,
     .help = "Shipped sets of queries, see firstmile presets; jvm if there are no queries at all."},
    {AT(target, query_names), .key = "queries", LIST,
     .help = "Names of the [query:NAME] sections to ask; empty: all of them."},
    {ROW(target, tags), LIST, .flags = FM_OPT_TEMPLATE, .help = "Besides those of [record]."},
    {ROW(target, topic), STR, .def = "firstmile", .flags = FM_OPT_TEMPLATE | FM_OPT_INHERIT,
     .help = "Topic of its records; else that of [rest]."},
    {ROW(target, key), STR, .def = "${host}",
     .flags = FM_OPT_TEMPLATE | FM_OPT_INHERIT | FM_OPT_EMPTY,
     .help = "Key of its records; else that of [record]."},
    {ROW(target, shape), ENUM(SHAPES), .def = "bean", .flags = FM_OPT_INHERIT,
     .help = "Shape of its records; else that of [record]."},
    {ROW(target, follow_stub_host), SWITCH, .def = "off",
     .help = "on: go to the host that the JVM names itself, instead of the one in url."},
    {ROW(target, attach), SWITCH, .def = "off",
     .help = "on: JVMs of this host that opened no port are asked to open one on loopback."},
    {ROW(target, http_proxy), STR, .def = "none", .flags = FM_OPT_URL,
     .help = "HTTP proxy on the way to a Jolokia agent."},
    {ROW(target, jolokia_target), STR, .flags = FM_OPT_URL,
     .help = "JMX service URL that the Jolokia agent shall ask."},
    {ROW(target, jolokia_username), STR, .help = "User there."},
    {ROW(target, jolokia_password), SECRET, .help = "Password there."},
    {ROW(target, max_beans), COUNT(1, 1000000), .def = "20000", .help = "Most MBeans in a poll."},
    {ROW(target, max_bytes), SIZE(1 * KIB, 1 * GIB), .def = "8MiB",
     .help = "Most bytes of a poll."},

    {ROW(query, bean), STR,
     .help = "ObjectName pattern; alternatives separated by \" | \", with blanks around the bar."},
    {ROW(query, exclude), STR, .help = "Patterns of beans to leave out."},
    {.section = "query",
     .key = "where.PROPERTY",
     .offset = offsetof(struct fm_cfg_query, where),
     .type = FM_OPT_WHERE,
     .help =
         "Extended regular expression that this key property must match, as in where.name = ^G1."},
    {ROW(query, attributes), LIST, .def = "*",
     .help = "Attributes, with * and ?; !NAME leaves out; Attr/key takes a part of a composite."},
    {AT(query, interval_ms), .key = "interval", MSEC(1, DAY_MS), .def = "10s",
     .flags = FM_OPT_INHERIT, .help = "Time between two readings; else that of the target."},
    {AT(query, discovery_ms), .key = "discovery", MSEC(1, DAY_MS), .def = "1m",
     .help = "How often new and vanished beans are looked for."},
    {ROW(query, topic), STR, .def = "firstmile", .flags = FM_OPT_TEMPLATE | FM_OPT_INHERIT,
     .help = "Topic of its records; else that of the target."},
    {ROW(query, key), STR, .def = "${host}",
     .flags = FM_OPT_TEMPLATE | FM_OPT_INHERIT | FM_OPT_EMPTY,
     .help = "Key of its records; else that of the target."},
    {ROW(query, shape), ENUM(SHAPES), .def = "bean", .flags = FM_OPT_INHERIT,
     .help = "Shape of its records; else that of the target."},
    {ROW(query, max_beans), COUNT(1, 1000000), .def = "2000", .help = "Most MBeans it may match."},
};
const size_t fm_n_options = sizeof fm_options / sizeof fm_options[0];

#define PLAIN(kind)                                                                                \
    .name = #kind, .size = sizeof(struct fm_cfg_##kind), .offset = offsetof(struct fm_config, kind)

const struct fm_kind fm_kinds[] = {
    {PLAIN(agent), .about = "The agent itself."},
    {PLAIN(rest), .about = "Where records go: a REST proxy in front of Kafka. With url = sandbox "
                           "they go to a stand-in\ninside this process, and nothing leaves the "
                           "host."},
    {PLAIN(batch), .about = "How records are packed into requests."},
    {PLAIN(retry), .about = "How patiently failures are met."},
    {PLAIN(spool), .about = "The queue on disk between polling and sending."},
    {PLAIN(record), .about = "What a record looks like."},
    {PLAIN(http), .about = "The local server: /health, /livez, /readyz, /stats, /metrics and a "
                           "status page."},
    {PLAIN(log), .about = "Messages on standard error."},
    {.name = "target",
     .named = true,
     .size = sizeof(struct fm_cfg_target),
     .offset = offsetof(struct fm_config, targets),
     .about = "What is polled: one section for each JVM, or for each group of JVMs. Add as many "
              "[target:NAME] as\nyou need."},
    {.name = "query",
     .named = true,
     .size = sizeof(struct fm_cfg_query),
     .offset = offsetof(struct fm_config, queries),
     .about = "What is read, besides the presets. A query belongs to every target that does not "
              "list queries."},
};
const size_t fm_n_kinds = sizeof fm_kinds / sizeof fm_kinds[0];

const struct fm_kind *fm_kind_find(const char *name)
{
    for (size_t i = 0; i < fm_n_kinds; i++)
        if (strcmp(fm_kinds[i].name, name) == 0)
            return &fm_kinds[i];
    return NULL;
}

static bool is_file_twin(const struct fm_option *opt, const char *key)
{
    size_t len = strlen(opt->key);
    return opt->type == FM_OPT_SECRET && strncmp(opt->key, key, len) == 0 &&
           strcmp(key + len, "_file") == 0;
}

const struct fm_option *fm_option_find(const char *section, const char *key, bool *file_twin)
{
    for (size_t i = 0; i < fm_n_options; i++) {
        const struct fm_option *opt = &fm_options[i];
        if (strcmp(opt->section, section) != 0)
            continue;
        bool twin = is_file_twin(opt, key);
        bool where = opt->type == FM_OPT_WHERE && strncmp(key, "where.", 6) == 0 && key[6] != '\0';
        if (!twin && !where && (opt->type == FM_OPT_WHERE || strcmp(opt->key, key) != 0))
            continue;
        if (file_twin != NULL)
            *file_twin = twin;
        return opt;
    }
    return NULL;
}

size_t fm_option_rows(const char *kind, const struct fm_option **first)
{
    size_t at = 0;
    while (at < fm_n_options && strcmp(fm_options[at].section, kind) != 0)
        at++;
    *first = &fm_options[at];
    size_t n = 0;
    while (at + n < fm_n_options && strcmp(fm_options[at + n].section, kind) == 0)
        n++;
    return n;
}

size_t fm_option_index(const struct fm_option *opt)
{
    const struct fm_option *first = NULL;
    (void)fm_option_rows(opt->section, &first);
    return (size_t)(opt - first);
}

void *fm_option_at(const struct fm_option *opt, struct fm_section *section)
{
    return (char *)section + opt->offset;
}

size_t fm_choice_at(const char *choices, size_t i, const char **out)
{
    for (; i > 0; i--) {
        choices = strchr(choices, ' ');
        if (choices == NULL)
            return 0;
        choices++;
    }
    *out = choices;
    return strcspn(choices, " ");
}

static const char *type_text(const struct fm_option *opt)
{
    switch (opt->type) {
    case FM_OPT_STR:
    case FM_OPT_SECRET:
        return "text";
    case FM_OPT_MSEC:
        return "duration";
    case FM_OPT_SIZE:
        return "size";
    case FM_OPT_COUNT:
        return "number";
    case FM_OPT_BOOL:
        return "on off";
    case FM_OPT_ENUM:
        return opt->choices[0] == '-' ? opt->choices + 2 : opt->choices;
    case FM_OPT_LIST:
        return "list";
    case FM_OPT_WHERE:
        return "regular expression";
    }
    return "text";
}

bool fm_config_key_at(size_t i, struct fm_config_key *out)
{
    if (i >= fm_n_options)
        return false;
    const struct fm_option *opt = &fm_options[i];
    *out = (struct fm_config_key){
        .section = opt->section,
        .key = opt->key,
        .type = type_text(opt),
        .def = opt->def == NULL ? "" : opt->def,
        .help = opt->help,
        .secret = opt->type == FM_OPT_SECRET,
        .restart = (opt->flags & FM_OPT_RESTART) != 0,
        .later = opt->later,
    };
    return true;
}
