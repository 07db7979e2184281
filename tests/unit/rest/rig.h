/* The rig for the sender: the spool in memory and what became of each record, and a scripted REST
 * proxy with a ledger of what it stored and which verdict it gave before it answered. The books on
 * single records are those of topic t. */
#ifndef FM_TEST_REST_RIG_H
#define FM_TEST_REST_RIG_H

#include <stdatomic.h>

#include "rest/rest.h"

/* ---- spool ---- */

enum fate { FATE_PENDING, FATE_DELIVERED, FATE_DEAD };

struct fm_spool *spool_new(void);
void spool_free(struct fm_spool *spool);
/** n records of a topic; value has about bytes bytes. Seqs go on from 1. Waits for the commit. */
void spool_add(struct fm_spool *spool, const char *topic, size_t n, size_t bytes,
               enum fm_record_kind kind);
enum fate spool_fate(struct fm_spool *spool, uint64_t seq);
size_t spool_count(struct fm_spool *spool, enum fate fate);
size_t spool_assigned(struct fm_spool *spool);
void spool_reason(struct fm_spool *spool, uint64_t seq, char reason[600]); /* of a dead one */

/* ---- proxy ---- */

struct mock;

struct mock_request {
    bool post;
    unsigned nth; /* of its method, from 1 */
    unsigned conn; /* connection, from 1 */
    char topic[256];
    size_t n; /* records */
    const uint64_t *seq;
    size_t offset; /* that the first of them gets */
    size_t body_len;
    const char *head;
    const char *body; /* inflated */
    bool gzip; /* it came compressed */
};

enum mock_how { MOCK_ANSWER, MOCK_RESET, MOCK_CLOSE, MOCK_HANG };

/* What the proxy does. Before the script runs, it is set up to accept everything. */
struct mock_reply {
    unsigned status;
    char *body; /* replaced by mock_body(); freed by the mock */
    const char *headers; /* further lines, each ended by CRLF */
    int delay_ms;
    enum mock_how how;
    size_t cut; /* send only so many bytes of the answer, then close; 0: all */
    int deaf_ms; /* nothing is read behind the answer, and so much later the connection ends */
    bool until_asked; /* it ends as soon as there is another request on it */
    bool no_length; /* no Content-Length; close at the end */
    bool *stored; /* [n]: Kafka has it */
    const char **error; /* [n]: entry instead of a success, e.g. "50003,text"; NULL: accepted */
    bool raw; /* body was set: error[] does not make it */
    bool proves; /* ... and it is a verdict for each record whose error[] is NULL */
    const char *member; /* of an error's text where entries have no null members: "error" as
                         * Karapace writes them, "message" as Strimzi; NULL: as Confluent */
};

typedef void mock_fn(struct mock *mock, const struct mock_request *req, struct mock_reply *reply,
                     void *arg);

struct mock *mock_new(mock_fn *fn, void *arg);
void mock_free(struct mock *mock);
const char *mock_url(const struct mock *mock);
void mock_body(struct mock_reply *reply, unsigned status, const char *body);
/** The same error for every record ("code,text"); nothing stored. */
void mock_refuse(const struct mock_request *req, struct mock_reply *reply, const char *error);
unsigned mock_posts(struct mock *mock);
unsigned mock_gets(struct mock *mock);
void mock_wait_posts(struct mock *mock, unsigned n); /* until there were so many */
size_t mock_stored(struct mock *mock); /* distinct records in the topic */
size_t mock_repeats(struct mock *mock); /* records stored more than once, counted each time */
size_t mock_max_post(struct mock *mock); /* most records in one request since the last call */
bool mock_accepted(struct mock *mock, uint64_t seq); /* a verdict "accepted" was sent */
bool mock_in_order(struct mock *mock); /* first stores ascend */
int64_t mock_last_ms(struct mock *mock); /* fm_clock_ms() of the last request */

/* ---- both ---- */

/** Options with intervals in milliseconds. Requests have seconds, so that a proxy that gets no
 * processor for a while is not taken for one that hangs. */
struct fm_rest_opts rig_opts(struct fm_spool *spool, const char *const *urls, size_t n);

/** For a proxy that is to hang: requests end in less than a second. */
void rig_hurry(struct fm_rest_opts *opts);

/** Start a sender; asserts. */
struct fm_rest *rig_start(const struct fm_rest_opts *opts);

/** Wait until cond(arg) holds; asserts on the deadline. */
void rig_wait(bool (*cond)(void *arg), void *arg, int ms, const char *what);
void rig_drain(struct fm_rest *rest, unsigned ms); /* ms: without a record settled */
void rig_wait_state(struct fm_rest *rest, enum fm_rest_state state, int ms);
struct fm_rest_stats rig_stats(struct fm_rest *rest);

/** One sender with its spool and its mock; the mock's scripts get it as arg. */
struct sender {
    struct fm_spool *spool;
    struct mock *mock;
    struct fm_rest *rest; /* the test's, from rig_start() */
    struct fm_rest_opts opts;
    const char *urls[3]; /* one is used unless the test says more */
    /* for scripts */
    atomic_uint phase;
    uint64_t bad;
};

void sender_setup(struct sender *s, mock_fn *fn);
void sender_teardown(struct sender *s); /* rig_check() first */
mock_fn sender_poison; /* a script: record s->bad makes its whole request fail */

/** P2, P3, P4: delivered only on a verdict, the equation, repeats <= possible duplicates; P7: what
 * waited in memory, requests in flight, their records and bodies, and connections stayed within
 * what the options promise. */
void rig_check(struct fm_rest *rest, struct fm_spool *spool, struct mock *mock);

/** A record of an item without a place for its identity; key NULL: none. All borrowed. */
struct fm_spool_item rig_item(uint64_t seq, const char *key, const char *value);

#endif
