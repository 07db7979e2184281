/* cli/cmd_watch.c - `watch TARGET [BEAN ATTRIBUTE...]`: values live, with rates and trends.
 *
 * The poll thread reads and hands samples over under a lock; the main thread draws, and listens to
 * keys and signals, so that nothing a JVM does can keep it from ending at once. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/signals.h"
#include "base/clock.h"
#include "cli/cmd_watch_priv.h"

enum {
    MOST_BACKOFF_MS = 5000,
    SCAN_MS = 2000, /* a restarted local JVM is found again so soon */
    TICK_MS = 500, /* how old the status line may be */
    JOIN_MS = 300
};

/* ---- hooks, on the poll thread ---- */

static void ring(const struct fm_watch *w)
{
    uint64_t one = 1;
    ssize_t n = write(w->wake, &one, sizeof one);
    (void)n; /* full: it rings already */
}

static void unring(const struct fm_watch *w)
{
    uint64_t rung;
    ssize_t n = read(w->wake, &rung, sizeof rung);
    (void)n;
}

static void on_sample(void *arg, const struct fm_sample *sample)
{
    struct fm_watch *w = arg;
    if (w->only != NULL && strcmp(w->only, sample->target) != 0)
        return;
    (void)pthread_mutex_lock(&w->lock);
    w->samples++;
    if (!w->paused) {
        fm_series_take(&w->set, sample, fm_clock_ns());
        if (!w->live)
            fm_watch_print(w, sample);
    }
    (void)pthread_mutex_unlock(&w->lock);
    ring(w);
}

static void on_state(void *arg, const struct fm_poll_event *event)
{
    struct fm_watch *w = arg;
    if (strcmp(event->state, "restarted") == 0) {
        (void)pthread_mutex_lock(&w->lock);
        fm_series_restart(&w->set, event->target);
        (void)pthread_mutex_unlock(&w->lock);
    }
    ring(w);
}

/* ---- live ---- */

static enum fm_code draw(struct fm_watch *w, struct fm_err *err)
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
static int take_signals(struct fm_watch *w)
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

static void take_keys(struct fm_watch *w)
{
    char keys[64];
    ssize_t n = read(w->term.in, keys, sizeof keys);
    if (n > 0)
        (void)fm_screen_keys(&w->screen, keys, (size_t)n);
}

static enum fm_code run_live(struct fm_watch *w, int *sig, struct fm_err *err)
{
    bool done = false;
    fm_term_enter(&w->term);
    for (;;) {
        *sig = take_signals(w);
        if (*sig != 0)
            return FM_OK;
        FM_TRY(fm_watch_check(w, &done, err));
        if (done || w->screen.quit)
            return FM_OK;
        FM_TRY(draw(w, err));
        struct pollfd fds[3] = {{.fd = w->wake, .events = POLLIN},
                                {.fd = w->term.signals, .events = POLLIN},
                                {.fd = w->term.in, .events = POLLIN}};
        if (poll(fds, 3, TICK_MS) < 0 && errno != EINTR)
            return fm_err_sys(err, errno, "watch: cannot wait");
        if (fds[0].revents != 0)
            unring(w);
        if ((fds[2].revents & POLLIN) != 0)
            take_keys(w);
        else if ((fds[2].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0)
            return fm_err_set(err, FM_ESYS, "watch: the terminal is gone");
    }
}

static enum fm_code run_lines(struct fm_watch *w, int signals, int *sig, struct fm_err *err)
{
    bool done = false;
    while (!done) {
        struct pollfd fds[2] = {{.fd = w->wake, .events = POLLIN},
                                {.fd = signals, .events = POLLIN}};
        if (poll(fds, 2, (int)(w->interval_ms < TICK_MS ? w->interval_ms : TICK_MS)) > 0 &&
            fds[0].revents != 0)
            unring(w);
        *sig = fm_signals_next(signals);
        if (*sig != 0)
            return FM_OK;
        FM_TRY(fm_watch_check(w, &done, err));
    }
    return FM_OK;
}

/* ---- the command ---- */

static enum fm_code start(struct fm_watch *w, struct fm_err *err)
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

/* It ends by the signal, as any filter does: whoever reads the lines may be what holds us up. */
static enum fm_code lines(struct fm_watch *w, int *sig, struct fm_err *err)
{
    int signals = -1;
    FM_TRY(fm_signals_open(&signals, err));
    enum fm_code code = start(w, err);
    if (code == FM_OK)
        code = run_lines(w, signals, sig, err);
    if (*sig != 0)
        fm_cmd_note(w->cli, "watch: interrupted");
    fm_signals_close(signals);
    return code;
}

static void free_watch(struct fm_watch *w)
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
static void stop(struct fm_watch *w)
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
    struct fm_watch *w = calloc(1, sizeof *w);
    if (w == NULL)
        return fm_err_nomem(err);
    w->cli = call->cli;
    w->opts = call->opts;
    w->wake = -1;
    (void)pthread_mutex_init(&w->lock, NULL);
    w->live = !w->opts->lines && !w->cli->global.json && fm_term_usable();
    enum fm_code code = fm_watch_prepare(w, &call->words, err);
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
        if (code == FM_OK && w->absent[0] != '\0')
            fm_cmd_note(w->cli, "%s", w->absent);
        if (sig == SIGINT)
            sig = 0; /* Ctrl-C is the usual way out, as q is */
    } else if (code == FM_OK) {
        code = lines(w, &sig, err);
    }
    if (sig != 0)
        fm_term_die(sig);
    stop(w);
    return code;
}

static const struct fm_flag flags[] = {
    {'i', "interval", FM_FLAG_MSEC, offsetof(struct fm_watch_opts, interval_ms), "DURATION",
     "Time between two polls; default 1s, at least 100ms."},
    {'n', "count", FM_FLAG_NUMBER, offsetof(struct fm_watch_opts, count), "COUNT",
     "End after so many polls of each JVM."},
    {0, "preset", FM_FLAG_LIST, offsetof(struct fm_watch_opts, presets), "PRESET",
     "Watch what a preset asks for; may be given several times."},
    {0, "lines", FM_FLAG_SWITCH, offsetof(struct fm_watch_opts, lines), NULL,
     "Print lines on a terminal too."},
    {0, "wait", FM_FLAG_SWITCH, offsetof(struct fm_watch_opts, wait), NULL,
     "Wait for a target that is not there yet."},
    {.name = NULL},
};
static const char *const text[] = {
    "On a terminal a table that is drawn anew with every poll: value, rate per second of what "
    "counts "
    "(as told by its name, and as long as it never falls), and a trend. Keys: q or Ctrl-C quits, p "
    "pauses, s sorts, / filters, h "
    "shortens "
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
    .opts_size = sizeof(struct fm_watch_opts),
    .min_words = 1,
    .max_words = FM_WORDS_MANY,
    .target = true,
    .json = true,
    .run = run_watch,
};
