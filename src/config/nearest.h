/* config/nearest.h - the word that was probably meant. Pure functions, any thread. */
#ifndef FM_CONFIG_NEAREST_H
#define FM_CONFIG_NEAREST_H

#include <stddef.h>

/** The nearest word by Damerau-Levenshtein distance, if it is near at all. */
struct fm_nearest {
    const char *word;
    const char *best;
    size_t distance;
};
void fm_nearest_offer(struct fm_nearest *near, const char *candidate);
/** The best one if it is near enough to be meant, else NULL. */
const char *fm_nearest_word(const struct fm_nearest *near);

#endif
