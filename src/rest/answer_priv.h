/* rest/answer_priv.h - reading an answer, and judging it by the tables of table.c.
 *
 * Pure functions: no network, no clock, no state but what the caller hands in. Texts are borrowed
 * from the answer's body. */
#ifndef FM_REST_ANSWER_PRIV_H
#define FM_REST_ANSWER_PRIV_H

#include "rest/rest.h"

/** What becomes of a record or a request; a later one is stronger (7.2 point 8). */
enum fm_class { FM_CLS_OK, FM_CLS_RETRY, FM_CLS_ISOLATE, FM_CLS_PROBE, FM_CLS_ALERT, FM_CLS_AUTH };

enum {
    FM_V_P = 1 << 0, /* names a permanent fault of the record */
    FM_V_UNKNOWN = 1 << 1, /* may have been written */
    FM_V_SIZE = 1 << 2, /* a size answer: read the limit again, no halves */
    FM_V_ALONE = 1 << 3, /* "Expiring": no halves either */
    FM_V_SLOW = 1 << 4, /* slow the whole sender, floor 1 s */
    FM_V_BODY = 1 << 5, /* lower the body limit below this body */
    FM_V_ENTRIES = 1 << 6, /* records:batch: fewer records a request, at once */
    FM_V_ENDPOINT = 1 << 7, /* an ALERT that holds the endpoint, not only the topic */
    FM_V_FRESH = 1 << 8, /* next request on a new connection */
    FM_V_NOW = 1 << 9, /* no back-off before the next step */
    FM_V_200_ISOLATE = 1 << 10, /* a probe with 200 makes it ISOLATE */
    FM_V_200_ISOLATE_P = 1 << 11, /* ... with P */
    FM_V_LONG = 1 << 12, /* wait 30 s (the caller scales it) */
    FM_V_ENDS = 1 << 13, /* ends an isolation at once (7.7 rule 6) */
    FM_V_OTHER = 1 << 14, /* try the next endpoint of the list */
    FM_V_HALVE = 1 << 15, /* halve the batch from the second time on */
    FM_V_CLOCK = 1 << 16, /* the clock may be wrong */
    FM_V_TOKEN = 1 << 17, /* the proxy may hand our Bearer token on to Kafka: then AUTH */
    FM_V_SCHEMA = 1 << 19, /* may be about a schema id that was learnt: send the text again */
    FM_V_RECORD = 1 << 18 /* nth counts for each record, not for the request */
};

enum { FM_CODE_NONE = -1000002 };
enum {
    FM_D_C2 = 1,
    FM_D_B = 32, /* v3 through records:batch */
    FM_D_C3 = 2 | FM_D_B,
    FM_D_K = 4,
    FM_D_S = 8,
    FM_D_R = 16,
    FM_D_ALL = 63,
    FM_D_JSON = 15 | FM_D_B
};

/** One row. A row matches if every condition that it states holds; the first one wins. */
struct fm_row {
    const char *name; /* for tests, logs and the third-time count */
    unsigned dialects; /* FM_D_ */
    int status; /* HTTP status; 0: any; -4, -5: any 4xx, 5xx */
    const int *codes; /* error codes, ended by 0; NULL: any. FM_CODE_NONE: no integer code */
    const char *text, *text2, *text3; /* one of them is in the text (# = digits); NULL */
    enum fm_class cls;
    unsigned flags;
    unsigned nth; /* 0, or: from the nth time in a row ... */
    enum fm_class then; /* ... this class */
    enum fm_rest_hop hop;
    const char *what; /* sentence: what it means */
    const char *remedy; /* what to do; NULL */
};

/** One report about a record. */
struct fm_report {
    bool ok; /* success entry: numeric offset and no (v3: 200) error code */
    bool has_code; /* an integer error code */
    int64_t code;
    int64_t partition; /* -1: none */
    const char *text; /* still escaped; NULL: none */
    size_t text_len;
    int64_t id; /* 207: the entry's id; else 0 */
    int64_t offset; /* of a success; -1: none */
    const char *cluster; /* v3; still escaped; NULL: none */
    size_t cluster_len;
};

enum fm_shape {
    FM_SHAPE_EMPTY, /* nothing but white space */
    FM_SHAPE_OFFSETS, /* the first value has an offsets array */
    FM_SHAPE_STREAM, /* v3 reports */
    FM_SHAPE_MULTI, /* 207 */
    FM_SHAPE_ERROR, /* a JSON object that is none of these */
    FM_SHAPE_OTHER /* text, HTML, other JSON */
};

struct fm_answer {
    enum fm_shape shape;
    bool cut; /* the JSON ended too early or went wrong */
    struct fm_report *reports; /* owned; NULL when plain */
    size_t n, cap;
    bool plain; /* n plain successes and nothing else; never for Redpanda, where partitions count */
    bool has_code; /* integer error_code (or code) of the request */
    int64_t code;
    struct fm_offset_watch *watch; /* while it is read; may be NULL */
    const char *text; /* message, or the body's beginning (at most 512 bytes); borrowed */
    size_t text_len;
};

/** The fate of one record. */
struct fm_verdict {
    enum fm_class cls;
    unsigned flags;
    const struct fm_row *row; /* NULL: no report */
    int64_t code; /* FM_CODE_NONE: none */
    const char *text; /* borrowed from the body */
    size_t text_len;
};

/* ---- offsets.c: are the offsets of successes plausible? ---- */

enum { FM_OFFSETS = 16 };
enum { FM_ODD_REPEAT = 1, FM_ODD_SINK = 2, FM_ODD_PARTITION = 4, FM_ODD_CLUSTER = 8 };

/* The last offset of some partitions. */
struct fm_offsets {
    struct fm_offset {
        int64_t partition; /* + 1; 0: none */
        int64_t offset;
    } last[FM_OFFSETS]; /* by partition modulo FM_OFFSETS: of two in one place the last counts */
};

/* While an answer is read. */
struct fm_offset_watch {
    struct fm_offsets seen;
    const int32_t *asked; /* partition of each record; NULL: none was asked for */
    size_t n; /* of these */
    const char *cluster; /* v3: that was asked; "" or NULL: none */
    unsigned told; /* kinds that need no place any more */
    unsigned odd; /* kinds that were found, and the place of the first: */
    int64_t partition, offset, before;
    const char *other; /* the cluster that answered; borrowed from the answer */
    size_t other_len;
};
/** The nth success. */
void fm_offset_see(struct fm_offset_watch *w, size_t nth, int64_t partition, int64_t offset);
void fm_offset_cluster(struct fm_offset_watch *w, const char *id, size_t len);

struct fm_sent { /* what was asked */
    enum fm_rest_dialect dialect;
    size_t n_records;
    bool gzip;
    bool bearer;
    bool fresh_first; /* first request of a fresh TLS connection */
    bool all_partitions; /* Redpanda: every record carried a partition */
    const int32_t *partitions; /* of the records; NULL unless all_partitions */
    struct fm_offset_watch *watch; /* NULL: offsets are not looked at */
};

struct fm_judgement {
    bool by_record; /* verdicts come from reports */
    enum fm_class cls; /* the strongest among the unaccepted; OK: all accepted */
    unsigned flags; /* of all unaccepted ones of that class; UNKNOWN, SIZE, SLOW of any */
    struct fm_verdict top; /* the verdict that decided (the first of that class) */
    size_t accepted, unknown;
    unsigned retry_after_s; /* 1..300; 0: none */
    enum fm_shape shape;
};

/** Parse a body. @param watch  sees the offsets of successes; NULL: nobody does @return FM_OK or
 * FM_ENOMEM; never fails on content */
FM_MUST_USE enum fm_code fm_answer_read(struct fm_answer *out, enum fm_rest_dialect dialect,
                                        long status, const char *body, size_t len,
                                        struct fm_offset_watch *watch, struct fm_err *err);
void fm_answer_clear(struct fm_answer *answer);

/** Judge a whole answer: fills verdicts[0..sent->n_records). */
FM_MUST_USE enum fm_code fm_judge(struct fm_judgement *out, struct fm_verdict *verdicts,
                                  const struct fm_sent *sent, const struct fm_http_answer *http,
                                  struct fm_err *err);

/** 7.3. @return the row; never NULL */
const struct fm_row *fm_table_transport(const struct fm_http_answer *http, bool fresh_first);
/** 7.4; also for probes and 3xx. */
const struct fm_row *fm_table_status(enum fm_rest_dialect dialect, long status, bool gzip,
                                     bool has_code, int64_t code, const char *text, size_t len);
/** 7.5 and 4.4; the report is not a success. */
const struct fm_row *fm_table_record(enum fm_rest_dialect dialect, const struct fm_report *report);

/** All rows, for tests: table 0 transport, 1 status, 2 record, 3 Redpanda, 4 shapes. */
const struct fm_row *fm_table_rows(unsigned table, size_t *n);

enum fm_shape_row {
    FM_ROW_OK,
    FM_ROW_UNREPORTED,
    FM_ROW_TOO_MANY,
    FM_ROW_STRUCTURAL,
    FM_ROW_EMPTY,
    FM_ROW_PORTAL,
    FM_ROW_REDIRECT,
    FM_ROW_UNDECIDED,
    FM_ROW_ODD_ENTRY
};
const struct fm_row *fm_table_shape(enum fm_shape_row which);

/** Seconds to wait by a Retry-After header: digits of 1..300, else 0. */
unsigned fm_retry_after(const char *value);

const char *fm_class_name(enum fm_class cls);

/** "HTTP 422, code 42205: text", cut, printable; at most size bytes. */
void fm_verdict_text(const struct fm_verdict *v, long status, char *out, size_t size);

/** The same of a whole answer that is about no record: its code and message, else how it begins. */
void fm_answer_text(enum fm_rest_dialect dialect, const struct fm_http_answer *http, char *out,
                    size_t size);

#endif
