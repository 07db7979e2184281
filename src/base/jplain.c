/* One pass over a text that is nearly always right JSON: says yes, or that it does not know. */
#include "base/jplain_priv.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/hash.h"
#include "base/utf8.h"

enum { LEVELS = 64, SURE_DIGITS = 17, NAMES = 256 };

/* The names of the objects that are open, to see one that comes twice. */
struct names {
    uint64_t bits[LEVELS + 1]; /* of each level: one for the hash of each of its names */
    uint16_t first[LEVELS + 1];
    unsigned n;
    uint32_t hashes[NAMES];
};

static inline void skip_space(struct fm_jplain *s)
{
    while (s->p < s->end && (unsigned char)*s->p <= ' ' &&
           (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r'))
        s->p++;
}

static inline bool next_is(struct fm_jplain *s, char c)
{
    skip_space(s);
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

/* The first byte that ends or changes a string, or is not ASCII; else the end. */
static inline const char *ordinary(const char *p, const char *end)
{
#if defined(__SSE2__)
    const __m128i quotes = _mm_set1_epi8('"'), slashes = _mm_set1_epi8('\\');
    const __m128i spaces = _mm_set1_epi8(' ');
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        /* As signed bytes those above 0x7f are below the space too. */
        __m128i hit =
            _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, quotes), _mm_cmpeq_epi8(v, slashes)),
                         _mm_cmplt_epi8(v, spaces));
        unsigned mask = (unsigned)_mm_movemask_epi8(hit);
        if (mask != 0)
            return p + __builtin_ctz(mask);
    }
#endif
    const uint64_t ones = 0x0101010101010101U, high = 0x8080808080808080U;
    uint64_t word;
    for (; end - p >= 8; p += 8) {
        memcpy(&word, p, sizeof word);
        uint64_t quote = word ^ ones * '"', slash = word ^ ones * '\\';
        if (((word | (word - ones * ' ') | (quote - ones) | (slash - ones)) & high) != 0)
            break; /* or perhaps none of these: then byte by byte */
    }
    while (p < end && (unsigned char)*p >= ' ' && (unsigned char)*p < 0x80 && *p != '"' &&
           *p != '\\')
        p++;
    return p;
}

/* p stands on a backslash. An escaped surrogate is not for here. */
static bool skip_escape(struct fm_jplain *s)
{
    if (s->end - s->p < 2)
        return false;
    char c = s->p[1];
    s->p += 2;
    if (c != 'u')
        return c == '"' || c == '\\' || c == '/' || c == 'b' || c == 'f' || c == 'n' || c == 'r' ||
               c == 't';
    if (s->end - s->p < 4 || s->p[0] == 'd' || s->p[0] == 'D')
        return false;
    for (int i = 0; i < 4; i++, s->p++) {
        char d = *s->p;
        if (!((d >= '0' && d <= '9') || (d >= 'a' && d <= 'f') || (d >= 'A' && d <= 'F')))
            return false;
    }
    return true;
}

/* The rest of a string from its first byte that is not ordinary. */
static bool take_odd_string(struct fm_jplain *s)
{
    for (;; s->p = ordinary(s->p, s->end)) {
        if (s->p == s->end)
            return false;
        if (*s->p == '"') {
            s->p++;
            return true;
        }
        if (*s->p == '\\') {
            if (!skip_escape(s))
                return false;
            continue;
        }
        size_t step = (unsigned char)*s->p < ' ' ? 0 : fm_utf8_step(s->p, (size_t)(s->end - s->p));
        if (step == 0)
            return false;
        s->p += step;
    }
}

/* p stands behind the opening quote. */
static inline bool take_string(struct fm_jplain *s)
{
    const char *p = ordinary(s->p, s->end);
    s->p = p;
    if (p == s->end || *p != '"')
        return take_odd_string(s);
    s->p++;
    return true;
}

static inline bool take_digits(struct fm_jplain *s)
{
    const char *start = s->p;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
        s->p++;
    return s->p > start;
}

static inline bool take_number(struct fm_jplain *s)
{
    const char *start = s->p;
    if (*s->p == '-')
        s->p++;
    const char *whole = s->p;
    if (!take_digits(s) || (*whole == '0' && s->p - whole > 1))
        return false;
    bool sure = true;
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (!take_digits(s))
            return false;
    }
    if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
        sure = false;
        s->p++;
        if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
            s->p++;
        if (!take_digits(s))
            return false;
    }
    sure = sure && s->p - start <= SURE_DIGITS;
    return sure || s->number == NULL || s->number(s->arg, start, (size_t)(s->p - start));
}

static bool take_word(struct fm_jplain *s, const char *word, size_t len)
{
    if ((size_t)(s->end - s->p) < len || memcmp(s->p, word, len) != 0)
        return false;
    s->p += len;
    return true;
}

/* A string, number or word; p stands on its first byte. */
static inline bool take_scalar(struct fm_jplain *s)
{
    switch (*s->p) {
    case '"':
        s->p++;
        return take_string(s);
    case 't':
        return take_word(s, "true", 4);
    case 'f':
        return take_word(s, "false", 5);
    case 'n':
        return take_word(s, "null", 4);
    default:
        return take_number(s);
    }
}

static inline bool closes(struct fm_jplain *s)
{
    return next_is(s, (s->objects & 1) != 0 ? '}' : ']');
}

bool fm_jplain_scalar(struct fm_jplain *s)
{
    return take_scalar(s);
}

/* p stands on the opening quote. */
static inline bool take_name(struct fm_jplain *s, uint32_t *hash)
{
    const char *start = ++s->p;
    const char *p = ordinary(s->p, s->end);
    s->p = p;
    if (p < s->end && *p == '"')
        s->p++;
    else if (!take_odd_string(s) || memchr(start, '\\', (size_t)(s->p - start)) != NULL)
        return false;
    *hash = (uint32_t)fm_hash_wide(FM_HASH_START, start, (size_t)(s->p - 1 - start));
    return true;
}

bool fm_jplain_name(struct fm_jplain *s, uint32_t *hash)
{
    return *s->p == '"' && take_name(s, hash);
}

static inline void open_names(struct names *names, unsigned depth)
{
    names->bits[depth] = 0;
    names->first[depth] = (uint16_t)names->n;
}

/* @return false: it may stand in its object already, or there are too many */
static inline bool add_name(struct names *names, unsigned depth, uint32_t hash)
{
    uint64_t bit = UINT64_C(1) << (hash >> 26);
    if ((names->bits[depth] & bit) != 0)
        for (unsigned i = names->first[depth]; i < names->n; i++)
            if (names->hashes[i] == hash)
                return false;
    if (names->n == NAMES)
        return false;
    names->bits[depth] |= bit;
    names->hashes[names->n++] = hash;
    return true;
}

/* What was noted of a text. */
struct notes {
    const char *text;
    struct fm_jplain_mark *marks;
    size_t n, max;
};

static inline void note(struct notes *notes, const char *start, const char *end, bool name,
                        uint32_t hash)
{
    if (notes == NULL)
        return;
    if (notes->n < notes->max)
        notes->marks[notes->n] = (struct fm_jplain_mark){.start = (uint32_t)(start - notes->text),
                                                         .end = (uint32_t)(end - notes->text),
                                                         .hash = hash,
                                                         .name = name};
    notes->n++;
}

static inline bool take_key(struct fm_jplain *s, struct notes *notes, struct names *names)
{
    uint32_t hash;
    skip_space(s);
    const char *start = s->p;
    if (s->p == s->end || *s->p != '"' || !take_name(s, &hash) || !add_name(names, s->depth, hash))
        return false;
    note(notes, start, s->p, true, hash);
    return next_is(s, ':');
}

static inline bool check(struct fm_jplain *s, struct notes *notes)
{
    struct names names;
    names.n = 0;
    for (;;) {
        if (s->depth > 0 && (s->objects & 1) != 0 && !take_key(s, notes, &names))
            return false;
        skip_space(s);
        if (s->p == s->end)
            return false;
        const char *start = s->p;
        bool opened = *s->p == '{' || *s->p == '[';
        if (opened) {
            if (s->depth++ == LEVELS)
                return false;
            s->objects = s->objects << 1 | (*s->p++ == '{');
            open_names(&names, s->depth);
        } else {
            if (s->depth == 0 || !take_scalar(s))
                return false;
            note(notes, start, s->p, false, 0);
        }
        while (closes(s)) {
            if (opened && s->depth == 1)
                return false; /* nothing in it: some proxies take that for absent */
            opened = false;
            s->objects >>= 1;
            names.n = names.first[s->depth];
            if (--s->depth == 0) {
                skip_space(s);
                return s->p == s->end;
            }
        }
        if (!opened && !next_is(s, ','))
            return false;
    }
}

bool fm_jscan_is_plain(const char *text, size_t len, fm_jscan_number *number, void *arg)
{
    struct fm_jplain s = {.p = text, .end = text + len, .number = number, .arg = arg};
    return check(&s, NULL);
}

bool fm_jplain_marked(const char *text, size_t len, fm_jscan_number *number, void *arg,
                      struct fm_jplain_mark *marks, size_t max, size_t *n)
{
    struct fm_jplain s = {.p = text, .end = text + len, .number = number, .arg = arg};
    struct notes notes = {.text = text, .marks = marks, .max = max};
    bool plain = check(&s, &notes);
    *n = notes.n;
    return plain;
}
