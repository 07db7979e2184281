/* net/call_priv.h - one request under way. */
#ifndef FM_NET_CALL_PRIV_H
#define FM_NET_CALL_PRIV_H

#include "net/client_priv.h"

/** The handle has ended: tell the caller, free the call. */
void fm_net_call_done(struct fm_call *call, CURLcode result);

/** End a call without telling anybody. */
void fm_net_call_drop(struct fm_call *call);

/** Give up uploads that hardly move. @return how many ended */
unsigned fm_net_calls_check(struct fm_client *client);

/** How long to wait so that the next such check is not late. */
int fm_net_calls_wait(const struct fm_client *client, int timeout_ms);

#endif
