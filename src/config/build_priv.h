/* config/build_priv.h - what the stages of loading share: read, set, check. */
#ifndef FM_CONFIG_BUILD_PRIV_H
#define FM_CONFIG_BUILD_PRIV_H

#include <sys/types.h>

#include "config/option_priv.h"

enum {
    FM_INI_FILE_MAX = 1024 * 1024,
    FM_INI_LINE_MAX = 64 * 1024,
    FM_INI_LINES_MAX = 20000, /* of all files together: the library's lookups are linear */
    FM_INI_FILES_MAX = 64,
    FM_INI_DEPTH_MAX = 8,
    FM_NAME_MAX = 64
};

/** A line as read; key NULL: the head of a section. */
struct fm_entry {
    const char *file; /* "-o": an override */
    unsigned line;
    const char *section; /* "" before the first */
    const char *key;
    const char *value;
    bool exposed; /* the file can be read by group or others */
    bool torn; /* a head: of a section with lines that cannot be read */
};

struct fm_entries {
    struct fm_entry *items; /* malloc'ed */
    size_t n;
    size_t cap;
};

struct fm_build {
    struct fm_config *cfg;
    struct fm_config_error *errors; /* FM_CONFIG_ERRORS of them */
    size_t n_errors;
    bool nomem;
    size_t lines; /* read so far */
    struct fm_entries entries;
};

/** Note an error: "FILE:LINE: sentence" (no place when file is NULL). */
void fm_build_error(struct fm_build *b, const char *file, unsigned line, const char *fmt, ...)
    FM_PRINTF(4, 5);

/** Note an error about a key, at the place where it was written, else where its section begins. */
void fm_build_key_error(struct fm_build *b, const struct fm_section *section, const char *key,
                        const char *fmt, ...) FM_PRINTF(4, 5);

/** Copies in the configuration's arena; NULL (and nomem noted) without memory. */
char *fm_build_strndup(struct fm_build *b, const char *text, size_t len);
char *fm_build_strdup(struct fm_build *b, const char *text);

/** The place of a key, or NULL if nobody wrote it. */
const struct fm_place *fm_section_place(const struct fm_section *section, const char *key);

/* ini.c */
bool fm_entries_add(struct fm_build *b, const struct fm_entry *entry);
/** Read a file and what it includes into b->entries. */
void fm_ini_read(struct fm_build *b, const char *path);
/** Read a text, such as a shipped preset; name stands for the file in messages. */
void fm_ini_read_text(struct fm_build *b, const char *name, const char *text, bool exposed);

/* parse.c: values; each writes the reason into err, without the place */
FM_MUST_USE enum fm_code fm_value_expand(struct fm_buf *out, const char *text, bool is_template,
                                         struct fm_err *err);
FM_MUST_USE enum fm_code fm_value_set(struct fm_build *b, const struct fm_option *opt,
                                      struct fm_section *section, const char *text,
                                      struct fm_err *err);

/* secret.c */
FM_MUST_USE enum fm_code fm_secret_new(struct fm_secret **list, struct fm_secret **out,
                                       const char *text, const char *file, struct fm_err *err);
void fm_secrets_free(struct fm_secret *list);
bool fm_secret_same(struct fm_secret *a, struct fm_secret *b);

/* sections.c: entries to structs */
void fm_sections_build(struct fm_build *b);
/** The queries of a preset into cfg->presets[i] (name set). */
void fm_sections_preset(struct fm_build *b, struct fm_cfg_preset *preset);

/* check.c: what concerns several keys, and what is derived from them */
void fm_config_check(struct fm_build *b);
void fm_config_check_query(struct fm_build *b, struct fm_cfg_query *query);

#endif
