/* What the spool still holds, which audit does not miss in the topic. */
#include <string.h>

#include "base/jscan.h"
#include "cli/audit_priv.h"
#include "cli/store.h"

struct held {
    char stream[FM_STREAM_LEN + 1];
    uint64_t seq;
    const char *value; /* NULL: raw bytes */
    size_t value_len;
};

static bool read_held(struct fm_jscan *s, struct fm_audit_job *job, struct held *out)
{
    enum fm_jtoken token;
    int64_t seq = 0;
    *out = (struct held){.seq = 0};
    fm_buf_reset(&job->topic_text);
    while ((token = fm_jscan_next(s)) == FM_J_KEY) {
        struct fm_jscan key = *s;
        token = fm_jscan_next(s);
        size_t start = s->at - 1;
        if (token == FM_J_STRING && fm_jscan_is(&key, "stream") && s->text_len == FM_STREAM_LEN)
            memcpy(out->stream, s->text, FM_STREAM_LEN);
        else if (token == FM_J_STRING && fm_jscan_is(&key, "topic"))
            fm_jscan_string(s, &job->topic_text);
        else if (token == FM_J_NUMBER && fm_jscan_is(&key, "seq") && fm_jscan_i64(s, &seq))
            out->seq = seq > 0 ? (uint64_t)seq : 0;
        if (!fm_jscan_skip(s, token))
            return false;
        if (token == FM_J_OBJECT && fm_jscan_is(&key, "value")) {
            out->value = s->data + start;
            out->value_len = s->at - start;
        }
    }
    return token == FM_J_OBJECT_END && out->stream[0] != '\0' && out->seq > 0;
}

/* @param last  the record read last; its stream is "" if the page was empty */
static enum fm_code read_page(struct fm_audit_job *job, const struct fm_buf *answer,
                              struct held *last, bool *more, struct fm_err *err)
{
    struct fm_jscan s;
    enum fm_jtoken token = FM_J_ERROR;
    *last = (struct held){.seq = 0};
    fm_jscan_init(&s, answer->data, answer->len);
    bool good = fm_jscan_next(&s) == FM_J_OBJECT && fm_jscan_next(&s) == FM_J_KEY &&
                fm_jscan_is(&s, "records") && fm_jscan_next(&s) == FM_J_ARRAY;
    while (good && (token = fm_jscan_next(&s)) == FM_J_OBJECT) {
        good = read_held(&s, job, last);
        bool asked = job->topic == NULL || strcmp(fm_buf_str(&job->topic_text), job->topic) == 0;
        if (good && asked)
            FM_TRY(fm_audit_pending(job->audit, fm_buf_str(&job->topic_text), last->stream,
                                    last->seq, last->value, last->value_len, err));
    }
    good =
        good && token == FM_J_ARRAY_END && fm_jscan_next(&s) == FM_J_KEY && fm_jscan_is(&s, "more");
    if (!good)
        return fm_err_set(err, FM_EPROTO, "the agent's answer cannot be read: versions differ");
    *more = fm_jscan_next(&s) == FM_J_TRUE;
    return FM_OK;
}

static enum fm_code read_pages(struct fm_audit_job *job, struct fm_store *store,
                               struct fm_buf *request, struct fm_buf *answer, struct fm_err *err)
{
    struct held last = {.seq = 0};
    bool more = false;
    do {
        fm_buf_reset(request);
        fm_buf_puts(request, "{\"cmd\":\"spool.export\",\"limit\":0");
        if (more)
            fm_buf_printf(request, ",\"after_stream\":\"%s\",\"after_seq\":%llu", last.stream,
                          (unsigned long long)last.seq);
        fm_buf_putc(request, '}');
        FM_TRY(fm_buf_code(request, err));
        FM_TRY(fm_store_ask(store, fm_buf_str(request), answer, err));
        FM_TRY(read_page(job, answer, &last, &more, err));
    } while (more && last.seq > 0);
    return FM_OK;
}

enum fm_code fm_audit_read_spool(struct fm_audit_job *job, struct fm_err *err)
{
    struct fm_store store = {.spool = NULL};
    struct fm_buf request, answer;
    fm_buf_init(&request, 0);
    fm_buf_init(&answer, 0);
    enum fm_code code = fm_store_open(&store, job->cli, job->config, job->opts->spool, err);
    if (code == FM_OK)
        code = read_pages(job, &store, &request, &answer, err);
    fm_store_close(&store);
    fm_buf_clear(&request);
    fm_buf_clear(&answer);
    return code;
}
