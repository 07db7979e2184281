#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "spool_kit.h"

/* Both variants pass the same tests: 0 = disk, 1 = memory. */
#define BOTH(name)                                                                                 \
    static void name(struct kit *kit);                                                             \
    Test(spool_disk, name)                                                                         \
    {                                                                                              \
        struct kit kit;                                                                            \
        kit_init(&kit, false);                                                                     \
        name(&kit);                                                                                \
        kit_done(&kit);                                                                            \
    }                                                                                              \
    Test(spool_memory, name)                                                                       \
    {                                                                                              \
        struct kit kit;                                                                            \
        kit_init(&kit, true);                                                                      \
        name(&kit);                                                                                \
        kit_done(&kit);                                                                            \
    }                                                                                              \
    static void name(struct kit *kit)

BOTH(gives_records_in_their_order_after_a_start_record)
{
    kit_open(kit);
    kit_store(kit, "t", 1, 3);
    kit_store(kit, "t", 4, 2);
    cr_assert_str_eq(kit_drain(kit, "t"), "1:S 2:r1 3:r2 4:r3 5:r4 6:r5");
    struct fm_spool_stats stats = kit_stats(kit);
    cr_assert_eq(stats.records, 0);
    cr_assert_eq(stats.streams[0].delivered, 6);
}

static struct fm_spool_id id_of(struct kit *kit, uint64_t seq)
{
    struct fm_spool_stats stats = kit_stats(kit);
    struct fm_spool_id id = {.seq = seq};
    memcpy(id.stream, stats.streams[0].stream, sizeof id.stream);
    return id;
}

static void settle_one(struct kit *kit, uint64_t seq, enum fm_settle how)
{
    struct fm_settlement one = {.id = id_of(kit, seq), .how = how, .reason = "422 bad"};
    cr_assert_eq(fm_spool_settle(kit->spool, &one, 1, NULL), FM_OK);
    kit_flush(kit);
}

/* The texts of one read, joined. */
static void read_text(struct kit *kit, const struct fm_spool_want *want, char *out, size_t size)
{
    struct fm_spool_batch *batch = NULL;
    cr_assert_eq(fm_spool_read(kit->spool, want, &batch, 5000, NULL), FM_OK);
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < batch->n; i++) {
        char one[200];
        kit_text(&batch->items[i].rec, one, sizeof one);
        len += (size_t)snprintf(out + len, size - len, "%s%s", len > 0 ? " " : "", one);
    }
    if (batch->more)
        (void)snprintf(out + len, size - len, " +");
    fm_spool_batch_free(kit->spool, batch);
}

BOTH(keeps_streams_of_topics_apart)
{
    kit_open(kit);
    kit_store(kit, "a", 1, 2);
    kit_store(kit, "b", 7, 1);
    struct fm_spool_topic topics[4];
    size_t n = 0;
    fm_spool_topics(kit->spool, topics, 4, &n);
    cr_assert_eq(n, 2);
    cr_assert_str_eq(topics[0].topic, "a");
    cr_assert_eq(topics[0].pending, 3);
    cr_assert_str_eq(kit_drain(kit, "b"), "1:S 2:r7");
    cr_assert_str_eq(kit_drain(kit, "a"), "1:S 2:r1 3:r2");
    fm_spool_topics(kit->spool, topics, 4, &n);
    cr_assert_eq(n, 0);
}

BOTH(reads_within_bytes_and_records_and_says_whether_there_is_more)
{
    char text[500];
    kit_open(kit);
    kit_store(kit, "t", 1, 4);
    read_text(kit, &(struct fm_spool_want){.topic = "t", .max_records = 3}, text, sizeof text);
    cr_assert_str_eq(text, "S r1 r2 +");
    read_text(kit, &(struct fm_spool_want){.topic = "t", .max_records = 5}, text, sizeof text);
    cr_assert_str_eq(text, "S r1 r2 r3 r4");
    read_text(kit, &(struct fm_spool_want){.topic = "t", .max_bytes = 1}, text, sizeof text);
    cr_assert_str_eq(text, "S +", "the first always fits");
    read_text(kit, &(struct fm_spool_want){.topic = "none", .max_bytes = 1}, text, sizeof text);
    cr_assert_str_eq(text, "");
}

BOTH(leaves_out_what_is_to_be_skipped_and_reads_only_what_is_asked)
{
    char text[500];
    kit_open(kit);
    kit_store(kit, "t", 1, 5);
    struct fm_spool_id ids[] = {id_of(kit, 4), id_of(kit, 1), id_of(kit, 99)};
    read_text(kit, &(struct fm_spool_want){.topic = "t", .skip = ids, .n_skip = 3}, text,
              sizeof text);
    cr_assert_str_eq(text, "r1 r2 r4 r5");
    read_text(kit, &(struct fm_spool_want){.topic = "t", .only = ids, .n_only = 3}, text,
              sizeof text);
    cr_assert_str_eq(text, "r3 S", "in the order asked, without what is not there");
    read_text(kit, &(struct fm_spool_want){.topic = "t", .only = ids, .n_only = 0}, text,
              sizeof text);
    cr_assert_str_eq(text, "");
}

BOTH(counts_a_record_settled_twice_once)
{
    kit_open(kit);
    kit_store(kit, "t", 1, 3);
    settle_one(kit, 2, FM_SETTLE_DELIVERED);
    settle_one(kit, 2, FM_SETTLE_DELIVERED);
    settle_one(kit, 2, FM_SETTLE_DEAD);
    settle_one(kit, 77, FM_SETTLE_DELIVERED);
    struct fm_spool_stats stats = kit_stats(kit);
    cr_assert_eq(stats.streams[0].delivered, 1);
    cr_assert_eq(stats.streams[0].dead, 0);
    cr_assert_eq(stats.records, 3);
    cr_assert_str_eq(kit_drain(kit, "t"), "1:S 3:r2 4:r3");
    settle_one(kit, 3, FM_SETTLE_DELIVERED);
    cr_assert_eq(kit_stats(kit).streams[0].delivered, 4);
}

BOTH(buries_a_dead_letter_with_a_gap_and_brings_it_back_under_its_own_seq)
{
    kit_open(kit);
    kit_store(kit, "t", 1, 3);
    settle_one(kit, 3, FM_SETTLE_DEAD);
    struct fm_spool_stats stats = kit_stats(kit);
    cr_assert_eq(stats.streams[0].dead, 1);
    cr_assert_eq(stats.dead_records, 1);
    cr_assert_neq(stats.last_dead_ms, 0);
    cr_assert_str_eq(kit_drain(kit, "t"), "1:S 2:r1 4:r3 5:G(3-3,1,dead)");
    uint64_t n = 0;
    cr_assert_eq(fm_spool_dead_retry(kit->spool, NULL, NULL, &n, NULL), FM_OK);
    cr_assert_eq(n, 1);
    kit_flush(kit);
    cr_assert_eq(kit_stats(kit).dead_records, 0);
    settle_one(kit, 3, FM_SETTLE_DEAD);
    cr_assert_str_eq(kit_drain(kit, "t"), "", "it was declared before");
    struct fm_spool_id id = id_of(kit, 3);
    cr_assert_eq(fm_spool_dead_retry(kit->spool, NULL, &id, &n, NULL), FM_OK);
    cr_assert_eq(n, 1);
    cr_assert_str_eq(kit_drain(kit, "t"), "3:r2");
    cr_assert_eq(kit_stats(kit).streams[0].delivered, 5);
}

BOTH(never_buries_a_control_record)
{
    kit_open(kit);
    kit_store(kit, "t", 1, 1);
    settle_one(kit, 1, FM_SETTLE_DEAD);
    cr_assert_eq(kit_stats(kit).dead_records, 0);
    cr_assert_str_eq(kit_drain(kit, "t"), "1:S 2:r1");
}

BOTH(pushes_the_oldest_dead_letters_out)
{
    kit->opts.dead_max_size = 1000;
    kit_open(kit);
    kit_store(kit, "t", 1, 60);
    for (uint64_t seq = 2; seq <= 61; seq++)
        settle_one(kit, seq, FM_SETTLE_DEAD);
    struct fm_spool_stats stats = kit_stats(kit);
    cr_assert_leq(stats.dead_bytes, 1000);
    cr_assert_gt(stats.dead_records, 0);
    cr_assert_eq(stats.streams[0].dead, stats.dead_records);
    cr_assert_eq(stats.streams[0].lost, 60 - stats.dead_records);
}

BOTH(declares_what_was_dropped_before_it_was_stored_and_widens_the_gap)
{
    kit_open(kit);
    kit_store(kit, "t", 1, 2);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(fm_spool_declare(kit->spool, "t", 2, FM_GAP_TOO_LARGE, 5, NULL), FM_OK);
        kit_flush(kit);
        kit_check_equation(kit);
    }
    /* 4-5, gap 6; then 7-8: replaced by one gap of 4-8 under 9; then 10-11: 4-11 under 12. */
    cr_assert_str_eq(kit_drain(kit, "t"), "1:S 2:r1 3:r2 12:G(4-11,8,too_large)");
    struct fm_spool_stats stats = kit_stats(kit);
    cr_assert_eq(stats.streams[0].assigned, 12);
    cr_assert_eq(stats.streams[0].lost, 8);
}

BOTH(does_not_widen_a_gap_that_was_read_or_has_another_reason)
{
    kit_open(kit);
    cr_assert_eq(fm_spool_declare(kit->spool, "t", 1, FM_GAP_TOO_LARGE, 5, NULL), FM_OK);
    kit_flush(kit);
    fm_spool_batch_free(kit->spool, kit_read(kit, "t", 10));
    cr_assert_eq(fm_spool_declare(kit->spool, "t", 1, FM_GAP_TOO_LARGE, 5, NULL), FM_OK);
    kit_flush(kit);
    cr_assert_eq(fm_spool_declare(kit->spool, "t", 1, FM_GAP_FULL, 5, NULL), FM_OK);
    cr_assert_str_eq(kit_drain(kit, "t"),
                     "1:S 3:G(2-2,1,too_large) 5:G(4-4,1,too_large) 7:G(6-6,1,full)");
}

BOTH(drops_the_oldest_but_never_what_is_held)
{
    kit->opts.max_size = 100000;
    kit_open(kit);
    kit_store(kit, "t", 1, 1); /* the start record and r1 */
    struct fm_spool_batch *held = kit_read(kit, "t", 10);
    cr_assert_eq(held->n, 2);
    for (unsigned i = 0; i < 40; i++) {
        struct fm_chunk *chunk = kit_chunk("t", 10 * i, 10, 1000);
        cr_assert_eq(fm_spool_store(kit->spool, &chunk, 5000, NULL, NULL, NULL, NULL), FM_OK);
        kit_check_equation(kit);
        cr_assert_leq(kit_stats(kit).bytes, 100000);
    }
    struct fm_spool_stats stats = kit_stats(kit);
    cr_assert_gt(stats.streams[0].lost, 250);
    cr_assert_neq(stats.last_drop_ms, 0);
    char text[500];
    struct fm_spool_id ids[] = {id_of(kit, 2)};
    read_text(kit, &(struct fm_spool_want){.topic = "t", .only = ids, .n_only = 1}, text,
              sizeof text);
    cr_assert_str_eq(text, "r1");
    kit_deliver(kit, held);
    const char *all = kit_drain(kit, "t");
    cr_assert_not_null(strstr(all, ",full)"));
    stats = kit_stats(kit);
    cr_assert_eq(stats.records, 0);
    cr_assert_eq(stats.streams[0].assigned, stats.streams[0].delivered + stats.streams[0].lost);
}

BOTH(declares_the_newest_when_that_is_what_it_drops)
{
    kit->opts.max_size = 50000;
    kit->opts.on_full = FM_SPOOL_DROP_NEWEST;
    kit_open(kit);
    unsigned refused = 0;
    for (unsigned i = 0; i < 10; i++) {
        struct fm_chunk *chunk = kit_chunk("t", 10 * i, 10, 1000);
        enum fm_code code = fm_spool_store(kit->spool, &chunk, 5000, NULL, NULL, NULL, NULL);
        cr_assert(code == FM_OK || code == FM_EFULL);
        refused += code == FM_EFULL;
        fm_chunk_free(chunk);
    }
    cr_assert_geq(refused, 5);
    kit_flush(kit);
    struct fm_spool_stats stats = kit_stats(kit);
    cr_assert_geq(stats.streams[0].lost, refused * 10);
    const char *all = kit_drain(kit, "t");
    cr_assert_not_null(strstr(all, ":S 2:r0 3:r1"), "the oldest are there");
    cr_assert_not_null(strstr(all, ",full)"));
}

BOTH(blocks_when_full_and_goes_on_when_there_is_room)
{
    kit->opts.max_size = 50000;
    kit->opts.on_full = FM_SPOOL_BLOCK;
    kit_open(kit);
    struct fm_chunk *chunk = NULL;
    enum fm_code code = FM_OK;
    unsigned stored = 0;
    while (code == FM_OK) {
        fm_chunk_free(chunk);
        chunk = kit_chunk("t", 10 * stored, 10, 1000);
        code = fm_spool_store(kit->spool, &chunk, 100, NULL, NULL, NULL, NULL);
        stored += code == FM_OK;
    }
    cr_assert_eq(code, FM_EFULL);
    cr_assert_not(fm_spool_ready(kit->spool));
    if (chunk == NULL)
        chunk = kit_chunk("t", 1000, 10, 1000);
    cr_assert_eq(fm_spool_append(kit->spool, &chunk, NULL), FM_EFULL);
    cr_assert_not_null(chunk, "a chunk that was not taken stays the caller's");
    fm_chunk_free(chunk);
    (void)kit_drain(kit, "t");
    int64_t until = fm_clock_ms() + 5000;
    while (!fm_spool_ready(kit->spool) && fm_clock_ms() < until)
        kit_flush(kit);
    cr_assert(fm_spool_ready(kit->spool));
    cr_assert_eq(kit_stats(kit).streams[0].lost, 0);
}

BOTH(bounds_the_queue_and_takes_one_chunk_larger_than_it)
{
    kit->opts.queue_max = 3000;
    kit->opts.commit_ms = 60000;
    kit_open(kit);
    struct fm_chunk *large = kit_chunk("t", 1, 1, 5000), *next = kit_chunk("t", 2, 1, 10);
    cr_assert_eq(fm_spool_append(kit->spool, &large, NULL), FM_OK);
    cr_assert_eq(fm_spool_append(kit->spool, &next, NULL), FM_EFULL);
    cr_assert_not(fm_spool_ready(kit->spool));
    kit_flush(kit);
    cr_assert(fm_spool_ready(kit->spool));
    cr_assert_eq(fm_spool_append(kit->spool, &next, NULL), FM_OK);
    kit_flush(kit);
    cr_assert_eq(kit_stats(kit).records, 3);
}

BOTH(drops_what_is_too_old)
{
    kit->opts.max_age_ms = 150;
    kit_open(kit);
    kit_store(kit, "t", 1, 3);
    int64_t until = fm_clock_ms() + 5000;
    while (kit_stats(kit).streams[0].lost < 4 && fm_clock_ms() < until)
        (void)usleep(10000);
    kit_flush(kit);
    /* The start record may reach the age a moment earlier; its gap is then replaced. */
    const char *left = kit_drain(kit, "t");
    cr_assert(strcmp(left, "5:G(1-4,4,age)") == 0 || strcmp(left, "6:G(1-5,5,age)") == 0, "%s",
              left);
}

BOTH(refuses_after_stop_but_lets_reading_and_settling_go_on)
{
    kit_open(kit);
    kit_store(kit, "t", 1, 2);
    fm_spool_stop(kit->spool);
    fm_spool_stop(kit->spool);
    struct fm_chunk *chunk = kit_chunk("t", 3, 1, 0);
    cr_assert_eq(fm_spool_append(kit->spool, &chunk, NULL), FM_ESTOP);
    cr_assert_eq(fm_spool_store(kit->spool, &chunk, 100, NULL, NULL, NULL, NULL), FM_ESTOP);
    fm_chunk_free(chunk);
    cr_assert_eq(fm_spool_declare(kit->spool, "t", 1, FM_GAP_FULL, 1, NULL), FM_ESTOP);
    cr_assert_not(fm_spool_ready(kit->spool));
    cr_assert_str_eq(kit_drain(kit, "t"), "1:S 2:r1 3:r2");
}

struct seen {
    char text[4000];
    size_t len, n, stop_at;
};

static bool note(const struct fm_spool_entry *entry, void *arg)
{
    struct seen *seen = arg;
    char one[200];
    kit_text(&entry->rec, one, sizeof one);
    if (seen->len + 220 < sizeof seen->text)
        seen->len += (size_t)snprintf(seen->text + seen->len, sizeof seen->text - seen->len,
                                      "%s%s/%llu:%s", seen->len > 0 ? " " : "", entry->topic,
                                      (unsigned long long)entry->id.seq, one);
    return ++seen->n != seen->stop_at;
}

BOTH(walks_over_pending_records_in_order_in_pages)
{
    kit_open(kit);
    kit_store(kit, "a", 1, 2);
    kit_store(kit, "b", 3, 1);
    kit_store(kit, "a", 4, 1);
    struct seen seen = {.n = 0};
    cr_assert_eq(fm_spool_walk(kit->spool, false, NULL, note, &seen, NULL), FM_OK);
    cr_assert_str_eq(seen.text, "a/1:S a/2:r1 a/3:r2 b/1:S b/2:r3 a/4:r4");
    seen = (struct seen){.n = 0};
    struct fm_spool_id after = id_of(kit, 3);
    struct fm_spool_stats stats = kit_stats(kit);
    for (size_t i = 0; i < stats.n_streams; i++)
        if (strcmp(stats.streams[i].topic, "a") == 0)
            memcpy(after.stream, stats.streams[i].stream, sizeof after.stream);
    struct fm_spool_select sel = {.topic = "a", .after = &after};
    cr_assert_eq(fm_spool_walk(kit->spool, false, &sel, note, &seen, NULL), FM_OK);
    cr_assert_str_eq(seen.text, "a/4:r4");
    for (unsigned i = 0; i < 10; i++)
        kit_store(kit, "c", i * 100, 100);
    seen = (struct seen){.n = 0};
    sel = (struct fm_spool_select){.topic = "c"};
    cr_assert_eq(fm_spool_walk(kit->spool, false, &sel, note, &seen, NULL), FM_OK);
    cr_assert_eq(seen.n, 1001);
    seen = (struct seen){.stop_at = 300};
    cr_assert_eq(fm_spool_walk(kit->spool, false, &sel, note, &seen, NULL), FM_OK);
    cr_assert_eq(seen.n, 300);
    seen = (struct seen){.n = 0};
    sel.limit = 7;
    cr_assert_eq(fm_spool_walk(kit->spool, false, &sel, note, &seen, NULL), FM_OK);
    cr_assert_eq(seen.n, 7);
}

BOTH(walks_over_dead_letters_with_their_reasons)
{
    kit_open(kit);
    kit_store(kit, "t", 1, 600);
    struct fm_settlement *list = calloc(600, sizeof *list);
    for (size_t i = 0; i < 600; i++)
        list[i] = (struct fm_settlement){
            .id = id_of(kit, 2 + i), .how = FM_SETTLE_DEAD, .reason = "422 no"};
    cr_assert_eq(fm_spool_settle(kit->spool, list, 600, NULL), FM_OK);
    free(list);
    kit_flush(kit);
    struct seen seen = {.n = 0};
    cr_assert_eq(fm_spool_walk(kit->spool, true, NULL, note, &seen, NULL), FM_OK);
    cr_assert_eq(seen.n, 600);
    uint64_t n = 0;
    struct fm_spool_select sel = {.limit = 510};
    cr_assert_eq(fm_spool_dead_retry(kit->spool, &sel, NULL, &n, NULL), FM_OK);
    cr_assert_eq(n, 510);
    kit_flush(kit);
    cr_assert_eq(kit_stats(kit).dead_records, 90);
    cr_assert_not_null(strstr(kit_drain(kit, "t"), "602:G(2-601,600,dead) 2:r1 3:r2"));
}

BOTH(settles_a_run_over_rows_with_gaps_and_over_what_was_dead_in_between)
{
    kit_open(kit);
    for (unsigned i = 0; i < 2; i++)
        kit_store(kit, "t", 1 + 100 * i, 100); /* 2 to 201 */
    settle_one(kit, 70, FM_SETTLE_DELIVERED);
    settle_one(kit, 130, FM_SETTLE_DEAD); /* its gap is 202 */
    cr_assert_eq(fm_spool_dead_retry(kit->spool, NULL, NULL, NULL, NULL), FM_OK);
    kit_flush(kit);
    uint64_t before = kit_stats(kit).streams[0].delivered;
    struct fm_settlement run = {.id = id_of(kit, 60), .n = 139, .how = FM_SETTLE_DELIVERED};
    for (int twice = 0; twice < 2; twice++) {
        cr_assert_eq(fm_spool_settle(kit->spool, &run, 1, NULL), FM_OK); /* 60 to 198 */
        kit_flush(kit);
        struct fm_spool_stats stats = kit_stats(kit);
        cr_assert_eq(stats.streams[0].delivered, before + 138);
        cr_assert_eq(stats.records, 59 + 3 + (stats.streams[0].assigned - 201));
    }
    run = (struct fm_settlement){.id = id_of(kit, 1), .n = 1000, .how = FM_SETTLE_DELIVERED};
    cr_assert_eq(fm_spool_settle(kit->spool, &run, 1, NULL), FM_OK); /* more than there are */
    kit_flush(kit);
    cr_assert_eq(kit_stats(kit).records, 0);
}

BOTH(drops_by_hand_with_a_limit_and_declares_it)
{
    kit_open(kit);
    kit_store(kit, "t", 1, 5);
    uint64_t n = 0;
    struct fm_spool_select sel = {.topic = "t", .limit = 3};
    cr_assert_eq(fm_spool_drop(kit->spool, &sel, &n, NULL), FM_OK);
    cr_assert_eq(n, 3);
    sel = (struct fm_spool_select){.topic = "t", .before_ms = 1};
    cr_assert_eq(fm_spool_drop(kit->spool, &sel, &n, NULL), FM_OK);
    cr_assert_eq(n, 0);
    kit_flush(kit);
    cr_assert_eq(kit_stats(kit).streams[0].lost, 3);
    cr_assert_str_eq(kit_drain(kit, "t"), "4:r3 5:r4 6:r5 7:G(1-3,3,operator)");
}

BOTH(writes_no_control_records_when_it_was_given_no_writer)
{
    kit->opts.control = NULL;
    kit_open(kit);
    kit_store(kit, "t", 1, 2);
    cr_assert_eq(fm_spool_declare(kit->spool, "t", 2, FM_GAP_TOO_LARGE, 5, NULL), FM_OK);
    kit_flush(kit);
    cr_assert_eq(kit_stats(kit).streams[0].lost, 2);
    cr_assert_str_eq(kit_drain(kit, "t"), "1:r1 2:r2");
}

static enum fm_code fails_twice(void *arg, const struct fm_spool_control *what,
                                struct fm_chunk **out, struct fm_err *err)
{
    int *left = arg;
    if ((*left)-- > 0)
        return fm_err_nomem(err);
    return kit_control(NULL, what, out, err);
}

BOTH(tries_again_when_a_control_record_cannot_be_rendered)
{
    int left = 2;
    kit->opts.control = fails_twice;
    kit->opts.control_arg = &left;
    kit_open(kit);
    kit_store(kit, "t", 1, 2);
    cr_assert_eq(kit_stats(kit).commit_failures, 2);
    left = 2;
    settle_one(kit, 2, FM_SETTLE_DEAD);
    cr_assert_str_eq(kit_drain(kit, "t"), "1:S 3:r2 4:G(2-2,1,dead)");
}

static void count_up(void *arg)
{
    __atomic_fetch_add((int *)arg, 1, __ATOMIC_SEQ_CST);
}

BOTH(groups_appends_and_reports_each_commit)
{
    int commits = 0;
    kit->opts.commit_ms = 500;
    kit->opts.on_commit = count_up;
    kit->opts.on_commit_arg = &commits;
    kit_open(kit);
    for (unsigned i = 0; i < 20; i++) {
        struct fm_chunk *chunk = kit_chunk("t", i, 1, 0);
        cr_assert_eq(fm_spool_append(kit->spool, &chunk, NULL), FM_OK);
    }
    cr_assert_eq(kit_stats(kit).records, 0, "not readable before the commit");
    int64_t until = fm_clock_ms() + 5000;
    /* Numbers are published first, then the callback is called. */
    while ((kit_stats(kit).records < 21 || __atomic_load_n(&commits, __ATOMIC_SEQ_CST) == 0) &&
           fm_clock_ms() < until)
        (void)usleep(5000);
    cr_assert_eq(kit_stats(kit).records, 21);
    cr_assert_leq(kit_stats(kit).commits, 3);
    cr_assert_geq(__atomic_load_n(&commits, __ATOMIC_SEQ_CST), 1);
}

BOTH(keeps_the_equation_through_a_random_life)
{
    srand(7);
    kit->opts.max_size = 60000;
    kit->opts.dead_max_size = 3000;
    kit_open(kit);
    for (unsigned i = 0; i < 300; i++) {
        struct fm_chunk *chunk = kit_chunk(i % 3 ? "a" : "b", i, 1 + (unsigned)rand() % 9, 300);
        if (fm_spool_append(kit->spool, &chunk, NULL) != FM_OK)
            fm_chunk_free(chunk);
        if (rand() % 4 == 0)
            cr_assert_eq(fm_spool_declare(kit->spool, "a", 1, FM_GAP_TOO_LARGE, 1, NULL), FM_OK);
        if (rand() % 2 == 0) {
            struct fm_spool_batch *batch = kit_read(kit, rand() % 2 ? "a" : "b", 7);
            for (size_t k = 0; k < batch->n; k++) {
                struct fm_settlement one = {.id = batch->items[k].id,
                                            .how =
                                                rand() % 5 ? FM_SETTLE_DELIVERED : FM_SETTLE_DEAD};
                if (rand() % 3 > 0)
                    cr_assert_eq(fm_spool_settle(kit->spool, &one, 1, NULL), FM_OK);
            }
            fm_spool_batch_free(kit->spool, batch);
        }
        if (rand() % 20 == 0)
            cr_assert_eq(fm_spool_dead_retry(kit->spool, NULL, NULL, NULL, NULL), FM_OK);
        kit_check_equation(kit);
        if (kit->opts.path != NULL && rand() % 30 == 0)
            kit_reopen(kit);
    }
    kit_flush(kit);
    (void)kit_drain(kit, "a");
    (void)kit_drain(kit, "b");
    cr_assert_eq(kit_stats(kit).records, 0);
}

Test(spool, frees_the_rows_of_a_batch_although_a_retried_record_begins_like_one)
{
    struct kit kit;
    kit_init(&kit, true);
    kit_open(&kit);
    kit_store(&kit, "t", 1, 3); /* numbers 2 to 4 */
    struct fm_settlement dead = {.id.seq = 2, .how = FM_SETTLE_DEAD, .reason = "x"};
    struct fm_spool_stats stats = kit_stats(&kit);
    memcpy(dead.id.stream, stats.streams[0].stream, sizeof dead.id.stream);
    cr_assert_eq(fm_spool_settle(kit.spool, &dead, 1, NULL), FM_OK);
    kit_flush(&kit);
    uint64_t n = 0;
    cr_assert_eq(fm_spool_dead_retry(kit.spool, NULL, NULL, &n, NULL), FM_OK);
    cr_assert_eq(n, 1);
    kit_flush(&kit);
    struct fm_spool_batch *batch = kit_read(&kit, "t", 100);
    cr_assert_eq(batch->n, 5);
    fm_spool_batch_free(kit.spool, batch);
    cr_assert_eq(fm_spool_drop(kit.spool, NULL, &n, NULL), FM_OK);
    cr_assert_eq(n, 4, "all but the gap record; %llu", (unsigned long long)n);
    kit_done(&kit);
}

Test(spool, takes_new_limits_while_running)
{
    struct kit kit;
    kit_init(&kit, false);
    kit.opts.sync_full = true;
    kit.opts.reserve = 65536;
    kit_open(&kit);
    for (unsigned i = 0; i < 20; i++)
        kit_store(&kit, "t", 1 + i, 1);
    cr_assert_eq(kit_stats(&kit).lost_total, 0);
    struct fm_spool_opts opts = {.max_size = 2000, .on_full = FM_SPOOL_DROP_OLDEST};
    cr_assert_eq(fm_spool_reconfigure(kit.spool, &opts, NULL), FM_OK);
    kit_flush(&kit);
    uint64_t lost = kit_stats(&kit).lost_total;
    cr_assert_gt(lost, 0, "the lower limit holds at once");
    kit_check_equation(&kit);
    char path[200];
    (void)snprintf(path, sizeof path, "%s/reserve", kit.dir);
    cr_assert_neq(access(path, F_OK), 0, "the reserve was given up");
    opts = (struct fm_spool_opts){.reserve = 4096, .on_full = FM_SPOOL_DROP_OLDEST};
    cr_assert_eq(fm_spool_reconfigure(kit.spool, &opts, NULL), FM_OK);
    cr_assert_eq(access(path, F_OK), 0);
    kit_store(&kit, "t", 30, 20);
    cr_assert_eq(kit_stats(&kit).lost_total, lost, "and the higher one again");
    kit_done(&kit);
}

Test(spool, drops_the_last_declarations_of_a_topic_by_name_and_makes_good_later)
{
    struct kit kit;
    char want[200], old[FM_STREAM_LEN + 1];
    uint64_t n = 0;
    struct fm_spool_select all = {.limit = 0}, wrong = {.topic = "wrong"};
    kit_init(&kit, false);
    kit_open(&kit);
    kit_store(&kit, "wrong", 1, 2);
    struct fm_spool_stats stats = kit_stats(&kit);
    memcpy(old, stats.streams[0].stream, sizeof old);
    cr_assert_eq(fm_spool_drop(kit.spool, &wrong, &n, NULL), FM_OK);
    cr_assert_eq(n, 3);
    kit_flush(&kit);
    cr_assert_eq(kit_stats(&kit).records, 1, "the gap is left");
    cr_assert_eq(fm_spool_drop(kit.spool, &all, &n, NULL), FM_OK);
    cr_assert_eq(n, 0, "only a drop that names the topic takes it");
    cr_assert_eq(fm_spool_drop(kit.spool, &wrong, &n, NULL), FM_OK);
    cr_assert_eq(n, 1);
    kit_flush(&kit);
    cr_assert_eq(kit_stats(&kit).records, 0);
    kit_reopen(&kit);
    cr_assert_eq(kit_stats(&kit).records, 0);
    kit_store(&kit, "wrong", 7, 1);
    (void)snprintf(want, sizeof want, "1:S<%s:4 2:G(1-4,4,operator,%s) 3:r7", old, old);
    cr_assert_str_eq(kit_drain(&kit, "wrong"), want);
    kit_done(&kit);
}

Test(spool, tells_how_many_topics_there_are_oldest_first)
{
    struct kit kit;
    struct fm_spool_topic topics[3];
    size_t n = 0;
    kit_init(&kit, true);
    kit_open(&kit);
    kit_store(&kit, "a", 1, 1);
    kit_store(&kit, "b", 2, 1);
    kit_store(&kit, "c", 3, 1);
    kit_store(&kit, "a", 4, 1);
    fm_spool_topics(kit.spool, topics, 2, &n);
    cr_assert_eq(n, 3);
    cr_assert_str_eq(topics[0].topic, "a");
    cr_assert_str_eq(topics[1].topic, "b");
    kit_deliver(&kit, kit_read(&kit, "a", 2));
    fm_spool_topics(kit.spool, topics, 3, &n);
    cr_assert_eq(n, 3);
    cr_assert_str_eq(topics[0].topic, "b");
    cr_assert_str_eq(topics[2].topic, "a");
    cr_assert_eq(kit_stats(&kit).n_streams_total, 3);
    kit_done(&kit);
}

static bool dawdle(const struct fm_spool_entry *entry, void *arg)
{
    (void)entry;
    const int64_t *until = arg;
    while (fm_clock_ms() < *until)
        (void)usleep(1000);
    return true;
}

Test(spool, ends_a_walk_at_its_time_limit)
{
    struct kit kit;
    struct fm_err err = {0};
    kit_init(&kit, true);
    kit_open(&kit);
    kit_store(&kit, "t", 1, 600); /* more than a page */
    struct fm_spool_select select = {.timeout_ms = 1000};
    int64_t until = fm_clock_ms() + 1200;
    cr_assert_eq(fm_spool_walk(kit.spool, false, &select, dawdle, &until, &err), FM_ETIMEOUT);
    cr_assert_not_null(strstr(fm_err_text(&err), "more time"));
    kit_done(&kit);
}
