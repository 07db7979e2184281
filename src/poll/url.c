#include <stdio.h>
#include <string.h>

#include "poll/poll_priv.h"
#include "value/address.h"

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

enum { PID_MOST = 1 << 22 /* of Linux, PID_MAX_LIMIT */ };

static bool parse_pid(const char *text, pid_t *out)
{
    long pid = 0;
    size_t n = 0;
    for (; text[n] >= '0' && text[n] <= '9' && n < 8; n++)
        pid = pid * 10 + (text[n] - '0');
    *out = (pid_t)pid;
    return n > 0 && text[n] == '\0' && pid > 0 && pid <= PID_MOST;
}

/* host:port or [v6]:port; names, so nothing that could be a path or credentials. */
static bool host_port(const char *url)
{
    const char *colon = strrchr(url, ':');
    if (colon == NULL || colon == url)
        return false;
    size_t host = (size_t)(colon - url);
    bool v6 = url[0] == '[' && colon[-1] == ']' && host > 2;
    if (!v6 && strcspn(url, ":") != host)
        return false;
    if (strcspn(url, "/@?#% \t\r\n") != strlen(url))
        return false;
    unsigned port = 0;
    size_t n = 0;
    for (const char *p = colon + 1; *p != '\0'; p++, n++) {
        if (*p < '0' || *p > '9' || n >= 5)
            return false;
        port = port * 10 + (unsigned)(*p - '0');
    }
    return n > 0 && port > 0 && port <= 65535;
}

/* host:DIGITS, only that no port has this number. */
static bool bad_port(const char *url)
{
    const char *colon = strrchr(url, ':');
    if (colon == NULL || colon == url || colon[1] == '\0' || strchr(url, '/') != NULL)
        return false;
    return strspn(colon + 1, "0123456789") == strlen(colon + 1) &&
           (url[0] == '[' || strcspn(url, ":") == (size_t)(colon - url));
}

static enum fm_code check_http(const char *url, struct fm_err *err)
{
    const char *host = strchr(url, '/') + 2;
    size_t len = strcspn(host, "/?#");
    const char *at = memrchr(host, '@', len);
    size_t user = at != NULL ? (size_t)(at + 1 - host) : 0; /* not quoted: a password */
    const char *what = fm_authority_fault(host + user, len - user);
    if (what == NULL)
        return FM_OK;
    return fm_err_set(err, FM_ECONF, "\"%.*s%.80s\": %s", (int)(host - url), url, host + user,
                      what);
}

enum fm_code fm_target_parse(const char *url, enum fm_target_kind *kind, pid_t *pid,
                             const char **glob, struct fm_err *err)
{
    *kind = FM_TARGET_NET;
    *pid = 0;
    *glob = NULL;
    if (url == NULL || url[0] == '\0')
        return fm_err_set(err, FM_ECONF,
                          "no url: pid:N, local:GLOB, host:port, "
                          "service:jmx:rmi:... or http(s)://...");
    if (starts(url, "pid:")) {
        *kind = FM_TARGET_PID;
        if (!parse_pid(url + 4, pid))
            return fm_err_set(err, FM_ECONF,
                              "\"%.100s\": behind pid: stands a process number, 1 to %d", url,
                              PID_MOST);
        return FM_OK;
    }
    if (starts(url, "local:")) {
        *kind = FM_TARGET_LOCAL;
        *glob = url + 6;
        if (url[6] == '\0')
            return fm_err_set(err, FM_ECONF,
                              "local: wants a main class or jar; local:* means every JVM");
        return FM_OK;
    }
    if (starts(url, "http://") || starts(url, "https://"))
        return check_http(url, err);
    bool service = starts(url, "service:jmx:");
    if (host_port(url) || (service && strchr(url, '@') == NULL))
        return fm_rmi_address_check(url, err);
    if (strchr(url, '@') != NULL) /* not quoted: it may hold a password */
        return fm_err_set(err, FM_ECONF,
                          "a target may not hold a user or a password before an @: there are keys "
                          "for them");
    if (bad_port(url))
        return fm_err_set(err, FM_ECONF,
                          "\"%.100s\" is no target: a port is a number from 1 to 65535", url);
    return fm_err_set(err, FM_ECONF,
                      "\"%.100s\" is no target: use pid:N, local:GLOB, host:port, "
                      "service:jmx:rmi:... or http(s)://...",
                      url);
}

enum fm_code fm_target_check(const char *url, struct fm_err *err)
{
    enum fm_target_kind kind;
    pid_t pid = 0;
    const char *glob = NULL;
    return fm_target_parse(url, &kind, &pid, &glob, err);
}

/* From the start of host[:port]... up to its end. */
static void copy_host(const char *at, char *out, size_t size)
{
    size_t end = strcspn(at, "/?#");
    for (size_t i = 0; i < end; i++)
        if (at[i] == '@') { /* user:password@ */
            at += i + 1;
            end -= i + 1;
            i = (size_t)-1;
        }
    size_t len = at[0] == '[' ? strcspn(at, "]") : strcspn(at, ":/?#");
    if (at[0] == '[') {
        at++;
        len = len > 0 ? len - 1 : 0;
    }
    if (len > end)
        len = end;
    (void)snprintf(out, size, "%.*s", (int)(len < 512 ? len : 512), at);
}

void fm_target_host(const char *url, char *out, size_t size)
{
    static const char jndi[] = "/jndi/rmi://";
    out[0] = '\0';
    const char *at = strstr(url, jndi);
    if (starts(url, "service:jmx:") && at != NULL) {
        copy_host(at + sizeof jndi - 1, out, size);
        if (out[0] != '\0')
            return;
    }
    at = strstr(url, "://");
    if (at != NULL)
        copy_host(at + 3, out, size);
    else if (!starts(url, "service:"))
        copy_host(url, out, size);
}

void fm_target_place(const char *url, char *out, size_t size)
{
    const char *jndi = starts(url, "service:") ? strstr(url, "/jndi/rmi://") : NULL;
    const char *at = jndi != NULL ? jndi + 9 : strstr(url, "://");
    at = at != NULL ? at + 3 : url;
    if (*at == '/' && jndi == NULL && starts(url, "service:"))
        at = "stub"; /* service:jmx:rmi:///stub/...: only the stub knows the host */
    (void)snprintf(out, size, "%.*s", (int)strcspn(at, "/?#"), at);
}

void fm_target_shown(const char *url, char *out, size_t size)
{
    const char *stub = starts(url, "service:") ? strstr(url, "/stub/") : NULL;
    const char *scheme = strstr(url, "://");
    size_t host = scheme != NULL ? strcspn(scheme + 3, "/?#") : 0;
    const char *at = NULL; /* behind the credentials */
    for (size_t i = 0; i < host; i++)
        if (scheme[3 + i] == '@')
            at = scheme + 3 + i + 1;
    if (stub != NULL)
        (void)snprintf(out, size, "%.*s/stub/...", (int)(stub - url), url);
    else if (at != NULL)
        (void)snprintf(out, size, "%.*s%.*s", (int)(scheme + 3 - url), url, (int)strcspn(at, "?#"),
                       at);
    else
        (void)snprintf(out, size, "%.*s", (int)strcspn(url, "?#"), url);
}

bool fm_target_local_match(const char *glob, const struct fm_jvm *jvm)
{
    /* The JDK's own tools are no applications; a source file run by its launcher is one. */
    bool tool = starts(jvm->command, "jdk.") || starts(jvm->command, "sun.tools.");
    if (tool && strchr(glob, '*') == glob && strstr(jvm->command, ".javac.launcher.") == NULL)
        return false;
    if (fm_glob(glob, jvm->name))
        return true;
    char whole[512];
    (void)snprintf(whole, sizeof whole, "%.*s", (int)strcspn(jvm->command, " "), jvm->command);
    return fm_glob(glob, whole);
}

bool fm_target_pollable(const struct fm_jvm *jvm, bool attach)
{
    return jvm->state == FM_JVM_OPEN || jvm->state == FM_JVM_STARTING ||
           (jvm->state == FM_JVM_ATTACHABLE && attach);
}
