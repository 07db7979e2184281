/* The externalized forms of java.time (class java.time.Ser). RMI writes them without any frame, so
 * that their length is known only to who knows the format. */
#include <stdlib.h>

#include "jmx/rmi/ser_priv.h"

enum kind {
    DURATION = 1,
    INSTANT,
    LOCAL_DATE,
    LOCAL_TIME,
    LOCAL_DATE_TIME,
    ZONED_DATE_TIME,
    ZONE_REGION,
    ZONE_OFFSET,
    OFFSET_TIME,
    OFFSET_DATE_TIME,
    YEAR,
    YEAR_MONTH,
    MONTH_DAY,
    PERIOD
};

enum { NANOS = 1000000000, MAX_OFFSET = 18 * 3600 };

/* One reading. Running out of bytes and finding nonsense are told apart, and both end it. */
struct reader {
    struct fm_cursor *cur;
    struct fm_buf *out;
    bool cut;
    bool bad;
};

static int32_t take_i32(struct reader *r)
{
    int32_t v = 0;
    r->cut = r->cut || !fm_cursor_i32(r->cur, &v);
    return v;
}

static int64_t take_i64(struct reader *r)
{
    int64_t v = 0;
    r->cut = r->cut || !fm_cursor_i64(r->cur, &v);
    return v;
}

static int take_i8(struct reader *r)
{
    uint8_t v = 0;
    r->cut = r->cut || !fm_cursor_u8(r->cur, &v);
    return (int8_t)v;
}

static int take_range(struct reader *r, int low, int high)
{
    int v = take_i8(r);
    if (!r->cut && (v < low || v > high))
        r->bad = true;
    return v;
}

static int32_t take_nanos(struct reader *r)
{
    int32_t v = take_i32(r);
    if (!r->cut && (v < 0 || v >= NANOS))
        r->bad = true;
    return v;
}

/* Years below 1000 have four digits; plus says whether those above 9999 carry a sign. */
static void put_year(struct fm_buf *out, int64_t year, bool plus)
{
    if (year < 0)
        fm_buf_putc(out, '-');
    else if (year > 9999 && plus)
        fm_buf_putc(out, '+');
    fm_buf_printf(out, "%04lld", llabs((long long)year));
}

static void put_fraction(struct fm_buf *out, int32_t nanos)
{
    if (nanos % 1000000 == 0)
        fm_buf_printf(out, ".%03d", (int)nanos / 1000000);
    else if (nanos % 1000 == 0)
        fm_buf_printf(out, ".%06d", (int)nanos / 1000);
    else
        fm_buf_printf(out, ".%09d", (int)nanos);
}

static void read_date(struct reader *r)
{
    int32_t year = take_i32(r);
    int month = take_range(r, 1, 12);
    int day = take_range(r, 1, 31);
    put_year(r->out, year, true);
    fm_buf_printf(r->out, "-%02d-%02d", month, day);
}

/* Trailing zeros are left out: the last written part is then its complement. */
static void read_time(struct reader *r)
{
    int part[3] = {0};
    static const int high[3] = {23, 59, 59};
    int32_t nanos = 0;
    bool more = true;
    for (int i = 0; i < 3 && more; i++) {
        part[i] = take_i8(r);
        more = part[i] >= 0;
        if (!more)
            part[i] = ~part[i];
        if (!r->cut && part[i] > high[i])
            r->bad = true;
    }
    if (more)
        nanos = take_nanos(r);
    fm_buf_printf(r->out, "%02d:%02d", part[0], part[1]);
    if (part[2] > 0 || nanos > 0)
        fm_buf_printf(r->out, ":%02d", part[2]);
    if (nanos > 0)
        put_fraction(r->out, nanos);
}

static int32_t take_offset(struct reader *r, bool *odd)
{
    int quarter = take_i8(r);
    *odd = quarter == 127;
    int32_t seconds = *odd ? take_i32(r) : quarter * 900;
    if (!r->cut && (seconds < -MAX_OFFSET || seconds > MAX_OFFSET))
        r->bad = true;
    return seconds;
}

static void put_offset(struct fm_buf *out, int32_t seconds)
{
    if (seconds == 0) {
        fm_buf_putc(out, 'Z');
        return;
    }
    int32_t s = seconds < 0 ? -seconds : seconds;
    fm_buf_printf(out, "%c%02d:%02d", seconds < 0 ? '-' : '+', s / 3600, s / 60 % 60);
    if (s % 60 != 0)
        fm_buf_printf(out, ":%02d", s % 60);
}

static void read_offset(struct reader *r)
{
    bool odd;
    int32_t seconds = take_offset(r, &odd);
    if (!r->cut && !r->bad)
        put_offset(r->out, seconds);
}

static void read_region(struct reader *r)
{
    uint16_t len;
    const unsigned char *id;
    if (r->cut || !fm_cursor_u16(r->cur, &len) || !fm_cursor_take(r->cur, len, &id)) {
        r->cut = true;
        return;
    }
    size_t n = fm_mutf8_decode(id, len, NULL);
    if (fm_buf_reserve(r->out, n)) {
        fm_mutf8_decode(id, len, r->out->data + r->out->len);
        r->out->len += n;
    }
}

/* The zone is shown behind the offset unless it is that offset. Java compares identities there,
 * and only offsets of whole quarter hours are shared objects. */
static void read_zoned(struct reader *r)
{
    bool odd;
    read_date(r);
    fm_buf_putc(r->out, 'T');
    read_time(r);
    int32_t offset = take_offset(r, &odd);
    if (!r->cut && !r->bad)
        put_offset(r->out, offset);
    int kind = take_i8(r);
    if (kind == ZONE_OFFSET) {
        int32_t zone = take_offset(r, &odd);
        if (r->cut || r->bad || (zone == offset && !odd))
            return;
        fm_buf_putc(r->out, '[');
        put_offset(r->out, zone);
        fm_buf_putc(r->out, ']');
    } else if (kind == ZONE_REGION) {
        fm_buf_putc(r->out, '[');
        read_region(r);
        fm_buf_putc(r->out, ']');
    } else if (!r->cut) {
        r->bad = true;
    }
}

static void read_duration(struct reader *r)
{
    int64_t seconds = take_i64(r);
    int32_t nanos = take_nanos(r);
    if (r->cut || r->bad)
        return;
    bool borrow = seconds < 0 && nanos > 0;
    int64_t whole = borrow ? seconds + 1 : seconds;
    long long hours = whole / 3600;
    int minutes = (int)(whole % 3600 / 60);
    int rest = (int)(whole % 60);
    fm_buf_puts(r->out, "PT");
    if (hours != 0)
        fm_buf_printf(r->out, "%lldH", hours);
    if (minutes != 0)
        fm_buf_printf(r->out, "%dM", minutes);
    if (rest == 0 && nanos == 0 && whole != 0)
        return;
    if (borrow && rest == 0)
        fm_buf_puts(r->out, "-0");
    else
        fm_buf_printf(r->out, "%d", rest);
    if (nanos > 0) {
        fm_buf_printf(r->out, ".%09d", borrow ? NANOS - nanos : nanos);
        while (r->out->len > 0 && r->out->data[r->out->len - 1] == '0')
            fm_buf_truncate(r->out, r->out->len - 1);
    }
    fm_buf_putc(r->out, 'S');
}

/* Days since 1970 to a date of the proleptic Gregorian calendar: eras of 400 years that begin on
 * 1 March. */
static void put_days(struct fm_buf *out, int64_t days)
{
    days += 719468; /* 1 March of year 0 */
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    int month = (int)(mp < 10 ? mp + 3 : mp - 9);
    int64_t year = yoe + era * 400 + (month <= 2 ? 1 : 0);
    put_year(out, year, true);
    fm_buf_printf(out, "-%02d-%02d", month, (int)(doy - (153 * mp + 2) / 5 + 1));
}

static void read_instant(struct reader *r)
{
    const int64_t max = INT64_C(31556889864403199); /* Instant.MAX and MIN */
    const int64_t min = INT64_C(-31557014167219200);
    int64_t seconds = take_i64(r);
    int32_t nanos = take_nanos(r);
    if (!r->cut && (seconds > max || seconds < min))
        r->bad = true;
    if (r->cut || r->bad)
        return;
    int64_t days = (seconds >= 0 ? seconds : seconds - 86399) / 86400;
    int rest = (int)(seconds - days * 86400);
    put_days(r->out, days);
    fm_buf_printf(r->out, "T%02d:%02d:%02d", rest / 3600, rest / 60 % 60, rest % 60);
    if (nanos > 0)
        put_fraction(r->out, nanos);
    fm_buf_putc(r->out, 'Z');
}

static void read_period(struct reader *r)
{
    static const char unit[3] = {'Y', 'M', 'D'};
    bool any = false;
    fm_buf_putc(r->out, 'P');
    for (int i = 0; i < 3; i++) {
        int32_t v = take_i32(r);
        if (v != 0)
            fm_buf_printf(r->out, "%d%c", (int)v, unit[i]);
        any = any || v != 0;
    }
    if (!any)
        fm_buf_puts(r->out, "0D");
}

static void read_date_time(struct reader *r)
{
    read_date(r);
    fm_buf_putc(r->out, 'T');
    read_time(r);
}

static void read_kind(struct reader *r, int kind)
{
    switch (kind) {
    case DURATION:
        read_duration(r);
        return;
    case INSTANT:
        read_instant(r);
        return;
    case LOCAL_DATE:
        read_date(r);
        return;
    case LOCAL_TIME:
        read_time(r);
        return;
    case LOCAL_DATE_TIME:
        read_date_time(r);
        return;
    case ZONED_DATE_TIME:
        read_zoned(r);
        return;
    case ZONE_REGION:
        read_region(r);
        return;
    case ZONE_OFFSET:
        read_offset(r);
        return;
    case OFFSET_TIME:
        read_time(r);
        read_offset(r);
        return;
    case OFFSET_DATE_TIME:
        read_date_time(r);
        read_offset(r);
        return;
    case YEAR:
        fm_buf_i64(r->out, take_i32(r));
        return;
    case YEAR_MONTH: {
        int32_t year = take_i32(r);
        put_year(r->out, year, false);
        fm_buf_printf(r->out, "-%02d", take_range(r, 1, 12));
        return;
    }
    case MONTH_DAY: {
        int month = take_range(r, 1, 12);
        fm_buf_printf(r->out, "--%02d-%02d", month, take_range(r, 1, 31));
        return;
    }
    case PERIOD:
        read_period(r);
        return;
    default:
        r->bad = true;
    }
}

enum fm_code fm_ser_time(struct fm_cursor *cur, struct fm_buf *out)
{
    struct reader r = {.cur = cur, .out = out};
    size_t start = cur->at;
    uint8_t kind;
    if (!fm_cursor_u8(cur, &kind))
        return FM_EAGAIN;
    read_kind(&r, kind);
    if (r.bad)
        return FM_EPROTO;
    if (r.cut) {
        cur->at = start;
        return FM_EAGAIN;
    }
    return FM_OK;
}
