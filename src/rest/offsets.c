/* Where the proxy says that it wrote: odd offsets count as delivered, for the verdict is what
 * counts, and the log hears of them once per topic and kind. */
#include <inttypes.h>
#include <string.h>

#include "rest/topic_priv.h"

static void found(struct fm_offset_watch *w, unsigned kind, int64_t partition, int64_t offset,
                  int64_t before)
{
    if (w->odd == 0 || (w->told & w->odd) == w->odd) { /* what was not told yet is shown */
        w->partition = partition;
        w->offset = offset;
        w->before = before;
    }
    w->odd |= kind;
}

void fm_offset_see(struct fm_offset_watch *w, size_t nth, int64_t partition, int64_t offset)
{
    if (partition < 0 || offset < 0)
        return;
    if (w->asked != NULL && nth < w->n && w->asked[nth] != FM_NO_PARTITION &&
        w->asked[nth] != partition)
        found(w, FM_ODD_PARTITION, partition, offset, w->asked[nth]);
    struct fm_offset *last = &w->seen.last[partition % FM_OFFSETS];
    if (last->partition == partition + 1 && offset <= last->offset)
        found(w, offset == last->offset ? FM_ODD_REPEAT : FM_ODD_SINK, partition, offset,
              last->offset);
    *last = (struct fm_offset){.partition = partition + 1, .offset = offset};
}

void fm_offset_cluster(struct fm_offset_watch *w, const char *id, size_t len)
{
    if (w->cluster == NULL || w->cluster[0] == '\0' ||
        (strlen(w->cluster) == len && memcmp(w->cluster, id, len) == 0))
        return;
    w->odd |= FM_ODD_CLUSTER;
    w->other = id;
    w->other_len = len;
}

void fm_offsets_begin(struct fm_offset_watch *w, struct fm_request *r)
{
    struct fm_topic *t = r->topic;
    struct fm_rest *rest = t->rest;
    if (t->offsets.endpoint != r->endpoint) /* it may lead to another cluster */
        t->offsets.seen = (struct fm_offsets){0};
    t->offsets.endpoint = r->endpoint;
    *w = (struct fm_offset_watch){.seen = t->offsets.seen,
                                  .told = t->offsets.told,
                                  .n = r->n,
                                  .cluster = rest->endpoints[r->endpoint].cluster};
}

void fm_offsets_end(const struct fm_offset_watch *w, struct fm_request *r)
{
    struct fm_topic *t = r->topic;
    struct fm_log *log = t->rest->log;
    unsigned fresh = w->odd & ~t->offsets.told;
    t->offsets.seen = w->seen;
    t->offsets.told |= w->odd;
    if (fresh & FM_ODD_PARTITION)
        fm_log(log, FM_LOG_WARN,
               "topic %s: a record for partition %" PRId64 " is told to lie in partition %" PRId64
               "; it counts as delivered: look at what stands between here and Kafka",
               t->name, w->before, w->partition);
    if (fresh & FM_ODD_REPEAT)
        fm_log(log, FM_LOG_WARN,
               "topic %s: two records are told to lie at offset %" PRId64 " of partition %" PRId64
               "; they count as delivered: firstmile audit %s shows whether they are there",
               t->name, w->offset, w->partition, t->name);
    if (fresh & FM_ODD_SINK)
        fm_log(log, FM_LOG_WARN,
               "topic %s: offset %" PRId64 " of partition %" PRId64 " came after %" PRId64
               "; was the topic made anew, or does another cluster answer? The records count as "
               "delivered: firstmile audit %s shows whether they are there",
               t->name, w->offset, w->partition, w->before, t->name);
    if (fresh & FM_ODD_CLUSTER)
        fm_log(log, FM_LOG_WARN,
               "topic %s: cluster %.*s answers a request to cluster %s; its records count as "
               "delivered: check [rest] url and cluster_id",
               t->name, (int)(w->other_len < 64 ? w->other_len : 64), w->other, w->cluster);
}
