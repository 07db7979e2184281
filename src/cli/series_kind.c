/* What counts, and what only measures. JMX does not tell (a number is a number, and hardly any bean
 * fills in its descriptor's metricType), so the words of a name have to: "CollectionCount" counts,
 * "ThreadCount" does not. Of what no word speaks no rate is shown: a wrong one is worse than none.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "cli/series.h"

enum kind { UNKNOWN, GAUGE, COUNTER };

/* Each list: words between blanks. */

/* Sums over the whole life, ... */
static const char sums[] = " total totals cumulative uptime unloaded counter ";
/* ... unless they sum up what is there now. */
static const char stocks[] = " size memory space capacity connections threads bytes ";
static const char levels[] =
    " used free committed reserved allocated max maximum min minimum init initial size length "
    "depth "
    "capacity limit threshold peak highest largest smallest current active idle busy open live "
    "alive available pending queued waiting load loaded average avg mean median percent percentage "
    "percentile ratio rate usage utilization level lag age latency last first start stddev daemon "
    "remaining flight state version port id interval timeout expiration memory space ";
/* Counts of things that exist. */
static const char things[] =
    " thread threads connection connections session sessions descriptor descriptors class classes "
    "file files handle handles partition partitions replica replicas leader leaders controller "
    "broker brokers member members consumer consumers producer producers subscriber subscription "
    "node nodes server servers topic topics segment segments buffer buffers pool pools table "
    "tables region regions index group groups worker workers task tasks processor processors "
    "bean beans key keys entry entries element elements row rows item items object objects ";
/* Times that are added up. */
static const char efforts[] =
    " cpu user system collection compilation processing gc elapsed blocked waited ";
static const char deeds[] =
    " requests errors hits misses failures exceptions retries evictions timeouts commits rollbacks "
    "collections operations invocations calls processed received sent created destroyed evicted "
    "rejected completed failed served handled started finished executed dropped discarded expired "
    "written read flushed submitted accepted consumed produced delivered dispatched enqueued "
    "dequeued acknowledged rebalances ";

enum { WORDS = 16, WORD = 24 };

struct words {
    char word[WORDS][WORD]; /* small letters */
    size_t n;
};

static bool begins_word(const char *text, size_t at)
{
    unsigned char before = at > 0 ? (unsigned char)text[at - 1] : ' ';
    unsigned char here = (unsigned char)text[at], after = (unsigned char)text[at + 1];
    return !isalnum(before) || (isupper(here) && !isupper(before)) ||
           (isupper(here) && islower(after)) || (isdigit(here) != 0) != (isdigit(before) != 0);
}

/* "TotalGCTime", "total-gc-time", "total_gc_time" */
static void split(struct words *out, const char *text, size_t len)
{
    size_t at = 0;
    out->n = 0;
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)text[i]))
            continue;
        if (begins_word(text, i)) {
            if (out->n == WORDS)
                return;
            out->n++;
            at = 0;
        }
        if (out->n > 0 && at + 1 < WORD) {
            out->word[out->n - 1][at++] = (char)tolower((unsigned char)text[i]);
            out->word[out->n - 1][at] = '\0';
        }
    }
}

static bool has(const struct words *words, const char *list)
{
    for (size_t i = 0; i < words->n; i++) {
        char padded[WORD + 2];
        (void)snprintf(padded, sizeof padded, " %s ", words->word[i]);
        if (strstr(list, padded) != NULL)
            return true;
    }
    return false;
}

static enum kind judge(const char *text, size_t len)
{
    struct words words;
    split(&words, text, len);
    if (has(&words, sums))
        return has(&words, stocks) ? GAUGE : COUNTER;
    if (has(&words, levels))
        return GAUGE;
    if (has(&words, " count counts "))
        return has(&words, things) ? GAUGE : COUNTER;
    if (has(&words, deeds) || (has(&words, " time ") && has(&words, efforts)))
        return COUNTER;
    return UNKNOWN;
}

/* The value's own name says more than that of the composite around it. */
bool fm_series_counts(const char *domain, const char *path)
{
    if (strcmp(domain, "java.nio") == 0) /* buffers that are there */
        return false;
    size_t last = 0;
    for (size_t i = 0; path[i] != '\0'; i++) {
        if (path[i] == '\\' && path[i + 1] != '\0')
            i++;
        else if (path[i] == '/')
            last = i + 1;
    }
    enum kind kind = judge(path + last, strlen(path + last));
    if (kind == UNKNOWN && last > 0)
        kind = judge(path, last - 1);
    return kind == COUNTER;
}
