#include <string.h>

#include "jmx/jolokia/jolokia_priv.h"

/* Known options of every version; the ones that an agent does not know it ignores. */
static const char options[] =
    "includeStackTrace=false&ignoreErrors=true&canonicalNaming=true&includeRequest=false";

bool fm_jolokia_url(struct fm_buf *out, const char *url)
{
    const char *host = strstr(url, "://");
    host = host != NULL ? host + 3 : url;
    size_t end = strcspn(url, "?#");
    const char *path = strchr(host, '/');
    bool has_path = path != NULL && path < url + end;
    fm_buf_put(out, url, end);
    if (!has_path || path + 1 == url + end)
        fm_buf_puts(out, has_path ? "jolokia/" : "/jolokia/");
    else if (url[end - 1] != '/')
        fm_buf_putc(out, '/'); /* a redirect to it would lose the body */
    if (url[end] == '?') {
        fm_buf_put(out, url + end, strcspn(url + end, "#"));
        fm_buf_putc(out, '&');
    } else {
        fm_buf_putc(out, '?');
    }
    fm_buf_puts(out, options);
    return !out->failed;
}

static void put_member(struct fm_buf *out, const char *name, const char *text)
{
    fm_buf_putc(out, ',');
    fm_json_key(out, name);
    fm_json_cstr(out, text);
}

static void put_end(struct fm_buf *out, const struct fm_jolokia_target *target)
{
    if (target != NULL && target->url != NULL) {
        fm_buf_puts(out, ",\"target\":{\"url\":");
        fm_json_cstr(out, target->url);
        if (target->username != NULL)
            put_member(out, "user", target->username);
        if (target->password != NULL)
            put_member(out, "password", target->password);
        fm_buf_putc(out, '}');
    }
    fm_buf_putc(out, '}');
}

static void put_path_part(struct fm_buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '/' || text[i] == '!')
            fm_buf_putc(out, '!');
        fm_buf_putc(out, text[i]);
    }
}

void fm_jolokia_put_list(struct fm_buf *out, const char *bean,
                         const struct fm_jolokia_target *target)
{
    struct fm_buf path;
    size_t domain = strcspn(bean, ":");
    fm_buf_init(&path, 0);
    put_path_part(&path, bean, domain);
    fm_buf_putc(&path, '/');
    if (bean[domain] == ':')
        put_path_part(&path, bean + domain + 1, strlen(bean + domain + 1));
    fm_buf_puts(out, "{\"type\":\"list\"");
    put_member(out, "path", fm_buf_str(&path));
    put_end(out, target);
    out->failed = out->failed || path.failed;
    fm_buf_clear(&path);
}

void fm_jolokia_put_version(struct fm_buf *out)
{
    fm_buf_puts(out, "{\"type\":\"version\"}");
}

static void put_attributes(struct fm_buf *out, const struct fm_jmx_call *call)
{
    /* A text with a comma would be split into several. */
    bool bare = call->op == FM_JMX_REASON && strchr(call->attributes[0], ',') == NULL;
    fm_buf_puts(out, ",\"attribute\":");
    if (bare) {
        fm_json_cstr(out, call->attributes[0]);
        return;
    }
    for (size_t i = 0; i < call->n_attributes; i++) {
        fm_buf_putc(out, i == 0 ? '[' : ',');
        fm_json_cstr(out, call->attributes[i]);
    }
    fm_buf_putc(out, ']');
}

void fm_jolokia_put_call(struct fm_buf *out, const struct fm_jmx_call *call,
                         const struct fm_jolokia_target *target)
{
    switch (call->op) {
    case FM_JMX_NAMES:
        fm_buf_puts(out, "{\"type\":\"search\"");
        put_member(out, "mbean", call->name != NULL ? call->name : "*:*");
        break;
    case FM_JMX_INFO:
        fm_jolokia_put_list(out, call->name, target);
        return;
    case FM_JMX_READ:
    case FM_JMX_REASON:
        fm_buf_puts(out, "{\"type\":\"read\"");
        put_member(out, "mbean", call->name);
        put_attributes(out, call);
        break;
    }
    put_end(out, target);
}
