/* Reading by an instance: the partitions of what it subscribed to, then records of one partition
 * after the other until the answer is full. */
#include "sandbox/consumer_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"

enum { READ_RECORDS = 20000 }; /* of one partition */

void fm_consume_free(struct fm_consume *read)
{
    if (read == NULL)
        return;
    free(read->topics);
    free(read->spots);
    free(read);
}

static void emit_record(struct fm_tlog_job *job, const struct fm_tlog_stored *stored)
{
    struct fm_v2 *v2 = (struct fm_v2 *)job;
    struct fm_consume *read = v2->consume;
    struct fm_buf *out = &v2->reply.body;
    size_t size = stored->key_len + stored->value_len;
    if (job->max == 0)
        return;
    read->full = read->bytes + size > read->max_bytes;
    read->unfit =
        !v2->binary && !(fm_v2_fits_json(stored->has_key, stored->key, stored->key_len) &&
                         fm_v2_fits_json(stored->has_value, stored->value, stored->value_len));
    if (read->full || read->unfit) {
        job->max = 0; /* the store stops */
        return;
    }
    fm_buf_puts(out, read->any ? ",{\"topic\":" : "[{\"topic\":");
    fm_json_cstr(out, job->topic);
    fm_buf_putc(out, ',');
    fm_v2_put_bytes(v2, "key", stored->has_key, stored->key, stored->key_len);
    fm_v2_put_bytes(v2, "value", stored->has_value, stored->value, stored->value_len);
    fm_buf_printf(out, "\"partition\":%d,\"offset\":%lld}", (int)job->partition,
                  (long long)stored->offset);
    read->any = true;
    read->bytes += size;
    read->spots[read->at_spot].next = stored->offset + 1;
}

static bool next_topic(struct fm_v2 *v2)
{
    struct fm_consume *read = v2->consume;
    struct fm_tlog_job *job = &v2->job;
    if (read->at_topic == read->n_topics)
        return false;
    job->op = FM_TLOG_TOPIC;
    memcpy(job->topic, read->topics[read->at_topic], sizeof read->topics[0]);
    job->illegal = !fm_tlog_name_ok(job->topic);
    return true;
}

static bool next_spot(struct fm_v2 *v2)
{
    struct fm_consume *read = v2->consume;
    struct fm_tlog_job *job = &v2->job;
    if (read->left_spots == 0 || read->full || read->unfit)
        return false;
    const struct fm_spot *spot = &read->spots[read->at_spot];
    job->op = FM_TLOG_READ;
    memcpy(job->topic, spot->topic, sizeof spot->topic);
    job->partition = spot->partition;
    job->offset = spot->next == FM_SPOT_END ? 0 : spot->next;
    job->max = spot->next == FM_SPOT_END ? 0 : READ_RECORDS;
    job->emit_record = emit_record;
    return true;
}

/* The partitions of a topic join those that are read. */
static void take_topic(struct fm_consumers *all, struct fm_v2 *v2)
{
    struct fm_consume *read = v2->consume;
    const struct fm_tlog_job *job = &v2->job;
    read->at_topic++;
    if (job->result != FM_TLOG_OK)
        return; /* it may come to be */
    for (int32_t p = 0; p < job->partitions && read->n_spots < FM_CONSUMER_SPOTS; p++) {
        struct fm_spot *spot = &read->spots[read->n_spots++];
        read->left_spots++;
        *spot = (struct fm_spot){.partition = p};
        memcpy(spot->topic, read->topics[read->at_topic - 1], sizeof spot->topic);
        spot->next = fm_consumers_origin(all, read->serial, spot->topic, p);
    }
}

static void take_spot(struct fm_v2 *v2)
{
    struct fm_consume *read = v2->consume;
    struct fm_spot *spot = &read->spots[read->at_spot];
    if (v2->job.result == FM_TLOG_OK && spot->next == FM_SPOT_END)
        spot->next = v2->job.end;
    if (v2->job.result == FM_TLOG_OK && spot->next < v2->job.beginning)
        spot->next = v2->job.beginning;
    read->at_spot = (read->at_spot + 1) % read->n_spots;
    read->left_spots--;
}

bool fm_consume_start(struct fm_v2 *v2)
{
    v2->job.result = FM_TLOG_OK;
    v2->job.block_ms = 0;
    return next_topic(v2) || next_spot(v2);
}

bool fm_consume_next(struct fm_consumers *all, struct fm_v2 *v2)
{
    struct fm_consume *read = v2->consume;
    if (v2->job.result == FM_TLOG_STOPPING || v2->job.result == FM_TLOG_BUSY ||
        v2->job.result == FM_TLOG_FAILED) {
        read->refused = true;
        return false;
    }
    if (v2->job.op == FM_TLOG_TOPIC)
        take_topic(all, v2);
    else
        take_spot(v2);
    return fm_consume_start(v2);
}
