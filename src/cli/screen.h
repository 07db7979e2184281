/* cli/screen.h - what `watch` shows: one frame at a time, made of series, for a terminal of a size.
 *
 * Pure: a frame is bytes in a buffer, to be written at once. Texts from a JVM never reach a
 * terminal as they are: controls and invalid bytes are replaced. The keys change only the struct.
 */
#ifndef FM_CLI_SCREEN_H
#define FM_CLI_SCREEN_H

#include "cli/series.h"
#include "cli/table.h"

enum fm_screen_sort { FM_SORT_NONE, FM_SORT_NAME, FM_SORT_VALUE, FM_SORT_RATE };

struct fm_screen {
    unsigned rows, cols; /* of the terminal */
    bool ascii; /* nothing beyond ASCII can be shown */
    bool colour;
    const char *title; /* borrowed */
    char status[320];
    enum fm_colour status_colour;
    bool several; /* targets: each row says whose it is */
    /* what the keys change */
    bool quit, paused;
    bool typing; /* the filter */
    bool short_numbers; /* 1.23M */
    enum fm_screen_sort sort;
    char filter[64];
    size_t top; /* rows scrolled away */
    /* of the last frame */
    size_t shown, lines; /* rows that pass the filter; that fit */
};

/** Take over bytes from the keyboard. @return whether the frame changes */
bool fm_screen_keys(struct fm_screen *screen, const char *bytes, size_t n);

/** Append a frame: every line of the terminal is written. */
void fm_screen_draw(struct fm_screen *screen, const struct fm_series_set *set, struct fm_buf *out);

/** A name and how it is shown. */
struct fm_screen_name {
    const char *label; /* borrowed */
    char *cut; /* for free(); NULL: as it is */
    bool twin; /* another one looked the same */
};

/** Cut the names that are wider than the column so that those that differ look different, as far as
 * that can be (screen_cut.c). */
void fm_screen_cut(struct fm_screen_name *names, size_t n, size_t width);

/** The trend of n points in so many columns. */
void fm_screen_spark(struct fm_buf *out, const double *points, size_t n, bool from_zero,
                     bool ascii);

/** A number with its thousands set apart, or (brief) as 1.23M. @param out  at least 48 bytes */
void fm_screen_number(char *out, size_t size, const struct fm_series *series, bool brief);

/** A rate, as exact as makes sense. */
void fm_screen_rate(char *out, size_t size, double rate, bool brief);

#endif
