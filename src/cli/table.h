/* cli/table.h - what commands print on stdout: tables for people, the same rows as JSON for
 * programs.
 *
 * Rows are collected and printed at once, so that columns can be aligned by the width that a
 * terminal gives to each character. On a terminal a table is cut to its width; elsewhere never.
 * One thread. */
#ifndef FM_CLI_TABLE_H
#define FM_CLI_TABLE_H

#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/buf.h"
#include "value/value.h"

enum fm_colour { FM_PLAIN, FM_RED, FM_YELLOW, FM_GREEN, FM_BOLD };

struct fm_column {
    const char *name; /* field in JSON; in capitals the heading */
    bool right; /* numbers */
    bool flex; /* may be cut when the terminal is too narrow */
    bool fold; /* goes on below instead, broken anywhere */
    bool wrap; /* last shown column only: goes on below instead of being cut */
    bool json_only; /* behind all others */
};

struct fm_cell; /* private */

struct fm_table {
    const struct fm_column *columns;
    size_t n_columns;
    struct fm_cell *cells; /* row by row; owned */
    size_t n_cells, room;
    struct fm_arena *arena; /* borrowed; holds the texts */
    bool failed; /* no memory: fm_table_print() says so */
};

void fm_table_init(struct fm_table *table, const struct fm_column *columns, size_t n_columns,
                   struct fm_arena *arena);
void fm_table_clear(struct fm_table *table);

/** The next cell, left to right, row after row; copied. NULL is null, shown as "-". */
void fm_table_text(struct fm_table *table, const char *text);
void fm_table_int(struct fm_table *table, int64_t v);
void fm_table_bool(struct fm_table *table, bool v);

/** Colour of the cell put last. */
void fm_table_colour(struct fm_table *table, enum fm_colour colour);

struct fm_table_style {
    bool json;
    bool colour;
    unsigned width; /* of the terminal; 0: do not cut */
};

/** Print all rows, in text with a heading (none for no rows).
 * @return FM_OK or FM_ENOMEM; errors of the stream stay in it */
FM_MUST_USE enum fm_code fm_table_print(const struct fm_table *table, FILE *out,
                                        const struct fm_table_style *style, struct fm_err *err);

/** Print all rows as lines, the cells separated by tabs, without a heading: for grep and cut.
 * @param terminal  controls that could fool a terminal are replaced */
FM_MUST_USE enum fm_code fm_table_lines(const struct fm_table *table, FILE *out, bool terminal,
                                        struct fm_err *err);

/** Columns that a terminal gives to a text; invalid UTF-8 and controls count as one each. */
size_t fm_text_width(const char *text, size_t len);

/** Append text so that a terminal cannot be fooled: controls and invalid bytes become U+FFFD;
 * newline and tab are kept if asked for. At most max columns, then "…"; 0: all. */
void fm_text_safe(struct fm_buf *out, const char *text, size_t len, bool keep_lines, size_t max);

/** A value for people: text as it is, numbers that JSON cannot say by their names, the rest as
 * JSON.
 * @param one_line  a text that would break the line becomes JSON too */
void fm_text_value(struct fm_buf *out, const struct fm_value *v, bool one_line,
                   enum fm_json_nonfinite nonfinite);

/** "17 B", "3.4 KiB", "120 MiB". */
void fm_text_size(char *out, size_t size, uint64_t bytes);

/** "now", "42 s", "3 min", "5 h", "12 d" for an age. */
void fm_text_age(char *out, size_t size, int64_t ms);

/** The escape sequence for a colour. */
const char *fm_colour_code(enum fm_colour colour);

#endif
