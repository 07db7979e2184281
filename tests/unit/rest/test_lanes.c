/* Several requests at a time: a proxy that answers out of order, slowly, or not at all. Records
 * have one of KEYS keys in turn, so the key of a record is its number modulo KEYS. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "rig.h"
#include "spool_kit.h"

enum { KEYS = 16 };

struct lanes {
    struct fm_spool *spool;
    struct mock *mock;
    struct fm_rest *rest;
    struct fm_rest_opts opts;
    const char *urls[1];
    pthread_mutex_t lock;
    unsigned flying, peak;
    unsigned company; /* no request is answered before so many are under way */
    size_t waiting, most_waiting; /* records without a receipt */
    bool busy[KEYS]; /* in a request now */
    bool shared; /* a key was in two requests at once */
    bool overtaken; /* a record was stored before an older one of its key */
    uint64_t last[KEYS];
    int (*delay_ms)(const struct mock_request *req);
    void (*twist)(struct lanes *l, const struct mock_request *req, struct mock_reply *reply);
    atomic_uint phase;
    atomic_size_t twisted; /* records of the request that was treated otherwise */
    uint64_t bad;
    /* answers with 429 among the receipts: how many, when the last one was given, requests that
     * came soon behind it, and the most of these */
    unsigned n_busy;
    int64_t busy_at;
    unsigned behind, most_behind;
};

static void arrive(struct lanes *l, const struct mock_request *req)
{
    pthread_mutex_lock(&l->lock);
    bool mine[KEYS] = {false};
    l->peak = ++l->flying > l->peak ? l->flying : l->peak;
    l->waiting += req->n;
    l->most_waiting = l->waiting > l->most_waiting ? l->waiting : l->most_waiting;
    for (size_t i = 0; i < req->n; i++) {
        size_t key = req->seq[i] % KEYS;
        l->shared = l->shared || (l->busy[key] && !mine[key]);
        l->busy[key] = mine[key] = true;
    }
    pthread_mutex_unlock(&l->lock);
}

static void busy_leaves(struct lanes *l, const struct mock_reply *reply)
{
    if (reply->error[0] == NULL)
        return;
    l->busy_at = fm_clock_ms();
    l->behind = 0;
}

static void leave(struct lanes *l, const struct mock_request *req, const struct mock_reply *reply)
{
    pthread_mutex_lock(&l->lock);
    l->flying--;
    l->waiting -= req->n;
    busy_leaves(l, reply);
    for (size_t i = 0; i < req->n; i++) {
        size_t key = req->seq[i] % KEYS;
        l->busy[key] = false;
        if (!reply->stored[i] || mock_accepted(l->mock, req->seq[i]))
            continue;
        l->overtaken = l->overtaken || (req->seq[i] < l->last[key] && req->seq[i] != l->bad);
        if (req->seq[i] > l->last[key])
            l->last[key] = req->seq[i];
    }
    pthread_mutex_unlock(&l->lock);
}

/* Once in a test, and not for ever: then the peak says what is wrong. The first two requests go
 * alone: a single record, and one that shows that a whole batch is taken. */
static void await_company(struct lanes *l, const struct mock_request *req)
{
    int64_t limit = fm_clock_ms() + 5000;
    for (bool alone = req->nth > 2; alone; usleep(500)) {
        pthread_mutex_lock(&l->lock);
        if (l->peak >= l->company || fm_clock_ms() > limit)
            l->company = 0;
        alone = l->company > 0;
        pthread_mutex_unlock(&l->lock);
    }
}

static void script(struct mock *m, const struct mock_request *req, struct mock_reply *reply,
                   void *arg)
{
    (void)m;
    struct lanes *l = arg;
    if (!req->post)
        return;
    arrive(l, req);
    await_company(l, req);
    if (l->twist != NULL)
        l->twist(l, req, reply);
    int ms = l->delay_ms != NULL ? l->delay_ms(req) : 0;
    if (ms > 0)
        usleep((unsigned)ms * 1000);
    leave(l, req, reply);
}

static void add_sized(struct fm_spool *s, size_t from, size_t n, bool keyed, int bytes)
{
    struct fm_err err = {0};
    char *value = malloc((size_t)bytes + 64);
    size_t in_chunk = bytes > 1000 ? 1 : 100;
    for (size_t i = 0; i < n;) {
        struct fm_chunk *chunk;
        cr_assert_eq(fm_chunk_new(&chunk, "t", &err), FM_OK);
        for (size_t k = 0; k < in_chunk && i < n; k++, i++) {
            char key[16];
            snprintf(key, sizeof key, "k%zu", (from + i) % KEYS);
            snprintf(value, (size_t)bytes + 64, "{\"n\":%zu,\"x\":\"%0*d\"}", from + i, bytes, 0);
            struct fm_record rec = {.kind = FM_RECORD_DATA,
                                    .time_ms = 1,
                                    .partition = FM_NO_PARTITION,
                                    .key = keyed ? key : NULL,
                                    .key_len = keyed ? strlen(key) : 0,
                                    .value = value,
                                    .value_len = strlen(value),
                                    .id_at = 1};
            cr_assert_eq(fm_chunk_add(chunk, &rec, NULL, 0, &err), FM_OK);
        }
        cr_assert_eq(fm_spool_store(s, &chunk, 2000, NULL, NULL, NULL, &err), FM_OK);
    }
    cr_assert_eq(fm_spool_flush(s, 2000, &err), FM_OK);
    free(value);
}

static void add_keyed(struct fm_spool *s, size_t from, size_t n, bool keyed)
{
    add_sized(s, from, n, keyed, 1);
}

static void setup(struct lanes *l, unsigned in_flight)
{
    *l = (struct lanes){.spool = spool_new()};
    pthread_mutex_init(&l->lock, NULL);
    l->mock = mock_new(script, l);
    l->urls[0] = mock_url(l->mock);
    l->opts = rig_opts(l->spool, l->urls, 1);
    l->opts.max_in_flight = in_flight;
    l->opts.timeout_ms = l->opts.timeout_single_ms = 15000;
}

static void teardown(struct lanes *l)
{
    rig_check(l->rest, l->spool, l->mock);
    fm_rest_stop(l->rest, 0);
    cr_assert(fm_rest_join(l->rest, 3000));
    fm_rest_free(l->rest);
    mock_free(l->mock);
    spool_free(l->spool);
    cr_assert(!l->shared, "a key was in two requests at a time");
    pthread_mutex_destroy(&l->lock);
}

static int uneven(const struct mock_request *req)
{
    static const int ms[] = {30, 2, 15, 7, 1, 22, 4};
    return ms[req->nth % 7];
}

Test(lanes, answers_out_of_order_keep_the_order_of_each_key)
{
    struct lanes l;
    setup(&l, 4);
    l.delay_ms = uneven;
    l.company = 3;
    add_keyed(l.spool, 1, 3000, true);
    l.rest = rig_start(&l.opts);
    rig_drain(l.rest, 5000);
    cr_assert_eq(mock_stored(l.mock), 3000);
    cr_assert_eq(mock_repeats(l.mock), 0);
    cr_assert(!l.overtaken);
    cr_assert_geq(l.peak, 3);
    cr_assert_leq(l.peak, 4);
    cr_assert_eq(rig_stats(l.rest).possible_duplicates, 0);
    teardown(&l);
}

static int slow(const struct mock_request *req)
{
    (void)req;
    return 150;
}

/* By a hash alone some lanes would have several of them, and others none. */
Test(lanes, a_few_keys_are_spread_over_all_of_them)
{
    struct lanes l;
    setup(&l, KEYS);
    l.delay_ms = slow;
    l.company = KEYS;
    l.opts.batch_records = 20;
    add_keyed(l.spool, 1, 3000, true);
    l.rest = rig_start(&l.opts);
    rig_drain(l.rest, 5000);
    cr_assert_eq(l.peak, KEYS);
    cr_assert(!l.overtaken);
    cr_assert_leq(mock_posts(l.mock), 3000 / 20 + 4 * KEYS, "%u", mock_posts(l.mock));
    teardown(&l);
}

Test(lanes, records_without_a_key_use_all_of_them)
{
    struct lanes l;
    setup(&l, 4);
    l.delay_ms = uneven;
    l.company = 4;
    add_keyed(l.spool, 1, 2000, false);
    l.rest = rig_start(&l.opts);
    rig_drain(l.rest, 5000);
    cr_assert_eq(mock_stored(l.mock), 2000);
    cr_assert_eq(l.peak, 4);
    l.shared = false; /* there are no keys */
    teardown(&l);
}

Test(lanes, one_key_has_one_request_at_a_time)
{
    struct lanes l;
    setup(&l, 8);
    l.delay_ms = uneven;
    spool_add(l.spool, "t", 600, 30, FM_RECORD_DATA); /* all of host-1 */
    l.rest = rig_start(&l.opts);
    rig_drain(l.rest, 5000);
    cr_assert_eq(l.peak, 1);
    cr_assert(mock_in_order(l.mock));
    teardown(&l);
}

Test(lanes, what_fits_into_one_request_makes_one)
{
    struct lanes l;
    setup(&l, 8);
    add_keyed(l.spool, 1, 1, true);
    l.rest = rig_start(&l.opts);
    rig_drain(l.rest, 3000);
    add_keyed(l.spool, 2, 50, true);
    rig_drain(l.rest, 3000);
    cr_assert_eq(mock_posts(l.mock), 2);
    teardown(&l);
}

static bool many_stored(void *arg)
{
    return mock_stored(((struct lanes *)arg)->mock) > 1700;
}

/* The request with record 500 is answered once the other lanes have sent nearly all they have. */
static void hold_one(struct lanes *l, const struct mock_request *req, struct mock_reply *reply)
{
    (void)reply;
    int64_t limit = fm_clock_ms() + 8000;
    for (size_t i = 0; i < req->n; i++) {
        if (req->seq[i] != 500)
            continue;
        while (!many_stored(l) && fm_clock_ms() < limit)
            usleep(1000);
        l->twisted = many_stored(l);
    }
}

Test(lanes, a_slow_answer_holds_only_its_own_keys)
{
    struct lanes l;
    setup(&l, 4);
    l.twist = hold_one;
    l.opts.batch_records = 400; /* the window is wide enough for the others */
    add_keyed(l.spool, 1, 2500, true);
    l.rest = rig_start(&l.opts);
    rig_drain(l.rest, 10000);
    cr_assert(l.twisted, "the others waited for it");
    cr_assert_eq(mock_stored(l.mock), 2500);
    cr_assert(!l.overtaken);
    teardown(&l);
}

static void refuse_bad(struct lanes *l, const struct mock_request *req, struct mock_reply *reply)
{
    for (size_t i = 0; i < req->n; i++)
        if (req->seq[i] == l->bad) {
            mock_refuse(req, reply, "0,");
            mock_body(reply, 400, "{\"error_code\":400,\"message\":\"bad record\"}");
        }
}

Test(lanes, a_refused_record_dies_alone_and_the_others_arrive)
{
    struct lanes l;
    setup(&l, 4);
    l.delay_ms = uneven;
    l.company = 3;
    l.twist = refuse_bad;
    l.bad = 777;
    add_keyed(l.spool, 1, 2000, true);
    l.rest = rig_start(&l.opts);
    rig_drain(l.rest, 8000);
    cr_assert_eq(spool_fate(l.spool, 777), FATE_DEAD);
    cr_assert_eq(spool_count(l.spool, FATE_DEAD), 1);
    cr_assert_eq(mock_stored(l.mock), 1999);
    cr_assert(!l.overtaken);
    cr_assert_geq(l.peak, 3); /* and it went back to several */
    teardown(&l);
}

static void refuse_some(struct lanes *l, const struct mock_request *req, struct mock_reply *reply)
{
    (void)l;
    for (size_t i = 0; i < req->n; i++)
        if (req->seq[i] % 97 == 0 && !mock_accepted(l->mock, req->seq[i]) &&
            (req->nth * 7 + i) % 3 != 0) {
            reply->error[i] = "50003,not enough replicas";
            reply->stored[i] = false;
        }
}

Test(lanes, single_records_that_are_refused_for_now_arrive_later)
{
    struct lanes l;
    setup(&l, 4);
    l.delay_ms = uneven;
    l.twist = refuse_some;
    add_keyed(l.spool, 1, 2000, true);
    l.rest = rig_start(&l.opts);
    rig_drain(l.rest, 8000);
    cr_assert_eq(mock_stored(l.mock), 2000);
    cr_assert_eq(mock_repeats(l.mock), 0);
    cr_assert_eq(spool_count(l.spool, FATE_DEAD), 0);
    teardown(&l);
}

static void reset_one(struct lanes *l, const struct mock_request *req, struct mock_reply *reply)
{
    if (req->nth == 9) {
        reply->how = MOCK_RESET; /* after it was stored */
        l->twisted = req->n;
    }
}

Test(lanes, a_reset_makes_only_its_own_records_possible_duplicates)
{
    struct lanes l;
    setup(&l, 4);
    l.delay_ms = uneven;
    l.twist = reset_one;
    add_keyed(l.spool, 1, 2000, true);
    l.rest = rig_start(&l.opts);
    rig_drain(l.rest, 8000);
    cr_assert_gt(l.twisted, 1);
    cr_assert_eq(mock_stored(l.mock), 2000);
    cr_assert_eq(mock_repeats(l.mock), l.twisted);
    cr_assert_eq(rig_stats(l.rest).possible_duplicates, l.twisted);
    teardown(&l);
}

/* D67: receipts come slowly, and some of them say 429, while records go on coming. */
enum { BUSY_TIMES = 5, BUSY_MS = 300 };

static int slow_receipts(const struct mock_request *req)
{
    return req->post ? 40 : 0;
}

/* Each sixth request, so many times. */
static void busy_items(struct lanes *l, const struct mock_request *req, struct mock_reply *reply)
{
    if (!req->post)
        return;
    pthread_mutex_lock(&l->lock);
    int64_t now = fm_clock_ms();
    if (l->busy_at != 0 && now - l->busy_at < BUSY_MS - 10 && ++l->behind > l->most_behind)
        l->most_behind = l->behind;
    bool busy = req->nth % 6 == 0 && req->n > 3 && l->n_busy < BUSY_TIMES;
    l->n_busy += busy;
    pthread_mutex_unlock(&l->lock);
    for (size_t i = 0; busy && i < req->n; i += 3) {
        reply->error[i] = i % 2 == 0 ? "429,Too many requests" : "42901,Too many requests";
        reply->stored[i] = false;
    }
}

Test(lanes, receipts_that_are_slow_or_say_429_keep_the_bound_and_slow_the_sender)
{
    enum { LANES = 4, BATCH = 10, PORTIONS = 10, PORTION = 100 };
    struct lanes l;
    setup(&l, LANES);
    l.opts.dialect = FM_DIALECT_CONFLUENT_V3;
    l.opts.batch_records = BATCH;
    l.opts.backoff_ms = l.opts.max_backoff_ms = BUSY_MS;
    l.delay_ms = slow_receipts;
    l.twist = busy_items;
    l.rest = rig_start(&l.opts);
    for (size_t i = 0; i < PORTIONS; i++) {
        add_keyed(l.spool, i * PORTION, PORTION, true);
        mock_wait_posts(l.mock, (unsigned)i * 4 + 1); /* they come while others are under way */
    }
    rig_drain(l.rest, 5000);
    cr_assert_eq(l.n_busy, BUSY_TIMES);
    cr_assert_eq(mock_stored(l.mock), PORTIONS * PORTION);
    cr_assert_eq(mock_repeats(l.mock), 0);
    cr_assert_eq(rig_stats(l.rest).possible_duplicates, 0);
    cr_assert_eq(rig_stats(l.rest).dead, 0);
    cr_assert_gt(l.most_waiting, 2 * BATCH, "never several requests at a time");
    cr_assert_leq(l.most_waiting, LANES * BATCH, "%zu records without a receipt", l.most_waiting);
    /* Only what had been sent by then: unslowed there would be 7 in each lane. */
    cr_assert_leq(l.most_behind, 2 * (LANES - 1), "%u requests behind a 429", l.most_behind);
    teardown(&l);
}

static void forbid(struct lanes *l, const struct mock_request *req, struct mock_reply *reply)
{
    if (l->phase == 1) {
        mock_refuse(req, reply, "0,");
        mock_body(reply, 403, "{\"error_code\":403,\"message\":\"Forbidden\"}");
    }
}

static bool half_stored(void *arg)
{
    return mock_stored(((struct lanes *)arg)->mock) > 600;
}

Test(lanes, in_any_other_state_there_is_one_request_of_one_record)
{
    struct lanes l;
    setup(&l, 4);
    l.delay_ms = uneven;
    l.twist = forbid;
    add_keyed(l.spool, 1, 3000, true);
    l.rest = rig_start(&l.opts);
    rig_wait(half_stored, &l, 3000, "the first half");
    l.phase = 1;
    rig_wait_state(l.rest, FM_REST_HOLD, 3000);
    while (rig_stats(l.rest).in_flight_records > 1)
        usleep(1000);
    (void)mock_max_post(l.mock);
    pthread_mutex_lock(&l.lock);
    l.peak = 0;
    pthread_mutex_unlock(&l.lock);
    unsigned posts = mock_posts(l.mock);
    while (mock_posts(l.mock) < posts + 5)
        usleep(1000);
    cr_assert_eq(mock_max_post(l.mock), 1);
    cr_assert_eq(l.peak, 1);
    l.phase = 0;
    rig_drain(l.rest, 8000);
    cr_assert_eq(mock_stored(l.mock), 3000); /* those refused in HOLD came as suspects */
    cr_assert_eq(rig_stats(l.rest).possible_duplicates, 0);
    teardown(&l);
}

static bool some_flying(void *arg)
{
    return rig_stats(((struct lanes *)arg)->rest).in_flight_records > 100;
}

Test(lanes, stop_and_new_options_wait_for_all_of_them)
{
    struct lanes l;
    struct fm_err err = {0};
    setup(&l, 4);
    l.delay_ms = slow;
    add_keyed(l.spool, 1, 3000, true);
    l.rest = rig_start(&l.opts);
    rig_wait(some_flying, &l, 3000, "several requests");
    struct fm_rest_opts other = l.opts;
    other.max_in_flight = 2;
    cr_assert_eq(fm_rest_reconfigure(l.rest, &other, &err), FM_OK, "%s", err.text);
    rig_wait(some_flying, &l, 3000, "several requests");
    rig_wait(half_stored, &l, 5000, "some more");
    fm_rest_stop(l.rest, 10000); /* for answers after 150 ms */
    cr_assert(fm_rest_join(l.rest, 12000));
    cr_assert_eq(rig_stats(l.rest).possible_duplicates, 0);
    cr_assert_eq(spool_count(l.spool, FATE_DELIVERED), mock_stored(l.mock));
    cr_assert_eq(mock_repeats(l.mock), 0);
    teardown(&l);
}

Test(lanes, a_stop_without_grace_counts_what_was_under_way)
{
    struct lanes l;
    setup(&l, 4);
    l.delay_ms = slow;
    add_keyed(l.spool, 1, 3000, true);
    l.rest = rig_start(&l.opts);
    rig_wait(some_flying, &l, 3000, "several requests");
    fm_rest_stop(l.rest, 0);
    cr_assert(fm_rest_join(l.rest, 2000));
    struct fm_rest_stats s = rig_stats(l.rest);
    cr_assert_gt(s.possible_duplicates, 100);
    cr_assert_eq(spool_count(l.spool, FATE_DELIVERED), s.records);
    cr_assert_eq(spool_count(l.spool, FATE_PENDING) + s.records, spool_assigned(l.spool));
    teardown(&l);
}

static int sluggish(const struct mock_request *req)
{
    (void)req;
    return 15;
}

/* Stored is everything; meanwhile, note the most that was held. */
struct sizes {
    struct lanes *l;
    size_t n, most;
};

static bool all_stored(void *arg)
{
    struct sizes *s = arg;
    size_t bytes = rig_stats(s->l->rest).held_bytes;
    s->most = bytes > s->most ? bytes : s->most;
    return mock_stored(s->l->mock) >= s->n;
}

static bool none_held(void *arg)
{
    return rig_stats(((struct lanes *)arg)->rest).held_bytes == 0;
}

Test(lanes, large_records_are_read_ahead_only_up_to_the_bound)
{
    struct lanes l;
    setup(&l, 4);
    l.delay_ms = sluggish;
    l.company = 3;
    l.opts.batch_records = 20; /* the window of records: 160 of 100 KB */
    l.opts.batch_bytes = 350 * 1024;
    add_sized(l.spool, 1, 400, true, 100000);
    struct sizes s = {.l = &l, .n = 400};
    const size_t bound = 2 * 4 * l.opts.batch_bytes;
    l.rest = rig_start(&l.opts);
    rig_wait(all_stored, &s, 15000, "all of them");
    rig_drain(l.rest, 5000);
    cr_assert_leq(s.most, bound);
    cr_assert_gt(s.most, bound / 2);
    cr_assert_geq(l.peak, 3);
    cr_assert_eq(mock_stored(l.mock), 400);
    cr_assert_eq(mock_repeats(l.mock), 0);
    cr_assert(!l.overtaken);
    rig_wait(none_held, &l, 2000, "nothing held");
    teardown(&l);
}

Test(lanes, a_record_larger_than_a_piece_is_read_all_the_same)
{
    struct lanes l;
    setup(&l, 3);
    l.delay_ms = sluggish;
    l.opts.batch_records = 4;
    l.opts.batch_bytes = 20000;
    add_sized(l.spool, 1, 60, true, 90000);
    struct sizes s = {.l = &l, .n = 60};
    l.rest = rig_start(&l.opts);
    rig_wait(all_stored, &s, 10000, "all of them");
    rig_drain(l.rest, 5000);
    cr_assert_leq(s.most, 2 * 3 * l.opts.batch_bytes + 91000); /* one beyond the bound */
    cr_assert_eq(mock_repeats(l.mock), 0);
    cr_assert(!l.overtaken);
    teardown(&l);
}

Test(lanes, a_stop_gives_back_every_byte)
{
    struct lanes l;
    setup(&l, 4);
    l.delay_ms = slow;
    l.opts.batch_records = 5;
    l.twist = forbid;
    add_sized(l.spool, 1, 100, true, 20000);
    l.rest = rig_start(&l.opts);
    l.phase = 1;
    rig_wait_state(l.rest, FM_REST_HOLD, 5000);
    rig_wait(none_held, &l, 3000, "nothing held");
    l.phase = 0;
    rig_drain(l.rest, 8000);
    cr_assert_eq(mock_stored(l.mock), 100);
    rig_wait(none_held, &l, 2000, "nothing held");
    teardown(&l);
}

/* ---- killed ---- */

/* In a process of its own, to be killed: n records, then a sender until the end. */
static void send_until_killed(struct kit *kit, struct lanes *l, int from_parent, size_t n)
{
    char url[64] = "";
    if (read(from_parent, url, sizeof url - 1) <= 0)
        _exit(1);
    l->urls[0] = url;
    kit_open(kit);
    add_keyed(kit->spool, 1, n, true);
    struct fm_rest_opts o = rig_opts(kit->spool, l->urls, 1);
    o.max_in_flight = 4;
    o.timeout_ms = o.timeout_single_ms = 3000;
    (void)rig_start(&o);
    for (;;)
        pause();
}

static bool many_under_way(void *arg)
{
    struct lanes *l = arg;
    pthread_mutex_lock(&l->lock);
    bool yes = l->flying >= 3;
    pthread_mutex_unlock(&l->lock);
    return yes && half_stored(arg);
}

static bool none_under_way(void *arg)
{
    struct lanes *l = arg;
    pthread_mutex_lock(&l->lock);
    bool yes = l->flying == 0;
    pthread_mutex_unlock(&l->lock);
    return yes;
}

Test(lanes, killed_with_several_under_way_everything_arrives_after_the_restart)
{
    enum { N = 2000 };
    struct kit kit;
    struct lanes l = {.delay_ms = uneven};
    int url[2];
    kit_init(&kit, false);
    kit.opts.control = NULL;
    pthread_mutex_init(&l.lock, NULL);
    cr_assert_eq(pipe(url), 0);
    pid_t child = fork(); /* before there are threads */
    cr_assert_geq(child, 0);
    if (child == 0)
        send_until_killed(&kit, &l, url[0], N);
    l.mock = mock_new(script, &l);
    l.urls[0] = mock_url(l.mock);
    cr_assert_gt(write(url[1], l.urls[0], strlen(l.urls[0])), 0);
    rig_wait(many_under_way, &l, 10000, "several requests");
    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    size_t before = mock_stored(l.mock);
    cr_assert_lt(before, N);
    rig_wait(none_under_way, &l, 3000, "the answers to nobody");

    kit_open(&kit);
    cr_assert_eq(spool_assigned(kit.spool), N);
    cr_assert_gt(spool_count(kit.spool, FATE_PENDING), 0);
    cr_assert_leq(spool_count(kit.spool, FATE_DELIVERED), mock_stored(l.mock));
    l.opts = rig_opts(kit.spool, l.urls, 1);
    l.opts.max_in_flight = 4;
    l.opts.timeout_ms = l.opts.timeout_single_ms = 3000;
    l.rest = rig_start(&l.opts);
    rig_drain(l.rest, 8000);
    cr_assert_eq(mock_stored(l.mock), N);
    cr_assert_eq(spool_count(kit.spool, FATE_DELIVERED), N);
    cr_assert(!l.overtaken, "a record was stored before an older one of its key");
    cr_assert(!l.shared, "a key was in two requests at a time");
    fm_rest_stop(l.rest, 0);
    cr_assert(fm_rest_join(l.rest, 3000));
    fm_rest_free(l.rest);
    mock_free(l.mock);
    kit_done(&kit);
    pthread_mutex_destroy(&l.lock);
    (void)close(url[0]);
    (void)close(url[1]);
}
