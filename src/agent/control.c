#include "agent/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/thread.h"

enum { CONTROL_MS = 2000, REQUEST_MAX = 8192, PAGE_RECORDS = 200, PAGE_BYTES = 1 << 20 };

struct fm_control {
    int fd;
    struct sockaddr_un address;
    struct fm_spool *spool;
    struct fm_log *log;
};

/* ---- the commands ---- */

struct request {
    struct fm_spool *spool;
    struct fm_spool_select select;
    struct fm_spool_id after;
    struct fm_spool_id id;
    bool has_id;
    struct fm_buf *out;
};

static void put_error(struct fm_buf *out, enum fm_code code, const char *text)
{
    fm_buf_puts(out, "{\"error\":");
    fm_json_cstr(out, text);
    fm_buf_puts(out, ",\"code\":");
    fm_json_cstr(out, fm_code_name(code));
    fm_buf_putc(out, '}');
}

static void put_stream(struct fm_buf *out, const struct fm_spool_stream *s)
{
    fm_json_key(out, s->stream);
    fm_buf_puts(out, "{\"topic\":");
    fm_json_cstr(out, s->topic);
    fm_buf_printf(out,
                  ",\"current\":%s,\"unknown\":%s,\"assigned\":%llu,\"delivered\":%llu,"
                  "\"pending\":%llu,\"lost\":%llu,\"dead\":%llu}",
                  s->current ? "true" : "false", s->unknown ? "true" : "false",
                  (unsigned long long)s->assigned, (unsigned long long)s->delivered,
                  (unsigned long long)s->pending, (unsigned long long)s->lost,
                  (unsigned long long)s->dead);
}

static enum fm_code answer_status(struct request *r, struct fm_err *err)
{
    struct fm_spool_stats *stats = malloc(sizeof *stats);
    if (stats == NULL)
        return fm_err_nomem(err);
    fm_spool_stats_get(r->spool, stats);
    fm_buf_printf(r->out,
                  "{\"records\":%llu,\"bytes\":%llu,\"disk_bytes\":%llu,\"oldest_ms\":%lld,"
                  "\"durable\":%s,\"dead_records\":%llu,\"dead_bytes\":%llu,\"lost\":%llu,"
                  "\"queue_records\":%llu,\"disk_full\":%s,\"disk_free\":%llu,"
                  "\"disk_needed\":%llu,\"damage\":",
                  (unsigned long long)stats->records, (unsigned long long)stats->bytes,
                  (unsigned long long)stats->disk_bytes, (long long)stats->oldest_ms,
                  stats->durable ? "true" : "false", (unsigned long long)stats->dead_records,
                  (unsigned long long)stats->dead_bytes, (unsigned long long)stats->lost_total,
                  (unsigned long long)stats->queue_records, stats->disk_full ? "true" : "false",
                  (unsigned long long)stats->disk_free, (unsigned long long)stats->disk_needed);
    fm_json_cstr(r->out, stats->damage[0] != '\0' ? stats->damage : NULL);
    fm_buf_puts(r->out, ",\"error\":");
    fm_json_cstr(r->out, stats->error[0] != '\0' ? stats->error : NULL);
    fm_buf_puts(r->out, ",\"streams\":{");
    for (size_t i = 0; i < stats->n_streams; i++) {
        if (i > 0)
            fm_buf_putc(r->out, ',');
        put_stream(r->out, &stats->streams[i]);
    }
    fm_buf_puts(r->out, "}}");
    free(stats);
    return FM_OK;
}

struct page {
    struct request *request;
    bool values; /* export, show: with the record's value */
    unsigned n;
    bool more;
};

static void put_entry(struct fm_buf *out, const struct fm_spool_entry *entry, bool with_value)
{
    fm_buf_puts(out, "{\"stream\":");
    fm_json_cstr(out, entry->id.stream);
    fm_buf_printf(out, ",\"seq\":%llu,\"topic\":", (unsigned long long)entry->id.seq);
    fm_json_cstr(out, entry->topic);
    fm_buf_printf(out, ",\"time_ms\":%lld,\"bytes\":%zu,\"control\":%s,\"key\":",
                  (long long)entry->rec.time_ms, entry->rec.value_len,
                  entry->rec.kind == FM_RECORD_CONTROL ? "true" : "false");
    if (entry->rec.key == NULL)
        fm_buf_puts(out, "null");
    else
        fm_json_str(out, entry->rec.key, entry->rec.key_len);
    if (entry->reason != NULL) {
        fm_buf_printf(out, ",\"dead_ms\":%lld,\"reason\":", (long long)entry->dead_ms);
        fm_json_cstr(out, entry->reason);
    }
    if (with_value) {
        fm_buf_puts(out, ",\"value\":");
        if (entry->rec.kind == FM_RECORD_RAW)
            fm_json_base64(out, entry->rec.value, entry->rec.value_len);
        else
            fm_record_value(out, &entry->rec, entry->id.stream, entry->id.seq);
    }
    fm_buf_putc(out, '}');
}

static bool visit_page(const struct fm_spool_entry *entry, void *arg)
{
    struct page *page = arg;
    struct fm_buf *out = page->request->out;
    if (page->n == PAGE_RECORDS || out->len > PAGE_BYTES) {
        page->more = true;
        return false;
    }
    if (page->n++ > 0)
        fm_buf_putc(out, ',');
    put_entry(out, entry, page->values);
    return true;
}

static enum fm_code answer_walk(struct request *r, bool dead, bool values, struct fm_err *err)
{
    struct page page = {.request = r, .values = values};
    fm_buf_puts(r->out, "{\"records\":[");
    FM_TRY(fm_spool_walk(r->spool, dead, &r->select, visit_page, &page, err));
    fm_buf_printf(r->out, "],\"more\":%s}", page.more ? "true" : "false");
    return FM_OK;
}

static enum fm_code answer_list(struct request *r, struct fm_err *err)
{
    return answer_walk(r, false, false, err);
}

static enum fm_code answer_export(struct request *r, struct fm_err *err)
{
    return answer_walk(r, false, true, err);
}

static enum fm_code answer_dead_list(struct request *r, struct fm_err *err)
{
    return answer_walk(r, true, false, err);
}

struct search {
    struct request *request;
    bool found;
};

static bool visit_search(const struct fm_spool_entry *entry, void *arg)
{
    struct search *search = arg;
    const struct fm_spool_id *id = &search->request->id;
    if (entry->id.seq != id->seq || strcmp(entry->id.stream, id->stream) != 0)
        return true;
    search->found = true;
    put_entry(search->request->out, entry, true);
    return false;
}

static enum fm_code answer_dead_show(struct request *r, struct fm_err *err)
{
    if (!r->has_id)
        return fm_err_set(err, FM_EUSAGE, "dead show needs STREAM:SEQ");
    struct search search = {.request = r};
    FM_TRY(fm_spool_walk(r->spool, true, &r->select, visit_search, &search, err));
    if (!search.found)
        return fm_err_set(err, FM_ENOTFOUND, "no dead letter %s:%llu", r->id.stream,
                          (unsigned long long)r->id.seq);
    return FM_OK;
}

static enum fm_code answer_dead_retry(struct request *r, struct fm_err *err)
{
    uint64_t n = 0;
    FM_TRY(fm_spool_dead_retry(r->spool, &r->select, r->has_id ? &r->id : NULL, &n, err));
    fm_buf_printf(r->out, "{\"retried\":%llu}", (unsigned long long)n);
    return FM_OK;
}

static enum fm_code answer_drop(struct request *r, struct fm_err *err)
{
    uint64_t n = 0;
    FM_TRY(fm_spool_drop(r->spool, &r->select, &n, err));
    fm_buf_printf(r->out, "{\"dropped\":%llu}", (unsigned long long)n);
    return FM_OK;
}

static const struct command {
    const char *name;
    enum fm_code (*answer)(struct request *r, struct fm_err *err);
} commands[] = {
    {"spool.status", answer_status},         {"spool.list", answer_list},
    {"spool.export", answer_export},         {"spool.drop", answer_drop},
    {"spool.dead.list", answer_dead_list},   {"spool.dead.show", answer_dead_show},
    {"spool.dead.retry", answer_dead_retry},
};

static bool read_id(struct fm_spool_id *out, const json_t *stream, const json_t *seq)
{
    const char *text = json_string_value(stream);
    if (text == NULL || strlen(text) != FM_STREAM_LEN || !json_is_integer(seq))
        return false;
    memcpy(out->stream, text, FM_STREAM_LEN + 1);
    out->seq = (uint64_t)json_integer_value(seq);
    return true;
}

static enum fm_code answer_json(struct fm_spool *spool, const json_t *json, unsigned timeout_ms,
                                struct fm_buf *out, struct fm_err *err)
{
    const char *cmd = json_string_value(json_object_get(json, "cmd"));
    if (cmd == NULL)
        return fm_err_set(err, FM_EUSAGE, "the request has no \"cmd\"");
    struct request r = {.spool = spool, .out = out, .select.timeout_ms = timeout_ms};
    r.select.topic = json_string_value(json_object_get(json, "topic"));
    r.select.limit = (uint64_t)json_integer_value(json_object_get(json, "limit"));
    r.select.before_ms = json_integer_value(json_object_get(json, "before_ms"));
    if (read_id(&r.after, json_object_get(json, "after_stream"),
                json_object_get(json, "after_seq")))
        r.select.after = &r.after;
    const json_t *id = json_object_get(json, "id");
    r.has_id = read_id(&r.id, json_object_get(id, "stream"), json_object_get(id, "seq"));
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(cmd, commands[i].name) == 0)
            return commands[i].answer(&r, err);
    return fm_err_set(err, FM_EUSAGE, "unknown command %s: client and agent differ in version",
                      cmd);
}

static void answer_within(struct fm_spool *spool, const char *request, size_t len,
                          unsigned timeout_ms, struct fm_buf *out)
{
    struct fm_err err = {0};
    json_t *json = json_loadb(request, len, JSON_REJECT_DUPLICATES, NULL);
    enum fm_code code = json_is_object(json)
                            ? answer_json(spool, json, timeout_ms, out, &err)
                            : fm_err_set(&err, FM_EUSAGE, "the request is not a JSON object");
    json_decref(json);
    if (code != FM_OK || out->failed) {
        fm_buf_reset(out);
        put_error(out, code, fm_err_text(&err));
    }
    fm_buf_putc(out, '\n');
}

void fm_control_answer(struct fm_spool *spool, const char *request, size_t len, struct fm_buf *out)
{
    answer_within(spool, request, len, 0, out);
}

/* ---- the socket ---- */

enum fm_code fm_control_open(struct fm_control **out, const struct fm_control_opts *opts,
                             struct fm_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(opts->path) >= sizeof address.sun_path)
        return fm_err_set(err, FM_ECONF,
                          "[agent] state_dir is too long for a socket: %s has more than %zu bytes",
                          opts->path, sizeof address.sun_path - 1);
    memcpy(address.sun_path, opts->path, strlen(opts->path) + 1);
    FM_AUTO(fm_auto_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fm_err_sys(err, errno, "cannot make the control socket");
    (void)unlink(opts->path); /* the spool's lock says that no other agent uses it */
    /* Linux gives the socket file the mode of the descriptor: never open to others, not even for a
     * moment, and without touching the umask of other threads. */
    (void)fchmod(fd, 0600);
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        return fm_err_sys(err, errno, "cannot bind %s", opts->path);
    if (listen(fd, 8) != 0)
        return fm_err_sys(err, errno, "cannot listen on %s", opts->path);
    struct fm_control *control = calloc(1, sizeof *control);
    if (control == NULL)
        return fm_err_nomem(err);
    *control =
        (struct fm_control){.fd = fd, .address = address, .spool = opts->spool, .log = opts->log};
    fd = -1;
    *out = control;
    return FM_OK;
}

int fm_control_fd(const struct fm_control *control)
{
    return control->fd;
}

static bool wait_for(int fd, short events, int64_t end)
{
    int64_t left = end - fm_clock_ms();
    struct pollfd p = {.fd = fd, .events = events};
    return left > 0 && poll(&p, 1, (int)left) == 1;
}

static bool read_request(int fd, char *request, size_t *len, int64_t end)
{
    *len = 0;
    while (*len < REQUEST_MAX && wait_for(fd, POLLIN, end)) {
        ssize_t n = read(fd, request + *len, REQUEST_MAX - *len);
        if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
            return false;
        if (n < 0)
            continue;
        *len += (size_t)n;
        if (memchr(request + *len - n, '\n', (size_t)n) != NULL)
            return true;
    }
    return false;
}

static void write_answer(int fd, const struct fm_buf *answer, int64_t end)
{
    for (size_t at = 0; at < answer->len && wait_for(fd, POLLOUT, end);) {
        ssize_t n = send(fd, answer->data + at, answer->len - at, MSG_NOSIGNAL);
        if (n > 0)
            at += (size_t)n;
        else if (errno != EINTR && errno != EAGAIN)
            return;
    }
}

void fm_control_serve(struct fm_control *control)
{
    FM_AUTO(fm_auto_close)
    int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    int64_t end = fm_clock_ms() + CONTROL_MS;
    char request[REQUEST_MAX];
    size_t len;
    if (!read_request(fd, request, &len, end))
        return;
    struct fm_buf answer;
    fm_buf_init(&answer, 0);
    answer_within(control->spool, request, len, CONTROL_MS, &answer); /* main waits with it */
    write_answer(fd, &answer, end);
    fm_buf_clear(&answer);
}

void fm_control_close(struct fm_control *control)
{
    if (control == NULL)
        return;
    (void)close(control->fd);
    (void)unlink(control->address.sun_path);
    free(control);
}
