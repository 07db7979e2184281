/* The options of every libcurl handle, in one place. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/client_priv.h"

#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (curl_easy_setopt(easy, option, value) != CURLE_OK)                                     \
            return false;                                                                          \
    } while (0)

bool fm_net_setup_common(struct fm_client *client, CURL *easy, char *errbuf)
{
    errbuf[0] = '\0';
    SET(CURLOPT_ERRORBUFFER, errbuf);
    SET(CURLOPT_SHARE, client->share);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_QUICK_EXIT, 1L);
    SET(CURLOPT_NOPROGRESS, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_REDIR_PROTOCOLS_STR, "https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_SSL_ENABLE_ALPN, 0L);
    SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    SET(CURLOPT_DNS_CACHE_TIMEOUT, 0L);
    SET(CURLOPT_MAXAGE_CONN, client->idle_age_s);
    SET(CURLOPT_MAXLIFETIME_CONN, client->connection_life_s);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_TCP_KEEPIDLE, 20L);
    SET(CURLOPT_TCP_KEEPINTVL, 20L);
    SET(CURLOPT_USERAGENT, "firstmile/" FM_VERSION);
    return true;
}

bool fm_net_setup_tls(CURL *easy, const struct fm_tls *tls)
{
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, tls != NULL && tls->verify_chain_only ? 0L : 2L);
    /* The folder of system certificates costs 20 ms a handshake; the bundle file has them all. */
    SET(CURLOPT_CAPATH, NULL);
    if (tls == NULL)
        return true;
    if (tls->ca_file != NULL)
        SET(CURLOPT_CAINFO, tls->ca_file);
    if (tls->cert_file != NULL) {
        SET(CURLOPT_SSLCERT, tls->cert_file);
        SET(CURLOPT_SSLKEY, tls->key_file != NULL ? tls->key_file : tls->cert_file);
        /* Without a password OpenSSL would ask for one on the terminal. */
        SET(CURLOPT_KEYPASSWD, tls->key_password != NULL ? tls->key_password : "");
    }
    if (tls->pinned_key != NULL)
        SET(CURLOPT_PINNEDPUBLICKEY, tls->pinned_key);
    return true;
}

bool fm_net_setup_cas(struct fm_client *client, CURL *easy, const char *ca_file,
                      const char *proxy_ca_file)
{
    long age = FM_NET_CA_MOST_S;
    const char *const files[] = {ca_file, proxy_ca_file};
    for (int i = 0; i < 2; i++) {
        long of_file = files[i] != NULL ? fm_net_ca_age(client, files[i]) : age;
        age = of_file < age ? of_file : age;
    }
    SET(CURLOPT_CA_CACHE_TIMEOUT, age);
    return true;
}

bool fm_net_setup_proxy(CURL *easy, const struct fm_http_proxy *proxy,
                        const struct fm_net_target *target)
{
    SET(CURLOPT_NOPROXY, ""); /* decided here, in fm_net_choose_proxy() */
    if (!target->via_proxy) {
        SET(CURLOPT_PROXY, ""); /* whatever the environment says */
        return true;
    }
    SET(CURLOPT_PROXY, target->proxy_url);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(CURLOPT_PROXY_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_PROXY_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_PROXY_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_PROXY_CAPATH, NULL);
    if (proxy->ca_file != NULL)
        SET(CURLOPT_PROXY_CAINFO, proxy->ca_file);
    /* CONNECT has no body, so it may be asked twice to find the best scheme; a request that goes
     * through the proxy itself may not. */
    SET(CURLOPT_PROXYAUTH, target->use_tls ? (long)CURLAUTH_ANY : (long)CURLAUTH_BASIC);
    if (proxy->username != NULL) {
        SET(CURLOPT_PROXYUSERNAME, proxy->username);
        SET(CURLOPT_PROXYPASSWORD, proxy->password != NULL ? proxy->password : "");
    }
    return true;
}

/* One part of a parsed URL into out, without the brackets of an IPv6 address. */
static bool url_part(CURLU *url, CURLUPart part, unsigned flags, char *out, size_t size)
{
    char *text = NULL;
    if (curl_url_get(url, part, &text, flags) != CURLUE_OK || text == NULL)
        return false;
    size_t len = strlen(text);
    const char *from = text;
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        from++;
        len -= 2;
    }
    bool fits = len < size;
    if (fits) {
        memcpy(out, from, len);
        out[len] = '\0';
    }
    curl_free(text);
    return fits;
}

static bool has_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    CURLUcode rc = curl_url_get(url, part, &text, 0);
    curl_free(text);
    return rc == CURLUE_OK;
}

enum fm_code fm_net_parse_url(struct fm_net_target *out, const char *url, struct fm_err *err)
{
    CURLU *u = curl_url();
    if (u == NULL)
        return fm_err_nomem(err);
    char scheme[8] = "";
    enum fm_code code = FM_OK;
    /* The URL is not repeated here: what cannot be parsed may hold a password. */
    CURLUcode rc = curl_url_set(u, CURLUPART_URL, url, 0);
    if (rc == CURLUE_BAD_PORT_NUMBER)
        code = fm_err_set(err, FM_ECONF, "the URL's port is not a number from 1 to 65535");
    else if (rc != CURLUE_OK)
        code = fm_err_set(err, FM_ECONF, "not a URL; write http://host:port or https://host:port");
    else if (!url_part(u, CURLUPART_SCHEME, 0, scheme, sizeof scheme) ||
             (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
        code = fm_err_set(err, FM_ECONF, "only http:// and https:// URLs can be used");
    else if (has_part(u, CURLUPART_USER) || has_part(u, CURLUPART_PASSWORD))
        code = fm_err_set(err, FM_ECONF,
                          "a user name or password inside a URL is refused; use the settings for "
                          "them");
    else if (!url_part(u, CURLUPART_HOST, 0, out->host, sizeof out->host) ||
             !url_part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT, out->port, sizeof out->port))
        code = fm_err_set(err, FM_ECONF, "the URL names no usable host");
    out->use_tls = strcmp(scheme, "https") == 0;
    curl_url_cleanup(u);
    return code;
}

/* Whether one element of a no_proxy list covers the host: the same name, a suffix at a dot, or "*".
 */
static bool covers(const char *item, size_t len, const char *host)
{
    if (len == 1 && *item == '*')
        return true;
    if (len > 0 && *item == '.') {
        item++;
        len--;
    }
    size_t host_len = strlen(host);
    if (len == 0 || len > host_len || strncasecmp(host + host_len - len, item, len) != 0)
        return false;
    return len == host_len || host[host_len - len - 1] == '.';
}

static bool exempt(const char *list, const char *host)
{
    while (list != NULL && *list != '\0') {
        size_t len = strcspn(list, ", \t");
        if (covers(list, len, host))
            return true;
        list += len;
        list += strspn(list, ", \t");
    }
    return false;
}

static const char *first_env(const char *const *names)
{
    for (; *names != NULL; names++) {
        const char *value = getenv(*names);
        if (value != NULL && *value != '\0')
            return value;
    }
    return NULL;
}

/* Upper-case HTTP_PROXY is left out: a CGI program's client could set it. */
static const char *env_proxy(bool use_tls)
{
    static const char *const https[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
                                        NULL};
    static const char *const http[] = {"http_proxy", "all_proxy", "ALL_PROXY", NULL};
    return first_env(use_tls ? https : http);
}

enum fm_code fm_net_choose_proxy(struct fm_net_target *out, const struct fm_http_proxy *proxy,
                                 struct fm_err *err)
{
    static const char *const env_exempt[] = {"no_proxy", "NO_PROXY", NULL};
    if (proxy == NULL || proxy->url == NULL || *proxy->url == '\0')
        return FM_OK;
    bool from_env = strcmp(proxy->url, "environment") == 0;
    const char *url = from_env ? env_proxy(out->use_tls) : proxy->url;
    const char *list = proxy->no_proxy;
    if (list == NULL && from_env)
        list = first_env(env_exempt);
    if (url == NULL || exempt(list, out->host))
        return FM_OK;
    CURLU *u = curl_url();
    if (u == NULL)
        return fm_err_nomem(err);
    char scheme[16], host[256], port[8];
    bool good = curl_url_set(u, CURLUPART_URL, url, CURLU_GUESS_SCHEME) == CURLUE_OK &&
                url_part(u, CURLUPART_SCHEME, 0, scheme, sizeof scheme) &&
                (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
                url_part(u, CURLUPART_HOST, 0, host, sizeof host);
    if (good) {
        out->proxy_tls = strcmp(scheme, "https") == 0;
        if (!url_part(u, CURLUPART_PORT, 0, port, sizeof port))
            (void)snprintf(port, sizeof port, "%s", out->proxy_tls ? "443" : "1080");
        (void)snprintf(out->proxy, sizeof out->proxy, "%s:%s", host, port);
        out->proxy_url = url;
        out->via_proxy = true;
    }
    curl_url_cleanup(u);
    if (!good)
        return fm_err_set(err, FM_ECONF,
                          "the HTTP proxy%s is not usable; write http://host:port or "
                          "https://host:port",
                          from_env ? " that the environment names" : "");
    return FM_OK;
}

void fm_net_proxy_for(const struct fm_http_proxy *proxy, const char *url, char *out, size_t size)
{
    struct fm_net_target target = {0};
    struct fm_err err;
    out[0] = '\0';
    if (fm_net_parse_url(&target, url, &err) == FM_OK &&
        fm_net_choose_proxy(&target, proxy, &err) == FM_OK && target.via_proxy)
        (void)snprintf(out, size, "%s://%s", target.proxy_tls ? "https" : "http", target.proxy);
}

void fm_net_bracket(char *out, size_t size, const char *host)
{
    (void)snprintf(out, size, strchr(host, ':') != NULL ? "[%s]" : "%s", host);
}
