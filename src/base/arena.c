#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Blocks double from the first to the largest: many arenas hold only a few words for long. */
enum { FIRST_BLOCK = 1024, BLOCK_SIZE = 16 * 1024 };

struct fm_arena_block {
    struct fm_arena_block *next;
    size_t size; /* usable bytes behind the head */
    size_t used;
    alignas(max_align_t) char data[];
};

void fm_arena_init(struct fm_arena *arena, size_t max_bytes)
{
    *arena = (struct fm_arena){.max = max_bytes};
}

void fm_arena_clear(struct fm_arena *arena)
{
    while (arena->blocks != NULL) {
        struct fm_arena_block *block = arena->blocks;
        arena->blocks = block->next;
        free(block);
    }
    fm_arena_init(arena, arena->max);
}

void fm_arena_wipe(struct fm_arena *arena)
{
    for (struct fm_arena_block *block = arena->blocks; block != NULL; block = block->next)
        explicit_bzero(block->data, block->used);
    fm_arena_clear(arena);
}

void fm_arena_reset(struct fm_arena *arena)
{
    struct fm_arena_block *keep = NULL;
    while (arena->blocks != NULL) {
        struct fm_arena_block *block = arena->blocks;
        arena->blocks = block->next;
        if (keep == NULL && block->size <= BLOCK_SIZE) /* the newest is the largest */
            keep = block;
        else
            free(block);
    }
    fm_arena_init(arena, arena->max);
    if (keep != NULL) {
        keep->next = NULL;
        keep->used = 0;
        arena->blocks = keep;
        arena->used = sizeof *keep;
    }
}

static bool add_block(struct fm_arena *arena, size_t size)
{
    size_t data = FIRST_BLOCK;
    if (arena->blocks != NULL)
        data = arena->blocks->size < BLOCK_SIZE / 2 ? 2 * arena->blocks->size : BLOCK_SIZE;
    if (data < size)
        data = size;
    struct fm_arena_block *block = malloc(sizeof *block + data);
    if (block == NULL)
        return false;
    block->size = data;
    block->used = 0;
    arena->used += sizeof *block;
    /* A large block goes behind the first, which still has room for small ones. */
    if (size > BLOCK_SIZE && arena->blocks != NULL) {
        block->next = arena->blocks->next;
        arena->blocks->next = block;
    } else {
        block->next = arena->blocks;
        arena->blocks = block;
    }
    return true;
}

static void *carve(struct fm_arena *arena, struct fm_arena_block *block, size_t size)
{
    void *p = block->data + block->used;
    block->used += size;
    arena->used += size;
    memset(p, 0, size);
    return p;
}

void *fm_arena_alloc(struct fm_arena *arena, size_t size)
{
    const size_t align = alignof(max_align_t);
    arena->over_limit = false;
    if (size > SIZE_MAX / 4) {
        arena->over_limit = true;
        return NULL;
    }
    size = (size + align - 1) / align * align;
    if (arena->max != 0 &&
        size > arena->max - (arena->used < arena->max ? arena->used : arena->max)) {
        arena->over_limit = true;
        return NULL;
    }
    struct fm_arena_block *first = arena->blocks;
    if (first != NULL && size <= first->size - first->used)
        return carve(arena, first, size);
    if (!add_block(arena, size))
        return NULL;
    bool behind = first != NULL && arena->blocks == first;
    return carve(arena, behind ? first->next : arena->blocks, size);
}

void *fm_arena_array(struct fm_arena *arena, size_t n, size_t size)
{
    if (size != 0 && n > SIZE_MAX / 4 / size) {
        arena->over_limit = true;
        return NULL;
    }
    return fm_arena_alloc(arena, n * size);
}

char *fm_arena_strndup(struct fm_arena *arena, const char *text, size_t len)
{
    char *copy = fm_arena_alloc(arena, len + 1);
    if (copy != NULL && len > 0)
        memcpy(copy, text, len);
    return copy;
}
