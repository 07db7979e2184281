/* A file's text before the library gets it: bounds, bytes, heads, what stands twice; and the text
 * again without what cannot be read, so that one mistake does not hide the others. */
#include "config/ini_priv.h"

#include <ini_configobj.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"

void fm_ini_text_clear(struct fm_ini_text *t)
{
    free(t->heads);
    free(t->keys);
    free(t->bad);
    t->heads = NULL;
    t->keys = NULL;
    t->bad = NULL;
}

void fm_ini_mark(struct fm_ini_text *t, unsigned line)
{
    struct fm_ini_head *head = NULL;
    for (size_t i = 0; i < t->n_heads && t->heads[i].line < line; i++)
        head = &t->heads[i];
    if (head != NULL)
        head->torn = true;
    if (line <= t->n_lines)
        t->bad[line] = 1;
}

/* ---- looking ---- */

/* Also the last duty of a line: telling what the library would call "no equal sign". */
static const char *const bad_bytes[] = {"a NUL byte", "text that is not UTF-8"};

static void check_line(struct fm_build *b, struct fm_ini_text *t, const char *line, size_t len,
                       unsigned number)
{
    const char *what = NULL;
    if (len > FM_INI_LINE_MAX)
        what = "a line longer than 64 KiB";
    else if (memchr(line, '\0', len) != NULL)
        what = bad_bytes[0];
    else if (!fm_utf8_valid(line, len))
        what = bad_bytes[1];
    if (what == NULL)
        return;
    fm_build_error(b, t->file, number, "%s; this is no configuration file", what);
    fm_ini_mark(t, number);
}

/* The name of a section line, whether or not it is closed. @return its length, *start where */
static size_t head_name(const char *line, size_t len, const char **start)
{
    const char *end = memchr(line, ']', len);
    end = end != NULL ? end : line + len;
    line++;
    while (line < end && (*line == ' ' || *line == '\t'))
        line++;
    while (end > line && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
        end--;
    *start = line;
    return (size_t)(end - line);
}

static bool add_head(struct fm_build *b, struct fm_ini_text *t, const char *line, size_t len,
                     unsigned number)
{
    const char *start;
    size_t name_len = head_name(line, len, &start);
    if (name_len == 0)
        return true; /* the library complains */
    char *name = fm_build_strndup(b, start, name_len);
    struct fm_ini_head *heads = realloc(t->heads, (t->n_heads + 1) * sizeof *heads);
    if (heads != NULL)
        t->heads = heads;
    if (name == NULL || heads == NULL) {
        b->nomem = true;
        return false;
    }
    if (strcasecmp(name, INI_DEFAULT_SECTION) == 0) {
        fm_build_error(b, t->file, number, "there is no section [%s]", name);
        return false;
    }
    for (size_t i = 0; i < t->n_heads; i++) {
        if (strcasecmp(t->heads[i].name, name) != 0)
            continue;
        fm_build_error(b, t->file, number, "section [%s] stands already in line %u", name,
                       t->heads[i].line);
        t->at = i + 1;
        return true;
    }
    t->heads[t->n_heads++] = (struct fm_ini_head){.name = name, .line = number};
    t->at = t->n_heads;
    return true;
}

static void add_key(struct fm_build *b, struct fm_ini_text *t, const char *line, size_t len,
                    unsigned number)
{
    const char *equal = memchr(line, '=', len);
    const char *end = equal;
    if (equal == NULL || *line == '#' || *line == ';')
        return;
    if (t->n_keys == t->room) {
        size_t room = t->room == 0 ? 64 : 2 * t->room;
        struct fm_ini_key *keys = realloc(t->keys, room * sizeof *keys);
        if (keys == NULL) {
            b->nomem = true;
            return;
        }
        t->keys = keys;
        t->room = room;
    }
    while (line < end && (*line == ' ' || *line == '\t'))
        line++;
    while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    t->keys[t->n_keys++] = (struct fm_ini_key){line, (size_t)(end - line), t->at, number};
}

/* By section and key, as the library compares them; then by line. */
static int compare_written(const void *x, const void *y)
{
    const struct fm_ini_key *a = x, *b = y;
    if (a->head != b->head)
        return a->head < b->head ? -1 : 1;
    int order = strncasecmp(a->key, b->key, a->len < b->len ? a->len : b->len);
    if (order != 0 || a->len != b->len)
        return order != 0 ? order : a->len < b->len ? -1 : 1;
    return a->line < b->line ? -1 : a->line > b->line;
}

/* What stands twice is told here, with its name; the library then keeps the first. */
static void tell_doubles(struct fm_build *b, struct fm_ini_text *t)
{
    if (t->n_keys > 1)
        qsort(t->keys, t->n_keys, sizeof *t->keys, compare_written);
    for (size_t i = 1; i < t->n_keys; i++) {
        const struct fm_ini_key *was = &t->keys[i - 1], *now = &t->keys[i];
        if (was->head != now->head || was->len != now->len || now->len == 0 ||
            strncasecmp(was->key, now->key, now->len) != 0)
            continue;
        const char *section = now->head > 0 ? t->heads[now->head - 1].name : NULL;
        fm_build_error(b, t->file, now->line, "%s%s%s%.*s is set already in line %u",
                       section != NULL ? "[" : "", section != NULL ? section : "",
                       section != NULL ? "] " : "", (int)(now->len < 60 ? now->len : 60), now->key,
                       was->line);
    }
}

static unsigned count_lines(const struct fm_ini_text *t)
{
    unsigned n = 1;
    for (size_t i = 0; i < t->len; i++)
        n += t->data[i] == '\n';
    return n;
}

bool fm_ini_look(struct fm_build *b, struct fm_ini_text *t)
{
    bool ok = true;
    unsigned number = 0;
    t->n_lines = count_lines(t);
    t->bad = calloc(t->n_lines + 1U, 1);
    b->nomem = b->nomem || t->bad == NULL;
    if (t->bad == NULL)
        return false;
    for (size_t at = 0; at < t->len;) {
        const char *line = t->data + at;
        const char *end = memchr(line, '\n', t->len - at);
        size_t len = end == NULL ? t->len - at : (size_t)(end - line);
        at += len + 1;
        number++;
        if (++b->lines > FM_INI_LINES_MAX) {
            fm_build_error(b, t->file, number, "more than %d lines of configuration",
                           FM_INI_LINES_MAX);
            return false;
        }
        check_line(b, t, line, len, number);
        if (memchr(line, '\0', len) != NULL)
            return false; /* no text at all */
        if (t->bad[number] != 0)
            continue;
        if (len > 0 && *line == '[' && !add_head(b, t, line, len, number))
            ok = false;
        else if (len > 0 && *line != '[')
            add_key(b, t, line, len, number);
    }
    tell_doubles(b, t);
    return ok && !b->nomem;
}

/* ---- what is left ---- */

void fm_ini_clean(const struct fm_ini_text *t, struct fm_buf *out)
{
    unsigned number = 0;
    for (size_t at = 0; at < t->len;) {
        const char *line = t->data + at, *name;
        const char *end = memchr(line, '\n', t->len - at);
        size_t len = end == NULL ? t->len - at : (size_t)(end - line);
        at += len + 1;
        if (t->bad[++number] == 0) {
            fm_buf_put(out, line, len);
        } else if (*line == '[') {
            size_t name_len = head_name(line, len, &name);
            if (name_len == 0)
                return; /* nobody knows whose the following lines are */
            fm_buf_putc(out, '[');
            fm_buf_put(out, name, name_len);
            fm_buf_putc(out, ']');
        }
        fm_buf_putc(out, '\n');
    }
}
