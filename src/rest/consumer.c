#include "rest/consumer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "rest/ask_priv.h"
#include "rest/consumer_priv.h"
#include "rest/rest_priv.h"

#define BINARY_TYPE "application/vnd.kafka.binary.v2+json"

enum {
    DELETE_MS = 3000,
    EMPTY_FEW = 4, /* answers in a row, then more bytes are asked for */
    EMPTY_MAX = 20, /* answers in a row, then it is told again where to read */
    LOST_MAX = 5 /* instances lost in a row, without a good read in between */
};

/* ---- names ---- */

static void random_hex(char out[17])
{
    uint64_t v = 0;
    if (getrandom(&v, sizeof v, GRND_NONBLOCK) != (ssize_t)sizeof v)
        v = (uint64_t)fm_clock_ns() * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)fm_wall_ms();
    (void)snprintf(out, 17, "%016llx", (unsigned long long)v);
}

static void fresh_names(struct fm_rest_consumer *c)
{
    char hex[17];
    random_hex(hex);
    (void)snprintf(c->wanted, sizeof c->wanted, "audit-%s", hex);
    if (c->own_group)
        (void)snprintf(c->group, sizeof c->group, "firstmile-audit-%s", hex);
}

/* ---- making and freeing ---- */

/* api = v3: the consumer interface lies beside /v3. */
static enum fm_code find_bases(struct fm_rest_consumer *c, const char *url, struct fm_err *err)
{
    const struct fm_rest_opts *o = &c->conf->o;
    for (size_t i = 0; i < o->n_urls; i++)
        c->urls[i] = o->urls[i];
    c->n_urls = o->n_urls;
    if (url == NULL && !fm_rest_is_v3(o->dialect))
        return FM_OK;
    const char *from = url != NULL ? url : o->urls[0];
    size_t len = strlen(from);
    while (len > 0 && from[len - 1] == '/')
        len--;
    if (url == NULL && len > 3 && memcmp(from + len - 3, "/v3", 3) == 0)
        len -= 3;
    c->base = strndup(from, len);
    if (c->base == NULL)
        return fm_err_nomem(err);
    c->urls[0] = c->base;
    c->n_urls = 1;
    return FM_OK;
}

static enum fm_code set_up(struct fm_rest_consumer *c, const struct fm_rest_consumer_opts *opts,
                           struct fm_err *err)
{
    struct fm_rest_opts way = *opts->way;
    if (opts->url != NULL) { /* the producer's need not be set */
        way.urls = &opts->url;
        way.n_urls = 1;
    }
    FM_TRY(fm_rest_conf_new(&c->conf, &way, err));
    c->dialect = fm_consume_dialect(way.dialect);
    FM_TRY(find_bases(c, opts->url, err));
    const struct fm_client_opts client = {.log = way.log,
                                          .idle_age_ms = c->conf->o.idle_age_ms,
                                          .connection_life_ms = c->conf->o.connection_life_ms};
    FM_TRY(fm_client_new(&c->client, &client, err));
    c->asker = (struct fm_asker){.client = c->client,
                                 .way = &c->conf->o,
                                 .token = c->conf->o.token,
                                 .stop = opts->stop,
                                 .arg = opts->arg};
    return FM_OK;
}

enum fm_code fm_rest_consumer_new(struct fm_rest_consumer **out,
                                  const struct fm_rest_consumer_opts *opts, struct fm_err *err)
{
    *out = NULL;
    if (!fm_rest_topic_valid(opts->topic))
        return fm_err_set(err, FM_ECONF, "%.60s is no name of a topic", opts->topic);
    if (opts->group != NULL && !fm_rest_topic_valid(opts->group))
        return fm_err_set(err, FM_ECONF,
                          "%.60s cannot be a group here: letters, digits, . _ and - are allowed",
                          opts->group);
    struct fm_rest_consumer *c = calloc(1, sizeof *c);
    if (c == NULL)
        return fm_err_nomem(err);
    fm_buf_init(&c->request, 0);
    fm_buf_init(&c->answer, 0);
    fm_consume_scratch_init(&c->scratch);
    (void)snprintf(c->topic, sizeof c->topic, "%s", opts->topic);
    c->own_group = opts->group == NULL;
    if (!c->own_group)
        (void)snprintf(c->group, sizeof c->group, "%s", opts->group);
    c->wait_ms = opts->wait_ms > 0 ? opts->wait_ms : 500;
    c->timeout_ms = opts->timeout_ms > 0 ? opts->timeout_ms : 60000;
    c->stop = opts->stop;
    c->stop_arg = opts->arg;
    fresh_names(c);
    enum fm_code code = set_up(c, opts, err);
    if (code != FM_OK)
        fm_rest_consumer_free(c);
    else
        *out = c;
    return code;
}

static void instance_path(const struct fm_rest_consumer *c, const char *tail,
                          char out[FM_CONSUME_PATH])
{
    (void)snprintf(out, FM_CONSUME_PATH, "/consumers/%s/instances/%s%s", c->group, c->name, tail);
}

/* Also after a stop: the proxy would keep it for minutes. */
static void delete_instance(struct fm_rest_consumer *c)
{
    char path[FM_CONSUME_PATH];
    struct fm_http_answer http;
    if (!c->created && !c->maybe)
        return;
    const struct fm_asker asker = {
        .client = c->client, .way = &c->conf->o, .token = c->asker.token};
    instance_path(c, "", path);
    const struct fm_question question = {.method = "DELETE",
                                         .base = c->urls[c->cur],
                                         .path = path,
                                         .accept = FM_CONSUME_TYPE,
                                         .timeout_ms = DELETE_MS};
    (void)(fm_ask(&asker, &question, &http, &c->answer, NULL) == FM_OK); /* else it expires */
    c->created = c->maybe = c->placed = false;
}

void fm_rest_consumer_free(struct fm_rest_consumer *c)
{
    if (c == NULL)
        return;
    delete_instance(c);
    fm_client_free(c->client);
    fm_rest_conf_free(c->conf);
    fm_oauth_token_clear(&c->token);
    free(c->base);
    free(c->places);
    fm_buf_clear(&c->request);
    fm_buf_clear(&c->answer);
    fm_consume_scratch_clear(&c->scratch);
    free(c);
}

bool fm_rest_consumer_has_ends(const struct fm_rest_consumer *c)
{
    return c->dialect->assign;
}

const struct fm_rest_place *fm_rest_consumer_places(const struct fm_rest_consumer *c, size_t *n)
{
    *n = c->n_places;
    return c->places;
}

unsigned fm_rest_consumer_renewed(const struct fm_rest_consumer *c)
{
    return c->renewed;
}

/* ---- the topic ---- */

static struct fm_rest_place *find_place(const struct fm_rest_consumer *c, int32_t partition)
{
    size_t low = 0, high = c->n_places;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (c->places[middle].partition < partition)
            low = middle + 1;
        else
            high = middle;
    }
    return low < c->n_places && c->places[low].partition == partition ? &c->places[low] : NULL;
}

static enum fm_code take_partitions(struct fm_rest_consumer *c, const int32_t *numbers, size_t n,
                                    struct fm_err *err)
{
    struct fm_rest_place *places = calloc(n, sizeof *places);
    if (places == NULL)
        return fm_err_nomem(err);
    for (size_t i = 0; i < n; i++) {
        const struct fm_rest_place *old = find_place(c, numbers[i]);
        places[i] = (struct fm_rest_place){
            .partition = numbers[i], .begin = -1, .end = -1, .next = old != NULL ? old->next : 0};
        c->placed = c->placed && old != NULL;
    }
    free(c->places);
    c->places = places;
    c->n_places = n;
    return FM_OK;
}

static enum fm_code ask_partitions(struct fm_rest_consumer *c, struct fm_err *err)
{
    char path[FM_CONSUME_PATH];
    int32_t *numbers = NULL;
    size_t n = 0;
    const struct fm_consume_asked asked = {.step = FM_CONSUME_TOPIC, .method = "GET", .path = path};
    (void)snprintf(path, sizeof path, "/topics/%s/partitions", c->topic);
    FM_TRY(fm_consume_insist(c, &asked, err));
    FM_TRY(fm_consume_partitions(c->answer.data, c->answer.len, &numbers, &n, err));
    enum fm_code code = take_partitions(c, numbers, n, err);
    free(numbers);
    return code;
}

enum fm_code fm_rest_consumer_ends(struct fm_rest_consumer *c, struct fm_err *err)
{
    if (!c->dialect->assign)
        return FM_OK;
    fm_consume_begin(c);
    FM_TRY(ask_partitions(c, err));
    for (size_t i = 0; i < c->n_places; i++) {
        char path[FM_CONSUME_PATH];
        struct fm_rest_place *place = &c->places[i];
        const struct fm_consume_asked asked = {
            .step = FM_CONSUME_ENDS, .method = "GET", .path = path};
        (void)snprintf(path, sizeof path, "/topics/%s/partitions/%d/offsets", c->topic,
                       (int)place->partition);
        fm_consume_begin(c);
        FM_TRY(fm_consume_insist(c, &asked, err));
        if (!fm_consume_ends(c->answer.data, c->answer.len, &place->begin, &place->end))
            return fm_err_set(err, FM_EPROTO,
                              "the proxy does not tell the offsets of partition %d of %s",
                              (int)place->partition, c->topic);
        if (place->next < place->begin) {
            place->next = place->begin;
            c->placed = false;
        }
    }
    return FM_OK;
}

void fm_rest_consumer_seek(struct fm_rest_consumer *c, const struct fm_rest_place *places, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct fm_rest_place *place = find_place(c, places[i].partition);
        if (place != NULL)
            place->next = places[i].next;
    }
    c->placed = false;
}

/* ---- the instance ---- */

static enum fm_code create(struct fm_rest_consumer *c, enum fm_consume_class *cls,
                           struct fm_err *why, struct fm_err *err)
{
    char path[FM_CONSUME_PATH];
    const struct fm_consume_asked asked = {
        .step = FM_CONSUME_CREATE, .method = "POST", .path = path, .body = true};
    (void)snprintf(path, sizeof path, "/consumers/%s", c->group);
    fm_buf_reset(&c->request);
    fm_buf_printf(&c->request, "{\"name\":\"%s\",\"format\":\"binary\",%s}", c->wanted,
                  c->dialect->settings);
    memcpy(c->name, c->wanted, sizeof c->name);
    c->maybe = true; /* until the proxy says that it is not there */
    FM_TRY(fm_consume_try(c, &asked, cls, why, err));
    if (*cls == FM_CONSUME_TAKEN) { /* the name is random: made by a try whose answer got lost */
        *cls = FM_CONSUME_OK;
        c->created = true;
        return FM_OK;
    }
    if (*cls != FM_CONSUME_OK)
        return FM_OK;
    /* base_uri is not used: it names the proxy as it sees itself, which may not be reachable */
    if (!fm_consume_created(c->answer.data, c->answer.len, c->name, sizeof c->name))
        (void)snprintf(c->name, sizeof c->name, "%s", c->wanted);
    c->created = true;
    c->placed = false;
    return FM_OK;
}

static void put_places(struct fm_rest_consumer *c, const char *member, bool offset)
{
    fm_buf_reset(&c->request);
    fm_buf_printf(&c->request, "{\"%s\":[", member);
    for (size_t i = 0; i < c->n_places; i++) {
        fm_buf_printf(&c->request, "%s{\"topic\":\"%s\",\"partition\":%d", i > 0 ? "," : "",
                      c->topic, (int)c->places[i].partition);
        if (offset)
            fm_buf_printf(&c->request, ",\"offset\":%lld", (long long)c->places[i].next);
        fm_buf_putc(&c->request, '}');
    }
    fm_buf_puts(&c->request, "]}");
}

static enum fm_code post(struct fm_rest_consumer *c, const char *tail, enum fm_consume_class *cls,
                         struct fm_err *why, struct fm_err *err)
{
    char path[FM_CONSUME_PATH];
    const struct fm_consume_asked asked = {
        .step = FM_CONSUME_PLACE, .method = "POST", .path = path, .body = true};
    instance_path(c, tail, path);
    return fm_consume_try(c, &asked, cls, why, err);
}

/* Say what is read, and from where on. */
static enum fm_code place(struct fm_rest_consumer *c, enum fm_consume_class *cls,
                          struct fm_err *why, struct fm_err *err)
{
    if (!c->dialect->assign) {
        fm_buf_reset(&c->request);
        fm_buf_printf(&c->request, "{\"topics\":[\"%s\"]}", c->topic);
        FM_TRY(post(c, "/subscription", cls, why, err));
    } else {
        if (!c->assigned) {
            put_places(c, "partitions", false);
            FM_TRY(post(c, "/assignments", cls, why, err));
        }
        c->assigned = false;
        if (*cls == FM_CONSUME_OK) {
            put_places(c, "offsets", true);
            FM_TRY(post(c, "/positions", cls, why, err));
            c->assigned = *cls == FM_CONSUME_SOON; /* assigned anew it would never be ready */
        }
    }
    c->placed = *cls == FM_CONSUME_OK;
    return FM_OK;
}

static enum fm_code get_records(struct fm_rest_consumer *c, enum fm_consume_class *cls,
                                struct fm_err *why, struct fm_err *err)
{
    char path[FM_CONSUME_PATH], tail[120];
    int n = snprintf(tail, sizeof tail, "/records?timeout=%u", c->wait_ms);
    if (c->dialect->max_bytes > 0)
        (void)snprintf(tail + n, sizeof tail - (size_t)n, "&max_bytes=%zu",
                       c->empty < EMPTY_FEW ? c->dialect->max_bytes : c->dialect->most_bytes);
    instance_path(c, tail, path);
    const struct fm_consume_asked asked = {.step = FM_CONSUME_READ,
                                           .method = "GET",
                                           .path = path,
                                           .accept = BINARY_TYPE,
                                           .max_answer = c->dialect->max_answer};
    /* Whatever becomes of this request, only a good answer says where the instance stands. */
    c->placed = false;
    return fm_consume_try(c, &asked, cls, why, err);
}

/* Whatever is to be done next; *read: records have come. */
static enum fm_code go_on(struct fm_rest_consumer *c, bool *read, enum fm_consume_class *cls,
                          struct fm_err *why, struct fm_err *err)
{
    *read = false;
    if (!c->created)
        return create(c, cls, why, err);
    if (!c->placed)
        return place(c, cls, why, err);
    FM_TRY(get_records(c, cls, why, err));
    *read = *cls == FM_CONSUME_OK;
    return FM_OK;
}

/* After a lost instance. */
static enum fm_code renew(struct fm_rest_consumer *c, const struct fm_err *why, struct fm_err *err)
{
    c->created = c->maybe = c->placed = c->assigned = false;
    fresh_names(c);
    c->renewed++;
    if (++c->lost > LOST_MAX)
        return fm_err_set(err, FM_EREMOTE, "%s", fm_err_text(why));
    return FM_OK;
}

/* Without positions only a fresh group begins where nothing is left out. */
static void start_over(struct fm_rest_consumer *c)
{
    delete_instance(c);
    fresh_names(c);
}

/* ---- records ---- */

struct taking {
    struct fm_rest_consumer *c;
    fm_rest_consumed_fn *fn;
    void *arg;
};

/* Subscribed: partitions are known by their records. */
static struct fm_rest_place *add_place(struct fm_rest_consumer *c, int32_t partition, int64_t next)
{
    struct fm_rest_place *places = realloc(c->places, (c->n_places + 1) * sizeof *places);
    if (places == NULL)
        return NULL;
    c->places = places;
    size_t at = c->n_places++;
    for (; at > 0 && places[at - 1].partition > partition; at--)
        places[at] = places[at - 1];
    places[at] =
        (struct fm_rest_place){.partition = partition, .begin = -1, .end = -1, .next = next};
    return &places[at];
}

static enum fm_code take_record(void *arg, const struct fm_rest_consumed *record,
                                struct fm_err *err)
{
    struct taking *t = arg;
    struct fm_rest_place *place = find_place(t->c, record->partition);
    if (place == NULL && t->c->n_places == FM_CONSUME_PARTITIONS)
        return fm_err_set(err, FM_ELIMIT, "the topic has more than %d partitions",
                          FM_CONSUME_PARTITIONS);
    if (place == NULL && (place = add_place(t->c, record->partition, record->offset)) == NULL)
        return fm_err_nomem(err);
    if (record->offset < place->next)
        return FM_OK; /* read before the instance was lost */
    if (record->offset > place->next && place->jump != record->offset) {
        /* libcurl repeats a GET whose kept connection died, and the proxy had moved on by then. A
         * hole that is there the second time too is one of the topic. */
        place->jump = record->offset;
        return fm_err_set(err, FM_EAGAIN, "partition %d jumps from offset %lld to %lld",
                          (int)place->partition, (long long)place->next, (long long)record->offset);
    }
    place->next = record->offset + 1;
    return t->fn(t->arg, record, err);
}

static enum fm_code read_records(struct fm_rest_consumer *c, fm_rest_consumed_fn *fn, void *arg,
                                 size_t *bytes, struct fm_err *err)
{
    struct taking taking = {c, fn, arg};
    FM_TRY(fm_consume_records(c->answer.data, c->answer.len, true, c->topic, &c->scratch,
                              take_record, &taking, err));
    if (bytes != NULL)
        *bytes = c->answer.len;
    c->empty = c->answer.len > 2 ? 0 : c->empty + 1;
    c->placed = !c->dialect->assign || c->empty % EMPTY_MAX != EMPTY_MAX - 1;
    c->lost = 0;
    return FM_OK;
}

enum fm_code fm_rest_consumer_read(struct fm_rest_consumer *c, fm_rest_consumed_fn *fn, void *arg,
                                   size_t *bytes, struct fm_err *err)
{
    fm_consume_begin(c);
    for (;;) {
        enum fm_consume_class cls = FM_CONSUME_OK;
        struct fm_err why = {0};
        bool read;
        FM_TRY(go_on(c, &read, &cls, &why, err));
        if (read) {
            enum fm_code code = read_records(c, fn, arg, bytes, &why);
            if (code != FM_EPROTO && code != FM_EAGAIN) {
                if (code != FM_OK && err != NULL)
                    *err = why;
                return code;
            }
            cls = FM_CONSUME_AGAIN; /* EPROTO: a page of something in between */
        }
        if (cls != FM_CONSUME_OK && !c->dialect->assign)
            start_over(c);
        if (cls == FM_CONSUME_GONE)
            FM_TRY(renew(c, &why, err));
        if (cls != FM_CONSUME_OK)
            FM_TRY(fm_consume_pause(c, &why, err));
    }
}
