/* jmx/query_priv.h - the compiled attribute paths, between query.c and shape.c. */
#ifndef FM_JMX_QUERY_PRIV_H
#define FM_JMX_QUERY_PRIV_H

#include "jmx/query.h"

enum { FM_QUERY_STAR = 1, FM_QUERY_ANY = 2 }; /* marks for * and ? in a part's text */

struct fm_query_part {
    const char *text;
    bool wild;
};

struct fm_query_path {
    struct fm_query_part *parts;
    size_t n;
    bool exclude;
};

/** Borrowed. */
const struct fm_query_path *fm_query_paths(const struct fm_query *query, size_t *n);

/** Whether a part matches a name. */
bool fm_query_part_match(const struct fm_query_part *part, const char *name);

/** Whether an exclude takes away the whole attribute. */
bool fm_query_excluded(const struct fm_query_path *paths, size_t n, const char *name);

#endif
