/* loading.h - configurations from texts, in a folder that goes away with the test. */
#ifndef LOADING_H
#define LOADING_H

#include <sys/types.h>

#include "config/config.h"

/** Write NAME in the test's folder. @return its path, valid until the test ends */
const char *put_file(const char *name, const char *text, mode_t mode);

/** A path in the test's folder. */
const char *path_in(const char *name);

/** Load a text (NULL: no file) with up to 4 overrides (NULL ends them). */
struct fm_config *load(const char *text, const char *a, const char *b);

/** The errors of a text that must not load, one a line, the folder's path left out. */
const char *errors_of(const char *text, const char *a, const char *b);

void clean_up(void);

#endif
