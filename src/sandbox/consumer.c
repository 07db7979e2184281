/* Requests to consumer instances: which one, and reading. */
#include "sandbox/consumer_table_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/clock.h"

/* ---- GET records ---- */

/* What the client asks for; v2->binary is what the instance gives. */
static bool choose_format(struct fm_consumer_call *c, bool *binary)
{
    const char *accept = c->request->accept;
    bool takes_json = fm_v2_accepts(accept, FM_V2_JSON);
    bool takes_binary = fm_v2_accepts(accept, FM_V2_BINARY);
    *binary = takes_binary && !takes_json;
    if (takes_json && takes_binary)
        *binary = c->instance == NULL || c->instance->binary;
    if (!takes_json && !takes_binary)
        return fm_consumer_refuse(c, 406, 406, "HTTP 406 Not Acceptable");
    return true;
}

static struct fm_consume *new_read(const struct fm_instance *in)
{
    struct fm_consume *read = calloc(1, sizeof *read);
    if (read == NULL)
        return NULL;
    read->spots = calloc(FM_CONSUMER_SPOTS, sizeof *read->spots);
    read->topics = calloc(in->n_topics + 1, sizeof *read->topics);
    if (read->spots == NULL || read->topics == NULL) {
        fm_consume_free(read);
        return NULL;
    }
    read->serial = in->serial;
    read->version = in->version;
    if (in->n_spots > 0)
        memcpy(read->spots, in->spots, in->n_spots * sizeof *read->spots);
    read->n_spots = read->left_spots = in->n_spots;
    read->at_spot = in->turn < in->n_spots ? in->turn : 0;
    for (size_t i = 0; in->mode == FM_CONSUMER_SUBSCRIBED && i < in->n_topics; i++) {
        bool known = false;
        for (size_t s = 0; s < in->n_spots && !known; s++)
            known = strcmp(in->spots[s].topic, in->topics[i]) == 0;
        if (!known)
            memcpy(read->topics[read->n_topics++], in->topics[i], sizeof read->topics[0]);
    }
    return read;
}

static bool start_read(struct fm_consumer_call *c)
{
    long long wait = 0, bytes = 0;
    struct fm_instance *in = c->instance;
    const char *type = c->v2->binary ? FM_V2_BINARY : FM_V2_JSON;
    if (in->binary != c->v2->binary) {
        (void)fm_consumer_refuse(
            c, 406, 40601,
            "The requested embedded data format does not match the deserializer for this "
            "consumer instance");
        c->v2->reply.content_type = type;
        return false;
    }
    if (!fm_v2_number(c->request->timeout, in->wait_ms, in->wait_ms, &wait) ||
        !fm_v2_number(c->request->max_bytes, (long long)FM_CONSUMER_BYTES,
                      (long long)FM_CONSUMER_BYTES, &bytes))
        return fm_consumer_refuse(c, 404, 404, "HTTP 404 Not Found");
    if (in->mode == FM_CONSUMER_IDLE)
        return fm_consumer_refuse(
            c, 409, 40903, "Consumer is not subscribed to any topics or assigned any partitions");
    if ((c->v2->consume = new_read(in)) == NULL)
        return fm_consumer_no_memory(c);
    c->v2->consume->wait_ms = wait;
    c->v2->consume->max_bytes = (size_t)bytes;
    return fm_consume_start(c->v2);
}

static void end_read(struct fm_consumers *all, struct fm_v2 *v2)
{
    struct fm_consume *read = v2->consume;
    struct fm_v2_reply *reply = &v2->reply;
    fm_consumers_moved(all, read);
    v2->job.block_ms = 0;
    if (!read->any && read->refused) {
        v2->what = FM_V2_CONSUMER;
        fm_v2_render(v2);
        return;
    }
    if (!read->any && read->unfit) {
        fm_v2_error(reply, 408, 40801, "Error deserializing key/value for partition %s-%d",
                    v2->job.topic, (int)v2->job.partition);
        reply->content_type = FM_V2_JSON;
        return;
    }
    fm_buf_puts(&reply->body, read->any ? "]" : "[]");
    reply->status = 200;
    reply->content_type = v2->binary ? FM_V2_BINARY : FM_V2_JSON;
    if (!read->any && !read->full) /* as if it had waited for more */
        v2->job.block_ms = read->wait_ms;
}

bool fm_consumer_next(struct fm_consumers *all, struct fm_v2 *v2)
{
    if (fm_consume_next(all, v2))
        return true;
    end_read(all, v2);
    return false;
}

/* ---- the way to them ---- */

static const struct operation {
    const char *method, *tail; /* behind the instance's path; NULL: of the group */
    bool (*run)(struct fm_consumer_call *c);
    bool wants_body;
} operations[] = {
    {"POST", NULL, fm_consumer_create, true},
    {"DELETE", "", fm_consumer_delete, false},
    {"POST", "subscription", fm_consumer_subscribe, true},
    {"GET", "subscription", fm_consumer_subscription, false},
    {"DELETE", "subscription", fm_consumer_unsubscribe, false},
    {"POST", "assignments", fm_consumer_assign, true},
    {"GET", "assignments", fm_consumer_assignments, false},
    {"POST", "positions", fm_consumer_seek, true},
    {"POST", "positions/beginning", fm_consumer_seek_beginning, true},
    {"POST", "positions/end", fm_consumer_seek_end, true},
    {"GET", "records", start_read, false},
    {"POST", "offsets", fm_consumer_commit, false},
    {"GET", "offsets", fm_consumer_committed, true},
};

bool fm_consumer_is(const char *path)
{
    return strncmp(path, "/consumers/", 11) == 0;
}

/* @return the operation; NULL: refused */
static const struct operation *route(struct fm_consumer_call *c, const char *tail)
{
    bool known = false;
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        const struct operation *o = &operations[i];
        if ((o->tail == NULL) != (tail == NULL) || (tail != NULL && strcmp(tail, o->tail) != 0))
            continue;
        if (strcmp(o->method, c->request->method) == 0)
            return o;
        known = true;
    }
    (void)fm_consumer_refuse(c, known ? 405 : 404, known ? 405 : 404,
                             known ? "HTTP 405 Method Not Allowed" : "HTTP 404 Not Found");
    return NULL;
}

static bool negotiate(struct fm_consumer_call *c, const struct operation *o)
{
    const char *type = c->request->content_type;
    if (strcmp(c->request->method, "POST") == 0 && type != NULL &&
        !fm_v2_is_type(type, FM_V2_TYPE) && !fm_v2_is_type(type, "application/json"))
        return fm_consumer_refuse(c, 415, 415, "HTTP 415 Unsupported Media Type");
    if (o->run != start_read && !fm_v2_accepts(c->request->accept, FM_V2_TYPE) &&
        !fm_v2_accepts(c->request->accept, "application/json"))
        return fm_consumer_refuse(c, 406, 406, "HTTP 406 Not Acceptable");
    if (c->request->too_large || c->request->body_len > FM_CONSUMER_BODY)
        return fm_consumer_refuse(c, 413, 413, "HTTP 413 Payload Too Large");
    return true;
}

static bool load_body(struct fm_consumer_call *c, const struct operation *o, json_t **out)
{
    json_error_t why;
    *out = NULL;
    if (c->request->body_len == 0)
        return !o->wants_body || o->run == fm_consumer_create ||
               fm_consumer_refuse(c, 422, 422, "a body is wanted");
    *out = json_loadb(c->request->body, c->request->body_len, 0, &why);
    if (*out == NULL) {
        char text[300];
        (void)snprintf(text, sizeof text, "The body is no JSON: %.200s", why.text);
        return fm_consumer_refuse(c, 400, 400, text);
    }
    if (!json_is_object(*out))
        return fm_consumer_refuse(c, 400, 400, "The body is no JSON object");
    c->body = *out;
    return true;
}

/* With the instances locked. */
static bool run(struct fm_consumer_call *c, const struct operation *o)
{
    if (o->tail == NULL)
        return o->run(c);
    c->instance = fm_consumers_find(c->all, c->group, c->name);
    bool binary = true;
    if (o->run == start_read && !choose_format(c, &binary))
        return false;
    c->v2->binary = binary;
    if (c->instance == NULL) {
        (void)fm_consumer_refuse(c, 404, 40403, "Consumer instance not found.");
        if (o->run == start_read)
            c->v2->reply.content_type = binary ? FM_V2_BINARY : FM_V2_JSON;
        return false;
    }
    c->instance->used_ms = fm_clock_ms();
    return o->run(c);
}

bool fm_consumer_parse(struct fm_consumers *all, struct fm_v2 *v2,
                       const struct fm_v2_request *request)
{
    struct fm_consumer_call c = {.all = all, .v2 = v2, .request = request};
    char copy[2048], tail[64] = "";
    const char *part[FM_V2_SEGMENTS];
    int n = fm_v2_split(request->path, copy, sizeof copy, part);
    v2->what = FM_V2_CONSUMER;
    bool good = n == 2 || (n >= 4 && strcmp(part[2], "instances") == 0);
    if (!good || strlen(part[1]) > FM_CONSUMER_NAME ||
        (n > 3 && strlen(part[3]) > FM_CONSUMER_NAME))
        return fm_consumer_refuse(&c, 404, 404, "HTTP 404 Not Found");
    c.group = part[1];
    c.name = n > 3 ? part[3] : NULL;
    if (n > 4)
        (void)snprintf(tail, sizeof tail, "%s%s%s", part[4], n > 5 ? "/" : "",
                       n > 5 ? part[5] : "");
    json_t *body = NULL;
    const struct operation *o = route(&c, n == 2 ? NULL : tail);
    bool job = false;
    if (o != NULL && negotiate(&c, o) && load_body(&c, o, &body)) {
        (void)pthread_mutex_lock(&all->lock);
        fm_consumers_sweep(all, fm_clock_ms());
        job = run(&c, o);
        (void)pthread_mutex_unlock(&all->lock);
    }
    if (!job && v2->consume != NULL && v2->reply.status == 0)
        end_read(all, v2); /* nothing to read from */
    json_decref(body);
    return job;
}
