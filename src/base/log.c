#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/utf8.h"

enum { LINE_MAX_BYTES = 1024, CAUSES = 256, CAUSE_QUIET_MS = 60000 };

static const char *const level_names[] = {"error", "warn", "info", "debug"};

/* Causes by hash: a collision only means that two causes share their minute. */
struct cause {
    uint64_t hash;
    int64_t last_ms; /* 0: never */
    unsigned left_out;
};

struct fm_log {
    int fd;
    _Atomic int level;
    _Atomic int format;
    _Atomic uint64_t dropped;
    uint64_t dropped_told; /* under lock */
    pthread_mutex_t lock; /* leaf: protects causes and keeps lines whole */
    struct cause causes[CAUSES];
};

enum fm_code fm_log_new(struct fm_log **out, int fd, enum fm_log_level level,
                        enum fm_log_format format, struct fm_err *err)
{
    struct fm_log *log = calloc(1, sizeof *log);
    if (log == NULL)
        return fm_err_nomem(err);
    log->fd = fd;
    log->level = (int)level;
    log->format = (int)format;
    (void)pthread_mutex_init(&log->lock, NULL);
    *out = log;
    return FM_OK;
}

void fm_log_free(struct fm_log *log)
{
    if (log == NULL)
        return;
    (void)pthread_mutex_destroy(&log->lock);
    free(log);
}

void fm_log_set(struct fm_log *log, enum fm_log_level level, enum fm_log_format format)
{
    log->level = (int)level;
    log->format = (int)format;
}

bool fm_log_on(const struct fm_log *log, enum fm_log_level level)
{
    return log != NULL && (int)level <= log->level;
}

uint64_t fm_log_dropped(const struct fm_log *log)
{
    return log->dropped;
}

static void render(struct fm_buf *line, enum fm_log_format format, enum fm_log_level level,
                   const char *text)
{
    char stamp[32];
    fm_wall_text(fm_wall_ms(), stamp);
    if (format == FM_LOG_JSON) {
        fm_buf_printf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":", stamp,
                      level_names[level]);
        fm_json_cstr(line, text);
        fm_buf_putc(line, '}');
    } else {
        fm_buf_printf(line, "%s %-5s %s", stamp, level_names[level], text);
    }
    fm_buf_putc(line, '\n');
}

/* A full pipe must not stop the work: what cannot be written at once is dropped and counted. */
static bool write_line(struct fm_log *log, const struct fm_buf *line)
{
    struct pollfd room = {.fd = log->fd, .events = POLLOUT};
    if (poll(&room, 1, 0) != 1 || (room.revents & POLLOUT) == 0)
        return false;
    ssize_t n;
    do
        n = write(log->fd, line->data, line->len);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)line->len;
}

static void emit(struct fm_log *log, enum fm_log_level level, const char *text)
{
    struct fm_buf line;
    fm_buf_init(&line, 8 * LINE_MAX_BYTES);
    uint64_t missed = log->dropped - log->dropped_told;
    if (missed > 0) {
        char note[96];
        (void)snprintf(note, sizeof note, "%llu log lines were dropped: nobody read them",
                       (unsigned long long)missed);
        render(&line, (enum fm_log_format)log->format, FM_LOG_WARN, note);
    }
    render(&line, (enum fm_log_format)log->format, level, text);
    if (!line.failed && write_line(log, &line))
        log->dropped_told += missed;
    else
        log->dropped++;
    fm_buf_clear(&line);
}

static void format_text(char text[LINE_MAX_BYTES], const char *fmt, va_list args)
{
    (void)vsnprintf(text, LINE_MAX_BYTES, fmt, args);
    fm_utf8_cut(text);
    for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++)
        if (*p < 0x20 || *p == 0x7f)
            *p = ' ';
}

void fm_log(struct fm_log *log, enum fm_log_level level, const char *fmt, ...)
{
    if (!fm_log_on(log, level))
        return;
    char text[LINE_MAX_BYTES];
    va_list args;
    va_start(args, fmt);
    format_text(text, fmt, args);
    va_end(args);
    (void)pthread_mutex_lock(&log->lock);
    emit(log, level, text);
    (void)pthread_mutex_unlock(&log->lock);
}

void fm_log_limited(struct fm_log *log, enum fm_log_level level, const char *cause, const char *fmt,
                    ...)
{
    if (!fm_log_on(log, level))
        return;
    char text[LINE_MAX_BYTES];
    va_list args;
    va_start(args, fmt);
    format_text(text, fmt, args);
    va_end(args);
    uint64_t hash = fm_hash_text(cause);
    int64_t now = fm_clock_ms();
    (void)pthread_mutex_lock(&log->lock);
    struct cause *c = &log->causes[hash % CAUSES];
    bool same = c->hash == hash && c->last_ms != 0;
    if (same && now - c->last_ms < CAUSE_QUIET_MS) {
        c->left_out++;
    } else {
        size_t len = strlen(text);
        if (same && c->left_out > 0)
            (void)snprintf(text + len, sizeof text - len, " (%u more like this left out)",
                           c->left_out);
        *c = (struct cause){.hash = hash, .last_ms = now};
        emit(log, level, text);
    }
    (void)pthread_mutex_unlock(&log->lock);
}
