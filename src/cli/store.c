#include "cli/store.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/control.h"
#include "base/clock.h"
#include "base/jscan.h"
#include "base/thread.h"
#include "cli/session.h"

/* The agent serves its socket between other work; a page of records is at most about 1 MiB. Its
 * stop takes at most 5 s. */
enum { ANSWER_MS = 10000, GONE_MS = 5500, AGAIN_MS = 50 };

static enum fm_code open_spool(struct fm_store *store, struct fm_cli *cli, const char *path,
                               struct fm_err *err)
{
    const struct fm_cfg_spool *cfg = &store->config->spool;
    const struct fm_spool_opts opts = {
        .path = path,
        .agent = store->config->agent.name,
        .max_size = cfg->max_size_bytes,
        .on_full = FM_SPOOL_BLOCK, /* whoever only looks must not drop */
        .sync_full = true,
        .dead_max_size = cfg->dead_max_size_bytes,
        .reserve = cfg->reserve_bytes,
        .keep_damage = true,
        .control = fm_agent_control, /* drops are declared by records like the agent's own */
        .control_arg = (void *)(uintptr_t)store->config->agent.name,
        .log = cli->log,
    };
    return fm_spool_open(&store->spool, &opts, err);
}

static enum fm_code use_state_socket(struct fm_store *store, struct fm_err *err)
{
    int n = snprintf(store->socket, sizeof store->socket, "%s/control.sock",
                     store->config->agent.state_dir);
    if (n < 0 || (size_t)n >= sizeof store->socket)
        return fm_err_set(err, FM_ECONF, "[agent] state_dir is too long");
    return FM_OK;
}

/* A lock that is held and names nobody: its holder has just come, or is about to let go. */
static enum fm_code find_holder(struct fm_store *store, struct fm_err *err)
{
    int64_t end = fm_clock_ms() + GONE_MS;
    for (;;) {
        enum fm_code code =
            fm_spool_holder(store->path, store->socket, sizeof store->socket, &store->pid, err);
        if (code != FM_ELOCKED || store->pid != 0 || fm_clock_ms() >= end)
            return code;
        fm_err_clear(err);
        fm_sleep_ms(AGAIN_MS);
    }
}

enum fm_code fm_store_open(struct fm_store *store, struct fm_cli *cli, struct fm_config *config,
                           const char *dir, struct fm_err *err)
{
    *store = (struct fm_store){.config = config, .cli = cli};
    const char *path = dir != NULL ? dir : config->spool.path;
    if (dir == NULL && config->spool.memory)
        return use_state_socket(store, err);
    store->path = path;
    enum fm_code code = find_holder(store, err);
    if (code == FM_OK) {
        store->socket[0] = '\0';
        return open_spool(store, cli, path, err);
    }
    if (code == FM_ELOCKED && store->socket[0] != '\0') {
        fm_err_clear(err);
        return FM_OK;
    }
    if (code == FM_ENOTFOUND)
        return fm_err_set(err, FM_ENOTFOUND,
                          "there is no spool in %.120s; --spool DIR or -c FILE says where it lies",
                          path);
    fm_cmd_advise(err);
    return code;
}

void fm_store_close(struct fm_store *store)
{
    if (store->spool != NULL)
        fm_spool_stop(store->spool);
    fm_spool_free(store->spool, 0);
    store->spool = NULL;
}

/* ---- over the socket ---- */

static bool wait_for(int fd, short events, int64_t end)
{
    int64_t left = end - fm_clock_ms();
    struct pollfd p = {.fd = fd, .events = events};
    return left > 0 && poll(&p, 1, (int)left) == 1;
}

static enum fm_code connect_socket(const struct fm_store *store, int *fd, struct fm_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(store->socket) >= sizeof address.sun_path)
        return fm_err_set(err, FM_ECONF, "%s is too long for a socket", store->socket);
    memcpy(address.sun_path, store->socket, strlen(store->socket) + 1);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd >= 0 && connect(*fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return FM_OK;
    if (errno == EACCES)
        return fm_err_set(err, FM_EPERM, "%s belongs to another user; be that user, or root",
                          store->socket);
    return fm_err_set(err, FM_ECLOSED, "no agent answers at %s: %s", store->socket,
                      strerrordesc_np(errno));
}

static enum fm_code ask_socket(const struct fm_store *store, const char *request,
                               struct fm_buf *answer, struct fm_err *err)
{
    FM_AUTO(fm_auto_close) int fd = -1;
    FM_TRY(connect_socket(store, &fd, err));
    int64_t end = fm_clock_ms() + ANSWER_MS;
    size_t len = strlen(request);
    if (send(fd, request, len, MSG_NOSIGNAL) != (ssize_t)len ||
        send(fd, "\n", 1, MSG_NOSIGNAL) != 1)
        return fm_err_set(err, FM_ECLOSED, "cannot ask the agent at %s: %s", store->socket,
                          strerrordesc_np(errno));
    while (wait_for(fd, POLLIN, end)) {
        char piece[16384];
        ssize_t n = recv(fd, piece, sizeof piece, 0);
        if (n < 0 && errno != EINTR)
            return fm_err_set(err, FM_ECLOSED, "the agent at %s closed the connection: %s",
                              store->socket, strerrordesc_np(errno));
        if (n > 0)
            fm_buf_put(answer, piece, (size_t)n);
        FM_TRY(fm_buf_code(answer, err));
        if (n > 0 && piece[n - 1] == '\n')
            return FM_OK;
        if (n == 0)
            return fm_err_set(err, FM_ECLOSED, "the agent at %s closed without an answer",
                              store->socket);
    }
    return fm_err_set(err, FM_ETIMEOUT,
                      "the agent at %s gave no answer within %d s; is it stopped?", store->socket,
                      ANSWER_MS / 1000);
}

/* {"error":"sentence","code":"FM_X"} */
static enum fm_code check_answer(const struct fm_buf *answer, struct fm_err *err)
{
    struct fm_jscan s;
    fm_jscan_init(&s, answer->data, answer->len);
    if (fm_jscan_next(&s) != FM_J_OBJECT)
        return fm_err_set(err, FM_EPROTO, "the agent's answer cannot be read: versions differ");
    if (fm_jscan_next(&s) != FM_J_KEY || !fm_jscan_is(&s, "error") ||
        fm_jscan_next(&s) != FM_J_STRING)
        return FM_OK;
    struct fm_buf text;
    fm_buf_init(&text, 0);
    fm_jscan_string(&s, &text);
    enum fm_code code = FM_EREMOTE;
    if (fm_jscan_next(&s) == FM_J_KEY && fm_jscan_is(&s, "code") &&
        fm_jscan_next(&s) == FM_J_STRING)
        for (int c = FM_OK + 1; c <= FM_EBUG; c++)
            if (fm_jscan_is(&s, fm_code_name((enum fm_code)c)))
                code = (enum fm_code)c;
    (void)fm_err_set(err, code, "%s", fm_buf_str(&text));
    fm_buf_clear(&text);
    return code;
}

/* An agent that is killed lets go of its socket and its lock one after the other: who asks in
 * between is closed out by both, and finds the spool free a moment later. */
static enum fm_code ask_holder(struct fm_store *store, const char *request, struct fm_buf *answer,
                               struct fm_err *err)
{
    int64_t end = fm_clock_ms() + GONE_MS;
    for (;;) {
        enum fm_code code = ask_socket(store, request, answer, err);
        if (code != FM_ECLOSED || store->path == NULL || fm_clock_ms() >= end)
            return code;
        struct fm_err lost = *err;
        fm_err_clear(err);
        fm_buf_reset(answer);
        fm_sleep_ms(AGAIN_MS);
        code = fm_store_open(store, store->cli, store->config, store->path, err);
        if (code == FM_OK && store->spool != NULL) {
            fm_control_answer(store->spool, request, strlen(request), answer);
            return FM_OK;
        }
        if (code != FM_OK) {
            *err = lost;
            return lost.code;
        }
    }
}

enum fm_code fm_store_ask(struct fm_store *store, const char *request, struct fm_buf *answer,
                          struct fm_err *err)
{
    fm_buf_reset(answer);
    if (store->spool != NULL)
        fm_control_answer(store->spool, request, strlen(request), answer);
    else
        FM_TRY(ask_holder(store, request, answer, err));
    FM_TRY(fm_buf_code(answer, err));
    return check_answer(answer, err);
}
