#include "sandbox/sandbox.h"

#include <stdlib.h>

#include "sandbox/core_priv.h"

/* A slow line may take long over a body; the answer may come much later. */
enum { REQUEST_MS = 60000, IDLE_MS = 30000, CONNECTIONS = 256 };
static const size_t max_body = (size_t)16 << 20;

struct fm_sandbox {
    struct fm_core core;
    struct fm_server *server;
};

static void defer(struct fm_exchange *x)
{
    fm_server_defer(x->call);
}

static void answer(struct fm_exchange *x, const struct fm_server_reply *reply)
{
    fm_log(x->core->log, FM_LOG_DEBUG, "sandbox: %s %.200s: %s%u, %zu records, answer of %zu bytes",
           fm_server_method(x->call), fm_server_path(x->call),
           reply->hang    ? "no answer instead of "
           : reply->reset ? "a reset instead of "
                          : "",
           reply->status, x->asked, reply->body_len);
    fm_server_answer(x->call, reply);
}

static const struct fm_core_hooks hooks = {defer, answer};

static void handle(struct fm_server_call *call, void *arg)
{
    struct fm_sandbox *sandbox = arg;
    struct fm_v2_request request = {.method = fm_server_method(call),
                                    .path = fm_server_path(call),
                                    .accept = fm_server_header(call, "Accept"),
                                    .content_type = fm_server_header(call, "Content-Type"),
                                    .offset = fm_server_query(call, "offset"),
                                    .max = fm_server_query(call, "max"),
                                    .timeout = fm_server_query(call, "timeout"),
                                    .max_bytes = fm_server_query(call, "max_bytes"),
                                    .host = fm_server_header(call, "Host"),
                                    .too_large = fm_server_body_too_large(call)};
    request.body = fm_server_body(call, &request.body_len);
    if (!fm_core_run(&sandbox->core, &request, fm_server_header(call, "Authorization"), call)) {
        struct fm_server_reply reply;
        fm_server_reply_init(&reply);
        reply.status = 503;
        fm_server_answer(call, &reply);
    }
}

enum fm_code fm_sandbox_start(struct fm_sandbox **out, const struct fm_sandbox_opts *opts,
                              struct fm_err *err)
{
    struct fm_sandbox *sandbox = calloc(1, sizeof *sandbox);
    if (sandbox == NULL)
        return fm_err_nomem(err);
    enum fm_code code = fm_core_open(&sandbox->core, opts, &hooks, err);
    if (code != FM_OK) {
        free(sandbox);
        return code;
    }
    struct fm_server_opts server = {.listen = opts->listen != NULL ? opts->listen : "127.0.0.1:0",
                                    .cert_file = opts->cert_file,
                                    .key_file = opts->key_file,
                                    .client_ca_file = opts->client_ca_file,
                                    .max_connections = CONNECTIONS,
                                    .request_ms = REQUEST_MS,
                                    .idle_ms = IDLE_MS,
                                    .max_body = max_body,
                                    .handler = handle,
                                    .arg = sandbox,
                                    .log = opts->log};
    code = fm_server_start(&sandbox->server, &server, err);
    if (code != FM_OK) {
        fm_core_close(&sandbox->core);
        free(sandbox);
        return code;
    }
    *out = sandbox;
    return FM_OK;
}

void fm_sandbox_stop(struct fm_sandbox *sandbox)
{
    if (sandbox == NULL)
        return;
    fm_core_stop(&sandbox->core); /* every deferred call is answered before the server goes */
    fm_server_stop(sandbox->server);
    fm_core_close(&sandbox->core);
    free(sandbox);
}

uint16_t fm_sandbox_port(const struct fm_sandbox *sandbox)
{
    return fm_server_port(sandbox->server);
}

void fm_sandbox_stats(struct fm_sandbox *sandbox, struct fm_sandbox_stats *out)
{
    fm_core_stats(&sandbox->core, out);
}
