/* Server, deferred answers, faults and client threads under TSan: no race, no lost request. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "net/client.h"
#include "net/server.h"

enum { CLIENTS = 4, REQUESTS = 150, QUEUE = 64 };

struct world {
    struct fm_server *server;
    pthread_mutex_t lock;
    struct fm_server_call *waiting[QUEUE];
    unsigned n_waiting;
    atomic_bool done;
    atomic_uint handled, good, bad;
};

static void reply_with(struct fm_server_reply *reply, unsigned n)
{
    fm_server_reply_init(reply);
    reply->body = "{\"x\":1}";
    reply->body_len = 7;
    reply->chunked = n % 3 == 0;
    reply->drip_ms = n % 7 == 0 ? 1 : 0;
    reply->cut_at = n % 11 == 0 ? 3 : SIZE_MAX;
    reply->reset = n % 13 == 0;
}

static void handle(struct fm_server_call *call, void *arg)
{
    struct world *w = arg;
    unsigned n = w->handled++;
    if (n % 2 == 0) {
        pthread_mutex_lock(&w->lock);
        bool room = w->n_waiting < QUEUE;
        if (room) {
            fm_server_defer(call);
            w->waiting[w->n_waiting++] = call;
        }
        pthread_mutex_unlock(&w->lock);
        if (room)
            return;
    }
    struct fm_server_reply reply;
    reply_with(&reply, n);
    fm_server_answer(call, &reply);
}

static void *answer_deferred(void *arg)
{
    struct world *w = arg;
    while (!w->done) {
        struct fm_server_call *call = NULL;
        pthread_mutex_lock(&w->lock);
        if (w->n_waiting > 0)
            call = w->waiting[--w->n_waiting];
        pthread_mutex_unlock(&w->lock);
        if (call == NULL) {
            struct timespec pause = {.tv_nsec = 200000};
            (void)nanosleep(&pause, NULL);
            continue;
        }
        struct fm_server_reply reply;
        reply_with(&reply, 1);
        fm_server_answer(call, &reply);
    }
    return NULL;
}

static void *ask(void *arg)
{
    struct world *w = arg;
    struct fm_client *client;
    struct fm_err err = {0};
    char url[64];
    if (fm_client_new(&client, NULL, &err) != FM_OK)
        abort();
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", (unsigned)fm_server_port(w->server));
    for (int i = 0; i < REQUESTS; i++) {
        struct fm_http_request r = {.method = "POST", .url = url, .body = "abc", .body_len = 3};
        struct fm_http_answer answer;
        r.timeout_ms = 20000;
        if (fm_client_call(client, &r, &answer, NULL, &err) != FM_OK)
            abort();
        if (answer.failure == FM_HTTP_OK)
            w->good++;
        else if (answer.failure == FM_HTTP_BROKEN || answer.failure == FM_HTTP_REUSED_DIED)
            w->bad++; /* cut or reset on purpose */
        else
            (void)fprintf(stderr, "stress_server: %s\n", answer.err.text), abort();
    }
    fm_client_free(client);
    return NULL;
}

int main(void)
{
    static struct world w;
    struct fm_err err = {0};
    pthread_mutex_init(&w.lock, NULL);
    struct fm_server_opts opts = {.listen = "127.0.0.1:0", .handler = handle, .arg = &w};
    if (fm_net_init(&err) != FM_OK || fm_server_start(&w.server, &opts, &err) != FM_OK)
        return 1;
    pthread_t clients[CLIENTS], answerer;
    if (pthread_create(&answerer, NULL, answer_deferred, &w) != 0)
        return 1;
    for (int i = 0; i < CLIENTS; i++)
        if (pthread_create(&clients[i], NULL, ask, &w) != 0)
            return 1;
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
    w.done = true;
    pthread_join(answerer, NULL);
    fm_server_stop(w.server);
    printf("stress_server: %u good, %u broken on purpose\n", (unsigned)w.good, (unsigned)w.bad);
    return w.good + w.bad == CLIENTS * REQUESTS && w.good > w.bad ? 0 : 1;
}
