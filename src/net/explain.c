/* From libcurl's result to the failure, the hop and a sentence that a person can act upon.
 *
 * libcurl's codes alone do not tell: a proxy's 407 arrives as "receive error" (only the CONNECT
 * code shows it), a time limit may have struck in any phase, and "TLS connect error" covers a
 * plain HTTP server as well as a missing client certificate. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/client_priv.h"

/* What CURLINFO_SSL_VERIFYRESULT holds: OpenSSL's numbers, stable since 1.0 (x509_vfy.h). */
enum {
    V_NO_ISSUER = 2,
    V_NOT_YET_VALID = 9,
    V_EXPIRED = 10,
    V_SELF_SIGNED = 18,
    V_SELF_SIGNED_IN_CHAIN = 19,
    V_NO_LOCAL_ISSUER = 20,
    V_NO_LEAF_SIGNATURE = 21,
    V_REVOKED = 23,
    V_PURPOSE = 26,
    V_KEY_TOO_SMALL = 66,
    V_CA_KEY_TOO_SMALL = 67,
    V_CA_HASH_TOO_WEAK = 68
};

/* The alerts by which OpenSSL refuses a certificate, and what they stand for. */
static long result_of_alert(unsigned alert)
{
    switch (alert) {
    case 42: /* bad_certificate */
        return V_NOT_YET_VALID;
    case 44: /* certificate_revoked */
        return V_REVOKED;
    case 45: /* certificate_expired */
        return V_EXPIRED;
    case 48: /* unknown_ca */
        return V_NO_LOCAL_ISSUER;
    default:
        return 0;
    }
}

struct phase {
    bool name; /* the name was looked up */
    bool tcp; /* connected to the first peer: the proxy, or the host */
    bool tunnel; /* the proxy has opened the way, or none is used */
    bool tls; /* handshake with the host done, or none is needed */
};

static struct phase phase_of(CURL *easy, const struct fm_net_target *t,
                             const struct fm_net_end *end)
{
    curl_off_t name = 0, tcp = 0, tls = 0;
    (void)curl_easy_getinfo(easy, CURLINFO_NAMELOOKUP_TIME_T, &name);
    (void)curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &tcp);
    (void)curl_easy_getinfo(easy, CURLINFO_APPCONNECT_TIME_T, &tls);
    struct phase p = {.name = name > 0 || end->connected,
                      .tcp = tcp > 0 || end->connected || end->connect_code != 0};
    p.tunnel = p.tcp && (!t->via_proxy || !t->use_tls || end->connect_code / 100 == 2);
    p.tls = p.tunnel && (!t->use_tls || tls > 0);
    if (end->ready)
        p = (struct phase){true, true, true, true};
    return p;
}

static bool has(const struct fm_net_end *end, const char *text)
{
    return strstr(end->detail, text) != NULL;
}

#define VERDICT(failure, hop) ((struct fm_net_verdict){failure, hop})

static struct fm_net_verdict explain_connect(const struct fm_net_target *t, int sys,
                                             struct fm_err *err)
{
    const char *who = t->via_proxy ? t->proxy : t->host;
    const char *role = t->via_proxy ? "the HTTP proxy " : "";
    char port[12] = "";
    if (!t->via_proxy)
        (void)snprintf(port, sizeof port, ":%s", t->port);
    switch (sys) {
    case ECONNREFUSED:
        (void)fm_err_set(err, FM_ECONNECT,
                         "%s%s%s refused the connection; nothing listens there, or a firewall "
                         "rejects: check host, port, and whether it runs",
                         role, who, port);
        break;
    case ENETUNREACH:
    case EHOSTUNREACH:
        (void)fm_err_set(err, FM_ECONNECT,
                         "%s%s%s cannot be reached: no route; check address, network and firewall",
                         role, who, port);
        break;
    case EMFILE:
    case ENFILE:
        (void)fm_err_set(err, FM_ECONNECT,
                         "no socket for %s%s%s: too many files are open; raise the limit of open "
                         "files",
                         role, who, port);
        break;
    case 0:
    case ETIMEDOUT:
        (void)fm_err_set(err, FM_ECONNECT,
                         "%s%s%s does not answer to connecting; is the address right, and does a "
                         "firewall drop packets?",
                         role, who, port);
        break;
    default: {
        char reason[96];
        (void)fm_err_set(err, FM_ECONNECT, "cannot connect to %s%s%s: %s", role, who, port,
                         strerror_r(sys, reason, sizeof reason));
    }
    }
    if (err != NULL)
        err->sys = sys;
    return t->via_proxy ? VERDICT(FM_HTTP_PROXY_FAILED, FM_HOP_PROXY)
                        : VERDICT(FM_HTTP_CONNECT, FM_HOP_TCP);
}

static struct fm_net_verdict explain_connect_code(const struct fm_net_target *t, long code,
                                                  struct fm_err *err)
{
    switch (code) {
    case 407:
        (void)fm_err_set(
            err, FM_EPROXY,
            "the HTTP proxy %s wants credentials (407) before it lets us to %s:%s; set "
            "or correct its user name and password",
            t->proxy, t->host, t->port);
        return VERDICT(FM_HTTP_PROXY_DENIED, FM_HOP_PROXY);
    case 403:
        (void)fm_err_set(err, FM_EPROXY,
                         "the HTTP proxy %s does not allow %s:%s (403); ask its operator to permit "
                         "this host and port",
                         t->proxy, t->host, t->port);
        return VERDICT(FM_HTTP_PROXY_DENIED, FM_HOP_PROXY);
    case 502:
    case 503:
    case 504:
        (void)fm_err_set(
            err, FM_ECONNECT,
            "the HTTP proxy %s cannot reach %s:%s (%ld); check the name and port as the "
            "proxy sees them",
            t->proxy, t->host, t->port, code);
        break;
    default:
        (void)fm_err_set(err, FM_ECONNECT,
                         "the HTTP proxy %s answered %ld to CONNECT %s:%s; is it a proxy that "
                         "tunnels?",
                         t->proxy, code, t->host, t->port);
    }
    return VERDICT(FM_HTTP_PROXY_FAILED, FM_HOP_PROXY);
}

static struct fm_net_verdict explain_timeout(const struct fm_net_target *t, const struct phase *p,
                                             struct fm_err *err)
{
    unsigned ms = t->connect_ms;
    if (!p->name) {
        (void)fm_err_set(err, FM_ENAME,
                         "looking up %s took longer than %u ms; check the name service (DNS)",
                         t->via_proxy ? t->proxy : t->host, ms);
        return t->via_proxy ? VERDICT(FM_HTTP_PROXY_FAILED, FM_HOP_PROXY)
                            : VERDICT(FM_HTTP_RESOLVE, FM_HOP_NAME);
    }
    if (!p->tcp)
        return explain_connect(t, 0, err);
    if (!p->tunnel) {
        (void)fm_err_set(err, FM_ETIMEOUT,
                         "the HTTP proxy %s did not open the way to %s:%s within %u ms", t->proxy,
                         t->host, t->port, ms);
        return VERDICT(FM_HTTP_PROXY_FAILED, FM_HOP_PROXY);
    }
    if (!p->tls) {
        (void)fm_err_set(err, FM_ETIMEOUT,
                         "%s:%s took the connection but did not finish the TLS handshake within %u "
                         "ms; is it a TLS port?",
                         t->host, t->port, ms);
        return VERDICT(FM_HTTP_TLS_FAILED, FM_HOP_TLS);
    }
    (void)fm_err_set(err, FM_ETIMEOUT, "%s:%s gave no complete answer within %u ms", t->host,
                     t->port, t->total_ms);
    return VERDICT(FM_HTTP_TIMEOUT, FM_HOP_HTTP);
}

/* OpenSSL's verdict on the certificate, in words that go on after "its certificate"; cure: what its
 * user may do, NULL: nothing here. */
static const char *verify_reason(long result, const char **cure)
{
    *cure = NULL;
    switch (result) {
    case V_EXPIRED:
        return "(or one of its chain) has expired; renew it there, or check this host's clock";
    case V_NOT_YET_VALID:
        return "is not valid yet; is this host's clock right?";
    case V_SELF_SIGNED:
        *cure = "put that certificate into";
        return "is self-signed";
    case V_SELF_SIGNED_IN_CHAIN:
        *cure = "put the CA's certificate into";
        return "comes from a CA that is unknown here";
    case V_NO_ISSUER:
    case V_NO_LOCAL_ISSUER:
    case V_NO_LEAF_SIGNATURE:
        *cure = "put the CA's certificate into";
        return "comes from a CA that is unknown here, or an intermediate one is missing";
    case V_REVOKED:
        return "was revoked";
    case V_PURPOSE:
        return "is not meant for servers";
    case V_CA_HASH_TOO_WEAK:
    case V_KEY_TOO_SMALL:
    case V_CA_KEY_TOO_SMALL:
        return "uses a key or hash that is too weak";
    default:
        return NULL;
    }
}

/* "WHO is not trusted: its certificate (what it says) REASON[; CURE]". What it says is cut so that
 * the rest stays whole. */
static void tell_distrust(const char *who, const struct fm_net_met *met, const char *reason,
                          const char *cure, const char *setting, struct fm_err *err)
{
    static const char form[] = "%s is not trusted: its certificate%s %s%s%s%s%s";
    const char *parts[] = {reason, cure != NULL ? "; " : "", cure != NULL ? cure : "",
                           cure != NULL ? " " : "", cure != NULL ? setting : ""};
    size_t taken = sizeof form + strlen(who);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        taken += strlen(parts[i]);
    char shown[220];
    size_t room = sizeof err->text > taken ? sizeof err->text - taken : 0;
    (void)fm_net_met_text(met, room, shown, sizeof shown);
    (void)fm_err_set(err, FM_ETLS, form, who, shown, parts[0], parts[1], parts[2], parts[3],
                     parts[4]);
}

static struct fm_net_verdict explain_verify(CURL *easy, const struct fm_net_target *t,
                                            bool at_proxy, const struct fm_net_end *end,
                                            struct fm_err *err)
{
    char who[600];
    if (at_proxy)
        (void)snprintf(who, sizeof who, "the HTTP proxy %s", t->proxy);
    else
        (void)snprintf(who, sizeof who, "%s:%s", t->host, t->port);
    long result = 0;
    (void)curl_easy_getinfo(
        easy, at_proxy ? CURLINFO_PROXY_SSL_VERIFYRESULT : CURLINFO_SSL_VERIFYRESULT, &result);
    if (!at_proxy && end->alert != 0)
        result = result_of_alert(end->alert);
    const char *cure, *reason = verify_reason(result, &cure);
    if (reason != NULL)
        tell_distrust(who, end->met, reason, cure, at_proxy ? "http_proxy_ca_file" : "ca_file",
                      err);
    else if (has(end, "alternative certificate subject") ||
             has(end, "does not match target host") || has(end, "unable to obtain common name"))
        tell_distrust(who, end->met, "was issued for another name",
                      at_proxy     ? "put a name from the certificate into"
                      : t->is_conn ? "connect by the name in the certificate, or set"
                                   : "put a name from the certificate into the",
                      at_proxy     ? "http_proxy"
                      : t->is_conn ? "tls_name to that name"
                                   : "URL",
                      err);
    else
        (void)fm_err_set(err, FM_ETLS, "%s is not trusted: %s", who, end->detail);
    return VERDICT(FM_HTTP_TLS_VERIFY, at_proxy ? FM_HOP_PROXY : FM_HOP_TLS);
}

static struct fm_net_verdict explain_local_tls(const struct fm_net_target *t, bool at_proxy,
                                               CURLcode result, struct fm_err *err)
{
    const char *file = at_proxy ? t->proxy_ca_file : t->ca_file;
    if (result == CURLE_SSL_CACERT_BADFILE)
        (void)fm_err_set(
            err, FM_ETLS,
            "the CA file%s cannot be used (%s); it must exist, be readable, and hold PEM "
            "certificates",
            at_proxy ? " of the HTTP proxy, http_proxy_ca_file," : "",
            file[0] != '\0' ? file : "the system's CA bundle");
    else if (result == CURLE_SSL_PINNEDPUBKEYNOTMATCH)
        (void)fm_err_set(err, FM_ETLS,
                         "%s:%s showed another key than pinned_key; somebody is in between, or its "
                         "key was changed",
                         t->host, t->port);
    else if (result == CURLE_SSL_CIPHER)
        (void)fm_err_set(err, FM_ETLS, "the TLS library refuses our cipher list");
    else
        (void)fm_err_set(
            err, FM_ETLS,
            "the client certificate for %s:%s or its key cannot be used; are cert_file "
            "and key_file readable PEM, do they belong together, is key_password right?",
            t->host, t->port);
    return VERDICT(FM_HTTP_TLS_VERIFY, at_proxy ? FM_HOP_PROXY : FM_HOP_TLS);
}

/* An alert after which a client certificate is the likely cause. */
static bool wants_client_cert(const struct fm_net_end *end)
{
    return has(end, "certificate required") || has(end, "handshake failure") ||
           has(end, "bad certificate") || has(end, "alert unknown ca") ||
           has(end, "alert certificate");
}

/* libcurl's own words repeat host and port, and call an end of the stream a system call. */
static const char *handshake_reason(const struct fm_net_end *end)
{
    if (has(end, "reset by peer"))
        return "the peer reset the connection";
    if (has(end, "SSL_ERROR_SYSCALL") || has(end, "unexpected eof"))
        return "the peer closed the connection";
    return end->detail;
}

static struct fm_net_verdict explain_handshake(const struct fm_net_target *t, bool at_proxy,
                                               const struct fm_net_end *end, struct fm_err *err)
{
    char who[600];
    if (at_proxy)
        (void)snprintf(who, sizeof who, "the HTTP proxy %s", t->proxy);
    else
        (void)snprintf(who, sizeof who, "%s:%s", t->host, t->port);
    if (has(end, "wrong version number") || has(end, "http request") || has(end, "packet length"))
        (void)fm_err_set(err, FM_EPROTO, "%s does not speak TLS; %s, else check the port", who,
                         at_proxy     ? "write http_proxy = http://... if it is a plain one"
                         : t->is_conn ? "set tls = off if it is meant to be plain"
                                      : "use http:// if it is a plain port");
    else if (has(end, "unsupported protocol") || has(end, "protocol version"))
        (void)fm_err_set(err, FM_EPROTO,
                         "%s offers no TLS version of ours (1.2 or later); it must be updated",
                         who);
    else if (wants_client_cert(end))
        (void)fm_err_set(err, FM_ETLS, "%s ended the TLS handshake with an alert; %s", who,
                         t->has_client_cert ? "it may not accept our client certificate"
                                            : "client certificate missing? (cert_file, key_file)");
    else
        (void)fm_err_set(err, FM_ECLOSED, "the TLS handshake with %s failed (%s); %s", who,
                         handshake_reason(end),
                         t->is_conn ? "a plain port? then tls = on (a plain registry before a TLS "
                                      "connector) or off; or client certificate missing? "
                                      "(cert_file)"
                                    : "a plain http:// port, or client certificate missing?");
    return at_proxy ? VERDICT(FM_HTTP_PROXY_FAILED, FM_HOP_PROXY)
                    : VERDICT(FM_HTTP_TLS_FAILED, FM_HOP_TLS);
}

static struct fm_net_verdict explain_broken(const struct fm_net_target *t,
                                            const struct fm_net_end *end, struct fm_err *err)
{
    if (end->reused && !end->any_answer) {
        (void)fm_err_set(err, FM_ECLOSED,
                         "%s:%s closed the kept connection while we used it; the request may have "
                         "been taken",
                         t->host, t->port);
        return VERDICT(FM_HTTP_REUSED_DIED, FM_HOP_HTTP);
    }
    if (end->result == CURLE_PARTIAL_FILE || end->any_answer)
        (void)fm_err_set(err, FM_ECLOSED, "%s:%s cut its answer short", t->host, t->port);
    else if (has(end, "HTTP/0.9") || end->result == CURLE_UNSUPPORTED_PROTOCOL)
        (void)fm_err_set(err, FM_EPROTO, "%s:%s answered with something that is not HTTP; %s",
                         t->host, t->port,
                         t->use_tls ? "check the port"
                                    : "if it is a TLS port, write https://, else check the port");
    else if (t->use_tls && (wants_client_cert(end) || has(end, "alert")))
        (void)fm_err_set(err, FM_ETLS, "%s:%s ended the connection with a TLS alert; %s", t->host,
                         t->port,
                         t->has_client_cert ? "it may not accept our client certificate"
                                            : "client certificate missing? (cert_file, key_file)");
    else
        (void)fm_err_set(
            err, FM_ECLOSED, "%s:%s closed the connection without an answer%s", t->host, t->port,
            t->use_tls ? "; client certificate missing?" : "; is it a TLS port (https://)?");
    return VERDICT(FM_HTTP_BROKEN, FM_HOP_HTTP);
}

static struct fm_net_verdict explain_name(const struct fm_net_target *t, bool at_proxy,
                                          struct fm_err *err)
{
    if (at_proxy) {
        (void)fm_err_set(
            err, FM_ENAME,
            "the name of the HTTP proxy %s is not known; check http_proxy and the name "
            "service",
            t->proxy);
        return VERDICT(FM_HTTP_PROXY_FAILED, FM_HOP_PROXY);
    }
    (void)fm_err_set(err, FM_ENAME,
                     "host name %s is not known; check its spelling and the name service (DNS)",
                     t->host);
    return VERDICT(FM_HTTP_RESOLVE, FM_HOP_NAME);
}

struct fm_net_verdict fm_net_explain(CURL *easy, const struct fm_net_target *t,
                                     const struct fm_net_end *end, struct fm_err *err)
{
    struct phase p = phase_of(easy, t, end);
    /* A plain host behind a proxy over TLS: the one handshake there is the proxy's. */
    bool at_proxy = t->via_proxy && (!p.tunnel || (t->proxy_tls && !t->use_tls && !end->ready));
    if (t->via_proxy && !end->ready && end->connect_code != 0 && end->connect_code / 100 != 2)
        return explain_connect_code(t, end->connect_code, err);
    long sys = 0;
    switch (end->result) {
    case CURLE_OK:
        fm_err_clear(err);
        return VERDICT(FM_HTTP_OK, FM_HOP_NONE);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return explain_name(t, end->result == CURLE_COULDNT_RESOLVE_PROXY, err);
    case CURLE_COULDNT_CONNECT:
        (void)curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &sys);
        return explain_connect(t, (int)sys, err);
    case CURLE_OPERATION_TIMEDOUT:
        return explain_timeout(t, &p, err);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
        return explain_verify(easy, t, at_proxy && t->proxy_tls, end, err);
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_CIPHER:
        return explain_local_tls(t, at_proxy && t->proxy_tls, end->result, err);
    case CURLE_SSL_CONNECT_ERROR:
        if (!at_proxy && result_of_alert(end->alert) != 0)
            return explain_verify(easy, t, false, end, err);
        return explain_handshake(t, at_proxy && t->proxy_tls, end, err);
    case CURLE_OUT_OF_MEMORY:
        (void)fm_err_nomem(err);
        return VERDICT(FM_HTTP_INTERNAL, FM_HOP_NONE);
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_HTTP2:
        break;
    default:
        (void)fm_err_set(err, FM_EPROTO, "%s:%s: %s", t->host, t->port, end->detail);
        return p.tls ? VERDICT(FM_HTTP_BROKEN, FM_HOP_HTTP)
                     : VERDICT(FM_HTTP_INTERNAL, FM_HOP_NONE);
    }
    if (at_proxy) {
        (void)fm_err_set(err, FM_ECONNECT,
                         "the HTTP proxy %s closed the connection instead of answering CONNECT; is "
                         "it an HTTP proxy%s?",
                         t->proxy, t->proxy_tls ? "" : ", and not one over TLS (https://)");
        return VERDICT(FM_HTTP_PROXY_FAILED, FM_HOP_PROXY);
    }
    if (!p.tls && t->use_tls)
        return explain_handshake(t, false, end, err);
    return explain_broken(t, end, err);
}
