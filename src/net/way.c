/* What was learnt of the ways to peers; the rules are in way_priv.h. */
#include "net/way_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "net/client_priv.h"

uint64_t fm_net_peer(const char *host, const char *port)
{
    uint64_t peer = fm_hash(FM_HASH_START, host, strlen(host));
    if (port != NULL)
        peer = fm_hash(fm_hash(peer, ":", 1), port, strlen(port));
    return peer != 0 ? peer : 1;
}

static struct fm_net_way *find(struct fm_client *client, uint64_t peer)
{
    for (size_t i = 0; peer != 0 && i < client->n_ways; i++)
        if (client->ways[i].peer == peer) {
            client->ways[i].used = ++client->tick;
            return &client->ways[i];
        }
    return NULL;
}

/* @return NULL: no memory; then the way is as if nothing were known */
static struct fm_net_way *find_or_add(struct fm_client *client, uint64_t peer)
{
    struct fm_net_way *way = find(client, peer);
    if (way != NULL || peer == 0)
        return way;
    if (client->ways == NULL) {
        client->ways = calloc(FM_NET_WAYS, sizeof *client->ways);
        if (client->ways == NULL)
            return NULL;
    }
    if (client->n_ways < FM_NET_WAYS) {
        way = &client->ways[client->n_ways++];
    } else {
        way = &client->ways[0];
        for (size_t i = 1; i < client->n_ways; i++)
            if (client->ways[i].used < way->used)
                way = &client->ways[i];
    }
    free(way->addresses);
    *way = (struct fm_net_way){.peer = peer, .used = ++client->tick};
    return way;
}

static bool same(const struct fm_net_ip *a, const struct fm_net_ip *b)
{
    return a->family == b->family && a->scope == b->scope &&
           memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static struct fm_net_address *find_address(const struct fm_net_way *way, const struct fm_net_ip *ip)
{
    for (size_t i = 0; i < way->n; i++)
        if (same(&way->addresses[i].ip, ip))
            return &way->addresses[i];
    return NULL;
}

static uint64_t last_use(const struct fm_net_address *a)
{
    return a->failed > a->worked ? a->failed : a->worked;
}

static struct fm_net_address *find_or_add_address(struct fm_net_way *way,
                                                  const struct fm_net_ip *ip)
{
    struct fm_net_address *a = find_address(way, ip);
    if (a != NULL)
        return a;
    if (way->n == way->cap && way->cap < FM_NET_WAY_ADDRESSES) {
        size_t cap = way->cap != 0 ? 2 * way->cap : 4;
        struct fm_net_address *grown = realloc(way->addresses, cap * sizeof *grown);
        if (grown == NULL)
            return NULL;
        way->addresses = grown;
        way->cap = cap;
    }
    if (way->n < way->cap) {
        a = &way->addresses[way->n++];
    } else {
        a = &way->addresses[0];
        for (size_t i = 1; i < way->n; i++)
            if (last_use(&way->addresses[i]) < last_use(a))
                a = &way->addresses[i];
    }
    *a = (struct fm_net_address){.ip = *ip};
    return a;
}

static bool works(const struct fm_net_address *a)
{
    return a->worked > a->failed;
}

static void begin(struct fm_client *client, const struct fm_net_way *way, struct fm_net_walk *walk)
{
    walk->since = walk->pass = ++client->tick;
    walk->pick = FM_NET_PICK_NEW;
    for (size_t i = 0; i < way->n; i++)
        if (works(&way->addresses[i]))
            walk->pick = FM_NET_PICK_WORKING;
}

/* Whether one may stand before the good one. A new one is taken from the next connection on; one
 * that failed may be well again, but a silent one costs half of the time: once an hour. */
static bool may_be_back(struct fm_net_way *way, struct fm_net_walk *walk,
                        const struct fm_net_address *a)
{
    int64_t now = fm_clock_ms();
    if (walk->tried_one)
        return false;
    if (a != NULL && (now - a->failed_ms < FM_NET_WAY_AGAIN_MS ||
                      (way->tested_ms != 0 && now - way->tested_ms < FM_NET_WAY_AGAIN_MS)))
        return false;
    if (a != NULL)
        way->tested_ms = now;
    walk->tried_one = true;
    return true;
}

static bool picked(struct fm_net_way *way, struct fm_net_walk *walk, const struct fm_net_address *a)
{
    switch (walk->pick) {
    case FM_NET_PICK_WORKING:
        return (a != NULL && works(a)) || may_be_back(way, walk, a);
    case FM_NET_PICK_NEW:
        return a == NULL;
    case FM_NET_PICK_OLDEST:
        return a == NULL || a->failed <= walk->oldest;
    case FM_NET_PICK_FIRST:
        break;
    }
    return true;
}

bool fm_net_way_allows(struct fm_client *client, struct fm_net_walk *walk,
                       const struct fm_net_ip *ip)
{
    struct fm_net_way *way = find(client, walk->peer);
    if (way == NULL || way->n == 0)
        return true;
    if (walk->pick == FM_NET_PICK_FIRST)
        begin(client, way, walk);
    struct fm_net_address *a = find_address(way, ip);
    if (picked(way, walk, a))
        return true;
    if (a != NULL && a->failed > walk->since)
        return false; /* it was this call that tried it */
    walk->left_out++;
    if (a != NULL)
        a->left_out = walk->pass;
    return false;
}

void fm_net_way_failed(struct fm_client *client, const struct fm_net_walk *walk,
                       const struct fm_net_ip *ip)
{
    struct fm_net_way *way = find_or_add(client, walk->peer);
    struct fm_net_address *a = way != NULL ? find_or_add_address(way, ip) : NULL;
    if (a == NULL)
        return;
    a->failed = ++client->tick;
    a->failed_ms = fm_clock_ms();
}

void fm_net_way_worked(struct fm_client *client, const struct fm_net_walk *walk,
                       const struct fm_net_ip *ip)
{
    /* Where nothing ever failed there is nothing to choose. */
    struct fm_net_way *way = find(client, walk->peer);
    struct fm_net_address *a = way != NULL && way->n > 0 ? find_or_add_address(way, ip) : NULL;
    if (a != NULL)
        a->worked = ++client->tick;
}

/* The tick up to which so many of those that this pass left out have failed. */
static uint64_t oldest_failures(const struct fm_net_way *way, uint64_t pass, unsigned few)
{
    uint64_t upto = 0;
    for (unsigned n = 0; n < few; n++) {
        uint64_t next = UINT64_MAX;
        for (size_t i = 0; i < way->n; i++) {
            const struct fm_net_address *a = &way->addresses[i];
            if (a->left_out == pass && a->failed > upto && a->failed < next)
                next = a->failed;
        }
        if (next == UINT64_MAX)
            break;
        upto = next;
    }
    return upto;
}

bool fm_net_way_next_pass(struct fm_client *client, struct fm_net_walk *walk)
{
    const struct fm_net_way *way = find(client, walk->peer);
    if (walk->left_out == 0 || way == NULL)
        return false;
    if (walk->pick == FM_NET_PICK_WORKING) {
        walk->pick = FM_NET_PICK_NEW;
    } else {
        /* A pass that was over in no time leaves time for more of them. */
        walk->pick = FM_NET_PICK_OLDEST;
        walk->few = walk->few == 0 ? FM_NET_WAY_FEW : 2 * walk->few;
        walk->oldest = oldest_failures(way, walk->pass, walk->few);
    }
    walk->left_out = 0;
    walk->pass = ++client->tick;
    return true;
}

int fm_net_segment(struct fm_client *client, uint64_t peer)
{
    struct fm_net_way *way = find(client, peer);
    if (way == NULL)
        return 0;
    if (way->segment != 0 && fm_clock_ms() >= way->segment_until_ms)
        way->segment = 0;
    return way->segment;
}

void fm_net_set_segment(struct fm_client *client, uint64_t peer, int segment, int64_t for_ms)
{
    struct fm_net_way *way = find_or_add(client, peer);
    if (way == NULL)
        return;
    way->segment = segment;
    way->segment_until_ms = fm_clock_ms() + for_ms;
}

void fm_net_ways_clear(struct fm_client *client)
{
    for (size_t i = 0; i < client->n_ways; i++)
        free(client->ways[i].addresses);
    free(client->ways);
    client->ways = NULL;
    client->n_ways = 0;
}
