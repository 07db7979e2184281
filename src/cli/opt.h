/* cli/opt.h - command-line options from tables. Main thread only; nothing blocks.
 *
 * Short options may be clustered (-vq), values stand behind (-oX, -o X, --name=X, --name X), words
 * and options may be mixed, `--` ends the options, `-` is a word. No abbreviations: a misspelt name
 * is an error that names the nearest right one. */
#ifndef FM_CLI_OPT_H
#define FM_CLI_OPT_H

#include <stdint.h>

#include "base/arena.h"
#include "firstmile/err.h"

enum fm_flag_kind {
    FM_FLAG_SWITCH, /* bool */
    FM_FLAG_COUNT, /* int, one more each time */
    FM_FLAG_TEXT, /* const char *, the last one wins */
    FM_FLAG_LIST, /* struct fm_words */
    FM_FLAG_MSEC, /* int64_t, from "10s" */
    FM_FLAG_SIZE, /* uint64_t, from "64MiB" */
    FM_FLAG_NUMBER /* uint64_t */
};

struct fm_words {
    const char **items;
    size_t n;
};

/** A row of an option table; the table ends with a row without a name. */
struct fm_flag {
    char letter; /* 0: none */
    const char *name; /* without -- */
    enum fm_flag_kind kind;
    size_t offset; /* into the struct that the table belongs to */
    const char *arg; /* what help calls the value; NULL: it has none */
    const char *help; /* one sentence */
};

/** A table and the struct it fills. */
struct fm_flags {
    const struct fm_flag *table;
    void *values;
};

/** Read args into the structs of the sets and collect the words. Values and words are borrowed from
 * args, arrays lie in the arena.
 * @param first_word_ends  leave everything from the first word on in *words, unread
 * @return FM_OK, FM_EUSAGE (the sentence names the option and the remedy) or FM_ENOMEM */
FM_MUST_USE enum fm_code fm_flags_parse(const struct fm_flags *sets, size_t n_sets,
                                        const char *const *args, size_t n_args,
                                        bool first_word_ends, struct fm_words *words,
                                        struct fm_arena *arena, struct fm_err *err);

#endif
