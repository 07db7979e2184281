#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame/frame.h"

static struct fm_record text_record(const char *key, const char *value, uint32_t id_at)
{
    return (struct fm_record){.kind = FM_RECORD_DATA,
                              .time_ms = 1763812800000,
                              .partition = FM_NO_PARTITION,
                              .key = key,
                              .key_len = key != NULL ? strlen(key) : 0,
                              .value = value,
                              .value_len = strlen(value),
                              .id_at = id_at};
}

static struct fm_chunk *three(void)
{
    struct fm_chunk *chunk = NULL;
    cr_assert_eq(fm_chunk_new(&chunk, "jmx", NULL), FM_OK);
    const char *values[] = {"{\"n\":1}", "{\"n\":22}", "{\"n\":333}"};
    for (size_t i = 0; i < 3; i++) {
        struct fm_record rec = text_record("web-1", values[i], 1);
        cr_assert_eq(fm_chunk_add(chunk, &rec, NULL, 0, NULL), FM_OK);
    }
    return chunk;
}

/* A copy of its stored form that a test may spoil. */
static unsigned char *bytes_of(struct fm_chunk *chunk)
{
    size_t len;
    const void *stored = fm_chunk_stored(chunk, &len);
    unsigned char *copy = malloc(len);
    memcpy(copy, stored, len);
    return copy;
}

static struct fm_chunk *reloaded(struct fm_chunk *chunk)
{
    struct fm_chunk *back = NULL;
    size_t len;
    const void *stored = fm_chunk_stored(chunk, &len);
    cr_assert_eq(fm_chunk_load(&back, stored, len, NULL), FM_OK);
    return back;
}

static void same_bytes(struct fm_chunk *a, struct fm_chunk *b)
{
    size_t n, m;
    const void *of_a = fm_chunk_stored(a, &n), *of_b = fm_chunk_stored(b, &m);
    cr_assert_eq(n, m);
    cr_assert_eq(memcmp(of_a, of_b, n), 0);
}

/* Records read well and found damaged until the end. */
static void walk(const struct fm_chunk *chunk, size_t *good, size_t *bad)
{
    size_t at = 0;
    struct fm_record rec;
    *good = *bad = 0;
    for (;;) {
        size_t before = at;
        enum fm_code code = fm_chunk_next(chunk, &at, &rec, NULL);
        if (code == FM_ENOTFOUND)
            return;
        cr_assert_gt(at, before, "every step moves on");
        *(code == FM_OK ? good : bad) += 1;
    }
}

Test(chunk, gives_back_what_was_put)
{
    struct fm_chunk *chunk = NULL;
    cr_assert_eq(fm_chunk_new(&chunk, "jmx", NULL), FM_OK);
    struct fm_record in = text_record("k", "{\"v\":1}", 7);
    in.partition = 3;
    in.kind = FM_RECORD_CONTROL;
    const struct fm_header headers[] = {{"a", 1, "x\0y", 3}, {"bb", 2, "", 0}};
    cr_assert_eq(fm_chunk_add(chunk, &in, headers, 2, NULL), FM_OK);
    struct fm_record plain = text_record(NULL, "", FM_NO_ID);
    cr_assert_eq(fm_chunk_add(chunk, &plain, NULL, 0, NULL), FM_OK);
    struct fm_chunk *back = reloaded(chunk);
    cr_assert_str_eq(fm_chunk_topic(back), "jmx");
    cr_assert_eq(fm_chunk_count(back), 2);

    size_t at = 0;
    struct fm_record rec;
    struct fm_header header;
    cr_assert_eq(fm_chunk_next(back, &at, &rec, NULL), FM_OK);
    cr_assert_eq(rec.kind, FM_RECORD_CONTROL);
    cr_assert_eq(rec.time_ms, in.time_ms);
    cr_assert_eq(rec.partition, 3);
    cr_assert_eq(rec.id_at, 7);
    cr_assert_eq(rec.key_len, 1);
    cr_assert_eq(memcmp(rec.value, "{\"v\":1}", 7), 0);
    cr_assert(fm_record_header(&rec, 0, &header));
    cr_assert(header.value_len == 3 && memcmp(header.value, "x\0y", 3) == 0);
    cr_assert(fm_record_header(&rec, 1, &header));
    cr_assert(header.name_len == 2 && header.value_len == 0);
    cr_assert_not(fm_record_header(&rec, 2, &header));
    cr_assert_eq(fm_chunk_next(back, &at, &rec, NULL), FM_OK);
    cr_assert_null(rec.key);
    cr_assert_eq(rec.partition, FM_NO_PARTITION);
    cr_assert_eq(rec.value_len, 0);
    cr_assert_eq(fm_chunk_next(back, &at, &rec, NULL), FM_ENOTFOUND);
    fm_chunk_free(chunk);
    fm_chunk_free(back);
}

Test(chunk, copies_the_headers_of_a_record_that_was_read)
{
    struct fm_chunk *chunk = NULL, *copy = NULL;
    cr_assert_eq(fm_chunk_new(&chunk, "t", NULL), FM_OK);
    cr_assert_eq(fm_chunk_new(&copy, "t", NULL), FM_OK);
    struct fm_record in = text_record("k", "v", FM_NO_ID), rec;
    const struct fm_header headers[] = {{"name", 4, "value", 5}};
    cr_assert_eq(fm_chunk_add(chunk, &in, headers, 1, NULL), FM_OK);
    size_t at = 0;
    cr_assert_eq(fm_chunk_next(chunk, &at, &rec, NULL), FM_OK);
    cr_assert_eq(fm_chunk_add(copy, &rec, NULL, 0, NULL), FM_OK);
    same_bytes(copy, chunk);
    fm_chunk_free(chunk);
    fm_chunk_free(copy);
}

Test(chunk, gives_checksums_to_what_is_added_after_its_bytes_were_asked_for)
{
    struct fm_chunk *chunk = three(), *once = three();
    struct fm_record more = text_record(NULL, "{\"n\":4444}", 1);
    size_t good, bad, len;
    (void)fm_chunk_stored(chunk, &len);
    cr_assert_eq(fm_chunk_add(chunk, &more, NULL, 0, NULL), FM_OK);
    cr_assert_eq(fm_chunk_add(once, &more, NULL, 0, NULL), FM_OK);
    same_bytes(chunk, once);
    struct fm_chunk *back = reloaded(chunk);
    cr_assert_eq(fm_chunk_add(back, &more, NULL, 0, NULL), FM_OK);
    walk(back, &good, &bad);
    cr_assert_eq(good, 5, "behind what was loaded");
    struct fm_chunk *both = reloaded(back);
    walk(both, &good, &bad);
    cr_assert_eq(good, 5);
    cr_assert_eq(bad, 0);
    fm_chunk_free(chunk);
    fm_chunk_free(once);
    fm_chunk_free(back);
    fm_chunk_free(both);
}

Test(chunk, refuses_topics_and_places_that_cannot_be)
{
    struct fm_chunk *chunk = NULL;
    char topic[300];
    memset(topic, 'x', sizeof topic);
    topic[256] = '\0';
    cr_assert_eq(fm_chunk_new(&chunk, topic, NULL), FM_ELIMIT);
    cr_assert_eq(fm_chunk_new(&chunk, "", NULL), FM_ELIMIT);
    topic[255] = '\0';
    cr_assert_eq(fm_chunk_new(&chunk, topic, NULL), FM_OK);
    struct fm_record rec = text_record("k", "{}", 3);
    cr_assert_eq(fm_chunk_add(chunk, &rec, NULL, 0, NULL), FM_EBUG);
    cr_assert_eq(fm_chunk_count(chunk), 0);
    fm_chunk_free(chunk);
}

Test(chunk, skips_a_record_whose_checksum_is_wrong)
{
    struct fm_chunk *chunk = three(), *back = NULL;
    unsigned char *data = bytes_of(chunk);
    size_t at = 0;
    struct fm_record rec;
    cr_assert_eq(fm_chunk_next(chunk, &at, &rec, NULL), FM_OK);
    data[at + 20] ^= 1; /* inside the second */
    cr_assert_eq(fm_chunk_load(&back, data, fm_chunk_bytes(chunk), NULL), FM_OK);
    size_t good, bad;
    walk(back, &good, &bad);
    cr_assert_eq(good, 2);
    cr_assert_eq(bad, 1);
    free(data);
    fm_chunk_free(chunk);
    fm_chunk_free(back);
}

Test(chunk, stops_where_the_lengths_no_longer_lead_to_the_end)
{
    struct fm_chunk *chunk = three(), *back = NULL;
    unsigned char *data = bytes_of(chunk);
    size_t at = 0;
    struct fm_record rec;
    cr_assert_eq(fm_chunk_next(chunk, &at, &rec, NULL), FM_OK);
    data[at] = (unsigned char)(data[at] + 1); /* the second one's length */
    cr_assert_eq(fm_chunk_load(&back, data, fm_chunk_bytes(chunk), NULL), FM_OK);
    size_t good, bad;
    walk(back, &good, &bad);
    cr_assert_eq(good, 1);
    cr_assert_eq(bad, 1);
    free(data);
    fm_chunk_free(chunk);
    fm_chunk_free(back);
}

Test(chunk, never_gives_a_wrong_byte_whatever_is_flipped_or_cut)
{
    struct fm_chunk *chunk = three();
    size_t len = fm_chunk_bytes(chunk);
    for (size_t i = 0; i < len * 8; i++) {
        unsigned char *data = bytes_of(chunk);
        data[i / 8] ^= (unsigned char)(1u << (i % 8));
        struct fm_chunk *back = NULL;
        if (fm_chunk_load(&back, data, len, NULL) == FM_OK) {
            size_t at = 0;
            struct fm_record rec;
            enum fm_code code;
            while ((code = fm_chunk_next(back, &at, &rec, NULL)) != FM_ENOTFOUND) {
                if (code == FM_OK)
                    cr_assert(rec.value_len >= 7 && memcmp(rec.value, "{\"n\":", 5) == 0 &&
                              memcmp(rec.key, "web-1", 5) == 0 && rec.id_at == 1);
            }
        }
        fm_chunk_free(back);
        free(data);
    }
    for (size_t cut = 0; cut < len; cut++) {
        unsigned char *data = bytes_of(chunk);
        struct fm_chunk *back = NULL;
        if (fm_chunk_load(&back, data, cut, NULL) == FM_OK) {
            size_t good, bad;
            walk(back, &good, &bad);
            cr_assert_lt(good, 3);
        }
        fm_chunk_free(back);
        free(data);
    }
    fm_chunk_free(chunk);
}

/* ---- packed ---- */

enum { ALIKE = 40 };

/* Records of one length, so that one could stand in the place of another; every fourth the same. */
static struct fm_chunk *alike(void)
{
    struct fm_chunk *chunk = NULL;
    cr_assert_eq(fm_chunk_new(&chunk, "jmx", NULL), FM_OK);
    for (int i = 0; i < ALIKE; i++) {
        char value[64];
        (void)snprintf(value, sizeof value, "{\"n\":%04d,\"name\":\"HeapMemoryUsage\"}",
                       i % 4 == 0 ? 0 : i);
        struct fm_record rec = text_record("web-1", value, 1);
        cr_assert_eq(fm_chunk_add(chunk, &rec, NULL, 0, NULL), FM_OK);
    }
    return chunk;
}

/* Whatever is read well is what was put at that place. @return how many are */
static size_t true_records(const struct fm_chunk *back)
{
    size_t at = 0, good = 0, bad = 0;
    struct fm_record rec;
    enum fm_code code;
    while ((code = fm_chunk_next(back, &at, &rec, NULL)) != FM_ENOTFOUND) {
        int i = (int)(good + bad);
        bad += code != FM_OK;
        if (code != FM_OK)
            continue;
        int n = atoi(rec.value + 5);
        cr_assert_eq(n, i % 4 == 0 ? 0 : i, "%d at place %d", n, i);
        good++;
    }
    return good;
}

Test(pack, makes_a_chunk_small_and_gives_the_same_back)
{
    struct fm_chunk *chunk = alike(), *plain = alike();
    fm_chunk_pack(chunk);
    cr_assert_lt(fm_chunk_stored_bytes(chunk), fm_chunk_bytes(chunk) / 3);
    cr_assert_eq(fm_chunk_bytes(chunk), fm_chunk_bytes(plain));
    struct fm_chunk *back = reloaded(chunk);
    cr_assert_eq(true_records(back), ALIKE);
    fm_chunk_forget_packed(chunk);
    same_bytes(chunk, plain);
    same_bytes(back, plain);
    fm_chunk_pack(chunk);
    struct fm_record more = text_record(NULL, "{\"n\":4444}", 1);
    cr_assert_eq(fm_chunk_add(chunk, &more, NULL, 0, NULL), FM_OK);
    struct fm_chunk *longer = reloaded(chunk);
    cr_assert_eq(fm_chunk_count(longer), ALIKE + 1, "what is added later is stored, too");
    fm_chunk_free(chunk);
    fm_chunk_free(plain);
    fm_chunk_free(back);
    fm_chunk_free(longer);
}

Test(pack, leaves_alone_what_is_small_or_does_not_get_smaller)
{
    struct fm_chunk *small = three(), *noise = NULL;
    fm_chunk_pack(small);
    cr_assert_eq(fm_chunk_stored_bytes(small), fm_chunk_bytes(small));
    cr_assert_eq(fm_chunk_new(&noise, "jmx", NULL), FM_OK);
    static char value[8192];
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (char)(unsigned char)((x = x * 1664525 + 1013904223) >> 24);
    struct fm_record rec = text_record("k", "", FM_NO_ID);
    rec.value = value;
    rec.value_len = sizeof value;
    cr_assert_eq(fm_chunk_add(noise, &rec, NULL, 0, NULL), FM_OK);
    fm_chunk_pack(noise);
    cr_assert_eq(fm_chunk_stored_bytes(noise), fm_chunk_bytes(noise));
    struct fm_chunk *back = reloaded(noise);
    same_bytes(back, noise);
    fm_chunk_free(small);
    fm_chunk_free(noise);
    fm_chunk_free(back);
}

Test(pack, never_gives_a_record_in_anothers_place_whatever_is_flipped_or_cut)
{
    struct fm_chunk *chunk = alike();
    fm_chunk_pack(chunk);
    size_t len = fm_chunk_stored_bytes(chunk), best = 0;
    for (size_t i = 0; i < len * 8 + len; i++) {
        unsigned char *data = bytes_of(chunk);
        size_t n = i < len * 8 ? len : i - len * 8;
        if (i < len * 8)
            data[i / 8] ^= (unsigned char)(1u << (i % 8));
        struct fm_chunk *back = NULL;
        if (fm_chunk_load(&back, data, n, NULL) == FM_OK) {
            size_t good = true_records(back);
            best = good > best && n == len ? good : best;
            cr_assert(n == len || good < ALIKE);
        }
        fm_chunk_free(back);
        free(data);
    }
    cr_assert_gt(best, ALIKE / 2, "what lies before the damage is read");
    fm_chunk_free(chunk);
}

/* A copy of its stored form as builds before FMC2 wrote it: checksums begun with 0. */
static unsigned char *old_form(struct fm_chunk *chunk)
{
    enum { FIRST = 13 }; /* behind the head, with a topic of three letters */
    unsigned char *data = bytes_of(chunk);
    size_t at = FIRST;
    data[3] = '1';
    while (at < fm_chunk_bytes(chunk)) {
        uint32_t n = data[at] | (uint32_t)data[at + 1] << 8;
        uint32_t crc = fm_crc32c(0, data + at + 8, n - 4);
        for (size_t i = 0; i < 4; i++)
            data[at + 4 + i] = (unsigned char)(crc >> (8 * i));
        at += 4 + n;
    }
    return data;
}

Test(pack, reads_the_form_before)
{
    struct fm_chunk *chunk = three(), *back = NULL;
    unsigned char *data = old_form(chunk);
    cr_assert_eq(fm_chunk_load(&back, data, fm_chunk_bytes(chunk), NULL), FM_OK);
    size_t good, bad;
    walk(back, &good, &bad);
    cr_assert_eq(good, 3);
    cr_assert_eq(bad, 0);
    struct fm_record more = text_record(NULL, "{\"n\":4444}", 1);
    cr_assert_eq(fm_chunk_add(back, &more, NULL, 0, NULL), FM_OK);
    struct fm_chunk *both = reloaded(back);
    walk(both, &good, &bad);
    cr_assert_eq(good, 4, "and goes on in it");
    free(data);
    fm_chunk_free(chunk);
    fm_chunk_free(back);
    fm_chunk_free(both);
}

/* Packed, a hit byte may repeat one of its records in the place of another, unseen. */
Test(pack, leaves_the_form_before_as_it_is)
{
    struct fm_chunk *chunk = alike(), *back = NULL;
    unsigned char *data = old_form(chunk);
    cr_assert_eq(fm_chunk_load(&back, data, fm_chunk_bytes(chunk), NULL), FM_OK);
    fm_chunk_pack(back);
    cr_assert_eq(fm_chunk_stored_bytes(back), fm_chunk_bytes(back));
    struct fm_chunk *again = reloaded(back);
    cr_assert_eq(true_records(again), ALIKE);
    free(data);
    fm_chunk_free(chunk);
    fm_chunk_free(back);
    fm_chunk_free(again);
}

Test(frame, puts_stream_and_seq_into_their_place)
{
    struct fm_buf buf;
    fm_buf_init(&buf, 0);
    const char *value = "{\"v\":1,\"agent\":\"x\",\"timestamp\":5}";
    struct fm_record rec = text_record("k", value, 19);
    fm_record_value(&buf, &rec, "3f9c2a71d04be811", 4711);
    cr_assert_str_eq(fm_buf_str(&buf), "{\"v\":1,\"agent\":\"x\",\"stream\":\"3f9c2a71d04be811\","
                                       "\"seq\":4711,\"timestamp\":5}");
    cr_assert_eq(buf.len, fm_record_value_len(&rec, "3f9c2a71d04be811", 4711));
    fm_buf_reset(&buf);
    fm_record_value(&buf, &rec, "", 0);
    cr_assert_eq(buf.len, fm_record_value_len(&rec, "", 0));
    fm_buf_reset(&buf);
    rec.id_at = FM_NO_ID;
    fm_record_value(&buf, &rec, "3f9c2a71d04be811", 4711);
    cr_assert_str_eq(fm_buf_str(&buf), value);
    fm_buf_clear(&buf);
}

Test(frame, counts_the_digits_of_every_size_of_seq)
{
    struct fm_record rec = text_record("k", "{}", 1);
    uint64_t seq = 1;
    for (int i = 0; i < 20; i++, seq *= 10) {
        const uint64_t around[] = {seq - 1, seq, UINT64_MAX};
        for (size_t k = 0; k < 3; k++) {
            struct fm_buf buf;
            fm_buf_init(&buf, 0);
            fm_record_value(&buf, &rec, "0123456789abcdef", around[k]);
            char wanted[80];
            (void)snprintf(wanted, sizeof wanted, "{\"stream\":\"0123456789abcdef\",\"seq\":%llu,}",
                           (unsigned long long)around[k]);
            cr_assert_str_eq(fm_buf_str(&buf), wanted);
            cr_assert_eq(buf.len, fm_record_value_len(&rec, "0123456789abcdef", around[k]));
            cr_assert_leq(buf.len, rec.value_len + FM_ID_BYTES);
            fm_buf_clear(&buf);
        }
    }
}

Test(crc32c, agrees_with_the_vectors_of_rfc_3720)
{
    unsigned char b[32] = {0};
    cr_assert_eq(fm_crc32c(0, b, 32), 0x8a9136aau);
    cr_assert_eq(fm_crc32c_table(0, b, 32), 0x8a9136aau);
    memset(b, 0xff, 32);
    cr_assert_eq(fm_crc32c(0, b, 32), 0x62a8ab43u);
    for (unsigned i = 0; i < 32; i++)
        b[i] = (unsigned char)i;
    cr_assert_eq(fm_crc32c(0, b, 32), 0x46dd794eu);
    cr_assert_eq(fm_crc32c(0, "123456789", 9), 0xe3069283u);
}

Test(crc32c, is_the_same_by_table_and_by_instruction_and_in_pieces)
{
    unsigned char b[301];
    for (size_t i = 0; i < sizeof b; i++)
        b[i] = (unsigned char)(i * 37 + 11);
    for (size_t len = 0; len < sizeof b; len++) {
        uint32_t whole = fm_crc32c(0, b + 1, len > 0 ? len - 1 : 0);
        cr_assert_eq(whole, fm_crc32c_table(0, b + 1, len > 0 ? len - 1 : 0));
        size_t half = len / 2;
        cr_assert_eq(fm_crc32c(fm_crc32c(0, b, half), b + half, len - half), fm_crc32c(0, b, len));
    }
}
