/* What an instance reads and from where on, and what its group committed. */
#include "sandbox/consumer_table_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/json.h"

static bool exclusive(struct fm_consumer_call *c, enum fm_consumer_mode mode)
{
    return c->instance->mode == FM_CONSUMER_IDLE || c->instance->mode == mode ||
           fm_consumer_refuse(
               c, 409, 40903,
               "Subscription to topics, partitions and pattern are mutually exclusive");
}

bool fm_consumer_subscribe(struct fm_consumer_call *c)
{
    struct fm_instance *in = c->instance;
    const json_t *topics = json_object_get(c->body, "topics");
    size_t n = json_array_size(topics);
    if (json_object_get(c->body, "topic_pattern") != NULL)
        return fm_consumer_refuse(c, 422, 422, "The sandbox takes topics only, no topic_pattern.");
    if (!json_is_array(topics) || n > FM_CONSUMER_TOPICS)
        return fm_consumer_refuse(c, 422, 422, "topics must be an array of a few names");
    if (!exclusive(c, FM_CONSUMER_SUBSCRIBED))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!json_is_string(json_array_get(topics, i)) ||
            !fm_tlog_name_ok(json_string_value(json_array_get(topics, i))))
            return fm_consumer_refuse(c, 422, 422, "a topic has no legal name");
    char(*names)[FM_TLOG_NAME_MAX + 1] = calloc(n + 1, sizeof *names);
    if (names == NULL)
        return fm_consumer_no_memory(c);
    for (size_t i = 0; i < n; i++)
        (void)snprintf(names[i], sizeof names[i], "%s",
                       json_string_value(json_array_get(topics, i)));
    free(in->topics);
    in->topics = names;
    in->n_topics = n;
    in->n_spots = 0;
    in->version++;
    in->mode = n > 0 ? FM_CONSUMER_SUBSCRIBED : FM_CONSUMER_IDLE;
    return fm_consumer_no_content(c);
}

bool fm_consumer_unsubscribe(struct fm_consumer_call *c)
{
    struct fm_instance *in = c->instance;
    in->n_topics = in->n_spots = 0;
    in->version++;
    in->mode = FM_CONSUMER_IDLE;
    return fm_consumer_no_content(c);
}

bool fm_consumer_subscription(struct fm_consumer_call *c)
{
    struct fm_buf *out = fm_consumer_json(c);
    fm_buf_puts(out, "{\"topics\":[");
    for (size_t i = 0; c->instance->mode == FM_CONSUMER_SUBSCRIBED && i < c->instance->n_topics;
         i++) {
        fm_buf_puts(out, i > 0 ? "," : "");
        fm_json_cstr(out, c->instance->topics[i]);
    }
    fm_buf_puts(out, "]}");
    return false;
}

/* {"topic":"T","partition":N[,"offset":N]} */
static bool read_spot(const json_t *entry, bool offset, struct fm_spot *out)
{
    const json_t *topic = json_object_get(entry, "topic");
    const json_t *partition = json_object_get(entry, "partition");
    const json_t *at = json_object_get(entry, "offset");
    if (!json_is_string(topic) || !fm_tlog_name_ok(json_string_value(topic)) ||
        !json_is_integer(partition) || json_integer_value(partition) < 0 ||
        json_integer_value(partition) > INT32_MAX ||
        (offset && (!json_is_integer(at) || json_integer_value(at) < 0)))
        return false;
    *out = (struct fm_spot){.partition = (int32_t)json_integer_value(partition),
                            .next = offset ? json_integer_value(at) : 0};
    (void)snprintf(out->topic, sizeof out->topic, "%s", json_string_value(topic));
    return true;
}

/* The entries of an array in the body. @return false: refused; *out is the caller's */
static bool read_spots(struct fm_consumer_call *c, const char *member, bool offset,
                       struct fm_spot **out, size_t *n)
{
    const json_t *list = json_object_get(c->body, member);
    *out = NULL;
    *n = json_array_size(list);
    if (!json_is_array(list) || *n > FM_CONSUMER_SPOTS) {
        (void)fm_consumer_refuse(c, 422, 422, "an array of at most 256 partitions is wanted");
        return false;
    }
    struct fm_spot *spots = calloc(*n + 1, sizeof *spots);
    if (spots == NULL) {
        (void)fm_consumer_no_memory(c);
        return false;
    }
    for (size_t i = 0; i < *n; i++)
        if (!read_spot(json_array_get(list, i), offset, &spots[i])) {
            free(spots);
            (void)fm_consumer_refuse(c, 422, 422,
                                     "an entry wants topic, partition and a legal offset");
            return false;
        }
    *out = spots;
    return true;
}

bool fm_consumer_assign(struct fm_consumer_call *c)
{
    struct fm_instance *in = c->instance;
    struct fm_spot *spots;
    size_t n;
    if (!exclusive(c, FM_CONSUMER_ASSIGNED) || !read_spots(c, "partitions", false, &spots, &n))
        return false;
    for (size_t i = 0; i < n; i++)
        spots[i].next = fm_instance_origin(c->all, in, spots[i].topic, spots[i].partition);
    free(in->spots);
    in->spots = spots;
    in->n_spots = n;
    in->turn = 0;
    in->version++;
    in->mode = n > 0 ? FM_CONSUMER_ASSIGNED : FM_CONSUMER_IDLE;
    return fm_consumer_no_content(c);
}

bool fm_consumer_assignments(struct fm_consumer_call *c)
{
    struct fm_buf *out = fm_consumer_json(c);
    fm_buf_puts(out, "{\"partitions\":[");
    for (size_t i = 0; i < c->instance->n_spots; i++) {
        fm_buf_puts(out, i > 0 ? ",{\"topic\":" : "{\"topic\":");
        fm_json_cstr(out, c->instance->spots[i].topic);
        fm_buf_printf(out, ",\"partition\":%d}", (int)c->instance->spots[i].partition);
    }
    fm_buf_puts(out, "]}");
    return false;
}

static struct fm_spot *held(struct fm_instance *in, const struct fm_spot *wanted)
{
    for (size_t i = 0; i < in->n_spots; i++)
        if (in->spots[i].partition == wanted->partition &&
            strcmp(in->spots[i].topic, wanted->topic) == 0)
            return &in->spots[i];
    return NULL;
}

static void move(struct fm_instance *in, const struct fm_spot *wanted, int64_t next)
{
    struct fm_spot *spot = held(in, wanted);
    if (spot != NULL)
        spot->next = next;
}

static bool seek_to(struct fm_consumer_call *c, const char *member, bool offset, int64_t place)
{
    struct fm_spot *spots;
    size_t n;
    if (!read_spots(c, member, offset, &spots, &n))
        return false;
    for (size_t i = 0; i < n; i++)
        if (held(c->instance, &spots[i]) == NULL) {
            char text[400];
            (void)snprintf(text, sizeof text, "No current assignment for partition %s-%d",
                           spots[i].topic, (int)spots[i].partition);
            free(spots);
            return fm_consumer_refuse(c, 409, 40903, text);
        }
    for (size_t i = 0; i < n; i++)
        move(c->instance, &spots[i], offset ? spots[i].next : place);
    free(spots);
    c->instance->version++;
    return fm_consumer_no_content(c);
}

bool fm_consumer_seek(struct fm_consumer_call *c)
{
    return seek_to(c, "offsets", true, 0);
}

bool fm_consumer_seek_beginning(struct fm_consumer_call *c)
{
    return seek_to(c, "partitions", false, 0);
}

bool fm_consumer_seek_end(struct fm_consumer_call *c)
{
    return seek_to(c, "partitions", false, FM_SPOT_END);
}

/* ---- committed positions ---- */

static bool commit_one(struct fm_consumers *all, const char *group, const struct fm_spot *spot)
{
    struct fm_commit *commit = fm_consumers_commit(all, group, spot->topic, spot->partition);
    if (commit == NULL) {
        if (all->n_commits == FM_CONSUMER_COMMITS)
            return false;
        if (all->commits == NULL)
            all->commits = calloc(FM_CONSUMER_COMMITS, sizeof *all->commits);
        if (all->commits == NULL)
            return false;
        commit = &all->commits[all->n_commits++];
        (void)snprintf(commit->group, sizeof commit->group, "%s", group);
    }
    commit->spot = *spot;
    return true;
}

/* The answer is an empty list, as that of the real one. */
bool fm_consumer_commit(struct fm_consumer_call *c)
{
    struct fm_spot *spots = c->instance->spots;
    size_t n = c->instance->n_spots;
    bool given = c->body != NULL && json_object_get(c->body, "offsets") != NULL, ok = true;
    if (given && !read_spots(c, "offsets", true, &spots, &n))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (given)
            spots[i].next++; /* the offset of the last record that was read */
        if (spots[i].next != FM_SPOT_END)
            ok = commit_one(c->all, c->group, &spots[i]) && ok;
    }
    if (given)
        free(spots);
    if (!ok)
        return fm_consumer_refuse(c, 503, 503, "The sandbox keeps no more committed positions.");
    fm_buf_puts(fm_consumer_json(c), "[]");
    return false;
}

bool fm_consumer_committed(struct fm_consumer_call *c)
{
    struct fm_spot *spots;
    size_t n;
    if (!read_spots(c, "partitions", false, &spots, &n))
        return false;
    struct fm_buf *out = fm_consumer_json(c);
    const char *comma = "";
    fm_buf_puts(out, "{\"offsets\":[");
    for (size_t i = 0; i < n; i++) {
        const struct fm_commit *found =
            fm_consumers_commit(c->all, c->group, spots[i].topic, spots[i].partition);
        if (found == NULL)
            continue;
        fm_buf_printf(out, "%s{\"topic\":", comma);
        fm_json_cstr(out, found->spot.topic);
        fm_buf_printf(out, ",\"partition\":%d,\"offset\":%lld,\"metadata\":\"\"}",
                      (int)found->spot.partition, (long long)found->spot.next);
        comma = ",";
    }
    fm_buf_puts(out, "]}");
    free(spots);
    return false;
}
