/* Control records: what consumers and the audit need to know about a stream. */
#include <string.h>

#include "record/record_priv.h"

/* {"v":1,"agent":"...",<place of the id>"timestamp":N, @return the place */
static uint32_t start_record(struct fm_buf *out, const char *agent, int64_t now_ms)
{
    fm_buf_init(out, 0);
    fm_buf_puts(out, "{\"v\":1,\"agent\":");
    fm_json_cstr(out, agent);
    fm_buf_putc(out, ',');
    uint32_t id_at = (uint32_t)out->len;
    fm_buf_puts(out, "\"timestamp\":");
    fm_buf_i64(out, now_ms);
    fm_buf_putc(out, ',');
    return id_at;
}

static enum fm_code end_record(struct fm_chunk **out, struct fm_buf *value, uint32_t id_at,
                               const char *agent, const char *topic, int64_t now_ms,
                               struct fm_err *err)
{
    fm_buf_putc(value, '}');
    struct fm_record rec = {
        .kind = FM_RECORD_CONTROL,
        .time_ms = now_ms,
        .partition = FM_NO_PARTITION,
        .key = agent,
        .key_len = strlen(agent),
        .value = value->data,
        .value_len = value->len,
        .id_at = id_at,
    };
    struct fm_chunk *chunk = NULL;
    enum fm_code code = fm_buf_code(value, err);
    if (code == FM_OK)
        code = fm_chunk_new(&chunk, topic, err);
    if (code == FM_OK)
        code = fm_chunk_add(chunk, &rec, NULL, 0, err);
    fm_buf_clear(value);
    if (code != FM_OK) {
        fm_chunk_free(chunk);
        return code;
    }
    *out = chunk;
    return FM_OK;
}

static void put_or_null(struct fm_buf *out, const char *name, int64_t v, int64_t null)
{
    fm_json_key(out, name);
    if (v == null)
        fm_buf_puts(out, "null");
    else
        fm_buf_i64(out, v);
}

enum fm_code fm_record_start(struct fm_chunk **out, const char *agent, const char *topic,
                             const struct fm_control_start *what, int64_t now_ms,
                             struct fm_err *err)
{
    struct fm_buf value;
    uint32_t id_at = start_record(&value, agent, now_ms);
    fm_buf_puts(&value, "\"type\":\"start\",\"version\":");
    fm_json_cstr(&value, what->version);
    if (what->has_prev) {
        fm_buf_puts(&value, ",\"prev_stream\":");
        fm_json_cstr(&value, what->prev_stream);
        fm_buf_putc(&value, ',');
        put_or_null(&value, "prev_last_seq", what->prev_last_seq, -1);
    }
    return end_record(out, &value, id_at, agent, topic, now_ms, err);
}

enum fm_code fm_record_gap(struct fm_chunk **out, const char *agent, const char *topic,
                           const struct fm_control_gap *what, int64_t now_ms, struct fm_err *err)
{
    struct fm_buf value;
    uint32_t id_at = start_record(&value, agent, now_ms);
    fm_buf_puts(&value, "\"type\":\"gap\",");
    if (what->lost_stream != NULL) {
        fm_buf_puts(&value, "\"lost_stream\":");
        fm_json_cstr(&value, what->lost_stream);
        fm_buf_putc(&value, ',');
    }
    put_or_null(&value, "from_seq", what->from_seq, -1);
    fm_buf_putc(&value, ',');
    put_or_null(&value, "to_seq", what->to_seq, -1);
    fm_buf_putc(&value, ',');
    put_or_null(&value, "count", what->count, -1);
    fm_buf_puts(&value, ",\"reason\":");
    fm_json_cstr(&value, what->reason);
    fm_buf_putc(&value, ',');
    put_or_null(&value, "first_timestamp", what->first_ms, 0);
    fm_buf_putc(&value, ',');
    put_or_null(&value, "last_timestamp", what->last_ms, 0);
    return end_record(out, &value, id_at, agent, topic, now_ms, err);
}

enum fm_code fm_record_target(struct fm_chunk **out, const char *agent, const char *topic,
                              const char *target, const char *host, const char *state,
                              const char *error, int64_t now_ms, struct fm_err *err)
{
    struct fm_buf value;
    uint32_t id_at = start_record(&value, agent, now_ms);
    fm_buf_puts(&value, "\"host\":");
    fm_json_cstr(&value, host);
    fm_buf_puts(&value, ",\"target\":");
    fm_json_cstr(&value, target);
    fm_buf_puts(&value, ",\"type\":\"target\",\"state\":");
    fm_json_cstr(&value, state);
    fm_buf_puts(&value, ",\"error\":");
    fm_json_cstr(&value, error);
    return end_record(out, &value, id_at, agent, topic, now_ms, err);
}
