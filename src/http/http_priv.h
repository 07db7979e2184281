/* http/http_priv.h - shared by the files of the local server. */
#ifndef FM_HTTP_HTTP_PRIV_H
#define FM_HTTP_HTTP_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "http/http.h"
#include "net/server.h"

/* One set of documents, as answers that are ready to be sent. */
struct fm_http_set {
    atomic_uint users;
    bool ready;
    int64_t published_ms;
    struct fm_server_ready *health, *stats, *metrics;
};

struct fm_http {
    struct fm_server *server;
    struct fm_log *log;
    unsigned stale_ms;
    bool is_unix;
    bool is_loopback;
    char host[256]; /* of the listen address */
    char own_name[256];
    char *hosts; /* owned; NULL */
    pthread_mutex_t lock; /* leaf: set, token */
    struct fm_http_set *set; /* NULL before the first publish */
    atomic_bool has_auth; /* whether token is set */
    char *token; /* owned: "user:password"; NULL: no authentication */
};

/* guard.c */
/** Whether Host (and Origin, Sec-Fetch-*) are ours. @return 0, or the status to refuse with */
unsigned fm_http_guard(const struct fm_http *http, struct fm_server_call *call);
/** Whether the Host value names us: host part, case-insensitive, with any port. */
bool fm_http_host_ok(const struct fm_http *http, const char *value);
/** Whether an Authorization value holds the token; takes the same time wherever they differ. */
bool fm_http_auth_ok(const char *authorization, const char *token);
bool fm_http_is_loopback(const char *host);

/* page.c */
/** The status page, its style and script marked with this nonce. */
void fm_http_page(struct fm_buf *out, const char *nonce);

/* routes.c */
void fm_http_handle(struct fm_server_call *call, void *arg);
/** The answers that show these documents. @return FM_OK or FM_ENOMEM, with what was made so far */
FM_MUST_USE enum fm_code fm_http_make_ready(struct fm_http_set *set,
                                            const struct fm_http_docs *docs, struct fm_err *err);
struct fm_http_set *fm_http_set_get(struct fm_http *http);
void fm_http_set_put(struct fm_http_set *set);

#endif
