/* Which of a peer's addresses are tried, and in what order: passes of libcurl through a list,
 * without libcurl. What it makes of them is in test_names.c. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/clock.h"
#include "net/client_priv.h"

static struct fm_client client;

static void clear(void)
{
    fm_net_ways_clear(&client);
}

TestSuite(way, .fini = clear);

static struct fm_net_ip ip(unsigned nth)
{
    return (struct fm_net_ip){.family = AF_INET,
                              .bytes = {10, 0, (unsigned char)(nth >> 8), (unsigned char)nth}};
}

static struct fm_net_walk walk(void)
{
    return (struct fm_net_walk){.peer = fm_net_peer("proxy.test", "8082")};
}

static void fails(unsigned nth)
{
    struct fm_net_walk w = walk();
    struct fm_net_ip at = ip(nth);
    fm_net_way_failed(&client, &w, &at);
}

static void works(unsigned nth)
{
    struct fm_net_walk w = walk();
    struct fm_net_ip at = ip(nth);
    fm_net_way_worked(&client, &w, &at);
}

/* A call that has time for so many silent addresses. @return what it tried, in order: "1 2 3" */
static const char *tries(unsigned n, unsigned good, unsigned time)
{
    static char text[2048];
    struct fm_net_walk w = walk();
    size_t len = 0;
    text[0] = '\0';
    do {
        for (unsigned i = 1; i <= n && time > 0; i++) {
            struct fm_net_ip at = ip(i);
            if (!fm_net_way_allows(&client, &w, &at))
                continue;
            len += (size_t)snprintf(text + len, sizeof text - len, len > 0 ? " %u" : "%u", i);
            time--;
            if (i == good) {
                fm_net_way_worked(&client, &w, &at);
                return text;
            }
            fm_net_way_failed(&client, &w, &at);
        }
    } while (time > 0 && fm_net_way_next_pass(&client, &w));
    return text;
}

Test(way, to_a_peer_without_trouble_is_left_alone)
{
    cr_expect_str_eq(tries(3, 1, 9), "1");
    cr_expect_str_eq(tries(3, 1, 9), "1");
    cr_expect_eq(client.n_ways, 0, "and nothing is kept of it");
    works(1);
    cr_expect_eq(client.n_ways, 0);
}

Test(way, to_the_only_address_is_tried_each_time)
{
    for (int i = 0; i < 5; i++)
        cr_expect_str_eq(tries(1, 0, 9), "1");
    cr_expect_str_eq(tries(1, 1, 9), "1");
    cr_expect_str_eq(tries(1, 1, 9), "1");
}

Test(way, goes_on_where_the_last_try_ended)
{
    cr_expect_str_eq(tries(11, 11, 4), "1 2 3 4");
    cr_expect_str_eq(tries(11, 11, 4), "5 6 7 8");
    cr_expect_str_eq(tries(11, 11, 4), "9 10 11");
    for (int i = 0; i < 3; i++)
        cr_expect_str_eq(tries(11, 11, 4), "11", "first from then on");
}

Test(way, comes_round_when_all_have_failed)
{
    cr_expect_str_eq(tries(5, 0, 3), "1 2 3");
    cr_expect_str_eq(tries(5, 0, 3), "4 5 1", "new ones, then what failed the longest ago");
    cr_expect_str_eq(tries(5, 0, 3), "2 3 4");
    cr_expect_str_eq(tries(5, 0, 9), "1 2 5 3 4", "none of them twice");
}

Test(way, tries_every_address_of_a_long_list_in_one_call_that_has_the_time)
{
    for (unsigned i = 1; i <= 40; i++)
        fails(i);
    cr_expect_str_eq(tries(20, 20, 99), "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20");
}

Test(way, leads_elsewhere_at_once_when_the_good_address_fails)
{
    cr_expect_str_eq(tries(4, 3, 9), "1 2 3");
    cr_expect_str_eq(tries(4, 3, 9), "3");
    cr_expect_str_eq(tries(4, 2, 9), "3 4 1 2", "new, then old");
    cr_expect_str_eq(tries(4, 2, 9), "2");
}

Test(way, follows_an_answer_without_the_good_address_at_once)
{
    cr_expect_str_eq(tries(2, 2, 9), "1 2");
    struct fm_net_walk w = walk();
    struct fm_net_ip moved = ip(7);
    cr_expect(fm_net_way_allows(&client, &w, &moved));
}

/* A new address in front may be what the name shall lead to now. */
Test(way, lets_one_new_address_at_a_time_stand_before_the_good_one)
{
    struct fm_net_walk w = walk();
    struct fm_net_ip first = ip(21), second = ip(22), good = ip(2);
    fails(1);
    works(2);
    cr_expect(fm_net_way_allows(&client, &w, &first));
    cr_expect_not(fm_net_way_allows(&client, &w, &second));
    cr_expect(fm_net_way_allows(&client, &w, &good));
    fm_net_way_failed(&client, &w, &first);
    w = walk();
    cr_expect_not(fm_net_way_allows(&client, &w, &first));
    cr_expect(fm_net_way_allows(&client, &w, &second), "the next one, at the next connection");
}

Test(way, lets_one_that_failed_stand_before_the_good_one_after_an_hour)
{
    cr_expect_str_eq(tries(3, 3, 9), "1 2 3");
    cr_expect_str_eq(tries(3, 3, 9), "3");
    for (size_t i = 0; i < client.ways[0].n; i++)
        client.ways[0].addresses[i].failed_ms -= FM_NET_WAY_AGAIN_MS;
    cr_expect_str_eq(tries(3, 3, 9), "1 3", "one of them");
    cr_expect_str_eq(tries(3, 3, 9), "3", "not the second one right after");
    client.ways[0].tested_ms -= FM_NET_WAY_AGAIN_MS;
    cr_expect_str_eq(tries(3, 2, 9), "2", "it is well again");
    cr_expect_str_eq(tries(3, 2, 9), "2");
}

Test(way, of_one_peer_says_nothing_of_another)
{
    struct fm_net_walk w = {.peer = fm_net_peer("other.test", "8082")};
    struct fm_net_ip first = ip(1);
    fails(1);
    works(2);
    cr_expect(fm_net_way_allows(&client, &w, &first));
    w.peer = 0;
    cr_expect(fm_net_way_allows(&client, &w, &first));
    fm_net_way_failed(&client, &w, &first);
    cr_expect_eq(client.n_ways, 1);
}

Test(way, tells_families_and_scopes_apart)
{
    struct fm_net_walk w = walk();
    struct fm_net_ip six = {.family = AF_INET6, .scope = 2, .bytes = {0xfe, 0x80}}, other = six;
    other.scope = 3;
    fm_net_way_failed(&client, &w, &six);
    cr_expect_not(fm_net_way_allows(&client, &w, &six));
    cr_expect(fm_net_way_allows(&client, &w, &other));
}

Test(way, keeps_no_more_than_its_bounds)
{
    for (unsigned i = 1; i <= FM_NET_WAY_ADDRESSES; i++)
        fails(i);
    works(1); /* the oldest, but of use since */
    for (unsigned i = 0; i < 300; i++)
        fails(1000 + i);
    cr_expect_eq(client.ways[0].n, FM_NET_WAY_ADDRESSES);
    cr_expect_leq(client.ways[0].cap, FM_NET_WAY_ADDRESSES);
    for (unsigned i = 0; i < 300; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "h%u.test:1", i);
        struct fm_net_walk w = {.peer = fm_net_peer(name, NULL)};
        struct fm_net_ip at = ip(i);
        fm_net_way_failed(&client, &w, &at);
    }
    cr_expect_eq(client.n_ways, FM_NET_WAYS);
}
