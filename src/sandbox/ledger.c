#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/jscan.h"
#include "base/json.h"
#include "base/thread.h"
#include "sandbox/core_priv.h"

enum fm_code fm_ledger_open(struct fm_ledger *ledger, const char *path, struct fm_err *err)
{
    *ledger = (struct fm_ledger){.fd = -1};
    (void)pthread_mutex_init(&ledger->lock, NULL);
    if (path == NULL)
        return FM_OK;
    ledger->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return ledger->fd >= 0 ? FM_OK : fm_err_sys(err, errno, "cannot open the ledger %s", path);
}

void fm_ledger_close(struct fm_ledger *ledger)
{
    fm_auto_close(&ledger->fd);
    (void)pthread_mutex_destroy(&ledger->lock);
}

/* The record's own identity, where its value is an object that has one. */
static void put_identity(struct fm_buf *line, const char *value, size_t len)
{
    static const char *const names[] = {"stream", "seq", "type"};
    struct fm_jscan s;
    fm_jscan_init(&s, value, len);
    if (len == 0 || fm_jscan_next(&s) != FM_J_OBJECT)
        return;
    while (fm_jscan_next(&s) == FM_J_KEY) {
        const char *name = NULL;
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            if (fm_jscan_is(&s, names[i]))
                name = names[i];
        enum fm_jtoken token = fm_jscan_next(&s);
        if (name != NULL && (token == FM_J_STRING || token == FM_J_NUMBER)) {
            const char *quote = token == FM_J_STRING ? "\"" : "";
            fm_buf_printf(line, ",\"%s\":%s%.*s%s", name, quote, (int)s.text_len, s.text, quote);
        } else if (!fm_jscan_skip(&s, token)) {
            return;
        }
    }
}

static void put_line(struct fm_buf *line, const struct fm_exchange *x, size_t i, uint64_t arrival,
                     const char *answer)
{
    const struct fm_tlog_record *r = &x->v2.job.records[i];
    const struct fm_tlog_verdict *v = &x->v2.job.verdicts[i];
    bool stored = i < x->v2.job.n && !x->fault.unstored && v->error_code == 0 &&
                  x->v2.job.result == FM_TLOG_OK;
    if (x->fault.take != SIZE_MAX)
        stored = i < x->fault.take && v->error_code == 0 && x->v2.job.result == FM_TLOG_OK;
    fm_buf_printf(line, "{\"n\":%llu,\"request\":%llu,\"record\":%zu,\"topic\":",
                  (unsigned long long)arrival, (unsigned long long)x->number, i + 1);
    fm_json_cstr(line, x->v2.job.topic);
    fm_buf_printf(line, ",\"answer\":\"%s\",\"stored\":%s,\"code\":%d", answer,
                  stored ? "true" : "false", v->error_code);
    if (stored)
        fm_buf_printf(line, ",\"partition\":%d,\"offset\":%lld", (int)v->partition,
                      (long long)v->offset);
    if (r->has_key) {
        fm_buf_puts(line, ",\"key\":");
        if (x->v2.binary || x->v2.v3 || x->v2.typed)
            fm_json_str(line, r->key, r->key_len);
        else
            fm_buf_put(line, r->key, r->key_len);
    }
    put_identity(line, r->json != NULL ? r->json : r->value,
                 r->json != NULL ? r->json_len : r->value_len);
    fm_buf_puts(line, "}\n");
}

void fm_ledger_write(struct fm_ledger *ledger, const struct fm_exchange *x, const char *answer)
{
    if (ledger->fd < 0)
        return;
    struct fm_buf lines;
    fm_buf_init(&lines, 0);
    (void)pthread_mutex_lock(&ledger->lock);
    for (size_t i = 0; i < x->asked; i++)
        put_line(&lines, x, i, ++ledger->arrivals, answer);
    for (size_t at = 0; at < lines.len;) {
        ssize_t n = write(ledger->fd, lines.data + at, lines.len - at);
        if (n < 0 && errno != EINTR)
            break;
        at += n > 0 ? (size_t)n : 0;
    }
    (void)pthread_mutex_unlock(&ledger->lock);
    fm_buf_clear(&lines);
}
