#include "cli/screen.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

/* ---- numbers ---- */

/* Digits in groups of three; a fraction stays as it is. */
static void group(char *out, size_t size, const char *digits)
{
    size_t whole = strspn(digits + (digits[0] == '-'), "0123456789") + (digits[0] == '-');
    size_t to = 0;
    for (size_t i = 0; digits[i] != '\0' && to + 2 < size; i++) {
        size_t left = i < whole ? whole - i : 1;
        bool first = i == 0 || (i == 1 && digits[0] == '-');
        if (i < whole && !first && left % 3 == 0)
            out[to++] = ',';
        out[to++] = digits[i];
    }
    out[to] = '\0';
}

static void put_short(char *out, size_t size, double v)
{
    static const char units[] = " kMGTPE";
    size_t unit = 0;
    while (fabs(v) >= 999.5 && unit + 2 < sizeof units) {
        v /= 1000;
        unit++;
    }
    (void)snprintf(out, size, "%.3g", v);
    size_t len = strlen(out);
    if (unit > 0 && len + 1 < size)
        (void)snprintf(out + len, size - len, "%c", units[unit]);
}

static void put_real(char *out, size_t size, double v)
{
    char digits[48];
    bool plain = fabs(v) < 1e15 && (fabs(v) >= 1e-4 || v == 0);
    (void)snprintf(digits, sizeof digits, plain && fabs(v) >= 1e6 ? "%.0f" : "%.6g", v);
    group(out, size, digits);
}

void fm_screen_number(char *out, size_t size, const struct fm_series *series, bool brief)
{
    char digits[48];
    if (brief) {
        put_short(out, size, series->number);
    } else if (series->whole) {
        (void)snprintf(digits, sizeof digits, "%lld", (long long)series->integer);
        group(out, size, digits);
    } else {
        put_real(out, size, series->number);
    }
}

void fm_screen_rate(char *out, size_t size, double rate, bool brief)
{
    char digits[48];
    if (brief) {
        put_short(out, size, rate);
        return;
    }
    (void)snprintf(digits, sizeof digits, rate >= 100 ? "%.0f" : "%.3g", rate);
    group(out, size, digits);
}

/* ---- texts ---- */

/* At most width columns of a foreign text, harmless; in ASCII if need be. @return columns used */
static size_t put_text(struct fm_buf *out, const char *text, size_t len, size_t width, bool ascii)
{
    struct fm_buf safe;
    if (width == 0)
        return 0;
    fm_buf_init(&safe, 0);
    fm_text_safe(&safe, text, len, false, width);
    size_t used = fm_text_width(safe.data, safe.len);
    for (size_t at = 0; at < safe.len;) {
        size_t step = fm_utf8_step(safe.data + at, safe.len - at);
        step = step == 0 ? 1 : step;
        if (!ascii || step == 1) {
            fm_buf_put(out, safe.data + at, step);
        } else {
            bool cut = step == 3 && memcmp(safe.data + at, "\xe2\x80\xa6", 3) == 0;
            for (size_t k = fm_text_width(safe.data + at, step); k > 0; k--)
                fm_buf_putc(out, cut ? '~' : '?');
        }
        at += step;
    }
    fm_buf_clear(&safe);
    return used;
}

static void put_blanks(struct fm_buf *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        fm_buf_putc(out, ' ');
}

static void put_padded(struct fm_buf *out, const char *text, size_t width, bool right, bool ascii)
{
    size_t used = fm_text_width(text, strlen(text));
    if (right && used < width)
        put_blanks(out, width - used);
    used = put_text(out, text, strlen(text), width, ascii);
    if (!right && used < width)
        put_blanks(out, width - used);
}

void fm_screen_spark(struct fm_buf *out, const double *points, size_t n, bool from_zero, bool ascii)
{
    static const char plain[] = "_.,-=+*#";
    double low = n > 0 ? points[0] : 0, high = low;
    for (size_t i = 1; i < n; i++) {
        low = points[i] < low ? points[i] : low;
        high = points[i] > high ? points[i] : high;
    }
    if (from_zero && low > 0)
        low = 0;
    for (size_t i = 0; i < n; i++) {
        /* Halves: the distance of two doubles may be more than a double. */
        double share = high > low ? (points[i] / 2 - low / 2) / (high / 2 - low / 2) : 0;
        int level = (int)(share * 7.999);
        level = level < 0 ? 0 : level > 7 ? 7 : level;
        if (ascii)
            fm_buf_putc(out, plain[level]);
        else
            fm_buf_printf(out, "\xe2\x96%c", (char)(0x81 + level));
    }
}

/* ---- rows ---- */

struct row {
    const struct fm_series *series;
    size_t place; /* in the set: ties keep their order */
    enum fm_screen_sort sort;
};

static int compare_rows(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    double u = 0, v = 0;
    int order = 0;
    if (x->sort == FM_SORT_NAME)
        order = strcasecmp(x->series->label, y->series->label);
    if (x->sort == FM_SORT_VALUE) {
        u = x->series->is_number ? x->series->number : -HUGE_VAL;
        v = y->series->is_number ? y->series->number : -HUGE_VAL;
    }
    if (x->sort == FM_SORT_RATE) {
        u = x->series->has_rate ? x->series->rate : -1;
        v = y->series->has_rate ? y->series->rate : -1;
    }
    if (order == 0)
        order = (u < v) - (u > v); /* the largest first */
    return order != 0 ? order : (x->place > y->place) - (x->place < y->place);
}

static size_t choose(const struct fm_screen *screen, const struct fm_series_set *set,
                     struct row *rows)
{
    size_t n = 0;
    for (size_t i = 0; i < set->n; i++) {
        const struct fm_series *s = set->items[i];
        if (strcasestr(s->label, screen->filter) != NULL ||
            strcasestr(s->bean, screen->filter) != NULL ||
            (screen->several && strcasestr(s->target, screen->filter) != NULL))
            rows[n++] = (struct row){s, i, screen->sort};
    }
    if (screen->sort != FM_SORT_NONE && n > 1)
        qsort(rows, n, sizeof *rows, compare_rows);
    return n;
}

/* ---- columns ---- */

struct layout {
    size_t target, name, value, rate, trend; /* columns; 0: not shown */
};

enum { GAP = 2, LEAST_TREND = 8, MOST_TREND = 60, LEAST_NAME = 16, LEAST_RATE = 6 };

static void widen(size_t *width, size_t to, size_t most)
{
    to = to > most ? most : to;
    *width = to > *width ? to : *width;
}

static void show_value(const struct fm_screen *screen, const struct fm_series *s, char *out,
                       size_t size)
{
    if (!s->here)
        (void)snprintf(out, size, "gone");
    else if (s->is_number)
        fm_screen_number(out, size, s, screen->short_numbers);
    else
        out[0] = '\0';
}

/* Name and value come first; a narrow terminal loses the trend, then the rate. */
static struct layout lay_out(const struct fm_screen *screen, const struct row *rows, size_t n)
{
    struct layout l = {.name = 4, .value = 5, .rate = LEAST_RATE};
    size_t cols = screen->cols > 1 ? screen->cols - 1 : 1;
    for (size_t i = 0; i < n; i++) {
        char text[48];
        const struct fm_series *s = rows[i].series;
        if (screen->several)
            widen(&l.target, fm_text_width(s->target, strlen(s->target)), cols / 4);
        widen(&l.name, fm_text_width(s->label, strlen(s->label)), cols);
        show_value(screen, s, text, sizeof text);
        widen(&l.value, strlen(text), 28);
        if (s->has_rate) {
            fm_screen_rate(text, sizeof text, s->rate, screen->short_numbers);
            widen(&l.rate, strlen(text), 16);
        }
    }
    size_t before = l.target > 0 ? l.target + GAP : 0;
    size_t rest = before + l.value + l.rate + 2 * GAP; /* all but name and trend */
    if (cols >= rest + LEAST_NAME + GAP + LEAST_TREND) {
        size_t both = cols - rest - GAP;
        l.name = l.name + LEAST_TREND > both ? both - LEAST_TREND : l.name;
        l.trend = both - l.name > MOST_TREND ? MOST_TREND : both - l.name;
        return l;
    }
    if (cols < rest + LEAST_NAME) {
        l.rate = 0;
        rest = before + l.value + GAP;
    }
    if (cols < rest + LEAST_NAME && l.target > 0) {
        l.target = 0;
        rest = l.value + GAP;
    }
    if (cols < rest + 3) { /* no room for both */
        l.value = 0;
        rest = 0;
    }
    l.name = l.name < cols - rest ? l.name : cols - rest;
    return l;
}

/* Columns are reached by their number: a character whose width the terminal judges otherwise
 * shifts nothing. What the frame before left in between is erased. */
static void go_to(struct fm_buf *out, size_t column)
{
    fm_buf_printf(out, "\033[K\033[%zuG", column + 1);
}

static void put_row(const struct fm_screen *screen, const struct layout *l,
                    const struct fm_series *s, const char *name, struct fm_buf *out)
{
    double points[FM_SERIES_HISTORY];
    char text[48];
    size_t at = 0;
    if (l->target > 0) {
        put_padded(out, s->target, l->target, false, screen->ascii);
        go_to(out, at += l->target + GAP);
    }
    put_padded(out, name, l->name, false, screen->ascii);
    if (l->value == 0)
        return;
    go_to(out, at += l->name + GAP);
    if (s->here && !s->is_number) { /* a text may use the room of the other columns too */
        size_t room =
            l->value + (l->rate > 0 ? l->rate + GAP : 0) + (l->trend > 0 ? l->trend + GAP : 0);
        (void)put_text(out, s->text.data, s->text.len, room, screen->ascii);
        return;
    }
    show_value(screen, s, text, sizeof text);
    put_padded(out, text, l->value, true, screen->ascii);
    at += l->value + GAP;
    if (l->rate > 0 && s->has_rate) {
        go_to(out, at);
        fm_screen_rate(text, sizeof text, s->rate, screen->short_numbers);
        put_padded(out, text, l->rate, true, screen->ascii);
    }
    at += l->rate + GAP;
    if (l->trend == 0 || !s->here)
        return;
    go_to(out, at);
    size_t n = fm_series_points(s, points, l->trend);
    fm_screen_spark(out, points, n, s->of_rates, screen->ascii);
}

/* ---- the frame ---- */

static void begin_line(struct fm_buf *out, size_t row)
{
    fm_buf_printf(out, "\033[%zu;1H", row + 1);
}

static void end_line(struct fm_buf *out)
{
    fm_buf_puts(out, "\033[K");
}

static void put_status(const struct fm_screen *screen, struct fm_buf *out)
{
    size_t cols = screen->cols > 1 ? screen->cols - 1 : 1;
    begin_line(out, 0);
    fm_buf_puts(out, fm_colour_code(FM_BOLD));
    size_t used = put_text(out, screen->title, strlen(screen->title), cols, screen->ascii);
    fm_buf_puts(out, fm_colour_code(FM_PLAIN));
    if (screen->paused && used + 9 < cols) {
        fm_buf_puts(out, "  paused");
        used += 8;
    }
    if (used + GAP + 2 < cols) {
        put_blanks(out, GAP);
        if (screen->colour)
            fm_buf_puts(out, fm_colour_code(screen->status_colour));
        (void)put_text(out, screen->status, strlen(screen->status), cols - used - GAP,
                       screen->ascii);
        fm_buf_puts(out, fm_colour_code(FM_PLAIN));
    }
    end_line(out);
}

static void put_headings(const struct fm_screen *screen, const struct layout *l, struct fm_buf *out)
{
    size_t at = 0;
    begin_line(out, 1);
    fm_buf_puts(out, fm_colour_code(FM_BOLD));
    if (l->target > 0) {
        put_padded(out, "TARGET", l->target, false, screen->ascii);
        put_blanks(out, GAP);
        at = l->target + GAP;
    }
    put_padded(out, screen->sort == FM_SORT_NAME ? "NAME v" : "NAME", l->name, false,
               screen->ascii);
    if (l->value > 0) {
        go_to(out, at += l->name + GAP);
        put_padded(out, screen->sort == FM_SORT_VALUE ? "VALUE v" : "VALUE", l->value, true,
                   screen->ascii);
    }
    if (l->rate > 0) {
        go_to(out, at += l->value + GAP);
        put_padded(out, screen->sort == FM_SORT_RATE ? "/S v" : "RATE/S", l->rate, true,
                   screen->ascii);
    }
    if (l->trend > 0) {
        go_to(out, at + l->rate + GAP);
        put_padded(out, "TREND", l->trend, false, screen->ascii);
    }
    fm_buf_puts(out, fm_colour_code(FM_PLAIN));
    end_line(out);
}

static void put_footer(const struct fm_screen *screen, size_t left_out, struct fm_buf *out)
{
    struct fm_buf text;
    fm_buf_init(&text, 0);
    if (screen->typing) {
        fm_buf_printf(&text, "filter: %s_  (Enter keeps it, Esc clears it)", screen->filter);
    } else {
        fm_buf_printf(&text, "q quit  p %s  s sort  / filter%s%s  h %s  arrows scroll",
                      screen->paused ? "go on" : "pause", screen->filter[0] != '\0' ? ": " : "",
                      screen->filter, screen->short_numbers ? "exact" : "short");
        if (screen->shown > screen->lines)
            fm_buf_printf(&text, "  %zu-%zu of %zu", screen->top + 1, screen->top + screen->lines,
                          screen->shown);
        if (left_out > 0)
            fm_buf_printf(&text, "  (%zu more are not kept)", left_out);
    }
    begin_line(out, screen->rows - 1);
    (void)put_text(out, fm_buf_str(&text), text.len, screen->cols > 1 ? screen->cols - 1 : 1,
                   screen->ascii);
    end_line(out);
    fm_buf_clear(&text);
}

/* The rows that fit, their names told apart. */
static void put_rows(const struct fm_screen *screen, const struct row *rows, size_t n,
                     const struct layout *l, size_t first_line, struct fm_buf *out)
{
    struct fm_screen_name *names = calloc(n + 1, sizeof *names);
    for (size_t i = 0; names != NULL && i < n; i++)
        names[i].label = rows[i].series->label;
    if (names != NULL)
        fm_screen_cut(names, n, l->name);
    for (size_t i = 0; i < screen->lines; i++) {
        begin_line(out, first_line + i);
        if (i < n)
            put_row(screen, l, rows[i].series,
                    names != NULL && names[i].cut != NULL ? names[i].cut : rows[i].series->label,
                    out);
        end_line(out);
    }
    for (size_t i = 0; names != NULL && i < n; i++)
        free(names[i].cut);
    free(names);
}

void fm_screen_draw(struct fm_screen *screen, const struct fm_series_set *set, struct fm_buf *out)
{
    struct row *rows = calloc(set->n + 1, sizeof(*rows));
    if (rows == NULL || screen->rows == 0) {
        free(rows);
        return;
    }
    size_t n = choose(screen, set, rows);
    bool heading = screen->rows >= 4, footer = screen->rows >= 3;
    screen->shown = n;
    screen->lines = screen->rows - 1U - heading - footer;
    if (screen->top + screen->lines > n)
        screen->top = n > screen->lines ? n - screen->lines : 0;
    struct layout l = lay_out(screen, rows, n);
    put_status(screen, out);
    if (heading)
        put_headings(screen, &l, out);
    size_t left = n - screen->top;
    put_rows(screen, rows + screen->top, left < screen->lines ? left : screen->lines, &l,
             1U + heading, out);
    if (footer)
        put_footer(screen, set->left_out, out);
    free(rows);
}
