/* The life of the local server and its documents. */
#include "http/http.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "http/http_priv.h"

struct fm_http_set *fm_http_set_get(struct fm_http *http)
{
    (void)pthread_mutex_lock(&http->lock);
    struct fm_http_set *set = http->set;
    if (set != NULL)
        set->users++;
    (void)pthread_mutex_unlock(&http->lock);
    return set;
}

void fm_http_set_put(struct fm_http_set *set)
{
    if (set == NULL || --set->users > 0)
        return;
    fm_server_ready_free(set->health);
    fm_server_ready_free(set->stats);
    fm_server_ready_free(set->metrics);
    free(set);
}

enum fm_code fm_http_publish(struct fm_http *http, const struct fm_http_docs *docs,
                             struct fm_err *err)
{
    struct fm_http_set *set = calloc(1, sizeof *set);
    if (set == NULL)
        return fm_err_nomem(err);
    set->users = 1;
    set->ready = docs->ready && !docs->stopping;
    set->published_ms = fm_clock_ms();
    enum fm_code code = fm_http_make_ready(set, docs, err);
    if (code != FM_OK) {
        fm_http_set_put(set);
        return code;
    }
    (void)pthread_mutex_lock(&http->lock);
    struct fm_http_set *old = http->set;
    http->set = set;
    (void)pthread_mutex_unlock(&http->lock);
    fm_http_set_put(old);
    return FM_OK;
}

static void wipe(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

enum fm_code fm_http_set_auth(struct fm_http *http, const char *username, const char *password,
                              struct fm_err *err)
{
    char *token = NULL;
    if (username != NULL) {
        if (strchr(username, ':') != NULL)
            return fm_err_set(err, FM_ECONF, "[http] username must not hold a colon");
        if (password == NULL || *password == '\0')
            return fm_err_set(err, FM_ECONF, "[http] username needs a password");
        size_t size = strlen(username) + strlen(password) + 2;
        token = malloc(size);
        if (token == NULL)
            return fm_err_nomem(err);
        (void)snprintf(token, size, "%s:%s", username, password);
    }
    (void)pthread_mutex_lock(&http->lock);
    char *old = http->token;
    http->token = token;
    http->has_auth = token != NULL;
    (void)pthread_mutex_unlock(&http->lock);
    wipe(old);
    return FM_OK;
}

/* The host part of HOST:PORT or [v6]:PORT, without brackets. */
static void keep_host(struct fm_http *http, const char *listen)
{
    http->is_unix = strncmp(listen, "unix:", 5) == 0;
    if (http->is_unix)
        return;
    const char *colon = strrchr(listen, ':');
    size_t len = colon != NULL ? (size_t)(colon - listen) : strlen(listen);
    if (len >= 2 && listen[0] == '[' && listen[len - 1] == ']') {
        listen++;
        len -= 2;
    }
    (void)snprintf(http->host, sizeof http->host, "%.*s", (int)len, listen);
    http->is_loopback = fm_http_is_loopback(http->host);
}

static void warn(const struct fm_http *http, const struct fm_http_opts *opts)
{
    if (http->is_unix || http->is_loopback)
        return;
    if (opts->username == NULL)
        fm_log(http->log, FM_LOG_WARN,
               "[http] listen = %s: everybody who reaches this address can read health and "
               "statistics; set username and password, or listen on 127.0.0.1",
               opts->listen);
    else if (opts->cert_file == NULL)
        fm_log(http->log, FM_LOG_WARN,
               "[http] listen = %s: the password crosses the network in clear text; set cert_file "
               "and key_file",
               opts->listen);
}

enum fm_code fm_http_start(struct fm_http **out, const struct fm_http_opts *opts,
                           struct fm_err *err)
{
    struct fm_http *http = calloc(1, sizeof *http);
    if (http == NULL)
        return fm_err_nomem(err);
    (void)pthread_mutex_init(&http->lock, NULL);
    http->log = opts->log;
    http->stale_ms = opts->stale_ms;
    keep_host(http, opts->listen);
    if (gethostname(http->own_name, sizeof http->own_name - 1) != 0)
        http->own_name[0] = '\0';
    enum fm_code code = fm_http_set_auth(http, opts->username, opts->password, err);
    if (code == FM_OK && opts->hosts != NULL) {
        http->hosts = strdup(opts->hosts);
        if (http->hosts == NULL)
            code = fm_err_nomem(err);
    }
    struct fm_server_opts server = {.listen = opts->listen,
                                    .cert_file = opts->cert_file,
                                    .key_file = opts->key_file,
                                    .max_connections = opts->max_connections,
                                    .request_ms = opts->request_ms,
                                    .max_body = 4096,
                                    .handler = fm_http_handle,
                                    .arg = http,
                                    .log = opts->log};
    if (code == FM_OK)
        code = fm_server_start(&http->server, &server, err);
    if (code != FM_OK) {
        fm_http_stop(http);
        return code;
    }
    warn(http, opts);
    *out = http;
    return FM_OK;
}

void fm_http_stop(struct fm_http *http)
{
    if (http == NULL)
        return;
    fm_server_stop(http->server);
    fm_http_set_put(http->set);
    wipe(http->token);
    free(http->hosts);
    (void)pthread_mutex_destroy(&http->lock);
    free(http);
}

void fm_http_load(const struct fm_http *http, unsigned *open, uint64_t *evicted)
{
    fm_server_stats(http->server, open, evicted);
}

uint16_t fm_http_port(const struct fm_http *http)
{
    return fm_server_port(http->server);
}
