/* cli/cmd_health.c - `health [--full]`: asks the running agent's local server. */
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/thread.h"
#include "cli/session.h"

/* A container's health check has a few seconds; whoever does not answer in 3 is not well. */
enum { HEALTH_MS = 3000, ANSWER_MAX = 256 * 1024 };

struct health_opts {
    bool full;
};

struct answer {
    long status;
    char *body; /* owned */
};

/* ---- over a Unix socket: one HTTP/1.0 request, read to the end ---- */

static bool wait_for(int fd, short events, int64_t end)
{
    int64_t left = end - fm_clock_ms();
    struct pollfd p = {.fd = fd, .events = events};
    return left > 0 && poll(&p, 1, (int)left) == 1;
}

static enum fm_code read_all(int fd, struct fm_buf *out, int64_t end, struct fm_err *err)
{
    char piece[4096];
    while (wait_for(fd, POLLIN, end)) {
        ssize_t n = recv(fd, piece, sizeof piece, 0);
        if (n == 0)
            return fm_buf_code(out, err);
        if (n > 0)
            fm_buf_put(out, piece, (size_t)n);
        else if (errno != EINTR && errno != EAGAIN)
            return fm_err_sys(err, errno, "the agent closed the connection");
    }
    return fm_err_set(err, FM_ETIMEOUT, "no answer within %d ms", HEALTH_MS);
}

static enum fm_code split_answer(struct fm_buf *raw, struct answer *out, struct fm_err *err)
{
    const char *text = fm_buf_str(raw);
    const char *body = strstr(text, "\r\n\r\n");
    if (strncmp(text, "HTTP/1.", 7) != 0 || strlen(text) < 12 || body == NULL)
        return fm_err_set(err, FM_EPROTO, "the answer is not HTTP; is it firstmile that listens?");
    out->status = strtol(text + 9, NULL, 10);
    out->body = strdup(body + 4);
    return out->body != NULL ? FM_OK : fm_err_nomem(err);
}

static enum fm_code ask_unix(const char *path, const char *request, struct answer *out,
                             struct fm_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return fm_err_set(err, FM_ECONF, "[http] listen: the socket's path is too long");
    memcpy(address.sun_path, path, strlen(path) + 1);
    FM_AUTO(fm_auto_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        return fm_err_sys(err, errno, "no agent answers at unix:%s; is it running?", path);
    int64_t end = fm_clock_ms() + HEALTH_MS;
    size_t len = strlen(request);
    if (send(fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
        return fm_err_sys(err, errno, "cannot send to unix:%s", path);
    struct fm_buf raw;
    fm_buf_init(&raw, ANSWER_MAX);
    enum fm_code code = read_all(fd, &raw, end, err);
    if (code == FM_OK)
        code = split_answer(&raw, out, err);
    fm_buf_clear(&raw);
    return code;
}

/* ---- over TCP, through net ---- */

/* Who listens on every address is asked on loopback. */
static void local_url(const struct fm_cfg_http *http, const char *path, struct fm_buf *url)
{
    const char *listen = http->listen;
    const char *port = strrchr(listen, ':');
    size_t len = port != NULL ? (size_t)(port - listen) : strlen(listen);
    bool any4 = len == 0 || (len == 7 && strncmp(listen, "0.0.0.0", 7) == 0) ||
                (len == 1 && listen[0] == '*');
    bool any6 = len == 4 && strncmp(listen, "[::]", 4) == 0;
    fm_buf_puts(url, http->cert_file != NULL ? "https://" : "http://");
    if (any4 || any6)
        fm_buf_puts(url, any4 ? "127.0.0.1" : "[::1]");
    else
        fm_buf_put(url, listen, len);
    fm_buf_puts(url, port != NULL ? port : "");
    fm_buf_puts(url, path);
}

static enum fm_code ask_tcp(const struct fm_cfg_http *http, const char *url, const char *password,
                            struct answer *out, struct fm_err *err)
{
    /* The server's own certificate is at hand: it, and no other, is trusted. */
    const struct fm_tls tls = {.ca_file = http->cert_file, .verify_chain_only = true};
    const struct fm_http_request request = {
        .method = "GET",
        .url = url,
        .username = http->username,
        .password = password,
        .tls = &tls,
        .connect_timeout_ms = HEALTH_MS,
        .timeout_ms = HEALTH_MS,
        .max_answer = ANSWER_MAX,
    };
    struct fm_client *client = NULL;
    struct fm_http_answer answer = {0};
    const struct fm_client_opts opts = {.log = NULL};
    FM_TRY(fm_net_init(err));
    FM_TRY(fm_client_new(&client, &opts, err));
    enum fm_code code = fm_client_call(client, &request, &answer, &out->body, err);
    out->status = answer.status;
    fm_client_free(client);
    if (code == FM_OK && answer.failure != FM_HTTP_OK)
        code = fm_err_set(err, FM_ECONNECT, "no agent answers at %s; is it running? (%.140s)", url,
                          fm_err_text(&answer.err));
    return code;
}

static enum fm_code ask(const struct fm_config *config, const char *path, struct answer *out,
                        struct fm_err *err)
{
    const struct fm_cfg_http *http = &config->http;
    if (http->listen == NULL)
        return fm_err_set(err, FM_ECONF,
                          "[http] listen = off: the agent serves no health; set a listen address");
    struct fm_buf text, password;
    fm_buf_init(&text, 0);
    fm_buf_init(&password, FM_SECRET_MAX);
    enum fm_code code = fm_secret_get(http->password, &password, err);
    if (code == FM_OK && strncmp(http->listen, "unix:", 5) == 0) {
        fm_buf_printf(&text, "GET %s HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n", path);
        if (http->username != NULL) {
            struct fm_buf pair;
            fm_buf_init(&pair, 0);
            fm_buf_printf(&pair, "%s:%s", http->username, fm_buf_str(&password));
            fm_buf_puts(&text, "Authorization: Basic ");
            fm_base64_put(&text, pair.data, pair.len);
            fm_buf_puts(&text, "\r\n");
            fm_secret_wipe(&pair);
        }
        fm_buf_puts(&text, "\r\n");
        code = ask_unix(http->listen + 5, fm_buf_str(&text), out, err);
    } else if (code == FM_OK) {
        local_url(http, path, &text);
        code = ask_tcp(http, fm_buf_str(&text),
                       http->username != NULL ? fm_buf_str(&password) : NULL, out, err);
    }
    fm_secret_wipe(&password);
    fm_secret_wipe(&text);
    return code;
}

/* ---- what it says ---- */

static enum fm_colour colour_of(const char *status)
{
    return strcmp(status, "ok") == 0         ? FM_GREEN
           : strcmp(status, "degraded") == 0 ? FM_YELLOW
                                             : FM_RED;
}

static void print_reason(const struct fm_cli *cli, const json_t *reason)
{
    const char *text = json_string_value(reason);
    if (text == NULL)
        text = json_string_value(json_object_get(reason, "text"));
    if (text == NULL)
        return;
    (void)fputs("  ", stdout);
    fm_cmd_print(cli, text, strlen(text));
    (void)fputc('\n', stdout);
}

static void print_full(const struct fm_cli *cli, const char *body)
{
    json_t *json = json_loads(body, 0, NULL);
    const char *status = json_string_value(json_object_get(json, "status"));
    if (status == NULL || cli->global.json) {
        fm_cmd_print(cli, body, strlen(body));
        if (body[0] != '\0' && body[strlen(body) - 1] != '\n')
            (void)fputc('\n', stdout);
    } else {
        size_t i;
        const json_t *reason;
        (void)printf("%s%s%s\n", cli->colour ? fm_colour_code(colour_of(status)) : "", status,
                     cli->colour ? fm_colour_code(FM_PLAIN) : "");
        json_array_foreach (json_object_get(json, "reasons"), i, reason) {
            print_reason(cli, reason);
        }
        json_array_foreach (json_object_get(json, "notes"), i, reason) {
            print_reason(cli, reason);
        }
    }
    json_decref(json);
}

static enum fm_code judge(const struct fm_cli *cli, const struct answer *answer, bool full,
                          struct fm_err *err)
{
    const char *body = answer->body != NULL ? answer->body : "";
    if (answer->status == 401 || answer->status == 403)
        return fm_err_set(err, FM_EAUTH,
                          "the agent refused with HTTP %ld; give its [http] username and password "
                          "in the configuration",
                          answer->status);
    if (answer->status != 200 && answer->status != 503)
        return fm_err_set(err, FM_EPROTO, "HTTP %ld; is it firstmile that listens there?",
                          answer->status);
    if (full)
        print_full(cli, body);
    if (answer->status == 200)
        return FM_OK;
    /* --full has told the reasons. */
    return full ? FM_EREMOTE : fm_err_set(err, FM_EREMOTE, "health: the agent does not live");
}

/* A running agent goes on with what it has read before: a fault that has nothing to do with [http],
 * or a secret that only the agent's user may read, must not make it look dead. */
static enum fm_code load(struct fm_cli *cli, struct fm_config **out, struct fm_err *err)
{
    struct fm_config_error errors[FM_CONFIG_ERRORS];
    size_t n = 0;
    const struct fm_config_opts opts = {.overrides = cli->global.overrides.items,
                                        .n_overrides = cli->global.overrides.n,
                                        .errors = errors,
                                        .n_errors = &n,
                                        .faulty = true};
    enum fm_code code = fm_config_load(out, fm_config_find(cli->global.config), &opts, err);
    if (code != FM_ECONF || *out == NULL)
        return code;
    bool known = n < FM_CONFIG_ERRORS && (*out)->files.n > 0 && !(*out)->http.section.torn;
    for (size_t i = 0; i < n && known; i++)
        known = strstr(errors[i].text, "[http]") == NULL && strncmp(errors[i].text, "-o:", 3) != 0;
    if (!known)
        return code;
    fm_cmd_note(cli, "%.220s (the agent is asked all the same)", fm_err_text(err));
    fm_err_clear(err);
    return FM_OK;
}

static enum fm_code run_health(struct fm_cmd_call *call, struct fm_err *err)
{
    const struct health_opts *opts = call->opts;
    struct fm_config *config = NULL;
    struct answer answer = {.status = 0};
    bool full = opts->full || call->cli->global.json;
    enum fm_code code = load(call->cli, &config, err);
    if (code == FM_OK) {
        code = ask(config, full ? "/health" : "/livez", &answer, err);
        if (code == FM_OK)
            code = judge(call->cli, &answer, full, err);
        else
            (void)fm_err_context(err, "health");
    }
    free(answer.body);
    fm_config_free(config);
    return code;
}

static const struct fm_flag flags[] = {
    {0, "full", FM_FLAG_SWITCH, offsetof(struct health_opts, full), NULL,
     "Ask /health and print status, reasons and notes; fails when the agent is failing."},
    {.name = NULL},
};
static const char *const text[] = {
    "Without options it asks /livez: does the process work, whatever the proxy does? It prints "
    "nothing when all is well. With --full (or --json) it asks /health and prints what it says. "
    "Where to ask is [http] listen of the configuration; a fault elsewhere in it is told, and the "
    "agent asked all the same.",
    "failing (503): a topic or endpoint is refused, stuck or missing, or the spool dropped or "
    "refused records in the last minute. degraded (200): the last request or probe of a topic "
    "failed and nothing was accepted since, one stays unanswered, a record waits under suspicion, "
    "a target is down, records are not durable, or some became dead letters in the last hour. ok: "
    "none of these; until the first record was sent a note says that the way out is untried.",
    NULL,
};

const struct fm_cmd fm_cmd_health = {
    .name = "health",
    .args = "",
    .about = "ask the running agent for its health (exit code 0 or 1)",
    .text = text,
    .flags = flags,
    .opts_size = sizeof(struct health_opts),
    .json = true,
    .run = run_health,
};
