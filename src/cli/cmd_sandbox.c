/* cli/cmd_sandbox.c - `sandbox`: the stand-in for a REST proxy, on its own. */
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "cli/cmd.h"
#include "config/secret.h"
#include "sandbox/sandbox.h"

struct sandbox_opts {
    const char *listen;
    const char *data;
    const char *tls_cert;
    const char *tls_key;
    const char *client_ca;
    const char *user;
    const char *password_file;
    const char *kafka;
    struct fm_words topics;
    bool no_create;
    int64_t metadata_timeout_ms;
    uint64_t max_size;
    const char *faults;
    const char *ledger;
};

static enum fm_code check_opts(const struct sandbox_opts *o, struct fm_err *err)
{
    if ((o->tls_cert == NULL) != (o->tls_key == NULL))
        return fm_err_set(err, FM_EUSAGE, "sandbox: --tls-cert and --tls-key belong together");
    if (o->client_ca != NULL && o->tls_cert == NULL)
        return fm_err_set(err, FM_EUSAGE, "sandbox: --client-ca needs --tls-cert and --tls-key");
    if ((o->user == NULL) != (o->password_file == NULL))
        return fm_err_set(err, FM_EUSAGE, "sandbox: --user and --password-file belong together");
    if (o->kafka != NULL && o->data != NULL)
        return fm_err_set(err, FM_EUSAGE,
                          "sandbox: --kafka and --data exclude each other; records have one store");
    return FM_OK;
}

static void say_where(const struct fm_sandbox *sandbox, const struct sandbox_opts *o,
                      const char *listen)
{
    uint16_t port = fm_sandbox_port(sandbox);
    const char *scheme = o->tls_cert != NULL ? "https" : "http";
    const char *colon = strrchr(listen, ':');
    if (port == 0 || colon == NULL)
        (void)printf("%s\n", listen);
    else
        (void)printf("%s://%.*s:%u\n", scheme, (int)(colon - listen), listen, (unsigned)port);
    (void)fflush(stdout);
}

/* What it did, at the end, with -v. */
static void log_stats(struct fm_log *log, struct fm_sandbox *sandbox, enum fm_log_level level)
{
    struct fm_sandbox_stats stats = {0};
    fm_sandbox_stats(sandbox, &stats);
    fm_log(log, level, "sandbox: %llu requests, %llu records stored (%llu bytes), %llu refused",
           (unsigned long long)stats.requests, (unsigned long long)stats.records,
           (unsigned long long)stats.bytes, (unsigned long long)stats.refused);
}

/* The sandbox copies what it needs of the password; ours is wiped. */
static enum fm_code start(struct fm_sandbox **out, struct fm_sandbox_opts *opts,
                          const struct sandbox_opts *o, struct fm_err *err)
{
    struct fm_buf password;
    enum fm_code code = FM_OK;
    fm_buf_init(&password, FM_SECRET_MAX);
    if (o->user != NULL) {
        code = fm_secret_read_file(o->password_file, &password, err);
        opts->username = o->user;
        opts->password = fm_buf_str(&password);
    }
    if (code == FM_OK)
        code = fm_sandbox_start(out, opts, err);
    opts->password = NULL;
    fm_secret_wipe(&password);
    return code;
}

static enum fm_code run_sandbox(struct fm_cmd_call *call, struct fm_err *err)
{
    const struct sandbox_opts *o = call->opts;
    FM_TRY(check_opts(o, err));
    const char *listen = o->listen != NULL ? o->listen : "127.0.0.1:8082";
    struct fm_sandbox_opts opts = {
        .listen = listen,
        .cert_file = o->tls_cert,
        .key_file = o->tls_key,
        .client_ca_file = o->client_ca,
        .data_dir = o->data,
        .kafka = o->kafka,
        .topics = o->topics.items,
        .n_topics = o->topics.n,
        .no_create = o->no_create,
        .metadata_timeout_ms = o->metadata_timeout_ms,
        .max_bytes = o->max_size,
        .faults_file = o->faults,
        .ledger_file = o->ledger,
        .log = call->cli->log,
    };
    /* Blocked before the sandbox starts its threads, so that it is this one that gets them. */
    sigset_t ends;
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGINT);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigaddset(&ends, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &ends, NULL);
    /* Requests are logged as debug, so that the sandbox inside an agent is quiet. */
    if (call->cli->global.verbose > 0)
        fm_log_set(call->cli->log, FM_LOG_DEBUG, FM_LOG_TEXT);
    struct fm_sandbox *sandbox = NULL;
    FM_TRY(start(&sandbox, &opts, o, err));
    say_where(sandbox, o, listen);
    int number = 0;
    (void)sigwait(&ends, &number);
    /* A second one while stopping must not wait for a slow Kafka. */
    (void)pthread_sigmask(SIG_UNBLOCK, &ends, NULL);
    log_stats(call->cli->log, sandbox, FM_LOG_INFO);
    fm_sandbox_stop(sandbox);
    return FM_OK;
}

#define AT(field) offsetof(struct sandbox_opts, field)
static const struct fm_flag flags[] = {
    {0, "listen", FM_FLAG_TEXT, AT(listen), "HOST:PORT",
     "Where to listen (default 127.0.0.1:8082); port 0 takes any free one."},
    {0, "data", FM_FLAG_TEXT, AT(data), "DIR",
     "Keep records in this folder (SQLite) instead of in memory."},
    {0, "tls-cert", FM_FLAG_TEXT, AT(tls_cert), "FILE", "Serve HTTPS with this certificate (PEM)."},
    {0, "tls-key", FM_FLAG_TEXT, AT(tls_key), "FILE", "The certificate's key (PEM)."},
    {0, "client-ca", FM_FLAG_TEXT, AT(client_ca), "FILE",
     "Ask for client certificates signed by this CA (PEM)."},
    {0, "user", FM_FLAG_TEXT, AT(user), "NAME",
     "Want this user name and the password of --password-file (Basic auth) for each request."},
    {0, "password-file", FM_FLAG_TEXT, AT(password_file), "FILE",
     "Holds the password of --user; closed to group and others."},
    {0, "kafka", FM_FLAG_TEXT, AT(kafka), "BOOTSTRAP",
     "Store into a real Kafka at these bootstrap servers; its metadata decide what exists."},
    {0, "topic", FM_FLAG_LIST, AT(topics), "NAME[:PARTITIONS]",
     "Create a topic at the start; may be given several times."},
    {0, "no-create", FM_FLAG_SWITCH, AT(no_create), NULL,
     "Only the topics listed exist; without it a topic exists as soon as it is asked for."},
    {0, "metadata-timeout", FM_FLAG_MSEC, AT(metadata_timeout_ms), "DURATION",
     "How long a record for an unknown topic blocks, as a real proxy does (default 60s)."},
    {0, "max-size", FM_FLAG_SIZE, AT(max_size), "SIZE",
     "Keep at most this much in memory (default 64MiB); the oldest records leave first."},
    {0, "faults", FM_FLAG_TEXT, AT(faults), "FILE",
     "Misbehave as this script says, for tests of clients."},
    {0, "ledger", FM_FLAG_TEXT, AT(ledger), "FILE",
     "Write a JSON line for each record before it is acknowledged."},
    {.name = NULL},
};
#undef AT
static const char *const text[] = {
    "Answers as a Confluent REST Proxy does on its v2 (consumers too) and v3 (URL/v3) interfaces; "
    "topics can also be read back under /topics/NAME/partitions/0/records. Prints its URL on "
    "stdout and runs until SIGINT or SIGTERM; "
    "-v logs requests.",
    "Nothing leaves this host unless --kafka says so. Without --user it asks for no password: do "
    "not listen on an address that others reach then.",
    NULL,
};
static const char *const examples[] = {
    "firstmile sandbox --listen 127.0.0.1:8082 -v", "a REST proxy in memory, each request shown",
    "firstmile sandbox --kafka broker:9092 --topic metrics:3", "in front of a real Kafka", NULL};

const struct fm_cmd fm_cmd_sandbox = {
    .name = "sandbox",
    .args = "",
    .about = "run a stand-in for a Kafka REST proxy",
    .text = text,
    .examples = examples,
    .flags = flags,
    .opts_size = sizeof(struct sandbox_opts),
    .run = run_sandbox,
};
