/* The end of a request: why it ended, what its answer says. */
#include "net/call_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

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
    fm_net_call_free(call);
}

size_t fm_net_on_wire(const struct fm_call *call)
{
    curl_off_t sent = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    return sent > 0 ? (size_t)sent : 0;
}

static void put_peer(char *out, size_t size, const struct fm_net_target *t)
{
    (void)snprintf(out, size, "%s:%s", t->host, t->port);
}

struct fm_net_cert *fm_net_cert_of(struct fm_client *client, const struct fm_net_target *t)
{
    char peer[sizeof client->certs[0].peer];
    put_peer(peer, sizeof peer, t);
    for (size_t i = 0; t->use_tls && i < FM_NET_CERTS; i++)
        if (strcmp(client->certs[i].peer, peer) == 0)
            return &client->certs[i];
    return NULL;
}

/* When the server's certificate ends: from the handshake of this call, else as remembered from the
 * one that opened the kept connection. */
static int cert_days(struct fm_call *call)
{
    struct fm_client *client = call->client;
    struct curl_certinfo *info = NULL;
    if (!call->target.use_tls)
        return -1;
    struct fm_net_cert *cert = fm_net_cert_of(client, &call->target);
    if (curl_easy_getinfo(call->easy, CURLINFO_CERTINFO, &info) == CURLE_OK && info != NULL &&
        info->num_of_certs > 0) {
        for (struct curl_slist *line = info->certinfo[0]; line != NULL; line = line->next) {
            if (strncmp(line->data, "Expire date:", 12) != 0)
                continue;
            if (cert == NULL)
                cert = &client->certs[client->next_cert++ % FM_NET_CERTS];
            put_peer(cert->peer, sizeof cert->peer, &call->target);
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
    bool unsent = call->body_len > 0 && !call->uploaded;
    if (call->slow && unsent) {
        (void)fm_err_set(
            err, FM_ETIMEOUT,
            "%s:%s stopped taking the request's body (less than %d bytes in %u ms); is "
            "the network congested or the batch too large?",
            t->host, t->port, (int)FM_NET_SLOW_BYTES, call->slow_ms);
        return (struct fm_net_verdict){FM_HTTP_SLOW_UPLOAD, FM_HOP_HTTP};
    }
    if (call->slow || call->dead) {
        (void)fm_err_set(err, FM_ECLOSED,
                         "%s:%s acknowledges nothing any more: the connection is given up; is the "
                         "network down, do large packets vanish (MTU), or did an address change?",
                         t->host, t->port);
        return unsent ? (struct fm_net_verdict){FM_HTTP_SLOW_UPLOAD, FM_HOP_HTTP}
                      : (struct fm_net_verdict){FM_HTTP_BROKEN, FM_HOP_HTTP};
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
    size_t sent = fm_net_on_wire(call);
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
                             .alert = call->alert,
                             .met = &call->met,
                             .detail = call->detail[0] != '\0' ? call->detail
                                                               : curl_easy_strerror(result)};
    if (!call->ready)
        answer->status = 0; /* at most a proxy's */
    struct fm_net_verdict verdict = call->cancelled || call->slow || call->dead || call->too_large
                                        ? own_verdict(call, &answer->err)
                                        : fm_net_explain(call->easy, t, &end, &answer->err);
    answer->failure = verdict.failure;
    answer->hop = verdict.hop;
    answer->cert_days = cert_days(call);
    struct fm_net_cert *known = fm_net_cert_of(call->client, t);
    if (answer->failure == FM_HTTP_TLS_VERIFY && known != NULL)
        known->peer[0] = '\0';
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

/* All of the body is with the system, or nothing more of it will be: what was held back goes out.
 */
static void uncork(struct fm_call *call)
{
    if (call->corked)
        fm_net_cork(call->client, call->fd, false);
    call->corked = false;
}

void fm_net_call_let_go(struct fm_call *call)
{
    if (call->corked && (call->head_bytes > 0 || fm_net_on_wire(call) >= call->body_len))
        uncork(call);
}

/* No address took the connection, and some were left out for what they did before: go on with them,
 * in the time that is left. */
static bool tries_others(struct fm_call *call, CURLcode result)
{
    int64_t left = call->started_ns / 1000000 + call->target.connect_ms - fm_clock_ms();
    /* The second one too: libcurl calls it so when the last address that it tried was silent. */
    if ((result != CURLE_COULDNT_CONNECT && result != CURLE_OPERATION_TIMEDOUT) || call->ready ||
        call->watch.connected || left < FM_NET_WAY_LEAST_MS ||
        !fm_net_way_next_pass(call->client, &call->watch.walk))
        return false;
    (void)curl_multi_remove_handle(call->client->multi, call->easy);
    call->detail[0] = '\0';
    call->client->nudge = true;
    return curl_easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)left) == CURLE_OK &&
           curl_multi_add_handle(call->client->multi, call->easy) == CURLM_OK;
}

/* Who takes a connection and then does not come through TLS is no better than who takes none: the
 * next try goes to another address, if there is one. */
static void judge_address(struct fm_call *call, CURLcode result)
{
    struct fm_net_watch *watch = &call->watch;
    if (result == CURLE_OK || call->cancelled || call->ready)
        return;
    if (!watch->connected)
        fm_net_judge_silence(watch, AF_UNSPEC);
    else if (!call->target.via_proxy)
        fm_net_way_failed(call->client, &watch->walk, &watch->met);
}

void fm_net_call_done(struct fm_call *call, CURLcode result)
{
    struct fm_http_answer answer = {0};
    if (tries_others(call, result))
        return;
    judge_address(call, result);
    uncork(call);
    call->rewind = result == CURLE_SEND_FAIL_REWIND;
    fill_answer(call, result, &answer);
    fm_net_flow_ended(call, &answer);
    unlink_call(call);
    call->done(&answer, call->arg);
    fm_net_call_free(call);
}

void fm_client_cancel(struct fm_client *client, struct fm_call *call)
{
    (void)client;
    call->cancelled = true;
    fm_net_call_done(call, CURLE_ABORTED_BY_CALLBACK);
}
