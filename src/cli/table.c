#include "cli/table.h"

#include <assert.h>
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"

enum cell_kind { CELL_TEXT, CELL_NULL, CELL_INT, CELL_BOOL };

struct fm_cell {
    const char *text;
    enum cell_kind kind;
    enum fm_colour colour;
    int64_t number;
};

/* ---- the width of characters ---- */

struct range {
    uint32_t first, last;
};

/* Marks that take no column of their own (Unicode 15, the blocks that metrics' names may meet). */
static const struct range zero_width[] = {
    {0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x064b, 0x065f},
    {0x0900, 0x0902}, {0x200b, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x2064},
    {0x20d0, 0x20f0}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xfeff, 0xfeff},
};

/* East Asian wide and full-width forms, and emoji. */
static const struct range two_columns[] = {
    {0x1100, 0x115f},   {0x231a, 0x231b},   {0x2e80, 0x303e},   {0x3041, 0x33ff},
    {0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xa000, 0xa4cf},   {0xac00, 0xd7a3},
    {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},   {0xffe0, 0xffe6},
    {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd},
};

static bool within(uint32_t cp, const struct range *ranges, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (cp >= ranges[i].first && cp <= ranges[i].last)
            return true;
    return false;
}

static uint32_t decode(const char *text, size_t step)
{
    const unsigned char *u = (const unsigned char *)text;
    if (step == 1)
        return u[0];
    uint32_t cp = u[0] & (0xffU >> (step + 1));
    for (size_t i = 1; i < step; i++)
        cp = cp << 6 | (u[i] & 0x3f);
    return cp;
}

/* A terminal might obey it: C0, DEL, C1 and the marks that turn the direction of writing. */
static bool is_unsafe(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7f && cp <= 0x9f) || (cp >= 0x202a && cp <= 0x202e) ||
           (cp >= 0x2066 && cp <= 0x2069) || cp == 0x2028 || cp == 0x2029;
}

static size_t char_width(uint32_t cp)
{
    if (is_unsafe(cp))
        return 1; /* shown as the replacement character */
    if (within(cp, zero_width, sizeof zero_width / sizeof zero_width[0]))
        return 0;
    return within(cp, two_columns, sizeof two_columns / sizeof two_columns[0]) ? 2 : 1;
}

size_t fm_text_width(const char *text, size_t len)
{
    size_t width = 0;
    while (len > 0) {
        size_t step = fm_utf8_step(text, len);
        width += step == 0 ? 1 : char_width(decode(text, step));
        step = step == 0 ? 1 : step;
        text += step;
        len -= step;
    }
    return width;
}

void fm_text_safe(struct fm_buf *out, const char *text, size_t len, bool keep_lines, size_t max)
{
    size_t used = 0;
    bool cut = max != 0 && fm_text_width(text, len) > max;
    size_t room = cut ? max - 1 : SIZE_MAX;
    for (size_t at = 0; at < len;) {
        size_t step = fm_utf8_step(text + at, len - at);
        uint32_t cp = step == 0 ? 0 : decode(text + at, step);
        size_t width = char_width(cp);
        if (width > room - used)
            break;
        used += width;
        if (is_unsafe(cp) && !(keep_lines && (cp == '\n' || cp == '\t')))
            fm_buf_puts(out, "\xef\xbf\xbd");
        else
            fm_buf_put(out, text + at, step);
        at += step == 0 ? 1 : step;
    }
    if (cut)
        fm_buf_puts(out, "\xe2\x80\xa6");
}

void fm_text_value(struct fm_buf *out, const struct fm_value *v, bool one_line,
                   enum fm_json_nonfinite nonfinite)
{
    double real = v->kind == FM_V_DOUBLE ? v->d : v->kind == FM_V_FLOAT ? (double)v->f : 0;
    bool breaks = false;
    for (size_t i = 0; one_line && v->kind == FM_V_STRING && i < v->text.len; i++)
        breaks = breaks || (unsigned char)v->text.ptr[i] < 0x20;
    if (v->kind == FM_V_STRING && !breaks)
        fm_buf_put(out, v->text.ptr, v->text.len);
    else if (!isfinite(real))
        fm_buf_puts(out, isnan(real) ? "NaN" : real > 0 ? "Infinity" : "-Infinity");
    else
        fm_value_print(out, v, nonfinite);
}

void fm_text_size(char *out, size_t size, uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes;
    size_t unit = 0;
    while (v >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
        v /= 1024;
        unit++;
    }
    (void)snprintf(out, size, unit > 0 && v < 99.95 ? "%.1f %s" : "%.0f %s", v, units[unit]);
}

void fm_text_age(char *out, size_t size, int64_t ms)
{
    static const struct {
        int64_t ms;
        const char *unit;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "min"}, {1000, "s"}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        /* "120 s" says more than "2 min". */
        if (ms >= 2 * units[i].ms || (i == 3 && ms >= 1000)) {
            (void)snprintf(out, size, "%lld %s", (long long)(ms / units[i].ms), units[i].unit);
            return;
        }
    }
    (void)snprintf(out, size, "now");
}

const char *fm_colour_code(enum fm_colour colour)
{
    static const char *const codes[] = {
        [FM_PLAIN] = "\033[0m",  [FM_RED] = "\033[31m", [FM_YELLOW] = "\033[33m",
        [FM_GREEN] = "\033[32m", [FM_BOLD] = "\033[1m",
    };
    return codes[colour];
}

/* ---- collecting ---- */

void fm_table_init(struct fm_table *table, const struct fm_column *columns, size_t n_columns,
                   struct fm_arena *arena)
{
    *table = (struct fm_table){.columns = columns, .n_columns = n_columns, .arena = arena};
}

void fm_table_clear(struct fm_table *table)
{
    free(table->cells);
    fm_table_init(table, table->columns, table->n_columns, table->arena);
}

static void add(struct fm_table *table, const char *text, enum cell_kind kind, int64_t number)
{
    if (table->n_cells == table->room && !table->failed) {
        size_t room = table->room == 0 ? 64 : 2 * table->room;
        struct fm_cell *cells = realloc(table->cells, room * sizeof *cells);
        if (cells != NULL) {
            table->cells = cells;
            table->room = room;
        }
        table->failed = cells == NULL;
    }
    const char *copy = table->failed ? NULL : fm_arena_strndup(table->arena, text, strlen(text));
    if (copy == NULL) {
        table->failed = true;
        return;
    }
    table->cells[table->n_cells++] =
        (struct fm_cell){.text = copy, .kind = kind, .colour = FM_PLAIN, .number = number};
}

void fm_table_text(struct fm_table *table, const char *text)
{
    add(table, text != NULL ? text : "-", text != NULL ? CELL_TEXT : CELL_NULL, 0);
}

void fm_table_int(struct fm_table *table, int64_t v)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%lld", (long long)v);
    add(table, text, CELL_INT, v);
}

void fm_table_bool(struct fm_table *table, bool v)
{
    add(table, v ? "yes" : "no", CELL_BOOL, v);
}

void fm_table_colour(struct fm_table *table, enum fm_colour colour)
{
    if (table->n_cells > 0)
        table->cells[table->n_cells - 1].colour = colour;
}

/* ---- printing ---- */

static void put_json_cell(struct fm_buf *out, const struct fm_cell *cell)
{
    switch (cell->kind) {
    case CELL_TEXT:
        fm_json_cstr(out, cell->text);
        return;
    case CELL_NULL:
        fm_buf_puts(out, "null");
        return;
    case CELL_INT:
        fm_buf_i64(out, cell->number);
        return;
    case CELL_BOOL:
        fm_json_bool(out, cell->number != 0);
        return;
    }
}

static void put_json(struct fm_buf *out, const struct fm_table *table)
{
    fm_buf_putc(out, '[');
    for (size_t i = 0; i + table->n_columns <= table->n_cells; i += table->n_columns) {
        fm_buf_puts(out, i == 0 ? "\n{" : ",\n{");
        for (size_t k = 0; k < table->n_columns; k++) {
            if (k > 0)
                fm_buf_putc(out, ',');
            fm_json_key(out, table->columns[k].name);
            put_json_cell(out, &table->cells[i + k]);
        }
        fm_buf_putc(out, '}');
    }
    fm_buf_puts(out, table->n_cells > 0 ? "\n]\n" : "]\n");
}

static size_t total(const size_t *widths, size_t n)
{
    size_t sum = 2 * (n - 1);
    for (size_t i = 0; i < n; i++)
        sum += widths[i];
    return sum;
}

static size_t n_shown(const struct fm_table *table)
{
    size_t n = table->n_columns;
    while (n > 1 && table->columns[n - 1].json_only)
        n--;
    return n;
}

/* Take from the widest column that may give, until all fits or nothing sensible is left. */
static void squeeze(const struct fm_table *table, size_t *widths, unsigned limit)
{
    enum { LEAST = 8, LEAST_WRAPPED = 36 };
    size_t n = n_shown(table);
    while (total(widths, n) > limit) {
        size_t widest = n;
        for (size_t i = 0; i < n; i++) {
            const struct fm_column *column = &table->columns[i];
            size_t least = column->wrap ? LEAST_WRAPPED : LEAST;
            if ((column->flex || column->fold || column->wrap) && widths[i] > least &&
                (widest == n || widths[i] > widths[widest]))
                widest = i;
        }
        if (widest == n)
            return;
        widths[widest]--;
    }
}

/* The bytes of the next line of a text that is broken at blanks to a width. */
static size_t line_len(const char *text, size_t width)
{
    size_t end = 0;
    for (size_t at = 0;; at++) {
        if (text[at] != ' ' && text[at] != '\0')
            continue;
        if (fm_text_width(text, at) > width && end > 0)
            return end;
        end = at;
        if (text[at] == '\0')
            return end;
    }
}

/* The bytes of the next line of a text that is broken anywhere, best behind a mark. */
static size_t fold_len(const char *text, size_t width)
{
    size_t len = strlen(text), end = 0, mark = 0, used = 0;
    if (fm_text_width(text, len) <= width)
        return len;
    while (end < len) {
        size_t step = fm_utf8_step(text + end, len - end);
        step = step == 0 ? 1 : step;
        used += fm_text_width(text + end, step);
        if (used > width)
            break;
        end += step;
        mark = strchr(" /.:,", text[end - 1]) != NULL ? end : mark;
    }
    return mark > width / 2 ? mark : end > 0 ? end : 1;
}

static size_t piece_len(const struct fm_column *column, const char *text, size_t width)
{
    return column->wrap   ? line_len(text, width)
           : column->fold ? fold_len(text, width)
                          : strlen(text);
}

static void put_cell(struct fm_buf *out, const char *text, size_t len, size_t width,
                     const struct fm_column *column, bool last, const char *colour)
{
    size_t used = fm_text_width(text, len);
    size_t pad = used < width ? width - used : 0;
    for (size_t i = 0; column->right && i < pad; i++)
        fm_buf_putc(out, ' ');
    if (colour != NULL)
        fm_buf_puts(out, colour);
    fm_text_safe(out, text, len, false, column->wrap ? 0 : width);
    if (colour != NULL)
        fm_buf_puts(out, fm_colour_code(FM_PLAIN));
    for (size_t i = 0; !column->right && !last && i < pad; i++)
        fm_buf_putc(out, ' ');
    fm_buf_puts(out, last ? "\n" : "  ");
}

/* A row, and below it what its cells have left. Spoils rest. */
static void put_row(struct fm_buf *out, const struct fm_table *table, const struct fm_cell *row,
                    const size_t *widths, const char **rest, const struct fm_table_style *style)
{
    size_t shown = n_shown(table), left = shown;
    for (size_t k = 0; k < shown; k++)
        rest[k] = row[k].text;
    while (left > 0) {
        size_t n = left; /* cells of this line: below the first one none are empty at its end */
        left = 0;
        for (size_t k = 0; k < n; k++) {
            const struct fm_column *column = &table->columns[k];
            bool coloured = style->colour && row[k].colour != FM_PLAIN && rest[k][0] != '\0';
            size_t len = style->width > 0 ? piece_len(column, rest[k], widths[k]) : strlen(rest[k]);
            put_cell(out, rest[k], len, widths[k], column, k + 1 == n,
                     coloured ? fm_colour_code(row[k].colour) : NULL);
            rest[k] += len + strspn(rest[k] + len, " ");
            left = rest[k][0] != '\0' ? k + 1 : left;
        }
    }
}

static void put_heading(struct fm_buf *out, const struct fm_table *table, const size_t *widths,
                        bool colour)
{
    size_t n = n_shown(table);
    for (size_t k = 0; k < n; k++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%s", table->columns[k].name);
        for (char *p = name; *p != '\0'; p++)
            *p = *p == '_' ? ' ' : (char)toupper((unsigned char)*p);
        put_cell(out, name, strlen(name), widths[k], &table->columns[k], k + 1 == n,
                 colour ? fm_colour_code(FM_BOLD) : NULL);
    }
}

static void put_text(struct fm_buf *out, const struct fm_table *table, size_t *widths,
                     const char **rest, const struct fm_table_style *style)
{
    assert(table->n_columns > 0); /* there are cells */
    for (size_t k = 0; k < table->n_columns; k++)
        widths[k] = strlen(table->columns[k].name);
    for (size_t i = 0; i < table->n_cells; i++) {
        size_t width = fm_text_width(table->cells[i].text, strlen(table->cells[i].text));
        size_t *most = &widths[i % table->n_columns];
        *most = width > *most ? width : *most;
    }
    if (style->width > 0)
        squeeze(table, widths, style->width);
    put_heading(out, table, widths, style->colour);
    for (size_t i = 0; i + table->n_columns <= table->n_cells; i += table->n_columns)
        put_row(out, table, &table->cells[i], widths, rest, style);
}

enum fm_code fm_table_print(const struct fm_table *table, FILE *out,
                            const struct fm_table_style *style, struct fm_err *err)
{
    if (table->failed)
        return fm_err_nomem(err);
    struct fm_buf text;
    fm_buf_init(&text, 0);
    if (style->json) {
        put_json(&text, table);
    } else if (table->n_cells > 0) {
        size_t *widths = fm_arena_array(table->arena, table->n_columns, sizeof *widths);
        const char **rest = fm_arena_array(table->arena, table->n_columns, sizeof *rest);
        if (widths == NULL || rest == NULL)
            return fm_err_nomem(err);
        put_text(&text, table, widths, rest, style);
    }
    enum fm_code code = fm_buf_code(&text, err);
    if (code == FM_OK && text.len > 0)
        (void)fwrite(text.data, 1, text.len, out);
    fm_buf_clear(&text);
    return code;
}

enum fm_code fm_table_lines(const struct fm_table *table, FILE *out, bool terminal,
                            struct fm_err *err)
{
    if (table->failed)
        return fm_err_nomem(err);
    struct fm_buf text;
    fm_buf_init(&text, 0);
    for (size_t i = 0; i < table->n_cells; i++) {
        const char *cell = table->cells[i].text;
        if (terminal)
            fm_text_safe(&text, cell, strlen(cell), false, 0);
        else
            fm_buf_puts(&text, cell);
        fm_buf_putc(&text, (i + 1) % table->n_columns == 0 ? '\n' : '\t');
    }
    enum fm_code code = fm_buf_code(&text, err);
    if (code == FM_OK && text.len > 0)
        (void)fwrite(text.data, 1, text.len, out);
    fm_buf_clear(&text);
    return code;
}
