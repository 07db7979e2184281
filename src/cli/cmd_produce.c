/* cli/cmd_produce.c - `produce`: lines from files or standard input to a topic. */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/plan.h"
#include "agent/signals.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "cli/cmd.h"
#include "cli/lines.h"
#include "cli/session.h"

enum {
    CHUNK_BYTES = 48 * 1024,
    SLICE_MS = 50, /* between two looks at signals, refusals and the time */
    STORE_MS = 10000,
    STOP_MS = 3000, /* for the request in flight */
    REFUSALS = 64,
    BAD_LINES = 1000,
    SHOW_MS = 250,
    DEFAULT_TIMEOUT_MS = 300000
};

#define MEMORY_BYTES (UINT64_C(64) << 20)

struct produce_opts {
    const char *format;
    const char *key;
    const char *separator;
    const char *spool;
    int64_t timeout_ms;
};

/* Lines that follow one another in a file and in the stream. */
struct run {
    char stream[FM_STREAM_LEN + 1];
    uint64_t seq, line, n;
    size_t file;
};

struct refusal {
    struct fm_spool_id id;
    char reason[240];
};

struct produce {
    struct fm_cli *cli;
    const struct produce_opts *o;
    struct fm_config *config;
    const char *topic;
    bool text;
    struct fm_rest_opts way;
    struct fm_lines lines;
    struct fm_spool *spool;
    struct fm_rest *rest;
    struct fm_rest_stats *stats;
    int signals;
    bool interrupted;

    struct fm_chunk *chunk; /* not stored yet; its lines follow one another */
    size_t chunk_file;
    uint64_t chunk_line;
    struct run *runs; /* few: a new one only where lines were left out */
    size_t n_runs, cap_runs;
    uint64_t stored, bad; /* lines */
    uint64_t before; /* records that an earlier run left in the spool */

    uint64_t settled;
    int64_t timeout_ms, moved_ms, started_ms, shown_ms;
    bool show, shown;

    pthread_mutex_t lock; /* protects what the sender's thread writes */
    struct refusal refusals[REFUSALS];
    size_t n_refusals;
    uint64_t untold;
};

/* ---- saying what happens ---- */

static void clear_progress(struct produce *p)
{
    if (p->shown)
        (void)fputs("\r\033[K", stderr);
    p->shown = false;
}

static void say_bad(struct produce *p, size_t file, uint64_t line, const char *why)
{
    struct fm_err text; /* one printable line, whatever it holds */
    clear_progress(p);
    (void)fm_err_set(&text, FM_OK, "%s:%" PRIu64 ": %s", fm_lines_name(&p->lines, file), line, why);
    (void)fprintf(stderr, "firstmile: %s\n", text.text);
}

/* On the sender's thread. */
static void on_dead(void *arg, const struct fm_spool_id *id, const char *reason)
{
    struct produce *p = arg;
    (void)pthread_mutex_lock(&p->lock);
    if (p->n_refusals < REFUSALS) {
        struct refusal *r = &p->refusals[p->n_refusals++];
        r->id = *id;
        (void)snprintf(r->reason, sizeof r->reason, "%s", reason != NULL ? reason : "");
        fm_utf8_cut(r->reason);
    } else {
        p->untold++;
    }
    (void)pthread_mutex_unlock(&p->lock);
}

static const struct run *find_run(const struct produce *p, const struct fm_spool_id *id)
{
    for (size_t i = 0; i < p->n_runs; i++) {
        const struct run *run = &p->runs[i];
        if (id->seq >= run->seq && id->seq - run->seq < run->n &&
            strcmp(run->stream, id->stream) == 0)
            return run;
    }
    return NULL;
}

static void tell_refusals(struct produce *p)
{
    struct refusal told[REFUSALS];
    (void)pthread_mutex_lock(&p->lock);
    size_t n = p->n_refusals;
    uint64_t untold = p->untold;
    memcpy(told, p->refusals, n * sizeof *told);
    p->n_refusals = 0;
    p->untold = 0;
    (void)pthread_mutex_unlock(&p->lock);
    for (size_t i = 0; i < n; i++) {
        const struct run *run = find_run(p, &told[i].id);
        char why[300];
        (void)snprintf(why, sizeof why, "refused: %s", told[i].reason);
        clear_progress(p);
        if (run != NULL)
            say_bad(p, run->file, run->line + (told[i].id.seq - run->seq), why);
        else
            fm_cmd_note(p->cli, "a record of an earlier run (stream %s, seq %" PRIu64 ") was %s",
                        told[i].id.stream, told[i].id.seq, why);
    }
    if (untold > 0)
        fm_cmd_note(p->cli, "%" PRIu64 " more lines were refused", untold);
}

/* "12000 of about 100000 lines, 4321/s, 12 %, ETA 0:20" */
static void show_progress(struct produce *p, int64_t now)
{
    if (!p->show || now - p->shown_ms < SHOW_MS)
        return;
    p->shown_ms = now;
    double seconds = (double)(now - p->started_ms) / 1000;
    double rate = seconds > 0 ? (double)p->settled / seconds : 0;
    (void)fprintf(stderr, "\r\033[K%" PRIu64 " lines, %.0f/s", p->settled, rate);
    p->shown = true;
    const struct fm_lines *l = &p->lines;
    if (l->bytes_total == 0 || l->bytes_read == 0 || p->stored == 0)
        return;
    double all = (double)p->stored * (double)l->bytes_total / (double)l->bytes_read;
    double part = (double)p->settled < all ? (double)p->settled / all : 1;
    (void)fprintf(stderr, ", %.0f %%", part * 100);
    if (rate > 0) {
        unsigned left =
            (unsigned)((all - (double)p->settled > 0 ? all - (double)p->settled : 0) / rate);
        (void)fprintf(stderr, ", ETA %u:%02u", left / 60, left % 60);
    }
}

/* ---- between the steps ---- */

static uint64_t lines_settled(struct produce *p)
{
    fm_rest_stats_get(p->rest, p->stats);
    return p->stats->records + p->stats->dead;
}

static const char *trouble(const struct produce *p)
{
    for (size_t i = 0; i < p->stats->n_topics; i++)
        if (p->stats->topics[i].reason[0] != '\0')
            return p->stats->topics[i].reason;
    return "the proxy does not answer";
}

static uint64_t unsettled(const struct produce *p)
{
    uint64_t all = p->before + p->stored;
    return all > p->settled ? all - p->settled : 0;
}

static enum fm_code no_progress(struct produce *p, struct fm_err *err)
{
    uint64_t left = unsettled(p);
    clear_progress(p);
    return fm_err_set(err, FM_ETIMEOUT, "%" PRIu64 " lines are not acknowledged%s: %s", left,
                      p->o->spool != NULL ? " and stay in the spool" : "", trouble(p));
}

/* @return FM_OK, FM_ESTOP after a signal, FM_ETIMEOUT without progress */
static enum fm_code tick(struct produce *p, struct fm_err *err)
{
    int64_t now = fm_clock_ms();
    uint64_t settled = lines_settled(p);
    tell_refusals(p);
    bool moved = settled != p->settled;
    p->settled = settled;
    if (moved || unsettled(p) == 0)
        p->moved_ms = now;
    show_progress(p, now);
    int signal_number = fm_signals_next(p->signals);
    if (signal_number == SIGINT || signal_number == SIGTERM || signal_number == SIGHUP) {
        p->interrupted = true;
        return fm_err_set(err, FM_ESTOP, "interrupted");
    }
    return now - p->moved_ms >= p->timeout_ms ? no_progress(p, err) : FM_OK;
}

/* ---- storing ---- */

static enum fm_code note_run(struct produce *p, const char *stream, uint64_t first, uint64_t n,
                             struct fm_err *err)
{
    if (p->n_runs > 0) {
        struct run *last = &p->runs[p->n_runs - 1];
        if (last->file == p->chunk_file && last->line + last->n == p->chunk_line &&
            last->seq + last->n == first && strcmp(last->stream, stream) == 0) {
            last->n += n;
            return FM_OK;
        }
    }
    if (p->n_runs == p->cap_runs) {
        size_t cap = p->cap_runs > 0 ? p->cap_runs * 2 : 16;
        struct run *more = realloc(p->runs, cap * sizeof *more);
        if (more == NULL)
            return fm_err_nomem(err);
        p->runs = more;
        p->cap_runs = cap;
    }
    struct run *run = &p->runs[p->n_runs++];
    *run = (struct run){.seq = first, .line = p->chunk_line, .n = n, .file = p->chunk_file};
    memcpy(run->stream, stream, sizeof run->stream);
    return FM_OK;
}

/* Into the spool, when it has room: memory stays bounded however slow the proxy is. */
static enum fm_code store_chunk(struct produce *p, struct fm_err *err)
{
    if (p->chunk == NULL)
        return FM_OK;
    uint64_t n = fm_chunk_count(p->chunk), first = 0;
    char stream[FM_STREAM_LEN + 1] = "";
    enum fm_code code;
    do {
        FM_TRY(tick(p, err));
        if (!fm_spool_ready(p->spool)) {
            (void)usleep(SLICE_MS * 1000 / 2);
            code = FM_EFULL;
            continue;
        }
        code = fm_spool_store(p->spool, &p->chunk, STORE_MS, stream, &first, NULL, err);
    } while (code == FM_EFULL && p->chunk != NULL);
    FM_TRY(code);
    p->stored += n;
    return note_run(p, stream, first, n, err);
}

/* A line that is not sent: told, counted, and too many of them end it. */
static enum fm_code leave_out(struct produce *p, const struct fm_line *line, const char *why,
                              struct fm_err *err)
{
    FM_TRY(store_chunk(p, err));
    say_bad(p, line->file, line->number, why);
    if (++p->bad < BAD_LINES)
        return FM_OK;
    return fm_err_set(err, FM_EUSAGE, "%d lines are unfit: is --format right?", BAD_LINES);
}

/* Key and value of a line. @return false: *why says what is wrong with it */
static bool split(const struct produce *p, const struct fm_line *line, struct fm_record *rec,
                  struct fm_err *why)
{
    rec->value = line->text;
    rec->value_len = line->len;
    rec->key = p->o->key;
    rec->key_len = p->o->key != NULL ? strlen(p->o->key) : 0;
    if (p->o->separator != NULL) {
        size_t len = strlen(p->o->separator);
        const char *at = memmem(line->text, line->len, p->o->separator, len);
        if (at == NULL)
            return fm_err_set(why, FM_EUSAGE, "there is no separator, so no key") == FM_OK;
        rec->key = line->text;
        rec->key_len = (size_t)(at - line->text);
        rec->value = at + len;
        rec->value_len = line->len - rec->key_len - len;
    }
    if (p->text)
        return true;
    if (rec->key != NULL && !fm_utf8_valid(rec->key, rec->key_len))
        return fm_err_set(why, FM_EUSAGE, "the key is not UTF-8") == FM_OK;
    return fm_rest_check_json(p->way.dialect, rec->value, rec->value_len, why) == FM_OK;
}

static enum fm_code add_line(struct produce *p, const struct fm_line *line, struct fm_err *err)
{
    struct fm_err why = {0};
    struct fm_record rec = {.kind = p->text ? FM_RECORD_RAW : FM_RECORD_DATA,
                            .time_ms = fm_wall_ms(),
                            .partition = FM_NO_PARTITION,
                            .id_at = FM_NO_ID};
    if (line->what == FM_LINE_LONG) {
        char text[80];
        (void)snprintf(text, sizeof text, "longer than %zu bytes, [record] max_bytes",
                       p->lines.max);
        return leave_out(p, line, text, err);
    }
    if (!split(p, line, &rec, &why))
        return leave_out(p, line, fm_err_text(&why), err);
    bool follows = p->chunk != NULL && p->chunk_file == line->file &&
                   p->chunk_line + fm_chunk_count(p->chunk) == line->number &&
                   fm_chunk_bytes(p->chunk) + line->len < CHUNK_BYTES;
    if (!follows) {
        FM_TRY(store_chunk(p, err));
        FM_TRY(fm_chunk_new(&p->chunk, p->topic, err));
        p->chunk_file = line->file;
        p->chunk_line = line->number;
    }
    return fm_chunk_add(p->chunk, &rec, NULL, 0, err);
}

static enum fm_code read_all(struct produce *p, struct fm_err *err)
{
    for (;;) {
        struct fm_line line;
        FM_TRY(fm_lines_next(&p->lines, SLICE_MS, &line, err));
        if (line.what == FM_LINE_END)
            return store_chunk(p, err);
        if (line.what != FM_LINE_NONE) {
            FM_TRY(add_line(p, &line, err));
            continue;
        }
        if (p->chunk != NULL)
            FM_TRY(store_chunk(p, err));
        FM_TRY(tick(p, err));
    }
}

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

static enum fm_code open_way(struct produce *p, struct fm_err *err)
{
    const struct fm_config *config = p->config;
    const struct fm_spool_opts spool = {
        .path = p->o->spool,
        .agent = config->agent.name,
        .max_size = p->o->spool != NULL ? config->spool.max_size_bytes : MEMORY_BYTES,
        .on_full = FM_SPOOL_BLOCK,
        .sync_full = config->spool.sync == FM_CFG_SYNC_FULL,
        .dead_max_size = config->spool.dead_max_size_bytes,
        .reserve = p->o->spool != NULL ? config->spool.reserve_bytes : 0,
        .log = p->cli->log,
    };
    FM_TRY(fm_spool_open(&p->spool, &spool, err));
    p->before = left_before(p->spool);
    p->way.spool = p->spool;
    p->way.log = p->cli->log;
    p->way.agent = config->agent.name;
    p->way.on_dead = on_dead;
    p->way.on_dead_arg = p;
    FM_TRY(fm_rest_new(&p->rest, &p->way, err));
    return fm_rest_start(p->rest, err);
}

static enum fm_code drain(struct produce *p, struct fm_err *err)
{
    fm_rest_end_of_input(p->rest);
    for (;;) {
        struct fm_err why = {0};
        enum fm_code code = fm_rest_drain(p->rest, SLICE_MS, &why);
        if (code != FM_OK && code != FM_ETIMEOUT) {
            if (err != NULL)
                *err = why;
            return code;
        }
        FM_TRY(tick(p, err));
        if (code == FM_OK)
            return FM_OK;
    }
}

/* What is said at the end when nothing kept it from going on. */
static enum fm_code sum_up(struct produce *p, struct fm_err *err)
{
    clear_progress(p);
    uint64_t refused = p->bad + p->stats->dead;
    if (p->stats->records > 0)
        fm_cmd_note(p->cli, "%" PRIu64 " lines acknowledged by %s", p->stats->records,
                    p->stats->last_send.endpoint);
    if (refused > 0)
        return fm_err_set(err, FM_EREMOTE, "%" PRIu64 " lines were refused", refused);
    return FM_OK;
}

static enum fm_code interrupted(struct produce *p, struct fm_err *err)
{
    fm_rest_stop(p->rest, STOP_MS);
    (void)fm_rest_join(p->rest, STOP_MS + 1000);
    p->settled = lines_settled(p);
    tell_refusals(p);
    clear_progress(p);
    return fm_err_set(
        err, FM_ESTOP, "interrupted: %" PRIu64 " lines acknowledged, %" PRIu64 " read but not%s",
        p->stats->records, unsettled(p), p->o->spool != NULL ? "; they stay in the spool" : "");
}

static enum fm_code work(struct produce *p, struct fm_err *err)
{
    FM_TRY(open_way(p, err));
    p->started_ms = p->moved_ms = fm_clock_ms();
    p->show = isatty(STDERR_FILENO) != 0 && p->cli->global.quiet == 0;
    enum fm_code code = read_all(p, err);
    if (code == FM_OK)
        code = drain(p, err);
    clear_progress(p);
    if (p->interrupted)
        return interrupted(p, err);
    return code == FM_OK ? sum_up(p, err) : code;
}

/* ---- the command ---- */

static enum fm_code check_opts(struct produce *p, struct fm_err *err)
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
        return fm_err_set(err, FM_EUSAGE, "produce: the key is not UTF-8");
    p->timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : DEFAULT_TIMEOUT_MS;
    return FM_OK;
}

static enum fm_code configure(struct produce *p, const struct fm_words *words, struct fm_err *err)
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
    static const char *const standard_input[] = {"-"};
    bool files = words->n > 1;
    return fm_lines_open(&p->lines, files ? words->items + 1 : standard_input,
                         files ? words->n - 1 : 1, (size_t)p->config->record.max_bytes, err);
}

static void release(struct produce *p)
{
    if (p->rest != NULL)
        fm_rest_stop(p->rest, 0);
    fm_rest_free(p->rest);
    if (p->spool != NULL)
        fm_spool_stop(p->spool);
    fm_spool_free(p->spool, 0);
    fm_chunk_free(p->chunk);
    fm_lines_close(&p->lines);
    fm_config_free(p->config);
    free(p->runs);
    free(p->stats);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}

static enum fm_code run_produce(struct fm_cmd_call *call, struct fm_err *err)
{
    struct produce *p = calloc(1, sizeof *p);
    if (p == NULL)
        return fm_err_nomem(err);
    p->cli = call->cli;
    p->o = call->opts;
    p->lines.fd = -1;
    (void)pthread_mutex_init(&p->lock, NULL);
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
     "Keep lines in this folder until they are acknowledged; what is left goes out next time."},
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
