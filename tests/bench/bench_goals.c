/* Small goals, each with its limit. "start": from starting `produce` to the answer to its first
 * request, over HTTPS, with a small CA file and with the system's bundle; the best of many, as the
 * machine has other work. "tls": CPU of a request on a new connection over a kept one, which is a
 * handshake resumed. "memory": RSS of a sender under full load, four requests in flight, over that
 * when idle and over what its queue may hold. "health": /health, requests a second beside bare
 * libmicrohttpd, and its 99th percentile.
 *
 * usage: bench_goals [start] [tls] [memory] [health]    B = the build folder */
#include <arpa/inet.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "http/http.h"
#include "proxy.h"
#include "rest/rest.h"

static char dir[] = "/tmp/fm-goals-XXXXXX";
static struct proxy proxy;

static void must(enum fm_code code, const struct fm_err *err)
{
    if (code != FM_OK)
        proxy_fail(fm_err_text(err));
}

static void tell(const char *name, const char *unit, double value, double limit, bool at_least)
{
    bool holds = at_least ? value >= limit : value <= limit;
    (void)printf("goal %-44s %8.2f %s (limit %.2f: %s)\n", name, value, unit, limit,
                 holds ? "holds" : "MISSED");
    (void)fflush(stdout);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double quantile(double *list, size_t n, double q)
{
    qsort(list, n, sizeof *list, ascending);
    size_t at = (size_t)(q * (double)n);
    return list[at < n ? at : n - 1];
}

static double cpu_s(void)
{
    struct rusage u;
    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* ---- start ---- */

/* The system's bundle with our CA behind it. @return false: there is no such bundle */
static bool big_bundle(const char *path)
{
    char command[300];
    const char *system = "/etc/ssl/certs/ca-certificates.crt";
    if (access(system, R_OK) != 0)
        return false;
    FILE *out = fopen(path, "w");
    const char *const parts[] = {system, command};
    (void)snprintf(command, sizeof command, "%s/ca.pem", dir);
    for (int i = 0; i < 2 && out != NULL; i++) {
        FILE *in = fopen(parts[i], "r");
        for (int c; in != NULL && (c = getc(in)) != EOF;)
            (void)putc(c, out);
        if (in != NULL)
            (void)fclose(in);
    }
    return out != NULL && fclose(out) == 0;
}

static double start_once(const char *ca)
{
    char program[200], config[96], lines[96], url[96], ca_file[160];
    const char *build = getenv("B");
    int status = 1;
    (void)snprintf(program, sizeof program, "%s/firstmile", build != NULL ? build : "build");
    (void)snprintf(config, sizeof config, "%s/config.ini", dir);
    (void)snprintf(lines, sizeof lines, "%s/lines.json", dir);
    (void)snprintf(url, sizeof url, "rest.url=https://127.0.0.1:%u", (unsigned)proxy.port[1]);
    (void)snprintf(ca_file, sizeof ca_file, "rest.ca_file=%s", ca);
    atomic_store(proxy.answered_ns, 0);
    int64_t began = fm_clock_ns();
    pid_t pid = fork();
    if (pid == 0) {
        int quiet = open("/dev/null", O_RDWR | O_CLOEXEC);
        (void)dup2(quiet, 1);
        (void)execl(program, program, "-q", "-c", config, "-o", url, "-o", ca_file, "produce", "t",
                    lines, (char *)NULL);
        _exit(127);
    }
    if (waitpid(pid, &status, 0) != pid || status != 0 || atomic_load(proxy.answered_ns) == 0)
        proxy_fail("produce failed");
    return (double)(atomic_load(proxy.answered_ns) - began) / 1e6;
}

static void start(void)
{
    enum { RUNS = 40 };
    char ca[96], bundle[96], path[96];
    double took[RUNS];
    (void)snprintf(path, sizeof path, "%s/config.ini", dir);
    (void)close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    (void)snprintf(path, sizeof path, "%s/lines.json", dir);
    FILE *lines = fopen(path, "w");
    for (int i = 0; lines != NULL && i < 1000; i++)
        (void)fprintf(lines, "{\"n\":%d,\"pad\":\"%0250d\"}\n", i, i);
    if (lines == NULL || fclose(lines) != 0)
        proxy_fail("no room for the lines");
    (void)snprintf(ca, sizeof ca, "%s/ca.pem", dir);
    for (int i = 0; i < RUNS; i++)
        took[i] = start_once(ca);
    tell("start to first answer, small CA file, best", "ms", quantile(took, RUNS, 0), 15, false);
    (void)printf("goal start: p50 %.1f ms\n", quantile(took, RUNS, 0.5));
    (void)snprintf(bundle, sizeof bundle, "%s/bundle.pem", dir);
    if (!big_bundle(bundle))
        return;
    for (int i = 0; i < RUNS; i++)
        took[i] = start_once(bundle);
    tell("start to first answer, system bundle, best", "ms", quantile(took, RUNS, 0), 40, false);
    (void)printf("goal start: p50 %.1f ms\n", quantile(took, RUNS, 0.5));
}

/* ---- tls ---- */

/* @param resumed  counts those that the server calls so */
static double requests(struct fm_client *client, unsigned port, const char *ca, bool fresh, int n,
                       int *resumed)
{
    char url[96];
    const struct fm_tls tls = {.ca_file = ca};
    struct fm_err err = {0};
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%u/", port);
    const struct fm_http_request request = {
        .method = "GET", .url = url, .tls = &tls, .timeout_ms = 5000, .fresh = fresh};
    double before = cpu_s();
    for (int i = 0; i < n; i++) {
        struct fm_http_answer answer;
        char *body = NULL;
        must(fm_client_call(client, &request, &answer, &body, &err), &err);
        if (answer.failure != FM_HTTP_OK || answer.status != 200 ||
            (i > 0 && answer.reused == fresh))
            proxy_fail("a request was not answered as it should be");
        *resumed += strstr(body, "true") != NULL;
        free(body);
    }
    return (cpu_s() - before) * 1e3 / n;
}

/* @return its port */
static unsigned tls_server(pid_t *pid)
{
    char cert[96], key[96], line[16] = "";
    int out[2];
    (void)snprintf(cert, sizeof cert, "%s/server.pem", dir);
    (void)snprintf(key, sizeof key, "%s/server.key", dir);
    if (pipe(out) != 0)
        proxy_fail("no pipe");
    *pid = fork();
    if (*pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(out[1], 1);
        (void)execlp("python3", "python3", "tests/bench/tls_server.py", cert, key, (char *)NULL);
        _exit(127);
    }
    (void)close(out[1]);
    if (read(out[0], line, sizeof line - 1) <= 0)
        proxy_fail("no TLS server");
    (void)close(out[0]);
    return (unsigned)strtoul(line, NULL, 10);
}

static void tls(void)
{
    enum { RUNS = 300 };
    char ca[96], bundle[96];
    struct fm_client *client;
    struct fm_err err = {0};
    const struct fm_client_opts opts = {.idle_age_ms = 25000};
    pid_t server;
    unsigned port = tls_server(&server);
    (void)snprintf(ca, sizeof ca, "%s/ca.pem", dir);
    (void)snprintf(bundle, sizeof bundle, "%s/bundle.pem", dir);
    const char *const files[] = {ca, big_bundle(bundle) ? bundle : NULL};
    for (int i = 0; i < 2 && files[i] != NULL; i++) {
        must(fm_client_new(&client, &opts, &err), &err);
        int resumed = 0, ignored = 0;
        /* A file of certificates is read again in the second in which it was seen first. */
        for (int64_t end = fm_clock_ms() + 2000; fm_clock_ms() < end;)
            (void)requests(client, port, files[i], true, 10, &ignored);
        double kept = requests(client, port, files[i], false, RUNS, &ignored);
        double fresh = requests(client, port, files[i], true, RUNS, &resumed);
        (void)printf("goal tls: %d of %d resumed\n", resumed, RUNS);
        tell(i == 0 ? "TLS connection anew, small CA file" : "TLS connection anew, system bundle",
             "ms CPU", fresh - kept, 1, false);
        fm_client_free(client);
    }
    (void)kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
}

/* ---- memory ---- */

static double status_mb(const char *name)
{
    char line[200];
    long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            kb = strtol(line + strlen(name), NULL, 10);
    if (f != NULL)
        (void)fclose(f);
    return (double)kb / 1024;
}

static void wakeup(void *arg)
{
    struct fm_rest **rest = arg;
    if (*rest != NULL)
        fm_rest_wakeup(*rest);
}

static void feed(struct fm_spool *spool, size_t from, size_t n)
{
    struct fm_err err = {0};
    char value[320], key[16];
    for (size_t i = from; i < from + n;) {
        struct fm_chunk *chunk;
        must(fm_chunk_new(&chunk, "t", &err), &err);
        for (; fm_chunk_bytes(chunk) < FM_CHUNK_BYTES - 512 && i < from + n; i++) {
            (void)snprintf(value, sizeof value, "{\"v\":1,\"n\":%zu,\"pad\":\"%0260d\"}", i, 7);
            (void)snprintf(key, sizeof key, "web-%zu", i % 100);
            const struct fm_record rec = {.partition = FM_NO_PARTITION,
                                          .key = key,
                                          .key_len = strlen(key),
                                          .value = value,
                                          .value_len = strlen(value),
                                          .id_at = 7};
            must(fm_chunk_add(chunk, &rec, NULL, 0, &err), &err);
        }
        while (fm_spool_append(spool, &chunk, &err) == FM_EFULL)
            must(fm_spool_flush(spool, 60000, &err), &err);
    }
    must(fm_spool_flush(spool, 60000, &err), &err);
}

/* In a process of its own. */
static void memory(void)
{
    enum { QUEUE = 8 << 20, ACCEPTED = 1 << 20, RECORDS = 1000000 };
    char url[64], ca[96];
    struct fm_err err = {0};
    struct fm_spool *spool;
    struct fm_rest *rest = NULL;
    const char *const urls[] = {url};
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%u", (unsigned)proxy.port[1]);
    (void)snprintf(ca, sizeof ca, "%s/ca.pem", dir);
    const struct fm_spool_opts so = {.agent = "edge-7",
                                     .machine_id = "m",
                                     .max_size = QUEUE - ACCEPTED,
                                     .queue_max = ACCEPTED,
                                     .on_full = FM_SPOOL_BLOCK,
                                     .commit_ms = 50,
                                     .on_commit = wakeup,
                                     .on_commit_arg = &rest};
    struct fm_rest_opts o = {.urls = urls, .n_urls = 1, .max_in_flight = 4};
    o.tls.ca_file = ca;
    must(fm_net_init(&err), &err);
    must(fm_spool_open(&spool, &so, &err), &err);
    o.spool = spool;
    must(fm_rest_new(&rest, &o, &err), &err);
    must(fm_rest_start(rest, &err), &err);
    feed(spool, 1, 10);
    must(fm_rest_drain(rest, 10000, &err), &err);
    double idle = status_mb("VmRSS:");
    feed(spool, 11, RECORDS);
    must(fm_rest_drain(rest, 60000, &err), &err);
    double most = status_mb("VmHWM:");
    (void)printf("goal memory: idle %.1f MB, highest %.1f MB, queue of %d MB\n", idle, most,
                 QUEUE >> 20);
    tell("RSS under load over idle and queue", "MB", most - idle - (QUEUE >> 20), 4, false);
    exit(0);
}

/* ---- health ---- */

#define HEALTH                                                                                     \
    "{\"status\":\"ok\",\"reasons\":[],\"notes\":[],\"agent\":\"edge-7\",\"version\":\"0.1.0\","   \
    "\"since_ms\":1763812800000,\"spool_records\":12,\"topics\":{\"jvm\":\"run\"}}\n"

static enum MHD_Result bare_answer(void *arg, struct MHD_Connection *connection, const char *url,
                                   const char *method, const char *version, const char *upload,
                                   size_t *size, void **state)
{
    static int seen;
    (void)url, (void)method, (void)version, (void)upload, (void)size;
    if (*state == NULL) { /* as everybody does: the head first */
        *state = &seen;
        return MHD_YES;
    }
    return MHD_queue_response(connection, MHD_HTTP_OK, arg);
}

/* @return the port, of a server in a child */
static unsigned serve(bool bare, pid_t *pid)
{
    int pipes[2];
    unsigned port = 0;
    if (pipe(pipes) != 0)
        proxy_fail("no pipe");
    *pid = fork();
    if (*pid == 0) {
        struct fm_err err = {0};
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (bare) {
            struct MHD_Response *r = MHD_create_response_from_buffer(
                sizeof HEALTH - 1, (void *)(uintptr_t)HEALTH, MHD_RESPMEM_PERSISTENT);
            (void)MHD_add_response_header(r, "Content-Type", "application/json");
            struct sockaddr_in at = {.sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
            struct MHD_Daemon *d = MHD_start_daemon(
                MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TCP_FASTOPEN, 0, NULL, NULL, bare_answer, r,
                MHD_OPTION_SOCK_ADDR, &at, MHD_OPTION_CONNECTION_LIMIT, 100U, MHD_OPTION_END);
            if (d == NULL)
                proxy_fail("no bare libmicrohttpd");
            port = MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT)->port;
        } else {
            struct fm_http *http;
            const struct fm_http_opts opts = {.listen = "127.0.0.1:0", .max_connections = 100};
            const struct fm_http_docs docs = {.health = HEALTH,
                                              .health_len = sizeof HEALTH - 1,
                                              .stats = "{}",
                                              .stats_len = 2,
                                              .metrics = "",
                                              .ready = true};
            must(fm_http_start(&http, &opts, &err), &err);
            must(fm_http_publish(http, &docs, &err), &err);
            port = fm_http_port(http);
        }
        if (write(pipes[1], &port, sizeof port) != sizeof port)
            _exit(1);
        for (;;)
            (void)pause();
    }
    if (read(pipes[0], &port, sizeof port) != sizeof port)
        proxy_fail("no server");
    (void)close(pipes[0]);
    (void)close(pipes[1]);
    return port;
}

struct asker {
    int fd;
    size_t have;
    int64_t asked;
};

static void ask(struct asker *a, unsigned port)
{
    char text[120];
    int len =
        snprintf(text, sizeof text, "GET /health HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", port);
    a->have = 0;
    a->asked = fm_clock_ns();
    if (write(a->fd, text, (size_t)len) != len)
        proxy_fail("a server closed a connection");
}

/* Keeps n connections busy for a second. @return requests a second; *p99 in milliseconds */
static double load(unsigned port, int n, double *p99)
{
    enum { MOST = 64, KEPT = 400000 };
    static double took[KEPT];
    struct asker askers[MOST];
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    size_t done = 0, whole = 0;
    int one = 1, poll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < n; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &askers[i]};
        askers[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        (void)setsockopt(askers[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (connect(askers[i].fd, (struct sockaddr *)&at, sizeof at) != 0 ||
            epoll_ctl(poll, EPOLL_CTL_ADD, askers[i].fd, &e) != 0)
            proxy_fail("cannot connect");
    }
    int64_t began = fm_clock_ns(), end = began + 1000000000;
    for (int i = 0; i < n; i++)
        ask(&askers[i], port);
    while (fm_clock_ns() < end) {
        struct epoll_event events[MOST];
        int got = epoll_wait(poll, events, MOST, 1000);
        for (int i = 0; i < got; i++) {
            struct asker *a = events[i].data.ptr;
            char text[4096];
            ssize_t len = read(a->fd, text, sizeof text - 1);
            if (len <= 0)
                proxy_fail("a server closed a connection");
            text[len] = '\0';
            a->have += (size_t)len;
            if (whole == 0) { /* all answers are as long as the first */
                const char *body = strstr(text, "\r\n\r\n");
                if (body == NULL || strncmp(text, "HTTP/1.1 200", 12) != 0)
                    proxy_fail("no answer");
                whole = (size_t)(body + 4 - text) + sizeof HEALTH - 1;
            }
            if (a->have < whole)
                continue;
            if (done < KEPT)
                took[done] = (double)(fm_clock_ns() - a->asked) / 1e6;
            done++;
            ask(a, port);
        }
    }
    double seconds = (double)(fm_clock_ns() - began) / 1e9;
    for (int i = 0; i < n; i++)
        (void)close(askers[i].fd);
    (void)close(poll);
    *p99 = quantile(took, done < KEPT ? done : KEPT, 0.99);
    return (double)done / seconds;
}

static void health(void)
{
    enum { ROUNDS = 5 };
    pid_t pid[2];
    double ratio[ROUNDS], rate[ROUNDS], late[ROUNDS], ignored;
    unsigned bare = serve(true, &pid[0]), own = serve(false, &pid[1]);
    for (int i = 0; i < ROUNDS; i++) {
        double yardstick = load(bare, 8, &ignored);
        rate[i] = load(own, 8, &ignored);
        ratio[i] = rate[i] / ((yardstick + load(bare, 8, &ignored)) / 2);
        (void)load(own, 64, &late[i]);
    }
    (void)printf("goal health: %.0f requests a second\n", quantile(rate, ROUNDS, 0.5));
    tell("/health beside bare libmicrohttpd, 8 at a time", "x", quantile(ratio, ROUNDS, 0.5), 0.9,
         true);
    tell("/health, 64 at a time, p99, best round", "ms", quantile(late, ROUNDS, 0), 2, false);
    for (int i = 0; i < 2; i++) {
        (void)kill(pid[i], SIGKILL);
        (void)waitpid(pid[i], NULL, 0);
    }
}

static bool wanted(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc < 2;
}

int main(int argc, char **argv)
{
    struct fm_err err = {0};
    if (mkdtemp(dir) == NULL)
        proxy_fail("cannot start");
    proxy_start(&proxy, dir, 0);
    if (wanted(argc, argv, "memory")) { /* before libcurl and any thread */
        pid_t pid = fork();
        if (pid == 0)
            memory();
        int status = 1;
        if (waitpid(pid, &status, 0) != pid || status != 0)
            proxy_fail("the sender failed");
    }
    if (wanted(argc, argv, "health"))
        health();
    must(fm_net_init(&err), &err);
    if (wanted(argc, argv, "tls"))
        tls();
    if (wanted(argc, argv, "start"))
        start();
    proxy_stop(&proxy);
    (void)fflush(stdout);
    (void)execlp("rm", "rm", "-rf", dir, (char *)NULL);
    return 1;
}
