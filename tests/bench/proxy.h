/* A stand-in for a REST proxy in a child process, over HTTP and HTTPS: it takes any POST, accepts
 * as many records as the body has, and answers at once or so many milliseconds after it has it
 * whole. */
#ifndef FM_BENCH_PROXY_H
#define FM_BENCH_PROXY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "net/server.h"

enum { PROXY_QUEUE = 64 };

struct proxy {
    pid_t pid;
    uint16_t port[2]; /* HTTP, HTTPS */
    _Atomic int64_t *answered_ns; /* fm_clock_ns() of the first POST's answer; 0: none since */
};

struct proxy_late { /* in the child */
    int ms;
    _Atomic int64_t *answered_ns;
    struct fm_buf body;
    pthread_mutex_t lock;
    struct {
        struct fm_server_call *call;
        size_t n;
        int64_t due;
    } queue[PROXY_QUEUE]; /* in order: all are late alike */
    size_t head, n;
};

static inline void proxy_fail(const char *what)
{
    (void)fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static inline void proxy_answer(struct fm_server_call *call, struct fm_buf *body)
{
    struct fm_server_reply reply;
    fm_server_reply_init(&reply);
    reply.content_type = "application/vnd.kafka.v2+json";
    reply.body = fm_buf_str(body);
    reply.body_len = body->len;
    fm_server_answer(call, &reply);
}

static inline void proxy_accept(struct proxy_late *late, struct fm_server_call *call, size_t n)
{
    static const char entry[] =
        "{\"partition\":0,\"offset\":123456,\"error_code\":null,\"error\":null}";
    int64_t none = 0;
    fm_buf_reset(&late->body);
    fm_buf_puts(&late->body, "{\"offsets\":[");
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            fm_buf_putc(&late->body, ',');
        fm_buf_put(&late->body, entry, sizeof entry - 1);
    }
    fm_buf_puts(&late->body, "],\"key_schema_id\":null,\"value_schema_id\":null}");
    proxy_answer(call, &late->body);
    (void)atomic_compare_exchange_strong(late->answered_ns, &none, fm_clock_ns());
}

static inline void proxy_on_call(struct fm_server_call *call, void *arg)
{
    struct proxy_late *late = arg;
    if (strcmp(fm_server_method(call), "POST") != 0) {
        struct fm_buf topic;
        fm_buf_init(&topic, 0);
        fm_buf_puts(&topic, "{\"name\":\"t\",\"configs\":{\"max.message.bytes\":\"1048588\"}}");
        proxy_answer(call, &topic);
        fm_buf_clear(&topic);
        return;
    }
    size_t len, n = 0;
    const char *p = fm_server_body(call, &len), *end = p + len;
    while ((p = memmem(p, (size_t)(end - p), "\"value\":", 8)) != NULL) {
        p += 8;
        n++;
    }
    (void)pthread_mutex_lock(&late->lock); /* two servers have two threads */
    if (late->ms == 0) {
        proxy_accept(late, call, n);
    } else if (late->n == PROXY_QUEUE) {
        proxy_fail("more requests than were to be in flight");
    } else {
        fm_server_defer(call);
        size_t at = (late->head + late->n++) % PROXY_QUEUE;
        late->queue[at].call = call;
        late->queue[at].n = n;
        late->queue[at].due = fm_clock_ns() + late->ms * 1000000LL;
    }
    (void)pthread_mutex_unlock(&late->lock);
}

/* @return microseconds to wait before the next look */
static inline useconds_t proxy_due(struct proxy_late *late)
{
    (void)pthread_mutex_lock(&late->lock);
    int64_t left = late->n > 0 ? late->queue[late->head].due - fm_clock_ns() : 1000000;
    if (left <= 0) {
        proxy_accept(late, late->queue[late->head].call, late->queue[late->head].n);
        late->head = (late->head + 1) % PROXY_QUEUE;
        late->n--;
    }
    (void)pthread_mutex_unlock(&late->lock);
    return left > 0 ? (useconds_t)(left / 1000 + 1) : 0;
}

static inline void proxy_serve(int ports, const char *dir, int late_ms, _Atomic int64_t *answered)
{
    static struct proxy_late late;
    char cert[96], key[96];
    struct fm_err err = {0};
    struct fm_server *server[2] = {NULL, NULL};
    struct fm_server_opts opts = {.listen = "127.0.0.1:0",
                                  .max_body = 4 << 20,
                                  .request_ms = 30000,
                                  .handler = proxy_on_call,
                                  .arg = &late};
    uint16_t got[2];
    late.ms = late_ms;
    late.answered_ns = answered;
    fm_buf_init(&late.body, 0);
    (void)pthread_mutex_init(&late.lock, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)snprintf(cert, sizeof cert, "%s/server.pem", dir);
    (void)snprintf(key, sizeof key, "%s/server.key", dir);
    for (int i = 0; i < 2; i++) {
        opts.cert_file = i == 1 ? cert : NULL;
        opts.key_file = i == 1 ? key : NULL;
        if (fm_server_start(&server[i], &opts, &err) != FM_OK)
            proxy_fail(fm_err_text(&err));
        got[i] = fm_server_port(server[i]);
    }
    if (write(ports, got, sizeof got) != sizeof got)
        proxy_fail("no parent");
    for (;;) {
        useconds_t wait = late_ms > 0 ? proxy_due(&late) : 1000000;
        if (wait > 0)
            (void)usleep(wait);
    }
}

/* Before libcurl and any thread. Certificates, and its ca.pem, lie in dir. */
static inline void proxy_start(struct proxy *proxy, const char *dir, int late_ms)
{
    int ports[2], status = 1;
    pid_t certs = fork();
    if (certs == 0) {
        (void)execl("tests/harness/certs.sh", "certs.sh", dir, (char *)NULL);
        _exit(127);
    }
    if (waitpid(certs, &status, 0) != certs || status != 0)
        proxy_fail("no certificates");
    void *shared =
        mmap(NULL, sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || pipe(ports) != 0)
        proxy_fail("cannot start");
    proxy->answered_ns = shared;
    proxy->pid = fork();
    if (proxy->pid == 0)
        proxy_serve(ports[1], dir, late_ms, proxy->answered_ns);
    if (read(ports[0], proxy->port, sizeof proxy->port) != sizeof proxy->port)
        proxy_fail("no sink");
    (void)close(ports[0]);
    (void)close(ports[1]);
}

static inline void proxy_stop(struct proxy *proxy)
{
    (void)kill(proxy->pid, SIGKILL);
    (void)waitpid(proxy->pid, NULL, 0);
}

#endif
