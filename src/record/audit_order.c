/* Whether the records of a key come in the order of their numbers. */
#include <stdlib.h>

#include "base/hash.h"
#include "record/audit_priv.h"

enum { KEYS_MAX = 1 << 16 }; /* whose order is checked */

uint64_t fm_audit_hash(uint64_t hash, const void *data, size_t len)
{
    hash = fm_hash(hash, data, len);
    hash ^= hash >> 32;
    return hash * UINT64_C(0x9e3779b97f4a7c15);
}

static enum fm_code grow_keys(struct fm_audit *audit, struct fm_err *err)
{
    size_t room = audit->key_room > 0 ? audit->key_room * 2 : 256;
    struct fm_audit_key *grown = calloc(room, sizeof *grown);
    if (grown == NULL)
        return fm_err_nomem(err);
    for (size_t i = 0; i < audit->key_room; i++) {
        size_t at = audit->keys[i].hash & (room - 1);
        while (audit->keys[i].hash != 0 && grown[at].hash != 0)
            at = (at + 1) & (room - 1);
        if (audit->keys[i].hash != 0)
            grown[at] = audit->keys[i];
    }
    audit->bytes += (room - audit->key_room) * sizeof *grown;
    free(audit->keys);
    audit->keys = grown;
    audit->key_room = room;
    return fm_audit_limit(audit, err);
}

enum fm_code fm_audit_order(struct fm_audit *audit, size_t own, size_t part, uint64_t seq,
                            const struct fm_audit_record *rec, struct fm_err *err)
{
    if (rec->key == NULL)
        return FM_OK; /* no order was promised */
    if (audit->n_keys * 2 >= audit->key_room)
        FM_TRY(grow_keys(audit, err));
    uint64_t hash = (own + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ part;
    hash = fm_audit_hash(hash, rec->key, rec->key_len) | 1U;
    size_t at = hash & (audit->key_room - 1);
    while (audit->keys[at].hash != 0 && audit->keys[at].hash != hash)
        at = (at + 1) & (audit->key_room - 1);
    struct fm_audit_key *key = &audit->keys[at];
    if (key->hash == 0) {
        if (audit->n_keys == KEYS_MAX) {
            audit->totals.order_unchecked = true;
            return FM_OK;
        }
        audit->n_keys++;
        key->hash = hash;
    }
    if (seq < key->seq)
        audit->items[own].shown.disordered++;
    else
        key->seq = seq;
    return FM_OK;
}
