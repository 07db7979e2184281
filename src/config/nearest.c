/* The word that was probably meant. */
#include "config/option_priv.h"

#include <string.h>

enum { WORD_MAX = 96, NEAR_MAX = 2 };

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Damerau-Levenshtein (optimal string alignment): insert, delete, replace, swap neighbours. */
static size_t distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    if (n > WORD_MAX || m > WORD_MAX)
        return SIZE_MAX;
    size_t rows[3][WORD_MAX + 1];
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = rows[i % 3];
        const size_t *up = rows[(i - 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t cost = a[i - 1] == b[j - 1] ? 0 : 1;
            now[j] = min3(up[j] + 1, now[j - 1] + 1, up[j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                size_t swapped = rows[(i - 2) % 3][j - 2] + 1;
                now[j] = swapped < now[j] ? swapped : now[j];
            }
        }
    }
    return rows[n % 3][m];
}

void fm_nearest_offer(struct fm_nearest *near, const char *candidate)
{
    size_t d = distance(near->word, candidate);
    if (near->best != NULL && d >= near->distance)
        return;
    near->best = candidate;
    near->distance = d;
}

const char *fm_nearest_word(const struct fm_nearest *near)
{
    size_t len = strlen(near->word);
    size_t limit = len <= 3 ? 1 : len <= 6 ? NEAR_MAX : NEAR_MAX + 1;
    return near->best != NULL && near->distance <= limit ? near->best : NULL;
}
