/* The JMX client for users of the library: a session with a client of its own. */
#include "firstmile/jmx.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "jmx/jmx.h"

enum { MAX_MEMORY = 64 * 1024 * 1024, MAX_VALUE = 8 * 1024 * 1024 };

struct fm_jmx_session {
    struct fm_client *client;
    struct fm_jmx *jmx;
    struct fm_arena arena; /* of the call under way */
    char *texts[6]; /* what the options point to */
};

void fm_jmx_close(struct fm_jmx_session *session)
{
    if (session == NULL)
        return;
    fm_jmx_free(session->jmx);
    fm_client_free(session->client);
    fm_arena_clear(&session->arena);
    for (size_t i = 0; i < sizeof session->texts / sizeof session->texts[0]; i++) {
        if (session->texts[i] != NULL)
            explicit_bzero(session->texts[i], strlen(session->texts[i]));
        free(session->texts[i]);
    }
    free(session);
}

static bool copy_texts(struct fm_jmx_session *s, const struct fm_jmx_session_opts *opts)
{
    const char *const from[] = {opts->url,     opts->username,  opts->password,
                                opts->ca_file, opts->cert_file, opts->key_file};
    for (size_t i = 0; i < sizeof from / sizeof from[0]; i++)
        if (from[i] != NULL && (s->texts[i] = strdup(from[i])) == NULL)
            return false;
    return true;
}

static enum fm_code connect(struct fm_jmx_session *s, const struct fm_jmx_session_opts *opts,
                            struct fm_err *err)
{
    const struct fm_client_opts client = {.max_connections = 2};
    FM_TRY(fm_net_init(err));
    FM_TRY(fm_client_new(&s->client, &client, err));
    if (!copy_texts(s, opts))
        return fm_err_nomem(err);
    const struct fm_jmx_opts jmx = {
        .client = s->client,
        .url = s->texts[0],
        .username = s->texts[1],
        .password = s->texts[2],
        .tls = opts->tls,
        .tls_registry = opts->tls_registry,
        .tls_opts = {.ca_file = s->texts[3], .cert_file = s->texts[4], .key_file = s->texts[5]},
        .timeout_ms = opts->timeout_ms,
        .convert = {.max_value_bytes = MAX_VALUE}};
    FM_TRY(fm_jmx_new(&s->jmx, &jmx, err));
    return fm_jmx_run(s->jmx, NULL, 0, &s->arena, NULL, err);
}

enum fm_code fm_jmx_open(struct fm_jmx_session **out, const struct fm_jmx_session_opts *opts,
                         struct fm_err *err)
{
    struct fm_jmx_session *s = calloc(1, sizeof *s);
    if (s == NULL)
        return fm_err_nomem(err);
    fm_arena_init(&s->arena, MAX_MEMORY);
    enum fm_code code = connect(s, opts, err);
    if (code != FM_OK) {
        fm_jmx_close(s);
        return code;
    }
    *out = s;
    return FM_OK;
}

/* The first part of a path, its escapes undone. *rest is what follows the '/', or "". */
static char *first_part(const char *path, struct fm_arena *arena, const char **rest)
{
    char *out = fm_arena_strndup(arena, path, strlen(path));
    size_t n = 0;
    for (; out != NULL && *path != '\0' && *path != '/'; path++) {
        if (*path == '\\' && path[1] != '\0')
            path++;
        out[n++] = *path;
    }
    if (out != NULL)
        out[n] = '\0';
    *rest = *path == '/' ? path + 1 : path;
    return out;
}

static enum fm_code print(char **out, const struct fm_value *value, struct fm_err *err)
{
    struct fm_buf text;
    fm_buf_init(&text, 0);
    fm_value_print(&text, value, FM_JSON_NONFINITE_NULL);
    enum fm_code code = fm_buf_code(&text, err);
    if (code == FM_OK && (*out = fm_buf_take(&text)) == NULL)
        code = fm_err_nomem(err);
    fm_buf_clear(&text);
    return code;
}

enum fm_code fm_jmx_get(char **out, struct fm_jmx_session *session, const char *bean,
                        const char *path, struct fm_err *err)
{
    const char *rest = "";
    struct fm_name name;
    fm_arena_reset(&session->arena);
    const char *attribute = first_part(path, &session->arena, &rest);
    if (attribute == NULL)
        return fm_err_nomem(err);
    if (fm_name_parse(&name, &session->arena, bean, err) != FM_OK || fm_name_is_pattern(&name))
        return fm_err_set(err, FM_EUSAGE, "\"%.100s\" is not the name of one MBean", bean);
    struct fm_jmx_call call = {
        .op = FM_JMX_REASON, .name = bean, .attributes = &attribute, .n_attributes = 1};
    FM_TRY(fm_jmx_run(session->jmx, &call, 1, &session->arena, NULL, err));
    if (call.code != FM_OK)
        return fm_err_set(err, call.code, "%.80s %.40s: %s", bean, attribute,
                          fm_err_text(&call.err));
    const struct fm_value *value = fm_value_path(&call.value, rest);
    if (value == NULL)
        return fm_err_set(err, FM_ENOTFOUND, "%.80s: the path %.80s leads nowhere", bean, path);
    return print(out, value, err);
}
