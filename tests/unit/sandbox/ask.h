/* The sandbox without sockets: one request, and the answer as the server would get it. */
#ifndef ASK_H
#define ASK_H

#include "sandbox/core_priv.h"

struct answer {
    struct fm_core *core;
    pthread_mutex_t lock;
    pthread_cond_t done_cond;
    bool done, deferred;
    unsigned status;
    char type[128]; /* "": none */
    char header[256];
    char *body; /* terminated */
    size_t len;
    struct fm_server_reply reply; /* flags; pointers are void */
};

/* Open a core or fail the test. */
void ask_open(struct fm_core *core, const struct fm_sandbox_opts *opts);
void ask_close(struct fm_core *core);

/* Run a request and wait for its answer, 20 s at most. answer is to be cleared. */
void ask(struct fm_core *core, const struct fm_v2_request *request, const char *authorization,
         struct answer *answer);
void ask_clear(struct answer *answer);

/* Produce a JSON body; get a path. */
void ask_produce(struct fm_core *core, const char *path, const char *body, struct answer *answer);
void ask_get(struct fm_core *core, const char *path, struct answer *answer);

/* A folder that is removed with ask_rmdir(). */
void ask_mkdir(char path[64]);
void ask_rmdir(const char *path);

#endif
