/* The life of a client: one curl multi handle, its pool of easy handles, the loop. */
#include "net/client.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/call_priv.h"
#include "net/client_priv.h"

enum { NUDGES = 2 * FM_NET_WAY_ADDRESSES }; /* in a row */

enum fm_code fm_net_init(struct fm_err *err)
{
    struct sigaction pipe = {0};
    if (sigaction(SIGPIPE, NULL, &pipe) == 0 && pipe.sa_handler == SIG_DFL)
        (void)signal(SIGPIPE, SIG_IGN);
    /* libcurl would write the secrets of every TLS session there. */
    (void)unsetenv("SSLKEYLOGFILE");
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return fm_err_set(err, FM_ESYS, "libcurl does not start");
    const curl_version_info_data *info = curl_version_info(CURLVERSION_NOW);
    if (info->version_num < 0x075700) /* CURLOPT_QUICK_EXIT */
        return fm_err_set(err, FM_ESYS, "libcurl %s is too old; 7.87 or later is needed",
                          info->version);
    if ((info->features & CURL_VERSION_SSL) == 0 || info->ssl_version == NULL ||
        strncmp(info->ssl_version, "OpenSSL", 7) != 0)
        return fm_err_set(err, FM_ESYS, "libcurl was built with %s; the OpenSSL flavour is needed",
                          info->ssl_version != NULL ? info->ssl_version : "no TLS library");
    return FM_OK;
}

const char *fm_net_version(void)
{
    return curl_version();
}

const char *fm_net_built_with(void)
{
    return "libcurl/" LIBCURL_VERSION;
}

static long whole_seconds(unsigned ms, unsigned fallback_ms)
{
    unsigned value = ms != 0 ? ms : fallback_ms;
    return value < 1000 ? 1 : (long)(value / 1000);
}

enum fm_code fm_client_new(struct fm_client **out, const struct fm_client_opts *opts,
                           struct fm_err *err)
{
    static const struct fm_client_opts none = {0};
    if (opts == NULL)
        opts = &none;
    struct fm_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return fm_err_nomem(err);
    client->log = opts->log;
    client->epoll = -1;
    atomic_init(&client->wake, -1);
    /* libcurl counts whole seconds and reuses at "equal": one less keeps the limit. */
    client->idle_age_s = whole_seconds(opts->idle_age_ms, 25000);
    if (client->idle_age_s > 1)
        client->idle_age_s--;
    client->connection_life_s = whole_seconds(opts->connection_life_ms, 600000);
    client->max_connections = opts->max_connections != 0 ? opts->max_connections : 8;
    client->multi = curl_multi_init();
    client->share = curl_share_init();
    if (client->multi == NULL || client->share == NULL ||
        curl_share_setopt(client->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) !=
            CURLSHE_OK ||
        curl_multi_setopt(client->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) != CURLM_OK) {
        fm_client_free(client);
        return fm_err_nomem(err);
    }
    fm_net_set_cache(client);
    *out = client;
    return FM_OK;
}

void fm_client_free(struct fm_client *client)
{
    if (client == NULL)
        return;
    while (client->calls != NULL)
        fm_net_call_drop(client->calls);
    for (size_t i = 0; i < client->n_pool; i++)
        curl_easy_cleanup(client->pool[i]);
    if (client->multi != NULL)
        (void)curl_multi_cleanup(client->multi);
    if (client->share != NULL)
        (void)curl_share_cleanup(client->share);
    if (client->epoll >= 0) {
        (void)close(client->epoll);
        (void)close(atomic_load(&client->wake));
    }
    fm_buf_clear(&client->spare);
    fm_net_ca_clear(client);
    fm_net_ways_clear(client);
    free(client->socks);
    free(client);
}

/* Connect-only connections stand in the same cache: they must not push the others out. */
void fm_net_set_cache(struct fm_client *client)
{
    (void)curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS,
                            (long)(client->max_connections + client->n_conns));
}

void fm_client_keep(struct fm_client *client, unsigned max_connections)
{
    client->max_connections = max_connections;
    fm_net_set_cache(client);
}

CURL *fm_net_easy_get(struct fm_client *client)
{
    if (client->n_pool > 0)
        return client->pool[--client->n_pool];
    return curl_easy_init();
}

void fm_net_easy_put(struct fm_client *client, CURL *easy, bool rewind)
{
    /* libcurl 8.7 and later remembers beyond a reset that it wants to rewind, and would refuse the
     * next request for it. Sessions and connections are not the handle's: nothing else is lost. */
    if (rewind || client->n_pool == FM_NET_POOL) {
        curl_easy_cleanup(easy);
        return;
    }
    curl_easy_reset(easy);
    client->pool[client->n_pool++] = easy;
}

/* Hand out what has ended. @return number of handles that ended */
static unsigned dispatch_done(struct fm_client *client)
{
    unsigned n = 0;
    int left = 0;
    for (CURLMsg *msg; (msg = curl_multi_info_read(client->multi, &left)) != NULL;) {
        if (msg->msg != CURLMSG_DONE)
            continue;
        CURL *easy = msg->easy_handle;
        CURLcode result = msg->data.result; /* msg is gone once a handle is removed */
        char *owner = NULL;
        (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &owner);
        n++;
        if (*(const enum fm_net_kind *)(const void *)owner == FM_NET_CALL)
            fm_net_call_done((struct fm_call *)(void *)owner, result);
        else
            fm_net_conn_done((struct fm_conn *)(void *)owner, result);
    }
    return n;
}

static enum fm_code perform(struct fm_client *client, unsigned *done, struct fm_err *err)
{
    *done = 0;
    /* An address that was given up leaves libcurl 7.88 without a socket to wait for. */
    for (int round = 0; round == 0 || (client->nudge && round < NUDGES); round++) {
        int running = 0;
        client->nudge = false;
        CURLMcode rc = curl_multi_perform(client->multi, &running);
        if (rc != CURLM_OK)
            return fm_err_set(err, rc == CURLM_OUT_OF_MEMORY ? FM_ENOMEM : FM_EBUG,
                              "transfers cannot go on: %s", curl_multi_strerror(rc));
        *done += dispatch_done(client);
    }
    *done += fm_net_calls_check(client);
    return FM_OK;
}

/* Whether libcurl has something to do; open connections alone are not its business. */
static bool curl_works(const struct fm_client *client)
{
    return fm_client_active(client) > 0 || client->n_connecting > 0 || client->epoll < 0;
}

enum fm_code fm_client_poll(struct fm_client *client, int timeout_ms, struct fm_err *err)
{
    unsigned done = 0;
    if (curl_works(client))
        FM_TRY(perform(client, &done, err));
    if (done > 0 || timeout_ms < 0 || client->n_more > 0)
        timeout_ms = 0;
    timeout_ms = fm_net_conns_limit(client, timeout_ms);
    if (curl_works(client)) {
        struct curl_waitfd conns = {.fd = client->epoll, .events = CURL_WAIT_POLLIN};
        CURLMcode rc = curl_multi_poll(client->multi, &conns, client->epoll >= 0,
                                       fm_net_calls_wait(client, timeout_ms), NULL);
        if (rc != CURLM_OK)
            return fm_err_set(err, rc == CURLM_OUT_OF_MEMORY ? FM_ENOMEM : FM_EBUG,
                              "waiting for sockets failed: %s", curl_multi_strerror(rc));
        timeout_ms = 0;
    }
    if (client->epoll >= 0) {
        fm_net_conns_wait(client, timeout_ms);
        fm_net_conns_dispatch(client);
    }
    return curl_works(client) ? perform(client, &done, err) : FM_OK;
}

void fm_client_wakeup(struct fm_client *client)
{
    int wake = atomic_load(&client->wake);
    const uint64_t one = 1;
    if (wake < 0) {
        (void)curl_multi_wakeup(client->multi);
        wake = atomic_load(&client->wake); /* meanwhile it may wait where libcurl wakes nobody */
    }
    if (wake >= 0 && write(wake, &one, sizeof one) < 0)
        return; /* full: it is awake */
}

size_t fm_client_active(const struct fm_client *client)
{
    return client->n_calls;
}

struct blocking {
    struct fm_http_answer *answer;
    char **body;
    bool done;
    bool failed;
};

static void keep_answer(const struct fm_http_answer *answer, void *arg)
{
    struct blocking *b = arg;
    b->done = true;
    *b->answer = *answer;
    /* These lie in memory that ends with the callback. */
    b->answer->content_type = "";
    b->answer->retry_after = NULL;
    b->answer->location = NULL;
    b->answer->body = NULL;
    if (b->body == NULL)
        return;
    *b->body = malloc(answer->body_len + 1);
    if (*b->body == NULL) {
        b->failed = true;
        return;
    }
    memcpy(*b->body, answer->body, answer->body_len);
    (*b->body)[answer->body_len] = '\0';
    b->answer->body = *b->body;
}

enum fm_code fm_client_call(struct fm_client *client, const struct fm_http_request *request,
                            struct fm_http_answer *answer, char **body, struct fm_err *err)
{
    struct blocking b = {.answer = answer, .body = body};
    if (body != NULL)
        *body = NULL;
    struct fm_call *call = NULL;
    FM_TRY(fm_client_start(client, request, keep_answer, &b, &call, err));
    while (!b.done) {
        enum fm_code code = fm_client_poll(client, 1000, err);
        if (code != FM_OK) {
            if (!b.done)
                fm_net_call_drop(call);
            return code;
        }
    }
    return b.failed ? fm_err_nomem(err) : FM_OK;
}
