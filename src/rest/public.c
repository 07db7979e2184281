/* The producer for users of the library: what they call. */
#include "firstmile/rest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "base/utf8.h"
#include "rest/producer_priv.h"

enum {
    MAX_VALUE = 900 * 1024,
    MAX_HEADERS = 64,
    LEAST_BYTES = 1024 * 1024,
    MEMORY_BYTES = 64 * 1024 * 1024,
    MEMORY_DEAD = 1024 * 1024,
    RESERVE = 8 * 1024 * 1024,
    QUEUE_BYTES = 4 * 1024 * 1024,
    MAX_PENDING = 1000000,
    STOP_MS = 3000
};

/* ---- open and close ---- */

static void on_commit(void *arg)
{
    struct fm_producer *p = arg;
    (void)pthread_mutex_lock(&p->wake_lock);
    if (p->rest != NULL)
        fm_rest_wakeup(p->rest);
    (void)pthread_mutex_unlock(&p->wake_lock);
}

/* 0: the spool's own default. On disk there must be room for some chunks, whatever is asked for. */
static uint64_t spool_size(const struct fm_producer_opts *o)
{
    if (o->spool_bytes == 0)
        return o->spool != NULL ? 0 : MEMORY_BYTES;
    return o->spool != NULL && o->spool_bytes < LEAST_BYTES ? LEAST_BYTES : o->spool_bytes;
}

static enum fm_code open_spool(struct fm_producer *p, const struct fm_producer_opts *o,
                               struct fm_err *err)
{
    const struct fm_spool_opts spool = {.path = o->spool,
                                        .use = FM_SPOOL_PROGRAM,
                                        .agent = p->agent,
                                        .max_size = spool_size(o),
                                        .on_full = FM_SPOOL_BLOCK,
                                        .sync_full = true,
                                        .dead_max_size = o->spool != NULL ? 0 : MEMORY_DEAD,
                                        .reserve = o->spool != NULL ? RESERVE : 0,
                                        .on_commit = on_commit,
                                        .on_commit_arg = p};
    p->durable = o->spool != NULL;
    return fm_spool_open(&p->spool, &spool, err);
}

static enum fm_code open_rest(struct fm_producer *p, const struct fm_producer_opts *o,
                              struct fm_err *err)
{
    const struct fm_rest_opts opts = {
        .spool = p->spool,
        .urls = o->urls,
        .n_urls = o->n_urls,
        .dialect = o->dialect,
        .cluster_id = o->cluster_id,
        .auth = o->token != NULL      ? FM_REST_AUTH_BEARER
                : o->username != NULL ? FM_REST_AUTH_BASIC
                                      : FM_REST_AUTH_NONE,
        .username = o->username,
        .password = o->password,
        .token = o->token,
        .tls = {.ca_file = o->ca_file, .cert_file = o->cert_file, .key_file = o->key_file},
        .proxy = {.url = o->http_proxy},
        .agent = p->agent,
        .timeout_ms = o->timeout_ms,
        .timeout_single_ms = o->timeout_ms,
        .batch_records = o->batch_records,
        .on_dead = fm_pump_dead,
        .on_dead_arg = p,
        .bury_at_end = true,
        .on_delivered = fm_pump_delivered,
        .on_delivered_arg = p};
    struct fm_rest *rest = NULL;
    FM_TRY(fm_rest_new(&rest, &opts, err));
    (void)pthread_mutex_lock(&p->wake_lock);
    p->rest = rest;
    (void)pthread_mutex_unlock(&p->wake_lock);
    return fm_rest_start(rest, err);
}

static enum fm_code start(struct fm_producer *p, const struct fm_producer_opts *o,
                          struct fm_err *err)
{
    if (o->agent != NULL)
        (void)snprintf(p->agent, sizeof p->agent, "%s", o->agent);
    else if (gethostname(p->agent, sizeof p->agent - 1) != 0)
        return fm_err_sys(err, errno, "the host's name");
    if (o->token != NULL && o->username != NULL)
        return fm_err_set(err, FM_ECONF, "token and username exclude each other");
    FM_TRY(fm_net_init(err));
    FM_TRY(open_spool(p, o, err));
    FM_TRY(open_rest(p, o, err));
    FM_TRY(fm_thread_start(&p->pump, "fm-producer", fm_pump_run, p, err));
    return FM_OK;
}

static void stop_pump(struct fm_producer *p)
{
    if (!p->pumping)
        return;
    (void)pthread_mutex_lock(&p->lock);
    p->stopping = true;
    (void)pthread_cond_signal(&p->work);
    (void)pthread_mutex_unlock(&p->lock);
    (void)pthread_join(p->pump, NULL);
    p->pumping = false;
}

/* The sender first, so that nothing more is said. @return false: its thread hangs */
static bool stop_sender(struct fm_producer *p)
{
    if (p->rest == NULL)
        return true;
    fm_rest_stop(p->rest, STOP_MS);
    (void)fm_rest_join(p->rest, STOP_MS + 1000);
    struct fm_rest *rest = p->rest;
    (void)pthread_mutex_lock(&p->wake_lock);
    p->rest = NULL;
    (void)pthread_mutex_unlock(&p->wake_lock);
    return fm_rest_free(rest);
}

static void free_producer(struct fm_producer *p)
{
    if (p->spool != NULL)
        fm_spool_stop(p->spool);
    fm_spool_free(p->spool, 0);
    (void)pthread_cond_destroy(&p->work);
    (void)pthread_cond_destroy(&p->moved);
    (void)pthread_mutex_destroy(&p->lock);
    (void)pthread_mutex_destroy(&p->wake_lock);
    free(p);
}

enum fm_code fm_producer_open(struct fm_producer **out, const struct fm_producer_opts *opts,
                              struct fm_err *err)
{
    struct fm_producer *p = calloc(1, sizeof *p);
    if (p == NULL)
        return fm_err_nomem(err);
    p->o = *opts;
    if (p->o.queue_bytes == 0)
        p->o.queue_bytes = QUEUE_BYTES;
    if (p->o.max_pending == 0)
        p->o.max_pending = MAX_PENDING;
    p->next_order = 1;
    p->said_tail = &p->said;
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_mutex_init(&p->wake_lock, NULL);
    fm_cond_init(&p->work);
    fm_cond_init(&p->moved);
    enum fm_code code = start(p, opts, err);
    if (code != FM_OK) {
        if (stop_sender(p))
            free_producer(p);
        return code;
    }
    p->pumping = true;
    *out = p;
    return FM_OK;
}

static void why_waiting(struct fm_producer *p, char *text, size_t size)
{
    struct fm_rest_stats *stats = calloc(1, sizeof *stats);
    text[0] = '\0';
    if (stats == NULL)
        return;
    fm_rest_stats_get(p->rest, stats);
    for (size_t i = 0; i < stats->n_topics && text[0] == '\0'; i++) {
        const struct fm_rest_topic *t = &stats->topics[i];
        const char *why = t->reason[0] != '\0' ? t->reason : t->suspect_reason;
        if (why[0] != '\0')
            (void)snprintf(text, size, ": %s", why);
    }
    free(stats);
}

enum fm_code fm_producer_close(struct fm_producer *p, unsigned timeout_ms, struct fm_err *err)
{
    if (p == NULL)
        return FM_OK;
    char reason[200] = "";
    (void)pthread_mutex_lock(&p->lock);
    bool inside = fm_pump_is(p);
    p->closing = p->closing || !inside;
    (void)pthread_cond_broadcast(&p->moved);
    (void)pthread_mutex_unlock(&p->lock);
    if (inside)
        return fm_err_set(err, FM_EUSAGE, "a callback cannot close its producer");
    fm_rest_end_of_input(p->rest);
    if (fm_producer_flush(p, FM_PRODUCER_REPORTED, timeout_ms, NULL) != FM_OK)
        why_waiting(p, reason, sizeof reason);
    bool ended = stop_sender(p);
    stop_pump(p);
    uint64_t left = p->left, unstored = p->unstored;
    if (!ended)
        return fm_err_set(err, FM_ESYS, "the sender hangs in the system and was left behind");
    bool durable = p->durable;
    free_producer(p);
    if (left == 0)
        return FM_OK;
    if (durable && unstored > 0)
        return fm_err_set(err, FM_ETIMEOUT,
                          "%llu records were not accepted in time and stay in the spool, %llu were "
                          "not stored: it is full%s",
                          (unsigned long long)(left - unstored), (unsigned long long)unstored,
                          reason);
    return fm_err_set(err, FM_ETIMEOUT, "%llu records were not accepted in time%s%s",
                      (unsigned long long)left, durable ? " and stay in the spool" : "", reason);
}

/* ---- send ---- */

static enum fm_code check(const struct fm_producer *p, const struct fm_producer_record *r,
                          struct fm_err *err)
{
    if (r->topic == NULL || !fm_rest_topic_valid(r->topic))
        return fm_err_set(err, FM_EUSAGE, "%.60s is no name of a topic",
                          r->topic != NULL ? r->topic : "NULL");
    if (r->value == NULL)
        return fm_err_set(err, FM_EUSAGE, "a record needs a value");
    if (r->to_partition && r->partition < 0)
        return fm_err_set(err, FM_EUSAGE, "%ld is no partition", (long)r->partition);
    if (r->value_len > MAX_VALUE || (r->key != NULL && r->key_len > MAX_VALUE - r->value_len))
        return fm_err_set(err, FM_ELIMIT, "a record holds at most %d bytes", MAX_VALUE);
    if (r->n_headers > MAX_HEADERS)
        return fm_err_set(err, FM_ELIMIT, "a record has at most %d headers", MAX_HEADERS);
    if (r->bytes)
        return FM_OK;
    if (r->key != NULL && !fm_utf8_valid(r->key, r->key_len))
        return fm_err_set(err, FM_EUSAGE, "the key is not UTF-8: set bytes");
    return fm_rest_check_json(p->o.dialect, NULL, r->value, r->value_len, err);
}

static bool has_room(const struct fm_producer *p, size_t bytes)
{
    return p->pending < p->o.max_pending &&
           (p->taken_bytes == 0 || p->taken_bytes + bytes <= p->o.queue_bytes);
}

/* Under the lock. */
static enum fm_code await_room(struct fm_producer *p, size_t bytes, struct fm_err *err)
{
    int64_t until = 0;
    while (!p->closing && !has_room(p, bytes)) {
        if (p->o.send_timeout_ms == 0 || fm_pump_is(p))
            return fm_err_set(err, FM_EFULL, "no room: the records before are not sent yet");
        if (until == 0)
            until = fm_clock_ms() + p->o.send_timeout_ms;
        if (!fm_cond_wait(&p->moved, &p->lock, until) && fm_clock_ms() >= until)
            return fm_err_set(err, FM_EFULL, "no room in time: the proxy takes too little");
    }
    return p->closing ? fm_err_set(err, FM_ESTOP, "the producer is closing") : FM_OK;
}

static bool grow(struct fm_intake *in)
{
    if (in->n < in->cap)
        return true;
    size_t cap = in->cap > 0 ? in->cap * 2 : 8;
    void **users = realloc(in->users, cap * sizeof *users);
    if (users != NULL)
        in->users = users;
    bool *told = realloc(in->told, cap * sizeof *told);
    if (told != NULL)
        in->told = told;
    if (users == NULL || told == NULL)
        return false;
    in->cap = cap;
    return true;
}

/* The last intake of the topic if it has room, else a new one, not in the list yet. */
static struct fm_intake *find_intake(struct fm_producer *p, const char *topic, size_t bytes,
                                     struct fm_err *err)
{
    struct fm_intake *found = NULL;
    for (struct fm_intake *in = p->taken.head; in != NULL; in = in->next)
        if (strcmp(in->topic, topic) == 0)
            found = in;
    if (found != NULL && found->n < FM_INTAKE_RECORDS &&
        fm_chunk_bytes(found->chunk) + bytes <= FM_CHUNK_BYTES)
        return found;
    struct fm_intake *in = calloc(1, sizeof *in);
    if (in == NULL || fm_chunk_new(&in->chunk, topic, err) != FM_OK) {
        free(in);
        (void)fm_err_nomem(err);
        return NULL;
    }
    (void)snprintf(in->topic, sizeof in->topic, "%s", topic);
    return in;
}

static enum fm_code add(struct fm_producer *p, struct fm_intake *in,
                        const struct fm_producer_record *r, struct fm_err *err)
{
    struct fm_header headers[MAX_HEADERS];
    const struct fm_record rec = {.kind = r->bytes ? FM_RECORD_RAW : FM_RECORD_DATA,
                                  .time_ms = r->time_ms != 0 ? r->time_ms : fm_wall_ms(),
                                  .partition = r->to_partition ? r->partition : FM_NO_PARTITION,
                                  .key = r->key,
                                  .key_len = r->key != NULL ? r->key_len : 0,
                                  .value = r->value,
                                  .value_len = r->value_len,
                                  .id_at = FM_NO_ID};
    for (size_t i = 0; i < r->n_headers; i++)
        headers[i] = (struct fm_header){.name = r->headers[i].name,
                                        .name_len = strlen(r->headers[i].name),
                                        .value = r->headers[i].value,
                                        .value_len = r->headers[i].value_len};
    size_t before = fm_chunk_bytes(in->chunk);
    if (!grow(in))
        return fm_err_nomem(err);
    FM_TRY(fm_chunk_add(in->chunk, &rec, headers, r->n_headers, err));
    in->users[in->n] = r->user;
    in->told[in->n++] = false;
    in->left++;
    in->bytes += fm_chunk_bytes(in->chunk) - before;
    p->taken_bytes += fm_chunk_bytes(in->chunk) - before;
    p->pending++;
    return FM_OK;
}

/* Under the lock. */
static enum fm_code put(struct fm_producer *p, const struct fm_producer_record *r,
                        struct fm_err *err)
{
    size_t bytes = r->value_len + (r->key != NULL ? r->key_len : 0) + 64;
    FM_TRY(await_room(p, bytes, err));
    struct fm_intake *in = find_intake(p, r->topic, bytes, err);
    if (in == NULL)
        return FM_ENOMEM;
    enum fm_code code = add(p, in, r, err);
    if (in->order > 0) /* is in the list */
        return code;
    if (code != FM_OK) {
        fm_intake_free(in);
        return code;
    }
    in->order = p->next_order++;
    if (p->taken.tail != NULL)
        p->taken.tail->next = in;
    else
        p->taken.head = in;
    p->taken.tail = in;
    if (p->pump_sleeps)
        (void)pthread_cond_signal(&p->work);
    return FM_OK;
}

enum fm_code fm_producer_send(struct fm_producer *p, const struct fm_producer_record *record,
                              struct fm_err *err)
{
    FM_TRY(check(p, record, err));
    (void)pthread_mutex_lock(&p->lock);
    enum fm_code code = put(p, record, err);
    (void)pthread_mutex_unlock(&p->lock);
    return code;
}

/* ---- flush ---- */

/* Under the lock: the oldest intake that has not come so far; UINT64_MAX: none. */
static uint64_t oldest(const struct fm_producer *p, enum fm_producer_until until)
{
    if (until == FM_PRODUCER_REPORTED && p->stored.head != NULL)
        return p->stored.head->order;
    return p->storing > 0 ? p->storing : p->taken.head != NULL ? p->taken.head->order : UINT64_MAX;
}

enum fm_code fm_producer_flush(struct fm_producer *p, enum fm_producer_until until,
                               unsigned timeout_ms, struct fm_err *err)
{
    int64_t limit = fm_clock_ms() + timeout_ms;
    char reason[200] = "";
    (void)pthread_mutex_lock(&p->lock);
    bool inside = fm_pump_is(p), done;
    uint64_t before = p->next_order;
    while (!(done = oldest(p, until) >= before) && !inside && fm_clock_ms() < limit)
        (void)fm_cond_wait(&p->moved, &p->lock, limit);
    (void)pthread_mutex_unlock(&p->lock);
    if (inside)
        return fm_err_set(err, FM_EUSAGE, "a callback cannot wait for its own thread");
    if (done)
        return FM_OK;
    why_waiting(p, reason, sizeof reason);
    return fm_err_set(err, FM_ETIMEOUT, "not all records were %s in time%s",
                      until == FM_PRODUCER_STORED ? "stored" : "accepted", reason);
}

void fm_producer_counts(struct fm_producer *p, struct fm_producer_counts *out)
{
    (void)pthread_mutex_lock(&p->lock);
    *out = (struct fm_producer_counts){
        .pending = p->pending, .delivered = p->delivered, .failed = p->failed};
    (void)pthread_mutex_unlock(&p->lock);
}
