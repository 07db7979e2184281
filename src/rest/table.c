/* The decision tables of the producer: reference rest-proxy.md, sections 7.2 to 7.5 and 4.4. First
 * matching row wins; texts are substrings of the still escaped message. */
#include <stdlib.h>
#include <string.h>

#include "rest/answer_priv.h"

#define CODES(...)                                                                                 \
    (const int[])                                                                                  \
    {                                                                                              \
        __VA_ARGS__, 0                                                                             \
    }

enum { T_FIRST_TLS = 100 }; /* BROKEN on the first request of a fresh TLS connection */

/* 7.3; status holds the failure. */
static const struct fm_row transport_rows[] = {
    {"resolve", FM_D_ALL, FM_HTTP_RESOLVE, .cls = FM_CLS_RETRY, .flags = FM_V_ENDS | FM_V_OTHER,
     .hop = FM_REST_HOP_NAME, .what = "the host name of the REST proxy cannot be resolved",
     .remedy = "check [rest] url and this host's name service"},
    {"connect", FM_D_ALL, FM_HTTP_CONNECT, .cls = FM_CLS_RETRY, .flags = FM_V_ENDS | FM_V_OTHER,
     .hop = FM_REST_HOP_TCP, .what = "the REST proxy cannot be reached",
     .remedy = "check that it runs, its port, and the firewall"},
    {"proxy-denied", FM_D_ALL, FM_HTTP_PROXY_DENIED, .cls = FM_CLS_ALERT,
     .flags = FM_V_ENDS | FM_V_ENDPOINT | FM_V_OTHER, .hop = FM_REST_HOP_HTTP_PROXY,
     .what = "the HTTP proxy refuses the way to the REST proxy",
     .remedy = "check [rest] http_proxy_username and http_proxy_password (407) or ask for the "
               "target to be allowed (403)"},
    {"proxy-failed", FM_D_ALL, FM_HTTP_PROXY_FAILED, .cls = FM_CLS_RETRY,
     .flags = FM_V_ENDS | FM_V_OTHER, .hop = FM_REST_HOP_HTTP_PROXY,
     .what = "the HTTP proxy does not lead to the REST proxy",
     .remedy = "check [rest] http_proxy, and whether it can reach the REST proxy"},
    {"tls-verify", FM_D_ALL, FM_HTTP_TLS_VERIFY, .cls = FM_CLS_ALERT,
     .flags = FM_V_ENDS | FM_V_ENDPOINT | FM_V_OTHER, .hop = FM_REST_HOP_TLS,
     .what = "TLS verification failed",
     .remedy = "check [rest] ca_file, cert_file, key_file, pinned_key and the host name in url"},
    {"tls-failed", FM_D_ALL, FM_HTTP_TLS_FAILED, .cls = FM_CLS_RETRY,
     .flags = FM_V_ENDS | FM_V_OTHER | FM_V_FRESH | FM_V_ENDPOINT, .nth = 3, .then = FM_CLS_ALERT,
     .hop = FM_REST_HOP_TLS, .what = "the TLS handshake is broken off",
     .remedy = "is a client certificate missing? set [rest] cert_file and key_file; check that the "
               "port speaks TLS"},
    {"reused-died", FM_D_ALL, FM_HTTP_REUSED_DIED, .cls = FM_CLS_RETRY,
     .flags = FM_V_ENDS | FM_V_UNKNOWN | FM_V_FRESH | FM_V_NOW, .hop = FM_REST_HOP_TCP,
     .what = "a kept connection was closed as the request went out"},
    {"first-tls", FM_D_ALL, T_FIRST_TLS, .cls = FM_CLS_RETRY,
     .flags = FM_V_ENDS | FM_V_UNKNOWN | FM_V_FRESH | FM_V_ENDPOINT, .nth = 3, .then = FM_CLS_ALERT,
     .hop = FM_REST_HOP_TLS, .what = "each fresh TLS connection dies on its first request",
     .remedy = "is a client certificate missing? set [rest] cert_file and key_file"},
    {"broken", FM_D_ALL, FM_HTTP_BROKEN, .cls = FM_CLS_RETRY,
     .flags = FM_V_ENDS | FM_V_UNKNOWN | FM_V_FRESH, .nth = 2, .then = FM_CLS_PROBE,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the REST proxy broke off without a complete answer",
     .remedy = "see its log; a balancer in between may cut long requests"},
    {"too-large", FM_D_ALL, FM_HTTP_TOO_LARGE, .cls = FM_CLS_RETRY,
     .flags = FM_V_ENDS | FM_V_UNKNOWN | FM_V_FRESH, .nth = 2, .then = FM_CLS_PROBE,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the answer was larger than 4 MiB and was not read",
     .remedy = "check [rest] url: this is no REST proxy's answer"},
    {"timeout", FM_D_ALL, FM_HTTP_TIMEOUT, .cls = FM_CLS_PROBE,
     .flags = FM_V_ENDS | FM_V_UNKNOWN | FM_V_FRESH | FM_V_NOW, .hop = FM_REST_HOP_REST_PROXY,
     .what = "the REST proxy did not answer in time",
     .remedy = "Kafka behind it may be down, or the proxy stuck"},
    {"slow-upload", FM_D_ALL, FM_HTTP_SLOW_UPLOAD, .cls = FM_CLS_RETRY,
     .flags = FM_V_ENDS | FM_V_UNKNOWN | FM_V_FRESH | FM_V_HALVE, .hop = FM_REST_HOP_TCP,
     .what = "the line is too slow for the request", .remedy = "smaller batches are tried"},
    {"cancelled", FM_D_ALL, FM_HTTP_CANCELLED, .cls = FM_CLS_RETRY,
     .flags = FM_V_ENDS | FM_V_UNKNOWN | FM_V_NOW, .hop = FM_REST_HOP_NONE,
     .what = "the request was given up"},
    {"internal", FM_D_ALL, FM_HTTP_INTERNAL, .cls = FM_CLS_RETRY, .flags = FM_V_ENDS,
     .hop = FM_REST_HOP_NONE, .what = "the request could not be made"},
};

/* 7.4 */
static const struct fm_row status_rows[] = {
    {"400-idle", FM_D_ALL, 400, NULL, "Idle timeout expired", "Early EOF", .cls = FM_CLS_RETRY,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the proxy saw the body stall",
     .remedy = "the line to the proxy is slow or cut"},
    {"400-text", FM_D_K, 400, CODES(FM_CODE_NONE), "request JSON body", "not valid utf-8",
     .cls = FM_CLS_ISOLATE, .flags = FM_V_P, .hop = FM_REST_HOP_REST_PROXY,
     .what = "the proxy cannot parse the body"},
    {"400-sni", FM_D_ALL, 400, CODES(FM_CODE_NONE), "Invalid SNI", .cls = FM_CLS_ALERT,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the proxy refuses the host name of the URL (SNI)",
     .remedy = "use a name from the proxy's certificate in [rest] url, or switch off its "
               "sni.host.check.enabled"},
    {"400-certificate", FM_D_ALL, 400, CODES(FM_CODE_NONE), "certificate", "SSL",
     .cls = FM_CLS_ALERT, .hop = FM_REST_HOP_TLS,
     .what = "the server in front asks for another TLS set-up",
     .remedy = "set [rest] cert_file and key_file, and use https:// on a TLS port"},
    {"400-no-code", FM_D_ALL, 400, CODES(FM_CODE_NONE), .cls = FM_CLS_ALERT,
     .hop = FM_REST_HOP_REST_PROXY,
     .what = "400 from something in front of the REST proxy's application",
     .remedy = "check [rest] url (path, host name, http or https) and the size of the token"},
    {"400-40002", FM_D_ALL, 400, CODES(40002), .cls = FM_CLS_ALERT, .hop = FM_REST_HOP_KAFKA,
     .what = "Kafka calls the request bad", .remedy = "check the topic's name and policies"},
    {"400-format", FM_D_ALL, 400, NULL, "format of the request body is not supported",
     .cls = FM_CLS_ALERT, .hop = FM_REST_HOP_REST_PROXY,
     .what = "the proxy does not take this format", .remedy = "check [rest] dialect and format"},
    {"400-other", FM_D_ALL, 400, NULL, .cls = FM_CLS_ISOLATE, .flags = FM_V_P,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the proxy refuses the request's content"},
    {"401", FM_D_ALL, 401, NULL, .cls = FM_CLS_AUTH, .flags = FM_V_ENDS | FM_V_ENDPOINT,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the proxy refuses the credentials",
     .remedy = "check [rest] auth, username, password or token"},
    {"403", FM_D_ALL, 403, NULL, .cls = FM_CLS_ALERT, .flags = FM_V_ENDS | FM_V_ENDPOINT,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the proxy or a gateway forbids it",
     .remedy = "grant this user the right to produce, or ask the gateway's owner"},
    {"404-topic", FM_D_ALL, 404, CODES(40401, 40403), .cls = FM_CLS_PROBE, .flags = FM_V_ENDS,
     .hop = FM_REST_HOP_KAFKA, .what = "the topic is not known",
     .remedy = "create the topic or grant DESCRIBE"},
    {"404-partition", FM_D_ALL, 404, CODES(40402), .cls = FM_CLS_ALERT, .flags = FM_V_ENDS,
     .hop = FM_REST_HOP_KAFKA, .what = "the configured partition does not exist",
     .remedy = "check [record] partition"},
    {"404-other", FM_D_ALL, 404, NULL, .cls = FM_CLS_ALERT, .flags = FM_V_ENDS | FM_V_ENDPOINT,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the base URL leads nowhere",
     .remedy = "check [rest] url, api and cluster_id"},
    {"405", FM_D_ALL, 405, NULL, .cls = FM_CLS_ALERT, .flags = FM_V_ENDS,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the method is not allowed there",
     .remedy = "check [rest] url and api"},
    {"406", FM_D_ALL, 406, NULL, .cls = FM_CLS_ALERT, .flags = FM_V_ENDS,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the proxy cannot answer in our format",
     .remedy = "check [rest] dialect and api"},
    {"409", FM_D_ALL, 409, NULL, .cls = FM_CLS_ALERT, .flags = FM_V_ENDS,
     .hop = FM_REST_HOP_REST_PROXY, .what = "conflict", .remedy = "check [rest] url and api"},
    {"411", FM_D_ALL, 411, NULL, .cls = FM_CLS_ALERT, .flags = FM_V_ENDS,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the length of the body got lost on the way",
     .remedy = "look at the gateways between here and the proxy"},
    {"414", FM_D_ALL, 414, NULL, .cls = FM_CLS_ALERT, .flags = FM_V_ENDS,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the URL is too long", .remedy = "check [rest] url"},
    {"415", FM_D_ALL, 415, NULL, .cls = FM_CLS_ALERT, .flags = FM_V_ENDS,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the proxy does not take this content type",
     .remedy = "check [rest] api, dialect and format"},
    {"421", FM_D_ALL, 421, NULL, .cls = FM_CLS_ALERT, .flags = FM_V_ENDS,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the server is not responsible for this host name",
     .remedy = "use a name from the proxy's certificate in [rest] url"},
    {"426", FM_D_ALL, 426, NULL, .cls = FM_CLS_ALERT, .flags = FM_V_ENDS,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the server wants another protocol",
     .remedy = "check [rest] url: http or https"},
    {"431", FM_D_ALL, 431, NULL, .cls = FM_CLS_ALERT, .flags = FM_V_ENDS,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the request's head is too large",
     .remedy = "a token above 7 KB does not pass: get a smaller one"},
    {"501", FM_D_ALL, 501, NULL, .cls = FM_CLS_ALERT, .flags = FM_V_ENDS,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the server does not implement this",
     .remedy = "check [rest] url and api"},
    {"505", FM_D_ALL, 505, NULL, .cls = FM_CLS_ALERT, .flags = FM_V_ENDS,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the server does not speak HTTP/1.1",
     .remedy = "check [rest] url"},
    {"408-registry", FM_D_K, 408, CODES(40801), "registering schema", .cls = FM_CLS_RETRY,
     .flags = FM_V_ENDS | FM_V_LONG | FM_V_SCHEMA, .nth = 3, .then = FM_CLS_ALERT,
     .hop = FM_REST_HOP_REST_PROXY,
     .what = "the Schema Registry is down, or refuses the records' schema",
     .remedy = "check the registry behind the proxy and the compatibility of the topic's subject"},
    {"408-serialization", FM_D_ALL, 408, CODES(40801), .cls = FM_CLS_ISOLATE, .flags = FM_V_P,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the proxy cannot serialize a record"},
    {"408-other", FM_D_ALL, 408, NULL, .cls = FM_CLS_RETRY, .hop = FM_REST_HOP_REST_PROXY,
     .what = "the proxy waited too long for the request"},
    {"413", FM_D_ALL, 413, NULL, .cls = FM_CLS_ISOLATE, .flags = FM_V_P | FM_V_BODY | FM_V_SIZE,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the request is too large for the proxy or a gateway",
     .remedy = "lower [batch] bytes or raise the limit there"},
    {"417", FM_D_ALL, 417, NULL, .cls = FM_CLS_ALERT, .flags = FM_V_ENDS,
     .hop = FM_REST_HOP_REST_PROXY, .what = "something on the way added an Expect header",
     .remedy = "look at the gateways between here and the proxy"},
    {"422-incompatible", FM_D_ALL, 422, CODES(42207), "incompatible", "error code: 409",
     .cls = FM_CLS_ALERT, .flags = FM_V_ENDS, .hop = FM_REST_HOP_REST_PROXY,
     .what = "the Schema Registry refuses the records' schema: it does not go with the one it has "
             "for the topic",
     .remedy = "give this topic to nobody else, relax the compatibility of its subject, or set "
               "[rest] schema_id or schema_file"},
    {"422-unknown-id", FM_D_ALL, 422, CODES(42207), "error code: 40403", .cls = FM_CLS_RETRY,
     .flags = FM_V_ENDS | FM_V_LONG | FM_V_SCHEMA, .nth = 2, .then = FM_CLS_ALERT,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the Schema Registry does not know the schema's id",
     .remedy = "check [rest] schema_id"},
    {"422-42207", FM_D_ALL, 422, CODES(42207), .cls = FM_CLS_RETRY,
     .flags = FM_V_ENDS | FM_V_LONG | FM_V_SCHEMA, .nth = 3, .then = FM_CLS_ALERT,
     .hop = FM_REST_HOP_REST_PROXY,
     .what = "the Schema Registry is down, does not know the schema's id, or refuses the schema",
     .remedy = "check the registry behind the proxy, the compatibility of the topic's subject, and "
               "[rest] schema_id"},
    {"422-42205-karapace", FM_D_K, 422, CODES(42205), .cls = FM_CLS_ISOLATE,
     .flags = FM_V_P | FM_V_SCHEMA, .hop = FM_REST_HOP_REST_PROXY,
     .what = "the record does not fit its schema"},
    {"422-schema", FM_D_ALL, 422, CODES(42201, 42202, 42205, 42206), .cls = FM_CLS_ALERT,
     .flags = FM_V_ENDS | FM_V_SCHEMA, .hop = FM_REST_HOP_REST_PROXY,
     .what = "the schema is missing or invalid",
     .remedy = "check [rest] format, schema_id and schema_file"},
    {"422-other", FM_D_ALL, 422, NULL, .cls = FM_CLS_ISOLATE, .flags = FM_V_P,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the proxy refuses the shape of the request"},
    {"429", FM_D_ALL, 429, NULL, .cls = FM_CLS_RETRY, .flags = FM_V_ENDS | FM_V_SLOW,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the proxy limits the rate",
     .remedy = "raise the limit there or send less"},
    {"500-50003", FM_D_ALL, 500, CODES(50003), .cls = FM_CLS_PROBE, .flags = FM_V_UNKNOWN,
     .hop = FM_REST_HOP_KAFKA, .what = "the proxy cannot reach Kafka",
     .remedy = "look at the Kafka brokers behind the proxy"},
    {"500-other", FM_D_ALL, 500, NULL, .cls = FM_CLS_RETRY,
     .flags = FM_V_UNKNOWN | FM_V_200_ISOLATE, .nth = 3, .then = FM_CLS_PROBE,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the proxy failed inside",
     .remedy = "see the proxy's log"},
    {"502", FM_D_ALL, 502, NULL, .cls = FM_CLS_RETRY, .flags = FM_V_ENDS | FM_V_UNKNOWN, .nth = 3,
     .then = FM_CLS_PROBE, .hop = FM_REST_HOP_REST_PROXY,
     .what = "a gateway cannot reach the REST proxy", .remedy = "check the proxy behind it"},
    {"503", FM_D_ALL, 503, NULL, .cls = FM_CLS_RETRY, .flags = FM_V_ENDS, .nth = 3,
     .then = FM_CLS_PROBE, .hop = FM_REST_HOP_REST_PROXY, .what = "the proxy is overloaded or away",
     .remedy = "check the proxy and its brokers"},
    {"504", FM_D_ALL, 504, NULL, .cls = FM_CLS_RETRY, .flags = FM_V_ENDS | FM_V_UNKNOWN, .nth = 3,
     .then = FM_CLS_PROBE, .hop = FM_REST_HOP_REST_PROXY,
     .what = "a gateway gave up waiting for the REST proxy",
     .remedy = "raise the gateway's timeout above 130 s"},
    {"4xx", FM_D_ALL, -4, NULL, .cls = FM_CLS_ALERT, .flags = FM_V_ENDS,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the proxy refuses the request",
     .remedy = "check [rest] url and api"},
    {"5xx", FM_D_ALL, -5, NULL, .cls = FM_CLS_RETRY, .flags = FM_V_ENDS | FM_V_UNKNOWN, .nth = 3,
     .then = FM_CLS_PROBE, .hop = FM_REST_HOP_REST_PROXY, .what = "the server failed",
     .remedy = "check the proxy and the gateways before it"},
};

static const struct fm_row gzip_row = {"400-gzip",
                                       FM_D_ALL,
                                       400,
                                       .cls = FM_CLS_RETRY,
                                       .flags = FM_V_NOW,
                                       .hop = FM_REST_HOP_REST_PROXY,
                                       .what = "the proxy may not take compressed requests",
                                       .remedy = "set [rest] compression = none"};

/* 7.5. The codes 1 and 2 of old Confluent proxies count as 50002 and 50003. */
static const struct fm_row record_rows[] = {
    {"kafka-rights", FM_D_JSON, 0, CODES(40101, 40301), .cls = FM_CLS_ALERT, .flags = FM_V_ENDS,
     .hop = FM_REST_HOP_KAFKA, .what = "Kafka denies the proxy's own user the topic",
     .remedy = "grant WRITE on the topic to the REST proxy's user"},
    {"kafka-rights-karapace", FM_D_K, 0, CODES(1, 2), "uthoriz", "uthentic", .cls = FM_CLS_ALERT,
     .flags = FM_V_ENDS, .hop = FM_REST_HOP_KAFKA,
     .what = "Kafka denies the proxy's own user the topic",
     .remedy = "grant WRITE on the topic to the REST proxy's user"},
    {"kafka-rights-strimzi", FM_D_S, 0, CODES(500), "uthoriz", "uthentic", .cls = FM_CLS_ALERT,
     .flags = FM_V_ENDS, .hop = FM_REST_HOP_KAFKA,
     .what = "Kafka denies the bridge's user the topic",
     .remedy = "grant WRITE on the topic to the bridge's user"},
    {"collateral", FM_D_JSON, 0, NULL, "part of a batch", .cls = FM_CLS_ISOLATE,
     .hop = FM_REST_HOP_KAFKA, .what = "refused together with an invalid neighbour"},
    {"no-partition", FM_D_JSON, 0, NULL, "Partition # of topic", "does not exist on this broker",
     .cls = FM_CLS_PROBE, .flags = FM_V_200_ISOLATE_P, .hop = FM_REST_HOP_KAFKA,
     .what = "the partition does not exist", .remedy = "check [record] partition"},
    {"no-partition-code", FM_D_JSON, 0, CODES(40402), .cls = FM_CLS_PROBE,
     .flags = FM_V_200_ISOLATE_P, .hop = FM_REST_HOP_KAFKA, .what = "the partition does not exist",
     .remedy = "check [record] partition"},
    {"no-metadata", FM_D_JSON, 0, NULL, "not present in metadata", .cls = FM_CLS_PROBE,
     .hop = FM_REST_HOP_KAFKA, .what = "Kafka is down or the topic is missing",
     .remedy = "look at the Kafka brokers behind the proxy, and whether the topic exists"},
    {"no-metadata-v3", FM_D_C3, 0, CODES(40401, 40403), .cls = FM_CLS_PROBE,
     .hop = FM_REST_HOP_KAFKA, .what = "Kafka is down or the topic is missing",
     .remedy = "look at the Kafka brokers behind the proxy, and whether the topic exists"},
    {"no-metadata-strimzi", FM_D_S, 0, CODES(404), .cls = FM_CLS_PROBE, .hop = FM_REST_HOP_KAFKA,
     .what = "Kafka is down or the topic is missing",
     .remedy = "look at the Kafka brokers behind the bridge, and whether the topic exists"},
    {"expiring", FM_D_JSON, 0, NULL, "Expiring ", .cls = FM_CLS_PROBE,
     .flags = FM_V_UNKNOWN | FM_V_200_ISOLATE | FM_V_ALONE, .hop = FM_REST_HOP_KAFKA,
     .what = "Kafka did not take the record within 120 s",
     .remedy = "look at the Kafka brokers behind the proxy"},
    {"threshold", FM_D_C3, 0, CODES(400), "allowed threshold", .cls = FM_CLS_ISOLATE,
     .flags = FM_V_P | FM_V_UNKNOWN, .hop = FM_REST_HOP_REST_PROXY,
     .what = "the request is above the proxy's size threshold", .remedy = "lower [batch] bytes"},
    {"size-code", FM_D_JSON, 0, CODES(413), .cls = FM_CLS_ISOLATE, .flags = FM_V_P | FM_V_SIZE,
     .hop = FM_REST_HOP_KAFKA, .what = "the record is larger than Kafka takes",
     .remedy = "lower [record] max_bytes or raise the topic's max.message.bytes"},
    {"size", FM_D_JSON, 0, NULL, "larger than", .cls = FM_CLS_ISOLATE, .flags = FM_V_P | FM_V_SIZE,
     .hop = FM_REST_HOP_KAFKA, .what = "the record is larger than Kafka takes",
     .remedy = "lower [record] max_bytes or raise the topic's max.message.bytes"},
    {"invalid-topic", FM_D_JSON, 0, NULL, "Invalid topics", .cls = FM_CLS_ALERT, .flags = FM_V_ENDS,
     .hop = FM_REST_HOP_KAFKA, .what = "the topic's name is not legal",
     .remedy = "check [rest] topic"},
    {"compacted", FM_D_JSON, 0, NULL, "Compacted topic", .cls = FM_CLS_ISOLATE, .flags = FM_V_P,
     .hop = FM_REST_HOP_KAFKA, .what = "a compacted topic wants a key",
     .remedy = "set [record] key"},
    {"out-of-range", FM_D_JSON, 0, NULL, "out of range", .cls = FM_CLS_ISOLATE,
     .flags = FM_V_P | FM_V_CLOCK, .hop = FM_REST_HOP_KAFKA,
     .what = "the record's time is out of the broker's range", .remedy = "check this host's clock"},
    {"50003", FM_D_C2 | FM_D_C3, 0, CODES(50003, 2), .cls = FM_CLS_RETRY,
     .flags = FM_V_UNKNOWN | FM_V_RECORD | FM_V_200_ISOLATE, .nth = 3, .then = FM_CLS_PROBE,
     .hop = FM_REST_HOP_KAFKA, .what = "Kafka could not take the record for now",
     .remedy = "look at the Kafka brokers behind the proxy"},
    {"50002-interrupted", FM_D_C2 | FM_D_C3, 0, CODES(50002, 1), "InterruptedException",
     .cls = FM_CLS_RETRY, .hop = FM_REST_HOP_REST_PROXY, .what = "the proxy broke off the wait"},
    {"50002", FM_D_C2 | FM_D_C3, 0, CODES(50002, 1), .cls = FM_CLS_ISOLATE, .flags = FM_V_P,
     .hop = FM_REST_HOP_KAFKA, .what = "Kafka refuses the record"},
    {"v3-idle", FM_D_C3, 0, CODES(400), "Idle timeout", .cls = FM_CLS_RETRY,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the proxy saw the body stall",
     .remedy = "the line to the proxy is slow or cut"},
    {"v3-busy", FM_D_C3, 0, CODES(408, 503, 50302), .cls = FM_CLS_RETRY,
     .hop = FM_REST_HOP_REST_PROXY,
     .what = "the proxy or its broker is away or the stream too old"},
    {"v3-gzip", FM_D_C3, 0, CODES(400), "CTRL-CHAR, code 31", .cls = FM_CLS_RETRY,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the proxy does not take compressed requests",
     .remedy = "set [rest] compression = none"},
    {"v3-400", FM_D_C3, 0, CODES(400), .cls = FM_CLS_ISOLATE, .flags = FM_V_P,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the proxy refuses the record"},
    {"v3-incompatible", FM_D_C3, 0, CODES(422), "incompatible", "error code: 409",
     .cls = FM_CLS_ALERT, .flags = FM_V_ENDS, .hop = FM_REST_HOP_REST_PROXY,
     .what = "the Schema Registry refuses the records' schema: it does not go with the one it has "
             "for the topic",
     .remedy = "give this topic to nobody else, relax the compatibility of its subject, or set "
               "[rest] schema_id or schema_file"},
    {"v3-422-42207", FM_D_C3, 0, CODES(422), "42207", .cls = FM_CLS_RETRY,
     .flags = FM_V_ENDS | FM_V_LONG | FM_V_SCHEMA, .nth = 3, .then = FM_CLS_ALERT,
     .hop = FM_REST_HOP_REST_PROXY,
     .what = "the Schema Registry is down, does not know the schema's id, or refuses the schema",
     .remedy = "check the registry behind the proxy, the compatibility of the topic's subject, and "
               "[rest] schema_id"},
    {"v3-422", FM_D_C3, 0, CODES(422), .cls = FM_CLS_ISOLATE, .flags = FM_V_P | FM_V_SCHEMA,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the record does not fit"},
    {"v3-429", FM_D_C3, 0, CODES(429, 42901), .cls = FM_CLS_RETRY, .flags = FM_V_ENDS | FM_V_SLOW,
     .hop = FM_REST_HOP_REST_PROXY, .what = "the proxy limits the rate",
     .remedy = "raise the limit there or send less"},
    {"v3-40002", FM_D_C3, 0, CODES(40002), .cls = FM_CLS_ISOLATE, .hop = FM_REST_HOP_KAFKA,
     .what = "Kafka calls the record bad"},
    {"v3-500", FM_D_C3, 0, CODES(500), .cls = FM_CLS_RETRY, .flags = FM_V_UNKNOWN | FM_V_RECORD,
     .nth = 3, .then = FM_CLS_ISOLATE, .hop = FM_REST_HOP_REST_PROXY,
     .what = "the proxy failed inside", .remedy = "see the proxy's log"},
    {"karapace-2", FM_D_K, 0, CODES(2), .cls = FM_CLS_RETRY, .hop = FM_REST_HOP_KAFKA,
     .what = "Kafka could not take the record for now",
     .remedy = "look at the Kafka brokers behind the proxy"},
    {"karapace-outage", FM_D_K, 0, CODES(1), "An unexpected server error.", .cls = FM_CLS_PROBE,
     .flags = FM_V_UNKNOWN, .hop = FM_REST_HOP_KAFKA, .what = "the proxy lost Kafka",
     .remedy = "look at the Kafka brokers behind the proxy"},
    {"karapace-busy", FM_D_K, 0, CODES(1), "timed out", "buffer full", "cancelled",
     .cls = FM_CLS_RETRY, .flags = FM_V_UNKNOWN, .hop = FM_REST_HOP_KAFKA,
     .what = "the proxy could not hand the record to Kafka in time",
     .remedy = "look at the Kafka brokers behind the proxy"},
    {"karapace-1", FM_D_K, 0, CODES(1), .cls = FM_CLS_ISOLATE, .flags = FM_V_P,
     .hop = FM_REST_HOP_KAFKA, .what = "Kafka refuses the record"},
    {"strimzi-500", FM_D_S, 0, CODES(500), .cls = FM_CLS_RETRY, .flags = FM_V_UNKNOWN | FM_V_RECORD,
     .nth = 3, .then = FM_CLS_ISOLATE, .hop = FM_REST_HOP_KAFKA,
     .what = "Kafka did not take the record", .remedy = "see the bridge's log"},
    {"unknown-code", FM_D_JSON, 0, NULL, .cls = FM_CLS_RETRY, .flags = FM_V_UNKNOWN | FM_V_RECORD,
     .nth = 3, .then = FM_CLS_ISOLATE, .hop = FM_REST_HOP_REST_PROXY,
     .what = "a report that is not understood", .remedy = "check [rest] dialect and api"},
};

/* 4.4: Kafka protocol numbers, without text. */
static const struct fm_row redpanda_rows[] = {
    {"redpanda-timeout", FM_D_R, 0, CODES(7, 13, 20), .cls = FM_CLS_RETRY, .flags = FM_V_UNKNOWN,
     .hop = FM_REST_HOP_KAFKA, .what = "Redpanda could not confirm the records in time"},
    {"redpanda-passing", FM_D_R, 0, CODES(5, 6, 8, 9, 19, 56, 89), .cls = FM_CLS_RETRY,
     .hop = FM_REST_HOP_KAFKA, .what = "Redpanda could not take the records for now"},
    {"redpanda-topic", FM_D_R, 0, CODES(3), .cls = FM_CLS_PROBE, .hop = FM_REST_HOP_KAFKA,
     .what = "the topic or partition is not known", .remedy = "create the topic"},
    {"redpanda-size", FM_D_R, 0, CODES(10, 18), .cls = FM_CLS_ISOLATE, .flags = FM_V_P | FM_V_SIZE,
     .hop = FM_REST_HOP_KAFKA, .what = "a record or the batch is too large",
     .remedy = "lower [record] max_bytes or raise the topic's max.message.bytes"},
    {"redpanda-rights", FM_D_R, 0, CODES(17, 29, 31, 58), .cls = FM_CLS_ALERT, .flags = FM_V_ENDS,
     .hop = FM_REST_HOP_KAFKA, .what = "Redpanda denies the topic",
     .remedy = "check the topic's name and this user's rights"},
    {"redpanda-refused", FM_D_R, 0, CODES(2, 32, 43, 44, 76, 87), .cls = FM_CLS_ISOLATE,
     .flags = FM_V_P, .hop = FM_REST_HOP_KAFKA, .what = "Redpanda refuses the records"},
    {"redpanda-other", FM_D_R, 0, NULL, .cls = FM_CLS_RETRY, .flags = FM_V_UNKNOWN, .nth = 3,
     .then = FM_CLS_ISOLATE, .hop = FM_REST_HOP_KAFKA, .what = "Redpanda reports another error"},
};

/* 7.2; indexed by enum fm_shape_row. */
static const struct fm_row shape_rows[] = {
    [FM_ROW_OK] = {"ok", FM_D_ALL, 0, .cls = FM_CLS_OK, .what = "accepted"},
    [FM_ROW_UNREPORTED] = {"unreported", FM_D_ALL, 0, .cls = FM_CLS_RETRY, .flags = FM_V_UNKNOWN,
                           .hop = FM_REST_HOP_REST_PROXY,
                           .what = "the answer says nothing about some records",
                           .remedy = "check [rest] dialect and api"},
    [FM_ROW_TOO_MANY] = {"too-many", FM_D_ALL, 0, .cls = FM_CLS_RETRY, .flags = FM_V_UNKNOWN,
                         .hop = FM_REST_HOP_REST_PROXY,
                         .what = "the answer reports on more records than were sent",
                         .remedy = "check [rest] dialect and api"},
    [FM_ROW_STRUCTURAL] = {"structural", FM_D_ALL, 0, .cls = FM_CLS_ISOLATE, .flags = FM_V_UNKNOWN,
                           .hop = FM_REST_HOP_REST_PROXY,
                           .what = "the proxy lost the boundaries between the records"},
    [FM_ROW_EMPTY] = {"empty", FM_D_ALL, 0, .cls = FM_CLS_RETRY, .flags = FM_V_UNKNOWN,
                      .hop = FM_REST_HOP_REST_PROXY, .what = "an empty answer proves nothing",
                      .remedy = "the proxy may be restarting; check [rest] url"},
    [FM_ROW_PORTAL] = {"portal", FM_D_ALL, 0, .cls = FM_CLS_RETRY,
                       .flags = FM_V_UNKNOWN | FM_V_ENDPOINT, .nth = 2, .then = FM_CLS_ALERT,
                       .hop = FM_REST_HOP_REST_PROXY,
                       .what = "unexpected answer: not a REST proxy's",
                       .remedy = "check [rest] url; a captive portal may stand in the way"},
    [FM_ROW_REDIRECT] = {"redirect", FM_D_ALL, 0, .cls = FM_CLS_ALERT,
                         .flags = FM_V_ENDS | FM_V_ENDPOINT, .hop = FM_REST_HOP_REST_PROXY,
                         .what = "a redirect, which is not followed",
                         .remedy = "put the right address into [rest] url"},
    [FM_ROW_UNDECIDED] = {"undecided", FM_D_ALL, 0, .cls = FM_CLS_RETRY, .flags = FM_V_UNKNOWN,
                          .hop = FM_REST_HOP_REST_PROXY,
                          .what = "another record of the request failed, this one is undecided"},
};

const struct fm_row *fm_table_shape(enum fm_shape_row which)
{
    return &shape_rows[which];
}

const struct fm_row *fm_table_rows(unsigned table, size_t *n)
{
    static const struct {
        const struct fm_row *rows;
        size_t n;
    } tables[] = {{transport_rows, sizeof transport_rows / sizeof *transport_rows},
                  {status_rows, sizeof status_rows / sizeof *status_rows},
                  {record_rows, sizeof record_rows / sizeof *record_rows},
                  {redpanda_rows, sizeof redpanda_rows / sizeof *redpanda_rows},
                  {shape_rows, sizeof shape_rows / sizeof *shape_rows}};
    *n = table < sizeof tables / sizeof *tables ? tables[table].n : 0;
    return *n > 0 ? tables[table].rows : NULL;
}

/* Whether pattern lies at text; # stands for one or more digits. */
static bool matches_at(const char *text, size_t len, const char *pattern)
{
    size_t at = 0;
    for (; *pattern != '\0'; pattern++) {
        if (*pattern == '#') {
            size_t digits = 0;
            while (at < len && text[at] >= '0' && text[at] <= '9') {
                at++;
                digits++;
            }
            if (digits == 0)
                return false;
        } else if (at >= len || text[at++] != *pattern) {
            return false;
        }
    }
    return true;
}

static bool contains(const char *text, size_t len, const char *pattern)
{
    for (size_t i = 0; text != NULL && i < len; i++) {
        const char *hit = memchr(text + i, pattern[0], len - i);
        if (hit == NULL)
            return false;
        i = (size_t)(hit - text);
        if (matches_at(hit, len - i, pattern))
            return true;
    }
    return false;
}

static bool row_matches(const struct fm_row *row, unsigned dialect, long status, int64_t code,
                        const char *text, size_t len)
{
    if ((row->dialects & dialect) == 0)
        return false;
    if (row->status > 0 && row->status != status)
        return false;
    if (row->status < 0 && -row->status != status / 100)
        return false;
    if (row->codes != NULL) {
        const int *c = row->codes;
        while (*c != 0 && *c != code)
            c++;
        if (*c == 0)
            return false;
    }
    if (row->text == NULL)
        return true;
    return contains(text, len, row->text) ||
           (row->text2 != NULL && contains(text, len, row->text2)) ||
           (row->text3 != NULL && contains(text, len, row->text3));
}

static const struct fm_row *find(const struct fm_row *rows, size_t n, unsigned dialect, long status,
                                 int64_t code, const char *text, size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (row_matches(&rows[i], dialect, status, code, text, len))
            return &rows[i];
    return NULL;
}

const struct fm_row *fm_table_transport(const struct fm_http_answer *http, bool fresh_first)
{
    size_t n;
    const struct fm_row *rows = fm_table_rows(0, &n);
    int want = (int)http->failure;
    if (fresh_first && http->failure == FM_HTTP_BROKEN && http->status == 0)
        want = T_FIRST_TLS;
    for (size_t i = 0; i < n; i++)
        if (rows[i].status == want)
            return &rows[i];
    return &rows[n - 1];
}

const struct fm_row *fm_table_status(enum fm_rest_dialect dialect, long status, bool gzip,
                                     bool has_code, int64_t code, const char *text, size_t len)
{
    if (status >= 300 && status < 400)
        return &shape_rows[FM_ROW_REDIRECT];
    if (status == 400 && gzip)
        return &gzip_row;
    size_t n;
    const struct fm_row *rows = fm_table_rows(1, &n);
    const struct fm_row *row =
        find(rows, n, 1U << dialect, status, has_code ? code : FM_CODE_NONE, text, len);
    return row != NULL ? row : &shape_rows[FM_ROW_PORTAL]; /* 1xx, 6xx: nothing that HTTP knows */
}

const struct fm_row *fm_table_record(enum fm_rest_dialect dialect, const struct fm_report *report)
{
    size_t n;
    const struct fm_row *rows = fm_table_rows(dialect == FM_DIALECT_REDPANDA ? 3 : 2, &n);
    const struct fm_row *row =
        find(rows, n, 1U << dialect, 0, report->has_code ? report->code : FM_CODE_NONE,
             report->text, report->text_len);
    return row != NULL ? row : &rows[n - 1];
}

unsigned fm_retry_after(const char *value)
{
    if (value == NULL)
        return 0;
    while (*value == ' ')
        value++;
    unsigned n = 0;
    const char *p = value;
    for (; *p >= '0' && *p <= '9'; p++) {
        n = n * 10 + (unsigned)(*p - '0');
        if (n > 300)
            return 0;
    }
    while (*p == ' ')
        p++;
    return *p == '\0' && p != value ? n : 0;
}

const char *fm_class_name(enum fm_class cls)
{
    switch (cls) {
    case FM_CLS_OK:
        return "OK";
    case FM_CLS_RETRY:
        return "RETRY";
    case FM_CLS_ISOLATE:
        return "ISOLATE";
    case FM_CLS_PROBE:
        return "PROBE";
    case FM_CLS_ALERT:
        return "ALERT";
    case FM_CLS_AUTH:
        return "AUTH";
    }
    return "?";
}
