/* --follow: a line each time, and what is new: numbers missing for long, numbers that came after
 * all, losses declared. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/audit_priv.h"

struct ranges {
    struct fm_audit_range *list; /* ascending, apart; owned */
    size_t n;
};

/* What was known of a stream the last time. */
struct known {
    char stream[FM_STREAM_LEN + 1];
    struct ranges absent; /* not seen then: may have been under way */
    struct ranges told; /* missing, as it was told */
    uint64_t declared[FM_AUDIT_REASONS];
};

struct fm_audit_news {
    struct known *streams;
    size_t n, cap;
    uint64_t records;
};

enum fm_code fm_audit_news_new(struct fm_audit_news **out, struct fm_err *err)
{
    *out = calloc(1, sizeof **out);
    return *out != NULL ? FM_OK : fm_err_nomem(err);
}

void fm_audit_news_free(struct fm_audit_news *news)
{
    if (news == NULL)
        return;
    for (size_t i = 0; i < news->n; i++) {
        free(news->streams[i].absent.list);
        free(news->streams[i].told.list);
    }
    free(news->streams);
    free(news);
}

/* ---- sets of ranges ---- */

static bool put(struct ranges *out, size_t *cap, uint64_t from, uint64_t to)
{
    if (out->n == *cap) {
        size_t more = *cap > 0 ? *cap * 2 : 8;
        struct fm_audit_range *list = realloc(out->list, more * sizeof *list);
        if (list == NULL)
            return false;
        out->list = list;
        *cap = more;
    }
    out->list[out->n++] = (struct fm_audit_range){from, to};
    return true;
}

/* What is in both. @return false without memory */
static bool both(const struct ranges *a, const struct ranges *b, struct ranges *out)
{
    size_t cap = 0, i = 0, k = 0;
    *out = (struct ranges){NULL, 0};
    while (i < a->n && k < b->n) {
        const struct fm_audit_range *x = &a->list[i], *y = &b->list[k];
        uint64_t from = x->from > y->from ? x->from : y->from;
        uint64_t to = x->to < y->to ? x->to : y->to;
        if (from <= to && !put(out, &cap, from, to))
            return false;
        if (x->to < y->to)
            i++;
        else
            k++;
    }
    return true;
}

/* Tell what is in a and not in b. @return how many numbers */
static uint64_t tell_rest(const struct ranges *a, const struct ranges *b, const char *stream,
                          const char *what, bool quiet)
{
    uint64_t sum = 0;
    for (size_t i = 0, k = 0; i < a->n; i++) {
        uint64_t from = a->list[i].from, to = a->list[i].to;
        while (k < b->n && b->list[k].to < from)
            k++;
        for (size_t m = k; from <= to; m++) {
            bool over = m < b->n && b->list[m].from <= to;
            uint64_t end = !over ? to : b->list[m].from > from ? b->list[m].from - 1 : 0;
            if (end >= from) {
                const uint64_t n = end - from + 1;
                sum += n;
                if (!quiet)
                    (void)printf("%s: %s %llu to %llu (%llu)\n", stream, what,
                                 (unsigned long long)from, (unsigned long long)end,
                                 (unsigned long long)n);
            }
            if (!over || b->list[m].to >= to)
                break;
            from = b->list[m].to + 1;
        }
    }
    return sum;
}

/* ---- streams ---- */

static struct known *find(struct fm_audit_news *news, const char *stream)
{
    for (size_t i = 0; i < news->n; i++)
        if (strcmp(news->streams[i].stream, stream) == 0)
            return &news->streams[i];
    if (news->n == news->cap) {
        size_t cap = news->cap > 0 ? news->cap * 2 : 16;
        struct known *more = realloc(news->streams, cap * sizeof *more);
        if (more == NULL)
            return NULL;
        news->streams = more;
        news->cap = cap;
    }
    struct known *fresh = &news->streams[news->n++];
    *fresh = (struct known){.absent = {NULL, 0}};
    (void)snprintf(fresh->stream, sizeof fresh->stream, "%s", stream);
    return fresh;
}

struct sums {
    uint64_t missing; /* twice in a row */
    uint64_t new_missing, found, lost;
};

static bool copy_ranges(const struct fm_audit_stream *s, struct ranges *out)
{
    *out = (struct ranges){malloc((s->n_ranges + 1) * sizeof *out->list), s->n_ranges};
    if (out->list == NULL)
        return false;
    if (s->n_ranges > 0)
        memcpy(out->list, s->ranges, s->n_ranges * sizeof *out->list);
    return true;
}

/* What was missing the last time and is so still. */
static enum fm_code tell_missing(struct known *known, const struct fm_audit_stream *s, bool quiet,
                                 struct sums *sums, struct fm_err *err)
{
    struct ranges now, long_gone = {NULL, 0};
    if (!copy_ranges(s, &now) || !both(&now, &known->absent, &long_gone)) {
        free(now.list);
        free(long_gone.list);
        return fm_err_nomem(err);
    }
    sums->new_missing += tell_rest(&long_gone, &known->told, s->stream, "missing", quiet);
    sums->found += tell_rest(&known->told, &now, s->stream, "not missing any more:", quiet);
    for (size_t i = 0; i < long_gone.n; i++)
        sums->missing += long_gone.list[i].to - long_gone.list[i].from + 1;
    free(known->absent.list);
    free(known->told.list);
    known->absent = now;
    known->told = long_gone;
    return FM_OK;
}

static void tell_declared(struct known *known, const struct fm_audit_stream *s, bool quiet,
                          struct sums *sums)
{
    for (int r = 0; r < FM_AUDIT_REASONS; r++) {
        uint64_t more = s->declared[r] - known->declared[r];
        if (more > 0 && !quiet)
            (void)printf("%s: %llu declared lost (%s)\n", s->stream, (unsigned long long)more,
                         fm_audit_reason_name((enum fm_audit_reason)r));
        sums->lost += more;
        known->declared[r] = s->declared[r];
    }
}

static void print_line(struct fm_audit_news *news, const struct fm_audit_totals *t, bool json,
                       const struct sums *sums)
{
    char at[32];
    int64_t now = fm_wall_ms();
    uint64_t more = t->records - news->records;
    news->records = t->records;
    fm_wall_text(now, at);
    if (json)
        (void)printf("{\"time_ms\":%lld,\"records\":%llu,\"new_records\":%llu,\"streams\":%zu,"
                     "\"missing\":%llu,\"new_missing\":%llu,\"found\":%llu,\"new_declared\":%llu,"
                     "\"duplicates\":%llu}\n",
                     (long long)now, (unsigned long long)t->records, (unsigned long long)more,
                     t->streams, (unsigned long long)sums->missing,
                     (unsigned long long)sums->new_missing, (unsigned long long)sums->found,
                     (unsigned long long)sums->lost, (unsigned long long)t->duplicates);
    else
        (void)printf("%s %llu record%s (+%llu), %zu stream%s, %llu duplicate%s, %llu missing\n", at,
                     (unsigned long long)t->records, fm_plural(t->records),
                     (unsigned long long)more, t->streams, fm_plural(t->streams),
                     (unsigned long long)t->duplicates, fm_plural(t->duplicates),
                     (unsigned long long)sums->missing);
    (void)fflush(stdout);
}

enum fm_code fm_audit_news_tell(struct fm_audit_news *news, const struct fm_audit_job *job,
                                struct fm_err *err)
{
    const struct fm_audit_stream *s;
    struct sums sums = {0};
    bool json = job->cli->global.json;
    for (size_t i = 0; (s = fm_audit_stream(job->audit, i)) != NULL; i++) {
        struct known *known = find(news, s->stream);
        if (known == NULL)
            return fm_err_nomem(err);
        FM_TRY(tell_missing(known, s, json, &sums, err));
        tell_declared(known, s, json, &sums);
    }
    print_line(news, fm_audit_totals(job->audit), json, &sums);
    return FM_OK;
}
