/* The producer of the library, as a program would use it, against the sandbox. */
#include "firstmile/rest.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "peer.h"
#include "rest/producer_priv.h"
#include "sandbox/sandbox.h"

enum { MAX_USERS = 20000, PATIENCE_MS = 20000 };

static struct fm_sandbox *sandbox;
static char url[64];
static const char *urls[1] = {url};
static atomic_uint reports[MAX_USERS]; /* times that each user was reported */
static atomic_uint by_code[32];
static struct fm_producer *producer;

static void proxy(const char *script)
{
    struct fm_err err = {0};
    const struct fm_sandbox_opts opts = {.faults = script};
    cr_assert_eq(fm_sandbox_start(&sandbox, &opts, &err), FM_OK, "%s", err.text);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)fm_sandbox_port(sandbox));
}

static void nobody(void)
{
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u", (unsigned)peer_closed_port());
}

static void on_done(void *arg, const struct fm_producer_report *report)
{
    (void)arg;
    atomic_fetch_add(&reports[(uintptr_t)report->user], 1);
    atomic_fetch_add(&by_code[report->code], 1);
    cr_expect_eq(report->code == FM_OK, report->reason[0] == '\0');
}

static struct fm_producer_opts options(void)
{
    return (struct fm_producer_opts){.urls = urls, .n_urls = 1, .done = on_done};
}

static void open_with(const struct fm_producer_opts *opts)
{
    struct fm_err err = {0};
    cr_assert_eq(fm_producer_open(&producer, opts, &err), FM_OK, "%s", err.text);
}

static enum fm_code send_n(uintptr_t user, const char *topic, struct fm_err *err)
{
    char value[64];
    (void)snprintf(value, sizeof value, "{\"n\":%lu}", (unsigned long)user);
    const struct fm_producer_record record = {.topic = topic,
                                              .key = "k",
                                              .key_len = 1,
                                              .value = value,
                                              .value_len = strlen(value),
                                              .user = (void *)user};
    return fm_producer_send(producer, &record, err);
}

static void stop(void)
{
    fm_sandbox_stop(sandbox);
}

TestSuite(public_rest, .fini = stop);

/* Users 0..n-1 were reported once each. */
static void all_once(size_t n)
{
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(atomic_load(&reports[i]), 1, "record %zu: %u reports", i,
                     atomic_load(&reports[i]));
}

static void *sender(void *arg)
{
    uintptr_t from = (uintptr_t)arg * 2000;
    for (uintptr_t i = 0; i < 2000; i++) {
        struct fm_err err = {0};
        enum fm_code code = send_n(from + i, (i & 1) != 0 ? "a" : "b", &err);
        cr_assert_eq(code, FM_OK, "%s", err.text);
    }
    return NULL;
}

Test(public_rest, takes_records_of_many_threads_and_reports_each_once)
{
    pthread_t threads[4];
    struct fm_producer_opts opts = options();
    struct fm_producer_counts counts;
    struct fm_sandbox_stats stats;
    struct fm_err err = {0};
    opts.queue_bytes = 20000; /* so that they wait for room, too */
    opts.send_timeout_ms = PATIENCE_MS;
    proxy("");
    open_with(&opts);
    for (uintptr_t i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, sender, (void *)i), 0);
    for (size_t i = 0; i < 4; i++)
        (void)pthread_join(threads[i], NULL);
    cr_assert_eq(fm_producer_flush(producer, FM_PRODUCER_REPORTED, PATIENCE_MS, &err), FM_OK, "%s",
                 err.text);
    all_once(8000);
    fm_producer_counts(producer, &counts);
    cr_expect_eq(counts.delivered, 8000);
    cr_expect_eq(counts.pending + counts.failed, 0);
    cr_expect_eq(fm_producer_close(producer, 0, &err), FM_OK);
    fm_sandbox_stats(sandbox, &stats);
    cr_expect_eq(stats.records, 8000);
}

/* D68, end to end: what a batch's answer leaves unproven goes again, and each record counts once.
 */
Test(public_rest, sends_batches_whose_odd_answers_prove_only_what_they_name_once)
{
    struct fm_producer_opts opts = options();
    struct fm_producer_counts counts;
    struct fm_sandbox_stats stats;
    struct fm_err err = {0};
    opts.dialect = FM_DIALECT_CONFLUENT_V3_BATCH;
    proxy("2-4 if \"\\\"id\\\":\\\"3\\\"\" both 3 rename 1 \"2\" entries 9\n");
    open_with(&opts);
    for (uintptr_t i = 0; i < 200; i++)
        cr_assert_eq(send_n(i, "t", &err), FM_OK, "%s", err.text);
    cr_assert_eq(fm_producer_flush(producer, FM_PRODUCER_REPORTED, PATIENCE_MS, &err), FM_OK, "%s",
                 err.text);
    all_once(200);
    fm_producer_counts(producer, &counts);
    cr_expect_eq(counts.delivered, 200);
    cr_expect_eq(fm_producer_close(producer, 0, &err), FM_OK);
    fm_sandbox_stats(sandbox, &stats);
    cr_expect_gt(stats.records, 200);
}

Test(public_rest, keeps_bytes_keys_and_partitions_exact)
{
    struct fm_producer_opts opts = options();
    struct fm_err err = {0};
    proxy("");
    open_with(&opts);
    const struct fm_producer_record record = {.topic = "t",
                                              .key = "\xff\0k",
                                              .key_len = 3,
                                              .value = "\0\xfe",
                                              .value_len = 2,
                                              .bytes = true,
                                              .to_partition = true,
                                              .partition = 0};
    cr_assert_eq(fm_producer_send(producer, &record, &err), FM_OK, "%s", err.text);
    cr_expect_eq(fm_producer_close(producer, PATIENCE_MS, &err), FM_OK, "%s", err.text);
    struct fm_sandbox_stats stats;
    fm_sandbox_stats(sandbox, &stats);
    cr_expect_eq(stats.records, 1);
    cr_expect_eq(stats.bytes, 5);
    all_once(1);
}

Test(public_rest, says_what_is_unfit_and_takes_none_of_it)
{
    struct fm_producer_opts opts = options();
    struct fm_producer_counts counts;
    struct fm_err err = {0};
    proxy("");
    open_with(&opts);
    char *large = calloc(1, 1 << 20);
    const struct {
        struct fm_producer_record record;
        enum fm_code code;
    } unfit[] = {
        {{.topic = "no topic", .value = "1", .value_len = 1}, FM_EUSAGE},
        {{.value = "1", .value_len = 1}, FM_EUSAGE},
        {{.topic = "t"}, FM_EUSAGE},
        {{.topic = "t", .value = "{\"a\":NaN}", .value_len = 9}, FM_EUSAGE},
        {{.topic = "t", .value = "1", .value_len = 1, .key = "\xff", .key_len = 1}, FM_EUSAGE},
        {{.topic = "t", .value = large, .value_len = 1 << 20, .bytes = true}, FM_ELIMIT},
        {{.topic = "t", .value = "1", .value_len = 1, .to_partition = true, .partition = -1},
         FM_EUSAGE},
    };
    for (size_t i = 0; i < sizeof unfit / sizeof *unfit; i++) {
        cr_expect_eq(fm_producer_send(producer, &unfit[i].record, &err), unfit[i].code, "%zu", i);
        cr_expect_neq(err.text[0], '\0');
    }
    free(large);
    fm_producer_counts(producer, &counts);
    cr_expect_eq(counts.pending, 0);
    cr_expect_eq(fm_producer_close(producer, 0, &err), FM_OK);
}

Test(public_rest, refuses_options_that_contradict)
{
    struct fm_err err = {0};
    struct fm_producer_opts opts = options();
    nobody();
    opts.n_urls = 0;
    cr_expect_eq(fm_producer_open(&producer, &opts, &err), FM_ECONF);
    opts = options();
    opts.username = "u";
    opts.token = "t";
    cr_expect_eq(fm_producer_open(&producer, &opts, &err), FM_ECONF);
    urls[0] = "ftp://x";
    opts = options();
    cr_expect_eq(fm_producer_open(&producer, &opts, &err), FM_ECONF);
    cr_expect_null(producer);
    cr_expect_eq(fm_producer_close(NULL, 0, NULL), FM_OK);
}

Test(public_rest, close_reports_what_the_proxy_never_took)
{
    struct fm_producer_opts opts = options();
    struct fm_err err = {0};
    nobody();
    open_with(&opts);
    for (uintptr_t i = 0; i < 3000; i++)
        cr_assert_eq(send_n(i, "t", &err), FM_OK);
    cr_expect_eq(fm_producer_flush(producer, FM_PRODUCER_REPORTED, 100, &err), FM_ETIMEOUT);
    cr_expect_eq(fm_producer_flush(producer, FM_PRODUCER_STORED, PATIENCE_MS, &err), FM_OK);
    cr_expect_eq(fm_producer_close(producer, 300, &err), FM_ETIMEOUT);
    cr_expect_not_null(strstr(err.text, "3000 records"), "%s", err.text);
    cr_expect_not_null(strstr(err.text, "connect"), "says why: %s", err.text);
    all_once(3000);
    cr_expect_eq(by_code[FM_ESTOP], 3000);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

Test(public_rest, a_folder_keeps_records_over_a_close_while_the_proxy_is_down)
{
    char folder[] = "/tmp/fm_public_XXXXXX";
    struct fm_producer_opts opts = options();
    struct fm_sandbox_stats stats;
    struct fm_err err = {0};
    cr_assert_not_null(mkdtemp(folder));
    opts.spool = folder;
    nobody();
    open_with(&opts);
    for (uintptr_t i = 0; i < 500; i++)
        cr_assert_eq(send_n(i, "t", &err), FM_OK);
    cr_expect_eq(fm_producer_close(producer, 0, &err), FM_ETIMEOUT);
    cr_expect_not_null(strstr(err.text, "stay in the spool"), "%s", err.text);
    all_once(500);
    proxy("");
    open_with(&opts);
    cr_assert_eq(send_n(500, "t", &err), FM_OK);
    cr_expect_eq(fm_producer_flush(producer, FM_PRODUCER_REPORTED, PATIENCE_MS, &err), FM_OK);
    all_once(501); /* the 500 are not reported again */
    cr_expect_eq(fm_producer_close(producer, PATIENCE_MS, &err), FM_OK, "%s", err.text);
    fm_sandbox_stats(sandbox, &stats);
    cr_expect_eq(stats.records, 501);
    cr_expect_eq(by_code[FM_OK], 1);
    (void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void send_again(void *arg, const struct fm_producer_report *report)
{
    struct fm_err err = {0};
    uintptr_t user = (uintptr_t)report->user;
    on_done(arg, report);
    if (user == 0) {
        cr_expect_eq(fm_producer_flush(producer, FM_PRODUCER_STORED, 1000, &err), FM_EUSAGE);
        cr_expect_eq(fm_producer_close(producer, 1000, &err), FM_EUSAGE);
    }
    if (user < 50)
        cr_expect_eq(send_n(user + 1, "t", &err), FM_OK, "%s", err.text);
}

static void await_reports(size_t user)
{
    for (int64_t end = fm_clock_ms() + PATIENCE_MS; atomic_load(&reports[user]) == 0;) {
        cr_assert_lt(fm_clock_ms(), end, "record %zu was not reported", user);
        (void)usleep(1000);
    }
}

Test(public_rest, a_callback_may_send)
{
    struct fm_producer_opts opts = options();
    struct fm_err err = {0};
    opts.done = send_again;
    opts.send_timeout_ms = PATIENCE_MS; /* a callback never waits all the same */
    proxy("");
    open_with(&opts);
    cr_assert_eq(send_n(0, "t", &err), FM_OK);
    await_reports(50);
    cr_expect_eq(fm_producer_close(producer, PATIENCE_MS, &err), FM_OK, "%s", err.text);
    all_once(51);
}

Test(public_rest, a_full_queue_refuses_and_waits_as_told)
{
    struct fm_producer_opts opts = options();
    struct fm_err err = {0};
    size_t n = 0;
    opts.max_pending = 100;
    nobody();
    open_with(&opts);
    while (n < 200 && send_n(n, "t", &err) == FM_OK)
        n++;
    cr_expect_eq(n, 100);
    cr_expect_eq(err.code, FM_EFULL);
    cr_expect_eq(fm_producer_close(producer, 0, &err), FM_ETIMEOUT);
    all_once(100);
    opts.send_timeout_ms = 200;
    open_with(&opts);
    for (n = 100; n < 200; n++)
        cr_assert_eq(send_n(n, "t", &err), FM_OK);
    int64_t start = fm_clock_ms();
    cr_expect_eq(send_n(200, "t", &err), FM_EFULL);
    cr_expect_geq(fm_clock_ms() - start, 200);
    cr_expect_eq(fm_producer_close(producer, 0, &err), FM_ETIMEOUT);
    all_once(200);
    cr_expect_eq(atomic_load(&reports[200]), 0);
}

static void count_only(void *arg, const struct fm_producer_report *report)
{
    (void)report;
    atomic_fetch_add((atomic_uint *)arg, 1);
}

Test(public_rest, a_full_spool_holds_back_and_loses_nothing)
{
    struct fm_producer_opts opts = options();
    struct fm_err err = {0};
    atomic_uint told = 0;
    unsigned n = 0;
    opts.spool_bytes = 100000;
    opts.queue_bytes = 50000;
    opts.done = count_only;
    opts.done_arg = &told;
    nobody();
    open_with(&opts);
    for (int64_t end = fm_clock_ms() + PATIENCE_MS; fm_clock_ms() < end;) {
        enum fm_code code = send_n(n, "t", &err);
        if (code == FM_EFULL && fm_producer_flush(producer, FM_PRODUCER_STORED, 100, &err) != FM_OK)
            break; /* the pump cannot get rid of it */
        n += code == FM_OK;
    }
    cr_expect(n > 500 && n < 20000, "%u", n);
    cr_expect_eq(fm_producer_close(producer, 0, &err), FM_ETIMEOUT);
    cr_expect_eq(atomic_load(&told), n);
}

Test(public_rest, a_refused_record_is_reported_with_the_answer)
{
    struct fm_producer_opts opts = options();
    struct fm_err err = {0};
    proxy("* record if \"\\\"n\\\":7}\" error 50002 \"it stinks\"\n");
    open_with(&opts);
    for (uintptr_t i = 0; i < 20; i++)
        cr_assert_eq(send_n(i, "t", &err), FM_OK);
    cr_expect_eq(fm_producer_close(producer, PATIENCE_MS, &err), FM_OK, "%s", err.text);
    all_once(20);
    cr_expect_eq(by_code[FM_OK], 19);
    cr_expect_eq(by_code[FM_EREMOTE], 1);
}

static size_t stored(void)
{
    (void)pthread_mutex_lock(&producer->lock);
    size_t n = producer->n_stored;
    (void)pthread_mutex_unlock(&producer->lock);
    return n;
}

Test(public_rest, a_topic_that_is_blocked_keeps_no_memory_of_the_others)
{
    enum { GOOD = 100000, PENDING = 2000 };
    struct fm_producer_opts opts = options();
    struct fm_producer_counts counts;
    struct fm_err err = {0};
    atomic_uint told = 0;
    opts.done = count_only;
    opts.done_arg = &told;
    opts.max_pending = PENDING;
    opts.send_timeout_ms = PATIENCE_MS;
    proxy("* record if \"\\\"n\\\":7}\" error 40301 \"not allowed\"\n");
    open_with(&opts);
    cr_assert_eq(send_n(7, "blocked", &err), FM_OK);
    cr_assert_eq(fm_producer_flush(producer, FM_PRODUCER_STORED, PATIENCE_MS, &err), FM_OK);
    for (uintptr_t i = 0; i < GOOD; i++) {
        cr_assert_eq(send_n(8, "good", &err), FM_OK, "%s", err.text);
        if (i % 1000 == 0)
            cr_assert_leq(stored(), PENDING);
    }
    int64_t end = fm_clock_ms() + PATIENCE_MS;
    do {
        cr_assert_lt(fm_clock_ms(), end, "not all were reported");
        (void)usleep(1000);
        fm_producer_counts(producer, &counts);
    } while (counts.pending > 1);
    cr_expect_eq(counts.delivered, GOOD);
    cr_expect_eq(atomic_load(&told), GOOD);
    cr_expect_eq(stored(), 1, "%zu intakes are kept for one record", stored());
    (void)fm_producer_close(producer, 0, &err);
    cr_expect_eq(atomic_load(&told), GOOD + 1);
}

struct seen {
    pthread_t thread;
    unsigned calls, others, refused;
};

static void look(void *arg, const struct fm_producer_report *report)
{
    struct seen *seen = arg;
    struct fm_err err = {0};
    (void)report;
    if (seen->calls++ == 0)
        seen->thread = pthread_self();
    seen->others += pthread_equal(seen->thread, pthread_self()) == 0;
    seen->refused += fm_producer_flush(producer, FM_PRODUCER_STORED, 0, &err) == FM_EUSAGE &&
                     fm_producer_close(producer, 0, &err) == FM_EUSAGE;
}

Test(public_rest, close_calls_back_on_the_thread_of_the_producer)
{
    struct fm_producer_opts opts = options();
    struct seen seen = {0};
    struct fm_err err = {0};
    opts.done = look;
    opts.done_arg = &seen;
    proxy("");
    open_with(&opts);
    cr_assert_eq(send_n(1, "good", &err), FM_OK);
    cr_assert_eq(fm_producer_flush(producer, FM_PRODUCER_REPORTED, PATIENCE_MS, &err), FM_OK);
    fm_sandbox_stop(sandbox);
    sandbox = NULL;
    for (uintptr_t i = 0; i < 100; i++)
        cr_assert_eq(send_n(2, "good", &err), FM_OK);
    cr_expect_eq(fm_producer_close(producer, 0, &err), FM_ETIMEOUT);
    cr_expect_eq(seen.calls, 101);
    cr_expect_eq(seen.others, 0);
    cr_expect_eq(seen.refused, 101);
    cr_expect(!pthread_equal(seen.thread, pthread_self()));
}

static int shell(const char *command)
{
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    int status = 1;
    cr_assert(pid > 0 && waitpid(pid, &status, 0) == pid);
    return status;
}

Test(public_rest, example_sends_lines)
{
    const char *build = getenv("B");
    char command[1200];
    struct fm_sandbox_stats stats;
    if (build == NULL)
        build = "build/asan";
    proxy("");
    (void)snprintf(command, sizeof command,
                   "cc -std=c17 -Wall -Wextra -Wpedantic -Werror -Iinclude "
                   "$(case %s in *asan) echo -fsanitize=address,undefined;; esac) "
                   "tests/examples/rest_produce.c %s/libfirstmile.a $(pkg-config --libs libcurl "
                   "jansson libmicrohttpd gnutls sqlite3 ini_config zlib liblz4) "
                   "$(pkg-config --libs rdkafka 2>/dev/null) -lpthread -lm -o %s/rest_produce && "
                   "printf 'one\\ntwo\\nthree\\n' | %s/rest_produce %s t | grep -qx '3 accepted'",
                   build, build, build, build, url);
    cr_expect_eq(shell(command), 0, "%s", command);
    fm_sandbox_stats(sandbox, &stats);
    cr_expect_eq(stats.records, 3);
    cr_expect_eq(stats.bytes, 11);
}
