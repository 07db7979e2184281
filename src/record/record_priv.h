/* record/record_priv.h - what the files of record share: compiled rules and the state of a build.
 */
#ifndef FM_RECORD_RECORD_PRIV_H
#define FM_RECORD_RECORD_PRIV_H

#include "base/arena.h"
#include "config/template.h"
#include "record/record.h"

enum { FM_KEY_MAX = 16 * 1024, FM_HEADER_MAX = 16 * 1024 };

/** name=template, of tags and headers; text is what it makes of the present record. */
struct fm_pair {
    const char *name;
    struct fm_template *tpl;
    struct fm_buf text;
    bool constant; /* within one sample: needs nothing of the bean */
};

struct fm_rule {
    struct fm_arena arena;
    const char *agent;
    enum fm_shape shape;
    int32_t partition;
    enum fm_json_nonfinite nonfinite;
    size_t max_bytes;
    struct fm_template *topic;
    struct fm_template *key; /* NULL: none */
    struct fm_pair *tags;
    size_t n_tags;
    struct fm_pair *headers;
    size_t n_headers;
    struct fm_header *header_list; /* n_headers: the headers of the present record */
    struct fm_buf prefix; /* {"v":1,"agent":"...",  then comes the id */
    /* For the sample that is being built: */
    bool prepared;
    size_t topic_index; /* in fm_build.topics */
    struct fm_buf head; /* "timestamp":...,"target":"...", */
    struct fm_buf tag_json; /* "tags":{...} */
    bool tags_done; /* tag_json holds for the whole sample */
    struct fm_buf key_text; /* of the present record */
    bool key_done;
    bool headers_done;
};

/** One topic of a sample and the chunk that is being filled for it. */
struct fm_build_topic {
    const char *name; /* in the build's arena */
    bool valid;
    struct fm_chunk *chunk; /* NULL: none open */
    uint64_t lost;
};

struct fm_build_state {
    const struct fm_sample *sample;
    fm_chunk_sink *sink;
    fm_record_lost *lost;
    void *arg;
    struct fm_record_count count;
    struct fm_arena arena; /* for the whole build */
    struct fm_arena scratch; /* for one record */
    struct fm_build_topic *topics; /* malloc'ed */
    size_t n_topics;
    struct fm_buf value;
    struct fm_err *err;
};

/* key.c: everything that templates make */
FM_MUST_USE enum fm_code fm_pairs_new(struct fm_pair **out, struct fm_rule *rule, const char *what,
                                      const char *const *items, size_t n, unsigned allowed,
                                      struct fm_err *err);
void fm_pairs_free(struct fm_pair *pairs, size_t n);
/** Render tags, key and headers for a bean (NULL: for a snapshot). */
void fm_rule_render(struct fm_rule *rule, struct fm_build_state *b, const struct fm_name *name);

/* shape.c */
FM_MUST_USE enum fm_code fm_rule_prepare(struct fm_rule *rule, struct fm_build_state *b);
/** Put the record whose value stands in b->value; with its key and headers from the rule.
 * A value beyond the limit is counted as lost. */
FM_MUST_USE enum fm_code fm_build_put(struct fm_build_state *b, struct fm_rule *rule);

/* snapshot.c */
FM_MUST_USE enum fm_code fm_build_snapshots(struct fm_build_state *b);

#endif
