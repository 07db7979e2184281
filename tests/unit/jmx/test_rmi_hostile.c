/* Peers that never come to an end, and text that is none. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "jmx/jmx.h"
#include "jmx/rmi/ser_priv.h"
#include "peer.h"
#include "vectors.h"

/* PATIENCE_MS: for what must end by itself, long before. */
enum {
    HELLO = 63,
    LOGIN = 42,
    ACK = 16,
    TIMEOUT_MS = 600,
    PATIENCE_MS = 12000,
    LIMIT = 256 * 1024
};

/* A return message, then text of 2^40 bytes, or an array of as many objects as can be said. */
static const char long_text[] = "\x51\xac\xed\x00\x05\x77\x0f\x01uuuuuuuuuuuuuu"
                                "\x7c\x00\x00\x01\x00\x00\x00\x00\x00";
static const char long_array[] = "\x51\xac\xed\x00\x05\x77\x0f\x01uuuuuuuuuuuuuu"
                                 "\x75\x72\x00\x13[Ljava.lang.Object;"
                                 "\x90\xce\x58\x9f\x10\x73\x29\x6c\x02\x00\x00\x70\x78\x70\x7f\xff"
                                 "\xff\xff";

static const char slow_text[] = "\x51\xac\xed\x00\x05\x77\x0f\x01uuuuuuuuuuuuuu"
                                "\x74\xff\xff";
/* Legal as far as it goes: a list whose writer never stops putting texts into it. */
static const char endless[] =
    "\x51\xac\xed\x00\x05\x77\x0f\x01uuuuuuuuuuuuuu"
    "\x73\x72\x00\x13java.util.ArrayList\x78\x81\xd2\x1d\x99\xc7\x61\x9d"
    "\x03\x00\x01I\x00\x04size\x70\x78\x70\x00\x00\x00\x02\x77\x04\x00\x00"
    "\x00\x02";

struct plan {
    const char *start;
    size_t len;
    int pause_ms; /* between two bytes; 0: at full speed */
    const char *more; /* goes on and on */
    size_t more_len;
    bool mute; /* takes what comes and says nothing */
};

static struct plan plan;
static struct peer *peer;

static void load_hello(struct peer_conn *conn, unsigned char *hello, size_t len)
{
    unsigned char *at = memmem(hello, len, "UnicastRef", 10);
    at += 10;
    at += 2 + (at[0] << 8 | at[1]);
    at[0] = at[1] = 0;
    at[2] = (unsigned char)(peer_port(peer) >> 8);
    at[3] = (unsigned char)peer_port(peer);
    (void)peer_send_bytes(conn, hello, len);
}

static void script(struct peer_conn *conn, unsigned nth, void *arg)
{
    (void)nth;
    (void)arg;
    char in[HELLO];
    size_t hello_len, login_len;
    if (plan.mute) {
        peer_stall(conn, 0);
        return;
    }
    unsigned char *hello = vector_load("jdk17-variants/03-eager-handshake.s2c.bin", &hello_len);
    unsigned char *login = vector_load("jdk17-plain/08-newClient.s2c.bin", &login_len);
    if (peer_read_exact(conn, in, HELLO)) {
        load_hello(conn, hello, hello_len);
        if (peer_read_exact(conn, in, LOGIN) && peer_send_bytes(conn, login, login_len) &&
            peer_read_some(conn, in, sizeof in) > 0 && peer_send_bytes(conn, plan.start, plan.len))
            while (peer_send_bytes(conn, plan.more, plan.pause_ms > 0 ? 1 : plan.more_len))
                if (plan.pause_ms > 0)
                    peer_stall(conn, plan.pause_ms);
    }
    free(hello);
    free(login);
}

static long peak_kb(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static void expect_bounded(enum fm_code code, const char *part)
{
    static const char *const attributes[] = {"Verbose"};
    struct fm_client *client = NULL;
    struct fm_jmx *jmx = NULL;
    struct fm_arena arena;
    struct fm_err err = {0};
    char url[64];
    struct fm_client_opts client_opts = {0};
    cr_assert_eq(fm_net_init(&err), FM_OK);
    cr_assert_eq(fm_client_new(&client, &client_opts, &err), FM_OK);
    fm_arena_init(&arena, 4 * LIMIT);
    peer = peer_start(script, NULL);
    (void)snprintf(url, sizeof url, "127.0.0.1:%u", (unsigned)peer_port(peer));
    struct fm_jmx_opts opts = {.client = client,
                               .url = url,
                               .timeout_ms = code == FM_ETIMEOUT ? TIMEOUT_MS : PATIENCE_MS,
                               .max_answer_bytes = LIMIT};
    cr_assert_eq(fm_jmx_new(&jmx, &opts, &err), FM_OK, "%s", err.text);
    struct fm_jmx_call call = {.op = FM_JMX_REASON, /* with READ an unreadable one is left out */
                               .name = "java.lang:type=Memory",
                               .attributes = attributes,
                               .n_attributes = 1};
    long before = peak_kb();
    int64_t start = fm_clock_ms();
    enum fm_code got = fm_jmx_run(jmx, &call, 1, &arena, NULL, &err);
    int64_t took = fm_clock_ms() - start;
    cr_expect_lt(took, opts.timeout_ms + 1000, "%s: %lld ms", part, (long long)took);
    cr_expect(got == code || call.code == code, "%s: %s, %s: %s / %s", part, fm_code_name(got),
              fm_code_name(call.code), err.text, call.err.text);
    cr_expect(strstr(err.text, part) != NULL || strstr(call.err.text, part) != NULL, "%s / %s",
              err.text, call.err.text);
    /* ASan keeps what is freed in quarantine, so this is far above what is in use. */
    cr_expect_lt(peak_kb() - before, 128 * 1024, "%s: %ld KB", part, peak_kb() - before);
    fm_jmx_free(jmx);
    fm_client_free(client);
    peer_stop(peer);
    fm_arena_clear(&arena);
}

Test(rmi_hostile, an_endless_text_ends_at_the_limit, .timeout = 30)
{
    static const char letters[16384] = {'a'};
    plan = (struct plan){long_text, sizeof long_text - 1, 0, letters, sizeof letters, false};
    expect_bounded(FM_ELIMIT, "bytes in one string");
}

Test(rmi_hostile, an_endless_list_ends_at_the_limit, .timeout = 30)
{
    char texts[4 * 4096];
    for (size_t i = 0; i < sizeof texts; i += 4)
        memcpy(texts + i, "\x74\x00\x01x", 4);
    plan = (struct plan){endless, sizeof endless - 1, 0, texts, sizeof texts, false};
    expect_bounded(FM_ELIMIT, "");
}

Test(rmi_hostile, an_endless_array_ends_at_the_limit, .timeout = 30)
{
    char nulls[16384];
    memset(nulls, 0x70, sizeof nulls);
    plan = (struct plan){long_array, sizeof long_array - 1, 0, nulls, sizeof nulls, false};
    expect_bounded(FM_ELIMIT, "");
}

Test(rmi_hostile, a_trickle_ends_at_the_deadline, .timeout = 30)
{
    plan = (struct plan){slow_text, sizeof slow_text - 1, 20, "u", 1, false};
    expect_bounded(FM_ETIMEOUT, "within 600 ms");
}

/* An HTTP server waits for the end of the request, a TLS server for the end of its first record. */
Test(rmi_hostile, a_port_that_says_nothing_is_told_with_what_it_may_be, .timeout = 30)
{
    plan = (struct plan){.mute = true};
    expect_bounded(FM_ETIMEOUT, "within 600 ms; is it the RMI port of a JVM?");
    expect_bounded(FM_ETIMEOUT, "tls = registry");
    expect_bounded(FM_ETIMEOUT, "http://");
}

Test(rmi_hostile, bytes_of_another_protocol_behind_the_login_end_at_once, .timeout = 30)
{
    static const char text[] = "HTTP/1.1 200 OK\r\n\r\n";
    plan = (struct plan){text, sizeof text - 1, 0, text, sizeof text - 1, false};
    expect_bounded(FM_EPROTO, "");
}

/* ---- all of UTF-16 ---- */

static size_t put_unit(unsigned char *out, unsigned unit)
{
    out[0] = (unsigned char)(0xe0 | unit >> 12);
    out[1] = (unsigned char)(0x80 | (unit >> 6 & 63));
    out[2] = (unsigned char)(0x80 | (unit & 63));
    return 3;
}

static void expect_text(unsigned first, unsigned second, uint32_t one, uint32_t other)
{
    unsigned char in[6];
    char out[16], want[8];
    size_t len = put_unit(in, first), n = fm_utf8_put(want, one);
    if (second <= 0xffff)
        len += put_unit(in + len, second);
    if (other <= 0x10ffff)
        n += fm_utf8_put(want + n, other);
    size_t got = fm_mutf8_decode(in, len, out);
    if (got != n || memcmp(out, want, n) != 0 || !fm_utf8_valid(out, got))
        cr_assert_fail("units %04x %x", first, second);
}

Test(rmi_hostile, every_code_unit_and_every_pair_becomes_valid_text)
{
    const unsigned none = 0x110000;
    for (unsigned u = 0; u <= 0xffff; u++) {
        bool surrogate = u >= 0xd800 && u <= 0xdfff;
        uint32_t cp = surrogate ? 0xfffd : u;
        expect_text(u, none, cp, none);
        expect_text(u, 'x', cp, 'x');
        expect_text('x', u, 'x', cp);
        if (u < 0xd800 || u > 0xdbff)
            expect_text(u, 0xdc00, cp, 0xfffd);
        if (u < 0xdc00 || u > 0xdfff)
            expect_text(0xdbff, u, 0xfffd, cp);
    }
    for (unsigned high = 0xd800; high <= 0xdbff; high++)
        for (unsigned low = 0xdc00; low <= 0xdfff; low++)
            expect_text(high, low, 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00), none);
}
