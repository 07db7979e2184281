/* Chunks whose fate is told: fm_spool_submit(). */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "spool_kit.h"

struct told {
    _Atomic unsigned n;
    struct fm_spool_stored what[64]; /* stream is not kept */
    char streams[64][FM_STREAM_LEN + 1];
};

static void on_stored(void *arg, const struct fm_spool_stored *what)
{
    struct told *told = arg;
    unsigned i = atomic_load(&told->n);
    cr_assert_lt(i, 64);
    told->what[i] = *what;
    (void)strncpy(told->streams[i], what->stream, FM_STREAM_LEN);
    atomic_store(&told->n, i + 1);
}

static void start(struct kit *kit, struct told *told, bool memory)
{
    kit_init(kit, memory);
    memset(told, 0, sizeof *told);
    kit->opts.on_stored = on_stored;
    kit->opts.on_stored_arg = told;
}

static void submit(struct kit *kit, unsigned from, unsigned n, size_t size, uint64_t tag)
{
    struct fm_chunk *chunk = kit_chunk("t", from, n, size);
    cr_assert_eq(fm_spool_submit(kit->spool, &chunk, tag, NULL), FM_OK);
    cr_assert_null(chunk);
}

static void numbers_come_back_in_order(bool memory)
{
    struct kit kit;
    struct told told;
    start(&kit, &told, memory);
    kit.opts.commit_ms = 20;
    kit_open(&kit);
    submit(&kit, 1, 3, 0, 7);
    struct fm_chunk *silent = kit_chunk("t", 4, 1, 0);
    cr_assert_eq(fm_spool_append(kit.spool, &silent, NULL), FM_OK);
    submit(&kit, 5, 2, 0, UINT64_MAX);
    kit_flush(&kit);
    cr_assert_eq(atomic_load(&told.n), 2, "fm_spool_append() tells nobody");
    struct fm_spool_stats stats = kit_stats(&kit);
    const uint64_t tags[] = {7, UINT64_MAX}, first[] = {2, 6}, n[] = {3, 2}; /* 1 is the start */
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(told.what[i].tag, tags[i]);
        cr_assert_eq(told.what[i].code, FM_OK);
        cr_assert_eq(told.what[i].first_seq, first[i]);
        cr_assert_eq(told.what[i].n, n[i]);
        cr_assert_str_eq(told.streams[i], stats.streams[0].stream);
    }
    kit_done(&kit);
}

Test(submit, tells_the_numbers_in_their_order)
{
    numbers_come_back_in_order(false);
    numbers_come_back_in_order(true);
}

Test(submit, tells_what_was_dropped_for_lack_of_room)
{
    struct kit kit;
    struct told told;
    start(&kit, &told, true);
    kit.opts.max_size = 4096;
    kit.opts.on_full = FM_SPOOL_DROP_NEWEST;
    kit_open(&kit);
    submit(&kit, 1, 2, 500, 1);
    submit(&kit, 3, 1, 8000, 2);
    kit_flush(&kit);
    cr_assert_eq(atomic_load(&told.n), 2);
    for (unsigned i = 0; i < 2; i++) {
        bool stored = told.what[i].tag == 1; /* a refusal may be told before the commit */
        cr_assert_eq(told.what[i].code, stored ? FM_OK : FM_EFULL);
        cr_assert_eq(told.what[i].n, stored ? 2 : 1);
        cr_assert_eq(strlen(told.streams[i]), stored ? FM_STREAM_LEN : 0);
    }
    cr_assert_eq(kit_stats(&kit).lost_total, 1);
    kit_done(&kit);
}

Test(submit, tells_at_the_end_what_could_not_be_stored)
{
    struct kit kit;
    struct told told;
    start(&kit, &told, true);
    kit.opts.max_size = 4096;
    kit.opts.on_full = FM_SPOOL_BLOCK;
    kit_open(&kit);
    submit(&kit, 1, 1, 3000, 1);
    submit(&kit, 2, 1, 3000, 2);
    int64_t deadline = fm_clock_ms() + 10000;
    while (atomic_load(&told.n) < 1 && fm_clock_ms() < deadline)
        fm_sleep_ms(1);
    cr_assert_eq(atomic_load(&told.n), 1);
    fm_spool_stop(kit.spool);
    fm_spool_free(kit.spool, 5000);
    kit.spool = NULL;
    cr_assert_eq(atomic_load(&told.n), 2);
    cr_assert_eq(told.what[0].code, FM_OK);
    cr_assert_eq(told.what[1].tag, 2);
    cr_assert_eq(told.what[1].code, FM_ESTOP);
    kit_done(&kit);
}

/* Who is told has them still: declared as lost as well they would be both there and lost. */
Test(submit, owes_nothing_for_what_it_told_as_not_stored)
{
    struct kit kit;
    struct told told;
    struct fm_spool_end end;
    start(&kit, &told, false);
    kit.opts.max_size = 192 * 1024;
    kit.opts.on_full = FM_SPOOL_BLOCK;
    kit.opts.commit_ms = 3600000; /* all are queued before the first commit */
    kit_open(&kit);
    for (unsigned i = 0; i < 8; i++)
        submit(&kit, i + 1, 1, 40000, i);
    fm_spool_close(kit.spool, 10000, &end);
    kit.spool = NULL;
    cr_assert_eq(atomic_load(&told.n), 8);
    unsigned stored = 0;
    while (stored < 8 && told.what[stored].code == FM_OK)
        stored++;
    cr_assert(stored > 0 && stored < 8, "%u", stored);
    for (unsigned i = stored; i < 8; i++)
        cr_expect_eq(told.what[i].code, FM_ESTOP);
    cr_expect_eq(end.unstored, 0);
    cr_expect_eq(end.owed, 0);
    cr_expect_str_eq(end.error, "the spool is full");
    kit_open(&kit);
    kit_flush(&kit);
    cr_expect_eq(kit_stats(&kit).lost_total, 0);
    kit_done(&kit);
}

Test(submit, refuses_an_empty_chunk_and_one_after_the_stop)
{
    struct kit kit;
    struct told told;
    start(&kit, &told, true);
    kit_open(&kit);
    struct fm_chunk *chunk = kit_chunk("t", 1, 0, 0);
    cr_assert_eq(fm_spool_submit(kit.spool, &chunk, 1, NULL), FM_EUSAGE);
    fm_chunk_free(chunk);
    fm_spool_stop(kit.spool);
    chunk = kit_chunk("t", 1, 1, 0);
    cr_assert_eq(fm_spool_submit(kit.spool, &chunk, 2, NULL), FM_ESTOP);
    cr_assert_not_null(chunk);
    fm_chunk_free(chunk);
    cr_assert_eq(atomic_load(&told.n), 0);
    kit_done(&kit);
}

Test(submit, commits_a_large_group_without_waiting_for_its_time)
{
    struct kit kit;
    struct told told;
    start(&kit, &told, false);
    kit.opts.commit_ms = 3600000;
    kit_open(&kit);
    unsigned n = 0;
    int64_t deadline = fm_clock_ms() + 30000;
    for (; n < 24; n++)
        submit(&kit, n + 1, 1, 60000, n);
    while (atomic_load(&told.n) < 16 && fm_clock_ms() < deadline)
        fm_sleep_ms(1);
    cr_assert_geq(atomic_load(&told.n), 16, "of %u chunks, by their bytes alone", n);
    kit_done(&kit);
    cr_assert_eq(atomic_load(&told.n), n);
}

/* Queues a further chunk for each that was stored, as a busy other thread would. */
struct chain {
    struct kit kit;
    pthread_t caller;
    _Atomic unsigned by_caller, by_spool;
};

enum { LINKS = 200 };

static void go_on(void *arg, const struct fm_spool_stored *what)
{
    struct chain *chain = arg;
    if (pthread_equal(pthread_self(), chain->caller))
        atomic_fetch_add(&chain->by_caller, 1);
    else
        atomic_fetch_add(&chain->by_spool, 1);
    if (what->tag < LINKS)
        submit(&chain->kit, 1, 1, 0, what->tag + 1);
}

Test(submit, works_for_few_others_in_the_thread_of_a_caller)
{
    struct chain chain = {.caller = pthread_self()};
    kit_init(&chain.kit, true);
    chain.kit.opts.on_stored = go_on;
    chain.kit.opts.on_stored_arg = &chain;
    kit_open(&chain.kit);
    submit(&chain.kit, 1, 1, 0, 1);
    int64_t deadline = fm_clock_ms() + 10000;
    while (atomic_load(&chain.by_caller) + atomic_load(&chain.by_spool) < LINKS &&
           fm_clock_ms() < deadline)
        fm_sleep_ms(1);
    cr_assert_eq(atomic_load(&chain.by_caller) + atomic_load(&chain.by_spool), LINKS);
    cr_assert_leq(atomic_load(&chain.by_caller), 8);
    kit_done(&chain.kit);
}
