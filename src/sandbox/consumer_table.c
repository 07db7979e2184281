/* Consumer instances: made, found, deleted; what groups committed. */
#include "sandbox/consumer_table_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/json.h"

struct fm_consumers *fm_consumers_new(int64_t idle_ms, bool https)
{
    struct fm_consumers *all = calloc(1, sizeof *all);
    if (all == NULL)
        return NULL;
    all->idle_ms = idle_ms > 0 ? idle_ms : 300000;
    all->scheme = https ? "https" : "http";
    (void)pthread_mutex_init(&all->lock, NULL);
    return all;
}

static void forget(struct fm_consumers *all, size_t i)
{
    struct fm_instance *instance = all->list[i];
    all->list[i] = all->list[--all->n];
    free(instance->topics);
    free(instance->spots);
    free(instance);
}

void fm_consumers_free(struct fm_consumers *all)
{
    if (all == NULL)
        return;
    while (all->n > 0)
        forget(all, all->n - 1);
    free(all->commits);
    (void)pthread_mutex_destroy(&all->lock);
    free(all);
}

void fm_consumers_sweep(struct fm_consumers *all, int64_t now)
{
    for (size_t i = all->n; i-- > 0;)
        if (now - all->list[i]->used_ms >= all->idle_ms)
            forget(all, i);
}

struct fm_instance *fm_consumers_find(const struct fm_consumers *all, const char *group,
                                      const char *name)
{
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->list[i]->group, group) == 0 && strcmp(all->list[i]->name, name) == 0)
            return all->list[i];
    return NULL;
}

static struct fm_instance *by_serial(const struct fm_consumers *all, uint64_t serial)
{
    for (size_t i = 0; i < all->n; i++)
        if (all->list[i]->serial == serial)
            return all->list[i];
    return NULL;
}

struct fm_commit *fm_consumers_commit(const struct fm_consumers *all, const char *group,
                                      const char *topic, int32_t partition)
{
    for (size_t i = 0; i < all->n_commits; i++)
        if (all->commits[i].spot.partition == partition &&
            strcmp(all->commits[i].spot.topic, topic) == 0 &&
            strcmp(all->commits[i].group, group) == 0)
            return &all->commits[i];
    return NULL;
}

int64_t fm_instance_origin(const struct fm_consumers *all, const struct fm_instance *instance,
                           const char *topic, int32_t partition)
{
    const struct fm_commit *commit = fm_consumers_commit(all, instance->group, topic, partition);
    return commit != NULL ? commit->spot.next : instance->from_end ? FM_SPOT_END : 0;
}

int64_t fm_consumers_origin(struct fm_consumers *all, uint64_t serial, const char *topic,
                            int32_t partition)
{
    (void)pthread_mutex_lock(&all->lock);
    const struct fm_instance *instance = by_serial(all, serial);
    int64_t next = instance == NULL ? 0 : fm_instance_origin(all, instance, topic, partition);
    (void)pthread_mutex_unlock(&all->lock);
    return next;
}

void fm_consumers_moved(struct fm_consumers *all, const struct fm_consume *read)
{
    (void)pthread_mutex_lock(&all->lock);
    struct fm_instance *instance = by_serial(all, read->serial);
    if (instance != NULL && instance->version == read->version && read->n_spots > 0) {
        struct fm_spot *spots = realloc(instance->spots, read->n_spots * sizeof *spots);
        if (spots != NULL) {
            memcpy(spots, read->spots, read->n_spots * sizeof *spots);
            instance->spots = spots;
            instance->n_spots = read->n_spots;
            instance->turn = read->at_spot;
        }
    }
    if (instance != NULL)
        instance->used_ms = fm_clock_ms();
    (void)pthread_mutex_unlock(&all->lock);
}

/* ---- replies ---- */

bool fm_consumer_refuse(struct fm_consumer_call *c, unsigned status, int code, const char *text)
{
    fm_v2_error(&c->v2->reply, status, code, "%s", text);
    return false;
}

bool fm_consumer_no_content(struct fm_consumer_call *c)
{
    c->v2->reply.status = 204;
    c->v2->reply.content_type = NULL;
    return false;
}

struct fm_buf *fm_consumer_json(struct fm_consumer_call *c)
{
    c->v2->reply.status = 200;
    c->v2->reply.content_type = FM_V2_TYPE;
    return &c->v2->reply.body;
}

bool fm_consumer_no_memory(struct fm_consumer_call *c)
{
    return fm_consumer_refuse(c, 500, 500, "The sandbox is out of memory.");
}

/* ---- POST /consumers/GROUP ---- */

/* "true", "false" and "1000" come as strings or as what they mean. */
static bool read_text(const json_t *value, char *out, size_t size)
{
    int n = -1;
    if (json_is_string(value) && json_string_length(value) == strlen(json_string_value(value)))
        n = snprintf(out, size, "%s", json_string_value(value));
    else if (json_is_boolean(value))
        n = snprintf(out, size, "%s", json_is_true(value) ? "true" : "false");
    else if (json_is_integer(value))
        n = snprintf(out, size, "%lld", (long long)json_integer_value(value));
    return n >= 0 && (size_t)n < size;
}

static bool invalid(struct fm_consumer_call *c, const char *why)
{
    char text[300];
    (void)snprintf(text, sizeof text, "Invalid consumer configuration: %s", why);
    return fm_consumer_refuse(c, 422, 42204, text);
}

static bool set_option(struct fm_consumer_call *c, struct fm_instance *fresh, const char *key,
                       const char *value)
{
    long long number;
    if (strcmp(key, "name") == 0) {
        if (value[0] == '\0' || strchr(value, '/') != NULL)
            return invalid(c, "name cannot stand in a path");
        (void)snprintf(fresh->name, sizeof fresh->name, "%s", value);
    } else if (strcmp(key, "format") == 0) {
        fresh->binary = strcasecmp(value, "binary") == 0;
        if (!fresh->binary && strcasecmp(value, "json") != 0)
            return invalid(c, "format must be binary or json: the sandbox has no Schema Registry");
    } else if (strcmp(key, "auto.offset.reset") == 0) {
        fresh->from_end = strcmp(value, "latest") == 0;
        if (!fresh->from_end && strcmp(value, "earliest") != 0)
            return invalid(c, "auto.offset.reset must be earliest or latest");
    } else if (strcmp(key, "consumer.request.timeout.ms") == 0) {
        if (!fm_v2_number(value, 0, 600000, &number))
            return invalid(c, "consumer.request.timeout.ms is no number");
        fresh->wait_ms = number;
    } else if (strcmp(key, "auto.commit.enable") != 0 && strcmp(key, "fetch.min.bytes") != 0 &&
               strcmp(key, "responseMinBytes") != 0 && strcmp(key, "requestWaitMs") != 0) {
        char text[300];
        (void)snprintf(text, sizeof text, "Unrecognized field: %.200s", key);
        return fm_consumer_refuse(c, 422, 422, text);
    }
    return true;
}

/* A name in the group, and all options set. */
static bool configure(struct fm_consumer_call *c, struct fm_instance *fresh)
{
    const char *key;
    json_t *value;
    (void)snprintf(fresh->name, sizeof fresh->name, "rest-consumer-%llu",
                   (unsigned long long)fresh->serial);
    json_object_foreach ((json_t *)(uintptr_t)c->body, key, value) {
        char text[FM_CONSUMER_NAME + 1];
        if (json_is_null(value))
            continue;
        if (!read_text(value, text, sizeof text))
            return fm_consumer_refuse(c, 400, 400,
                                      "Cannot deserialize value of a consumer's option");
        if (!set_option(c, fresh, key, text))
            return false;
    }
    return fm_consumers_find(c->all, c->group, fresh->name) == NULL ||
           fm_consumer_refuse(
               c, 409, 40902,
               "Consumer with specified consumer ID already exists in the specified consumer "
               "group.");
}

static bool sane_host(const char *host)
{
    static const char legal[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:[]";
    return host != NULL && host[0] != '\0' && strspn(host, legal) == strlen(host);
}

bool fm_consumer_create(struct fm_consumer_call *c)
{
    struct fm_consumers *all = c->all;
    struct fm_instance *fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL)
        return fm_consumer_no_memory(c);
    *fresh = (struct fm_instance){.serial = ++all->serial,
                                  .binary = true,
                                  .from_end = true,
                                  .wait_ms = FM_CONSUMER_WAIT_MS,
                                  .used_ms = fm_clock_ms()};
    (void)snprintf(fresh->group, sizeof fresh->group, "%s", c->group);
    if (!configure(c, fresh)) {
        free(fresh);
        return false;
    }
    if (all->n == FM_CONSUMERS) {
        free(fresh);
        return fm_consumer_refuse(c, 503, 503,
                                  "The sandbox has too many consumer instances: delete some.");
    }
    all->list[all->n++] = fresh;
    struct fm_buf *out = fm_consumer_json(c);
    fm_buf_puts(out, "{\"instance_id\":");
    fm_json_cstr(out, fresh->name);
    fm_buf_puts(out, ",\"base_uri\":");
    char uri[1024];
    (void)snprintf(uri, sizeof uri, "%s://%.300s/consumers/%s/instances/%s", all->scheme,
                   sane_host(c->request->host) ? c->request->host : "127.0.0.1", fresh->group,
                   fresh->name);
    fm_json_cstr(out, uri);
    fm_buf_putc(out, '}');
    return false;
}

bool fm_consumer_delete(struct fm_consumer_call *c)
{
    for (size_t i = 0; i < c->all->n; i++)
        if (c->all->list[i] == c->instance) {
            forget(c->all, i);
            break;
        }
    return fm_consumer_no_content(c);
}
