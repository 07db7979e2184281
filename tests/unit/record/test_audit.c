#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record/audit.h"

#define S1 "0000000000000001"
#define S2 "0000000000000002"
#define S3 "0000000000000003"

static struct fm_audit *audit;
static int64_t offset;

static void start_audit(void)
{
    cr_assert_eq(fm_audit_new(&audit, 0, NULL), FM_OK);
}

static void end_audit(void)
{
    fm_audit_free(audit);
}

TestSuite(audit, .init = start_audit, .fini = end_audit, .timeout = 60);

static void put_at(int32_t partition, int64_t at, const char *key, const char *value)
{
    const struct fm_audit_record rec = {.topic = "jmx",
                                        .partition = partition,
                                        .offset = at,
                                        .key = key,
                                        .key_len = key != NULL ? strlen(key) : 0,
                                        .value = value,
                                        .value_len = value != NULL ? strlen(value) : 0};
    cr_assert_eq(fm_audit_add(audit, &rec, NULL), FM_OK);
}

static const char *make(const char *agent, const char *stream, uint64_t seq, const char *rest)
{
    static char text[512];
    (void)snprintf(text, sizeof text,
                   "{\"v\":1,\"agent\":\"%s\",\"stream\":\"%s\",\"seq\":%llu,\"timestamp\":7%s}",
                   agent, stream, (unsigned long long)seq, rest);
    return text;
}

static void put(const char *agent, const char *stream, uint64_t seq, const char *rest)
{
    put_at(0, offset++, "k", make(agent, stream, seq, rest));
}

static void put_range(const char *stream, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq <= to; seq++)
        put("a", stream, seq, "");
}

static const char *gap(int64_t from, int64_t to, int64_t count, const char *reason)
{
    static char text[256];
    (void)snprintf(text, sizeof text,
                   ",\"type\":\"gap\",\"from_seq\":%lld,\"to_seq\":%lld,\"count\":%lld,"
                   "\"reason\":\"%s\"",
                   (long long)from, (long long)to, (long long)count, reason);
    return text;
}

static const struct fm_audit_stream *finish(const char *stream)
{
    const struct fm_audit_stream *s;
    cr_assert_eq(fm_audit_finish(audit, NULL), FM_OK);
    for (size_t i = 0; (s = fm_audit_stream(audit, i)) != NULL; i++)
        if (strcmp(s->stream, stream) == 0)
            break;
    cr_assert_not_null(s, "no stream %s", stream);
    cr_assert_eq(s->highest + s->beyond, s->seen + s->lost + s->pending + s->cut + s->missing);
    return s;
}

/* The history that design section 5 tells. */
static void tell_example(bool with_gap_13, bool with_retry)
{
    put("a", S1, 1, ",\"type\":\"start\",\"version\":\"0.1.0\"");
    put("a", S1, 2, ",\"type\":\"target\",\"state\":\"up\",\"error\":null");
    put_range(S1, 3, 10);
    put("a", S1, 11, ",\"type\":\"start\",\"version\":\"0.1.0\"");
    put("a", S1, 12, "");
    put("a", S1, 16, "");
    put_range(S1, 18, 20);
    put("a", S1, 21, with_gap_13 ? gap(13, 15, 3, "full") : "");
    put("a", S1, 22, gap(17, 17, 1, "dead"));
    if (with_retry)
        put("a", S1, 17, "");
    put("b", S2, 1, ",\"type\":\"start\",\"prev_stream\":\"" S1 "\",\"prev_last_seq\":22");
    put("b", S2, 2, "");
    put("b", S3, 1, ",\"type\":\"start\",\"prev_stream\":\"" S2 "\",\"prev_last_seq\":null");
    put("b", S3, 2,
        ",\"type\":\"gap\",\"lost_stream\":\"" S2 "\",\"from_seq\":null,\"to_seq\":null,"
        "\"count\":null,\"reason\":\"damage\"");
}

Test(audit, accounts_for_the_example_of_the_design)
{
    tell_example(true, true);
    const struct fm_audit_stream *s = finish(S1);
    cr_assert_str_eq(s->agent, "a");
    cr_assert_str_eq(s->topic, "jmx");
    cr_assert_eq(s->first, 1);
    cr_assert_eq(s->last, 22);
    cr_assert_eq(s->seen, 19);
    cr_assert_eq(s->declared[FM_AUDIT_FULL], 3);
    cr_assert_eq(s->declared[FM_AUDIT_DEAD], 1);
    cr_assert_eq(s->lost, 3, "17 was declared and then seen");
    cr_assert_eq(s->missing, 0);
    cr_assert_eq(s->disordered, 1, "17 came behind 22");
    s = finish(S2);
    cr_assert(s->extent_unknown);
    cr_assert_str_eq(s->agent, "b");
    cr_assert_str_eq(s->prev_stream, S1);
    cr_assert_eq(s->prev_last_seq, 22);
    s = finish(S3);
    cr_assert_not(s->extent_unknown);
    cr_assert_eq(s->seen, 2);
    const struct fm_audit_totals *t = fm_audit_totals(audit);
    cr_assert_eq(t->streams, 3);
    cr_assert_eq(t->missing, 0);
    cr_assert(t->extent_unknown);
    cr_assert_str_eq(fm_audit_stream(audit, 0)->stream, S1);
    cr_assert_null(fm_audit_stream(audit, 3));
}

Test(audit, names_what_nobody_declared)
{
    tell_example(false, false);
    const struct fm_audit_stream *s = finish(S1);
    cr_assert_eq(s->missing, 3);
    cr_assert_eq(s->lost, 1);
    cr_assert_eq(s->n_ranges, 1);
    cr_assert_eq(s->ranges[0].from, 13);
    cr_assert_eq(s->ranges[0].to, 15);
}

Test(audit, knows_the_end_of_a_stream_from_its_successor_and_its_gaps)
{
    put("b", S2, 1, ",\"type\":\"start\",\"prev_stream\":\"" S1 "\",\"prev_last_seq\":22");
    put("a", S1, 1, "");
    cr_assert_eq(finish(S1)->missing, 21);
    cr_assert_str_eq(finish(S1)->agent, "a", "not who named it");
    put("a", S1, 2, gap(20, 30, 5, "age"));
    cr_assert_eq(finish(S1)->highest, 30);
    cr_assert_eq(finish(S1)->missing, 23, "3 to 19 and six that the gap does not cover");
}

Test(audit, counts_duplicates_once_and_hears_a_gap_once)
{
    put("a", S1, 1, "");
    put("a", S1, 4, gap(2, 3, 1, "full"));
    put("a", S1, 4, gap(2, 3, 1, "full"));
    put("a", S1, 1, "");
    const struct fm_audit_stream *s = finish(S1);
    cr_assert_eq(s->duplicates, 2);
    cr_assert_eq(s->declared[FM_AUDIT_FULL], 1);
    cr_assert_eq(s->missing, 1);
    cr_assert_eq(s->disordered, 0, "a repeated record is not out of order");
}

Test(audit, takes_no_gap_that_makes_no_sense)
{
    put("a", S1, 5, gap(2, 4, 4, "full"));
    put("a", S1, 6, gap(4, 2, 1, "full"));
    put("a", S1, 7, ",\"type\":\"gap\",\"from_seq\":\"1\",\"to_seq\":4,\"count\":4");
    put("a", S1, 8, gap(0, 4, 4, "full"));
    put("a", S1, 9,
        ",\"type\":\"gap\",\"lost_stream\":\"x\",\"from_seq\":1,\"to_seq\":4,\"count\":4");
    put("a", S1, 10, ",\"type\":\"gap\",\"lost_stream\":7,\"count\":[4]");
    put("a", S1, 11, ",\"type\":\"gap\",\"reason\":\"full\"");
    const struct fm_audit_stream *s = finish(S1);
    cr_assert_eq(s->missing, 4);
    cr_assert_not(s->extent_unknown);
    cr_assert_eq(fm_audit_totals(audit)->malformed, 7);
}

Test(audit, reads_respelt_numbers_and_counts_strangers)
{
    put_at(0, 0, NULL, "{\"v\":1.0,\"agent\":\"a\",\"stream\":\"" S1 "\",\"seq\":1.0}");
    put_at(0, 1, NULL, "{\"seq\":2e0,\"stream\":\"" S1 "\",\"agent\":\"a\",\"v\":1}");
    static const char *const strangers[] = {
        NULL,
        "",
        "17",
        "not JSON",
        "{\"v\":1,\"agent\":\"a\",\"stream\":\"\",\"seq\":0}",
        "{\"v\":1,\"agent\":\"a\",\"stream\":\"" S1 "\",\"seq\":0}",
        "{\"v\":1,\"agent\":\"a\",\"stream\":\"" S1 "\",\"seq\":3.5}",
        "{\"v\":1,\"agent\":\"a\",\"stream\":\"" S1 "\",\"seq\":99999999999999999999}",
        "{\"v\":1,\"agent\":\"a\",\"stream\":\"" S1 "\",\"seq\":\"3\"}",
        "{\"v\":1,\"agent\":\"a\",\"stream\":\"000000000000000G\",\"seq\":3}",
        "{\"agent\":\"a\",\"stream\":\"" S1 "\",\"seq\":3}",
        "{\"v\":1,\"agent\":\"\",\"stream\":\"" S1 "\",\"seq\":3}",
        "{\"v\":1,\"agent\":\"a\",\"stream\":\"" S1 "\",\"seq\":3",
        "{\"v\":1,\"agent\":\"a\",\"stream\":\"" S1 "\",\"seq\":3} 1",
    };
    size_t n = sizeof strangers / sizeof strangers[0];
    for (size_t i = 0; i < n; i++)
        put_at(0, (int64_t)i + 2, NULL, strangers[i]);
    cr_assert_eq(finish(S1)->seen, 2);
    cr_assert_eq(fm_audit_totals(audit)->foreign, n);
}

static void put_headers(const char *seq, const char *value)
{
    const struct fm_header headers[] = {{"x", 1, NULL, 0},
                                        {"firstmile-agent", 15, "a", 1},
                                        {"firstmile-stream", 16, S1, 16},
                                        {"firstmile-seq", 13, seq, strlen(seq)}};
    const struct fm_audit_record rec = {.topic = "jmx",
                                        .offset = offset++,
                                        .value = value,
                                        .value_len = strlen(value),
                                        .headers = headers,
                                        .n_headers = 4};
    cr_assert_eq(fm_audit_add(audit, &rec, NULL), FM_OK);
}

Test(audit, knows_records_by_their_headers)
{
    put_headers("1", "any text");
    put_headers("2", make("b", S2, 9, gap(1, 8, 8, "full"))); /* one of ours, sent by produce */
    put_headers("6", make("a", S1, 6, gap(3, 4, 2, "full"))); /* an agent's own */
    put_headers("0", "x");
    put_headers("99999999999999999999", "x");
    put_headers("-7", "x");
    const struct fm_audit_stream *s = finish(S1);
    cr_assert_eq(s->seen, 3);
    cr_assert_eq(s->lost, 2);
    cr_assert_eq(s->missing, 1);
    cr_assert_eq(fm_audit_totals(audit)->streams, 1);
    cr_assert_eq(fm_audit_totals(audit)->foreign, 3);
}

Test(audit, forgives_what_retention_cut)
{
    put_at(0, 100, "k", make("a", S1, 50, ""));
    put_at(0, 101, "k", make("a", S1, 52, ""));
    const struct fm_audit_stream *s = finish(S1);
    cr_assert_eq(s->cut, 49);
    cr_assert_eq(s->missing, 1);
    cr_assert_eq(s->ranges[0].from, 51);
    cr_assert_eq(fm_audit_partition(audit, "jmx", 1, 7, NULL), FM_OK);
    s = finish(S1);
    cr_assert_eq(s->missing, 0, "partition 1 lost its beginning and has none of the stream");
    cr_assert_eq(s->cut, 50);
    cr_assert_eq(fm_audit_partition(audit, "jmx", 1, 0, NULL), FM_OK);
    cr_assert_eq(fm_audit_partition(audit, "jmx", 0, 0, NULL), FM_OK);
    cr_assert_eq(finish(S1)->missing, 50);
    cr_assert_eq(fm_audit_partition(audit, "other", 0, 9, NULL), FM_OK);
    cr_assert_eq(finish(S1)->missing, 50, "another topic's retention");
}

Test(audit, prefers_to_excuse_what_retention_cannot_have_cut)
{
    put_at(0, 100, "k", make("a", S1, 50, ""));
    put_at(0, 101, "k", make("a", S1, 55, gap(10, 54, 4, "full")));
    const struct fm_audit_stream *s = finish(S1);
    cr_assert_eq(s->missing, 0);
    cr_assert_eq(s->lost, 4);
    cr_assert_eq(s->cut, 49);
}

Test(audit, subtracts_what_the_spool_holds)
{
    const char *held = make("a", S1, 9, gap(4, 5, 2, "age"));
    cr_assert_eq(fm_audit_pending(audit, "jmx", S1, 9, held, strlen(held), NULL), FM_OK);
    cr_assert_eq(fm_audit_pending(audit, "jmx", S1, 3, NULL, 0, NULL), FM_OK);
    cr_assert_eq(fm_audit_pending(audit, "jmx", S1, 900, NULL, 0, NULL), FM_OK);
    cr_assert_eq(fm_audit_pending(audit, "jmx", S2, 1, NULL, 0, NULL), FM_OK);
    put("a", S1, 1, "");
    put("a", S1, 9, gap(4, 5, 2, "age")); /* sent meanwhile: heard once */
    put("a", S1, 10, "");
    const struct fm_audit_stream *s = finish(S1);
    cr_assert_eq(s->declared[FM_AUDIT_AGE], 2);
    cr_assert_eq(s->pending, 2, "3 and 900");
    cr_assert_eq(s->beyond, 1);
    cr_assert_eq(s->highest, 10);
    cr_assert_eq(s->lost, 2);
    cr_assert_eq(s->missing, 4, "2, 6, 7, 8, and nothing up to 900");
    s = finish(S2);
    cr_assert_eq(s->pending, 1, "nothing of it has been sent");
    cr_assert_eq(s->highest, 0);
    cr_assert_eq(fm_audit_totals(audit)->pending, 3);
}

Test(audit, counts_each_number_in_the_spool_above_the_highest)
{
    put("a", S1, 1, "");
    put("a", S1, 2, "");
    for (uint64_t seq = 2; seq <= 70000; seq++)
        if (seq % 10 != 7)
            cr_assert_eq(fm_audit_pending(audit, "jmx", S1, seq, NULL, 0, NULL), FM_OK);
    const struct fm_audit_stream *s = finish(S1);
    cr_assert_eq(s->pending, 70000 - 2 - 7000);
    cr_assert_eq(s->beyond, s->pending);
    cr_assert_eq(s->missing, 0);
    put("a", S1, 70000, "");
    s = finish(S1);
    cr_assert_eq(s->pending, 70000 - 3 - 7000);
    cr_assert_eq(s->missing, 7000);
}

Test(audit, can_be_told_anew_what_the_spool_holds)
{
    put("a", S1, 1, "");
    put("a", S1, 9, gap(4, 5, 2, "age"));
    cr_assert_eq(fm_audit_pending(audit, "jmx", S1, 2, NULL, 0, NULL), FM_OK);
    cr_assert_eq(fm_audit_pending(audit, "jmx", S1, 3, NULL, 0, NULL), FM_OK);
    cr_assert_eq(finish(S1)->pending, 2);
    fm_audit_forget_pending(audit);
    const char *held = make("a", S1, 9, gap(4, 5, 2, "age"));
    cr_assert_eq(fm_audit_pending(audit, "jmx", S1, 9, held, strlen(held), NULL), FM_OK);
    cr_assert_eq(fm_audit_pending(audit, "jmx", S1, 3, NULL, 0, NULL), FM_OK);
    const struct fm_audit_stream *s = finish(S1);
    cr_assert_eq(s->pending, 1);
    cr_assert_eq(s->declared[FM_AUDIT_AGE], 2, "heard once");
    cr_assert_eq(s->missing, 4, "2, 6, 7, 8");
}

Test(audit, takes_only_missing_numbers_after_the_freeze)
{
    put("a", S1, 1, "");
    put("a", S1, 8, "");
    fm_audit_freeze(audit);
    put("a", S1, 3, "");
    put("a", S1, 8, "");
    put("a", S1, 12, "");
    put("a", S1, 13, gap(4, 12, 2, "full"));
    put("a", S1, 13, gap(4, 12, 2, "full"));
    put("c", S3, 5, "");
    const struct fm_audit_stream *s = finish(S1);
    cr_assert_eq(s->highest, 8);
    cr_assert_eq(s->seen, 3);
    cr_assert_eq(s->duplicates, 0);
    cr_assert_eq(s->lost, 2);
    cr_assert_eq(s->missing, 3);
    cr_assert_eq(fm_audit_totals(audit)->streams, 1);
}

Test(audit, judges_order_by_key_and_partition)
{
    put_at(0, 0, "x", make("a", S1, 2, ""));
    put_at(1, 0, "x", make("a", S1, 1, ""));
    put_at(0, 1, "y", make("a", S1, 3, ""));
    put_at(0, 2, "x", make("a", S1, 5, ""));
    put_at(0, 3, "y", make("a", S1, 4, ""));
    put_at(0, 4, NULL, make("a", S1, 6, ""));
    cr_assert_eq(finish(S1)->disordered, 0);
    put_at(0, 5, "x", make("a", S1, 9, ""));
    put_at(0, 6, "x", make("a", S1, 8, ""));
    put_at(0, 7, NULL, make("a", S1, 7, ""));
    cr_assert_eq(finish(S1)->disordered, 1);
}

Test(audit, is_bounded_and_survives_absurd_numbers)
{
    put("a", S1, INT64_MAX, gap(1, INT64_MAX, INT64_MAX, "full"));
    put("a", S2, INT64_MAX, "");
    cr_assert_eq(finish(S1)->missing, 0);
    cr_assert_eq(finish(S2)->missing, (uint64_t)INT64_MAX - 1);
    fm_audit_free(audit);
    cr_assert_eq(fm_audit_new(&audit, 1 << 20, NULL), FM_OK);
    enum fm_code code = FM_OK;
    for (uint64_t i = 1; code == FM_OK && i < 100000; i++) {
        const char *value = make("a", S1, i * 70000, "");
        const struct fm_audit_record rec = {
            .topic = "t", .value = value, .value_len = strlen(value)};
        code = fm_audit_add(audit, &rec, NULL);
    }
    cr_assert_eq(code, FM_ELIMIT);
}

Test(audit, keeps_a_bounded_list_of_ranges)
{
    for (uint64_t i = 1; i <= 3000; i++)
        put("a", S1, i * 2, "");
    const struct fm_audit_stream *s = finish(S1);
    cr_assert_eq(s->missing, 3000);
    cr_assert_eq(s->all_ranges, 3000);
    cr_assert_eq(s->n_ranges, FM_AUDIT_RANGES);
}

/* ---- against a model that has a cell for each number and tries every way to excuse ---- */

enum { NUMBERS = 40, GAPS = 5 };

struct model {
    bool seen[NUMBERS + 1];
    struct {
        int from, to, count;
    } gaps[GAPS];
    int n_gaps;
    int holder[GAPS][NUMBERS + 1]; /* numbers that a gap excuses */
    int used[GAPS];
};

static bool excuse(struct model *m, int number, bool *tried)
{
    for (int g = 0; g < m->n_gaps; g++) {
        if (tried[g] || number < m->gaps[g].from || number > m->gaps[g].to)
            continue;
        tried[g] = true;
        if (m->used[g] < m->gaps[g].count) {
            m->holder[g][m->used[g]++] = number;
            return true;
        }
        for (int i = 0; i < m->used[g]; i++)
            if (excuse(m, m->holder[g][i], tried)) {
                m->holder[g][i] = number;
                return true;
            }
    }
    return false;
}

static void compare_with_model(unsigned seed)
{
    struct model m = {.n_gaps = rand_r(&seed) % (GAPS + 1)};
    int top = NUMBERS - GAPS, missing = 0, seen = 0;
    for (int g = 0; g < m.n_gaps; g++) {
        int from = 1 + rand_r(&seed) % top, to = from + rand_r(&seed) % (top - from + 1);
        m.gaps[g].from = from;
        m.gaps[g].to = to;
        m.gaps[g].count = rand_r(&seed) % (to - from + 2);
        m.seen[top + g + 1] = true;
    }
    for (int i = 1; i <= top; i++)
        m.seen[i] = i == top || rand_r(&seed) % 3 == 0;
    int order[NUMBERS], n = 0;
    for (int i = 1; i <= top + m.n_gaps; i++)
        if (m.seen[i])
            order[n++] = i;
    for (int i = n - 1; i > 0; i--) {
        int other = rand_r(&seed) % (i + 1), kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
    for (int i = 0; i < n; i++) {
        int g = order[i] - top - 1;
        put("a", S1, (uint64_t)order[i],
            g >= 0 ? gap(m.gaps[g].from, m.gaps[g].to, m.gaps[g].count, "full") : "");
    }
    for (int i = 1; i <= top + m.n_gaps; i++) {
        bool tried[GAPS] = {false};
        seen += m.seen[i];
        missing += !m.seen[i] && !excuse(&m, i, tried);
    }
    const struct fm_audit_stream *s = finish(S1);
    cr_assert_eq(s->seen, (uint64_t)seen);
    cr_assert_eq(s->missing, (uint64_t)missing, "seed %u: %llu, not %d", seed,
                 (unsigned long long)s->missing, missing);
}

Test(audit, agrees_with_a_model_on_random_histories)
{
    for (unsigned seed = 1; seed <= 3000; seed++) {
        offset = 0;
        compare_with_model(seed);
        fm_audit_free(audit);
        start_audit();
    }
}

/* ---- behind the prefix of a schema registry ---- */

static void put_bytes(const void *value, size_t len)
{
    const struct fm_audit_record rec = {
        .topic = "jmx", .offset = offset++, .value = value, .value_len = len};
    cr_assert_eq(fm_audit_add(audit, &rec, NULL), FM_OK);
}

#define PREFIX "\0\0\0\0\7"
#define AVRO_ID(seq) PREFIX "\2a\40" S1 seq
#define NULLS "\0\0\0\0\0\0\0"
#define BYTES(text) put_bytes(text, sizeof(text) - 1)

Test(audit, reads_avro_behind_the_prefix)
{
    BYTES(AVRO_ID("\2") "\12start" NULLS "\2"
                        "rest"); /* 1 */
    BYTES(AVRO_ID("\4") "\0" NULLS "\2"); /* 2: data */
    BYTES(AVRO_ID("\14") "\6gap\2\6\2\12\2\6\2\10full\0\0\0\2"); /* 6: gap 3-5 */
    cr_assert_eq(fm_audit_finish(audit, NULL), FM_OK);
    const struct fm_audit_stream *s = fm_audit_stream(audit, 0);
    cr_assert_not_null(s);
    cr_expect_str_eq(s->agent, "a");
    cr_expect_str_eq(s->stream, S1);
    cr_expect_eq(s->seen, 3);
    cr_expect_eq(s->lost, 3);
    cr_expect_eq(s->declared[FM_AUDIT_FULL], 3);
    cr_expect_eq(s->missing, 0);
    cr_expect_eq(fm_audit_totals(audit)->foreign, 0);
}

Test(audit, reads_other_streams_of_avro_control_records)
{
    BYTES(PREFIX "\2a\40" S2 "\2"
                 "\12start\0\0\0\0\0\2\40" S1 "\2\10"
                 "\2"); /* prev 1, 4 */
    BYTES(PREFIX "\2a\40" S2 "\4"
                 "\6gap\2\2\2\10\2\10\2\10dead\2\40" S1 "\0\0\2");
    cr_assert_eq(fm_audit_finish(audit, NULL), FM_OK);
    cr_expect_eq(fm_audit_totals(audit)->streams, 2);
    cr_expect_eq(fm_audit_totals(audit)->lost, 4);
    cr_expect_eq(fm_audit_totals(audit)->missing, 0);
}

Test(audit, reads_json_behind_the_prefix)
{
    BYTES(PREFIX "{\"agent\":\"a\",\"stream\":\"" S1 "\",\"seq\":4,\"type\":\"gap\","
                 "\"from_seq\":1,\"to_seq\":3,\"count\":3,\"reason\":\"age\","
                 "\"lost_stream\":\"" S2 "\",\"prev_stream\":null,\"prev_last_seq\":null,"
                 "\"v\":1}");
    cr_assert_eq(fm_audit_finish(audit, NULL), FM_OK);
    cr_expect_eq(fm_audit_totals(audit)->streams, 2);
    cr_expect_eq(fm_audit_totals(audit)->lost, 3, "of the stream that it names");
    cr_expect_eq(fm_audit_totals(audit)->missing, 3, "of its own");
}

Test(audit, takes_other_bytes_behind_a_prefix_for_foreign)
{
    BYTES(PREFIX);
    BYTES(PREFIX "{\"agent\":1}");
    BYTES(PREFIX "\2a\40" S1 "\2"); /* ends early */
    BYTES(AVRO_ID("\1") "\0" NULLS "\2"); /* seq -1 */
    BYTES(AVRO_ID("\0") "\0" NULLS "\2"); /* seq 0 */
    BYTES(AVRO_ID("\2") "\0" NULLS "\0"); /* version 0 */
    BYTES(AVRO_ID("\2") "\0\4" NULLS "\2"); /* a branch that is none */
    BYTES(PREFIX "\2a\36"
                 "000000000000001"
                 "\2\0" NULLS "\2"); /* no stream */
    BYTES(PREFIX "\377\377\377\377\377\377\377\377\377\377\377"); /* a number without end */
    BYTES(PREFIX "\377\377\377\377\17x"); /* longer than it is */
    BYTES("\1\0\0\0\7\2a\40" S1 "\2\0" NULLS "\2"); /* another prefix */
    cr_assert_eq(fm_audit_finish(audit, NULL), FM_OK);
    cr_expect_eq(fm_audit_totals(audit)->foreign, 11);
    cr_expect_eq(fm_audit_totals(audit)->streams, 0);
}
