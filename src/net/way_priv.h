/* net/way_priv.h - what is known of the ways to peers: which of the addresses behind a name take
 * connections, and how large a TCP segment may be.
 *
 * libcurl tries the addresses of a name in the order of the answer, each time from the beginning,
 * and gives a silent one half of the time that is left: with many dead ones in front it never
 * comes to the good one. It asks for each socket, though, and goes on at once when it gets none.
 * So a call leaves out what failed before, and when libcurl has come to the end of the list without
 * a connection, it goes through it again (the name is not looked up anew) and lets more be tried:
 * first what connected last, then what was never tried, then what failed the longest ago.
 *
 * One table in each client, touched only while a connection is made, on the client's thread. */
#ifndef FM_NET_WAY_PRIV_H
#define FM_NET_WAY_PRIV_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fm_client;

enum {
    FM_NET_WAYS = 16, /* peers in trouble, the latest */
    FM_NET_WAY_ADDRESSES = 256, /* of each, the latest */
    FM_NET_WAY_FEW = 3, /* that failed before and are tried in a pass; in the next twice as many */
    FM_NET_WAY_AGAIN_MS = 3600000, /* when one that failed may stand before the good one again */
    FM_NET_WAY_PART = 16, /* silence for this part of the time to connect is a failure */
    FM_NET_WAY_LEAST_MS = 50 /* a pass with less time than that is none */
};

struct fm_net_ip {
    sa_family_t family;
    uint32_t scope; /* of IPv6 */
    unsigned char bytes[16];
};

struct fm_net_address {
    struct fm_net_ip ip;
    uint64_t failed; /* tick of the last time; 0: never */
    uint64_t worked; /* the same */
    uint64_t left_out; /* the last pass that did not try it */
    int64_t failed_ms; /* fm_clock_ms() */
};

/* What is known of one peer. */
struct fm_net_way {
    uint64_t peer;
    uint64_t used; /* tick; the one longest ago is forgotten for another peer */
    struct fm_net_address *addresses;
    size_t n, cap;
    int64_t tested_ms; /* when one that had failed was last let stand before a good one */
    int segment; /* largest TCP segment of new connections; 0: the system's */
    int64_t segment_until_ms;
};

/* Which addresses libcurl may try now. */
enum fm_net_pick {
    FM_NET_PICK_FIRST, /* not yet decided */
    FM_NET_PICK_WORKING, /* those that worked last, and one that may have come back */
    FM_NET_PICK_NEW, /* those never tried */
    FM_NET_PICK_OLDEST /* the few that failed the longest ago, and new ones */
};

/* What one call has to do with its way. */
struct fm_net_walk {
    uint64_t peer; /* 0: nothing is learnt and nothing is left out */
    unsigned patience_ms; /* silence of so long is a failure */
    enum fm_net_pick pick;
    uint64_t since; /* tick of the call's first connection */
    uint64_t pass;
    unsigned few; /* PICK_OLDEST: so many of them ... */
    uint64_t oldest; /* ... which failed up to this tick */
    size_t left_out; /* in this pass, that a later one may try */
    bool tried_one; /* PICK_WORKING: the one that may have come back */
};

/* The first hop of a way, the HTTP proxy or the host, as a mark: a hash of host:port (port NULL: it
 * stands in host). Never 0. */
uint64_t fm_net_peer(const char *host, const char *port);

/* Whether libcurl may try an address. */
bool fm_net_way_allows(struct fm_client *client, struct fm_net_walk *walk,
                       const struct fm_net_ip *ip);

/* It took no connection, or led to nobody who speaks TLS as expected. */
void fm_net_way_failed(struct fm_client *client, const struct fm_net_walk *walk,
                       const struct fm_net_ip *ip);

/* A request goes out over it. */
void fm_net_way_worked(struct fm_client *client, const struct fm_net_walk *walk,
                       const struct fm_net_ip *ip);

/* libcurl found no address to connect to. @return whether another pass tries what was left out */
bool fm_net_way_next_pass(struct fm_client *client, struct fm_net_walk *walk);

/* The largest TCP segment for a connection to a peer made now; 0: the system's. */
int fm_net_segment(struct fm_client *client, uint64_t peer);

/* From now on, for as long. */
void fm_net_set_segment(struct fm_client *client, uint64_t peer, int segment, int64_t for_ms);

void fm_net_ways_clear(struct fm_client *client);

#endif
