/* fm_target_open(): a TARGET of the command line becomes a session. */
#include <stdio.h>
#include <string.h>

#include "base/thread.h"
#include "base/utf8.h"
#include "config/nearest.h"
#include "poll/poll_priv.h"

enum { DEFAULT_TIMEOUT_MS = 10000 };

/* "a (pid 1), b (pid 2), ..." as far as there is room. */
static void list_jvms(char *out, size_t size, const struct fm_jvm *jvms, size_t n, const char *glob)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n && len + 60 < size; i++)
        if (glob == NULL || fm_target_local_match(glob, &jvms[i]))
            len += (size_t)snprintf(out + len, size - len, "%s%.30s (pid %d)", len > 0 ? ", " : "",
                                    jvms[i].name, (int)jvms[i].pid);
}

void fm_local_explain(char *out, size_t size, const char *glob, const char *part,
                      const struct fm_jvm *jvms, size_t n)
{
    char list[160];
    struct fm_nearest near = {.word = glob};
    for (size_t i = 0; part == NULL && i < n; i++)
        fm_nearest_offer(&near, jvms[i].name);
    const char *best = fm_nearest_word(&near);
    list_jvms(list, sizeof list, jvms, n, NULL);
    if (n == 0)
        (void)snprintf(out, size, "no JVM here matches local:%.60s: no JVM runs here", glob);
    else if (best != NULL)
        (void)snprintf(out, size,
                       "no JVM here matches local:%.40s; did you mean local:%.40s? there are: %s",
                       glob, best, list);
    else
        (void)snprintf(out, size, "no JVM here matches local:%.40s%s%.40s; there are: %s", glob,
                       part != NULL ? " and " : "", part != NULL ? part : "", list);
    fm_utf8_cut(out);
}

static bool part_is(const struct fm_jvm *jvms, size_t n, size_t i, const char *glob,
                    const char *part)
{
    /* As expand.c names them, oldest first; the list is by pid, so count the older namesakes. */
    unsigned older = 1;
    for (size_t k = 0; k < n; k++)
        older += k != i && fm_target_local_match(glob, &jvms[k]) &&
                 strcmp(jvms[k].name, jvms[i].name) == 0 &&
                 (jvms[k].start_ms < jvms[i].start_ms ||
                  (jvms[k].start_ms == jvms[i].start_ms && jvms[k].pid < jvms[i].pid));
    char name[160];
    if (older == 1)
        (void)snprintf(name, sizeof name, "%.140s", jvms[i].name);
    else
        (void)snprintf(name, sizeof name, "%.140s~%u", jvms[i].name, older);
    return strcmp(name, part) == 0;
}

static enum fm_code choose_local(struct fm_jvm *out, const char *glob, const char *part,
                                 struct fm_arena *arena, struct fm_err *err)
{
    struct fm_jvm *jvms = NULL;
    size_t n = 0, found = 0;
    FM_TRY(fm_jvms_find(&jvms, &n, arena, NULL, err));
    for (size_t i = 0; i < n; i++)
        if (fm_target_local_match(glob, &jvms[i]) &&
            (part == NULL || part_is(jvms, n, i, glob, part))) {
            *out = jvms[i];
            found++;
        }
    char list[240];
    if (found == 1)
        return FM_OK;
    if (found > 1) {
        list_jvms(list, 160, jvms, n, glob);
        return fm_err_set(err, FM_ENOTFOUND, "local:%.60s matches %zu JVMs, one is wanted: %s",
                          glob, found, list);
    }
    fm_local_explain(list, sizeof list, glob, part, jvms, n);
    return fm_err_set(err, FM_ENOTFOUND, "%s", list);
}

static enum fm_code open_local(struct fm_jmx **out, struct fm_jmx_opts *jmx,
                               const struct fm_poll_target_opts *opts, enum fm_target_kind kind,
                               pid_t pid, const char *glob, const char *part,
                               struct fm_target_info *info, struct fm_err *err)
{
    FM_AUTO(fm_arena_clear) struct fm_arena arena;
    fm_arena_init(&arena, 0);
    struct fm_jvm jvm;
    const char *address = NULL;
    enum fm_code code = kind == FM_TARGET_PID ? fm_jvm_find(&jvm, pid, &arena, err)
                                              : choose_local(&jvm, glob, part, &arena, err);
    if (code == FM_OK)
        code = fm_jvm_address(&address, &jvm, opts->attach, jmx->timeout_ms, &arena, err);
    if (code == FM_OK) {
        jmx->url = address;
        jmx->netns_pid = jvm.other_network ? (int)jvm.pid : 0;
        jmx->username = jmx->password = NULL;
        jmx->tls = jmx->tls_registry = false;
        (void)snprintf(info->name, sizeof info->name, "%.127s", jvm.name);
        (void)snprintf(info->url, sizeof info->url, "pid:%d", (int)jvm.pid);
        info->pid = jvm.pid;
        code = fm_jmx_new(out, jmx, err);
    }
    return code;
}

/* The element of hosts that is wanted, put into the url. */
static enum fm_code fill_host(const struct fm_poll_target_opts *opts, const char *part, char *out,
                              size_t size, struct fm_err *err)
{
    const char *host = NULL;
    for (size_t i = 0; i < opts->n_hosts; i++)
        if (part == NULL || strcmp(part, opts->hosts[i]) == 0) {
            if (host != NULL)
                return fm_err_set(err, FM_ENOTFOUND, "target %s stands for %zu hosts: say %s/HOST",
                                  opts->name, opts->n_hosts, opts->name);
            host = opts->hosts[i];
        }
    if (host == NULL)
        return fm_err_set(err, FM_ENOTFOUND, "target %s has no host %.60s", opts->name,
                          part != NULL ? part : "");
    const char *var = strstr(opts->url, "${host}");
    if (var == NULL)
        return fm_err_set(err, FM_ECONF, "target %s: hosts need ${host} in url", opts->name);
    (void)snprintf(out, size, "%.*s%s%s", (int)(var - opts->url), opts->url, host, var + 7);
    return FM_OK;
}

enum fm_code fm_target_open(struct fm_jmx **out, const struct fm_poll_target_opts *opts,
                            const char *part, struct fm_client *client, struct fm_log *log,
                            struct fm_target_info *info, struct fm_err *err)
{
    struct fm_target_info unused;
    enum fm_target_kind kind;
    pid_t pid = 0;
    const char *glob = NULL;
    if (info == NULL)
        info = &unused;
    *info = (struct fm_target_info){0};
    char url[2048];
    const char *given = opts->url;
    if (opts->targets_file != NULL) {
        FM_TRY(fm_listed_url(url, sizeof url, opts, part, err));
        given = url;
    }
    FM_TRY(fm_target_parse(given, &kind, &pid, &glob, err));
    struct fm_jmx_opts jmx = opts->jmx;
    jmx.client = client;
    jmx.log = log;
    jmx.netns_pid = 0;
    jmx.timeout_ms = opts->timeout_ms != 0 ? opts->timeout_ms : DEFAULT_TIMEOUT_MS;
    jmx.max_answer_bytes = opts->max_bytes;
    if (kind != FM_TARGET_NET)
        return open_local(out, &jmx, opts, kind, pid, glob, part, info, err);
    jmx.url = given;
    if (opts->n_hosts > 0) {
        FM_TRY(fill_host(opts, part, url, sizeof url, err));
        jmx.url = url;
    }
    fm_target_host(jmx.url, info->host, sizeof info->host);
    fm_target_shown(jmx.url, info->url, sizeof info->url);
    return fm_jmx_new(out, &jmx, err);
}
