/* Finding the row of the decision tables that an answer meets. */
#include <stdlib.h>
#include <string.h>

#include "rest/table_priv.h"

/* Whether pattern lies at text; # stands for one or more digits. */
static bool matches_at(const char *text, size_t len, const char *pattern)
{
    size_t at = 0;
    for (; *pattern != '\0'; pattern++) {
        if (*pattern == '#') {
            size_t digits = 0;
            while (at < len && text[at] >= '0' && text[at] <= '9') {
                at++;
                digits++;
            }
            if (digits == 0)
                return false;
        } else if (at >= len || text[at++] != *pattern) {
            return false;
        }
    }
    return true;
}

static bool contains(const char *text, size_t len, const char *pattern)
{
    for (size_t i = 0; text != NULL && i < len; i++) {
        const char *hit = memchr(text + i, pattern[0], len - i);
        if (hit == NULL)
            return false;
        i = (size_t)(hit - text);
        if (matches_at(hit, len - i, pattern))
            return true;
    }
    return false;
}

static bool row_matches(const struct fm_row *row, unsigned dialect, long status, int64_t code,
                        const char *text, size_t len)
{
    if ((row->dialects & dialect) == 0)
        return false;
    if (row->status > 0 && row->status != status)
        return false;
    if (row->status < 0 && -row->status != status / 100)
        return false;
    if (row->codes != NULL) {
        const int *c = row->codes;
        while (*c != 0 && *c != code)
            c++;
        if (*c == 0)
            return false;
    }
    if (row->text == NULL)
        return true;
    return contains(text, len, row->text) ||
           (row->text2 != NULL && contains(text, len, row->text2)) ||
           (row->text3 != NULL && contains(text, len, row->text3));
}

static const struct fm_row *find(const struct fm_row *rows, size_t n, unsigned dialect, long status,
                                 int64_t code, const char *text, size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (row_matches(&rows[i], dialect, status, code, text, len))
            return &rows[i];
    return NULL;
}

const struct fm_row *fm_table_transport(const struct fm_http_answer *http, bool fresh_first)
{
    size_t n;
    const struct fm_row *rows = fm_table_rows(0, &n);
    int want = (int)http->failure;
    if (fresh_first && http->failure == FM_HTTP_BROKEN && http->status == 0)
        want = T_FIRST_TLS;
    for (size_t i = 0; i < n; i++)
        if (rows[i].status == want)
            return &rows[i];
    return &rows[n - 1];
}

const struct fm_row *fm_table_status(enum fm_rest_dialect dialect, long status, bool gzip,
                                     bool has_code, int64_t code, const char *text, size_t len)
{
    if (status >= 300 && status < 400)
        return fm_table_shape(FM_ROW_REDIRECT);
    if (status == 400 && gzip)
        return fm_table_gzip();
    size_t n;
    const struct fm_row *rows = fm_table_rows(1, &n);
    const struct fm_row *row =
        find(rows, n, 1U << dialect, status, has_code ? code : FM_CODE_NONE, text, len);
    return row != NULL ? row
                       : fm_table_shape(FM_ROW_PORTAL); /* 1xx, 6xx: nothing that HTTP knows */
}

const struct fm_row *fm_table_record(enum fm_rest_dialect dialect, const struct fm_report *report)
{
    size_t n;
    const struct fm_row *rows = fm_table_rows(dialect == FM_DIALECT_REDPANDA ? 3 : 2, &n);
    const struct fm_row *row =
        find(rows, n, 1U << dialect, 0, report->has_code ? report->code : FM_CODE_NONE,
             report->text, report->text_len);
    return row != NULL ? row : &rows[n - 1];
}

unsigned fm_retry_after(const char *value)
{
    if (value == NULL)
        return 0;
    while (*value == ' ')
        value++;
    unsigned n = 0;
    const char *p = value;
    for (; *p >= '0' && *p <= '9'; p++) {
        n = n * 10 + (unsigned)(*p - '0');
        if (n > 300)
            return 0;
    }
    while (*p == ' ')
        p++;
    return *p == '\0' && p != value ? n : 0;
}

const char *fm_class_name(enum fm_class cls)
{
    switch (cls) {
    case FM_CLS_OK:
        return "OK";
    case FM_CLS_RETRY:
        return "RETRY";
    case FM_CLS_ISOLATE:
        return "ISOLATE";
    case FM_CLS_PROBE:
        return "PROBE";
    case FM_CLS_ALERT:
        return "ALERT";
    case FM_CLS_AUTH:
        return "AUTH";
    }
    return "?";
}
