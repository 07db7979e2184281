#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"

struct rec {
    char topic[64];
    char *value;
    enum fm_record_kind kind;
    enum fate fate;
    char reason[560];
};

struct fm_spool {
    pthread_mutex_t lock;
    struct rec *recs; /* seq = index + 1 */
    size_t n;
};

static const char stream[] = "3f9c2a71d04be811";

struct fm_spool *spool_new(void)
{
    struct fm_spool *s = calloc(1, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

void spool_free(struct fm_spool *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->recs[i].value);
    free(s->recs);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void spool_add(struct fm_spool *s, const char *topic, size_t n, size_t bytes,
               enum fm_record_kind kind)
{
    pthread_mutex_lock(&s->lock);
    s->recs = realloc(s->recs, (s->n + n) * sizeof *s->recs);
    for (size_t i = 0; i < n; i++) {
        struct rec *r = &s->recs[s->n++];
        *r = (struct rec){.kind = kind, .fate = FATE_PENDING};
        snprintf(r->topic, sizeof r->topic, "%s", topic);
        size_t pad = bytes > 20 ? bytes - 20 : 0;
        r->value = calloc(1, pad + 40);
        char *fill = calloc(1, pad + 1);
        memset(fill, 'x', pad);
        snprintf(r->value, pad + 40, "{\"n\":%zu,\"x\":\"%s\"}", i, fill);
        free(fill);
    }
    pthread_mutex_unlock(&s->lock);
}

enum fate spool_fate(struct fm_spool *s, uint64_t seq)
{
    pthread_mutex_lock(&s->lock);
    enum fate fate = s->recs[seq - 1].fate;
    pthread_mutex_unlock(&s->lock);
    return fate;
}

const char *spool_reason(struct fm_spool *s, uint64_t seq)
{
    return s->recs[seq - 1].reason;
}

size_t spool_count(struct fm_spool *s, enum fate fate)
{
    size_t n = 0;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n; i++)
        n += s->recs[i].fate == fate;
    pthread_mutex_unlock(&s->lock);
    return n;
}

size_t spool_assigned(struct fm_spool *s)
{
    return s->n;
}

static bool listed(const struct fm_spool_id *list, size_t n, uint64_t seq)
{
    for (size_t i = 0; i < n; i++)
        if (list[i].seq == seq)
            return true;
    return false;
}

static void give(struct fm_spool *s, struct fm_spool_batch *b, size_t i)
{
    struct rec *r = &s->recs[i];
    struct fm_spool_item *item = &b->items[b->n++];
    memcpy(item->id.stream, stream, sizeof stream);
    item->id.seq = i + 1;
    item->rec = (struct fm_record){.kind = r->kind, .partition = FM_NO_PARTITION, .key = "host-1",
                                   .key_len = 6, .value = r->value, .value_len = strlen(r->value),
                                   .id_at = 1};
    b->bytes += 6 + item->rec.value_len;
}

enum fm_code fm_spool_read(struct fm_spool *s, const struct fm_spool_want *want,
                           struct fm_spool_batch **out, unsigned timeout_ms, struct fm_err *err)
{
    (void)timeout_ms;
    (void)err;
    struct fm_spool_batch *b = calloc(1, sizeof *b);
    b->items = calloc(want->max_records + 1, sizeof *b->items);
    pthread_mutex_lock(&s->lock);
    for (size_t k = 0; want->only != NULL && k < want->n_only; k++)
        if (s->recs[want->only[k].seq - 1].fate == FATE_PENDING)
            give(s, b, want->only[k].seq - 1);
    for (size_t i = 0; want->only == NULL && i < s->n && b->n < want->max_records; i++) {
        if (s->recs[i].fate != FATE_PENDING || strcmp(s->recs[i].topic, want->topic) != 0 ||
            listed(want->skip, want->n_skip, i + 1))
            continue;
        if (b->n > 0 && b->bytes + strlen(s->recs[i].value) > want->max_bytes)
            break;
        give(s, b, i);
    }
    pthread_mutex_unlock(&s->lock);
    *out = b;
    return FM_OK;
}

void fm_spool_batch_free(struct fm_spool *s, struct fm_spool_batch *b)
{
    (void)s;
    if (b == NULL)
        return;
    free(b->items);
    free(b);
}

enum fm_code fm_spool_settle(struct fm_spool *s, const struct fm_settlement *list, size_t n,
                             struct fm_err *err)
{
    (void)err;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < n; i++) {
        struct rec *r = &s->recs[list[i].id.seq - 1];
        cr_assert(list[i].how == FM_SETTLE_DELIVERED || r->kind != FM_RECORD_CONTROL,
                  "a control record was buried");
        if (r->fate != FATE_PENDING)
            continue;
        r->fate = list[i].how == FM_SETTLE_DEAD ? FATE_DEAD : FATE_DELIVERED;
        if (list[i].reason != NULL)
            snprintf(r->reason, sizeof r->reason, "%s", list[i].reason);
    }
    pthread_mutex_unlock(&s->lock);
    return FM_OK;
}

void fm_spool_topics(struct fm_spool *s, struct fm_spool_topic *out, size_t max, size_t *n)
{
    *n = 0;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n; i++) {
        if (s->recs[i].fate != FATE_PENDING)
            continue;
        size_t k = 0;
        while (k < *n && strcmp(out[k].topic, s->recs[i].topic) != 0)
            k++;
        if (k == *n) {
            if (k == max)
                continue;
            out[(*n)++] = (struct fm_spool_topic){.oldest_ms = 1};
            snprintf(out[k].topic, sizeof out[k].topic, "%s", s->recs[i].topic);
        }
        out[k].pending++;
    }
    pthread_mutex_unlock(&s->lock);
}
