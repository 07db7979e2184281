#include <criterion/criterion.h>
#include <string.h>

#include "record/record.h"

#define ID "\"stream\":\"0123456789abcdef\",\"seq\":42,"

static void expect(struct fm_chunk *chunk, const char *want)
{
    struct fm_record rec;
    size_t at = 0;
    cr_assert_str_eq(fm_chunk_topic(chunk), "jmx");
    cr_assert_eq(fm_chunk_next(chunk, &at, &rec, NULL), FM_OK);
    cr_assert_eq(rec.kind, FM_RECORD_CONTROL);
    cr_assert_eq(rec.time_ms, 1000);
    cr_assert_eq(rec.partition, FM_NO_PARTITION);
    cr_assert_eq(rec.key_len, 2);
    cr_assert_eq(memcmp(rec.key, "a\"", 2), 0);
    struct fm_buf value;
    fm_buf_init(&value, 0);
    fm_record_value(&value, &rec, "0123456789abcdef", 42);
    cr_assert_str_eq(fm_buf_str(&value), want);
    cr_assert_eq(fm_chunk_next(chunk, &at, &rec, NULL), FM_ENOTFOUND);
    fm_buf_clear(&value);
    fm_chunk_free(chunk);
}

Test(control, start_names_its_predecessor_if_there_is_one)
{
    struct fm_chunk *chunk = NULL;
    struct fm_control_start what = {.version = "0.1.0"};
    cr_assert_eq(fm_record_start(&chunk, "a\"", "jmx", &what, 1000, NULL), FM_OK);
    expect(chunk, "{\"v\":1,\"agent\":\"a\\\"\"," ID
                  "\"timestamp\":1000,\"type\":\"start\",\"version\":\"0.1.0\"}");
    what = (struct fm_control_start){
        .version = "1", .has_prev = true, .prev_stream = "aa", .prev_last_seq = 22};
    cr_assert_eq(fm_record_start(&chunk, "a\"", "jmx", &what, 1000, NULL), FM_OK);
    expect(chunk, "{\"v\":1,\"agent\":\"a\\\"\"," ID "\"timestamp\":1000,\"type\":\"start\","
                  "\"version\":\"1\",\"prev_stream\":\"aa\",\"prev_last_seq\":22}");
    what.prev_last_seq = -1;
    cr_assert_eq(fm_record_start(&chunk, "a\"", "jmx", &what, 1000, NULL), FM_OK);
    expect(chunk, "{\"v\":1,\"agent\":\"a\\\"\"," ID "\"timestamp\":1000,\"type\":\"start\","
                  "\"version\":\"1\",\"prev_stream\":\"aa\",\"prev_last_seq\":null}");
}

Test(control, gap_says_range_and_reason)
{
    struct fm_chunk *chunk = NULL;
    struct fm_control_gap what = {
        .from_seq = 13, .to_seq = 15, .count = 3, .reason = "full", .first_ms = 7, .last_ms = 9};
    cr_assert_eq(fm_record_gap(&chunk, "a\"", "jmx", &what, 1000, NULL), FM_OK);
    expect(chunk, "{\"v\":1,\"agent\":\"a\\\"\"," ID
                  "\"timestamp\":1000,\"type\":\"gap\",\"from_seq\":13,\"to_seq\":15,\"count\":3,"
                  "\"reason\":\"full\",\"first_timestamp\":7,\"last_timestamp\":9}");
    what = (struct fm_control_gap){
        .from_seq = -1, .to_seq = -1, .count = -1, .reason = "damage", .lost_stream = "bb"};
    cr_assert_eq(fm_record_gap(&chunk, "a\"", "jmx", &what, 1000, NULL), FM_OK);
    expect(chunk, "{\"v\":1,\"agent\":\"a\\\"\"," ID
                  "\"timestamp\":1000,\"type\":\"gap\",\"lost_stream\":\"bb\",\"from_seq\":null,"
                  "\"to_seq\":null,\"count\":null,\"reason\":\"damage\",\"first_timestamp\":null,"
                  "\"last_timestamp\":null}");
}

Test(control, target_tells_its_state_and_error)
{
    struct fm_chunk *chunk = NULL;
    cr_assert_eq(fm_record_target(&chunk, "a\"", "jmx", "orders", "web-1", "up", NULL, 1000, NULL),
                 FM_OK);
    expect(chunk, "{\"v\":1,\"agent\":\"a\\\"\"," ID
                  "\"timestamp\":1000,\"host\":\"web-1\",\"target\":\"orders\",\"type\":\"target\","
                  "\"state\":\"up\",\"error\":null}");
    cr_assert_eq(fm_record_target(&chunk, "a\"", "", "t", "h", "down", "x\n", 1000, NULL),
                 FM_ELIMIT, "no topic");
}
