/* rest/ask_priv.h - one request to a REST proxy outside the sender's thread: check and consumer. */
#ifndef FM_REST_ASK_PRIV_H
#define FM_REST_ASK_PRIV_H

#include "rest/rest.h"

struct fm_asker { /* all borrowed */
    struct fm_client *client;
    const struct fm_rest_opts *way; /* credentials, TLS, HTTP proxy, timeouts */
    const char *token; /* Bearer, or fetched by OAuth2; NULL: none */
    bool (*stop)(void *arg); /* asked some times a second; NULL: never ends early */
    void *arg;
};

struct fm_question { /* a 0 means the default of net/client.h */
    const char *method, *base, *path;
    const char *accept;
    const char *content_type; /* NULL: none */
    const char *body; /* NULL: none */
    size_t body_len;
    unsigned timeout_ms;
    size_t max_answer;
};

/** Ask and wait. A failure on the way, also FM_HTTP_CANCELLED after a stop, is in *http.
 * @param body  replaced by the answer's; http->body points into it
 * @return FM_OK, FM_ENOMEM, FM_ECONF */
FM_MUST_USE enum fm_code fm_ask(const struct fm_asker *asker, const struct fm_question *question,
                                struct fm_http_answer *http, struct fm_buf *body,
                                struct fm_err *err);

#endif
