/* frame/frame.h - the stored form of records: written by record, kept by spool, read by rest.
 *
 * A chunk is n records of one topic and one poll, in one piece of memory that is also what lies on
 * disk. A record's content never changes after it was put; stream and seq, given at commit, are put
 * into the value's empty place when it is read. Nothing here depends on api, dialect or format.
 *
 * Layout (little-endian): chunk = magic "FMC2", u32 records, u16 topic length, topic, records.
 * record = u32 length of what follows, u32 crc32c of the rest, begun with the record's offset
 * ("FMC1": with 0), u8 kind, i64 time_ms, i32 partition (-1: none), u32 id_at, u32 key length
 * (0xffffffff: no key), u16 headers, headers (u16 name length, name, u32 value length, value), key,
 * value. */
#ifndef FM_FRAME_FRAME_H
#define FM_FRAME_FRAME_H

#include <stdint.h>

#include "base/buf.h"

enum fm_record_kind {
    FM_RECORD_DATA = 0,
    FM_RECORD_CONTROL = 1, /* start, gap, target: never a dead letter, never evidence */
    FM_RECORD_RAW = 2 /* from produce: no envelope, value is exact bytes */
};

enum {
    FM_CHUNK_BYTES = 64 * 1024, /* about; a larger record is a chunk alone */
    FM_STREAM_LEN = 16, /* hex digits */
    FM_NO_PARTITION = -1,
    /* "stream":"0123456789abcdef","seq":18446744073709551615,  is the most that they add */
    FM_ID_BYTES = 55
};
#define FM_NO_ID UINT32_MAX /* id_at of a record without a place for stream and seq */

struct fm_header {
    const char *name; /* not terminated when read from a chunk: see name_len */
    size_t name_len;
    const char *value;
    size_t value_len;
};

/** One record; all pointers borrowed, when read: from the chunk. */
struct fm_record {
    enum fm_record_kind kind;
    int64_t time_ms; /* wall clock; the start of the poll */
    int32_t partition; /* FM_NO_PARTITION: the proxy chooses */
    const char *key; /* NULL: no key */
    size_t key_len;
    const char *value; /* JSON text with an empty place for stream and seq (RAW: any bytes) */
    size_t value_len;
    /* Offset in value where fm_record_value() inserts  "stream":"...","seq":N,  ; FM_NO_ID: none */
    uint32_t id_at;
    const unsigned char *headers; /* encoded; see fm_record_header() */
    size_t headers_len; /* bytes of them */
    uint16_t n_headers;
};

struct fm_chunk; /* opaque: frame/chunk.c */

/** An empty chunk for a topic of 1 to 255 bytes. @return FM_OK, FM_ELIMIT or FM_ENOMEM */
FM_MUST_USE enum fm_code fm_chunk_new(struct fm_chunk **out, const char *topic, struct fm_err *err);

/** A chunk from stored bytes, packed or not, copied. Checks the head and whether the lengths of the
 * records lead exactly to the end; where they do not, the records before the break can still be
 * read.
 * @return FM_OK, FM_EDAMAGE (the head is wrong: no record can be trusted) or FM_ENOMEM */
FM_MUST_USE enum fm_code fm_chunk_load(struct fm_chunk **out, const void *data, size_t len,
                                       struct fm_err *err);

void fm_chunk_free(struct fm_chunk *chunk);

/** Append a record (copied). headers (n of them) are taken instead of rec->headers; with headers
 * NULL those of rec are copied.
 * @return FM_OK, FM_ELIMIT (a length that the format cannot hold), FM_EBUG or FM_ENOMEM; the chunk
 *         is unchanged on an error */
FM_MUST_USE enum fm_code fm_chunk_add(struct fm_chunk *chunk, const struct fm_record *rec,
                                      const struct fm_header *headers, size_t n,
                                      struct fm_err *err);

const char *fm_chunk_topic(const struct fm_chunk *chunk);
size_t fm_chunk_count(const struct fm_chunk *chunk);
size_t fm_chunk_bytes(const struct fm_chunk *chunk); /* of the form above, in memory */

/** Make the form for the disk small, before fm_chunk_stored(): "FMZ1", u32 bytes of the form above,
 * that form as one LZ4 block. A chunk that is small already, or does not get smaller, stays as it
 * is; so does it where memory is missing. Records get their checksums here. No other thread may be
 * in this call. */
void fm_chunk_pack(struct fm_chunk *chunk);
/** Give back memory that the records do not fill, if it is more than a quarter; more may be added.
 * Same threads. */
void fm_chunk_fit(struct fm_chunk *chunk);
/** Give back the memory of the packed form; the records stay. Same threads. */
void fm_chunk_forget_packed(struct fm_chunk *chunk);

/** What the disk gets, len bytes: the packed form, where there is one. Borrowed until the next
 * fm_chunk_add() or fm_chunk_forget_packed(). Records get their checksums here, so that what never
 * leaves memory costs none; no other thread may be in this call or read the result. */
const void *fm_chunk_stored(struct fm_chunk *chunk, size_t *len);
size_t fm_chunk_stored_bytes(const struct fm_chunk *chunk);

/** Walk over the records. Start with *at = 0. Checksums are looked at in a chunk that was loaded.
 * @return FM_OK and *rec; FM_ENOTFOUND behind the last; FM_EDAMAGE: this record's checksum or
 *         lengths are wrong. *at has moved on where the next record can still be found (wrong
 *         checksum only); otherwise it stands behind the end. */
FM_MUST_USE enum fm_code fm_chunk_next(const struct fm_chunk *chunk, size_t *at,
                                       struct fm_record *rec, struct fm_err *err);

/** Header i of a record that was read. @return false if there is none */
bool fm_record_header(const struct fm_record *rec, size_t i, struct fm_header *out);

/** The value with stream and seq in their place, appended to buf. */
void fm_record_value(struct fm_buf *buf, const struct fm_record *rec, const char *stream,
                     uint64_t seq);

/** The same to a place with room for value_len + FM_ID_BYTES. @return behind the last byte */
char *fm_record_write(char *to, const struct fm_record *rec, const char *stream, uint64_t seq);

/** Bytes fm_record_value() would write. */
size_t fm_record_value_len(const struct fm_record *rec, const char *stream, uint64_t seq);

/** CRC-32C (Castagnoli, RFC 3720), by table or by instruction. */
uint32_t fm_crc32c(uint32_t crc, const void *data, size_t len);

/** The same by table only; what machines without the instruction run. */
uint32_t fm_crc32c_table(uint32_t crc, const void *data, size_t len);

const char *fm_frame_version(void); /* of the LZ4 loaded: "1.9.4" */

#endif
