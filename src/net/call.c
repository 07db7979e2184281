/* One request: its options, its callbacks, its start. */
#include "net/call_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"

enum { UPLOAD_MIN = 64 * 1024, UPLOAD_MAX = 512 * 1024 };

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
    (void)local;
    struct fm_call *call = arg;
    call->ready = true;
    call->body_read = 0;
    call->window_ms = call->moved_ms = fm_clock_ms();
    call->looked_ms = 0;
    call->fd = fm_net_socket_of(call->client, local_port, remote, remote_port);
    fm_net_settle(&call->watch, call->fd);
    call->corked = call->body_len > UPLOAD_MIN;
    fm_net_cork(call->client, call->fd, call->corked);
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
    if (call->body_len > UPLOAD_MIN) /* few calls for a batch; a small body needs no such buffer */
        SET(CURLOPT_UPLOAD_BUFFERSIZE,
            (long)(call->body_len < UPLOAD_MAX ? call->body_len : UPLOAD_MAX));
    /* Nothing to rewind means that libcurl would repeat the request by itself. */
    if (call->body_len == 0)
        SET(CURLOPT_FRESH_CONNECT, 1L);
    if (!post)
        SET(CURLOPT_CUSTOMREQUEST, method);
    return ok;
}

/* What libcurl's trace shows and nothing else: the certificate of a peer that was refused; and with
 * TLS to the host inside TLS to the proxy, where libcurl calls the refusal a failed system call,
 * the fatal alert that was sent. */
static int on_trace(CURL *easy, curl_infotype type, char *data, size_t size, void *arg)
{
    static const char mark[] = " (OUT), TLS alert, ";
    (void)easy;
    struct fm_call *call = arg;
    if (type == CURLINFO_SSL_DATA_IN && !call->ready)
        (void)fm_net_met_read(&call->met, data, size);
    if (type != CURLINFO_TEXT || memmem(data, size, mark, sizeof mark - 1) == NULL)
        return 0;
    const char *open = memrchr(data, '(', size);
    unsigned code = 0; /* level and description, a byte each */
    for (const char *p = open + 1; p < data + size && *p >= '0' && *p <= '9' && code <= 9999; p++)
        code = code * 10 + (unsigned)(*p - '0');
    if (code >> 8 == 2 && !call->ready && call->target.proxy_tls)
        call->alert = code & 0xff;
    return 0;
}

static bool set_options(struct fm_call *call, const struct fm_http_request *request,
                        const char *url)
{
    bool ok = fm_net_setup_common(call->client, call->easy, call->detail) &&
              fm_net_setup_proxy(call->easy, request->proxy, &call->target);
    if (call->target.use_tls)
        ok = ok && fm_net_setup_tls(call->easy, request->tls);
    if (call->target.use_tls || call->target.proxy_tls)
        ok = ok && fm_net_setup_cas(call->client, call->easy,
                                    request->tls != NULL ? request->tls->ca_file : NULL,
                                    call->target.via_proxy ? request->proxy->ca_file : NULL);
    /* Not for a peer that was trusted before: its handshakes are the many that go well. Once one
     * does not, it is no longer known. */
    bool stranger = fm_net_cert_of(call->client, &call->target) == NULL;
    if (call->target.proxy_tls || (call->target.use_tls && stranger)) {
        SET(CURLOPT_VERBOSE, 1L);
        SET(CURLOPT_DEBUGFUNCTION, on_trace);
        SET(CURLOPT_DEBUGDATA, call);
    }
    SET(CURLOPT_TCP_KEEPIDLE, 5L); /* an answer that cannot come is not waited for */
    SET(CURLOPT_TCP_KEEPINTVL, 2L);
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
    SET(CURLOPT_CERTINFO, call->target.use_tls ? 1L : 0L);
    SET(CURLOPT_WRITEFUNCTION, on_write);
    SET(CURLOPT_WRITEDATA, call);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, call);
    SET(CURLOPT_PREREQFUNCTION, on_ready);
    SET(CURLOPT_PREREQDATA, call);
    return ok && fm_net_watch(&call->watch, call->client, call->easy, &call->target);
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

void fm_net_call_free(struct fm_call *call)
{
    fm_net_unwatch(&call->watch, call->fd);
    if (call->easy != NULL)
        fm_net_easy_put(call->client, call->easy, call->rewind);
    curl_slist_free_all(call->headers);
    curl_slist_free_all(call->connect_to);
    if (call->answer.cap > call->client->spare.cap && call->answer.cap <= FM_NET_SPARE) {
        struct fm_buf smaller = call->client->spare;
        call->client->spare = call->answer;
        call->answer = smaller;
    }
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
    if (t->proxy_tls && request->proxy->ca_file != NULL)
        (void)snprintf(t->proxy_ca_file, sizeof t->proxy_ca_file, "%s", request->proxy->ca_file);
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
    call->deadline_ms = INT64_MAX;
    call->answer = client->spare;
    fm_buf_init(&client->spare, 0);
    fm_buf_reset(&call->answer);
    call->answer.max = request->max_answer != 0 ? request->max_answer : FM_NET_MAX_ANSWER;
    call->easy = fm_net_easy_get(client);
    enum fm_code code = call->easy != NULL ? prepare(call, request, err) : fm_err_nomem(err);
    if (code == FM_OK && curl_multi_add_handle(client->multi, call->easy) != CURLM_OK)
        code = fm_err_nomem(err);
    if (code != FM_OK) {
        fm_net_call_free(call);
        return code;
    }
    call->deadline_ms = fm_clock_ms() + call->target.total_ms;
    call->next = client->calls;
    if (call->next != NULL)
        call->next->prev = call;
    client->calls = call;
    client->n_calls++;
    if (out != NULL)
        *out = call;
    return FM_OK;
}
