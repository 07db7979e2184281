#include "base/hist.h"

uint64_t fm_hist_bound_ms(unsigned bucket)
{
    return bucket + 1 >= FM_HIST_BUCKETS ? 0 : UINT64_C(1) << bucket;
}

void fm_hist_add(struct fm_hist *hist, uint64_t us)
{
    unsigned bucket = 0;
    while (bucket + 1 < FM_HIST_BUCKETS && us > fm_hist_bound_ms(bucket) * 1000)
        bucket++;
    hist->count[bucket]++;
    hist->sum_us += us;
    hist->total++;
}
