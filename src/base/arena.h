/* base/arena.h - memory for one unit of work (a poll), with a limit, freed whole.
 *
 * One thread at a time. Nothing allocated here is freed alone. */
#ifndef FM_BASE_ARENA_H
#define FM_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct fm_arena_block;

struct fm_arena {
    struct fm_arena_block *blocks; /* the newest first */
    size_t used; /* bytes handed out and block heads */
    size_t max; /* limit of used; 0: none */
    bool over_limit; /* the last NULL was the limit, not memory */
};

void fm_arena_init(struct fm_arena *arena, size_t max_bytes);

/** Free everything; usable again with the same limit. */
void fm_arena_clear(struct fm_arena *arena);

/** As fm_arena_clear(), but what lies there is overwritten first: for arenas that hold secrets. */
void fm_arena_wipe(struct fm_arena *arena);

/** Free everything but one block of ordinary size, for the next unit of work. */
void fm_arena_reset(struct fm_arena *arena);

/** size bytes, zeroed, aligned for any type. @return NULL at the limit or without memory */
void *fm_arena_alloc(struct fm_arena *arena, size_t size);

/** n elements of size bytes; NULL on overflow too. */
void *fm_arena_array(struct fm_arena *arena, size_t n, size_t size);

/** A terminated copy of len bytes. */
char *fm_arena_strndup(struct fm_arena *arena, const char *text, size_t len);

#endif
