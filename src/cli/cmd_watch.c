/* cli/cmd_watch.c - `watch TARGET [BEAN ATTRIBUTE...]`: values live, with rates and trends.
 *
 * The poll thread reads and hands samples over under a lock; the main thread draws, and listens to
 * keys and signals, so that nothing a JVM does can keep it from ending at once. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/screen.h"
#include "cli/session.h"
#include "cli/term.h"

struct watch_opts {
    int64_t interval_ms;
    uint64_t count;
    struct fm_words presets;
    bool lines;
    bool wait;
};

enum {
    LEAST_INTERVAL_MS = 100,
    MOST_BACKOFF_MS = 5000,
    SCAN_MS = 2000, /* a restarted local JVM is found again so soon */
    TICK_MS = 500, /* how old the status line may be */
    JOIN_MS = 300,
    QUERIES = 64
};

/** How often a target was printed. */
struct printed {
    char *target;
    uint64_t times;
};

struct watch {
    struct fm_cli *cli;
    const struct watch_opts *opts;
    struct fm_config *config;
    struct fm_poll_target_opts target;
    const char *only; /* NAME/PART; NULL: all that the TARGET stands for */
    struct fm_query *queries[QUERIES];
    struct fm_poll_query rows[QUERIES];
    size_t n_queries;
    struct fm_poll *poll;
    int wake; /* eventfd: a sample came */
    unsigned interval_ms;
    bool live;
    bool was_up; /* once at least */
    char told[320]; /* what was noted last */
    struct fm_term term;
    struct fm_screen screen;

    pthread_mutex_t lock; /* leaf; guards what follows */
    struct fm_series_set set;
    bool paused;
    bool broken; /* stdout takes no more */
    uint64_t samples;
    struct printed *printed;
    size_t n_printed;
};

/* ---- what is asked ---- */

/* What one looks at first in any JVM. */
static const struct {
    const char *bean;
    const char *attributes[8];
} defaults[] = {
    {"java.lang:type=Memory",
     {"HeapMemoryUsage/used", "HeapMemoryUsage/committed", "HeapMemoryUsage/max",
      "NonHeapMemoryUsage/used"}},
    {"java.lang:type=GarbageCollector,name=*", {"CollectionCount", "CollectionTime"}},
    {"java.lang:type=Threading", {"ThreadCount", "DaemonThreadCount", "TotalStartedThreadCount"}},
    {"java.lang:type=OperatingSystem",
     {"ProcessCpuLoad", "ProcessCpuTime", "SystemLoadAverage", "OpenFileDescriptorCount"}},
    {"java.lang:type=ClassLoading", {"LoadedClassCount", "UnloadedClassCount"}},
    {"java.lang:type=Runtime", {"Uptime"}},
};

static enum fm_code add_query(struct watch *w, const struct fm_query_opts *opts, struct fm_err *err)
{
    if (w->n_queries == QUERIES)
        return fm_err_set(err, FM_EUSAGE, "watch: more than %d beans; a pattern stands for many",
                          QUERIES);
    FM_TRY(fm_query_new(&w->queries[w->n_queries], opts, err));
    w->rows[w->n_queries].query = w->queries[w->n_queries];
    w->n_queries++;
    return FM_OK;
}

static enum fm_code add_defaults(struct watch *w, struct fm_err *err)
{
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++) {
        size_t n = 0;
        while (n < 8 && defaults[i].attributes[n] != NULL)
            n++;
        const struct fm_query_opts opts = {
            .bean = defaults[i].bean, .attributes = defaults[i].attributes, .n_attributes = n};
        FM_TRY(add_query(w, &opts, err));
    }
    return FM_OK;
}

/* BEAN ATTRIBUTE... BEAN ATTRIBUTE...: what holds a colon is the next bean. */
static enum fm_code add_words(struct watch *w, const struct fm_words *words, struct fm_err *err)
{
    for (size_t i = 1; i < words->n;) {
        size_t end = i + 1;
        while (end < words->n && strchr(words->items[end], ':') == NULL)
            end++;
        const struct fm_query_opts opts = {.bean = words->items[i],
                                           .attributes = words->items + i + 1,
                                           .n_attributes = end - i - 1};
        FM_TRY(add_query(w, &opts, err));
        i = end;
    }
    return FM_OK;
}

static enum fm_code add_presets(struct watch *w, struct fm_err *err)
{
    const struct fm_cfg_target *unnamed = &w->config->unnamed;
    for (size_t i = 0; i < unnamed->n_queries; i++) {
        const struct fm_cfg_query *query = unnamed->queries[i];
        if (strchr(query->section.name, '/') == NULL)
            continue; /* of the file, not of the preset */
        if (w->n_queries == QUERIES)
            return fm_err_set(err, FM_EUSAGE, "watch: --preset: more than %d queries", QUERIES);
        FM_TRY(fm_plan_query(&w->queries[w->n_queries], query, &w->cli->arena, err));
        w->rows[w->n_queries].query = w->queries[w->n_queries];
        w->n_queries++;
    }
    return FM_OK;
}

/* --preset NAME becomes -o target.preset=NAME,NAME: the configuration knows where presets lie. */
static enum fm_code override_presets(struct watch *w, struct fm_err *err)
{
    struct fm_words *old = &w->cli->global.overrides;
    const struct fm_words *presets = &w->opts->presets;
    struct fm_buf text;
    if (presets->n == 0)
        return FM_OK;
    fm_buf_init(&text, 0);
    for (size_t i = 0; i < presets->n; i++)
        fm_buf_printf(&text, "%s%s", i == 0 ? "target.preset=" : ",", presets->items[i]);
    const char **items = fm_arena_array(&w->cli->arena, old->n + 1, sizeof *items);
    if (items != NULL) {
        if (old->n > 0)
            memcpy(items, old->items, old->n * sizeof *items);
        items[old->n] = fm_arena_strndup(&w->cli->arena, fm_buf_str(&text), text.len);
    }
    bool ok = items != NULL && items[old->n] != NULL && !text.failed;
    fm_buf_clear(&text);
    if (!ok)
        return fm_err_nomem(err);
    *old = (struct fm_words){items, old->n + 1};
    return FM_OK;
}

static enum fm_code prepare(struct watch *w, const struct fm_words *words, struct fm_err *err)
{
    const char *part = NULL;
    w->interval_ms = w->opts->interval_ms > 0 && w->opts->interval_ms < INT_MAX
                         ? (unsigned)w->opts->interval_ms
                         : 1000;
    if (w->interval_ms < LEAST_INTERVAL_MS)
        return fm_err_set(err, FM_EUSAGE, "watch: --interval: at least %d ms", LEAST_INTERVAL_MS);
    if (words->n > 1 && w->opts->presets.n > 0)
        return fm_err_set(err, FM_EUSAGE, "watch: either BEAN or --preset, not both");
    if (words->n > 1 && strchr(words->items[1], ':') == NULL)
        return fm_err_set(err, FM_EUSAGE,
                          "watch: \"%.80s\" is no MBean name: it needs a colon, as in "
                          "java.lang:type=Memory",
                          words->items[1]);
    FM_TRY(override_presets(w, err));
    FM_TRY(fm_cmd_target(w->cli, words->items[0], &w->config, &w->target, &part, err));
    if (part != NULL)
        w->only = words->items[0];
    if (words->n > 1)
        FM_TRY(add_words(w, words, err));
    else if (w->opts->presets.n > 0)
        FM_TRY(add_presets(w, err));
    else
        FM_TRY(add_defaults(w, err));
    w->set.nonfinite = w->config->record.nonfinite;
    w->target.interval_ms = w->interval_ms;
    w->target.queries = w->rows;
    w->target.n_queries = w->n_queries;
    return FM_OK;
}

/* ---- lines, printed by the poll thread: who reads slowly is polled for slowly ---- */

static void put_rate(struct fm_buf *out, const struct fm_series *s, bool json)
{
    if (s->has_rate)
        fm_buf_printf(out, s->rate >= 1000 ? "%.1f" : "%.6g", s->rate);
    else if (json)
        fm_buf_puts(out, "null");
}

static void put_json_line(struct fm_buf *out, const struct fm_series *s, const char *time)
{
    fm_buf_printf(out, "{\"time\":\"%s\",\"target\":", time);
    fm_json_cstr(out, s->target);
    fm_buf_puts(out, ",\"bean\":");
    fm_json_cstr(out, s->bean);
    fm_buf_puts(out, ",\"name\":");
    fm_json_cstr(out, s->path);
    fm_buf_puts(out, ",\"value\":");
    fm_buf_put(out, s->json.data, s->json.len);
    fm_buf_puts(out, ",\"rate\":");
    put_rate(out, s, true);
    fm_buf_puts(out, "}\n");
}

/* A name that holds tabs or newlines would break the line. */
static void put_name(struct fm_buf *out, const char *text)
{
    for (; *text != '\0'; text++)
        fm_buf_putc(out, (unsigned char)*text < 0x20 ? '?' : *text);
}

static void put_text_line(struct fm_buf *out, const struct watch *w, const struct fm_series *s,
                          const char *time)
{
    fm_buf_printf(out, "%s\t", time);
    if (w->screen.several) {
        put_name(out, s->target);
        fm_buf_putc(out, ' ');
    }
    put_name(out, s->bean);
    fm_buf_putc(out, ' ');
    put_name(out, s->path);
    fm_buf_putc(out, '\t');
    fm_buf_put(out, s->text.data, s->text.len);
    fm_buf_putc(out, '\t');
    put_rate(out, s, false);
    fm_buf_putc(out, '\n');
}

static struct printed *printed_of(struct watch *w, const char *target)
{
    for (size_t i = 0; i < w->n_printed; i++)
        if (strcmp(w->printed[i].target, target) == 0)
            return &w->printed[i];
    struct printed *list = realloc(w->printed, (w->n_printed + 1) * sizeof *list);
    if (list == NULL)
        return NULL;
    w->printed = list;
    list[w->n_printed].times = 0;
    list[w->n_printed].target = strdup(target);
    return list[w->n_printed].target != NULL ? &list[w->n_printed++] : NULL;
}

static void print_lines(struct watch *w, const struct fm_sample *sample)
{
    char time[32];
    struct fm_buf out;
    struct printed *printed = printed_of(w, sample->target);
    if (printed == NULL || (w->opts->count > 0 && printed->times >= w->opts->count))
        return;
    printed->times++;
    fm_wall_text(sample->timestamp_ms, time);
    fm_buf_init(&out, 0);
    for (size_t i = 0; i < w->set.n; i++) {
        const struct fm_series *s = w->set.items[i];
        if (!s->here || strcmp(s->target, sample->target) != 0)
            continue;
        if (w->cli->global.json)
            put_json_line(&out, s, time);
        else
            put_text_line(&out, w, s, time);
    }
    if (w->cli->global.json)
        (void)fwrite(out.data, 1, out.len, stdout);
    else
        fm_cmd_print(w->cli, fm_buf_str(&out), out.len);
    fm_buf_clear(&out);
    if (fflush(stdout) != 0)
        w->broken = true;
}

/* ---- hooks, on the poll thread ---- */

static void ring(const struct watch *w)
{
    uint64_t one = 1;
    ssize_t n = write(w->wake, &one, sizeof one);
    (void)n; /* full: it rings already */
}

static void on_sample(void *arg, const struct fm_sample *sample)
{
    struct watch *w = arg;
    if (w->only != NULL && strcmp(w->only, sample->target) != 0)
        return;
    (void)pthread_mutex_lock(&w->lock);
    w->samples++;
    if (!w->paused) {
        fm_series_take(&w->set, sample, fm_clock_ns());
        if (!w->live)
            print_lines(w, sample);
    }
    (void)pthread_mutex_unlock(&w->lock);
    ring(w);
}

static void on_state(void *arg, const struct fm_poll_event *event)
{
    struct watch *w = arg;
    if (strcmp(event->state, "restarted") == 0) {
        (void)pthread_mutex_lock(&w->lock);
        fm_series_restart(&w->set, event->target);
        (void)pthread_mutex_unlock(&w->lock);
    }
    ring(w);
}

/* ---- how the targets are ---- */

/** All targets at a glance. */
struct glance {
    size_t n, up, waiting;
    bool done; /* each was polled as often as -n says */
    bool missing; /* NAME/PART is none of those there are */
    const struct fm_poll_status *worst; /* one that is not up; NULL: all are */
    const struct fm_poll_status *first;
};

static struct glance look(const struct watch *w, const struct fm_poll_snapshot *snapshot)
{
    struct glance g = {.done = w->opts->count > 0};
    bool others = snapshot->n > 0; /* were all polled */
    for (size_t i = 0; i < snapshot->n; i++) {
        const struct fm_poll_status *t = &snapshot->targets[i];
        others = others && (t->polls > 0 || t->state == FM_POLL_EMPTY);
        if (w->only != NULL && strcmp(t->name, w->only) != 0 && t->state != FM_POLL_EMPTY)
            continue;
        g.n++;
        g.up += t->state == FM_POLL_UP;
        g.waiting += t->polls == 0 && t->state != FM_POLL_EMPTY;
        g.done = g.done && t->polls >= w->opts->count;
        g.first = g.first == NULL ? t : g.first;
        if (t->state != FM_POLL_UP && t->polls > 0)
            g.worst = t;
        if (t->state == FM_POLL_EMPTY && g.worst == NULL)
            g.worst = t;
    }
    g.done = g.done && g.n > 0;
    g.missing = g.n == 0 && others;
    return g;
}

static const char *reason(const struct fm_poll_status *t)
{
    return t->error != NULL            ? t->error
           : t->state == FM_POLL_EMPTY ? "no JVM of this host matches"
                                       : fm_code_text(t->code);
}

/* Answered, but nothing of what was asked is there. */
static enum fm_code nothing_there(const struct watch *w, const struct fm_poll_status *t,
                                  struct fm_err *err)
{
    size_t beans = 0;
    for (size_t i = 0; i < t->n_queries; i++)
        beans += t->queries[i].beans;
    for (size_t i = 0; i < t->n_queries; i++)
        if (t->queries[i].error != NULL)
            return fm_err_set(err, FM_ENOTFOUND, "%s: %.200s", t->name, t->queries[i].error);
    return fm_err_set(err, FM_ENOTFOUND,
                      beans == 0
                          ? "%s: no MBean matches; \"firstmile beans %s\" lists them"
                          : "%s: these MBeans have none of the attributes; \"firstmile beans "
                            "%s -l\" lists them",
                      t->name, w->target.name);
}

static void tell_status(struct watch *w, const struct glance *g)
{
    struct fm_screen *s = &w->screen;
    s->status_colour = FM_GREEN;
    if (g->missing) {
        s->status_colour = FM_RED;
        (void)snprintf(s->status, sizeof s->status, "there is no such JVM now");
    } else if (g->n == 0 || (g->waiting == g->n && g->worst == NULL)) {
        s->status_colour = FM_YELLOW;
        (void)snprintf(s->status, sizeof s->status, "connecting");
    } else if (g->worst != NULL) {
        char age[24] = "";
        s->status_colour = FM_RED;
        if (w->was_up && g->worst->state_ms > 0)
            fm_text_age(age, sizeof age, fm_wall_ms() - g->worst->state_ms);
        if (g->n > 1)
            (void)snprintf(s->status, sizeof s->status, "%zu of %zu up; %.60s: %.220s", g->up, g->n,
                           g->worst->name, reason(g->worst));
        else
            (void)snprintf(s->status, sizeof s->status, "%s%s%s, trying again: %.240s",
                           w->was_up ? "lost" : "not there",
                           age[0] != '\0' && strcmp(age, "now") != 0 ? " for " : "",
                           strcmp(age, "now") != 0 ? age : "", reason(g->worst));
    } else if (g->n > 1) {
        (void)snprintf(s->status, sizeof s->status, "up: %zu JVMs", g->n);
    } else {
        (void)snprintf(s->status, sizeof s->status, "up, %.1f ms%s%.100s", g->first->duration_ms,
                       g->first->jvm != NULL ? ", " : "",
                       g->first->jvm != NULL ? g->first->jvm : "");
    }
}

/* A remark on stderr when a target is lost or back. */
static void tell_lines(struct watch *w, const struct glance *g)
{
    char text[320] = "";
    if (g->worst != NULL)
        (void)snprintf(text, sizeof text, "%.60s: %s, trying again: %.220s", g->worst->name,
                       w->was_up ? "lost" : "not there", reason(g->worst));
    /* Only the state counts: how an attempt failed may change from one to the next. */
    if ((text[0] != '\0') == (w->told[0] != '\0'))
        return;
    if (text[0] != '\0')
        fm_cmd_note(w->cli, "%s", text);
    else
        fm_cmd_note(w->cli, "%s is back", w->target.name);
    memcpy(w->told, text, sizeof text);
}

/* Look at the targets. @return FM_OK, or why it makes no sense to go on */
static enum fm_code check_state(struct watch *w, bool *done, struct fm_err *err)
{
    struct fm_poll_snapshot snapshot;
    FM_TRY(fm_poll_status_get(w->poll, &snapshot, err));
    struct glance g = look(w, &snapshot);
    enum fm_code code = FM_OK;
    (void)pthread_mutex_lock(&w->lock);
    uint64_t samples = w->samples;
    bool broken = w->broken;
    if (g.n > 1)
        w->screen.several = true;
    (void)pthread_mutex_unlock(&w->lock);
    *done = g.done || broken;
    if (g.missing && !w->was_up && !w->opts->wait)
        code = fm_err_set(err, FM_ENOTFOUND, "%s: there is no such JVM now, but %s", w->only,
                          snapshot.targets[0].name);
    else if (!w->was_up && !w->opts->wait && g.up == 0 && g.waiting == 0 && g.worst != NULL)
        code = fm_err_set(err, g.worst->code != FM_OK ? g.worst->code : FM_ENOTFOUND, "%s: %s",
                          g.worst->name, reason(g.worst));
    else if (!w->opts->wait && g.up > 0 && g.up == g.n && samples == 0 && g.first->polls > 0)
        code = nothing_there(w, g.first, err);
    else if (g.done && g.worst != NULL)
        code = fm_err_set(err, g.worst->code != FM_OK ? g.worst->code : FM_ENOTFOUND, "%s: %s",
                          g.worst->name, reason(g.worst));
    w->was_up = w->was_up || g.up > 0;
    if (code == FM_OK && w->live)
        tell_status(w, &g);
    else if (code == FM_OK)
        tell_lines(w, &g);
    fm_poll_snapshot_clear(&snapshot);
    return code;
}

/* ---- live ---- */

static enum fm_code draw(struct watch *w, struct fm_err *err)
{
    struct fm_buf frame;
    fm_buf_init(&frame, 0);
    w->screen.rows = w->term.rows;
    w->screen.cols = w->term.cols;
    (void)pthread_mutex_lock(&w->lock);
    w->paused = w->screen.paused;
    fm_screen_draw(&w->screen, &w->set, &frame);
    (void)pthread_mutex_unlock(&w->lock);
    enum fm_code code = fm_buf_code(&frame, err);
    if (code == FM_OK && fm_term_write(&w->term, &frame) == FM_ESYS)
        code = fm_err_set(err, FM_ESYS, "watch: the terminal is gone");
    fm_buf_clear(&frame);
    return code;
}

/* @return the signal that ends us; 0: none */
static int take_signals(struct watch *w)
{
    int sig;
    while ((sig = fm_term_signal(&w->term)) != 0) {
        if (sig == SIGTSTP) {
            fm_term_suspend(&w->term);
        } else if (sig == SIGCONT) { /* stopped in a way that could not be seen coming */
            fm_term_enter(&w->term);
        } else if (sig == SIGWINCH) {
            fm_term_resize(&w->term);
        } else {
            return sig;
        }
    }
    return 0;
}

static void take_keys(struct watch *w)
{
    char keys[64];
    ssize_t n = read(w->term.in, keys, sizeof keys);
    if (n > 0)
        (void)fm_screen_keys(&w->screen, keys, (size_t)n);
}

static enum fm_code run_live(struct watch *w, int *sig, struct fm_err *err)
{
    bool done = false;
    fm_term_enter(&w->term);
    for (;;) {
        *sig = take_signals(w);
        if (*sig != 0)
            return FM_OK;
        FM_TRY(check_state(w, &done, err));
        if (done || w->screen.quit)
            return FM_OK;
        FM_TRY(draw(w, err));
        struct pollfd fds[3] = {{.fd = w->wake, .events = POLLIN},
                                {.fd = w->term.signals, .events = POLLIN},
                                {.fd = w->term.in, .events = POLLIN}};
        if (poll(fds, 3, TICK_MS) < 0 && errno != EINTR)
            return fm_err_sys(err, errno, "watch: cannot wait");
        uint64_t rung;
        ssize_t n = fds[0].revents != 0 ? read(w->wake, &rung, sizeof rung) : 0;
        (void)n;
        if ((fds[2].revents & POLLIN) != 0)
            take_keys(w);
        else if ((fds[2].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0)
            return fm_err_set(err, FM_ESYS, "watch: the terminal is gone");
    }
}

static enum fm_code run_lines(struct watch *w, struct fm_err *err)
{
    bool done = false;
    while (!done) {
        struct pollfd fd = {.fd = w->wake, .events = POLLIN};
        if (poll(&fd, 1, (int)(w->interval_ms < TICK_MS ? w->interval_ms : TICK_MS)) > 0) {
            uint64_t rung;
            ssize_t n = read(w->wake, &rung, sizeof rung);
            (void)n;
        }
        FM_TRY(check_state(w, &done, err));
    }
    return FM_OK;
}

/* ---- the command ---- */

static enum fm_code start(struct watch *w, struct fm_err *err)
{
    const struct fm_poll_opts opts = {
        .log = NULL, /* what it would say is shown */
        .hooks = {.sample = on_sample, .state = on_state, .arg = w},
        .targets = &w->target,
        .n_targets = 1,
        .scan_ms = SCAN_MS,
        .max_backoff_ms = MOST_BACKOFF_MS,
    };
    w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->wake < 0)
        return fm_err_sys(err, errno, "watch: cannot make an event descriptor");
    FM_TRY(fm_net_init(err));
    FM_TRY(fm_poll_new(&w->poll, &opts, err));
    return fm_poll_start(w->poll, err);
}

static void free_watch(struct watch *w)
{
    for (size_t i = 0; i < w->n_queries; i++)
        fm_query_free(w->queries[i]);
    for (size_t i = 0; i < w->n_printed; i++)
        free(w->printed[i].target);
    free(w->printed);
    fm_series_clear(&w->set);
    fm_config_free(w->config);
    if (w->wake >= 0)
        (void)close(w->wake);
    (void)pthread_mutex_destroy(&w->lock);
    free(w);
}

/* A poll thread that does not end at once keeps what it uses: the process ends anyway. */
static void stop(struct watch *w)
{
    if (w->poll != NULL) {
        fm_poll_stop(w->poll);
        if (!fm_poll_join(w->poll, JOIN_MS))
            return;
        fm_poll_free(w->poll);
    }
    free_watch(w);
}

static enum fm_code run_watch(struct fm_cmd_call *call, struct fm_err *err)
{
    int sig = 0;
    struct watch *w = calloc(1, sizeof *w);
    if (w == NULL)
        return fm_err_nomem(err);
    w->cli = call->cli;
    w->opts = call->opts;
    w->wake = -1;
    (void)pthread_mutex_init(&w->lock, NULL);
    w->live = !w->opts->lines && !w->cli->global.json && fm_term_usable();
    enum fm_code code = prepare(w, &call->words, err);
    if (code == FM_OK && w->live) {
        code = fm_term_open(&w->term, err);
        w->screen.ascii = w->term.ascii;
        w->screen.colour = w->cli->colour;
        w->screen.title = call->words.items[0];
        if (code == FM_OK)
            code = start(w, err);
        if (code == FM_OK)
            code = run_live(w, &sig, err);
        fm_term_close(&w->term);
    } else if (code == FM_OK) {
        code = start(w, err);
        if (code == FM_OK)
            code = run_lines(w, err);
    }
    if (sig != 0)
        fm_term_die(sig);
    stop(w);
    return code;
}

static const struct fm_flag flags[] = {
    {'i', "interval", FM_FLAG_MSEC, offsetof(struct watch_opts, interval_ms), "DURATION",
     "Time between two polls; default 1s, at least 100ms."},
    {'n', "count", FM_FLAG_NUMBER, offsetof(struct watch_opts, count), "COUNT",
     "End after so many polls of each JVM."},
    {0, "preset", FM_FLAG_LIST, offsetof(struct watch_opts, presets), "PRESET",
     "Watch what a preset asks for; may be given several times."},
    {0, "lines", FM_FLAG_SWITCH, offsetof(struct watch_opts, lines), NULL,
     "Print lines on a terminal too."},
    {0, "wait", FM_FLAG_SWITCH, offsetof(struct watch_opts, wait), NULL,
     "Wait for a target that is not there yet."},
    {.name = NULL},
};
static const char *const text[] = {
    "On a terminal a table that is drawn anew with every poll: value, rate per second of numbers "
    "that only ever rise, and a trend. Keys: q quits, p pauses, s sorts, / filters, h shortens "
    "numbers, arrows and page keys scroll. A target that is lost is shown as lost until it is "
    "back.",
    "Elsewhere, and with --lines, a line for each value and poll: TIME TAB BEAN ATTRIBUTE TAB "
    "VALUE TAB RATE; with --json an object for each. Without BEAN: heap, garbage collection, "
    "threads, CPU, classes. BEAN may be a pattern, ATTRIBUTE may hold * and go into composites "
    "with /; a further word with a colon is the next BEAN. Without ATTRIBUTE: all of them.",
    NULL,
};
static const char *const examples[] = {
    "firstmile watch pid:1234 -o target.attach=on",
    "heap, garbage collection, threads, CPU and classes of a local JVM",
    "firstmile watch app:9010 'java.lang:type=GarbageCollector,*' -i 5s",
    "all collectors, every 5 s",
    "firstmile watch app:9010 java.lang:type=Memory HeapMemoryUsage/used -n 60 > heap.tsv",
    "a minute of heap usage in a file",
    NULL,
};

const struct fm_cmd fm_cmd_watch = {
    .name = "watch",
    .args = "TARGET [BEAN [ATTRIBUTE[/path]]...]...",
    .about = "show values live, with rates and trends",
    .text = text,
    .examples = examples,
    .flags = flags,
    .opts_size = sizeof(struct watch_opts),
    .min_words = 1,
    .max_words = FM_WORDS_MANY,
    .json = true,
    .run = run_watch,
};
