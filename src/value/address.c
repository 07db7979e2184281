#include "value/address.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/base64.h"

enum { DEFAULT_PORT = 1099, MAX_STUB = 64 * 1024 };

static enum fm_code bad(struct fm_err *err, const char *url, const char *what)
{
    return fm_err_set(err, FM_ECONF, "\"%.90s\": %s", url, what);
}

static bool starts(const char *text, const char *prefix, const char **rest)
{
    size_t len = strlen(prefix);
    if (strncmp(text, prefix, len) != 0)
        return false;
    *rest = text + len;
    return true;
}

static bool host_char_ok(char c)
{
    return c > ' ' && c <= '~' && strchr("/@?#\\\"[]:", c) == NULL;
}

/* Behind a '%' an interface's name may follow. */
static bool is_ipv6(const char *text, size_t len)
{
    char bare[INET6_ADDRSTRLEN];
    struct in6_addr address;
    const char *zone = memchr(text, '%', len);
    size_t n = zone != NULL ? (size_t)(zone - text) : len;
    for (size_t i = n + 1; i < len; i++)
        if (!host_char_ok(text[i]))
            return false;
    if (n >= sizeof bare || len == n + 1)
        return false;
    memcpy(bare, text, n);
    bare[n] = '\0';
    return inet_pton(AF_INET6, bare, &address) == 1;
}

/* HOST[:PORT] of len bytes; an IPv6 address stands in brackets. @return what is wrong, or NULL */
static const char *take_authority(const char *text, size_t len, char *host, uint16_t *port)
{
    const char *end = text + len;
    const char *host_end = text;
    if (len > 0 && *text == '[') {
        text++;
        host_end = memchr(text, ']', len - 1);
        if (host_end == NULL)
            return "']' behind the IPv6 address is missing";
        if (!is_ipv6(text, (size_t)(host_end - text)))
            return "between '[' and ']' stands no IPv6 address";
    } else {
        while (host_end < end && host_char_ok(*host_end))
            host_end++;
    }
    size_t n = (size_t)(host_end - text);
    if (n >= FM_RMI_HOST)
        return "the host is too long";
    memcpy(host, text, n);
    host[n] = '\0';
    if (host_end < end && *host_end == ']')
        host_end++;
    if (host_end == end)
        return NULL;
    if (*host_end != ':')
        return "the host holds a character that is not allowed";
    long value = 0;
    const char *s = host_end + 1;
    for (; s < end && *s >= '0' && *s <= '9' && value <= UINT16_MAX; s++)
        value = value * 10 + (*s - '0');
    if (s != end || s == host_end + 1 || value < 1 || value > UINT16_MAX)
        return "the port must be a number from 1 to 65535";
    *port = (uint16_t)value;
    return NULL;
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef";
    char lower = c >= 'A' && c <= 'F' ? (char)(c - 'A' + 'a') : c;
    const char *at = c == '\0' ? NULL : strchr(digits, lower);
    return at == NULL ? -1 : (int)(at - digits);
}

static const char *take_name(const char *text, char *out)
{
    size_t n = 0;
    for (; *text != '\0'; text++) {
        char c = *text;
        if (c == '%') {
            int high = hex_digit(text[1]);
            int low = high < 0 ? -1 : hex_digit(text[2]);
            if (low < 0 || high * 16 + low == 0)
                return "a '%' must be followed by two hexadecimal digits";
            c = (char)(high * 16 + low);
            text += 2;
        } else if ((unsigned char)c <= ' ' || c == 0x7f) {
            return "the name in the registry holds a blank (write it as %20)";
        }
        if (n + 1 == FM_RMI_NAME)
            return "the name in the registry is too long";
        out[n++] = c;
    }
    out[n] = '\0';
    return n == 0 ? "the name in the registry is missing, usually /jmxrmi" : NULL;
}

/* What follows /jndi/ */
static const char *take_jndi(struct fm_rmi_address *out, const char *text)
{
    const char *rest;
    if (!starts(text, "rmi://", &rest))
        return "only rmi:// is supported behind /jndi/ (no LDAP, no IIOP)";
    const char *slash = strchr(rest, '/');
    if (slash == NULL)
        return "the name in the registry is missing, usually /jmxrmi";
    out->port = DEFAULT_PORT;
    const char *what = take_authority(rest, (size_t)(slash - rest), out->host, &out->port);
    if (what == NULL && out->host[0] == '\0')
        memcpy(out->host, "localhost", sizeof "localhost");
    return what != NULL ? what : take_name(slash + 1, out->name);
}

static const char *take_stub(struct fm_rmi_address *out, const char *text)
{
    size_t len = strcspn(text, ";?");
    if (len > MAX_STUB)
        return "the stub is too long";
    if (len == 0 || !fm_base64_get(&out->stub, text, len) || out->stub.failed)
        return "what follows /stub/ is not base64";
    return NULL;
}

static const char *take_rmi(struct fm_rmi_address *out, const char *text)
{
    char host[FM_RMI_HOST];
    uint16_t port = 0; /* informative only: the stub decides */
    const char *rest;
    const char *slash = strchr(text, '/');
    if (slash == NULL)
        return "a path is missing: /jndi/rmi://HOST:PORT/jmxrmi or /stub/...";
    const char *what = take_authority(text, (size_t)(slash - text), host, &port);
    if (what != NULL)
        return what;
    if (starts(slash, "/jndi/", &rest))
        return take_jndi(out, rest);
    if (starts(slash, "/stub/", &rest)) {
        memcpy(out->host, host, sizeof host);
        return take_stub(out, rest);
    }
    if (starts(slash, "/ior/", &rest))
        return "IIOP (/ior/) is not supported; use the RMI connector";
    return "a path is missing: /jndi/rmi://HOST:PORT/jmxrmi or /stub/...";
}

static const char *take_short(struct fm_rmi_address *out, const char *text)
{
    const char *what = take_authority(text, strlen(text), out->host, &out->port);
    if (what != NULL)
        return what;
    if (out->host[0] == '\0')
        return "the host is missing";
    if (out->port == 0)
        return "the port is missing, write HOST:PORT";
    memcpy(out->name, "jmxrmi", sizeof "jmxrmi");
    return NULL;
}

static enum fm_code refuse_protocol(struct fm_err *err, const char *url, const char *text)
{
    int len = (int)strcspn(text, ":/");
    return fm_err_set(err, FM_ECONF,
                      "\"%.90s\": the JMX protocol \"%.*s\" is not supported; use the RMI "
                      "connector (service:jmx:rmi:///jndi/rmi://HOST:PORT/jmxrmi) or Jolokia",
                      url, len < 30 ? len : 30, text);
}

enum fm_code fm_rmi_address_parse(struct fm_rmi_address *out, const char *url, struct fm_err *err)
{
    const char *rest;
    const char *what;
    *out = (struct fm_rmi_address){0};
    fm_buf_init(&out->stub, MAX_STUB);
    if (starts(url, "service:jmx:rmi://", &rest))
        what = take_rmi(out, rest);
    else if (starts(url, "service:jmx:rmi:", &rest))
        what = "write service:jmx:rmi:///jndi/rmi://HOST:PORT/jmxrmi";
    else if (starts(url, "service:jmx:", &rest))
        return refuse_protocol(err, url, rest);
    else if (strstr(url, "://") != NULL)
        return refuse_protocol(err, url, url);
    else
        what = take_short(out, url);
    if (what != NULL) {
        fm_rmi_address_clear(out);
        return bad(err, url, what);
    }
    return FM_OK;
}

void fm_rmi_address_clear(struct fm_rmi_address *address)
{
    fm_buf_clear(&address->stub);
}

enum fm_code fm_rmi_address_check(const char *url, struct fm_err *err)
{
    struct fm_rmi_address address;
    FM_TRY(fm_rmi_address_parse(&address, url, err));
    fm_rmi_address_clear(&address);
    return FM_OK;
}

const char *fm_authority_fault(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] > 0x7f)
            return NULL; /* an international name: the resolver knows */
    char host[FM_RMI_HOST];
    uint16_t port = 0;
    const char *what = take_authority(text, len, host, &port);
    return what == NULL && host[0] == '\0' ? "the host is missing" : what;
}
