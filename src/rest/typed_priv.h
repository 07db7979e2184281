/* rest/typed_priv.h - requests in the formats avro and jsonschema: which schema, by text or by id,
 * and what an answer says about it. Reference rest-proxy.md, sections 1.1, 1.4, 1.5, 2.2. */
#ifndef FM_REST_TYPED_PRIV_H
#define FM_REST_TYPED_PRIV_H

#include "record/schema.h"
#include "rest/rest.h"

enum { FM_TYPED_OWN = FM_SCHEMAS, FM_TYPED_SLOTS }; /* OWN: the schema of schema_file */

/** What a topic knows of its schemas. Ids are forgotten when the registry does not know them. */
struct fm_typed {
    uint32_t value_id[FM_TYPED_SLOTS]; /* learnt from answers; 0: the text is sent */
    uint32_t key_id;
    /* Ids that were refused. If they come back, the text is sent each time: Karapace 5.0.3 tells
     * the id of a schema that it met on another topic, and then refuses it on this one. */
    uint32_t refused_value[FM_TYPED_SLOTS], refused_key;
    bool silent; /* the proxy accepts, but tells no id: the text is sent each time */
    enum fm_schema shape; /* of the last data: control records follow it */
};

/** What one request uses of it; several may be under way. */
struct fm_typed_use {
    enum fm_schema shape;
    unsigned slot;
    uint32_t value_id, key_id; /* 0: the text */
    bool has_key;
    bool by_id; /* with an id that was learnt */
};

bool fm_typed_is(enum fm_rest_format format);

/** Begin with what the options say. */
void fm_typed_reset(struct fm_typed *typed, const struct fm_rest_opts *o);

/** Look at the first of n records: fixes the schema of the request that begins there. */
void fm_typed_begin(struct fm_typed *typed, struct fm_typed_use *use, const struct fm_rest_opts *o,
                    const struct fm_spool_item *items, size_t n);

/** Whether an item may join the first one in that request. */
bool fm_typed_fits(const struct fm_typed_use *use, const struct fm_rest_opts *o,
                   const struct fm_spool_item *first, const struct fm_spool_item *item);

/** v3 sends a schema's text with each record: until its id is known, one record a request. */
bool fm_typed_alone(const struct fm_typed *typed, const struct fm_typed_use *use,
                    const struct fm_rest_opts *o);

/** v2: the schemas, before "records". */
void fm_typed_head(struct fm_buf *body, const struct fm_typed_use *use,
                   const struct fm_rest_opts *o);

/** v3: the value with its schema. */
void fm_typed_side(struct fm_buf *body, const struct fm_typed_use *use,
                   const struct fm_rest_opts *o, const struct fm_spool_item *item);

/** The value alone. */
void fm_typed_value(struct fm_buf *body, const struct fm_typed_use *use,
                    const struct fm_rest_opts *o, const struct fm_spool_item *item);

/** A record of the request was accepted: take the ids from the answer. */
void fm_typed_learn(struct fm_typed *typed, const struct fm_typed_use *use,
                    const struct fm_rest_opts *o, const char *answer, size_t len);

/** The answer complains about a schema. @return true: ids learnt were sent, they are forgotten, and
 * the same records with the schema's text may pass */
bool fm_typed_forget(struct fm_typed *typed, const struct fm_typed_use *use);

#endif
