/* Whole sessions against a scripted server that plays recorded answers. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "fake_rmi.h"
#include "jmx/jmx.h"
#include "vectors.h"

enum { HELLO = 63, LOGIN = 42, RECONNECT = 13 };

static const char *const heap[] = {"HeapMemoryUsage"};

/* What the server says, loaded and with its own port in the stub. */
struct stage {
    unsigned char *hello; /* acknowledge and stub, as after an eager handshake */
    size_t hello_len;
    unsigned char *login;
    size_t login_len;
    unsigned char *answer; /* to getAttributes of one bean */
    size_t answer_len;
    unsigned char *gone; /* NoSuchObjectException */
    size_t gone_len;
    size_t call_len; /* bytes of our getAttributes call */
    struct fake_rmi_step steps[8];
    struct fake_rmi_script scripts[4];
    struct fake_rmi *fake;
    struct fm_client *client;
    struct fm_jmx *jmx;
    struct fm_arena arena;
    struct fm_jmx_call call;
    struct fm_jmx_cost cost;
    struct fm_err err;
};

static struct stage s;

/* The port in a stub stands behind the reference type and the host. */
static void set_stub_port(unsigned char *data, size_t len, uint16_t port)
{
    unsigned char *at = memmem(data, len, "UnicastRef", 10);
    cr_assert_not_null(at);
    at += 10;
    size_t host = (size_t)at[0] << 8 | at[1];
    at += 2 + host;
    at[0] = at[1] = 0;
    at[2] = (unsigned char)(port >> 8);
    at[3] = (unsigned char)port;
}

static void open_stage(void)
{
    memset(&s, 0, sizeof s);
    s.hello = vector_load("jdk17-variants/03-eager-handshake.s2c.bin", &s.hello_len);
    s.login = vector_load("jdk17-plain/08-newClient.s2c.bin", &s.login_len);
    s.answer = vector_load("jdk17-plain/38-getAttributes.s2c.bin", &s.answer_len);
    s.gone = vector_load("jdk17-plain/52-bad-objid.s2c.bin", &s.gone_len);
    s.call_len =
        41 + 45 + 3 + strlen("java.lang:type=Memory") + 1 + 37 + 4 + 3 + strlen(heap[0]) + 1;
    s.call = (struct fm_jmx_call){
        .op = FM_JMX_READ, .name = "java.lang:type=Memory", .attributes = heap, .n_attributes = 1};
    fm_arena_init(&s.arena, 0);
    cr_assert_eq(fm_net_init(NULL), FM_OK);
}

static void close_stage(void)
{
    fm_jmx_free(s.jmx);
    fm_client_free(s.client);
    if (s.fake != NULL)
        fake_rmi_stop(s.fake);
    fm_arena_clear(&s.arena);
    free(s.hello);
    free(s.login);
    free(s.answer);
    free(s.gone);
}

TestSuite(rmi_session, .init = open_stage, .fini = close_stage, .timeout = 30);

/* Start the server with n scripts and a session for it. */
static void begin_with(size_t n, unsigned timeout_ms, size_t max_answer_bytes)
{
    char url[64];
    struct fm_client_opts client_opts = {0};
    s.fake = fake_rmi_start(s.scripts, n);
    set_stub_port(s.hello, s.hello_len, fake_rmi_port(s.fake));
    snprintf(url, sizeof url, "127.0.0.1:%u", fake_rmi_port(s.fake));
    cr_assert_eq(fm_client_new(&s.client, &client_opts, &s.err), FM_OK, "%s", s.err.text);
    struct fm_jmx_opts opts = {.client = s.client,
                               .url = url,
                               .timeout_ms = timeout_ms,
                               .max_answer_bytes = max_answer_bytes};
    cr_assert_eq(fm_jmx_new(&s.jmx, &opts, &s.err), FM_OK, "%s", s.err.text);
}

static void begin(size_t n, unsigned timeout_ms)
{
    begin_with(n, timeout_ms, 0);
}

static enum fm_code run(void)
{
    fm_arena_clear(&s.arena);
    return fm_jmx_run(s.jmx, &s.call, 1, &s.arena, &s.cost, &s.err);
}

static struct fake_rmi_step hello(void)
{
    return (struct fake_rmi_step){HELLO, s.hello, s.hello_len};
}

static struct fake_rmi_step login(void)
{
    return (struct fake_rmi_step){LOGIN, s.login, s.login_len};
}

static struct fake_rmi_step answer(void)
{
    return (struct fake_rmi_step){s.call_len, s.answer, s.answer_len};
}

Test(rmi_session, polls_over_one_connection_when_the_ports_are_equal)
{
    s.steps[0] = hello();
    s.steps[1] = login();
    s.steps[2] = answer();
    s.steps[3] = answer();
    s.scripts[0] = (struct fake_rmi_script){s.steps, 4, 1};
    begin(1, 10000);
    cr_assert_eq(run(), FM_OK, "%s", s.err.text);
    cr_assert_eq(s.call.code, FM_OK, "%s", s.call.err.text);
    cr_assert_gt(s.call.value.object.n, 0);
    cr_assert_eq(s.call.bytes, s.answer_len);
    cr_assert_eq(s.cost.connects, 1);
    cr_assert_eq(s.cost.round_trips, 3);
    cr_assert_eq(run(), FM_OK, "%s", s.err.text);
    cr_assert_eq(s.cost.connects, 0, "the connection is kept");
    cr_assert_eq(s.cost.round_trips, 1);
    cr_assert_eq(s.cost.bytes_out, s.call_len);
    cr_assert_eq(fake_rmi_connections(s.fake), 1);
}

Test(rmi_session, stays_with_the_configured_host_whatever_the_stub_says)
{
    static const char elsewhere[] = "192.0.2.77";
    size_t len;
    unsigned char *stub = vector_load("jdk17-variants/01-lookup-unreachable-host.s2c.bin", &len);
    cr_assert_not_null(memmem(stub, len, elsewhere, sizeof elsewhere - 1));
    /* The acknowledge, then the stub that names a host nobody can reach. */
    size_t ack = 3u + ((size_t)s.hello[1] << 8 | s.hello[2]) + 4;
    unsigned char *both = malloc(ack + len);
    memcpy(both, s.hello, ack);
    memcpy(both + ack, stub, len);
    free(s.hello);
    free(stub);
    s.hello = both;
    s.hello_len = ack + len;
    s.steps[0] = hello();
    s.steps[1] = login();
    s.steps[2] = answer();
    s.scripts[0] = (struct fake_rmi_script){s.steps, 3, 1};
    begin(1, 10000);
    cr_assert_eq(run(), FM_OK, "%s", s.err.text);
}

Test(rmi_session, a_cut_anywhere_never_gives_half_a_record)
{
    const size_t total = s.hello_len + s.login_len + s.answer_len;
    for (size_t cut = 0; cut < total; cut += 7) {
        size_t left = cut;
        size_t lens[3] = {s.hello_len, s.login_len, s.answer_len};
        for (size_t i = 0; i < 3; i++) {
            lens[i] = left < lens[i] ? left : lens[i];
            left -= lens[i];
        }
        s.steps[0] = hello();
        s.steps[1] = login();
        s.steps[2] = answer();
        for (size_t i = 0; i < 3; i++)
            s.steps[i].len = lens[i];
        size_t n = cut < s.hello_len ? 1 : cut < s.hello_len + s.login_len ? 2 : 3;
        s.scripts[0] = (struct fake_rmi_script){s.steps, n, 0};
        s.scripts[1] = (struct fake_rmi_script){s.steps, 0, 0}; /* closes at once */
        begin(2, 2000);
        enum fm_code code = run();
        bool whole = code == FM_OK && s.call.code == FM_OK && s.call.value.kind == FM_V_OBJECT &&
                     s.call.value.object.n > 0;
        cr_assert_not(whole, "cut at %zu: %s", cut, fm_code_name(code));
        cr_assert_neq(s.call.code, FM_EAGAIN);
        fm_jmx_free(s.jmx);
        fm_client_free(s.client);
        fake_rmi_stop(s.fake);
        s.jmx = NULL;
        s.client = NULL;
        s.fake = NULL;
    }
}

/* The fifth answer is taken by a mould, and is cut everywhere: no half record, no wrong one. */
Test(rmi_session, a_cut_in_an_answer_that_came_before_never_gives_half_a_record)
{
    enum { BEFORE = 4 };
    for (size_t cut = 1; cut < s.answer_len; cut += 37) {
        s.steps[0] = hello();
        s.steps[1] = login();
        for (size_t i = 0; i < BEFORE; i++)
            s.steps[2 + i] = answer();
        s.steps[2 + BEFORE] = (struct fake_rmi_step){s.call_len, s.answer, cut};
        s.scripts[0] = (struct fake_rmi_script){s.steps, 3 + BEFORE, 0};
        s.scripts[1] = (struct fake_rmi_script){s.steps, 0, 0}; /* closes at once */
        begin(2, 10000);
        for (size_t i = 0; i < BEFORE; i++) {
            cr_assert_eq(run(), FM_OK, "%s", s.err.text);
            cr_assert_eq(s.call.code, FM_OK, "%s", s.call.err.text);
            cr_assert_eq(s.call.value.object.n, 2);
            cr_assert_eq(s.call.bytes, s.answer_len);
        }
        cr_assert(run() != FM_OK || s.call.code != FM_OK || s.call.value.object.n == 0,
                  "cut at %zu", cut);
        fm_jmx_free(s.jmx);
        fm_client_free(s.client);
        fake_rmi_stop(s.fake);
        s.jmx = NULL;
        s.client = NULL;
        s.fake = NULL;
    }
}

Test(rmi_session, reads_what_is_new_in_an_answer_that_came_before)
{
    enum { BEFORE = 4 };
    unsigned char *later = malloc(s.answer_len);
    memcpy(later, s.answer, s.answer_len);
    later[s.answer_len - 2] ^= 1; /* the last number, before the end of the list */
    s.steps[0] = hello();
    s.steps[1] = login();
    for (size_t i = 0; i < BEFORE; i++)
        s.steps[2 + i] = answer();
    s.steps[2 + BEFORE] = (struct fake_rmi_step){s.call_len, later, s.answer_len};
    s.scripts[0] = (struct fake_rmi_script){s.steps, 3 + BEFORE, 1};
    begin(1, 10000);
    int64_t last = 0;
    for (size_t i = 0; i <= BEFORE; i++) {
        cr_assert_eq(run(), FM_OK, "%s", s.err.text);
        cr_assert_eq(s.call.value.object.n, 2);
        cr_assert_eq(s.call.bytes, s.answer_len);
        const int64_t now = s.call.value.object.members[1].value.i;
        if (i > 0)
            cr_assert_eq(now, i < BEFORE ? last : last ^ 1);
        last = now;
    }
    free(later);
}

/* Each reading ends in the middle of an answer that a mould knows: what was taken must go, or the
 * buffer holds the whole list in the end, and refuses it. */
Test(rmi_session, a_long_list_of_answers_that_came_before_needs_no_more_room_than_one)
{
    enum { WINDOW = 64, MORE = WINDOW - 1, ROUNDS = 40, N = WINDOW + ROUNDS * MORE };
    static struct fm_jmx_call calls[N];
    static struct fake_rmi_step steps[ROUNDS + 4];
    const size_t half = s.answer_len / 2, len = s.answer_len;
    unsigned char *answers = malloc(WINDOW * len);
    for (size_t i = 0; i < WINDOW; i++)
        memcpy(answers + i * len, s.answer, len);
    for (size_t i = 0; i < N; i++)
        calls[i] = s.call;
    steps[0] = hello();
    steps[1] = login();
    steps[2] = (struct fake_rmi_step){WINDOW * s.call_len, answers, MORE * len + half};
    for (size_t i = 0; i < ROUNDS; i++)
        steps[3 + i] = (struct fake_rmi_step){MORE * s.call_len, answers + half, MORE * len};
    steps[3 + ROUNDS] = (struct fake_rmi_step){0, answers + half, len - half};
    s.scripts[0] = (struct fake_rmi_script){steps, 4 + ROUNDS, 1};
    begin_with(1, 10000, 1024);
    cr_assert_eq(fm_jmx_run(s.jmx, calls, N, &s.arena, &s.cost, &s.err), FM_OK, "%s", s.err.text);
    for (size_t i = 0; i < N; i++)
        cr_assert(calls[i].code == FM_OK && calls[i].value.object.n == 2, "call %zu", i);
    free(answers);
}

/* A firewall that forgot the connection resets it while there is more to ask: what is not answered
 * is asked again over a new one. */
Test(rmi_session, a_reset_in_the_middle_of_a_long_list_costs_a_connection_and_no_call)
{
    enum { N = 200, FIRST = 10 };
    static struct fm_jmx_call calls[N];
    static struct fake_rmi_step again[N + 1];
    unsigned char *answers = malloc(FIRST * s.answer_len);
    for (size_t i = 0; i < FIRST; i++)
        memcpy(answers + i * s.answer_len, s.answer, s.answer_len);
    for (size_t i = 0; i < N; i++)
        calls[i] = s.call;
    s.steps[0] = hello();
    s.steps[1] = login();
    s.steps[2] = (struct fake_rmi_step){s.call_len, answers, FIRST * s.answer_len};
    size_t ack = 3u + ((size_t)s.hello[1] << 8 | s.hello[2]) + 4;
    again[0] = (struct fake_rmi_step){RECONNECT, s.hello, ack};
    for (size_t i = 0; i < N - FIRST; i++)
        again[1 + i] = answer();
    s.scripts[0] = (struct fake_rmi_script){s.steps, 3, 0}; /* closed with calls unread: a reset */
    s.scripts[1] = (struct fake_rmi_script){again, 1 + N - FIRST, 1};
    begin(2, 10000);
    cr_assert_eq(fm_jmx_run(s.jmx, calls, N, &s.arena, &s.cost, &s.err), FM_OK, "%s", s.err.text);
    for (size_t i = 0; i < N; i++)
        cr_assert(calls[i].code == FM_OK && calls[i].value.object.n == 2, "call %zu", i);
    cr_assert_eq(fake_rmi_connections(s.fake), 2);
    free(answers);
}

Test(rmi_session, a_stall_ends_at_the_deadline_and_late_bytes_are_not_used)
{
    s.steps[0] = hello();
    s.steps[1] = login();
    s.steps[2] = answer();
    s.steps[2].len = s.answer_len / 2;
    s.steps[3] = (struct fake_rmi_step){RECONNECT + s.call_len, s.hello, 0};
    static struct fake_rmi_step second[2];
    size_t ack = 3u + ((size_t)s.hello[1] << 8 | s.hello[2]) + 4;
    second[0] = (struct fake_rmi_step){RECONNECT, s.hello, ack};
    second[1] = answer();
    s.scripts[0] = (struct fake_rmi_script){s.steps, 3, 1};
    s.scripts[1] = (struct fake_rmi_script){second, 2, 1};
    begin(2, 1000); /* the second call must be answered within it, too */
    int64_t start = fm_clock_ms();
    cr_assert_eq(run(), FM_ETIMEOUT);
    cr_assert_lt(fm_clock_ms() - start, 4000);
    cr_assert_eq(s.call.code, FM_ETIMEOUT);
    cr_assert_not_null(strstr(s.err.text, "java.lang:type=Memory"), "%s", s.err.text);
    cr_assert_eq(run(), FM_OK, "%s", s.err.text);
    cr_assert_gt(s.call.value.object.n, 0);
    cr_assert_eq(s.cost.connects, 1, "the JMX connection outlives its TCP connection");
}

/* A JVM that is stopped (SIGSTOP) at any point: silent, but its connection stands. */
Test(rmi_session, silence_at_any_point_ends_at_the_deadline)
{
    const size_t ends[] = {s.hello_len, s.hello_len + s.login_len,
                           s.hello_len + s.login_len + s.answer_len};
    const size_t points[] = {0,           1,           9,       ends[0] - 1,  ends[0],
                             ends[0] + 1, ends[1] - 1, ends[1], ends[1] + 30, ends[2] - 1};
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        size_t n = points[i] <= ends[0] ? 1 : points[i] <= ends[1] ? 2 : 3;
        s.steps[0] = hello();
        s.steps[1] = login();
        s.steps[2] = answer();
        s.steps[n - 1].len = points[i] - (n > 1 ? ends[n - 2] : 0);
        s.scripts[0] = (struct fake_rmi_script){s.steps, n, 1};
        begin(1, 150);
        int64_t start = fm_clock_ms();
        cr_expect_eq(run(), FM_ETIMEOUT, "byte %zu: %s", points[i], s.err.text);
        cr_expect_eq(s.call.code, FM_ETIMEOUT, "byte %zu", points[i]);
        cr_expect_lt(fm_clock_ms() - start, 1500, "byte %zu", points[i]);
        fm_jmx_free(s.jmx);
        fm_client_free(s.client);
        fake_rmi_stop(s.fake);
        s.jmx = NULL;
        s.client = NULL;
        s.fake = NULL;
    }
}

Test(rmi_session, logs_in_again_when_the_jmx_connection_is_gone)
{
    static struct fake_rmi_step second[3];
    s.steps[0] = hello();
    s.steps[1] = login();
    s.steps[2] = answer();
    s.steps[3] = (struct fake_rmi_step){s.call_len, s.gone, s.gone_len};
    second[0] = hello();
    second[1] = login();
    second[2] = answer();
    s.scripts[0] = (struct fake_rmi_script){s.steps, 4, 1};
    s.scripts[1] = (struct fake_rmi_script){second, 3, 1};
    begin(2, 10000);
    cr_assert_eq(run(), FM_OK, "%s", s.err.text);
    cr_assert_eq(run(), FM_OK, "%s", s.err.text);
    cr_assert_eq(s.call.code, FM_OK, "%s", s.call.err.text);
    cr_assert_gt(s.call.value.object.n, 0);
    cr_assert_eq(fake_rmi_connections(s.fake), 2);
}

Test(rmi_session, gives_up_when_it_is_gone_again_at_once)
{
    s.steps[0] = hello();
    s.steps[1] = login();
    s.steps[2] = (struct fake_rmi_step){s.call_len, s.gone, s.gone_len};
    s.scripts[0] = (struct fake_rmi_script){s.steps, 3, 1};
    begin(1, 10000);
    cr_assert_eq(run(), FM_EGONE, "%s", s.err.text);
    cr_assert_eq(s.call.code, FM_EGONE);
    cr_assert_leq(fake_rmi_connections(s.fake), 2);
}

static void play_hostile(const struct vector *v, void *arg)
{
    (void)arg;
    s.steps[0] = hello();
    s.steps[1] = login();
    s.steps[2] = (struct fake_rmi_step){s.call_len, v->s2c, v->s2c_len};
    s.scripts[0] = (struct fake_rmi_script){s.steps, 3, 0};
    s.scripts[1] = (struct fake_rmi_script){s.steps, 0, 0};
    begin(2, 10000);
    int64_t start = fm_clock_ms();
    (void)!run();
    cr_assert_neq(s.call.code, FM_EAGAIN, "%s", v->file);
    cr_assert_lt(fm_clock_ms() - start, 8000, "by itself: %s", v->file);
    cr_assert_leq(fake_rmi_connections(s.fake), 4, "%s", v->file);
    fm_jmx_free(s.jmx);
    fm_client_free(s.client);
    fake_rmi_stop(s.fake);
    s.jmx = NULL;
    s.client = NULL;
    s.fake = NULL;
}

Test(rmi_session, survives_every_hostile_answer)
{
    vectors_walk("hostile/", play_hostile, NULL);
}

/* ---- what else listens on a port ---- */

static void expect_stranger(const char *greeting, size_t len, enum fm_code code, const char *part)
{
    s.steps[0] = (struct fake_rmi_step){1, greeting, len};
    s.scripts[0] = (struct fake_rmi_script){s.steps, 1, 0};
    begin(1, 10000);
    cr_expect_eq(run(), code, "%s: %s", part, s.err.text);
    cr_expect_not_null(strstr(s.err.text, part), "%s", s.err.text);
    fm_jmx_free(s.jmx);
    fm_client_free(s.client);
    fake_rmi_stop(s.fake);
    s.jmx = NULL;
    s.client = NULL;
    s.fake = NULL;
}

Test(rmi_session, says_what_speaks_instead_of_rmi)
{
    expect_stranger("HTTP/1.1 400 Bad Request\r\n", 26, FM_EPROTO, "HTTP server");
    expect_stranger("SSH-2.0-x\r\n", 11, FM_EPROTO, "SSH server");
    expect_stranger("\x15\x03\x03\x00\x02\x02\x28", 7, FM_ETLS, "tls = on");
    expect_stranger("JRMI\0\2", 6, FM_EPROTO, "echo");
    expect_stranger("", 0, FM_ECLOSED, "without a word");
    expect_stranger("\x4e\xff\xff", 3, FM_EPROTO, "greeting");
}

/* ---- closing at the wrong moment ---- */

static void free_inside(struct fm_jmx *jmx, enum fm_code code, const struct fm_err *err,
                        const struct fm_jmx_cost *cost, void *arg)
{
    (void)code;
    (void)err;
    (void)cost;
    fm_jmx_free(jmx);
    *(bool *)arg = true;
}

Test(rmi_session, may_be_freed_inside_done)
{
    bool freed = false;
    s.steps[0] = hello();
    s.steps[1] = login();
    s.steps[2] = answer();
    s.scripts[0] = (struct fake_rmi_script){s.steps, 3, 1};
    begin(1, 10000);
    cr_assert_eq(fm_jmx_start(s.jmx, &s.call, 1, &s.arena, free_inside, &freed, &s.err), FM_OK);
    while (!freed)
        cr_assert_eq(fm_client_poll(s.client, 1000, &s.err), FM_OK);
    s.jmx = NULL;
}

Test(rmi_session, may_be_freed_or_cancelled_under_way)
{
    bool freed = false;
    s.steps[0] = hello();
    s.scripts[0] = (struct fake_rmi_script){s.steps, 1, 1};
    begin(1, 10000);
    cr_assert_eq(fm_jmx_start(s.jmx, &s.call, 1, &s.arena, free_inside, &freed, &s.err), FM_OK);
    cr_assert_eq(fm_client_poll(s.client, 100, &s.err), FM_OK);
    fm_jmx_cancel(s.jmx);
    cr_assert(freed);
    cr_assert_eq(s.call.code, FM_ETIMEOUT);
    s.jmx = NULL;
}
