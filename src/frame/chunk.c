#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "frame/frame.h"
#include "frame/pack_priv.h"

enum {
    COUNT_AT = 4, /* offset of the number of records */
    HEAD_BYTES = 10, /* magic, number of records, length of the topic */
    LENGTH_BYTES = 4,
    CRC_BYTES = 4,
    FIXED_BYTES = 23, /* kind to the number of headers */
    MAX_TOPIC = 255,
    FEW_PAGES = 8192,
    SMALL = 1024 /* fits into a page with others: not packed */
};
#define NO_KEY UINT32_MAX
static const char magic[4] = {'F', 'M', 'C', '2'};
static const char magic_1[4] = {'F', 'M', 'C', '1'};

struct fm_chunk {
    struct fm_buf buf; /* the stored form, save what seal() adds */
    struct fm_buf packed; /* empty: none */
    size_t tried; /* to pack so many bytes; 0: not yet */
    size_t first; /* offset of the first record */
    size_t foreign; /* up to here the bytes came from elsewhere: checksums are looked at */
    size_t sealed; /* up to here records have their checksums */
    uint32_t count;
    bool placeless; /* of FMC1: checksums do not know their place */
    bool chained; /* the lengths lead exactly to the end */
    char topic[MAX_TOPIC + 1];
};

/* Plain shifts: compilers make one store or load of them, whatever the byte order. */
static char *put_le16(char *p, uint16_t v)
{
    p[0] = (char)(unsigned char)v;
    p[1] = (char)(unsigned char)(v >> 8);
    return p + 2;
}

static char *put_le32(char *p, uint32_t v)
{
    p[0] = (char)(unsigned char)v;
    p[1] = (char)(unsigned char)(v >> 8);
    p[2] = (char)(unsigned char)(v >> 16);
    p[3] = (char)(unsigned char)(v >> 24);
    return p + 4;
}

static char *put_le64(char *p, uint64_t v)
{
    return put_le32(put_le32(p, (uint32_t)v), (uint32_t)(v >> 32));
}

static char *put_bytes(char *p, const void *data, size_t len)
{
    if (len > 0)
        memcpy(p, data, len);
    return p + len;
}

static uint16_t get_le16(const unsigned char *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get_le32(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool take_le16(struct fm_cursor *cur, uint16_t *out)
{
    const unsigned char *p;
    if (!fm_cursor_take(cur, 2, &p))
        return false;
    *out = get_le16(p);
    return true;
}

enum fm_code fm_chunk_new(struct fm_chunk **out, const char *topic, struct fm_err *err)
{
    size_t len = strlen(topic);
    if (len == 0 || len > MAX_TOPIC)
        return fm_err_set(err, FM_ELIMIT, "a topic has 1 to %d bytes, this one %zu", MAX_TOPIC,
                          len);
    struct fm_chunk *chunk = calloc(1, sizeof *chunk);
    if (chunk == NULL)
        return fm_err_nomem(err);
    if (!fm_buf_reserve(&chunk->buf, HEAD_BYTES + len)) {
        fm_chunk_free(chunk);
        return fm_err_nomem(err);
    }
    char *p = put_bytes(chunk->buf.data, magic, sizeof magic);
    p = put_le32(p, 0); /* the number of records: see seal() */
    p = put_le16(p, (uint16_t)len);
    p = put_bytes(p, topic, len);
    chunk->buf.len = (size_t)(p - chunk->buf.data);
    memcpy(chunk->topic, topic, len);
    chunk->first = chunk->sealed = chunk->buf.len;
    chunk->chained = true;
    *out = chunk;
    return FM_OK;
}

/* Whether exactly count records fill what the cursor has left. */
static bool is_chained(struct fm_cursor *cur, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t len;
        if (!fm_cursor_le32(cur, &len) || len < CRC_BYTES + FIXED_BYTES ||
            !fm_cursor_skip(cur, len))
            return false;
    }
    return fm_cursor_left(cur) == 0;
}

/* A checksum goes on from its record's offset: where damage makes a packed chunk repeat a record,
 * it is not taken for the one that was there. */
static uint32_t sum_of(const struct fm_chunk *chunk, size_t start, const void *body, size_t len)
{
    return fm_crc32c(chunk->placeless ? 0 : (uint32_t)start, body, len);
}

static bool take_magic(struct fm_chunk *chunk, struct fm_cursor *cur)
{
    const unsigned char *p;
    if (!fm_cursor_take(cur, sizeof magic, &p))
        return false;
    chunk->placeless = memcmp(p, magic_1, sizeof magic_1) == 0;
    return chunk->placeless || memcmp(p, magic, sizeof magic) == 0;
}

static bool load_head(struct fm_chunk *chunk, struct fm_cursor *cur)
{
    const unsigned char *p;
    uint16_t len;
    if (!take_magic(chunk, cur) || !fm_cursor_le32(cur, &chunk->count) || !take_le16(cur, &len) ||
        len == 0 || len > MAX_TOPIC || !fm_cursor_take(cur, len, &p) ||
        memchr(p, '\0', len) != NULL)
        return false;
    memcpy(chunk->topic, p, len);
    chunk->first = cur->at;
    return chunk->count <= fm_cursor_left(cur) / (LENGTH_BYTES + CRC_BYTES + FIXED_BYTES);
}

static enum fm_code take_bytes(struct fm_buf *buf, const void *data, size_t len, struct fm_err *err)
{
    if (fm_pack_is(data, len))
        return fm_unpack(buf, data, len, err);
    fm_buf_put(buf, data, len);
    return fm_buf_code(buf, err);
}

enum fm_code fm_chunk_load(struct fm_chunk **out, const void *data, size_t len, struct fm_err *err)
{
    struct fm_chunk *chunk = calloc(1, sizeof *chunk);
    if (chunk == NULL)
        return fm_err_nomem(err);
    enum fm_code code = take_bytes(&chunk->buf, data, len, err);
    struct fm_cursor cur;
    fm_cursor_init(&cur, chunk->buf.data, chunk->buf.len);
    if (code == FM_OK && !load_head(chunk, &cur))
        code =
            fm_err_set(err, FM_EDAMAGE, "the head of a stored chunk of %zu bytes is damaged", len);
    if (code != FM_OK) {
        fm_chunk_free(chunk);
        return code;
    }
    chunk->chained = is_chained(&cur, chunk->count);
    chunk->foreign = chunk->sealed = chunk->buf.len;
    *out = chunk;
    return FM_OK;
}

void fm_chunk_free(struct fm_chunk *chunk)
{
    if (chunk == NULL)
        return;
    fm_buf_clear(&chunk->buf);
    fm_buf_clear(&chunk->packed);
    free(chunk);
}

/* Bytes of the headers in their stored form. @return false if one cannot be stored */
static bool headers_size(const struct fm_header *headers, size_t n, uint64_t *size)
{
    *size = 0;
    if (n > UINT16_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (headers[i].name_len > UINT16_MAX || headers[i].value_len >= UINT32_MAX / 2)
            return false;
        *size += 2 + headers[i].name_len + 4 + headers[i].value_len;
    }
    return true;
}

static char *put_headers(char *p, const struct fm_header *headers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        p = put_le16(p, (uint16_t)headers[i].name_len);
        p = put_bytes(p, headers[i].name, headers[i].name_len);
        p = put_le32(p, (uint32_t)headers[i].value_len);
        p = put_bytes(p, headers[i].value, headers[i].value_len);
    }
    return p;
}

enum fm_code fm_chunk_add(struct fm_chunk *chunk, const struct fm_record *rec,
                          const struct fm_header *headers, size_t n, struct fm_err *err)
{
    if (rec->id_at != FM_NO_ID && rec->id_at > rec->value_len)
        return fm_err_set(err, FM_EBUG, "the place of stream and seq lies behind the value");
    uint64_t head_len = rec->headers_len;
    size_t key_len = rec->key != NULL ? rec->key_len : 0;
    if ((headers != NULL && !headers_size(headers, n, &head_len)) || key_len >= UINT32_MAX / 2 ||
        rec->value_len >= UINT32_MAX / 2)
        return fm_err_set(err, FM_ELIMIT, "a record's key, value or headers are too long to store");
    uint64_t rest = FIXED_BYTES + head_len + key_len + rec->value_len;
    if (rest + CRC_BYTES > UINT32_MAX || chunk->count == UINT32_MAX)
        return fm_err_set(err, FM_ELIMIT, "a record of %llu bytes is too long to store",
                          (unsigned long long)rest);
    fm_buf_clear(&chunk->packed);
    struct fm_buf *buf = &chunk->buf;
    size_t more = LENGTH_BYTES + CRC_BYTES + (size_t)rest;
    /* What has outgrown a few pages mostly becomes a full chunk: one copy instead of four. */
    if (buf->len > FEW_PAGES && buf->cap < FM_CHUNK_BYTES && buf->len + more < FM_CHUNK_BYTES)
        more = FM_CHUNK_BYTES - 1 - buf->len;
    if (!fm_buf_reserve(buf, more)) {
        buf->failed = false; /* nothing was written: the chunk is as it was */
        buf->over_limit = false;
        return fm_err_nomem(err);
    }
    char *p = put_le32(buf->data + buf->len, (uint32_t)(rest + CRC_BYTES));
    p = put_le32(p, 0); /* the checksum: see seal() */
    *p++ = (char)rec->kind;
    p = put_le64(p, (uint64_t)rec->time_ms);
    p = put_le32(p, (uint32_t)rec->partition);
    p = put_le32(p, rec->id_at);
    p = put_le32(p, rec->key != NULL ? (uint32_t)key_len : NO_KEY);
    p = put_le16(p, headers != NULL ? (uint16_t)n : rec->n_headers);
    p = headers != NULL ? put_headers(p, headers, n) : put_bytes(p, rec->headers, rec->headers_len);
    p = put_bytes(p, rec->key, key_len);
    p = put_bytes(p, rec->value, rec->value_len);
    buf->len = (size_t)(p - buf->data);
    chunk->count++;
    return FM_OK;
}

const char *fm_chunk_topic(const struct fm_chunk *chunk)
{
    return chunk->topic;
}

size_t fm_chunk_count(const struct fm_chunk *chunk)
{
    return chunk->count;
}

size_t fm_chunk_bytes(const struct fm_chunk *chunk)
{
    return chunk->buf.len;
}

/* Give the records their checksums, and the head their number. */
static void seal(struct fm_chunk *chunk)
{
    struct fm_buf *buf = &chunk->buf;
    while (chunk->sealed < buf->len) {
        char *crc = buf->data + chunk->sealed + LENGTH_BYTES;
        size_t len = get_le32((const unsigned char *)crc - LENGTH_BYTES) - CRC_BYTES;
        (void)put_le32(crc, sum_of(chunk, chunk->sealed, crc + CRC_BYTES, len));
        chunk->sealed += LENGTH_BYTES + CRC_BYTES + len;
    }
    (void)put_le32(buf->data + COUNT_AT, chunk->count);
}

void fm_chunk_pack(struct fm_chunk *chunk)
{
    /* Of a form whose checksums do not know their place a hit byte could repeat a record in the
     * place of another, and nobody would see it. */
    if (chunk->placeless || chunk->buf.len < SMALL || chunk->tried == chunk->buf.len)
        return;
    seal(chunk);
    chunk->tried = chunk->buf.len;
    if (!fm_pack(&chunk->packed, chunk->buf.data, chunk->buf.len))
        fm_buf_clear(&chunk->packed);
}

/* Cutting off little would only leave holes in the heap. */
void fm_chunk_fit(struct fm_chunk *chunk)
{
    if (chunk->buf.len < chunk->buf.cap / 4 * 3)
        fm_buf_fit(&chunk->buf);
}

void fm_chunk_forget_packed(struct fm_chunk *chunk)
{
    fm_buf_clear(&chunk->packed);
    chunk->tried = 0;
}

const void *fm_chunk_stored(struct fm_chunk *chunk, size_t *len)
{
    const struct fm_buf *form = chunk->packed.len > 0 ? &chunk->packed : &chunk->buf;
    seal(chunk);
    *len = form->len;
    return form->data;
}

size_t fm_chunk_stored_bytes(const struct fm_chunk *chunk)
{
    return chunk->packed.len > 0 ? chunk->packed.len : chunk->buf.len;
}

static bool take_header(struct fm_cursor *cur, struct fm_header *out)
{
    uint16_t name_len;
    uint32_t value_len;
    const unsigned char *name, *value;
    if (!take_le16(cur, &name_len) || !fm_cursor_take(cur, name_len, &name) ||
        !fm_cursor_le32(cur, &value_len) || !fm_cursor_take(cur, value_len, &value))
        return false;
    *out = (struct fm_header){.name = (const char *)name,
                              .name_len = name_len,
                              .value = (const char *)value,
                              .value_len = value_len};
    return true;
}

/* The record between kind and the end of the value, its checksum already found right. */
static bool parse_record(struct fm_cursor *cur, struct fm_record *rec)
{
    const unsigned char *p;
    if (!fm_cursor_take(cur, FIXED_BYTES, &p) || p[0] > FM_RECORD_RAW)
        return false;
    uint32_t key_len = get_le32(p + 17);
    *rec = (struct fm_record){
        .kind = (enum fm_record_kind)p[0],
        .time_ms = (int64_t)(get_le32(p + 1) | (uint64_t)get_le32(p + 5) << 32),
        .partition = (int32_t)get_le32(p + 9),
        .id_at = get_le32(p + 13),
        .n_headers = get_le16(p + 21),
    };
    size_t at = cur->at;
    rec->headers = cur->data + at;
    for (unsigned i = 0; i < rec->n_headers; i++) {
        struct fm_header header;
        if (!take_header(cur, &header))
            return false;
    }
    rec->headers_len = cur->at - at;
    if (key_len != NO_KEY) {
        if (!fm_cursor_take(cur, key_len, &p))
            return false;
        rec->key = (const char *)p;
        rec->key_len = key_len;
    }
    rec->value_len = fm_cursor_left(cur);
    if (!fm_cursor_take(cur, rec->value_len, &p))
        return false;
    rec->value = (const char *)p;
    return rec->id_at == FM_NO_ID || rec->id_at <= rec->value_len;
}

/* Records were mostly written by another core, and their heads alone are too far apart for the
 * processor to guess that all of them will be read: so ask for what comes three or four later. */
static void fetch_ahead(const struct fm_chunk *chunk, size_t from, size_t to)
{
    enum { AHEAD = 1024, LINE = 64 };
    size_t end = to + AHEAD < chunk->buf.len ? to + AHEAD : chunk->buf.len;
    for (size_t at = from + AHEAD; at < end; at += LINE)
        __builtin_prefetch(chunk->buf.data + at);
}

enum fm_code fm_chunk_next(const struct fm_chunk *chunk, size_t *at, struct fm_record *rec,
                           struct fm_err *err)
{
    size_t start = *at == 0 ? chunk->first : *at;
    if (start >= chunk->buf.len)
        return fm_err_set(err, FM_ENOTFOUND, "no further record in the chunk");
    struct fm_cursor cur;
    fm_cursor_init(&cur, chunk->buf.data + start, chunk->buf.len - start);
    uint32_t len = 0;
    const unsigned char *head, *body;
    bool whole = fm_cursor_take(&cur, LENGTH_BYTES + CRC_BYTES, &head);
    if (whole)
        len = get_le32(head);
    if (!whole || len < CRC_BYTES + FIXED_BYTES || !fm_cursor_take(&cur, len - CRC_BYTES, &body)) {
        *at = chunk->buf.len;
        return fm_err_set(err, FM_EDAMAGE, "a stored record's length is damaged");
    }
    size_t next = start + cur.at;
    fetch_ahead(chunk, start, next);
    if (start < chunk->foreign &&
        sum_of(chunk, start, body, len - CRC_BYTES) != get_le32(head + LENGTH_BYTES)) {
        /* Where the chain of lengths is broken somewhere, this may be the place. */
        *at = chunk->chained ? next : chunk->buf.len;
        return fm_err_set(err, FM_EDAMAGE, "a stored record's checksum is wrong");
    }
    *at = next;
    fm_cursor_init(&cur, body, len - CRC_BYTES);
    if (!parse_record(&cur, rec))
        return fm_err_set(err, FM_EDAMAGE, "a stored record's fields do not fit its length");
    return FM_OK;
}

bool fm_record_header(const struct fm_record *rec, size_t i, struct fm_header *out)
{
    if (i >= rec->n_headers || rec->headers == NULL)
        return false;
    struct fm_cursor cur;
    fm_cursor_init(&cur, rec->headers, rec->headers_len);
    for (size_t k = 0; k < i; k++) {
        if (!take_header(&cur, out))
            return false;
    }
    return take_header(&cur, out);
}
