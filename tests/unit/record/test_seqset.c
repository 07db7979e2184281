#include <criterion/criterion.h>
#include <stdlib.h>

#include "record/seqset_priv.h"

static struct fm_seqset set;
static size_t bytes;

static void start_set(void)
{
    bytes = 0;
    fm_seqset_init(&set, &bytes);
}

static void end_set(void)
{
    fm_seqset_clear(&set);
}

TestSuite(seqset, .init = start_set, .fini = end_set, .timeout = 60);

Test(seqset, costs_little_when_numbers_come_in_order)
{
    for (uint64_t seq = 1; seq <= 1000000; seq++)
        cr_assert_eq(fm_seqset_add(&set, seq), FM_SEQ_NEW);
    cr_assert_eq(set.count, 1000000);
    cr_assert_lt(bytes, 4096);
    cr_assert_eq(fm_seqset_first(&set), 1);
    cr_assert_eq(fm_seqset_last(&set), 1000000);
    cr_assert_eq(fm_seqset_add(&set, 77777), FM_SEQ_HAVE);
}

Test(seqset, costs_little_again_once_the_holes_are_filled)
{
    for (uint64_t seq = 0; seq < 400000; seq += 2)
        cr_assert_eq(fm_seqset_add(&set, seq), FM_SEQ_NEW);
    cr_assert_lt(bytes, 100000, "a bit for each number");
    for (uint64_t seq = 399999; seq < 400000; seq -= 2)
        cr_assert_eq(fm_seqset_add(&set, seq), FM_SEQ_NEW);
    cr_assert_lt(bytes, 20000);
    uint64_t a, b;
    cr_assert_not(fm_seqset_absent(&set, 0, 399999, &a, &b));
    cr_assert(fm_seqset_absent(&set, 5, 500000, &a, &b));
    cr_assert_eq(a, 400000);
    cr_assert_eq(b, 500000);
}

Test(seqset, agrees_with_a_table_whatever_comes)
{
    enum { N = 200000 };
    bool *table = calloc(N, sizeof *table);
    unsigned seed = 7;
    for (int round = 0; round < 3; round++) {
        unsigned span = round == 0 ? 300 : N;
        for (int i = 0; i < 60000; i++) {
            unsigned n = (unsigned)rand_r(&seed) % span;
            cr_assert_eq(fm_seqset_add(&set, n), table[n] ? FM_SEQ_HAVE : FM_SEQ_NEW);
            table[n] = true;
        }
        uint64_t a, b, at = 0;
        for (; fm_seqset_absent(&set, at, N - 1, &a, &b); at = b + 1) {
            for (uint64_t n = at; n < a; n++)
                cr_assert(table[n] && fm_seqset_has(&set, n));
            for (uint64_t n = a; n <= b; n++)
                cr_assert(!table[n] && !fm_seqset_has(&set, n));
        }
        for (uint64_t n = at; n < N; n++)
            cr_assert(table[n]);
    }
    free(table);
}

Test(seqset, knows_blocks_far_apart)
{
    uint64_t a, b;
    cr_assert_eq(fm_seqset_first(&set), 0);
    cr_assert(fm_seqset_absent(&set, 1, INT64_MAX, &a, &b));
    cr_assert(a == 1 && b == INT64_MAX);
    cr_assert_eq(fm_seqset_add(&set, INT64_MAX), FM_SEQ_NEW);
    cr_assert_eq(fm_seqset_add(&set, 65535), FM_SEQ_NEW);
    cr_assert_eq(fm_seqset_add(&set, 65536), FM_SEQ_NEW);
    cr_assert_eq(fm_seqset_first(&set), 65535);
    cr_assert(fm_seqset_absent(&set, 65535, INT64_MAX, &a, &b));
    cr_assert_eq(a, 65537);
    cr_assert_eq(b, (uint64_t)INT64_MAX - 1);
}
