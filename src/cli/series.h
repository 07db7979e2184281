/* cli/series.h - what `watch` remembers: every value of every poll, its rate and its past.
 *
 * A sample's values are taken apart down to numbers, texts and arrays; each becomes a series, kept
 * in the order in which the JVM gives them. Nothing here blocks; one thread at a time. */
#ifndef FM_CLI_SERIES_H
#define FM_CLI_SERIES_H

#include "base/buf.h"
#include "record/record.h"

enum {
    FM_SERIES_MAX = 5000, /* series of a set; what is beyond is counted, not kept */
    FM_SERIES_HISTORY = 128, /* points of a trend */
    FM_SERIES_DEPTH = 16 /* of nesting; what lies deeper is shown as JSON */
};

struct fm_series {
    char *target; /* full name */
    char *bean; /* canonical */
    char *path; /* ATTRIBUTE/key/key, as `get` takes it */
    char *label; /* for people: "Memory HeapMemoryUsage/used" */
    struct fm_buf text; /* the value on one line, as `get` prints it */
    struct fm_buf json; /* the value as JSON */
    bool here; /* in the last sample of its target */
    bool is_number;
    bool whole; /* an integer of 64 bits */
    int64_t integer;
    double number;
    bool counts; /* by its name: fm_series_counts() */
    bool fell; /* went down once: no counter, whatever its name says */
    bool has_rate; /* counts, has never fallen, and the sample before is known */
    double rate; /* per second */
    int64_t time_ns; /* of the last sample, monotonic; 0: none since the JVM began */
    unsigned absent; /* samples without it */
    bool of_rates; /* the history holds rates, else values */
    double history[FM_SERIES_HISTORY]; /* a ring */
    size_t n_history; /* points ever put */
};

struct fm_series_set {
    struct fm_series **items; /* owned */
    size_t n, room;
    size_t left_out; /* of the last sample: more than FM_SERIES_MAX */
    size_t at; /* where the next series of the sample is expected */
    enum fm_json_nonfinite nonfinite;
    bool failed; /* no memory for a value of the last sample */
};

void fm_series_clear(struct fm_series_set *set);

/** Take over a sample read at now_ns (fm_clock_ns()). What was not in three samples of its target
 * is forgotten. */
void fm_series_take(struct fm_series_set *set, const struct fm_sample *sample, int64_t now_ns);

/** Another JVM answers as target: its counters begin anew. */
void fm_series_restart(struct fm_series_set *set, const char *target);

/** Whether a value counts something, so that its rate means something (series_kind.c).
 * @param path  ATTRIBUTE/key/key */
bool fm_series_counts(const char *domain, const char *path);

/** The points of a trend, the oldest first. @return how many, at most max */
size_t fm_series_points(const struct fm_series *series, double *out, size_t max);

#endif
