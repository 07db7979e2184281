/* One row for each cell of the decision tables (reference rest-proxy.md 7.2 to 7.5, 4.4). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vectors.h"

#define C2 FM_DIALECT_CONFLUENT_V2
#define C3 FM_DIALECT_CONFLUENT_V3
#define KP FM_DIALECT_KARAPACE
#define SB FM_DIALECT_STRIMZI
#define RP FM_DIALECT_REDPANDA
#define BA FM_DIALECT_CONFLUENT_V3_BATCH
enum { NONE = FM_CODE_NONE };

struct cell {
    enum fm_rest_dialect dialect;
    int status, code;
    const char *text, *want; /* class[+P]/row */
};

static void name_of(const struct fm_row *row, char *out, size_t size)
{
    snprintf(out, size, "%s%s/%s", fm_class_name(row->cls), row->flags & FM_V_P ? "+P" : "",
             row->name);
}

static const struct cell statuses[] = {
    {C2, 400, 400, "Idle timeout expired: 30001/30000 ms", "RETRY/400-idle"},
    {C2, 400, 400, "Early EOF", "RETRY/400-idle"},
    {KP, 400, NONE, "Invalid request JSON body", "ISOLATE+P/400-text"},
    {KP, 400, NONE, "Request body is not valid utf-8", "ISOLATE+P/400-text"},
    {C2, 400, NONE, "Invalid request JSON body", "ALERT/400-no-code"},
    {C2, 400, NONE, "Invalid SNI", "ALERT/400-sni"},
    {C2, 400, NONE, "No required SSL certificate was sent", "ALERT/400-certificate"},
    {C2, 400, NONE, "<html>Ambiguous URI empty segment</html>", "ALERT/400-no-code"},
    {KP, 400, NONE, "Got more than 8190 bytes", "ALERT/400-no-code"},
    {C2, 400, NONE, "", "ALERT/400-no-code"},
    {C2, 400, 40002, "x", "ALERT/400-40002"},
    {SB, 400, 400, "Validation error on: The format of the request body is not supported",
     "ALERT/400-format"},
    {C2, 400, 400, "Unexpected character", "ISOLATE+P/400-other"},
    {C2, 401, 401, "x", "AUTH/401"},
    {C2, 401, NONE, "<html>", "AUTH/401"},
    {C2, 403, 403, "x", "ALERT/403"},
    {C2, 403, NONE, "<html>", "ALERT/403"},
    {C2, 404, 40401, "x", "PROBE/404-topic"},
    {C2, 404, 40403, "x", "PROBE/404-topic"},
    {C2, 404, 40402, "x", "ALERT/404-partition"},
    {C2, 404, 404, "x", "ALERT/404-other"},
    {C2, 404, NONE, "404: Not Found", "ALERT/404-other"},
    {C3, 404, 404, "HTTP 404 Not Found", "ALERT/404-other"},
    {BA, 404, 404, "HTTP 404 Not Found", "ALERT/404-no-batch"},
    {BA, 404, NONE, "no Route matched with those values", "ALERT/404-no-batch"},
    {BA, 404, 40403, "x", "PROBE/404-topic"},
    {BA, 404, 40402, "x", "ALERT/404-partition"},
    {BA, 405, 405, "", "ALERT/405-no-batch"},
    {C3, 405, 405, "", "ALERT/405"},
    {C2, 405, 405, "", "ALERT/405"},
    {C2, 406, 406, "", "ALERT/406"},
    {C2, 409, 40902, "", "ALERT/409"},
    {C2, 411, NONE, "", "ALERT/411"},
    {C2, 414, NONE, "", "ALERT/414"},
    {C2, 415, 415, "", "ALERT/415"},
    {C2, 421, NONE, "", "ALERT/421"},
    {C2, 426, NONE, "", "ALERT/426"},
    {C2, 431, NONE, "<html>", "ALERT/431"},
    {C2, 501, NONE, "", "ALERT/501"},
    {C2, 505, NONE, "", "ALERT/505"},
    {C2, 408, 40801, "", "ISOLATE+P/408-serialization"},
    {C2, 408, NONE, "", "RETRY/408-other"},
    {C2, 413, NONE, "<html>", "ISOLATE+P/413"},
    {C2, 417, NONE, "", "ALERT/417"},
    {C2, 422, 42207, "refused", "RETRY/422-42207"},
    {C2, 422, 42207, "Schema being registered is incompatible with an earlier schema",
     "ALERT/422-incompatible"},
    {C2, 422, 42207, "...; error code: 409", "ALERT/422-incompatible"},
    {C2, 422, 42207, "Schema 9999 not found; error code: 40403", "RETRY/422-unknown-id"},
    {KP, 408, 40801, "Error when registering schema. format = AVRO, subject = t-value",
     "RETRY/408-registry"},
    {KP, 408, 40801, "x", "ISOLATE+P/408-serialization"},
    {KP, 422, 42207, "refused", "RETRY/422-42207"},
    {C2, 422, 42201, "", "ALERT/422-schema"},
    {C2, 422, 42202, "", "ALERT/422-schema"},
    {C2, 422, 42205, "", "ALERT/422-schema"},
    {C2, 422, 42206, "", "ALERT/422-schema"},
    {KP, 422, 42205, "", "ISOLATE+P/422-42205-karapace"},
    {BA, 422, 42208, "Too many entries in batch.", "ALERT/422-entries"},
    {BA, 422, 42208, "Batch entry IDs are not distinct.", "ISOLATE+P/422-other"},
    {C3, 422, 42208, "Too many entries in batch.", "ISOLATE+P/422-other"},
    {C2, 422, 422, "Unrecognized field: x", "ISOLATE+P/422-other"},
    {C2, 422, NONE, "", "ISOLATE+P/422-other"},
    {C2, 429, 42901, "", "RETRY/429"},
    {C2, 429, NONE, "<html>", "RETRY/429"},
    {C2, 500, 50003, "", "PROBE/500-50003"},
    {C2, 500, 500, "", "RETRY/500-other"},
    {C2, 500, 50002, "", "RETRY/500-other"},
    {C2, 502, NONE, "", "RETRY/502"},
    {C2, 503, 50302, "", "RETRY/503"},
    {C2, 504, NONE, "", "RETRY/504"},
    {C2, 418, NONE, "", "ALERT/4xx"},
    {C2, 511, NONE, "", "RETRY/5xx"},
    {C2, 301, NONE, "", "ALERT/redirect"},
    {C2, 308, NONE, "", "ALERT/redirect"},
};

Test(table, a_status_and_code_have_their_class)
{
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        const struct cell *c = &statuses[i];
        char got[100];
        name_of(fm_table_status(c->dialect, c->status, false, c->code != NONE,
                                c->code != NONE ? c->code : 0, c->text, strlen(c->text)),
                got, sizeof got);
        cr_assert_str_eq(got, c->want, "%d/%d %s: %s, not %s", c->status, c->code, c->text, got,
                         c->want);
    }
    cr_assert_str_eq(fm_table_status(C2, 400, true, true, 400, "x", 1)->name, "400-gzip");
}

static const struct cell records[] = {
    {C2, 0, 40101, "x", "ALERT/kafka-rights"},
    {C3, 0, 40301, "x", "ALERT/kafka-rights"},
    {BA, 0, 40301, "x", "ALERT/kafka-rights"},
    {BA, 0, 40401, "x", "PROBE/no-metadata-v3"},
    {BA, 0, 413, "x", "ISOLATE+P/size-code"},
    {BA, 0, 400, "else", "ISOLATE+P/v3-400"},
    {BA, 0, 429, "x", "RETRY/v3-429"},
    {BA, 0, 7777, "x", "RETRY/unknown-code"},
    {KP, 0, 1, "Topic authorization failed.", "ALERT/kafka-rights-karapace"},
    {KP, 0, 2, "Authentication failed", "ALERT/kafka-rights-karapace"},
    {SB, 0, 500, "Not authorized to access topics: [t]", "ALERT/kafka-rights-strimzi"},
    {C2, 0, 50002, "Not authorized says the record", "ISOLATE+P/50002"},
    {C2, 0, 50002, "it was part of a batch which had one more", "ISOLATE/collateral"},
    {SB, 0, 500, "it was part of a batch which had one more", "ISOLATE/collateral"},
    {C2, 0, 50003, "Partition 9 of topic t with partition count 3 is not present in metadata",
     "PROBE/no-partition"},
    {KP, 0, 2, "This request is for a topic or partition that does not exist on this broker.",
     "PROBE/no-partition"},
    {C3, 0, 40402, "Partition not found.", "PROBE/no-partition-code"},
    {C2, 0, 50003, "Topic t not present in metadata after 60000 ms.", "PROBE/no-metadata"},
    {SB, 0, 404, "Topic t not present in metadata after 60000 ms.", "PROBE/no-metadata"},
    {C3, 0, 40401, "else", "PROBE/no-metadata-v3"},
    {C3, 0, 40403, "else", "PROBE/no-metadata-v3"},
    {SB, 0, 404, "else", "PROBE/no-metadata-strimzi"},
    {C2, 0, 50003, "Expiring 3 record(s) for t-0:120002 ms", "PROBE/expiring"},
    {SB, 0, 500, "Expiring 3 record(s) for t-0:120002 ms", "PROBE/expiring"},
    {C3, 0, 413, "x", "ISOLATE+P/size-code"},
    {C2, 0, 50002, "a message larger than the max message size", "ISOLATE+P/size"},
    {KP, 0, 1, "a message larger than this maximum.", "ISOLATE+P/size"},
    {SB, 0, 500, "which is larger than 1048576", "ISOLATE+P/size"},
    {C3, 0, 400, "Produce request size is larger than allowed threshold", "ISOLATE+P/threshold"},
    {C2, 0, 50002, "Invalid topics: [a b]", "ALERT/invalid-topic"},
    {SB, 0, 500, "Invalid topics: [a b]", "ALERT/invalid-topic"},
    {C2, 0, 50002, "Compacted topic cannot accept message without key", "ISOLATE+P/compacted"},
    {C3, 0, 50002, "Timestamp 1 of message with offset 0 is out of range.",
     "ISOLATE+P/out-of-range"},
    {C2, 0, 50003, "else", "RETRY/50003"},
    {C3, 0, 50003, "else", "RETRY/50003"},
    {C2, 0, 2, "else", "RETRY/50003"},
    {C2, 0, 50002, "java.lang.InterruptedException", "RETRY/50002-interrupted"},
    {C2, 0, 50002, "else", "ISOLATE+P/50002"},
    {C2, 0, 1, "else", "ISOLATE+P/50002"},
    {C3, 0, 400, "Idle timeout expired", "RETRY/v3-idle"},
    {C3, 0, 408, "x", "RETRY/v3-busy"},
    {C3, 0, 503, "x", "RETRY/v3-busy"},
    {C3, 0, 50302, "x", "RETRY/v3-busy"},
    {C3, 0, 400, "((CTRL-CHAR, code 31))", "RETRY/v3-gzip"},
    {C3, 0, 400, "else", "ISOLATE+P/v3-400"},
    {C3, 0, 422, "Error: 42207 : Error serializing message.", "RETRY/v3-422-42207"},
    {C3, 0, 422, "Error: 42207 : the schema is incompatible", "ALERT/v3-incompatible"},
    {C3, 0, 422, "Error: 42206", "ISOLATE+P/v3-422"},
    {C3, 0, 429, "x", "RETRY/v3-429"},
    {C3, 0, 42901, "x", "RETRY/v3-429"},
    {C3, 0, 40002, "x", "ISOLATE/v3-40002"},
    {C3, 0, 500, "x", "RETRY/v3-500"},
    {KP, 0, 2, "else", "RETRY/karapace-2"},
    {KP, 0, 1, "An unexpected server error.", "PROBE/karapace-outage"},
    {KP, 0, 1, "timed out", "RETRY/karapace-busy"},
    {KP, 0, 1, "buffer full", "RETRY/karapace-busy"},
    {KP, 0, 1, "cancelled", "RETRY/karapace-busy"},
    {KP, 0, 1, "else", "ISOLATE+P/karapace-1"},
    {SB, 0, 500, "else", "RETRY/strimzi-500"},
    {C2, 0, 777, "else", "RETRY/unknown-code"},
    {KP, 0, 777, "else", "RETRY/unknown-code"},
    {SB, 0, NONE, "", "RETRY/unknown-code"},
    {RP, 0, 5, "", "RETRY/redpanda-passing"},
    {RP, 0, 6, "", "RETRY/redpanda-passing"},
    {RP, 0, 7, "", "RETRY/redpanda-timeout"},
    {RP, 0, 8, "", "RETRY/redpanda-passing"},
    {RP, 0, 9, "", "RETRY/redpanda-passing"},
    {RP, 0, 13, "", "RETRY/redpanda-timeout"},
    {RP, 0, 19, "", "RETRY/redpanda-passing"},
    {RP, 0, 20, "", "RETRY/redpanda-timeout"},
    {RP, 0, 56, "", "RETRY/redpanda-passing"},
    {RP, 0, 89, "", "RETRY/redpanda-passing"},
    {RP, 0, 3, "", "PROBE/redpanda-topic"},
    {RP, 0, 10, "", "ISOLATE+P/redpanda-size"},
    {RP, 0, 18, "", "ISOLATE+P/redpanda-size"},
    {RP, 0, 17, "", "ALERT/redpanda-rights"},
    {RP, 0, 29, "", "ALERT/redpanda-rights"},
    {RP, 0, 31, "", "ALERT/redpanda-rights"},
    {RP, 0, 58, "", "ALERT/redpanda-rights"},
    {RP, 0, 2, "", "ISOLATE+P/redpanda-refused"},
    {RP, 0, 87, "", "ISOLATE+P/redpanda-refused"},
    {RP, 0, -1, "", "RETRY/redpanda-other"},
    {RP, 0, 999, "", "RETRY/redpanda-other"},
};

Test(table, a_record_code_has_its_class)
{
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        const struct cell *c = &records[i];
        struct fm_report r = {.has_code = c->code != NONE,
                              .code = c->code != NONE ? c->code : 0,
                              .text = c->text,
                              .text_len = strlen(c->text)};
        char got[100];
        name_of(fm_table_record(c->dialect, &r), got, sizeof got);
        cr_assert_str_eq(got, c->want, "%d %s: %s, not %s", c->code, c->text, got, c->want);
    }
}

Test(table, each_row_is_met_by_a_test)
{
    for (unsigned table = 1; table <= 3; table++) {
        size_t n;
        const struct fm_row *rows = fm_table_rows(table, &n);
        for (size_t i = 0; i < n; i++) {
            bool met = false;
            for (size_t k = 0; k < sizeof statuses / sizeof *statuses; k++)
                met = met || strcmp(strchr(statuses[k].want, '/') + 1, rows[i].name) == 0;
            for (size_t k = 0; k < sizeof records / sizeof *records; k++)
                met = met || strcmp(strchr(records[k].want, '/') + 1, rows[i].name) == 0;
            cr_assert(met, "no test for row %s", rows[i].name);
        }
    }
}

Test(table, a_transport_failure_has_its_class)
{
    static const struct {
        enum fm_http_failure failure;
        bool fresh_first;
        const char *want;
        unsigned nth;
        enum fm_class then;
    } rows[] = {{FM_HTTP_RESOLVE, false, "RETRY/resolve", 0, FM_CLS_OK},
                {FM_HTTP_CONNECT, false, "RETRY/connect", 0, FM_CLS_OK},
                {FM_HTTP_PROXY_DENIED, false, "ALERT/proxy-denied", 0, FM_CLS_OK},
                {FM_HTTP_PROXY_FAILED, false, "RETRY/proxy-failed", 0, FM_CLS_OK},
                {FM_HTTP_TLS_VERIFY, false, "ALERT/tls-verify", 0, FM_CLS_OK},
                {FM_HTTP_TLS_FAILED, false, "RETRY/tls-failed", 3, FM_CLS_ALERT},
                {FM_HTTP_BROKEN, true, "RETRY/first-tls", 3, FM_CLS_ALERT},
                {FM_HTTP_BROKEN, false, "RETRY/broken", 2, FM_CLS_PROBE},
                {FM_HTTP_REUSED_DIED, false, "RETRY/reused-died", 0, FM_CLS_OK},
                {FM_HTTP_TIMEOUT, false, "PROBE/timeout", 0, FM_CLS_OK},
                {FM_HTTP_SLOW_UPLOAD, false, "RETRY/slow-upload", 0, FM_CLS_OK},
                {FM_HTTP_TOO_LARGE, false, "RETRY/too-large", 2, FM_CLS_PROBE},
                {FM_HTTP_CANCELLED, false, "RETRY/cancelled", 0, FM_CLS_OK},
                {FM_HTTP_INTERNAL, false, "RETRY/internal", 0, FM_CLS_OK}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct fm_http_answer http = {.failure = rows[i].failure};
        const struct fm_row *row = fm_table_transport(&http, rows[i].fresh_first);
        char got[100];
        name_of(row, got, sizeof got);
        cr_assert_str_eq(got, rows[i].want);
        cr_assert_eq(row->nth, rows[i].nth);
        cr_assert_eq(row->then, rows[i].then);
    }
}

/* ---- whole answers ---- */

static void judge_as(char *out, bool bearer, enum fm_rest_dialect d, size_t n, long status,
                     const char *body, struct fm_judgement *j)
{
    struct fm_http_answer http = {.failure = FM_HTTP_OK,
                                  .status = status,
                                  .body = body,
                                  .body_len = strlen(body),
                                  .body_sent = true};
    struct fm_sent sent = {.dialect = d, .n_records = n, .bearer = bearer};
    struct fm_verdict v[16];
    cr_assert_eq(fm_judge(j, v, &sent, &http, NULL), FM_OK);
    vector_words(v, n, out, 600);
}

static void judge(char *out, enum fm_rest_dialect d, size_t n, long status, const char *body,
                  struct fm_judgement *j)
{
    judge_as(out, false, d, n, status, body, j);
}

/* Rights that the proxy's user lacks, or that the token has lost which it hands on. */
Test(judge, takes_missing_rights_for_the_tokens_where_one_is_sent)
{
    static const struct {
        enum fm_rest_dialect d;
        long status;
        const char *body, *with, *without;
    } rows[] = {
#define OFFSETS(entry) "{\"offsets\":[{" entry "}]}"
        {C2, 200, OFFSETS("\"error_code\":40101,\"error\":\"x\""), "AUTH/kafka-rights",
         "ALERT/kafka-rights"},
        {C2, 200, OFFSETS("\"error_code\":40301,\"error\":\"x\""), "AUTH/kafka-rights",
         "ALERT/kafka-rights"},
        {C3, 200, "{\"error_code\":40301,\"message\":\"x\"}", "AUTH/kafka-rights",
         "ALERT/kafka-rights"},
        {BA, 207, "{\"failures\":[{\"id\":\"1\",\"error_code\":40301}]}", "AUTH/kafka-rights",
         "ALERT/kafka-rights"},
        {KP, 200, OFFSETS("\"error_code\":1,\"error\":\"Topic authorization failed\""),
         "AUTH/kafka-rights-karapace", "ALERT/kafka-rights-karapace"},
        {SB, 200, OFFSETS("\"error_code\":500,\"message\":\"Not authorized to access\""),
         "AUTH/kafka-rights-strimzi", "ALERT/kafka-rights-strimzi"},
        {C2, 200, OFFSETS("\"error_code\":7,\"error\":\"Invalid topics\""), "ALERT/invalid-topic",
         "ALERT/invalid-topic"},
        {RP, 200, OFFSETS("\"partition\":0,\"error_code\":29"), "ALERT/redpanda-rights",
         "ALERT/redpanda-rights"},
        {C2, 403, "{\"error_code\":40301,\"message\":\"x\"}", "ALERT/403", "ALERT/403"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char got[600];
        struct fm_judgement j;
        judge_as(got, true, rows[i].d, 1, rows[i].status, rows[i].body, &j);
        cr_expect_str_eq(got, rows[i].with, "%s: %s", rows[i].body, got);
        judge_as(got, false, rows[i].d, 1, rows[i].status, rows[i].body, &j);
        cr_expect_str_eq(got, rows[i].without, "%s: %s", rows[i].body, got);
    }
}

Test(judge, reads_each_shape_of_answer)
{
    static const struct {
        enum fm_rest_dialect d;
        size_t n;
        long status;
        const char *body, *want;
        size_t unknown;
    } rows[] = {
        {C2, 2, 200, "{\"offsets\":[{\"offset\":1},{\"offset\":2}]}", "OK OK", 0},
        {C2, 2, 200, "{\"offsets\":[{\"offset\":1}]}", "OK RETRY/unreported", 1},
        {C2, 1, 200, "{\"offsets\":[{\"offset\":1},{\"offset\":2}]}", "RETRY/too-many", 1},
        {C2, 1, 401, "{\"offsets\":[{\"offset\":1}]}", "OK", 0},
        /* the quick way: plain successes only */
        {C2, 2, 200,
         "{\"offsets\":[{\"partition\":0,\"offset\":1,\"error_code\":null,\"error\":null},"
         "{\"partition\":0,\"offset\":2,\"error_code\":null,\"error\":null}],\"key_schema_id\":"
         "null}",
         "OK OK", 0},
        {C2, 3, 200,
         "{\"offsets\":[{\"partition\":0,\"offset\":1},{\"partition\":0,\"offset\":2}]}",
         "OK OK RETRY/unreported", 1},
        {C2, 1, 200,
         "{\"offsets\":[{\"partition\":0,\"offset\":1},{\"partition\":0,\"offset\":2}]}",
         "RETRY/too-many", 1},
        {C2, 2, 200,
         "{\"offsets\":[{\"partition\":0,\"offset\":1},{\"partition\":0,\"offset\":-1}]}",
         "OK RETRY/unknown-code", 1},
        {C2, 1, 200, "{\"offsets\":[{\"partition\":0,\"offset\":1}", "RETRY/broken", 1},
        {C2, 3, 200,
         "{\"offsets\":[{\"partition\":0,\"offset\":1},{\"partition\":0,\"offset\":2}],"
         "\"offsets\":[{\"partition\":null,\"offset\":null,\"error_code\":2}]}",
         "OK OK RETRY/50003", 1},
        {C2, 1, 200, "{\"offsets\":[{\"offset\":-1}]}", "RETRY/unknown-code", 1},
        {KP, 1, 200, "{\"offsets\":[{\"offset\":-1,\"partition\":0}]}", "OK", 0},
        {C2, 1, 200, "{\"offsets\":[{\"offset\":1,\"error_code\":200}]}", "RETRY/unknown-code", 1},
        {C2, 2, 200, "{\"offsets\":[{\"offset\":1},{\"offset\":2}]", "RETRY/broken RETRY/broken",
         2},
        {C2, 1, 204, "", "RETRY/empty", 1},
        {C2, 1, 200, " \r\n", "RETRY/empty", 1},
        {C2, 1, 200, "<html>", "RETRY/portal", 1},
        {C2, 1, 200, "{\"message\":\"hello\"}", "RETRY/portal", 1},
        {C2, 1, 500, "{\"code\":50003}", "PROBE/500-50003", 1},
        {C2, 1, 500, "{\"status\":\"50003\"}", "RETRY/500-other", 1},
        {C3, 2, 200, "{\"error_code\":200,\"offset\":1}\r\n{\"offset\":2}", "OK OK", 0},
        {C3, 2, 200, "{\"error_code\":200,\"offset\":1}", "OK RETRY/unreported", 1},
        {C3, 2, 200, "{\"error_code\":200,\"offset\":1}{\"error_co", "OK RETRY/broken", 1},
        {C3, 1, 200, "{\"error_code\":400,\"message\":\"Unexpected x\"}", "ISOLATE+P/structural",
         0},
        {C3, 3, 200,
         "{\"offset\":1}{\"error_code\":400,\"message\":\"Unexpected end\"}{\"offset\":2}",
         "OK ISOLATE/structural ISOLATE/structural", 2},
        {C3, 2, 200, "{\"offset\":1}{\"error_code\":500,\"message\":\"x\"}{\"error_code\":500}",
         "OK ISOLATE/structural", 1},
        {C3, 2, 200, "{\"offset\":1}{\"offset\":2}{\"offset\":3}", "RETRY/too-many RETRY/too-many",
         2},
        {C3, 3, 207,
         "{\"successes\":[{\"id\":\"1\",\"offset\":5},{\"id\":\"3\",\"offset\":6}],"
         "\"failures\":[{\"id\":\"3\",\"error_code\":400,\"message\":\"x\"}]}",
         "OK RETRY/unreported RETRY/unreported", 2},
        {C3, 1, 207, "{\"successes\":[],\"failures\":[{\"id\":\"1\",\"error_code\":400}]}",
         "ISOLATE+P/v3-400", 0},
        /* D68: whatever the order; in both, twice, in none, unknown, without a name, two names */
        {BA, 3, 207,
         "{\"failures\":[{\"error_code\":40401,\"id\":\"2\"}],\"successes\":[{\"offset\":6,\"id\":"
         "\"3\"},{\"id\":\"1\",\"offset\":5}]}",
         "OK PROBE/no-metadata-v3 OK", 0},
        {BA, 2, 207,
         "{\"successes\":[{\"id\":\"1\",\"offset\":5},{\"id\":\"2\",\"offset\":6}],"
         "\"failures\":[{\"id\":\"2\",\"error_code\":400}]}",
         "OK RETRY/unreported", 1},
        {BA, 2, 207, "{\"successes\":[{\"id\":\"2\",\"offset\":5},{\"id\":\"2\",\"offset\":6}]}",
         "RETRY/unreported RETRY/unreported", 2},
        {BA, 2, 207,
         "{\"failures\":[{\"id\":\"1\",\"error_code\":400},{\"id\":\"1\",\"error_code\":400}]}",
         "RETRY/unreported RETRY/unreported", 2},
        {BA, 2, 207, "{\"successes\":[{\"id\":\"2\",\"offset\":5}],\"failures\":[]}",
         "RETRY/unreported OK", 1},
        {BA, 2, 207,
         "{\"successes\":[{\"id\":\"2\",\"offset\":5},{\"id\":\"3\",\"offset\":6},{\"id\":\"01\","
         "\"offset\":7},{\"id\":\"x\",\"offset\":8},{\"id\":\"\",\"offset\":9},{\"id\":1,"
         "\"offset\":10},{"
         "\"offset\":11},{\"id\":\"\\u0031\",\"offset\":12},{\"id\":\"18446744073709551617\","
         "\"offset\":"
         "13}]}",
         "RETRY/unreported OK", 1},
        {BA, 2, 207, "{\"successes\":[{\"id\":\"2\",\"id\":\"1\",\"offset\":5}]}",
         "RETRY/unreported RETRY/unreported", 2},
        {BA, 1, 207, "{\"successes\":[{\"id\":\"1\",\"offset\":null}]}", "RETRY/unknown-code", 1},
        {BA, 1, 207, "{\"successes\":[{\"id\":\"1\",\"offset\":4,\"error_code\":50002}]}",
         "ISOLATE+P/50002", 0},
        {BA, 1, 207, "{\"failures\":[{\"id\":\"1\",\"offset\":4}]}", "RETRY/unknown-code", 1},
        {BA, 1, 207, "{\"successes\":[{\"id\":\"1\",\"offset\":4}],\"failures\":[", "RETRY/broken",
         1},
        {C3, 2, 207, "{\"successes\":[{\"id\":\"1\",\"offset\":4},{\"id\":\"2",
         "RETRY/broken RETRY/broken", 2},
        {BA, 1, 207, "<html>", "RETRY/portal", 1},
        {BA, 1, 200, "{\"successes\":[{\"id\":\"1\",\"offset\":4}],\"failures\":[]}",
         "RETRY/portal", 1},
        {BA, 1, 200, "{\"error_code\":200,\"offset\":1}", "RETRY/portal", 1},
        {RP, 3, 200,
         "{\"offsets\":[{\"partition\":0,\"offset\":7},{\"partition\":1,\"offset\":9}]}",
         "OK OK OK", 0},
        {RP, 2, 200,
         "{\"offsets\":[{\"partition\":0,\"offset\":7},{\"partition\":1,\"error_code\":6,"
         "\"offset\":-1}]}",
         "RETRY/redpanda-passing RETRY/redpanda-passing", 2},
        {RP, 2, 200, "{\"offsets\":[]}", "RETRY/unreported RETRY/unreported", 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char got[600];
        struct fm_judgement j;
        judge(got, rows[i].d, rows[i].n, rows[i].status, rows[i].body, &j);
        cr_assert_str_eq(got, rows[i].want, "%s: %s, not %s", rows[i].body, got, rows[i].want);
        cr_assert_eq(j.unknown, rows[i].unknown, "%s: %zu unknown", rows[i].body, j.unknown);
    }
}

Test(judge, redpanda_entries_stand_for_the_records_of_their_partition)
{
    static const int32_t partitions[] = {0, 1, 0};
    const char *body = "{\"offsets\":[{\"partition\":1,\"error_code\":10,\"offset\":-1},"
                       "{\"partition\":0,\"offset\":7}]}";
    struct fm_http_answer http = {.failure = FM_HTTP_OK,
                                  .status = 200,
                                  .body = body,
                                  .body_len = strlen(body),
                                  .body_sent = true};
    struct fm_sent sent = {
        .dialect = RP, .n_records = 3, .all_partitions = true, .partitions = partitions};
    struct fm_verdict v[3];
    struct fm_judgement j;
    char got[600];
    cr_assert_eq(fm_judge(&j, v, &sent, &http, NULL), FM_OK);
    vector_words(v, 3, got, sizeof got);
    cr_assert_str_eq(got, "OK ISOLATE+P/redpanda-size OK");
}

/* 7.2 point 8 */
Test(judge, the_strongest_class_decides)
{
    char got[600];
    struct fm_judgement j;
    judge(
        got, C2, 4, 200,
        "{\"offsets\":[{\"error_code\":777,\"error\":\"x\"},{\"error_code\":50002,\"error\":\"y\"},"
        "{\"error_code\":50003,\"error\":\"Topic t not present in metadata\"},{\"offset\":1}]}",
        &j);
    cr_assert_eq(j.cls, FM_CLS_PROBE);
    cr_assert_eq(j.accepted, 1);
    cr_assert_str_eq(j.top.row->name, "no-metadata");
}

/* D20 */
Test(judge, obeys_retry_after_only_from_1_to_300)
{
    static const struct {
        const char *value;
        unsigned want;
    } rows[] = {{"1", 1},    {"300", 300}, {" 7 ", 7},        {"0", 0},
                {"-1", 0},   {"301", 0},   {"1000000000", 0}, {"99999999999999999999", 0},
                {"soon", 0}, {"1.5", 0},   {"", 0},           {"Wed, 21 Oct 2015 07:28:00 GMT", 0},
                {"5, 9", 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_assert_eq(fm_retry_after(rows[i].value), rows[i].want, "%s", rows[i].value);
    cr_assert_eq(fm_retry_after(NULL), 0);
}

/* D33 */
Test(judge, survives_hostile_answers)
{
    size_t n = 1 << 20;
    char *body = malloc(n + 1);
    struct fm_judgement j;
    char got[600];
    memset(body, '[', n);
    body[n] = '\0';
    judge(got, C2, 1, 200, body, &j);
    cr_assert_str_eq(got, "RETRY/portal");
    memcpy(body, "{\"offsets\":[", 12);
    for (size_t i = 12; i + 3 < n; i += 3)
        memcpy(body + i, "{},", 3);
    judge(got, C2, 1, 200, body, &j);
    cr_assert_neq(j.cls, FM_CLS_OK);
    cr_assert_eq(j.accepted, 0);
    free(body);
}

Test(judge, probe_reads_the_size_limit)
{
    static const char body[] = "{\"name\":\"t\",\"configs\":{\"a\":{\"max.message.bytes\":\"1\"},"
                               "\"max.message.bytes\":\"1048588\"},\"partitions\":[]}";
    cr_assert_eq(fm_probe_limit(body, sizeof body - 1), 1048588);
    cr_assert_eq(fm_probe_limit("{}", 2), 0);
    cr_assert_eq(fm_probe_limit("<html>", 6), 0);
    cr_assert(fm_probe_lists("[\"a\",\"t\"]", 9, "t"));
    cr_assert(!fm_probe_lists("[\"a\",\"tt\"]", 10, "t"));
}
