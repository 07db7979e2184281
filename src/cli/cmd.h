/* cli/cmd.h - commands: one const row each, from which parsing, usage, help and manual are made.
 *
 * A command runs on the main thread, prints data on stdout and messages on stderr, and returns how
 * it went; main() makes the exit code of it. */
#ifndef FM_CLI_CMD_H
#define FM_CLI_CMD_H

#include <stdio.h>

#include "base/log.h"
#include "cli/opt.h"
#include "cli/table.h"

/** What the global options said, and what the streams are. */
struct fm_globals {
    const char *config; /* -c; NULL */
    struct fm_words overrides; /* -o */
    int verbose; /* -v, times given */
    int quiet; /* -q */
    bool json;
    bool help;
    bool version;
};

struct fm_cli {
    struct fm_globals global;
    struct fm_arena arena; /* lives as long as the process */
    struct fm_log *log; /* stderr; warnings, with -v more, with -q only errors */
    bool colour; /* stdout is a terminal and NO_COLOR is not set */
    unsigned width; /* of that terminal; 0: stdout is none */
};

/** One call of a command. */
struct fm_cmd_call {
    struct fm_cli *cli;
    const void *opts; /* the command's own struct, filled from its option table */
    struct fm_words words;
};

/** @return FM_OK (exit 0); FM_EUSAGE or FM_ECONF (exit 2); any other (exit 1). An error whose
 * sentence is empty was already told. */
typedef enum fm_code fm_cmd_fn(struct fm_cmd_call *call, struct fm_err *err);

/** A command of a command: its name may be several words ("dead list"). */
struct fm_action {
    const char *name;
    const char *args; /* "" if none */
    const char *about;
    unsigned min_words, max_words;
    fm_cmd_fn *run;
};

enum { FM_WORDS_MANY = 1 << 16 };

struct fm_cmd {
    const char *name;
    const char *args; /* behind the name in the usage line */
    const char *about; /* one line, no full stop */
    const char *const *text; /* paragraphs of the help; NULL-terminated, or NULL */
    const char *const *examples; /* pairs: command line, what it does; NULL-terminated, or NULL */
    const struct fm_flag *flags; /* NULL: none of its own */
    size_t opts_size; /* of the struct they fill, at most FM_OPTS_MAX */
    const struct fm_action *actions; /* ends with a row without a name; NULL: none */
    unsigned min_words, max_words;
    bool hidden; /* for shells, not for people: in no list */
    bool target; /* takes a TARGET: -o target.KEY=VALUE sets keys of the one without a name */
    bool json; /* prints a table or an object that --json turns into JSON */
    fm_cmd_fn *run;
};

enum { FM_OPTS_MAX = 256 };

/** Command i in the order of the help. @return NULL behind the last */
const struct fm_cmd *fm_cmd_at(size_t i);

const struct fm_cmd *fm_cmd_find(const char *name);

/** The table of global options. */
const struct fm_flag *fm_cmd_globals(void);

/** Parse the command line (without the program's name) and run what it says.
 * @return as fm_cmd_fn */
FM_MUST_USE enum fm_code fm_cmd_main(struct fm_cli *cli, const char *const *args, size_t n,
                                     struct fm_err *err);

/** Log level for a command whose usual level is base, moved by -v and -q. */
enum fm_log_level fm_cmd_level(const struct fm_cli *cli, enum fm_log_level base);

/** Style of tables on stdout. */
struct fm_table_style fm_cmd_style(const struct fm_cli *cli);

/** Print text from a peer on stdout: on a terminal without what could fool it. */
void fm_cmd_print(const struct fm_cli *cli, const char *text, size_t len);

/** A remark on stderr, unless -q: what is no failure but should be known. */
void fm_cmd_note(const struct fm_cli *cli, const char *fmt, ...) FM_PRINTF(2, 3);

/* ---- help, all from the tables ---- */

/** The list of commands. */
void fm_help_main(FILE *out);

/** Help of one command. */
void fm_help_cmd(FILE *out, const struct fm_cmd *cmd);

/** Every key of the configuration. */
void fm_help_config(FILE *out);

/** The manual page, in man(7) macros. */
void fm_help_man(FILE *out);

/* ---- the commands, each in cmd_<name>.c ---- */

extern const struct fm_cmd fm_cmd_init, fm_cmd_run, fm_cmd_once, fm_cmd_check, fm_cmd_jvms,
    fm_cmd_beans, fm_cmd_get, fm_cmd_watch, fm_cmd_produce, fm_cmd_spool, fm_cmd_audit,
    fm_cmd_sandbox, fm_cmd_presets, fm_cmd_health, fm_cmd_completion, fm_cmd_complete, fm_cmd_help,
    fm_cmd_version;

#endif
