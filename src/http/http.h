/* http/http.h - the local server: health, statistics, metrics and the status page.
 *
 * Answers come from documents that the agent has published, never from asking anybody: a request
 * costs a copy. GET and HEAD only; a request that a foreign web site made a browser send (Host,
 * Origin, Sec-Fetch-Site) is refused. Routes: / /health /livez /readyz /stats /metrics. */
#ifndef FM_HTTP_HTTP_H
#define FM_HTTP_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "firstmile/err.h"

struct fm_http; /* opaque: http/http.c */

struct fm_http_opts {
    const char *listen; /* HOST:PORT, [v6]:PORT, unix:PATH; port 0: any free one */
    const char *username; /* Basic authentication; NULL: none. Not for /livez and /readyz */
    const char *password;
    const char *cert_file; /* PEM; NULL: plain HTTP */
    const char *key_file; /* NULL: in cert_file */
    const char *hosts; /* further names that Host may have, comma-separated; NULL */
    unsigned max_connections; /* 0: 64 */
    unsigned request_ms; /* first to last byte of a request; 0: 5 s */
    unsigned stale_ms; /* nothing published for so long: /livez and /health fail; 0: never */
    struct fm_log *log;
};

/** Listen and serve; borrows nothing. Warns about an address that others can reach without
 * authentication. @return FM_OK, FM_ECONF (address, certificate), FM_ESYS, FM_ENOMEM */
FM_MUST_USE enum fm_code fm_http_start(struct fm_http **out, const struct fm_http_opts *opts,
                                       struct fm_err *err);

/** End what is under way, join, free. NULL is allowed. */
void fm_http_stop(struct fm_http *http);

/** What is shown from now on. Texts are copied. */
struct fm_http_docs {
    const char *health; /* JSON of /health */
    size_t health_len;
    bool failing; /* /health answers 503 instead of 200 */
    const char *stats; /* JSON of /stats */
    size_t stats_len;
    const char *metrics; /* Prometheus text of /metrics */
    size_t metrics_len;
    bool ready; /* /readyz: 200, else 503 */
    bool stopping; /* /livez stays 200, /readyz is 503 */
};

/** Swap the documents; waits for nobody. Any thread, one at a time.
 * @return FM_OK, or FM_ENOMEM and the old documents stay */
FM_MUST_USE enum fm_code fm_http_publish(struct fm_http *http, const struct fm_http_docs *docs,
                                         struct fm_err *err);

/** Change the credentials (reload). NULL username: none. Any thread. */
FM_MUST_USE enum fm_code fm_http_set_auth(struct fm_http *http, const char *username,
                                          const char *password, struct fm_err *err);

/** Connections open now; those refused or closed so far to make room or for being slow. */
void fm_http_load(const struct fm_http *http, unsigned *open, uint64_t *evicted);

/** The port in use; 0 for a Unix socket. */
uint16_t fm_http_port(const struct fm_http *http);

#endif
