/* Names too long for their column: cut where they do not differ. What they begin with is mostly the
 * same, and so is what they end with; no place is right for all, so several are tried. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "cli/screen.h"

enum { LEAST_WIDTH = 5 };

static const char dots[] = "\xe2\x80\xa6";

static size_t step_at(const char *text)
{
    size_t step = fm_utf8_step(text, strnlen(text, 4));
    return step > 0 ? step : 1;
}

/* Bytes of the longest beginning of at most so many columns. */
static size_t head_of(const char *text, size_t columns)
{
    size_t at = 0, used = 0;
    while (text[at] != '\0') {
        size_t step = step_at(text + at);
        used += fm_text_width(text + at, step);
        if (used > columns)
            break;
        at += step;
    }
    return at;
}

/* Where the longest end of at most so many columns begins. */
static size_t tail_of(const char *text, size_t columns)
{
    size_t at = 0, left = fm_text_width(text, strlen(text));
    while (left > columns) {
        size_t step = step_at(text + at);
        left -= fm_text_width(text + at, step);
        at += step;
    }
    return at;
}

/* The first columns, and what stands at from on, as much as there is room for. */
static char *cut(const char *text, size_t width, size_t columns, size_t from)
{
    size_t head = head_of(text, columns);
    size_t room = width - 1 - fm_text_width(text, head);
    const char *rest = text + from;
    bool whole = fm_text_width(rest, strlen(rest)) <= room;
    size_t len = whole ? strlen(rest) : head_of(rest, room - 1);
    struct fm_buf out;
    fm_buf_init(&out, 0);
    fm_buf_put(&out, text, head);
    fm_buf_puts(&out, dots);
    fm_buf_put(&out, rest, len);
    if (!whole)
        fm_buf_puts(&out, dots);
    return fm_buf_take(&out);
}

static bool alike(const struct fm_screen_name *a, const struct fm_screen_name *b)
{
    return a->cut != NULL && b->cut != NULL && strcmp(a->cut, b->cut) == 0 &&
           strcmp(a->label, b->label) != 0;
}

/* All too long ones cut behind the same part of the width. @return how many are alike */
static size_t cut_all(struct fm_screen_name *names, size_t n, size_t width, size_t head)
{
    size_t same = 0;
    for (size_t i = 0; i < n; i++) {
        free(names[i].cut);
        names[i].cut = NULL;
        if (fm_text_width(names[i].label, strlen(names[i].label)) > width)
            names[i].cut =
                cut(names[i].label, width, head, tail_of(names[i].label, width - 1 - head));
        for (size_t k = 0; k < i; k++)
            same += alike(&names[i], &names[k]);
    }
    return same;
}

/* Two that are alike still: both from where they begin to differ. */
static void cut_apart(struct fm_screen_name *a, struct fm_screen_name *b, size_t width)
{
    size_t same = 0, step;
    while (step = step_at(a->label + same),
           a->label[same] != '\0' && strncmp(a->label + same, b->label + same, step) == 0)
        same += step;
    free(a->cut);
    free(b->cut);
    a->cut = cut(a->label, width, width / 3, same);
    b->cut = cut(b->label, width, width / 3, same);
}

/* The first letters of each word, as many as there is room for: "GarCol G1 Old Gen ColCou".
 * @return NULL if not even one of each fits */
static char *abbreviate(const char *text, size_t width)
{
    enum { MOST = 8 };
    for (size_t letters = MOST; letters > 0; letters--) {
        struct fm_buf out;
        size_t in_word = 0;
        fm_buf_init(&out, 0);
        for (size_t at = 0; text[at] != '\0';) {
            size_t step = step_at(text + at);
            unsigned char here = (unsigned char)text[at];
            bool letter = step > 1 || isalnum(here);
            bool begins = isupper(here) && at > 0 && !isupper((unsigned char)text[at - 1]);
            in_word = !letter ? 0 : begins ? 1 : in_word + 1;
            if (in_word <= letters)
                fm_buf_put(&out, text + at, step);
            at += step;
        }
        if (fm_text_width(out.data, out.len) <= width)
            return fm_buf_take(&out);
        fm_buf_clear(&out);
    }
    return NULL;
}

/* Those that no single cut keeps apart. */
static void abbreviate_alike(struct fm_screen_name *names, size_t n, size_t width)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n && !names[i].twin; k++)
            names[i].twin = alike(&names[i], &names[k]);
    for (size_t i = 0; i < n; i++) {
        char *shorter = names[i].twin ? abbreviate(names[i].label, width) : NULL;
        if (shorter == NULL)
            continue;
        free(names[i].cut);
        names[i].cut = shorter;
    }
}

void fm_screen_cut(struct fm_screen_name *names, size_t n, size_t width)
{
    const size_t heads[] = {width / 2, width / 3, 2 * width / 3, width / 5, 0, width - 1};
    enum { HEADS = sizeof heads / sizeof heads[0] };
    size_t best = 0, least = SIZE_MAX;
    if (width < LEAST_WIDTH)
        return;
    for (size_t i = 0; i < HEADS && least > 0; i++) {
        size_t same = cut_all(names, n, width, heads[i]);
        if (same < least) {
            least = same;
            best = i;
        }
    }
    if (least == 0)
        return;
    (void)cut_all(names, n, width, heads[best]);
    abbreviate_alike(names, n, width);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++)
            if (alike(&names[i], &names[k]))
                cut_apart(&names[i], &names[k], width);
}
