/* A command line as bash and readline read it. readline replaces only what stands behind the last
 * unquoted character of COMP_WORDBREAKS (which holds : and =) or behind an opening quote, so that
 * is all it may be given. */
#include <string.h>

#include "cli/complete.h"

static bool push(struct fm_words *list, const char *word, size_t len, struct fm_arena *arena)
{
    if (list->n % 16 == 0) {
        const char **items = fm_arena_array(arena, list->n + 16, sizeof *items);
        if (items == NULL)
            return false;
        if (list->n > 0)
            memcpy(items, list->items, list->n * sizeof *items);
        list->items = items;
    }
    const char *copy = fm_arena_strndup(arena, word, len);
    if (copy == NULL)
        return false;
    list->items[list->n++] = copy;
    return true;
}

bool fm_bash_split(struct fm_bash_line *out, const char *line, const char *breaks,
                   struct fm_arena *arena)
{
    char *word = fm_arena_alloc(arena, strlen(line) + 1);
    size_t len = 0;
    bool inside = false, ok = word != NULL;
    *out = (struct fm_bash_line){.quote = 0};
    for (; ok && *line != '\0'; line++) {
        char c = *line;
        bool blank = c == ' ' || c == '\t' || c == '\n';
        if (out->quote == 0 && blank) {
            ok = !inside || push(&out->words, word, len, arena);
            inside = false;
            len = out->skip = 0;
            continue;
        }
        inside = true;
        if (c == out->quote) {
            out->quote = 0;
        } else if (out->quote == 0 && (c == '\'' || c == '"')) {
            out->quote = c;
            out->skip = len;
        } else if (c == '\\' && out->quote != '\'') {
            bool kept = out->quote == '"' && line[1] != '\0' && strchr("\"\\$`", line[1]) == NULL;
            if (kept)
                word[len++] = c;
            else if (line[1] != '\0')
                word[len++] = *++line;
        } else {
            word[len++] = c;
            if (out->quote == 0 && strchr(breaks, c) != NULL)
                out->skip = len;
        }
    }
    return ok && push(&out->words, word, len, arena);
}

static bool plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (unsigned char)c >= 0x80 || strchr("_./:=,@%+-", c) != NULL;
}

void fm_bash_quote(struct fm_buf *out, const struct fm_bash_line *line, const char *word)
{
    size_t len = strlen(word);
    for (size_t i = line->skip < len ? line->skip : len; i < len; i++) {
        char c = word[i];
        if (line->quote == '\'' && c == '\'')
            fm_buf_puts(out, "'\\'");
        else if ((line->quote == '"' && strchr("\"\\$`", c) != NULL) ||
                 (line->quote == 0 && !plain(c)))
            fm_buf_putc(out, '\\');
        fm_buf_putc(out, c);
    }
}
