/* jmx/rmi/convert_priv.h - from parsed Java values to the value tree.
 *
 * The kind of the result follows from the Java class and never from the value (the table of the
 * design, section 5). Cycles become null; what is shared is written out again, within a budget.
 * Nothing blocks; results lie in the caller's arena. */
#ifndef FM_JMX_RMI_CONVERT_PRIV_H
#define FM_JMX_RMI_CONVERT_PRIV_H

#include "jmx/jmx.h"
#include "jmx/rmi/ser_priv.h"

enum { FM_CONVERT_MAX_VALUE = 256 * 1024, FM_CONVERT_MAX_UNKNOWN = 8, FM_CONVERT_MAX_BIG = 16384 };

/* One conversion under way. */
struct fm_convert {
    struct fm_arena *arena; /* borrowed */
    struct fm_err *err;
    size_t budget; /* bytes of JSON still allowed */
    bool object_fields;
    unsigned unknown; /* unknown objects inside one another whose fields are shown */
    unsigned depth;
    const struct fm_ser_node *open[FM_VALUE_DEPTH]; /* being converted: meeting one is a cycle */
};

/** @param opts  NULL: defaults */
void fm_convert_init(struct fm_convert *c, const struct fm_jmx_convert *opts,
                     struct fm_arena *arena, struct fm_err *err);

/** Convert a value. @return FM_OK, FM_ELIMIT (too large or too deep), FM_ENOMEM */
FM_MUST_USE enum fm_code fm_convert_node(struct fm_convert *c, const struct fm_ser_node *node,
                                         struct fm_value *out);

/* The results of the JMX calls. They fail with FM_EPROTO if the answer has another form. */

/** queryNames(): ARRAY of canonical names, sorted. */
FM_MUST_USE enum fm_code fm_convert_names(struct fm_convert *c, const struct fm_ser_node *root,
                                          struct fm_value *out);

/** getMBeanInfo(): see FM_JMX_INFO. */
FM_MUST_USE enum fm_code fm_convert_info(struct fm_convert *c, const struct fm_ser_node *root,
                                         struct fm_value *out);

/** getAttributes(): OBJECT name -> value; values that are too large are left out. */
FM_MUST_USE enum fm_code fm_convert_attributes(struct fm_convert *c, const struct fm_ser_node *root,
                                               struct fm_value *out);

/* ---- between the files of the converter ---- */

/** Take n bytes of the budget. */
FM_MUST_USE enum fm_code fm_convert_charge(struct fm_convert *c, size_t n);

/** A string of the arena as value; charges. */
FM_MUST_USE enum fm_code fm_convert_text(struct fm_convert *c, struct fm_value *out,
                                         const char *text, size_t len);

/** {"class":"name"}, with fields if those are wanted. */
FM_MUST_USE enum fm_code fm_convert_unknown(struct fm_convert *c, const struct fm_ser_node *node,
                                            struct fm_value *out);

FM_MUST_USE enum fm_code fm_convert_field(struct fm_convert *c, const struct fm_ser_value *v,
                                          struct fm_value *out);

/** Give members with equal keys the endings #2, #3, ... */
FM_MUST_USE enum fm_code fm_convert_unique(struct fm_convert *c, struct fm_member *members,
                                           size_t n);

FM_MUST_USE enum fm_code fm_convert_no_memory(struct fm_convert *c);

/* A converter of one class. *known is set to false if the object has not the expected form; it is
 * then shown as an unknown one. */
typedef enum fm_code fm_convert_fn(struct fm_convert *c, const struct fm_ser_node *node,
                                   const struct fm_ser_class *part, struct fm_value *out,
                                   bool *known);

/** The converter of a class with one value (scalar.c); NULL: none. */
fm_convert_fn *fm_convert_scalar(const char *class_name);

/** The converter of collections, maps and open types for a class name; NULL: none. */
fm_convert_fn *fm_convert_collection(const char *class_name);

/** The elements of any collection or array of values, as a list; false: not one. */
bool fm_convert_elements(struct fm_convert *c, const struct fm_ser_node *node,
                         struct fm_ser_list *out);

/** Keys and values in turn of a CompositeData whose items stand in it; false: not one. */
bool fm_convert_composite_pairs(struct fm_convert *c, const struct fm_ser_node *node,
                                struct fm_ser_list *out);

/* big.c */

/** Decimal text of a BigInteger or BigDecimal, as Java's toString() writes it.
 * @return FM_OK, FM_EPROTO (not of this form), FM_ELIMIT, FM_ENOMEM */
FM_MUST_USE enum fm_code fm_big_integer(struct fm_buf *out, const struct fm_ser_node *node);
FM_MUST_USE enum fm_code fm_big_decimal(struct fm_buf *out, const struct fm_ser_node *node);

/* throwable.c */

/* What an exception means to the session (reference, section 10). */
struct fm_throwable {
    enum fm_code code;
    bool closes; /* the TCP connection is out of step: close it */
    bool gone; /* the JMX connection is gone: look it up again */
};

/** Judge an exception and write its sentence: class and message of the innermost cause.
 * @param login  it came from newClient() */
struct fm_throwable fm_throwable_judge(const struct fm_ser_node *node, bool login,
                                       struct fm_err *err);

#endif
