/* A fleet of JVMs in one process: each an address of loopback with a JMX port that speaks RMI as
 * the recorded answers of tests/data/jmx-vectors do. Healthy ones have beans of five Long
 * attributes; the next ones accept and never say a word; the last ones refuse. The server notes
 * when each healthy one is asked for its identity, which is how a poll begins, and judges from
 * outside whether the polls kept their grid.
 *
 * usage: fleet PORT HEALTHY HANGING REFUSING BEANS INTERVAL_MS FILE
 * writes FILE (a targets_file), prints "ready", and at SIGTERM one line of JSON. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "base/buf.h"

enum {
    HEAD = 41, /* of a call: 50, stream, block with object, operation and method */
    DESC = 45, /* of ObjectName, and 37 of String[], as the client writes them */
    STRINGS_DESC = 37,
    MAX_POLLS = 1000,
    MAX_BUFFER = 1 << 20
};

#define HASH_LOOKUP UINT64_C(0x97614f3f477a89c7)
#define HASH_NEW_CLIENT UINT64_C(0xf0e074eaad0caea8)
#define HASH_CLOSE UINT64_C(0xbe2e5bc7809d0dcc)
#define HASH_QUERY_NAMES UINT64_C(0x7f0473acb73677da)
#define HASH_GET_ATTRIBUTES UINT64_C(0x5739d96a8b235c47)

/* Bytes written down as they are. */
#define PUT(out, bytes) fm_buf_put(out, bytes, sizeof(bytes) - 1)

struct jvm {
    int listener; /* -1: refuses */
    int hangs;
    size_t n_polls;
    int64_t polls[MAX_POLLS]; /* monotonic ms */
};

struct link { /* a connection, or with jvm == NULL nothing; listeners have fd == -1 */
    struct jvm *jvm;
    int fd;
    int greeted;
    struct fm_buf in, out;
};

struct fleet {
    struct jvm *jvms;
    size_t n, healthy;
    unsigned beans;
    unsigned interval_ms;
    int epoll;
    struct fm_buf hello, login; /* recorded answers */
    uint64_t connects, calls;
};

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void load(struct fm_buf *out, const char *path)
{
    char part[4096];
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        die(path);
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;)
        fm_buf_put(out, part, n);
    (void)fclose(f);
}

/* The port in a stub stands behind the reference type and the host. */
static void set_port(struct fm_buf *stub, uint16_t port)
{
    unsigned char *at = memmem(stub->data, stub->len, "UnicastRef", 10);
    if (at == NULL)
        exit(1);
    at += 10;
    at += 2 + (at[0] << 8 | at[1]);
    at[0] = at[1] = 0;
    at[2] = (unsigned char)(port >> 8);
    at[3] = (unsigned char)port;
}

/* ---- answers ---- */

static void put_return(struct fm_buf *out)
{
    PUT(out, "\x51\xac\xed\x00\x05\x77\x0f\x01");
    PUT(out, "\xf9\xb0\xcb\x6f\x00\x00\x01\xa2\x03\x41\x9c\x00\x80\x2a");
}

static void put_utf(struct fm_buf *out, const char *text, size_t len)
{
    fm_buf_be16(out, (uint16_t)len);
    fm_buf_put(out, text, len);
}

static void put_names(struct fm_buf *out, unsigned n)
{
    put_return(out);
    PUT(out, "\x73\x72\x00\x11java.util.HashSet\xba\x44\x85\x95\x96\xb8\xb7\x34\x03\x00\x00");
    PUT(out, "\x70\x78\x70\x77\x0c\x00\x00\x01\x00\x3f\x40\x00\x00");
    fm_buf_be32(out, n);
    for (unsigned i = 0; i < n; i++) {
        char name[64];
        int len = snprintf(name, sizeof name, "bench:name=bean-%u,type=Bean", i);
        if (i == 0)
            PUT(out, "\x73\x72\x00\x1bjavax.management.ObjectName"
                     "\x0f\x03\xa7\x1b\xeb\x6d\x15\xcf\x03\x00\x00\x70\x78\x70");
        else
            PUT(out, "\x73\x71\x00\x7e\x00\x02");
        fm_buf_putc(out, 0x74);
        put_utf(out, name, (size_t)len);
        fm_buf_putc(out, 0x78);
    }
    fm_buf_putc(out, 0x78);
}

static void put_long(struct fm_buf *out, int64_t value, int *seen)
{
    if (!*seen)
        PUT(out, "\x73\x72\x00\x0ejava.lang.Long\x3b\x8b\xe4\x90\xcc\x8f\x23\xdf\x02\x00\x01"
                 "J\x00\x05value\x70\x78\x72\x00\x10java.lang.Number"
                 "\x86\xac\x95\x1d\x0b\x94\xe0\x8b\x02\x00\x00\x70\x78\x70");
    else
        PUT(out, "\x73\x71\x00\x7e\x00\x08");
    *seen = 1;
    fm_buf_be64(out, (uint64_t)value);
}

/* The attributes asked, in their order: Name is a text, all others are Longs. */
static void put_attributes(struct fm_buf *out, const struct fleet *fleet, const struct jvm *jvm,
                           const char *names, uint32_t n)
{
    int seen = 0;
    put_return(out);
    PUT(out, "\x73\x72\x00\x1ejavax.management.AttributeList\xc7\x6b\x48\x18\x1b\x48\x60\x6c"
             "\x02\x00\x00\x70\x78\x72\x00\x13java.util.ArrayList\x78\x81\xd2\x1d\x99\xc7\x61"
             "\x9d\x03\x00\x01I\x00\x04size\x70\x78\x70");
    fm_buf_be32(out, n);
    PUT(out, "\x77\x04");
    fm_buf_be32(out, n);
    for (uint32_t i = 0; i < n; i++) {
        const unsigned char *u = (const unsigned char *)names + 1;
        size_t len = (size_t)u[0] << 8 | u[1];
        if (i == 0)
            PUT(out, "\x73\x72\x00\x1ajavax.management.Attribute\x22\x79\xb9\x07\x53\x8b\x3b\x0e"
                     "\x02\x00\x02L\x00\x04name\x74\x00\x12Ljava/lang/String;L\x00\x05value\x74"
                     "\x00\x12Ljava/lang/Object;\x70\x78\x70");
        else
            PUT(out, "\x73\x71\x00\x7e\x00\x03");
        fm_buf_put(out, names, len + 3);
        if (len == 4 && memcmp(names + 3, "Name", 4) == 0) {
            char text[40];
            int size = snprintf(text, sizeof text, "%td@fleet", jvm - fleet->jvms);
            fm_buf_putc(out, 0x74);
            put_utf(out, text, (size_t)size);
        } else if (len == 9 && memcmp(names + 3, "StartTime", 9) == 0) {
            put_long(out, INT64_C(1763812800000), &seen);
        } else {
            put_long(out, (int64_t)fleet->calls, &seen);
        }
        names += len + 3;
    }
    fm_buf_putc(out, 0x78);
}

/* ---- calls ---- */

/* The length of a string item at p, 0: not all there. */
static size_t string_len(const char *p, const char *end)
{
    const unsigned char *u = (const unsigned char *)p;
    if (end - p < 3)
        return 0;
    size_t len = 3 + ((size_t)u[1] << 8 | u[2]);
    return (size_t)(end - p) < len ? 0 : len;
}

/* @return where the argument ends; NULL: not all there */
static const char *skip_name(const char *p, const char *end, const char **name)
{
    if (end - p < DESC)
        return NULL;
    *name = p + DESC;
    size_t len = string_len(*name, end);
    return len == 0 || end - *name < (ptrdiff_t)len + 1 ? NULL : *name + len + 1;
}

static const char *skip_strings(const char *p, const char *end, const char **names, uint32_t *n)
{
    if (end - p < STRINGS_DESC + 4)
        return NULL;
    const unsigned char *u = (const unsigned char *)p + STRINGS_DESC;
    *n = (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
    p += STRINGS_DESC + 4;
    *names = p;
    for (uint32_t i = 0; i < *n; i++) {
        size_t len = string_len(p, end);
        if (len == 0)
            return NULL;
        p += len;
    }
    return p;
}

/* One call of the input. @return its length; 0: not all there */
static size_t serve_call(struct fleet *fleet, struct link *link)
{
    const char *start = link->in.data, *end = start + link->in.len, *p = start + HEAD;
    const char *name = NULL, *names = NULL;
    uint64_t hash = 0;
    uint32_t n = 0;
    if (link->in.len < HEAD)
        return 0;
    for (size_t i = HEAD - 8; i < HEAD; i++)
        hash = hash << 8 | (unsigned char)start[i];
    switch (hash) {
    case HASH_LOOKUP:
        p += string_len(p, end);
        if (p == start + HEAD)
            return 0;
        fm_buf_put(&link->out, fleet->hello.data, fleet->hello.len);
        break;
    case HASH_NEW_CLIENT:
        if (++p > end)
            return 0;
        fm_buf_put(&link->out, fleet->login.data, fleet->login.len);
        break;
    case HASH_CLOSE:
        put_return(&link->out);
        break;
    case HASH_QUERY_NAMES:
        p = skip_name(p, end, &name);
        if (p == NULL || (p += 2) > end)
            return 0;
        put_names(&link->out, fleet->beans);
        break;
    case HASH_GET_ATTRIBUTES:
        p = skip_name(p, end, &name);
        p = p != NULL ? skip_strings(p, end, &names, &n) : NULL;
        if (p == NULL || ++p > end)
            return 0;
        if (memmem(name, (size_t)(names - name), "type=Runtime", 12) != NULL &&
            link->jvm->n_polls < MAX_POLLS)
            link->jvm->polls[link->jvm->n_polls++] = now_ms();
        put_attributes(&link->out, fleet, link->jvm, names, n);
        break;
    default:
        (void)fprintf(stderr, "fleet: unknown method %llx\n", (unsigned long long)hash);
        exit(1);
    }
    fleet->calls++;
    return (size_t)(p - start);
}

static void drop(struct link *link)
{
    (void)close(link->fd);
    fm_buf_clear(&link->in);
    fm_buf_clear(&link->out);
    free(link);
}

static void serve(struct fleet *fleet, struct link *link)
{
    char part[65536];
    ssize_t n = recv(link->fd, part, sizeof part, 0);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            drop(link);
        return;
    }
    if (link->jvm->hangs)
        return;
    fm_buf_put(&link->in, part, (size_t)n);
    if (!link->greeted && link->in.len >= 13) {
        link->greeted = 1;
        PUT(&link->out, "\x4e\x00\x09"
                        "127.0.0.1\x00\x00\x8a\x70");
        fm_buf_consume(&link->in, 13);
    }
    for (size_t done; link->greeted && (done = serve_call(fleet, link)) > 0;)
        fm_buf_consume(&link->in, done);
    for (size_t sent = 0; sent < link->out.len;) { /* the peer reads: loopback takes it all */
        ssize_t put = send(link->fd, link->out.data + sent, link->out.len - sent, MSG_NOSIGNAL);
        if (put < 0 && errno != EAGAIN) {
            drop(link);
            return;
        }
        sent += put > 0 ? (size_t)put : 0;
    }
    fm_buf_reset(&link->out);
}

static void watch(struct fleet *fleet, struct link *link, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = link};
    if (epoll_ctl(fleet->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll_ctl");
}

static struct link *new_link(struct jvm *jvm, int fd)
{
    struct link *link = calloc(1, sizeof *link);
    if (link == NULL)
        die("calloc");
    link->jvm = jvm;
    link->fd = fd;
    fm_buf_init(&link->in, MAX_BUFFER);
    fm_buf_init(&link->out, 0);
    return link;
}

static void take_connection(struct fleet *fleet, struct jvm *jvm)
{
    int one = 1, fd = accept4(jvm->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fleet->connects++;
    watch(fleet, new_link(jvm, fd), fd);
}

/* ---- the verdict ---- */

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* How late each poll was against the earliest place in the grid at which this JVM was ever asked;
 * the first poll of each is at its start and not on the grid. */
static void report(struct fleet *fleet)
{
    int64_t *late = calloc(fleet->healthy * MAX_POLLS + 1, sizeof *late);
    size_t n = 0, fewest = SIZE_MAX, most = 0, gaps = 0;
    int64_t interval = fleet->interval_ms;
    for (size_t i = 0; late != NULL && i < fleet->healthy; i++) {
        const struct jvm *jvm = &fleet->jvms[i];
        int64_t earliest = 0;
        if (jvm->n_polls < fewest)
            fewest = jvm->n_polls;
        if (jvm->n_polls > most)
            most = jvm->n_polls;
        for (size_t k = 2; k < jvm->n_polls; k++) {
            int64_t off = (jvm->polls[k] - jvm->polls[1]) % interval;
            off = off > interval / 2 ? off - interval : off;
            earliest = off < earliest ? off : earliest;
            gaps += jvm->polls[k] - jvm->polls[k - 1] > interval * 3 / 2;
        }
        for (size_t k = 1; k < jvm->n_polls; k++) {
            int64_t off = (jvm->polls[k] - jvm->polls[1]) % interval;
            late[n++] = (off > interval / 2 ? off - interval : off) - earliest;
        }
    }
    qsort(late, n, sizeof *late, compare);
    (void)printf("{\"polls\":%zu,\"fewest\":%zu,\"most\":%zu,\"gaps\":%zu,\"late_p50_ms\":%lld,"
                 "\"late_p99_ms\":%lld,\"late_max_ms\":%lld,\"connects\":%llu,\"calls\":%llu}\n",
                 n, fewest, most, gaps, n > 0 ? (long long)late[n / 2] : 0LL,
                 n > 0 ? (long long)late[n * 99 / 100] : 0LL, n > 0 ? (long long)late[n - 1] : 0LL,
                 (unsigned long long)fleet->connects, (unsigned long long)fleet->calls);
    free(late);
}

/* ---- life ---- */

static void address_of(size_t i, struct in_addr *out)
{
    out->s_addr = htonl(0x7f010000u + (uint32_t)(i / 200) * 256 + (uint32_t)(i % 200) + 1);
}

static void open_jvm(struct fleet *fleet, struct jvm *jvm, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1;
    address_of((size_t)(jvm - fleet->jvms), &address.sin_addr);
    jvm->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)setsockopt(jvm->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(jvm->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(jvm->listener, 16) != 0)
        die("listen");
    watch(fleet, new_link(jvm, -1), jvm->listener);
}

static void write_file(const struct fleet *fleet, const char *path, uint16_t port)
{
    FILE *f = fopen(path, "w");
    if (f == NULL)
        die(path);
    (void)fputs("[{\"labels\":{\"fleet\":\"bench\"},\"targets\":[", f);
    for (size_t i = 0; i < fleet->n; i++) {
        struct in_addr address;
        char text[INET_ADDRSTRLEN];
        address_of(i, &address);
        (void)fprintf(f, "%s\"%s:%u\"", i > 0 ? "," : "",
                      inet_ntop(AF_INET, &address, text, sizeof text), port);
    }
    (void)fputs("]}]\n", f);
    if (fclose(f) != 0)
        die(path);
}

static void run(struct fleet *fleet, int signals)
{
    struct epoll_event events[64];
    watch(fleet, NULL, signals);
    for (;;) {
        int n = epoll_wait(fleet->epoll, events, 64, -1);
        for (int i = 0; i < n; i++) {
            struct link *link = events[i].data.ptr;
            if (link == NULL)
                return;
            if (link->fd < 0)
                take_connection(fleet, link->jvm);
            else
                serve(fleet, link);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 8)
        return 2;
    uint16_t port = (uint16_t)strtoul(argv[1], NULL, 10);
    size_t hanging = strtoul(argv[3], NULL, 10), refusing = strtoul(argv[4], NULL, 10);
    struct fleet fleet = {.healthy = strtoul(argv[2], NULL, 10),
                          .beans = (unsigned)strtoul(argv[5], NULL, 10),
                          .interval_ms = (unsigned)strtoul(argv[6], NULL, 10)};
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    fleet.n = fleet.healthy + hanging + refusing;
    fleet.jvms = calloc(fleet.n + 1, sizeof *fleet.jvms);
    fleet.epoll = epoll_create1(EPOLL_CLOEXEC);
    fm_buf_init(&fleet.hello, 0);
    fm_buf_init(&fleet.login, 0);
    load(&fleet.hello, "tests/data/jmx-vectors/jdk17-variants/03-eager-handshake.s2c.bin");
    load(&fleet.login, "tests/data/jmx-vectors/jdk17-plain/08-newClient.s2c.bin");
    fm_buf_consume(&fleet.hello, 16); /* its acknowledge is said at the greeting */
    set_port(&fleet.hello, port);
    for (size_t i = 0; i < fleet.healthy + hanging; i++) {
        fleet.jvms[i].hangs = i >= fleet.healthy;
        open_jvm(&fleet, &fleet.jvms[i], port);
    }
    write_file(&fleet, argv[7], port);
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)puts("ready");
    (void)fflush(stdout);
    run(&fleet, signalfd(-1, &set, SFD_CLOEXEC));
    report(&fleet);
    return 0;
}
