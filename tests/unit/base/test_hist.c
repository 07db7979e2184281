#include <criterion/criterion.h>
#include <pthread.h>

#include "base/hist.h"

Test(hist, a_bound_belongs_to_its_own_bucket)
{
    struct fm_hist hist = {0};
    fm_hist_add(&hist, 0);
    fm_hist_add(&hist, 1000); /* le = 1 ms */
    fm_hist_add(&hist, 1001);
    fm_hist_add(&hist, 2000);
    cr_assert_eq(hist.count[0], 2);
    cr_assert_eq(hist.count[1], 2);
    cr_assert_eq(hist.total, 4);
    cr_assert_eq(hist.sum_us, 4001);
}

Test(hist, what_is_above_all_bounds_is_counted)
{
    struct fm_hist hist = {0};
    fm_hist_add(&hist, UINT64_C(131072000));
    fm_hist_add(&hist, UINT64_C(131072001));
    fm_hist_add(&hist, UINT64_MAX / 2);
    cr_assert_eq(hist.count[FM_HIST_BUCKETS - 2], 1);
    cr_assert_eq(hist.count[FM_HIST_BUCKETS - 1], 2);
    cr_assert_eq(fm_hist_bound_ms(FM_HIST_BUCKETS - 2), 131072);
    cr_assert_eq(fm_hist_bound_ms(FM_HIST_BUCKETS - 1), 0);
}

static void *add_many(void *arg)
{
    for (int i = 0; i < 10000; i++)
        fm_hist_add(arg, 500);
    return NULL;
}

Test(hist, threads_lose_no_sample)
{
    struct fm_hist hist = {0};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, add_many, &hist), 0);
    for (int i = 0; i < 4; i++)
        (void)pthread_join(threads[i], NULL);
    cr_assert_eq(hist.total, 40000);
    cr_assert_eq(hist.count[0], 40000);
    cr_assert_eq(hist.sum_us, 20000000);
}
