/* firstmile/rest.h - send records to Kafka from C, through a REST proxy over HTTP or HTTPS.
 *
 * A producer keeps records, in memory or in a folder, and one thread of its own sends them in
 * batches until the proxy has accepted each. Delivery is at least once; order is kept per topic,
 * but for a record that the proxy refuses, which waits aside. What becomes of each record is told
 * by one callback.
 *
 * Threads: fm_producer_send() and fm_producer_flush() may be called from any thread at once.
 * fm_producer_close() ends it: no other thread may be inside or call afterwards. The callback runs
 * on one thread of the producer, also during fm_producer_close(), one call at a time, with no lock
 * held; it may call fm_producer_send(), which then never waits, but neither flush nor close. So who
 * calls flush or close must hold no lock that the callback takes.
 *
 * The first fm_producer_open() of a process must not run beside another thread: it prepares
 * libcurl, ignores SIGPIPE unless it is handled, and drops SSLKEYLOGFILE from the environment. */
#ifndef FIRSTMILE_REST_H
#define FIRSTMILE_REST_H

#include <stdint.h>

#include "firstmile/err.h"

/** Which proxy it is, and which of its interfaces is meant. */
enum fm_rest_dialect {
    FM_DIALECT_CONFLUENT_V2,
    FM_DIALECT_CONFLUENT_V3, /* the base URL ends before /clusters; a bare host means HOST/v3 */
    FM_DIALECT_KARAPACE,
    FM_DIALECT_STRIMZI,
    FM_DIALECT_REDPANDA,
    /* v3 through records:batch: one plain JSON document a request, for gateways that check bodies.
     * At most 10 records a request, or batch_records if that is at most 50. */
    FM_DIALECT_CONFLUENT_V3_BATCH
};

struct fm_producer; /* opaque */

/** What became of a record; borrowed in the callback. */
struct fm_producer_report {
    /** FM_OK: accepted by the proxy, each record by its own verdict.
     *  FM_EREMOTE: refused for good (alone, twice, while others were accepted; while it is closed
     *  once is enough, since nothing follows); with a folder it lies among the dead letters there
     * (firstmile spool dead list). FM_ESYS, FM_ENOMEM: it could not be kept (disk); it will not be
     * sent. FM_ETIMEOUT: the disk does not answer; it may still be sent. FM_ESTOP: closed before an
     * answer. With a folder it stays there and goes out when a producer (or firstmile) opens the
     * folder again; in memory it is gone, but may have been written. */
    enum fm_code code;
    const char *reason; /* a sentence; "" with FM_OK */
    const char *stream; /* with seq, the record's name in v3's headers; "" if it got none */
    uint64_t seq;
    void *user; /* of the record */
};
typedef void fm_producer_done(void *arg, const struct fm_producer_report *report);

/** Texts are copied, NULL stands for none; a 0 stands for the default in brackets. */
struct fm_producer_opts {
    const char *const *urls; /* base URLs, the preferred first; 1 to 8 */
    size_t n_urls;
    enum fm_rest_dialect dialect; /* [Confluent's, v2] */
    const char *cluster_id; /* v3; NULL: ask the proxy */
    const char *username; /* with password: Basic */
    const char *password;
    const char *token; /* Bearer */
    const char *ca_file; /* PEM; NULL: the certificates of the system */
    const char *cert_file; /* PEM; client certificate */
    const char *key_file; /* PEM; NULL: in cert_file */
    const char *http_proxy; /* URL; NULL: none, whatever the environment says */
    const char *agent; /* header firstmile-agent of v3 [host name] */
    const char *spool; /* folder for records, created; NULL: in memory */
    uint64_t spool_bytes; /* kept there, in a folder at least 1 MiB; then sending waits [1 GiB; 64
                             MiB in memory] */
    size_t queue_bytes; /* not yet in the spool [4 MiB] */
    size_t max_pending; /* records sent but not reported yet [1,000,000] */
    unsigned send_timeout_ms; /* longest wait of fm_producer_send() for room [0: none] */
    unsigned timeout_ms; /* of one request [130 s] */
    unsigned batch_records; /* [500] */
    fm_producer_done *done; /* NULL: nobody is told */
    void *done_arg;
};

struct fm_producer_header {
    const char *name;
    const char *value;
    size_t value_len;
};

/** One record. Everything is copied by fm_producer_send(), but for user. */
struct fm_producer_record {
    const char *topic;
    const char *key; /* NULL: none; text, unless bytes */
    size_t key_len;
    const char *value; /* one JSON value, strictly checked, or any bytes */
    size_t value_len; /* at most 900 KiB */
    bool bytes; /* key and value are exact bytes: v2's binary format, v3's BINARY */
    bool to_partition; /* to that partition; else the proxy chooses */
    int32_t partition;
    int64_t time_ms; /* since 1970; 0: now. Only v3 carries it */
    const struct fm_producer_header *headers; /* only v3 carries them */
    size_t n_headers;
    void *user; /* handed to the callback */
};

/** Open the spool and start to send what a folder still holds. The proxy is not asked yet.
 * @param out  set on success only; yours, see fm_producer_close()
 * @return FM_OK; FM_ECONF (an option is wrong); FM_ELOCKED, FM_ENEWER, FM_EPERM, FM_ESYS (the
 *         folder); FM_ENOMEM; err names the place and the remedy */
FM_API FM_MUST_USE enum fm_code
fm_producer_open(struct fm_producer **out, const struct fm_producer_opts *opts, struct fm_err *err);

/** Take a record. Each record taken is reported once.
 * Waits at most send_timeout_ms for room; with 0, or called by the callback, not at all.
 * @return FM_OK; FM_EFULL (no room: the proxy or the disk is slower than you; try again);
 *         FM_EUSAGE (topic, JSON or key is unfit: the sentence says where); FM_ELIMIT (too large);
 *         FM_ESTOP (closing); FM_ENOMEM. Then it was not taken and will not be reported */
FM_API FM_MUST_USE enum fm_code fm_producer_send(struct fm_producer *producer,
                                                 const struct fm_producer_record *record,
                                                 struct fm_err *err);

enum fm_producer_until {
    FM_PRODUCER_STORED, /* is in the spool: with a folder it survives a power cut from now on */
    FM_PRODUCER_REPORTED /* was reported (or, without a callback, would have been) */
};

/** Wait until every record taken before this call has come so far.
 * @return FM_OK; FM_ETIMEOUT after timeout_ms, the sentence says why the proxy takes nothing;
 *         FM_EUSAGE when called by the callback */
FM_API FM_MUST_USE enum fm_code fm_producer_flush(struct fm_producer *producer,
                                                  enum fm_producer_until until, unsigned timeout_ms,
                                                  struct fm_err *err);

struct fm_producer_counts {
    uint64_t pending; /* taken, not reported yet */
    uint64_t delivered; /* reported FM_OK */
    uint64_t failed; /* reported with another code */
};

/** How many records are where. Any thread; does not wait. */
FM_API void fm_producer_counts(struct fm_producer *producer, struct fm_producer_counts *out);

/** Take no more, wait up to timeout_ms until all is reported, report the rest with FM_ESTOP, free.
 * May take 5 s longer than timeout_ms (a request in flight), 15 s if the disk hangs. NULL is
 * allowed. From the beginning of this call a record that is refused for a permanent reason is
 * refused for good at once. Must not be called by the callback.
 * @return FM_OK: every record was delivered or refused; FM_ETIMEOUT: some were reported with
 *         FM_ESTOP, the sentence says how many and why; FM_ESYS: the sender's thread hangs in the
 *         system and was left, with its memory */
FM_API enum fm_code fm_producer_close(struct fm_producer *producer, unsigned timeout_ms,
                                      struct fm_err *err);

#endif
