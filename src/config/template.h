/* config/template.h - texts with ${variables}, compiled once, filled for each record.
 *
 * ${agent} ${host} ${target} ${topic} ${domain} ${bean} ${prop.NAME} ${tag.NAME}; $$ is a dollar,
 * and a dollar before anything else stands for itself. Compiled templates are read-only and may be
 * used by any thread. */
#ifndef FM_CONFIG_TEMPLATE_H
#define FM_CONFIG_TEMPLATE_H

#include "base/buf.h"

enum fm_var {
    FM_VAR_AGENT = 1 << 0,
    FM_VAR_HOST = 1 << 1,
    FM_VAR_TARGET = 1 << 2,
    FM_VAR_TOPIC = 1 << 3,
    FM_VAR_DOMAIN = 1 << 4,
    FM_VAR_BEAN = 1 << 5,
    FM_VAR_PROP = 1 << 6,
    FM_VAR_TAG = 1 << 7
};
enum {
    FM_VARS_TOPIC = FM_VAR_AGENT | FM_VAR_HOST | FM_VAR_TARGET,
    FM_VARS_SNAPSHOT = FM_VARS_TOPIC | FM_VAR_TOPIC, /* there is no single bean */
    FM_VARS_TAG = FM_VARS_SNAPSHOT | FM_VAR_DOMAIN | FM_VAR_BEAN | FM_VAR_PROP,
    FM_VARS_ALL = FM_VARS_TAG | FM_VAR_TAG
};

/** Values for one record; NULL counts as empty. */
struct fm_template_values {
    const char *host;
    const char *target;
    const char *topic;
    const char *domain;
    const char *bean;
    /* value of a key property or tag, NULL if there is none; borrowed until the next call */
    const char *(*prop)(void *arg, const char *name);
    const char *(*tag)(void *arg, const char *name);
    void *arg;
};

struct fm_template; /* opaque: config/template.c */

/** Compile.
 * @param allowed  set of enum fm_var
 * @param agent    put in at once; NULL: unknown yet, counts as empty
 * @return FM_OK, FM_ECONF (unknown or forbidden variable, a brace without its end), FM_ENOMEM */
FM_MUST_USE enum fm_code fm_template_new(struct fm_template **out, const char *text,
                                         unsigned allowed, const char *agent, struct fm_err *err);
void fm_template_free(struct fm_template *tpl);

/** The variables (but agent) that it holds: a set of enum fm_var. 0: a constant. */
unsigned fm_template_vars(const struct fm_template *tpl);

/** The name of the i-th ${tag.NAME}; NULL behind the last. */
const char *fm_template_tag(const struct fm_template *tpl, size_t i);

/** Fill in, appended to out. */
void fm_template_put(const struct fm_template *tpl, const struct fm_template_values *values,
                     struct fm_buf *out);

/** Whether text is a legal topic name: 1 to 249 of [A-Za-z0-9._-], not "." or ".."
 * (Apache Kafka, org.apache.kafka.common.internals.Topic). */
bool fm_topic_valid(const char *text, size_t len);

#endif
