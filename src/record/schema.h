/* record/schema.h - records in the formats avro and jsonschema: the schema of each shape, and a
 * stored record as a value of it.
 *
 * One schema per shape holds data and control records. All shapes share their name and give a
 * default to every field that only some records have, so that they follow one another under the
 * registry's rule BACKWARD. Attributes are scalars; what is nested travels as its JSON text.
 * Pure functions, any thread. */
#ifndef FM_RECORD_SCHEMA_H
#define FM_RECORD_SCHEMA_H

#include "base/buf.h"

enum fm_schema { FM_SCHEMA_BEAN, FM_SCHEMA_METRIC, FM_SCHEMA_SNAPSHOT, FM_SCHEMAS };
enum fm_schema_lang { FM_SCHEMA_AVRO, FM_SCHEMA_JSON };

/** "bean", ...: as in [record] shape; static. */
const char *fm_schema_name(enum fm_schema schema);

/** The schema's text (JSON), appended. */
void fm_schema_text(struct fm_buf *out, enum fm_schema_lang lang, enum fm_schema schema);

/** Which schema a record's value asks for. @return false: any of them (a control record) */
bool fm_schema_of(const char *value, size_t len, enum fm_schema *out);

/** A record's value as a value of the schema, appended: in Avro's JSON encoding (a union's member
 * wrapped, {"long":1}) or as plain JSON. Members that the schema does not have are left out.
 * @param value  JSON text with stream and seq in their place
 * @return FM_OK, FM_EDAMAGE (no JSON object; out is as before) or FM_ENOMEM */
FM_MUST_USE enum fm_code fm_schema_put(struct fm_buf *out, enum fm_schema_lang lang,
                                       enum fm_schema schema, const char *value, size_t len,
                                       struct fm_err *err);

#endif
