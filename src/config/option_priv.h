/* config/option_priv.h - the one table of keys; everything about a key is derived from its row. */
#ifndef FM_CONFIG_OPTION_PRIV_H
#define FM_CONFIG_OPTION_PRIV_H

#include "config/config.h"
#include "config/nearest.h"

enum fm_opt_type {
    FM_OPT_STR, /* const char * */
    FM_OPT_MSEC, /* int64_t */
    FM_OPT_SIZE, /* uint64_t */
    FM_OPT_COUNT, /* int64_t */
    FM_OPT_BOOL, /* bool */
    FM_OPT_ENUM, /* an enum: the place of the word in choices */
    FM_OPT_LIST, /* struct fm_strlist */
    FM_OPT_SECRET, /* struct fm_secret *; brings KEY_file */
    FM_OPT_WHERE /* where.PROPERTY: any number of keys */
};

enum {
    FM_OPT_TEMPLATE = 1 << 0, /* ${lower_case} is left for later */
    FM_OPT_RESTART = 1 << 1, /* a reload does not take it over */
    FM_OPT_INHERIT = 1 << 2, /* not written: another section decides; def is only shown */
    FM_OPT_URL = 1 << 3, /* a URL, or several: no credentials inside */
    FM_OPT_EMPTY = 1 << 4 /* empty is a value of its own and not "not set" */
};

struct fm_option {
    const char *section;
    const char *key;
    size_t offset; /* in the section's struct */
    const char *def;
    const char *choices; /* ENUM: words between blanks; "-" holds a place that cannot be said */
    int64_t min, max;
    enum fm_opt_type type;
    unsigned flags;
    const char *later; /* what any value but def waits for */
    const char *live; /* values besides def that work nevertheless */
    const char *help;
};

extern const struct fm_option fm_options[];
extern const size_t fm_n_options;

/** A kind of section. */
struct fm_kind {
    const char *name;
    bool named; /* kind:NAME */
    size_t size; /* of its struct */
    size_t offset; /* in struct fm_config: of the struct itself, or, when named, of its array */
    const char *about; /* introduction in the sample file */
};
extern const struct fm_kind fm_kinds[];
extern const size_t fm_n_kinds;

const struct fm_kind *fm_kind_find(const char *name);

/** The row of a key. @param file_twin  set if key is KEY_file of a secret (may be NULL) */
const struct fm_option *fm_option_find(const char *section, const char *key, bool *file_twin);

/** Number of the row within its kind: the index into fm_section.places. A secret's file twin
 * shares its row. */
size_t fm_option_index(const struct fm_option *opt);

/** The rows of a kind, which stand together. @return how many */
size_t fm_option_rows(const char *kind, const struct fm_option **first);

/** Where the value of a row lies. */
void *fm_option_at(const struct fm_option *opt, struct fm_section *section);

/** The word at a place in choices. @return length, 0 behind the last */
size_t fm_choice_at(const char *choices, size_t i, const char **out);

#endif
