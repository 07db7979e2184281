#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "peer.h"
#include "rest/rest_priv.h"
#include "rig.h"

enum { MAX_SEQ = 20000 };

struct mock {
    struct peer *peer;
    mock_fn *fn;
    void *arg;
    char url[64];
    pthread_mutex_t lock;
    unsigned posts, gets;
    unsigned char stored[MAX_SEQ]; /* how often */
    bool accepted[MAX_SEQ];
    uint64_t order[MAX_SEQ];
    size_t n_order, repeats, max_post, offset;
    /* for the bounds (P7) */
    unsigned conns, most_conns, serving,
        most_serving; /* connections; produce requests to topic t */
    unsigned given_up; /* answers after which the sender may have gone on without their end */
    size_t most_records, most_body; /* of a request; of one with several records */
    uint64_t top;
    int64_t last_ms;
};

static size_t find_seqs(const char *body, uint64_t *seq)
{
    size_t n = 0;
    for (const char *p = body; (p = strstr(p, "\"seq\":")) != NULL; p += 6)
        seq[n++] = strtoull(p + 6, NULL, 10);
    return n;
}

void mock_body(struct mock_reply *reply, unsigned status, const char *body)
{
    free(reply->body);
    reply->body = strdup(body);
    reply->status = status;
    reply->raw = true;
}

void mock_refuse(const struct mock_request *req, struct mock_reply *reply, const char *error)
{
    for (size_t i = 0; i < req->n; i++) {
        reply->error[i] = error;
        reply->stored[i] = false;
    }
}

/* v3: one report after the other. */
static void make_reports(const struct mock_request *req, struct mock_reply *reply)
{
    struct fm_buf b;
    fm_buf_init(&b, 0);
    for (size_t i = 0; i < req->n; i++) {
        const char *error = reply->error[i], *comma = error != NULL ? strchr(error, ',') : NULL;
        if (error == NULL)
            fm_buf_printf(&b,
                          "{\"error_code\":200,\"cluster_id\":\"C\",\"topic_name\":\"t\","
                          "\"partition_id\":0,\"offset\":%zu}\r\n",
                          req->offset + i);
        else
            fm_buf_printf(&b, "{\"error_code\":%.*s,\"message\":\"%s\"}\r\n", (int)(comma - error),
                          error, comma + 1);
    }
    fm_buf_puts(&b, "");
    free(reply->body);
    reply->body = req->n > 0 ? fm_buf_take(&b) : strdup("");
}

/* records:batch: by id, the last one first. */
static void make_multi(const struct mock_request *req, struct mock_reply *reply)
{
    struct fm_buf b;
    fm_buf_init(&b, 0);
    for (int list = 0; list < 2; list++) {
        const char *between = "";
        fm_buf_puts(&b, list == 0 ? "{\"successes\":[" : "],\"failures\":[");
        for (size_t i = req->n; i-- > 0;) {
            const char *error = reply->error[i], *comma = error != NULL ? strchr(error, ',') : NULL;
            if ((error != NULL) != (list == 1))
                continue;
            fm_buf_printf(&b, "%s{\"id\":\"%zu\",", between, i + 1);
            between = ",";
            if (error == NULL)
                fm_buf_printf(&b, "\"partition_id\":0,\"offset\":%zu}", req->offset + i);
            else
                fm_buf_printf(&b, "\"error_code\":%.*s,\"message\":\"%s\"}", (int)(comma - error),
                              error, comma + 1);
        }
    }
    fm_buf_puts(&b, "]}");
    free(reply->body);
    reply->body = fm_buf_take(&b);
    reply->status = reply->status == 200 ? 207 : reply->status;
}

static void put_bare_entry(struct fm_buf *b, const struct mock_request *req,
                           const struct mock_reply *reply, size_t i)
{
    const char *error = reply->error[i], *comma = error != NULL ? strchr(error, ',') : NULL;
    if (error == NULL)
        fm_buf_printf(b, "{\"partition\":0,\"offset\":%zu}", req->offset + i);
    else
        fm_buf_printf(b, "{\"error_code\":%.*s,\"%s\":\"%s\"}", (int)(comma - error), error,
                      reply->member, comma + 1);
}

static void make_body(const struct mock_request *req, struct mock_reply *reply)
{
    if (strstr(req->head, "/records:batch ") != NULL) {
        make_multi(req, reply);
        return;
    }
    if (strstr(req->head, "/clusters") != NULL) {
        make_reports(req, reply);
        return;
    }
    struct fm_buf b;
    fm_buf_init(&b, 0);
    fm_buf_puts(&b, "{\"offsets\":[");
    for (size_t i = 0; i < req->n; i++) {
        fm_buf_puts(&b, i > 0 ? "," : "");
        if (reply->member != NULL) {
            put_bare_entry(&b, req, reply, i);
            continue;
        }
        if (reply->error[i] == NULL) {
            fm_buf_printf(&b, "{\"partition\":0,\"offset\":%zu,\"error_code\":null,\"error\":null}",
                          req->offset + i);
            continue;
        }
        const char *comma = strchr(reply->error[i], ',');
        fm_buf_printf(&b,
                      "{\"partition\":null,\"offset\":null,\"error_code\":%.*s,\"error\":\"%s\"}",
                      (int)(comma - reply->error[i]), reply->error[i], comma + 1);
    }
    fm_buf_puts(&b, "],\"key_schema_id\":null,\"value_schema_id\":null}");
    free(reply->body);
    reply->body = fm_buf_take(&b);
}

/* The ledger is written before anything is answered. */
static void write_ledger(struct mock *m, const struct mock_request *req,
                         const struct mock_reply *reply)
{
    pthread_mutex_lock(&m->lock);
    m->last_ms = fm_clock_ms();
    m->given_up += reply->how != MOCK_ANSWER || reply->delay_ms > 0 || reply->cut > 0 ||
                   reply->no_length || reply->deaf_ms > 0 || reply->until_asked ||
                   reply->status != 200;
    if (req->n > m->max_post)
        m->max_post = req->n;
    for (size_t i = 0; i < req->n && strcmp(req->topic, "t") == 0; i++) {
        uint64_t seq = req->seq[i];
        cr_assert_lt(seq, MAX_SEQ);
        m->top = seq > m->top ? seq : m->top;
        if (reply->stored[i]) {
            if (m->stored[seq]++ > 0)
                m->repeats++;
            else
                m->order[m->n_order++] = seq;
        }
        if ((!reply->raw || reply->proves) && reply->error[i] == NULL &&
            reply->how == MOCK_ANSWER && reply->cut == 0 &&
            (reply->status == 200 || reply->status == 207 || reply->status / 100 == 4))
            m->accepted[seq] = true;
    }
    pthread_mutex_unlock(&m->lock);
}

static bool send_reply(struct peer_conn *conn, const struct mock_reply *r)
{
    if (r->delay_ms > 0)
        peer_sleep(conn, r->delay_ms);
    if (r->how == MOCK_RESET)
        peer_reset(conn);
    if (r->how == MOCK_HANG)
        peer_stall(conn, 0);
    if (r->how != MOCK_ANSWER)
        return false;
    struct fm_buf b;
    fm_buf_init(&b, 0);
    fm_buf_printf(&b, "HTTP/1.1 %u X\r\nContent-Type: application/vnd.kafka.v2+json\r\n%s",
                  r->status, r->headers != NULL ? r->headers : "");
    if (!r->no_length)
        fm_buf_printf(&b, "Content-Length: %zu\r\n", strlen(r->body));
    fm_buf_puts(&b, "\r\n");
    fm_buf_puts(&b, r->body);
    size_t len = r->cut > 0 && r->cut < b.len ? r->cut : b.len;
    bool ok = peer_send_bytes(conn, b.data, len);
    fm_buf_clear(&b);
    if (r->deaf_ms > 0)
        peer_stall(conn, r->deaf_ms);
    if (r->until_asked)
        (void)peer_read_some(conn, &(char){0}, 1);
    return ok && r->cut == 0 && !r->no_length && r->deaf_ms == 0 && !r->until_asked;
}

/* In place. */
static void inflate_body(struct peer_request *in)
{
    size_t cap = 32 << 20;
    char *plain = malloc(cap);
    z_stream z = {.next_in = (unsigned char *)in->body,
                  .avail_in = (unsigned)in->body_len,
                  .next_out = (unsigned char *)plain,
                  .avail_out = (unsigned)cap - 1};
    cr_assert_eq(inflateInit2(&z, 15 + 16), Z_OK);
    cr_assert_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
    in->body_len = z.total_out;
    plain[in->body_len] = '\0';
    (void)inflateEnd(&z);
    free(in->body);
    in->body = realloc(plain, in->body_len + 1);
}

static void count_request(struct mock *m, const struct mock_request *req, int by)
{
    if (!req->post || strcmp(req->topic, "t") != 0)
        return;
    pthread_mutex_lock(&m->lock);
    m->serving += (unsigned)by;
    if (m->serving > m->most_serving)
        m->most_serving = m->serving;
    if (req->n > m->most_records)
        m->most_records = req->n;
    if (req->n > 1 && req->body_len > m->most_body)
        m->most_body = req->body_len;
    pthread_mutex_unlock(&m->lock);
}

static bool serve(struct mock *m, struct peer_conn *conn, unsigned nth, struct peer_request *in)
{
    static const char topic_json[] =
        "{\"name\":\"t\",\"configs\":{\"max.message.bytes\":\"1048588\"},"
        "\"partitions\":[]}";
    bool gzip = strstr(in->head, "Content-Encoding: gzip\r\n") != NULL;
    if (gzip)
        inflate_body(in);
    struct mock_request req = {.gzip = gzip,
                               .post = strncmp(in->head, "POST", 4) == 0,
                               .conn = nth,
                               .body_len = in->body_len,
                               .head = in->head,
                               .body = in->body};
    uint64_t *seq = calloc(in->body_len / 8 + 1, sizeof *seq);
    const char *at = strstr(in->head, "/topics/");
    if (at != NULL)
        sscanf(at + 8, "%255[^/ ]", req.topic);
    req.n = req.post && in->body != NULL ? find_seqs(in->body, seq) : 0;
    req.seq = seq;
    struct mock_reply reply = {.status = 200,
                               .stored = calloc(req.n + 1, sizeof(bool)),
                               .error = calloc(req.n + 1, sizeof(char *))};
    for (size_t i = 0; i < req.n; i++)
        reply.stored[i] = true;
    pthread_mutex_lock(&m->lock);
    req.nth = req.post ? ++m->posts : ++m->gets;
    req.offset = m->offset;
    m->offset += req.n;
    pthread_mutex_unlock(&m->lock);
    if (!req.post) {
        char path[256] = "";
        sscanf(in->head, "GET %255s", path);
        size_t len = strlen(path);
        bool v3 = strstr(path, "/clusters") != NULL;
        bool list = len >= 9 && strcmp(path + len - 9, "/clusters") == 0;
        bool limit = strstr(path, "/configs/max.message.bytes") != NULL;
        reply.body = strdup(list    ? "{\"kind\":\"KafkaClusterList\",\"data\":[{\"kind\":"
                                      "\"KafkaCluster\",\"cluster_id\":\"C\"}]}"
                            : limit ? "{\"name\":\"max.message.bytes\",\"value\":\"70000\"}"
                            : v3    ? "{\"kind\":\"KafkaTopic\",\"topic_name\":\"t\"}"
                                    : topic_json);
        reply.raw = true;
    }
    count_request(m, &req, 1);
    if (m->fn != NULL)
        m->fn(m, &req, &reply, m->arg);
    if (!reply.raw)
        make_body(&req, &reply);
    write_ledger(m, &req, &reply);
    bool more = send_reply(conn, &reply);
    count_request(m, &req, -1);
    free(reply.body);
    free(reply.stored);
    free(reply.error);
    free(seq);
    return more;
}

static void count_connection(struct mock *m, int by)
{
    pthread_mutex_lock(&m->lock);
    m->conns += (unsigned)by;
    if (m->conns > m->most_conns)
        m->most_conns = m->conns;
    pthread_mutex_unlock(&m->lock);
}

static void script(struct peer_conn *conn, unsigned nth, void *arg)
{
    struct peer_request in;
    struct mock *m = arg;
    bool more = true;
    count_connection(m, 1);
    while (more && peer_read_request(conn, &in)) {
        more = serve(m, conn, nth, &in);
        peer_request_clear(&in);
    }
    count_connection(m, -1);
}

struct mock *mock_new(mock_fn *fn, void *arg)
{
    struct mock *m = calloc(1, sizeof *m);
    pthread_mutex_init(&m->lock, NULL);
    m->fn = fn;
    m->arg = arg;
    m->peer = peer_start(script, m);
    snprintf(m->url, sizeof m->url, "http://127.0.0.1:%u", peer_port(m->peer));
    return m;
}

void mock_free(struct mock *m)
{
    peer_stop(m->peer);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

const char *mock_url(const struct mock *m)
{
    return m->url;
}

#define GETTER(type, name, expr)                                                                   \
    type name(struct mock *m)                                                                      \
    {                                                                                              \
        pthread_mutex_lock(&m->lock);                                                              \
        type v = expr;                                                                             \
        pthread_mutex_unlock(&m->lock);                                                            \
        return v;                                                                                  \
    }
GETTER(unsigned, mock_posts, m->posts)
GETTER(unsigned, mock_gets, m->gets)
GETTER(size_t, mock_stored, m->n_order)
GETTER(size_t, mock_repeats, m->repeats)
GETTER(int64_t, mock_last_ms, m->last_ms)

/* The highest record of topic t that was ever sent here. */
static uint64_t mock_top(struct mock *m)
{
    pthread_mutex_lock(&m->lock);
    uint64_t top = m->top;
    pthread_mutex_unlock(&m->lock);
    return top;
}

size_t mock_max_post(struct mock *m)
{
    pthread_mutex_lock(&m->lock);
    size_t n = m->max_post;
    m->max_post = 0;
    pthread_mutex_unlock(&m->lock);
    return n;
}

bool mock_accepted(struct mock *m, uint64_t seq)
{
    pthread_mutex_lock(&m->lock);
    bool yes = m->accepted[seq];
    pthread_mutex_unlock(&m->lock);
    return yes;
}

bool mock_in_order(struct mock *m)
{
    pthread_mutex_lock(&m->lock);
    bool ok = true;
    for (size_t i = 1; i < m->n_order; i++)
        ok = ok && m->order[i] > m->order[i - 1];
    pthread_mutex_unlock(&m->lock);
    return ok;
}

/* ---- both ---- */

struct fm_rest_opts rig_opts(struct fm_spool *spool, const char *const *urls, size_t n)
{
    return (struct fm_rest_opts){.spool = spool,
                                 .urls = urls,
                                 .n_urls = n,
                                 .batch_records = 50,
                                 .backoff_ms = 20,
                                 .max_backoff_ms = 100,
                                 .isolate_backoff_ms = 40,
                                 .isolate_max_backoff_ms = 200,
                                 .suspect_interval_ms = 40,
                                 .max_suspects = 20,
                                 .hold_interval_ms = 40,
                                 .stuck_interval_ms = 60,
                                 .connect_timeout_ms = 10000,
                                 .timeout_ms = 10000,
                                 .timeout_single_ms = 10000,
                                 .probe_timeout_ms = 10000};
}

void rig_hurry(struct fm_rest_opts *opts)
{
    opts->timeout_ms = opts->timeout_single_ms = opts->probe_timeout_ms = 700;
}

/* Of all senders of this test: a later configuration may allow fewer. */
static unsigned most_flights = 1;

struct fm_rest *rig_start(const struct fm_rest_opts *opts)
{
    if (opts->max_in_flight > most_flights)
        most_flights = opts->max_in_flight;
    struct fm_rest *rest;
    struct fm_err err = {0};
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_assert_eq(fm_rest_new(&rest, opts, &err), FM_OK, "%s", err.text);
    cr_assert_eq(fm_rest_start(rest, &err), FM_OK, "%s", err.text);
    return rest;
}

void rig_wait(bool (*cond)(void *arg), void *arg, int ms, const char *what)
{
    int64_t limit = fm_clock_ms() + ms;
    while (!cond(arg)) {
        cr_assert_lt(fm_clock_ms(), limit, "in vain: %s", what);
        usleep(2000);
    }
}

struct fm_rest_stats rig_stats(struct fm_rest *rest)
{
    struct fm_rest_stats s;
    fm_rest_stats_get(rest, &s);
    return s;
}

void rig_drain(struct fm_rest *rest, unsigned ms)
{
    struct fm_err err = {0};
    enum fm_code code;
    uint64_t seen, settled = 0;
    fm_rest_wakeup(rest);
    do {
        seen = settled;
        code = fm_rest_drain(rest, ms, &err);
        struct fm_rest_stats stats = rig_stats(rest);
        settled = stats.records + stats.dead;
    } while (code == FM_ETIMEOUT && settled != seen);
    cr_assert_eq(code, FM_OK, "%s", err.text);
}

void mock_wait_posts(struct mock *mock, unsigned n)
{
    int64_t limit = fm_clock_ms() + 20000;
    while (mock_posts(mock) < n) {
        cr_assert_lt(fm_clock_ms(), limit, "not %u requests", n);
        usleep(1000);
    }
}

void sender_setup(struct sender *s, mock_fn *fn)
{
    *s = (struct sender){.spool = spool_new()};
    s->mock = mock_new(fn, s);
    s->urls[0] = mock_url(s->mock);
    s->opts = rig_opts(s->spool, s->urls, 1);
}

void sender_teardown(struct sender *s)
{
    rig_check(s->rest, s->spool, s->mock);
    fm_rest_stop(s->rest, 0);
    cr_assert(fm_rest_join(s->rest, 3000));
    fm_rest_free(s->rest);
    mock_free(s->mock);
    spool_free(s->spool);
}

void sender_poison(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                   void *arg)
{
    (void)m;
    struct sender *s = arg;
    for (size_t i = 0; i < req->n; i++)
        if (req->seq[i] == s->bad) {
            mock_refuse(req, reply, "0,");
            mock_body(reply, 422, "{\"error_code\":422,\"message\":\"Unrecognized field: x\"}");
            return;
        }
}

void rig_wait_state(struct fm_rest *rest, enum fm_rest_state state, int ms)
{
    int64_t limit = fm_clock_ms() + ms;
    struct fm_rest_stats s;
    do {
        cr_assert_lt(fm_clock_ms(), limit, "not in state %s", fm_rest_state_name(state));
        usleep(1000);
        s = rig_stats(rest);
    } while (s.n_topics == 0 || s.topics[0].state != state);
}

/* P7: what the configuration promises. A request that was given up, or whose connection was not
 * kept, may still be under way at the mock when the next one comes. */
static void check_bounds(struct fm_rest *rest, struct fm_spool *spool, struct mock *m)
{
    const struct fm_rest_opts *o = &rest->conf->o;
    struct fm_rest_stats s = rig_stats(rest);
    struct fm_spool_stats *spooled = calloc(1, sizeof *spooled);
    unsigned flights = most_flights;
    cr_assert_not_null(spooled);
    fm_spool_stats_get(spool, spooled);
    cr_assert_leq(spooled->queue_bytes, 16u << 20);
    free(spooled);
    cr_assert_leq(s.in_flight_records, rest->n_topics * flights * o->batch_records);
    size_t two = 2 * o->batch_bytes;
    cr_assert_leq(s.held_bytes, rest->n_topics * (two > 16u << 20 ? two : 16u << 20));
    if (m == NULL)
        return;
    pthread_mutex_lock(&m->lock);
    unsigned requests = m->most_serving, conns = m->most_conns, given_up = m->given_up;
    size_t records = m->most_records, body = m->most_body;
    pthread_mutex_unlock(&m->lock);
    cr_assert_leq(records, o->batch_records);
    cr_assert_leq(body, o->batch_bytes, "a body of %zu bytes", body);
    cr_assert_leq(requests, flights + given_up, "%u requests at a time", requests);
    cr_assert_leq(conns, flights + 8 + given_up, "%u connections", conns);
}

void rig_check(struct fm_rest *rest, struct fm_spool *spool, struct mock *m)
{
    struct fm_rest_stats s;
    size_t delivered, dead;
    int64_t limit = fm_clock_ms() + 2000;
    do { /* the sender may still be at work: until both have said the same */
        usleep(1000);
        s = rig_stats(rest);
        delivered = spool_count(spool, FATE_DELIVERED);
        dead = spool_count(spool, FATE_DEAD);
    } while ((s.records != delivered || s.dead != dead) && fm_clock_ms() < limit);
    cr_assert_eq(delivered + dead + spool_count(spool, FATE_PENDING), spool_assigned(spool));
    cr_assert_eq(s.records, delivered, "%zu counted, %zu delivered", (size_t)s.records, delivered);
    cr_assert_eq(s.dead, dead);
    size_t n = 0;
    for (uint64_t seq = 1; m != NULL && seq <= spool_assigned(spool) && n < 20; seq++)
        if (!mock_accepted(m, seq)) { /* seldom: those not yet sent, and the refused */
            n++;
            cr_assert(spool_fate(spool, seq) != FATE_DELIVERED || seq > mock_top(m),
                      "record %llu left without a verdict", (unsigned long long)seq);
        }
    if (m != NULL)
        cr_assert_leq(mock_repeats(m), s.possible_duplicates, "%zu repeats", mock_repeats(m));
    check_bounds(rest, spool, m);
}
