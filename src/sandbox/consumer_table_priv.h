/* sandbox/consumer_table_priv.h - what the files of the consumer interface share: the instances,
 * and one request that concerns them. Everything here with fm_consumers.lock held. */
#ifndef FM_SANDBOX_CONSUMER_TABLE_PRIV_H
#define FM_SANDBOX_CONSUMER_TABLE_PRIV_H

#include <pthread.h>

#include "sandbox/consumer_priv.h"

struct json_t; /* of jansson */

enum fm_consumer_mode { FM_CONSUMER_IDLE, FM_CONSUMER_SUBSCRIBED, FM_CONSUMER_ASSIGNED };

struct fm_instance {
    char group[FM_CONSUMER_NAME + 1], name[FM_CONSUMER_NAME + 1];
    uint64_t serial, version;
    bool binary, from_end;
    int64_t wait_ms, used_ms;
    enum fm_consumer_mode mode;
    char (*topics)[FM_TLOG_NAME_MAX + 1];
    size_t n_topics;
    struct fm_spot *spots;
    size_t n_spots, turn; /* turn: the one read first */
};

struct fm_commit {
    char group[FM_CONSUMER_NAME + 1];
    struct fm_spot spot;
};

struct fm_consumers {
    int64_t idle_ms;
    const char *scheme;
    pthread_mutex_t lock; /* protects all below; a leaf */
    struct fm_instance *list[FM_CONSUMERS];
    size_t n;
    uint64_t serial;
    struct fm_commit *commits;
    size_t n_commits;
};

/* One request. */
struct fm_consumer_call {
    struct fm_consumers *all;
    struct fm_v2 *v2;
    const struct fm_v2_request *request;
    const char *group, *name;
    const struct json_t *body; /* an object; NULL: none was sent */
    struct fm_instance *instance;
};

/** Forget those that nobody used for long. */
void fm_consumers_sweep(struct fm_consumers *all, int64_t now);
struct fm_instance *fm_consumers_find(const struct fm_consumers *all, const char *group,
                                      const char *name);
struct fm_commit *fm_consumers_commit(const struct fm_consumers *all, const char *group,
                                      const char *topic, int32_t partition);
/** Where an instance begins in a partition. */
int64_t fm_instance_origin(const struct fm_consumers *all, const struct fm_instance *instance,
                           const char *topic, int32_t partition);

/* Answers; those that give a bool give false. */
bool fm_consumer_refuse(struct fm_consumer_call *c, unsigned status, int code, const char *text);
bool fm_consumer_no_content(struct fm_consumer_call *c);
bool fm_consumer_no_memory(struct fm_consumer_call *c);
struct fm_buf *fm_consumer_json(struct fm_consumer_call *c);

/* The requests. @return as fm_consumer_parse() */
bool fm_consumer_create(struct fm_consumer_call *c);
bool fm_consumer_delete(struct fm_consumer_call *c);
bool fm_consumer_subscribe(struct fm_consumer_call *c);
bool fm_consumer_unsubscribe(struct fm_consumer_call *c);
bool fm_consumer_subscription(struct fm_consumer_call *c);
bool fm_consumer_assign(struct fm_consumer_call *c);
bool fm_consumer_assignments(struct fm_consumer_call *c);
bool fm_consumer_seek(struct fm_consumer_call *c);
bool fm_consumer_seek_beginning(struct fm_consumer_call *c);
bool fm_consumer_seek_end(struct fm_consumer_call *c);
bool fm_consumer_commit(struct fm_consumer_call *c);
bool fm_consumer_committed(struct fm_consumer_call *c);

#endif
