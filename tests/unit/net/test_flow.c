/* What the end of a request teaches about the way. */
#include <criterion/criterion.h>

#include "net/call_priv.h"

static void ends(struct fm_client *client, enum fm_http_failure failure, bool lost,
                 unsigned segment)
{
    struct fm_call call = {.client = client, .lost = lost, .segment = segment};
    const struct fm_http_answer answer = {.failure = failure};
    fm_net_flow_ended(&call, &answer);
}

Test(flow, requests_that_end_in_one_hole_make_segments_small_once)
{
    struct fm_client client = {.segment = 0};
    for (int i = 0; i < 4; i++)
        ends(&client, FM_HTTP_SLOW_UPLOAD, true, 1448);
    cr_assert_eq(fm_net_segment(&client), 1200);
    ends(&client, FM_HTTP_SLOW_UPLOAD, true, 1188);
    cr_assert_eq(fm_net_segment(&client), 536, "small ones do not get through either");
}

Test(flow, a_peer_that_does_not_read_says_nothing_about_the_way)
{
    struct fm_client client = {.segment = 0};
    ends(&client, FM_HTTP_SLOW_UPLOAD, false, 1448);
    ends(&client, FM_HTTP_TIMEOUT, true, 1448);
    cr_assert_eq(fm_net_segment(&client), 0);
}
