/* jmx/jolokia/jolokia_priv.h - a session with a Jolokia agent, 1.x or 2.x, over HTTP.
 *
 * driver.c is the session's life, ask.c chooses what the next bulk POST holds, answer.c judges what
 * came back; request.c writes requests, reply.c reads replies, value.c turns JSON into values,
 * types.c remembers the declared types that mend what the agent flattened. Wire facts: Jolokia's
 * manual and the agents 1.7.2 and 2.1. */
#ifndef FM_JMX_JOLOKIA_JOLOKIA_PRIV_H
#define FM_JMX_JOLOKIA_JOLOKIA_PRIV_H

#include "base/jscan.h"
#include "jmx/jmx_priv.h"

enum {
    FM_JOLOKIA_ITEMS = 512, /* of one POST */
    FM_JOLOKIA_BODY = 128 * 1024, /* about the largest POST */
    FM_JOLOKIA_RANGES = 64,
    FM_JOLOKIA_MAX_SPLITS = 128, /* halvings in one list */
    FM_JOLOKIA_MAX_REFUSED = 64, /* calls remembered as refused */
    FM_JOLOKIA_MAX_HUNG = 64, /* MBeans remembered as hanging */
    FM_JOLOKIA_MAX_VALUE = 256 * 1024,
    FM_JOLOKIA_TYPES_BYTES = 8 * 1024 * 1024
};

/* ---- types.c: what JSON alone does not tell ---- */

enum fm_jolokia_mend {
    FM_MEND_NONE,
    FM_MEND_BIG, /* BigInteger, BigDecimal: text */
    FM_MEND_DATE, /* epoch milliseconds */
    FM_MEND_BYTES, /* base64 */
    FM_MEND_OBJECT_NAME, /* {"objectName": ...} to its text; in arrays too */
    FM_MEND_DOUBLE, /* always with a fraction */
    FM_MEND_FLOAT
};

struct fm_jolokia_attr {
    const char *name;
    enum fm_jolokia_mend mend;
    struct fm_jolokia_attr *next;
};

struct fm_jolokia_bean {
    const char *name; /* as the caller writes it */
    uint64_t hash;
    struct fm_jolokia_attr *attrs; /* only those to be mended */
};

struct fm_jolokia_types {
    struct fm_arena arena;
    struct fm_jolokia_bean **slots; /* open addressing */
    size_t cap;
    size_t n;
    bool full; /* no more memory is given to it */
};

void fm_jolokia_types_init(struct fm_jolokia_types *types);
void fm_jolokia_types_clear(struct fm_jolokia_types *types);
const struct fm_jolokia_bean *fm_jolokia_types_find(const struct fm_jolokia_types *types,
                                                    const char *bean);
/** Remember a bean; info is the answer of FM_JMX_INFO, or NULL when its types cannot be had. */
void fm_jolokia_types_put(struct fm_jolokia_types *types, const char *bean,
                          const struct fm_value *info);
enum fm_jolokia_mend fm_jolokia_types_mend(const struct fm_jolokia_bean *bean, const char *attr);
uint64_t fm_jolokia_hash(uint64_t hash, const char *text);

/* ---- value.c ---- */

/** One JSON value (the whole text) as a value tree in the arena. Markers that the agent puts in the
 * place of values it could not give are left out of objects, and null in arrays.
 * @return FM_OK; FM_EREMOTE (the value itself is a marker: why in err), FM_EPROTO, FM_ELIMIT,
 *         FM_ENOMEM */
FM_MUST_USE enum fm_code fm_jolokia_value(struct fm_value *out, struct fm_arena *arena,
                                          const char *json, size_t len, enum fm_jolokia_mend mend,
                                          struct fm_err *err);

/* ---- reply.c ---- */

/* One element of the answer; the text is borrowed from the body. */
struct fm_jolokia_reply {
    int64_t status; /* 0: it has none */
    const char *value; /* its JSON; NULL: it has none */
    size_t value_len;
    char error[160];
    char error_type[120];
};

/** Take the next reply apart; the scanner stands behind token, its '{'.
 * @return false: it is not the JSON of a reply */
bool fm_jolokia_reply_read(struct fm_jolokia_reply *out, struct fm_jscan *s, enum fm_jtoken token);

/** What a failed reply means for a call. */
enum fm_code fm_jolokia_reply_error(const struct fm_jolokia_reply *reply, struct fm_err *err);

/** Put the outcome of a call down. bean may be NULL: nothing is mended. */
void fm_jolokia_reply_take(struct fm_jmx_call *call, const struct fm_jolokia_reply *reply,
                           const struct fm_jolokia_bean *bean, struct fm_arena *arena,
                           size_t max_value);

/** The answer of a list of one bean in the form of FM_JMX_INFO. */
FM_MUST_USE enum fm_code fm_jolokia_info(struct fm_value *out, const struct fm_jolokia_reply *reply,
                                         struct fm_arena *arena, struct fm_err *err);

/* ---- request.c ---- */

/* The real target behind an agent in proxy mode; url NULL: none. */
struct fm_jolokia_target {
    const char *url;
    const char *username;
    const char *password;
};

/** Where to POST: trailing slash and options added. @return false without memory */
bool fm_jolokia_url(struct fm_buf *out, const char *url);

/** One element of the request. */
void fm_jolokia_put_call(struct fm_buf *out, const struct fm_jmx_call *call,
                         const struct fm_jolokia_target *target);
void fm_jolokia_put_list(struct fm_buf *out, const char *bean,
                         const struct fm_jolokia_target *target);
void fm_jolokia_put_version(struct fm_buf *out);

#endif
