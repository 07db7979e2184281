#include "ask.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"

static void on_defer(struct fm_exchange *x)
{
    struct answer *a = x->call;
    a->deferred = true;
}

static void on_answer(struct fm_exchange *x, const struct fm_server_reply *reply)
{
    struct answer *a = x->call;
    (void)pthread_mutex_lock(&a->lock);
    cr_assert(!a->done, "answered twice");
    a->reply = *reply;
    a->status = reply->status;
    if (reply->content_type != NULL)
        (void)snprintf(a->type, sizeof a->type, "%s", reply->content_type);
    for (size_t i = 0; i < reply->n_headers; i++)
        (void)snprintf(a->header, sizeof a->header, "%s", reply->headers[i]);
    a->len = reply->body_len;
    a->body = calloc(1, reply->body_len + 1);
    if (reply->body_len > 0)
        memcpy(a->body, reply->body, reply->body_len);
    a->done = true;
    (void)pthread_cond_signal(&a->done_cond);
    (void)pthread_mutex_unlock(&a->lock);
}

static const struct fm_core_hooks hooks = {on_defer, on_answer};

void ask_open(struct fm_core *core, const struct fm_sandbox_opts *opts)
{
    struct fm_err err;
    fm_err_clear(&err);
    cr_assert_eq(fm_core_open(core, opts, &hooks, &err), FM_OK, "%s", fm_err_text(&err));
}

void ask_close(struct fm_core *core)
{
    fm_core_stop(core);
    fm_core_close(core);
}

void ask(struct fm_core *core, const struct fm_v2_request *request, const char *authorization,
         struct answer *a)
{
    *a = (struct answer){.core = core};
    (void)pthread_mutex_init(&a->lock, NULL);
    fm_cond_init(&a->done_cond);
    cr_assert(fm_core_run(core, request, authorization, a));
    int64_t until = fm_clock_ms() + 20000;
    (void)pthread_mutex_lock(&a->lock);
    while (!a->done && fm_cond_wait(&a->done_cond, &a->lock, until))
        continue;
    (void)pthread_mutex_unlock(&a->lock);
    cr_assert(a->done, "no answer");
}

void ask_clear(struct answer *a)
{
    free(a->body);
    (void)pthread_cond_destroy(&a->done_cond);
    (void)pthread_mutex_destroy(&a->lock);
}

void ask_produce(struct fm_core *core, const char *path, const char *body, struct answer *a)
{
    struct fm_v2_request request = {.method = "POST",
                                    .path = path,
                                    .accept = "application/vnd.kafka.v2+json",
                                    .content_type = "application/vnd.kafka.json.v2+json",
                                    .body = body,
                                    .body_len = strlen(body)};
    ask(core, &request, NULL, a);
}

void ask_get(struct fm_core *core, const char *path, struct answer *a)
{
    struct fm_v2_request request = {.method = "GET", .path = path};
    ask(core, &request, NULL, a);
}

void ask_mkdir(char path[64])
{
    (void)snprintf(path, 64, "/tmp/fm-sandbox-XXXXXX");
    cr_assert_not_null(mkdtemp(path));
}

void ask_rmdir(const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL)
        return;
    const struct dirent *e;
    char file[512];
    while ((e = readdir(dir)) != NULL) {
        if (e->d_name[0] == '.')
            continue;
        (void)snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        (void)unlink(file);
    }
    (void)closedir(dir);
    (void)rmdir(path);
}
