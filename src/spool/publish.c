/* What others see of the spool: snapshots that its thread publishes at each commit. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "spool/spool_priv.h"

/* 0: current with pending records, ... 3: an old one without any. */
static int stream_rank(const struct stream *s)
{
    bool current = s->topic->current == s && !s->ended;
    return (current ? 0 : 2) + (s->pending > 0 ? 0 : 1);
}

static void publish_streams(const struct fm_spool *sp, struct fm_spool_stats *out)
{
    size_t max = sizeof out->streams / sizeof *out->streams;
    out->n_streams_total = sp->n_streams;
    for (int rank = 0; rank < 4; rank++) {
        for (size_t i = sp->n_streams; i > 0 && out->n_streams < max; i--) {
            const struct stream *s = sp->streams[i - 1];
            if (stream_rank(s) != rank)
                continue;
            struct fm_spool_stream *o = &out->streams[out->n_streams++];
            memcpy(o->stream, s->name, sizeof o->stream);
            memcpy(o->topic, s->topic->name, sizeof o->topic);
            o->current = rank < 2;
            o->unknown = s->unknown;
            o->assigned = s->assigned;
            o->delivered = s->delivered;
            o->pending = s->pending;
            o->lost = s->lost;
            o->dead = s->dead;
        }
    }
}

static int oldest_first(const void *a, const void *b)
{
    const struct topic *const *x = a, *const *y = b;
    return (*x)->head->id < (*y)->head->id ? -1 : (*x)->head->id > (*y)->head->id;
}

static struct fm_spool_topic *topics_now(const struct fm_spool *sp, size_t *n)
{
    struct fm_spool_topic *list = calloc(sp->n_topics + 1, sizeof *list);
    const struct topic **order = calloc(sp->n_topics + 1, sizeof(const struct topic *));
    *n = 0;
    for (size_t i = 0; list != NULL && order != NULL && i < sp->n_topics; i++) {
        const struct topic *t = sp->topic_list[i];
        if (t->pending > 0 && t->head->stored)
            order[(*n)++] = t;
    }
    if (*n > 1)
        qsort(order, *n, sizeof *order, oldest_first);
    for (size_t i = 0; i < *n; i++) {
        memcpy(list[i].topic, order[i]->name, sizeof list[i].topic);
        list[i].pending = order[i]->pending;
        list[i].oldest_ms = order[i]->head->time_ms;
    }
    if (order == NULL) {
        free(list);
        list = NULL;
    }
    free(order);
    return list;
}

static const char *why_undurable(const struct fm_spool *sp)
{
    return sp->dir == NULL       ? "[spool] path = memory keeps them in this process"
           : sp->removed         ? "the spool's folder was removed or replaced under this process"
           : sp->on_tmpfs        ? "the spool's folder lies on a file system in memory (tmpfs)"
           : !sp->opts.sync_full ? "with [spool] sync = normal a power loss may take the last"
                                 : NULL;
}

void spool_publish(struct fm_spool *sp)
{
    /* Of the streams, 20 KiB, only those that there are. */
    struct fm_spool_stats now;
    memset(&now, 0, offsetof(struct fm_spool_stats, streams));
    now.records = sp->n_pending;
    now.bytes = sp->bytes;
    now.oldest_ms = sp->head != NULL ? sp->head->time_ms : 0;
    now.undurable = why_undurable(sp);
    now.durable = now.undurable == NULL;
    now.removed = sp->removed;
    now.dead_records = sp->n_dead;
    now.dead_bytes = sp->dead_bytes;
    now.last_drop_ms = sp->last_drop_ms;
    now.last_dead_ms = sp->last_dead_ms;
    now.last_damage_ms = sp->last_damage_ms;
    now.disk_full = sp->tight;
    if (sp->tight) {
        now.disk_free = room_free(sp);
        now.disk_needed = room_needed(sp);
    }
    now.commits = sp->commits;
    now.commit_failures = sp->commit_failures;
    if (sp->dir != NULL)
        now.disk_bytes = room_taken(sp);
    memcpy(now.error, sp->error, sizeof now.error);
    memcpy(now.damage, sp->damage, sizeof now.damage);
    for (size_t i = 0; i < sp->n_streams; i++)
        now.lost_total += sp->streams[i]->lost;
    publish_streams(sp, &now);
    size_t n;
    struct fm_spool_topic *topics = topics_now(sp, &n);
    (void)pthread_mutex_lock(&sp->lock);
    if (sp->stats.last_drop_ms > now.last_drop_ms)
        now.last_drop_ms = sp->stats.last_drop_ms; /* a refusal by fm_spool_append() */
    memcpy(&sp->stats, &now,
           offsetof(struct fm_spool_stats, streams) + now.n_streams * sizeof *now.streams);
    if (topics != NULL) {
        struct fm_spool_topic *before = sp->topics;
        sp->topics = topics;
        sp->n_topics_out = n;
        topics = before;
    }
    (void)pthread_mutex_unlock(&sp->lock);
    free(topics);
    sp->seen = false;
}

void fm_spool_topics(struct fm_spool *sp, struct fm_spool_topic *out, size_t max, size_t *n)
{
    (void)pthread_mutex_lock(&sp->lock);
    *n = sp->n_topics_out;
    size_t copied = *n < max ? *n : max;
    if (copied > 0)
        memcpy(out, sp->topics, copied * sizeof *out);
    (void)pthread_mutex_unlock(&sp->lock);
}

void fm_spool_stats_get(struct fm_spool *sp, struct fm_spool_stats *out)
{
    (void)pthread_mutex_lock(&sp->lock);
    *out = sp->stats;
    out->queue_bytes = sp->queue_bytes;
    out->queue_records = sp->queue_records;
    (void)pthread_mutex_unlock(&sp->lock);
}
