/* What differs between proxies, and what their answers to a consumer mean: rest-proxy.md section 5
 * and the recorded exchanges. */
#include <string.h>

#include "rest/consumer_priv.h"
#include "rest/rest_priv.h"

#define MIB ((size_t)1 << 20)

/* Answers carry base64: a third more than max_bytes, and the members around it. Strimzi counts the
 * encoded answer and throws away what was too much, so it is not limited; its Kafka client fetches
 * at most 50 MiB at once. */
static const struct fm_consume_dialect confluent = {
    .settings = "\"auto.offset.reset\":\"earliest\",\"auto.commit.enable\":\"false\"",
    .assign = true,
    .max_bytes = 4 * MIB,
    .most_bytes = 64 * MIB,
    .max_answer = 128 * MIB};
static const struct fm_consume_dialect strimzi = {
    .settings = "\"auto.offset.reset\":\"earliest\",\"enable.auto.commit\":false",
    .assign = true,
    .max_answer = 128 * MIB};
static const struct fm_consume_dialect redpanda = {
    .settings = "\"auto.offset.reset\":\"earliest\",\"auto.commit.enable\":\"false\"",
    .assign = false,
    .max_bytes = 4 * MIB,
    .most_bytes = 64 * MIB,
    .max_answer = 128 * MIB};

const struct fm_consume_dialect *fm_consume_dialect(enum fm_rest_dialect dialect)
{
    switch (dialect) {
    case FM_DIALECT_STRIMZI:
        return &strimzi;
    case FM_DIALECT_REDPANDA:
        return &redpanda;
    case FM_DIALECT_CONFLUENT_V2:
    case FM_DIALECT_CONFLUENT_V3:
    case FM_DIALECT_CONFLUENT_V3_BATCH:
    case FM_DIALECT_KARAPACE:
        break;
    }
    return &confluent;
}

enum {
    ON_INSTANCE = FM_CONSUME_PLACE | FM_CONSUME_READ | FM_CONSUME_DELETE,
    ON_TOPIC = FM_CONSUME_TOPIC | FM_CONSUME_ENDS
};

static const struct fm_consume_row rows[] = {
    {.status = -2, .cls = FM_CONSUME_OK, .what = "done"},
    {FM_CONSUME_CREATE, 409, .cls = FM_CONSUME_TAKEN, .what = "the instance's name is taken"},
    {ON_INSTANCE, 404, .cls = FM_CONSUME_GONE, .what = "the consumer instance is gone",
     .remedy = "several proxies behind one address need sticky sessions: set [rest] consumer_url "
               "to one of them"},
    /* Karapace 5.0.3, live: its Kafka client takes positions only once it fetches. */
    {FM_CONSUME_PLACE, 409, .text = "is unassigned", .cls = FM_CONSUME_SOON,
     .what = "the proxy has not yet taken over the partitions"},
    {ON_INSTANCE, 409, .cls = FM_CONSUME_GONE, .what = "the consumer instance is in another state"},
    {ON_TOPIC, 404, 40401, .cls = FM_CONSUME_NO_TOPIC, .what = "the topic does not exist"},
    {ON_TOPIC, 404, 40402, .cls = FM_CONSUME_NO_TOPIC, .what = "a partition does not exist"},
    {ON_TOPIC, 404, 40403, .cls = FM_CONSUME_NO_TOPIC, .what = "the topic does not exist"},
    {ON_TOPIC, 404, .text = "UnknownTopicOrPartition", .cls = FM_CONSUME_NO_TOPIC,
     .what = "the topic does not exist"},
    {ON_TOPIC | FM_CONSUME_CREATE, 404, .cls = FM_CONSUME_NO_API},
    {ON_TOPIC | FM_CONSUME_CREATE, 405, .cls = FM_CONSUME_NO_API},
    {ON_TOPIC | FM_CONSUME_CREATE, 501, .cls = FM_CONSUME_NO_API},
    {.status = 401,
     .cls = FM_CONSUME_DENIED,
     .what = "the proxy refuses the credentials",
     .remedy = "check [rest] auth, username, password or token"},
    {.status = 403,
     .cls = FM_CONSUME_DENIED,
     .what = "the proxy or a gateway forbids to read",
     .remedy = "grant this user READ on the topic and the group (--group names another)"},
    {FM_CONSUME_READ, 422, .text = "exceeds the maximum number of bytes", .cls = FM_CONSUME_AGAIN,
     .what = "the records are larger than the proxy may answer",
     .remedy = "raise its limit for consumers"},
    {FM_CONSUME_READ, 408, 40801, .cls = FM_CONSUME_REFUSED,
     .what = "the proxy cannot read a record"},
    {.status = 408, .cls = FM_CONSUME_AGAIN, .what = "the proxy waited too long"},
    {.status = 429, .cls = FM_CONSUME_AGAIN, .what = "the proxy limits the rate"},
    {.code = 40301,
     .cls = FM_CONSUME_DENIED,
     .what = "Kafka forbids the proxy to read",
     .remedy = "grant its user READ on the topic and the group"},
    {.status = -5,
     .cls = FM_CONSUME_AGAIN,
     .what = "the proxy failed or cannot reach Kafka",
     .remedy = "see the proxy's log"},
    {.cls = FM_CONSUME_REFUSED,
     .what = "the proxy refuses the request",
     .remedy = "check [rest] dialect and consumer_url"},
};

static bool matches(const struct fm_consume_row *row, enum fm_consume_step step, long status,
                    const struct fm_answer *answer)
{
    bool same = row->status == 0 || row->status == status ||
                (row->status < 0 && status / 100 == -row->status);
    return same && (row->steps == 0 || (row->steps & step) != 0) &&
           (row->code == 0 || (answer->has_code && answer->code == row->code)) &&
           (row->text == NULL || (answer->text_len > 0 && memmem(answer->text, answer->text_len,
                                                                 row->text, strlen(row->text))));
}

/* An error's body is an object with a code and a message, or whatever stands in front said. */
static struct fm_answer read_error(const struct fm_http_answer *http)
{
    struct fm_answer answer;
    if (fm_answer_read(&answer, FM_DIALECT_CONFLUENT_V2, http->status, http->body, http->body_len,
                       NULL, NULL) != FM_OK)
        return (struct fm_answer){.text = ""};
    struct fm_answer seen = answer; /* code and text lie in the body */
    fm_answer_clear(&answer);
    return seen;
}

const struct fm_consume_row *fm_consume_judge(enum fm_consume_step step,
                                              const struct fm_http_answer *http)
{
    const struct fm_consume_row *last = &rows[sizeof rows / sizeof *rows - 1];
    struct fm_answer answer = {.text = ""};
    if (http->status < 200 || http->status > 299)
        answer = read_error(http);
    for (const struct fm_consume_row *row = rows; row < last; row++)
        if (matches(row, step, http->status, &answer))
            return row;
    return last;
}

void fm_consume_text(const struct fm_http_answer *http, char *out, size_t size)
{
    const struct fm_answer answer = read_error(http);
    const struct fm_verdict verdict = {.code = answer.has_code ? answer.code : FM_CODE_NONE,
                                       .text = answer.text,
                                       .text_len = answer.text_len};
    fm_verdict_text(&verdict, http->status, out, size);
}
