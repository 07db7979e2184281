/* cli/cmd_produce.c - `produce`: lines from files or standard input to a topic. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/plan.h"
#include "agent/signals.h"
#include "base/clock.h"
#include "base/jlike.h"
#include "base/utf8.h"
#include "cli/cmd_produce_priv.h"

enum { DEFAULT_TIMEOUT_MS = 300000 };

/* What lies between reader and sender: enough for two batches of any size that is in use, and for
 * the reader to sleep some milliseconds when the sender is the slower one. */
#define MEMORY_BYTES (UINT64_C(8) << 20)
enum { QUEUE_BYTES = 4 * 1024 * 1024, MEMORY_COMMIT_MS = 2, DISK_COMMIT_MS = 20 };

/* ---- the way out ---- */

static uint64_t left_before(struct fm_spool *spool)
{
    struct fm_spool_topic topics[64];
    size_t n = 0;
    uint64_t sum = 0;
    fm_spool_topics(spool, topics, 64, &n);
    for (size_t i = 0; i < n && i < 64; i++)
        sum += topics[i].pending;
    return sum;
}

/* On the spool's thread: without it the sender looks only every few seconds. */
static void on_commit(void *arg)
{
    struct fm_produce *p = arg;
    (void)pthread_mutex_lock(&p->wake_lock);
    if (p->waked != NULL)
        fm_rest_wakeup(p->waked);
    (void)pthread_mutex_unlock(&p->wake_lock);
}

void fm_produce_wake(struct fm_produce *p, struct fm_rest *rest)
{
    (void)pthread_mutex_lock(&p->wake_lock);
    p->waked = rest;
    (void)pthread_mutex_unlock(&p->wake_lock);
}

/* A small spool is not read far ahead of: when it is full, what is queued is not stored. */
static size_t queue_max(const struct fm_produce *p)
{
    uint64_t share = p->config->spool.max_size_bytes / 16;
    return p->o->spool != NULL && share < QUEUE_BYTES ? (size_t)share : QUEUE_BYTES;
}

static enum fm_code open_way(struct fm_produce *p, struct fm_err *err)
{
    const struct fm_config *config = p->config;
    const struct fm_spool_opts spool = {
        .path = p->o->spool,
        .use = FM_SPOOL_PROGRAM,
        .agent = config->agent.name,
        .max_size = p->o->spool != NULL ? config->spool.max_size_bytes : MEMORY_BYTES,
        .on_full = FM_SPOOL_BLOCK,
        .sync_full = config->spool.sync == FM_CFG_SYNC_FULL,
        .commit_ms = p->o->spool != NULL ? DISK_COMMIT_MS : MEMORY_COMMIT_MS,
        .queue_max = queue_max(p),
        .dead_max_size = config->spool.dead_max_size_bytes,
        .reserve = p->o->spool != NULL ? config->spool.reserve_bytes : 0,
        .log = p->cli->log,
        .on_commit = on_commit,
        .on_commit_arg = p,
        .on_stored = fm_produce_on_stored,
        .on_stored_arg = p,
    };
    FM_TRY(fm_spool_open(&p->spool, &spool, err));
    p->before = left_before(p->spool);
    p->way.spool = p->spool;
    p->way.log = p->cli->log;
    p->way.agent = config->agent.name;
    p->way.on_dead = fm_produce_on_dead;
    p->way.on_dead_arg = p;
    p->way.tells_dead = true;
    p->way.bury_at_end = true;
    FM_TRY(fm_rest_new(&p->rest, &p->way, err));
    fm_produce_wake(p, p->rest);
    return fm_rest_start(p->rest, err);
}

static enum fm_code drain(struct fm_produce *p, struct fm_err *err)
{
    fm_rest_end_of_input(p->rest);
    for (;;) {
        struct fm_err why = {0};
        enum fm_code code = fm_rest_drain(p->rest, FM_PRODUCE_SLICE_MS, &why);
        if (code != FM_OK && code != FM_ETIMEOUT) {
            if (err != NULL)
                *err = why;
            return code;
        }
        FM_TRY(fm_produce_tick(p, err));
        if (code == FM_OK)
            return FM_OK;
    }
}

/* What is said at the end when nothing kept it from going on. */
static enum fm_code sum_up(struct fm_produce *p, struct fm_err *err)
{
    fm_produce_clear(p);
    uint64_t refused = p->bad + p->stats->dead;
    if (p->given == 0 && p->bad == 0)
        fm_cmd_note(p->cli, "no line came: %s empty",
                    p->lines.n_files > 1                  ? "all files are"
                    : strcmp(p->lines.files[0], "-") == 0 ? "the input was"
                                                          : "the file is");
    if (p->stats->records > 0)
        fm_cmd_note(p->cli, "%" PRIu64 " line%s acknowledged by %s", p->stats->records,
                    fm_plural(p->stats->records), p->stats->last_send.endpoint);
    if (refused > 0)
        return fm_err_set(err, FM_EREMOTE, "%" PRIu64 " line%s refused%s", refused,
                          refused == 1 ? " was" : "s were",
                          p->given == 0 && !p->text
                              ? "; if they are no JSON, --format text sends them as they are"
                              : "");
    return FM_OK;
}

static enum fm_code work(struct fm_produce *p, struct fm_err *err)
{
    FM_TRY(open_way(p, err));
    p->started_ms = p->moved_ms = fm_clock_ms();
    p->show = isatty(STDERR_FILENO) != 0 && p->cli->global.quiet == 0;
    enum fm_code code = fm_produce_read(p, err);
    if (code == FM_OK)
        code = drain(p, err);
    fm_produce_clear(p);
    return code == FM_OK ? sum_up(p, err) : fm_produce_end(p, code, err);
}

/* ---- the command ---- */

static enum fm_code check_opts(struct fm_produce *p, struct fm_err *err)
{
    const struct produce_opts *o = p->o;
    const char *format = o->format != NULL ? o->format : "json";
    p->text = strcmp(format, "text") == 0;
    if (!p->text && strcmp(format, "json") != 0)
        return fm_err_set(err, FM_EUSAGE, "produce: --format is json or text, not %.40s", format);
    if (o->key != NULL && o->separator != NULL)
        return fm_err_set(err, FM_EUSAGE, "produce: -k and -K exclude each other");
    if (o->separator != NULL && o->separator[0] == '\0')
        return fm_err_set(err, FM_EUSAGE, "produce: -K wants a separator");
    if (!p->text && o->key != NULL && !fm_utf8_valid(o->key, strlen(o->key)))
        return fm_err_set(
            err, FM_EUSAGE,
            "produce: the key is not UTF-8: use --format text to send its exact bytes");
    p->key_len = o->key != NULL ? strlen(o->key) : 0;
    p->timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : DEFAULT_TIMEOUT_MS;
    return FM_OK;
}

static enum fm_code configure(struct fm_produce *p, const struct fm_words *words,
                              struct fm_err *err)
{
    FM_TRY(fm_cmd_config(p->cli, &p->config, NULL, err));
    const struct fm_cfg_rest *rest = &p->config->rest;
    if (rest->sandbox || rest->url.n == 0)
        return fm_err_set(err, FM_ECONF,
                          "produce: where to? %s; give the URL of a REST proxy with -o "
                          "rest.url=https://...",
                          rest->sandbox ? "[rest] url = sandbox lives inside `run`"
                                        : "[rest] url is not set");
    p->topic = words->n > 0 ? words->items[0] : rest->topic;
    if (!fm_rest_topic_valid(p->topic))
        return fm_err_set(err, FM_EUSAGE, "produce: %.60s is no name of a topic; give one",
                          p->topic);
    FM_TRY(fm_plan_rest(&p->way, p->config, NULL, &p->cli->arena, err));
    if (!p->text && fm_plan_typed(p->config) && p->way.schema == NULL && p->way.schema_id == 0)
        return fm_err_set(err, FM_ECONF,
                          "produce: format = avro and jsonschema want the schema of your lines: "
                          "set [rest] schema_file or schema_id");
    static const char *const standard_input[] = {"-"};
    bool files = words->n > 1;
    enum fm_code code =
        fm_lines_open(&p->lines, files ? words->items + 1 : standard_input,
                      files ? words->n - 1 : 1, (size_t)p->config->record.max_bytes, err);
    /* Whoever mends it and starts again must not send the other files twice. */
    return code == FM_OK ? FM_OK : fm_err_context(err, "nothing was sent");
}

static void release(struct fm_produce *p)
{
    fm_produce_wake(p, NULL);
    if (p->rest != NULL)
        fm_rest_stop(p->rest, 0);
    fm_rest_free(p->rest);
    if (p->spool != NULL)
        fm_spool_stop(p->spool);
    fm_spool_free(p->spool, 0);
    fm_chunk_free(p->chunk);
    fm_lines_close(&p->lines);
    fm_jlike_free(p->seen);
    fm_config_free(p->config);
    free(p->runs);
    free(p->stats);
    (void)pthread_mutex_destroy(&p->lock);
    (void)pthread_mutex_destroy(&p->wake_lock);
    free(p);
}

static enum fm_code run_produce(struct fm_cmd_call *call, struct fm_err *err)
{
    struct fm_produce *p = calloc(1, sizeof *p);
    if (p == NULL)
        return fm_err_nomem(err);
    p->cli = call->cli;
    p->o = call->opts;
    p->lines.fd = -1;
    p->seen = fm_jlike_new();
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_mutex_init(&p->wake_lock, NULL);
    p->stats = calloc(1, sizeof *p->stats);
    enum fm_code code = p->stats != NULL ? check_opts(p, err) : fm_err_nomem(err);
    if (code == FM_OK)
        code = configure(p, &call->words, err);
    if (code == FM_OK)
        code = fm_net_init(err);
    bool signals = code == FM_OK;
    if (signals) /* before the first thread */
        code = fm_signals_open(&p->signals, err);
    signals = signals && code == FM_OK;
    if (code == FM_OK)
        code = work(p, err);
    int fd = p->signals;
    release(p);
    if (signals)
        fm_signals_close(fd);
    return code;
}

#define AT(field) offsetof(struct produce_opts, field)
static const struct fm_flag flags[] = {
    {0, "format", FM_FLAG_TEXT, AT(format), "json|text",
     "json (the default): each line is one JSON value, strictly checked; text: its exact bytes."},
    {'k', "key", FM_FLAG_TEXT, AT(key), "KEY", "The key of every record."},
    {'K', "key-separator", FM_FLAG_TEXT, AT(separator), "SEPARATOR",
     "The key of a record is what stands before this text in its line, the value what follows."},
    {0, "spool", FM_FLAG_TEXT, AT(spool), "DIR",
     "Keep lines in this folder until they are acknowledged; what is left goes out next time. Not "
     "an agent's folder."},
    {0, "timeout", FM_FLAG_MSEC, AT(timeout_ms), "DURATION",
     "Give up after this time in which nothing was acknowledged (default 5m)."},
    {.name = NULL},
};
#undef AT
static const char *const text[] = {
    "Sends lines of files (- or none: standard input) to TOPIC (default: [rest] topic) over the "
    "REST proxy of the configuration, in their order, at least once. A line that is unfit or that "
    "the proxy refuses is reported as FILE:LINE with the reason, and the others go on; the exit "
    "code is 0 only when every line was acknowledged.",
    "What the proxy would change on its way is refused, too: a number that it would round, a name "
    "that comes twice in an object (it would keep the last).",
    "A file that cannot be read ends it before anything is sent.",
    "No envelope is added: a JSON line is the value of its record. With api = v3 the headers "
    "firstmile-agent, -stream and -seq say where it came from; seq is the order of input. On a "
    "terminal a line shows progress, rate and the time left.",
    "SIGINT or SIGTERM end it; the request in flight gets 3 s more.",
    NULL,
};
static const char *const examples[] = {
    "firstmile produce events events.jsonl -o rest.url=https://rest.example.com:8082",
    "each line of a file as a JSON record",
    "tail -F app.log | firstmile produce logs --format text -k \"$(hostname)\" --spool /var/tmp/q",
    "a log as it grows, kept on disk while the proxy is away", NULL};

const struct fm_cmd fm_cmd_produce = {
    .name = "produce",
    .args = "[TOPIC [FILE...]]",
    .about = "send lines from files or standard input to a topic",
    .text = text,
    .examples = examples,
    .flags = flags,
    .opts_size = sizeof(struct produce_opts),
    .max_words = FM_WORDS_MANY,
    .run = run_produce,
};
