#include "cli/cmd.h"

#include <stdalign.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "config/nearest.h"

static const struct fm_cmd *const commands[] = {
    &fm_cmd_init,     &fm_cmd_run,     &fm_cmd_check,   &fm_cmd_once,    &fm_cmd_jvms,
    &fm_cmd_beans,    &fm_cmd_get,     &fm_cmd_watch,   &fm_cmd_produce, &fm_cmd_spool,
    &fm_cmd_audit,    &fm_cmd_sandbox, &fm_cmd_presets, &fm_cmd_health,  &fm_cmd_completion,
    &fm_cmd_complete, &fm_cmd_help,    &fm_cmd_version,
};

#define AT(field) offsetof(struct fm_globals, field)
static const struct fm_flag globals[] = {
    {'c', "config", FM_FLAG_TEXT, AT(config), "FILE",
     "Configuration file; without it ./config.ini, then /etc/firstmile/config.ini."},
    {'o', "set", FM_FLAG_LIST, AT(overrides), "SECTION.KEY=VALUE",
     "Override a setting; may be given several times. Keys of secrets are refused (use KEY_file)."},
    {'v', "verbose", FM_FLAG_COUNT, AT(verbose), NULL, "Say more on stderr; twice for everything."},
    {'q', "quiet", FM_FLAG_COUNT, AT(quiet), NULL, "Say less on stderr."},
    {0, "json", FM_FLAG_SWITCH, AT(json), NULL,
     "Print tables as a JSON array of objects with the same fields."},
    {'h', "help", FM_FLAG_SWITCH, AT(help), NULL, "Print this help."},
    {0, "version", FM_FLAG_SWITCH, AT(version), NULL, "Print the version."},
    {.name = NULL},
};
#undef AT

const struct fm_cmd *fm_cmd_at(size_t i)
{
    return i < sizeof commands / sizeof commands[0] ? commands[i] : NULL;
}

const struct fm_cmd *fm_cmd_find(const char *name)
{
    const struct fm_cmd *cmd;
    for (size_t i = 0; (cmd = fm_cmd_at(i)) != NULL; i++)
        if (strcmp(cmd->name, name) == 0)
            return cmd;
    return NULL;
}

const struct fm_flag *fm_cmd_globals(void)
{
    return globals;
}

enum fm_log_level fm_cmd_level(const struct fm_cli *cli, enum fm_log_level base)
{
    int level = (int)base + cli->global.verbose - cli->global.quiet;
    return level < FM_LOG_ERROR   ? FM_LOG_ERROR
           : level > FM_LOG_DEBUG ? FM_LOG_DEBUG
                                  : (enum fm_log_level)level;
}

struct fm_table_style fm_cmd_style(const struct fm_cli *cli)
{
    return (struct fm_table_style){
        .json = cli->global.json, .colour = cli->colour, .width = cli->width};
}

void fm_cmd_print(const struct fm_cli *cli, const char *text, size_t len)
{
    if (cli->width == 0) {
        (void)fwrite(text, 1, len, stdout);
        return;
    }
    struct fm_buf safe;
    fm_buf_init(&safe, 0);
    fm_text_safe(&safe, text, len, true, 0);
    (void)fputs(fm_buf_str(&safe), stdout); /* NUL bytes were replaced too */
    fm_buf_clear(&safe);
}

void fm_cmd_note(const struct fm_cli *cli, const char *fmt, ...)
{
    struct fm_err text; /* makes one printable line of whatever the arguments hold */
    char note[sizeof text.text];
    va_list args;
    if (cli->global.quiet > 0)
        return;
    va_start(args, fmt);
    (void)vsnprintf(note, sizeof note, fmt, args);
    va_end(args);
    (void)fm_err_set(&text, FM_OK, "%s", note);
    (void)fprintf(stderr, "firstmile: %s\n", text.text);
}

static enum fm_code unknown_command(const char *word, struct fm_err *err)
{
    struct fm_nearest near = {.word = word};
    const struct fm_cmd *cmd;
    for (size_t i = 0; (cmd = fm_cmd_at(i)) != NULL; i++)
        if (!cmd->hidden)
            fm_nearest_offer(&near, cmd->name);
    const char *best = fm_nearest_word(&near);
    if (best != NULL)
        return fm_err_set(err, FM_EUSAGE, "unknown command \"%.60s\"; did you mean %s?", word,
                          best);
    return fm_err_set(err, FM_EUSAGE,
                      "unknown command \"%.60s\"; firstmile --help lists the commands", word);
}

static enum fm_code check_words(const char *name, const char *action, const char *args,
                                unsigned least, unsigned most, const struct fm_words *words,
                                struct fm_err *err)
{
    const char *blank = action[0] != '\0' ? " " : "";
    const char *gap = args[0] != '\0' ? " " : "";
    if (words->n < least)
        return fm_err_set(err, FM_EUSAGE, "%s%s%s: too few arguments; usage: firstmile %s%s%s%s%s",
                          name, blank, action, name, blank, action, gap, args);
    if (words->n > most)
        return fm_err_set(err, FM_EUSAGE,
                          "%s%s%s: \"%.40s\" is one argument too many; usage: "
                          "firstmile %s%s%s%s%s",
                          name, blank, action, words->items[most], name, blank, action, gap, args);
    return FM_OK;
}

/* How many of the words the name of an action takes; 0 if they are others. */
static size_t action_words(const char *name, const struct fm_words *words)
{
    size_t taken = 0;
    for (;;) {
        size_t len = strcspn(name, " ");
        if (taken == words->n || strncmp(words->items[taken], name, len) != 0 ||
            words->items[taken][len] != '\0')
            return 0;
        taken++;
        if (name[len] == '\0')
            return taken;
        name += len + 1;
    }
}

static enum fm_code run_action(const struct fm_cmd *cmd, struct fm_cmd_call *call,
                               struct fm_err *err)
{
    struct fm_buf names;
    struct fm_nearest near = {.word = call->words.n > 0 ? call->words.items[0] : ""};
    fm_buf_init(&names, 0);
    for (const struct fm_action *a = cmd->actions; a->name != NULL; a++) {
        size_t taken = action_words(a->name, &call->words);
        if (taken > 0) {
            fm_buf_clear(&names);
            call->words.items += taken;
            call->words.n -= taken;
            FM_TRY(check_words(cmd->name, a->name, a->args, a->min_words, a->max_words,
                               &call->words, err));
            return a->run(call, err);
        }
        fm_nearest_offer(&near, a->name);
        fm_buf_printf(&names, "%s%s", names.len > 0 ? ", " : "", a->name);
    }
    const char *best = fm_nearest_word(&near);
    enum fm_code code =
        call->words.n == 0
            ? fm_err_set(err, FM_EUSAGE, "%s: say what to do: %s", cmd->name, fm_buf_str(&names))
        : best != NULL
            ? fm_err_set(err, FM_EUSAGE, "%s: unknown action \"%.40s\"; did you mean %s?",
                         cmd->name, call->words.items[0], best)
            : fm_err_set(err, FM_EUSAGE, "%s: unknown action \"%.40s\"; there are: %s", cmd->name,
                         call->words.items[0], fm_buf_str(&names));
    fm_buf_clear(&names);
    return code;
}

/* Keys of the target without a name: where there is none they would change nothing. */
static enum fm_code check_overrides(const struct fm_cmd *cmd, const struct fm_globals *global,
                                    struct fm_err *err)
{
    for (size_t i = 0; i < global->overrides.n && !cmd->target; i++) {
        const char *text = global->overrides.items[i];
        if (strncmp(text, "target.", 7) == 0)
            return fm_err_set(err, FM_EUSAGE,
                              "%s: -o %.*s concerns the TARGET of beans, get and watch, and there "
                              "is none here; write -o target:NAME.%.*s=... with the name of a "
                              "[target:NAME]",
                              cmd->name, (int)strcspn(text, "="), text, (int)strcspn(text + 7, "="),
                              text + 7);
    }
    return FM_OK;
}

static enum fm_code run_command(const struct fm_cmd *cmd, struct fm_cmd_call *call,
                                struct fm_err *err)
{
    if (call->cli->global.help) {
        fm_help_cmd(stdout, cmd);
        return FM_OK;
    }
    if (call->cli->global.json && !cmd->json)
        return fm_err_set(err, FM_EUSAGE, "%s: --json: this command prints no table", cmd->name);
    if (call->cli->global.verbose + call->cli->global.quiet > 0)
        fm_log_set(call->cli->log, fm_cmd_level(call->cli, FM_LOG_WARN), FM_LOG_TEXT);
    FM_TRY(check_overrides(cmd, &call->cli->global, err));
    if (cmd->actions != NULL)
        return run_action(cmd, call, err);
    FM_TRY(
        check_words(cmd->name, "", cmd->args, cmd->min_words, cmd->max_words, &call->words, err));
    return cmd->run(call, err);
}

enum fm_code fm_cmd_main(struct fm_cli *cli, const char *const *args, size_t n, struct fm_err *err)
{
    alignas(max_align_t) unsigned char opts[FM_OPTS_MAX] = {0};
    struct fm_flags sets[2] = {{globals, &cli->global}};
    struct fm_words words;
    FM_TRY(fm_flags_parse(sets, 1, args, n, true, &words, &cli->arena, err));
    const struct fm_cmd *cmd = NULL;
    if (words.n > 0) {
        cmd = fm_cmd_find(words.items[0]);
        if (cmd == NULL)
            return unknown_command(words.items[0], err);
    } else if (cli->global.version) {
        cmd = &fm_cmd_version;
    } else if (cli->global.help) {
        fm_help_main(stdout);
        return FM_OK;
    } else {
        fm_help_main(stderr);
        return fm_err_set(err, FM_EUSAGE, "no command given");
    }
    struct fm_cmd_call call = {.cli = cli, .opts = opts};
    size_t n_sets = cmd->flags != NULL ? 2 : 1;
    sets[1] = (struct fm_flags){cmd->flags, opts};
    size_t first = words.n > 0 ? n - words.n + 1 : n;
    enum fm_code code =
        fm_flags_parse(sets, n_sets, args + first, n - first, false, &call.words, &cli->arena, err);
    if (code != FM_OK) {
        (void)fm_err_context(err, "%s", cmd->name);
        if (code == FM_EUSAGE && strchr(err->text, '?') == NULL) {
            size_t len = strlen(err->text);
            (void)snprintf(err->text + len, sizeof err->text - len,
                           "; firstmile %s --help lists the options", cmd->name);
        }
        return code;
    }
    return run_command(cmd, &call, err);
}
