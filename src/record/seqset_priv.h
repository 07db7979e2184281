/* record/seqset_priv.h - a set of sequence numbers in little memory, whatever order they come in.
 *
 * Numbers are kept in blocks of 65,536: a block holds runs while they are few, else one bit per
 * number (8 KiB); a full block is one run again. A stream read in order costs one run a block.
 * One thread at a time. */
#ifndef FM_RECORD_SEQSET_PRIV_H
#define FM_RECORD_SEQSET_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fm_seqblock; /* private: record/seqset.c */

struct fm_seqset {
    struct fm_seqblock *blocks; /* in ascending order; owned */
    size_t n, room;
    uint64_t count; /* of numbers */
    size_t *bytes; /* where the memory is counted; borrowed, shared by several sets */
};

enum fm_seq_add { FM_SEQ_NEW, FM_SEQ_HAVE, FM_SEQ_NOMEM };

void fm_seqset_init(struct fm_seqset *set, size_t *bytes);
void fm_seqset_clear(struct fm_seqset *set);

enum fm_seq_add fm_seqset_add(struct fm_seqset *set, uint64_t seq);
bool fm_seqset_has(const struct fm_seqset *set, uint64_t seq);

/** The lowest and the highest number; 0 if empty. */
uint64_t fm_seqset_first(const struct fm_seqset *set);
uint64_t fm_seqset_last(const struct fm_seqset *set);

/** The first run of numbers not in the set within [from, to].
 * @return false if there is none */
bool fm_seqset_absent(const struct fm_seqset *set, uint64_t from, uint64_t to, uint64_t *run_from,
                      uint64_t *run_to);

#endif
