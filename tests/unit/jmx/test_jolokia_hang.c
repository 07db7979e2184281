/* Getters that hang behind a Jolokia agent, with many threads and with one. */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/clock.h"
#include "jmx/jmx.h"
#include "peer.h"

enum { BEANS = 20, TIMEOUT_MS = 3200 }; /* an eighth of it is what one bean gets */

static struct fm_client *client;
static struct fm_jmx *jmx;
static struct fm_arena arena;
static struct peer *peer;
static struct fm_err err;
static atomic_bool hangs[BEANS];
static atomic_bool one_thread; /* ... which is held for ever by the first getter that hangs */
static atomic_bool held;
static atomic_int n_hung; /* requests that will never be answered */
static atomic_int n_posts;
static char names[BEANS][40];
static const char *const attribute[] = {"A"};
static struct fm_jmx_call calls[BEANS];

static bool asks_what_hangs(const json_t *request)
{
    const char *bean = json_string_value(json_object_get(request, "mbean"));
    const char *type = json_string_value(json_object_get(request, "type"));
    for (size_t i = 0; i < BEANS && bean != NULL; i++)
        if (hangs[i] && strcmp(type, "read") == 0 && strcmp(bean, names[i]) == 0)
            return true;
    return false;
}

static void script(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    (void)arg;
    struct peer_request request;
    while (peer_read_request(conn, &request)) {
        json_t *list = json_loads(request.body, 0, NULL);
        bool stuck = one_thread && held;
        char answer[64 * BEANS] = "[";
        n_posts++;
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *item = json_array_get(list, i);
            bool read = strcmp(json_string_value(json_object_get(item, "type")), "read") == 0;
            stuck = stuck || asks_what_hangs(item);
            (void)strcat(answer, i > 0 ? "," : "");
            (void)strcat(answer, read ? "{\"status\":200,\"value\":{\"A\":1}}"
                                      : "{\"status\":200,\"value\":{}}");
        }
        (void)strcat(answer, "]");
        json_decref(list);
        peer_request_clear(&request);
        if (stuck) {
            held = true;
            n_hung++;
            peer_stall(conn, 0);
            return;
        }
        (void)peer_answer(conn, 200, answer);
    }
}

static void begin(void)
{
    char url[80];
    struct fm_client_opts client_opts = {0};
    fm_arena_init(&arena, 0);
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_assert_eq(fm_client_new(&client, &client_opts, &err), FM_OK);
    peer = peer_start(script, NULL);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/jolokia", (unsigned)peer_port(peer));
    struct fm_jmx_opts opts = {.client = client, .url = url, .timeout_ms = TIMEOUT_MS};
    cr_assert_eq(fm_jmx_new(&jmx, &opts, &err), FM_OK, "%s", err.text);
    for (int i = 0; i < BEANS; i++) {
        (void)snprintf(names[i], sizeof names[i], "d:n=%c", 'a' + i);
        calls[i] = (struct fm_jmx_call){
            .op = FM_JMX_READ, .name = names[i], .attributes = attribute, .n_attributes = 1};
    }
}

static void end(void)
{
    fm_jmx_free(jmx);
    fm_client_free(client);
    fm_arena_clear(&arena);
    peer_stop(peer);
}

TestSuite(jolokia_hang, .init = begin, .fini = end, .timeout = 60);

static enum fm_code run(void)
{
    fm_arena_clear(&arena);
    int64_t start = fm_clock_ms();
    enum fm_code code = fm_jmx_run(jmx, calls, BEANS, &arena, NULL, &err);
    cr_expect_lt(fm_clock_ms() - start, TIMEOUT_MS + 2000, "the deadline holds");
    return code;
}

static size_t answered(void)
{
    size_t n = 0;
    for (size_t i = 0; i < BEANS; i++)
        n += calls[i].code == FM_OK;
    return n;
}

Test(jolokia_hang, costs_its_own_bean_only_from_the_second_list_on)
{
    hangs[7] = true;
    cr_assert_eq(run(), FM_ETIMEOUT, "%s", err.text);
    cr_assert_eq(answered(), 0, "nothing of that POST came");
    cr_assert_eq(run(), FM_OK, "%s", err.text);
    cr_expect_eq(answered(), BEANS - 1);
    cr_expect_eq(calls[7].code, FM_ETIMEOUT);
    cr_expect_not_null(strstr(calls[7].err.text, "did not answer in time"), "%s",
                       calls[7].err.text);
    int posts = n_posts;
    cr_assert_eq(run(), FM_OK, "%s", err.text);
    cr_expect_eq(answered(), BEANS - 1);
    cr_expect_not_null(strstr(calls[7].err.text, "left out for another"), "%s", calls[7].err.text);
    cr_expect_eq(n_posts - posts, 1, "all others are asked together again");
    cr_expect_eq(n_hung, 2, "a try costs a thread over there: %d", n_hung);
}

Test(jolokia_hang, finds_several_even_if_a_list_is_too_short_for_all)
{
    for (size_t i = 1; i <= 12; i++)
        hangs[i] = true;
    cr_assert_eq(run(), FM_ETIMEOUT);
    cr_assert_eq(run(), FM_OK, "%s", err.text);
    cr_expect_lt(answered(), BEANS - 12);
    cr_expect_eq(calls[0].code, FM_OK);
    cr_expect_eq(calls[BEANS - 1].code, FM_ETIMEOUT);
    cr_expect_not_null(strstr(calls[BEANS - 1].err.text, "not asked"), "%s",
                       calls[BEANS - 1].err.text);
    for (int i = 0; i < 3 && answered() < BEANS - 12; i++)
        cr_assert_eq(run(), FM_OK, "%s", err.text);
    cr_expect_eq(answered(), BEANS - 12, "%zu", answered());
    cr_expect_leq(n_hung, 14, "%d", n_hung);
    cr_assert_eq(run(), FM_OK);
    cr_expect_eq(answered(), BEANS - 12);
}

Test(jolokia_hang, blames_nobody_while_the_only_thread_is_held)
{
    hangs[3] = true;
    one_thread = true;
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(run(), FM_ETIMEOUT, "%s", err.text);
        cr_expect_eq(answered(), 0);
        cr_expect_not_null(strstr(err.text, "Jolokia"), "%s", err.text);
    }
    hangs[3] = held = false; /* the getter has come to its end */
    cr_assert_eq(run(), FM_OK, "%s", err.text);
    cr_expect_eq(answered(), BEANS, "%zu", answered());
    int posts = n_posts;
    cr_assert_eq(run(), FM_OK, "%s", err.text);
    cr_expect_eq(n_posts - posts, 1);
}

Test(jolokia_hang, may_be_freed_while_it_asks_alone)
{
    hangs[0] = true;
    cr_assert_eq(run(), FM_ETIMEOUT);
    int posts = n_posts;
    fm_jmx_done *none = NULL;
    cr_assert_eq(fm_jmx_start(jmx, calls, BEANS, &arena, none, NULL, &err), FM_OK);
    int64_t until = fm_clock_ms() + 1000;
    while (n_posts < posts + 2 && fm_clock_ms() < until)
        cr_assert_eq(fm_client_poll(client, 20, &err), FM_OK);
    fm_jmx_free(jmx);
    jmx = NULL;
    cr_expect_eq(fm_client_active(client), 0);
}
