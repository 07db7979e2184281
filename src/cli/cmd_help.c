/* cli/cmd_help.c - `help [COMMAND]`, `help config`, and for the makers `help --man` */
#include <string.h>

#include "cli/cmd.h"

struct help_opts {
    bool man;
};

static const struct fm_flag flags[] = {
    {0, "man", FM_FLAG_SWITCH, offsetof(struct help_opts, man), NULL,
     "Print the manual page as source, for man -l -."},
    {.name = NULL},
};

static enum fm_code run_help(struct fm_cmd_call *call, struct fm_err *err)
{
    const struct help_opts *opts = call->opts;
    if (opts->man || call->words.n == 0) {
        if (opts->man)
            fm_help_man(stdout);
        else
            fm_help_main(stdout);
        return FM_OK;
    }
    const char *word = call->words.items[0];
    const struct fm_cmd *cmd = fm_cmd_find(word);
    if (cmd != NULL)
        fm_help_cmd(stdout, cmd);
    else if (strcmp(word, "config") == 0)
        fm_help_config(stdout);
    else
        return fm_err_set(err, FM_EUSAGE,
                          "help: there is no command \"%.60s\"; firstmile --help lists them", word);
    return FM_OK;
}

static const char *const text[] = {
    "COMMAND is one of the commands, or config: every key of the configuration.",
    NULL,
};

const struct fm_cmd fm_cmd_help = {
    .name = "help",
    .args = "[COMMAND]",
    .about = "print help of a command, or of the configuration",
    .text = text,
    .flags = flags,
    .opts_size = sizeof(struct help_opts),
    .max_words = 1,
    .run = run_help,
};
