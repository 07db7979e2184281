#include "cli/complete.h"

#include <ctype.h>
#include <string.h>

#include "base/utf8.h"
#include "config/presets.h"

enum { MOST_WORDS = 2000 };

/* ---- the answer ---- */

static bool harmless(const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)word[i], next = (unsigned char)word[i + 1];
        if (c < 0x20 || c == 0x7f || (c == 0xc2 && next < 0xa0))
            return false;
    }
    return fm_utf8_valid(word, len);
}

static bool append(struct fm_words *list, const char *text, struct fm_arena *arena)
{
    if ((list->n & (list->n - 1)) == 0) { /* full at 0, 1, 2, 4 ... */
        const char **items = fm_arena_array(arena, list->n == 0 ? 1 : 2 * list->n, sizeof *items);
        if (items == NULL)
            return false;
        if (list->n > 0)
            memcpy(items, list->items, list->n * sizeof *items);
        list->items = items;
    }
    const char *copy = fm_arena_strndup(arena, text, strlen(text));
    if (copy == NULL)
        return false;
    list->items[list->n++] = copy;
    return true;
}

void fm_complete_offer(struct fm_complete *c, const char *word, const char *about)
{
    if (c->words.n == MOST_WORDS || strncmp(word, c->prefix, strlen(c->prefix)) != 0 ||
        !harmless(word))
        return;
    for (size_t i = 0; i < c->words.n; i++)
        if (strcmp(c->words.items[i], word) == 0)
            return;
    about = about != NULL && harmless(about) ? about : "";
    if (append(&c->words, word, &c->cli->arena) && !append(&c->about, about, &c->cli->arena))
        c->words.n--;
}

/* ---- words of the tables ---- */

static void offer_commands(struct fm_complete *c)
{
    const struct fm_cmd *cmd;
    for (size_t i = 0; (cmd = fm_cmd_at(i)) != NULL; i++)
        if (!cmd->hidden)
            fm_complete_offer(c, cmd->name, cmd->about);
}

static void offer_presets(struct fm_complete *c)
{
    struct fm_preset preset;
    for (size_t i = 0; fm_preset_at(i, &preset); i++)
        fm_complete_offer(c, preset.name, preset.about);
}

static void offer_flags(struct fm_complete *c, const struct fm_flag *flags, bool json)
{
    for (; flags != NULL && flags->name != NULL; flags++) {
        char word[64];
        if (!json && strcmp(flags->name, "json") == 0)
            continue;
        (void)snprintf(word, sizeof word, "--%s", flags->name);
        fm_complete_offer(c, word, flags->help);
    }
}

/* "json|text" */
static void offer_choices(struct fm_complete *c, const char *choices)
{
    while (*choices != '\0') {
        char word[64];
        size_t len = strcspn(choices, "|");
        (void)snprintf(word, sizeof word, "%.*s", (int)len, choices);
        fm_complete_offer(c, word, "");
        choices += len + (choices[len] == '|');
    }
}

/* ---- the line ---- */

/** What is known of the words before the last. */
struct line {
    const struct fm_cmd *cmd;
    const struct fm_flag *pending; /* wants the last word as its value */
    bool only_words; /* behind "--" */
    const char *words[64]; /* arguments of the command */
    size_t n;
};

static const struct fm_flag *find_flag(const struct line *l, char letter, const char *name,
                                       size_t len)
{
    const struct fm_flag *tables[] = {fm_cmd_globals(), l->cmd != NULL ? l->cmd->flags : NULL};
    for (size_t i = 0; i < 2; i++)
        for (const struct fm_flag *f = tables[i]; f != NULL && f->name != NULL; f++)
            if (name == NULL ? f->letter == letter
                             : strncmp(f->name, name, len) == 0 && f->name[len] == '\0')
                return f;
    return NULL;
}

/* What the values of options mean for us: where the configuration lies. */
static void use_value(struct fm_complete *c, const struct fm_flag *f, const char *value)
{
    if (f == NULL || f->letter == 0)
        return;
    if (f->letter == 'c' && strcmp(f->name, "config") == 0)
        c->cli->global.config = value;
    if (f->letter == 'o' && strcmp(f->name, "set") == 0)
        (void)append(&c->cli->global.overrides, value, &c->cli->arena);
}

static void read_option(struct fm_complete *c, struct line *l, const char *word)
{
    if (word[1] == '-') {
        const char *equals = strchr(word, '=');
        size_t len = equals != NULL ? (size_t)(equals - word) - 2 : strlen(word) - 2;
        const struct fm_flag *f = find_flag(l, 0, word + 2, len);
        if (f != NULL && f->arg != NULL && equals != NULL)
            use_value(c, f, equals + 1);
        else if (f != NULL && f->arg != NULL)
            l->pending = f;
        return;
    }
    for (const char *letter = word + 1; *letter != '\0'; letter++) {
        const struct fm_flag *f = find_flag(l, *letter, NULL, 0);
        if (f == NULL || f->arg == NULL)
            continue;
        if (letter[1] != '\0')
            use_value(c, f, letter + 1);
        else
            l->pending = f;
        return;
    }
}

/* @return false: no such command, nothing can be said */
static bool read_line(struct fm_complete *c, struct line *l, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *word = words[i];
        if (l->pending != NULL) {
            use_value(c, l->pending, word);
            l->pending = NULL;
        } else if (!l->only_words && strcmp(word, "--") == 0) {
            l->only_words = true;
        } else if (!l->only_words && word[0] == '-' && word[1] != '\0') {
            read_option(c, l, word);
        } else if (l->cmd == NULL) {
            l->cmd = fm_cmd_find(word);
            if (l->cmd == NULL || l->cmd->hidden)
                return false;
        } else if (l->n < sizeof l->words / sizeof l->words[0]) {
            l->words[l->n++] = word;
        }
    }
    return true;
}

/* ---- arguments by their names ---- */

/* The name of argument i in a usage line such as "TARGET BEAN [ATTRIBUTE[/path]]...". */
static void argument_name(const char *args, size_t i, char *out, size_t size)
{
    out[0] = '\0';
    for (size_t k = 0; *args != '\0'; k++) {
        args += strspn(args, " [");
        size_t len = strcspn(args, " []");
        size_t whole = strcspn(args, " ");
        bool last = args[whole] == '\0';
        bool repeats = memmem(args, whole, "...", 3) != NULL;
        while (len > 0 && args[len - 1] == '.')
            len--;
        if (k == i || (last && repeats && i > k)) {
            (void)snprintf(out, size, "%.*s", (int)len, args);
            return;
        }
        args += whole;
    }
}

/* ATTRIBUTE: of the bean before it. A word with a colon is a bean, where several are allowed. */
static void offer_attributes(struct fm_complete *c, const struct line *l)
{
    size_t bean = 1;
    bool several = strcmp(l->cmd->name, "watch") == 0;
    for (size_t i = 2; several && i < l->n; i++)
        if (strchr(l->words[i], ':') != NULL)
            bean = i;
    if (l->n > bean)
        fm_complete_attributes(c, l->words[0], l->words[bean]);
    if (several && (c->words.n == 0 || strchr(c->prefix, ':') != NULL))
        fm_complete_beans(c, l->words[0]);
}

static void offer_argument(struct fm_complete *c, const struct line *l, const char *name)
{
    if (islower((unsigned char)name[0]))
        offer_choices(c, name);
    else if (strcmp(name, "TARGET") == 0)
        fm_complete_targets(c);
    else if ((strcmp(name, "BEAN") == 0 || strcmp(name, "PATTERN") == 0) && l->n > 0)
        fm_complete_beans(c, l->words[0]);
    else if (strcmp(name, "ATTRIBUTE") == 0 && l->n > 1)
        offer_attributes(c, l);
    else if (strcmp(name, "PRESET") == 0)
        offer_presets(c);
    else if (strcmp(name, "COMMAND") == 0)
        offer_commands(c);
    else if (strcmp(name, "SECTION.KEY=VALUE") == 0)
        fm_complete_setting(c);
    else if (strcmp(name, "FILE") == 0)
        c->files = FM_COMPLETE_FILES;
    else if (strcmp(name, "DIR") == 0)
        c->files = FM_COMPLETE_DIRS;
}

/* The next word of every action that begins as the line does, or an action's own arguments. */
static void offer_actions(struct fm_complete *c, const struct line *l)
{
    for (const struct fm_action *a = l->cmd->actions; a->name != NULL; a++) {
        const char *rest = a->name;
        size_t i = 0;
        while (i < l->n && *rest != '\0' && strncmp(rest, l->words[i], strcspn(rest, " ")) == 0 &&
               l->words[i][strcspn(rest, " ")] == '\0') {
            rest += strcspn(rest, " ");
            rest += *rest == ' ';
            i++;
        }
        char word[32];
        if (i == l->n && *rest != '\0') {
            (void)snprintf(word, sizeof word, "%.*s", (int)strcspn(rest, " "), rest);
            fm_complete_offer(c, word, strchr(rest, ' ') != NULL ? "" : a->about);
        } else if (*rest == '\0') {
            argument_name(a->args, l->n - i, word, sizeof word);
            offer_argument(c, l, word);
        }
    }
}

/* --name=VALUE: words are offered whole. */
static bool offer_joined(struct fm_complete *c, const struct line *l)
{
    const char *word = c->prefix, *equals = strchr(word, '=');
    if (strncmp(word, "--", 2) != 0 || equals == NULL)
        return false;
    const struct fm_flag *f = find_flag(l, 0, word + 2, (size_t)(equals - word) - 2);
    if (f == NULL || f->arg == NULL)
        return true;
    struct fm_words plain = {0};
    c->prefix = equals + 1;
    c->files_after = fm_arena_strndup(&c->cli->arena, word, (size_t)(equals - word) + 1);
    offer_argument(c, l, f->arg);
    c->prefix = word;
    plain = c->words;
    c->words = (struct fm_words){0};
    for (size_t i = 0; i < plain.n; i++) {
        struct fm_buf whole;
        fm_buf_init(&whole, 0);
        fm_buf_printf(&whole, "%s%s", c->files_after, plain.items[i]);
        (void)append(&c->words, fm_buf_str(&whole), &c->cli->arena);
        fm_buf_clear(&whole);
    }
    return true;
}

void fm_complete(struct fm_complete *c, struct fm_cli *cli, const char *const *words, size_t n)
{
    struct line l = {.n = 0};
    char name[32];
    *c = (struct fm_complete){.cli = cli, .prefix = n > 0 ? words[n - 1] : ""};
    if (n == 0 || !read_line(c, &l, words, n - 1))
        return;
    bool option = !l.only_words && c->prefix[0] == '-';
    if (l.pending != NULL) {
        offer_argument(c, &l, l.pending->arg);
    } else if (option && offer_joined(c, &l)) {
        return;
    } else if (option) {
        offer_flags(c, l.cmd != NULL ? l.cmd->flags : NULL, true);
        offer_flags(c, fm_cmd_globals(), l.cmd == NULL || l.cmd->json);
    } else if (l.cmd == NULL) {
        offer_commands(c);
    } else if (l.cmd->actions != NULL) {
        offer_actions(c, &l);
    } else {
        argument_name(l.cmd->args, l.n, name, sizeof name);
        offer_argument(c, &l, name);
        if (strcmp(l.cmd->name, "help") == 0 && l.n == 0)
            fm_complete_offer(c, "config", "every key of the configuration");
    }
}
