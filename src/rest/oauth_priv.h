/* rest/oauth_priv.h - tokens by OAuth2 client credentials (RFC 6749, sections 2.3.1, 4.4 and 5).
 *
 * The token is fetched through the sender's own client, so a slow token server delays nothing but
 * the sending; it is fetched anew at 80 % of its life while the old one is still used, and once
 * after a 401. Sender's thread, but for the pure functions. */
#ifndef FM_REST_OAUTH_PRIV_H
#define FM_REST_OAUTH_PRIV_H

#include "rest/ask_priv.h"

struct fm_rest_opts;

/** What a token server's answer came to. */
struct fm_oauth_token {
    bool got;
    struct fm_buf text; /* the token; wipe after use */
    int64_t life_ms; /* 0: not said */
    bool denied; /* the settings must change; else: later again */
    bool other_way; /* credentials might be taken in the body instead of a header */
    const char *remedy; /* static; NULL */
    char what[240]; /* sentence: why there is none. Never holds token or secret */
};

/** Read an answer; *out need not be initialized. Pure.
 * @return FM_OK (see got) or FM_ENOMEM */
FM_MUST_USE enum fm_code fm_oauth_read(struct fm_oauth_token *out,
                                       const struct fm_http_answer *http, struct fm_err *err);
void fm_oauth_token_clear(struct fm_oauth_token *token); /* wipes it */

/** The request's body, appended. @param secret  NULL: the credentials travel in a header */
void fm_oauth_form(struct fm_buf *out, const char *client, const char *secret, const char *scope);
/** Percent-encoded for a form or for Basic (RFC 6749, 2.3.1), appended. */
void fm_oauth_encode(struct fm_buf *out, const char *text);

struct fm_oauth {
    struct fm_call *call;
    struct fm_buf form; /* body of the request under way */
    struct fm_buf used; /* client secret of the last request */
    bool in_body; /* this server takes the credentials in the body only */
    bool denied;
    bool failed; /* the last fetch */
    int64_t asked_at;
    int64_t refresh_at;
    int64_t expires_at; /* the token is not used from then on; 0: there is none */
    int64_t next_at; /* no request before */
    int64_t refused_at; /* when a 401 last asked for another one; 0: never */
    unsigned failures; /* in a row */
    uint64_t fetched, failures_total;
    int64_t expires_wall; /* of the token, ms; 0: unknown or none */
    const char *remedy;
    char what[FM_REST_TEXT];
};

struct fm_rest;

/** Ask for a token when it is time; lowers *due. Nothing unless auth = oauth2. */
void fm_oauth_step(struct fm_rest *rest, int64_t now, int64_t *due);
/** Whether requests may be made: there is a token, or none is wanted. */
bool fm_oauth_ready(const struct fm_rest *rest, int64_t now);
/** A 401 came to a request made with token number gen.
 * @return whether another token is there, or will be asked for now */
bool fm_oauth_refused(struct fm_rest *rest, unsigned gen, int64_t now);
/** Kafka denied a topic to the token with number gen; others may have their rights by it, so it is
 * used until there is another one.
 * @return whether another token is there, or will be asked for now */
bool fm_oauth_denied(struct fm_rest *rest, unsigned gen, int64_t now);
/** The client secret may have changed: if so, ask at once. */
void fm_oauth_secret_changed(struct fm_rest *rest, int64_t now);
void fm_oauth_cancel(struct fm_rest *rest);
/** Forget everything but the counters. No request is under way. */
void fm_oauth_reset(struct fm_rest *rest);
void fm_oauth_clear(struct fm_oauth *oauth);

/** Fetch a token now, for check and consumer. Blocks, until asker->stop says so (FM_ESTOP), or
 * until about the deadline (fm_clock_ms(); INT64_MAX: as long as such a request may take).
 * @param asker  its token is not used
 * @return as fm_oauth_read(), or why nothing was asked */
FM_MUST_USE enum fm_code fm_oauth_fetch(const struct fm_asker *asker, int64_t deadline,
                                        struct fm_oauth_token *out, struct fm_err *err);

#endif
