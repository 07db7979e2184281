/* Records in memory: bounded, the oldest of all topics leaves first. Jobs run in the caller. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sandbox/topic_log_priv.h"

struct entry {
    struct entry *next; /* the next younger of all */
    int64_t offset;
    int64_t time_ms;
    int32_t partition;
    uint32_t topic; /* index */
    bool has_key, has_value;
    size_t key_len, value_len, headers_len;
    char data[]; /* key, value, headers */
};

/* Offsets of a partition are dense: first, first + 1, ... as a ring of pointers. */
struct partition {
    struct entry **ring;
    size_t cap; /* a power of two, or 0 */
    size_t count;
    int64_t first; /* offset of the oldest kept */
};

struct topic {
    struct fm_tlog_topic info;
    struct partition *partitions;
};

enum { TOPICS_MAX = 1000 };

struct memory {
    struct fm_tlog base;
    pthread_mutex_t lock; /* protects all below; a leaf but for emit callbacks */
    struct topic *topics;
    size_t n_topics;
    struct entry *oldest, *youngest;
    uint64_t records, bytes;
    uint32_t turn; /* for records without key */
    bool no_create;
    int64_t metadata_timeout_ms;
    size_t max_bytes;
};

static struct topic *find_topic(struct memory *m, const char *name)
{
    for (size_t i = 0; i < m->n_topics; i++)
        if (strcmp(m->topics[i].info.name, name) == 0)
            return &m->topics[i];
    return NULL;
}

static struct topic *add_topic(struct memory *m, const struct fm_tlog_topic *info)
{
    if (m->n_topics == TOPICS_MAX)
        return NULL;
    struct topic *grown = realloc(m->topics, (m->n_topics + 1) * sizeof *grown);
    if (grown == NULL)
        return NULL;
    m->topics = grown;
    struct partition *partitions = calloc((size_t)info->partitions, sizeof *partitions);
    if (partitions == NULL)
        return NULL;
    m->topics[m->n_topics] = (struct topic){.info = *info, .partitions = partitions};
    return &m->topics[m->n_topics++];
}

static struct topic *find_or_create(struct memory *m, const char *name)
{
    struct topic *topic = find_topic(m, name);
    if (topic != NULL || m->no_create || !fm_tlog_name_ok(name))
        return topic;
    struct fm_tlog_topic info = {.partitions = 1, .max_message_bytes = FM_TLOG_MESSAGE_BYTES};
    memcpy(info.name, name, strlen(name));
    return add_topic(m, &info);
}

static size_t entry_size(const struct entry *e)
{
    return sizeof *e + e->key_len + e->value_len + e->headers_len;
}

static void drop_oldest(struct memory *m)
{
    struct entry *e = m->oldest;
    struct partition *p = &m->topics[e->topic].partitions[e->partition];
    p->first++;
    p->count--;
    m->oldest = e->next;
    if (m->oldest == NULL)
        m->youngest = NULL;
    m->records--;
    m->bytes -= entry_size(e);
    free(e);
}

static bool grow_ring(struct partition *p)
{
    size_t cap = p->cap == 0 ? 64 : p->cap * 2;
    struct entry **ring = malloc(cap * sizeof(struct entry *));
    if (ring == NULL)
        return false;
    for (size_t i = 0; i < p->count; i++) {
        size_t at = (size_t)p->first + i;
        ring[at & (cap - 1)] = p->ring[at & (p->cap - 1)];
    }
    free(p->ring);
    p->ring = ring;
    p->cap = cap;
    return true;
}

static bool append(struct memory *m, struct topic *topic, const struct fm_tlog_record *record,
                   int32_t number, int64_t *offset)
{
    struct partition *p = &topic->partitions[number];
    if (p->count == p->cap && !grow_ring(p))
        return false;
    struct entry *e = malloc(sizeof *e + record->key_len + record->value_len + record->headers_len);
    if (e == NULL)
        return false;
    *e = (struct entry){.offset = p->first + (int64_t)p->count,
                        .time_ms = record->time_ms != 0 ? record->time_ms : fm_wall_ms(),
                        .partition = number,
                        .topic = (uint32_t)(topic - m->topics),
                        .has_key = record->has_key,
                        .has_value = record->has_value,
                        .key_len = record->key_len,
                        .value_len = record->value_len,
                        .headers_len = record->headers_len};
    if (record->key_len > 0)
        memcpy(e->data, record->key, record->key_len);
    if (record->value_len > 0)
        memcpy(e->data + record->key_len, record->value, record->value_len);
    if (record->headers_len > 0)
        memcpy(e->data + record->key_len + record->value_len, record->headers, record->headers_len);
    *offset = e->offset;
    p->ring[(size_t)e->offset & (p->cap - 1)] = e;
    p->count++;
    if (m->youngest != NULL)
        m->youngest->next = e;
    else
        m->oldest = e;
    m->youngest = e;
    m->records++;
    m->bytes += entry_size(e);
    return true;
}

static void produce(struct memory *m, struct fm_tlog_job *job)
{
    struct topic *topic = find_or_create(m, job->topic);
    if (topic == NULL) {
        fm_tlog_refuse_all(job, m->metadata_timeout_ms);
        return;
    }
    m->turn++;
    for (size_t i = 0; i < job->n; i++) {
        if (!fm_tlog_check(job, i, &topic->info, m->metadata_timeout_ms))
            continue;
        struct fm_tlog_verdict *v = &job->verdicts[i];
        v->partition = fm_tlog_partition(&job->records[i], topic->info.partitions, m->turn);
        if (!append(m, topic, &job->records[i], v->partition, &v->offset))
            fm_tlog_refuse(v, 50003, "The sandbox is out of memory.");
    }
    while (m->bytes > m->max_bytes && m->oldest != NULL)
        drop_oldest(m);
}

static void describe(struct memory *m, struct fm_tlog_job *job)
{
    const struct topic *topic = find_or_create(m, job->topic);
    if (topic == NULL) {
        job->result = FM_TLOG_NO_TOPIC;
        return;
    }
    job->partitions = topic->info.partitions;
    job->max_message_bytes = topic->info.max_message_bytes;
}

static void read_back(struct memory *m, struct fm_tlog_job *job)
{
    const struct topic *topic = find_topic(m, job->topic);
    if (topic == NULL || job->partition < 0 || job->partition >= topic->info.partitions) {
        job->result = topic == NULL ? FM_TLOG_NO_TOPIC : FM_TLOG_NO_PARTITION;
        return;
    }
    const struct partition *p = &topic->partitions[job->partition];
    job->beginning = p->first;
    job->end = p->first + (int64_t)p->count;
    int64_t at = job->offset > job->beginning ? job->offset : job->beginning;
    for (size_t n = 0; at < job->end && n < job->max; at++, n++) {
        const struct entry *e = p->ring[(size_t)at & (p->cap - 1)];
        struct fm_tlog_stored stored = {.offset = e->offset,
                                        .time_ms = e->time_ms,
                                        .key = e->data,
                                        .key_len = e->key_len,
                                        .value = e->data + e->key_len,
                                        .value_len = e->value_len,
                                        .has_key = e->has_key,
                                        .has_value = e->has_value,
                                        .headers = e->data + e->key_len + e->value_len,
                                        .headers_len = e->headers_len};
        job->emit_record(job, &stored);
    }
}

static void submit(struct fm_tlog *tlog, struct fm_tlog_job *job)
{
    struct memory *m = (struct memory *)tlog;
    (void)pthread_mutex_lock(&m->lock);
    switch (job->op) {
    case FM_TLOG_PRODUCE:
        produce(m, job);
        break;
    case FM_TLOG_TOPICS:
        for (size_t i = 0; i < m->n_topics; i++)
            job->emit_name(job, m->topics[i].info.name);
        break;
    case FM_TLOG_TOPIC:
        describe(m, job);
        break;
    case FM_TLOG_READ:
        read_back(m, job);
        break;
    }
    (void)pthread_mutex_unlock(&m->lock);
    job->done(job);
}

static void kept(struct fm_tlog *tlog, uint64_t *records, uint64_t *bytes)
{
    struct memory *m = (struct memory *)tlog;
    (void)pthread_mutex_lock(&m->lock);
    *records = m->records;
    *bytes = m->bytes;
    (void)pthread_mutex_unlock(&m->lock);
}

static void stop(struct fm_tlog *tlog)
{
    (void)tlog; /* no job waits here */
}

static void close_memory(struct fm_tlog *tlog)
{
    struct memory *m = (struct memory *)tlog;
    while (m->oldest != NULL)
        drop_oldest(m);
    for (size_t i = 0; i < m->n_topics; i++) {
        for (int32_t p = 0; p < m->topics[i].info.partitions; p++)
            free(m->topics[i].partitions[p].ring);
        free(m->topics[i].partitions);
    }
    free(m->topics);
    (void)pthread_mutex_destroy(&m->lock);
    free(m);
}

static const struct fm_tlog_ops memory_ops = {submit, stop, close_memory, kept};

enum fm_code fm_tlog_memory_open(struct fm_tlog **out, const struct fm_tlog_opts *opts,
                                 struct fm_err *err)
{
    struct memory *m = calloc(1, sizeof *m);
    if (m == NULL)
        return fm_err_nomem(err);
    m->base.ops = &memory_ops;
    (void)pthread_mutex_init(&m->lock, NULL);
    m->no_create = opts->no_create;
    m->metadata_timeout_ms = opts->metadata_timeout_ms;
    m->max_bytes = opts->max_bytes;
    for (size_t i = 0; i < opts->n_topics; i++) {
        if (find_topic(m, opts->topics[i].name) == NULL && add_topic(m, &opts->topics[i]) == NULL) {
            close_memory(&m->base);
            return fm_err_nomem(err);
        }
    }
    *out = &m->base;
    return FM_OK;
}
