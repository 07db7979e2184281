/* The keys of `watch`: sorting, the filter, scrolling. */
#include <string.h>

#include "cli/screen.h"

static void type_filter(struct fm_screen *screen, char c)
{
    size_t len = strlen(screen->filter);
    if (c == '\r' || c == '\n') {
        screen->typing = false;
    } else if (c == '\b' || c == 0x7f) {
        while (len > 0 && ((unsigned char)screen->filter[len - 1] & 0xc0) == 0x80)
            screen->filter[--len] = '\0'; /* the whole character */
        if (len > 0)
            screen->filter[len - 1] = '\0';
    } else if (c == 0x15) { /* Ctrl-U */
        screen->filter[0] = '\0';
    } else if ((unsigned char)c >= 0x20 && len + 1 < sizeof screen->filter) {
        screen->filter[len] = c;
        screen->filter[len + 1] = '\0';
    }
    screen->top = 0;
}

static void scroll(struct fm_screen *screen, long by)
{
    if (by < 0)
        screen->top = (size_t)-by > screen->top ? 0 : screen->top - (size_t)-by;
    else
        screen->top += (size_t)by; /* the next frame keeps it within the rows */
}

static void press(struct fm_screen *screen, char c)
{
    long page = screen->lines > 1 ? (long)screen->lines - 1 : 1;
    switch (c) {
    case 'q':
    case 'Q':
        screen->quit = true;
        break;
    case 'p':
    case ' ':
        screen->paused = !screen->paused;
        break;
    case 's':
        screen->sort = screen->sort == FM_SORT_RATE ? FM_SORT_NONE : screen->sort + 1;
        screen->top = 0;
        break;
    case 'h':
        screen->short_numbers = !screen->short_numbers;
        break;
    case '/':
        screen->typing = true;
        break;
    case 'k':
        scroll(screen, -1);
        break;
    case 'j':
        scroll(screen, 1);
        break;
    case 'b':
        scroll(screen, -page);
        break;
    case 'f':
        scroll(screen, page);
        break;
    case 'g':
        screen->top = 0;
        break;
    case 'G':
        screen->top = screen->shown;
        break;
    default:
        break;
    }
}

/* "\033[A" and its like. @return bytes taken */
static size_t press_escape(struct fm_screen *screen, const char *bytes, size_t n)
{
    static const struct {
        const char *bytes;
        char key;
    } keys[] = {{"[A", 'k'}, {"OA", 'k'}, {"[B", 'j'}, {"OB", 'j'}, {"[5~", 'b'}, {"[6~", 'f'},
                {"[H", 'g'}, {"OH", 'g'}, {"[F", 'G'}, {"OF", 'G'}, {"[1~", 'g'}, {"[4~", 'G'}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        size_t len = strlen(keys[i].bytes);
        if (n > len && memcmp(bytes + 1, keys[i].bytes, len) == 0) {
            press(screen, keys[i].key);
            return len + 1;
        }
    }
    if (n > 1 && (bytes[1] == '[' || bytes[1] == 'O')) { /* another key: up to its final byte */
        size_t at = 2;
        while (at < n && ((unsigned char)bytes[at] < 0x40 || (unsigned char)bytes[at] > 0x7e))
            at++;
        return at < n ? at + 1 : n;
    }
    screen->typing = false;
    screen->filter[0] = '\0';
    screen->top = 0;
    return 1;
}

bool fm_screen_keys(struct fm_screen *screen, const char *bytes, size_t n)
{
    for (size_t at = 0; at < n;) {
        if (bytes[at] == '\033') {
            at += press_escape(screen, bytes + at, n - at);
            continue;
        }
        if (screen->typing)
            type_filter(screen, bytes[at]);
        else
            press(screen, bytes[at]);
        at++;
    }
    return n > 0;
}
