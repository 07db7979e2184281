/* cli/complete.h - what could stand at the end of a command line, for shells.
 *
 * All of it follows from the tables of commands and options: the names of arguments in usage lines
 * (TARGET, BEAN, FILE, ...) say what may stand there. Errors are silence: a shell must not be
 * disturbed while somebody types. Main thread; the live part may block until SIGALRM. */
#ifndef FM_CLI_COMPLETE_H
#define FM_CLI_COMPLETE_H

#include "cli/cmd.h"

enum fm_complete_files { FM_COMPLETE_NOTHING, FM_COMPLETE_FILES, FM_COMPLETE_DIRS };

/** The answer, in the arena of cli. */
struct fm_complete {
    struct fm_cli *cli;
    struct fm_words words; /* whole words that begin as the last one does */
    struct fm_words about; /* the same number: "" or a few words on each */
    bool no_space; /* the words go on */
    enum fm_complete_files files; /* the shell knows files better */
    const char *prefix; /* the last word, as far as it was typed */
    const char *files_after; /* of the last word what is no part of the file's name: "--x=" */
};

/** Complete the last of n words (it may be empty); the program's name is none of them. */
void fm_complete(struct fm_complete *c, struct fm_cli *cli, const char *const *words, size_t n);

/** Offer a word, if it begins as the last one does and no terminal or shell could misunderstand it.
 */
void fm_complete_offer(struct fm_complete *c, const char *word, const char *about);

/* ---- complete_live.c: what only JVMs and configurations know ---- */

void fm_complete_targets(struct fm_complete *c);
void fm_complete_beans(struct fm_complete *c, const char *target);
void fm_complete_attributes(struct fm_complete *c, const char *target, const char *bean);
void fm_complete_setting(struct fm_complete *c);

/* ---- complete_bash.c: a line as bash reads it ---- */

/** A command line up to the cursor, taken apart. */
struct fm_bash_line {
    struct fm_words words; /* without quotes; the last may be empty */
    char quote; /* that is open at the end; 0: none */
    size_t skip; /* bytes of the last word that readline takes for another word */
};

/** @param breaks  COMP_WORDBREAKS @return false without memory */
bool fm_bash_split(struct fm_bash_line *out, const char *line, const char *breaks,
                   struct fm_arena *arena);

/** Append what bash is to put in the place of the word: the rest of a candidate, quoted. */
void fm_bash_quote(struct fm_buf *out, const struct fm_bash_line *line, const char *word);

#endif
