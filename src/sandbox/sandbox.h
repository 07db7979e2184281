/* sandbox/sandbox.h - a stand-in for a Kafka REST proxy, and the tests' scripted peer.
 *
 * Answers as the Confluent REST Proxy 8.3.1 does on its v2 interface (wire facts: rest-proxy.md
 * sections 1, 4 and 5; golden files in tests/data/rest-vectors):
 *   GET  /                               {}
 *   GET  /topics                         the names
 *   GET  /topics/T                       name, configs (max.message.bytes), partitions
 *   GET  /topics/T/partitions[/P]        partitions
 *   GET  /topics/T/partitions/P/offsets  beginning_offset, end_offset
 *   GET  /topics/T/partitions/P/records?offset=N&max=N   reads back (Redpanda has such a call):
 *        [{"topic","key","value","headers","partition","offset","timestamp"}]; Accept
 * ...json.v2+json (or any): JSON as it was stored, bytes that are no JSON as a string;
 * ...binary.v2+json: base64 POST /topics/T[/partitions/P]        produce, json or binary
 * Differences on purpose: stored JSON keeps its spelling, nesting ends at 128 levels, and bytes
 * behind the request object are refused.
 *
 * on its consumer interface, /consumers/GROUP[/instances/NAME/...] (consumer_priv.h): create,
 * subscription, assignments, positions, records, offsets, delete;
 *
 * and on its v3 interface, under /v3 and /kafka/v3 (v3_priv.h): clusters, topics with
 * configs/max.message.bytes, produce, records:batch. Headers and times are stored.
 *
 * Where the records go: memory (bounded, the oldest leaves first), SQLite in a folder, or a real
 * Kafka. In memory and SQLite a topic exists, with one partition, as soon as it is probed or
 * produced to, unless no_create; in Kafka the broker's metadata decide.
 *
 * Threads: one of the HTTP server; with delays a timer; with Kafka a poller and a few workers. */
#ifndef FM_SANDBOX_SANDBOX_H
#define FM_SANDBOX_SANDBOX_H

#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "firstmile/err.h"

struct fm_sandbox; /* opaque: sandbox/sandbox.c */

struct fm_sandbox_opts {
    const char *listen; /* HOST:PORT, port 0 = any free; NULL: 127.0.0.1:0 */
    const char *cert_file; /* PEM, with key_file: HTTPS; NULL: plain HTTP */
    const char *key_file;
    const char *client_ca_file; /* PEM: client certificates required; NULL: none */
    const char *username; /* Basic auth; NULL: nobody is asked */
    const char *password;
    const char *data_dir; /* SQLite in this folder (created); NULL: memory */
    const char *kafka; /* bootstrap servers; NULL: none. Excludes data_dir */
    const char *const *topics; /* "NAME[:PARTITIONS[:MAX_MESSAGE_BYTES]]"; created at start */
    size_t n_topics;
    bool no_create; /* only the topics listed exist */
    int64_t metadata_timeout_ms; /* a record for a topic unknown blocks so long; 0: 60 s */
    size_t max_bytes; /* kept in memory; 0: 64 MiB */
    int64_t consumer_idle_ms; /* a consumer instance unused so long is gone; 0: 300 s */
    const char *faults; /* script text, see faults_priv.h; NULL: none */
    const char *faults_file; /* the same from a file; NULL: none */
    const char *ledger_file; /* one JSON line per record, before the answer; NULL: none */
    struct fm_log *log; /* may be NULL */
};

/** Open the store, listen, serve. Does not wait for Kafka, except to create the topics listed.
 * @param out  set on success only; the caller owns it, see fm_sandbox_stop()
 * @return FM_OK, FM_ECONF (listen address, certificate, topic, script, Kafka not built in),
 *         FM_ESYS (also: address in use), FM_EDAMAGE (the folder holds something else),
 *         FM_ETIMEOUT (Kafka silent) */
FM_MUST_USE enum fm_code fm_sandbox_start(struct fm_sandbox **out,
                                          const struct fm_sandbox_opts *opts, struct fm_err *err);

/** End what is under way (503), close, free. Blocks up to about 3 s with Kafka. NULL is allowed. */
void fm_sandbox_stop(struct fm_sandbox *sandbox);

/** The port in use; 0 when listening on a Unix socket. */
uint16_t fm_sandbox_port(const struct fm_sandbox *sandbox);

struct fm_sandbox_stats {
    uint64_t requests; /* all, refused ones included */
    uint64_t produced; /* produce requests, numbered 1... as the fault script counts them */
    uint64_t records; /* stored */
    uint64_t bytes; /* key and value bytes of these */
    uint64_t refused; /* records answered with an error of their own */
    uint64_t kept_records; /* in memory now; 0 for the other stores */
    uint64_t kept_bytes;
};

/** Any thread. */
void fm_sandbox_stats(struct fm_sandbox *sandbox, struct fm_sandbox_stats *out);

/** Write the version of librdkafka that this was built with ("2.0.2"), or "none", into out. The
 * library itself is loaded only for fm_sandbox_opts.kafka. Any thread. */
void fm_sandbox_kafka_version(char *out, size_t size);

#endif
