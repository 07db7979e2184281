/* value/name.h - ObjectNames and ObjectName patterns (javax.management.ObjectName).
 *
 * Names come over the wire in creation order of their keys, which differs between JDKs; the
 * canonical form (keys sorted) is the identity everywhere in firstmile. */
#ifndef FM_VALUE_NAME_H
#define FM_VALUE_NAME_H

#include "base/arena.h"
#include "firstmile/err.h"

struct fm_name_prop {
    const char *key;
    const char *value; /* as written: a quoted value keeps its quotes and escapes */
    bool pattern; /* the value holds an unescaped * or ? */
};

struct fm_name {
    const char *canonical; /* domain:key=value,... with sorted keys; a pattern ends in ,* */
    const char *domain; /* may be empty */
    struct fm_name_prop *props; /* sorted by key */
    size_t n;
    bool domain_pattern; /* * or ? in the domain */
    bool more; /* property list pattern: further keys are allowed */
};

/** Parse a name or pattern. All memory in the arena.
 * @return FM_OK, FM_ECONF (the sentence names the fault and its place), FM_ELIMIT or FM_ENOMEM */
FM_MUST_USE enum fm_code fm_name_parse(struct fm_name *out, struct fm_arena *arena,
                                       const char *text, struct fm_err *err);

bool fm_name_is_pattern(const struct fm_name *name);

/** Whether a name (no pattern) is matched, by the rules of ObjectName.apply(): * and ? in domain
 * and values, ",*" for further keys. A quoted value is matched as written; \* and \? inside quotes
 * are literal. */
bool fm_name_match(const struct fm_name *pattern, const struct fm_name *name);

/** The value of a key, quotes removed and escapes undone, in the arena; NULL if there is no such
 * key or no memory. */
const char *fm_name_value(const struct fm_name *name, struct fm_arena *arena, const char *key);

/** Glob with * and ? over the whole of text. Iterative, O(n*m). */
bool fm_glob(const char *pattern, const char *text);

#endif
