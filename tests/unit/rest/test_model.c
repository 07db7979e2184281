/* D24: 100,000 random answers with a verdict for each record, against a second, plain reading of
 * the reference's section 7.5 that shares nothing with the tables. The seed is fixed; a failure
 * prints the answer. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "rest/answer_priv.h"

enum { ANSWERS = 100000, RECORDS = 8, ENTRIES = 10 };

static uint64_t state = 0x5eed5eed5eed5eedU;

static unsigned dice(unsigned sides)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 33) % sides;
}

struct entry {
    const char *code; /* as written; NULL: no member */
    const char *offset;
    const char *text;
};

static const char *const codes[] = {NULL,
                                    "null",
                                    "40101",
                                    "40301",
                                    "40401",
                                    "40402",
                                    "40403",
                                    "50002",
                                    "50003",
                                    "413",
                                    "422",
                                    "429",
                                    "42901",
                                    "40002",
                                    "400",
                                    "404",
                                    "408",
                                    "500",
                                    "503",
                                    "50302",
                                    "1",
                                    "2",
                                    "0",
                                    "200",
                                    "-7",
                                    "77777",
                                    "\"50003\"",
                                    "5e4",
                                    "true",
                                    "[1]",
                                    "99999999999999999999"};
static const char *const offsets[] = {
    "0", "17", "9007199254740993", "-1", "-2", NULL, "null", "\"4\"", "1.5", "{}", "true"};
static const char *const texts[] = {
    "",
    "Not authorized to access topics: [t]",
    "SASL authentication failed",
    "Failed to append record because it was part of a batch which had one more more invalid "
    "records",
    "Partition 9 of topic t with partition count 3 is not present in metadata after 60000 ms.",
    "This server does not host this topic-partition: it does not exist on this broker.",
    "Topic t not present in metadata after 60000 ms.",
    "Expiring 3 record(s) for t-0:120002 ms has passed since batch creation.",
    "The request included a message larger than the max message size the server will accept.",
    "Invalid topics: [a b]",
    "Compacted topic cannot accept message without key in topic partition t-0",
    "Timestamp 5 of message with offset 0 is out of range.",
    "java.lang.InterruptedException",
    "Idle timeout expired: 30001/30000 ms",
    "Illegal character ((CTRL-CHAR, code 31))",
    "Error: 42207 : Error serializing message.",
    "Schema being registered is incompatible; error code: 409",
    "An unexpected server error.",
    "Local: Message timed out",
    "Local: Queue buffer full",
    "the future was cancelled",
    "Unexpected end-of-input: was expecting a value",
    "Error processing message: Unexpected character",
    "something that nobody has seen"};

static bool has(const char *text, const char *what)
{
    return strstr(text, what) != NULL;
}

/* ---- the model ---- */

static bool plain_int(const char *text, long long *out)
{
    size_t digits = strspn(text, "-0123456789");
    return text[digits] == '\0' && digits < 19 && sscanf(text, "%lld", out) == 1;
}

static bool succeeded(enum fm_rest_dialect d, const struct entry *e)
{
    long long offset, code;
    bool said = e->code != NULL && strcmp(e->code, "null") != 0;
    if (said && !(d == FM_DIALECT_CONFLUENT_V3 && plain_int(e->code, &code) && code == 200))
        return false;
    if (e->offset == NULL || !plain_int(e->offset, &offset))
        return false;
    return offset >= 0 || (offset == -1 && d == FM_DIALECT_KARAPACE);
}

static enum fm_class by_text(const char *t)
{
    if (has(t, "part of a batch"))
        return FM_CLS_ISOLATE;
    if (has(t, "Partition 9 of topic") || has(t, "does not exist on this broker") ||
        has(t, "not present in metadata") || has(t, "Expiring "))
        return FM_CLS_PROBE;
    if (has(t, "larger than"))
        return FM_CLS_ISOLATE;
    if (has(t, "Invalid topics"))
        return FM_CLS_ALERT;
    if (has(t, "Compacted topic") || has(t, "out of range"))
        return FM_CLS_ISOLATE;
    return FM_CLS_OK; /* says nothing */
}

static enum fm_class v3_code(long long code, const char *t)
{
    switch (code) {
    case 400:
        return has(t, "Idle timeout") || has(t, "CTRL-CHAR, code 31") ? FM_CLS_RETRY
                                                                      : FM_CLS_ISOLATE;
    case 422:
        return has(t, "incompatible") ? FM_CLS_ALERT
               : has(t, "42207")      ? FM_CLS_RETRY
                                      : FM_CLS_ISOLATE;
    case 40002:
        return FM_CLS_ISOLATE;
    default:
        return FM_CLS_RETRY;
    }
}

static enum fm_class expected(enum fm_rest_dialect d, const struct entry *e)
{
    bool confluent = d == FM_DIALECT_CONFLUENT_V2 || d == FM_DIALECT_CONFLUENT_V3;
    long long code = -1000000;
    const char *t = e->text;
    if (succeeded(d, e))
        return FM_CLS_OK;
    if (e->code == NULL || !plain_int(e->code, &code))
        code = -1000000;
    if (code == 40101 || code == 40301)
        return FM_CLS_ALERT;
    bool rights = has(t, "uthoriz") || has(t, "uthentic");
    if (rights && ((d == FM_DIALECT_KARAPACE && (code == 1 || code == 2)) ||
                   (d == FM_DIALECT_STRIMZI && code == 500)))
        return FM_CLS_ALERT;
    if (has(t, "part of a batch"))
        return FM_CLS_ISOLATE;
    if (code == 40402 || (d == FM_DIALECT_STRIMZI && code == 404 && by_text(t) != FM_CLS_PROBE) ||
        (d == FM_DIALECT_CONFLUENT_V3 && (code == 40401 || code == 40403)))
        return FM_CLS_PROBE;
    if (by_text(t) == FM_CLS_PROBE)
        return FM_CLS_PROBE;
    if (code == 413)
        return FM_CLS_ISOLATE;
    if (by_text(t) != FM_CLS_OK)
        return by_text(t);
    if (confluent && code == 50002)
        return has(t, "InterruptedException") ? FM_CLS_RETRY : FM_CLS_ISOLATE;
    if (d == FM_DIALECT_CONFLUENT_V2 && code == 1)
        return has(t, "InterruptedException") ? FM_CLS_RETRY : FM_CLS_ISOLATE;
    if (d == FM_DIALECT_CONFLUENT_V3)
        return v3_code(code, t);
    if (d == FM_DIALECT_KARAPACE && code == 1)
        return has(t, "An unexpected server error.") ? FM_CLS_PROBE
               : has(t, "timed out") || has(t, "buffer full") || has(t, "cancelled")
                   ? FM_CLS_RETRY
                   : FM_CLS_ISOLATE;
    return FM_CLS_RETRY;
}

static bool out_of_step(const struct entry *e)
{
    long long code;
    if (e->code == NULL || !plain_int(e->code, &code) || code != 400 ||
        has(e->text, "Idle timeout") || has(e->text, "CTRL-CHAR, code 31"))
        return false;
    return strncmp(e->text, "Unexpected ", 11) == 0 || has(e->text, "Error processing message");
}

static void model(enum fm_class *out, enum fm_rest_dialect d, size_t n, const struct entry *e,
                  size_t n_entries)
{
    bool v3 = d == FM_DIALECT_CONFLUENT_V3;
    size_t doubt = n_entries;
    for (size_t i = n_entries; v3 && i-- > 0;)
        if (out_of_step(&e[i]))
            doubt = i;
    for (size_t i = 0; v3 && doubt == n_entries && n_entries > n && i < n_entries; i++)
        if (!succeeded(d, &e[i]))
            doubt = i;
    for (size_t i = 0; i < n; i++)
        out[i] = n_entries > n && doubt == n_entries ? FM_CLS_RETRY
                 : doubt < n_entries && i >= doubt   ? FM_CLS_ISOLATE
                 : i < n_entries                     ? expected(d, &e[i])
                                                     : FM_CLS_RETRY;
}

/* ---- the answers ---- */

static void put_entry(struct fm_buf *b, const struct entry *e, bool v3)
{
    const char *comma = "";
    fm_buf_putc(b, '{');
    if (e->offset != NULL) {
        fm_buf_printf(b, "\"partition\":0,\"offset\":%s", e->offset);
        comma = ",";
    }
    if (e->code != NULL) {
        fm_buf_printf(b, "%s\"error_code\":%s", comma, e->code);
        comma = ",";
    }
    if (e->text[0] != '\0')
        fm_buf_printf(b, "%s\"%s\":\"%s\"", comma, v3 ? "message" : "error", e->text);
    fm_buf_putc(b, '}');
}

static struct entry random_entry(bool v3)
{
    struct entry e = {.text = ""};
    if (dice(3) == 0) { /* a plain success */
        e.code = v3 ? "200" : dice(2) ? "null" : NULL;
        e.offset = offsets[dice(3)];
        return e;
    }
    e.code = codes[dice(sizeof codes / sizeof *codes)];
    if (v3 && e.code != NULL && (strcmp(e.code, "1") == 0 || strcmp(e.code, "2") == 0))
        e.code = "50003"; /* those two are of old v2 servers alone */
    e.offset = offsets[dice(sizeof offsets / sizeof *offsets)];
    e.text = texts[dice(sizeof texts / sizeof *texts)];
    return e;
}

Test(model, a_plain_reading_of_the_reference_gives_the_same_verdicts)
{
    static const enum fm_rest_dialect dialects[] = {
        FM_DIALECT_CONFLUENT_V2, FM_DIALECT_CONFLUENT_V3, FM_DIALECT_KARAPACE, FM_DIALECT_STRIMZI};
    static const long statuses[] = {200, 200, 200, 401, 403, 422};
    size_t seen[6] = {0};
    struct fm_buf body;
    fm_buf_init(&body, 0);
    for (unsigned k = 0; k < ANSWERS; k++) {
        struct entry e[ENTRIES];
        struct fm_verdict got[RECORDS];
        enum fm_class want[RECORDS];
        enum fm_rest_dialect d = dialects[dice(4)];
        bool v3 = d == FM_DIALECT_CONFLUENT_V3;
        size_t n = 1 + dice(RECORDS), m = dice(10) > 0 ? n : dice(ENTRIES);
        fm_buf_reset(&body);
        fm_buf_puts(&body, v3 ? "" : "{\"offsets\":[");
        for (size_t i = 0; i < m; i++) {
            e[i] = random_entry(v3);
            fm_buf_puts(&body, i == 0 ? "" : v3 ? "\r\n" : ",");
            put_entry(&body, &e[i], v3);
        }
        fm_buf_puts(&body, v3 ? "" : "],\"key_schema_id\":null}");
        if (v3 && m == 0)
            continue; /* an empty body has no verdicts */
        const struct fm_sent sent = {.dialect = d, .n_records = n};
        const struct fm_http_answer http = {.status = v3 ? 200 : statuses[dice(6)],
                                            .body = fm_buf_str(&body),
                                            .body_len = body.len,
                                            .body_sent = true};
        struct fm_judgement j;
        cr_assert_eq(fm_judge(&j, got, &sent, &http, NULL), FM_OK);
        model(want, d, n, e, m);
        size_t accepted = 0;
        enum fm_class top = FM_CLS_OK;
        for (size_t i = 0; i < n; i++) {
            cr_assert_eq(got[i].cls, want[i],
                         "answer %u, dialect %d, record %zu of %zu: %s, not %s: %s", k, (int)d, i,
                         n, fm_class_name(got[i].cls), fm_class_name(want[i]), http.body);
            accepted += want[i] == FM_CLS_OK;
            top = want[i] > top ? want[i] : top;
            seen[want[i]]++;
        }
        cr_assert_eq(j.accepted, accepted, "%s", http.body);
        cr_assert_eq(j.cls, top, "%s", http.body);
    }
    fm_buf_clear(&body);
    for (size_t i = 0; i < 5; i++)
        cr_assert_gt(seen[i], 1000, "class %s hardly comes up", fm_class_name((enum fm_class)i));
}

/* records:batch: each verdict by its id, in either list, in any order; some go astray. */
Test(model, the_verdicts_of_a_batch_are_those_under_its_ids)
{
    size_t seen[6] = {0};
    struct fm_buf body;
    fm_buf_init(&body, 0);
    for (unsigned k = 0; k < ANSWERS / 4; k++) {
        struct entry e[ENTRIES];
        unsigned id[ENTRIES];
        bool good[ENTRIES];
        struct fm_verdict got[RECORDS];
        size_t n = 1 + dice(RECORDS), m = dice(10) > 0 ? n : dice(ENTRIES), first = dice(ENTRIES);
        for (size_t i = 0; i < m; i++) {
            e[i] = random_entry(true);
            good[i] = dice(8) > 0 ? succeeded(FM_DIALECT_CONFLUENT_V3, &e[i]) : dice(2) == 0;
            id[i] = dice(12) > 0 ? (unsigned)((i + first) % n) + 1 : dice(RECORDS + 2);
        }
        fm_buf_reset(&body);
        for (int list = 0; list < 2; list++) {
            const char *between = "";
            fm_buf_puts(&body, list == 0 ? "{\"successes\":[" : "],\"failures\":[");
            for (size_t i = 0; i < m; i++) {
                struct fm_buf one;
                if (good[i] != (list == 0))
                    continue;
                fm_buf_init(&one, 0);
                put_entry(&one, &e[i], true);
                const char *rest = fm_buf_str(&one) + 1;
                fm_buf_printf(&body, "%s{\"id\":\"%u\"%s%s", between, id[i],
                              rest[0] == '}' ? "" : ",", rest);
                between = ",";
                fm_buf_clear(&one);
            }
        }
        fm_buf_puts(&body, "]}");
        const struct fm_sent sent = {.dialect = FM_DIALECT_CONFLUENT_V3_BATCH, .n_records = n};
        const struct fm_http_answer http = {
            .status = 207, .body = fm_buf_str(&body), .body_len = body.len, .body_sent = true};
        struct fm_judgement j;
        cr_assert_eq(fm_judge(&j, got, &sent, &http, NULL), FM_OK);
        for (size_t r = 0; r < n; r++) {
            enum fm_class want = FM_CLS_RETRY;
            size_t hits = 0;
            for (size_t i = 0; i < m; i++)
                if (id[i] == r + 1 && hits++ == 0) {
                    want = expected(FM_DIALECT_CONFLUENT_V3, &e[i]);
                    if (want == FM_CLS_OK && !good[i]) /* no success; its text alone says more */
                        want = got[r].cls == FM_CLS_OK ? FM_CLS_RETRY : got[r].cls;
                }
            want = hits == 1 ? want : FM_CLS_RETRY;
            cr_assert_eq(got[r].cls, want, "answer %u, record %zu of %zu: %s, not %s: %s", k, r, n,
                         fm_class_name(got[r].cls), fm_class_name(want), http.body);
            seen[want]++;
        }
    }
    fm_buf_clear(&body);
    for (size_t i = 0; i < 5; i++)
        cr_assert_gt(seen[i], 300, "class %s hardly comes up", fm_class_name((enum fm_class)i));
}
