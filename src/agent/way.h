/* agent/way.h - one line of the log for what happens once to a topic's way.
 *
 * The sender sees a trouble and its end first; /health finds the same with the next rendering. What
 * the sender says is held until then, so that one of the two says it: a trouble is told by the
 * reason of /health, which has the sender's words, and the end is told in the sender's words where
 * /health ends the reason. What /health does not say within HOLD_MS is logged by itself; nothing is
 * left out. */
#ifndef FM_AGENT_WAY_H
#define FM_AGENT_WAY_H

#include <pthread.h>

#include "base/log.h"
#include "rest/rest.h"

enum { FM_WAY_LINES = 8, FM_WAY_TEXT = 800 };

struct fm_way_line {
    uint64_t topic, reason; /* hashes */
    bool over;
    bool told; /* by /health */
    int64_t at_ms;
    char text[FM_WAY_TEXT];
};

struct fm_reasons;

struct fm_way {
    struct fm_log *log;
    pthread_mutex_t lock; /* leaf: fresh */
    size_t n_fresh;
    struct fm_way_line fresh[FM_WAY_LINES];
    size_t n_held; /* of the main thread */
    struct fm_way_line held[FM_WAY_LINES];
};

void fm_way_init(struct fm_way *way);
void fm_way_clear(struct fm_way *way);

/** Hold what the sender says. On its thread. */
void fm_way_say(struct fm_way *way, const struct fm_rest_way *what);

/** Before a rendering of /health: take over what came. */
void fm_way_take(struct fm_way *way);

/** While the reasons are worked out: the words for the end of this topic's trouble; they count as
 * told. NULL: there are none. */
const char *fm_way_end_of(struct fm_way *way, uint64_t topic);

/** After the log was told of /health: what it knows now is done, and what is old is logged.
 * @return whether something is still held */
bool fm_way_settle(struct fm_way *way, struct fm_reasons *reasons, int64_t now_ms);

/** At the end: log what is left. */
void fm_way_flush(struct fm_way *way);

#endif
