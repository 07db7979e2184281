#include "record/seqset_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_BITS = 16,
    BLOCK_LAST = 65535, /* the highest place in a block */
    WORDS = 1024,
    RUNS_MAX = 256 /* more become bits */
};

struct run {
    uint16_t from, to;
};

struct fm_seqblock {
    uint64_t index; /* seq >> BLOCK_BITS */
    uint32_t count; /* numbers in it */
    uint16_t n_runs, room;
    struct run *runs; /* ascending, never touching; NULL when bits are kept */
    uint64_t *bits;
};

/* NOLINTNEXTLINE(readability-non-const-parameter): the set counts its memory in it later */
void fm_seqset_init(struct fm_seqset *set, size_t *bytes)
{
    *set = (struct fm_seqset){.bytes = bytes};
}

void fm_seqset_clear(struct fm_seqset *set)
{
    for (size_t i = 0; i < set->n; i++) {
        free(set->blocks[i].runs);
        free(set->blocks[i].bits);
    }
    free(set->blocks);
    fm_seqset_init(set, set->bytes);
}

/* ---- blocks ---- */

/* The place of the first block whose index is not below the given one. */
static size_t block_place(const struct fm_seqset *set, uint64_t index)
{
    size_t low = 0, high = set->n;
    if (set->n > 0 && set->blocks[set->n - 1].index <= index) /* in order, as usual */
        return set->blocks[set->n - 1].index == index ? set->n - 1 : set->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->blocks[middle].index < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct fm_seqblock *block_make(struct fm_seqset *set, uint64_t index)
{
    size_t at = block_place(set, index);
    if (at < set->n && set->blocks[at].index == index)
        return &set->blocks[at];
    if (set->n == set->room) {
        size_t room = set->room > 0 ? set->room * 2 : 1;
        struct fm_seqblock *grown = realloc(set->blocks, room * sizeof *grown);
        if (grown == NULL)
            return NULL;
        *set->bytes += (room - set->room) * sizeof *grown;
        set->blocks = grown;
        set->room = room;
    }
    memmove(&set->blocks[at + 1], &set->blocks[at], (set->n - at) * sizeof *set->blocks);
    set->n++;
    set->blocks[at] = (struct fm_seqblock){.index = index};
    return &set->blocks[at];
}

static bool bit_get(const uint64_t *bits, unsigned place)
{
    return (bits[place / 64] >> (place % 64) & 1U) != 0;
}

static bool to_bits(struct fm_seqset *set, struct fm_seqblock *b)
{
    b->bits = calloc(WORDS, sizeof *b->bits);
    if (b->bits == NULL)
        return false;
    *set->bytes += WORDS * sizeof *b->bits;
    for (unsigned i = 0; i < b->n_runs; i++)
        for (unsigned place = b->runs[i].from; place <= b->runs[i].to; place++)
            b->bits[place / 64] |= UINT64_C(1) << (place % 64);
    *set->bytes -= b->room * sizeof *b->runs;
    free(b->runs);
    b->runs = NULL;
    b->n_runs = b->room = 0;
    return true;
}

/* A full block is one run again. */
static void settle(struct fm_seqset *set, struct fm_seqblock *b)
{
    struct run *runs = b->count == BLOCK_LAST + 1 && b->bits != NULL ? malloc(sizeof *runs) : NULL;
    if (runs == NULL)
        return; /* nothing to do, or no memory: bits will do */
    *runs = (struct run){0, BLOCK_LAST};
    *set->bytes += sizeof *runs;
    *set->bytes -= WORDS * sizeof *b->bits;
    free(b->bits);
    b->bits = NULL;
    b->runs = runs;
    b->n_runs = b->room = 1;
}

/* The first run that ends at or behind place. */
static unsigned run_place(const struct fm_seqblock *b, unsigned place)
{
    unsigned low = 0, high = b->n_runs;
    if (b->n_runs > 0 && b->runs[b->n_runs - 1].to < place)
        return b->n_runs;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (b->runs[middle].to < place)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool block_has(const struct fm_seqblock *b, unsigned place)
{
    if (b->bits != NULL)
        return bit_get(b->bits, place);
    unsigned at = run_place(b, place);
    return at < b->n_runs && b->runs[at].from <= place;
}

/* place is in no run and at is the run behind it. */
static bool insert_run(struct fm_seqset *set, struct fm_seqblock *b, unsigned at, unsigned place)
{
    assert(b->runs != NULL || at == 0);
    bool joins_left = at > 0 && b->runs[at - 1].to + 1U == place;
    bool joins_right = at < b->n_runs && b->runs[at].from == place + 1U;
    if (joins_left && joins_right) {
        b->runs[at - 1].to = b->runs[at].to;
        memmove(&b->runs[at], &b->runs[at + 1], (b->n_runs - at - 1U) * sizeof *b->runs);
        b->n_runs--;
        return true;
    }
    if (joins_left || joins_right) {
        if (joins_left)
            b->runs[at - 1].to = (uint16_t)place;
        else
            b->runs[at].from = (uint16_t)place;
        return true;
    }
    if (b->n_runs == b->room) {
        unsigned room = b->room > 0 ? b->room * 2U : 1;
        struct run *grown = realloc(b->runs, room * sizeof *grown);
        if (grown == NULL)
            return false;
        *set->bytes += (room - b->room) * sizeof *grown;
        b->runs = grown;
        b->room = (uint16_t)room;
    }
    memmove(&b->runs[at + 1], &b->runs[at], (b->n_runs - at) * sizeof *b->runs);
    b->runs[at] = (struct run){(uint16_t)place, (uint16_t)place};
    b->n_runs++;
    return true;
}

enum fm_seq_add fm_seqset_add(struct fm_seqset *set, uint64_t seq)
{
    unsigned place = (unsigned)(seq & BLOCK_LAST);
    struct fm_seqblock *b = block_make(set, seq >> BLOCK_BITS);
    if (b == NULL)
        return FM_SEQ_NOMEM;
    if (b->bits == NULL) {
        unsigned at = run_place(b, place);
        if (at < b->n_runs && b->runs[at].from <= place)
            return FM_SEQ_HAVE;
        if (b->n_runs < RUNS_MAX) {
            if (!insert_run(set, b, at, place))
                return FM_SEQ_NOMEM;
            b->count++;
            set->count++;
            return FM_SEQ_NEW;
        }
        if (!to_bits(set, b))
            return FM_SEQ_NOMEM;
    }
    if (bit_get(b->bits, place))
        return FM_SEQ_HAVE;
    b->bits[place / 64] |= UINT64_C(1) << (place % 64);
    b->count++;
    set->count++;
    settle(set, b);
    return FM_SEQ_NEW;
}

bool fm_seqset_has(const struct fm_seqset *set, uint64_t seq)
{
    size_t at = block_place(set, seq >> BLOCK_BITS);
    return at < set->n && set->blocks[at].index == seq >> BLOCK_BITS &&
           block_has(&set->blocks[at], (unsigned)(seq & BLOCK_LAST));
}

/* ---- runs of what is there and what is not ---- */

/* The first place from place on that is (want) or is not in the block; BLOCK_LAST + 1: none. */
static unsigned find(const struct fm_seqblock *b, unsigned place, bool want)
{
    if (b->bits == NULL) {
        unsigned at = run_place(b, place);
        bool inside = at < b->n_runs && b->runs[at].from <= place;
        if (inside == want)
            return place;
        if (!want) /* inside a run; behind it nothing stands, since runs never touch */
            return b->runs[at].to + 1U;
        return at < b->n_runs ? b->runs[at].from : BLOCK_LAST + 1U;
    }
    while (place <= BLOCK_LAST) {
        uint64_t word = want ? b->bits[place / 64] : ~b->bits[place / 64];
        word &= ~UINT64_C(0) << (place % 64);
        if (word != 0)
            return place / 64 * 64 + (unsigned)__builtin_ctzll(word);
        place = place / 64 * 64 + 64;
    }
    return BLOCK_LAST + 1U;
}

uint64_t fm_seqset_first(const struct fm_seqset *set)
{
    if (set->n == 0)
        return 0;
    return (set->blocks[0].index << BLOCK_BITS) + find(&set->blocks[0], 0, true);
}

uint64_t fm_seqset_last(const struct fm_seqset *set)
{
    if (set->n == 0)
        return 0;
    const struct fm_seqblock *b = &set->blocks[set->n - 1];
    unsigned place = BLOCK_LAST;
    if (b->bits == NULL)
        place = b->runs[b->n_runs - 1].to;
    else
        while (!bit_get(b->bits, place))
            place--;
    return (b->index << BLOCK_BITS) + place;
}

/* The first number from seq on that is in the set; UINT64_MAX: none. */
static uint64_t next_there(const struct fm_seqset *set, uint64_t seq)
{
    for (size_t i = block_place(set, seq >> BLOCK_BITS); i < set->n; i++) {
        const struct fm_seqblock *b = &set->blocks[i];
        unsigned from = b->index == seq >> BLOCK_BITS ? (unsigned)(seq & BLOCK_LAST) : 0;
        unsigned place = find(b, from, true);
        if (place <= BLOCK_LAST)
            return (b->index << BLOCK_BITS) + place;
    }
    return UINT64_MAX;
}

bool fm_seqset_absent(const struct fm_seqset *set, uint64_t from, uint64_t to, uint64_t *run_from,
                      uint64_t *run_to)
{
    uint64_t seq = from;
    for (size_t i = block_place(set, seq >> BLOCK_BITS); i < set->n && seq <= to; i++) {
        const struct fm_seqblock *b = &set->blocks[i];
        if (b->index != seq >> BLOCK_BITS)
            break;
        unsigned place = find(b, (unsigned)(seq & BLOCK_LAST), false);
        seq = (b->index << BLOCK_BITS) + place;
        if (place <= BLOCK_LAST)
            break;
    }
    if (seq > to)
        return false;
    uint64_t next = next_there(set, seq);
    *run_from = seq;
    *run_to = next <= to ? next - 1 : to;
    return true;
}
