/* Records as kcat -J writes them: a line each. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/jscan.h"
#include "base/thread.h"
#include "cli/audit_priv.h"

enum { LINE_MAX_BYTES = 32 * 1024 * 1024, PIECE = 64 * 1024, HEADERS_MAX = 64, PROGRESS_MS = 250 };

struct line {
    struct fm_audit_record rec;
    struct fm_header headers[HEADERS_MAX];
    size_t ends[2 * HEADERS_MAX]; /* where each text ends in header_text; see null */
    bool null[2 * HEADERS_MAX];
    size_t n_texts;
    bool has_topic, has_partition, has_offset, has_key, has_value;
    const char *raw; /* a payload that kcat printed as JSON */
    size_t raw_len;
};

/* "headers":["name","value","name",null,...] */
static bool read_headers(struct fm_jscan *s, struct line *line, struct fm_buf *text)
{
    enum fm_jtoken token;
    while ((token = fm_jscan_next(s)) == FM_J_STRING || token == FM_J_NULL) {
        if (line->n_texts == 2 * (size_t)HEADERS_MAX)
            continue; /* ours are few; the rest of another's does not matter */
        line->null[line->n_texts] = token == FM_J_NULL;
        if (token == FM_J_STRING)
            fm_jscan_string(s, text);
        line->ends[line->n_texts++] = text->len;
    }
    return token == FM_J_ARRAY_END;
}

static void set_headers(struct line *line, const struct fm_buf *text)
{
    size_t start = 0;
    for (size_t i = 0; i + 1 < line->n_texts; i += 2) {
        size_t middle = line->ends[i], end = line->ends[i + 1];
        const char *data = text->data != NULL ? text->data : "";
        line->headers[i / 2] =
            (struct fm_header){data + start, middle - start, data + middle, end - middle};
        if (line->null[i + 1])
            line->headers[i / 2].value = NULL;
        start = end;
    }
    line->rec.headers = line->headers;
    line->rec.n_headers = line->n_texts / 2;
}

static bool read_member(struct fm_jscan *s, const struct fm_jscan *key, enum fm_jtoken token,
                        struct fm_audit_job *job, struct line *line)
{
    int64_t number = 0;
    if (token == FM_J_ARRAY && fm_jscan_is(key, "headers"))
        return read_headers(s, line, &job->header_text);
    if (token == FM_J_NUMBER && fm_jscan_is(key, "partition")) {
        line->has_partition = fm_jscan_i64(s, &number) && number >= 0 && number <= INT32_MAX;
        line->rec.partition = (int32_t)number;
    } else if (token == FM_J_NUMBER && fm_jscan_is(key, "offset")) {
        line->has_offset = fm_jscan_i64(s, &line->rec.offset) && line->rec.offset >= 0;
    } else if (token == FM_J_STRING && fm_jscan_is(key, "topic")) {
        fm_jscan_string(s, &job->topic_text);
        line->has_topic = true;
    } else if (token == FM_J_STRING && fm_jscan_is(key, "key")) {
        fm_jscan_string(s, &job->key_text);
        line->has_key = true;
    } else if (token == FM_J_STRING && fm_jscan_is(key, "payload")) {
        fm_jscan_string(s, &job->value_text);
        line->has_value = true;
    } else {
        size_t start = s->at - 1;
        if (!fm_jscan_skip(s, token))
            return false;
        if (token == FM_J_OBJECT && fm_jscan_is(key, "payload")) {
            line->raw = s->data + start;
            line->raw_len = s->at - start;
        }
    }
    return true;
}

static bool read_line(struct fm_audit_job *job, const struct fm_buf *text, struct line *line)
{
    struct fm_jscan s;
    enum fm_jtoken token;
    fm_buf_reset(&job->topic_text);
    fm_buf_reset(&job->key_text);
    fm_buf_reset(&job->value_text);
    fm_buf_reset(&job->header_text);
    line->n_texts = 0;
    line->rec = (struct fm_audit_record){.topic = NULL};
    line->has_topic = line->has_partition = line->has_offset = line->has_key = line->has_value =
        false;
    line->raw = NULL;
    fm_jscan_init(&s, text->data, text->len);
    if (fm_jscan_next(&s) != FM_J_OBJECT)
        return false;
    while ((token = fm_jscan_next(&s)) == FM_J_KEY) {
        struct fm_jscan key = s;
        token = fm_jscan_next(&s);
        if (token == FM_J_ERROR || !read_member(&s, &key, token, job, line))
            return false;
    }
    set_headers(line, &job->header_text);
    job->headers = job->headers || line->rec.n_headers > 0;
    line->rec.topic = fm_buf_str(&job->topic_text);
    line->rec.key = line->has_key ? fm_buf_str(&job->key_text) : NULL;
    line->rec.key_len = job->key_text.len;
    line->rec.value = line->has_value ? fm_buf_str(&job->value_text) : line->raw;
    line->rec.value_len = line->has_value ? job->value_text.len : line->raw_len;
    return token == FM_J_OBJECT_END && fm_jscan_next(&s) == FM_J_END && line->has_topic &&
           line->has_partition && line->has_offset;
}

static void show_progress(struct fm_audit_job *job, bool end)
{
    if (!job->progress || (!end && (job->line % 256 != 0 || fm_clock_ms() < job->progress_at)))
        return;
    job->progress_at = fm_clock_ms() + PROGRESS_MS;
    if (end)
        (void)fputs("\r\033[K", stderr);
    else
        (void)fprintf(stderr, "\r%llu records read", (unsigned long long)job->line);
    (void)fflush(stderr);
}

static enum fm_code take_line(struct fm_audit_job *job, struct fm_buf *text, struct line *line,
                              struct fm_err *err)
{
    job->line++;
    show_progress(job, false);
    if (text->failed && !text->over_limit)
        return fm_err_nomem(err);
    if (text->failed || !read_line(job, text, line)) {
        if (job->unreadable++ == 0)
            job->first_unreadable = job->line;
        return FM_OK;
    }
    FM_TRY(fm_buf_code(&job->topic_text, err));
    FM_TRY(fm_buf_code(&job->key_text, err));
    FM_TRY(fm_buf_code(&job->value_text, err));
    FM_TRY(fm_buf_code(&job->header_text, err));
    if (job->topic != NULL && strcmp(job->topic, line->rec.topic) != 0) {
        job->other_topics++;
        return FM_OK;
    }
    return fm_audit_add(job->audit, &line->rec, err);
}

static enum fm_code read_lines(struct fm_audit_job *job, int fd, struct fm_buf *text, char *piece,
                               struct fm_err *err)
{
    struct line line;
    for (;;) {
        ssize_t n = read(fd, piece, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fm_err_sys(err, errno, "cannot read %s", job->name);
        const char *at = piece, *end = piece + n, *stop;
        while ((stop = memchr(at, '\n', (size_t)(end - at))) != NULL) {
            fm_buf_put(text, at, (size_t)(stop - at));
            if (text->len > 0 || text->failed)
                FM_TRY(take_line(job, text, &line, err));
            fm_buf_reset(text);
            at = stop + 1;
        }
        fm_buf_put(text, at, (size_t)(end - at));
        if (n == 0) /* a last line without its end may be cut: then it cannot be read */
            return text->len > 0 || text->failed ? take_line(job, text, &line, err) : FM_OK;
    }
}

enum fm_code fm_audit_read_file(struct fm_audit_job *job, struct fm_err *err)
{
    static const char from_stdin[] = "standard input";
    bool standard = strcmp(job->opts->from, "-") == 0;
    struct fm_buf text;
    job->name = standard ? from_stdin : job->opts->from;
    FM_AUTO(fm_auto_close)
    int fd = standard ? dup(STDIN_FILENO) : open(job->name, O_RDONLY | O_CLOEXEC);
    char *piece = fm_arena_alloc(&job->cli->arena, PIECE);
    if (fd < 0)
        return fm_err_sys(err, errno, "cannot read %s", job->name);
    if (piece == NULL)
        return fm_err_nomem(err);
    fm_buf_init(&text, LINE_MAX_BYTES);
    enum fm_code code = read_lines(job, fd, &text, piece, err);
    fm_buf_clear(&text);
    show_progress(job, true);
    return code;
}
