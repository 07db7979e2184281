/* Equal keys of a map, as text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "jmx/rmi/convert_priv.h"

struct seen {
    const struct fm_member *members;
    uint32_t *slots; /* index + 1 */
    size_t mask;
};

/* Enter a key. @return false if an equal one is there */
static bool enter(struct seen *seen, size_t index)
{
    const struct fm_text *key = &seen->members[index].key;
    uint64_t hash = fm_hash(FM_HASH_START, key->ptr, key->len);
    for (size_t at = (hash ^ hash >> 29) & seen->mask;; at = (at + 1) & seen->mask) {
        if (seen->slots[at] == 0) {
            seen->slots[at] = (uint32_t)index + 1;
            return true;
        }
        const struct fm_text *other = &seen->members[seen->slots[at] - 1].key;
        if (other->len == key->len && memcmp(other->ptr, key->ptr, key->len) == 0)
            return false;
    }
}

static enum fm_code rename_key(struct fm_convert *c, struct seen *seen, struct fm_member *m,
                               size_t index, unsigned *next)
{
    const struct fm_text base = m->key;
    do {
        char ending[16];
        int n = snprintf(ending, sizeof ending, "#%u", (*next)++);
        FM_TRY(fm_convert_charge(c, base.len + (size_t)n));
        char *text = fm_arena_alloc(c->arena, base.len + (size_t)n + 1);
        if (text == NULL)
            return fm_convert_no_memory(c);
        memcpy(text, base.ptr, base.len);
        memcpy(text + base.len, ending, (size_t)n);
        m->key = (struct fm_text){.ptr = text, .len = base.len + (size_t)n};
    } while (!enter(seen, index));
    return FM_OK;
}

/* One count serves all repeated keys as long as they follow one another; it starts again with a
 * new key, and a name that is taken is stepped over. */
static enum fm_code make_unique(struct fm_convert *c, struct seen *seen, struct fm_member *members,
                                size_t n)
{
    struct fm_text last = {.ptr = "", .len = SIZE_MAX};
    unsigned next = 2;
    for (size_t i = 0; i < n; i++) {
        if (enter(seen, i))
            continue;
        const struct fm_text key = members[i].key;
        if (key.len != last.len || memcmp(key.ptr, last.ptr, key.len) != 0)
            next = 2;
        last = key;
        FM_TRY(rename_key(c, seen, &members[i], i, &next));
    }
    return FM_OK;
}

enum fm_code fm_convert_unique(struct fm_convert *c, struct fm_member *members, size_t n)
{
    if (n < 2)
        return FM_OK;
    size_t cap = 8;
    while (cap < n * 2)
        cap *= 2;
    uint32_t *slots = calloc(cap, sizeof *slots);
    if (slots == NULL)
        return fm_err_nomem(c->err);
    struct seen seen = {.members = members, .slots = slots, .mask = cap - 1};
    enum fm_code code = make_unique(c, &seen, members, n);
    free(slots);
    return code;
}
