/* The whole sandbox behind its server: real sockets on loopback. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "sandbox/sandbox.h"

static struct fm_sandbox *start(const struct fm_sandbox_opts *opts)
{
    struct fm_sandbox *sandbox;
    struct fm_err err;
    fm_err_clear(&err);
    cr_assert_eq(fm_sandbox_start(&sandbox, opts, &err), FM_OK, "%s", fm_err_text(&err));
    cr_assert_neq(fm_sandbox_port(sandbox), 0);
    return sandbox;
}

static int dial(const struct fm_sandbox *sandbox)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(fm_sandbox_port(sandbox)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void post(int fd, const char *body)
{
    char text[1024];
    int n = snprintf(text, sizeof text,
                     "POST /topics/jmx HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                     "application/vnd.kafka.json.v2+json\r\nContent-Length: %zu\r\n\r\n%s",
                     strlen(body), body);
    cr_assert_eq(send(fd, text, (size_t)n, MSG_NOSIGNAL), n);
}

/* Read until the text holds `until` (NULL: until the connection ends).
 * @return 1, 0 at the end of the connection, -1 for a reset */
static int receive(int fd, char *out, size_t size, const char *until)
{
    int64_t deadline = fm_clock_ms() + 10000;
    size_t len = 0;
    out[0] = '\0';
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = deadline - fm_clock_ms();
        cr_assert(left > 0 && poll(&p, 1, (int)left) == 1, "no answer; so far: %s", out);
        ssize_t n = recv(fd, out + len, size - 1 - len, 0);
        if (n <= 0)
            return n == 0 ? 0 : -1;
        len += (size_t)n;
        out[len] = '\0';
        if (until != NULL && strstr(out, until) != NULL)
            return 1;
    }
}

static const char one[] = "{\"records\":[{\"key\":\"k\",\"value\":{\"seq\":1}}]}";

Test(sandbox, serves_on_a_free_port_and_keeps_the_connection)
{
    struct fm_sandbox_opts opts = {0};
    struct fm_sandbox *sandbox = start(&opts);
    char text[4096];
    int fd = dial(sandbox);
    for (int i = 0; i < 3; i++) {
        post(fd, one);
        cr_assert_eq(receive(fd, text, sizeof text, "\"value_schema_id\":null}"), 1, "%s", text);
        cr_assert_not_null(strstr(text, "HTTP/1.1 200"));
    }
    static const char get[] =
        "GET /topics/jmx/partitions/0/records?offset=2&max=5 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    cr_assert_eq(send(fd, get, sizeof get - 1, MSG_NOSIGNAL), (ssize_t)sizeof get - 1);
    cr_assert_eq(receive(fd, text, sizeof text, "}]"), 1);
    cr_assert_not_null(strstr(text, "[{\"topic\":\"jmx\",\"key\":\"k\",\"value\":{\"seq\":1},"
                                    "\"partition\":0,\"offset\":2,"));
    struct fm_sandbox_stats stats;
    fm_sandbox_stats(sandbox, &stats);
    cr_assert_eq(stats.requests, 4);
    cr_assert_eq(stats.records, 3);
    cr_assert_eq(stats.bytes, 3 * (3 + 9));
    (void)close(fd);
    fm_sandbox_stop(sandbox);
}

Test(sandbox, cuts_resets_and_delays_on_the_wire)
{
    struct fm_sandbox_opts opts = {.faults = "1 cut 12\n2 reset\n3 delay 100ms\n"};
    struct fm_sandbox *sandbox = start(&opts);
    char text[4096];
    int fd = dial(sandbox);
    post(fd, one);
    (void)receive(fd, text, sizeof text, NULL);
    const char *body = strstr(text, "\r\n\r\n");
    cr_assert_not_null(body);
    cr_assert_str_eq(body + 4, "{\"offsets\":[", "%s", text);
    (void)close(fd);
    fd = dial(sandbox);
    post(fd, one);
    cr_assert_eq(receive(fd, text, sizeof text, NULL), -1, "a reset, not an end: %s", text);
    (void)close(fd);
    fd = dial(sandbox);
    int64_t begin = fm_clock_ms();
    post(fd, one);
    cr_assert_eq(receive(fd, text, sizeof text, "\"value_schema_id\":null}"), 1);
    cr_assert(fm_clock_ms() - begin >= 100);
    (void)close(fd);
    fm_sandbox_stop(sandbox);
}

Test(sandbox, stops_while_clients_wait_for_delayed_and_hanging_answers)
{
    struct fm_sandbox_opts opts = {.faults = "1 delay 1m\n2+ hang\n"};
    struct fm_sandbox *sandbox = start(&opts);
    int fd[3];
    for (int i = 0; i < 3; i++) {
        fd[i] = dial(sandbox);
        post(fd[i], one);
    }
    struct fm_sandbox_stats stats;
    int64_t deadline = fm_clock_ms() + 10000;
    do {
        fm_sandbox_stats(sandbox, &stats);
        (void)poll(NULL, 0, 5);
    } while (stats.produced < 3 && fm_clock_ms() < deadline);
    cr_assert_eq(stats.produced, 3);
    int64_t begin = fm_clock_ms();
    fm_sandbox_stop(sandbox);
    cr_assert(fm_clock_ms() - begin < 3000);
    for (int i = 0; i < 3; i++)
        (void)close(fd[i]);
}

Test(sandbox, says_what_is_wrong_with_the_listen_address_and_files)
{
    static const struct fm_sandbox_opts rows[] = {
        {.listen = "127.0.0.1:99999"},
        {.cert_file = "/nonexistent.pem", .key_file = "/nonexistent.key"},
        {.faults = "1 nonsense"},
        {.kafka = ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fm_sandbox *sandbox = NULL;
        struct fm_err err;
        fm_err_clear(&err);
        enum fm_code code = fm_sandbox_start(&sandbox, &rows[i], &err);
        cr_assert_eq(code, FM_ECONF, "row %zu: %s: %s", i, fm_code_name(code), fm_err_text(&err));
        cr_assert_neq(err.text[0], '\0');
        cr_assert_null(sandbox);
    }
    fm_sandbox_stop(NULL);
}
