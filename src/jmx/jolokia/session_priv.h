/* jmx/jolokia/session_priv.h - a session's state, for driver.c, ask.c and answer.c only.
 *
 * One POST at a time. What a list asks stands as ranges of calls on a small stack; the topmost is
 * sent, as much of it as one POST holds. An agent refuses a bulk as a whole when it cannot parse
 * one item: such a range is halved until the culprit stands alone, which is then not sent again. */
#ifndef FM_JMX_JOLOKIA_SESSION_PRIV_H
#define FM_JMX_JOLOKIA_SESSION_PRIV_H

#include "jmx/jolokia/jolokia_priv.h"

enum fm_jolokia_item_kind { ITEM_CALL, ITEM_TYPES, ITEM_VERSION, ITEM_TARGET_NAME, ITEM_OWN_NAME };

struct fm_jolokia_item {
    enum fm_jolokia_item_kind kind;
    size_t call;
};

struct fm_jolokia_range {
    size_t low;
    size_t high;
};

struct fm_jolokia {
    struct fm_jmx *jmx;
    struct fm_client *client;
    struct fm_arena strings; /* holds secrets: wiped when freed, as is the body */
    struct fm_buf url;
    const char *shown; /* the URL without what may be secret */
    const char *username;
    const char *password;
    struct fm_jolokia_target target;
    struct fm_tls tls;
    struct fm_http_proxy proxy;
    size_t max_answer;
    size_t max_value;

    struct fm_call *call; /* under way */
    struct fm_buf body;
    struct fm_jolokia_types types;
    struct fm_jmx_cost cost;
    bool target_checked; /* the agent does ask jolokia_target */
    uint64_t refused[FM_JOLOKIA_MAX_REFUSED];
    size_t n_refused;

    bool busy;
    struct fm_jmx_list list;
    struct fm_jolokia_range ranges[FM_JOLOKIA_RANGES];
    size_t n_ranges;
    struct fm_jolokia_item items[FM_JOLOKIA_ITEMS];
    size_t n_items;
    struct fm_jolokia_range sent; /* the calls that stand in this POST */
    unsigned splits;
    char target_name[200]; /* Runtime Name behind jolokia_target, while that is checked */
};

/* ---- ask.c ---- */

/* Asked of both sides to see whether the agent does ask jolokia_target. */
extern const struct fm_jmx_call fm_jolokia_runtime_name;

/* The same for calls that ask the same. */
uint64_t fm_jolokia_call_hash(const struct fm_jmx_call *call);

/* Whether the call can be sent at all; a wrong one must not spoil the others. */
bool fm_jolokia_sendable(struct fm_jolokia *d, struct fm_jmx_call *call);

/* Send what is next. @return FM_EAGAIN: sent; FM_OK: nothing is left; or why it failed */
FM_MUST_USE enum fm_code fm_jolokia_advance(struct fm_jolokia *d, struct fm_err *err);

/* ---- answer.c ---- */

/* Put the answer of the POST down in its calls. @return not FM_OK: the whole list has failed */
FM_MUST_USE enum fm_code fm_jolokia_take(struct fm_jolokia *d, const struct fm_http_answer *answer,
                                         struct fm_err *err);

/* ---- driver.c ---- */

void fm_jolokia_on_answer(const struct fm_http_answer *answer, void *session);

#endif
