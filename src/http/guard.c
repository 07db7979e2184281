/* Who may ask: names in Host, requests that other web sites cause, credentials.
 *
 * A page of a foreign site can make a browser on this host send requests here, and by giving its
 * own name our address (DNS rebinding) even read the answers. A browser then says the foreign
 * name in Host. Addresses written as numbers cannot be rebound; ports do not matter (a forwarded
 * port is a fine way to look at the page). */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "http/http_priv.h"

static bool is_address(const char *host)
{
    unsigned char bin[16];
    return inet_pton(AF_INET, host, bin) == 1 || inet_pton(AF_INET6, host, bin) == 1;
}

bool fm_http_is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (strcasecmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

/* "name", "name:port", "[v6]", "[v6]:port" into the name alone. */
static bool split_host(const char *value, char *out, size_t size)
{
    size_t len;
    const char *rest;
    if (*value == '[') {
        const char *end = strchr(++value, ']');
        if (end == NULL)
            return false;
        len = (size_t)(end - value);
        rest = end + 1;
    } else {
        len = strcspn(value, ":");
        rest = value + len;
    }
    if (*rest == ':') {
        size_t digits = strspn(rest + 1, "0123456789");
        if (digits == 0 || digits > 5)
            return false;
        rest += 1 + digits;
    }
    if (*rest != '\0' || len == 0 || len >= size)
        return false;
    memcpy(out, value, len);
    out[len] = '\0';
    return true;
}

static bool listed(const char *list, const char *host)
{
    size_t host_len = strlen(host);
    while (list != NULL && *list != '\0') {
        size_t len = strcspn(list, ", ");
        if (len == host_len && strncasecmp(list, host, len) == 0)
            return true;
        list += len;
        list += strspn(list, ", ");
    }
    return false;
}

bool fm_http_host_ok(const struct fm_http *http, const char *value)
{
    char host[256];
    if (http->is_unix)
        return true; /* no browser gets here */
    if (!split_host(value, host, sizeof host))
        return false;
    if (fm_http_is_loopback(host) || strcasecmp(host, http->host) == 0 || listed(http->hosts, host))
        return true;
    return !http->is_loopback && (is_address(host) || strcasecmp(host, http->own_name) == 0);
}

/* "http://host:port" of the page that asks: it must be one of ours. */
static bool origin_ok(const struct fm_http *http, const char *origin)
{
    if (strncasecmp(origin, "http://", 7) == 0)
        return fm_http_host_ok(http, origin + 7);
    if (strncasecmp(origin, "https://", 8) == 0)
        return fm_http_host_ok(http, origin + 8);
    return false; /* "null" is a sandboxed or local page */
}

/* A link on another site may open the page; nothing else may be fetched from there. */
static bool fetch_ok(struct fm_server_call *call)
{
    const char *site = fm_server_header(call, "Sec-Fetch-Site");
    if (site == NULL || strcmp(site, "same-origin") == 0 || strcmp(site, "none") == 0)
        return true;
    const char *mode = fm_server_header(call, "Sec-Fetch-Mode");
    const char *dest = fm_server_header(call, "Sec-Fetch-Dest");
    return mode != NULL && strcmp(mode, "navigate") == 0 && dest != NULL &&
           strcmp(dest, "document") == 0;
}

unsigned fm_http_guard(const struct fm_http *http, struct fm_server_call *call)
{
    const char *host = fm_server_header(call, "Host");
    const char *origin = fm_server_header(call, "Origin");
    if (fm_server_header_count(call, "Host") > 1)
        return 400;
    /* With a password a rebound name gets nothing: the browser does not send it there. */
    if (host != NULL && !http->has_auth && !fm_http_host_ok(http, host))
        return 421;
    if (origin != NULL && !origin_ok(http, origin))
        return 403;
    return fetch_ok(call) ? 0 : 403;
}

bool fm_http_auth_ok(const char *authorization, const char *token)
{
    if (authorization == NULL || strncasecmp(authorization, "Basic ", 6) != 0)
        return false;
    struct fm_buf given;
    fm_buf_init(&given, 4096);
    authorization += 6 + strspn(authorization + 6, " ");
    bool ok = fm_base64_get(&given, authorization, strlen(authorization)) && !given.failed;
    size_t want = strlen(token);
    unsigned differs = !ok || given.len != want;
    for (size_t i = 0; i < want; i++)
        differs |= (unsigned char)token[i] ^ (unsigned char)(i < given.len ? given.data[i] : 0);
    if (given.data != NULL)
        explicit_bzero(given.data, given.len);
    fm_buf_clear(&given);
    return differs == 0;
}
