/* jmx/query.h - what is wanted of a target: which beans, which of their attributes, in what form.
 *
 * A query is compiled once from plain strings and never changes; any number of threads may use it.
 * Grammar of the strings: design, section 4 ([query:NAME]). */
#ifndef FM_JMX_QUERY_H
#define FM_JMX_QUERY_H

#include "base/arena.h"
#include "value/name.h"
#include "value/value.h"

/** where.PROPERTY: the value of this key (quotes removed) must match a POSIX extended regex. */
struct fm_query_where {
    const char *property;
    const char *regex;
};

struct fm_query_opts {
    const char *name; /* for messages and /stats; NULL: the bean pattern */
    const char *bean; /* pattern; alternatives separated by " | " */
    const char *exclude; /* the same form; NULL or "": nothing */
    const struct fm_query_where *where;
    size_t n_where;
    /* Globs (* and ?); a leading ! excludes; / goes into composites; \ escapes the next character.
     * None: "*". Only excludes: everything else. */
    const char *const *attributes;
    size_t n_attributes;
    unsigned max_beans; /* 0: 2000 */
};

struct fm_query; /* opaque: jmx/query.c */

/** Compile; everything is copied. @return FM_OK, FM_ECONF (the sentence names the fault), FM_ENOMEM
 */
FM_MUST_USE enum fm_code fm_query_new(struct fm_query **out, const struct fm_query_opts *opts,
                                      struct fm_err *err);
void fm_query_free(struct fm_query *query);

const char *fm_query_name(const struct fm_query *query);
unsigned fm_query_max_beans(const struct fm_query *query);

/** The fewest ObjectName patterns whose union holds every bean of the query: one NAMES call each.
 * Borrowed. */
size_t fm_query_patterns(const struct fm_query *query, const char *const **out);

/** Whether a bean belongs to the query. scratch: for unquoted property values. */
bool fm_query_matches(const struct fm_query *query, const struct fm_name *name,
                      struct fm_arena *scratch);

/** The attributes to read when they can be known without asking for the bean's INFO (no globs).
 * Borrowed. @return false: fm_query_select() is needed */
bool fm_query_literal(const struct fm_query *query, const char *const **names, size_t *n);

/** The attributes to read of a bean, from its INFO (see fm_jmx_op): the readable ones that the
 * query wants. Sensitive names (SystemProperties, ClassPath, InputArguments, FirstMessageAsJSON,
 * *password*, *secret*, *token*) only if the query spells them out. Result in the arena. */
FM_MUST_USE enum fm_code fm_query_select(const struct fm_query *query, const struct fm_value *info,
                                         const char *const **names, size_t *n,
                                         struct fm_arena *arena, struct fm_err *err);

/** Shape what READ gave (OBJECT attribute -> value) into the attributes of a record: what any of
 * the n queries wants, paths keep their nesting. Values are shared with read, not copied. */
FM_MUST_USE enum fm_code fm_query_shape(struct fm_value *out, const struct fm_query *const *queries,
                                        size_t n, const struct fm_value *read,
                                        struct fm_arena *arena, struct fm_err *err);

/** Whether globs leave this attribute or key out. */
bool fm_query_sensitive(const char *name);

#endif
