/* cli/spool_ask.c - requests of `spool` to the store, and the records in its answers. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/cmd_spool_priv.h"

/* ---- requests ---- */

void fm_spool_put_request(struct fm_buf *out, const struct fm_spool_work *w, const char *cmd,
                          uint64_t limit, const struct fm_spool_pos *after)
{
    fm_buf_printf(out, "{\"cmd\":\"%s\",\"limit\":%llu", cmd, (unsigned long long)limit);
    if (w->opts->topic != NULL) {
        fm_buf_puts(out, ",\"topic\":");
        fm_json_cstr(out, w->opts->topic);
    }
    if (w->opts->older_ms > 0)
        fm_buf_printf(out, ",\"before_ms\":%lld", (long long)(fm_wall_ms() - w->opts->older_ms));
    if (after != NULL)
        fm_buf_printf(out, ",\"after_stream\":\"%s\",\"after_seq\":%llu", after->stream,
                      (unsigned long long)after->seq);
}

enum fm_code fm_spool_ask(struct fm_spool_work *w, struct fm_buf *request, struct fm_err *err)
{
    fm_buf_putc(request, '}');
    enum fm_code code = fm_buf_code(request, err);
    if (code == FM_OK)
        code = fm_store_ask(&w->store, fm_buf_str(request), &w->answer, err);
    fm_buf_clear(request);
    return code;
}

enum fm_code fm_spool_parse_id(const char *text, struct fm_spool_pos *out, struct fm_err *err)
{
    const char *colon = strchr(text, ':');
    char *end = NULL;
    bool good = colon != NULL && colon - text == FM_STREAM_LEN &&
                strspn(text, "0123456789abcdef") == FM_STREAM_LEN && colon[1] >= '0' &&
                colon[1] <= '9';
    if (good)
        out->seq = strtoull(colon + 1, &end, 10);
    if (!good || *end != '\0')
        return fm_err_set(err, FM_EUSAGE,
                          "\"%.60s\" is no STREAM:SEQ, such as 3f9c2a71d04be811:4711; "
                          "firstmile spool dead list shows them",
                          text);
    memcpy(out->stream, text, FM_STREAM_LEN);
    out->stream[FM_STREAM_LEN] = '\0';
    return FM_OK;
}

void fm_spool_put_id(struct fm_buf *request, const struct fm_spool_pos *id)
{
    fm_buf_printf(request, ",\"id\":{\"stream\":\"%s\",\"seq\":%llu}", id->stream,
                  (unsigned long long)id->seq);
}

/* ---- answers ---- */

const char *fm_spool_text(struct fm_arena *arena, const struct fm_jscan *s)
{
    struct fm_buf text;
    fm_buf_init(&text, 0);
    fm_jscan_string(s, &text);
    const char *kept = fm_arena_strndup(arena, text.data, text.len);
    fm_buf_clear(&text);
    return kept != NULL ? kept : "";
}

/* The fields of a record; the scanner stands behind its opening brace. */
static bool read_row(struct fm_jscan *s, struct fm_spool_row *row, struct fm_arena *arena)
{
    *row = (struct fm_spool_row){.stream = ""};
    enum fm_jtoken token;
    while ((token = fm_jscan_next(s)) == FM_J_KEY) {
        struct fm_jscan key = *s;
        enum fm_jtoken value = fm_jscan_next(s);
        const char **text = fm_jscan_is(&key, "stream")   ? &row->stream
                            : fm_jscan_is(&key, "topic")  ? &row->topic
                            : fm_jscan_is(&key, "key")    ? &row->key
                            : fm_jscan_is(&key, "reason") ? &row->reason
                                                          : NULL;
        int64_t *number = fm_jscan_is(&key, "time_ms")   ? &row->time_ms
                          : fm_jscan_is(&key, "dead_ms") ? &row->dead_ms
                          : fm_jscan_is(&key, "bytes")   ? &row->bytes
                                                         : NULL;
        int64_t seq = 0;
        if (text != NULL && value == FM_J_STRING)
            *text = fm_spool_text(arena, s);
        else if (number != NULL && value == FM_J_NUMBER)
            (void)fm_jscan_i64(s, number);
        else if (value == FM_J_NUMBER && fm_jscan_is(&key, "seq") && fm_jscan_i64(s, &seq))
            row->seq = (uint64_t)seq;
        else if (value == FM_J_TRUE && fm_jscan_is(&key, "control"))
            row->control = true;
        if (!fm_jscan_skip(s, value))
            return false;
    }
    return token == FM_J_OBJECT_END;
}

struct page {
    uint64_t n;
    bool more;
    struct fm_spool_pos last;
};

static enum fm_code read_page(struct fm_spool_work *w, struct page *page, fm_spool_row_fn *fn,
                              void *arg, struct fm_arena *arena, struct fm_err *err)
{
    struct fm_jscan s;
    struct fm_spool_row row;
    *page = (struct page){.n = 0};
    fm_jscan_init(&s, w->answer.data, w->answer.len);
    bool good = fm_jscan_next(&s) == FM_J_OBJECT && fm_jscan_next(&s) == FM_J_KEY &&
                fm_jscan_is(&s, "records") && fm_jscan_next(&s) == FM_J_ARRAY;
    enum fm_jtoken token = FM_J_ERROR;
    while (good && (token = fm_jscan_next(&s)) == FM_J_OBJECT) {
        size_t start = s.at - 1;
        good = read_row(&s, &row, arena);
        if (!good)
            break;
        fn(w, &row, w->answer.data + start, s.at - start, arg);
        (void)snprintf(page->last.stream, sizeof page->last.stream, "%s", row.stream);
        page->last.seq = row.seq;
        page->n++;
    }
    good =
        good && token == FM_J_ARRAY_END && fm_jscan_next(&s) == FM_J_KEY && fm_jscan_is(&s, "more");
    if (!good)
        return fm_err_set(err, FM_EPROTO, "the agent's answer cannot be read: versions differ");
    page->more = fm_jscan_next(&s) == FM_J_TRUE;
    return FM_OK;
}

enum fm_code fm_spool_pages(struct fm_spool_work *w, const char *cmd, uint64_t limit,
                            fm_spool_row_fn *fn, void *arg, bool *cut, struct fm_err *err)
{
    struct page page = {.n = 0};
    uint64_t seen = 0;
    do {
        struct fm_buf request;
        struct fm_arena arena;
        fm_buf_init(&request, 0);
        fm_arena_init(&arena, 0);
        fm_spool_put_request(&request, w, cmd, limit > 0 ? limit + 1 - seen : 0,
                             seen > 0 ? &page.last : NULL);
        FM_TRY(fm_spool_ask(w, &request, err));
        enum fm_code code = read_page(w, &page, fn, arg, &arena, err);
        fm_arena_clear(&arena);
        FM_TRY(code);
        seen += page.n;
    } while (page.more && page.n > 0 && (limit == 0 || seen <= limit));
    *cut = limit > 0 && seen > limit;
    return FM_OK;
}

enum fm_code fm_spool_tell_count(struct fm_spool_work *w, const char *name, struct fm_err *err)
{
    struct fm_jscan s;
    int64_t n = 0;
    fm_jscan_init(&s, w->answer.data, w->answer.len);
    if (fm_jscan_next(&s) != FM_J_OBJECT || fm_jscan_next(&s) != FM_J_KEY ||
        !fm_jscan_is(&s, name) || fm_jscan_next(&s) != FM_J_NUMBER || !fm_jscan_i64(&s, &n))
        return fm_err_set(err, FM_EPROTO, "the agent's answer cannot be read: versions differ");
    if (w->call->cli->global.json)
        (void)printf("{\"%s\":%lld}\n", name, (long long)n);
    else
        (void)printf("%lld record%s %s\n", (long long)n, fm_plural((uint64_t)n), name);
    return FM_OK;
}
