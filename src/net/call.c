/* One request: its options, its callbacks, its answer. */
#include "net/call_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"

/* An upload that moves less than this within its window is given up. */
enum { SLOW_UPLOAD_BYTES = 1024 };

struct fm_call {
    enum fm_net_kind kind; /* first: see enum fm_net_kind */
    struct fm_client *client;
    struct fm_call *prev, *next;
    CURL *easy;
    fm_http_done *done;
    void *arg;
    struct fm_net_target target;
    struct curl_slist *headers;
    struct curl_slist *connect_to;
    const char *body; /* borrowed; NULL: none */
    size_t body_len;
    size_t body_read; /* handed to libcurl */
    struct fm_buf answer;
    size_t head_bytes;
    char *content_type, *retry_after, *location; /* owned; of the last head seen */
    int64_t started_ns;
    int64_t window_ms; /* when the current window of the upload began */
    size_t window_bytes; /* bytes on the wire then */
    unsigned slow_ms;
    curl_socket_t fd; /* for TCP_QUICKACK; CURL_SOCKET_BAD: unknown */
    struct fm_net_watch watch;
    bool head_done; /* the empty line of a final answer was seen */
    bool interim; /* the head now read is a 1xx */
    bool ready; /* the connection stands, the request goes out */
    bool too_large;
    bool slow;
    bool cancelled;
    char detail[CURL_ERROR_SIZE];
};

/* ---- callbacks of libcurl ------------------------------------------------------------------ */

static size_t on_read(char *to, size_t size, size_t n, void *arg)
{
    struct fm_call *call = arg;
    size_t left = call->body_len - call->body_read;
    size_t give = size * n < left ? size * n : left;
    if (give > 0)
        memcpy(to, call->body + call->body_read, give);
    call->body_read += give;
    return give;
}

static size_t on_write(char *data, size_t size, size_t n, void *arg)
{
    struct fm_call *call = arg;
    size_t len = size * n;
    fm_buf_put(&call->answer, data, len);
    if (!call->answer.failed)
        return len;
    call->too_large = call->answer.over_limit;
    return CURL_WRITEFUNC_ERROR;
}

/* A connection stands and the request is about to be sent; also before libcurl's own repeat over
 * a fresh connection, which it does only while no body byte was sent: so begin the body anew. */
/* NOLINTNEXTLINE(readability-non-const-parameter): libcurl wrote the signature */
static int on_ready(void *arg, char *remote, char *local, int remote_port, int local_port)
{
    (void)remote;
    (void)local;
    (void)remote_port;
    struct fm_call *call = arg;
    call->ready = true;
    call->body_read = 0;
    call->window_ms = fm_clock_ms();
    call->window_bytes = 0;
    call->fd = fm_net_socket_by_port(call->client, local_port);
    return CURL_PREREQFUNC_OK;
}

static void keep_value(char **slot, const char *line, size_t len, const char *name)
{
    size_t name_len = strlen(name);
    if (len < name_len || strncasecmp(line, name, name_len) != 0)
        return;
    line += name_len;
    len -= name_len;
    while (len > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        len--;
    }
    while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == '\n' || line[len - 1] == ' '))
        len--;
    free(*slot);
    *slot = strndup(line, len);
}

static void forget_values(struct fm_call *call)
{
    free(call->content_type);
    free(call->retry_after);
    free(call->location);
    call->content_type = call->retry_after = call->location = NULL;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
    struct fm_call *call = arg;
    size_t len = size * n;
    call->head_bytes += len;
    if (call->head_bytes > FM_NET_MAX_HEAD) {
        call->too_large = true;
        return 0;
    }
    if (len > 5 && strncmp(line, "HTTP/", 5) == 0) {
        forget_values(call); /* what came before was an interim answer */
        const char *code = memchr(line, ' ', len);
        call->interim = code != NULL && code + 1 < line + len && code[1] == '1';
    }
    keep_value(&call->content_type, line, len, "Content-Type:");
    keep_value(&call->retry_after, line, len, "Retry-After:");
    keep_value(&call->location, line, len, "Location:");
    if (len <= 2)
        call->head_done = !call->interim;
    if (len <= 2)
        fm_net_quick_ack(call->fd);
    return len;
}

/* ---- start --------------------------------------------------------------------------------- */

static bool clean(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

static bool append(struct curl_slist **list, const char *line)
{
    struct curl_slist *grown = curl_slist_append(*list, line);
    if (grown == NULL)
        return false;
    *list = grown;
    return true;
}

static bool starts_with(const char *line, const char *name)
{
    return strncasecmp(line, name, strlen(name)) == 0;
}

static enum fm_code make_headers(struct fm_call *call, const struct fm_http_request *request,
                                 const char *host_line, struct fm_err *err)
{
    bool type = false, host = false;
    for (size_t i = 0; i < request->n_headers; i++) {
        const char *line = request->headers[i];
        /* A line break would forge further headers. The text may be a token: not repeated. */
        if (!clean(line) || strchr(line, ':') == NULL)
            return fm_err_set(err, FM_EUSAGE,
                              "a request header holds a control character or no colon");
        type = type || starts_with(line, "Content-Type:");
        host = host || starts_with(line, "Host:");
        if (!append(&call->headers, line))
            return fm_err_nomem(err);
    }
    bool ok = append(&call->headers, "Expect:");
    if (!type)
        ok = ok && append(&call->headers, "Content-Type:");
    if (!host && host_line != NULL)
        ok = ok && append(&call->headers, host_line);
    return ok ? FM_OK : fm_err_nomem(err);
}

#define SET(option, value) ok = ok && curl_easy_setopt(call->easy, option, value) == CURLE_OK

static bool set_body(struct fm_call *call, const struct fm_http_request *request)
{
    bool ok = true;
    const char *method = request->method;
    bool post = strcmp(method, "POST") == 0;
    if (call->body == NULL && strcmp(method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
        return ok;
    }
    if (call->body == NULL && !post && strcmp(method, "PUT") != 0) {
        SET(CURLOPT_HTTPGET, 1L);
        if (strcmp(method, "GET") != 0)
            SET(CURLOPT_CUSTOMREQUEST, method);
        return ok;
    }
    SET(CURLOPT_POST, 1L);
    SET(CURLOPT_POSTFIELDS, NULL);
    SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_len);
    SET(CURLOPT_READFUNCTION, on_read);
    SET(CURLOPT_READDATA, call);
    /* Nothing to rewind means that libcurl would repeat the request by itself. */
    if (call->body_len == 0)
        SET(CURLOPT_FRESH_CONNECT, 1L);
    if (!post)
        SET(CURLOPT_CUSTOMREQUEST, method);
    return ok;
}

static bool set_options(struct fm_call *call, const struct fm_http_request *request,
                        const char *url)
{
    bool ok = fm_net_setup_common(call->client, call->easy, call->detail) &&
              fm_net_setup_proxy(call->easy, request->proxy, &call->target);
    if (call->target.use_tls)
        ok = ok && fm_net_setup_tls(call->easy, request->tls);
    SET(CURLOPT_URL, url);
    SET(CURLOPT_PRIVATE, call);
    SET(CURLOPT_HTTPHEADER, call->headers);
    if (call->connect_to != NULL)
        SET(CURLOPT_CONNECT_TO, call->connect_to);
    ok = ok && set_body(call, request);
    if (request->fresh)
        SET(CURLOPT_FRESH_CONNECT, 1L);
    if (request->username != NULL) {
        SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        SET(CURLOPT_USERNAME, request->username);
        SET(CURLOPT_PASSWORD, request->password != NULL ? request->password : "");
    }
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)call->target.connect_ms);
    SET(CURLOPT_TIMEOUT_MS, (long)call->target.total_ms);
    SET(CURLOPT_CERTINFO, call->target.use_tls ? 1L : 0L);
    SET(CURLOPT_WRITEFUNCTION, on_write);
    SET(CURLOPT_WRITEDATA, call);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, call);
    SET(CURLOPT_PREREQFUNCTION, on_ready);
    SET(CURLOPT_PREREQDATA, call);
    return ok && fm_net_watch(&call->watch, call->client, call->easy);
}

/* With tls_name the URL names what the certificate must say, and CONNECT_TO leads to the host. */
static enum fm_code rename_url(struct fm_call *call, const char *url, const char *name,
                               char **renamed, char *host_line, size_t size, struct fm_err *err)
{
    const struct fm_net_target *t = &call->target;
    char host[270], line[700], shown[270];
    fm_net_bracket(host, sizeof host, t->host);
    fm_net_bracket(shown, sizeof shown, name);
    (void)snprintf(line, sizeof line, "%s:%s:%s:%s", shown, t->port, host, t->port);
    if (strcmp(t->port, "443") == 0)
        (void)snprintf(host_line, size, "Host: %s", host);
    else
        (void)snprintf(host_line, size, "Host: %s:%s", host, t->port);
    CURLU *u = curl_url();
    bool ok = u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
              curl_url_set(u, CURLUPART_HOST, shown, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_URL, renamed, 0) == CURLUE_OK;
    curl_url_cleanup(u);
    if (!ok)
        return fm_err_set(err, FM_ECONF, "tls_name is not a host name");
    return append(&call->connect_to, line) ? FM_OK : fm_err_nomem(err);
}

static void free_call(struct fm_call *call)
{
    fm_net_unwatch(&call->watch);
    if (call->easy != NULL)
        fm_net_easy_put(call->client, call->easy);
    curl_slist_free_all(call->headers);
    curl_slist_free_all(call->connect_to);
    fm_buf_clear(&call->answer);
    forget_values(call);
    free(call);
}

static enum fm_code prepare(struct fm_call *call, const struct fm_http_request *request,
                            struct fm_err *err)
{
    struct fm_net_target *t = &call->target;
    const struct fm_tls *tls = request->tls;
    FM_TRY(fm_net_parse_url(t, request->url, err));
    FM_TRY(fm_net_choose_proxy(t, request->proxy, err));
    t->connect_ms =
        request->connect_timeout_ms != 0 ? request->connect_timeout_ms : FM_NET_CONNECT_MS;
    t->total_ms = request->timeout_ms != 0 ? request->timeout_ms : FM_NET_TOTAL_MS;
    if (t->connect_ms > t->total_ms)
        t->connect_ms = t->total_ms;
    if (t->use_tls && tls != NULL) {
        t->has_client_cert = tls->cert_file != NULL;
        (void)snprintf(t->ca_file, sizeof t->ca_file, "%s",
                       tls->ca_file != NULL ? tls->ca_file : "");
    }
    char *renamed = NULL;
    char host_line[300];
    bool rename = t->use_tls && tls != NULL && tls->verify_name != NULL;
    enum fm_code code = FM_OK;
    if (request->connect_to != NULL && !append(&call->connect_to, request->connect_to))
        code = fm_err_nomem(err);
    if (code == FM_OK && rename)
        code = rename_url(call, request->url, tls->verify_name, &renamed, host_line,
                          sizeof host_line, err);
    if (code == FM_OK)
        code = make_headers(call, request, rename ? host_line : NULL, err);
    if (code == FM_OK && !set_options(call, request, renamed != NULL ? renamed : request->url))
        code = fm_err_nomem(err);
    curl_free(renamed);
    return code;
}

enum fm_code fm_client_start(struct fm_client *client, const struct fm_http_request *request,
                             fm_http_done *done, void *arg, struct fm_call **out,
                             struct fm_err *err)
{
    struct fm_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return fm_err_nomem(err);
    call->kind = FM_NET_CALL;
    call->client = client;
    call->done = done;
    call->arg = arg;
    call->body = request->body;
    call->body_len = request->body != NULL ? request->body_len : 0;
    call->slow_ms = request->slow_upload_ms != 0 ? request->slow_upload_ms : FM_NET_SLOW_UPLOAD_MS;
    call->fd = CURL_SOCKET_BAD;
    call->started_ns = fm_clock_ns();
    fm_buf_init(&call->answer, request->max_answer != 0 ? request->max_answer : FM_NET_MAX_ANSWER);
    call->easy = fm_net_easy_get(client);
    enum fm_code code = call->easy != NULL ? prepare(call, request, err) : fm_err_nomem(err);
    if (code == FM_OK && curl_multi_add_handle(client->multi, call->easy) != CURLM_OK)
        code = fm_err_nomem(err);
    if (code != FM_OK) {
        free_call(call);
        return code;
    }
    call->next = client->calls;
    if (call->next != NULL)
        call->next->prev = call;
    client->calls = call;
    client->n_calls++;
    if (out != NULL)
        *out = call;
    return FM_OK;
}

/* ---- end ----------------------------------------------------------------------------------- */

static void unlink_call(struct fm_call *call)
{
    struct fm_client *client = call->client;
    if (call->prev != NULL)
        call->prev->next = call->next;
    else
        client->calls = call->next;
    if (call->next != NULL)
        call->next->prev = call->prev;
    client->n_calls--;
    (void)curl_multi_remove_handle(client->multi, call->easy);
}

void fm_net_call_drop(struct fm_call *call)
{
    unlink_call(call);
    free_call(call);
}

static size_t on_wire(const struct fm_call *call)
{
    curl_off_t sent = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    return sent > 0 ? (size_t)sent : 0;
}

/* When the server's certificate ends: from the handshake of this call, else as remembered from the
 * one that opened the kept connection. */
static int cert_days(struct fm_call *call)
{
    struct fm_client *client = call->client;
    struct curl_certinfo *info = NULL;
    char peer[sizeof client->certs[0].peer];
    if (!call->target.use_tls)
        return -1;
    (void)snprintf(peer, sizeof peer, "%s:%s", call->target.host, call->target.port);
    struct fm_net_cert *cert = NULL;
    for (size_t i = 0; i < FM_NET_CERTS && cert == NULL; i++)
        if (strcmp(client->certs[i].peer, peer) == 0)
            cert = &client->certs[i];
    if (curl_easy_getinfo(call->easy, CURLINFO_CERTINFO, &info) == CURLE_OK && info != NULL &&
        info->num_of_certs > 0) {
        for (struct curl_slist *line = info->certinfo[0]; line != NULL; line = line->next) {
            if (strncmp(line->data, "Expire date:", 12) != 0)
                continue;
            if (cert == NULL)
                cert = &client->certs[client->next_cert++ % FM_NET_CERTS];
            (void)snprintf(cert->peer, sizeof cert->peer, "%s", peer);
            cert->until_s = curl_getdate(line->data + 12, NULL);
        }
    }
    if (cert == NULL || cert->until_s <= 0)
        return -1;
    int64_t left = cert->until_s - fm_wall_ms() / 1000;
    return left > 0 ? (int)(left / 86400) : 0;
}

static struct fm_net_verdict own_verdict(const struct fm_call *call, struct fm_err *err)
{
    const struct fm_net_target *t = &call->target;
    if (call->cancelled) {
        (void)fm_err_set(err, FM_ESTOP, "the request to %s:%s was given up", t->host, t->port);
        return (struct fm_net_verdict){FM_HTTP_CANCELLED, FM_HOP_NONE};
    }
    if (call->slow) {
        (void)fm_err_set(
            err, FM_ETIMEOUT,
            "%s:%s stopped taking the request's body (less than %d bytes in %u ms); is "
            "the network congested or the batch too large?",
            t->host, t->port, (int)SLOW_UPLOAD_BYTES, call->slow_ms);
        return (struct fm_net_verdict){FM_HTTP_SLOW_UPLOAD, FM_HOP_HTTP};
    }
    (void)fm_err_set(
        err, FM_ELIMIT, "%s:%s sent an answer above the limit (%s); is it the right service?",
        t->host, t->port, call->head_bytes > FM_NET_MAX_HEAD ? "64 KiB of headers" : "its body");
    return (struct fm_net_verdict){FM_HTTP_TOO_LARGE, FM_HOP_HTTP};
}

/* A proxy that was asked directly (http:// target) refuses with an ordinary answer. */
static void check_forward_proxy(const struct fm_call *call, struct fm_http_answer *answer)
{
    const struct fm_net_target *t = &call->target;
    if (!t->via_proxy || t->use_tls || answer->status != 407)
        return;
    answer->failure = FM_HTTP_PROXY_DENIED;
    answer->hop = FM_HOP_PROXY;
    answer->connect_status = answer->status;
    (void)fm_err_set(&answer->err, FM_EPROXY,
                     "the HTTP proxy %s wants credentials (407) for %s:%s; set or correct its user "
                     "name and password",
                     t->proxy, t->host, t->port);
}

static void fill_answer(struct fm_call *call, CURLcode result, struct fm_http_answer *answer)
{
    const struct fm_net_target *t = &call->target;
    long connects = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &connects);
    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &answer->status);
    (void)curl_easy_getinfo(call->easy, CURLINFO_HTTP_CONNECTCODE, &answer->connect_status);
    answer->reused = call->ready && (connects == 0 || result == CURLE_SEND_FAIL_REWIND);
    size_t sent = on_wire(call);
    /* Only a failed send over plain TCP tells that nothing went out: TLS may have sent a part of
     * what libcurl counts as unsent, and its counter is gone when it wanted to begin anew. */
    bool tls = t->use_tls || t->proxy_tls;
    answer->body_sent = sent > 0 || (call->body_read > 0 && (tls || result != CURLE_SEND_ERROR));
    /* An end within the head is success to libcurl. */
    if (result == CURLE_OK && !call->head_done)
        result = CURLE_PARTIAL_FILE;
    struct fm_net_end end = {.result = result,
                             .connect_code = answer->connect_status,
                             .status = answer->status,
                             .connected = call->watch.connected,
                             .ready = call->ready,
                             .reused = answer->reused,
                             .any_answer = call->head_bytes > 0,
                             .detail = call->detail[0] != '\0' ? call->detail
                                                               : curl_easy_strerror(result)};
    if (!call->ready)
        answer->status = 0; /* at most a proxy's */
    struct fm_net_verdict verdict = call->cancelled || call->slow || call->too_large
                                        ? own_verdict(call, &answer->err)
                                        : fm_net_explain(call->easy, t, &end, &answer->err);
    answer->failure = verdict.failure;
    answer->hop = verdict.hop;
    answer->cert_days = cert_days(call);
    answer->duration_ms = (double)(fm_clock_ns() - call->started_ns) / 1e6;
    answer->body_len = call->answer.len;
    call->answer.failed = call->answer.over_limit = false; /* what fitted is still shown */
    call->answer.max = 0;
    answer->body = fm_buf_str(&call->answer);
    if (call->answer.failed)
        answer->body_len = 0;
    answer->content_type = call->content_type != NULL ? call->content_type : "";
    answer->retry_after = call->retry_after;
    answer->location = call->location;
    if (answer->failure == FM_HTTP_OK)
        check_forward_proxy(call, answer);
}

void fm_net_call_done(struct fm_call *call, CURLcode result)
{
    struct fm_http_answer answer = {0};
    fill_answer(call, result, &answer);
    unlink_call(call);
    call->done(&answer, call->arg);
    free_call(call);
}

void fm_client_cancel(struct fm_client *client, struct fm_call *call)
{
    (void)client;
    call->cancelled = true;
    fm_net_call_done(call, CURLE_ABORTED_BY_CALLBACK);
}

/* ---- uploads that do not move -------------------------------------------------------------- */

static bool uploading(const struct fm_call *call)
{
    return call->ready && call->body_len > 0 && call->head_bytes == 0;
}

static bool stalled(struct fm_call *call, int64_t now)
{
    if (!uploading(call) || now - call->window_ms < (int64_t)call->slow_ms)
        return false;
    size_t sent = on_wire(call);
    if (sent >= call->body_len)
        return false;
    if (sent - call->window_bytes < SLOW_UPLOAD_BYTES)
        return true;
    call->window_ms = now;
    call->window_bytes = sent;
    return false;
}

unsigned fm_net_calls_check(struct fm_client *client)
{
    unsigned n = 0;
    int64_t now = fm_clock_ms();
    for (struct fm_call *call = client->calls; call != NULL;) {
        if (!stalled(call, now)) {
            call = call->next;
            continue;
        }
        call->slow = true;
        fm_net_call_done(call, CURLE_ABORTED_BY_CALLBACK);
        n++;
        call = client->calls; /* the callback may have changed the list */
    }
    return n;
}

int fm_net_calls_wait(const struct fm_client *client, int timeout_ms)
{
    int64_t now = fm_clock_ms();
    for (const struct fm_call *call = client->calls; call != NULL; call = call->next) {
        if (!uploading(call) || on_wire(call) >= call->body_len)
            continue;
        int64_t left = call->window_ms + call->slow_ms - now;
        if (left < timeout_ms)
            timeout_ms = left > 0 ? (int)left : 1;
    }
    return timeout_ms;
}
