#include "agent/way.h"

#include <stdio.h>
#include <string.h>

#include "agent/document.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/utf8.h"

enum { HOLD_MS = 2500 /* two renderings */ };

void fm_way_init(struct fm_way *way)
{
    *way = (struct fm_way){.log = NULL};
    (void)pthread_mutex_init(&way->lock, NULL);
}

void fm_way_clear(struct fm_way *way)
{
    (void)pthread_mutex_destroy(&way->lock);
}

static void say_alone(struct fm_way *way, const struct fm_way_line *line)
{
    fm_log(way->log, line->over ? FM_LOG_INFO : FM_LOG_WARN, "%s", line->text);
}

void fm_way_say(struct fm_way *way, const struct fm_rest_way *what)
{
    struct fm_way_line line = {.topic = fm_hash_text(what->topic),
                               .reason = fm_hash_text(what->reason),
                               .over = what->over,
                               .at_ms = fm_clock_ms()};
    (void)snprintf(line.text, sizeof line.text, "%s", what->text);
    fm_utf8_cut(line.text);
    (void)pthread_mutex_lock(&way->lock);
    bool room = way->n_fresh < FM_WAY_LINES;
    if (room)
        way->fresh[way->n_fresh++] = line;
    (void)pthread_mutex_unlock(&way->lock);
    if (!room)
        say_alone(way, &line);
}

void fm_way_take(struct fm_way *way)
{
    struct fm_way_line untold[FM_WAY_LINES];
    size_t n = 0;
    (void)pthread_mutex_lock(&way->lock);
    for (size_t i = 0; i < way->n_fresh; i++)
        if (way->n_held < FM_WAY_LINES)
            way->held[way->n_held++] = way->fresh[i];
        else
            untold[n++] = way->fresh[i];
    way->n_fresh = 0;
    (void)pthread_mutex_unlock(&way->lock);
    for (size_t i = 0; i < n; i++)
        say_alone(way, &untold[i]);
}

const char *fm_way_end_of(struct fm_way *way, uint64_t topic)
{
    for (size_t i = 0; i < way->n_held; i++)
        if (way->held[i].over && !way->held[i].told && way->held[i].topic == topic) {
            way->held[i].told = true;
            return way->held[i].text;
        }
    return NULL;
}

/* Whether /health says the same, or will. */
static bool is_done(struct fm_way *way, const struct fm_way_line *line, struct fm_reasons *r,
                    int64_t now_ms)
{
    size_t i = 0;
    while (i < r->n &&
           (r->known[i].topic != line->topic || (!line->over && r->known[i].said != line->reason)))
        i++;
    bool known = i < r->n;
    if (line->told || (known && !line->over))
        return true;
    bool awaited = line->over ? known : true;
    if (awaited && now_ms - line->at_ms < HOLD_MS)
        return false;
    say_alone(way, line);
    for (i = 0; i < r->n; i++)
        if (!line->over && r->known[i].topic == line->topic)
            r->known[i].said = line->reason;
    return true;
}

bool fm_way_settle(struct fm_way *way, struct fm_reasons *reasons, int64_t now_ms)
{
    size_t kept = 0;
    for (size_t i = 0; i < way->n_held; i++)
        if (!is_done(way, &way->held[i], reasons, now_ms))
            way->held[kept++] = way->held[i];
    way->n_held = kept;
    return kept > 0;
}

void fm_way_flush(struct fm_way *way)
{
    fm_way_take(way);
    for (size_t i = 0; i < way->n_held; i++)
        if (!way->held[i].told)
            say_alone(way, &way->held[i]);
    way->n_held = 0;
}
