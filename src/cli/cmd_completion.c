/* cli/cmd_completion.c - `completion bash|zsh` prints what makes a shell ask `__complete`, which
 * answers. */
#include <string.h>
#include <unistd.h>

#include "cli/complete.h"

enum { LIMIT_S = 3 /* nobody waits longer for a key to answer */ };

/* The first line says how to take the others. */
static void put_how(struct fm_buf *out, const struct fm_complete *c)
{
    fm_buf_puts(out, c->files == FM_COMPLETE_FILES  ? "files"
                     : c->files == FM_COMPLETE_DIRS ? "dirs"
                     : c->no_space                  ? "nospace"
                                                    : "words");
}

static enum fm_code answer_bash(struct fm_cmd_call *call, struct fm_buf *out, struct fm_err *err)
{
    struct fm_bash_line line;
    struct fm_complete c;
    if (call->words.n != 3)
        return fm_err_set(err, FM_EUSAGE, "__complete: this is for shells");
    if (!fm_bash_split(&line, call->words.items[2], call->words.items[1], &call->cli->arena))
        return fm_err_nomem(err);
    if (line.words.n < 2)
        return FM_OK; /* the program's own name */
    fm_complete(&c, call->cli, line.words.items + 1, line.words.n - 1);
    put_how(out, &c);
    fm_buf_putc(out, '\n');
    for (size_t i = 0; i < c.words.n; i++) {
        fm_bash_quote(out, &line, c.words.items[i]);
        fm_buf_putc(out, '\n');
    }
    return FM_OK;
}

static enum fm_code answer_zsh(struct fm_cmd_call *call, struct fm_buf *out)
{
    struct fm_complete c;
    fm_complete(&c, call->cli, call->words.items + 1, call->words.n - 1);
    put_how(out, &c);
    fm_buf_printf(out, "\t%s\n", c.files_after != NULL ? c.files_after : "");
    for (size_t i = 0; i < c.words.n; i++)
        fm_buf_printf(out, "%s\t%s\n", c.words.items[i], c.about.items[i]);
    return FM_OK;
}

static enum fm_code run_complete(struct fm_cmd_call *call, struct fm_err *err)
{
    struct fm_buf out;
    (void)alarm(LIMIT_S);
    fm_buf_init(&out, 0);
    enum fm_code code = strcmp(call->words.items[0], "bash") == 0 ? answer_bash(call, &out, err)
                                                                  : answer_zsh(call, &out);
    if (code == FM_OK)
        (void)fputs(fm_buf_str(&out), stdout);
    fm_buf_clear(&out);
    return code;
}

static const char bash_script[] =
    "# bash completion for firstmile; made by \"firstmile completion bash\".\n"
    "_firstmile() {\n"
    "    local program=${1/#\\~/$HOME} answer\n"
    "    COMPREPLY=()\n"
    "    mapfile -t answer < <(\"$program\" __complete -- bash \"$COMP_WORDBREAKS\" \\\n"
    "        \"${COMP_LINE:0:COMP_POINT}\" 2>/dev/null)\n"
    "    case ${answer[0]} in\n"
    "    files) compopt -o default ;;\n"
    "    dirs) compopt -o dirnames ;;\n"
    "    nospace) compopt -o nospace ;;\n"
    "    esac\n"
    "    COMPREPLY=(\"${answer[@]:1}\")\n"
    "}\n"
    "complete -F _firstmile firstmile\n";

static const char zsh_script[] =
    "#compdef firstmile\n"
    "# zsh completion for firstmile; made by \"firstmile completion zsh\".\n"
    "_firstmile() {\n"
    "    local -a answer values shown\n"
    "    local how line tab=$'\\t'\n"
    "    answer=(\"${(@f)$(\"${(Q)words[1]/#\\~/$HOME}\" __complete -- zsh \\\n"
    "        \"${(@Q)words[2,CURRENT-1]}\" \"${(Q)PREFIX}\" 2>/dev/null)}\")\n"
    "    how=${answer[1]%%$tab*}\n"
    "    if [[ $how == (files|dirs) ]]; then\n"
    "        local after=${answer[1]#*$tab}\n"
    "        [[ -n $after ]] && compset -P \"${(b)after}\"\n"
    "        if [[ $how == dirs ]]; then _files -/; else _files; fi\n"
    "        return\n"
    "    fi\n"
    "    for line in \"${(@)answer[2,-1]}\"; do\n"
    "        values+=(\"${line%%$tab*}\")\n"
    "        if [[ -n ${line#*$tab} ]]; then\n"
    "            shown+=(\"${line%%$tab*}  -- ${line#*$tab}\")\n"
    "        else\n"
    "            shown+=(\"${line%%$tab*}\")\n"
    "        fi\n"
    "    done\n"
    "    (( $#values )) || return 1\n"
    "    if [[ $how == nospace ]]; then\n"
    "        compadd -S '' -l -d shown -a values\n"
    "    else\n"
    "        compadd -l -d shown -a values\n"
    "    fi\n"
    "}\n"
    "if [[ $funcstack[1] == _firstmile ]]; then\n"
    "    _firstmile \"$@\"\n"
    "else\n"
    "    compdef _firstmile firstmile\n"
    "fi\n";

static enum fm_code run_completion(struct fm_cmd_call *call, struct fm_err *err)
{
    const char *shell = call->words.items[0];
    if (strcmp(shell, "bash") == 0)
        (void)fputs(bash_script, stdout);
    else if (strcmp(shell, "zsh") == 0)
        (void)fputs(zsh_script, stdout);
    else
        return fm_err_set(err, FM_EUSAGE,
                          "completion: no script for \"%.40s\"; there are bash, zsh", shell);
    return FM_OK;
}

static const char *const text[] = {
    "Completes commands, options, keys of the configuration behind -o, presets, targets (JVMs that "
    "run here, configured names), and the MBeans and attributes of a JVM that can be reached. It "
    "attaches to no JVM unless the line says -o target.attach=on.",
    NULL,
};
static const char *const examples[] = {
    "source <(firstmile completion bash)",
    "in this shell; \"make install\" puts it where bash-completion finds it",
    "firstmile completion zsh > ~/.zfunc/_firstmile",
    "for zsh, in a folder of its fpath",
    NULL,
};

const struct fm_cmd fm_cmd_completion = {
    .name = "completion",
    .args = "bash|zsh",
    .about = "print the script that completes commands, MBeans, ... in a shell",
    .text = text,
    .examples = examples,
    .min_words = 1,
    .max_words = 1,
    .run = run_completion,
};

const struct fm_cmd fm_cmd_complete = {
    .name = "__complete",
    .args = "SHELL WORD...",
    .about = "answer a shell",
    .hidden = true,
    .min_words = 2,
    .max_words = FM_WORDS_MANY,
    .run = run_complete,
};
