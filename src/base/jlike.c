#include "base/jlike.h"

#include <stdlib.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/jplain_priv.h"

enum {
    MOULDS = 4,
    MAX_TEXT = 6 * 1024,
    MAX_MARKS = 256,
    NEWS = 16, /* other names than the mould's */
    PATIENCE = 16, /* so many misses in a row: these texts are not alike */
    PAUSE = 256 /* ... and so many are not even compared */
};

struct mould {
    size_t len; /* 0: free */
    size_t n;
    uint64_t names[4]; /* a bit for the hash of each name: most others have none of these */
    struct fm_jplain_mark marks[MAX_MARKS];
    char text[MAX_TEXT];
};

struct fm_jlike {
    unsigned last; /* the mould that fitted, or was made, last */
    unsigned made;
    unsigned misses; /* in a row */
    unsigned pause;
    struct mould moulds[MOULDS];
};

struct fm_jlike *fm_jlike_new(void)
{
    return calloc(1, sizeof(struct fm_jlike));
}

void fm_jlike_free(struct fm_jlike *seen)
{
    free(seen);
}

/* How many of the first n bytes are the same. */
static inline size_t common(const char *a, const char *b, size_t n)
{
    size_t at = 0;
#if defined(__SSE2__)
    for (; n - at >= 16; at += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(a + at));
        __m128i y = _mm_loadu_si128((const __m128i *)(const void *)(b + at));
        unsigned same = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(x, y));
        if (same != 0xffff)
            return at + (size_t)__builtin_ctz(~same);
    }
#endif
    while (at < n && a[at] == b[at])
        at++;
    return at;
}

/* Another name than the mould's may be one that its object has already. What is the same as any
 * name of the text, or as another new one, is looked at properly. */
struct news {
    uint32_t hashes[NEWS];
    unsigned n;
};

static bool is_new(const struct mould *m, struct news *news, uint32_t hash)
{
    bool maybe = (m->names[hash >> 30] >> (hash >> 24 & 63) & 1) != 0;
    for (size_t i = 0; maybe && i < m->n; i++)
        if (m->marks[i].name && m->marks[i].hash == hash)
            return false;
    for (unsigned i = 0; i < news->n; i++)
        if (news->hashes[i] == hash)
            return false;
    if (news->n == NEWS)
        return false;
    news->hashes[news->n++] = hash;
    return true;
}

/* What is the same byte for byte needs no second look, since all that decides about a byte are the
 * bytes before it. Where the two differ within a name or a scalar, that is read anew from its
 * beginning; behind it the text is where the mould is, if the structure goes on alike. */
static bool fits(const struct mould *m, struct fm_jplain *s)
{
    const struct fm_jplain_mark *mark = m->marks, *end = m->marks + m->n;
    const struct fm_jplain_mark *done = NULL;
    struct news news;
    uint32_t hash;
    news.n = 0;
    size_t at = 0;
    for (;;) {
        size_t left = (size_t)(s->end - s->p), rest = m->len - at;
        size_t n = common(m->text + at, s->p, left < rest ? left : rest);
        at += n;
        s->p += n;
        if (at == m->len)
            return s->p == s->end;
        while (mark + 1 < end && mark[1].start <= at)
            mark++;
        /* Right behind it may be within a number that is longer here. */
        if (at < mark->start || at > mark->end || mark == done)
            return false;
        s->p -= at - mark->start;
        if (s->p == s->end)
            return false;
        if (mark->name ? !fm_jplain_name(s, &hash) || !is_new(m, &news, hash)
                       : !fm_jplain_scalar(s))
            return false;
        at = mark->end;
        done = mark;
    }
}

/* Keep a text that none was like, in the place of the one that was made first. */
static bool learn(struct fm_jlike *seen, const char *text, size_t len, fm_jscan_number *number,
                  void *arg)
{
    unsigned slot = seen->made % MOULDS;
    struct mould *m = &seen->moulds[slot];
    m->len = 0;
    if (!fm_jplain_marked(text, len, number, arg, m->marks, MAX_MARKS, &m->n))
        return false;
    if (m->n == 0 || m->n > MAX_MARKS)
        return true;
    memset(m->names, 0, sizeof m->names);
    for (size_t i = 0; i < m->n; i++)
        if (m->marks[i].name)
            m->names[m->marks[i].hash >> 30] |= UINT64_C(1) << (m->marks[i].hash >> 24 & 63);
    memcpy(m->text, text, len);
    m->len = len;
    seen->last = slot;
    seen->made++;
    return true;
}

bool fm_jlike_is_plain(struct fm_jlike *seen, const char *text, size_t len, fm_jscan_number *number,
                       void *arg)
{
    if (seen == NULL || len > MAX_TEXT || (seen->pause > 0 && seen->pause-- > 0))
        return fm_jscan_is_plain(text, len, number, arg);
    for (unsigned i = 0; i < MOULDS; i++) {
        unsigned slot = (seen->last + i) % MOULDS;
        struct fm_jplain s = {.p = text, .end = text + len, .number = number, .arg = arg};
        if (seen->moulds[slot].len > 0 && fits(&seen->moulds[slot], &s)) {
            seen->last = slot;
            seen->misses = 0;
            return true;
        }
    }
    if (++seen->misses == PATIENCE) {
        seen->misses = 0;
        seen->pause = PAUSE;
    }
    return learn(seen, text, len, number, arg);
}
