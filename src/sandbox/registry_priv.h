/* sandbox/registry_priv.h - a stand-in for the Schema Registry behind a REST proxy: keeps schemas,
 * gives ids, and turns the JSON of a value into what lies in Kafka: a zero byte, the id, then Avro
 * binary or the JSON text. An id depends on the schema alone, so that it is the same after a
 * restart; but like all of it, it is known only once it was registered in this run. Compatibility
 * is not checked; a fault script can say so. Any thread. */
#ifndef FM_SANDBOX_REGISTRY_PRIV_H
#define FM_SANDBOX_REGISTRY_PRIV_H

#include "base/buf.h"

enum fm_registry_kind { FM_REGISTRY_AVRO, FM_REGISTRY_JSON };

struct fm_registry; /* opaque: sandbox/registry.c */

FM_MUST_USE enum fm_code fm_registry_new(struct fm_registry **out, struct fm_err *err);
void fm_registry_free(struct fm_registry *registry);

/** Register a schema's text.
 * @return FM_OK, FM_ECONF (no schema, or of a kind unknown here), FM_ELIMIT (too many), FM_ENOMEM
 */
FM_MUST_USE enum fm_code fm_registry_add(struct fm_registry *registry, enum fm_registry_kind kind,
                                         const char *text, size_t len, uint32_t *id,
                                         struct fm_err *err);

/** The kind of a registered schema. @return false: the id is not known */
bool fm_registry_kind(struct fm_registry *registry, uint32_t id, enum fm_registry_kind *out);

/** A value as Kafka gets it, appended: at most 4 * len + 64 bytes.
 * @return FM_OK, FM_ENOTFOUND (id), FM_EPROTO (the value does not fit: the sentence says where) or
 *         FM_ENOMEM; out is as before on an error */
FM_MUST_USE enum fm_code fm_registry_encode(struct fm_registry *registry, uint32_t id,
                                            const char *json, size_t len, struct fm_buf *out,
                                            struct fm_err *err);

/* avro.c; tree is the schema or a value, parsed by jansson (void so that no header shows it) */
FM_MUST_USE enum fm_code fm_avro_check(const void *schema, unsigned depth, struct fm_err *err);
FM_MUST_USE enum fm_code fm_avro_put(const void *schema, const void *value, struct fm_buf *out,
                                     unsigned depth, struct fm_err *err);

#endif
