/* Records in a real Kafka, through librdkafka: with it the sandbox is a small REST proxy.
 *
 * Jobs wait for metadata on a few worker threads (the request thread of a real proxy does that);
 * delivery reports come on the poller, and the last one of a request ends its job. */
#include "sandbox/sandbox.h"
#include "sandbox/topic_log_priv.h"

#include <stdio.h>

#ifndef FM_HAVE_RDKAFKA

void fm_sandbox_kafka_version(char *out, size_t size)
{
    (void)snprintf(out, size, "none");
}

enum fm_code fm_tlog_kafka_open(struct fm_tlog **out, const struct fm_tlog_opts *opts,
                                struct fm_err *err)
{
    (void)out;
    (void)opts;
    return fm_err_set(err, FM_ECONF,
                      "--kafka: this program was built without librdkafka; install librdkafka-dev "
                      "and build again");
}

#else

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/thread.h"
#include "sandbox/log_kafka_priv.h"

void fm_sandbox_kafka_version(char *out, size_t size)
{
    unsigned v = RD_KAFKA_VERSION; /* 0xMMmmrrxx */
    (void)snprintf(out, size, "%u.%u.%u", v >> 24, v >> 16 & 0xff, v >> 8 & 0xff);
}

bool fm_tlog_kafka_stopping(struct fm_tlog_kafka *k)
{
    (void)pthread_mutex_lock(&k->lock);
    bool stopping = k->stopping;
    (void)pthread_mutex_unlock(&k->lock);
    return stopping;
}

void fm_tlog_kafka_pause(struct fm_tlog_kafka *k, int64_t ms)
{
    int64_t until = fm_clock_ms() + ms;
    (void)pthread_mutex_lock(&k->lock);
    while (!k->stopping && fm_cond_wait(&k->wake, &k->lock, until))
        continue;
    (void)pthread_mutex_unlock(&k->lock);
}

/* --- ends of jobs --- */

static void end_work(struct fm_tlog_kafka *k, struct fm_tlog_work *work)
{
    struct fm_tlog_job *job = work->job;
    free(work->slots);
    free(work);
    job->done(job);
    (void)pthread_mutex_lock(&k->lock);
    k->running--;
    (void)pthread_cond_broadcast(&k->wake);
    (void)pthread_mutex_unlock(&k->lock);
}

void fm_tlog_kafka_one_less(struct fm_tlog_kafka *k, struct fm_tlog_work *work)
{
    if (atomic_fetch_sub(&work->left, 1) == 1)
        end_work(k, work);
}

/* --- threads --- */

static void *poll_reports(void *arg)
{
    struct fm_tlog_kafka *k = arg;
    while (!atomic_load(&k->closing))
        (void)k->lib.poll(k->rk, RETRY_MS);
    return NULL;
}

static void run_job(struct fm_tlog_kafka *k, struct fm_tlog_work *work)
{
    switch (work->job->op) {
    case FM_TLOG_PRODUCE:
        fm_tlog_kafka_produce(k, work);
        break;
    case FM_TLOG_TOPICS:
        fm_tlog_kafka_list(k, work->job);
        break;
    case FM_TLOG_TOPIC:
        fm_tlog_kafka_describe(k, work->job);
        break;
    case FM_TLOG_READ:
        fm_tlog_kafka_read(k, work->job);
        break;
    }
    fm_tlog_kafka_one_less(k, work);
}

static void *work_loop(void *arg)
{
    struct fm_tlog_kafka *k = arg;
    (void)pthread_mutex_lock(&k->lock);
    for (;;) {
        struct fm_tlog_work *work = k->first;
        if (work == NULL) {
            if (k->stopping)
                break;
            (void)fm_cond_wait(&k->wake, &k->lock, 0);
            continue;
        }
        k->first = work->next;
        if (k->first == NULL)
            k->last = &k->first;
        k->waiting--;
        (void)pthread_mutex_unlock(&k->lock);
        run_job(k, work);
        (void)pthread_mutex_lock(&k->lock);
    }
    (void)pthread_mutex_unlock(&k->lock);
    return NULL;
}

static enum fm_tlog_result queue_work(struct fm_tlog_kafka *k, struct fm_tlog_work *work)
{
    enum fm_tlog_result result = FM_TLOG_OK;
    (void)pthread_mutex_lock(&k->lock);
    if (k->stopping) {
        result = FM_TLOG_STOPPING;
    } else if (k->waiting >= QUEUE_MAX) {
        result = FM_TLOG_BUSY;
    } else {
        *k->last = work;
        k->last = &work->next;
        k->waiting++;
        k->running++;
        /* Others wait on it too, so that one wake-up could be lost on them. */
        (void)pthread_cond_broadcast(&k->wake);
    }
    (void)pthread_mutex_unlock(&k->lock);
    return result;
}

static void submit(struct fm_tlog *tlog, struct fm_tlog_job *job)
{
    struct fm_tlog_kafka *k = (struct fm_tlog_kafka *)tlog;
    struct fm_tlog_work *work = calloc(1, sizeof *work);
    enum fm_tlog_result result = FM_TLOG_BUSY;
    if (work != NULL) {
        work->job = job;
        atomic_init(&work->left, 1);
        result = queue_work(k, work);
    }
    if (result != FM_TLOG_OK) {
        free(work);
        job->result = result;
        job->done(job);
    }
}

/* @return whether no job is left */
static bool await_idle(struct fm_tlog_kafka *k, int64_t wait_ms)
{
    int64_t until = fm_clock_ms() + wait_ms;
    (void)pthread_mutex_lock(&k->lock);
    while (k->running > 0 && fm_cond_wait(&k->wake, &k->lock, until))
        continue;
    bool idle = k->running == 0;
    (void)pthread_mutex_unlock(&k->lock);
    return idle;
}

static void stop(struct fm_tlog *tlog)
{
    struct fm_tlog_kafka *k = (struct fm_tlog_kafka *)tlog;
    (void)pthread_mutex_lock(&k->lock);
    bool again = k->stopping;
    k->stopping = true;
    (void)pthread_cond_broadcast(&k->wake);
    (void)pthread_mutex_unlock(&k->lock);
    if (again)
        return;
    if (!await_idle(k, STOP_MS)) {
        (void)k->lib.purge(k->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        while (!await_idle(k, STOP_MS))
            fm_log(k->log, FM_LOG_WARN, "sandbox: still waiting for librdkafka");
    }
}

static void close_kafka(struct fm_tlog *tlog)
{
    struct fm_tlog_kafka *k = (struct fm_tlog_kafka *)tlog;
    for (unsigned i = 0; i < k->n_workers; i++)
        (void)pthread_join(k->workers[i], NULL);
    atomic_store(&k->closing, true);
    if (k->has_poller)
        (void)pthread_join(k->poller, NULL);
    if (k->rk != NULL)
        k->lib.destroy(k->rk);
    fm_kafka_lib_close(&k->lib);
    (void)pthread_cond_destroy(&k->wake);
    (void)pthread_mutex_destroy(&k->lock);
    free(k->bootstrap);
    free(k);
}

static const struct fm_tlog_ops kafka_ops = {submit, stop, close_kafka, NULL};

/* --- opening --- */

/* What librdkafka logs beside these errors says nothing more, and its callback cannot be told where
 * to log to. */
static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    (void)rk;
    const struct fm_tlog_kafka *k = opaque;
    fm_log_limited(k->log, FM_LOG_WARN, "kafka", "kafka: %s: %s",
                   k->lib.err2name((rd_kafka_resp_err_t)code), reason);
}

static enum fm_code new_producer(struct fm_tlog_kafka *k, struct fm_err *err)
{
    char delivery[32], text[200];
    (void)snprintf(delivery, sizeof delivery, "%lld", 2 * (long long)k->metadata_timeout_ms);
    /* One request in flight keeps the order; the rest is as the Java producer has it. */
    const char *const settings[][2] = {{"bootstrap.servers", k->bootstrap},
                                       {"client.id", "firstmile-sandbox"},
                                       {"acks", "all"},
                                       {"linger.ms", "5"},
                                       {"batch.size", "16384"},
                                       {"message.max.bytes", "1048576"},
                                       {"message.timeout.ms", delivery},
                                       {"max.in.flight.requests.per.connection", "1"},
                                       {"allow.auto.create.topics", "false"},
                                       {"partitioner", "murmur2_random"},
                                       {"queue.buffering.max.kbytes", "65536"},
                                       {"reconnect.backoff.ms", "50"},
                                       {"reconnect.backoff.max.ms", "1000"},
                                       {"log.connection.close", "false"}};
    rd_kafka_conf_t *conf = k->lib.conf_new();
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (k->lib.conf_set(conf, settings[i][0], settings[i][1], text, sizeof text) !=
            RD_KAFKA_CONF_OK) {
            k->lib.conf_destroy(conf);
            return fm_err_set(err, FM_ECONF, "--kafka %s: %s", k->bootstrap, text);
        }
    }
    k->lib.conf_set_opaque(conf, k);
    k->lib.conf_set_dr_msg_cb(conf, fm_tlog_kafka_on_report);
    k->lib.conf_set_log_cb(conf, NULL);
    k->lib.conf_set_error_cb(conf, on_error);
    k->rk = k->lib.new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (k->rk == NULL) {
        k->lib.conf_destroy(conf);
        return fm_err_set(err, FM_ECONF, "--kafka %s: %s", k->bootstrap, text);
    }
    return FM_OK;
}

static enum fm_code start(struct fm_tlog_kafka *k, const struct fm_tlog_opts *opts,
                          struct fm_err *err)
{
    if (k->bootstrap == NULL)
        return fm_err_nomem(err);
    FM_TRY(new_producer(k, err));
    FM_TRY(fm_thread_start(&k->poller, "sandbox-kafka", poll_reports, k, err));
    k->has_poller = true;
    for (size_t i = 0; i < opts->n_topics; i++)
        FM_TRY(fm_tlog_kafka_create(k, &opts->topics[i], err));
    while (k->n_workers < WORKERS) {
        FM_TRY(fm_thread_start(&k->workers[k->n_workers], "sandbox-work", work_loop, k, err));
        k->n_workers++;
    }
    return FM_OK;
}

enum fm_code fm_tlog_kafka_open(struct fm_tlog **out, const struct fm_tlog_opts *opts,
                                struct fm_err *err)
{
    struct fm_tlog_kafka *k = calloc(1, sizeof *k);
    if (k == NULL)
        return fm_err_nomem(err);
    enum fm_code code = fm_kafka_lib_open(&k->lib, err);
    if (code != FM_OK) {
        free(k);
        return code;
    }
    k->base.ops = &kafka_ops;
    k->last = &k->first;
    k->log = opts->log;
    k->metadata_timeout_ms = opts->metadata_timeout_ms;
    k->bootstrap = strdup(opts->kafka);
    (void)pthread_mutex_init(&k->lock, NULL);
    fm_cond_init(&k->wake);
    code = start(k, opts, err);
    if (code != FM_OK) {
        stop(&k->base);
        close_kafka(&k->base);
        return code;
    }
    *out = &k->base;
    return FM_OK;
}

#endif
