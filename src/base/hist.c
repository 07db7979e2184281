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

uint64_t fm_hist_quantile_ms(const struct fm_hist *hist, double q)
{
    uint64_t total = hist->total;
    if (total == 0)
        return 0;
    uint64_t want = (uint64_t)(q * (double)total);
    if (want >= total)
        want = total - 1;
    uint64_t seen = 0;
    for (unsigned i = 0; i + 1 < FM_HIST_BUCKETS; i++) {
        seen += hist->count[i];
        if (seen > want)
            return fm_hist_bound_ms(i);
    }
    return fm_hist_bound_ms(FM_HIST_BUCKETS - 2);
}
