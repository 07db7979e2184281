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

/* An MBean that did not answer when it was asked alone. */
struct fm_jolokia_hung {
    uint64_t bean; /* hash of its name */
    int64_t until_ms; /* fm_clock_ms(): left out so long */
    int backoff_ms;
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

    struct fm_log *log;

    struct fm_call *call; /* under way */
    struct fm_buf body;
    struct fm_jolokia_types types;
    struct fm_jmx_cost cost;
    bool target_checked; /* the agent does ask jolokia_target */
    uint64_t refused[FM_JOLOKIA_MAX_REFUSED];
    size_t n_refused;
    struct fm_jolokia_hung hung[FM_JOLOKIA_MAX_HUNG];
    size_t n_hung;
    bool careful; /* a POST of several calls was not answered: see hang.c */
    uint64_t *good; /* while careful: calls that have been answered since, n_good hashes */
    size_t n_good;

    bool busy;
    struct fm_jmx_list list;
    int64_t begun_ms; /* fm_clock_ms() */
    bool lives; /* while careful: it has answered in this list */
    bool alone; /* the list is at the calls that go one by one */
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

/* ---- hang.c ---- */

/* Whether its bean is not asked for now; the call then has its outcome. */
bool fm_jolokia_left_out(struct fm_jolokia *d, struct fm_jmx_call *call);

/* Whether a call goes out in the present part of the list: together with others, or alone. */
bool fm_jolokia_goes_now(struct fm_jolokia *d, const struct fm_jmx_call *call);

/* Begin with the calls that go alone. @return false: nothing is left of the list */
bool fm_jolokia_go_alone(struct fm_jolokia *d);

/* How long a call alone may take. */
int64_t fm_jolokia_step_ms(const struct fm_jolokia *d);

/* Whether the list must end before all have been asked alone; those then have their outcome. */
bool fm_jolokia_time_is_up(struct fm_jolokia *d);

/* The POST was not answered in time. @return whether one call is to blame, and the list goes on */
bool fm_jolokia_hangs(struct fm_jolokia *d, struct fm_err *err);

/* A call was answered. */
void fm_jolokia_answered(struct fm_jolokia *d, const struct fm_jmx_call *call);

/* ---- driver.c ---- */

void fm_jolokia_on_answer(const struct fm_http_answer *answer, void *session);

#endif
