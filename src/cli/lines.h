/* cli/lines.h - lines from files and standard input, one after the other, in bounded memory.
 *
 * Main thread only. A line ends with a newline or with its file; the newline is no part of it. */
#ifndef FM_CLI_LINES_H
#define FM_CLI_LINES_H

#include <stdint.h>

#include "firstmile/err.h"

enum fm_line_what {
    FM_LINE_GOOD,
    FM_LINE_LONG, /* longer than max; it was skipped */
    FM_LINE_NONE, /* nothing came in the time given */
    FM_LINE_END /* of the last file */
};

struct fm_line {
    enum fm_line_what what;
    size_t file; /* index of its file */
    uint64_t number; /* in its file, from 1 */
    const char *text; /* borrowed until the next call */
    size_t len;
};

struct fm_lines {
    const char *const *files; /* borrowed; "-": standard input */
    size_t n_files;
    size_t file; /* the one being read */
    uint64_t number;
    size_t max;
    int fd; /* -1: the next file is to be opened */
    char *data; /* owned */
    size_t start, len, cap;
    bool ended, skipping;
    int64_t read_ms; /* wall clock of the last read */
    uint64_t bytes_read;
    uint64_t bytes_total; /* of all files; 0: not known */
};

/** @param max  bytes of a line
 * @return FM_OK, FM_ESYS (a file cannot be read: named before the first line is) or FM_ENOMEM */
FM_MUST_USE enum fm_code fm_lines_open(struct fm_lines *lines, const char *const *files, size_t n,
                                       size_t max, struct fm_err *err);

/** The next line; waits up to timeout_ms where a file is none on disk.
 * @return FM_OK and *out, or FM_ESYS */
FM_MUST_USE enum fm_code fm_lines_next(struct fm_lines *lines, int timeout_ms, struct fm_line *out,
                                       struct fm_err *err);

/** What messages call a file. */
const char *fm_lines_name(const struct fm_lines *lines, size_t file);

void fm_lines_close(struct fm_lines *lines);

#endif
